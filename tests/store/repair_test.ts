/**
 * Repair at the store's door: each kind of damage, in plain and encrypted stores, with another copy and without; cut short
 * at every write. What comes of it is verified, read by the second reader, and compared block by block; nothing is ever
 * deleted, and what is lost is told by its place and never becomes another state.
 */
import { DatabaseSync } from "node:sqlite";
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { makeIdentity, Recipients } from "../../src/cipher_age.ts";
import { OperatorError } from "../../src/errors.ts";
import { sha256 } from "../../src/format/digests.ts";
import { makeKeyFile, openSigningKey } from "../../src/keys.ts";
import { openStore, openStoreForWriting, type Refetch } from "../../src/store/mod.ts";
import { realWorld } from "../../src/world.ts";
import { missingTools } from "../outside.ts";
import { READER_NEEDS, SecondReader } from "../second_reader.ts";
import { readAgain } from "../second_reading.ts";
import { TEST_KEY } from "../signing_key.ts";
import {
  allFindings,
  BLOCK,
  DAMAGES,
  flip,
  largestPack,
  type Made,
  make,
  type Mode,
  named,
  opening,
  put,
  readAll,
  repair,
  SHAPE,
  tableAt,
  VOLUME,
  writeIdentity,
} from "./damaged.ts";
import { Crashed, FaultyDisk } from "./faulty_disk.ts";
import {
  acquire,
  beginOrResume,
  COUNTS,
  flipBit,
  LATER,
  noise,
  seeded,
  SESSION,
  statesOf,
  tableOf,
  testWorld,
  verifiedBlock,
  withFolder,
} from "./fixtures.ts";

const MODES: readonly Mode[] = ["plain", "encrypted"];
const EXPECTED = tableOf(VOLUME);
const aStore = (mode: Mode) => mode === "plain" ? "a plain store" : "an encrypted store";

interface Stage extends Made {
  readonly folder: string;
  readonly store: string;
  /** Another copy, sound. */
  readonly copy: string;
}

async function onStage(mode: Mode, body: (stage: Stage) => Promise<void>): Promise<void> {
  await withFolder(async (folder) => {
    const [store, copy] = [`${folder}/store`, `${folder}/copy`];
    const made = await make(store, mode);
    Deno.mkdirSync(copy);
    put(copy, made.files);
    await body({ ...made, folder, store, copy });
  });
}

/** Verified, the same image for both readers, manifest and its signatures as they were. */
async function assertWhole(stage: Stage): Promise<void> {
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
function assertNothingGone(path: string, before: ReadonlyMap<string, Uint8Array>): void {
  const there = new Set([...readAll(path).values()].map(sha256));
  const gone = [...before].filter(([name, bytes]) =>
    !/^(cache|tmp|lock)/.test(name) && !there.has(sha256(bytes))
  );
  assertEquals(gone.map(([name]) => name), []);
}

for (const mode of MODES) {
  for (const [damage, inflict] of Object.entries(DAMAGES)) {
    Deno.test(`repair of ${damage} with another copy makes the ${mode} exhibit whole`, () =>
      onStage(mode, async (stage) => {
        const { store, copy } = stage;
        inflict(store);
        const before = readAll(store);
        const planned = await repair(store, stage, { copy, isDryRun: true });
        assert(planned.steps.length > 0);
        assertEquals(readAll(store), before, "a dry run changed something");
        const { findings, lacking, steps } = await repair(store, stage, { copy });
        assertEquals([...findings, ...lacking], []);
        assertEquals(steps.slice(0, planned.steps.length), planned.steps);
        await assertWhole(stage);
        assertNothingGone(store, before);
        const again = await repair(store, stage, { copy });
        assertEquals([again.steps, again.moved], [[], []], "a second repair found something to do");
      }));
  }
}

/** Blocks of the volume by whether they read as they should; what can't be read is left out, and must say so. */
async function readableBlocks(path: string, made: Made): Promise<number[]> {
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
async function statesAt(path: string, made: Made) {
  const store = await openStore(testWorld(), path, opening(made.mode));
  try {
    return await statesOf(await store.exhibit(made.id));
  } finally {
    store.close();
  }
}

for (const mode of MODES) {
  for (const damage of ["a flipped bit in a record", "a truncated pack", "a missing pack"]) {
    Deno.test(`repair of ${damage} alone loses no good record of ${aStore(mode)}, and says what is lost`, () =>
      onStage(mode, async (stage) => {
        const { store, copy } = stage;
        DAMAGES[damage]!(store);
        const before = readAll(store);
        const [readable, states] = [await readableBlocks(store, stage), await statesAt(store, stage)];
        const { findings, summary, moved } = await repair(store, stage);
        assertEquals(moved.length, damage === "a missing pack" ? 0 : 1);
        const afterwards = await readableBlocks(store, stage);
        assert(
          readable.every((index) => afterwards.includes(index)),
          `${readable} read before, ${afterwards} now`,
        );
        assertEquals(await statesAt(store, stage), states);
        const lost = [...VOLUME.keys()].filter((index) =>
          states.get(index) === "stored" && !readable.includes(index)
        );
        assert(lost.length > 0);
        const ranges = findings.filter(({ volumeOffsetBytes }) => volumeOffsetBytes !== undefined);
        const told = ranges.flatMap(({ firstBlock, blockCount }) =>
          Array.from({ length: blockCount! }, (_, at) => firstBlock! + at)
        );
        assertEquals(told.sort((a, b) => a - b), lost.sort((a, b) => a - b));
        for (const { volumeOffsetBytes, firstBlock } of ranges) {
          assertEquals(volumeOffsetBytes, firstBlock! * BLOCK);
        }
        assertEquals(summary?.copiedBlocks, 0);
        // The same findings as verify's: it is not called whole.
        const verified = (await allFindings(store, stage)).filter((finding) => "firstBlock" in finding);
        assertEquals(verified.length, ranges.length);
        assertNothingGone(store, before);
        const again = await repair(store, stage, { copy });
        assertEquals([again.findings, again.lacking], [[], []]);
        assertEquals(await allFindings(store, stage), []);
        assertEquals(await tableAt(store, stage), EXPECTED);
      }));
  }

  Deno.test(`repair of ${aStore(mode)} and a copy that are damaged in different records makes it whole`, () =>
    onStage(mode, async (stage) => {
      const { store, copy } = stage;
      const pack = largestPack(store);
      flip(store, pack, 300);
      // The last chunk of the age file has the end of the last record.
      flip(copy, pack, mode === "encrypted" ? -100 : -20_000);
      const { findings, summary } = await repair(store, stage, { copy });
      assertEquals(findings, []);
      assert(summary!.salvagedBlocks > 0 && summary!.copiedBlocks > 0, JSON.stringify(summary));
      await assertWhole(stage);
    }));

  Deno.test(`repair of a damaged inventory alone makes a new one for ${aStore(mode)}`, () =>
    onStage(mode, async (stage) => {
      const { store } = stage;
      DAMAGES["a damaged inventory"]!(store);
      const before = readAll(store);
      const { findings, lacking, steps } = await repair(store, stage);
      assertEquals([findings, lacking], [[], []]);
      assertEquals(steps.map(({ remedy }) => remedy), ["rebuild"]);
      await assertWhole(stage);
      assertNothingGone(store, before);
    }));

  Deno.test(`repair of ${aStore(mode)} without a copy leaves a damaged manifest and segment, and says so`, async () => {
    for (const damage of ["a damaged manifest", "a missing segment"]) {
      await onStage(mode, async (stage) => {
        const { store } = stage;
        DAMAGES[damage]!(store);
        const before = readAll(store);
        const { lacking, findings } = await repair(store, stage);
        assertEquals(lacking.length + findings.length > 0, true);
        if (damage === "a missing segment") {
          const [segment] = findings.filter(({ code }) => code === "segment_unusable");
          assertEquals(segment?.volumeLengthBytes, 16_384 * BLOCK);
        }
        const isSame = (files: ReadonlyMap<string, Uint8Array>) =>
          [...files].filter(([name]) => !/^(cache|tmp)/.test(name)).map((
            [name, bytes],
          ) => [name, sha256(bytes)]);
        assertEquals(isSame(readAll(store)), isSame(before));
      });
    }
  });
}

/** Damage that takes another copy, salvage, and both at once. */
const AT_EVERY_WRITE: readonly { readonly damage: string; readonly withCopy: boolean }[] = [
  { damage: "a flipped bit in a record", withCopy: true },
  { damage: "a flipped bit in a footer", withCopy: false },
  { damage: "a damaged inventory", withCopy: false },
];

/** Encrypting takes its time: there the worst of the three stands for all. */
const KINDS = {
  plain: ["a crash", "a power loss", "a failure"],
  encrypted: ["a power loss"],
} as const;

for (const mode of MODES) {
  for (const { damage, withCopy } of AT_EVERY_WRITE) {
    for (const kind of KINDS[mode]) {
      Deno.test(`repair of ${damage} in ${aStore(mode)} goes on after ${kind} at every write`, () =>
        onStage(mode, async (stage) => {
          const { store, copy } = stage;
          DAMAGES[damage]!(store);
          // A copy that lacks the same file, or there would be no record to salvage.
          if (withCopy) flip(copy, largestPack(copy), mode === "encrypted" ? -100 : -20_000);
          const before = readAll(store);
          const how = withCopy ? { copy } : {};
          const counting = new FaultyDisk();
          const undisturbed = await repair(store, stage, { ...how, world: testWorld(counting, 7) });
          const lost = undisturbed.findings.map(({ firstBlock }) => firstBlock);
          const readable = await readableBlocks(store, stage);
          const { length } = counting.operations;
          assert(length > 10, "the repair wrote next to nothing");
          for (let at = 1; at <= length; at++) {
            put(store, before);
            const disk = new FaultyDisk(
              kind === "a failure"
                ? { at, code: "EIO", forGood: false }
                : { at, crash: true, losesUnsynced: kind === "a power loss" },
            );
            const error = await repair(store, stage, { ...how, world: testWorld(disk, 7) })
              .then(() => undefined, (error: unknown) => error);
            const isClean = error instanceof Crashed ||
              error instanceof OperatorError && error.code === "storage";
            assert(isClean, `operation ${at}, ${counting.operations[at - 1]}: ${error}`);
            disk.release();
            assertNothingGone(store, before);
            const { findings, lacking } = await repair(store, stage, how);
            const place = `operation ${at}, ${counting.operations[at - 1]}`;
            assertEquals([findings.map(({ firstBlock }) => firstBlock), lacking], [lost, []], place);
            assertEquals(await readableBlocks(store, stage), readable, place);
            if (lost.length === 0) assertEquals(await allFindings(store, stage), [], place);
            assertNothingGone(store, before);
          }
          if (lost.length === 0) await assertWhole(stage);
        }));
    }
  }
}

/** A source that serves `volume`. */
function serving(
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

for (const mode of MODES) {
  Deno.test(`repair of ${aStore(mode)} takes blocks from the source, and only those that were acquired`, () =>
    onStage(mode, async (stage) => {
      const { store, copy } = stage;
      DAMAGES["a missing pack"]!(store);
      const other = serving(new Map([...VOLUME].map(([index]) => [index, noise(99, BLOCK)])));
      const refused = await repair(store, stage, other);
      assert(other.asked.length > 0);
      assertEquals([other.refused, refused.summary?.refetchedBlocks], [other.asked, 0]);
      assertEquals(
        refused.findings.map(({ firstBlock }) => firstBlock).filter((at) => at !== undefined),
        other.asked,
      );
      assert((await allFindings(store, stage)).length > 0);
      const same = serving(VOLUME);
      const { findings, summary } = await repair(store, stage, same);
      assertEquals([findings, same.refused, same.asked], [[], [], other.asked]);
      assertEquals(summary?.refetchedBlocks, other.asked.length);
      await assertWhole(stage);
      // All that the copy has is held: it is not asked.
      DAMAGES["a missing pack"]!(store);
      const unasked = serving(VOLUME);
      assertEquals((await repair(store, stage, { copy, ...unasked })).findings, []);
      assertEquals(unasked.asked, []);
    }));

  Deno.test(`repair of ${aStore(mode)} keeps what it had by then where the source fails`, () =>
    onStage(mode, async (stage) => {
      const { store } = stage;
      DAMAGES["a flipped bit in a record"]!(store);
      const failing: Refetch = () =>
        Promise.reject(new OperatorError("source", "Cannot list blocks: no route"));
      const error = await assertRejects(
        () => repair(store, stage, { refetch: failing }),
        OperatorError,
        "no route",
      );
      assertEquals(error.code, "source");
      const before = await readableBlocks(store, stage);
      const { findings, moved, summary } = await repair(store, stage);
      assertEquals([moved.length, summary?.salvagedBlocks], [1, 0]);
      assert(findings.length > 0);
      assertEquals(await readableBlocks(store, stage), before);
    }));

  Deno.test(`repair of ${aStore(mode)} refuses a key that did not sign the manifest, and changes nothing`, () =>
    onStage(mode, async (stage) => {
      const { store, copy, folder } = stage;
      await makeKeyFile(realWorld(), `${folder}/key`);
      const { key } = await openSigningKey(realWorld(), { source: `${folder}/key` });
      for (const damage of ["a flipped bit in a record", "a damaged inventory"]) {
        put(store, stage.files);
        DAMAGES[damage]!(store);
        const before = evidenceIn(store);
        const error = await assertRejects(() => repair(store, stage, { key }), OperatorError);
        assertEquals(error.code, "identity");
        assertStringIncludes(error.message, TEST_KEY.fingerprint);
        assert(error.hints.some((hint) => hint.includes("--sign-key")));
        assertEquals(evidenceIn(store), before);
        // A file that is taken whole needs no new inventory, and so no key.
        assertEquals((await repair(store, stage, { key, copy })).lacking, []);
        await assertWhole(stage);
      }
    }));
}

/** Digest by name of all that is no cache. */
function evidenceIn(path: string): (readonly [string, string])[] {
  return [...readAll(path)].filter(([name]) => !/^(cache|tmp)/.test(name))
    .map(([name, bytes]) => [name, sha256(bytes)] as const);
}

Deno.test("repair of an encrypted store without an identity takes whole files, and says that it can't look into packs", () =>
  onStage("encrypted", async (stage) => {
    const { store, copy } = stage;
    for (const damage of ["a flipped bit in a record", "a missing segment", "a damaged manifest"]) {
      put(store, stage.files);
      DAMAGES[damage]!(store);
      const before = evidenceIn(store);
      const alone = await repair(store, stage, { opens: "nothing" });
      assertEquals(alone.lacking.length, 1, damage);
      assertEquals(alone.needsIdentity, damage === "a flipped bit in a record");
      assertEquals(evidenceIn(store), before);
      const { lacking, restoredFiles } = await repair(store, stage, { copy, opens: "nothing" });
      assertEquals([lacking, restoredFiles], [[], 1], damage);
      await assertWhole(stage);
    }
  }));

Deno.test("repair takes what is in quarantine of a pack that is missing", () =>
  onStage("plain", async (stage) => {
    const { store } = stage;
    const pack = largestPack(store);
    flip(store, pack, -60);
    Deno.mkdirSync(`${store}/quarantine`);
    Deno.renameSync(`${store}/${pack}`, `${store}/quarantine/0011223344556677-${pack.replaceAll("/", "-")}`);
    const { findings, summary } = await repair(store, stage);
    assertEquals([findings, summary!.salvagedBlocks > 0], [[], true]);
    await assertWhole(stage);
  }));

Deno.test("repair leaves a damaged pack in its place while another exhibit names it, and both can be repaired", () =>
  onStage("plain", async (stage) => {
    const { store, copy, id } = stage;
    const later = new Map([...VOLUME, [3, noise(77, BLOCK)]]);
    const writer = await openStoreForWriting(testWorld(undefined, 3), store);
    const parent = await writer.exhibit(id);
    const child = await acquire(writer, {
      volume: later,
      shape: SHAPE,
      snapshot: LATER,
      parent,
      parentVolume: VOLUME,
    });
    writer.close();
    const pack = largestPack(store);
    flip(store, pack, 200);
    flip(copy, pack, -20_000);
    const first = await repair(store, stage, { copy });
    assertEquals([first.findings, first.moved], [[], []]);
    assert(Deno.statSync(`${store}/${pack}`).isFile);
    const packs = named(store, /^packs\//);
    const second = await repair(store, { ...stage, id: child });
    assertEquals([second.findings, second.moved.length, second.summary?.newPacks], [[], 1, 0]);
    // The second one uses the packs that the first one made.
    assertEquals(named(store, /^packs\//), packs.filter((name) => name !== pack));
    await assertWhole(stage);
    assertEquals(await allFindings(store, { ...stage, id: child }), []);
    assertEquals(await tableAt(store, { ...stage, id: child }), tableOf(later));
  }));

Deno.test("repair moves a journal with a damaged head to quarantine whole, after which the store can be written to", () =>
  onStage("plain", async (stage) => {
    const { store } = stage;
    const writer = await openStoreForWriting(testWorld(undefined, 3), store);
    const acquisition = await beginOrResume(writer, { volume: VOLUME, shape: SHAPE, snapshot: LATER });
    await acquisition.startSession(SESSION, { counts: () => COUNTS, takeEvents: () => [] });
    await acquisition.put(9, verifiedBlock(noise(9, BLOCK)));
    await acquisition.endSession("interrupted");
    writer.close();
    const { exhibit } = acquisition.head;
    const before = readAll(store);
    flipBit(`${store}/journal/${exhibit}/head.json`, 0);
    const damaged = readAll(store);
    await assertRejects(() => openStoreForWriting(testWorld(), store), OperatorError, "head.json");
    const opened = await openStoreForWriting(testWorld(), store, { isForRepair: true });
    const mending = opened.repair(undefined);
    const journals = await mending.damagedJournals();
    assertEquals(journals.map((journal) => journal.exhibit), [exhibit]);
    const place = await mending.setJournalAside(journals[0]!);
    assertEquals(await mending.damagedJournals(), []);
    opened.close();
    for (const name of ["head.json", "blocks", "log"]) {
      assertEquals(Deno.readFileSync(`${store}/${place}/${name}`), damaged.get(`journal/${exhibit}/${name}`));
    }
    assertEquals(before.size, damaged.size);
    const again = await openStoreForWriting(testWorld(undefined, 4), store);
    await acquire(again, { volume: VOLUME, shape: SHAPE, snapshot: LATER });
    again.close();
    await assertWhole(stage);
  }));

Deno.test("repair finds an index that is no database, that lies, and that lacks blocks, and makes it anew", () =>
  onStage("plain", async (stage) => {
    const { store } = stage;
    const index = `${store}/cache/index.sqlite`;
    const sound = Deno.readFileSync(index);
    const change = (sql: string) => {
      const database = new DatabaseSync(index);
      database.exec(sql);
      database.close();
    };
    const damages: Readonly<Record<string, () => void>> = {
      "no database": () => Deno.writeTextFileSync(index, "no database at all"),
      "is not there": () => change("UPDATE packs SET bytes = bytes + 1"),
      "lacks blocks": () => change("DELETE FROM blocks"),
    };
    for (const [name, damage] of Object.entries(damages)) {
      Deno.writeFileSync(index, sound);
      damage();
      const reader = await openStore(testWorld(), store);
      assert(await reader.repair(undefined).indexDamage() !== undefined, name);
      reader.close();
      const writer = await openStoreForWriting(testWorld(), store, { isForRepair: true });
      const mending = writer.repair(undefined);
      assert(await mending.indexDamage() !== undefined, name);
      await mending.rebuildIndex();
      assertEquals(await mending.indexDamage(), undefined, name);
      writer.close();
      await assertWhole(stage);
    }
  }));

Deno.test("repair of an encrypted store leaves no fault in headers that were added for packs which went", () =>
  onStage("encrypted", async (stage) => {
    const { store, id, copy } = stage;
    const { recipient } = await makeIdentity("x25519");
    const recipients = await Recipients.of([{ text: recipient, place: "test" }]);
    const writer = await openStoreForWriting(testWorld(undefined, 3), store, opening("encrypted"));
    const { signal } = new AbortController();
    const added = { recipients, opens: "contents", key: TEST_KEY, signal } as const;
    const onFault = (error: OperatorError) => {
      throw error;
    };
    await writer.access.add(await writer.exhibit(id), { ...added, onFault });
    writer.close();
    assertEquals(await allFindings(store, stage), []);
    const pack = largestPack(store);
    flip(store, pack, 200);
    flip(copy, pack, -100);
    const { findings, moved } = await repair(store, stage, { copy });
    assertEquals([findings, moved.length], [[], 1]);
    assertEquals(await allFindings(store, stage), []);
  }));

for (const mode of MODES) {
  Deno.test(`repair of ${aStore(mode)} takes signatures that hold from another copy, and no others`, () =>
    onStage(mode, async (stage) => {
      const { store, copy } = stage;
      const kinds = {
        "the manifest's": /\/manifest-.*\.sshsig$/,
        "the inventory's": /\/inventory-.*\.sshsig$/,
        "the manifest's raw one": /\/manifest-.*\.ed25519$/,
      };
      for (const [kind, pattern] of Object.entries(kinds)) {
        put(store, stage.files);
        put(copy, stage.files);
        const [name] = named(store, pattern);
        const sound = Deno.readFileSync(`${store}/${name}`);
        flipBit(`${store}/${name}`, sound.length - 30);
        const before = readAll(store);
        const { steps, restoredFiles } = await repair(store, stage, { copy });
        assertEquals([steps.map(({ file }) => file), restoredFiles], [[name], 1], kind);
        assertEquals(Deno.readFileSync(`${store}/${name}`), sound);
        assertNothingGone(store, before);
        await assertWhole(stage);
        // One that is damaged there too is not taken.
        flipBit(`${store}/${name}`, sound.length - 30);
        flipBit(`${copy}/${name}`, sound.length - 31);
        const same = evidenceIn(store);
        if (kind === "the inventory's") {
          // A new one is made in place of it.
          assertEquals((await repair(store, stage, { copy })).findings, []);
          await assertWhole(stage);
        } else {
          await assertRejects(() => repair(store, stage, { copy }), OperatorError, "Cannot accept");
          assertEquals(evidenceIn(store), same);
        }
      }
      const [gone] = named(store, kinds["the manifest's"]);
      put(store, stage.files);
      put(copy, stage.files);
      Deno.removeSync(`${store}/${gone}`);
      assertEquals((await repair(store, stage, { copy })).restoredFiles, 1);
      await assertWhole(stage);
    }));
}

Deno.test("repair of an encrypted store with a lineage's identity leaves packs alone that others may open", () =>
  onStage("encrypted", async (stage) => {
    const { store, copy } = stage;
    for (const damage of ["a flipped bit in a record", "a truncated pack", "a missing pack"]) {
      put(store, stage.files);
      DAMAGES[damage]!(store);
      const before = evidenceIn(store);
      const asked = serving(VOLUME);
      const alone = await repair(store, stage, { opens: "digests", ...asked });
      assertEquals([alone.findings.length, alone.needsIdentity, alone.moved], [1, true, []], damage);
      assertEquals([evidenceIn(store), asked.asked], [before, []]);
      const { findings, restoredFiles } = await repair(store, stage, { copy, opens: "digests" });
      assertEquals([findings, restoredFiles], [[], 1], damage);
      await assertWhole(stage);
    }
  }));

Deno.test("repair without a key says of an exhibit that can't be opened that it can't, and not that it is sound", () =>
  onStage("plain", async (stage) => {
    const { store } = stage;
    const [signature] = named(store, /\/manifest-.*\.sshsig$/);
    flip(store, signature!, -30);
    await assertRejects(() => repair(store, stage, { isDryRun: true }), OperatorError, "Cannot accept");
  }));

/** Damages up to four files of an exhibit in some way, and says which. */
function damageSome(store: string, next: () => number): string[] {
  const names = named(store, /^(packs|segments|documents)\/|\/(manifest|map|inventory)-/);
  return Array.from({ length: 1 + next() % 4 }, () => {
    const name = names[next() % names.length]!;
    const path = `${store}/${name}`;
    const kind = ["flip", "cut", "remove", "empty", "swap"][next() % 5];
    const { size } = filesIn(store).includes(name) ? Deno.statSync(path) : { size: 0 };
    if (size === 0) return `${name} is gone or empty already`;
    if (kind === "flip") flipBit(path, next() % size, next() % 8);
    else if (kind === "cut") Deno.truncateSync(path, next() % size);
    else if (kind === "remove") Deno.removeSync(path);
    else if (kind === "empty") Deno.truncateSync(path, 0);
    else {Deno.writeFileSync(
        path,
        Deno.readFileSync(`${store}/${names.find((one) => one !== name && filesIn(store).includes(one))}`),
      );}
    return `${kind} ${name}`;
  });
}

function filesIn(store: string): string[] {
  return named(store, /./);
}

for (const mode of MODES) {
  Deno.test(`repair of ${aStore(mode)} with damage at random: whole with a copy, and alone nothing gets worse`, () =>
    onStage(mode, async (stage) => {
      const { store, copy } = stage;
      const seed = Number(Deno.env.get("COLDCASE_SEED") ?? Date.now() % 2 ** 32);
      // deno-lint-ignore no-console
      console.log(`COLDCASE_SEED=${seed}`);
      const next = seeded(seed);
      for (let run = 0; run < 12; run++) {
        put(store, stage.files);
        const damage = damageSome(store, next).join(", ");
        const before = readAll(store);
        const readableBefore = await readableBlocks(store, stage).catch(refusedOnly);
        await repair(store, stage).catch(refusedOnly);
        assertNothingGone(store, before);
        const readableAfter = await readableBlocks(store, stage).catch(refusedOnly);
        for (const index of readableBefore ?? []) {
          assert(readableAfter?.includes(index), `${damage}: block ${index}`);
        }
        const { findings, lacking } = await repair(store, stage, { copy });
        assertEquals([findings, lacking], [[], []], damage);
        assertEquals(await allFindings(store, stage), [], damage);
        assertEquals(await tableAt(store, stage), EXPECTED, damage);
        assertNothingGone(store, before);
      }
      await assertWhole(stage);
    }));
}

/** Damage may keep an exhibit from being opened: an answer, where it is an operator's. */
function refusedOnly(error: unknown): undefined {
  if (error instanceof OperatorError && ["integrity", "format", "not_found"].includes(error.code)) {
    return undefined;
  }
  throw error;
}
