/**
 * Bytes in memory as a file that can only be read: a file is read from the disk once and looked at twice, or was small
 * enough to be read whole. Nothing is written, nothing copied but what is asked for.
 *
 * @see src/store/_contents.ts
 */
import type { ReadableFile } from "../cipher_age.ts";

export function memoryFile(bytes: Uint8Array): ReadableFile {
  return {
    read(into, offset) {
      const piece = bytes.subarray(offset, offset + into.length);
      into.set(piece);
      return piece.length;
    },
    sizeBytes: () => bytes.length,
    close: () => undefined,
  };
}
