/**
 * A snapshot by formula: contents of up to 64 TiB that take no disk and no memory, for plans, resumes and
 * benchmarks at full size. Everything about a block is computed from (seed, index, version), so a page of a
 * listing costs a page, wherever it starts.
 *
 * Versions of one series (same seed, size and density) are successive snapshots of one volume: from each to
 * the next a given fraction of the blocks changes, and a given share of those is removed.
 */
import { blockCountOf, type Contents } from "./contents.ts";

/** The formula. */
export interface SyntheticFormula {
  readonly seed: number;
  /** 1 to 65,536. */
  readonly volumeSizeGib: number;
  /** 0 is the series' first snapshot. Default 0. */
  readonly version?: number | undefined;
  /** Only each n-th block can be present at all. Default 1. */
  readonly every?: number | undefined;
  /** Fraction of those that are present in version 0, in (0, 1]. Default 1. */
  readonly density?: number | undefined;
  /** Fraction of those that change from a version to the next. Default 0.01. */
  readonly changeRate?: number | undefined;
  /** Fraction of the changed ones that are removed. Default 0. */
  readonly removedShare?: number | undefined;
  /** Fraction of the present blocks that are written zeros. Default 0. */
  readonly zeroShare?: number | undefined;
  /** `random` does not compress; `pattern` repeats 64 bytes and is cheap to make. Default `random`. */
  readonly bytes?: "random" | "pattern" | undefined;
}

/** Which of the draws about a block is meant; each is independent of the others. */
const DRAW = { present: 1, changed: 2, removed: 3, zero: 4, bytes: 5 } as const;

/** The state of an absent block; others are the version that wrote it last. */
const ABSENT = -1;

/** A snapshot's contents by `formula`. */
export class SyntheticContents implements Contents {
  readonly blockSizeBytes: number;
  readonly blockCount: number;
  readonly volumeSizeGib: number;
  readonly #formula: Required<{ [K in keyof SyntheticFormula]: NonNullable<SyntheticFormula[K]> }>;

  /** Equal for versions of one series. */
  readonly #series: string;

  constructor(formula: SyntheticFormula, blockSizeBytes: number) {
    this.#formula = {
      seed: formula.seed,
      volumeSizeGib: formula.volumeSizeGib,
      version: formula.version ?? 0,
      every: formula.every ?? 1,
      density: formula.density ?? 1,
      changeRate: formula.changeRate ?? 0.01,
      removedShare: formula.removedShare ?? 0,
      zeroShare: formula.zeroShare ?? 0,
      bytes: formula.bytes ?? "random",
    };
    this.#series = JSON.stringify({ ...this.#formula, version: undefined });
    this.volumeSizeGib = formula.volumeSizeGib;
    this.blockSizeBytes = blockSizeBytes;
    this.blockCount = blockCountOf({ blockSizeBytes, volumeSizeGib: formula.volumeSizeGib });
  }

  has(index: number): boolean {
    return index < this.blockCount && this.#writtenBy(index) !== ABSENT;
  }

  next(from: number, limit: number): number {
    const { every } = this.#formula;
    const end = Math.min(limit, this.blockCount);
    for (let index = Math.ceil(from / every) * every; index < end; index += every) {
      if (this.#writtenBy(index) !== ABSENT) return index;
    }
    return limit;
  }

  read(index: number): Uint8Array {
    const { seed, zeroShare, bytes } = this.#formula;
    const version = this.#writtenBy(index);
    const block = new Uint8Array(this.blockSizeBytes);
    if (fraction(seed, index, version, DRAW.zero) < zeroShare) return block;
    const words = new Uint32Array(block.buffer);
    let state = mix(seed, index, version, DRAW.bytes) || 1;
    const distinct = bytes === "random" ? words.length : Math.min(16, words.length);
    for (let position = 0; position < distinct; position++) {
      // xorshift32 (Marsaglia 2003): fast, and random enough not to compress.
      state ^= state << 13;
      state ^= state >>> 17;
      state ^= state << 5;
      words[position] = state;
    }
    for (let done = distinct; done < words.length; done *= 2) {
      words.copyWithin(done, 0, Math.min(done, words.length - done));
    }
    return block;
  }

  differs(index: number, other: Contents): boolean | undefined {
    if (!(other instanceof SyntheticContents)) return undefined;
    if (this.#series !== other.#series) return undefined;
    return this.#writtenBy(index) !== other.#writtenBy(index);
  }

  close(): void {
    // Nothing is held.
  }

  /** The version that wrote a block last, or `ABSENT`. */
  #writtenBy(index: number): number {
    const { seed, version, every, density, changeRate, removedShare } = this.#formula;
    if (index % every !== 0) return ABSENT;
    for (let at = version; at > 0; at--) {
      if (fraction(seed, index, at, DRAW.changed) >= changeRate) continue;
      return removedShare > 0 && fraction(seed, index, at, DRAW.removed) < removedShare ? ABSENT : at;
    }
    return density >= 1 || fraction(seed, index, 0, DRAW.present) < density ? 0 : ABSENT;
  }
}

/** A number of [0, 1) that depends on all four. */
function fraction(seed: number, index: number, version: number, draw: number): number {
  return mix(seed, index, version, draw) / 2 ** 32;
}

/** 32 bits from four numbers: MurmurHash3's 32-bit rounds and finalizer (Appleby). */
function mix(a: number, b: number, c: number, d: number): number {
  let hash = round(round(round(round(0x2545f491, a), b), c), d) ^ 16;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

function round(hash: number, word: number): number {
  let mixed = Math.imul(word | 0, 0xcc9e2d51);
  mixed = Math.imul((mixed << 15) | (mixed >>> 17), 0x1b873593);
  const next = hash ^ mixed;
  return (Math.imul((next << 13) | (next >>> 19), 5) + 0xe6546b64) | 0;
}
