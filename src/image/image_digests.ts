/**
 * All digests of one export, in one pass over the volume's bytes: of the whole, of each piece or window, and of the
 * file with what its format adds at the end.
 */
import {
  type DigestName,
  LinearDigests,
  type LinearDigestValues,
  type WindowDigests,
  WindowedDigests,
} from "./digests.ts";
import type { WindowLogs } from "./window_log.ts";

interface DigestPlan {
  readonly names: readonly DigestName[];
  /** Each piece of so many bytes is told at the end. */
  readonly pieceBytes?: number | undefined;
  /** Each window of so many bytes is told at once. */
  readonly windows?: WindowLogs | undefined;
  /** What follows the volume's bytes in the file. */
  readonly trailer?: Uint8Array | undefined;
}

export interface FinishedDigests {
  /** Of the volume's bytes. */
  readonly digests: LinearDigestValues;
  /** Of those and the trailer; empty where there is none. */
  readonly wholeFileDigests: LinearDigestValues;
  readonly pieces: readonly WindowDigests[];
}

export class ImageDigests {
  readonly #whole: LinearDigests;
  readonly #parts: WindowedDigests[] = [];
  readonly #pieces: WindowDigests[] = [];
  readonly #trailer: Uint8Array | undefined;

  constructor({ names, pieceBytes, windows, trailer }: DigestPlan) {
    this.#whole = new LinearDigests(names);
    this.#trailer = trailer;
    if (pieceBytes !== undefined) {
      const onWindow = (piece: WindowDigests) => void this.#pieces.push(piece);
      this.#parts.push(new WindowedDigests(names, { windowBytes: pieceBytes, onWindow }));
    }
    if (windows) {
      const onWindow = (window: WindowDigests) => windows.add(window);
      this.#parts.push(new WindowedDigests(windows.names, { windowBytes: windows.windowBytes, onWindow }));
    }
  }

  get isEmpty(): boolean {
    return this.#whole.isEmpty;
  }

  update(bytes: Uint8Array): void {
    this.#whole.update(bytes);
    for (const part of this.#parts) part.update(bytes);
  }

  updateZeros(lengthBytes: number): void {
    this.#whole.updateZeros(lengthBytes);
    for (const part of this.#parts) part.updateZeros(lengthBytes);
  }

  /** Ends it: no byte may follow. */
  finish(): FinishedDigests {
    for (const part of this.#parts) part.finish();
    const wholeFileDigests = this.#trailer ? this.#whole.followedBy(this.#trailer) : {};
    return { digests: this.#whole.finish(), wholeFileDigests, pieces: this.#pieces };
  }
}
