/**
 * How long to wait for a source that does not answer, and what people are told meanwhile. A source that has
 * answered before is waited for long (a link that drops, an outage); one that never answered is likely a
 * wrong Region, endpoint or proxy, and given up soon. It only keeps time: it neither sleeps nor retries.
 */
import { OperatorError } from "../errors.ts";
import type { Clock, SnapshotId, SourceEvent } from "../model.ts";
import { formatDuration } from "../units.ts";
import type { Call } from "./calls.ts";
import type { Verdict } from "./errors.ts";

/** How often people are told that we still wait, and how long before the first time. */
const WAITING_EVERY_MS = 10_000;

/** In trouble, requests fail at least so often: a stall and a pause take half a minute. */
const MAX_GAP_MS = 120_000;

export interface PatienceOptions {
  readonly clock: Clock;
  readonly region: string;
  /** Shown where it does not answer. */
  readonly endpoint: string;
  /** Without any answer for so long, a source that has answered before is given up. */
  readonly giveUpAfterMs: number;
  /** The same for a source that has never answered. */
  readonly firstAnswerWithinMs: number;
  readonly onEvent: (event: SourceEvent) => void;
}

/** What one request went through so far. */
export interface Struggle {
  readonly attempts: number;
  readonly failures: number;
  /** When it was sent last, on the monotonic clock. */
  readonly sentMs: number;
  /** Start of an unbroken run of HTTP 5xx from the service itself, on the monotonic clock. */
  readonly serviceSinceMs: number | undefined;
  readonly requestIds: readonly string[];
}

/** The patience of one source, shared by all its requests: any answer renews it. */
export class Patience {
  readonly #options: PatienceOptions;
  readonly #read = new Set<SnapshotId>();
  #hasAnswered = false;
  #blocksRead = 0;
  #troubleSinceMs: number | undefined;
  #answeredMs = -Infinity;
  /** When a failure was noted last. */
  #lookedMs = -Infinity;
  #toldMs: number | undefined;

  constructor(options: PatienceOptions) {
    this.#options = options;
  }

  /** Whether the service was ever there. */
  get hasAnswered(): boolean {
    return this.#hasAnswered;
  }

  /** Blocks that were had so far. */
  get blocksRead(): number {
    return this.#blocksRead;
  }

  /** Whether all snapshots of the call were read before. */
  hasRead(call: Call): boolean {
    return call.snapshots.every((id) => this.#read.has(id));
  }

  /** The service is there, though it gave nothing: it throttled. */
  heard(): void {
    this.#hasAnswered = true;
  }

  /** The service gave what was asked for. */
  answered(call: Call): void {
    this.#hasAnswered = true;
    for (const snapshot of call.snapshots) this.#read.add(snapshot);
    if (call.action === "GetSnapshotBlock") this.#blocksRead++;
    this.#answeredMs = this.#options.clock.monotonicMs();
    if (this.#troubleSinceMs === undefined) return;
    const waitedMs = Math.round(this.#answeredMs - this.#troubleSinceMs);
    this.#troubleSinceMs = undefined;
    if (this.#toldMs === undefined) return;
    this.#toldMs = undefined;
    this.#options.onEvent({ type: "recovered", waitedMs });
  }

  /** Notes a failure of the service or the network. Throws `source` where patience is at its end. */
  check(verdict: Verdict, call: Call, struggle: Struggle): void {
    const { clock, firstAnswerWithinMs, endpoint } = this.#options;
    const nowMs = clock.monotonicMs();
    const forMs = this.#troubleForMs(struggle.sentMs);
    // Nobody's certificate becomes trusted by asking again; in mid-run it may be a hotel's login page.
    const isUntrusted = verdict.kind === "retry" && verdict.from === "certificate" && !this.#hasAnswered &&
      struggle.failures >= 2;
    // Some servers answer 500 for a snapshot that they do not know: it must not be asked for a day.
    const serviceForMs = struggle.serviceSinceMs === undefined ? 0 : nowMs - struggle.serviceSinceMs;
    const isUnknown = serviceForMs >= 10 * firstAnswerWithinMs && !this.hasRead(call);
    if (forMs >= this.#limitMs || isUntrusted || isUnknown) {
      throw this.#givenUp(verdict, call, { ...struggle, forMs: Math.max(forMs, serviceForMs) });
    }
    if (forMs >= WAITING_EVERY_MS) this.#tell(`${endpoint} to answer (${verdict.reason})`, forMs);
  }

  /** Notes that somebody has to act, and says so. False where patience is at its end. */
  mayWaitFor(what: string): boolean {
    const forMs = this.#troubleForMs(this.#options.clock.monotonicMs());
    if (forMs >= this.#limitMs) return false;
    this.#tell(what, forMs);
    return true;
  }

  get #limitMs(): number {
    const { giveUpAfterMs, firstAnswerWithinMs } = this.#options;
    return this.#hasAnswered ? giveUpAfterMs : Math.min(giveUpAfterMs, firstAnswerWithinMs);
  }

  /** A request that stalled was in trouble from the time when it was sent, or when another one was answered last. */
  #troubleForMs(sentMs: number): number {
    const nowMs = this.#options.clock.monotonicMs();
    // A host that slept, or a process that was stopped, did not try: that is no patience spent.
    const idleMs = Math.max(0, nowMs - this.#lookedMs - MAX_GAP_MS);
    if (this.#troubleSinceMs !== undefined) this.#troubleSinceMs += idleMs;
    this.#lookedMs = nowMs;
    this.#troubleSinceMs ??= Math.max(sentMs, this.#answeredMs, nowMs - MAX_GAP_MS);
    return nowMs - this.#troubleSinceMs;
  }

  #tell(waitingFor: string, forMs: number): void {
    const { clock, onEvent } = this.#options;
    const nowMs = clock.monotonicMs();
    if (nowMs - (this.#toldMs ?? -Infinity) < WAITING_EVERY_MS) return;
    this.#toldMs = nowMs;
    onEvent({ type: "waiting", waitingFor, sinceMs: Math.round(clock.nowMs() - forMs) });
  }

  #givenUp(verdict: Verdict, call: Call, struggle: Struggle & { readonly forMs: number }): OperatorError {
    const { endpoint, region } = this.#options;
    return new OperatorError(
      "source",
      `Cannot ${call.what}: ${verdict.reason}, after ${struggle.attempts} attempts ` +
        `and ${formatDuration(struggle.forMs)} without an answer of ${endpoint}`,
      {
        hints: this.#hasAnswered ? [] : firstAnswerHints(verdict, region),
        facts: {
          reason: this.#hasAnswered ? "GAVE_UP" : "NO_ANSWER",
          attempts: struggle.attempts,
          waitedMs: Math.round(struggle.forMs),
          requestId: struggle.requestIds[0] ?? null,
        },
      },
    );
  }
}

function firstAnswerHints(verdict: Verdict, region: string): string[] {
  if (verdict.kind === "retry" && verdict.from === "certificate") {
    return ["Where a proxy inspects TLS, name its certificate authority in AWS_CA_BUNDLE."];
  }
  const unknown = verdict.kind === "retry" && verdict.from === "service"
    ? ["Check the snapshot's id: some servers answer so for one that they do not know."]
    : [];
  return [
    ...unknown,
    `Check the Region (${region}), the endpoint URL and the way out: HTTPS_PROXY, HTTP_PROXY, NO_PROXY.`,
  ];
}
