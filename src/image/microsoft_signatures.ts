/**
 * Recognizes the boot sectors of Microsoft's file systems: NTFS, ReFS, FAT, exFAT and BitLocker. All begin
 * with one, and FAT has no magic of its own, so they are told apart in one place. Labels that lie outside of
 * the boot sector are looked up one bounded read away, no further.
 */
import { type Extent, type FileSystem, isPowerOfTwo, named } from "./file_system.ts";
import type { Fields } from "./volume_bytes.ts";

/** FVE volume GUID of BitLocker (libbde, "BitLocker Drive Encryption (BDE) format"). */
const BITLOCKER_GUID = "4967d63b-2e29-4ad8-8399-f6a339e3d001";
/** The most of a root directory that is searched for a volume label. */
const MAX_ROOT_BYTES = 32 * 1024;
const DIRECTORY_ENTRY_BYTES = 32;

export async function probeMicrosoft(extent: Extent): Promise<FileSystem | undefined> {
  const boot = await extent.read(0, 512);
  if (!boot) return undefined;
  const name = boot.ascii(3, 8);
  if (name === "-FVE-FS-") return { kind: "bitlocker" };
  // BitLocker To Go hides behind a FAT boot sector.
  if (name === "MSWIN4.1" && boot.guid(424) === BITLOCKER_GUID) return { kind: "bitlocker" };
  if (name === "ReFS\0\0\0\0" && boot.ascii(16, 4) === "FSRS") return probeRefs(boot);
  if (boot.u16(510) !== 0xaa55) return undefined;
  if (name === "NTFS    ") return await probeNtfs(extent, boot);
  if (name === "EXFAT   ") return await probeExfat(extent, boot);
  return await probeFat(extent, boot);
}

function probeRefs(boot: Fields): FileSystem {
  return { kind: "refs", sizeBytes: boot.u64(24) * boot.u32(32), uuid: serial16(boot, 56) };
}

/** NTFS's boot sector and file record (as the Linux-NTFS project documents them). */
async function probeNtfs(extent: Extent, boot: Fields): Promise<FileSystem | undefined> {
  const sectorBytes = boot.u16(11);
  const perCluster = boot.u8(13);
  // Values above 128 are a negative power of two.
  const clusterBytes = sectorBytes * (perCluster > 128 ? 2 ** (256 - perCluster) : perCluster);
  if (!isPowerOfTwo(sectorBytes) || sectorBytes < 256 || !isPowerOfTwo(clusterBytes)) return undefined;
  const recordCode = boot.u8(64);
  const recordBytes = recordCode > 128 ? 2 ** (256 - recordCode) : recordCode * clusterBytes;
  const label = recordBytes >= 512 && recordBytes <= 65_536
    ? await ntfsLabel(extent, { at: boot.u64(48) * clusterBytes + 3 * recordBytes, recordBytes })
    : undefined;
  return { kind: "ntfs", ...named(label, serial16(boot, 72)), sizeBytes: boot.u64(40) * sectorBytes };
}

/** Record 3 of the MFT is `$Volume`; its resident attribute 0x60, `$VOLUME_NAME`, is the label. */
async function ntfsLabel(
  extent: Extent,
  record: { readonly at: number; readonly recordBytes: number },
): Promise<string | undefined> {
  const fields = await extent.read(record.at, record.recordBytes);
  if (fields?.ascii(0, 4) !== "FILE") return undefined;
  for (let at = fields.u16(20); at >= 42 && at + 24 <= record.recordBytes;) {
    const [type, length] = [fields.u32(at), fields.u32(at + 4)];
    if (type === 0xffffffff || length < 24 || at + length > record.recordBytes) return undefined;
    if (type === 0x60) {
      const [size, start] = [fields.u32(at + 16), at + fields.u16(at + 20)];
      // A label that spans a sector's last two bytes would need the record's fix-ups: not looked at.
      const isWhole = fields.u8(at + 8) === 0 && start + size <= at + length;
      return isWhole && Math.floor(start / 512) === Math.floor((start + size + 1) / 512)
        ? fields.text16(start, size)
        : undefined;
    }
    at += length;
  }
  return undefined;
}

/** exFAT file system specification §3.1 (boot sector) and §7.3 (volume label entry). */
async function probeExfat(extent: Extent, boot: Fields): Promise<FileSystem | undefined> {
  const [sectorShift, clusterShift] = [boot.u8(108), boot.u8(109)];
  if (sectorShift < 9 || sectorShift > 12 || clusterShift > 25 - sectorShift) return undefined;
  const clusterBytes = 2 ** (sectorShift + clusterShift);
  const root = boot.u32(88) * 2 ** sectorShift + (boot.u32(96) - 2) * clusterBytes;
  const entries = await extent.read(root, Math.min(clusterBytes, MAX_ROOT_BYTES));
  let label: string | undefined;
  for (let at = 0; entries && at < Math.min(clusterBytes, MAX_ROOT_BYTES); at += DIRECTORY_ENTRY_BYTES) {
    if (entries.u8(at) === 0) break;
    if (entries.u8(at) !== 0x83) continue;
    label = entries.text16(at + 2, Math.min(11, entries.u8(at + 1)) * 2);
    break;
  }
  return { kind: "exfat", ...named(label, serial8(boot, 100)), sizeBytes: boot.u64(72) * 2 ** sectorShift };
}

/** Microsoft FAT specification (FatGen 1.03), "BPB": no magic, so every field has to make sense. */
async function probeFat(extent: Extent, boot: Fields): Promise<FileSystem | undefined> {
  const [sectorBytes, perCluster, reserved, fats] = [boot.u16(11), boot.u8(13), boot.u16(14), boot.u8(16)];
  const [rootEntries, media] = [boot.u16(17), boot.u8(21)];
  if (![512, 1024, 2048, 4096].includes(sectorBytes) || !isPowerOfTwo(perCluster)) return undefined;
  if (reserved < 1 || fats < 1 || fats > 2 || (media < 0xf8 && media !== 0xf0)) return undefined;
  const isFat32 = boot.u16(22) === 0;
  const fatSectors = isFat32 ? boot.u32(36) : boot.u16(22);
  const sectors = boot.u16(19) || boot.u32(32);
  const rootSectors = Math.ceil(rootEntries * DIRECTORY_ENTRY_BYTES / sectorBytes);
  const firstData = reserved + fats * fatSectors + rootSectors;
  if (fatSectors === 0 || sectors <= firstData || (isFat32 && rootEntries !== 0)) return undefined;
  const clusters = Math.floor((sectors - firstData) / perCluster);
  const kind = isFat32 ? "fat32" : clusters < 4085 ? "fat12" : "fat16";
  const root = isFat32
    ? { at: (firstData + (boot.u32(44) - 2) * perCluster) * sectorBytes, length: perCluster * sectorBytes }
    : { at: (firstData - rootSectors) * sectorBytes, length: rootSectors * sectorBytes };
  const extended = isFat32 ? 66 : 38;
  const hasNames = boot.u8(extended) === 0x29;
  const bootLabel = hasNames ? fatName(boot, extended + 5) : undefined;
  const label = await fatLabel(extent, root) ?? (bootLabel === "NO NAME" ? undefined : bootLabel);
  const uuid = hasNames ? serial8(boot, extended + 1) : undefined;
  return { kind, ...named(label, uuid), sizeBytes: sectors * sectorBytes };
}

/** The root directory's entry with the volume attribute: what Windows shows, kept where the boot sector is stale. */
async function fatLabel(
  extent: Extent,
  root: { readonly at: number; readonly length: number },
): Promise<string | undefined> {
  const length = Math.min(root.length, MAX_ROOT_BYTES);
  const entries = await extent.read(root.at, length);
  for (let at = 0; entries && at + DIRECTORY_ENTRY_BYTES <= length; at += DIRECTORY_ENTRY_BYTES) {
    const first = entries.u8(at);
    if (first === 0) return undefined;
    const attributes = entries.u8(at + 11);
    // Volume, but neither a directory nor a piece of a long name.
    if (first !== 0xe5 && (attributes & 0x18) === 0x08 && (attributes & 0x0f) !== 0x0f) {
      return fatName(entries, at);
    }
  }
  return undefined;
}

/** 11 bytes of an OEM code page, padded with spaces; bytes beyond ASCII are shown as Latin-1. */
function fatName(fields: Fields, at: number): string {
  return fields.ascii(at, 11).replace(/ +$/, "");
}

function serial8(fields: Fields, at: number): string {
  const digits = fields.u32(at).toString(16).toUpperCase().padStart(8, "0");
  return `${digits.slice(0, 4)}-${digits.slice(4)}`;
}

function serial16(fields: Fields, at: number): string {
  return (fields.u32(at + 4).toString(16).padStart(8, "0") + fields.u32(at).toString(16).padStart(8, "0"))
    .toUpperCase();
}
