/**
 * Exports of ext4 and NTFS, mounted by the kernel and by ntfs-3g: clean, with the files that were put there, though no
 * command was told which file system it is. Snapshot-4n6ir-Imager had an option for each; its --ext4 ran mkfs first.
 */
import { assert, assertMatch } from "@std/assert";
import { FIRST, withStage } from "../e2e/endpoint.ts";
import { isSame, makeExt4, makeNtfs, MIB, writeFiles } from "../e2e/images.ts";
import { assertExit } from "../e2e/program.ts";
import { outsideWithLoop, run } from "../image/tools.ts";
import { BLOCK_BYTES, BLOCK_COUNT, IMAGER_NEEDS, ImagerStage, SNAPSHOT } from "./imager.ts";

interface FileSystemCase {
  readonly name: string;
  readonly needs: readonly string[];
  make(image: string, files: string): Promise<void>;
  assertClean(image: string): Promise<void>;
  /** Without `-t`: found out by mount. */
  readonly mount: readonly string[];
}

const CASES: readonly FileSystemCase[] = [
  {
    name: "ext4",
    needs: ["mkfs.ext4", "e2fsck", "dumpe2fs"],
    make: (image, files) => makeExt4(image, files, 64),
    async assertClean(image) {
      assertMatch(await run("dumpe2fs", ["-h", image]), /Filesystem state: +clean/);
      assertMatch(await run("e2fsck", ["-fn", image]), /Pass 5/);
    },
    mount: ["mount", "-o", "loop,ro"],
  },
  {
    name: "NTFS",
    needs: ["mkntfs", "ntfscp", "ntfs-3g", "ntfs-3g.probe"],
    make: (image, files) => makeNtfs(image, files, 64),
    // It refuses a volume that was not unmounted, or whose log is not empty.
    assertClean: async (image) => void await run("ntfs-3g.probe", ["--readwrite", image]),
    mount: ["ntfs-3g", "-o", "ro"],
  },
];

for (const { name, needs, make, assertClean, mount } of CASES) {
  const tools = [...needs, ...IMAGER_NEEDS, "mount", "umount", "diff"];
  outsideWithLoop(
    `exports of ${name}, acquired and imported, mount clean without an option`,
    tools,
    async () => {
      await ImagerStage.with(async (imager) => {
        const files = `${imager.folder}/files`;
        writeFiles(files, 8 * MIB);
        // ntfscp copies what lies in the folder directly.
        Deno.removeSync(`${files}/var`, { recursive: true });
        await make(imager.image, files);
        Deno.truncateSync(imager.image, BLOCK_COUNT * BLOCK_BYTES);
        const all = Array.from({ length: BLOCK_COUNT }, (_, block) => block);
        const folder = await imager.makeFolder("compressed", all);
        assertExit(await imager.run(["import", folder]), 0);
        const exported = `${imager.folder}/imported.img`;
        assertExit(await imager.run(["export", SNAPSHOT, "-o", exported]), 0);
        await withStage({ snapshots: [{ id: FIRST, path: imager.image }] }, async (stage) => {
          assertExit(await stage.run(["acquire", FIRST]), 0);
          const acquired = `${imager.folder}/acquired.img`;
          assertExit(await stage.run(["export", FIRST, "-o", acquired]), 0);
          assert(isSame(acquired, exported, Infinity), "acquired and imported, it is not the same image");
        });
        await assertClean(exported);
        const mounted = `${imager.folder}/mounted`;
        Deno.mkdirSync(mounted);
        const [program, ...args] = mount;
        await run(program!, [...args, exported, mounted]);
        try {
          await run("diff", ["-r", "--exclude=lost+found", files, mounted]);
        } finally {
          await run("umount", [mounted]);
        }
      });
    },
  );
}
