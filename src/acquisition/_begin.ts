/**
 * How an acquisition begins: the journal of an earlier session is taken up, if the command is still of the
 * same thing, or a new one is started, on a parent where there is one. Nothing is fetched here.
 */
import { OperatorError } from "../errors.ts";
import { IMPORTED_KIND, type ServiceFacts } from "../format/manifest.ts";
import { describeSet, isSameSet } from "../format/snapshot_set.ts";
import type { SnapshotDescription, SnapshotId, VolumeShape } from "../model.ts";
import type { Acquisition, JournalHead } from "../store/mod.ts";
import { formatTime } from "../units.ts";
import type { Described } from "./_description.ts";
import type { AcquireInput } from "./_input.ts";
import { chooseParent, whyNotParent } from "./_parent.ts";

/** An acquisition that a session can work on. */
export interface BegunAcquisition {
  readonly acquisition: Acquisition;
  readonly described: Described;
}

/** Which of its blocks are unreadable stands in what nobody here can open. */
function closedForRetry(exhibit: string): OperatorError {
  return new OperatorError(
    "identity",
    `Cannot retry unreadable blocks of "${exhibit}": it is encrypted, and nothing was given to open it with`,
    { hints: ["Give an identity with -i FILE, or the --lineage-key that it was acquired with."] },
  );
}

/** What tells whether a journal is of the same command. */
type Wanted = Pick<AcquireInput, "store" | "source" | "snapshot" | "parent" | "set" | "fresh">;

/** The journal of an acquisition: an import of the same snapshot has one of its own. */
type AcquisitionHead = JournalHead & { readonly source: ServiceFacts };

export async function findJournal(
  input: Pick<Wanted, "store" | "snapshot">,
): Promise<AcquisitionHead | undefined> {
  return (await input.store.journals()).findLast((head): head is AcquisitionHead =>
    head.source.snapshot === input.snapshot && head.source.kind === "aws-ebs"
  );
}

/**
 * Refuses a command that is not of what the snapshot's journal began with. To be asked before the service is: in
 * the wrong Region that would say that there is no such snapshot. Throws `usage`.
 */
export async function refuseOtherJournal(input: Wanted): Promise<void> {
  const head = await findJournal(input);
  if (head && !input.fresh) refuseOtherCommand(input, head, await wantedParent(input, head));
}

/** Takes up the journal of the snapshot, or starts one. */
export async function openAcquisition(input: AcquireInput): Promise<BegunAcquisition> {
  const { source, store, snapshot } = input;
  const answer = await source.describe(snapshot, { signal: input.signal });
  const described = { answer, describedAt: formatTime(input.clock.nowMs()) };
  const { description } = answer;
  refuseUnreadableState(snapshot, description);
  const head = await findJournal(input);
  if (head && !input.fresh) {
    const acquisition = await store.resume(head);
    const { parent } = acquisition;
    const fault = parent && await whyNotParent({ store, source, shape: acquisition.shape }, parent);
    if (fault) await acquisition.dropParent(`${parent.id}: ${fault}`);
    return { acquisition, described };
  }
  const shape = await firstShape(input);
  if (head) await store.abandon(head);
  const supersedes = store.isReadable ? await store.newestOf(snapshot) : undefined;
  const newest = supersedes ?? await store.newestOuterOf(snapshot);
  // What was imported is another kind of evidence, and stays beside.
  const imported = store.isReadable ? await store.newestOf(snapshot, IMPORTED_KIND) : undefined;
  const superseded = newest?.id === imported?.id ? undefined : newest;
  if (superseded && !supersedes && input.retryUnreadable && !input.fresh) throw closedForRetry(superseded.id);
  // A parent that was asked for by name stays the one: the same command must be able to resume.
  const isTold = input.parent !== undefined && input.parent !== "auto";
  const isRetry = supersedes && input.retryUnreadable && !input.fresh && !isTold;
  const wish = isRetry ? supersedes : input.parent ?? "auto";
  const known = { store, source, snapshot, shape, description, signal: input.signal };
  const { parent, dropped } = await chooseParent({ ...known, wish });
  const acquisition = await store.begin({
    source: {
      kind: "aws-ebs",
      endpoint: source.endpoint,
      isAws: source.isAws,
      region: source.region,
      snapshot,
    },
    shape,
    parent,
    supersedes: superseded?.id,
    set: input.set,
  });
  if (dropped) await acquisition.dropParent(dropped);
  return { acquisition, described };
}

/** Only a completed snapshot in the standard tier can be read. Throws `source`. */
export function refuseUnreadableState(
  snapshot: SnapshotId,
  description: SnapshotDescription | undefined,
): void {
  if (!description) return;
  const { state, storageTier } = description;
  if (state === "completed" && storageTier !== "archive") return;
  const [is, hint] = storageTier === "archive"
    ? [
      "in the archive tier",
      `Restore it to the standard tier first (hours), then run the same command again: aws ec2 restore-snapshot-tier --snapshot-id ${snapshot} --temporary-restore-days 14`,
    ]
    : state === "pending"
    ? [
      "pending",
      "Wait until it is completed: acquire --wait does, and goes on by itself.",
    ]
    : [`in state "${state}"`, "Only a completed snapshot can be read; take another one."];
  throw new OperatorError("source", `Cannot acquire "${snapshot}": it is ${is}`, {
    hints: [hint],
    facts: { snapshot, reason: "SNAPSHOT_STATE" },
  });
}

/** The parent that the command asks for, as the journal's head would name it. */
async function wantedParent(input: Wanted, head: JournalHead): Promise<string | undefined> {
  const { source, store, parent } = input;
  if (parent === undefined || parent === "auto") return head.parent?.exhibit;
  if (parent === "none") return undefined;
  // One that was found to be of no use when it began is in no head: the same command says it again.
  const isUsed = head.parent !== null ||
    await whyNotParent({ store, source, shape: head.volume }, parent) === undefined;
  return isUsed ? parent.id : undefined;
}

/** A resumed acquisition must be of the same thing (design: resume). */
function refuseOtherCommand(input: Wanted, head: AcquisitionHead, wanted: string | undefined): void {
  const { source, snapshot } = input;
  const differences: [string, string, string, string][] = [
    ["Region", "--region", head.source.region, source.region],
    ["endpoint", "--endpoint-url", head.source.endpoint, source.endpoint],
    ["parent", "--parent", head.parent?.exhibit ?? "none", wanted ?? "none"],
  ];
  const difference = differences.find(([, , before, now]) => before !== now);
  if (!difference) return refuseOtherSet(input, head);
  const [what, option, before, now] = difference;
  throw new OperatorError(
    "usage",
    `Cannot resume "${snapshot}": it was begun with ${what} ${before}, this command has ${now}`,
    {
      hints: [`Run the same command with ${option} ${before}, or with --fresh to start anew.`],
      facts: { snapshot, exhibit: head.exhibit, what, before, now },
    },
  );
}

/** A snapshot that is acquired by its id goes on with the set that it was begun with. */
function refuseOtherSet({ set, snapshot }: Wanted, head: AcquisitionHead): void {
  if (set === undefined || (head.set !== null && isSameSet(head.set, set))) return;
  const before = head.set === null ? "by its own id" : `with ${describeSet(head.set)}`;
  const now = describeSet(set);
  throw new OperatorError(
    "usage",
    `Cannot resume "${snapshot}": it was begun ${before}, this command has ${now}`,
    {
      hints: [
        `Run acquire ${snapshot}, by its id, to end it as it was begun, or this command with --fresh to start anew.`,
      ],
      facts: { snapshot, exhibit: head.exhibit, what: "set", before, now },
    },
  );
}

/** Shape of the volume, from the first page of its listing. */
async function firstShape(input: AcquireInput): Promise<VolumeShape> {
  for await (const page of input.source.listBlocks(input.snapshot, { signal: input.signal })) {
    return page.shape;
  }
  throw new OperatorError("source", `Cannot list blocks of "${input.snapshot}": the service gave no page`);
}
