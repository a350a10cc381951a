/**
 * What is said of an exhibit after its manifest was signed: linear digests of an image that was made or read
 * back (addendum), what of its case was recorded wrongly (correction, an addendum too), and that it was handed to
 * another store (receipt). Each a canonical JSON file of its own, signed; the manifest stays as it is. Which of
 * several corrections counts is settled in store/.
 *
 * @see store-format.md, "Addenda and receipts"
 */
import { OperatorError } from "../errors.ts";
import { decodeCanonicalJson, encodeCanonicalJson } from "./canonical_json.ts";
import { type CaseFacts, caseMember } from "./manifest.ts";
import { custodyHeadMember, FORMAT_VERSION, hexadecimal, hostMember, MAX_CUSTODY_HEADS } from "./members.ts";
import {
  arrayOf,
  type Check,
  type Checked,
  digest,
  exhibitId,
  integer,
  literal,
  nullable,
  object,
  text,
  time,
} from "./schema.ts";

export const MAX_ADDENDUM_BYTES = 256 * 1024;

const custodyHeads = arrayOf(custodyHeadMember, MAX_CUSTODY_HEADS);

const addendumDocument = object({
  at: time,
  /** Which command computed it. */
  by: literal("export", "read-back"),
  custodyHeads,
  /** Over the volume's bytes from the first to the last; null: not computed. */
  digests: object({
    md5: nullable(hexadecimal(32)),
    sha1: nullable(hexadecimal(40)),
    sha256: nullable(digest),
  }),
  examiner: nullable(text(256)),
  exhibit: exhibitId,
  /** Blocks that the exhibit does not hold and that were read as zeros. */
  filled: object({ absentBlocks: integer(0), unreadableBlocks: integer(0) }),
  host: hostMember,
  manifest: digest,
  type: literal("coldcase-addendum"),
  version: literal(FORMAT_VERSION),
  volumeSizeBytes: integer(1),
});

/** What of a manifest can be corrected, in the order of its bytes. */
export const CORRECTED_MEMBERS = [
  "authority",
  "case",
  "evidence",
  "examiner",
  "notes",
  "organization",
] as const satisfies readonly (keyof CaseFacts)[];

/** Corrections that one correction follows, at most. */
export const MAX_PREVIOUS_CORRECTIONS = 64;

const correctionDocument = object({
  /** All of them, as they are from then on; those that differ from `before` are the ones corrected. */
  after: caseMember,
  at: time,
  /** As they counted until then. */
  before: caseMember,
  /** Who corrects, by name; null: not told. Who acquired is in `after.examiner`. */
  correctedBy: nullable(text(256)),
  custodyHeads,
  exhibit: exhibitId,
  host: hostMember,
  manifest: digest,
  /** Digests of the corrections that it follows, ascending: none, one, or several that had followed the same. */
  previous: arrayOf(digest, MAX_PREVIOUS_CORRECTIONS),
  reason: text(4096),
  type: literal("coldcase-correction"),
  version: literal(FORMAT_VERSION),
});

const receiptDocument = object({
  at: time,
  bytes: integer(0),
  commitment: digest,
  custodyHeads,
  exhibit: exhibitId,
  files: integer(1),
  /** Ids of the two stores. */
  from: hexadecimal(32),
  /** SHA-256 of the inventory in the receiving store. */
  inventory: digest,
  reason: nullable(text(4096)),
  to: hexadecimal(32),
  type: literal("coldcase-receipt"),
  version: literal(FORMAT_VERSION),
});

export type Addendum = Checked<typeof addendumDocument>;
export type Correction = Checked<typeof correctionDocument>;
export type Receipt = Checked<typeof receiptDocument>;

export function encodeAddendum(addendum: Addendum): Uint8Array<ArrayBuffer> {
  return encodeCanonicalJson(addendum);
}

export function decodeAddendum(bytes: Uint8Array, name: string): Addendum {
  return decodeCanonicalJson(bytes, { name, maxBytes: MAX_ADDENDUM_BYTES, check: addendumDocument });
}

/** Names of the members that differ. */
export function differingMembers(a: CaseFacts, b: CaseFacts): (keyof CaseFacts)[] {
  return CORRECTED_MEMBERS.filter((name) => a[name] !== b[name]);
}

/** Canonical bytes of a correction. Throws `format` where they would not be readable again. */
export function encodeCorrection(correction: Correction): Uint8Array<ArrayBuffer> {
  const bytes = encodeCanonicalJson(correction);
  decodeCorrection(bytes, "new correction");
  return bytes;
}

export function decodeCorrection(bytes: Uint8Array, name: string): Correction {
  return decodeCanonicalJson(bytes, { name, maxBytes: MAX_ADDENDUM_BYTES, check: checkCorrection });
}

/** What a file that is named as an addendum holds: the two kinds tell themselves apart. */
export function decodeAnyAddendum(bytes: Uint8Array, name: string): Addendum | Correction {
  return decodeCanonicalJson<Addendum | Correction>(bytes, {
    name,
    maxBytes: MAX_ADDENDUM_BYTES,
    check: (value, place) => {
      const type = (value as { type?: unknown } | null)?.type;
      return type === "coldcase-correction" ? checkCorrection(value, place) : addendumDocument(value, place);
    },
  });
}

/** One order of `previous`, a reason, and something that is corrected, or a choice between several. */
const checkCorrection: Check<Correction> = (value, place) => {
  const correction = correctionDocument(value, place);
  const { after, before, previous, reason } = correction;
  const fault = previous.some((one, at) => at > 0 && one <= previous[at - 1]!)
    ? "previous: is not in ascending order, each digest once"
    : reason === ""
    ? "reason: is empty, expected why it is corrected"
    : previous.length < 2 && differingMembers(before, after).length === 0
    ? "after: is what it was before"
    : undefined;
  if (fault === undefined) return correction;
  throw new OperatorError("format", `Cannot read ${place}.${fault}`);
};

export function encodeReceipt(receipt: Receipt): Uint8Array<ArrayBuffer> {
  return encodeCanonicalJson(receipt);
}

export function decodeReceipt(bytes: Uint8Array, name: string): Receipt {
  return decodeCanonicalJson(bytes, { name, maxBytes: MAX_ADDENDUM_BYTES, check: receiptDocument });
}
