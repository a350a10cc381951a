/**
 * Export of an image: the volume's bytes, one for one or in a format, to files, a block device or a stream, with
 * digests on the way. The steps are here in order; where the bytes go is a target's business (`*_target.ts`). Unreadable
 * blocks become zeros and are named in the result; what that means for the exit code is the caller's.
 */
import { OperatorError } from "../errors.ts";
import type { BlockReader, Clock, Disk } from "../model.ts";
import { formatTime, MIB } from "../units.ts";
import { volumeSizeBytes } from "./blocks.ts";
import type { ImageFormat } from "./container.ts";
import { type DeviceHost, realDeviceHost } from "./devices.ts";
import { openDeviceTarget } from "./device_target.ts";
import type { DigestName, LinearDigestValues } from "./digests.ts";
import type { EwfFacts } from "./ewf_header.ts";
import { diskFailure } from "./failures.ts";
import { trailerBytes, trailerNotes, type VirtualDisk } from "./file_set.ts";
import { FileTarget } from "./file_target.ts";
import { formatExportLog, type LabelledFacts } from "./log.ts";
import { openFileTarget } from "./open_file.ts";
import type { ByteRange } from "./ranges.ts";
import type { ImageProgress } from "./steps.ts";
import { type ByteSink, StreamTarget } from "./stream_target.ts";
import type { ImageTarget } from "./target.ts";
import { type WindowLogPlan, WindowLogs } from "./window_log.ts";
import { writeVolume } from "./write_volume.ts";

/** Rare enough to cost little, and small enough that the last sync is short. */
const SYNC_EVERY_BYTES = 256 * MIB;

/** Where an image goes. A path is a file or a block device: what is there decides. */
export type RawTarget =
  | { readonly kind: "path"; readonly path: string }
  | { readonly kind: "stream"; readonly stream: ByteSink };

export interface ExportOptions {
  readonly disk: Disk;
  readonly clock: Clock;
  /** Identity of the exhibit: an unfinished image of another one is not taken up. */
  readonly imageDigest: string;
  /** For the log: what the caller knows of the exhibit, in the order in which it is to be read. */
  readonly exhibitFacts: LabelledFacts;
  /** For the log: "coldcase 0.1.0". */
  readonly tool: string;
  /** `["sha256"]` where not given; none are possible. */
  readonly digests?: readonly DigestName[];
  /** Replaces a file that exists. A block device always needs it. */
  readonly overwrite?: boolean;
  readonly signal?: AbortSignal;
  /** Of what may go wrong, before the first byte is written; a sentence without its full stop. */
  readonly onWarning?: (text: string) => void;
  /** Called after each piece; must be quick. */
  readonly onProgress?: (progress: ImageProgress) => void;
  /** The host's devices where not given. */
  readonly devices?: DeviceHost;
  /**
   * Written bytes between two syncs, 256 MiB where not given: what an interruption loses at most. Syncs run
   * beside the writing.
   */
  readonly syncEveryBytes?: number;
  /** A file in pieces of this size, a multiple of 512 bytes: `PATH.001`, `PATH.002`, … Not for devices and streams. */
  readonly splitBytes?: number | undefined;
  /**
   * An E01 with these facts: `PATH.E01`, `PATH.E02`, … of `splitBytes` at most, 2 GiB (more where the names need it)
   * where not given. Where any digest is asked for, MD5 and SHA-1 are computed too: the format holds them.
   */
  readonly ewf?: EwfFacts | undefined;
  /**
   * A VMDK (`PATH.vmdk` over `PATH-flat.vmdk`, with `splitBytes` over `PATH-f001.vmdk`, …) or a VHD (`PATH.vhd`, or a
   * stream) instead of a raw image.
   */
  readonly virtualDisk?: VirtualDisk | undefined;
  /** Worker threads that compress an E01; with any, digests are computed in two more. 0 where not given. */
  readonly threads?: number | undefined;
  /** A digest of each window, in `NAME.sha256.log` and its like. */
  readonly windowLog?: WindowLogPlan | undefined;
}

/** One of the files that an image lies in. */
export interface ImagePiece {
  readonly path: string;
  /** Of the volume. */
  readonly offsetBytes: number;
  readonly lengthBytes: number;
  readonly digests: LinearDigestValues;
}

/** What was exported. All blocks are of the whole volume, also where an earlier session wrote some. */
export interface ExportResult {
  readonly target: "file" | "device" | "stream";
  /** `undefined` for a stream. */
  readonly path: string | undefined;
  /** Files beside the image; `undefined` where there are none. */
  readonly logPath: string | undefined;
  readonly mapPath: string | undefined;
  readonly volumeSizeBytes: number;
  readonly blockSizeBytes: number;
  /** Of the volume's bytes. Empty where none were asked for, or where the stream was closed early. */
  readonly digests: LinearDigestValues;
  /** Of a VHD with its footer; empty where the file has the volume's bytes alone, or is several. */
  readonly wholeFileDigests: LinearDigestValues;
  readonly format: ImageFormat;
  /** All that the image lies in, in order; empty for a device and a stream. */
  readonly files: readonly string[];
  /** Of an image in pieces of raw bytes; empty for any other. */
  readonly pieces: readonly ImagePiece[];
  /** Digests of each window; empty where none were asked for. */
  readonly windowLogs: readonly string[];
  /** `undefined` where there are none. */
  readonly windowBytes: number | undefined;
  readonly storedBlocks: number;
  readonly zeroBlocks: number;
  readonly absentBlocks: number;
  readonly unreadableBlocks: number;
  /** Merged and ascending, the first 1,000; `unreadableRangeCount` counts all. */
  readonly unreadableRanges: readonly ByteRange[];
  readonly unreadableRangeCount: number;
  /** Bytes of the device beyond the volume, left alone. */
  readonly excessBytes: number;
  /** Runs of the program that this image took, this one included. */
  readonly sessions: number;
  /** Bytes that earlier sessions wrote, compared with the exhibit in this one and kept. */
  readonly checkedBytes: number;
  /** True where nobody read the stream to its end: a quiet end, not an error. */
  readonly isClosedEarly: boolean;
  /** RFC 3339 UTC; `startedAt` is the first session's. */
  readonly startedAt: string;
  readonly endedAt: string;
  /** Of this session. */
  readonly durationMs: number;
  readonly notes: readonly string[];
}

/**
 * Writes the volume that `reader` shows to `target`.
 *
 * A file is complete under its name, with `IMAGE.log` and `IMAGE.map.json`, or is not there; interrupted, the
 * same call carries on from `IMAGE.partial`.
 *
 * Throws `usage` (target exists, is in use, is no place for an image), `locked`, `storage` (no room, a failing
 * disk), `interrupted` (`signal`), and what the reader throws (`integrity`).
 */
export async function exportRaw(
  reader: BlockReader,
  target: RawTarget,
  options: ExportOptions,
): Promise<ExportResult> {
  const startedAt = formatTime(options.clock.nowMs());
  const startedMs = options.clock.monotonicMs();
  const opened = await openTarget(reader, target, { ...options, startedAt });
  let windows: WindowLogs | undefined;
  try {
    windows = opened instanceof FileTarget ? opened.windows : openWindowLogs(opened, { ...options, reader });
    const { pieces, ...written } = await writeVolume(reader, opened, {
      ...options,
      windows,
      digests: digestsAsked(options),
    });
    const files = opened instanceof FileTarget ? await opened.seal(written.digests) : [];
    // A VMDK's first file is its descriptor, which holds no byte of the volume.
    const extents = options.virtualDisk?.format === "vmdk" ? files.slice(1) : files;
    const result: ExportResult = {
      ...written,
      format: options.ewf ? "e01" : options.virtualDisk?.format ?? "raw",
      files,
      pieces: pieces.map((piece, index) => ({ path: extents[index]!, ...piece })),
      windowLogs: windows?.paths ?? [],
      windowBytes: windows?.windowBytes,
      target: opened.kind,
      path: opened.path,
      logPath: opened instanceof FileTarget ? opened.names.log : undefined,
      mapPath: opened instanceof FileTarget ? opened.names.map : undefined,
      volumeSizeBytes: volumeSizeBytes(reader.shape),
      blockSizeBytes: reader.shape.blockSizeBytes,
      excessBytes: opened.excessBytes,
      sessions: opened instanceof FileTarget ? opened.sessions : 1,
      checkedBytes: opened instanceof FileTarget ? opened.checkedBytes : 0,
      startedAt: opened instanceof FileTarget ? opened.startedAt : startedAt,
      endedAt: formatTime(options.clock.nowMs()),
      durationMs: options.clock.monotonicMs() - startedMs,
      notes: opened.notes,
    };
    await finish(opened, { windows, result, options });
    return result;
  } finally {
    opened.close();
    if (!(opened instanceof FileTarget)) windows?.close();
  }
}

/** Of a device or a stream: beside those nothing lies by itself. */
function openWindowLogs(
  { kind }: ImageTarget,
  options: ExportOptions & { readonly reader: BlockReader },
): WindowLogs | undefined {
  const { disk, reader, windowLog, overwrite = false } = options;
  if (!windowLog) return undefined;
  const { base, windowBytes } = windowLog;
  if (base === undefined) {
    throw new OperatorError(
      "usage",
      `Cannot write digests of windows beside a ${kind}: nothing lies there, expected a place for them`,
      { hints: ["Give --digest-log NAME, for NAME.sha256.log."] },
    );
  }
  const names = digestsAsked(options);
  const volume = volumeSizeBytes(reader.shape);
  return new WindowLogs(disk, {
    ...{ base, windowBytes, names, overwrite },
    volumeSizeBytes: volume,
    isResumed: false,
  });
}

function digestsAsked({ digests = ["sha256"] }: ExportOptions): readonly DigestName[] {
  return digests;
}

/** Everything under its name: the image's is the last. */
async function finish(
  opened: ImageTarget,
  parts: {
    readonly windows: WindowLogs | undefined;
    readonly result: ExportResult;
    readonly options: ExportOptions;
  },
): Promise<void> {
  const { windows, result, options } = parts;
  if (!result.isClosedEarly) await windows?.seal(result.digests);
  if (opened instanceof FileTarget) return await opened.finish(formatExportLog(result, options));
  try {
    if (result.isClosedEarly) windows?.discard();
    else await windows?.publish();
  } catch (error) {
    throw diskFailure("finish digest log", windows!.paths[0]!, error);
  }
}

async function openTarget(
  reader: BlockReader,
  target: RawTarget,
  options: ExportOptions & { readonly startedAt: string },
): Promise<ImageTarget> {
  const { ewf, splitBytes, virtualDisk } = options;
  if (virtualDisk?.format === "vhd" && splitBytes !== undefined) {
    throw new OperatorError("usage", "Cannot split a VHD: the format is one file", {
      hints: ["Give --format vmdk with --split, or leave --split out."],
    });
  }
  const files = ewf ? "an E01" : virtualDisk?.format === "vmdk" ? "a VMDK" : splitBytes && "pieces";
  if (target.kind === "stream") {
    trailerBytes({ ...options, reader }, "standard output");
    if (!files) return new StreamTarget(target.stream, await trailerNotes({ ...options, reader }));
    throw new OperatorError(
      "usage",
      `Cannot write ${files} to a stream: expected a path, for files`,
    );
  }
  const { disk, devices = realDeviceHost, overwrite = false, syncEveryBytes = SYNC_EVERY_BYTES } = options;
  const kindOf = (path: string) => {
    try {
      return disk.stat(path)?.kind;
    } catch (error) {
      throw diskFailure("look at", path, error);
    }
  };
  // Devices are mostly named by links (/dev/disk/by-id/…); a link to a file stays a link, and is refused.
  const isLink = kindOf(target.path) === "symlink";
  const resolved = isLink ? devices.resolve(target.path) : target.path;
  if (kindOf(resolved) === "device") {
    const what = files ?? (virtualDisk && "a VHD");
    if (what) {
      throw new OperatorError(
        "usage",
        `Cannot write ${what} to "${target.path}": it is a device, expected a path for files`,
      );
    }
    return openDeviceTarget(resolved, {
      disk,
      devices,
      overwrite,
      syncEveryBytes,
      volumeSizeBytes: volumeSizeBytes(reader.shape),
    });
  }
  const digests = digestsAsked(options);
  return await openFileTarget(target.path, { ...options, reader, overwrite, syncEveryBytes, digests });
}
