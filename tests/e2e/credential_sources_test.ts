/**
 * Credentials from where the SDK's chain finds them: an SSO login, the instance's role, the container's, a web identity's
 * token, a file with a session. Against stand-ins on this machine; a proxy that nothing should reach shows what would have
 * gone to AWS itself.
 */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { createHash } from "node:crypto";
import { assertExit, assertRefusal, coldcase, type Ended, eventOf } from "./program.ts";

const CREDENTIALS = {
  accessKeyId: "ASIASTANDINSTANDIN01",
  secretAccessKey: "SECRET-of-the-stand-in",
  sessionToken: "SECRETTOKEN",
};
const EXPIRATION = "2099-01-02T03:04:05Z";
/** As the metadata service of an instance and of a container writes them. */
const METADATA = {
  Code: "Success",
  AccessKeyId: CREDENTIALS.accessKeyId,
  SecretAccessKey: CREDENTIALS.secretAccessKey,
  Token: CREDENTIALS.sessionToken,
  Expiration: EXPIRATION,
};

interface Seen {
  readonly what: string;
  readonly headers: Headers;
  readonly body: string;
}

interface StandIn {
  readonly url: string;
  readonly seen: readonly Seen[];
  readonly folder: string;
  /** Hosts that somebody wanted to reach through the proxy. */
  readonly wanted: readonly string[];
  run(args: readonly string[], env?: Readonly<Record<string, string>>): Promise<Ended>;
}

/** STS and EBS, as far as `whoami` asks them: everybody is somebody, and nobody has a snapshot. */
function ordinary({ what, body }: Seen): Response {
  if (body.includes("Action=AssumeRoleWithWebIdentity")) {
    const { accessKeyId, secretAccessKey, sessionToken } = CREDENTIALS;
    return new Response(
      `<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">` +
        `<AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>${accessKeyId}</AccessKeyId>` +
        `<SecretAccessKey>${secretAccessKey}</SecretAccessKey><SessionToken>${sessionToken}</SessionToken>` +
        `<Expiration>${EXPIRATION}</Expiration></Credentials></AssumeRoleWithWebIdentityResult>` +
        `</AssumeRoleWithWebIdentityResponse>`,
      { headers: { "content-type": "text/xml" } },
    );
  }
  if (body.includes("Action=GetCallerIdentity")) {
    return new Response(
      `<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult>` +
        `<Arn>arn:aws:sts::123456789012:assumed-role/standin/s</Arn><UserId>AROA:s</UserId>` +
        `<Account>123456789012</Account></GetCallerIdentityResult></GetCallerIdentityResponse>`,
      { headers: { "content-type": "text/xml" } },
    );
  }
  assert(what.startsWith("GET /snapshots/") || body.includes("Action=Describe"), what);
  return Response.json({ Message: "none", Reason: "SNAPSHOT_NOT_FOUND" }, {
    status: 404,
    headers: { "x-amzn-ErrorType": "ResourceNotFoundException" },
  });
}

/** A proxy that opens no connection, and says what was wanted of it. */
function closedProxy(wanted: string[]): { readonly url: string; close(): void } {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const serve = async (connection: Deno.Conn) => {
    const bytes = new Uint8Array(4096);
    const count = await connection.read(bytes) ?? 0;
    const [line = ""] = new TextDecoder().decode(bytes.subarray(0, count)).split("\r\n");
    wanted.push(line.split(" ")[1] ?? "");
    await connection.write(new TextEncoder().encode("HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n"));
    connection.close();
  };
  (async () => {
    for await (const connection of listener) void serve(connection);
  })();
  return { url: `http://127.0.0.1:${listener.addr.port}`, close: () => listener.close() };
}

/** `script` answers what is no call of STS or EBS. */
async function withStandIn(
  script: (seen: Seen) => Response | undefined,
  act: (standIn: StandIn) => Promise<void>,
): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "coldcase-sources-" });
  const seen: Seen[] = [];
  const wanted: string[] = [];
  const proxy = closedProxy(wanted);
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, async (request) => {
    const { pathname, search } = new URL(request.url);
    const one = {
      what: `${request.method} ${pathname}${search}`,
      headers: request.headers,
      body: await request.text(),
    };
    seen.push(one);
    return script(one) ?? ordinary(one);
  });
  const url = `http://127.0.0.1:${server.addr.port}`;
  const { DENO_DIR = `${Deno.env.get("HOME")}/.cache/deno` } = Deno.env.toObject();
  try {
    await act({
      url,
      seen,
      folder,
      wanted,
      run: (args, env = {}) =>
        coldcase(args, {
          env: {
            HOME: folder,
            DENO_DIR,
            DENO_NO_UPDATE_CHECK: "1",
            AWS_REGION: "eu-central-1",
            AWS_CONFIG_FILE: `${folder}/config`,
            AWS_SHARED_CREDENTIALS_FILE: `${folder}/none`,
            AWS_EC2_METADATA_DISABLED: "true",
            HTTPS_PROXY: proxy.url,
            NO_PROXY: "127.0.0.1",
            ...env,
          },
        }),
    });
  } finally {
    proxy.close();
    await server.shutdown();
    await Deno.remove(folder, { recursive: true });
  }
}

/** What must not come out. */
function assertNoSecret({ stdout, stderr }: Ended): void {
  assertEquals(/SECRET/.test(stdout + stderr), false, stdout + stderr);
}

const SSO = `[profile case]
sso_session = firm
sso_account_id = 123456789012
sso_role_name = responder
[sso-session firm]
sso_region = eu-west-3
sso_start_url = https://firm.example/start
[profile old]
sso_start_url = https://firm.example/start
sso_region = eu-west-3
sso_account_id = 123456789012
sso_role_name = responder
`;

/** What `aws sso login` leaves behind. */
function logIn(folder: string, name: string, more: Readonly<Record<string, string>>): void {
  const cache = `${folder}/.aws/sso/cache`;
  Deno.mkdirSync(cache, { recursive: true });
  const file = createHash("sha1").update(name).digest("hex");
  const token = {
    startUrl: "https://firm.example/start",
    region: "eu-west-3",
    accessToken: "SECRET-login",
    ...more,
  };
  Deno.writeTextFileSync(`${cache}/${file}.json`, JSON.stringify(token));
  Deno.writeTextFileSync(`${folder}/config`, SSO);
}

/** SSO's portal, and the service that renews a login. */
function portal({ what, headers }: Seen): Response | undefined {
  if (what === "POST /token") {
    return Response.json({ accessToken: "SECRET-renewed", expiresIn: 28_800, tokenType: "Bearer" });
  }
  if (!what.startsWith("GET /federation/credentials")) return undefined;
  const token = headers.get("x-amz-sso_bearer_token");
  if (token !== "SECRET-login" && token !== "SECRET-renewed") {
    return Response.json({ message: "Session token not found or invalid" }, {
      status: 401,
      headers: { "x-amzn-ErrorType": "UnauthorizedException" },
    });
  }
  return Response.json({ roleCredentials: { ...CREDENTIALS, expiration: Date.parse(EXPIRATION) } });
}

for (const [profile, name] of [["case", "firm"], ["old", "https://firm.example/start"]] as const) {
  Deno.test(`whoami asks SSO for the credentials of profile ${profile}, at the endpoint that was named`, () =>
    withStandIn(portal, async ({ run, url, folder, seen, wanted }) => {
      logIn(folder, name, { expiresAt: EXPIRATION });
      const ended = await run(["whoami", "--profile", profile, "--endpoint-url", url, "--json"]);
      assertExit(ended, 0);
      const told = eventOf(ended, "identity");
      assertEquals(
        [told["credentials"], told["accessKeyId"], told["canRenew"], told["renewal"]],
        [`profile "${profile}" (SSO)`, CREDENTIALS.accessKeyId, true, "itself"],
      );
      assertStringIncludes(seen[0]!.what, "role_name=responder&account_id=123456789012");
      assertEquals(wanted, []);
      assertNoSecret(ended);
    }));
}

Deno.test("a login that has ended is renewed at the endpoint that was named, too", () =>
  withStandIn(portal, async ({ run, url, folder, seen, wanted }) => {
    logIn(folder, "firm", {
      expiresAt: "2020-01-01T00:00:00Z",
      clientId: "client",
      clientSecret: "SECRET-client",
      refreshToken: "SECRET-refresh",
      registrationExpiresAt: EXPIRATION,
    });
    const ended = await run(["whoami", "--profile", "case", "--endpoint-url", url, "--json"]);
    assertExit(ended, 0);
    assertEquals(seen[0]!.what, "POST /token");
    assertEquals(wanted, []);
    assertNoSecret(ended);
  }));

Deno.test("a login that has ended for good says how to log in", () =>
  withStandIn(portal, async ({ run, url, folder, wanted }) => {
    const command = ["whoami", "--profile", "case", "--endpoint-url", url];
    const hints = ["aws sso login --profile case"];
    logIn(folder, "firm", { expiresAt: "2020-01-01T00:00:00Z" });
    assertRefusal(await run(command), { exitCode: 13, names: ['profile "case"'], hints });
    logIn(folder, "firm", { expiresAt: EXPIRATION, accessToken: "SECRET-of-yesterday" });
    const refused = await run(command);
    assertRefusal(refused, { exitCode: 13, names: ['profile "case"', "UnauthorizedException"], hints });
    assertNoSecret(refused);
    Deno.removeSync(`${folder}/.aws`, { recursive: true });
    assertRefusal(await run(command), { exitCode: 13, names: ['profile "case"'], hints });
    assertEquals(wanted, []);
  }));

Deno.test("SSO is asked in the Region of the login, not in that of the snapshots", () =>
  withStandIn(portal, async ({ run, folder, wanted }) => {
    logIn(folder, "firm", { expiresAt: EXPIRATION });
    assert((await run(["whoami", "--profile", "case"])).exitCode !== 0);
    assertEquals(wanted[0], "portal.sso.eu-west-3.amazonaws.com:443");
  }));

Deno.test("whoami takes the instance's role from the metadata service", () => {
  const metadata = ({ what, headers }: Seen) => {
    if (what === "PUT /latest/api/token") return new Response("metadata-token");
    if (!what.startsWith("GET /latest/meta-data/")) return undefined;
    assertEquals(headers.get("x-aws-ec2-metadata-token"), "metadata-token");
    return what.endsWith("/security-credentials/") ? new Response("collector") : Response.json(METADATA);
  };
  return withStandIn(metadata, async ({ run, url, seen, wanted }) => {
    const env = { AWS_EC2_METADATA_DISABLED: "", AWS_EC2_METADATA_SERVICE_ENDPOINT: url };
    const ended = await run(["whoami", "--endpoint-url", url, "--json"], env);
    assertExit(ended, 0);
    const told = eventOf(ended, "identity");
    assertEquals([told["credentials"], told["canRenew"]], ["the instance's role", true]);
    assert(seen.some(({ what }) => what.endsWith("/security-credentials/collector")));
    assertEquals(wanted, []);
    assertNoSecret(ended);
  });
});

Deno.test("whoami takes the container's role", () => {
  const agent = ({ what, headers }: Seen) => {
    if (what !== "GET /role") return undefined;
    assertEquals(headers.get("authorization"), "Bearer of-the-task");
    return Response.json(METADATA);
  };
  return withStandIn(agent, async ({ run, url }) => {
    const env = {
      AWS_CONTAINER_CREDENTIALS_FULL_URI: `${url}/role`,
      AWS_CONTAINER_AUTHORIZATION_TOKEN: "Bearer of-the-task",
    };
    const ended = await run(["whoami", "--endpoint-url", url, "--json"], env);
    assertExit(ended, 0);
    assertEquals(eventOf(ended, "identity")["credentials"], "the container's role");
    assertNoSecret(ended);
  });
});

for (const isProfile of [true, false]) {
  Deno.test(`a web identity's token of ${isProfile ? "a profile" : "the environment"} goes to the endpoint that was named`, () =>
    withStandIn(() => undefined, async ({ run, url, folder, seen, wanted }) => {
      const role = "arn:aws:iam::123456789012:role/pod";
      Deno.writeTextFileSync(`${folder}/token`, "SECRET-token");
      const [profile, env] = isProfile
        ? [["--profile", "pod"], {}]
        : [[], { AWS_WEB_IDENTITY_TOKEN_FILE: `${folder}/token`, AWS_ROLE_ARN: role }];
      Deno.writeTextFileSync(
        `${folder}/config`,
        `[profile pod]\nrole_arn = ${role}\nweb_identity_token_file = ${folder}/token\n`,
      );
      const ended = await run(["whoami", ...profile, "--endpoint-url", url, "--json"], env);
      assertExit(ended, 0);
      assertStringIncludes(seen[0]!.body, "Action=AssumeRoleWithWebIdentity");
      assertStringIncludes(
        String(eventOf(ended, "identity")["credentials"]),
        `role ${role}, assumed with a web identity`,
      );
      assertEquals(wanted, []);
      assertNoSecret(ended);
    }));
}
