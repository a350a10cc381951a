/**
 * VMDK, VHD and digests of windows as others read and write them: qemu-img finds the volume's bytes in both, at every
 * size; the Sleuth Kit opens both; dcfldd writes the same log of windows.
 */
import { Buffer } from "node:buffer";
import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { exportRaw, readBack } from "../../src/image/mod.ts";
import type { BlockReader } from "../../src/model.ts";
import { realDisk } from "../../src/world.ts";
import { FIRST, withStage } from "../e2e/endpoint.ts";
import { makePartitionedDisk, MIB } from "../e2e/images.ts";
import { assertExit, eventOf } from "../e2e/program.ts";
import { exportOptions, MemoryReader, randomReader, shapeOf, withFolder } from "../image/fakes.ts";
import { run } from "../image/tools.ts";
import { outside, toolPath } from "../outside.ts";
import { flipBit } from "../store/fixtures.ts";

const GIB = 2 ** 30;
const createdAt = "2026-03-01T10:00:00.000Z";

/** qemu-img's names of the formats. */
const QEMU = { vmdk: "vmdk", vhd: "vpc" } as const;

async function sizeByQemu(format: "vmdk" | "vhd", path: string): Promise<number> {
  const info: { "virtual-size": number } = JSON.parse(
    await run("qemu-img", ["info", "-f", QEMU[format], "--output", "json", path]),
  );
  return info["virtual-size"];
}

for (const splitBytes of [undefined, 4 * MIB]) {
  for (const name of ["disk", "Ä b山'(1)"]) {
    const how = splitBytes === undefined ? "in one extent" : "in several";
    outside(`qemu-img finds the volume's bytes in a VMDK ${how}, named ${name}`, ["qemu-img"], async () => {
      await withFolder(async (folder) => {
        const reader = randomReader(31, 300, 65_536);
        Deno.writeFileSync(`${folder}/raw.img`, reader.bytes);
        const options = exportOptions({ virtualDisk: { format: "vmdk", createdAt }, splitBytes });
        const { path, files } = await exportRaw(reader, { kind: "path", path: `${folder}/${name}` }, options);
        assertEquals(files.length, splitBytes === undefined ? 2 : 6);
        assertEquals(await sizeByQemu("vmdk", path!), reader.bytes.length);
        assertMatch(await run("qemu-img", ["check", "-f", "vmdk", path!]), /No errors/);
        assertMatch(
          await run("qemu-img", ["compare", "-f", "raw", "-F", "vmdk", `${folder}/raw.img`, path!]),
          /identical/,
        );
      });
    });
  }
}

outside("qemu-img finds the volume's bytes in a VHD", ["qemu-img"], async () => {
  await withFolder(async (folder) => {
    const reader = randomReader(32, 300, 65_536);
    Deno.writeFileSync(`${folder}/raw.img`, reader.bytes);
    const options = exportOptions({ virtualDisk: { format: "vhd", createdAt } });
    const { path } = await exportRaw(reader, { kind: "path", path: `${folder}/disk` }, options);
    const { stdout } = await new Deno.Command(toolPath("qemu-img")!, {
      args: ["compare", "-f", "raw", "-F", "vpc", `${folder}/raw.img`, path!],
    }).output();
    assertMatch(new TextDecoder().decode(stdout), /identical/);
  });
});

outside(
  "qemu-img reads a volume that is itself a virtual disk as bytes, in a VMDK",
  ["qemu-img"],
  async () => {
    await withFolder(async (folder) => {
      for (const format of ["qcow2", "vpc", "vmdk"]) {
        const inner = `${folder}/${format}.img`;
        await run("qemu-img", ["create", "-q", "-f", format, inner, "8M"]);
        Deno.truncateSync(inner, 4 * MIB);
        const reader = MemoryReader.fromImage(Deno.readFileSync(inner));
        const options = exportOptions({ virtualDisk: { format: "vmdk", createdAt } });
        const { path } = await exportRaw(reader, { kind: "path", path: `${folder}/of-${format}` }, options);
        assertMatch(await run("qemu-img", ["compare", "-f", "raw", "-F", "vmdk", inner, path!]), /identical/);
      }
    });
  },
);

/** Nothing but holes. */
function empty(sizeBytes: number): BlockReader {
  const shape = shapeOf(sizeBytes / MIB, MIB);
  return {
    shape,
    async *runs() {
      yield await Promise.resolve({ state: "absent", firstBlock: 0, blockCount: shape.blockCount });
    },
    readBlock: () => Promise.reject(new Error("nothing is stored")),
  };
}

outside("qemu-img and the Sleuth Kit see every size exactly, whatever its geometry", [
  "qemu-img",
  "img_stat",
], async () => {
  for (
    // Around the bounds of the geometry's rules, EBS' smallest, and the largest of a VHD.
    const sizeBytes of [
      MIB,
      34 * MIB,
      35 * MIB,
      504 * MIB,
      505 * MIB,
      GIB,
      3 * GIB,
      32 * GIB,
      127 * GIB,
      128 * GIB,
      2040 * GIB,
    ]
  ) {
    await withFolder(async (folder) => {
      for (const format of ["vmdk", "vhd"] as const) {
        const options = exportOptions({ virtualDisk: { format, createdAt }, digests: [] });
        const { path } = await exportRaw(empty(sizeBytes), { kind: "path", path: `${folder}/d` }, options);
        assertEquals(await sizeByQemu(format, path!), sizeBytes, `${format} of ${sizeBytes}`);
        const stat = await run("img_stat", ["-i", format, path!]);
        assertMatch(
          stat,
          new RegExp(`Size of data in bytes:\\s+${sizeBytes}\\n`),
          `${format} of ${sizeBytes}`,
        );
      }
    });
  }
});

outside(
  "dcfldd writes the log of windows that export writes, and verify takes dcfldd's",
  ["dcfldd"],
  async () => {
    for (const windowBytes of [512, 65_536, 100 * 1024, 40 * MIB]) {
      await withFolder(async (folder) => {
        const reader = randomReader(33, 301, 32_768);
        const path = `${folder}/disk.img`;
        const options = exportOptions({ digests: ["sha256", "sha1", "md5"], windowLog: { windowBytes } });
        const { windowLogs } = await exportRaw(reader, { kind: "path", path }, options);
        const names = ["sha256", "sha1", "md5"];
        await run("dcfldd", [
          ...["status=off", `if=${path}`, `of=${folder}/copy.img`, `hash=${names.join(",")}`],
          ...[
            `hashwindow=${windowBytes}`,
            ...names.map((name) => `${name}log=${folder}/copy.img.${name}.log`),
          ],
        ]);
        assertEquals(windowLogs.length, 3);
        for (const name of names) {
          assertEquals(
            Deno.readTextFileSync(`${path}.${name}.log`),
            Deno.readTextFileSync(`${folder}/copy.img.${name}.log`),
          );
        }
        const copy = `${folder}/copy.img`;
        flipBit(copy, 70_000);
        const { findings } = await readBack(undefined, copy, { disk: realDisk, windowLogBase: copy });
        const offsetBytes = 70_000 - 70_000 % windowBytes;
        const lengthBytes = Math.min(windowBytes, reader.bytes.length - offsetBytes);
        assertEquals(
          findings.filter(({ kind }) => kind === "windows"),
          (["sha256", "sha1", "md5"] as const).map((name) => {
            return { kind: "windows" as const, name, range: { offsetBytes, lengthBytes } };
          }),
        );
      });
    }
  },
);

outside(
  "the Sleuth Kit opens an acquired volume's VMDK and VHD: mmls, fls, icat; verify --read-back agrees",
  ["img_stat", "mmls", "fls", "icat", "mkfs.ext4", "sgdisk", "dcfldd", "age"],
  async () => {
    await withStage(async (folder) => ({
      snapshots: [{ id: FIRST, path: await makePartitionedDisk(folder) }],
    }), async (stage) => {
      assertExit(await stage.run(["acquire", FIRST]), 0);
      const expected = Deno.readFileSync(`${stage.folder}/files/secret.bin`);
      for (const [format, more] of [["vmdk", ["--split", "300MiB"]], ["vmdk", []], ["vhd", []]] as const) {
        const image = `${stage.folder}/${more.length === 0 ? "disk" : "parts"}.${format}`;
        const args = ["export", FIRST, "-o", image, "--format", format, ...more, "--digest-window", "16MiB"];
        const ended = await stage.run([...args, "--json"]);
        assertExit(ended, 0);
        const { windowLogs } = eventOf(ended, "summary") as unknown as { windowLogs: string[] };
        assertEquals(Deno.readTextFileSync(windowLogs[0]!).split("\n").length, 64 + 3);
        assertMatch(await run("mmls", ["-i", format, image]), /0000002048\s+0000067583/);
        const inode = /(\d+):\s+secret\.bin/.exec(await run("fls", ["-i", format, "-o", "2048", image]))?.[1];
        const { stdout } = await new Deno.Command(toolPath("icat")!, {
          args: ["-i", format, "-o", "2048", image, inode!],
        }).output();
        assertEquals([stdout.length, Buffer.compare(stdout, expected)], [expected.length, 0]);
        const read = await stage.run(["verify", FIRST, "--read-back", image]);
        assertExit(read, 0);
        assertStringIncludes(read.stdout, "EQUALS the exhibit");
        assertStringIncludes(read.stdout, `windows compared with ${image}.sha256.log`);
        flipBit(
          format === "vhd"
            ? image
            : image.replace(/\.vmdk$/, more.length === 0 ? "-flat.vmdk" : "-f001.vmdk"),
          2_000_000,
        );
        const changed = await stage.run(["verify", FIRST, "--read-back", image]);
        assertExit(changed, 20);
        assertStringIncludes(
          changed.stderr,
          "windows in bytes 0 to 16777215: sha256 is not the digest log's",
        );
        assertExit(await stage.run(args), 2);
      }
      await run("age-keygen", ["-o", `${stage.folder}/examiner.age`]);
      const recipient = await run("age-keygen", ["-y", `${stage.folder}/examiner.age`]);
      const sealed = `${stage.folder}/disk.vhd.age`;
      const base = ["export", FIRST, "-o", sealed, "-r", recipient.trim()];
      assertExit(await stage.run([...base, "--format", "vhd"]), 0);
      await run("age", [
        "-d",
        "-i",
        `${stage.folder}/examiner.age`,
        "-o",
        `${stage.folder}/opened.vhd`,
        sealed,
      ]);
      assertExit(await stage.run(["verify", FIRST, "--read-back", `${stage.folder}/opened.vhd`]), 0);
      const refused: [string[], string][] = [
        [[...base, "--format", "vmdk"], "a VMDK to an age file"],
        [[...base, "--digest-window", "1MiB"], "beside an age file"],
        [["export", FIRST, "-o", "-", "--format", "vmdk"], "a VMDK to a stream"],
        [["export", FIRST, "-o", "-", "--digest-window", "1MiB"], "beside a stream"],
        [["export", FIRST, "-o", "x", "--format", "vhd", "--split", "1GiB"], "Cannot split a VHD"],
        [["export", FIRST, "-o", "x", "--digest-log", "y"], "no --digest-window"],
        [["export", FIRST, "-o", "x", "--digest-window", "1000"], "multiple of 512"],
      ];
      for (const [args, message] of refused) {
        const ended = await stage.run(args);
        assertExit(ended, 2);
        assertStringIncludes(ended.stderr, message);
      }
    });
  },
);
