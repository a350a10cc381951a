/** Plans: what they say is what an acquisition then does, and nothing is written for them. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { planSnapshot, type SnapshotPlan } from "../../src/acquisition/mod.ts";
import { OperatorError } from "../../src/errors.ts";
import type { BlockSource } from "../../src/model.ts";
import { openStore, type Store } from "../../src/store/mod.ts";
import { realWorld } from "../../src/world.ts";
import { failing, FakeSource, FIRST, SECOND, THIRD } from "./fake_source.ts";
import { acquire, type Changes, inStore, withFolder, withStore } from "./runs.ts";
import { AFTER, BEFORE, twoSnapshots, volume } from "./two_snapshots.ts";

function plan(
  store: Store | undefined,
  source: BlockSource,
  changes: Partial<Parameters<typeof planSnapshot>[0]> = {},
): Promise<SnapshotPlan> {
  return planSnapshot({
    source,
    snapshot: SECOND,
    clock: realWorld().clock,
    signal: new AbortController().signal,
    store,
    parent: "auto",
    withCanary: false,
    ...changes,
  });
}

/** Plans, acquires, and compares; gives what the acquisition fetched. */
async function comparePlan(store: Store, source: FakeSource, changes: Changes = {}): Promise<number> {
  const planned = await plan(store, source);
  source.fetched.length = 0;
  const { prepared } = await acquire(store, source, SECOND, changes);
  assertEquals(planned.tally, prepared.tally);
  assertEquals(planned.tally.fetchBlocks, source.fetched.length);
  assertEquals([planned.parent?.id, planned.parentDropped], [prepared.parent?.id, prepared.parentDropped]);
  assertEquals(planned.shape, prepared.shape);
  return source.fetched.length;
}

Deno.test("planSnapshot() of a new snapshot says what acquireSnapshot() does, with a store and without", async () => {
  await withStore(async (store) => {
    const source = twoSnapshots();
    const { tally, journal, parent } = await plan(undefined, source);
    assertEquals([tally.fetchBlocks, tally.absentBlocks, journal, parent], [
      10,
      65_526,
      undefined,
      undefined,
    ]);
    assertEquals(await comparePlan(store, source), 10);
  });
});

Deno.test("planSnapshot() of an incremental acquisition says what acquireSnapshot() does", async () => {
  await withStore(async (store) => {
    const source = twoSnapshots();
    source.unreadable.set(40_000, failing("HTTP 500"));
    await acquire(store, source, FIRST);
    source.unreadable.clear();
    assertEquals(await comparePlan(store, source), 6);
  });
});

Deno.test("planSnapshot() of a resumed acquisition says what acquireSnapshot() does", async () => {
  for (const isIncremental of [false, true]) {
    await withStore(async (store) => {
      const source = Object.assign(twoSnapshots(), { maxConcurrency: 1 });
      if (isIncremental) await acquire(store, source, FIRST);
      const controller = new AbortController();
      source.onGet = (index) => {
        if (index === 7) controller.abort();
      };
      await assertRejects(() => acquire(store, source, SECOND, { signal: controller.signal }), OperatorError);
      source.onGet = () => {};
      const { tally, journal } = await plan(store, source);
      assertEquals(journal?.source.snapshot, SECOND);
      assertEquals(tally.heldBlocks, isIncremental ? 2 : 4);
      assertEquals(await comparePlan(store, source), isIncremental ? 3 : 6);
    });
  }
});

Deno.test("planSnapshot() goes full where acquireSnapshot() does", async () => {
  const reasons: readonly [string, (source: FakeSource) => void][] = [
    ["lineage", (source) => source.snapshots.set(SECOND, volume(AFTER, { volume: "vol-2" }))],
    ["said to be new", (source) => source.differences = (said) => said.filter(({ index }) => index !== 7)],
  ];
  for (const [reason, change] of reasons) {
    await withStore(async (store) => {
      const source = twoSnapshots();
      await acquire(store, source, FIRST);
      change(source);
      const { tally, parentDropped } = await plan(store, source);
      assert(parentDropped?.includes(reason), parentDropped);
      assertEquals(tally.fetchBlocks, 10);
      assertEquals(await comparePlan(store, source), 10);
    });
  }
});

Deno.test("planSnapshot() goes full where a segment of the parent is damaged, as acquireSnapshot() does", async () => {
  await withFolder(async (folder) => {
    const source = twoSnapshots();
    const parent = await inStore(folder, async (store) => (await acquire(store, source, FIRST)).exhibit);
    for (const { name } of parent.inventory.files) {
      if (!name.startsWith("segments/")) continue;
      const bytes = await Deno.readFile(`${folder}/store/${name}`);
      bytes[bytes.length - 20]! ^= 1;
      await Deno.writeFile(`${folder}/store/${name}`, bytes);
    }
    await inStore(folder, async (store) => {
      assert((await plan(store, source)).parentDropped?.startsWith(parent.id));
      assertEquals(await comparePlan(store, source), 10);
    });
  });
});

Deno.test("planSnapshot() writes nothing to the store", async () => {
  await withFolder(async (folder) => {
    const source = twoSnapshots();
    await inStore(folder, (store) => acquire(store, source, FIRST));
    const files = async () => {
      const names: string[] = [];
      for await (const { name } of Deno.readDir(`${folder}/store/exhibits`)) names.push(name);
      for await (const { name } of Deno.readDir(`${folder}/store`)) names.push(name);
      return names.sort();
    };
    const before = await files();
    const store = await openStore(realWorld(), `${folder}/store`);
    assertEquals((await plan(store, source)).tally.fetchBlocks, 5);
    store.close();
    assertEquals(await files(), before);
  });
});

Deno.test("planSnapshot() reads one block that is to be fetched as a canary, and says what came of it", async () => {
  await withStore(async (store) => {
    const source = twoSnapshots();
    await acquire(store, source, FIRST);
    source.fetched.length = 0;
    assertEquals((await plan(store, source, { withCanary: false })).canary, undefined);
    assertEquals(source.fetched, []);
    const { canary } = await plan(store, source, { withCanary: true });
    assertEquals([source.fetched, canary?.blockIndex, canary?.failure], [[2], 2, undefined]);
    source.unreadable.set(2, failing("HTTP 500"));
    assertEquals((await plan(store, source, { withCanary: true })).canary?.failure, failing("HTTP 500"));
    source.onGet = () => {
      throw new OperatorError("access", "not authorized to perform kms:Decrypt");
    };
    const error = await assertRejects(() => plan(store, source, { withCanary: true }), OperatorError);
    assertEquals(error.code, "access");
  });
});

Deno.test("planSnapshot() reads a block as a canary where nothing is to be fetched, none where there is none", async () => {
  await withStore(async (store) => {
    const source = new FakeSource({
      [FIRST]: volume(BEFORE),
      [SECOND]: volume(BEFORE),
      [THIRD]: volume({}, { volume: "vol-3" }),
    });
    await acquire(store, source, FIRST);
    const { canary, tally } = await plan(store, source, { withCanary: true });
    assertEquals([canary?.blockIndex, tally.fetchBlocks, tally.takenOverBlocks], [0, 0, 9]);
    assertEquals((await plan(undefined, source, { snapshot: THIRD, withCanary: true })).canary, undefined);
  });
});

Deno.test("planSnapshot() refuses a snapshot that cannot be read in its state, with a hint", async () => {
  for (const description of [{ state: "pending" }, { storageTier: "archive" }, { state: "error" }] as const) {
    const source = new FakeSource({ [SECOND]: volume(AFTER, { description }) });
    const error = await assertRejects(() => plan(undefined, source), OperatorError);
    assertEquals([error.code, error.facts["reason"], error.hints.length], ["source", "SNAPSHOT_STATE", 1]);
    assertEquals(source.listed, []);
  }
});
