/**
 * Repair at the store's door: each kind of damage, in plain and encrypted stores, with another copy, from the source, and
 * alone. What comes of it is verified, read by the second reader, and compared block by block; nothing is ever deleted, and
 * what is lost is told by its place and never becomes another state.
 */
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { OperatorError } from "../../src/errors.ts";
import { sha256 } from "../../src/format/digests.ts";
import { makeKeyFile, openSigningKey } from "../../src/keys.ts";
import { type Refetch } from "../../src/store/mod.ts";
import { realWorld } from "../../src/world.ts";
import { TEST_KEY } from "../signing_key.ts";
import {
  allFindings,
  BLOCK,
  DAMAGES,
  flip,
  largestPack,
  put,
  readAll,
  repair,
  tableAt,
  VOLUME,
} from "./damaged.ts";
import { noise } from "./fixtures.ts";
import {
  assertNothingGone,
  assertWhole,
  aStore,
  evidenceIn,
  EXPECTED,
  MODES,
  onStage,
  readableBlocks,
  serving,
  statesAt,
} from "./repairs.ts";

for (const mode of MODES) {
  for (const [damage, inflict] of Object.entries(DAMAGES)) {
    Deno.test(`repair of ${damage} with another copy makes the ${mode} exhibit whole`, () =>
      onStage(mode, async (stage) => {
        const { store, copy } = stage;
        inflict(store);
        const before = readAll(store);
        const planned = await repair(store, stage, { copy, isDryRun: true });
        assert(planned.steps.length > 0);
        assertEquals(readAll(store), before, "a dry run changed something");
        const { findings, lacking, steps } = await repair(store, stage, { copy });
        assertEquals([...findings, ...lacking], []);
        assertEquals(steps.slice(0, planned.steps.length), planned.steps);
        await assertWhole(stage);
        assertNothingGone(store, before);
        const again = await repair(store, stage, { copy });
        assertEquals([again.steps, again.moved], [[], []], "a second repair found something to do");
      }));
  }
}

for (const mode of MODES) {
  for (const damage of ["a flipped bit in a record", "a truncated pack", "a missing pack"]) {
    Deno.test(`repair of ${damage} alone loses no good record of ${aStore(mode)}, and says what is lost`, () =>
      onStage(mode, async (stage) => {
        const { store, copy } = stage;
        DAMAGES[damage]!(store);
        const before = readAll(store);
        const [readable, states] = [await readableBlocks(store, stage), await statesAt(store, stage)];
        const { findings, summary, moved } = await repair(store, stage);
        assertEquals(moved.length, damage === "a missing pack" ? 0 : 1);
        const afterwards = await readableBlocks(store, stage);
        assert(
          readable.every((index) => afterwards.includes(index)),
          `${readable} read before, ${afterwards} now`,
        );
        assertEquals(await statesAt(store, stage), states);
        const lost = [...VOLUME.keys()].filter((index) =>
          states.get(index) === "stored" && !readable.includes(index)
        );
        assert(lost.length > 0);
        const ranges = findings.filter(({ volumeOffsetBytes }) => volumeOffsetBytes !== undefined);
        const told = ranges.flatMap(({ firstBlock, blockCount }) =>
          Array.from({ length: blockCount! }, (_, at) => firstBlock! + at)
        );
        assertEquals(told.sort((a, b) => a - b), lost.sort((a, b) => a - b));
        for (const { volumeOffsetBytes, firstBlock } of ranges) {
          assertEquals(volumeOffsetBytes, firstBlock! * BLOCK);
        }
        assertEquals(summary?.copiedBlocks, 0);
        // The same findings as verify's: it is not called whole.
        const verified = (await allFindings(store, stage)).filter((finding) => "firstBlock" in finding);
        assertEquals(verified.length, ranges.length);
        assertNothingGone(store, before);
        const again = await repair(store, stage, { copy });
        assertEquals([again.findings, again.lacking], [[], []]);
        assertEquals(await allFindings(store, stage), []);
        assertEquals(await tableAt(store, stage), EXPECTED);
      }));
  }

  Deno.test(`repair of ${aStore(mode)} and a copy that are damaged in different records makes it whole`, () =>
    onStage(mode, async (stage) => {
      const { store, copy } = stage;
      const pack = largestPack(store);
      flip(store, pack, 300);
      // The last chunk of the age file has the end of the last record.
      flip(copy, pack, mode === "encrypted" ? -100 : -20_000);
      const { findings, summary } = await repair(store, stage, { copy });
      assertEquals(findings, []);
      assert(summary!.salvagedBlocks > 0 && summary!.copiedBlocks > 0, JSON.stringify(summary));
      await assertWhole(stage);
    }));

  Deno.test(`repair of a damaged inventory alone makes a new one for ${aStore(mode)}`, () =>
    onStage(mode, async (stage) => {
      const { store } = stage;
      DAMAGES["a damaged inventory"]!(store);
      const before = readAll(store);
      const { findings, lacking, steps } = await repair(store, stage);
      assertEquals([findings, lacking], [[], []]);
      assertEquals(steps.map(({ remedy }) => remedy), ["rebuild"]);
      await assertWhole(stage);
      assertNothingGone(store, before);
    }));

  Deno.test(`repair of ${aStore(mode)} without a copy leaves a damaged manifest and segment, and says so`, async () => {
    for (const damage of ["a damaged manifest", "a missing segment"]) {
      await onStage(mode, async (stage) => {
        const { store } = stage;
        DAMAGES[damage]!(store);
        const before = readAll(store);
        const { lacking, findings } = await repair(store, stage);
        assertEquals(lacking.length + findings.length > 0, true);
        if (damage === "a missing segment") {
          const [segment] = findings.filter(({ code }) => code === "segment_unusable");
          assertEquals(segment?.volumeLengthBytes, 16_384 * BLOCK);
        }
        const isSame = (files: ReadonlyMap<string, Uint8Array>) =>
          [...files].filter(([name]) => !/^(cache|tmp)/.test(name)).map((
            [name, bytes],
          ) => [name, sha256(bytes)]);
        assertEquals(isSame(readAll(store)), isSame(before));
      });
    }
  });
}

for (const mode of MODES) {
  Deno.test(`repair of ${aStore(mode)} takes blocks from the source, and only those that were acquired`, () =>
    onStage(mode, async (stage) => {
      const { store, copy } = stage;
      DAMAGES["a missing pack"]!(store);
      const other = serving(new Map([...VOLUME].map(([index]) => [index, noise(99, BLOCK)])));
      const refused = await repair(store, stage, other);
      assert(other.asked.length > 0);
      assertEquals([other.refused, refused.summary?.refetchedBlocks], [other.asked, 0]);
      assertEquals(
        refused.findings.map(({ firstBlock }) => firstBlock).filter((at) => at !== undefined),
        other.asked,
      );
      assert((await allFindings(store, stage)).length > 0);
      const same = serving(VOLUME);
      const { findings, summary } = await repair(store, stage, same);
      assertEquals([findings, same.refused, same.asked], [[], [], other.asked]);
      assertEquals(summary?.refetchedBlocks, other.asked.length);
      await assertWhole(stage);
      // All that the copy has is held: it is not asked.
      DAMAGES["a missing pack"]!(store);
      const unasked = serving(VOLUME);
      assertEquals((await repair(store, stage, { copy, ...unasked })).findings, []);
      assertEquals(unasked.asked, []);
    }));

  Deno.test(`repair of ${aStore(mode)} keeps what it had by then where the source fails`, () =>
    onStage(mode, async (stage) => {
      const { store } = stage;
      DAMAGES["a flipped bit in a record"]!(store);
      const failing: Refetch = () =>
        Promise.reject(new OperatorError("source", "Cannot list blocks: no route"));
      const error = await assertRejects(
        () => repair(store, stage, { refetch: failing }),
        OperatorError,
        "no route",
      );
      assertEquals(error.code, "source");
      const before = await readableBlocks(store, stage);
      const { findings, moved, summary } = await repair(store, stage);
      assertEquals([moved.length, summary?.salvagedBlocks], [1, 0]);
      assert(findings.length > 0);
      assertEquals(await readableBlocks(store, stage), before);
    }));

  Deno.test(`repair of ${aStore(mode)} refuses a key that did not sign the manifest, and changes nothing`, () =>
    onStage(mode, async (stage) => {
      const { store, copy, folder } = stage;
      await makeKeyFile(realWorld(), `${folder}/key`);
      const { key } = await openSigningKey(realWorld(), { source: `${folder}/key` });
      for (const damage of ["a flipped bit in a record", "a damaged inventory"]) {
        put(store, stage.files);
        DAMAGES[damage]!(store);
        const before = evidenceIn(store);
        const error = await assertRejects(() => repair(store, stage, { key }), OperatorError);
        assertEquals(error.code, "identity");
        assertStringIncludes(error.message, TEST_KEY.fingerprint);
        assert(error.hints.some((hint) => hint.includes("--sign-key")));
        assertEquals(evidenceIn(store), before);
        // A file that is taken whole needs no new inventory, and so no key.
        assertEquals((await repair(store, stage, { key, copy })).lacking, []);
        await assertWhole(stage);
      }
    }));
}
