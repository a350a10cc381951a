/** Values that are not ours stay values in a Markdown report: no heading, link, image, HTML, code or second row. */
import { assert, assertEquals } from "@std/assert";
import { code, plain, table } from "../../src/commands/_markdown.ts";

const HOSTILE = [
  "# heading",
  "a | b |\n| c | d |",
  "[click](http://evil.example/)",
  "![x](http://evil.example/pixel.png)",
  "<script>alert(1)</script> &lt;",
  "`code` ```",
  "**bold** __under__ ~~gone~~",
  "http://evil.example www.evil.example",
  "me@evil.example",
  "$math$ \\| \\`",
  "\x1b[2J\u202e\r\n---",
];

Deno.test("plain() leaves no character that Markdown or a terminal acts on", () => {
  for (const text of HOSTILE) {
    const shown = plain(text);
    assert(!/[\p{Cc}\p{Cf}]/u.test(shown), shown);
    assertEquals(/(?<!\\)(?:\\\\)*[`*_{}[\]<>|~&#!$@]/.exec(shown), null, shown);
    assert(!/(?<!\\):\/\/|www\./i.test(shown), shown);
  }
});

Deno.test("code() makes code only of what can't end it", () => {
  assertEquals(code("packs/00/a.pack"), "`packs/00/a.pack`");
  for (const text of ["a`b", "a|b", " a", "a ", "a\nb", "a\\"]) assert(!code(text).startsWith("`"), text);
});

Deno.test("table() of hostile cells has a line for each row and no other", () => {
  for (const text of HOSTILE) {
    const lines = table(["What", "Says"], [[plain(text), code(text)]]).trimEnd().split("\n");
    assertEquals(lines.length, 3);
    assertEquals(lines[2]!.replace(/\\\\/g, "").replace(/\\\|/g, "").split("|").length, 4, lines[2]);
  }
});
