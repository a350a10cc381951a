/**
 * Repair cut short at every write, by a crash, a loss of power or a failing disk, and run again; and after damage at
 * random, by seed.
 */
import { assert, assertEquals } from "@std/assert";
import { OperatorError } from "../../src/errors.ts";
import { allFindings, DAMAGES, flip, largestPack, named, put, readAll, repair, tableAt } from "./damaged.ts";
import { Crashed, FaultyDisk } from "./faulty_disk.ts";
import { flipBit, seeded, testWorld } from "./fixtures.ts";
import {
  assertNothingGone,
  assertWhole,
  aStore,
  EXPECTED,
  MODES,
  onStage,
  readableBlocks,
} from "./repairs.ts";

/** Damage that takes another copy, salvage, and both at once. */
const AT_EVERY_WRITE: readonly { readonly damage: string; readonly withCopy: boolean }[] = [
  { damage: "a flipped bit in a record", withCopy: true },
  { damage: "a flipped bit in a footer", withCopy: false },
  { damage: "a damaged inventory", withCopy: false },
];

/** Encrypting takes its time: there the worst of the three stands for all. */
const KINDS = {
  plain: ["a crash", "a power loss", "a failure"],
  encrypted: ["a power loss"],
} as const;

for (const mode of MODES) {
  for (const { damage, withCopy } of AT_EVERY_WRITE) {
    for (const kind of KINDS[mode]) {
      Deno.test(`repair of ${damage} in ${aStore(mode)} goes on after ${kind} at every write`, () =>
        onStage(mode, async (stage) => {
          const { store, copy } = stage;
          DAMAGES[damage]!(store);
          // A copy that lacks the same file, or there would be no record to salvage.
          if (withCopy) flip(copy, largestPack(copy), mode === "encrypted" ? -100 : -20_000);
          const before = readAll(store);
          const how = withCopy ? { copy } : {};
          const counting = new FaultyDisk();
          const undisturbed = await repair(store, stage, { ...how, world: testWorld(counting, 7) });
          const lost = undisturbed.findings.map(({ firstBlock }) => firstBlock);
          const readable = await readableBlocks(store, stage);
          const { length } = counting.operations;
          assert(length > 10, "the repair wrote next to nothing");
          for (let at = 1; at <= length; at++) {
            put(store, before);
            const disk = new FaultyDisk(
              kind === "a failure"
                ? { at, code: "EIO", forGood: false }
                : { at, crash: true, losesUnsynced: kind === "a power loss" },
            );
            const error = await repair(store, stage, { ...how, world: testWorld(disk, 7) })
              .then(() => undefined, (error: unknown) => error);
            const isClean = error instanceof Crashed ||
              error instanceof OperatorError && error.code === "storage";
            assert(isClean, `operation ${at}, ${counting.operations[at - 1]}: ${error}`);
            disk.release();
            assertNothingGone(store, before);
            const { findings, lacking } = await repair(store, stage, how);
            const place = `operation ${at}, ${counting.operations[at - 1]}`;
            assertEquals([findings.map(({ firstBlock }) => firstBlock), lacking], [lost, []], place);
            assertEquals(await readableBlocks(store, stage), readable, place);
            if (lost.length === 0) assertEquals(await allFindings(store, stage), [], place);
            assertNothingGone(store, before);
          }
          if (lost.length === 0) await assertWhole(stage);
        }));
    }
  }
}

/** Damages up to four files of an exhibit in some way, and says which. */
function damageSome(store: string, next: () => number): string[] {
  const names = named(store, /^(packs|segments|documents)\/|\/(manifest|map|inventory)-/);
  return Array.from({ length: 1 + next() % 4 }, () => {
    const name = names[next() % names.length]!;
    const path = `${store}/${name}`;
    const kind = ["flip", "cut", "remove", "empty", "swap"][next() % 5];
    const { size } = filesIn(store).includes(name) ? Deno.statSync(path) : { size: 0 };
    if (size === 0) return `${name} is gone or empty already`;
    if (kind === "flip") flipBit(path, next() % size, next() % 8);
    else if (kind === "cut") Deno.truncateSync(path, next() % size);
    else if (kind === "remove") Deno.removeSync(path);
    else if (kind === "empty") Deno.truncateSync(path, 0);
    else {Deno.writeFileSync(
        path,
        Deno.readFileSync(`${store}/${names.find((one) => one !== name && filesIn(store).includes(one))}`),
      );}
    return `${kind} ${name}`;
  });
}

function filesIn(store: string): string[] {
  return named(store, /./);
}

for (const mode of MODES) {
  Deno.test(`repair of ${aStore(mode)} with damage at random: whole with a copy, and alone nothing gets worse`, () =>
    onStage(mode, async (stage) => {
      const { store, copy } = stage;
      const seed = Number(Deno.env.get("COLDCASE_SEED") ?? Date.now() % 2 ** 32);
      // deno-lint-ignore no-console
      console.log(`COLDCASE_SEED=${seed}`);
      const next = seeded(seed);
      for (let run = 0; run < 12; run++) {
        put(store, stage.files);
        const damage = damageSome(store, next).join(", ");
        const before = readAll(store);
        const readableBefore = await readableBlocks(store, stage).catch(refusedOnly);
        await repair(store, stage).catch(refusedOnly);
        assertNothingGone(store, before);
        const readableAfter = await readableBlocks(store, stage).catch(refusedOnly);
        for (const index of readableBefore ?? []) {
          assert(readableAfter?.includes(index), `${damage}: block ${index}`);
        }
        const { findings, lacking } = await repair(store, stage, { copy });
        assertEquals([findings, lacking], [[], []], damage);
        assertEquals(await allFindings(store, stage), [], damage);
        assertEquals(await tableAt(store, stage), EXPECTED, damage);
        assertNothingGone(store, before);
      }
      await assertWhole(stage);
    }));
}

/** Damage may keep an exhibit from being opened: an answer, where it is an operator's. */
function refusedOnly(error: unknown): undefined {
  if (error instanceof OperatorError && ["integrity", "format", "not_found"].includes(error.code)) {
    return undefined;
  }
  throw error;
}
