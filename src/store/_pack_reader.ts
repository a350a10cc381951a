/**
 * Reads packs: their entries by the footer or, where that is damaged, by walking from record header to
 * record header; and single blocks, whose digest is checked before anyone sees a byte.
 *
 * @see store-format.md, "Pack"
 */
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
import type { Digest, DiskFile, ObjectName } from "../model.ts";

/** An open pack. */
export interface OpenPack {
  readonly name: ObjectName;
  readonly file: DiskFile;
  readonly sizeBytes: number;
}

/** `length` bytes from `offset`. Throws `integrity` where the pack ends before them. */
export function readExactly(
  pack: OpenPack,
  range: { readonly offset: number; readonly length: number },
): Uint8Array {
  const bytes = new Uint8Array(range.length);
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
  const trailerBytes = readExactly(pack, {
    offset: sizeBytes - PACK_TRAILER_BYTES,
    length: PACK_TRAILER_BYTES,
  });
  const trailer = decodePackTrailer(trailerBytes, pack);
  const length = trailer.entryCount * FOOTER_ENTRY_BYTES;
  return decodePackFooter(readExactly(pack, { offset: trailer.footerOffset, length }), { ...trailer, name });
}

/** The entries that the record headers give, up to the first place where there is no good one. */
export function walkRecords(pack: OpenPack): FooterEntry[] {
  const entries: FooterEntry[] = [];
  const header = new Uint8Array(RECORD_HEADER_BYTES);
  for (let offset = PACK_HEADER_BYTES; pack.file.read(header, offset) === RECORD_HEADER_BYTES;) {
    try {
      const record = decodeRecordHeader(header, { name: pack.name, offset });
      entries.push({ digest: record.digest, offset, storedBytes: record.storedBytes });
      offset += RECORD_HEADER_BYTES + record.storedBytes;
    } catch (error) {
      if (error instanceof OperatorError) break; // the footer starts here, or damage does
      throw error;
    }
  }
  return entries;
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
