/**
 * Uses a store in all the ways in which a command may use one that somebody hands over, on a disk that notes every path
 * it is asked for: what lies outside of the store must not be among them.
 */
import { assertEquals } from "@std/assert";
import { dirname, resolve } from "@std/path";
import { VECTORS_FOLDER } from "../../scripts/vectors.ts";
import { decodeVector } from "../../scripts/vectors/vector.ts";
import { OperatorError } from "../../src/errors.ts";
import type { Disk } from "../../src/model.ts";
import { openStore, openStoreForWriting, type Store } from "../../src/store/mod.ts";
import { TEST_KEY } from "../signing_key.ts";
import { quickDisk } from "./faulty_disk.ts";
import { filesBelow, testWorld } from "./fixtures.ts";
import { verdictOf } from "./verdict.ts";

const { signal } = new AbortController();
/** A disk that notes what it is asked for outside of `roots`, and what it is asked to change inside of `frozen`. */
export function watchedDisk(
  strayed: string[],
  { roots, frozen = [] }: { readonly roots: readonly string[]; readonly frozen?: readonly string[] },
): Disk {
  const isBelow = (path: string, folders: readonly string[]) =>
    folders.some((folder) => path === folder || path.startsWith(`${folder}/`));
  /** Where the path leads, links on the way followed. */
  const placeOf = (path: string): string => {
    const plain = resolve(path);
    try {
      return `${Deno.realPathSync(dirname(plain))}/${plain.slice(plain.lastIndexOf("/") + 1)}`;
    } catch (error) {
      if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) return plain;
      throw error;
    }
  };
  const look = (path: string) => {
    if (!isBelow(placeOf(path), roots)) strayed.push(path);
  };
  const follow = (path: string) => {
    look(path);
    if (quickDisk.stat(path)?.kind === "symlink") strayed.push(`${path}, a link`);
  };
  const change = (path: string) => {
    look(path);
    if (isBelow(placeOf(path), frozen)) strayed.push(`${path}, changed`);
  };
  return {
    ...quickDisk,
    open(path, mode) {
      follow(path);
      if (mode !== "read") change(path);
      return quickDisk.open(path, mode);
    },
    rename(from, to) {
      change(from);
      change(to);
      quickDisk.rename(from, to);
    },
    makeDirectory(path, options) {
      change(path);
      quickDisk.makeDirectory(path, options);
    },
    list(path) {
      follow(path);
      return quickDisk.list(path);
    },
    stat(path) {
      look(path);
      return quickDisk.stat(path);
    },
    remove(path) {
      change(path);
      quickDisk.remove(path);
    },
    tryLock(path) {
      change(path);
      return quickDisk.tryLock(path);
    },
  };
}

/** Runs what a hostile store may refuse in any way but one: as a bug. */
async function tolerating(work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (!(error instanceof OperatorError)) throw error;
  }
}

async function repairEach(store: Store, copy?: Store): Promise<void> {
  await store.tidyUp();
  const mending = store.repair(copy);
  for (const journal of await mending.damagedJournals()) await mending.setJournalAside(journal);
  for (const id of await mending.exhibitIds()) {
    await tolerating(async () => {
      await mending.exhibit(id, { key: TEST_KEY, signal, refetch: undefined, onSteps() {}, onFinding() {} });
    });
  }
  for (const pack of await mending.unneededPacks(signal)) await mending.setAside(pack);
  await mending.rebuildIndex();
}

/** Does with the store at `root` all that a command may do with a store from elsewhere. */
export async function useInEveryWay(
  { root, sound, folder }: { readonly root: string; readonly sound: string; readonly folder: string },
): Promise<string[]> {
  const strayed: string[] = [];
  const reading = testWorld(watchedDisk(strayed, { roots: [root], frozen: [root] }));
  await verdictOf(root, { world: reading });
  await tolerating(async () => {
    const store = await openStore(reading, root);
    try {
      await store.journals();
      const target = `${folder}/copy`;
      const writing = testWorld(watchedDisk(strayed, { roots: [target, root], frozen: [root] }), 2);
      const copy = await openStoreForWriting(writing, target);
      try {
        for (const id of await store.exhibitIds()) {
          await tolerating(async () => {
            const exhibit = await store.exhibit(id);
            for await (const run of exhibit.runs()) {
              if (run.state === "stored") await exhibit.readBlock(run.firstBlock);
            }
          });
          await tolerating(async () => {
            await store.copyTo(copy, await store.exhibit(id), { key: TEST_KEY, signal });
          });
        }
      } finally {
        copy.close();
      }
    } finally {
      store.close();
    }
  });
  await tolerating(async () => {
    const copy = await openStore(testWorld(watchedDisk(strayed, { roots: [root], frozen: [root] })), root);
    const world = testWorld(watchedDisk(strayed, { roots: [sound, root], frozen: [root] }), 3);
    const store = await openStoreForWriting(world, sound, { isForRepair: true });
    try {
      await repairEach(store, copy);
    } finally {
      store.close();
      copy.close();
    }
  });
  await tolerating(async () => {
    const world = testWorld(watchedDisk(strayed, { roots: [root] }), 4);
    const store = await openStoreForWriting(world, root, { isForRepair: true });
    try {
      await repairEach(store);
    } finally {
      store.close();
    }
  });
  return [...new Set(strayed)];
}

export async function unpack(archive: Uint8Array, folder: string): Promise<void> {
  Deno.mkdirSync(folder);
  const child = new Deno.Command("tar", { args: ["xz", "-C", folder], stdin: "piped" }).spawn();
  const input = child.stdin.getWriter();
  await input.write(archive);
  await input.close();
  assertEquals((await child.status).code, 0);
}

/** Removes packs and a segment: a repair must look for them in the other copy. */
export function breakStore(root: string): void {
  for (const name of filesBelow(root)) {
    if (/^(packs|segments)\//.test(name)) Deno.removeSync(`${root}/${name}`);
  }
}

export function read(name: string): Uint8Array {
  return decodeVector(Deno.readFileSync(VECTORS_FOLDER + name), name).archive;
}

/** Uses each of these vectors in every way; what reached outside of its store, or changed one that was read. */
export async function strayingVectors(names: readonly string[], folder: string): Promise<string[]> {
  const wrong: string[] = [];
  for (const name of names) {
    const place = `${folder}/${name}`;
    Deno.mkdirSync(place);
    const [root, sound] = [`${place}/store`, `${place}/sound`];
    await unpack(read(name), root);
    await unpack(read("accepted_example"), sound);
    breakStore(sound);
    const strayed = await useInEveryWay({ root, sound, folder: place });
    if (strayed.length > 0) wrong.push(`${name}: ${strayed.slice(0, 3).join("; ")}`);
    const beside = [...Deno.readDirSync(place)].map((entry) => entry.name).sort();
    if (!["copy,sound,store", "sound,store"].includes(beside.join())) wrong.push(`${name}: ${beside}`);
    Deno.removeSync(place, { recursive: true });
  }
  return wrong;
}

export function vectorNames(): string[] {
  return [...Deno.readDirSync(VECTORS_FOLDER)].map(({ name }) => name).sort();
}
