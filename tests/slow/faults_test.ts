/** Every operation fails with every fault, once and for good: an hour, so not in the default run. `deno task test:slow` */
import { acquireChild, acquireParent, encryptedMode, PLAIN } from "../crash/acquisitions.ts";
import * as scenarios from "../crash/hand_over.ts";
import { repairing } from "../crash/repairing.ts";
import { failEachOf } from "../faults/each_operation.ts";

Deno.test("every operation of every scenario fails, with every fault", async () => {
  const mode = await encryptedMode();
  const { exporting, exportingAnew, copying, copyingEncrypted, encrypting, decrypting } = scenarios;
  const acquisitions = [acquireParent(PLAIN), acquireChild(PLAIN), acquireParent(mode), acquireChild(mode)];
  const others = [repairing, copying, copyingEncrypted, encrypting, decrypting, exporting, exportingAnew];
  const { addingToPlain, addingToEncrypted, verifyingPlain, verifyingEncrypted } = scenarios;
  const evidence = [addingToPlain, addingToEncrypted, verifyingPlain, verifyingEncrypted];
  await failEachOf([...acquisitions, ...others, ...evidence].map((scenario) => [scenario, 1] as const));
});
