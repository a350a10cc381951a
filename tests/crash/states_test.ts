/**
 * The crash disk itself: what is synced is in every state, what is not may be lost, torn, grown or undone; and a disk
 * that lies of its syncs, or a program that leaves one out, is found.
 */
import { assert, assertEquals } from "@std/assert";
import type { Disk } from "../../src/model.ts";
import { seededBelow } from "../seeded.ts";
import { acquireParent, PLAIN } from "./acquisitions.ts";
import { CrashDisk } from "./crash_disk.ts";
import { explore, type Scenario } from "./explore.ts";
import { exporting } from "./hand_over.ts";
import { digestOf, Timeline } from "./states.ts";

/** What is at a path after any of many crashes at the end of `body`: sizes or contents, `-` for nothing. */
async function seen(
  body: (disk: CrashDisk) => Promise<void> | void,
  look: (disk: CrashDisk) => string,
): Promise<string[]> {
  const disk = new CrashDisk();
  disk.makeDirectory("/a/b");
  const timeline = new Timeline(disk);
  await body(disk);
  while (timeline.position < disk.operations.length) timeline.advance();
  const found = new Set<string>();
  const below = seededBelow(1);
  for (let round = 0; round < 400; round++) found.add(look(new CrashDisk(timeline.state("any", below))));
  return [...found].sort();
}

const text = (path: string) => (disk: CrashDisk) =>
  disk.stat(path)?.kind === "file" ? new TextDecoder().decode(disk.bytes(path)) : "-";
const bytes = (value: string) => new TextEncoder().encode(value);

async function put(disk: Disk, path: string, value: string, isSynced = true): Promise<void> {
  const file = disk.open(path, "create");
  file.write(bytes(value), 0);
  if (isSynced) await file.sync();
  file.close();
}

Deno.test("Timeline.state() has what was synced under a name that was synced, whatever is lost", async () => {
  const found = await seen(async (disk) => {
    await put(disk, "/a/x", "one");
    await disk.syncDirectory("/a");
  }, text("/a/x"));
  assertEquals(found, ["one"]);
});

Deno.test("Timeline.state() loses a name whose folder was not synced, though its bytes were", async () => {
  assertEquals(await seen((disk) => put(disk, "/a/x", "one"), text("/a/x")), ["-", "one"]);
});

Deno.test("Timeline.state() tears, grows and loses what was not synced under a name that was", async () => {
  const found = await seen(async (disk) => {
    await put(disk, "/a/x", "12", false);
    await disk.syncDirectory("/a");
  }, text("/a/x"));
  for (const one of ["", "1", "12", "\0\0", "1\0"]) assert(found.includes(one), JSON.stringify(found));
  assert(found.some((one) => one.length === 2 && !/^[12\0]/.test(one)), "no garbage");
});

Deno.test("Timeline.state() has the old name or the new one of what was moved, or both, never none", async () => {
  const where = (disk: CrashDisk) => ["/a/x", "/a/b/x"].filter((path) => disk.stat(path)).join();
  const move = async (disk: CrashDisk) => {
    await put(disk, "/a/x", "one");
    await disk.syncDirectory("/a");
    disk.rename("/a/x", "/a/b/x");
  };
  assertEquals(await seen(move, where), ["/a/b/x", "/a/x", "/a/x,/a/b/x"]);
  const found = await seen(async (disk) => {
    await move(disk);
    await disk.syncDirectory("/a/b");
  }, where);
  assertEquals(found, ["/a/b/x", "/a/x,/a/b/x"]);
});

Deno.test("Timeline.state() brings back what was removed, and what was in its place before", async () => {
  const found = await seen(async (disk) => {
    await put(disk, "/a/x", "one");
    await disk.syncDirectory("/a");
    disk.remove("/a/x");
    await put(disk, "/a/x", "two");
  }, text("/a/x"));
  assertEquals(found, ["-", "one", "two"]);
});

Deno.test("Timeline.state() covers by a sync only what was there when it was asked for", async () => {
  const found = await seen(async (disk) => {
    await put(disk, "/a/x", "1");
    await disk.syncDirectory("/a");
    const file = disk.open("/a/x", "update");
    const syncing = file.sync();
    file.write(bytes("2"), 0);
    await syncing;
  }, text("/a/x"));
  assertEquals(found, ["1", "2"]);
});

Deno.test("digestOf() differs where a byte, a name or a size does", async () => {
  const digests = new Set<string>();
  for (const [path, value] of [["/x", "one"], ["/x", "two"], ["/y", "one"], ["/x", "one\0"]] as const) {
    const disk = new CrashDisk();
    await put(disk, path, value);
    digests.add(digestOf(disk.root));
  }
  assertEquals(digests.size, 4);
});

/** The scenario on a disk that only says that it synced. */
function lied(scenario: Scenario, isLie: (path: string) => boolean): Scenario {
  const lying = (disk: Disk): Disk => ({
    open(path, mode) {
      const file = disk.open(path, mode);
      return { ...file, sync: () => isLie(path) ? Promise.resolve() : file.sync() };
    },
    rename: (from, to) => disk.rename(from, to),
    makeDirectory: (path) => disk.makeDirectory(path),
    list: (path) => disk.list(path),
    stat: (path) => disk.stat(path),
    remove: (path) => disk.remove(path),
    syncDirectory: (path) => isLie(`${path}/`) ? Promise.resolve() : disk.syncDirectory(path),
    tryLock: (path) => disk.tryLock(path),
    freeBytes: (path) => disk.freeBytes(path),
    fileSystemType: (path) => disk.fileSystemType(path),
  });
  return { ...scenario, run: (run) => scenario.run({ ...run, disk: lying(run.disk) }) };
}

for (
  const [what, scenario, isLie] of [
    ["packs that are not synced", acquireParent(PLAIN), (path) => path.endsWith(".pack")],
    ["a log that is not synced", acquireParent(PLAIN), (path) => path.endsWith("/log")],
    ["a block map that is not synced", acquireParent(PLAIN), (path) => path.endsWith("/blocks")],
    ["what is renamed before it is synced", acquireParent(PLAIN), (path) => path.includes("/tmp/")],
    ["folders of exhibits that are not synced", acquireParent(PLAIN), (path) => /exhibits\/.*\/$/.test(path)],
    ["folders of packs that are not synced", acquireParent(PLAIN), (path) => /packs\/../.test(path)],
    ["a store whose own name is not synced", acquireParent(PLAIN), (path) => path === "/case/"],
    [
      "a journal's folder that is not synced",
      acquireParent(PLAIN),
      (path) => /journal\/ex-[^/]*\/$/.test(path),
    ],
    ["an image that is not synced", exporting, (path) => path.endsWith(".partial")],
    ["an image's folder that is not synced", exporting, (path) => path === "/case/"],
  ] as const satisfies readonly (readonly [string, Scenario, (path: string) => boolean])[]
) {
  Deno.test(`explore() finds ${what}`, async () => {
    const found = await explore(lied(scenario, isLie), { states: 1500, seed: 1, only: undefined });
    assert(found.violations.length > 0, `${found.states} states, none of them violates anything`);
  });
}
