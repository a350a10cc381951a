/**
 * The DOS partition table: the four entries of sector 0 and the chain of extended boot records behind one of
 * them. Sectors are 512 bytes, as on every EBS volume that carries one. The chain is an attacker's to shape:
 * it is followed inside the extended partition only, never to the same place twice, and not for ever.
 */
import { Fields, type VolumeBytes } from "./volume_bytes.ts";

export const MBR_SECTOR_BYTES = 512;
/** Linux gives a disk at most 256 minor numbers; nobody has made more logical partitions. */
const MAX_LOGICAL = 256;
const EXTENDED_TYPES: readonly number[] = [0x05, 0x0f, 0x85];
/** The type of the entry that keeps tools that know no GPT away from it. */
const PROTECTIVE_TYPE = 0xee;

/** One entry, in bytes of the volume. */
export interface MbrPartition {
  /** 1 to 4, logical ones from 5 on, as Linux counts. */
  readonly number: number;
  readonly kind: "primary" | "extended" | "logical";
  readonly type: number;
  readonly isBootable: boolean;
  readonly offsetBytes: number;
  readonly lengthBytes: number;
}

export interface MbrTable {
  /** The disk's signature (bytes 440 to 443) as 8 hexadecimal digits; `undefined` where it is 0. */
  readonly id: string | undefined;
  readonly partitions: readonly MbrPartition[];
  /** True where an entry of type 0xEE says that the disk has a GPT. */
  readonly isProtective: boolean;
  readonly notes: readonly string[];
}

/**
 * The table in sector 0; `undefined` where there is none. A boot sector of a file system ends in the same
 * signature: what counts is that all four entries make sense, and at least one is in use.
 */
export async function readMbr(bytes: VolumeBytes): Promise<MbrTable | undefined> {
  const sector = await readSector(bytes, 0);
  if (!sector) return undefined;
  const entries = [0, 1, 2, 3].map((slot) => readEntry(sector, slot));
  if (entries.some((entry) => entry.status !== 0 && entry.status !== 0x80)) return undefined;
  const used = entries.filter((entry) => entry.type !== 0 && entry.sectors > 0);
  if (used.length === 0 || used.some((entry) => entry.firstSector === 0)) return undefined;
  const notes: string[] = [];
  const partitions: MbrPartition[] = [];
  let extended: Entry | undefined;
  for (const entry of used) {
    const isExtended = EXTENDED_TYPES.includes(entry.type);
    partitions.push(
      partitionOf(entry, { number: entry.slot + 1, kind: isExtended ? "extended" : "primary", base: 0 }),
    );
    if (!isExtended) continue;
    if (extended) notes.push(`Partition ${entry.slot + 1} is a second extended partition: not followed.`);
    else extended = entry;
  }
  if (extended) partitions.push(...await readLogical(bytes, { extended, notes }));
  const id = sector.u32(440);
  return {
    id: id === 0 ? undefined : id.toString(16).padStart(8, "0"),
    partitions,
    isProtective: used.some((entry) => entry.type === PROTECTIVE_TYPE),
    notes,
  };
}

/**
 * The extended partition's chain: each record's first entry is a logical partition, relative to the record;
 * its second points to the next record, relative to the extended partition.
 */
async function readLogical(
  bytes: VolumeBytes,
  chain: { readonly extended: Entry; readonly notes: string[] },
): Promise<MbrPartition[]> {
  const { extended, notes } = chain;
  const found: MbrPartition[] = [];
  const seen = new Set<number>();
  for (let record = extended.firstSector;;) {
    if (seen.has(record)) {
      notes.push(`The chain of logical partitions comes back to sector ${record}: cut there.`);
      return found;
    }
    if (found.length >= MAX_LOGICAL || seen.size >= 2 * MAX_LOGICAL) {
      notes.push(`The chain of logical partitions is longer than ${MAX_LOGICAL}: cut there.`);
      return found;
    }
    seen.add(record);
    const sector = await readSector(bytes, record);
    if (!sector) {
      notes.push(
        `The chain of logical partitions breaks at sector ${record}: no boot record is readable there.`,
      );
      return found;
    }
    const [logical, next] = [readEntry(sector, 0), readEntry(sector, 1)];
    if (logical.type !== 0 && logical.sectors > 0) {
      found.push(partitionOf(logical, { number: 5 + found.length, kind: "logical", base: record }));
    }
    if (!EXTENDED_TYPES.includes(next.type) || next.sectors === 0) return found;
    if (next.firstSector >= extended.sectors) {
      notes.push(
        `The chain of logical partitions leaves the extended partition after sector ${record}: cut there.`,
      );
      return found;
    }
    record = extended.firstSector + next.firstSector;
  }
}

interface Entry {
  readonly slot: number;
  readonly status: number;
  readonly type: number;
  readonly firstSector: number;
  readonly sectors: number;
}

/** An entry of 16 bytes: status, CHS address (ignored, as by every system since 1995), type, CHS, start, length. */
function readEntry(sector: Fields, slot: number): Entry {
  const at = 446 + 16 * slot;
  return {
    slot,
    status: sector.u8(at),
    type: sector.u8(at + 4),
    firstSector: sector.u32(at + 8),
    sectors: sector.u32(at + 12),
  };
}

function partitionOf(
  entry: Entry,
  place: { readonly number: number; readonly kind: MbrPartition["kind"]; readonly base: number },
): MbrPartition {
  return {
    number: place.number,
    kind: place.kind,
    type: entry.type,
    isBootable: entry.status === 0x80,
    offsetBytes: (place.base + entry.firstSector) * MBR_SECTOR_BYTES,
    lengthBytes: entry.sectors * MBR_SECTOR_BYTES,
  };
}

async function readSector(bytes: VolumeBytes, sector: number): Promise<Fields | undefined> {
  const held = await bytes.read(sector * MBR_SECTOR_BYTES, MBR_SECTOR_BYTES);
  const fields = held && new Fields(held);
  return fields?.u16(510) === 0xaa55 ? fields : undefined;
}
