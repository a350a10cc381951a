/**
 * A process that exports an E01, for tests that kill it: says each 64 KiB on stdout, one byte each. Arguments: path,
 * seed, worker threads.
 */
import { exportRaw } from "../../src/image/mod.ts";
import { FACTS, STOPPED_CLOCK } from "./ewf_facts.ts";
import { exportOptions, randomReader } from "./fakes.ts";

/** The volume of a seed, and how it is exported. */
export function volumeOf(seed: number) {
  return randomReader(seed, 512, 16_384);
}

export const KILLED = {
  ewf: FACTS,
  clock: STOPPED_CLOCK,
  splitBytes: 512 * 1024,
  syncEveryBytes: 256 * 1024,
};

if (import.meta.main) {
  const [path, seed, threads] = Deno.args;
  let told = 0;
  await exportRaw(
    volumeOf(Number(seed)),
    { kind: "path", path: path! },
    exportOptions({
      ...KILLED,
      threads: Number(threads),
      onProgress({ doneBytes }) {
        for (; told + 65_536 <= doneBytes; told += 65_536) Deno.stdout.writeSync(new Uint8Array(1));
      },
    }),
  );
  Deno.exit(0);
}
