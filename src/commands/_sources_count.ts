/**
 * Written blocks of snapshots, for `sources --estimate`: counted by listing, after what that costs was said. No block is
 * read, and a page is in memory at a time.
 */
import type { AwsSource } from "../aws/source.ts";
import type { CommandContext } from "../cli/mod.ts";
import { OperatorError } from "../errors.ts";
import { costOf, type PriceTable } from "../plan.ts";
import { formatCount, formatUsd } from "../units.ts";
import { pricesText } from "./_prices.ts";
import type { Listed } from "./_sources_search.ts";
import type { Written } from "./_sources_shown.ts";

/** Blocks of a page of a listing. */
const PAGE_BLOCKS = 10_000;
/** Of 512 KiB each, where all were written: for what is said beforehand. */
const BLOCKS_OF_GIB = 2048;

/** Counts written blocks, a page in memory at a time; what could not be listed is an error each. */
export async function countWritten(
  { out, signal }: CommandContext,
  source: AwsSource,
  { snapshots, prices }: { readonly snapshots: readonly Listed[]; readonly prices: PriceTable },
) {
  const written = new Map<string, Written>();
  const codes: number[] = [];
  const expected = snapshots.reduce((sum, { volumeSizeGib = 1 }) => {
    return sum + Math.max(1, Math.ceil(volumeSizeGib * BLOCKS_OF_GIB / PAGE_BLOCKS));
  }, 0);
  if (snapshots.length === 0) return { written, codes, usd: 0 };
  out.note(`counting written blocks by about ${requestsText(expected, prices)}; ${pricesText(prices)}`);
  for (const [position, snapshot] of snapshots.entries()) {
    try {
      const number = { number: position + 1, count: snapshots.length };
      written.set(snapshot.id, await countOne({ out, signal }, { source, snapshot, ...number }));
    } catch (error) {
      if (!(error instanceof OperatorError) || error.code === "interrupted") throw error;
      out.error(error);
      codes.push(error.exitCode);
    }
  }
  const { listRequests } = source.counts();
  out.note(`counted by ${requestsText(listRequests, prices)}`);
  return { written, codes, usd: usdOf(listRequests, prices) };
}

async function countOne(
  { out, signal }: Pick<CommandContext, "out" | "signal">,
  what: {
    readonly source: AwsSource;
    readonly snapshot: Listed;
    readonly number: number;
    readonly count: number;
  },
): Promise<Written> {
  const { source, snapshot, ...number } = what;
  const progress = out.progress({ label: `count ${snapshot.id}`, unit: "blocks", done: 0, ...number });
  let blocks = 0;
  let blockSizeBytes = 0;
  try {
    for await (const page of source.listBlocks(snapshot.id, { signal })) {
      blocks += page.blocks.length;
      blockSizeBytes = page.shape.blockSizeBytes;
      progress.update({ done: (page.blocks.at(-1)?.index ?? 0) + 1, total: page.shape.blockCount });
    }
  } finally {
    progress.end();
  }
  return { blocks, blockSizeBytes };
}

function requestsText(count: number, prices: PriceTable): string {
  const requests = count === 1 ? "request" : "requests";
  return `${formatCount(count)} List ${requests}, ${formatUsd(usdOf(count, prices))}`;
}

function usdOf(listRequests: number, prices: PriceTable): number {
  return costOf({ listRequests, getRequests: 0, receivedBytes: 0 }, prices, true).totalUsd;
}
