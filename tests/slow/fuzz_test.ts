/** A million damaged inputs for the parsers of tests/fuzz: minutes, so not in the default run. `deno task test:slow` */
import { closeAws } from "../fuzz/aws.ts";
import { fuzzAll } from "../fuzz/fuzz.ts";
import { TARGETS } from "../fuzz/targets.ts";

Deno.test("every parser keeps its laws on a million damaged inputs", async () => {
  await fuzzAll(TARGETS, 1_000_000);
  await closeAws();
});
