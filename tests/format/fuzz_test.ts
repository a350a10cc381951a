/**
 * Every decoder gets valid inputs with seeded damage, 20,000 in all, and may only give a value or refuse it with
 * `format` or `integrity`: no other error, no crash, and what it gives must be written as it was read.
 */
import { assert, assertEquals } from "@std/assert";
import { crc32 } from "node:zlib";
import { packBlock, unpackBlock } from "../../src/cipher.ts";
import { OperatorError } from "../../src/errors.ts";
import { sha256 } from "../../src/format/digests.ts";
import * as documents from "../../src/format/documents.ts";
import { decodeInventory, encodeInventory } from "../../src/format/inventory.ts";
import * as journal from "../../src/format/journal.ts";
import { decodeManifest, encodeManifest } from "../../src/format/manifest.ts";
import * as pack from "../../src/format/pack.ts";
import { decodeSegment, encodeSegment, plainBlock } from "../../src/format/segment.ts";
import { decodeStoreFile, encodeStoreFile } from "../../src/format/store_file.ts";
import { type Below, forRounds, pick } from "../seeded.ts";
import { bytesOf, digestOf } from "./refusals.ts";
import * as samples from "./samples.ts";

const INPUTS = 20_000;

interface Target {
  readonly name: string;
  readonly valid: readonly Uint8Array[];
  /** Puts right what guards the bytes (CRC, digest), so that damage gets past it. */
  readonly mend?: (bytes: Uint8Array) => Uint8Array;
  /** Reads `bytes`; gives them as they are written again, `undefined` where there is no encoder for it. */
  readonly reread: (bytes: Uint8Array) => Uint8Array | undefined;
}

const RECORD: pack.PackRecord = {
  codec: "zstd",
  blockBytes: 4096,
  storedBytes: 99,
  blockIndex: 7,
  digest: digestOf("a1"),
};
const ENTRIES: pack.FooterEntry[] = [
  { digest: digestOf("a1"), offset: 16, storedBytes: 99 },
  { digest: digestOf("b2"), offset: 171, storedBytes: 512 },
];
const FOOTER = pack.encodePackFooter(ENTRIES);
const PACK_SIZE = 171 + 56 + 512 + FOOTER.length;
const SEGMENT = encodeSegment([
  { state: "stored", digest: digestOf("a1") },
  plainBlock("zero"),
  plainBlock("absent"),
  plainBlock("absent"),
  plainBlock("unreadable"),
]);
const BLOCK = bytesOf("0123456789abcde\n".repeat(256));

function mendRecord(bytes: Uint8Array): Uint8Array {
  if (bytes.length < 56) return bytes;
  const fields = new DataView(bytes.buffer);
  fields.setUint32(20, 0, true);
  fields.setUint32(20, crc32(bytes.subarray(0, 56)), true);
  return bytes;
}

function mendFooter(bytes: Uint8Array): Uint8Array {
  if (bytes.length < 48) return bytes;
  const digest = sha256(bytes.subarray(0, -48));
  for (let at = 0; at < 32; at++) {
    bytes[bytes.length - 40 + at] = parseInt(digest.slice(2 * at, 2 * at + 2), 16);
  }
  return bytes;
}

function mendLine(bytes: Uint8Array): Uint8Array {
  if (bytes.length >= 9) bytes.set(bytesOf(`${crc32(bytes.subarray(9)).toString(16).padStart(8, "0")} `));
  return bytes;
}

const TARGETS: readonly Target[] = [
  {
    name: "pack header",
    valid: [pack.encodePackHeader()],
    reread: (bytes) => {
      pack.checkPackHeader(bytes, "p");
      return undefined;
    },
  },
  {
    name: "record header",
    valid: [
      pack.encodeRecordHeader(RECORD),
      pack.encodeRecordHeader({ ...RECORD, codec: "raw", storedBytes: 4096 }),
    ],
    mend: mendRecord,
    reread: (bytes) => {
      const record = pack.decodeRecordHeader(bytes, { name: "p", offset: 16 });
      return bytes.length === 56 ? pack.encodeRecordHeader(record) : undefined;
    },
  },
  {
    name: "pack footer",
    valid: [FOOTER, pack.encodePackFooter([])],
    mend: mendFooter,
    reread: (bytes) => {
      const at = Math.max(0, bytes.length - 48);
      const sizeBytes = bytes.length === FOOTER.length ? PACK_SIZE : 16 + bytes.length;
      const trailer = pack.decodePackTrailer(bytes.subarray(at), { name: "p", sizeBytes });
      return pack.encodePackFooter(pack.decodePackFooter(bytes.subarray(0, at), { ...trailer, name: "p" }));
    },
  },
  {
    name: "zstd record",
    valid: [packBlock(BLOCK).stored, packBlock(new Uint8Array(4096)).stored],
    reread: (bytes) => {
      assertEquals(unpackBlock(bytes, { codec: "zstd", blockBytes: 4096 }).length, 4096);
      return undefined;
    },
  },
  {
    name: "segment",
    valid: [SEGMENT],
    reread: (bytes) =>
      encodeSegment(decodeSegment(bytes, { name: "segment", blockCount: 5, blockSizeBytes: 512 })),
  },
  {
    name: "manifest",
    valid: [encodeManifest(samples.manifestOf(9))],
    reread: (bytes) => encodeManifest(decodeManifest(bytes)),
  },
  {
    name: "store file",
    valid: [
      encodeStoreFile(samples.STORE_FILE),
      encodeStoreFile({ ...samples.STORE_FILE, mode: "encrypted", recipients: samples.RECIPIENTS }),
    ],
    reread: (bytes) => encodeStoreFile(decodeStoreFile(bytes, "store.json")),
  },
  {
    name: "inventory",
    valid: [encodeInventory(samples.INVENTORY), encodeInventory({ ...samples.INVENTORY, map: null })],
    reread: (bytes) => encodeInventory(decodeInventory(bytes)),
  },
  {
    name: "unreadable blocks",
    valid: [documents.encodeUnreadable([{ blocks: 1, first: samples.UNREADABLE }])],
    reread: (bytes) => documents.encodeUnreadable(documents.decodeUnreadable(bytes).entries),
  },
  {
    name: "sessions",
    valid: [documents.encodeSessions([samples.SESSION])],
    reread: (bytes) => documents.encodeSessions(documents.decodeSessions(bytes)),
  },
  {
    name: "side document",
    valid: [
      documents.encodeDescription({
        answer: { a: [1, null, "x"] },
        receivedAt: "2026-01-02T03:04:05.678Z",
        requestId: null,
      }),
      documents.encodeSessions([]),
      documents.encodeUnreadable([]),
    ],
    reread: (bytes) => {
      documents.checkDocument(bytes, "document");
      return undefined;
    },
  },
  {
    name: "journal head",
    valid: [
      journal.encodeJournalHead(samples.JOURNAL_HEAD),
      journal.encodeJournalHead({
        ...samples.JOURNAL_HEAD,
        mode: "encrypted",
        recipients: samples.RECIPIENTS,
      }),
    ],
    reread: (bytes) => journal.encodeJournalHead(journal.decodeJournalHead(bytes, "head.json")),
  },
  {
    name: "log line",
    valid: samples.JOURNAL_ENTRIES.map((entry) => journal.encodeLogLine(entry).subarray(0, -1)),
    mend: mendLine,
    reread: (bytes) => {
      const entry = journal.decodeLogLine(bytes, "log");
      return entry && journal.encodeLogLine(entry).subarray(0, -1);
    },
  },
  {
    name: "slot",
    valid: [
      journal.encodeSlot(7, { state: "stored", digest: digestOf("a1"), packNumber: 0 }),
      journal.encodeSlot(7, { state: "stored", digest: digestOf("a1"), packNumber: 0x123456 }),
      journal.encodeSlot(7, plainBlock("zero")),
    ],
    reread: (bytes) => {
      const block = journal.decodeSlot(bytes, 7);
      return block && journal.encodeSlot(7, block);
    },
  },
];

const SNIPPETS = [
  "null",
  "{}",
  "[",
  '"',
  ",",
  ":",
  "0",
  "-1",
  "1e999",
  "\\ud800",
  "__proto__",
  "\n",
  "../",
  "\ufeff",
];

/** A copy of `bytes` with one piece of damage. */
function damaged(below: Below, bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const at = below(bytes.length + 1);
  const end = Math.min(bytes.length, at + 1 + below(pick(below, [1, 4, 40])));
  const [before, piece, after] = [bytes.subarray(0, at), bytes.subarray(at, end), bytes.subarray(end)];
  switch (below(9)) {
    case 0:
      return new Uint8Array(before);
    case 1:
      return new Uint8Array([...before, ...after]);
    case 2:
      return new Uint8Array([...before, ...piece, ...piece, ...after]);
    case 3:
      return new Uint8Array([...before, ...bytesOf(pick(below, SNIPPETS)), ...piece, ...after]);
    case 4:
      return new Uint8Array([...before, ...bytesOf(pick(below, SNIPPETS)), ...after]);
    case 5:
      return new Uint8Array([...before, ...piece.map(() => pick(below, [0, 0xff, below(256)])), ...after]);
    case 6: // Digits and letters of a document: another number, another name.
      return Uint8Array.from(bytes, (byte, offset) => offset === at ? byte ^ 1 : byte);
    case 7:
      return Uint8Array.from(bytes, (byte, offset) => offset === at ? byte ^ 1 << below(8) : byte);
    default:
      return new Uint8Array([...bytes, ...piece]);
  }
}

/** What became of `bytes`: given, with what is written for it, or refused. Any other end is thrown. */
function outcome(target: Target, bytes: Uint8Array): "given" | "refused" {
  let again: Uint8Array | undefined;
  try {
    again = target.reread(bytes.slice());
  } catch (error) {
    if (error instanceof OperatorError && (error.code === "format" || error.code === "integrity")) {
      assert(error.message.startsWith("Cannot ") && error.message.length < 2000, error.message.slice(0, 200));
      return "refused";
    }
    throw new Error(`${target.name}, input ${bytes.toHex()}`, { cause: error });
  }
  if (again) assertEquals(again.toHex(), bytes.toHex(), `${target.name} gives what it would not write`);
  return "given";
}

Deno.test("every decoder gives back its valid inputs", () => {
  for (const target of TARGETS) {
    for (const bytes of target.valid) assertEquals(outcome(target, bytes), "given", target.name);
  }
});

Deno.test("every decoder only gives or refuses 20,000 damaged inputs, and gives nothing that it would not write", () => {
  const counts = { given: 0, refused: 0 };
  forRounds(INPUTS, (below, round) => {
    const target = TARGETS[round % TARGETS.length]!;
    let bytes = damaged(below, pick(below, target.valid));
    while (below(3) === 0) bytes = damaged(below, bytes);
    if (target.mend && below(2) === 0) bytes = new Uint8Array(target.mend(bytes));
    counts[outcome(target, bytes)]++;
  });
  assertEquals(counts.given + counts.refused, INPUTS);
  assert(counts.refused > INPUTS / 2 && counts.given > INPUTS / 100, JSON.stringify(counts));
});
