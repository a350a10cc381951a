/**
 * An account for tests of `sources`: an instance with two volumes, one that is gone, volumes that are gone, and
 * snapshots in every state that one can be in, own ones and others'. Says nothing about what is right.
 */
import type { InstanceSpec, SimulatorOptions, SnapshotSpec } from "../../src/simulate/mod.ts";

export const OWN = "123456789012";
export const OTHERS = "999999999999";

export const RUNNING = "i-0a0a0a0a0a0a0a0a0";
/** Without snapshots. */
export const FRESH = "i-0b0b0b0b0b0b0b0b0";
/** Terminated lately; EC2 still tells of it. */
export const TERMINATED = "i-0c0c0c0c0c0c0c0c0";
/** EC2 has forgotten it. */
export const GONE = "i-0d0d0d0d0d0d0d0d0";

export const ROOT = "vol-0a0a0a0a0a0a0a001";
export const DATA = "vol-0a0a0a0a0a0a0a002";
/** Attached; a copy of a snapshot names it, none is of it. */
export const UNSNAPPED = "vol-0b0b0b0b0b0b0b001";
/** Deleted; its snapshots are there. */
export const DELETED = "vol-0d0d0d0d0d0d0d001";

/** By what they are for; the digits give the order of their starts. */
export const SNAPSHOTS = {
  root: "snap-00000000000000001",
  data: "snap-00000000000000002",
  rootLater: "snap-00000000000000003",
  ofGone: "snap-00000000000000004",
  ofGoneLater: "snap-00000000000000005",
  /** Its tag names an instance, its description a volume. */
  tagged: "snap-00000000000000006",
  pending: "snap-00000000000000007",
  failed: "snap-00000000000000008",
  archived: "snap-00000000000000009",
  shared: "snap-0000000000000000a",
  sharedDefaultKey: "snap-0000000000000000b",
  public: "snap-0000000000000000c",
} as const;

export const KEY = `arn:aws:kms:us-east-1:${OTHERS}:key/11111111-2222-3333-4444-555555555555`;
export const DEFAULT_KEY = `arn:aws:kms:us-east-1:${OTHERS}:alias/aws/ebs`;

const INSTANCES: readonly InstanceSpec[] = [
  { id: RUNNING, volumes: { "/dev/xvda": ROOT, "/dev/sdf": DATA } },
  { id: FRESH, volumes: { "/dev/xvda": UNSNAPPED } },
  { id: TERMINATED, volumes: { "/dev/xvda": "vol-0c0c0c0c0c0c0c001" }, state: "terminated" },
];

/** Eleven written blocks of 1 GiB. */
function snapshot(name: keyof typeof SNAPSHOTS, facts: Partial<SnapshotSpec> = {}): SnapshotSpec {
  const id = SNAPSHOTS[name];
  const day = parseInt(id.slice(-1), 16);
  return {
    id,
    startTimeMs: Date.UTC(2026, 0, day, 12, 30),
    synthetic: { seed: 1, volumeSizeGib: 1, every: 200 },
    ...facts,
  } as SnapshotSpec;
}

/** All of it; `options` adds to it. */
export function account(options: SimulatorOptions = {}): SimulatorOptions {
  return {
    instances: INSTANCES,
    snapshots: [
      snapshot("root", { volumeId: ROOT, tags: { Name: "web root", case: "42" } }),
      snapshot("data", { volumeId: DATA, kmsKeyId: `arn:aws:kms:us-east-1:${OWN}:key/aaaaaaaa` }),
      snapshot("rootLater", { volumeId: ROOT, tags: { Name: "web\x1b[2J\u202Etoor" } }),
      snapshot("ofGone", {
        volumeId: DELETED,
        description: `Created by CreateImage(${GONE}) for ami-0123456789abcdef0`,
      }),
      snapshot("ofGoneLater", { volumeId: DELETED, description: `of ${GONE}0 and not that one` }),
      snapshot("tagged", {
        volumeId: "vol-ffffffff",
        description: `copy of a snapshot of ${UNSNAPPED}`,
        tags: { "instance-id": TERMINATED, case: "43" },
      }),
      snapshot("pending", { state: "pending" }),
      snapshot("failed", { state: "error" }),
      snapshot("archived", { tier: "archive" }),
      snapshot("shared", { ownerId: OTHERS, sharedWith: [OWN], kmsKeyId: KEY, volumeId: "vol-0e0e0e0e" }),
      snapshot("sharedDefaultKey", { ownerId: OTHERS, sharedWith: [OWN], kmsKeyId: DEFAULT_KEY }),
      snapshot("public", { ownerId: OTHERS, public: true }),
    ],
    ...options,
  };
}
