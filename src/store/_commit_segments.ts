/**
 * The segments of an exhibit that is being committed: those that differ from the parent's are made and put, one in
 * memory at a time; the others are named. Every stored block must be in a pack that is there.
 *
 * @see store-format.md, "Segment", "Order of writes"
 */
import { OperatorError } from "../errors.ts";
import type { UnreadableDocument } from "../format/documents.ts";
import type { RecordedBlock } from "../format/journal.ts";
import {
  countStates,
  encodeSegment,
  plainBlock,
  type Segment,
  type SegmentBlock,
  segmentCount,
  segmentLength,
  type StateCounts,
} from "../format/segment.ts";
import { type Digest, type ObjectName, SEGMENT_BLOCKS, type StoredObject } from "../model.ts";
import type { CommitInput } from "./_commit.ts";
import { UnreadableList } from "./_commit_documents.ts";
import type { Exhibit } from "./_exhibit.ts";
import { parseName } from "./_layout.ts";

/** Puts what the manifest names, remembers it for the inventory and the map, and gives its own digest. */
export type Put = (kind: "segment" | "document", bytes: Uint8Array) => Promise<Digest>;

/** What a commit has put so far, and what it takes over. */
export interface Written {
  /** For the inventory: names and sizes. */
  readonly files: Map<ObjectName, number>;
  /** For the map of an encrypted exhibit: the file's digest by the digest of what is in it. */
  readonly map: Record<"segments" | "documents", Record<string, Digest>>;
  readonly put: Put;
}

export interface Built {
  readonly segments: readonly Digest[];
  readonly counts: StateCounts;
  /** Blocks of which this acquisition has the bytes: stored or zero. The parent's are taken over. */
  readonly fetchedBlocks: number;
  readonly unreadable: UnreadableDocument["entries"];
}

/** Writes every segment that differs from the parent's and names those that do not. */
export async function buildSegments(input: CommitInput, { files, map, put }: Written): Promise<Built> {
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
  const untried = input.facts.rest === "no_file" ? "no_file" : "not_acquired";
  const unreadable = new UnreadableList(undefined, untried);
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
      counts = addCounts(counts, { ...NO_STATES, absentBlocks: blockCount }, 1);
      continue;
    }
    const blocks: (SegmentBlock | RecordedBlock)[] = [];
    for (let at = 0; at < blockCount; at++) {
      const index = position * SEGMENT_BLOCKS + at;
      const recorded = input.recorded(index);
      const block = recorded ?? base[at] ?? rest;
      blocks.push(block);
      if (recorded?.state === "stored" || recorded?.state === "zero") fetchedBlocks++;
      if (block.state === "unreadable") unreadable.note(index, progress.unreadable.get(index));
    }
    await checkHeld(input, { position, blocks, files, present });
    const digest = await put("segment", encodeSegment(blocks));
    segments.push(digest);
    if (isBlank) blank = { blockCount, digest };
    counts = addCounts(addCounts(counts, countStates(base), -1), countStates(blocks), 1);
  }
  return { segments, counts, fetchedBlocks, unreadable: unreadable.entries() };
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

const NO_STATES: StateCounts = { absentBlocks: 0, storedBlocks: 0, unreadableBlocks: 0, zeroBlocks: 0 };

function addCounts(a: StateCounts, b: StateCounts, sign: 1 | -1): StateCounts {
  return {
    absentBlocks: a.absentBlocks + sign * b.absentBlocks,
    storedBlocks: a.storedBlocks + sign * b.storedBlocks,
    unreadableBlocks: a.unreadableBlocks + sign * b.unreadableBlocks,
    zeroBlocks: a.zeroBlocks + sign * b.zeroBlocks,
  };
}
