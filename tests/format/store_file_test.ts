/** store.json: the way into a store. Other tools' files, later versions and unknown features are refused by name. */
import { assert, assertEquals, assertInstanceOf, assertThrows } from "@std/assert";
import { createHash } from "node:crypto";
import { OperatorError } from "../../src/errors.ts";
import { encodeCanonicalJson } from "../../src/format/canonical_json.ts";
import {
  decodeStoreFile,
  encodeStoreFile,
  MAX_STORE_FILE_BYTES,
  type StoreFile,
} from "../../src/format/store_file.ts";
import { forRounds, pick } from "../seeded.ts";
import { assertRefused, bytesOf, textOf } from "./refusals.ts";
import { RECIPIENTS, STORE_FILE, wrongRecipients } from "./samples.ts";

const ENCRYPTED: StoreFile = { ...STORE_FILE, mode: "encrypted", recipients: RECIPIENTS };

/** The document with the digest that makes it whole: what is refused is refused for what it says. */
function whole(document: object): object {
  const digest = createHash("sha256").update(encodeCanonicalJson(document)).digest("hex");
  return { ...document, digest };
}

function refused(document: unknown, ...parts: string[]): void {
  const isPlain = typeof document === "object" && document !== null && !Array.isArray(document);
  const bytes = typeof document === "string"
    ? bytesOf(document)
    : encodeCanonicalJson(isPlain ? whole(document) : document);
  assertRefused(() => decodeStoreFile(bytes, "store.json"), "format", "Cannot read store.json", ...parts);
}

Deno.test("decodeStoreFile() gives back what encodeStoreFile() took", () => {
  forRounds(100, (below) => {
    const file: StoreFile = {
      ...STORE_FILE,
      case: pick(below, [null, "", "2026-017", "Fall 7 / Ä€😀\n", "x".repeat(256)]),
      createdAt: new Date(below(2 ** 31) * 1000 + below(1000)).toISOString(),
      mixedCases: below(2) === 0,
      writeVersion: 1 + below(3),
      ...pick(below, [
        { mode: "plain", recipients: null } as const,
        { mode: "encrypted", recipients: RECIPIENTS } as const,
        { mode: "encrypted", recipients: { contents: ["age1€"], lineage: null } } as const,
      ]),
    };
    const bytes = encodeStoreFile(file);
    assertEquals(decodeStoreFile(bytes, "store.json"), file);
    assertEquals(encodeStoreFile(decodeStoreFile(bytes, "store.json")), bytes);
  });
});

const WITHOUT_DIGEST = '{"case":"2026-017","createdAt":"2026-01-02T03:04:05.678Z","features":[],' +
  '"id":"00112233445566778899aabbccddeeff","mixedCases":false,' +
  '"mode":"plain","readVersion":1,"recipients":null,"type":"coldcase-store","writeVersion":1}';

Deno.test("encodeStoreFile() writes the text of store-format.md", () => {
  assertEquals(
    textOf(encodeStoreFile(STORE_FILE)),
    '{"case":"2026-017","createdAt":"2026-01-02T03:04:05.678Z",' +
      `"digest":"${createHash("sha256").update(WITHOUT_DIGEST).digest("hex")}","features":[],` +
      '"id":"00112233445566778899aabbccddeeff","mixedCases":false,' +
      '"mode":"plain","readVersion":1,"recipients":null,"type":"coldcase-store","writeVersion":1}',
  );
});

Deno.test("decodeStoreFile() refuses another version by its number, whatever else the file says", () => {
  for (const readVersion of [0, 2, 99]) {
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
  refused({ ...STORE_FILE, readVersion: "1" }, "store.json.readVersion");
  refused({ ...STORE_FILE, readVersion: null }, "store.json.readVersion");
  refused({ ...STORE_FILE, writeVersion: 0 }, "store.json.writeVersion");
  refused({ ...STORE_FILE, mode: "age" }, 'store.json.mode: is "age"');
  refused({ ...ENCRYPTED, recipients: null }, "is encrypted, with no recipients");
  refused({ ...ENCRYPTED, mode: "plain" }, "is plain, with recipients");
  for (const [place, recipients] of wrongRecipients()) {
    refused({ ...ENCRYPTED, recipients }, `store.json.${place}`);
  }
  refused({ ...STORE_FILE, case: "x".repeat(257) }, "store.json.case");
  refused({ ...STORE_FILE, createdAt: "2026-02-30T00:00:00.000Z" }, "store.json.createdAt");
});

Deno.test("decodeStoreFile() refuses a store file without a digest, or with another form of one", () => {
  const refusedAsItIs = (document: object, ...parts: string[]) =>
    refused(textOf(encodeCanonicalJson(document)), ...parts);
  refusedAsItIs(STORE_FILE, "store.json.digest: is nothing");
  const { digest } = whole(STORE_FILE) as { digest: string };
  for (const other of [null, 7, "", digest.slice(1), `${digest}0`, digest.toUpperCase(), `0x${digest}`]) {
    refusedAsItIs({ ...STORE_FILE, digest: other }, "store.json.digest");
  }
});

Deno.test("decodeStoreFile() does not accept members that its digest is not of, saying both digests", () => {
  const { digest: stated } = whole(STORE_FILE) as { digest: string };
  const changes: Partial<StoreFile>[] = [
    { case: null },
    { case: "2026-018" },
    { createdAt: "2026-01-02T03:04:05.679Z" },
    { id: "00112233445566778899aabbccddeefe" },
    { mixedCases: true },
    { mode: "encrypted", recipients: RECIPIENTS },
    { writeVersion: 2 },
  ];
  for (const change of changes) {
    const { digest } = whole({ ...STORE_FILE, ...change }) as { digest: string };
    const bytes = encodeCanonicalJson({ ...STORE_FILE, ...change, digest: stated });
    const parts = ["Cannot accept store.json", `is ${digest}`, `says ${stated}`] as const;
    assertRefused(() => decodeStoreFile(bytes, "store.json"), "integrity", ...parts);
  }
  const error = assertThrows(
    () => decodeStoreFile(encodeCanonicalJson({ ...STORE_FILE, digest: "0".repeat(64) }), "store.json"),
    OperatorError,
  );
  assertInstanceOf(error, OperatorError);
  assertEquals([error.code, error.facts], ["integrity", { file: "store.json" }]);
});

Deno.test("decodeStoreFile() refuses a store file with any one bit flipped, and says that it is damaged", () => {
  for (const file of [STORE_FILE, ENCRYPTED]) {
    const bytes = encodeStoreFile(file);
    let damaged = 0;
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const flipped = bytes.slice();
      flipped[bit >> 3]! ^= 1 << (bit & 7);
      const error = assertThrows(
        () => decodeStoreFile(flipped, "store.json"),
        OperatorError,
        undefined,
        `bit ${bit}`,
      );
      assertInstanceOf(error, OperatorError);
      assert(error.code === "format" || error.code === "integrity", `bit ${bit}: ${error.message}`);
      if (error.code === "integrity") damaged++;
    }
    // What is well-formed with the bit flipped is told by the digest alone: at least that of the digest's own digits.
    assert(damaged > 64, `${damaged} flips were told by the digest`);
  }
});

Deno.test("decodeStoreFile() refuses more than 256 KiB, and bytes around the document", () => {
  assertEquals(MAX_STORE_FILE_BYTES, 262_144);
  assertRefused(
    () => decodeStoreFile(new Uint8Array(262_145), "store.json"),
    "format",
    "at most 262144 are allowed",
  );
  const text = textOf(encodeStoreFile(STORE_FILE));
  for (const other of [`${text}\n`, `\ufeff${text}`, ` ${text}`, `${text}{}`, `${text}\0`]) refused(other);
  const longest = {
    contents: new Array(32).fill("x".repeat(4096)),
    lineage: new Array(20).fill("x".repeat(4096)),
  };
  const file: StoreFile = { ...ENCRYPTED, recipients: longest };
  assertEquals(decodeStoreFile(encodeStoreFile(file), "store.json"), file);
});
