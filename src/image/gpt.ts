/**
 * The GUID partition table (UEFI 2.10 §5.3): primary and backup, each with its two CRCs. One of them is
 * enough; what is wrong with the other, and where they disagree, becomes a note. Sizes and counts in a
 * header are bounded before anything is read by them.
 */
import { crc32 } from "node:zlib";
import { Fields, type VolumeBytes } from "./volume_bytes.ts";

/** Logical block sizes under which a table is looked for. An EBS volume has 512; an image may come from elsewhere. */
const SECTOR_SIZES: readonly number[] = [512, 4096];
const HEADER_BYTES = 92;
const ENTRY_BYTES = 128;
/** The customary table is 16 KiB; one of 1 MiB has 8,192 entries. */
const MAX_TABLE_BYTES = 1024 * 1024;

export interface GptPartition {
  /** Position in the table, from 1 on. */
  readonly number: number;
  /** GUIDs in lower case. */
  readonly type: string;
  readonly uuid: string;
  /** At most 36 UTF-16 units. */
  readonly name: string;
  readonly isBootable: boolean;
  readonly offsetBytes: number;
  readonly lengthBytes: number;
}

export interface GptTable {
  readonly sectorSizeBytes: number;
  /** The disk's GUID in lower case. */
  readonly id: string;
  readonly partitions: readonly GptPartition[];
  readonly notes: readonly string[];
}

/** The table under either sector size; `undefined` where neither a primary nor a backup is valid. */
export async function readGpt(bytes: VolumeBytes): Promise<GptTable | undefined> {
  for (const sectorBytes of SECTOR_SIZES) {
    const table = await readTables(bytes, sectorBytes);
    if (table) return table;
  }
  return undefined;
}

async function readTables(bytes: VolumeBytes, sectorBytes: number): Promise<GptTable | undefined> {
  const lastSector = Math.floor(bytes.sizeBytes / sectorBytes) - 1;
  const notes: string[] = [];
  const primary = await readHalf(bytes, { sectorBytes, sector: 1 });
  const backupSector = typeof primary === "object" ? primary.alternateSector : lastSector;
  const backup = await readHalf(bytes, { sectorBytes, sector: backupSector });
  const used = typeof primary === "object" ? primary : typeof backup === "object" ? backup : undefined;
  if (!used) return undefined;
  if (typeof primary === "string") {
    notes.push(`The primary GPT is not valid (${primary}): its backup was used.`);
  }
  if (typeof backup === "string") {
    notes.push(`The backup GPT in sector ${backupSector} is not valid (${backup}).`);
  } else if (backupSector !== lastSector) {
    notes.push(`The backup GPT is in sector ${backupSector}, the volume's last is ${lastSector}.`);
  }
  if (typeof primary === "object" && typeof backup === "object") {
    if (primary.id !== backup.id || primary.tableCrc !== backup.tableCrc) {
      notes.push("The primary and the backup GPT disagree: the primary was used.");
    }
  }
  return {
    sectorSizeBytes: sectorBytes,
    id: used.id,
    partitions: readEntries(used, { sectorBytes, notes }),
    notes,
  };
}

interface Half {
  readonly id: string;
  readonly alternateSector: number;
  readonly entryBytes: number;
  readonly entryCount: number;
  readonly tableCrc: number;
  readonly table: Uint8Array;
}

/** One header with its table, or in a phrase what is wrong with it. */
async function readHalf(
  bytes: VolumeBytes,
  place: { readonly sectorBytes: number; readonly sector: number },
): Promise<Half | string> {
  const { sectorBytes, sector } = place;
  const held = await bytes.read(sector * sectorBytes, sectorBytes);
  if (!held) return "its header is not readable";
  const header = new Fields(held);
  if (header.ascii(0, 8) !== "EFI PART") return "it has no signature";
  const headerBytes = header.u32(12);
  if (header.u32(8) !== 0x00010000) return "its revision is not 1.0";
  if (headerBytes < HEADER_BYTES || headerBytes > sectorBytes) return `its header has ${headerBytes} bytes`;
  const zeroed = held.slice(0, headerBytes);
  zeroed.fill(0, 16, 20);
  if (crc32(zeroed) !== header.u32(16)) return "its header's CRC does not match";
  if (header.u64(24) !== sector) return "its header is of another sector";
  const [entryCount, entryBytes] = [header.u32(80), header.u32(84)];
  if (entryBytes < ENTRY_BYTES || entryBytes % 8 !== 0 || entryCount * entryBytes > MAX_TABLE_BYTES) {
    return `its table has ${entryCount} entries of ${entryBytes} bytes`;
  }
  const table = entryCount === 0
    ? new Uint8Array()
    : await bytes.read(header.u64(72) * sectorBytes, entryCount * entryBytes);
  if (!table) return "its table is not readable";
  const tableCrc = header.u32(88);
  if (crc32(table) !== tableCrc) return "its table's CRC does not match";
  return { id: header.guid(56), alternateSector: header.u64(32), entryBytes, entryCount, tableCrc, table };
}

/** UEFI 2.10 §5.3.3: an entry whose type is all zeros is not in use. */
function readEntries(
  half: Half,
  how: { readonly sectorBytes: number; readonly notes: string[] },
): GptPartition[] {
  const found: GptPartition[] = [];
  for (let index = 0; index < half.entryCount; index++) {
    const entry = new Fields(half.table.subarray(index * half.entryBytes, (index + 1) * half.entryBytes));
    if (entry.isZero(0, 16)) continue;
    const [first, last] = [entry.u64(32), entry.u64(40)];
    const endBytes = (last + 1) * how.sectorBytes;
    if (last < first || !Number.isSafeInteger(endBytes)) {
      how.notes.push(`Partition ${index + 1} has no place: sectors ${first} to ${last}.`);
      continue;
    }
    found.push({
      number: index + 1,
      type: entry.guid(0),
      uuid: entry.guid(16),
      name: entry.text16(56, 72),
      // Attribute bit 2, "legacy BIOS bootable".
      isBootable: (entry.u8(48) & 0x04) !== 0,
      offsetBytes: first * how.sectorBytes,
      lengthBytes: endBytes - first * how.sectorBytes,
    });
  }
  return found;
}
