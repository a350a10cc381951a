/**
 * What a raw image is written to, as the export sees it: bytes and holes in order, then an end. One
 * implementation each for a file, a block device and a stream. A target that failed once is done with:
 * the export closes it and never writes to it again.
 */
import { MIB } from "../units.ts";
import type { VolumePiece } from "./blocks.ts";

/** Holes are hashed, compared or written in pieces of this size; between them the export can be stopped. */
export const HOLE_PIECE_BYTES = 16 * MIB;

/** Every call continues where the one before ended; all offsets are bytes of the volume. */
export interface ImageTarget {
  readonly kind: "file" | "device" | "stream";
  /** The path, or `undefined` for a stream. */
  readonly path: string | undefined;
  /** What the operator should know, one sentence each, in the order in which it came up. */
  readonly notes: readonly string[];
  /** Bytes of the target beyond the volume's; they are left alone. */
  readonly excessBytes: number;
  /** True where a hole at `offset` costs nothing, so that a run of them need not be cut. */
  isHoleFree(offset: number): boolean;
  /** Tells what comes next, once for each piece of the volume, before its bytes or holes. */
  announce(piece: VolumePiece): void;
  /** The target must be done with `bytes` when it resolves. */
  write(bytes: Uint8Array, offset: number): Promise<void>;
  /** `lengthBytes` zeros at `offset`. */
  writeHole(lengthBytes: number, offset: number): Promise<void>;
  /** Makes durable what was written, after an interruption or an error elsewhere. */
  save(): Promise<void>;
  /** Frees what it holds. After `save` or `finish`, or instead of them. */
  close(): void;
}
