/**
 * Compares an exhibit with the service, block by block: what AWS declares and serves now against what the
 * exhibit holds. It costs a read a block; nothing is written.
 */
import { type BlockSource, type ListedBlock, SEGMENT_BLOCKS, type VolumeShape } from "../model.ts";
import type { Exhibit } from "../store/mod.ts";
import { blocksUnderWay, forEachConcurrently } from "./_pool.ts";
import type { Spending } from "./_spending.ts";

export interface CompareInput {
  readonly source: BlockSource;
  readonly exhibit: Exhibit;
  readonly spending: Spending;
  readonly signal: AbortSignal;
  onDifference(difference: { readonly blockIndex: number; readonly message: string }): void;
  onProgress?(done: { readonly comparedBlocks: number; readonly totalBlocks: number }): void;
}

export interface SourceComparison {
  readonly comparedBlocks: number;
  /** Blocks that differ, or that only one of the two has. */
  readonly differences: number;
  /** Blocks that the service could not serve, or that the exhibit holds as unreadable: nothing is proved of them. */
  readonly unprovedBlocks: number;
}

/** What comparing costs where the service lists what it listed then: a read for each block that is held. */
export function comparisonRequests(
  { manifest, shape }: Exhibit,
): { listRequests: number; getRequests: number; receivedBytes: number } {
  const { storedBlocks, zeroBlocks, unreadableBlocks } = manifest.counts;
  const getRequests = storedBlocks + zeroBlocks;
  return {
    listRequests: Math.max(1, Math.ceil((getRequests + unreadableBlocks) / 10_000)),
    getRequests,
    receivedBytes: getRequests * shape.blockSizeBytes,
  };
}

export async function compareWithSource(input: CompareInput): Promise<SourceComparison> {
  const { source, exhibit, signal } = input;
  const snapshot = exhibit.manifest.source.snapshot;
  const result = { comparedBlocks: 0, differences: 0, unprovedBlocks: 0 };
  const report = (blockIndex: number, message: string) => {
    result.differences++;
    input.onDifference({ blockIndex, message });
  };
  const totalBlocks = comparisonRequests(exhibit).getRequests;

  async function* listed(): AsyncIterable<ListedBlock> {
    let next = 0;
    for await (const page of source.listBlocks(snapshot, { signal })) {
      const mismatch = otherVolume(exhibit.shape, page.shape);
      // One difference stands for all: no block of another volume can be compared.
      if (mismatch) return report(0, mismatch);
      for (const block of page.blocks) {
        await noteUnlisted(next, block.index);
        next = block.index + 1;
        yield block;
      }
    }
    await noteUnlisted(next, exhibit.shape.blockCount);
  }

  /** Blocks `[from, to)` are not listed: so they must be absent in the exhibit. */
  async function noteUnlisted(from: number, to: number): Promise<void> {
    for (let index = from; index < to;) {
      const position = Math.floor(index / SEGMENT_BLOCKS);
      const segment = await exhibit.segment(position);
      for (const end = Math.min(to, (position + 1) * SEGMENT_BLOCKS); index < end; index++) {
        const state = segment[index % SEGMENT_BLOCKS]?.state;
        if (state === "unreadable") result.unprovedBlocks++;
        else if (state !== "absent") {
          report(index, `the exhibit holds it as ${state}, the service does not list it`);
        }
      }
    }
  }

  const limit = blocksUnderWay(source.maxConcurrency, exhibit.shape);
  await forEachConcurrently(listed(), { limit, signal }, async (listing, itemSignal) => {
    const held = await exhibit.block(listing.index);
    if (held?.state === "absent") {
      return report(listing.index, "the service lists it, the exhibit has it as absent");
    }
    if (held === undefined || held.state === "unreadable") {
      result.unprovedBlocks++;
      return;
    }
    const isOver = input.spending.askForBlock(exhibit.shape.blockSizeBytes);
    const answer = await source.getBlock({ snapshot, block: listing, shape: exhibit.shape }, {
      signal: itemSignal,
    }).finally(isOver);
    if (answer.kind === "unreadable") result.unprovedBlocks++;
    else if (!exhibit.holds(held, answer.digest)) {
      report(
        listing.index,
        `the exhibit holds ${
          held.state === "zero" ? "zeros" : held.digest
        }, the service now serves ${answer.digest}`,
      );
    }
    result.comparedBlocks++;
    input.onProgress?.({ comparedBlocks: result.comparedBlocks, totalBlocks });
  });
  return result;
}

function otherVolume(held: VolumeShape, { blockCount, blockSizeBytes }: VolumeShape): string | undefined {
  if (blockCount === held.blockCount && blockSizeBytes === held.blockSizeBytes) return undefined;
  return `the service says ${blockCount} blocks of ${blockSizeBytes} bytes`;
}
