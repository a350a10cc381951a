/**
 * A real ext4 through the whole program, of more than one pack, changed between two snapshots by debugfs, and read
 * from the export by tools that no one here wrote.
 */
import { assertMatch } from "@std/assert";
import { changeExt4, copyImage, FILE_SYSTEM_TOOLS, makeExt4 } from "../e2e/images.ts";
import { liveThrough } from "../e2e/whole_run.ts";
import { run } from "../image/tools.ts";
import { outside } from "../outside.ts";
import { assertSameFiles, prepare } from "./whole_file_systems.ts";

outside("coldcase keeps ext4 whole through kills and increments", FILE_SYSTEM_TOOLS, async () => {
  await liveThrough(async (folder) => {
    const { files, newFile, images } = prepare(folder, 90);
    await makeExt4(images.first, files, 160);
    await copyImage(images.first, images.second);
    await changeExt4(images.second, newFile);
    return images;
  }, async (original, exported) => {
    assertMatch(await run("e2fsck", ["-fn", exported]), /Pass 5/);
    await assertSameFiles(original, exported);
  });
});
