/**
 * Partition tables and signatures, made by the tools that people use, and read by blkid, sfdisk and the Sleuth
 * Kit as a second opinion. What those tools would not make (broken, looping, hostile) is in
 * hostile_contents_test.ts.
 */
import { assertEquals } from "@std/assert";
import { inspectVolume, type Partition, type VolumeContents } from "../../src/image/mod.ts";
import { outside } from "../outside.ts";
import { imageReader, MemoryReader, withFolder } from "./fakes.ts";
import { blkid, emptyImage, MIB, outsideWithLoop, run, withLoop } from "./tools.ts";

const UUID = "5c0ffee0-1234-4abc-8def-0123456789ab";

const inspect = (path: string): Promise<VolumeContents> => inspectVolume(imageReader(path));

interface Case {
  readonly kind: string;
  readonly needs: string;
  readonly sizeMib: number;
  readonly make: (path: string, folder: string) => [program: string, args: string[]];
  readonly label?: string;
  /** blkid's TYPE where it is not `kind`. */
  readonly blkidType?: string;
}

const key = (folder: string): string => {
  Deno.writeTextFileSync(`${folder}/key`, "a passphrase of a test");
  return `${folder}/key`;
};
const luks = (version: string) => (path: string, folder: string): [string, string[]] => [
  "cryptsetup",
  // deno-fmt-ignore
  ["luksFormat", "-q", "--type", version, "--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000",
    ...(version === "luks2" ? ["--label", "vault"] : []), "--key-file", key(folder), path],
];

const CASES: readonly Case[] = [
  ...["ext2", "ext3", "ext4"].map((kind): Case => ({
    kind,
    needs: "mke2fs",
    sizeMib: 8,
    label: "evidence disk",
    make: (path) => ["mke2fs", ["-q", "-F", "-t", kind, "-L", "evidence disk", "-U", UUID, path]],
  })),
  {
    kind: "xfs",
    needs: "mkfs.xfs",
    sizeMib: 320,
    label: "x-disk",
    make: (path) => ["mkfs.xfs", ["-q", "-L", "x-disk", path]],
  },
  {
    kind: "btrfs",
    needs: "mkfs.btrfs",
    sizeMib: 128,
    label: "b disk",
    make: (path) => ["mkfs.btrfs", ["-q", "-L", "b disk", "-U", UUID, path]],
  },
  {
    kind: "ntfs",
    needs: "mkntfs",
    sizeMib: 8,
    label: "System 1",
    make: (path) => ["mkntfs", ["-q", "-F", "-f", "-L", "System 1", path]],
  },
  ...["12", "16", "32"].map((bits): Case => ({
    kind: `fat${bits}`,
    blkidType: "vfat",
    needs: "mkfs.vfat",
    sizeMib: bits === "12" ? 4 : bits === "16" ? 16 : 64,
    label: "STICK",
    make: (path) => ["mkfs.vfat", ["-F", bits, "-n", "STICK", path]],
  })),
  {
    kind: "exfat",
    needs: "mkfs.exfat",
    sizeMib: 16,
    label: "Big stick",
    make: (path) => ["mkfs.exfat", ["-L", "Big stick", path]],
  },
  { kind: "luks1", blkidType: "crypto_LUKS", needs: "cryptsetup", sizeMib: 8, make: luks("luks1") },
  {
    kind: "luks2",
    blkidType: "crypto_LUKS",
    needs: "cryptsetup",
    sizeMib: 20,
    label: "vault",
    make: luks("luks2"),
  },
  {
    kind: "swap",
    needs: "mkswap",
    sizeMib: 4,
    label: "pages",
    make: (path) => ["mkswap", ["-q", "-L", "pages", "-U", UUID, path]],
  },
];

for (const { kind, needs, sizeMib, make, label, blkidType } of CASES) {
  outside(`inspectVolume() recognizes ${kind} as blkid does`, [needs, "blkid"], async () => {
    await withFolder(async (folder) => {
      const path = `${folder}/volume.img`;
      emptyImage(path, sizeMib);
      await run(...make(path, folder));
      const { table, partitions, bare } = await inspect(path);
      const second = await blkid(path);
      assertEquals([table, partitions], [undefined, []]);
      assertEquals(String(bare?.kind), kind);
      assertEquals(second.TYPE, blkidType ?? kind);
      assertEquals([bare?.label, bare?.uuid], [second.LABEL, second.UUID]);
      assertEquals(bare?.label, label);
    });
  });
}

outsideWithLoop("inspectVolume() recognizes lvm2 as blkid does", ["pvcreate", "blkid"], async () => {
  await withFolder(async (folder) => {
    const path = `${folder}/volume.img`;
    emptyImage(path, 8);
    await withLoop(path, async (device) => {
      const config = `devices { filter=["a|^${device}$|","r|.*|"] use_devicesfile=0 }`;
      await run("pvcreate", ["-q", "--config", config, device]);
    });
    const { bare } = await inspect(path);
    const second = await blkid(path);
    assertEquals([bare?.kind, bare?.uuid, bare?.sizeBytes], ["lvm2", second.UUID, 8 * MIB]);
  });
});

/** What sfdisk reads: number → start and size in sectors, type, name, uuid, bootable. */
async function sfdiskTable(path: string): Promise<unknown[]> {
  const { partitiontable } = JSON.parse(await run("sfdisk", ["-J", path]));
  return partitiontable.partitions.map((entry: Record<string, string | number | boolean>) => ({
    number: Number(/\d+$/.exec(String(entry.node))?.[0]),
    start: entry.start,
    size: entry.size,
    type: String(entry.type).toLowerCase(),
    name: entry.name,
    uuid: entry.uuid && String(entry.uuid).toLowerCase(),
    bootable: entry.bootable === true || String(entry.attrs ?? "").includes("LegacyBIOSBootable"),
  }));
}

const asSfdisk = (partition: Partition) => ({
  number: partition.number,
  start: partition.offsetBytes / 512,
  size: partition.lengthBytes / 512,
  type: partition.typeCode.replace(/^0x0?/, ""),
  name: partition.name,
  uuid: partition.uuid,
  bootable: partition.isBootable,
});

outside("inspectVolume() reads a GPT with two file systems as sfdisk does", [
  "sgdisk",
  "sfdisk",
  "mke2fs",
  "mkntfs",
], async () => {
  await withFolder(async (folder) => {
    const path = `${folder}/disk.img`;
    emptyImage(path, 64);
    // deno-fmt-ignore
    await run("sgdisk", ["-n", "1:2048:+1M", "-t", "1:ef02", "-n", "2:0:+24M", "-t", "2:8300", "-c", "2:Röot fs",
      "-A", "2:set:2", "-n", "5:0:0", "-t", "5:0700", "-c", "5:Basic data", path]);
    const place = async (program: string, args: string[], offsetMib: number, sizeMib: number) => {
      const part = `${folder}/part.img`;
      emptyImage(part, sizeMib);
      await run(program, [...args, part]);
      using disk = Deno.openSync(path, { write: true });
      disk.seekSync(offsetMib * MIB, Deno.SeekMode.Start);
      const bytes = Deno.readFileSync(part);
      for (let done = 0; done < bytes.length;) done += disk.writeSync(bytes.subarray(done));
    };
    await place("mke2fs", ["-q", "-F", "-t", "ext4", "-L", "root"], 2, 24);
    await place("mkntfs", ["-q", "-F", "-f", "-L", "dätä"], 26, 32);
    const { table, partitions, bare, notes } = await inspect(path);
    assertEquals([table?.kind, table?.sectorSizeBytes, bare, notes], ["gpt", 512, undefined, []]);
    assertEquals(partitions.map(asSfdisk), await sfdiskTable(path) as never);
    assertEquals(partitions.map(({ contents }) => [contents?.kind, contents?.label]), [
      [undefined, undefined],
      ["ext4", "root"],
      ["ntfs", "dätä"],
    ]);
    assertEquals(partitions.map(({ typeName }) => typeName), [
      "BIOS boot",
      "Linux file system",
      "Microsoft basic data",
    ]);
  });
});

outside("inspectVolume() reads primary and logical partitions as sfdisk and mmls do", [
  "sfdisk",
  "mmls",
], async () => {
  await withFolder(async (folder) => {
    const path = `${folder}/disk.img`;
    emptyImage(path, 64);
    const script = ["label: dos", "label-id: 0xc01dca5e", "start=2048, size=8192, type=83, bootable"];
    script.push("start=10240, type=f", "size=4096, type=7", "size=4096, type=82", "type=8e");
    // sfdisk takes lines without a number in order: 1, 2 (extended), then logical ones.
    await run("sfdisk", ["-q", path], script.join("\n") + "\n");
    const { table, partitions, notes } = await inspect(path);
    assertEquals([table?.kind, table?.id, notes], ["mbr", "c01dca5e", []]);
    assertEquals(partitions.map(asSfdisk), await sfdiskTable(path) as never);
    assertEquals(
      partitions.map(({ kind }) => kind),
      ["primary", "extended", "logical", "logical", "logical"]
        .slice(0, partitions.length) as never,
    );
    const starts = (await run("mmls", ["-a", path])).split("\n").flatMap((line) => {
      const fields = /^\d+:\s+\S+\s+(\d+)/.exec(line);
      return fields ? [Number(fields[1])] : [];
    });
    const own = partitions.filter(({ kind }) => kind !== "extended").map(({ offsetBytes }) =>
      offsetBytes / 512
    );
    assertEquals(own, starts);
  });
});

outsideWithLoop("inspectVolume() finds a GPT of 4096-byte sectors", ["sfdisk"], async () => {
  await withFolder(async (folder) => {
    const path = `${folder}/disk.img`;
    emptyImage(path, 64);
    await withLoop(path, async (device) => {
      await run("sfdisk", ["-q", "--no-tell-kernel", device], "label: gpt\nsize=16MiB, name=one\n");
    }, ["--sector-size", "4096"]);
    const { table, partitions, notes } = await inspect(path);
    assertEquals([table?.sectorSizeBytes, partitions.length, partitions[0]?.name], [4096, 1, "one"]);
    assertEquals([partitions[0]?.lengthBytes, notes], [16 * MIB, []]);
  });
});

outside("inspectVolume() uses either half of a GPT, and tells what is wrong with the other", [
  "sgdisk",
], async () => {
  await withFolder(async (folder) => {
    const path = `${folder}/disk.img`;
    emptyImage(path, 16);
    await run("sgdisk", ["-n", "1:2048:+4M", "-c", "1:first", path]);
    const whole = Deno.readFileSync(path);
    const changed = (change: (bytes: Uint8Array) => void): Promise<VolumeContents> => {
      const bytes = whole.slice();
      change(bytes);
      return inspectVolume(MemoryReader.fromImage(bytes, 65_536));
    };
    const last = whole.length - 512;
    const cases: [(bytes: Uint8Array) => void, string][] = [
      [(bytes) => bytes[512 + 40]! ^= 1, "The primary GPT is not valid (its header's CRC does not match)"],
      [(bytes) => bytes[1024 + 5]! ^= 1, "The primary GPT is not valid (its table's CRC does not match)"],
      [(bytes) => bytes.fill(0, 512, 1024), "The primary GPT is not valid (it has no signature)"],
      [
        (bytes) => bytes[last + 40]! ^= 1,
        `The backup GPT in sector ${last / 512} is not valid (its header's CRC`,
      ],
      [
        (bytes) => bytes.fill(0, last),
        `The backup GPT in sector ${last / 512} is not valid (it has no signature`,
      ],
      [(bytes) => bytes.fill(0, 446, 512), "The GPT has no protective MBR"],
    ];
    for (const [change, note] of cases) {
      const { table, partitions, notes } = await changed(change);
      assertEquals([table?.kind, partitions.map(({ name }) => name)], ["gpt", ["first"]]);
      assertEquals([notes.length, notes[0]?.slice(0, note.length)], [1, note]);
    }
    const neither = await changed((bytes) => {
      bytes[512]! ^= 1;
      bytes[last]! ^= 1;
    });
    assertEquals([neither.table?.kind, neither.partitions.map(({ typeName }) => typeName)], [
      "mbr",
      ["GPT protective"],
    ]);
    const grown = new Uint8Array(whole.length + 65_536);
    grown.set(whole);
    const { notes } = await inspectVolume(MemoryReader.fromImage(grown, 65_536));
    assertEquals(notes, [
      `The backup GPT is in sector ${last / 512}, the volume's last is ${last / 512 + 128}.`,
    ]);
  });
});
