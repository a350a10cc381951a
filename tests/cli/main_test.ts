/**
 * The program itself, started as its users start it: what only a real process can show, such as a closed pipe,
 * a full device, a signal, and the time to start.
 */
import { assert, assertEquals, assertLess, assertStringIncludes } from "@std/assert";
import { fromFileUrl } from "@std/path";
import config from "../../deno.json" with { type: "json" };

const MAIN = fromFileUrl(new URL("../../main.ts", import.meta.url));
const COLDCASE =
  `"${Deno.execPath()}" run --allow-read --allow-write --allow-net --allow-env --allow-sys "${MAIN}"`;

/** Runs a line of shell in which `coldcase` is the program. */
async function shell(line: string): Promise<{ exitCode: number; stdout: string; stderr: string }> {
  const command = new Deno.Command("bash", { args: ["-c", `coldcase() { ${COLDCASE} "$@"; }; ${line}`] });
  const { code, stdout, stderr } = await command.output();
  const decoder = new TextDecoder();
  return { exitCode: code, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
}

Deno.test("main says its version", async () => {
  const { exitCode, stdout, stderr } = await shell("coldcase --version");
  assertEquals([exitCode, stderr], [0, ""]);
  assert(stdout.startsWith(`coldcase ${config.version}\n`), stdout);
});

Deno.test("main exits with the code of the error", async () => {
  const { exitCode, stderr } = await shell("coldcase frobnicate");
  assertEquals(exitCode, 2);
  assertStringIncludes(stderr, 'coldcase: error: Cannot run "frobnicate"');
});

Deno.test("main takes a closed pipe for success, quietly", async () => {
  const { exitCode, stdout, stderr } = await shell("set -o pipefail; coldcase --help | true");
  assertEquals([exitCode, stdout, stderr], [0, "", ""]);
});

Deno.test({
  name: "main fails where the result can't be written",
  ignore: Deno.build.os !== "linux",
  async fn() {
    const { exitCode, stderr } = await shell("coldcase --help > /dev/full");
    assertEquals(exitCode, 15);
    assertStringIncludes(stderr, "Cannot write the result to stdout: No space left on device");
    assertEquals((await shell("coldcase frobnicate 2> /dev/full")).exitCode, 2);
  },
});

Deno.test("main starts in a moment", async () => {
  const timesMs: number[] = [];
  for (let round = 0; round < 5; round++) {
    const startedMs = performance.now();
    await shell("coldcase --help > /dev/null");
    timesMs.push(performance.now() - startedMs);
  }
  // The goal is 150 ms on an idle machine; other tests run beside this one.
  assertLess(Math.min(...timesMs), 600, `took ${timesMs.map(Math.round).join(", ")} ms`);
});
