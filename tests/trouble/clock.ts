/**
 * Time as a host and a service see it, for tests in which hours pass: AWS's clock is right, the host's may be wrong,
 * jump, or stand still while the host sleeps. Time moves when somebody waits, and a second at a time while nobody does
 * but for the ticks of a session. `Date.now` is the host's while a test runs: AWS's SDK signs with it.
 */
import type { Clock } from "../../src/model.ts";
import { SimulatorClock } from "../../src/simulate/mod.ts";

interface Sleeper {
  readonly dueMs: number;
  /** Whether time moves on for it. A tick does not where another one does. */
  readonly moves: "always" | "alone" | "never";
  wake(): void;
}

/** What sessions and progress lines sleep between two looks. */
const TICK_MS = 1000;
/** Real milliseconds for requests under way, before a tick moves the time. */
const TICK_PATIENCE_MS = 2;

export class TroubleClock implements Clock {
  /** The service's: the true time. */
  readonly aws: SimulatorClock;
  #monotonicMs = 0;
  #offsetMs: number;
  #sleepers: Sleeper[] = [];
  #pumping: ReturnType<typeof setTimeout> | undefined;

  /** `offsetMs`: how far the host's clock is ahead of AWS's. */
  constructor({ offsetMs = 0 }: { readonly offsetMs?: number } = {}) {
    this.aws = new SimulatorClock({ virtual: true });
    this.#offsetMs = offsetMs;
  }

  nowMs(): number {
    return this.aws.nowMs() + this.#offsetMs;
  }

  monotonicMs(): number {
    return this.#monotonicMs;
  }

  /** Somebody, or NTP, sets the host's clock. */
  setOffset(offsetMs: number): void {
    this.#offsetMs = offsetMs;
  }

  /** The host sleeps: the monotonic clock stands still, as Linux has it, and nothing on the host runs. */
  suspend(ms: number): void {
    this.aws.advanceMs(ms);
  }

  /** Time passes for all, whoever waits. */
  pass(ms: number): void {
    this.#monotonicMs += ms;
    this.aws.advanceMs(ms);
    const due = this.#sleepers.filter(({ dueMs }) => dueMs <= this.#monotonicMs);
    this.#sleepers = this.#sleepers.filter((sleeper) => !due.includes(sleeper));
    due.sort((a, b) => a.dueMs - b.dueMs);
    for (const { wake } of due) wake();
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return this.#sleep(ms, ms === TICK_MS ? "alone" : "always", signal);
  }

  /** Resolves when so much time has passed, and waits for others to pass it: for what happens meanwhile. */
  passed(ms: number): Promise<void> {
    return this.#sleep(ms, "never");
  }

  #sleep(ms: number, moves: Sleeper["moves"], signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason);
      const onAbort = () => {
        this.#sleepers = this.#sleepers.filter((other) => other !== sleeper);
        reject(signal?.reason);
      };
      const wake = () => {
        signal?.removeEventListener("abort", onAbort);
        resolve();
      };
      const sleeper: Sleeper = { dueMs: this.#monotonicMs + ms, moves, wake };
      signal?.addEventListener("abort", onAbort, { once: true });
      this.#sleepers.push(sleeper);
      this.#pump();
    });
  }

  #pump(): void {
    const isPressed = this.#sleepers.some(({ moves }) => moves === "always");
    if (!isPressed && !this.#sleepers.some(({ moves }) => moves === "alone")) return;
    this.#pumping ??= setTimeout(() => {
      this.#pumping = undefined;
      // A session's ticks come late where somebody waits for longer, as on a busy host.
      const some = this.#sleepers.some(({ moves }) => moves === "always") ? "always" : "alone";
      const dueMs = this.#sleepers.filter(({ moves }) => moves === some).map((sleeper) => sleeper.dueMs);
      if (dueMs.length > 0) this.pass(Math.max(0, Math.min(...dueMs) - this.#monotonicMs));
      this.#pump();
    }, isPressed ? 0 : TICK_PATIENCE_MS);
  }
}

/** Runs `body` with `Date.now` the host's. */
export async function withHostTime<T>(clock: TroubleClock, body: () => Promise<T>): Promise<T> {
  const real = Date.now;
  Date.now = () => clock.nowMs();
  try {
    return await body();
  } finally {
    Date.now = real;
  }
}
