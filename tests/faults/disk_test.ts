/**
 * Any operation of the disk may fail, once or for good: the program says so by exit code 15 or completes, what is visible
 * is whole, and the next run completes. A share of all faults, another one in each run; all: tests/slow/faults_test.ts.
 */
import { acquireChild, acquireParent, encryptedMode, PLAIN } from "../crash/acquisitions.ts";
import * as scenarios from "../crash/hand_over.ts";
import { repairing } from "../crash/repairing.ts";
import { failEachOf } from "./each_operation.ts";

Deno.test("an acquisition survives a disk that fails at any operation", async () => {
  const mode = await encryptedMode();
  await failEachOf([[acquireParent(PLAIN), 6], [acquireChild(PLAIN), 8], [acquireParent(mode), 30]]);
});

Deno.test("a copy survives a disk that fails at any operation", () => failEachOf([[scenarios.copying, 30]]));

Deno.test("an encryption and a decryption survive a disk that fails at any operation", () =>
  failEachOf([[scenarios.encrypting, 120], [scenarios.decrypting, 80]]));

Deno.test("signatures, addenda and the custody log survive a disk that fails at any operation", () =>
  failEachOf([[scenarios.addingToPlain, 3]]));

Deno.test("a repair survives a disk that fails at any operation", () => failEachOf([[repairing, 60]]));

Deno.test("an export survives a disk that fails at any operation", () =>
  failEachOf([[scenarios.exporting, 1], [scenarios.exportingAnew, 1]]));

Deno.test("a verification tells a disk that fails from evidence that is damaged", () =>
  failEachOf([[scenarios.verifyingPlain, 10], [scenarios.verifyingEncrypted, 50]]));
