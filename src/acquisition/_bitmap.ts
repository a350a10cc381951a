/**
 * A set of block indexes, one bit each: 16 MiB for the largest volume. Pages of 64 KiB are made when a block
 * in them is added, so a scattering costs little.
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
