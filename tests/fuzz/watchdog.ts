/**
 * A thread that watches the fuzzer: an input that never comes to an end can't be told by the thread that it holds up.
 * After a minute on one input the watchdog prints it and ends the process. It re-enters this very file.
 */
const BITE_AFTER_MS = 60_000;
const LOOK_EVERY_MS = 1000;
/** What the fuzzer tells: how many inputs it has begun, and the lengths of name and input behind them. */
const NUMBERS = 3;
const MAX_BYTES = 256 * 1024;

export class Watchdog implements Disposable {
  readonly #numbers: Int32Array<SharedArrayBuffer>;
  readonly #bytes: Uint8Array<SharedArrayBuffer>;
  readonly #worker: Worker;
  readonly #encoder = new TextEncoder();

  /** @param options `biteAfterMs`: so long one input may take. */
  constructor(options: { readonly biteAfterMs?: number } = {}) {
    const shared = new SharedArrayBuffer(4 * NUMBERS + MAX_BYTES);
    this.#numbers = new Int32Array(shared, 0, NUMBERS);
    this.#bytes = new Uint8Array(shared, 4 * NUMBERS);
    this.#worker = new Worker(import.meta.url, { type: "module", name: "fuzz-watchdog" });
    this.#worker.postMessage({ shared, biteAfterMs: options.biteAfterMs ?? BITE_AFTER_MS } satisfies Guarded);
  }

  /** An input begins. */
  watch(name: string, input: Uint8Array): void {
    const text = this.#encoder.encode(name);
    this.#bytes.set(text);
    this.#bytes.set(input.subarray(0, MAX_BYTES - text.length), text.length);
    this.#numbers[1] = text.length;
    this.#numbers[2] = input.length;
    Atomics.add(this.#numbers, 0, 1);
  }

  /** Nothing is under way. */
  rest(): void {
    this.watch("nothing", new Uint8Array(0));
    this.#numbers[1] = 0;
  }

  [Symbol.dispose](): void {
    this.#worker.terminate();
  }
}

/** What the thread is told. */
interface Guarded {
  readonly shared: SharedArrayBuffer;
  readonly biteAfterMs: number;
}

function guard({ shared, biteAfterMs }: Guarded): void {
  const numbers = new Int32Array(shared, 0, NUMBERS);
  let [seen, sinceMs] = [-1, performance.now()];
  setInterval(() => {
    const begun = Atomics.load(numbers, 0);
    if (begun !== seen || numbers[1] === 0) [seen, sinceMs] = [begun, performance.now()];
    if (performance.now() - sinceMs < biteAfterMs) return;
    const bytes = new Uint8Array(shared, 4 * NUMBERS).slice(0, numbers[1]! + numbers[2]!);
    const name = new TextDecoder().decode(bytes.subarray(0, numbers[1]));
    // deno-lint-ignore no-console
    console.error(
      `${name} hangs: COLDCASE_TARGET="${name}" COLDCASE_INPUT=${bytes.subarray(numbers[1]).toHex()}`,
    );
    Deno.kill(Deno.pid, "SIGKILL");
  }, LOOK_EVERY_MS);
}

if (self.name === "fuzz-watchdog") {
  self.addEventListener("message", (event) => guard((event as MessageEvent<Guarded>).data), {
    once: true,
  });
}
