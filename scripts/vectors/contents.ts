/**
 * Vectors of segments and side documents behind valid signatures: what a faulty program would write. Their
 * files are damaged in inventories.ts.
 */
import { sha256 } from "../../src/format/digests.ts";
import { EXAMPLE_BLOCK_BYTES } from "../example_store.ts";
import { bytesOf, type DocumentKind, edited, type Edits, forge, swapped, textOf } from "./forge.ts";
import type { Files } from "./files.ts";
import { found, strict, type Vector, type Verdict } from "./vector.ts";

/** The first segment: stored 2, zero, absent, stored, absent 2, unreadable, absent. */
function segment(name: string, about: string, change: (bytes: Uint8Array) => Uint8Array): Vector {
  return {
    name: `segment_${name}`,
    about,
    section: "Segment",
    make: ({ plain }) => forge(plain, { segments: (all) => [change(all[0]!), ...all.slice(1)] }),
    file: firstSegment,
    ...found("segment_unusable", "format"),
  };
}

function firstSegment(files: Files): string {
  const name = [...files.keys()].find((one) => /\/manifest-[0-9a-f]{64}\.json$/.test(one))!;
  const { segments } = JSON.parse(textOf(files.get(name) as Uint8Array));
  return `segments/${segments[0].slice(0, 2)}/${segments[0]}.json`;
}

const members = (edits: Edits) => (bytes: Uint8Array) => edited(bytes, edits);
const runs = (change: (runs: unknown[]) => unknown[]) => (bytes: Uint8Array) =>
  edited(bytes, { runs: change(JSON.parse(textOf(bytes)).runs) });
const lastRun = (blocks: number) => runs((all) => [...all.slice(0, -1), { blocks, state: "absent" }]);
const ZERO_DIGEST = sha256(new Uint8Array(EXAMPLE_BLOCK_BYTES));

const SEGMENTS: readonly Vector[] = [
  segment("other_type", "another document's type", members({ type: "coldcase-manifest" })),
  segment("version_future", "a version from the future", members({ version: 2 })),
  segment("version_0", "version 0, which version 1 refuses", members({ version: 0 })),
  segment("unknown_member", "a member that is not in the table", members({ colour: "red" })),
  segment("not_canonical", "a newline after the document", (bytes) => bytesOf(`${textOf(bytes)}\n`)),
  segment("oversize", "larger than 2 MiB", (bytes) => bytesOf(textOf(bytes) + " ".repeat(2 ** 21))),
  segment("too_few_blocks", "one block too few", lastRun(16_375)),
  segment("too_many_blocks", "one block too many", lastRun(16_377)),
  segment(
    "far_too_many_blocks",
    "runs of more blocks than a segment has",
    runs((all) => [...all, { blocks: 16_384, state: "zero" }, { blocks: 16_384, state: "absent" }]),
  ),
  segment("no_runs", "no run at all", members({ runs: [] })),
  segment("runs_no_array", "runs that are no array", members({ runs: {} })),
  segment("run_of_no_blocks", "a run of no blocks", runs((all) => [...all, { blocks: 0, state: "zero" }])),
  segment(
    "run_of_negative_blocks",
    "a run of -1 blocks",
    runs((all) => [...all.slice(0, -1), { blocks: 16_377, state: "absent" }, { blocks: -1, state: "zero" }]),
  ),
  segment(
    "neighbours_absent",
    "two neighbours of one state",
    runs((
      all,
    ) => [...all.slice(0, -1), { blocks: 6_376, state: "absent" }, { blocks: 10_000, state: "absent" }]),
  ),
  segment(
    "neighbours_stored",
    "two stored neighbours",
    (bytes) => bytesOf(swapped(textOf(bytes), '","', '"],"state":"stored"},{"digests":["')),
  ),
  segment(
    "unknown_state",
    "a state that is none of the four",
    runs((all) => [...all.slice(0, -1), { blocks: 16_376, state: "sparse" }]),
  ),
  segment(
    "stored_without_digests",
    "a stored run that is empty",
    runs((all) => [...all, { digests: [], state: "stored" }]),
  ),
  segment(
    "stored_with_blocks",
    "a stored run that has blocks and no digests",
    runs((all) => [{ blocks: 2, state: "stored" }, ...all.slice(1)]),
  ),
  segment(
    "absent_with_digests",
    "an absent run that has digests",
    runs((all) => [{ digests: [ZERO_DIGEST], state: "absent" }, ...all.slice(1)]),
  ),
  segment(
    "unknown_member_of_run",
    "a run with a member that is not in the table",
    runs((all) => [...all.slice(0, -1), { blocks: 16_376, colour: "red", state: "absent" }]),
  ),
  segment(
    "zeros_as_stored",
    "a block of zeros as a stored one",
    (bytes) => bytesOf(textOf(bytes).replace(/[0-9a-f]{64}/, ZERO_DIGEST)),
  ),
  segment(
    "digest_in_capitals",
    "a digest in capitals",
    (bytes) => bytesOf(textOf(bytes).replace(/[0-9a-f]{64}/, (digest) => digest.toUpperCase())),
  ),
  segment(
    "digest_short",
    "a digest of 63 digits",
    (bytes) => bytesOf(textOf(bytes).replace(/[0-9a-f]{64}/, (digest) => digest.slice(1))),
  ),
  {
    ...segment(
      "block_in_no_pack",
      "a stored block that no pack holds",
      (bytes) => bytesOf(textOf(bytes).replace(/[0-9a-f]{64}/, "5".repeat(64))),
    ),
    file: /\/inventory-[0-9a-f]{64}\.txt$/,
    ...found("block_missing"),
  },
];

/** `at`: who is named; the document itself where not given. */
function document(
  kind: DocumentKind,
  name: string,
  about: string,
  rest: { change(bytes: Uint8Array): Uint8Array } & Partial<Verdict>,
): Vector {
  const { change, ...verdict } = rest;
  return {
    name: `${kind}_${name}`,
    about,
    section: "Side documents",
    make: ({ plain }) => forge(plain, { documents: { [kind]: change } }),
    file: (files) => documentName(files, kind),
    ...found("file_damaged", "format"),
    ...verdict,
  };
}

function documentName(files: Files, kind: DocumentKind): string {
  const name = [...files.keys()].find((one) => /\/manifest-[0-9a-f]{64}\.json$/.test(one))!;
  const { acquisition } = JSON.parse(textOf(files.get(name) as Uint8Array));
  return `documents/${acquisition.documents[kind]}.json`;
}

const entry = (block: number, more: { readonly blocks?: number; readonly reason?: string } = {}) => ({
  blocks: more.blocks ?? 1,
  first: { attempts: 5, block, detail: "x", reason: more.reason ?? "not_acquired", requestIds: [] },
});
const entries = (...list: unknown[]) => ({ change: (bytes: Uint8Array) => edited(bytes, { entries: list }) });

const SIDE_DOCUMENTS: readonly Vector[] = [
  document("unreadable", "another_block", "it names another block than the segment", {
    ...entries(entry(8)),
    ...found("counts_differ"),
  }),
  document("unreadable", "one_too_many", "it names a block that the segment has as absent", {
    ...entries(entry(7), entry(20_000)),
    ...found("counts_differ"),
  }),
  document("unreadable", "of_none", "it names no block", { ...entries(), ...found("counts_differ") }),
  document("unreadable", "left_out_too_far", "its last entry leads beyond the last unreadable block", {
    ...entries(entry(7, { blocks: 2, reason: "left_out" })),
    ...found("counts_differ"),
  }),
  document(
    "unreadable",
    "left_out_not_last",
    "an entry behind the one for what has no room",
    entries(entry(6, { reason: "left_out" }), entry(7)),
  ),
  document("unreadable", "descending", "entries that do not ascend", entries(entry(8), entry(7))),
  document("unreadable", "twice", "one block twice", entries(entry(7), entry(7))),
  document(
    "unreadable",
    "overlapping",
    "an entry that begins inside the one before",
    entries(entry(6, { blocks: 2 }), entry(7)),
  ),
  {
    ...document(
      "unreadable",
      "range_with_reason",
      "two blocks in one entry, for a reason that is one block's",
      entries(entry(7, { blocks: 2, reason: "checksum" })),
    ),
    reader: 20,
  },
  {
    ...document(
      "unreadable",
      "unknown_reason",
      "a reason that is not in the table",
      entries(entry(7, { reason: "bored" })),
    ),
    ...strict(found("file_damaged", "format")),
  },
  document(
    "unreadable",
    "beyond_limit",
    "a range that ends after block 2^27 - 1",
    entries(entry(2 ** 27 - 1, { blocks: 2 })),
  ),
  document("unreadable", "other_type", "another document's type", {
    change: (bytes) => edited(bytes, { type: "coldcase-sessions" }),
  }),
  document("unreadable", "not_canonical", "a blank before the document", {
    change: (bytes) => bytesOf(` ${textOf(bytes)}`),
  }),
  {
    ...document("sessions", "version_future", "a version from the future", {
      change: (bytes) => edited(bytes, { version: 2 }),
    }),
    ...strict(found("file_damaged", "format")),
  },
  {
    ...document("sessions", "unknown_event", "an event of a kind that is not in the table", {
      change: (bytes) => edited(bytes, { "sessions.0.events.0.kind": "miracle" }),
    }),
    ...strict(found("file_damaged", "format")),
  },
  {
    ...document("sessions", "lacks_member", "a member is left out where null would be written", {
      change: (bytes) => edited(bytes, { "sessions.0.proxy": undefined }),
    }),
    ...strict(found("file_damaged", "format")),
  },
  {
    ...document("sessions", "bad_time", "a time with an offset", {
      change: (bytes) => edited(bytes, { "sessions.0.startedAt": "2026-01-02T04:04:05.000+01:00" }),
    }),
    ...strict(found("file_damaged", "format")),
  },
  {
    ...document("description", "unknown_member", "a member beside the answer", {
      change: (bytes) => edited(bytes, { colour: "red" }),
    }),
    ...strict(found("file_damaged", "format")),
  },
  {
    ...document("description", "too_deep", "65 levels: one more than a document has", {
      // The document and its answer are two of them.
      change: (bytes) => edited(bytes, { "answer.Tags": nested(63) }),
    }),
    ...strict(found("file_damaged", "format")),
  },
  {
    ...document("description", "number_not_canonical", "1.50 inside the answer", {
      change: (bytes) => bytesOf(swapped(textOf(bytes), '"VolumeSize":1', '"VolumeSize":1.50')),
    }),
    ...strict(found("file_damaged", "format")),
  },
  {
    ...document(
      "description",
      "large_number_not_canonical",
      "2^53 + 1 inside the answer, which RFC 8785 spells as 2^53",
      {
        change: (bytes) => bytesOf(swapped(textOf(bytes), '"VolumeSize":1', '"VolumeSize":9007199254740993')),
      },
    ),
    ...strict(found("file_damaged", "format")),
  },
];

/** Arrays in one another, so many. */
function nested(levels: number): unknown {
  return Array.from({ length: levels }).reduce<unknown>((inner) => [inner], 0);
}

export const CONTENT_VECTORS: readonly Vector[] = [...SEGMENTS, ...SIDE_DOCUMENTS];
