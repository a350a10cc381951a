/**
 * `sources`: the snapshots that could be acquired, of an instance, a volume, by tags, own or shared; what can't be read
 * of them, and why. It asks EC2 and, where written blocks are to be counted, lists; it reads no block and no store, and
 * is not logged. The search is in _sources_search.ts, what is shown in _sources_shown.ts.
 */
import type { AttachmentAnswer } from "../aws/sources.ts";
import type { AwsSource } from "../aws/source.ts";
import { AWS_OPTIONS, type CommandContext, defineCommand } from "../cli/mod.ts";
import { gravestExitCode, OperatorError } from "../errors.ts";
import { costOf, EXAMPLE_PRICES } from "../plan.ts";
import { formatCount, formatUsd } from "../units.ts";
import { openAws, SourceWatch } from "./_aws.ts";
import { pricesText } from "./_prices.ts";
import { nothingFound } from "./_sources_missing.ts";
import { type Listed, type Outcome, Search } from "./_sources_search.ts";
import { hindranceOf, sourceEvent, sourcesText, type Written } from "./_sources_shown.ts";
import { parseTag, parseWanted, tagFilters } from "./_sources_wanted.ts";

/** Somebody sits before it; an outage of a minute, once it has begun, is waited for. */
const PATIENCE = { firstAnswerWithinMs: 10_000, giveUpAfterMs: 120_000 } as const;

/** Blocks of a page of a listing. */
const PAGE_BLOCKS = 10_000;
/** Of 512 KiB each, where all were written: for what is said beforehand. */
const BLOCKS_OF_GIB = 2048;

export const sources = defineCommand({
  usage: "[ID…]",
  description:
    `Lists the snapshots that could be acquired, newest first: those of an instance (i-…), of a volume (vol-…), snapshots by their ids (snap-…), or all of the account. With --shared those of other accounts that name this one; public ones are not listed.

An instance leads to its volumes, and they to their snapshots and device names. Where the instance or its volumes are gone, snapshots are found by what their descriptions and tags say of it. Snapshots of a deleted volume are found by the volume's id.

Each snapshot that can't be read is named with the reason and what to do: pending, archived, under the key aws/ebs of another account, public. With --estimate the written blocks of the others are counted by listing, one List request for each 10,000 blocks; what that costs is said first.

It needs ec2:DescribeSnapshots, and ec2:DescribeInstances for an instance's volumes and for devices. Whoever may not ask EC2 can still plan and acquire a snapshot by its id.`,
  options: {
    tag: {
      value: "KEY=VALUE",
      repeatable: true,
      summary: "only with this tag; * and ? stand for anything",
      details: "Several keys: with all of them. A key given twice: with one of its values. EC2 tells " +
        "capital letters from small ones.",
      parse: parseTag,
    },
    shared: { summary: "of other accounts, shared with this one" },
    estimate: { summary: "count written blocks, by listing" },
    ...AWS_OPTIONS,
  },
  exitCodes: {
    not_found: "nothing was found, for one of the arguments at least",
    access: "no credentials, or EC2 is not allowed",
    source: "no answer",
  },
  examples: [
    { command: "coldcase sources", says: "all of the account, newest first" },
    { command: "coldcase sources vol-0123456789abcdef0 --estimate", says: "of a volume, and how full" },
    {
      command: "coldcase sources --json | jq -r 'select(.state).snapshot'",
      says: "ids, for a script",
    },
  ],
  async run(context, { args, options }) {
    const wanted = [...new Set(args)].map(parseWanted);
    const tags = tagFilters(options.tag);
    const bySnapshot = wanted.find(({ kind }) => kind === "snapshot");
    if (bySnapshot !== undefined && tags.length > 0) {
      throw new OperatorError("usage", `Cannot look for "${bySnapshot.id}" by tags: its id says which it is`);
    }
    const watch = new SourceWatch(context);
    const source = await openAws(context, options, watch, PATIENCE);
    try {
      const { out, signal } = context;
      if (!source.isAws) out.note(`asking ${source.endpoint}, which is not AWS's`);
      const account = (await source.callerIdentity({ signal }))?.account;
      if (options.shared && account === undefined) {
        out.warn("whose account this is was not told: own snapshots may be among the shared ones");
      }
      const onLooked = (count: number) => out.note(`looked at ${formatCount(count)} snapshots so far`);
      const search = new Search({ source, signal, isShared: options.shared, tags, account, onLooked });
      const outcomes: Outcome[] = [];
      for (const one of wanted.length === 0 ? [{ kind: "all" } as const] : wanted) {
        outcomes.push(
          await search.find(one).catch((error) => {
            throw withWaysOn(error, wanted);
          }),
        );
      }
      tellOfInstances(context, outcomes);
      const codes: number[] = [];
      for (const outcome of outcomes.filter(({ count }) => count === 0)) {
        const error = await nothingFound(outcome, {
          search,
          tags: options.tag,
          isShared: options.shared,
          source,
        });
        out.error(error);
        codes.push(error.exitCode);
      }
      await tellDevices(context, search, outcomes);
      codes.push(...await show(context, { source, search, isEstimate: options.estimate }));
      return gravestExitCode(codes);
    } finally {
      source.close();
    }
  },
});

/** What still works for whoever may not ask EC2. */
function withWaysOn(
  error: unknown,
  wanted: readonly { readonly kind: string; readonly id?: string }[],
): unknown {
  if (!(error instanceof OperatorError) || error.facts["action"] !== "ec2:DescribeSnapshots") return error;
  const id = wanted.find(({ kind }) => kind === "snapshot")?.id ?? "SNAPSHOT";
  return new OperatorError(
    error.code,
    `${error.message}; without it nobody can say which snapshots there are, nor of what state, tier and key`,
    {
      hints: [
        ...error.hints,
        `What still works, for whoever knows an id: coldcase plan ${id} tries by itself what may be read, and ` +
        "acquire needs nothing of EC2.",
      ],
      facts: error.facts,
      cause: error,
    },
  );
}

/** Instances whose volumes could not be asked for, or are gone. */
function tellOfInstances({ out }: CommandContext, outcomes: readonly Outcome[]): void {
  for (const { wanted, instance, count } of outcomes) {
    if (wanted.kind !== "instance" || count === 0) continue;
    const byText = "what descriptions and tags say of it was looked at instead";
    if (instance === undefined) {
      out.note(`${wanted.id}: another account's instances can't be asked for; ${byText}`);
    } else if (instance.result === "not_permitted") {
      out.warn(`the volumes of ${wanted.id} are not known: ${grantText(instance)}; ${byText}`);
    } else if (instance.result === "failed") {
      out.warn(`the volumes of ${wanted.id} are not known: EC2 gave no answer; ${byText}`);
    } else if (instance.result === "not_found") {
      out.warn(`EC2 does not know ${wanted.id}, or no longer; ${byText}`);
    } else if (instance.attachments.length === 0) {
      out.warn(`${wanted.id} is ${instance.instanceState ?? "gone"} and has no volumes any more; ${byText}`);
    }
  }
}

function grantText({ refusal }: AttachmentAnswer): string {
  const grant = refusal?.hints.find((hint) => hint.startsWith("Add to"));
  return `AWS denies ec2:DescribeInstances${grant === undefined ? "" : ` (${grant})`}`;
}

async function tellDevices(
  { out }: CommandContext,
  search: Search,
  outcomes: readonly Outcome[],
): Promise<void> {
  const asked = search.isShared ? [] : outcomes.flatMap(({ wanted, count }) => {
    return wanted.kind === "volume" && count > 0 ? [wanted.id] : [];
  });
  const untold = await search.findDevices(asked);
  if (untold !== undefined) {
    const why = untold.result === "not_permitted"
      ? grantText(untold)
      : "EC2 gave no answer to DescribeInstances";
    return out.note(`devices are not known: ${why}`);
  }
  for (const id of asked.filter((id) => search.deviceOf(id) === undefined)) {
    out.note(`${id} is attached to no instance, detached or deleted: its snapshots stay what they are`);
  }
}

/** Shows what was found; the exit codes of what could not be counted. */
async function show(
  context: CommandContext,
  what: { readonly source: AwsSource; readonly search: Search; readonly isEstimate: boolean },
): Promise<readonly number[]> {
  const { out } = context;
  const { source, search, isEstimate } = what;
  const found = search.snapshots().map((snapshot) => ({
    snapshot,
    attachment: search.deviceOf(snapshot.volumeId),
    hindrance: hindranceOf(snapshot, source.region),
  }));
  const readable = found.filter(({ hindrance }) => hindrance === undefined).map(({ snapshot }) => snapshot);
  const estimate = isEstimate ? await count(context, source, readable) : undefined;
  const shown = found.map((one) => ({ ...one, written: estimate?.written.get(one.snapshot.id) }));
  if (shown.length > 0) out.result(sourcesText(shown, isEstimate));
  for (const one of shown) out.event(sourceEvent(one));
  if (search.leftOut > 0) {
    out.warn(
      `${formatCount(search.leftOut)} older snapshots are left out; name an instance, a volume or tags`,
    );
  }
  const { listRequests, otherRequests } = source.counts();
  out.event({
    type: "summary",
    region: source.region,
    endpoint: source.endpoint,
    isAws: source.isAws,
    snapshots: shown.length,
    readable: readable.length,
    leftOut: search.leftOut,
    listRequests,
    otherRequests,
    estimateUsd: estimate?.usd ?? null,
  });
  return estimate?.codes ?? [];
}

/** Counts written blocks, a page in memory at a time; what could not be listed is an error each. */
async function count({ out, signal }: CommandContext, source: AwsSource, snapshots: readonly Listed[]) {
  const written = new Map<string, Written>();
  const codes: number[] = [];
  const expected = snapshots.reduce((sum, { volumeSizeGib = 1 }) => {
    return sum + Math.max(1, Math.ceil(volumeSizeGib * BLOCKS_OF_GIB / PAGE_BLOCKS));
  }, 0);
  if (snapshots.length === 0) return { written, codes, usd: 0 };
  const price = pricesText(EXAMPLE_PRICES);
  out.note(`counting written blocks by about ${requestsText(expected)}; ${price}`);
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
  out.note(`counted by ${requestsText(listRequests)}`);
  return { written, codes, usd: usdOf(listRequests) };
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

function requestsText(count: number): string {
  return `${formatCount(count)} List ${count === 1 ? "request" : "requests"}, ${formatUsd(usdOf(count))}`;
}

function usdOf(listRequests: number): number {
  return costOf({ listRequests, getRequests: 0, receivedBytes: 0 }, EXAMPLE_PRICES, true).totalUsd;
}
