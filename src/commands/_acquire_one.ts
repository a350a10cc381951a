/**
 * One of the snapshots that `acquire` was asked for: held already, or acquired with its progress, and how it ended. What
 * fails for it alone is told and leaves the others to go on. The loop itself is in acquisition/.
 */
import type { AwsSource } from "../aws/source.ts";
import { type AcquireInput, acquireSnapshot, commitPartial } from "../acquisition/mod.ts";
import type { CommandContext } from "../cli/mod.ts";
import { OperatorError } from "../errors.ts";
import type { ExhibitId, SnapshotId } from "../model.ts";
import type { CommittedExhibit, Exhibit, OuterExhibit } from "../store/mod.ts";
import { announce, showExhibit } from "./_acquire_shown.ts";
import type { SourceWatch } from "./_aws.ts";
import { otherFactsNotes } from "./_corrections.ts";
import type { CustodyNote } from "./_custody.ts";
import { exitCodeOf, NOT_OPENED, outerEvent, outerText, statusOf } from "./_exhibits.ts";

export interface Surroundings {
  readonly context: CommandContext;
  readonly source: AwsSource;
  readonly watch: SourceWatch;
  readonly note: CustodyNote;
  readonly number: { readonly number: number; readonly count: number };
  /** Commit what is held. */
  readonly isPartial: boolean;
  /** A pending snapshot is waited for. */
  readonly mayWait: boolean;
}

/** How it ended for one of the snapshots. */
export interface Ended {
  readonly exitCode: number;
  /** What the store holds of it now, where that is anything. */
  readonly exhibit?: ExhibitId;
  /** In a few words. */
  readonly state: string;
}

/** Acquires one of the snapshots. What ends only this one is told, and how it ended given. */
export async function acquireOne(input: AcquireInput, surroundings: Surroundings): Promise<Ended> {
  const { out } = surroundings.context;
  try {
    const closed = await finishedUnopened(input);
    if (closed && (!surroundings.isPartial || input.set !== undefined)) {
      out.note(`${input.snapshot}: held already as ${closed.id}, encrypted and not opened; nothing to do`);
      out.note("if that was imported and not acquired, --fresh acquires it");
      surroundings.note.about(closed);
      out.result(outerText(closed));
      out.event({ type: "summary", ...outerEvent(closed) });
      return { exitCode: 0, exhibit: closed.id, state: NOT_OPENED };
    }
    const held = closed ? undefined : await finishedExhibit(input);
    // Of a set the others are to be committed: what is whole stays as it is.
    if (held && (!surroundings.isPartial || input.set !== undefined)) {
      out.note(`${input.snapshot}: held already as ${held.id}, ${statusOf(held.manifest)}; nothing to do`);
      for (const text of otherFactsNotes(held, input.commitFacts.case)) out.warn(text);
      surroundings.note.about(held);
      showExhibit(out, held);
      return endOf(out, held);
    }
    const mustWait = surroundings.mayWait && !surroundings.isPartial && !await isBegun(input);
    if (mustWait) await waitFor(input.snapshot, surroundings);
    const exhibit = await acquireShown(input, surroundings);
    surroundings.note.about(exhibit);
    showExhibit(out, exhibit);
    return endOf(out, exhibit);
  } catch (error) {
    if (!(error instanceof OperatorError)) throw error;
    const told = withResumeHint(error, input.snapshot);
    if (ENDS_ALL.has(error.code)) throw told;
    out.error(told);
    return { exitCode: told.exitCode, state: `not acquired (${error.code}, exit ${told.exitCode})` };
  }
}

/** What is held now, and how to get what it lacks. */
function endOf(out: CommandContext["out"], { id, manifest }: Pick<Exhibit, "id" | "manifest">): Ended {
  const exitCode = exitCodeOf(manifest);
  if (exitCode !== 0) {
    out.hint("Run the same command with --retry-unreadable to read the unreadable blocks again.");
  }
  return { exitCode, exhibit: id, state: statusOf(manifest) };
}

/** Errors after which the other snapshots of the command are not tried. */
const ENDS_ALL: ReadonlySet<string> = new Set(["interrupted", "budget", "usage", "storage", "internal"]);

/** The same of a store that nothing was given to open with. */
async function finishedUnopened(input: AcquireInput): Promise<OuterExhibit | undefined> {
  if (input.store.isReadable || input.fresh || input.retryUnreadable || await isBegun(input)) {
    return undefined;
  }
  return await input.store.newestOuterOf(input.snapshot);
}

async function isBegun({ store, snapshot }: AcquireInput): Promise<boolean> {
  return (await store.journals()).some(({ source }) =>
    source.snapshot === snapshot && source.kind === "aws-ebs"
  );
}

/** The exhibit that leaves nothing to do: complete, or incomplete and not to be retried. */
async function finishedExhibit(input: AcquireInput): Promise<Exhibit | undefined> {
  if (input.fresh || !input.store.isReadable || await isBegun(input)) return undefined;
  const held = await input.store.newestOf(input.snapshot);
  return held && input.retryUnreadable && exitCodeOf(held.manifest) !== 0 ? undefined : held;
}

/** Waits until a pending snapshot is completed, as long as the source's patience lasts. */
async function waitFor(
  snapshot: SnapshotId,
  { context, source, watch, number }: Surroundings,
): Promise<void> {
  const { out, signal } = context;
  const progress = out.progress({
    label: `wait ${snapshot}`,
    unit: "percent",
    done: 0,
    total: 100,
    ...number,
  });
  watch.showIn(progress);
  let isTold = false;
  try {
    await source.awaitCompleted(snapshot, {
      signal,
      onPending(percent) {
        if (!isTold) out.note(`${snapshot} is pending: waiting until it is completed`);
        isTold = true;
        progress.update({ done: percent ?? 0, waitingFor: "EC2 to complete it" });
      },
    });
  } finally {
    progress.end();
  }
}

/** Acquires with progress on stderr. */
async function acquireShown(
  input: AcquireInput,
  { context, watch, number, isPartial }: Surroundings,
): Promise<CommittedExhibit> {
  const { out } = context;
  const { snapshot, source, spending } = input;
  const start = source.counts();
  let blockSizeBytes = 0;
  let progress = out.progress({ label: `count ${snapshot}`, unit: "blocks", done: 0, ...number });
  watch.showIn(progress);
  try {
    return await (isPartial ? commitPartial : acquireSnapshot)({
      ...input,
      onCounting: ({ throughBlock, blockCount }) => {
        if (blockSizeBytes === 0) progress.update({ done: throughBlock, total: blockCount });
      },
      onPrepared(facts) {
        progress.end();
        blockSizeBytes = facts.shape.blockSizeBytes;
        announce(context, input, facts);
        const total = facts.tally.fetchBlocks * blockSizeBytes;
        progress = out.progress({ label: `acquire ${snapshot}`, unit: "bytes", done: 0, total, ...number });
        watch.showIn(progress);
      },
      onProgress({ fetchedBlocks }) {
        const { retries, throttles } = source.counts();
        progress.update({
          done: fetchedBlocks * blockSizeBytes,
          costUsd: spending.spent().totalUsd,
          retries: retries - start.retries,
          throttles: throttles - start.throttles,
        });
      },
    });
  } finally {
    progress.end();
  }
}

/** Errors that the same command gets over when it is run again say so. */
function withResumeHint(error: OperatorError, snapshot: SnapshotId): OperatorError {
  const isResumable = ["access", "source", "storage", "interrupted"].includes(error.code) &&
    error.facts["reason"] !== "SNAPSHOT_STATE";
  if (!isResumable) return error;
  const message = error.code === "interrupted" ? `Interrupted while acquiring "${snapshot}"` : error.message;
  const isGone = error.facts["reason"] === "SNAPSHOT_GONE";
  const again = "What was recorded is saved: run the same command again to go on.";
  const partial =
    "Where it does not come back, the same command with --commit-partial makes an exhibit of what is held, plainly marked.";
  const isSaid = error.hints.some((hint) => hint.includes("the same command again"));
  const hints = [...error.hints, ...(isSaid ? [] : [again]), ...(isGone ? [partial] : [])];
  return new OperatorError(error.code, message, { hints, facts: error.facts, cause: error.cause });
}
