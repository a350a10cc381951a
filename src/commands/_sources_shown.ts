/**
 * How `sources` shows snapshots: a table, below it what can't be read, why and what to do about it, and the same as
 * objects. Texts of AWS are made safe where they enter a line.
 */
import { formatTable, type OutputEvent, sanitize } from "../cli/mod.ts";
import { formatSize } from "../units.ts";
import type { Attachment } from "../aws/sources.ts";
import { blocksText } from "./_exhibits.ts";
import type { Listed } from "./_sources_search.ts";

/** Blocks that were counted by listing. */
export interface Written {
  readonly blocks: number;
  readonly blockSizeBytes: number;
}

/** What stands between the caller and a snapshot's blocks. */
export interface Hindrance {
  readonly reason:
    | "pending"
    | "error"
    | "recycle_bin"
    | "unknown_state"
    | "archived"
    | "aws_managed_key"
    | "public";
  /** A sentence's end: `can't be read: …`. */
  readonly why: string;
  readonly nextStep: string;
}

/** `undefined`: nothing that EC2 tells of. */
export function hindranceOf(snapshot: Listed, region: string): Hindrance | undefined {
  const { id, state, relation } = snapshot;
  const named = `--region ${region} --snapshot-id ${id}`;
  if (state === "pending") {
    return {
      reason: "pending",
      why: "it is pending, only a completed snapshot can be read",
      nextStep: `acquire --wait waits for it: coldcase acquire ${id} --wait`,
    };
  }
  if (state === "error") {
    return {
      reason: "error",
      why: "EC2 could not complete it, its state is error",
      nextStep: "no waiting mends it: take another snapshot, or read an older one",
    };
  }
  if (state === "recoverable" || state === "recovering") {
    return {
      reason: "recycle_bin",
      why: "it is in the Recycle Bin",
      nextStep: `restore it: aws ec2 restore-snapshot-from-recycle-bin ${named}`,
    };
  }
  if (state === "unknown") {
    return {
      reason: "unknown_state",
      why: "its state is none that coldcase knows",
      nextStep: `see what AWS says: aws ec2 describe-snapshots --region ${region} --snapshot-ids ${id}`,
    };
  }
  if (snapshot.storageTier === "archive") {
    return {
      reason: "archived",
      why: "it is in the archive tier",
      nextStep:
        `restore it first (hours): aws ec2 restore-snapshot-tier ${named} --temporary-restore-days 14`,
    };
  }
  if (relation !== "own" && /[:/]alias\/aws\/ebs$/.test(snapshot.kmsKeyId ?? "")) {
    return {
      reason: "aws_managed_key",
      why: "it is under the key aws/ebs of another account, which can't be shared",
      nextStep:
        "its owner copies it under a key of their own (aws ec2 copy-snapshot --kms-key-id) and shares " +
        "copy and key",
    };
  }
  if (relation === "other") {
    return {
      reason: "public",
      why: "it is public, and the EBS direct APIs don't serve public snapshots",
      nextStep:
        `copy it into this account: aws ec2 copy-snapshot --region ${region} --source-region ${region} ` +
        `--source-snapshot-id ${id}`,
    };
  }
  return undefined;
}

/** What EC2's answer leaves open. */
function cautionOf({ relation, encrypted, kmsKeyId }: Listed): string | undefined {
  if (relation === "own" || !encrypted) return undefined;
  const account = /^arn:[a-z-]+:kms:[a-z0-9-]+:(\d{12}):/.exec(kmsKeyId ?? "")?.[1];
  return `needs kms:Decrypt on the key of ${
    account ?? "another account"
  }, in that key's policy too: plan tries it`;
}

/** A snapshot with all that was learned of it. */
export interface Shown {
  readonly snapshot: Listed;
  readonly attachment: Attachment | undefined;
  readonly hindrance: Hindrance | undefined;
  readonly written: Written | undefined;
}

/** The table, and below it a line for each snapshot that is not simply readable. */
export function sourcesText(shown: readonly Shown[], withWritten: boolean): string {
  const table = formatTable(
    [
      { title: "SNAPSHOT" },
      { title: "STARTED" },
      { title: "SIZE", align: "right" },
      ...(withWritten ? [{ title: "WRITTEN" }] : []),
      { title: "STATE" },
      { title: "TIER" },
      { title: "VOLUME" },
      { title: "DEVICE" },
      { title: "OWNER" },
      { title: "NAME" },
      { title: "ENCRYPTED" },
    ],
    shown.map(({ snapshot, attachment, written }) => [
      snapshot.id,
      snapshot.startedAt?.slice(0, 16).replace("T", " ") ?? "",
      snapshot.volumeSizeGib === undefined ? "" : formatSize(snapshot.volumeSizeGib * 2 ** 30),
      ...(withWritten ? [written ? blocksText(written.blocks, written.blockSizeBytes) : "not counted"] : []),
      snapshot.state,
      snapshot.storageTier ?? "",
      snapshot.volumeId ?? "",
      attachment?.device ?? "",
      snapshot.ownerAccount ?? "",
      snapshot.name ?? "",
      encryptedText(snapshot),
    ]),
  );
  const notes = shown.flatMap(({ snapshot, hindrance }) =>
    notesOf(snapshot, hindrance).map((note) => `${snapshot.id}  ${sanitize(note)}\n`)
  );
  return notes.length === 0 ? table : `${table}\n${notes.join("")}`;
}

function notesOf(snapshot: Listed, hindrance: Hindrance | undefined): string[] {
  const { foundBy } = snapshot;
  const caution = cautionOf(snapshot);
  return [
    ...(foundBy === undefined ? [] : [`is listed because ${foundBy}`]),
    ...(hindrance ? [`can't be read: ${hindrance.why}; ${hindrance.nextStep}`] : caution ? [caution] : []),
  ];
}

function encryptedText({ encrypted, kmsKeyId }: Listed): string {
  if (encrypted === undefined) return "not told";
  return encrypted ? kmsKeyId ?? "yes" : "no";
}

/** The object of a snapshot. */
export function sourceEvent({ snapshot, attachment, hindrance, written }: Shown): OutputEvent {
  return {
    type: "source",
    snapshot: snapshot.id,
    relation: snapshot.relation,
    ownerAccount: snapshot.ownerAccount ?? null,
    volume: snapshot.volumeId ?? null,
    instance: attachment?.instanceId ?? null,
    device: attachment?.device ?? null,
    startedAt: snapshot.startedAt ?? null,
    completedAt: snapshot.completedAt ?? null,
    state: snapshot.state,
    storageTier: snapshot.storageTier ?? null,
    encrypted: snapshot.encrypted ?? null,
    kmsKeyId: snapshot.kmsKeyId ?? null,
    volumeSizeGib: snapshot.volumeSizeGib ?? null,
    name: snapshot.name ?? null,
    description: snapshot.description ?? null,
    foundBy: snapshot.foundBy ?? null,
    hindrance: hindrance ?? null,
    caution: hindrance ? null : cautionOf(snapshot) ?? null,
    writtenBlocks: written?.blocks ?? null,
    blockSizeBytes: written?.blockSizeBytes ?? null,
  };
}
