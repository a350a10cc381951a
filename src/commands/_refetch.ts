/**
 * `repair --refetch`: lost blocks from AWS again, their price said first. AWS is spoken to only where blocks are lost that
 * nothing else has. What is served counts only where it is the block that the signed segments name; whoever repairs
 * compares.
 */
import { refetchBlocks, Spending } from "../acquisition/mod.ts";
import type { CommandContext } from "../cli/mod.ts";
import { serviceOf } from "../format/manifest.ts";
import type { Refetch } from "../store/mod.ts";
import { formatCount } from "../units.ts";
import { type AwsOptionValues, openAws, SourceWatch } from "./_aws.ts";
import type { CustodyNote } from "./_custody.ts";
import { showSourceDiffers } from "./_findings.ts";
import { costText, pricesFrom, pricesText } from "./_prices.ts";

interface RefetchOptionValues extends AwsOptionValues {
  readonly "price-table": string | undefined;
  readonly "in-region": boolean;
  readonly budget: number | undefined;
}

/** What reads lost blocks again; the custody entry gets the clock's skew. */
export function refetchFrom(
  context: CommandContext,
  options: RefetchOptionValues,
): (note: CustodyNote | undefined) => Refetch {
  const { out, world, signal } = context;
  const prices = pricesFrom(world.disk, options["price-table"]);
  return (note) => async ({ exhibit, lost, take }) => {
    const { source: recorded } = exhibit.manifest;
    note?.about(exhibit);
    const watch = new SourceWatch(context);
    // Where nothing else is said, the exhibit's own Region is asked; an endpoint of its own has to be named.
    const source = await openAws(context, {
      ...options,
      region: options.region ?? serviceOf(recorded)?.region,
    }, watch);
    try {
      const spending = new Spending({
        source,
        prices,
        isInRegion: options["in-region"],
        budgetUsd: options.budget,
      });
      const total = await countOf(lost());
      const requests = {
        listRequests: Math.ceil(total / 10_000),
        getRequests: total,
        receivedBytes: total * exhibit.shape.blockSizeBytes,
      };
      out.note(
        `${recorded.snapshot}: reading ${
          formatCount(total)
        } blocks from ${source.endpoint} again costs about ${costText(spending.costOf(requests))}; ${
          pricesText(prices)
        }`,
      );
      spending.refuseBeyondBudget(requests);
      const label = `read again ${recorded.snapshot}`;
      const progress = out.progress({ label, unit: "blocks", done: 0, total });
      watch.showIn(progress);
      try {
        await refetchBlocks({
          source,
          spending,
          signal,
          exhibit,
          lost,
          take,
          onProgress: ({ triedBlocks }) =>
            progress.update({ done: triedBlocks, costUsd: spending.spent().totalUsd }),
          onRefused: (refused) => showSourceDiffers(context, exhibit, refused),
        });
      } finally {
        progress.end();
      }
    } finally {
      const { clockSkewMs } = source.counts();
      if (note && clockSkewMs !== undefined) note.clockSkewMs = Math.round(clockSkewMs);
      source.close();
    }
  };
}

async function countOf(items: AsyncIterable<unknown>): Promise<number> {
  let count = 0;
  for await (const _ of items) count++;
  return count;
}
