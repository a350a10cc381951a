/**
 * Partition tables and file-system signatures as a target of the fuzzer. An input is a list of sectors, each of two
 * bytes of place and 512 of contents, on a volume of 256 KiB: damage hits what is looked at, not a volume's emptiness.
 */
import { crc32 } from "node:zlib";
import { inspectVolume } from "../../src/image/mod.ts";
import type { BlockReader, BlockRun } from "../../src/model.ts";
import { law, type Target } from "./target.ts";

const SECTOR = 512;
const SECTORS = 512;
/** Sectors are read one a block: more than all of them, several times over, is no bounded look. */
const MAX_READS = 20 * SECTORS;

type Sectors = Readonly<Record<number, Uint8Array>>;

function inputOf(sectors: Sectors): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(
    Object.entries(sectors).flatMap(([place, bytes]) => [Number(place) & 0xff, Number(place) >> 8, ...bytes]),
  );
}

function volumeOf(input: Uint8Array): Uint8Array {
  const volume = new Uint8Array(SECTORS * SECTOR);
  for (let at = 0; at + 2 < input.length; at += 2 + SECTOR) {
    const place = (input[at]! | input[at + 1]! << 8) % SECTORS;
    volume.set(input.subarray(at + 2, at + 2 + SECTOR), place * SECTOR);
  }
  return volume;
}

/** A sector with texts, 32-bit numbers and bytes at their offsets. */
function sector(parts: Readonly<Record<number, string | number | readonly number[]>>): Uint8Array {
  const bytes = new Uint8Array(SECTOR);
  const fields = new DataView(bytes.buffer);
  for (const [at, part] of Object.entries(parts)) {
    if (typeof part === "number") fields.setUint32(Number(at), part, true);
    else {bytes.set(
        typeof part === "string" ? Uint8Array.from(part, (c) => c.charCodeAt(0)) : part,
        Number(at),
      );}
  }
  return bytes;
}

/** Entries of a boot record: status, type, first sector, sectors. */
function bootRecord(entries: readonly (readonly [number, number, number, number])[]): Uint8Array {
  const parts: Record<number, number | number[]> = { 440: 0x12345678, 510: [0x55, 0xaa] };
  entries.forEach(([status, type, first, count], slot) => {
    const at = 446 + 16 * slot;
    Object.assign(parts, { [at]: [status], [at + 4]: [type], [at + 8]: first, [at + 12]: count });
  });
  return sector(parts);
}

const GPT_ENTRIES = [1, 2, 3, 4].flatMap((number) => {
  const entry = sector({
    0: "\x01".repeat(16),
    16: "\x02".repeat(16),
    32: 40 * number,
    40: 40 * number + 9,
    56: "d\0a\0t\0",
  });
  return [...entry.subarray(0, 128)];
});

function gptHeader(at: number, other: number): Uint8Array {
  return sector({
    ...{ 0: "EFI PART", 8: 0x10000, 12: 92, 24: at, 32: other, 40: 34, 48: 400, 56: "\x07".repeat(16) },
    ...{ 72: at === 1 ? 2 : SECTORS - 2, 80: 4, 84: 128 },
  });
}

/** Both CRCs of whatever lies where a GPT's halves do; in the table where its entries do. */
function mendGpt(input: Uint8Array): Uint8Array {
  const places = new Map<number, number>();
  for (let at = 0; at + 2 + SECTOR <= input.length; at += 2 + SECTOR) {
    places.set(input[at]! | input[at + 1]! << 8, at + 2);
  }
  for (const at of places.values()) {
    const header = new DataView(input.buffer, input.byteOffset + at, SECTOR);
    if (header.getUint32(0, true) !== 0x20494645) continue;
    const table = places.get(header.getUint32(72, true) & 0xffff);
    const bytes = header.getUint32(80, true) * header.getUint32(84, true);
    if (table !== undefined && bytes <= SECTOR) {
      header.setUint32(88, crc32(input.subarray(table, table + bytes)), true);
    }
    header.setUint32(16, 0, true);
    const length = Math.min(SECTOR, header.getUint32(12, true));
    header.setUint32(16, crc32(input.subarray(at, at + length)), true);
  }
  return input;
}

const TABLES: readonly Sectors[] = [
  { 0: bootRecord([[0x80, 0x83, 8, 100], [0, 0x07, 108, 100], [0, 0xee, 1, 500]]) },
  {
    0: bootRecord([[0, 0x05, 16, 400]]),
    16: bootRecord([[0, 0x83, 1, 5], [0, 0x05, 20, 10]]),
    36: bootRecord([[0, 0x82, 1, 5], [0, 0x0f, 40, 10]]),
    56: bootRecord([[0, 0x8e, 1, 5]]),
  },
  {
    0: bootRecord([[0, 0xee, 1, SECTORS - 1]]),
    1: gptHeader(1, SECTORS - 1),
    2: Uint8Array.from(GPT_ENTRIES),
    [SECTORS - 2]: Uint8Array.from(GPT_ENTRIES),
    [SECTORS - 1]: gptHeader(SECTORS - 1, 1),
  },
];

const FILE_RECORD = sector({
  ...{
    0: "FILE",
    20: [56, 0],
    56: 0x10,
    60: 24,
    80: 0x60,
    84: 40,
    96: 6,
    100: [24, 0],
    104: "D\0:\0x\0",
    120: 0xffffffff,
  },
});

const FILE_SYSTEMS: readonly Sectors[] = [
  {
    2: sector({
      4: 100_000,
      24: 2,
      56: [0x53, 0xef],
      92: 4,
      96: 0x2c2,
      100: 0x46b,
      104: "\x11".repeat(16),
      120: "root",
    }),
  },
  {
    0: sector({
      0: "XFSB",
      4: [0, 0, 16, 0],
      8: [0, 0, 0, 0, 0, 1, 0, 0],
      32: "\x11".repeat(16),
      108: "data",
    }),
  },
  { 128: sector({ 32: "\x11".repeat(16), 64: "_BHRfS_M", 112: 1 << 28, 299: "pool" }) },
  {
    0: sector({
      3: "NTFS    ",
      11: [0, 2, 8],
      40: 100_000,
      48: 4,
      64: [0xf7],
      72: 0x1234,
      510: [0x55, 0xaa],
    }),
    35: FILE_RECORD,
  },
  {
    0: sector({ 3: "EXFAT   ", 72: 9999, 88: 64, 96: 2, 100: 7, 108: [9, 3], 510: [0x55, 0xaa] }),
    64: sector({ 0: [0x83, 2, 65, 0, 66, 0] }),
  },
  {
    0: sector({
      3: "mkfs.fat",
      11: [0, 2, 4, 1, 0, 2, 16, 0],
      19: [0, 2],
      21: [0xf8, 2, 0],
      38: [0x29],
      39: 7,
      43: "CAMERA     ",
      510: [0x55, 0xaa],
    }),
    5: sector({ 0: "CAMERA     \x08" }),
  },
  { 0: sector({ 3: "ReFS\0\0\0\0", 16: "FSRS", 24: 1000, 32: 512 }) },
  { 0: sector({ 3: "-FVE-FS-" }) },
  { 0: sector({ 0: "LUKS\xba\xbe\0\x02", 24: "vault", 168: "0123-4567" }) },
  { 1: sector({ 0: "LABELONE", 20: 32, 24: "LVM2 001", 32: "a".repeat(32), 64: 1 << 28 }) },
  { 8: sector({ 0: 0xa92b4efc, 4: 1, 16: "\x11".repeat(16), 32: "host:0" }) },
  { 7: sector({ 502: "SWAPSPACE2" }), 2: sector({ 0: 1, 4: 255, 12: "\x11".repeat(16), 28: "swap" }) },
];

/** Ready without a turn of the event loop: a million volumes are looked at. */
class SectorReader implements BlockReader {
  readonly shape = { blockSizeBytes: SECTOR, blockCount: SECTORS, volumeSizeGib: 1 };
  readonly #volume: Uint8Array;
  reads = 0;

  constructor(volume: Uint8Array) {
    this.#volume = volume;
  }

  async *runs(fromBlock = 0): AsyncGenerator<BlockRun> {
    yield await Promise.resolve({ state: "stored", firstBlock: fromBlock, blockCount: SECTORS - fromBlock });
  }

  readBlock(index: number): Promise<Uint8Array> {
    this.reads++;
    return Promise.resolve(this.#volume.slice(index * SECTOR, (index + 1) * SECTOR));
  }
}

async function inspect(input: Uint8Array): Promise<void> {
  const reader = new SectorReader(volumeOf(input));
  const { table, partitions, bare, notes } = await inspectVolume(reader);
  law(reader.reads <= MAX_READS, `${reader.reads} sectors were read`);
  law(notes.length <= 100, `${notes.length} notes`);
  law((table !== undefined) || partitions.length === 0, "partitions without a table");
  for (
    const { offsetBytes, lengthBytes, contents } of [...partitions, {
      offsetBytes: 0,
      lengthBytes: 0,
      contents: bare,
    }]
  ) {
    law(Number.isSafeInteger(offsetBytes) && offsetBytes >= 0, `a partition at byte ${offsetBytes}`);
    law(Number.isSafeInteger(lengthBytes) && lengthBytes >= 0, `a partition of ${lengthBytes} bytes`);
    const { sizeBytes = 0, label = "", uuid = "" } = contents ?? {};
    law(Number.isFinite(sizeBytes) && sizeBytes >= 0, `a file system of ${sizeBytes} bytes`);
    law(label.length <= 256 && uuid.length <= 64, "a name that is longer than its field");
  }
}

export const VOLUME_TARGETS: readonly Target[] = [
  {
    name: "partition table",
    kind: "bytes",
    codes: [],
    weight: 0.4,
    samples: TABLES.map(inputOf),
    mend: mendGpt,
    parse: inspect,
  },
  {
    name: "file-system signature",
    kind: "bytes",
    codes: [],
    weight: 0.4,
    samples: FILE_SYSTEMS.map(inputOf),
    parse: inspect,
  },
];
