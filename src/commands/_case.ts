/**
 * Which case evidence belongs to, and who says so: the options with which `acquire` and `import` ask, what of them goes
 * into the record, and who is at work where a command has no such option. What was recorded wrongly `correct` sets right.
 */
import type { CommandContext, OptionTable } from "../cli/mod.ts";
import { OperatorError } from "../errors.ts";
import type { CaseFacts } from "../format/manifest.ts";

/** Where commands that take no examiner learn who is at work. */
const EXAMINER_VARIABLE = "COLDCASE_EXAMINER";
/** As the record and the addenda take it. */
const MAX_EXAMINER_LENGTH = 256;

export const CASE_OPTIONS = {
  case: { value: "CASE", environment: "COLDCASE_CASE", summary: "case that the evidence belongs to" },
  evidence: {
    value: "NUMBER",
    repeatable: true,
    summary: "evidence number; several snapshots: SNAP=NUMBER",
  },
  examiner: { value: "NAME", environment: EXAMINER_VARIABLE, summary: "who acquires" },
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

/** What will be lacking for ever is said before it is made. */
export function warnOfMissing(
  { out }: CommandContext,
  { case: caseName, examiner, made = "the record" }:
    & Readonly<
      Record<"case" | "examiner", string | undefined>
    >
    & {
      /** What would say it. */
      readonly made?: string;
    },
): void {
  if (caseName === undefined) {
    out.warn(`no --case, no COLDCASE_CASE: ${made} will not say which case this belongs to`);
  }
  if (examiner === undefined) {
    out.warn(`no --examiner, no ${EXAMINER_VARIABLE}: ${made} will not say who did this`);
  }
}

/** Who is at work, as the environment says; `undefined`: it does not. Throws `usage`, so ask before the work. */
export function examinerOf({ world }: Pick<CommandContext, "world">): string | undefined {
  const name = world.environment(EXAMINER_VARIABLE);
  if (name === undefined || (name !== "" && name.length <= MAX_EXAMINER_LENGTH)) return name;
  throw new OperatorError(
    "usage",
    `Cannot take ${EXAMINER_VARIABLE}: it has ${name.length} characters, expected 1 to ${MAX_EXAMINER_LENGTH}`,
  );
}
