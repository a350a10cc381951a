/**
 * Stores on a disk in memory as the scenarios use them: what is visible at any moment must be whole, and what an
 * exhibit is can be compared, but for how it came about. No scenario of its own.
 */
import type { Identities } from "../../src/cipher_age.ts";
import { OperatorError } from "../../src/errors.ts";
import type { Disk, ExhibitId, SnapshotId } from "../../src/model.ts";
import {
  type EvidenceFinding,
  type Exhibit,
  type Finding,
  openStore,
  openStoreForWriting,
  type Store,
  type WriteOptions,
} from "../../src/store/mod.ts";
import { noise, pattern, shapeOf, tableOfExhibit, testWorld, type Volume } from "../store/fixtures.ts";
import { type CrashDisk, FolderNode } from "./crash_disk.ts";
import { digestOf } from "./states.ts";

export const STORE = "/case/store";
export const PARENT = "snap-00000001" as SnapshotId;
export const CHILD = "snap-00000002" as SnapshotId;
export const SHAPE = shapeOf(1 << 17);

/** A block of which a few sectors do not compress: a record that a crash can tear at many places. */
function block(seed: number): Uint8Array {
  const bytes = pattern(seed, SHAPE.blockSizeBytes);
  bytes.set(noise(seed, 1400), 8);
  return bytes;
}

const ZEROS = new Uint8Array(SHAPE.blockSizeBytes);

export const PARENT_VOLUME: Volume = new Map<number, Uint8Array | "unreadable">([
  [0, block(1)],
  [2, ZEROS],
  [9, "unreadable"],
  [500, block(1)],
  [501, block(3)],
  [8191, block(4)],
]);
export const CHILD_VOLUME: Volume = new Map<number, Uint8Array | "unreadable">([
  [0, block(1)],
  [2, block(5)],
  [9, block(6)],
  [500, "unreadable"],
  [8191, block(4)],
]);

export async function inStore<T>(
  disk: Disk,
  how: WriteOptions & { readonly seed: number; readonly root?: string },
  body: (store: Store) => Promise<T>,
): Promise<T> {
  const store = await openStoreForWriting(testWorld(disk, how.seed), how.root ?? STORE, how);
  try {
    return await body(store);
  } finally {
    store.close();
  }
}

/** How a store is looked at. */
export interface Looking {
  readonly root?: string;
  readonly identities?: Identities | undefined;
  /** True where something was damaged before. */
  readonly mayHaveQuarantine?: boolean;
}

/** `undefined` where there is no store. */
export async function readStore<T>(
  disk: Disk,
  { root = STORE, identities }: Looking,
  body: (store: Store) => Promise<T>,
): Promise<T | undefined> {
  let store: Store;
  try {
    store = await openStore(testWorld(disk), root, { identities });
  } catch (error) {
    if (error instanceof OperatorError && error.code === "not_found") return undefined;
    throw error;
  }
  try {
    return await body(store);
  } finally {
    store.close();
  }
}

/** Throws unless every byte of the exhibit and all that is signed about it is right. */
async function requireSound(store: Store, exhibit: Exhibit): Promise<void> {
  const findings: (Finding | EvidenceFinding)[] = [];
  const onFinding = (finding: Finding | EvidenceFinding) => findings.push(finding);
  await store.verify(exhibit, { level: "full", signal: new AbortController().signal, onFinding });
  await store.evidence.check(exhibit, { keys: [], onFinding });
  if (findings.length > 0) throw new Error(`${exhibit.id}: ${JSON.stringify(findings)}`);
}

/** Folders of a store that tell nothing of its exhibits. */
export const BESIDE_EVIDENCE = ["journal", "tmp", "cache", "quarantine"];

/** By the digest of what was looked at, for crashes leave the same again and again: what was found. */
const known = new Map<string, unknown>();

export async function once<T>(
  disk: CrashDisk,
  { root, kind, leaveOut }: {
    readonly root: string;
    readonly kind: string;
    /** Folders of the store that do not matter. */
    readonly leaveOut: readonly string[];
  },
  find: () => Promise<T>,
): Promise<T> {
  const seen = new FolderNode();
  for (const [name, node] of disk.folderAt(root)?.entries ?? []) {
    if (!leaveOut.includes(name)) seen.entries.set(name, node);
  }
  const key = `${kind} ${root} ${digestOf(seen)}`;
  if (!known.has(key)) known.set(key, await find());
  return known.get(key) as T;
}

/** Throws where a committed exhibit is not whole, whatever a crash left of the rest. */
export async function requireWhole(disk: CrashDisk, looking: Looking = {}): Promise<void> {
  const { root = STORE } = looking;
  await once(
    disk,
    { root, kind: "whole", leaveOut: BESIDE_EVIDENCE },
    () => requireVisibleWhole(disk, looking),
  );
}

/** The same, read anew. */
export async function requireVisibleWhole(disk: Disk, looking: Looking): Promise<void> {
  await readStore(disk, looking, async (store) => {
    for (const id of await store.exhibitIds()) await requireSound(store, await store.exhibit(id));
  });
}

/** Throws unless the exhibit is committed. Whether it is whole, `requireWhole` asks of every state. */
export async function requireCommitted(disk: CrashDisk, id: ExhibitId, looking: Looking = {}): Promise<void> {
  const { root = STORE } = looking;
  const find = () => readStore(disk, looking, (store) => store.exhibitIds());
  const ids = await once(disk, { root, kind: "ids", leaveOut: BESIDE_EVIDENCE }, find);
  if (!ids?.includes(id)) throw new Error(`${id} was committed, there are ${ids}`);
}

/** What `readEssence` gives; of stores that differ in `tmp` alone it is asked once. */
export async function essenceOf(
  disk: CrashDisk,
  snapshots: readonly SnapshotId[],
  looking: Looking = {},
): Promise<string> {
  const { root = STORE } = looking;
  const kind = `essence of ${snapshots}`;
  return await once(disk, { root, kind, leaveOut: ["tmp"] }, () => readEssence(disk, snapshots, looking));
}

/** What the newest exhibits of snapshots are, without how they came about; every byte is read. */
async function readEssence(
  disk: CrashDisk,
  snapshots: readonly SnapshotId[],
  looking: Looking,
): Promise<string> {
  const { root = STORE } = looking;
  const essences = await readStore(disk, looking, async (store) => {
    const all: unknown[] = [];
    for (const snapshot of snapshots) {
      const exhibit = await store.newestOf(snapshot);
      if (!exhibit) throw new Error(`${snapshot} was not acquired`);
      await requireSound(store, exhibit);
      const { acquisition, parent, ...manifest } = exhibit.manifest;
      const { listedBlocks, takenOverBlocks } = acquisition;
      const lineage = [parent?.imageDigest, listedBlocks, takenOverBlocks];
      all.push([manifest, lineage, await exhibit.unreadable(), await tableOfExhibit(exhibit)]);
    }
    const custody = await store.evidence.checkCustody([], () => undefined);
    if (custody.faults.length > 0) throw new Error(JSON.stringify(custody.faults));
    const journals = await store.journals();
    if (journals.length > 0) throw new Error(`${journals.length} journals are left`);
    if (store.tolerated.length > 0) throw new Error(`tolerated: ${store.tolerated}`);
    return all;
  });
  if (!essences) throw new Error(`there is no store at ${root}`);
  // A crash damages nothing that was counted upon.
  if (!looking.mayHaveQuarantine && disk.stat(`${root}/quarantine`)) {
    throw new Error(`in quarantine: ${disk.list(`${root}/quarantine`)}`);
  }
  return JSON.stringify(essences);
}
