/**
 * Names of partition types: one-byte types of the MBR, GUIDs of the GPT. A table of what volumes of cloud
 * machines hold, not a complete one: an unknown type is shown by its code.
 */

/** By type byte. Sources: the kernel's and util-linux's lists, UEFI 2.10 §5.2. */
const MBR_TYPES: Readonly<Record<number, string>> = {
  0x01: "FAT12",
  0x04: "FAT16 below 32 MiB",
  0x05: "Extended",
  0x06: "FAT16",
  0x07: "NTFS, exFAT or HPFS",
  0x0b: "FAT32",
  0x0c: "FAT32 (LBA)",
  0x0e: "FAT16 (LBA)",
  0x0f: "Extended (LBA)",
  0x11: "Hidden FAT12",
  0x14: "Hidden FAT16 below 32 MiB",
  0x16: "Hidden FAT16",
  0x17: "Hidden NTFS or HPFS",
  0x1b: "Hidden FAT32",
  0x1c: "Hidden FAT32 (LBA)",
  0x1e: "Hidden FAT16 (LBA)",
  0x27: "Windows recovery",
  0x39: "Plan 9",
  0x42: "Windows dynamic disk",
  0x82: "Linux swap or Solaris",
  0x83: "Linux",
  0x85: "Linux extended",
  0x8e: "Linux LVM",
  0xa5: "FreeBSD",
  0xa6: "OpenBSD",
  0xa8: "macOS UFS",
  0xa9: "NetBSD",
  0xab: "macOS boot",
  0xaf: "macOS HFS",
  0xbe: "Solaris boot",
  0xbf: "Solaris",
  0xda: "Data without file system",
  0xde: "Dell utility",
  0xea: "Linux extended boot",
  0xeb: "BeOS",
  0xee: "GPT protective",
  0xef: "EFI system",
  0xfb: "VMware VMFS",
  0xfc: "VMware VMKCORE",
  0xfd: "Linux RAID",
};

/** By lower-case GUID. Sources: UEFI 2.10 §5.3.3, the Discoverable Partitions Specification, Microsoft's PARTITION_INFORMATION_GPT. */
const GPT_TYPES: Readonly<Record<string, string>> = {
  "c12a7328-f81f-11d2-ba4b-00a0c93ec93b": "EFI system",
  "024dee41-33e7-11d3-9d69-0008c781f39f": "MBR scheme",
  "21686148-6449-6e6f-744e-656564454649": "BIOS boot",
  "e3c9e316-0b5c-4db8-817d-f92df00215ae": "Microsoft reserved",
  "ebd0a0a2-b9e5-4433-87c0-68b6b72699c7": "Microsoft basic data",
  "5808c8aa-7e8f-42e0-85d2-e1e90434cfb3": "Windows LDM metadata",
  "af9b60a0-1431-4f62-bc68-3311714a69ad": "Windows LDM data",
  "de94bba4-06d1-4d40-a16a-bfd50179d6ac": "Windows recovery",
  "e75caf8f-f680-4cee-afa3-b001e56efc2d": "Windows storage spaces",
  "0fc63daf-8483-4772-8e79-3d69d8477de4": "Linux file system",
  "a19d880f-05fc-4d3b-a006-743f0f84911e": "Linux RAID",
  "0657fd6d-a4ab-43c4-84e5-0933c84b4f4f": "Linux swap",
  "e6d6d379-f507-44c2-a23c-238f2a3df928": "Linux LVM",
  "ca7d7ccb-63ed-4c53-861c-1742536059cc": "Linux LUKS",
  "7ffec5c9-2d00-49b7-8941-3ea10a5586b7": "Linux dm-crypt",
  "933ac7e1-2eb4-4f13-b844-0e14e2aef915": "Linux /home",
  "3b8f8425-20e0-4f3b-907f-1a25a76f98e8": "Linux /srv",
  "4d21b016-b534-45c2-a9fb-5c16e091fd2d": "Linux /var",
  "7ec6f557-3bc5-4aca-b293-16ef5df639d1": "Linux /var/tmp",
  "8484680c-9521-48c6-9c11-b0720656f69e": "Linux /usr (x86-64)",
  "bc13c2ff-59e6-4262-a352-b275fd6f7172": "Linux extended boot",
  "44479540-f297-41b2-9af7-d131d5f0458a": "Linux root (x86)",
  "4f68bce3-e8cd-4db1-96e7-fbcaf984b709": "Linux root (x86-64)",
  "b921b045-1df0-41c3-af44-4c6f280d3fae": "Linux root (ARM64)",
  "8da63339-0007-60c0-c436-083ac8230908": "Linux reserved",
  "9e1a2d38-c612-4316-aa26-8b49521e5a8b": "PowerPC PReP boot",
  "83bd6b9d-7f41-11dc-be0b-001560b84f0f": "FreeBSD boot",
  "516e7cb4-6ecf-11d6-8ff8-00022d09712b": "FreeBSD",
  "516e7cb5-6ecf-11d6-8ff8-00022d09712b": "FreeBSD swap",
  "516e7cb6-6ecf-11d6-8ff8-00022d09712b": "FreeBSD UFS",
  "516e7cb8-6ecf-11d6-8ff8-00022d09712b": "FreeBSD Vinum",
  "516e7cba-6ecf-11d6-8ff8-00022d09712b": "FreeBSD ZFS",
  "824cc7a0-36a8-11e3-890a-952519ad3f61": "OpenBSD",
  "49f48d5a-b10e-11dc-b99b-0019d1879648": "NetBSD FFS",
  "6a898cc3-1dd2-11b2-99a6-080020736631": "Solaris /usr or macOS ZFS",
  "48465300-0000-11aa-aa11-00306543ecac": "macOS HFS+",
  "7c3457ef-0000-11aa-aa11-00306543ecac": "macOS APFS",
  "426f6f74-0000-11aa-aa11-00306543ecac": "macOS boot",
  "fe3a2a5d-4f32-41a7-b725-accc3285a309": "ChromeOS kernel",
  "3cb8e202-3b7e-47dd-8a3c-7ff2a13cfcec": "ChromeOS root",
  "5dfbf5f4-2848-4bac-aa5e-0d9a20b745a6": "Container Linux /usr",
  "aa31e02a-400f-11db-9590-000c2911d1b8": "VMware VMFS",
};

/** `undefined`: not in the table. */
export function mbrTypeName(type: number): string | undefined {
  return MBR_TYPES[type];
}

/** `guid` in lower case. `undefined`: not in the table. */
export function gptTypeName(guid: string): string | undefined {
  return GPT_TYPES[guid];
}
