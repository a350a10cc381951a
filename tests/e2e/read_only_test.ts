/**
 * The source stays as it was: whatever is done, the endpoint is asked to list, read, describe and identify, and nothing in
 * the source of the program can ask it for more, but `snapshot create`, which nothing else leads to.
 */
import { assert, assertEquals } from "@std/assert";
import { readCheckout } from "../../scripts/tidy.ts";
import { fromFileUrl } from "@std/path";
import { sha256 } from "../../src/format/digests.ts";
import { FIRST, SECOND, withStage } from "./endpoint.ts";
import { writeRandomBlocks } from "./images.ts";
import { assertExit } from "./program.ts";

const READING = [
  "AssumeRole",
  "AssumeRoleWithWebIdentity",
  "DescribeInstances",
  "DescribeSnapshots",
  "GetCallerIdentity",
  "GetSessionToken",
  "GetSnapshotBlock",
  "ListChangedBlocks",
  "ListSnapshotBlocks",
];
/** The file with the one call that writes, and the command that has it. */
const MAKER = "src/aws/snapshot_create.ts";
const MAKERS_COMMAND = "src/commands/snapshot.ts";
const WRITING = ["StartSnapshot", "PutSnapshotBlock", "CompleteSnapshot"] as const;

Deno.test("no command asks the service for anything but to read, also where it would be let write", async () => {
  await withStage(async (folder) => {
    await writeRandomBlocks(`${folder}/disk.img`, [0, 3, 9]);
    await writeRandomBlocks(`${folder}/next.img`, [3], `${folder}/disk.img`);
    Deno.mkdirSync(`${folder}/uploads`);
    return {
      snapshots: [
        { id: FIRST, path: `${folder}/disk.img`, volumeId: "vol-1" },
        { id: SECOND, path: `${folder}/next.img`, volumeId: "vol-1" },
      ],
      uploadDir: `${folder}/uploads`,
    };
  }, async (stage) => {
    const before = sha256(Deno.readFileSync(`${stage.folder}/next.img`));
    for (const id of [FIRST, SECOND]) {
      assertExit(await stage.run(["plan", id]), 0);
      assertExit(await stage.run(["acquire", id]), 0);
    }
    assertExit(await stage.run(["verify", "--against-source"]), 0);
    assertExit(await stage.run(["repair", "--refetch"]), 0);
    const { requests } = stage.simulator;
    for (const call of [...WRITING, "unknown"] as const) assertEquals(requests.count(call), 0, call);
    assert(requests.count("GetSnapshotBlock") > 0 && requests.count("ListChangedBlocks") > 0);
    assertEquals([...Deno.readDirSync(`${stage.folder}/uploads`)], []);
    assertEquals(sha256(Deno.readFileSync(`${stage.folder}/next.img`)), before);
  });
});

Deno.test("the program's source has no call of AWS that writes", () => {
  const files = readCheckout(fromFileUrl(new URL("../../", import.meta.url)));
  const called = new Set<string>();
  for (const [path, text] of files) {
    if (!path.startsWith("src/") || /^src\/(simulate|commands\/simulate)\b/.test(path)) continue;
    if (path === MAKER) continue;
    // A command object, or the operation's schema that such an object is made of.
    const calls = text.matchAll(/\bnew (?:[\w#.]+\.)?(\w+)Command\(|\bsdk\.(\w+)\$/gi);
    for (const [, command, schema] of calls) called.add((command ?? schema)!);
    for (const call of WRITING) assert(!text.includes(call), `${path} names ${call}`);
  }
  assertEquals([...called].sort(), READING);
});

Deno.test("what writes to an account is one call, and only the command snapshot leads to it", () => {
  const files = readCheckout(fromFileUrl(new URL("../../", import.meta.url)));
  const calls = [...files.get(MAKER)!.matchAll(/(?:\bnew [\w#.]+\.|\bsdk\.)(\w+)(?:Command\(|\$)/g)];
  assertEquals(calls.map(([, call]) => call), ["CreateSnapshots"]);
  const importers = new Map<string, Set<string>>();
  for (const [path, text] of files) {
    if (!/^(src\/|main\.ts$)/.test(path)) continue;
    for (const [, target] of text.matchAll(/(?:from |import\()"(\.[^"]+)"/g)) {
      const imported = new URL(target!, `file:///${path}`).pathname.slice(1);
      if (!importers.has(imported)) importers.set(imported, new Set());
      importers.get(imported)!.add(path);
    }
  }
  assertEquals([...importers.get(MAKER)!], [MAKERS_COMMAND]);
  // The list of all commands loads it when it was asked for by name.
  assertEquals([...importers.get(MAKERS_COMMAND)!], ["src/commands/mod.ts"]);
});
