/** Addenda, corrections and receipts: given back as they were written, or refused by place. */
import { assertEquals, assertNotEquals, assertThrows } from "@std/assert";
import {
  type Addendum,
  type Correction,
  decodeAddendum,
  decodeAnyAddendum,
  decodeCorrection,
  decodeReceipt,
  differingMembers,
  encodeAddendum,
  encodeCorrection,
  encodeReceipt,
  MAX_ADDENDUM_BYTES,
  type Receipt,
} from "../../src/format/addendum.ts";
import { OperatorError } from "../../src/errors.ts";
import { encodeCanonicalJson } from "../../src/format/canonical_json.ts";
import type { ExhibitId } from "../../src/model.ts";
import { type Below, forRounds, pick } from "../seeded.ts";
import { assertRefused, bytesOf, digestOf, randomDigest, textOf } from "./refusals.ts";

const HEAD = { chain: "ab".repeat(16), digest: digestOf("03"), sequence: 4 };

const ADDENDUM: Addendum = {
  at: "2026-01-02T03:04:05.678Z",
  by: "export",
  custodyHeads: [HEAD],
  digests: { md5: null, sha1: null, sha256: digestOf("01") },
  examiner: "A. Examiner",
  exhibit: "ex-0123456789abcdef" as ExhibitId,
  filled: { absentBlocks: 3, unreadableBlocks: 0 },
  host: { hostname: "collector-1", operatingSystem: "linux 6.8.0 x86_64", user: "examiner" },
  manifest: digestOf("02"),
  type: "coldcase-addendum",
  version: 1,
  volumeSizeBytes: 1 << 30,
};

const RECEIPT: Receipt = {
  at: "2026-01-02T03:04:05.678Z",
  bytes: 4096,
  commitment: digestOf("02"),
  custodyHeads: [HEAD],
  exhibit: ADDENDUM.exhibit,
  files: 5,
  from: "01".repeat(16),
  inventory: digestOf("04"),
  reason: null,
  to: "02".repeat(16),
  type: "coldcase-receipt",
  version: 1,
};

const BEFORE: Correction["before"] = {
  authority: null,
  case: "2026-114",
  evidence: "7",
  examiner: "A. Examiner",
  notes: null,
  organization: null,
};

const CORRECTION: Correction = {
  after: { ...BEFORE, case: "2026-115" },
  at: "2026-01-02T03:04:05.678Z",
  before: BEFORE,
  correctedBy: "B. Lead",
  custodyHeads: [HEAD],
  exhibit: ADDENDUM.exhibit,
  host: ADDENDUM.host,
  manifest: digestOf("02"),
  previous: [],
  reason: "Typing error",
  type: "coldcase-correction",
  version: 1,
};

function randomHeads(below: Below) {
  return Array.from({ length: pick(below, [0, 1, 7]) }, (_, sequence) => ({
    chain: randomDigest(below).slice(32),
    digest: randomDigest(below),
    sequence,
  }));
}

Deno.test("decodeAddendum() gives back what encodeAddendum() took", () => {
  forRounds(60, (below) => {
    const addendum: Addendum = {
      ...ADDENDUM,
      by: pick(below, ["export", "read-back"]),
      custodyHeads: randomHeads(below),
      digests: {
        md5: pick(below, [null, "0f".repeat(16)]),
        sha1: pick(below, [null, "0f".repeat(20)]),
        sha256: pick(below, [null, randomDigest(below)]),
      },
      examiner: pick(below, [null, "", "Ä. Prüfer"]),
      filled: { absentBlocks: below(9), unreadableBlocks: below(9) },
      volumeSizeBytes: 1 + below(2 ** 32),
    };
    const bytes = encodeAddendum(addendum);
    assertEquals(decodeAddendum(bytes, "addendum"), addendum);
    assertEquals(encodeAddendum(decodeAddendum(bytes, "addendum")), bytes);
  });
});

Deno.test("decodeReceipt() gives back what encodeReceipt() took", () => {
  forRounds(60, (below) => {
    const receipt: Receipt = {
      ...RECEIPT,
      bytes: below(2 ** 32),
      commitment: randomDigest(below),
      custodyHeads: randomHeads(below),
      files: 1 + below(1000),
      inventory: randomDigest(below),
      reason: pick(below, [null, "", "to the laboratory"]),
    };
    const bytes = encodeReceipt(receipt);
    assertEquals(decodeReceipt(bytes, "receipt"), receipt);
    assertEquals(encodeReceipt(decodeReceipt(bytes, "receipt")), bytes);
  });
});

Deno.test("decodeAddendum() refuses members beyond their limits, by name", () => {
  const { digests, filled } = ADDENDUM;
  const faults: [object, string][] = [
    [{ at: "2026-01-02" }, "at"],
    [{ by: "import" }, "by"],
    [{ custodyHeads: [{ ...HEAD, chain: "ab" }] }, "custodyHeads[0].chain"],
    [{ custodyHeads: new Array(1025).fill(HEAD) }, "custodyHeads"],
    [{ digests: { ...digests, md5: "0F".repeat(16) } }, "digests.md5"],
    [{ digests: { ...digests, sha1: "0f".repeat(16) } }, "digests.sha1"],
    [{ digests: { ...digests, sha256: "0f" } }, "digests.sha256"],
    [{ digests: { ...digests, crc: null } }, "digests.crc"],
    [{ examiner: "x".repeat(257) }, "examiner"],
    [{ exhibit: "ex-1" }, "exhibit"],
    [{ filled: { ...filled, absentBlocks: -1 } }, "filled.absentBlocks"],
    [{ filled: { absentBlocks: 0 } }, "filled"],
    [{ manifest: null }, "manifest"],
    [{ type: "coldcase-receipt" }, "type"],
    [{ version: 0 }, "version"],
    [{ version: 2 }, "version"],
    [{ volumeSizeBytes: 0 }, "volumeSizeBytes"],
  ];
  for (const [fault, place] of faults) {
    const bytes = encodeCanonicalJson({ ...ADDENDUM, ...fault });
    assertRefused(() => decodeAddendum(bytes, "addendum 7"), "format", "addendum 7", place);
  }
});

Deno.test("decodeReceipt() refuses members beyond their limits, by name", () => {
  const faults: [object, string][] = [
    [{ bytes: -1 }, "bytes"],
    [{ files: 0 }, "files"],
    [{ from: "01" }, "from"],
    [{ to: "0G".repeat(16) }, "to"],
    [{ inventory: "04" }, "inventory"],
    [{ commitment: "02" }, "commitment"],
    [{ manifest: digestOf("02") }, "manifest"],
    [{ reason: "x".repeat(4097) }, "reason"],
    [{ type: "coldcase-addendum" }, "type"],
    [{ version: 0 }, "version"],
    [{ version: 2 }, "version"],
    [{ note: null }, "note"],
  ];
  for (const [fault, place] of faults) {
    const bytes = encodeCanonicalJson({ ...RECEIPT, ...fault });
    assertRefused(() => decodeReceipt(bytes, "receipt 7"), "format", "receipt 7", place);
  }
});

Deno.test("decodeAddendum() and decodeReceipt() refuse each other's, other forms of the same, and what is too long", () => {
  const [addendum, receipt] = [encodeAddendum(ADDENDUM), encodeReceipt(RECEIPT)];
  assertRefused(() => decodeAddendum(receipt, "a"), "format", "a");
  assertRefused(() => decodeReceipt(addendum, "r"), "format", "r");
  for (
    const change of [
      (text: string) => `${text}\n`,
      (text: string) => text.replace('"version":1', '"version":1e0'),
    ]
  ) {
    assertNotEquals(change(textOf(addendum)), textOf(addendum));
    assertRefused(() => decodeAddendum(bytesOf(change(textOf(addendum))), "a"), "format");
    assertRefused(() => decodeReceipt(bytesOf(change(textOf(receipt))), "r"), "format");
  }
  assertRefused(() => decodeAddendum(new Uint8Array(MAX_ADDENDUM_BYTES + 1), "a"), "format", "a");
});

Deno.test("decodeCorrection() gives back what encodeCorrection() took, and so does decodeAnyAddendum()", () => {
  forRounds(60, (below) => {
    const text = () => pick(below, [null, "", "Ä. Prüfer", "\u0007 \ud83d\ude00"]);
    const correction: Correction = {
      ...CORRECTION,
      after: { ...BEFORE, authority: text(), evidence: text(), notes: text(), case: "another" },
      correctedBy: text(),
      custodyHeads: randomHeads(below),
      previous: pick(below, [0, 1, 2, 64]) === 0
        ? []
        : [...new Set(Array.from({ length: 1 + below(64) }, () => randomDigest(below)))].sort(),
    };
    const bytes = encodeCorrection(correction);
    assertEquals(decodeCorrection(bytes, "correction"), correction);
    assertEquals(decodeAnyAddendum(bytes, "correction"), correction);
    assertEquals(encodeCorrection(decodeCorrection(bytes, "correction")), bytes);
  });
  assertEquals(decodeAnyAddendum(encodeAddendum(ADDENDUM), "addendum"), ADDENDUM);
});

Deno.test("decodeCorrection() and decodeAnyAddendum() refuse members beyond their limits, by name", () => {
  const digests = ["01", "02", "03"].map(digestOf);
  const faults: [object, string][] = [
    [{ after: { ...BEFORE, case: "x".repeat(257) } }, "after.case"],
    [{ after: { ...BEFORE, notes: "x".repeat(16_385) } }, "after.notes"],
    [{ after: { ...BEFORE, device: "sda" } }, "after.device"],
    [{ after: BEFORE }, "after"],
    [{ after: BEFORE, previous: digests.slice(0, 1) }, "after"],
    [{ before: null }, "before"],
    [{ before: { ...BEFORE, examiner: 7 } }, "before.examiner"],
    [{ correctedBy: "x".repeat(257) }, "correctedBy"],
    [{ exhibit: "ex-1" }, "exhibit"],
    [{ previous: digests.toReversed() }, "previous"],
    [{ previous: [digests[0], digests[0]] }, "previous"],
    [{ previous: Array.from({ length: 65 }, (_, at) => digestOf(String(10 + at))) }, "previous"],
    [{ previous: ["01"] }, "previous[0]"],
    [{ reason: "" }, "reason"],
    [{ reason: null }, "reason"],
    [{ reason: "x".repeat(4097) }, "reason"],
    [{ type: "coldcase-addenda" }, "type"],
    [{ version: 2 }, "version"],
    [{ note: null }, "note"],
  ];
  for (const [fault, place] of faults) {
    const bytes = encodeCanonicalJson({ ...CORRECTION, ...fault });
    for (const decode of [decodeCorrection, decodeAnyAddendum]) {
      assertRefused(() => decode(bytes, "correction 7"), "format", "correction 7", place);
    }
  }
});

Deno.test("decodeCorrection() lets one that follows several leave all as it was recorded", () => {
  const previous = ["01", "02"].map(digestOf);
  const bytes = encodeCorrection({ ...CORRECTION, after: BEFORE, previous });
  assertEquals(decodeCorrection(bytes, "correction").after, BEFORE);
});

Deno.test("encodeCorrection() writes nothing that could not be read again", () => {
  assertThrows(() => encodeCorrection({ ...CORRECTION, reason: "" }), OperatorError, "reason");
  const [correction, addendum] = [encodeCorrection(CORRECTION), encodeAddendum(ADDENDUM)];
  assertRefused(() => decodeCorrection(addendum, "c"), "format", "c", "type");
  assertRefused(() => decodeAddendum(correction, "a"), "format", "a", "type");
  assertRefused(() => decodeCorrection(new Uint8Array(MAX_ADDENDUM_BYTES + 1), "c"), "format", "c");
});

Deno.test("differingMembers() names what differs, null being no empty text", () => {
  assertEquals(differingMembers(BEFORE, BEFORE), []);
  const other = { ...BEFORE, organization: "", case: null };
  assertEquals(differingMembers(BEFORE, other), ["case", "organization"]);
});
