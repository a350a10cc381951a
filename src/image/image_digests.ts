/**
 * All digests of one export, in one pass over the volume's bytes: of the whole, of each piece or window, and of the
 * file with what its format adds at the end.
 */
import { type DigestName, type LinearDigestValues, type WindowDigests, WindowedDigests } from "./digests.ts";
import { inlineDigests, type RunningDigests, ThreadDigests } from "./thread_digests.ts";
import type { WindowLogs } from "./window_log.ts";

interface DigestPlan {
  readonly names: readonly DigestName[];
  /** Any: the whole's are computed in worker threads. */
  readonly threads?: number | undefined;
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
  readonly #whole: RunningDigests;
  readonly #parts: WindowedDigests[] = [];
  readonly #pieces: WindowDigests[] = [];
  readonly #trailer: Uint8Array | undefined;

  constructor({ names, threads = 0, pieceBytes, windows, trailer }: DigestPlan) {
    this.#whole = threads > 0 ? new ThreadDigests(names) : inlineDigests(names);
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

  /** The bytes are the caller's again when it resolves. */
  async update(bytes: Uint8Array): Promise<void> {
    const whole = this.#whole.update(bytes);
    for (const part of this.#parts) part.update(bytes);
    await whole;
  }

  async updateZeros(lengthBytes: number): Promise<void> {
    const whole = this.#whole.updateZeros(lengthBytes);
    for (const part of this.#parts) part.updateZeros(lengthBytes);
    await whole;
  }

  /** Ends it: no byte may follow. */
  async finish(): Promise<FinishedDigests> {
    for (const part of this.#parts) part.finish();
    const wholeFileDigests = this.#trailer ? await this.#whole.followedBy(this.#trailer) : {};
    return { digests: await this.#whole.finish(), wholeFileDigests, pieces: this.#pieces };
  }

  close(): void {
    this.#whole.close();
  }
}
