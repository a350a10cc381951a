/**
 * Packs: immutable files that hold many blocks. Each record has a header of its own, and a footer indexes
 * all records, so that a block can be found in two independent ways. This codec knows bytes and offsets;
 * compression is in cipher.ts, files are in store/.
 *
 * @see store-format.md, "Pack"
 */
import { crc32 } from "node:zlib";
import { decodeHex, encodeHex } from "@std/encoding/hex";
import { OperatorError } from "../errors.ts";
import type { Digest } from "../model.ts";
import { sha256 } from "./digests.ts";
import { FORMAT_VERSION } from "./members.ts";

/** How a record holds its block: as it is, or as one zstd frame. */
export type Codec = "raw" | "zstd";
const CODECS: readonly Codec[] = ["raw", "zstd"];

export const PACK_HEADER_BYTES = 16;
export const RECORD_HEADER_BYTES = 56;
export const FOOTER_ENTRY_BYTES = 40;
export const PACK_TRAILER_BYTES = 48;
/** No pack is larger; a reader refuses one before it takes memory for it. */
export const MAX_PACK_BYTES = 256 * 1024 * 1024;
/** EBS knows no larger block. */
const MAX_BLOCK_BYTES = 16 * 1024 * 1024;

const PACK_MAGIC = ascii("COLDPACK");
const RECORD_MAGIC = ascii("CBLK");
const TRAILER_MAGIC = ascii("COLDFOOT");

function ascii(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

function startsWith(bytes: Uint8Array, magic: Uint8Array): boolean {
  return bytes.length >= magic.length && magic.every((byte, offset) => bytes[offset] === byte);
}

function view(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function refuse(name: string, fault: string): never {
  throw new OperatorError("format", `Cannot read pack "${name}": ${fault}`);
}

/** The 16 bytes that every pack of this version starts with: magic, version, reserved zeros. */
export function encodePackHeader(): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(PACK_HEADER_BYTES);
  bytes.set(PACK_MAGIC);
  view(bytes).setUint32(8, FORMAT_VERSION, true);
  return bytes;
}

/** Throws `format` where `bytes` do not start a pack of this version. */
export function checkPackHeader(bytes: Uint8Array, name: string): void {
  if (bytes.length < PACK_HEADER_BYTES) refuse(name, `has ${bytes.length} bytes, a header has 16`);
  if (!startsWith(bytes, PACK_MAGIC)) refuse(name, "does not start with COLDPACK");
  const version = view(bytes).getUint32(8, true);
  if (version !== FORMAT_VERSION) {
    refuse(name, `has version ${version}, this program reads version ${FORMAT_VERSION}`);
  }
  if (view(bytes).getUint32(12, true) !== 0) refuse(name, "reserved bytes 12 to 15 are not zero");
}

/** What a record's header says. */
export interface PackRecord {
  readonly codec: Codec;
  /** Length of the block: a power of two from 512 bytes to 16 MiB. */
  readonly blockBytes: number;
  /** Bytes after the header that hold the block. */
  readonly storedBytes: number;
  /** Where in its volume the block was when it was first acquired: a help for recovery, nothing relies on it. */
  readonly blockIndex: number;
  /** SHA-256 of the block itself, whatever the codec. */
  readonly digest: Digest;
}

/** 56 bytes; the CRC-32 at offset 20 is over all of them with that field zero. */
export function encodeRecordHeader(record: PackRecord): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(RECORD_HEADER_BYTES);
  bytes.set(RECORD_MAGIC);
  const fields = view(bytes);
  fields.setUint8(4, CODECS.indexOf(record.codec));
  fields.setUint32(8, record.blockBytes, true);
  fields.setUint32(12, record.storedBytes, true);
  fields.setUint32(16, record.blockIndex, true);
  bytes.set(decodeHex(record.digest), 24);
  fields.setUint32(20, crc32(bytes), true);
  return bytes;
}

/**
 * The record whose header starts `bytes`.
 *
 * @param place `name` of the pack and `offset` of the record in it, for messages.
 * Throws `format`.
 */
export function decodeRecordHeader(
  bytes: Uint8Array,
  place: { readonly name: string; readonly offset: number },
): PackRecord {
  const fault = (text: string) => refuse(place.name, `record at byte ${place.offset} ${text}`);
  if (bytes.length < RECORD_HEADER_BYTES) fault(`has ${bytes.length} bytes, a header has 56`);
  const header = bytes.slice(0, RECORD_HEADER_BYTES);
  if (!startsWith(header, RECORD_MAGIC)) fault("does not start with CBLK");
  const fields = view(header);
  const checksum = fields.getUint32(20, true);
  fields.setUint32(20, 0, true);
  if (crc32(header) !== checksum) fault("has a header whose CRC-32 does not match");
  const codec = CODECS[fields.getUint8(4)];
  if (codec === undefined) fault(`has the unknown codec ${fields.getUint8(4)}`);
  if (header[5] !== 0 || header[6] !== 0 || header[7] !== 0) fault("has reserved bytes that are not zero");
  const blockBytes = fields.getUint32(8, true);
  const storedBytes = fields.getUint32(12, true);
  if (blockBytes < 512 || blockBytes > MAX_BLOCK_BYTES || (blockBytes & (blockBytes - 1)) !== 0) {
    fault(`has a block of ${blockBytes} bytes, expected a power of two from 512 to 16777216`);
  }
  if (codec === "raw" ? storedBytes !== blockBytes : storedBytes === 0 || storedBytes >= blockBytes) {
    fault(`holds ${storedBytes} bytes (${codec}) for a block of ${blockBytes}`);
  }
  return {
    codec: codec!,
    blockBytes,
    storedBytes,
    blockIndex: fields.getUint32(16, true),
    digest: encodeHex(header.subarray(24, 56)) as Digest,
  };
}

/** A record as the footer lists it. */
export interface FooterEntry {
  readonly digest: Digest;
  /** Of the record's header, from the start of the pack. */
  readonly offset: number;
  readonly storedBytes: number;
}

/**
 * Footer and trailer: 40 bytes an entry, then 48 bytes with count, footer offset, the SHA-256 of the
 * entries, and a magic.
 *
 * @param entries In the order of their offsets, tiling the pack from byte 16 to the footer.
 */
export function encodePackFooter(entries: readonly FooterEntry[]): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(entries.length * FOOTER_ENTRY_BYTES + PACK_TRAILER_BYTES);
  const fields = view(bytes);
  let at = 0;
  let footerOffset = PACK_HEADER_BYTES;
  for (const entry of entries) {
    bytes.set(decodeHex(entry.digest), at);
    fields.setUint32(at + 32, entry.offset, true);
    fields.setUint32(at + 36, entry.storedBytes, true);
    at += FOOTER_ENTRY_BYTES;
    footerOffset = entry.offset + RECORD_HEADER_BYTES + entry.storedBytes;
  }
  fields.setUint32(at, entries.length, true);
  fields.setUint32(at + 4, footerOffset, true);
  bytes.set(decodeHex(sha256(bytes.subarray(0, at))), at + 8);
  bytes.set(TRAILER_MAGIC, at + 40);
  return bytes;
}

/** Where the footer lies, from the last 48 bytes of a pack. Throws `format`. */
export function decodePackTrailer(
  trailer: Uint8Array,
  pack: { readonly name: string; readonly sizeBytes: number },
): { readonly entryCount: number; readonly footerOffset: number; readonly entriesDigest: Digest } {
  const { name, sizeBytes } = pack;
  if (sizeBytes > MAX_PACK_BYTES) {
    refuse(name, `has ${sizeBytes} bytes, at most ${MAX_PACK_BYTES} are allowed`);
  }
  if (sizeBytes < PACK_HEADER_BYTES + PACK_TRAILER_BYTES || trailer.length !== PACK_TRAILER_BYTES) {
    refuse(name, `has ${sizeBytes} bytes, too few for header and trailer`);
  }
  if (!startsWith(trailer.subarray(40), TRAILER_MAGIC)) refuse(name, "does not end with COLDFOOT");
  const entryCount = view(trailer).getUint32(0, true);
  const footerOffset = view(trailer).getUint32(4, true);
  if (footerOffset + entryCount * FOOTER_ENTRY_BYTES + PACK_TRAILER_BYTES !== sizeBytes) {
    refuse(
      name,
      `${entryCount} entries from byte ${footerOffset} do not end at its trailer (size ${sizeBytes})`,
    );
  }
  return { entryCount, footerOffset, entriesDigest: encodeHex(trailer.subarray(8, 40)) as Digest };
}

/**
 * The entries of a footer.
 *
 * @param bytes Exactly the footer, without the trailer.
 * Throws `format`: another SHA-256 than the trailer's, records that overlap or leave a gap.
 */
export function decodePackFooter(
  bytes: Uint8Array,
  trailer: ReturnType<typeof decodePackTrailer> & { readonly name: string },
): FooterEntry[] {
  const { name, entryCount, footerOffset, entriesDigest } = trailer;
  if (bytes.length !== entryCount * FOOTER_ENTRY_BYTES) {
    refuse(name, `footer has ${bytes.length} bytes, expected ${entryCount * FOOTER_ENTRY_BYTES}`);
  }
  if (sha256(bytes) !== entriesDigest) refuse(name, "footer's SHA-256 is not what the trailer says");
  const fields = view(bytes);
  const entries: FooterEntry[] = [];
  const digests = new Set<Digest>();
  let expectedOffset = PACK_HEADER_BYTES;
  for (let at = 0; at < bytes.length; at += FOOTER_ENTRY_BYTES) {
    const offset = fields.getUint32(at + 32, true);
    const storedBytes = fields.getUint32(at + 36, true);
    if (offset !== expectedOffset) {
      refuse(
        name,
        `entry ${entries.length} starts at byte ${offset}, the record before ends at ${expectedOffset}`,
      );
    }
    expectedOffset = offset + RECORD_HEADER_BYTES + storedBytes;
    const digest = encodeHex(bytes.subarray(at, at + 32)) as Digest;
    if (digests.has(digest)) {
      refuse(name, `entry ${entries.length} has the digest of one before it, ${digest}`);
    }
    digests.add(digest);
    entries.push({ digest, offset, storedBytes });
  }
  if (expectedOffset !== footerOffset) {
    refuse(name, `records end at byte ${expectedOffset}, the footer starts at ${footerOffset}`);
  }
  return entries;
}
