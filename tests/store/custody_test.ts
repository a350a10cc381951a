/**
 * The custody log of a store: one chain a key and host, each entry naming the one before; what is edited, moved,
 * removed or forked is found and named, and two stores' logs become one when an exhibit is copied.
 */
import { assertEquals, assertNotEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { OperatorError } from "../../src/errors.ts";
import { encodeCanonicalJson } from "../../src/format/canonical_json.ts";
import { custodyChain, type CustodyEntry } from "../../src/format/custody.ts";
import { sha256 } from "../../src/format/digests.ts";
import type { CustodyHead } from "../../src/format/members.ts";
import { type EvidenceFinding, openStoreForWriting, type Store } from "../../src/store/mod.ts";
import { realClock } from "../../src/world.ts";
import { quickDisk } from "./faulty_disk.ts";
import { acquireAt, FACTS, filesBelow, flipBit, reading, testWorld } from "./fixtures.ts";
import { EXHIBIT_ORDER as ORDER, log, withKeys } from "./evidence.ts";

async function emptyStore(root: string, seed = 1): Promise<void> {
  (await openStoreForWriting(testWorld(quickDisk, seed), root)).close();
}

/** Faults of the log, each a code and a file; the good entries' notes in order. */
async function check(root: string, anchors: readonly CustodyHead[] = []) {
  const notes: unknown[] = [];
  const { faults } = await reading(
    root,
    (store) => store.evidence.checkCustody(anchors, (entry) => notes.push(entry.result.facts["note"])),
  );
  return { notes, faults: faults.map(({ code, file }) => `${code} ${file}`) };
}

/** Names of the entries of a chain, the oldest first. */
function entriesOf(root: string, chain: string): string[] {
  return filesBelow(root).filter((name) => name.startsWith(`custody/${chain}/`) && name.endsWith(".json"));
}

/** Removes an entry and its signatures. */
function removeEntry(root: string, name: string): void {
  const stem = name.slice(0, -".json".length);
  for (const file of filesBelow(root).filter((each) => each.startsWith(stem))) {
    Deno.removeSync(`${root}/${file}`);
  }
}

function copyTree(from: string, to: string): void {
  for (const name of filesBelow(from)) {
    Deno.mkdirSync(`${to}/${name}`.slice(0, `${to}/${name}`.lastIndexOf("/")), { recursive: true });
    Deno.copyFileSync(`${from}/${name}`, `${to}/${name}`);
  }
}

async function append(
  root: string,
  key: Parameters<typeof log>[1],
  ...notes: string[]
): Promise<CustodyHead> {
  return await reading(root, async (store) => {
    let head: CustodyHead | undefined;
    for (const note of notes) head = await log(store, key, note);
    return head!;
  });
}

Deno.test("StoreEvidence.logCustody() appends to the chain of its key and host, and names the others' heads", () =>
  withKeys(async (root, { first, second }) => {
    await emptyStore(root);
    const entries: CustodyEntry[] = [];
    await reading(root, async (store) => {
      const one = await log(store, first, "one");
      const two = await log(store, second, "two");
      const three = await log(store, first, "three");
      const four = await log(store, first, "four", "collector-2");
      const heads = [two, three, four];
      assertEquals(new Set([one, ...heads].map(({ chain }) => chain)).size, 3);
      const byChain = (a: CustodyHead, b: CustodyHead) => a.chain < b.chain ? -1 : 1;
      assertEquals(await store.evidence.custodyHeads(), heads.toSorted(byChain));
      const result = await store.evidence.checkCustody([one, ...heads], (entry) => entries.push(entry));
      assertEquals([result.entries, result.faults, result.heads], [4, [], heads.toSorted(byChain)]);
      const find = (note: string) => entries.find(({ result }) => result.facts["note"] === note)!;
      assertEquals([find("one").sequence, find("one").previous, find("one").seen], [0, null, []]);
      assertEquals([find("two").sequence, find("two").previous, find("two").seen], [0, null, [one]]);
      assertEquals([find("three").sequence, find("three").previous, find("three").seen], [1, one.digest, [
        two,
      ]]);
      assertEquals(find("four").seen, [two, three].toSorted(byChain));
      assertEquals([find("two").signer, find("four").signer], [second.fingerprint, first.fingerprint]);
      assertEquals(entries.map(({ chain }) => chain), entries.map(({ chain }) => chain).toSorted());
    });
  }));

Deno.test("StoreEvidence.checkCustody() finds every edit of an entry and of its signature", () =>
  withKeys(async (root, { first }) => {
    await emptyStore(root);
    const { chain } = await append(root, first, "one", "two", "three");
    const file = entriesOf(root, chain)[1]!;
    const stem = `${file.slice(0, -".json".length)}.${first.shortFingerprint}`;
    for (const changed of [file, `${stem}.sshsig`, `${stem}.ed25519`]) {
      const { size } = Deno.statSync(`${root}/${changed}`);
      for (let offset = 0; offset < size; offset += 23) {
        flipBit(`${root}/${changed}`, offset, offset % 8);
        const expected = { notes: ["one", "three"], faults: [`custody_damaged ${file}`] };
        assertEquals(await check(root), expected, `${changed} byte ${offset}`);
        flipBit(`${root}/${changed}`, offset, offset % 8);
      }
    }
    assertEquals((await check(root)).faults, []);
  }));

Deno.test("StoreEvidence.checkCustody() refuses an entry without its signer's own signature", () =>
  withKeys(async (root, { first, second }) => {
    await emptyStore(root);
    const { chain } = await append(root, first, "one");
    const file = entriesOf(root, chain)[0]!;
    const stem = `${root}/${file.slice(0, -".json".length)}`;
    Deno.removeSync(`${stem}.${first.shortFingerprint}.sshsig`);
    assertEquals(await check(root), { notes: [], faults: [`custody_damaged ${file}`] });
    const bytes = Deno.readFileSync(`${root}/${file}`);
    const armor = await second.signSshsig(bytes, "coldcase-custody@v1");
    Deno.writeFileSync(`${stem}.${second.shortFingerprint}.sshsig`, armor);
    assertEquals(await check(root), { notes: [], faults: [`custody_damaged ${file}`] });
  }));

Deno.test("StoreEvidence.checkCustody() refuses an entry whose chain is not its signer's on its host in its store", () =>
  withKeys(async (root, { first, second }) => {
    await emptyStore(root);
    const { chain } = await append(root, first, "one");
    const [file] = entriesOf(root, chain) as [string];
    const entry: CustodyEntry = JSON.parse(Deno.readTextFileSync(`${root}/${file}`));
    const storeId = await reading(root, (store) => Promise.resolve(store.file.id));
    assertEquals(entry.store, storeId);
    assertEquals(chain, custodyChain({ signer: first.fingerprint, hostname: entry.host.hostname, storeId }));
    removeEntry(root, file);
    /** Puts a first entry with these members, well signed and well named. */
    const plant = async (changes: Partial<CustodyEntry>, key = first) => {
      const bytes = encodeCanonicalJson({ ...entry, ...changes });
      const stem = `custody/${changes.chain ?? chain}/00000000-${sha256(bytes)}`;
      Deno.mkdirSync(`${root}/custody/${changes.chain ?? chain}`, { recursive: true });
      Deno.writeFileSync(`${root}/${stem}.json`, bytes);
      const armor = await key.signSshsig(bytes, "coldcase-custody@v1");
      Deno.writeFileSync(`${root}/${stem}.${key.shortFingerprint}.sshsig`, armor);
      return `${stem}.json`;
    };
    const signer = second.fingerprint;
    const wrong = [
      await plant({ store: "0f".repeat(16) }),
      await plant({ host: { ...entry.host, hostname: "collector-2" } }),
      await plant({ signer }, second),
      await plant({ chain: "0f".repeat(16) }),
    ];
    for (const name of wrong) {
      const others = wrong.filter((each) => each !== name);
      for (const other of others) Deno.renameSync(`${root}/${other}`, `${root}/${other}.aside`);
      assertEquals(await check(root), { notes: [], faults: [`custody_damaged ${name}`] });
      for (const other of others) Deno.renameSync(`${root}/${other}.aside`, `${root}/${other}`);
    }
    for (const name of wrong) removeEntry(root, name);
    // The same of another store, under the name that it has there: entries that were copied are good.
    const store = "0f".repeat(16);
    const { hostname } = entry.host;
    await plant({ store, chain: custodyChain({ signer: first.fingerprint, hostname, storeId: store }) });
    assertEquals(await check(root), { notes: ["one"], faults: [] });
  }));

Deno.test("StoreEvidence.checkCustody() finds two entries that changed places", () =>
  withKeys(async (root, { first }) => {
    await emptyStore(root);
    const { chain } = await append(root, first, "one", "two", "three", "four");
    const [, two, three] = entriesOf(root, chain) as [string, string, string];
    const swapped = (name: string, sequence: string) => name.replace(/\/\d{8}-/, `/${sequence}-`);
    const stemOf = (name: string) => name.slice(0, -".json".length);
    const moves: [string, string][] = [[two, "00000002"], [three, "00000001"]];
    for (const [name, sequence] of moves) {
      for (const file of filesBelow(root).filter((each) => each.startsWith(stemOf(name)))) {
        Deno.renameSync(`${root}/${file}`, `${root}/${swapped(file, sequence)}`);
      }
    }
    const { notes, faults } = await check(root);
    assertEquals(notes, ["one"]);
    assertEquals(faults.slice(0, 2), [
      `custody_damaged ${swapped(three, "00000001")}`,
      `custody_damaged ${swapped(two, "00000002")}`,
    ]);
  }));

Deno.test("StoreEvidence.checkCustody() finds that an entry was removed at the start or in the middle", () =>
  withKeys(async (root, { first }, folder) => {
    await emptyStore(root);
    const { chain } = await append(root, first, "one", "two", "three");
    const names = entriesOf(root, chain);
    for (const removed of [0, 1]) {
      const copy = `${folder}/without-${removed}`;
      copyTree(root, copy);
      removeEntry(copy, names[removed]!);
      const { faults } = await check(copy);
      assertEquals(faults, [`custody_missing ${names[removed + 1]}`]);
    }
  }));

Deno.test("StoreEvidence.checkCustody() finds a cut before anything that names an entry: chain, operator, manifest", () =>
  withKeys(async (root, { first, second }, folder) => {
    await emptyStore(root);
    await append(root, first, "one");
    const anchored = await append(root, first, "two");
    const id = await acquireAt(root, ORDER);
    const last = await append(root, first, "three");
    const [, two, three] = entriesOf(root, anchored.chain) as [string, string, string];
    const cut = `${folder}/cut`;
    copyTree(root, cut);
    removeEntry(cut, three);
    assertEquals((await check(cut)).faults, [], "after the last anchor nothing tells");
    assertEquals((await check(cut, [last])).faults, [`custody_missing ${three}`], "the operator names it");
    removeEntry(cut, two);
    assertEquals((await check(cut)).faults, [`custody_missing ${two}`], "the manifest names it");
    await reading(cut, async (store) => {
      const found: EvidenceFinding[] = [];
      const exhibit = await store.find(id);
      await store.evidence.check(exhibit, { keys: [], onFinding: (finding) => found.push(finding) });
      assertEquals(found.map(({ code, file }) => [code, file]), [["custody_missing", two]]);
    });
    await append(root, second, "of another chain");
    removeEntry(root, three);
    assertEquals((await check(root)).faults, [`custody_missing ${three}`], "another chain has seen it");
  }));

Deno.test("StoreEvidence.checkCustody() finds a chain that goes on in two ways", () =>
  withKeys(async (root, { first }, folder) => {
    await emptyStore(root);
    const twin = `${folder}/twin`;
    const { chain } = await append(root, first, "one");
    copyTree(root, twin);
    await append(root, first, "two");
    await append(twin, first, "two, elsewhere");
    assertEquals([(await check(root)).faults, (await check(twin)).faults], [[], []]);
    copyTree(twin, root);
    const [, , later] = entriesOf(root, chain);
    assertEquals((await check(root)).faults, [`custody_forked ${later}`]);
  }));

Deno.test("Store.copyTo() makes one log of two, and both sides stay whole", () =>
  withKeys(async (root, { first, second }, folder) => {
    const other = `${folder}/other`;
    const id = await acquireAt(root, ORDER);
    await append(root, first, "one", "two");
    await append(root, second, "three");
    await emptyStore(other, 7);
    await append(other, first, "there before");
    const before = filesBelow(other).filter((name) => name.startsWith("custody/"));
    const target: Store = await openStoreForWriting(testWorld(quickDisk, 7), other);
    try {
      const signal = new AbortController().signal;
      await reading(root, async (from) => {
        assertNotEquals(from.file.id, target.file.id);
        await from.copyTo(target, await from.find(id), { key: first, signal });
      });
    } finally {
      target.close();
    }
    await append(root, first, "given");
    await append(other, second, "taken");
    const here = await check(root);
    const there = await check(other);
    assertEquals([here.faults, there.faults], [[], []]);
    assertEquals(here.notes.toSorted(), ["given", "one", "three", "two"]);
    assertEquals(there.notes.toSorted(), ["one", "taken", "there before", "three", "two"]);
    const after = new Set(filesBelow(other));
    assertEquals(before.filter((name) => !after.has(name)), []);
  }));

Deno.test("StoreEvidence.logCustody() waits for whoever holds the log, and gives up after ten seconds", () =>
  withKeys(async (root, { first }) => {
    await emptyStore(root);
    const lock = quickDisk.tryLock(`${root}/custody-lock`)!;
    let [waits, nowMs, releaseAfter] = [0, 0, Infinity];
    const sleep = (ms: number) => {
      nowMs += ms;
      if (++waits === releaseAfter) lock.release();
      return Promise.resolve();
    };
    const clock = { nowMs: () => Date.parse("2026-01-02T03:04:05.000Z"), monotonicMs: () => nowMs, sleep };
    await reading(root, async (store) => {
      const error = await assertRejects(() => log(store, first, "one"), OperatorError);
      assertEquals(error.code, "locked");
      assertStringIncludes(error.message, "custody log");
      assertEquals(nowMs > 10_000 && nowMs < 11_000, true);
      assertEquals((await check(root)).notes, []);
      [waits, releaseAfter] = [0, 3];
      await log(store, first, "two");
      assertEquals([waits, (await check(root)).notes], [3, ["two"]]);
    }, { ...testWorld(), clock });
  }));

Deno.test("StoreEvidence.logCustody() makes one chain of what many append at once", () =>
  withKeys(async (root, { first, second }) => {
    await emptyStore(root);
    const notes = Array.from({ length: 12 }, (_, number) => `note ${number}`);
    await Promise.all(notes.map((note, number) =>
      reading(root, async (store) => {
        await log(store, number % 3 === 0 ? second : first, note);
      }, { ...testWorld(), clock: realClock })
    ));
    const { notes: logged, faults } = await check(root);
    assertEquals(faults, []);
    assertEquals(logged.toSorted(), notes.toSorted());
    await reading(root, async (store) => {
      const heads = await store.evidence.custodyHeads();
      assertEquals(heads.map(({ sequence }) => sequence).toSorted(), [3, 7]);
    });
  }));

Deno.test("StoreEvidence.logCustody() cuts what an entry has no room for, and enters it", () =>
  withKeys(async (root, { first }) => {
    await emptyStore(root);
    const long = "\u0001".repeat(4096);
    const facts = Object.fromEntries(Array.from({ length: 100 }, (_, at) => [`snap-${at}`, at]));
    const entries: CustodyEntry[] = [];
    await reading(root, async (store) => {
      const enter = (commandLine: string[], told: Record<string, string | number>, exhibitCount: number) =>
        store.evidence.logCustody({
          action: "acquire",
          clockSkewMs: null,
          commandLine,
          exhibits: new Array(exhibitCount).fill({
            commitment: "0".repeat(64),
            exhibit: "ex-0000000000000001",
          }),
          host: FACTS.host,
          reason: long,
          result: { exitCode: 0, facts: told, outcome: "done" },
        }, { key: first, tool: FACTS.tool });
      await enter(["coldcase"], facts, 1);
      await enter(new Array(256).fill(long), { ...facts, "snap-0": long }, 1024);
      await store.evidence.checkCustody([], (entry) => entries.push(entry));
    });
    assertEquals((await check(root)).faults, []);
    assertEquals(entries.map(({ result }) => Object.keys(result.facts).length), [64, 64]);
    assertEquals(entries.map(({ result }) => result.facts["factsLeftOut"]), [37, 37]);
    assertEquals(entries.map(({ commandLine, exhibits }) => [commandLine.length, exhibits.length]), [[1, 1], [
      16,
      256,
    ]]);
    assertEquals(entries[1]!.reason, long);
  }));
