/**
 * A host's clock that is wrong by a day, or jumps on the way, and a laptop that slept for hours: told once, corrected,
 * noted in the record, and never the end of an acquisition.
 */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { sessionsOf } from "./records.ts";
import { assertWhole, FIRST, HOUR_MS, MINUTE_MS, type Told, TroubleStage, withTrouble } from "./stage.ts";

const DAY_MS = 24 * HOUR_MS;

/** What was told of the clock, in order. */
function skewsOf(told: Told): { readonly texts: string[]; readonly skewsMs: number[] } {
  const texts = told.stderr.split("\n").filter((line) => line.includes("this host's clock"));
  const skewsMs = told.events.filter(({ type }) => type === "clock_skew").map(({ skewMs }) => Number(skewMs));
  return { texts, skewsMs };
}

function assertAbout(actualMs: number | undefined, expectedMs: number): void {
  assert(actualMs !== undefined && Math.abs(actualMs - expectedMs) <= 2 * MINUTE_MS, `${actualMs} ms`);
}

for (const [where, offsetMs] of [["ahead of", DAY_MS], ["behind", -DAY_MS]] as const) {
  Deno.test(`acquire corrects a clock that is a day ${where} AWS's, says so once, and notes it`, () =>
    withTrouble({ hostOffsetMs: offsetMs }, async (stage) => {
      const told = await stage.acquire(FIRST);
      await assertWhole(stage, told);
      const { texts, skewsMs } = skewsOf(told);
      assertEquals(texts.length, 1, told.stderr);
      assertStringIncludes(texts[0]!, `${where} AWS's: corrected for requests, noted in the record`);
      assertEquals(skewsMs.length, 1);
      assertAbout(skewsMs[0], -offsetMs);
      const [session] = sessionsOf(stage.store);
      assertAbout(session!.clockSkewMs ?? undefined, -offsetMs);
      assertEquals(session!.events.filter(({ kind }) => kind === "clock_skew").length, 1);
      // One request of each service finds it out.
      const refused = ["ListSnapshotBlocks", "GetSnapshotBlock"] as const;
      const counts = refused.map((call) => stage.simulator.requests.of(call).byStatus[403] ?? 0);
      assertEquals(counts, [1, 0]);
    }));

  Deno.test(`acquire goes on where the clock jumps to a day ${where} AWS's, and back`, () =>
    withTrouble({}, async (stage) => {
      stage.after(12, () => stage.clock.setOffset(offsetMs));
      stage.after(36, () => stage.clock.setOffset(0));
      const told = await stage.acquire(FIRST);
      await assertWhole(stage, told);
      const { texts, skewsMs } = skewsOf(told);
      assertEquals(skewsMs.length, 2, told.stderr);
      assertAbout(skewsMs[0], -offsetMs);
      assertAbout(skewsMs[1], 0);
      assertStringIncludes(texts[1]!, "agrees with AWS's again");
      const jumps = sessionsOf(stage.store).flatMap(({ events }) => events).filter(({ kind }) =>
        kind === "clock_skew"
      );
      assertEquals(jumps.length, 2);
    }));
}

/** Connections are gone after two hours: reset when the host is back, or dead without a word. */
for (const isSilent of [false, true]) {
  const how = isSilent ? "are dead without a word" : "were reset";
  Deno.test(`acquire goes on after the laptop slept for two hours; its connections ${how}`, () =>
    withTrouble({ pageLimit: 20 }, async (stage) => {
      stage.after(15, async () => {
        stage.clock.suspend(2 * HOUR_MS);
        if (!isSilent) return stage.line.drop();
        stage.line.forget();
        // What the host's own watch does after twenty seconds without a byte, a little sooner.
        await stage.clock.passed(20_000);
        stage.line.drop();
      });
      const told = await stage.acquire(FIRST);
      await assertWhole(stage, told);
      assertEquals(skewsOf(told), { texts: [], skewsMs: [] });
      // Page tokens live for an hour: it lists again, behind what it has seen.
      const refused = stage.simulator.requests.of("ListSnapshotBlocks").byErrorType;
      assert((refused["ValidationException"] ?? 0) >= 1, JSON.stringify(refused));
    }));
}

Deno.test("acquire goes on after a sleep in which the credentials ended, with those of its file", () =>
  withTrouble({ pageLimit: 20 }, async (stage) => {
    const fresh = stage.useCredentialsFile({ minutes: 15 });
    stage.after(15, async () => {
      stage.clock.suspend(2 * HOUR_MS);
      stage.line.drop();
      await stage.clock.passed(3 * MINUTE_MS);
      fresh();
    });
    const told = await stage.acquire(FIRST);
    await assertWhole(stage, told);
    assertStringIncludes(told.stderr, "waiting for fresh credentials");
    const [session] = sessionsOf(stage.store);
    assertEquals(session!.credentialChanges, 1);
  }));

Deno.test("acquire takes up a day later what it could not end, under a clock that is wrong now", () =>
  withTrouble({}, async (stage: TroubleStage) => {
    stage.after(20, () => stage.line.set("closed"));
    assertEquals((await stage.acquire(FIRST, "--give-up-after", "5m")).exitCode, 14);
    stage.clock.suspend(DAY_MS);
    stage.clock.setOffset(-2 * DAY_MS);
    await stage.line.set("open");
    const told = await stage.acquire(FIRST);
    await assertWhole(stage, told);
    const skews = sessionsOf(stage.store).map(({ clockSkewMs }) => clockSkewMs ?? NaN);
    assertAbout(skews[0], 0);
    assertAbout(skews[1], 2 * DAY_MS);
  }));
