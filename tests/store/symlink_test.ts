/**
 * Symbolic links in a store reach nothing outside it: whoever hands a store over could have put them there.
 * Opening refuses them, or what lies behind them stays as it was and is not read.
 */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { dirname } from "@std/path";
import { OperatorError } from "../../src/errors.ts";
import { type ExhibitId } from "../../src/model.ts";
import { type Finding, openStore, openStoreForWriting, type Store } from "../../src/store/mod.ts";
import {
  acquireAt,
  beginOrResume,
  COUNTS,
  evidenceFiles,
  noise,
  reading,
  SESSION,
  shapeOf,
  testWorld,
  verifiedBlock,
  type Volume,
  withFolder,
} from "./fixtures.ts";

const SHAPE = shapeOf(1 << 20);
const VOLUME: Volume = new Map([[0, noise(1, 1 << 20)], [3, noise(2, 1 << 20)]]);

/** A store with an exhibit and a begun acquisition, and a folder beside it that nobody may touch. */
async function withStoreAndOutside(
  body: (
    places: { readonly root: string; readonly outside: string; readonly id: ExhibitId },
  ) => Promise<void>,
): Promise<void> {
  await withFolder(async (folder) => {
    const root = `${folder}/store`;
    const outside = `${folder}/outside`;
    const id = await acquireAt(root, { volume: VOLUME, shape: SHAPE });
    const order = { volume: VOLUME, shape: SHAPE, snapshot: "snap-00000002" as never };
    const store = await openStoreForWriting(testWorld(), root);
    const begun = await beginOrResume(store, order);
    await begun.startSession(SESSION, { counts: () => COUNTS, takeEvents: () => [] });
    await begun.put(0, verifiedBlock(noise(3, 1 << 20)));
    await begun.endSession("interrupted");
    store.close();
    await body({ root, outside, id });
  });
}

/** Moves what is at `name` out of the store and leaves a link to it. */
function linkOut(root: string, outside: string, name: string): void {
  Deno.mkdirSync(dirname(`${outside}/${name}`), { recursive: true });
  Deno.renameSync(`${root}/${name}`, `${outside}/${name}`);
  Deno.symlinkSync(`${outside}/${name}`, `${root}/${name}`);
}

/** Names, sizes and times of change of all that lies below a folder. */
function listingOf(folder: string): string[] {
  return [...Deno.readDirSync(folder)].flatMap(({ name, isDirectory }) => {
    const facts = Deno.lstatSync(`${folder}/${name}`);
    const own = `${folder}/${name} ${facts.size} ${facts.mtime?.getTime()}`;
    return isDirectory ? [own, ...listingOf(`${folder}/${name}`)] : [own];
  }).sort();
}

function journalFolder(root: string): string {
  const [name] = [...Deno.readDirSync(`${root}/journal`)];
  return `journal/${name!.name}`;
}

async function verifyAll(store: Store, id: ExhibitId): Promise<Finding[]> {
  const findings: Finding[] = [];
  await store.verify(await store.exhibit(id), {
    level: "full",
    signal: new AbortController().signal,
    onFinding: (finding) => findings.push(finding),
  });
  return findings;
}

/** Folders and files that a store has at fixed places. */
const FIXED = [
  "store.json",
  "lock",
  "tmp",
  "cache",
  "cache/index.sqlite",
  "journal",
  "packs",
  "segments",
  "documents",
  "exhibits",
];
for (const name of FIXED) {
  Deno.test(`openStoreForWriting() refuses a store whose "${name}" is a symbolic link, and touches nothing behind it`, () =>
    withStoreAndOutside(async ({ root, outside }) => {
      if (name === "tmp") Deno.mkdirSync(`${root}/tmp`, { recursive: true });
      if (name === "tmp") Deno.writeTextFileSync(`${root}/tmp/thesis.txt`, "the only copy");
      linkOut(root, outside, name);
      const before = listingOf(outside);
      const error = await assertRejects(() => openStoreForWriting(testWorld(), root), OperatorError);
      assertEquals(error.code, "format", error.message);
      assert(error.message.includes(name) && error.message.includes("symlink"), error.message);
      assertEquals(listingOf(outside), before);
    }));
}

for (const name of ["store.json", "packs", "segments", "documents", "exhibits", "journal"]) {
  Deno.test(`openStore() refuses a store whose "${name}" is a symbolic link`, () =>
    withStoreAndOutside(async ({ root, outside }) => {
      linkOut(root, outside, name);
      const error = await assertRejects(() => openStore(testWorld(), root), OperatorError);
      assertEquals(error.code, "format", error.message);
      assert(error.message.includes("symlink"), error.message);
    }));
}

Deno.test("openStore() takes a store whose own folder is reached through a symbolic link", () =>
  withStoreAndOutside(async ({ root, outside, id }) => {
    Deno.symlinkSync(root, outside);
    assertEquals(await reading(outside, (store) => verifyAll(store, id)), []);
  }));

for (const level of ["file", "folder"] as const) {
  Deno.test(`Store.verify() finds each ${level} of the evidence that is a symbolic link, to the same bytes too`, () =>
    withStoreAndOutside(async ({ root, outside, id }) => {
      const files = evidenceFiles(root).filter((name) => !name.startsWith("exhibits/"));
      assert(files.length >= 3, String(files));
      const nested = files.filter((name) => name.split("/").length > 2);
      for (const file of level === "file" ? files : nested) {
        const name = level === "file" ? file : file.slice(0, file.lastIndexOf("/"));
        linkOut(root, outside, name);
        const findings = await reading(root, (store) => verifyAll(store, id));
        const isOfExhibit = await reading(
          root,
          async (store) => (await store.exhibit(id)).inventory.files.some((each) => each.name === file),
        );
        assertEquals(findings.some((finding) => finding.file === file), isOfExhibit, `${name}`);
        Deno.removeSync(`${root}/${name}`);
        Deno.renameSync(`${outside}/${name}`, `${root}/${name}`);
      }
    }));
}

Deno.test("Store.exhibit() refuses a manifest, an inventory and a folder that are symbolic links", () =>
  withStoreAndOutside(async ({ root, outside, id }) => {
    const files = evidenceFiles(root).filter((name) => name.startsWith("exhibits/"));
    for (const name of [...files, `exhibits/${id}`]) {
      linkOut(root, outside, name);
      const error = await assertRejects(() => reading(root, (store) => store.exhibit(id)), OperatorError);
      assert(["format", "not_found"].includes(error.code), `${name}: ${error.message}`);
      Deno.removeSync(`${root}/${name}`);
      Deno.renameSync(`${outside}/${name}`, `${root}/${name}`);
    }
  }));

for (const part of ["", "/head.json", "/blocks", "/log"]) {
  Deno.test(`Store refuses a journal whose "${part || "folder"}" is a symbolic link`, () =>
    withStoreAndOutside(async ({ root, outside }) => {
      const name = `${journalFolder(root)}${part}`;
      linkOut(root, outside, name);
      const before = listingOf(outside);
      const error = await assertRejects(async () => {
        const store = await openStoreForWriting(testWorld(), root);
        try {
          for (const head of await store.journals()) await (await store.resume(head)).endSession("usage");
        } finally {
          store.close();
        }
      }, OperatorError);
      assertEquals(error.code, "format", error.message);
      assertEquals(listingOf(outside), before);
    }));
}
