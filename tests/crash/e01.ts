/**
 * An export of an E01 that is crashed: a segment file that the checkpoint calls whole must be so after any loss of power, or
 * not be taken up. The segment files at the end are, byte for byte, those of an export that was never interrupted.
 */
import { Buffer } from "node:buffer";
import { sha256 } from "../../src/format/digests.ts";
import { OperatorError } from "../../src/errors.ts";
import { exportRaw } from "../../src/image/mod.ts";
import type { BlockState, Disk } from "../../src/model.ts";
import { realDisk } from "../../src/world.ts";
import { FACTS, STOPPED_CLOCK } from "../image/ewf_facts.ts";
import { exportOptions, MemoryReader, withFolder } from "../image/fakes.ts";
import type { CrashDisk } from "./crash_disk.ts";
import type { Scenario } from "./explore.ts";

const IMAGE = "/case/disk.E01";
const STATES: readonly BlockState[] = [
  "stored",
  "stored",
  "stored",
  "zero",
  "stored",
  "stored",
  "unreadable",
];
/** Three segment files and a half. */
const VOLUME = new MemoryReader(
  Array.from({ length: 35 }, (_, block) => STATES[block % STATES.length]!),
  { blockSizeBytes: 32_768 },
);

async function exportE01(disk: Disk, path: string): Promise<readonly string[]> {
  const how = { ewf: FACTS, clock: STOPPED_CLOCK, splitBytes: 256 * 1024, syncEveryBytes: 128 * 1024 };
  return (await exportRaw(VOLUME, { kind: "path", path }, exportOptions({ disk, ...how }))).files;
}

/** Digests of the segment files in their order, of an export that nothing disturbed. */
const WHOLE: string[] = [];
await withFolder(async (folder) => {
  const files = await exportE01(realDisk, `${folder}/disk.E01`);
  WHOLE.push(...files.map((path) => sha256(Deno.readFileSync(path))));
});

/** Throws unless the image is whole and has its log and its map. */
function requireImage(disk: CrashDisk): void {
  WHOLE.forEach((digest, index) => {
    const path = `/case/disk.E0${index + 1}`;
    if (sha256(Buffer.from(disk.bytes(path))) !== digest) throw new Error(`${path} is not what it should be`);
  });
  for (const name of [`${IMAGE}.log`, `${IMAGE}.map.json`]) {
    if (!disk.stat(name)) throw new Error(`${name} is missing`);
  }
}

export const exportingE01: Scenario = {
  name: "export of an E01",
  // deno-lint-ignore require-await -- others have to wait
  async prepare(disk) {
    disk.makeDirectory("/case");
  },
  async run({ disk, promise }) {
    await exportE01(disk, IMAGE).catch((error) => {
      // Done, by the run before.
      if (error instanceof OperatorError && /it is there already/.test(error.message)) return;
      throw error;
    });
    // deno-lint-ignore require-await -- a check may wait
    promise(async (crashed) => requireImage(crashed));
  },
  // deno-lint-ignore require-await -- a check may wait
  async look(disk) {
    if (disk.stat(IMAGE)) requireImage(disk);
  },
  // deno-lint-ignore require-await -- others have to wait
  async essence(disk) {
    requireImage(disk);
    return new TextDecoder().decode(disk.bytes(`${IMAGE}.map.json`));
  },
};
