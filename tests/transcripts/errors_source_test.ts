/**
 * Trouble with the source: credentials, permissions, states of a snapshot, the budget, blocks that can't be read. The whole
 * text of each error, and each of its hints followed to where it leads.
 */
import { assertEquals } from "@std/assert";
import { type Desks, SNAPSHOT, withDesks } from "./desk.ts";
import { outside } from "../outside.ts";
import { play, type Scene } from "./scene.ts";

const OTHER = "snap-0fedcba9876543210";
const KEY_ARN = "arn:aws:kms:eu-central-1:123456789012:key/11111111-2222-3333-4444-555555555555";
const FORBIDDEN = "ebs:ListSnapshotBlocks=service control policy";
const OTHERS_KEY = KEY_ARN.replace("123456789012", "210987654321");
const plan = (snapshot: string) => `coldcase plan ${snapshot}`;
const acquire = (snapshot: string) => `coldcase acquire ${snapshot} --case 2026-114 -q`;
const NOT_AWS = "coldcase: warning: NOT ACQUIRED FROM AWS: the endpoint is ENDPOINT";
const AGAIN = "coldcase: hint: What was recorded is saved: run the same command again to go on.";

const CREDENTIALS: readonly Scene[] = [
  {
    what: "no credentials",
    laid: "empty",
    typed: `unset AWS_ACCESS_KEY_ID; ${plan(SNAPSHOT)}`,
    exitCode: 13,
    stderr: `${NOT_AWS}
coldcase: error: Cannot describe "${SNAPSHOT}": no credentials from the default credential chain: Could not load credentials from any providers
coldcase: hint: Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (and AWS_SESSION_TOKEN), or name a profile with --profile.`,
    followed: [{ typed: plan(SNAPSHOT) }],
  },
  {
    what: "no such profile",
    laid: "empty",
    typed: `${plan(SNAPSHOT)} --profile nobody`,
    exitCode: 13,
    stderr: `${NOT_AWS}
coldcase: error: Cannot describe "${SNAPSHOT}": no credentials from profile "nobody": Could not resolve credentials using profile: [nobody] in configuration/credentials file(s).
coldcase: hint: Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (and AWS_SESSION_TOKEN), or name a profile with --profile.
coldcase: hint: These are the profiles that there are: aws configure list-profiles
coldcase: hint: For an SSO profile: aws sso login --profile nobody`,
    followed: [
      { typed: plan(SNAPSHOT) },
      {
        // What that command prints, asked for by the name.
        typed: `keys="aws_access_key_id = $AWS_ACCESS_KEY_ID\\naws_secret_access_key = $AWS_SECRET_ACCESS_KEY"
printf "[somebody]\\n$keys\\n" > credentials
AWS_SHARED_CREDENTIALS_FILE=credentials ${plan(SNAPSHOT)} --profile somebody`,
      },
      {
        // What a login leaves behind: keys for the profile.
        typed: `keys="aws_access_key_id = $AWS_ACCESS_KEY_ID\\naws_secret_access_key = $AWS_SECRET_ACCESS_KEY"
printf "[nobody]\\n$keys\\n" > credentials
AWS_SHARED_CREDENTIALS_FILE=credentials ${plan(SNAPSHOT)} --profile nobody`,
      },
    ],
  },
  {
    what: "a key that AWS does not know",
    laid: "empty",
    typed: `AWS_ACCESS_KEY_ID=AKIAXXXXXXXXXXXXXXXX; ${plan(SNAPSHOT)}`,
    exitCode: 13,
    stderr: `${NOT_AWS}
coldcase: error: Cannot describe "${SNAPSHOT}": HTTP 401 AuthFailure: The security token included in the request is invalid.
coldcase: hint: Credentials from the environment cannot renew themselves: set fresh ones. Then run the same command again: it resumes.`,
    followed: [{ typed: plan(SNAPSHOT) }],
  },
  {
    what: "another key's secret",
    laid: "empty",
    typed: `AWS_SECRET_ACCESS_KEY=another; ${acquire(SNAPSHOT)}`,
    exitCode: 13,
    stderr: `${NOT_AWS}
coldcase: error: Cannot ask who the caller is: HTTP 403 SignatureDoesNotMatch: The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details. (our clock was corrected by TIME)
coldcase: hint: Credentials from the environment cannot renew themselves: set fresh ones. Then run the same command again: it resumes.`,
    followed: [{ typed: acquire(SNAPSHOT) }],
  },
];

const PERMISSIONS: readonly Scene[] = [
  {
    what: "IAM denies reading blocks",
    laid: "empty",
    trouble: ({ simulator }) => simulator.deny("ebs:GetSnapshotBlock"),
    calm: ({ simulator }) => simulator.allow("ebs:GetSnapshotBlock"),
    typed: acquire(SNAPSHOT),
    exitCode: 13,
    stderr: `${NOT_AWS}
coldcase: error: Cannot read block N of "${SNAPSHOT}": AWS denies it, ebs:GetSnapshotBlock is needed
coldcase: hint: Add to the caller's policy: {"Effect":"Allow","Action":"ebs:GetSnapshotBlock","Resource":"arn:aws:ec2:eu-central-1::snapshot/${SNAPSHOT}"}
${AGAIN}`,
    followed: [
      { act: allowsAsHinted, typed: acquire(SNAPSHOT) },
      { typed: acquire(SNAPSHOT), exitCode: 13 },
    ],
  },
  {
    what: "the organization forbids reading blocks",
    laid: "empty",
    trouble: ({ simulator }) => simulator.deny(FORBIDDEN),
    calm: ({ simulator }) => simulator.allow(FORBIDDEN),
    typed: `coldcase plan ${SNAPSHOT}`,
    exitCode: 13,
    stderr: `${NOT_AWS}
coldcase: error: Cannot list blocks of "${SNAPSHOT}": a service control policy denies it, ebs:ListSnapshotBlocks is needed
coldcase: hint: AWS names an explicit deny in a service control policy: no grant overrides it. Who can take it back or narrow it: whoever runs AWS Organizations above account 123456789012.`,
    followed: [{
      act: ({ simulator }) => simulator.allow(FORBIDDEN),
      typed: `coldcase plan ${SNAPSHOT}`,
    }],
  },
  {
    what: "KMS denies the key",
    laid: "empty",
    trouble: ({ simulator, image }) =>
      simulator.addSnapshot({ id: OTHER, path: image, encrypted: true, kmsKeyId: KEY_ARN, kmsDenied: true }),
    calm: ({ simulator }) => simulator.removeSnapshot(OTHER),
    typed: acquire(OTHER),
    exitCode: 13,
    stderr: `${NOT_AWS}
coldcase: error: Cannot read block N of "${OTHER}": AWS KMS denies the snapshot's key, kms:Decrypt is needed
coldcase: hint: Add to the caller's policy: {"Effect":"Allow","Action":["kms:Decrypt"],"Resource":["${KEY_ARN}"],"Condition":{"StringEquals":{"kms:ViaService":"ec2.eu-central-1.amazonaws.com"}}}
coldcase: hint: Add to the key's policy, in account 123456789012, unless that leaves it to IAM: {"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::123456789012:user/examiner"},"Action":["kms:Decrypt"],"Resource":"*","Condition":{"StringEquals":{"kms:ViaService":"ec2.eu-central-1.amazonaws.com"}}}
${AGAIN}`,
    followed: [
      {
        act: ({ simulator }) => simulator.updateSnapshot(OTHER, { kmsDenied: false }),
        typed: acquire(OTHER),
      },
      {
        act: ({ simulator }) => simulator.updateSnapshot(OTHER, { kmsDenied: false }),
        typed: acquire(OTHER),
      },
      { typed: acquire(OTHER), exitCode: 13 },
    ],
  },
  {
    what: "nobody has shared the snapshot",
    laid: "empty",
    trouble: ({ simulator, image }) =>
      simulator.addSnapshot({ id: OTHER, path: image, ownerId: "210987654321" }),
    calm: ({ simulator }) => simulator.removeSnapshot(OTHER),
    typed: acquire(OTHER),
    exitCode: 13,
    stderr: `${NOT_AWS}
coldcase: error: Cannot list blocks of "${OTHER}": its owner has not shared it with account 123456789012
coldcase: hint: The owner shares it: aws ec2 modify-snapshot-attribute --region eu-central-1 --snapshot-id ${OTHER} --attribute createVolumePermission --operation-type add --user-ids 123456789012
coldcase: hint: Where it is encrypted the owner's key must let this caller decrypt, too: coldcase policy prints both.
${AGAIN}`,
    followed: [
      {
        act: ({ simulator }) => simulator.updateSnapshot(OTHER, { sharedWith: [simulator.account] }),
        typed: acquire(OTHER),
      },
      {
        typed: `coldcase policy --snapshot ${OTHER} --kms-key ${OTHERS_KEY} ` +
          "--principal arn:aws:iam::123456789012:role/responder | grep -q modify-snapshot-attribute",
      },
      { typed: acquire(OTHER), exitCode: 13 },
    ],
  },
];

const STATES: readonly Scene[] = [
  {
    what: "no such snapshot in this Region",
    laid: "empty",
    calm: ({ simulator }) => simulator.removeSnapshot(OTHER),
    trouble: ({ simulator }) => simulator.removeSnapshot(OTHER),
    typed: acquire(OTHER),
    exitCode: 10,
    stderr: `${NOT_AWS}
coldcase: error: Cannot list blocks of "${OTHER}": eu-central-1 has no snapshot "${OTHER}"
coldcase: hint: Snapshots belong to one Region: if it is not in eu-central-1, name its own with --region.
coldcase: hint: Check the id and the account; a snapshot in the archive tier or the Recycle Bin must be restored first.`,
    followed: [
      // The endpoint is of one Region: that another one is asked for arrives there.
      { typed: `${acquire(OTHER)} --region us-east-1`, exitCode: 2 },
      { act: addOther, typed: acquire(OTHER) },
    ],
  },
  {
    what: "a snapshot that is not ready",
    laid: "empty",
    trouble: ({ simulator, image }) => simulator.addSnapshot({ id: OTHER, path: image, state: "pending" }),
    calm: ({ simulator }) => simulator.removeSnapshot(OTHER),
    typed: acquire(OTHER),
    exitCode: 14,
    stderr: `${NOT_AWS}
coldcase: error: Cannot acquire "${OTHER}": it is pending
coldcase: hint: Wait until it is completed: acquire --wait does, and goes on by itself.`,
    followed: [{
      act: ({ simulator }) => simulator.updateSnapshot(OTHER, { state: "completed" }),
      typed: acquire(OTHER),
    }],
  },
  {
    what: "a snapshot in the archive",
    laid: "empty",
    trouble: ({ simulator, image }) => simulator.addSnapshot({ id: OTHER, path: image, tier: "archive" }),
    calm: ({ simulator }) => simulator.removeSnapshot(OTHER),
    typed: acquire(OTHER),
    exitCode: 14,
    stderr: `${NOT_AWS}
coldcase: error: Cannot acquire "${OTHER}": it is in the archive tier
coldcase: hint: Restore it to the standard tier first (hours), then run the same command again: aws ec2 restore-snapshot-tier --snapshot-id ${OTHER} --temporary-restore-days 14`,
    followed: [{
      act: ({ simulator }) => simulator.updateSnapshot(OTHER, { tier: "standard" }),
      typed: acquire(OTHER),
    }],
  },
  {
    what: "a snapshot that is deleted on the way",
    laid: "empty",
    trouble: async (desks) => {
      await addOther(desks);
      desks.simulator.setFaults(`vanish:${OTHER}/after=4`);
    },
    calm: ({ simulator }) => {
      simulator.setFaults("");
      simulator.removeSnapshot(OTHER);
    },
    typed: `${acquire(OTHER)} --concurrency 1 | cat`,
    exitCode: 14,
    stderr: `${NOT_AWS}
coldcase: error: Cannot read block N of "${OTHER}": it was readable before, now AWS does not find it
coldcase: hint: Find out who deleted, archived or un-shared the snapshot; what was recorded is kept.
coldcase: hint: A snapshot deleted under a Recycle Bin rule can be restored: aws ec2 restore-snapshot-from-recycle-bin --region eu-central-1 --snapshot-id ${OTHER}
${AGAIN}
coldcase: hint: Where it does not come back, the same command with --commit-partial makes an exhibit of what is held, plainly marked.`,
    followed: [
      { act: bringBack, typed: acquire(OTHER) },
      { act: bringBack, typed: acquire(OTHER) },
      { act: bringBack, typed: acquire(OTHER) },
      {
        act: ({ simulator }) => simulator.removeSnapshot(OTHER),
        typed: `${acquire(OTHER)} --commit-partial`,
        exitCode: 3,
      },
    ],
  },
  {
    what: "blocks that can't be read",
    laid: "empty",
    trouble: ({ simulator }) => simulator.setFaults("bad-block:300=checksum"),
    calm: ({ simulator }) => simulator.setFaults(""),
    typed: acquire(SNAPSHOT),
    exitCode: 3,
    stderr: `${NOT_AWS}
coldcase: hint: Run the same command with --retry-unreadable to read the unreadable blocks again.`,
    followed: [{
      act: ({ simulator }) => simulator.setFaults(""),
      typed: `${acquire(SNAPSHOT)} --retry-unreadable; coldcase verify -q`,
    }],
  },
  {
    what: "nobody answers at the endpoint",
    laid: "empty",
    trouble: ({ simulator }) => simulator.setLinkDown(true),
    calm: ({ simulator }) => simulator.setLinkDown(false),
    typed: `${acquire(SNAPSHOT)} --give-up-after 1s 2>&1 | grep -v ': error: Cannot' >&2`,
    exitCode: 14,
    stderr: `${NOT_AWS}
coldcase: hint: Check the Region (eu-central-1), the endpoint URL and the way out: HTTPS_PROXY, HTTP_PROXY, NO_PROXY.
${AGAIN}`,
    followed: [
      { act: ({ simulator }) => simulator.setLinkDown(false), typed: acquire(SNAPSHOT) },
      { act: ({ simulator }) => simulator.setLinkDown(false), typed: acquire(SNAPSHOT) },
    ],
  },
];

const BUDGET: readonly Scene[] = [
  {
    what: "more than the budget",
    laid: "empty",
    typed: `${acquire(SNAPSHOT)} --budget 0.0001`,
    exitCode: 4,
    stderr: `${NOT_AWS}
coldcase: error: Cannot go on within the budget: it would cost $0.0005, --budget allows $0.0001
coldcase: hint: Run the same command with --budget 0.01 or more: what was recorded is kept.`,
    followed: [{ typed: `${acquire(SNAPSHOT)} --budget 0.01` }],
  },
  {
    what: "stopped with Ctrl-C",
    laid: "empty",
    trouble: ({ simulator }) => simulator.setFaults("bandwidth=512KiB/s"),
    calm: ({ simulator }) => simulator.setFaults(""),
    // Its own process group, to which the signal goes as a terminal's does.
    typed: `set -m; mkfifo said
${acquire(SNAPSHOT)} 2> said --concurrency 1 & run=$!
exec 3< said; read -r line <&3; echo "$line" >&2
until ls evidence/journal/*/*.pack > /dev/null 2>&1; do read -r -t 0.2 line <&3 || true; done
exec 4>&2 2> /dev/null # what the shell itself says of its jobs is none of it
kill -INT -- -$run; cat <&3 >&4; wait $run`,
    exitCode: 130,
    stderr: `${NOT_AWS}
coldcase: error: Interrupted while acquiring "${SNAPSHOT}"
${AGAIN}`,
    followed: [{
      act: ({ simulator }) => simulator.setFaults(""),
      typed: `${acquire(SNAPSHOT)}; coldcase verify -q`,
    }],
  },
];

async function addOther({ simulator, image }: Desks): Promise<void> {
  await simulator.addSnapshot({ id: OTHER, path: image });
}

async function bringBack(desks: Desks): Promise<void> {
  desks.simulator.setFaults("");
  await addOther(desks);
}

/** Takes the statement of the hint for what IAM would: JSON with an action on a resource. */
function allowsAsHinted({ simulator }: Desks): void {
  const hint = PERMISSIONS[0]!.stderr.split("\n").find((line) => line.includes("policy: "))!;
  const { Effect, Action, Resource } = JSON.parse(hint.slice(hint.indexOf("{")));
  assertEquals([Effect, Resource], ["Allow", `arn:aws:ec2:eu-central-1::snapshot/${SNAPSHOT}`]);
  simulator.allow(Action);
}

for (
  const [name, scenes] of [
    ["credentials that don't do", CREDENTIALS],
    ["a permission that is lacking", PERMISSIONS],
    ["a snapshot that can't be read", STATES],
    ["an end before the end", BUDGET],
  ] as const
) {
  outside(
    `${name}: told in words, and each hint leads on`,
    ["bash", "openssl"],
    (context) =>
      withDesks(async (desks) => {
        for (const scene of scenes) await context.step(scene.what, () => play(desks, scene));
      }),
  );
}
