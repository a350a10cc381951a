/**
 * The journal: the mutable progress of one acquisition. A head that never changes, a block map of fixed
 * 40-byte slots, and a log of lines that only grows. Codecs only; the order of writes is in store/.
 *
 * @see store-format.md, "Journal"
 */
import { crc32 } from "node:zlib";
import { decodeHex, encodeHex } from "@std/encoding/hex";
import { OperatorError } from "../errors.ts";
import { type Digest, MAX_BLOCKS, SEGMENT_BLOCKS } from "../model.ts";
import { decodeCanonicalJson, encodeCanonicalJson } from "./canonical_json.ts";
import {
  descriptionFacts,
  MAX_SESSION_EVENTS,
  sessionCountsMember,
  sessionEventMember,
  sessionStartMember,
  unreadableMember,
} from "./documents.ts";
import { checkMode, FORMAT_VERSION, recipientsMember } from "./members.ts";
import { checkVolume, parentMember, snapshotMember, sourceMember, volumeMember } from "./manifest.ts";
import {
  arrayOf,
  type Check,
  type Checked,
  digest,
  exhibitId,
  integer,
  literal,
  nullable,
  object,
  text,
  time,
} from "./schema.ts";
import { plainBlock, type SegmentBlock } from "./segment.ts";
import { checkSet, setMember } from "./snapshot_set.ts";

// ----------------------------------------------------------------------------------------------- head

const headDocument = object({
  createdAt: time,
  exhibit: exhibitId,
  mode: literal("plain", "encrypted"),
  parent: nullable(parentMember),
  /** As in the store file: who can open what is written. */
  recipients: nullable(recipientsMember),
  set: nullable(setMember),
  source: sourceMember,
  supersedes: nullable(exhibitId),
  type: literal("coldcase-journal"),
  version: literal(FORMAT_VERSION),
  volume: volumeMember,
});

/** What an acquisition is of; a command that differs is refused. */
export type JournalHead = Checked<typeof headDocument>;

export const MAX_HEAD_BYTES = 327_680;

/** Canonical bytes of a journal's head. Throws where they would not be readable again. */
export function encodeJournalHead(head: JournalHead): Uint8Array<ArrayBuffer> {
  const bytes = encodeCanonicalJson(head);
  decodeJournalHead(bytes, "new journal");
  return bytes;
}

export function decodeJournalHead(bytes: Uint8Array, name: string): JournalHead {
  const head = decodeCanonicalJson(bytes, { name, maxBytes: MAX_HEAD_BYTES, check: headDocument });
  checkMode(head, name);
  checkVolume(head.volume, name);
  checkSet(head.set, head.source.snapshot, name);
  return head;
}

// ------------------------------------------------------------------------------------------ block map

/** A slot of the block map; slot `i` lies at byte `40 × i`. */
export const SLOT_BYTES = 40;

/** 0 is an empty slot: nothing recorded. `absent` is recorded only where a parent has the block. */
const SLOT_STATES = [undefined, "absent", "zero", "stored", "unreadable"] as const;

/** So many packs an acquisition may have: their numbers take 24 bits. At two a minute that is 16 years. */
export const MAX_JOURNAL_PACKS = 2 ** 24;

/** A block as a slot records it. */
export type RecordedBlock =
  /** `packNumber`: place of the pack that holds it among all that the log's `flush` lines name, from 0. */
  | (Extract<SegmentBlock, { readonly state: "stored" }> & { readonly packNumber: number })
  | Exclude<SegmentBlock, { readonly state: "stored" }>;

/** How many packs there must be for what a slot's first four bytes, as a number, say; 0 where they name none. */
export function packCountOf(start: number): number {
  return SLOT_STATES[start & 0xff] === "stored" ? (start >>> 8) + 1 : 0;
}

const scratch = new Uint8Array(4 + SLOT_BYTES);
const scratchView = new DataView(scratch.buffer);

/** CRC-32 over the block index and the slot with its CRC field zero: a slot of another block is no slot. */
function slotChecksum(slot: Uint8Array, blockIndex: number): number {
  scratchView.setUint32(0, blockIndex, true);
  scratch.set(slot, 4);
  scratchView.setUint32(8, 0, true);
  return crc32(scratch);
}

export function encodeSlot(blockIndex: number, block: RecordedBlock): Uint8Array<ArrayBuffer> {
  const slot = new Uint8Array(SLOT_BYTES);
  const fields = new DataView(slot.buffer);
  if (block.state === "stored") {
    if (block.packNumber >= MAX_JOURNAL_PACKS) {
      throw new OperatorError(
        "storage",
        `Cannot record block ${blockIndex}: its acquisition has ${MAX_JOURNAL_PACKS} packs`,
      );
    }
    fields.setUint32(0, block.packNumber << 8, true);
    slot.set(decodeHex(block.digest), 8);
  }
  slot[0] = SLOT_STATES.indexOf(block.state);
  fields.setUint32(4, slotChecksum(slot, blockIndex), true);
  return slot;
}

/**
 * What a slot records; `undefined` for an empty one, one that a crash tore, and one that `encodeSlot` would
 * not write: such a block is fetched again, nothing is lost but time.
 */
export function decodeSlot(slot: Uint8Array, blockIndex: number): RecordedBlock | undefined {
  const state = SLOT_STATES[slot[0] ?? 0];
  if (state === undefined || slot.length !== SLOT_BYTES) return undefined;
  const fields = new DataView(slot.buffer, slot.byteOffset, SLOT_BYTES);
  if (fields.getUint32(4, true) !== slotChecksum(slot, blockIndex)) return undefined;
  const digest = slot.subarray(8);
  const packNumber = fields.getUint32(0, true) >>> 8;
  if (state === "stored") return { state, digest: encodeHex(digest) as Digest, packNumber };
  // Whole, but not as this version writes it: what it means beyond its state is unknown, so it is nothing.
  return packNumber === 0 && digest.every((byte) => byte === 0) ? plainBlock(state) : undefined;
}

// ------------------------------------------------------------------------------------------------ log

const MAX_SEGMENTS = MAX_BLOCKS / SEGMENT_BLOCKS;

const packMember = object({ name: text(256), sizeBytes: integer(1) });

const entries = {
  session_started: object({ session: sessionStartMember, type: literal("session_started") }),
  flush: object({
    /** Packs written since the flush before; durable under their names. */
    packs: arrayOf(packMember, 64),
    /** The session so far: what counts if it is killed now. */
    counts: sessionCountsMember,
    /** Since the line before. */
    events: arrayOf(sessionEventMember, MAX_SESSION_EVENTS),
    /** So many packs the lines before name: numbers in slots mean others where one of those lines is gone. */
    packsBefore: integer(0, MAX_JOURNAL_PACKS),
    /** Segments with a slot written after this line. */
    segments: arrayOf(integer(0, MAX_SEGMENTS - 1), MAX_SEGMENTS),
    type: literal("flush"),
    unreadable: arrayOf(unreadableMember, 1 << 16),
    /** Packs of other exhibits that hold blocks of this one. */
    usedPacks: arrayOf(packMember, 1 << 16),
  }),
  /** What the service said of the snapshot: the last such line counts where a later session is told nothing. */
  description: object({ ...descriptionFacts, snapshot: snapshotMember, type: literal("description") }),
  /** A listing that was read to its end: number of blocks, SHA-256 of their indexes as 32-bit LE numbers. */
  listing: object({ blocks: integer(0), digest, type: literal("listing") }),
  session_ended: object({
    counts: sessionCountsMember,
    endedAt: time,
    events: arrayOf(sessionEventMember, MAX_SESSION_EVENTS),
    outcome: text(64),
    type: literal("session_ended"),
  }),
  parent_dropped: object({ reason: text(), type: literal("parent_dropped") }),
};

type Entries = typeof entries;
export type JournalEntry = { [K in keyof Entries]: Checked<Entries[K]> }[keyof Entries];
export type DescriptionEntry = Checked<Entries["description"]>;
export type FlushEntry = Checked<Entries["flush"]>;

const entryCheck: Check<JournalEntry> = (value, place) => {
  const type = (value as { type?: unknown } | null)?.type;
  const check = typeof type === "string" && Object.hasOwn(entries, type)
    ? entries[type as keyof Entries] as Check<JournalEntry>
    : undefined;
  if (!check) {
    const shown = (JSON.stringify(type) ?? "nothing").slice(0, 80);
    throw new OperatorError("format", `Cannot read ${place}: has the unknown type ${shown}`);
  }
  return check(value, place);
};

/** The most bytes of a line. */
export const MAX_LOG_LINE_BYTES = 64 * 1024 * 1024;

/** So many unreadable blocks fit into a line, however long their texts are: 31 KB each at the most. */
const UNREADABLE_OF_LINE = 1024;
const USED_PACKS_OF_LINE = 4096;

/** A flush as lines that a reader takes, one or more; only the first says more than its lists. */
export function splitFlush(flush: FlushEntry): FlushEntry[] {
  const { unreadable, usedPacks } = flush;
  const count = Math.max(
    1,
    Math.ceil(unreadable.length / UNREADABLE_OF_LINE),
    Math.ceil(usedPacks.length / USED_PACKS_OF_LINE),
  );
  return Array.from({ length: count }, (_, line) => ({
    ...flush,
    ...(line > 0 && { events: [], packs: [], segments: [] }),
    unreadable: unreadable.slice(line * UNREADABLE_OF_LINE, (line + 1) * UNREADABLE_OF_LINE),
    usedPacks: usedPacks.slice(line * USED_PACKS_OF_LINE, (line + 1) * USED_PACKS_OF_LINE),
  }));
}

/**
 * One line: CRC-32 of the JSON in eight hexadecimal digits, a space, the JSON, a newline.
 * Throws `format` where `decodeLogLine` would not take it.
 */
export function encodeLogLine(entry: JournalEntry): Uint8Array<ArrayBuffer> {
  const json = encodeCanonicalJson(entry);
  const prefix = new TextEncoder().encode(`${crc32(json).toString(16).padStart(8, "0")} `);
  const line = new Uint8Array(prefix.length + json.length + 1);
  line.set(prefix);
  line.set(json, prefix.length);
  line[line.length - 1] = 0x0a;
  decodeLogLine(line.subarray(0, -1), "new line of the log");
  return line;
}

/**
 * The entry of a line without its newline; `undefined` where the CRC does not match: a crash tore the line,
 * and with it ends what the log tells.
 *
 * Throws `format` where the line is whole and still not an entry.
 */
export function decodeLogLine(line: Uint8Array, name: string): JournalEntry | undefined {
  if (line.length < 10 || line[8] !== 0x20) return undefined;
  const json = line.subarray(9);
  const checksum = String.fromCharCode(...line.subarray(0, 8));
  if (checksum !== crc32(json).toString(16).padStart(8, "0")) return undefined;
  return decodeCanonicalJson(json, { name, maxBytes: MAX_LOG_LINE_BYTES, check: entryCheck });
}
