/**
 * Recognizes what lies in a partition by its signature: file systems, encrypted containers, LVM, RAID, swap.
 * Tells kind, label, UUID and size from the superblock alone. It opens no file system, follows no pointer but
 * the few named here, and believes nothing: every number is from the disk, and may be an attacker's.
 */
import { type Extent, type FileSystem, isPowerOfTwo, named } from "./file_system.ts";
import { probeMicrosoft } from "./microsoft_signatures.ts";

type Probe = (extent: Extent) => Promise<FileSystem | undefined>;

/** What is in `extent`; the first that is recognized, containers before what may be left over inside them. */
export async function probeFileSystem(extent: Extent): Promise<FileSystem | undefined> {
  for (const probe of PROBES) {
    const found = await probe(extent);
    if (found) return found;
  }
  return undefined;
}

const PROBES: readonly Probe[] = [
  probeLuks,
  probeLvm,
  probeMdRaid,
  probeXfs,
  probeMicrosoft,
  probeExt,
  probeBtrfs,
  probeSwap,
];

/** LUKS1 and LUKS2 on-disk format specifications, "phdr" and "binary header". */
async function probeLuks(extent: Extent): Promise<FileSystem | undefined> {
  const header = await extent.read(0, 512);
  if (header?.ascii(0, 6) !== "LUKS\xba\xbe") return undefined;
  const version = header.u16be(6);
  if (version === 1) return { kind: "luks1", ...named(undefined, header.text(168, 40)) };
  if (version === 2) return { kind: "luks2", ...named(header.text(24, 48), header.text(168, 40)) };
  return undefined;
}

/** LVM2's label_header and pv_header (lib/format_text/layout.h): in one of the first four sectors. */
async function probeLvm(extent: Extent): Promise<FileSystem | undefined> {
  for (let sector = 0; sector < 4; sector++) {
    const label = await extent.read(sector * 512, 512);
    if (label?.ascii(0, 8) !== "LABELONE" || label.ascii(24, 8) !== "LVM2 001") continue;
    const header = label.u32(20);
    if (header > 512 - 40) return { kind: "lvm2" };
    const digits = label.ascii(header, 32);
    const uuid = /^[0-9A-Za-z]{32}$/.test(digits)
      ? digits.replace(/^(.{6})(.{4})(.{4})(.{4})(.{4})(.{4})(.{6})$/, "$1-$2-$3-$4-$5-$6-$7")
      : undefined;
    return { kind: "lvm2", ...named(undefined, uuid), sizeBytes: label.u64(header + 32) };
  }
  return undefined;
}

/** Linux md superblock 1.1 and 1.2 (include/uapi/linux/raid/md_p.h); 0.90 and 1.0 lie at the end, not looked at. */
async function probeMdRaid(extent: Extent): Promise<FileSystem | undefined> {
  for (const at of [0, 4096]) {
    const block = await extent.read(at, 256);
    if (block?.u32(0) !== 0xa92b4efc || block.u32(4) !== 1) continue;
    return { kind: "mdraid", ...named(block.text(32, 32), block.uuid(16)) };
  }
  return undefined;
}

/** XFS Algorithms & Data Structures, "Superblocks": big-endian. */
async function probeXfs(extent: Extent): Promise<FileSystem | undefined> {
  const block = await extent.read(0, 512);
  if (block?.ascii(0, 4) !== "XFSB") return undefined;
  const blockSize = block.u32be(4);
  if (!isPowerOfTwo(blockSize) || blockSize < 512 || blockSize > 65_536) return undefined;
  const sizeBytes = block.u64be(8) * blockSize;
  return { kind: "xfs", ...named(block.text(108, 12), block.uuid(32)), sizeBytes };
}

/** Features by which ext2, ext3 and ext4 are told apart (kernel documentation, "ext4 Data Structures: Super Block"). */
const EXT_COMPAT_JOURNAL = 0x4;
/** Unknown to ext3: huge_file, gdt_csum, dir_nlink, extra_isize, quota, bigalloc, metadata_csum, … */
const EXT_RO_COMPAT_BEYOND_EXT3 = ~0x7;
/** Unknown to ext3: all but filetype, needs_recovery, journal_dev and meta_bg. */
const EXT_INCOMPAT_BEYOND_EXT3 = ~0x1e;
const EXT_INCOMPAT_64BIT = 0x80;

async function probeExt(extent: Extent): Promise<FileSystem | undefined> {
  const block = await extent.read(1024, 1024);
  if (block?.u16(56) !== 0xef53) return undefined;
  const [blockSizeLog, compat, incompat, roCompat] = [
    block.u32(24),
    block.u32(92),
    block.u32(96),
    block.u32(100),
  ];
  if (blockSizeLog > 6) return undefined;
  const isExt4 = (incompat & EXT_INCOMPAT_BEYOND_EXT3) !== 0 || (roCompat & EXT_RO_COMPAT_BEYOND_EXT3) !== 0;
  const kind = isExt4 ? "ext4" : (compat & EXT_COMPAT_JOURNAL) !== 0 ? "ext3" : "ext2";
  const high = (incompat & EXT_INCOMPAT_64BIT) !== 0 ? block.u32(0x150) * 2 ** 32 : 0;
  const sizeBytes = (block.u32(4) + high) * 2 ** (10 + blockSizeLog);
  return { kind, ...named(block.text(120, 16), block.uuid(104)), sizeBytes };
}

/** Btrfs on-disk format, "Superblock": the first copy, at 64 KiB. */
async function probeBtrfs(extent: Extent): Promise<FileSystem | undefined> {
  const block = await extent.read(65_536, 4096);
  if (block?.ascii(64, 8) !== "_BHRfS_M") return undefined;
  return { kind: "btrfs", ...named(block.text(299, 256), block.uuid(32)), sizeBytes: block.u64(112) };
}

/** The kernel's `union swap_header`; the magic ends the first page. A hibernated system puts its own there. */
const SWAP_MAGICS = ["SWAPSPACE2", "SWAP-SPACE", "S1SUSPEND\0", "S2SUSPEND\0", "ULSUSPEND\0", "LINHIB0001"];

async function probeSwap(extent: Extent): Promise<FileSystem | undefined> {
  for (const pageSize of [4096, 8192, 16_384, 65_536]) {
    const magic = await extent.read(pageSize - 10, 10);
    if (!magic || !SWAP_MAGICS.includes(magic.ascii(0, 10))) continue;
    const header = await extent.read(1024, 128);
    if (header?.u32(0) !== 1) return { kind: "swap" };
    const sizeBytes = (header.u32(4) + 1) * pageSize;
    return { kind: "swap", ...named(header.text(28, 16), header.uuid(12)), sizeBytes };
  }
  return undefined;
}
