/**
 * Finds the exhibits of a store by what people call them. One that is damaged must not stop work on the others: it is
 * passed over where another one is meant, and that is told.
 */
import { isFault, OperatorError } from "../errors.ts";
import { IMPORTED_KIND, type SourceFacts } from "../format/manifest.ts";
import type { ExhibitId, SnapshotId } from "../model.ts";
import { isExhibitId, isInstanceId, isSnapshotId } from "../units.ts";
import type { Exhibit } from "./_exhibit.ts";
import type { OuterExhibit } from "./_outer.ts";
import { isUnopened } from "./_verify_unopened.ts";

/** What of a store is needed here. */
export interface ExhibitListParts {
  /** Of the store, for messages. */
  readonly path: string;
  ids(): Promise<readonly ExhibitId[]>;
  open(id: ExhibitId): Promise<Exhibit>;
  outer(id: ExhibitId): Promise<OuterExhibit>;
  /** Told of each exhibit that was passed over, or found by what it is not called any more. */
  passOver(text: string): void;
}

/** One that none of the identities opens. */
interface ClosedExhibit {
  readonly outer: OuterExhibit;
  readonly error: OperatorError;
}

interface SortedOut {
  readonly sound: readonly Exhibit[];
  readonly faults: readonly OperatorError[];
  readonly closed: readonly ClosedExhibit[];
}

export class ExhibitList {
  readonly #parts: ExhibitListParts;

  constructor(parts: ExhibitListParts) {
    this.#parts = parts;
  }

  /** One exhibit that is damaged, or closed to these identities, must not stop work on the others. */
  async #soundExhibits(): Promise<SortedOut> {
    const sound: Exhibit[] = [];
    const faults: OperatorError[] = [];
    const closed: ClosedExhibit[] = [];
    for (const id of await this.#parts.ids()) {
      try {
        sound.push(await this.#parts.open(id));
      } catch (error) {
        if (isUnopened(error)) closed.push({ outer: await this.#parts.outer(id), error });
        else if (isFault(error)) faults.push(error);
        else throw error;
      }
    }
    // Where none opens, it is the identity that is wrong.
    if (sound.length + faults.length === 0 && closed[0]) throw closed[0].error;
    return { sound: sound.sort(byStart), faults, closed };
  }

  /**
   * The exhibit that `reference` names: an exhibit id, an evidence number (as corrected, else as it was), the start of
   * an image digest (at least six digits), or a snapshot id (its newest exhibit that no other supersedes; one that was
   * acquired and one that was imported are two).
   *
   * Throws `not_found`; `usage` with the candidates where it is ambiguous; `identity` where it may be one that nothing
   * opens.
   */
  async find(reference: string): Promise<Exhibit> {
    if (isExhibitId(reference)) return await this.#parts.open(reference);
    const { sound: all, faults, closed } = await this.#soundExhibits();
    if (isInstanceId(reference)) refuseInstance(this.#parts.path, reference, all);
    if (isSnapshotId(reference)) {
      refuseClosed(closed, reference);
      const newest = newestOf(all, reference);
      const imported = newestOf(all, reference, IMPORTED_KIND);
      if (newest && imported) throw ambiguous(this.#parts.path, reference, [newest, imported]);
      if (newest ?? imported) return (newest ?? imported)!;
    } else {
      const isDigestPrefix = /^[0-9a-f]{6,64}$/.test(reference);
      const matches = all.filter(({ corrections, manifest }) =>
        corrections.facts.evidence === reference ||
        (isDigestPrefix && manifest.imageDigest.startsWith(reference))
      );
      if (matches.length === 0) matches.push(...this.#formerly(all, reference));
      if (matches.length === 1) return matches[0]!;
      if (matches.length > 1) throw ambiguous(this.#parts.path, reference, matches);
    }
    // It may be one of those that are damaged.
    if (faults[0]) throw faults[0];
    if (closed[0] && !isSnapshotId(reference)) throw closed[0].error;
    throw new OperatorError(
      "not_found",
      `Cannot find exhibit "${reference}": the store "${this.#parts.path}" does not hold it`,
      {
        hints: [`Run "coldcase ls" to see what it holds.`],
        facts: { store: this.#parts.path, reference },
      },
    );
  }

  /** Exhibits that had an evidence number until it was corrected, or by one of several corrections: told, if they are it. */
  #formerly(exhibits: readonly Exhibit[], number: string): Exhibit[] {
    const found = exhibits.filter(({ corrections: { recorded, all } }) =>
      [recorded, ...all.map(({ document }) => document.after)].some(({ evidence }) => evidence === number)
    );
    for (const { id, corrections: { facts } } of found) {
      this.#parts.passOver(
        // Escaped: it may hold a line feed, and this is shown as a line.
        `Evidence number ${JSON.stringify(number)} of ${id} was corrected: it is ${
          facts.evidence === null ? "none" : JSON.stringify(facts.evidence)
        } now`,
      );
    }
    return found;
  }

  /** What can be known of the exhibit that `reference` names without opening it: an exhibit id, or a snapshot id. */
  async findOuter(reference: string): Promise<OuterExhibit> {
    if (isExhibitId(reference)) return await this.#parts.outer(reference);
    const newest = isSnapshotId(reference) ? await this.newestOuterOf(reference) : undefined;
    if (newest) return newest;
    throw new OperatorError(
      "not_found",
      `Cannot find exhibit "${reference}": the store "${this.#parts.path}" is encrypted, and shows ids of exhibits and snapshots only`,
      {
        hints: [`Give an identity with -i FILE, or an id: "coldcase ls" shows them.`],
        facts: { store: this.#parts.path, reference },
      },
    );
  }

  /** The exhibit of a snapshot that was committed last, unopened. Damaged ones are passed over, and that is told. */
  async newestOuterOf(snapshot: SnapshotId): Promise<OuterExhibit | undefined> {
    let newest: OuterExhibit | undefined;
    for (const id of await this.#parts.ids()) {
      try {
        const outer = await this.#parts.outer(id);
        if (outer.inventory.snapshot !== snapshot) continue;
        if (!newest || outer.inventory.committedAt > newest.inventory.committedAt) newest = outer;
      } catch (error) {
        if (!isFault(error)) throw error;
        this.#parts.passOver(`An exhibit was passed over: ${error.message}`);
      }
    }
    return newest;
  }

  /**
   * The newest exhibit of a snapshot that no other supersedes. Damaged ones are passed over, and that is told.
   *
   * @param kind Of its source: what was imported never stands for what was acquired.
   */
  async newestOf(snapshot: SnapshotId, kind?: SourceFacts["kind"]): Promise<Exhibit | undefined> {
    const { sound, faults, closed } = await this.#soundExhibits();
    refuseClosed(closed, snapshot);
    for (const { message } of faults) this.#parts.passOver(`An exhibit was passed over: ${message}`);
    return newestOf(sound, snapshot, kind);
  }

  /** Exhibits whose evidence number is one of these, as corrected. Those that do not open are passed over. */
  async numbered(numbers: ReadonlySet<string>): Promise<Exhibit[]> {
    const { sound } = await this.#soundExhibits();
    return sound.filter(({ corrections: { facts } }) =>
      facts.evidence !== null && numbers.has(facts.evidence)
    );
  }
}

/** Which one of a snapshot is the newest is not known while one of them is closed: it says what it supersedes. */
function refuseClosed(closed: readonly ClosedExhibit[], snapshot: SnapshotId): void {
  const own = closed.find(({ outer }) => outer.inventory.snapshot === snapshot);
  if (own) throw own.error;
}

/** The oldest acquisition first. */
export function byStart(a: Exhibit, b: Exhibit): number {
  const [first, second] = [a.manifest.acquisition.startedAt, b.manifest.acquisition.startedAt];
  return first < second ? -1 : first > second ? 1 : 0;
}

function newestOf(
  exhibits: readonly Exhibit[],
  snapshot: SnapshotId,
  kind: SourceFacts["kind"] = "aws-ebs",
): Exhibit | undefined {
  const superseded = new Set(exhibits.map((exhibit) => exhibit.manifest.supersedes));
  return exhibits.findLast(({ id, manifest: { source } }) =>
    source.snapshot === snapshot && source.kind === kind && !superseded.has(id)
  );
}

/** An instance is as many exhibits as it has volumes: one is to be named, also where the store holds one. */
function refuseInstance(store: string, instance: string, all: readonly Exhibit[]): void {
  const own = all.filter(({ manifest: { acquisition } }) =>
    (acquisition.set?.instance ?? acquisition.snapshot.instance) === instance
  );
  if (own.length === 0) return;
  throw new OperatorError(
    "usage",
    `Cannot tell which exhibit "${instance}" is: it is an instance, ${own.length} of its volumes are held`,
    {
      hints: [
        `Name one of ${own.map(({ id }) => id).join(", ")}.`,
        `"coldcase ls ${instance}" shows which is which.`,
      ],
      facts: { store, reference: instance },
    },
  );
}

function ambiguous(store: string, reference: string, matches: readonly Exhibit[]): OperatorError {
  return new OperatorError(
    "usage",
    `Cannot tell which exhibit "${reference}" is: ${matches.length} match`,
    {
      hints: [`Name one of ${matches.map((match) => match.id).join(", ")}.`],
      facts: { store, reference },
    },
  );
}
