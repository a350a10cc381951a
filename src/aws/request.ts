/**
 * One request as the retry loop sees it: what to send, how far it got, and how it ends where the loop cannot
 * decide alone. No behaviour but making and naming these.
 */
import { OperatorError } from "../errors.ts";
import type { Call } from "./calls.ts";
import type { Verdict } from "./errors.ts";
import type { Struggle } from "./patience.ts";

export interface Request<T> {
  readonly call: Call;
  /** Present: a block, which takes a slot of that size. Absent: a listing. */
  readonly blockSizeBytes?: number;
  /** After so many failures it is the caller's turn (`Unanswered`). Absent: until given up. */
  readonly limits?: { readonly trouble: number; readonly damaged: number };
  /** An aside (DescribeSnapshots): what becomes of it says nothing of the source. */
  readonly isAside?: boolean;
  /** The same was sent before, and failed: its first try is a retry already. */
  readonly isRepeated?: boolean;
  readonly signal: AbortSignal;
  send(signal: AbortSignal): Promise<T>;
}

/** The caller's turn: a limit was reached, or a token is stale. Never leaves this folder. */
export class Unanswered extends Error {
  override readonly name = "Unanswered";
  readonly verdict: Verdict;
  readonly attempts: number;
  /** Of the failed requests, oldest first. */
  readonly requestIds: readonly string[];
  /** See `Progress`. */
  readonly crossedFailures: number;

  constructor(
    verdict: Verdict,
    facts: Pick<Progress, "attempts" | "crossedFailures" | "requestIds">,
  ) {
    super(verdict.reason);
    this.verdict = verdict;
    this.attempts = facts.attempts;
    this.requestIds = facts.requestIds;
    this.crossedFailures = facts.crossedFailures;
  }
}

/** What became of one request so far. */
export interface Progress extends Struggle {
  attempts: number;
  failures: number;
  /** Those since whose forerunner another block was read: the way was open, and this request failed. */
  crossedFailures: number;
  /** Blocks that had been read at the last failure. */
  blocksSeen: number;
  sentMs: number;
  damaged: number;
  malformed: number;
  throttles: number;
  skews: number;
  renewals: number;
  generation: number;
  serviceSinceMs: number | undefined;
  readonly requestIds: string[];
  /** On the monotonic clock. */
  readonly startedMs: number;
  /** People were told that an aside is waited for. */
  isToldOf: boolean;
}

export function newProgress(startedMs: number, blocksSeen: number): Progress {
  return {
    startedMs,
    sentMs: startedMs,
    crossedFailures: 0,
    blocksSeen,
    isToldOf: false,
    attempts: 0,
    failures: 0,
    damaged: 0,
    malformed: 0,
    throttles: 0,
    skews: 0,
    renewals: 0,
    generation: 0,
    serviceSinceMs: undefined,
    requestIds: [],
  };
}

/** The error for whoever stopped the work. */
export function interrupted(call: Call): OperatorError {
  return new OperatorError("interrupted", `Cannot ${call.what}: interrupted`);
}
