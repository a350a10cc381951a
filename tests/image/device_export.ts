/**
 * A program for device_test.ts: exports a seeded volume to a path, or reads it back, and prints the result or
 * the error as JSON. A process of its own because devices need all of Deno's permissions, which the tests do
 * not have.
 */
import { OperatorError } from "../../src/errors.ts";
import { realDisk } from "../../src/world.ts";
import { exportRaw, readBack } from "../../src/image/mod.ts";
import { exportOptions, randomReader } from "./fakes.ts";

const [mode, path = "", blockCount] = Deno.args;
const reader = randomReader(3, Number(blockCount), 65_536);
try {
  const result = mode === "read-back"
    ? await readBack(reader, path, { disk: realDisk })
    : await exportRaw(reader, { kind: "path", path }, exportOptions({ overwrite: mode === "overwrite" }));
  // deno-lint-ignore no-console
  console.log(JSON.stringify(result));
} catch (error) {
  if (!(error instanceof OperatorError)) throw error;
  const { code, message, hints } = error;
  // deno-lint-ignore no-console
  console.log(JSON.stringify({ code, message, hints }));
}
