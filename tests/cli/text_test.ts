/**
 * Text at the terminal's edge: what a hostile name can't do, and that widths are what a terminal shows.
 * Expected widths are those of xterm and tmux.
 */
import { assertEquals, assertLessOrEqual } from "@std/assert";
import {
  cutToWidth,
  formatFacts,
  formatTable,
  jsonLine,
  sanitize,
  textWidth,
  wrapText,
} from "../../src/cli/mod.ts";

const HOSTILE: readonly (readonly [text: string, shown: string])[] = [
  ["\x1b[2J\x1b]0;owned\x07", "\\x1b[2J\\x1b]0;owned\\x07"],
  ["a\nb\rc\td\0", "a\\nb\\rc\\td\\x00"],
  ["\x7f\x80\x9b31m\x9f", "\\x7f\\x80\\x9b31m\\x9f"],
  ["\u202Egpj.exe\u2066\u200F\u061C", "\\u202egpj.exe\\u2066\\u200f\\u061c"],
  ["zero\u200Bwidth\uFEFF", "zero\\u200bwidth\\ufeff"],
  ["\u2028\u2029", "\\u2028\\u2029"],
  ["\uD800 lone \uDC00", "\\ud800 lone \\udc00"],
  ["tag \u{E0041}", "tag \\u{e0041}"],
];

for (const [text, shown] of HOSTILE) {
  Deno.test(`sanitize() shows ${shown}`, () => assertEquals(sanitize(text), shown));
}

Deno.test("sanitize() leaves what people write as it is", () => {
  for (const text of ["", "C:\\cases\\7", "Beweismittel für Übung", "証拠 42", "naïve e\u0301", "𝒳 🖴"]) {
    assertEquals(sanitize(text), text);
  }
});

Deno.test("jsonLine() parses to the same and holds nothing that a terminal acts on", () => {
  for (const [text] of HOSTILE) {
    const line = jsonLine({ type: "x", text });
    assertEquals(JSON.parse(line), { type: "x", text });
    assertEquals(sanitize(line.slice(0, -1)), line.slice(0, -1));
  }
});

Deno.test("textWidth() counts columns", () => {
  assertEquals(["", "abc", "証拠", "é", "e\u0301", "…", "한글", "🙂", "ｆ"].map(textWidth), [
    0,
    3,
    4,
    1,
    1,
    1,
    4,
    2,
    2,
  ]);
});

Deno.test("cutToWidth() never exceeds the columns and marks the cut", () => {
  assertEquals(cutToWidth("abcdef", 6), "abcdef");
  assertEquals(cutToWidth("abcdef", 5), "abcd…");
  assertEquals(cutToWidth("証拠証拠", 6), "証拠…");
  assertEquals([cutToWidth("ab", 1), cutToWidth("ab", 0), cutToWidth("", 0)], ["…", "", ""]);
  for (let columns = 0; columns < 12; columns++) {
    assertLessOrEqual(textWidth(cutToWidth("a証b拠c🙂d", columns)), columns);
  }
});

Deno.test("wrapText() breaks at spaces and keeps every word", () => {
  assertEquals(wrapText("one two three", 7), ["one two", "three"]);
  assertEquals(wrapText("a-very-long-word b", 4), ["a-very-long-word", "b"]);
  assertEquals(wrapText("  \n ", 4), []);
});

Deno.test("formatTable() lines columns up by width and sanitizes cells", () => {
  const columns = [{ title: "NAME" }, { title: "SIZE", align: "right" as const }, { title: "TAG" }];
  assertEquals(
    formatTable(columns, [["証拠", "1", "x\ny"], ["web", "1,024", ""]]),
    "NAME   SIZE  TAG\n" +
      "証拠      1  x\\ny\n" +
      "web   1,024\n",
  );
  assertEquals(formatTable(columns, []), "NAME  SIZE  TAG\n");
});

Deno.test("formatFacts() lines values up and leaves unknown ones out", () => {
  assertEquals(
    formatFacts([["store", "/a"], ["image root", "07\x1b"], ["parent", undefined]]),
    "store       /a\nimage root  07\\x1b\n",
  );
  assertEquals(formatFacts([]), "");
});
