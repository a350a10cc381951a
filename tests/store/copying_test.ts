/**
 * Copying an exhibit: just what it needs, each file proved on its way, taken up again after any interruption.
 * Damage at the source stops it by name; damage at the target is set aside and replaced.
 */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { OperatorError } from "../../src/errors.ts";
import { TEST_KEY } from "../signing_key.ts";
import type { Disk, ExhibitId } from "../../src/model.ts";
import { type CopySummary, type Finding, openStoreForWriting } from "../../src/store/mod.ts";
import { FaultyDisk } from "./faulty_disk.ts";
import {
  acquire,
  acquireAt,
  evidenceFiles,
  filesBelow,
  flipBit,
  LATER,
  noise,
  type Order,
  reading,
  shapeOf,
  tableOf,
  tableOfExhibit,
  testWorld,
  type Volume,
  withFolder,
} from "./fixtures.ts";

const BLOCK = 1 << 18;
const SHAPE = shapeOf(BLOCK);
const PARENT: Volume = new Map([0, 1, 2, 3].map((index) => [index, noise(index + 1, BLOCK)]));
/** Packs are of two blocks: the child needs the first of its parent's and its own. */
const CHILD: Volume = new Map([[0, noise(1, BLOCK)], [7, noise(8, BLOCK)]]);
const signal = new AbortController().signal;

async function makeLineage(root: string): Promise<{ parent: ExhibitId; child: ExhibitId }> {
  const store = await openStoreForWriting(testWorld(), root);
  const order: Order = { volume: PARENT, shape: SHAPE, flushEvery: 2 };
  const parent = await acquire(store, order);
  const lineage = { parent: await store.exhibit(parent), parentVolume: PARENT, snapshot: LATER };
  const child = await acquire(store, { ...order, ...lineage, volume: CHILD });
  store.close();
  return { parent, child };
}

/** The randomness of each copy is its own: names of temporary files do not repeat. */
let copies = 100;

async function copy(from: string, id: ExhibitId, to: { path: string; disk?: Disk }): Promise<CopySummary> {
  const target = await openStoreForWriting(testWorld(to.disk, copies++), to.path);
  try {
    return await reading(
      from,
      async (store) => await store.copyTo(target, await store.exhibit(id), { key: TEST_KEY, signal }),
    );
  } finally {
    target.close();
  }
}

/** Fails unless the exhibit at `root` is sound and holds `volume`. */
async function assertSound(root: string, id: ExhibitId, volume: Volume): Promise<void> {
  await reading(root, async (store) => {
    const exhibit = await store.exhibit(id);
    const findings: Finding[] = [];
    await store.verify(exhibit, { level: "full", signal, onFinding: (finding) => findings.push(finding) });
    assertEquals(findings, []);
    assertEquals(await tableOfExhibit(exhibit), tableOf(volume));
  });
}

const packsIn = (root: string) => evidenceFiles(root).filter((name) => name.startsWith("packs/"));

Deno.test("Store.copyTo() copies what the exhibit needs and no other pack", () =>
  withFolder(async (folder) => {
    const [from, path] = [`${folder}/from`, `${folder}/to`];
    const { child } = await makeLineage(from);
    assertEquals(packsIn(from).length, 3);
    const summary = await copy(from, child, { path });
    assertEquals(packsIn(path).length, 2);
    assertEquals(summary.heldBytes, 0);
    const sizes = evidenceFiles(path).filter((name) => !name.includes("/inventory-"))
      .map((name) => Deno.statSync(`${path}/${name}`).size);
    assertEquals(summary.copiedBytes, sizes.reduce((sum, size) => sum + size));
    await assertSound(path, child, CHILD);
  }));

Deno.test("Store.copyTo() run again copies nothing and changes nothing", () =>
  withFolder(async (folder) => {
    const [from, path] = [`${folder}/from`, `${folder}/to`];
    const { parent } = await makeLineage(from);
    const first = await copy(from, parent, { path });
    const files = filesBelow(path);
    const second = await copy(from, parent, { path });
    assertEquals([second.copiedBytes, second.heldBytes], [0, first.copiedBytes]);
    assertEquals(filesBelow(path), files);
  }));

Deno.test("Store.copyTo() interrupted at any write is taken up as if nothing had been", () =>
  withFolder(async (folder) => {
    const from = `${folder}/from`;
    const { child } = await makeLineage(from);
    const undisturbed = new FaultyDisk();
    await copy(from, child, { path: `${folder}/whole`, disk: undisturbed });
    const expected = evidenceFiles(`${folder}/whole`).filter((name) => !name.includes("/inventory-"));
    for (let at = 1; at <= undisturbed.operations.length; at++) {
      const faults = [
        { at, code: at % 2 === 0 ? "ENOSPC" : "EIO", forGood: at % 3 === 0 },
        { at, crash: true, losesUnsynced: true },
      ] as const;
      for (const [which, fault] of faults.entries()) {
        const name = `${JSON.stringify(fault)} (${undisturbed.operations[at - 1]})`;
        const path = `${folder}/${at}-${which}`;
        const disk = new FaultyDisk(fault);
        const error = await copy(from, child, { path, disk }).catch((thrown: unknown) => thrown);
        disk.release();
        assert(error instanceof Error, `${name} went by unseen`);
        if (!("crash" in fault)) {
          assert(error instanceof OperatorError && error.code === "storage", `${name} came out as ${error}`);
        }
        await copy(from, child, { path });
        await reading(path, async (store) => {
          assertEquals(await tableOfExhibit(await store.exhibit(child)), tableOf(CHILD), name);
        });
        const held = evidenceFiles(path).filter((file) => !file.includes("/inventory-"));
        assertEquals(held, expected, name);
        assertEquals([...Deno.readDirSync(`${path}/tmp`)], [], name);
        Deno.removeSync(path, { recursive: true });
      }
    }
  }));

Deno.test("Store.copyTo() ends with integrity and the file's name where the source is damaged", () =>
  withFolder(async (folder) => {
    const from = `${folder}/from`;
    const id = await acquireAt(from, { volume: PARENT, shape: SHAPE, flushEvery: 2 });
    const damages: Record<string, (path: string) => void> = {
      "flipped": (path) => flipBit(path, Deno.statSync(path).size >> 1),
      "cut off": (path) => Deno.truncateSync(path, Deno.statSync(path).size - 1),
      // Its end is far away: it must not be copied to there before it is refused.
      "grown to 512 MiB": (path) => Deno.truncateSync(path, 2 ** 29),
      "missing": (path) => Deno.removeSync(path),
    };
    for (const name of evidenceFiles(from).filter((file) => !file.startsWith("exhibits/"))) {
      const original = Deno.readFileSync(`${from}/${name}`);
      for (const [what, damage] of Object.entries(damages)) {
        damage(`${from}/${name}`);
        const path = `${folder}/to`;
        const error = await assertRejects(() => copy(from, id, { path }), OperatorError);
        const isTooLarge = what.startsWith("grown") && error.code === "format";
        assert(error.code === "integrity" || isTooLarge, `${what} ${name}: ${error.message}`);
        assertEquals(error.facts["file"], name, what);
        await reading(
          path,
          async (store) => assertEquals(await store.exhibitIds(), [], "no inventory, no exhibit"),
        );
        Deno.writeFileSync(`${from}/${name}`, original);
        Deno.removeSync(path, { recursive: true });
      }
    }
  }));

Deno.test("Store.copyTo() sets damaged files of the target aside and replaces them", () =>
  withFolder(async (folder) => {
    const [from, path] = [`${folder}/from`, `${folder}/to`];
    const { child } = await makeLineage(from);
    await copy(from, child, { path });
    for (const name of evidenceFiles(path)) {
      flipBit(`${path}/${name}`, 30);
      const damaged = Deno.readFileSync(`${path}/${name}`);
      await copy(from, child, { path });
      await assertSound(path, child, CHILD);
      const aside = [...Deno.readDirSync(`${path}/quarantine`)].map((entry) =>
        `${path}/quarantine/${entry.name}`
      );
      assertEquals(aside.map((file) => Deno.readFileSync(file)), [damaged], `${name} is kept as it was`);
      Deno.removeSync(`${path}/quarantine`, { recursive: true });
    }
  }));

Deno.test("Store.copyTo() stops when it is told to", () =>
  withFolder(async (folder) => {
    const { parent } = await makeLineage(`${folder}/from`);
    const target = await openStoreForWriting(testWorld(), `${folder}/to`);
    const stop = new AbortController();
    await reading(`${folder}/from`, async (store) => {
      const options = {
        key: TEST_KEY,
        signal: stop.signal,
        onProgress: () => stop.abort(new OperatorError("interrupted", "stop")),
      };
      const exhibit = await store.exhibit(parent);
      const error = await assertRejects(() => store.copyTo(target, exhibit, options), OperatorError);
      assertEquals(error.code, "interrupted");
    });
    assertEquals(await target.exhibitIds(), []);
    target.close();
  }));
