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
 * What names a manifest in files that are never encrypted: SHA-256 of the text `coldcase-commitment-v1`, its digest,
 * each ending in a newline. The same in every store that holds the manifest, and no digest of any contents.
 */
export function commitmentOf(manifest: Digest): Digest {
  return sha256(new TextEncoder().encode(`coldcase-commitment-v1\n${manifest}\n`));
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
