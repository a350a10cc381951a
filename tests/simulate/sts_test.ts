/** Sessions of the simulated STS, as AWS's own SDK gets them: roles, whom they trust, codes that are good once. */
import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import {
  AssumeRoleCommand,
  GetCallerIdentityCommand,
  GetSessionTokenCommand,
  STSClient,
} from "@aws-sdk/client-sts";
import {
  type CredentialSet,
  type Simulator,
  type SimulatorOptions,
  startSimulator,
} from "../../src/simulate/mod.ts";

const KEYS: CredentialSet = { accessKeyId: "AKIAIOSFODNN7EXAMPLE", secretAccessKey: "of the user" };
const DEVICE = "arn:aws:iam::123456789012:mfa/examiner";
const ROLE = "arn:aws:iam::123456789012:role/cases/responder";
const OTHERS = "arn:aws:iam::210987654321:role/lender";

async function withSts(
  act: (simulator: Simulator, clientOf: (keys: CredentialSet) => STSClient) => Promise<void>,
  more: SimulatorOptions = {},
): Promise<void> {
  const simulator = await startSimulator({
    credentials: [KEYS],
    roles: [
      { arn: ROLE, needsMfa: true },
      {
        arn: OTHERS,
        trusts: ["arn:aws:iam::123456789012:user/examiner"],
        externalId: "case-7",
        lastsMs: 900_000,
      },
      { arn: "arn:aws:iam::210987654321:role/strange" },
    ],
    mfaDevices: [{ serial: DEVICE, codes: ["111111", "222222"] }],
    ...more,
  });
  const clients: STSClient[] = [];
  const clientOf = ({ accessKeyId, secretAccessKey, sessionToken }: CredentialSet) => {
    const credentials = { accessKeyId, secretAccessKey, ...(sessionToken && { sessionToken }) };
    const client = new STSClient({
      endpoint: simulator.url,
      region: "us-east-1",
      credentials,
      maxAttempts: 1,
    });
    clients.push(client);
    return client;
  };
  try {
    await act(simulator, clientOf);
  } finally {
    for (const client of clients) client.destroy();
    await simulator.close();
  }
}

function setOf(granted: { Credentials?: Record<string, unknown> | undefined }): CredentialSet {
  const { AccessKeyId, SecretAccessKey, SessionToken } = granted.Credentials as Record<string, string>;
  return { accessKeyId: AccessKeyId!, secretAccessKey: SecretAccessKey!, sessionToken: SessionToken };
}

Deno.test("AssumeRole gives a session that is somebody else's, and ends", () =>
  withSts(async (simulator, clientOf) => {
    const wish = { RoleArn: OTHERS, RoleSessionName: "case-7", ExternalId: "case-7" };
    const granted = await clientOf(KEYS).send(new AssumeRoleCommand(wish));
    const arn = "arn:aws:sts::210987654321:assumed-role/lender/case-7";
    assertEquals(granted.AssumedRoleUser?.Arn, arn);
    const lasts = granted.Credentials!.Expiration!.getTime() - simulator.clock.nowMs();
    assertEquals(Math.round(lasts / 60_000), 15);
    const session = clientOf(setOf(granted as never));
    const who = await session.send(new GetCallerIdentityCommand({}));
    assertEquals([who.Arn, who.Account], [arn, "210987654321"]);
    simulator.expireCredentials(granted.Credentials!.AccessKeyId);
    const over = await assertRejects(() => session.send(new GetCallerIdentityCommand({})), Error);
    assertEquals(over.name, "ExpiredToken");
  }));

Deno.test("AssumeRole refuses strangers, another external id, and those who show no device", () =>
  withSts(async (_, clientOf) => {
    const client = clientOf(KEYS);
    const named = { RoleSessionName: "case-7" };
    for (
      const wish of [
        { RoleArn: OTHERS, ...named },
        { RoleArn: OTHERS, ...named, ExternalId: "case-8" },
        { RoleArn: ROLE, ...named },
        { RoleArn: "arn:aws:iam::210987654321:role/strange", ...named },
        { RoleArn: "arn:aws:iam::123456789012:role/none", ...named },
      ]
    ) {
      const refused = await assertRejects(() => client.send(new AssumeRoleCommand(wish)), Error);
      assertEquals(refused.name, "AccessDenied");
      assertStringIncludes(
        refused.message,
        `not authorized to perform: sts:AssumeRole on resource: ${wish.RoleArn}`,
      );
    }
  }));

Deno.test("a code is good once, of its own device, for a role or for a session of the user", () =>
  withSts(async (_, clientOf) => {
    const client = clientOf(KEYS);
    const wish = { RoleArn: ROLE, RoleSessionName: "case-7", SerialNumber: DEVICE };
    await client.send(new AssumeRoleCommand({ ...wish, TokenCode: "111111" }));
    const own = (code: string, serial = DEVICE) =>
      client.send(new GetSessionTokenCommand({ SerialNumber: serial, TokenCode: code }));
    const again = await assertRejects(() => own("111111"), Error);
    assertStringIncludes(again.message, "invalid MFA one time pass code");
    const strange = await assertRejects(() => own("222222", `${DEVICE}2`), Error);
    assertStringIncludes(strange.message, "unable to validate MFA code");
    const session = clientOf(setOf(await own("222222") as never));
    const who = await session.send(new GetCallerIdentityCommand({}));
    assertEquals(who.Arn, "arn:aws:iam::123456789012:user/examiner");
    const refused = await assertRejects(() => session.send(new GetSessionTokenCommand({})), Error);
    assertStringIncludes(refused.message, "Cannot call GetSessionToken with session credentials");
  }));

Deno.test("AssumeRole refuses a session's name with a blank", () =>
  withSts(async (_, clientOf) => {
    const wish = { RoleArn: OTHERS, RoleSessionName: "case 7", ExternalId: "case-7" };
    const invalid = await assertRejects(() => clientOf(KEYS).send(new AssumeRoleCommand(wish)), Error);
    assertEquals(invalid.name, "ValidationError");
  }));

Deno.test("AssumeRole can be denied to everybody", () =>
  withSts(async (_, clientOf) => {
    const wish = { RoleArn: OTHERS, RoleSessionName: "case-7", ExternalId: "case-7" };
    const denied = await assertRejects(() => clientOf(KEYS).send(new AssumeRoleCommand(wish)), Error);
    assertEquals(denied.name, "AccessDenied");
    assertStringIncludes(denied.message, "no identity-based policy allows");
  }, { deny: ["sts:AssumeRole"] }));
