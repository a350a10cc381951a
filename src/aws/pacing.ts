/**
 * How fast requests go out: a window of blocks under way that grows while the service keeps pace, a rate
 * that follows what the service grants after a throttle, and buckets that never exceed AWS's published
 * quotas nor `--rate`. No retries here (retry.ts), and nothing of what requests mean.
 */
import type { Clock } from "../model.ts";
import type { Rate } from "../units.ts";

/**
 * Requests a second, from AWS's quota tables: GetSnapshotBlock per snapshot (L-028ACFB9), List calls per
 * account. Rate plus burst stay below them in any one second.
 */
export const QUOTAS = { getPerSecond: 1000, listPerSecond: 50 } as const;

/** Bytes of blocks under way at most, whatever the window says. */
const MAX_BYTES_UNDER_WAY = 64 * 1024 * 1024;

const START_WINDOW = 8;

/**
 * Requests of weight 1 (or of some bytes) at a steady rate, with a small burst: in any span of t seconds no
 * more than `perSecond` × t + burst + 1. Callers are served in the order in which they came.
 */
export class Bucket {
  readonly #clock: Clock;
  readonly #burstMs: number;
  #perSecond: number;
  /** When the next caller would go if there were no burst. */
  #nextMs = -Infinity;

  constructor(clock: Clock, options: { readonly perSecond: number; readonly burst: number }) {
    this.#clock = clock;
    this.#perSecond = options.perSecond;
    this.#burstMs = options.burst * 1000 / options.perSecond;
  }

  set perSecond(value: number) {
    this.#perSecond = value;
  }

  /** Returns when `weight` may go. */
  async take(weight: number, signal?: AbortSignal): Promise<void> {
    if (this.#perSecond === Infinity) return;
    const now = this.#clock.monotonicMs();
    const atMs = Math.max(now, this.#nextMs - this.#burstMs);
    this.#nextMs = Math.max(now, this.#nextMs) + weight * 1000 / this.#perSecond;
    // Timers may fire a little early; a second look costs nothing.
    for (let waitMs = atMs - now; waitMs > 0; waitMs = atMs - this.#clock.monotonicMs()) {
      await this.#clock.sleep(waitMs, signal);
    }
  }
}

/** How a request ended, for pacing. `other`: it says nothing about capacity. */
export type Outcome = "success" | "throttle" | "trouble" | "other";

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

interface Span {
  readonly startedMs: number;
  readonly nowMs: number;
}

/** After so long at one size the window tries a larger one. */
const TRY_LARGER_AFTER_MS = 5_000;

/**
 * How many blocks under way are worth having. Doubles while that brings more blocks a second, then tries a
 * larger size now and then; down on a throttle and, faster, on network trouble. A link that is full gains
 * nothing from more under way, and each one under way is lost when it drops: so the window stops where the
 * gain stops.
 */
class Window {
  readonly #max: number;
  #size: number;
  /** The size to go back to where the present one brings nothing. */
  #provenSize: number;
  /** Blocks a millisecond at `#provenSize`. */
  #provenPerMs = 0;
  #phase: "growing" | "settled" | "trying" = "growing";
  #settledMs = 0;
  #lastDownMs = -Infinity;
  #stage: { readonly startedMs: number; successes: number } | undefined;

  constructor(max: number) {
    this.#max = max;
    this.#size = this.#provenSize = Math.min(START_WINDOW, max);
  }

  get size(): number {
    return this.#size;
  }

  learn(outcome: Outcome, span: Span): void {
    if (outcome === "success") this.#count(span.nowMs);
    // A throttle is answered by the rate first (GrantedRate); a drop says that all under way was lost.
    else if (outcome === "throttle") this.#down(0.9, span);
    else if (outcome === "trouble") this.#down(0.5, span);
  }

  /** Once for all requests that were under way together: they tell the same thing. */
  #down(factor: number, { startedMs, nowMs }: Span): void {
    if (startedMs <= this.#lastDownMs) return;
    this.#lastDownMs = nowMs;
    this.#size = this.#provenSize = Math.max(1, Math.floor(this.#size * factor));
    this.#provenPerMs = 0;
    this.#phase = "growing";
    this.#stage = undefined;
  }

  /** A stage is long enough to measure when each slot had its turn several times. */
  #count(nowMs: number): void {
    const stage = this.#stage ??= { startedMs: nowMs, successes: 0 };
    stage.successes++;
    const elapsedMs = nowMs - stage.startedMs;
    if (stage.successes <= 4 * this.#size || elapsedMs < 100) return;
    this.#stage = undefined;
    this.#judge((stage.successes - 1) / elapsedMs, nowMs);
  }

  #judge(perMs: number, nowMs: number): void {
    if (this.#phase === "settled") {
      this.#provenPerMs = perMs;
      if (nowMs - this.#settledMs < TRY_LARGER_AFTER_MS || this.#size >= this.#max) return;
      this.#phase = "trying";
      this.#size = Math.min(this.#max, Math.ceil(this.#size * 1.5));
      return;
    }
    if (perMs > this.#provenPerMs * 1.05) {
      this.#provenPerMs = perMs;
      this.#provenSize = this.#size;
      this.#phase = "growing";
      this.#size = Math.min(this.#max, this.#size * 2);
      if (this.#size > this.#provenSize) return;
    }
    this.#size = this.#provenSize;
    this.#phase = "settled";
    this.#settledMs = nowMs;
  }
}

/**
 * The rate that the service grants, known only after a throttle: just below what it let through in the last
 * second, then slowly up, until the quota's own bucket is the limit again.
 */
class GrantedRate {
  readonly #clock: Clock;
  #bucket: Bucket | undefined;
  #perSecond = Infinity;
  #changedMs = 0;
  #lastDownMs = -Infinity;
  /** When the last successes ended, a ring; enough for the quota's rate. */
  readonly #endedMs = new Float64Array(2048).fill(-Infinity);
  #ended = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  async take(signal?: AbortSignal): Promise<void> {
    if (this.#bucket === undefined) return;
    const nowMs = this.#clock.monotonicMs();
    // 2 % a second: from 5 % below the limit it is found again in some three seconds.
    this.#perSecond += Math.max(0.2, this.#perSecond * 0.02) * (nowMs - this.#changedMs) / 1000;
    this.#changedMs = nowMs;
    if (this.#perSecond >= QUOTAS.getPerSecond) {
      this.#bucket = undefined;
      this.#perSecond = Infinity;
      return;
    }
    this.#bucket.perSecond = this.#perSecond;
    await this.#bucket.take(1, signal);
  }

  learn(outcome: Outcome, { startedMs, nowMs }: Span): void {
    if (outcome === "success") this.#endedMs[this.#ended++ % this.#endedMs.length] = nowMs;
    if (outcome !== "throttle" || startedMs <= this.#lastDownMs) return;
    this.#lastDownMs = Math.max(nowMs, startedMs + 100);
    this.#perSecond = Math.max(1, Math.min(this.#successesPerSecond(nowMs), this.#perSecond) * 0.95);
    this.#changedMs = nowMs;
    this.#bucket = new Bucket(this.#clock, { perSecond: this.#perSecond, burst: 0 });
  }

  #successesPerSecond(nowMs: number): number {
    let count = 0;
    for (const endedMs of this.#endedMs) if (endedMs > nowMs - 1000) count++;
    return count;
  }
}
