/**
 * Repair where more than an exhibit's own files matters: identities that open a part, packs that exhibits share or that lie
 * in quarantine, journals, the index, added headers, signatures.
 */
import { DatabaseSync } from "node:sqlite";
import { assert, assertEquals, assertRejects } from "@std/assert";
import { makeIdentity, Recipients } from "../../src/cipher_age.ts";
import { OperatorError } from "../../src/errors.ts";
import { openStore, openStoreForWriting } from "../../src/store/mod.ts";
import { TEST_KEY } from "../signing_key.ts";
import {
  allFindings,
  BLOCK,
  DAMAGES,
  flip,
  largestPack,
  named,
  opening,
  put,
  readAll,
  repair,
  SHAPE,
  tableAt,
  VOLUME,
} from "./damaged.ts";
import {
  acquire,
  beginOrResume,
  COUNTS,
  flipBit,
  LATER,
  noise,
  SESSION,
  tableOf,
  testWorld,
  verifiedBlock,
} from "./fixtures.ts";
import { assertNothingGone, assertWhole, aStore, evidenceIn, MODES, onStage, serving } from "./repairs.ts";

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

Deno.test("repair of an encrypted pack whose end is damaged or cut off has the records before it", () =>
  onStage("encrypted", async (stage) => {
    const { store } = stage;
    const pack = largestPack(store);
    const { size } = Deno.statSync(`${store}/${pack}`);
    const sealed = 65_536 + 16;
    // Two whole chunks, in which the first of two records ends, come before the last one.
    const lastBytes = (size - ageHeaderBytes(`${store}/${pack}`)) % sealed;
    const damages: Readonly<Record<string, () => void>> = {
      "in the last chunk": () => flip(store, pack, -60),
      "cut within it": () => Deno.truncateSync(`${store}/${pack}`, size - 100),
      "cut before it": () => Deno.truncateSync(`${store}/${pack}`, size - lastBytes),
      "cut in the tag before it": () => Deno.truncateSync(`${store}/${pack}`, size - lastBytes + 10),
    };
    for (const [damage, inflict] of Object.entries(damages)) {
      put(store, stage.files);
      inflict();
      const { summary, findings } = await repair(store, stage);
      assertEquals([summary?.salvagedBlocks, findings.length], [1, 1], damage);
    }
  }));

/** Up to the payload's first chunk: the header's lines, and the nonce. */
function ageHeaderBytes(path: string): number {
  const text = new TextDecoder("latin1").decode(Deno.readFileSync(path));
  return text.indexOf("\n", text.indexOf("\n--- ") + 1) + 1 + 16;
}
