/**
 * `plan`: what acquire would fetch, what it costs and how long it takes. Nothing is written; one block is
 * read, unless that is not wanted, to prove that blocks can be read at all.
 */
import { type ParentWish, planSnapshot, type SnapshotPlan } from "../acquisition/mod.ts";
import type { AwsSource } from "../aws/source.ts";
import { AWS_OPTIONS, type CommandContext, defineCommand, formatFacts, STORE_OPTIONS } from "../cli/mod.ts";
import { gravestExitCode, OperatorError } from "../errors.ts";
import type { SnapshotId } from "../model.ts";
import { type Cost, costOf, durationOf, type PriceTable, remainingRequests, type Requests } from "../plan.ts";
import type { Exhibit, OuterExhibit, Store } from "../store/mod.ts";
import { formatCount, formatDuration, parseSnapshotId } from "../units.ts";
import { announceTargets } from "./_acquire_shown.ts";
import { openAws, SourceWatch } from "./_aws.ts";
import { blocksText, NOT_FROM_AWS, NOT_OPENED, statusOf } from "./_exhibits.ts";
import { IDENTITY_OPTIONS, type IdentityOptionValues, openStoreWith } from "./_identities.ts";
import { INSTANCE_OPTIONS, instanceTargets, type InstanceWish, instanceWish } from "./_instance.ts";
import { costText, PRICE_OPTIONS, pricesFrom, pricesText } from "./_prices.ts";

export const plan = defineCommand({
  usage: "[SNAPSHOT…]",
  description:
    `Says what acquire would fetch: blocks, requests, bytes, dollars, hours; of several snapshots, or of an instance's, also in all. Lists the snapshots' blocks and reads one block of each (the canary), which proves that GetSnapshotBlock and, for an encrypted snapshot, kms:Decrypt are allowed.

A missing permission is named with the policy statement that grants it.`,
  options: {
    ...INSTANCE_OPTIONS,
    parent: { value: "WHICH", default: "auto", summary: "build on: auto, none, or an EXHIBIT" },
    "no-canary": { summary: "read no block; says what stays unproven" },
    ...PRICE_OPTIONS,
    ...IDENTITY_OPTIONS,
    ...STORE_OPTIONS,
    ...AWS_OPTIONS,
  },
  exitCodes: { not_found: true, access: true, source: true, integrity: true },
  examples: [
    { command: "coldcase plan snap-0123456789abcdef0", says: "what would it cost, and may I" },
    { command: "coldcase plan --instance i-0123456789abcdef0", says: "the same for all its volumes" },
    {
      command: "coldcase plan snap-0123456789abcdef0 --in-region",
      says: "on an instance in the same Region",
    },
  ],
  async run(context, input) {
    const { out, world } = context;
    const { options } = input;
    const wish = instanceWish(input.args, options, "plan");
    const byId = [...new Set(input.args.map(parseSnapshotId))];
    const prices = pricesFrom(world.disk, options["price-table"]);
    const watch = new SourceWatch(context);
    const source = await openAws(context, options, watch);
    let store: Store | undefined;
    try {
      store = await storeIfAny(context, options);
      const parent: ParentWish = options.parent === "auto" || options.parent === "none"
        ? options.parent
        : await (store ?? await openStoreWith(context, options)).find(options.parent);
      if (!source.isAws) out.warn(`${NOT_FROM_AWS}: the endpoint is ${source.endpoint}`);
      const snapshots = wish ? await snapshotsOf(context, wish, { source, store, prices, options }) : byId;
      const codes: number[] = [];
      let total: Cost = { apiUsd: 0, transferUsd: 0, totalUsd: 0 };
      for (const [position, snapshot] of snapshots.entries()) {
        const held = await heldExhibit(store, snapshot);
        if (held) {
          showHeld(out, held);
          continue;
        }
        const number = { number: position + 1, count: snapshots.length };
        const settings = { parent, withCanary: !options["no-canary"], number, watch };
        const result = await planOne(context, { source, store, snapshot }, settings);
        codes.push(typeof result === "number" ? result : 0);
        if (typeof result === "number") continue;
        const estimate = estimateOf(result, {
          prices,
          isInRegion: options["in-region"],
          concurrency: source.maxConcurrency,
        });
        show(out, result, estimate);
        total = addCosts(total, estimate.cost);
      }
      if (snapshots.length > 1) out.result(`all: ${costText(total)}\n`);
      out.result(
        `${pricesText(prices)}; ${
          options["in-region"]
            ? "transfer within the Region is free"
            : "--in-region where this host is in the Region"
        }\n`,
      );
      return gravestExitCode(codes);
    } finally {
      source.close();
      store?.close();
    }
  },
});

/** Those of an instance, shown as acquire would show them. */
async function snapshotsOf(
  context: CommandContext,
  wish: InstanceWish,
  what: {
    readonly source: AwsSource;
    readonly store: Store | undefined;
    readonly prices: PriceTable;
    readonly options: { readonly "in-region": boolean };
  },
): Promise<readonly SnapshotId[]> {
  const targets = await instanceTargets(context, wish, what);
  const isInRegion = what.options["in-region"];
  announceTargets(context, wish.instance, targets, { prices: what.prices, isInRegion });
  return targets.map(({ snapshot }) => snapshot);
}

/** The exhibit because of which acquire would do nothing. */
async function heldExhibit(
  store: Store | undefined,
  snapshot: SnapshotId,
): Promise<Exhibit | OuterExhibit | undefined> {
  const isBegun =
    (await store?.journals())?.some(({ source }) =>
      source.snapshot === snapshot && source.kind === "aws-ebs"
    ) ?? false;
  if (!store || isBegun) return undefined;
  return store.isReadable ? await store.newestOf(snapshot) : await store.newestOuterOf(snapshot);
}

function showHeld(out: CommandContext["out"], held: Exhibit | OuterExhibit): void {
  const { snapshot } = held.inventory;
  const status = "manifest" in held ? statusOf(held.manifest) : NOT_OPENED;
  out.result(
    `${snapshot}\nheld already as ${held.id}, ${status}: acquire would do nothing\n\n`,
  );
  out.event({ type: "plan", snapshot, heldAs: held.id, fetchBlocks: 0, totalUsd: 0 });
}

async function storeIfAny(
  context: CommandContext,
  options: IdentityOptionValues & { readonly store: string },
): Promise<Store | undefined> {
  try {
    return await openStoreWith(context, options);
  } catch (error) {
    if (error instanceof OperatorError && error.code === "not_found") return undefined;
    throw error;
  }
}

/** The plan, or the exit code of what was wrong with this snapshot. */
async function planOne(
  { out, world, signal }: CommandContext,
  what: { readonly source: AwsSource; readonly store: Store | undefined; readonly snapshot: SnapshotId },
  how: {
    readonly parent: ParentWish;
    readonly withCanary: boolean;
    readonly number: { readonly number: number; readonly count: number };
    readonly watch: SourceWatch;
  },
): Promise<SnapshotPlan | number> {
  const progress = out.progress({ label: `count ${what.snapshot}`, unit: "blocks", done: 0, ...how.number });
  how.watch.showIn(progress);
  try {
    return await planSnapshot({
      ...what,
      parent: how.parent,
      withCanary: how.withCanary,
      clock: world.clock,
      signal,
      onCounting: ({ throughBlock, blockCount }) =>
        progress.update({ done: throughBlock, total: blockCount }),
    });
  } catch (error) {
    if (!(error instanceof OperatorError) || error.code === "interrupted") throw error;
    progress.end();
    out.error(error);
    return error.exitCode;
  } finally {
    progress.end();
  }
}

interface Estimate {
  readonly remaining: Requests;
  readonly cost: Cost;
  readonly duration: ReturnType<typeof durationOf>;
}

function estimateOf(
  { tally, shape, canary }: SnapshotPlan,
  how: { readonly prices: PriceTable; readonly isInRegion: boolean; readonly concurrency: number },
): Estimate {
  const remaining = remainingRequests(tally, shape);
  const measured = canary && !canary.failure
    ? { blockMs: canary.blockMs, concurrency: how.concurrency }
    : undefined;
  return {
    remaining,
    cost: costOf(remaining, how.prices, how.isInRegion),
    duration: durationOf(tally.fetchBlocks, measured),
  };
}

function addCosts(a: Cost, b: Cost): Cost {
  return {
    apiUsd: a.apiUsd + b.apiUsd,
    transferUsd: a.transferUsd + b.transferUsd,
    totalUsd: a.totalUsd + b.totalUsd,
  };
}

function show(out: CommandContext["out"], plan: SnapshotPlan, estimate: Estimate): void {
  const { tally, shape, parent, parentDropped, journal, canary, description } = plan;
  const { remaining, cost, duration } = estimate;
  const size = (blocks: number) => blocksText(blocks, shape.blockSizeBytes);
  const facts: [string, string | undefined][] = [
    ["volume", `${shape.volumeSizeGib} GiB${description?.volumeId ? `, ${description.volumeId}` : ""}`],
    [
      "acquire would",
      journal ? `resume ${journal.exhibit}` : parent ? `build on ${parent.id}` : "acquire it in full",
    ],
    ["not built on", parentDropped],
    ["to fetch", size(tally.fetchBlocks)],
    ["held", journal ? size(tally.heldBlocks) : undefined],
    ["taken over", parent ? size(tally.takenOverBlocks) : undefined],
    ["absent", size(tally.absentBlocks)],
    [
      "requests",
      `${formatCount(remaining.getRequests)} GetSnapshotBlock, ${formatCount(remaining.listRequests)} List`,
    ],
    ["cost", costText(cost)],
    ["time", timeText(duration)],
    ["canary", canaryText(plan)],
  ];
  const known = facts.filter((fact): fact is [string, string] => fact[1] !== undefined);
  out.result(`${plan.snapshot}\n${formatFacts(known)}\n`);
  out.event({
    type: "plan",
    snapshot: plan.snapshot,
    volumeSizeGib: shape.volumeSizeGib,
    blockSizeBytes: shape.blockSizeBytes,
    blockCount: shape.blockCount,
    fetchBlocks: tally.fetchBlocks,
    heldBlocks: tally.heldBlocks,
    takenOverBlocks: tally.takenOverBlocks,
    absentBlocks: tally.absentBlocks,
    getRequests: remaining.getRequests,
    listRequests: remaining.listRequests,
    fetchBytes: remaining.receivedBytes,
    apiUsd: cost.apiUsd,
    transferUsd: cost.transferUsd,
    totalUsd: cost.totalUsd,
    atQuotaMs: duration.atQuotaMs,
    bestMs: duration.range?.bestMs ?? null,
    worstMs: duration.range?.worstMs ?? null,
    canaryBlock: canary?.blockIndex ?? null,
    canaryMs: canary ? Math.round(canary.blockMs) : null,
    canaryFailure: canary?.failure?.detail ?? null,
    parent: parent?.id ?? null,
    parentDropped: parentDropped ?? null,
    resumes: journal?.exhibit ?? null,
  });
}

function timeText({ atQuotaMs, range }: Estimate["duration"]): string {
  const quota = `${formatDuration(atQuotaMs)} at AWS's ceiling of 1,000 blocks a second`;
  return range
    ? `${quota}; ${formatDuration(range.bestMs)} to ${formatDuration(range.worstMs)} from here`
    : quota;
}

function canaryText({ canary }: SnapshotPlan): string {
  if (!canary) return "none read: GetSnapshotBlock and kms:Decrypt stay unproven";
  if (canary.failure) return `block ${canary.blockIndex} could not be read: ${canary.failure.detail}`;
  return `one block: ${
    Math.round(canary.blockMs)
  } ms; GetSnapshotBlock is allowed, and kms:Decrypt where it is needed`;
}
