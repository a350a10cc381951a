/**
 * A raw image as a stream: every byte in order, holes as zeros, no faster than it is taken. Nothing can be
 * resumed here, and a stream that is closed early is not an error of ours.
 */
import { OperatorError } from "../errors.ts";
import { ZERO_BYTES } from "./digests.ts";
import { diskFailure, isClosedPipe } from "./failures.ts";
import type { ImageTarget } from "./target.ts";

/** Where a stream goes; `Deno.stdout` is one. */
export interface ByteSink {
  /** Takes at least one byte and says how many. Rejects with a broken pipe where nobody reads any more. */
  write(bytes: Uint8Array): Promise<number>;
}

/** Thrown by a `StreamTarget`, caught by the export: the reader of the stream has seen enough. */
export class ClosedStream extends Error {
  override readonly name = "ClosedStream";
}

export class StreamTarget implements ImageTarget {
  readonly kind = "stream";
  readonly path = undefined;
  readonly notes: readonly string[];
  readonly excessBytes = 0;
  readonly #sink: ByteSink;

  constructor(sink: ByteSink, notes: readonly string[] = []) {
    this.#sink = sink;
    this.notes = notes;
  }

  isHoleFree(): boolean {
    return false;
  }

  announce(): void {}

  async write(bytes: Uint8Array): Promise<void> {
    for (let done = 0; done < bytes.length;) {
      let count: number;
      try {
        count = await this.#sink.write(done === 0 ? bytes : bytes.subarray(done));
      } catch (error) {
        if (isClosedPipe(error)) throw new ClosedStream("closed by its reader");
        throw diskFailure("write image to", "standard output", error);
      }
      if (!(count > 0)) {
        throw new OperatorError("storage", `Cannot write image to standard output: it takes no more bytes`);
      }
      done += count;
    }
  }

  async writeHole(lengthBytes: number): Promise<void> {
    for (let left = lengthBytes; left > 0; left -= ZERO_BYTES.length) {
      await this.write(left < ZERO_BYTES.length ? ZERO_BYTES.subarray(0, left) : ZERO_BYTES);
    }
  }

  save(): Promise<void> {
    return Promise.resolve();
  }

  close(): void {}
}
