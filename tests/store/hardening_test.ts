/**
 * What an attacker, a careless copy or a failing disk can do to a store's files, and what the store makes of
 * it: damage is refused or got over, and never becomes evidence.
 */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { OperatorError } from "../../src/errors.ts";
import { sha256 } from "../../src/format/digests.ts";
import { decodeSlot, SLOT_BYTES } from "../../src/format/journal.ts";
import { openStoreForWriting, type Store } from "../../src/store/mod.ts";
import {
  acquire,
  acquireAt,
  beginOrResume,
  COUNTS,
  evidenceFiles,
  FACTS,
  feed,
  filesBelow,
  findingsOf,
  LATER,
  noise,
  type Order,
  reading,
  SESSION,
  shapeOf,
  tableOf,
  tableOfExhibit,
  testWorld,
  UNREADABLE,
  verifiedBlock,
  type Volume,
  withFolder,
  writing,
} from "./fixtures.ts";

const BLOCK = 16_384;
const SHAPE = shapeOf(BLOCK);
const bytes = (seed: number) => noise(seed, BLOCK);
const PARENT: Volume = new Map([[0, bytes(1)], [20_000, bytes(2)], [40_000, bytes(3)]]);
/** Another block in each of the parent's segments. */
const CHILD = new Map([[0, bytes(4)], [20_000, bytes(5)], [40_000, bytes(6)]]);

async function orderChild(store: Store): Promise<Order> {
  const parent = (await store.exhibits())[0]!;
  return { volume: CHILD, shape: SHAPE, snapshot: LATER, parent, parentVolume: PARENT, flushEvery: 1 };
}

/** A journal over a parent in which every block has a flush of its own; gives its folder. */
async function interruptedChild(root: string): Promise<string> {
  await acquireAt(root, { volume: PARENT, shape: SHAPE });
  return await writing(root, async (store) => {
    const order = await orderChild(store);
    const acquisition = await beginOrResume(store, order);
    await acquisition.startSession(SESSION, { counts: () => COUNTS, takeEvents: () => [] });
    for (const [index, block] of CHILD) {
      await acquisition.put(index, verifiedBlock(block));
      await acquisition.flush();
    }
    await acquisition.endSession("interrupted");
    return `${root}/journal/${acquisition.head.exhibit}`;
  });
}

/** Resumes and commits; gives the blocks that were put again. */
async function resumeChild(root: string): Promise<number[]> {
  return await writing(root, async (store) => {
    const put: number[] = [];
    const order = await orderChild(store);
    const id = await acquire(store, { ...order, onPut: (index) => put.push(index) });
    assertEquals(await tableOfExhibit(await store.exhibit(id)), tableOf(CHILD));
    return put;
  });
}

function linesOf(folder: string): string[] {
  return Deno.readTextFileSync(`${folder}/log`).split("\n").slice(0, -1);
}

// -------------------------------------------------------------------------------------------- journal

Deno.test("Acquisition.resume() refuses a log with a damaged line before whole ones, and keeps the journal", () =>
  withFolder(async (root) => {
    const folder = await interruptedChild(root);
    const lines = linesOf(folder);
    assertEquals(lines.length, 5);
    for (let line = 0; line < lines.length - 1; line++) {
      const damaged = lines.map((text, at) => at === line ? text.replace("type", "tyqe") : text);
      const text = damaged.join("\n") + "\n";
      Deno.writeTextFileSync(`${folder}/log`, text);
      const error = await assertRejects(() => resumeChild(root), OperatorError);
      assertEquals([error.code, error.facts["line"]], ["integrity", line + 1]);
      assertEquals(Deno.readTextFileSync(`${folder}/log`), text, "and it is left as it was");
    }
    Deno.writeTextFileSync(`${folder}/log`, lines.join("\n") + "\n");
    assertEquals(await resumeChild(root), []);
  }));

/** What a log may lose at its end, and the blocks of `CHILD` whose packs it does not name then. */
const LOSSES: [string, (lines: string[]) => string, number[]][] = [
  ["nothing", (lines) => lines.join("\n") + "\n", []],
  ["its last line, which names no pack", (lines) => lines.slice(0, 4).join("\n") + "\n", []],
  ["a line with a pack", (lines) => lines.slice(0, 3).join("\n") + "\n", [40_000]],
  ["two lines with packs", (lines) => lines.slice(0, 2).join("\n") + "\n", [20_000, 40_000]],
  ["a piece of a line", (lines) => lines.slice(0, 3).join("\n").slice(0, -20), [20_000, 40_000]],
  ["an end of line", (lines) => lines.slice(0, 4).join("\n"), [40_000]],
  ["all lines", () => "", [0, 20_000, 40_000]],
];

for (const [what, lose, lost] of LOSSES) {
  Deno.test(`Acquisition.resume() of a log that lost ${what} fetches the blocks whose packs it does not name, no other`, () =>
    withFolder(async (root) => {
      const folder = await interruptedChild(root);
      Deno.writeTextFileSync(`${folder}/log`, lose(linesOf(folder)));
      assertEquals(await resumeChild(root), lost);
    }));
}

Deno.test("Acquisition.resume() refuses a log of which a line between others is gone, and keeps the journal", () =>
  withFolder(async (root) => {
    const folder = await interruptedChild(root);
    const lines = linesOf(folder);
    // Of the lines that name packs all but the last: behind it there is none that could tell.
    for (const gone of [1, 2]) {
      const text = lines.filter((_, at) => at !== gone).join("\n") + "\n";
      Deno.writeTextFileSync(`${folder}/log`, text);
      const slots = Deno.readFileSync(`${folder}/blocks`);
      const error = await assertRejects(() => resumeChild(root), OperatorError);
      assertEquals([error.code, error.facts], ["integrity", { packs: gone - 1, packsBefore: gone }]);
      assertEquals(Deno.readTextFileSync(`${folder}/log`), text, "and it is left as it was");
      assertEquals(Deno.readFileSync(`${folder}/blocks`), slots);
    }
    Deno.writeTextFileSync(`${folder}/log`, lines.join("\n") + "\n");
    assertEquals(await resumeChild(root), []);
  }));

/** A journal of blocks of one segment, a flush each; gives its folder and the names of their packs. */
async function interruptedSegment(root: string): Promise<{ folder: string; packs: string[] }> {
  const folder = await writing(root, async (store) => {
    const acquisition = await beginOrResume(store, SEGMENT_ORDER);
    await acquisition.startSession(SESSION, { counts: () => COUNTS, takeEvents: () => [] });
    for (const [index, block] of SEGMENT_VOLUME) {
      await acquisition.put(index, verifiedBlock(block));
      await acquisition.flush();
    }
    await acquisition.endSession("interrupted");
    return `${root}/journal/${acquisition.head.exhibit}`;
  });
  const packs = linesOf(folder).flatMap((line) => /packs\/[^"]*/.exec(line)?.[0] ?? []);
  assertEquals(packs.length, SEGMENT_VOLUME.size);
  return { folder, packs };
}

const SEGMENT_VOLUME = new Map([3, 4, 9, 11].map((index) => [index, bytes(index)]));
const SEGMENT_ORDER: Order = { volume: SEGMENT_VOLUME, shape: SHAPE, flushEvery: 1 };

/** Resumes and commits; gives the blocks that were put again. What the exhibit needs is all there. */
async function resumeSegment(root: string): Promise<number[]> {
  const put: number[] = [];
  const id = await acquireAt(root, { ...SEGMENT_ORDER, onPut: (index) => put.push(index) });
  assertEquals(await findingsOf(root, id), []);
  await reading(root, async (store) => {
    assertEquals(await tableOfExhibit(await store.exhibit(id)), tableOf(SEGMENT_VOLUME));
  });
  return put;
}

Deno.test("Acquisition.resume() with a pack missing, or of another size, fetches exactly the blocks of that pack again", async () => {
  const indexes = [...SEGMENT_VOLUME.keys()];
  for (
    const harm of [(path: string) => Deno.removeSync(path), (path: string) => Deno.truncateSync(path, 100)]
  ) {
    for (const [number, index] of indexes.entries()) {
      await withFolder(async (root) => {
        const { packs } = await interruptedSegment(root);
        harm(`${root}/${packs[number]}`);
        assertEquals(await resumeSegment(root), [index]);
      });
    }
    await withFolder(async (root) => {
      const { packs } = await interruptedSegment(root);
      for (const number of [0, 2]) harm(`${root}/${packs[number]}`);
      assertEquals(await resumeSegment(root), [indexes[0]!, indexes[2]!]);
    });
  }
});

Deno.test("Acquisition.resume() after packs went missing in session after session fetches those of the last again", () =>
  withFolder(async (root) => {
    const { packs } = await interruptedSegment(root);
    for (let session = 0; session < 3; session++) {
      Deno.removeSync(`${root}/${packs[1]}`);
      await writing(root, async (store) => {
        const acquisition = await beginOrResume(store, SEGMENT_ORDER);
        assertEquals([...SEGMENT_VOLUME.keys()].filter((index) => !acquisition.recorded(index)), [4]);
        await acquisition.startSession(SESSION, { counts: () => COUNTS, takeEvents: () => [] });
        await acquisition.put(4, verifiedBlock(SEGMENT_VOLUME.get(4)!));
        await acquisition.endSession("interrupted");
      });
    }
    assertEquals(await resumeSegment(root), []);
  }));

Deno.test("Acquisition.resume() takes no number in a slot for a pack that the log named before it lost lines", async () => {
  // All in one segment, which the lines that are left name too; as after a session that cut a torn tail off and died.
  for (const left of [1, 2, 3]) {
    await withFolder(async (root) => {
      const { folder } = await interruptedSegment(root);
      const lines = linesOf(folder);
      Deno.writeTextFileSync(`${folder}/log`, lines.slice(0, 1 + left).join("\n") + "\n");
      assertEquals(await resumeSegment(root), [...SEGMENT_VOLUME.keys()].slice(left));
    });
  }
});

Deno.test("Acquisition.flush() numbers packs as the log names them, used ones of other exhibits too, each once", () =>
  withFolder(async (root) => {
    await acquireAt(root, { volume: new Map([[0, bytes(21)], [1, bytes(22)]]), shape: SHAPE, flushEvery: 1 });
    await writing(root, async (store) => {
      const order: Order = { volume: new Map(), shape: SHAPE, snapshot: LATER };
      const acquisition = await beginOrResume(store, order);
      await acquisition.startSession(SESSION, { counts: () => COUNTS, takeEvents: () => [] });
      // One of its own; then one of its own and one of the other exhibit; then of packs that are known; one more.
      const flushes = [[[5, 23]], [[6, 24], [7, 22]], [[8, 23], [9, 22], [10, 24]], [[11, 21], [12, 23]]];
      for (const blocks of flushes) {
        for (const [index, seed] of blocks) await acquisition.put(index!, verifiedBlock(bytes(seed!)));
        await acquisition.flush();
      }
      const folder = `${root}/journal/${acquisition.head.exhibit}`;
      const map = Deno.readFileSync(`${folder}/blocks`);
      const numbers = [5, 6, 7, 8, 9, 10, 11, 12].map((index) => {
        const block = decodeSlot(map.subarray(index * SLOT_BYTES, (index + 1) * SLOT_BYTES), index);
        return block?.state === "stored" ? block.packNumber : undefined;
      });
      assertEquals(numbers, [0, 1, 2, 0, 2, 1, 3, 0]);
      const lines = linesOf(folder).map((line) => JSON.parse(line.slice(9)));
      const told = lines.filter(({ type }) => type === "flush")
        .map(({ packs, packsBefore, usedPacks }) => [packsBefore, packs.length, usedPacks.length]);
      assertEquals(told, [[0, 1, 0], [1, 1, 1], [3, 0, 0], [3, 0, 1]]);
      await acquisition.endSession("interrupted");
    });
  }));

Deno.test("commitExhibit() forgets what no pack holds, and the next session fetches it again", () =>
  withFolder(async (root) => {
    await interruptedChild(root);
    await writing(root, async (store) => {
      const order = await orderChild(store);
      const acquisition = await beginOrResume(store, order);
      await acquisition.startSession(SESSION, { counts: () => COUNTS, takeEvents: () => [] });
      await feed(acquisition, order);
      // The index names the pack still.
      const packs = evidenceFiles(root).filter((name) => name.endsWith(".pack"));
      const { name } = packs.map((name) => ({ name, mtime: Deno.statSync(`${root}/${name}`).mtime! }))
        .sort((a, b) => b.mtime.getTime() - a.mtime.getTime())[0]!;
      Deno.renameSync(`${root}/${name}`, `${root}/lost`);
      const error = await assertRejects(() => acquisition.commit(FACTS), OperatorError);
      assertEquals(error.code, "integrity");
      assert(error.hints[0]?.includes("fetched again"), error.hints.join());
      await acquisition.endSession(error.code);
    });
    assertEquals((await resumeChild(root)).length, 1);
  }));

Deno.test("Acquisition.flush() writes no line that a reader refuses, however much is unreadable", () =>
  withFolder(async (root) => {
    const store = await openStoreForWriting(testWorld(), root);
    const order: Order = { volume: new Map(), shape: SHAPE };
    const acquisition = await beginOrResume(store, order);
    await acquisition.startSession(SESSION, { counts: () => COUNTS, takeEvents: () => [] });
    const detail = "\u0001".repeat(1023) + "\u{1f600}";
    const requestIds = new Array(20).fill("\u0002".repeat(300));
    for (let index = 0; index < 2500; index++) {
      await acquisition.putUnreadable(index, { ...UNREADABLE, detail, requestIds });
    }
    await acquisition.endSession("interrupted");
    const resumed = await beginOrResume(store, order);
    assertEquals(resumed.unreadableBlocks, 2500);
    await resumed.endSession("interrupted");
    store.close();
  }));

// ------------------------------------------------------------------------------------- caches, left-overs

Deno.test("openStore() writes nothing, whatever state the index is in", async (t) => {
  const states: [string, (index: string) => void][] = [
    ["whole", () => undefined],
    ["missing", (index) => Deno.removeSync(index)],
    ["damaged", (index) => Deno.writeTextFileSync(index, "no index".repeat(1000))],
    ["empty", (index) => Deno.writeTextFileSync(index, "")],
  ];
  for (const [name, change] of states) {
    await t.step(name, () =>
      withFolder(async (root) => {
        const id = await acquireAt(root, { volume: PARENT, shape: SHAPE });
        const spare = Deno.readFileSync(`${root}/cache/index.sqlite`);
        await acquireAt(root, { volume: CHILD, shape: SHAPE, snapshot: LATER });
        if (name === "whole") Deno.writeFileSync(`${root}/cache/index.sqlite`, spare); // it lags
        change(`${root}/cache/index.sqlite`);
        const contents = () =>
          filesBelow(root).map((file) => [file, sha256(Deno.readFileSync(`${root}/${file}`))]);
        const before = contents();
        await reading(root, async (store) => {
          assertEquals(await tableOfExhibit(await store.exhibit(id)), tableOf(PARENT));
          for (const exhibit of await store.exhibits()) await tableOfExhibit(exhibit);
          assertEquals(store.tolerated.length > 0, name === "damaged");
        });
        assertEquals(contents(), before);
        await writing(root, async (store) => void await tableOfExhibit(await store.exhibit(id)));
        assertEquals(Deno.readTextFileSync(`${root}/cache/index.sqlite`).startsWith("SQLite"), true);
      }));
  }
});

Deno.test("openStoreForWriting() moves what nobody of it left in tmp/ and journal/ to quarantine", () =>
  withFolder(async (root) => {
    const id = await acquireAt(root, { volume: PARENT, shape: SHAPE });
    Deno.mkdirSync(`${root}/tmp/mine/too`, { recursive: true });
    Deno.writeTextFileSync(`${root}/tmp/mine/too/notes`, "notes");
    Deno.mkdirSync(`${root}/journal/ex-00000000000000aa/log`, { recursive: true });
    Deno.writeTextFileSync(`${root}/journal/ex-00000000000000aa/log/deep`, "1");
    Deno.mkdirSync(`${root}/journal/ex-00000000000000bb`);
    Deno.writeTextFileSync(`${root}/journal/ex-00000000000000bb/unknown`, "2");
    Deno.mkdirSync(`${root}/journal/${id}`);
    Deno.writeTextFileSync(`${root}/journal/${id}/.swp`, "3");
    await writing(root, () => Promise.resolve());
    const left = filesBelow(root, "quarantine/").map((name) => Deno.readTextFileSync(`${root}/${name}`));
    assertEquals(left.sort(), ["1", "2", "3", "notes"]);
    assertEquals([...Deno.readDirSync(`${root}/tmp`), ...Deno.readDirSync(`${root}/journal`)], []);
  }));

Deno.test("Store refuses a journal that was renamed by hand", () =>
  withFolder(async (root) => {
    const folder = await interruptedChild(root);
    Deno.renameSync(folder, `${root}/journal/ex-00000000000000aa`);
    const error = await assertRejects(() => writing(root, (store) => store.journals()), OperatorError);
    assertEquals(error.code, "integrity");
  }));

// ------------------------------------------------------------------------------------------------ record

Deno.test("commitExhibit() tells no number of listed blocks without a listing, and takes over what the parent gave", () =>
  withFolder(async (root) => {
    const parentVolume: Volume = new Map<number, Uint8Array | "unreadable">([...PARENT, [9, "unreadable"]]);
    await acquireAt(root, { volume: parentVolume, shape: SHAPE });
    await writing(root, async (store) => {
      const parent = (await store.exhibits())[0]!;
      for (const isBuiltOn of [true, false]) {
        const snapshot = `snap-0000000${isBuiltOn ? 1 : 2}` as typeof LATER;
        const acquisition = await beginOrResume(store, {
          volume: CHILD,
          shape: SHAPE,
          snapshot,
          ...(isBuiltOn && { parent }),
        });
        await acquisition.startSession(SESSION, { counts: () => COUNTS, takeEvents: () => [] });
        await acquisition.put(0, verifiedBlock(bytes(4)));
        await acquisition.commit({ ...FACTS, isPartial: true, rest: "not_acquired" });
        const record = (await store.exhibit(acquisition.head.exhibit)).manifest.acquisition;
        assertEquals([record.listedBlocks, record.takenOverBlocks], [null, isBuiltOn ? 2 : 0]);
        assertEquals(record.takenOverReadSince === null, !isBuiltOn);
      }
    });
  }));
