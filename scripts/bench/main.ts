/**
 * `deno task bench`: measures coldcase beside other programs as whole processes, on data that it makes and serves
 * on this machine, and prints a table (README, "Performance"). Numbers only: nothing here passes or fails by them.
 */
import { BadArguments, HELP, parseArguments } from "./arguments.ts";
import { Bench } from "./bench.ts";
import type { BenchResult, DiskResult } from "./results.ts";
import { ROWS } from "./rows.ts";
import { formatResults, formatTable } from "./table.ts";

function say(text: string): void {
  const bytes = new TextEncoder().encode(text);
  for (let done = 0; done < bytes.length;) done += Deno.stdout.writeSync(bytes.subarray(done));
}

function tell(text: string): void {
  Deno.stderr.writeSync(new TextEncoder().encode(`${text}\n`));
}

function show(result: BenchResult): void {
  const { machine } = result;
  const facts = [
    ["coldcase", `commit ${machine.commit}, Deno ${machine.deno}`],
    ["machine", `${machine.processor}, ${machine.cores} cores, ${inGib(machine.memoryBytes)}`],
    ["kernel", machine.kernel],
    ["load", `${machine.loadAtStart.toFixed(2)} when it began`],
    ["when", `${result.startedAt} to ${result.endedAt}`],
    ["data", `${result.sizeGib} GiB each, blocks of 512 KiB, ${result.runs} measured runs`],
    ...Object.entries(machine.tools),
  ];
  say(`${formatTable(facts, ["left", "left"])}\n${result.method}\n`);
  for (const disk of result.disks) showDisk(disk);
}

function showDisk(disk: DiskResult): void {
  say(`\n${disk.folder} (${disk.fileSystem} at ${disk.mountPoint})\n\n${formatResults(disk.rows)}`);
  const own = disk.rows.flatMap((row) => row.sides.slice(0, 1).flatMap(({ samples }) => samples));
  const peak = Math.max(0, ...own.map((sample) => sample.peakMemoryBytes));
  if (own.length > 0) {
    say(
      `\npeak memory of coldcase over all rows: ${
        (peak / 2 ** 20).toFixed(0)
      } MiB, reach ≤ 512, stretch ≤ 300\n`,
    );
  }
}

function inGib(bytes: number): string {
  return `${(bytes / 2 ** 30).toFixed(1)} GiB of memory`;
}

async function main(words: readonly string[]): Promise<number> {
  const args = parseArguments(words, ROWS.map((row) => row.name));
  if (args.help || args.list) {
    say(args.help ? HELP : formatTable(ROWS.map((row) => [row.name, row.title]), ["left", "left"]));
    return 0;
  }
  const bench = new Bench(args, tell);
  Deno.addSignalListener("SIGINT", () => {
    bench.clear().finally(() => Deno.exit(130));
  });
  try {
    const result = await bench.run();
    show(result);
    if (args.json !== undefined) Deno.writeTextFileSync(args.json, `${JSON.stringify(result, null, 2)}\n`);
    const hasFailed = result.disks.some(({ rows }) =>
      rows.some((row) => row.notes.some((note) => note.startsWith("failed")))
    );
    return hasFailed ? 1 : 0;
  } finally {
    await bench.clear();
  }
}

if (import.meta.main) {
  try {
    Deno.exit(await main(Deno.args));
  } catch (error) {
    if (!(error instanceof BadArguments)) throw error;
    tell(error.message);
    Deno.exit(2);
  }
}
