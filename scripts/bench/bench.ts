/**
 * The whole benchmark: one set of data after the other, each served by nginx, on each disk all rows that want
 * it. Everything lies in folders of its own, which `clear` removes whatever happened.
 */
import type { BenchArguments } from "./arguments.ts";
import { type DataSet, makeSet, reasonAgainst, type SetName } from "./data.ts";
import { disksToMeasure } from "./disks.ts";
import { machineFacts, mountOf } from "./machine.ts";
import { stopMeasuring } from "./measure.ts";
import { Place, type PlaceFacts, remove } from "./place.ts";
import { CHECKOUT, environmentFor, otherBuild, ownBuild, toolPath } from "./programs.ts";
import type { BenchResult, RowResult } from "./results.ts";
import { type Row, ROWS } from "./rows.ts";
import { runRow } from "./running.ts";
import { type Endpoint, serve } from "./serving.ts";

const METHOD = [
  "Whole processes. Each program of a row once unmeasured, then all of them in turn, round after round, with a sync",
  "before each run. Wall time, CPU time (user and system) and the peak memory of the largest process are those of",
  "getrusage(RUSAGE_CHILDREN). Others' CPU time is nginx's, and whatever else the machine did meanwhile. × peer is",
  "the median of the rounds' ratios: 1 is equally fast, 0.5 half as fast. coldcase runs with its defaults, which ask",
  "for at most 980 blocks a second (490 MiB/s), AWS's quota; below /dev with all permissions, as Deno wants there.",
].join("\n");

export class Bench {
  readonly #args: BenchArguments;
  readonly #tell: (text: string) => void;
  readonly #disks: readonly string[];
  readonly #results: Map<string, RowResult[]>;
  readonly #folders: string[] = [];
  #endpoint: Endpoint | undefined;

  /** Throws `BadArguments` where a disk has no room. */
  constructor(args: BenchArguments, tell: (text: string) => void) {
    this.#args = args;
    this.#tell = tell;
    this.#disks = disksToMeasure(args);
    this.#results = new Map(this.#disks.map((disk) => [disk, []]));
  }

  async run(): Promise<BenchResult> {
    const startedAt = new Date().toISOString();
    const machine = await machineFacts(CHECKOUT);
    const home = this.#makeFolder(this.#disks[0]!);
    const help = await outputOf(["acquire", "--help"], home);
    const facts = {
      acquireOptions: this.#args.acquireOptions,
      pipeline: await compilePipeline(home),
      recipient: help.includes("--recipient") ? await makeRecipient(home) : undefined,
    };
    const isWanted = (row: { readonly name: string }) => this.#args.only?.includes(row.name) ?? true;
    const isOffered = (row: Row) => row.option === undefined || help.includes(row.option);
    const rows = ROWS.filter(isWanted);
    for (const row of rows.filter((row) => !isOffered(row))) {
      this.#note(row, `not offered: acquire has no ${row.option}`);
    }
    const offered = rows.filter(isOffered);
    for (const name of new Set(offered.map((row) => row.set))) {
      await this.#runSet(name, { rows: offered.filter((row) => row.set === name), home, facts });
    }
    const { sizeGib, runs } = this.#args;
    const disks = this.#disks.map((folder) => ({ folder, ...mountOf(folder), rows: this.#rowsOf(folder) }));
    return { startedAt, endedAt: new Date().toISOString(), sizeGib, runs, method: METHOD, machine, disks };
  }

  /** Ends what is under way and the server, and removes all folders. */
  async clear(): Promise<void> {
    await stopMeasuring();
    await this.#closeEndpoint();
    for (const folder of this.#folders.splice(0)) remove(folder);
  }

  #makeFolder(disk: string): string {
    const folder = Deno.makeTempDirSync({ dir: disk, prefix: "coldcase-bench-" });
    // nginx's workers come by here, whoever they are.
    Deno.chmodSync(folder, 0o755);
    this.#folders.push(folder);
    return folder;
  }

  async #closeEndpoint(): Promise<void> {
    const endpoint = this.#endpoint;
    this.#endpoint = undefined;
    await endpoint?.close();
  }

  #note({ name, title }: { readonly name: string; readonly title: string }, reason: string): void {
    for (const results of this.#results.values()) {
      results.push({ name, title, bytes: undefined, sides: [], notes: [reason] });
    }
  }

  #rowsOf(disk: string): RowResult[] {
    const order = ROWS.map((row) => row.name);
    return this.#results.get(disk)!.sort((a, b) => order.indexOf(a.name) - order.indexOf(b.name));
  }

  /** All rows of one set of data, on all disks. */
  async #runSet(
    name: SetName | undefined,
    what: { readonly rows: readonly Row[]; readonly home: string; readonly facts: SharedFacts },
  ): Promise<void> {
    const { rows, facts } = what;
    if (name === undefined) return await this.#runRows(rows, { ...facts, set: undefined });
    const reason = reasonAgainst(name) ?? (toolPath("nginx") === undefined ? "needs nginx" : undefined);
    if (reason !== undefined) return rows.forEach((row) => this.#note(row, reason));
    const { sizeGib } = this.#args;
    this.#tell(`making ${sizeGib} GiB: ${name}`);
    const withChanges = rows.some((row) => row.name.startsWith("incremental"));
    const set = await makeSet(name, { folder: `${what.home}/${name}`, sizeGib, withChanges });
    this.#endpoint = await serve(set);
    await this.#runRows(rows, { ...facts, set });
    await this.#closeEndpoint();
    remove(set.folder);
  }

  async #runRows(
    rows: readonly Row[],
    facts: SharedFacts & { readonly set: DataSet | undefined },
  ): Promise<void> {
    const { runs, program } = this.#args;
    for (const disk of this.#disks) {
      const place = new Place({ ...facts, folder: this.#makeFolder(disk), endpoint: this.#endpoint });
      for (const row of rows) {
        const result = await runRow(row, place, {
          runs,
          own: ownBuild(),
          other: program === undefined ? undefined : otherBuild(program),
          onRound: (round) =>
            this.#tell(`${row.name} on ${disk}: ${round === 0 ? "unmeasured" : `${round} of ${runs}`}`),
        });
        this.#results.get(disk)!.push(result);
      }
      place.clear();
    }
  }
}

type SharedFacts = Pick<PlaceFacts, "acquireOptions" | "pipeline" | "recipient">;

/** The native pipeline, compiled; or why it can't be. */
async function compilePipeline(folder: string): Promise<PlaceFacts["pipeline"]> {
  const packages = "needs gcc, libc6-dev, libzstd-dev and libssl-dev";
  const cc = toolPath("cc");
  if (cc === undefined) return { reason: packages };
  const path = `${folder}/pipeline`;
  const source = `${CHECKOUT}/scripts/bench/pipeline.c`;
  const args = ["-O2", "-o", path, source, "-lzstd", "-lcrypto", "-lpthread"];
  const output = await new Deno.Command(cc, { args, stdin: "null" }).output();
  if (output.success) return { path };
  const line = new TextDecoder().decode(output.stderr).split("\n").find((text) => text.includes("error"));
  return { reason: `${packages} (${line ?? "cc failed"})` };
}

/** A recipient to encrypt to, whose identity nobody keeps. */
async function makeRecipient(folder: string): Promise<string | undefined> {
  return /\bage1[a-z0-9]+/.exec(await outputOf(["keygen"], folder))?.[0];
}

/** What coldcase writes to stdout. */
async function outputOf(args: readonly string[], folder: string): Promise<string> {
  const [program, ...words] = ownBuild().argv;
  const output = await new Deno.Command(program!, {
    args: [...words, ...args],
    clearEnv: true,
    env: environmentFor({ endpoint: "http://127.0.0.1:9", folder }),
    stdin: "null",
  }).output();
  return new TextDecoder().decode(output.stdout);
}
