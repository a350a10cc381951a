/**
 * How fast requests go out: a window of blocks under way that grows while the service keeps pace, a rate
 * that follows what the service grants after a throttle, and buckets that never exceed AWS's published
 * quotas nor `--rate`. No retries here (retry.ts), and nothing of what requests mean.
 */
import type { Clock } from "../model.ts";
import type { Rate } from "../units.ts";
import { Bucket, GrantedRate, QUOTAS } from "./rates.ts";
import { type Outcome, Window } from "./window.ts";

/** Bytes of blocks under way at most, whatever the window says. */
const MAX_BYTES_UNDER_WAY = 64 * 1024 * 1024;

export interface Slot {
  /** Frees the slot; once. */
  release(outcome: Outcome): void;
}

export interface PacerOptions {
  readonly clock: Clock;
  /** Blocks under way at most. */
  readonly maxConcurrency: number;
  readonly rate?: Rate | undefined;
}

interface Waiter {
  readonly blockSizeBytes: number;
  start(): void;
}

/** Paces the requests of one source. */
export class Pacer {
  readonly #clock: Clock;
  readonly #maxConcurrency: number;
  readonly #window: Window;
  readonly #granted: GrantedRate;
  readonly #getQuota: Bucket;
  readonly #listQuota: Bucket;
  readonly #requestRate: Bucket | undefined;
  readonly #byteRate: Bucket | undefined;
  readonly #waiting: Waiter[] = [];
  #underWay = 0;

  constructor(options: PacerOptions) {
    const { clock, rate } = options;
    this.#clock = clock;
    this.#maxConcurrency = options.maxConcurrency;
    this.#window = new Window(options.maxConcurrency);
    this.#granted = new GrantedRate(clock);
    this.#getQuota = new Bucket(clock, { perSecond: QUOTAS.getPerSecond - 20, burst: 15 });
    this.#listQuota = new Bucket(clock, { perSecond: QUOTAS.listPerSecond - 3, burst: 1 });
    if (rate === undefined) return;
    if ("requestsPerSecond" in rate) {
      this.#requestRate = new Bucket(clock, { perSecond: rate.requestsPerSecond, burst: 0 });
    } else {
      this.#byteRate = new Bucket(clock, { perSecond: rate.bytesPerSecond, burst: 0 });
    }
  }

  /** How many blocks may be under way now. */
  get window(): number {
    return this.#window.size;
  }

  /** Waits for room to request one block. The caller releases the slot when it holds or has dropped it. */
  async blockSlot(blockSizeBytes: number, signal?: AbortSignal): Promise<Slot> {
    await this.#enter(blockSizeBytes, signal);
    try {
      await this.#byteRate?.take(blockSizeBytes, signal);
      await this.#requestRate?.take(1, signal);
      await this.#granted.take(signal);
      await this.#getQuota.take(1, signal);
    } catch (reason) {
      this.#leave();
      throw reason;
    }
    const startedMs = this.#clock.monotonicMs();
    let isHeld = true;
    return {
      release: (outcome) => {
        if (!isHeld) return;
        isHeld = false;
        const nowMs = this.#clock.monotonicMs();
        this.#granted.learn(outcome, { startedMs, nowMs });
        this.#window.learn(outcome, { startedMs, nowMs });
        this.#leave();
      },
    };
  }

  /** Waits until a listing request may go; listings do not count as blocks under way. */
  async listSlot(signal?: AbortSignal): Promise<Slot> {
    await this.#requestRate?.take(1, signal);
    await this.#listQuota.take(1, signal);
    return { release() {} };
  }

  #hasRoom(blockSizeBytes: number): boolean {
    const byBytes = Math.max(1, Math.floor(MAX_BYTES_UNDER_WAY / blockSizeBytes));
    return this.#underWay < Math.min(this.#window.size, byBytes, this.#maxConcurrency);
  }

  #enter(blockSizeBytes: number, signal: AbortSignal | undefined): Promise<void> {
    if (signal?.aborted) return Promise.reject(signal.reason);
    if (this.#waiting.length === 0 && this.#hasRoom(blockSizeBytes)) {
      this.#underWay++;
      return Promise.resolve();
    }
    return new Promise((resolve, reject) => {
      const onAbort = () => {
        this.#waiting.splice(this.#waiting.indexOf(waiter), 1);
        reject(signal?.reason);
      };
      const waiter: Waiter = {
        blockSizeBytes,
        start: () => {
          signal?.removeEventListener("abort", onAbort);
          this.#underWay++;
          resolve();
        },
      };
      signal?.addEventListener("abort", onAbort, { once: true });
      this.#waiting.push(waiter);
    });
  }

  #leave(): void {
    this.#underWay--;
    for (let next = this.#waiting[0]; next && this.#hasRoom(next.blockSizeBytes); next = this.#waiting[0]) {
      this.#waiting.shift();
      next.start();
    }
  }
}
