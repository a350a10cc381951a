/**
 * What `policy` would have an account grant: no more than the source asks for, in each partition, with an end; and a
 * linter of IAM policies that no one here wrote finds nothing in it.
 */
import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { OperatorError } from "../../src/errors.ts";
import { type Grant, grantsFor, type PolicyStatement } from "../../src/aws/policy.ts";
import { parseSnapshotId } from "../../src/units.ts";
import { commandOf } from "../e2e/program.ts";
import { outside, toolPath } from "../outside.ts";

const SNAPSHOTS = [parseSnapshotId("snap-0123456789abcdef0"), parseSnapshotId("snap-00000001")];
const KEY = "arn:aws:kms:eu-central-1:210987654321:key/12345678-1234-1234-1234-123456789012";
const ROLE = "arn:aws:iam::123456789012:role/cases/responder";

function grant(more: Partial<Grant> = {}): Grant {
  const { region = "eu-central-1" } = more;
  return { region, snapshots: SNAPSHOTS, kmsKeys: [], principal: undefined, untilMs: undefined, ...more };
}

function actionsOf(statements: readonly PolicyStatement[]): string[] {
  return statements.flatMap(({ Action }) => Action);
}

Deno.test("grantsFor() grants what an acquisition asks for, on the snapshots that were named, and nothing else", () => {
  const { rolePolicy, keyStatement, shareCommands } = grantsFor(grant());
  const reads = ["ebs:ListSnapshotBlocks", "ebs:ListChangedBlocks", "ebs:GetSnapshotBlock"];
  const tells = ["ec2:DescribeSnapshots", "ec2:DescribeInstances"];
  assertEquals(actionsOf(rolePolicy.Statement), [...reads, ...tells]);
  assertEquals(
    rolePolicy.Statement[0]?.Resource,
    SNAPSHOTS.map((id) => `arn:aws:ec2:eu-central-1::snapshot/${id}`),
  );
  assertEquals([keyStatement, shareCommands], [undefined, []]);
  const all = grantsFor(grant({ snapshots: [] }));
  assertEquals(all.rolePolicy.Statement[0]?.Resource, ["arn:aws:ec2:eu-central-1::snapshot/*"]);
});

Deno.test("grantsFor() lets the key be used, in the role's policy and in its own", () => {
  const { rolePolicy, keyStatement } = grantsFor(grant({ kmsKeys: [KEY], principal: ROLE }));
  const decrypt = rolePolicy.Statement.find(({ Action }) => Action.includes("kms:Decrypt"));
  assertEquals(decrypt?.Resource, [KEY]);
  assertEquals(keyStatement?.Principal, { AWS: ROLE });
  assertEquals(keyStatement?.Action, ["kms:Decrypt"]);
  const viaEbs = { StringEquals: { "kms:ViaService": "ec2.eu-central-1.amazonaws.com" } };
  assertEquals([decrypt?.Condition, keyStatement?.Condition], [viaEbs, viaEbs]);
});

Deno.test("grantsFor() keeps what takes snapshots apart from what reads, and only tags what is being made", () => {
  assertEquals(grantsFor(grant()).createPolicy, undefined);
  const { rolePolicy, createPolicy } = grantsFor(grant({ takesSnapshots: true, region: "us-gov-west-1" }));
  assert(actionsOf(rolePolicy.Statement).every((action) => !action.includes(":Create")));
  const [take, tag, find, ...rest] = createPolicy!.Statement;
  assertEquals(rest, []);
  assertEquals([take?.Action, find?.Action], [
    ["ec2:CreateSnapshots"],
    ["ec2:DescribeInstances", "ec2:DescribeSnapshots"],
  ]);
  assertEquals(take?.Resource, [
    "arn:aws-us-gov:ec2:us-gov-west-1:*:instance/*",
    "arn:aws-us-gov:ec2:us-gov-west-1:*:volume/*",
    "arn:aws-us-gov:ec2:us-gov-west-1::snapshot/*",
  ]);
  assertEquals(tag?.Resource, ["arn:aws-us-gov:ec2:us-gov-west-1::snapshot/*"]);
  assertEquals(tag?.Condition, { StringEquals: { "ec2:CreateAction": "CreateSnapshots" } });
});

Deno.test("grantsFor() ends every statement at one time", () => {
  const untilMs = Date.parse("2026-12-01T18:00:00Z");
  const all = { kmsKeys: [KEY], principal: ROLE, untilMs, takesSnapshots: true };
  const { rolePolicy, createPolicy, keyStatement } = grantsFor(grant(all));
  for (const { Condition } of [...rolePolicy.Statement, ...createPolicy!.Statement, keyStatement!]) {
    assertEquals(Condition?.["DateLessThan"], { "aws:CurrentTime": "2026-12-01T18:00:00Z" });
  }
});

for (
  const [region, partition] of [["cn-north-1", "aws-cn"], ["us-gov-west-1", "aws-us-gov"], [
    "us-east-1",
    "aws",
  ]] as const
) {
  Deno.test(`grantsFor() speaks of partition ${partition} in ${region}`, () => {
    const principal = `arn:${partition}:iam::123456789012:role/responder`;
    const { rolePolicy, shareCommands, unshareCommands } = grantsFor(grant({ region, principal }));
    assertEquals(
      rolePolicy.Statement[0]?.Resource,
      SNAPSHOTS.map((id) => `arn:${partition}:ec2:${region}::snapshot/${id}`),
    );
    assertEquals(shareCommands.length, SNAPSHOTS.length);
    assertStringIncludes(shareCommands[0]!, `--region ${region} --snapshot-id ${SNAPSHOTS[0]}`);
    assertStringIncludes(shareCommands[0]!, "--operation-type add --user-ids 123456789012");
    assertEquals(unshareCommands, shareCommands.map((line) => line.replace("type add", "type remove")));
  });
}

for (
  const [what, more] of [
    ["a key's alias", { kmsKeys: [KEY.replace(/key\/.*/, "alias/case")] }],
    ["a key of another Region", { kmsKeys: [KEY.replace("eu-central-1", "us-east-1")] }],
    ["what is no ARN", { kmsKeys: ["12345678-1234-1234-1234-123456789012"] }],
    ["a principal that is none", { principal: "responder" }],
    ["a principal of another partition", { principal: ROLE.replace("arn:aws:", "arn:aws-cn:") }],
  ] as const
) {
  Deno.test(`grantsFor() refuses ${what}`, () => {
    assertEquals(assertThrows(() => grantsFor(grant(more)), OperatorError).code, "usage");
  });
}

outside("a linter of IAM policies finds nothing in what policy prints", ["py:parliament"], async () => {
  const { stdout } = await new Deno.Command(Deno.execPath(), {
    args: commandOf(
      ...["policy", "--region", "eu-central-1", "--snapshot", SNAPSHOTS[0]!, "--kms-key", KEY],
      ...["--principal", ROLE, "--until", "2099-01-01", "--create", "--json"],
    ).slice(1),
  }).output();
  const { rolePolicy, createPolicy, keyStatement } = JSON.parse(
    new TextDecoder().decode(stdout).split("\n")[0]!,
  );
  const lint = "import json, sys, parliament\n" +
    "print(json.dumps([str(one) for one in parliament.analyze_policy_string(sys.argv[1]).findings]))";
  const findings = async (policy: unknown): Promise<string[]> => {
    const { stdout, stderr } = await new Deno.Command(toolPath("python3")!, {
      args: ["-W", "ignore", "-c", lint, JSON.stringify(policy)],
    }).output();
    assertEquals(new TextDecoder().decode(stderr), "");
    return JSON.parse(new TextDecoder().decode(stdout));
  };
  assertEquals(await findings(rolePolicy), []);
  assertEquals(await findings(createPolicy), []);
  // In an identity's policy a statement has no principal: the linter reads those.
  const { Principal, ...keysOwn } = keyStatement;
  assertEquals(Principal, { AWS: ROLE });
  assertEquals(await findings({ Version: "2012-10-17", Statement: [{ ...keysOwn, Resource: [KEY] }] }), []);
  rolePolicy.Statement[0].Action.push("ebs:ReadSnapshotBlock");
  assertEquals((await findings(rolePolicy)).length, 1, "it finds an action that is none");
});
