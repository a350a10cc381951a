/**
 * Which folder is meant: the one that is named, if its name is of that tool's, or the only such one in it. Where there
 * are several, nothing is chosen: the same snapshot may be there as it was, compressed and encrypted, or there are
 * several snapshots, and which of them is evidence is for the examiner to say.
 */
import { basename, join } from "@std/path";
import { messageOf, OperatorError } from "../errors.ts";
import type { Disk } from "../model.ts";
import { type FolderName, parseFolderName } from "./_names.ts";

/** One snapshot's folder. */
export interface ImagerFolder extends FolderName {
  readonly path: string;
}

/** So many candidates are named in a message. */
const MAX_NAMED = 8;

const EXPECTED = "snap-…, snap-…_compressed or snap-…_encrypted";

/**
 * @param path Absolute, without `..`.
 *
 * Throws `not_found` where there is none, `usage` where there are several, `storage`.
 */
export function findFolder(disk: Disk, path: string): ImagerFolder {
  const own = parseFolderName(basename(path));
  if (own) return { ...own, path };
  const found = listOf(disk, path).sort().flatMap((name) => {
    const parsed = parseFolderName(name);
    const at = join(path, name);
    return parsed && disk.stat(at)?.kind === "directory" ? [{ ...parsed, path: at }] : [];
  });
  const [first, ...others] = found;
  if (!first) {
    throw new OperatorError(
      "not_found",
      `Cannot import "${path}": it is no folder of Snapshot-4n6ir-Imager and holds none, expected ${EXPECTED}`,
      { hints: ["Name the folder that holds the files of blocks, or the one that holds that folder."] },
    );
  }
  if (others.length === 0) return first;
  throw new OperatorError(
    "usage",
    `Cannot import "${path}": it holds ${found.length} folders of Snapshot-4n6ir-Imager, expected one`,
    {
      hints: [
        ...found.slice(0, MAX_NAMED).map((one) => `Name one: "${one.path}" (${one.snapshot}, ${one.layout})`),
        ...(found.length > MAX_NAMED ? [`And ${found.length - MAX_NAMED} more.`] : []),
      ],
      facts: { path, folders: found.length },
    },
  );
}

/** Names in a folder. Throws `not_found`, `storage`. */
export function listOf(disk: Disk, path: string): string[] {
  try {
    return disk.list(path);
  } catch (error) {
    const isNone = error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory;
    const state = error instanceof Deno.errors.NotFound
      ? "it is not there"
      : isNone
      ? "it is no folder"
      : messageOf(error);
    throw new OperatorError(isNone ? "not_found" : "storage", `Cannot import "${path}": ${state}`, {
      cause: error,
    });
  }
}
