/** Lost blocks read again: only those, from a listing that begins where they are; and what is not what it was is not taken. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { refetchBlocks, Spending } from "../../src/acquisition/mod.ts";
import { OperatorError } from "../../src/errors.ts";
import { EXAMPLE_PRICES } from "../../src/plan.ts";
import type { Exhibit } from "../../src/store/mod.ts";
import { failing, FakeSource, FIRST, type Table } from "./fake_source.ts";
import { acquire, ascending, withStore } from "./runs.ts";

const BLOCKS: Table = Object.fromEntries([
  ...Array.from({ length: 40 }, (_, index) => [index, 100 + index]),
  [5_000, 7],
  [30_000, 8],
  [30_001, 9],
  [65_535, 10],
]);

interface Refetched {
  readonly taken: number[];
  readonly refused: (readonly [number, string])[];
}

/** Reads the blocks at `indexes` again from `source`. */
async function refetch(
  exhibit: Exhibit,
  source: FakeSource,
  indexes: readonly number[],
  budgetUsd?: number,
): Promise<Refetched> {
  source.fetched.length = source.listed.length = 0;
  const [taken, refused]: [number[], [number, string][]] = [[], []];
  await refetchBlocks({
    source,
    exhibit,
    spending: new Spending({ source, prices: EXAMPLE_PRICES, isInRegion: false, budgetUsd }),
    signal: new AbortController().signal,
    async *lost() {
      for (const index of indexes) yield { index, digest: (await exhibit.block(index))!.digest! };
    },
    async take(index, { digest }) {
      const isSame = (await exhibit.block(index))?.digest === digest;
      if (isSame) taken.push(index);
      return isSame;
    },
    onRefused: ({ blockIndex, message }) => refused.push([blockIndex, message]),
  });
  return { taken: ascending(taken), refused };
}

/** An exhibit of `BLOCKS`, 64 GiB of 1 MiB, and its source. */
async function withExhibit(body: (exhibit: Exhibit, source: FakeSource) => Promise<void>): Promise<void> {
  await withStore(async (store) => {
    const source = new FakeSource({ [FIRST]: { blocks: BLOCKS, volumeSizeGib: 64 } });
    const { exhibit } = await acquire(store, source, FIRST);
    await body(exhibit, source);
  });
}

Deno.test("refetchBlocks() asks for the lost blocks and no others, and lists anew where the next one is far", async () => {
  await withExhibit(async (exhibit, source) => {
    const indexes = [0, 3, 17, 30_000, 65_535];
    assertEquals(await refetch(exhibit, source, indexes), { taken: indexes, refused: [] });
    assertEquals(ascending(source.fetched), indexes);
    assertEquals(source.listed.length, 2, source.listed.join(" "));
    assertEquals(await refetch(exhibit, source, []), { taken: [], refused: [] });
    assertEquals(source.listed, []);
  });
});

Deno.test("refetchBlocks() takes nothing that changed, failed, or is not listed any more, and tells each", async () => {
  await withExhibit(async (exhibit, source) => {
    const { 3: _, 65_535: __, ...rest } = BLOCKS;
    source.snapshots.set(FIRST, { blocks: { ...rest, 5: 999 }, volumeSizeGib: 64 });
    source.unreadable.set(7, failing("HTTP 500"));
    const { taken, refused } = await refetch(exhibit, source, [2, 3, 5, 7, 9, 65_535]);
    assertEquals(taken, [2, 9]);
    const messages = new Map(refused);
    assertEquals(ascending(messages.keys()), [3, 5, 7, 65_535]);
    for (const index of [3, 65_535]) assertEquals(messages.get(index), "the service does not list it");
    assert(messages.get(5)?.includes("not taken"));
    assert(messages.get(7)?.includes("HTTP 500"));
  });
});

Deno.test("refetchBlocks() refuses another volume, and stops before the budget is spent", async () => {
  await withExhibit(async (exhibit, source) => {
    const error = await assertRejects(() => refetch(exhibit, source, [2, 3], 1e-7), OperatorError);
    assertEquals([error.code, source.fetched], ["budget", []]);
    source.snapshots.set(FIRST, { blocks: BLOCKS, volumeSizeGib: 65 });
    const other = await assertRejects(() => refetch(exhibit, source, [2]), OperatorError, "the service says");
    assertEquals([other.code, source.fetched], ["source", []]);
  });
});
