/** An exhibit compared with the service: what differs, what proves nothing, and what it costs. */
import { assertEquals, assertRejects } from "@std/assert";
import {
  compareWithSource,
  comparisonRequests,
  type SourceComparison,
  Spending,
} from "../../src/acquisition/mod.ts";
import { OperatorError } from "../../src/errors.ts";
import { EXAMPLE_PRICES } from "../../src/plan.ts";
import type { Exhibit } from "../../src/store/mod.ts";
import { failing, FakeSource, FIRST, MIB_BLOCKS, type Table } from "./fake_source.ts";
import { acquire, ascending, withStore } from "./runs.ts";

const BLOCKS: Table = { 0: 11, 1: 0, 2: 12, 5: 11, 6: 0, 90: 13, 1023: 16 };

interface Compared extends SourceComparison {
  readonly found: readonly (readonly [number, string])[];
}

async function compare(exhibit: Exhibit, source: FakeSource, budgetUsd?: number): Promise<Compared> {
  const found: [number, string][] = [];
  source.fetched.length = 0;
  const result = await compareWithSource({
    source,
    exhibit,
    spending: new Spending({ source, prices: EXAMPLE_PRICES, isInRegion: false, budgetUsd }),
    signal: new AbortController().signal,
    onDifference: ({ blockIndex, message }) => found.push([blockIndex, message]),
  });
  return { ...result, found };
}

/** An exhibit of `BLOCKS` and the source that it is from, blocks of `unreadable` not read. */
async function withExhibit(
  body: (exhibit: Exhibit, source: FakeSource) => Promise<void>,
  unreadable: readonly number[] = [],
): Promise<void> {
  await withStore(async (store) => {
    const source = new FakeSource({ [FIRST]: { blocks: BLOCKS } });
    for (const index of unreadable) source.unreadable.set(index, failing("HTTP 500"));
    const { exhibit } = await acquire(store, source, FIRST);
    source.unreadable.clear();
    await body(exhibit, source);
  });
}

Deno.test("compareWithSource() finds an exhibit equal to its snapshot, at the cost that was said", async () => {
  await withExhibit(async (exhibit, source) => {
    assertEquals(await compare(exhibit, source), {
      comparedBlocks: 7,
      differences: 0,
      unprovedBlocks: 0,
      found: [],
    });
    assertEquals(ascending(source.fetched), Object.keys(BLOCKS).map(Number));
    assertEquals(comparisonRequests(exhibit), {
      listRequests: 1,
      getRequests: source.fetched.length,
      receivedBytes: 7 * MIB_BLOCKS,
    });
  });
});

Deno.test("compareWithSource() tells of blocks that differ and of those that one side does not have", async () => {
  await withExhibit(async (exhibit, source) => {
    const { 5: _, 6: __, ...rest } = BLOCKS;
    source.snapshots.set(FIRST, { blocks: { ...rest, 1: 77, 2: 0, 7: 0, 8: 78 } });
    const { found, ...counts } = await compare(exhibit, source);
    assertEquals(ascending(found.map(([index]) => index)), [1, 2, 5, 6, 7, 8]);
    assertEquals(counts, { comparedBlocks: 5, differences: 6, unprovedBlocks: 0 });
    const said = new Map(found);
    assertEquals(said.get(5), "the exhibit holds it as stored, the service does not list it");
    assertEquals(said.get(6), "the exhibit holds it as zero, the service does not list it");
    assertEquals(said.get(7), "the service lists it, the exhibit has it as absent");
    assertEquals(said.get(1)?.startsWith("the exhibit holds zeros, the service now serves "), true);
    // Blocks that the exhibit has as absent are not read: that they are listed is the difference.
    assertEquals(ascending(source.fetched), [0, 1, 2, 90, 1023]);
  });
});

Deno.test("compareWithSource() counts what is unreadable on either side as proving nothing", async () => {
  await withExhibit(async (exhibit, source) => {
    source.unreadable.set(90, failing("HTTP 500"));
    const { 5: _, ...rest } = BLOCKS;
    source.snapshots.set(FIRST, { blocks: rest });
    const { found, differences, unprovedBlocks } = await compare(exhibit, source);
    assertEquals([found, differences, unprovedBlocks], [[], 0, 3]);
    assertEquals(ascending(source.fetched), [0, 1, 6, 90, 1023]);
  }, [2, 5]);
});

Deno.test("compareWithSource() tells once of another volume, and reads none of it", async () => {
  await withExhibit(async (exhibit, source) => {
    source.pageBlocks = 2;
    source.snapshots.set(FIRST, { blocks: BLOCKS, volumeSizeGib: 2 });
    const { found, differences } = await compare(exhibit, source);
    assertEquals([found, differences], [[[0, "the service says 2048 blocks of 1048576 bytes"]], 1]);
    assertEquals(source.fetched, []);
  });
});

Deno.test("compareWithSource() stops before it costs more than the budget", async () => {
  await withExhibit(async (exhibit, source) => {
    source.maxConcurrency = 1;
    const { listRequests, getRequests, receivedBytes } = source.counts();
    const spending = new Spending({
      source,
      prices: EXAMPLE_PRICES,
      isInRegion: false,
      budgetUsd: undefined,
    });
    const more = { listRequests: 2, getRequests: 3, receivedBytes: 3 * MIB_BLOCKS };
    const budget = spending.costOf({
      listRequests: listRequests + more.listRequests,
      getRequests: getRequests + more.getRequests,
      receivedBytes: receivedBytes + more.receivedBytes,
    });
    const error = await assertRejects(() => compare(exhibit, source, budget.totalUsd), OperatorError);
    assertEquals([error.code, source.fetched], ["budget", [0, 1, 2]]);
  });
});

Deno.test("comparisonRequests() counts a list call for an exhibit without blocks too", async () => {
  await withStore(async (store) => {
    const { exhibit } = await acquire(store, new FakeSource({ [FIRST]: { blocks: {} } }), FIRST);
    assertEquals(comparisonRequests(exhibit), { listRequests: 1, getRequests: 0, receivedBytes: 0 });
  });
});
