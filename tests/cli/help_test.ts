/**
 * Help fits where it is read: `-h` on a screen of 80 by 24, `--help` within 80 columns; both from the one table.
 * Held against made-up tables and against every command that coldcase has.
 */
import { assertEquals, assertGreater, assertLessOrEqual, assertStringIncludes } from "@std/assert";
import {
  AWS_OPTIONS,
  type Command,
  type CommandEntry,
  commandHelp,
  defineCommand,
  parseCommand,
  shortCommandHelp,
  shortTopHelp,
  STORE_OPTIONS,
  textWidth,
  topHelp,
} from "../../src/cli/mod.ts";
import { COMMANDS } from "../../src/commands/mod.ts";
import { entry } from "./fakes.ts";

const large = defineCommand({
  usage: "SNAPSHOT…",
  description:
    "Acquires snapshots into the store, and carries on where it was stopped.\n\nA second paragraph that is " +
    "long enough to be broken at the end of the line, because it has more than eighty columns.",
  options: {
    parent: { value: "WHICH", default: "auto", choices: ["auto", "none"], summary: "what it builds on" },
    recipient: { short: "r", value: "KEY", repeatable: true, summary: "who may open it" },
    ...Object.fromEntries(
      Array.from(
        { length: 20 },
        (_, index) => [`option-${index}`, { value: "TEXT", summary: "says something" }],
      ),
    ),
    secret: { summary: "never shown", hidden: true },
    ...STORE_OPTIONS,
    ...AWS_OPTIONS,
  },
  exitCodes: { budget: true, incomplete: "ended, with holes" },
  environment: { COLDCASE_CASE: "the case" },
  examples: [{ command: "coldcase acquire snap-1", says: "acquires it" }],
  run: () => Promise.resolve(0),
});

const acquire: CommandEntry = { ...entry("acquire"), load: () => Promise.resolve(large) };

/** The words of a command line up to its first pipe or redirection, quotes taken off. */
function wordsOf(line: string): string[] {
  const [own = ""] = line.split(/ (?:\||>|2>|&&) /);
  return [...own.matchAll(/"([^"]*)"|'([^']*)'|(\S+)/g)].map((match) =>
    match[1] ?? match[2] ?? match[3] ?? ""
  );
}

function assertFits(text: string, lines: number): void {
  assertLessOrEqual(text.split("\n").length - 1, lines, text);
  for (const line of text.split("\n")) assertLessOrEqual(textWidth(line), 80, line);
}

Deno.test("shortCommandHelp() is one screen, with the rest of the options by name", () => {
  const text = shortCommandHelp(acquire, large);
  assertFits(text, 24);
  assertStringIncludes(text, "      --parent WHICH   what it builds on (auto)\n");
  assertStringIncludes(text, "Also: --option-");
  assertStringIncludes(text, "--option-19\n");
  assertStringIncludes(text, "  -s, --store DIR      the store: exhibits of one case (./evidence)\n");
  assertStringIncludes(text, "AWS: --region, --profile");
  assertEquals(text.includes("secret"), false);
});

Deno.test("commandHelp() says all there is", () => {
  const text = commandHelp(acquire, large);
  assertFits(text, 200);
  for (
    const part of [
      "Usage: coldcase acquire [OPTIONS] SNAPSHOT…\n\nAcquires snapshots",
      "  -r, --recipient KEY\n          Who may open it. May be given several times.\n",
      "          What it builds on. One of auto, none. Default: auto.\n",
      "\nStore:\n  -s, --store DIR\n",
      "Default: ./evidence. Environment:\n          COLDCASE_STORE.\n",
      "\nExit codes:\n    0               done\n",
      "    3  incomplete   ended, with holes\n    4  budget       would cost",
      "  130  interrupted",
      "  COLDCASE_STORE      fills --store\n",
      "  coldcase acquire snap-1\n      acquires it\n",
    ]
  ) assertStringIncludes(text, part);
  assertEquals(text.includes("secret"), false);
  assertEquals(text.includes("integrity"), false);
});

Deno.test("shortTopHelp() and topHelp() list every command, whatever their number", () => {
  for (const count of [1, 12, 22, 60]) {
    const commands = Array.from({ length: count }, (_, index) => entry(`command-${index}`));
    assertFits(shortTopHelp(commands), 24);
    assertFits(topHelp(commands), 200);
    for (const { name } of commands) {
      assertStringIncludes(shortTopHelp(commands), name);
      assertStringIncludes(topHelp(commands), name);
    }
  }
});

Deno.test("every command's help fits, has prose and an example that parses as its own", async () => {
  assertFits(shortTopHelp(COMMANDS), 24);
  assertFits(topHelp(COMMANDS), 200);
  for (const command of COMMANDS) {
    const table: Command = await command.load();
    assertFits(shortCommandHelp(command, table), 24);
    assertFits(commandHelp(command, table), 300);
    assertGreater(table.description.length, 40, `${command.name} has no prose`);
    assertGreater(table.examples.length, 0, `${command.name} has no example`);
    for (const example of table.examples) {
      const [program, name, ...args] = wordsOf(example.command);
      assertEquals([program, name], ["coldcase", command.name], "an example of another command");
      // Throws where the parser refuses it.
      parseCommand({ name: command.name, command: table, args, environment: () => undefined });
    }
  }
});
