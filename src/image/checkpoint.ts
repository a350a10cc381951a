/**
 * `IMAGE.partial.json`: what an unfinished image is, and up to which byte it was made durable. Written before the
 * image's first byte, so an unfinished image without one is not ours. It only tells where to begin to
 * *compare*: no byte of an unfinished image is taken on its word.
 */
import type { Disk } from "../model.ts";
import { type HeldSegment, type ImageFormat, isImageFormat } from "./container.ts";

const TYPE = "coldcase-partial-image";
/** All segment files that an E01 can have fit. */
const MAX_CHECKPOINT_BYTES = 256 * 1024;

/** An unfinished image of one exhibit. */
export interface Checkpoint {
  readonly format: ImageFormat;
  /** Of each piece or segment file; `undefined`: the image is one file. */
  readonly splitBytes?: number | undefined;
  readonly imageDigest: string;
  readonly volumeSizeBytes: number;
  readonly blockSizeBytes: number;
  /** All below was written and synced. What lies beyond counts as lost. */
  readonly durableBytes: number;
  /** Of an E01, from the first on: `durableBytes` is where the last of them ends. */
  readonly segments?: readonly HeldSegment[] | undefined;
  /** How many runs of the program have worked on it, this one included. */
  readonly sessions: number;
  /** When the first of them began, RFC 3339 UTC. */
  readonly startedAt: string;
}

/** Replaces the checkpoint at `path`, durably. Throws the disk's own errors. */
export async function writeCheckpoint(disk: Disk, path: string, checkpoint: Checkpoint): Promise<void> {
  const temporary = `${path}.new`;
  if (disk.stat(temporary)) disk.remove(temporary);
  const file = disk.open(temporary, "create");
  try {
    file.write(
      new TextEncoder().encode(JSON.stringify({ type: TYPE, version: 1, ...checkpoint }) + "\n"),
      0,
    );
    await file.sync();
  } finally {
    file.close();
  }
  disk.rename(temporary, path);
}

/**
 * The checkpoint at `path`; `undefined` where there is none, `"unknown"` where the file is not one of
 * ours (or of a version that this program does not know). Throws the disk's own errors.
 */
export function readCheckpoint(disk: Disk, path: string): Checkpoint | "unknown" | undefined {
  const stat = disk.stat(path);
  if (!stat) return undefined;
  if (stat.kind !== "file" || stat.sizeBytes > MAX_CHECKPOINT_BYTES) return "unknown";
  const file = disk.open(path, "read");
  const bytes = new Uint8Array(stat.sizeBytes);
  try {
    file.read(bytes, 0);
  } finally {
    file.close();
  }
  return parseCheckpoint(new TextDecoder().decode(bytes)) ?? "unknown";
}

function parseCheckpoint(text: string): Checkpoint | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
  if (typeof value !== "object" || value === null) return undefined;
  const { type, version, format, imageDigest, startedAt, ...numbers } = value as Record<string, unknown>;
  const { volumeSizeBytes, blockSizeBytes, durableBytes, sessions, splitBytes, segments } = numbers;
  if (type !== TYPE || version !== 1 || !isImageFormat(format)) return undefined;
  if (splitBytes !== undefined && !(isCount(splitBytes) && splitBytes > 0)) return undefined;
  if (typeof imageDigest !== "string" || typeof startedAt !== "string") return undefined;
  if (!isCount(volumeSizeBytes) || !isCount(blockSizeBytes) || !isCount(durableBytes) || !isCount(sessions)) {
    return undefined;
  }
  const facts: Checkpoint = {
    format,
    imageDigest,
    volumeSizeBytes,
    blockSizeBytes,
    durableBytes,
    sessions,
    startedAt,
  };
  if (segments !== undefined && !(Array.isArray(segments) && segments.every(isHeldSegment))) return undefined;
  return {
    ...facts,
    ...(splitBytes !== undefined && { splitBytes }),
    ...(segments !== undefined &&
      { segments: segments.map(({ sha256, endBytes }) => ({ sha256, endBytes })) }),
  };
}

function isHeldSegment(value: unknown): value is HeldSegment {
  if (typeof value !== "object" || value === null) return false;
  const { sha256, endBytes } = value as Record<string, unknown>;
  return typeof sha256 === "string" && isCount(endBytes);
}

function isCount(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}
