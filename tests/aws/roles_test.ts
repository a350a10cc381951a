/**
 * Credentials that are had for others: a role, a session for the code of an MFA device, both named by options or in a profile.
 * Against the strict simulator, with a person who types what a test says.
 */
import { assert, assertEquals, assertNotMatch, assertRejects, assertStringIncludes } from "@std/assert";
import type { ConnectionOptions } from "../../src/aws/connection.ts";
import type { AwsSource } from "../../src/aws/source.ts";
import { OperatorError } from "../../src/errors.ts";
import type { SnapshotId } from "../../src/model.ts";
import { type Simulator, SimulatorClock, startSimulator } from "../../src/simulate/mod.ts";
import { all, open } from "./fakes.ts";

const USER = "arn:aws:iam::123456789012:user/examiner";
const DEVICE = "arn:aws:iam::123456789012:mfa/examiner";
const ROLE = "arn:aws:iam::123456789012:role/responder";
const NEXT = "arn:aws:iam::123456789012:role/reader";
const OPEN = "arn:aws:iam::123456789012:role/open";
const KEYS = { accessKeyId: "AKIAIOSFODNN7EXAMPLE", secretAccessKey: "SECRET-of-the-user" };
const SNAPSHOT = "snap-0000000000000000a" as SnapshotId;

interface Desk {
  readonly simulator: Simulator;
  readonly folder: string;
  /** What the person was asked. */
  readonly questions: string[];
  open(options: Partial<ConnectionOptions>, profiles?: string): ReturnType<typeof open>;
}

/** `typed`: what the person types, one after the other; `undefined`: they give up. Not given: there is no terminal. */
async function withDesk(
  typed: readonly (string | undefined)[] | undefined,
  act: (desk: Desk) => Promise<void>,
): Promise<void> {
  const folder = await Deno.makeTempDir();
  const simulator = await startSimulator({
    clock: new SimulatorClock(),
    credentials: [{ ...KEYS, arn: USER }],
    roles: [
      { arn: ROLE, needsMfa: true, trusts: [USER], lastsMs: 3600_000 },
      { arn: OPEN },
      { arn: NEXT, trusts: ["arn:aws:sts::123456789012:assumed-role/responder/coldcase"] },
    ],
    mfaDevices: [{ serial: DEVICE, codes: ["111111", "222222", "333333"] }],
    snapshots: [{ id: SNAPSHOT, synthetic: { seed: 1, volumeSizeGib: 1, every: 512 } }],
  });
  const questions: string[] = [];
  const waiting = [...typed ?? []];
  const askCode = (question: string) => {
    questions.push(question);
    return Promise.resolve(waiting.shift());
  };
  const sources: AwsSource[] = [];
  try {
    await act({
      simulator,
      folder,
      questions,
      async open(options, profiles) {
        if (profiles !== undefined) Deno.writeTextFileSync(`${folder}/config`, profiles);
        const own = profiles === undefined
          ? { AWS_ACCESS_KEY_ID: KEYS.accessKeyId, AWS_SECRET_ACCESS_KEY: KEYS.secretAccessKey }
          : {};
        const opened = await open(simulator.url, {
          ...(typed && { askCode }),
          ...options,
          variables: {
            AWS_REGION: simulator.region,
            AWS_CONFIG_FILE: `${folder}/config`,
            AWS_SHARED_CREDENTIALS_FILE: `${folder}/none`,
            ...own,
          },
        });
        sources.push(opened.source);
        return opened;
      },
    });
  } finally {
    for (const source of sources) source.close();
    await simulator.close();
    await Deno.remove(folder, { recursive: true });
  }
}

async function refusalOf(source: AwsSource): Promise<OperatorError> {
  const error = await assertRejects(() => source.credentials(), OperatorError);
  assertEquals([error.code, error.facts.mfaSerial], ["access", DEVICE]);
  assertNotMatch(JSON.stringify([error.message, error.hints, error.facts]), /\b\d{6}\b|SECRET/);
  return error;
}

Deno.test("a role is assumed with the code that was typed, and tells who became whom", () =>
  withDesk(["111 111"], async ({ open, questions }) => {
    const { source } = await open({ roleArn: ROLE, mfaSerial: DEVICE });
    const facts = await source.credentials();
    assertEquals(questions, [`Code of MFA device ${DEVICE}: `]);
    assertEquals(facts.source, `role ${ROLE}, assumed with the environment and MFA device ${DEVICE}`);
    assertEquals([facts.canRenew, facts.renewal, facts.exchanges.length], [true, "code", 1]);
    const [exchange] = facts.exchanges;
    assertEquals([exchange?.how, exchange?.roleArn, exchange?.mfaSerial], ["AssumeRole", ROLE, DEVICE]);
    assertEquals(exchange?.arn, "arn:aws:sts::123456789012:assumed-role/responder/coldcase");
    assertEquals(exchange?.expiresAt, facts.expiresAt);
    assertEquals((await source.callerIdentity())?.arn, exchange?.arn);
    assertEquals((await source.baseIdentity())?.arn, USER);
    assertNotMatch(JSON.stringify(facts), /111111|SECRET/);
  }));

Deno.test("without a role the code is for a session of the keys' own user", () =>
  withDesk(["111111"], async ({ open, simulator }) => {
    const { source } = await open({ mfaSerial: DEVICE });
    const facts = await source.credentials();
    assertEquals(facts.source, `a session of the environment and MFA device ${DEVICE}`);
    assertEquals([facts.exchanges[0]?.how, facts.renewal], ["GetSessionToken", "code"]);
    assertEquals((await source.callerIdentity())?.arn, USER);
    assertEquals((await all(source.listBlocks(SNAPSHOT))).length, 1);
    assertEquals(simulator.requests.count("GetSessionToken"), 1);
  }));

Deno.test("a code that AWS does not take is asked for again, with AWS's reason; one that is none is not sent", () =>
  withDesk(["12345", "999999", "222222"], async ({ open, questions, simulator }) => {
    const { source } = await open({ roleArn: ROLE, mfaSerial: DEVICE });
    await source.credentials();
    assertEquals(questions.length, 3);
    assertStringIncludes(questions[1]!, "Not taken (a code has 6 digits)");
    assertStringIncludes(questions[2]!, "invalid MFA one time pass code");
    assertEquals(simulator.requests.count("AssumeRole"), 2);
  }));

Deno.test("after three codes the person is not asked for a fourth, whatever is wanted then", () =>
  withDesk(["999991", "999992", "999993", "111111"], async ({ open, questions }) => {
    const { source } = await open({ mfaSerial: DEVICE });
    const error = await refusalOf(source);
    assertStringIncludes(error.message, "none of 3 codes was taken (MultiFactorAuthentication failed");
    assertEquals(await assertRejects(() => source.describe(SNAPSHOT), OperatorError), error);
    assertEquals(await assertRejects(() => all(source.listBlocks(SNAPSHOT)), OperatorError), error);
    assertEquals(questions.length, 3);
  }));

Deno.test("who types nothing has given up", () =>
  withDesk([undefined, "111111"], async ({ open, questions }) => {
    const { source } = await open({ mfaSerial: DEVICE });
    assertStringIncludes((await refusalOf(source)).message, "no code was typed");
    await refusalOf(source);
    assertEquals(questions.length, 1);
  }));

Deno.test("without a terminal it says which session to get, for a role and without", () =>
  withDesk(undefined, async ({ open }) => {
    const { source } = await open({
      roleArn: ROLE,
      mfaSerial: DEVICE,
      externalId: "e",
      sessionName: "case-7",
    });
    const { message, hints } = await refusalOf(source);
    assertStringIncludes(message, "at a terminal only");
    const assume = `aws sts assume-role --role-arn ${ROLE} --role-session-name case-7 --external-id e ` +
      `--region us-east-1 --serial-number ${DEVICE} --token-code CODE`;
    assertStringIncludes(hints[0]!, assume);
    assertStringIncludes(hints[1]!, "--credentials-file");
    const own = await open({ mfaSerial: DEVICE });
    assertStringIncludes(
      (await refusalOf(own.source)).hints[0]!,
      `get-session-token --region us-east-1 --serial-number ${DEVICE}`,
    );
  }));

const PROFILES = `[profile user]
aws_access_key_id = ${KEYS.accessKeyId}
aws_secret_access_key = ${KEYS.secretAccessKey}
[profile responder]
role_arn = ${ROLE}
source_profile = user
mfa_serial = ${DEVICE}
role_session_name = coldcase
[profile reader]
role_arn = ${NEXT}
source_profile = responder
`;

Deno.test("a device that a profile names is asked for in the same way, and each role of a chain is told", () =>
  withDesk(["999999", "222222"], async ({ open, questions }) => {
    const { source } = await open({ profile: "reader" }, PROFILES);
    const { exchanges, source: text } = await source.credentials();
    assertEquals(exchanges.map(({ roleArn, mfaSerial }) => [roleArn, mfaSerial]), [
      [ROLE, DEVICE],
      [NEXT, undefined],
    ]);
    assertEquals(
      text,
      `role ${NEXT}, assumed with role ${ROLE}, assumed with profile "reader" and MFA device ${DEVICE}`,
    );
    assertEquals(questions.length, 2);
    assertEquals((await source.baseIdentity())?.arn, USER);
  }));

Deno.test("a session has the name that was given, else the profile's, else coldcase", () =>
  withDesk(undefined, async ({ open }) => {
    const unnamed = PROFILES.replace("role_session_name = coldcase\n", "").replace(
      `mfa_serial = ${DEVICE}\n`,
      "",
    )
      .replace(ROLE, OPEN);
    const nameOf = async (profiles: string, options: Partial<ConnectionOptions> = {}) => {
      const { source } = await open({ profile: "responder", ...options }, profiles);
      return (await source.credentials()).exchanges[0]?.sessionName;
    };
    const ofProfile = unnamed.replace(
      "source_profile = user\n",
      "source_profile = user\nrole_session_name = mine\n",
    );
    assertEquals(await nameOf(unnamed), "coldcase");
    assertEquals(await nameOf(ofProfile), "mine");
    assertEquals(await nameOf(ofProfile, { sessionName: "case-7" }), "case-7");
  }));

Deno.test("a profile with a device says without a terminal what to do", () =>
  withDesk(undefined, async ({ open }) => {
    const { source } = await open({ profile: "responder" }, PROFILES);
    assertStringIncludes((await refusalOf(source)).hints[0]!, `aws sts assume-role --role-arn ${ROLE}`);
  }));

Deno.test("no session is asked for with credentials that are one", () =>
  withDesk(["111111"], async ({ open, questions }) => {
    const { source } = await open({ profile: "responder", mfaSerial: DEVICE }, PROFILES);
    assertStringIncludes((await refusalOf(source)).message, "is a session already");
    assertEquals(questions.length, 1, "for the profile's own device");
  }));

Deno.test("when the session ends the next code is asked for, once, while all requests wait", () =>
  withDesk(["111111", "222222"], async ({ open, questions, simulator }) => {
    const { source, events } = await open({ roleArn: ROLE, mfaSerial: DEVICE });
    const [page] = await all(source.listBlocks(SNAPSHOT));
    simulator.expireCredentials(simulator.credentials.at(-1)!.accessKeyId);
    const blocks = await Promise.all(
      page!.blocks.map((block) => source.getBlock({ snapshot: SNAPSHOT, block, shape: page!.shape })),
    );
    assert(blocks.length > 2 && blocks.every(({ kind }) => kind === "verified"));
    assertEquals(questions.length, 2);
    const told = events.flatMap((event) => event.type === "waiting" ? [event.waitingFor] : []);
    assertEquals(told, [`the code of MFA device ${DEVICE}`]);
    assert(events.some(({ type }) => type === "recovered"));
    assertEquals(events.filter(({ type }) => type === "credentials").length, 2);
  }));

Deno.test("nobody is asked for a code before the session has ended", () =>
  withDesk(["111111"], async ({ open, questions }) => {
    const { source, clock } = await open({ roleArn: ROLE, mfaSerial: DEVICE });
    const { expiresAt } = await source.credentials();
    await clock.sleep(Date.parse(expiresAt!) - clock.nowMs() - 60_000);
    await source.credentials();
    assertEquals(questions.length, 1);
  }));

for (
  const [what, options] of [
    ["a role that is none", { roleArn: "responder" }],
    ["a user for a role", { roleArn: USER }],
    ["a device that can be none", { mfaSerial: "my phone" }],
  ] as const
) {
  Deno.test(`openSource() refuses ${what}`, () =>
    withDesk([], async ({ open }) => {
      assertEquals((await assertRejects(() => open(options), OperatorError)).code, "usage");
    }));
}
