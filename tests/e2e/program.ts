/**
 * The program as its users start it: a process of its own with exactly the permissions of `deno task coldcase`,
 * an environment without this machine's credentials, its output kept. Says nothing about what is right.
 */
import { assertEquals } from "@std/assert";
import { fromFileUrl, resolve } from "@std/path";
import config from "../../deno.json" with { type: "json" };
import { committedIn, readAgain } from "../second_reading.ts";

const ROOT = fromFileUrl(new URL("../../", import.meta.url));
/** `run --no-prompt --allow-… main.ts`, with the path of this checkout. */
const TASK = config.tasks.coldcase.split(" ").slice(1).map((word) =>
  word === "main.ts" ? `${ROOT}main.ts` : word
);

/** One line of `--json`. */
export interface JsonEvent {
  readonly type: string;
  readonly [name: string]: unknown;
}

/** The members of an exhibit's summary that tests ask for. */
export interface ExhibitSummary extends JsonEvent {
  readonly exhibit: string;
  readonly snapshot: string;
  readonly imageDigest: string;
  readonly storedBlocks: number;
  readonly zeroBlocks: number;
  readonly absentBlocks: number;
  readonly unreadableBlocks: number;
  readonly isPartial: boolean;
  readonly parent: string | null;
  readonly supersedes: string | null;
}

/** A process that has ended. */
export interface Ended {
  /** 128 and the signal's number where one ended it. */
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** Instead of the task's: for block devices. */
  readonly permissions?: readonly string[];
  /** Words that start it: a program of the system's, with its own arguments. */
  readonly through?: readonly string[];
}

/** A process under way. */
export interface Running {
  kill(signal: Deno.Signal): void;
  /** Resolves when stderr holds `text`; fails where the process ends without. */
  says(text: string): Promise<void>;
  readonly ended: Promise<Ended>;
}

let configuration: string | undefined;

/** The words with which a shell starts it. */
export function commandOf(...args: readonly string[]): string[] {
  return [Deno.execPath(), ...TASK, ...args];
}

/** A configuration folder for all runs of a test file, gone at its end: no test makes a key in anybody's home. */
function configurationFolder(): string {
  if (configuration !== undefined) return configuration;
  const folder = configuration = Deno.makeTempDirSync({ prefix: "coldcase-config-" });
  globalThis.addEventListener("unload", () => Deno.removeSync(folder, { recursive: true }));
  return folder;
}

function inherited(): Record<string, string> {
  const foreign = /^(AWS|COLDCASE|DENO_(?!DIR)|SSH_AUTH_SOCK)|_proxy$/i;
  return Object.fromEntries(Object.entries(Deno.env.toObject()).filter(([name]) => !foreign.test(name)));
}

/** Stores in which a command may make exhibits. */
function storesOf(args: readonly string[], { env = {}, cwd = Deno.cwd() }: RunOptions): string[] {
  if (!["acquire", "copy", "decrypt", "import"].includes(args[0] ?? "")) return [];
  const named = args.filter((_, at) => ["-s", "--store", "--to"].includes(args[at - 1] ?? ""));
  const fromEnvironment = env["COLDCASE_STORE"];
  return [...new Set([...named, ...(fromEnvironment === undefined ? [] : [fromEnvironment])])]
    .map((path) => resolve(cwd, path));
}

/** Has a second reader read the exhibits that came into a store. */
async function readNew(path: string, before: readonly string[]): Promise<void> {
  for (const id of committedIn(path)) if (!before.includes(id)) await readAgain(path, id);
}

/** Starts the program. What it commits a second reader reads before it counts as ended. Nobody is at its terminal: stdin is empty, stdout and stderr are pipes. */
export function start(args: readonly string[], options: RunOptions = {}): Running {
  const words = options.permissions ? ["run", "--no-prompt", ...options.permissions, TASK.at(-1)!] : TASK;
  const stores = storesOf(args, options);
  const before = new Map(stores.map((path) => [path, committedIn(path)]));
  const [program, ...leading] = [...(options.through ?? []), Deno.execPath()];
  const child = new Deno.Command(program!, {
    args: [...leading, ...words, ...args],
    clearEnv: true,
    env: { ...inherited(), XDG_CONFIG_HOME: configurationFolder(), ...options.env },
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  let stderr = "";
  const watchers = new Set<() => void>();
  const reading = (async () => {
    for await (const text of child.stderr.pipeThrough(new TextDecoderStream())) {
      stderr += text;
      for (const watcher of watchers) watcher();
    }
  })();
  const ended = Promise.all([child.status, new Response(child.stdout).text(), reading]).then(
    async ([status, stdout]) => {
      for (const path of stores) await readNew(path, before.get(path)!);
      return { exitCode: status.code, stdout, stderr };
    },
  );
  return {
    kill(signal) {
      try {
        child.kill(signal);
      } catch (error) {
        // It ended by itself a moment ago; its exit code says so.
        if (!(error instanceof TypeError) && !(error instanceof Deno.errors.NotFound)) throw error;
      }
    },
    says(text) {
      return new Promise((resolve, reject) => {
        const look = () => stderr.includes(text) && resolve();
        watchers.add(look);
        look();
        ended.then(() => reject(new Error(`Cannot go on: it ended without "${text}":\n${stderr}`)), reject);
      });
    },
    ended,
  };
}

/** Runs the program to its end. */
export function coldcase(args: readonly string[], options: RunOptions = {}): Promise<Ended> {
  return start(args, options).ended;
}

/** Fails with all that the program said where it did not end with `exitCode`. */
export function assertExit(ended: Ended, exitCode: number): void {
  assertEquals(ended.exitCode, exitCode, `exit ${ended.exitCode}, expected ${exitCode}\n${ended.stderr}`);
}

/** Fails unless it refused as it should: exit code, an error line with each of `words`, and a hint with each of `hints`. */
export function assertRefusal(
  ended: Ended,
  expected: {
    readonly exitCode: number;
    readonly names: readonly string[];
    readonly hints?: readonly string[];
  },
): void {
  assertExit(ended, expected.exitCode);
  const lines = ended.stderr.split("\n");
  const errors = lines.filter((line) => line.startsWith("coldcase: error: ")).join("\n");
  const hints = lines.filter((line) => line.startsWith("coldcase: hint: ")).join("\n");
  const missing = [
    ...expected.names.filter((word) => !errors.includes(word)).map((word) => `error without "${word}"`),
    ...(expected.hints ?? []).filter((word) => !hints.includes(word)).map((word) => `hint without "${word}"`),
    ...(/bug in coldcase|undefined|\[object/.test(ended.stderr) ? ["an error that is no operator's"] : []),
  ];
  assertEquals(missing, [], ended.stderr);
}

/** What `--json` gave. */
export function eventsOf(ended: Ended): JsonEvent[] {
  return ended.stdout.split("\n").filter((line) => line !== "").map((line) => JSON.parse(line) as JsonEvent);
}

/** The last event of a type. */
export function eventOf(ended: Ended, type: string): JsonEvent {
  const event = eventsOf(ended).findLast((candidate) => candidate.type === type);
  if (!event) throw new Error(`Cannot find an event "${type}":\n${ended.stdout}${ended.stderr}`);
  return event;
}

export function summaryOf(ended: Ended): ExhibitSummary {
  return eventOf(ended, "summary") as ExhibitSummary;
}

/** Random numbers that a failure can be repeated with: it names the seed, COLDCASE_SEED sets it. */
export async function withSeed(body: (below: (limit: number) => number) => Promise<void>): Promise<void> {
  const seed = Number(Deno.env.get("COLDCASE_SEED") ?? Math.floor(Math.random() * 2 ** 31));
  let state = seed;
  const below = (limit: number) => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fff_ffff;
    return Math.floor(state / 2 ** 31 * limit);
  };
  try {
    await body(below);
  } catch (error) {
    throw new Error(`seed ${seed}: ${error instanceof Error ? error.message : error}`, { cause: error });
  }
}
