/**
 * Runs all tests, one process a core, and ends with one line that a script can read: `N passed, N failed, N
 * skipped`. Fails where a test failed, and where none ran at all. Processes and not threads: a test that
 * starts a program would otherwise hand it, for a moment, the locks that another test holds.
 *
 * Skipped are tests whose outside tool is missing (tests/outside.ts). Types are the business of `deno task ok`.
 * Arguments go to `deno test`: `deno task test tests/cli`.
 */

/** Folders that `deno task test` leaves out. */
const SLOW = ["tests/slow", "tests/storm", "tests/bench", "tests/vectors"];

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
  const flags = args.filter((arg) => arg.startsWith("-"));
  const paths = args.filter((arg) => !arg.startsWith("-"));
  const files = paths.length > 0
    ? paths.flatMap(testFiles)
    : testFiles("tests").filter((file) => !isSlow(file));
  const shards = Math.max(1, Math.min(navigator.hardwareConcurrency, files.length));
  const runs = Array.from(
    { length: shards },
    (_, shard) => runShard(files.filter((_, position) => position % shards === shard), flags),
  );
  const counts = await Promise.all(runs);
  const sum = (name: keyof TestCounts) => counts.reduce((total, each) => total + each[name], 0);
  const [passed, failed, skipped] = [sum("passed"), sum("failed"), sum("skipped")];
  await writeAll(new TextEncoder().encode(`\n${passed} passed, ${failed} failed, ${skipped} skipped\n`));
  return failed > 0 || passed === 0 ? 1 : 0;
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

/** One process for some of the files. Its lines are passed on whole, so that those of two do not mix. */
async function runShard(files: readonly string[], flags: readonly string[]): Promise<TestCounts> {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["test", "--no-check", "--allow-all", ...flags, ...files],
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  let output = "";
  let shown = 0;
  const decoder = new TextDecoder();
  for await (const chunk of child.stdout) {
    output += decoder.decode(chunk, { stream: true });
    const end = output.lastIndexOf("\n") + 1;
    await writeAll(new TextEncoder().encode(output.slice(shown, end)));
    shown = Math.max(shown, end);
  }
  const { code } = await child.status;
  const counts = readSummary(output) ?? { passed: 0, failed: 0, skipped: 0 };
  // A file that does not even load is no failed test to Deno.
  return code !== 0 && counts.failed === 0 ? { ...counts, failed: 1 } : counts;
}

async function writeAll(bytes: Uint8Array): Promise<void> {
  for (let done = 0; done < bytes.length;) done += await Deno.stdout.write(bytes.subarray(done));
}

if (import.meta.main) Deno.exit(await runTests(Deno.args));
