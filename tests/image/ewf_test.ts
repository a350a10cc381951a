/**
 * E01 images with our own reader: bytes, segment files and their names, digests, what is refused, what damage is
 * found. Exports that were cut off are in ewf_resume_test.ts, other readers' opinion in tests/interop/e01_test.ts.
 */
import { createHash } from "node:crypto";
import { assert, assertEquals, assertMatch, assertRejects, assertStringIncludes } from "@std/assert";
import { OperatorError } from "../../src/errors.ts";
import type { BlockReader, BlockState, Disk } from "../../src/model.ts";
import { realDisk } from "../../src/world.ts";
import { type ExportOptions, exportRaw, readBack, readExportLog } from "../../src/image/mod.ts";
import { adler32, segmentPath } from "../../src/image/ewf_format.ts";
import { cutFields } from "../../src/image/ewf_header.ts";
import { mostEwfBytes, segmentBytes } from "../../src/image/ewf_room.ts";
import { exportOptions, MemoryReader, randomReader, shapeOf, withFolder } from "./fakes.ts";
import { FACTS } from "./ewf_facts.ts";

const SPLIT = 256 * 1024;
const GIB = 2 ** 30;
const digestOf = (name: string, bytes: Uint8Array) => createHash(name).update(bytes).digest("hex");
const names = (folder: string) => [...Deno.readDirSync(folder)].map((entry) => entry.name).sort();

/** 2 MiB of random, zero, absent and unreadable blocks of 4 KiB. */
const reader = randomReader(3, 512, 4096);

function exported(path: string, more: Partial<ExportOptions> = {}, volume: BlockReader = reader) {
  const options = exportOptions({ ewf: FACTS, splitBytes: SPLIT, syncEveryBytes: 128 * 1024, ...more });
  return exportRaw(volume, { kind: "path", path }, options);
}

const found = (path: string, volume: BlockReader | undefined = reader) =>
  readBack(volume, path, { disk: realDisk, expectedDigests: {} });

Deno.test("exportRaw() of an E01 is read back as it went in, in segment files no larger than asked", async () => {
  await withFolder(async (folder) => {
    const result = await exported(`${folder}/disk`);
    assert(result.files.length > 3);
    assertEquals(
      names(folder),
      [
        ...result.files.map((path) => path.slice(folder.length + 1)),
        "disk.E01.log",
        "disk.E01.map.json",
      ].sort(),
    );
    for (const path of result.files) assert(Deno.statSync(path).size <= SPLIT, path);
    const expected = Object.fromEntries(
      ["sha256", "sha1", "md5"].map((name) => [name, digestOf(name, reader.bytes)]),
    );
    assertEquals(result.digests, expected);
    const { findings, digests, isCompared, sizeBytes } = await found(`${folder}/disk.E01`);
    assertEquals([findings, isCompared, sizeBytes], [[], true, reader.bytes.length]);
    assertEquals(digests, { md5: expected["md5"]!, sha1: expected["sha1"]! });
    assertEquals(readExportLog(realDisk, `${folder}/disk.E01.log`)?.digests, expected);
    assertMatch(Deno.readTextFileSync(`${folder}/disk.E01.log`), /EWF-E01, chunks of 32 KiB, \d+ segment/);
  });
});

// Around a chunk (64 sectors), and around the end of a segment file, which holds 7 chunks of random bytes.
const SIZES = [[1, 1], [63, 1], [64, 1], [65, 1], [447, 1], [448, 1], [512, 2], [14 * 64, 2], [
  15 * 64,
  3,
]] as const;
for (const [sectors, segments] of SIZES) {
  for (const state of ["stored", "absent"] as const) {
    Deno.test(`an E01 of ${sectors} sectors, ${state}, is read back whole`, async () => {
      await withFolder(async (folder) => {
        const volume = new MemoryReader(Array.from({ length: sectors }, (): BlockState => state));
        const { files } = await exported(`${folder}/disk.E01`, {}, volume);
        assertEquals(files.length, state === "absent" ? 1 : segments);
        assertEquals((await found(`${folder}/disk.E01`, volume)).findings, []);
      });
    });
  }
}

Deno.test("readBack() of an E01 finds any byte changed in any segment file, and a file that is gone", async () => {
  await withFolder(async (folder) => {
    // All random: a compressed chunk of zeros has bits that say the same whichever way they are.
    const states = Array.from({ length: 20 }, (): BlockState => "stored");
    const volume = new MemoryReader(states, { blockSizeBytes: 32_768 });
    const { files } = await exported(`${folder}/disk`, {}, volume);
    assert(files.length > 1);
    for (const path of files) {
      const bytes = Deno.readFileSync(path);
      for (let at = 0; at < bytes.length; at += 1031) {
        const changed = Uint8Array.from(bytes);
        changed[at] = changed[at]! ^ 1;
        Deno.writeFileSync(path, changed);
        const outcome = await found(`${folder}/disk.E01`, volume).then(
          ({ findingCount }) => findingCount > 0,
          (error) => error instanceof OperatorError && error.code === "format",
        );
        assert(outcome, `byte ${at} of ${path} changed, and nothing was found`);
      }
      Deno.writeFileSync(path, bytes);
    }
    Deno.removeSync(files[1]!);
    const error = await assertRejects(() => found(`${folder}/disk.E01`, volume), OperatorError);
    assertStringIncludes(error.message, `"${files[1]}" is missing`);
  });
});

Deno.test("readBack() of an E01 finds another exhibit's bytes", async () => {
  await withFolder(async (folder) => {
    await exported(`${folder}/disk`);
    const other = new MemoryReader(reader.states, { blockSizeBytes: 4096, seed: 3 });
    const block = reader.states.indexOf("stored");
    other.bytes[block * 4096] = other.bytes[block * 4096]! ^ 1;
    const { findings } = await found(`${folder}/disk.E01`, other);
    assertEquals(findings, [{
      kind: "content",
      range: { offsetBytes: block * 4096, lengthBytes: 512 },
    }]);
  });
});

Deno.test("readBack() follows a link to an E01, and takes no later segment file for an image", async () => {
  await withFolder(async (folder) => {
    await exported(`${folder}/disk`);
    Deno.symlinkSync(`${folder}/disk.E01`, `${folder}/link.img`);
    assertEquals((await found(`${folder}/link.img`)).findings, []);
    const error = await assertRejects(() => found(`${folder}/disk.E02`), OperatorError);
    assertEquals(error.code, "usage");
    assertStringIncludes(error.message, `expected the first, "${folder}/disk.E01"`);
  });
});

Deno.test("exportRaw() gives a raw image no name of an E01, and notes one of a virtual disk", async () => {
  await withFolder(async (folder) => {
    const raw = { ewf: undefined, splitBytes: undefined };
    const error = await assertRejects(() => exported(`${folder}/disk.e01`, raw), OperatorError);
    assertEquals([error.code, names(folder)], ["usage", []]);
    assertMatch(error.hints.join(" "), /--format e01/);
    const { notes } = await exported(`${folder}/disk.VHD`, raw);
    assertMatch(notes.join(" "), /raw image.*--format vhd/);
    assertEquals((await exported(`${folder}/disk.img`, raw)).notes, []);
  });
});

Deno.test("exportRaw() mixes no two E01 sets, and no E01 goes to a stream", async () => {
  await withFolder(async (folder) => {
    for (const left of ["disk.E01", "disk.E02", "disk.EZZ", "disk.E01.log"]) {
      Deno.writeTextFileSync(`${folder}/${left}`, "another");
      const error = await assertRejects(() => exported(`${folder}/disk`), OperatorError);
      assertEquals([error.code, names(folder)], ["usage", [left]]);
      Deno.removeSync(`${folder}/${left}`);
    }
    Deno.writeTextFileSync(`${folder}/disk.E01`, "another");
    Deno.writeTextFileSync(`${folder}/disk.EAB`, "another");
    await exported(`${folder}/disk`, { overwrite: true });
    assert(!realDisk.stat(`${folder}/disk.EAB`));
    assertEquals((await found(`${folder}/disk.E01`)).findings, []);
    const stream = { write: (bytes: Uint8Array) => Promise.resolve(bytes.length) };
    const refused = await assertRejects(
      () => exportRaw(reader, { kind: "stream", stream }, exportOptions({ ewf: FACTS })),
      OperatorError,
    );
    assertEquals(refused.code, "usage");
  });
});

Deno.test("segmentBytes() is 2 GiB, and more where 64 TiB need it; asked for less is refused with what would do", async () => {
  const huge = (state: BlockState): BlockReader => ({
    shape: shapeOf(2 ** 27, 524_288),
    runs: async function* () {
      yield await Promise.resolve({ state, firstBlock: 0, blockCount: 2 ** 27 });
    },
    readBlock: () => Promise.reject(new Error("read")),
  });
  const sparse = await mostEwfBytes(huge("absent"));
  assert(sparse < 150 * GIB);
  assertEquals(segmentBytes("d", { asked: undefined, mostBytes: sparse }), 2 * GIB);
  const full = await mostEwfBytes(huge("stored"));
  const least = segmentBytes("d", { asked: undefined, mostBytes: full });
  assert(least > 84 * GIB && least < 86 * GIB, `${least}`);
  assertEquals(segmentBytes("d", { asked: least, mostBytes: full }), least);
  const error = await assertRejects(
    () => Promise.try(() => segmentBytes("d", { asked: 2 * GIB, mostBytes: full })),
    OperatorError,
  );
  assertEquals([error.code, error.hints[0]?.includes(`--split ${least / 2 ** 20}MiB`)], ["usage", true]);
});

Deno.test("segmentPath() counts .E01 to .E99, .EAA to .EZZ", () => {
  assertEquals([1, 99, 100, 125, 126, 775].map((number) => segmentPath("d", number)), [
    "d.E01",
    "d.E99",
    "d.EAA",
    "d.EAZ",
    "d.EBA",
    "d.EZZ",
  ]);
});

Deno.test("adler32() is RFC 1950's, also beyond the run after which sums are reduced", () => {
  assertEquals(adler32(new Uint8Array()), 1);
  assertEquals(adler32(new TextEncoder().encode("Wikipedia")), 0x11e60398);
  assertEquals(adler32(new Uint8Array(100_000).fill(0xff)), reference(100_000, 0xff));
});

/** The definition, a byte at a time. */
function reference(count: number, value: number): number {
  let [low, high] = [1, 0];
  for (let at = 0; at < count; at++) {
    low = (low + value) % 65_521;
    high = (high + low) % 65_521;
  }
  return high * 65_536 + low;
}

Deno.test("cutFields() names what an E01 does not hold; the note is in the log", async () => {
  const long = { ...FACTS, notes: "n".repeat(3000), version: "0.1.0-rc.1.2" };
  assertEquals([cutFields(FACTS), cutFields(long)], [[], ["notes", "version"]]);
  await withFolder(async (folder) => {
    const { notes } = await exported(`${folder}/disk`, { ewf: long });
    assertMatch(notes.join(), /notes, version cut/);
  });
});

/** A disk of which a file system of `kind` has so many bytes free. */
const diskWith = (kind: string, freeBytes: number): Disk => ({
  ...realDisk,
  fileSystemType: () => kind,
  freeBytes: () => freeBytes,
});

Deno.test("exportRaw() of an E01 refuses what can't fit, warns where it may not, and takes 4 GiB on FAT for too much", async () => {
  await withFolder(async (folder) => {
    const tiny = await assertRejects(
      () => exported(`${folder}/disk`, { disk: diskWith("ext4", 3000) }),
      OperatorError,
    );
    assertEquals(tiny.code, "storage");
    assertMatch(tiny.message, /2\.9 KiB free in .*, 4 KiB needed at least/);
    const large: BlockReader = {
      shape: shapeOf(16_384, 524_288),
      runs: storedBlocks(16_384),
      readBlock: () => Promise.resolve(new Uint8Array(524_288)),
    };
    const fat = (splitBytes: number | undefined) =>
      exported(`${folder}/disk`, { disk: diskWith("vfat", 1000), splitBytes }, large);
    const piece = await assertRejects(() => fat(5 * GIB), OperatorError);
    assertMatch(piece.message, /it takes 5368709120 bytes, a file on FAT at most 4294967295/);
    assertMatch((await assertRejects(() => fat(undefined), OperatorError)).message, /1000 B free/);
    assertEquals(names(folder), []);
    const warnings: string[] = [];
    const onWarning = (text: string) => void warnings.push(text);
    await exported(`${folder}/a`, { disk: diskWith("ext4", 100_000), onWarning });
    assertMatch(warnings.join(), /^the E01 takes up to 1.3 MiB, less where .*: 97\.7 KiB are free in/);
    await exported(`${folder}/b`, { disk: diskWith("ext4", 2 ** 40), onWarning });
    assertEquals(warnings.length, 1);
  });
});

function storedBlocks(blockCount: number): BlockReader["runs"] {
  return async function* (firstBlock = 0) {
    yield await Promise.resolve({
      state: "stored" as const,
      firstBlock,
      blockCount: blockCount - firstBlock,
    });
  };
}

Deno.test("exportRaw() of an E01 without digests holds none, and its bytes are read back all the same", async () => {
  await withFolder(async (folder) => {
    assertEquals((await exported(`${folder}/disk`, { digests: [] })).digests, {});
    const { findings, digests } = await found(`${folder}/disk.E01`);
    assertEquals([findings, digests], [[], {}]);
  });
});
