/**
 * What an attacker, a careless copy or a failing disk can do to a store's files, and what the store makes of
 * it: damage is refused or got over, and never becomes evidence.
 */
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { OperatorError } from "../../src/errors.ts";
import { encodeCanonicalJson } from "../../src/format/canonical_json.ts";
import { sha256 } from "../../src/format/digests.ts";
import { encodeSessions, encodeUnreadable } from "../../src/format/documents.ts";
import { encodeInventory } from "../../src/format/inventory.ts";
import { encodeManifest, type Manifest } from "../../src/format/manifest.ts";
import type { ExhibitId, StoredObject } from "../../src/model.ts";
import { type Finding, openStoreForWriting, type Store } from "../../src/store/mod.ts";
import {
  acquire,
  acquireAt,
  beginOrResume,
  COUNTS,
  evidenceFiles,
  FACTS,
  feed,
  filesBelow,
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
} from "./fixtures.ts";

const BLOCK = 16_384;
const SHAPE = shapeOf(BLOCK);
const bytes = (seed: number) => noise(seed, BLOCK);
const PARENT: Volume = new Map([[0, bytes(1)], [20_000, bytes(2)], [40_000, bytes(3)]]);
/** Another block in each of the parent's segments. */
const CHILD = new Map([[0, bytes(4)], [20_000, bytes(5)], [40_000, bytes(6)]]);

async function writing<T>(root: string, body: (store: Store) => Promise<T>): Promise<T> {
  const store = await openStoreForWriting(testWorld(), root);
  try {
    return await body(store);
  } finally {
    store.close();
  }
}

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
    await acquisition.startSession(SESSION, () => COUNTS);
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

Deno.test("Acquisition.resume() takes no segment from the parent whose flush line is lost", async (t) => {
  const losses: [string, (lines: string[]) => string][] = [
    ["cut at a line", (lines) => lines.slice(0, 2).join("\n") + "\n"],
    ["cut within a line", (lines) => lines.slice(0, 3).join("\n").slice(0, -20)],
    ["all lines", () => ""],
    ["one line is gone", (lines) => lines.filter((_, at) => at !== 2).join("\n") + "\n"],
  ];
  for (const [name, lose] of losses) {
    await t.step(name, () =>
      withFolder(async (root) => {
        const folder = await interruptedChild(root);
        Deno.writeTextFileSync(`${folder}/log`, lose(linesOf(folder)));
        assertEquals(await resumeChild(root), [], "the packs are there, so the slots count");
      }));
  }
});

Deno.test("Acquisition.resume() forgets blocks whose flush line and pack are lost", () =>
  withFolder(async (root) => {
    const folder = await interruptedChild(root);
    const lines = linesOf(folder);
    const [name] = /packs\/[^"]*/.exec(lines[3]!)!;
    Deno.writeTextFileSync(`${folder}/log`, lines.slice(0, 3).join("\n") + "\n");
    Deno.removeSync(`${root}/${name}`);
    assertEquals(await resumeChild(root), [40_000]);
  }));

Deno.test("commitExhibit() forgets what no pack holds, and the next session fetches it again", () =>
  withFolder(async (root) => {
    await interruptedChild(root);
    await writing(root, async (store) => {
      const order = await orderChild(store);
      const acquisition = await beginOrResume(store, order);
      await acquisition.startSession(SESSION, () => COUNTS);
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
    await acquisition.startSession(SESSION, () => COUNTS);
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

// ----------------------------------------------------------------------------------- inventory, documents

const EXHIBIT_VOLUME: Volume = new Map<number, Uint8Array | "unreadable">([
  [0, bytes(1)],
  [7, "unreadable"],
  [20_000, "unreadable"],
]);

async function findingsOf(root: string, id: ExhibitId): Promise<Finding[]> {
  const findings: Finding[] = [];
  await reading(root, async (store) => {
    const signal = new AbortController().signal;
    const onFinding = (finding: Finding) => findings.push(finding);
    await store.verify(await store.exhibit(id), { level: "full", signal, onFinding });
  });
  return findings;
}

/** Writes a document under the name that its bytes have. */
function plant(
  root: string,
  kind: "manifest" | "inventory" | "document",
  id: ExhibitId,
  content: Uint8Array,
) {
  const digest = sha256(content);
  const name = kind === "document"
    ? `documents/${digest}.json`
    : `exhibits/${id}/${kind}-${digest}.${kind === "manifest" ? "json" : "txt"}`;
  Deno.writeFileSync(`${root}/${name}`, content);
  return { name, sizeBytes: content.length, digest };
}

/** Replaces manifest and inventory by edited ones: an exhibit as a forger, or a faulty program, would write it. */
async function forge(
  root: string,
  id: ExhibitId,
  edit: { manifest?: (manifest: Manifest) => Manifest; files?: (files: StoredObject[]) => StoredObject[] },
): Promise<void> {
  await reading(root, async (store) => {
    const exhibit = await store.exhibit(id);
    const manifest = encodeManifest((edit.manifest ?? ((same) => same))(exhibit.manifest));
    Deno.removeSync(`${root}/${exhibit.manifestFile}`);
    Deno.removeSync(`${root}/${exhibit.inventoryFile}`);
    const planted = plant(root, "manifest", id, manifest);
    const files = exhibit.inventory.files.filter((file) => file.name !== exhibit.manifestFile);
    const all = (edit.files ?? ((same) => same))([...files, planted]);
    const inventory = { ...exhibit.inventory, manifest: planted.digest, files: all };
    plant(root, "inventory", id, encodeInventory(inventory));
  });
}

Deno.test("Store finds an inventory that lacks or adds files, and neither copies it nor builds on it", async (t) => {
  const edits: [string, (files: StoredObject[]) => StoredObject[]][] = [
    ["manifest", (files) => files.filter((file) => !file.name.includes("manifest"))],
    ["segment", (files) => files.filter((file) => !file.name.startsWith("segments/"))],
    ["document", (files) => files.filter((file) => !file.name.startsWith("documents/"))],
    ["surplus", (files) => [...files, { name: `documents/${"0".repeat(64)}.json`, sizeBytes: 2 }]],
    ["two manifests", (files) => {
      const other = files.find((file) => file.name.includes("manifest"))!.name.replace(
        /[0-9a-f]{64}/,
        "0".repeat(64),
      );
      return [...files, { name: other, sizeBytes: 2 }];
    }],
  ];
  for (const [name, files] of edits) {
    await t.step(name, () =>
      withFolder(async (folder) => {
        const root = `${folder}/store`;
        const id = await acquireAt(root, { volume: EXHIBIT_VOLUME, shape: SHAPE });
        assertEquals(await findingsOf(root, id), []);
        await forge(root, id, { files });
        const findings = await findingsOf(root, id);
        assert(findings.some(({ file }) => file.includes("inventory")), JSON.stringify(findings));
        await writing(`${folder}/copy`, (target) =>
          reading(root, async (store) => {
            const exhibit = await store.exhibit(id);
            assert((await store.whyNotParent(exhibit))?.includes("inventory"));
            const signal = new AbortController().signal;
            const error = await assertRejects(() => store.copyTo(target, exhibit, { signal }), OperatorError);
            assertEquals(error.code, "integrity");
          }));
      }));
  }
});

Deno.test("Store.verify() finds side documents of another type, out of order, or of other blocks", async (t) => {
  const entry = (block: number, blocks = 1) => ({
    blocks,
    first: { attempts: 0, block, detail: "x", reason: "not_acquired" as const, requestIds: [] },
  });
  const list = (...entries: unknown[]) =>
    encodeCanonicalJson({ entries, type: "coldcase-unreadable", version: 0 });
  const documents: [string, Uint8Array][] = [
    ["another type", encodeSessions([])],
    ["descending", list(entry(20_000), entry(7))],
    ["twice", list(entry(7), entry(7), entry(20_000))],
    ["overlapping", list(entry(0, 8), entry(7), entry(20_000))],
    ["one too few", list(entry(7))],
    ["one too many", list(entry(7, 2), entry(20_000))],
    ["another block", list(entry(7), entry(20_001))],
    ["none", list()],
  ];
  for (const [name, content] of documents) {
    await t.step(name, () =>
      withFolder(async (root) => {
        const id = await acquireAt(root, { volume: EXHIBIT_VOLUME, shape: SHAPE });
        const planted = plant(root, "document", id, content);
        await forge(root, id, {
          manifest: (manifest) => {
            const documents = { ...manifest.acquisition.documents, unreadable: planted.digest };
            return { ...manifest, acquisition: { ...manifest.acquisition, documents } };
          },
          files: (files) => [...files, planted],
        });
        const own = (await findingsOf(root, id)).filter(({ file }) => file === planted.name);
        assertEquals(own.length, 1, JSON.stringify(own));
      }));
  }
  assertThrows(() => encodeUnreadable([entry(7), entry(7)]), OperatorError);
});

Deno.test("Exhibit refuses inventories of two manifests, and a copy's inventory is the newest of its store", () =>
  withFolder(async (folder) => {
    const [root, copy] = [`${folder}/store`, `${folder}/copy`];
    const id = await acquireAt(root, { volume: EXHIBIT_VOLUME, shape: SHAPE });
    const copyOver = () =>
      writing(copy, (target) =>
        reading(root, async (store) => {
          await store.copyTo(target, await store.exhibit(id), { signal: new AbortController().signal });
        }));
    await copyOver();
    const inventory = await reading(copy, async (store) => (await store.exhibit(id)).inventory);
    const ahead = { ...inventory, committedAt: "2099-01-01T00:00:00.000Z", files: inventory.files.slice(1) };
    plant(copy, "inventory", id, encodeInventory(ahead));
    for (const { name } of Deno.readDirSync(`${copy}/exhibits/${id}`)) {
      const path = `${copy}/exhibits/${id}/${name}`;
      if (name.startsWith("inventory") && !Deno.readTextFileSync(path).includes("2099")) {
        Deno.removeSync(path);
      }
    }
    await copyOver();
    const newest = await reading(copy, async (store) => (await store.exhibit(id)).inventory);
    assertEquals([newest.committedAt, newest.files], ["2099-01-01T00:00:00.001Z", inventory.files]);
    plant(copy, "inventory", id, encodeInventory({ ...inventory, manifest: sha256(new Uint8Array(1)) }));
    const error = await assertRejects(() => reading(copy, (store) => store.exhibit(id)), OperatorError);
    assertEquals(error.code, "integrity");
    assertEquals((await assertRejects(copyOver, OperatorError)).code, "integrity");
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
