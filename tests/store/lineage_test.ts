/**
 * What builds on something: incremental exhibits, grown volumes, exhibits that supersede, and partial ones.
 * However an exhibit came about, its contents alone make its segments and its image digest.
 */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { OperatorError } from "../../src/errors.ts";
import type { ExhibitId } from "../../src/model.ts";
import { type Exhibit, openStoreForWriting, type Store } from "../../src/store/mod.ts";
import {
  acquire,
  beginOrResume,
  COUNTS,
  evidenceFiles,
  FACTS,
  feed,
  LATER,
  listingOf,
  noise,
  type Order,
  SESSION,
  shapeOf,
  SNAPSHOT,
  tableOf,
  tableOfExhibit,
  testWorld,
  UNREADABLE,
  verifiedBlock,
  type Volume,
  withFolder,
} from "./fixtures.ts";

const BLOCK = 16_384;
const SHAPE = shapeOf(BLOCK);
const ZEROS = new Uint8Array(BLOCK);
const PARENT: Volume = new Map<number, Uint8Array | "unreadable">([
  [0, noise(1, BLOCK)],
  [1, ZEROS],
  [5, "unreadable"],
  [20_000, noise(2, BLOCK)],
  [40_000, noise(3, BLOCK)],
  [40_001, "unreadable"],
  [65_535, noise(4, BLOCK)],
]);
/** Segment 1 is as it was; 0, 2 and 3 have a change, a removal, an addition, a block that could not be read. */
const CHILD: Volume = new Map<number, Uint8Array | "unreadable">([
  [0, noise(1, BLOCK)],
  [1, noise(7, BLOCK)],
  [5, noise(8, BLOCK)],
  [20_000, noise(2, BLOCK)],
  [40_001, ZEROS],
  [65_534, "unreadable"],
  [65_535, noise(4, BLOCK)],
]);

const order = (volume: Volume, more: Partial<Order> = {}): Order => ({ volume, shape: SHAPE, ...more });

async function withStore(body: (store: Store, root: string) => Promise<void>): Promise<void> {
  await withFolder(async (root) => {
    const store = await openStoreForWriting(testWorld(), root);
    try {
      await body(store, root);
    } finally {
      store.close();
    }
  });
}

async function acquireExhibit(store: Store, what: Order): Promise<Exhibit> {
  return await store.exhibit(await acquire(store, what));
}

/** The same contents acquired with no parent, in a store of its own. */
async function inFull(
  what: Order,
): Promise<Pick<Exhibit["manifest"], "imageDigest" | "segments" | "counts">> {
  let full: Exhibit["manifest"] | undefined;
  const { parent: _, parentVolume: __, ...alone } = what;
  await withStore(async (store) => void (full = (await acquireExhibit(store, alone)).manifest));
  const { imageDigest, segments, counts } = full!;
  return { imageDigest, segments, counts };
}

Deno.test("commitExhibit() makes the same segments and image digest with a parent as without", () =>
  withStore(async (store, root) => {
    const parent = await acquireExhibit(store, order(PARENT));
    const before = new Set(evidenceFiles(root));
    const what = order(CHILD, { snapshot: LATER, parent, parentVolume: PARENT });
    const put: number[] = [];
    const child = await acquireExhibit(store, { ...what, onPut: (index) => put.push(index) });
    const { imageDigest, segments, counts } = child.manifest;
    assertEquals({ imageDigest, segments, counts }, await inFull(what));
    assertEquals(await tableOfExhibit(child), tableOf(CHILD));
    assertEquals(put.sort((a, b) => a - b), [1, 5, 40_000, 40_001, 65_534]);
    assertEquals(segments[1], parent.manifest.segments[1], "an untouched segment is the parent's");
    const added = evidenceFiles(root).filter((name) => !before.has(name));
    assertEquals(added.filter((name) => name.startsWith("segments/")).length, 3);
    assertEquals(added.filter((name) => name.startsWith("packs/")).length, 1);
    const { acquisition } = child.manifest;
    assertEquals([acquisition.listedBlocks, acquisition.takenOverBlocks, acquisition.fetchedBlocks], [
      7,
      3,
      3,
    ]);
    assertEquals(acquisition.takenOverReadSince, parent.manifest.acquisition.startedAt);
    assertEquals(child.manifest.parent?.exhibit, parent.id);
  }));

Deno.test("commitExhibit() of an unchanged snapshot shares every segment and pack with its parent", () =>
  withStore(async (store, root) => {
    const parent = await acquireExhibit(store, order(PARENT));
    const before = evidenceFiles(root).filter((name) => /^(packs|segments)/.test(name));
    // What could not be read is tried again; it fails again.
    const child = await acquireExhibit(
      store,
      order(PARENT, { snapshot: LATER, parent, parentVolume: PARENT }),
    );
    assertEquals(child.manifest.imageDigest, parent.manifest.imageDigest);
    assertEquals(evidenceFiles(root).filter((name) => /^(packs|segments)/.test(name)), before);
    assertEquals((await child.unreadable())?.map(({ first }) => first.block), [5, 40_001]);
  }));

Deno.test("Exhibit in the third generation names the files of the first and tells since when its bytes were read", () =>
  withStore(async (store) => {
    const first = await acquireExhibit(store, order(PARENT));
    const second = await acquireExhibit(
      store,
      order(CHILD, { snapshot: LATER, parent: first, parentVolume: PARENT }),
    );
    const third = "snap-00000003" as typeof SNAPSHOT;
    const grandchild = await acquireExhibit(
      store,
      order(CHILD, { snapshot: third, parent: second, parentVolume: CHILD }),
    );
    assertEquals(await tableOfExhibit(grandchild), tableOf(CHILD));
    assertEquals(grandchild.manifest.acquisition.takenOverReadSince, first.manifest.acquisition.startedAt);
    assertEquals(await store.whyNotParent(grandchild), undefined);
  }));

Deno.test("commitExhibit() takes over a parent whose volume has grown since", async () => {
  // 1 GiB of 512 KiB is one segment of 2,048 blocks: the parent's is shorter than the child's.
  const size = 1 << 19;
  const small = shapeOf(size, 1);
  const large = shapeOf(size, 9);
  const volume: Volume = new Map([[0, noise(1, size)], [2047, noise(2, size)]]);
  const grown: Volume = new Map([...volume, [2048, noise(3, size)], [large.blockCount - 1, noise(4, size)]]);
  await withStore(async (store) => {
    const parent = await acquireExhibit(store, { volume, shape: small });
    const child = await acquireExhibit(store, {
      volume: grown,
      shape: large,
      snapshot: LATER,
      parent,
      parentVolume: volume,
    });
    assertEquals(await tableOfExhibit(child), tableOf(grown));
    const { imageDigest, segments, counts } = child.manifest;
    assertEquals({ imageDigest, segments, counts }, await inFull({ volume: grown, shape: large }));
    assertEquals(child.manifest.acquisition.takenOverBlocks, 2);
  });
});

Deno.test("Store.find() and newestOf() pass over an exhibit that another supersedes", () =>
  withStore(async (store) => {
    const old = await acquireExhibit(store, order(PARENT));
    assertEquals((await store.find(SNAPSHOT)).id, old.id);
    const fresh = await acquireExhibit(store, order(PARENT, { supersedes: old.id }));
    assertEquals(fresh.manifest.supersedes, old.id);
    assertEquals((await store.find(SNAPSHOT)).id, fresh.id);
    assertEquals((await store.newestOf(SNAPSHOT))?.id, fresh.id);
    assertEquals((await store.find(old.id)).id, old.id, "by its id the old one is still found");
    const prefix = old.manifest.imageDigest.slice(0, 8);
    const error = await assertRejects(() => store.find(prefix), OperatorError, "2 match");
    assertEquals(error.code, "usage");
    const none = await assertRejects(() => store.find("ex-0000000000000000" as ExhibitId), OperatorError);
    assertEquals(none.code, "not_found");
  }));

Deno.test("commit() refuses what is fewer blocks than the listing had, unless it is partial", () =>
  withStore(async (store) => {
    const acquisition = await beginOrResume(store, order(PARENT));
    await acquisition.startSession(SESSION, { counts: () => COUNTS, takeEvents: () => [] });
    await feed(acquisition, order(PARENT));
    const short = await beginOrResume(store, order(PARENT, { snapshot: LATER }));
    await short.startSession(SESSION, { counts: () => COUNTS, takeEvents: () => [] });
    await short.put(0, verifiedBlock(noise(1, BLOCK)));
    await short.noteListing(listingOf([0, 1]));
    const error = await assertRejects(() => short.commit(FACTS), OperatorError);
    assertEquals([error.code, error.facts["reason"]], ["source", "LISTING_CHANGED"]);
    await short.endSession("source");
    assertEquals((await store.journals()).length, 2, "the journal is kept");
    await acquisition.endSession("interrupted");
  }));

Deno.test("commit() of a partial acquisition whose listing is known: what was never tried is unreadable, the rest absent", () =>
  withStore(async (store) => {
    const acquisition = await beginOrResume(store, order(PARENT));
    await acquisition.startSession(SESSION, { counts: () => COUNTS, takeEvents: () => [] });
    await acquisition.put(0, verifiedBlock(noise(1, BLOCK)));
    await acquisition.putUnreadable(5, UNREADABLE);
    for (const index of [1, 6, 7, 20_000]) await acquisition.putNotAcquired(index);
    await acquisition.commit({ ...FACTS, isPartial: true, rest: "absent" });
    const exhibit = await store.exhibit(acquisition.head.exhibit);
    assert(exhibit.manifest.isPartial);
    assertEquals(exhibit.manifest.counts, {
      absentBlocks: SHAPE.blockCount - 6,
      storedBlocks: 1,
      unreadableBlocks: 5,
      zeroBlocks: 0,
    });
    const entries = (await exhibit.unreadable())?.map((
      { first, blocks },
    ) => [first.block, blocks, first.reason]);
    assertEquals(entries, [[1, 1, "not_acquired"], [5, 1, "checksum"], [6, 2, "not_acquired"], [
      20_000,
      1,
      "not_acquired",
    ]]);
    assertEquals(exhibit.manifest.acquisition.takenOverBlocks, 0);
  }));

Deno.test("commit() of a partial acquisition whose listing is not known: all that is not held is unreadable", () =>
  withStore(async (store) => {
    const acquisition = await beginOrResume(store, order(PARENT));
    await acquisition.startSession(SESSION, { counts: () => COUNTS, takeEvents: () => [] });
    await acquisition.put(3, verifiedBlock(noise(1, BLOCK)));
    await acquisition.commit({ ...FACTS, isPartial: true, rest: "not_acquired" });
    const exhibit = await store.exhibit(acquisition.head.exhibit);
    assertEquals(exhibit.manifest.counts.unreadableBlocks, SHAPE.blockCount - 1);
    const entries = (await exhibit.unreadable())?.map(({ first, blocks }) => [first.block, blocks]);
    assertEquals(entries, [[0, 3], [4, SHAPE.blockCount - 4]]);
    const { takenOverBlocks, takenOverReadSince } = exhibit.manifest.acquisition;
    assertEquals([takenOverBlocks, takenOverReadSince], [0, null], "there was nothing to take over from");
  }));

Deno.test("Acquisition knows an unreadable block as readable once it was put, in all later sessions", () =>
  withStore(async (store) => {
    const first = await beginOrResume(store, order(PARENT));
    await first.startSession(SESSION, { counts: () => COUNTS, takeEvents: () => [] });
    await first.putUnreadable(5, UNREADABLE);
    await first.endSession("interrupted");
    const second = await beginOrResume(store, order(PARENT));
    await second.startSession(SESSION, { counts: () => COUNTS, takeEvents: () => [] });
    assertEquals(second.unreadableBlocks, 1);
    await second.put(5, verifiedBlock(noise(8, BLOCK)));
    assertEquals(second.unreadableBlocks, 0);
    await second.putUnreadable(6, UNREADABLE);
    await second.put(6, verifiedBlock(noise(9, BLOCK)));
    assertEquals(second.unreadableBlocks, 0, "also where both came in one flush");
    await second.endSession("interrupted");
    const third = await beginOrResume(store, order(PARENT));
    assertEquals(third.unreadableBlocks, 0);
    await third.endSession("interrupted");
  }));

Deno.test("Acquisition.dropParent() builds on nothing and keeps the reason, in all later sessions", () =>
  withStore(async (store) => {
    const parent = await acquireExhibit(store, order(PARENT));
    const what = order(CHILD, { snapshot: LATER, parent });
    const first = await beginOrResume(store, what);
    await first.startSession(SESSION, { counts: () => COUNTS, takeEvents: () => [] });
    await first.dropParent("the packs are gone");
    assertEquals([first.parent, first.parentDropped], [undefined, "the packs are gone"]);
    await first.endSession("interrupted");
    const child = await acquireExhibit(store, what);
    assertEquals(child.manifest.parent, null);
    assertEquals(child.manifest.acquisition.parentDropped, "the packs are gone");
    assertEquals(await tableOfExhibit(child), tableOf(CHILD));
  }));
