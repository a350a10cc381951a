/**
 * What each exit code says to a person, for `--help` and README. The numbers are in `errors.ts`; a command may
 * say more precisely what one means for it.
 */
import { type ErrorCode, EXIT_CODES } from "../errors.ts";

/** General meaning of each code, and whether the same command may be run again. */
export const EXIT_MEANINGS: Readonly<Record<ErrorCode | "done", string>> = {
  done: "done",
  internal: "a bug in coldcase",
  usage: "wrong flag or argument, or not what this acquisition began with",
  incomplete: "ended, but some blocks are unreadable",
  budget: "would cost, or has cost, more than --budget; saved",
  not_found: "no such store, exhibit or snapshot",
  locked: "another process writes to the store; run again later",
  identity: "nothing given opens it",
  access: "AWS refuses: credentials, IAM or KMS; run again after a fix",
  source: "AWS or the network failed, or the snapshot is not readable; run again",
  storage: "disk full or failing; what was recorded is safe",
  integrity: "a digest, signature or chain does not match",
  format: "malformed, or a version that is not supported",
  interrupted: "stopped; saved; run again to go on",
};

/** Codes that every command may end with. */
export const ALWAYS_POSSIBLE: readonly (ErrorCode | "done")[] = ["done", "internal", "usage", "interrupted"];

/** Ascending `[exit code, name, meaning]`; the general meaning where a command gives none of its own. */
export function exitCodeRows(
  own: Readonly<Partial<Record<ErrorCode | "done", string | true>>>,
): [exitCode: number, name: string, meaning: string][] {
  const names = Object.keys(EXIT_MEANINGS) as (ErrorCode | "done")[];
  return names
    .filter((name) => ALWAYS_POSSIBLE.includes(name) || own[name] !== undefined)
    .map((name): [number, string, string] => {
      const meaning = own[name];
      const shown = meaning === undefined || meaning === true ? EXIT_MEANINGS[name] : meaning;
      return [name === "done" ? 0 : EXIT_CODES[name], name === "done" ? "" : name, shown];
    })
    .sort(([one], [other]) => one - other);
}
