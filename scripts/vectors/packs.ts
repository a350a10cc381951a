/**
 * Vectors of packs: every field of header, record, footer entry and trailer, and what a zstd frame must not be.
 * The packs are written here byte by byte, by none of the program's code, so that any field can be wrong; the
 * pack's name, the inventory and the signatures fit what was written.
 */
import { createHash } from "node:crypto";
import { constants, crc32, zstdCompressSync } from "node:zlib";
import { EXAMPLE_BLOCKS } from "../example_store.ts";
import { forge } from "./forge.ts";
import type { Files } from "./files.ts";
import { ACCEPTED, found, type Vector, type Verdict } from "./vector.ts";

/** One record; what is not given is as it must be. */
export interface RecordSpec {
  readonly block: Uint8Array;
  readonly codec?: number;
  /** The bytes behind the header; default: the block, or its frame. */
  readonly stored?: Uint8Array;
  /** Changes the header before its CRC is computed. */
  header?(fields: DataView, bytes: Uint8Array): void;
  /** Changes the header afterwards. */
  sealed?(fields: DataView, bytes: Uint8Array): void;
  /** Changes the footer's entry. */
  entry?(fields: DataView, bytes: Uint8Array): void;
}

/** A pack; what is not given is as it must be. */
export interface PackSpec {
  readonly records: readonly RecordSpec[];
  header?(fields: DataView, bytes: Uint8Array): void;
  trailer?(fields: DataView, bytes: Uint8Array): void;
  /** Bytes between the last record and the footer. */
  readonly gap?: Uint8Array;
  /** Bytes after the trailer. */
  readonly after?: Uint8Array;
}

const ascii = (text: string) => new TextEncoder().encode(text);
const sha256 = (bytes: Uint8Array) => new Uint8Array(createHash("sha256").update(bytes).digest());
const join = (...parts: readonly Uint8Array[]) => Uint8Array.from(parts.flatMap((part) => [...part]));

function fields(sizeBytes: number, fill: (view: DataView, bytes: Uint8Array) => void): Uint8Array {
  const bytes = new Uint8Array(sizeBytes);
  fill(new DataView(bytes.buffer), bytes);
  return bytes;
}

/** A frame of zstd, as few bytes as level 1 makes of it. */
export function frameOf(block: Uint8Array, params: Record<number, number | boolean> = {}): Uint8Array {
  const all = { [constants.ZSTD_c_compressionLevel]: 1, ...params };
  return new Uint8Array(zstdCompressSync(block, { params: all }));
}

export function buildPack(spec: PackSpec): Uint8Array {
  const header = fields(16, (view, bytes) => {
    bytes.set(ascii("COLDPACK"));
    view.setUint32(8, 1, true);
    spec.header?.(view, bytes);
  });
  const records: Uint8Array[] = [];
  const entries: Uint8Array[] = [];
  let offset = header.length;
  for (const record of spec.records) {
    const { block, codec = 0 } = record;
    const stored = record.stored ?? (codec === 1 ? frameOf(block) : block);
    const head = fields(56, (view, bytes) => {
      bytes.set(ascii("CBLK"));
      view.setUint8(4, codec);
      view.setUint32(8, block.length, true);
      view.setUint32(12, stored.length, true);
      bytes.set(sha256(block), 24);
      record.header?.(view, bytes);
      view.setUint32(20, 0, true);
      view.setUint32(20, crc32(bytes), true);
      record.sealed?.(view, bytes);
    });
    entries.push(fields(40, (view, bytes) => {
      bytes.set(sha256(block));
      view.setUint32(32, offset, true);
      view.setUint32(36, stored.length, true);
      record.entry?.(view, bytes);
    }));
    records.push(head, stored);
    offset += head.length + stored.length;
  }
  const gap = spec.gap ?? new Uint8Array();
  const footer = join(...entries);
  const trailer = fields(48, (view, bytes) => {
    view.setUint32(0, entries.length, true);
    view.setUint32(4, offset + gap.length, true);
    bytes.set(sha256(footer), 8);
    bytes.set(ascii("COLDFOOT"), 40);
    spec.trailer?.(view, bytes);
  });
  return join(header, ...records, gap, footer, trailer, spec.after ?? new Uint8Array());
}

const NOISE = EXAMPLE_BLOCKS.get(0)!;
const TEXT = EXAMPLE_BLOCKS.get(1)!;
/** Of the volume's size, and in no exhibit. */
const UNNEEDED = Uint8Array.from(NOISE, (byte) => byte ^ 0xff);

/** One pack for the whole exhibit: its two blocks, and more where a vector wants it. */
function pack(name: string, about: string, spec: Partial<PackSpec>, verdict: Verdict): Vector {
  const whole = { records: [{ block: NOISE }, { block: TEXT, codec: 1 }], ...spec };
  return {
    name: `pack_${name}`,
    about,
    section: "Pack",
    make: ({ plain }) => forge(plain, { packs: () => [buildPack(whole)] }),
    ...(verdict.exit !== 0 && { file: onlyPack }),
    ...verdict,
  };
}

function onlyPack(files: Files): string {
  return [...files.keys()].find((name) => name.startsWith("packs/"))!;
}

/** The second record is wrong. */
function record(name: string, about: string, spec: Partial<RecordSpec>, verdict: Verdict): Vector {
  return {
    ...pack(`record_${name}`, about, {
      records: [{ block: NOISE }, { block: TEXT, codec: 1, ...spec }],
    }, verdict),
  };
}

const malformed = found("file_damaged", "format");
const badRecord = found("record_damaged", "format");
const wrongRecord = found("record_damaged");
/** As `wrongRecord`, where the frame tells and not a digest. */
const u32 = (offset: number, value: number) => (view: DataView) => view.setUint32(offset, value, true);
const u8 = (offset: number, value: number) => (view: DataView) => view.setUint8(offset, value);

const HEADERS: readonly Vector[] = [
  pack("magic", "another magic at the start", { header: u8(0, 0x63) }, malformed),
  pack("version_future", "a version from the future", { header: u32(8, 2) }, malformed),
  pack("version_0", "version 0, which version 1 refuses", { header: u32(8, 0) }, malformed),
  pack("reserved", "a reserved byte of the header is not zero", { header: u8(15, 1) }, malformed),
  pack("trailer_magic", "another magic at the end", { trailer: u8(47, 0x74) }, malformed),
  pack("entry_count_low", "one entry fewer than there are records", { trailer: u32(0, 1) }, malformed),
  pack("entry_count_huge", "an entry count beyond the file", { trailer: u32(0, 0xffff_ffff) }, malformed),
  pack("footer_offset", "a footer offset that is one too small", {
    trailer: (view) => view.setUint32(4, view.getUint32(4, true) - 1, true),
  }, malformed),
  pack("footer_digest", "another SHA-256 of the footer", {
    trailer: (view) => view.setUint8(8, view.getUint8(8) ^ 1),
  }, malformed),
  pack(
    "gap_before_footer",
    "eight bytes between the last record and the footer",
    { gap: new Uint8Array(8) },
    malformed,
  ),
  pack("trailing_byte", "a byte after the trailer", { after: new Uint8Array(1) }, malformed),
  pack("digest_twice", "one digest twice", {
    records: [{ block: NOISE }, { block: TEXT, codec: 1 }, { block: NOISE }],
  }, malformed),
  {
    ...pack("too_small", "63 bytes, fewer than header and trailer have", {}, malformed),
    make: ({ plain }) =>
      forge(plain, { packs: (all) => [...all, buildPack({ records: [] }).subarray(0, 63)] }),
    file: (files) =>
      [...files].find(([name, entry]) =>
        name.startsWith("packs/") && (entry as Uint8Array).length === 63
      )![0],
  },
  {
    ...pack("empty", "a file of no bytes", {}, malformed),
    make: ({ plain }) => forge(plain, { packs: (all) => [...all, new Uint8Array()] }),
    file: (files) =>
      [...files].find(([name, entry]) => name.startsWith("packs/") && (entry as Uint8Array).length === 0)![0],
  },
];

const ENTRIES: readonly Vector[] = [
  pack("entry_offset_first", "the first entry's offset is not 16", {
    records: [{ block: NOISE, entry: u32(32, 17) }, { block: TEXT, codec: 1 }],
  }, malformed),
  record("entry_offset", "an entry's offset is not where the record before ends", {
    entry: (view) => view.setUint32(32, view.getUint32(32, true) + 1, true),
  }, malformed),
  record(
    "entry_stored_bytes",
    "an entry's stored bytes are one too many: the records seem to end elsewhere",
    { entry: (view) => view.setUint32(36, view.getUint32(36, true) + 1, true) },
    malformed,
  ),
  record(
    "entry_digest",
    "an entry's digest is not that of the record's header",
    { entry: u8(0, 0) },
    wrongRecord,
  ),
];

const RECORDS: readonly Vector[] = [
  record("magic", "another magic before a record", { header: u8(0, 0x63) }, badRecord),
  record("codec", "codec 2, which is reserved", { header: u8(4, 2) }, badRecord),
  record("reserved", "a reserved byte of a record's header is not zero", { header: u8(7, 1) }, badRecord),
  record("crc", "a header's CRC does not match", { sealed: u8(16, 1) }, badRecord),
  record("block_bytes_no_power", "a block of 513 bytes", { header: u32(8, 513) }, badRecord),
  record("block_bytes_small", "a block of 256 bytes", { header: u32(8, 256) }, badRecord),
  record("block_bytes_large", "a block of 32 MiB", { header: u32(8, 2 ** 25) }, badRecord),
  record("block_bytes_zero", "a block of no bytes", { header: u32(8, 0) }, badRecord),
  record("raw_length", "raw, and stored bytes are not the block's bytes", {
    codec: 0,
    stored: TEXT.subarray(1),
  }, badRecord),
  record("zstd_not_smaller", "zstd, and as many stored bytes as the block has", {
    stored: frameOf(Uint8Array.of(...UNNEEDED, ...UNNEEDED)).subarray(0, 512),
  }, badRecord),
  record("zstd_empty", "zstd, and no stored bytes", { stored: new Uint8Array() }, badRecord),
  record("header_digest", "a header's digest is not that of the block, nor of the footer", {
    header: u8(24, 0),
  }, wrongRecord),
  record("other_stored_bytes", "the header has fewer stored bytes than the footer", {
    header: (view) => view.setUint32(12, view.getUint32(12, true) - 1, true),
  }, wrongRecord),
  record(
    "wrong_block",
    "the stored bytes are those of another block",
    { codec: 0, stored: UNNEEDED },
    wrongRecord,
  ),
  pack("record_other_block_size", "a record, which nobody needs, of a block of another size", {
    records: [{ block: NOISE }, { block: TEXT, codec: 1 }, { block: new Uint8Array(1024).fill(7), codec: 1 }],
  }, wrongRecord),
  pack("record_unneeded_damaged", "a record that nobody needs holds another block than it says", {
    records: [{ block: NOISE }, { block: TEXT, codec: 1 }, { block: UNNEEDED, stored: NOISE }],
  }, wrongRecord),
];

/** A frame of one raw block: magic, descriptor, window or size, block header, bytes. */
function rawFrame(descriptor: number, head: readonly number[], block: Uint8Array): Uint8Array {
  const length = block.length << 3 | 1;
  return Uint8Array.of(
    0x28,
    0xb5,
    0x2f,
    0xfd,
    descriptor,
    ...head,
    length & 0xff,
    length >> 8 & 0xff,
    length >> 16,
    ...block,
  );
}

/** A frame whose one block repeats a byte 100,000 times. */
const BOMB = Uint8Array.of(
  0x28,
  0xb5,
  0x2f,
  0xfd,
  0x00,
  0x58,
  0x03 | 100_000 << 3 & 0xff,
  100_000 >> 5 & 0xff,
  100_000 >> 13,
  0x41,
);
const FRAME = frameOf(TEXT);
const SHORT = TEXT.subarray(0, 60);
/** Compressible, 60 bytes less than a block. */
const REST = frameOf(TEXT.subarray(60));
const SKIPPABLE = Uint8Array.of(0x50, 0x2a, 0x4d, 0x18, 0x02, 0x00, 0x00, 0x00, 0xaa, 0xbb);

const FRAMES: readonly Vector[] = [
  record(
    "frame_trailing_byte",
    "a byte after the frame",
    { stored: join(FRAME, new Uint8Array(1)) },
    wrongRecord,
  ),
  record(
    "two_frames",
    "two frames that together give the block",
    { stored: join(frameOf(SHORT), REST) },
    wrongRecord,
  ),
  record("frame_and_empty_frame", "an empty frame after the block's", {
    stored: join(FRAME, frameOf(new Uint8Array())),
  }, wrongRecord),
  record(
    "skippable_frame",
    "a skippable frame after the block's",
    { stored: join(FRAME, SKIPPABLE) },
    wrongRecord,
  ),
  record(
    "skippable_frame_first",
    "a skippable frame before the block's",
    { stored: join(SKIPPABLE, FRAME) },
    wrongRecord,
  ),
  record("frame_cut_off", "the frame's last byte is missing", { stored: FRAME.subarray(0, -1) }, wrongRecord),
  record("no_frame", "bytes that are no frame", { stored: TEXT.subarray(0, 100) }, wrongRecord),
  record("frame_too_short", "a frame of fewer bytes than the block", { stored: REST }, wrongRecord),
  record("frame_too_long", "a frame that begins with the block and goes on", {
    stored: frameOf(join(TEXT, TEXT)),
  }, wrongRecord),
  record("bomb", "a frame of ten bytes that gives 100,000", { stored: BOMB }, wrongRecord),
  record("frame_reserved_bit", "a frame whose header has a reserved bit", {
    stored: rawFrame(0x28, [60], SHORT),
  }, wrongRecord),
  record(
    "frame_dictionary",
    "a frame that needs a dictionary",
    { stored: rawFrame(0x21, [1, 60], SHORT) },
    wrongRecord,
  ),
  record(
    "frame_large_window",
    "a frame that asks for a window of 16 MiB",
    { stored: largeWindow(FRAME) },
    wrongRecord,
  ),
];

/** The same frame with a window descriptor of 16 MiB in place of its window or size. */
function largeWindow(frame: Uint8Array): Uint8Array {
  const descriptor = frame[4]!;
  const isSingleSegment = (descriptor & 0x20) !== 0;
  const sizeBytes = [isSingleSegment ? 1 : 0, 2, 4, 8][descriptor >> 6]!;
  const head = 5 + (isSingleSegment ? 0 : 1) + sizeBytes;
  return join(frame.subarray(0, 4), Uint8Array.of(descriptor & 0x04, 14 << 3), frame.subarray(head));
}

const SOUND: readonly Vector[] = [
  pack("one", "both blocks in one pack", {}, ACCEPTED),
  pack(
    "raw_only",
    "a block that compresses, stored raw",
    { records: [{ block: NOISE }, { block: TEXT }] },
    ACCEPTED,
  ),
  pack("block_index", "a block index that means nothing: it is a hint", {
    records: [{ block: NOISE, header: u32(16, 0xffff_ffff) }, { block: TEXT, codec: 1 }],
  }, ACCEPTED),
  pack("unneeded_record", "a record of a block that the exhibit does not have", {
    records: [{ block: NOISE }, { block: UNNEEDED }, { block: TEXT, codec: 1 }],
  }, ACCEPTED),
  pack("frame_with_checksum", "a frame that states its size and ends in a checksum", {
    records: [{ block: NOISE }, {
      block: TEXT,
      codec: 1,
      stored: frameOf(TEXT, {
        [constants.ZSTD_c_contentSizeFlag]: true,
        [constants.ZSTD_c_checksumFlag]: true,
      }),
    }],
  }, ACCEPTED),
  {
    ...pack("of_no_record", "a pack of no record beside the others", {}, ACCEPTED),
    make: ({ plain }) => forge(plain, { packs: (all) => [...all, buildPack({ records: [] })] }),
  },
  {
    ...pack("unneeded", "a pack that holds no block of the exhibit", {}, ACCEPTED),
    make: ({ plain }) =>
      forge(plain, { packs: (all) => [...all, buildPack({ records: [{ block: UNNEEDED }] })] }),
  },
  {
    ...pack("two_hold_one", "two packs that hold one block", {}, ACCEPTED),
    make: ({ plain }) =>
      forge(plain, { packs: (all) => [...all, buildPack({ records: [{ block: TEXT }] })] }),
  },
];

export const PACK_VECTORS: readonly Vector[] = [...HEADERS, ...ENTRIES, ...RECORDS, ...FRAMES, ...SOUND];
