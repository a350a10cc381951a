/**
 * E01 exports that are cut off and taken up again: at every operation of the disk, killed at random moments, with segment
 * files that are not what they were. The law: the segment files are, byte for byte, those of an export that was never
 * interrupted; those that were whole are not written again.
 */
import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { OperatorError } from "../../src/errors.ts";
import type { BlockState, Disk } from "../../src/model.ts";
import { realDisk } from "../../src/world.ts";
import { type ExportOptions, exportRaw, type ExportResult, readBack } from "../../src/image/mod.ts";
import { fileSha256 } from "../../src/image/file_digest.ts";
import { KILLED, volumeOf } from "./ewf_child.ts";
import { FACTS, STOPPED_CLOCK } from "./ewf_facts.ts";
import {
  cutOff,
  exportOptions,
  failingDisk,
  MemoryReader,
  platformError,
  randomReader,
  withFolder,
} from "./fakes.ts";

const SPLIT = 256 * 1024;
const names = (folder: string) => [...Deno.readDirSync(folder)].map((entry) => entry.name).sort();

/** 2 MiB of random, zero, absent and unreadable blocks of 4 KiB: ten segment files and more. */
const volume = randomReader(3, 512, 4096);

function exported(path: string, more: Partial<ExportOptions> = {}, reader = volume): Promise<ExportResult> {
  const options = { ewf: FACTS, clock: STOPPED_CLOCK, splitBytes: SPLIT, syncEveryBytes: 128 * 1024 };
  return exportRaw(reader, { kind: "path", path }, exportOptions({ ...options, ...more }));
}

/** SHA-256 of the segment files by name. */
function segments(folder: string): Map<string, string> {
  const found = names(folder).filter((name) => /\.E(\d\d|[A-Z]{2})$/.test(name));
  return new Map(found.map((name) => [name, fileSha256(realDisk, `${folder}/${name}`)]));
}

async function uninterrupted(
  more: Partial<ExportOptions> = {},
  reader = volume,
): Promise<Map<string, string>> {
  let found = new Map<string, string>();
  await withFolder(async (folder) => {
    await exported(`${folder}/disk`, more, reader);
    found = segments(folder);
  });
  return found;
}

/** Whether an E01 of that name is there; then it is whole. */
async function isWhole(folder: string): Promise<boolean> {
  if (!realDisk.stat(`${folder}/disk.E01`)) return false;
  const { findings } = await readBack(volume, `${folder}/disk.E01`, { disk: realDisk, expectedDigests: {} });
  assertEquals(findings, []);
  return true;
}

for (const [name, isLasting] of [["one operation that failed", false], ["a full disk", true]] as const) {
  Deno.test(`exportRaw() of an E01, run again after ${name}, gives the same bytes`, async () => {
    const counting = failingDisk(() => undefined);
    await withFolder((folder) => exported(`${folder}/disk`, { disk: counting }).then(() => undefined));
    const total = counting.operations.length;
    const plain = await uninterrupted();
    assert(plain.size >= 4);
    for (let at = 0; at < total; at += at < total - 40 ? 3 : 1) {
      await withFolder(async (folder) => {
        const failing = failingDisk((n) =>
          n === at || (isLasting && n > at) ? platformError("ENOSPC") : undefined
        );
        const error = await cutOff(exported(`${folder}/disk`, { disk: failing }), { disk: failing, at });
        if (!error) return;
        assertEquals(error.code, "storage");
        await exported(`${folder}/disk`, { overwrite: await isWhole(folder) });
        assertEquals(segments(folder), plain, `cut off at ${at}`);
        assertEquals(names(folder).length, plain.size + 2, `cut off at ${at}: ${names(folder)}`);
      });
    }
  });
}

/** Exports until `bytes` of the volume are through. */
async function interrupted(path: string, bytes: number, reader = volume): Promise<void> {
  const controller = new AbortController();
  const error = await assertRejects(
    () =>
      exported(path, {
        signal: controller.signal,
        onProgress: ({ doneBytes }) => doneBytes >= bytes && controller.abort(),
      }, reader),
    OperatorError,
  );
  assertEquals(error.code, "interrupted");
  assertMatch(error.hints.join(" "), /run the same command again to carry on/);
}

/** The real disk, and which files were opened to be written to. */
function watchedDisk(): Disk & { readonly written: string[] } {
  const written: string[] = [];
  return {
    ...realDisk,
    written,
    open(path, mode) {
      if (mode !== "read") written.push(path.slice(path.lastIndexOf("/") + 1));
      return realDisk.open(path, mode);
    },
  };
}

const random = new MemoryReader(Array.from({ length: 64 }, (): BlockState => "stored"), {
  blockSizeBytes: 32_768,
});

/** What was taken up of an export that stopped after 1.9 million bytes, which `change` then touched. */
async function takenUp(
  change: (folder: string) => void,
  more: Partial<ExportOptions> = {},
): Promise<{ readonly result: ExportResult; readonly written: readonly string[] }> {
  let found: { result: ExportResult; written: readonly string[] } | undefined;
  await withFolder(async (folder) => {
    await interrupted(`${folder}/disk`, 1_900_000, random);
    change(folder);
    const disk = watchedDisk();
    const result = await exported(`${folder}/disk`, { disk, ...more }, random);
    assertEquals(segments(folder), await uninterrupted(more, random));
    found = { result, written: disk.written };
  });
  return found!;
}

const flip = (path: string, at: number) => {
  const bytes = Deno.readFileSync(path);
  bytes[at] = bytes[at]! ^ 1;
  Deno.writeFileSync(path, bytes);
};

Deno.test("exportRaw() of an E01 goes on after the last whole segment file, and writes none of them again", async () => {
  // Seven random chunks fit into each.
  const { result, written } = await takenUp(() => undefined);
  assertEquals([result.sessions, result.checkedBytes, result.notes], [2, 4 * 7 * 32_768, []]);
  assertEquals(written.filter((name) => /E0[1-4]\.partial$/.test(name)), []);
  assert(written.includes("disk.E05.partial"));
});

Deno.test("exportRaw() of an E01 takes up no segment file that is not what it was", async () => {
  const changes: [kept: number, change: (folder: string) => void][] = [
    [2, (folder) => flip(`${folder}/disk.E03.partial`, 100_000)],
    [1, (folder) => Deno.removeSync(`${folder}/disk.E02.partial`)],
    [1, (folder) => Deno.truncateSync(`${folder}/disk.E02.partial`, 5000)],
    [0, (folder) => flip(`${folder}/disk.E01.partial`, 100_000)],
    [4, (folder) => flip(`${folder}/disk.E05.partial`, 1000)],
    [4, (folder) => Deno.renameSync(`${folder}/disk.E02.partial`, `${folder}/disk.E02`)],
  ];
  for (const [kept, change] of changes) {
    const { result } = await takenUp(change);
    assertEquals(result.checkedBytes, kept * 7 * 32_768);
  }
});

Deno.test("exportRaw() of an E01, run again, touches no segment file that came from elsewhere since", async () => {
  for (const left of ["disk.E03", "disk.E05", "disk.EZZ"]) {
    await withFolder(async (folder) => {
      await interrupted(`${folder}/disk`, 1_900_000, random);
      Deno.writeTextFileSync(`${folder}/${left}`, "another");
      const before = names(folder);
      const error = await assertRejects(() => exported(`${folder}/disk`, {}, random), OperatorError);
      assertEquals([error.code, error.facts.path, names(folder)], ["usage", `${folder}/${left}`, before]);
      assertEquals(Deno.readTextFileSync(`${folder}/${left}`), "another");
      Deno.removeSync(`${folder}/${left}`);
      const { checkedBytes } = await exported(`${folder}/disk`, {}, random);
      assertEquals([checkedBytes, segments(folder)], [4 * 7 * 32_768, await uninterrupted({}, random)]);
    });
  }
});

Deno.test("exportRaw() of an E01 believes no checkpoint that says where a segment file ends", async () => {
  for (const [which, moved] of [[3, 32_768], [3, -32_768], [3, 512], [1, 32_768]] as const) {
    const { result } = await takenUp((folder) => {
      const path = `${folder}/disk.E01.partial.json`;
      const checkpoint = JSON.parse(Deno.readTextFileSync(path));
      assertEquals(checkpoint.segments.length, 4);
      checkpoint.segments[which].endBytes += moved;
      if (which === 3) checkpoint.durableBytes += moved;
      Deno.writeTextFileSync(path, JSON.stringify(checkpoint));
    });
    assertEquals(result.checkedBytes, which * 7 * 32_768);
  }
});

Deno.test("exportRaw() of an E01 begins anew where the record says something else than the segment files", async () => {
  const { result } = await takenUp(() => undefined, { ewf: { ...FACTS, examiner: "B. Other" } });
  assertEquals(result.checkedBytes, 0);
});

Deno.test("exportRaw() of an E01 takes the time of its first session", async () => {
  await withFolder(async (folder) => {
    await interrupted(`${folder}/disk`, 1_900_000, random);
    const later = { ...STOPPED_CLOCK, nowMs: () => Date.UTC(2026, 2, 9) };
    await exported(`${folder}/disk`, { clock: later }, random);
    assertEquals(segments(folder), await uninterrupted({}, random));
  });
});

Deno.test("exportRaw() of an E01 is the same by threads as without, also one that goes on", async () => {
  const volumes = [random, randomReader(8, 200, 32_768), randomReader(9, 30, 524_288)];
  for (const reader of volumes) {
    const plain = await uninterrupted({}, reader);
    assertEquals(await uninterrupted({ threads: 2 }, reader), plain);
    await withFolder(async (folder) => {
      await interrupted(`${folder}/disk`, reader.bytes.length / 2, reader);
      const { digests } = await exported(`${folder}/disk`, { threads: 3 }, reader);
      assertEquals(segments(folder), plain);
      await withFolder(async (other) => {
        assertEquals((await exported(`${other}/disk`, {}, reader)).digests, digests);
      });
    });
  }
});

Deno.test("exportRaw() of an E01, killed at any moment, gives the same bytes when run again", async () => {
  const child = new URL("./ewf_child.ts", import.meta.url).pathname;
  const config = new URL("../../deno.json", import.meta.url).pathname;
  for (const [round, threads] of [0, 2, 1].entries()) {
    const seed = 40 + round;
    const plain = await uninterrupted(KILLED, volumeOf(seed));
    await withFolder(async (folder) => {
      const args = [
        "run",
        "-A",
        "--no-check",
        "--config",
        config,
        child,
        `${folder}/disk`,
        `${seed}`,
        `${threads}`,
      ];
      for (const steps of [3, 40, 90, 125]) {
        const running = new Deno.Command(Deno.execPath(), { args, stdout: "piped", stderr: "inherit" })
          .spawn();
        let told = 0;
        for await (const bytes of running.stdout) {
          told += bytes.length;
          if (told >= steps) break;
        }
        running.kill("SIGKILL");
        await running.status;
      }
      const isDone = realDisk.stat(`${folder}/disk.E01`) !== undefined;
      const { sessions } = await exported(
        `${folder}/disk`,
        { ...KILLED, threads, overwrite: isDone },
        volumeOf(seed),
      );
      assert(isDone || sessions > 1);
      assertEquals(segments(folder), plain);
    });
  }
});
