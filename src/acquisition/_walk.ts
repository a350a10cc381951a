/**
 * Walks the service's listings and says of each block what is to be done: the same walk for a plan, for an
 * acquisition and for its resumption. One page of tokens is in memory; two bits a block where there is a
 * parent. Fetches nothing.
 *
 * With a parent, the blocks that differ come from ListChangedBlocks, and the listing of the new snapshot must
 * be exactly what parent and differences add up to (design: incremental).
 */
import { OperatorError } from "../errors.ts";
import { Sha256 } from "../format/digests.ts";
import type { SegmentBlock } from "../format/segment.ts";
import {
  type BlockSource,
  type Digest,
  type ListedBlock,
  SEGMENT_BLOCKS,
  type SnapshotId,
  type VolumeShape,
} from "../model.ts";
import type { Tally } from "../plan.ts";
import type { Exhibit } from "../store/mod.ts";
import { BlockSet } from "./_bitmap.ts";

/** What is to be done with a block. Blocks that need nothing are only counted. */
export type Step =
  | { readonly type: "fetch"; readonly block: ListedBlock }
  /** The parent has it, the snapshot does not. */
  | { readonly type: "absent"; readonly index: number };

export interface WalkInput {
  readonly source: BlockSource;
  readonly snapshot: SnapshotId;
  readonly shape: VolumeShape;
  readonly parent: Exhibit | undefined;
  /** What an earlier session recorded of a block. Asked in ascending order, twice with a parent. */
  recorded(index: number): SegmentBlock | undefined;
  /** Fetch blocks again that were recorded as unreadable. */
  readonly retryUnreadable: boolean;
  /** Take the differences only: an earlier walk has shown that the listing asks for nothing more. */
  readonly differencesOnly: boolean;
  readonly signal: AbortSignal;
  onPage?(done: { readonly throughBlock: number }): void;
}

/** The parent and the service's statements do not fit together: nothing may be taken over. */
export class ParentMismatch extends Error {
  override readonly name = "ParentMismatch";
}

export interface Walk {
  /** Grows while `steps` are taken. */
  readonly tally: Tally;
  /** Steps that came from the listing, not from the differences to a parent. */
  readonly listedSteps: number;
  /** Throws `ParentMismatch` where the parent is of no use; whatever was fetched before stays valid. */
  steps(): AsyncIterable<Step>;
  /** The listing that was read to its end, once `steps` are all taken. */
  listing(): { readonly blocks: number; readonly digest: Digest };
}

export function walk(input: WalkInput): Walk {
  const tally: Tally = {
    fetchBlocks: 0,
    heldBlocks: 0,
    takenOverBlocks: 0,
    absentBlocks: 0,
    listRequests: 0,
  };
  let listing: { readonly blocks: number; readonly digest: Digest } | undefined;
  let listedStepCount = 0;
  return {
    tally,
    get listedSteps() {
      return listedStepCount;
    },
    async *steps() {
      const differences = input.parent ? { changed: new BlockSet(), removed: new BlockSet() } : undefined;
      if (input.parent && differences) yield* changedSteps(input, input.parent, differences, tally);
      if (differences && input.differencesOnly) return;
      const summary = new ListingSummary();
      for await (const step of listedSteps(input, differences, tally, summary)) {
        listedStepCount++;
        yield step;
      }
      tally.absentBlocks = input.shape.blockCount - summary.blocks;
      listing = { blocks: summary.blocks, digest: summary.digest() };
    },
    listing() {
      if (!listing) throw new Error("the listing was not read to its end");
      return listing;
    },
  };
}

interface Differences {
  readonly changed: BlockSet;
  readonly removed: BlockSet;
}

/** Whether a listed block needs fetching, as far as the journal says. */
function isHeld(input: WalkInput, index: number): boolean {
  const recorded = input.recorded(index);
  if (recorded === undefined || recorded.state === "absent") return false;
  return recorded.state !== "unreadable" || !input.retryUnreadable;
}

async function* changedSteps(
  input: WalkInput,
  parent: Exhibit,
  differences: Differences,
  tally: Tally,
): AsyncIterable<Step> {
  const first = parent.manifest.source.snapshot;
  if (first === input.snapshot) return; // the same snapshot again: only what could not be read is new
  const before = input.source.counts().listRequests;
  for await (const page of changedPages(input, first)) {
    refuseOtherShape(input, page.shape);
    for (const { index, token } of page.blocks) {
      if (token === undefined) {
        differences.removed.add(index);
        if (input.recorded(index)?.state !== "absent") yield { type: "absent", index };
        continue;
      }
      differences.changed.add(index);
      if (isHeld(input, index)) tally.heldBlocks++;
      else {
        tally.fetchBlocks++;
        yield { type: "fetch", block: { index, token } };
      }
    }
    input.onPage?.({ throughBlock: page.blocks.at(-1)?.index ?? 0 });
  }
  tally.listRequests += input.source.counts().listRequests - before;
}

/** Errors that say that the two cannot be compared are the parent's fault, not the end. */
async function* changedPages(input: WalkInput, first: SnapshotId) {
  try {
    yield* input.source.listChangedBlocks({ first, second: input.snapshot }, { signal: input.signal });
  } catch (error) {
    if (error instanceof OperatorError && isAboutParent(error)) {
      throw new ParentMismatch(`${first} cannot be compared with ${input.snapshot}: ${error.message}`, {
        cause: error,
      });
    }
    throw error;
  }
}

/** Unrelated, vanished, or ListChangedBlocks not allowed: a full listing needs none of it. */
function isAboutParent(error: OperatorError): boolean {
  return error.facts["reason"] === "UNRELATED_SNAPSHOTS" || error.code === "not_found" ||
    error.code === "access";
}

async function* listedSteps(
  input: WalkInput,
  differences: Differences | undefined,
  tally: Tally,
  summary: ListingSummary,
): AsyncIterable<Step> {
  const before = input.source.counts().listRequests;
  let next = 0;
  for await (const page of input.source.listBlocks(input.snapshot, { signal: input.signal })) {
    refuseOtherShape(input, page.shape);
    for (const block of page.blocks) {
      if (differences) yield* unlistedSteps(input, differences, next, block.index);
      next = block.index + 1;
      summary.add(block.index);
      const action = differences ? await actionWithParent(input, differences, block.index) : undefined;
      if (action === "counted") continue;
      if (action === "take_over") tally.takenOverBlocks++;
      else if (isHeld(input, block.index)) tally.heldBlocks++;
      else {
        tally.fetchBlocks++;
        yield { type: "fetch", block };
      }
    }
    input.onPage?.({ throughBlock: next });
  }
  if (differences) yield* unlistedSteps(input, differences, next, input.shape.blockCount);
  tally.listRequests += input.source.counts().listRequests - before;
}

/** What a listed block is where there is a parent. */
async function actionWithParent(
  input: WalkInput,
  differences: Differences,
  index: number,
): Promise<"counted" | "take_over" | "fetch"> {
  if (differences.changed.has(index)) return "counted";
  if (differences.removed.has(index)) {
    throw new ParentMismatch(`block ${index} is listed, though it was said to be removed`);
  }
  const { state } = await input.parent!.block(index) ?? { state: "absent" };
  if (state === "absent") {
    throw new ParentMismatch(
      `block ${index} is listed, but neither the parent has it nor was it said to be new`,
    );
  }
  return state === "unreadable" ? "fetch" : "take_over";
}

/** Blocks `[from, to)` are not listed: so the parent must not have them, or they must be said to be removed. */
async function* unlistedSteps(
  input: WalkInput,
  { changed, removed }: Differences,
  from: number,
  to: number,
): AsyncIterable<Step> {
  const parent = input.parent!;
  for (let index = from; index < to;) {
    const position = Math.floor(index / SEGMENT_BLOCKS);
    const end = Math.min(to, (position + 1) * SEGMENT_BLOCKS);
    const segment = index < parent.shape.blockCount ? await parent.segment(position) : [];
    for (; index < end; index++) {
      const state = segment[index % SEGMENT_BLOCKS]?.state ?? "absent";
      if (changed.has(index)) {
        throw new ParentMismatch(`block ${index} was said to be changed, but is not listed`);
      }
      if (state === "absent" || removed.has(index)) continue;
      if (state !== "unreadable") {
        throw new ParentMismatch(`block ${index} is not listed, though it was not said to be removed`);
      }
      if (input.recorded(index)?.state !== "absent") yield { type: "absent", index };
    }
  }
}

function refuseOtherShape(input: WalkInput, shape: VolumeShape): void {
  if (shape.blockSizeBytes === input.shape.blockSizeBytes && shape.blockCount === input.shape.blockCount) {
    return;
  }
  throw new OperatorError(
    "source",
    `Cannot go on with "${input.snapshot}": a listing says ${shape.blockCount} blocks of ${shape.blockSizeBytes} bytes, ` +
      `expected ${input.shape.blockCount} of ${input.shape.blockSizeBytes}`,
    { facts: { reason: "LISTING_CHANGED", snapshot: input.snapshot } },
  );
}

/** Count and SHA-256 of the indexes, each as a 32-bit little-endian number. */
class ListingSummary {
  blocks = 0;
  readonly #hash = new Sha256();
  readonly #buffer = new DataView(new ArrayBuffer(4 * 4096));
  #filled = 0;

  add(index: number): void {
    this.#buffer.setUint32(this.#filled, index, true);
    this.#filled += 4;
    this.blocks++;
    if (this.#filled === this.#buffer.byteLength) this.#drain();
  }

  digest(): Digest {
    this.#drain();
    return this.#hash.digest();
  }

  #drain(): void {
    this.#hash.update(new Uint8Array(this.#buffer.buffer, 0, this.#filled));
    this.#filled = 0;
  }
}
