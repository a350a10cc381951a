/**
 * A repair that is crashed: a store of which a pack, a segment and an inventory are damaged, with another copy beside it. What
 * is damaged may be so still after a crash; what the repair returned of is whole, and run again it gets to the same end.
 */
import { TEST_KEY } from "../signing_key.ts";
import { PLAIN } from "./acquisitions.ts";
import type { CrashDisk } from "./crash_disk.ts";
import type { Run, Scenario } from "./explore.ts";
import { copying, TARGET } from "./hand_over.ts";
import { CHILD, essenceOf, inStore, PARENT, readStore, requireWhole, STORE } from "./stores.ts";

const signal = new AbortController().signal;

/** Files below a folder of the store, sorted. */
function filesIn(disk: CrashDisk, folder: string): string[] {
  return disk.list(folder).sort().flatMap((name) => {
    const path = `${folder}/${name}`;
    return disk.stat(path)?.kind === "directory" ? filesIn(disk, path) : [path];
  });
}

/** Changes one byte, durably. */
async function damage(disk: CrashDisk, path: string, at: number): Promise<void> {
  const file = disk.open(path, "update");
  const byte = new Uint8Array(1);
  file.read(byte, at);
  file.write(byte.map((value) => value ^ 1), at);
  await file.sync();
  file.close();
}

async function repairAll({ disk, seed, promise }: Run): Promise<void> {
  await inStore(disk, { seed }, (store) =>
    readStore(disk, { root: TARGET }, async (copy) => {
      const repair = store.repair(copy);
      for (const id of await repair.exhibitIds()) {
        const findings: string[] = [];
        await repair.exhibit(id, {
          ...{ key: TEST_KEY, signal, refetch: undefined, onSteps: () => undefined },
          onFinding: ({ message }) => findings.push(message),
        });
        if (findings.length > 0) throw new Error(`${id} is damaged still: ${findings}`);
      }
    }));
  promise((crashed) => requireWhole(crashed, PLAIN));
}

export const repairing: Scenario = {
  name: "repair",
  async prepare(disk) {
    await copying.prepare(disk);
    await copying.run({ disk, seed: 500, promise: () => undefined });
    const packs = filesIn(disk, `${STORE}/packs`);
    await damage(disk, packs[0]!, 100);
    await damage(disk, packs[1]!, 20);
    await damage(disk, filesIn(disk, `${STORE}/segments`)[0]!, 30);
    await damage(
      disk,
      filesIn(disk, `${STORE}/exhibits`).find((path) => /inventory-.*txt$/.test(path))!,
      200,
    );
  },
  run: repairAll,
  // It is damaged until the repair is done: the end is looked at.
  look: () => Promise.resolve(),
  essence: (disk) => essenceOf(disk, [PARENT, CHILD], { mayHaveQuarantine: true }),
};
