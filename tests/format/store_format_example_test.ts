/**
 * The worked example of store-format.md is what the code writes today, byte by byte. Where the format was
 * changed on purpose, `deno run -A scripts/format_example.ts --update` writes the new one.
 */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { DOCUMENT, exampleIn, exampleMarkdown } from "../../scripts/format_example.ts";

async function makeExample(): Promise<string> {
  const root = Deno.makeTempDirSync();
  try {
    return (await exampleMarkdown(root)).trim();
  } finally {
    Deno.removeSync(root, { recursive: true });
  }
}

Deno.test("store-format.md shows the example as the code writes it", async () => {
  const document = Deno.readTextFileSync(DOCUMENT);
  const made = await makeExample();
  assertEquals(exampleIn(document), made);
  const imageDigest = /"imageDigest":"([0-9a-f]{64})"/.exec(made.replaceAll("\n  ", ""))?.[1];
  assert(imageDigest);
  assertStringIncludes(document.slice(0, document.indexOf("## Manifest")), imageDigest);
});

Deno.test("store-format.md has the headings that docstrings cite", () => {
  const headings = new Set(
    [...Deno.readTextFileSync(DOCUMENT).matchAll(/^##+ (.+)$/gm)].map((match) => match[1]),
  );
  const root = new URL("../../src/", import.meta.url).pathname;
  const cited = [...sourceTexts(root)].flatMap((text) =>
    [...text.matchAll(/store-format\.md, "([^"]+)"/g)].map((match) => match[1])
  );
  assert(cited.length > 10);
  assertEquals(cited.filter((heading) => !headings.has(heading)), []);
});

function* sourceTexts(folder: string): Iterable<string> {
  for (const entry of Deno.readDirSync(folder)) {
    if (entry.isDirectory) yield* sourceTexts(`${folder}${entry.name}/`);
    else if (entry.name.endsWith(".ts")) yield Deno.readTextFileSync(`${folder}${entry.name}`);
  }
}
