/**
 * Which exhibit somebody means: by an exhibit id, an evidence number, the start of an image digest, or a snapshot id.
 * Of exhibits that can't be opened only ids are known. One damaged exhibit must not stop work on the others: what was
 * passed over is told.
 */
import { isFault, OperatorError } from "../errors.ts";
import type { ExhibitId, SnapshotId } from "../model.ts";
import { isExhibitId, isSnapshotId } from "../units.ts";
import type { Exhibit } from "./_exhibit.ts";
import type { OuterExhibit } from "./_outer.ts";

/** What is looked through. */
export interface ExhibitShelf {
  readonly path: string;
  exhibitIds(): Promise<ExhibitId[]>;
  exhibit(id: ExhibitId): Promise<Exhibit>;
  outerExhibit(id: ExhibitId): Promise<OuterExhibit>;
}

interface Sound<T> {
  readonly sound: readonly T[];
  /** Why others are not among them. */
  readonly faults: readonly OperatorError[];
}

async function soundOnes<T>(shelf: ExhibitShelf, load: (id: ExhibitId) => Promise<T>): Promise<Sound<T>> {
  const sound: T[] = [];
  const faults: OperatorError[] = [];
  for (const id of await shelf.exhibitIds()) {
    try {
      sound.push(await load(id));
    } catch (error) {
      if (!isFault(error)) throw error;
      faults.push(error);
    }
  }
  return { sound, faults };
}

/** Those that can be opened, the oldest acquisition first. */
async function openedOnes(shelf: ExhibitShelf): Promise<Sound<Exhibit>> {
  const { sound, faults } = await soundOnes(shelf, (id) => shelf.exhibit(id));
  return { sound: sound.toSorted(byStart), faults };
}

/** All that are not damaged from outside, the oldest commit first. */
async function closedOnes(shelf: ExhibitShelf): Promise<Sound<OuterExhibit>> {
  const { sound, faults } = await soundOnes(shelf, (id) => shelf.outerExhibit(id));
  return {
    sound: sound.toSorted((a, b) => a.inventory.committedAt < b.inventory.committedAt ? -1 : 1),
    faults,
  };
}

export function byStart(a: Exhibit, b: Exhibit): number {
  const [first, second] = [a.manifest.acquisition.startedAt, b.manifest.acquisition.startedAt];
  return first < second ? -1 : first > second ? 1 : 0;
}

/**
 * The exhibit that `reference` names: an exhibit id, an evidence number, the start of an image digest (at
 * least six digits), or a snapshot id (its newest exhibit that no other supersedes).
 *
 * Throws `not_found`, or `usage` with the candidates where it is ambiguous.
 */
export async function findExhibit(shelf: ExhibitShelf, reference: string): Promise<Exhibit> {
  if (isExhibitId(reference)) return await shelf.exhibit(reference);
  const { sound: all, faults } = await openedOnes(shelf);
  if (isSnapshotId(reference)) {
    const newest = newestAmong(all, reference);
    if (newest) return newest;
  } else {
    const isDigestPrefix = /^[0-9a-f]{6,64}$/.test(reference);
    const matches = all.filter(({ manifest }) =>
      manifest.acquisition.case.evidence === reference ||
      (isDigestPrefix && manifest.imageDigest.startsWith(reference))
    );
    if (matches.length === 1) return matches[0]!;
    if (matches.length > 1) {
      throw new OperatorError(
        "usage",
        `Cannot tell which exhibit "${reference}" is: ${matches.length} match`,
        {
          hints: [`Name one of ${matches.map((match) => match.id).join(", ")}.`],
          facts: { store: shelf.path, reference },
        },
      );
    }
  }
  // It may be one of those that are damaged.
  if (faults[0]) throw faults[0];
  throw notFound(shelf, reference);
}

/**
 * The same without opening any: by exhibit id or snapshot id (the one committed last). Throws `not_found`; `identity` for
 * what only manifests tell.
 */
export async function findClosed(shelf: ExhibitShelf, reference: string): Promise<OuterExhibit> {
  if (isExhibitId(reference)) return await shelf.outerExhibit(reference);
  if (!isSnapshotId(reference)) {
    throw new OperatorError(
      "identity",
      `Cannot find exhibit "${reference}": the store is encrypted, and evidence numbers and digests are, too`,
      {
        hints: ["Give an exhibit id or a snapshot id, or the identity file with -i FILE."],
        facts: { store: shelf.path, reference },
      },
    );
  }
  const { sound, faults } = await closedOnes(shelf);
  const newest = sound.findLast(({ inventory }) => inventory.snapshot === reference);
  if (newest) return newest;
  if (faults[0]) throw faults[0];
  throw notFound(shelf, reference);
}

function notFound({ path }: ExhibitShelf, reference: string): OperatorError {
  return new OperatorError(
    "not_found",
    `Cannot find exhibit "${reference}": the store "${path}" does not hold it`,
    {
      hints: [`Run "coldcase ls" to see what it holds.`],
      facts: { store: path, reference },
    },
  );
}

interface Wanted {
  readonly snapshot: SnapshotId;
  /** Told why an exhibit was passed over. */
  onFault(fault: OperatorError): void;
}

/** The newest exhibit of a snapshot that no other supersedes. */
export async function newestOfSnapshot(
  shelf: ExhibitShelf,
  { snapshot, onFault }: Wanted,
): Promise<Exhibit | undefined> {
  const { sound, faults } = await openedOnes(shelf);
  for (const fault of faults) onFault(fault);
  return newestAmong(sound, snapshot);
}

/** The same without opening any: the one committed last. */
export async function newestClosedOfSnapshot(
  shelf: ExhibitShelf,
  { snapshot, onFault }: Wanted,
): Promise<OuterExhibit | undefined> {
  const { sound, faults } = await closedOnes(shelf);
  for (const fault of faults) onFault(fault);
  return sound.findLast(({ inventory }) => inventory.snapshot === snapshot);
}

function newestAmong(exhibits: readonly Exhibit[], snapshot: SnapshotId): Exhibit | undefined {
  const superseded = new Set(exhibits.map((exhibit) => exhibit.manifest.supersedes));
  return exhibits.findLast((exhibit) =>
    exhibit.manifest.source.snapshot === snapshot && !superseded.has(exhibit.id)
  );
}
