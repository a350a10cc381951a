/**
 * The bytes of a file in memory, in pages that are never changed once they are written: a copy costs a map, and
 * thousands of states of one disk share what they have in common. What was never written reads as zeros.
 */
import { createHash } from "node:crypto";

const PAGE_BYTES = 4096;

const digests = new WeakMap<Uint8Array, string>();

function digestOf(page: Uint8Array): string {
  let digest = digests.get(page);
  if (digest === undefined) digests.set(page, digest = createHash("sha1").update(page).digest("base64"));
  return digest;
}

export class Content {
  #sizeBytes: number;
  readonly #pages: Map<number, Uint8Array>;

  constructor(sizeBytes = 0, pages: ReadonlyMap<number, Uint8Array> = new Map()) {
    this.#sizeBytes = sizeBytes;
    this.#pages = new Map(pages);
  }

  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  copy(): Content {
    return new Content(this.#sizeBytes, this.#pages);
  }

  /** Fills `into` from `offset`; gives the bytes read, fewer only at the end. */
  read(into: Uint8Array, offset: number): number {
    const length = Math.max(0, Math.min(into.length, this.#sizeBytes - offset));
    for (let done = 0; done < length;) {
      const at = (offset + done) % PAGE_BYTES;
      const count = Math.min(length - done, PAGE_BYTES - at);
      const page = this.#pages.get(Math.floor((offset + done) / PAGE_BYTES));
      if (page) into.set(page.subarray(at, at + count), done);
      else into.fill(0, done, done + count);
      done += count;
    }
    return length;
  }

  bytes(): Uint8Array {
    const bytes = new Uint8Array(this.#sizeBytes);
    this.read(bytes, 0);
    return bytes;
  }

  write(bytes: Uint8Array, offset: number): void {
    this.#sizeBytes = Math.max(this.#sizeBytes, offset + bytes.length);
    for (let done = 0; done < bytes.length;) {
      const at = (offset + done) % PAGE_BYTES;
      const count = Math.min(bytes.length - done, PAGE_BYTES - at);
      const number = Math.floor((offset + done) / PAGE_BYTES);
      const page = this.#pages.get(number)?.slice() ?? new Uint8Array(PAGE_BYTES);
      page.set(bytes.subarray(done, done + count), at);
      this.#pages.set(number, page);
      done += count;
    }
  }

  resize(sizeBytes: number): void {
    if (sizeBytes < this.#sizeBytes) {
      const last = Math.floor(sizeBytes / PAGE_BYTES);
      for (const number of this.#pages.keys()) if (number > last) this.#pages.delete(number);
      const page = this.#pages.get(last)?.slice();
      if (page) this.#pages.set(last, page.fill(0, sizeBytes % PAGE_BYTES));
    }
    this.#sizeBytes = sizeBytes;
  }

  /** Equal for equal bytes, unless one has a page of zeros where the other has none. */
  digest(): string {
    const numbers = [...this.#pages.keys()].sort((a, b) => a - b);
    return [this.#sizeBytes, ...numbers.map((number) => `${number}:${digestOf(this.#pages.get(number)!)}`)]
      .join();
  }
}
