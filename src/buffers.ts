/**
 * Memory of blocks that is used again. Whoever reads a block takes a buffer, whoever is done with its bytes gives
 * it back: memory is made for the blocks under way, not for each block of a volume.
 */

/** Buffers kept for the next blocks, at the most; more than that is left to the garbage collector. */
const MAX_FREE_BYTES = 32 * 1024 * 1024;

/** Buffers of one size; of another, nothing is lost but the saving. */
export class BlockBuffers {
  readonly #free: ArrayBuffer[] = [];

  /** `sizeBytes` of anything: what was in them before is still there. */
  take(sizeBytes: number): Uint8Array<ArrayBuffer> {
    const buffer = this.#free.pop();
    return new Uint8Array(buffer?.byteLength === sizeBytes ? buffer : new ArrayBuffer(sizeBytes));
  }

  /** `bytes` are nobody's from now on: who still holds them, holds an empty array. */
  giveBack(bytes: Uint8Array): void {
    const { buffer } = bytes;
    if (!(buffer instanceof ArrayBuffer) || buffer.detached || buffer.byteLength !== bytes.length) return;
    const isKept = (this.#free.length + 1) * buffer.byteLength <= MAX_FREE_BYTES;
    const mine = buffer.transfer();
    if (isKept) this.#free.push(mine);
  }
}
