/**
 * A disk that holds a few small files in memory and can only be read: thousands of verifications of a store of
 * which one byte differs take no file system's time. Whatever would write fails loudly.
 */
import type { Disk, DiskFile, FileStat } from "../../src/model.ts";

/** A disk whose folder `root` has these files: name from `root` → bytes, which may change between two openings. */
export function memoryDisk(root: string, files: ReadonlyMap<string, Uint8Array>): Disk {
  const folders = new Map<string, Set<string>>([[root, new Set()]]);
  for (const name of files.keys()) {
    const parts = name.split("/");
    parts.forEach((part, depth) => {
      const folder = [root, ...parts.slice(0, depth)].join("/");
      if (!folders.has(folder)) folders.set(folder, new Set());
      folders.get(folder)!.add(part);
    });
  }
  const paths = new Map([...files].map(([name, bytes]) => [`${root}/${name}`, bytes]));
  const bytesOf = (path: string) => paths.get(path);
  const refuse = (): never => {
    throw new Error("Cannot write: this disk can only be read");
  };
  return {
    open(path, mode) {
      const bytes = bytesOf(path);
      if (mode !== "read" || bytes === undefined) return refuse();
      return openBytes(bytes);
    },
    list: (path) => [...folders.get(path) ?? []],
    stat(path): FileStat | undefined {
      const bytes = bytesOf(path);
      if (bytes) return { kind: "file", sizeBytes: bytes.length };
      return folders.has(path) ? { kind: "directory", sizeBytes: 0 } : undefined;
    },
    rename: refuse,
    makeDirectory: refuse,
    remove: refuse,
    syncDirectory: refuse,
    tryLock: refuse,
    freeBytes: () => 0,
    fileSystemType: () => "memory",
  };
}

function openBytes(bytes: Uint8Array): DiskFile {
  const refuse = (): never => {
    throw new Error("Cannot write: this file can only be read");
  };
  return {
    read(into, offset) {
      const piece = bytes.subarray(offset, offset + into.length);
      into.set(piece);
      return piece.length;
    },
    sizeBytes: () => bytes.length,
    write: refuse,
    sync: refuse,
    truncate: refuse,
    close: () => undefined,
  };
}
