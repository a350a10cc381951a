/**
 * What `whoami` answers, as a new user sees it: the whole text for each way to credentials, and for each way to have none
 * that AWS takes; the hints of those followed.
 */
import { assertEquals } from "@std/assert";
import { outside } from "../outside.ts";
import { type Desks, withDesks } from "./desk.ts";
import { play, type Scene } from "./scene.ts";

const USER = { accessKeyId: "AKIAIOSFODNN7EXAMPLE", secretAccessKey: "of-the-user" };
const OVER = {
  accessKeyId: "ASIAOVEROVEROVEROVER",
  secretAccessKey: "of-a-session",
  sessionToken: "session",
  expiresAtMs: 0,
};
const ACCOUNT = "arn:aws:iam::123456789012";
const DEVICE = `${ACCOUNT}:mfa/examiner`;
const ENDPOINT = {
  credentials: [USER, OVER],
  roles: [
    { arn: `${ACCOUNT}:role/responder` },
    { arn: `${ACCOUNT}:role/reader`, trusts: ["arn:aws:sts::123456789012:assumed-role/responder/coldcase"] },
    { arn: `${ACCOUNT}:role/guarded`, needsMfa: true },
    { arn: `${ACCOUNT}:role/lent`, externalId: "case-7" },
  ],
  mfaDevices: [{ serial: DEVICE, codes: ["111111", "222222", "333333"] }],
};

/** What differs from run to run. */
const VARIABLE = [
  [/http:\/\/127\.0\.0\.1:\d+/g, "ENDPOINT"],
  [/\d{4}-\d\d-\d\dT[\d:.]+Z/g, "TIME"],
  [/for (?:\d+ (?:h|min|s) ?)+more/g, "for SOME more"],
  [/, ASIA\w{16}$/gm, ", ASIA…"],
] as const;

const PROFILES = `cat > config <<END
[profile user]
aws_access_key_id = ${USER.accessKeyId}
aws_secret_access_key = ${USER.secretAccessKey}
[profile responder]
role_arn = ${ACCOUNT}:role/responder
source_profile = user
role_session_name = coldcase
[profile reader]
role_arn = ${ACCOUNT}:role/reader
source_profile = responder
role_session_name = case-7
[profile guarded]
role_arn = ${ACCOUNT}:role/guarded
source_profile = user
role_session_name = coldcase
mfa_serial = ${DEVICE}
END
export AWS_CONFIG_FILE=$PWD/config
`;

const FREE = `sts:GetCallerIdentity   allowed
ec2:DescribeSnapshots   allowed
ec2:DescribeInstances   allowed
ebs:ListSnapshotBlocks  allowed
ebs:ListChangedBlocks   allowed`;
const WAY = `Region                  eu-central-1
endpoint                ENDPOINT, not AWS's
proxy                   none
clock                   agrees with AWS's to a second`;

const ANSWERS = [
  {
    what: "keys of the environment",
    typed: "coldcase whoami",
    said: `caller                  ${ACCOUNT}:user/examiner
account                 123456789012
credentials             the environment, AKIAIOSFODNN7EXAMPLE
until                   no end known, can't renew themselves
${WAY}
${FREE}`,
  },
  {
    what: "a role",
    typed: `coldcase whoami --role-arn ${ACCOUNT}:role/responder --session-name case-7`,
    said: `caller                  arn:aws:sts::123456789012:assumed-role/responder/case-7
account                 123456789012
credentials             role ${ACCOUNT}:role/responder, assumed with the environment, ASIA…
first                   ${ACCOUNT}:user/examiner
role                    ${ACCOUNT}:role/responder as case-7, until TIME
until                   TIME, for SOME more, can renew themselves
${WAY}
${FREE}`,
  },
  {
    what: "a role of a profile, assumed by a role of another",
    typed: `${PROFILES}coldcase whoami --profile reader`,
    said: `caller                  arn:aws:sts::123456789012:assumed-role/reader/case-7
account                 123456789012
credentials             role ${ACCOUNT}:role/reader, assumed with role ${ACCOUNT}:role/responder, assumed with profile "reader", ASIA…
first                   ${ACCOUNT}:user/examiner
role                    ${ACCOUNT}:role/responder as coldcase, until TIME
role                    ${ACCOUNT}:role/reader as case-7, until TIME
until                   TIME, for SOME more, can renew themselves
${WAY}
${FREE}`,
  },
  {
    what: "a file with what the AWS command line prints",
    typed: `umask 077
echo '{"Version": 1, "AccessKeyId": "${USER.accessKeyId}", "SecretAccessKey": "${USER.secretAccessKey}"}' > keys.json
unset AWS_ACCESS_KEY_ID; coldcase whoami --credentials-file keys.json`,
    said: `caller                  ${ACCOUNT}:user/examiner
account                 123456789012
credentials             file "keys.json", AKIAIOSFODNN7EXAMPLE
until                   no end known, read again from the file
${WAY}
${FREE}`,
  },
] as const;

async function tell(desks: Desks, { typed, said }: typeof ANSWERS[number]): Promise<void> {
  const { exitCode, stdout, stderr } = await desks.try(typed, await desks.desk("empty"));
  assertEquals([exitCode, stderr], [0, ""]);
  const settled = VARIABLE.reduce((text, [pattern, word]) => text.replace(pattern, word), stdout.trimEnd());
  assertEquals(settled.split("\n").map((line) => line.trimEnd()).join("\n"), said);
}

outside(
  "whoami says who one is, for each way to credentials",
  ["bash", "openssl"],
  (context) =>
    withDesks(async (desks) => {
      for (const answer of ANSWERS) await context.step(answer.what, () => tell(desks, answer));
    }, ENDPOINT),
);

const GUARDED = `coldcase whoami --role-arn ${ACCOUNT}:role/guarded`;
const SESSION =
  `echo '{"Credentials": {"AccessKeyId": "${USER.accessKeyId}", "SecretAccessKey": "${USER.secretAccessKey}"}}'`;

const REFUSALS: readonly Scene[] = [
  {
    what: "a role that can't be assumed",
    laid: "empty",
    typed: `coldcase whoami --role-arn ${ACCOUNT}:role/nobodys`,
    exitCode: 13,
    stderr:
      `coldcase: error: Cannot get credentials: no credentials from role ${ACCOUNT}:role/nobodys, assumed with the environment: User: ${ACCOUNT}:user/examiner is not authorized to perform: sts:AssumeRole on resource: ${ACCOUNT}:role/nobodys
coldcase: hint: Add to the caller's policy: {"Effect":"Allow","Action":"sts:AssumeRole","Resource":"${ACCOUNT}:role/nobodys"}
coldcase: hint: The role's trust policy must name the caller, too: {"Effect":"Allow","Principal":{"AWS":"${ACCOUNT}:user/examiner"},"Action":"sts:AssumeRole"}
coldcase: hint: What that policy asks for must be given: an external id with --external-id, an MFA device with --mfa-serial.`,
    followed: [
      { typed: `coldcase whoami --role-arn ${ACCOUNT}:role/responder` },
      { typed: `coldcase whoami --role-arn ${ACCOUNT}:role/responder` },
      { typed: `coldcase whoami --role-arn ${ACCOUNT}:role/lent --external-id case-7` },
    ],
  },
  {
    what: "a role that IAM does not let one assume",
    laid: "empty",
    trouble: ({ simulator }) => simulator.deny("sts:AssumeRole"),
    calm: ({ simulator }) => simulator.allow("sts:AssumeRole"),
    typed: `coldcase whoami --role-arn ${ACCOUNT}:role/responder`,
    exitCode: 13,
    stderr:
      `coldcase: error: Cannot get credentials: no credentials from role ${ACCOUNT}:role/responder, assumed with the environment: User: ${ACCOUNT}:user/examiner is not authorized to perform: sts:AssumeRole on resource: ${ACCOUNT}:role/responder because no identity-based policy allows the sts:AssumeRole action
coldcase: hint: Add to the caller's policy: {"Effect":"Allow","Action":"sts:AssumeRole","Resource":"${ACCOUNT}:role/responder"}`,
    followed: [{
      act: ({ simulator }) => simulator.allow("sts:AssumeRole"),
      typed: `coldcase whoami --role-arn ${ACCOUNT}:role/responder`,
    }],
  },
  {
    what: "what is no role",
    laid: "empty",
    typed: "coldcase whoami --role-arn responder",
    exitCode: 2,
    stderr: `coldcase: error: Cannot assume role "responder": expected its ARN, arn:aws:iam::ACCOUNT:role/NAME
coldcase: hint: aws iam get-role --role-name NAME shows it.`,
    followed: [{ typed: `coldcase whoami --role-arn ${ACCOUNT}:role/responder` }],
  },
  {
    what: "a device, and nobody to type its code",
    laid: "empty",
    typed: `${GUARDED} --mfa-serial ${DEVICE}`,
    exitCode: 13,
    stderr:
      `coldcase: error: Cannot get credentials with MFA device "${DEVICE}": its code is asked for at a terminal only, and there is none
coldcase: hint: Get the session beforehand, in a file of yours: (umask 077; aws sts assume-role --role-arn ${ACCOUNT}:role/guarded --role-session-name coldcase --region eu-central-1 --serial-number ${DEVICE} --token-code CODE > session.json)
coldcase: hint: Then run the same command with --credentials-file session.json instead of profile, role and MFA device.`,
    followed: [
      {
        typed:
          `${SESSION} > session.json; chmod 600 session.json; coldcase whoami --credentials-file session.json`,
      },
      { typed: `${SESSION} > session.json; coldcase whoami --credentials-file session.json` },
    ],
  },
  {
    what: "a device of a profile, and nobody to type its code",
    laid: "empty",
    typed: `${PROFILES}coldcase whoami --profile guarded`,
    exitCode: 13,
    stderr:
      `coldcase: error: Cannot get credentials with MFA device "${DEVICE}": its code is asked for at a terminal only, and there is none
coldcase: hint: Get the session beforehand, in a file of yours: (umask 077; aws sts assume-role --role-arn ${ACCOUNT}:role/guarded --role-session-name coldcase --region eu-central-1 --serial-number ${DEVICE} --token-code CODE > session.json)
coldcase: hint: Then run the same command with --credentials-file session.json instead of profile, role and MFA device.`,
    followed: [
      { typed: `${SESSION} > session.json; coldcase whoami --credentials-file session.json` },
      { typed: `${SESSION} > session.json; coldcase whoami --credentials-file session.json` },
    ],
  },
  {
    what: "an MFA session that is over",
    laid: "empty",
    typed:
      `export AWS_ACCESS_KEY_ID=${OVER.accessKeyId} AWS_SECRET_ACCESS_KEY=${OVER.secretAccessKey} AWS_SESSION_TOKEN=session
coldcase whoami`,
    exitCode: 13,
    stderr:
      `coldcase: error: Cannot ask who the caller is: HTTP 403 ExpiredToken: The security token included in the request is expired
coldcase: hint: Credentials from the environment cannot renew themselves: set fresh ones. Then run the same command again: it resumes.
coldcase: hint: They are a session's. With a user's own keys and --mfa-serial, or --role-arn, coldcase gets a session itself, and the next one.`,
    followed: [
      { typed: "coldcase whoami" },
      { typed: `coldcase whoami --role-arn ${ACCOUNT}:role/responder` },
    ],
  },
  {
    what: "a file whose session is over",
    laid: "empty",
    before: `umask 077
echo '{"Version": 1, "AccessKeyId": "${OVER.accessKeyId}", "SecretAccessKey": "x", "Expiration": "2026-01-02T03:04:05Z"}' > session.json`,
    typed: "coldcase whoami --credentials-file session.json",
    exitCode: 13,
    stderr:
      `coldcase: error: Cannot use the credentials in "session.json": they ended at 2026-01-02T03:04:05.000Z
coldcase: hint: Write fresh ones there: aws sts get-session-token --serial-number DEVICE --token-code CODE > session.json`,
    followed: [{ typed: `${SESSION} > session.json; coldcase whoami --credentials-file session.json` }],
  },
  {
    what: "a file that is none",
    laid: "empty",
    before: `echo "[default]" > session.json; chmod 600 session.json`,
    typed: "coldcase whoami --credentials-file session.json",
    exitCode: 2,
    stderr: `coldcase: error: Cannot take credentials from "session.json": it is no JSON
coldcase: hint: Expected is what this prints: aws sts get-session-token --serial-number DEVICE --token-code CODE (or aws sts assume-role, aws configure export-credentials)`,
    followed: [{ typed: `${SESSION} > session.json; coldcase whoami --credentials-file session.json` }],
  },
  {
    what: "a session with MFA for what is a session already",
    laid: "empty",
    typed: `${PROFILES}coldcase whoami --profile responder --mfa-serial ${DEVICE}`,
    exitCode: 13,
    stderr:
      `coldcase: error: Cannot get credentials with MFA device "${DEVICE}": profile "responder" is a session already, and AWS makes one of a user's own keys only
coldcase: hint: Leave --mfa-serial out; or name the role that the code is for with --role-arn; or give the user's own keys.`,
    followed: [{ typed: `${PROFILES}coldcase whoami --profile responder` }],
  },
];

outside(
  "whoami says why one is nobody, and each hint leads on",
  ["bash", "openssl"],
  (context) =>
    withDesks(async (desks) => {
      for (const scene of REFUSALS) await context.step(scene.what, () => play(desks, scene));
    }, ENDPOINT),
);
