/**
 * A snapshot that coldsnap, a client that no one here wrote, uploads into the simulator, acquired and exported by the
 * whole program; what coldsnap downloads of it has the digest of the export.
 */
import { assert, assertEquals } from "@std/assert";
import { withStage } from "../e2e/endpoint.ts";
import { every, isSame, writeRandomBlocks } from "../e2e/images.ts";
import { assertExit, summaryOf } from "../e2e/program.ts";
import { run } from "../image/tools.ts";
import { outside, toolPath } from "../outside.ts";

outside("coldcase acquires and exports what coldsnap uploaded", ["coldsnap"], async () => {
  await withStage((folder) => ({ uploadDirectory: folder }), async (stage) => {
    const original = `${stage.folder}/disk.img`;
    await writeRandomBlocks(original, every(3, { from: 0, count: 20 }));
    const uploading = new Deno.Command(toolPath("coldsnap")!, {
      args: ["upload", "--no-progress", "--wait", original],
      env: stage.env,
    });
    const uploaded = await uploading.output();
    assertEquals(uploaded.code, 0, new TextDecoder().decode(uploaded.stderr));
    const snapshot = new TextDecoder().decode(uploaded.stdout).trim();
    const acquired = await stage.run(["acquire", snapshot, "--json"]);
    assertExit(acquired, 0);
    assertEquals(summaryOf(acquired).storedBlocks, 20);
    const image = `${stage.folder}/out.img`;
    assertExit(await stage.run(["export", snapshot, "-o", image]), 0);
    assert(isSame(original, image));
    // What coldsnap downloads from the same endpoint is the same image.
    const downloading = new Deno.Command(toolPath("coldsnap")!, {
      args: ["download", "--no-progress", snapshot, `${stage.folder}/downloaded.img`],
      env: stage.env,
    });
    assertEquals((await downloading.output()).code, 0);
    assertEquals(
      (await run("sha256sum", [`${stage.folder}/downloaded.img`])).slice(0, 64),
      /SHA-256 +([0-9a-f]{64})/.exec(Deno.readTextFileSync(`${image}.log`))?.[1],
    );
  });
});
