/**
 * Each claim of SECURITY.md, and each row of tests/nist.md, names tests that are there, or says why there is none.
 */
import { assert, assertEquals } from "@std/assert";
import { claimProblems, claimRows, testNames } from "./claims.ts";

const ROOT = new URL("../../", import.meta.url);

function sourceOf(file: string): string | undefined {
  try {
    return Deno.readTextFileSync(new URL(file, ROOT));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

for (const [document, least] of [["SECURITY.md", 37], ["tests/nist.md", 28]] as const) {
  Deno.test(`${document} makes no claim without a test that is there`, () => {
    const markdown = Deno.readTextFileSync(new URL(document, ROOT));
    assertEquals(claimProblems(markdown, sourceOf), []);
    const rows = claimRows(markdown);
    assert(rows.length >= least, `${rows.length} rows`);
    // A table whose last column has another title would not be looked at.
    const named = [...markdown.matchAll(/`tests\/[^`]*`: `/g)].length;
    assertEquals(rows.reduce((sum, { tests }) => sum + tests.length, 0), named);
  });
}

const TABLE = (...rows: readonly string[]) =>
  `text\n\n| A | Shown by |\n| --- | --- |\n${rows.join("\n")}\n\nmore`;
const FILES: Readonly<Record<string, string>> = {
  "tests/a_test.ts":
    'Deno.test("one", () => {});\noutside(\n  "two",\n  [], body);\nfor (const x of []) Deno.test(`of ${x}`, f);\n// "three"',
};
const problems = (...rows: readonly string[]) => claimProblems(TABLE(...rows), (file) => FILES[file]);

Deno.test("claimProblems() takes tests that are there, made by templates too, and reasons", () => {
  assertEquals(
    problems(
      "| a | `tests/a_test.ts`: `one` |",
      "| b | `tests/a_test.ts`: `two`; `tests/a_test.ts`: `of ${x}` |",
      "| c | Does not apply: there is none |",
      "| d | Not built: later |",
    ),
    [],
  );
});

Deno.test("claimProblems() tells rows without a test, and tests that are not there", () => {
  assertEquals(problems("| a |  |"), ['"a": nothing shows it']);
  assertEquals(problems("| a | as everybody knows |"), ['"a": nothing shows it']);
  assertEquals(problems("| a | Does not apply: |"), ['"a": nothing shows it']);
  assertEquals(problems("| a | `tests/b_test.ts`: `one` |"), ['"a": no test file tests/b_test.ts']);
  assertEquals(problems("| a | `tests/a_test.ts`: `three` |"), ['"a": tests/a_test.ts has no test "three"']);
  assertEquals(problems("| a | `tests/a_test.ts`: `on` |"), ['"a": tests/a_test.ts has no test "on"']);
  assertEquals(problems("| a | `tests/a_test.ts`: `one`, and words |"), ['"a": nothing shows it']);
});

Deno.test("testNames() reads names as the source has them", () => {
  assertEquals([...testNames('Deno.test("a \\"b\\"", f); Deno.test(`of ${x} \\`y\\``, f)')], [
    'a "b"',
    "of ${x} `y`",
  ]);
  assertEquals([...testNames('Deno.test({\n  name: "big",\n  ignore: true })')], ["big"]);
  assertEquals([...testNames(FILES["tests/a_test.ts"]!)], ["one", "two", "of ${x}"]);
});
