/**
 * Compares an exhibit with the service, block by block: what AWS declares and serves now against what the
 * exhibit holds. It costs a read a block; nothing is written.
 */
import type { BlockSource, ListedBlock, VolumeShape } from "../model.ts";
import type { Exhibit } from "../store/mod.ts";
import { forEachConcurrently } from "./_pool.ts";
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

/** What comparing costs at the most: a read for each block that the exhibit knows. */
export function comparisonRequests(
  { manifest, shape }: Exhibit,
): { listRequests: number; getRequests: number; receivedBytes: number } {
  const { storedBlocks, zeroBlocks } = manifest.counts;
  const getRequests = storedBlocks + zeroBlocks;
  return {
    listRequests: Math.ceil(getRequests / 10_000),
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
      refuseOtherShape(page.shape);
      for (const block of page.blocks) {
        await noteUnlisted(next, block.index);
        next = block.index + 1;
        yield block;
      }
    }
    await noteUnlisted(next, exhibit.shape.blockCount);
  }

  /** Blocks that the service does not list must be absent in the exhibit. */
  async function noteUnlisted(from: number, to: number): Promise<void> {
    for (let index = from; index < to; index++) {
      const block = await exhibit.block(index);
      if (block?.state === "unreadable") result.unprovedBlocks++;
      else if (block?.state !== "absent") {
        report(index, `the exhibit holds it as ${block?.state}, the service does not list it`);
      }
    }
  }

  function refuseOtherShape(shape: VolumeShape): void {
    if (
      shape.blockCount === exhibit.shape.blockCount && shape.blockSizeBytes === exhibit.shape.blockSizeBytes
    ) return;
    report(0, `the service says ${shape.blockCount} blocks of ${shape.blockSizeBytes} bytes`);
  }

  const limit = source.maxConcurrency;
  await forEachConcurrently(listed(), { limit, signal }, async (listing, itemSignal) => {
    const held = await exhibit.block(listing.index);
    if (held?.state === "absent") {
      return report(listing.index, "the service lists it, the exhibit has it as absent");
    }
    if (held === undefined || held.state === "unreadable") {
      result.unprovedBlocks++;
      return;
    }
    input.spending.askForBlock(exhibit.shape.blockSizeBytes);
    const answer = await source.getBlock({ snapshot, block: listing, shape: exhibit.shape }, {
      signal: itemSignal,
    });
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
