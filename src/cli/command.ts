/**
 * What a command is: one table from which parser, `-h`, `--help`, completions and README's reference are made, and
 * the function that runs it. The table's literal types become the types of the parsed values, so a command
 * that reads an option it did not declare, or as the wrong type, does not compile.
 *
 * Knows no command; `src/commands/mod.ts` lists them.
 */
import type { ErrorCode } from "../errors.ts";
import type { World } from "../model.ts";
import { EVERYWHERE_OPTIONS } from "./options.ts";
import type { Output } from "./output.ts";

/** One option. Without `value` it is a flag, true when given. */
export interface OptionSpec {
  /** What it does, one line of at most 50 columns, no full stop. */
  readonly summary: string;
  /** More, for `--help`: sentences. */
  readonly details?: string;
  /** One letter. */
  readonly short?: string;
  /** What stands for its value in the help: `DIR`, `SIZE`. */
  readonly value?: string;
  /** May be given several times: the value is a list, empty where not given. */
  readonly repeatable?: true;
  /** Text that counts where neither flag nor environment gives one. Shown in the help. */
  readonly default?: string;
  /** The values that are allowed. */
  readonly choices?: readonly string[];
  /** Environment variable that fills it where the flag is not given. */
  readonly environment?: string;
  /** Turns the text into what the command gets. Throws `usage`. */
  readonly parse?: (text: string) => unknown;
  /** Works, but is not in the help. */
  readonly hidden?: true;
  /** Heading under which `--help` shows it; the command's own where not given. */
  readonly section?: "Store" | "Encryption" | "AWS" | "Everywhere";
}

/** Options by their long names without dashes; the order is the order of the help, important ones first. */
export type OptionTable = Readonly<Record<string, OptionSpec>>;

type OneValue<S> = S extends { readonly parse: (text: string) => infer T } ? T
  : S extends { readonly choices: readonly (infer C)[] } ? C
  : string;

/** What the parser delivers for an option: see `OptionSpec`. */
export type OptionValue<S> = S extends { readonly value: string }
  ? S extends { readonly repeatable: true } ? readonly OneValue<S>[]
  : S extends { readonly default: string } ? OneValue<S>
  : OneValue<S> | undefined
  : boolean;

/** Arguments by grammar: at least one where the grammar begins with a required one. */
export type ArgumentsOf<U extends string> = U extends "" | `[${string}` ? readonly string[]
  : readonly [string, ...string[]];

/** What was asked for, parsed and checked, as the parser delivers it. */
export interface ParsedInput {
  readonly args: readonly string[];
  readonly options: Readonly<Record<string, unknown>>;
  readonly given: ReadonlySet<string>;
}

/** The same as the command sees it: with the types that its table says. */
export interface Input<U extends string, O extends OptionTable> extends ParsedInput {
  /** As many as the command's `usage` allows. */
  readonly args: ArgumentsOf<U>;
  readonly options: { readonly [Name in keyof O]: OptionValue<O[Name]> };
  /** Names of the options that the command line gave (not environment, not default). */
  readonly given: ReadonlySet<string>;
}

/** What a command may use. */
export interface CommandContext {
  readonly world: World;
  readonly out: Output;
  /** Aborts at the first Ctrl-C, SIGTERM or SIGHUP; its reason is the `OperatorError` to end with. */
  readonly signal: AbortSignal;
  /** coldcase's version, for records. */
  readonly version: string;
  /** The command line, the command's name first, as typed but for secrets: fit for records. */
  readonly commandLine: readonly string[];
}

export interface Example {
  /** As typed, beginning with `coldcase`. */
  readonly command: string;
  readonly says: string;
}

interface CommandTable<U extends string, O extends OptionTable> {
  /**
   * Grammar of the arguments, one word each: `EXHIBIT`, `[EXHIBIT]`, `SNAPSHOT…`, `[EXHIBIT…]`; "" for none.
   * Required before optional, only the last one repeats.
   */
  readonly usage: U;
  /** Words that an argument may be, for completions; the command itself refuses others. */
  readonly argumentChoices?: readonly string[];
  /** Paragraphs for `--help`, divided by empty lines; broken to the width when shown. */
  readonly description: string;
  readonly options: O;
  readonly examples: readonly Example[];
  /** Exit codes beside 0, 1, 2 and 130: what they mean here, or `true` for the general meaning. */
  readonly exitCodes?: Readonly<Partial<Record<ErrorCode | "done", string | true>>>;
  /** Environment variables beside those that fill options, and what they do. */
  readonly environment?: Readonly<Record<string, string>>;
}

/** A command as `defineCommand()` takes it. */
export interface CommandDefinition<U extends string, O extends OptionTable> extends CommandTable<U, O> {
  /** Does the work; resolves to the exit code, usually 0. */
  run(context: CommandContext, input: Input<U, O>): Promise<number>;
}

/** A command as parser, help and `run()` see it. */
export interface Command extends CommandTable<string, OptionTable> {
  run(context: CommandContext, input: ParsedInput): Promise<number>;
}

/** One line of the top help; the rest is loaded only when the command is asked for, which keeps start-up short. */
export interface CommandEntry {
  readonly name: string;
  /** At most 55 columns, no full stop. */
  readonly summary: string;
  /** Heading in `coldcase --help`. */
  readonly group: string;
  /** What users of other tools would type; leads to a "did you mean". */
  readonly synonyms?: readonly string[];
  readonly load: () => Promise<Command>;
}

/**
 * Fixes a command's literal types. Throws `TypeError` (a bug) for a table that contradicts itself.
 *
 * ```ts
 * import { defineCommand } from "./mod.ts";
 * const hello = defineCommand({
 *   usage: "NAME",
 *   description: "Greets.",
 *   options: { times: { value: "N", summary: "how often", default: "1", parse: Number } },
 *   examples: [],
 *   run(context, input) {
 *     const times: number = input.options.times;
 *     context.out.result(`hello ${input.args[0]}\n`.repeat(times));
 *     return Promise.resolve(0);
 *   },
 * });
 * ```
 */
export function defineCommand<const U extends string, const O extends OptionTable>(
  definition: CommandDefinition<U, O>,
): Command {
  const shorts = new Set<string>(
    Object.values(EVERYWHERE_OPTIONS).map((spec: OptionSpec) => spec.short ?? ""),
  );
  for (const [name, spec] of Object.entries(definition.options)) {
    if (!/^[a-z][a-z0-9-]*$/.test(name)) {
      throw new TypeError(`Cannot define option "${name}": not kebab-case`);
    }
    if (Object.hasOwn(EVERYWHERE_OPTIONS, name)) {
      throw new TypeError(`Cannot define option "${name}": it is understood everywhere`);
    }
    if (spec.value === undefined && (spec.repeatable || spec.default !== undefined || spec.choices)) {
      throw new TypeError(`Cannot define option "${name}": it has no value, but says something about one`);
    }
    if (spec.short === undefined) continue;
    if (spec.short.length !== 1 || shorts.has(spec.short)) {
      throw new TypeError(`Cannot define option "${name}": short name "${spec.short}" is taken or too long`);
    }
    shorts.add(spec.short);
  }
  return definition;
}
