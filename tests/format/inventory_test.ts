/** Inventories: one set of files has one text; every other line, order, name, size or byte is refused. */
import { assert, assertEquals } from "@std/assert";
import { decodeInventory, encodeInventory, type Inventory } from "../../src/format/inventory.ts";
import type { StoredObject } from "../../src/model.ts";
import { type Below, forRounds, pick } from "../seeded.ts";
import { assertRefused, bytesOf, digestOf, randomDigest, textOf } from "./refusals.ts";
import { INVENTORY } from "./samples.ts";

const TEXT = textOf(encodeInventory(INVENTORY));

function refused(text: string, ...parts: string[]): void {
  assertRefused(() => decodeInventory(bytesOf(text)), "format", "Cannot read inventory", ...parts);
}

/** The sample's text with these file lines, and their number where none is given. */
function listing(lines: readonly string[], count: string | number = lines.length): string {
  const header = TEXT.split("\n").slice(0, 8);
  return [...header, `files ${count}`, ...lines, ""].join("\n");
}

function randomFile(below: Below): StoredObject {
  const digest = randomDigest(below);
  const name = pick(below, [
    `packs/${digest.slice(0, 2)}/${digest}.pack`,
    `documents/${digest}.json`,
    pick(below, ["a", "a.b", "a-b", "a/b", "a0", "a.", "a..b", "0"]),
  ]);
  // The size follows from the name, so that a name drawn twice is the same file.
  return {
    name,
    sizeBytes: name.length < 5 ? 5 : pick(below, [0, 1, below(2 ** 31), Number.MAX_SAFE_INTEGER]),
  };
}

Deno.test("decodeInventory() gives back the files that encodeInventory() took, sorted and each once", () => {
  forRounds(150, (below) => {
    const files = Array.from({ length: pick(below, [0, 1, 2, 60]) }, () => randomFile(below));
    const twice = [...files, ...files.slice(0, below(3))];
    const inventory: Inventory = {
      ...INVENTORY,
      parent: pick(below, [null, INVENTORY.parent]),
      commitment: randomDigest(below),
      map: pick(below, [null, INVENTORY.map]),
      files: twice,
    };
    const bytes = encodeInventory(inventory);
    const decoded = decodeInventory(bytes);
    const byName = new Map(files.map((file) => [file.name, file]));
    const expected = [...byName.keys()].sort().map((name) => byName.get(name)!);
    assertEquals(decoded, { ...inventory, files: expected });
    assertEquals(encodeInventory(decoded), bytes);
  });
});

Deno.test("encodeInventory() writes the text of store-format.md", () => {
  const digest = digestOf("1b");
  const files = [{ name: "store.json", sizeBytes: 163 }, { name: `packs/1b/${digest}.pack`, sizeBytes: 831 }];
  assertEquals(
    textOf(encodeInventory({ ...INVENTORY, parent: null, map: null, files })),
    "coldcase-inventory 1\nexhibit ex-0123456789abcdef\nsnapshot snap-0123456789abcdef0\nparent -\n" +
      `commitment ${INVENTORY.commitment}\nmanifest ${
        digestOf("3a")
      }\nmap -\ncommitted 2026-01-02T04:05:06.789Z\nfiles 2\n` +
      `831 packs/1b/${digest}.pack\n163 store.json\n`,
  );
});

Deno.test("encodeInventory() refuses one name with two sizes", () => {
  const files = [{ name: "a", sizeBytes: 1 }, { name: "b", sizeBytes: 1 }, { name: "a", sizeBytes: 2 }];
  assertRefused(() => encodeInventory({ ...INVENTORY, files }), "format", '"a" has two sizes');
});

Deno.test("decodeInventory() refuses files that are not in order, or twice", () => {
  assertEquals(decodeInventory(bytesOf(listing(["1 a", "2 b", "3 b.c", "4 b/c", "5 b0"]))).files.length, 5);
  refused(listing(["1 b", "2 a"]), "line 11 is not in order");
  refused(listing(["1 a", "1 a"]), "line 11 is not in order");
  refused(listing(["1 a", "2 a"]), "line 11 is not in order");
  refused(listing(["1 a/b", "1 a.b"]), "line 11 is not in order");
});

Deno.test("decodeInventory() refuses names that leave the store or are not its own", () => {
  const names = [
    "../x",
    "a/../x",
    "a/..",
    "..",
    ".",
    "./a",
    "a/./b",
    "/a",
    "/",
    "a/",
    "a//b",
    "A",
    "a/B",
    "Packs/1b",
    "c:/a",
    "a\\b",
    "a b",
    " a",
    "a ",
    "-a",
    "_a",
    ".git",
    "a/-b",
    "a/.b",
    "~",
    "%61",
    "",
    "a\tb",
    "a\0b",
  ];
  for (const name of names) refused(listing([`1 ${name}`]));
  refused(listing(["1 ../x"]), "line 10 is not a size and a name");
});

Deno.test("decodeInventory() refuses sizes with leading zeros, signs, points, and beyond safe integers", () => {
  for (const size of ["00", "01", "+1", "-1", "1.0", "1e3", "0x1", "", " 1", "1 ", "1_000", "NaN"]) {
    refused(listing([`${size} a`]), "line 10 is not a size and a name");
  }
  for (const size of ["9007199254740992", "9999999999999999", "10000000000000000"]) {
    refused(listing([`${size} a`]), "line 10 is not a size and a name");
  }
  for (const size of [0, 1, Number.MAX_SAFE_INTEGER]) {
    assertEquals(decodeInventory(bytesOf(listing([`${size} a`]))).files, [{ name: "a", sizeBytes: size }]);
  }
});

Deno.test("decodeInventory() refuses a count that is not that of its lines", () => {
  for (const count of [0, 1, 3, "02", "2.0", " 2", "-2", ""]) {
    refused(listing(["1 a", "2 b"], count), "lists 2");
  }
  refused(listing([], 1), "says 1 files, lists 0");
  assertEquals(decodeInventory(bytesOf(listing([]))).files, []);
});

Deno.test("decodeInventory() refuses other ends of lines, and a last line without one", () => {
  refused(TEXT.replaceAll("\n", "\r\n"), "not printable ASCII");
  refused(TEXT.replace("\n", "\r\n"), "not printable ASCII");
  refused(TEXT.slice(0, -1), "does not end with a newline");
  refused(`${TEXT}\n`, "is not a size and a name");
  refused(`\n${TEXT}`, "does not start with the line");
  refused(TEXT.replace("\nsnapshot", "\n\nsnapshot"), 'line 3 is not "snapshot …"');
  refused(`${TEXT} `, "does not end with a newline");
});

Deno.test("decodeInventory() refuses every byte that is not printable ASCII", () => {
  const bytes = bytesOf(TEXT);
  for (let byte = 0; byte < 256; byte++) {
    if (byte === 0x0a || (byte >= 0x20 && byte <= 0x7e)) continue;
    const copy = new Uint8Array(bytes);
    copy[copy.length - 2] = byte;
    assertRefused(() => decodeInventory(copy), "format", "not printable ASCII");
  }
  refused(`\ufeff${TEXT}`, "not printable ASCII");
});

Deno.test("decodeInventory() refuses an inventory that is cut off anywhere", () => {
  const bytes = bytesOf(TEXT);
  for (let length = 0; length < bytes.length; length++) {
    assertRefused(() => decodeInventory(bytes.subarray(0, length)), "format", "Cannot read inventory");
  }
});

Deno.test("decodeInventory() names a version from the future, and refuses another tool's file", () => {
  for (const version of [0, 2, 10, 17]) {
    const later = TEXT.replace("inventory 1", `inventory ${version}`);
    refused(later, `has version ${version}, this program reads version 1`);
    refused(`coldcase-inventory ${version}\nother lines\n`, `has version ${version}`);
  }
  for (
    const first of ["coldcase-inventory", "coldcase-inventory 00", "coldcase-inventory 01", "inventory 1", ""]
  ) {
    refused(
      TEXT.replace("coldcase-inventory 1", first),
      'does not start with the line "coldcase-inventory 1"',
    );
  }
});

Deno.test("decodeInventory() refuses header lines that are missing, in another order, or of another form", () => {
  const lines = TEXT.split("\n");
  const keys = ["exhibit", "snapshot", "parent", "commitment", "manifest", "map", "committed", "files"];
  for (const [at, key] of keys.entries()) {
    refused(lines.toSpliced(at + 1, 1).join("\n"), `line ${at + 2} is not "${key} …"`);
    refused(lines.toSpliced(at + 1, 1, key).join("\n"), `line ${at + 2} is not "${key} …"`);
    refused(lines.toSpliced(at + 1, 1, `${key} x`).join("\n"));
    refused(lines.toSpliced(at + 1, 1, `${key}  ${lines[at + 1]!.slice(key.length + 1)}`).join("\n"));
    refused(lines.toSpliced(at + 1, 1, `${lines[at + 1]} `).join("\n"));
  }
  refused(lines.toSpliced(1, 2, lines[2]!, lines[1]!).join("\n"), 'line 2 is not "exhibit …"');
  refused(TEXT.replace(digestOf("3a"), digestOf("3A")), "inventory.manifest");
  refused(TEXT.replace(digestOf("3c"), digestOf("3C")), "inventory.map");
  refused(TEXT.replace(INVENTORY.commitment, "-"), "inventory.commitment");
  refused(TEXT.replace(`manifest ${digestOf("3a")}`, "manifest -"), "inventory.manifest");
  refused(TEXT.replace("2026-01-02T04:05:06.789Z", "2026-01-32T04:05:06.789Z"), "inventory.committed");
  const { parent, map } = decodeInventory(bytesOf(TEXT));
  assert(parent !== null && map !== null);
});
