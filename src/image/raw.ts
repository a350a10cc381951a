/**
 * Raw export: the volume's bytes, one for one, to a file, a block device or a stream, with digests on the
 * way. The steps are here in order; where the bytes go is a target's business (`*_target.ts`). Unreadable
 * blocks become zeros and are named in the result; what that means for the exit code is the caller's.
 */
import { OperatorError } from "../errors.ts";
import type { BlockReader, BlockState, Clock, Disk } from "../model.ts";
import { formatTime, MIB } from "../units.ts";
import { blocksInOrder, volumeSizeBytes } from "./blocks.ts";
import type { ImageFormat } from "./container.ts";
import { type DeviceHost, realDeviceHost } from "./devices.ts";
import { openDeviceTarget } from "./device_target.ts";
import {
  type DigestName,
  LinearDigests,
  type LinearDigestValues,
  type WindowDigests,
  WindowedDigests,
} from "./digests.ts";
import type { EwfFacts } from "./ewf_header.ts";
import { diskFailure } from "./failures.ts";
import { FileTarget } from "./file_target.ts";
import { formatExportLog, type LabelledFacts } from "./log.ts";
import { openFileTarget } from "./open_file.ts";
import { type ByteRange, RangeList } from "./ranges.ts";
import { type ImageProgress, Steps } from "./steps.ts";
import { type ByteSink, ClosedStream, StreamTarget } from "./stream_target.ts";
import { HOLE_PIECE_BYTES, type ImageTarget } from "./target.ts";

/** Rare enough to cost little, and small enough that the last sync is short. */
const SYNC_EVERY_BYTES = 256 * MIB;

/** Where a raw image goes. A path is a file or a block device: what is there decides. */
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
   * where not given. MD5 and SHA-1 are computed whether they are asked for or not: the format holds them.
   */
  readonly ewf?: EwfFacts | undefined;
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
  /** Empty where none were asked for, or where the stream was closed early. */
  readonly digests: LinearDigestValues;
  readonly format: ImageFormat;
  /** All that the image lies in, in order; empty for a device and a stream. */
  readonly files: readonly string[];
  /** Of a raw image in pieces; empty for any other. */
  readonly pieces: readonly ImagePiece[];
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
  try {
    const { windows, ...written } = await writeVolume(reader, opened, options);
    const files = opened instanceof FileTarget ? opened.seal(written.digests) : [];
    const result: ExportResult = {
      ...written,
      format: options.ewf ? "e01" : "raw",
      files,
      pieces: windows.map((window, index) => ({ path: files[index]!, ...window })),
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
    if (opened instanceof FileTarget) await opened.finish(formatExportLog(result, options));
    return result;
  } finally {
    opened.close();
  }
}

async function openTarget(
  reader: BlockReader,
  target: RawTarget,
  options: ExportOptions & { readonly startedAt: string },
): Promise<ImageTarget> {
  const isSplit = options.splitBytes !== undefined || options.ewf !== undefined;
  if (target.kind === "stream") {
    if (!isSplit) return new StreamTarget(target.stream);
    throw new OperatorError(
      "usage",
      "Cannot write an E01 or pieces to a stream: they are files, expected a path",
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
    if (isSplit) {
      throw new OperatorError(
        "usage",
        `Cannot write an E01 or pieces to "${target.path}": it is a device, they are files`,
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
  return await openFileTarget(target.path, { ...options, reader, overwrite, syncEveryBytes });
}

type Written = Pick<
  ExportResult,
  | "digests"
  | "storedBlocks"
  | "zeroBlocks"
  | "absentBlocks"
  | "unreadableBlocks"
  | "unreadableRanges"
  | "unreadableRangeCount"
  | "isClosedEarly"
>;

async function writeVolume(
  reader: BlockReader,
  target: ImageTarget,
  options: ExportOptions,
): Promise<Written & { readonly windows: readonly WindowDigests[] }> {
  const { blockSizeBytes } = reader.shape;
  const digests = new ImageDigests(options);
  const blocks: Record<BlockState, number> = { absent: 0, zero: 0, stored: 0, unreadable: 0 };
  const unreadable = new RangeList();
  const steps = new Steps(volumeSizeBytes(reader.shape), { ...options, action: "finish the image" });
  let isClosedEarly = false;
  try {
    await steps.done(0);
    for await (const piece of blocksInOrder(reader)) {
      const offset = piece.firstBlock * blockSizeBytes;
      target.announce(piece);
      if (piece.state === "stored") {
        blocks.stored++;
        const writing = target.write(piece.bytes, offset);
        digests.update(piece.bytes);
        await writing;
        await steps.done(piece.bytes.length);
        continue;
      }
      const lengthBytes = piece.blockCount * blockSizeBytes;
      blocks[piece.state] += piece.blockCount;
      if (piece.state === "unreadable") unreadable.add({ offsetBytes: offset, lengthBytes });
      await writeHole({ offset, lengthBytes }, { target, digests, steps });
    }
    await target.save();
  } catch (error) {
    if (error instanceof ClosedStream) isClosedEarly = true;
    else throw await saved(target, { error, isE01: options.ewf !== undefined });
  }
  return {
    ...(isClosedEarly ? { digests: {}, windows: [] } : digests.finish()),
    storedBlocks: blocks.stored,
    zeroBlocks: blocks.zero,
    absentBlocks: blocks.absent,
    unreadableBlocks: blocks.unreadable,
    unreadableRanges: unreadable.listed,
    unreadableRangeCount: unreadable.count,
    isClosedEarly,
  };
}

/** Digests of the whole image and, where it is in pieces, of each. */
class ImageDigests {
  readonly #whole: LinearDigests;
  readonly #pieces: WindowedDigests | undefined;

  constructor({ digests = ["sha256"], splitBytes, ewf }: ExportOptions) {
    this.#whole = new LinearDigests(ewf ? [...digests, "md5", "sha1"] : digests);
    const isInPieces = splitBytes !== undefined && !ewf;
    this.#pieces = isInPieces ? new WindowedDigests(digests, splitBytes) : undefined;
  }

  get isEmpty(): boolean {
    return this.#whole.isEmpty;
  }

  update(bytes: Uint8Array): void {
    this.#whole.update(bytes);
    this.#pieces?.update(bytes);
  }

  updateZeros(lengthBytes: number): void {
    this.#whole.updateZeros(lengthBytes);
    this.#pieces?.updateZeros(lengthBytes);
  }

  finish(): { readonly digests: LinearDigestValues; readonly windows: readonly WindowDigests[] } {
    return { digests: this.#whole.finish(), windows: this.#pieces?.finish() ?? [] };
  }
}

async function writeHole(
  hole: { readonly offset: number; readonly lengthBytes: number },
  way: { readonly target: ImageTarget; readonly digests: ImageDigests; readonly steps: Steps },
): Promise<void> {
  const { target, digests, steps } = way;
  for (let done = 0; done < hole.lengthBytes;) {
    const offset = hole.offset + done;
    const isFree = digests.isEmpty && target.isHoleFree(offset);
    const left = hole.lengthBytes - done;
    const lengthBytes = isFree ? left : Math.min(HOLE_PIECE_BYTES, left);
    const writing = target.writeHole(lengthBytes, offset);
    digests.updateZeros(lengthBytes);
    await writing;
    await steps.done(lengthBytes);
    done += lengthBytes;
  }
}

/** Keeps what was written before `error`, and says in its hints how to go on. */
async function saved(
  target: ImageTarget,
  { error, isE01 }: { readonly error: unknown; readonly isE01: boolean },
): Promise<unknown> {
  if (target.kind !== "file") return error;
  const isDamage = error instanceof OperatorError && error.code === "integrity";
  let hint = isE01
    ? `An E01 is not taken up: ${
      isDamage ? "once the store is repaired, " : ""
    }the same command writes it anew.`
    : isDamage
    ? "What was written is kept: once the store is repaired, the same command carries on."
    : "What was written is kept: run the same command again to carry on.";
  try {
    await target.save();
  } catch (failure) {
    const known = diskFailure("save image", target.path ?? "", failure);
    // The disk itself failed, and said so already.
    if (error instanceof OperatorError && known.cause === error.cause) return error;
    hint = `The last part could not be saved (${known.message}): run the same command again to carry on.`;
  }
  if (!(error instanceof OperatorError)) return error;
  return new OperatorError(error.code, error.message, {
    hints: [...error.hints, hint],
    facts: error.facts,
    cause: error.cause,
  });
}
