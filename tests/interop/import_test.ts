/**
 * `coldcase import` on folders that Python's own modules made by the layout of Snapshot-4n6ir-Imager: sound ones in the
 * three layouts, damaged and mixed-up ones, interruptions. The second reader reads every exhibit that comes of it.
 */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { isSame } from "../e2e/images.ts";
import {
  assertExit,
  assertRefusal,
  coldcase,
  eventOf,
  eventsOf,
  type ExhibitSummary,
  summaryOf,
} from "../e2e/program.ts";
import { outside } from "../outside.ts";
import { READER_NEEDS, SecondReader } from "../second_reader.ts";
import {
  BLOCK_BYTES,
  BLOCK_COUNT,
  fileOf,
  findingsOf,
  IMAGER_NEEDS,
  ImagerStage,
  LAYOUTS,
  SNAPSHOT,
} from "./imager.ts";

const MARK = "IMPORTED, NOT ACQUIRED BY COLDCASE";
const RANDOM = [0, 1, 2, 3, 5, 8, 13, 2047];
const ZEROS = [100, 101];
const FILES = [...RANDOM, ...ZEROS];

/** A folder in a layout, and its import into a store of that layout's name. */
function withFolders(body: (stage: ImagerStage) => Promise<void>): Promise<void> {
  return ImagerStage.with((stage) => {
    stage.makeImage(RANDOM);
    return body(stage);
  });
}

/** Reasons by block, ranges as their first block. */
async function reasonsOf(stage: ImagerStage, store: string): Promise<Record<number, string>> {
  const info = summaryOf(await stage.run(["info", SNAPSHOT, "--json"], store));
  const unreadable = info["unreadable"] as { block: number; reason: string; blocks: number }[];
  return Object.fromEntries(unreadable.map(({ block, reason }) => [block, reason]));
}

outside("import takes over the three layouts alike, and all that shows it says so", [
  ...IMAGER_NEEDS,
  ...READER_NEEDS,
], async () => {
  await withFolders(async (stage) => {
    const imported: ExhibitSummary[] = [];
    for (const layout of LAYOUTS) {
      // The folder itself, or the one that holds it.
      const path = await stage.makeFolder(layout, FILES);
      const ended = await stage.import(layout, layout === "plain" ? path : `${stage.folder}/${layout}`);
      assertExit(ended, 3);
      const summary = summaryOf(ended);
      imported.push(summary);
      const { storedBlocks, zeroBlocks, absentBlocks, unreadableBlocks, isPartial } = summary;
      assertEquals({ storedBlocks, zeroBlocks, absentBlocks, unreadableBlocks, isPartial }, {
        storedBlocks: RANDOM.length,
        zeroBlocks: ZEROS.length,
        absentBlocks: 0,
        unreadableBlocks: BLOCK_COUNT - FILES.length,
        isPartial: false,
      });
      const folder = path.slice(stage.folder.length + layout.length + 2);
      assertEquals(summary["import"], {
        blockFiles: FILES.length,
        folder: `${stage.folder}/${layout}/${folder}`,
        kind: "snapshot-4n6ir-imager",
        layout,
        otherBlockFiles: 0,
        snapshot: SNAPSHOT,
      });
      assertEquals([summary["region"], summary["endpoint"], summary["isAws"]], [null, null, false]);
      assertEquals(findingsOf(eventsOf(ended)), []);
      // Run again, it finds its own exhibit.
      const again = await stage.import(layout, path);
      assertExit(again, 3);
      assertEquals(summaryOf(again).exhibit, summary.exhibit);
    }
    assertEquals(new Set(imported.map(({ imageDigest }) => imageDigest)).size, 1);

    const [layout] = LAYOUTS;
    const image = `${stage.folder}/out.img`;
    const exported = await stage.run(["export", SNAPSHOT, "-o", image], layout);
    assertExit(exported, 3);
    assert(isSame(stage.image, image, Infinity), "the export differs from the image");
    assertStringIncludes(Deno.readTextFileSync(`${image}.log`), MARK);
    const verified = await stage.run(["verify"], layout);
    assertExit(verified, 0);
    const shown = [
      exported.stderr,
      verified.stdout,
      (await stage.run(["ls"], layout)).stdout,
      (await stage.run(["info", SNAPSHOT], layout)).stdout,
      (await stage.run(["report", SNAPSHOT], layout)).stdout.split("\n")[0]!,
    ];
    for (const text of shown) assertStringIncludes(text, MARK);
    const reader = new SecondReader();
    const at = { store: stage.store("plain"), exhibit: imported[0]!.exhibit };
    const read = await reader.read(at, `${stage.folder}/second.img`);
    await reader.close();
    assertEquals(read.code, 0, read.stderr);
    assertStringIncludes(read.stderr, "IMPORTED");
    assert(isSame(stage.image, `${stage.folder}/second.img`, Infinity), "the second reader's image differs");
    const info = summaryOf(await stage.run(["info", SNAPSHOT, "--json"], layout));
    const { listedBlocks, verification, descriptionResult } = info["acquisition"] as Record<
      string,
      unknown
    >;
    assertEquals([listedBlocks, descriptionResult], [null, "not_asked"]);
    assertEquals((verification as Record<string, unknown>)["level"], "on_import");
    assertEquals(new Set(Object.values(await reasonsOf(stage, layout!))), new Set(["no_file"]));
  });
});

outside("import of a folder that has every block ends with 0", IMAGER_NEEDS, async () => {
  await withFolders(async (stage) => {
    const all = Array.from({ length: BLOCK_COUNT }, (_, block) => block);
    const ended = await stage.import("compressed", await stage.makeFolder("compressed", all));
    assertExit(ended, 0);
    const { unreadableBlocks, storedBlocks } = summaryOf(ended);
    assertEquals([unreadableBlocks, storedBlocks], [0, RANDOM.length]);
  });
});

outside("import names each damaged or doubled file, and takes what is sound", IMAGER_NEEDS, async () => {
  await withFolders(async (stage) => {
    for (const layout of LAYOUTS) {
      const folder = await stage.makeFolder(layout, FILES);
      const damaged = {
        flipped: fileOf(folder, 0),
        cut: fileOf(folder, 1),
        empty: fileOf(folder, 2),
        link: fileOf(folder, 3),
        doubled: fileOf(folder, 5),
        gone: fileOf(folder, 100),
      };
      const bytes = Deno.readFileSync(damaged.flipped);
      // In a token any other character of its alphabet, so that it is one still.
      const at = bytes.length >> 1;
      bytes[at] = layout === "encrypted" ? (bytes[at] === 65 ? 66 : 65) : bytes[at]! ^ 1;
      Deno.writeFileSync(damaged.flipped, bytes);
      Deno.truncateSync(damaged.cut, Deno.statSync(damaged.cut).size - 4);
      Deno.truncateSync(damaged.empty, 0);
      Deno.renameSync(damaged.link, `${stage.folder}/elsewhere`);
      Deno.symlinkSync(`${stage.folder}/elsewhere`, damaged.link);
      // One more of its index, and one whose bytes are what its name says.
      Deno.copyFileSync(fileOf(folder, 8), damaged.doubled.replace(/_[0-9a-f]{64}_/, `_${"0".repeat(64)}_`));
      Deno.removeSync(damaged.gone);

      const ended = await stage.import(layout, folder);
      assertExit(ended, 20);
      const findings = findingsOf(eventsOf(ended));
      assertEquals(findings.length, 5, findings.join("\n"));
      for (const file of [damaged.flipped, damaged.cut, damaged.empty, damaged.link, damaged.doubled]) {
        const name = file.slice(folder.length + 1);
        assertEquals(
          findings.filter((text) => text.includes(name)).length,
          1,
          `${name}: ${findings.join("\n")}`,
        );
      }
      const reasons = await reasonsOf(stage, layout);
      const flipped = { plain: "checksum", compressed: reasons[0], encrypted: "checksum" }[layout];
      assert(["checksum", "file"].includes(String(flipped)));
      assertEquals(
        [reasons[0], reasons[2], reasons[3], reasons[5]],
        [flipped, "length", "file", "doubled"],
      );
      assertEquals(reasons[1], layout === "plain" ? "length" : "file");
      // Nobody knows of what has no file whether there was one.
      assertEquals(reasons[14], "no_file");
      assertEquals(summaryOf(ended).storedBlocks, RANDOM.length - 5);
      assertEquals(summaryOf(ended).zeroBlocks, ZEROS.length - 1);
      const held = await stage.import(layout, folder);
      assertExit(held, 20);
      assertEquals(summaryOf(held).exhibit, summaryOf(ended).exhibit);
      const again = await stage.import(layout, folder, ["--fresh", "--max-unreadable", "4"]);
      assertRefusal(again, {
        exitCode: 20,
        names: ["5 blocks", "--max-unreadable"],
        hints: ["--max-unreadable"],
      });
    }
  });
});

outside(
  "import takes one of several files of a block with one SHA-256, and says so",
  IMAGER_NEEDS,
  async () => {
    await withFolders(async (stage) => {
      // As the tool's successor names them.
      const folder = await stage.makeFolder("plain", FILES, { indexDigits: 10 });
      const padded = fileOf(folder, "0000000008");
      const twin = `${folder}/8_${padded.split("/").at(-1)!.slice(11)}`;
      Deno.copyFileSync(padded, twin);
      // The first of two is damaged, the other one is not.
      const cut = fileOf(folder, "0000000005");
      Deno.copyFileSync(cut, `${folder}/5_${cut.split("/").at(-1)!.slice(11)}`);
      Deno.truncateSync(cut, 7);
      for (const _ of ["first", "again"]) {
        const ended = await stage.import("plain", folder);
        assertExit(ended, 20);
        assertEquals(summaryOf(ended).storedBlocks, RANDOM.length);
      }
      const findings = findingsOf(eventsOf(await stage.import("plain", folder, ["--fresh"])));
      assertEquals(findings.length, 2);
      assertStringIncludes(findings[1]!, "several files of one SHA-256");
      assertStringIncludes(findings[1]!, twin.slice(folder.length + 1));
    });
  },
);

outside("import leaves files of others out, and says so", IMAGER_NEEDS, async () => {
  await withFolders(async (stage) => {
    const folder = await stage.makeFolder("plain", FILES);
    const other = await stage.makeFolder("plain", [7], { snapshot: "snap-00000001" });
    const strays = [
      fileOf(other, 7).slice(other.length + 1),
      fileOf(folder, 8).slice(folder.length + 1).replace(/^8_/, "2048_"),
    ];
    for (const name of strays) Deno.copyFileSync(fileOf(folder, 8), `${folder}/${name}`);
    const noBlocks = [".DS_Store", "08_" + fileOf(folder, 8).split("/").at(-1)!.slice(2), "9_\u001b[31m"];
    for (const name of noBlocks) Deno.writeTextFileSync(`${folder}/${name}`, "x");
    const ended = await stage.import("plain", folder);
    assertExit(ended, 20);
    const findings = findingsOf(eventsOf(ended));
    for (const name of [...strays, ...noBlocks]) {
      assertEquals(findings.filter((text) => text.includes(name)).length, 1, name);
    }
    assert(!ended.stderr.includes("\u001b"), "a file's name reaches the terminal as it is");
    const { storedBlocks } = summaryOf(ended);
    assertEquals(storedBlocks, RANDOM.length);
    assertEquals((summaryOf(ended)["import"] as Record<string, unknown>)["otherBlockFiles"], 2);
    // What is not named as a block is no fault of the evidence.
    for (const name of strays) Deno.removeSync(`${folder}/${name}`);
    assertExit(await stage.import("plain", folder, ["--fresh"]), 3);
  });
});

outside("import refuses what it cannot tell, and writes no exhibit", IMAGER_NEEDS, async () => {
  await withFolders(async (stage) => {
    const folder = await stage.makeFolder("plain", FILES);
    const closed = await stage.makeFolder("encrypted", RANDOM);
    await stage.makeFolder("encrypted", [5], { into: "plain" });
    const refusals: [string[], Parameters<typeof assertRefusal>[1]][] = [
      [[`${stage.folder}/plain`], {
        exitCode: 2,
        names: ["2 folders"],
        hints: [folder, `${SNAPSHOT}_encrypted`],
      }],
      [[stage.folder], { exitCode: 10, names: ["holds none"] }],
      [[`${stage.folder}/none`], { exitCode: 10, names: ["not there"] }],
      [[`${stage.folder}/${SNAPSHOT}`], { exitCode: 10, names: ["not there"] }],
      [[stage.image], { exitCode: 10, names: ["no folder"] }],
      [[folder, ...stage.secrets("encrypted")], { exitCode: 2, names: ["not encrypted"], hints: ["Leave"] }],
      [[closed], { exitCode: 2, names: ["--password-file"], hints: ["one line"] }],
      [
        [closed, "--password-file", `${stage.folder}/salt`, "--salt-file", `${stage.folder}/salt`],
        { exitCode: 12, names: ["not opened by this password"], hints: ["nothing was imported"] },
      ],
      [
        [closed, "--password-file", `${stage.folder}/password`, "--salt-file", `${stage.folder}/password`],
        { exitCode: 12, names: ["not opened by this password"] },
      ],
    ];
    for (const [args, refusal] of refusals) assertRefusal(await stage.run(["import", ...args]), refusal);
    const name = fileOf(folder, 8).split("/").at(-1)!;
    Deno.copyFileSync(fileOf(folder, 8), `${folder}/${name.replace("_1_524288", "_2_524288")}`);
    assertRefusal(await stage.run(["import", folder]), {
      exitCode: 20,
      names: ["different volumes", "_2_524288"],
      hints: ["folder of their own"],
    });
    const empty = `${stage.folder}/empty/${SNAPSHOT}_compressed`;
    Deno.mkdirSync(empty, { recursive: true });
    Deno.copyFileSync(fileOf(folder, 5), `${empty}/${fileOf(folder, 5).split("/").at(-1)}`);
    assertRefusal(await stage.run(["import", empty]), {
      exitCode: 10,
      names: ["1 files, none of which"],
      hints: [".gz"],
    });
    assertEquals(Deno.lstatSync(folder).isDirectory, true);
    const isThere = [...Deno.readDirSync(stage.folder)].some(({ name }) => name === "store-0");
    assert(!isThere, "a refusal made a store");
  });
});

outside("import refuses a gzip bomb before it takes memory", IMAGER_NEEDS, async () => {
  await withFolders(async (stage) => {
    for (const layout of ["compressed", "encrypted"] as const) {
      const folder = await stage.makeFolder(layout, RANDOM, { bombs: [5] });
      const ended = await stage.import(layout, folder);
      assertExit(ended, 20);
      const [finding] = findingsOf(eventsOf(ended));
      assertStringIncludes(finding!, "decompresses to more than 524288 bytes");
      assertEquals((await reasonsOf(stage, layout))[5], "length");
    }
  });
});

outside("import that was killed or stopped goes on, to the same exhibit", IMAGER_NEEDS, async () => {
  await ImagerStage.with(async (stage) => {
    const blocks = Array.from({ length: 300 }, (_, at) => at * 5);
    stage.makeImage(blocks);
    const folder = await stage.makeFolder("encrypted", blocks);
    const args = ["import", folder, ...stage.secrets("encrypted")];
    const whole = await stage.run([...args, "--json"], "whole");
    assertExit(whole, 3);
    for (const signal of ["SIGINT", "SIGKILL"] as const) {
      const running = stage.start(args, signal);
      await running.says("no file ");
      if (signal === "SIGKILL") await packOf(stage.store(signal));
      running.kill(signal);
      const ended = await running.ended;
      assertExit(ended, signal === "SIGINT" ? 130 : 137);
      if (signal === "SIGINT") {
        assertRefusal(ended, { exitCode: 130, names: [SNAPSHOT], hints: ["same command"] });
      }
      const listed = await stage.run(["ls"], signal);
      assertStringIncludes(listed.stdout, "not finished: import goes on with it");
      const resumed = await stage.run([...args, "--json"], signal);
      assertExit(resumed, 3);
      assertStringIncludes(resumed.stderr, "RESUMING");
      assertEquals(summaryOf(resumed).imageDigest, summaryOf(whole).imageDigest);
      const info = summaryOf(await stage.run(["info", SNAPSHOT, "--json"], signal));
      assertEquals((info["acquisition"] as Record<string, unknown>)["sessions"], 2);
    }
  });
});

/** Resolves once a store has a pack. */
async function packOf(store: string): Promise<void> {
  Deno.mkdirSync(`${store}/packs`, { recursive: true });
  const names = (path: string) => [...Deno.readDirSync(path)];
  const hasPack = () =>
    names(`${store}/packs`).some(({ name }) =>
      names(`${store}/packs/${name}`).some((file) => file.name.endsWith(".pack"))
    );
  if (hasPack()) return;
  for await (const _ of Deno.watchFs(`${store}/packs`, { recursive: true })) if (hasPack()) return;
}

outside("import refuses to go on with a folder that changed", IMAGER_NEEDS, async () => {
  await withFolders(async (stage) => {
    const folder = await stage.makeFolder("plain", FILES);
    const cut = fileOf(folder, 0);
    Deno.truncateSync(cut, 4);
    const begun = await stage.import("plain", folder, ["--max-unreadable", "0"]);
    assertRefusal(begun, { exitCode: 20, names: ["1 blocks are damaged"], hints: ["better copy"] });
    const sound = fileOf(folder, 8);
    Deno.renameSync(sound, `${stage.folder}/kept`);
    assertRefusal(await stage.import("plain", folder), {
      exitCode: 14,
      names: ["listing changed"],
      hints: ["--fresh"],
    });
    Deno.renameSync(`${stage.folder}/kept`, sound);
    // A better copy of the damaged file came.
    await stage.makeFolder("plain", [0], { into: "better" });
    Deno.copyFileSync(fileOf(`${stage.folder}/better/${SNAPSHOT}`, 0), cut);
    const ended = await stage.import("plain", folder);
    assertExit(ended, 3);
    assertEquals(summaryOf(ended).storedBlocks, RANDOM.length);
    assertEquals((await reasonsOf(stage, "plain"))[0], undefined);
  });
});

outside("import into an encrypted store is opened by its recipient", IMAGER_NEEDS, async () => {
  await withFolders(async (stage) => {
    const identity = `${stage.folder}/identity`;
    assertExit(await coldcase(["keygen", "-o", identity]), 0);
    const recipient = /age1[0-9a-z]+/.exec(Deno.readTextFileSync(identity))![0];
    const folder = await stage.makeFolder("compressed", FILES);
    const args = ["import", folder, "-r", recipient];
    const ended = await stage.run([...args, "--json"]);
    assertExit(ended, 3);
    const again = await stage.run(args);
    assertExit(again, 0);
    assertStringIncludes(again.stderr, "encrypted and not opened");
    const info = await stage.run(["info", SNAPSHOT, "--json", "-i", identity]);
    assertEquals(eventOf(info, "summary")["imageDigest"], summaryOf(ended).imageDigest);
    const image = `${stage.folder}/out.img`;
    assertExit(await stage.run(["export", SNAPSHOT, "-o", image, "-i", identity, "--digests", "none"]), 3);
    assert(isSame(stage.image, image), "the export differs from the image");
    assert(BLOCK_BYTES * BLOCK_COUNT === Deno.statSync(image).size);
  });
});
