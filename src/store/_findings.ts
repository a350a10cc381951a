/**
 * What verifying an exhibit is told, and what it tells: findings one by one, and a summary. Which checks there are is
 * in the files that make them.
 *
 * @see store-format.md, "Verification"
 */
import type { ObjectName } from "../model.ts";

/** One thing that is wrong. Every finding of verify is an integrity failure. */
export interface Finding {
  readonly code:
    | "file_missing"
    | "file_size"
    | "file_damaged"
    | "record_damaged"
    | "block_missing"
    | "block_damaged"
    | "segment_unusable"
    | "counts_differ";
  readonly message: string;
  readonly file: ObjectName;
  /** Position of the record in its pack. */
  readonly record?: number;
  /** Of the record's header in the file. */
  readonly recordOffsetBytes?: number;
  /** Which part of the volume cannot be trusted. */
  readonly firstBlock?: number;
  readonly blockCount?: number;
  readonly volumeOffsetBytes?: number;
  readonly volumeLengthBytes?: number;
}

export interface VerifyOptions {
  /** `full` reads every byte, `quick` no block data; a sample reads the data of one share of the packs. */
  readonly level: "full" | "quick" | { readonly part: number; readonly of: number };
  readonly signal: AbortSignal;
  onFinding(finding: Finding): void;
  onProgress?(done: { readonly readBytes: number; readonly totalBytes: number }): void;
}

export interface VerifySummary {
  readonly findings: number;
  readonly files: number;
  readonly packs: number;
  /** Packs whose data was read. */
  readonly packsRead: number;
  readonly readBytes: number;
  readonly storedBlocks: number;
  /** Stored blocks that may lie in packs, or are named in segments, which were not opened: nothing is known of their contents. */
  readonly uncheckedBlocks: number;
  /** Files that none of the identities opens, packs included: of these only the outside was checked. */
  readonly unopenedFiles: number;
  readonly unopenedPacks: number;
  /** The first of them; null: all were opened. */
  readonly firstUnopened: ObjectName | null;
}
