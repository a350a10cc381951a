/** All eight bits of every byte of a store, one at a time: minutes, so not in the default run. `deno task test:slow` */
import { assertEquals } from "@std/assert";
import { flipAll } from "../store/flips.ts";

Deno.test("verify finds every flipped bit of a store, and names the file", async () => {
  const { violations } = await flipAll(8);
  assertEquals(violations.length, 0, violations.slice(0, 40).join("\n"));
});
