/**
 * `acquire --wait`: a pending snapshot is waited for by EC2's word, or, without a permission for EC2, by trying to list it;
 * at a pace that nobody minds, as long as --give-up-after, and no longer than a Ctrl-C.
 */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import {
  BLOCKS,
  FIRST,
  HOUR_MS,
  MINUTE_MS,
  SECOND,
  type Told,
  type TroubleStage,
  withTrouble,
} from "./stage.ts";

/** Pending from now on, for so long. */
function makePending(stage: TroubleStage, snapshot: string, ms: number): void {
  const nowMs = stage.clock.aws.nowMs();
  stage.simulator.updateSnapshot(snapshot, { startTimeMs: nowMs, pendingUntilMs: nowMs + ms });
}

function errorOf({ events }: Told): string {
  const error = events.find(({ type }) => type === "error");
  return [error?.["message"], ...(error?.["hints"] as string[] | undefined) ?? []].join("\n");
}

function requests(stage: TroubleStage, call: "DescribeSnapshots" | "ListSnapshotBlocks"): number {
  return stage.simulator.requests.count(call);
}

Deno.test("acquire --wait waits for a pending snapshot by EC2's word, and asks three to four times a minute", () =>
  withTrouble({}, async (stage) => {
    makePending(stage, FIRST, 3 * HOUR_MS);
    const told = await stage.acquire(FIRST, "--wait");
    assertEquals(told.exitCode, 0, told.stderr);
    assertStringIncludes(told.stderr, `${FIRST} is pending: waiting until it is completed`);
    assert(
      stage.clock.monotonicMs() >= 3 * HOUR_MS && stage.clock.monotonicMs() < 3 * HOUR_MS + 5 * MINUTE_MS,
    );
    const asked = requests(stage, "DescribeSnapshots");
    assert(asked >= 180 * 3 && asked <= 180 * 4 + 3, `${asked} requests`);
    assertEquals(stage.blockRequests, BLOCKS);
    const percents = told.events
      .filter(({ type, label }) => type === "progress" && label === `wait ${FIRST}`)
      .map((event) => event["donePercent"] as number);
    assert(percents.some((percent) => percent > 40 && percent < 60), percents.slice(0, 20).join());
  }));

Deno.test("acquire without --wait ends at once, and says how to wait", () =>
  withTrouble({}, async (stage) => {
    makePending(stage, FIRST, HOUR_MS);
    const told = await stage.acquire(FIRST);
    assertEquals(told.exitCode, 14);
    assert(stage.clock.monotonicMs() < MINUTE_MS);
    assertStringIncludes(errorOf(told), "--wait");
  }));

Deno.test("acquire --wait without a permission for EC2 tries to list it at the same pace", () =>
  withTrouble({ deny: ["ec2:DescribeSnapshots"] }, async (stage) => {
    makePending(stage, FIRST, 20 * MINUTE_MS);
    const told = await stage.acquire(FIRST, "--wait");
    assertEquals(told.exitCode, 0, told.stderr);
    const asked = requests(stage, "ListSnapshotBlocks");
    assert(asked >= 20 * 3 && asked <= 20 * 4 + 10, `${asked} requests`);
    assertEquals(stage.blockRequests, BLOCKS);
  }));

for (const deny of [[], ["ec2:DescribeSnapshots"]]) {
  const how = deny.length === 0 ? "by EC2's word" : "by listing";
  Deno.test(`acquire --wait gives up after --give-up-after ${how}, and goes on waiting when it is run again`, () =>
    withTrouble({ deny }, async (stage) => {
      makePending(stage, FIRST, 90 * MINUTE_MS);
      const told = await stage.acquire(FIRST, "--wait", "--give-up-after", "1h");
      assertEquals(told.exitCode, 14, told.stderr);
      assert(stage.clock.monotonicMs() >= HOUR_MS && stage.clock.monotonicMs() < HOUR_MS + 2 * MINUTE_MS);
      assertStringIncludes(errorOf(told), `Cannot wait for "${FIRST}"`);
      assertStringIncludes(errorOf(told), "--give-up-after");
      assertEquals((await stage.acquire(FIRST, "--wait", "--give-up-after", "1h")).exitCode, 0);
    }));

  Deno.test(`acquire --wait ends at once with Ctrl-C while it waits ${how}`, () =>
    withTrouble({ deny }, async (stage) => {
      makePending(stage, FIRST, 90 * MINUTE_MS);
      stage.interruptAt("is pending");
      const told = await stage.acquire(FIRST, "--wait");
      assertEquals(told.exitCode, 130, told.stderr);
      assert(stage.clock.monotonicMs() < MINUTE_MS, `${stage.clock.monotonicMs()} ms`);
      assertEquals(stage.blockRequests, 0);
    }));

  Deno.test(`acquire --wait does not wait for a snapshot that failed, ${how}`, () =>
    withTrouble({ deny }, async (stage) => {
      stage.simulator.updateSnapshot(FIRST, { state: "error" });
      const told = await stage.acquire(FIRST, "--wait");
      assertEquals(told.exitCode, 14, told.stderr);
      assert(stage.clock.monotonicMs() < MINUTE_MS, `${stage.clock.monotonicMs()} ms`);
    }));
}

Deno.test("acquire --wait gets over an outage while it waits, and over hours of it", () =>
  withTrouble({}, async (stage) => {
    makePending(stage, FIRST, 2 * HOUR_MS);
    const outage = (async () => {
      await stage.clock.passed(30 * MINUTE_MS);
      await stage.line.set("closed");
      await stage.clock.passed(60 * MINUTE_MS);
      await stage.line.set("open");
    })();
    const told = await stage.acquire(FIRST, "--wait");
    await outage;
    assertEquals(told.exitCode, 0, told.stderr);
    assertEquals(stage.blockRequests, BLOCKS);
  }));

Deno.test("acquire --instance --wait fetches what is completed while it waits for the rest", () => {
  const instance = "i-00000001";
  const volumes = { "/dev/xvda": "vol-00000001", "/dev/sdf": "vol-00000002" };
  return withTrouble({ instances: [{ id: instance, volumes }] }, async (stage) => {
    const nowMs = stage.clock.aws.nowMs();
    stage.simulator.updateSnapshot(FIRST, { startTimeMs: nowMs, pendingUntilMs: nowMs + HOUR_MS });
    stage.simulator.updateSnapshot(SECOND, { startTimeMs: nowMs });
    const refused = await stage.run("acquire", "--instance", instance, "--workers", "0");
    assertEquals(refused.exitCode, 14);
    assertStringIncludes(errorOf(refused), "--wait");
    let fetchedMs = Infinity;
    stage.after(BLOCKS, () => void (fetchedMs = stage.clock.monotonicMs()));
    const told = await stage.run("acquire", "--instance", instance, "--wait", "--workers", "0");
    assertEquals(told.exitCode, 0, told.stderr);
    assert(fetchedMs < 5 * MINUTE_MS, `${fetchedMs} ms`);
    assertEquals(stage.blockRequests, 2 * BLOCKS);
    const summaries = told.events.filter(({ type }) => type === "summary").map((event) => event["snapshot"]);
    assertEquals(summaries, [SECOND, FIRST]);
  });
});
