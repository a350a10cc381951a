/**
 * What a request is for, in the words of a message: every error, event and count names its call by this.
 * No request is made here.
 */
import type { SnapshotId } from "../model.ts";

/** The actions that coldcase asks for; with their service's prefix they are IAM's names. */
export type Action =
  | "ListSnapshotBlocks"
  | "ListChangedBlocks"
  | "GetSnapshotBlock"
  | "DescribeSnapshots"
  | "DescribeInstances"
  | "CreateSnapshots"
  | "GetCallerIdentity";

export interface Call {
  readonly action: Action;
  /** Verb and object of the message: `list blocks of "snap-…"`. */
  readonly what: string;
  /** The snapshots whose permission the call needs. */
  readonly snapshots: readonly SnapshotId[];
  readonly blockIndex?: number;
}

export function listCall(snapshot: SnapshotId): Call {
  return { action: "ListSnapshotBlocks", what: `list blocks of "${snapshot}"`, snapshots: [snapshot] };
}

export function changedCall(pair: { first: SnapshotId; second: SnapshotId }): Call {
  return {
    action: "ListChangedBlocks",
    what: `compare "${pair.second}" with "${pair.first}"`,
    snapshots: [pair.second, pair.first],
  };
}

export function getCall(snapshot: SnapshotId, blockIndex: number): Call {
  return {
    action: "GetSnapshotBlock",
    what: `read block ${blockIndex} of "${snapshot}"`,
    snapshots: [snapshot],
    blockIndex,
  };
}

/** Whose API an action belongs to. */
export function serviceOf(action: Action): "ebs" | "ec2" | "sts" {
  if (["CreateSnapshots", "DescribeInstances", "DescribeSnapshots"].includes(action)) return "ec2";
  return action === "GetCallerIdentity" ? "sts" : "ebs";
}
