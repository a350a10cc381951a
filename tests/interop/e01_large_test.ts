/**
 * An E01 of 3 TiB, nearly all of it holes, as libewf and the Sleuth Kit read it: beyond the 2 TiB that 32 bits of sectors
 * reach, and over more than one segment file. Takes 6 GB of disk. With digests it is in tests/slow/e01_test.ts.
 */
import { Buffer } from "node:buffer";
import { assertEquals, assertMatch } from "@std/assert";
import type { BlockRun } from "../../src/model.ts";
import { exportRaw } from "../../src/image/mod.ts";
import { FACTS } from "../image/ewf_facts.ts";
import { sparseVolume } from "../image/ewf_large.ts";
import { exportOptions, withFolder } from "../image/fakes.ts";
import { run } from "../image/tools.ts";
import { outside } from "../outside.ts";

/** Blocks in a TiB. */
const TIB = 2 ** 21;
const BLOCK_BYTES = 524_288;

const RUNS: readonly BlockRun[] = [
  { state: "stored", firstBlock: 0, blockCount: 3 },
  { state: "unreadable", firstBlock: 100, blockCount: 2 },
  { state: "stored", firstBlock: TIB + 5, blockCount: 2 },
  { state: "stored", firstBlock: 2 * TIB - 1, blockCount: 2 },
  { state: "unreadable", firstBlock: 2 * TIB + 7, blockCount: 1 },
  { state: "stored", firstBlock: 3 * TIB - 1, blockCount: 1 },
];
/** Bytes of the volume to look at: in blocks of each kind, and over the edges of some. */
const LOOKED_AT = [
  0,
  2 * BLOCK_BYTES,
  3 * BLOCK_BYTES,
  100 * BLOCK_BYTES,
  (TIB + 5) * BLOCK_BYTES,
  (2 * TIB - 1) * BLOCK_BYTES,
  2 * TIB * BLOCK_BYTES,
  (2 * TIB + 7) * BLOCK_BYTES,
  (3 * TIB - 1) * BLOCK_BYTES,
];

outside(
  "libewf and the Sleuth Kit read an E01 of 3 TiB: its size, its read errors below 2 TiB, its bytes anywhere",
  ["ewfinfo", "ewfexport", "img_stat"],
  async () => {
    await withFolder(async (folder) => {
      const volume = sparseVolume(3072, RUNS);
      const image = `${folder}/disk.E01`;
      const options = exportOptions({ ewf: FACTS, digests: [], threads: 2 });
      const { files, unreadableBlocks } = await exportRaw(volume, { kind: "path", path: image }, options);
      assertEquals([files.length, unreadableBlocks], [3, 3]);
      const info = await run("ewfinfo", [image]);
      assertMatch(info, /Media size:\s+3\.0 TiB \(3298534883328 bytes\)/);
      assertMatch(info, /total number: 1\s+at sector\(s\): 102400 - 104447 number: 2048/);
      assertMatch(await run("img_stat", ["-i", "ewf", image]), /Size of data in bytes:\s+3298534883328/);
      for (const at of LOOKED_AT) {
        const args = ["-q", "-u", "-f", "raw", "-o", `${at}`, "-B", `${BLOCK_BYTES}`, "-t", `${folder}/part`];
        await run("ewfexport", [...args, image]);
        const part = Deno.readFileSync(`${folder}/part.raw`);
        assertEquals(Buffer.compare(part, volume.bytesAt(at, BLOCK_BYTES)), 0, `byte ${at}`);
        for (const { name } of Deno.readDirSync(folder)) {
          if (name.startsWith("part.")) Deno.removeSync(`${folder}/${name}`);
        }
      }
    });
  },
);
