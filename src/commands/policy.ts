/**
 * `policy`: what has to be granted so that a role can acquire, ready to paste: its policy, the key's statement, the
 * commands that share. It asks nobody and changes nothing; whoever owns the account applies it.
 */
import { namedRegion, noRegion } from "../aws/endpoint.ts";
import { type Granted, grantsFor } from "../aws/policy.ts";
import { defineCommand } from "../cli/mod.ts";
import { OperatorError } from "../errors.ts";
import { parseSnapshotId } from "../units.ts";

export const policy = defineCommand({
  usage: "",
  description:
    `Prints the least that lets somebody acquire: the policy of the role that acquires; for encrypted snapshots a statement for the key's own policy; and, for snapshots of another account, the commands with which their owner shares them, and takes that back.

Name every snapshot that will be read. An incremental acquisition also compares with the parent's snapshot: name that, too, or the comparison is denied and the acquisition is a full one. Without --snapshot the policy is for all snapshots of the Region.

The policy of the role only reads. What snapshot create needs is printed with --create, as a policy of its own: whoever takes the snapshots need not be who acquires them. Keys may be used through EBS only (kms:ViaService).

With --until everything that is granted ends by itself. Sharing does not: take it back with the command that is printed for it.

Nothing is asked and nothing is changed. sts:GetCallerIdentity, which the record uses too, needs no permission. A snapshot under the key aws/ebs can't be shared: it is copied under a key of the owner's first.`,
  options: {
    snapshot: {
      value: "ID",
      repeatable: true,
      summary: "a snapshot that will be read, or compared with",
      parse: parseSnapshotId,
    },
    "kms-key": { value: "ARN", repeatable: true, summary: "a key that snapshots are encrypted under" },
    principal: { value: "ARN", summary: "the role or user that acquires" },
    until: {
      value: "TIME",
      summary: "when the grant ends: 2026-12-01, or with a time in UTC",
      parse: parseUntil,
    },
    create: { summary: "also what snapshot create needs, apart" },
    region: { value: "REGION", summary: "Region of the snapshots" },
  },
  environment: { "AWS_REGION, AWS_DEFAULT_REGION": "the Region where --region is not given" },
  examples: [
    {
      command: "coldcase policy --region eu-central-1 --snapshot snap-0123456789abcdef0",
      says: "for one snapshot; --principal shows how to share it, too",
    },
    {
      command: "coldcase policy --until 2030-01-31 --json | jq .rolePolicy > role.json",
      says: "the role's policy alone, for all snapshots of AWS_REGION, for some days",
    },
  ],
  run({ out, world }, { options }) {
    const { snapshot: snapshots, "kms-key": kmsKeys, principal, until: untilMs } = options;
    const region = namedRegion({ region: options.region, environment: world.environment });
    if (region === undefined) throw noRegion();
    if (untilMs !== undefined && untilMs <= world.clock.nowMs()) {
      throw new OperatorError("usage", "Cannot grant until a time that is over: --until is in the past");
    }
    const granted = grantsFor({
      region,
      snapshots,
      kmsKeys,
      principal,
      untilMs,
      takesSnapshots: options.create,
    });
    out.result(texts(granted).join("\n"));
    out.event({ type: "policy", region, ...granted, createPolicy: granted.createPolicy ?? null });
    if (untilMs === undefined) out.note("nothing ends this grant by itself: --until does");
    if (kmsKeys.length > 0 && principal === undefined) {
      out.note("the key's policy has to allow the role, too: --principal shows how");
    }
    return Promise.resolve(0);
  },
});

function texts(granted: Granted): string[] {
  const { rolePolicy, createPolicy, keyStatement, shareCommands, unshareCommands } = granted;
  const parts = [["Policy of the role that acquires", JSON.stringify(rolePolicy, null, 2)]];
  if (createPolicy) {
    parts.push(["Policy of whoever takes the snapshots: it writes", JSON.stringify(createPolicy, null, 2)]);
  }
  if (keyStatement) {
    parts.push(["Statement for the policy of each key", JSON.stringify(keyStatement, null, 2)]);
  }
  if (shareCommands.length > 0) {
    parts.push(["Shares the snapshots with the role's account", shareCommands.join("\n")]);
    parts.push(["Takes that back", unshareCommands.join("\n")]);
  }
  return parts.map(([title, text]) => `# ${title}\n${text}\n`);
}

/** A day, or a time in UTC, as milliseconds since 1970. */
function parseUntil(text: string): number {
  const match = /^\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d)?Z)?$/.exec(text);
  const untilMs = match ? Date.parse(text) : NaN;
  // Date.parse() takes the 31st of February for a day in March.
  if (Number.isNaN(untilMs) || !new Date(untilMs).toISOString().startsWith(text.slice(0, 10))) {
    throw new OperatorError(
      "usage",
      `Cannot read time "${text}": expected a day such as 2026-12-01, or 2026-12-01T18:00Z`,
    );
  }
  return untilMs;
}
