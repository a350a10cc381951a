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
  const { disk } = options;
  try {
    if (/\.e01$/i.test(path) && disk.stat(path)?.kind === "file") {
      const { digests, ...image } = openEwf(disk, path);
      return { target: "file", ...image, held: digests };
    }
    const stem = splitStem(path);
    // The base name stands for its pieces where no file has it.
    if (disk.stat(piecePath(stem, 0))?.kind === "file" && (stem !== path || !disk.stat(path))) {
      return { target: "file", ...openPieces(disk, stem) };
    }
    return openOne(path, options);
  } catch (error) {
    throw diskFailure("read back", path, error);
  }
}

function openOne(path: string, { disk, devices }: OpenOptions): OpenedImage {
  const stat = disk.stat(path);
  if (!stat) throw new OperatorError("not_found", `Cannot read back "${path}": no such file`);
  const resolved = stat.kind === "symlink" ? devices.resolve(path) : path;
  const kind = disk.stat(resolved)?.kind;
  if (kind === "device") {
    const { sizeBytes } = devices.inspect(resolved);
    return { target: "device", file: disk.open(resolved, "read"), sizeBytes };
  }
  if (kind !== "file") {
    throw new OperatorError(
      "usage",
      `Cannot read back "${path}": it is a ${kind}, expected a file or device`,
    );
  }
  // A raw image may be called anything, and begin or end with anything: only both together make another of it.
  const virtual = /\.vmdk$/i.test(resolved)
    ? openVmdk(disk, resolved)
    : /\.vhd$/i.test(resolved)
    ? openVhd(disk, resolved)
    : undefined;
  if (virtual) return { target: "file", ...virtual };
  const file = disk.open(resolved, "read");
  return { target: "file", file, sizeBytes: file.sizeBytes() };
}
