/**
 * Reads packs: their entries by the footer or, where that is damaged, by walking from record header to
 * record header; and single blocks, whose digest is checked before anyone sees a byte.
 *
 * @see store-format.md, "Pack"
 */
import { Buffer } from "node:buffer";
import { unpackBlock } from "../cipher.ts";
import { messageOf, OperatorError } from "../errors.ts";
import { sha256 } from "../format/digests.ts";
import {
  checkPackHeader,
  decodePackFooter,
  decodePackTrailer,
  decodeRecordHeader,
  FOOTER_ENTRY_BYTES,
  type FooterEntry,
  MAX_PACK_BYTES,
  PACK_HEADER_BYTES,
  PACK_TRAILER_BYTES,
  RECORD_HEADER_BYTES,
} from "../format/pack.ts";
import type { ReadableFile } from "../cipher_age.ts";
import type { Digest, ObjectName } from "../model.ts";

/** An open pack. */
export interface OpenPack {
  readonly name: ObjectName;
  readonly file: ReadableFile;
  readonly sizeBytes: number;
}

/**
 * `length` bytes from `offset`. Throws `integrity` where the pack ends before them.
 *
 * @param memory Where to put them, at least as long; new memory where not given.
 */
export function readExactly(
  pack: Omit<OpenPack, "sizeBytes">,
  range: { readonly offset: number; readonly length: number },
  memory: Uint8Array = new Uint8Array(range.length),
): Uint8Array {
  const bytes = memory.subarray(0, range.length);
  const got = pack.file.read(bytes, range.offset);
  if (got !== range.length) {
    throw new OperatorError(
      "integrity",
      `Cannot read pack "${pack.name}": ends at byte ${range.offset + got}, expected ${
        range.offset + range.length
      }`,
    );
  }
  return bytes;
}

/** The entries that header, footer and trailer give. Throws `format` or `integrity`. */
export function readFooter(pack: OpenPack): FooterEntry[] {
  const { name, sizeBytes } = pack;
  if (sizeBytes < PACK_HEADER_BYTES + PACK_TRAILER_BYTES || sizeBytes > MAX_PACK_BYTES) {
    throw new OperatorError(
      "format",
      `Cannot read pack "${name}": has ${sizeBytes} bytes, which no pack has`,
    );
  }
  checkPackHeader(readExactly(pack, { offset: 0, length: PACK_HEADER_BYTES }), name);
  return readEntries(pack);
}

/** The same, whatever the header says: where that is damaged the footer still tells which records there are. */
export function readEntries(pack: OpenPack): FooterEntry[] {
  const { name, sizeBytes } = pack;
  const trailerBytes = readExactly(pack, {
    offset: sizeBytes - PACK_TRAILER_BYTES,
    length: PACK_TRAILER_BYTES,
  });
  const trailer = decodePackTrailer(trailerBytes, pack);
  const length = trailer.entryCount * FOOTER_ENTRY_BYTES;
  return decodePackFooter(readExactly(pack, { offset: trailer.footerOffset, length }), { ...trailer, name });
}

/** So many places that look like a record and are none: whoever made more wants to keep us busy. */
const MAX_FALSE_HEADERS = 100_000;
const SEARCH_BYTES = 1024 * 1024;

/**
 * The entries that the record headers give. Where there is no good one, the next is searched for: one damaged
 * header costs its own record only. What is found inside another record's bytes is harmless: digests tell.
 */
export function walkRecords(damaged: OpenPack): FooterEntry[] {
  const pack = { ...damaged, file: zeroFilled(damaged.file) };
  const entries: FooterEntry[] = [];
  for (let offset = PACK_HEADER_BYTES;;) {
    const entry = recordAt(pack, offset) ?? nextRecord(pack, offset + 1);
    if (!entry) return entries;
    entries.push(entry);
    offset = entry.offset + RECORD_HEADER_BYTES + entry.storedBytes;
  }
}

/**
 * A file in which what can't be decrypted reads as zeros, 4 KiB by 4 KiB: to look for records in the rest. Their own
 * bytes are then read from the file itself.
 */
function zeroFilled(file: ReadableFile): ReadableFile {
  const pieceBytes = 4096;
  const readPiece = (into: Uint8Array, offset: number): number => {
    try {
      return file.read(into, offset);
    } catch (error) {
      if (!(error instanceof OperatorError) || error.code !== "integrity") throw error;
      into.fill(0);
      return Math.max(0, Math.min(into.length, file.sizeBytes() - offset));
    }
  };
  return {
    read(into, offset) {
      let at = 0;
      while (at < into.length) {
        const length = Math.min(pieceBytes, into.length - at);
        const got = readPiece(into.subarray(at, at + length), offset + at);
        at += got;
        if (got < length) break;
      }
      return at;
    },
    sizeBytes: () => file.sizeBytes(),
    close: () => file.close(),
  };
}

/** The record whose good header is at `offset` and that ends within the pack. */
function recordAt(pack: OpenPack, offset: number): FooterEntry | undefined {
  const header = new Uint8Array(RECORD_HEADER_BYTES);
  if (pack.file.read(header, offset) !== RECORD_HEADER_BYTES) return undefined;
  try {
    const { digest, storedBytes } = decodeRecordHeader(header, { name: pack.name, offset });
    const isWhole = offset + RECORD_HEADER_BYTES + storedBytes <= pack.sizeBytes;
    return isWhole ? { digest, offset, storedBytes } : undefined;
  } catch (error) {
    if (error instanceof OperatorError && error.code === "format") return undefined; // footer, or damage
    throw error;
  }
}

function nextRecord(pack: OpenPack, from: number): FooterEntry | undefined {
  const bytes = Buffer.alloc(SEARCH_BYTES);
  let falseHeaders = 0;
  for (let start = from;;) {
    const got = pack.file.read(bytes, start);
    const filled = bytes.subarray(0, got);
    for (let at = filled.indexOf("CBLK"); at >= 0; at = filled.indexOf("CBLK", at + 1)) {
      const entry = recordAt(pack, start + at);
      if (entry || ++falseHeaders > MAX_FALSE_HEADERS) return entry;
    }
    if (got < SEARCH_BYTES) return undefined;
    start += got - 3; // a magic may lie across two pieces
  }
}

/**
 * The block of a record, its digest checked.
 *
 * @param record Header and stored bytes.
 * @param expected Whose record it must be, and where it is, for messages; `blockBytes`: its block's length.
 * Throws `integrity` or `format`, naming pack and byte.
 */
export function openRecord(
  record: Uint8Array,
  expected: {
    readonly name: string;
    readonly offset: number;
    readonly digest: Digest;
    readonly blockBytes?: number;
  },
): Uint8Array {
  const place = `record at byte ${expected.offset} of pack "${expected.name}"`;
  const header = decodeRecordHeader(record, expected);
  if (header.digest !== expected.digest) {
    throw new OperatorError(
      "integrity",
      `Cannot accept ${place}: holds block ${header.digest}, expected ${expected.digest}`,
    );
  }
  if (record.length !== RECORD_HEADER_BYTES + header.storedBytes) {
    throw new OperatorError(
      "integrity",
      `Cannot accept ${place}: holds ${header.storedBytes} bytes, expected ${
        record.length - RECORD_HEADER_BYTES
      }`,
    );
  }
  const blockBytes = expected.blockBytes ?? header.blockBytes;
  if (header.blockBytes !== blockBytes) {
    throw new OperatorError(
      "integrity",
      `Cannot accept ${place}: its block has ${header.blockBytes} bytes, expected ${blockBytes}`,
    );
  }
  let block: Uint8Array;
  try {
    block = unpackBlock(record.subarray(RECORD_HEADER_BYTES), header);
  } catch (error) {
    throw new OperatorError("integrity", `Cannot accept ${place}: ${messageOf(error)}`, { cause: error });
  }
  const computed = sha256(block);
  if (computed !== expected.digest) {
    throw new OperatorError(
      "integrity",
      `Cannot accept ${place}: its block's digest is ${computed}, expected ${expected.digest}`,
    );
  }
  return block;
}
