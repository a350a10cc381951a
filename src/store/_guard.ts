/**
 * The disk as the store uses it: the platform's errors become operator errors that name the path and what
 * to do, in one place; and no symbolic link below the store's folder is followed, whoever put it there. A
 * failed sync poisons nothing here; who wrote the data decides (they must rewrite).
 */
import { messageOf, OperatorError } from "../errors.ts";
import type { Disk, DiskFile } from "../model.ts";

/** Error codes of the platform that have an answer of their own. */
const HINTS: Readonly<Record<string, string>> = {
  ENOSPC: "Free some space there, then run the same command again: what was recorded is safe.",
  EDQUOT: "Raise the quota or free some space, then run the same command again: what was recorded is safe.",
  EROFS: "The file system is mounted read-only: mount it writable, or use another --store.",
  EACCES: "Check the permissions of that path, then run the same command again.",
  EPERM: "Check the permissions of that path, then run the same command again.",
  EIO: "The disk reports errors: look at the system log, and move the store to a disk that works.",
};

/** `ENOSPC` and its kin, whatever the layer that reported it. */
export function platformCode(error: unknown): string | undefined {
  const code = (error as { code?: unknown } | null)?.code;
  if (typeof code === "string") return code;
  if (error instanceof Deno.errors.PermissionDenied) return "EACCES";
  return /\(os error 28\)/.test(messageOf(error)) ? "ENOSPC" : undefined;
}

function storageError(verb: string, path: string, error: unknown): OperatorError {
  if (error instanceof OperatorError) return error;
  const code = platformCode(error);
  const hint = code && HINTS[code];
  return new OperatorError("storage", `Cannot ${verb} "${path}": ${messageOf(error)}`, {
    cause: error,
    facts: { path, ...(code && { platformCode: code }) },
    ...(hint && { hints: [hint] }),
  });
}

class GuardedFile implements DiskFile {
  readonly #file: DiskFile;
  readonly #path: string;

  constructor(file: DiskFile, path: string) {
    this.#file = file;
    this.#path = path;
  }

  read(into: Uint8Array, offset: number): number {
    return guard("read", this.#path, () => this.#file.read(into, offset));
  }

  write(bytes: Uint8Array, offset: number): void {
    guard("write to", this.#path, () => this.#file.write(bytes, offset));
  }

  sync(): Promise<void> {
    return guardAsync("make durable", this.#path, () => this.#file.sync());
  }

  truncate(sizeBytes: number): void {
    guard("resize", this.#path, () => this.#file.truncate(sizeBytes));
  }

  sizeBytes(): number {
    return guard("look at", this.#path, () => this.#file.sizeBytes());
  }

  close(): void {
    guard("close", this.#path, () => this.#file.close());
  }
}

function guard<T>(verb: string, path: string, action: () => T): T {
  try {
    return action();
  } catch (error) {
    throw storageError(verb, path, error);
  }
}

async function guardAsync<T>(verb: string, path: string, action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (error) {
    throw storageError(verb, path, error);
  }
}

/** `disk`, its errors as `OperatorError`s of code `storage`; a symbolic link below `root` is code `format`. */
export function guardedDisk(disk: Disk, root: string): Disk {
  const within = (path: string) => refuseLinks(disk, root, path);
  const above = (path: string) => refuseLinks(disk, root, path.slice(0, path.lastIndexOf("/")));
  return {
    open: (path, mode) =>
      new GuardedFile(
        guard(mode.startsWith("create") ? "create" : "open", path, () => {
          within(path);
          return disk.open(path, mode);
        }),
        path,
      ),
    rename: (from, to) =>
      guard("move into place", to, () => {
        within(from);
        above(to);
        disk.rename(from, to);
      }),
    makeDirectory: (path, options) =>
      guard("create folder", path, () => {
        within(path);
        disk.makeDirectory(path, options);
      }),
    list: (path) =>
      guard("list", path, () => {
        within(path);
        return disk.list(path);
      }),
    stat: (path) =>
      guard("look at", path, () => {
        above(path);
        return disk.stat(path);
      }),
    remove: (path) =>
      guard("remove", path, () => {
        above(path);
        disk.remove(path);
      }),
    syncDirectory: (path) =>
      guardAsync("make durable the folder", path, async () => {
        within(path);
        await disk.syncDirectory(path);
      }),
    tryLock: (path) =>
      guard("lock", path, () => {
        within(path);
        return disk.tryLock(path);
      }),
    freeBytes: (path) => guard("look at the file system of", path, () => disk.freeBytes(path)),
    fileSystemType: (path) => guard("look at the file system of", path, () => disk.fileSystemType(path)),
  };
}

/** A store that somebody hands over must reach nothing outside it, neither to read nor to clear away. */
export function refuseLinks(disk: Disk, root: string, path: string): void {
  if (!path.startsWith(`${root}/`)) return;
  let place = root;
  for (const part of path.slice(root.length + 1).split("/")) {
    place += `/${part}`;
    if (disk.stat(place)?.kind !== "symlink") continue;
    throw new OperatorError("format", `Cannot use "${place}": is a symlink, and a store holds none`, {
      facts: { file: place.slice(root.length + 1) },
      hints: ["Put in its place what it points to, if you know who made it."],
    });
  }
}
