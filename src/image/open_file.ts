/**
 * Makes a file, or a set of files, ready for an image: refuses what must not be replaced, takes the lock, finds out
 * whether an unfinished image there is this exhibit's, and makes sure that there is room before the first byte.
 * It writes nothing of the image itself.
 */
import { basename, dirname } from "@std/path";
import { OperatorError } from "../errors.ts";
import type { Disk } from "../model.ts";
import { formatSize } from "../units.ts";
import { volumeSizeBytes } from "./blocks.ts";
import { type Checkpoint, readCheckpoint, writeCheckpoint } from "./checkpoint.ts";
import type { DigestName } from "./digests.ts";
import { diskFailure, platformCode } from "./failures.ts";
import type { ImageContainer } from "./container.ts";
import { ewfRoomWarning } from "./ewf_room.ts";
import { type FileSet, fileSet, type FileSetOptions } from "./file_set.ts";
import { FileTarget, type ImageLock, type ImageNames, imageNames } from "./file_target.ts";
import { readExportLog } from "./log.ts";
import { MapWriter } from "./map.ts";
import {
  unfinishedWindowLogs,
  windowLogPath,
  type WindowLogPlan,
  WindowLogs,
  windowLogsOf,
} from "./window_log.ts";

/** File systems without holes: an image takes its full size there. */
const WITHOUT_HOLES = ["vfat", "exfat"];
/** FAT's directory entry holds the size in 32 bits (Microsoft FAT specification, DIR_FileSize). */
const FAT_MAX_FILE_BYTES = 2 ** 32 - 1;
/** A file system that has no locks says one of these; there, two exports are told apart by nobody. */
const NO_LOCKS = ["ENOLCK", "ENOTSUP", "EOPNOTSUPP", "ENOSYS"];

export interface FileTargetOptions extends FileSetOptions {
  /** Of windows, where there are logs of them. */
  readonly digests: readonly DigestName[];
  readonly windowLog?: WindowLogPlan | undefined;
  readonly onWarning?: ((text: string) => void) | undefined;
  readonly overwrite: boolean;
  /** When this run began, RFC 3339 UTC. */
  readonly startedAt: string;
  readonly syncEveryBytes: number;
}

/**
 * Opens `path` for an image, new or unfinished.
 * Throws `usage` where something is there that must not be replaced, `locked` where another process writes
 * it, `storage` where there is no room.
 */
export async function openFileTarget(path: string, options: FileTargetOptions): Promise<FileTarget> {
  const { disk } = options;
  try {
    refuseBadPlace(imageNames(path), { ...options, isNamed: false });
    const set = await fileSet(path, options);
    const { names } = set;
    refuseBadPlace(names, { ...options, isNamed: true });
    const notes = [...set.notes];
    const isNew = disk.stat(names.partial) === undefined;
    const lock = lockPartial(disk, names, notes);
    try {
      return await openLocked(set, { ...options, lock, notes });
    } catch (error) {
      lock?.release();
      if (isNew && disk.stat(names.partial)) disk.remove(names.partial);
      throw error;
    }
  } catch (error) {
    throw diskFailure("prepare image", path, error);
  }
}

async function openLocked(
  set: FileSet,
  options: FileTargetOptions & { readonly lock: ImageLock | undefined; readonly notes: string[] },
): Promise<FileTarget> {
  const { disk, reader } = options;
  const { names, format, splitBytes } = set;
  const fresh: Checkpoint = {
    format,
    ...(splitBytes !== undefined && { splitBytes }),
    imageDigest: options.imageDigest,
    volumeSizeBytes: volumeSizeBytes(reader.shape),
    blockSizeBytes: reader.shape.blockSizeBytes,
    durableBytes: 0,
    sessions: 1,
    startedAt: options.startedAt,
  };
  const { held, isOurs } = unfinishedImage(set, { ...options, fresh });
  let checkpoint = held ? { ...held, sessions: held.sessions + 1 } : fresh;
  if (!disk.stat(names.partial)) disk.open(names.partial, "create").close();
  const windows = openWindowLogs(set, { ...options, isResumed: isOurs });
  const container = set.open(checkpoint.startedAt);
  try {
    if (held && !container.takeUp) takeBack(disk, { container, checkpoint });
    if (container.takeUp) {
      checkpoint = { ...checkpoint, ...await container.takeUp(held?.segments ?? []) };
    }
    // Files get their names after the log does: before that, what has one came from elsewhere since.
    const [other] = options.overwrite || isFinished(names, options) ? [] : set.there();
    if (other !== undefined) throw existing(other);
    // Beyond the durable part nothing may survive: after a failed sync the page cache can hold what the
    // disk does not, and a hole must be one.
    container.truncate(Math.min(container.sizeBytes(), checkpoint.durableBytes));
    await requireRoom(set, { ...options, checkpoint });
    await writeCheckpoint(disk, names.checkpoint, checkpoint);
    // Else a loss of power could leave an unfinished image of which nothing tells what it is.
    await disk.syncDirectory(dirname(names.image));
    container.truncate(checkpoint.volumeSizeBytes);
    const logs = windows ? [] : unfinishedWindowLogs(disk, names.image);
    for (const leftover of [names.partialLog, names.partialMap, ...logs]) {
      if (disk.stat(leftover)) disk.remove(leftover);
    }
    const head = {
      image: basename(names.image),
      imageDigest: options.imageDigest,
      shape: reader.shape,
    };
    const replaced = [...set.there(), ...windowLogsOf(disk, names.image)];
    const map = new MapWriter(disk, { path: names.partialMap, head });
    return new FileTarget(names, { ...options, container, map, checkpoint, replaced, windows });
  } catch (error) {
    container.close();
    windows?.close();
    removeEmpty(disk, container);
    throw error;
  }
}

function openWindowLogs(
  { names }: FileSet,
  options: FileTargetOptions & { readonly isResumed: boolean },
): WindowLogs | undefined {
  const { disk, reader, windowLog, digests } = options;
  if (!windowLog) return undefined;
  const { windowBytes, base = names.image } = windowLog;
  const own = digests.map((name) => windowLogPath(base, name)).find((path) =>
    path === names.image || path === names.log
  );
  if (own !== undefined) {
    throw new OperatorError(
      "usage",
      `Cannot write digest log "${own}": the export's own ${
        own === names.log ? "log" : "image"
      } is called so, expected another name`,
      { hints: ["Name another with --digest-log."], facts: { path: own } },
    );
  }
  const volume = volumeSizeBytes(reader.shape);
  return new WindowLogs(disk, { ...options, base, windowBytes, names: digests, volumeSizeBytes: volume });
}

/** Files of a set that were made and hold nothing yet; the first is the lock's. */
function removeEmpty(disk: Disk, container: ImageContainer): void {
  for (const { partial } of container.files().slice(1)) {
    if (disk.stat(partial)?.sizeBytes === 0) disk.remove(partial);
  }
}

/** Pieces that got their final names before the run was cut off are of the unfinished image again. */
function takeBack(
  disk: Disk,
  { container, checkpoint }: { readonly container: ImageContainer; readonly checkpoint: Checkpoint },
): void {
  // They get them when all is durable: before that, what has such a name is somebody else's.
  if (checkpoint.durableBytes < checkpoint.volumeSizeBytes) return;
  for (const { partial, final } of container.files().slice(1)) {
    if (disk.stat(final) && !disk.stat(partial)) disk.rename(final, partial);
  }
}

/**
 * Refuses what is at the target's place, as far as it can be told without touching it. `isNamed`: these are the image's
 * own names, not only what the operator called it.
 */
function refuseBadPlace(names: ImageNames, options: FileTargetOptions & { readonly isNamed: boolean }): void {
  const { disk, overwrite, isNamed } = options;
  const folder = dirname(names.image);
  if (disk.stat(folder) === undefined) {
    throw new OperatorError(
      "usage",
      `Cannot export to "${names.image}": folder "${folder}" does not exist`,
      { hints: ["Make that folder, or name another."] },
    );
  }
  const there = disk.stat(names.image);
  if (there?.kind === "directory") {
    throw new OperatorError(
      "usage",
      `Cannot export to "${names.image}": it is a directory, expected a file`,
      {
        hints: [`Name the image too, for example "${names.image}/image.raw".`],
      },
    );
  }
  if (there && there.kind !== "file") {
    throw new OperatorError(
      "usage",
      `Cannot export to "${names.image}": it is a ${there.kind}, expected a file`,
    );
  }
  if (there && !overwrite && isNamed) {
    throw isFinished(names, options) ? finished(names, options) : existing(names.image);
  }
  const partial = disk.stat(names.partial);
  if (partial && partial.kind !== "file") {
    throw new OperatorError(
      "usage",
      `Cannot export to "${names.image}": "${names.partial}" is a ${partial.kind}, expected a file or nothing`,
    );
  }
}

/** Whether the log beside an image is of this exhibit: a run may have been killed after its image was whole. */
function isFinished({ log }: ImageNames, { disk, reader, imageDigest }: FileTargetOptions): boolean {
  try {
    const logged = readExportLog(disk, log);
    return logged?.imageDigest === imageDigest && logged.volumeSizeBytes === volumeSizeBytes(reader.shape);
  } catch (error) {
    if (error instanceof OperatorError && error.code === "format") return false;
    throw error;
  }
}

/** A log is no proof of the image's bytes: reading them back is, and writes nothing. */
function finished({ image }: ImageNames, { imageDigest }: FileTargetOptions): OperatorError {
  const word = /^[\w@%+=:,./-]+$/.test(image) ? image : `'${image.replaceAll("'", "'\\''")}'`;
  return new OperatorError(
    "usage",
    `Cannot export to "${image}": it is there already, and its log says that it is this exhibit's whole image`,
    {
      hints: [
        `Run "coldcase verify ${imageDigest.slice(0, 16)} --read-back ${word}" to compare every byte of it.`,
        "Name another file, or replace this one with --overwrite.",
      ],
      facts: { path: image },
    },
  );
}

function existing(path: string): OperatorError {
  return new OperatorError("usage", `Cannot export to "${path}": it exists, expected nothing there`, {
    hints: ["Name another file, or replace this one with --overwrite."],
    facts: { path },
  });
}

/** Held until the target closes; the lock file is the unfinished image itself. */
function lockPartial(disk: Disk, names: ImageNames, notes: string[]): ImageLock | undefined {
  try {
    const lock = disk.tryLock(names.partial);
    if (lock) return lock;
  } catch (error) {
    if (!NO_LOCKS.includes(platformCode(error) ?? "")) throw error;
    notes.push("The target's file system has no locks: nothing keeps a second export from the same file.");
    return undefined;
  }
  throw new OperatorError(
    "locked",
    `Cannot export to "${names.image}": another process is writing "${names.partial}"`,
    { hints: ["Wait for it to end, or name another file."], facts: { path: names.partial } },
  );
}

/**
 * The checkpoint of what is to be taken up again; `undefined` where the image begins anew. `isOurs`: what lies at its
 * names is this image's, however little.
 */
function unfinishedImage(
  set: FileSet,
  options: FileTargetOptions & { readonly fresh: Checkpoint; readonly notes: string[] },
): { readonly held: Checkpoint | undefined; readonly isOurs: boolean } {
  const { disk, fresh, overwrite } = options;
  const { names } = set;
  const isEmpty = (disk.stat(names.partial)?.sizeBytes ?? 0) === 0;
  const held = readCheckpoint(disk, names.checkpoint);
  const isOurs = held !== undefined && held !== "unknown" && held.imageDigest === fresh.imageDigest &&
    held.volumeSizeBytes === fresh.volumeSizeBytes && held.blockSizeBytes === fresh.blockSizeBytes &&
    held.format === fresh.format && held.splitBytes === fresh.splitBytes;
  if (isOurs && !isEmpty) {
    // Whole blocks only, whatever the file says: a block is compared or written, never half of each.
    const whole = Math.min(held.durableBytes, held.volumeSizeBytes);
    return { held: { ...held, durableBytes: whole - whole % held.blockSizeBytes }, isOurs };
  }
  if (!isEmpty && !overwrite) {
    const what = differenceOf(held, fresh);
    throw new OperatorError("usage", `Cannot take up unfinished image "${names.partial}": ${what}`, {
      hints: ["Name another file, or begin anew with --overwrite."],
      facts: { path: names.partial },
    });
  }
  for (const beside of [names.log, names.map, ...set.there()]) {
    if (!isOurs && !overwrite && disk.stat(beside)) throw existing(beside);
  }
  return { held: undefined, isOurs };
}

function differenceOf(held: Checkpoint | "unknown" | undefined, fresh: Checkpoint): string {
  if (held === undefined || held === "unknown") return "nothing tells what it is";
  if (held.imageDigest !== fresh.imageDigest) {
    return `it is of image digest ${held.imageDigest}, this exhibit has ${fresh.imageDigest}`;
  }
  if (held.format !== fresh.format) return `it is ${held.format}, wanted is ${fresh.format}`;
  const piecesOf = ({ splitBytes }: Checkpoint) => splitBytes === undefined ? "all" : `${splitBytes}`;
  return `its pieces have ${piecesOf(held)} bytes, wanted are ${piecesOf(fresh)}`;
}

async function requireRoom(
  { names, format, largestFileBytes, extraBytes }: FileSet,
  options: Pick<FileTargetOptions, "disk" | "reader" | "onWarning"> & { readonly checkpoint: Checkpoint },
): Promise<void> {
  const { disk, reader, checkpoint } = options;
  const folder = dirname(names.image);
  const fileSystem = disk.fileSystemType(folder);
  const size = checkpoint.volumeSizeBytes;
  if (fileSystem === "vfat" && largestFileBytes > FAT_MAX_FILE_BYTES) {
    throw new OperatorError(
      "storage",
      `Cannot export to "${names.image}": it takes ${largestFileBytes} bytes, a file on FAT at most ${FAT_MAX_FILE_BYTES}`,
      {
        hints: [
          `${
            format === "vhd"
              ? "Take pieces of a VMDK (--format vmdk --split 2GiB)"
              : "Split it (--split 2GiB)"
          }, or name a target on another file system (exFAT, NTFS, ext4).`,
        ],
      },
    );
  }
  if (format === "e01") {
    const place = { path: names.image, folder, freeBytes: disk.freeBytes(folder) };
    const warning = await ewfRoomWarning(reader, { ...place, fromBytes: checkpoint.durableBytes });
    if (warning !== undefined) options.onWarning?.(warning);
    return;
  }
  let needBytes = size - checkpoint.durableBytes;
  if (!WITHOUT_HOLES.includes(fileSystem)) {
    const { blockSizeBytes } = reader.shape;
    const fromBlock = Math.floor(checkpoint.durableBytes / blockSizeBytes);
    needBytes = 0;
    for await (const run of reader.runs(fromBlock)) {
      if (run.state === "stored") needBytes += run.blockCount * blockSizeBytes;
    }
  }
  needBytes += extraBytes;
  const freeBytes = disk.freeBytes(folder);
  if (needBytes <= freeBytes) return;
  throw new OperatorError(
    "storage",
    `Cannot export to "${names.image}": ${formatSize(freeBytes)} free in "${folder}", ` +
      `${formatSize(needBytes)} needed`,
    {
      hints: ["Make room there, or name a target with more."],
      facts: { path: names.image, freeBytes, needBytes },
    },
  );
}
