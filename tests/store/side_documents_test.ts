/** Lists of unreadable blocks and of sessions that have no room for all: what is kept, and that nothing is hidden. */
import { assert, assertEquals } from "@std/assert";
import {
  decodeSessions,
  decodeUnreadable,
  encodeSessions,
  encodeUnreadable,
  MAX_DOCUMENT_BYTES,
  MAX_SESSIONS,
  MAX_UNREADABLE_ENTRIES,
  type Session,
  type UnreadableEntry,
} from "../../src/format/documents.ts";
import { fittingSessions, UnreadableList } from "../../src/store/_commit_documents.ts";
import { UnreadableComparison } from "../../src/store/_verify_unreadable.ts";
import { plainBlock } from "../../src/format/segment.ts";
import { openStoreForWriting } from "../../src/store/mod.ts";
import { SESSION } from "../format/samples.ts";
import { readAgain } from "../second_reading.ts";
import {
  COUNTS,
  FACTS,
  listingOf,
  reading,
  SESSION as STARTED,
  shapeOf,
  SNAPSHOT,
  sourceOf,
  testWorld,
  withFolder,
} from "./fixtures.ts";

/** As large as an entry can be. */
function largest(block: number): UnreadableEntry {
  const long = "\u0001".repeat(256);
  return {
    attempts: Number.MAX_SAFE_INTEGER,
    block,
    detail: long.repeat(4),
    reason: "service",
    requestIds: new Array(16).fill(long),
  };
}

function listOf(blocks: Iterable<number>, options: {
  readonly bytes?: number;
  readonly elements?: number;
  readonly entryOf?: (block: number) => UnreadableEntry | undefined;
}) {
  const { bytes = MAX_DOCUMENT_BYTES, elements = MAX_UNREADABLE_ENTRIES, entryOf = () => undefined } =
    options;
  const list = new UnreadableList({ bytes, elements });
  for (const block of blocks) list.note(block, entryOf(block));
  return list.entries();
}

Deno.test("UnreadableList keeps every entry as it is where all have room", () => {
  const entries = listOf([1, 2, 3, 7, 9, 10], {
    entryOf: (block) => block === 3 || block === 9 ? largest(block) : undefined,
  });
  assertEquals(entries.map(({ first, blocks }) => [first.block, blocks, first.reason]), [
    [1, 2, "not_acquired"],
    [3, 1, "service"],
    [7, 1, "not_acquired"],
    [9, 1, "service"],
    [10, 1, "not_acquired"],
  ]);
  assertEquals(entries[1]!.first, largest(3));
  assertEquals(decodeUnreadable(encodeUnreadable(entries)).entries, entries);
});

Deno.test("UnreadableList shortens entries that are too long together, and leaves none out for it", () => {
  const entries = listOf([5, 6, 8], { bytes: 20_000, entryOf: largest });
  assertEquals(entries.map(({ first }) => first.block), [5, 6, 8]);
  for (const { first } of entries) {
    assertEquals([first.detail.length, first.requestIds.length, first.reason], [64, 1, "service"]);
  }
  assert(encodeUnreadable(entries).length <= 20_000);
});

Deno.test("UnreadableList ends in a range without reasons where even short entries have no room", () => {
  for (const limits of [{ bytes: 5000 }, { elements: 3 }]) {
    const entries = listOf([5, 6, 8, 100, 2 ** 27 - 1], { ...limits, entryOf: largest });
    const last = entries.at(-1)!;
    assertEquals(last.first.reason, "left_out");
    assertEquals(last.first.block + last.blocks, 2 ** 27);
    assertEquals(entries.slice(0, 2).map(({ first }) => first.block), [5, 6]);
    const bytes = encodeUnreadable(entries);
    assert(bytes.length <= (limits.bytes ?? MAX_DOCUMENT_BYTES) && entries.length <= (limits.elements ?? 5));
    assertEquals(decodeUnreadable(bytes).entries, entries);
  }
});

Deno.test("UnreadableList fits as many blocks apart that were never tried as it may have, and more", () => {
  // The numbers of the volume's last blocks are the longest.
  const start = 2 ** 27 - 2 * MAX_UNREADABLE_ENTRIES;
  const every = (count: number) => Array.from({ length: count }, (_, at) => start - 200 + 2 * at);
  const full = listOf(every(MAX_UNREADABLE_ENTRIES - 1), {});
  assertEquals([full.length, full.at(-1)!.first.reason], [MAX_UNREADABLE_ENTRIES - 1, "not_acquired"]);
  const over = listOf(every(MAX_UNREADABLE_ENTRIES + 100), {});
  assertEquals([over.length, over.at(-1)!.first.reason], [MAX_UNREADABLE_ENTRIES, "left_out"]);
  assertEquals(over.at(-1)!.blocks, 2 * 100 + 1);
  assert(encodeUnreadable(over).length <= MAX_DOCUMENT_BYTES);
});

Deno.test("UnreadableComparison accepts in a range that was left out what segments say, up to its two ends", () => {
  const entries = listOf([0, 3, 5, 9], { elements: 2 });
  assertEquals(entries.map(({ first, blocks }) => [first.block, blocks]), [[0, 1], [3, 7]]);
  const difference = (unreadable: readonly number[]) => {
    const states = Array.from(
      { length: 16 },
      (_, at) => plainBlock(unreadable.includes(at) ? "unreadable" : "zero"),
    );
    return new UnreadableComparison(entries).differenceIn(states, 0);
  };
  for (const same of [[0, 3, 5, 9], [0, 3, 9], [0, 3, 4, 5, 6, 7, 8, 9]]) {
    assertEquals(difference(same), undefined);
  }
  for (
    const [other, block] of [[[0, 5, 9], 3], [[0, 3, 5], 9], [[3, 5, 9], 0], [[0, 3, 9, 10], 10]] as const
  ) {
    assert(difference(other)?.startsWith(`Block ${block} is`), `${difference(other)}`);
  }
});

function session(startedAt: string, more: Partial<Session> = {}): Session {
  return { ...SESSION, startedAt, ...more };
}

Deno.test("fittingSessions() leaves out events and counts them, then words of commands, then sessions", () => {
  const event = { at: SESSION.startedAt, detail: "x".repeat(1000), kind: "wait", requestId: null } as const;
  const times = Array.from({ length: 40 }, (_, at) => new Date(at * 1000).toISOString());
  const sessions = times.map((time) =>
    session(time, {
      commandLine: new Array(256).fill("y".repeat(500)),
      events: new Array(40).fill(event),
      eventsLeftOut: 3,
    })
  );
  const whole = encodeSessions(sessions).length;
  const fit = (bytes: number) => {
    const fitting = fittingSessions(sessions, { bytes, elements: 100 });
    const encoded = encodeSessions(fitting);
    assert(encoded.length <= bytes, `${encoded.length} of ${bytes}`);
    assertEquals(decodeSessions(encoded), fitting);
    return fitting;
  };
  assertEquals(fit(whole + 200), sessions);
  const fewer = fit(whole - 40 * 30_000);
  assertEquals(
    fewer.map(({ events, eventsLeftOut }) => [events.length, eventsLeftOut]),
    new Array(40).fill([8, 35]),
  );
  const shorter = fit(40 * 8000);
  assertEquals(shorter.length, 40);
  assertEquals(shorter[0]!.commandLine.length, 17);
  assertEquals(shorter[0]!.commandLine.at(-1), "… and 240 more arguments");
  const some = fit(10 * 8000);
  assert(some.length > 5 && some.length < 40);
  assertEquals(some[0]!.startedAt, times[0]);
  assertEquals(some.slice(1).map(({ startedAt }) => startedAt), times.slice(41 - some.length));
});

Deno.test("fittingSessions() keeps no more sessions than a list may have", () => {
  const sessions = Array.from({ length: MAX_SESSIONS + 2 }, (_, at) => session(new Date(at).toISOString()));
  const fitting = fittingSessions(sessions);
  assert(fitting.length <= MAX_SESSIONS && encodeSessions(fitting).length <= MAX_DOCUMENT_BYTES);
  assertEquals([fitting[0], fitting.at(-1)], [sessions[0], sessions.at(-1)]);
});

Deno.test("Acquisition.commit() commits with more unreadable blocks than a list can tell all of", () =>
  withFolder(async (path) => {
    const indexes = Array.from({ length: 2400 }, (_, at) => 3 * at);
    const store = await openStoreForWriting(testWorld(), path);
    const acquisition = await store.begin({
      source: sourceOf(SNAPSHOT),
      shape: shapeOf(1 << 16),
      parent: undefined,
      supersedes: undefined,
    });
    await acquisition.startSession(STARTED, { counts: () => COUNTS, takeEvents: () => [] });
    for (const index of indexes) {
      await acquisition.putUnreadable(index, { kind: "unreadable", ...largest(index) });
    }
    await acquisition.noteListing(listingOf(indexes));
    const { id } = await acquisition.commit(FACTS);
    store.close();
    await readAgain(path, id);
    await reading(path, async (opened) => {
      const exhibit = await opened.exhibit(id);
      const listed = await exhibit.unreadable() ?? [];
      assertEquals(listed.map(({ first }) => first.block), indexes);
      assertEquals(new Set(listed.map(({ first }) => first.detail.length)), new Set([64]));
      const found: string[] = [];
      const { signal } = new AbortController();
      await opened.verify(exhibit, {
        level: "full",
        signal,
        onFinding: ({ message }) => found.push(message),
      });
      assertEquals(found, []);
    });
  }));
