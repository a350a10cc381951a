/** Reading an image back: what is found, where, and what is not a finding. sha256sum and md5sum as second opinion. */
import { createHash } from "node:crypto";
import { assertEquals, assertRejects } from "@std/assert";
import { OperatorError } from "../../src/errors.ts";
import type { Disk } from "../../src/model.ts";
import { realDisk } from "../../src/world.ts";
import {
  exportRaw,
  formatReadBackFinding,
  readBack,
  type ReadBackOptions,
  type ReadBackResult,
  readExportLog,
} from "../../src/image/mod.ts";
import { outside } from "../outside.ts";
import { exportOptions, MemoryReader, platformError, randomReader, withFolder } from "./fakes.ts";
import { run } from "./tools.ts";

const volume = randomReader(5, 200, 1024);

/** An image of `volume`, changed, read back. */
async function found(
  change: (path: string) => void,
  options: Partial<ReadBackOptions> = {},
  reader: MemoryReader | undefined = volume,
): Promise<ReadBackResult> {
  let result: ReadBackResult | undefined;
  await withFolder(async (folder) => {
    const path = `${folder}/disk.raw`;
    Deno.writeFileSync(path, volume.bytes);
    change(path);
    result = await readBack(reader, path, { disk: realDisk, ...options });
  });
  return result!;
}

function patch(path: string, at: number, bytes: number[]): void {
  using file = Deno.openSync(path, { write: true });
  file.seekSync(at, Deno.SeekMode.Start);
  file.writeSync(new Uint8Array(bytes));
}

const flipped = (at: number): number[] => [volume.bytes[at]! ^ 0xff];

Deno.test("readBack() finds nothing in an image that is right", async () => {
  const { findings, findingCount, digests, isCompared, readBytes } = await found(() => {});
  assertEquals([findings, findingCount, isCompared, readBytes], [[], 0, true, volume.bytes.length]);
  assertEquals(digests, { sha256: createHash("sha256").update(volume.bytes).digest("hex") });
});

Deno.test("readBack() names the sectors that differ, neighbours merged", async () => {
  const { findings } = await found((path) => {
    patch(path, 0, flipped(0));
    patch(path, 1023, [...flipped(1023), ...flipped(1024)]);
    patch(path, 200 * 1024 - 1, flipped(200 * 1024 - 1));
  });
  assertEquals(findings, [
    { kind: "content", range: { offsetBytes: 0, lengthBytes: 1536 } },
    { kind: "content", range: { offsetBytes: 200 * 1024 - 512, lengthBytes: 512 } },
  ]);
  assertEquals(formatReadBackFinding(findings[1]!), "bytes 204288 to 204799 differ from the exhibit");
});

for (const by of [-1, -1024, -1025, -200 * 1024, 1, 4096]) {
  Deno.test(`readBack() of a file whose size is off by ${by} finds just that`, async () => {
    const size = volume.bytes.length;
    const { findings, findingCount, readBytes } = await found((path) => Deno.truncateSync(path, size + by));
    assertEquals(findings, [{ kind: "size", expectedBytes: size, actualBytes: size + by }]);
    assertEquals([findingCount, readBytes], [1, Math.min(size, size + by)]);
  });
}

Deno.test("readBack() without a reader compares with the digests of the log", async () => {
  await withFolder(async (folder) => {
    const path = `${folder}/disk.raw`;
    await exportRaw(volume, { kind: "path", path }, exportOptions({ digests: ["md5", "sha256"] }));
    const log = readExportLog(realDisk, `${path}.log`)!;
    const options = {
      disk: realDisk,
      expectedDigests: log.digests,
      volumeSizeBytes: log.volumeSizeBytes,
    };
    const good = await readBack(undefined, path, options);
    assertEquals([good.findings, good.isCompared, good.digests], [[], false, log.digests]);
    patch(path, 77, flipped(77));
    const bad = await readBack(undefined, path, options);
    assertEquals(bad.findings.map((finding) => finding.kind === "digest" && finding.name), ["sha256", "md5"]);
  });
});

Deno.test("readBack() lists a bounded number of findings, and counts all", async () => {
  const wide = new MemoryReader(Array.from({ length: 5000 }, (_, i) => i % 2 === 0 ? "stored" : "zero"));
  const { findings, findingCount } = await found(
    (path) => Deno.writeFileSync(path, new Uint8Array(5000 * 512)),
    {
      digests: [],
    },
    wide,
  );
  assertEquals([findings.length, findingCount], [1000, 2500]);
});

Deno.test("readBack() says what it can't read", async () => {
  for (
    const [path, code] of [["/nowhere/disk.raw", "not_found"], ["/tmp", "usage"]] as const
  ) {
    const error = await assertRejects(() => readBack(undefined, path, { disk: realDisk }), OperatorError);
    assertEquals(error.code, code);
  }
  const disk: Disk = {
    ...realDisk,
    open(path, mode) {
      const file = realDisk.open(path, mode);
      return {
        read(into, offset) {
          if (offset >= 51_200) throw platformError("EIO");
          return file.read(into, offset);
        },
        write: (bytes, offset) => file.write(bytes, offset),
        sync: () => file.sync(),
        truncate: (sizeBytes) => file.truncate(sizeBytes),
        sizeBytes: () => file.sizeBytes(),
        close: () => file.close(),
      };
    },
  };
  const error = await assertRejects(() => found(() => {}, { disk }), OperatorError, "at byte ");
  assertEquals(error.code, "storage");
});

Deno.test("readBack() stops when asked to", async () => {
  const signal = AbortSignal.abort();
  const error = await assertRejects(() => found(() => {}, { signal }), OperatorError);
  assertEquals(error.code, "interrupted");
});

outside("exportRaw() has the digests that sha256sum, sha1sum and md5sum tell", [
  "sha256sum",
  "sha1sum",
  "md5sum",
], async () => {
  await withFolder(async (folder) => {
    const path = `${folder}/disk.raw`;
    const reader = randomReader(9, 40, 65_536);
    const { digests } = await exportRaw(
      reader,
      { kind: "path", path },
      exportOptions({ digests: ["sha256", "sha1", "md5"] }),
    );
    for (const name of ["sha256", "sha1", "md5"] as const) {
      assertEquals((await run(`${name}sum`, [path])).split(" ")[0], digests[name]);
    }
  });
});
