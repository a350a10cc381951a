/**
 * What of a source's events the acquisition record gets, session by session, on days on which more goes wrong than
 * a record has room for.
 */
import { assertEquals } from "@std/assert";
import { Output } from "../../src/cli/mod.ts";
import { SourceWatch } from "../../src/commands/_aws.ts";
import type { SourceEvent } from "../../src/model.ts";
import { FakeClock, FakeTerminal } from "../cli/fakes.ts";

function watching(): SourceWatch {
  const clock = new FakeClock();
  const terminal = new FakeTerminal({ isTerminal: false });
  const shown = { json: false, quiet: true, verbose: false, progress: false, color: "never" } as const;
  const out = new Output({ terminal, clock, ...shown, environment: () => undefined });
  return new SourceWatch({ out, world: { clock } });
}

const failure = (block: number): SourceEvent => ({
  type: "failed",
  call: "GetSnapshotBlock",
  blockIndex: block,
  reason: "connection reset",
  requestId: `id-${block}`,
});

const credentials = (accessKeyId: string): SourceEvent => ({
  type: "credentials",
  accessKeyId,
  expiresAt: undefined,
});

function tell(watch: SourceWatch, ...events: readonly SourceEvent[]): void {
  for (const event of events) watch.onEvent(event);
}

function details(watch: SourceWatch): string[] {
  return watch.takeEvents().map(({ detail }) => detail);
}

Deno.test("SourceWatch keeps nine hundred failures, counts the rest, and still tells of credentials and clocks", () => {
  const watch = watching();
  tell(watch, ...Array.from({ length: 899 }, (_, block) => failure(block)));
  tell(watch, { type: "throttle", call: "GetSnapshotBlock", blockIndex: 899, requestId: undefined });
  assertEquals([watch.takeEvents().length, watch.eventsLeftOut], [900, 0]);
  tell(watch, failure(900), credentials("AKIA1"), failure(901), { type: "clock_skew", skewMs: 5000 });
  assertEquals(details(watch), ["AKIA1, until no end known", "5000 ms"]);
  assertEquals(watch.eventsLeftOut, 2);
  tell(watch, ...Array.from({ length: 100 }, (_, number) => credentials(`AKIA${number + 2}`)));
  assertEquals([details(watch).length, watch.eventsLeftOut, watch.credentialChanges], [98, 4, 100]);
});

Deno.test("SourceWatch begins each session with the credentials in use, and nothing of the one before", () => {
  const watch = watching();
  tell(watch, credentials("AKIA1"), failure(1));
  watch.beginSession();
  assertEquals(details(watch), ["AKIA1, until no end known"]);
  tell(watch, failure(2), credentials("AKIA2"));
  assertEquals(details(watch), [
    "GetSnapshotBlock of block 2: connection reset",
    "AKIA2, until no end known",
  ]);
  assertEquals(watch.credentialChanges, 1);
  tell(watch, ...Array.from({ length: 950 }, (_, block) => failure(block)));
  watch.beginSession();
  assertEquals([watch.credentialChanges, watch.eventsLeftOut], [0, 0]);
  tell(watch, failure(3));
  assertEquals(details(watch), [
    "AKIA2, until no end known",
    "GetSnapshotBlock of block 3: connection reset",
  ]);
});

Deno.test("SourceWatch tells of credentials that were first read within a session, as no change", () => {
  const watch = watching();
  watch.beginSession();
  tell(watch, { type: "credentials", accessKeyId: "AKIA1", expiresAt: "2026-01-02T03:04:05.678Z" });
  assertEquals(details(watch), ["AKIA1, until 2026-01-02T03:04:05.678Z"]);
  assertEquals(watch.credentialChanges, 0);
});
