/**
 * Rates: a bucket that spaces requests out, AWS's published quotas, and the rate that the service turns out
 * to grant. Waiting goes through the injected clock; no retries (retry.ts).
 */
import type { Clock } from "../model.ts";
import type { Outcome, Span } from "./window.ts";

/**
 * Requests a second, from AWS's quota tables: GetSnapshotBlock per snapshot (L-028ACFB9), List calls per
 * account. Rate plus burst stay below them in any one second.
 */
export const QUOTAS = { getPerSecond: 1000, listPerSecond: 50 } as const;

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

/** How soon after one lowering the next may follow: the last second must have time to show it. */
const MIN_EPOCH_MS = 250;

/**
 * The rate that the service grants, known only after a throttle: just below what it let through in the last
 * second, then slowly up, until the quota's own bucket is the limit again.
 */
export class GrantedRate {
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
    // 2 % a second: from 5 % below the limit it is found again in some three seconds. Where it is not
    // found there, it has moved: then faster and faster, up to 20 % a second.
    const sinceDownMs = nowMs - this.#lastDownMs;
    const growth = Math.min(0.2, 0.02 * Math.max(1, sinceDownMs / 5000));
    this.#perSecond += Math.max(0.2, this.#perSecond * growth) * (nowMs - this.#changedMs) / 1000;
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
    // Requests that were under way together are throttled together: that is one piece of news.
    if (outcome !== "throttle" || startedMs < this.#lastDownMs + MIN_EPOCH_MS) return;
    this.#lastDownMs = nowMs;
    const granted = this.#successesPerSecond(nowMs);
    const supposed = Math.min(this.#perSecond, QUOTAS.getPerSecond);
    this.#perSecond = Math.max(1, granted === undefined ? supposed / 2 : granted * 0.95);
    this.#changedMs = nowMs;
    // The same bucket goes on where there is one: callers hold places in it.
    this.#bucket ??= new Bucket(this.#clock, { perSecond: this.#perSecond, burst: 0 });
    this.#bucket.perSecond = this.#perSecond;
  }

  /** Over the last second; `undefined` where too little was seen to tell. */
  #successesPerSecond(nowMs: number): number | undefined {
    let count = 0;
    let oldestMs = nowMs;
    for (const endedMs of this.#endedMs) {
      if (endedMs <= nowMs - 1000) continue;
      count++;
      oldestMs = Math.min(oldestMs, endedMs);
    }
    if (count < this.#ended) return count;
    return nowMs - oldestMs < 500 ? undefined : count * 1000 / (nowMs - oldestMs);
  }
}
