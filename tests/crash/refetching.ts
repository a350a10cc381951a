/**
 * `repair --refetch` that is crashed: a record of every pack is damaged, no other copy is there, and the service has all blocks. What was
 * read again is in new packs, or is read again once more; run again it gets to the same end.
 */
import type { Refetch } from "../../src/store/mod.ts";
import { verifiedBlock } from "../store/fixtures.ts";
import { TEST_KEY } from "../signing_key.ts";
import { acquireAll, PLAIN } from "./acquisitions.ts";
import type { CrashDisk } from "./crash_disk.ts";
import type { Scenario } from "./explore.ts";
import {
  CHILD,
  CHILD_VOLUME,
  essenceOf,
  inStore,
  PARENT,
  PARENT_VOLUME,
  requireWhole,
  STORE,
} from "./stores.ts";

const signal = new AbortController().signal;

/** Changes a byte of the first record, durably. */
async function spoil(disk: CrashDisk, path: string): Promise<void> {
  const file = disk.open(path, "update");
  file.write(Uint8Array.of(0xaa, 0x55, 0xaa), 100);
  await file.sync();
  file.close();
}

/** The service: what each snapshot has. */
const serveAgain: Refetch = async ({ exhibit, lost, take }) => {
  const volume = exhibit.manifest.source.snapshot === PARENT ? PARENT_VOLUME : CHILD_VOLUME;
  for await (const { index } of lost()) {
    const bytes = volume.get(index);
    if (!(bytes instanceof Uint8Array)) throw new Error(`block ${index} was never had`);
    if (!await take(index, verifiedBlock(bytes.slice()))) throw new Error(`block ${index} was not taken`);
  }
};

export const refetching: Scenario = {
  name: "repair --refetch",
  async prepare(disk) {
    disk.makeDirectory("/case");
    await acquireAll({ disk, seed: 1000, promise: () => undefined }, PLAIN, [PARENT, CHILD]);
    for (const folder of disk.list(`${STORE}/packs`)) {
      const path = `${STORE}/packs/${folder}`;
      for (const name of disk.list(path)) await spoil(disk, `${path}/${name}`);
    }
  },
  async run({ disk, seed, promise }) {
    await inStore(disk, { seed }, async (store) => {
      const repair = store.repair(undefined);
      for (const id of await repair.exhibitIds()) {
        await repair.exhibit(id, {
          ...{ key: TEST_KEY, signal, refetch: serveAgain, onSteps: () => undefined },
          onFinding: ({ message }) => {
            throw new Error(`${id} is damaged still: ${message}`);
          },
        });
      }
      // As the command does at its end: damaged packs that no exhibit needs any more.
      for (const name of await repair.unneededPacks(signal)) await repair.setAside(name);
    });
    promise((crashed) => requireWhole(crashed, PLAIN));
  },
  // It is damaged until the repair is done: the end is looked at.
  look: () => Promise.resolve(),
  essence: (disk) => essenceOf(disk, [PARENT, CHILD], { mayHaveQuarantine: true }),
};
