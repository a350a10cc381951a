/**
 * Where groups of chunks are packed: in this thread, or in worker threads. What is asked of both is the same, and so are
 * the bytes that come of it. It knows nothing of files but their digests.
 */
import type { Disk } from "../model.ts";
import { GROUP_BYTES, PACKED_GROUP_BYTES, packGroup } from "./ewf_chunks.ts";
import { fileSha256 } from "./file_digest.ts";
import { ImageThread } from "./image_threads.ts";

/** A group as it is stored. */
export interface PackedGroup {
  /** As `packGroup` tells them. */
  readonly sizes: Uint32Array;
  /** Valid until `release`. */
  readonly bytes: Uint8Array;
  /** Once: its memory is needed for another. */
  release(): void;
}

export interface EwfPackers {
  /** Groups that may be asked for and not released: at least 1. */
  readonly count: number;
  /** At most `GROUP_BYTES`, which are the caller's again when it returns. */
  pack(bytes: Uint8Array): Promise<PackedGroup>;
  fileSha256(path: string): Promise<string>;
  close(): void;
}

/** In this thread, at once. */
export function inlinePackers(disk: Disk): EwfPackers {
  const into = new Uint8Array(PACKED_GROUP_BYTES);
  return {
    count: 1,
    pack: (bytes) =>
      Promise.try(() => ({ sizes: packGroup(bytes, into), bytes: into, release: () => undefined })),
    fileSha256: (path) => Promise.try(() => fileSha256(disk, path)),
    close: () => undefined,
  };
}

/** In `threads` worker threads, which are closed with it. They read the real disk. */
export function threadPackers(threads: number): EwfPackers {
  // Each has one at hand while it packs another; two more are being written.
  const count = threads * 2 + 2;
  const slotBytes = GROUP_BYTES + PACKED_GROUP_BYTES;
  const memory = new SharedArrayBuffer(count * slotBytes);
  const shared = new Uint8Array(memory);
  const free = Array.from({ length: count }, (_, slot) => slot);
  const packers = Array.from({ length: threads }, () => new ImageThread(memory));
  let reader: ImageThread | undefined;
  return {
    count,
    async pack(bytes) {
      const slot = free.pop();
      if (slot === undefined) throw new Error("more groups were asked for than there is memory");
      const offset = slot * slotBytes;
      shared.set(bytes, offset);
      const into = { offset: offset + GROUP_BYTES, lengthBytes: PACKED_GROUP_BYTES };
      const idlest = packers.reduce((best, one) => one.waitingCount < best.waitingCount ? one : best);
      const from = { offset, lengthBytes: bytes.length };
      const sizes = await idlest.ask({ type: "pack", from, into });
      const packed = shared.subarray(into.offset, into.offset + into.lengthBytes);
      return { sizes, bytes: packed, release: () => void free.push(slot) };
    },
    fileSha256(path) {
      // A thread of its own: in a packer's it would keep everything else waiting.
      reader ??= new ImageThread(memory);
      return reader.ask({ type: "digest_file", path });
    },
    close() {
      for (const packer of packers) packer.close();
      reader?.close();
    },
  };
}
