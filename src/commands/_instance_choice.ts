/**
 * Which of an instance's sets is meant: the newest complete one, or the one that was named. Pure. What is wrong with the
 * others is said, and where none will do, the next step.
 */
import { OperatorError } from "../errors.ts";
import { formatCount } from "../units.ts";
import { isComplete, lacks, type SnapshotSet } from "./_instance_sets.ts";

export interface Choice {
  readonly set: SnapshotSet;
  /** It was taken because some of it is held, not because it is the newest. */
  readonly isBegun: boolean;
  /** Newer sets, and why they were not taken: a sentence each, the newest first. */
  readonly passedOver: readonly string[];
}

/** Newer sets that are told of at most. */
const MAX_TOLD = 3;

/**
 * Of sets that are sorted, the newest first. `held`: snapshots in a store that nobody here can open, where that is so.
 * Throws `not_found`, `source`, `usage`.
 */
export function choiceOf(
  sets: readonly SnapshotSet[],
  wish: {
    readonly instance: string;
    readonly set: string | undefined;
    readonly fresh: boolean;
    readonly mayWait: boolean;
  },
  held: ReadonlySet<string>,
): Choice {
  const { set: which, fresh, mayWait } = wish;
  if (which !== undefined && which !== "newest") {
    return { set: named(sets, wish.instance, which), isBegun: false, passedOver: [] };
  }
  const isHeld = ({ snapshot }: SnapshotSet["members"][number]) => held.has(snapshot.id);
  const begun = sets.find(({ members }) => members.some(isHeld));
  if (begun && !begun.members.every(isHeld) && which === undefined && !fresh) {
    return { set: begun, isBegun: true, passedOver: [] };
  }
  const at = sets.findIndex((set) => isComplete(set, mayWait));
  if (at < 0) throw noneComplete(sets, wish.instance);
  const passedOver = sets.slice(0, Math.min(at, MAX_TOLD)).map((set) =>
    `a newer set, ${setName(set)}, was passed over: it ${fault(set)}`
  );
  return { set: sets[at]!, isBegun: false, passedOver };
}

/** `started 2026-01-02T03:04:05.678Z`, or by a snapshot where they have several starts. */
export function setName({ startedAt, members }: SnapshotSet): string {
  return startedAt === undefined ? `with ${members[0]!.snapshot.id}` : `started ${startedAt}`;
}

/** What `--set` takes for it. */
export function setHandle({ startedAt, members }: SnapshotSet): string {
  return startedAt ?? members[0]!.snapshot.id;
}

/** `undefined`: nothing is wrong. What it lacks comes first: no waiting helps. */
export function faultOf(set: SnapshotSet): string | undefined {
  const missing = lacks(set).map(({ device, volumeId }) =>
    device === "" ? volumeId : `${device} (${volumeId})`
  );
  if (missing.length > 0) {
    return `has no snapshot of ${missing.slice(0, 12).join(", ")}${
      missing.length > 12 ? `, and ${missing.length - 12} more` : ""
    }`;
  }
  const hindered = set.members.find(({ hindrance }) => hindrance && hindrance.reason !== "pending") ??
    set.members.find(({ hindrance }) => hindrance);
  return hindered?.hindrance &&
    `has a snapshot that can't be read, ${hindered.snapshot.id}: ${hindered.hindrance.why}`;
}

function fault(set: SnapshotSet): string {
  return faultOf(set) ?? "is complete";
}

function noneComplete(sets: readonly SnapshotSet[], instance: string): OperatorError {
  const newest = sets[0]!;
  const isLacking = lacks(newest).length > 0;
  const isPending = !isLacking && isComplete(newest, true);
  const anyway = `What there is of it, all the same: --instance ${instance} --set ${setHandle(newest)}`;
  const create = `Take a new set, of all its volumes: coldcase snapshot create ${instance}`;
  const nextSteps = [
    ...new Set(
      newest.members.flatMap(({ hindrance, snapshot }) =>
        hindrance && hindrance.reason !== "pending" ? [`${snapshot.id}: ${hindrance.nextStep}`] : []
      ),
    ),
  ].slice(0, 3);
  return new OperatorError(
    isLacking ? "not_found" : "source",
    `Cannot take a complete set of the snapshots of "${instance}": there is none; the newest, ${
      setName(newest)
    }, ${fault(newest)}`,
    {
      hints: isPending
        ? ["Wait for it: the same command with --wait", anyway]
        : [...(isLacking ? [] : nextSteps), create, anyway, `All sets: coldcase sources ${instance}`],
      facts: { instance, sets: sets.length },
    },
  );
}

/** By a snapshot, or by the beginning of a start time. */
function named(sets: readonly SnapshotSet[], instance: string, which: string): SnapshotSet {
  const wanted = which.replace(" ", "T");
  const isMeant = ({ startedAt, members }: SnapshotSet) =>
    members.some(({ snapshot }) => snapshot.id === which) ||
    (/^\d{4}-\d\d/.test(wanted) && startedAt !== undefined && startedAt.startsWith(wanted.replace(/Z$/, "")));
  const meant = sets.filter(isMeant);
  if (meant.length === 1) return meant[0]!;
  const candidates = (meant.length > 0 ? meant : sets).slice(0, 6).map((set) =>
    `${setHandle(set)}: ${formatCount(set.members.length)} ${
      set.members.length === 1 ? "snapshot" : "snapshots"
    }${faultOf(set) === undefined ? "" : `, ${faultOf(set)}`}`
  );
  throw new OperatorError(
    meant.length > 0 ? "usage" : "not_found",
    meant.length > 0
      ? `Cannot choose a set of "${instance}" by "${which}": ${meant.length} begin so`
      : `Cannot find set "${
        which.slice(0, 100)
      }" of "${instance}": no start time and no snapshot of its sets is that`,
    { hints: [...candidates, `All of them: coldcase sources ${instance}`] },
  );
}
