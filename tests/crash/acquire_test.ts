/** Acquisitions survive a loss of power at any moment, full and incremental, plain and encrypted. */
import { acquireBoth, acquireChild, acquireParent, encryptedMode, PLAIN } from "./acquisitions.ts";
import { exploreAll } from "./explore.ts";

Deno.test("a plain acquisition survives a loss of power after any operation", () =>
  exploreAll([[acquireParent(PLAIN), 4500]]));

Deno.test("an incremental acquisition survives a loss of power after any operation", () =>
  exploreAll([[acquireChild(PLAIN), 1000]]));

Deno.test("two acquisitions of one run survive a loss of power after any operation", () =>
  exploreAll([[acquireBoth(PLAIN), 300]]));

Deno.test("an encrypted acquisition survives a loss of power after any operation", async () => {
  const mode = await encryptedMode();
  await exploreAll([[acquireParent(mode), 70], [acquireChild(mode), 70]]);
});
