/**
 * The one retry-and-pacing loop: every request to AWS runs through `Retry.run`. It waits for room, sends,
 * and acts on the verdict of a failure (errors.ts): back off with full jitter, slow down, renew credentials,
 * correct the clock, wait for the network to come back, or give up with an error that says after how long.
 * What one block or one page then needs (a new token, a probe) is its callers' business.
 */
import { OperatorError } from "../errors.ts";
import type { Randomness } from "../model.ts";
import { formatDuration } from "../units.ts";
import { type Call, serviceOf } from "./calls.ts";
import { credentialsRefused } from "./credential_words.ts";
import type { CredentialKeeper } from "./credentials.ts";
import { classify, type Verdict } from "./errors.ts";
import type { Pacer, Slot } from "./pacing.ts";
import type { Known } from "./permissions.ts";
import { interrupted, newProgress, type Progress, type Request, Unanswered } from "./request.ts";
import { Patience, type PatienceOptions } from "./patience.ts";
import type { Outcome } from "./window.ts";

/** Back-off: a random time up to base × 2^failures, never more than the cap. */
const BACKOFF = { baseMs: 100, capMs: 10_000 } as const;
/** The pacer slows down by itself, so a throttled request need not stay away for long. */
const THROTTLE_BACKOFF = { baseMs: 100, capMs: 5_000 } as const;
/** Answers that are not of the API's form, before they are believed. */
const MAX_MALFORMED = 5;
const MAX_SKEW_CORRECTIONS = 2;
/** AWS takes a date that is five minutes off; EC2, fifteen. */
const MIN_REFUSED_SKEW_MS = 4 * 60_000;
const MAX_RENEWALS = 3;
/** Between two questions whether a snapshot is completed: it takes minutes, or hours. */
const PENDING_PAUSE = { baseMs: 15_000, jitterMs: 5_000 } as const;
/** Looks for other credentials, each after some seconds, before the service is asked with the old ones again. */
const LOOKS_BEFORE_REQUEST = 6;
/** An aside that fails for longer is left. It may stand between people and the first block. */
const ASIDE_PATIENCE_MS = 30_000;
/** An aside that takes longer is told of. */
const ASIDE_TOLD_AFTER_MS = 10_000;

export interface RetryOptions extends PatienceOptions {
  readonly randomness: Randomness;
  readonly pacer: Pacer;
  readonly keeper: CredentialKeeper;
  readonly profile: string | undefined;
  readonly skewMs: () => number | undefined;
  /** What earlier answers told, for the words of a refusal. */
  readonly known: Known;
}

/** Runs the requests of one source. */
export class Retry {
  readonly #options: RetryOptions;
  readonly #patience: Patience;
  #retries = 0;
  #throttles = 0;
  #toldSkewMs = 0;

  constructor(options: RetryOptions) {
    this.#options = options;
    this.#patience = new Patience(options);
  }

  get counts(): { readonly retries: number; readonly throttles: number } {
    return { retries: this.#retries, throttles: this.#throttles };
  }

  /** Whether all snapshots of the call were read before. */
  hasRead(call: Call): boolean {
    return this.#patience.hasRead(call);
  }

  /**
   * The answer, and how many attempts failed before it. Throws `OperatorError` (`access`, `source`,
   * `not_found`, `interrupted`), or `Unanswered`.
   */
  async run<T>(request: Request<T>): Promise<{ readonly value: T; readonly failures: number }> {
    const progress = newProgress(this.#options.clock.monotonicMs(), this.#patience.blocksRead);
    try {
      for (let isRetry = request.isRepeated ?? false;;) {
        try {
          const value = await this.#attempt(request, progress, isRetry);
          if (!request.isAside) this.#patience.answered(request.call);
          return { value, failures: progress.failures };
        } catch (thrown) {
          if (request.signal.aborted) throw interrupted(request.call);
          const verdict = thrown instanceof Attempted ? thrown.verdict : this.#classify(thrown, request.call);
          await this.#overcome(verdict, request, progress);
          isRetry = verdict.kind !== "throttle" && verdict.kind !== "pending";
        }
      }
    } finally {
      if (progress.isToldOf) this.#recovered(progress);
    }
  }

  async #attempt<T>(request: Request<T>, progress: Progress, isRetry: boolean): Promise<T> {
    const { pacer, keeper } = this.#options;
    const slot: Slot = request.blockSizeBytes === undefined
      ? await pacer.listSlot(request.signal)
      : await pacer.blockSlot(request.blockSizeBytes, request.signal);
    progress.generation = keeper.generation;
    progress.attempts++;
    progress.sentMs = this.#options.clock.monotonicMs();
    try {
      request.signal.throwIfAborted();
      if (isRetry) this.#retries++;
      const value = await request.send(request.signal);
      slot.release("success");
      this.#tellSkew();
      return value;
    } catch (thrown) {
      const verdict = this.#classify(thrown, request.call);
      slot.release(outcomeOf(verdict));
      // What was stopped did not fail.
      if (!request.signal.aborted) this.#tell(verdict, request.call);
      this.#tellSkew();
      throw new Attempted(verdict);
    }
  }

  /** Once where the clocks differ so that requests are refused for it, and again when that has changed. */
  #tellSkew(): void {
    const skewMs = this.#options.skewMs();
    if (skewMs === undefined || Math.abs(skewMs - this.#toldSkewMs) < MIN_REFUSED_SKEW_MS) return;
    this.#toldSkewMs = skewMs;
    this.#options.onEvent({ type: "clock_skew", skewMs });
  }

  /** Each failed request is told of once, the last try of a block that stays unreadable too. */
  #tell({ kind, reason, requestId }: Verdict, { action: call, blockIndex }: Call): void {
    if (kind === "pending") return;
    if (kind !== "throttle") {
      return this.#options.onEvent({ type: "failed", call, blockIndex, reason, requestId });
    }
    this.#throttles++;
    this.#options.onEvent({ type: "throttle", call, blockIndex, requestId });
  }

  #classify(thrown: unknown, call: Call): Verdict {
    const answeredBefore = this.#patience.hasRead(call);
    const { region, known } = this.#options;
    return classify(thrown, { call, region, answeredBefore, known });
  }

  /** Returns when the request is to be sent again. */
  async #overcome(verdict: Verdict, request: Request<unknown>, progress: Progress): Promise<void> {
    if (verdict.requestId !== undefined && progress.requestIds.length < 16) {
      progress.requestIds.push(verdict.requestId);
    }
    switch (verdict.kind) {
      case "fatal":
        throw verdict.error;
      case "stale_page":
      case "stale_block":
        if (!request.isAside) this.#patience.answered(request.call);
        throw new Unanswered(verdict, progress);
      case "throttle":
        return await this.#throttled(verdict, request, progress);
      case "pending":
        return await this.#awaitCompletion(verdict, request, progress);
      case "damaged":
        progress.damaged++;
        if (progress.damaged >= (request.limits?.damaged ?? Infinity)) {
          throw new Unanswered(verdict, progress);
        }
        return await this.#backOff(verdict, request, { failures: progress.damaged, ...BACKOFF });
      case "malformed":
        // From a service that gave what was asked for before, it is somebody else's.
        if (request.isAside || this.hasRead(request.call)) {
          return await this.#trouble({ ...verdict, kind: "retry", from: "stranger" }, request, progress);
        }
        progress.malformed++;
        if (progress.malformed >= MAX_MALFORMED) throw noListing(verdict, request.call);
        return await this.#backOff(verdict, request, { failures: progress.malformed, ...BACKOFF });
      case "skew":
        return await this.#correctClock(verdict, request, progress);
      case "expired":
      case "rejected":
        return await this.#renew(verdict, request, progress);
      case "retry":
        return await this.#trouble(verdict, request, progress);
    }
  }

  async #trouble(
    verdict: Verdict & { kind: "retry" },
    request: Request<unknown>,
    progress: Progress,
  ): Promise<void> {
    progress.failures++;
    const { blocksRead } = this.#patience;
    if (blocksRead > progress.blocksSeen) progress.crossedFailures++;
    progress.blocksSeen = blocksRead;
    if (progress.failures >= (request.limits?.trouble ?? Infinity)) throw new Unanswered(verdict, progress);
    const nowMs = this.#options.clock.monotonicMs();
    progress.serviceSinceMs = verdict.from === "service" ? progress.serviceSinceMs ?? nowMs : undefined;
    if (request.isAside) this.#checkAside(verdict, request, progress);
    else this.#patience.check(verdict, request.call, progress);
    await this.#backOff(verdict, request, { failures: progress.failures, ...BACKOFF });
  }

  /** The patience for an aside, which has its own. Throws `Unanswered` at its end. */
  #checkAside(verdict: Verdict, { call }: Request<unknown>, progress: Progress): void {
    const { clock, onEvent } = this.#options;
    const forMs = clock.monotonicMs() - progress.startedMs;
    if (forMs >= ASIDE_PATIENCE_MS) throw new Unanswered(verdict, progress);
    if (forMs < ASIDE_TOLD_AFTER_MS || progress.isToldOf) return;
    progress.isToldOf = true;
    const waitingFor = `${serviceOf(call.action).toUpperCase()} to answer ${call.action} (${verdict.reason})`;
    onEvent({ type: "waiting", waitingFor, sinceMs: Math.round(clock.nowMs() - forMs) });
  }

  #recovered({ startedMs }: Progress): void {
    const { clock, onEvent } = this.#options;
    onEvent({ type: "recovered", waitedMs: Math.round(clock.monotonicMs() - startedMs) });
  }

  async #throttled(verdict: Verdict, request: Request<unknown>, progress: Progress): Promise<void> {
    // A service that throttles is there: it is only progress that is missing.
    if (!request.isAside) this.#patience.heard();
    progress.throttles++;
    if (request.isAside && progress.throttles >= 5) throw new Unanswered(verdict, progress);
    if (!request.isAside) this.#patience.check(verdict, request.call, progress);
    const failures = Math.min(progress.throttles, 10);
    await this.#pause(jittered({ failures, ...THROTTLE_BACKOFF }, this.#options.randomness), request);
  }

  /** Waits until it is worth asking again. The service is there, so this is not the patience for one that is not. */
  async #awaitCompletion(verdict: Verdict, request: Request<unknown>, progress: Progress): Promise<void> {
    const { clock, giveUpAfterMs, randomness } = this.#options;
    this.#patience.answered(request.call);
    const forMs = clock.monotonicMs() - progress.startedMs;
    if (forMs >= giveUpAfterMs) {
      throw new OperatorError(
        "source",
        `Cannot ${request.call.what}: ${verdict.reason}, after ${formatDuration(forMs)}`,
        {
          hints: ["Run the same command again to wait on, or with a longer --give-up-after."],
          facts: { reason: "STILL_PENDING", waitedMs: Math.round(forMs) },
        },
      );
    }
    const pauseMs = PENDING_PAUSE.baseMs + PENDING_PAUSE.jitterMs * randomness.fraction();
    await this.#pause(Math.min(pauseMs, giveUpAfterMs - forMs), request);
  }

  async #correctClock(
    verdict: Verdict & { kind: "skew" },
    request: Request<unknown>,
    progress: Progress,
  ): Promise<void> {
    const skewMs = this.#options.skewMs();
    progress.skews++;
    if (verdict.mayBeExpired && Math.abs(skewMs ?? 0) < MIN_REFUSED_SKEW_MS) {
      return await this.#renew({ ...verdict, kind: "expired" }, request, progress);
    }
    const maxCorrections = skewMs === undefined ? 1 : MAX_SKEW_CORRECTIONS;
    if (progress.skews > maxCorrections) {
      const reason = `${verdict.reason} (our clock was corrected by ${
        formatDuration(Math.abs(skewMs ?? 0))
      })`;
      const kind = verdict.mayBeExpired ? "expired" : "rejected";
      return await this.#renew({ ...verdict, kind, reason }, request, progress);
    }
    // SDK and handler have taken the same offset from the same header and sign with it from now on.
  }

  async #renew(
    verdict: Verdict & { kind: "expired" | "rejected" },
    request: Request<unknown>,
    progress: Progress,
  ): Promise<void> {
    const { keeper, profile } = this.#options;
    let reason = verdict.reason;
    for (let looks = 1;; looks++) {
      if (progress.renewals < MAX_RENEWALS) {
        progress.renewals++;
        try {
          if (await keeper.renew(progress.generation)) return;
        } catch (thrown) {
          const failure = this.#classify(thrown, request.call);
          if (failure.kind === "fatal") throw failure.error;
          if (failure.kind === "retry") return await this.#trouble(failure, request, progress);
          reason = failure.reason;
        }
      }
      if (!this.#mayAwaitCredentials(verdict, request)) {
        throw credentialsRefused({ what: request.call.what, reason, keeper, profile });
      }
      await this.#awaitCredentials(reason, request);
      progress.renewals = 0;
      // The service alone knows whether it still refuses them; dozens of blocks need not all ask it all the time.
      if (looks >= LOOKS_BEFORE_REQUEST) return;
    }
  }

  #mayAwaitCredentials(verdict: Verdict, request: Request<unknown>): boolean {
    const { keeper } = this.#options;
    if (!keeper.canRenew || keeper.facts() === undefined || verdict.kind === "rejected") return false;
    // Before anything was read an aside comes first, and says at once what is wrong with the credentials.
    return !request.isAside || this.#patience.hasAnswered;
  }

  /** Credentials that renew themselves, but have not yet: a login that ran out, a file not yet rewritten. */
  async #awaitCredentials(reason: string, request: Request<unknown>): Promise<void> {
    const { keeper, profile, randomness } = this.#options;
    if (!this.#patience.mayWaitFor(`fresh credentials from ${keeper.source} (${reason})`)) {
      throw credentialsRefused({ what: request.call.what, reason, keeper, profile });
    }
    await this.#pause(5_000 + 5_000 * randomness.fraction(), request);
  }

  async #backOff(verdict: Verdict, request: Request<unknown>, backoff: Backoff): Promise<void> {
    const delayMs = Math.round(jittered(backoff, this.#options.randomness));
    this.#options.onEvent({
      type: "retry",
      call: request.call.action,
      reason: verdict.reason,
      delayMs,
    });
    await this.#pause(delayMs, request);
  }

  async #pause(ms: number, request: Request<unknown>): Promise<void> {
    try {
      await this.#options.clock.sleep(ms, request.signal);
    } catch (reason) {
      if (request.signal.aborted) throw interrupted(request.call);
      throw reason;
    }
  }
}

/** Carries the verdict from the attempt, so that each failure is judged once. */
class Attempted extends Error {
  readonly verdict: Verdict;

  constructor(verdict: Verdict) {
    super(verdict.reason);
    this.verdict = verdict;
  }
}

interface Backoff {
  readonly failures: number;
  readonly baseMs: number;
  readonly capMs: number;
}

function jittered({ failures, baseMs, capMs }: Backoff, randomness: Randomness): number {
  return randomness.fraction() * Math.min(capMs, baseMs * 2 ** Math.min(failures, 30));
}

/** What a failure says about how much the service can take. */
function outcomeOf(verdict: Verdict): Outcome {
  if (verdict.kind === "throttle") return "throttle";
  if (verdict.kind === "pending") return "success";
  // An answer of HTTP 500 may be about one block only; a lost connection is about all.
  return verdict.kind === "retry" && verdict.from !== "service" ? "trouble" : "other";
}

function noListing(verdict: Verdict, call: Call): OperatorError {
  return new OperatorError("source", `Cannot ${call.what}: the endpoint gives ${verdict.reason}`, {
    hints: ["Check that the endpoint speaks the EBS direct APIs."],
    facts: { reason: "MALFORMED_ANSWER", requestId: verdict.requestId ?? null },
  });
}
