/**
 * What the store's tests share: blocks that count as checked, a volume as a table of blocks, a world whose
 * clock and randomness repeat, and an acquisition fed as the real one feeds it, without a source. No assertions.
 */
import { sha256 } from "../../src/format/digests.ts";
import type { SessionStart } from "../../src/format/documents.ts";
import type {
  BlockReader,
  BlockState,
  Digest,
  Disk,
  ExhibitId,
  SnapshotId,
  UnreadableBlock,
  VerifiedBlock,
  VolumeShape,
  World,
} from "../../src/model.ts";
import type { Acquisition, CommitFacts, Exhibit, Finding, JournalHead, Store } from "../../src/store/mod.ts";
import { openStore, openStoreForWriting, type WriteOptions } from "../../src/store/mod.ts";
import { volumeShape } from "../../src/units.ts";
import { readAgain } from "../second_reading.ts";
import { TEST_KEY } from "../signing_key.ts";
import { quickDisk } from "./faulty_disk.ts";

export const SNAPSHOT = "snap-0123456789abcdef0" as SnapshotId;
export const LATER = "snap-0123456789abcdef1" as SnapshotId;
const HOST = { hostname: "collector-1", operatingSystem: "linux 6.8.0 x86_64", user: "examiner" };
const DESTINATION = { fileSystem: "ext4", path: "/cases/2026-017" };
const TOOL = { digest: null, name: "coldcase", runtime: "test", version: "0.1.0" } as const;

export const SESSION: SessionStart = {
  callerAccount: null,
  callerArn: null,
  callerUserId: null,
  commandLine: ["coldcase", "acquire", SNAPSHOT],
  credentialSource: null,
  destination: DESTINATION,
  examiner: "A. Examiner",
  host: HOST,
  proxy: null,
  startedAt: "2026-01-02T03:04:05.000Z",
  tool: TOOL,
};

export const COUNTS = {
  clockSkewMs: null,
  credentialChanges: 0,
  eventsLeftOut: 0,
  firstRequestId: null,
  getRequests: 0,
  lastRequestId: null,
  listRequests: 1,
  otherRequests: 2,
  receivedBytes: 0,
  retries: 0,
  throttles: 0,
};

export const FACTS: CommitFacts = {
  case: { authority: null, case: "2026-017", evidence: "1", examiner: null, notes: null, organization: null },
  descriptionResult: "not_permitted",
  destination: DESTINATION,
  unsafeFileSystem: false,
  host: HOST,
  key: TEST_KEY,
  tool: TOOL,
  isPartial: false,
  rest: "absent",
};

/** What the service said of the snapshot. */
export const DESCRIPTION = {
  answer: { SnapshotId: SNAPSHOT },
  receivedAt: "2026-01-02T03:04:05.000Z",
  requestId: "request-0",
  snapshot: {
    completedAt: null,
    description: null,
    encrypted: null,
    instance: null,
    kmsKeyId: null,
    ownerAccount: "111122223333",
    startedAt: null,
    storageTier: null,
    tags: { Name: "web-1 root" },
    volumeId: null,
  },
} as const;

/** Linux keeps this file system in memory: thousands of small stores take a third of the time there. */
const MEMORY_FOLDER = "/dev/shm";

/** Runs `body` with a folder that is removed afterwards; `onDisk`: where the host keeps its temporary files. */
export async function withFolder(
  body: (folder: string) => void | Promise<void>,
  options: { readonly onDisk?: boolean } = {},
): Promise<void> {
  const isInMemory = !options.onDisk && quickDisk.stat(MEMORY_FOLDER)?.kind === "directory";
  const folder = await Deno.makeTempDir({
    prefix: "coldcase-store-",
    ...(isInMemory && { dir: MEMORY_FOLDER }),
  });
  try {
    await body(folder);
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
}

/** Numbers in [0, 2^32) from a seed (mulberry32). */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)) ^ mixed;
    return (mixed ^ (mixed >>> 14)) >>> 0;
  };
}

/** A world on `disk` whose clock goes a second a look and never waits, and whose randomness counts from `seed`. */
export function testWorld(disk: Disk = quickDisk, seed = 1): World {
  let timeMs = Date.parse("2026-01-02T03:04:05.000Z") + seed * 1_000_000;
  const next = seeded(seed);
  return {
    clock: {
      nowMs: () => timeMs += 1000,
      monotonicMs: () => timeMs,
      sleep: (_, signal) => signal?.aborted ? Promise.reject(signal.reason) : Promise.resolve(),
    },
    randomness: {
      bytes: (length) => new Uint8Array(length).map(() => next() & 0xff),
      fraction: () => 0,
    },
    disk,
    host: { ...HOST, cpuCount: 2, processId: 1, runtime: "test", programPath: undefined },
    environment: () => undefined,
  };
}

export function shapeOf(blockSizeBytes: number, volumeSizeGib = 1): VolumeShape {
  const shape = volumeShape({ blockSizeBytes, volumeSizeGib });
  if (typeof shape === "string") throw new Error(shape);
  return shape;
}

/** Bytes that no codec makes smaller. */
export function noise(seed: number, length = 512): Uint8Array {
  const next = seeded(seed);
  return new Uint8Array(length).map(() => next() & 0xff);
}

/** Bytes that compress to next to nothing. */
export function pattern(seed: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length).fill(seed & 0xff || 1);
  new DataView(bytes.buffer).setUint32(0, seed);
  return bytes;
}

/** The one place where bytes become a checked block without a source. A copy: a block belongs to its receiver. */
export function verifiedBlock(bytes: Uint8Array): VerifiedBlock {
  return { kind: "verified", digest: sha256(bytes), bytes: bytes.slice() } as unknown as VerifiedBlock;
}

export const UNREADABLE: UnreadableBlock = {
  kind: "unreadable",
  reason: "checksum",
  detail: "digest is not what was declared, 5 times",
  attempts: 5,
  requestIds: ["request-1"],
};

/** The digest of the listed indexes, as the journal notes it. */
export function listingOf(indexes: readonly number[]): { blocks: number; digest: Digest } {
  const ascending = Uint32Array.from(indexes).sort();
  const bytes = new DataView(new ArrayBuffer(4 * ascending.length));
  ascending.forEach((index, at) => bytes.setUint32(4 * at, index, true));
  return { blocks: ascending.length, digest: sha256(new Uint8Array(bytes.buffer)) };
}

/** Block index → bytes, or that it cannot be read. What is not in it is absent. */
export type Volume = ReadonlyMap<number, Uint8Array | "unreadable">;

/** What to acquire, and how. */
export interface Order {
  readonly volume: Volume;
  readonly shape: VolumeShape;
  readonly snapshot?: SnapshotId;
  readonly parent?: Exhibit;
  /** What the parent had: blocks that are the same are taken over, blocks that went are put as absent. */
  readonly parentVolume?: Volume;
  readonly supersedes?: ExhibitId;
  /** A pack is closed after so many blocks; default: at the end only. */
  readonly flushEvery?: number;
  readonly facts?: Partial<CommitFacts>;
  /** Told of each block before it is put. */
  onPut?(index: number): void;
  /** Told when everything that was put is durable. */
  onFlushed?(): void;
}

export function sourceOf(snapshot: SnapshotId): JournalHead["source"] {
  return {
    kind: "aws-ebs",
    endpoint: "https://ebs.eu-central-1.amazonaws.com",
    isAws: true,
    region: "eu-central-1",
    snapshot,
  };
}

/** Takes up the snapshot's journal, or begins one. */
export async function beginOrResume(store: Store, order: Order): Promise<Acquisition> {
  const snapshot = order.snapshot ?? SNAPSHOT;
  const head = (await store.journals()).find((journal) => journal.source.snapshot === snapshot);
  return head ? await store.resume(head) : await store.begin({
    source: sourceOf(snapshot),
    shape: order.shape,
    parent: order.parent,
    supersedes: order.supersedes,
  });
}

function isSame(a: Uint8Array | "unreadable" | undefined, b: Uint8Array | "unreadable"): boolean {
  return a instanceof Uint8Array && b instanceof Uint8Array && sha256(a) === sha256(b);
}

/** Puts what is not recorded yet, in ascending order, and notes the listing. */
export async function feed(acquisition: Acquisition, order: Order): Promise<void> {
  const indexes = [...order.volume.keys()].sort((a, b) => a - b);
  let putBlocks = 0;
  const flushed = async () => {
    if (order.flushEvery !== undefined && ++putBlocks % order.flushEvery === 0) {
      await acquisition.flush();
      order.onFlushed?.();
    }
  };
  for (const index of indexes) {
    const content = order.volume.get(index)!;
    if (acquisition.recorded(index) || (order.parent && isSame(order.parentVolume?.get(index), content))) {
      continue;
    }
    order.onPut?.(index);
    if (content === "unreadable") await acquisition.putUnreadable(index, UNREADABLE);
    else await acquisition.put(index, verifiedBlock(content));
    await flushed();
  }
  for (const index of order.parentVolume?.keys() ?? []) {
    if (order.volume.has(index) || acquisition.recorded(index)) continue;
    order.onPut?.(index);
    await acquisition.putAbsent(index);
    await flushed();
  }
  await acquisition.noteListing(listingOf(indexes));
}

/** A whole acquisition: begun or taken up, fed, committed. Where it fails its session is ended as a command would. */
export async function acquire(store: Store, order: Order): Promise<ExhibitId> {
  const acquisition = await beginOrResume(store, order);
  try {
    await acquisition.startSession(SESSION, { counts: () => COUNTS, takeEvents: () => [] });
    await acquisition.noteDescription(DESCRIPTION);
    await feed(acquisition, order);
    await acquisition.commit({ ...FACTS, descriptionResult: "received", ...order.facts });
  } catch (error) {
    await acquisition.endSession("storage");
    throw error;
  }
  return acquisition.head.exhibit;
}

/** Acquires into the store at `path` (made where missing), has a second reader read it, and gives the exhibit's id. */
export async function acquireAt(
  path: string,
  order: Order,
  options: WriteOptions & {
    readonly world?: World;
    /** False where it builds on damaged packs, at which the second reader stops. */
    readonly isReadAgain?: boolean;
  } = {},
): Promise<ExhibitId> {
  const store = await openStoreForWriting(options.world ?? testWorld(), path, options);
  let id: ExhibitId;
  try {
    id = await acquire(store, order);
  } finally {
    store.close();
  }
  if (options.isReadAgain ?? true) await readAgain(path, id);
  return id;
}

/** Runs `body` with the store at `path`, open for reading. */
export async function reading<T>(
  path: string,
  body: (store: Store) => Promise<T>,
  world: World = testWorld(),
): Promise<T> {
  const store = await openStore(world, path);
  try {
    return await body(store);
  } finally {
    store.close();
  }
}

/** State of each block that is not absent, from `runs()`. Fails where the runs do not tile the volume. */
export async function statesOf(reader: BlockReader): Promise<Map<number, BlockState>> {
  const states = new Map<number, BlockState>();
  let next = 0;
  for await (const run of reader.runs()) {
    if (run.firstBlock !== next) throw new Error(`run starts at ${run.firstBlock}, expected ${next}`);
    next += run.blockCount;
    if (run.state === "absent") continue;
    for (let index = run.firstBlock; index < next; index++) states.set(index, run.state);
  }
  if (next !== reader.shape.blockCount) throw new Error(`runs end at ${next}`);
  return states;
}

/** A volume as a sorted table of block index and digest, which can be compared and printed. */
export function tableOf(volume: Volume): (readonly [number, string])[] {
  return [...volume].sort(([a], [b]) => a - b)
    .map(([index, content]) => [index, content === "unreadable" ? content : sha256(content)]);
}

/** The same of what an exhibit holds, every stored block read. */
export async function tableOfExhibit(reader: BlockReader): Promise<(readonly [number, string])[]> {
  const volume = new Map<number, Uint8Array | "unreadable">();
  const zeros = new Uint8Array(reader.shape.blockSizeBytes);
  for (const [index, state] of await statesOf(reader)) {
    if (state === "stored") volume.set(index, await reader.readBlock(index));
    else volume.set(index, state === "zero" ? zeros : "unreadable");
  }
  return tableOf(volume);
}

/** Names of all files below `folder`, relative to it, sorted. */
export function filesBelow(folder: string, prefix = ""): string[] {
  return [...Deno.readDirSync(`${folder}/${prefix}`)].flatMap(({ name, isDirectory }) =>
    isDirectory ? filesBelow(folder, `${prefix}${name}/`) : [`${prefix}${name}`]
  ).sort();
}

/** The immutable files of a store that are named by their digest: not its door, lock, caches and signatures. */
export function evidenceFiles(root: string): string[] {
  return filesBelow(root).filter((name) =>
    /^(packs|segments|documents|exhibits)\//.test(name) && !isSignature(name)
  );
}

/** Signature files and public keys: evidence_test.ts is about them. */
export function isSignature(name: string): boolean {
  return /\.(sshsig|ed25519)$/.test(name) || name.startsWith("keys/");
}

/** Flips one bit of the file's byte at `offset`. */
export function flipBit(path: string, offset: number, bit = 0): void {
  const bytes = Deno.readFileSync(path);
  bytes[offset]! ^= 1 << bit;
  Deno.writeFileSync(path, bytes);
}

/** Runs `body` with the store at `path`, open for writing. */
export async function writing<T>(path: string, body: (store: Store) => Promise<T>): Promise<T> {
  const store = await openStoreForWriting(testWorld(), path);
  try {
    return await body(store);
  } finally {
    store.close();
  }
}

/** What a full verification finds. */
export async function findingsOf(path: string, id: ExhibitId): Promise<Finding[]> {
  const findings: Finding[] = [];
  await reading(path, async (store) => {
    const signal = new AbortController().signal;
    const onFinding = (finding: Finding) => findings.push(finding);
    await store.verify(await store.exhibit(id), { level: "full", signal, onFinding });
  });
  return findings;
}
