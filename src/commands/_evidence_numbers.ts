/**
 * Evidence numbers from the command line, one for each exhibit. A snapshot that stands alone has one number; the
 * volumes of an instance have one each, or one number for all, with a suffix by their order. A number that another
 * snapshot has already is warned of and taken: whether it is a mistake the examiner knows.
 */
import { OperatorError } from "../errors.ts";
import type { SnapshotId } from "../model.ts";
import type { Store } from "../store/mod.ts";
import type { Target } from "./_instance.ts";

/**
 * `NUMBER` for one snapshot, `SNAP=NUMBER` for several. Of an instance also `DEVICE=NUMBER` and `VOLUME=NUMBER`, and one
 * `NUMBER` for all the others: `NUMBER-1`, `NUMBER-2`, … in the order of the targets. Throws `usage`.
 */
export function evidenceNumbers(
  values: readonly string[],
  targets: readonly Target[],
): Map<SnapshotId, string> {
  const numbers = new Map<SnapshotId, string>();
  const forAll: string[] = [];
  for (const value of values) {
    const [target, number] = namedTarget(value, targets) ?? [undefined, value];
    const isOwn = target === undefined && targets.length === 1 && !looksNamed(value);
    const known = target ?? (isOwn ? targets[0] : undefined);
    if (known && !numbers.has(known.snapshot)) numbers.set(known.snapshot, number);
    else if (!known && isOfInstance(targets) && !looksNamed(value) && forAll.length === 0) forAll.push(value);
    else throw unclear(value, targets);
  }
  const [prefix] = forAll;
  for (const [position, { snapshot }] of prefix === undefined ? [] : targets.entries()) {
    if (!numbers.has(snapshot)) numbers.set(snapshot, `${prefix}-${position + 1}`);
  }
  return numbers;
}

/** A volume's id, a snapshot's, or a device stands before the number. */
function looksNamed(value: string): boolean {
  return /^(?:snap-[0-9a-f]+|vol-[0-9a-f]+|\/dev\/[^=]+)=/.test(value);
}

function isOfInstance(targets: readonly Target[]): boolean {
  return targets.length > 0 && targets.every(({ set }) => set !== undefined);
}

function namedTarget(value: string, targets: readonly Target[]): [Target, string] | undefined {
  const equals = value.indexOf("=");
  const [name, number] = [value.slice(0, equals), value.slice(equals + 1)];
  if (equals < 1 || number === "") return undefined;
  const target = targets.find(({ snapshot, set }) => {
    const own = set?.snapshots.find((one) => one.snapshot === snapshot);
    return name === snapshot || (own && (name === own.device || name === own.volumeId));
  });
  return target && [target, number];
}

function unclear(value: string, targets: readonly Target[]): OperatorError {
  return new OperatorError(
    "usage",
    `Cannot use evidence number "${value}": which snapshot it is for is not clear`,
    {
      hints: isOfInstance(targets)
        ? [
          "Of an instance give DEVICE=NUMBER, VOLUME=NUMBER or SNAP=NUMBER once for each, or one NUMBER for all: " +
          "NUMBER-1, NUMBER-2, … by device.",
        ]
        : ["With several snapshots give --evidence SNAP=NUMBER once for each."],
    },
  );
}

/** What to warn of: numbers that an exhibit of another snapshot has, or that two of the snapshots get. */
export async function usedNumberNotes(
  store: Store,
  numbers: ReadonlyMap<SnapshotId, string>,
): Promise<string[]> {
  const notes: string[] = [];
  const given = new Map<string, SnapshotId>();
  for (const [snapshot, number] of numbers) {
    const other = given.get(number);
    if (other) notes.push(`evidence number ${number} is given twice, to ${other} and to ${snapshot}`);
    given.set(number, snapshot);
  }
  // Of an encrypted store that nothing opens, the numbers are not known.
  const known = store.isReadable && given.size > 0 ? await store.numbered(new Set(given.keys())) : [];
  for (const { id, manifest: { source }, corrections: { facts } } of known) {
    const snapshot = [...numbers].find(([own, number]) =>
      number === facts.evidence && own !== source.snapshot
    );
    if (!snapshot) continue;
    notes.push(
      `evidence number ${facts.evidence} of ${snapshot[0]} is that of ${id} (${source.snapshot}), too: ` +
        `"coldcase correct EXHIBIT --evidence NUMBER --reason TEXT" gives one of them another`,
    );
  }
  return notes;
}
