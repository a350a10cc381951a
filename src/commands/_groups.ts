/**
 * Exhibits that belong together: those of a case, those of an instance, and of the latter which set of its snapshots each
 * is of and what of the set is not held. Pure but for reading manifests; `ls`, `verify` and `report` show it.
 *
 * A set's record is what the acquisition was told. That a snapshot of it is not held says nothing of the exhibits that are.
 */
import type { CommandContext, OptionTable } from "../cli/mod.ts";
import { OperatorError } from "../errors.ts";
import { isSameSet, type SetFacts } from "../format/snapshot_set.ts";
import type { Exhibit, JournalHead, OuterExhibit, Store } from "../store/mod.ts";
import { isInstanceId } from "../units.ts";
import { caseOf } from "./_corrections.ts";
import { orderOf } from "./_instance_sets.ts";

export const GROUP_OPTIONS = {
  case: {
    value: "CASE",
    summary: "the exhibits of a case, as corrected",
    details: "COLDCASE_CASE does not fill it: it is for what is recorded, and would hide other cases here.",
  },
} as const satisfies OptionTable;

/** Which exhibits are meant: all of some instances, or of a case. */
export interface GroupWish {
  readonly instances: readonly string[];
  readonly case: string | undefined;
}

/** One snapshot of a set. */
export interface SetPlace {
  readonly snapshot: string;
  readonly device: string | null;
  readonly volumeId: string | null;
  /** All that the store holds of it, the oldest first; none: it is not held. */
  readonly exhibits: readonly Exhibit[];
  /** It is being acquired. */
  readonly isBegun: boolean;
}

/** A set as far as the store holds it. */
export interface HeldSet {
  readonly facts: SetFacts;
  /** By device. */
  readonly places: readonly SetPlace[];
}

export interface Group {
  readonly wish: GroupWish;
  /** The oldest acquisition first. */
  readonly exhibits: readonly Exhibit[];
  /** Of the exhibits, the newest set first. */
  readonly sets: readonly HeldSet[];
  /** Exhibits of no such set. */
  readonly single: readonly Exhibit[];
  /** Exhibits that nothing given opens: whether they are of the group is not known. */
  readonly closed: readonly OuterExhibit[];
  /** Exit codes of exhibits of which that is not known: 12, or that of their damage; all was told. */
  readonly codes: readonly number[];
}

/** What arguments and `--case` ask for; `undefined`: no group. Throws `usage` where a case and exhibits are named. */
export function groupWish(
  references: readonly string[],
  { case: caseName }: { readonly case: string | undefined },
): GroupWish | undefined {
  const instances = references.filter((reference) => isInstanceId(reference));
  if (caseName !== undefined && references.length > 0) {
    throw new OperatorError("usage", `Cannot take --case: "${references[0]}" was named, too`, {
      hints: ["Name exhibits or an instance, or a case."],
    });
  }
  return caseName === undefined && instances.length === 0 ? undefined : { instances, case: caseName };
}

/** What the group is called: `case "2026-114"`, `i-0123…`. */
export function groupText({ instances, case: caseName }: GroupWish): string {
  return caseName === undefined ? instances.join(", ") : `case "${caseName}"`;
}

/**
 * Finds them. Exhibits that do not open are told. Throws `not_found` where there are none of the group; `identity` where
 * nothing was given to open the store.
 */
export async function findGroup(context: CommandContext, store: Store, wish: GroupWish): Promise<Group> {
  if (!store.isReadable) {
    throw new OperatorError(
      "identity",
      `Cannot tell which exhibits are of ${
        groupText(wish)
      }: the store is encrypted, and nothing was given to open it with`,
      { hints: [...await store.access.identityHints(), '"coldcase ls" lists what shows from outside.'] },
    );
  }
  const { all, closed, errors } = await openAll(store);
  const exhibits = all.filter((exhibit) => isOf(exhibit, wish));
  if (exhibits.length === 0) {
    // It may be one of those that do not open.
    throw errors[0] ?? noneOf({ wish, store, journals: await store.journals() });
  }
  for (const error of errors) context.out.error(error);
  const codes = errors.map(({ exitCode }) => exitCode);
  const sets = setsOf(exhibits, all, await store.journals());
  // Acquired by its own id, an exhibit has no set in its record, and is of one nevertheless.
  const held = new Set(sets.flatMap(({ places }) => places.flatMap((place) => place.exhibits)));
  const members = wish.case === undefined
    ? all.filter((exhibit) => exhibits.includes(exhibit) || held.has(exhibit))
    : exhibits;
  return { wish, exhibits: members, sets, single: members.filter((one) => !held.has(one)), closed, codes };
}

/** A run that was killed before its first commit left no exhibit, and what it recorded all the same. */
function noneOf(
  { wish, store, journals }: {
    readonly wish: GroupWish;
    readonly store: Store;
    readonly journals: readonly JournalHead[];
  },
): OperatorError {
  const begun = wish.instances.find((instance) => journals.some(({ set }) => set?.instance === instance));
  const hint = begun &&
    `An acquisition of it is not finished: coldcase acquire --instance ${begun} goes on with it`;
  return new OperatorError(
    "not_found",
    `Cannot find exhibits of ${groupText(wish)}: the store "${store.path}" holds none${begun ? " yet" : ""}`,
    {
      hints: [...(hint ? [hint] : []), 'Run "coldcase ls" to see what it holds.'],
      facts: { store: store.path },
    },
  );
}

/** Each exhibit that opens, the oldest acquisition first, and why others do not: they may be meant, too. */
async function openAll(store: Store) {
  const all: Exhibit[] = [];
  const closed: OuterExhibit[] = [];
  const errors: OperatorError[] = [];
  for (const id of await store.exhibitIds()) {
    try {
      all.push(await store.exhibit(id));
    } catch (error) {
      if (!(error instanceof OperatorError)) throw error;
      errors.push(error);
      if (error.code === "identity") closed.push(await store.outerExhibit(id));
    }
  }
  const startOf = ({ manifest }: Exhibit) => manifest.acquisition.startedAt;
  all.sort((a, b) => startOf(a) < startOf(b) ? -1 : 1);
  return { all, closed, errors };
}

function isOf(exhibit: Exhibit, { instances, case: caseName }: GroupWish): boolean {
  if (caseName !== undefined) return caseOf(exhibit).case === caseName;
  const { set, snapshot } = exhibit.manifest.acquisition;
  return instances.includes(set?.instance ?? snapshot.instance ?? "");
}

/** @param all Of the store: a snapshot of a set is held also where another acquisition took it. */
function setsOf(
  exhibits: readonly Exhibit[],
  all: readonly Exhibit[],
  journals: readonly JournalHead[],
): HeldSet[] {
  const facts: SetFacts[] = [];
  for (const { manifest } of exhibits.toReversed()) {
    const { set } = manifest.acquisition;
    if (set && !facts.some((known) => isSameSet(known, set))) facts.push(set);
  }
  facts.sort((a, b) => (a.startedAt ?? "") > (b.startedAt ?? "") ? -1 : 1);
  return facts.map((set) => ({
    facts: set,
    places: set.snapshots
      .map((place) => ({
        ...place,
        exhibits: all.filter(({ manifest }) => manifest.source.snapshot === place.snapshot),
        isBegun: journals.some(({ source }) => source.snapshot === place.snapshot),
      }))
      .sort((a, b) => orderOf(a.device, a.snapshot) < orderOf(b.device, b.snapshot) ? -1 : 1),
  }));
}

/** Snapshots of the set that the store does not hold. */
export function notHeld({ places }: HeldSet): readonly SetPlace[] {
  return places.filter(({ exhibits }) => exhibits.length === 0);
}

/** `snap-… (/dev/sdf), snap-… (/dev/sdg)`. */
export function placesText(places: readonly Pick<SetPlace, "snapshot" | "device">[]): string {
  return places.map(({ snapshot, device }) => device === null ? snapshot : `${snapshot} (${device})`).join(
    ", ",
  );
}

/** For programs. */
export function setEvent(set: HeldSet) {
  const { instance, knownBy, startedAt, missingVolumes } = set.facts;
  const missing = notHeld(set);
  return {
    instance,
    knownBy,
    startedAt,
    missingVolumes,
    expectedSnapshots: set.places.length,
    heldSnapshots: set.places.length - missing.length,
    snapshots: set.places.map(({ exhibits, ...place }) => ({
      ...place,
      exhibits: exhibits.map(({ id }) => id),
    })),
  };
}

/** What of the sets is not held, as an error that ends nothing; `undefined`: all of them are. */
export function incompleteSets(verb: string, { sets }: Group): OperatorError | undefined {
  const lacking = sets.filter((set) => notHeld(set).length > 0);
  if (lacking.length === 0) return undefined;
  const texts = lacking.map((set) => {
    const missing = notHeld(set);
    const held = set.places.length - missing.length;
    return `of ${set.places.length} snapshots of ${set.facts.instance} ${held} are held, lacking ${
      placesText(missing)
    }`;
  });
  return new OperatorError("incomplete", `Cannot ${verb} the whole set: ${texts.join("; ")}`, {
    hints: lacking.map((set) => {
      const [first] = notHeld(set);
      return `"coldcase acquire --instance ${set.facts.instance} --set ${
        first!.snapshot
      }" goes on with it, while the snapshots exist.`;
    }),
  });
}
