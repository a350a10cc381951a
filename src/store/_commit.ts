/**
 * Makes an exhibit of a complete acquisition: segments, side documents, manifest, inventory, in this order,
 * each durable before the next; the inventory's signature is the commit point. Work is in proportion to the change where
 * there is a parent. One segment is in memory at a time.
 *
 * @see store-format.md, "Order of writes"
 */
import { encodeHex } from "@std/encoding/hex";
import { OperatorError } from "../errors.ts";
import {
  encodeDescription,
  encodeSessions,
  encodeUnreadable,
  MAX_SESSION_EVENTS,
  type SessionCounts,
  type SessionEvent,
} from "../format/documents.ts";
import { commitmentOf, imageDigest, sha256 } from "../format/digests.ts";
import { encodeFileMap } from "../format/file_map.ts";
import { encodeInventory, type Inventory } from "../format/inventory.ts";
import type { JournalHead, RecordedBlock } from "../format/journal.ts";
import { type AcquisitionRecord, type CaseFacts, encodeManifest, type Manifest } from "../format/manifest.ts";
import {
<<<<<<< helper
  addCounts,
  countStates,
  encodeSegment,
  NO_STATES,
  plainBlock,
  type Segment,
  type SegmentBlock,
  segmentCount,
  segmentLength,
  type StateCounts,
  subtractCounts,
} from "../format/segment.ts";
import {
=======
>>>>>>> pipe
  type Clock,
  type Disk,
  type ExhibitId,
  type ObjectName,
  type Randomness,
  SEGMENT_BLOCKS,
  type StoredObject,
  type VolumeShape,
} from "../model.ts";
import { formatTime } from "../units.ts";
import { FORMAT_VERSION, type ToolFacts } from "../format/members.ts";
import type { SigningKey } from "../keys.ts";
import { buildSegments, type Built, type Put, type Written } from "./_commit_segments.ts";
import type { Contents } from "./_contents.ts";
import { custodyHeads } from "./_custody.ts";
import type { Exhibit } from "./_exhibit.ts";
import type { LocalStorage } from "./_local_storage.ts";
import type { PackedBlocks } from "./_packed_blocks.ts";
import type { Progress } from "./_progress.ts";
import { putInventory, putSignature } from "./_signatures.ts";

/** What the one who commits tells. */
export interface CommitFacts {
  readonly case: CaseFacts;
  readonly destination: AcquisitionRecord["destination"];
  readonly unsafeFileSystem: boolean;
  readonly host: AcquisitionRecord["host"];
  readonly tool: ToolFacts;
  /** Signs manifest and inventory. */
  readonly key: SigningKey;
  readonly snapshot: AcquisitionRecord["snapshot"];
  /** The service's own words on the snapshot; `undefined`: not known. */
  readonly description: { readonly answer: unknown; readonly receivedAt: string } | undefined;
  /** True: some listed blocks were never tried. */
  readonly isPartial: boolean;
  /** What a block is that was neither recorded nor taken over: not listed, or not known. */
  readonly rest: "absent" | "not_acquired";
}

/** Everything that a commit works on. */
export interface CommitInput {
  readonly storage: LocalStorage;
  readonly contents: Contents;
  readonly disk: Disk;
  readonly clock: Clock;
  readonly randomness: Randomness;
  readonly blocks: PackedBlocks;
  readonly head: JournalHead;
  readonly shape: VolumeShape;
  readonly parent: Exhibit | undefined;
  readonly progress: Progress;
  readonly counts: SessionCounts;
  /** Of the session, since the last flush. */
  readonly events: readonly SessionEvent[];
  recorded(index: number): RecordedBlock | undefined;
  /** Makes it that nothing is recorded of these blocks. */
  forget(indexes: readonly number[]): Promise<void>;
  readonly facts: CommitFacts;
}

function startWriting({ contents, head, progress }: CommitInput): Written {
  const files = new Map<ObjectName, number>();
  for (const pack of progress.packs) if (!pack.isMissing) files.set(pack.name, pack.sizeBytes);
  const map: Written["map"] = { segments: {}, documents: {} };
  const put: Put = async (kind, bytes) => {
    const digest = sha256(bytes);
    const known = map[`${kind}s`];
    if (known[digest] !== undefined) return digest; // two of one content are one file
    const written = await contents.put(kind, bytes, head.exhibit);
    files.set(written.name, written.sizeBytes);
    known[digest] = written.digest;
    return digest;
  };
  return { files, map, put };
}

<<<<<<< helper
/** What was committed, as its writer knows it, who may not be able to open it. */
export type CommittedExhibit = Pick<Exhibit, "id" | "manifest" | "inventory">;
=======
/** What a commit made: known to whoever committed it, also where nobody here could open it again. */
export interface CommittedExhibit {
  readonly id: ExhibitId;
  readonly manifest: Manifest;
  readonly inventory: Inventory;
}
>>>>>>> pipe

export async function commitExhibit(input: CommitInput): Promise<CommittedExhibit> {
  const { storage, contents, head, facts } = input;
  const endedAt = formatTime(input.clock.nowMs());
  const written = startWriting(input);
  const { files } = written;
  const built = await buildSegments(input, written);
  checkAgainstListing(input, built);
  const manifest: Manifest = {
    acquisition: await recordAcquisition(input, { built, endedAt, put: written.put }),
    counts: built.counts,
    imageDigest: imageDigest(input.shape, built.segments),
    isPartial: facts.isPartial,
    parent: input.parent ? head.parent : null,
    segmentBlocks: SEGMENT_BLOCKS,
    segments: built.segments,
    source: head.source,
    supersedes: head.supersedes,
    type: "coldcase-manifest",
    version: FORMAT_VERSION,
    volume: head.volume,
  };
  const bytes = encodeManifest(manifest);
  const putNamed = async (kind: "manifest" | "map", bytes: Uint8Array) => {
    const file = await contents.put(kind, bytes, head.exhibit);
    files.set(file.name, file.sizeBytes);
    return file;
  };
  const map = contents.isEncrypted ? (await putNamed("map", encodeFileMap(written.map))).digest : null;
  const { name, digest } = await putNamed("manifest", bytes);
  await putSignature(storage, { name, bytes, namespace: "coldcase-manifest@v1" }, facts.key);
  const inventory: Inventory = {
    exhibit: head.exhibit,
    snapshot: head.source.snapshot,
    parent: manifest.parent?.exhibit ?? null,
    commitment: commitmentOf(sha256(bytes)),
    manifest: digest,
    map,
    committedAt: endedAt,
    files: [...files].map(([name, sizeBytes]): StoredObject => ({ name, sizeBytes })),
  };
  await putInventory(storage, { exhibit: head.exhibit, bytes: encodeInventory(inventory), key: facts.key });
  return { id: head.exhibit, manifest, inventory };
}

/** The acquisition's record; its side documents are put on the way. */
async function recordAcquisition(
  input: CommitInput,
  known: { readonly built: Built; readonly endedAt: string; readonly put: Put },
): Promise<AcquisitionRecord> {
  const { head, progress, facts } = input;
  const { built, endedAt, put } = known;
  const last = progress.sessions.at(-1)!;
  const events = [...last.events, ...input.events].slice(0, MAX_SESSION_EVENTS);
  const current = { ...last, ...input.counts, endedAt, events, outcome: "committed" };
  const sessions = [...progress.sessions.slice(0, -1), current];
  const total = (count: "fetchedBlocks" | "receivedBytes" | "retries" | "throttles") =>
    sessions.reduce((sum, session) => sum + session[count], 0);
  const takenOver = built.counts.storedBlocks + built.counts.zeroBlocks - built.fetchedBlocks;
  return {
    case: facts.case,
    clockSkewMs: input.counts.clockSkewMs,
    custodyHeads: await custodyHeads(input.storage),
    destination: facts.destination,
    documents: {
      description: facts.description ? await put("document", encodeDescription(facts.description)) : null,
      sessions: await put("document", encodeSessions(sessions)),
      unreadable: built.unreadable.length > 0
        ? await put("document", encodeUnreadable(built.unreadable))
        : null,
    },
    endedAt,
    exhibit: head.exhibit,
    fetchedBlocks: total("fetchedBlocks"),
    host: facts.host,
    listedBlocks: progress.listing?.blocks ?? null,
    nonce: encodeHex(input.randomness.bytes(16)),
    parentDropped: progress.parentDropped ?? null,
    receivedBytes: total("receivedBytes"),
    retries: total("retries"),
    sessions: sessions.length,
    signer: facts.key.fingerprint,
    snapshot: facts.snapshot,
    startedAt: head.createdAt,
    takenOverBlocks: takenOver,
    takenOverReadSince: takenOver > 0 ? readSince(input.parent) : null,
    throttles: total("throttles"),
    tool: facts.tool,
    unsafeFileSystem: facts.unsafeFileSystem,
    verification: {
      at: endedAt,
      level: "on_arrival",
      result: built.counts.unreadableBlocks > 0 ? "some_unreadable" : "all_matched",
    },
  };
}

/** Since when the bytes that are taken over were read: the parent's start, or what it says of its own. */
function readSince(parent: Exhibit | undefined): string | null {
  const record = parent?.manifest.acquisition;
  return record?.takenOverReadSince ?? record?.startedAt ?? null;
}

<<<<<<< helper
interface Built {
  readonly segments: readonly Digest[];
  readonly counts: StateCounts;
  /** Blocks of which this acquisition has the bytes: stored or zero. The parent's are taken over. */
  readonly fetchedBlocks: number;
  readonly unreadable: UnreadableDocument["entries"];
}

/** Writes every segment that differs from the parent's and names those that do not. */
async function buildSegments(input: CommitInput, { files, map, put }: Written): Promise<Built> {
  const { parent, shape, progress } = input;
  const parentSizes = new Map<ObjectName, number>();
  for (const file of parent?.inventory.files ?? []) {
    const kind = parseName(file.name)?.kind;
    if (kind === "pack") files.set(file.name, file.sizeBytes);
    if (kind === "segment") parentSizes.set(file.name, file.sizeBytes);
  }
  const rest = plainBlock(input.facts.rest === "absent" ? "absent" : "unreadable");
  const segments: Digest[] = [];
  let counts = parent ? parent.manifest.counts : NO_STATES;
  let fetchedBlocks = 0;
  const present = new Set<ObjectName>();
  /** The segment that holds nothing: most of a large volume, and made once. */
  let blank: { readonly blockCount: number; readonly digest: Digest } | undefined;
  const unreadable: { blocks: number; first: UnreadableDocument["entries"][number]["first"] }[] = [];
  for (let position = 0; position < segmentCount(shape); position++) {
    const blockCount = segmentLength(shape, position);
    const taken = takenWhole(input, position);
    const takenFile = taken ? parent?.segmentFile(taken) : undefined;
    const takenBytes = takenFile === undefined ? undefined : parentSizes.get(takenFile);
    if (taken && takenFile && takenBytes !== undefined) {
      files.set(takenFile, takenBytes);
      map.segments[taken] = parseName(takenFile)!.digest;
      segments.push(taken);
      continue;
    }
    const base = await parentSegment(parent, position);
    const isBlank = base.length === 0 && !progress.segments.has(position) && rest.state === "absent";
    if (isBlank && blank?.blockCount === blockCount) {
      segments.push(blank.digest);
      counts = addCounts(counts, { ...NO_STATES, absentBlocks: blockCount });
      continue;
    }
    const blocks: (SegmentBlock | RecordedBlock)[] = [];
    for (let at = 0; at < blockCount; at++) {
      const index = position * SEGMENT_BLOCKS + at;
      const recorded = input.recorded(index);
      const block = recorded ?? base[at] ?? rest;
      blocks.push(block);
      if (recorded?.state === "stored" || recorded?.state === "zero") fetchedBlocks++;
      if (block.state === "unreadable") noteUnreadable(unreadable, progress.unreadable.get(index), index);
    }
    await checkHeld(input, { position, blocks, files, present });
    const digest = await put("segment", encodeSegment(blocks));
    segments.push(digest);
    if (isBlank) blank = { blockCount, digest };
    counts = addCounts(subtractCounts(counts, countStates(base)), countStates(blocks));
  }
  return { segments, counts, fetchedBlocks, unreadable };
}

/** The parent's digest of a segment in which nothing was recorded. */
function takenWhole({ parent, progress, shape }: CommitInput, position: number): Digest | undefined {
  if (!parent || progress.segments.has(position)) return undefined;
  const isOfOneLength = parent.shape.blockCount >= position * SEGMENT_BLOCKS + segmentLength(shape, position);
  return isOfOneLength ? parent.manifest.segments[position] : undefined;
}

/** The parent's blocks of a segment; empty without a parent or beyond its volume. */
async function parentSegment(parent: Exhibit | undefined, position: number): Promise<Segment> {
  if (!parent || position >= parent.manifest.segments.length) return [];
  return await parent.segment(position);
}

/** Blocks without an entry of their own were never tried: consecutive ones are one entry. */
function noteUnreadable(
  entries: { blocks: number; first: UnreadableDocument["entries"][number]["first"] }[],
  entry: UnreadableDocument["entries"][number]["first"] | undefined,
  index: number,
): void {
  const last = entries.at(-1);
  if (entry) entries.push({ blocks: 1, first: entry });
  else if (last?.first.reason === "not_acquired" && last.first.block + last.blocks === index) last.blocks++;
  else {
    const first = {
      attempts: 0,
      block: index,
      detail: "never tried",
      reason: "not_acquired",
      requestIds: [],
    } as const;
    entries.push({ blocks: 1, first });
  }
}

/**
 * Every stored block must be in a pack that is there and that the inventory names; a copy elsewhere makes that
 * pack needed too. What is recorded and held by none is forgotten, so that the next session fetches it again.
 *
 * @param segment `present`: packs that were looked at in this commit.
 */
async function checkHeld(
  input: CommitInput,
  segment: {
    readonly position: number;
    readonly blocks: readonly (SegmentBlock | RecordedBlock)[];
    readonly files: Map<ObjectName, number>;
    readonly present: Set<ObjectName>;
  },
): Promise<void> {
  const missing: number[] = [];
  for (const [at, block] of segment.blocks.entries()) {
    if (block.state !== "stored") continue;
    // Whoever acquires may not be able to look into a pack. The parent's are all in the list, and are there: that
    // was found out when it was chosen.
    if (!("packNumber" in block) && input.contents.isEncrypted) continue;
    const pack = await packOf(input, block, segment.present);
    if (pack) segment.files.set(pack.name, pack.sizeBytes);
    else missing.push(at);
  }
  const first = missing[0];
  if (first === undefined) return;
  const firstIndex = segment.position * SEGMENT_BLOCKS;
  const lost = missing.map((at) => firstIndex + at).filter((index) => input.recorded(index) !== undefined);
  await input.forget(lost);
  const { exhibit } = input.head;
  const digest = segment.blocks[first]!.digest!;
  throw new OperatorError("integrity", `Cannot commit "${exhibit}": no pack holds block ${digest}`, {
    facts: { digest, exhibit },
    hints: lost.length > 0 ? ["Run the same command again: what no pack holds is fetched again."] : [],
  });
}

/** The pack that holds a block, where it is there: the journal says which, of a block that is taken over the index. */
async function packOf(
  input: CommitInput,
  block: Extract<SegmentBlock | RecordedBlock, { readonly state: "stored" }>,
  present: Set<ObjectName>,
): Promise<StoredObject | undefined> {
  if (!("packNumber" in block)) {
    const place = await input.blocks.findPresent(block.digest, present);
    return place && { name: place.pack, sizeBytes: place.packBytes };
  }
  const pack = input.progress.packs[block.packNumber];
  if (!pack || present.has(pack.name)) return pack;
  if ((await input.storage.stat(pack.name))?.sizeBytes !== pack.sizeBytes) return undefined;
  present.add(pack.name);
  return pack;
}

=======
>>>>>>> pipe
/** The listing that was read to its end must be what is recorded; else the snapshot changed under us. */
function checkAgainstListing(input: CommitInput, built: Built): void {
  const listing = input.progress.listing;
  const held = built.counts.storedBlocks + built.counts.zeroBlocks + built.counts.unreadableBlocks;
  if (input.facts.isPartial || listing?.blocks === held) return;
  throw new OperatorError(
    "source",
    `Cannot commit "${input.head.source.snapshot}": its listing has ${
      listing?.blocks ?? "no"
    } blocks, ${held} are recorded`,
    {
      facts: { reason: "LISTING_CHANGED", snapshot: input.head.source.snapshot },
      hints: ["Nothing that was recorded is lost. --fresh starts anew."],
    },
  );
}
