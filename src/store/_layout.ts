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
export const PACKS_FOLDER = "packs";
export const EXHIBITS_FOLDER = "exhibits";

export function packName(digest: Digest): ObjectName {
  return `packs/${digest.slice(0, 2)}/${digest}.pack`;
}

export function segmentName(digest: Digest): ObjectName {
  return `segments/${digest.slice(0, 2)}/${digest}.json`;
}

export function documentName(digest: Digest): ObjectName {
  return `documents/${digest}.json`;
}

export function manifestName(exhibit: ExhibitId, digest: Digest): ObjectName {
  return `exhibits/${exhibit}/manifest-${digest}.json`;
}

export function inventoryName(exhibit: ExhibitId, digest: Digest): ObjectName {
  return `exhibits/${exhibit}/inventory-${digest}.txt`;
}

/** What the name of an immutable file says about it. */
export interface NamedFile {
  readonly kind: "pack" | "segment" | "document" | "manifest" | "inventory";
  /** SHA-256 that the file's bytes must have. */
  readonly digest: Digest;
  readonly exhibit: ExhibitId | undefined;
}

/** `undefined` for a name that no immutable file of a store has. */
export function parseName(name: ObjectName): NamedFile | undefined {
  const parts = name.split("/");
  const match = /^(?:(manifest|inventory)-)?([0-9a-f]{64})\.(pack|json|txt)$/.exec(parts.at(-1)!);
  const digest = match?.[2];
  if (!match || !isDigest(digest)) return undefined;
  const exhibit = isExhibitId(parts[1]) ? parts[1] : undefined;
  const candidates: [NamedFile["kind"], ObjectName][] = [
    ["pack", packName(digest)],
    ["segment", segmentName(digest)],
    ["document", documentName(digest)],
  ];
  if (exhibit) {
    candidates.push(["manifest", manifestName(exhibit, digest)], [
      "inventory",
      inventoryName(exhibit, digest),
    ]);
  }
  const kind = candidates.find(([, candidate]) => candidate === name)?.[0];
  return kind && { kind, digest, exhibit };
}
