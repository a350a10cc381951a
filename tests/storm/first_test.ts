/** A hundred and more random kills of acquisitions. `deno task test:storm`; a thousand kills in all: tests/slow. */
import { storm } from "./storm.ts";

Deno.test("acquisitions that are killed at random moments come to the end of an undisturbed one", () =>
  storm(["acquire", "acquire encrypted", "incremental"], 34));
