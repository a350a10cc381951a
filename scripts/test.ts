/**
 * Runs all tests, in a process for each core and one more, and ends with one line that a script can read: `N passed, N
 * failed, N skipped`. Fails where a test failed, and where none ran at all. Processes and not threads: a test
 * that starts a program would otherwise hand it, for a moment, the locks that another test holds.
 *
 * Skipped are tests whose outside tool is missing (tests/outside.ts). Types are the business of `deno task ok`.
 * Arguments go to `deno test`: `deno task test tests/cli`.
 */

/** Whole runs, of the program alone, as an executable and with those of others, take as long as all else: `deno task test:e2e`. */
const WHOLE_RUNS = ["tests/e2e", "tests/interop", "tests/binary", "tests/transcripts"];
/** What a task runs where it is given no paths; without the flag: all but what is slow. */
const FOLDERS_FLAG = "--folders=";
/** Folders that `deno task test` leaves out. */
const SLOW = [...WHOLE_RUNS, "tests/slow", "tests/storm", "tests/bench", "tests/vectors"];
/** What takes ten seconds a file and more, in the order in which it is begun. */
const LONG = [
  "tests/storm/",
  "tests/crash/",
  "tests/faults/",
  "tests/slow/",
  "tests/interop/",
  "tests/binary/",
  "tests/e2e/",
  "tests/transcripts/",
  "tests/trouble/",
  "tests/store/",
];
/** Files of the other folders that share a process: to start one takes as long as many of them. */
const BATCH_FILES = 6;
/** Told at the end. */
const SLOWEST_SHOWN = 5;

/** What a run of the tests came to. */
export interface TestCounts {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

/** Reads Deno's summary, `ok | 3 passed (1 step) | 0 failed | 1 ignored (2s)`; undefined where there is none. */
export function readSummary(output: string): TestCounts | undefined {
  // deno-lint-ignore no-control-regex
  const plain = output.replace(/\x1b\[[0-9;]*m/g, "");
  const [summary] = [...plain.matchAll(/^(?:ok|FAILED) \| (\d+ passed.*)$/gm)].slice(-1);
  if (!summary) return undefined;
  const count = (word: string) => Number(new RegExp(`(\\d+) ${word}`).exec(summary[1] ?? "")?.[1] ?? 0);
  return { passed: count("passed"), failed: count("failed"), skipped: count("ignored") };
}

async function runTests(args: readonly string[]): Promise<number> {
  const folders = args.find((arg) => arg.startsWith(FOLDERS_FLAG))?.slice(FOLDERS_FLAG.length).split(",");
  const flags = args.filter((arg) => arg.startsWith("-") && !arg.startsWith(FOLDERS_FLAG));
  const paths = args.filter((arg) => !arg.startsWith("-"));
  const files = paths.length > 0
    ? paths.flatMap(testFiles)
    : folders?.flatMap(testFiles) ?? testFiles("tests").filter((file) => !isSlow(file));
  const waiting = batchesOf(files);
  const ended: Ended[] = [];
  const runner = async () => {
    for (let batch = waiting.shift(); batch; batch = waiting.shift()) {
      ended.push(await runBatch(batch, flags));
    }
  };
  // One more than cores: some tests wait, for a disk, a clock or a program of somebody else.
  await Promise.all(Array.from({ length: navigator.hardwareConcurrency + 1 }, runner));
  const sum = (name: keyof TestCounts) => ended.reduce((total, { counts }) => total + counts[name], 0);
  const [passed, failed, skipped] = [sum("passed"), sum("failed"), sum("skipped")];
  const slowest = ended.toSorted((a, b) => b.seconds - a.seconds).slice(0, SLOWEST_SHOWN);
  const lines = slowest.map(({ seconds, batch }) => `${seconds.toFixed(0)} s: ${batch.join(" ")}`);
  await say(`\nslowest:\n${lines.join("\n")}\n\n${passed} passed, ${failed} failed, ${skipped} skipped\n`);
  return failed > 0 || passed === 0 ? 1 : 0;
}

/** Files for one process each: the long ones first and alone, so that no core is idle at the end. */
function batchesOf(files: readonly string[]): string[][] {
  const places = files.map((file) => ({ file, place: LONG.findIndex((long) => file.startsWith(long)) }));
  const long = places.filter(({ place }) => place >= 0).toSorted((a, b) => a.place - b.place);
  const short = places.filter(({ place }) => place < 0).map(({ file }) => file);
  const batches = long.map(({ file }) => [file]);
  for (let at = 0; at < short.length; at += BATCH_FILES) batches.push(short.slice(at, at + BATCH_FILES));
  return batches;
}

function isSlow(file: string): boolean {
  return SLOW.some((folder) => file.startsWith(`${folder}/`));
}

/** A test file itself, or all that lie below a folder, in a fixed order. */
function testFiles(path: string): string[] {
  if (Deno.statSync(path).isFile) return [path];
  const names = [...Deno.readDirSync(path)].sort((a, b) => a.name < b.name ? -1 : 1);
  return names.flatMap(({ name, isDirectory }) =>
    isDirectory ? testFiles(`${path}/${name}`) : name.endsWith("_test.ts") ? [`${path}/${name}`] : []
  );
}

/** How a process with some of the files ended. */
interface Ended {
  readonly batch: readonly string[];
  readonly counts: TestCounts;
  readonly seconds: number;
}

/** One process for some of the files. Its lines are passed on whole, so that those of two do not mix. */
async function runBatch(batch: readonly string[], flags: readonly string[]): Promise<Ended> {
  const startedMs = performance.now();
  const child = new Deno.Command(Deno.execPath(), {
    args: ["test", "--no-check", "--allow-all", ...flags, ...batch],
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  let output = "";
  let shown = 0;
  const decoder = new TextDecoder();
  for await (const chunk of child.stdout) {
    output += decoder.decode(chunk, { stream: true });
    const end = output.lastIndexOf("\n") + 1;
    await say(output.slice(shown, end));
    shown = Math.max(shown, end);
  }
  const { code } = await child.status;
  const told = readSummary(output) ?? { passed: 0, failed: 0, skipped: 0 };
  // A file that does not even load is no failed test to Deno.
  const counts = code !== 0 && told.failed === 0 ? { ...told, failed: 1 } : told;
  return { batch, counts, seconds: (performance.now() - startedMs) / 1000 };
}

let saying: Promise<void> = Promise.resolve();

/** One after the other: two texts that are written in pieces would mix. */
function say(text: string): Promise<void> {
  saying = saying.then(() => writeAll(new TextEncoder().encode(text)));
  return saying;
}

async function writeAll(bytes: Uint8Array): Promise<void> {
  for (let done = 0; done < bytes.length;) done += await Deno.stdout.write(bytes.subarray(done));
}

if (import.meta.main) Deno.exit(await runTests(Deno.args));
