/**
 * The benchmark's command line: parsed and checked, nothing done. What rows there are is told by the caller, so
 * that `--only` refuses a name that does not exist.
 */
import { parseArgs } from "node:util";

export interface BenchArguments {
  /** Of each set of data; whole GiB. */
  readonly sizeGib: number;
  /** Measured runs of each side of a row. */
  readonly runs: number;
  /** Names of rows; undefined: all. */
  readonly only: readonly string[] | undefined;
  /** Folders on the disks to measure; undefined: where temporary files go, and /dev/shm. */
  readonly disks: readonly string[] | undefined;
  /** Another build of the program, which then is the only peer. */
  readonly program: string | undefined;
  readonly json: string | undefined;
  readonly list: boolean;
  readonly help: boolean;
  /** What came after `--`: options for each `coldcase acquire`. */
  readonly acquireOptions: readonly string[];
}

/** What is wrong with the command line, for the person at it. */
export class BadArguments extends Error {
  override readonly name = "BadArguments";
}

export const HELP = `Measures whole runs of coldcase beside other programs that do the same work.

Usage: deno task bench [OPTIONS] [-- OPTIONS OF COLDCASE ACQUIRE]

  --size SIZE       of each set of data, whole GiB (1GiB)
  --runs N          measured runs of each side, alternating (5)
  --only ROW,ROW    these rows only
  --list            the rows
  --disk DIR        measure on this disk; repeatable (temporary folder, and /dev/shm)
  --program PATH    another build: a main.ts or an executable; the only peer then
  --json FILE       all that was measured
`;

/** Throws `BadArguments`. */
export function parseArguments(args: readonly string[], rowNames: readonly string[]): BenchArguments {
  const { values, positionals } = parsed(args);
  const end = args.indexOf("--");
  const after = end < 0 ? [] : args.slice(end + 1);
  if (positionals.length > after.length) throw new BadArguments(`Cannot use "${positionals[0]}": no option`);
  const only = values.only?.flatMap((names) => names.split(",")).filter((name) => name !== "");
  const unknown = only?.find((name) => !rowNames.includes(name));
  if (unknown !== undefined) {
    throw new BadArguments(`Cannot run row "${unknown}": there is none, see --list`);
  }
  return {
    sizeGib: sizeOf(values.size ?? "1GiB"),
    runs: countOf(values.runs ?? "5"),
    only,
    disks: values.disk,
    program: values.program,
    json: values.json,
    list: values.list ?? false,
    help: values.help ?? false,
    acquireOptions: after,
  };
}

function parsed(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        size: { type: "string" },
        runs: { type: "string" },
        only: { type: "string", multiple: true },
        disk: { type: "string", multiple: true },
        program: { type: "string" },
        json: { type: "string" },
        list: { type: "boolean" },
        help: { type: "boolean", short: "h" },
      },
    });
  } catch (error) {
    throw new BadArguments(error instanceof Error ? error.message : String(error), { cause: error });
  }
}

function sizeOf(text: string): number {
  const gib = Number(/^(\d+)(?:GiB|G)$/.exec(text)?.[1] ?? NaN);
  if (gib >= 1 && gib <= 1024) return gib;
  throw new BadArguments(`Cannot use --size ${text}: expected whole GiB from 1GiB to 1024GiB`);
}

function countOf(text: string): number {
  const count = /^\d+$/.test(text) ? Number(text) : NaN;
  if (count >= 1 && count <= 1000) return count;
  throw new BadArguments(`Cannot use --runs ${text}: expected a number from 1 to 1000`);
}
