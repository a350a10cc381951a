/** E01 images of full size, with digests, as libewf verifies every byte of them: minutes, so not in the default run. `deno task test:slow` */
import { Buffer } from "node:buffer";
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { exportRaw } from "../../src/image/mod.ts";
import { FACTS } from "../image/ewf_facts.ts";
import { sparseVolume } from "../image/ewf_large.ts";
import { exportOptions, withFolder } from "../image/fakes.ts";
import { run } from "../image/tools.ts";
import { outside } from "../outside.ts";

const GIB = 2 ** 30;
const MIB = 2 ** 20;
const BLOCKS_OF_GIB = 2048;

// Tables have a base offset then: 31 bits do not reach the end of the file.
outside(
  "libewf verifies an E01 of 4 GiB in a segment file of 2.5 GiB and a rest",
  ["ewfverify", "ewfexport"],
  async () => {
    await withFolder(async (folder) => {
      const volume = sparseVolume(4, [{ state: "stored", firstBlock: 0, blockCount: 4 * BLOCKS_OF_GIB }]);
      const image = `${folder}/disk.E01`;
      const options = exportOptions({ ewf: FACTS, threads: 2, splitBytes: 2.5 * GIB });
      const { files, digests } = await exportRaw(volume, { kind: "path", path: image }, options);
      assert(Deno.statSync(files[0]!).size > 2.49 * GIB);
      const verified = await run("ewfverify", ["-q", "-d", "sha1", image]);
      for (const digest of [digests.md5, digests.sha1]) assertStringIncludes(verified, digest!);
      // On both sides of 2 GiB of the file, most of whose chunks are as they were.
      for (const at of [GIB, 2 * GIB, 2.5 * GIB, 3 * GIB, 4 * GIB - MIB / 2]) {
        const args = [
          "-q",
          "-u",
          "-f",
          "raw",
          "-o",
          `${at}`,
          "-B",
          `${MIB / 2}`,
          "-t",
          `${folder}/part${at}`,
        ];
        await run("ewfexport", [...args, image]);
        const part = Deno.readFileSync(`${folder}/part${at}.raw`);
        assertEquals(Buffer.compare(part, volume.bytesAt(at, MIB / 2)), 0, `byte ${at}`);
      }
    });
  },
);

// Of all zeros 3 TiB take hours, whoever computes MD5 over them.
outside("ewfverify reads an E01 of 100 GiB of holes with its digests", ["ewfverify"], async () => {
  await withFolder(async (folder) => {
    const runs = [
      { state: "stored", firstBlock: 7, blockCount: 5 },
      { state: "stored", firstBlock: 99 * BLOCKS_OF_GIB, blockCount: 9 },
    ] as const;
    const image = `${folder}/disk.E01`;
    const options = exportOptions({ ewf: FACTS, threads: 2 });
    const { digests } = await exportRaw(sparseVolume(100, runs), { kind: "path", path: image }, options);
    const verified = await run("ewfverify", ["-q", "-d", "sha1", image]);
    assertMatch(verified, /SUCCESS/);
    for (const digest of [digests.md5, digests.sha1]) assertStringIncludes(verified, digest!);
  });
});
