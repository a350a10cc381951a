/** Packs and journals, a store's binary parts, as targets of the fuzzer: headers, footers, records, slots, log lines. */
import { Buffer } from "node:buffer";
import { crc32, zstdCompressSync } from "node:zlib";
import { packBlock, unpackBlock } from "../../src/cipher.ts";
import { sha256 } from "../../src/format/digests.ts";
import * as journal from "../../src/format/journal.ts";
import * as pack from "../../src/format/pack.ts";
import { plainBlock } from "../../src/format/segment.ts";
import { replayLog } from "../../src/store/_journal_log.ts";
import { bytesOf, digestOf } from "../format/refusals.ts";
import * as samples from "../format/samples.ts";
import { law, type Target } from "./target.ts";

const RECORD: pack.PackRecord = {
  codec: "zstd",
  blockBytes: 4096,
  storedBytes: 99,
  blockIndex: 7,
  digest: digestOf("a1"),
};
const FOOTER = pack.encodePackFooter([
  { digest: digestOf("a1"), offset: 16, storedBytes: 99 },
  { digest: digestOf("b2"), offset: 171, storedBytes: 512 },
]);
const PACK_BYTES = 171 + 56 + 512 + FOOTER.length;
const BLOCK = bytesOf("0123456789abcde\n".repeat(256));
/** Four GiB of zeros were they ever made, in frames that say so and in frames that do not. */
const BOMBS = [zstdCompressSync(Buffer.alloc(4 * 1024 * 1024)), bombOf(2 ** 32), bombOf(2 ** 53)];

/** A frame that declares `contentBytes` and consists of blocks that repeat one byte. */
function bombOf(contentBytes: number): Uint8Array {
  const head = Buffer.alloc(13);
  head.writeUInt32LE(0xfd2fb528, 0);
  head[4] = 0xe0; // eight bytes of size, one segment
  head.writeBigUInt64LE(BigInt(contentBytes), 5);
  // Type 1: 128 KiB of one byte each.
  const blocks = Array.from({ length: 2000 }, (_, at) => {
    const header = 131_072 << 3 | 1 << 1 | (at === 1999 ? 1 : 0);
    return [header & 0xff, header >> 8 & 0xff, header >> 16, 0];
  });
  return Uint8Array.from([...head, ...blocks.flat()]);
}

function mendRecord(bytes: Uint8Array): Uint8Array {
  if (bytes.length < 56) return bytes;
  const fields = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  fields.setUint32(20, 0, true);
  fields.setUint32(20, crc32(bytes.subarray(0, 56)), true);
  return bytes;
}

/** Digest and place of the footer, and so its size, as its entries want them. */
function mendFooter(bytes: Uint8Array): Uint8Array {
  if (bytes.length < 48) return bytes;
  bytes.set(Buffer.from(sha256(bytes.subarray(0, -48)), "hex"), bytes.length - 40);
  return bytes;
}

function mendLine(bytes: Uint8Array): Uint8Array {
  if (bytes.length >= 9) bytes.set(bytesOf(`${crc32(bytes.subarray(9)).toString(16).padStart(8, "0")} `));
  return bytes;
}

const LINES = samples.JOURNAL_ENTRIES.map((entry) => journal.encodeLogLine(entry));

export const PACK_TARGETS: readonly Target[] = [
  {
    name: "pack header",
    kind: "bytes",
    samples: [pack.encodePackHeader()],
    parse: (bytes) => pack.checkPackHeader(bytes, "p"),
  },
  {
    name: "record header",
    kind: "bytes",
    samples: [
      pack.encodeRecordHeader(RECORD),
      pack.encodeRecordHeader({ ...RECORD, codec: "raw", storedBytes: 4096 }),
    ],
    mend: mendRecord,
    parse: (bytes) => {
      const record = pack.decodeRecordHeader(bytes, { name: "p", offset: 16 });
      return bytes.length === 56 ? pack.encodeRecordHeader(record) : undefined;
    },
  },
  {
    name: "pack footer",
    kind: "bytes",
    samples: [FOOTER, pack.encodePackFooter([])],
    mend: mendFooter,
    parse: (bytes) => {
      const at = Math.max(0, bytes.length - 48);
      const sizeBytes = bytes.length === FOOTER.length ? PACK_BYTES : 16 + bytes.length;
      const trailer = pack.decodePackTrailer(bytes.subarray(at), { name: "p", sizeBytes });
      return pack.encodePackFooter(pack.decodePackFooter(bytes.subarray(0, at), { ...trailer, name: "p" }));
    },
  },
  {
    name: "compressed record",
    kind: "bytes",
    samples: [packBlock(BLOCK).stored, packBlock(new Uint8Array(4096)).stored],
    regressions: BOMBS,
    parse: (bytes) => {
      law(unpackBlock(bytes, { codec: "zstd", blockBytes: 4096 }).length === 4096, "a block of another size");
    },
  },
  {
    name: "journal log line",
    kind: "text",
    samples: LINES.map((line) => line.subarray(0, -1)),
    mend: mendLine,
    parse: (bytes) => {
      const entry = journal.decodeLogLine(bytes, "log");
      return entry && journal.encodeLogLine(entry).subarray(0, -1);
    },
  },
  {
    name: "journal log",
    kind: "text",
    samples: [Uint8Array.from(LINES.flatMap((line) => [...line]))],
    parse: (bytes) => {
      const log = {
        sizeBytes: () => bytes.length,
        read(into: Uint8Array, offset: number) {
          const part = bytes.subarray(offset, offset + into.length);
          into.set(part);
          return part.length;
        },
      };
      let entries = 0;
      const goodBytes = replayLog(
        log as unknown as Parameters<typeof replayLog>[0],
        "log",
        () => void entries++,
      );
      law(goodBytes <= bytes.length && (goodBytes === 0) === (entries === 0), "good bytes without entries");
    },
  },
  {
    name: "block map slot",
    kind: "bytes",
    samples: [
      journal.encodeSlot(7, { state: "stored", digest: digestOf("a1"), packNumber: 0 }),
      journal.encodeSlot(7, { state: "stored", digest: digestOf("a1"), packNumber: 0x123456 }),
      journal.encodeSlot(7, plainBlock("zero")),
    ],
    parse: (bytes) => {
      const block = journal.decodeSlot(bytes, 7);
      return block && journal.encodeSlot(7, block);
    },
  },
];
