/**
 * The names of Snapshot-4n6ir-Imager: of its folders, and of the files in them. Strict, so that each name has one
 * meaning. Pure.
 */
import type { Digest, SnapshotId } from "../model.ts";

/** How files hold blocks: as they are, as gzip files, or those in a Fernet token. */
export type ImagerLayout = "plain" | "compressed" | "encrypted";

export const LAYOUTS: Readonly<Record<ImagerLayout, { readonly folder: string; readonly file: string }>> = {
  plain: { folder: "", file: "" },
  compressed: { folder: "_compressed", file: ".gz" },
  encrypted: { folder: "_encrypted", file: ".gz.encrypted" },
};

export interface FolderName {
  readonly snapshot: SnapshotId;
  readonly layout: ImagerLayout;
}

/** What the name of a folder says; `undefined`: it is none of that tool's. */
export function parseFolderName(name: string): FolderName | undefined {
  const [, snapshot, kind = "plain"] = /^(snap-[0-9a-f]{8,17})(?:_(compressed|encrypted))?$/.exec(name) ?? [];
  return snapshot === undefined
    ? undefined
    : { snapshot: snapshot as SnapshotId, layout: kind as ImagerLayout };
}

export interface BlockFileName {
  readonly index: number;
  readonly snapshot: SnapshotId;
  /** SHA-256 that the block should have. */
  readonly digest: Digest;
  readonly volumeSizeGib: number;
  readonly blockSizeBytes: number;
}

/**
 * `INDEX_SNAPSHOT_SHA256_VOLUMESIZEGIB_BLOCKSIZE`, numbers without leading zeros; but the index may have ten digits, as
 * that tool's successor Snap4n6 writes it.
 */
const BLOCK_FILE = new RegExp(
  "^(0|[1-9][0-9]{0,8}|[0-9]{10})_(snap-[0-9a-f]{8,17})_([0-9a-f]{64})_([1-9][0-9]{0,5})_([1-9][0-9]{0,8})(.*)$",
  "s",
);

/** What the name of a file says; `undefined`: it is not that of a block in this layout. */
export function parseBlockFileName(name: string, layout: ImagerLayout): BlockFileName | undefined {
  const match = BLOCK_FILE.exec(name);
  if (!match || match[6] !== LAYOUTS[layout].file) return undefined;
  return {
    index: Number(match[1]),
    snapshot: match[2] as SnapshotId,
    digest: match[3] as Digest,
    volumeSizeGib: Number(match[4]),
    blockSizeBytes: Number(match[5]),
  };
}
