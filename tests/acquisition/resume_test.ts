/** Interrupted acquisitions and their resumption: what is fetched again, what is refused, what is kept. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { acquireSnapshot } from "../../src/acquisition/mod.ts";
import { type ErrorCode, OperatorError } from "../../src/errors.ts";
import type { Manifest } from "../../src/format/manifest.ts";
import type { Store } from "../../src/store/mod.ts";
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

/** Runs until `blocks` blocks are put, then aborts as Ctrl-C does. Gives the blocks that were recorded. */
async function interruptAfter(store: Store, source: FakeSource, blocks: number): Promise<number[]> {
  const controller = new AbortController();
  const given: number[] = [];
  const before = source.onGet;
  source.onGet = (index) => {
    if (given.length < blocks) given.push(index);
    else controller.abort();
  };
  const input = inputFor({ store, source, snapshot: FIRST }, { signal: controller.signal });
  const error = await assertRejects(() => acquireSnapshot(input), OperatorError);
  assertEquals(error.code, "interrupted");
  source.onGet = before;
  return given;
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

function withoutRecord(manifest: Manifest): unknown {
  return { ...manifest, acquisition: undefined };
}

for (const parallel of [1, 4]) {
  Deno.test(`acquireSnapshot() interrupted after any block fetches just the rest, ${parallel} at once`, async () => {
    await withFolder(async (folder) => {
      const whole = await inStore(`${folder}/whole`, async (store) => {
        return (await acquire(store, new FakeSource({ [FIRST]: { blocks: BLOCKS } }), FIRST)).exhibit
          .manifest;
      });
      for (let after = 0; after < ALL.length; after += parallel) {
        const source = new FakeSource({ [FIRST]: { blocks: BLOCKS } });
        source.maxConcurrency = parallel;
        await inStore(`${folder}/after-${after}`, async (store) => {
          const recorded = await interruptAfter(store, source, after);
          source.fetched.length = 0;
          const { exhibit, prepared } = await acquire(store, source, FIRST);
          // Blocks under way when the signal came are given up, whether their bytes had come or not.
          const again = ascending(source.fetched);
          assertEquals([...new Set(again)], again);
          assertEquals(ascending(new Set([...again, ...recorded])), ALL);
          if (parallel === 1) assertEquals(again, ALL.filter((index) => !recorded.includes(index)));
          assertEquals(prepared.isResumed, true);
          assertEquals([prepared.tally.fetchBlocks, prepared.tally.heldBlocks], [
            again.length,
            ALL.length - again.length,
          ]);
          assertEquals(withoutRecord(exhibit.manifest), withoutRecord(whole));
          const sessions = await exhibit.sessions();
          assertEquals(sessions.map((session) => session.outcome), ["interrupted", "committed"]);
          assertEquals(exhibit.manifest.acquisition.fetchedBlocks, ALL.length);
        });
      }
    });
  });
}

Deno.test("acquireSnapshot() interrupted every second block and moved each time comes to its end", async () => {
  await withFolder(async (folder) => {
    const source = new FakeSource({ [FIRST]: { blocks: BLOCKS } });
    source.maxConcurrency = 1;
    let sessions = 0;
    for (; source.fetched.length < ALL.length; sessions++) {
      await inStore(`${folder}/place-${sessions}`, (store) => interruptAfter(store, source, 2));
      await Deno.rename(`${folder}/place-${sessions}`, `${folder}/place-${sessions + 1}`);
    }
    await inStore(`${folder}/place-${sessions}`, async (store) => {
      const { exhibit } = await acquire(store, source, FIRST);
      assertEquals(await tableOf(exhibit), BLOCKS);
      assertEquals(exhibit.manifest.acquisition.sessions, sessions + 1);
    });
  });
});

for (
  const [what, later] of [
    ["has a block more", { ...BLOCKS, 7: 1 }],
    ["has other blocks, as many", { 0: 11, 1: 0, 2: 12, 5: 11, 6: 0, 90: 13, 91: 14, 500: 15, 1022: 16 }],
    ["has a block less", { 0: 11 }],
  ] as const
) {
  Deno.test(`acquireSnapshot() ends with source where the listing ${what} than before; the journal stays`, async () => {
    await withStore(async (store) => {
      const source = new FakeSource({ [FIRST]: { blocks: BLOCKS } });
      source.maxConcurrency = 1;
      const recorded = await interruptAfter(store, source, 3);
      source.snapshots.set(FIRST, { blocks: later });
      const error = await refused(store, source, {}, "source");
      assertEquals(error.facts["reason"], "LISTING_CHANGED");
      assert(error.hints.join(" ").includes("--fresh"));
      source.snapshots.set(FIRST, { blocks: BLOCKS });
      source.fetched.length = 0;
      const { exhibit } = await acquire(store, source, FIRST);
      assertEquals(source.fetched, ALL.filter((index) => !recorded.includes(index)));
      assertEquals(await tableOf(exhibit), BLOCKS);
    });
  });
}

Deno.test("acquireSnapshot() ends with source where the listing changes between counting and fetching", async () => {
  await withStore(async (store) => {
    const source = new FakeSource({ [FIRST]: { blocks: BLOCKS } });
    const { 1023: _, ...others } = BLOCKS;
    const onPrepared = () => source.snapshots.set(FIRST, { blocks: { ...others, 1022: 16 } });
    const error = await refused(store, source, { onPrepared }, "source");
    assertEquals(error.facts["reason"], "LISTING_CHANGED");
    assertEquals((await store.journals()).length, 1);
  });
});

for (
  const [what, later] of [
    ["volume", { volumeSizeGib: 2 }],
    ["block size", { blockSizeBytes: 2 * 1024 * 1024 }],
  ] as const
) {
  Deno.test(`acquireSnapshot() ends with source where the ${what} is another than before; the journal stays`, async () => {
    await withStore(async (store) => {
      const blocks = { 0: 11, 1: 0, 2: 12 };
      const source = new FakeSource({ [FIRST]: { blocks } });
      await interruptAfter(store, source, 1);
      source.snapshots.set(FIRST, { blocks, ...later });
      const error = await refused(store, source, {}, "source");
      assertEquals(error.facts["reason"], "LISTING_CHANGED");
      assertEquals((await store.journals()).length, 1);
    });
  });
}

Deno.test("acquireSnapshot() refuses to resume with another Region, endpoint or parent, and names it", async () => {
  await withStore(async (store) => {
    const source = new FakeSource({ [SECOND]: { blocks: { 0: 11 } }, [FIRST]: { blocks: BLOCKS } });
    const other = (await acquire(store, source, SECOND)).exhibit;
    await interruptAfter(store, source, 1);
    const [head] = await store.journals();
    assertEquals(head?.parent?.exhibit, other.id);
    const attempts: [Partial<FakeSource>, Changes, string[]][] = [
      [{ region: "eu-west-1" }, {}, ["us-east-1", "eu-west-1"]],
      [{ endpoint: "http://127.0.0.1:2" }, {}, ["http://127.0.0.1:1", "http://127.0.0.1:2"]],
      [{}, { parent: "none" }, [other.id, "none"]],
    ];
    for (const [place, changes, names] of attempts) {
      const elsewhere = Object.assign(new FakeSource({ [FIRST]: { blocks: BLOCKS } }), place);
      const error = await refused(store, elsewhere, changes, "usage");
      for (const name of names) assert(error.message.includes(name), error.message);
      assertEquals([elsewhere.listed, elsewhere.fetched], [[], []]);
      assertEquals(await store.journals(), [head!]);
    }
    const { exhibit } = await acquire(store, source, FIRST, { parent: other });
    assertEquals(exhibit.manifest.parent?.exhibit, other.id);
  });
});

Deno.test("acquireSnapshot() with fresh sets aside what was begun, wherever that was", async () => {
  await withStore(async (store) => {
    const source = new FakeSource({ [FIRST]: { blocks: BLOCKS } });
    await interruptAfter(store, source, 4);
    const elsewhere = Object.assign(new FakeSource({ [FIRST]: { blocks: BLOCKS } }), { region: "eu-west-1" });
    const { exhibit, prepared } = await acquire(store, elsewhere, FIRST, { fresh: true });
    assertEquals(ascending(elsewhere.fetched), ALL);
    assertEquals(prepared.isResumed, false);
    assertEquals(exhibit.manifest.acquisition.sessions, 1);
    assertEquals(await store.journals(), []);
  });
});

Deno.test("acquireSnapshot() with retryUnreadable fetches just what was unreadable and what is missing", async () => {
  await withStore(async (store) => {
    const source = new FakeSource({ [FIRST]: { blocks: BLOCKS } });
    source.maxConcurrency = 1;
    for (const index of [1, 5]) source.unreadable.set(index, failing("HTTP 500"));
    await interruptAfter(store, source, 5);
    source.unreadable.delete(1);
    source.fetched.length = 0;
    const { exhibit } = await acquire(store, source, FIRST, { retryUnreadable: true });
    assertEquals(source.fetched, [1, 5, 90, 91, 500, 1023]);
    assertEquals(await tableOf(exhibit), { ...BLOCKS, 5: "unreadable" });
    assertEquals((await exhibit.unreadable())?.map(({ first }) => first.block), [5]);
  });
});
