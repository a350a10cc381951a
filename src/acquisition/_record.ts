/**
 * What a command tells for the record, held to what the record takes: before the first block is fetched, not
 * when all of them are and nothing can be committed.
 *
 * @see store-format.md, "Manifest" and "Side documents"
 */
import { OperatorError } from "../errors.ts";
import { type CaseFacts, caseMember } from "../format/manifest.ts";

/** As `sessionMember` takes them. */
const MAX_ARGUMENTS = 256;
const MAX_ARGUMENT_LENGTH = 8192;

/** So many bytes of a manifest are for the case: all its texts in full, but not of control characters alone. */
const MAX_CASE_BYTES = 64 * 1024;

/** Throws `usage` where what is told of the case is longer than the record takes. */
export function refuseLongFacts(facts: CaseFacts): void {
  try {
    caseMember(facts, "the facts of the case");
    const bytes = new TextEncoder().encode(JSON.stringify(facts)).length;
    if (bytes > MAX_CASE_BYTES) {
      throw new OperatorError(
        "usage",
        `Cannot record the facts of the case: they have ${bytes} bytes as JSON, expected at most ${MAX_CASE_BYTES}`,
      );
    }
  } catch (error) {
    if (!(error instanceof OperatorError)) throw error;
    throw new OperatorError("usage", error.message, { hints: ["Say it in fewer words."], cause: error });
  }
}

/** A command line for the record. What is beyond its limits is left out, and the record says that it was. */
export function fittingCommandLine(args: readonly string[]): string[] {
  const fitting = args.slice(0, args.length > MAX_ARGUMENTS ? MAX_ARGUMENTS - 1 : MAX_ARGUMENTS)
    .map((arg) => arg.length > MAX_ARGUMENT_LENGTH ? `${arg.slice(0, MAX_ARGUMENT_LENGTH - 1)}…` : arg);
  if (fitting.length < args.length) fitting.push(`… and ${args.length - fitting.length} more arguments`);
  return fitting;
}
