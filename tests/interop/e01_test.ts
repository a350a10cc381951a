/**
 * E01 as others read it: ewfverify, ewfinfo and ewfexport of libewf, and the Sleuth Kit. They accept what export
 * writes, give the raw image back byte for byte, show the record's case data, and refuse a damaged file.
 */
import { Buffer } from "node:buffer";
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import type { BlockState } from "../../src/model.ts";
import { type EwfFacts, exportRaw, type ExportResult } from "../../src/image/mod.ts";
import { FIRST, withStage } from "../e2e/endpoint.ts";
import { makePartitionedDisk } from "../e2e/images.ts";
import { assertExit, eventOf } from "../e2e/program.ts";
import { exportOptions, MemoryReader, randomReader, withFolder } from "../image/fakes.ts";
import { run } from "../image/tools.ts";
import { outside, toolPath } from "../outside.ts";
import { flipBit } from "../store/fixtures.ts";

const EWF = ["ewfverify", "ewfinfo", "ewfexport"] as const;

const FACTS: EwfFacts = {
  caseNumber: "2026-17 Ä",
  evidenceNumber: "E-1",
  description: "EBS snapshot",
  examiner: "Zoë 山田",
  notes: "first line\nsecond\tline",
  model: "EBS volume",
  serialNumber: "vol-0123",
  version: "0.1.0",
  platform: "Linux",
  acquiredAt: "2026-03-01T10:00:00.000Z",
};

function exported(
  reader: MemoryReader,
  path: string,
  splitBytes: number | undefined,
): Promise<ExportResult> {
  return exportRaw(reader, { kind: "path", path }, exportOptions({ ewf: FACTS, splitBytes }));
}

/** The raw image that ewfexport makes of an E01. */
async function rawOf(first: string, folder: string): Promise<Uint8Array> {
  await run("ewfexport", ["-q", "-u", "-f", "raw", "-S", "0", "-t", `${folder}/out`, first]);
  return Deno.readFileSync(`${folder}/out.raw`);
}

async function assertAccepted(reader: MemoryReader, splitBytes: number): Promise<ExportResult> {
  let result: ExportResult | undefined;
  await withFolder(async (folder) => {
    result = await exported(reader, `${folder}/disk`, splitBytes);
    const verified = await run("ewfverify", ["-q", `${folder}/disk.E01`]);
    assertMatch(verified, /SUCCESS/);
    assertStringIncludes(verified, result.digests.md5!);
    assertEquals(await rawOf(`${folder}/disk.E01`, folder), reader.bytes);
  });
  return result!;
}

// Around a chunk, and around the end of a segment file: 7 chunks of random bytes fit into 256 KiB.
for (const sectors of [1, 64, 65, 447, 448, 449, 512, 896, 960]) {
  outside(`libewf reads an E01 of ${sectors} random sectors in segment files of 256 KiB`, EWF, async () => {
    await assertAccepted(new MemoryReader(Array.from({ length: sectors }, () => "stored")), 256 * 1024);
  });
}

outside("libewf reads zero, absent, unreadable, random and compressible blocks alike", EWF, async () => {
  const reader = randomReader(17, 400, 16_384);
  reader.states.forEach((state, block) => {
    if (state === "stored" && block % 2 === 0) {
      reader.bytes.fill(0x41, block * 16_384, block * 16_384 + 15_000);
    }
  });
  const { files } = await assertAccepted(reader, 256 * 1024);
  assert(files.length > 5);
});

outside(
  "libewf reads an E01 of more segment files than two digits name, and more chunks than one table",
  EWF,
  async () => {
    const many = await assertAccepted(
      new MemoryReader(Array.from({ length: 105 * 7 }, () => "stored"), { blockSizeBytes: 32_768 }),
      256 * 1024,
    );
    assertEquals(many.files.at(-1)!.slice(-3), "EAF");
    const states = Array.from({ length: 1060 }, (_, i): BlockState => i % 500 === 0 ? "stored" : "absent");
    const tables = await assertAccepted(new MemoryReader(states, { blockSizeBytes: 524_288 }), 2 ** 31);
    assertEquals(tables.files.length, 1);
  },
);

outside("libewf reads tables with a base offset, which segment files above 2 GiB need", EWF, async () => {
  await assertAccepted(randomReader(5, 300, 32_768), 3 * 2 ** 30);
});

outside("ewfinfo shows the case data, and the read errors as sectors", EWF, async () => {
  await withFolder(async (folder) => {
    const states: BlockState[] = ["stored", "unreadable", "unreadable", "absent", "unreadable", "stored"];
    await exported(new MemoryReader(states, { blockSizeBytes: 65_536 }), `${folder}/disk.E01`, undefined);
    const text = await run("ewfinfo", ["-d", "iso8601", `${folder}/disk.E01`]);
    for (
      const pattern of [
        /File format:\s+EnCase 6/,
        /Case number:\s+2026-17 Ä/,
        /Description:\s+EBS snapshot/,
        /Examiner name:\s+Zoë 山田/,
        /Evidence number:\s+E-1/,
        /Notes:\s+first line second line/,
        /Acquisition date:\s+2026-03-01T10:00:00/,
        /Operating system used:\s+Linux/,
        /Software version used:\s+0\.1\.0/,
        /Model:\s+EBS volume/,
        /Serial number:\s+vol-0123/,
        /Media type:\s+fixed disk/,
        /Is physical:\s+no/,
        /Number of sectors:\s+768/,
        /Read errors during acquiry\s+total number: 2\s+at sector\(s\): 128 - 383 number: 256[^]*512 - 639 number: 128/,
      ]
    ) assertMatch(text, pattern);
  });
});

outside("ewfverify refuses an E01 with one bit changed", EWF, async () => {
  await withFolder(async (folder) => {
    const { files } = await exported(randomReader(9, 64, 32_768), `${folder}/disk`, 512 * 1024);
    flipBit(files[1]!, 200_000);
    const { success } = await new Deno.Command(toolPath("ewfverify")!, {
      args: ["-q", files[0]!],
      stdout: "null",
      stderr: "null",
    }).output();
    assertEquals(success, false);
  });
});

outside(
  "the Sleuth Kit opens an acquired volume's E01: img_stat, mmls, fls, icat; verify --read-back agrees",
  [...EWF, "img_stat", "mmls", "fls", "icat", "mkfs.ext4", "sgdisk"],
  async () => {
    await withStage(async (folder) => ({
      snapshots: [{ id: FIRST, path: await makePartitionedDisk(folder) }],
    }), async (stage) => {
      const facts = ["--case", "2026-17", "--evidence", "E-1", "--examiner", "A. Example"];
      assertExit(await stage.run(["acquire", FIRST, ...facts]), 0);
      const image = `${stage.folder}/disk.E01`;
      const args = ["export", FIRST, "-o", image, "--format", "e01", "--split", "2MiB", "--json"];
      const ended = await stage.run(args);
      assertExit(ended, 0);
      const summary = eventOf(ended, "summary");
      const { md5, sha1, sha256 } = summary["digests"] as Record<string, string>;
      const verified = await run("ewfverify", ["-q", "-d", "sha1", "-d", "sha256", image]);
      for (const digest of [md5, sha1, sha256]) assertStringIncludes(verified, digest!);
      const info = await run("ewfinfo", [image]);
      assertMatch(info, /Examiner name:\s+A\. Example/);
      assertMatch(info, /Description:.*snap-00000001/);
      assertMatch(info, /Is physical:\s+yes/);
      assertMatch(
        await run("img_stat", ["-i", "ewf", image]),
        /Size of data in bytes:\s+1073741824/,
      );
      assertMatch(await run("mmls", ["-i", "ewf", image]), /0000002048\s+0000067583/);
      const inode = /(\d+):\s+secret\.bin/.exec(await run("fls", ["-i", "ewf", "-o", "2048", image]))?.[1];
      const { stdout } = await new Deno.Command(toolPath("icat")!, {
        args: ["-i", "ewf", "-o", "2048", image, inode!],
      }).output();
      const expected = Deno.readFileSync(`${stage.folder}/files/secret.bin`);
      assertEquals([stdout.length, Buffer.compare(stdout, expected)], [expected.length, 0]);
      const read = await stage.run(["verify", FIRST, "--read-back", image]);
      assertExit(read, 0);
      assertStringIncludes(read.stdout, "EQUALS the exhibit");
      flipBit(image, 1_000_000);
      assertExit(await stage.run(["verify", FIRST, "--read-back", image]), 21);
      assertExit(await stage.run(["export", FIRST, "-o", image, "--format", "e01"]), 2);
      assertExit(await stage.run(["export", FIRST, "-o", "-", "--format", "e01"]), 2);
    });
  },
);
