/**
 * The finder of outside tools must not lose a test by mistake: what is there is found, what is not is named.
 * Uses only what every machine that runs these tests has.
 */
import { assertEquals, assertMatch } from "@std/assert";
import { missingTools, toolPath } from "./outside.ts";

Deno.test("missingTools() names what is not there, and only that", () => {
  assertEquals(missingTools([]), []);
  assertEquals(missingTools(["sh", "no-such-program", "py:no_such_module"]), [
    "no-such-program",
    "py:no_such_module",
  ]);
  if (toolPath("python3") !== undefined) assertEquals(missingTools(["py:json"]), []);
});

Deno.test("toolPath() is the path to start", () => {
  assertMatch(toolPath("sh") ?? "", /\/sh$/);
  assertEquals(toolPath("no-such-program"), undefined);
});
