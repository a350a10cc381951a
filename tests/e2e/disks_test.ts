/**
 * Disks that are full, read-only or of another make: real file systems on loop devices and in memory. The same
 * command goes on after the fix; what was recorded is safe; reading needs no writing.
 */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { emptyImage, outsideWithLoop, run } from "../image/tools.ts";
import { FIRST, SECOND, type Stage, withStage } from "./endpoint.ts";
import { every, isSame, writeRandomBlocks } from "./images.ts";
import { assertExit, assertRefusal, summaryOf } from "./program.ts";

const BLOCKS = 40;

function withSnapshots(body: (stage: Stage) => Promise<void>): Promise<void> {
  return withStage(async (folder) => {
    await writeRandomBlocks(`${folder}/disk.img`, every(3, { from: 1, count: BLOCKS }));
    await writeRandomBlocks(`${folder}/next.img`, every(9, { from: 1, count: 4 }), `${folder}/disk.img`);
    return {
      snapshots: [
        { id: FIRST, path: `${folder}/disk.img`, volumeId: "vol-1" },
        { id: SECOND, path: `${folder}/next.img`, volumeId: "vol-1" },
      ],
    };
  }, body);
}

/** Runs `body` with a file system of `sizeMib`, made by `mkfs` and mounted as `type`. */
async function withMount(
  stage: Stage,
  how: { readonly sizeMib: number; readonly mkfs: readonly string[]; readonly type?: string },
  body: (mountPoint: string) => Promise<void>,
): Promise<void> {
  const [image, mountPoint] = [`${stage.folder}/fs.img`, `${stage.folder}/mounted`];
  emptyImage(image, how.sizeMib);
  const [program, ...args] = how.mkfs;
  await run(program!, [...args, image]);
  await Deno.mkdir(mountPoint);
  await run("mount", ["-o", "loop", ...(how.type === undefined ? [] : ["-t", how.type]), image, mountPoint]);
  try {
    await body(mountPoint);
  } finally {
    await run("umount", [mountPoint]);
  }
}

const EXT4 = ["mkfs.ext4", "-q", "-F", "-m", "0", "-J", "size=4"];

outsideWithLoop("acquire goes on after a full disk was given room", ["mkfs.ext4", "mount"], async () => {
  await withSnapshots(async (stage) => {
    await withMount(stage, { sizeMib: 48, mkfs: EXT4 }, async (mounted) => {
      const store = ["-s", `${mounted}/evidence`];
      Deno.writeFileSync(`${mounted}/ballast`, new Uint8Array(26 * 2 ** 20).fill(1));
      const full = await stage.run(["acquire", FIRST, ...store]);
      assertRefusal(full, {
        exitCode: 15,
        names: [mounted],
        hints: ["Free some space", "same command again"],
      });
      // With no room at all there are still words for it, and nothing breaks.
      assertRefusal(await stage.run(["acquire", FIRST, ...store]), {
        exitCode: 15,
        names: [mounted],
        hints: ["Free some space"],
      });
      assertStringIncludes((await stage.run(["ls", ...store])).stdout, "not finished");
      await Deno.remove(`${mounted}/ballast`);
      assertExit(await stage.run(["acquire", FIRST, ...store]), 0);
      assertExit(await stage.run(["verify", ...store]), 0);
    });
  });
});

outsideWithLoop("export and copy say where the destination has no room", ["mkfs.ext4", "mount"], async () => {
  await withSnapshots(async (stage) => {
    assertExit(await stage.run(["acquire", FIRST]), 0);
    await withMount(stage, { sizeMib: 16, mkfs: EXT4 }, async (mounted) => {
      const image = `${mounted}/out.img`;
      const exported = await stage.run(["export", FIRST, "-o", image]);
      assertRefusal(exported, { exitCode: 15, names: [mounted] });
      const names = [...Deno.readDirSync(mounted)].map(({ name }) => name);
      assert(!names.includes("out.img"), "nothing lies under the final name");
      for (const name of names.filter((name) => name.startsWith("out."))) {
        await Deno.remove(`${mounted}/${name}`);
      }
      const copied = await stage.run(["copy", FIRST, "--to", `${mounted}/store`]);
      assertRefusal(copied, { exitCode: 15, names: [mounted], hints: ["Free some space"] });
      assertExit(await stage.run(["verify"]), 0);
    });
  });
});

outsideWithLoop(
  "export of an E01 goes on after a full disk was given room",
  ["mkfs.ext4", "mount"],
  async () => {
    await withSnapshots(async (stage) => {
      assertExit(await stage.run(["acquire", FIRST]), 0);
      await withMount(stage, { sizeMib: 48, mkfs: EXT4 }, async (mounted) => {
        const image = `${mounted}/disk.E01`;
        const words = ["export", FIRST, "-o", image, "--format", "e01", "--split", "1MiB"];
        Deno.writeFileSync(`${mounted}/ballast`, new Uint8Array(26 * 2 ** 20).fill(1));
        const full = await stage.run(words);
        assertRefusal(full, {
          exitCode: 15,
          names: [mounted],
          hints: ["Make room there", "same command again"],
        });
        assertStringIncludes(full.stderr, "warning: the E01 takes up to 2");
        const names = [...Deno.readDirSync(mounted)].map(({ name }) => name);
        assert(names.includes("disk.E05.partial"), names.join());
        assert(!names.some((name) => /\.E\d\d$/.test(name)), "nothing lies under a final name");
        await Deno.remove(`${mounted}/ballast`);
        assertExit(await stage.run(words), 0);
        const read = await stage.run(["verify", FIRST, "--read-back", image]);
        assertExit(read, 0);
        assertStringIncludes(read.stdout, "EQUALS the exhibit");
      });
    });
  },
);

outsideWithLoop("ls, info, verify and export read a store that is mounted read-only", [
  "mkfs.ext4",
  "mount",
], async () => {
  await withSnapshots(async (stage) => {
    await withMount(stage, { sizeMib: 64, mkfs: EXT4 }, async (mounted) => {
      const store = ["-s", `${mounted}/evidence`];
      assertExit(await stage.run(["acquire", FIRST, ...store]), 0);
      const before = await treeOf(mounted);
      await run("mount", ["-o", "remount,ro", mounted]);
      for (const command of [["ls"], ["info", FIRST], ["verify"], ["verify", "--quick"]]) {
        assertExit(await stage.run([...command, ...store]), 0);
      }
      const image = `${stage.folder}/out.img`;
      assertExit(await stage.run(["export", FIRST, "-o", image, "--digests", "none", ...store]), 0);
      assert(isSame(`${stage.folder}/disk.img`, image));
      assertExit(await stage.run(["copy", FIRST, "--to", `${stage.folder}/copy`, ...store]), 0);
      assertRefusal(await stage.run(["acquire", SECOND, ...store]), {
        exitCode: 15,
        names: [mounted],
        hints: ["read-only"],
      });
      assertEquals(await treeOf(mounted), before);
    });
  });
});

outsideWithLoop("verify and export read a store whose index is gone from read-only media", [
  "mkfs.ext4",
  "mount",
], async () => {
  await withSnapshots(async (stage) => {
    await withMount(stage, { sizeMib: 64, mkfs: EXT4 }, async (mounted) => {
      const store = ["-s", `${mounted}/evidence`];
      assertExit(await stage.run(["acquire", FIRST, ...store]), 0);
      await Deno.remove(`${mounted}/evidence/cache`, { recursive: true });
      await run("mount", ["-o", "remount,ro", mounted]);
      assertExit(await stage.run(["verify", ...store]), 0);
      const image = `${stage.folder}/out.img`;
      assertExit(await stage.run(["export", FIRST, "-o", image, "--digests", "none", ...store]), 0);
      assert(isSame(`${stage.folder}/disk.img`, image));
    });
  });
});

/** File systems that may not keep a store's promises, and what mounts them. */
const OTHERS = [
  { type: "vfat", kernel: "vfat", name: "vfat", mkfs: ["mkfs.vfat"] },
  { type: "ntfs-3g", kernel: "fuseblk", name: "fuse", mkfs: ["mkntfs", "-F", "-Q", "-q"] },
] as const;

for (const { type, kernel, name, mkfs } of OTHERS) {
  const test = `acquire uses a store on ${type}, or refuses it by name`;
  if (!knowsFileSystem(kernel)) {
    // deno-lint-ignore no-console
    console.log(`skipped: ${test}: needs ${kernel} in the kernel`);
    Deno.test({ name: `${test} [skipped: needs ${kernel} in the kernel]`, ignore: true, fn: () => {} });
    continue;
  }
  outsideWithLoop(test, [mkfs[0], "mount"], async () => {
    await withSnapshots(async (stage) => {
      await withMount(stage, { sizeMib: 64, mkfs, type }, async (mounted) => {
        const store = ["-s", `${mounted}/evidence`];
        const acquired = await stage.run(["acquire", FIRST, "--json", ...store]);
        if (acquired.exitCode !== 0) {
          const hints = ["--unsafe-filesystem"];
          assertRefusal(acquired, { exitCode: 15, names: [name, mounted], hints });
          assertExit(await stage.run(["acquire", FIRST, "--unsafe-filesystem", ...store]), 0);
        } else {
          assertEquals(summaryOf(acquired).storedBlocks, BLOCKS);
          assertStringIncludes(acquired.stderr, `(${name}, `);
        }
        assertExit(await stage.run(["verify", ...store]), 0);
      });
    });
  });
}

/** No package brings a file system that the kernel does not know. */
function knowsFileSystem(kind: string): boolean {
  const cat = new Deno.Command("cat", { args: ["/proc/filesystems"], stdout: "piped", stderr: "null" });
  return new TextDecoder().decode(cat.outputSync().stdout).split(/\s/).includes(kind);
}

outsideWithLoop("export to a device needs --allow-all, --overwrite and room", [], async () => {
  await withSnapshots(async (stage) => {
    assertExit(await stage.run(["acquire", FIRST]), 0);
    const backing = `${stage.folder}/device.img`;
    for (const sizeMib of [1023, 1025]) {
      emptyImage(backing, sizeMib);
      const device = (await run("losetup", ["-f", "--show", backing])).trim();
      try {
        const args = ["export", FIRST, "-o", device];
        const all = { permissions: ["--allow-all"] };
        const hints = ["--allow-all"];
        assertRefusal(await stage.run([...args, "--overwrite"]), { exitCode: 2, names: [device], hints });
        assertRefusal(await stage.run(args, all), { exitCode: 2, names: [device, "--overwrite"] });
        const written = await stage.run([...args, "--overwrite", "--digests", "none"], all);
        if (sizeMib === 1023) {
          assertRefusal(written, { exitCode: 15, names: [device, "1072693248", "1073741824"] });
        } else {
          assertExit(written, 0);
          assertStringIncludes(written.stdout, "1 MiB of the device beyond the volume");
        }
      } finally {
        await run("losetup", ["-d", device]);
      }
    }
    assert(isSame(`${stage.folder}/disk.img`, backing));
  });
});

async function treeOf(folder: string): Promise<string> {
  return await run("bash", ["-c", 'find "$1" -type f | sort | xargs sha256sum', "bash", folder]);
}
