/**
 * The benchmark's pure parts: what its command line means, its statistics, its table, and what it finds out about
 * the machine. That it measures rightly can't be tested by time; its runs check their own work.
 */
import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { BadArguments, parseArguments } from "../../scripts/bench/arguments.ts";
import { BLOCK_BYTES, changedIndexes, RandomBytes, TextBytes } from "../../scripts/bench/data.ts";
import { mountFor } from "../../scripts/bench/machine.ts";
import type { RowResult } from "../../scripts/bench/results.ts";
import { ROWS } from "../../scripts/bench/rows.ts";
import { median, mibPerSecond, pairedSpeed, type Sample, spread } from "../../scripts/bench/statistics.ts";
import { formatResults, formatTable, verdict } from "../../scripts/bench/table.ts";

const NAMES = ["acquire-random", "verify"];

Deno.test("parseArguments() has a default for everything", () => {
  assertEquals(parseArguments([], NAMES), {
    sizeGib: 1,
    runs: 5,
    only: undefined,
    disks: undefined,
    program: undefined,
    json: undefined,
    list: false,
    help: false,
    acquireOptions: [],
  });
});

Deno.test("parseArguments() reads each option, and passes on what follows --", () => {
  const words = [
    "--size",
    "2GiB",
    "--runs=3",
    "--only",
    "verify",
    "--only",
    "acquire-random,verify",
    "--disk",
  ];
  const more = [
    "/a",
    "--disk",
    "/b",
    "--program",
    "/c/main.ts",
    "--json",
    "out.json",
    "--",
    "--workers",
    "2",
  ];
  assertEquals(parseArguments([...words, ...more], NAMES), {
    sizeGib: 2,
    runs: 3,
    only: ["verify", "acquire-random", "verify"],
    disks: ["/a", "/b"],
    program: "/c/main.ts",
    json: "out.json",
    list: false,
    help: false,
    acquireOptions: ["--workers", "2"],
  });
});

Deno.test("parseArguments() refuses what it does not know, by name", () => {
  const bad: readonly (readonly [readonly string[], string])[] = [
    [["--only", "nothing"], `"nothing"`],
    [["--size", "512MiB"], "--size 512MiB"],
    [["--size", "0GiB"], "--size 0GiB"],
    [["--size", "1.5GiB"], "--size 1.5GiB"],
    [["--runs", "0"], "--runs 0"],
    [["--runs", "x"], "--runs x"],
    [["--fast"], "--fast"],
    [["stray"], `"stray"`],
    [["stray", "--", "--workers"], `"stray"`],
  ];
  for (const [words, named] of bad) assertThrows(() => parseArguments(words, NAMES), BadArguments, named);
});

Deno.test("median() is the middle value, or the mean of the two", () => {
  assertEquals(median([3]), 3);
  assertEquals(median([10, 9, 100]), 10);
  assertEquals(median([4, 1, 3, 2]), 2.5);
  assertThrows(() => median([]), RangeError);
  assertEquals(spread([2, 10, 1]), { median: 2, min: 1, max: 10 });
});

function samples(...wallSeconds: number[]): Sample[] {
  return wallSeconds.map((seconds) => ({
    wallSeconds: seconds,
    cpuSeconds: 1,
    othersCpuSeconds: 0.25,
    peakMemoryBytes: 2 ** 20,
  }));
}

Deno.test("pairedSpeed() compares round by round, not medians", () => {
  // Both are slow in the second round: the machine was busy.
  assertEquals(pairedSpeed(samples(2, 8, 2), samples(1, 4, 1)), 0.5);
  assertEquals(pairedSpeed(samples(1, 10, 4), samples(2, 5, 4)), 1);
  assertThrows(() => pairedSpeed(samples(1), samples(1, 2)), RangeError);
  assertEquals(mibPerSecond(2 ** 30, 2), 512);
});

Deno.test("verdict() says which number was reached, or by how much the lower was missed", () => {
  const speed = { kind: "mib_per_second", reach: 350, stretch: 450 } as const;
  assertEquals(verdict(speed, 450), "stretch");
  assertEquals(verdict(speed, 449.9), "reached");
  assertEquals(verdict(speed, 350), "reached");
  assertEquals(verdict(speed, 349.9), "missed by 1 %");
  assertEquals(verdict(speed, 175), "missed by 50 %");
  const start = { kind: "at_most_ms", reach: 150, stretch: 60 } as const;
  assertEquals(verdict(start, 60), "stretch");
  assertEquals(verdict(start, 61), "reached");
  assertEquals(verdict(start, 300), "missed by 100 %");
  assertEquals(verdict({ kind: "times_peer", stretch: 1 }, 0.5), "");
  assertEquals(verdict(speed, undefined), "");
});

Deno.test("formatTable() aligns by characters", () => {
  assertEquals(formatTable([["a", "1"], ["×××", "22"]], ["left", "right"]), "a     1\n×××  22\n");
});

Deno.test("formatResults() puts programs under their row, and notes where numbers are missing", () => {
  const row: RowResult = {
    name: "verify",
    title: "verify",
    bytes: 2 ** 30,
    sides: [
      {
        name: "coldcase",
        samples: samples(2, 4, 3),
        goal: { kind: "mib_per_second", reach: 300, stretch: 400 },
      },
      { name: "peer", samples: samples(1, 2, 1.5), speedBesidePeer: 0.5 },
    ],
    notes: ["coldsnap: needs coldsnap"],
  };
  const missing = { name: "read", title: "read", bytes: undefined, sides: [], notes: ["not offered"] };
  assertEquals(formatResults([row, missing]).split("\n"), [
    "row     program   wall s    min    max  MiB/s  CPU s  others'  peak MiB  × peer  reach  stretch",
    "verify  coldcase   3.000  2.000  4.000    341  1.000    0.250         1          ≥ 300    ≥ 400  reached",
    "        peer       1.500  1.000  2.000    683  1.000    0.250         1    0.50",
    "  coldsnap: needs coldsnap",
    "read: not offered",
    "",
  ]);
});

const MOUNTS = `22 1 254:0 / / rw,relatime - ext4 /dev/root rw
23 22 0:5 / /dev rw shared:2 - devtmpfs devtmpfs rw
24 23 0:18 / /dev/shm rw,nosuid master:3 shared:4 - tmpfs tmpfs rw
25 22 8:1 / /mnt/with\\040space rw - xfs /dev/sda1 rw
`;

Deno.test("mountFor() takes the nearest mount above a path", () => {
  assertEquals(mountFor("/tmp/x", MOUNTS), { mountPoint: "/", fileSystem: "ext4", device: "/dev/root" });
  assertEquals(mountFor("/dev/shm", MOUNTS).fileSystem, "tmpfs");
  assertEquals(mountFor("/dev/shm/x", MOUNTS).fileSystem, "tmpfs");
  assertEquals(mountFor("/dev/shmx", MOUNTS).fileSystem, "devtmpfs");
  assertEquals(mountFor("/mnt/with space/x", MOUNTS).fileSystem, "xfs");
  assertEquals(mountFor("/x", "").fileSystem, "unknown");
});

Deno.test("changedIndexes() takes a share, spread evenly, each once", () => {
  const indexes = Array.from({ length: 2048 }, (_, index) => 2 * index);
  assertEquals(changedIndexes(indexes, 0), []);
  assertEquals(changedIndexes(indexes, 100), indexes);
  for (const percent of [1, 10]) {
    const changed = changedIndexes(indexes, percent);
    assertEquals(changed.length, Math.floor(2048 * percent / 100));
    assertEquals(new Set(changed).size, changed.length);
    assert(changed.every((index) => indexes.includes(index)));
    assert(changed.at(-1)! > 4096 * 0.9);
  }
});

Deno.test("RandomBytes and TextBytes give the same bytes to everybody, and others next", () => {
  for (const Bytes of [RandomBytes, TextBytes]) {
    const [one, other] = [new Bytes("seed"), new Bytes("seed")];
    const first = one.next(BLOCK_BYTES);
    assertEquals(first.length, BLOCK_BYTES);
    assert(first.equals(other.next(BLOCK_BYTES)));
    assert(!first.equals(one.next(BLOCK_BYTES)));
    assert(!first.equals(new Bytes("another").next(BLOCK_BYTES)));
  }
  assertStringIncludes(new TextBytes("seed").next(BLOCK_BYTES).toString("latin1"), "\n");
});

Deno.test("the rows have names of their own", () => {
  const names = ROWS.map((row) => row.name);
  assertEquals(new Set(names).size, names.length);
});
