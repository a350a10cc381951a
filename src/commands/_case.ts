/**
 * Which case evidence belongs to, and who says so: the options with which `acquire` and `import` ask, and what of them
 * goes into the record.
 */
import type { OptionTable } from "../cli/mod.ts";
import type { CaseFacts } from "../format/manifest.ts";

export const CASE_OPTIONS = {
  case: { value: "CASE", environment: "COLDCASE_CASE", summary: "case that the evidence belongs to" },
  evidence: {
    value: "NUMBER",
    repeatable: true,
    summary: "evidence number; several snapshots: SNAP=NUMBER",
  },
  examiner: { value: "NAME", environment: "COLDCASE_EXAMINER", summary: "who acquires" },
  organization: { value: "NAME", summary: "for whom" },
  authority: { value: "TEXT", summary: "on what authority: a warrant, an order, consent" },
  notes: { value: "TEXT", summary: "anything else for the record" },
} as const satisfies OptionTable;

/** All but the evidence number, which is of one exhibit. */
export function caseFacts(
  options: { readonly [K in Exclude<keyof CaseFacts, "evidence">]?: string | undefined },
): Omit<CaseFacts, "evidence"> {
  const { authority = null, case: caseName = null, examiner = null, notes = null, organization = null } =
    options;
  return { authority, case: caseName, examiner, notes, organization };
}
