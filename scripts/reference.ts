/**
 * README's command reference, made from the tables that the parser reads: `deno run --allow-read --allow-write --allow-env
 * scripts/reference.ts` writes it into README (`deno fmt` then aligns it), a test holds README to it.
 */
import type { Command, CommandEntry, OptionSpec } from "../src/cli/command.ts";
import { COMMANDS } from "../src/commands/mod.ts";

const README = new URL("../README.md", import.meta.url);
const [BEGIN, END] = ["<!-- command reference -->", "<!-- end of command reference -->"];

/** A row of the table: command with its arguments, what it does, the options that are its own. */
export type ReferenceRow = readonly [command: string, does: string, options: string];

export async function referenceRows(): Promise<ReferenceRow[]> {
  return await Promise.all(COMMANDS.map(async (entry) => rowOf(entry, await entry.load())));
}

function rowOf(entry: CommandEntry, command: Command): ReferenceRow {
  const own = Object.entries(command.options)
    .filter(([, spec]) => !spec.hidden && spec.section === undefined)
    .map(([name, spec]) => `\`${typed(name, spec)}\``);
  return [`\`${entry.name} ${command.usage}`.trimEnd() + "`", entry.summary, own.join(" ")];
}

function typed(name: string, spec: OptionSpec): string {
  return spec.short === undefined ? `--${name}` : `-${spec.short}/--${name}`;
}

/** The text before, the rows, and the text after; throws where README has no place for them. */
export function partsOf(readme: string): { before: string; rows: ReferenceRow[]; after: string } {
  const [begin, end] = [readme.indexOf(BEGIN), readme.indexOf(END)];
  if (begin < 0 || end < begin) throw new Error(`README has no ${BEGIN} … ${END}`);
  const table = readme.slice(begin + BEGIN.length, end).split("\n").filter((line) => line.startsWith("|"));
  const rows = table.slice(2).map((line) => line.split("|").slice(1, 4).map((cell) => cell.trim()));
  return {
    before: readme.slice(0, begin + BEGIN.length),
    rows: rows.map(([command = "", does = "", options = ""]) => [command, does, options]),
    after: readme.slice(end),
  };
}

if (import.meta.main) {
  const { before, after } = partsOf(Deno.readTextFileSync(README));
  const lines = (await referenceRows()).map((row) => `| ${row.join(" | ")} |`);
  const table = ["| Command | Does | Its own options |", "| --- | --- | --- |", ...lines].join("\n");
  Deno.writeTextFileSync(README, `${before}\n\n${table}\n\n${after}`);
}
