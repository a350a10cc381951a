/**
 * Real file systems through the whole program: ext4, NTFS and a GPT disk with both, each changed between two
 * snapshots by its own tools, and read from the export by tools that no one here wrote.
 */
import { assertEquals, assertMatch, assertNotEquals } from "@std/assert";
import {
  changeExt4,
  changeNtfs,
  copyImage,
  FILE_SYSTEM_TOOLS,
  makeExt4,
  makeGptDisk,
  makeNtfs,
  MIB,
  PARTITIONS,
  randomBytes,
  writeFiles,
} from "../e2e/images.ts";
import { liveThrough, type TwoImages } from "../e2e/whole_run.ts";
import { run } from "../image/tools.ts";
import { outside } from "../outside.ts";

const SECTORS_PER_MIB = MIB / 512;

/** Files to fill an image with, and one to change it with. */
function prepare(folder: string, largeMib: number): { readonly files: string; readonly newFile: string } {
  writeFiles(`${folder}/files`, largeMib * MIB);
  Deno.writeFileSync(`${folder}/new.bin`, randomBytes(3 * MIB));
  return { files: `${folder}/files`, newFile: `${folder}/new.bin` };
}

function paths(folder: string, name: string): TwoImages {
  return { first: `${folder}/${name}-1.img`, second: `${folder}/${name}-2.img` };
}

/** The Sleuth Kit lists the same files in both, and reads the same bytes of the named ones. */
async function assertSameFiles(
  images: { readonly original: string; readonly exported: string },
  facts: { readonly offsetSectors: number; readonly names: readonly string[] },
): Promise<void> {
  const at = ["-o", String(facts.offsetSectors)];
  const { original, exported } = images;
  const listed = await run("fls", ["-r", "-p", ...at, original]);
  assertEquals(await run("fls", ["-r", "-p", ...at, exported]), listed);
  for (const name of facts.names) {
    const inode = new RegExp(`^r/r ([\\d-]+):\\t${name}$`, "m").exec(listed)?.[1];
    assertNotEquals(inode, undefined, `"${name}" in ${listed}`);
    const digest = (image: string) =>
      run("bash", ["-c", `icat ${at.join(" ")} "$1" "$2" | sha256sum`, "bash", image, inode!]);
    assertEquals(await digest(exported), await digest(original), name);
  }
}

outside("coldcase keeps ext4 whole through kills and increments", FILE_SYSTEM_TOOLS, async () => {
  await liveThrough(async (folder) => {
    const { files, newFile } = prepare(folder, 90);
    const images = paths(folder, "ext4");
    await makeExt4(images.first, files, 160);
    await copyImage(images.first, images.second);
    await changeExt4(images.second, newFile);
    return images;
  }, async (original, exported) => {
    assertMatch(await run("e2fsck", ["-fn", exported]), /Pass 5/);
    await assertSameFiles({ original, exported }, { offsetSectors: 0, names: ["large.bin", "new.bin"] });
  });
});

outside("coldcase keeps NTFS whole through kills and increments", FILE_SYSTEM_TOOLS, async () => {
  await liveThrough(async (folder) => {
    const { files, newFile } = prepare(folder, 12);
    const images = paths(folder, "ntfs");
    await makeNtfs(images.first, files, 100);
    await copyImage(images.first, images.second);
    await changeNtfs(images.second, newFile);
    return images;
  }, async (original, exported) => {
    await assertSameFiles({ original, exported }, { offsetSectors: 0, names: ["large.bin", "new.bin"] });
  });
});

outside(
  "coldcase keeps a GPT disk with both whole through kills and increments",
  FILE_SYSTEM_TOOLS,
  async () => {
    await liveThrough(async (folder) => {
      const { files, newFile } = prepare(folder, 8);
      const images = paths(folder, "disk");
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
        const offsetSectors = startMib * SECTORS_PER_MIB;
        await assertSameFiles({ original, exported }, { offsetSectors, names: ["large.bin", "new.bin"] });
      }
    });
  },
);
