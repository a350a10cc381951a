/**
 * What the tests on real file systems share: files to fill an image with, and the Sleuth Kit's view of two
 * images, which must be the same.
 */
import { assertEquals, assertNotEquals } from "@std/assert";
import { MIB, randomBytes, writeFiles } from "../e2e/images.ts";
import type { TwoImages } from "../e2e/whole_run.ts";
import { run } from "../image/tools.ts";

/** Files to fill an image with, one to change it with, and where the images go. */
export function prepare(
  folder: string,
  largeMib: number,
): { readonly files: string; readonly newFile: string; readonly images: TwoImages } {
  writeFiles(`${folder}/files`, largeMib * MIB);
  Deno.writeFileSync(`${folder}/new.bin`, randomBytes(3 * MIB));
  return {
    files: `${folder}/files`,
    newFile: `${folder}/new.bin`,
    images: { first: `${folder}/1.img`, second: `${folder}/2.img` },
  };
}

/** The Sleuth Kit lists the same files in both, and reads the same bytes of the large and of the new one. */
export async function assertSameFiles(original: string, exported: string, offsetSectors = 0): Promise<void> {
  const at = ["-o", String(offsetSectors)];
  const listed = await run("fls", ["-r", "-p", ...at, original]);
  assertEquals(await run("fls", ["-r", "-p", ...at, exported]), listed);
  for (const name of ["large.bin", "new.bin"]) {
    const inode = new RegExp(`^r/r ([\\d-]+):\\t${name}$`, "m").exec(listed)?.[1];
    assertNotEquals(inode, undefined, `"${name}" in ${listed}`);
    const digest = (image: string) =>
      run("bash", ["-c", `icat ${at.join(" ")} "$1" "$2" | sha256sum`, "bash", image, inode!]);
    assertEquals(await digest(exported), await digest(original), name);
  }
}
