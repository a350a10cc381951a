/**
 * `store.json`: what the directory is, for which case, in which version, with which features. The only
 * document that is not named by its digest, because it is the way in.
 *
 * @see store-format.md, "Store file"
 */
import { OperatorError } from "../errors.ts";
import { sha256 } from "./digests.ts";
import { checkMode, FORMAT_VERSION, hexadecimal, recipientsMember } from "./members.ts";
import { decodeCanonicalJson, encodeCanonicalJson } from "./canonical_json.ts";
import {
  arrayOf,
  type Checked,
  digest,
  flag,
  integer,
  literal,
  nullable,
  object,
  text,
  time,
} from "./schema.ts";

const storeDocument = object({
  /** The case whose evidence this is; null: not told. */
  case: nullable(text(256)),
  createdAt: time,
  /** SHA-256 of the document without this member: no name and no signature tells of damage to this file. */
  digest,
  /** Features that a reader must know; none in this version. */
  features: arrayOf(text(64), 64),
  /** 32 hexadecimal digits, random: custody chains and receipts name the store by it. */
  id: hexadecimal(32),
  mixedCases: flag,
  mode: literal("plain", "encrypted"),
  readVersion: integer(1),
  recipients: nullable(recipientsMember),
  type: literal("coldcase-store"),
  writeVersion: integer(1),
});

export const MAX_STORE_FILE_BYTES = 262_144;

export type StoreFile = Omit<Checked<typeof storeDocument>, "digest">;

/** Version that this program reads and writes. */
export const STORE_VERSION = FORMAT_VERSION;

export function encodeStoreFile(file: StoreFile): Uint8Array<ArrayBuffer> {
  return encodeCanonicalJson({ ...file, digest: sha256(encodeCanonicalJson(file)) });
}

/**
 * Throws `format` for another tool's file, a version that we cannot read, or features that we do not know;
 * `integrity` for one whose digest is not its own.
 */
export function decodeStoreFile(bytes: Uint8Array, name: string): StoreFile {
  refuseOtherVersion(bytes, name);
  const { digest: stated, ...file } = decodeCanonicalJson(bytes, {
    name,
    maxBytes: MAX_STORE_FILE_BYTES,
    check: storeDocument,
  });
  if (file.features.length > 0) {
    throw new OperatorError(
      "format",
      `Cannot read ${name}: needs the feature "${file.features[0]}", which this version does not know`,
      {
        hints: ["Use the version of coldcase that wrote the store, or a newer one."],
      },
    );
  }
  checkMode(file, name);
  const computed = sha256(encodeCanonicalJson(file));
  if (computed !== stated) {
    throw new OperatorError(
      "integrity",
      `Cannot accept ${name}: its digest is ${computed}, it says ${stated}; it was damaged or edited`,
      { facts: { file: "store.json" } },
    );
  }
  return file;
}

/** A later version may have other members: its number is looked at before its shape, so that it is named. */
function refuseOtherVersion(bytes: Uint8Array, name: string): void {
  const version = decodeCanonicalJson(bytes, {
    name,
    maxBytes: MAX_STORE_FILE_BYTES,
    check: (value) => (value as { readVersion?: unknown } | null)?.readVersion,
  });
  if (typeof version === "number" && version !== STORE_VERSION) {
    throw new OperatorError(
      "format",
      `Cannot read ${name}: has version ${version}, this program reads version ${STORE_VERSION}`,
      {
        hints: ["Use the version of coldcase that wrote the store, or a newer one."],
        facts: { version },
      },
    );
  }
}
