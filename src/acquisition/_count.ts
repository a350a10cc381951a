/**
 * The walks of an acquisition: with what its journal holds, and again without its parent where that turns
 * out to be of no use. The first walk only counts, so that what remains and its price are known before the
 * first block is asked for.
 */
import { OperatorError } from "../errors.ts";
import type { Tally } from "../plan.ts";
import type { Acquisition } from "../store/mod.ts";
import type { AcquireInput } from "./_input.ts";
import { ParentMismatch, walk, type WalkInput } from "./_walk.ts";

/** What remains to be done. */
export interface Remaining {
  readonly tally: Tally;
  /** False: the listing asks for nothing beyond the differences to the parent. */
  readonly needsListing: boolean;
}

export function walkInput(
  input: AcquireInput,
  acquisition: Acquisition,
  differencesOnly: boolean,
): WalkInput {
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

/** Whether a walk ended because of its parent: the service disagrees with it, or it is damaged. */
export function isParentsFault(error: unknown): error is Error {
  return error instanceof ParentMismatch ||
    (error instanceof OperatorError && (error.code === "integrity" || error.code === "format"));
}

/** Walks with `take`; a parent that turns out to be of no use is dropped, and the walk begins anew without it. */
export async function walkUntilHeld<T>(acquisition: Acquisition, take: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await take();
    } catch (error) {
      if (acquisition.parent === undefined || !isParentsFault(error)) throw error;
      await acquisition.dropParent(`${acquisition.parent.id}: ${error.message}`);
    }
  }
}

/** Learns what remains, before the first block is asked for. */
export function countSteps(
  input: AcquireInput,
  acquisition: Acquisition,
): Promise<Remaining> {
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
