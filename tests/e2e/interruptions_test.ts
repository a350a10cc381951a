/**
 * The program stopped from outside, at facts that the endpoint sees: polite signals save and end in two
 * seconds, a second one ends at once, and SIGKILL loses an open pack at most, in acquire, copy and export.
 */
import { assert, assertEquals, assertLess, assertMatch, assertStringIncludes } from "@std/assert";
import { FIRST, type Stage, withStage } from "./endpoint.ts";
import { BLOCK_BYTES, every, isSame, writeBlocks, writeRandomBlocks } from "./images.ts";
import { assertExit, assertRefusal, eventsOf } from "./program.ts";
import { exhibitOf, manifestOf, remainingBlocks } from "./whole_run.ts";

const BLOCKS = 40;

async function oneSnapshot(folder: string) {
  await writeRandomBlocks(`${folder}/disk.img`, every(3, { from: 1, count: BLOCKS }));
  return { snapshots: [{ id: FIRST, path: `${folder}/disk.img`, volumeId: "vol-1" }] };
}

for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
  Deno.test(`acquire saves on ${signal} within two seconds, and goes on without asking again`, async () => {
    await withStage(oneSnapshot, async (stage) => {
      const running = await stage.startHeldAfter(15, ["acquire", FIRST, "--concurrency", "1"]);
      const startMs = performance.now();
      running.kill(signal);
      const ended = await running.ended;
      assertLess(performance.now() - startMs, 2000);
      const name = signal === "SIGINT" ? "Ctrl-C" : signal;
      assertRefusal(ended, { exitCode: 130, names: [], hints: ["run the same command again"] });
      assertStringIncludes(ended.stderr, name);
      stage.release();
      assertEquals(await remainingBlocks(stage, FIRST, BLOCKS), BLOCKS - 15);
      stage.getRequests();
      const resumed = await stage.run(["acquire", FIRST]);
      assertExit(resumed, 0);
      assertStringIncludes(resumed.stderr, "RESUMING");
      assertEquals(stage.getRequests(), BLOCKS - 15);
    });
  });
}

Deno.test("acquire saves on Ctrl-C while many blocks are under way", async () => {
  await withStage(oneSnapshot, async (stage) => {
    const running = await stage.startHeldAfter(15, ["acquire", FIRST, "--json"]);
    running.kill("SIGINT");
    const ended = await running.ended;
    assertExit(ended, 130);
    const errors = eventsOf(ended).filter((event) => event.type === "error");
    assertEquals(errors.map((event) => event["code"]), ["interrupted"]);
    stage.release();
    const remaining = await remainingBlocks(stage, FIRST, BLOCKS);
    assert(remaining >= BLOCKS - 15 && remaining < BLOCKS, `${remaining} remain`);
    stage.getRequests();
    assertExit(await stage.run(["acquire", FIRST]), 0);
    assertEquals(stage.getRequests(), remaining);
  });
});

Deno.test("acquire ends at once on a second Ctrl-C, and what was recorded stays", async () => {
  await withStage(oneSnapshot, async (stage) => {
    const running = await stage.startHeldAfter(10, ["acquire", FIRST, "--concurrency", "1"]);
    running.kill("SIGINT");
    running.kill("SIGINT");
    // Both may be seen as one: the end is the same, or the first one's.
    assertExit(await running.ended, 130);
    stage.release();
    assertExit(await stage.run(["acquire", FIRST]), 0);
    assertExit(await stage.run(["verify"]), 0);
  });
});

Deno.test("acquire goes on in a store that was moved after a kill", async () => {
  await withStage(oneSnapshot, async (stage) => {
    const control = ["-s", `${stage.folder}/control`];
    assertExit(await stage.run(["acquire", FIRST, ...control]), 0);
    const running = await stage.startHeldAfter(20, ["acquire", FIRST, "--concurrency", "1"]);
    running.kill("SIGINT");
    assertExit(await running.ended, 130);
    stage.release();
    const moved = `${stage.folder}/elsewhere/on another disk`;
    await Deno.mkdir(`${stage.folder}/elsewhere`);
    await Deno.rename(stage.store, moved);
    stage.getRequests();
    const resumed = await stage.run(["acquire", FIRST, "-s", "elsewhere/on another disk"], {
      cwd: stage.folder,
    });
    assertExit(resumed, 0);
    assertStringIncludes(resumed.stderr, `store ${moved} `);
    assertEquals(stage.getRequests(), BLOCKS - 20);
    assertEquals(await manifestOf(stage, FIRST, ["-s", moved]), await manifestOf(stage, FIRST, control));
  });
});

Deno.test("acquire of several snapshots goes on with the one that was interrupted", async () => {
  const second = "snap-00000002";
  await withStage(async (folder) => {
    const first = await oneSnapshot(folder);
    await writeRandomBlocks(`${folder}/other.img`, every(2, { from: 0, count: 10 }));
    return { snapshots: [...first.snapshots, { id: second, path: `${folder}/other.img` }] };
  }, async (stage) => {
    const args = ["acquire", FIRST, second, "--concurrency", "1"];
    const running = await stage.startHeldAfter(BLOCKS + 4, args);
    running.kill("SIGTERM");
    assertExit(await running.ended, 130);
    stage.release();
    stage.getRequests();
    const resumed = await stage.run(args);
    assertExit(resumed, 0);
    assertEquals(stage.getRequests(), 6);
    assertMatch(resumed.stderr, /snap-00000001: held already/);
    assertEquals((await exhibitOf(stage, second)).storedBlocks, 10);
  });
});

/** Kills what `args` start with SIGKILL as soon as there is a file of such a path, which is in the middle of it. */
async function killWhenThere(stage: Stage, isIt: (path: string) => boolean, args: readonly string[]) {
  const folder = `${stage.folder}/target`;
  await Deno.mkdir(folder, { recursive: true });
  const watcher = Deno.watchFs(folder, { recursive: true });
  const running = stage.start(args);
  for await (const event of watcher) if (event.paths.some(isIt)) break;
  running.kill("SIGKILL");
  return await running.ended;
}

Deno.test("copy goes on after a kill, and the copy is the same exhibit", async () => {
  await withStage(oneSnapshot, async (stage) => {
    assertExit(await stage.run(["acquire", FIRST]), 0);
    const args = ["copy", FIRST, "--to", `${stage.folder}/target/store`];
    const killed = await killWhenThere(stage, (path) => /\/target\/store\/(tmp|packs)\/./.test(path), args);
    assertExit(killed, 137);
    assertExit(await stage.run(args), 0);
    const copied = ["-s", `${stage.folder}/target/store`];
    assertExit(await stage.run(["verify", ...copied]), 0);
    assertEquals(await manifestOf(stage, FIRST, copied), await manifestOf(stage, FIRST));
    assertStringIncludes((await stage.run(args)).stdout, "0 B written");
  });
});

Deno.test("export goes on after a kill, and equals the image", async () => {
  await withStage(async (folder) => {
    // 320 MiB, so that it is made durable on the way; easily compressed, so that this does not take long.
    await writeBlocks(`${folder}/disk.img`, every(1, { from: 3, count: 640 }), {
      bytesOf: (index) => new Uint8Array(BLOCK_BYTES).fill(1 + index % 255),
    });
    return { snapshots: [{ id: FIRST, path: `${folder}/disk.img` }] };
  }, async (stage) => {
    assertExit(await stage.run(["acquire", FIRST]), 0);
    const image = `${stage.folder}/target/out.img`;
    const args = ["export", FIRST, "-o", image];
    const killed = await killWhenThere(stage, () => durableBytes(`${image}.partial.json`) > 0, args);
    assertExit(killed, 137);
    assert(!exists(image) && exists(`${image}.partial`), "nothing lies under the final name");
    assertExit(await stage.run(args), 0);
    assert(isSame(`${stage.folder}/disk.img`, image));
    assertMatch(Deno.readTextFileSync(`${image}.log`), /Sessions +2/);
    assert(!exists(`${image}.partial`));
    assertExit(await stage.run(["verify", FIRST, "--read-back", image]), 0);
  });
});

/** What an unfinished image's checkpoint says; 0 where there is none yet. */
function durableBytes(checkpoint: string): number {
  return exists(checkpoint) ? Number(JSON.parse(Deno.readTextFileSync(checkpoint)).durableBytes) : 0;
}

function exists(path: string): boolean {
  try {
    Deno.lstatSync(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}
