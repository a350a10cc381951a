/** Incremental acquisitions: exactly what must be fetched is, the rest is taken over, and any doubt ends in a full one. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { OperatorError } from "../../src/errors.ts";
import type { ChangedBlock } from "../../src/model.ts";
import type { Exhibit } from "../../src/store/mod.ts";
import { seededBelow } from "../seeded.ts";
import { failing, type FakeSnapshot, FakeSource, FIRST, SECOND, type Table } from "./fake_source.ts";
import { acquire, ascending, inStore, tableOf, withFolder, withStore } from "./runs.ts";
import {
  acquireInFull,
  AFTER,
  BEFORE,
  CHANGED,
  droppedReason,
  twoSnapshots,
  volume,
} from "./two_snapshots.ts";

/** The image digest of a full acquisition of `blocks` in a store of its own. */
async function fullDigest(folder: string, snapshot: FakeSnapshot): Promise<string> {
  return await inStore(`${folder}/full`, async (store) => {
    const { exhibit } = await acquire(store, new FakeSource({ [SECOND]: snapshot }), SECOND);
    assertEquals(exhibit.manifest.parent, null);
    return exhibit.manifest.imageDigest;
  });
}

Deno.test("acquireSnapshot() fetches what changed and what the parent could not read, and shares the rest", async () => {
  await withStore(async (store, folder) => {
    const source = twoSnapshots();
    source.unreadable.set(40_000, failing("HTTP 500"));
    const parent = (await acquire(store, source, FIRST)).exhibit;
    source.unreadable.clear();
    source.fetched.length = 0;
    const { exhibit, prepared } = await acquire(store, source, SECOND);
    assertEquals(ascending(source.fetched), [...CHANGED, 40_000]);
    assertEquals(await tableOf(exhibit), AFTER);
    const { manifest } = exhibit;
    assertEquals(manifest.parent?.exhibit, parent.id);
    assertEquals(manifest.parent?.imageDigest, parent.manifest.imageDigest);
    assertEquals([manifest.acquisition.fetchedBlocks, manifest.acquisition.takenOverBlocks], [6, 4]);
    assertEquals(manifest.acquisition.takenOverReadSince, parent.manifest.acquisition.startedAt);
    assertEquals(manifest.imageDigest, await fullDigest(folder, volume(AFTER)));
    // Segment 3 did not change; 0, 1 and (what was unreadable) 2 did.
    assertEquals(manifest.segments.map((digest, at) => digest === parent.manifest.segments[at]), [
      false,
      false,
      false,
      true,
    ]);
    assertEquals(prepared.parent?.id, parent.id);
    assertEquals(
      { ...prepared.tally, listRequests: 0 },
      { fetchBlocks: 6, heldBlocks: 0, takenOverBlocks: 4, absentBlocks: 65_526, listRequests: 0 },
    );
  });
});

Deno.test("acquireSnapshot() fetches nothing where nothing changed, and shares every segment", async () => {
  await withStore(async (store) => {
    const source = new FakeSource({ [FIRST]: volume(BEFORE), [SECOND]: volume(BEFORE) });
    const parent = (await acquire(store, source, FIRST)).exhibit;
    source.fetched.length = 0;
    const { exhibit } = await acquire(store, source, SECOND);
    assertEquals(source.fetched, []);
    assertEquals(exhibit.manifest.segments, parent.manifest.segments);
    assertEquals(exhibit.manifest.acquisition.takenOverBlocks, 9);
    assertEquals((await store.exhibitIds()).length, 2);
  });
});

Deno.test("acquireSnapshot() has an unreadable block of the parent that is gone now as absent", async () => {
  await withStore(async (store) => {
    const { 5: _, ...gone } = BEFORE;
    const source = new FakeSource({ [FIRST]: volume(BEFORE), [SECOND]: volume(gone) });
    source.unreadable.set(5, failing("HTTP 500"));
    await acquire(store, source, FIRST);
    source.unreadable.clear();
    source.fetched.length = 0;
    const { exhibit } = await acquire(store, source, SECOND);
    assertEquals(await tableOf(exhibit), gone);
    assertEquals(source.fetched, []);
  });
});

Deno.test("acquireSnapshot() takes over from a smaller volume of the same lineage", async () => {
  await withStore(async (store, folder) => {
    const grown = { ...BEFORE, 65_536: 21, 131_071: 0, 3: 22 };
    const source = new FakeSource({ [FIRST]: volume(BEFORE), [SECOND]: volume(grown, { volumeSizeGib: 8 }) });
    await acquire(store, source, FIRST);
    source.fetched.length = 0;
    const { exhibit } = await acquire(store, source, SECOND);
    assertEquals(ascending(source.fetched), [3, 65_536, 131_071]);
    assertEquals(await tableOf(exhibit), grown);
    assertEquals(
      exhibit.manifest.imageDigest,
      await fullDigest(folder, volume(grown, { volumeSizeGib: 8 })),
    );
  });
});

Deno.test("acquireSnapshot() acquires in full where the volume shrank, and says so", async () => {
  await withStore(async (store) => {
    const source = twoSnapshots();
    source.snapshots.set(FIRST, volume(BEFORE, { volumeSizeGib: 8 }));
    const parent = (await acquire(store, source, FIRST)).exhibit;
    assert(droppedReason(await acquireInFull(store, source, { parent })).includes("larger"));
  });
});

Deno.test("acquireSnapshot() acquires in full where the snapshots are unrelated, and says so", async () => {
  await withStore(async (store) => {
    const source = twoSnapshots();
    source.snapshots.set(SECOND, volume(AFTER, { volume: "vol-2" }));
    await acquire(store, source, FIRST);
    assert(droppedReason(await acquireInFull(store, source)).includes("lineage"));
  });
});

for (
  const [code, message] of [
    ["access", "not authorized to perform ebs:ListChangedBlocks"],
    ["not_found", "the first snapshot is gone"],
  ] as const
) {
  Deno.test(`acquireSnapshot() acquires in full where ListChangedBlocks gives ${code}, and says so`, async () => {
    await withStore(async (store) => {
      const source = twoSnapshots();
      await acquire(store, source, FIRST);
      source.onPage = (call) => {
        if (call === "changed") throw new OperatorError(code, message);
      };
      assert(droppedReason(await acquireInFull(store, source)).includes(message));
    });
  });
}

Deno.test("acquireSnapshot() does not go full where the network fails while differences are listed", async () => {
  await withStore(async (store) => {
    const source = twoSnapshots();
    await acquire(store, source, FIRST);
    source.fetched.length = 0;
    source.onPage = (call) => {
      if (call === "changed") throw new OperatorError("source", "no answer for 24 h");
    };
    const error = await assertRejects(() => acquire(store, source, SECOND), OperatorError);
    assertEquals([error.code, source.fetched.length], ["source", 0]);
    source.onPage = () => {};
    const { exhibit } = await acquire(store, source, SECOND);
    assertEquals(ascending(source.fetched), CHANGED);
    assertEquals(exhibit.manifest.acquisition.parentDropped, null);
  });
});

type Said = readonly ChangedBlock[];
const without = (gone: number) => (said: Said) => said.filter(({ index }) => index !== gone);
const saying = (...more: [number, string | undefined][]) => (said: Said) =>
  [
    ...said.filter(({ index }) => more.every(([other]) => other !== index)),
    ...more.map(([index, token]) => ({ index, token })),
  ].sort((a, b) => a.index - b.index);

const MISMATCHES: readonly [string, (said: Said) => Said][] = [
  ["a new block is not among the differences", without(7)],
  ["a removed block is not among the differences", without(5)],
  ["a listed block was said to be removed", saying([0, undefined])],
  ["an absent block was said to be changed", saying([5, `${SECOND} 5`])],
  ["a new block was said to be removed", saying([7, undefined])],
];
for (const [what, differences] of MISMATCHES) {
  Deno.test(`acquireSnapshot() acquires in full where ${what}`, async () => {
    await withStore(async (store) => {
      const source = twoSnapshots();
      await acquire(store, source, FIRST);
      source.differences = differences;
      assert(/^ex-[0-9a-f]{16}: block \d+ /.test(droppedReason(await acquireInFull(store, source))));
    });
  });
}

/** Does `harm` to the file of the first kind that the exhibit names. */
async function harmFile(
  folder: string,
  exhibit: Exhibit,
  kind: "pack" | "segment",
  harm: (path: string) => Promise<void>,
) {
  const file = exhibit.inventory.files.find(({ name }) => name.startsWith(`${kind}s/`));
  if (!file) throw new Error(`no ${kind} in ${JSON.stringify(exhibit.inventory.files)}`);
  await harm(`${folder}/store/${file.name}`);
}

for (
  const [what, kind, harm] of [
    ["pack is missing", "pack", (path: string) => Deno.remove(path)],
    ["pack is shorter", "pack", (path: string) => Deno.truncate(path, 100)],
    ["segment is missing", "segment", (path: string) => Deno.remove(path)],
    ["segments are damaged", "segment", async (path: string) => {
      const bytes = await Deno.readFile(path);
      bytes[bytes.length - 20]! ^= 1;
      await Deno.writeFile(path, bytes);
    }],
  ] as const
) {
  Deno.test(`acquireSnapshot() acquires in full where the parent's ${what}, and says so`, async () => {
    await withFolder(async (folder) => {
      const source = twoSnapshots();
      const parent = await inStore(folder, async (store) => (await acquire(store, source, FIRST)).exhibit);
      if (kind === "segment") {
        for (const { name } of parent.inventory.files) {
          if (name.startsWith("segments/")) await harm(`${folder}/store/${name}`);
        }
      } else await harmFile(folder, parent, kind, harm);
      await inStore(folder, async (store) => {
        assert(droppedReason(await acquireInFull(store, source)).startsWith(`${parent.id}: `));
      });
    });
  });
}

Deno.test("acquireSnapshot() building on a parent gives the image digest of a full one, of random volumes", async () => {
  const seed = Number(Deno.env.get("COLDCASE_SEED") ?? Date.now() % 2 ** 32);
  // deno-lint-ignore no-console
  console.log(`COLDCASE_SEED=${seed}`);
  const below = seededBelow(seed);
  const randomTable = (share: number, start: Table): Table => {
    const table: Record<number, number> = { ...start };
    for (let change = 0; change < share; change++) {
      const index = 16_370 + below(40);
      if (below(4) === 0) delete table[index];
      else table[index] = below(5);
    }
    return table;
  };
  for (let round = 0; round < 5; round++) {
    const before = randomTable(40, {});
    const after = randomTable(1 + below(10), before);
    await withStore(async (store, folder) => {
      const source = new FakeSource({ [FIRST]: volume(before), [SECOND]: volume(after) });
      for (const index of Object.keys(before)) {
        if (below(6) === 0) source.unreadable.set(Number(index), failing("HTTP 500"));
      }
      await acquire(store, source, FIRST);
      const must = Object.keys(after).map(Number).filter((index) =>
        before[index] !== after[index] || source.unreadable.has(index)
      );
      source.unreadable.clear();
      source.fetched.length = 0;
      const { exhibit } = await acquire(store, source, SECOND);
      assertEquals(ascending(source.fetched), must, `COLDCASE_SEED=${seed}, round ${round}`);
      assertEquals(exhibit.manifest.imageDigest, await fullDigest(folder, volume(after)));
    });
  }
});
