/**
 * The style check is fed bad sources, each with one fault, and must name that fault and its line; good ones
 * must pass. The checkout itself is checked by `deno task ok`.
 */
import { assertEquals, assertStringIncludes } from "@std/assert";
import { tidy } from "../../scripts/tidy.ts";
import { blank } from "../../scripts/tidy_source.ts";

const HEADER = "/**\n * Holds blocks for the test.\n * Does not fetch them.\n */\n";

function findingsOf(path: string, body: string): string[] {
  return tidy(new Map([[path, HEADER + body]])).map(({ line, message }) => `${line}: ${message}`);
}

Deno.test("tidy() passes a clean file", () => {
  assertEquals(findingsOf("src/store/mod.ts", 'import { parse } from "../format/pack.ts";\n'), []);
});

const BAD: readonly (readonly [name: string, path: string, body: string, expected: string])[] = [
  ["a store that imports aws", "src/store/mod.ts", 'import "../aws/calls.ts";\n', "5: store imports aws"],
  ["a lazy import", "src/store/mod.ts", 'const x = () => import("../cli/mod.ts");\n', "5: store imports cli"],
  ["a re-export", "src/image/mod.ts", 'export * from "../store/mod.ts";\n', "5: image imports store"],
  ["simulate with aws", "src/simulate/mod.ts", 'import "../aws/calls.ts";\n', "5: simulate imports aws"],
  ["cli with a command", "src/cli/run.ts", 'import "../commands/ls.ts";\n', "5: cli imports commands"],
  ["acquisition with cli", "src/acquisition/a.ts", 'import "../cli/mod.ts";\n', "5: acquisition imports cli"],
  ["a model that imports", "src/model.ts", 'import "./errors.ts";\n', "5: model imports errors"],
  ["the world in a command", "src/commands/ls.ts", 'import "../world.ts";\n', "5: commands imports world"],
  ["a back door", "src/commands/ls.ts", 'import "../store/_index.ts";\n', "enters store by"],
  ["an unknown room", "src/things.ts", "\n", "not in the import table"],
  ["an import from tests", "src/plan.ts", 'import "../tests/fakes.ts";\n', "outside src"],
  ["an import past the map", "src/plan.ts", 'import "npm:left-pad@1.0.0";\n', "name it in deno.json"],
  ["any", "src/plan.ts", "const x: any = 1;\n", "5: `any`"],
  ["any in a cast", "src/plan.ts", "const x = 1 as any;\n", "5: `any`"],
  ["an enum", "src/plan.ts", "enum Colour { Red }\n", "5: `enum`"],
  ["a default export", "src/plan.ts", "export default 1;\n", "5: default export"],
  ["an empty catch", "src/plan.ts", "try { f(); } catch (error) {\n  // never mind\n}\n", "5: empty catch"],
  ["an empty .catch", "src/plan.ts", "p.catch(() => {});\n", "5: empty catch"],
  ["console", "src/plan.ts", 'console.log("x");\n', "5: `console`"],
  ["stderr", "src/plan.ts", "Deno.stderr.writeSync(b);\n", "5: prints below"],
  ["an exit", "src/commands/ls.ts", "Deno.exit(1);\n", "5: ends the process"],
  ["an open end", "src/plan.ts", "// TO" + "DO: later\n", "5: "],
  ["a banned name", "src/format/utils.ts", "\n", "0: "],
  ["a long file", "src/plan.ts", "\n".repeat(400), "0: 404 lines"],
  [
    "a long function",
    "src/plan.ts",
    `function f() {\n${"  g();\n".repeat(70)}}\n`,
    "5: function of 72 lines",
  ],
];

for (const [name, path, body, expected] of BAD) {
  Deno.test(`tidy() finds ${name}`, () => {
    const findings = findingsOf(path, body);
    assertEquals(findings.length, 1, findings.join("\n"));
    assertStringIncludes(findings[0] ?? "", expected);
  });
}

Deno.test("tidy() wants a header of a few lines", () => {
  const messages = (text: string) => tidy(new Map([["src/plan.ts", text]])).map((finding) => finding.message);
  assertEquals(messages("export const x = 1;\n"), ["no header comment"]);
  assertEquals(messages("/** Plans. */\n"), ["1 lines of header comment, expected 3 to 8"]);
  assertEquals(messages("// Plans what is fetched.\n// Fetches nothing.\n"), []);
});

Deno.test("tidy() only warns of a file between 300 and 400 lines", () => {
  const findings = tidy(new Map([["src/plan.ts", HEADER + "\n".repeat(300)]]));
  assertEquals(findings.map((finding) => finding.warning), [true]);
});

Deno.test("tidy() wants exact versions in deno.json", () => {
  const check = (target: string) =>
    tidy(new Map([["deno.json", JSON.stringify({ imports: { x: target } })]])).length;
  for (
    const target of [
      "npm:a@1.2.3",
      "npm:@a/b@1.2.3",
      "npm:a@1.2.3/sub/mod.js",
      "./src/mod.ts",
      "jsr:@a/b@0.1.0",
    ]
  ) {
    assertEquals(check(target), 0, target);
  }
  for (const target of ["npm:a", "npm:a@^1.2.3", "npm:@a/b", "npm:a@1", "jsr:@a/b@1.2"]) {
    assertEquals(check(target), 1, target);
  }
});

Deno.test("tidy() lets strings, comments and templates say what code must not", () => {
  const body =
    'const s = "console.log enum X";\n// console.log(as any)\nconst t = `Deno.exit ${f({ a: 1 })} enum Y`;\n';
  assertEquals(findingsOf("src/plan.ts", body), []);
});

Deno.test("blank() keeps offsets and sees code inside templates and after regular expressions", () => {
  const text = 'const a = `x ${b("}")} y`; const r = /["/]/.test(c) /* z */; d("e"); f / 2 / g;\n';
  const { code, bare } = blank(text);
  assertEquals([code.length, bare.length], [text.length, text.length]);
  assertEquals(bare.includes("z"), false);
  assertEquals(code.includes('"e"'), true);
  assertEquals(
    bare.replaceAll(/\s+/g, " "),
    'const a = ` {b(" ")} `; const r = / /.test(c) ; d(" "); f / 2 / g; ',
  );
});
