/**
 * What of an exhibit's case counts, for people and programs: as recorded or as corrected, and then always both. The
 * manifest stays as it was signed, so nobody may be shown a corrected value as if it stood there.
 */
import { CORRECTED_MEMBERS, differingMembers } from "../format/addendum.ts";
import type { CaseFacts, Manifest } from "../format/manifest.ts";
import type { Corrections } from "../store/mod.ts";
import { formatCount } from "../units.ts";

/** What of the case is called how, in the order in which people read it. */
export const CASE_TITLES = {
  case: "case",
  evidence: "evidence number",
  examiner: "examiner",
  organization: "organization",
  authority: "authority",
  notes: "notes",
} as const satisfies Record<keyof CaseFacts, string>;

/** An exhibit, of which a fresh commit knows no corrections: there are none yet. */
export interface CaseOf {
  readonly manifest: Manifest;
  readonly corrections?: Corrections;
}

/** The facts that count. */
export function caseOf({ corrections, manifest }: CaseOf): CaseFacts {
  return corrections?.facts ?? manifest.acquisition.case;
}

/** Members of the case that are not as the manifest has them. */
export function correctedMembers(exhibit: CaseOf): (keyof CaseFacts)[] {
  return differingMembers(exhibit.manifest.acquisition.case, caseOf(exhibit));
}

/** A value as it is to be read: with what was recorded, where that was corrected. `null`: never told. */
export function caseText(exhibit: CaseOf, member: keyof CaseFacts): string | null {
  const value = caseOf(exhibit)[member];
  const recorded = exhibit.manifest.acquisition.case[member];
  return value === recorded ? value : `${value ?? "none"} (corrected; recorded: ${recorded ?? "none"})`;
}

/** Labels and values of all that was told, in reading order; how often it was corrected last. */
export function caseFactsText(exhibit: CaseOf): [string, string | null][] {
  const members = Object.entries(CASE_TITLES) as [keyof CaseFacts, string][];
  return [
    ...members.map(([member, title]): [string, string | null] => [title, caseText(exhibit, member)]),
    ["corrections", correctionsText(exhibit.corrections)],
  ];
}

/** What was recorded otherwise, for an E01's header: of long texts only that they were. */
export function recordedTexts(exhibit: CaseOf): string[] {
  const recorded = exhibit.manifest.acquisition.case;
  return correctedMembers(exhibit).map((member) => {
    const value = recorded[member] ?? "none";
    return `${CASE_TITLES[member]} corrected, recorded: ${
      value.length > 256 ? `${value.slice(0, 255)}…` : value
    }`;
  });
}

/** Corrections disagree: said wherever the case is shown. */
export const FORKED = "CORRECTIONS DISAGREE, what was recorded is shown";

/** In one line of a list: which of the facts are not as recorded. */
export function correctionMark(exhibit: CaseOf): string[] {
  if ((exhibit.corrections?.heads.length ?? 0) > 1) return [FORKED];
  const members = correctedMembers(exhibit);
  return members.length === 0
    ? []
    : [`corrected: ${members.map((member) => CASE_TITLES[member]).join(", ")}`];
}

function correctionsText(corrections: Corrections | undefined): string | null {
  const last = corrections?.heads[0];
  if (!corrections || !last) return null;
  const { all, heads } = corrections;
  if (heads.length > 1) return `${FORKED}: ${formatCount(heads.length)} follow none of each other`;
  const { at, correctedBy, host } = last.document;
  const by = last.signatures.map(({ key }) => key.fingerprint).join(", ");
  return `${formatCount(all.length)}, the last at ${at} by ${correctedBy ?? host.user}, signed by ${by}`;
}

/** What people should know of an exhibit's corrections beside what counts, a line each. */
export function correctionNotes({ id, corrections }: {
  readonly id: string;
  readonly corrections: Corrections;
}): string[] {
  const { unread, faults } = corrections;
  return [
    ...faults.map(({ message }) => `${id}: ${message}`),
    ...unread.map(({ message }) => `${id}: an addendum is not read, it may correct the case: ${message}`),
  ];
}

/** Of whoever is at work now, and of this run, nothing is said. */
const OF_THE_EXHIBIT = ["case", "evidence", "organization", "authority"] as const;

/** What is said now of an exhibit that is held already, and its record does not say: it is not taken into it. */
export function otherFactsNotes(
  { id, ...exhibit }: CaseOf & { readonly id: string },
  said: CaseFacts,
): string[] {
  const counting = caseOf(exhibit);
  const others = OF_THE_EXHIBIT.filter((member) =>
    said[member] !== null && said[member] !== counting[member]
  );
  return others.map((member) =>
    `the record of ${id} says ${CASE_TITLES[member]} ${counting[member] ?? "none"}, not ${
      said[member]
    }, and stays so: ` +
    `"coldcase correct ${id}" corrects it`
  );
}

/** For programs: `null` where nothing was ever corrected. */
export function correctionsEvent({ corrections }: CaseOf) {
  if (!corrections || corrections.all.length === 0) return null;
  const { all, heads, recorded } = corrections;
  return { count: all.length, isForked: heads.length > 1, recorded };
}

/** Of `before` and `after`, what differs: `case: 2026-115, was 2026-114`. */
export function changesText(before: CaseFacts, after: CaseFacts): string[] {
  return CORRECTED_MEMBERS.filter((member) => before[member] !== after[member])
    .map((member) => `${CASE_TITLES[member]}: ${after[member] ?? "none"}, was ${before[member] ?? "none"}`);
}
