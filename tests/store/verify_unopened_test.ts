/**
 * verify with an identity that does not open everything: what it opens is checked, of the rest the outside is, and what was
 * not looked at is counted and never passes for verified. Damage is found from outside as it is from inside.
 */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { Identities, makeIdentity, type NewIdentity, Recipients } from "../../src/cipher_age.ts";
import { OperatorError } from "../../src/errors.ts";
import { sha256 } from "../../src/format/digests.ts";
import type { ExhibitId, ObjectName } from "../../src/model.ts";
import {
  type Finding,
  openStore,
  openStoreForWriting,
  type Store,
  type VerifyOptions,
} from "../../src/store/mod.ts";
import { TEST_KEY } from "../signing_key.ts";
import {
  acquireAt,
  evidenceFiles,
  FACTS,
  flipBit,
  LATER,
  noise,
  type Order,
  shapeOf,
  SNAPSHOT,
  testWorld,
  type Volume,
  withFolder,
} from "./fixtures.ts";

const BLOCK = 1 << 16;
/** Two segments; a pack for each block. */
const VOLUME: Volume = new Map<number, Uint8Array | "unreadable">([
  [0, noise(1, BLOCK)],
  [1, noise(2, BLOCK)],
  [2, noise(3, BLOCK)],
  [5, "unreadable"],
  [7, new Uint8Array(BLOCK)],
  [16_384, noise(4, BLOCK)],
  [16_385, noise(5, BLOCK)],
  [32_767, noise(6, BLOCK)],
]);
const ORDER: Order = { volume: VOLUME, shape: shapeOf(BLOCK, 2), flushEvery: 1 };
const STORED = 6;
const PACKS = STORED;

const [ALICE, LINEAGE, BOB] = await Promise.all(
  [1, 2, 3].map(() => makeIdentity("x25519")),
) as [NewIdentity, NewIdentity, NewIdentity];
const RECIPIENTS = { contents: [ALICE.recipient], lineage: [LINEAGE.recipient] };
const { signal } = new AbortController();

async function openFor<T>(path: string, who: NewIdentity, body: (store: Store) => Promise<T>): Promise<T> {
  const identities = await Identities.of([{ secret: who.secret, place: "test" }]);
  const store = await openStore(testWorld(), path, { identities });
  try {
    return await body(store);
  } finally {
    store.close();
  }
}

/** What verify tells somebody. */
function check(path: string, id: ExhibitId, by: { who: NewIdentity; level?: VerifyOptions["level"] }) {
  return openFor(path, by.who, async (store) => {
    const found: Finding[] = [];
    const exhibit = await store.exhibit(id);
    const summary = await store.verify(exhibit, {
      level: by.level ?? "full",
      signal,
      onFinding: (finding) => found.push(finding),
    });
    const evidence = await store.evidence.check(exhibit, { keys: [], onFinding: () => {} });
    const isForContents = await store.access.isForContents(exhibit);
    return { found, summary, evidence, isForContents };
  });
}

const codesOf = (found: readonly Finding[]) => [...new Set(found.map(({ code }) => code))].sort();
const named = (path: string, start: string) => evidenceFiles(path).filter((name) => name.startsWith(start));

/** Lets Bob open all but `lacking`, which are cut short for as long as he is added. */
async function addBob(path: string, id: ExhibitId, lacking: readonly ObjectName[]): Promise<void> {
  const kept = lacking.map((name) => [`${path}/${name}`, Deno.readFileSync(`${path}/${name}`)] as const);
  for (const [file] of kept) Deno.truncateSync(file, 100);
  const recipients = await Recipients.of([{ text: BOB.recipient, place: "test" }]);
  const identities = await Identities.of([{ secret: ALICE.secret, place: "test" }]);
  const store = await openStoreForWriting(testWorld(undefined, 2), path, { identities });
  let faults = 0;
  try {
    await store.access.add(await store.outerExhibit(id), {
      recipients,
      opens: "contents",
      key: TEST_KEY,
      signal,
      onFault: () => faults++,
    });
  } finally {
    store.close();
  }
  for (const [file, bytes] of kept) Deno.writeFileSync(file, bytes);
  assertEquals(faults, lacking.length);
}

Deno.test("a lineage's identity verifies all but contents, which are counted as not checked", () =>
  withFolder(async (path) => {
    const id = await acquireAt(path, ORDER, { recipients: RECIPIENTS });
    const { found, summary, isForContents } = await check(path, id, { who: LINEAGE });
    assertEquals([found, isForContents], [[], false]);
    const packs = named(path, "packs/");
    const readBytes = packs.reduce((sum, name) => sum + Deno.statSync(`${path}/${name}`).size, 0);
    assertEquals(
      [summary.packs, summary.packsRead, summary.readBytes, summary.storedBlocks],
      [PACKS, PACKS, readBytes, STORED],
    );
    assertEquals(
      [summary.unopenedFiles, summary.unopenedPacks, summary.uncheckedBlocks],
      [PACKS, PACKS, STORED],
    );
    assert(packs.includes(summary.firstUnopened!), `${summary.firstUnopened}`);
    const quick = await check(path, id, { who: LINEAGE, level: "quick" });
    assertEquals(quick.found, []);
    assertEquals([quick.summary.packsRead, quick.summary.uncheckedBlocks], [0, STORED]);
    // Who may read contents is told of none that was left out.
    const { summary: whole } = await check(path, id, { who: ALICE });
    assertEquals([whole.unopenedFiles, whole.uncheckedBlocks, whole.firstUnopened], [0, 0, null]);
  }));

Deno.test("a lineage's identity finds damage in every kind of file that an exhibit needs", () =>
  withFolder(async (folder) => {
    const damages: [string, (file: string) => void, string][] = [
      ["packs/", (file) => flipBit(file, 40_000), "file_damaged"],
      ["packs/", (file) => Deno.removeSync(file), "file_missing"],
      ["packs/", (file) => Deno.truncateSync(file, 5000), "file_size"],
      ["segments/", (file) => flipBit(file, 300), "segment_unusable"],
      ["documents/", (file) => flipBit(file, 300), "file_damaged"],
    ];
    for (const [index, [start, damage, code]] of damages.entries()) {
      const path = `${folder}/${index}`;
      const id = await acquireAt(path, ORDER, { recipients: RECIPIENTS });
      const name = named(path, start)[0]!;
      damage(`${path}/${name}`);
      const { found } = await check(path, id, { who: LINEAGE });
      assert(codesOf(found).includes(code as Finding["code"]), `${name}: ${JSON.stringify(found)}`);
      assert(found.some(({ file }) => file === name), `${name} is not named`);
      assert(!codesOf(found).includes("block_missing"), "what was not opened is not missing");
    }
  }));

Deno.test("verify goes on where an added recipient lacks the header of a pack, and counts its blocks", () =>
  withFolder(async (path) => {
    const id = await acquireAt(path, ORDER, { recipients: RECIPIENTS });
    const lacking = named(path, "packs/")[0]!;
    await addBob(path, id, [lacking]);
    const { found, summary, isForContents } = await check(path, id, { who: BOB });
    assertEquals([found, isForContents], [[], true]);
    assertEquals(
      [summary.unopenedFiles, summary.unopenedPacks, summary.firstUnopened, summary.uncheckedBlocks],
      [1, 1, lacking, 1],
    );
    const quick = await check(path, id, { who: BOB, level: "quick" });
    assertEquals([quick.found, quick.summary.unopenedPacks, quick.summary.uncheckedBlocks], [[], 1, 1]);
    // From outside its damage is found all the same, and that of an opened one down to its chunk.
    flipBit(`${path}/${lacking}`, 40_000);
    assertEquals(codesOf((await check(path, id, { who: BOB })).found), ["file_damaged"]);
    const opened = named(path, "packs/").find((name) => name !== lacking)!;
    flipBit(`${path}/${opened}`, 40_000);
    const damaged = await check(path, id, { who: BOB });
    assert(damaged.found.some(({ message }) => message.includes("chunk 0")), JSON.stringify(damaged.found));
    assert(damaged.found.every(({ file }) => file === lacking || file === opened));
    assertEquals(damaged.summary.uncheckedBlocks, 2, "the one that was lost may be in the closed one, too");
  }));

Deno.test("verify goes on where headers of a segment and a document are lacking, and compares no counts", () =>
  withFolder(async (path) => {
    const id = await acquireAt(path, ORDER, { recipients: RECIPIENTS });
    const segments = named(path, "segments/");
    const lacking = [named(path, "documents/")[0]!, segments[0]!];
    await addBob(path, id, lacking);
    const { found, summary } = await check(path, id, { who: BOB });
    assertEquals(found, []);
    assertEquals([summary.unopenedFiles, summary.unopenedPacks], [2, 0]);
    assertEquals(summary.uncheckedBlocks, STORED / segments.length, "those of the segment that is closed");
    assertEquals(summary.firstUnopened, lacking[0]);
    flipBit(`${path}/${lacking[1]}`, 300);
    assertEquals(codesOf((await check(path, id, { who: BOB })).found), ["segment_unusable"]);
  }));

Deno.test("an addendum that is closed is told, not judged; its file is", () =>
  withFolder(async (path) => {
    const id = await acquireAt(path, ORDER, { recipients: RECIPIENTS });
    await addBob(path, id, []);
    const name = await openFor(path, ALICE, async (store) => {
      const facts = {
        at: "2026-01-02T04:00:00.000Z",
        by: "export" as const,
        digests: { md5: null, sha1: null, sha256: sha256(new Uint8Array(1)) },
        examiner: null,
        filled: { absentBlocks: 1, unreadableBlocks: 1 },
        host: FACTS.host,
        volumeSizeBytes: 2 ** 31,
      };
      return await store.evidence.addAddendum(await store.exhibit(id), facts, TEST_KEY);
    });
    assertEquals((await check(path, id, { who: BOB })).evidence.unopenedAddenda, [name]);
    assertEquals((await check(path, id, { who: ALICE })).evidence.unopenedAddenda, []);
  }));

Deno.test("Store.find() takes what opens, and says nothing of what may be newer and does not", () =>
  withFolder(async (path) => {
    const first = await acquireAt(path, ORDER, { recipients: RECIPIENTS });
    const later = { recipients: RECIPIENTS, world: testWorld(undefined, 3) };
    await acquireAt(path, { ...ORDER, snapshot: LATER }, later);
    await addBob(path, first, []);
    await openFor(path, BOB, async (store) => {
      assertEquals((await store.find(SNAPSHOT)).id, first);
      assertEquals((await store.newestOf(SNAPSHOT))?.id, first);
      const { imageDigest } = (await store.find(first)).manifest;
      assertEquals((await store.find(imageDigest.slice(0, 12))).id, first);
      for (const reference of [LATER, "7"]) {
        const error = await assertRejects(() => store.find(reference), OperatorError);
        assertEquals(error.code, "identity");
      }
    });
    // A second one of the same snapshot may supersede the first: only its manifest tells.
    await acquireAt(path, { ...ORDER, supersedes: first }, {
      recipients: RECIPIENTS,
      world: testWorld(undefined, 4),
    });
    await openFor(path, BOB, async (store) => {
      const error = await assertRejects(() => store.find(SNAPSHOT), OperatorError);
      assertEquals(error.code, "identity");
      assertEquals((await store.find(first)).id, first);
    });
  }));
