/**
 * The index is a cache: gone, damaged, out of date or lying, it costs time and a line for the operator, never a
 * wrong byte, a missing pack in a copy, or a failure.
 */
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { DatabaseSync } from "node:sqlite";
import { OperatorError } from "../../src/errors.ts";
import { TEST_KEY } from "../signing_key.ts";
import { openStoreForWriting } from "../../src/store/mod.ts";
import {
  acquire,
  acquireAt,
  evidenceFiles,
  filesBelow,
  flipBit,
  LATER,
  noise,
  reading,
  shapeOf,
  tableOf,
  tableOfExhibit,
  testWorld,
  type Volume,
  withFolder,
} from "./fixtures.ts";

const BLOCK = 1 << 18;
const SHAPE = shapeOf(BLOCK);
const VOLUME: Volume = new Map([0, 1, 2, 3000].map((index) => [index, noise(index + 1, BLOCK)]));
const CHANGED: Volume = new Map([...VOLUME, [1, noise(77, BLOCK)], [9, noise(1, BLOCK)]]);
const signal = new AbortController().signal;

function edit(path: string, ...statements: string[]): void {
  const database = new DatabaseSync(path);
  for (const statement of statements) database.exec(statement);
  database.close();
}

const LIES: Record<string, string[]> = {
  "of shifted records": ["UPDATE blocks SET offset = offset + 1"],
  "of records of nothing": ["UPDATE blocks SET stored = 0"],
  "of records of less than nothing": ["UPDATE blocks SET stored = -60"],
  "of records of a terabyte": ["UPDATE blocks SET stored = 1099511627776"],
  "of records beyond all numbers": ["UPDATE blocks SET offset = 9223372036854775807"],
  "of records before the file": ["UPDATE blocks SET offset = -17"],
  "in words": ["UPDATE blocks SET offset = 'here', stored = 'much'"],
  "of other blocks' records": [
    "UPDATE blocks SET offset = (SELECT max(offset) FROM blocks), stored = (SELECT max(stored) FROM blocks)",
  ],
  "of packs that are gone": ["UPDATE packs SET name = 'packs/00/00' || substr(name, 12, 62) || '.pack'"],
  "of packs outside the store": ["UPDATE packs SET name = '../../outside' || id"],
  "of packs that are no packs": ["UPDATE packs SET name = 'store.json' || id"],
  "of packs of other sizes": ["UPDATE packs SET bytes = 3"],
  "by saying nothing of the blocks": ["DELETE FROM blocks"],
  "by saying nothing of one block": ["DELETE FROM blocks WHERE digest = (SELECT min(digest) FROM blocks)"],
  "by saying nothing of the packs": ["DELETE FROM packs"],
};

const BREAKAGES: Record<string, (path: string) => void> = {
  "is gone": (path) => Deno.removeSync(path),
  "is empty": (path) => Deno.truncateSync(path, 0),
  "is cut in half": (path) => Deno.truncateSync(path, Deno.statSync(path).size >> 1),
  "is garbage": (path) => Deno.writeFileSync(path, noise(5, 40_000)),
  "has garbage in its middle": (path) => {
    const bytes = Deno.readFileSync(path);
    bytes.set(noise(6, 4096), 4096);
    Deno.writeFileSync(path, bytes);
  },
  "is of another version": (path) => edit(path, "PRAGMA user_version = 99"),
  "has a view in place of a table, which never ends": (path) =>
    edit(
      path,
      "ALTER TABLE blocks RENAME TO held",
      "CREATE VIEW blocks AS WITH RECURSIVE endless(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM endless) " +
        "SELECT digest, pack, offset, stored FROM held, endless WHERE n < 0",
      "CREATE TRIGGER taken INSTEAD OF INSERT ON blocks BEGIN SELECT 1; END",
    ),
  "has a trigger that never ends": (path) =>
    edit(
      path,
      "CREATE TRIGGER never AFTER INSERT ON blocks BEGIN INSERT OR REPLACE INTO packs (name, bytes) " +
        "WITH RECURSIVE endless(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM endless) SELECT n, n FROM endless; END",
    ),
  "has other tables": (path) => edit(path, "DROP TABLE blocks", "CREATE TABLE blocks (digest TEXT)"),
  ...Object.fromEntries(
    Object.entries(LIES).map((
      [what, statements],
    ) => [`lies ${what}`, (path: string) => edit(path, ...statements)]),
  ),
};

for (const [what, breakIndex] of Object.entries(BREAKAGES)) {
  Deno.test(`Store reads, copies, verifies and builds on an exhibit whose index ${what}`, () =>
    withFolder(async (folder) => {
      const root = `${folder}/store`;
      const id = await acquireAt(root, { volume: VOLUME, shape: SHAPE, flushEvery: 2 });
      const index = `${root}/cache/index.sqlite`;
      const whole = Deno.readFileSync(index);
      const packs = evidenceFiles(root).filter((name) => name.startsWith("packs/"));
      assertEquals(packs.length, 2);
      const broken = () => {
        Deno.writeFileSync(index, whole);
        breakIndex(index);
      };

      broken();
      await reading(root, async (store) => {
        assertEquals(await tableOfExhibit(await store.exhibit(id)), tableOf(VOLUME));
        const isSilent = what === "is gone" || what === "is empty" || what.endsWith("nothing of the packs");
        assertEquals(store.tolerated.length > 0, !isSilent, store.tolerated.join("\n"));
      });
      const writer = await openStoreForWriting(testWorld(undefined, 3), root);
      assertEquals(await tableOfExhibit(await writer.exhibit(id)), tableOf(VOLUME));
      writer.close();
      await reading(root, async (store) => {
        assertEquals(await tableOfExhibit(await store.exhibit(id)), tableOf(VOLUME));
        assertEquals(store.tolerated, [], "a writer rebuilt it for good");
      });

      broken();
      const target = await openStoreForWriting(testWorld(), `${folder}/copy`);
      await reading(root, async (store) => {
        await store.copyTo(target, await store.exhibit(id), { key: TEST_KEY, signal });
      });
      target.close();
      assertEquals(evidenceFiles(`${folder}/copy`).filter((name) => name.startsWith("packs/")), packs);

      broken();
      await reading(root, async (store) => {
        const findings: string[] = [];
        const onFinding = ({ message }: { message: string }) => findings.push(message);
        await store.verify(await store.exhibit(id), { level: "full", signal, onFinding });
        assertEquals(findings, []);
      });

      broken();
      const store = await openStoreForWriting(testWorld(undefined, 2), root);
      const parent = await store.exhibit(id);
      const lineage = { parent, parentVolume: VOLUME, snapshot: LATER };
      const child = await store.exhibit(await acquire(store, { volume: CHANGED, shape: SHAPE, ...lineage }));
      assertEquals(await store.whyNotParent(child), undefined, "every file that it names is there");
      assertEquals(await tableOfExhibit(child), tableOf(CHANGED));
      store.close();
    }));
}

/** A store with one pack. */
async function onePack(root: string) {
  const id = await acquireAt(root, { volume: VOLUME, shape: SHAPE });
  const [pack] = evidenceFiles(root).filter((name) => name.startsWith("packs/"));
  return { id, pack: pack!, path: `${root}/${pack}` };
}

Deno.test("Exhibit.readBlock() finds blocks by record headers where a pack's footer is damaged", () =>
  withFolder(async (folder) => {
    for (const fromEnd of [1, 40, 44, 48, 49, 100, 208]) {
      const root = `${folder}/${fromEnd}`;
      const { id, path } = await onePack(root);
      flipBit(path, Deno.statSync(path).size - fromEnd);
      Deno.removeSync(`${root}/cache/index.sqlite`);
      await reading(root, async (store) => {
        assertEquals(await tableOfExhibit(await store.exhibit(id)), tableOf(VOLUME));
        assertStringIncludes(store.tolerated.join("\n"), "found by their headers");
      });
    }
  }));

Deno.test("Exhibit.readBlock() gives the whole records of a pack that was cut off", () =>
  withFolder(async (root) => {
    const { id, path } = await onePack(root);
    Deno.truncateSync(path, 16 + 3 * (56 + BLOCK) + 57);
    Deno.removeSync(`${root}/cache/index.sqlite`);
    await reading(root, async (store) => {
      const exhibit = await store.exhibit(id);
      for (const index of [0, 1, 2]) assertEquals(await exhibit.readBlock(index), VOLUME.get(index));
      const error = await assertRejects(() => exhibit.readBlock(3000), OperatorError);
      assertEquals([error.code, error.facts["blockIndex"]], ["integrity", 3000]);
    });
  }));

Deno.test("Exhibit.readBlock() uses another copy of a block whose record is damaged, and says so", () =>
  withFolder(async (root) => {
    const { id, path } = await onePack(root);
    flipBit(path, 16 + 56 + 1000);
    await reading(root, async (store) => {
      const exhibit = await store.exhibit(id);
      const error = await assertRejects(() => exhibit.readBlock(0), OperatorError);
      assertEquals([error.code, error.exitCode, error.facts["offsetBytes"]], ["integrity", 20, 0]);
      assertEquals(await exhibit.readBlock(1), VOLUME.get(1));
    });
    // The damaged copy is not relied upon: the same block is stored again.
    const other = await acquireAt(root, { volume: VOLUME, shape: SHAPE, snapshot: LATER }, {
      world: testWorld(undefined, 9),
      isReadAgain: false,
    });
    assertEquals(evidenceFiles(root).filter((name) => name.startsWith("packs/")).length, 2);
    for (const exhibitId of [id, other]) {
      for (const hasIndex of [true, false]) {
        const index = `${root}/cache/index.sqlite`;
        if (!hasIndex && filesBelow(root).includes("cache/index.sqlite")) Deno.removeSync(index);
        await reading(root, async (store) => {
          assertEquals(await tableOfExhibit(await store.exhibit(exhibitId)), tableOf(VOLUME));
        });
      }
    }
  }));

Deno.test("Store takes strange files among its packs for what they are", () =>
  withFolder(async (root) => {
    const { id, pack } = await onePack(root);
    Deno.writeTextFileSync(`${root}/packs/README`, "x".repeat(300));
    Deno.writeFileSync(`${root}/packs/00-junk.pack`, Deno.readFileSync(`${root}/${pack}`));
    Deno.removeSync(`${root}/cache/index.sqlite`);
    await reading(root, async (store) => {
      assertEquals(await tableOfExhibit(await store.exhibit(id)), tableOf(VOLUME));
      assertEquals(store.tolerated, []);
    });
    assert(filesBelow(root).includes("packs/README"), "and leaves them");
  }));
