/**
 * A raw image file as a snapshot's contents. Blocks are read where they lie when they are asked for; only the
 * bitmap of what is present is in memory. The file must not change while it is served.
 *
 * A file cannot tell a block of written zeros from one never written, so by default a block of zeros is absent;
 * which zeros are present can be said.
 */
import * as fs from "node:fs";
import { Buffer } from "node:buffer";
import { Bitmap } from "./bitmap.ts";
import { blockCountOf, type Contents, volumeSizeGibOf } from "./contents.ts";

/** Which blocks of an image are present. */
export interface ImagePresence {
  /** `nonzero` (default): blocks with a byte that is not zero. `all`: every block of the volume. */
  readonly present?: "nonzero" | "all" | undefined;
  /** Present although all zero: written zeros. */
  readonly presentZeros?: Iterable<number> | undefined;
  /** Listed by ListChangedBlocks although equal in both snapshots. */
  readonly rewritten?: Iterable<number> | undefined;
}

/** Bytes looked at in one go while the bitmap is made. */
const SCAN_BYTES = 4 * 2 ** 20;
/** Bytes after which other requests get their turn. */
const TURN_BYTES = 64 * 2 ** 20;

/** Opens an image and finds its present blocks by reading it once. */
export async function openImage(
  path: string,
  options: ImagePresence & { readonly blockSizeBytes: number; readonly volumeSizeGib?: number | undefined },
): Promise<Contents & { readonly volumeSizeGib: number }> {
  const descriptor = fs.openSync(path, "r");
  try {
    const { blockSizeBytes } = options;
    const sizeBytes = fs.fstatSync(descriptor).size;
    const volumeSizeGib = options.volumeSizeGib ?? volumeSizeGibOf(sizeBytes);
    const blockCount = blockCountOf({ blockSizeBytes, volumeSizeGib });
    const present = new Bitmap(blockCount);
    if (options.present === "all") {
      for (let index = 0; index < blockCount; index++) present.add(index);
    } else {
      await markNonzero(present, { descriptor, sizeBytes, blockSizeBytes });
    }
    for (const index of options.presentZeros ?? []) present.add(index);
    return new Image({
      descriptor,
      blockSizeBytes,
      volumeSizeGib,
      present,
      rewritten: new Set(options.rewritten),
    });
  } catch (error) {
    fs.closeSync(descriptor);
    throw error;
  }
}

async function markNonzero(
  present: Bitmap,
  file: { readonly descriptor: number; readonly sizeBytes: number; readonly blockSizeBytes: number },
): Promise<void> {
  const { blockSizeBytes } = file;
  const span = Math.max(SCAN_BYTES, blockSizeBytes);
  const bytes = Buffer.alloc(span);
  const zeros = Buffer.alloc(span);
  let sinceTurn = 0;
  for (let offset = 0; offset < file.sizeBytes; offset += span) {
    const length = readFully(file.descriptor, bytes, offset);
    markBlocks(present, { bytes: bytes.subarray(0, length), zeros, offset, blockSizeBytes });
    sinceTurn += length;
    if (sinceTurn < TURN_BYTES) continue;
    sinceTurn = 0;
    await new Promise((resolve) => setTimeout(resolve, 0));
  }
}

/** Halves what is not all zero until it is a block: sparse images cost one comparison a span. */
function markBlocks(
  present: Bitmap,
  part: {
    readonly bytes: Uint8Array;
    readonly zeros: Uint8Array;
    readonly offset: number;
    readonly blockSizeBytes: number;
  },
): void {
  const { bytes, zeros, offset, blockSizeBytes } = part;
  if (Buffer.compare(bytes, zeros.subarray(0, bytes.length)) === 0) return;
  if (bytes.length <= blockSizeBytes) {
    present.add(offset / blockSizeBytes);
    return;
  }
  const blocks = Math.ceil(bytes.length / blockSizeBytes);
  const half = Math.ceil(blocks / 2) * blockSizeBytes;
  markBlocks(present, { ...part, bytes: bytes.subarray(0, half) });
  markBlocks(present, { ...part, bytes: bytes.subarray(half), offset: offset + half });
}

class Image implements Contents {
  readonly blockSizeBytes: number;
  readonly blockCount: number;
  readonly volumeSizeGib: number;
  readonly #descriptor: number;
  readonly #present: Bitmap;
  readonly #rewritten: ReadonlySet<number>;

  constructor(parts: {
    readonly descriptor: number;
    readonly blockSizeBytes: number;
    readonly volumeSizeGib: number;
    readonly present: Bitmap;
    readonly rewritten: ReadonlySet<number>;
  }) {
    this.#descriptor = parts.descriptor;
    this.blockSizeBytes = parts.blockSizeBytes;
    this.volumeSizeGib = parts.volumeSizeGib;
    this.blockCount = parts.present.length;
    this.#present = parts.present;
    this.#rewritten = parts.rewritten;
  }

  has(index: number): boolean {
    return this.#present.has(index);
  }

  next(from: number, limit: number): number {
    return this.#present.next(from, limit);
  }

  /** Beyond the file's end, and in the tail of its last block, there are zeros. */
  read(index: number): Uint8Array {
    const block = new Uint8Array(this.blockSizeBytes);
    readFully(this.#descriptor, block, index * this.blockSizeBytes);
    return block;
  }

  wasRewritten(index: number): boolean {
    return this.#rewritten.has(index);
  }

  close(): void {
    fs.closeSync(this.#descriptor);
  }
}

/** Fills `into` from `offset`; returns the bytes read, fewer only at the file's end. */
export function readFully(descriptor: number, into: Uint8Array, offset: number): number {
  let done = 0;
  while (done < into.length) {
    const count = fs.readSync(descriptor, into, done, into.length - done, offset + done);
    if (count === 0) break;
    done += count;
  }
  return done;
}
