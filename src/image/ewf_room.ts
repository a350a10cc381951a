/**
 * What can be said of an E01's size before its first byte: how large segment files must be for a volume to fit into the
 * names `.E01` to `.EZZ`, whatever its blocks hold, and whether there is room. Only compression tells the rest. It reads no block.
 */
import { OperatorError } from "../errors.ts";
import type { BlockReader } from "../model.ts";
import { formatSize, MIB } from "../units.ts";
import { volumeSizeBytes } from "./blocks.ts";
import { CHUNK_BYTES, MAX_SEGMENTS } from "./ewf_format.ts";
import { ZERO_CHUNK } from "./ewf_chunks.ts";

export const DEFAULT_SEGMENT_BYTES = 2048 * MIB;
/** Headers with the longest texts fit, and chunks beside them. */
export const MIN_SEGMENT_BYTES = 256 * 1024;
/** Of each segment file: texts and sections around the chunks, with all the errors that are listed; and the room that one more chunk lacks. */
const OVERHEAD_BYTES = 160 * 1024;
/** Of each chunk: a checksum, its entries in two tables, and its share of the sections (rounded up). */
const CHUNK_OVERHEAD_BYTES = 4 + 8 + 1;

/** Bytes that the volume takes at most, from the byte `fromBytes` of it on. */
export async function mostEwfBytes(reader: BlockReader, fromBytes = 0): Promise<number> {
  const { blockSizeBytes } = reader.shape;
  const firstChunk = Math.floor(fromBytes / CHUNK_BYTES);
  const chunkCount = Math.ceil(volumeSizeBytes(reader.shape) / CHUNK_BYTES) - firstChunk;
  let [stored, next] = [0, firstChunk];
  for await (const { state, firstBlock, blockCount } of reader.runs(Math.floor(fromBytes / blockSizeBytes))) {
    if (state !== "stored") continue;
    const end = Math.ceil((firstBlock + blockCount) * blockSizeBytes / CHUNK_BYTES);
    const start = Math.max(next, Math.floor(firstBlock * blockSizeBytes / CHUNK_BYTES));
    stored += Math.max(0, end - start);
    next = Math.max(next, end);
  }
  return stored * (CHUNK_BYTES + CHUNK_OVERHEAD_BYTES) +
    (chunkCount - stored) * (ZERO_CHUNK.bytes.length + CHUNK_OVERHEAD_BYTES);
}

/** Bytes that they take at least: as if all were one byte again and again. */
function leastEwfBytes(sizeBytes: number): number {
  return Math.ceil(sizeBytes / CHUNK_BYTES) * (ZERO_CHUNK.bytes.length + CHUNK_OVERHEAD_BYTES - 1);
}

/**
 * Throws `storage` where `freeBytes` can't be enough. What an operator should know where they may not be; `undefined` where
 * they are in any case.
 */
export async function ewfRoomWarning(
  reader: BlockReader,
  place: {
    readonly path: string;
    readonly folder: string;
    readonly freeBytes: number;
    readonly fromBytes: number;
  },
): Promise<string | undefined> {
  const { path, folder, freeBytes, fromBytes } = place;
  const needBytes = leastEwfBytes(volumeSizeBytes(reader.shape) - fromBytes);
  if (needBytes > freeBytes) {
    throw new OperatorError(
      "storage",
      `Cannot export to "${path}": ${formatSize(freeBytes)} free in "${folder}", ` +
        `${formatSize(needBytes)} needed at least`,
      { hints: ["Make room there, or name a target with more."], facts: { path, freeBytes, needBytes } },
    );
  }
  const mostBytes = await mostEwfBytes(reader, fromBytes);
  if (mostBytes <= freeBytes) return undefined;
  return `the E01 takes up to ${formatSize(mostBytes)}, less where its blocks can be compressed: ` +
    `${formatSize(freeBytes)} are free in "${folder}"; if they run out, what is whole is kept`;
}

/** The size of segment files: `asked`, or 2 GiB and more where the names need it. Throws `usage`. */
export function segmentBytes(
  stem: string,
  sizes: { readonly asked: number | undefined; readonly mostBytes: number },
): number {
  const { asked, mostBytes } = sizes;
  const leastBytes = Math.ceil((Math.ceil(mostBytes / MAX_SEGMENTS) + OVERHEAD_BYTES) / MIB) * MIB;
  if (asked === undefined) return Math.max(DEFAULT_SEGMENT_BYTES, leastBytes);
  if (asked < MIN_SEGMENT_BYTES) {
    throw new OperatorError(
      "usage",
      `Cannot split "${stem}": ${asked} bytes, a segment file has at least ${MIN_SEGMENT_BYTES}`,
    );
  }
  if (Math.ceil(mostBytes / (asked - OVERHEAD_BYTES)) <= MAX_SEGMENTS) return asked;
  throw new OperatorError(
    "usage",
    `Cannot split "${stem}": up to ${
      formatSize(mostBytes)
    } do not fit into ${MAX_SEGMENTS} segment files of ` +
      `${formatSize(asked)}, names go to .EZZ`,
    { hints: [`Give --split ${leastBytes / MIB}MiB or more, or leave it out.`] },
  );
}
