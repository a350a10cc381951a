/** A thousand random kills of real processes: half an hour, so not in the default run. `deno task test:slow` */
import { COMMANDS, storm } from "../storm/storm.ts";

Deno.test("a thousand random kills lose nothing that was recorded", () => storm(COMMANDS, 168));
