/**
 * What tests of repair share: a store with another copy beside it, what a repaired exhibit must be to both readers, and what
 * must not happen to anything on the way: gone, or another state than it had.
 */
import { assert, assertEquals } from "@std/assert";
import { OperatorError } from "../../src/errors.ts";
import { sha256 } from "../../src/format/digests.ts";
import { openStore, type Refetch } from "../../src/store/mod.ts";
import { missingTools } from "../outside.ts";
import { READER_NEEDS, SecondReader } from "../second_reader.ts";
import { readAgain } from "../second_reading.ts";
import {
  allFindings,
  BLOCK,
  type Made,
  make,
  type Mode,
  opening,
  put,
  readAll,
  tableAt,
  VOLUME,
  writeIdentity,
} from "./damaged.ts";
import { statesOf, tableOf, testWorld, verifiedBlock, withFolder } from "./fixtures.ts";

export const MODES: readonly Mode[] = ["plain", "encrypted"];
export const EXPECTED = tableOf(VOLUME);
export const aStore = (mode: Mode) => mode === "plain" ? "a plain store" : "an encrypted store";

export interface Stage extends Made {
  readonly folder: string;
  readonly store: string;
  /** Another copy, sound. */
  readonly copy: string;
}

export async function onStage(mode: Mode, body: (stage: Stage) => Promise<void>): Promise<void> {
  await withFolder(async (folder) => {
    const [store, copy] = [`${folder}/store`, `${folder}/copy`];
    const made = await make(store, mode);
    Deno.mkdirSync(copy);
    put(copy, made.files);
    await body({ ...made, folder, store, copy });
  });
}

/** Verified, the same image for both readers, manifest and its signatures as they were. */
export async function assertWhole(stage: Stage): Promise<void> {
  const { store, id, mode, files } = stage;
  assertEquals(await allFindings(store, stage), []);
  assertEquals(await tableAt(store, stage), EXPECTED);
  for (const [name, bytes] of files) {
    if (name.includes("/manifest-")) assertEquals(Deno.readFileSync(`${store}/${name}`), bytes, name);
  }
  if (mode === "plain") return await readAgain(store, id);
  if (missingTools([...READER_NEEDS, "age"]).length > 0) return;
  const [image, identity] = [`${stage.folder}/image`, `${stage.folder}/key.txt`];
  writeIdentity(identity);
  const reader = new SecondReader();
  try {
    const { code, stderr } = await reader.read({ store, exhibit: id, identity }, image);
    assertEquals(code, 0, stderr);
    using file = Deno.openSync(image);
    for (const [index, content] of VOLUME) {
      const block = new Uint8Array(BLOCK);
      file.seekSync(index * BLOCK, Deno.SeekMode.Start);
      for (let got = 0; got < BLOCK;) got += file.readSync(block.subarray(got)) ?? BLOCK;
      assertEquals(sha256(block), sha256(content === "unreadable" ? new Uint8Array(BLOCK) : content));
    }
  } finally {
    await reader.close();
    Deno.removeSync(image);
  }
}

/** The bytes of every file that there was are in some file still. */
export function assertNothingGone(path: string, before: ReadonlyMap<string, Uint8Array>): void {
  const there = new Set([...readAll(path).values()].map(sha256));
  const gone = [...before].filter(([name, bytes]) =>
    !/^(cache|tmp|lock)/.test(name) && !there.has(sha256(bytes))
  );
  assertEquals(gone.map(([name]) => name), []);
}

/** Blocks of the volume by whether they read as they should; what can't be read is left out, and must say so. */
export async function readableBlocks(path: string, made: Made): Promise<number[]> {
  const store = await openStore(testWorld(), path, opening(made.mode));
  try {
    const exhibit = await store.exhibit(made.id);
    const readable: number[] = [];
    for (const [index, content] of VOLUME) {
      const isStored = content !== "unreadable" && content.some((byte) => byte !== 0);
      if (!isStored) continue;
      const bytes = await exhibit.readBlock(index).catch((error) => {
        assert(error instanceof OperatorError && error.code === "integrity", String(error));
        return undefined;
      });
      if (!bytes) continue;
      assertEquals(sha256(bytes), sha256(content));
      readable.push(index);
    }
    return readable;
  } finally {
    store.close();
  }
}

/** What the exhibit says of each block, whatever can be read of it. */
export async function statesAt(path: string, made: Made) {
  const store = await openStore(testWorld(), path, opening(made.mode));
  try {
    return await statesOf(await store.exhibit(made.id));
  } finally {
    store.close();
  }
}

/** A source that serves `volume`. */
export function serving(
  volume: ReadonlyMap<number, Uint8Array | "unreadable">,
): { refetch: Refetch; asked: number[]; refused: number[] } {
  const [asked, refused]: [number[], number[]] = [[], []];
  const refetch: Refetch = async ({ lost, take }) => {
    for await (const { index } of lost()) {
      asked.push(index);
      const content = volume.get(index);
      const isTaken = content instanceof Uint8Array && await take(index, verifiedBlock(content));
      if (!isTaken) refused.push(index);
    }
  };
  return { refetch, asked, refused };
}

/** Digest by name of all that is no cache. */
export function evidenceIn(path: string): (readonly [string, string])[] {
  return [...readAll(path)].filter(([name]) => !/^(cache|tmp)/.test(name))
    .map(([name, bytes]) => [name, sha256(bytes)] as const);
}
