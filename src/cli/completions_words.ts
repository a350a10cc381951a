/**
 * What completions are made of, the same for every shell: commands with their options, and what values are. Made by
 * completions.ts from the commands' tables, read by the writers of scripts, a file for each shell.
 */

/** What stands for a value. */
export type CompletedValue =
  | { readonly kind: "file" | "folder" | "other"; readonly placeholder: string }
  | { readonly kind: "choice"; readonly placeholder: string; readonly choices: readonly string[] };

/** An option as a shell sees it. */
export interface CompletedOption {
  /** Without dashes. */
  readonly long: string;
  /** One letter. */
  readonly short: string | undefined;
  readonly summary: string;
  /** `undefined`: a flag. */
  readonly value: CompletedValue | undefined;
  readonly isRepeatable: boolean;
}

/** A command as a shell sees it. */
export interface CompletedCommand {
  readonly name: string;
  readonly summary: string;
  readonly options: readonly CompletedOption[];
  /** What its arguments are. */
  readonly argument: CompletedValue;
}

/** Words that come first and are no commands. */
export const TOP_WORDS = ["help", "--help", "--version"] as const;
