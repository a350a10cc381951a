/**
 * Vectors of the inventory (its grammar, what it says, what it leaves out) and of the files that it names: gone,
 * of another size, swapped, links. The inventories are signed but for those whose signature is the matter.
 */
import { bytesIn, EXHIBIT, FOLDER, forge, OTHER_KEY, sign, swapped, textOf } from "./forge.ts";
import type { Files } from "./files.ts";
import { bytesOf } from "./forge.ts";
import { type Bases, closed, found, unusable, type Vector, type Verdict } from "./vector.ts";

const INVENTORY = /\/inventory-[0-9a-f]{64}\.txt$/;

function grammar(name: string, about: string, inventory: (text: string) => string | Uint8Array): Vector {
  return {
    name: `inventory_${name}`,
    about: `a signed inventory: ${about}`,
    section: "Inventory",
    file: INVENTORY,
    make: ({ plain }) => forge(plain, { inventory }),
    ...unusable("format"),
  };
}

const instead = (from: string | RegExp, to: string) => (text: string) => swapped(text, from, to);

/** The first of the files, its line written another way. */
const firstFile = (change: (size: string, name: string) => string) => (text: string) => {
  const [, line, size, name] = /^files \d+\n((\d+) (.*))$/m.exec(text)!;
  return swapped(text, line!, change(size!, name!));
};

/** A line more, and the count that fits. */
const oneMore = (line: string, where: "first" | "last") => (text: string) => {
  const count = Number(/^files (\d+)$/m.exec(text)![1]);
  const counted = swapped(text, `files ${count}\n`, `files ${count + 1}\n`);
  return where === "last"
    ? `${counted}${line}\n`
    : swapped(counted, `files ${count + 1}\n`, `files ${count + 1}\n${line}\n`);
};

const GRAMMAR: readonly Vector[] = [
  grammar(
    "version_future",
    "a version from the future",
    instead("coldcase-inventory 1", "coldcase-inventory 2"),
  ),
  grammar(
    "version_0",
    "version 0, which version 1 refuses",
    instead("coldcase-inventory 1", "coldcase-inventory 0"),
  ),
  grammar("other_first_line", "another first line", instead("coldcase-inventory 1", "Coldcase-Inventory 1")),
  grammar("head_in_other_order", "two lines of the head in the other order", (text) => {
    const lines = text.split("\n");
    return [lines[0], lines[2], lines[1], ...lines.slice(3)].join("\n");
  }),
  grammar("lacks_head_line", "no line for the parent", instead("parent -\n", "")),
  grammar("no_final_newline", "the last byte is no LF", (text) => text.slice(0, -1)),
  grammar("empty_line", "an empty line at the end", (text) => `${text}\n`),
  grammar("carriage_returns", "lines that end in CR LF", (text) => text.replaceAll("\n", "\r\n")),
  grammar("tab", "a tab for a blank", firstFile((size, name) => `${size}\t${name}`)),
  grammar("two_blanks", "two blanks for one", firstFile((size, name) => `${size}  ${name}`)),
  grammar("byte_above_ascii", "a byte that is not ASCII", (text) => {
    const bytes = bytesOf(text);
    bytes[bytes.length - 3] = 0xe9;
    return bytes;
  }),
  grammar("byte_order_mark", "a byte-order mark before it", (text) => `\ufeff${text}`),
  grammar("leading_zero", "a size with a leading zero", firstFile((size, name) => `0${size} ${name}`)),
  grammar("unsafe_size", "a size of 2^53", firstFile((_, name) => `9007199254740992 ${name}`)),
  grammar("count_wrong", "a count that is not that of the lines", instead(/^files \d+$/m, "files 4")),
  grammar("not_sorted", "two files in the other order", (text) => {
    const lines = text.split("\n");
    return [...lines.slice(0, 9), lines[10], lines[9], ...lines.slice(11)].join("\n");
  }),
  grammar(
    "file_twice",
    "one file twice",
    (text) => oneMore(/^files \d+\n(.*)$/m.exec(text)![1]!, "first")(text),
  ),
  grammar("name_up", "a name that leads out of the store", oneMore("1 ../x", "first")),
  grammar("name_absolute", "a name that starts at the root", oneMore("1 /etc/passwd", "first")),
  grammar("name_in_capitals", "a name in capitals", oneMore("1 Zeta", "first")),
  grammar("name_empty_part", "a name with an empty part", oneMore("1 zeta//x", "last")),
  grammar("name_hidden", "a name with a part that starts with a dot", oneMore("1 zeta/.x", "last")),
  grammar("parent_empty", "no parent, and no - for it", instead("parent -", "parent ")),
  grammar(
    "time_not_on_calendar",
    "committed on 30 February",
    instead(/^committed .*$/m, "committed 2026-02-30T00:00:00.000Z"),
  ),
  grammar(
    "time_without_milliseconds",
    "a time without its decimals",
    instead(/^committed .*$/m, "committed 2026-01-02T03:04:06Z"),
  ),
  grammar("empty", "a file of no bytes", () => ""),
];

/** What contradicts the manifest. */
function against(name: string, about: string, inventory: (text: string) => string): Vector {
  return { ...grammar(name, about, inventory), ...unusable("integrity") };
}

/** What it leaves out or adds. */
function listing(
  name: string,
  about: string,
  lines: (lines: string[]) => string[],
  verdict: Verdict,
): Vector {
  return {
    name: `inventory_${name}`,
    about: `a signed inventory: ${about}`,
    section: "Inventory",
    file: INVENTORY,
    make: ({ plain }) => forge(plain, { lines }),
    ...verdict,
  };
}

const without = (start: string) => (lines: string[]) => {
  const at = lines.findIndex((line) => line.includes(` ${start}`));
  return lines.filter((_, position) => position !== at);
};
const plus = (line: string) => (lines: string[]) =>
  [...lines, line].sort((a, b) => a.split(" ")[1]! < b.split(" ")[1]! ? -1 : 1);
const ZEROS = "0".repeat(64);

const LISTINGS: readonly Vector[] = [
  against(
    "of_another_exhibit",
    "it names another exhibit",
    instead(`exhibit ${EXHIBIT}`, "exhibit ex-000000000000002b"),
  ),
  against(
    "of_another_snapshot",
    "it names another snapshot",
    instead(/^snapshot .*$/m, "snapshot snap-0123456789abcdef1"),
  ),
  against(
    "of_another_parent",
    "it names a parent, the manifest has none",
    instead("parent -", "parent ex-0000000000000001"),
  ),
  listing("lacks_manifest", "the manifest is not in it", without("exhibits/"), found("file_missing")),
  listing("lacks_segment", "a segment is not in it", without("segments/"), found("file_missing")),
  listing("lacks_document", "a side document is not in it", without("documents/"), found("file_missing")),
  listing("lacks_pack", "a pack that holds blocks is not in it", without("packs/"), found("block_missing")),
  listing(
    "surplus_segment",
    "a segment that the manifest does not name",
    plus(`2 segments/00/${ZEROS}.json`),
    found("file_missing"),
  ),
  listing(
    "surplus_document",
    "a document that the manifest does not name",
    plus(`2 documents/${ZEROS}.json`),
    found("file_missing"),
  ),
  listing(
    "surplus_manifest",
    "a second manifest",
    plus(`2 ${FOLDER}/manifest-${ZEROS}.json`),
    found("file_missing"),
  ),
  listing("foreign_name", "a file that is none of a store", plus("2 zeta/notes.txt"), found("file_damaged")),
  {
    ...listing("wrong_size", "a pack's size is not that of the file", (lines) => {
      const at = lines.findIndex((line) => line.includes(" packs/"));
      return lines.map((line, position) =>
        position === at ? line.replace(/^\d+/, (size) => String(Number(size) + 1)) : line
      );
    }, found("file_size")),
    file: (files) => [...files.keys()].find((name) => name.startsWith("packs/"))!,
  },
];

/** What is done to one of the files that a base has. */
function fileVector(
  name: string,
  about: string,
  pattern: RegExp,
  rest: Verdict & { change(files: Files, name: string): void; readonly section?: string },
): Vector {
  const { change, section, ...verdict } = rest;
  return {
    name,
    about,
    section: section ?? "Layout",
    file: (_, { plain }) => firstOf(plain, pattern),
    make({ plain }) {
      const files: Files = new Map(plain);
      change(files, firstOf(plain, pattern));
      return files;
    },
    ...verdict,
  };
}

function firstOf(files: Files, pattern: RegExp): string {
  const name = [...files.keys()].find((candidate) => pattern.test(candidate));
  if (name === undefined) throw new Error(`no file matches ${pattern}`);
  return name;
}

const flip = (files: Files, name: string) =>
  files.set(name, bytesIn(files, name).map((byte, at, { length }) => at === length >> 1 ? byte ^ 4 : byte));
const gone = (files: Files, name: string) => files.delete(name);
const linked = (files: Files, name: string) =>
  files.set("aside", bytesIn(files, name)).set(name, { link: "../../aside" });
/** A folder in the place of the file. */
const folder = (files: Files, name: string) => {
  files.delete(name);
  files.set(`${name}/x`, new Uint8Array());
};
const PACK = /^packs\//;
const SEGMENT = /^segments\//;
const DOCUMENT = /^documents\//;

const swappedFiles = (pattern: RegExp) => ({ plain }: Bases): Files => {
  const names = [...plain.keys()].filter((name) => pattern.test(name));
  return new Map(plain).set(names[0]!, plain.get(names[1]!)!).set(names[1]!, plain.get(names[0]!)!);
};

const FILES: readonly Vector[] = [
  fileVector("pack_missing", "a pack is gone", PACK, { change: gone, ...found("file_missing") }),
  fileVector("segment_missing", "a segment is gone", SEGMENT, { change: gone, ...found("file_missing") }),
  fileVector("document_missing", "a side document is gone", DOCUMENT, {
    change: gone,
    ...found("file_missing"),
  }),
  fileVector("pack_changed_bit", "one bit of a pack was flipped", PACK, {
    change: flip,
    ...found("file_damaged"),
  }),
  fileVector("segment_changed_bit", "one bit of a segment was flipped", SEGMENT, {
    change: flip,
    ...found("segment_unusable"),
  }),
  fileVector("document_changed_bit", "one bit of a side document was flipped", DOCUMENT, {
    change: flip,
    ...found("file_damaged"),
  }),
  fileVector("inventory_changed_bit", "one bit of the inventory was flipped", INVENTORY, {
    change: flip,
    section: "Inventory",
    ...unusable("integrity"),
  }),
  fileVector("pack_cut_off", "a pack's last byte is gone", PACK, {
    change: (files, name) => files.set(name, bytesIn(files, name).slice(0, -1)),
    ...found("file_size"),
  }),
  fileVector("pack_longer", "a byte more at a pack's end", PACK, {
    change: (files, name) => files.set(name, Uint8Array.of(...bytesIn(files, name), 0)),
    ...found("file_size"),
  }),
  fileVector("pack_link", "a symbolic link in place of a pack", PACK, {
    change: linked,
    ...found("file_damaged", "format"),
  }),
  fileVector("segment_link", "a symbolic link in place of a segment", SEGMENT, {
    change: linked,
    ...found("file_damaged", "format"),
  }),
  fileVector("document_folder", "a folder in place of a side document", DOCUMENT, {
    change: folder,
    ...found("file_damaged", "format"),
  }),
  fileVector("inventory_link", "a symbolic link in place of the inventory", INVENTORY, {
    change: linked,
    section: "Inventory",
    ...unusable("format"),
  }),
  {
    name: "packs_swapped",
    about: "two packs lie under each other's name",
    section: "Layout",
    make: swappedFiles(PACK),
    file: (files) => firstOf(files, PACK),
    ...found("file_damaged"),
  },
  {
    name: "segments_swapped",
    about: "two segments lie under each other's name",
    section: "Layout",
    make: swappedFiles(SEGMENT),
    file: (files) => firstOf(files, SEGMENT),
    ...found("segment_unusable"),
  },
  {
    name: "packs_folder_link",
    about: "a symbolic link in place of the folder of packs",
    section: "Layout",
    make: ({ plain }) =>
      new Map([...plain].map(([name, entry]) => [name.replace(PACK, "aside/"), entry] as const)).set(
        "packs",
        { link: "aside" },
      ),
    file: () => "packs",
    ...closed("format"),
  },
];

const UNSIGNED = (files: Files) =>
  new Map([...files].filter(([name]) => !/\/inventory-.*\.(sshsig|ed25519)$/.test(name)));

const COMMITTED: readonly Vector[] = [
  {
    name: "exhibit_without_inventory",
    about: "the inventory is gone: there is no exhibit",
    section: "Inventory",
    make: ({ plain }) => new Map([...plain].filter(([name]) => !/\/inventory-/.test(name))),
    expect: "not_found",
    exit: 10,
    reader: 2,
  },
  {
    name: "exhibit_without_signature",
    about: "the inventory is not signed: there is no exhibit",
    section: "Signatures",
    make: ({ plain }) => UNSIGNED(plain),
    expect: "not_found",
    exit: 10,
    reader: 2,
  },
  {
    name: "inventories_of_two_manifests",
    about: "two signed inventories of one exhibit name different manifests",
    section: "Inventory",
    async make({ plain }) {
      const other = await forge(plain, { manifest: { "acquisition.retries": 5 } });
      return new Map([...plain, ...other]);
    },
    ...unusable("integrity"),
  },
  {
    name: "inventory_newest_lacks_pack",
    about: "a later inventory, signed, leaves a pack out: it is the one that counts",
    section: "Inventory",
    async make({ plain }) {
      const later = await forge(plain, {
        lines: without("packs/"),
        inventory: instead(/^committed .*$/m, "committed 2026-01-02T03:04:06.001Z"),
      });
      return new Map([...plain, ...later]);
    },
    file: (files) =>
      [...files.keys()].find((name) =>
        INVENTORY.test(name) && textOf(bytesIn(files, name)).includes("06.001Z")
      )!,
    ...found("block_missing"),
  },
  {
    name: "inventory_older_not_signed_well",
    about: "an older inventory has a signature that does not hold: which one is the newest is not known",
    section: "Signatures",
    async make({ plain }) {
      const older = await forge(plain, {
        inventory: instead(/^committed .*$/m, "committed 2026-01-02T03:04:05.999Z"),
      });
      const name = [...older.keys()].find((one) => INVENTORY.test(one) && !plain.has(one))!;
      await sign(older, name, { namespace: "coldcase-inventory@v1", bytes: bytesOf("something else") });
      return new Map([...plain, ...older]);
    },
    file: (files) =>
      [...files.keys()].find((name) =>
        INVENTORY.test(name) && textOf(bytesIn(files, name)).includes("05.999Z")
      )!,
    ...unusable("integrity"),
  },
  {
    name: "signers_differ",
    about: "manifest and inventory are signed by different keys",
    section: "Signatures",
    make: ({ plain, full }) => forge(new Map([...plain, ...keysOf(full)]), { inventoryKeys: [OTHER_KEY] }),
    file: INVENTORY,
    ...unusable("integrity"),
  },
];

/** Public keys of all signers. */
export function keysOf(files: Files): Files {
  return new Map([...files].filter(([name]) => name.startsWith("keys/")));
}

export const INVENTORY_VECTORS: readonly Vector[] = [...GRAMMAR, ...LISTINGS, ...FILES, ...COMMITTED];
