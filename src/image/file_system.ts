/**
 * What a file system, or anything else that fills a partition, looks like from outside: its kind, label,
 * UUID and size; and the part of a volume in which it is looked for. Recognizing it is done elsewhere
 * (`signatures.ts`, `microsoft_signatures.ts`).
 */
import { Fields, type VolumeBytes } from "./volume_bytes.ts";

/** What was recognized. */
export type FileSystemKind =
  | "ext2"
  | "ext3"
  | "ext4"
  | "xfs"
  | "btrfs"
  | "ntfs"
  | "refs"
  | "fat12"
  | "fat16"
  | "fat32"
  | "exfat"
  | "lvm2"
  | "luks1"
  | "luks2"
  | "bitlocker"
  | "mdraid"
  | "swap";

export interface FileSystem {
  readonly kind: FileSystemKind;
  /** As written on the disk, up to its field's length: raw, may hold control characters. */
  readonly label?: string;
  /** In the notation of the kind's own tools: a UUID, `1A2B-3C4D` (FAT), 16 digits (NTFS). */
  readonly uuid?: string;
  /** As its superblock says; may be less than the partition, or more where it was cut. */
  readonly sizeBytes?: number;
}

/** Names for people. */
export const FILE_SYSTEM_TITLES: Readonly<Record<FileSystemKind, string>> = {
  ext2: "ext2",
  ext3: "ext3",
  ext4: "ext4",
  xfs: "XFS",
  btrfs: "Btrfs",
  ntfs: "NTFS",
  refs: "ReFS",
  fat12: "FAT12",
  fat16: "FAT16",
  fat32: "FAT32",
  exfat: "exFAT",
  lvm2: "LVM2 physical volume",
  luks1: "LUKS1 (encrypted)",
  luks2: "LUKS2 (encrypted)",
  bitlocker: "BitLocker (encrypted)",
  mdraid: "Linux RAID member",
  swap: "Linux swap",
};

/** A part of a volume, seen as a device of its own. */
export class Extent {
  readonly offsetBytes: number;
  readonly lengthBytes: number;
  readonly #bytes: VolumeBytes;

  constructor(bytes: VolumeBytes, range: { readonly offsetBytes: number; readonly lengthBytes: number }) {
    this.#bytes = bytes;
    this.offsetBytes = range.offsetBytes;
    this.lengthBytes = range.lengthBytes;
  }

  /** `undefined` where the range is not inside the extent, not inside the volume, or unreadable. */
  async read(at: number, length: number): Promise<Fields | undefined> {
    if (at < 0 || !(at + length <= this.lengthBytes)) return undefined;
    const bytes = await this.#bytes.read(this.offsetBytes + at, length);
    return bytes && new Fields(bytes);
  }
}

/** Label and UUID, each only where there is one. */
export function named(
  label: string | undefined,
  uuid: string | undefined,
): Pick<FileSystem, "label" | "uuid"> {
  const isEmptyUuid = uuid === undefined || /^[0-]*$/.test(uuid);
  return { ...(label ? { label } : {}), ...(isEmptyUuid ? {} : { uuid }) };
}

export function isPowerOfTwo(value: number): boolean {
  return value > 0 && Number.isInteger(Math.log2(value));
}
