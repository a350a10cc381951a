/**
 * The endpoint's own record of requests: counters per call for as long as it runs, the latest requests in a ring,
 * and on demand a count per block. Tests take their numbers from here, never from what the client believes.
 *
 * Memory is bounded but for the counts per block, which are off unless asked for.
 */
import type { FaultKind } from "./faults.ts";
import type { CallName } from "./routing.ts";

/** One request, when its answer has left or its connection ended. */
export interface RequestEntry {
  readonly requestId: string;
  /** On the simulator's clock. */
  readonly atMs: number;
  /** `undefined`: no call of these services. */
  readonly call: CallName | undefined;
  readonly snapshot: string | undefined;
  /** Of the block, or of the page's start. */
  readonly index: number | undefined;
  readonly accessKeyId: string | undefined;
  /** 0 where no status line was sent. */
  readonly status: number;
  readonly errorType: string | undefined;
  readonly reason: string | undefined;
  readonly fault: FaultKind | "link-down" | undefined;
  /** Of the answer's body. */
  readonly bytesSent: number;
}

/** Totals of one call. */
export interface CallCount {
  readonly requests: number;
  /** Answered with 2xx and no fault. */
  readonly succeeded: number;
  readonly bytesSent: number;
  readonly byStatus: Readonly<Record<number, number>>;
  readonly byErrorType: Readonly<Record<string, number>>;
  readonly byFault: Readonly<Record<string, number>>;
}

interface Tally {
  requests: number;
  succeeded: number;
  bytesSent: number;
  readonly byStatus: Record<number, number>;
  readonly byErrorType: Record<string, number>;
  readonly byFault: Record<string, number>;
}

/** Entries kept. */
const RECENT = 1000;

/** Requests as the server saw them. */
export class RequestLog {
  readonly #tallies = new Map<string, Tally>();
  readonly #recent: RequestEntry[] = [];
  readonly #blocks: Map<string, Map<number, number>> | undefined;
  readonly #onEntry: ((entry: RequestEntry) => void) | undefined;

  constructor(
    options: { readonly countBlocks?: boolean; readonly onEntry?: (entry: RequestEntry) => void } = {},
  ) {
    if (options.countBlocks) this.#blocks = new Map();
    this.#onEntry = options.onEntry;
  }

  add(entry: RequestEntry): void {
    const tally = this.#tallyOf(entry.call ?? "unknown");
    tally.requests++;
    if (entry.status >= 200 && entry.status < 300 && entry.fault === undefined) tally.succeeded++;
    tally.bytesSent += entry.bytesSent;
    tally.byStatus[entry.status] = (tally.byStatus[entry.status] ?? 0) + 1;
    if (entry.errorType !== undefined) {
      tally.byErrorType[entry.errorType] = (tally.byErrorType[entry.errorType] ?? 0) + 1;
    }
    if (entry.fault !== undefined) tally.byFault[entry.fault] = (tally.byFault[entry.fault] ?? 0) + 1;
    this.#recent.push(entry);
    if (this.#recent.length > 2 * RECENT) this.#recent.splice(0, RECENT);
    if (this.#blocks && entry.call === "GetSnapshotBlock") {
      const key = entry.snapshot ?? "";
      const counts = this.#blocks.get(key) ?? new Map<number, number>();
      this.#blocks.set(key, counts);
      if (entry.index !== undefined) counts.set(entry.index, (counts.get(entry.index) ?? 0) + 1);
    }
    this.#onEntry?.(entry);
  }

  /** Totals of a call; zeros where there was none. A copy. */
  of(call: CallName | "unknown"): CallCount {
    return structuredClone(this.#tallyOf(call));
  }

  /** Requests of a call, whatever became of them. */
  count(call: CallName | "unknown"): number {
    return this.#tallies.get(call)?.requests ?? 0;
  }

  /** All requests. */
  total(): number {
    return [...this.#tallies.values()].reduce((sum, tally) => sum + tally.requests, 0);
  }

  /** The latest entries, oldest first, at most 1,000. */
  recent(): RequestEntry[] {
    return this.#recent.slice(-RECENT);
  }

  /** GetSnapshotBlock requests by block index. Empty unless the endpoint was started with `countBlocks`. */
  blocks(snapshot: string): ReadonlyMap<number, number> {
    return new Map(this.#blocks?.get(snapshot));
  }

  reset(): void {
    this.#tallies.clear();
    this.#recent.length = 0;
    this.#blocks?.clear();
  }

  #tallyOf(call: string): Tally {
    const held = this.#tallies.get(call);
    if (held) return held;
    const tally: Tally = {
      requests: 0,
      succeeded: 0,
      bytesSent: 0,
      byStatus: {},
      byErrorType: {},
      byFault: {},
    };
    this.#tallies.set(call, tally);
    return tally;
  }
}
