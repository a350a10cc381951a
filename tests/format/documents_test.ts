/** Side documents: unreadable blocks, sessions, the service's description; given back, or refused by place. */
import { assertEquals } from "@std/assert";
import { encodeCanonicalJson } from "../../src/format/canonical_json.ts";
import {
  checkDocument,
  decodeDescription,
  decodeSessions,
  decodeUnreadable,
  encodeDescription,
  encodeSessions,
  encodeUnreadable,
  MAX_DOCUMENT_BYTES,
  type Session,
  type UnreadableDocument,
} from "../../src/format/documents.ts";
import { forRounds, pick } from "../seeded.ts";
import { assertRefused, bytesOf, textOf } from "./refusals.ts";
import { SESSION, UNREADABLE } from "./samples.ts";

const REASONS = ["checksum", "length", "service", "not_acquired", "doubled", "file", "no_file"] as const;

Deno.test("decodeUnreadable() gives back what encodeUnreadable() took", () => {
  forRounds(60, (below) => {
    let block = below(1000);
    const entries: UnreadableDocument["entries"] = Array.from({ length: below(8) }, () => {
      const reason = pick(below, REASONS);
      const blocks = reason === "not_acquired" || reason === "no_file" ? 1 + below(10_000) : 1;
      const requestIds = Array.from({ length: pick(below, [0, 1, 16]) }, (_, id) => `request-${id}`);
      const first = {
        attempts: below(9),
        block,
        detail: "x".repeat(pick(below, [0, 1024])),
        reason,
        requestIds,
      };
      block += blocks + below(100);
      return { blocks, first };
    });
    const bytes = encodeUnreadable(entries);
    assertEquals(decodeUnreadable(bytes).entries, entries);
    assertEquals(encodeUnreadable(decodeUnreadable(bytes).entries), bytes);
    checkDocument(bytes, "document 1");
  });
});

Deno.test("decodeUnreadable() refuses entries beyond their limits, naming the entry", () => {
  const faults: [object, string][] = [
    [{ block: -1 }, "first.block"],
    [{ block: 2 ** 27 }, "first.block"],
    [{ attempts: -1 }, "first.attempts"],
    [{ reason: "bad" }, "first.reason"],
    [{ detail: "x".repeat(1025) }, "first.detail"],
    [{ requestIds: new Array(17).fill("a") }, "first.requestIds"],
    [{ requestIds: ["x".repeat(257)] }, "first.requestIds[0]"],
    [{ note: 1 }, "first.note"],
  ];
  const encode = (entry: object) =>
    encodeCanonicalJson({ entries: [entry], type: "coldcase-unreadable", version: 1 });
  for (const [fault, place] of faults) {
    const bytes = encode({ blocks: 1, first: { ...UNREADABLE, ...fault } });
    assertRefused(() => decodeUnreadable(bytes), "format", `list of unreadable blocks.entries[0].${place}`);
  }
  for (const blocks of [0, -1, 0.5, 2 ** 27 + 1]) {
    const bytes = encode({ blocks, first: UNREADABLE });
    assertRefused(() => decodeUnreadable(bytes), "format", "entries[0].blocks");
  }
  assertEquals(
    decodeUnreadable(encode({ blocks: 1, first: { ...UNREADABLE, block: 2 ** 27 - 1 } })).entries.length,
    1,
  );
});

Deno.test("decodeSessions() gives back what encodeSessions() took", () => {
  forRounds(60, (below) => {
    const sessions: Session[] = Array.from({ length: below(6) }, () => ({
      ...SESSION,
      callerArn: pick(below, [null, SESSION.callerArn]),
      commandLine: Array.from(
        { length: below(4) },
        () => pick(below, ["", "--case", "Fäll 7", "x".repeat(8192)]),
      ),
      clockSkewMs: pick(below, [null, 0, -below(1e9), below(1e9)]),
      endedAt: pick(below, [null, SESSION.endedAt]),
      outcome: pick(below, [null, "committed", "interrupted"]),
      fetchedBlocks: below(2 ** 27),
      receivedBytes: Number.MAX_SAFE_INTEGER - below(1000),
    }));
    const bytes = encodeSessions(sessions);
    assertEquals(decodeSessions(bytes), sessions);
    assertEquals(encodeSessions(decodeSessions(bytes)), bytes);
    checkDocument(bytes, "document 1");
  });
});

Deno.test("decodeSessions() refuses a session without, with another, or with a wrong member", () => {
  const encode = (session: object) =>
    encodeCanonicalJson({ sessions: [session], type: "coldcase-sessions", version: 1 });
  for (const member of Object.keys(SESSION)) {
    const copy: Record<string, unknown> = { ...SESSION };
    delete copy[member];
    const place = `list of sessions.sessions[0].${member}`;
    assertRefused(() => decodeSessions(encode(copy)), "format", `${place}: is nothing`);
    assertRefused(() => decodeSessions(encode({ ...SESSION, [member]: [{}] })), "format", place);
  }
  assertRefused(() => decodeSessions(encode({ ...SESSION, note: "" })), "format", "sessions[0].note");
  for (const receivedBytes of [-1, 0.5, 2 ** 53]) {
    assertRefused(() => decodeSessions(encode({ ...SESSION, receivedBytes })), "format", "receivedBytes");
  }
});

Deno.test("encodeDescription() keeps the service's own names, writes dates as text", () => {
  const answer = {
    SnapshotId: "snap-01234567",
    StartTime: new Date("2026-01-02T03:04:05.678Z"),
    Progress: "100%",
    VolumeSize: 8,
    Tags: [{ Key: "Näme", Value: "" }],
    KmsKeyId: undefined,
    Rate: 0.5,
  };
  const bytes = encodeDescription({ answer, receivedAt: "2026-01-02T03:04:06.000Z", requestId: "r-1" });
  assertEquals(
    textOf(bytes),
    '{"answer":{"Progress":"100%","Rate":0.5,"SnapshotId":"snap-01234567","StartTime":"2026-01-02T03:04:05.678Z",' +
      '"Tags":[{"Key":"Näme","Value":""}],"VolumeSize":8},"receivedAt":"2026-01-02T03:04:06.000Z",' +
      '"requestId":"r-1","type":"coldcase-description","version":1}',
  );
  const decoded = decodeDescription(bytes);
  assertEquals(encodeDescription(decoded), bytes);
  checkDocument(bytes, "document 1");
});

Deno.test("decodeDescription() takes any answer, and refuses one without", () => {
  for (const answer of [null, 0, "", [], {}, { a: { b: [1.5, -0.25] } }]) {
    const bytes = encodeDescription({ answer, receivedAt: "2026-01-02T03:04:06.000Z", requestId: "r-1" });
    assertEquals(decodeDescription(bytes).answer, answer);
  }
  const without = {
    receivedAt: "2026-01-02T03:04:06.000Z",
    requestId: null,
    type: "coldcase-description",
    version: 1,
  };
  assertRefused(
    () => decodeDescription(encodeCanonicalJson(without)),
    "format",
    "description.answer: is nothing",
  );
  for (const requestId of [undefined, "x".repeat(257), 7]) {
    const { requestId: _, ...rest } = without;
    const wrong = { ...rest, answer: {}, ...(requestId !== undefined && { requestId }) };
    assertRefused(
      () => decodeDescription(encodeCanonicalJson(wrong)),
      "format",
      "description.requestId",
    );
  }
  const local = { ...without, answer: {}, receivedAt: "2026-01-02 03:04" };
  assertRefused(() => decodeDescription(encodeCanonicalJson(local)), "format", "description.receivedAt");
});

Deno.test("checkDocument() refuses documents of another type or a later version by name", () => {
  const faults: [unknown, string][] = [
    [{ entries: [], type: "coldcase-unreadable", version: 0 }, "document 1.version: is 0"],
    [{ list: [], type: "coldcase-sessions", version: 2 }, "document 1.version: is 2"],
    [{ answer: 1, type: "coldcase-description", version: 3 }, "document 1.version: is 3"],
    [{ runs: [], type: "coldcase-segment", version: 1 }, 'document 1.type: is "coldcase-segment"'],
    [{ type: "toString", version: 1 }, 'document 1.type: is "toString"'],
    [{ entries: [] }, "document 1"],
    [[], "document 1: is []"],
    [null, "document 1: is null"],
    ["coldcase-sessions", "document 1"],
  ];
  for (const [document, fault] of faults) {
    assertRefused(() => checkDocument(encodeCanonicalJson(document), "document 1"), "format", fault);
  }
  assertRefused(() => checkDocument(bytesOf("coldcase"), "document 1"), "format", "document 1: not JSON");
});

Deno.test("a decoder of one type refuses a sound document of another", () => {
  const unreadable = encodeUnreadable([{ blocks: 1, first: UNREADABLE }]);
  const sessions = encodeSessions([SESSION]);
  assertRefused(
    () => decodeSessions(unreadable),
    "format",
    'list of sessions.type: is "coldcase-unreadable"',
  );
  assertRefused(
    () => decodeUnreadable(sessions),
    "format",
    'list of unreadable blocks.type: is "coldcase-sessions"',
  );
  assertRefused(() => decodeDescription(sessions), "format", 'description.type: is "coldcase-sessions"');
});

Deno.test("checkDocument() refuses more than 64 MiB before it parses", () => {
  const bytes = new Uint8Array(MAX_DOCUMENT_BYTES + 1);
  assertRefused(() => checkDocument(bytes, "document 1"), "format", "at most 67108864 are allowed");
});
