/**
 * `repair` as its users start it: damaged stores of whole acquisitions, with AWS, with another copy, and alone; exit codes,
 * what it says before and after, and what the custody log keeps of it.
 */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { makeIdentity } from "../../src/cipher_age.ts";
import { sha256 } from "../../src/format/digests.ts";
import { readAgain } from "../second_reading.ts";
import type { ExhibitId } from "../../src/model.ts";
import { flip, largestPack, named, put, readAll } from "../store/damaged.ts";
import { acquireAt, filesBelow, noise, shapeOf, withFolder } from "../store/fixtures.ts";
import { FIRST, Stage, withStage } from "./endpoint.ts";
import { BLOCK_BYTES, every, writeRandomBlocks } from "./images.ts";
import { assertExit, assertRefusal, coldcase, type Ended, eventOf, eventsOf, summaryOf } from "./program.ts";

const BLOCKS = every(2, { from: 0, count: 6 });

interface Scene {
  readonly stage: Stage;
  readonly id: ExhibitId;
  readonly image: string;
  run(...args: string[]): Promise<Ended>;
}

/** A snapshot that was acquired. */
function onScene(body: (scene: Scene) => Promise<void>, acquire: readonly string[] = []): Promise<void> {
  return withStage(async (folder) => {
    await writeRandomBlocks(`${folder}/disk.img`, BLOCKS);
    return { snapshots: [{ id: FIRST, path: `${folder}/disk.img`, volumeId: "vol-1" }] };
  }, async (stage) => {
    const acquired = await stage.run(["acquire", FIRST, "--json", ...acquire]);
    assertExit(acquired, 0);
    const id = summaryOf(acquired).exhibit as ExhibitId;
    const run = (...args: string[]) => stage.run(args);
    await body({ stage, id, image: `${stage.folder}/disk.img`, run });
  });
}

/** Digest by name of all that is no cache. */
function evidenceIn(path: string): (readonly [string, string])[] {
  return [...readAll(path)].filter(([name]) => !/^(cache|tmp)/.test(name))
    .map(([name, bytes]) => [name, sha256(bytes)] as const);
}

/** Entries of repairs in the log, the oldest first. */
function repairsIn(
  store: string,
): { result: { exitCode: number; facts: Record<string, unknown> }; exhibits: unknown[] }[] {
  return filesBelow(`${store}/custody`).filter((name) => name.endsWith(".json")).sort()
    .map((name) => JSON.parse(Deno.readTextFileSync(`${store}/custody/${name}`)))
    .filter(({ action }) => action === "repair");
}

/** The export has the image's bytes, all of them. */
async function assertExportsTo(run: Scene["run"], image: string): Promise<void> {
  const out = `${image}.exported`;
  assertExit(await run("export", FIRST, "-o", out), 0);
  const [one, other] = [await Deno.readFile(out), await Deno.readFile(image)];
  assertEquals([one.length, sha256(one.subarray(0, other.length))], [2 ** 30, sha256(other)]);
}

Deno.test("repair salvages, says what is lost, and reads that from AWS again, only where it is what was acquired", () =>
  onScene(async ({ stage, id, image, run }) => {
    const { store } = stage;
    flip(store, largestPack(store), 200);
    assertExit(await run("verify"), 20);
    const before = evidenceIn(store);
    const planned = await run("repair", "--dry-run", "--json");
    assertExit(planned, 20);
    assertEquals(evidenceIn(store), before);
    const [step] = eventsOf(planned).filter(({ type }) => type === "step");
    assertEquals([step?.["state"], step?.["remedy"], step?.["badRecords"]], ["damaged", "salvage", 1]);
    assertEquals(eventOf(planned, "lost")["lostBlocks"], 1);

    const alone = await run("repair", "--json", "--reason", "bad disk");
    assertExit(alone, 20);
    const lost = eventOf(alone, "finding");
    assertStringIncludes(String(lost["message"]), `of the volume`);
    assertEquals(lost["volumeLengthBytes"], BLOCK_BYTES);
    assert(eventOf(alone, "set_aside"));
    assertEquals(named(store, /./).filter((name) => name === step?.["file"]), []);
    assertExit(await run("verify"), 20);
    const refusal = { exitCode: 20, names: ["Cannot read block", "of the volume"] };
    assertRefusal(await run("export", FIRST, "-o", `${stage.folder}/none.img`), refusal);

    assertExit(await run("repair", "--refetch", "--budget", "0.0000001"), 4);
    const other = `${stage.folder}/other.img`;
    await writeRandomBlocks(other, BLOCKS);
    const snapshots = [{ id: FIRST, path: other, volumeId: "vol-1" }];
    const elsewhere = await Stage.open(stage.folder, { snapshots });
    try {
      const refused = await elsewhere.run(["repair", "--refetch", "--json"]);
      assertExit(refused, 20);
      assertStringIncludes(refused.stderr, "not taken");
      assertEquals(eventOf(refused, "summary")["refetchedBlocks"], 0);
      const compared = await elsewhere.run(["verify", "--against-source", "--json"]);
      assertExit(compared, 20);
      for (const { stdout } of [refused, compared]) assertStringIncludes(stdout, `"code":"source_differs"`);
    } finally {
      await elsewhere.simulator.close();
    }
    assertExit(await run("verify"), 20);

    stage.getRequests();
    const whole = await run("repair", FIRST, "--refetch", "--json");
    assertExit(whole, 0);
    assertEquals([eventOf(whole, "summary")["refetchedBlocks"], stage.getRequests()], [1, 1]);
    assertExit(await run("verify"), 0);
    await readAgain(store, id);
    await assertExportsTo(run, image);
    assertExit(await run("custody"), 0);
    const entries = repairsIn(store);
    assertEquals(entries.map(({ result }) => result.exitCode), [20, 4, 20, 0]);
    assertEquals(entries.map(({ exhibits }) => exhibits.length), [1, 1, 1, 1]);
    assertStringIncludes(String(entries.at(-1)!.result.facts[`${id} repair`]), "refetchedBlocks 1");
    const nothing = await run("repair");
    assertExit(nothing, 0);
    assertStringIncludes(nothing.stdout, "sound, nothing to do");
  }));

Deno.test("repair takes from another copy what is damaged: packs, segments, manifest, inventory", () =>
  onScene(async ({ stage, id, image, run }) => {
    const { store } = stage;
    const copy = `${stage.folder}/copy`;
    // Its inventory is its own: here a new one must be made.
    assertExit(await run("copy", FIRST, "--to", copy), 0);
    for (
      const name of [largestPack(store), ...named(store, /^segments\/|\/manifest-.*json$|\/inventory-.*txt$/)]
    ) {
      flip(store, name, 60);
    }
    assertExit(await run("verify"), 20);
    assertExit(await run("repair"), 20);
    const repaired = await run("repair", "--from", copy, "--json");
    assertExit(repaired, 0);
    assertEquals(eventOf(repaired, "summary")["stillDamaged"], 0);
    assertExit(await run("verify"), 0);
    await readAgain(store, id);
    await assertExportsTo(run, image);
    assertEquals(repairsIn(store).map(({ result }) => result.exitCode), [20, 0]);
    assertEquals(repairsIn(store).at(-1)!.result.facts["from"], copy);
  }));

Deno.test("repair unblocks a store whose journal is damaged, and makes a damaged index anew", () =>
  onScene(async ({ stage, run }) => {
    const { store } = stage;
    const journal = `${store}/journal/ex-0000000000000001`;
    Deno.mkdirSync(journal, { recursive: true });
    for (const name of ["head.json", "log", "blocks", "open-0.pack"]) {
      Deno.writeTextFileSync(`${journal}/${name}`, name);
    }
    Deno.writeTextFileSync(`${store}/cache/index.sqlite`, "no index");
    assertExit(await run("acquire", FIRST), 21);
    assertExit(await run("repair", "--dry-run"), 20);
    assert(Deno.statSync(journal).isDirectory);
    const repaired = await run("repair");
    assertExit(repaired, 0);
    assertStringIncludes(repaired.stderr, "the index is damaged");
    const [folder] = [...Deno.readDirSync(`${store}/quarantine`)].map(({ name }) => name);
    for (const name of ["head.json", "log", "blocks", "open-0.pack"]) {
      assertEquals(Deno.readTextFileSync(`${store}/quarantine/${folder}/${name}`), name);
    }
    assertEquals(repairsIn(store)[0]!.result.facts["journalsSetAside"], 1);
    const again = await run("acquire", FIRST);
    assertExit(again, 0);
    assertExit(await run("repair"), 0);
    assertEquals(again.stderr.includes("index"), false);
  }));

Deno.test("repair of an encrypted store needs an identity for what must be opened, and says so", async () => {
  const { secret, recipient } = await makeIdentity("x25519");
  await onScene(async ({ stage, image, run }) => {
    const { store } = stage;
    const identity = `${stage.folder}/key.txt`;
    Deno.writeTextFileSync(identity, `${secret}\n`, { mode: 0o600 });
    const copy = `${stage.folder}/copy`;
    Deno.mkdirSync(copy);
    put(copy, readAll(store));
    const pack = largestPack(store);
    const sound = Deno.readFileSync(`${store}/${pack}`);
    flip(store, pack, 200);
    assertRefusal(await run("repair"), { exitCode: 12, names: ["must be opened"], hints: ["-i FILE"] });
    assertExit(await run("repair", "--from", copy), 0);
    assertEquals(Deno.readFileSync(`${store}/${pack}`), sound);
    flip(store, pack, 200);
    const salvaged = await run("repair", "-i", identity, "--json");
    assertExit(salvaged, 20);
    assert(Number(eventOf(salvaged, "summary")["salvagedBlocks"]) > 0);
    assertExit(await run("repair", "-i", identity, "--refetch"), 0);
    assertExit(await run("verify", "-i", identity, "--content"), 0);
    const opened = (...args: string[]) => run(...args, "-i", identity);
    await assertExportsTo(opened, image);
  }, ["-r", recipient]);
});

Deno.test("repair refuses another key, itself as the copy, and what is no store", () =>
  withFolder(async (folder) => {
    const store = `${folder}/store`;
    const block = 1 << 16;
    const volume = new Map([[0, noise(1, block)], [7, noise(2, block)]]);
    const id = await acquireAt(store, { volume, shape: shapeOf(block) });
    flip(store, largestPack(store), 200);
    const before = evidenceIn(store).filter(([name]) => !name.startsWith("custody"));
    const run = (...args: string[]) => coldcase(["repair", "--store", store, ...args]);
    assertRefusal(await run(), {
      exitCode: 12,
      names: ["did not sign its manifest"],
      hints: ["--sign-key", `coldcase sign ${id}`],
    });
    const keyless = ([name]: readonly [string, string]) => !/^(custody|keys)/.test(name);
    assertEquals(evidenceIn(store).filter(keyless), before.filter(keyless));
    assertEquals(repairsIn(store).map(({ result }) => result.exitCode), [12]);
    assertRefusal(await run("--from", store), { exitCode: 2, names: ["from itself"] });
    assertExit(await run("--from", `${folder}/none`), 10);
    assertExit(await coldcase(["repair", "--store", `${folder}/none`]), 10);
    assertEquals([...Deno.readDirSync(folder)].map(({ name }) => name), ["store"]);
    assertExit(await run("ex-00000000000000aa"), 10);
    // After a signature by this key it may sign where the exhibit lies.
    assertExit(await coldcase(["sign", id, "--store", store]), 0);
    assertExit(await run(), 20);
    assertEquals(repairsIn(store).map(({ result }) => result.exitCode), [12, 10, 20]);
  }, { onDisk: true }));
