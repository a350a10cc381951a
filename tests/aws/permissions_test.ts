/**
 * Refusals in AWS's own words: which kind of policy says no, whether a grant helps, whose turn it is, and the statement that
 * lifts it, for IAM, for keys and for snapshots that nobody shared.
 *
 * The words are those of https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html
 */
import { assert, assertEquals, assertNotMatch, assertStringIncludes } from "@std/assert";
import { type Call, changedCall, getCall, listCall } from "../../src/aws/calls.ts";
import { readDenial } from "../../src/aws/denial.ts";
import { principalOf } from "../../src/aws/partitions.ts";
import { accessDenied, type Known, nothingKnown, roleHints } from "../../src/aws/permissions.ts";
import { OTHER, SNAPSHOT } from "./fakes.ts";

const CALLER = "arn:aws:sts::123456789012:assumed-role/responder/case-7";
const KEY = "arn:aws:kms:eu-central-1:210987654321:key/0a1b";
const RESOURCE = `arn:aws:ec2:eu-central-1::snapshot/${SNAPSHOT}`;
const SAID = `User: ${CALLER} is not authorized to perform: ebs:ListSnapshotBlocks on resource: ${RESOURCE}`;

function denied(
  message: string,
  facts: { reason?: string; call?: Call; region?: string; known?: Known } = {},
) {
  const { reason, call = listCall(SNAPSHOT), region = "eu-central-1", known = nothingKnown() } = facts;
  return accessDenied({ call, region, message, reason, requestId: "id-1", known });
}

function known(snapshot: { ownerAccount?: string; kmsKeyId?: string }): Known {
  return {
    caller: { account: "123456789012", arn: CALLER, userId: "AROA:case-7" },
    snapshots: new Map([[SNAPSHOT, { ownerAccount: undefined, kmsKeyId: undefined, ...snapshot }]]),
  };
}

function statementIn(hint: string | undefined): Record<string, unknown> {
  assert(hint !== undefined);
  return JSON.parse(hint.slice(hint.indexOf("{"), hint.lastIndexOf("}") + 1));
}

const IMPLICIT = "the ebs:ListSnapshotBlocks action";
const WORDS = [
  [
    `because no identity-based policy allows ${IMPLICIT}`,
    "identity-based policy",
    false,
    "Add to the caller's policy",
  ],
  [
    `because no permissions boundary allows ${IMPLICIT}`,
    "permissions boundary",
    false,
    "administers IAM in account 123456789012",
  ],
  [`because no session policy allows ${IMPLICIT}`, "session policy", false, "hands out the session"],
  [
    `because no service control policy allows ${IMPLICIT}`,
    "service control policy",
    false,
    "AWS Organizations above account",
  ],
  [`because no VPC endpoint policy allows ${IMPLICIT}`, "VPC endpoint policy", false, "runs the VPC"],
  [
    `because no resource-based policy allows ${IMPLICIT}`,
    "resource-based policy",
    false,
    "Add to the caller's policy",
  ],
  [
    "with an explicit deny in an identity-based policy",
    "identity-based policy",
    true,
    "administers IAM in account 123456789012",
  ],
  [
    "with an explicit deny in a permissions boundary",
    "permissions boundary",
    true,
    "administers IAM in account",
  ],
  ["with an explicit deny in a session policy", "session policy", true, "hands out the session"],
  [
    "with an explicit deny in a service control policy",
    "service control policy",
    true,
    "AWS Organizations above account",
  ],
  [
    "with an explicit deny in a service control policy: arn:aws:organizations::210987654321:policy/o-1/service_control_policy/p-1",
    "service control policy",
    true,
    "AWS Organizations above account",
  ],
  [
    "with an explicit deny in a resource control policy",
    "resource control policy",
    true,
    "above the resource's account",
  ],
  ["with an explicit deny in a VPC endpoint policy", "VPC endpoint policy", true, "runs the VPC"],
  ["with an explicit deny", undefined, true, "whoever made it"],
] as const;

for (const [words, policy, isExplicit, who] of WORDS) {
  Deno.test(`accessDenied() knows who can lift what is denied "${words.slice(0, 90)}"`, () => {
    const { message, hints, facts, code } = denied(`${SAID} ${words}`);
    assertEquals([code, facts.denied, facts.policy, facts.isExplicit], [
      "access",
      "iam",
      policy ?? null,
      isExplicit,
    ]);
    assertEquals([facts.principal, facts.resource, facts.account], [CALLER, RESOURCE, "123456789012"]);
    assertEquals(facts.action, "ebs:ListSnapshotBlocks");
    assertStringIncludes(message, `Cannot list blocks of "${SNAPSHOT}": `);
    assertStringIncludes(message, "ebs:ListSnapshotBlocks is needed");
    assertStringIncludes(hints[0]!, who);
    assertEquals(hints.length, 1, "AWS has said what it is");
    if (isExplicit) assertStringIncludes(hints[0]!, "no grant overrides it");
    else {
      const { Principal: _, ...statement } = statementIn(hints[0]);
      assertEquals(statement, { Effect: "Allow", Action: "ebs:ListSnapshotBlocks", Resource: RESOURCE });
    }
  });
}

Deno.test("accessDenied() says both, IAM and sharing, where AWS says neither", () => {
  const { hints } = denied(SAID);
  assertStringIncludes(hints[0]!, "Add to the caller's policy");
  assertStringIncludes(hints[1]!, "Where another account owns the snapshot");
  assertStringIncludes(hints[1]!, "--user-ids 123456789012");
  // Who is known to own it needs nobody to share it.
  assertEquals(denied(SAID, { known: known({ ownerAccount: "123456789012" }) }).hints.length, 1);
});

Deno.test("accessDenied() tells a snapshot that nobody shared, and with whom it is to be shared", () => {
  const reason = "UNAUTHORIZED_ACCOUNT";
  const untold = denied("no", { reason });
  assertStringIncludes(untold.message, "its owner has not shared it with this account");
  assertStringIncludes(untold.hints[0]!, "--user-ids ACCOUNT");
  const { message, hints, facts } = denied("no", { reason, known: known({ ownerAccount: "210987654321" }) });
  assertStringIncludes(
    message,
    "account 210987654321, its owner, has not shared it with account 123456789012",
  );
  assertStringIncludes(hints[0]!, `--snapshot-id ${SNAPSHOT}`);
  assertStringIncludes(hints[0]!, "--user-ids 123456789012");
  assertEquals([facts.denied, facts.owner, facts.account], ["sharing", "210987654321", "123456789012"]);
  const own = denied("no", { reason, known: known({ ownerAccount: "123456789012" }) });
  assertEquals(own.facts.denied, "iam", "one's own is not shared with oneself");
});

Deno.test("accessDenied() gives the statements for caller and key, of the key that EC2 told of", () => {
  const { message, hints, facts } = denied("no", {
    reason: "DEPENDENCY_ACCESS_DENIED",
    call: getCall(SNAPSHOT, 12),
    known: known({ ownerAccount: "210987654321", kmsKeyId: KEY }),
  });
  assertStringIncludes(message, `Cannot read block 12 of "${SNAPSHOT}": AWS KMS denies the snapshot's key`);
  const Condition = { StringEquals: { "kms:ViaService": "ec2.eu-central-1.amazonaws.com" } };
  assertEquals(statementIn(hints[0]), {
    Effect: "Allow",
    Action: ["kms:Decrypt"],
    Resource: [KEY],
    Condition,
  });
  assertStringIncludes(hints[1]!, "Add to the key's policy, in account 210987654321, for both are needed");
  assertEquals(statementIn(hints[1]), {
    Effect: "Allow",
    Principal: { AWS: "arn:aws:iam::123456789012:role/responder" },
    Action: ["kms:Decrypt"],
    Resource: "*",
    Condition,
  });
  assertEquals(hints.length, 2);
  assertEquals([facts.denied, facts.action, facts.resource], ["kms", "kms:Decrypt", KEY]);
});

Deno.test("accessDenied() takes the key from the message, and says that aws/ebs can't be shared where it knows none", () => {
  const said =
    `User: ${CALLER} is not authorized to perform: kms:Decrypt on resource: ${KEY} because no identity-based ` +
    "policy allows the kms:Decrypt action";
  const named = denied(said, { call: getCall(SNAPSHOT, 1) });
  assertEquals(statementIn(named.hints[0])["Resource"], [KEY]);
  assertEquals(named.facts.denied, "kms");
  const untold = denied("the KMS key", { reason: "DEPENDENCY_ACCESS_DENIED" });
  assertStringIncludes(untold.hints[0]!, "arn:aws:kms:eu-central-1:ACCOUNT:key/KEY-ID");
  assertStringIncludes(untold.hints.at(-1)!, "aws/ebs");
  const forbidden = denied(`${said.split(" because")[0]} with an explicit deny in a resource-based policy`);
  assertStringIncludes(forbidden.hints[0]!, "whoever owns the resource");
});

for (
  const [region, partition, via] of [
    ["cn-north-1", "aws-cn", ["ec2.cn-north-1.amazonaws.com", "ec2.cn-north-1.amazonaws.com.cn"]],
    ["us-gov-west-1", "aws-us-gov", "ec2.us-gov-west-1.amazonaws.com"],
    ["us-iso-east-1", "aws-iso", "ec2.us-iso-east-1.amazonaws.com"],
    ["us-isob-east-1", "aws-iso-b", "ec2.us-isob-east-1.amazonaws.com"],
    ["us-isof-south-1", "aws-iso-f", "ec2.us-isof-south-1.amazonaws.com"],
    ["eusc-de-east-1", "aws-eusc", "ec2.eusc-de-east-1.amazonaws.com"],
  ] as const
) {
  Deno.test(`accessDenied() writes statements of partition ${partition}, also for a comparison of two snapshots`, () => {
    const { hints } = denied("no", { call: changedCall({ first: OTHER, second: SNAPSHOT }), region });
    assertEquals(statementIn(hints[0])["Resource"], [
      `arn:${partition}:ec2:${region}::snapshot/${SNAPSHOT}`,
      `arn:${partition}:ec2:${region}::snapshot/${OTHER}`,
    ]);
    const key = denied("KMS", { region });
    assertEquals(statementIn(key.hints[0])["Resource"], [
      `arn:${partition}:kms:${region}:ACCOUNT:key/KEY-ID`,
    ]);
    assertEquals(statementIn(key.hints[0])["Condition"], { StringEquals: { "kms:ViaService": via } });
  });
}

Deno.test("accessDenied() gives what taking snapshots needs, with its condition", () => {
  const call: Call = { action: "CreateSnapshots", what: "take snapshots", snapshots: [] };
  const tags = denied(
    `User: ${CALLER} is not authorized to perform: ec2:CreateTags on resource: arn:aws:ec2:eu-central-1::snapshot/* ` +
      "because no identity-based policy allows the ec2:CreateTags action",
    { call },
  );
  assertEquals(statementIn(tags.hints[0]), {
    Effect: "Allow",
    Action: "ec2:CreateTags",
    Resource: ["arn:aws:ec2:eu-central-1::snapshot/*"],
    Condition: { StringEquals: { "ec2:CreateAction": "CreateSnapshots" } },
  });
  assertStringIncludes(tags.hints[1]!, "coldcase policy --create");
  assertEquals((statementIn(denied("no", { call }).hints[0])["Resource"] as string[]).length, 3);
});

Deno.test("readDenial() makes nothing of words that are not AWS's, however long", () => {
  const none = {
    principal: undefined,
    action: undefined,
    resource: undefined,
    policy: undefined,
    isExplicit: false,
  };
  for (
    const text of [
      "",
      "no",
      "because no cat policy allows",
      "User: \x1b[2J is not authorized to perform: rm -rf",
      `because no ${"a".repeat(1_000_000)}`,
      "on resource: \n",
    ]
  ) assertEquals(readDenial(text), none);
  const hostile = denied(
    `User: arn:aws:iam::1:user/"},{"x is not authorized to perform: ebs:GetSnapshotBlock; rm`,
  );
  assertNotMatch(JSON.stringify(hostile.hints), /; rm/);
});

Deno.test("roleHints() tells the caller's policy from the role's trust policy", () => {
  const statement = '{"Effect":"Allow","Action":"sts:AssumeRole","Resource":"arn:aws:iam::1:role/r"}';
  const said =
    `User: ${CALLER} is not authorized to perform: sts:AssumeRole on resource: arn:aws:iam::1:role/r`;
  const both = roleHints(said, { statement, hasMfa: false });
  assertEquals(both.length, 3);
  assertStringIncludes(both[0]!, statement);
  assertEquals(statementIn(both[1])["Principal"], { AWS: "arn:aws:iam::123456789012:role/responder" });
  assertStringIncludes(both[2]!, "--mfa-serial");
  assertNotMatch(roleHints(said, { statement, hasMfa: true }).join(), /--mfa-serial/);
  const own = roleHints(`${said} because no identity-based policy allows the sts:AssumeRole action`, {
    statement,
    hasMfa: false,
  });
  assertEquals(own, [both[0]]);
  const trust = roleHints(`${said} because no role trust policy allows the sts:AssumeRole action`, {
    statement,
    hasMfa: false,
  });
  assertEquals(trust, both.slice(1));
  const forbidden = roleHints(`${said} with an explicit deny in the role trust policy`, {
    statement,
    hasMfa: false,
  });
  assertStringIncludes(forbidden[0]!, "whoever administers the role");
});

Deno.test("principalOf() names the role of a session, and everybody else as they are", () => {
  assertEquals(
    principalOf("arn:aws-cn:sts::123456789012:assumed-role/r/s"),
    "arn:aws-cn:iam::123456789012:role/r",
  );
  const user = "arn:aws:iam::123456789012:user/path/u";
  assertEquals(principalOf(user), user);
});
