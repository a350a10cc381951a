/**
 * What `acquire --instance` answers where it can't do what it was asked, as a new user sees it: the whole text of each.
 * tests/e2e/instance_test.ts has what it means.
 */
import { assertEquals } from "@std/assert";
import type { SnapshotFacts } from "../../src/simulate/mod.ts";
import { type Stage, withStage } from "../e2e/endpoint.ts";
import { DEVICES, INSTANCE, instance, setOf, snapshotOf } from "../e2e/instance_stage.ts";

const TWO = DEVICES.slice(0, 2);
const [ROOT, DATA] = TWO.map((device) => snapshotOf(device, 1)) as [string, string];

interface Transcript {
  readonly what: string;
  readonly args?: readonly string[];
  readonly deny?: readonly string[];
  /** Of the second volume's snapshot. */
  readonly facts?: SnapshotFacts;
  readonly exitCode: number;
  /** Errors and hints, and warnings that lead to them. */
  readonly said: string;
}

const TRANSCRIPTS: readonly Transcript[] = [
  {
    what: "an instance that nobody knows",
    args: ["--instance", "i-0f0f0f0f0f0f0f0f0"],
    exitCode: 10,
    said:
      `error: Cannot find snapshots of "i-0f0f0f0f0f0f0f0f0": EC2 knows no such instance in us-east-1, and no own snapshot names it in its description or tags
hint: Name its volumes, as CloudTrail's RunInstances and AttachVolume tell them: coldcase sources vol-…
hint: Snapshots belong to one Region (us-east-1): name another with --region.
hint: Deleted ones may be in the Recycle Bin: aws ec2 list-snapshots-in-recycle-bin --region us-east-1`,
  },
  {
    what: "no instance at all",
    args: [],
    exitCode: 2,
    said: `error: Cannot run acquire: neither a snapshot nor an instance was named
hint: coldcase acquire SNAPSHOT…, or coldcase acquire --instance i-…`,
  },
  {
    what: "an instance where a snapshot is expected",
    args: [INSTANCE],
    exitCode: 2,
    said: `error: Cannot take "${INSTANCE}" for a snapshot: it is an instance
hint: Its volumes, taken together: coldcase acquire --instance ${INSTANCE}`,
  },
  {
    what: "a volume where a snapshot is expected",
    args: ["vol-0a0a0a0a0a0a0a001"],
    exitCode: 2,
    said: `error: Cannot take "vol-0a0a0a0a0a0a0a001" for a snapshot: it is a volume
hint: Its snapshots: coldcase sources vol-0a0a0a0a0a0a0a001`,
  },
  {
    what: "what is no instance",
    args: ["--instance", "web-1"],
    exitCode: 2,
    said: `error: Cannot read instance "web-1": expected i- and 8 to 17 hexadecimal digits
hint: An instance that is known by name: coldcase sources --tag Name=NAME`,
  },
  {
    what: "a set with a pending snapshot",
    facts: { state: "pending" },
    exitCode: 14,
    said:
      `error: Cannot take a complete set of the snapshots of "${INSTANCE}": there is none; the newest, started 2026-01-01T03:00:00.123Z, has a snapshot that can't be read, ${DATA}: it is pending, only a completed snapshot can be read
hint: Wait for it: the same command with --wait
hint: What there is of it, all the same: --instance ${INSTANCE} --set 2026-01-01T03:00:00.123Z`,
  },
  {
    what: "a set with an archived snapshot",
    facts: { tier: "archive" },
    exitCode: 14,
    said:
      `error: Cannot take a complete set of the snapshots of "${INSTANCE}": there is none; the newest, started 2026-01-01T03:00:00.123Z, has a snapshot that can't be read, ${DATA}: it is in the archive tier
hint: ${DATA}: restore it first (hours): aws ec2 restore-snapshot-tier --region us-east-1 --snapshot-id ${DATA} --temporary-restore-days 14
hint: Take a new set, of all its volumes: coldcase snapshot create ${INSTANCE}
hint: What there is of it, all the same: --instance ${INSTANCE} --set 2026-01-01T03:00:00.123Z
hint: All sets: coldcase sources ${INSTANCE}`,
  },
  {
    what: "a set with one volume missing",
    facts: { volumeId: "vol-0f0f0f0f" },
    exitCode: 10,
    said:
      `error: Cannot take a complete set of the snapshots of "${INSTANCE}": there is none; the newest, started 2026-01-01T03:00:00.123Z, has no snapshot of /dev/sdb (vol-0a0a0a0a0a0a0a001)
hint: Take a new set, of all its volumes: coldcase snapshot create ${INSTANCE}
hint: What there is of it, all the same: --instance ${INSTANCE} --set 2026-01-01T03:00:00.123Z
hint: All sets: coldcase sources ${INSTANCE}`,
  },
  {
    what: "a set that is not there",
    args: ["--instance", INSTANCE, "--set", "2025-12-31"],
    exitCode: 10,
    said:
      `error: Cannot find set "2025-12-31" of "${INSTANCE}": no start time and no snapshot of its sets is that
hint: 2026-01-01T03:00:00.123Z: 2 snapshots
hint: All of them: coldcase sources ${INSTANCE}`,
  },
  {
    what: "EC2 denied while EBS is allowed",
    deny: ["ec2:DescribeSnapshots"],
    exitCode: 13,
    said:
      `error: Cannot know which snapshots are of "${INSTANCE}": AWS denies it, ec2:DescribeSnapshots is needed
hint: Add to the caller's policy: {"Effect":"Allow","Action":"ec2:DescribeSnapshots","Resource":"*"}
hint: Whoever knows the ids needs nothing of EC2: coldcase acquire SNAPSHOT…, one of each volume.`,
  },
  {
    what: "EC2 denied the instance's volumes, which no snapshot names",
    deny: ["ec2:DescribeInstances"],
    exitCode: 13,
    said:
      `error: Cannot find snapshots of "${INSTANCE}": AWS denies ec2:DescribeInstances, so its volumes are not known, and no own snapshot names it in its description or tags
hint: Add to the caller's policy: {"Effect":"Allow","Action":"ec2:DescribeInstances","Resource":"*"}
hint: Without it: name the volumes, as CloudTrail's RunInstances and AttachVolume tell them: coldcase sources vol-…`,
  },
  {
    what: "an evidence number for a device that there is not",
    args: ["--instance", INSTANCE, "--evidence", "/dev/sdz=7"],
    exitCode: 2,
    said: `error: Cannot use evidence number "/dev/sdz=7": which snapshot it is for is not clear
hint: Of an instance give DEVICE=NUMBER, VOLUME=NUMBER or SNAP=NUMBER once for each, or one NUMBER for all: NUMBER-1, NUMBER-2, … by device.`,
  },
];

function saidBy(stderr: string): string {
  return stderr.split("\n")
    .map((line) => line.replace(/^coldcase: /, ""))
    .filter((line) => /^(?:error|hint): /.test(line))
    .join("\n");
}

async function onStage(stage: Stage, transcript: Transcript): Promise<void> {
  const { what, args = ["--instance", INSTANCE], deny = [], facts, exitCode, said } = transcript;
  stage.simulator.deny(...deny);
  if (facts) stage.simulator.updateSnapshot(DATA, facts);
  const ended = await stage.run(["acquire", ...args, "--case", "1", "--examiner", "E"]);
  assertEquals([what, ended.exitCode, saidBy(ended.stderr)], [what, exitCode, said]);
}

for (const transcript of TRANSCRIPTS) {
  Deno.test(`acquire of an instance says, to the letter: ${transcript.what}`, () =>
    withStage(instance(setOf(1, TWO), {}, TWO), (stage) => onStage(stage, transcript)));
}

Deno.test("acquire of an instance shows its volumes before it begins, and what became of each at the end", () =>
  withStage(instance(setOf(1, TWO), {}, TWO), async (stage) => {
    const args = ["acquire", "--instance", INSTANCE, "--case", "1", "--examiner", "E", "--evidence", "7"];
    stage.simulator.updateSnapshot(DATA, { kmsDenied: true, encrypted: true });
    const ended = await stage.run(args);
    assertEquals(ended.exitCode, 13);
    const lines = ended.stderr.split("\n").map((line) => line.replace(/^coldcase: /, ""));
    const from = lines.findIndex((line) => line.startsWith("the set of"));
    assertEquals(lines.slice(from, from + 5), [
      `the set of ${INSTANCE} started 2026-01-01T03:00:00.123Z (2 snapshots), known by one start time:`,
      "  DEVICE     VOLUME                 SNAPSHOT                 SIZE  STATE",
      `  /dev/xvda  vol-0a0a0a0a0a0a0a000  ${ROOT}  1 GiB  completed`,
      `  /dev/sdb   vol-0a0a0a0a0a0a0a001  ${DATA}  1 GiB  completed`,
      "2 GiB in all; at most $0.1923 (requests $0.0123, transfer $0.1800), if every block was ever written",
    ]);
    const exhibit = /ex-[0-9a-f]{16}/.exec(ended.stdout)![0];
    assertEquals(ended.stdout.split("\n").slice(-4), [
      "DEVICE     VOLUME                 SNAPSHOT                EXHIBIT              STATE",
      `/dev/xvda  vol-0a0a0a0a0a0a0a000  ${ROOT}  ${exhibit}  complete`,
      `/dev/sdb   vol-0a0a0a0a0a0a0a001  ${DATA}                       not acquired (access, exit 13)`,
      "",
    ]);
  }));
