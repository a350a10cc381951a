/**
 * What `sources` answers, as a new user sees it: the whole text of a list, of what can't be read, and of each way to find
 * nothing. tests/e2e/sources_test.ts has what it means.
 */
import { assertEquals } from "@std/assert";
import { withStage } from "../e2e/endpoint.ts";
import { account } from "../e2e/sources_stage.ts";

interface Transcript {
  readonly what: string;
  readonly args: readonly string[];
  readonly deny?: string;
  readonly exitCode: number;
  /** stderr, then stdout. */
  readonly said: string;
}

const TRANSCRIPTS: readonly Transcript[] = [
  {
    what: "an account, and what of it can't be read",
    args: [],
    exitCode: 0,
    said: `coldcase: asking ENDPOINT, which is not AWS's
SNAPSHOT                STARTED            SIZE  STATE      TIER      VOLUME                 DEVICE     OWNER         NAME               ENCRYPTED
snap-00000000000000009  2026-01-09 12:30  1 GiB  completed  archive   vol-00000000000000009             123456789012                     no
snap-00000000000000008  2026-01-08 12:30  1 GiB  error      standard  vol-00000000000000008             123456789012                     no
snap-00000000000000007  2026-01-07 12:30  1 GiB  pending    standard  vol-00000000000000007             123456789012                     no
snap-00000000000000006  2026-01-06 12:30  1 GiB  completed  standard  vol-ffffffff                      123456789012                     no
snap-00000000000000005  2026-01-05 12:30  1 GiB  completed  standard  vol-0d0d0d0d0d0d0d001             123456789012                     no
snap-00000000000000004  2026-01-04 12:30  1 GiB  completed  standard  vol-0d0d0d0d0d0d0d001             123456789012                     no
snap-00000000000000003  2026-01-03 12:30  1 GiB  completed  standard  vol-0a0a0a0a0a0a0a001  /dev/xvda  123456789012  web\ufffd[2J\\u202etoor  no
snap-00000000000000002  2026-01-02 12:30  1 GiB  completed  standard  vol-0a0a0a0a0a0a0a002  /dev/sdf   123456789012                     arn:aws:kms:us-east-1:123456789012:key/aaaaaaaa
snap-00000000000000001  2026-01-01 12:30  1 GiB  completed  standard  vol-0a0a0a0a0a0a0a001  /dev/xvda  123456789012  web root           no

snap-00000000000000009  can't be read: it is in the archive tier; restore it first (hours): aws ec2 restore-snapshot-tier --region us-east-1 --snapshot-id snap-00000000000000009 --temporary-restore-days 14
snap-00000000000000008  can't be read: EC2 could not complete it, its state is error; no waiting mends it: take another snapshot, or read an older one
snap-00000000000000007  can't be read: it is pending, only a completed snapshot can be read; acquire --wait waits for it: coldcase acquire snap-00000000000000007 --wait`,
  },
  {
    what: "an instance without snapshots",
    args: ["i-0b0b0b0b0b0b0b0b0"],
    exitCode: 10,
    said: `coldcase: asking ENDPOINT, which is not AWS's
coldcase: error: Cannot find snapshots of "i-0b0b0b0b0b0b0b0b0": it has 1 volume (vol-0b0b0b0b0b0b0b001), without any own snapshot
coldcase: hint: Take them, of all its volumes at one moment: coldcase snapshot create i-0b0b0b0b0b0b0b0b0
coldcase: hint: Snapshots belong to one Region (us-east-1): name another with --region.
coldcase: hint: Where another account holds them: --shared.
coldcase: hint: Deleted ones may be in the Recycle Bin: aws ec2 list-snapshots-in-recycle-bin --region us-east-1`,
  },
  {
    what: "an instance that is gone",
    args: ["i-0d0d0d0d0d0d0d0d0"],
    exitCode: 0,
    said: `coldcase: asking ENDPOINT, which is not AWS's
coldcase: warning: EC2 does not know i-0d0d0d0d0d0d0d0d0, or no longer; what descriptions and tags say of it was looked at instead
SNAPSHOT                STARTED            SIZE  STATE      TIER      VOLUME                 DEVICE  OWNER         NAME  ENCRYPTED
snap-00000000000000005  2026-01-05 12:30  1 GiB  completed  standard  vol-0d0d0d0d0d0d0d001          123456789012        no
snap-00000000000000004  2026-01-04 12:30  1 GiB  completed  standard  vol-0d0d0d0d0d0d0d001          123456789012        no

snap-00000000000000005  is listed because it is of the same volume as one that names i-0d0d0d0d0d0d0d0d0
snap-00000000000000004  is listed because its description names i-0d0d0d0d0d0d0d0d0

sets of i-0d0d0d0d0d0d0d0d0, for acquire --instance i-0d0d0d0d0d0d0d0d0 --set SET
SET                       VOLUMES  KNOWN BY  STANDING
2026-01-05T12:30:00.000Z   1 of 1            complete, as far as snapshots tell
2026-01-04T12:30:00.000Z   1 of 1            complete, as far as snapshots tell`,
  },
  {
    what: "a volume that is deleted",
    args: ["vol-0d0d0d0d0d0d0d001"],
    exitCode: 0,
    said: `coldcase: asking ENDPOINT, which is not AWS's
coldcase: vol-0d0d0d0d0d0d0d001 is attached to no instance, detached or deleted: its snapshots stay what they are
SNAPSHOT                STARTED            SIZE  STATE      TIER      VOLUME                 DEVICE  OWNER         NAME  ENCRYPTED
snap-00000000000000005  2026-01-05 12:30  1 GiB  completed  standard  vol-0d0d0d0d0d0d0d001          123456789012        no
snap-00000000000000004  2026-01-04 12:30  1 GiB  completed  standard  vol-0d0d0d0d0d0d0d001          123456789012        no`,
  },
  {
    what: "snapshots that others share",
    args: ["--shared"],
    exitCode: 0,
    said: `coldcase: asking ENDPOINT, which is not AWS's
SNAPSHOT                STARTED            SIZE  STATE      TIER      VOLUME                 DEVICE  OWNER         NAME  ENCRYPTED
snap-0000000000000000b  2026-01-11 12:30  1 GiB  completed  standard  vol-0000000000000000b          999999999999        arn:aws:kms:us-east-1:999999999999:alias/aws/ebs
snap-0000000000000000a  2026-01-10 12:30  1 GiB  completed  standard  vol-0e0e0e0e                   999999999999        arn:aws:kms:us-east-1:999999999999:key/11111111-2222-3333-4444-555555555555

snap-0000000000000000b  can't be read: it is under the key aws/ebs of another account, which can't be shared; its owner copies it under a key of their own (aws ec2 copy-snapshot --kms-key-id) and shares copy and key
snap-0000000000000000a  needs kms:Decrypt on the key of 999999999999, in that key's policy too: plan tries it`,
  },
  {
    what: "an unknown tag",
    args: ["--tag", "Case=42"],
    exitCode: 10,
    said: `coldcase: asking ENDPOINT, which is not AWS's
coldcase: error: Cannot find snapshots with Case=42: no own snapshot has a tag "Case"
coldcase: hint: EC2 tells capital letters from small ones; * and ? stand for anything: --tag 'KEY=*'
coldcase: hint: Look without --tag, and in the right Region (us-east-1).`,
  },
  {
    what: "a malformed id",
    args: ["i-0123456789ABCDEF0"],
    exitCode: 2,
    said:
      `coldcase: error: Cannot read id "i-0123456789ABCDEF0": expected i-, vol- or snap- and 8 to 17 hexadecimal digits
coldcase: hint: Ids are written in lower case, and whole: 8 or 17 digits.`,
  },
  {
    what: "a public snapshot",
    args: ["snap-0000000000000000c"],
    exitCode: 0,
    said: `coldcase: asking ENDPOINT, which is not AWS's
SNAPSHOT                STARTED            SIZE  STATE      TIER      VOLUME                 DEVICE  OWNER         NAME  ENCRYPTED
snap-0000000000000000c  2026-01-12 12:30  1 GiB  completed  standard  vol-0000000000000000c          999999999999        no

snap-0000000000000000c  can't be read: it is public, and the EBS direct APIs don't serve public snapshots; copy it into this account: aws ec2 copy-snapshot --region us-east-1 --source-region us-east-1 --source-snapshot-id snap-0000000000000000c`,
  },
  {
    what: "EC2 denied while EBS is allowed",
    args: ["vol-0a0a0a0a0a0a0a002"],
    deny: "ec2:DescribeSnapshots",
    exitCode: 13,
    said: `coldcase: asking ENDPOINT, which is not AWS's
coldcase: error: Cannot look for snapshots: AWS denies it, ec2:DescribeSnapshots is needed; without it nobody can say which snapshots there are, nor of what state, tier and key
coldcase: hint: Add to the caller's policy: {"Effect":"Allow","Action":"ec2:DescribeSnapshots","Resource":"*"}
coldcase: hint: What still works, for whoever knows an id: coldcase plan SNAPSHOT tries by itself what may be read, and acquire needs nothing of EC2.`,
  },
];

Deno.test("sources says what its transcripts have, to the letter", () =>
  withStage(account(), async (stage) => {
    for (const { what, args, deny, exitCode, said } of TRANSCRIPTS) {
      if (deny !== undefined) stage.simulator.deny(deny);
      const ended = await stage.run(["sources", ...args]);
      const text = `${ended.stderr}${ended.stdout}`.replaceAll(stage.simulator.url, "ENDPOINT").trimEnd();
      assertEquals([what, ended.exitCode, text], [what, exitCode, said]);
      if (deny !== undefined) stage.simulator.allow(deny);
    }
  }));
