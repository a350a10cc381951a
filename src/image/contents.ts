/**
 * What a volume holds, as `info` shows it: its partition table and what is recognized in each partition, or
 * on the bare volume. Reads a few dozen blocks at most for an honest volume, and a bounded number for any. It
 * describes; it judges nothing, and repairs nothing.
 */
import type { BlockReader } from "../model.ts";
import { Extent, type FileSystem } from "./file_system.ts";
import { readGpt } from "./gpt.ts";
import { MBR_SECTOR_BYTES, readMbr } from "./mbr.ts";
import { gptTypeName, mbrTypeName } from "./partition_types.ts";
import { probeFileSystem } from "./signatures.ts";
import { VolumeBytes } from "./volume_bytes.ts";

/** Partitions whose contents are looked at; the rest is listed without. A table can claim 8,192. */
const MAX_PROBED = 256;
/** The most notes: a hostile table must not fill the screen. */
const MAX_NOTES = 100;
/** Where all signatures lie. */
const SIGNATURE_BYTES = 69_632;

export interface PartitionTable {
  readonly kind: "mbr" | "gpt";
  readonly sectorSizeBytes: number;
  /** GPT: the disk's GUID. MBR: 8 hexadecimal digits, where there are any. */
  readonly id: string | undefined;
}

/** All texts from the disk are raw: they may hold control characters. */
export interface Partition {
  /** As the table (GPT) and Linux (MBR) count. */
  readonly number: number;
  readonly kind: "primary" | "extended" | "logical";
  readonly offsetBytes: number;
  /** As the table says, also where that is beyond the volume's end (a note tells). */
  readonly lengthBytes: number;
  /** `0x83`, or a GUID in lower case. */
  readonly typeCode: string;
  /** `undefined`: a type that is not in our table. */
  readonly typeName: string | undefined;
  /** GPT only. */
  readonly name: string | undefined;
  readonly uuid: string | undefined;
  readonly isBootable: boolean;
  /** `undefined`: nothing was recognized, or it could not be read. */
  readonly contents: FileSystem | undefined;
  /** True where blocks at its beginning are unreadable, so that nothing is said of its contents. */
  readonly isUnreadable: boolean;
}

export interface VolumeContents {
  /** `undefined`: none was found. */
  readonly table: PartitionTable | undefined;
  /** In the table's order. */
  readonly partitions: readonly Partition[];
  /** What fills the volume itself, without a partition table (or in spite of one: a note tells). */
  readonly bare: FileSystem | undefined;
  /** Damage, disagreements and oddities, a sentence each, at most 100. */
  readonly notes: readonly string[];
}

/** Looks at the volume that `reader` shows. Throws what the reader throws; nothing on the disk makes it throw. */
export async function inspectVolume(reader: BlockReader): Promise<VolumeContents> {
  const bytes = new VolumeBytes(reader);
  const notes: string[] = [];
  const whole = new Extent(bytes, { offsetBytes: 0, lengthBytes: bytes.sizeBytes });
  const start = Math.min(SIGNATURE_BYTES, bytes.sizeBytes);
  if (await bytes.isUnreadable(0, start)) notes.push("The beginning of the volume is in part unreadable.");
  const bare = await probeFileSystem(whole);
  const found = await readTable(bytes, { isBootSector: bare !== undefined && isBootSector(bare), notes });
  if (found.table && bare) notes.push("A signature of a whole volume lies beside the partition table.");
  const partitions: Partition[] = [];
  for (const listed of found.partitions) {
    partitions.push(await lookInside(listed, { bytes, isProbed: partitions.length < MAX_PROBED, notes }));
  }
  noteOverlaps(partitions, notes);
  if (notes.length > MAX_NOTES) {
    notes.splice(MAX_NOTES - 1, Infinity, `And ${notes.length - MAX_NOTES + 1} notes more.`);
  }
  return { table: found.table, partitions, bare, notes };
}

/** File systems whose first sector is laid out like an MBR and ends in the same signature. */
function isBootSector(found: FileSystem): boolean {
  return ["ntfs", "refs", "fat12", "fat16", "fat32", "exfat", "bitlocker"].includes(found.kind);
}

type Listed = Omit<Partition, "contents" | "isUnreadable">;

async function readTable(
  bytes: VolumeBytes,
  how: { readonly isBootSector: boolean; readonly notes: string[] },
): Promise<{ readonly table: PartitionTable | undefined; readonly partitions: readonly Listed[] }> {
  const { notes } = how;
  const mbr = how.isBootSector ? undefined : await readMbr(bytes);
  const gpt = how.isBootSector ? undefined : await readGpt(bytes);
  if (gpt) {
    if (!mbr?.isProtective) notes.push("The GPT has no protective MBR.");
    else if (mbr.partitions.length > 1) {
      notes.push("The MBR lists partitions beside the GPT (hybrid): the GPT was used.");
    }
    notes.push(...gpt.notes);
    const { sectorSizeBytes, id } = gpt;
    const partitions = gpt.partitions.map((entry): Listed => ({
      ...entry,
      kind: "primary",
      typeCode: entry.type,
      typeName: gptTypeName(entry.type),
      name: entry.name === "" ? undefined : entry.name,
    }));
    return { table: { kind: "gpt", sectorSizeBytes, id }, partitions: partitions.map(pickListed) };
  }
  if (!mbr) return { table: undefined, partitions: [] };
  if (mbr.isProtective) {
    notes.push("The MBR says that there is a GPT, but neither it nor its backup is valid.");
  }
  notes.push(...mbr.notes);
  const partitions = mbr.partitions.map((entry): Listed => ({
    ...entry,
    typeCode: `0x${entry.type.toString(16).padStart(2, "0")}`,
    typeName: mbrTypeName(entry.type),
    name: undefined,
    uuid: undefined,
  }));
  const table: PartitionTable = { kind: "mbr", sectorSizeBytes: MBR_SECTOR_BYTES, id: mbr.id };
  return { table, partitions: partitions.map(pickListed) };
}

/** Just the members of a `Listed`: the readers' own are not for the door. */
function pickListed(listed: Listed): Listed {
  const { number, kind, offsetBytes, lengthBytes, typeCode, typeName, name, uuid, isBootable } = listed;
  return { number, kind, offsetBytes, lengthBytes, typeCode, typeName, name, uuid, isBootable };
}

async function lookInside(
  listed: Listed,
  how: { readonly bytes: VolumeBytes; readonly isProbed: boolean; readonly notes: string[] },
): Promise<Partition> {
  const { bytes, notes } = how;
  const { offsetBytes, lengthBytes } = listed;
  const end = offsetBytes + lengthBytes;
  if (end > bytes.sizeBytes) {
    notes.push(`Partition ${listed.number} ends at byte ${end}, the volume at ${bytes.sizeBytes}.`);
  }
  if (!how.isProbed || listed.kind === "extended" || offsetBytes >= bytes.sizeBytes) {
    return { ...listed, contents: undefined, isUnreadable: false };
  }
  const contents = await probeFileSystem(new Extent(bytes, { offsetBytes, lengthBytes }));
  const isUnreadable = contents === undefined &&
    await bytes.isUnreadable(offsetBytes, Math.min(lengthBytes, SIGNATURE_BYTES));
  return { ...listed, contents, isUnreadable };
}

function noteOverlaps(partitions: readonly Partition[], notes: string[]): void {
  const ordered = partitions.filter((entry) => entry.kind !== "extended")
    .toSorted((one, other) => one.offsetBytes - other.offsetBytes);
  let before: Partition | undefined;
  for (const entry of ordered) {
    if (before && before.offsetBytes + before.lengthBytes > entry.offsetBytes) {
      notes.push(`Partitions ${before.number} and ${entry.number} overlap.`);
    }
    const reach = before ? before.offsetBytes + before.lengthBytes : 0;
    if (entry.offsetBytes + entry.lengthBytes >= reach) before = entry;
  }
}
