/**
 * Partition tables and signatures as no tool makes them: looping, overlapping, absurd, random. inspectVolume()
 * ends, stays within what it may read, and never throws.
 */
import { crc32 } from "node:zlib";
import { assert, assertEquals, assertLessOrEqual } from "@std/assert";
import { inspectVolume } from "../../src/image/mod.ts";
import { MemoryReader, seeded } from "./fakes.ts";

const SECTOR = 512;

/** Partition entries of one boot record: type, first sector, sectors, status. */
type Entries = readonly (readonly [type: number, first: number, sectors: number, status?: number])[];

/** A disk of `sectors` sectors with boot records at some of them. */
function disk(sectors: number, records: Readonly<Record<number, Entries>>): Uint8Array {
  const bytes = new Uint8Array(sectors * SECTOR);
  const view = new DataView(bytes.buffer);
  for (const [sector, entries] of Object.entries(records)) {
    const start = Number(sector) * SECTOR;
    entries.forEach(([type, first, length, status = 0], slot) => {
      const at = start + 446 + 16 * slot;
      bytes[at] = status;
      bytes[at + 4] = type;
      view.setUint32(at + 8, first, true);
      view.setUint32(at + 12, length, true);
    });
    view.setUint16(start + 510, 0xaa55, true);
  }
  return bytes;
}

const inspect = (bytes: Uint8Array) => inspectVolume(MemoryReader.fromImage(bytes, SECTOR));

Deno.test("inspectVolume() cuts a chain of logical partitions that comes back", async () => {
  const { partitions, notes } = await inspect(disk(100, {
    0: [[0x0f, 10, 80]],
    10: [[0x83, 1, 5], [0x05, 20, 10]],
    30: [[0x83, 1, 5], [0x05, 0, 10]],
  }));
  assertEquals(partitions.map(({ number, kind }) => [number, kind]), [[1, "extended"], [5, "logical"], [
    6,
    "logical",
  ]]);
  assertEquals(notes, ["The chain of logical partitions comes back to sector 10: cut there."]);
});

Deno.test("inspectVolume() cuts a chain of logical partitions that leaves the extended one, or breaks", async () => {
  const outsideOf = await inspect(disk(100, { 0: [[0x05, 10, 20]], 10: [[0x83, 1, 5], [0x05, 20, 9]] }));
  assertEquals(outsideOf.notes, [
    "The chain of logical partitions leaves the extended partition after sector 10: cut there.",
  ]);
  const broken = await inspect(disk(100, { 0: [[0x05, 10, 20]], 10: [[0x83, 1, 5], [0x05, 19, 9]] }));
  assertEquals(broken.notes, [
    "The chain of logical partitions breaks at sector 29: no boot record is readable there.",
  ]);
});

Deno.test("inspectVolume() does not follow a chain of logical partitions for ever", async () => {
  const records: Record<number, Entries> = { 0: [[0x05, 1, 2000]] };
  for (let sector = 1; sector < 1000; sector++) records[sector] = [[0x83, 1, 1], [0x05, sector, 1]];
  const { partitions, notes } = await inspect(disk(2002, records));
  assertEquals(partitions.length, 257);
  assert(notes.some((note) => note.includes("longer than 256")));
});

Deno.test("inspectVolume() tells partitions that overlap, or end beyond the volume", async () => {
  const { notes } = await inspect(disk(100, { 0: [[0x83, 10, 30], [0x83, 20, 10], [0x07, 90, 11]] }));
  assertEquals(notes, [
    "Partition 3 ends at byte 51712, the volume at 51200.",
    "Partitions 1 and 2 overlap.",
  ]);
});

Deno.test("inspectVolume() takes no boot code for a partition table", async () => {
  const odd = await inspect(disk(100, { 0: [[0x83, 10, 30, 0x41]] }));
  assertEquals([odd.table, odd.partitions], [undefined, []]);
  const empty = await inspect(disk(100, { 0: [] }));
  assertEquals([empty.table, empty.bare], [undefined, undefined]);
});

Deno.test("inspectVolume() says where nothing can be read", async () => {
  const bytes = disk(400, { 0: [[0x83, 200, 200]] });
  const whole = MemoryReader.fromImage(bytes, SECTOR);
  const states = whole.states.map((state, block) =>
    block >= 200 && block < 210 ? "unreadable" as const : state
  );
  const { partitions } = await inspectVolume(Object.assign(whole, { states }));
  assertEquals(partitions.map(({ isUnreadable, contents }) => [isUnreadable, contents]), [[true, undefined]]);
  const none = new MemoryReader(Array.from({ length: 400 }, () => "unreadable"));
  const { table, bare, notes } = await inspectVolume(none);
  assertEquals([table, bare, notes.length], [undefined, undefined, 1]);
});

for (const blocks of [1, 2, 3, 136, 137]) {
  Deno.test(`inspectVolume() of ${blocks} empty sectors finds nothing`, async () => {
    for (const state of ["absent", "zero", "unreadable"] as const) {
      const { table, partitions, bare } = await inspectVolume(
        new MemoryReader(Array.from({ length: blocks }, () => state)),
      );
      assertEquals([table, partitions, bare], [undefined, [], undefined]);
    }
  });
}

/** A disk with a primary GPT whose CRCs are right, whatever it says. */
function gptDisk(
  sectors: number,
  gpt: { count: number; entryBytes?: number; tableSector?: number; table: Uint8Array },
): Uint8Array {
  const { count, entryBytes = 128, tableSector = 2, table } = gpt;
  const bytes = disk(sectors, { 0: [[0xee, 1, sectors - 1]] });
  const header = new DataView(bytes.buffer, SECTOR, SECTOR);
  bytes.set(new TextEncoder().encode("EFI PART"), SECTOR);
  header.setUint32(8, 0x10000, true);
  header.setUint32(12, 92, true);
  header.setBigUint64(24, 1n, true);
  header.setBigUint64(32, BigInt(sectors - 1), true);
  header.setBigUint64(72, BigInt(tableSector), true);
  header.setUint32(80, count, true);
  header.setUint32(84, entryBytes, true);
  bytes.set(table, tableSector * SECTOR);
  header.setUint32(88, crc32(table), true);
  header.setUint32(16, crc32(bytes.subarray(SECTOR, SECTOR + 92)), true);
  return bytes;
}

/** One GPT entry of `type` (a byte repeated) from `first` to `last`. */
function gptEntry(type: number, first: bigint, last: bigint): Uint8Array {
  const bytes = new Uint8Array(128).fill(type, 0, 16);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(32, first, true);
  view.setBigUint64(40, last, true);
  // A name of 36 units without an end, the first of them an escape.
  bytes.fill(0x41, 56, 128);
  view.setUint16(56, 0x1b, true);
  return bytes;
}

Deno.test("inspectVolume() lists GPT entries with absurd places as far as they have one", async () => {
  const most = 2n ** 64n - 1n;
  const entries = [
    gptEntry(1, 40n, 49n),
    gptEntry(2, 50n, 49n),
    gptEntry(3, most, most),
    gptEntry(4, 60n, 2n ** 40n),
    gptEntry(5, 0n, most),
  ];
  const table = new Uint8Array(128 * 128);
  entries.forEach((entry, i) => table.set(entry, i * 128));
  const { table: found, partitions, notes } = await inspect(gptDisk(100, { count: 128, table }));
  assertEquals(found?.kind, "gpt");
  assertEquals(partitions.map(({ number, offsetBytes }) => [number, offsetBytes]), [[1, 40 * 512], [
    4,
    60 * 512,
  ]]);
  assertEquals(partitions[0]?.name, "\u001b" + "\u4141".repeat(35));
  assertEquals(notes.filter((note) => note.includes("has no place")).length, 3);
  assert(notes.some((note) => note.startsWith("Partition 4 ends at byte")));
});

Deno.test("inspectVolume() believes no GPT that claims an absurd table", async () => {
  const table = new Uint8Array(128);
  for (
    const claim of [
      { count: 2 ** 32 - 1 },
      { count: 8193 },
      { count: 1, entryBytes: 127 },
      { count: 1, entryBytes: 0 },
      { count: 1, entryBytes: 2 ** 31 },
      { count: 1, entryBytes: 132 },
    ]
  ) {
    const { table: found, notes } = await inspect(gptDisk(100, { ...claim, table }));
    assertEquals([found?.kind, notes.length], ["mbr", 1], JSON.stringify(claim));
  }
  const empty = await inspect(gptDisk(100, { count: 0, table: new Uint8Array() }));
  assertEquals([empty.table?.kind, empty.partitions], ["gpt", []]);
});

Deno.test("inspectVolume() bounds what a table of 8,192 partitions costs", async () => {
  const table = new Uint8Array(8192 * 128);
  for (let i = 0; i < 8192; i++) table.set(gptEntry(1 + i % 200, 2100n, 2200n), i * 128);
  const { partitions, notes } = await inspect(gptDisk(3000, { count: 8192, table }));
  assertEquals([partitions.length, notes.length], [8192, 100]);
  assertEquals(notes.at(-1)?.startsWith("And "), true);
});

/** Puts magics where the probes look, so that noise gets past the first test of each. */
const MAGICS: readonly (readonly [at: number, text: string])[] = [
  [0, "LUKS\xba\xbe\0\x02"],
  [512, "LABELONE"],
  [536, "LVM2 001"],
  [0, "XFSB"],
  [3, "NTFS    "],
  [3, "EXFAT   "],
  [3, "ReFS\0\0\0\0"],
  [3, "-FVE-FS-"],
  [3, "MSWIN4.1"],
  [510, "\x55\xaa"],
  [512, "EFI PART\0\0\x01\0\x5c\0\0\0"],
  [1080, "\x53\xef"],
  [4086, "SWAPSPACE2"],
  [4096, "\xfc\x4e\x2b\xa9\x01\0\0\0"],
  [65_600, "_BHRfS_M"],
  [1536, "FILE"],
];

Deno.test("inspectVolume() survives noise with true magics in it", async () => {
  const seed = Number(Deno.env.get("COLDCASE_SEED") ?? Date.now() % 2 ** 32);
  // deno-lint-ignore no-console
  console.log(`COLDCASE_SEED=${seed}`);
  const next = seeded(seed);
  for (let round = 0; round < 400; round++) {
    const bytes = new Uint8Array(144 * SECTOR);
    const density = next() % 4;
    if (density > 0) {
      for (let at = 0; at < bytes.length; at++) {
        bytes[at] = next() % 4 < density ? next() & 0xff : 0;
      }
    }
    for (const [at, text] of MAGICS) {
      if (next() % 2 === 0) continue;
      for (let i = 0; i < text.length; i++) bytes[at + i] = text.charCodeAt(i);
    }
    // Small numbers where the structures keep their geometry.
    for (let field = 11; field < 128; field += 1 + next() % 7) bytes[field] = next() % 20;
    if (next() % 2 === 0) { for (const at of [446, 462, 478, 494]) bytes[at] = next() % 2 * 0x80; }
    const reader = MemoryReader.fromImage(bytes, SECTOR);
    const { partitions, notes, bare } = await inspectVolume(reader);
    assertLessOrEqual(partitions.length, 8192);
    assertLessOrEqual(notes.length, 100);
    assertLessOrEqual(bare?.label?.length ?? 0, 256);
  }
});
