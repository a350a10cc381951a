/**
 * What counts of an exhibit's case: the manifest's facts, or what signed corrections make of them. Each correction
 * names the ones that it follows, so that their order is no clock's. Two that follow the same one are a fork: which
 * of them counts nobody can tell, so the manifest's facts count until another one follows both.
 *
 * @see store-format.md, "Corrections"
 */
import { Buffer } from "node:buffer";
import { isFault, OperatorError } from "../errors.ts";
import {
  type Addendum,
  type Correction,
  decodeAnyAddendum,
  differingMembers,
  MAX_ADDENDUM_BYTES,
} from "../format/addendum.ts";
import { sha256 } from "../format/digests.ts";
import type { CaseFacts, Manifest } from "../format/manifest.ts";
import type { Digest, ExhibitId, ObjectName, ObjectStorage } from "../model.ts";
import type { Contents } from "./_contents.ts";
import { EXHIBITS_FOLDER, parseName } from "./_layout.ts";
import { checkSignatures, type SignedFile } from "./_signatures.ts";
import { isUnopened } from "./_verify_unopened.ts";

export interface HeldCorrection extends SignedFile<Correction> {
  /** SHA-256 of the document: what the next one names. */
  readonly digest: Digest;
}

/** What is wrong with corrections among themselves, each of them being sound. */
export interface CorrectionFault {
  readonly code: "addendum_damaged" | "correction_missing" | "correction_forked";
  readonly file: ObjectName;
  readonly message: string;
}

/** An exhibit's case, and how it came to be what it is. */
export interface Corrections {
  /** What counts. */
  readonly facts: CaseFacts;
  /** As the manifest has them. */
  readonly recorded: CaseFacts;
  /** Those that are sound, each after the ones that it follows. */
  readonly all: readonly HeldCorrection[];
  /** Those that no other follows, ascending: several are a fork. */
  readonly heads: readonly HeldCorrection[];
  readonly faults: readonly CorrectionFault[];
  /** Why addenda could not be read: there may be corrections among them. */
  readonly unread: readonly OperatorError[];
}

/** What corrections are of. */
export interface CorrectedExhibit {
  readonly id: ExhibitId;
  readonly manifest: Manifest;
  readonly manifestDigest: Digest;
}

const CORRECTION_TYPE = "coldcase-correction";

/** Reads an exhibit's corrections. What can't be read is kept in `unread`: an exhibit opens without them. */
export async function readCorrections(
  { storage, contents }: { readonly storage: ObjectStorage; readonly contents: Contents },
  exhibit: CorrectedExhibit,
): Promise<Corrections> {
  const found: HeldCorrection[] = [];
  const unread: OperatorError[] = [];
  for await (const { name } of storage.list(`${EXHIBITS_FOLDER}/${exhibit.id}/`)) {
    if (parseName(name)?.kind !== "addendum") continue;
    try {
      const bytes = await contents.read(name, MAX_ADDENDUM_BYTES);
      // There may be one of digests for each export: those are for whoever verifies.
      if (!Buffer.from(bytes).includes(CORRECTION_TYPE)) continue;
      const document = decodeAnyAddendum(bytes, `"${name}"`);
      if (document.type !== CORRECTION_TYPE) continue;
      refuseOther(document, name, exhibit);
      const check = await checkSignatures(storage, { name, bytes, namespace: "coldcase-addendum@v1" });
      if (check.held.length === 0) throw check.faults[0] ?? unsigned(name);
      found.push({ file: name, document, signatures: check.held, digest: sha256(bytes) });
    } catch (error) {
      if (!isFault(error) && !isUnopened(error)) throw error;
      unread.push(error);
    }
  }
  return { ...settleCorrections(exhibit.manifest.acquisition.case, found), unread };
}

/** Throws `integrity` where an addendum is not of this exhibit. */
export function refuseOther(
  document: Addendum | Correction,
  name: ObjectName,
  { id, manifestDigest }: CorrectedExhibit,
): void {
  if (document.exhibit === id && document.manifest === manifestDigest) return;
  throw new OperatorError("integrity", `Cannot accept "${name}": it is of another exhibit or manifest`, {
    facts: { file: name },
  });
}

export function unsigned(name: ObjectName): OperatorError {
  return new OperatorError("integrity", `Cannot accept "${name}": it has no signature`, {
    facts: { file: name },
  });
}

/** Puts sound corrections in their order, and finds what counts. */
export function settleCorrections(
  recorded: CaseFacts,
  found: readonly HeldCorrection[],
): Omit<Corrections, "unread"> {
  const faults: CorrectionFault[] = [];
  const accepted = new Map<Digest, HeldCorrection>();
  for (const correction of inOrder(found)) {
    const { digest, document, file } = correction;
    const { before, previous } = document;
    const counted = previous.length === 1 ? accepted.get(previous[0]!)?.document.after : recorded;
    const [differing] = counted ? differingMembers(counted, before) : [];
    if (differing !== undefined) {
      const message = `Cannot accept "${file}": what it says ${differing} was before is not what counted`;
      faults.push({ code: "addendum_damaged", file, message });
      continue;
    }
    for (const missing of previous.filter((one) => !accepted.has(one))) {
      const message = `"${file}" follows correction ${missing}, which is not there, or not sound`;
      faults.push({ code: "correction_missing", file, message });
    }
    accepted.set(digest, correction);
  }
  const all = [...accepted.values()];
  const followed = new Set(all.flatMap(({ document }) => document.previous));
  const heads = all.filter(({ digest }) => !followed.has(digest))
    .sort((a, b) => a.digest < b.digest ? -1 : 1);
  if (heads.length > 1) faults.push(forkOf(heads));
  return { facts: heads.length === 1 ? heads[0]!.document.after : recorded, recorded, all, heads, faults };
}

/**
 * What the case is after `values` are set right: the rest stays as it counts, and of a fork as all heads have it.
 *
 * Throws `usage` where the heads of a fork disagree on what `values` does not say: to take the manifest's fact for that
 * would undo a correction without a word.
 */
export function correctedFacts(
  exhibit: ExhibitId,
  { facts, heads }: Pick<Corrections, "facts" | "heads">,
  values: Partial<CaseFacts>,
): CaseFacts {
  const [first, ...others] = heads.map(({ document }) => document.after);
  if (!first || others.length === 0) return { ...facts, ...values };
  const disagreed = new Set(others.flatMap((other) => differingMembers(first, other)));
  const open = [...disagreed].filter((member) => !Object.hasOwn(values, member));
  if (open.length === 0) return { ...first, ...values };
  const said = open.map((member) => {
    const all = new Set([first, ...others].map((one) => JSON.stringify(one[member]?.slice(0, 100) ?? null)));
    return `${member} (${[...all].join(", ")})`;
  });
  const options = open.map((member) => `--${member} …`).join(" ");
  throw new OperatorError(
    "usage",
    `Cannot settle the corrections of "${exhibit}": they disagree on ${
      said.join(" and ")
    }, expected what is right`,
    {
      hints: [`Say it with the rest: coldcase correct ${exhibit} ${options}; --clear where it is none.`],
      facts: { exhibit, disagreed: open.join(",") },
    },
  );
}

function forkOf(heads: readonly HeldCorrection[]): CorrectionFault {
  const files = heads.map(({ file }) => file).sort();
  const others = files.filter((_, at) => at !== 1).map((file) => `"${file}"`).join(", ");
  const message = `"${files[1]}" does not know of ${others}: which of them counts can't be told, ` +
    'and what the manifest says counts until one more "coldcase correct" settles it';
  return { code: "correction_forked", file: files[1]!, message };
}

/** Each after those of the list that it follows; else by time, then by digest. A digest is taken once. */
function inOrder(found: readonly HeldCorrection[]): HeldCorrection[] {
  const waiting = new Map(found.map((correction) => [correction.digest, correction]));
  const followers = Map.groupBy(
    [...waiting.values()].flatMap(({ digest, document }) =>
      document.previous.filter((one) => waiting.has(one)).map((one) => ({ one, digest }))
    ),
    ({ one }) => one,
  );
  const lacking = new Map([...waiting].map(([digest, { document }]) => [
    digest,
    document.previous.filter((one) => waiting.has(one)).length,
  ]));
  const ordered: HeldCorrection[] = [];
  let ready = [...waiting.values()].filter(({ digest }) => lacking.get(digest) === 0);
  while (ready.length > 0) {
    ready.sort(byTime);
    ordered.push(...ready);
    const next: HeldCorrection[] = [];
    for (const { digest: done } of ready) {
      for (const { digest } of followers.get(done) ?? []) {
        const left = lacking.get(digest)! - 1;
        lacking.set(digest, left);
        if (left === 0) next.push(waiting.get(digest)!);
      }
    }
    ready = next;
  }
  return ordered;
}

function byTime(a: HeldCorrection, b: HeldCorrection): number {
  const [first, second] = [`${a.document.at} ${a.digest}`, `${b.document.at} ${b.digest}`];
  return first < second ? -1 : 1;
}
