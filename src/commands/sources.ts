/**
 * `sources`: the snapshots that could be acquired, of an instance, a volume, by tags, own or shared; what can't be read
 * of them, and why. It asks EC2 and, where written blocks are to be counted, lists; it reads no block and no store, and
 * is not logged. The search is in _sources_search.ts, what is shown in _sources_shown.ts.
 */
import type { AttachmentAnswer } from "../aws/sources.ts";
import type { AwsSource } from "../aws/source.ts";
import { AWS_OPTIONS, type CommandContext, defineCommand } from "../cli/mod.ts";
import { gravestExitCode, OperatorError } from "../errors.ts";
import type { PriceTable } from "../plan.ts";
import { formatCount } from "../units.ts";
import { openAws, SourceWatch } from "./_aws.ts";
import { setsOf } from "./_instance_sets.ts";
import { PRICE_OPTIONS, pricesFrom } from "./_prices.ts";
import { countWritten } from "./_sources_count.ts";
import { nothingFound } from "./_sources_missing.ts";
import { type Outcome, Search } from "./_sources_search.ts";
import { setEvent, setsText, volumesText } from "./_sources_sets.ts";
import { hindranceOf, sourceEvent, sourcesText } from "./_sources_shown.ts";
import { parseTag, parseWanted, tagFilters } from "./_sources_wanted.ts";

/** Somebody sits before it; an outage of a minute, once it has begun, is waited for. */
const PATIENCE = { firstAnswerWithinMs: 10_000, giveUpAfterMs: 120_000 } as const;

export const sources = defineCommand({
  usage: "[ID…]",
  description:
    `Lists the snapshots that could be acquired, newest first: those of an instance (i-…), of a volume (vol-…), snapshots by their ids (snap-…), or all of the account. With --shared those of other accounts that name this one; public ones are not listed.

An instance leads to its volumes, and they to their snapshots and device names. Which of its snapshots belong together is shown below them: sets, known by the tag that snapshot create gives, by one start time, or by one image, with what each lacks. That a set is crash-consistent is not said: EC2 does not tell which call made a snapshot; CloudTrail's CreateSnapshots does. Where the instance or its volumes are gone, snapshots are found by what their descriptions and tags say of it. Snapshots of a deleted volume are found by the volume's id.

Each snapshot that can't be read is named with the reason and what to do: pending, archived, under the key aws/ebs of another account, public. What EC2 does not tell is whether an own snapshot's key, of which it gives the ARN, is the account's aws/ebs, under which a snapshot can't be shared. With --estimate the written blocks of the others are counted by listing, one List request for each 10,000 blocks; what that costs is said first.

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
    "price-table": PRICE_OPTIONS["price-table"],
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
    const prices = pricesFrom(context.world.disk, options["price-table"]);
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
            if (one.kind === "instance") showVolumes(context, one.id, search);
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
      const estimatePrices = options.estimate ? prices : undefined;
      // With some of the tags only, most sets would look as if they lacked something.
      const ofSets = tags.length === 0 ? outcomes : [];
      codes.push(...await show(context, { source, search, estimatePrices, ofSets }));
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

/** What of an instance is known where DescribeSnapshots is denied. */
function showVolumes({ out }: CommandContext, instance: string, search: Search): void {
  const devices = search.devicesOfInstance(instance);
  if (devices.length > 0) out.result(volumesText(devices));
  for (const { device, volumeId } of devices) {
    out.event({ type: "volume", instance, device, volume: volumeId });
  }
}

function showSets(
  { out }: CommandContext,
  { outcomes, search, region }: {
    readonly outcomes: readonly Outcome[];
    readonly search: Search;
    readonly region: string;
  },
): void {
  for (const { wanted, instance, volumes } of outcomes) {
    if (wanted.kind !== "instance") continue;
    const sets = setsOf({
      instance: wanted.id,
      region,
      snapshots: search.snapshots().filter(({ volumeId }) => volumes.has(volumeId ?? "")),
      attached: instance?.attachments,
      devicesOfSet: (setId) => search.devicesOfSet(setId),
    });
    if (sets.length > 0) out.result(setsText(wanted.id, sets));
    for (const set of sets) out.event(setEvent(set));
  }
}

/** Shows what was found; the exit codes of what could not be counted. */
async function show(
  context: CommandContext,
  what: {
    readonly source: AwsSource;
    readonly search: Search;
    /** Not given: nothing is counted. */
    readonly estimatePrices: PriceTable | undefined;
    /** Those of instances have their sets shown. */
    readonly ofSets: readonly Outcome[];
  },
): Promise<readonly number[]> {
  const { out } = context;
  const { source, search, estimatePrices, ofSets } = what;
  const found = search.snapshots().map((snapshot) => ({
    snapshot,
    attachment: search.deviceOf(snapshot.volumeId),
    hindrance: hindranceOf(snapshot, source.region),
  }));
  const readable = found.filter(({ hindrance }) => hindrance === undefined).map(({ snapshot }) => snapshot);
  const estimate = estimatePrices &&
    await countWritten(context, source, { snapshots: readable, prices: estimatePrices });
  const shown = found.map((one) => ({ ...one, written: estimate?.written.get(one.snapshot.id) }));
  if (shown.length > 0) out.result(sourcesText(shown, estimate !== undefined));
  for (const one of shown) out.event(sourceEvent(one));
  showSets(context, { outcomes: ofSets, search, region: source.region });
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
