/**
 * Exports that are cut off and taken up again: at every operation of the disk, with every kind of failure, with
 * an unfinished image that is not what it was. The law: the finished image, its map and its digests are those of
 * an export that was never interrupted.
 */
import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { OperatorError } from "../../src/errors.ts";
import type { BlockState, Disk } from "../../src/model.ts";
import { realDisk } from "../../src/world.ts";
import { exportRaw, type ExportResult, readExportLog } from "../../src/image/mod.ts";
import {
  exportOptions,
  failingDisk,
  MemoryReader,
  platformError,
  randomReader,
  seeded,
  withFolder,
} from "./fakes.ts";

const SYNC_EVERY_BYTES = 4 * 512;

function exported(
  reader: MemoryReader,
  path: string,
  more: { disk?: Disk; overwrite?: boolean; imageDigest?: string; signal?: AbortSignal } = {},
): Promise<ExportResult> {
  return exportRaw(
    reader,
    { kind: "path", path },
    exportOptions({ ...more, syncEveryBytes: SYNC_EVERY_BYTES }),
  );
}

/** What an uninterrupted export leaves, but for times and sessions. */
async function whole(reader: MemoryReader): Promise<{ map: string; sha256: string | undefined }> {
  let found = { map: "", sha256: undefined as string | undefined };
  await withFolder(async (folder) => {
    const { digests } = await exported(reader, `${folder}/disk.raw`);
    found = { map: Deno.readTextFileSync(`${folder}/disk.raw.map.json`), sha256: digests.sha256 };
  });
  return found;
}

function assertWhole(reader: MemoryReader, path: string, expected: Awaited<ReturnType<typeof whole>>): void {
  assertEquals(Deno.readFileSync(path), reader.bytes);
  assertEquals(Deno.readTextFileSync(`${path}.map.json`), expected.map);
  assertEquals(readExportLog(realDisk, `${path}.log`)?.digests.sha256, expected.sha256);
}

/** An image under its final name is whole and has its companions, at any moment. */
function assertNothingHalf(reader: MemoryReader, path: string): void {
  if (!realDisk.stat(path)) return;
  assertEquals(Deno.readFileSync(path), reader.bytes);
  assert(realDisk.stat(`${path}.log`) && realDisk.stat(`${path}.map.json`));
}

const reader = randomReader(11, 40);

for (
  const [name, code, isLasting] of [
    ["an EIO", "EIO", false],
    ["a lasting EIO", "EIO", true],
    ["a full disk", "ENOSPC", true],
    ["the end of the process", "EDEAD", true],
  ] as const
) {
  Deno.test(`exportRaw() taken up after ${name} at any operation equals one that was not interrupted`, async () => {
    const expected = await whole(reader);
    let failures = 0;
    for (let at = 0, isReached = true; isReached; at++) {
      await withFolder(async (folder) => {
        const path = `${folder}/disk.raw`;
        const disk = failingDisk((n) => n === at || (isLasting && n > at) ? platformError(code) : undefined);
        try {
          await exported(reader, path, { disk });
        } catch (error) {
          assert(error instanceof OperatorError, String(error));
          assertEquals(error.code, "storage", `operation ${at}: ${error.message}`);
          assert(error.hints.length > 0);
          failures++;
        }
        isReached = disk.operations.length > at;
        assertNothingHalf(reader, path);
        // What fails after the image has its name leaves it whole; all else is taken up again.
        if (!realDisk.stat(path)) await exported(reader, path);
        assertWhole(reader, path, expected);
      });
    }
    assert(failures > 20, `${failures} failures`);
  });
}

Deno.test("exportRaw() of random volumes, interrupted again and again, equals one that was not", async () => {
  const seed = Number(Deno.env.get("COLDCASE_SEED") ?? Date.now() % 2 ** 32);
  // deno-lint-ignore no-console
  console.log(`COLDCASE_SEED=${seed}`);
  const next = seeded(seed);
  for (let round = 0; round < 25; round++) {
    const volume = randomReader(next(), 1 + next() % 60, 512 * 2 ** (next() % 3));
    const expected = await whole(volume);
    await withFolder(async (folder) => {
      const path = `${folder}/disk.raw`;
      for (let session = 0; session < 6 && !realDisk.stat(path); session++) {
        const at = next() % 40;
        const code = ["EIO", "ENOSPC", "EDEAD"][next() % 3]!;
        const disk = failingDisk((n) => n >= at ? platformError(code) : undefined);
        const message = await exported(volume, path, { disk }).then(
          () => "",
          (error: Error) => error.message,
        );
        assertMatch(message, /^$|^Cannot /);
      }
      if (!realDisk.stat(path)) await exported(volume, path);
      assertWhole(volume, path, expected);
    });
  }
});

/** Leaves an export of `volume` that stopped after `blocks` blocks. */
async function interrupted(volume: MemoryReader, path: string, blocks: number): Promise<void> {
  const controller = new AbortController();
  const error = await assertRejects(
    () =>
      exportRaw(
        volume,
        { kind: "path", path },
        exportOptions({
          signal: controller.signal,
          onProgress: ({ doneBytes }) => {
            if (doneBytes >= blocks * 512) controller.abort();
          },
        }),
      ),
    OperatorError,
  );
  assertEquals(error.code, "interrupted");
}

const states = Array.from({ length: 40 }, (_, i): BlockState => i % 5 === 3 ? "zero" : "stored");
const plain = new MemoryReader(states);

const tampered: [name: string, change: (path: string) => void][] = [
  ["a changed byte", (path) => patch(path, 5 * 512 + 7, [1, 2, 3])],
  ["a changed first byte", (path) => patch(path, 0, [plain.bytes[0]! ^ 1])],
  ["bytes in a hole", (path) => patch(path, 8 * 512 + 100, [0xff])],
  ["bytes in a hole to come", (path) => patch(path, 38 * 512 + 100, [0xff])],
  ["bytes in a block to come", (path) => patch(path, 39 * 512 + 100, [0xff])],
  ["its end cut off", (path) => Deno.truncateSync(path, 3 * 512 + 1)],
  ["bytes behind its end", (path) => patch(path, 40 * 512, [1])],
  ["a checkpoint far ahead", (path) => checkpoint(path, { durableBytes: 2 ** 50 })],
  ["a checkpoint amid a block", (path) => {
    checkpoint(path, { durableBytes: 8 * 512 + 200 });
    patch(path, 8 * 512 + 100, [0xff]);
  }],
];

function patch(path: string, at: number, bytes: number[]): void {
  using file = Deno.openSync(path, { write: true });
  file.seekSync(at, Deno.SeekMode.Start);
  file.writeSync(new Uint8Array(bytes));
}

function checkpoint(path: string, change: Record<string, unknown>): void {
  const held = JSON.parse(Deno.readTextFileSync(`${path}.json`));
  Deno.writeTextFileSync(`${path}.json`, JSON.stringify({ ...held, ...change }));
}

for (const [name, change] of tampered) {
  Deno.test(`exportRaw() trusts no unfinished image: ${name}`, async () => {
    await withFolder(async (folder) => {
      const path = `${folder}/disk.raw`;
      await interrupted(plain, path, 20);
      change(`${path}.partial`);
      const result = await exported(plain, path);
      assertEquals(Deno.readFileSync(path), plain.bytes);
      assertEquals(result.sessions, 2);
    });
  });
}

Deno.test("exportRaw() says where an unfinished image differed", async () => {
  await withFolder(async (folder) => {
    const path = `${folder}/disk.raw`;
    await interrupted(plain, path, 20);
    patch(`${path}.partial`, 5 * 512 + 7, [0xff, 0xff]);
    const { notes, checkedBytes } = await exported(plain, path);
    assertEquals(notes.length, 1);
    assertMatch(notes[0]!, /differed from the exhibit at byte 2560 or after/);
    assertEquals(checkedBytes, 5 * 512);
    assertMatch(Deno.readTextFileSync(`${path}.log`), /Note +The unfinished image differed/);
  });
});

for (
  const [name, text] of [
    ["of another type", '{"type":"else"}'],
    ["that is no JSON", "{"],
    ["of a later version", '{"type":"coldcase-partial-image","version":2}'],
    ["that is too long", `{"type":"${"x".repeat(70_000)}"}`],
  ] as const
) {
  Deno.test(`exportRaw() refuses an unfinished image with a checkpoint ${name}`, async () => {
    await withFolder(async (folder) => {
      const path = `${folder}/disk.raw`;
      await interrupted(plain, path, 20);
      Deno.writeTextFileSync(`${path}.partial.json`, text);
      const error = await assertRejects(
        () => exported(plain, path),
        OperatorError,
        "nothing tells what it is",
      );
      assertEquals(error.code, "usage");
      await exported(plain, path, { overwrite: true });
      assertEquals(Deno.readFileSync(path), plain.bytes);
    });
  });
}

Deno.test("exportRaw() does not mix two exhibits in one unfinished image", async () => {
  await withFolder(async (folder) => {
    const path = `${folder}/disk.raw`;
    await interrupted(plain, path, 20);
    const other = new MemoryReader(states.map((state) => state === "zero" ? "absent" : state), { seed: 5 });
    const error = await assertRejects(
      () => exported(other, path, { imageDigest: "ef".repeat(32) }),
      OperatorError,
      "it is of image digest abab",
    );
    assertEquals(error.code, "usage");
    const result = await exported(other, path, { imageDigest: "ef".repeat(32), overwrite: true });
    assertEquals([result.sessions, result.checkedBytes], [1, 0]);
    assertEquals(Deno.readFileSync(path), other.bytes);
  });
});

Deno.test("exportRaw() with overwrite leaves the old image until the new one is durable", async () => {
  await withFolder(async (folder) => {
    const path = `${folder}/disk.raw`;
    Deno.writeTextFileSync(path, "old");
    const disk = failingDisk((_, operation) => operation === "sync" ? platformError("EIO") : undefined);
    await assertRejects(() => exported(plain, path, { disk, overwrite: true }), OperatorError);
    assertEquals(Deno.readTextFileSync(path), "old");
    await exported(plain, path, { overwrite: true });
    assertEquals(Deno.readFileSync(path), plain.bytes);
  });
});

Deno.test("exportRaw() with overwrite, cut off at any operation, leaves no image with another one's log", async () => {
  const old = randomReader(21, 30);
  for (let at = 0, isReached = true; isReached; at++) {
    await withFolder(async (folder) => {
      const path = `${folder}/disk.raw`;
      await exported(old, path, { imageDigest: "0d" });
      const disk = failingDisk((n) => n >= at ? platformError("EDEAD") : undefined);
      await exported(plain, path, { disk, overwrite: true, imageDigest: "1e" })
        .catch((error: unknown) => assert(error instanceof OperatorError));
      isReached = disk.operations.length > at;
      if (realDisk.stat(path)) {
        const digest = readExportLog(realDisk, `${path}.log`)?.imageDigest;
        assertEquals(JSON.parse(Deno.readTextFileSync(`${path}.map.json`)).imageDigest, digest);
        assertEquals(Deno.readFileSync(path), digest === "0d" ? old.bytes : plain.bytes);
      }
      await exported(plain, path, { overwrite: true, imageDigest: "1e" });
      assertEquals(Deno.readFileSync(path), plain.bytes);
    });
  }
});

Deno.test("exportRaw() never asks a second time after a failed sync", async () => {
  await withFolder(async (folder) => {
    const path = `${folder}/disk.raw`;
    let failed = -1;
    // The first sync is the checkpoint's; the second one is of the image.
    let syncs = 0;
    const disk = failingDisk((n, operation) => {
      if (operation !== "sync" || ++syncs !== 2) return undefined;
      failed = n;
      return platformError("EIO");
    });
    const error = await assertRejects(
      () => exported(plain, path, { disk }),
      OperatorError,
      "make durable image",
    );
    assertEquals([error.code, error.facts.platformCode], ["storage", "EIO"]);
    assert(failed >= 0);
    assert(!disk.operations.slice(failed + 1).includes("sync"), disk.operations.join());
    assert(!disk.operations.includes("rename") || disk.operations.lastIndexOf("rename") < failed);
    await exported(plain, path);
    assertEquals(Deno.readFileSync(path), plain.bytes);
  });
});

Deno.test("exportRaw() names what is missing where the disk fills up", async () => {
  await withFolder(async (folder) => {
    const path = `${folder}/disk.raw`;
    let writes = 0;
    const disk = failingDisk((_, operation) =>
      operation === "write" && ++writes > 12 ? platformError("ENOSPC") : undefined
    );
    const error = await assertRejects(() => exported(plain, path, { disk }), OperatorError);
    assertEquals([error.code, error.facts.platformCode], ["storage", "ENOSPC"]);
    assertMatch(error.hints.join(" "), /Make room there.*run the same command again/);
    assert(realDisk.stat(`${path}.partial`));
    assertEquals((await exported(plain, path)).sessions, 2);
  });
});
