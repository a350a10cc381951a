/**
 * coldsnap, a client that no one here wrote, against the simulator: it uploads an image, and downloads the same
 * bytes again, also where the service throttles and fails.
 */
import { assertEquals, assertGreaterOrEqual, assertMatch } from "@std/assert";
import { type FaultKind, startSimulator } from "../../src/simulate/mod.ts";
import { outside, toolPath } from "../outside.ts";
import { SNAPSHOT, withFolder, writeImage } from "../simulate/fixtures.ts";

const BLOCK_SIZE = 524_288;
const IMAGE = { blockCount: 9, fills: { 0: 1, 3: 2, 4: 3, 8: 250 }, blockSize: BLOCK_SIZE };

const FIRST_FAULTS: Readonly<Record<number, FaultKind>> = {
  0: "error500",
  3: "throttle",
  4: "reset",
  8: "checksum",
};

async function coldsnap(args: string[], env: Record<string, string>): Promise<string> {
  const output = await new Deno.Command(toolPath("coldsnap")!, { args, env }).output();
  assertEquals(output.code, 0, new TextDecoder().decode(output.stderr));
  return new TextDecoder().decode(output.stdout).trim();
}

/** The image's bytes, with the zeros up to the volume's end that coldsnap adds. */
function startOf(path: string, length: number): Uint8Array {
  const file = Deno.openSync(path);
  try {
    const bytes = new Uint8Array(length);
    for (let done = 0; done < length;) done += file.readSync(bytes.subarray(done)) ?? length;
    return bytes;
  } finally {
    file.close();
  }
}

outside(
  "startSimulator() serves coldsnap's download, through throttles and failures",
  ["coldsnap"],
  async () => {
    await withFolder(async (folder) => {
      writeImage(`${folder}/disk.raw`, IMAGE);
      const simulator = await startSimulator({
        snapshots: [{ id: SNAPSHOT, path: `${folder}/disk.raw` }],
        // Each block fails once, in its own way.
        faultHook: ({ call, index, attempt }) =>
          call === "GetSnapshotBlock" && attempt === 0 ? FIRST_FAULTS[index] : undefined,
      });
      try {
        await coldsnap(
          ["download", "--no-progress", SNAPSHOT, `${folder}/copy.raw`],
          simulator.environment(),
        );
        assertEquals(Deno.statSync(`${folder}/copy.raw`).size, 2 ** 30);
        const length = IMAGE.blockCount * BLOCK_SIZE;
        assertEquals(startOf(`${folder}/copy.raw`, length), Deno.readFileSync(`${folder}/disk.raw`));
        assertEquals(simulator.requests.of("GetSnapshotBlock").succeeded, 4);
      } finally {
        await simulator.close();
      }
    });
  },
);

outside(
  "startSimulator() serves coldsnap's upload, and the snapshot is then read like any",
  ["coldsnap"],
  async () => {
    await withFolder(async (folder) => {
      writeImage(`${folder}/disk.raw`, IMAGE);
      const simulator = await startSimulator({ uploadDirectory: folder });
      try {
        const id = await coldsnap(
          ["upload", "--no-progress", "--wait", `${folder}/disk.raw`],
          simulator.environment(),
        );
        assertMatch(id, /^snap-[0-9a-f]{17}$/);
        // Whether blocks of zeros are uploaded differs between its versions.
        assertGreaterOrEqual(simulator.requests.of("PutSnapshotBlock").succeeded, 4);
        await coldsnap(["download", "--no-progress", id, `${folder}/copy.raw`], simulator.environment());
        const length = IMAGE.blockCount * BLOCK_SIZE;
        assertEquals(startOf(`${folder}/copy.raw`, length), Deno.readFileSync(`${folder}/disk.raw`));
      } finally {
        await simulator.close();
      }
    });
  },
);
