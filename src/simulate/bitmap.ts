/**
 * Which blocks of a volume are present: one bit each, 16 MiB for the largest volume. Finding the next set bit
 * skips whole empty words, so that listing a sparse volume costs what it holds.
 */

/** A fixed number of bits, all clear at first. */
export class Bitmap {
  readonly length: number;
  readonly #words: Uint32Array;
  #count = 0;

  constructor(length: number) {
    this.length = length;
    this.#words = new Uint32Array(Math.ceil(length / 32));
  }

  /** Set bits. */
  get count(): number {
    return this.#count;
  }

  has(index: number): boolean {
    return ((this.#words[index >>> 5] ?? 0) >>> (index & 31) & 1) === 1;
  }

  add(index: number): void {
    if (index < 0 || index >= this.length || this.has(index)) return;
    this.#words[index >>> 5]! |= 1 << (index & 31);
    this.#count++;
  }

  /** The first set bit of `[from, limit)`, or `limit`. */
  next(from: number, limit: number): number {
    const end = Math.min(limit, this.length);
    let index = from;
    while (index < end) {
      const rest = this.#words[index >>> 5]! >>> (index & 31);
      if (rest !== 0) {
        const found = index + (31 - Math.clz32(rest & -rest));
        return found < end ? found : limit;
      }
      index = ((index >>> 5) + 1) * 32;
    }
    return limit;
  }
}
