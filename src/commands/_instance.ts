/**
 * An instance as a whole, for `acquire` and `plan`: which set of its snapshots is meant, and the snapshots of that set in
 * the order of their devices. What was begun wins over what is newer; else the newest set that is complete. EC2 is asked
 * only where nothing was begun. What makes a set: _instance_sets.ts.
 */
import type { AwsSource } from "../aws/source.ts";
import { type CommandContext, type OptionTable, sanitize } from "../cli/mod.ts";
import { isFault, OperatorError } from "../errors.ts";
import type { Manifest } from "../format/manifest.ts";
import { describeSet, isSameSet, type SetFacts } from "../format/snapshot_set.ts";
import type { ExhibitId, SnapshotId } from "../model.ts";
import type { Store } from "../store/mod.ts";
import { isInstanceId } from "../aws/sources.ts";
import { type Choice, choiceOf } from "./_instance_choice.ts";
import { orderOf, setFactsOf, setsOf, type SnapshotSet } from "./_instance_sets.ts";
import { nothingFound } from "./_sources_missing.ts";
import { type Outcome, Search } from "./_sources_search.ts";

export const INSTANCE_OPTIONS = {
  instance: {
    value: "INSTANCE",
    summary: "the newest complete set of an instance's snapshots",
    details:
      "One snapshot of each volume, taken together: by `snapshot create`, by EC2 CreateSnapshots, or for an image. " +
      "What was begun is ended first, also where a newer set has appeared meanwhile.",
  },
  set: {
    value: "WHICH",
    summary: "that set: newest, its start, or a snapshot of it",
    details: "As sources INSTANCE shows them. A set that lacks volumes is taken where it is named here.",
  },
} as const satisfies OptionTable;

/** A snapshot to be acquired or planned. */
export interface Target {
  readonly snapshot: SnapshotId;
  /** Of an instance. */
  readonly set?: SetFacts | undefined;
  readonly volumeSizeGib?: number | undefined;
  readonly state?: string | undefined;
}

export interface InstanceWish {
  readonly instance: string;
  readonly set: string | undefined;
  readonly fresh: boolean;
  /** What has unreadable blocks is not done. */
  readonly retryUnreadable: boolean;
  /** Pending snapshots are waited for. */
  readonly mayWait: boolean;
}

/** What `--instance` and `--set` ask for; `undefined`: snapshots by their ids. Throws `usage`. */
export function instanceWish(
  args: readonly string[],
  options: {
    readonly instance: string | undefined;
    readonly set: string | undefined;
    readonly fresh?: boolean;
    readonly "retry-unreadable"?: boolean;
    readonly wait?: boolean;
  },
  command: string,
): InstanceWish | undefined {
  const { instance, set, fresh = false, "retry-unreadable": retryUnreadable = false, wait = false } = options;
  if (instance === undefined) {
    if (set !== undefined) {
      throw refused("take --set: it chooses among the sets of an instance", "--instance i-… says of which.");
    }
    refuseOtherIds(args, command);
    if (args.length > 0) return undefined;
    throw refused(
      `run ${command}: neither a snapshot nor an instance was named`,
      `coldcase ${command} SNAPSHOT…, or coldcase ${command} --instance i-…`,
    );
  }
  const isId: boolean = isInstanceId(instance);
  if (!isId) {
    throw refused(
      `read instance "${instance.slice(0, 100)}": expected i- and 8 to 17 hexadecimal digits`,
      "An instance that is known by name: coldcase sources --tag Name=NAME",
    );
  }
  if (args.length > 0) {
    throw refused(
      `run ${command}: snapshots and an instance were named`,
      "One or the other; --set SNAPSHOT takes the set that a snapshot is of.",
    );
  }
  return { instance, set, fresh, retryUnreadable, mayWait: wait };
}

/** An incident has an instance's id, or a volume's: what takes those is one word away. */
function refuseOtherIds(args: readonly string[], command: string): void {
  for (const id of args) {
    if (isInstanceId(id)) {
      throw refused(
        `take "${id}" for a snapshot: it is an instance`,
        `Its volumes, taken together: coldcase ${command} --instance ${id}`,
      );
    }
    if (/^vol-[0-9a-f]{8,17}$/.test(id)) {
      throw refused(
        `take "${id}" for a snapshot: it is a volume`,
        `Its snapshots: coldcase sources ${id}`,
      );
    }
  }
}

function refused(what: string, hint: string): OperatorError {
  return new OperatorError("usage", `Cannot ${what}`, { hints: [hint] });
}

/** The snapshots of the set that is meant, by device. Throws `not_found`, `source`, `access`, `usage`. */
export async function instanceTargets(
  context: CommandContext,
  wish: InstanceWish,
  from: { readonly source: AwsSource; readonly store: Store | undefined },
): Promise<readonly Target[]> {
  const { out } = context;
  const { store } = from;
  const begun = store && await begunSet(store, wish);
  if (begun && !wish.fresh && wish.set === undefined) {
    out.note(
      `going on with ${describeSet(begun)}: it was begun. Newer ones are not looked for: --set newest`,
    );
    return targetsOf(begun, []);
  }
  const sets = await findSets(context, wish.instance, from.source);
  const held = store && !store.isReadable ? await heldSnapshots(store) : new Set<string>();
  const choice = choiceOf(sets, wish, held);
  tellChoice(context, choice);
  const { set } = choice;
  const facts = setFactsOf(set, set.members[0]!.snapshot.id);
  const known = set.members.map(({ snapshot }) => snapshot);
  // What was told when it was begun stays in the records of those that come after.
  if (begun && isSameSet(begun, facts)) return targetsOf(begun, known);
  if (begun) {
    const which = begun.startedAt ?? begun.snapshots[0]!.snapshot;
    out.note(`${describeSet(begun)} stays as far as it is: --set ${which} goes on with it`);
  }
  return targetsOf(facts, known);
}

function tellChoice({ out }: CommandContext, { set, passedOver, isBegun }: Choice): void {
  if (isBegun) {
    out.note(
      "some of this set are held already, so it is taken. Newer ones are not looked for: --set newest",
    );
  }
  for (const why of passedOver) out.note(sanitize(why));
  if (set.missing === undefined) {
    out.warn(
      `which volumes ${set.instance} has, or had, EC2 does not tell: this set has all volumes that its snapshots are of`,
    );
  }
  for (const { device, volumeId } of set.missing ?? []) {
    out.warn(`the set has no snapshot of ${device} (${volumeId}): the record says so`);
  }
}

/** By device, those without one last: the order of the list, and of evidence numbers. */
function targetsOf(
  facts: SetFacts,
  known: readonly {
    readonly id: string;
    readonly volumeSizeGib: number | undefined;
    readonly state: string;
  }[],
): Target[] {
  const place = ({ device, snapshot }: SetFacts["snapshots"][number]) => orderOf(device, snapshot);
  return facts.snapshots
    .toSorted((a, b) => place(a) < place(b) ? -1 : 1)
    .map(({ snapshot, device }) => {
      const found = known.find(({ id }) => id === snapshot);
      return {
        snapshot,
        set: { ...facts, device },
        volumeSizeGib: found?.volumeSizeGib,
        state: found?.state,
      };
    });
}

/**
 * The set that the store's last acquisition of this instance is of, while not all of it is held: a newer one must not
 * take its place because the run was interrupted, or because blocks are to be read again.
 */
export async function begunSet(
  store: Store,
  { instance, retryUnreadable }: Pick<InstanceWish, "instance" | "retryUnreadable">,
): Promise<SetFacts | undefined> {
  const begun: { readonly at: string; readonly set: SetFacts }[] = [];
  const underWay = new Set<string>();
  for (const { set, source, createdAt } of await store.journals()) {
    if (source.kind === "aws-ebs") underWay.add(source.snapshot);
    if (set?.instance === instance) begun.push({ at: createdAt, set });
  }
  const held = new Set<string>();
  for (const id of store.isReadable ? await store.exhibitIds() : []) {
    const manifest = await manifestIfAny(store, id);
    if (manifest?.source.kind !== "aws-ebs") continue;
    // Whether it was acquired as one of the set, or by its own id before.
    if (!retryUnreadable || manifest.counts.unreadableBlocks === 0) held.add(manifest.source.snapshot);
    const { set, startedAt } = manifest.acquisition;
    if (set?.instance === instance) begun.push({ at: startedAt, set });
  }
  const newest = begun.sort((a, b) => a.at < b.at ? -1 : 1).at(-1)?.set;
  const isUnfinished = newest?.snapshots.some(({ snapshot }) =>
    underWay.has(snapshot) || !held.has(snapshot)
  );
  return isUnfinished ? newest : undefined;
}

/** Which exhibit is damaged, or closed, is told where each snapshot is looked for among what is held. */
async function manifestIfAny(store: Store, id: ExhibitId): Promise<Manifest | undefined> {
  try {
    return (await store.exhibit(id)).manifest;
  } catch (error) {
    if (isFault(error) || (error instanceof OperatorError && error.code === "identity")) return undefined;
    throw error;
  }
}

/** Of a store that can't be opened: its outside tells which snapshots are in it. */
async function heldSnapshots(store: Store): Promise<Set<string>> {
  const held = new Set<string>();
  for (const id of await store.exhibitIds()) {
    try {
      held.add((await store.outerExhibit(id)).inventory.snapshot);
    } catch (error) {
      // Told where the snapshot is looked for.
      if (!isFault(error)) throw error;
    }
  }
  return held;
}

/** All sets of the instance, own ones, or else shared ones. Throws where there are none. */
async function findSets(
  context: CommandContext,
  instance: string,
  source: AwsSource,
): Promise<SnapshotSet[]> {
  const { out, signal } = context;
  const account = (await source.callerIdentity({ signal }))?.account;
  const wanted = { kind: "instance", id: instance } as const;
  let first: { readonly search: Search; readonly outcome: Outcome } | undefined;
  for (const isShared of [false, true]) {
    // Without the own account's number own and shared ones can't be told apart.
    if (isShared && account === undefined) break;
    const search = new Search({ source, signal, isShared, tags: [], account, onLooked: () => {} });
    const outcome = await search.find(wanted).catch((error) => {
      throw withoutEc2(error, instance);
    });
    first ??= { search, outcome };
    if (outcome.count === 0) continue;
    if (isShared) out.note(`${instance}: no own snapshots; these are shared by another account`);
    const sets = setsOf({
      instance,
      region: source.region,
      snapshots: search.snapshots(),
      attached: outcome.instance?.attachments,
      devicesOfSet: (setId) => search.devicesOfSet(setId),
    });
    if (sets.length > 0) return sets;
  }
  const error = await nothingFound(first!.outcome, {
    search: first!.search,
    tags: [],
    isShared: false,
    source,
  });
  // Shared ones were looked for, too.
  const hints = error.hints.filter((hint) => account === undefined || !hint.includes("--shared"));
  throw new OperatorError(error.code, error.message, { hints, facts: error.facts });
}

/** What still works for whoever may not ask EC2. */
function withoutEc2(error: unknown, instance: string): unknown {
  if (!(error instanceof OperatorError) || error.facts["action"] !== "ec2:DescribeSnapshots") return error;
  return new OperatorError(
    error.code,
    `Cannot know which snapshots are of "${instance}": AWS denies it, ec2:DescribeSnapshots is needed`,
    {
      hints: [
        ...error.hints,
        "Whoever knows the ids needs nothing of EC2: coldcase acquire SNAPSHOT…, one of each volume.",
      ],
      facts: error.facts,
      cause: error,
    },
  );
}
