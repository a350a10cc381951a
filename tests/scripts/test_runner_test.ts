/**
 * The runner's last line is what a script reads, so it must say what Deno's summary said, with and without
 * color, steps and skipped tests. Whether the runner starts Deno rightly shows in every run of it.
 */
import { assertEquals } from "@std/assert";
import { readSummary } from "../../scripts/test.ts";

Deno.test("readSummary() reads the last summary", () => {
  assertEquals(readSummary("ok | 4 passed | 0 failed (3ms)\n"), { passed: 4, failed: 0, skipped: 0 });
  assertEquals(
    readSummary(
      "a\n\x1b[31mFAILED\x1b[0m | 1 passed (1 step) | 2 failed (1 step) | 3 ignored (1 step) \x1b[38;5;245m(19ms)\x1b[0m\n",
    ),
    { passed: 1, failed: 2, skipped: 3 },
  );
  assertEquals(readSummary("ok | 1 passed | 0 failed (1ms)\nok | 2 passed | 0 failed (1ms)\n")?.passed, 2);
});

Deno.test("readSummary() has none of a run that never came to one", () => {
  assertEquals(readSummary("error: Uncaught SyntaxError\n"), undefined);
});
