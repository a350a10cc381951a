/**
 * Packs made in this thread and in worker threads: the same bytes for the same blocks, whoever makes them; and what a
 * worker meets reaches whoever asked.
 */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { BlockBuffers } from "../../src/buffers.ts";
import { OperatorError } from "../../src/errors.ts";
import { sha256 } from "../../src/format/digests.ts";
import { openStoreForWriting } from "../../src/store/mod.ts";
import { inlinePackers, type Packers, workerPackers } from "../../src/store/_packers.ts";
import type { Contents } from "../../src/store/_contents.ts";
import { LocalStorage } from "../../src/store/_local_storage.ts";
import { PackWriter } from "../../src/store/_pack_writer.ts";
import type { PackedBlocks } from "../../src/store/_packed_blocks.ts";
import { Packing } from "../../src/store/_packing.ts";
import { Threads } from "../../src/store/_threads.ts";
import { quickDisk } from "./faulty_disk.ts";
import {
  acquire,
  noise,
  pattern,
  reading,
  shapeOf,
  testWorld,
  verifiedBlock,
  type Volume,
  withFolder,
} from "./fixtures.ts";

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

class CountedBuffers extends BlockBuffers {
  readonly given: number[] = [];

  override giveBack(bytes: Uint8Array): void {
    this.given.push(bytes.length);
    super.giveBack(bytes);
  }
}

async function packWith(packers: Packers, path: string, count: number) {
  const writer = new PackWriter(packers.start(0, { path, cipher: undefined }));
  for (const [index, bytes] of blocks(count).entries()) {
    writer.add({ index, digest: sha256(bytes), bytes });
    if (writer.isBusy) await writer.lessBusy();
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

Deno.test("Packers give the memory of blocks back when they are written, in this thread and in workers", () =>
  withFolder(async (root) => {
    for (const workers of [0, 2]) {
      const buffers = new CountedBuffers();
      const packers = workers === 0
        ? inlinePackers(quickDisk, buffers)
        : workerPackers(new Threads({ count: workers, root }), buffers);
      try {
        const { path, digest } = await packWith(packers, `${root}/${workers}`, 40);
        assertEquals(buffers.given, Array(40).fill(BLOCK), `${workers} workers`);
        assertEquals(sha256(Deno.readFileSync(path)), digest);
      } finally {
        packers.close();
      }
    }
  }));

Deno.test("Packing gives blocks to the first packer, to the next while that is busy, and waits where all are", () =>
  withFolder(async (root) => {
    const { clock, disk, randomness } = testWorld();
    const storage = new LocalStorage({ disk, root, randomness });
    /** By packer: what ends the writing of each of its blocks. */
    const writing: (() => void)[][] = [[], []];
    const packers: Packers = {
      count: 2,
      buffers: undefined,
      start: (position) => ({
        add: () => new Promise((resolve) => writing[position]!.push(() => resolve(1))),
        close: () => Promise.reject(new Error("nothing is closed here")),
        abandon: () => undefined,
      }),
      close: () => undefined,
    };
    const packing = new Packing({
      storage,
      clock,
      packers,
      folder: "journal",
      contents: { packCipher: () => Promise.resolve(undefined) } as unknown as Contents,
      blocks: { isHeld: () => Promise.resolve(undefined) } as unknown as PackedBlocks,
    }, () => Promise.resolve());
    const all = blocks(40).map(verifiedBlock);
    let next = 0;
    const put = async (count: number) => {
      for (const end = next + count; next < end; next++) await packing.put(next, all[next]!);
      return writing.map((of) => of.length);
    };
    // 16 of these blocks are 4 MiB: a packer with so many to write is busy.
    assertEquals(await put(16), [16, 0], "one packer is enough where it keeps up");
    assertEquals(await put(3), [16, 3], "nobody waits for the first while the second has time");
    writing[0]![0]!();
    assertEquals(await put(14), [17, 16], "the first again, as soon as it has time");
    let isPut = false;
    const last = put(1).then((counts) => {
      isPut = true;
      return counts;
    });
    for (let turn = 0; turn < 100; turn++) await Promise.resolve();
    assertEquals(isPut, false, "both are busy");
    writing[1]![0]!();
    assertEquals(await last, [17, 17]);
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
