/**
 * One run of the program: finds the command, parses, runs it, and maps whatever happens to an exit code.
 * The only place that turns a thrown error into words and a number; ends no process (main.ts does).
 *
 * Stopping: the first signal aborts the command's `signal` and lets it save; the second ends the process at
 * once with 130. A program that reads our stdout and goes away is no failure.
 */
import { messageOf, OperatorError } from "../errors.ts";
import type { World } from "../model.ts";
import type { CommandEntry } from "./command.ts";
import { commandHelp, shortCommandHelp, shortTopHelp, topHelp } from "./help.ts";
import { Output } from "./output.ts";
import { parseCommand, type Parsed, type SharedInput, wantsJson } from "./parse.ts";
import { recordedLine } from "./recorded_line.ts";
import { suggestion } from "./suggest.ts";
import {
  cannotWriteResult,
  ClosedOutput,
  type Interrupts,
  type StopSignal,
  type Terminal,
} from "./terminal.ts";

/** All that a run needs beside its arguments. */
export interface Program {
  readonly commands: readonly CommandEntry[];
  /** `0.1.0`. */
  readonly version: string;
  /** What `--version` prints, without the final line feed. Called only then. */
  readonly versionText: () => string | Promise<string>;
  readonly world: World;
  readonly terminal: Terminal;
  readonly interrupts: Interrupts;
}

const PLAIN: SharedInput = { json: false, quiet: false, verbose: false, progress: true, color: "auto" };

/** Runs `args` (without the program's name). Resolves to the exit code; never rejects. */
export async function run(args: readonly string[], program: Program): Promise<number> {
  // What the command line says about output counts also where the command line is wrong.
  const before = {
    ...PLAIN,
    json: wantsJson(args),
    verbose: args.includes("-v") || args.includes("--verbose"),
  };
  const out = outputFor(program, before);
  try {
    return finish(await dispatch(args, program, out), out);
  } catch (error) {
    return report(error, program, out);
  }
}

/** The exit code, unless the command succeeded but its result did not get out. */
function finish(exitCode: number, out: Output): number {
  if (exitCode === 0 && out.resultFailure) throw cannotWriteResult(out.resultFailure);
  return exitCode;
}

function outputFor(program: Program, shared: SharedInput, store?: string): Output {
  const { terminal, world } = program;
  return new Output({
    ...shared,
    store,
    terminal,
    clock: world.clock,
    environment: (name) => environmentIfAllowed(world, name),
  });
}

/** For colors and the like. Where Deno withholds the environment, what needs it more says so. */
function environmentIfAllowed(world: World, name: string): string | undefined {
  try {
    return world.environment(name);
  } catch (error) {
    if (error instanceof Deno.errors.NotCapable) return undefined;
    throw error;
  }
}

async function dispatch(args: readonly string[], program: Program, out: Output): Promise<number> {
  const [first, ...rest] = args;
  const { commands, terminal } = program;
  if (first === undefined) {
    terminal.stderr.write(shortTopHelp(commands));
    return 2;
  }
  if (first === "--version" || first === "-V") return await showVersion(program, out);
  if (first === "-h") return show(out, shortTopHelp(commands));
  if (first === "--help") return show(out, topHelp(commands));
  if (first === "help") return await help(rest, program, out);
  const entry = findCommand(first, commands, rest);
  const command = await entry.load();
  const environment = (name: string) => program.world.environment(name);
  const parsed = parseCommand({ name: entry.name, command, args: rest, environment });
  if (parsed.kind === "version") return await showVersion(program, out);
  if (parsed.kind === "help") {
    return show(out, (parsed.short ? shortCommandHelp : commandHelp)(entry, command));
  }
  return await runCommand({ entry, command, parsed, args }, program);
}

/** Help is for people: the same with `--json`. */
function show(out: Output, text: string): number {
  out.plain(text);
  return 0;
}

async function showVersion(program: Program, out: Output): Promise<number> {
  const text = await program.versionText();
  out.event({ type: "version", version: program.version, text });
  out.result(`${text}\n`);
  return 0;
}

async function help(args: readonly string[], program: Program, out: Output): Promise<number> {
  const [name] = args.filter((arg) => !arg.startsWith("-"));
  if (name === undefined) return show(out, topHelp(program.commands));
  const entry = findCommand(name, program.commands, []);
  return show(out, commandHelp(entry, await entry.load()));
}

function findCommand(name: string, commands: readonly CommandEntry[], rest: readonly string[]): CommandEntry {
  const entry = commands.find((candidate) => candidate.name === name);
  if (entry) return entry;
  const list = "coldcase -h lists the commands";
  if (name.startsWith("-")) {
    const next = rest.find((word) => commands.some((candidate) => candidate.name === word));
    const hint = next === undefined ? [] : [`the command comes first: coldcase ${next} ${name} …`];
    throw new OperatorError("usage", `Cannot take ${name}: expected a command first`, {
      hints: [...hint, list],
    });
  }
  const synonym = commands.find((candidate) => candidate.synonyms?.includes(name));
  const near = synonym ? `did you mean ${synonym.name}` : suggestion(name, commands.map((each) => each.name));
  throw new OperatorError("usage", `Cannot run "${name}": coldcase has no such command`, {
    hints: near === undefined ? [list] : [near, list],
  });
}

interface Invocation {
  readonly entry: CommandEntry;
  readonly command: Awaited<ReturnType<CommandEntry["load"]>>;
  readonly parsed: Parsed & { kind: "run" };
  readonly args: readonly string[];
}

async function runCommand(invocation: Invocation, program: Program): Promise<number> {
  const { command, parsed, args } = invocation;
  const { world, version } = program;
  const out = outputFor(program, parsed.shared, namedStore(parsed));
  const stop = new AbortController();
  const unlisten = program.interrupts.listen((name) => onSignal(name, { stop, out, program }));
  try {
    const context = { world, out, signal: stop.signal, version, commandLine: recordedLine(args) };
    return finish(await command.run(context, parsed.input), out);
  } catch (error) {
    // Whatever a command's parts made of the abort, it ended because it was told to.
    const stopped = stop.signal.aborted && !(error instanceof OperatorError) && isAbort(error);
    return report(stopped ? stop.signal.reason : error, program, out);
  } finally {
    out.close();
    unlisten();
  }
}

/** As typed; one that the environment names or that is the default is found again without. */
function namedStore({ input: { given, options } }: Invocation["parsed"]): string | undefined {
  const { store } = options as { readonly store?: unknown };
  return given.has("store") && typeof store === "string" ? store : undefined;
}

function isAbort(error: unknown): boolean {
  return error instanceof Error && (error.name === "AbortError" || error.name === "TimeoutError");
}

interface Stopping {
  readonly stop: AbortController;
  readonly out: Output;
  readonly program: Program;
}

function onSignal(name: StopSignal, { stop, out, program }: Stopping): void {
  if (stop.signal.aborted) {
    out.close();
    program.interrupts.exitNow(130);
    return;
  }
  const typed = name === "SIGINT" ? "Ctrl-C" : name;
  out.note(`stopping on ${typed}; once more stops at once`);
  stop.abort(
    new OperatorError("interrupted", `Cannot finish: stopped by ${typed}`, {
      hints: ["run the same command again to go on"],
      facts: { signal: name },
    }),
  );
}

/** Shows the error and gives its exit code. */
function report(error: unknown, program: Program, out: Output): number {
  out.close();
  if (error instanceof ClosedOutput) return 0;
  const shown = error instanceof OperatorError
    ? error
    : error instanceof Deno.errors.NotCapable
    ? withheld(error)
    : bugReport(error, program.version, out.verbose);
  out.error(shown);
  if (shown !== error && out.verbose && error instanceof Error) out.detail(error.stack ?? "no stack");
  return shown.exitCode;
}

/** Deno has not given a permission that the command needs: whoever started it can. */
function withheld(error: Error): OperatorError {
  return new OperatorError("usage", `Cannot go on: ${error.message}`, {
    hints: ["start it as deno task coldcase does, with the permissions that README names"],
    cause: error,
  });
}

/** Anything that is no `OperatorError` is a bug of ours; the operator is told so, and what to do with it. */
function bugReport(error: unknown, version: string, verbose: boolean): OperatorError {
  const name = error instanceof Error ? `${error.name}: ` : "";
  const again = verbose ? "" : ", with what the same command says with -v";
  return new OperatorError("internal", `Cannot go on: ${name}${messageOf(error)}`, {
    hints: [`this is a bug in coldcase ${version}: please report it${again}`],
    cause: error,
  });
}
