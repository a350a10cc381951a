/**
 * The life of two snapshots of one disk: acquired with kills at random moments, resumed, acquired incrementally,
 * verified, exported; each step held against an uninterrupted run, the images themselves and the endpoint's own
 * count of requests.
 */
import { assert, assertEquals, assertLessOrEqual } from "@std/assert";
import { Buffer } from "node:buffer";
import { FIRST, SECOND, type Stage, withStage } from "./endpoint.ts";
import { BLOCK_BYTES, isSame, pairs } from "./images.ts";
import { assertExit, eventOf, type ExhibitSummary, summaryOf, withSeed } from "./program.ts";

/** Blocks that a pack holds before it is closed, with room for the few of an image that can be compressed. */
const PACK_BLOCKS = 64 * 2 ** 20 / BLOCK_BYTES + 32;

/** Images of the two snapshots. */
export interface TwoImages {
  readonly first: string;
  readonly second: string;
}

/** What is done in which order; every step fails by itself. */
export async function liveThrough(
  make: (folder: string) => Promise<TwoImages>,
  check: (original: string, exported: string) => Promise<void>,
): Promise<void> {
  let images: TwoImages | undefined;
  const options = async (folder: string) => {
    images = await make(folder);
    return {
      snapshots: [
        { id: FIRST, path: images.first, volumeId: "vol-1" },
        { id: SECOND, path: images.second, volumeId: "vol-1" },
      ],
    };
  };
  await withStage(options, (stage) =>
    withSeed(async (below) => {
      const facts = compareImages(images!);
      await acquireWithKills(stage, facts.firstBlocks, below);
      await acquireIncrementally(stage, facts, below);
      assertExit(await stage.run(["verify"]), 0);
      for (const [snapshot, image] of [[FIRST, images!.first], [SECOND, images!.second]] as const) {
        const out = `${stage.folder}/${snapshot}.img`;
        const digests = snapshot === FIRST ? "none" : "sha256";
        assertExit(await stage.run(["export", snapshot, "-o", out, "--digests", digests]), 0);
        // Holes take long to read: those behind the image's end are looked at in one export.
        const isWhole = snapshot === FIRST ? isSame(image, out) : isSame(image, out, Infinity);
        assertEquals(Deno.statSync(out).size, 2 ** 30);
        assert(isWhole, `the export of ${snapshot} differs from the image`);
        if (snapshot === SECOND) await check(image, out);
        await Deno.remove(out);
      }
    }));
}

/** FIRST, interrupted three times, equals an uninterrupted run; no request was made for what was recorded. */
async function acquireWithKills(
  stage: Stage,
  blocks: number,
  below: (limit: number) => number,
): Promise<void> {
  const control = ["-s", `${stage.folder}/control`];
  const whole = await stage.run(["acquire", FIRST, "--json", ...control]);
  assertExit(whole, 0);
  assertEquals(stage.getRequests(), blocks);
  let remaining = blocks;
  for (const signal of ["SIGKILL", "SIGINT", "SIGKILL"] as const) {
    const answered = 1 + below(remaining - 2);
    // One block at a time: the one that waits in vain says that all before it were taken.
    const running = await stage.startHeldAfter(answered, ["acquire", FIRST, "--concurrency", "1"]);
    running.kill(signal);
    assertExit(await running.ended, signal === "SIGINT" ? 130 : 137);
    stage.release();
    const before = remaining;
    remaining = await remainingBlocks(stage, FIRST, blocks);
    const lost = remaining - (before - answered);
    if (signal === "SIGINT") assertEquals(lost, 0, `of ${answered} blocks`);
    assert(lost >= 0);
    assertLessOrEqual(lost, PACK_BLOCKS, "blocks lost with the open pack");
  }
  stage.getRequests();
  const resumed = await stage.run(["acquire", FIRST, "--json"]);
  assertExit(resumed, 0);
  assertEquals(stage.getRequests(), remaining, "nothing that was recorded is fetched again");
  assertEquals(summaryOf(resumed).imageDigest, summaryOf(whole).imageDigest);
  assertEquals(await manifestOf(stage, FIRST), await manifestOf(stage, FIRST, control));
  const again = await stage.run(["acquire", FIRST]);
  assertExit(again, 0);
  assertEquals(stage.getRequests(), 0, "complete, it does nothing");
}

/** SECOND builds on FIRST, killed once on the way, and is what a full acquisition in another store is. */
async function acquireIncrementally(
  stage: Stage,
  facts: ImageFacts,
  below: (limit: number) => number,
): Promise<void> {
  const running = await stage.startHeldAfter(below(facts.changedBlocks), [
    "acquire",
    SECOND,
    "--concurrency",
    "1",
  ]);
  running.kill("SIGINT");
  assertExit(await running.ended, 130);
  stage.release();
  assertExit(await stage.run(["acquire", SECOND]), 0);
  // The block that was held was asked for in vain.
  assertEquals(stage.getRequests(), facts.changedBlocks + 1);
  const control = ["-s", `${stage.folder}/control`];
  const full = await stage.run(["acquire", SECOND, "--parent", "none", "--json", ...control]);
  assertExit(full, 0);
  assertEquals(stage.getRequests(), facts.secondBlocks);
  const incremental = await exhibitOf(stage, SECOND);
  assertEquals(incremental.parent, (await exhibitOf(stage, FIRST)).exhibit);
  assertEquals(incremental.imageDigest, summaryOf(full).imageDigest);
  assertEquals(incremental.storedBlocks, facts.secondBlocks);
}

/** What is not recorded yet, by the program's own plan; with what it holds it adds up to all. */
export async function remainingBlocks(stage: Stage, snapshot: string, blocks: number): Promise<number> {
  const planned = await stage.run(["plan", snapshot, "--no-canary", "--json"]);
  assertExit(planned, 0);
  const { fetchBlocks, heldBlocks } = eventOf(planned, "plan");
  assertEquals(Number(fetchBlocks) + Number(heldBlocks), blocks);
  return Number(fetchBlocks);
}

export async function exhibitOf(
  stage: Stage,
  snapshot: string,
  options: readonly string[] = [],
): Promise<ExhibitSummary> {
  const ended = await stage.run(["info", snapshot, "--json", ...options]);
  assertExit(ended, 0);
  return summaryOf(ended);
}

/** The manifest without its record of how it was acquired. */
export async function manifestOf(
  stage: Stage,
  snapshot: string,
  options: readonly string[] = [],
): Promise<unknown> {
  const { manifestFile } = await exhibitOf(stage, snapshot, options);
  const { acquisition, ...rest } = JSON.parse(Deno.readTextFileSync(String(manifestFile)));
  assert(acquisition !== undefined);
  return rest;
}

interface ImageFacts {
  readonly firstBlocks: number;
  readonly secondBlocks: number;
  /** That the second has, other than in the first. */
  readonly changedBlocks: number;
}

/** Counts blocks that are not all zero, as the endpoint takes them for present. */
function compareImages({ first, second }: TwoImages): ImageFacts {
  const facts = { firstBlocks: 0, secondBlocks: 0, changedBlocks: 0 };
  const holes = new Uint8Array(BLOCK_BYTES);
  for (const [one, other] of pairs(first, second, BLOCK_BYTES)) {
    const isPresent = Buffer.compare(other, holes) !== 0;
    if (Buffer.compare(one, holes) !== 0) facts.firstBlocks++;
    if (isPresent) facts.secondBlocks++;
    if (isPresent && Buffer.compare(one, other) !== 0) facts.changedBlocks++;
  }
  assert(facts.changedBlocks > 0 && facts.changedBlocks < facts.secondBlocks);
  return facts;
}
