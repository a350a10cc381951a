/**
 * Shows the worked example of store-format.md, the store that example_store.ts makes, as Markdown. `--update`
 * writes it into the document, between its two markers; a test compares the two, so that the document can't rot.
 *
 * `--keep DIR` leaves the finished store there, to try the document's commands on. It says nothing that the
 * store does not say; the words around the bytes are the document's.
 */
import { canonicalize } from "@std/json/canonicalize";
import { fromFileUrl } from "@std/path";
import { SLOT_BYTES } from "../src/format/journal.ts";
import {
  decodePackFooter,
  decodePackTrailer,
  decodeRecordHeader,
  FOOTER_ENTRY_BYTES,
  PACK_HEADER_BYTES,
  PACK_TRAILER_BYTES,
  RECORD_HEADER_BYTES,
} from "../src/format/pack.ts";
import { makeExampleStore, UNREADABLE_INDEX } from "./example_store.ts";

export const DOCUMENT = fromFileUrl(new URL("../store-format.md", import.meta.url));
/** What the example stands between in the document. */
export const MARKERS = [
  "<!-- example: made by scripts/format_example.ts -->",
  "<!-- example ends -->",
] as const;

const WIDTH = 100;

function codeBlock(lines: readonly string[]): string {
  return ["```text", ...lines, "```", ""].join("\n");
}

/** A long line in pieces that do not end in a space; the continuation's indent is not part of the file. */
function wrap(text: string): string[] {
  const lines: string[] = [];
  for (let at = 0; at < text.length;) {
    const piece = text.slice(at, at + WIDTH).trimEnd();
    lines.push((at === 0 ? "" : "  ") + piece);
    at += piece.length;
  }
  return lines;
}

/** Lists stay as they are, whatever their length; a long line of a key is cut. */
function wrapWords(line: string): string[] {
  return line.includes("ssh-ed25519 ") ? wrap(line) : [line];
}

/** As `hexdump -C` shows it, from byte `start` to `end`. */
function hexLines(bytes: Uint8Array, start: number, end: number): string[] {
  const lines: string[] = [];
  for (let at = start; at < end; at += 16) {
    const row = [...bytes.subarray(at, Math.min(at + 16, end))];
    const hex = row.map((byte) => byte.toString(16).padStart(2, "0"));
    const left = hex.slice(0, 8).join(" ").padEnd(23);
    const right = hex.slice(8).join(" ").padEnd(23);
    const text = row.map((byte) => byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : ".").join("");
    lines.push(`${at.toString(16).padStart(8, "0")}  ${left}  ${right}  |${text}|`);
  }
  return lines;
}

function showPack(name: string, bytes: Uint8Array): string {
  const trailer = decodePackTrailer(bytes.subarray(-PACK_TRAILER_BYTES), { name, sizeBytes: bytes.length });
  const trailerOffset = bytes.length - PACK_TRAILER_BYTES;
  const footer = bytes.subarray(trailer.footerOffset, trailerOffset);
  const entries = decodePackFooter(footer, { ...trailer, name });
  const lines = ["header", ...hexLines(bytes, 0, PACK_HEADER_BYTES)];
  for (const [position, { offset, storedBytes }] of entries.entries()) {
    const start = offset + RECORD_HEADER_BYTES;
    const record = decodeRecordHeader(bytes.subarray(offset, start), { name, offset });
    lines.push(
      `record ${position}: header; ${record.codec}, ${storedBytes} bytes stored, first seen as block ${record.blockIndex}`,
      ...hexLines(bytes, offset, start),
      `record ${position}: stored bytes`,
      ...hexLines(bytes, start, start + storedBytes),
    );
  }
  for (const position of entries.keys()) {
    const start = trailer.footerOffset + position * FOOTER_ENTRY_BYTES;
    lines.push(`footer entry ${position}`, ...hexLines(bytes, start, start + FOOTER_ENTRY_BYTES));
  }
  lines.push("trailer", ...hexLines(bytes, trailerOffset, bytes.length));
  return codeBlock(lines);
}

function showJournal(folder: string): string {
  const map = Deno.readFileSync(`${folder}/blocks`);
  const recorded = [0, 1, 2, 4, UNREADABLE_INDEX, 16384];
  const slots = recorded.flatMap((index) => [
    `slot ${index}`,
    ...hexLines(map, index * SLOT_BYTES, (index + 1) * SLOT_BYTES),
  ]);
  const log = Deno.readTextFileSync(`${folder}/log`).trimEnd().split("\n");
  return [
    "`head.json`:\n",
    codeBlock(wrap(Deno.readTextFileSync(`${folder}/head.json`))),
    `\`log\` (${log.length} lines):\n`,
    codeBlock(log.flatMap(wrap)),
    `\`blocks\` (${map.length} bytes, all zeros but for these slots):\n`,
    codeBlock(slots),
  ].join("\n");
}

/** The manifest with equal neighbours in `segments` shown as one, marked `×N`; everything else as it is. */
function showManifest(text: string): string {
  const manifest: { segments: string[] } = JSON.parse(text);
  const shown: string[] = [];
  for (let at = 0; at < manifest.segments.length;) {
    let end = at + 1;
    while (manifest.segments[end] === manifest.segments[at]) end++;
    shown.push(canonicalize(manifest.segments[at]) + (end - at > 1 ? `×${end - at}` : ""));
    at = end;
  }
  const list = canonicalize(manifest.segments);
  return codeBlock(wrap(text.replace(list, `[${shown.join(",")}]`)));
}

/** Names of all files below `folder`, sorted, the cache and the empty locks left out. */
function fileNames(root: string, folder = ""): string[] {
  return [...Deno.readDirSync(`${root}/${folder}`)].flatMap(({ name, isDirectory }) =>
    isDirectory ? fileNames(root, `${folder}${name}/`) : [`${folder}${name}`]
  ).filter((name) => !name.startsWith("cache/") && !/^(custody-)?lock$/.test(name)).sort();
}

/** The example as Markdown, ending in a newline. */
export async function exampleMarkdown(root: string): Promise<string> {
  let journal = "";
  await makeExampleStore(root, {
    onUncommitted(folder) {
      journal = showJournal(folder);
    },
  });
  const names = fileNames(root);
  const parts = [
    "Files and sizes:\n",
    codeBlock(names.map((name) => `${String(Deno.statSync(`${root}/${name}`).size).padStart(5)}  ${name}`)),
  ];
  for (const name of names) {
    const bytes = Deno.readFileSync(`${root}/${name}`);
    const text = new TextDecoder().decode(bytes);
    parts.push(`\`${name}\`:\n`);
    if (name.endsWith(".pack")) parts.push(showPack(name, bytes));
    else if (name.endsWith(".ed25519")) parts.push(codeBlock(hexLines(bytes, 0, bytes.length)));
    else if (/\/manifest-[0-9a-f]+\.json$/.test(name)) parts.push(showManifest(text));
    else if (!name.endsWith(".json")) parts.push(codeBlock(text.trimEnd().split("\n").flatMap(wrapWords)));
    else parts.push(codeBlock(wrap(text)));
  }
  parts.push("The journal just before the commit, which removes it:\n", journal);
  return parts.join("\n");
}

/** What stands between the markers of `document`. Throws where they are not there. */
export function exampleIn(document: string): string {
  const [begin, end] = MARKERS.map((marker) => document.indexOf(marker));
  if (begin === undefined || end === undefined || begin < 0 || end < begin) {
    throw new Error("Cannot find the example: store-format.md has no markers of it");
  }
  return document.slice(begin + MARKERS[0].length, end).trim();
}

if (import.meta.main) {
  const keep = Deno.args[0] === "--keep" ? Deno.args[1] : undefined;
  const root = keep ?? Deno.makeTempDirSync();
  try {
    const example = (await exampleMarkdown(root)).trim();
    if (Deno.args[0] === "--update") {
      const document = Deno.readTextFileSync(DOCUMENT);
      const [before, after] = [document.split(MARKERS[0])[0], document.split(MARKERS[1])[1]];
      exampleIn(document);
      Deno.writeTextFileSync(
        DOCUMENT,
        `${before}${MARKERS[0]}\n\n${example}\n\n${MARKERS[1]}${after}`,
      );
    } else await Deno.stdout.write(new TextEncoder().encode(`${example}\n`));
  } finally {
    if (keep === undefined) Deno.removeSync(root, { recursive: true });
  }
}
