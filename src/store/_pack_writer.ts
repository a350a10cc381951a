/**
 * An open pack as whoever fills it sees it: which blocks it has, whether it is full, and whether its packer keeps up.
 * The bytes are the packer's business.
 */
import type { Digest } from "../model.ts";
import type { PackBlock } from "./_pack_encoder.ts";
import type { ClosedPack } from "./_pack_file.ts";
import type { Packer } from "./_packers.ts";

/** A pack closes when it reaches this size: what a kill loses at the most, of each pack that is open. */
export const PACK_TARGET_BYTES = 64 * 1024 * 1024;

/** Bytes of blocks that a packer was given and has not written yet: with more it is busy, with less it may run idle. */
const MAX_BACKLOG_BYTES = 4 * 1024 * 1024;

export class PackWriter {
  readonly #packer: Packer;
  readonly #digests = new Set<Digest>();
  #sizeBytes = 0;
  #backlogBytes = 0;
  #failure: unknown;
  /** Ends when all that was added before is written; never rejects. */
  #written: Promise<void> = Promise.resolve();
  /** Ends when the next block is written, or failed to be. */
  #next = Promise.withResolvers<void>();

  constructor(packer: Packer) {
    this.#packer = packer;
  }

  get isFull(): boolean {
    return this.#sizeBytes + this.#backlogBytes >= PACK_TARGET_BYTES;
  }

  /** True where the next block would wait for earlier ones: whoever has another pack, or time, should use it. */
  get isBusy(): boolean {
    return this.#failure === undefined && this.#backlogBytes >= MAX_BACKLOG_BYTES;
  }

  /** Ends when one more block is written; never rejects. Only while it is busy. */
  async lessBusy(): Promise<void> {
    await this.#next.promise;
  }

  has(digest: Digest): boolean {
    return this.#digests.has(digest);
  }

  /** Adds a block, whose digest was checked and whose bytes are the packer's now. */
  add(block: PackBlock): void {
    this.#throwIfFailed();
    const { length } = block.bytes;
    this.#digests.add(block.digest);
    this.#backlogBytes += length;
    // Whoever adds next, or closes, is told of a failure.
    this.#written = this.#packer.add(block).then(
      (sizeBytes) => {
        this.#sizeBytes = sizeBytes;
        this.#backlogBytes -= length;
      },
      (error) => {
        this.#failure ??= error;
      },
    ).finally(() => {
      const { resolve } = this.#next;
      this.#next = Promise.withResolvers();
      resolve();
    });
  }

  /** Writes the rest and makes the file durable. No `add` after it. */
  async close(): Promise<ClosedPack> {
    await this.#written;
    this.#throwIfFailed();
    return await this.#packer.close();
  }

  /** Gives the pack up, after a failure or where nothing is to be kept. The file is left to the next session. */
  abandon(): void {
    this.#failure ??= new Error("the pack was given up");
    this.#packer.abandon();
  }

  #throwIfFailed(): void {
    if (this.#failure) throw this.#failure;
  }
}
