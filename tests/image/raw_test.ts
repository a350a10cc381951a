/**
 * Raw export to a file and to a stream: bytes, digests, the files beside the image, refusals. Interruptions and
 * failing disks are in resume_test.ts, devices in device_test.ts.
 */
import { createHash } from "node:crypto";
import { assert, assertEquals, assertLessOrEqual, assertMatch, assertRejects } from "@std/assert";
import { OperatorError } from "../../src/errors.ts";
import type { BlockState, Disk } from "../../src/model.ts";
import { realDisk } from "../../src/world.ts";
import {
  type ByteSink,
  exportRaw,
  type ImageProgress,
  parseDigestNames,
  readExportLog,
} from "../../src/image/mod.ts";
import { exportOptions, MemoryReader, platformError, randomReader, withFolder } from "./fakes.ts";

const digestOf = (name: string, bytes: Uint8Array) => createHash(name).update(bytes).digest("hex");

/** Takes everything, at most `most` bytes at once. */
function collector(most = Infinity): ByteSink & { bytes(): Uint8Array } {
  const pieces: Uint8Array[] = [];
  return {
    write(bytes) {
      const taken = bytes.slice(0, Math.min(most, bytes.length));
      pieces.push(taken);
      return Promise.resolve(taken.length);
    },
    bytes: () => Uint8Array.from(pieces.flatMap((piece) => [...piece])),
  };
}

Deno.test("exportRaw() writes the volume's bytes, sparse, with log and map beside", async () => {
  await withFolder(async (folder) => {
    const states: BlockState[] = ["stored", "absent", "zero", "unreadable", "unreadable", "stored", "absent"];
    const reader = new MemoryReader(states, { blockSizeBytes: 65_536 });
    const path = `${folder}/disk.raw`;
    const result = await exportRaw(
      reader,
      { kind: "path", path },
      exportOptions({ digests: ["sha256", "md5", "sha1"] }),
    );
    assertEquals(Deno.readFileSync(path), reader.bytes);
    assertEquals(result.digests, {
      sha256: digestOf("sha256", reader.bytes),
      sha1: digestOf("sha1", reader.bytes),
      md5: digestOf("md5", reader.bytes),
    });
    const { storedBlocks, zeroBlocks, absentBlocks, unreadableBlocks } = result;
    assertEquals([storedBlocks, zeroBlocks, absentBlocks, unreadableBlocks], [2, 1, 2, 2]);
    assertEquals(result.unreadableRanges, [{ offsetBytes: 3 * 65_536, lengthBytes: 2 * 65_536 }]);
    assertLessOrEqual(Deno.statSync(path).blocks! * 512, 3 * 65_536, "two stored blocks take room");
    assertEquals([...Deno.readDirSync(folder)].map((entry) => entry.name).sort(), [
      "disk.raw",
      "disk.raw.log",
      "disk.raw.map.json",
    ]);
    assertEquals(JSON.parse(Deno.readTextFileSync(`${path}.map.json`)), {
      type: "coldcase-image-map",
      version: 1,
      image: "disk.raw",
      imageDigest: "ab".repeat(32),
      volumeSizeBytes: 7 * 65_536,
      blockSizeBytes: 65_536,
      ranges: [
        { state: "absent", offsetBytes: 65_536, lengthBytes: 65_536 },
        { state: "zero", offsetBytes: 131_072, lengthBytes: 65_536 },
        { state: "unreadable", offsetBytes: 196_608, lengthBytes: 131_072 },
        { state: "absent", offsetBytes: 393_216, lengthBytes: 65_536 },
      ],
      totals: { absentBytes: 131_072, zeroBytes: 65_536, storedBytes: 131_072, unreadableBytes: 131_072 },
    });
    const log = Deno.readTextFileSync(`${path}.log`);
    assertMatch(log, /Bytes +196608 to 327679 \(131072 bytes, blocks 3 to 4\)/);
    assertMatch(log, /Evidence number +E-1/);
    assertEquals(readExportLog(realDisk, `${path}.log`), {
      imageDigest: "ab".repeat(32),
      volumeSizeBytes: 7 * 65_536,
      digests: result.digests,
    });
  });
});

Deno.test("exportRaw() to a stream gives every byte in order, also where it takes few at a time", async () => {
  const reader = randomReader(7, 300);
  const sink = collector(300);
  const result = await exportRaw(reader, { kind: "stream", stream: sink }, exportOptions());
  assertEquals(sink.bytes(), reader.bytes);
  assertEquals(result.digests, { sha256: digestOf("sha256", reader.bytes) });
  assertEquals([result.path, result.logPath, result.mapPath], [undefined, undefined, undefined]);
});

Deno.test("exportRaw() ends quietly where the stream is closed early", async () => {
  const reader = randomReader(7, 300);
  let left = 3;
  const stream: ByteSink = {
    write: (bytes) =>
      left-- > 0
        ? Promise.resolve(bytes.length)
        : Promise.reject(new Deno.errors.BrokenPipe("Broken pipe (os error 32)")),
  };
  const result = await exportRaw(reader, { kind: "stream", stream }, exportOptions());
  assertEquals([result.isClosedEarly, result.digests], [true, {}]);
});

Deno.test("exportRaw() reads ahead, in bounds, and never reads a hole", async () => {
  const states = Array.from({ length: 100 }, (_, i): BlockState => i % 10 === 9 ? "zero" : "stored");
  const reader = new MemoryReader(states);
  await exportRaw(reader, { kind: "stream", stream: collector() }, exportOptions());
  assertEquals(reader.asked, states.flatMap((state, i) => state === "stored" ? [i] : []));
  assert(reader.mostInFlight > 1);
  assertLessOrEqual(reader.mostInFlight, 16);
});

Deno.test("exportRaw() stops at the block that the reader refuses, and keeps what is before", async () => {
  await withFolder(async (folder) => {
    const reader = new MemoryReader(Array.from({ length: 40 }, () => "stored"));
    reader.damaged.add(25);
    const path = `${folder}/disk.raw`;
    const error = await assertRejects(
      () => exportRaw(reader, { kind: "path", path }, exportOptions()),
      OperatorError,
      "block 25",
    );
    assertEquals(error.code, "integrity");
    assertEquals(realDisk.stat(path), undefined);
    assertEquals(JSON.parse(Deno.readTextFileSync(`${path}.partial.json`)).durableBytes, 25 * 512);
    reader.damaged.clear();
    const result = await exportRaw(reader, { kind: "path", path }, exportOptions());
    assertEquals([result.sessions, result.checkedBytes], [2, 25 * 512]);
    assertEquals(Deno.readFileSync(path), reader.bytes);
  });
});

Deno.test("exportRaw() refuses a reader whose runs have a gap", async () => {
  const reader = new MemoryReader(["stored", "stored"]);
  reader.runs = async function* () {
    yield await Promise.resolve({ state: "stored" as const, firstBlock: 1, blockCount: 1 });
  };
  const error = await assertRejects(
    () => exportRaw(reader, { kind: "stream", stream: collector() }, exportOptions()),
    OperatorError,
    "expected block 0 of 2",
  );
  assertEquals(error.code, "internal");
});

Deno.test("exportRaw() tells how far it is, and stops when asked to", async () => {
  await withFolder(async (folder) => {
    const reader = new MemoryReader(Array.from({ length: 20 }, (_, i) => i < 15 ? "stored" : "absent"));
    const path = `${folder}/disk.raw`;
    const controller = new AbortController();
    const seen: ImageProgress[] = [];
    const error = await assertRejects(
      () =>
        exportRaw(
          reader,
          { kind: "path", path },
          exportOptions({
            signal: controller.signal,
            onProgress(progress) {
              seen.push(progress);
              if (progress.doneBytes === 5 * 512) controller.abort();
            },
          }),
        ),
      OperatorError,
    );
    assertEquals(error.code, "interrupted");
    assertMatch(error.hints.join(), /run the same command again/);
    assertEquals(seen.at(-1), { doneBytes: 5 * 512, totalBytes: 20 * 512 });
    const result = await exportRaw(reader, { kind: "path", path }, exportOptions());
    assertEquals(Deno.readFileSync(path), reader.bytes);
    assertEquals([result.sessions, result.checkedBytes], [2, 6 * 512]);
    assertMatch(Deno.readTextFileSync(`${path}.log`), /Sessions +2; the last one compared 3072 bytes/);
  });
});

const targets: [name: string, prepare: (path: string) => void, code: string, message: RegExp][] = [
  ["a file that exists", (path) => Deno.writeTextFileSync(path, "x"), "usage", /it exists/],
  ["a log that exists", (path) => Deno.writeTextFileSync(`${path}.log`, "x"), "usage", /\.log": it exists/],
  [
    "a map that exists",
    (path) => Deno.writeTextFileSync(`${path}.map.json`, "x"),
    "usage",
    /map.json": it ex/,
  ],
  ["a directory", (path) => Deno.mkdirSync(path), "usage", /it is a directory/],
  ["a link to nowhere", (path) => Deno.symlinkSync("nowhere", path), "storage", /Cannot follow/],
  [
    "a link to a file",
    (path) => {
      Deno.writeTextFileSync(`${path}.other`, "x");
      Deno.symlinkSync(`${path}.other`, path);
    },
    "usage",
    /it is a symlink/,
  ],
  [
    "an unfinished image of nobody",
    (path) => Deno.writeTextFileSync(`${path}.partial`, "x"),
    "usage",
    /nothing/,
  ],
];

for (const [name, prepare, code, message] of targets) {
  Deno.test(`exportRaw() refuses ${name}, and leaves all as it was`, async () => {
    await withFolder(async (folder) => {
      const path = `${folder}/disk.raw`;
      prepare(path);
      const before = [...Deno.readDirSync(folder)].map((entry) => entry.name).sort();
      const reader = new MemoryReader(["stored"]);
      const error = await assertRejects(
        () => exportRaw(reader, { kind: "path", path }, exportOptions()),
        OperatorError,
      );
      assertEquals(error.code, code);
      assertMatch(error.message, message);
      assertEquals([...Deno.readDirSync(folder)].map((entry) => entry.name).sort(), before);
    });
  });
}

Deno.test("exportRaw() refuses a folder that is not there", async () => {
  const error = await assertRejects(
    () => exportRaw(new MemoryReader(["stored"]), { kind: "path", path: "/nowhere/at/all" }, exportOptions()),
    OperatorError,
    'folder "/nowhere/at" does not exist',
  );
  assertEquals(error.code, "usage");
});

Deno.test("exportRaw() with overwrite replaces image, log and map", async () => {
  await withFolder(async (folder) => {
    const path = `${folder}/disk.raw`;
    const first = randomReader(1, 50);
    const second = randomReader(2, 30);
    await exportRaw(first, { kind: "path", path }, exportOptions());
    await exportRaw(second, { kind: "path", path }, exportOptions({ overwrite: true, imageDigest: "cd" }));
    assertEquals(Deno.readFileSync(path), second.bytes);
    assertEquals(readExportLog(realDisk, `${path}.log`)?.imageDigest, "cd");
    assertEquals(JSON.parse(Deno.readTextFileSync(`${path}.map.json`)).imageDigest, "cd");
  });
});

Deno.test("exportRaw() refuses where there is no room, and names both numbers", async () => {
  await withFolder(async (folder) => {
    const reader = new MemoryReader(["stored", "absent", "stored", "zero", "unreadable"]);
    const disk = { ...realDisk, freeBytes: () => 1023 };
    const path = `${folder}/disk.raw`;
    const error = await assertRejects(
      () => exportRaw(reader, { kind: "path", path }, exportOptions({ disk })),
      OperatorError,
      "1023 B free",
    );
    assertEquals([error.code, error.facts.needBytes], ["storage", 1024]);
    assertEquals(realDisk.list(folder), []);
    await exportRaw(
      reader,
      { kind: "path", path },
      exportOptions({ disk: { ...disk, freeBytes: () => 1024 } }),
    );
  });
});

Deno.test("exportRaw() counts holes too where the file system has none", async () => {
  await withFolder(async (folder) => {
    const reader = new MemoryReader(["stored", "absent"]);
    const disk = { ...realDisk, freeBytes: () => 1023, fileSystemType: () => "exfat" };
    const error = await assertRejects(
      () => exportRaw(reader, { kind: "path", path: `${folder}/disk.raw` }, exportOptions({ disk })),
      OperatorError,
    );
    assertEquals(error.facts.needBytes, 1024);
  });
});

Deno.test("exportRaw() refuses a file that another export is writing, and leaves that alone", async () => {
  await withFolder(async (folder) => {
    const path = `${folder}/disk.raw`;
    const reader = new MemoryReader(Array.from({ length: 20 }, () => "stored"));
    const codes: unknown[] = [];
    const second = () => exportRaw(reader, { kind: "path", path }, exportOptions({ overwrite: true }));
    let running: Promise<unknown> | undefined;
    const onProgress = () => {
      running ??= second().catch((error: unknown) =>
        codes.push(error instanceof OperatorError && error.code)
      );
    };
    await exportRaw(reader, { kind: "path", path }, exportOptions({ onProgress }));
    await running;
    assertEquals(codes, ["locked"]);
    assertEquals(Deno.readFileSync(path), reader.bytes);
  });
});

Deno.test("exportRaw() goes on without a lock where the file system has none, and says so", async () => {
  await withFolder(async (folder) => {
    const path = `${folder}/disk.raw`;
    const disk: Disk = {
      ...realDisk,
      tryLock() {
        throw platformError("ENOTSUP");
      },
    };
    const result = await exportRaw(
      new MemoryReader(["stored"]),
      { kind: "path", path },
      exportOptions({ disk }),
    );
    assertMatch(result.notes.join(), /has no locks/);
  });
});

Deno.test("exportRaw() tells a target that may not be written to", async () => {
  await withFolder(async (folder) => {
    const disk: Disk = {
      ...realDisk,
      tryLock() {
        throw new Deno.errors.PermissionDenied("Permission denied (os error 13)");
      },
    };
    const error = await assertRejects(
      () =>
        exportRaw(
          new MemoryReader(["stored"]),
          { kind: "path", path: `${folder}/disk.raw` },
          exportOptions({ disk }),
        ),
      OperatorError,
    );
    assertEquals([error.code, error.hints], ["storage", ["Name a target that this user may write to."]]);
  });
});

Deno.test("formatExportLog() shows what could deceive a terminal as text", async () => {
  await withFolder(async (folder) => {
    const path = `${folder}/disk.raw`;
    const exhibitFacts: [string, string][] = [["Tag", "a\u001b[2Jb\u202ec\nDigests of the image's 1 bytes"]];
    await exportRaw(new MemoryReader(["stored"]), { kind: "path", path }, exportOptions({ exhibitFacts }));
    assertMatch(Deno.readTextFileSync(`${path}.log`), /Tag +a\\u\{1b\}\[2Jb\\u\{202e\}c\\u\{a\}Digests/);
    assertEquals(readExportLog(realDisk, `${path}.log`)?.volumeSizeBytes, 512);
  });
});

Deno.test("parseDigestNames() reads lists and none", () => {
  assertEquals(parseDigestNames("md5,sha256"), ["sha256", "md5"]);
  assertEquals(parseDigestNames("none"), []);
  for (const bad of ["", "sha512", "md5,md5", "none,md5", "SHA256"]) {
    assertEquals(
      (() => {
        try {
          return parseDigestNames(bad);
        } catch (error) {
          return error instanceof OperatorError && error.code;
        }
      })(),
      "usage",
      bad,
    );
  }
});

for (const blockSizeBytes of [512, 524_288]) {
  for (const count of [1, 2, 3, 17]) {
    Deno.test(`exportRaw() of ${count} blocks of ${blockSizeBytes} bytes, file and stream alike`, async () => {
      await withFolder(async (folder) => {
        for (const state of ["stored", "absent", "zero", "unreadable"] as const) {
          const states = Array.from(
            { length: count },
            (_, i): BlockState => i === count - 1 ? state : "stored",
          );
          const reader = new MemoryReader(states, { blockSizeBytes });
          const path = `${folder}/${state}.raw`;
          const result = await exportRaw(reader, { kind: "path", path }, exportOptions());
          assertEquals(Deno.statSync(path).size, count * blockSizeBytes);
          assertEquals(result.digests.sha256, digestOf("sha256", reader.bytes));
          assertEquals(digestOf("sha256", Deno.readFileSync(path)), result.digests.sha256);
        }
      });
    });
  }
}
