/** Ten times the crashes of tests/crash, half an hour and more: not in the default run. `deno task test:slow` */
import { acquireBoth, acquireChild, acquireParent, encryptedMode, PLAIN } from "../crash/acquisitions.ts";
import { exploreAll } from "../crash/explore.ts";
import * as scenarios from "../crash/hand_over.ts";
import { repairing } from "../crash/repairing.ts";

Deno.test("a hundred thousand losses of power lose nothing that was recorded", async () => {
  const mode = await encryptedMode();
  await exploreAll([
    [acquireParent(PLAIN), 40_000],
    [acquireChild(PLAIN), 25_000],
    [acquireBoth(PLAIN), 12_000],
    [acquireParent(mode), 2000],
    [acquireChild(mode), 2000],
    [scenarios.copying, 7000],
    [scenarios.copyingEncrypted, 4000],
    [scenarios.encrypting, 1500],
    [scenarios.decrypting, 2000],
    [scenarios.addingToPlain, 4000],
    [scenarios.addingToEncrypted, 500],
    [repairing, 1000],
    [scenarios.exporting, 3000],
    [scenarios.exportingAnew, 2000],
  ]);
});
