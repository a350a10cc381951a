/** decodeCanonicalJson(): one value has one text; every other text of the same value is refused. */
import { assert, assertEquals } from "@std/assert";
import { decodeCanonicalJson, encodeCanonicalJson } from "../../src/format/canonical_json.ts";
import { arrayOf, type Check, integer, object, text } from "../../src/format/schema.ts";
import { type Below, forRounds, pick } from "../seeded.ts";
import { assertRefused, bytesOf, textOf } from "./refusals.ts";

const anything: Check<unknown> = (value) => value;

function decode(bytes: Uint8Array, maxBytes = 1_000_000): unknown {
  return decodeCanonicalJson(bytes, { name: "note", maxBytes, check: anything });
}

function refused(document: string | Uint8Array, ...parts: string[]): void {
  const bytes = typeof document === "string" ? bytesOf(document) : document;
  assertRefused(() => decode(bytes), "format", "Cannot read note", ...parts);
}

function randomText(below: Below): string {
  const letters = [
    "a",
    "Z",
    "0",
    '"',
    "\\",
    "/",
    "\n",
    "\0",
    "\x1f",
    "\x7f",
    "é",
    "\u2028",
    "€",
    "😀",
    "\ufeff",
  ];
  return Array.from({ length: below(6) }, () => pick(below, letters)).join("");
}

/**
 * Without what JSON escapes: V8 15.0 reads the member name "\\n" as a backslash where it saw an object with such
 * a name before. The comparison with the canonical text then refuses the document, so nothing wrong is taken.
 */
function randomName(below: Below): string {
  // deno-lint-ignore no-control-regex
  return randomText(below).replaceAll(/["\\\x00-\x1f]/g, "_");
}

function randomValue(below: Below, depth = 0): unknown {
  switch (below(depth > 4 ? 5 : 7)) {
    case 0:
      return null;
    case 1:
      return below(2) === 0;
    case 2:
      return below(2 ** 31) * (below(2) === 0 ? 1 : -1) || 0;
    case 3:
      return (below(2 ** 31) + 1) * 10 ** (below(40) - 20);
    case 4:
      return randomText(below);
    case 5:
      return Array.from({ length: below(4) }, () => randomValue(below, depth + 1));
    default:
      return Object.fromEntries(
        Array.from({ length: below(4) }, () => [randomName(below), randomValue(below, depth + 1)]),
      );
  }
}

Deno.test("decodeCanonicalJson() gives back what encodeCanonicalJson() took, and again the same bytes", () => {
  forRounds(500, (below) => {
    const value = randomValue(below);
    const bytes = encodeCanonicalJson(value);
    const decoded = decode(bytes);
    assertEquals(decoded, value);
    assertEquals(encodeCanonicalJson(decoded), bytes);
  });
});

Deno.test("encodeCanonicalJson() sorts members by UTF-16 code units, as RFC 8785 section 3.2.3 shows", () => {
  const value = { "\u20ac": 1, "\r": 2, "\ufb33": 3, "1": 4, "\ud83d\ude00": 5, "\u0080": 6, "\u00f6": 7 };
  assertEquals(
    textOf(encodeCanonicalJson(value)),
    '{"\\r":2,"1":4,"\u0080":6,"\u00f6":7,"\u20ac":1,"\ud83d\ude00":5,"\ufb33":3}',
  );
});

Deno.test("encodeCanonicalJson() writes numbers as RFC 8785 appendix B lists them", () => {
  const numbers: [number, string][] = [
    [-0, "0"],
    [5e-324, "5e-324"],
    [1.7976931348623157e308, "1.7976931348623157e+308"],
    [9007199254740992, "9007199254740992"],
    [1e21, "1e+21"],
    [999999999999999900000, "999999999999999900000"],
    [0.000001, "0.000001"],
    [1e-7, "1e-7"],
  ];
  for (const [number, written] of numbers) assertEquals(textOf(encodeCanonicalJson(number)), written);
});

Deno.test("decodeCanonicalJson() refuses every other spelling of a number, naming the byte", () => {
  for (const number of ["1.0", "-0", "1e0", "1E2", "0.10", "100e-2", "1e21", "9007199254740993"]) {
    refused(`{"a":${number}}`, "differs from its canonical JSON (RFC 8785) at byte");
  }
  refused('{"a":1.0}', "at byte 6");
  refused('{"a":-0}', "at byte 5");
  refused('{"a":1e400}');
  for (const number of ["01", "+1", ".5", "1.", "0x10", "NaN", "Infinity"]) {
    refused(`{"a":${number}}`, "not JSON");
  }
});

Deno.test("decodeCanonicalJson() refuses every other spelling of a text", () => {
  for (const spelling of ["\\u0061", "\\/", "\\u000a", "\\u001F", "\\u00e9", "\\ud83d\\ude00"]) {
    refused(`"${spelling}"`, "canonical JSON");
  }
  for (const spelling of ["\n", "\t", "\\x41", "\\", "\\u12"]) refused(`"${spelling}"`, "not JSON");
});

Deno.test("decodeCanonicalJson() refuses spaces, line ends and bytes after the document", () => {
  const canonical = '{"a":[1,2],"b":"c"}';
  assertEquals(decode(bytesOf(canonical)), { a: [1, 2], b: "c" });
  for (const space of [" ", "\n", "\r\n", "\t"]) {
    for (const at of [0, 1, 4, 5, 6, 7, 8, 10, 11, canonical.length]) {
      refused(
        canonical.slice(0, at) + space + canonical.slice(at),
        `canonical JSON (RFC 8785) at byte ${at}`,
      );
    }
  }
  for (const tail of ["\0", "x", "{}", ",", "1"]) refused(canonical + tail, "not JSON");
});

Deno.test("decodeCanonicalJson() refuses a member that comes twice, and members in another order", () => {
  refused('{"a":1,"a":1}', "at byte 6");
  refused('{"a":1,"a":2}');
  refused('{"b":1,"a":2}', "at byte 2");
  refused('{"a":{"b":1,"b":1}}');
});

Deno.test("decodeCanonicalJson() refuses a byte-order mark", () => {
  refused(new Uint8Array([0xef, 0xbb, 0xbf, 0x7b, 0x7d]), "not JSON");
  refused(new Uint8Array([0xff, 0xfe, 0x7b, 0x00, 0x7d, 0x00]), "not JSON in UTF-8");
});

Deno.test("decodeCanonicalJson() refuses bytes that are no UTF-8", () => {
  const faults = [[0xff], [0xc0, 0x80], [0xe2, 0x82], [0xed, 0xa0, 0x80], [0xf4, 0x90, 0x80, 0x80], [0x80]];
  for (const fault of faults) refused(new Uint8Array([0x22, ...fault, 0x22]), "not JSON in UTF-8");
});

Deno.test("decodeCanonicalJson() refuses what is empty or cut off anywhere", () => {
  const whole = encodeCanonicalJson({ a: [true, null, "é"], b: { c: 12 } });
  for (let length = 0; length < whole.length; length++) refused(whole.subarray(0, length), "not JSON");
});

Deno.test("decodeCanonicalJson() refuses one byte above its limit before it parses", () => {
  const bytes = bytesOf('"1234567890"');
  assertEquals(decode(bytes, bytes.length), "1234567890");
  assertRefused(() => decode(bytes, bytes.length - 1), "format", "has 12 bytes, at most 11 are allowed");
  assertRefused(() => decode(bytesOf("{{{{"), 3), "format", "at most 3 are allowed");
});

Deno.test("decodeCanonicalJson() refuses nesting at any depth by code, not with the stack's end", () => {
  const check = object({ a: integer(0) });
  for (const depth of [1, 10, 100, 1_000, 5_000, 10_000, 20_000, 40_000, 100_000, 499_999]) {
    for (
      const nested of ["[".repeat(depth) + "]".repeat(depth), '{"a":'.repeat(depth) + "0" + "}".repeat(depth)]
    ) {
      if (nested === '{"a":0}') continue;
      const options = { name: "note", maxBytes: 4_000_000, check };
      assertRefused(() => decodeCanonicalJson(bytesOf(nested), options), "format", "Cannot read note");
    }
  }
});

Deno.test("decodeCanonicalJson() names document and place where a check refuses", () => {
  const check = object({ list: arrayOf(object({ name: text(3) }), 2) });
  const options = { name: "note", maxBytes: 100, check };
  assertRefused(
    () => decodeCanonicalJson(bytesOf('{"list":[{"name":"abc"},{"name":"abcd"}]}'), options),
    "format",
    'Cannot read note.list[1].name: is "abcd", expected a text of at most 3 characters',
  );
  assert(decodeCanonicalJson(bytesOf('{"list":[]}'), options).list.length === 0);
});

Deno.test("canonical JSON refuses texts and names with half of a surrogate pair, and no others", () => {
  const check = (value: unknown) => value;
  const decode = (text: string) =>
    decodeCanonicalJson(new TextEncoder().encode(text), { name: "it", maxBytes: 1000, check });
  for (
    const text of [
      '"\\ud800"',
      '"a\\udfffb"',
      '["\\udbff"]',
      '{"\\ud800":1}',
      '{"a":[{"b":"\\udc00\\ud800"}]}',
    ]
  ) {
    assertRefused(() => decode(text), "format", "Cannot read it");
  }
  assertRefused(() => encodeCanonicalJson({ a: ["\ud800"] }), "format", "lone surrogate");
  for (const value of ["\u{1f600}", "\\ud800", { "\\ud800": "\u{10ffff}" }]) {
    assertEquals(decode(new TextDecoder().decode(encodeCanonicalJson(value))), value);
  }
});

Deno.test("canonical JSON is read to a depth of 64, and refused below that on every host", () => {
  const decode = (text: string) =>
    decodeCanonicalJson(bytesOf(text), { name: "it", maxBytes: 1e6, check: (value) => value });
  const nested = (levels: number) => "[".repeat(levels) + "]".repeat(levels);
  assertEquals(JSON.stringify(decode(nested(64))), nested(64));
  assertEquals(JSON.stringify(decode(`{"a":${nested(63)}}`)), `{"a":${nested(63)}}`);
  for (const text of [nested(65), nested(5000), nested(400_000), `{"a":${nested(64)}}`]) {
    assertRefused(() => decode(text), "format", "Cannot read it", "deeper than 64 levels");
  }
});
