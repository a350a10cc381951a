/** Packs: header, records, footer and trailer give back what was written; every deviation is refused by name. */
import { assert, assertEquals } from "@std/assert";
import { encodeHex } from "@std/encoding/hex";
import { createHash } from "node:crypto";
import { crc32 } from "node:zlib";
import {
  checkPackHeader,
  decodePackFooter,
  decodePackTrailer,
  decodeRecordHeader,
  encodePackFooter,
  encodePackHeader,
  encodeRecordHeader,
  FOOTER_ENTRY_BYTES,
  type FooterEntry,
  MAX_PACK_BYTES,
  PACK_HEADER_BYTES,
  PACK_TRAILER_BYTES,
  type PackRecord,
  RECORD_HEADER_BYTES,
} from "../../src/format/pack.ts";
import { type Below, forRounds, pick } from "../seeded.ts";
import { assertRefused, bytesOf, digestOf, randomDigest } from "./refusals.ts";

const place = { name: "3f9a", offset: 16 };
const record: PackRecord = {
  codec: "zstd",
  blockBytes: 524_288,
  storedBytes: 1000,
  blockIndex: 7,
  digest: digestOf("a1"),
};

function changed(bytes: Uint8Array, offset: number, values: readonly number[]): Uint8Array<ArrayBuffer> {
  const copy = new Uint8Array(bytes);
  copy.set(values, offset);
  return copy;
}

function u32(value: number): number[] {
  return [value & 255, value >>> 8 & 255, value >>> 16 & 255, value >>> 24];
}

/** A record header that says `values` at `offset` and has the CRC for it. */
function recordSaying(offset: number, values: readonly number[], of = record): Uint8Array {
  const bytes = changed(changed(encodeRecordHeader(of), offset, values), 20, [0, 0, 0, 0]);
  return changed(bytes, 20, u32(crc32(bytes)));
}

/** Entries of records of `sizes` that follow one another. */
function tiled(
  sizes: readonly number[],
  digest = (at: number) => digestOf((0xb2 + at).toString(16)),
): FooterEntry[] {
  let offset = PACK_HEADER_BYTES;
  return sizes.map((storedBytes, at) => {
    const entry = { digest: digest(at), offset, storedBytes };
    offset += RECORD_HEADER_BYTES + storedBytes;
    return entry;
  });
}

/** Reads footer and trailer as a reader of a pack of that size does. */
function readFooter(footer: Uint8Array, sizeBytes: number): FooterEntry[] {
  const at = footer.length - PACK_TRAILER_BYTES;
  const trailer = decodePackTrailer(footer.subarray(at), { name: "3f9a", sizeBytes });
  return decodePackFooter(footer.subarray(0, at), { ...trailer, name: "3f9a" });
}

/** Size of the pack that ends with this footer. */
function sizeOf(entries: readonly FooterEntry[], footer: Uint8Array): number {
  const last = entries.at(-1);
  return (last ? last.offset + RECORD_HEADER_BYTES + last.storedBytes : PACK_HEADER_BYTES) + footer.length;
}

Deno.test("checkPackHeader() takes the header of this version alone, and names a later one", () => {
  const header = encodePackHeader();
  assertEquals(header, bytesOf("COLDPACK\x01\0\0\0\0\0\0\0"));
  checkPackHeader(header, "3f9a");
  for (let length = 0; length < PACK_HEADER_BYTES; length++) {
    assertRefused(
      () => checkPackHeader(header.subarray(0, length), "3f9a"),
      "format",
      '"3f9a"',
      `${length} bytes`,
    );
  }
  for (let bit = 0; bit < 64; bit++) {
    const bytes = changed(header, bit >> 3, [header[bit >> 3]! ^ 1 << (bit & 7)]);
    assertRefused(() => checkPackHeader(bytes, "3f9a"), "format", "does not start with COLDPACK");
  }
  for (const version of [0, 2, 256, 257, 2 ** 32 - 1]) {
    const bytes = changed(header, 8, u32(version));
    assertRefused(
      () => checkPackHeader(bytes, "3f9a"),
      "format",
      `has version ${version}, this program reads version 1`,
    );
  }
  for (let at = 12; at < 16; at++) {
    assertRefused(
      () => checkPackHeader(changed(header, at, [1]), "3f9a"),
      "format",
      "reserved bytes 12 to 15",
    );
  }
});

Deno.test("decodeRecordHeader() gives back what encodeRecordHeader() took", () => {
  forRounds(300, (below) => {
    const blockBytes = 512 * 2 ** below(16);
    const codec = pick(below, ["raw", "zstd"] as const);
    const random: PackRecord = {
      codec,
      blockBytes,
      storedBytes: codec === "raw" ? blockBytes : 1 + below(blockBytes - 1),
      blockIndex: pick(below, [0, 1, below(2 ** 27), 2 ** 27 - 1, 2 ** 32 - 1]),
      digest: randomDigest(below),
    };
    const bytes = encodeRecordHeader(random);
    assertEquals(bytes.length, RECORD_HEADER_BYTES);
    assertEquals(decodeRecordHeader(bytes, place), random);
  });
});

Deno.test("encodeRecordHeader() lays its fields out as store-format.md says", () => {
  const bytes = encodeRecordHeader(record);
  assertEquals(bytes.subarray(0, 4), bytesOf("CBLK"));
  assertEquals([...bytes.subarray(4, 8)], [1, 0, 0, 0]);
  assertEquals([...bytes.subarray(8, 20)], [...u32(524_288), ...u32(1000), ...u32(7)]);
  assertEquals([...bytes.subarray(20, 24)], u32(crc32(changed(bytes, 20, [0, 0, 0, 0]))));
  assertEquals(encodeHex(bytes.subarray(24)), digestOf("a1"));
});

Deno.test("decodeRecordHeader() refuses a header in which any one bit is another", () => {
  const header = encodeRecordHeader(record);
  for (let bit = 0; bit < RECORD_HEADER_BYTES * 8; bit++) {
    const bytes = changed(header, bit >> 3, [header[bit >> 3]! ^ 1 << (bit & 7)]);
    const fault = bit < 32 ? "does not start with CBLK" : "CRC-32 does not match";
    assertRefused(() => decodeRecordHeader(bytes, place), "format", 'pack "3f9a": record at byte 16', fault);
  }
});

Deno.test("decodeRecordHeader() refuses a header that is cut off", () => {
  const header = encodeRecordHeader(record);
  for (let length = 0; length < RECORD_HEADER_BYTES; length++) {
    assertRefused(
      () => decodeRecordHeader(header.subarray(0, length), place),
      "format",
      `has ${length} bytes`,
    );
  }
  assertEquals(decodeRecordHeader(changed(new Uint8Array(99), 0, [...header]), place), record);
});

Deno.test("decodeRecordHeader() refuses unknown codecs and reserved bytes, their CRC being right", () => {
  for (const codec of [2, 3, 127, 255]) {
    assertRefused(
      () => decodeRecordHeader(recordSaying(4, [codec]), place),
      "format",
      `unknown codec ${codec}`,
    );
  }
  for (const at of [5, 6, 7]) {
    assertRefused(
      () => decodeRecordHeader(recordSaying(at, [1]), place),
      "format",
      "reserved bytes that are not zero",
    );
  }
});

Deno.test("decodeRecordHeader() refuses lengths that no block has", () => {
  for (const blockBytes of [0, 1, 256, 511, 513, 3 * 512, 524_287, 2 ** 25, 2 ** 31, 2 ** 32 - 1]) {
    const bytes = recordSaying(8, u32(blockBytes));
    assertRefused(() => decodeRecordHeader(bytes, place), "format", `has a block of ${blockBytes} bytes`);
  }
  for (const storedBytes of [0, 524_288, 524_289, 2 ** 32 - 1]) {
    const bytes = recordSaying(12, u32(storedBytes));
    assertRefused(() => decodeRecordHeader(bytes, place), "format", `holds ${storedBytes} bytes (zstd)`);
  }
  const raw: PackRecord = { ...record, codec: "raw", storedBytes: 524_288 };
  for (const storedBytes of [0, 1, 524_287, 524_289]) {
    const bytes = recordSaying(12, u32(storedBytes), raw);
    assertRefused(() => decodeRecordHeader(bytes, place), "format", `holds ${storedBytes} bytes (raw)`);
  }
  assertEquals(decodeRecordHeader(recordSaying(12, u32(524_287)), place).storedBytes, 524_287);
  assertEquals(decodeRecordHeader(recordSaying(12, u32(1)), place).storedBytes, 1);
});

Deno.test("decodePackFooter() gives back the entries that encodePackFooter() took", () => {
  forRounds(100, (below: Below) => {
    const sizes = Array.from({ length: pick(below, [0, 1, 2, 17, 128]) }, () => 1 + below(10_000));
    const entries = tiled(sizes, () => randomDigest(below));
    const footer = encodePackFooter(entries);
    assertEquals(footer.length, sizes.length * FOOTER_ENTRY_BYTES + PACK_TRAILER_BYTES);
    assertEquals(readFooter(footer, sizeOf(entries, footer)), entries);
  });
});

Deno.test("encodePackFooter() of no records makes the smallest pack, 64 bytes", () => {
  const footer = encodePackFooter([]);
  assertEquals(readFooter(footer, 64), []);
  const digest = createHash("sha256").digest("hex");
  assertEquals(encodeHex(footer), `00000000${"10000000"}${digest}${encodeHex(bytesOf("COLDFOOT"))}`);
  assertRefused(() => readFooter(footer, 63), "format", "has 63 bytes, too few for header and trailer");
  assertRefused(
    () => readFooter(footer, 65),
    "format",
    "0 entries from byte 16 do not end at its trailer (size 65)",
  );
});

Deno.test("decodePackTrailer() refuses a trailer that is cut, long, or of another magic", () => {
  const entries = tiled([100, 200]);
  const footer = encodePackFooter(entries);
  const sizeBytes = sizeOf(entries, footer);
  const trailer = footer.subarray(-PACK_TRAILER_BYTES);
  for (const length of [0, 1, 40, 47]) {
    const action = () => decodePackTrailer(trailer.subarray(0, length), { name: "3f9a", sizeBytes });
    assertRefused(action, "format", '"3f9a"');
  }
  assertRefused(() => decodePackTrailer(footer, { name: "3f9a", sizeBytes }), "format", '"3f9a"');
  for (let at = 40; at < 48; at++) {
    const bytes = changed(trailer, at, [trailer[at]! ^ 1]);
    assertRefused(
      () => decodePackTrailer(bytes, { name: "3f9a", sizeBytes }),
      "format",
      "does not end with COLDFOOT",
    );
  }
});

Deno.test("decodePackTrailer() refuses absurd sizes before anybody takes memory for them", () => {
  const trailer = encodePackFooter([]);
  const read = (bytes: Uint8Array, sizeBytes: number) => () =>
    decodePackTrailer(bytes, { name: "3f9a", sizeBytes });
  assertRefused(
    read(trailer, MAX_PACK_BYTES + 1),
    "format",
    "has 268435457 bytes, at most 268435456 are allowed",
  );
  assertRefused(read(trailer, 2 ** 40), "format", "at most 268435456");
  for (const count of [1, 2, 2 ** 20, 2 ** 31, 2 ** 32 - 1]) {
    assertRefused(read(changed(trailer, 0, u32(count)), 64), "format", `${count} entries from byte 16`);
  }
  // The two together must not wrap around 2^32 to the right sum.
  const wrapping = changed(trailer, 0, [...u32(2 ** 32 - 1), ...u32(16 + FOOTER_ENTRY_BYTES)]);
  assertRefused(read(wrapping, 64), "format", "4294967295 entries from byte 56");
});

Deno.test("decodePackFooter() refuses entries whose SHA-256 is not the trailer's", () => {
  const entries = tiled([100, 200]);
  const footer = encodePackFooter(entries);
  for (let at = 0; at < 2 * FOOTER_ENTRY_BYTES; at++) {
    const bytes = changed(footer, at, [footer[at]! ^ 0x10]);
    assertRefused(() => readFooter(bytes, sizeOf(entries, footer)), "format", "footer's SHA-256 is not");
  }
  for (let at = 88; at < 120; at++) {
    const bytes = changed(footer, at, [footer[at]! ^ 0x10]);
    assertRefused(() => readFooter(bytes, sizeOf(entries, footer)), "format", "footer's SHA-256 is not");
  }
});

/** A footer of `entries`, its trailer saying that they start at `footerOffset`. */
function footerAt(
  entries: readonly FooterEntry[],
  footerOffset: number,
): { footer: Uint8Array; sizeBytes: number } {
  const footer = encodePackFooter(entries);
  footer.set(u32(footerOffset), entries.length * FOOTER_ENTRY_BYTES + 4);
  return { footer, sizeBytes: footerOffset + footer.length };
}

Deno.test("decodePackFooter() refuses records that overlap, leave a gap, or overlap the footer", () => {
  const [first, second, third] = tiled([100, 200, 300]) as [FooterEntry, FooterEntry, FooterEntry];
  const end = third.offset + RECORD_HEADER_BYTES + third.storedBytes;
  const faults: [readonly FooterEntry[], number, string][] = [
    [
      [{ ...first, offset: 15 }, second, third],
      end,
      "entry 0 starts at byte 15, the record before ends at 16",
    ],
    [[{ ...first, offset: 0 }, second, third], end, "entry 0 starts at byte 0"],
    [[second, third], end, "entry 0 starts at byte 172"],
    [[first, { ...second, offset: second.offset - 1 }, third], end, "entry 1 starts at byte 171"],
    [[first, { ...second, offset: second.offset + 1 }, third], end, "entry 1 starts at byte 173"],
    [[first, third, second], end, "entry 1 starts at byte 428, the record before ends at 172"],
    [[first, first, second, third], end, "entry 1 starts at byte 16"],
    [[first, second, third], end - 1, `records end at byte ${end}, the footer starts at ${end - 1}`],
    [[first, second, third], end + 1, `records end at byte ${end}, the footer starts at ${end + 1}`],
    [[first, second], end, "records end at byte 428"],
    [[{ ...first, storedBytes: 2 ** 32 - 1 }], end, "records end at byte 4294967367"],
    [[first, { ...second, storedBytes: 2 ** 32 - 1 }, third], end, "entry 2 starts at byte 428"],
  ];
  for (const [entries, footerOffset, fault] of faults) {
    const { footer, sizeBytes } = footerAt(entries, footerOffset);
    assertRefused(() => readFooter(footer, sizeBytes), "format", 'pack "3f9a"', fault);
  }
  assertEquals(readFooter(footerAt([first, second, third], end).footer, end + 168).length, 3);
});

Deno.test("decodePackFooter() refuses a footer of another length than the trailer's count", () => {
  const entries = tiled([100, 200]);
  const footer = encodePackFooter(entries);
  const trailer = decodePackTrailer(footer.subarray(80), {
    name: "3f9a",
    sizeBytes: sizeOf(entries, footer),
  });
  for (const length of [0, 40, 79, 81, 120]) {
    const bytes = new Uint8Array(length);
    assertRefused(
      () => decodePackFooter(bytes, { ...trailer, name: "3f9a" }),
      "format",
      `footer has ${length} bytes`,
    );
  }
  assert(decodePackFooter(footer.subarray(0, 80), { ...trailer, name: "3f9a" }).length === 2);
});

Deno.test("decodePackFooter() refuses two entries of one digest", () => {
  const entries = tiled([100, 200, 300], (at) => digestOf(at === 1 ? "c1" : "c0"));
  const { footer, sizeBytes } = footerAt(entries, 16 + 3 * RECORD_HEADER_BYTES + 600);
  assertRefused(() => readFooter(footer, sizeBytes), "format", "entry 2 has the digest of one before it");
});
