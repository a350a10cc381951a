/** Acquisitions over HTTP from the simulator: request counts are the server's own, and 64 TiB stay small. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { planSnapshot } from "../../src/acquisition/mod.ts";
import { type AwsSource, openSource } from "../../src/aws/source.ts";
import { OperatorError } from "../../src/errors.ts";
import type { SnapshotId } from "../../src/model.ts";
import {
  type Simulator,
  type SimulatorOptions,
  startSimulator,
  type SyntheticFormula,
} from "../../src/simulate/mod.ts";
import { realWorld } from "../../src/world.ts";
import { FIRST, SECOND } from "./fake_source.ts";
import { acquire, inStore, withFolder, withStore } from "./runs.ts";

/** 2048 blocks of 512 KiB; every 8th can be present, three of four of these are. */
const FORMULA: SyntheticFormula = {
  seed: 7,
  volumeSizeGib: 1,
  every: 8,
  density: 0.75,
  changeRate: 0.1,
  removedShare: 0.3,
  zeroShare: 0.1,
  bytes: "pattern",
};

async function withSimulator(
  options: SimulatorOptions,
  body: (run: { readonly simulator: Simulator; readonly source: AwsSource }) => Promise<void>,
): Promise<void> {
  const simulator = await startSimulator({ quotas: "none", countBlocks: true, pageLimit: 100, ...options });
  const environment = simulator.environment();
  const { clock, randomness } = realWorld();
  const source = await openSource({ clock, randomness, environment: (name) => environment[name] });
  try {
    await body({ simulator, source });
  } finally {
    source.close();
    await simulator.close();
  }
}

/** Two snapshots of one volume. */
const SERIES = [
  { id: FIRST, volumeId: "vol-0123456789abcdef0", synthetic: FORMULA },
  { id: SECOND, volumeId: "vol-0123456789abcdef0", synthetic: { ...FORMULA, version: 1 } },
];

async function present(source: AwsSource, snapshot: SnapshotId): Promise<number> {
  let blocks = 0;
  for await (const page of source.listBlocks(snapshot)) blocks += page.blocks.length;
  return blocks;
}

Deno.test("acquireSnapshot() over HTTP asks for each block once, killed and resumed too", async () => {
  await withFolder(async (folder) => {
    await withSimulator({ snapshots: SERIES }, async ({ simulator, source }) => {
      const blocks = await present(source, FIRST);
      await inStore(`${folder}/whole`, async (store) => {
        const { exhibit, prepared } = await acquire(store, source, FIRST);
        assertEquals(simulator.requests.of("GetSnapshotBlock").requests, blocks);
        assertEquals(prepared.tally.fetchBlocks, blocks);
        const whole = exhibit.manifest.imageDigest;
        await inStore(`${folder}/resumed`, async (other) => {
          const controller = new AbortController();
          const onProgress = ({ fetchedBlocks }: { readonly fetchedBlocks: number }) => {
            if (fetchedBlocks === 60) controller.abort();
          };
          const error = await assertRejects(
            () => acquire(other, source, FIRST, { signal: controller.signal, onProgress }),
            OperatorError,
          );
          assertEquals(error.code, "interrupted");
          const before = simulator.requests.of("GetSnapshotBlock").requests;
          const resumed = await acquire(other, source, FIRST);
          const { heldBlocks, fetchBlocks } = resumed.prepared.tally;
          assert(heldBlocks >= 60);
          assertEquals(simulator.requests.of("GetSnapshotBlock").requests - before, blocks - heldBlocks);
          assertEquals(fetchBlocks, blocks - heldBlocks);
          assertEquals(resumed.exhibit.manifest.imageDigest, whole);
        });
      });
    });
  });
});

Deno.test("acquireSnapshot() over HTTP asks for just the changed blocks of a later snapshot", async () => {
  await withFolder(async (folder) => {
    await withSimulator({ snapshots: SERIES }, async ({ simulator, source }) => {
      const blocks = await present(source, SECOND);
      let changed = 0;
      for await (const page of source.listChangedBlocks({ first: FIRST, second: SECOND })) {
        changed += page.blocks.filter(({ token }) => token !== undefined).length;
      }
      await inStore(`${folder}/one`, async (store) => {
        const parent = await acquire(store, source, FIRST);
        const before = simulator.requests.of("GetSnapshotBlock").requests;
        const { exhibit } = await acquire(store, source, SECOND);
        assertEquals(simulator.requests.of("GetSnapshotBlock").requests - before, changed);
        assertEquals(exhibit.manifest.parent?.exhibit, parent.exhibit.id);
        assertEquals(exhibit.manifest.acquisition.takenOverBlocks, blocks - changed);
        await inStore(`${folder}/two`, async (other) => {
          const full = await acquire(other, source, SECOND);
          assertEquals(full.exhibit.manifest.imageDigest, exhibit.manifest.imageDigest);
        });
      });
    });
  });
});

Deno.test("acquireSnapshot() over HTTP goes full where ListChangedBlocks is denied", async () => {
  await withStore(async (store) => {
    await withSimulator({ snapshots: SERIES }, async ({ simulator, source }) => {
      await acquire(store, source, FIRST);
      simulator.deny("ebs:ListChangedBlocks");
      const { exhibit } = await acquire(store, source, SECOND);
      assertEquals(exhibit.manifest.parent, null);
      assert(exhibit.manifest.acquisition.parentDropped?.includes("ListChangedBlocks"));
    });
  });
});

Deno.test("planSnapshot() of 64 TiB is quick and takes little memory", async () => {
  const synthetic: SyntheticFormula = { seed: 1, volumeSizeGib: 65_536, every: 65_536, bytes: "pattern" };
  await withSimulator({ snapshots: [{ id: FIRST, synthetic }] }, async ({ source }) => {
    // Growth, not size: the process that runs the tests has its compiler's memory too.
    const beforeBytes = Deno.memoryUsage().rss;
    const startedMs = performance.now();
    const { tally, shape } = await planSnapshot({
      source,
      snapshot: FIRST,
      clock: realWorld().clock,
      signal: new AbortController().signal,
      store: undefined,
      parent: "auto",
      withCanary: true,
    });
    const seconds = (performance.now() - startedMs) / 1000;
    const { rss } = Deno.memoryUsage();
    const grownMib = (rss - beforeBytes) / 2 ** 20;
    // deno-lint-ignore no-console
    console.log(
      `64 TiB planned in ${seconds.toFixed(1)} s, ${(rss / 2 ** 20).toFixed(0)} MiB resident, ${
        grownMib.toFixed(0)
      } MiB more than before`,
    );
    assertEquals([shape.blockCount, tally.fetchBlocks, tally.absentBlocks], [2 ** 27, 2048, 2 ** 27 - 2048]);
    assert(seconds < 10, `${seconds} s`);
    assert(grownMib < 128, `${grownMib} MiB`);
  });
});
