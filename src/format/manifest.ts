/**
 * The manifest: what the evidence is. Source, shape, counts, segment digests, image digest, lineage, and the
 * acquisition record. At most 1 MiB for any volume; what can grow lives in side documents, named by digest.
 * No file names: copying, re-packing, encrypting never touch it.
 *
 * @see store-format.md, "Manifest"
 */
import { OperatorError } from "../errors.ts";
import { MAX_BLOCKS, SEGMENT_BLOCKS, type VolumeShape } from "../model.ts";
import { volumeShape } from "../units.ts";
import { decodeCanonicalJson, encodeCanonicalJson } from "./canonical_json.ts";
import { imageDigest } from "./digests.ts";
import { checkSet, setMember } from "./snapshot_set.ts";
import {
  custodyHeadMember,
  destinationMember,
  FORMAT_VERSION,
  hexadecimal,
  hostMember,
  MAX_CUSTODY_HEADS,
  toolMember,
} from "./members.ts";
import {
  arrayOf,
  type Check,
  type Checked,
  digest,
  exhibitId,
  flag,
  integer,
  literal,
  nullable,
  object,
  recordOf,
  snapshotId,
  text,
  time,
} from "./schema.ts";
import { segmentCount } from "./segment.ts";

export const MAX_MANIFEST_BYTES = 1024 * 1024;

const count = integer(0);

export const volumeMember = object({
  blockCount: integer(1, MAX_BLOCKS),
  blockSizeBytes: integer(512, 16 * 1024 * 1024),
  volumeSizeGib: integer(1, 65_536),
});

/** The service that blocks were read from. */
const serviceMember = object({
  kind: literal("aws-ebs"),
  endpoint: text(2048),
  /** False: not AWS's endpoint, or plain HTTP; shown as NOT ACQUIRED FROM AWS. */
  isAws: flag,
  region: text(64),
  snapshot: snapshotId,
});

/** The other kind of source: a folder that another tool made. Nobody here saw the service. */
export const IMPORTED_KIND = "snapshot-4n6ir-imager";

const folderMember = object({
  /** Files that are named as blocks of this volume. */
  blockFiles: integer(1, MAX_BLOCKS),
  /** Where it was when the import began. */
  folder: text(),
  kind: literal(IMPORTED_KIND),
  /** How its files hold blocks: as they are, gzip-compressed, or that in a Fernet token. */
  layout: literal("plain", "compressed", "encrypted"),
  /** Files that are named as blocks, but of another snapshot or beyond the volume's end. */
  otherBlockFiles: count,
  snapshot: snapshotId,
});

/** Where it came from: by `kind`, a service or a folder. */
export const sourceMember: Check<Checked<typeof serviceMember> | Checked<typeof folderMember>> = (
  value,
  place,
) => {
  const kind = (value as { kind?: unknown } | null)?.kind;
  return kind === IMPORTED_KIND ? folderMember(value, place) : serviceMember(value, place);
};

/** The exhibit that an acquisition builds on. */
export const parentMember = object({
  exhibit: exhibitId,
  imageDigest: digest,
  /** SHA-256 of the parent's manifest. */
  manifest: digest,
  snapshot: snapshotId,
});

/** Who asked for the acquisition, and for which case. Null: not given. */
export const caseMember = object({
  authority: nullable(text()),
  case: nullable(text(256)),
  evidence: nullable(text(256)),
  examiner: nullable(text(256)),
  notes: nullable(text(16_384)),
  organization: nullable(text(256)),
});

/** What the service said of the snapshot; null: not told. */
export const snapshotMember = object({
  completedAt: nullable(time),
  description: nullable(text(1024)),
  encrypted: nullable(flag),
  /** Instance of which the snapshot was made, where the service's own description names it. */
  instance: nullable(text(64)),
  kmsKeyId: nullable(text(2048)),
  ownerAccount: nullable(text(64)),
  startedAt: nullable(time),
  storageTier: nullable(text(64)),
  tags: recordOf(text(256), 64),
  volumeId: nullable(text(64)),
});

const acquisitionMember = object({
  case: caseMember,
  /** Heads of the custody log's chains when it was committed: they can't be cut below that unnoticed. */
  custodyHeads: arrayOf(custodyHeadMember, MAX_CUSTODY_HEADS),
  /** AWS's clock minus the host's, last measured. */
  clockSkewMs: nullable(integer(-1e15)),
  /** Blocks of the source's listing; null: none was read to its end. */
  listedBlocks: nullable(count),
  fetchedBlocks: count,
  takenOverBlocks: count,
  /** Earliest time at which bytes of taken-over blocks were read from their source; null where none was taken over. */
  takenOverReadSince: nullable(time),
  /** Why a parent that was found was not built on; null where there is nothing to say. */
  parentDropped: nullable(text()),
  /** How DescribeSnapshots ended in the session that committed. */
  descriptionResult: literal("received", "not_permitted", "not_found", "failed", "not_asked"),
  destination: destinationMember,
  unsafeFileSystem: flag,
  /**
   * What was verified, by then: each block's SHA-256, `on_arrival` against the checksum that the service declared
   * with it, `on_import` against the one in its file's name.
   */
  verification: object({
    at: time,
    level: literal("on_arrival", "on_import"),
    result: literal("all_matched", "some_unreadable"),
  }),
  documents: object({
    /** What the service said of the snapshot, verbatim, when it was told last; null: no session was. */
    description: nullable(digest),
    sessions: digest,
    /** Null where every block could be read. */
    unreadable: nullable(digest),
  }),
  endedAt: time,
  exhibit: exhibitId,
  host: hostMember,
  /**
   * 32 hexadecimal digits, random: the digest and the signatures of a manifest, which are in the clear also where
   * it is encrypted, confirm nobody's guess at its contents.
   */
  nonce: hexadecimal(32),
  receivedBytes: count,
  retries: count,
  sessions: integer(1),
  /** The instance's snapshots that this one was acquired with; null: it was acquired by its own id. */
  set: nullable(setMember),
  /** Fingerprint of the key that signed first: `SHA256:` and unpadded Base64. */
  signer: text(128),
  snapshot: snapshotMember,
  startedAt: time,
  throttles: count,
  tool: toolMember,
});

const countsMember = object({
  absentBlocks: count,
  storedBlocks: count,
  unreadableBlocks: count,
  zeroBlocks: count,
});

const manifestDocument = object({
  acquisition: acquisitionMember,
  counts: countsMember,
  imageDigest: digest,
  /** True: committed before every listed block had been tried (`acquire --commit-partial`). */
  isPartial: flag,
  parent: nullable(parentMember),
  segmentBlocks: literal(SEGMENT_BLOCKS),
  segments: arrayOf(digest, MAX_BLOCKS / SEGMENT_BLOCKS),
  source: sourceMember,
  /** The exhibit of the same snapshot that this one replaces. */
  supersedes: nullable(exhibitId),
  type: literal("coldcase-manifest"),
  version: literal(FORMAT_VERSION),
  volume: volumeMember,
});

export type Manifest = Checked<typeof manifestDocument>;
export type AcquisitionRecord = Checked<typeof acquisitionMember>;
export type SnapshotFacts = Checked<typeof snapshotMember>;
export type CaseFacts = Checked<typeof caseMember>;
export type SourceFacts = Checked<typeof sourceMember>;
/** What there is of a source that was a service. */
export type ServiceFacts = Checked<typeof serviceMember>;
/** What there is of a source that was a folder of another tool's. */
export type FolderFacts = Checked<typeof folderMember>;
export type ParentFacts = Checked<typeof parentMember>;

/** Canonical bytes of a manifest. Throws `format` where they would not be readable again. */
export function encodeManifest(manifest: Manifest): Uint8Array<ArrayBuffer> {
  const bytes = encodeCanonicalJson(manifest);
  decodeManifest(bytes, "new manifest");
  return bytes;
}

/**
 * The manifest that `bytes` hold, checked against itself: number of segments, sums of counts, image digest.
 * Throws `format` (shape) or `integrity` (what it says does not fit together).
 */
export function decodeManifest(bytes: Uint8Array, name = "manifest"): Manifest {
  const manifest = decodeCanonicalJson(bytes, {
    name,
    maxBytes: MAX_MANIFEST_BYTES,
    check: manifestDocument,
  });
  const shape = checkVolume(manifest.volume, name);
  if (manifest.segments.length !== segmentCount(shape)) {
    throw new OperatorError(
      "integrity",
      `Cannot accept ${name}: has ${manifest.segments.length} segments, its volume has ${
        segmentCount(shape)
      }`,
    );
  }
  const { absentBlocks, zeroBlocks, storedBlocks, unreadableBlocks } = manifest.counts;
  const sum = absentBlocks + zeroBlocks + storedBlocks + unreadableBlocks;
  if (sum !== shape.blockCount) {
    throw new OperatorError(
      "integrity",
      `Cannot accept ${name}: counts ${sum} blocks, its volume has ${shape.blockCount}`,
    );
  }
  if ((manifest.acquisition.documents.unreadable === null) !== (unreadableBlocks === 0)) {
    throw new OperatorError(
      "integrity",
      `Cannot accept ${name}: counts ${unreadableBlocks} unreadable blocks, and names ${
        manifest.acquisition.documents.unreadable ?? "no list"
      } of them`,
    );
  }
  const { descriptionResult, documents, verification } = manifest.acquisition;
  if ((verification.result === "some_unreadable") !== (unreadableBlocks > 0)) {
    throw new OperatorError(
      "integrity",
      `Cannot accept ${name}: counts ${unreadableBlocks} unreadable blocks, and says of its verification "${verification.result}"`,
    );
  }
  if (descriptionResult === "received" && documents.description === null) {
    throw new OperatorError(
      "integrity",
      `Cannot accept ${name}: a description of the snapshot was received, and no document of it is named`,
    );
  }
  checkImport(manifest, name);
  checkSet(manifest.acquisition.set, manifest.source.snapshot, name);
  const computed = imageDigest(shape, manifest.segments);
  if (computed !== manifest.imageDigest) {
    throw new OperatorError(
      "integrity",
      `Cannot accept ${name}: its segments give image digest ${computed}, it says ${manifest.imageDigest}`,
    );
  }
  return manifest;
}

/** What nobody can know of an import, its manifest must not claim. */
function checkImport({ acquisition, counts, isPartial, parent, source }: Manifest, name: string): void {
  const isImported = source.kind === IMPORTED_KIND;
  const { descriptionResult, documents, listedBlocks, takenOverBlocks, verification } = acquisition;
  const claims = [
    ["a checksum of the service", verification.level !== "on_import"],
    ["absent blocks", counts.absentBlocks > 0],
    ["a listing", listedBlocks !== null],
    ["a parent", parent !== null || takenOverBlocks > 0],
    ["a description of the snapshot", descriptionResult !== "not_asked" || documents.description !== null],
    ["a set of an instance's snapshots", acquisition.set !== null],
    ["that listed blocks were not tried", isPartial],
    ["more blocks than files", counts.storedBlocks + counts.zeroBlocks > blockFilesOf(source)],
  ] as const;
  const claim = claims.find(([, isClaimed]) => isClaimed)?.[0];
  if (isImported ? claim !== undefined : verification.level === "on_import") {
    const what = isImported ? `was imported, and claims ${claim}` : "was acquired, and verified on import";
    throw new OperatorError("integrity", `Cannot accept ${name}: it ${what}`);
  }
}

/** The service, where the source was one. */
export function serviceOf(source: SourceFacts): ServiceFacts | undefined {
  return source.kind === IMPORTED_KIND ? undefined : source;
}

/** The folder, where the source was one. */
export function folderOf(source: SourceFacts): FolderFacts | undefined {
  return source.kind === IMPORTED_KIND ? source : undefined;
}

function blockFilesOf(source: SourceFacts): number {
  return source.kind === IMPORTED_KIND ? source.blockFiles : MAX_BLOCKS;
}

/** The shape that a document states, refused where it is implausible or does not add up. Throws `format`. */
export function checkVolume(volume: Checked<typeof volumeMember>, name: string): VolumeShape {
  const shape = volumeShape(volume);
  if (typeof shape === "string" || shape.blockCount !== volume.blockCount) {
    const fault = typeof shape === "string"
      ? shape
      : `block count is ${volume.blockCount}, expected ${shape.blockCount}`;
    throw new OperatorError("format", `Cannot read ${name}.volume: ${fault}`);
  }
  return shape;
}
