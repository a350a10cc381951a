/**
 * Segments: the states and digests of 16,384 consecutive blocks (the last segment of a volume may be
 * shorter) as a canonical JSON document of runs. Equal contents make equal bytes, so segments of one
 * volume's snapshots are shared where nothing changed. No time, pack or tool is in here.
 *
 * @see store-format.md, "Segment"
 */
import { OperatorError } from "../errors.ts";
import { type BlockState, type Digest, SEGMENT_BLOCKS, type VolumeShape } from "../model.ts";
import { decodeCanonicalJson, encodeCanonicalJson } from "./canonical_json.ts";
import { zeroDigest } from "./digests.ts";
import { FORMAT_VERSION } from "./members.ts";
import { arrayOf, type Check, digest, integer, literal, object } from "./schema.ts";

/** 16,384 digests of 67 bytes each, and runs that alternate: below 2 MiB. */
export const MAX_SEGMENT_BYTES = 2 * 1024 * 1024;

/** One block as a segment describes it. */
export type SegmentBlock =
  | { readonly state: "stored"; readonly digest: Digest }
  | { readonly state: Exclude<BlockState, "stored">; readonly digest?: undefined };

/** Blocks by their position in the segment. */
export type Segment = readonly SegmentBlock[];

const ABSENT = { state: "absent" } as const;
const ZERO = { state: "zero" } as const;
const UNREADABLE = { state: "unreadable" } as const;

/** The shared value of a block that holds no digest. */
export function plainBlock(
  state: Exclude<BlockState, "stored">,
): Exclude<SegmentBlock, { readonly state: "stored" }> {
  return state === "absent" ? ABSENT : state === "zero" ? ZERO : UNREADABLE;
}

/** How many segments a volume has. */
export function segmentCount(shape: VolumeShape): number {
  return Math.ceil(shape.blockCount / SEGMENT_BLOCKS);
}

/** How many blocks segment `position` of the volume has: 1 to 16,384. */
export function segmentLength(shape: VolumeShape, position: number): number {
  return Math.min(SEGMENT_BLOCKS, shape.blockCount - position * SEGMENT_BLOCKS);
}

/** The canonical bytes of a segment; their SHA-256 is the segment's digest. */
export function encodeSegment(blocks: Segment): Uint8Array<ArrayBuffer> {
  const runs: ({ state: string; blocks: number } | { state: "stored"; digests: Digest[] })[] = [];
  for (const block of blocks) {
    const last = runs.at(-1);
    if (block.state === "stored") {
      if (last && "digests" in last) last.digests.push(block.digest);
      else runs.push({ state: "stored", digests: [block.digest] });
    } else if (last && "blocks" in last && last.state === block.state) last.blocks++;
    else runs.push({ state: block.state, blocks: 1 });
  }
  return encodeCanonicalJson({ type: "coldcase-segment", version: FORMAT_VERSION, runs });
}

const holeRun = object({
  blocks: integer(1, SEGMENT_BLOCKS),
  state: literal("absent", "zero", "unreadable"),
});
const storedRun = object({ digests: arrayOf(digest, SEGMENT_BLOCKS), state: literal("stored") });
const run: Check<ReturnType<typeof holeRun> | ReturnType<typeof storedRun>> = (value, place) =>
  typeof value === "object" && value !== null && "digests" in value
    ? storedRun(value, place)
    : holeRun(value, place);
const segmentDocument = object({
  type: literal("coldcase-segment"),
  version: literal(FORMAT_VERSION),
  runs: arrayOf(run, SEGMENT_BLOCKS),
});

/**
 * The blocks of a segment document.
 *
 * @param bytes The document; whoever took it from a store has compared its SHA-256 already.
 * @param options `name` for messages; `blockCount` that it must have; `blockSizeBytes` of the volume.
 * Throws `format`: runs that are empty, could be longer, or do not add up; a stored block of zeros.
 */
export function decodeSegment(
  bytes: Uint8Array,
  options: { readonly name: string; readonly blockCount: number; readonly blockSizeBytes: number },
): Segment {
  const { name, blockCount, blockSizeBytes } = options;
  const { runs } = decodeCanonicalJson(bytes, { name, maxBytes: MAX_SEGMENT_BYTES, check: segmentDocument });
  const zeros = zeroDigest(blockSizeBytes);
  const blocks: SegmentBlock[] = [];
  let before: string | undefined;
  for (const [position, item] of runs.entries()) {
    const length = "digests" in item ? item.digests.length : item.blocks;
    const fault = item.state === before
      ? "continues the run before it"
      : length === 0
      ? "is empty"
      : blocks.length + length > blockCount
      ? `ends after block ${blocks.length + length}, the segment has ${blockCount}`
      : undefined;
    if (fault) throw new OperatorError("format", `Cannot read ${name}: run ${position} ${fault}`);
    before = item.state;
    if ("digests" in item) {
      for (const stored of item.digests) {
        if (stored === zeros) {
          throw new OperatorError(
            "format",
            `Cannot read ${name}: block ${blocks.length} is zeros but "stored"`,
          );
        }
        blocks.push({ state: "stored", digest: stored });
      }
    } else {
      const block = plainBlock(item.state);
      for (let count = 0; count < length; count++) blocks.push(block);
    }
  }
  if (blocks.length !== blockCount) {
    throw new OperatorError(
      "format",
      `Cannot read ${name}: has ${blocks.length} blocks, expected ${blockCount}`,
    );
  }
  return blocks;
}

/** Blocks of a segment (or of a whole volume) by state. */
export interface StateCounts {
  readonly absentBlocks: number;
  readonly zeroBlocks: number;
  readonly storedBlocks: number;
  readonly unreadableBlocks: number;
}

export function countStates(blocks: Segment): StateCounts {
  let [absentBlocks, zeroBlocks, storedBlocks, unreadableBlocks] = [0, 0, 0, 0];
  // A volume has up to 2^27 blocks: a member looked up by name for each takes five times as long.
  for (const { state } of blocks) {
    if (state === "absent") absentBlocks++;
    else if (state === "stored") storedBlocks++;
    else if (state === "zero") zeroBlocks++;
    else unreadableBlocks++;
  }
  return { absentBlocks, zeroBlocks, storedBlocks, unreadableBlocks };
}

export function addCounts(a: StateCounts, b: StateCounts): StateCounts {
  return {
    absentBlocks: a.absentBlocks + b.absentBlocks,
    storedBlocks: a.storedBlocks + b.storedBlocks,
    unreadableBlocks: a.unreadableBlocks + b.unreadableBlocks,
    zeroBlocks: a.zeroBlocks + b.zeroBlocks,
  };
}
