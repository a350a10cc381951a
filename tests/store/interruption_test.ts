/**
 * The law of resumption: an acquisition that was interrupted at any write, taken up again on a healthy disk,
 * gives the exhibit of an uninterrupted one, and what was recorded is not put again. Encrypted or plain.
 */
import { assert, assertEquals } from "@std/assert";
import { dirname } from "@std/path";
import { Identities, makeIdentity } from "../../src/cipher_age.ts";
import { OperatorError } from "../../src/errors.ts";
import type { SnapshotId } from "../../src/model.ts";
import type { Exhibit, Store, WriteOptions } from "../../src/store/mod.ts";
import { openStoreForWriting } from "../../src/store/mod.ts";
import { Crashed, type Fault, FaultyDisk } from "./faulty_disk.ts";
import {
  acquire,
  filesBelow,
  type Order,
  pattern,
  seeded,
  shapeOf,
  tableOf,
  tableOfExhibit,
  testWorld,
  type Volume,
  withFolder,
} from "./fixtures.ts";

const SHAPE = shapeOf(1 << 18);
const bytes = (seed: number) => pattern(seed, SHAPE.blockSizeBytes);
const PARENT = "snap-00000001" as SnapshotId;
const CHILD = "snap-00000002" as SnapshotId;
const PARENT_VOLUME: Volume = new Map<number, Uint8Array | "unreadable">([
  [0, bytes(1)],
  [2, new Uint8Array(SHAPE.blockSizeBytes)],
  [9, "unreadable"],
  [500, bytes(1)],
  [4095, bytes(4)],
]);
const CHILD_VOLUME: Volume = new Map<number, Uint8Array | "unreadable">([
  [0, bytes(1)],
  [2, bytes(5)],
  [9, bytes(6)],
  [500, "unreadable"],
  [4095, bytes(4)],
]);

/** What is acquired, in which store it begins, and what comes of it undisturbed. */
interface Case {
  readonly order: (store: Store) => Promise<Order>;
  /** How the store is opened: for whom, and with which identities. */
  readonly mode: WriteOptions;
  /** Files of the store before it. */
  readonly files: ReadonlyMap<string, Uint8Array>;
  readonly essence: string;
  readonly operations: readonly string[];
  readonly putBlocks: number;
}

const orderParent = (): Promise<Order> =>
  Promise.resolve({ volume: PARENT_VOLUME, shape: SHAPE, snapshot: PARENT, flushEvery: 3 });

async function orderChild(store: Store): Promise<Order> {
  const parent = (await store.newestOf(PARENT))!;
  const lineage = { parent, parentVolume: PARENT_VOLUME };
  return { volume: CHILD_VOLUME, shape: SHAPE, snapshot: CHILD, flushEvery: 2, ...lineage };
}

/** What an exhibit is, without how it came about; every block is read. */
async function essenceOf(exhibit: Exhibit): Promise<string> {
  const { acquisition, parent, ...manifest } = exhibit.manifest;
  const { listedBlocks, takenOverBlocks } = acquisition;
  const lineage = [parent?.imageDigest, listedBlocks, takenOverBlocks];
  return JSON.stringify([manifest, lineage, await exhibit.unreadable(), await tableOfExhibit(exhibit)]);
}

async function withStore<T>(
  root: string,
  how: { readonly disk?: FaultyDisk; readonly seed: number; readonly mode: WriteOptions },
  body: (store: Store) => Promise<T>,
) {
  const store = await openStoreForWriting(testWorld(how.disk ?? new FaultyDisk(), how.seed), root, how.mode);
  try {
    return await body(store);
  } finally {
    store.close();
  }
}

/** Acquires unless it is there; what is there after it. */
async function complete(
  store: Store,
  makeOrder: Case["order"],
  watch: Partial<Order> = {},
): Promise<Exhibit> {
  const order = await makeOrder(store);
  if (!await store.newestOf(order.snapshot!)) await acquire(store, { ...order, ...watch });
  return (await store.newestOf(order.snapshot!))!;
}

async function undisturbed(
  { order, mode }: Pick<Case, "order" | "mode">,
  files: Case["files"],
): Promise<{ made: Case; after: Case["files"] }> {
  const disk = new FaultyDisk();
  let essence = "";
  let putBlocks = 0;
  let after: Case["files"] = new Map();
  await withFolder(async (root) => {
    restore(root, files);
    const watch = { onPut: () => putBlocks++ };
    essence = await withStore(
      root,
      { disk, seed: 1, mode },
      async (store) => await essenceOf(await complete(store, order, watch)),
    );
    after = new Map(filesBelow(root).map((name) => [name, Deno.readFileSync(`${root}/${name}`)]));
  });
  return { made: { order, mode, files, essence, operations: disk.operations, putBlocks }, after };
}

function restore(root: string, files: Case["files"]): void {
  for (const [name, content] of files) {
    Deno.mkdirSync(dirname(`${root}/${name}`), { recursive: true });
    Deno.writeFileSync(`${root}/${name}`, content);
  }
}

/** One session under `fault`; gives how many blocks it recorded for certain. */
async function interrupted(
  root: string,
  acquisition: Case,
  options: { readonly fault: Fault; readonly seed: number },
) {
  const disk = new FaultyDisk(options.fault);
  let put = 0;
  let durable = 0;
  let error: unknown;
  try {
    await withStore(
      root,
      { disk, seed: options.seed, mode: acquisition.mode },
      (store) => complete(store, acquisition.order, { onPut: () => put++, onFlushed: () => durable = put }),
    );
  } catch (thrown) {
    error = thrown;
  }
  disk.release();
  return { durable, error };
}

/** Also where the store made an error of its own of it. */
function isCrash(error: unknown): boolean {
  return error instanceof Crashed || (error instanceof Error && isCrash(error.cause));
}

async function check(acquisition: Case, fault: Fault): Promise<void> {
  const name = `${JSON.stringify(fault)} (${acquisition.operations[fault.at - 1]})`;
  await withFolder(async (root) => {
    restore(root, acquisition.files);
    const { durable, error } = await interrupted(root, acquisition, { fault, seed: 1 });
    assert(error, `${name} went by unseen`);
    if (!("crash" in fault)) {
      assert(error instanceof OperatorError, `${name} came out as ${error}`);
      assertEquals([error.code, error.facts["platformCode"]], ["storage", fault.code], name);
    } else assert(isCrash(error), `${name} came out as ${error}`);
    let again = 0;
    await withStore(root, { seed: 2, mode: acquisition.mode }, async (store) => {
      const exhibit = await complete(store, acquisition.order, { onPut: () => again++ });
      assertEquals(await essenceOf(exhibit), acquisition.essence, name);
      assertEquals(await store.journals(), [], name);
    });
    assert(again <= acquisition.putBlocks - durable, `${name}: ${durable} were recorded, ${again} put again`);
  });
}

const secrets = [await makeIdentity("x25519"), await makeIdentity("x25519")] as const;
const ENCRYPTED: WriteOptions = {
  recipients: { contents: [secrets[0].recipient], lineage: [secrets[1].recipient] },
  identities: await Identities.of([{ secret: secrets[0].secret, place: "test" }]),
};

/** A full acquisition, and one that builds on it. */
async function bothKinds(mode: WriteOptions): Promise<readonly [full: Case, incremental: Case]> {
  const full = await undisturbed({ order: orderParent, mode }, new Map());
  const incremental = await undisturbed({ order: orderChild, mode }, full.after);
  return [full.made, incremental.made];
}

const PLAIN_CASES = await bothKinds({});
const ENCRYPTED_CASES = await bothKinds(ENCRYPTED);
const CASES = [
  ["full", PLAIN_CASES[0]],
  ["incremental", PLAIN_CASES[1]],
  ["encrypted full", ENCRYPTED_CASES[0]],
  ["encrypted incremental", ENCRYPTED_CASES[1]],
] as const;

Deno.test("undisturbed acquisitions hold what was put, whatever the clock says", () =>
  withFolder((root) =>
    withStore(root, { seed: 3, mode: {} }, async (store) => {
      const first = await complete(store, orderParent);
      const second = await complete(store, orderChild);
      assertEquals(await tableOfExhibit(first), tableOf(PARENT_VOLUME));
      assertEquals(await tableOfExhibit(second), tableOf(CHILD_VOLUME));
      const essences = [await essenceOf(first), await essenceOf(second)];
      for (const cases of [PLAIN_CASES, ENCRYPTED_CASES]) {
        assertEquals(cases.map((one) => one.putBlocks), [5, 3], "blocks 0 and 4095 are taken over");
        assertEquals(cases.map((one) => one.essence), essences);
      }
    })
  ));

for (const [kind, acquisition] of CASES) {
  // An encrypted acquisition does the same operations in the same order: a third of them is enough.
  const stride = acquisition.mode.recipients ? 3 : 1;
  const each = async (step: number, fault: (at: number) => Fault) => {
    for (let at = 1; at <= acquisition.operations.length; at += step * stride) {
      await check(acquisition, fault(at));
    }
  };
  Deno.test(`${kind} acquisition: one write fails, any of them; resumed as if nothing had been`, () =>
    each(1, (at) => ({ at, code: at % 2 === 0 ? "ENOSPC" : "EIO", forGood: false })));
  Deno.test(`${kind} acquisition: all writes fail from any second one; resumed as if nothing had been`, () =>
    each(2, (at) => ({ at, code: at % 2 === 0 ? "ENOSPC" : "EIO", forGood: true })));
  Deno.test(`${kind} acquisition: the process dies at any second write; resumed as if nothing had been`, () =>
    each(2, (at) => ({ at, crash: true, losesUnsynced: false })));
  Deno.test(`${kind} acquisition: the host dies at any write; resumed as if nothing had been`, () =>
    each(1, (at) => ({ at, crash: true, losesUnsynced: true })));
}

Deno.test("acquisition that dies again and again comes to its end", async () => {
  const seed = crypto.getRandomValues(new Uint32Array(1))[0]!;
  // deno-lint-ignore no-console
  console.log(`seed ${seed}`);
  const next = seeded(seed);
  for (let round = 0; round < 8; round++) {
    const [, acquisition] = CASES[round % CASES.length]!;
    await withFolder(async (root) => {
      restore(root, acquisition.files);
      for (let session = 0; session < 6; session++) {
        const fault = { at: 1 + next() % 60, crash: true, losesUnsynced: next() % 2 === 0 } as const;
        await interrupted(root, acquisition, { fault, seed: session + 10 });
      }
      await withStore(root, { seed: 2, mode: acquisition.mode }, async (store) => {
        const exhibit = await complete(store, acquisition.order);
        assertEquals(await essenceOf(exhibit), acquisition.essence, `seed ${seed}, round ${round}`);
      });
    });
  }
});
