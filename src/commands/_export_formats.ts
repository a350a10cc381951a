/**
 * What `export` asks of a format: which options go together, sizes that were typed, and how its files are told. What a
 * format can hold is the business of `image`.
 */
import { resolve } from "@std/path";
import { OperatorError } from "../errors.ts";
import type { ExportResult, ImageFormat } from "../image/mod.ts";
import { formatCount, formatSize, MIB, parseSize } from "../units.ts";

const SECTOR_BYTES = 512;

/** The options that decide where an image's bytes lie. */
export interface FormatOptions {
  readonly format: ImageFormat;
  readonly splitBytes: number | undefined;
  readonly windowBytes: number | undefined;
  readonly digestLog: string | undefined;
}

/** Refuses what can't be together, before a store is opened. Throws `usage`. */
export function refuseFormat(
  options: FormatOptions & { readonly hasDigests: boolean },
  to: { readonly isStream: boolean; readonly isEncrypted: boolean },
): void {
  const { format, splitBytes, windowBytes, digestLog } = options;
  const what = format === "e01" ? "an E01" : format === "vmdk" ? "a VMDK" : splitBytes && "pieces";
  if (format === "vhd" && splitBytes !== undefined) {
    throw new OperatorError("usage", "Cannot split a VHD: the format is one file", {
      hints: ["Give --format vmdk with --split, or leave --split out."],
    });
  }
  if (what && (to.isStream || to.isEncrypted)) {
    throw new OperatorError(
      "usage",
      `Cannot write ${what} to ${
        to.isEncrypted ? "an age file" : "a stream"
      }: they are files that lie plain on a disk`,
      { hints: ['Leave out --split and --format; "split -b" cuts a stream.'] },
    );
  }
  if (digestLog !== undefined && windowBytes === undefined) {
    throw new OperatorError("usage", "Cannot place digest logs: no --digest-window was given");
  }
  if (windowBytes === undefined) return;
  if (!options.hasDigests) {
    throw new OperatorError("usage", "Cannot write digests of windows: --digests is none");
  }
  if (digestLog !== undefined || !(to.isStream || to.isEncrypted)) return;
  throw new OperatorError(
    "usage",
    `Cannot write digests of windows beside ${
      to.isEncrypted ? "an age file: they tell of what is in it" : "a stream: nothing lies there"
    }`,
    { hints: ["Name a place for them: --digest-log NAME, for NAME.sha256.log."] },
  );
}

/** For `image`; `undefined` without windows. */
export function windowLogOf(
  { windowBytes, digestLog }: FormatOptions,
): { readonly windowBytes: number; readonly base?: string } | undefined {
  if (windowBytes === undefined) return undefined;
  return digestLog === undefined ? { windowBytes } : { windowBytes, base: resolve(digestLog) };
}

/** Smaller pieces are a typing error sooner than a wish. */
export function parseSplit(text: string): number {
  const bytes = parseSize(text);
  if (bytes >= MIB && bytes % SECTOR_BYTES === 0) return bytes;
  throw new OperatorError(
    "usage",
    `Cannot split by "${text}": expected a multiple of 512 bytes, at least 1 MiB, such as 2GiB`,
  );
}

export function parseWindow(text: string): number {
  const bytes = parseSize(text);
  if (bytes >= SECTOR_BYTES && bytes % SECTOR_BYTES === 0) return bytes;
  throw new OperatorError(
    "usage",
    `Cannot take windows of "${text}": expected a multiple of 512 bytes, such as 1MiB`,
  );
}

/** What an image lies in, where that is more than the file that was named. */
export function filesTexts(result: ExportResult): string[] {
  const { format, files, pieces, logPath, windowLogs, windowBytes } = result;
  const windows = windowLogs.length === 0
    ? []
    : [`digests of windows of ${formatSize(windowBytes!)}: ${windowLogs.join(", ")}`];
  if (format === "raw" && pieces.length === 0) return windows;
  const one = format === "e01" ? "segment file" : format === "vmdk" ? "extent" : "piece";
  const parts = format === "vmdk" ? files.slice(1) : files;
  if (format === "vhd") return [...withFooter(result), ...windows];
  const count = parts.length > 1
    ? `${formatCount(parts.length)} ${one}s, to ${parts.at(-1)}`
    : format === "vmdk"
    ? `1 extent: ${parts[0]}`
    : `1 ${one}`;
  return [pieces.length === 0 ? count : `${count}; digests of each: ${logPath}`, ...windows];
}

function withFooter({ wholeFileDigests: { sha256 } }: ExportResult): string[] {
  return sha256 === undefined ? [] : [`SHA-256 of the file, its footer included: ${sha256}`];
}
