/**
 * Vectors of the documents at the way in: store.json, canonical JSON in all its ways to be none, and the
 * manifest. Faults of a manifest lie behind a valid signature, but for those that are about its file.
 */
import { encodeStoreFile } from "../../src/format/store_file.ts";
import {
  bytesIn,
  bytesOf,
  edited,
  type Edits,
  FOLDER,
  FOLDER_SOURCE,
  forge,
  INSTANCE_SET,
  nameIn,
  swapped,
  textOf,
} from "./forge.ts";
import type { Files } from "./files.ts";
import { ACCEPTED, type Bases, closed, strict, unusable, type Vector } from "./vector.ts";

const MANIFEST = /\/manifest-[0-9a-f]{64}\.json$/;
const STORE = /^store\.json$/;

/** The store file with other bytes. */
function withStoreFile(change: (bytes: Uint8Array) => Uint8Array) {
  return ({ plain }: Bases): Files => new Map(plain).set("store.json", change(bytesIn(plain, "store.json")));
}

/** The store file with other members, and a digest of its own that fits. */
function withStoreMembers(edits: Edits) {
  return withStoreFile((bytes) => {
    const { digest: _, ...members } = JSON.parse(textOf(edited(bytes, edits)));
    return encodeStoreFile(members);
  });
}

const storeFile = (
  name: string,
  about: string,
  make: Vector["make"],
  expect: "format" | "integrity" = "format",
) => ({
  name: `store_file_${name}`,
  about,
  section: "Store file",
  file: STORE,
  make,
  ...closed(expect),
});

const STORE_FILE: readonly Vector[] = [
  {
    name: "store_file_missing",
    about: "a directory without store.json is no store",
    section: "Store file",
    make: ({ plain }) => new Map([...plain].filter(([name]) => name !== "store.json")),
    expect: "not_found",
    exit: 10,
    reader: 2,
  },
  storeFile(
    "changed_label",
    "a letter of the case was changed, the digest was not",
    withStoreFile((bytes) => edited(bytes, { case: "2026-018" })),
    "integrity",
  ),
  storeFile("other_type", "another tool's document", withStoreMembers({ type: "other-store" })),
  storeFile(
    "version_future",
    "a version that readers of version 1 do not know",
    withStoreMembers({ readVersion: 2, writeVersion: 2 }),
  ),
  storeFile(
    "version_0",
    "version 0, which version 1 refuses",
    withStoreMembers({ readVersion: 0, writeVersion: 0 }),
  ),
  storeFile(
    "unknown_feature",
    "a feature that this version does not know",
    withStoreMembers({ features: ["holograms"] }),
  ),
  storeFile(
    "unknown_mode",
    "files are encoded in a way that this version does not know",
    withStoreMembers({ mode: "mirrored" }),
  ),
  storeFile("unknown_member", "a member that is not in the table", withStoreMembers({ colour: "red" })),
  storeFile(
    "lacks_member",
    "a member is left out where null would be written",
    withStoreMembers({ case: undefined }),
  ),
  {
    ...storeFile("bad_id", "the id has 31 digits", withStoreMembers({ id: "0".repeat(31) })),
    ...strict(closed("format")),
  },
  {
    ...storeFile(
      "bad_time",
      "31 April, which no calendar has",
      withStoreMembers({ createdAt: "2026-04-31T00:00:00.000Z" }),
    ),
    ...strict(closed("format")),
  },
  {
    ...storeFile("long_case", "a case of 257 characters", withStoreMembers({ case: "x".repeat(257) })),
    ...strict(closed("format")),
  },
  storeFile("oversize", "larger than its limit", withStoreMembers({ case: "x".repeat(262_144) })),
  storeFile(
    "duplicate_member",
    "one member twice, with one value",
    withStoreFile((bytes) =>
      bytesOf(swapped(textOf(bytes), '"mixedCases":false', '"mixedCases":false,"mixedCases":false'))
    ),
  ),
  storeFile(
    "final_newline",
    "a newline after the document",
    withStoreFile((bytes) => bytesOf(`${textOf(bytes)}\n`)),
  ),
  storeFile(
    "link",
    "a symbolic link to the file it would be",
    ({ plain }) =>
      new Map(plain).set("store.json", { link: "store.orig" }).set(
        "store.orig",
        bytesIn(plain, "store.json"),
      ),
  ),
  {
    name: "store_file_later_writer",
    about: "writers must know version 2, readers need not: it can be read",
    section: "Versions",
    make: withStoreMembers({ writeVersion: 2 }),
    ...ACCEPTED,
  },
];

/** A manifest whose bytes are changed and then signed. */
function canonical(name: string, about: string, change: (bytes: Uint8Array) => Uint8Array): Vector {
  return {
    name: `json_${name}`,
    about: `a signed manifest: ${about}`,
    section: "Conventions",
    file: MANIFEST,
    make: ({ plain }) => forge(plain, { manifestBytes: change }),
    ...unusable("format"),
  };
}

const inText = (from: string | RegExp, to: string) => (bytes: Uint8Array) =>
  bytesOf(swapped(textOf(bytes), from, to));
const around = (before: readonly number[], after: readonly number[]) => (bytes: Uint8Array) =>
  Uint8Array.of(...before, ...bytes, ...after);

const JSON_TEXTS: readonly Vector[] = [
  canonical(
    "duplicate_member",
    "one member twice, the same value",
    inText('"retries":4', '"retries":4,"retries":4'),
  ),
  canonical(
    "duplicate_member_other_value",
    "one member twice; who takes the last sees another value",
    inText('"retries":4', '"retries":4,"retries":0'),
  ),
  canonical("fraction_of_zero", "4.0 for 4", inText('"retries":4', '"retries":4.0')),
  canonical("exponent", "4e0 for 4", inText('"retries":4', '"retries":4e0')),
  canonical("minus_zero", "-0 for 0", inText('"throttles":0', '"throttles":-0')),
  canonical("leading_zero", "04, which is no JSON", inText('"retries":4', '"retries":04')),
  canonical(
    "unsafe_integer",
    "2^53, which not every program reads as that",
    inText('"retries":4', '"retries":9007199254740992'),
  ),
  canonical("infinity", "Infinity, which is no JSON", inText('"retries":4', '"retries":Infinity')),
  canonical("escaped_letter", "A written as \\u0041", inText('"A. Examiner"', '"\\u0041. Examiner"')),
  canonical("escaped_slash", "a slash written as \\/", inText('"/cases/', '"\\/cases/')),
  canonical("lone_surrogate", "half a surrogate pair, as an escape", inText('"A. Examiner"', '"\\ud83d"')),
  canonical("white_space", "a blank after a colon", inText('"retries":4', '"retries": 4')),
  canonical(
    "member_order",
    "two members in the other order",
    inText('"retries":4,"sessions":1', '"sessions":1,"retries":4'),
  ),
  canonical("byte_order_mark", "a byte-order mark before it", around([0xef, 0xbb, 0xbf], [])),
  canonical("final_newline", "a newline after it", around([], [0x0a])),
  canonical("trailing_byte", "a zero byte after it", around([], [0])),
  canonical("second_document", "another document after it", around([], [0x7b, 0x7d])),
  canonical(
    "bad_utf8",
    "a byte that is no UTF-8",
    (bytes) => bytes.map((byte, at) => at === textOf(bytes).indexOf("A. Examiner") ? 0xff : byte),
  ),
  canonical("not_json", "no JSON at all", () => bytesOf("coldcase-manifest\n")),
  canonical("cut_off", "the last brace is missing", (bytes) => bytes.slice(0, -1)),
  canonical("array", "an array, not an object", () => bytesOf("[]")),
  canonical("empty", "a file of no bytes", () => new Uint8Array()),
];

function members(name: string, about: string, manifest: Edits, expect: "format" | "integrity"): Vector {
  return {
    name: `manifest_${name}`,
    about,
    section: "Manifest",
    file: MANIFEST,
    make: ({ plain }) => forge(plain, { manifest }),
    ...unusable(expect),
  };
}

/** The same, the image digest being that of the changed members. */
function shape(name: string, about: string, edits: Edits, expect: "format" | "integrity"): Vector {
  return {
    ...members(name, about, {}, expect),
    make: ({ plain }) => forge(plain, { manifestWithImageDigest: edits }),
  };
}

function file(
  name: string,
  about: string,
  change: (files: Files, name: string) => void,
  expect: "format" | "integrity",
): Vector {
  return {
    name: `manifest_${name}`,
    about,
    section: "Manifest",
    file: (_, { plain }) => nameIn(plain, MANIFEST),
    make({ plain }) {
      const files: Files = new Map(plain);
      change(files, nameIn(plain, MANIFEST));
      return files;
    },
    ...unusable(expect),
  };
}

const ZERO_COUNTS = { absentBlocks: 2_097_146, storedBlocks: 4, unreadableBlocks: 1, zeroBlocks: 1 };
const ANOTHER_DIGEST = "5".repeat(64);

/** A set that does not fit together: only who reads all members of the record can tell. */
function setMembers(
  name: string,
  meaning: string,
  changes: Partial<Record<keyof typeof INSTANCE_SET, unknown>>,
): Vector[] {
  const set = { ...INSTANCE_SET, ...changes };
  return [{
    ...members(`set_${name}`, meaning, { "acquisition.set": set }, "integrity"),
    ...strict(unusable("integrity")),
  }];
}

const MANIFESTS: readonly Vector[] = [
  members("other_type", "another document's type", { type: "coldcase-journal" }, "format"),
  members("version_future", "a version from the future", { version: 2 }, "format"),
  members("version_0", "version 0, which version 1 refuses", { version: 0 }, "format"),
  members("unknown_member", "a member that is not in the table", { colour: "red" }, "format"),
  {
    ...members(
      "unknown_inner_member",
      "an unknown member inside the acquisition",
      { "acquisition.colour": "red" },
      "format",
    ),
    ...strict(unusable("format")),
  },
  members(
    "lacks_member",
    "a member is left out where null would be written",
    { supersedes: undefined },
    "format",
  ),
  {
    ...members("null_member", "null where a value is needed", { isPartial: null }, "format"),
    ...strict(unusable("format")),
  },
  {
    ...members(
      "long_text",
      "notes of 16,385 characters",
      { "acquisition.case.notes": "x".repeat(16_385) },
      "format",
    ),
    ...strict(unusable("format")),
  },
  {
    ...members(
      "long_tag_name",
      "a tag whose name has 257 characters",
      { "acquisition.snapshot.tags": { ["x".repeat(257)]: "" } },
      "format",
    ),
    ...strict(unusable("format")),
  },
  {
    ...members("negative_count", "a count below zero", { "acquisition.retries": -1 }, "format"),
    ...strict(unusable("format")),
  },
  {
    ...members("number_as_text", "a number as text", { "acquisition.retries": "4" }, "format"),
    ...strict(unusable("format")),
  },
  {
    ...members(
      "bad_time",
      "a time with a leap second",
      { "acquisition.endedAt": "2026-06-30T23:59:60.000Z" },
      "format",
    ),
    ...strict(unusable("format")),
  },
  {
    ...members("bad_nonce", "a nonce in capitals", { "acquisition.nonce": "A".repeat(32) }, "format"),
    ...strict(unusable("format")),
  },
  {
    ...members(
      "bad_snapshot",
      "a snapshot id in capitals",
      { "source.snapshot": "snap-0123456789ABCDEF0" },
      "format",
    ),
    reader: 20,
  },
  {
    ...members("other_kind_of_source", "a kind of source that this version does not know", {
      "source.kind": "aws-s3",
    }, "format"),
    ...strict(unusable("format")),
  },
  members("digest_in_capitals", "a segment's digest in capitals", {
    "segments.0": ANOTHER_DIGEST.replaceAll("5", "A"),
  }, "format"),
  members("other_segment_size", "segments of 8,192 blocks", { segmentBlocks: 8192 }, "format"),
  members(
    "block_size_no_power",
    "a block size that is no power of two",
    { "volume.blockSizeBytes": 768 },
    "format",
  ),
  members("block_size_small", "a block size below 512", {
    "volume.blockSizeBytes": 256,
    "volume.blockCount": 2 ** 22,
  }, "format"),
  members("block_count_wrong", "a block count that size and block size do not give", {
    "volume.blockCount": 2 ** 21 - 1,
  }, "format"),
  members("volume_too_large", "more than 2^27 blocks", {
    "volume.volumeSizeGib": 128,
    "volume.blockCount": 2 ** 28,
  }, "format"),
  members(
    "volume_of_nothing",
    "a volume of 0 GiB",
    { "volume.volumeSizeGib": 0, "volume.blockCount": 0 },
    "format",
  ),
  members("counts_sum", "counts whose sum is not the volume's blocks", {
    counts: { ...ZERO_COUNTS, absentBlocks: 2_097_147 },
  }, "integrity"),
  members(
    "image_digest",
    "an image digest that its segments do not give",
    { imageDigest: ANOTHER_DIGEST },
    "integrity",
  ),
  members("unreadable_not_named", "an unreadable block, and no list of them", {
    "acquisition.documents.unreadable": null,
  }, "integrity"),
  members("unreadable_for_none", "a list of unreadable blocks where none is counted", {
    counts: { ...ZERO_COUNTS, absentBlocks: 2_097_147, unreadableBlocks: 0 },
  }, "integrity"),
  {
    ...members(
      "verification_result",
      "all blocks matched, and one of them is unreadable",
      { "acquisition.verification.result": "all_matched" },
      "integrity",
    ),
    ...strict(unusable("integrity")),
  },
  {
    ...members(
      "import_of_an_acquisition",
      "its source is a folder, and all else is as of a service that was asked",
      { source: FOLDER_SOURCE },
      "integrity",
    ),
    ...strict(unusable("integrity")),
  },
  ...setMembers("lacks_itself", "a set without the exhibit's own snapshot", {
    device: null,
    snapshots: [INSTANCE_SET.snapshots[1]],
  }),
  ...setMembers("not_sorted", "a set in another order than that of its snapshots' ids", {
    snapshots: INSTANCE_SET.snapshots.toReversed(),
  }),
  ...setMembers("two_devices", "a set that knows another device of the exhibit's own volume", {
    device: "/dev/sdz",
  }),
  ...setMembers("volume_twice", "a set that has a volume and misses it", {
    missingVolumes: [{ device: null, volumeId: INSTANCE_SET.snapshots[0].volumeId }],
  }),
  ...setMembers("no_start", "a set that is known by its start time, and has none", { startedAt: null }),
  members("signer_did_not_sign", "the signer that it names has not signed it", {
    "acquisition.signer": "SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU",
  }, "integrity"),
  {
    ...members("counts_of_other_states", "counts with the right sum that the segments do not add up to", {
      counts: { ...ZERO_COUNTS, absentBlocks: 2_097_145, zeroBlocks: 2 },
    }, "integrity"),
    exit: 20,
    finding: "counts_differ",
  },
  shape("segment_too_few", "one segment digest too few", { segments: [] }, "integrity"),
  shape("segment_too_many", "one segment digest too many", { "segments.128": ANOTHER_DIGEST }, "integrity"),
  {
    ...members(
      "of_another_exhibit",
      "the manifest of another exhibit in this one's folder, named by its inventory",
      { "acquisition.exhibit": "ex-000000000000002b" },
      "integrity",
    ),
  },
  file(
    "changed_byte",
    "one bit of it was flipped",
    (files, name) => files.set(name, bytesIn(files, name).map((byte, at) => at === 5000 ? byte ^ 1 : byte)),
    "integrity",
  ),
  file("missing", "the file is gone", (files, name) => files.delete(name), "integrity"),
  file(
    "under_another_name",
    "another signed manifest lies under this name",
    (files, name) => files.set(name, edited(bytesIn(files, name), { "acquisition.retries": 0 })),
    "integrity",
  ),
  file(
    "oversize",
    "larger than 1 MiB",
    (files, name) => files.set(name, new Uint8Array(2 ** 20 + 1).fill(0x20)),
    "format",
  ),
  file(
    "link",
    "a symbolic link to the file it would be",
    (files, name) => files.set("aside", bytesIn(files, name)).set(name, { link: "../../aside" }),
    "format",
  ),
  {
    name: "manifest_in_another_folder",
    about: "a whole exhibit's folder under another exhibit's name",
    section: "Manifest",
    make: ({ plain }) =>
      new Map(
        [...plain].map(([name, entry]) => [name.replace(FOLDER, "exhibits/ex-00000000000000ff"), entry]),
      ),
    file: /\/inventory-[0-9a-f]{64}\.txt$/,
    ...unusable("integrity"),
  },
];

export const DOCUMENT_VECTORS: readonly Vector[] = [...STORE_FILE, ...JSON_TEXTS, ...MANIFESTS];
