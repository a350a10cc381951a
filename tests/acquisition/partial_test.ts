/** Unreadable blocks and exhibits that are not whole: limits, retries, partial commits and what comes after them. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { acquireSnapshot, commitPartial } from "../../src/acquisition/mod.ts";
import { type ErrorCode, OperatorError } from "../../src/errors.ts";
import type { World } from "../../src/model.ts";
import type { Exhibit, Store } from "../../src/store/mod.ts";
import { realWorld } from "../../src/world.ts";
import { failing, FakeSource, FIRST, SECOND, type Table } from "./fake_source.ts";
import {
  acquire,
  ascending,
  type Changes,
  inputFor,
  inStore,
  tableOf,
  withFolder,
  withStore,
} from "./runs.ts";

const BLOCKS: Table = { 0: 11, 1: 0, 2: 12, 5: 11, 6: 0, 90: 13, 91: 14, 500: 15, 1023: 16 };
const ALL = Object.keys(BLOCKS).map(Number);

function serial(blocks: Table = BLOCKS): FakeSource {
  return Object.assign(new FakeSource({ [FIRST]: { blocks } }), { maxConcurrency: 1 });
}

async function refused(
  store: Store,
  source: FakeSource,
  changes: Changes,
  code: ErrorCode,
): Promise<OperatorError> {
  const error = await assertRejects(() => acquire(store, source, FIRST, changes), OperatorError);
  assertEquals(error.code, code, error.message);
  return error;
}

/** Interrupts a session when it asks for `index`. */
async function interruptAt(
  store: Store,
  source: FakeSource,
  index: number,
  changes: Changes = {},
): Promise<void> {
  const controller = new AbortController();
  source.onGet = (asked) => {
    if (asked === index) controller.abort();
  };
  await refused(store, source, { ...changes, signal: controller.signal }, "interrupted");
  source.onGet = () => {};
  source.fetched.length = 0;
}

async function partially(store: Store, source: FakeSource): Promise<Exhibit> {
  return await store.exhibit((await commitPartial(inputFor({ store, source, snapshot: FIRST }))).id);
}

Deno.test("acquireSnapshot() ends with source where more blocks are unreadable than allowed, also when resumed", async () => {
  await withStore(async (store) => {
    const source = serial();
    for (const index of [1, 5, 6]) source.unreadable.set(index, failing("HTTP 500"));
    const error = await refused(store, source, { maxUnreadable: 2 }, "source");
    assertEquals([error.facts["reason"], error.facts["unreadableBlocks"]], ["TOO_MANY_UNREADABLE", 3]);
    assert(error.hints.join(" ").includes("--retry-unreadable"));
    assertEquals(source.fetched, [0, 1, 2, 5, 6]);
    // All the others can be read: the limit holds all the same.
    await refused(store, source, { maxUnreadable: 2 }, "source");
    assertEquals(await store.exhibitIds(), []);
    source.fetched.length = 0;
    for (const index of [1, 5]) source.unreadable.delete(index);
    const { exhibit } = await acquire(store, source, FIRST, { maxUnreadable: 2, retryUnreadable: true });
    assertEquals(source.fetched, [1, 5, 6]);
    assertEquals(exhibit.manifest.counts.unreadableBlocks, 1);
  });
});

Deno.test("acquireSnapshot() commits with just as many unreadable blocks as allowed", async () => {
  await withStore(async (store) => {
    const source = serial();
    for (const index of [1, 5]) source.unreadable.set(index, failing("HTTP 500"));
    const { exhibit } = await acquire(store, source, FIRST, { maxUnreadable: 2 });
    assertEquals([exhibit.manifest.counts.unreadableBlocks, exhibit.manifest.isPartial], [2, false]);
  });
});

Deno.test("acquireSnapshot() with retryUnreadable makes a new exhibit that supersedes and takes over", async () => {
  await withStore(async (store) => {
    const source = serial();
    for (const index of [1, 5, 90]) source.unreadable.set(index, failing("HTTP 500"));
    const old = (await acquire(store, source, FIRST)).exhibit;
    source.unreadable.delete(1);
    source.unreadable.delete(90);
    source.fetched.length = 0;
    const { exhibit } = await acquire(store, source, FIRST, { retryUnreadable: true });
    assertEquals(source.fetched, [1, 5, 90]);
    assertEquals(await tableOf(exhibit), { ...BLOCKS, 5: "unreadable" });
    assertEquals([exhibit.manifest.supersedes, exhibit.manifest.parent?.exhibit], [old.id, old.id]);
    assertEquals((await exhibit.unreadable())?.map(({ first }) => first.block), [5]);
    assertEquals((await store.newestOf(FIRST))?.id, exhibit.id);
  });
});

Deno.test("acquireSnapshot() with retryUnreadable and no parent resumes under the same command", async () => {
  await withStore(async (store) => {
    const source = serial();
    source.unreadable.set(5, failing("HTTP 500"));
    const old = (await acquire(store, source, FIRST)).exhibit;
    source.unreadable.clear();
    source.fetched.length = 0;
    const command: Changes = { retryUnreadable: true, parent: "none" };
    await interruptAt(store, source, 90, command); // in full: it begins with the first block
    const { exhibit } = await acquire(store, source, FIRST, command);
    assertEquals(source.fetched, [90, 91, 500, 1023]);
    assertEquals([exhibit.manifest.parent, exhibit.manifest.supersedes], [null, old.id]);
  });
});

Deno.test("commitPartial() has what is listed and not held as not acquired, what is not listed as absent", async () => {
  await withStore(async (store) => {
    const source = serial();
    source.unreadable.set(2, failing("HTTP 500"));
    await interruptAt(store, source, 90);
    const exhibit = await partially(store, source);
    const gone = { 90: "unreadable", 91: "unreadable", 500: "unreadable", 1023: "unreadable" } as const;
    assertEquals(await tableOf(exhibit), { ...BLOCKS, 2: "unreadable", ...gone });
    assertEquals(source.fetched, []);
    assertEquals(exhibit.manifest.isPartial, true);
    const entries = await exhibit.unreadable();
    assertEquals(entries?.map(({ blocks, first }) => [first.block, blocks, first.reason]), [
      [2, 1, "service"],
      [90, 2, "not_acquired"],
      [500, 1, "not_acquired"],
      [1023, 1, "not_acquired"],
    ]);
    assertEquals(await store.journals(), []);
  });
});

Deno.test("commitPartial() has all that is not recorded as not acquired where the snapshot is gone", async () => {
  await withStore(async (store) => {
    const source = serial();
    await interruptAt(store, source, 90);
    source.snapshots.delete(FIRST);
    const { manifest } = await partially(store, source);
    assertEquals(manifest.counts, {
      absentBlocks: 0,
      storedBlocks: 3,
      unreadableBlocks: 1019,
      zeroBlocks: 2,
    });
    assertEquals([manifest.isPartial, manifest.parent], [true, null]);
    // It comes back: a retry fetches what is listed, and knows the rest as absent.
    source.snapshots.set(FIRST, { blocks: BLOCKS });
    const { exhibit } = await acquire(store, source, FIRST, { retryUnreadable: true });
    assertEquals(source.fetched, [90, 91, 500, 1023]);
    assertEquals(await tableOf(exhibit), BLOCKS);
    assertEquals([exhibit.manifest.isPartial, exhibit.manifest.supersedes === null], [false, false]);
  });
});

Deno.test("commitPartial() takes over nothing where the snapshot is gone before it was compared", async () => {
  await withStore(async (store) => {
    const source = serial();
    source.snapshots.set(SECOND, { blocks: { ...BLOCKS, 3: 33 } });
    await acquire(store, source, SECOND);
    source.snapshots.set(FIRST, { blocks: { ...BLOCKS, 2: 77, 5: 78 } });
    await interruptAt(store, source, 5);
    source.snapshots.delete(FIRST);
    const exhibit = await partially(store, source);
    const { counts, parent, acquisition } = exhibit.manifest;
    assertEquals([counts.storedBlocks, counts.unreadableBlocks, parent], [1, 1022, null]);
    assert(acquisition.parentDropped?.includes("cannot be compared"));
    assertEquals((await exhibit.block(3))?.state, "absent");
  });
});

Deno.test("commitPartial() says not_found where nothing was begun", async () => {
  await withStore(async (store) => {
    const error = await assertRejects(() => partially(store, serial()), OperatorError);
    assertEquals(error.code, "not_found");
  });
});

/** The real world, but for a disk that fails at the write of a file whose path has `word` in it. */
function worldThatFailsAt(word: string): World {
  const world = realWorld();
  const disk: World["disk"] = {
    ...world.disk,
    open(path, mode) {
      if (mode === "create" && path.includes(word)) throw new Error("no space left on device (os error 28)");
      return world.disk.open(path, mode);
    },
    rename(from, to) {
      if (to.includes(word)) throw new Error("no space left on device (os error 28)");
      world.disk.rename(from, to);
    },
  };
  return { ...world, host: world.host, disk };
}

Deno.test("commitPartial() that was cut short leaves an acquisition that fetches what was never tried", async () => {
  await withFolder(async (folder) => {
    const source = serial();
    source.unreadable.set(2, failing("HTTP 500"));
    await inStore(folder, (store) => interruptAt(store, source, 90));
    await inStore(folder, async (store) => {
      const error = await assertRejects(() => partially(store, source), OperatorError);
      assertEquals(error.code, "storage");
    }, worldThatFailsAt("/exhibits/"));
    await inStore(folder, async (store) => {
      assertEquals(await store.exhibitIds(), []);
      const input = inputFor({ store, source, snapshot: FIRST });
      const exhibit = await store.exhibit((await acquireSnapshot(input)).id);
      assertEquals(source.fetched, [90, 91, 500, 1023]);
      assertEquals(await tableOf(exhibit), { ...BLOCKS, 2: "unreadable" });
      assertEquals(exhibit.manifest.isPartial, false);
      assertEquals(ascending(ALL), ALL);
    });
  });
});
