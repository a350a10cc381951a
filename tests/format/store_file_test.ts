/** store.json: the way into a store. Other tools' files, later versions and unknown features are refused by name. */
import { assert, assertEquals, assertInstanceOf, assertThrows } from "@std/assert";
import { OperatorError } from "../../src/errors.ts";
import { encodeCanonicalJson } from "../../src/format/canonical_json.ts";
import { decodeStoreFile, encodeStoreFile, type StoreFile } from "../../src/format/store_file.ts";
import { forRounds, pick } from "../seeded.ts";
import { assertRefused, bytesOf, textOf } from "./refusals.ts";
import { STORE_FILE } from "./samples.ts";

function refused(document: unknown, ...parts: string[]): void {
  const bytes = typeof document === "string" ? bytesOf(document) : encodeCanonicalJson(document);
  assertRefused(() => decodeStoreFile(bytes, "store.json"), "format", "Cannot read store.json", ...parts);
}

Deno.test("decodeStoreFile() gives back what encodeStoreFile() took", () => {
  forRounds(100, (below) => {
    const file: StoreFile = {
      ...STORE_FILE,
      case: pick(below, [null, "", "2026-017", "Fall 7 / Ä€😀\n", "x".repeat(256)]),
      createdAt: new Date(below(2 ** 31) * 1000 + below(1000)).toISOString(),
      mixedCases: below(2) === 0,
      writeVersion: below(3),
    };
    const bytes = encodeStoreFile(file);
    assertEquals(decodeStoreFile(bytes, "store.json"), file);
    assertEquals(encodeStoreFile(decodeStoreFile(bytes, "store.json")), bytes);
  });
});

Deno.test("encodeStoreFile() writes the text of store-format.md", () => {
  assertEquals(
    textOf(encodeStoreFile(STORE_FILE)),
    '{"case":"2026-017","createdAt":"2026-01-02T03:04:05.678Z","features":[],' +
      '"id":"00112233445566778899aabbccddeeff","mixedCases":false,' +
      '"mode":"plain","readVersion":1,"type":"coldcase-store","writeVersion":1}',
  );
});

Deno.test("decodeStoreFile() refuses a later version by its number, whatever else the file says", () => {
  for (const readVersion of [1, 2, 99]) {
    const fault = `has version ${readVersion}, this program reads version 1`;
    refused({ ...STORE_FILE, readVersion }, fault);
    refused({ readVersion, type: "coldcase-store" }, fault);
    refused({ ...STORE_FILE, mode: "age", readVersion, recipients: [{ key: "age1…" }] }, fault);
  }
  const later = encodeCanonicalJson({ ...STORE_FILE, readVersion: 3 });
  const error = assertThrows(() => decodeStoreFile(later, "store.json"), OperatorError);
  assertInstanceOf(error, OperatorError);
  assertEquals(error.facts, { version: 3 });
  assert(error.hints.length > 0);
});

Deno.test("decodeStoreFile() refuses an unknown feature by its name", () => {
  refused(
    { ...STORE_FILE, features: ["age-v1"] },
    'needs the feature "age-v1", which this version does not know',
  );
  refused({ ...STORE_FILE, features: ["a", "b"] }, 'needs the feature "a"');
  refused({ ...STORE_FILE, features: [7] }, "store.json.features[0]: is 7");
  refused({ ...STORE_FILE, features: "age" }, "store.json.features");
  refused({ ...STORE_FILE, features: new Array(65).fill("a") }, "at most 64 elements");
});

Deno.test("decodeStoreFile() refuses another tool's file", () => {
  refused('{"created":"2020-01-01","id":"5f","version":2}', "store.json.created", "no such member");
  refused(
    { ...STORE_FILE, type: "other-store" },
    'store.json.type: is "other-store", expected "coldcase-store"',
  );
  refused({ name: "package", type: "module" }, 'store.json.type: is "module"');
  for (const other of ["{}", "[]", "null", "true", "0", '""']) refused(other);
  refused("{ }", "canonical JSON");
  refused("", "not JSON");
  refused("[repository]\nversion = 1\n", "not JSON");
});

Deno.test("decodeStoreFile() refuses members that are missing, unknown, or of another type", () => {
  for (const member of Object.keys(STORE_FILE)) {
    const copy: Record<string, unknown> = { ...STORE_FILE };
    delete copy[member];
    refused(copy, `store.json.${member}: is nothing`);
    refused({ ...STORE_FILE, [member]: { a: 1 } }, `store.json.${member}`);
  }
  refused({ ...STORE_FILE, note: 1 }, "store.json.note", "expected no such member");
  refused({ ...STORE_FILE, readVersion: "0" }, "store.json.readVersion");
  refused({ ...STORE_FILE, readVersion: null }, "store.json.readVersion");
  refused({ ...STORE_FILE, mode: "encrypted" }, 'store.json.mode: is "encrypted", expected "plain"');
  refused({ ...STORE_FILE, case: "x".repeat(257) }, "store.json.case");
  refused({ ...STORE_FILE, createdAt: "2026-02-30T00:00:00.000Z" }, "store.json.createdAt");
});

Deno.test("decodeStoreFile() refuses more than 64 KiB, and bytes around the document", () => {
  assertRefused(
    () => decodeStoreFile(new Uint8Array(65_537), "store.json"),
    "format",
    "at most 65536 are allowed",
  );
  const text = textOf(encodeStoreFile(STORE_FILE));
  for (const other of [`${text}\n`, `\ufeff${text}`, ` ${text}`, `${text}{}`, `${text}\0`]) refused(other);
});
