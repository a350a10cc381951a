/**
 * Packs made in this thread and in worker threads: the same bytes for the same blocks, whoever makes them; and what a
 * worker meets reaches whoever asked.
 */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { OperatorError } from "../../src/errors.ts";
import { sha256 } from "../../src/format/digests.ts";
import { openStoreForWriting } from "../../src/store/mod.ts";
import { inlinePackers, type Packers, workerPackers } from "../../src/store/_packers.ts";
import { PackWriter } from "../../src/store/_pack_writer.ts";
import { Threads } from "../../src/store/_threads.ts";
import { quickDisk } from "./faulty_disk.ts";
import { acquire, noise, pattern, reading, shapeOf, testWorld, type Volume, withFolder } from "./fixtures.ts";

const BLOCK = 1 << 18;

/** Noise, text, and half of each: raw records and zstd ones. */
function blocks(count: number): Uint8Array<ArrayBuffer>[] {
  return Array.from({ length: count }, (_, nth) => {
    const bytes = new Uint8Array(BLOCK);
    bytes.set((nth % 3 === 0 ? noise : pattern)(nth + 1, BLOCK));
    if (nth % 3 === 2) bytes.set(noise(nth, BLOCK / 2));
    return bytes;
  });
}

async function packWith(packers: Packers, path: string, count: number) {
  const writer = new PackWriter(packers.start(0, { path, cipher: undefined }));
  for (const [index, bytes] of blocks(count).entries()) {
    await writer.add({ index, digest: sha256(bytes), bytes });
  }
  return await writer.close();
}

Deno.test("Packers make the same pack in this thread and in workers", () =>
  withFolder(async (root) => {
    const here = await packWith(inlinePackers(quickDisk), `${root}/here`, 40);
    const threads = workerPackers(new Threads({ count: 2, root }));
    try {
      const there = await packWith(threads, `${root}/there`, 40);
      assertEquals({ ...there, path: "" }, { ...here, path: "" });
      const [first, second] = [here, there].map(({ path }) => Deno.readFileSync(path));
      assertEquals(first, second);
      assertEquals(sha256(first!), here.digest);
      assertEquals(here.entries.length, 40);
    } finally {
      threads.close();
    }
  }));

Deno.test("Packers in workers pass on what the disk says, to the next block or the close", () =>
  withFolder(async (root) => {
    const threads = workerPackers(new Threads({ count: 1, root }));
    try {
      const missing = `${root}/no/such/folder/open-0.pack`;
      const error = await assertRejects(() => packWith(threads, missing, 3), OperatorError);
      assertEquals(error.code, "storage");
      assert(error.message.includes(missing), error.message);
      // The thread is not lost with it.
      assertEquals((await packWith(threads, `${root}/later`, 3)).entries.length, 3);
    } finally {
      threads.close();
    }
  }));

Deno.test("An acquisition gives the same segments and image with no worker, one, and three", () =>
  withFolder(async (root) => {
    const volume: Volume = new Map(blocks(300).map((bytes, nth) => [nth * 3, bytes]));
    const shape = shapeOf(BLOCK);
    const seen: unknown[] = [];
    for (const workers of [0, 1, 3]) {
      const path = `${root}/${workers}`;
      const store = await openStoreForWriting(testWorld(), path, { workers });
      // Blocks are handed over: each acquisition gets its own.
      const own = new Map([...volume].map(([index, bytes]) => [index, (bytes as Uint8Array).slice()]));
      const id = await acquire(store, { volume: own, shape, flushEvery: 97 });
      store.close();
      await reading(path, async (reader) => {
        const exhibit = await reader.exhibit(id);
        const { acquisition: _, ...evidence } = exhibit.manifest;
        seen.push(evidence);
        const signal = new AbortController().signal;
        const summary = await reader.verify(exhibit, {
          level: "full",
          signal,
          onFinding: ({ message }) => assert(false, message),
        });
        assertEquals([summary.findings, summary.storedBlocks], [0, 300]);
        assertEquals(sha256(await exhibit.readBlock(6)), sha256(volume.get(6) as Uint8Array));
      });
    }
    assertEquals(seen[1], seen[0]);
    assertEquals(seen[2], seen[0]);
  }));
