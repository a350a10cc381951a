/** The checks of schema.ts: what each takes at its edges, and that a refusal says where, what and what was wanted. */
import { assert, assertEquals } from "@std/assert";
import {
  arrayOf,
  type Check,
  digest,
  exhibitId,
  flag,
  integer,
  literal,
  nullable,
  object,
  recordOf,
  snapshotId,
  text,
  time,
} from "../../src/format/schema.ts";
import { assertRefused } from "./refusals.ts";

function takes<T>(check: Check<T>, ...values: readonly T[]): void {
  for (const value of values) assertEquals(check(value, "here"), value);
}

function refuses(check: Check<unknown>, wanted: string, ...values: readonly unknown[]): void {
  for (const value of values) assertRefused(() => check(value, "here"), "format", "Cannot read here", wanted);
}

Deno.test("integer() takes what lies between its limits, both included", () => {
  takes(integer(0), 0, 1, Number.MAX_SAFE_INTEGER);
  takes(integer(-3, 5), -3, 0, 5);
  refuses(
    integer(-3, 5),
    "an integer from -3 to 5",
    -4,
    6,
    0.5,
    NaN,
    Infinity,
    "1",
    null,
    undefined,
    [1],
    true,
  );
  refuses(integer(0), "expected an integer", -1, Number.MAX_SAFE_INTEGER + 1);
});

Deno.test("text() counts UTF-16 units up to its limit", () => {
  takes(text(3), "", "abc", "é€\0");
  refuses(text(3), "at most 3 characters", "abcd", "😀😀", 1, null, undefined, ["a"]);
  takes(text(), "x".repeat(4096));
  refuses(text(), "at most 4096 characters", "x".repeat(4097));
});

Deno.test("flag, literal() and nullable() take nothing that merely looks alike", () => {
  const aOrZero = literal<"a" | 0>("a", 0);
  takes(flag, true, false);
  refuses(flag, "true or false", 0, 1, "true", null, undefined);
  takes(aOrZero, "a", 0);
  refuses(aOrZero, '"a" or 0', "A", "0", false, null, undefined, ["a"]);
  takes(nullable(flag), null, true);
  refuses(nullable(flag), "true or false", undefined, 0);
});

Deno.test("time takes what Date writes and no date that no calendar has", () => {
  takes(time, "2026-01-02T03:04:05.678Z", "2024-02-29T23:59:59.999Z", "0000-01-01T00:00:00.000Z");
  const others = [
    "2026-01-02T03:04:05Z",
    "2026-01-02T03:04:05.67Z",
    "2026-01-02T03:04:05.6789Z",
    "2026-01-02 03:04:05.678Z",
    "2026-01-02T03:04:05.678+00:00",
    "2026-01-02T03:04:05.678z",
    "2026-01-02T03:04:05.678Z\n",
    "+002026-01-02T03:04:05.678Z",
  ];
  const impossible = ["2026-13-01", "2026-00-10", "2026-02-29", "2026-04-31", "2026-01-00"]
    .map((date) => `${date}T00:00:00.000Z`);
  const hours = ["24:00:00", "25:00:00", "00:60:00", "00:00:60"].map((hour) => `2026-01-02T${hour}.000Z`);
  refuses(time, "a time such as", ...others, ...impossible, ...hours, 0, null, undefined);
});

Deno.test("digest, exhibitId and snapshotId take their own form alone", () => {
  const good = "0123456789abcdef".repeat(4);
  assertEquals<string>(digest(good, "here"), good);
  const short = good.slice(1);
  refuses(digest, "SHA-256", short, `${good}0`, good.toUpperCase(), `${short}g`, `${good}\n`, 1, null);
  assertEquals<string>(exhibitId("ex-0123456789abcdef", "here"), "ex-0123456789abcdef");
  refuses(
    exhibitId,
    "exhibit id",
    "ex-0123456789abcde",
    "ex-0123456789ABCDEF",
    "EX-0123456789abcdef",
    "",
    null,
  );
  assertEquals<string>(snapshotId("snap-01234567", "here"), "snap-01234567");
  assertEquals<string>(snapshotId("snap-0123456789abcdef0", "here"), "snap-0123456789abcdef0");
  const snapshots = [
    "snap-0123456",
    "snap-0123456789abcdef01",
    "snap-0123456G",
    "vol-01234567",
    "snap-01234567\n",
  ];
  refuses(snapshotId, "a snapshot id", ...snapshots, 1, undefined);
});

Deno.test("arrayOf() names the element that it refuses, and counts before it looks at any", () => {
  takes(arrayOf(flag, 2), [], [true], [true, false]);
  assertRefused(() => arrayOf(flag, 2)([true, 0], "here"), "format", "Cannot read here[1]: is 0");
  refuses(arrayOf(flag, 2), "at most 2 elements", [true, true, true], [0, 0, 0]);
  refuses(arrayOf(flag, 2), "an array", {}, "ab", null, undefined, { length: 0 });
});

Deno.test("object() takes exactly its members", () => {
  const check = object({ a: integer(0), b: nullable(flag) });
  takes(check, { a: 1, b: null });
  assertRefused(
    () => check({ a: 1 }, "here"),
    "format",
    "Cannot read here.b: is nothing, expected this member",
  );
  assertRefused(() => check({ b: true }, "here"), "format", "here.a");
  assertRefused(() => check({ a: 1, b: null, c: 1 }, "here"), "format", "here.c", "expected no such member");
  refuses(check, "an object", [], null, "a", 1, undefined);
});

Deno.test("object() lets no prototype stand in for a member, and refuses __proto__ as unknown", () => {
  const check = object({ a: integer(0) });
  assertRefused(() => check(Object.create({ a: 1 }), "here"), "format", "here.a");
  assertRefused(() => check(JSON.parse('{"a":1,"__proto__":{}}'), "here"), "format", "here.__proto__");
  assertRefused(() => check(JSON.parse('{"a":1,"toString":1}'), "here"), "format", "here.toString");
  assertRefused(() => object({ toString: flag })({}, "here"), "format", "here.toString");
});

Deno.test("recordOf() takes any names up to its limit, __proto__ as an ordinary one", () => {
  const check = recordOf(integer(0), 2);
  takes(check, {}, { a: 1, "": 2 });
  const odd = check(JSON.parse('{"__proto__":7}'), "here");
  assertEquals(Object.entries(odd), [["__proto__", 7]]);
  refuses(check, "at most 2 members", { a: 1, b: 2, c: 3 });
  assertRefused(() => check({ a: -1 }, "here"), "format", "here.a: is -1");
  refuses(check, "an object", [], null, 1);
});

Deno.test("a refusal stays one short line, however long the name or value that it refuses", () => {
  const long = "x".repeat(100_000);
  const values: [Check<unknown>, unknown][] = [
    [flag, long],
    [object({}), { [long]: 1 }],
    [recordOf(flag, 9), { [long]: 1 }],
    [object({ a: arrayOf(recordOf(flag, 9), 9) }), { a: [{ [long]: 1 }] }],
  ];
  for (const [check, value] of values) {
    try {
      check(value, "here");
    } catch (error) {
      assert(
        error instanceof Error && error.message.length < 500,
        `${(error as Error).message.length} characters`,
      );
      continue;
    }
    throw new Error("accepted");
  }
});
