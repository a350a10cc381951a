/**
 * How many blocks under way are worth having: a window that grows while growing brings more, and shrinks
 * when connections are lost. It counts outcomes and measures time from its caller; it waits for nothing.
 */

/** How a request ended, for pacing. `other`: it says nothing about capacity. */
export type Outcome = "success" | "throttle" | "trouble" | "other";

/** When a request was sent and when it ended, on the monotonic clock. */
export interface Span {
  readonly startedMs: number;
  readonly nowMs: number;
}

const START_WINDOW = 8;

/** After so long at one size the window tries a larger one. */
const TRY_LARGER_AFTER_MS = 5_000;

/**
 * How many blocks under way are worth having. Doubles while that brings more blocks a second, then tries a
 * larger size now and then; halves on network trouble. A link that is full gains
 * nothing from more under way, and each one under way is lost when it drops: so the window stops where the
 * gain stops.
 */
export class Window {
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
    // A throttle is about the rate, which goes down by itself (GrantedRate) and takes along how many are
    // under way; what was measured meanwhile says nothing of the window.
    else if (outcome === "throttle") this.#stage = undefined;
    else if (outcome === "trouble") this.#halve(span);
  }

  /** Once for all requests that were under way together: a connection that drops takes all of them. */
  #halve({ startedMs, nowMs }: Span): void {
    if (startedMs <= this.#lastDownMs) return;
    this.#lastDownMs = nowMs;
    this.#size = this.#provenSize = Math.max(1, Math.floor(this.#size / 2));
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
