/**
 * Where things lie in a store: names only, no access.
 *
 * @see store-format.md, "Layout"
 */
import { isDigest, isExhibitId } from "../units.ts";
import type { Digest, ExhibitId, ObjectName } from "../model.ts";

export const STORE_FILE = "store.json";
export const LOCK_FILE = "lock";
export const JOURNAL_FOLDER = "journal";
export const TEMPORARY_FOLDER = "tmp";
export const QUARANTINE_FOLDER = "quarantine";
export const CACHE_FOLDER = "cache";
export const INDEX_FILE = "cache/index.sqlite";
/** The index, and what SQLite may keep beside it. */
export const INDEX_FILES = ["", "-journal", "-wal", "-shm"].map((end) => INDEX_FILE + end);
export const PACKS_FOLDER = "packs";
export const EXHIBITS_FOLDER = "exhibits";
export const CUSTODY_FOLDER = "custody";
export const KEYS_FOLDER = "keys";
export const RECEIPTS_FOLDER = "receipts";
export const CUSTODY_LOCK_FILE = "custody-lock";

/** What a name ends in: that of an age file, in an encrypted store, has `.age` more. */
export type Ending = "" | ".age";

/** @param digest Of the file's bytes: of an age file that of its ciphertext. */
export function packName(digest: Digest, ending: Ending = ""): ObjectName {
  return `packs/${digest.slice(0, 2)}/${digest}.pack${ending}`;
}

export function segmentName(digest: Digest, ending: Ending = ""): ObjectName {
  return `segments/${digest.slice(0, 2)}/${digest}.json${ending}`;
}

export function documentName(digest: Digest, ending: Ending = ""): ObjectName {
  return `documents/${digest}.json${ending}`;
}

export function manifestName(exhibit: ExhibitId, digest: Digest, ending: Ending = ""): ObjectName {
  return `exhibits/${exhibit}/manifest-${digest}.json${ending}`;
}

/** Which file holds which segment and side document: in an encrypted store only. */
export function mapName(exhibit: ExhibitId, digest: Digest): ObjectName {
  return `exhibits/${exhibit}/map-${digest}.json.age`;
}

export function inventoryName(exhibit: ExhibitId, digest: Digest): ObjectName {
  return `exhibits/${exhibit}/inventory-${digest}.txt`;
}

export function custodyName(chain: string, sequence: number, digest: Digest): ObjectName {
  return `${CUSTODY_FOLDER}/${chain}/${String(sequence).padStart(8, "0")}-${digest}.json`;
}

export function addendumName(exhibit: ExhibitId, digest: Digest, ending: Ending = ""): ObjectName {
  return `exhibits/${exhibit}/addendum-${digest}.json${ending}`;
}

/** New headers for files of an exhibit. */
export function headersName(exhibit: ExhibitId, digest: Digest): ObjectName {
  return `exhibits/${exhibit}/headers-${digest}.txt`;
}

export function receiptName(digest: Digest): ObjectName {
  return `receipts/${digest}.json`;
}

/** What the name of an immutable file says about it. */
export interface NamedFile {
  readonly kind:
    | "pack"
    | "segment"
    | "document"
    | "manifest"
    | "map"
    | "inventory"
    | "headers"
    | "addendum"
    | "receipt"
    | "custody";
  /** SHA-256 that the file's bytes must have. */
  readonly digest: Digest;
  readonly exhibit: ExhibitId | undefined;
  /** An age file: the digest is that of the ciphertext. */
  readonly isEncrypted: boolean;
}

/** `undefined` for a name that no immutable file of a store has. */
export function parseName(name: ObjectName): NamedFile | undefined {
  const match = /([0-9a-f]{64})\.(?:pack|json|txt)(\.age)?$/.exec(name);
  const digest = match?.[1];
  if (!isDigest(digest)) return undefined;
  const ending = match?.[2] ? ".age" : "";
  const [, second = "", third = ""] = name.split("/");
  const exhibit = isExhibitId(second) ? second : undefined;
  const candidates: [NamedFile["kind"], ObjectName][] = [
    ["pack", packName(digest, ending)],
    ["segment", segmentName(digest, ending)],
    ["document", documentName(digest, ending)],
    ["receipt", receiptName(digest)],
  ];
  if (exhibit) {
    candidates.push(
      ["manifest", manifestName(exhibit, digest, ending)],
      ["map", mapName(exhibit, digest)],
      ["inventory", inventoryName(exhibit, digest)],
      ["headers", headersName(exhibit, digest)],
      ["addendum", addendumName(exhibit, digest, ending)],
    );
  }
  const sequence = /^(\d{8})-/.exec(third)?.[1];
  if (sequence && /^[0-9a-f]{32}$/.test(second)) {
    candidates.push(["custody", custodyName(second, Number(sequence), digest)]);
  }
  const kind = candidates.find(([, candidate]) => candidate === name)?.[0];
  return kind && { kind, digest, exhibit, isEncrypted: ending === ".age" };
}
