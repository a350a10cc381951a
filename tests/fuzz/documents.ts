/** Documents of a store, JSON and text, as targets of the fuzzer: store-format.md's chapters but for packs and signatures. */
import { encodeHex } from "@std/encoding/hex";
import {
  decodeAddendum,
  decodeAnyAddendum,
  decodeReceipt,
  encodeAddendum,
  encodeCorrection,
  encodeReceipt,
} from "../../src/format/addendum.ts";
import { encodeCanonicalJson } from "../../src/format/canonical_json.ts";
import {
  custodyChain,
  type CustodyEntry,
  decodeCustodyEntry,
  encodeCustodyEntry,
} from "../../src/format/custody.ts";
import { sha256 } from "../../src/format/digests.ts";
import * as documents from "../../src/format/documents.ts";
import { decodeFileMap, encodeFileMap } from "../../src/format/file_map.ts";
import { decodeHeaders, encodeHeaders, salvageHeaders } from "../../src/format/headers.ts";
import { decodeInventory, encodeInventory } from "../../src/format/inventory.ts";
import * as journal from "../../src/format/journal.ts";
import { decodeManifest, encodeManifest } from "../../src/format/manifest.ts";
import { decodeSegment, encodeSegment, plainBlock } from "../../src/format/segment.ts";
import { decodeStoreFile, encodeStoreFile } from "../../src/format/store_file.ts";
import type { ObjectName } from "../../src/model.ts";
import { parseName } from "../../src/store/_layout.ts";
import { bytesOf, digestOf, textOf } from "../format/refusals.ts";
import * as samples from "../format/samples.ts";
import { law, type Target } from "./target.ts";

const SIGNER = "SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU";
const HEAD = { chain: "ab".repeat(16), digest: digestOf("03"), sequence: 4 };
const HOST = { hostname: "collector-1", operatingSystem: "linux 6.8.0 x86_64", user: "examiner" };

const ENTRY: CustodyEntry = {
  action: "acquire",
  at: "2026-01-02T03:04:05.678Z",
  chain: custodyChain({ signer: SIGNER, hostname: HOST.hostname, storeId: "01".repeat(16) }),
  clockSkewMs: -250,
  commandLine: ["coldcase", "acquire"],
  exhibits: [{ commitment: digestOf("01"), exhibit: samples.EXHIBIT }],
  host: HOST,
  previous: null,
  reason: null,
  result: { exitCode: 0, facts: { blocks: 7, ended: true, name: "x", none: null }, outcome: "done" },
  seen: [HEAD],
  sequence: 0,
  signer: SIGNER,
  store: "01".repeat(16),
  tool: { digest: null, name: "coldcase", runtime: "Deno 2.9.6 (test)", version: "0.1.0" },
  type: "coldcase-custody",
  version: 1,
};

const ADDENDUM = {
  at: "2026-01-02T03:04:05.678Z",
  by: "export",
  custodyHeads: [HEAD],
  digests: { md5: null, sha1: "2a".repeat(20), sha256: digestOf("01") },
  examiner: "A. Examiner",
  exhibit: samples.EXHIBIT,
  filled: { absentBlocks: 3, unreadableBlocks: 0 },
  host: HOST,
  manifest: digestOf("02"),
  type: "coldcase-addendum",
  version: 1,
  volumeSizeBytes: 1 << 30,
} as const;

const RECORDED_CASE = {
  authority: "an order",
  case: "2026-114",
  evidence: "7",
  examiner: null,
  notes: null,
  organization: null,
} as const;

const CORRECTION = {
  after: { ...RECORDED_CASE, case: "2026-115", notes: "Ä" },
  at: "2026-01-02T03:04:05.678Z",
  before: RECORDED_CASE,
  correctedBy: "B. Lead",
  custodyHeads: [HEAD],
  exhibit: samples.EXHIBIT,
  host: HOST,
  manifest: digestOf("02"),
  previous: [digestOf("05")],
  reason: "Typing error",
  type: "coldcase-correction",
  version: 1,
} as const;

const RECEIPT = {
  at: "2026-01-02T03:04:05.678Z",
  bytes: 4096,
  commitment: digestOf("02"),
  custodyHeads: [HEAD],
  exhibit: samples.EXHIBIT,
  files: 5,
  from: "01".repeat(16),
  inventory: digestOf("04"),
  reason: null,
  to: "02".repeat(16),
  type: "coldcase-receipt",
  version: 1,
} as const;

const SEGMENT = encodeSegment([
  { state: "stored", digest: digestOf("a1") },
  plainBlock("zero"),
  plainBlock("absent"),
  plainBlock("absent"),
  plainBlock("unreadable"),
]);

const HEADERS = encodeHeaders({
  exhibit: samples.EXHIBIT,
  commitment: digestOf("c1"),
  madeAt: "2026-01-02T03:04:05.000Z",
  opens: "contents",
  recipients: ["age1alice", "age1bob"],
  files: [
    {
      name: `documents/${digestOf("0a")}.json.age`,
      offsetBytes: 168,
      header: bytesOf("age-encryption.org/v1\na"),
    },
    {
      name: `packs/1b/${digestOf("1b")}.pack.age`,
      offsetBytes: 65_536,
      header: bytesOf("age-encryption.org/v1\nbb"),
    },
  ],
});

/** A document that is JSON still gets the digest of its other members. */
function mendStoreFile(bytes: Uint8Array): Uint8Array {
  const value = jsonOf(bytes);
  if (typeof value !== "object" || value === null || Array.isArray(value)) return bytes;
  const { digest: _old, ...members } = value as Record<string, unknown>;
  if (!textOf(encodeCanonicalJson(members)).isWellFormed()) return bytes;
  return encodeCanonicalJson({ ...members, digest: sha256(encodeCanonicalJson(members)) });
}

/** A custody entry gets the chain of its signer, host and store. */
function mendChain(bytes: Uint8Array): Uint8Array {
  const entry = jsonOf(bytes) as Partial<CustodyEntry> | null | undefined;
  const [signer, hostname, storeId] = [entry?.signer, entry?.host?.hostname, entry?.store];
  if (typeof signer !== "string" || typeof hostname !== "string" || typeof storeId !== "string") return bytes;
  return encodeCanonicalJson({ ...entry, chain: custodyChain({ signer, hostname, storeId }) });
}

/** `undefined` where the bytes are no JSON that can be written again. */
function jsonOf(bytes: Uint8Array): unknown {
  try {
    const value: unknown = JSON.parse(textOf(bytes));
    encodeCanonicalJson(value);
    return value;
  } catch (error) {
    if (error instanceof Error) return undefined;
    throw error;
  }
}

export const DOCUMENT_TARGETS: readonly Target[] = [
  {
    name: "store file",
    kind: "json",
    samples: [
      encodeStoreFile(samples.STORE_FILE),
      encodeStoreFile({ ...samples.STORE_FILE, mode: "encrypted", recipients: samples.RECIPIENTS }),
    ],
    mend: mendStoreFile,
    parse: (bytes) => encodeStoreFile(decodeStoreFile(bytes, "store.json")),
  },
  {
    name: "segment",
    kind: "json",
    samples: [SEGMENT],
    parse: (bytes) =>
      encodeSegment(decodeSegment(bytes, { name: "segment", blockCount: 5, blockSizeBytes: 512 })),
  },
  {
    name: "manifest",
    kind: "json",
    samples: [encodeManifest(samples.manifestOf(9))],
    parse: (bytes) => encodeManifest(decodeManifest(bytes)),
  },
  {
    name: "inventory",
    kind: "text",
    samples: [encodeInventory(samples.INVENTORY), encodeInventory({ ...samples.INVENTORY, map: null })],
    parse: (bytes) => encodeInventory(decodeInventory(bytes)),
  },
  {
    name: "file map",
    kind: "json",
    samples: [encodeFileMap({
      documents: { [digestOf("d1")]: digestOf("d2") },
      segments: { [digestOf("51")]: digestOf("52"), [digestOf("53")]: digestOf("54") },
    })],
    parse: (bytes) => encodeFileMap(decodeFileMap(bytes, "map")),
  },
  {
    name: "custody entry",
    kind: "json",
    samples: [encodeCustodyEntry(ENTRY)],
    mend: mendChain,
    parse: (bytes) => encodeCustodyEntry(decodeCustodyEntry(bytes, "entry")),
  },
  {
    name: "addendum",
    kind: "json",
    samples: [encodeAddendum(ADDENDUM)],
    parse: (bytes) => encodeAddendum(decodeAddendum(bytes, "addendum")),
  },
  {
    name: "correction",
    kind: "json",
    samples: [encodeCorrection(CORRECTION), encodeAddendum(ADDENDUM)],
    parse: (bytes) => {
      const document = decodeAnyAddendum(bytes, "correction");
      return document.type === "coldcase-correction" ? encodeCorrection(document) : encodeAddendum(document);
    },
  },
  {
    name: "receipt",
    kind: "json",
    samples: [encodeReceipt(RECEIPT)],
    parse: (bytes) => encodeReceipt(decodeReceipt(bytes, "receipt")),
  },
  {
    name: "added headers",
    kind: "text",
    samples: [HEADERS],
    parse: (bytes) => {
      const { files, lostLines } = salvageHeaders(bytes);
      law(
        files.length + lostLines.length <= textOf(bytes).split("\n").length,
        "salvage gives more lines than there are",
      );
      return encodeHeaders(decodeHeaders(bytes, "headers"));
    },
  },
  {
    name: "unreadable blocks",
    kind: "json",
    samples: [documents.encodeUnreadable([{ blocks: 1, first: samples.UNREADABLE }])],
    parse: (bytes) => documents.encodeUnreadable(documents.decodeUnreadable(bytes).entries),
  },
  {
    name: "sessions",
    kind: "json",
    samples: [documents.encodeSessions([samples.SESSION])],
    parse: (bytes) => documents.encodeSessions(documents.decodeSessions(bytes)),
  },
  {
    name: "description",
    kind: "json",
    samples: [documents.encodeDescription({
      answer: { a: [1, null, "x"], b: 1.5 },
      receivedAt: "2026-01-02T03:04:05.678Z",
      requestId: null,
    })],
    parse: (bytes) => documents.encodeDescription(documents.decodeDescription(bytes)),
  },
  {
    name: "side document of any type",
    kind: "json",
    samples: [documents.encodeSessions([]), documents.encodeUnreadable([])],
    parse: (bytes) => documents.checkDocument(bytes, "document"),
  },
  {
    name: "journal head",
    kind: "json",
    samples: [
      journal.encodeJournalHead(samples.JOURNAL_HEAD),
      journal.encodeJournalHead({
        ...samples.JOURNAL_HEAD,
        mode: "encrypted",
        recipients: samples.RECIPIENTS,
      }),
    ],
    parse: (bytes) => journal.encodeJournalHead(journal.decodeJournalHead(bytes, "head.json")),
  },
  {
    name: "name in a store",
    kind: "text",
    codes: [],
    samples: [
      `packs/1b/${digestOf("1b")}.pack`,
      `exhibits/${samples.EXHIBIT}/manifest-${digestOf("3a")}.json.age`,
      `custody/${"ab".repeat(16)}/00000007-${digestOf("03")}.json`,
    ].map(bytesOf),
    parse: (bytes) => {
      const name = textOf(bytes);
      const file = parseName(name as ObjectName);
      law(file === undefined || !name.includes(".."), "a name leads out of the store");
      law(file === undefined || name.includes(file.digest), `${encodeHex(bytes)} has another digest`);
    },
  },
];
