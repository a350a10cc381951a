/**
 * The whole way on the real disk and with the real clock: what is put, committed and loaded again is what was
 * put, at the edges of segments too.
 */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { OperatorError } from "../../src/errors.ts";
import { openStoreForWriting } from "../../src/store/mod.ts";
import { realWorld } from "../../src/world.ts";
import {
  acquire,
  acquireAt,
  beginOrResume,
  COUNTS,
  evidenceFiles,
  FACTS,
  feed,
  filesBelow,
  isSignature,
  noise,
  pattern,
  reading,
  SESSION,
  shapeOf,
  SNAPSHOT,
  statesOf,
  tableOf,
  tableOfExhibit,
  testWorld,
  UNREADABLE,
  verifiedBlock,
  type Volume,
  withFolder,
} from "./fixtures.ts";

const SHAPE = shapeOf(512);
const LAST = SHAPE.blockCount - 1;
const EDGES: Volume = new Map<number, Uint8Array | "unreadable">([
  [0, noise(1)],
  [1, new Uint8Array(512)],
  [7, "unreadable"],
  [16_383, pattern(3, 512)],
  [16_384, noise(4)],
  [16_385, noise(1)],
  [32_767, new Uint8Array(512)],
  [32_768, "unreadable"],
  [LAST, pattern(5, 512)],
]);

Deno.test("Store gives back what was put, on the real disk, at every edge of a segment", () =>
  withFolder(async (root) => {
    assertEquals(SHAPE.blockCount, 2_097_152);
    const store = await openStoreForWriting(realWorld(), root, { case: "2026-017" });
    let id;
    try {
      id = await acquire(store, { volume: EDGES, shape: SHAPE });
      const own = await store.exhibit(id);
      assertEquals(await tableOfExhibit(own), tableOf(EDGES), "read by the store that wrote it");
    } finally {
      store.close();
    }
    await reading(root, async (again) => {
      const exhibit = await again.exhibit(id);
      assertEquals(await tableOfExhibit(exhibit), tableOf(EDGES));
      assertEquals(exhibit.manifest.counts, {
        absentBlocks: SHAPE.blockCount - EDGES.size,
        storedBlocks: 5,
        unreadableBlocks: 2,
        zeroBlocks: 2,
      });
      assertEquals(exhibit.manifest.segments.length, 128);
      assertEquals(new Set(exhibit.manifest.segments).size, 5, "equal segments are one file");
      assertEquals(
        (await exhibit.unreadable())?.map(({ first, blocks }) => [first.block, blocks, first.reason]),
        [
          [7, 1, "checksum"],
          [32_768, 1, "checksum"],
        ],
      );
      assertEquals((await exhibit.sessions()).map((session) => [session.outcome, session.fetchedBlocks]), [
        ["committed", 7],
      ]);
      assertEquals((await exhibit.description())?.answer, { SnapshotId: SNAPSHOT });
      assertEquals(again.tolerated, []);
    }, realWorld());
  }, { onDisk: true }));

Deno.test("Store leaves no journal and no temporary file behind a commit", () =>
  withFolder(async (root) => {
    await acquireAt(root, { volume: EDGES, shape: SHAPE });
    const left = filesBelow(root).filter((name) => !evidenceFiles(root).includes(name) && !isSignature(name));
    assertEquals(left, ["cache/index.sqlite", "lock", "store.json"]);
  }));

Deno.test("Exhibit.runs() starts anywhere and tiles the rest of the volume", () =>
  withFolder(async (root) => {
    const id = await acquireAt(root, { volume: EDGES, shape: SHAPE });
    await reading(root, async (store) => {
      const exhibit = await store.exhibit(id);
      const states = await statesOf(exhibit);
      for (const from of [0, 1, 2, 16_383, 16_384, 16_385, LAST, SHAPE.blockCount]) {
        let next = from;
        for await (const run of exhibit.runs(from)) {
          assertEquals(run.firstBlock, next);
          assertEquals(run.state, states.get(next) ?? "absent");
          next += run.blockCount;
        }
        assertEquals(next, SHAPE.blockCount, `from ${from}`);
      }
    });
  }));

Deno.test("Exhibit.readBlock() refuses blocks that hold no bytes, and names them", () =>
  withFolder(async (root) => {
    const id = await acquireAt(root, { volume: EDGES, shape: SHAPE });
    await reading(root, async (store) => {
      const exhibit = await store.exhibit(id);
      const cases = [[1, "zero"], [2, "absent"], [7, "unreadable"], [
        SHAPE.blockCount,
        "beyond the volume",
      ]] as const;
      for (const [index, state] of cases) {
        const error = await assertRejects(() => exhibit.readBlock(index), OperatorError, state);
        assertEquals([error.code, error.facts["blockIndex"]], ["integrity", index]);
      }
    });
  }));

Deno.test("Acquisition.put() holds equal blocks once, within and across exhibits", () =>
  withFolder(async (root) => {
    const shape = shapeOf(4096);
    const volume: Volume = new Map([0, 1, 5, 17_000, 99_999].map((index) => [index, noise(9, 4096)]));
    await acquireAt(root, { volume, shape });
    const packs = () => evidenceFiles(root).filter((name) => name.endsWith(".pack"));
    const [pack] = packs();
    assertEquals(packs().length, 1);
    assert(Deno.statSync(`${root}/${pack}`).size < 2 * 4096, "five equal blocks take the room of one");
    const other = "snap-00000000000000001" as typeof SNAPSHOT;
    const id = await acquireAt(root, { volume, shape, snapshot: other });
    assertEquals(packs(), [pack!], "the second exhibit uses the pack of the first");
    await reading(root, async (store) => {
      const exhibit = await store.exhibit(id);
      assert(exhibit.inventory.files.some((file) => file.name === pack), "and its inventory names it");
      assertEquals(await tableOfExhibit(exhibit), tableOf(volume));
    });
  }));

Deno.test("Acquisition.recorded() knows a block as soon as it is put, and in the session after", () =>
  withFolder(async (root) => {
    const order = { volume: EDGES, shape: SHAPE };
    const store = await openStoreForWriting(testWorld(), root);
    const acquisition = await beginOrResume(store, order);
    await acquisition.startSession(SESSION, { counts: () => COUNTS, takeEvents: () => [] });
    assertEquals(acquisition.recorded(0), undefined);
    const block = verifiedBlock(noise(1));
    await acquisition.put(0, block);
    await acquisition.putUnreadable(7, UNREADABLE);
    const stored = { state: "stored", digest: block.digest } as const;
    assertEquals(acquisition.recorded(0), stored);
    assertEquals(acquisition.recorded(7), { state: "unreadable" });
    await acquisition.endSession("interrupted");
    const resumed = await beginOrResume(store, order);
    assertEquals([resumed.isResumed, resumed.unreadableBlocks, resumed.before.fetchedBlocks], [true, 1, 1]);
    const inFirstPack = { ...stored, packNumber: 0 };
    assertEquals(resumed.recorded(0), inFirstPack);
    await resumed.startSession(SESSION, { counts: () => COUNTS, takeEvents: () => [] });
    const put: number[] = [];
    await feed(resumed, { ...order, onPut: (index) => put.push(index) });
    assertEquals(put, [...EDGES.keys()].filter((index) => index !== 0 && index !== 7));
    await resumed.commit(FACTS);
    assertEquals(await tableOfExhibit(await store.exhibit(acquisition.head.exhibit)), tableOf(EDGES));
    store.close();
  }));

Deno.test("Acquisition.noteListing() refuses another listing than an earlier session saw, and keeps the journal", () =>
  withFolder(async (root) => {
    const store = await openStoreForWriting(testWorld(), root);
    const order = { volume: EDGES, shape: SHAPE };
    const acquisition = await beginOrResume(store, order);
    await acquisition.startSession(SESSION, { counts: () => COUNTS, takeEvents: () => [] });
    await feed(acquisition, order);
    await acquisition.endSession("interrupted");
    const resumed = await beginOrResume(store, order);
    const other = new Map([...EDGES, [99, noise(99)]]);
    const error = await assertRejects(() => feed(resumed, { ...order, volume: other }), OperatorError);
    assertEquals([error.code, error.facts["reason"]], ["source", "LISTING_CHANGED"]);
    await resumed.endSession(error.code);
    assertEquals((await store.journals()).length, 1);
    store.close();
  }));
