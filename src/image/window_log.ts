/**
 * `IMAGE.sha256.log` and its like: a digest of each window of an image, one a line, and of the whole, as dcfldd
 * writes them with `hashwindow=` and `sha256log=`. Written as a stream, so that memory does not know how many there
 * are; they get their names with the image.
 *
 *   0 - 1048576: 30e14955…
 *   1048576 - 2000000: 5f70bf18…
 *
 *   Total (sha256): 8d969eef…
 */
import { dirname } from "@std/path";
import { OperatorError } from "../errors.ts";
import type { Disk, DiskFile } from "../model.ts";
import { formatSize } from "../units.ts";
import {
  DIGEST_HEX_LENGTHS,
  DIGEST_NAMES,
  type DigestName,
  type LinearDigestValues,
  type WindowDigests,
} from "./digests.ts";
import { diskFailure } from "./failures.ts";

const SECTOR_BYTES = 512;
/** Text is written in pieces of about this many characters. */
const FLUSH_CHARACTERS = 64 * 1024;
/** A file system whose files end at 4 GiB. */
const FAT_MAX_FILE_BYTES = 2 ** 32 - 1;
/** " - ", ": " and the end of the line. */
const LINE_MARKS = 6;
/** A first line is shorter. */
const LINE_BYTES = 128;

/** Windows of which the digests are kept, and where. */
export interface WindowLogPlan {
  /** A multiple of 512. */
  readonly windowBytes: number;
  /** `NAME` of `NAME.sha256.log`; the image's own where not given: needed for a device and a stream. */
  readonly base?: string | undefined;
}

export function windowLogPath(base: string, name: DigestName): string {
  return `${base}.${name}.log`;
}

/** Window logs beside an image: files of that name that begin as one does. */
export function windowLogsOf(disk: Disk, base: string): string[] {
  return DIGEST_NAMES.map((name) => windowLogPath(base, name)).filter((path) => isWindowLog(disk, path));
}

/** What a session that was killed left of its logs. */
export function unfinishedWindowLogs(disk: Disk, base: string): string[] {
  return DIGEST_NAMES.map((name) => `${windowLogPath(base, name)}.partial`).filter((path) => disk.stat(path));
}

function isWindowLog(disk: Disk, path: string): boolean {
  if (disk.stat(path)?.kind !== "file") return false;
  const file = disk.open(path, "read");
  try {
    const bytes = new Uint8Array(LINE_BYTES);
    const text = new TextDecoder("latin1").decode(bytes.subarray(0, file.read(bytes, 0)));
    return /^0 - \d{1,15}: [0-9a-f]{32,64}\n/.test(text);
  } finally {
    file.close();
  }
}

export interface WindowLogOptions {
  /** `NAME` of `NAME.sha256.log`. */
  readonly base: string;
  /** At least one. */
  readonly names: readonly DigestName[];
  readonly windowBytes: number;
  readonly volumeSizeBytes: number;
  /** False: a file that is there, and is no log of windows, is refused; so is one that is, but for `isResumed`. */
  readonly overwrite: boolean;
  /** An earlier session may have given the logs their names before it was cut off. */
  readonly isResumed: boolean;
}

interface OpenLog {
  readonly name: DigestName;
  readonly path: string;
  readonly file: DiskFile;
  text: string;
  offset: number;
}

/** The logs of one export. */
export class WindowLogs {
  readonly #disk: Disk;
  readonly windowBytes: number;
  readonly names: readonly DigestName[];
  readonly #logs: OpenLog[] = [];
  readonly #encoder = new TextEncoder();

  /** Makes `….log.partial` for each digest. Throws `usage` where files are there, `storage`. */
  constructor(disk: Disk, options: WindowLogOptions) {
    this.#disk = disk;
    const { base, names, windowBytes } = options;
    if (names.length === 0) {
      throw new OperatorError("usage", "Cannot write digests of windows: no digest was asked for");
    }
    if (windowBytes < SECTOR_BYTES || windowBytes % SECTOR_BYTES !== 0) {
      throw new OperatorError(
        "usage",
        `Cannot write digests of windows of ${windowBytes} bytes: expected a multiple of ${SECTOR_BYTES}`,
      );
    }
    [this.windowBytes, this.names] = [windowBytes, names];
    refuseBadPlace(disk, options);
    try {
      // What an earlier session left is no use, and takes room.
      for (const path of unfinishedWindowLogs(disk, base)) disk.remove(path);
      requireLogRoom(disk, options);
      for (const name of names) {
        const path = windowLogPath(base, name);
        const file = disk.open(`${path}.partial`, "create");
        this.#logs.push({ name, path, file, text: "", offset: 0 });
      }
    } catch (error) {
      this.close();
      throw diskFailure("write digest log", base, error);
    }
  }

  get paths(): readonly string[] {
    return this.#logs.map(({ path }) => path);
  }

  /** Every window once, in order. */
  add({ offsetBytes, lengthBytes, digests }: WindowDigests): void {
    for (const log of this.#logs) {
      log.text += `${offsetBytes} - ${offsetBytes + lengthBytes}: ${digests[log.name]}\n`;
      if (log.text.length >= FLUSH_CHARACTERS) this.#flush(log);
    }
  }

  /** After the last window: writes the totals, and makes all durable under the names that it has. */
  async seal(totals: LinearDigestValues): Promise<void> {
    for (const log of this.#logs) {
      log.text += `\nTotal (${log.name}): ${totals[log.name]}\n`;
      this.#flush(log);
      try {
        await log.file.sync();
      } catch (error) {
        throw diskFailure("make durable digest log", log.path, error);
      }
    }
  }

  /** After `seal`: the final names, durably. Throws the disk's own errors. */
  async publish(): Promise<void> {
    for (const { path } of this.#logs) this.#disk.rename(`${path}.partial`, path);
    await this.#disk.syncDirectory(dirname(this.#logs[0]!.path));
  }

  close(): void {
    for (const { file } of this.#logs) file.close();
  }

  /** After `close`: removes what has no final name. Throws the disk's own errors. */
  discard(): void {
    for (const { path } of this.#logs) this.#disk.remove(`${path}.partial`);
  }

  #flush(log: OpenLog): void {
    const bytes = this.#encoder.encode(log.text);
    try {
      log.file.write(bytes, log.offset);
    } catch (error) {
      throw diskFailure("write digest log", log.path, error);
    }
    log.offset += bytes.length;
    log.text = "";
  }
}

function refuseBadPlace(disk: Disk, options: WindowLogOptions): void {
  const { base, names, overwrite, isResumed } = options;
  const folder = dirname(base);
  if (disk.stat(folder) === undefined) {
    throw new OperatorError(
      "usage",
      `Cannot write digest logs "${base}.*.log": folder "${folder}" does not exist`,
      { hints: ["Make that folder, or name another."] },
    );
  }
  for (const path of names.map((name) => windowLogPath(base, name))) {
    const kind = disk.stat(path)?.kind;
    if (kind === undefined || (kind === "file" && (overwrite || (isResumed && isWindowLog(disk, path))))) {
      continue;
    }
    throw new OperatorError(
      "usage",
      `Cannot write digest log "${path}": ${
        kind === "file" ? "it exists" : `it is a ${kind}`
      }, expected nothing there`,
      { hints: ["Name another with --digest-log, or replace this one with --overwrite."], facts: { path } },
    );
  }
}

/** What all lines take at most is known before: they have one length each, but for their numbers' digits. */
function requireLogRoom(disk: Disk, options: WindowLogOptions): void {
  const { base, names, windowBytes, volumeSizeBytes } = options;
  const lines = Math.ceil(volumeSizeBytes / windowBytes) + 2;
  const sizes = names.map((name) =>
    lines * (2 * String(volumeSizeBytes).length + LINE_MARKS + DIGEST_HEX_LENGTHS[name])
  );
  const folder = dirname(base);
  const needBytes = sizes.reduce((sum, size) => sum + size, 0);
  const freeBytes = disk.freeBytes(folder);
  const isTooLarge = disk.fileSystemType(folder) === "vfat" && Math.max(...sizes) > FAT_MAX_FILE_BYTES;
  if (needBytes <= freeBytes && !isTooLarge) return;
  throw new OperatorError(
    "storage",
    `Cannot write digest logs "${base}.*.log": they take up to ${formatSize(needBytes)}, ${
      isTooLarge ? "a file on FAT at most 4 GiB" : `${formatSize(freeBytes)} free in "${folder}"`
    }`,
    { hints: ["Give a larger --digest-window, or another place with --digest-log."] },
  );
}
