/**
 * The map of an encrypted exhibit: which file holds which segment and which side document. In a plain store the
 * names say it; in an encrypted one a name tells of the ciphertext only. Encrypted itself.
 *
 * @see store-format.md, "Encryption"
 */
import type { Digest } from "../model.ts";
import { decodeCanonicalJson, encodeCanonicalJson } from "./canonical_json.ts";
import { FORMAT_VERSION } from "./members.ts";
import { type Check, type Checked, digest, literal, object, recordOf } from "./schema.ts";

/** 8,192 segments of 136 bytes each, three times over. */
export const MAX_FILE_MAP_BYTES = 4 * 1024 * 1024;

const MAX_FILES = 16_384;

const files: Check<Readonly<Record<string, Digest>>> = (value, place) => {
  const byDigest = recordOf(digest, MAX_FILES)(value, place);
  for (const name of Object.keys(byDigest)) digest(name, `${place}: a member's name`);
  return byDigest;
};

const mapDocument = object({
  /** Digest of a side document → digest of its file. */
  documents: files,
  /** Digest of a segment → digest of its file. */
  segments: files,
  type: literal("coldcase-map"),
  version: literal(FORMAT_VERSION),
});

/** By the digest of what is in it: the digest of the file. */
export type FileMap = Pick<Checked<typeof mapDocument>, "documents" | "segments">;

export function encodeFileMap(map: FileMap): Uint8Array<ArrayBuffer> {
  const { documents, segments } = map;
  const bytes = encodeCanonicalJson({ documents, segments, type: "coldcase-map", version: FORMAT_VERSION });
  decodeFileMap(bytes, "new map");
  return bytes;
}

export function decodeFileMap(bytes: Uint8Array, name: string): FileMap {
  return decodeCanonicalJson(bytes, { name, maxBytes: MAX_FILE_MAP_BYTES, check: mapDocument });
}

/** The file of what has `wanted` as its digest; `undefined` where the map does not know it. */
export function fileOf(files: FileMap["segments"], wanted: Digest): Digest | undefined {
  return Object.hasOwn(files, wanted) ? files[wanted] : undefined;
}
