/**
 * Proves at start that a file system keeps the two promises that a store rests on: an exclusive lock keeps
 * others out, and a folder can be made durable. One that cannot is refused by name.
 *
 * @see store-format.md, "Order of writes"
 */
import { dirname } from "@std/path";
import { messageOf, OperatorError } from "../errors.ts";
import type { Disk } from "../model.ts";
import { LOCK_FILE, STORE_FILE } from "./_layout.ts";

/**
 * Takes the store's lock and proves the file system. The lock dies with the process.
 *
 * Throws `locked` where another process has it, `storage` where a promise cannot be proved and
 * `allowUnsafe` is false.
 */
export async function lockStore(
  disk: Disk,
  root: string,
  options: { readonly allowUnsafe: boolean },
): Promise<{ readonly lock: { release(): void }; readonly isUnsafe: boolean }> {
  const path = `${root}/${LOCK_FILE}`;
  const lock = disk.tryLock(path);
  if (!lock) {
    throw new OperatorError("locked", `Cannot write to store "${root}": another process is writing to it`, {
      hints: ["Wait for it to end, or stop it: it saves what it has. Reading needs no lock."],
      facts: { store: root },
    });
  }
  try {
    const doubt = await unprovedPromise(disk, root);
    if (doubt !== undefined && !options.allowUnsafe) {
      throw new OperatorError(
        "storage",
        `Cannot use the file system "${disk.fileSystemType(root)}" of "${root}" for a store: ${doubt.text}`,
        {
          cause: doubt.cause,
          hints: [
            "Use a local file system such as ext4, XFS, APFS or NTFS; --unsafe-filesystem accepts this one, and the record will say so.",
          ],
          facts: { store: root, fileSystem: disk.fileSystemType(root) },
        },
      );
    }
    return { lock, isUnsafe: doubt !== undefined };
  } catch (error) {
    lock.release();
    throw error;
  }
}

/** A disk that fails or is full, whose folders might else be durable. */
const FAILING_DISK: readonly unknown[] = ["EIO", "ENOSPC", "EDQUOT", "EROFS"];

/** Which promise the file system does not keep, `undefined` where it keeps both. Throws where the disk fails. */
async function unprovedPromise(
  disk: Disk,
  root: string,
): Promise<{ readonly text: string; readonly cause?: unknown } | undefined> {
  const second = disk.tryLock(`${root}/${LOCK_FILE}`);
  if (second) {
    second.release();
    return { text: "its locks keep nobody out" };
  }
  try {
    await disk.syncDirectory(root);
    // A store that is being made: the folders above it may have been made for it.
    if (disk.stat(`${root}/${STORE_FILE}`) === undefined) await syncAbove(disk, root);
  } catch (error) {
    if (error instanceof OperatorError && FAILING_DISK.includes(error.facts["platformCode"])) throw error;
    return { text: `its folders cannot be made durable (${messageOf(error)})`, cause: error };
  }
  return undefined;
}

/**
 * Makes durable the names of the folders that lead to a new store: without them it would be gone with all that it holds.
 * All of them: who made them may have been killed before this. A folder that this user may not read was not made
 * by this program, nor was what another file system is mounted on.
 */
async function syncAbove(disk: Disk, root: string): Promise<void> {
  const fileSystem = disk.fileSystemType(root);
  for (let path = root; dirname(path) !== path; path = dirname(path)) {
    const above = dirname(path);
    if (disk.fileSystemType(above) !== fileSystem) return;
    try {
      await disk.syncDirectory(above);
    } catch (error) {
      if (error instanceof OperatorError && error.facts["platformCode"] === "EACCES") return;
      throw error;
    }
  }
}
