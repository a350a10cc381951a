/**
 * One session of an acquisition: its counts, its end whatever ends it, and the tick that keeps a pack from
 * staying open on a slow link.
 */
import { OperatorError } from "../errors.ts";
import type { BlockSource, CallerIdentity } from "../model.ts";
import type { Acquisition, CommittedExhibit, SourceSideCounts } from "../store/mod.ts";
import { formatTime } from "../units.ts";
import type { AcquireInput } from "./_input.ts";
import { fittingCommandLine } from "./_record.ts";

/** How often a slow acquisition looks whether its pack is due. */
const TICK_MS = 1000;

/** When a session began, and the source's counts then. */
export interface Baseline {
  readonly startedAt: string;
  readonly counts: ReturnType<BlockSource["counts"]>;
}

/**
 * To be called before the first request for the snapshot: the look-up before there is a journal belongs to the
 * session that it leads to, and requests for other snapshots of the same command don't.
 */
export function beginRecord(input: AcquireInput): Baseline {
  const startedAt = formatTime(input.clock.nowMs());
  input.beginSession?.();
  input.source.forgetRequestIds();
  return { startedAt, counts: input.source.counts() };
}

/** What a session needs to know of what it works for; an import spends nothing. */
export type SessionInput =
  & Pick<AcquireInput, "clock" | "signal" | "session" | "credentialChanges" | "takeEvents" | "eventsLeftOut">
  & {
    readonly source: Pick<BlockSource, "counts">;
    readonly spending: Pick<AcquireInput["spending"], "addBefore"> | undefined;
  };

/** Runs the steps of a session; an error ends the session, with what was put made durable, and is thrown. */
export async function inSession(
  input: SessionInput,
  work: {
    readonly acquisition: Acquisition;
    readonly caller: CallerIdentity | undefined;
    readonly baseline: Baseline;
  },
  steps: () => Promise<CommittedExhibit>,
): Promise<CommittedExhibit> {
  const { acquisition, caller, baseline } = work;
  try {
    const session = {
      ...input.session,
      callerAccount: caller?.account ?? null,
      callerArn: caller?.arn ?? null,
      callerUserId: caller?.userId ?? null,
      commandLine: fittingCommandLine(input.session.commandLine),
      startedAt: baseline.startedAt,
    };
    input.spending?.addBefore(acquisition.before);
    await acquisition.startSession(session, {
      counts: () => countsSince(input, baseline.counts),
      takeEvents: () => input.takeEvents(),
    });
    return await steps();
  } catch (error) {
    await acquisition.endSession(error instanceof OperatorError ? error.code : "internal").catch(
      (ending: unknown) => {
        // The disk refuses to take more: that is the graver of the two, unless it is what ended the session.
        if (error instanceof OperatorError && error.code !== "storage") throw ending;
      },
    );
    throw error;
  }
}

function countsSince(input: SessionInput, start: Baseline["counts"]): SourceSideCounts {
  const now = input.source.counts();
  return {
    clockSkewMs: now.clockSkewMs === undefined ? null : Math.round(now.clockSkewMs),
    credentialChanges: input.credentialChanges(),
    eventsLeftOut: input.eventsLeftOut(),
    firstRequestId: now.firstRequestId ?? null,
    getRequests: now.getRequests - start.getRequests,
    lastRequestId: now.lastRequestId ?? null,
    listRequests: now.listRequests - start.listRequests,
    otherRequests: now.otherRequests - start.otherRequests,
    receivedBytes: now.receivedBytes - start.receivedBytes,
    retries: now.retries - start.retries,
    throttles: now.throttles - start.throttles,
  };
}

/** Runs `action`; once a second the open pack is closed if it is due. A failure there ends the action too. */
export async function whileTicking(
  input: Pick<SessionInput, "clock" | "signal">,
  acquisition: Acquisition,
  action: (signal: AbortSignal) => Promise<void>,
): Promise<void> {
  const done = new AbortController();
  const failing = new AbortController();
  const ticking = (async () => {
    while (!done.signal.aborted) {
      await input.clock.sleep(TICK_MS, done.signal);
      await acquisition.flushIfDue();
    }
  })().catch((error: unknown) => {
    if (!done.signal.aborted) failing.abort(error);
  });
  try {
    await action(AbortSignal.any([input.signal, failing.signal]));
  } finally {
    done.abort();
    await ticking;
    failing.signal.throwIfAborted();
  }
}
