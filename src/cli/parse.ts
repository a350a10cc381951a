/**
 * From arguments to a checked `Input`, by a command's table. Pure: reads no file, asks nobody, and what it
 * refuses was refused before the command touched anything.
 *
 * An own parser, because `@std/cli/parse-args` guesses where evidence needs certainty: it turns unknown flags
 * into values, `--case 007` into a number unless told otherwise, lets a repeated flag win silently, and can't tell `--store` without
 * a value from an empty one. Accepted: `--name VALUE`, `--name=VALUE`, `-s VALUE`, `-sVALUE`, `-qv`, options after arguments,
 * `--`, and `-` as a plain argument. Long names are never abbreviated: scripts outlive new options.
 */
import { OperatorError } from "../errors.ts";
import type { Command, OptionSpec, OptionTable, ParsedInput } from "./command.ts";
import { EVERYWHERE_OPTIONS } from "./options.ts";
import { suggestion } from "./suggest.ts";

/** The options that `cli` itself acts on. */
export interface SharedInput {
  readonly json: boolean;
  readonly quiet: boolean;
  readonly verbose: boolean;
  readonly progress: boolean;
  readonly color: "auto" | "always" | "never";
}

export type Parsed =
  | { readonly kind: "help"; readonly short: boolean }
  | { readonly kind: "version" }
  | { readonly kind: "run"; readonly input: ParsedInput; readonly shared: SharedInput };

/** What `parseCommand()` works on. */
export interface ParseRequest {
  /** As typed, for messages. */
  readonly name: string;
  readonly command: Command;
  /** What follows the command's name. */
  readonly args: readonly string[];
  readonly environment: (name: string) => string | undefined;
}

/** What was typed, before values are read. */
interface Scan {
  readonly args: string[];
  readonly texts: Map<string, string[]>;
  readonly request: ParseRequest;
  readonly table: OptionTable;
}

/** Throws `usage`, with hints; a help or version flag anywhere wins over mistakes elsewhere. */
export function parseCommand(request: ParseRequest): Parsed {
  const asked = helpOrVersion(request.args, request.command.options);
  if (asked) return asked;
  const table: OptionTable = { ...request.command.options, ...EVERYWHERE_OPTIONS };
  const scan: Scan = { args: [], texts: new Map(), request, table };
  scanArguments(scan);
  checkArguments(scan);
  const options: Record<string, unknown> = {};
  for (const [name, spec] of Object.entries(table)) options[name] = valueOf(scan, name, spec);
  const { color } = options;
  return {
    kind: "run",
    input: { args: scan.args, options, given: new Set(scan.texts.keys()) },
    shared: {
      json: options.json === true,
      quiet: options.quiet === true,
      verbose: options.verbose === true,
      progress: options["no-progress"] !== true,
      color: color === "always" || color === "never" ? color : "auto",
    },
  };
}

/** Whether `--json` is among the arguments: asked before they are known to be right, for the form of the error. */
export function wantsJson(args: readonly string[]): boolean {
  return beforeDashes(args).includes("--json");
}

function beforeDashes(args: readonly string[]): readonly string[] {
  const end = args.indexOf("--");
  return end < 0 ? args : args.slice(0, end);
}

function helpOrVersion(args: readonly string[], table: OptionTable): Parsed | undefined {
  const takesValue = new Set(
    Object.entries(table).filter(([, spec]) => spec.value !== undefined)
      .flatMap(([name, spec]) => [`--${name}`, ...(spec.short ? [`-${spec.short}`] : [])]),
  );
  // What follows `--notes` is its value, even where it reads `--version`; the scan refuses it with a hint.
  const flags = beforeDashes(args).filter((_, index) => !takesValue.has(args[index - 1] ?? ""));
  if (flags.includes("--help")) return { kind: "help", short: false };
  if (flags.includes("-h")) return { kind: "help", short: true };
  if (flags.includes("--version") || flags.includes("-V")) return { kind: "version" };
  return undefined;
}

function scanArguments(scan: Scan): void {
  const rest = [...scan.request.args];
  for (let word = rest.shift(); word !== undefined; word = rest.shift()) {
    if (word === "--") {
      scan.args.push(...rest);
      return;
    }
    if (word.startsWith("--")) scanLong(scan, word, rest);
    else if (word.startsWith("-") && word !== "-") scanShorts(scan, word, rest);
    else scan.args.push(word);
  }
}

function scanLong(scan: Scan, word: string, rest: string[]): void {
  const equals = word.indexOf("=");
  const name = equals < 0 ? word.slice(2) : word.slice(2, equals);
  const spec = Object.hasOwn(scan.table, name) ? scan.table[name] : undefined;
  if (!spec) throw unknownOption(scan, `--${name}`);
  const attached = equals < 0 ? undefined : word.slice(equals + 1);
  record(scan, { name, spec, typed: `--${name}`, attached }, rest);
}

/** `-qv` is `-q -v`; from the first letter that takes a value on, the rest of the word is that value. */
function scanShorts(scan: Scan, word: string, rest: string[]): void {
  for (let at = 1; at < word.length; at++) {
    const letter = word[at] ?? "";
    const found = Object.entries(scan.table).find(([, candidate]) => candidate.short === letter);
    if (!found) throw unknownOption(scan, at === 1 ? word : `-${letter}`);
    const [name, spec] = found;
    const after = word.slice(at + 1);
    const takesRest = spec.value !== undefined || after.startsWith("=");
    const attached = takesRest && after !== "" ? after.replace(/^=/, "") : undefined;
    record(scan, { name, spec, typed: `-${letter}`, attached }, rest);
    if (takesRest) return;
  }
}

interface TypedOption {
  readonly name: string;
  readonly spec: OptionSpec;
  /** As typed, for messages. */
  readonly typed: string;
  /** The value that was joined to it; undefined where there was none. */
  readonly attached: string | undefined;
}

function record(scan: Scan, option: TypedOption, rest: string[]): void {
  const { name, spec, typed, attached } = option;
  const texts = scan.texts.get(name) ?? [];
  if (spec.value === undefined) {
    // Not shown: what was typed after --passphrase= is one.
    if (attached !== undefined) throw refuse(scan, `Cannot take ${typed}=…: ${typed} has no value`);
    scan.texts.set(name, ["true"]);
    return;
  }
  if (texts.length > 0 && !spec.repeatable) {
    throw refuse(scan, `Cannot take ${typed} twice: it was given as "${texts[0]}" already, expected it once`);
  }
  scan.texts.set(name, [...texts, attached ?? nextValue(scan, option, spec.value, rest)]);
}

function nextValue(scan: Scan, option: TypedOption, placeholder: string, rest: string[]): string {
  const next = rest[0];
  if (next === undefined) {
    throw refuse(
      scan,
      `Cannot take ${option.typed}: it has no value, expected ${option.typed} ${placeholder}`,
    );
  }
  // A minus alone is stdin or stdout, and -5 is a number; any other dash is rather a forgotten value.
  if (next.startsWith("-") && next !== "-" && !/^-\d/.test(next)) {
    const hint = `write --${option.name}=${next} if "${next}" is meant as the value`;
    throw refuse(scan, `Cannot take ${option.typed}: "${next}" follows, expected ${placeholder}`, hint);
  }
  rest.shift();
  return next;
}

function valueOf(scan: Scan, name: string, spec: OptionSpec): unknown {
  const typed = scan.texts.get(name);
  if (spec.value === undefined) return typed !== undefined;
  if (spec.repeatable) return (typed ?? []).map((text) => readValue(scan, { name, spec, text }));
  const fromEnvironment = spec.environment ? scan.request.environment(spec.environment) : undefined;
  const text = typed?.[0] ?? fromEnvironment ?? spec.default;
  if (text === undefined) return undefined;
  const source = !typed && fromEnvironment !== undefined ? spec.environment : undefined;
  return readValue(scan, { name, spec, text, source });
}

interface OptionText {
  readonly name: string;
  readonly spec: OptionSpec;
  readonly text: string;
  /** The environment variable that it came from. */
  readonly source?: string | undefined;
}

function readValue(scan: Scan, value: OptionText): unknown {
  const { name, spec, text, source } = value;
  const what = source ?? `--${name}`;
  if (text === "") throw refuse(scan, `Cannot take ${what}: its value is empty, expected ${spec.value}`);
  if (spec.choices && !spec.choices.includes(text)) {
    const wanted = spec.choices.join(", ");
    throw refuse(
      scan,
      `Cannot take ${what} "${text}": expected one of ${wanted}`,
      suggestion(text, spec.choices),
    );
  }
  if (!spec.parse) return text;
  try {
    return spec.parse(text);
  } catch (error) {
    if (!(error instanceof OperatorError)) throw error;
    throw new OperatorError(error.code, error.message, {
      hints: [...error.hints, `this is ${what}: ${spec.summary}`],
      facts: { ...error.facts, option: name },
      cause: error,
    });
  }
}

/** The arguments of a grammar such as `EXHIBIT`, `[EXHIBIT…]`. */
export function readGrammar(usage: string): { names: string[]; min: number; max: number } {
  const words = usage.split(" ").filter((word) => word !== "");
  const names = words.map((word) => word.replace(/[[\]…]/g, ""));
  const repeats = words.some((word) => word.includes("…"));
  return {
    names,
    min: words.filter((word) => !word.startsWith("[")).length,
    max: repeats ? Infinity : words.length,
  };
}

function checkArguments(scan: Scan): void {
  const { names, min, max } = readGrammar(scan.request.command.usage);
  const { args } = scan;
  if (args.length < min) {
    throw refuse(scan, `Cannot run ${scan.request.name}: ${names[args.length]} is missing`);
  }
  if (args.length > max) {
    const wanted = max === 0
      ? "it takes no arguments"
      : `it takes ${max === 1 ? "one" : max} (${names.join(" ")})`;
    throw refuse(scan, `Cannot run ${scan.request.name}: "${args[max]}" is one argument too many, ${wanted}`);
  }
  if (args.includes("")) throw refuse(scan, `Cannot run ${scan.request.name}: an argument is empty`);
}

function unknownOption(scan: Scan, typed: string): OperatorError {
  const names = Object.entries(scan.table).filter(([, spec]) => !spec.hidden).map(([name]) => `--${name}`);
  const near = typed.startsWith("--") ? suggestion(typed, names) : singleDash(typed, names);
  return refuse(scan, `Cannot take ${typed}: ${scan.request.name} has no such option`, near);
}

/** `-json` is a frequent slip for `--json`. */
function singleDash(typed: string, names: readonly string[]): string | undefined {
  const name = `-${typed.split("=")[0]}`;
  return names.includes(name) ? `did you mean ${name}` : undefined;
}

function refuse(scan: Scan, message: string, hint?: string): OperatorError {
  const help = `coldcase ${scan.request.name} -h lists what it takes`;
  return new OperatorError("usage", message, { hints: hint === undefined ? [help] : [hint, help] });
}
