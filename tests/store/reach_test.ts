/**
 * A store that somebody hands over reaches nothing outside itself: test vectors, each a store with one fault, and stores
 * whose caches and journals were made to lie, are verified, read, copied, repaired, and used to repair another.
 * tests/slow/reach_test.ts does so with every vector.
 */
import { assert, assertEquals } from "@std/assert";
import { DatabaseSync } from "node:sqlite";
import { dirname } from "@std/path";
import type { ExhibitId } from "../../src/model.ts";
import { openStore } from "../../src/store/mod.ts";
import { acquireAt, noise, shapeOf, testWorld, type Volume, withFolder } from "./fixtures.ts";
import {
  breakStore,
  read,
  strayingVectors,
  unpack,
  useInEveryWay,
  vectorNames,
  watchedDisk,
} from "./reach.ts";

/** The exhibit that the vectors are about. */
const EXHIBIT = "ex-000000000000002a" as ExhibitId;

Deno.test("stores with strange names and links, and every eighth vector, reach no file outside themselves", () =>
  withFolder(async (folder) => {
    const names = vectorNames().filter((name, at) => /link|_name|folder|_up\b/.test(name) || at % 8 === 0);
    assert(names.length >= 50);
    assertEquals(await strayingVectors(names, folder), []);
  }));

const BLOCK = 1 << 16;
const VOLUME: Volume = new Map([0, 1, 2].map((index) => [index, noise(index + 1, BLOCK)]));

/** What a store may hold that no document of it vouches for. */
const PLANTED: Readonly<Record<string, (root: string, secret: string) => void>> = {
  "an index that names files outside": (root, secret) => {
    const database = new DatabaseSync(`${root}/cache/index.sqlite`);
    database.prepare("UPDATE packs SET name = ?, bytes = ?").run("../secret", Deno.statSync(secret).size);
    database.close();
  },
  "folders with names that no exhibit has": (root) => {
    for (const name of ["..x", "ex-..", "ex-0", "ex-00000000000000ZZ", "\x1b[2J", "a\nb"]) {
      for (const parent of ["exhibits", "journal", "custody", "packs", "tmp"]) {
        Deno.mkdirSync(`${root}/${parent}/${name}`, { recursive: true });
        Deno.writeTextFileSync(`${root}/${parent}/${name}/head.json`, "{}");
      }
    }
  },
  "pipes in place of files": (root) => {
    for (const name of ["journal/pipe", "tmp/pipe", "receipts/pipe", "quarantine/pipe", "keys/pipe"]) {
      Deno.mkdirSync(dirname(`${root}/${name}`), { recursive: true });
      const { code } = new Deno.Command("mkfifo", { args: [`${root}/${name}`] }).outputSync();
      assertEquals(code, 0);
    }
  },
};

for (const [what, plant] of Object.entries(PLANTED)) {
  Deno.test(`a store with ${what} reaches nothing outside itself`, () =>
    withFolder(async (folder) => {
      const [root, sound, secret] = [`${folder}/store`, `${folder}/sound`, `${folder}/secret`];
      await acquireAt(root, { volume: VOLUME, shape: shapeOf(BLOCK) });
      await unpack(read("accepted_example"), sound);
      breakStore(sound);
      Deno.writeFileSync(secret, noise(9, 8 * BLOCK));
      plant(root, secret);
      const before = Deno.statSync(secret);
      assertEquals(await useInEveryWay({ root, sound, folder }), []);
      assertEquals(Deno.statSync(secret), before);
    }));
}

Deno.test("a disk that is watched tells of links and of paths that leave a store", () =>
  withFolder((folder) => {
    Deno.mkdirSync(`${folder}/store`);
    Deno.symlinkSync(folder, `${folder}/store/up`);
    Deno.writeTextFileSync(`${folder}/secret`, "x");
    const strayed: string[] = [];
    const root = `${folder}/store`;
    const disk = watchedDisk(strayed, { roots: [root], frozen: [root] });
    disk.list(`${root}/up`);
    disk.open(`${root}/../secret`, "read").close();
    disk.open(`${root}/up/secret`, "read").close();
    disk.makeDirectory(`${root}/new`);
    assertEquals(strayed, [
      `${root}/up, a link`,
      `${root}/../secret`,
      `${root}/up/secret`,
      `${root}/new, changed`,
    ]);
  }));

Deno.test("the vectors' exhibit is where this test looks for it", () =>
  withFolder(async (folder) => {
    await unpack(read("accepted_example"), `${folder}/store`);
    const store = await openStore(testWorld(), `${folder}/store`);
    assertEquals(await store.exhibitIds(), [EXHIBIT]);
    store.close();
  }));
