/**
 * A real NTFS, and a GPT disk that has it beside ext4, through the whole program: changed between two
 * snapshots by their own tools, and read from the export by tools that no one here wrote.
 */
import { assertEquals, assertMatch } from "@std/assert";
import {
  changeExt4,
  changeNtfs,
  copyImage,
  FILE_SYSTEM_TOOLS,
  makeExt4,
  makeGptDisk,
  makeNtfs,
  PARTITIONS,
} from "../e2e/images.ts";
import { liveThrough } from "../e2e/whole_run.ts";
import { run } from "../image/tools.ts";
import { outside } from "../outside.ts";
import { assertSameFiles, prepare } from "./whole_file_systems.ts";

const SECTORS_PER_MIB = 2048;

outside("coldcase keeps NTFS whole through kills and increments", FILE_SYSTEM_TOOLS, async () => {
  await liveThrough(async (folder) => {
    const { files, newFile, images } = prepare(folder, 12);
    await makeNtfs(images.first, files, 100);
    await copyImage(images.first, images.second);
    await changeNtfs(images.second, newFile);
    return images;
  }, assertSameFiles);
});

outside(
  "coldcase keeps a GPT disk with both whole through kills and increments",
  FILE_SYSTEM_TOOLS,
  async () => {
    await liveThrough(async (folder) => {
      const { files, newFile, images } = prepare(folder, 8);
      const parts = { ext4: `${folder}/part-1`, ntfs: `${folder}/part-2` };
      await makeExt4(parts.ext4, files, PARTITIONS.ext4.sizeMib);
      await makeNtfs(parts.ntfs, files, PARTITIONS.ntfs.sizeMib);
      await makeGptDisk(images.first, parts);
      await changeExt4(parts.ext4, newFile);
      await changeNtfs(parts.ntfs, newFile);
      await makeGptDisk(images.second, parts);
      return images;
    }, async (original, exported) => {
      const table = await run("mmls", [original]);
      assertMatch(table, /GUID Partition Table/);
      assertEquals(await run("mmls", [exported]), table);
      for (const { startMib } of [PARTITIONS.ext4, PARTITIONS.ntfs]) {
        await assertSameFiles(original, exported, startMib * SECTORS_PER_MIB);
      }
    });
  },
);
