/**
 * Worker threads of a store: packs are made, checked and read in them, each by the same code that does it in this
 * thread. Every request is answered, by its number; bytes change hands where they have their memory to themselves. A
 * thread that fails fails all that was asked of it. What is done in one is `_pack_worker.ts`'s business.
 */
import { type ErrorCode, OperatorError } from "../errors.ts";
import type { PackBlock } from "./_pack_encoder.ts";
import type { ClosedPack, PackPlace } from "./_pack_file.ts";
import type { PackCheck, PackToCheck } from "./_pack_check.ts";
import type { RecordToRead } from "./_pack_reading.ts";

/** To a worker. `pack` is a number that the asking side gave to a pack that is being made. */
export type ThreadRequest =
  | { readonly type: "start"; readonly pack: number; readonly place: PackPlace }
  | { readonly type: "add"; readonly pack: number; readonly block: PackBlock }
  | { readonly type: "close"; readonly pack: number }
  | { readonly type: "abandon"; readonly pack: number }
  | { readonly type: "check"; readonly pack: PackToCheck }
  | { readonly type: "read"; readonly record: RecordToRead };

/** What each request is answered with. */
export interface ThreadResults {
  readonly start: undefined;
  /** Size of the file; and the block's bytes, which are not needed any more. */
  readonly add: { readonly sizeBytes: number; readonly bytes: Uint8Array };
  readonly close: ClosedPack;
  readonly abandon: undefined;
  readonly check: PackCheck;
  /** The block. */
  readonly read: Uint8Array;
}

/** What a worker hears: where the store is, at first; then requests. */
export type ToThread =
  | { readonly root: string }
  | { readonly number: number; readonly request: ThreadRequest };

/** From a worker. */
export type FromThread =
  | { readonly number: number; readonly result: ThreadResults[keyof ThreadResults] }
  | { readonly number: number; readonly failure: ToldError };

/** An error on its way between threads. */
export interface ToldError {
  /** `undefined`: not for the operator, a bug. */
  readonly code: ErrorCode | undefined;
  readonly message: string;
  readonly hints: readonly string[];
  readonly facts: OperatorError["facts"];
}

export function tellError(error: unknown): ToldError {
  if (error instanceof OperatorError) {
    const { code, message, hints, facts } = error;
    return { code, message, hints, facts };
  }
  const message = error instanceof Error ? error.message : String(error);
  return { code: undefined, message, hints: [], facts: {} };
}

function heardError({ code, message, hints, facts }: ToldError): Error {
  return code === undefined ? new Error(message) : new OperatorError(code, message, { hints, facts });
}

export interface ThreadsOptions {
  /** At least 1. */
  readonly count: number;
  /** Folder of the store: all that they touch is below it. */
  readonly root: string;
  /** Another program for them: for tests. */
  readonly script?: URL;
}

/** Threads, each started when it is first needed. They use the real disk. */
export class Threads {
  readonly count: number;
  readonly #options: ThreadsOptions;
  readonly #threads: (Thread | undefined)[] = [];
  #isClosed = false;

  constructor(options: ThreadsOptions) {
    this.#options = options;
    this.count = options.count;
  }

  /** @param position Below `count`. */
  at(position: number): Thread {
    if (this.#isClosed) throw new Error("the store's threads were closed");
    return this.#threads[position] ??= new Thread(this.#options);
  }

  /** One that has as little to do as any. */
  get idlest(): Thread {
    let best = 0;
    for (let position = 1; position < this.count; position++) {
      if (this.#busy(position) < this.#busy(best)) best = position;
    }
    return this.at(best);
  }

  /** Ends them, at once. What was asked and not answered fails. */
  close(): void {
    this.#isClosed = true;
    for (const thread of this.#threads) thread?.close();
    this.#threads.length = 0;
  }

  #busy(position: number): number {
    return this.#threads[position]?.waitingCount ?? 0;
  }
}

interface Waiting {
  resolve(result: ThreadResults[keyof ThreadResults]): void;
  reject(error: unknown): void;
}

export class Thread {
  readonly #worker: Worker;
  readonly #waiting = new Map<number, Waiting>();
  #requests = 0;
  #failure: unknown;

  constructor({ root, script }: ThreadsOptions) {
    this.#worker = new Worker(script ?? new URL("./_pack_worker.ts", import.meta.url), { type: "module" });
    this.#worker.onmessage = ({ data }: MessageEvent<FromThread>) => this.#take(data);
    this.#worker.onerror = (event) => {
      event.preventDefault();
      this.#fail(new Error(`a worker thread failed: ${event.message}`));
    };
    this.#worker.onmessageerror = () => this.#fail(new Error("a worker thread's answer could not be read"));
    this.#post({ root });
  }

  /** Requests that are not answered yet. */
  get waitingCount(): number {
    return this.#waiting.size;
  }

  /** @param transfer Memory that is the thread's from now on. */
  ask<T extends ThreadRequest["type"]>(
    request: Extract<ThreadRequest, { readonly type: T }>,
    transfer: ArrayBuffer[] = [],
  ): Promise<ThreadResults[T]> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    const { promise, resolve, reject } = Promise.withResolvers<ThreadResults[keyof ThreadResults]>();
    const number = this.#requests++;
    this.#waiting.set(number, { resolve, reject });
    this.#post({ number, request }, transfer);
    // The worker answers each type of request with its type of result.
    return promise as Promise<ThreadResults[T]>;
  }

  close(): void {
    this.#worker.terminate();
    this.#fail(new Error("the worker thread was closed"));
  }

  #post(message: ToThread, transfer: ArrayBuffer[] = []): void {
    this.#worker.postMessage(message, transfer);
  }

  #take(answer: FromThread): void {
    const waiting = this.#waiting.get(answer.number);
    this.#waiting.delete(answer.number);
    if ("failure" in answer) waiting?.reject(heardError(answer.failure));
    else waiting?.resolve(answer.result);
  }

  #fail(error: unknown): void {
    this.#failure ??= error;
    for (const { reject } of this.#waiting.values()) reject(error);
    this.#waiting.clear();
  }
}

/** Memory that can be handed over with `bytes`, which then are not copied; none where others' bytes are in it too. */
export function ownedBuffer(bytes: Uint8Array, otherBytes = 0): ArrayBuffer[] {
  const { buffer } = bytes;
  return buffer instanceof ArrayBuffer && buffer.byteLength === bytes.byteLength + otherBytes ? [buffer] : [];
}
