/**
 * What progress shows, by a clock that only the test moves: on a terminal of any width, without a terminal, as
 * JSON, silenced, and between other lines. The terminal's screen is worked out from the escape sequences.
 */
// deno-lint-ignore-file no-control-regex
import { assert, assertEquals, assertLess, assertStringIncludes } from "@std/assert";
import { Output, type ProgressFacts, textWidth } from "../../src/cli/mod.ts";
import { FakeClock, FakeTerminal } from "./fakes.ts";

const MIB = 1024 * 1024;
const FACTS: ProgressFacts = { label: "acquire snap-1", unit: "bytes", done: 0, total: 1000 * MIB };

interface Options {
  readonly isTerminal?: boolean;
  readonly columns?: number;
  readonly json?: boolean;
  readonly quiet?: boolean;
  readonly progress?: boolean;
  readonly environment?: Record<string, string>;
}

function setUp(options: Options = {}) {
  const { isTerminal = true, columns = 100, json = false, quiet = false, progress = true } = options;
  const clock = new FakeClock();
  const terminal = new FakeTerminal({ isTerminal, columns });
  const environment = (name: string) => options.environment?.[name];
  const out = new Output({
    terminal,
    clock,
    json,
    quiet,
    verbose: false,
    progress,
    color: "auto",
    environment,
  });
  return { clock, terminal, out };
}

/** The screen after `text`: rows as a terminal shows them that has room for every line. */
function screen(text: string): string[] {
  const rows = [""];
  let column = 0;
  for (const token of text.match(/\x1b\[J|\r|\n|[^\x1b\r\n]+/g) ?? []) {
    const row = rows.length - 1;
    if (token === "\r") column = 0;
    else if (token === "\x1b[J") rows[row] = (rows[row] ?? "").slice(0, column);
    else if (token === "\n") {
      rows.push("");
      column = 0;
    } else {
      rows[row] = (rows[row] ?? "").slice(0, column) + token + (rows[row] ?? "").slice(column + token.length);
      column += token.length;
    }
  }
  return rows;
}

Deno.test("Progress in percent shows them once, no rate, and what it waits for", async () => {
  const { clock, terminal, out } = setUp();
  const progress = out.progress({ label: "wait snap-1", unit: "percent", done: 0, total: 100 });
  await clock.pass(5000);
  progress.update({ done: 42, waitingFor: "EC2 to complete it" });
  await clock.pass(1000);
  const [row] = screen(terminal.stderr.text);
  assertEquals(row?.trimEnd(), "wait snap-1  42 %  waiting for EC2 to complete it");
  progress.end();
});

Deno.test("Progress redraws one line with rate and time left", async () => {
  const { clock, terminal, out } = setUp();
  const progress = out.progress(FACTS);
  assertEquals(screen(terminal.stderr.text), ["acquire snap-1  0 %  0 B of 1000 MiB"]);
  for (let second = 1; second <= 10; second++) {
    await clock.pass(1000);
    progress.update({ done: second * 20 * MIB });
  }
  await clock.pass(200);
  assertEquals(screen(terminal.stderr.text), [
    "acquire snap-1  20 %  200 MiB of 1000 MiB  19.6 MiB/s  41 s left",
  ]);
  progress.end();
  assertEquals(screen(terminal.stderr.text), [""]);
});

Deno.test("Progress shows all that it knows", async () => {
  const { clock, terminal, out } = setUp({ columns: 140 });
  const progress = out.progress({ ...FACTS, number: 2, count: 5, costUsd: 0.0123, retries: 3, throttles: 1 });
  await clock.pass(2000);
  progress.update({ done: 100 * MIB });
  await clock.pass(2000);
  assertEquals(screen(terminal.stderr.text), [
    "acquire snap-1  (2 of 5)  10 %  100 MiB of 1000 MiB  25 MiB/s  36 s left  $0.0123  3 retries  1 throttled",
  ]);
  progress.update({ waitingFor: "credentials \x1b[2J" });
  await clock.pass(200);
  assertStringIncludes(
    screen(terminal.stderr.text)[0] ?? "",
    "1000 MiB  waiting for credentials \\x1b[2J  $0.0123",
  );
  progress.end();
});

Deno.test("Progress does not count what was done before this run into its rate", async () => {
  const { clock, terminal, out } = setUp();
  const progress = out.progress({ ...FACTS, done: 900 * MIB });
  await clock.pass(10_000);
  progress.update({ done: 910 * MIB });
  await clock.pass(200);
  assertStringIncludes(terminal.stderr.text, "910 MiB of 1000 MiB  1004 KiB/s");
  progress.end();
});

Deno.test("Progress never fills the width, at any width, and drops the least important first", async () => {
  for (let columns = 1; columns <= 130; columns++) {
    const { clock, terminal, out } = setUp({ columns });
    const facts = {
      ...FACTS,
      label: "acquire 証拠",
      number: 1,
      count: 2,
      costUsd: 1,
      retries: 1,
      throttles: 2,
    };
    const progress = out.progress(facts);
    await clock.pass(1000);
    progress.update({ done: 500 * MIB, waitingFor: columns % 2 ? "the service" : undefined });
    await clock.pass(1000);
    for (const line of terminal.stderr.text.split(/\r|\n|\x1b\[J/)) {
      assertLess(textWidth(line), Math.max(2, columns));
    }
    if (columns >= 30) assertStringIncludes(terminal.stderr.text, "50 %");
    progress.end();
  }
});

Deno.test("Progress follows a resize at the next drawing", async () => {
  const { clock, terminal, out } = setUp({ columns: 100 });
  const progress = out.progress(FACTS);
  terminal.stderr.width = 20;
  await clock.pass(200);
  assertEquals(screen(terminal.stderr.text), ["acquire snap-1  0 %"]);
  // The cursor waits at the line's beginning, so that wiping reaches all rows into which a resize broke it.
  assert(terminal.stderr.text.endsWith("\r"));
  progress.end();
});

Deno.test("Progress makes room for other lines and comes back", async () => {
  const { clock, terminal, out } = setUp();
  const progress = out.progress(FACTS);
  out.note("one retry");
  out.warn("two\nlines");
  out.note("three\nfour");
  const shown = screen(terminal.stderr.text.replaceAll(/\x1b\[[0-9;]*m/g, ""));
  assertEquals(shown.slice(0, 3), [
    "coldcase: one retry",
    "coldcase: warning: two\\nlines",
    "coldcase: three",
  ]);
  assertEquals(shown.length, 5);
  out.result("result\n");
  assertStringIncludes(terminal.stderr.text, "coldcase: one retry\n\r\x1b[Jacquire snap-1");
  progress.end();
  await clock.pass(5000);
  assertEquals(screen(terminal.stderr.text).at(-1), "");
  assertEquals(clock.sleeperCount, 0);
});

Deno.test("Progress writes a line every ten seconds without a terminal, and on a dumb one", async () => {
  for (const options of [{ isTerminal: false }, { isTerminal: true, environment: { TERM: "dumb" } }]) {
    const { clock, terminal, out } = setUp(options);
    const progress = out.progress(FACTS);
    for (let second = 1; second <= 25; second++) {
      await clock.pass(1000);
      progress.update({ done: second * 10 * MIB });
    }
    assertEquals(terminal.stderr.text.split("\n").length - 1, 2);
    assertEquals(
      terminal.stderr.text.split("\n")[0],
      "coldcase: acquire snap-1  9 %  90 MiB of 1000 MiB  9 MiB/s  1 min 41 s left",
    );
    progress.end();
    out.close();
  }
});

Deno.test("Progress is at most one JSON event a second", async () => {
  const { clock, terminal, out } = setUp({ json: true, isTerminal: false });
  const progress = out.progress({ ...FACTS, number: 1, count: 1 });
  for (let step = 1; step <= 50; step++) {
    await clock.pass(100);
    progress.update({ done: step * MIB });
  }
  progress.end();
  const events = terminal.stdout.text.trimEnd().split("\n").map((line) => JSON.parse(line));
  assertEquals(events.length, 5);
  assertEquals(events[1], {
    type: "progress",
    label: "acquire snap-1",
    doneBytes: 19 * MIB,
    totalBytes: 1000 * MIB,
    rateBytesPerSecond: Math.round(19 * MIB / 2),
    leftMs: Math.round(981 / 9.5 * 1000),
    elapsedMs: 2000,
    number: 1,
    count: 1,
  });
  assertEquals(terminal.stderr.text, "");
});

Deno.test("Progress says nothing with -q or --no-progress", async () => {
  for (const options of [{ quiet: true }, { progress: false }, { json: true, quiet: true }]) {
    const { clock, terminal, out } = setUp(options);
    const progress = out.progress(FACTS);
    await clock.pass(30_000);
    progress.update({ done: 5 });
    out.close();
    assertEquals([terminal.stdout.text, terminal.stderr.text, clock.sleeperCount], ["", "", 0]);
  }
});

Deno.test("Progress counts blocks, and goes on without a total", async () => {
  const { clock, terminal, out } = setUp();
  const progress = out.progress({ label: "list", unit: "blocks", done: 0 });
  await clock.pass(2000);
  progress.update({ done: 20_000 });
  await clock.pass(2000);
  assertEquals(screen(terminal.stderr.text), ["list  20,000 blocks  5,000/s"]);
  progress.end();
});

Deno.test("Output ends a progress that a second one replaces", async () => {
  const { clock, terminal, out } = setUp();
  const first = out.progress(FACTS);
  const second = out.progress({ ...FACTS, label: "verify" });
  await clock.pass(400);
  first.update({ done: 1 });
  assertEquals(screen(terminal.stderr.text), ["verify  0 %  0 B of 1000 MiB"]);
  second.end();
  first.end();
  assertEquals(clock.sleeperCount, 0);
});
