/** The journal's codecs: what a crash tore is nothing, what is whole and unknown is refused. */
import { assert, assertEquals } from "@std/assert";
import { encodeHex } from "@std/encoding/hex";
import { crc32 } from "node:zlib";
import { encodeCanonicalJson } from "../../src/format/canonical_json.ts";
import {
  decodeJournalHead,
  decodeLogLine,
  decodeSlot,
  encodeJournalHead,
  encodeLogLine,
  encodeSlot,
  type JournalHead,
  MAX_JOURNAL_PACKS,
  type RecordedBlock,
  SLOT_BYTES,
} from "../../src/format/journal.ts";
import { plainBlock } from "../../src/format/segment.ts";
import { forRounds, pick } from "../seeded.ts";
import { assertRefused, bytesOf, digestOf, randomDigest, textOf } from "./refusals.ts";
import { JOURNAL_ENTRIES, JOURNAL_HEAD, RECIPIENTS, UNREADABLE, wrongRecipients } from "./samples.ts";

/** The block in the pack of this number. */
function storedIn(packNumber: number, digest = digestOf("a1")): RecordedBlock {
  return { state: "stored", digest, packNumber };
}

const PACK_NUMBERS = [0, 1, 255, 256, 0x123456, MAX_JOURNAL_PACKS - 1];
const STORED = storedIn(0x123456);
const STATES: readonly RecordedBlock[] = [
  plainBlock("absent"),
  plainBlock("zero"),
  plainBlock("unreadable"),
  ...PACK_NUMBERS.map((packNumber) => storedIn(packNumber)),
];

// ----------------------------------------------------------------------------------------------- head

const ENCRYPTED_HEAD: JournalHead = { ...JOURNAL_HEAD, mode: "encrypted", recipients: RECIPIENTS };

Deno.test("decodeJournalHead() gives back what encodeJournalHead() took, with a parent and without", () => {
  for (const head of [JOURNAL_HEAD, ENCRYPTED_HEAD, { ...JOURNAL_HEAD, parent: null, supersedes: null }]) {
    assertEquals(decodeJournalHead(encodeJournalHead(head), "head.json"), head);
  }
});

Deno.test("encodeJournalHead() writes nothing that could not be read again", () => {
  const set = { ...JOURNAL_HEAD.set!, snapshots: [] };
  assertRefused(
    () => encodeJournalHead({ ...JOURNAL_HEAD, set }),
    "integrity",
    "new journal",
    "its set has no",
  );
  assertRefused(
    () => encodeJournalHead({ ...ENCRYPTED_HEAD, recipients: null }),
    "format",
    "with no recipients",
  );
});

Deno.test("decodeJournalHead() refuses members that are missing, unknown, or wrong, and volumes that cannot be", () => {
  const refused = (head: object, ...parts: string[]) => {
    const bytes = encodeCanonicalJson(head);
    assertRefused(() => decodeJournalHead(bytes, "head.json"), "format", "Cannot read head.json", ...parts);
  };
  for (const member of Object.keys(JOURNAL_HEAD)) {
    const copy: Record<string, unknown> = { ...JOURNAL_HEAD };
    delete copy[member];
    refused(copy, `head.json.${member}: is nothing`);
    refused({ ...JOURNAL_HEAD, [member]: [] }, `head.json.${member}`);
  }
  refused({ ...JOURNAL_HEAD, note: 1 }, "head.json.note", "expected no such member");
  for (const version of [0, 2]) refused({ ...JOURNAL_HEAD, version }, `head.json.version: is ${version}`);
  refused({ ...JOURNAL_HEAD, mode: "age" }, "head.json.mode");
  for (const [place, recipients] of wrongRecipients()) {
    refused({ ...ENCRYPTED_HEAD, recipients }, `head.json.${place}`);
  }
  refused({ ...ENCRYPTED_HEAD, recipients: null }, "is encrypted, with no recipients");
  refused({ ...ENCRYPTED_HEAD, mode: "plain" }, "is plain, with recipients");
  refused({ ...JOURNAL_HEAD, source: { ...JOURNAL_HEAD.source, kind: "disk" } }, "head.json.source.kind");
  const volume = { ...JOURNAL_HEAD.volume, blockCount: 16_383 };
  refused({ ...JOURNAL_HEAD, volume }, "head.json.volume: block count is 16383, expected 16384");
  assertRefused(
    () => decodeJournalHead(new Uint8Array(327_681), "head.json"),
    "format",
    "at most 327680 are allowed",
  );
});

// ------------------------------------------------------------------------------------------ block map

Deno.test("decodeSlot() gives back what encodeSlot() took, at the edges of a volume", () => {
  for (const index of [0, 1, 16_383, 16_384, 2 ** 27 - 1]) {
    for (const block of STATES) {
      const slot = encodeSlot(index, block);
      assertEquals(slot.length, SLOT_BYTES);
      assertEquals(decodeSlot(slot, index), block);
    }
  }
  forRounds(300, (below) => {
    const index = below(2 ** 27);
    const block = below(2) === 0
      ? pick(below, STATES)
      : storedIn(below(MAX_JOURNAL_PACKS), randomDigest(below));
    const file = new Uint8Array(3 * SLOT_BYTES).fill(below(256));
    file.set(encodeSlot(index, block), SLOT_BYTES);
    assertEquals(decodeSlot(file.subarray(SLOT_BYTES, 2 * SLOT_BYTES), index), block);
  });
});

Deno.test("encodeSlot() lays its fields out as store-format.md says", () => {
  const slot = encodeSlot(7, STORED);
  const whole = new Uint8Array([7, 0, 0, 0, ...slot]);
  whole.fill(0, 8, 12);
  const checksum = new DataView(slot.buffer).getUint32(4, true);
  assertEquals([...slot.subarray(0, 4)], [3, 0x56, 0x34, 0x12]);
  assertEquals(encodeHex(slot.subarray(8)), digestOf("a1"));
  assertEquals(checksum, crc32(whole));
  // Slot 2 of the worked example: a zero block.
  assertEquals(encodeHex(encodeSlot(2, plainBlock("zero"))), `0200000017348c52${"00".repeat(32)}`);
});

Deno.test("encodeSlot() puts a pack's number into bytes 1 to 3, and refuses one that they cannot hold", () => {
  assertEquals(MAX_JOURNAL_PACKS, 16_777_216);
  const places: [number, number[]][] = [
    [0, [0, 0, 0]],
    [1, [1, 0, 0]],
    [256, [0, 1, 0]],
    [2 ** 16, [0, 0, 1]],
    [2 ** 24 - 1, [0xff, 0xff, 0xff]],
  ];
  for (const [packNumber, bytes] of places) {
    const slot = encodeSlot(7, storedIn(packNumber));
    assertEquals([...slot.subarray(0, 4)], [3, ...bytes]);
    assertEquals(decodeSlot(slot, 7), storedIn(packNumber));
  }
  for (const packNumber of [2 ** 24, 2 ** 24 + 1, 2 ** 32, Number.MAX_SAFE_INTEGER]) {
    const parts = ["Cannot record block 7", "16777216 packs"] as const;
    assertRefused(() => encodeSlot(7, storedIn(packNumber)), "storage", ...parts);
  }
});

Deno.test("decodeSlot() takes an empty slot for nothing recorded", () => {
  for (const index of [0, 1, 2 ** 27 - 1]) {
    assertEquals(decodeSlot(new Uint8Array(SLOT_BYTES), index), undefined);
  }
});

Deno.test("decodeSlot() detects every flip of one bit", () => {
  for (const block of STATES) {
    for (let bit = 0; bit < SLOT_BYTES * 8; bit++) {
      const slot = encodeSlot(123_456, block);
      slot[bit >> 3]! ^= 1 << (bit & 7);
      assertEquals(decodeSlot(slot, 123_456), undefined, `${block.state}, bit ${bit}`);
    }
  }
});

Deno.test("decodeSlot() takes a slot of another block for nothing", () => {
  for (const block of STATES) {
    const slot = encodeSlot(5, block);
    for (const index of [0, 4, 6, 5 + 256, 5 + 2 ** 24]) assertEquals(decodeSlot(slot, index), undefined);
  }
});

Deno.test("decodeSlot() takes a slot that was torn at any byte for nothing", () => {
  const before = encodeSlot(9, STORED);
  const after = encodeSlot(9, storedIn(0x654321, digestOf("b2")));
  for (let at = 1; at < SLOT_BYTES; at++) {
    const ontoEmpty = new Uint8Array(SLOT_BYTES);
    ontoEmpty.set(after.subarray(0, at));
    assertEquals(decodeSlot(ontoEmpty, 9), undefined, `${at} bytes onto an empty slot`);
    const ontoOld = new Uint8Array(before);
    ontoOld.set(after.subarray(0, at));
    // The first bytes are those of the slot before, so a tear among them leaves that one whole.
    const expected = encodeHex(ontoOld) === encodeHex(before) ? STORED : undefined;
    assertEquals(decodeSlot(ontoOld, 9), expected, `${at} bytes onto another slot`);
  }
  for (let length = 0; length < SLOT_BYTES; length++) {
    assertEquals(decodeSlot(after.subarray(0, length), 9), undefined);
  }
});

/** A slot with `values` at `offset` and the CRC for it. */
function slotSaying(block: RecordedBlock, offset: number, values: readonly number[]): Uint8Array {
  const slot = encodeSlot(9, block);
  slot.set(values, offset);
  slot.fill(0, 4, 8);
  new DataView(slot.buffer).setUint32(4, crc32(new Uint8Array([9, 0, 0, 0, ...slot])), true);
  return slot;
}

Deno.test("decodeSlot() takes no slot that encodeSlot() would not write, its CRC being right", () => {
  assertEquals(decodeSlot(slotSaying(STORED, 8, [0xff]), 9)?.state, "stored");
  for (const state of [0, 5, 6, 128, 255]) {
    assertEquals(decodeSlot(slotSaying(STORED, 0, [state]), 9), undefined);
  }
  assertEquals(decodeSlot(slotSaying(STORED, 1, [1, 2, 3]), 9), storedIn(0x030201));
  for (const block of STATES) {
    if (block.state === "stored") continue;
    for (const at of [1, 2, 3]) {
      assertEquals(decodeSlot(slotSaying(block, at, [1]), 9), undefined, `pack number, byte ${at}`);
    }
    for (const at of [8, 39]) {
      assertEquals(decodeSlot(slotSaying(block, at, [1]), 9), undefined, `digest ${at}`);
    }
  }
});

// ------------------------------------------------------------------------------------------------ log

/** The line of this text with the right CRC and without its newline. */
function lineOf(json: string | Uint8Array): Uint8Array {
  const bytes = typeof json === "string" ? bytesOf(json) : json;
  return new Uint8Array([...bytesOf(`${crc32(bytes).toString(16).padStart(8, "0")} `), ...bytes]);
}

Deno.test("decodeLogLine() gives back what encodeLogLine() took, for an entry of each type", () => {
  for (const entry of JOURNAL_ENTRIES) {
    const line = encodeLogLine(entry);
    assertEquals(line.at(-1), 0x0a);
    assertEquals(line.indexOf(0x0a), line.length - 1);
    assertEquals(line.subarray(0, -1), lineOf(encodeCanonicalJson(entry)));
    assertEquals(decodeLogLine(line.subarray(0, -1), "log, line 1"), entry);
  }
});

Deno.test("decodeLogLine() gives back random flushes", () => {
  const [, , flush] = JOURNAL_ENTRIES;
  assert(flush?.type === "flush");
  forRounds(60, (below) => {
    const packs = Array.from(
      { length: below(64) },
      (_, pack) => ({ name: `packs/${pack}`, sizeBytes: 1 + below(1e9) }),
    );
    const segments = Array.from({ length: below(40) }, () => below(8192));
    const unreadable = Array.from({ length: below(4) }, () => ({ ...UNREADABLE, block: below(2 ** 27) }));
    const packsBefore = below(MAX_JOURNAL_PACKS + 1);
    const entry = { ...flush, packs, packsBefore, segments, unreadable, usedPacks: packs.slice(below(64)) };
    assertEquals(decodeLogLine(encodeLogLine(entry).subarray(0, -1), "log, line 1"), entry);
  });
});

Deno.test("encodeLogLine() pads its CRC to eight digits", () => {
  const padded = Array.from(
    { length: 200 },
    (_, blocks) => encodeLogLine({ blocks, digest: digestOf("6a"), type: "listing" }),
  )
    .filter((line) => textOf(line).startsWith("0"));
  assert(padded.length > 0);
  for (const line of padded) {
    assertEquals(line[8], 0x20);
    assertEquals(decodeLogLine(line.subarray(0, -1), "log, line 1")?.type, "listing");
  }
});

Deno.test("decodeLogLine() takes a line that was torn at any byte for nothing", () => {
  for (const entry of JOURNAL_ENTRIES) {
    const line = encodeLogLine(entry);
    for (let length = 0; length < line.length - 1; length++) {
      assertEquals(
        decodeLogLine(line.subarray(0, length), "log, line 1"),
        undefined,
        `${entry.type}, ${length} bytes`,
      );
    }
    // The size was durable, the data not: zeros to the end.
    for (let length = 0; length < line.length - 1; length += 7) {
      const zeroed = line.slice(0, -1).fill(0, length);
      assertEquals(decodeLogLine(zeroed, "log, line 1"), undefined, `${entry.type}, zeros from ${length}`);
    }
  }
});

Deno.test("decodeLogLine() detects every flip of one bit", () => {
  const [, listing] = JOURNAL_ENTRIES;
  const line = encodeLogLine(listing!).subarray(0, -1);
  for (let bit = 0; bit < line.length * 8; bit++) {
    const flipped = line.slice();
    flipped[bit >> 3]! ^= 1 << (bit & 7);
    assertEquals(decodeLogLine(flipped, "log, line 1"), undefined, `bit ${bit}`);
  }
});

Deno.test("decodeLogLine() takes a line with another line's CRC for nothing", () => {
  const lines = JOURNAL_ENTRIES.map((entry) => encodeLogLine(entry).subarray(0, -1));
  for (const [at, line] of lines.entries()) {
    const other = lines[(at + 1) % lines.length]!;
    assertEquals(
      decodeLogLine(new Uint8Array([...other.subarray(0, 9), ...line.subarray(9)]), "log"),
      undefined,
    );
  }
  const upper = textOf(lines[0]!).slice(0, 8).toUpperCase();
  if (upper !== textOf(lines[0]!).slice(0, 8)) {
    assertEquals(
      decodeLogLine(new Uint8Array([...bytesOf(upper), ...lines[0]!.subarray(8)]), "log"),
      undefined,
    );
  }
});

Deno.test("decodeLogLine() refuses a line that is whole and still no entry", () => {
  const faults: [string, string][] = [
    ['{"type":"merge"}', 'log, line 3: has the unknown type "merge"'],
    ['{"type":"toString"}', 'has the unknown type "toString"'],
    ['{"type":7}', "has the unknown type 7"],
    ["{}", "has the unknown type nothing"],
    ["null", "has the unknown type"],
    ["[]", "has the unknown type"],
    ['{"reason":"a","type":"parent_dropped","zeal":1}', "log, line 3.zeal"],
    ['{"type":"parent_dropped"}', "log, line 3.reason"],
    ['{"reason": "a","type":"parent_dropped"}', "canonical JSON"],
    ['{"reason":"a","type":"parent_dropped"}\r', "canonical JSON"],
    ["{", "not JSON"],
    ["\0", "not JSON"],
  ];
  for (const [json, fault] of faults) {
    assertRefused(
      () => decodeLogLine(lineOf(json), "log, line 3"),
      "format",
      "Cannot read log, line 3",
      fault,
    );
  }
  const long = lineOf(`{"type":"${"x".repeat(10_000)}"}`);
  try {
    decodeLogLine(long, "log, line 3");
    throw new Error("accepted");
  } catch (error) {
    assert(error instanceof Error && error.message.length < 200, (error as Error).message.slice(0, 200));
  }
});

Deno.test("decodeLogLine() refuses members beyond their limits, naming the place", () => {
  const [, , flush] = JOURNAL_ENTRIES;
  const faults: [object, string][] = [
    [{ packs: new Array(65).fill({ name: "a", sizeBytes: 1 }) }, "log.packs"],
    [{ packs: [{ name: "a", sizeBytes: 0 }] }, "log.packs[0].sizeBytes: is 0"],
    [{ segments: [-1] }, "log.segments[0]"],
    [{ segments: [0.5] }, "log.segments[0]"],
    [{ unreadable: [{ ...UNREADABLE, block: 2 ** 27 }] }, "log.unreadable[0].block"],
    [{ counts: {} }, "log.counts.clockSkewMs"],
    [{ packsBefore: -1 }, "log.packsBefore: is -1"],
    [{ packsBefore: 2 ** 24 + 1 }, "log.packsBefore: is 16777217"],
    [{ packsBefore: "3" }, "log.packsBefore"],
  ];
  for (const [fault, place] of faults) {
    const line = lineOf(encodeCanonicalJson({ ...flush, ...fault }));
    assertRefused(() => decodeLogLine(line, "log"), "format", place);
  }
});
