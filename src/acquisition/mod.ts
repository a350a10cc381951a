/**
 * The acquisition loop: from a `BlockSource` to a store. List, compare with what is held, fetch what is
 * missing, hand each checked block to the store, commit. It reads the same for a new, a resumed and an
 * incremental acquisition, and it retries nothing: that is the source's business.
 */
import { OperatorError } from "../errors.ts";
import type { SessionStart } from "../format/documents.ts";
import {
  type BlockSource,
  type Clock,
  type ExhibitId,
  MAX_BLOCKS,
  type SnapshotDescription,
  type SnapshotId,
  type VolumeShape,
} from "../model.ts";
import { type Cost, remainingRequests, type Tally } from "../plan.ts";
import type {
  Acquisition,
  CommitFacts,
  Exhibit,
  JournalHead,
  SourceSideCounts,
  Store,
} from "../store/mod.ts";
import { formatTime, MIB } from "../units.ts";
import { chooseParent, type ParentWish } from "./_parent.ts";
import { forEachConcurrently } from "./_pool.ts";
import type { Spending } from "./_spending.ts";
import { ParentMismatch, type Step, walk, type WalkInput } from "./_walk.ts";

export type { ParentWish } from "./_parent.ts";
export { Spending } from "./_spending.ts";
export { compareWithSource, comparisonRequests, type SourceComparison } from "./_compare.ts";
export { planSnapshot, type SnapshotPlan } from "./_plan.ts";

/** Bytes of blocks under way at the most. */
const MAX_BYTES_UNDER_WAY = 64 * MIB;
/** How often a slow acquisition looks whether its pack is due. */
const TICK_MS = 1000;

export interface AcquireInput {
  readonly store: Store;
  readonly source: BlockSource;
  readonly snapshot: SnapshotId;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** `undefined`: not said; as the journal has it, or found by itself. */
  readonly parent: ParentWish | undefined;
  readonly fresh: boolean;
  readonly retryUnreadable: boolean;
  readonly maxUnreadable: number;
  readonly concurrency: number | undefined;
  readonly spending: Spending;
  readonly session: Omit<SessionStart, "callerArn" | "startedAt">;
  /** Everything that a commit needs beside what the acquisition finds out. */
  readonly commitFacts: Omit<CommitFacts, "description" | "snapshot" | "isPartial" | "rest">;
  /** Times that the credentials changed since the source was opened. */
  credentialChanges(): number;
  /** Told once, before the first block is asked for. */
  onPrepared?(facts: PreparedFacts): void;
  onCounting?(done: { readonly throughBlock: number; readonly blockCount: number }): void;
  onProgress?(done: AcquireProgress): void;
}

export interface PreparedFacts {
  readonly exhibit: ExhibitId;
  readonly isResumed: boolean;
  readonly shape: VolumeShape;
  readonly tally: Tally;
  readonly parent: Exhibit | undefined;
  /** Why a parent that was found is not built on. */
  readonly parentDropped: string | undefined;
  /** What the rest costs. */
  readonly remaining: Cost;
}

export interface AcquireProgress {
  readonly fetchedBlocks: number;
  readonly totalBlocks: number;
  readonly unreadableBlocks: number;
}

/** An acquisition that is ready to fetch. */
interface Prepared {
  readonly acquisition: Acquisition;
  readonly description: SnapshotDescription | undefined;
  readonly describedAt: string;
  readonly tally: Tally;
  /** False: the listing asks for nothing beyond the differences to the parent. */
  readonly needsListing: boolean;
}

/** The exhibit of a snapshot that is complete already, or complete but for blocks that were unreadable. */
export async function heldExhibit(store: Store, snapshot: SnapshotId): Promise<Exhibit | undefined> {
  return await store.newestOf(snapshot);
}

/**
 * Acquires one snapshot: new, or from where the last session stopped. Gives the committed exhibit's id.
 *
 * Whatever it throws, what was recorded stays and the same call goes on from there: `source`, `access`,
 * `budget`, `storage`, `interrupted`, `usage` where a journal is of something else, `not_found`.
 */
export async function acquireSnapshot(input: AcquireInput): Promise<ExhibitId> {
  const identity = await input.source.callerIdentity({ signal: input.signal });
  const { acquisition, ...rest } = await openAcquisition(input);
  return await inSession(input, { acquisition, callerArn: identity?.arn ?? null }, async () => {
    const prepared = { acquisition, ...rest, ...await countSteps(input, acquisition) };
    announce(input, prepared);
    await fetchBlocks(input, prepared);
    await acquisition.commit(commitFacts(input, prepared, { isPartial: false, rest: "absent" }));
  });
}

/**
 * Commits what an interrupted acquisition holds. Listed blocks that it does not hold become unreadable, not
 * acquired; where the service no longer lists the snapshot, every block that is not recorded does.
 */
export async function commitPartial(input: AcquireInput): Promise<ExhibitId> {
  const head = await findJournal(input);
  if (!head) {
    throw new OperatorError(
      "not_found",
      `Cannot commit "${input.snapshot}" partially: the store has no unfinished acquisition of it`,
      {
        hints: ["Run acquire without --commit-partial first."],
      },
    );
  }
  const acquisition = await input.store.resume(head);
  return await inSession(input, { acquisition, callerArn: null }, async () => {
    const isListed = await markRest(input, acquisition);
    await acquisition.commit(
      commitFacts(input, { description: undefined, describedAt: "" }, {
        isPartial: true,
        rest: isListed ? "absent" : "not_acquired",
      }),
    );
  });
}

/** Runs the steps of a session; an error ends the session, with what was put made durable, and is thrown. */
async function inSession(
  input: AcquireInput,
  work: { readonly acquisition: Acquisition; readonly callerArn: string | null },
  steps: () => Promise<void>,
): Promise<ExhibitId> {
  const { acquisition, callerArn } = work;
  try {
    const start = input.source.counts();
    const session = { ...input.session, callerArn, startedAt: formatTime(input.clock.nowMs()) };
    input.spending.addBefore(acquisition.before);
    await acquisition.startSession(session, () => countsSince(input, start));
    await steps();
    return acquisition.head.exhibit;
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

function countsSince(input: AcquireInput, start: ReturnType<BlockSource["counts"]>): SourceSideCounts {
  const now = input.source.counts();
  return {
    clockSkewMs: now.clockSkewMs === undefined ? null : Math.round(now.clockSkewMs),
    credentialChanges: input.credentialChanges(),
    firstRequestId: now.firstRequestId ?? null,
    getRequests: now.getRequests - start.getRequests,
    lastRequestId: now.lastRequestId ?? null,
    listRequests: now.listRequests - start.listRequests,
    receivedBytes: now.receivedBytes - start.receivedBytes,
    retries: now.retries - start.retries,
    throttles: now.throttles - start.throttles,
  };
}

async function findJournal(input: AcquireInput): Promise<JournalHead | undefined> {
  return (await input.store.journals()).findLast((head) => head.source.snapshot === input.snapshot);
}

/** Takes up the journal of the snapshot, or starts one. */
async function openAcquisition(
  input: AcquireInput,
): Promise<{ acquisition: Acquisition; description: SnapshotDescription | undefined; describedAt: string }> {
  const { source, store, snapshot } = input;
  const description = await source.describe(snapshot, { signal: input.signal });
  const describedAt = formatTime(input.clock.nowMs());
  refuseUnreadableState(snapshot, description);
  const head = await findJournal(input);
  if (head && !input.fresh) {
    refuseOtherCommand(input, head);
    return { acquisition: await store.resume(head), description, describedAt };
  }
  const shape = await firstShape(input);
  if (head) await store.abandon(head);
  const supersedes = await heldExhibit(store, snapshot);
  const wish = supersedes && input.retryUnreadable && !input.fresh ? supersedes : input.parent ?? "auto";
  const { parent, dropped } = await chooseParent({ store, source, shape, description, wish });
  const acquisition = await store.begin({
    source: {
      kind: "aws-ebs",
      endpoint: source.endpoint,
      isAws: source.isAws,
      region: source.region,
      snapshot,
    },
    shape,
    parent,
    supersedes: supersedes?.id,
  });
  if (dropped) await acquisition.dropParent(dropped);
  return { acquisition, description, describedAt };
}

/** Only a completed snapshot in the standard tier can be read. */
function refuseUnreadableState(snapshot: SnapshotId, description: SnapshotDescription | undefined): void {
  if (!description) return;
  const { state, storageTier } = description;
  if (state === "completed" && storageTier !== "archive") return;
  const [is, hint] = storageTier === "archive"
    ? [
      "in the archive tier",
      "Restore it to the standard tier first (aws ec2 restore-snapshot-tier), then run this again.",
    ]
    : state === "pending"
    ? ["pending", "Wait until it is completed, then run this again."]
    : [`in state "${state}"`, "Only a completed snapshot can be read; take another one."];
  throw new OperatorError("source", `Cannot acquire "${snapshot}": it is ${is}`, {
    hints: [hint],
    facts: { snapshot, reason: "SNAPSHOT_STATE" },
  });
}

/** A resumed acquisition must be of the same thing (design: resume). */
function refuseOtherCommand(input: AcquireInput, head: JournalHead): void {
  const { source, snapshot, parent } = input;
  const wanted = parent === undefined || parent === "auto"
    ? head.parent?.exhibit
    : parent === "none"
    ? undefined
    : parent.id;
  const differences: [string, string, string][] = [
    ["Region", head.source.region, source.region],
    ["endpoint", head.source.endpoint, source.endpoint],
    ["parent", head.parent?.exhibit ?? "none", wanted ?? "none"],
  ];
  const difference = differences.find(([, before, now]) => before !== now);
  if (!difference) return;
  const [what, before, now] = difference;
  throw new OperatorError(
    "usage",
    `Cannot resume "${snapshot}": it was begun with ${what} ${before}, this command has ${now}`,
    {
      hints: [`Run it with ${what} ${before}, or with --fresh to start anew.`],
      facts: { snapshot, exhibit: head.exhibit, what, before, now },
    },
  );
}

/** Shape of the volume, from the first page of its listing. */
async function firstShape(input: AcquireInput): Promise<VolumeShape> {
  for await (const page of input.source.listBlocks(input.snapshot, { signal: input.signal })) {
    return page.shape;
  }
  throw new OperatorError("source", `Cannot list blocks of "${input.snapshot}": the service gave no page`);
}

function walkInput(input: AcquireInput, acquisition: Acquisition, differencesOnly: boolean): WalkInput {
  return {
    source: input.source,
    snapshot: input.snapshot,
    shape: acquisition.shape,
    parent: acquisition.parent,
    recorded: (index) => acquisition.recorded(index),
    retryUnreadable: input.retryUnreadable,
    differencesOnly,
    signal: input.signal,
    onPage: ({ throughBlock }) =>
      input.onCounting?.({ throughBlock, blockCount: acquisition.shape.blockCount }),
  };
}

/** Walks with `take`; a parent that turns out to be of no use is dropped, and the walk begins anew without it. */
async function walkUntilHeld<T>(acquisition: Acquisition, take: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await take();
    } catch (error) {
      const isParentAtFault = acquisition.parent !== undefined && (error instanceof ParentMismatch ||
        (error instanceof OperatorError && (error.code === "integrity" || error.code === "format")));
      if (!isParentAtFault) throw error;
      await acquisition.dropParent(`${acquisition.parent?.id}: ${error.message}`);
    }
  }
}

/** Learns what remains, before the first block is asked for. */
function countSteps(
  input: AcquireInput,
  acquisition: Acquisition,
): Promise<{ readonly tally: Tally; readonly needsListing: boolean }> {
  return walkUntilHeld(acquisition, async () => {
    const counting = walk(walkInput(input, acquisition, false));
    for await (const _ of counting.steps()) { /* only counted */ }
    await acquisition.noteListing(counting.listing());
    return {
      tally: counting.tally,
      needsListing: acquisition.parent === undefined || counting.listedSteps > 0,
    };
  });
}

function announce(input: AcquireInput, { acquisition, tally }: Prepared): void {
  const remaining = remainingRequests(tally, acquisition.shape);
  input.onPrepared?.({
    exhibit: acquisition.head.exhibit,
    isResumed: acquisition.isResumed,
    shape: acquisition.shape,
    tally,
    parent: acquisition.parent,
    parentDropped: acquisition.parentDropped,
    remaining: input.spending.costOf(remaining),
  });
  input.spending.refuseBeyondBudget(remaining);
}

/** Fetches what is missing, many blocks at once, and keeps packs from staying open on a slow link. */
async function fetchBlocks(input: AcquireInput, prepared: Prepared): Promise<void> {
  const { acquisition, tally } = prepared;
  const totalBlocks = tally.fetchBlocks;
  let fetchedBlocks = 0;
  const work = async (step: Step, signal: AbortSignal) => {
    if (step.type === "absent") return await acquisition.putAbsent(step.index);
    input.spending.askForBlock(acquisition.shape.blockSizeBytes);
    const request = { snapshot: input.snapshot, block: step.block, shape: acquisition.shape };
    const block = await input.source.getBlock(request, { signal });
    if (block.kind === "verified") await acquisition.put(step.block.index, block);
    else {
      await acquisition.putUnreadable(step.block.index, block);
      refuseTooManyUnreadable(input, acquisition);
    }
    fetchedBlocks++;
    input.onProgress?.({ fetchedBlocks, totalBlocks, unreadableBlocks: acquisition.unreadableBlocks });
  };
  const perBlock = Math.max(1, Math.floor(MAX_BYTES_UNDER_WAY / acquisition.shape.blockSizeBytes));
  const limit = Math.min(input.source.maxConcurrency, input.concurrency ?? MAX_BLOCKS, perBlock);
  await whileTicking(input, acquisition, (signal) =>
    walkUntilHeld(acquisition, () => {
      const differencesOnly = acquisition.parent !== undefined && !prepared.needsListing;
      const { steps } = walk(walkInput(input, acquisition, differencesOnly));
      return forEachConcurrently(steps(), { limit, signal }, work);
    }));
}

/** Runs `action`; once a second the open pack is closed if it is due. A failure there ends the action too. */
async function whileTicking(
  input: AcquireInput,
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

function refuseTooManyUnreadable(input: AcquireInput, acquisition: Acquisition): void {
  if (acquisition.unreadableBlocks <= input.maxUnreadable) return;
  throw new OperatorError(
    "source",
    `Cannot go on with "${input.snapshot}": ${acquisition.unreadableBlocks} blocks are unreadable, --max-unreadable allows ${input.maxUnreadable}`,
    {
      facts: {
        snapshot: input.snapshot,
        reason: "TOO_MANY_UNREADABLE",
        unreadableBlocks: acquisition.unreadableBlocks,
      },
      hints: [
        "Nothing that was recorded is lost. Run it with --retry-unreadable to try those again,",
        "with a higher --max-unreadable, or with --commit-partial to commit what is held.",
      ],
    },
  );
}

/** Marks every listed block that is not held. Gives false where the service cannot list the snapshot any more. */
async function markRest(input: AcquireInput, acquisition: Acquisition): Promise<boolean> {
  try {
    await walkUntilHeld(acquisition, async () => {
      for await (const step of walk(walkInput(input, acquisition, false)).steps()) {
        if (step.type === "absent") await acquisition.putAbsent(step.index);
        else await acquisition.putNotAcquired(step.block.index);
      }
    });
    return true;
  } catch (error) {
    const isSourceGone = error instanceof OperatorError &&
      ["source", "not_found", "access"].includes(error.code);
    if (!isSourceGone) throw error;
    if (acquisition.parent) {
      await acquisition.dropParent(`the snapshot could not be listed: ${error.message}`);
    }
    return false;
  }
}

function commitFacts(
  input: AcquireInput,
  known: Pick<Prepared, "description" | "describedAt">,
  how: Pick<CommitFacts, "isPartial" | "rest">,
): CommitFacts {
  const { description } = known;
  const utc = (time: string | undefined) => time === undefined ? null : new Date(time).toISOString();
  return {
    ...input.commitFacts,
    ...how,
    description: description && { answer: description.verbatim, receivedAt: known.describedAt },
    snapshot: {
      completedAt: utc(description?.completedAt),
      description: description?.description?.slice(0, 1024) ?? null,
      encrypted: description?.encrypted ?? null,
      kmsKeyId: description?.kmsKeyId ?? null,
      ownerAccount: description?.ownerAccount ?? null,
      startedAt: utc(description?.startedAt),
      storageTier: description?.storageTier ?? null,
      volumeId: description?.volumeId ?? null,
    },
  };
}
