/** BlockSet: what was added is there and nothing else, at the edges of its pages and of the largest volume. */
import { assert, assertEquals } from "@std/assert";
import { BlockSet } from "../../src/acquisition/_bitmap.ts";
import { MAX_BLOCKS } from "../../src/model.ts";
import { MIB } from "../../src/units.ts";
import { forRounds } from "../seeded.ts";

const PAGE = 2 ** 19;
const EDGES = [0, 1, 7, 8, PAGE - 1, PAGE, PAGE + 1, 2 * PAGE - 1, MAX_BLOCKS - PAGE, MAX_BLOCKS - 1];

Deno.test("BlockSet.has() of an empty set is false at every edge", () => {
  const set = new BlockSet();
  for (const index of EDGES) assert(!set.has(index));
});

Deno.test("BlockSet.add() adds one block and none beside it, at every edge", () => {
  for (const index of EDGES) {
    const set = new BlockSet();
    set.add(index);
    assert(set.has(index), `${index}`);
    const others = [index - 8, index - 1, index + 1, index + 8, index - PAGE, index + PAGE];
    for (const other of others.filter((at) => at >= 0)) assert(!set.has(other), `${other} with ${index}`);
  }
});

Deno.test("BlockSet.add() of a block that is there changes nothing", () => {
  const set = new BlockSet();
  for (const index of [...EDGES, ...EDGES]) set.add(index);
  for (const index of EDGES) assert(set.has(index));
  for (const index of [2, 6, 9, PAGE - 2, PAGE + 2, MAX_BLOCKS - 2]) assert(!set.has(index));
});

Deno.test("BlockSet holds what a Set of numbers does", () => {
  forRounds(20, (below) => {
    const span = 1 + below(MAX_BLOCKS);
    const [set, expected] = [new BlockSet(), new Set<number>()];
    for (let count = below(2000); count > 0; count--) {
      const index = below(span);
      set.add(index);
      expected.add(index);
    }
    for (const index of expected) assert(set.has(index), `${index}`);
    for (let probe = 0; probe < 2000; probe++) {
      const index = below(span);
      assertEquals(set.has(index), expected.has(index), `${index}`);
    }
  });
});

Deno.test("BlockSet takes memory for the pages that it has blocks in, 16 MiB for all", () => {
  const bytesOf = (indexes: Iterable<number>) => {
    const before = Deno.memoryUsage().external;
    const set = new BlockSet();
    for (const index of indexes) set.add(index);
    const taken = Deno.memoryUsage().external - before;
    assert(set.has(0));
    return taken;
  };
  assert(bytesOf([0, MAX_BLOCKS - 1]) < MIB);
  const all = bytesOf(Array.from({ length: MAX_BLOCKS / PAGE }, (_, page) => page * PAGE));
  assert(all < 20 * MIB, `${all} bytes`);
});
