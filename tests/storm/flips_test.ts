/** One bit of every byte of a store, one at a time: a minute on all cores. `deno task test:storm`; all eight bits: tests/slow. */
import { assert, assertEquals } from "@std/assert";
import { flipAll } from "../store/flips.ts";

Deno.test("verify finds one flipped bit of every byte of a store, and names the file", async () => {
  const { flips, violations } = await flipAll(1);
  assert(flips > 20_000, `${flips} flips`);
  assertEquals(violations.length, 0, violations.slice(0, 40).join("\n"));
});
