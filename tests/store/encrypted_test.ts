/**
 * Encrypted stores at the store's door: an encrypted acquisition is the plain one, file by file, in other hands. Who writes
 * needs no identity; who reads is told what does not open, which file is damaged, and what of the volume that costs.
 */
import { assert, assertEquals, assertMatch, assertNotEquals, assertRejects } from "@std/assert";
import { decryptAge, Identities, makeIdentity, type NewIdentity } from "../../src/cipher_age.ts";
import { OperatorError } from "../../src/errors.ts";
import { sha256 } from "../../src/format/digests.ts";
import type { ExhibitId, World } from "../../src/model.ts";
import {
  type Finding,
  openStore,
  openStoreForWriting,
  type Store,
  type WriteOptions,
} from "../../src/store/mod.ts";
import {
  acquire,
  acquireAt,
  beginOrResume,
  COUNTS,
  evidenceFiles,
  FACTS,
  feed,
  filesBelow,
  flipBit,
  LATER,
  noise,
  type Order,
  pattern,
  SESSION,
  shapeOf,
  SNAPSHOT,
  tableOf,
  tableOfExhibit,
  testWorld,
  type Volume,
  withFolder,
} from "./fixtures.ts";

const BLOCK = 1 << 16;
/** Two segments. */
const SHAPE = shapeOf(BLOCK, 2);
const VOLUME: Volume = new Map<number, Uint8Array | "unreadable">([
  [0, noise(1, BLOCK)],
  [1, noise(1, BLOCK)],
  [2, pattern(2, BLOCK)],
  [5, "unreadable"],
  [7, new Uint8Array(BLOCK)],
  [16_384, noise(3, BLOCK)],
  [32_767, noise(4, BLOCK)],
]);
const CHANGED: Volume = new Map([...VOLUME, [2, noise(9, BLOCK)], [5, noise(10, BLOCK)]]);
const ORDER: Order = { volume: VOLUME, shape: SHAPE, flushEvery: 2 };
const LATER_ORDER = { ...ORDER, volume: CHANGED, parentVolume: VOLUME, snapshot: LATER };

const [EXAMINER, LINEAGE, STRANGER] = await Promise.all(
  [1, 2, 3].map(() => makeIdentity("x25519")),
) as [NewIdentity, NewIdentity, NewIdentity];
const of = (...people: NewIdentity[]) =>
  Identities.of(people.map(({ secret }) => ({ secret, place: "test" })));
const WRITING: WriteOptions = {
  recipients: { contents: [EXAMINER.recipient], lineage: [LINEAGE.recipient] },
};

async function inStore<T>(store: Promise<Store>, body: (store: Store) => Promise<T>): Promise<T> {
  const opened = await store;
  try {
    return await body(opened);
  } finally {
    opened.close();
  }
}

async function readingAs<T>(who: NewIdentity, path: string, body: (store: Store) => Promise<T>): Promise<T> {
  return await inStore(openStore(testWorld(), path, { identities: await of(who) }), body);
}

/** A plain and an encrypted acquisition of one volume, the second by a host that can open nothing. */
async function both(folder: string, order: Order = ORDER) {
  const [plain, secret] = [`${folder}/plain`, `${folder}/secret`];
  return {
    plain,
    secret,
    plainId: await acquireAt(plain, order),
    id: await acquireAt(secret, order, WRITING),
  };
}

/** What is in an age file of the store, by the digest of it. */
async function opened(path: string, name: string, who = EXAMINER): Promise<Uint8Array> {
  const identities = await of(who);
  return await decryptAge(Deno.readFileSync(`${path}/${name}`), { identities, name, maxBytes: 1 << 27 });
}

const named = (path: string, folder: string) => evidenceFiles(path).filter((name) => name.startsWith(folder));

async function findingsOf(path: string, id: ExhibitId): Promise<Finding[]> {
  const findings: Finding[] = [];
  await readingAs(EXAMINER, path, async (store) => {
    const signal = new AbortController().signal;
    const onFinding = (finding: Finding) => findings.push(finding);
    await store.verify(await store.exhibit(id), { level: "full", signal, onFinding });
  });
  return findings;
}

async function identityErrorOf(action: () => Promise<unknown>): Promise<OperatorError> {
  const error = await assertRejects(action, OperatorError);
  assertEquals(error.code, "identity", error.message);
  return error;
}

Deno.test("an encrypted acquisition has the packs and segments of the plain one, in age files", () =>
  withFolder(async (folder) => {
    const { plain, secret, plainId, id } = await both(folder);
    for (const kind of ["packs/", "segments/"]) {
      const digests = await Promise.all(
        named(secret, kind).map(async (name) => {
          assertMatch(name, /[0-9a-f]{64}\.(pack|json)\.age$/);
          const [digest] = /[0-9a-f]{64}/.exec(name)!;
          assertEquals(
            sha256(Deno.readFileSync(`${secret}/${name}`)),
            digest,
            "the name is that of the ciphertext",
          );
          return sha256(await opened(secret, name));
        }),
      );
      const expected = named(plain, kind).map((name) => /[0-9a-f]{64}/.exec(name)![0]);
      assert(expected.length >= 2, `${expected}`);
      assertEquals(digests.sort(), expected.sort(), kind);
    }
    const exhibit = await inStore(openStore(testWorld(), plain), (store) => store.exhibit(plainId));
    await readingAs(EXAMINER, secret, async (store) => {
      const { acquisition, ...manifest } = (await store.exhibit(id)).manifest;
      const { acquisition: plainRecord, ...expected } = exhibit.manifest;
      assertEquals(manifest, expected);
      assertNotEquals(acquisition.nonce, "");
      assertEquals(acquisition.documents.unreadable, plainRecord.documents.unreadable);
    });
    assertEquals(await findingsOf(secret, id), []);
  }));

Deno.test("two encryptions of one thing have no file in common but keys", () =>
  withFolder(async (folder) => {
    const path = (name: string) => `${folder}/${name}`;
    for (const [seed, name] of [[1, "one"], [2, "two"]] as const) {
      await acquireAt(path(name), ORDER, { ...WRITING, world: testWorld(undefined, seed) });
    }
    const ages = (name: string) => filesBelow(path(name)).filter((file) => file.endsWith(".age"));
    assertEquals(ages("one").length, ages("two").length);
    assertEquals(ages("one").filter((name) => ages("two").includes(name)), []);
  }));

Deno.test("an encrypted acquisition builds on what a lineage key opens, and shares what did not change", () =>
  withFolder(async (folder) => {
    const { plain, secret, plainId, id } = await both(folder);
    const build = async (path: string, parent: ExhibitId, options: WriteOptions & { world?: World }) =>
      await inStore(openStoreForWriting(testWorld(undefined, 5), path, options), async (store) => {
        return await acquire(store, { ...LATER_ORDER, parent: await store.exhibit(parent) });
      });
    const before = filesBelow(secret);
    const plainChild = await build(plain, plainId, {});
    const child = await build(secret, id, { ...WRITING, identities: await of(LINEAGE) });
    const added = filesBelow(secret).filter((name) => !before.includes(name));
    assertEquals(added.filter((name) => name.startsWith("segments/")).length, 1, "the second did not change");
    const expected = await inStore(openStore(testWorld(), plain), (store) => store.exhibit(plainChild));
    await readingAs(EXAMINER, secret, async (store) => {
      const exhibit = await store.exhibit(child);
      assertEquals(exhibit.manifest.imageDigest, expected.manifest.imageDigest);
      assertEquals(
        exhibit.manifest.acquisition.takenOverBlocks,
        expected.manifest.acquisition.takenOverBlocks,
      );
      assertEquals(exhibit.manifest.parent?.exhibit, id);
      assertEquals(await tableOfExhibit(exhibit), tableOf(CHANGED));
    });
    assertEquals(await findingsOf(secret, child), []);
  }));

Deno.test("a host with recipients only resumes after every block, its journal for its owner alone", () =>
  withFolder(async (folder) => {
    const whole = await acquireAt(`${folder}/whole`, ORDER);
    const expected = await inStore(
      openStore(testWorld(), `${folder}/whole`),
      (store) => store.exhibit(whole),
    );
    for (let stopAfter = 1; stopAfter < VOLUME.size; stopAfter++) {
      const path = `${folder}/resumed-${stopAfter}`;
      let put = 0;
      const stop = () => {
        if (put++ === stopAfter) throw new OperatorError("interrupted", "Interrupted by the test");
      };
      await assertRejects(() => acquireAt(path, { ...ORDER, onPut: stop }, WRITING), OperatorError);
      const [journal] = [...Deno.readDirSync(`${path}/journal`)].map(({ name }) => `${path}/journal/${name}`);
      assertEquals(Deno.statSync(journal!).mode! & 0o777, 0o700);
      for (const name of ["head.json", "blocks", "log"]) {
        assertEquals(Deno.statSync(`${journal}/${name}`).mode! & 0o777, 0o600, name);
      }
      let again = 0;
      const id = await acquireAt(path, { ...ORDER, onPut: () => again++ }, {
        ...WRITING,
        world: testWorld(undefined, 2),
      });
      assertEquals(again, VOLUME.size - stopAfter, "nothing that was recorded is put again");
      assertEquals(filesBelow(path).filter((name) => name.startsWith("journal/")), []);
      await readingAs(EXAMINER, path, async (store) => {
        const exhibit = await store.exhibit(id);
        assertEquals(exhibit.manifest.imageDigest, expected.manifest.imageDigest);
        assertEquals(await tableOfExhibit(exhibit), tableOf(VOLUME));
      });
    }
  }));

Deno.test("an open pack holds no plaintext: a killed session leaves an age file, and nothing of the volume", () =>
  withFolder(async (folder) => {
    const path = `${folder}/store`;
    await inStore(openStoreForWriting(testWorld(), path, WRITING), async (store) => {
      const acquisition = await beginOrResume(store, ORDER);
      await acquisition.startSession(SESSION, { counts: () => COUNTS, takeEvents: () => [] });
      await feed(acquisition, { volume: VOLUME, shape: SHAPE });
      // As a killed session leaves it: nothing is closed.
      const [pack] = filesBelow(path).filter((name) => /open-\d+\.pack$/.test(name));
      const bytes = Deno.readFileSync(`${path}/${pack}`);
      const text = new TextDecoder("latin1").decode(bytes);
      assert(text.startsWith("age-encryption.org/v1\n"), "no age file from its first byte");
      for (const content of [noise(1, BLOCK), noise(3, BLOCK)]) {
        assert(!text.includes(new TextDecoder("latin1").decode(content.subarray(100, 164))));
      }
      await acquisition.endSession("interrupted");
    });
  }));

Deno.test("one flipped bit anywhere in a pack is found, with file, chunk and the blocks that it costs", () =>
  withFolder(async (folder) => {
    const path = `${folder}/store`;
    const id = await acquireAt(path, { ...ORDER, flushEvery: 100 }, WRITING);
    const [pack] = named(path, "packs/");
    const size = Deno.statSync(`${path}/${pack}`).size;
    const header = new TextDecoder("latin1").decode(Deno.readFileSync(`${path}/${pack}`))
      .match(/^[^]*?\n--- \S{43}\n/)![0].length;
    const chunks = Math.ceil((size - header - 16) / 65_552);
    assert(chunks >= 3, `${chunks} chunks`);
    for (let chunk = 0; chunk < chunks; chunk++) {
      const offset = header + 16 + chunk * 65_552 + 20;
      flipBit(`${path}/${pack}`, offset);
      const findings = await findingsOf(path, id);
      flipBit(`${path}/${pack}`, offset);
      assert(findings.length > 0, `chunk ${chunk}`);
      assert(
        findings.some(({ code, file }) => code === "file_damaged" && file === pack),
        JSON.stringify(findings),
      );
      const blocks = findings.flatMap(({ firstBlock, blockCount }) =>
        firstBlock === undefined ? [] : Array.from({ length: blockCount! }, (_, at) => firstBlock + at)
      );
      assert(blocks.every((index) => VOLUME.get(index) instanceof Uint8Array), `${blocks}`);
      const texts = findings.map(({ message }) => message).join("\n");
      assertMatch(texts, /chunk \d+/, `chunk ${chunk}`);
    }
    assertEquals(await findingsOf(path, id), [], "put right again");
    // Of the header nothing opens: the file is named, and all its blocks are.
    flipBit(`${path}/${pack}`, header - 20);
    const findings = await findingsOf(path, id);
    assert(findings.some(({ file }) => file === pack), JSON.stringify(findings));
  }));

Deno.test("a damaged segment, map, manifest or document is found by its name", () =>
  withFolder(async (folder) => {
    const path = `${folder}/store`;
    const id = await acquireAt(path, ORDER, WRITING);
    const names = filesBelow(path).filter((name) => name.endsWith(".age") && !name.startsWith("packs/"));
    assertEquals(names.filter((name) => name.startsWith("segments/")).length, 2);
    for (const name of names) {
      const sizeBytes = Deno.statSync(`${path}/${name}`).size;
      flipBit(`${path}/${name}`, sizeBytes - 1);
      const error = await findingsOf(path, id).then(
        (findings) =>
          assert(findings.some(({ file }) => file === name), `${name}: ${JSON.stringify(findings)}`),
        (thrown) => thrown,
      );
      if (error !== undefined) {
        assert(error instanceof OperatorError && error.code === "integrity", `${name}: ${error}`);
        assert(error.message.includes(name) || error.facts["file"] === name, error.message);
      }
      flipBit(`${path}/${name}`, sizeBytes - 1);
    }
    assertEquals(await findingsOf(path, id), []);
  }));

Deno.test("what does not open is told: how many identities were tried, and what kinds there are", () =>
  withFolder(async (folder) => {
    const path = `${folder}/store`;
    const id = await acquireAt(path, ORDER, WRITING);
    const pack = named(path, "packs/")[0]!;
    const wrong = await identityErrorOf(() => readingAs(STRANGER, path, (store) => store.exhibit(id)));
    assertEquals(wrong.facts["identities"], 1);
    assertEquals(wrong.facts["recipients"], 2);
    assertEquals(wrong.facts["recipientKinds"], "X25519");
    const none = await identityErrorOf(() =>
      inStore(openStore(testWorld(), path), (store) => store.exhibit(id))
    );
    assert(none.hints.join(" ").includes("-i FILE"), `${none.hints}`);
    await readingAs(LINEAGE, path, async (store) => {
      const exhibit = await store.exhibit(id);
      assertEquals((await exhibit.block(0))!.digest, sha256(noise(1, BLOCK)), "digests it opens");
      const refused = await identityErrorOf(() => exhibit.readBlock(0));
      assertEquals(refused.facts["recipients"], 1, refused.message);
    });
    await identityErrorOf(() => opened(path, pack, LINEAGE));
  }));

Deno.test("openStoreForWriting() refuses recipients that differ from the store's, and names the difference", () =>
  withFolder(async (folder) => {
    const path = `${folder}/store`;
    await acquireAt(path, ORDER, WRITING);
    await acquireAt(`${folder}/plain`, ORDER, { recipients: null });
    const contents = [EXAMINER.recipient];
    const lineage = [LINEAGE.recipient];
    const wishes: [string, WriteOptions["recipients"], readonly string[]][] = [
      ["plain", { contents, lineage: null }, ["it is plain, and recipients were given"]],
      ["store", null, ["it is encrypted, and no recipient was given"]],
      ["store", { contents: [STRANGER.recipient], lineage }, [EXAMINER.recipient, STRANGER.recipient]],
      ["store", { contents: [...contents, STRANGER.recipient], lineage }, [STRANGER.recipient]],
      ["store", { contents, lineage: null }, ["lineage", LINEAGE.recipient]],
      ["store", { contents, lineage: [STRANGER.recipient] }, ["lineage", STRANGER.recipient]],
    ];
    for (const [name, recipients, words] of wishes) {
      const before = filesBelow(`${folder}/${name}`);
      const error = await assertRejects(
        () => openStoreForWriting(testWorld(), `${folder}/${name}`, { recipients }),
        OperatorError,
      );
      assertEquals(error.code, "usage");
      for (const word of words) assert(error.message.includes(word), `${error.message}: ${word}`);
      assertEquals(filesBelow(`${folder}/${name}`), before);
    }
    (await openStoreForWriting(testWorld(), path, WRITING)).close();
  }));

Deno.test("commit() gives what it made, also to who can't open it", () =>
  withFolder(async (folder) => {
    const path = `${folder}/store`;
    const committed = await inStore(openStoreForWriting(testWorld(), path, WRITING), async (store) => {
      const acquisition = await beginOrResume(store, ORDER);
      await acquisition.startSession(SESSION, { counts: () => COUNTS, takeEvents: () => [] });
      await feed(acquisition, ORDER);
      const made = await acquisition.commit(FACTS);
      await identityErrorOf(() => store.exhibit(made.id));
      assertEquals((await store.newestOuterOf(SNAPSHOT))?.id, made.id);
      assertEquals((await store.findOuter(SNAPSHOT)).inventory, made.inventory);
      return made;
    });
    await readingAs(EXAMINER, path, async (store) => {
      const exhibit = await store.exhibit(committed.id);
      assertEquals([exhibit.manifest, exhibit.inventory], [committed.manifest, committed.inventory]);
    });
  }));
