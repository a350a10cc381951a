/**
 * Makes the stores that store-format.md's worked example and the test vectors show, by running the real store
 * on a volume of six blocks with a fixed clock, fixed randomness and fixed signing keys: the same bytes in
 * every run. `makeExampleStore` is the small one; `makeFullStore` has one of everything that a store can hold.
 * What is done with the stores is their callers' business.
 */
import { sha256 } from "../src/format/digests.ts";
import type { SessionEvent } from "../src/format/documents.ts";
import { FORMAT_VERSION } from "../src/format/members.ts";
import { openSigningKey, type SigningKey } from "../src/keys.ts";
import { encodeOpensshKey } from "../src/keys_openssh.ts";
import type {
  Clock,
  Digest,
  Disk,
  Randomness,
  SnapshotId,
  UnreadableBlock,
  VerifiedBlock,
  World,
} from "../src/model.ts";
import type { Acquisition, CommitFacts, Store } from "../src/store/mod.ts";
import { openStoreForWriting } from "../src/store/mod.ts";
import { volumeShape } from "../src/units.ts";
import { realDisk } from "../src/world.ts";
import { unsignedToken } from "./vectors/token.ts";

/** Bytes of the example's blocks. */
export const EXAMPLE_BLOCK_BYTES = 512;
const BLOCK_BYTES = EXAMPLE_BLOCK_BYTES;
const HOST = { hostname: "collector-1", operatingSystem: "linux 6.8.0 x86_64", user: "examiner" };
const TEXT_ENCODER = new TextEncoder();

/** Bytes that no codec makes smaller, the same in every run. */
function noise(length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let at = 0; at < length; at += 32) {
    const digest = sha256(TEXT_ENCODER.encode(`noise ${at / 32}`));
    bytes.set(Uint8Array.fromHex(digest).subarray(0, length - at), at);
  }
  return bytes;
}

const NOISE = noise(BLOCK_BYTES);
const TEXT = TEXT_ENCODER.encode(
  "The quick brown fox jumps over the lazy dog.\n".repeat(12).slice(0, BLOCK_BYTES),
);

/** What the source gives: block index → bytes; block 7 cannot be read. */
export const EXAMPLE_BLOCKS: ReadonlyMap<number, Uint8Array> = new Map([
  [0, NOISE],
  [1, TEXT],
  [2, new Uint8Array(BLOCK_BYTES)],
  [4, NOISE],
  [16384, TEXT],
]);
export const UNREADABLE_INDEX = 7;
/** The service's id of a request; the example's requests are numbered. */
const requestId = (number: number) => `00000000-0000-4000-8000-${String(number).padStart(12, "0")}`;

/** Requests 6 to 10 were for block 7, and brought other bytes than the service declared. */
const FAILED_REQUESTS = [6, 7, 8, 9, 10];
const base64Digest = (text: string) => Uint8Array.fromHex(sha256(TEXT_ENCODER.encode(text))).toBase64();
const MISMATCH = `SHA-256 is ${base64Digest("what came")}, declared ${base64Digest("what was declared")}`;
const UNREADABLE: UnreadableBlock = {
  kind: "unreadable",
  reason: "checksum",
  detail: MISMATCH,
  attempts: FAILED_REQUESTS.length,
  requestIds: FAILED_REQUESTS.map(requestId),
};

const TOOL = {
  digest: sha256(TEXT_ENCODER.encode("the program")),
  name: "coldcase",
  runtime: "Deno 2.9.6 (x86_64-unknown-linux-gnu)",
  version: "0.1.0",
} as const;

const DESTINATION = { fileSystem: "ext4", path: "/cases/2026-017/evidence" };

export const EXAMPLE_FACTS: Omit<CommitFacts, "key"> = {
  case: {
    authority: null,
    case: "2026-017",
    evidence: "2026-017-1",
    examiner: "A. Examiner",
    notes: null,
    organization: null,
  },
  destination: DESTINATION,
  unsafeFileSystem: false,
  host: HOST,
  tool: TOOL,
  descriptionResult: "received",
  isPartial: false,
  rest: "absent",
};

const DESCRIPTION = {
  answer: { SnapshotId: "snap-0123456789abcdef0", VolumeSize: 1 },
  receivedAt: "2026-01-02T03:04:05.000Z",
  requestId: requestId(12),
  snapshot: {
    completedAt: "2026-01-01T00:10:00.000Z",
    description: "Created by CreateImage(i-0123456789abcdef0) for ami-0123456789abcdef0",
    encrypted: false,
    instance: "i-0123456789abcdef0",
    kmsKeyId: null,
    ownerAccount: "111122223333",
    startedAt: "2026-01-01T00:00:00.000Z",
    storageTier: "standard",
    tags: { Name: "web-1 root" },
    volumeId: "vol-0123456789abcdef0",
  },
};

/** Ten blocks' bodies, a listing, and what EC2 and STS said. */
const RECEIVED_BYTES = 10 * BLOCK_BYTES + 1010 + 1302 + 411;

const COUNTS = {
  clockSkewMs: 0,
  credentialChanges: 0,
  eventsLeftOut: 0,
  firstRequestId: requestId(1),
  getRequests: 10,
  lastRequestId: requestId(11),
  listRequests: 1,
  otherRequests: 2,
  receivedBytes: RECEIVED_BYTES,
  retries: FAILED_REQUESTS.length - 1,
  throttles: 0,
};

const EVENTS: readonly SessionEvent[] = [
  {
    at: "2026-01-02T03:04:05.000Z",
    detail: "AKIAEXAMPLE, until no end known",
    kind: "credentials",
    requestId: null,
  },
  ...FAILED_REQUESTS.map((number): SessionEvent => ({
    at: "2026-01-02T03:04:05.000Z",
    detail: `GetSnapshotBlock of block ${UNREADABLE_INDEX}: ${MISMATCH}`,
    kind: "failed_request",
    requestId: requestId(number),
  })),
];

const COMMAND_LINE = ["coldcase", "acquire", "snap-0123456789abcdef0"];

/** The key of a seed of 32 equal bytes, so that anybody can sign the same again. */
export async function seededKey(world: World, seed: number): Promise<SigningKey> {
  const folder = Deno.makeTempDirSync();
  try {
    const source = `${folder}/signing_key`;
    const text = encodeOpensshKey(new Uint8Array(32).fill(seed), {
      comment: "coldcase signing key, made 2026-01-02",
      check: 0,
    });
    Deno.writeTextFileSync(source, text, { mode: 0o600 });
    return (await openSigningKey(world, { source })).key;
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
}

/** The key that signs the example. */
export function exampleKey(world: World): Promise<SigningKey> {
  return seededKey(world, 0x2a);
}

/** The key of whoever signs, copies and logs beside the first. */
export function otherKey(world: World): Promise<SigningKey> {
  return seededKey(world, 0x2b);
}

/** A clock that stands until it is set, and bytes that count up. */
export interface FixedWorld extends World {
  setTime(text: string): void;
  setCounter(value: number): void;
}

export function fixedWorld(disk: Disk): FixedWorld {
  let timeMs = 0;
  let counter = 0;
  const clock: Clock = {
    nowMs: () => timeMs,
    monotonicMs: () => timeMs,
    sleep: () => Promise.resolve(),
  };
  const randomness: Randomness = {
    bytes: (length) => {
      counter++;
      return new Uint8Array(length).map((_, at) => at === length - 1 ? counter % 256 : 0);
    },
    fraction: () => 0,
  };
  return {
    clock,
    randomness,
    disk,
    host: { ...HOST, cpuCount: 2, processId: 1, programPath: undefined, runtime: TOOL.runtime },
    environment: () => undefined,
    setTime: (text) => {
      timeMs = Date.parse(text);
    },
    setCounter: (value) => {
      counter = value;
    },
  };
}

/** The digest of the listed indexes, as the journal notes it. */
function listingDigest(indexes: readonly number[]): Digest {
  const bytes = new DataView(new ArrayBuffer(4 * indexes.length));
  indexes.forEach((index, at) => bytes.setUint32(4 * at, index, true));
  return sha256(new Uint8Array(bytes.buffer));
}

/** Puts the example's blocks; `flushAfter`: block indexes after which a pack is closed. */
async function acquire(acquisition: Acquisition, flushAfter: readonly number[]): Promise<void> {
  const session = {
    callerAccount: "111122223333",
    callerArn: "arn:aws:iam::111122223333:user/examiner",
    callerUserId: "AIDAEXAMPLEUSERID0001",
    commandLine: COMMAND_LINE,
    credentialSource: "profile examiner",
    destination: DESTINATION,
    examiner: "A. Examiner",
    host: HOST,
    proxy: null,
    startedAt: "2026-01-02T03:04:05.000Z",
    tool: TOOL,
  };
  const events = [...EVENTS];
  await acquisition.startSession(session, { counts: () => COUNTS, takeEvents: () => events.splice(0) });
  const indexes = [...EXAMPLE_BLOCKS.keys(), UNREADABLE_INDEX].sort((a, b) => a - b);
  await acquisition.noteDescription(DESCRIPTION);
  await acquisition.noteListing({ blocks: indexes.length, digest: listingDigest(indexes) });
  for (const index of indexes) {
    const bytes = EXAMPLE_BLOCKS.get(index);
    if (!bytes) await acquisition.putUnreadable(index, UNREADABLE);
    else {
      const block = { kind: "verified", digest: sha256(bytes), bytes: bytes.slice() };
      await acquisition.put(index, block as unknown as VerifiedBlock);
    }
    if (flushAfter.includes(index)) await acquisition.flush();
  }
  await acquisition.flush();
}

/** How the example's store is made. */
export interface ExampleOptions {
  /** Block indexes after which a pack is closed; without any there is one pack. */
  readonly flushAfter?: readonly number[];
  /** Told of the journal's folder before the commit removes it. */
  onUncommitted?(journalFolder: string): void;
  /** Given the store after its first custody entry, before it is closed. */
  onCommitted?(store: Store, world: FixedWorld): Promise<void>;
}

/** Makes the example's store in the empty folder `root`. */
export async function makeExampleStore(root: string, options: ExampleOptions = {}): Promise<void> {
  const world = fixedWorld(realDisk);
  world.setTime("2026-01-02T03:04:05.000Z");
  const shape = volumeShape({ blockSizeBytes: BLOCK_BYTES, volumeSizeGib: 1 });
  if (typeof shape === "string") throw new Error(shape);
  const store = await openStoreForWriting(world, root, { case: "2026-017", unsafeFileSystem: true });
  try {
    world.setCounter(41);
    const acquisition = await store.begin({
      source: {
        kind: "aws-ebs",
        endpoint: "https://ebs.eu-central-1.amazonaws.com",
        isAws: true,
        region: "eu-central-1",
        snapshot: "snap-0123456789abcdef0" as SnapshotId,
      },
      shape,
      parent: undefined,
      supersedes: undefined,
    });
    await acquire(acquisition, options.flushAfter ?? []);
    options.onUncommitted?.(`${root}/journal/${acquisition.head.exhibit}`);
    world.setTime("2026-01-02T03:04:06.000Z");
    const key = await exampleKey(world);
    await acquisition.commit({ ...EXAMPLE_FACTS, key });
    const { id, inventory } = await store.exhibit(acquisition.head.exhibit);
    await store.evidence.logCustody({
      action: "acquire",
      clockSkewMs: 0,
      commandLine: COMMAND_LINE,
      exhibits: [{ commitment: inventory.commitment, exhibit: id }],
      host: HOST,
      reason: null,
      result: { exitCode: 0, facts: { unreadableBlocks: 1 }, outcome: "done" },
    }, { key, tool: TOOL });
    await options.onCommitted?.(store, world);
  } finally {
    store.close();
  }
}

/**
 * One of everything: two packs (a raw and a zstd record), two segments with blocks, all four states, two signers, two
 * custody chains, an addendum, a receipt, and an (unsigned) time-stamp token.
 */
export async function makeFullStore(root: string): Promise<void> {
  await makeExampleStore(root, { flushAfter: [0], onCommitted: addEvidence });
}

async function addEvidence(store: Store, world: FixedWorld): Promise<void> {
  const [first, second] = [await exampleKey(world), await otherKey(world)];
  const [id] = await store.exhibitIds();
  const exhibit = await store.exhibit(id!);
  const entry = (action: "export" | "copy" | "sign") => ({
    action,
    clockSkewMs: null,
    commandLine: ["coldcase", action, exhibit.id],
    exhibits: [{ commitment: exhibit.inventory.commitment, exhibit: exhibit.id }],
    host: HOST,
    reason: "for the court",
    result: { exitCode: 0, facts: {}, outcome: "done" },
  });
  const at = (second: number) => world.setTime(`2026-01-02T03:05:0${second}.000Z`);
  at(0);
  await store.evidence.addAddendum(exhibit, {
    at: "2026-01-02T03:05:00.000Z",
    by: "export",
    digests: { md5: null, sha1: null, sha256: sha256(TEXT_ENCODER.encode("the image")) },
    examiner: "A. Examiner",
    filled: { absentBlocks: 2_097_146, unreadableBlocks: 1 },
    host: HOST,
    volumeSizeBytes: 2 ** 30,
  }, first);
  await store.evidence.logCustody(entry("export"), { key: first, tool: TOOL });
  at(1);
  await store.evidence.sign(exhibit, second);
  await store.evidence.logCustody(entry("sign"), { key: second, tool: TOOL });
  at(2);
  await store.evidence.putReceipt({
    at: "2026-01-02T03:05:02.000Z",
    bytes: exhibit.inventory.files.reduce((sum, file) => sum + file.sizeBytes, 0),
    commitment: exhibit.inventory.commitment,
    custodyHeads: await store.evidence.custodyHeads(),
    exhibit: exhibit.id,
    files: exhibit.inventory.files.length,
    from: store.file.id,
    inventory: sha256(TEXT_ENCODER.encode("the copy's inventory")),
    reason: null,
    to: "0".repeat(31) + "2",
    type: "coldcase-receipt",
    version: FORMAT_VERSION,
  }, first);
  await store.evidence.logCustody(entry("copy"), { key: first, tool: TOOL });
  const { signatureFile } = store.evidence.signatureFiles(exhibit);
  await store.evidence.putToken(
    signatureFile,
    unsignedToken(await store.evidence.signatureBytes(signatureFile)),
  );
}
