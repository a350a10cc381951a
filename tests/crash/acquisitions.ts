/**
 * Acquisitions that are crashed: into an empty store and on a parent, plain and encrypted. What `flush` returned of is
 * recorded and not put again, and what `commit` returned of is committed, after any crash.
 */
import { Identities, makeIdentity } from "../../src/cipher_age.ts";
import type { SnapshotId } from "../../src/model.ts";
import type { Store, WriteOptions } from "../../src/store/mod.ts";
import { acquire, type Order } from "../store/fixtures.ts";
import type { CrashDisk } from "./crash_disk.ts";
import type { Run, Scenario } from "./explore.ts";
import {
  CHILD,
  CHILD_VOLUME,
  essenceOf,
  inStore,
  type Looking,
  once,
  PARENT,
  PARENT_VOLUME,
  readStore,
  requireCommitted,
  requireWhole,
  SHAPE,
  STORE,
} from "./stores.ts";

/** How the store is opened for writing, and how for looking. */
export interface Mode extends Looking {
  readonly name: string;
  readonly writing: WriteOptions;
}

export const PLAIN: Mode = { name: "plain", writing: {} };

export async function encryptedMode(): Promise<Mode> {
  const [opens, lineage] = [await makeIdentity("x25519"), await makeIdentity("x25519")];
  const identities = await Identities.of([{ secret: opens.secret, place: "test" }]);
  const recipients = { contents: [opens.recipient], lineage: [lineage.recipient] };
  return { name: "encrypted", identities, writing: { recipients, identities } };
}

async function orderOf(store: Store, snapshot: SnapshotId): Promise<Order> {
  if (snapshot === PARENT) return { volume: PARENT_VOLUME, shape: SHAPE, snapshot, flushEvery: 2 };
  const parent = (await store.newestOf(PARENT))!;
  const lineage = { parent, parentVolume: PARENT_VOLUME };
  return { volume: CHILD_VOLUME, shape: SHAPE, snapshot, flushEvery: 2, ...lineage };
}

/** Acquires the snapshots that the store does not have. */
export async function acquireAll(run: Run, mode: Mode, snapshots: readonly SnapshotId[]): Promise<void> {
  const { disk, seed, promise } = run;
  await inStore(disk, { ...mode.writing, seed }, async (store) => {
    for (const snapshot of snapshots) {
      if (await store.newestOf(snapshot)) continue;
      let put: number[] = [];
      const id = await acquire(store, {
        ...await orderOf(store, snapshot),
        onPut: (index) => put.push(index),
        onFlushed: () => {
          const recorded = put;
          put = [];
          promise((crashed) => requireRecorded(crashed, { mode, snapshot, indexes: recorded }));
        },
      });
      promise((crashed) => requireCommitted(crashed, id, mode));
    }
  });
}

/** Throws unless each of the blocks is recorded, in a journal or in an exhibit. */
async function requireRecorded(
  disk: CrashDisk,
  { mode, snapshot, indexes }: {
    readonly mode: Mode;
    readonly snapshot: SnapshotId;
    readonly indexes: readonly number[];
  },
): Promise<void> {
  const find = () => recordedBlocks(disk, mode, snapshot);
  const recorded = await once(
    disk,
    { root: STORE, kind: `recorded of ${snapshot}`, leaveOut: ["tmp"] },
    find,
  );
  if (recorded === "all") return;
  const lost = indexes.filter((index) => !recorded?.has(index));
  if (lost.length > 0) throw new Error(`blocks ${lost} of ${snapshot} were recorded, and are not`);
}

async function recordedBlocks(
  disk: CrashDisk,
  mode: Mode,
  snapshot: SnapshotId,
): Promise<Set<number> | "all" | undefined> {
  return await readStore(disk, mode, async (store) => {
    if (await store.newestOf(snapshot)) return "all";
    const head = (await store.journals()).find(({ source }) => source.snapshot === snapshot);
    const view = head && store.view(head);
    if (!view) return undefined;
    try {
      const indexes = [...PARENT_VOLUME.keys(), ...CHILD_VOLUME.keys()];
      return new Set(indexes.filter((index) => view.recorded(index)));
    } finally {
      view.close();
    }
  });
}

/** A scenario that acquires `snapshots` into a store that has `there`. */
export function acquisition(
  mode: Mode,
  options: { readonly there: readonly SnapshotId[]; readonly snapshots: readonly SnapshotId[] },
): Scenario {
  const { there, snapshots } = options;
  const all = [...there, ...snapshots];
  return {
    name: `acquire ${snapshots.join(" and ")}, ${mode.name}`,
    async prepare(disk) {
      disk.makeDirectory("/case");
      if (there.length > 0) await acquireAll({ disk, seed: 1_000, promise: () => undefined }, mode, there);
    },
    run: (run) => acquireAll(run, mode, snapshots),
    look: (disk) => requireWhole(disk, mode),
    essence: (disk) => essenceOf(disk, all, mode),
  };
}

export const acquireParent = (mode: Mode) => acquisition(mode, { there: [], snapshots: [PARENT] });
export const acquireChild = (mode: Mode) => acquisition(mode, { there: [PARENT], snapshots: [CHILD] });
export const acquireBoth = (mode: Mode) => acquisition(mode, { there: [], snapshots: [PARENT, CHILD] });
