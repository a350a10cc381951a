/** Valid documents of every type, to be read, changed and mutated: fixed facts, no randomness. */
import { commitmentOf, imageDigest } from "../../src/format/digests.ts";
import type { Session, UnreadableEntry } from "../../src/format/documents.ts";
import type { Inventory } from "../../src/format/inventory.ts";
import type { JournalEntry, JournalHead } from "../../src/format/journal.ts";
import type { Manifest } from "../../src/format/manifest.ts";
import type { RecipientFacts } from "../../src/format/members.ts";
import type { StoreFile } from "../../src/format/store_file.ts";
import type { SetFacts } from "../../src/format/snapshot_set.ts";
import type { Digest, ExhibitId, SnapshotId } from "../../src/model.ts";
import { volumeShape } from "../../src/units.ts";
import { digestOf } from "./refusals.ts";

export const EXHIBIT = "ex-0123456789abcdef" as ExhibitId;
export const PARENT = "ex-fedcba9876543210" as ExhibitId;
export const SNAPSHOT = "snap-0123456789abcdef0" as SnapshotId;
const STARTED = "2026-01-02T03:04:05.678Z";
const ENDED = "2026-01-02T04:05:06.789Z";
const HOST = { hostname: "collector-1", operatingSystem: "linux 6.8.0 x86_64", user: "examiner" };
const DESTINATION = { fileSystem: "ext4", path: "/cases/2026-017" };
const TOOL = { digest: null, name: "coldcase", runtime: "Deno 2.9.6 (test)", version: "0.1.0" } as const;
const SOURCE = {
  kind: "aws-ebs",
  endpoint: "https://ebs.eu-central-1.amazonaws.com",
  isAws: true,
  region: "eu-central-1",
  snapshot: SNAPSHOT,
} as const;
const PARENT_FACTS = {
  exhibit: PARENT,
  imageDigest: digestOf("0c"),
  manifest: digestOf("0d"),
  snapshot: "snap-01234567" as SnapshotId,
};

const SET: SetFacts = {
  device: "/dev/xvda",
  instance: "i-0123456789abcdef0",
  knownBy: "start_time",
  missingVolumes: [{ device: "/dev/sdg", volumeId: "vol-0123456789abcdef9" }],
  snapshots: [
    { device: "/dev/xvda", snapshot: SNAPSHOT, volumeId: "vol-0123456789abcdef0" },
    { device: null, snapshot: "snap-0123456789abcdef1" as SnapshotId, volumeId: "vol-0123456789abcdef1" },
  ],
  startedAt: STARTED,
};

/** Of a volume of `volumeSizeGib` in blocks of 512 KiB, all absent; `segments` where they are to be others. */
export function manifestOf(volumeSizeGib: number, segments?: readonly Digest[]): Manifest {
  const shape = volumeShape({ blockSizeBytes: 524_288, volumeSizeGib });
  if (typeof shape === "string") throw new Error(shape);
  const all = segments ?? new Array<Digest>(Math.ceil(shape.blockCount / 16_384)).fill(digestOf("5e"));
  return {
    acquisition: {
      case: {
        authority: null,
        case: "2026-017",
        evidence: "1",
        examiner: "A. Examiner",
        notes: null,
        organization: null,
      },
      clockSkewMs: -250,
      listedBlocks: 0,
      fetchedBlocks: 0,
      takenOverBlocks: 0,
      takenOverReadSince: null,
      parentDropped: null,
      descriptionResult: "not_permitted",
      destination: DESTINATION,
      unsafeFileSystem: false,
      documents: { description: null, sessions: digestOf("5f"), unreadable: null },
      endedAt: ENDED,
      exhibit: EXHIBIT,
      host: HOST,
      nonce: "0f1e2d3c4b5a69788796a5b4c3d2e1f0",
      receivedBytes: 0,
      retries: 0,
      sessions: 1,
      set: SET,
      snapshot: {
        completedAt: STARTED,
        description: null,
        encrypted: false,
        instance: null,
        kmsKeyId: null,
        ownerAccount: "111122223333",
        startedAt: STARTED,
        storageTier: "standard",
        tags: {},
        volumeId: "vol-0123456789abcdef0",
      },
      startedAt: STARTED,
      throttles: 0,
      tool: TOOL,
      verification: { at: ENDED, level: "on_arrival", result: "all_matched" },
      signer: "SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU",
      custodyHeads: [],
    },
    counts: { absentBlocks: shape.blockCount, storedBlocks: 0, unreadableBlocks: 0, zeroBlocks: 0 },
    imageDigest: imageDigest(shape, all),
    isPartial: false,
    parent: PARENT_FACTS,
    segmentBlocks: 16_384,
    segments: all,
    source: SOURCE,
    supersedes: null,
    type: "coldcase-manifest",
    version: 1,
    volume: shape,
  };
}

export const RECIPIENTS: RecipientFacts = {
  contents: ["age1qqqq", "age1pppp"],
  lineage: ["age1zzzz"],
};

/** What `recipients` may not be, with the place that a refusal names. */
export function wrongRecipients(): [string, unknown][] {
  const { contents, lineage } = RECIPIENTS;
  return [
    ["recipients", []],
    ["recipients.contents: is nothing", { lineage }],
    ["recipients.lineage: is nothing", { contents }],
    ["recipients.contents", { contents: null, lineage }],
    ["recipients.contents: is empty", { contents: [], lineage }],
    ["recipients.lineage: is empty", { contents, lineage: [] }],
    ["recipients.contents", { contents: new Array(33).fill("age1qqqq"), lineage }],
    ["recipients.contents[1]", { contents: ["age1qqqq", 7], lineage }],
    ["recipients.contents[0]", { contents: ["x".repeat(4097)], lineage }],
    ["recipients.note", { ...RECIPIENTS, note: 1 }],
  ];
}

export const STORE_FILE: StoreFile = {
  case: "2026-017",
  createdAt: STARTED,
  features: [],
  id: "00112233445566778899aabbccddeeff",
  mixedCases: false,
  mode: "plain",
  readVersion: 1,
  recipients: null,
  type: "coldcase-store",
  writeVersion: 1,
};

export const UNREADABLE: UnreadableEntry = {
  attempts: 5,
  block: 7,
  detail: "digest is not what was declared, 5 times",
  reason: "checksum",
  requestIds: ["00000000-0000-4000-8000-000000000007"],
};

const COUNTS = {
  clockSkewMs: null,
  credentialChanges: 1,
  eventsLeftOut: 0,
  fetchedBlocks: 5,
  firstRequestId: "00000000-0000-4000-8000-000000000001",
  getRequests: 10,
  lastRequestId: null,
  listRequests: 1,
  otherRequests: 2,
  receivedBytes: 2560,
  retries: 4,
  throttles: 0,
};
const START = {
  callerAccount: "111122223333",
  callerArn: "arn:aws:iam::111122223333:user/examiner",
  callerUserId: "AIDAEXAMPLEUSERID0001",
  commandLine: ["coldcase", "acquire", SNAPSHOT],
  credentialSource: "environment",
  destination: DESTINATION,
  examiner: null,
  host: HOST,
  proxy: null,
  startedAt: STARTED,
  tool: TOOL,
};
const EVENTS: Session["events"] = [
  { at: STARTED, detail: "GetSnapshotBlock: connection reset", kind: "failed_request", requestId: null },
];
export const SESSION: Session = { ...START, ...COUNTS, endedAt: ENDED, events: EVENTS, outcome: "committed" };

export const INVENTORY: Inventory = {
  exhibit: EXHIBIT,
  snapshot: SNAPSHOT,
  parent: PARENT,
  commitment: commitmentOf(digestOf("3b")),
  manifest: digestOf("3a"),
  map: digestOf("3c"),
  committedAt: ENDED,
  files: [
    { name: `exhibits/${EXHIBIT}/manifest-${digestOf("3a")}.json`, sizeBytes: 10_241 },
    { name: `packs/1b/${digestOf("1b")}.pack`, sizeBytes: 67_108_864 },
    { name: `segments/5e/${digestOf("5e")}.json`, sizeBytes: 0 },
  ],
};

export const JOURNAL_HEAD: JournalHead = {
  createdAt: STARTED,
  exhibit: EXHIBIT,
  mode: "plain",
  parent: PARENT_FACTS,
  recipients: null,
  set: SET,
  source: SOURCE,
  supersedes: PARENT,
  type: "coldcase-journal",
  version: 1,
  volume: { blockCount: 16_384, blockSizeBytes: 524_288, volumeSizeGib: 8 },
};

/** One entry of each type. */
export const JOURNAL_ENTRIES: readonly JournalEntry[] = [
  { session: START, type: "session_started" },
  { blocks: 6, digest: digestOf("6a"), type: "listing" },
  {
    counts: COUNTS,
    events: EVENTS,
    packs: [{ name: `packs/1b/${digestOf("1b")}.pack`, sizeBytes: 831 }],
    packsBefore: 3,
    segments: [0, 1],
    type: "flush",
    unreadable: [UNREADABLE],
    usedPacks: [],
  },
  {
    answer: { SnapshotId: SNAPSHOT, VolumeSize: 8 },
    receivedAt: STARTED,
    requestId: "00000000-0000-4000-8000-000000000002",
    snapshot: manifestOf(1).acquisition.snapshot,
    type: "description",
  },
  { reason: "its pack is gone", type: "parent_dropped" },
  { counts: COUNTS, endedAt: ENDED, events: [], outcome: "interrupted", type: "session_ended" },
];
