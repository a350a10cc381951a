/**
 * The request handler that AWS's SDK sends through: Deno's fetch over kept-alive connections, through the
 * proxy where the environment names one. It detects stalls, bounds every body, refuses redirects and reads
 * a block's body into a buffer of exactly one block. It decides nothing: no retries, no meaning of answers
 * (see retry.ts and errors.ts), and it never signs.
 */
import { BlockBuffers } from "../buffers.ts";
import type { Clock } from "../model.ts";
import { type Environment, extraAuthorities, type Proxy, proxyFor } from "./proxy.ts";
import { BrokenAnswer, Trouble } from "./trouble.ts";
import { headersOf, hostOf, isHtml, type SdkRequest, urlOf } from "./wire.ts";

/** What the SDK gets back. A block's body is a stream for `readBlock`; any other is complete. */
export interface SdkResponse {
  readonly statusCode: number;
  readonly reason: string;
  readonly headers: Record<string, string>;
  readonly body: Uint8Array | ReadableStream<Uint8Array>;
}

export interface HandlerOptions {
  readonly environment: Environment;
  readonly clock: Clock;
  /** A request that moves no byte for so long is given up. Real time, not the injected clock's. */
  readonly stallMs?: number;
  /** Memory for blocks. */
  readonly buffers?: BlockBuffers;
}

/** What the handler saw on the wire, for counts and for the clock. */
export interface HandlerFacts {
  /** Bytes of all bodies. */
  receivedBytes: number;
  /** AWS's clock minus ours, from the last `Date` header. */
  clockSkewMs: number | undefined;
}

/**
 * No answer but a block's is longer: 10,000 blocks with two 256-character tokens each are 6 MiB of JSON.
 * A DescribeSnapshots page of 1,000 snapshots with 50 tags stays under it, too.
 */
const MAX_ANSWER_BYTES = 16 * 1024 * 1024;

/** Ids go into records, which hold no longer text; AWS's have 36 characters. */
const MAX_REQUEST_ID_LENGTH = 256;
const REQUEST_ID_HEADER = /^x-amzn?-request-?id$/;

const DEFAULT_STALL_MS = 20_000;

/** EBS refuses a date that is five minutes off. */
const MIN_CORRECTED_SKEW_MS = 4 * 60_000;

/** The wall clock may be slewed by so much while a request is under way. */
const MAX_JUMP_MS = 5_000;

/** A request under way, watched for stalls until its body ends. */
interface Flight {
  readonly controller: AbortController;
  /** By the host's two clocks. */
  readonly startedMs: { readonly wall: number; readonly monotonic: number };
  lastActivityMs: number;
  settle(): void;
}

/** Sends what the SDK signed. Owns its connections: `destroy` closes them. */
export class FetchHandler {
  /** Tells the SDK that connections are HTTP/1.1. */
  readonly metadata = { handlerProtocol: "http/1.1" } as const;
  readonly facts: HandlerFacts = { receivedBytes: 0, clockSkewMs: undefined };
  readonly #environment: Environment;
  readonly #clock: Clock;
  readonly #stallMs: number;
  readonly #buffers: BlockBuffers;
  /** By origin: which proxy leads there does not change. */
  readonly #clients = new Map<string, Deno.HttpClient>();
  readonly #flights = new Set<Flight>();
  readonly #bodies = new WeakMap<ReadableStream<Uint8Array>, Flight>();
  #watch: ReturnType<typeof setInterval> | undefined;
  #namesRequests = false;

  constructor(options: HandlerOptions) {
    this.#environment = options.environment;
    this.#clock = options.clock;
    this.#stallMs = options.stallMs ?? DEFAULT_STALL_MS;
    this.#buffers = options.buffers ?? new BlockBuffers();
  }

  /** Now, for a signature: our clock, unless the service was seen to go by another that it would refuse ours for. */
  get serviceNowMs(): number {
    const skewMs = this.facts.clockSkewMs ?? 0;
    return this.#clock.nowMs() + (Math.abs(skewMs) < MIN_CORRECTED_SKEW_MS ? 0 : skewMs);
  }

  /** The SDK's entry. Throws `Trouble` where no answer of the service came. */
  async handle(
    request: SdkRequest,
    options: { readonly abortSignal?: unknown } = {},
  ): Promise<{ response: SdkResponse }> {
    const url = urlOf(request);
    // The SDK's own type of a signal is looser than the platform's; we only ever pass the platform's.
    const signal = options.abortSignal instanceof AbortSignal ? options.abortSignal : undefined;
    const flight = this.#takeOff(signal);
    let requestId: string | undefined;
    try {
      const { signal: stop } = flight.controller;
      const asked = fetch(url, {
        method: request.method,
        headers: headersOf(request),
        body: (request.body as BodyInit | undefined) ?? null,
        client: this.#clientFor(url),
        redirect: "manual",
        signal: stop,
      });
      const response = await unlessStopped(asked, stop);
      flight.lastActivityMs = performance.now();
      const skewMs = this.#skewOf(response.headers.get("date"), flight);
      requestId = response.headers.get("x-amzn-requestid")?.slice(0, MAX_REQUEST_ID_LENGTH);
      const answer = await this.#answer(response, flight);
      // Not by a stranger's clock: who once named his requests does so always.
      this.#namesRequests ||= requestId !== undefined;
      const isService = requestId !== undefined || (!this.#namesRequests && response.ok);
      if (skewMs !== undefined && isService) this.facts.clockSkewMs = skewMs;
      return { response: answer };
    } catch (cause) {
      flight.settle();
      const trouble = troubleOf(cause, signal, flight);
      throw requestId === undefined || signal?.aborted ? trouble : new BrokenAnswer(trouble, requestId);
    }
  }

  /**
   * Reads a block's body into a buffer of exactly `sizeBytes`, which the caller then owns; a body that ends
   * early is returned short. Throws `Trouble` of kind `length` for a longer one, else as `handle` does.
   */
  async readBlock(
    body: ReadableStream<Uint8Array>,
    sizeBytes: number,
    requestId?: string,
  ): Promise<Uint8Array<ArrayBuffer>> {
    const flight = this.#bodies.get(body);
    try {
      return await this.#readInto(body, this.#buffers.take(sizeBytes), { flight, limitBytes: sizeBytes });
    } catch (cause) {
      if (cause instanceof Trouble && cause.kind === "endless") {
        throw new Trouble("length", `body is longer than the block of ${sizeBytes} bytes`, { requestId });
      }
      const trouble = troubleOf(cause, undefined, flight);
      throw requestId === undefined ? trouble : new BrokenAnswer(trouble, requestId);
    } finally {
      flight?.settle();
    }
  }

  /** Drops the body of a block that nobody will read. */
  discard(body: ReadableStream<Uint8Array>): void {
    const flight = this.#bodies.get(body);
    flight?.controller.abort(new Trouble("discarded", "the answer was not used"));
    flight?.settle();
  }

  /** Part of the SDK's handler interface; nothing of it is configured from there. */
  updateHttpClientConfig(): void {}

  /** Part of the SDK's handler interface. */
  httpHandlerConfigs(): Record<string, never> {
    return {};
  }

  /**
   * The SDK's word for close, called by every client that shares this handler: so it does nothing, and
   * `close` is the end.
   */
  destroy(): void {}

  close(): void {
    for (const flight of [...this.#flights]) {
      flight.controller.abort(new Trouble("discarded", "the source was closed"));
      flight.settle();
    }
    for (const client of this.#clients.values()) client.close();
    this.#clients.clear();
  }

  #clientFor(url: URL): Deno.HttpClient {
    const known = this.#clients.get(url.origin);
    if (known) return known;
    const proxy = proxyFor(url, this.#environment);
    const client = Deno.createHttpClient(clientOptions(proxy, extraAuthorities(this.#environment)));
    this.#clients.set(url.origin, client);
    return client;
  }

  #takeOff(signal: AbortSignal | undefined): Flight {
    const controller = new AbortController();
    const onAbort = () => controller.abort(signal?.reason);
    if (signal?.aborted) onAbort();
    signal?.addEventListener("abort", onAbort, { once: true });
    const flight: Flight = {
      controller,
      startedMs: { wall: this.#clock.nowMs(), monotonic: this.#clock.monotonicMs() },
      lastActivityMs: performance.now(),
      settle: () => {
        signal?.removeEventListener("abort", onAbort);
        this.#flights.delete(flight);
        if (this.#flights.size === 0 && this.#watch !== undefined) {
          clearInterval(this.#watch);
          this.#watch = undefined;
        }
      },
    };
    this.#flights.add(flight);
    // One timer for all requests: a timer a chunk would cost more than the chunk.
    this.#watch ??= setInterval(() => this.#abortStalled(), Math.max(10, this.#stallMs / 20));
    return flight;
  }

  #abortStalled(): void {
    const now = performance.now();
    for (const flight of this.#flights) {
      if (now - flight.lastActivityMs < this.#stallMs) continue;
      flight.controller.abort(new Trouble("stalled", `no byte for ${this.#stallMs / 1000} s`));
    }
  }

  /** AWS's clock minus ours; `undefined` where it can't be told. */
  #skewOf(date: string | null, { startedMs }: Flight): number | undefined {
    const serverMs = Date.parse(date ?? "");
    const nowMs = this.#clock.nowMs();
    const jumpMs = nowMs - startedMs.wall - (this.#clock.monotonicMs() - startedMs.monotonic);
    // The clock was set meanwhile, or the host slept: the answer may be as old as that.
    if (Number.isNaN(serverMs) || Math.abs(jumpMs) > MAX_JUMP_MS) return undefined;
    // The header has whole seconds, so the middle of that second is the best guess.
    return Math.round(serverMs + 500 - nowMs);
  }

  async #answer(response: Response, flight: Flight): Promise<SdkResponse> {
    const headers: Record<string, string> = {};
    for (const [name, value] of response.headers) {
      headers[name] = REQUEST_ID_HEADER.test(name) ? value.slice(0, MAX_REQUEST_ID_LENGTH) : value;
    }
    const facts = { statusCode: response.status, reason: response.statusText, headers };
    if (response.status >= 300 && response.status < 400) {
      await response.body?.cancel();
      throw new Trouble("redirect", `HTTP ${response.status} to ${hostOf(headers.location)}`, {
        status: response.status,
      });
    }
    if (response.body && response.status === 200 && headers["x-amz-checksum"] !== undefined) {
      this.#bodies.set(response.body, flight);
      return { ...facts, body: response.body };
    }
    const body = response.body
      ? await this.#readInto(response.body, new Uint8Array(16 * 1024), {
        flight,
        limitBytes: MAX_ANSWER_BYTES,
      })
      : new Uint8Array(0);
    flight.settle();
    if (isHtml(body)) {
      throw new Trouble("html", `an HTML page (HTTP ${response.status}), not the service's answer`, {
        status: response.status,
      });
    }
    return { ...facts, body };
  }

  /**
   * Reads the whole body into one buffer: `buffer`, or a larger one where that is too small. Throws `Trouble` of kind
   * `endless` beyond `limitBytes`.
   */
  async #readInto(
    body: ReadableStream<Uint8Array>,
    buffer: Uint8Array<ArrayBuffer>,
    { flight, limitBytes }: { readonly flight: Flight | undefined; readonly limitBytes: number },
  ): Promise<Uint8Array<ArrayBuffer>> {
    const reader = body.getReader({ mode: "byob" });
    const stop = flight?.controller.signal;
    // Deno's fetch can lose its signal, it seems when the Response is collected (2.9.6): a body that stalls would be
    // waited for without end.
    const cancel = () => void reader.cancel(stop?.reason).catch(() => undefined); // it failed by itself
    stop?.addEventListener("abort", cancel, { once: true });
    try {
      return await this.#readAll(reader, buffer, { flight, limitBytes });
    } finally {
      stop?.removeEventListener("abort", cancel);
    }
  }

  async #readAll(
    reader: ReadableStreamBYOBReader,
    buffer: Uint8Array<ArrayBuffer>,
    { flight, limitBytes }: { readonly flight: Flight | undefined; readonly limitBytes: number },
  ): Promise<Uint8Array<ArrayBuffer>> {
    let length = 0;
    while (length < limitBytes) {
      if (length === buffer.length) buffer = grown(buffer, limitBytes);
      const { value, done } = await reader.read(new Uint8Array(buffer.buffer, length));
      // A BYOB read takes the buffer away and gives it back, also at the end (measured).
      flight?.controller.signal.throwIfAborted(); // what is cancelled ends as if it were whole
      if (value) buffer = new Uint8Array(value.buffer);
      if (done || !value) return buffer.subarray(0, length);
      length += value.byteLength;
      this.facts.receivedBytes += value.byteLength;
      if (flight) flight.lastActivityMs = performance.now();
    }
    const beyond = await reader.read(new Uint8Array(1));
    if (beyond.done) return buffer;
    await reader.cancel();
    throw new Trouble("endless", `an answer of more than ${limitBytes} bytes`);
  }
}

/** As `promise`; rejects with the signal's reason as soon as that aborts, whether or not `promise` takes notice. */
function unlessStopped<T>(promise: Promise<T>, stop: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(stop.reason);
    stop.addEventListener("abort", onAbort, { once: true });
    promise.then(resolve, reject).finally(() => stop.removeEventListener("abort", onAbort));
  });
}

function grown(buffer: Uint8Array<ArrayBuffer>, limitBytes: number): Uint8Array<ArrayBuffer> {
  const larger = new Uint8Array(Math.min(buffer.length * 2, limitBytes));
  larger.set(buffer);
  return larger;
}

function clientOptions(proxy: Proxy | undefined, caCerts: string[]): Deno.CreateHttpClientOptions {
  const via = proxy === undefined ? {} : {
    proxy: { url: proxy.url, ...(proxy.basicAuth ? { basicAuth: proxy.basicAuth } : {}) },
  };
  return {
    caCerts,
    // One connection a request under way: over one HTTP/2 connection a stall would hold up all blocks.
    http2: false,
    poolMaxIdlePerHost: 128,
    poolIdleTimeout: 15_000,
    ...via,
  };
}

function troubleOf(cause: unknown, signal: AbortSignal | undefined, flight: Flight | undefined): unknown {
  if (signal?.aborted) return signal.reason;
  const reason = flight?.controller.signal.aborted ? flight.controller.signal.reason : undefined;
  if (reason instanceof Trouble) return reason;
  return cause;
}
