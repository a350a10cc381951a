/**
 * What AWS's refusals mean for the person who has to get them lifted: whether it is IAM, the key or the sharing of the
 * snapshot, which kind of policy says so, who can change that, and the statement to paste. Pure text.
 */
import { OperatorError } from "../errors.ts";
import type { CallerIdentity, SnapshotId } from "../model.ts";
import { type Call, serviceOf } from "./calls.ts";
import { type Denial, keeperOf, readDenial } from "./denial.ts";
import { accountIn, partitionOf, principalOf } from "./partitions.ts";
import { createStatements, decryptStatement, keyStatement } from "./policy.ts";

/** What earlier answers told, for better words. */
export interface Known {
  caller: CallerIdentity | undefined;
  /** Owner and key of the snapshots that EC2 described. */
  readonly snapshots: Map<
    SnapshotId,
    { readonly ownerAccount: string | undefined; readonly kmsKeyId: string | undefined }
  >;
}

export function nothingKnown(): Known {
  return { caller: undefined, snapshots: new Map() };
}

export interface Refusal {
  readonly call: Call;
  readonly region: string;
  readonly message: string;
  /** EBS's `Reason` member. */
  readonly reason: string | undefined;
  readonly requestId: string | undefined;
  readonly known: Known;
}

/** The same, read. */
interface Read extends Refusal {
  readonly denial: Denial;
  readonly snapshot: SnapshotId | undefined;
  /** Of the caller. */
  readonly account: string | undefined;
  /** Of the snapshot. */
  readonly owner: string | undefined;
  readonly keyArn: string | undefined;
}

/** The error for an AccessDenied answer: code `access`, the missing permission in message, hints and facts. */
export function accessDenied(refusal: Refusal): OperatorError {
  const denial = readDenial(refusal.message);
  const { known } = refusal;
  const snapshot = refusal.call.snapshots[0];
  const facts = snapshot && known.snapshots.get(snapshot);
  const read = {
    ...refusal,
    denial,
    snapshot,
    account: known.caller?.account ?? accountIn(denial.principal),
    owner: facts?.ownerAccount,
    keyArn: /arn:[a-z-]+:kms:[\w:/-]+/.exec(refusal.message.slice(0, 8192))?.[0] ?? keyArnIn(facts?.kmsKeyId),
  };
  if (isOfKey(read)) return keyDenied(read);
  if (
    refusal.reason === "UNAUTHORIZED_ACCOUNT" && (read.owner === undefined || read.owner !== read.account)
  ) {
    return notShared(read);
  }
  return actionDenied(read);
}

function keyArnIn(kmsKeyId: string | undefined): string | undefined {
  return kmsKeyId?.startsWith("arn:") ? kmsKeyId : undefined;
}

function isOfKey({ reason, message, denial }: Read): boolean {
  if (denial.action !== undefined) return denial.action.startsWith("kms:");
  return reason === "DEPENDENCY_ACCESS_DENIED" || /kms:|KMS/.test(message);
}

/** Facts for programs; `what` is what refuses. */
function factsOf(
  read: Read,
  what: {
    readonly denied: "iam" | "kms" | "sharing";
    readonly action: string;
    readonly resource: string | undefined;
  },
) {
  const { denial, region, reason, requestId } = read;
  return {
    ...what,
    resource: what.resource ?? null,
    policy: denial.policy ?? null,
    isExplicit: denial.isExplicit,
    principal: denial.principal ?? read.known.caller?.arn ?? null,
    account: read.account ?? null,
    owner: read.owner ?? null,
    snapshot: read.snapshot ?? null,
    region,
    reason: reason ?? null,
    requestId: requestId ?? null,
  };
}

function keyDenied(read: Read): OperatorError {
  const { call, region, denial, known, keyArn } = read;
  const action = denial.action ?? "kms:Decrypt";
  const key = keyArn ?? `arn:${partitionOf(region)}:kms:${region}:ACCOUNT:key/KEY-ID`;
  const principal = denial.principal ?? known.caller?.arn;
  const grant = {
    region,
    principal: principal === undefined ? "PRINCIPAL" : principalOf(principal),
    untilMs: undefined,
  };
  const keyAccount = accountIn(keyArn);
  const whose = keyAccount === undefined ? "the key's account" : `account ${keyAccount}`;
  const isForeign = keyAccount !== undefined && read.account !== undefined && keyAccount !== read.account;
  const own = `Add to the caller's policy: ${line(decryptStatement({ ...grant, kmsKeys: [key] }))}`;
  const keys = `Add to the key's policy, in ${whose}${
    isForeign ? ", for both are needed" : ", unless that leaves it to IAM"
  }: ${line(keyStatement(grant))}`;
  return new OperatorError(
    "access",
    `Cannot ${call.what}: AWS KMS denies the snapshot's key, ${action} is needed`,
    {
      hints: [
        ...policyHints(read, { own, statement: undefined }),
        ...(denial.policy === "identity-based policy" && !isForeign ? [] : [keys]),
        ...(keyArn === undefined || /alias\/aws\/ebs$/.test(keyArn)
          ? [
            "A snapshot under the key aws/ebs cannot be read from another account: its owner copies it under a key of their own, and shares copy and key.",
          ]
          : []),
      ],
      facts: factsOf(read, { denied: "kms", action, resource: keyArn ?? denial.resource }),
    },
  );
}

function notShared(read: Read): OperatorError {
  const { call, region, snapshot, owner, account } = read;
  const whose = owner === undefined ? "its owner" : `account ${owner}, its owner,`;
  const withWhom = account === undefined ? "this account" : `account ${account}`;
  const id = snapshot ?? "SNAPSHOT";
  return new OperatorError("access", `Cannot ${call.what}: ${whose} has not shared it with ${withWhom}`, {
    hints: [
      `The owner shares it: ${sharing({ region, id, account })}`,
      "Where it is encrypted the owner's key must let this caller decrypt, too: coldcase policy prints both.",
    ],
    facts: factsOf(read, {
      denied: "sharing",
      action: `${serviceOf(call.action)}:${call.action}`,
      resource: arnOf(id, region),
    }),
  });
}

function actionDenied(read: Read): OperatorError {
  const { call, region, snapshot, denial, owner, account } = read;
  const action = denial.action ?? `${serviceOf(call.action)}:${call.action}`;
  const statement = statementFor(action, call, region);
  const who = denial.policy === undefined ? "AWS" : article(denial.policy);
  const hints = policyHints(read, { own: `Add to the caller's policy: ${statement}`, statement });
  const maySharingLack = denial.policy === undefined && !denial.isExplicit &&
    (owner === undefined || owner !== account);
  if (maySharingLack && snapshot !== undefined) {
    hints.push(
      `Where another account owns the snapshot, the owner must share it: ${
        sharing({ region, id: snapshot, account })
      }`,
    );
  }
  if (action.startsWith("ec2:Create")) {
    hints.push("All that taking snapshots needs: coldcase policy --create");
  }
  const isOwn = denial.policy === undefined || denial.policy === "identity-based policy";
  return new OperatorError(
    "access",
    `Cannot ${call.what}: ${isOwn ? "AWS" : who} denies it, ${action} is needed`,
    {
      hints,
      facts: factsOf(read, {
        denied: "iam",
        action,
        resource: denial.resource ?? (snapshot === undefined ? undefined : arnOf(snapshot, region)),
      }),
    },
  );
}

/** What to do about the policy that refuses. `own`: where it is the caller's, or nobody knows. */
function policyHints(
  { denial, account }: Read,
  { own, statement }: { readonly own: string; readonly statement: string | undefined },
): string[] {
  const { policy, isExplicit } = denial;
  if (isExplicit) {
    const place = policy === undefined
      ? "in a policy of the caller, its boundary or the organization"
      : `in ${article(policy)}`;
    const who = policy === undefined ? "whoever made it" : keeperOf(policy, account);
    return [
      `AWS names an explicit deny ${place}: no grant overrides it. Who can take it back or narrow it: ${who}.`,
    ];
  }
  if (policy === undefined || policy === "identity-based policy" || policy === "resource-based policy") {
    return [own];
  }
  const allowed = statement === undefined
    ? ""
    : `: ${policy === "VPC endpoint policy" ? withPrincipal(statement) : statement}`;
  return [
    `What the caller's own policy grants is not enough: ${article(policy)} does not allow it. Who can: ${
      keeperOf(policy, account)
    }${allowed}`,
  ];
}

/** In the policy of an endpoint a statement names who may; who it is, IAM asks anyway. */
function withPrincipal(statement: string): string {
  return JSON.stringify({ ...JSON.parse(statement), Principal: "*" });
}

function article(policy: string): string {
  return policy === "role trust policy"
    ? `the ${policy}`
    : policy.startsWith("identity")
    ? `an ${policy}`
    : `a ${policy}`;
}

/** One IAM policy statement, as the one line that people paste. */
function line(statement: object): string {
  return JSON.stringify({ ...statement, Sid: undefined });
}

function arnOf(id: string, region: string): string {
  return `arn:${partitionOf(region)}:ec2:${region}::snapshot/${id}`;
}

/** The statement that grants an action; only EBS's can be granted for one snapshot. */
function statementFor(action: string, call: Call, region: string): string {
  const create = createStatements({ region, untilMs: undefined }).find(({ Action }) =>
    Action.includes(action)
  );
  if (create !== undefined && action.startsWith("ec2:Create")) return line({ ...create, Action: action });
  const resources = action.startsWith("ebs:") ? call.snapshots.map((id) => arnOf(id, region)) : ["*"];
  return line({
    Effect: "Allow",
    Action: action,
    Resource: resources.length === 1 ? resources[0] : resources,
  });
}

function sharing(
  { region, id, account }: {
    readonly region: string;
    readonly id: string;
    readonly account: string | undefined;
  },
): string {
  return `aws ec2 modify-snapshot-attribute --region ${region} --snapshot-id ${id} --attribute createVolumePermission ` +
    `--operation-type add --user-ids ${account ?? "ACCOUNT"}`;
}

/** The hints for a role that STS does not let the caller assume. `statement`: of the caller's policy. */
export function roleHints(
  message: string,
  facts: { readonly statement: string | undefined; readonly hasMfa: boolean },
): string[] {
  const { principal, policy, isExplicit } = readDenial(message);
  if (isExplicit && policy !== undefined) {
    return [
      `AWS names an explicit deny in ${article(policy)}: no grant overrides it. Who can take it back: ${
        keeperOf(policy, accountIn(principal))
      }.`,
    ];
  }
  const trust = line({
    Effect: "Allow",
    Principal: { AWS: principal === undefined ? "PRINCIPAL" : principalOf(principal) },
    Action: "sts:AssumeRole",
  });
  return [
    ...(policy === "role trust policy"
      ? []
      : [`Add to the caller's policy: ${facts.statement ?? "an sts:AssumeRole statement for the role"}`]),
    ...(policy === "identity-based policy" ? [] : [
      `The role's trust policy must name the caller, too: ${trust}`,
      `What that policy asks for must be given: an external id with --external-id${
        facts.hasMfa ? "" : ", an MFA device with --mfa-serial"
      }.`,
    ]),
  ];
}
