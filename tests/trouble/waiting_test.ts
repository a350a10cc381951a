/**
 * A link that is down for minutes, connections that die without a word, and strangers who answer in the service's
 * place: acquire waits, says for what, and goes on by itself; it gives up after --give-up-after and no earlier.
 */
import { assert, assertEquals, assertLess, assertStringIncludes } from "@std/assert";
import type { Stranger } from "./line.ts";
import { sessionsOf } from "./records.ts";
import {
  assertToldOf,
  assertWhole,
  BLOCKS,
  FIRST,
  imageDigestOf,
  MINUTE_MS,
  SECOND,
  type TroubleStage,
  withTrouble,
} from "./stage.ts";

const PORTAL = "<!DOCTYPE html>\n<html><body>Accept our terms</body></html>";

/** Who answers, and the words of the wait. */
const STRANGERS: readonly (readonly [name: string, stranger: Stranger, words: string])[] = [
  ["a captive portal's page", { status: 200, body: PORTAL }, "an HTML page (HTTP 200)"],
  ["a captive portal's empty page", { status: 200 }, "an answer with"],
  ["a portal's JSON", { status: 200, type: "application/json", body: '{"login":true}' }, "an answer"],
  [
    "a redirect to a login page",
    { status: 302, headers: { Location: "http://login.example/terms?secret=1" } },
    "HTTP 302 to login.example",
  ],
  ["a proxy that wants a password", { status: 407, body: PORTAL }, "an HTML page (HTTP 407)"],
  [
    "a proxy that wants a password, wordlessly",
    { status: 407 },
    "HTTP 407 with a body that is not the service's",
  ],
  ["a proxy that finds nothing", { status: 404 }, "HTTP 404 with a body that is not the service's"],
  [
    "a proxy's refusal in JSON",
    { status: 403, type: "application/json", body: '{"message":"blocked"}' },
    "HTTP 403 with a body that is not the service's",
  ],
  [
    "a proxy without its upstream",
    { status: 502, body: "<html>Bad Gateway</html>" },
    "an HTML page (HTTP 502)",
  ],
  ["a proxy out of service", { status: 503, body: "<html>Unavailable</html>" }, "an HTML page (HTTP 503)"],
];

/** The state comes after some blocks and goes after minutes. */
function forMinutes(stage: TroubleStage, minutes: number, state: Parameters<TroubleStage["line"]["set"]>[0]) {
  stage.after(12, async () => {
    await stage.line.set(state);
    await stage.clock.passed(minutes * MINUTE_MS);
    await stage.line.set("open");
  });
}

Deno.test("acquire waits for a link that is down for minutes, and goes on by itself", () =>
  withTrouble({}, async (stage) => {
    forMinutes(stage, 6, "closed");
    const told = await stage.acquire(FIRST);
    await assertWhole(stage, told);
    assertToldOf(told, `${stage.line.url} to answer (connection refused)`);
    const waits = sessionsOf(stage.store)[0]!.events.filter(({ kind }) => kind === "wait");
    assert(waits.length >= 1 && waits[0]!.detail.includes("connection refused"), JSON.stringify(waits));
  }));

for (const [name, stranger, words] of STRANGERS) {
  Deno.test(`acquire waits where ${name} comes in the service's place`, () =>
    withTrouble({}, async (stage) => {
      forMinutes(stage, 4, { stranger: { ...stranger, headers: { Date: WRONG_DATE, ...stranger.headers } } });
      const told = await stage.acquire(FIRST);
      await assertWhole(stage, told);
      assertToldOf(told, `${stage.line.url} to answer (${words}`);
      assert(stage.line.strangers > 10, `${stage.line.strangers} requests met the stranger`);
      assert(!told.stderr.includes("secret"), "no query of a redirect is shown");
      assert(!told.stderr.includes("clock"), "a stranger's clock is nobody's");
    }));
}

/** A router that has just been started. */
const WRONG_DATE = "Thu, 01 Jan 1970 00:01:00 GMT";

Deno.test("acquire gives up after --give-up-after, saved, and the same command goes on", () =>
  withTrouble({}, async (stage) => {
    stage.after(20, () => stage.line.set("closed"));
    const startedMs = stage.clock.monotonicMs();
    const ended = await stage.acquire(FIRST, "--give-up-after", "40m");
    const minutes = (stage.clock.monotonicMs() - startedMs) / MINUTE_MS;
    assertEquals(ended.exitCode, 14, ended.stderr);
    assert(minutes >= 40 && minutes < 45, `${minutes} minutes`);
    assertStringIncludes(ended.stderr, "connection refused, after");
    assertStringIncludes(ended.stderr, "run the same command again");
    const error = ended.events.find(({ type }) => type === "error");
    assertEquals([error?.["code"], (error?.["facts"] as { reason: string }).reason], ["source", "GAVE_UP"]);
    await stage.line.set("open");
    const before = stage.servedBlocks;
    const told = await stage.acquire(FIRST, "--give-up-after", "40m");
    assertStringIncludes(told.stderr, "RESUMING");
    await assertWhole(stage, told);
    assertLess(stage.servedBlocks - before, BLOCKS, "what was recorded is not fetched again");
  }));

Deno.test("acquire of the next snapshot waits, too, and so does one whose service throttles for minutes", () =>
  withTrouble({}, async (stage) => {
    stage.after(BLOCKS, async () => {
      stage.simulator.setFaults("throttle:1");
      await stage.clock.passed(5 * MINUTE_MS);
      stage.simulator.setFaults("");
    });
    const told = await stage.acquire(FIRST, SECOND);
    assertEquals(told.exitCode, 0, told.stderr);
    assertToldOf(told, `${stage.line.url} to answer`);
    assertEquals(told.events.filter(({ type }) => type === "summary").length, 2);
    assertEquals(stage.servedBlocks, 2 * BLOCKS);
  }));

Deno.test("a wait can be interrupted, and costs nothing that was recorded", () =>
  withTrouble({}, async (stage) => {
    stage.after(20, () => stage.line.set("closed"));
    stage.interruptAt("waiting for");
    const ended = await stage.acquire(FIRST);
    assertEquals(ended.exitCode, 130, ended.stderr);
    await stage.line.set("open");
    const told = await stage.acquire(FIRST);
    await assertWhole(stage, told);
    imageDigestOf(told);
  }));
