/**
 * Contents that are being written: what StartSnapshot began. Blocks go to a temporary file at their place in the
 * volume, their digests to a second one, so that memory holds a bitmap and nothing else. What was not written is
 * the parent's, where there is one.
 */
import * as fs from "node:fs";
import { createHash } from "node:crypto";
import { Bitmap } from "./bitmap.ts";
import type { Contents } from "./contents.ts";
import { readFully } from "./image.ts";

const DIGEST_BYTES = 32;

/** A volume of written blocks over a parent's. */
export class WrittenContents implements Contents {
  readonly blockSizeBytes: number;
  readonly blockCount: number;
  readonly #parent: Contents | undefined;
  readonly #written: Bitmap;
  readonly #blocks: number;
  readonly #digests: number;
  readonly #paths: readonly string[];

  /** Creates `path` and `path`.digests, which must not exist and are removed by `close`. */
  constructor(
    path: string,
    shape: {
      readonly blockSizeBytes: number;
      readonly volumeSizeGib: number;
      readonly parent?: Contents | undefined;
    },
  ) {
    this.blockSizeBytes = shape.blockSizeBytes;
    this.blockCount = shape.volumeSizeGib * 2 ** 30 / shape.blockSizeBytes;
    this.#parent = shape.parent;
    this.#written = new Bitmap(this.blockCount);
    this.#paths = [path, `${path}.digests`];
    this.#blocks = fs.openSync(this.#paths[0]!, "wx+");
    this.#digests = fs.openSync(this.#paths[1]!, "wx+");
  }

  /** Blocks that were written, each counted once. */
  get writtenCount(): number {
    return this.#written.count;
  }

  /** `digest` is the SHA-256 of `bytes`, which are exactly one block. A block written again is replaced. */
  write(index: number, block: { readonly bytes: Uint8Array; readonly digest: Uint8Array }): void {
    writeFully(this.#blocks, block.bytes, index * this.blockSizeBytes);
    writeFully(this.#digests, block.digest, index * DIGEST_BYTES);
    this.#written.add(index);
  }

  /** Base64 of the SHA-256 over the written blocks' digests in ascending order of their indexes. */
  linearChecksum(): string {
    const hash = createHash("sha256");
    const digest = new Uint8Array(DIGEST_BYTES);
    const end = this.blockCount;
    for (let index = this.#written.next(0, end); index < end; index = this.#written.next(index + 1, end)) {
      readFully(this.#digests, digest, index * DIGEST_BYTES);
      hash.update(digest);
    }
    return hash.digest("base64");
  }

  has(index: number): boolean {
    return this.#written.has(index) || (this.#parent?.has(index) ?? false);
  }

  next(from: number, limit: number): number {
    const own = this.#written.next(from, limit);
    return Math.min(own, this.#parent?.next(from, limit) ?? limit);
  }

  read(index: number): Uint8Array {
    if (!this.#written.has(index) && this.#parent) return this.#parent.read(index);
    const block = new Uint8Array(this.blockSizeBytes);
    readFully(this.#blocks, block, index * this.blockSizeBytes);
    return block;
  }

  differs(index: number, other: Contents): boolean | undefined {
    // What was not written is the parent's own block.
    return other === this.#parent && !this.#written.has(index) ? false : undefined;
  }

  close(): void {
    fs.closeSync(this.#blocks);
    fs.closeSync(this.#digests);
    for (const path of this.#paths) fs.unlinkSync(path);
  }
}

function writeFully(descriptor: number, bytes: Uint8Array, offset: number): void {
  let done = 0;
  while (done < bytes.length) {
    done += fs.writeSync(descriptor, bytes, done, bytes.length - done, offset + done);
  }
}
