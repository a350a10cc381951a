/** What of a command line is recorded: everything but what is a secret by its form. */
import { assertEquals } from "@std/assert";
import { recordedLine } from "../../src/cli/mod.ts";

Deno.test("recordedLine() leaves out users and passwords of URLs, and age identities", () => {
  const cases: readonly (readonly [typed: readonly string[], recorded: readonly string[]])[] = [
    [["--endpoint-url", "http://me:pw@host:1/x"], ["--endpoint-url", "http://…@host:1/x"]],
    [["--endpoint-url=https://:pw@host"], ["--endpoint-url=https://…@host"]],
    [["--endpoint-url", "me:p@w@host"], ["--endpoint-url", "…@host"]],
    [["--endpoint-url=me:pw@[host"], ["--endpoint-url=…@[host"]],
    [["--tsa", "//me:pw@host"], ["--tsa", "//…@host"]],
    [["--notes", "see http://me:pw@host/ and a:b"], ["--notes", "see http://…@host/ and a:b"]],
    [["-i", "AGE-SECRET-KEY-1QQPZRY9"], ["-i", "AGE-SECRET-KEY-…"]],
    [["-r", "AGE-SECRET-KEY-PQ-1QQ"], ["-r", "AGE-SECRET-KEY-…"]],
  ];
  for (const [typed, recorded] of cases) assertEquals(recordedLine(typed), recorded);
});

Deno.test("recordedLine() leaves all else as it was typed", () => {
  const words = [
    "acquire",
    "snap-1",
    "--notes",
    "mail a:b@c",
    "--endpoint-url",
    "http://host/",
    "a@b",
    "",
    "--tsa",
  ];
  assertEquals(recordedLine(words), words);
});
