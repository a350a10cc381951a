/**
 * Where packs are made and written: in this thread, or in worker threads. What is asked of both is the same, so that
 * whoever puts blocks into packs reads the same with no worker or eight.
 */
import { type ErrorCode, OperatorError } from "../errors.ts";
import type { Disk } from "../model.ts";
import type { PackBlock } from "./_pack_encoder.ts";
import { type ClosedPack, PackFile, type PackPlace } from "./_pack_file.ts";

/** Makes and writes one pack. Blocks are written in the order of `add`. */
export interface Packer {
  /** Appends a block, whose bytes belong to the packer from now on. Gives the size of the file when it is written. */
  add(block: PackBlock): Promise<number>;
  /** Writes the rest and makes the file durable. No `add` after it. */
  close(): Promise<ClosedPack>;
  /** Gives an unfinished pack up, once or more; its file is left. */
  abandon(): void;
}

/** Makes packers; `count` of them are worth having at once. */
export interface Packers {
  readonly count: number;
  /** @param position Below `count`: the thread that it works in. */
  start(position: number, place: PackPlace): Packer;
  close(): void;
}

/** In this thread, at once. */
export function inlinePackers(disk: Disk): Packers {
  return {
    count: 1,
    start(_, place) {
      const file = new PackFile(disk, place);
      return {
        // deno-lint-ignore require-await -- a failure must reject, not throw
        add: async (block) => file.add(block),
        close: () => file.close(),
        abandon: () => file.abandon(),
      };
    },
    close: () => undefined,
  };
}

/** To a worker. All but `root` and `abandon` are answered, by their number. */
export type PackerRequest =
  | { readonly type: "root"; readonly root: string }
  | { readonly type: "start"; readonly number: number; readonly pack: number; readonly place: PackPlace }
  | { readonly type: "add"; readonly number: number; readonly pack: number; readonly block: PackBlock }
  | { readonly type: "close"; readonly number: number; readonly pack: number }
  | { readonly type: "abandon"; readonly pack: number };

/** From a worker. */
export type PackerAnswer =
  | { readonly number: number; readonly result: number | ClosedPack }
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

/** In `count` worker threads, each started when it is first needed. They use the real disk, below `root`. */
export function workerPackers(count: number, root: string): Packers {
  const threads: (Thread | undefined)[] = [];
  return {
    count,
    start: (position, place) => (threads[position] ??= new Thread(root)).start(place),
    close() {
      for (const thread of threads) thread?.close();
      threads.length = 0;
    },
  };
}

interface Waiting {
  resolve(result: number | ClosedPack): void;
  reject(error: unknown): void;
}

class Thread {
  readonly #worker = new Worker(new URL("./_pack_worker.ts", import.meta.url), { type: "module" });
  readonly #waiting = new Map<number, Waiting>();
  #requests = 0;
  #packs = 0;
  #failure: unknown;

  constructor(root: string) {
    this.#worker.onmessage = ({ data }: MessageEvent<PackerAnswer>) => this.#take(data);
    this.#worker.onerror = (event) => {
      event.preventDefault();
      this.#fail(new Error(`a worker thread failed: ${event.message}`));
    };
    this.#post({ type: "root", root });
  }

  start(place: PackPlace): Packer {
    const pack = this.#packs++;
    const started = this.#ask((number) => ({ type: "start", number, pack, place }));
    // Whoever adds or closes is told.
    started.catch(() => undefined);
    return {
      add: async (block) => {
        const transfer = ownedBuffer(block.bytes);
        const sizeBytes = this.#ask((number) => ({ type: "add", number, pack, block }), transfer);
        // All are waited for at once: one that fails must not leave another unheard.
        const [, result] = await Promise.all([started, sizeBytes]);
        if (typeof result !== "number") throw new Error("a worker thread gave no size");
        return result;
      },
      close: async () => {
        const result = await this.#ask((number) => ({ type: "close", number, pack }));
        if (typeof result === "number") throw new Error("a worker thread gave no pack");
        return result;
      },
      abandon: () => this.#post({ type: "abandon", pack }),
    };
  }

  close(): void {
    this.#worker.terminate();
    this.#fail(new Error("the worker thread was closed"));
  }

  #ask(
    request: (number: number) => PackerRequest,
    transfer: ArrayBuffer[] = [],
  ): Promise<number | ClosedPack> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    const { promise, resolve, reject } = Promise.withResolvers<number | ClosedPack>();
    const number = this.#requests++;
    this.#waiting.set(number, { resolve, reject });
    this.#post(request(number), transfer);
    return promise;
  }

  #post(request: PackerRequest, transfer: ArrayBuffer[] = []): void {
    this.#worker.postMessage(request, transfer);
  }

  #take(answer: PackerAnswer): void {
    const waiting = this.#waiting.get(answer.number);
    this.#waiting.delete(answer.number);
    if ("failure" in answer) waiting?.reject(heardError(answer.failure));
    else waiting?.resolve(answer.result);
  }

  #fail(error: unknown): void {
    this.#failure = error;
    for (const { reject } of this.#waiting.values()) reject(error);
    this.#waiting.clear();
  }
}

/** A block that has its memory to itself is handed over, not copied. */
function ownedBuffer(bytes: Uint8Array): ArrayBuffer[] {
  const { buffer } = bytes;
  return buffer instanceof ArrayBuffer && buffer.byteLength === bytes.byteLength ? [buffer] : [];
}
