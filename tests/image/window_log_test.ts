/**
 * Digests of windows: what the logs hold for files, sets, devices' and streams' sake, that they are the same after
 * every interruption, what they must not replace, and reading back against them. dcfldd writes the same in
 * tests/interop/virtual_disk_test.ts.
 */
import { createHash } from "node:crypto";
import { assert, assertEquals, assertMatch, assertRejects, assertStringIncludes } from "@std/assert";
import { OperatorError } from "../../src/errors.ts";
import type { Disk } from "../../src/model.ts";
import { realDisk } from "../../src/world.ts";
import { type EwfFacts, type ExportOptions, exportRaw, readBack } from "../../src/image/mod.ts";
import { cutOff, exportOptions, failingDisk, platformError, randomReader, withFolder } from "./fakes.ts";

const reader = randomReader(21, 75);
const names = (folder: string) => [...Deno.readDirSync(folder)].map((entry) => entry.name).sort();

const EWF: EwfFacts = {
  ...{ caseNumber: "1", evidenceNumber: "E-1", description: "d", examiner: "A. Example", notes: "" },
  ...{ model: "EBS volume", serialNumber: "vol-0", version: "0.1.0", platform: "Linux" },
  acquiredAt: "2026-03-01T10:00:00.000Z",
};

/** As dcfldd writes it. */
function expectedLog(name: "sha256" | "md5", windowBytes: number): string {
  const hash = (bytes: Uint8Array) => createHash(name).update(bytes).digest("hex");
  let text = "";
  for (let start = 0; start < reader.bytes.length; start += windowBytes) {
    const window = reader.bytes.subarray(start, start + windowBytes);
    text += `${start} - ${start + window.length}: ${hash(window)}\n`;
  }
  return `${text}\nTotal (${name}): ${hash(reader.bytes)}\n`;
}

function exported(path: string, windowBytes: number, more: Partial<ExportOptions> = {}) {
  const options = exportOptions({ windowLog: { windowBytes }, syncEveryBytes: 2048, ...more });
  return exportRaw(reader, { kind: "path", path }, options);
}

for (const windowBytes of [512, 1024, 3584, 37_888, 38_400, 38_912, 2 ** 30]) {
  Deno.test(`exportRaw() with windows of ${windowBytes} bytes tells each and the whole`, async () => {
    await withFolder(async (folder) => {
      const path = `${folder}/disk.img`;
      const { windowLogs } = await exported(path, windowBytes, { digests: ["sha256", "md5"] });
      assertEquals(windowLogs, [`${path}.sha256.log`, `${path}.md5.log`]);
      for (const name of ["sha256", "md5"] as const) {
        assertEquals(Deno.readTextFileSync(`${path}.${name}.log`), expectedLog(name, windowBytes));
      }
      const log = Deno.readTextFileSync(`${path}.log`);
      assertMatch(log, new RegExp(`Windows of +${windowBytes} bytes`));
      assertStringIncludes(log, `${path}.md5.log`);
    });
  });
}

Deno.test("exportRaw() tells windows of every format, over the volume's bytes", async () => {
  const createdAt = "2026-03-01T10:00:00.000Z";
  await withFolder(async (folder) => {
    for (
      const more of [
        { splitBytes: 4096 },
        { virtualDisk: { format: "vmdk", createdAt } },
        { virtualDisk: { format: "vhd", createdAt } },
        { ewf: EWF },
      ] as const
    ) {
      const { windowLogs } = await exported(`${folder}/disk`, 1024, more);
      assertEquals(Deno.readTextFileSync(windowLogs[0]!), expectedLog("sha256", 1024));
    }
    assertEquals(names(folder).filter((name) => name.includes("sha256")), [
      "disk.001.sha256.log",
      "disk.E01.sha256.log",
      "disk.vhd.sha256.log",
      "disk.vmdk.sha256.log",
    ]);
  });
});

Deno.test("exportRaw() to a stream has its windows at the place that is named, and needs one", async () => {
  await withFolder(async (folder) => {
    const stream = { write: (bytes: Uint8Array) => Promise.resolve(bytes.length) };
    const streamed = (windowLog: { windowBytes: number; base?: string }, more: Partial<ExportOptions> = {}) =>
      exportRaw(reader, { kind: "stream", stream }, exportOptions({ windowLog, ...more }));
    const placeless = await assertRejects(() => streamed({ windowBytes: 1024 }), OperatorError);
    assertEquals(placeless.code, "usage");
    assertStringIncludes(placeless.hints.join(), "--digest-log");
    const base = `${folder}/windows`;
    await streamed({ windowBytes: 1024, base });
    assertEquals(Deno.readTextFileSync(`${base}.sha256.log`), expectedLog("sha256", 1024));
    const twice = await assertRejects(() => streamed({ windowBytes: 1024, base }), OperatorError);
    assertMatch(twice.message, /it exists/);
    await streamed({ windowBytes: 512, base }, { overwrite: true });
    assertEquals(Deno.readTextFileSync(`${base}.sha256.log`), expectedLog("sha256", 512));
    assertEquals(names(folder), ["windows.sha256.log"]);
    const leaves = { write: () => Promise.reject(new Deno.errors.BrokenPipe("closed")) };
    const early = await exportRaw(
      reader,
      { kind: "stream", stream: leaves },
      exportOptions({ windowLog: { windowBytes: 1024, base: `${folder}/early` } }),
    );
    assertEquals([early.isClosedEarly, names(folder)], [true, ["windows.sha256.log"]]);
  });
});

Deno.test("exportRaw() refuses windows that cut a sector, of no digest, or without room", async () => {
  await withFolder(async (folder) => {
    const small: Disk = {
      ...realDisk,
      freeBytes: (path) => path.endsWith("small") ? 100 : realDisk.freeBytes(path),
    };
    Deno.mkdirSync(`${folder}/small`);
    const cases: [() => Promise<unknown>, string, RegExp][] = [
      [() => exported(`${folder}/a`, 1000), "usage", /multiple of 512/],
      [() => exported(`${folder}/a`, 0), "usage", /multiple of 512/],
      [() => exported(`${folder}/a`, 512, { digests: [] }), "usage", /no digest was asked for/],
      [
        () =>
          exported(`${folder}/a`, 512, {
            disk: small,
            windowLog: { windowBytes: 512, base: `${folder}/small/x` },
          }),
        "storage",
        /they take up to .*100 B/,
      ],
    ];
    for (const [call, code, message] of cases) {
      const error = await assertRejects(call, OperatorError);
      assertEquals(error.code, code);
      assertMatch(error.message, message);
    }
    assertEquals(names(folder), ["small"]);
  });
});

Deno.test("exportRaw() replaces no foreign file by a log, and leaves no log of an image that is gone", async () => {
  await withFolder(async (folder) => {
    const path = `${folder}/disk.img`;
    Deno.writeTextFileSync(`${path}.sha256.log`, "notes of somebody");
    const error = await assertRejects(() => exported(path, 512), OperatorError);
    assertEquals([error.code, names(folder)], ["usage", ["disk.img.sha256.log"]]);
    await exported(path, 512, { overwrite: true });
    await exported(path, 1024, { overwrite: true, digests: ["md5"] });
    assertEquals(names(folder), ["disk.img", "disk.img.log", "disk.img.map.json", "disk.img.md5.log"]);
    Deno.writeTextFileSync(`${path}.sha1.log`, "notes of somebody");
    await exportRaw(reader, { kind: "path", path }, exportOptions({ overwrite: true }));
    assertEquals(names(folder), ["disk.img", "disk.img.log", "disk.img.map.json", "disk.img.sha1.log"]);
  });
});

Deno.test("exportRaw() puts no log of windows in the place of its image or its log, nor into no folder", async () => {
  await withFolder(async (folder) => {
    for (
      const [image, base, message] of [
        ["disk.sha256", "disk", /expected another name/],
        ["disk.sha256.log", "disk", /expected another name/],
        ["disk.img", "none/disk", /folder ".*none" does not exist/],
      ] as const
    ) {
      const windowLog = { windowBytes: 512, base: `${folder}/${base}` };
      const error = await assertRejects(
        () => exported(`${folder}/${image}`, 512, { windowLog }),
        OperatorError,
      );
      assertEquals([error.code, names(folder)], ["usage", []]);
      assertMatch(error.message, message);
    }
  });
});

Deno.test("exportRaw() with windows, cut off at any operation and run again, has the logs of one that was not", async () => {
  const digests = ["sha256", "md5"] as const;
  const counting = failingDisk(() => undefined);
  await withFolder(async (folder) => {
    await exported(`${folder}/disk.img`, 1024, { disk: counting, digests });
  });
  const set = ["disk.img", "disk.img.log", "disk.img.map.json", "disk.img.md5.log", "disk.img.sha256.log"];
  let refused = 0;
  const total = counting.operations.length;
  // Each of the last, where names change; a seventh of those before, which are alike.
  for (let at = 0; at < total; at += at < total - 60 ? 7 : 1) {
    await withFolder(async (folder) => {
      const path = `${folder}/disk.img`;
      const failing = failingDisk((n) => n >= at ? platformError("EIO") : undefined);
      if (!await cutOff(exported(path, 1024, { disk: failing, digests }), { disk: failing, at })) return;
      const isThere = realDisk.stat(path) !== undefined;
      if (isThere) {
        refused++;
        for (const name of digests) {
          assertEquals(Deno.readTextFileSync(`${path}.${name}.log`), expectedLog(name, 1024));
        }
      }
      await exported(path, 1024, { overwrite: isThere, digests });
      assertEquals(names(folder), set, `cut off at ${at}: ${counting.operations[at]}`);
      for (const name of digests) {
        assertEquals(Deno.readTextFileSync(`${path}.${name}.log`), expectedLog(name, 1024));
      }
    });
  }
  assert(refused > 0);
});

Deno.test("exportRaw() as E01 with windows, cut off and taken up, tells those of its first segment files too", async () => {
  const volume = randomReader(22, 60, 32_768);
  const asked = {
    ewf: EWF,
    splitBytes: 256 * 1024,
    syncEveryBytes: 65_536,
    windowLog: { windowBytes: 65_536 },
  };
  await withFolder(async (folder) => {
    const path = `${folder}/disk`;
    await exportRaw(volume, { kind: "path", path: `${folder}/whole` }, exportOptions(asked));
    const expected = Deno.readTextFileSync(`${folder}/whole.E01.sha256.log`);
    const failing = failingDisk((n) => n > 60 ? platformError("EIO") : undefined);
    await assertRejects(
      () => exportRaw(volume, { kind: "path", path }, exportOptions({ ...asked, disk: failing })),
      OperatorError,
    );
    const { sessions } = await exportRaw(volume, { kind: "path", path }, exportOptions(asked));
    assertEquals(sessions, 2);
    assertEquals(Deno.readTextFileSync(`${path}.E01.sha256.log`), expected);
  });
});

Deno.test("exportRaw() of holes tells their windows as fast as one is hashed, and bounded text is held", async () => {
  await withFolder(async (folder) => {
    const writes: number[] = [];
    const disk: Disk = {
      ...realDisk,
      open(path, mode) {
        const file = realDisk.open(path, mode);
        if (!path.endsWith("md5.log.partial")) return file;
        const write = (bytes: Uint8Array, offset: number) => {
          writes.push(bytes.length);
          file.write(bytes, offset);
        };
        return {
          ...{ read: file.read.bind(file), sync: file.sync.bind(file), truncate: file.truncate.bind(file) },
          ...{ sizeBytes: file.sizeBytes.bind(file), close: file.close.bind(file), write },
        };
      },
    };
    const volume = {
      shape: { blockSizeBytes: 524_288, blockCount: 512, volumeSizeGib: 1 },
      async *runs() {
        yield await Promise.resolve({ state: "absent" as const, firstBlock: 0, blockCount: 512 });
      },
      readBlock: () => Promise.reject(new Error("nothing is stored")),
    };
    const path = `${folder}/disk.img`;
    const options = exportOptions({ disk, digests: ["md5"], windowLog: { windowBytes: 4096 } });
    await exportRaw(volume, { kind: "path", path }, options);
    assertEquals(writes.length > 50 && Math.max(...writes) < 70_000, true);
    assertEquals(Deno.readTextFileSync(`${path}.md5.log`).split("\n").length, 65_536 + 3);
  });
});

Deno.test("readBack() names the windows that differ from the logs beside an image", async () => {
  await withFolder(async (folder) => {
    const path = `${folder}/disk.img`;
    await exported(path, 1024, { digests: ["sha256", "md5"] });
    const read = () => readBack(undefined, path, { disk: realDisk, windowLogBase: path });
    const sound = await read();
    assertEquals([sound.findings, sound.windowDigests], [[], ["sha256", "md5"]]);
    const bytes = Deno.readFileSync(path);
    for (const at of [1024, 2048, 38_399]) bytes[at] = bytes[at]! ^ 1;
    Deno.writeFileSync(path, bytes);
    const { findings, findingCount } = await read();
    assertEquals(
      findings.flatMap((finding) => finding.kind === "windows" ? [[finding.name, finding.range]] : []),
      (["sha256", "md5"] as const).flatMap((name) => [
        [name, { offsetBytes: 1024, lengthBytes: 2048 }],
        [name, { offsetBytes: 37_888, lengthBytes: 512 }],
      ]),
    );
    assertEquals(findings.filter(({ kind }) => kind === "digest").length, 2);
    assertEquals(findingCount, 6);
    Deno.truncateSync(path, 3000);
    const cut = await readBack(reader, path, { disk: realDisk, windowLogBase: path });
    assertEquals(cut.findings[0]?.kind, "size");
  });
});

Deno.test("readBack() refuses a digest log that is none, and says the line", async () => {
  await withFolder(async (folder) => {
    const path = `${folder}/disk.img`;
    await exported(path, 1024);
    const sound = Deno.readTextFileSync(`${path}.sha256.log`);
    const lines = sound.split("\n");
    const digest = "ab".repeat(32);
    for (
      const [text, message] of [
        [lines.slice(0, 20).join("\n") + "\n", /line 20: expected "START/],
        [lines.slice(0, 20).join("\n") + `\n\nTotal (sha256): ${digest}\n`, /line 21: it ends at byte 20480/],
        [sound.replace(lines[3]!, `3073 - 4096: ${digest}`), /line 4: a window of bytes 3073 to 4096/],
        [sound.replace(lines[3]!, `3072 - 5000: ${digest}`), /line 4: a window of bytes 3072 to 5000/],
        [sound.replace(lines[3]!, `3072 - 4000: ${digest}`), /line 5: a window of bytes 4096 to 5120/],
        [sound.replace(lines[3]!, "x".repeat(100_000)), /line 4: it does not end/],
        [sound.replace("Total (sha256)", "Total (md5)"), /expected "Total \(sha256\)/],
        [`${sound}more\n`, /lines follow its total/],
        [`0 - 1: ${digest}\n\nTotal (sha256): ${digest}\n`, /line 2: it ends at byte 1/],
        [sound.replace("\n\n", `\n38400 - 38401: ${digest}\n\n`), /expected one from -1|go on after/],
      ] as const
    ) {
      Deno.writeTextFileSync(`${path}.sha256.log`, text);
      const error = await assertRejects(
        () => readBack(reader, path, { disk: realDisk, windowLogBase: path }),
        OperatorError,
      );
      assertEquals(error.code, "format", text.slice(0, 300));
      assertMatch(error.message, message);
    }
    // Another program's log of that name is nobody's business here.
    Deno.writeTextFileSync(`${path}.sha256.log`, "done\n");
    assertEquals((await readBack(reader, path, { disk: realDisk, windowLogBase: path })).windowDigests, []);
  });
});
