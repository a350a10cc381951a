/**
 * Shell completions, made from the same tables as parser and help: commands, options, and what an option's value is.
 * Here is what is completed; how each shell is told is a file beside this one. The scripts are whole: a shell that
 * completes starts no coldcase and reads no store.
 */
import type { Command, CommandEntry, OptionSpec } from "./command.ts";
import { bashCompletions } from "./completions_bash.ts";
import { fishCompletions } from "./completions_fish.ts";
import { powershellCompletions } from "./completions_powershell.ts";
import type { CompletedCommand, CompletedOption, CompletedValue } from "./completions_words.ts";
import { zshCompletions } from "./completions_zsh.ts";
import { EVERYWHERE_OPTIONS } from "./options.ts";

const SCRIPTS = {
  bash: bashCompletions,
  zsh: zshCompletions,
  fish: fishCompletions,
  powershell: powershellCompletions,
} as const;

export type Shell = keyof typeof SCRIPTS;

export const SHELLS = Object.keys(SCRIPTS) as readonly Shell[];

/** The script that teaches `shell` the commands; loads all of them. */
export async function completionScript(shell: Shell, entries: readonly CommandEntry[]): Promise<string> {
  const commands = await Promise.all(
    entries.map(async (entry) => completedCommand(entry, await entry.load())),
  );
  return SCRIPTS[shell](commands);
}

function completedCommand({ name, summary }: CommandEntry, command: Command): CompletedCommand {
  const options = Object.entries({ ...command.options, ...EVERYWHERE_OPTIONS })
    .filter(([, spec]: [string, OptionSpec]) => !spec.hidden)
    .map(([long, spec]) => completedOption(long, spec));
  const [placeholder = ""] = command.usage.replace(/[[\]…]/g, "").split(" ");
  const argument = valueFor(placeholder, command.argumentChoices);
  return { name, summary, options, argument };
}

function completedOption(long: string, spec: OptionSpec): CompletedOption {
  return {
    long,
    short: spec.short,
    summary: spec.summary,
    value: spec.value === undefined ? undefined : valueFor(spec.value, spec.choices),
    isRepeatable: spec.repeatable === true,
  };
}

/** The placeholders of the help say what a value is. */
function valueFor(placeholder: string, choices: readonly string[] | undefined): CompletedValue {
  if (choices) return { kind: "choice", placeholder, choices };
  if (["DIR", "STORE"].includes(placeholder)) return { kind: "folder", placeholder };
  if (["FILE", "IMAGE", "KEY"].includes(placeholder)) return { kind: "file", placeholder };
  return { kind: "other", placeholder };
}
