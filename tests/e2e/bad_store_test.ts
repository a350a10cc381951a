/**
 * What the program says where the store or the target of an export is not as it should be. Exit code, message and
 * hint; and the thing that was refused is as it was before.
 */
import { assert, assertEquals, assertMatch, assertNotEquals, assertStringIncludes } from "@std/assert";
import { run } from "../image/tools.ts";
import { FIRST, SECOND, type Stage, withStage } from "./endpoint.ts";
import { every, isSame, writeRandomBlocks } from "./images.ts";
import { assertExit, assertRefusal } from "./program.ts";
import { exhibitOf } from "./whole_run.ts";

function withSnapshots(body: (stage: Stage) => Promise<void>): Promise<void> {
  return withStage(async (folder) => {
    await writeRandomBlocks(`${folder}/disk.img`, every(2, { from: 0, count: 12 }));
    await writeRandomBlocks(`${folder}/next.img`, [4, 30], `${folder}/disk.img`);
    return {
      snapshots: [
        { id: FIRST, path: `${folder}/disk.img`, volumeId: "vol-1" },
        { id: SECOND, path: `${folder}/next.img`, volumeId: "vol-1" },
      ],
    };
  }, body);
}

async function treeOf(folder: string): Promise<string> {
  return await run("bash", ["-c", 'find "$1" -type f | sort | xargs sha256sum', "bash", folder]);
}

Deno.test("every reading command names a store that is missing, and makes none", async () => {
  await withSnapshots(async (stage) => {
    const commands = [["ls"], ["info", FIRST], ["verify"], ["export", FIRST, "-o", `${stage.folder}/x`]];
    for (const command of [...commands, ["copy", FIRST, "--to", `${stage.folder}/copy`]]) {
      const hints = ["--store", "COLDCASE_STORE"];
      assertRefusal(await stage.run(command), { exitCode: 10, names: [stage.store], hints });
    }
    assertEquals([...Deno.readDirSync(stage.folder)].length, 2);
    assertExit(await stage.run(["acquire", FIRST]), 0);
    for (const command of commands.slice(1).filter((words) => words[0] !== "verify")) {
      const words = command.map((word) => word === FIRST ? SECOND : word);
      assertRefusal(await stage.run(words), { exitCode: 10, names: [SECOND], hints: ["coldcase ls"] });
    }
  });
});

Deno.test("acquire refuses a store that another process writes to; reading goes on", async () => {
  await withSnapshots(async (stage) => {
    const running = await stage.startHeldAfter(4, ["acquire", FIRST]);
    const hints = ["Wait for it to end"];
    assertRefusal(await stage.run(["acquire", SECOND]), { exitCode: 11, names: [stage.store], hints });
    const listed = await stage.run(["ls"]);
    assertExit(listed, 0);
    assertStringIncludes(listed.stdout, "not finished");
    assertExit(await stage.run(["plan", FIRST, "--no-canary"]), 0);
    running.kill("SIGKILL");
    assertExit(await running.ended, 137);
    stage.release();
    assertExit(await stage.run(["acquire", FIRST]), 0);
  });
});

Deno.test("acquire refuses a folder that is no store of this version, this tool or this case", async () => {
  await withSnapshots(async (stage) => {
    const foreign = `${stage.folder}/foreign`;
    Deno.mkdirSync(foreign);
    Deno.writeTextFileSync(`${foreign}/thesis.txt`, "mine");
    assertRefusal(await stage.run(["acquire", FIRST, "-s", foreign]), {
      exitCode: 2,
      names: [foreign],
      hints: ["empty"],
    });
    assertEquals([...Deno.readDirSync(foreign)].map(({ name }) => name), ["thesis.txt"]);
    const file = `${foreign}/thesis.txt`;
    assertRefusal(await stage.run(["acquire", FIRST, "-s", file]), { exitCode: 2, names: [file] });

    assertExit(await stage.run(["acquire", FIRST, "--case", "2026-114"]), 0);
    assertRefusal(await stage.run(["acquire", SECOND, "--case", "2026-115"]), {
      exitCode: 2,
      names: ["2026-115", "2026-114"],
      hints: ["--mixed-cases"],
    });
    const before = await treeOf(stage.store);
    const storeFile = `${stage.store}/store.json`;
    const original = Deno.readTextFileSync(storeFile);
    const changes: [string, RegExp][] = [
      [original.replace('"readVersion":1', '"readVersion":7'), /version 7/],
      [original.replace('"features":[]', '"features":["holograms"]'), /holograms/],
      [original.replace('"coldcase-store"', '"restic-repository"'), /type/],
      ["not JSON at all", /store\.json/],
      ["", /store\.json/],
    ];
    for (const [text, named] of changes) {
      Deno.writeTextFileSync(storeFile, text);
      for (const command of [["acquire", SECOND], ["ls"], ["verify"], ["info", FIRST]]) {
        const ended = await stage.run(command);
        assertRefusal(ended, { exitCode: 21, names: ["store.json"] });
        assertMatch(ended.stderr, named);
      }
    }
    // Whole but for its digest: an edit by hand, or one flipped bit.
    for (
      const text of [
        original.replace("2026-114", "2026-115"),
        original.replace('"mixedCases":false', '"mixedCases":true'),
      ]
    ) {
      assertNotEquals(text, original);
      Deno.writeTextFileSync(storeFile, text);
      for (const command of [["acquire", SECOND], ["ls"], ["verify"], ["info", FIRST]]) {
        assertRefusal(await stage.run(command), { exitCode: 20, names: ["store.json", "digest"] });
      }
    }
    Deno.writeTextFileSync(storeFile, original);
    assertEquals(await treeOf(stage.store), before);
    assertEquals((await exhibitOf(stage, FIRST))["case"], "2026-114");
  });
});

Deno.test("acquire refuses to resume with another Region, endpoint or parent, and names the difference", async () => {
  await withSnapshots(async (stage) => {
    assertExit(await stage.run(["acquire", FIRST, "--evidence", "E-1"]), 0);
    const running = await stage.startHeldAfter(1, ["acquire", SECOND, "--concurrency", "1"]);
    running.kill("SIGINT");
    assertExit(await running.ended, 130);
    stage.release();
    const { exhibit } = await exhibitOf(stage, FIRST);
    const others = [
      [["--region", "eu-west-3"], ["Region", "us-east-1", "eu-west-3"]],
      [["--region", "eu-west-3", "--commit-partial"], ["Region", "us-east-1", "eu-west-3"]],
      [["--parent", "none"], ["parent", exhibit, "none"]],
      [["--endpoint-url", stage.simulator.url.replace("127.0.0.1", "localhost")], ["endpoint", "localhost"]],
    ] as const;
    for (const [options, names] of others) {
      const ended = await stage.run(["acquire", SECOND, ...options]);
      assertRefusal(ended, { exitCode: 2, names: [SECOND, ...names], hints: ["--fresh"] });
    }
    // The same parent by another name is no difference.
    assertExit(await stage.run(["acquire", SECOND, "--parent", "E-1"]), 0);
    assertEquals((await exhibitOf(stage, SECOND)).parent, exhibit);
  });
});

Deno.test("verify and export name damage with file and place, exit 20", async () => {
  await withSnapshots(async (stage) => {
    assertExit(await stage.run(["acquire", FIRST, "--workers", "1"]), 0);
    const pack = (await run("find", [`${stage.store}/packs`, "-type", "f"])).trim();
    const file = Deno.openSync(pack, { read: true, write: true });
    file.seekSync(600_000, Deno.SeekMode.Start);
    file.writeSync(new Uint8Array(64).fill(0x5a));
    file.close();
    const verified = await stage.run(["verify", "--json"]);
    assertRefusal(verified, { exitCode: 20, names: [pack.split("/").at(-1)!] });
    assertMatch(verified.stdout, /"firstBlock":\d+/);
    const out = `${stage.folder}/out.img`;
    assertExit(await stage.run(["export", FIRST, "-o", out]), 20);
    assert(![...Deno.readDirSync(stage.folder)].some(({ name }) => name === "out.img"));
    assertExit(await stage.run(["copy", FIRST, "--to", `${stage.folder}/copy`]), 20);
  });
});

Deno.test("export refuses a target that is there, is a folder or has no folder", async () => {
  await withSnapshots(async (stage) => {
    assertExit(await stage.run(["acquire", FIRST]), 0);
    const out = `${stage.folder}/out.img`;
    Deno.writeTextFileSync(out, "an older image");
    assertRefusal(await stage.run(["export", FIRST, "-o", out]), {
      exitCode: 2,
      names: [out],
      hints: ["--overwrite"],
    });
    assertEquals(Deno.readTextFileSync(out), "an older image");
    for (const extra of [[], ["--overwrite"]]) {
      assertRefusal(await stage.run(["export", FIRST, "-o", stage.folder, ...extra]), {
        exitCode: 2,
        names: [stage.folder],
      });
    }
    const nowhere = `${stage.folder}/no/such/folder/out.img`;
    assertRefusal(await stage.run(["export", FIRST, "-o", nowhere]), { exitCode: 2, names: [nowhere] });
    assertRefusal(await stage.run(["export", FIRST]), { exitCode: 2, names: [], hints: ["-o"] });
    assertExit(await stage.run(["export", FIRST, "-o", out, "--overwrite", "--digests", "none"]), 0);
    assert(isSame(`${stage.folder}/disk.img`, out));
  });
});

Deno.test("export to stdout gives the image alone, and ends quietly where its reader has enough", async () => {
  await withSnapshots(async (stage) => {
    assertExit(await stage.run(["acquire", FIRST]), 0);
    const program = `"${Deno.execPath()}" run --no-prompt --allow-all "${
      new URL("../../main.ts", import.meta.url).pathname
    }"`;
    const shell = (line: string) =>
      new Deno.Command("bash", {
        args: ["-c", `set -o pipefail; coldcase() { ${program} "$@"; }; ${line}`],
        env: { COLDCASE_STORE: stage.store },
      }).output();
    const whole = await shell(`coldcase export ${FIRST} -o - > "${stage.folder}/piped.img"`);
    assertEquals(whole.code, 0);
    assertMatch(new TextDecoder().decode(whole.stderr), /SHA-256 [0-9a-f]{64}/);
    assert(isSame(`${stage.folder}/disk.img`, `${stage.folder}/piped.img`));
    assertEquals(Deno.statSync(`${stage.folder}/piped.img`).size, 2 ** 30);
    const closed = await shell(`coldcase export ${FIRST} -o - | head -c 1000 | wc -c`);
    assertEquals([closed.code, new TextDecoder().decode(closed.stdout).trim()], [0, "1000"]);
    assertMatch(new TextDecoder().decode(closed.stderr), /no digest was computed/);
  });
});
