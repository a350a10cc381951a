/**
 * Packs checked and read in this thread and in worker threads: the same findings, summaries, bytes and refusals with no
 * worker, one and three, whatever is damaged; and a thread that fails is an error, never a wait without end.
 */
import { DatabaseSync } from "node:sqlite";
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { Identities, makeIdentity } from "../../src/cipher_age.ts";
import { OperatorError } from "../../src/errors.ts";
import { exportRaw } from "../../src/image/mod.ts";
import { sha256 } from "../../src/format/digests.ts";
import type { Digest, ExhibitId } from "../../src/model.ts";
import { type Finding, openStore, type Store, type VerifyOptions } from "../../src/store/mod.ts";
import { Threads } from "../../src/store/_threads.ts";
import { workerReaders } from "../../src/store/_pack_readers.ts";
import {
  acquireAt,
  evidenceFiles,
  flipBit,
  noise,
  pattern,
  shapeOf,
  testWorld,
  type Volume,
  withFolder,
} from "./fixtures.ts";

const BLOCK = 1 << 16;
const SHAPE = shapeOf(BLOCK);
/** Records that are stored as they are, compressed ones, and both in a pack. */
const VOLUME: Volume = new Map<number, Uint8Array | "unreadable">([
  ...Array.from(
    { length: 18 },
    (_, nth) => [nth * 2, (nth % 3 === 0 ? pattern : noise)(nth + 1, BLOCK)] as const,
  ),
  [100, "unreadable"],
  [16_383, noise(99, BLOCK)],
]);
const WORKERS = [0, 1, 3] as const;

const ALICE = await makeIdentity("x25519");
const IDENTITIES = await Identities.of([{ secret: ALICE.secret, place: "test" }]);
const MODES = {
  plain: {},
  encrypted: { recipients: { contents: [ALICE.recipient], lineage: null } },
};

const storeAt = (root: string, mode: keyof typeof MODES) =>
  acquireAt(root, { volume: VOLUME, shape: SHAPE, flushEvery: 3 }, MODES[mode]);

async function readingWith<T>(
  root: string,
  workers: number,
  body: (store: Store) => Promise<T>,
): Promise<T> {
  const store = await openStore(testWorld(), root, { identities: IDENTITIES, workers });
  try {
    return await body(store);
  } finally {
    store.close();
  }
}

/** An operator's error as it can be compared: where it was thrown does not count. */
function wordsOf(error: unknown) {
  assert(error instanceof OperatorError, `it ended in ${error}`);
  const { code, message, facts } = error;
  return { code, message, facts };
}

/** All that verify tells, in its order. */
function toldWith(root: string, id: ExhibitId, { workers, level = "full" as VerifyOptions["level"] }: {
  readonly workers: number;
  readonly level?: VerifyOptions["level"];
}) {
  return readingWith(root, workers, async (store) => {
    const findings: Finding[] = [];
    const progress: number[] = [];
    const { signal } = new AbortController();
    const ended = await store.verify(await store.exhibit(id), {
      level,
      signal,
      onFinding: (finding) => findings.push(finding),
      onProgress: ({ readBytes }) => progress.push(readBytes),
    }).catch(wordsOf);
    return { findings, progress, ended };
  });
}

/** What a read of each stored block gives: its digest, or the words of its refusal. All are asked for at once. */
async function readsOf(store: Store, id: ExhibitId) {
  const exhibit = await store.exhibit(id);
  const indexes = [...VOLUME].filter(([, block]) => block !== "unreadable").map(([index]) => index);
  return await Promise.all(indexes.map((index) => exhibit.readBlock(index).then(sha256, wordsOf)));
}

const readsWith = (root: string, id: ExhibitId, workers: number) =>
  readingWith(root, workers, (store) => readsOf(store, id));

const packsIn = (root: string) => evidenceFiles(root).filter((name) => name.startsWith("packs/"));

/** What is done to the second pack of a store, and in the last row to several. */
const DAMAGES: Readonly<Record<string, (packs: readonly string[]) => void>> = {
  "nothing": () => undefined,
  "its first byte": ([, pack]) => flipBit(pack!, 0),
  "its 30th byte": ([, pack]) => flipBit(pack!, 30),
  "a byte of its first record's block": ([, pack]) => flipBit(pack!, 16 + 56 + 40),
  "a byte in its middle": ([, pack]) => flipBit(pack!, Math.floor(Deno.statSync(pack!).size / 2)),
  "a byte of its footer": ([, pack]) => flipBit(pack!, Deno.statSync(pack!).size - 48 - 60),
  "its last byte": ([, pack]) => flipBit(pack!, Deno.statSync(pack!).size - 1),
  "its last hundred bytes": ([, pack]) => Deno.truncateSync(pack!, Deno.statSync(pack!).size - 100),
  "all of it": ([, pack]) => Deno.removeSync(pack!),
  "what follows it": ([, pack]) => Deno.writeFileSync(pack!, noise(7, 5000), { append: true }),
  "bytes of several packs": (packs) => {
    for (const [nth, pack] of packs.entries()) if (nth % 2 === 0) flipBit(pack, 200 + nth);
  },
};

for (const mode of ["plain", "encrypted"] as const) {
  Deno.test(`Store.verify() and readBlock() say the same with 0, 1 and 3 workers of a damaged ${mode} store`, () =>
    withFolder(async (folder) => {
      for (const [what, damage] of Object.entries(DAMAGES)) {
        const root = `${folder}/${what.replaceAll(" ", "-")}`;
        const id = await storeAt(root, mode);
        assert(packsIn(root).length >= 6, "more packs than are under way at once");
        damage(packsIn(root).map((name) => `${root}/${name}`));
        const [here, ...there] = [
          await toldWith(root, id, { workers: 0 }),
          await toldWith(root, id, { workers: 1 }),
          await toldWith(root, id, { workers: 3 }),
        ];
        assertEquals("code" in here!.ended, false, `verify went to the end: ${what}`);
        assertEquals(here!.findings.length > 0, what !== "nothing", `${what} was damaged`);
        for (const told of there) assertEquals(told, here, what);
        const [first, ...others] = [
          await readsWith(root, id, 0),
          await readsWith(root, id, 1),
          await readsWith(root, id, 3),
        ];
        for (const reads of others) assertEquals(reads, first, what);
        const refused = first!.filter((read) => typeof read !== "string").length;
        const finds = here!.findings.some(({ code }) => code === "block_damaged" || code === "block_missing");
        // A header that names nobody whose key was given: which blocks the pack holds is not known.
        const isClosed = "unopenedPacks" in here!.ended && here!.ended.unopenedPacks > 0;
        assertEquals(refused > 0, finds || isClosed, `${what}: ${refused} blocks were refused`);
      }
    }));

  Deno.test(`exportRaw() of a ${mode} store gives the same bytes and digests with 0, 1 and 3 workers`, () =>
    withFolder(async (folder) => {
      const id = await storeAt(`${folder}/store`, mode);
      const expected = [...VOLUME].map(([, block]) =>
        sha256(block === "unreadable" ? new Uint8Array(BLOCK) : block)
      );
      const images: unknown[] = [];
      for (const workers of WORKERS) {
        await readingWith(`${folder}/store`, workers, async (store) => {
          const exhibit = await store.exhibit(id);
          const path = `${folder}/${workers}.img`;
          const { disk, clock } = testWorld();
          const { imageDigest } = exhibit.manifest;
          const result = await exportRaw(exhibit, { kind: "path", path }, {
            disk,
            clock,
            imageDigest,
            exhibitFacts: [],
            tool: "test",
            digests: ["sha256"],
          });
          const file = Deno.openSync(path);
          const held = [...VOLUME].map(([index]) => {
            const bytes = new Uint8Array(BLOCK);
            file.seekSync(index * BLOCK, Deno.SeekMode.Start);
            file.readSync(bytes);
            return sha256(bytes);
          });
          file.close();
          assertEquals(held, expected);
          images.push({ digests: result.digests, sizeBytes: Deno.statSync(path).size });
          Deno.removeSync(path);
        });
      }
      assertEquals(images[1], images[0]);
      assertEquals(images[2], images[0]);
    }));
}

/** What is done to an index: all readers at once meet it. */
const LIES: Readonly<Record<string, (path: string) => void>> = {
  "is gone": (path) => Deno.removeSync(path),
  "tells of other places": (path) => edit(path, "UPDATE blocks SET offset = offset + 1"),
  "tells of other packs": (path) => edit(path, "UPDATE packs SET bytes = 3"),
  "tells of no blocks": (path) => edit(path, "DELETE FROM blocks"),
  "tells of half of the packs": (path) =>
    edit(path, "DELETE FROM blocks WHERE pack % 2 = 0", "DELETE FROM packs WHERE id % 2 = 0"),
};

function edit(path: string, ...statements: string[]): void {
  const database = new DatabaseSync(path);
  for (const statement of statements) database.exec(statement);
  database.close();
}

Deno.test("readBlock() of many blocks at once finds all of them, whatever the index says", () =>
  withFolder(async (root) => {
    const id = await storeAt(root, "plain");
    const index = `${root}/cache/index.sqlite`;
    const whole = Deno.readFileSync(index);
    const expected = [...VOLUME.values()].flatMap((block) => block === "unreadable" ? [] : [sha256(block)]);
    for (const [what, lie] of Object.entries(LIES)) {
      Deno.writeFileSync(index, whole);
      lie(index);
      for (const workers of WORKERS) {
        await readingWith(root, workers, async (store) => {
          assertEquals(await readsOf(store, id), expected, `${what}, ${workers} workers`);
          // Made anew once for all, and none had to look through all packs for another copy.
          assert(store.tolerated.length <= 1, store.tolerated.join("\n"));
        });
      }
    }
  }));

Deno.test("Store.verify() does not wait for its threads when it is stopped", () =>
  withFolder(async (root) => {
    const id = await storeAt(root, "plain");
    await readingWith(root, 3, async (store) => {
      const stop = new AbortController();
      const exhibit = await store.exhibit(id);
      const verifying = store.verify(exhibit, {
        level: "full",
        signal: stop.signal,
        onFinding: () => undefined,
        onProgress: () => stop.abort(new OperatorError("interrupted", "stopped")),
      });
      const error = await assertRejects(() => verifying, OperatorError);
      assertEquals(error.code, "interrupted");
    });
  }));

Deno.test("a thread of a store that fails is an error to all who wait for it, and to all who ask later", () =>
  withFolder(async (root) => {
    const scripts = {
      "while it starts": "throw new Error('no start')",
      "at a request": "onmessage = ({ data }) => { if ('number' in data) throw new Error('no answer'); }",
      "later": "onmessage = () => setTimeout(() => { throw new Error('no more'); }, 0)",
    };
    for (const [when, script] of Object.entries(scripts)) {
      const readers = workerReaders(
        new Threads({
          count: 1,
          root,
          script: new URL(`data:text/javascript,${encodeURIComponent(script)}`),
        }),
      );
      const read = () =>
        readers.read({
          pack: { name: "packs/00/00.pack", key: undefined },
          offset: 16,
          storedBytes: 512,
          digest: "00".repeat(32) as Digest,
        });
      try {
        const [first, second] = await Promise.all([read, read].map((ask) => assertRejects(ask, Error)));
        for (const error of [first, second, await assertRejects(read, Error)]) {
          assertStringIncludes(error!.message, "a worker thread failed", when);
        }
      } finally {
        readers.close();
      }
    }
  }));

Deno.test("a store's threads that are closed refuse what they had not answered, and what comes later", () =>
  withFolder(async (root) => {
    const readers = workerReaders(new Threads({ count: 2, root }));
    const pack = { name: "packs/00/00.pack", key: undefined, blockBytes: BLOCK, depth: "records" } as const;
    const asked = assertRejects(() => readers.check(pack), Error, "was closed");
    readers.close();
    await asked;
    await assertRejects(async () => await readers.check(pack), Error, "were closed");
  }));
