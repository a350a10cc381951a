/**
 * Help texts, made from the same tables as the parser. `-h` is one screen, 80 columns by 24 lines: what does not fit is
 * listed by name. `--help` is all there is: prose, options, exit codes, environment, examples.
 *
 * Always 80 columns wide, so that help reads the same in a transcript, a README and a narrow console.
 */
import type { Command, CommandEntry, OptionSpec, OptionTable } from "./command.ts";
import { EXIT_MEANINGS, exitCodeRows } from "./exit_codes.ts";
import { EVERYWHERE_OPTIONS } from "./options.ts";
import { padToWidth, wrapText } from "./text.ts";

const COLUMNS = 80;
const SCREEN_LINES = 24;
const PURPOSE = "coldcase acquires Amazon EBS snapshots as evidence, with no volume or instance.";

/** One row of a two-column list. */
interface Row {
  readonly left: string;
  readonly right: string;
  /** What stands for the row where it is listed by name only. */
  readonly name: string;
}

/** `coldcase -h`. */
export function shortTopHelp(commands: readonly CommandEntry[]): string {
  const head = [...wrapText(PURPOSE, COLUMNS), "Usage: coldcase COMMAND [OPTIONS] [ARGS]", ""];
  const tail = [
    "",
    ...everywhereLine(),
    "",
    "coldcase COMMAND -h is help for one, coldcase --help all of it.",
  ];
  return joinLines([
    ...head,
    ...fitRows(commands.map(commandRow), SCREEN_LINES - head.length - tail.length),
    ...tail,
  ]);
}

/** `coldcase --help`. */
export function topHelp(commands: readonly CommandEntry[]): string {
  const groups = [...new Set(commands.map((entry) => entry.group))];
  const lists = groups.flatMap((group) => [
    "",
    `${group}:`,
    ...twoColumns(commands.filter((entry) => entry.group === group).map(commandRow)),
  ]);
  const all = Object.fromEntries(Object.keys(EXIT_MEANINGS).map((name) => [name, true] as const));
  return joinLines([
    ...wrapText(PURPOSE, COLUMNS),
    "",
    "Usage: coldcase COMMAND [OPTIONS] [ARGS]",
    ...lists,
    "",
    "With every command:",
    ...optionLines(EVERYWHERE_OPTIONS),
    ...exitCodeLines(all),
    "",
    ...wrapText(
      "Results go to stdout, everything else to stderr. With --json stdout carries one JSON object a line, each with a " +
        "type. NO_COLOR and TERM=dumb are respected.",
      COLUMNS,
    ),
    "",
    "coldcase COMMAND -h is one screen of help for a command, --help all of it.",
  ]);
}

/** `coldcase COMMAND -h`. */
export function shortCommandHelp(entry: CommandEntry, command: Command): string {
  const head = [`coldcase ${entry.name}: ${entry.summary}`, usageLine(entry, command), ""];
  const aws = namesOf(command.options, "AWS");
  const tail = [
    "",
    ...(aws.length > 0 ? hanging("AWS: ", aws.join(", ")) : []),
    ...everywhereLine(),
    "",
    `coldcase ${entry.name} --help says more, with examples.`,
  ];
  const lineCount = SCREEN_LINES - head.length - tail.length;
  const rows = fitRows(rowsOf(command.options, undefined), lineCount, rowsOf(command.options, "Store"));
  return joinLines([...head, ...rows, ...(rows.length > 0 ? tail : tail.slice(1))]);
}

function rowsOf(table: OptionTable, section: OptionSpec["section"]): Row[] {
  return Object.entries(table).filter(([, spec]) => !spec.hidden && spec.section === section)
    .map(([name, spec]) => optionRow(name, spec));
}

/** `coldcase COMMAND --help`, `coldcase help COMMAND`. */
export function commandHelp(entry: CommandEntry, command: Command): string {
  const table: OptionTable = { ...command.options, ...EVERYWHERE_OPTIONS };
  const sections = ([undefined, "Store", "Encryption", "AWS", "Everywhere"] as const).flatMap((section) => {
    const options = Object.fromEntries(Object.entries(table).filter(([, spec]) => spec.section === section));
    const lines = optionLines(options);
    return lines.length > 0 ? ["", `${section ?? "Options"}:`, ...lines] : [];
  });
  const paragraphs = command.description.trim().split(/\n\s*\n/);
  return joinLines([
    `coldcase ${entry.name}: ${entry.summary}`,
    "",
    usageLine(entry, command),
    ...paragraphs.flatMap((paragraph) => ["", ...wrapText(paragraph, COLUMNS)]),
    ...sections,
    ...exitCodeLines(command.exitCodes ?? {}),
    ...environmentLines(command),
    ...exampleLines(command),
  ]);
}

function usageLine(entry: CommandEntry, command: Command): string {
  return `Usage: coldcase ${entry.name} [OPTIONS] ${command.usage}`.trimEnd();
}

function commandRow(entry: CommandEntry): Row {
  return { left: entry.name, right: entry.summary, name: entry.name };
}

function optionRow(name: string, spec: OptionSpec): Row {
  const short = spec.short === undefined ? "    " : `-${spec.short}, `;
  const value = spec.value === undefined ? "" : ` ${spec.value}`;
  const preset = spec.default === undefined ? "" : ` (${spec.default})`;
  return {
    left: `${short}--${name}${value}`,
    right: `${spec.summary}${preset}`,
    name: shortName(name, spec),
  };
}

/** `-s/--store` where there is a letter, so that it can be learned. */
function shortName(name: string, spec: OptionSpec): string {
  return spec.short === undefined ? `--${name}` : `-${spec.short}/--${name}`;
}

function everywhereLine(): string[] {
  return hanging("Everywhere: ", namesOf(EVERYWHERE_OPTIONS, "Everywhere").join(", "));
}

function namesOf(table: OptionTable, section: OptionSpec["section"]): string[] {
  return Object.entries(table)
    .filter(([, spec]) => !spec.hidden && spec.section === section)
    .map(([name, spec]) => shortName(name, spec));
}

/** As many rows as fit into `lineCount` together with the `kept` ones; the names of the others below them. */
function fitRows(rows: readonly Row[], lineCount: number, kept: readonly Row[] = []): string[] {
  for (let shown = rows.length; shown >= 0; shown--) {
    const left = rows.slice(shown).map((row) => row.name);
    const lines = [
      ...twoColumns([...rows.slice(0, shown), ...kept]),
      ...(left.length > 0 ? hanging("  Also: ", left.join(", ")) : []),
    ];
    if (lines.length <= lineCount) return lines;
  }
  return [];
}

/** Left parts in one column, right parts broken to what remains. */
function twoColumns(rows: readonly Row[]): string[] {
  const width = Math.max(0, ...rows.map((row) => row.left.length));
  return rows.flatMap((row) => hanging(`  ${padToWidth(row.left, width)}  `, row.right));
}

/** `text` broken to the columns, its first line after `start`, the others below its beginning. */
function hanging(start: string, text: string): string[] {
  const lines = wrapText(text, COLUMNS - start.length);
  return lines.map((line, index) => `${index === 0 ? start : " ".repeat(start.length)}${line}`);
}

function optionLines(table: OptionTable): string[] {
  return Object.entries(table).filter(([, spec]) => !spec.hidden).flatMap(([name, spec]) => [
    `  ${optionRow(name, spec).left}`,
    ...hanging("          ", optionProse(spec)),
  ]);
}

function optionProse(spec: OptionSpec): string {
  const sentences = [
    `${spec.summary}.`,
    spec.details,
    spec.choices && `One of ${spec.choices.join(", ")}.`,
    spec.repeatable && "May be given several times.",
    spec.default && `Default: ${spec.default}.`,
    spec.environment && `Environment: ${spec.environment}.`,
  ];
  const [summary = "", ...rest] = sentences.filter((sentence) => sentence);
  return [summary.charAt(0).toUpperCase() + summary.slice(1), ...rest].join(" ");
}

function exitCodeLines(own: NonNullable<Command["exitCodes"]>): string[] {
  const rows = exitCodeRows(own).map(([exitCode, name, meaning]): Row => ({
    left: `${String(exitCode).padStart(3)}  ${name.padEnd(11)}`,
    right: meaning,
    name,
  }));
  return ["", "Exit codes:", ...twoColumns(rows)];
}

function environmentLines(command: Command): string[] {
  const filling = Object.entries(command.options)
    .filter(([, spec]) => spec.environment !== undefined && !spec.hidden)
    .map(([name, spec]) => [spec.environment ?? "", `fills --${name}`] as const);
  const aws = Object.values(command.options).some((spec) => spec.section === "AWS")
    ? [["AWS_…, HTTPS_PROXY", "as the AWS SDK and command line use them"] as const]
    : [];
  const rows = [...filling, ...Object.entries(command.environment ?? {}), ...aws]
    .map(([left, right]): Row => ({ left, right, name: left }));
  return rows.length > 0 ? ["", "Environment:", ...twoColumns(rows)] : [];
}

function exampleLines(command: Command): string[] {
  if (command.examples.length === 0) return [];
  return [
    "",
    "Examples:",
    ...command.examples.flatMap((example) => [`  ${example.command}`, ...hanging("      ", example.says)]),
  ];
}

function joinLines(lines: readonly string[]): string {
  return lines.map((line) => `${line.trimEnd()}\n`).join("");
}
