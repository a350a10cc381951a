/**
 * Raw images in pieces: names, bytes, digests of each piece and of all, what must not be replaced or mixed, and
 * pieces that are taken up again after every interruption. `cat` joins them.
 */
import { createHash } from "node:crypto";
import { assert, assertEquals, assertMatch, assertRejects, assertStringIncludes } from "@std/assert";
import { OperatorError } from "../../src/errors.ts";
import type { Disk } from "../../src/model.ts";
import { realDisk } from "../../src/world.ts";
import { type ExportOptions, exportRaw, readBack, readExportLog } from "../../src/image/mod.ts";
import {
  cutOff,
  exportOptions,
  failingDisk,
  platformError,
  randomReader,
  shapeOf,
  withFolder,
} from "./fakes.ts";
import { MemoryReader } from "./fakes.ts";

const PIECE = 4096;
/** 9 whole pieces, and one of 1,536 bytes. */
const reader = randomReader(21, 75);

const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");
const names = (folder: string) => [...Deno.readDirSync(folder)].map((entry) => entry.name).sort();

function exported(path: string, more: Partial<ExportOptions> = {}, volume: MemoryReader = reader) {
  const options = exportOptions({ splitBytes: PIECE, syncEveryBytes: 2048, ...more });
  return exportRaw(volume, { kind: "path", path }, options);
}

function joined(stem: string, count = 10): Uint8Array {
  const pieces = Array.from(
    { length: count },
    (_, i) => Deno.readFileSync(`${stem}.${String(i + 1).padStart(3, "0")}`),
  );
  return Uint8Array.from(pieces.flatMap((piece) => [...piece]));
}

const PIECE_NAMES = Array.from({ length: 10 }, (_, i) => `disk.img.${String(i + 1).padStart(3, "0")}`);
const SET = [...PIECE_NAMES, "disk.img.001.log", "disk.img.001.map.json"].sort();

for (const given of ["disk.img", "disk.img.001"]) {
  Deno.test(`exportRaw() to ${given} in pieces: the volume's bytes, each piece with its digests`, async () => {
    await withFolder(async (folder) => {
      const result = await exported(`${folder}/${given}`, { digests: ["sha256", "md5"] });
      assertEquals(names(folder), SET);
      assertEquals(joined(`${folder}/disk.img`), reader.bytes);
      assertEquals(result.digests.sha256, sha256(reader.bytes));
      assertEquals(
        result.pieces.map(({ path, digests }) => [path, digests.sha256]),
        PIECE_NAMES.map((name) => [`${folder}/${name}`, sha256(Deno.readFileSync(`${folder}/${name}`))]),
      );
      assertEquals(result.pieces.at(-1)?.lengthBytes, 75 * 512 - 9 * PIECE);
      const log = Deno.readTextFileSync(`${folder}/disk.img.001.log`);
      assertMatch(log, new RegExp(`disk\\.img\\.010 SHA-256 +${result.pieces[9]!.digests.sha256}`));
      assertEquals(readExportLog(realDisk, `${folder}/disk.img.001.log`)?.digests, result.digests);
    });
  });
}

for (
  const { blocks, pieces } of [{ blocks: 7, pieces: 1 }, { blocks: 8, pieces: 1 }, { blocks: 9, pieces: 2 }, {
    blocks: 16,
    pieces: 2,
  }]
) {
  Deno.test(`exportRaw() of ${blocks} blocks of 512 bytes makes ${pieces} pieces of 4,096`, async () => {
    await withFolder(async (folder) => {
      const volume = randomReader(blocks, blocks);
      await exported(`${folder}/disk.img`, {}, volume);
      assertEquals(names(folder).length, pieces + 2);
      assertEquals(joined(`${folder}/disk.img`, pieces), volume.bytes);
    });
  });
}

Deno.test("readBack() takes the first piece or the base name, and finds what differs", async () => {
  await withFolder(async (folder) => {
    const stem = `${folder}/disk.img`;
    await exported(stem);
    for (const path of [stem, `${stem}.001`]) {
      const { findings, digests, isCompared } = await readBack(reader, path, { disk: realDisk });
      assertEquals([findings, digests.sha256, isCompared], [[], sha256(reader.bytes), true]);
    }
    const piece = Deno.readFileSync(`${stem}.003`);
    piece[5] = piece[5]! ^ 1;
    Deno.writeFileSync(`${stem}.003`, piece);
    const { findings } = await readBack(reader, stem, { disk: realDisk });
    assertEquals(findings, [{ kind: "content", range: { offsetBytes: 2 * PIECE, lengthBytes: 512 } }]);
    Deno.truncateSync(`${stem}.010`, 512);
    assertEquals((await readBack(reader, stem, { disk: realDisk })).findings[0]?.kind, "size");
    Deno.truncateSync(`${stem}.004`, 512);
    const short = await assertRejects(() => readBack(reader, stem, { disk: realDisk }), OperatorError);
    assertStringIncludes(short.message, "disk.img.004");
    Deno.removeSync(`${stem}.004`);
    const gap = await assertRejects(() => readBack(reader, stem, { disk: realDisk }), OperatorError);
    assertEquals(gap.code, "format");
    assertStringIncludes(gap.message, `disk.img.004" is missing`);
  });
});

Deno.test("exportRaw() refuses a size that the names or a sector do not allow, and says which would do", async () => {
  await withFolder(async (folder) => {
    const big = { ...reader, shape: shapeOf(2 ** 27, 524_288), runs: () => reader.runs() } as MemoryReader;
    const many = await assertRejects(
      () => exported(`${folder}/disk.img`, { splitBytes: 2 ** 31 }, big),
      OperatorError,
    );
    assertEquals([many.code, many.hints], ["usage", ["Give --split 67177MiB or more."]]);
    const odd = await assertRejects(() => exported(`${folder}/d`, { splitBytes: 1000 }), OperatorError);
    assertEquals(odd.code, "usage");
    assertEquals(names(folder), []);
  });
});

Deno.test("exportRaw() in pieces is for files only", async () => {
  const stream = { write: (bytes: Uint8Array) => Promise.resolve(bytes.length) };
  const error = await assertRejects(
    () => exportRaw(reader, { kind: "stream", stream }, exportOptions({ splitBytes: PIECE })),
    OperatorError,
  );
  assertEquals(error.code, "usage");
});

Deno.test("exportRaw() mixes no two sets: any piece there refuses, --overwrite removes them all", async () => {
  await withFolder(async (folder) => {
    const stem = `${folder}/disk.img`;
    for (const left of ["disk.img.001", "disk.img.010", "disk.img.700", "disk.img.001.log"]) {
      Deno.writeTextFileSync(`${folder}/${left}`, "another");
      const error = await assertRejects(() => exported(stem), OperatorError);
      assertEquals([error.code, names(folder)], ["usage", [left]]);
      assertEquals(Deno.readTextFileSync(`${folder}/${left}`), "another");
      Deno.removeSync(`${folder}/${left}`);
    }
    for (const name of [...SET, "disk.img.700"]) Deno.writeTextFileSync(`${folder}/${name}`, "another");
    Deno.writeTextFileSync(`${folder}/disk.img.0011`, "not of the set");
    await exported(stem, { overwrite: true });
    assertEquals(names(folder), [...SET, "disk.img.0011"].sort());
    assertEquals(joined(stem), reader.bytes);
  });
});

Deno.test("exportRaw() in pieces, run again, touches no piece that came from elsewhere since", async () => {
  for (const isPartialGone of [false, true]) {
    await withFolder(async (folder) => {
      const stem = `${folder}/disk.img`;
      const failing = failingDisk((n, operation) =>
        operation === "write" && n > 60 ? platformError("ENOSPC") : undefined
      );
      await assertRejects(() => exported(stem, { disk: failing }), OperatorError);
      if (isPartialGone) Deno.removeSync(`${stem}.009.partial`);
      for (const left of ["disk.img.009", "disk.img.700"]) {
        Deno.writeTextFileSync(`${folder}/${left}`, "another");
        const before = names(folder);
        const error = await assertRejects(() => exported(stem), OperatorError);
        assertEquals([error.code, error.facts.path, names(folder)], ["usage", `${folder}/${left}`, before]);
        assertEquals(Deno.readTextFileSync(`${folder}/${left}`), "another");
        Deno.renameSync(`${folder}/${left}`, `${folder}/away-${left}`);
      }
      await exported(stem);
      assertEquals(joined(stem), reader.bytes);
      assertEquals(names(folder), [...SET, "away-disk.img.009", "away-disk.img.700"].sort());
    });
  }
});

Deno.test("exportRaw() to one file that is called like a first piece leaves no others beside it", async () => {
  await withFolder(async (folder) => {
    const path = `${folder}/disk.001`;
    const whole = (more: Partial<ExportOptions> = {}) => exported(path, { splitBytes: undefined, ...more });
    Deno.writeTextFileSync(`${folder}/disk.002`, "another");
    assertEquals((await assertRejects(() => whole(), OperatorError)).code, "usage");
    assertEquals(names(folder), ["disk.002"]);
    await whole({ overwrite: true });
    assertEquals(names(folder), ["disk.001", "disk.001.log", "disk.001.map.json"]);
    assertEquals((await readBack(reader, path, { disk: realDisk })).findings, []);
  });
});

Deno.test("readBack() follows a link to the first piece, and takes no later one for an image", async () => {
  await withFolder(async (folder) => {
    await exported(`${folder}/disk.img`);
    Deno.symlinkSync(`${folder}/disk.img.001`, `${folder}/link`);
    assertEquals((await readBack(reader, `${folder}/link`, { disk: realDisk })).findings, []);
    const error = await assertRejects(
      () => readBack(reader, `${folder}/disk.img.002`, { disk: realDisk }),
      OperatorError,
    );
    assertEquals(error.code, "usage");
    assertStringIncludes(error.message, `expected the first, "${folder}/disk.img.001"`);
  });
});

Deno.test("exportRaw() takes a FAT target in pieces that fit, and says so where they do not", async () => {
  await withFolder(async (folder) => {
    const fat: Disk = { ...realDisk, fileSystemType: () => "vfat", freeBytes: () => 0 };
    const big = { ...reader, shape: shapeOf(16_384, 524_288) } as MemoryReader;
    const error = await assertRejects(
      () => exported(`${folder}/a`, { disk: fat, splitBytes: 2 ** 32 }, big),
      OperatorError,
    );
    assertStringIncludes(error.hints.join(), "--split 2GiB");
    const full = await assertRejects(
      () => exported(`${folder}/a`, { disk: fat, splitBytes: 2 ** 31 }, big),
      OperatorError,
    );
    assertStringIncludes(full.message, "free in");
    assertEquals(names(folder), []);
  });
});

Deno.test("exportRaw() refuses to take up pieces of another size", async () => {
  await withFolder(async (folder) => {
    const stem = `${folder}/disk.img`;
    const failing = failingDisk((n, operation) =>
      operation === "write" && n > 60 ? platformError("ENOSPC") : undefined
    );
    await assertRejects(() => exported(stem, { disk: failing }), OperatorError);
    const error = await assertRejects(() => exported(stem, { splitBytes: 8192 }), OperatorError);
    assertStringIncludes(error.message, "its pieces have 4096 bytes, wanted are 8192");
    await exported(stem, { splitBytes: 8192, overwrite: true });
    assertEquals(names(folder).length, 5 + 2);
    assertEquals(joined(stem, 5), reader.bytes);
  });
});

Deno.test("exportRaw() in pieces, cut off at any operation and run again, is as if it never was", async () => {
  const counting = failingDisk(() => undefined);
  await withFolder(async (folder) => {
    await exported(`${folder}/disk.img`, { disk: counting });
  });
  const total = counting.operations.length;
  assert(total > 100);
  let compared = 0;
  // Each of the last, where names change; a seventh of those before, which are alike.
  for (let at = 0; at < total; at += at < total - 50 ? 7 : 1) {
    await withFolder(async (folder) => {
      const stem = `${folder}/disk.img`;
      const failing = failingDisk((n) => n >= at ? platformError("EIO") : undefined);
      if (!await cutOff(exported(stem, { disk: failing }), { disk: failing, at })) return;
      if (realDisk.stat(`${stem}.001`)) assertEquals(joined(stem), reader.bytes, `a half set after ${at}`);
      // Only the file that tells how far it was is left where the image was complete already.
      const isThere = realDisk.stat(`${stem}.001`) !== undefined;
      const result = await exported(stem, { overwrite: isThere });
      compared += result.checkedBytes;
      assertEquals(joined(stem), reader.bytes, `cut off at ${at}: ${counting.operations[at]}`);
      assertEquals(result.digests.sha256, sha256(reader.bytes));
      assertEquals(names(folder), SET, `cut off at ${at}: ${counting.operations[at]}`);
    });
  }
  assert(compared > 0);
});
