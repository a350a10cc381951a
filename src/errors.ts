/**
 * The one error class whose message an operator sees, with its closed set of codes and their exit codes
 * (design: "Command line"). It is thrown where the facts are known and printed by the command-line layer
 * alone. Anything that is not an `OperatorError` when it reaches the top is a bug, code `internal`.
 */

/** Why a command did not simply succeed. Closed: scripts branch on it. */
export type ErrorCode = keyof typeof EXIT_CODES;

/** Exit code of each error code; 0 is success and has no error. */
export const EXIT_CODES = {
  internal: 1,
  usage: 2,
  incomplete: 3,
  budget: 4,
  not_found: 10,
  locked: 11,
  identity: 12,
  access: 13,
  source: 14,
  storage: 15,
  integrity: 20,
  format: 21,
  interrupted: 130,
} as const;

/** From the gravest to the lightest: which exit code wins where one command did several things. */
const GRAVITY: readonly number[] = [1, 20, 21, 15, 13, 14, 12, 10, 3];

/**
 * The exit code of a command that did several things: the gravest of `codes`, 0 for none.
 *
 * Codes outside the order (2, 4, 11, 130) end a command at once, so they win over all that are in it.
 */
export function gravestExitCode(codes: readonly number[]): number {
  const failed = codes.filter((code) => code !== 0);
  const ending = failed.find((code) => !GRAVITY.includes(code));
  if (ending !== undefined) return ending;
  return GRAVITY.find((code) => failed.includes(code)) ?? 0;
}

/** What an operator needs to know beside the message. */
export interface ErrorDetails {
  /** What to do next, one sentence each, in the order in which to try them. */
  hints?: readonly string[];
  /** Facts for programs (`--json`): ids, indexes, expected and actual values. Never a secret. */
  facts?: Readonly<Record<string, string | number | boolean | null>>;
  cause?: unknown;
}

/** An error for the operator: message in the grammar "Cannot <verb> <object>: <current state>, <wanted state>". */
export class OperatorError extends Error {
  override readonly name = "OperatorError";
  readonly code: ErrorCode;
  readonly hints: readonly string[];
  readonly facts: Readonly<Record<string, string | number | boolean | null>>;

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.code = code;
    this.hints = details.hints ?? [];
    this.facts = details.facts ?? {};
  }

  get exitCode(): number {
    return EXIT_CODES[this.code];
  }
}

/** The message of anything thrown, for use inside another message. */
export function messageOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}

/**
 * True for what is wrong with a file: damage, another format, absence. False for what says nothing about it: a disk
 * that fails, an identity that is lacking, a bug.
 */
export function isFault(error: unknown): error is OperatorError {
  return error instanceof OperatorError && error.code !== "storage" && error.code !== "identity";
}
