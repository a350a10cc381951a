/** Which exhibit an incremental acquisition builds on: what is found by itself, what is told, what is passed over. */
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { OperatorError } from "../../src/errors.ts";
import type { ExhibitId } from "../../src/model.ts";
import type { Store } from "../../src/store/mod.ts";
import { failing, FakeSource, FIRST, SECOND, THIRD } from "./fake_source.ts";
import { acquire, ascending, type Changes, withStore } from "./runs.ts";
import {
  acquireInFull,
  AFTER,
  BEFORE,
  BLOCK,
  CHANGED,
  droppedReason,
  twoSnapshots,
  volume,
} from "./two_snapshots.ts";

Deno.test("acquireSnapshot() builds on the exhibit that it is told, or on none", async () => {
  await withStore(async (store) => {
    const source = twoSnapshots();
    source.snapshots.set(THIRD, volume({ ...BEFORE, 3: 33 }));
    const first = (await acquire(store, source, FIRST)).exhibit;
    const third = (await acquire(store, source, THIRD)).exhibit;
    assertEquals(third.manifest.parent?.exhibit, first.id);
    source.fetched.length = 0;
    const { exhibit } = await acquire(store, source, SECOND, { parent: first });
    assertEquals(exhibit.manifest.parent?.exhibit, first.id);
    assertEquals(ascending(source.fetched), CHANGED);
    assertEquals(
      droppedReason(await acquireInFull(store, source, { parent: "none", fresh: true })),
      "nothing dropped",
    );
  });
});

Deno.test("acquireSnapshot() finds the exhibit of the newest snapshot by itself", async () => {
  await withStore(async (store) => {
    const told = (startedAt: string) => ({ description: { volumeId: "vol-1", startedAt } });
    const source = new FakeSource({
      [FIRST]: volume(BEFORE, told("2026-03-01T00:00:00Z")),
      [THIRD]: volume(BEFORE, told("2026-02-01T00:00:00Z")),
      [SECOND]: volume(AFTER, told("2026-04-01T00:00:00Z")),
    });
    const newest = (await acquire(store, source, FIRST)).exhibit;
    await acquire(store, source, THIRD);
    const { exhibit } = await acquire(store, source, SECOND);
    assertEquals(exhibit.manifest.parent?.exhibit, newest.id);
  });
});

/** What keeps an exhibit of FIRST from being found; the second snapshot is then acquired in full. */
const OTHERS: readonly [string, (source: FakeSource) => void][] = [
  ["another endpoint", (source) => source.endpoint = "http://127.0.0.1:9"],
  ["another Region", (source) => source.region = "eu-west-1"],
  [
    "another block size",
    (source) => source.snapshots.set(FIRST, volume({ 1: 1 }, { blockSizeBytes: 2 * BLOCK })),
  ],
  ["another volume", (source) => {
    source.snapshots.set(FIRST, volume(BEFORE, { description: { volumeId: "vol-9" } }));
    source.snapshots.set(SECOND, volume(AFTER, { description: { volumeId: "vol-1" } }));
  }],
];
for (const [what, change] of OTHERS) {
  Deno.test(`acquireSnapshot() does not build on an exhibit of ${what}`, async () => {
    await withStore(async (store) => {
      const other = twoSnapshots();
      change(other);
      await acquire(store, other, FIRST);
      const source = twoSnapshots();
      source.snapshots.set(SECOND, other.snapshots.get(SECOND)!);
      assertEquals(droppedReason(await acquireInFull(store, source)), "nothing dropped");
      assertEquals(source.listed.filter((call) => call.startsWith("changed")), []);
    });
  });
}

Deno.test("acquireSnapshot() builds on the exhibit that supersedes another, never on the superseded one", async () => {
  await withStore(async (store) => {
    const source = twoSnapshots();
    source.unreadable.set(0, failing("HTTP 500"));
    const old: ExhibitId = (await acquire(store, source, FIRST)).exhibit.id;
    source.unreadable.clear();
    const retried = (await acquire(store, source, FIRST, { retryUnreadable: true })).exhibit;
    assertEquals(retried.manifest.supersedes, old);
    source.fetched.length = 0;
    const { exhibit } = await acquire(store, source, SECOND);
    assertEquals(exhibit.manifest.parent?.exhibit, retried.id);
    assertEquals(ascending(source.fetched), CHANGED);
  });
});

Deno.test("acquireSnapshot() with fresh does not build on an exhibit of the same snapshot", async () => {
  await withStore(async (store) => {
    const source = twoSnapshots();
    const old = (await acquireInFull(store, source)).exhibit;
    const again = (await acquireInFull(store, source, { fresh: true })).exhibit;
    assertEquals(again.manifest.supersedes, old.id);
    assertEquals(again.manifest.imageDigest, old.manifest.imageDigest);
  });
});

/** Interrupts an acquisition of the second snapshot at its first block. */
async function interrupted(store: Store, source: FakeSource, changes: Changes): Promise<void> {
  const controller = new AbortController();
  source.onGet = () => controller.abort();
  const error = await assertRejects(
    () => acquire(store, source, SECOND, { ...changes, signal: controller.signal }),
    OperatorError,
  );
  assertEquals(error.code, "interrupted");
  source.onGet = () => {};
}

Deno.test("acquireSnapshot() told to build on an exhibit of no use resumes under the same command", async () => {
  await withStore(async (store) => {
    const elsewhere = Object.assign(twoSnapshots(), { endpoint: "http://127.0.0.1:9" });
    const parent = (await acquire(store, elsewhere, FIRST)).exhibit;
    const source = twoSnapshots();
    await interrupted(store, source, { parent });
    const acquired = await acquireInFull(store, source, { parent });
    assert(droppedReason(acquired).includes("http://127.0.0.1:9"));
    assertEquals(acquired.prepared.isResumed, true);
  });
});

Deno.test("acquireSnapshot() resumed where the parent lost a pack goes on in full, and says so", async () => {
  await withStore(async (store, folder) => {
    const source = twoSnapshots();
    const parent = (await acquire(store, source, FIRST)).exhibit;
    await interrupted(store, source, {});
    const pack = parent.inventory.files.find(({ name }) => name.startsWith("packs/"));
    await Deno.remove(`${folder}/store/${pack?.name}`);
    const acquired = await acquireInFull(store, source);
    assert(droppedReason(acquired).includes("is missing"));
    assertEquals(acquired.prepared.isResumed, true);
  });
});

Deno.test("acquireSnapshot() finds the volume's own exhibit among others where the service says no volume ids", async () => {
  await withStore(async (store) => {
    const source = new FakeSource({
      [FIRST]: { blocks: { 0: 1, 1: 2 }, volume: "vol-a" },
      [SECOND]: { blocks: { 0: 3, 5: 5 }, volume: "vol-b" },
      [THIRD]: { blocks: { 0: 1, 1: 9 }, volume: "vol-a" },
    });
    const own = (await acquire(store, source, FIRST)).exhibit;
    const other = (await acquire(store, source, SECOND)).exhibit;
    assert(own.manifest.acquisition.startedAt <= other.manifest.acquisition.startedAt);
    source.fetched.length = 0;
    const { exhibit } = await acquire(store, source, THIRD);
    assertEquals(exhibit.manifest.parent?.exhibit, own.id);
    assertEquals(source.fetched, [1]);
  });
});

Deno.test("acquireSnapshot() acquires in full and says so where none of several exhibits is of the volume", async () => {
  await withStore(async (store) => {
    const source = new FakeSource({
      [FIRST]: { blocks: { 0: 1 }, volume: "vol-a" },
      [SECOND]: { blocks: { 0: 3 }, volume: "vol-b" },
      [THIRD]: { blocks: { 0: 1, 1: 9 }, volume: "vol-c" },
    });
    await acquire(store, source, FIRST);
    const newest = (await acquire(store, source, SECOND)).exhibit;
    source.fetched.length = 0;
    const { exhibit } = await acquire(store, source, THIRD);
    assertEquals([exhibit.manifest.parent, source.fetched], [null, [0, 1]]);
    assertStringIncludes(exhibit.manifest.acquisition.parentDropped!, newest.id);
  });
});
