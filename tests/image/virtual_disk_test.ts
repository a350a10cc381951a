/**
 * VMDK and VHD: raw bytes with a descriptor or a footer, their digests, what the formats can't hold, what must not be
 * replaced or mixed, taking up again after every interruption, and reading them back: what their own texts say and do
 * not hold is refused. Other programs read them in tests/interop/virtual_disk_test.ts.
 */
import { createHash } from "node:crypto";
import { assert, assertEquals, assertMatch, assertRejects, assertStringIncludes } from "@std/assert";
import { OperatorError } from "../../src/errors.ts";
import type { Disk } from "../../src/model.ts";
import { realDisk } from "../../src/world.ts";
import { type ExportOptions, exportRaw, readBack, readExportLog } from "../../src/image/mod.ts";
import { vhdGeometry } from "../../src/image/vhd_format.ts";
import {
  cutOff,
  exportOptions,
  failingDisk,
  MemoryReader,
  platformError,
  randomReader,
  shapeOf,
  withFolder,
} from "./fakes.ts";

const EXTENT = 4096;
const ACQUIRED = "2026-03-01T10:00:00.000Z";
const reader = randomReader(21, 75);

const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");
const names = (folder: string) => [...Deno.readDirSync(folder)].map((entry) => entry.name).sort();

type Format = "vmdk" | "vhd";

function exported(
  format: Format,
  path: string,
  more: Partial<ExportOptions> = {},
  volume: MemoryReader = reader,
) {
  const virtualDisk = { format, createdAt: ACQUIRED };
  return exportRaw(
    volume,
    { kind: "path", path },
    exportOptions({ virtualDisk, syncEveryBytes: 2048, ...more }),
  );
}

function joined(paths: readonly string[]): Uint8Array {
  return Uint8Array.from(paths.flatMap((path) => [...Deno.readFileSync(path)]));
}

const FLAT = ["disk-flat.vmdk", "disk.vmdk", "disk.vmdk.log", "disk.vmdk.map.json"];
const EXTENTS = Array.from({ length: 10 }, (_, i) => `disk-f${String(i + 1).padStart(3, "0")}.vmdk`);
const SPLIT = [...EXTENTS, "disk.vmdk", "disk.vmdk.log", "disk.vmdk.map.json"].sort();
const ONE = ["disk.vhd", "disk.vhd.log", "disk.vhd.map.json"];

for (const given of ["disk", "disk.vmdk"]) {
  Deno.test(`exportRaw() to ${given} as VMDK: a descriptor over the volume's bytes`, async () => {
    await withFolder(async (folder) => {
      const { digests, path, files, pieces, format } = await exported("vmdk", `${folder}/${given}`);
      assertEquals(names(folder), FLAT);
      assertEquals(Deno.readFileSync(`${folder}/disk-flat.vmdk`), reader.bytes);
      assertEquals([path, files, pieces, format], [
        `${folder}/disk.vmdk`,
        [`${folder}/disk.vmdk`, `${folder}/disk-flat.vmdk`],
        [],
        "vmdk",
      ]);
      assertEquals(digests.sha256, sha256(reader.bytes));
      assertEquals(
        Deno.readTextFileSync(`${folder}/disk.vmdk`).split("\n"),
        [
          "# Disk DescriptorFile",
          "version=1",
          'encoding="UTF-8"',
          "CID=abababab",
          "parentCID=ffffffff",
          'isNativeSnapshot="no"',
          'createType="monolithicFlat"',
          "",
          "# Extent description",
          'RW 75 FLAT "disk-flat.vmdk" 0',
          "",
          "# The Disk Data Base",
          "#DDB",
          "",
          'ddb.virtualHWVersion = "4"',
          'ddb.geometry.cylinders = "1"',
          'ddb.geometry.heads = "255"',
          'ddb.geometry.sectors = "63"',
          'ddb.adapterType = "lsilogic"',
          "",
        ],
      );
      assertMatch(Deno.readTextFileSync(`${folder}/disk.vmdk.log`), /Format +VMDK: .* in disk-flat\.vmdk;/);
    });
  });
}

Deno.test("exportRaw() as VMDK in pieces: extents in order, each with its digests", async () => {
  await withFolder(async (folder) => {
    const { pieces, digests } = await exported("vmdk", `${folder}/disk`, { splitBytes: EXTENT });
    assertEquals(names(folder), SPLIT);
    assertEquals(joined(EXTENTS.map((name) => `${folder}/${name}`)), reader.bytes);
    assertEquals(
      pieces.map((piece) => [piece.path, piece.digests.sha256]),
      EXTENTS.map((name) => [`${folder}/${name}`, sha256(Deno.readFileSync(`${folder}/${name}`))]),
    );
    assertEquals(readExportLog(realDisk, `${folder}/disk.vmdk.log`)?.digests, digests);
    const descriptor = Deno.readTextFileSync(`${folder}/disk.vmdk`);
    assertStringIncludes(descriptor, 'createType="twoGbMaxExtentFlat"');
    assertStringIncludes(descriptor, 'RW 8 FLAT "disk-f001.vmdk" 0\nRW 8 FLAT "disk-f002.vmdk" 0\n');
    assertStringIncludes(descriptor, 'RW 3 FLAT "disk-f010.vmdk" 0\n\n');
  });
});

Deno.test("exportRaw() of equal images makes equal descriptors and footers; a content id is never that of no parent", async () => {
  await withFolder(async (folder) => {
    for (const name of ["one", "two"]) {
      Deno.mkdirSync(`${folder}/${name}`);
      await exported("vmdk", `${folder}/${name}/disk`);
      await exported("vhd", `${folder}/${name}/disk`);
    }
    for (const file of ["disk.vmdk", "disk.vhd"]) {
      assertEquals(Deno.readFileSync(`${folder}/one/${file}`), Deno.readFileSync(`${folder}/two/${file}`));
    }
    await exported("vmdk", `${folder}/full`, { imageDigest: "ff".repeat(32) });
    assertStringIncludes(
      Deno.readTextFileSync(`${folder}/full.vmdk`),
      "\nCID=fffffffe\nparentCID=ffffffff\n",
    );
  });
});

for (const given of ["disk", "disk.vhd"]) {
  Deno.test(`exportRaw() to ${given} as VHD: the volume's bytes, and a footer that adds up`, async () => {
    await withFolder(async (folder) => {
      const result = await exported("vhd", `${folder}/${given}`, { digests: ["sha256", "md5"] });
      assertEquals(names(folder), ONE);
      const bytes = Deno.readFileSync(`${folder}/disk.vhd`);
      const [volume, footer] = [bytes.subarray(0, -512), bytes.subarray(-512)];
      assertEquals(volume, reader.bytes);
      assertEquals(result.digests.sha256, sha256(volume));
      assertEquals(result.wholeFileDigests.sha256, sha256(bytes));
      const fields = new DataView(footer.buffer, footer.byteOffset);
      assertEquals(new TextDecoder().decode(footer.subarray(0, 8)), "conectix");
      assertEquals([fields.getUint32(8), fields.getUint32(12)], [2, 0x10000]);
      assertEquals(fields.getUint32(24), (Date.parse(ACQUIRED) - Date.parse("2000-01-01T00:00:00Z")) / 1000);
      assertEquals([fields.getBigUint64(40), fields.getBigUint64(48)], [38_400n, 38_400n]);
      assertEquals(fields.getUint32(60), 2);
      const sum = footer.reduce((sum, byte) => sum + byte, 0) -
        footer.subarray(64, 68).reduce((sum, byte) => sum + byte, 0);
      assertEquals(fields.getUint32(64), 2 ** 32 - 1 - sum);
      const log = Deno.readTextFileSync(`${folder}/disk.vhd.log`);
      assertMatch(log, new RegExp(`disk\\.vhd SHA-256 +${sha256(bytes)}`));
      assertEquals(readExportLog(realDisk, `${folder}/disk.vhd.log`)?.digests, result.digests);
    });
  });
}

Deno.test("exportRaw() of a VHD to a stream gives the file's bytes; a reader that leaves early has no digests", async () => {
  await withFolder(async (folder) => {
    await exported("vhd", `${folder}/disk`);
    const taken: number[] = [];
    const stream = {
      write(bytes: Uint8Array) {
        taken.push(...bytes);
        return Promise.resolve(bytes.length);
      },
    };
    const virtualDisk = { format: "vhd", createdAt: ACQUIRED } as const;
    const { wholeFileDigests } = await exportRaw(
      reader,
      { kind: "stream", stream },
      exportOptions({ virtualDisk }),
    );
    const file = Deno.readFileSync(`${folder}/disk.vhd`);
    assertEquals(Uint8Array.from(taken), file);
    assertEquals(wholeFileDigests.sha256, sha256(file));
    let left = reader.bytes.length;
    const leaves = {
      write(bytes: Uint8Array) {
        if (left <= 0) throw new Deno.errors.BrokenPipe("closed");
        left -= bytes.length;
        return Promise.resolve(bytes.length);
      },
    };
    const early = await exportRaw(reader, { kind: "stream", stream: leaves }, exportOptions({ virtualDisk }));
    assertEquals([early.isClosedEarly, early.digests, early.wholeFileDigests], [true, {}, {}]);
  });
});

Deno.test("exportRaw() of a volume that begins as a VHD does says that others may open another disk", async () => {
  await withFolder(async (folder) => {
    const nested = new MemoryReader(["stored", "stored"]);
    nested.bytes.set(new TextEncoder().encode("conectix"));
    const { notes } = await exported("vhd", `${folder}/disk`, {}, nested);
    assertMatch(notes.join(), /begins as a dynamic VHD does/);
    assertMatch(Deno.readTextFileSync(`${folder}/disk.vhd.log`), /Note +The volume itself begins/);
    const stream = { write: (bytes: Uint8Array) => Promise.resolve(bytes.length) };
    const options = exportOptions({ virtualDisk: { format: "vhd", createdAt: ACQUIRED } });
    assertEquals((await exportRaw(nested, { kind: "stream", stream }, options)).notes, notes);
    const { findings } = await readBack(nested, `${folder}/disk.vhd`, { disk: realDisk });
    assertEquals(findings, []);
    assertEquals((await exported("vmdk", `${folder}/disk`, {}, nested)).notes, []);
    assertEquals((await exported("vhd", `${folder}/other`)).notes, []);
  });
});

for (
  const [sizeBytes, cylinders, heads, sectors] of [
    [75 * 512, 1, 4, 17],
    [2 ** 30, 2080, 16, 63],
    [65_535 * 16 * 63 * 512 - 512, 65_534, 16, 63],
    [65_535 * 16 * 63 * 512, 16_191, 16, 255],
    [127 * 2 ** 30, 65_278, 16, 255],
    [2040 * 2 ** 30, 65_535, 16, 255],
  ] as const
) {
  Deno.test(`vhdGeometry() of ${sizeBytes} bytes is ${cylinders}/${heads}/${sectors}`, () => {
    assertEquals(vhdGeometry(sizeBytes), { cylinders, heads, sectors });
  });
}

/** A volume of any size, of which nothing is stored. */
function empty(sizeBytes: number): MemoryReader {
  const shape = shapeOf(sizeBytes / 2 ** 30, 2 ** 30);
  const runs = async function* () {
    yield await Promise.resolve({ state: "absent" as const, firstBlock: 0, blockCount: shape.blockCount });
  };
  return { shape, runs } as unknown as MemoryReader;
}

const GIB = 2 ** 30;

Deno.test("exportRaw() writes no byte of what a format can't hold, and says which can", async () => {
  const cases: [string, () => Promise<unknown>, RegExp, RegExp][] = [];
  await withFolder(async (folder) => {
    const path = `${folder}/disk`;
    cases.push(
      [
        "a VHD above 2,040 GiB",
        () => exported("vhd", path, {}, empty(2041 * GIB)),
        /2041 GiB, a VHD at most 2040 GiB/,
        /vmdk/,
      ],
      ["a VHD in pieces", () => exported("vhd", path, { splitBytes: EXTENT }), /one file/, /--format vmdk/],
      [
        "extents above 2 GiB",
        () => exported("vmdk", path, { splitBytes: 3 * GIB }),
        /at most 2 GiB/,
        /2GiB/,
      ],
      [
        "more than 999 extents",
        () => exported("vmdk", path, { splitBytes: 2 * GIB }, empty(1999 * GIB)),
        /more than 999 extents/,
        /Leave --split out/,
      ],
      [
        "extents of too few bytes",
        () => exported("vmdk", path, { splitBytes: 512 }, empty(GIB)),
        /names go to/,
        /MiB or more/,
      ],
      ["a quotation mark", () => exported("vmdk", `${folder}/a"b`), /quotation mark/, /letters/],
      ["a new line", () => exported("vmdk", `${folder}/a\nb`), /out of place/, /letters/],
      ["a backslash", () => exported("vmdk", `${folder}/a\\b`), /backslash/, /letters/],
    );
    for (const [what, call, message, hint] of cases) {
      const error = await assertRejects(call, OperatorError, undefined, what);
      assertEquals(error.code, "usage", what);
      assertMatch(error.message, message, what);
      assertMatch(error.hints.join(), hint, what);
      assertEquals(names(folder), [], what);
    }
    const stream = { write: (bytes: Uint8Array) => Promise.resolve(bytes.length) };
    const virtualDisk = { format: "vmdk", createdAt: ACQUIRED } as const;
    const streamed = await assertRejects(
      () => exportRaw(reader, { kind: "stream", stream }, exportOptions({ virtualDisk })),
      OperatorError,
    );
    assertStringIncludes(streamed.message, "a VMDK to a stream");
  });
});

Deno.test("exportRaw() takes a VHD of exactly 2,040 GiB, sparse, and a name that is not ASCII", async () => {
  await withFolder(async (folder) => {
    const { files } = await exported("vhd", `${folder}/Ä 山`, { digests: [] }, empty(2040 * GIB));
    assertEquals(Deno.statSync(files[0]!).size, 2040 * GIB + 512);
    assert(Deno.statSync(files[0]!).blocks! < 64);
    await exported("vmdk", `${folder}/Ä 山`);
    const { findings } = await readBack(reader, `${folder}/Ä 山.vmdk`, { disk: realDisk });
    assertEquals(findings, []);
  });
});

Deno.test("exportRaw() says what a FAT target can't hold of either, and what does", async () => {
  await withFolder(async (folder) => {
    const fat: Disk = { ...realDisk, fileSystemType: () => "vfat", freeBytes: () => 0 };
    for (
      const [format, sizeBytes, hint] of [
        ["vmdk", 4 * GIB, "Split it (--split 2GiB)"],
        ["vhd", 4 * GIB, "--format vmdk --split 2GiB"],
      ] as const
    ) {
      const error = await assertRejects(
        () => exported(format, `${folder}/a`, { disk: fat }, empty(sizeBytes)),
        OperatorError,
      );
      assertStringIncludes(error.hints.join(), hint);
      assertEquals([error.code, names(folder)], ["storage", []]);
    }
    const full = await assertRejects(
      () => exported("vmdk", `${folder}/a`, { disk: fat, splitBytes: 2 * GIB }, empty(4 * GIB)),
      OperatorError,
    );
    assertStringIncludes(full.message, "free in");
    assertEquals(names(folder), []);
  });
});

Deno.test("exportRaw() mixes no two disks: any file of one refuses, --overwrite removes them all", async () => {
  await withFolder(async (folder) => {
    const path = `${folder}/disk`;
    for (const left of ["disk.vmdk", "disk-flat.vmdk", "disk-f003.vmdk", "disk.vmdk.log"]) {
      Deno.writeTextFileSync(`${folder}/${left}`, "another");
      const error = await assertRejects(() => exported("vmdk", path), OperatorError);
      assertEquals([error.code, names(folder)], ["usage", [left]]);
      Deno.removeSync(`${folder}/${left}`);
    }
    await exported("vmdk", path, { splitBytes: EXTENT });
    Deno.writeTextFileSync(`${folder}/disk-s001.vmdk`, "of a sparse disk");
    await exported("vmdk", path, { overwrite: true });
    assertEquals(names(folder), [...FLAT, "disk-s001.vmdk"].sort());
    await exported("vhd", path);
    const there = await assertRejects(() => exported("vhd", path), OperatorError);
    assertMatch(there.message, /it is there already, and its log says/);
  });
});

Deno.test("exportRaw() takes up no unfinished image of another format or in other pieces", async () => {
  await withFolder(async (folder) => {
    const failing = () =>
      failingDisk((n, operation) => operation === "write" && n > 60 ? platformError("ENOSPC") : undefined);
    const path = `${folder}/disk.vhd`;
    const full = await assertRejects(() => exported("vhd", path, { disk: failing() }), OperatorError);
    assertEquals(full.code, "storage");
    assertStringIncludes(full.hints.join(), "run the same command again");
    const other = await assertRejects(
      () => exportRaw(reader, { kind: "path", path }, exportOptions()),
      OperatorError,
    );
    assertStringIncludes(other.message, "it is vhd, wanted is raw");
    await assertRejects(() => exported("vmdk", `${folder}/disk`, { disk: failing() }), OperatorError);
    const pieces = await assertRejects(
      () => exported("vmdk", `${folder}/disk`, { splitBytes: EXTENT }),
      OperatorError,
    );
    assertStringIncludes(pieces.message, "its pieces have all bytes, wanted are 4096");
    await exported("vmdk", `${folder}/disk`, { splitBytes: EXTENT, overwrite: true });
    assertEquals(names(folder).filter((name) => name.includes("flat")), []);
  });
});

const KINDS = [
  { kind: "a VMDK", format: "vmdk", splitBytes: undefined, set: FLAT, image: "disk.vmdk" },
  { kind: "a VMDK in pieces", format: "vmdk", splitBytes: EXTENT, set: SPLIT, image: "disk.vmdk" },
  { kind: "a VHD", format: "vhd", splitBytes: undefined, set: ONE, image: "disk.vhd" },
] as const;

for (const { kind, format, splitBytes, set, image } of KINDS) {
  Deno.test(`exportRaw() of ${kind}, cut off at any operation and run again, is as if it never was`, async () => {
    const bytesOf = (folder: string) =>
      set.filter((name) => !name.includes("log")).map((name) =>
        sha256(Deno.readFileSync(`${folder}/${name}`))
      );
    const counting = failingDisk(() => undefined);
    let whole: string[] = [];
    await withFolder(async (folder) => {
      await exported(format, `${folder}/disk`, { disk: counting, splitBytes });
      whole = bytesOf(folder);
    });
    const total = counting.operations.length;
    let compared = 0;
    // Each of the last, where names change; a seventh of those before, which are alike.
    for (let at = 0; at < total; at += at < total - 50 ? 7 : 1) {
      await withFolder(async (folder) => {
        const failing = failingDisk((n) => n >= at ? platformError("EIO") : undefined);
        const run = exported(format, `${folder}/disk`, { disk: failing, splitBytes });
        if (!await cutOff(run, { disk: failing, at })) return;
        const isThere = realDisk.stat(`${folder}/${image}`) !== undefined;
        if (isThere) assertEquals(bytesOf(folder), whole, `half of it after ${at}`);
        const result = await exported(format, `${folder}/disk`, { overwrite: isThere, splitBytes });
        compared += result.checkedBytes;
        assertEquals(names(folder), [...set].sort(), `cut off at ${at}: ${counting.operations[at]}`);
        assertEquals(bytesOf(folder), whole, `cut off at ${at}: ${counting.operations[at]}`);
        assertEquals(result.digests.sha256, sha256(reader.bytes));
      });
    }
    assert(compared > 0);
  });

  Deno.test(`readBack() of ${kind} compares the volume's bytes, and finds what differs`, async () => {
    await withFolder(async (folder) => {
      const { files } = await exported(format, `${folder}/disk`, { splitBytes });
      const path = `${folder}/${image}`;
      const { findings, digests, sizeBytes } = await readBack(reader, path, { disk: realDisk });
      assertEquals([findings, digests.sha256, sizeBytes], [[], sha256(reader.bytes), reader.bytes.length]);
      Deno.symlinkSync(path, `${folder}/link-${image}`);
      const file = files[splitBytes === undefined ? files.length - 1 : 3]!;
      const bytes = Deno.readFileSync(file);
      bytes[5] = bytes[5]! ^ 1;
      Deno.writeFileSync(file, bytes);
      const offsetBytes = splitBytes === undefined ? 0 : 2 * EXTENT;
      for (const name of [image, `link-${image}`]) {
        const changed = await readBack(reader, `${folder}/${name}`, { disk: realDisk }).catch(
          (error: OperatorError) => error,
        );
        // What lies beside a link is not what lies beside its file's name.
        if (changed instanceof OperatorError) throw changed;
        assertEquals(changed.findings, [{ kind: "content", range: { offsetBytes, lengthBytes: 512 } }]);
      }
    });
  });
}

Deno.test("readBack() of a VMDK leaves its folder by no name, and takes nothing but files of the told size", async () => {
  await withFolder(async (folder) => {
    const outside = Deno.makeTempFileSync({ prefix: "coldcase-outside-" });
    try {
      Deno.writeFileSync(outside, reader.bytes);
      await exported("vmdk", `${folder}/disk`);
      const path = `${folder}/disk.vmdk`;
      const sound = Deno.readTextFileSync(path);
      const refused = async (text: string, message: RegExp) => {
        Deno.writeTextFileSync(path, text);
        const error = await assertRejects(() => readBack(reader, path, { disk: realDisk }), OperatorError);
        assertEquals(error.code, "format", text);
        assertMatch(error.message, message, text);
      };
      const named = (name: string) => sound.replace("disk-flat.vmdk", name);
      const up = `../${outside.split("/").at(-1)}`;
      for (const name of [outside, up, "..", ".", "a/b", "a\\b", "", "a\x00b"]) {
        await refused(named(name), /line 10 is no flat extent beside it|has \d+ bytes|is a directory/);
      }
      await refused(named("gone.vmdk"), /is missing/);
      Deno.symlinkSync(outside, `${folder}/leads-out.vmdk`);
      await refused(named("leads-out.vmdk"), /is a symlink/);
      Deno.mkdirSync(`${folder}/folder.vmdk`);
      await refused(named("folder.vmdk"), /is a directory/);
      await refused(sound.replace("RW 75", "RW 76"), /has 38400 bytes, expected a file of 38912/);
      await refused(sound.replace("RW 75", "RW 0"), /no flat extent/);
      await refused(sound.replace('vmdk" 0', 'vmdk" 8'), /no flat extent/);
      await refused(sound.replace("FLAT", "SPARSE"), /no flat extent/);
      await refused(sound.replace("parentCID=ffffffff", "parentCID=12345678"), /"parentcid" is "12345678"/);
      await refused(sound.replace("version=1", "version=9"), /"version" is "9"/);
      await refused(sound.replace("monolithicFlat", "streamOptimized"), /"createtype" is/);
      await refused(`${sound}version=1\n`, /neither an extent nor a member that is new/);
      await refused(`${sound}RW 75 FLAT "disk-flat.vmdk" 0\n`, /2 extents, expected 1/);
      await refused("KDMV and more", /sparse VMDK/);
      await refused(sound + "#".repeat(2 ** 20), /at most 1 MiB/);
      Deno.writeTextFileSync(
        path,
        sound.replaceAll("\n", "\r\n").toUpperCase().replace("DISK-FLAT.VMDK", "disk-flat.vmdk"),
      );
      assertEquals((await readBack(reader, path, { disk: realDisk })).findings, []);
    } finally {
      Deno.removeSync(outside);
    }
  });
});

Deno.test("readBack() of a VHD refuses a footer that is not sound; a raw image of that name is one", async () => {
  await withFolder(async (folder) => {
    await exported("vhd", `${folder}/disk`);
    const path = `${folder}/disk.vhd`;
    const sound = Deno.readFileSync(path);
    const at = sound.length - 512;
    const changed = (change: (fields: DataView) => void) => {
      const bytes = sound.slice();
      change(new DataView(bytes.buffer, at));
      const sum = bytes.subarray(at).reduce((sum, byte, i) => i >= 64 && i < 68 ? sum : sum + byte, 0);
      new DataView(bytes.buffer, at).setUint32(64, ~sum >>> 0);
      return bytes;
    };
    const flipped = sound.slice();
    flipped[at + 50] = 1;
    for (
      const [bytes, message] of [
        [flipped, /checksum of its footer/],
        [changed((fields) => fields.setUint32(12, 0x20000)), /version 2\.0/],
        [changed((fields) => fields.setUint32(60, 3)), /disk type 3/],
        [changed((fields) => fields.setBigUint64(16, 512n)), /disk type 2, expected 2 \(fixed\) without/],
        [changed((fields) => fields.setBigUint64(48, 512n)), /says 512 bytes, 38400 are before it/],
        [changed((fields) => fields.setBigUint64(48, 2n ** 64n - 1n)), /says 18446744073709551615 bytes/],
      ] as const
    ) {
      Deno.writeFileSync(path, bytes);
      const error = await assertRejects(() => readBack(reader, path, { disk: realDisk }), OperatorError);
      assertEquals(error.code, "format");
      assertMatch(error.message, message);
    }
    Deno.writeFileSync(path, reader.bytes);
    assertEquals((await readBack(reader, path, { disk: realDisk })).findings, []);
  });
});
