/**
 * Worker threads of an export: chunks are compressed, digests computed and files read again in them, each by the code
 * that does it in this thread. Every request is answered, in order; bytes lie in memory that both sides see. A thread
 * that fails fails all that was asked of it. What is done in one is `image_worker.ts`'s business.
 */
import type { DigestName, LinearDigestValues } from "./digests.ts";

/** Bytes `[offset, offset + lengthBytes)` of the shared memory. */
export interface SharedPart {
  readonly offset: number;
  readonly lengthBytes: number;
}

export type ThreadRequest =
  | { readonly type: "pack"; readonly from: SharedPart; readonly into: SharedPart }
  | { readonly type: "update"; readonly from: SharedPart }
  | { readonly type: "update_zeros"; readonly lengthBytes: number }
  | { readonly type: "followed_by"; readonly bytes: Uint8Array }
  | { readonly type: "finish" }
  | { readonly type: "digest_file"; readonly path: string };

/** What each request is answered with. */
export interface ThreadResults {
  /** Of the chunks, as `packGroup` tells them. */
  readonly pack: Uint32Array;
  readonly update: undefined;
  readonly update_zeros: undefined;
  readonly followed_by: LinearDigestValues;
  readonly finish: LinearDigestValues;
  /** SHA-256. */
  readonly digest_file: string;
}

/** To a worker: at first what it works on, then requests. */
export type ToThread =
  | { readonly memory: SharedArrayBuffer; readonly digests: readonly DigestName[] }
  | { readonly request: ThreadRequest };

/** From a worker, an answer to each request in their order. */
export type FromThread =
  | { readonly result: ThreadResults[keyof ThreadResults] }
  | { readonly failure: string };

interface Waiting {
  resolve(result: ThreadResults[keyof ThreadResults]): void;
  reject(error: unknown): void;
}

export class ImageThread {
  readonly #worker: Worker;
  readonly #waiting: Waiting[] = [];
  #failure: unknown;

  constructor(memory: SharedArrayBuffer, digests: readonly DigestName[] = []) {
    this.#worker = new Worker(new URL("./image_worker.ts", import.meta.url), { type: "module" });
    this.#worker.onmessage = ({ data }: MessageEvent<FromThread>) => this.#take(data);
    this.#worker.onerror = (event) => {
      event.preventDefault();
      this.#fail(new Error(`a worker thread of the export failed: ${event.message}`));
    };
    this.#worker.onmessageerror = () => {
      this.#fail(new Error("an answer of a worker thread could not be read"));
    };
    this.#post({ memory, digests });
  }

  /** Requests that are not answered yet. */
  get waitingCount(): number {
    return this.#waiting.length;
  }

  ask<T extends ThreadRequest["type"]>(
    request: Extract<ThreadRequest, { readonly type: T }>,
  ): Promise<ThreadResults[T]> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    const { promise, resolve, reject } = Promise.withResolvers<ThreadResults[keyof ThreadResults]>();
    this.#waiting.push({ resolve, reject });
    this.#post({ request });
    // The worker answers each type of request with its type of result.
    return promise as Promise<ThreadResults[T]>;
  }

  /** Ends it, at once. What was asked and not answered fails. */
  close(): void {
    this.#worker.terminate();
    this.#fail(new Error("the worker thread of the export was closed"));
  }

  #post(message: ToThread): void {
    this.#worker.postMessage(message);
  }

  #take(answer: FromThread): void {
    const waiting = this.#waiting.shift();
    if ("failure" in answer) waiting?.reject(new Error(answer.failure));
    else waiting?.resolve(answer.result);
  }

  #fail(error: unknown): void {
    this.#failure ??= error;
    for (const { reject } of this.#waiting.splice(0)) reject(error);
  }
}
