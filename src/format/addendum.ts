/**
 * What is said of an exhibit after its manifest was signed: linear digests of an image that was made or read
 * back (addendum), and that it was handed to another store (receipt). Each a canonical JSON file of its own,
 * signed; the manifest stays as it is.
 *
 * @see store-format.md, "Addenda and receipts"
 */
import { decodeCanonicalJson, encodeCanonicalJson } from "./canonical_json.ts";
import { custodyHeadMember, FORMAT_VERSION, hexadecimal, hostMember, MAX_CUSTODY_HEADS } from "./members.ts";
import {
  arrayOf,
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
export type Receipt = Checked<typeof receiptDocument>;

export function encodeAddendum(addendum: Addendum): Uint8Array<ArrayBuffer> {
  return encodeCanonicalJson(addendum);
}

export function decodeAddendum(bytes: Uint8Array, name: string): Addendum {
  return decodeCanonicalJson(bytes, { name, maxBytes: MAX_ADDENDUM_BYTES, check: addendumDocument });
}

export function encodeReceipt(receipt: Receipt): Uint8Array<ArrayBuffer> {
  return encodeCanonicalJson(receipt);
}

export function decodeReceipt(bytes: Uint8Array, name: string): Receipt {
  return decodeCanonicalJson(bytes, { name, maxBytes: MAX_ADDENDUM_BYTES, check: receiptDocument });
}
