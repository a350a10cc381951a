/**
 * Laws of the parser: what is accepted, and what is refused with which words. Every refusal is exit code 2 and
 * leads on with a hint; none is a guess.
 */
import { assertEquals, assertThrows } from "@std/assert";
import {
  AWS_OPTIONS,
  type Command,
  defineCommand,
  parseCommand,
  STORE_OPTIONS,
  wholeNumber,
} from "../../src/cli/mod.ts";
import { OperatorError } from "../../src/errors.ts";
import { parseUsd } from "../../src/units.ts";

const acquire = defineCommand({
  usage: "SNAPSHOT…",
  description: "Acquires.",
  options: {
    notes: { value: "TEXT", summary: "notes" },
    recipient: { short: "r", value: "KEY", repeatable: true, summary: "who may open" },
    budget: { value: "USD", summary: "the most that it may cost", parse: parseUsd },
    concurrency: {
      value: "N",
      summary: "reads at once",
      default: "16",
      parse: wholeNumber({ min: 1, max: 64 }),
    },
    parent: { value: "WHICH", choices: ["auto", "none"], default: "auto", summary: "what it builds on" },
    fresh: { short: "f", summary: "start again" },
    ...STORE_OPTIONS,
    ...AWS_OPTIONS,
  },
  examples: [],
  run(context, input) {
    // These lines are the test of the types: they must compile, and those with an error expected must not.
    const snapshot: string = input.args[0];
    const budget: number | undefined = input.options.budget;
    const recipients: readonly string[] = input.options.recipient;
    const parent: "auto" | "none" = input.options.parent;
    const fresh: boolean = input.options.fresh;
    const concurrency: number = input.options.concurrency;
    // @ts-expect-error: may be undefined
    const notes: string = input.options.notes;
    // @ts-expect-error: is not declared
    const nothing = input.options.unheardOf;
    context.out.event({
      type: "x",
      snapshot,
      budget,
      recipients,
      parent,
      fresh,
      concurrency,
      notes,
      nothing,
    });
    return Promise.resolve(0);
  },
});

function withUsage(usage: string): Command {
  return defineCommand({
    usage,
    description: "",
    options: { fresh: { summary: "x" } },
    examples: [],
    run: () => Promise.resolve(0),
  });
}

function parse(args: readonly string[], environment: Record<string, string> = {}, command = acquire) {
  const parsed = parseCommand({ name: "acquire", command, args, environment: (name) => environment[name] });
  if (parsed.kind !== "run") throw new Error(`parsed as ${parsed.kind}`);
  return parsed;
}

function refusal(
  args: readonly string[],
  environment: Record<string, string> = {},
  command = acquire,
): string[] {
  const error = assertThrows(() => parse(args, environment, command), OperatorError);
  assertEquals(error.exitCode, 2);
  return [error.message, ...error.hints];
}

const LIST = "coldcase acquire -h lists what it takes";

Deno.test("parseCommand() accepts every form of an option with a value", () => {
  for (const form of [["-s", "d"], ["-sd"], ["-s=d"], ["--store", "d"], ["--store=d"]]) {
    assertEquals(parse([...form, "snap-1"]).input.options.store, "d", form.join(" "));
    assertEquals(parse(["snap-1", ...form]).input.args, ["snap-1"], form.join(" "));
  }
});

Deno.test("parseCommand() keeps what looks like another type a text", () => {
  for (const text of ["007", "true", "-5", "-", "a=b", "1e3", " "]) {
    assertEquals(parse(["--notes", text, "s"]).input.options.notes, text);
  }
  assertEquals(parse(["--notes=--fresh", "s"]).input.options.notes, "--fresh");
  assertEquals(parse(["--notes==", "s"]).input.options.notes, "=");
});

Deno.test("parseCommand() collects repeatable options, in order", () => {
  assertEquals(parse(["-r", "a", "s", "--recipient=b", "-rc"]).input.options.recipient, ["a", "b", "c"]);
  assertEquals(parse(["s"]).input.options.recipient, []);
});

Deno.test("parseCommand() takes flags in a bundle, the last one with its value", () => {
  const { input, shared } = parse(["-qvfsdir", "s"]);
  assertEquals([input.options.fresh, input.options.store], [true, "dir"]);
  assertEquals([shared.quiet, shared.verbose, shared.json], [true, true, false]);
});

Deno.test("parseCommand() takes nothing after -- for an option", () => {
  assertEquals(parse(["s", "--", "--fresh", "-h", "--"]).input.args, ["s", "--fresh", "-h", "--"]);
  assertEquals(parse(["-", "--"]).input.args, ["-"]);
});

Deno.test("parseCommand() prefers flag to environment to default, and knows what was given", () => {
  const environment = { COLDCASE_STORE: "env" };
  assertEquals(parse(["s", "--store", "flag"], environment).input.options.store, "flag");
  assertEquals(parse(["s"], environment).input.options.store, "env");
  assertEquals(parse(["s"]).input.options.store, "./evidence");
  assertEquals([...parse(["s", "-f", "-sx"], environment).input.given], ["fresh", "store"]);
});

Deno.test("parseCommand() reads values with the option's own parser", () => {
  const { options } = parse(["s", "--budget", "$12.50", "--concurrency=3"]).input;
  assertEquals([options.budget, options.concurrency], [12.5, 3]);
  assertEquals(parse(["s"]).input.options.budget, undefined);
  assertEquals(parse(["s"]).input.options.concurrency, 16);
});

Deno.test("parseCommand() lets help and version win over mistakes, but not out of a value's place", () => {
  const kind = (args: string[]) =>
    parseCommand({ name: "acquire", command: acquire, args, environment: () => undefined });
  assertEquals(kind(["--bogus", "-h"]), { kind: "help", short: true });
  assertEquals(kind(["--help", "-V"]), { kind: "help", short: false });
  assertEquals(kind(["-V"]), { kind: "version" });
  assertThrows(() => kind(["--notes", "-h"]), OperatorError, '"-h" follows');
  assertEquals(kind(["s", "--", "-h"]).kind, "run");
});

const REFUSED: readonly (readonly [args: string[], message: string, ...hints: string[]])[] = [
  [["s", "--stoer", "d"], "Cannot take --stoer: acquire has no such option", "did you mean --store"],
  [["s", "--store=a", "--Fresh"], "Cannot take --Fresh: acquire has no such option", "did you mean --fresh"],
  [["s", "-json"], "Cannot take -json: acquire has no such option", "did you mean --json"],
  [["s", "-fx"], "Cannot take -x: acquire has no such option"],
  [["s", "--constructor"], "Cannot take --constructor: acquire has no such option"],
  [["s", "--store"], "Cannot take --store: it has no value, expected --store DIR"],
  [["s", "-s"], "Cannot take -s: it has no value, expected -s DIR"],
  [["s", "--store="], "Cannot take --store: its value is empty, expected DIR"],
  [
    ["--notes", "--fresh", "s"],
    'Cannot take --notes: "--fresh" follows, expected TEXT',
    'write --notes=--fresh if "--fresh" is meant as the value',
  ],
  [["s", "--fresh=yes"], "Cannot take --fresh=…: --fresh has no value"],
  [["s", "-f=yes"], "Cannot take -f=…: -f has no value"],
  [["s", "-sa", "--store", "b"], 'Cannot take --store twice: it was given as "a" already, expected it once'],
  [["s", "--parent", "uato"], 'Cannot take --parent "uato": expected one of auto, none', "did you mean auto"],
  [["s", "--color=sometimes"], 'Cannot take --color "sometimes": expected one of auto, always, never'],
  [[], "Cannot run acquire: SNAPSHOT is missing"],
  [["--fresh"], "Cannot run acquire: SNAPSHOT is missing"],
  [["s", ""], "Cannot run acquire: an argument is empty"],
];

for (const [args, message, ...hints] of REFUSED) {
  Deno.test(`parseCommand() refuses [${args.join(" ")}]`, () => {
    assertEquals(refusal(args), [message, ...hints, LIST]);
  });
}

Deno.test("parseCommand() says which option or variable a bad value is of", () => {
  assertEquals(refusal(["s", "--budget=much"]), [
    'Cannot read amount "much": expected US dollars such as 12.50',
    "this is --budget: the most that it may cost",
  ]);
  assertEquals(
    refusal(["s", "--concurrency", "65"])[0],
    'Cannot read number "65": expected a whole number from 1 to 64',
  );
  assertEquals(
    refusal(["s", "--concurrency", "-1"])[0],
    'Cannot read number "-1": expected a whole number from 1 to 64',
  );
});

Deno.test("parseCommand() counts arguments by the grammar", () => {
  const accepts = (usage: string, count: number) => {
    try {
      parse(Array.from({ length: count }, () => "x"), {}, withUsage(usage));
      return true;
    } catch (error) {
      if (error instanceof OperatorError) return false;
      throw error;
    }
  };
  const counts = (usage: string) => [0, 1, 2, 3].filter((count) => accepts(usage, count));
  assertEquals(counts(""), [0]);
  assertEquals(counts("EXHIBIT"), [1]);
  assertEquals(counts("[EXHIBIT]"), [0, 1]);
  assertEquals(counts("SNAPSHOT…"), [1, 2, 3]);
  assertEquals(counts("[EXHIBIT…]"), [0, 1, 2, 3]);
  assertEquals(counts("FROM TO"), [2]);
  assertEquals(counts("FROM [TO]"), [1, 2]);
  assertEquals(
    refusal(["a", "b"], {}, withUsage(""))[0],
    'Cannot run acquire: "a" is one argument too many, it takes no arguments',
  );
});

Deno.test("parseCommand() either refuses with usage or accepts, whatever is typed", () => {
  const seed = Math.floor(Math.random() * 2 ** 31);
  let state = seed;
  const draw = (below: number) => {
    state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
    return (state >>> 8) % below;
  };
  const words = [
    "--store",
    "-s",
    "-",
    "--",
    "--json",
    "-q",
    "-qx",
    "a",
    "",
    "=",
    "--=",
    "-=",
    "---",
    "--notes=",
    "-5",
  ];
  for (let round = 0; round < 2000; round++) {
    const args = Array.from({ length: draw(6) }, () => words[draw(words.length)] ?? "");
    try {
      parse(args);
    } catch (error) {
      const isRefusal = error instanceof OperatorError && error.code === "usage";
      assertEquals(isRefusal, true, `seed ${seed}: [${args.join(" ")}] threw ${error}`);
    }
  }
});

Deno.test("defineCommand() refuses a table that contradicts itself", () => {
  const define = (options: Parameters<typeof defineCommand>[0]["options"]) => () =>
    defineCommand({ usage: "", description: "", options, examples: [], run: () => Promise.resolve(0) });
  assertThrows(
    define({ a: { short: "x", summary: "" }, b: { short: "x", summary: "" } }),
    TypeError,
    "taken",
  );
  assertThrows(define({ a: { default: "1", summary: "" } }), TypeError, "no value");
  assertThrows(define({ a: { short: "q", summary: "" } }), TypeError, "taken");
  assertThrows(define({ json: { summary: "" } }), TypeError, "understood everywhere");
  assertThrows(define({ "Bad Name": { summary: "" } }), TypeError, "kebab-case");
});
