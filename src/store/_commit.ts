/**
 * Makes an exhibit of a complete acquisition: segments, side documents, manifest, inventory, in this order,
 * each durable before the next; the inventory's signature is the commit point. Work is in proportion to the change where
 * there is a parent. One segment is in memory at a time.
 *
 * @see store-format.md, "Order of writes"
 */
import { encodeHex } from "@std/encoding/hex";
import { OperatorError } from "../errors.ts";
import {
  encodeDescription,
  encodeSessions,
  encodeUnreadable,
  MAX_SESSION_EVENTS,
  type SessionCounts,
  type SessionEvent,
} from "../format/documents.ts";
import { commitmentOf, imageDigest, sha256 } from "../format/digests.ts";
import { encodeFileMap } from "../format/file_map.ts";
import { decodeInventory, encodeInventory, type Inventory } from "../format/inventory.ts";
import type { JournalHead, RecordedBlock } from "../format/journal.ts";
import {
  type AcquisitionRecord,
  type CaseFacts,
  encodeManifest,
  type Manifest,
  type SnapshotFacts,
} from "../format/manifest.ts";
import {
  type Clock,
  type Disk,
  type ExhibitId,
  type ObjectName,
  type Randomness,
  SEGMENT_BLOCKS,
  type StoredObject,
  type VolumeShape,
} from "../model.ts";
import { formatTime } from "../units.ts";
import { FORMAT_VERSION, MAX_CUSTODY_HEADS, type ToolFacts } from "../format/members.ts";
import type { SigningKey } from "../keys.ts";
import { fittingSessions } from "./_commit_documents.ts";
import { buildSegments, type Built, type Put, type Written } from "./_commit_segments.ts";
import type { Contents } from "./_contents.ts";
import { custodyHeads } from "./_custody.ts";
import type { Exhibit } from "./_exhibit.ts";
import type { LocalStorage } from "./_local_storage.ts";
import type { PackedBlocks } from "./_packed_blocks.ts";
import type { Progress } from "./_progress.ts";
import { putInventory, putSignature } from "./_signatures.ts";

/** What the one who commits tells. */
export interface CommitFacts {
  readonly case: CaseFacts;
  readonly destination: AcquisitionRecord["destination"];
  readonly unsafeFileSystem: boolean;
  readonly host: AcquisitionRecord["host"];
  readonly tool: ToolFacts;
  /** Signs manifest and inventory. */
  readonly key: SigningKey;
  /** How this session's own question for the snapshot's description ended. */
  readonly descriptionResult: AcquisitionRecord["descriptionResult"];
  /** True: some listed blocks were never tried. */
  readonly isPartial: boolean;
  /** What a block is that was neither recorded nor taken over: not listed, or not known; of an import without a file. */
  readonly rest: "absent" | "not_acquired" | "no_file";
}

/** Everything that a commit works on. */
export interface CommitInput {
  readonly storage: LocalStorage;
  readonly contents: Contents;
  readonly disk: Disk;
  readonly clock: Clock;
  readonly randomness: Randomness;
  readonly blocks: PackedBlocks;
  readonly head: JournalHead;
  readonly shape: VolumeShape;
  readonly parent: Exhibit | undefined;
  readonly progress: Progress;
  readonly counts: SessionCounts;
  /** Of the session, since the last flush. */
  readonly events: readonly SessionEvent[];
  recorded(index: number): RecordedBlock | undefined;
  /** Makes it that nothing is recorded of these blocks. */
  forget(indexes: readonly number[]): Promise<void>;
  readonly facts: CommitFacts;
}

function startWriting({ contents, head, progress }: CommitInput): Written {
  const files = new Map<ObjectName, number>();
  for (const pack of progress.packs) if (!pack.isMissing) files.set(pack.name, pack.sizeBytes);
  const map: Written["map"] = { segments: {}, documents: {} };
  const put: Put = async (kind, bytes) => {
    const digest = sha256(bytes);
    const known = map[`${kind}s`];
    if (known[digest] !== undefined) return digest; // two of one content are one file
    const written = await contents.put(kind, bytes, head.exhibit);
    files.set(written.name, written.sizeBytes);
    known[digest] = written.digest;
    return digest;
  };
  return { files, map, put };
}

/** What a commit made: known to whoever committed it, also where nobody here could open it again. */
export interface CommittedExhibit {
  readonly id: ExhibitId;
  readonly manifest: Manifest;
  readonly inventory: Inventory;
}

export async function commitExhibit(input: CommitInput): Promise<CommittedExhibit> {
  const { storage, contents, head, facts } = input;
  const endedAt = formatTime(input.clock.nowMs());
  const written = startWriting(input);
  const { files } = written;
  const built = await buildSegments(input, written);
  checkAgainstListing(input, built);
  const manifest: Manifest = {
    acquisition: await recordAcquisition(input, { built, endedAt, put: written.put }),
    counts: built.counts,
    imageDigest: imageDigest(input.shape, built.segments),
    isPartial: facts.isPartial,
    parent: input.parent ? head.parent : null,
    segmentBlocks: SEGMENT_BLOCKS,
    segments: built.segments,
    source: head.source,
    supersedes: head.supersedes,
    type: "coldcase-manifest",
    version: FORMAT_VERSION,
    volume: head.volume,
  };
  const bytes = encodeManifest(manifest);
  const putNamed = async (kind: "manifest" | "map", bytes: Uint8Array) => {
    const file = await contents.put(kind, bytes, head.exhibit);
    files.set(file.name, file.sizeBytes);
    return file;
  };
  const map = contents.isEncrypted ? (await putNamed("map", encodeFileMap(written.map))).digest : null;
  const { name, digest } = await putNamed("manifest", bytes);
  await putSignature(storage, { name, bytes, namespace: "coldcase-manifest@v1" }, facts.key);
  const inventoryBytes = encodeInventory({
    exhibit: head.exhibit,
    snapshot: head.source.snapshot,
    parent: manifest.parent?.exhibit ?? null,
    commitment: commitmentOf(sha256(bytes)),
    manifest: digest,
    map,
    committedAt: endedAt,
    files: [...files].map(([name, sizeBytes]): StoredObject => ({ name, sizeBytes })),
  });
  await putInventory(storage, { exhibit: head.exhibit, bytes: inventoryBytes, key: facts.key });
  return { id: head.exhibit, manifest, inventory: decodeInventory(inventoryBytes, "inventory") };
}

/** Of a snapshot of which no session was told anything. */
const NOT_TOLD: SnapshotFacts = {
  completedAt: null,
  description: null,
  encrypted: null,
  instance: null,
  kmsKeyId: null,
  ownerAccount: null,
  startedAt: null,
  storageTier: null,
  tags: {},
  volumeId: null,
};

/** The acquisition's record; its side documents are put on the way. */
async function recordAcquisition(
  input: CommitInput,
  known: { readonly built: Built; readonly endedAt: string; readonly put: Put },
): Promise<AcquisitionRecord> {
  const { head, progress, facts } = input;
  const { built, endedAt, put } = known;
  const last = progress.sessions.at(-1)!;
  const events = [...last.events, ...input.events].slice(0, MAX_SESSION_EVENTS);
  const current = { ...last, ...input.counts, endedAt, events, outcome: "committed" };
  const sessions = [...progress.sessions.slice(0, -1), current];
  const total = (count: "fetchedBlocks" | "receivedBytes" | "retries" | "throttles") =>
    sessions.reduce((sum, session) => sum + session[count], 0);
  const { description } = progress;
  const isImported = head.source.kind !== "aws-ebs";
  const takenOver = built.counts.storedBlocks + built.counts.zeroBlocks - built.fetchedBlocks;
  return {
    case: facts.case,
    clockSkewMs: input.counts.clockSkewMs,
    custodyHeads: (await custodyHeads(input.storage)).slice(0, MAX_CUSTODY_HEADS),
    descriptionResult: facts.descriptionResult,
    destination: facts.destination,
    documents: {
      description: description ? await put("document", encodeDescription(description)) : null,
      sessions: await put("document", encodeSessions(fittingSessions(sessions))),
      unreadable: built.unreadable.length > 0
        ? await put("document", encodeUnreadable(built.unreadable))
        : null,
    },
    endedAt,
    exhibit: head.exhibit,
    fetchedBlocks: total("fetchedBlocks"),
    host: facts.host,
    // What an import counts are files: which blocks the snapshot listed nobody can tell.
    listedBlocks: isImported ? null : progress.listing?.blocks ?? null,
    nonce: encodeHex(input.randomness.bytes(16)),
    parentDropped: progress.parentDropped ?? null,
    receivedBytes: total("receivedBytes"),
    retries: total("retries"),
    sessions: sessions.length,
    set: head.set,
    signer: facts.key.fingerprint,
    snapshot: description?.snapshot ?? NOT_TOLD,
    startedAt: head.createdAt,
    takenOverBlocks: takenOver,
    takenOverReadSince: takenOver > 0 ? readSince(input.parent) : null,
    throttles: total("throttles"),
    tool: facts.tool,
    unsafeFileSystem: facts.unsafeFileSystem,
    verification: {
      at: endedAt,
      level: isImported ? "on_import" : "on_arrival",
      result: built.counts.unreadableBlocks > 0 ? "some_unreadable" : "all_matched",
    },
  };
}

/** Since when the bytes that are taken over were read: the parent's start, or what it says of its own. */
function readSince(parent: Exhibit | undefined): string | null {
  const record = parent?.manifest.acquisition;
  return record?.takenOverReadSince ?? record?.startedAt ?? null;
}

/** The listing that was read to its end must be what is recorded; else the snapshot changed under us. */
function checkAgainstListing(input: CommitInput, built: Built): void {
  const listing = input.progress.listing;
  const held = built.counts.storedBlocks + built.counts.zeroBlocks + built.counts.unreadableBlocks;
  // Of an import every file was tried, and blocks without one are unreadable.
  if (input.facts.isPartial || input.facts.rest === "no_file" || listing?.blocks === held) return;
  throw new OperatorError(
    "source",
    `Cannot commit "${input.head.source.snapshot}": its listing has ${
      listing?.blocks ?? "no"
    } blocks, ${held} are recorded`,
    {
      facts: { reason: "LISTING_CHANGED", snapshot: input.head.source.snapshot },
      hints: ["Nothing that was recorded is lost. --fresh starts anew."],
    },
  );
}
