/**
 * Bytes in memory as a file that can only be read: a pack is read from the disk once and looked at twice.
 * For verifying a pack that was read whole: one read of the disk, then hashed, indexed and looked into from here.
 * Nothing is written, nothing held back.
 */
import type { DiskFile } from "../model.ts";

export function memoryFile(bytes: Uint8Array): DiskFile {
  const refuse = () => {
    throw new Error("this file is in memory and can only be read");
  };
  return {
    read(into, offset) {
      const piece = bytes.subarray(offset, offset + into.length);
      into.set(piece);
      return piece.length;
    },
    write: refuse,
    sync: refuse,
    truncate: refuse,
    sizeBytes: () => bytes.length,
    close: () => undefined,
  };
}
