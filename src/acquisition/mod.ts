/**
 * The acquisition loop: from a `BlockSource` to a store. List, compare with what is held, fetch what is
 * missing, hand each checked block to the store, commit. It reads the same for a new, a resumed and an
 * incremental acquisition, and it retries nothing: that is the source's business.
 */
import { OperatorError } from "../errors.ts";
import { MAX_BLOCKS } from "../model.ts";
import { remainingRequests } from "../plan.ts";
import type { Acquisition, CommittedExhibit } from "../store/mod.ts";
import { type BegunAcquisition, findJournal, openAcquisition, refuseOtherJournal } from "./_begin.ts";
import { countSteps, type Remaining, walkInput, walkUntilHeld } from "./_count.ts";
import { noteDescription } from "./_description.ts";
import type { AcquireInput } from "./_input.ts";
import { blocksUnderWay, forEachConcurrently } from "./_pool.ts";
import { refuseLongFacts } from "./_record.ts";
import { beginRecord, inSession, whileTicking } from "./_session.ts";
import { type Step, walk } from "./_walk.ts";

export type { AcquireInput, AcquireProgress, PreparedFacts } from "./_input.ts";
export { refuseOtherJournal } from "./_begin.ts";
export type { ParentWish } from "./_parent.ts";
export { refuseLongFacts } from "./_record.ts";
export { Spending } from "./_spending.ts";
export { compareWithSource, comparisonRequests, type SourceComparison } from "./_compare.ts";
export { importFolder, type ImportInput, type ImportPrepared } from "./_import.ts";
export { refetchBlocks, type RefetchInput } from "./_refetch.ts";
export { planSnapshot, type SnapshotPlan } from "./_plan.ts";

/** An acquisition that is ready to fetch. */
type Prepared = BegunAcquisition & Remaining;

/**
 * Acquires one snapshot: new, or from where the last session stopped. Gives the committed exhibit's id.
 *
 * Whatever it throws, what was recorded stays and the same call goes on from there: `source`, `access`,
 * `budget`, `storage`, `interrupted`, `usage` where a journal is of something else, `not_found`.
 */
export async function acquireSnapshot(input: AcquireInput): Promise<CommittedExhibit> {
  refuseLongFacts(input.commitFacts.case);
  await refuseOtherJournal(input);
  const baseline = beginRecord(input);
  const caller = await input.source.callerIdentity({ signal: input.signal });
  const { acquisition, described } = await openAcquisition(input);
  return await inSession(input, { acquisition, caller, baseline }, async () => {
    await noteDescription(acquisition, described);
    const prepared = { acquisition, described, ...await countSteps(input, acquisition) };
    announce(input, prepared);
    await fetchBlocks(input, prepared);
    // Those of earlier sessions count too, even where all the rest could be read.
    refuseTooManyUnreadable(input, acquisition);
    return await acquisition.commit({
      ...input.commitFacts,
      descriptionResult: described.answer.result,
      isPartial: false,
      rest: "absent",
    });
  });
}

/**
 * Commits what an interrupted acquisition holds. Listed blocks that it does not hold become unreadable, not
 * acquired; where the service no longer lists the snapshot, every block that is not recorded does.
 */
export async function commitPartial(input: AcquireInput): Promise<CommittedExhibit> {
  refuseLongFacts(input.commitFacts.case);
  await refuseOtherJournal(input);
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
  const baseline = beginRecord(input);
  const acquisition = await input.store.resume(head);
  return await inSession(input, { acquisition, caller: undefined, baseline }, async () => {
    const isListed = await markRest(input, acquisition);
    return await acquisition.commit({
      ...input.commitFacts,
      descriptionResult: "not_asked",
      isPartial: true,
      rest: isListed ? "absent" : "not_acquired",
    });
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
    const isOver = input.spending.askForBlock(acquisition.shape.blockSizeBytes);
    const request = { snapshot: input.snapshot, block: step.block, shape: acquisition.shape };
    const block = await input.source.getBlock(request, { signal }).finally(isOver);
    if (block.kind === "verified") await acquisition.put(step.block.index, block);
    else {
      await acquisition.putUnreadable(step.block.index, block);
      refuseTooManyUnreadable(input, acquisition);
    }
    fetchedBlocks++;
    input.onProgress?.({ fetchedBlocks, totalBlocks, unreadableBlocks: acquisition.unreadableBlocks });
  };
  const wanted = Math.min(input.source.maxConcurrency, input.concurrency ?? MAX_BLOCKS);
  const limit = blocksUnderWay(wanted, acquisition.shape);
  await whileTicking(input, acquisition, (signal) =>
    walkUntilHeld(acquisition, async () => {
      const differencesOnly = acquisition.parent !== undefined && !prepared.needsListing;
      // A listing may wait for hours on a link that is down: what ends the blocks ends it too.
      const failing = new AbortController();
      const ending = AbortSignal.any([signal, failing.signal]);
      const fetching = walk({ ...walkInput(input, acquisition, differencesOnly), signal: ending });
      await forEachConcurrently(fetching.steps(), { limit, signal }, (step, stepSignal) =>
        work(step, stepSignal).catch((error) => {
          failing.abort(error);
          throw error;
        }));
      // Tokens came from a second listing: it must be the one that was counted.
      if (!differencesOnly) {
        await acquisition.noteListing(fetching.listing());
      }
    }));
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
