/**
 * What people write and read: sizes, rates, durations, money, ids, the shape of a volume. Boundaries are
 * written out; that a formatted value parses back to nearly itself is a law, drawn with a printed seed.
 */
import { assertEquals, assertLess, assertThrows } from "@std/assert";
import { OperatorError } from "../src/errors.ts";
import {
  formatCount,
  formatDuration,
  formatRate,
  formatSize,
  formatTime,
  formatUsd,
  isDigest,
  isExhibitId,
  isSnapshotId,
  parseDuration,
  parseRate,
  parseSize,
  parseSnapshotId,
  parseUsd,
  volumeShape,
} from "../src/units.ts";

function assertUsage(parse: (text: string) => unknown, texts: readonly string[]): void {
  for (const text of texts) {
    const error = assertThrows(() => parse(text), OperatorError, `"${text}"`);
    assertEquals(error.code, "usage", text);
  }
}

Deno.test("parseSize() reads binary and decimal units", () => {
  const sizes: readonly (readonly [string, number])[] = [
    ["1", 1],
    ["4096", 4096],
    ["1B", 1],
    ["1K", 1024],
    ["1KiB", 1024],
    ["1kib", 1024],
    ["1KB", 1000],
    ["1.5MiB", 1_572_864],
    [" 2 GiB ", 2_147_483_648],
    ["650MB", 650_000_000],
    ["64TiB", 70_368_744_177_664],
    ["8191TiB", 8191 * 2 ** 40],
  ];
  for (const [text, bytes] of sizes) assertEquals(parseSize(text), bytes, text);
});

Deno.test("parseSize() refuses what is no size", () => {
  assertUsage(parseSize, [
    "",
    "0",
    "0GiB",
    "0.4",
    "-1",
    "1.5.2",
    "GiB",
    "1 PiB",
    "1e9",
    "0x10",
    "8193TiB",
    "1,000",
    "NaN",
  ]);
});

Deno.test("parseRate() reads bytes or requests a second", () => {
  assertEquals(parseRate("20MiB/s"), { bytesPerSecond: 20 * 2 ** 20 });
  assertEquals(parseRate("1000/s"), { bytesPerSecond: 1000 });
  assertEquals(parseRate("300req/s"), { requestsPerSecond: 300 });
  assertEquals(parseRate("0.5 req/s"), { requestsPerSecond: 0.5 });
  assertUsage(parseRate, ["", "20MiB", "0req/s", "20", "20req", "20MiB/h"]);
  for (const text of ["req/s", "0/s", "fast/s"]) {
    assertThrows(() => parseRate(text), OperatorError, "Cannot read size");
  }
});

Deno.test("parseDuration() reads one number and one unit", () => {
  const durations: readonly (readonly [string, number])[] = [
    ["0s", 0],
    ["250ms", 250],
    ["30s", 30_000],
    ["1.5m", 90_000],
    ["24h", 86_400_000],
    ["2d", 172_800_000],
  ];
  for (const [text, ms] of durations) assertEquals(parseDuration(text), ms, text);
  assertUsage(parseDuration, ["", "5", "5 s", "-5s", "5w", "1h30m", "s", "36526d"]);
});

Deno.test("parseUsd() reads dollars", () => {
  assertEquals(["0", "12", "12.50", "$12.50", " 3 "].map(parseUsd), [0, 12, 12.5, 12.5, 3]);
  assertUsage(parseUsd, ["", "$", "-1", "12,50", "1e3", "12 USD", "€5"]);
});

Deno.test("formatSize() has at most one decimal, and none where it says nothing", () => {
  const sizes: readonly (readonly [number, string])[] = [
    [0, "0 B"],
    [1, "1 B"],
    [1023, "1023 B"],
    [1024, "1 KiB"],
    [1025, "1.0 KiB"],
    [1536, "1.5 KiB"],
    [524_288, "512 KiB"],
    [150.5 * 2 ** 20, "151 MiB"],
    [2 ** 40, "1 TiB"],
    [2 ** 60, "1024 PiB"],
  ];
  for (const [bytes, text] of sizes) assertEquals(formatSize(bytes), text);
  assertEquals(formatRate(20.4 * 2 ** 20), "20.4 MiB/s");
});

Deno.test("formatDuration() changes units at their boundaries", () => {
  const durations: readonly (readonly [number, string])[] = [
    [0, "0 ms"],
    [999, "999 ms"],
    [1000, "1 s"],
    [59_499, "59 s"],
    [59_500, "1 min 00 s"],
    [60_000, "1 min 00 s"],
    [3_599_000, "59 min 59 s"],
    [3_600_000, "1 h 00 min"],
    [86_399_000, "23 h 59 min"],
    [86_400_000, "1 d 00 h"],
    [Infinity, "unknown"],
    [NaN, "unknown"],
  ];
  for (const [ms, text] of durations) assertEquals(formatDuration(ms), text);
});

Deno.test("formatUsd() keeps cents from a dollar on and four digits below", () => {
  const amounts: readonly (readonly [number, string])[] = [
    [0, "$0.00"],
    [0.00001, "<$0.0001"],
    [0.0001, "$0.0001"],
    [0.0031, "$0.0031"],
    [0.5, "$0.5000"],
    [1, "$1.00"],
    [6.291, "$6.29"],
    [1204, "$1,204.00"],
    [1_234_567.891, "$1,234,567.89"],
  ];
  for (const [usd, text] of amounts) assertEquals(formatUsd(usd), text);
});

Deno.test("formatUsd() carries a rounded cent into the dollars", () => {
  assertEquals([0.99999, 1.999, 999.996].map(formatUsd), ["$1.00", "$2.00", "$1,000.00"]);
});

Deno.test("formatCount() and formatTime()", () => {
  assertEquals([0, 999, 1000, 134_217_728].map(formatCount), ["0", "999", "1,000", "134,217,728"]);
  assertEquals(formatTime(0), "1970-01-01T00:00:00.000Z");
  assertEquals(formatTime(1_767_322_985_678), "2026-01-02T03:03:05.678Z");
});

Deno.test("ids are recognized exactly", () => {
  for (const id of ["snap-01234567", "snap-0123456789abcdef0"]) assertEquals(parseSnapshotId(id), id);
  assertUsage(parseSnapshotId, [
    "",
    "snap-",
    "snap-0123456",
    "snap-0123456789abcdef01",
    "snap-0123456G",
    "SNAP-01234567",
    "vol-01234567",
    " snap-01234567",
    "snap-01234567\n",
  ]);
  assertEquals(isSnapshotId("snap-01234567\n"), false);
  assertEquals([isDigest("0".repeat(64)), isDigest("0".repeat(63)), isDigest("A".repeat(64)), isDigest(5)], [
    true,
    false,
    false,
    false,
  ]);
  assertEquals([isExhibitId("ex-0123456789abcdef"), isExhibitId("ex-0123456789abcde"), isExhibitId(null)], [
    true,
    false,
    false,
  ]);
});

Deno.test("volumeShape() accepts what EBS can have", () => {
  assertEquals(volumeShape({ blockSizeBytes: 524_288, volumeSizeGib: 1 }), {
    blockSizeBytes: 524_288,
    volumeSizeGib: 1,
    blockCount: 2048,
  });
  for (
    const [blockSizeBytes, volumeSizeGib] of [[512, 64], [16_777_216, 65_536], [524_288, 65_536]] as const
  ) {
    assertEquals(
      typeof volumeShape({ blockSizeBytes, volumeSizeGib }),
      "object",
      `${blockSizeBytes} ${volumeSizeGib}`,
    );
  }
});

Deno.test("volumeShape() refuses the implausible with its reason", () => {
  const shapes = [[0, 1], [256, 1], [524_287, 1], [33_554_432, 1], [NaN, 1], [524_288, 0], [
    524_288,
    1.5,
  ]] as const;
  for (
    const [blockSizeBytes, volumeSizeGib] of [...shapes, [524_288, 65_537], [512, 65], [
      524_288,
      NaN,
    ]] as const
  ) {
    assertEquals(
      typeof volumeShape({ blockSizeBytes, volumeSizeGib }),
      "string",
      `${blockSizeBytes} ${volumeSizeGib}`,
    );
  }
});

Deno.test("parseSize(formatSize(n)) is n to the digits that are shown", () => {
  const seed = Math.floor(Math.random() * 2 ** 31);
  let state = seed;
  const fraction = () => (state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff) / 2 ** 31;
  for (let round = 0; round < 1000; round++) {
    const bytes = Math.max(1, Math.floor(2 ** (fraction() * 47)));
    const back = parseSize(formatSize(bytes));
    assertLess(Math.abs(back - bytes) / bytes, 0.051, `seed ${seed}: ${bytes} became ${formatSize(bytes)}`);
  }
});

Deno.test("numbers of too many digits are refused, in a message of a readable length", () => {
  const digits = "9".repeat(400);
  const parses: readonly ((text: string) => unknown)[] = [parseDuration, parseUsd, parseSize, parseRate];
  for (const [at, parse] of parses.entries()) {
    const error = assertThrows(() => parse(digits + ["s", "", "GiB", "req/s"][at]), OperatorError);
    assertEquals(error.code, "usage");
    assertLess(error.message.length, 250);
  }
});
