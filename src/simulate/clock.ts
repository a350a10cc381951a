/**
 * The simulator's clock: real time moved by an offset, or virtual time that moves only when told to or when
 * somebody sleeps on it. Tokens, credentials, signatures, token buckets, the link's bandwidth and its outages
 * all read this clock and no other, so that a week passes in a test without waiting.
 *
 * It is a whole `Clock`, so that a test can give the same one to the client.
 */
import type { Clock } from "../model.ts";

interface Sleeper {
  readonly dueMs: number;
  readonly order: number;
  wake(): void;
}

/** Time that tests and drills can set. */
export class SimulatorClock implements Clock {
  /** Added to the host's clock while running. */
  #offsetMs = 0;
  /** The time itself while virtual; undefined while running. */
  #virtualMs: number | undefined;
  readonly #sleepers: Sleeper[] = [];
  #sleepCount = 0;
  #advancing: ReturnType<typeof setTimeout> | undefined;

  readonly #patienceMs: number;

  /**
   * `virtual`: time stands still but for `advanceMs`, `setMs` and `sleep`. Starts at the host's time where `startMs` is
   * not given. `patienceMs`: virtual time waits so long, in real milliseconds, before it moves: for work that goes on in
   * other threads, which the event loop does not know of. Default 0.
   */
  constructor(
    options: { readonly startMs?: number; readonly virtual?: boolean; readonly patienceMs?: number } = {},
  ) {
    this.#patienceMs = options.patienceMs ?? 0;
    if (options.virtual) this.#virtualMs = options.startMs ?? Date.now();
    else if (options.startMs !== undefined) this.#offsetMs = options.startMs - Date.now();
  }

  nowMs(): number {
    return this.#virtualMs ?? Date.now() + this.#offsetMs;
  }

  monotonicMs(): number {
    return this.#virtualMs ?? performance.now();
  }

  setMs(ms: number): void {
    if (this.#virtualMs === undefined) this.#offsetMs = ms - Date.now();
    else this.#virtualMs = ms;
    this.#wakeDue();
  }

  advanceMs(ms: number): void {
    this.setMs(this.nowMs() + ms);
  }

  /** Virtual time goes straight to the earliest sleeper as soon as the event loop has nothing else to run. */
  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason);
      let cancel = () => {};
      const onAbort = () => {
        cancel();
        reject(signal?.reason);
      };
      const wake = () => {
        signal?.removeEventListener("abort", onAbort);
        resolve();
      };
      signal?.addEventListener("abort", onAbort, { once: true });
      if (this.#virtualMs === undefined) {
        const timer = setTimeout(wake, ms);
        cancel = () => clearTimeout(timer);
        return;
      }
      const sleeper = { dueMs: this.#virtualMs + Math.max(0, ms), order: this.#sleepCount++, wake };
      this.#sleepers.push(sleeper);
      cancel = () => this.#remove(sleeper);
      this.#scheduleAdvance();
    });
  }

  #remove(sleeper: Sleeper): void {
    const at = this.#sleepers.indexOf(sleeper);
    if (at >= 0) this.#sleepers.splice(at, 1);
  }

  #scheduleAdvance(): void {
    this.#advancing ??= setTimeout(() => {
      this.#advancing = undefined;
      const earliest = Math.min(...this.#sleepers.map((sleeper) => sleeper.dueMs));
      if (!Number.isFinite(earliest)) return;
      if (this.#virtualMs !== undefined && earliest > this.#virtualMs) this.#virtualMs = earliest;
      this.#wakeDue();
      if (this.#sleepers.length > 0) this.#scheduleAdvance();
    }, this.#patienceMs);
  }

  #wakeDue(): void {
    const nowMs = this.nowMs();
    const due = this.#sleepers.filter((sleeper) => sleeper.dueMs <= nowMs);
    due.sort((a, b) => a.dueMs - b.dueMs || a.order - b.order);
    for (const sleeper of due) {
      this.#remove(sleeper);
      sleeper.wake();
    }
  }
}
