/**
 * Snapshots by formula: the largest volume is listed page by page from anywhere, and versions of a series differ
 * exactly where their bytes do.
 */
import { assert, assertEquals, assertGreater, assertLess } from "@std/assert";
import { SyntheticContents, type SyntheticFormula } from "../../src/simulate/synthetic.ts";
import { startSimulator } from "../../src/simulate/mod.ts";
import { KEYS, LATER, page, pages, SNAPSHOT } from "./fixtures.ts";

const TIB_64 = 65_536;
const LAST = 2 ** 27 - 1;

Deno.test("startSimulator() lists the end of 64 TiB without walking there", async () => {
  const simulator = await startSimulator({
    credentials: [KEYS],
    snapshots: [{ id: SNAPSHOT, synthetic: { seed: 1, volumeSizeGib: TIB_64 } }],
  });
  try {
    const path = `/snapshots/${SNAPSHOT}/blocks`;
    const { Blocks, VolumeSize, NextToken } = await page(simulator, path, {
      startingBlockIndex: String(LAST - 1),
    });
    assertEquals(Blocks!.map(({ BlockIndex }) => BlockIndex), [LAST - 1, LAST]);
    assertEquals([VolumeSize, NextToken], [TIB_64, undefined]);
    const full = await page(simulator, path, { startingBlockIndex: String(2 ** 26), maxResults: "10000" });
    assertEquals(full.Blocks!.length, 10_000);
  } finally {
    await simulator.close();
  }
});

Deno.test("startSimulator() lists a nearly empty 64 TiB in few requests", async () => {
  const every = 2 ** 22;
  const simulator = await startSimulator({
    credentials: [KEYS],
    snapshots: [{ id: SNAPSHOT, synthetic: { seed: 1, volumeSizeGib: TIB_64, every } }],
  });
  try {
    const all = await pages(simulator, `/snapshots/${SNAPSHOT}/blocks`, { maxResults: "10000" });
    const indexes = all.flatMap(({ Blocks }) => Blocks!.map(({ BlockIndex }) => BlockIndex));
    assertEquals(indexes, Array.from({ length: 2 ** 27 / every }, (_, position) => position * every));
    assertLess(all.length, 40);
  } finally {
    await simulator.close();
  }
});

Deno.test("SyntheticContents.next() finds what has() knows, read() repeats itself", () => {
  const seed = Math.floor(Math.random() * 2 ** 31);
  const formula: SyntheticFormula = {
    seed,
    volumeSizeGib: 1,
    version: 3,
    every: 3,
    density: 0.4,
    changeRate: 0.2,
    removedShare: 0.3,
    zeroShare: 0.1,
  };
  const contents = new SyntheticContents(formula, 512);
  const present = Array.from({ length: 5000 }, (_, index) => index).filter((index) => contents.has(index));
  const walked = [];
  for (let index = contents.next(0, 5000); index < 5000; index = contents.next(index + 1, 5000)) {
    walked.push(index);
  }
  assertEquals(walked, present, `seed ${seed}`);
  assert(present.every((index) => index % 3 === 0), `seed ${seed}`);
  for (const index of present) {
    assertEquals(contents.read(index), new SyntheticContents(formula, 512).read(index));
  }
});

Deno.test("SyntheticContents.differs() says what the bytes say, at the formula's rate", () => {
  const seed = Math.floor(Math.random() * 2 ** 31);
  const version = (number: number) =>
    new SyntheticContents(
      { seed, volumeSizeGib: 1, version: number, changeRate: 0.1, removedShare: 0.2 },
      512,
    );
  const [first, later] = [version(1), version(2)];
  let changed = 0;
  for (let index = 0; index < 4000; index++) {
    if (!first.has(index) || !later.has(index)) {
      changed += first.has(index) === later.has(index) ? 0 : 1;
      continue;
    }
    const differs = later.differs(index, first)!;
    assertEquals(
      differs,
      first.read(index).join() !== later.read(index).join(),
      `seed ${seed} block ${index}`,
    );
    if (differs) changed++;
  }
  assertGreater(changed, 4000 * 0.07, `seed ${seed}`);
  assertLess(changed, 4000 * 0.13, `seed ${seed}`);
});

Deno.test("SyntheticContents.read() repeats a pattern where asked, and fills the block otherwise", () => {
  const read = (bytes: "random" | "pattern") =>
    new SyntheticContents({ seed: 4, volumeSizeGib: 1, bytes }, 4096).read(7);
  const pattern = read("pattern");
  assertEquals(pattern.subarray(0, 4032), pattern.subarray(64));
  assertGreater(new Set(read("random")).size, 200);
});

Deno.test("ListChangedBlocks compares two versions of a series at full size", async () => {
  const synthetic = { seed: 9, volumeSizeGib: TIB_64, every: 2 ** 16, changeRate: 0.1 };
  const simulator = await startSimulator({
    credentials: [KEYS],
    quotas: "none",
    snapshots: [
      { id: SNAPSHOT, volumeId: "vol-0a", synthetic },
      { id: LATER, volumeId: "vol-0a", synthetic: { ...synthetic, version: 1 } },
    ],
  });
  try {
    const all = await pages(simulator, `/snapshots/${LATER}/changedblocks`, { firstSnapshotId: SNAPSHOT });
    const changed = all.flatMap(({ ChangedBlocks }) => ChangedBlocks!);
    assertGreater(changed.length, 2048 * 0.06);
    assertLess(changed.length, 2048 * 0.14);
    assert(
      changed.every((block) => block.FirstBlockToken !== undefined && block.SecondBlockToken !== undefined),
    );
  } finally {
    await simulator.close();
  }
});
