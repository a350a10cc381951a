/**
 * The disk of a made-up victim, for the demo: an MBR with one FAT16 file system and a few files in it, twice:
 * as found, and after somebody had cleaned up. Written by formula, so that the demo needs no other tool. Not a
 * general FAT writer: files lie one after the other in the root directory.
 *
 * @see Microsoft, "FAT: General Overview of On-Disk Format", version 1.03
 */
import * as fs from "node:fs";
import { createCipheriv, createHash } from "node:crypto";

const SECTOR_BYTES = 512;
const SECTORS_PER_CLUSTER = 32;
const CLUSTER_BYTES = SECTOR_BYTES * SECTORS_PER_CLUSTER;
const PARTITION_START_SECTOR = 2048;
const PARTITION_SECTORS = 512 * 2048; // 512 MiB
const ROOT_ENTRIES = 512;
const ROOT_SECTORS = ROOT_ENTRIES * 32 / SECTOR_BYTES;
/** 32,760 clusters of two bytes, with the two reserved ones: 128 sectors hold them. */
const FAT_SECTORS = 128;
const FIRST_DATA_SECTOR = 1 + 2 * FAT_SECTORS + ROOT_SECTORS;

interface DemoFile {
  /** 8 characters and 3, padded with spaces. */
  readonly name: string;
  readonly bytes: Uint8Array;
  /** Deleted: its directory entry is marked, its clusters are free, its bytes are still there. */
  readonly isDeleted?: boolean;
  /** Wiped with zeros after it was deleted. */
  readonly isWiped?: boolean;
}

/** Bytes that do not compress, the same in every run: a cipher's key stream. */
function noise(seed: string, sizeBytes: number): Uint8Array {
  const key = createHash("sha256").update(seed).digest();
  return createCipheriv("aes-256-ctr", key, new Uint8Array(16)).update(new Uint8Array(sizeBytes));
}

function logLines(count: number): Uint8Array {
  const lines = Array.from(
    { length: count },
    (_, line) =>
      `Nov 20 03:${String(line % 60).padStart(2, "0")} sshd[${
        1000 + line
      }]: Accepted publickey for deploy from 203.0.113.${line % 200}\n`,
  );
  return new TextEncoder().encode(lines.join(""));
}

const MIB = 1024 * 1024;

/** The files as found, and after the clean-up. */
function files(isAfter: boolean): DemoFile[] {
  return [
    { name: "AUTH    LOG", bytes: isAfter ? logLines(40) : logLines(40_000) },
    { name: "CUSTOMERCSV", bytes: noise("customers", 9 * MIB), isDeleted: isAfter, isWiped: isAfter },
    { name: "SHELL   PHP", bytes: noise("shell", 20_000), isDeleted: isAfter },
    { name: "BACKUP  TAR", bytes: noise("backup", 24 * MIB) },
    ...(isAfter ? [{ name: "EXFIL   ZIP", bytes: noise("exfil", 3 * MIB) }] : []),
  ];
}

/**
 * Writes the disk to `path`, sparse, 1 GiB. The second state keeps every file where it was in the first.
 *
 * @param state `found` or `cleaned`.
 */
export function writeDemoDisk(path: string, state: "found" | "cleaned"): void {
  const places = files(false);
  const descriptor = fs.openSync(path, "wx");
  try {
    fs.ftruncateSync(descriptor, 1024 * MIB);
    const write = (bytes: Uint8Array, sector: number) => {
      fs.writeSync(descriptor, bytes, 0, bytes.length, (PARTITION_START_SECTOR + sector) * SECTOR_BYTES);
    };
    fs.writeSync(descriptor, masterBootRecord(), 0, SECTOR_BYTES, 0);
    write(bootSector(), 0);
    const table = new Uint16Array(FAT_SECTORS * SECTOR_BYTES / 2);
    table.set([0xfff8, 0xffff]);
    const root = new Uint8Array(ROOT_SECTORS * SECTOR_BYTES);
    root.set(directoryEntry({ name: "VICTIM     ", attributes: 0x08, cluster: 0, sizeBytes: 0 }));
    let cluster = 2;
    for (const [position, file] of files(state === "cleaned").entries()) {
      const span = Math.max(file.bytes.length, places[position]?.bytes.length ?? 0);
      const entry = directoryEntry({
        name: file.name,
        attributes: 0x20,
        cluster,
        sizeBytes: file.bytes.length,
      });
      if (file.isDeleted) entry[0] = 0xe5;
      else chain(table, cluster, Math.ceil(file.bytes.length / CLUSTER_BYTES));
      root.set(entry, (position + 1) * 32);
      if (!file.isWiped) write(file.bytes, FIRST_DATA_SECTOR + (cluster - 2) * SECTORS_PER_CLUSTER);
      cluster += Math.ceil(span / CLUSTER_BYTES);
    }
    const tableBytes = new Uint8Array(table.buffer);
    write(tableBytes, 1);
    write(tableBytes, 1 + FAT_SECTORS);
    write(root, 1 + 2 * FAT_SECTORS);
  } finally {
    fs.closeSync(descriptor);
  }
}

function chain(table: Uint16Array, first: number, count: number): void {
  for (let at = first; at < first + count; at++) table[at] = at + 1 < first + count ? at + 1 : 0xffff;
}

function masterBootRecord(): Uint8Array {
  const bytes = new Uint8Array(SECTOR_BYTES);
  const fields = new DataView(bytes.buffer);
  fields.setUint32(440, 0x0ddba11, true); // disk signature
  bytes[446 + 4] = 0x0e; // FAT16, LBA
  fields.setUint32(446 + 8, PARTITION_START_SECTOR, true);
  fields.setUint32(446 + 12, PARTITION_SECTORS, true);
  fields.setUint16(510, 0xaa55, true);
  return bytes;
}

function bootSector(): Uint8Array {
  const bytes = new Uint8Array(SECTOR_BYTES);
  const fields = new DataView(bytes.buffer);
  bytes.set([0xeb, 0x3c, 0x90]);
  bytes.set(ascii("COLDCASE"), 3);
  fields.setUint16(11, SECTOR_BYTES, true);
  bytes[13] = SECTORS_PER_CLUSTER;
  fields.setUint16(14, 1, true); // reserved sectors
  bytes[16] = 2; // copies of the table
  fields.setUint16(17, ROOT_ENTRIES, true);
  bytes[21] = 0xf8; // fixed disk
  fields.setUint16(22, FAT_SECTORS, true);
  fields.setUint16(24, 63, true);
  fields.setUint16(26, 255, true);
  fields.setUint32(28, PARTITION_START_SECTOR, true);
  fields.setUint32(32, PARTITION_SECTORS, true);
  bytes[36] = 0x80;
  bytes[38] = 0x29;
  fields.setUint32(39, 0xc01dca5e, true);
  bytes.set(ascii("VICTIM     FAT16   "), 43);
  fields.setUint16(510, 0xaa55, true);
  return bytes;
}

function directoryEntry(
  facts: {
    readonly name: string;
    readonly attributes: number;
    readonly cluster: number;
    readonly sizeBytes: number;
  },
): Uint8Array {
  const bytes = new Uint8Array(32);
  const fields = new DataView(bytes.buffer);
  bytes.set(ascii(facts.name));
  bytes[11] = facts.attributes;
  fields.setUint16(24, ((2026 - 1980) << 9) | (11 << 5) | 20, true); // 2026-11-20
  fields.setUint16(26, facts.cluster, true);
  fields.setUint32(28, facts.sizeBytes, true);
  return bytes;
}

function ascii(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}
