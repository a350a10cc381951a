/**
 * The SHA-256 of a whole file, read in order: what an export knows a finished segment file by. On a large file it keeps its
 * thread for seconds, so others than the one that writes call it where there are any.
 */
import { createHash } from "node:crypto";
import type { Disk } from "../model.ts";
import { MIB } from "../units.ts";

/** 64 lower-case hexadecimal digits. Throws the disk's own errors. */
export function fileSha256(disk: Disk, path: string): string {
  const hash = createHash("sha256");
  const buffer = new Uint8Array(MIB);
  const file = disk.open(path, "read");
  try {
    for (let offset = 0;;) {
      const count = file.read(buffer, offset);
      if (count === 0) return hash.digest("hex");
      hash.update(buffer.subarray(0, count));
      offset += count;
    }
  } finally {
    file.close();
  }
}
