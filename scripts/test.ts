/**
 * Runs all tests, in parallel, with the permissions that they need, and ends with one line that a script can
 * read: `N passed, N failed, N skipped`. Fails where a test failed, and where none ran at all.
 *
 * Skipped are tests whose outside tool is missing (tests/outside.ts). Types are the business of `deno task ok`.
 * Arguments go to `deno test`: `deno task test tests/cli`.
 */

const PERMISSIONS = ["read", "write", "net", "env", "sys", "run"].map((name) => `--allow-${name}`);
const SLOW = ["tests/slow", "tests/bench", "tests/vectors"];

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
  const child = new Deno.Command(Deno.execPath(), {
    args: [
      "test",
      "--parallel",
      "--no-check",
      ...PERMISSIONS,
      ...(args.some((arg) => !arg.startsWith("-")) ? [] : [`--ignore=${SLOW.join(",")}`, "tests"]),
      ...args,
    ],
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  let output = "";
  const decoder = new TextDecoder();
  for await (const chunk of child.stdout) {
    await writeAll(chunk);
    output += decoder.decode(chunk, { stream: true });
  }
  const { code } = await child.status;
  const counts = readSummary(output) ?? { passed: 0, failed: 0, skipped: 0 };
  const lost = code !== 0 && counts.failed === 0 ? 1 : 0;
  const { passed, failed, skipped } = { ...counts, failed: counts.failed + lost };
  await writeAll(new TextEncoder().encode(`\n${passed} passed, ${failed} failed, ${skipped} skipped\n`));
  return failed > 0 || passed === 0 ? 1 : 0;
}

async function writeAll(bytes: Uint8Array): Promise<void> {
  for (let done = 0; done < bytes.length;) done += await Deno.stdout.write(bytes.subarray(done));
}

if (import.meta.main) Deno.exit(await runTests(Deno.args));
