/**
 * The steps of a pass over a volume: how far it is, when to let the rest of the program have its turn, and
 * when to stop. It measures bytes, not time, so that it behaves alike on every machine.
 */
import { setImmediate } from "node:timers/promises";
import { OperatorError } from "../errors.ts";
import { MIB } from "../units.ts";

/**
 * Bytes between two looks at the outside: signals are delivered and the screen is painted only when the
 * event loop turns, which hashing from memory alone never lets it do.
 */
const BREATHE_EVERY_BYTES = 32 * MIB;

/** How far a pass over a volume is, in bytes of the volume. */
export interface ImageProgress {
  readonly doneBytes: number;
  readonly totalBytes: number;
}

/** What a pass is called in an error ("finish the image"), and who listens. */
export interface StepOptions {
  readonly action: string;
  readonly signal?: AbortSignal;
  /** Called after each piece; must be quick. */
  readonly onProgress?: (progress: ImageProgress) => void;
}

/** Counts what is done, lets the outside have its turn, and stops when asked to. */
export class Steps {
  readonly #totalBytes: number;
  readonly #options: StepOptions;
  #doneBytes = 0;
  #sinceBreathBytes = 0;

  constructor(totalBytes: number, options: StepOptions) {
    this.#totalBytes = totalBytes;
    this.#options = options;
  }

  async done(bytes: number): Promise<void> {
    this.#doneBytes += bytes;
    this.#sinceBreathBytes += bytes;
    if (this.#sinceBreathBytes >= BREATHE_EVERY_BYTES) {
      this.#sinceBreathBytes = 0;
      await setImmediate();
    }
    if (this.#options.signal?.aborted) {
      throw new OperatorError(
        "interrupted",
        `Cannot ${this.#options.action}: stopped after ${this.#doneBytes} of ${this.#totalBytes} bytes`,
        { facts: { doneBytes: this.#doneBytes, totalBytes: this.#totalBytes } },
      );
    }
    this.#options.onProgress?.({ doneBytes: this.#doneBytes, totalBytes: this.#totalBytes });
  }
}
