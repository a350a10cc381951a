/**
 * A bad service behind a real link: faults by seed over whole acquisitions, a snapshot that vanishes, blocks that
 * never come, a budget. Whatever happens, the image is exact or the program says where it is not.
 */
import { assert, assertEquals, assertGreater, assertMatch, assertStringIncludes } from "@std/assert";
import type { SimulatorOptions } from "../../src/simulate/mod.ts";
import { FIRST, SECOND, type Stage, withStage } from "./endpoint.ts";
import { BLOCK_BYTES, every, isSame, writeRandomBlocks } from "./images.ts";
import { assertExit, assertRefusal, eventsOf, summaryOf } from "./program.ts";
import { exhibitOf, remainingBlocks } from "./whole_run.ts";

const BLOCKS = 40;
/** Two blocks that the snapshot has. */
const [BAD, WORSE] = [31, 61];

function withSnapshot(options: SimulatorOptions, body: (stage: Stage) => Promise<void>): Promise<void> {
  return withStage(async (folder) => {
    await writeRandomBlocks(`${folder}/disk.img`, every(3, { from: 1, count: BLOCKS }));
    return { ...options, snapshots: [{ id: FIRST, path: `${folder}/disk.img`, volumeId: "vol-1" }] };
  }, body);
}

async function exportAndCompare(stage: Stage): Promise<void> {
  const image = `${stage.folder}/out.img`;
  assertExit(await stage.run(["export", FIRST, "-o", image, "--digests", "none"]), 0);
  assert(isSame(`${stage.folder}/disk.img`, image));
}

const TROUBLES =
  "error500:0.08,error503:0.04,refuse:0.04,reset:0.05,short:0.05,length@GetSnapshotBlock:0.04," +
  "checksum@GetSnapshotBlock:0.06,flip@GetSnapshotBlock:0.05,throttle:0.1,empty-page:0.2,short-page:0.2";

for (const seed of [11, 12]) {
  Deno.test(`acquire brings an exact image through faults of seed ${seed}`, async () => {
    await withSnapshot({ faults: TROUBLES, seed, pageLimit: 10 }, async (stage) => {
      const acquired = await stage.run(["acquire", FIRST, "--json"]);
      assertExit(acquired, 0);
      const { storedBlocks, unreadableBlocks } = summaryOf(acquired);
      assertEquals([storedBlocks, unreadableBlocks], [BLOCKS, 0]);
      assertGreater(stage.getRequests(), BLOCKS);
      assertExit(await stage.run(["verify"]), 0);
      await exportAndCompare(stage);
      stage.simulator.setFaults("");
      assertExit(await stage.run(["verify", "--against-source"]), 0);
    });
  });
}

Deno.test("acquire keeps what it has of a snapshot that vanishes, and --commit-partial makes an exhibit of it", async () => {
  await withSnapshot({ faults: "vanish:after=20" }, async (stage) => {
    const gone = await stage.run(["acquire", FIRST, "--concurrency", "1"]);
    assertRefusal(gone, { exitCode: 14, names: [FIRST], hints: ["saved", "--commit-partial"] });
    assertStringIncludes((await stage.run(["ls"])).stdout, "not finished");
    const partial = await stage.run(["acquire", FIRST, "--commit-partial", "--json"]);
    assertExit(partial, 3);
    const { isPartial, storedBlocks, unreadableBlocks, absentBlocks } = summaryOf(partial);
    assert(isPartial && storedBlocks > 0 && unreadableBlocks > 0);
    // What was never listed is not known to be absent.
    assertEquals([storedBlocks + unreadableBlocks, absentBlocks], [2048, 0]);
    assertExit(await stage.run(["verify"]), 0);
    const image = `${stage.folder}/out.img`;
    const exported = await stage.run(["export", FIRST, "-o", image]);
    assertExit(exported, 3);
    assertMatch(Deno.readTextFileSync(`${image}.log`), /PARTIAL/);
    const { ranges, totals } = JSON.parse(Deno.readTextFileSync(`${image}.map.json`));
    assertEquals(totals.unreadableBytes, unreadableBlocks * BLOCK_BYTES);
    for (const { offsetBytes, lengthBytes } of ranges) {
      assertZeros(image, offsetBytes, Math.min(lengthBytes, 4096));
    }
  });
});

Deno.test("acquire records a bad block with its place, and --retry-unreadable supersedes it", async () => {
  await withSnapshot({ faults: `bad-block:${BAD}=checksum` }, async (stage) => {
    const acquired = await stage.run(["acquire", FIRST, "--json"]);
    assertExit(acquired, 3);
    const incomplete = summaryOf(acquired);
    assertEquals([incomplete.unreadableBlocks, incomplete.isPartial], [1, false]);
    const place = `bytes ${BAD * BLOCK_BYTES} to ${(BAD + 1) * BLOCK_BYTES - 1}`;
    assertStringIncludes((await stage.run(["info", FIRST])).stdout, `unreadable  ${place}: checksum`);
    assertExit(await stage.run(["verify"]), 0);
    const image = `${stage.folder}/bad.img`;
    const exported = await stage.run(["export", FIRST, "-o", image]);
    assertExit(exported, 3);
    assertStringIncludes(exported.stderr, place);
    assertZeros(image, BAD * BLOCK_BYTES, BLOCK_BYTES);

    const held = await stage.run(["acquire", FIRST]);
    assertExit(held, 3);
    assertStringIncludes(held.stderr, "--retry-unreadable");
    stage.simulator.setFaults("");
    stage.getRequests();
    const retried = await stage.run(["acquire", FIRST, "--retry-unreadable", "--json"]);
    assertExit(retried, 0);
    assertEquals(stage.getRequests(), 1, "only the unreadable block is asked for");
    assertEquals(summaryOf(retried).supersedes, incomplete.exhibit);
    assertEquals((await exhibitOf(stage, FIRST)).unreadableBlocks, 0);
    await exportAndCompare(stage);
  });
});

Deno.test("acquire commits nothing by itself beyond --max-unreadable", async () => {
  await withSnapshot({ faults: `bad-block:${BAD}=flip,bad-block:${WORSE}=length` }, async (stage) => {
    const ended = await stage.run(["acquire", FIRST, "--max-unreadable", "1", "--json"]);
    const hints = ["--max-unreadable", "--retry-unreadable", "--commit-partial"];
    assertRefusal(ended, { exitCode: 14, names: [FIRST, "2 blocks are unreadable"], hints });
    assertEquals(eventsOf(ended).filter((event) => event.type === "summary"), []);
    assertExit(await stage.run(["acquire", FIRST, "--max-unreadable", "2"]), 3);
  });
});

Deno.test("acquire stops at its budget, saved, and goes on with more", async () => {
  await withSnapshot({}, async (stage) => {
    const before = await stage.run(["acquire", FIRST, "--budget", "0.0005"]);
    assertRefusal(before, { exitCode: 4, names: ["budget"], hints: ["--budget"] });
    assertEquals(stage.getRequests(), 0, "known before the first block");
    // Enough for all blocks once, but every second one has to be fetched again.
    stage.fault = (index, attempt) => index % 2 === 1 && attempt === 0 ? "flip" : undefined;
    const price = 0.0021;
    const midway = await stage.run(["acquire", FIRST, "--budget", String(price), "--concurrency", "1"]);
    assertRefusal(midway, { exitCode: 4, names: ["budget"], hints: ["what was recorded is kept"] });
    const asked = stage.getRequests();
    assert(asked > 0 && asked <= 1.5 * BLOCKS, `${asked} requests`);
    const remaining = await remainingBlocks(stage, FIRST, BLOCKS);
    assert(remaining > 0 && remaining < BLOCKS, `${remaining} remain`);
    assertExit(await stage.run(["acquire", FIRST, "--budget", "1"]), 0);
    assertGreater(stage.getRequests(), remaining - 1);
    await exportAndCompare(stage);
  });
});

Deno.test("acquire of several snapshots goes on past one that is not there", async () => {
  await withSnapshot({}, async (stage) => {
    const ended = await stage.run(["acquire", SECOND, FIRST, "--json"]);
    assertExit(ended, 10);
    assertEquals(summaryOf(ended).snapshot, FIRST);
    assertEquals(summaryOf(ended).storedBlocks, BLOCKS);
  });
});

function assertZeros(image: string, offset: number, length: number): void {
  const file = Deno.openSync(image);
  try {
    file.seekSync(offset, Deno.SeekMode.Start);
    const bytes = new Uint8Array(length);
    for (let done = 0; done < length;) done += file.readSync(bytes.subarray(done)) ?? length;
    assert(bytes.every((byte) => byte === 0), `bytes ${offset} to ${offset + length - 1}`);
  } finally {
    file.close();
  }
}
