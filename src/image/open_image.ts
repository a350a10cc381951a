/**
 * Opens an exported image for reading, whatever its format: its bytes are the volume's. By name and first bytes it tells
 * what it is; what a format says of itself and does not hold is refused. It compares nothing.
 */
import { OperatorError } from "../errors.ts";
import type { Disk, DiskFile } from "../model.ts";
import type { DeviceHost } from "./devices.ts";
import type { LinearDigestValues } from "./digests.ts";
import { openEwf } from "./ewf_reader.ts";
import { diskFailure } from "./failures.ts";
import { openPieces, piecePath, splitStem } from "./split_file.ts";
import { openVhd } from "./vhd_file.ts";
import { openVmdk } from "./vmdk_file.ts";

export interface OpenedImage {
  /** Digests of itself that its format holds. */
  readonly held?: LinearDigestValues;
  readonly target: "file" | "device";
  readonly file: DiskFile;
  readonly sizeBytes: number;
}

interface OpenOptions {
  readonly disk: Disk;
  readonly devices: DeviceHost;
}

/** The file beside which the log of image `path` lies: of pieces that go by their common name, the first. */
export function firstFileOf(disk: Disk, path: string): string {
  const first = piecePath(splitStem(path), 0);
  return disk.stat(path) === undefined && disk.stat(first)?.kind === "file" ? first : path;
}

/** Throws `not_found`, `usage` for what is no image, `format` for one that is not sound, `storage`. */
export function openImage(path: string, options: OpenOptions): OpenedImage {
  const { disk, devices } = options;
  try {
    const resolved = disk.stat(path)?.kind === "symlink" ? devices.resolve(path) : path;
    const isFile = disk.stat(resolved)?.kind === "file";
    if (isFile) refuseLaterFile(disk, resolved);
    if (/\.e01$/i.test(resolved) && isFile) {
      const { digests, ...image } = openEwf(disk, resolved);
      return { target: "file", ...image, held: digests };
    }
    const stem = splitStem(resolved);
    // The base name stands for its pieces where no file has it.
    if (disk.stat(piecePath(stem, 0))?.kind === "file" && (stem !== resolved || !disk.stat(resolved))) {
      return { target: "file", ...openPieces(disk, stem) };
    }
    return openOne(resolved, options);
  } catch (error) {
    throw diskFailure("read back", path, error);
  }
}

/** A part of an image, compared with all of it, would be told as an image that was changed. */
function refuseLaterFile(disk: Disk, path: string): void {
  const [, stem, suffix] = /^(.*)\.(E\d\d|E[A-Z]{2}|\d{3})$/is.exec(path) ?? [];
  if (stem === undefined || suffix === undefined) return;
  const first = /^\d/.test(suffix) ? piecePath(stem, 0) : `${stem}.${suffix[0]}01`;
  if (first === path || disk.stat(first)?.kind !== "file") return;
  throw new OperatorError(
    "usage",
    `Cannot read back "${path}": it is called like a later file of a set, expected the first, "${first}"`,
  );
}

function openOne(path: string, { disk, devices }: OpenOptions): OpenedImage {
  const kind = disk.stat(path)?.kind;
  if (kind === undefined) throw new OperatorError("not_found", `Cannot read back "${path}": no such file`);
  if (kind === "device") {
    const { sizeBytes } = devices.inspect(path);
    return { target: "device", file: disk.open(path, "read"), sizeBytes };
  }
  if (kind !== "file") {
    throw new OperatorError(
      "usage",
      `Cannot read back "${path}": it is a ${kind}, expected a file or device`,
    );
  }
  // A raw image may be called anything, and begin or end with anything: only both together make another of it.
  const virtual = /\.vmdk$/i.test(path)
    ? openVmdk(disk, path)
    : /\.vhd$/i.test(path)
    ? openVhd(disk, path)
    : undefined;
  if (virtual) return { target: "file", ...virtual };
  const file = disk.open(path, "read");
  return { target: "file", file, sizeBytes: file.sizeBytes() };
}
