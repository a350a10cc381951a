/**
 * Recipients who were added: they open through new headers everything that was written before, old ones go on as
 * before, and damage to headers harms nobody who has another one. What is written later is for all of them.
 */
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { Identities, makeIdentity, type NewIdentity, Recipients } from "../../src/cipher_age.ts";
import { OperatorError } from "../../src/errors.ts";
import { sha256 } from "../../src/format/digests.ts";
import { decodeHeaders, type Opens } from "../../src/format/headers.ts";
import type { ExhibitId, ObjectName } from "../../src/model.ts";
import {
  type AddSummary,
  openStore,
  openStoreForWriting,
  type Store,
  type WriteOptions,
} from "../../src/store/mod.ts";
import { TEST_KEY } from "../signing_key.ts";
import { FaultyDisk } from "./faulty_disk.ts";
import {
  acquireAt,
  beginOrResume,
  COUNTS,
  feed,
  filesBelow,
  flipBit,
  LATER,
  noise,
  pattern,
  SESSION,
  shapeOf,
  tableOf,
  tableOfExhibit,
  testWorld,
  type Volume,
  withFolder,
} from "./fixtures.ts";

const BLOCK = 1 << 16;
const SHAPE = shapeOf(BLOCK);
const VOLUME: Volume = new Map<number, Uint8Array | "unreadable">([
  [0, noise(1, BLOCK)],
  [1, pattern(2, BLOCK)],
  [5, "unreadable"],
  [7, new Uint8Array(BLOCK)],
  [16_383, noise(3, BLOCK)],
]);
const ORDER = { volume: VOLUME, shape: SHAPE, flushEvery: 2 };
const signal = new AbortController().signal;

const ALICE = await makeIdentity("x25519");
const BOB = await makeIdentity("x25519");
const QUANTUM = await makeIdentity("post-quantum");
const LINEAGE = await makeIdentity("x25519");
const FOR_ALICE = { contents: [ALICE.recipient], lineage: null };

const identitiesOf = (...identities: readonly NewIdentity[]) =>
  Identities.of(identities.map(({ secret }) => ({ secret, place: "test" })));
const recipientsOf = (...identities: readonly NewIdentity[]) =>
  Recipients.of(identities.map(({ recipient }) => ({ text: recipient, place: "test" })));

/** Worlds differ, so that no two make the same temporary names. */
let worlds = 1000;

async function openFor<T>(
  path: string,
  identity: NewIdentity | undefined,
  body: (store: Store) => Promise<T>,
): Promise<T> {
  const identities = identity && await identitiesOf(identity);
  const store = await openStore(testWorld(undefined, worlds++), path, { identities });
  try {
    return await body(store);
  } finally {
    store.close();
  }
}

/** Acquires the volume for Alice. */
async function acquireForAlice(path: string, options: WriteOptions = {}): Promise<ExhibitId> {
  return await acquireAt(path, ORDER, { recipients: FOR_ALICE, ...options });
}

interface Adding {
  readonly by?: NewIdentity;
  readonly added?: readonly NewIdentity[];
  readonly opens?: Opens;
  readonly disk?: FaultyDisk;
  readonly faults?: OperatorError[];
}

async function add(path: string, id: ExhibitId, adding: Adding = {}): Promise<AddSummary> {
  const { by = ALICE, added = [BOB], opens = "contents", disk, faults } = adding;
  const identities = await identitiesOf(by);
  const store = await openStoreForWriting(testWorld(disk, worlds++), path, { identities });
  try {
    return await store.access.add(await store.outerExhibit(id), {
      recipients: await recipientsOf(...added),
      opens,
      key: TEST_KEY,
      signal,
      onFault(error) {
        if (!faults) throw error;
        faults.push(error);
      },
    });
  } finally {
    store.close();
  }
}

/** Everything that there is to check, by somebody with this identity. Gives the findings' texts. */
async function findingsOf(
  path: string,
  id: ExhibitId,
  identity: NewIdentity | undefined,
): Promise<string[]> {
  return await openFor(path, identity, async (store) => {
    const texts: string[] = [];
    const onFinding = ({ code, message }: { code: string; message: string }) => {
      texts.push(`${code}: ${message}`);
    };
    const outer = await store.outerExhibit(id);
    await store.verifyOuter(outer, { level: "full", signal, onFinding });
    const exhibit = identity ? await store.exhibit(id) : outer;
    if (identity) await store.verify(await store.exhibit(id), { level: "full", signal, onFinding });
    await store.evidence.check(exhibit, { keys: [], onFinding });
    return texts;
  });
}

async function assertOpens(path: string, id: ExhibitId, identity: NewIdentity): Promise<void> {
  await openFor(path, identity, async (store) => {
    assertEquals(await tableOfExhibit(await store.exhibit(id)), tableOf(VOLUME));
  });
  assertEquals(await findingsOf(path, id, identity), []);
}

async function assertCode(code: string, action: () => Promise<unknown>, ...parts: string[]): Promise<void> {
  const error = await assertRejects(action, OperatorError);
  assertEquals(error.code, code, error.message);
  for (const part of parts) assertStringIncludes(`${error.message}\n${error.hints.join("\n")}`, part);
}

const ageFiles = (path: string) => filesBelow(path).filter((name) => name.endsWith(".age"));
const headersIn = (path: string) => filesBelow(path).filter((name) => /headers-[0-9a-f]+\.txt$/.test(name));

function readPart(path: string, name: ObjectName) {
  return decodeHeaders(Deno.readFileSync(`${path}/${name}`), name);
}

Deno.test("recipients who were added open everything, and nothing that was there changes", () =>
  withFolder(async (folder) => {
    const path = `${folder}/store`;
    const id = await acquireForAlice(path);
    await assertCode("identity", () => openFor(path, BOB, (store) => store.exhibit(id)));
    const before = new Map(
      filesBelow(path).map((name) => [name, Deno.readFileSync(`${path}/${name}`).join()]),
    );
    const summary = await add(path, id);
    assertEquals([summary.files, summary.addedHeaders, summary.heldHeaders], [
      ageFiles(path).length,
      ageFiles(path).length,
      0,
    ]);
    for (const [name, bytes] of before) {
      assertEquals(Deno.readFileSync(`${path}/${name}`).join(), bytes, `${name} changed`);
    }
    assertEquals(summary.headersFiles, headersIn(path));
    const part = readPart(path, headersIn(path)[0]!);
    assertEquals(part.files.map(({ name }) => name), ageFiles(path));
    assertEquals([part.opens, part.recipients, part.exhibit], ["contents", [BOB.recipient], id]);
    await assertOpens(path, id, BOB);
    await assertOpens(path, id, ALICE);
    assertEquals(await findingsOf(path, id, undefined), []);
  }));

Deno.test("adding the same recipients again does nothing; another one gets headers of their own", () =>
  withFolder(async (folder) => {
    const path = `${folder}/store`;
    const id = await acquireForAlice(path);
    await add(path, id);
    const files = filesBelow(path);
    const again = await add(path, id);
    assertEquals([again.addedHeaders, again.heldHeaders], [0, ageFiles(path).length]);
    assertEquals(filesBelow(path), files);
    // Bob can add, too: what he has is as good as Alice's. And post-quantum beside others: a header is one file's.
    const other = await add(path, id, { by: BOB, added: [QUANTUM] });
    assertEquals(other.addedHeaders, ageFiles(path).length);
    for (const identity of [ALICE, BOB, QUANTUM]) await assertOpens(path, id, identity);
  }));

Deno.test("a recipient of the lineage gets no header of a pack", () =>
  withFolder(async (folder) => {
    const path = `${folder}/store`;
    const id = await acquireForAlice(path);
    await add(path, id, { added: [LINEAGE], opens: "lineage" });
    const part = readPart(path, headersIn(path)[0]!);
    assertEquals(part.opens, "lineage");
    assertEquals(part.files.map(({ name }) => name), ageFiles(path).filter((name) => !name.includes("pack")));
    await openFor(path, LINEAGE, async (store) => {
      const exhibit = await store.exhibit(id);
      assertEquals((await exhibit.block(1))?.state, "stored");
      await assertCode("identity", () => exhibit.readBlock(1), "packs/");
    });
    // Who opens digests only can't give what they don't have.
    await assertCode("identity", () => add(path, id, { by: LINEAGE, added: [BOB] }), "packs/");
    // Later for contents, too: the packs get headers, the others have some already.
    const packs = ageFiles(path).filter((name) => name.includes("pack")).length;
    assertEquals((await add(path, id, { added: [LINEAGE] })).addedHeaders, packs);
    await assertOpens(path, id, LINEAGE);
  }));

Deno.test("an identity that opens nothing can add nobody, and nothing is written", () =>
  withFolder(async (folder) => {
    const path = `${folder}/store`;
    const id = await acquireForAlice(path);
    await assertCode("identity", () => add(path, id, { by: BOB, added: [BOB] }), "does not fit");
    assertEquals(headersIn(path), []);
  }));

Deno.test("damage to headers is found and located, and harms nobody with a header of their own", () =>
  withFolder(async (folder) => {
    const path = `${folder}/store`;
    const id = await acquireForAlice(path);
    await add(path, id);
    const [file] = headersIn(path);
    const text = Deno.readTextFileSync(`${path}/${file}`);
    const lines = text.split("\n");
    const hit = lines.findIndex((line) => line.includes("packs/"));
    const name = lines[hit]!.split(" ")[1]!;
    // One bit of the stanza's body, in the middle of the base64: still a header, but another one.
    const at = text.indexOf(lines[hit]!) + lines[hit]!.indexOf(" YW") + 80;
    Deno.writeTextFileSync(
      `${path}/${file}`,
      text.slice(0, at) + (text[at] === "B" ? "C" : "B") + text.slice(at + 1),
    );
    await openFor(path, BOB, async (store) => {
      const exhibit = await store.exhibit(id);
      await assertCode("identity", () => tableOfExhibit(exhibit), name, `"${file}" is damaged`);
      const { unopenedFiles, firstUnopened } = await store.verify(exhibit, {
        level: "full",
        signal,
        onFinding: () => {},
      });
      assertEquals([unopenedFiles, firstUnopened], [1, name]);
    });
    for (const identity of [ALICE, BOB, undefined]) {
      const findings = await findingsOf(path, id, identity);
      assert(
        findings.some((text) => text.startsWith("headers_damaged") && text.includes(file!)),
        `${findings}`,
      );
    }
    const located = await findingsOf(path, id, ALICE);
    assertEquals(located.length, 2, `${located}`);
    assertStringIncludes(located[1]!, `line ${hit + 1}, the header of "${name}", is damaged`);
    await openFor(path, ALICE, async (store) => {
      assertEquals(await tableOfExhibit(await store.exhibit(id)), tableOf(VOLUME));
    });
    // The other lines still serve Bob: damage costs one header.
    await openFor(path, BOB, async (store) => {
      const exhibit = await store.exhibit(id);
      let lost = 0;
      for (const [index, bytes] of VOLUME) {
        if (bytes === "unreadable" || index === 7) continue;
        const read = await exhibit.readBlock(index).catch(() => undefined);
        if (read) assertEquals(sha256(read), sha256(bytes));
        else lost++;
      }
      assert(lost > 0 && lost < 3, `${lost} blocks lost`);
    });
    const { added, damaged } = await openFor(path, undefined, async (store) => {
      return await store.access.of(await store.outerExhibit(id));
    });
    assertEquals([added, damaged], [[], [file!]]);
    // Added anew, they are whole again: a damaged part counts for nothing.
    assertEquals((await add(path, id)).heldHeaders, 0);
    await openFor(path, BOB, async (store) => {
      assertEquals(await tableOfExhibit(await store.exhibit(id)), tableOf(VOLUME));
    });
  }));

Deno.test("headers that lie about their file open nothing and alter nothing", () =>
  withFolder(async (folder) => {
    const path = `${folder}/store`;
    const id = await acquireForAlice(path);
    await add(path, id);
    const [file] = headersIn(path);
    const lines = Deno.readTextFileSync(`${path}/${file}`).split("\n");
    const packs = lines.flatMap((line, at) => line.includes("packs/") ? [at] : []);
    const [first, second] = [lines[packs[0]!]!.split(" "), lines[packs[1]!]!.split(" ")];
    lines[packs[0]!] = [first[0], first[1], second[2]].join(" ");
    lines[packs[1]!] = [second[0], second[1], first[2]].join(" ");
    Deno.writeTextFileSync(`${path}/${file}`, lines.join("\n"));
    await openFor(path, BOB, async (store) => {
      const exhibit = await store.exhibit(id);
      await assertCode("integrity", () => tableOfExhibit(exhibit), "fails authentication");
    });
    await openFor(path, ALICE, async (store) => {
      assertEquals(await tableOfExhibit(await store.exhibit(id)), tableOf(VOLUME));
    });
  }));

Deno.test("verify finds headers without a signature, with a bad one, and of files that are gone", () =>
  withFolder(async (folder) => {
    const path = `${folder}/store`;
    const id = await acquireForAlice(path);
    await add(path, id);
    const signature = filesBelow(path).find((name) => /headers-.*\.sshsig$/.test(name))!;
    const bytes = Deno.readFileSync(`${path}/${signature}`);
    flipBit(`${path}/${signature}`, 100, 1);
    assertStringIncludes((await findingsOf(path, id, BOB)).join(), "headers_damaged");
    Deno.removeSync(`${path}/${signature}`);
    assertStringIncludes((await findingsOf(path, id, BOB)).join(), "it has no signature");
    Deno.writeFileSync(`${path}/${signature}`, bytes);
    assertEquals(await findingsOf(path, id, BOB), []);
    const pack = ageFiles(path).find((name) => name.startsWith("packs/"))!;
    Deno.removeSync(`${path}/${pack}`);
    const findings = (await findingsOf(path, id, undefined)).join("\n");
    assertStringIncludes(findings, `has a header for "${pack}", which is missing`);
  }));

Deno.test("a file that is missing or damaged gets no header, is told, and keeps no other from one", () =>
  withFolder(async (folder) => {
    const path = `${folder}/store`;
    const id = await acquireForAlice(path);
    const [gone, cut] = ageFiles(path).filter((name) => name.startsWith("packs/"));
    Deno.removeSync(`${path}/${gone}`);
    Deno.truncateSync(`${path}/${cut}`, Deno.statSync(`${path}/${cut}`).size - 1);
    const faults: OperatorError[] = [];
    const summary = await add(path, id, { faults });
    assertEquals(faults.map(({ code }) => code).sort(), ["integrity", "not_found"]);
    assertEquals(summary.addedHeaders, summary.files - 2);
    assertEquals(readPart(path, headersIn(path)[0]!).files.some(({ name }) => name === cut), false);
  }));

Deno.test("a pack that does not decrypt costs its own blocks and no others", () =>
  withFolder(async (folder) => {
    const path = `${folder}/store`;
    const id = await acquireForAlice(path);
    const packs = ageFiles(path).filter((name) => name.startsWith("packs/"));
    for (
      const damage of [
        (file: string) => flipBit(file, 60), // the header
        (file: string) => Deno.truncateSync(file, Deno.statSync(file).size - 20), // the last chunk
      ]
    ) {
      for (const pack of packs) {
        const whole = Deno.readFileSync(`${path}/${pack}`);
        damage(`${path}/${pack}`);
        await openFor(path, ALICE, async (store) => {
          const exhibit = await store.exhibit(id);
          const results: boolean[] = [];
          for (const [index, bytes] of VOLUME) {
            if (bytes === "unreadable" || index === 7) continue;
            const read = await exhibit.readBlock(index).catch((error) => {
              assertStringIncludes(error.message, pack);
              return undefined;
            });
            if (read) assertEquals(sha256(read), sha256(bytes));
            results.push(read !== undefined);
          }
          assert(results.includes(true) && results.includes(false), `${pack}: ${results}`);
        });
        Deno.writeFileSync(`${path}/${pack}`, whole);
      }
    }
  }));

Deno.test("adding goes on after a disk that fails at any step, and leaves nothing half", () =>
  withFolder(async (folder) => {
    const model = `${folder}/model`;
    const id = await acquireForAlice(model);
    let isDone = false;
    for (let step = 1; !isDone; step++) {
      const path = `${folder}/store-${step}`;
      copyTree(model, path);
      const disk = new FaultyDisk({ at: step, crash: true, losesUnsynced: true });
      isDone = await add(path, id, { disk }).then(() => true, () => false);
      assertEquals((await findingsOf(path, id, ALICE)).filter((text) => !text.startsWith("key_")), []);
      await add(path, id);
      await assertOpens(path, id, BOB);
      Deno.removeSync(path, { recursive: true });
    }
  }));

function copyTree(from: string, to: string): void {
  for (const name of filesBelow(from)) {
    Deno.mkdirSync(`${to}/${name.slice(0, Math.max(0, name.lastIndexOf("/")))}`, { recursive: true });
    Deno.copyFileSync(`${from}/${name}`, `${to}/${name}`);
  }
}

Deno.test("headers travel with a copy, and open it", () =>
  withFolder(async (folder) => {
    const path = `${folder}/store`;
    const id = await acquireForAlice(path);
    await add(path, id);
    const target = await openStoreForWriting(testWorld(undefined, worlds++), `${folder}/copy`, {
      recipients: FOR_ALICE,
    });
    await openFor(path, undefined, async (store) => {
      await store.copyTo(target, await store.outerExhibit(id), { key: TEST_KEY, signal });
    });
    target.close();
    assertEquals(headersIn(`${folder}/copy`), headersIn(path));
    await assertOpens(`${folder}/copy`, id, BOB);
  }));

Deno.test("an exhibit that shares files gets headers of its own, which its copy takes along", () =>
  withFolder(async (folder) => {
    const path = `${folder}/store`;
    const first = await acquireForAlice(path);
    const identities = await identitiesOf(ALICE);
    const store = await openStoreForWriting(testWorld(undefined, worlds++), path, { identities });
    const parent = await store.exhibit(first);
    store.close();
    const second = await acquireAt(path, {
      ...ORDER,
      snapshot: LATER,
      parent,
      parentVolume: VOLUME,
      volume: new Map([...VOLUME, [2, noise(9, BLOCK)]]),
    }, { recipients: FOR_ALICE, identities, world: testWorld(undefined, worlds++) });
    await add(path, second);
    // The first exhibit shares packs with the second, but its manifest is closed to Bob.
    await assertCode("identity", () => openFor(path, BOB, (store) => store.exhibit(first)), "manifest-");
    assertEquals((await add(path, first)).heldHeaders, 0);
    await assertOpens(path, first, BOB);
  }));

async function extend(path: string, added: readonly NewIdentity[], opens: Opens = "contents") {
  const store = await openStoreForWriting(testWorld(undefined, worlds++), path);
  try {
    const what = { recipients: await recipientsOf(...added), opens };
    const isExtended = await store.access.isExtendedBy(what);
    await store.access.extend(what);
    return isExtended;
  } finally {
    store.close();
  }
}

Deno.test("the store's own list is extended once, and what is written then is for all of it", () =>
  withFolder(async (folder) => {
    const path = `${folder}/store`;
    await acquireForAlice(path);
    assertEquals(await extend(path, [BOB]), true);
    assertEquals(await extend(path, [BOB]), false);
    assertEquals(await extend(path, [LINEAGE], "lineage"), true);
    assertEquals(await extend(path, [BOB], "lineage"), false, "who opens everything opens digests");
    const lists = await openFor(path, undefined, (store) => Promise.resolve(store.access.lists));
    assertEquals(lists, { contents: [ALICE.recipient, BOB.recipient], lineage: [LINEAGE.recipient] });
    const id = await acquireAt(path, { ...ORDER, snapshot: LATER }, {
      recipients: lists,
      world: testWorld(undefined, worlds++),
    });
    await assertOpens(path, id, BOB);
    await openFor(path, LINEAGE, (store) => store.exhibit(id));
    await assertCode("usage", () => extend(path, [QUANTUM]), "post-quantum", "Name the exhibits");
  }));

Deno.test("an acquisition goes on with the recipients that it was begun with, after others were added", () =>
  withFolder(async (folder) => {
    const path = `${folder}/store`;
    const store = await openStoreForWriting(testWorld(undefined, worlds++), path, { recipients: FOR_ALICE });
    const acquisition = await beginOrResume(store, ORDER);
    await acquisition.startSession(SESSION, { counts: () => COUNTS, takeEvents: () => [] });
    await feed(acquisition, { ...ORDER, volume: new Map([[0, VOLUME.get(0)!]]) });
    await acquisition.endSession("interrupted");
    store.close();
    await extend(path, [BOB]);
    await assertCode(
      "usage",
      () => acquireAt(path, ORDER, { recipients: { contents: [QUANTUM.recipient], lineage: null } }),
      "differ",
    );
    const resumed = await openStoreForWriting(testWorld(undefined, worlds++), path, {
      recipients: FOR_ALICE,
    });
    const again = await beginOrResume(resumed, ORDER);
    assertEquals(again.head.exhibit, acquisition.head.exhibit);
    resumed.close();
  }));

Deno.test("a command may leave out those who were added, and none of the others", () =>
  withFolder(async (folder) => {
    const path = `${folder}/store`;
    const id = await acquireForAlice(path);
    await add(path, id);
    await extend(path, [BOB]);
    const open = async (...identities: NewIdentity[]) => {
      const recipients = { contents: identities.map(({ recipient }) => recipient), lineage: null };
      (await openStoreForWriting(testWorld(undefined, worlds++), path, { recipients })).close();
    };
    await open(ALICE);
    await open(ALICE, BOB);
    await assertCode("usage", () => open(BOB), ALICE.recipient);
    await assertCode("usage", () => open(ALICE, QUANTUM), "it does not have");
  }));

Deno.test("what is told of recipients is what store file and headers say", () =>
  withFolder(async (folder) => {
    const path = `${folder}/store`;
    const id = await acquireForAlice(path);
    await add(path, id);
    await openFor(path, undefined, async (store) => {
      const { ownKinds, added } = await store.access.of(await store.outerExhibit(id));
      assertEquals(ownKinds, ["X25519"]);
      assertEquals(added.map(({ recipients, fileCount }) => [recipients, fileCount]), [
        [[BOB.recipient], ageFiles(path).length],
      ]);
    });
    await acquireAt(`${folder}/plain`, ORDER);
    await openFor(`${folder}/plain`, undefined, (store) => {
      return assertCode("usage", () => Promise.resolve().then(() => store.access.lists), "plain");
    });
  }));
