/**
 * Bytes of a volume at any offset, for the few that partition tables and superblocks take. Fetches only the
 * blocks that are needed, keeps the last few, and tells unreadable ones apart from zeros. Never used for a
 * whole volume.
 */
import type { BlockReader, BlockRun } from "../model.ts";
import { MIB } from "../units.ts";
import { volumeSizeBytes } from "./blocks.ts";

/** Kept blocks: a table, its backup and one superblock are under inspection at a time. */
const MAX_KEPT_BYTES = 32 * MIB;
/** The most that one read may ask for: sizes come from the disk, and are an attacker's. */
const MAX_READ_BYTES = 4 * MIB;

/** Random access to a volume. One read at a time. */
export class VolumeBytes {
  readonly sizeBytes: number;
  readonly #reader: BlockReader;
  /** Oldest use first. */
  readonly #kept = new Map<number, Uint8Array>();
  #run: BlockRun | undefined;

  constructor(reader: BlockReader) {
    this.#reader = reader;
    this.sizeBytes = volumeSizeBytes(reader.shape);
  }

  /**
   * Exactly `[offset, offset + length)`: absent and zero blocks are zeros. `undefined` where the range is not
   * inside the volume, longer than 4 MiB, or in part unreadable. The caller must not change it.
   */
  async read(offset: number, length: number): Promise<Uint8Array | undefined> {
    if (!Number.isSafeInteger(offset) || offset < 0 || length < 1 || length > MAX_READ_BYTES) {
      return undefined;
    }
    if (offset + length > this.sizeBytes) return undefined;
    const size = this.#reader.shape.blockSizeBytes;
    const bytes = new Uint8Array(length);
    const [first, last] = [Math.floor(offset / size), Math.floor((offset + length - 1) / size)];
    for (let block = first; block <= last; block++) {
      const state = await this.#stateOf(block);
      if (state === "unreadable") return undefined;
      if (state !== "stored") continue;
      const held = await this.#block(block);
      const from = Math.max(0, offset - block * size);
      const to = Math.min(size, offset + length - block * size);
      bytes.set(held.subarray(from, to), block * size + from - offset);
    }
    return bytes;
  }

  /** True where a block of the range could not be acquired. */
  async isUnreadable(offset: number, length: number): Promise<boolean> {
    const size = this.#reader.shape.blockSizeBytes;
    const last = Math.floor((Math.min(offset + length, this.sizeBytes) - 1) / size);
    for (let block = Math.floor(offset / size); block <= last; block++) {
      if (await this.#stateOf(block) === "unreadable") return true;
    }
    return false;
  }

  async #stateOf(block: number): Promise<BlockRun["state"]> {
    const known = this.#run;
    if (known && block >= known.firstBlock && block < known.firstBlock + known.blockCount) return known.state;
    for await (const run of this.#reader.runs(block)) {
      this.#run = run;
      return run.state;
    }
    return "absent";
  }

  async #block(block: number): Promise<Uint8Array> {
    const bytes = this.#kept.get(block) ?? await this.#reader.readBlock(block);
    this.#kept.delete(block);
    this.#kept.set(block, bytes);
    const limit = Math.max(1, Math.floor(MAX_KEPT_BYTES / this.#reader.shape.blockSizeBytes));
    for (const oldest of this.#kept.keys()) {
      if (this.#kept.size <= limit) break;
      this.#kept.delete(oldest);
    }
    return bytes;
  }
}

/** Little- and big-endian numbers and texts of a structure on disk, read by offset within it. */
export class Fields {
  readonly #view: DataView;
  readonly #bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  u8(at: number): number {
    return this.#view.getUint8(at);
  }

  u16(at: number): number {
    return this.#view.getUint16(at, true);
  }

  u16be(at: number): number {
    return this.#view.getUint16(at, false);
  }

  u32(at: number): number {
    return this.#view.getUint32(at, true);
  }

  u32be(at: number): number {
    return this.#view.getUint32(at, false);
  }

  /** 64 bits as a number; beyond 2^53 it is inexact, and beyond any volume. */
  u64(at: number): number {
    return Number(this.#view.getBigUint64(at, true));
  }

  u64be(at: number): number {
    return Number(this.#view.getBigUint64(at, false));
  }

  /** One character a byte: for magics and digits. */
  ascii(at: number, length: number): string {
    return String.fromCharCode(...this.#bytes.subarray(at, at + length));
  }

  /** UTF-8 up to the first zero byte; what is not UTF-8 becomes U+FFFD. */
  text(at: number, length: number): string {
    return new TextDecoder().decode(upToZero(this.#bytes.subarray(at, at + length)));
  }

  /** UTF-16 little-endian up to the first zero unit. */
  text16(at: number, byteLength: number): string {
    const text = new TextDecoder("utf-16le", { ignoreBOM: true }).decode(
      this.#bytes.subarray(at, at + byteLength),
    );
    const end = text.indexOf("\0");
    return end < 0 ? text : text.slice(0, end);
  }

  /** 16 bytes in the order in which Unix writes a UUID. */
  uuid(at: number): string {
    return hyphenated(hex(this.#bytes.subarray(at, at + 16)));
  }

  /** 16 bytes as Microsoft and UEFI store a GUID: the first three groups little-endian. Lower case. */
  guid(at: number): string {
    const mixed = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15];
    return hyphenated(hex(Uint8Array.from(mixed, (index) => this.u8(at + index))));
  }

  isZero(at: number, length: number): boolean {
    return this.#bytes.subarray(at, at + length).every((byte) => byte === 0);
  }
}

function upToZero(bytes: Uint8Array): Uint8Array {
  const end = bytes.indexOf(0);
  return end < 0 ? bytes : bytes.subarray(0, end);
}

function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function hyphenated(digits: string): string {
  return [8, 12, 16, 20, 32].map((end, i) => digits.slice([0, 8, 12, 16, 20][i]!, end)).join("-");
}
