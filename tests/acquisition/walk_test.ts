/** A full acquisition, from nothing: what is fetched, what is recorded, and what is not asked for. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { OperatorError } from "../../src/errors.ts";
import type { SnapshotDescription } from "../../src/model.ts";
import { failing, FakeSource, FIRST, MIB_BLOCKS, SECOND, shapeOf } from "./fake_source.ts";
import { acquire, ascending, inStore, tableOf, withFolder, withStore } from "./runs.ts";

const BLOCKS = { 0: 11, 1: 0, 2: 12, 5: 11, 6: 0, 90: 13, 1023: 14 };

Deno.test("acquireSnapshot() fetches each listed block once and records the four states", async () => {
  await withStore(async (store) => {
    const source = new FakeSource({ [FIRST]: { blocks: BLOCKS } });
    source.unreadable.set(5, failing("HTTP 500 InternalServerException"));
    const { exhibit, prepared } = await acquire(store, source, FIRST);
    assertEquals(ascending(source.fetched), [0, 1, 2, 5, 6, 90, 1023]);
    assertEquals(await tableOf(exhibit), { ...BLOCKS, 5: "unreadable" });
    const { manifest } = exhibit;
    assertEquals(manifest.counts, {
      absentBlocks: 1017,
      storedBlocks: 4,
      unreadableBlocks: 1,
      zeroBlocks: 2,
    });
    assertEquals([manifest.isPartial, manifest.parent, manifest.supersedes], [false, null, null]);
    assertEquals(manifest.acquisition.listedBlocks, 7);
    assertEquals(manifest.acquisition.takenOverBlocks, 0);
    assertEquals(manifest.acquisition.parentDropped, null);
    assertEquals(manifest.acquisition.receivedBytes, 6 * MIB_BLOCKS);
    assertEquals([prepared.isResumed, prepared.parent, prepared.parentDropped], [
      false,
      undefined,
      undefined,
    ]);
    assertEquals(prepared.tally, {
      fetchBlocks: 7,
      heldBlocks: 0,
      takenOverBlocks: 0,
      absentBlocks: 1017,
      listRequests: 2,
    });
    assertEquals(await store.journals(), []);
  });
});

Deno.test("acquireSnapshot() records why, where and under which request ids a block is unreadable", async () => {
  await withStore(async (store) => {
    const source = new FakeSource({ [FIRST]: { blocks: BLOCKS } });
    source.unreadable.set(2, failing("SHA-256 is 9f2c, declared 41d0", "checksum"));
    source.unreadable.set(90, failing("body has 3 bytes", "length"));
    const { exhibit } = await acquire(store, source, FIRST);
    const rest = { attempts: 5, requestIds: ["req-1", "req-2"] };
    assertEquals(await exhibit.unreadable(), [
      {
        blocks: 1,
        first: { ...rest, block: 2, detail: "SHA-256 is 9f2c, declared 41d0", reason: "checksum" },
      },
      { blocks: 1, first: { ...rest, block: 90, detail: "body has 3 bytes", reason: "length" } },
    ]);
  });
});

for (const [what, blocks] of [["no block at all", {}], ["only its last block", { 1023: 5 }]] as const) {
  Deno.test(`acquireSnapshot() acquires a snapshot that has ${what}`, async () => {
    await withStore(async (store) => {
      const source = new FakeSource({ [FIRST]: { blocks } });
      const { exhibit } = await acquire(store, source, FIRST);
      assertEquals(await tableOf(exhibit), blocks);
      assertEquals(source.fetched, Object.keys(blocks).map(Number));
    });
  });
}

Deno.test("acquireSnapshot() never has more blocks under way than source, option and memory allow", async () => {
  const limits = [
    { concurrency: undefined, maxConcurrency: 3, blockSizeBytes: MIB_BLOCKS, expected: 3 },
    { concurrency: 2, maxConcurrency: 64, blockSizeBytes: MIB_BLOCKS, expected: 2 },
    { concurrency: undefined, maxConcurrency: 64, blockSizeBytes: 16 * MIB_BLOCKS, expected: 4 },
  ];
  for (const { concurrency, maxConcurrency, blockSizeBytes, expected } of limits) {
    await withStore(async (store) => {
      const blocks = Object.fromEntries(Array.from({ length: 9 }, (_, index) => [index, index]));
      const source = new FakeSource({ [FIRST]: { blocks, blockSizeBytes } });
      source.maxConcurrency = maxConcurrency;
      let underWay = 0;
      let most = 0;
      let waiting: (() => void)[] = [];
      source.onGet = async (index) => {
        most = Math.max(most, ++underWay);
        // All that may be under way are, before one goes on.
        if (underWay < expected && index < 8) await new Promise<void>((resolve) => waiting.push(resolve));
        for (const resolve of waiting) resolve();
        waiting = [];
        underWay--;
      };
      await acquire(store, source, FIRST, { concurrency });
      assertEquals(most, expected);
    });
  }
});

Deno.test("acquireSnapshot() gives two stores one image digest, and manifests equal but for `acquisition`", async () => {
  await withFolder(async (folder) => {
    const source = new FakeSource({ [FIRST]: { blocks: BLOCKS } });
    const manifests: unknown[] = [];
    for (const name of ["one", "two"]) {
      source.pageBlocks = name === "one" ? 1 : 100;
      source.maxConcurrency = name === "one" ? 1 : 8;
      await inStore(`${folder}/${name}`, async (store) => {
        const { manifest } = (await acquire(store, source, FIRST)).exhibit;
        manifests.push({ ...manifest, acquisition: undefined });
      });
    }
    assertEquals(manifests[0], manifests[1]);
  });
});

const UNREADABLE_STATES: readonly [string, Partial<SnapshotDescription>, RegExp][] = [
  ["is pending", { state: "pending" }, /completed/],
  ["is archived", { storageTier: "archive" }, /restore-snapshot-tier/],
  ["is in error", { state: "error" }, /another/],
  ["is in the recycle bin", { state: "recoverable" }, /completed/],
];
for (const [what, description, hint] of UNREADABLE_STATES) {
  Deno.test(`acquireSnapshot() refuses a snapshot that ${what}, with a hint, and begins nothing`, async () => {
    await withStore(async (store) => {
      const source = new FakeSource({ [FIRST]: { blocks: BLOCKS, description } });
      const error = await assertRejects(() => acquire(store, source, FIRST), OperatorError);
      assertEquals([error.code, error.facts["reason"]], ["source", "SNAPSHOT_STATE"]);
      assert(hint.test(error.hints.join(" ")), error.hints.join(" "));
      assertEquals(await store.journals(), []);
      assertEquals([source.listed, source.fetched], [[], []]);
    });
  });
}

Deno.test("acquireSnapshot() says not_found of a snapshot that is not there, and begins nothing", async () => {
  await withStore(async (store) => {
    const source = new FakeSource({ [FIRST]: { blocks: BLOCKS } });
    const error = await assertRejects(() => acquire(store, source, SECOND), OperatorError);
    assertEquals(error.code, "not_found");
    assertEquals(await store.journals(), []);
  });
});

Deno.test("acquireSnapshot() keeps what the service says of a snapshot, verbatim and in the record", async () => {
  await withStore(async (store) => {
    const description: Partial<SnapshotDescription> = {
      volumeId: "vol-1",
      startedAt: "2026-01-02T03:04:05Z",
      encrypted: true,
      kmsKeyId: "key",
      verbatim: { SnapshotId: FIRST, Progress: "100%" },
    };
    const source = new FakeSource({ [FIRST]: { blocks: { 3: 3 }, description } });
    const { exhibit } = await acquire(store, source, FIRST);
    const { snapshot } = exhibit.manifest.acquisition;
    assertEquals(snapshot.startedAt, "2026-01-02T03:04:05.000Z");
    assertEquals([snapshot.volumeId, snapshot.encrypted, snapshot.kmsKeyId], ["vol-1", true, "key"]);
    assertEquals((await exhibit.description())?.answer, { SnapshotId: FIRST, Progress: "100%" });
    assertEquals(exhibit.manifest.acquisition.descriptionResult, "received");
    assertEquals(exhibit.shape, shapeOf({}));
  });
});

Deno.test("acquireSnapshot() records how the question for the description ended, and who asked", async () => {
  for (const result of ["not_permitted", "not_found", "failed"] as const) {
    await withStore(async (store) => {
      const source = new FakeSource({ [FIRST]: { blocks: { 3: 3 } } });
      source.untold = result;
      source.caller = { account: "123456789012", arn: "arn", userId: "AROAEXAMPLE:session" };
      const { exhibit } = await acquire(store, source, FIRST);
      const { descriptionResult, snapshot, documents } = exhibit.manifest.acquisition;
      assertEquals([descriptionResult, snapshot.volumeId, documents.description], [result, null, null]);
      const [session] = await exhibit.sessions();
      assertEquals([session?.callerUserId, session?.otherRequests], ["AROAEXAMPLE:session", 2]);
    });
  }
});

Deno.test("acquireSnapshot() names the instance where EC2's own words for an image do, and nowhere else", async () => {
  const texts: [string | undefined, string | null][] = [
    ["Created by CreateImage(i-0123456789abcdef0) for ami-0123456789abcdef0", "i-0123456789abcdef0"],
    ["Created by CreateImage(i-01234567) for ami-01234567 from vol-01234567", "i-01234567"],
    ["Created by CreateImage(i-0123456789abcdef) for ami-01234567", null],
    ["Created by CreateImage(i-0123456G) for ami-01234567", null],
    ["Copied: Created by CreateImage(i-01234567) for ami-01234567", null],
    ["Created by CreateImage(i-01234567)", null],
    ["disk of i-01234567", null],
    [undefined, null],
  ];
  for (const [description, instance] of texts) {
    await withStore(async (store) => {
      const source = new FakeSource({ [FIRST]: { blocks: { 3: 3 }, description: { description } } });
      const { exhibit } = await acquire(store, source, FIRST);
      assertEquals(exhibit.manifest.acquisition.snapshot.instance, instance, description);
    });
  }
});

Deno.test("acquireSnapshot() cuts what a service says to what the record holds", async () => {
  await withStore(async (store) => {
    const long = `${"x".repeat(5000)}\ud800`;
    const tags = Object.fromEntries(Array.from({ length: 70 }, (_, at) => [`${at}${long}`, long]));
    const description: Partial<SnapshotDescription> = {
      description: long,
      kmsKeyId: long,
      ownerAccount: long,
      tags,
      volumeId: long,
    };
    const source = new FakeSource({ [FIRST]: { blocks: { 3: 3 }, description } });
    const { exhibit } = await acquire(store, source, FIRST);
    const { snapshot } = exhibit.manifest.acquisition;
    const lengths = [snapshot.description, snapshot.kmsKeyId, snapshot.ownerAccount, snapshot.volumeId];
    assertEquals(lengths.map((text) => text?.length), [1024, 2048, 64, 64]);
    assertEquals(Object.keys(snapshot.tags).length, 64);
  });
});
