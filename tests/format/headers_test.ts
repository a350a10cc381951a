/**
 * Headers documents: one set of headers has one text; every other line, order, name, offset or byte is refused. Parts
 * stay small however many files there are; of a damaged one the whole lines come back.
 */
import { assert, assertEquals } from "@std/assert";
import {
  type AddedHeader,
  type AddedHeaders,
  decodeHeaders,
  encodeHeaders,
  HeadersPart,
  MAX_HEADERS_BYTES,
  salvageHeaders,
} from "../../src/format/headers.ts";
import type { ExhibitId } from "../../src/model.ts";
import { forRounds, randomBytes, seededBelow } from "../seeded.ts";
import { assertRefused, bytesOf, digestOf, randomDigest, textOf } from "./refusals.ts";

const EXHIBIT = "ex-000000000000002a" as ExhibitId;
const pack = (digest: string) => `packs/${digest.slice(0, 2)}/${digest}.pack.age`;
const header = (text: string) => bytesOf(`age-encryption.org/v1\n${text}`);

const SAMPLE: AddedHeaders = {
  exhibit: EXHIBIT,
  commitment: digestOf("c1"),
  madeAt: "2026-01-02T03:04:05.000Z",
  opens: "contents",
  recipients: ["age1alice", "age1bob"],
  files: [
    { name: `documents/${digestOf("0a")}.json.age`, offsetBytes: 168, header: header("a") },
    { name: pack(digestOf("1b")), offsetBytes: 65_536, header: header("bb") },
    { name: pack(digestOf("2c")), offsetBytes: 1, header: header("ccc") },
  ],
};
const TEXT = textOf(encodeHeaders(SAMPLE));
const LINES = TEXT.split("\n");

function refused(text: string, ...parts: string[]): void {
  assertRefused(() => decodeHeaders(bytesOf(text), "headers"), "format", "Cannot read headers", ...parts);
}

/** The sample with one line, counted from 1, replaced. */
function withLine(number: number, line: string): string {
  return LINES.with(number - 1, line).join("\n");
}

Deno.test("encodeHeaders() writes the text that store-format.md describes", () => {
  assertEquals(LINES.slice(0, 8), [
    "coldcase-headers 1",
    "exhibit ex-000000000000002a",
    `commitment ${digestOf("c1")}`,
    "made 2026-01-02T03:04:05.000Z",
    "opens contents",
    "recipients age1alice age1bob",
    "files 3",
    `168 documents/${digestOf("0a")}.json.age YWdlLWVuY3J5cHRpb24ub3JnL3YxCmE=`,
  ]);
});

Deno.test("decodeHeaders() gives back what encodeHeaders() took", () => {
  forRounds(60, (below) => {
    const names = Array.from({ length: 1 + below(30) }, () => pack(randomDigest(below))).sort();
    const headers: AddedHeaders = {
      ...SAMPLE,
      opens: below(2) ? "contents" : "lineage",
      recipients: Array.from({ length: 1 + below(32) }, (_, nth) => `age1${nth}`),
      files: names.map((name) => ({
        name,
        offsetBytes: 1 + below(65_536),
        header: randomBytes(below, 1 + below(400)),
      })),
    };
    const bytes = encodeHeaders(headers);
    assertEquals(decodeHeaders(bytes, "headers"), headers);
    assertEquals(encodeHeaders(decodeHeaders(bytes, "headers")), bytes);
  });
});

Deno.test("decodeHeaders() refuses every other text, naming the line", () => {
  refused(withLine(1, "coldcase-headers 2"), "has version 2");
  refused(withLine(1, "coldcase-inventory 1"), "does not start");
  refused(withLine(2, "exhibit ex-2A"), "exhibit");
  refused(withLine(3, "commitment -"), "commitment");
  refused(withLine(4, "made 2026-02-30T03:04:05.000Z"), "made");
  refused(withLine(5, "opens all"), "opens");
  refused(withLine(6, "recipients "), "line 6");
  refused(withLine(6, "recipients ssh-ed25519"), "line 6");
  refused(withLine(6, "recipients age1a age1a"), "each once");
  refused(withLine(6, `recipients ${Array.from({ length: 33 }, (_, nth) => `age1${nth}`).join(" ")}`), "33");
  for (const count of ["2", "4", "03", "-"]) refused(withLine(7, `files ${count}`), "lists 3");
  refused([...LINES.slice(0, 6), "files 0", ""].join("\n"), "no file");
  refused(TEXT.slice(0, -1), "newline");
  refused(`${TEXT}\n`, "line 11");
  const line = LINES[7]!;
  const wrong = [
    line.replace("168", "0"),
    line.replace("168", "0168"),
    line.replace("168", "65537"),
    line.replace("documents/", "/documents/"),
    line.replace("documents/", "../documents/"),
    line.replace("YWdl", "YW l"),
    line.replace("mE=", "mF="), // stray bits
    line.replace("mE=", "mE"),
    `${line}\r`,
    `${line} `,
    line.slice(0, line.lastIndexOf(" ")),
    line.replace("YWdl", "YWd\u00e9"),
  ];
  for (const text of wrong) refused(withLine(8, text), "line 8");
  refused(withLine(9, LINES[7]!), "line 9", "order");
  refused([...LINES.slice(0, 7), LINES[8], LINES[7], LINES[9], ""].join("\n"), "line 9", "order");
});

Deno.test("decodeHeaders() refuses what is too long before it looks at it", () => {
  assertRefused(
    () => decodeHeaders(new Uint8Array(MAX_HEADERS_BYTES + 1), "headers"),
    "format",
    `at most ${MAX_HEADERS_BYTES}`,
  );
});

Deno.test("HeadersPart makes parts of 100,000 files that are each small enough, with every file in one of them", () => {
  const below = seededBelow(7);
  const names = Array.from({ length: 100_000 }, () => pack(randomDigest(below))).sort();
  const part = new HeadersPart();
  const counts: number[] = [];
  let next = 0;
  const check = (files: readonly AddedHeader[] | undefined) => {
    if (!files || files.length === 0) return;
    const bytes = encodeHeaders({ ...SAMPLE, files });
    assert(bytes.length <= MAX_HEADERS_BYTES, `${bytes.length} bytes`);
    const read = decodeHeaders(bytes, "part").files;
    assert(read.every(({ name }) => name === names[next++]));
    counts.push(files.length);
  };
  const same = header("x".repeat(150));
  for (const name of names) check(part.add({ name, offsetBytes: 168, header: same }));
  check(part.take());
  assertEquals(next, names.length);
  assertEquals(part.take(), []);
  // A part has some 9,000 files, so that 1,048,576 packs of 64 TiB have a hundred parts.
  assert(counts.length >= 8 && counts.length <= 14, `${counts}`);
});

Deno.test("HeadersPart leaves room for the longest recipients and headers", () => {
  const part = new HeadersPart();
  const longest = new Uint8Array(65_536);
  const recipients = Array.from({ length: 32 }, (_, nth) => `age1${nth}`.padEnd(4096, "q"));
  let parts = 0;
  for (let nth = 0; nth < 100; nth++) {
    const name = pack(nth.toString(16).padStart(64, "0"));
    const files = part.add({ name, offsetBytes: 65_536, header: longest });
    if (!files) continue;
    parts++;
    assert(encodeHeaders({ ...SAMPLE, recipients, files }).length <= MAX_HEADERS_BYTES);
  }
  assert(parts >= 2);
});

Deno.test("salvageHeaders() gives the whole lines of a damaged document and the numbers of the others", () => {
  const damaged = bytesOf(withLine(9, LINES[8]!.replace("65536", "6?536")));
  damaged[3] = 0xff;
  const { files, lostLines } = salvageHeaders(damaged);
  assertEquals(lostLines, [9]);
  assertEquals(files, [{ ...SAMPLE.files[0]!, line: 8 }, { ...SAMPLE.files[2]!, line: 10 }]);
  assertEquals(salvageHeaders(bytesOf(TEXT.slice(0, -4))).lostLines, [10]);
  assertEquals(salvageHeaders(new Uint8Array(0)), { files: [], lostLines: [] });
});
