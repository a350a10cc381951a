/**
 * An export of a real file system: its own checker finds it clean, and the Sleuth Kit reads from it what was put
 * into it.
 */
import { assertEquals, assertStringIncludes } from "@std/assert";
import { exportRaw, inspectVolume } from "../../src/image/mod.ts";
import { outside } from "../outside.ts";
import { exportOptions, imageReader, seeded, withFolder } from "./fakes.ts";
import { emptyImage, run } from "./tools.ts";

outside("exportRaw() of an ext4 volume is clean, and fls and icat read its files", [
  "mke2fs",
  "e2fsck",
  "fls",
  "icat",
  "cmp",
], async () => {
  await withFolder(async (folder) => {
    const files = `${folder}/files`;
    Deno.mkdirSync(`${files}/var/log`, { recursive: true });
    const next = seeded(17);
    const text = Array.from({ length: 5000 }, () => next().toString(36)).join("\n");
    Deno.writeTextFileSync(`${files}/var/log/auth.log`, text);
    const source = `${folder}/source.img`;
    emptyImage(source, 32);
    await run("mke2fs", ["-q", "-F", "-t", "ext4", "-L", "victim", "-d", files, source]);

    const image = `${folder}/image.raw`;
    const reader = imageReader(source);
    const result = await exportRaw(reader, { kind: "path", path: image }, exportOptions());
    assertEquals(result.storedBlocks + result.absentBlocks, 64);
    await run("cmp", [source, image]);
    await run("e2fsck", ["-f", "-n", image]);
    const listing = await run("fls", ["-r", "-p", image]);
    const inode = /(\d+):\s+var\/log\/auth\.log/.exec(listing)?.[1];
    assertStringIncludes(await run("icat", [image, inode ?? "missing"]), text);
    assertEquals((await inspectVolume(imageReader(image))).bare?.label, "victim");
  });
});
