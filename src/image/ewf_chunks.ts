/**
 * Chunks of an EWF-E01 as they are stored: compressed by zlib where that makes them smaller, else as they are with a
 * checksum. Made in groups, each from its own bytes alone, so that one volume gives the same file whichever threads
 * make it and wherever an export was taken up again. It writes nothing.
 *
 * @see Joachim Metz, "Expert Witness Compression Format specification" (libewf), "Chunk"
 */
import { Buffer } from "node:buffer";
import { constants, deflateSync, zstdCompressSync } from "node:zlib";
import { adler32, CHUNK_BYTES, COMPRESSED, viewOf } from "./ewf_format.ts";

/** Chunks of a group: those of an EBS block. */
export const GROUP_CHUNKS = 16;
/** Bytes of the volume in a group, which begins at a multiple of them. */
export const GROUP_BYTES = GROUP_CHUNKS * CHUNK_BYTES;
/** What a group takes at most: each chunk as it is, with its checksum. */
export const PACKED_GROUP_BYTES = GROUP_CHUNKS * (CHUNK_BYTES + 4);

/**
 * Deno's zlib, on a program's file: 1 is 143 MiB/s and leaves 69 % of it, 2 is 66 and 59, 6 is 51 and 57 (measured). An export
 * then waits for its digests and its disk rather than for zlib.
 */
const LEVEL = constants.Z_BEST_SPEED;
const PROBE = { params: { [constants.ZSTD_c_compressionLevel]: 1 } };

/** A chunk as it is stored. */
export interface Chunk {
  readonly bytes: Uint8Array;
  readonly isCompressed: boolean;
}

const ZEROS = new Uint8Array(CHUNK_BYTES);

/** A chunk of zeros: most of many volumes, so made once, and as small as it can be. */
export const ZERO_CHUNK: Chunk = {
  bytes: deflateSync(ZEROS, { level: constants.Z_BEST_COMPRESSION }),
  isCompressed: true,
};

function packChunk(bytes: Uint8Array, isProbed: boolean): Chunk {
  if (bytes.length === CHUNK_BYTES && Buffer.compare(bytes, ZEROS) === 0) return ZERO_CHUNK;
  // zstd tells random bytes six times as fast as zlib does, and is hardly ever wrong (measured).
  if (!isProbed || zstdCompressSync(bytes, PROBE).length < bytes.length) {
    const deflated = deflateSync(bytes, { level: LEVEL });
    if (deflated.length < bytes.length) return { bytes: deflated, isCompressed: true };
  }
  const plain = new Uint8Array(bytes.length + 4);
  plain.set(bytes);
  viewOf(plain).setUint32(bytes.length, adler32(bytes), true);
  return { bytes: plain, isCompressed: false };
}

/**
 * Packs the chunks of a group, one after the other, into `into`, which holds `PACKED_GROUP_BYTES`. The sizes of them in order, with
 * the bit `COMPRESSED` where one is; the last chunk of a volume may be short.
 */
export function packGroup(bytes: Uint8Array, into: Uint8Array): Uint32Array {
  const sizes = new Uint32Array(Math.ceil(bytes.length / CHUNK_BYTES));
  let [end, isProbed] = [0, false];
  for (let index = 0; index < sizes.length; index++) {
    const chunk = packChunk(bytes.subarray(index * CHUNK_BYTES, (index + 1) * CHUNK_BYTES), isProbed);
    into.set(chunk.bytes, end);
    end += chunk.bytes.length;
    sizes[index] = chunk.isCompressed ? chunk.bytes.length + COMPRESSED : chunk.bytes.length;
    isProbed = !chunk.isCompressed;
  }
  return sizes;
}
