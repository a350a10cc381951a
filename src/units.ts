/**
 * Sizes, rates, durations, money and ids: parse what people write, format what people read. Pure.
 * Everything computes in the unit that its name ends with.
 */
import { OperatorError } from "./errors.ts";
import { type Digest, type ExhibitId, MAX_BLOCKS, type SnapshotId, type VolumeShape } from "./model.ts";

export const KIB = 1024;
export const MIB = 1024 * KIB;
export const GIB = 1024 * MIB;
export const TIB = 1024 * GIB;

const SIZE_UNITS: Readonly<Record<string, number>> = {
  "": 1,
  B: 1,
  KIB: KIB,
  MIB: MIB,
  GIB: GIB,
  TIB: TIB,
  K: KIB,
  M: MIB,
  G: GIB,
  T: TIB,
  KB: 1e3,
  MB: 1e6,
  GB: 1e9,
  TB: 1e12,
};

/** As it stands in a message: a whole file given by mistake is none. */
function shown(text: string): string {
  return text.length <= 100 ? text : `${text.slice(0, 100)}…`;
}

/**
 * Bytes of a size such as `2GiB`, `650MB`, `4096`. K, M, G, T alone are binary. At least 1 byte.
 * Throws `usage`.
 */
export function parseSize(text: string): number {
  const match = /^(\d+(?:\.\d+)?) ?([A-Za-z]*)$/.exec(text.trim());
  const unit = match ? SIZE_UNITS[match[2]!.toUpperCase()] : undefined;
  const bytes = match && unit !== undefined ? Math.round(Number(match[1]) * unit) : NaN;
  if (!Number.isSafeInteger(bytes) || bytes < 1) {
    throw new OperatorError(
      "usage",
      `Cannot read size "${shown(text)}": expected a number and B, KiB, MiB, GiB or TiB`,
    );
  }
  return bytes;
}

/** A limit on the way from the source; one of the two. */
export type Rate = { readonly bytesPerSecond: number } | { readonly requestsPerSecond: number };

/** `20MiB/s` or `300req/s`. Throws `usage`. */
export function parseRate(text: string): Rate {
  const requests = /^(\d+(?:\.\d+)?) ?req\/s$/.exec(text.trim());
  const perSecond = Number(requests?.[1] ?? 0);
  if (perSecond > 0 && Number.isFinite(perSecond)) return { requestsPerSecond: perSecond };
  const bytes = /^(.+)\/s$/.exec(text.trim());
  if (!bytes || requests) {
    throw new OperatorError(
      "usage",
      `Cannot read rate "${shown(text)}": expected for example 20MiB/s or 300req/s`,
    );
  }
  return { bytesPerSecond: parseSize(bytes[1]!) };
}

/** A hundred years. */
const MAX_DURATION_MS = 36_525 * 86_400e3;
const DURATION_UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1e3, m: 60e3, h: 3600e3, d: 86_400e3 };

/** Milliseconds of `30s`, `15m`, `24h`, `2d`. Throws `usage`. */
export function parseDuration(text: string): number {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/.exec(text.trim());
  const ms = match ? Number(match[1]) * DURATION_UNITS[match[2]!]! : NaN;
  // Beyond that the clock has no date to wait for.
  if (!(ms <= MAX_DURATION_MS)) {
    throw new OperatorError(
      "usage",
      `Cannot read duration "${shown(text)}": expected for example 30s, 15m, 24h or 2d`,
    );
  }
  return ms;
}

/** US dollars of `12`, `12.50` or `$12.50`. Throws `usage`. */
export function parseUsd(text: string): number {
  const match = /^\$?(\d+(?:\.\d+)?)$/.exec(text.trim());
  const usd = match ? Number(match[1]) : NaN;
  // So many digits that they make Infinity would be a budget that nothing exceeds.
  if (!Number.isFinite(usd)) {
    throw new OperatorError(
      "usage",
      `Cannot read amount "${shown(text)}": expected US dollars such as 12.50`,
    );
  }
  return usd;
}

/** `1.5 GiB`: at most one decimal, binary units, `0 B` for nothing. */
export function formatSize(bytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  const digits = unit === 0 || Number.isInteger(value) || value >= 100 ? 0 : 1;
  return `${value.toFixed(digits)} ${units[unit]}`;
}

export function formatRate(bytesPerSecond: number): string {
  return `${formatSize(Math.round(bytesPerSecond))}/s`;
}

/** `850 ms`, `12 s`, `3 min 05 s`, `2 h 10 min`, `3 d 04 h`. */
export function formatDuration(ms: number): string {
  if (!Number.isFinite(ms)) return "unknown";
  if (ms < 1000) return `${Math.round(ms)} ms`;
  const seconds = Math.round(ms / 1000);
  const pad = (value: number) => String(value).padStart(2, "0");
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${pad(seconds % 60)} s`;
  if (seconds < 86_400) {
    return `${Math.floor(seconds / 3600)} h ${pad(Math.floor((seconds % 3600) / 60))} min`;
  }
  return `${Math.floor(seconds / 86_400)} d ${pad(Math.floor((seconds % 86_400) / 3600))} h`;
}

/** `$0.0031`, `$6.29`, `$1,204.00`: cents from a dollar on, up to four digits below. */
export function formatUsd(usd: number): string {
  if (usd === 0) return "$0.00";
  if (usd < 0.0001) return "<$0.0001";
  // Below the dollar as it is shown: 0.99999 is $1.00, not $1.0000.
  if (usd < 0.99995) return `$${usd.toFixed(4)}`;
  const cents = usd.toFixed(2);
  return `$${formatCount(Number(cents.slice(0, -3)))}${cents.slice(-3)}`;
}

/** `1,234,567`. */
export function formatCount(count: number): string {
  return String(count).replace(/\B(?=(\d{3})+$)/g, ",");
}

/** RFC 3339 in UTC with milliseconds: `2026-01-02T03:04:05.678Z`. */
export function formatTime(ms: number): string {
  return new Date(ms).toISOString();
}

/** Throws `usage` where `text` is no snapshot id. */
export function parseSnapshotId(text: string): SnapshotId {
  if (!isSnapshotId(text)) {
    throw new OperatorError(
      "usage",
      `Cannot read snapshot id "${shown(text)}": expected snap- and 8 to 17 hexadecimal digits`,
    );
  }
  return text;
}

export function isSnapshotId(text: string): text is SnapshotId {
  return /^snap-[0-9a-f]{8,17}$/.test(text);
}

/** `i-` and 8 to 17 lower-case hexadecimal digits: an EC2 instance. */
export function isInstanceId(text: unknown): text is string {
  return typeof text === "string" && /^i-[0-9a-f]{8,17}$/.test(text);
}

export function isDigest(text: unknown): text is Digest {
  return typeof text === "string" && /^[0-9a-f]{64}$/.test(text);
}

export function isExhibitId(text: unknown): text is ExhibitId {
  return typeof text === "string" && /^ex-[0-9a-f]{16}$/.test(text);
}

/**
 * The shape of a volume, refused where it is implausible: EBS has 1 to 65,536 GiB and blocks of a power of
 * two from 512 bytes to 16 MiB; more than `MAX_BLOCKS` blocks are beyond what coldcase holds.
 * Returns the reason as a text where it is refused.
 */
export function volumeShape(facts: { blockSizeBytes: number; volumeSizeGib: number }): VolumeShape | string {
  const { blockSizeBytes, volumeSizeGib } = facts;
  const isPowerOfTwo = Number.isInteger(blockSizeBytes) && Number.isInteger(Math.log2(blockSizeBytes));
  if (!isPowerOfTwo || blockSizeBytes < 512 || blockSizeBytes > 16 * MIB) {
    return `block size is ${blockSizeBytes}, expected a power of two from 512 to 16777216`;
  }
  if (!Number.isInteger(volumeSizeGib) || volumeSizeGib < 1 || volumeSizeGib > 65_536) {
    return `volume size is ${volumeSizeGib}, expected 1 to 65536 GiB`;
  }
  const blockCount = volumeSizeGib * GIB / blockSizeBytes;
  if (blockCount > MAX_BLOCKS) {
    return `volume has ${blockCount} blocks of ${blockSizeBytes} bytes, at most ${MAX_BLOCKS} are supported`;
  }
  return { blockSizeBytes, volumeSizeGib, blockCount };
}
