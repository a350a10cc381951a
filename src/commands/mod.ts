/**
 * The list of all verbs, in the order of the help. Each entry names its module, which holds the command's
 * table and its steps and is loaded only when that command is asked for: the top help and `--version` stay quick.
 */
import type { CommandEntry } from "../cli/mod.ts";

export const COMMANDS: readonly CommandEntry[] = [];
