/**
 * Setbacks that must not end an acquisition, or must end it before it has cost anything: blocks that fail
 * again, exhibits that are damaged or gone, journals that were moved about, texts that no record takes.
 */
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { acquireSnapshot, planSnapshot, type SnapshotPlan } from "../../src/acquisition/mod.ts";
import { OperatorError } from "../../src/errors.ts";
import type { SnapshotId } from "../../src/model.ts";
import { openStore, type Store } from "../../src/store/mod.ts";
import { realWorld } from "../../src/world.ts";
import { failing, FakeSource, FIRST, SECOND, type Table } from "./fake_source.ts";
import { acquire, type Changes, inputFor, inStore, tableOf, withFolder, withStore } from "./runs.ts";

const TWENTY: Table = Object.fromEntries(Array.from({ length: 20 }, (_, index) => [index, index + 1]));

function slowSource(
  snapshots: Record<string, { readonly blocks: Table; readonly volume?: string }>,
): FakeSource {
  return Object.assign(new FakeSource(snapshots), { maxConcurrency: 1 });
}

/** Runs until block `index` is asked for, then aborts as Ctrl-C does. */
async function interruptAt(
  index: number,
  parts: { readonly store: Store; readonly source: FakeSource; readonly snapshot: SnapshotId },
  changes: Changes = {},
): Promise<void> {
  const controller = new AbortController();
  parts.source.onGet = (asked) => asked === index ? controller.abort() : undefined;
  const input = inputFor(parts, { ...changes, signal: controller.signal });
  const error = await assertRejects(() => acquireSnapshot(input), OperatorError);
  assertEquals(error.code, "interrupted", error.message);
  parts.source.onGet = () => {};
}

function planOf(store: Store, source: FakeSource, snapshot: SnapshotId): Promise<SnapshotPlan> {
  const { clock } = realWorld();
  const signal = new AbortController().signal;
  return planSnapshot({ source, snapshot, clock, signal, store, parent: "auto", withCanary: false });
}

Deno.test("acquireSnapshot() counts a block once that fails again in a later session", () =>
  withStore(async (store) => {
    const source = slowSource({ [FIRST]: { blocks: TWENTY } });
    for (const index of [0, 1, 2, 3]) source.unreadable.set(index, failing("HTTP 500"));
    await interruptAt(10, { store, source, snapshot: FIRST }, { maxUnreadable: 4 });
    const { exhibit } = await acquire(store, source, FIRST, { retryUnreadable: true, maxUnreadable: 4 });
    assertEquals(exhibit.manifest.counts.unreadableBlocks, 4);
  }));

Deno.test("acquireSnapshot() does not count blocks that an interrupted session could read after all", () =>
  withStore(async (store) => {
    const source = slowSource({ [FIRST]: { blocks: TWENTY } });
    for (const index of [0, 1, 2, 3]) source.unreadable.set(index, failing("HTTP 500"));
    await interruptAt(10, { store, source, snapshot: FIRST }, { maxUnreadable: 4 });
    source.unreadable.clear();
    await interruptAt(15, { store, source, snapshot: FIRST }, { maxUnreadable: 4, retryUnreadable: true });
    for (const index of [16, 17, 18, 19]) source.unreadable.set(index, failing("HTTP 500"));
    const { exhibit } = await acquire(store, source, FIRST, { maxUnreadable: 4 });
    assertEquals((await exhibit.unreadable())?.map(({ first }) => first.block), [16, 17, 18, 19]);
  }));

Deno.test("acquireSnapshot() passes over a damaged exhibit of another snapshot, and says so", () =>
  withStore(async (store, folder) => {
    const source = new FakeSource({
      [FIRST]: { blocks: { 0: 1 } },
      [SECOND]: { blocks: { 0: 2 }, volume: "vol-2" },
    });
    const { exhibit } = await acquire(store, source, FIRST);
    Deno.writeTextFileSync(`${folder}/store/${exhibit.manifestFile}`, "damaged");
    const second = (await acquire(store, source, SECOND)).exhibit;
    assert(store.tolerated.some((text) => text.includes(exhibit.manifestFile)), String(store.tolerated));
    assertEquals((await store.find(SECOND)).id, second.id);
    const error = await assertRejects(() => store.find(FIRST), OperatorError);
    assertEquals(error.code, "integrity", "it may be the damaged one: not_found would be a guess");
  }));

for (const harm of ["is gone", "is damaged"]) {
  Deno.test(`acquireSnapshot() resumed where the parent ${harm} goes on in full as planned, and says so`, () =>
    withStore(async (store, folder) => {
      const source = slowSource({
        [FIRST]: { blocks: { 0: 1, 1: 2, 2: 3 } },
        [SECOND]: { blocks: { 0: 1, 1: 3, 2: 4 } },
      });
      const parent = (await acquire(store, source, FIRST)).exhibit;
      await interruptAt(2, { store, source, snapshot: SECOND });
      if (harm === "is gone") {
        Deno.removeSync(`${folder}/store/exhibits/${parent.id}`, { recursive: true });
      } else Deno.writeTextFileSync(`${folder}/store/${parent.manifestFile}`, "damaged");
      const plan = await planOf(store, source, SECOND);
      source.fetched.length = 0;
      const { exhibit, prepared } = await acquire(store, source, SECOND);
      assertEquals(await tableOf(exhibit), { 0: 1, 1: 3, 2: 4 });
      assertEquals(source.fetched, [0, 2], "block 1 was recorded");
      assertEquals([plan.tally.fetchBlocks, plan.tally.heldBlocks], [2, 1]);
      assertEquals(plan.parentDropped, prepared.parentDropped);
      assertStringIncludes(exhibit.manifest.acquisition.parentDropped!, parent.id);
      assertEquals(exhibit.manifest.parent, null);
    }));
}

Deno.test("acquireSnapshot() records of a long command line what the record takes", () =>
  withStore(async (store) => {
    const source = slowSource({ [FIRST]: { blocks: { 0: 1, 1: 2 } } });
    const commandLine = [...Array.from({ length: 300 }, (_, index) => `snap-${index}`), "x"];
    commandLine[1] = "y".repeat(10_000);
    const { session } = inputFor({ store, source, snapshot: FIRST });
    await interruptAt(1, { store, source, snapshot: FIRST }, { session: { ...session, commandLine } });
    const { exhibit } = await acquire(store, source, FIRST);
    const [first] = await exhibit.sessions();
    assertEquals(first!.commandLine.length, 256);
    assertEquals(first!.commandLine.at(-1), "… and 46 more arguments");
    assertEquals([first!.commandLine[0], first!.commandLine[1]!.length], ["snap-0", 8192]);
  }));

Deno.test("acquireSnapshot() refuses notes that no record takes before it asks the service for anything", () =>
  withStore(async (store) => {
    const source = new FakeSource({ [FIRST]: { blocks: { 0: 1 } } });
    const { commitFacts } = inputFor({ store, source, snapshot: FIRST });
    for (const [member, length] of [["notes", 16_384], ["examiner", 256], ["authority", 4096]] as const) {
      const facts = (size: number) => ({
        ...commitFacts,
        case: { ...commitFacts.case, [member]: "n".repeat(size) },
      });
      const changes = { commitFacts: facts(length + 1) };
      const error = await assertRejects(() => acquire(store, source, FIRST, changes), OperatorError);
      assertEquals(error.code, "usage");
      assertStringIncludes(error.message, member);
      assertEquals([source.listed, source.fetched, await store.journals()], [[], [], []]);
    }
    const notes = (text: string) => ({
      commitFacts: { ...commitFacts, case: { ...commitFacts.case, notes: text } },
    });
    const error = await assertRejects(
      () => acquire(store, source, FIRST, notes("\u0001".repeat(16_384))),
      OperatorError,
    );
    assertEquals([error.code, await store.journals()], ["usage", []]);
    assertStringIncludes(error.message, "expected at most 65536");
    await acquire(store, source, FIRST, notes("€".repeat(16_384)));
  }));

Deno.test("Store refuses a journal that lies under another name, and clears nothing away", () =>
  withFolder(async (folder) => {
    const source = slowSource({ [FIRST]: { blocks: { 0: 1, 1: 2 } } });
    await inStore(folder, (store) => interruptAt(1, { store, source, snapshot: FIRST }));
    const journals = `${folder}/store/journal`;
    const [entry] = [...Deno.readDirSync(journals)];
    Deno.renameSync(`${journals}/${entry!.name}`, `${journals}/ex-00000000000000ff`);
    for (
      const use of [() => inStore(folder, () => Promise.resolve()), async () => {
        const store = await openStore(realWorld(), `${folder}/store`);
        await store.journals().finally(() => store.close());
      }]
    ) {
      const error = await assertRejects(use, OperatorError);
      assertEquals(error.code, "integrity");
      assertStringIncludes(error.message, entry!.name);
    }
    assertEquals([...Deno.readDirSync(`${journals}/ex-00000000000000ff`)].length > 2, true);
    Deno.renameSync(`${journals}/ex-00000000000000ff`, `${journals}/${entry!.name}`);
    const { exhibit } = await inStore(folder, (store) => acquire(store, source, FIRST));
    assertEquals(exhibit.manifest.counts.storedBlocks, 2);
  }));

Deno.test("planSnapshot() goes by a journal whose parent was dropped, as acquireSnapshot() does", () =>
  withStore(async (store) => {
    const source = slowSource({
      [FIRST]: { blocks: { 0: 1, 1: 2, 2: 3 } },
      [SECOND]: { blocks: { 0: 1, 1: 3, 2: 4 } },
    });
    await acquire(store, source, FIRST);
    source.onPage = (call) => {
      if (call === "changed") throw new OperatorError("access", "not allowed");
    };
    await interruptAt(1, { store, source, snapshot: SECOND });
    source.onPage = () => {}; // allowed now, but this acquisition is a full one
    const plan = await planOf(store, source, SECOND);
    source.fetched.length = 0;
    const { prepared } = await acquire(store, source, SECOND);
    assertEquals([plan.tally.fetchBlocks, source.fetched], [2, [1, 2]]);
    assertEquals([plan.parent, plan.parentDropped], [undefined, prepared.parentDropped]);
  }));

Deno.test("planSnapshot() refuses another Region than the journal's, as acquireSnapshot() does", () =>
  withStore(async (store) => {
    const source = slowSource({ [FIRST]: { blocks: { 0: 1, 1: 2 } } });
    await interruptAt(1, { store, source, snapshot: FIRST });
    const elsewhere = Object.assign(slowSource({ [FIRST]: { blocks: {} } }), { region: "eu-west-1" });
    const error = await assertRejects(() => planOf(store, elsewhere, FIRST), OperatorError);
    assertEquals([error.code, elsewhere.listed], ["usage", []]);
    assertStringIncludes(error.message, "eu-west-1");
  }));
