/**
 * The worked example of store-format.md is what the code writes today, byte by byte, and its limits, findings and
 * headings are those of the code. Where the format was
 * changed on purpose, `deno run -A scripts/format_example.ts --update` writes the new one.
 */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { MAX_ADDENDUM_BYTES } from "../../src/format/addendum.ts";
import { MAX_CUSTODY_ENTRY_BYTES } from "../../src/format/custody.ts";
import { MAX_DOCUMENT_BYTES, MAX_SESSIONS, MAX_UNREADABLE_ENTRIES } from "../../src/format/documents.ts";
import { MAX_FILE_MAP_BYTES } from "../../src/format/file_map.ts";
import { MAX_HEADERS_BYTES } from "../../src/format/headers.ts";
import { MAX_INVENTORY_BYTES } from "../../src/format/inventory.ts";
import { MAX_MANIFEST_BYTES } from "../../src/format/manifest.ts";
import { MAX_CUSTODY_HEADS } from "../../src/format/members.ts";
import { MAX_PACK_BYTES } from "../../src/format/pack.ts";
import { MAX_SEGMENT_BYTES } from "../../src/format/segment.ts";
import { MAX_STORE_FILE_BYTES } from "../../src/format/store_file.ts";
import { MAX_TIMESTAMP_BYTES } from "../../src/format/timestamp.ts";
import { MAX_BLOCKS, SEGMENT_BLOCKS } from "../../src/model.ts";
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

Deno.test("store-format.md has no table wider than a terminal", () => {
  const rows = Deno.readTextFileSync(DOCUMENT).split("\n").filter((line) => line.startsWith("|"));
  assert(rows.length > 300);
  assertEquals(rows.filter((row) => row.length > 160), []);
});

Deno.test("store-format.md counts the steps of verification without a gap, and names none that is not there", () => {
  const document = Deno.readTextFileSync(DOCUMENT);
  const chapter = chapterOf(document, "Verification");
  const steps = [...chapter.matchAll(/^(\d+)\. /gm)].map((match) => Number(match[1]));
  assertEquals(steps, steps.map((_, position) => position + 1));
  const readers = document.slice(0, document.indexOf("# Part two"));
  const named = [...readers.matchAll(/\bsteps? (\d+)/g)].map((match) => Number(match[1]));
  assert(named.length > 10);
  assertEquals(named.filter((step) => step > steps.length), []);
});

Deno.test("store-format.md names in a step every finding that verify tells", () => {
  const chapter = chapterOf(Deno.readTextFileSync(DOCUMENT), "Verification");
  const code = ["_findings.ts", "_evidence.ts", "_custody.ts"].map((name) =>
    Deno.readTextFileSync(new URL(`../../src/store/${name}`, import.meta.url))
  ).join("");
  const endings = "missing|size|damaged|unusable|differ|not_allowed|forked";
  const findings = new Set(
    [...code.matchAll(new RegExp(`"([a-z]+_(?:${endings}))"`, "g"))].map((match) => match[1]!),
  );
  assert(findings.size >= 18, `${[...findings]}`);
  assertEquals([...findings].filter((finding) => !chapter.includes(`\`${finding}\``)), []);
});

Deno.test("store-format.md says the limits that the code has", () => {
  const limits = chapterOf(Deno.readTextFileSync(DOCUMENT), "Limits");
  const row = (start: string) => limits.split("\n").find((line) => line.startsWith(`| ${start}`)) ?? "";
  const said: [string, readonly number[]][] = [
    ["store file", [MAX_STORE_FILE_BYTES, MAX_CUSTODY_HEADS]],
    ["store file", [MAX_CUSTODY_ENTRY_BYTES, MAX_ADDENDUM_BYTES]],
    ["manifest ", [MAX_MANIFEST_BYTES, MAX_BLOCKS / SEGMENT_BLOCKS, MAX_CUSTODY_HEADS]],
    ["map", [MAX_FILE_MAP_BYTES]],
    ["segment ", [MAX_SEGMENT_BYTES, SEGMENT_BLOCKS]],
    ["side document", [MAX_DOCUMENT_BYTES, MAX_UNREADABLE_ENTRIES, MAX_SESSIONS]],
    ["inventory", [MAX_INVENTORY_BYTES]],
    ["pack ", [MAX_PACK_BYTES]],
    ["headers file", [MAX_HEADERS_BYTES]],
    ["`.sshsig`, token", [MAX_TIMESTAMP_BYTES]],
  ];
  for (const [start, values] of said) {
    for (const value of values) assertStringIncludes(row(start), value.toLocaleString("en-US"), start);
  }
});

/** A chapter's text, up to the next one. */
function chapterOf(document: string, heading: string): string {
  const chapter = document.split(`\n## ${heading}\n`)[1];
  assert(chapter !== undefined, heading);
  return chapter.slice(0, chapter.search(/^##? /m));
}

function* sourceTexts(folder: string): Iterable<string> {
  for (const entry of Deno.readDirSync(folder)) {
    if (entry.isDirectory) yield* sourceTexts(`${folder}${entry.name}/`);
    else if (entry.name.endsWith(".ts")) yield Deno.readTextFileSync(`${folder}${entry.name}`);
  }
}
