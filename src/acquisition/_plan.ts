/**
 * A plan: the same walk as an acquisition, and nothing written. One canary block proves that blocks can be
 * read (GetSnapshotBlock and, for an encrypted snapshot, kms:Decrypt) and how long one takes.
 */
import { OperatorError } from "../errors.ts";
import type {
  BlockSource,
  Clock,
  ListedBlock,
  SnapshotDescription,
  SnapshotId,
  UnreadableBlock,
  VolumeShape,
} from "../model.ts";
import type { Tally } from "../plan.ts";
import type { Exhibit, JournalHead, Store } from "../store/mod.ts";
import { findJournal, refuseOtherJournal, refuseUnreadableState } from "./_begin.ts";
import { isParentsFault } from "./_count.ts";
import { chooseParent, type ParentChoice, type ParentWish, whyNotParent } from "./_parent.ts";
import { walk } from "./_walk.ts";

export interface PlanInput {
  readonly source: BlockSource;
  readonly snapshot: SnapshotId;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** `undefined`: there is no store yet. */
  readonly store: Store | undefined;
  readonly parent: ParentWish;
  readonly withCanary: boolean;
  onCounting?(done: { readonly throughBlock: number; readonly blockCount: number }): void;
}

export interface SnapshotPlan {
  readonly snapshot: SnapshotId;
  readonly shape: VolumeShape;
  readonly description: SnapshotDescription | undefined;
  readonly tally: Tally;
  readonly parent: Exhibit | undefined;
  readonly parentDropped: string | undefined;
  /** The acquisition that acquire would take up. */
  readonly journal: JournalHead | undefined;
  /** `undefined`: not asked for, or there is no block to read. */
  readonly canary: {
    readonly blockIndex: number;
    readonly blockMs: number;
    readonly failure: UnreadableBlock | undefined;
  } | undefined;
}

/** Throws as `acquireSnapshot` does, `access` where the canary is refused. */
export async function planSnapshot(input: PlanInput): Promise<SnapshotPlan> {
  const { source, snapshot, store, signal } = input;
  if (store) await refuseOtherJournal({ store, source, snapshot, parent: input.parent, fresh: false });
  const { description } = await source.describe(snapshot, { signal });
  refuseUnreadableState(snapshot, description);
  const first = await firstPage(input);
  const { shape } = first;
  const journal = store && await findJournal({ store, snapshot });
  const view = journal && store?.view(journal);
  try {
    let { parent, dropped } = view?.parentDropped !== undefined
      ? { parent: undefined, dropped: view.parentDropped }
      : await parentToPlan({ ...input, description, shape }, journal);
    for (;;) {
      const counting = walk({
        source,
        snapshot,
        shape,
        parent,
        recorded: (index) => view?.recorded(index),
        retryUnreadable: false,
        differencesOnly: false,
        signal,
        onPage: ({ throughBlock }) => input.onCounting?.({ throughBlock, blockCount: shape.blockCount }),
      });
      try {
        let firstFetch: ListedBlock | undefined;
        for await (const step of counting.steps()) if (step.type === "fetch") firstFetch ??= step.block;
        const block = firstFetch ?? first.block;
        const canary = input.withCanary && block ? await readCanary(input, shape, block) : undefined;
        return {
          snapshot,
          shape,
          description,
          tally: counting.tally,
          parent,
          parentDropped: dropped,
          journal,
          canary,
        };
      } catch (error) {
        if (parent === undefined || !isParentsFault(error)) throw error;
        dropped = `${parent.id}: ${error.message}`;
        parent = undefined;
      }
    }
  } finally {
    view?.close();
  }
}

/** As the acquisition that is under way has it or, without one, as a new one would. */
async function parentToPlan(
  { store, source, snapshot, shape, description, parent: wish, signal }: PlanInput & {
    readonly description: SnapshotDescription | undefined;
    readonly shape: VolumeShape;
  },
  journal: JournalHead | undefined,
): Promise<ParentChoice> {
  if (!store) return { parent: undefined, dropped: undefined };
  if (!journal) return await chooseParent({ store, source, snapshot, shape, description, wish, signal });
  const { parent, fault } = await store.parentOf(journal);
  const dropped = parent ? await whyNotParent({ store, source, shape }, parent) : undefined;
  return parent && dropped !== undefined
    ? { parent: undefined, dropped: `${parent.id}: ${dropped}` }
    : { parent, dropped: fault };
}

async function firstPage({ source, snapshot, signal }: PlanInput) {
  let shape: VolumeShape | undefined;
  for await (const page of source.listBlocks(snapshot, { signal })) {
    shape = page.shape;
    if (page.blocks.length > 0) return { shape, block: page.blocks[0] };
  }
  if (!shape) {
    throw new OperatorError("source", `Cannot list blocks of "${snapshot}": the service gave no page`);
  }
  return { shape, block: undefined };
}

async function readCanary(
  { source, snapshot, clock, signal }: PlanInput,
  shape: VolumeShape,
  block: ListedBlock,
) {
  const start = clock.monotonicMs();
  const answer = await source.getBlock({ snapshot, block, shape }, { signal });
  const blockMs = clock.monotonicMs() - start;
  return { blockIndex: block.index, blockMs, failure: answer.kind === "unreadable" ? answer : undefined };
}
