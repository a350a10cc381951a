/**
 * An imported and an acquired exhibit of one snapshot in one store: neither passes for the other, nothing is built on
 * what was imported, and the service can be asked whether it is right.
 */
import { assertEquals, assertStringIncludes } from "@std/assert";
import { FIRST, SECOND, type Stage, withStage } from "../e2e/endpoint.ts";
import { writeRandomBlocks } from "../e2e/images.ts";
import { assertExit, assertRefusal, eventOf, summaryOf } from "../e2e/program.ts";
import { outside } from "../outside.ts";
import { fileOf, IMAGER_NEEDS, ImagerStage } from "./imager.ts";

const BLOCKS = [0, 3, 7];

function withBoth(body: (stage: Stage, folder: string) => Promise<void>): Promise<void> {
  return ImagerStage.with(async (imager) => {
    imager.makeImage(BLOCKS);
    const folder = await imager.makeFolder("plain", BLOCKS, { snapshot: FIRST });
    const next = `${imager.folder}/next.img`;
    await writeRandomBlocks(next, [9], imager.image);
    const snapshots = [
      { id: FIRST, path: imager.image, volumeId: "vol-1" },
      { id: SECOND, path: next, volumeId: "vol-1" },
    ];
    await withStage({ snapshots }, (stage) => body(stage, folder));
  });
}

outside(
  "acquire takes nothing that was imported for acquired, and does not build on it",
  IMAGER_NEEDS,
  async () => {
    await withBoth(async (stage, folder) => {
      const imported = summaryOf(await stage.run(["import", folder, "--json"]));
      const next = summaryOf(await stage.run(["acquire", SECOND, "--json"]));
      assertEquals([next.parent, next.storedBlocks], [null, BLOCKS.length + 1]);
      assertEquals(stage.getRequests(), BLOCKS.length + 1);
      const asked = await stage.run(["acquire", SECOND, "--fresh", "--parent", imported.exhibit]);
      assertExit(asked, 0);
      assertStringIncludes(asked.stderr, "it was imported, not acquired");
      const acquired = await stage.run(["acquire", FIRST, "--json"]);
      assertExit(acquired, 0);
      assertEquals([summaryOf(acquired).supersedes, summaryOf(acquired).unreadableBlocks], [null, 0]);
      // Both are of the snapshot: which one is meant is for the examiner to say.
      const ids = [imported.exhibit, summaryOf(acquired).exhibit];
      assertRefusal(await stage.run(["export", FIRST, "-o", `${stage.folder}/out.img`]), {
        exitCode: 2,
        names: [FIRST, "2 match"],
        hints: ids,
      });
      const again = await stage.run(["import", folder, "--json"]);
      assertExit(again, 3);
      assertEquals(summaryOf(again).exhibit, imported.exhibit);
      const anew = summaryOf(await stage.run(["import", folder, "--json", "--fresh"]));
      assertEquals(anew.supersedes, imported.exhibit);
      assertExit(await stage.run(["verify"]), 0);
    });
  },
);

outside("verify --against-source compares what was imported with the service", IMAGER_NEEDS, async () => {
  await withBoth(async (stage, folder) => {
    assertExit(await stage.run(["import", folder]), 3);
    const equal = await stage.run(["verify", "--against-source", "--json"]);
    // Nothing is proved of blocks without a file.
    assertExit(equal, 3);
    const { differences, comparedBlocks } = eventOf(equal, "summary");
    assertEquals([differences, comparedBlocks], [0, BLOCKS.length]);
    // Another block under a name that fits it: sound to itself, and not what the service has.
    const [file, other] = [fileOf(folder, 3), fileOf(folder, 7)];
    Deno.removeSync(file);
    Deno.copyFileSync(other, `${folder}/3_${other.split("/").at(-1)!.slice(2)}`);
    assertExit(await stage.run(["import", folder, "--fresh", "-s", `${stage.folder}/forged`]), 3);
    const forged = await stage.run(["verify", "--against-source", "-s", `${stage.folder}/forged`]);
    assertExit(forged, 20);
    assertStringIncludes(forged.stderr, "block 3");
  });
});
