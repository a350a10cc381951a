/**
 * A set of block indexes in one bit each: 16 MiB for the largest volume, made a page of 64 KiB at a time.
 */
const PAGE_BITS = 2 ** 19;

export class BlockSet {
  readonly #pages = new Map<number, Uint8Array>();

  add(index: number): void {
    const page = Math.floor(index / PAGE_BITS);
    let bytes = this.#pages.get(page);
    if (!bytes) this.#pages.set(page, bytes = new Uint8Array(PAGE_BITS / 8));
    const bit = index % PAGE_BITS;
    bytes[bit >> 3]! |= 1 << (bit & 7);
  }

  has(index: number): boolean {
    const bit = index % PAGE_BITS;
    const byte = this.#pages.get(Math.floor(index / PAGE_BITS))?.[bit >> 3] ?? 0;
    return (byte & (1 << (bit & 7))) !== 0;
  }
}
