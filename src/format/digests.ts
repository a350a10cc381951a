/**
 * SHA-256 as coldcase uses it: of bytes, of a stream of bytes, of a block of zeros; and the image digest,
 * which depends on a source's contents alone.
 *
 * @see store-format.md, "Image digest"
 */
import { createHash, type Hash } from "node:crypto";
import type { Digest, VolumeShape } from "../model.ts";
import { SEGMENT_BLOCKS } from "../model.ts";

export function sha256(bytes: Uint8Array): Digest {
  return createHash("sha256").update(bytes).digest("hex") as Digest;
}

/** A SHA-256 that is fed piece by piece. */
export class Sha256 {
  readonly #hash: Hash = createHash("sha256");

  update(bytes: Uint8Array): this {
    this.#hash.update(bytes);
    return this;
  }

  /** Ends the stream: no `update` after it. */
  digest(): Digest {
    return this.#hash.digest("hex") as Digest;
  }
}

const zeroDigests = new Map<number, Digest>();

/** The digest of a block of `blockSizeBytes` zeros; such a block is `zero`, never `stored`. */
export function zeroDigest(blockSizeBytes: number): Digest {
  let known = zeroDigests.get(blockSizeBytes);
  if (known === undefined) {
    known = sha256(new Uint8Array(blockSizeBytes));
    zeroDigests.set(blockSizeBytes, known);
  }
  return known;
}

/**
 * The image digest: SHA-256 over a line of the volume's shape and one segment digest a line, in order.
 *
 * @param segments Digests of all segments; `ceil(blockCount / 16384)` of them.
 */
export function imageDigest(shape: VolumeShape, segments: Iterable<Digest>): Digest {
  const hash = createHash("sha256");
  hash.update(`coldcase-image-v1\n${shape.blockSizeBytes} ${shape.blockCount} ${SEGMENT_BLOCKS}\n`);
  for (const segment of segments) hash.update(`${segment}\n`);
  return hash.digest("hex") as Digest;
}
