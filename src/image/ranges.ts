/**
 * Byte ranges of a volume: what an image's map, log and findings are made of. Merges neighbours as they
 * come in ascending order and keeps a bounded number of them, however many there are. It does not sort and
 * it does not write: whoever needs all ranges takes them from the map file.
 */

/** `lengthBytes` bytes of the volume from `offsetBytes` on; `lengthBytes` is at least 1. */
export interface ByteRange {
  readonly offsetBytes: number;
  readonly lengthBytes: number;
}

/** The most ranges that a result carries; the rest is counted. A page of 1,000 is more than anyone reads. */
export const MAX_LISTED_RANGES = 1000;

/** Ascending, non-overlapping ranges, merged where they touch. The first `limit` are kept, all are counted. */
export class RangeList {
  readonly #limit: number;
  readonly #kept: ByteRange[] = [];
  #last: ByteRange | undefined;
  #count = 0;
  #totalBytes = 0;

  constructor(limit = MAX_LISTED_RANGES) {
    this.#limit = limit;
  }

  /** `range` must begin at or after the end of the one before. */
  add(range: ByteRange): void {
    const last = this.#last;
    this.#totalBytes += range.lengthBytes;
    if (last && last.offsetBytes + last.lengthBytes === range.offsetBytes) {
      this.#last = { offsetBytes: last.offsetBytes, lengthBytes: last.lengthBytes + range.lengthBytes };
      if (this.#kept.at(-1) === last) this.#kept[this.#kept.length - 1] = this.#last;
      return;
    }
    this.#last = range;
    this.#count++;
    if (this.#kept.length < this.#limit) this.#kept.push(range);
  }

  /** The first ranges, ascending, at most `limit`. */
  get listed(): readonly ByteRange[] {
    return this.#kept;
  }

  /** How many ranges there are in all, listed or not. */
  get count(): number {
    return this.#count;
  }

  get totalBytes(): number {
    return this.#totalBytes;
  }
}

/** The last byte of a range: people file inclusive ranges ("bytes 0 to 511"). */
export function lastByte(range: ByteRange): number {
  return range.offsetBytes + range.lengthBytes - 1;
}
