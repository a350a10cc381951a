/**
 * Options that several commands share, each in one table, and parsers for plain values. A command takes a
 * table by spreading it into its own (`options: { …, ...STORE_OPTIONS }`); those of `EVERYWHERE_OPTIONS` are
 * understood with every command and are handled in `cli`, never by a command.
 *
 * Only what is built is listed: an option of the design that is not here does not exist yet.
 */
import { OperatorError } from "../errors.ts";
import type { OptionTable } from "./command.ts";

/** For commands that read or write a store. */
export const STORE_OPTIONS = {
  store: {
    short: "s",
    value: "DIR",
    environment: "COLDCASE_STORE",
    default: "./evidence",
    summary: "the store: exhibits of one case",
    section: "Store",
  },
} as const satisfies OptionTable;

/** For commands that speak to AWS. What is not given comes from the SDK's own chain. */
export const AWS_OPTIONS = {
  region: {
    value: "REGION",
    summary: "Region of the snapshots",
    details: "Where not given: AWS_REGION, AWS_DEFAULT_REGION, or the profile's.",
    section: "AWS",
  },
  profile: {
    value: "NAME",
    summary: "profile of the shared AWS configuration",
    details: "Where not given: AWS_PROFILE.",
    section: "AWS",
  },
  "role-arn": { value: "ARN", summary: "role to assume", section: "AWS" },
  "external-id": { value: "ID", summary: "external id that the role asks for", section: "AWS" },
  "session-name": {
    value: "NAME",
    summary: "name of the role's session, as CloudTrail shows it",
    section: "AWS",
  },
  "mfa-serial": {
    value: "ARN",
    summary: "MFA device; its code is asked for",
    details:
      "At a terminal, where it is not shown, and again when the session ends. With --role-arn the code is for the role, " +
      "without it for a session of the user whose keys they are. The mfa_serial of a profile is asked for, too.",
    section: "AWS",
  },
  "credentials-file": {
    value: "FILE",
    summary: "JSON with credentials, as AWS's tools print it",
    details:
      "What aws sts get-session-token, aws sts assume-role or aws configure export-credentials print. Read again " +
      "when they end: rewrite it, and a run goes on.",
    section: "AWS",
  },
  "endpoint-url": {
    value: "URL",
    summary: "another endpoint than AWS's own",
    details:
      "Where not given: AWS_ENDPOINT_URL_EBS, AWS_ENDPOINT_URL. What such an endpoint served is marked " +
      "NOT ACQUIRED FROM AWS.",
    section: "AWS",
  },
} as const satisfies OptionTable;

/** Understood with every command. */
export const EVERYWHERE_OPTIONS = {
  json: {
    summary: "one JSON object a line on stdout, each with a type",
    section: "Everywhere",
  },
  quiet: { short: "q", summary: "no notes, no progress", section: "Everywhere" },
  verbose: { short: "v", summary: "more notes; causes of errors", section: "Everywhere" },
  "no-progress": { summary: "no progress", section: "Everywhere" },
  color: {
    value: "WHEN",
    choices: ["auto", "always", "never"],
    default: "auto",
    summary: "color on stderr",
    section: "Everywhere",
  },
  help: { short: "h", summary: "all of the help; -h: one screen of it", section: "Everywhere" },
  version: { short: "V", summary: "print the version", section: "Everywhere" },
} as const satisfies OptionTable;

/**
 * A parser of whole numbers in `[min, max]`.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * assertEquals(wholeNumber({ min: 1, max: 64 })("16"), 16);
 * ```
 */
export function wholeNumber(range: { readonly min: number; readonly max: number }): (text: string) => number {
  return (text) => {
    const value = /^-?\d{1,15}$/.test(text) ? Number(text) : NaN;
    if (!(value >= range.min && value <= range.max)) {
      throw new OperatorError(
        "usage",
        `Cannot read number "${text}": expected a whole number from ${range.min} to ${range.max}`,
      );
    }
    return value;
  };
}
