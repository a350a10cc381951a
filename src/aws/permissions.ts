/**
 * What AWS's refusals mean for the person who has to get them lifted: the missing permission, as an IAM
 * statement ready to paste, and whether it is IAM, the key or the sharing of the snapshot. Pure text.
 */
import { OperatorError } from "../errors.ts";
import { type Call, serviceOf } from "./calls.ts";

/** `aws`, `aws-cn`, …: the partition that a Region belongs to. */
export function partitionOf(region: string): string {
  if (region.startsWith("cn-")) return "aws-cn";
  if (region.startsWith("us-gov-")) return "aws-us-gov";
  if (region.startsWith("us-isob-")) return "aws-iso-b";
  if (region.startsWith("us-iso-")) return "aws-iso";
  return region.startsWith("eusc-") ? "aws-eusc" : "aws";
}

/** One IAM policy statement, as the one line that people paste. */
function statement(action: string, resources: readonly string[]): string {
  const resource = resources.length === 1 ? resources[0] : resources;
  return JSON.stringify({ Effect: "Allow", Action: action, Resource: resource });
}

/** The statement that grants a call; only EBS's actions can be granted for one snapshot. */
export function statementFor(call: Call, region: string): string {
  const service = serviceOf(call.action);
  const resources = service === "ebs"
    ? call.snapshots.map((id) => `arn:${partitionOf(region)}:ec2:${region}::snapshot/${id}`)
    : ["*"];
  return statement(`${service}:${call.action}`, resources);
}

export interface Refusal {
  readonly call: Call;
  readonly region: string;
  readonly message: string;
  /** EBS's `Reason` member. */
  readonly reason: string | undefined;
  readonly requestId: string | undefined;
}

/** The error for an AccessDenied answer: code `access`, the missing permission in message and hints. */
export function accessDenied(refusal: Refusal): OperatorError {
  const { call, region, message, reason } = refusal;
  const snapshot = call.snapshots[0] ?? null;
  const facts = { snapshot, region, reason: reason ?? null, requestId: refusal.requestId ?? null };
  if (reason === "DEPENDENCY_ACCESS_DENIED" || /kms:|KMS/.test(message)) {
    const key = /arn:[a-z-]+:kms:[\w:/-]+/.exec(message)?.[0] ??
      `arn:${partitionOf(region)}:kms:${region}:ACCOUNT:key/KEY-ID`;
    return new OperatorError(
      "access",
      `Cannot ${call.what}: AWS KMS denies the snapshot's key, kms:Decrypt is needed`,
      {
        hints: [
          `Add to the caller's policy: ${statement("kms:Decrypt", [key])}`,
          "Where the key is another account's, its key policy must allow this caller too; a snapshot under the key aws/ebs cannot be shared at all.",
        ],
        facts: { ...facts, action: "kms:Decrypt" },
      },
    );
  }
  const action = `${serviceOf(call.action)}:${call.action}`;
  const hints = [`Add to the caller's policy: ${statementFor(call, region)}`];
  if (/explicit deny/i.test(message)) {
    hints.unshift(
      "AWS names an explicit deny: a policy of the role, its boundary or the organization forbids it, and no grant overrides that.",
    );
  } else if (snapshot !== null) {
    hints.push(
      `Where another account owns the snapshot, the owner must share it: aws ec2 modify-snapshot-attribute --region ${region} --snapshot-id ${snapshot} --attribute createVolumePermission --operation-type add --user-ids ACCOUNT`,
    );
  }
  return new OperatorError("access", `Cannot ${call.what}: AWS denies it, ${action} is needed`, {
    hints,
    facts: { ...facts, action },
  });
}
