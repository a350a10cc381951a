/**
 * verify: nothing that is wrong with an exhibit goes unfound, and what is found names the file, the record and the
 * part of the volume. It never ends in anything but findings or an operator's error.
 */
import { assert, assertEquals } from "@std/assert";
import { OperatorError } from "../../src/errors.ts";
import { TEST_KEY } from "../signing_key.ts";
import { sha256 } from "../../src/format/digests.ts";
import type { ExhibitId } from "../../src/model.ts";
import type { Finding, Store, VerifyOptions, VerifySummary } from "../../src/store/mod.ts";
import { quickDisk } from "./faulty_disk.ts";
import {
  acquireAt,
  evidenceFiles,
  filesBelow,
  flipBit,
  pattern,
  reading,
  shapeOf,
  type Volume,
  withFolder,
} from "./fixtures.ts";

type Level = VerifyOptions["level"];

/** What verify finds in an exhibit that is opened anew; an error that keeps it from being opened counts too. */
async function checkIn(store: Store, id: ExhibitId, level: Level) {
  const findings: Finding[] = [];
  let summary: VerifySummary | undefined;
  let error: OperatorError | undefined;
  try {
    const signal = new AbortController().signal;
    const onFinding = (finding: Finding) => findings.push(finding);
    summary = await store.verify(await store.exhibit(id), { level, signal, onFinding });
  } catch (thrown) {
    assert(thrown instanceof OperatorError, `verify ended in ${thrown}`);
    error = thrown;
  }
  return { findings, summary, error };
}

/** The same of a store that is opened anew. */
function check(root: string, id: ExhibitId, level: Level = "full") {
  return reading(root, (store) => checkIn(store, id, level));
}

/** 1,024 blocks that compress to next to nothing: a pack of two is some hundred bytes. */
const BLOCK = 1 << 20;
const VOLUME: Volume = new Map(
  [0, 1, 2, 3, 4, 5, 900, 1023].map((index) => [index, pattern(index + 1, BLOCK)]),
);
const smallStore = (root: string) =>
  acquireAt(root, { volume: VOLUME, shape: shapeOf(BLOCK), flushEvery: 2 });

Deno.test("Store.verify() of a sound exhibit finds nothing and counts what it read", () =>
  withFolder(async (root) => {
    const id = await smallStore(root);
    const { findings, summary, error } = await check(root, id);
    assertEquals([findings, error], [[], undefined]);
    const packs = evidenceFiles(root).filter((name) => name.startsWith("packs/"));
    const readBytes = packs.reduce((sum, name) => sum + Deno.statSync(`${root}/${name}`).size, 0);
    // The inventory does not name itself.
    const files = evidenceFiles(root).length - 1;
    const unopened = { uncheckedBlocks: 0, unopenedFiles: 0, unopenedPacks: 0, firstUnopened: null };
    const counts = { findings: 0, files, packs: 4, packsRead: 4, readBytes, storedBlocks: 8 };
    assertEquals(summary, { ...counts, ...unopened });
  }));

Deno.test("Store.verify() finds one flipped bit in every byte of every immutable file", () =>
  withFolder(async (root) => {
    const volume: Volume = new Map<number, Uint8Array | "unreadable">([
      [0, pattern(1, BLOCK)],
      [1, pattern(2, BLOCK)],
      [7, "unreadable"],
    ]);
    const id = await acquireAt(root, { volume, shape: shapeOf(BLOCK) });
    const unfound: string[] = [];
    await reading(root, async (store) => {
      for (const name of evidenceFiles(root)) {
        const level = name.startsWith("packs/") ? "full" : "quick";
        const original = Deno.readFileSync(`${root}/${name}`);
        for (let offset = 0; offset < original.length; offset++) {
          flipBit(`${root}/${name}`, offset, offset % 8);
          const { findings, error } = await checkIn(store, id, level);
          const named = [...findings.map(({ file }) => file), error?.facts["file"]];
          if (!named.includes(name)) unfound.push(`${name} byte ${offset}`);
          Deno.writeFileSync(`${root}/${name}`, original);
        }
      }
    });
    assertEquals(unfound, []);
    assertEquals((await check(root, id)).findings, []);
  }));

/** The packs of a store in the order of the blocks that they hold. */
function packsOf(root: string): string[] {
  const indexOf = (name: string) =>
    new DataView(Deno.readFileSync(`${root}/${name}`).buffer).getUint32(32, true);
  return evidenceFiles(root).filter((name) => name.startsWith("packs/")).sort((a, b) =>
    indexOf(a) - indexOf(b)
  );
}

Deno.test("Store.verify() names record and part of the volume where a record is damaged", () =>
  withFolder(async (root) => {
    const id = await smallStore(root);
    const [, pack] = packsOf(root);
    const stored = new DataView(Deno.readFileSync(`${root}/${pack}`).buffer).getUint32(28, true);
    const second = 16 + 56 + stored;
    flipBit(`${root}/${pack}`, second + 56 + 20);
    const { findings } = await check(root, id);
    assertEquals(findings.map(({ code, file }) => [code, file]), [
      ["file_damaged", pack!],
      ["record_damaged", pack!],
      ["block_damaged", pack!],
    ]);
    const [, record, block] = findings;
    assertEquals([record?.record, record?.recordOffsetBytes], [1, second]);
    const place = [block?.firstBlock, block?.blockCount, block?.volumeOffsetBytes, block?.volumeLengthBytes];
    assertEquals(place, [3, 1, 3 * BLOCK, BLOCK]);
    assertEquals((await check(root, id, "quick")).findings, [], "quick reads no block data");
  }));

Deno.test("Store.verify() tells of neighbouring blocks with one fault as one part of the volume", () =>
  withFolder(async (root) => {
    const id = await smallStore(root);
    const [first, second] = packsOf(root);
    for (const pack of [first, second]) Deno.removeSync(`${root}/${pack}`);
    for (const level of ["full", "quick"] as const) {
      const { findings } = await check(root, id, level);
      assertEquals(
        findings.map(({ code }) => code).sort(),
        ["block_missing", "file_missing", "file_missing"],
        level,
      );
      const block = findings.find(({ code }) => code === "block_missing");
      assertEquals([block?.firstBlock, block?.blockCount], [0, 4]);
    }
  }));

Deno.test("Store.verify() finds files that are missing, cut off, longer, empty or swapped", () =>
  withFolder(async (folder) => {
    const damages: Record<string, (path: string, other: string) => void> = {
      missing: (path) => Deno.removeSync(path),
      "cut off": (path) => Deno.truncateSync(path, Deno.statSync(path).size - 1),
      empty: (path) => Deno.truncateSync(path, 0),
      longer: (path) => Deno.writeFileSync(path, new Uint8Array(1), { append: true }),
      swapped: (path, other) => Deno.copyFileSync(other, path),
      "a folder": (path) => {
        Deno.removeSync(path);
        Deno.mkdirSync(path);
      },
    };
    for (const [what, damage] of Object.entries(damages)) {
      const root = `${folder}/${what}`;
      const id = await smallStore(root);
      const all = evidenceFiles(root);
      for (const name of all) {
        const path = `${root}/${name}`;
        const original = Deno.readFileSync(path);
        const isInventory = name.includes("/inventory-");
        damage(path, `${root}/${all[(all.indexOf(name) + 1) % all.length]}`);
        const { findings, error } = await check(root, id);
        const named = [...findings.map(({ file }) => file), error?.facts["file"]];
        assert(
          named.includes(name) || (isInventory && error),
          `${what} ${name}: ${error ?? JSON.stringify(findings)}`,
        );
        if (quickDisk.stat(path)) Deno.removeSync(path);
        Deno.writeFileSync(path, original);
      }
      assertEquals((await check(root, id)).findings, []);
    }
  }));

/** Puts another inventory in the place of the exhibit's, as somebody could who can write to the store. */
async function replaceInventory(root: string, edit: (text: string) => string): Promise<void> {
  const [name] = evidenceFiles(root).filter((file) => file.includes("/inventory-"));
  const lines = edit(Deno.readTextFileSync(`${root}/${name}`)).split("\n").filter((line) => line !== "");
  const [header, files] = [lines.slice(0, 8), lines.slice(9)];
  const bytes = new TextEncoder().encode([...header, `files ${files.length}`, ...files, ""].join("\n"));
  const stem = `${root}/${name!.replace(/inventory-.*/, `inventory-${sha256(bytes)}`)}`;
  for (const file of filesBelow(root)) {
    if (file.startsWith(name!.replace(/\.txt$/, ""))) Deno.removeSync(`${root}/${file}`);
  }
  Deno.writeFileSync(`${stem}.txt`, bytes);
  // Whoever can write and has the key: the signature holds, what it is over does not.
  const armor = await TEST_KEY.signSshsig(bytes, "coldcase-inventory@v1");
  Deno.writeFileSync(`${stem}.${TEST_KEY.shortFingerprint}.sshsig`, armor);
}

Deno.test("Store.verify() checks what the manifest names also where the inventory leaves it out", () =>
  withFolder(async (folder) => {
    for (const kind of ["documents", "segments", "packs"]) {
      const root = `${folder}/${kind}`;
      const id = await smallStore(root);
      const victims = evidenceFiles(root).filter((name) => name.startsWith(`${kind}/`));
      for (const name of victims) Deno.removeSync(`${root}/${name}`);
      await replaceInventory(
        root,
        (text) => text.split("\n").filter((line) => !line.includes(` ${kind}/`)).join("\n"),
      );
      const { findings } = await check(root, id);
      assert(findings.length > 0, `${kind} are gone, and nothing was found`);
    }
  }));

Deno.test("Store.verify() reports names in the inventory that no file of a store has", () =>
  withFolder(async (root) => {
    const id = await smallStore(root);
    await replaceInventory(root, (text) => `${text}3 zz/strange\n`);
    const { findings } = await check(root, id);
    assertEquals(findings.map(({ code }) => code), ["file_damaged"]);
    assert(findings[0]?.file.includes("/inventory-"));
  }));

Deno.test("Store.verify() of all samples reads every pack once", () =>
  withFolder(async (root) => {
    const volume: Volume = new Map(
      Array.from({ length: 24 }, (_, index) => [index, pattern(index + 1, BLOCK)]),
    );
    const id = await acquireAt(root, { volume, shape: shapeOf(BLOCK), flushEvery: 1 });
    const packs = evidenceFiles(root).filter((name) => name.startsWith("packs/"));
    for (const  of of[1, 2, 3, 7]) {
      let packsRead = 0;
      for (let part = 1; part <= of; part++) {
        packsRead += (await check(root, id, { part, of })).summary!.packsRead;
      }
      assertEquals(packsRead, packs.length, `${of} parts`);
    }
    for (const pack of packs) flipBit(`${root}/${pack}`, 16 + 56 + 20);
    const found = new Set<string>();
    for (const part of [1, 2, 3]) {
      for (const { file } of (await check(root, id, { part, of: 3 })).findings) found.add(file);
    }
    for (const pack of packs) assert(found.has(pack), pack);
  }));

Deno.test("Store.verify() stops when it is told to", () =>
  withFolder(async (root) => {
    const id = await smallStore(root);
    await reading(root, async (store) => {
      const stop = new AbortController();
      const exhibit = await store.exhibit(id);
      const options = { level: "full", signal: stop.signal, onFinding: () => undefined } as const;
      const thrown = await store.verify(exhibit, {
        ...options,
        onProgress: () => stop.abort(new OperatorError("interrupted", "stopped")),
      }).catch((error) => error);
      assert(thrown instanceof OperatorError && thrown.code === "interrupted");
    });
  }));
