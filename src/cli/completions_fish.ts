/**
 * Completions for fish: a list of statements, each for one command or option and with the condition under which it
 * holds. Fish shows the summaries beside what it offers.
 */
import type { CompletedCommand, CompletedOption, CompletedValue } from "./completions_words.ts";

const NO_COMMAND = "-n __fish_use_subcommand";

export function fishCompletions(commands: readonly CompletedCommand[]): string {
  const lines = [
    "# coldcase for fish: coldcase completions fish | source",
    "complete -c coldcase -f",
    `complete -c coldcase ${NO_COMMAND} -s h -l help -d 'help'`,
    `complete -c coldcase ${NO_COMMAND} -s V -l version -d 'print the version'`,
    `complete -c coldcase ${NO_COMMAND} -a help -d 'all of the help for a command'`,
    ...commands.map(({ name, summary }) =>
      `complete -c coldcase ${NO_COMMAND} -a ${name} -d ${quoted(summary)}`
    ),
    `complete -c coldcase ${after("help")} -a ${quoted(commands.map(({ name }) => name).join(" "))}`,
    ...commands.flatMap(commandLines),
  ];
  return lines.map((line) => `${line}\n`).join("");
}

function commandLines({ name, options, argument }: CompletedCommand): string[] {
  const given = argument.kind === "other" ? [] : [`complete -c coldcase ${after(name)} ${offer(argument)}`];
  return [...given, ...options.map((option) => `complete -c coldcase ${after(name)} ${optionWords(option)}`)];
}

function after(command: string): string {
  return `-n '__fish_seen_subcommand_from ${command}'`;
}

function optionWords({ long, short, summary, value }: CompletedOption): string {
  const names = `${short ? `-s ${short} ` : ""}-l ${long}`;
  return `${names} -d ${quoted(summary)}${value ? ` -r ${offer(value)}` : ""}`.trimEnd();
}

function offer(value: CompletedValue): string {
  switch (value.kind) {
    case "file":
      return "-F";
    case "folder":
      return "-a '(__fish_complete_directories)'";
    case "choice":
      return `-a ${quoted(value.choices.join(" "))}`;
    case "other":
      return "";
  }
}

function quoted(text: string): string {
  return `'${text.replace(/['\\]/g, (character) => `\\${character}`)}'`;
}
