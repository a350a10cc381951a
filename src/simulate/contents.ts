/**
 * What a snapshot holds, behind one small interface: which blocks are present and their bytes. Three kinds
 * implement it: a raw image file (image.ts), a formula (synthetic.ts), and what StartSnapshot began
 * (written.ts). Whose snapshot it is and in which state: snapshots.ts.
 */
import { OperatorError } from "../errors.ts";
import { volumeShape } from "../units.ts";

/** The blocks of one snapshot. Indexes are in `[0, blockCount)`. */
export interface Contents {
  readonly blockSizeBytes: number;
  readonly blockCount: number;
  has(index: number): boolean;
  /** The first present block of `[from, limit)`, or `limit`. */
  next(from: number, limit: number): number;
  /** The bytes of a present block; the caller owns them. */
  read(index: number): Uint8Array;
  /**
   * Whether a block present in both differs; `undefined`: their bytes must be compared.
   * For kinds that know without reading.
   */
  differs?(index: number, other: Contents): boolean | undefined;
  /** Blocks to be listed as changed although their bytes are not (AWS records writes, not differences). */
  wasRewritten?(index: number): boolean;
  close(): void;
}

/** GiB of `sizeBytes`, rounded up, at least 1. */
export function volumeSizeGibOf(sizeBytes: number): number {
  return Math.max(1, Math.ceil(sizeBytes / 2 ** 30));
}

/** Blocks of a volume. Throws `usage` where EBS has no such volume, or it has more blocks than coldcase holds. */
export function blockCountOf(
  facts: { readonly blockSizeBytes: number; readonly volumeSizeGib: number },
): number {
  const shape = volumeShape(facts);
  if (typeof shape === "string") throw new OperatorError("usage", `Cannot serve a snapshot: ${shape}`);
  return shape.blockCount;
}
