/**
 * What happens to a block between its digest and a pack: compression (and, in an encrypted store, age; that
 * is not built yet). Native and synchronous: whoever wants it off the main thread calls it from a worker.
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

/** A block as a record holds it: `raw` gives `block` itself back, not a copy. */
export function packBlock(block: Uint8Array): { readonly codec: Codec; readonly stored: Uint8Array } {
  const compressed = zstdCompressSync(block, ZSTD_OPTIONS);
  return compressed.length < block.length * WORTHWHILE
    ? { codec: "zstd", stored: compressed }
    : { codec: "raw", stored: block };
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
