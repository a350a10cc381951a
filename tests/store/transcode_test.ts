/**
 * Encrypting and decrypting exhibits into another store: what comes back is what was there, byte for byte; damage
 * is refused by record and block and never given new names; any interruption is answered by doing it again.
 */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { Identities, makeIdentity } from "../../src/cipher_age.ts";
import { OperatorError } from "../../src/errors.ts";
import { sha256 } from "../../src/format/digests.ts";
import type { Disk, ExhibitId } from "../../src/model.ts";
import {
  type CopyOptions,
  type CopySummary,
  type EvidenceFinding,
  type Finding,
  openStore,
  openStoreForWriting,
  type Store,
} from "../../src/store/mod.ts";
import { makeKey } from "./evidence.ts";
import { outside, toolPath } from "../outside.ts";
import { TEST_KEY } from "../signing_key.ts";
import { FaultyDisk } from "./faulty_disk.ts";
import {
  acquire,
  evidenceFiles,
  FACTS,
  filesBelow,
  flipBit,
  LATER,
  noise,
  type Order,
  shapeOf,
  tableOf,
  tableOfExhibit,
  testWorld,
  type Volume,
  withFolder,
} from "./fixtures.ts";

const BLOCK = 1 << 16;
const SHAPE = shapeOf(BLOCK);
const PARENT: Volume = new Map<number, Uint8Array | "unreadable">([
  ...[0, 1, 2, 3].map((index) => [index, noise(index + 1, BLOCK)] as const),
  [5, "unreadable"],
  [6, new Uint8Array(BLOCK)],
]);
/** Packs are of two blocks: the child needs the first of its parent's and its own. */
const CHILD: Volume = new Map([[0, noise(1, BLOCK)], [7, noise(8, BLOCK)]]);
const signal = new AbortController().signal;

const identity = await makeIdentity("x25519");
const recipients = { contents: [identity.recipient], lineage: null };
const identities = await Identities.of([{ secret: identity.secret, place: "test" }]);

interface Lineage {
  readonly parent: ExhibitId;
  readonly child: ExhibitId;
}

/** Two exhibits that share a pack, the first with an addendum, a note in the log, and a second signer. */
async function makeLineage(root: string): Promise<Lineage> {
  const store = await openStoreForWriting(testWorld(), root);
  const order: Order = { volume: PARENT, shape: SHAPE, flushEvery: 2 };
  const parent = await acquire(store, order);
  const exhibit = await store.exhibit(parent);
  const child = await acquire(store, {
    ...order,
    parent: exhibit,
    parentVolume: PARENT,
    snapshot: LATER,
    volume: CHILD,
  });
  const by = { key: TEST_KEY, tool: FACTS.tool };
  await store.evidence.logCustody({
    action: "note",
    clockSkewMs: null,
    commandLine: ["coldcase", "custody"],
    exhibits: [],
    host: FACTS.host,
    reason: null,
    result: { exitCode: 0, facts: {}, outcome: "done" },
  }, by);
  const { absentBlocks, unreadableBlocks } = exhibit.manifest.counts;
  await store.evidence.addAddendum(exhibit, {
    at: "2026-01-02T03:04:05.000Z",
    by: "export",
    digests: { md5: null, sha1: null, sha256: sha256(noise(1)) },
    examiner: null,
    filled: { absentBlocks, unreadableBlocks },
    host: FACTS.host,
    volumeSizeBytes: SHAPE.blockCount * BLOCK,
  }, TEST_KEY);
  await store.evidence.sign(exhibit, await makeKey(`${root}-second`));
  store.close();
  return { parent, child };
}

/** The randomness of each run is its own: names of temporary files, ids and nonces do not repeat. */
let runs = 100;

interface Job {
  readonly from: string;
  readonly to: string;
  readonly id: ExhibitId;
  readonly direction: "encrypt" | "decrypt";
  readonly disk?: Disk;
  readonly options?: Partial<CopyOptions>;
}

async function transcode({ from, to, id, direction, disk, options }: Job): Promise<CopySummary> {
  const wish = direction === "encrypt" ? { recipients } : {};
  const target = await openStoreForWriting(testWorld(disk, runs++), to, wish);
  try {
    return await readingAny(from, async (store) => {
      const exhibit = await store.exhibit(id);
      return await store.transcodeTo(target, exhibit, { key: TEST_KEY, signal, ...options });
    });
  } finally {
    target.close();
  }
}

const encrypt = (from: string, id: ExhibitId, to: string) =>
  transcode({ from, to, id, direction: "encrypt" });
const decrypt = (from: string, id: ExhibitId, to: string) =>
  transcode({ from, to, id, direction: "decrypt" });

async function readingAny<T>(path: string, body: (store: Store) => Promise<T>): Promise<T> {
  const store = await openStore(testWorld(), path, { identities });
  try {
    return await body(store);
  } finally {
    store.close();
  }
}

/** Fails unless the exhibit is sound, all that is signed about it holds, and it holds `volume`. */
async function assertSound(root: string, id: ExhibitId, volume: Volume, what = root): Promise<void> {
  await readingAny(root, async (store) => {
    const exhibit = await store.exhibit(id);
    const findings: (Finding | EvidenceFinding)[] = [];
    const onFinding = (finding: Finding | EvidenceFinding) => findings.push(finding);
    await store.verify(exhibit, { level: "full", signal, onFinding });
    await store.evidence.check(exhibit, { keys: [], onFinding });
    assertEquals(findings, [], what);
    assertEquals(await tableOfExhibit(exhibit), tableOf(volume), what);
  });
}

/** What the newest inventory names, and that inventory itself. */
const filesOf = (root: string, id: ExhibitId) =>
  readingAny(root, async (store) => {
    const { inventory, inventoryFile } = await store.outerExhibit(id);
    return [...inventory.files.map(({ name }) => name), inventoryFile];
  });

const packsIn = (root: string) => evidenceFiles(root).filter((name) => name.startsWith("packs/"));
const withoutInventories = (names: string[]) => names.filter((name) => !name.includes("/inventory-"));

/** What a store has that is not of this store alone: by name its digest. Temporary files, caches, `store.json` left out. */
function lasting(root: string): Record<string, string> {
  const names = filesBelow(root).filter((name) =>
    /^(packs|segments|documents|exhibits|keys|receipts|custody)\//.test(name) && !name.includes("/inventory-")
  );
  return Object.fromEntries(names.map((name) => [name, sha256(Deno.readFileSync(`${root}/${name}`))]));
}

Deno.test("Store.transcodeTo() there and back gives every file as it was, and both stores are sound", () =>
  withFolder(async (folder) => {
    const [plain, secret, back] = [`${folder}/plain`, `${folder}/secret`, `${folder}/back`];
    const { parent, child } = await makeLineage(plain);
    for (const id of [parent, child]) await encrypt(plain, id, secret);
    for (const id of [parent, child]) await decrypt(secret, id, back);
    assertEquals(lasting(back), lasting(plain));
    for (const root of [secret, back]) {
      await assertSound(root, parent, PARENT);
      await assertSound(root, child, CHILD);
    }
    const essence = (root: string) =>
      readingAny(root, async (store) => {
        const { manifest, manifestDigest, manifestCheck, inventory } = await store.exhibit(parent);
        const signers = manifestCheck.held.map(({ key }) => key.fingerprint);
        return [manifest.imageDigest, manifestDigest, inventory.commitment, signers];
      });
    assertEquals(await essence(secret), await essence(plain));
    const access = await openStore(testWorld(), secret);
    const outer = await access.outerExhibit(parent);
    assertEquals(outer.inventoryCheck.held.map(({ key }) => key.fingerprint), [TEST_KEY.fingerprint]);
    access.close();
  }));

Deno.test("Store.transcodeTo() writes once what exhibits share, also in another run", () =>
  withFolder(async (folder) => {
    const [plain, secret, back] = [`${folder}/plain`, `${folder}/secret`, `${folder}/back`];
    const { parent, child } = await makeLineage(plain);
    assertEquals(packsIn(plain).length, 3);
    await encrypt(plain, parent, secret);
    assertEquals(packsIn(secret).length, 2);
    const second = await encrypt(plain, child, secret);
    assertEquals(packsIn(secret).length, 3);
    assert(second.heldBytes > BLOCK, `${second.heldBytes} bytes were held`);
    const count = (root: string, kind: string) =>
      evidenceFiles(root).filter((name) => name.startsWith(kind)).length;
    for (const kind of ["segments/", "documents/"]) {
      assertEquals(count(secret, kind), count(plain, kind), kind);
    }
    await decrypt(secret, child, back);
    const third = await decrypt(secret, parent, back);
    assert(third.heldBytes > BLOCK, `${third.heldBytes} bytes were held`);
    assertEquals(packsIn(back), packsIn(plain));
    assertEquals(filesBelow(`${back}/tmp`), []);
  }));

Deno.test("Store.transcodeTo() run again copies nothing and changes nothing, also without its log", () =>
  withFolder(async (folder) => {
    const [plain, secret, back] = [`${folder}/plain`, `${folder}/secret`, `${folder}/back`];
    const { parent } = await makeLineage(plain);
    for (const [from, to, run] of [[plain, secret, encrypt], [secret, back, decrypt]] as const) {
      const first = await run(from, parent, to);
      const [files, contents] = [filesBelow(to), lasting(to)];
      const second = await run(from, parent, to);
      assertEquals([second.copiedBytes, second.inventory], [0, first.inventory]);
      assertEquals([filesBelow(to), lasting(to)], [files, contents]);
      Deno.removeSync(`${to}/cache`, { recursive: true });
      await run(from, parent, to);
      assertEquals(lasting(to), contents);
    }
  }));

Deno.test("Store.transcodeTo() leaves no digest of contents in the clear, also in its log and after a kill", () =>
  withFolder(async (folder) => {
    const [plain, secret] = [`${folder}/plain`, `${folder}/secret`];
    const { parent, child } = await makeLineage(plain);
    const disk = new FaultyDisk({ at: 60, crash: true, losesUnsynced: false });
    await assertRejects(() => transcode({ from: plain, to: secret, id: parent, direction: "encrypt", disk }));
    disk.release();
    const digests = [PARENT, CHILD].flatMap((volume) => tableOf(volume)).map(([, digest]) => digest);
    const names = evidenceFiles(plain).map((name) => /[0-9a-f]{64}/.exec(name)![0]);
    const image = await readingAny(
      plain,
      async (store) => (await store.exhibit(parent)).manifest.imageDigest,
    );
    const wanted = [...digests.filter((digest) => digest !== "unreadable"), ...names, image];
    const forms = wanted.flatMap((hex) => {
      const raw = Uint8Array.fromHex(hex);
      return [hex, raw.toBase64({ omitPadding: true }), new TextDecoder("latin1").decode(raw)];
    });
    const check = (when: string) => {
      for (const name of filesBelow(secret)) {
        const text = new TextDecoder("latin1").decode(Deno.readFileSync(`${secret}/${name}`));
        for (const form of forms) {
          assert(!`${name}\n${text}`.includes(form), `${when}: "${name}" tells ${form}`);
        }
      }
    };
    check("after a kill");
    assert(
      filesBelow(secret).some((name) => name.startsWith("cache/transcoded-")),
      "the kill came too early",
    );
    for (const id of [parent, child]) await encrypt(plain, id, secret);
    check("after the commit");
  }));

for (const direction of ["encrypt", "decrypt"] as const) {
  Deno.test(`Store.transcodeTo() interrupted at some writes is taken up, and writes no file twice: ${direction}`, () =>
    withFolder(async (folder) => {
      const { parent } = await makeLineage(`${folder}/plain`);
      await encrypt(`${folder}/plain`, parent, `${folder}/secret`);
      const from = direction === "encrypt" ? `${folder}/plain` : `${folder}/secret`;
      const undisturbed = new FaultyDisk();
      await transcode({ from, to: `${folder}/whole`, id: parent, direction, disk: undisturbed });
      const expected = withoutInventories(evidenceFiles(`${folder}/whole`));
      for (let at = 1; at <= undisturbed.operations.length; at += 7) {
        const fault = at % 2 === 0
          ? { at, crash: true, losesUnsynced: at % 4 === 0 } as const
          : { at, code: at % 3 === 0 ? "ENOSPC" : "EIO", forGood: at % 5 === 0 } as const;
        const name = `${JSON.stringify(fault)} (${undisturbed.operations[at - 1]})`;
        const to = `${folder}/${at}`;
        const disk = new FaultyDisk(fault);
        const error = await transcode({ from, to, id: parent, direction, disk }).catch((thrown: unknown) =>
          thrown
        );
        disk.release();
        assert(error instanceof Error, `${name} went by unseen`);
        if (!("crash" in fault)) {
          assert(error instanceof OperatorError && error.code === "storage", `${name} came out as ${error}`);
        }
        await transcode({ from, to, id: parent, direction });
        await assertSound(to, parent, PARENT, name);
        // A kill between a file and its line in the log costs that file once more.
        const held = withoutInventories(evidenceFiles(to));
        const surplus = held.length - expected.length;
        assert(surplus === 0 || (direction === "encrypt" && surplus === 1), `${name}: ${surplus} files more`);
        assertEquals(filesBelow(`${to}/tmp`), [], name);
        Deno.removeSync(to, { recursive: true });
      }
    }));
}

for (const direction of ["encrypt", "decrypt"] as const) {
  Deno.test(`Store.transcodeTo() commits nothing of a damaged source: ${direction}`, () =>
    withFolder(async (folder) => {
      const plain = `${folder}/plain`;
      const { parent } = await makeLineage(plain);
      await encrypt(plain, parent, `${folder}/secret`);
      const from = direction === "encrypt" ? plain : `${folder}/secret`;
      const needed = (await filesOf(from, parent)).filter((name) => !name.includes("/inventory-"));
      const addenda = evidenceFiles(from).filter((name) => name.includes("/addendum-"));
      const damages: Record<string, (path: string) => void> = {
        "flipped": (path) => flipBit(path, Deno.statSync(path).size >> 1),
        "flipped at its end": (path) => flipBit(path, Deno.statSync(path).size - 1),
        "cut off": (path) => Deno.truncateSync(path, Deno.statSync(path).size - 1),
        "missing": (path) => Deno.removeSync(path),
      };
      for (const name of [...needed, ...addenda]) {
        const original = Deno.readFileSync(`${from}/${name}`);
        for (const [what, damage] of Object.entries(damages)) {
          if (what === "missing" && addenda.includes(name)) continue; // nobody misses what nobody names
          damage(`${from}/${name}`);
          const to = `${folder}/to`;
          const error = await assertRejects(
            () => transcode({ from, to, id: parent, direction }),
            OperatorError,
            undefined,
            `${what} ${name}`,
          );
          assert(
            ["integrity", "format"].includes(error.code),
            `${what} ${name}: ${error.code} ${error.message}`,
          );
          assertEquals(error.facts["file"], name, what);
          await readingAny(to, async (store) => assertEquals(await store.exhibitIds(), []));
          Deno.writeFileSync(`${from}/${name}`, original);
          Deno.removeSync(to, { recursive: true });
        }
      }
    }));

  Deno.test(`Store.transcodeTo() names record and blocks of the damage: ${direction}`, () =>
    withFolder(async (folder) => {
      const plain = `${folder}/plain`;
      const { parent } = await makeLineage(plain);
      await encrypt(plain, parent, `${folder}/secret`);
      const from = direction === "encrypt" ? plain : `${folder}/secret`;
      const needed = await filesOf(from, parent);
      for (const name of packsIn(from).filter((pack) => needed.includes(pack))) {
        const original = Deno.readFileSync(`${from}/${name}`);
        // Two blocks that do not compress: this is in the second one, and in the chunk where that follows the first.
        flipBit(`${from}/${name}`, 16 + 2 * 56 + BLOCK + 1000);
        const error = await assertRejects(
          () => transcode({ from, to: `${folder}/to`, id: parent, direction }),
          OperatorError,
        );
        const { file, record, firstBlock, blockCount, volumeOffsetBytes, volumeLengthBytes } = error.facts;
        const [badRecord, badBlocks] = direction === "encrypt" ? [1, 1] : [0, 2];
        assertEquals([error.code, file, record, blockCount], ["integrity", name, badRecord, badBlocks]);
        const first = Number(firstBlock);
        assertEquals(first % 2, badRecord, error.message);
        assertEquals([volumeOffsetBytes, volumeLengthBytes], [first * BLOCK, badBlocks * BLOCK]);
        assert(
          error.message.includes(` (bytes ${first * BLOCK} to ${(first + badBlocks) * BLOCK - 1} of the`),
        );
        Deno.removeSync(`${folder}/to`, { recursive: true });
        Deno.writeFileSync(`${from}/${name}`, original);
      }
    }));
}

Deno.test("Store.transcodeTo() sets damaged files of the target aside and replaces them", () =>
  withFolder(async (folder) => {
    const [plain, secret] = [`${folder}/plain`, `${folder}/secret`];
    const { parent } = await makeLineage(plain);
    await encrypt(plain, parent, secret);
    for (
      const kind of ["packs/", "segments/", "documents/", "manifest-", "map-", "addendum-", "inventory-"]
    ) {
      const addenda = evidenceFiles(secret).filter((file) => file.includes("/addendum-"));
      const name = [...await filesOf(secret, parent), ...addenda].find((file) => file.includes(kind))!;
      flipBit(`${secret}/${name}`, 30);
      const damaged = Deno.readFileSync(`${secret}/${name}`);
      await encrypt(plain, parent, secret);
      await assertSound(secret, parent, PARENT, name);
      const aside = filesBelow(`${secret}/quarantine`).map((file) =>
        Deno.readFileSync(`${secret}/quarantine/${file}`)
      );
      assertEquals(aside, [damaged], `${name} is kept as it was`);
      Deno.removeSync(`${secret}/quarantine`, { recursive: true });
    }
  }));

Deno.test("Store.transcodeTo() believes no line of its log that nobody wrote who has the manifest", () =>
  withFolder(async (folder) => {
    const [plain, secret] = [`${folder}/plain`, `${folder}/secret`];
    const { parent, child } = await makeLineage(plain);
    await encrypt(plain, parent, secret);
    const log = `${secret}/cache/transcoded-${parent}.log`;
    const lines = Deno.readTextFileSync(log).trimEnd().split("\n");
    // The lines of the two packs, each with the other's file: the child would get a pack that it does not need.
    const [first, second] = lines.slice(0, 2).map((line) => line.split(" "));
    const swapped = [
      [first![0], ...second!.slice(1)].join(" "),
      [second![0], ...first!.slice(1)].join(" "),
      "torn",
    ];
    Deno.writeTextFileSync(log, swapped.join("\n"));
    await encrypt(plain, child, secret);
    await assertSound(secret, child, CHILD);
  }));

Deno.test("Store.transcodeTo() lets the lineage's identity open digests and no contents", () =>
  withFolder(async (folder) => {
    const [plain, secret] = [`${folder}/plain`, `${folder}/secret`];
    const { parent } = await makeLineage(plain);
    const { recipient, secret: text } = await makeIdentity("x25519");
    const both = { contents: [identity.recipient], lineage: [recipient] };
    const target = await openStoreForWriting(testWorld(), secret, { recipients: both });
    const source = await openStore(testWorld(), plain);
    await source.transcodeTo(target, await source.exhibit(parent), { key: TEST_KEY, signal });
    source.close();
    target.close();
    await assertSound(secret, parent, PARENT);
    assertEquals((Deno.statSync(`${secret}/cache/transcoded-${parent}.log`).mode ?? 0) & 0o777, 0o600);
    const lineage = await Identities.of([{ secret: text, place: "test" }]);
    const store = await openStore(testWorld(), secret, { identities: lineage });
    const exhibit = await store.exhibit(parent);
    assertEquals((await exhibit.block(0))?.state, "stored");
    const error = await assertRejects(() => exhibit.readBlock(0), OperatorError);
    assertEquals(error.code, "identity");
    store.close();
  }));

Deno.test("Store.transcodeTo() refuses a store of the exhibit's own mode, and stops when it is told to", () =>
  withFolder(async (folder) => {
    const plain = `${folder}/plain`;
    const { parent } = await makeLineage(plain);
    const error = await assertRejects(() => decrypt(plain, parent, `${folder}/other`), OperatorError);
    assertEquals(error.code, "usage");
    const stop = new AbortController();
    const options = {
      signal: stop.signal,
      onProgress: () => stop.abort(new OperatorError("interrupted", "stop")),
    };
    const job = { from: plain, to: `${folder}/secret`, id: parent, direction: "encrypt", options } as const;
    const stopped = await assertRejects(() => transcode(job), OperatorError);
    assertEquals(stopped.code, "interrupted");
    await readingAny(`${folder}/secret`, async (store) => assertEquals(await store.exhibitIds(), []));
  }));

outside(
  "age -d gives of every file of an encrypted store what the plain one has",
  ["age"],
  () =>
    withFolder(async (folder) => {
      const [plain, secret] = [`${folder}/plain`, `${folder}/secret`];
      const { parent } = await makeLineage(plain);
      await encrypt(plain, parent, secret);
      Deno.writeTextFileSync(`${folder}/key.txt`, `${identity.secret}\n`);
      const opened = evidenceFiles(secret).filter((name) => name.endsWith(".age")).map((name) => {
        const args = ["-d", "-i", `${folder}/key.txt`, `${secret}/${name}`];
        const { stdout, success } = new Deno.Command(toolPath("age")!, { args, stderr: "null" }).outputSync();
        assert(success, name);
        return [name, sha256(stdout)] as const;
      });
      const held = new Set(Object.values(lasting(plain)));
      for (const [name, digest] of opened) {
        assert(name.includes("/map-") || held.has(digest), `${name} is no file of the plain store`);
      }
      assertEquals(
        opened.length,
        packsIn(secret).length + evidenceFiles(secret).filter((name) => /^(seg|doc)/.test(name)).length + 3,
      );
    }),
);
