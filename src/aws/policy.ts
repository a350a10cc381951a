/**
 * What an account has to grant so that a role can acquire: the role's own policy, what the key's policy needs beside it,
 * and the commands that share snapshots with another account. Least privilege, with an end in time. Pure: it grants
 * nothing and asks nobody.
 *
 * @see https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonelasticblockstore.html
 */
import { OperatorError } from "../errors.ts";
import type { SnapshotId } from "../model.ts";
import { formatTime } from "../units.ts";
import { partitionOf, viaService } from "./partitions.ts";

/** For whom and for what. */
export interface Grant {
  readonly region: string;
  /** Empty: any snapshot of the Region that the caller may see. */
  readonly snapshots: readonly SnapshotId[];
  /** ARNs of the keys that the snapshots are encrypted under. */
  readonly kmsKeys: readonly string[];
  /** Who acquires: an ARN of IAM or STS. */
  readonly principal: string | undefined;
  /** Milliseconds since 1970; `undefined`: without an end. */
  readonly untilMs: number | undefined;
  /** Whether snapshots of instances are to be taken, too. Default false. */
  readonly takesSnapshots?: boolean;
}

export interface PolicyStatement {
  readonly Sid: string;
  readonly Effect: "Allow";
  readonly Principal?: { readonly AWS: string };
  readonly Action: readonly string[];
  readonly Resource: string | readonly string[];
  readonly Condition?: Conditions;
}

/** Operator, key, value. */
type Conditions = Readonly<Record<string, Readonly<Record<string, string | readonly string[]>>>>;

interface Policy {
  readonly Version: "2012-10-17";
  readonly Statement: readonly PolicyStatement[];
}

/** What has to be granted, where and by whom. */
export interface Granted {
  /** Of the role that acquires. */
  readonly rolePolicy: Policy;
  /** Of whoever takes snapshots, in another policy: the one above only reads. `undefined` where that was not wanted. */
  readonly createPolicy: Policy | undefined;
  /** For the policy of each key; `undefined` where no key or nobody was named. */
  readonly keyStatement: PolicyStatement | undefined;
  /** For the owner of the snapshots; none where nobody or no snapshot was named. */
  readonly shareCommands: readonly string[];
  /** Take back what those have granted. */
  readonly unshareCommands: readonly string[];
}

/** Throws `usage` for a key or a principal that can't be of the Region. */
export function grantsFor(grant: Grant): Granted {
  const { region, snapshots, kmsKeys, principal } = grant;
  for (const key of kmsKeys) checkKey(key, region);
  const account = principal === undefined ? undefined : accountOf(principal, region);
  return {
    rolePolicy: { Version: "2012-10-17", Statement: roleStatements(grant) },
    createPolicy: grant.takesSnapshots
      ? { Version: "2012-10-17", Statement: createStatements(grant) }
      : undefined,
    keyStatement: kmsKeys.length > 0 && principal !== undefined
      ? keyStatement({ ...grant, principal })
      : undefined,
    shareCommands: account === undefined
      ? []
      : snapshots.map((id) => sharing("add", { region, id, account })),
    unshareCommands: account === undefined
      ? []
      : snapshots.map((id) => sharing("remove", { region, id, account })),
  };
}

function roleStatements(grant: Grant): PolicyStatement[] {
  const { region, snapshots, kmsKeys } = grant;
  const place = `arn:${partitionOf(region)}:ec2:${region}::snapshot/`;
  return [
    {
      Sid: "ReadSnapshotBlocks",
      Effect: "Allow",
      Action: ["ebs:ListSnapshotBlocks", "ebs:ListChangedBlocks", "ebs:GetSnapshotBlock"],
      Resource: snapshots.length === 0 ? [`${place}*`] : snapshots.map((id) => `${place}${id}`),
      ...conditions(grant),
    },
    {
      Sid: "DescribeForTheRecord",
      Effect: "Allow",
      Action: ["ec2:DescribeSnapshots", "ec2:DescribeInstances"],
      // They can't be granted for less.
      Resource: "*",
      ...conditions(grant),
    },
    ...(kmsKeys.length === 0 ? [] : [decryptStatement(grant)]),
  ];
}

/** For whom, and how long. */
type Term = Pick<Grant, "region" | "untilMs">;

/** Of whoever reads: these keys, where EBS asks for them. */
export function decryptStatement(grant: Term & Pick<Grant, "kmsKeys">): PolicyStatement {
  return {
    Sid: "DecryptSnapshotBlocks",
    Effect: "Allow",
    Action: ["kms:Decrypt"],
    Resource: grant.kmsKeys,
    ...conditions(grant, { StringEquals: { "kms:ViaService": viaService(grant.region) } }),
  };
}

/** Of a key's own policy. */
export function keyStatement(grant: Term & { readonly principal: string }): PolicyStatement {
  return {
    Sid: "DecryptForAcquisition",
    Effect: "Allow",
    Principal: { AWS: grant.principal },
    Action: ["kms:Decrypt"],
    // In the policy of a key, that key.
    Resource: "*",
    ...conditions(grant, { StringEquals: { "kms:ViaService": viaService(grant.region) } }),
  };
}

/**
 * Of whoever takes snapshots of an instance: the instance, its volumes and what comes of them; tags as they are made, and
 * never afterwards.
 *
 * @see https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonec2.html
 */
export function createStatements(grant: Term): PolicyStatement[] {
  const { region } = grant;
  const arn = (account: string, type: string) =>
    `arn:${partitionOf(region)}:ec2:${region}:${account}:${type}/*`;
  return [
    {
      Sid: "TakeSnapshots",
      Effect: "Allow",
      Action: ["ec2:CreateSnapshots"],
      Resource: [arn("*", "instance"), arn("*", "volume"), arn("", "snapshot")],
      ...conditions(grant),
    },
    {
      Sid: "TagThemAsTheyAreMade",
      Effect: "Allow",
      Action: ["ec2:CreateTags"],
      Resource: [arn("", "snapshot")],
      ...conditions(grant, { StringEquals: { "ec2:CreateAction": "CreateSnapshots" } }),
    },
    {
      Sid: "FindThem",
      Effect: "Allow",
      Action: ["ec2:DescribeInstances", "ec2:DescribeSnapshots"],
      Resource: "*",
      ...conditions(grant),
    },
  ];
}

/** An end in time, and what else must hold. */
function conditions({ untilMs }: Term, more: Conditions = {}): { readonly Condition?: Conditions } {
  // IAM's documents write whole seconds.
  const end = untilMs === undefined
    ? {}
    : { DateLessThan: { "aws:CurrentTime": formatTime(untilMs).replace(/\.\d+Z$/, "Z") } };
  const all = { ...end, ...more };
  return Object.keys(all).length === 0 ? {} : { Condition: all };
}

function sharing(
  operation: "add" | "remove",
  { region, id, account }: { readonly region: string; readonly id: SnapshotId; readonly account: string },
): string {
  return `aws ec2 modify-snapshot-attribute --region ${region} --snapshot-id ${id} ` +
    `--attribute createVolumePermission --operation-type ${operation} --user-ids ${account}`;
}

function checkKey(key: string, region: string): void {
  const [, partition, keyRegion, resource] =
    /^arn:([a-z-]+):kms:([a-z0-9-]+):\d{12}:((?:key|alias)\/[\w/-]+)$/.exec(key) ?? [];
  if (resource === undefined) {
    throw new OperatorError(
      "usage",
      `Cannot use key "${key}": expected its ARN, arn:aws:kms:REGION:ACCOUNT:key/ID`,
      { hints: ["describe-snapshots shows it as KmsKeyId."] },
    );
  }
  if (resource.startsWith("alias/")) {
    throw new OperatorError(
      "usage",
      `Cannot use key "${key}": policies name keys by their ids, not by an alias`,
      { hints: [`aws kms describe-key --region ${keyRegion} --key-id ${key} shows its Arn.`] },
    );
  }
  if (keyRegion !== region || partition !== partitionOf(region)) {
    throw new OperatorError(
      "usage",
      `Cannot use key "${key}": it is of ${partition} ${keyRegion}, the snapshots are in ${region}`,
    );
  }
}

/** The account of a principal. */
function accountOf(principal: string, region: string): string {
  const [, partition, account] = /^arn:([a-z-]+):(?:iam|sts)::(\d{12}):[\w+=,.@/-]+$/.exec(principal) ?? [];
  if (account === undefined) {
    throw new OperatorError(
      "usage",
      `Cannot use principal "${principal}": expected an ARN such as arn:aws:iam::123456789012:role/responder`,
    );
  }
  if (partition !== partitionOf(region)) {
    throw new OperatorError(
      "usage",
      `Cannot use principal "${principal}": it is of partition ${partition}, ${region} is of ${
        partitionOf(region)
      }`,
    );
  }
  return account;
}
