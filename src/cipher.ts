/**
 * What happens to a block between its digest and a pack: compression. Encryption is of whole files, in
 * `cipher_age.ts`. Native and synchronous: whoever wants it off the main thread calls it from a worker.
 *
 * @see store-format.md, "Pack"; RFC 8878 (zstd)
 */
import { constants, zstdCompressSync, zstdDecompressSync } from "node:zlib";
import { messageOf, OperatorError } from "./errors.ts";
import type { Codec } from "./format/pack.ts";

/** Level 1: 283 MiB/s on text, 1,605 on random data on one thread (measured); level 3 halves that for 6 %. */
const ZSTD_OPTIONS = { params: { [constants.ZSTD_c_compressionLevel]: 1 } } as const;

/**
 * A frame may ask for a window of 2 GiB before it gives a byte: no more than the 8 MiB of store-format.md is
 * granted, which is beyond what level 1 uses for the largest block.
 */
const UNZSTD_PARAMS = { [constants.ZSTD_d_windowLogMax]: 23 } as const;

/** Compressed only where it saves more than 1/32: reading raw is faster and easier to salvage. */
const WORTHWHILE = 31 / 32;

/**
 * Tried before a whole block is: what is encrypted or compressed already is most of many volumes, and finding that out
 * by compressing all of it takes a fifth of an acquisition's time (measured). So many pieces of so many bytes, evenly
 * spread; a stretch that compresses and lies between two of them is kept raw, which costs space and nothing else.
 */
const SAMPLE = { pieces: 16, pieceBytes: 2048 } as const;

/** A block of which a sample is worth as much as the whole. */
const MIN_SAMPLED_BYTES = 4 * SAMPLE.pieces * SAMPLE.pieceBytes;

/** A block as a record holds it: `raw` gives `block` itself back, not a copy. */
export function packBlock(block: Uint8Array): { readonly codec: Codec; readonly stored: Uint8Array } {
  if (block.length >= MIN_SAMPLED_BYTES && !isWorthTrying(block)) return { codec: "raw", stored: block };
  const compressed = firstFrame(zstdCompressSync(block, ZSTD_OPTIONS));
  return compressed && compressed.length < block.length * WORTHWHILE
    ? { codec: "zstd", stored: compressed }
    : { codec: "raw", stored: block };
}

function isWorthTrying(block: Uint8Array): boolean {
  const { pieces, pieceBytes } = SAMPLE;
  const sample = new Uint8Array(pieces * pieceBytes);
  const stride = (block.length - pieceBytes) / (pieces - 1);
  for (let piece = 0; piece < pieces; piece++) {
    const start = Math.floor(piece * stride);
    sample.set(block.subarray(start, start + pieceBytes), piece * pieceBytes);
  }
  return zstdCompressSync(sample, ZSTD_OPTIONS).length < sample.length * WORTHWHILE;
}

/**
 * The block that a record holds; of a `raw` one `stored` itself, not a copy. Never takes memory for more than
 * `blockBytes` and a window of 8 MiB.
 * Throws `integrity` where the stored bytes do not give exactly that many.
 */
export function unpackBlock(
  stored: Uint8Array,
  record: { readonly codec: Codec; readonly blockBytes: number },
): Uint8Array {
  let block = stored;
  try {
    if (record.codec === "zstd") {
      checkFrame(stored);
      block = zstdDecompressSync(stored, { maxOutputLength: record.blockBytes, params: UNZSTD_PARAMS });
    }
  } catch (error) {
    throw new OperatorError("integrity", `Cannot decompress a record: ${messageOf(error)}`, { cause: error });
  }
  if (block.length !== record.blockBytes) {
    throw new OperatorError(
      "integrity",
      `Cannot unpack a record: gives ${block.length} bytes, expected ${record.blockBytes}`,
    );
  }
  return block;
}

/**
 * Refuses what is more, or less, than one zstd frame without a dictionary: the decoder alone takes several
 * frames for one, and tolerates bytes after the last. Blocks are walked by their headers, not read.
 *
 * @see RFC 8878, section 3.1.1
 */
function checkFrame(bytes: Uint8Array): void {
  const end = frameEnd(bytes);
  if (end !== bytes.length) throw new Error(`its frame ends at byte ${end}, expected ${bytes.length}`);
}

/**
 * Deno appends an empty frame where the compressed bytes fill its buffers, with a header of one of two forms (2.9.6, measured).
 * `undefined` where anything else follows: such a block can't be held compressed.
 */
function firstFrame(compressed: Uint8Array): Uint8Array | undefined {
  const end = frameEnd(compressed);
  if (end === compressed.length) return compressed;
  return isEmptyFrame(compressed.subarray(end)) ? compressed.subarray(0, end) : undefined;
}

/** One raw block of no bytes, the last, and nothing else. */
function isEmptyFrame(bytes: Uint8Array): boolean {
  const start = blocksStart(bytes);
  return bytes.length === start + 3 && bytes[start] === 1 && bytes[start + 1] === 0 && bytes[start + 2] === 0;
}

/** Offset of the byte after the frame that `bytes` start with. */
function frameEnd(bytes: Uint8Array): number {
  const fields = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  let end = blocksStart(bytes);
  const checksumBytes = (fields.getUint8(4) & 0x04) === 0 ? 0 : 4;
  for (let isLast = false; !isLast;) {
    if (end + 3 > bytes.length) throw new Error("its frame is cut off");
    const header = fields.getUint16(end, true) | fields.getUint8(end + 2) << 16;
    isLast = (header & 1) !== 0;
    // Type 1 is one byte, repeated.
    end += 3 + ((header >> 1 & 3) === 1 ? 1 : header >> 3);
  }
  return end + checksumBytes;
}

/** Offset of the first block of the frame that `bytes` start with. */
function blocksStart(bytes: Uint8Array): number {
  const fields = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  if (bytes.length < 9 || fields.getUint32(0, true) !== 0xfd2fb528) throw new Error("it is no zstd frame");
  const descriptor = fields.getUint8(4);
  if ((descriptor & 0x08) !== 0) throw new Error("its frame header has a reserved bit");
  if ((descriptor & 0x03) !== 0) throw new Error("its frame needs a dictionary");
  const isSingleSegment = (descriptor & 0x20) !== 0;
  const contentSizeBytes = [isSingleSegment ? 1 : 0, 2, 4, 8][descriptor >> 6]!;
  return 5 + (isSingleSegment ? 0 : 1) + contentSizeBytes;
}
