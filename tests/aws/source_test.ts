/** A whole source against scripted servers: first answers, credentials, clocks, proxies that talk back. */
import {
  assert,
  assertEquals,
  assertMatch,
  assertNotMatch,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import { OperatorError } from "../../src/errors.ts";
import { all, errorAnswer, KEYS, open, type Script, SNAPSHOT, withSource } from "./fakes.ts";
import { openSource } from "../../src/aws/source.ts";

async function refusal(work: () => Promise<unknown>): Promise<OperatorError> {
  return await assertRejects(work, OperatorError);
}

/** Nothing that a person or a program may see holds the secret. */
function assertNoSecret(...shown: unknown[]): void {
  const text = shown.map((one) =>
    one instanceof OperatorError ? JSON.stringify([one.message, one.hints, one.facts]) : JSON.stringify(one)
  ).join();
  assertNotMatch(text, /wJalrXUtnFEMI|SECRET|session-token-text/);
}

Deno.test("listBlocks() gives up within half a minute where nobody ever answered", async () => {
  // A port that was just free: nobody listens there.
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr;
  listener.close();
  const { source, clock } = await open(`http://127.0.0.1:${port}`);
  const error = await refusal(() => all(source.listBlocks(SNAPSHOT)));
  assertEquals([error.code, error.facts.reason], ["source", "NO_ANSWER"]);
  assertStringIncludes(error.message, "connection refused, after");
  assertStringIncludes(error.hints[0]!, "eu-central-1");
  assert(clock.monotonicMs() >= 30_000 && clock.monotonicMs() < 41_000, `${clock.monotonicMs()} ms`);
  assertNoSecret(error);
  source.close();
});

Deno.test("listBlocks() ends on a name that does not resolve", async () => {
  const { source } = await open("http://no-such-host.invalid");
  const error = await refusal(() => all(source.listBlocks(SNAPSHOT)));
  assertEquals(error.code, "source");
  assertStringIncludes(error.message, "its name cannot be resolved");
  source.close();
});

Deno.test("listBlocks() ends soon where the server says 500 for a snapshot it does not know", async () => {
  await withSource(() => new Response("oops", { status: 500 }), async ({ source, clock }) => {
    const error = await refusal(() => all(source.listBlocks(SNAPSHOT)));
    assertEquals([error.code, error.facts.reason], ["source", "NO_ANSWER"]);
    assertStringIncludes(error.hints[0]!, "snapshot's id");
    assert(clock.monotonicMs() < 41_000);
  });
});

Deno.test("listBlocks() is bounded by minutes where only this snapshot gets 500", async () => {
  const script: Script = ({ url }) =>
    url.pathname.includes("dead") ? new Response("", { status: 500 }) : undefined;
  await withSource(script, async ({ source, clock }) => {
    await all(source.listBlocks(SNAPSHOT));
    const error = await refusal(() => all(source.listBlocks("snap-dead0000" as typeof SNAPSHOT)));
    assertEquals(error.code, "source");
    assert(clock.monotonicMs() >= 300_000 && clock.monotonicMs() < 320_000, `${clock.monotonicMs()} ms`);
  });
});

Deno.test("listBlocks() retries a proxy's HTML page and names it", async () => {
  const html = "<!DOCTYPE html><html><body>Please log in</body></html>";
  const script: Script = ({ number }) => number < 2 ? new Response(html) : undefined;
  await withSource(script, async ({ source, events }) => {
    await all(source.listBlocks(SNAPSHOT));
    const reasons = events.flatMap((event) => event.type === "retry" ? [event.reason] : []);
    assertEquals(reasons.length, 2);
    assertStringIncludes(reasons[0]!, "an HTML page (HTTP 200)");
  });
});

Deno.test("listBlocks() retries a refusal that is not the service's", async () => {
  const script: Script = ({ number }) =>
    number < 2 ? new Response("Forbidden by policy 7", { status: 403 }) : undefined;
  await withSource(script, async ({ source, events }) => {
    await all(source.listBlocks(SNAPSHOT));
    const reasons = events.flatMap((event) => event.type === "retry" ? [event.reason] : []);
    assertEquals(reasons[0], "HTTP 403 with a body that is not the service's");
  });
});

Deno.test("listBlocks() follows no redirect", async () => {
  let elsewhere = 0;
  const other = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, () => {
    elsewhere++;
    return new Response("");
  });
  const location = `http://127.0.0.1:${other.addr.port}/stolen?token=SECRET`;
  await withSource(
    () => new Response(null, { status: 302, headers: { location } }),
    async ({ source, events }) => {
      const error = await refusal(() => all(source.listBlocks(SNAPSHOT)));
      assertEquals(error.code, "source");
      assertStringIncludes(error.message, `HTTP 302 to 127.0.0.1:${other.addr.port}`);
      assertNoSecret(error, events);
    },
  );
  assertEquals(elsewhere, 0);
  await other.shutdown();
});

Deno.test("listBlocks() ends at once where environment credentials expired, saying how to go on", async () => {
  const script: Script = ({ number }) => number > 0 ? errorAnswer(403, "ExpiredTokenException") : undefined;
  await withSource(script, async ({ source, server, events }) => {
    const error = await refusal(() => all(source.listBlocks(SNAPSHOT)));
    assertEquals([error.code, error.exitCode], ["access", 13]);
    assertStringIncludes(error.hints.join(" "), "run the same command again: it resumes");
    assertEquals(server.seen.length, 2);
    assertNoSecret(error, events);
  }, { volume: { pageSize: 1 } });
});

async function withProfile(
  work: (file: string, write: (key: string) => void) => Promise<void>,
): Promise<void> {
  const folder = await Deno.makeTempDir();
  const file = `${folder}/credentials`;
  const write = (key: string) =>
    Deno.writeTextFileSync(
      file,
      `[case]\naws_access_key_id = ${key}\naws_secret_access_key = SECRET\naws_session_token = session-token-text\n`,
    );
  try {
    write("AKIAOLD");
    await work(file, write);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("listBlocks() waits for a credentials file to be rewritten, then goes on", async () => {
  await withProfile(async (file, write) => {
    let isExpired = false;
    let refused = 0;
    const script: Script = ({ headers, number }) => {
      if (number === 1) isExpired = true;
      if (!isExpired || headers.get("authorization")!.includes("AKIANEW")) return undefined;
      // Somebody logs in again while we wait.
      if (++refused === 12) write("AKIANEW");
      return errorAnswer(400, "ExpiredTokenException");
    };
    const variables = {
      AWS_REGION: "eu-central-1",
      AWS_SHARED_CREDENTIALS_FILE: file,
      AWS_CONFIG_FILE: `${file}-none`,
    };
    await withSource(script, async ({ source, events, clock }) => {
      const pages = await all(source.listBlocks(SNAPSHOT));
      assertEquals(pages.length, 4);
      const keys = events.flatMap((event) => event.type === "credentials" ? [event.accessKeyId] : []);
      assertEquals(keys, ["AKIAOLD", "AKIANEW"]);
      const waiting = events.flatMap((event) => event.type === "waiting" ? [event.waitingFor] : []);
      assertStringIncludes(waiting[0]!, `fresh credentials from profile "case"`);
      assertEquals(events.filter((event) => event.type === "recovered").length, 1);
      assert(clock.monotonicMs() > 60_000);
      assertNoSecret(events);
    }, { variables, profile: "case", volume: { pageSize: 1 } });
  });
});

Deno.test("listBlocks() ends soon where credentials of a file were expired from the start", async () => {
  await withProfile(async (file) => {
    const variables = {
      AWS_REGION: "eu-central-1",
      AWS_SHARED_CREDENTIALS_FILE: file,
      AWS_CONFIG_FILE: `${file}-none`,
    };
    await withSource(() => errorAnswer(400, "ExpiredTokenException"), async ({ source, clock }) => {
      const error = await refusal(() => all(source.listBlocks(SNAPSHOT)));
      assertEquals(error.code, "access");
      assertStringIncludes(error.hints[0]!, `profile "case"`);
      assert(clock.monotonicMs() < 45_000);
    }, { variables, profile: "case" });
  });
});

Deno.test("listBlocks() says what is missing where there are no credentials", async () => {
  const variables = {
    AWS_REGION: "eu-central-1",
    AWS_SHARED_CREDENTIALS_FILE: "/nonexistent/credentials",
    AWS_CONFIG_FILE: "/nonexistent/config",
  };
  await withSource(() => undefined, async ({ source, server }) => {
    const error = await refusal(() => all(source.listBlocks(SNAPSHOT)));
    assertEquals(error.code, "access");
    assertStringIncludes(error.message, `no credentials from profile "nobody"`);
    assertStringIncludes(error.hints.join(" "), "--profile");
    assertEquals(server.seen.length, 0);
  }, { variables, profile: "nobody" });
});

Deno.test("listBlocks() ends where AWS does not know the key", async () => {
  await withSource(() => errorAnswer(403, "UnrecognizedClientException"), async ({ source, server }) => {
    const error = await refusal(() => all(source.listBlocks(SNAPSHOT)));
    assertEquals(error.code, "access");
    assert(server.seen.length <= 2);
    assertNoSecret(error);
  });
});

/** Milliseconds that a signature's time is off from `now`. */
function signedOffMs(headers: Headers, now: number): number {
  const stamp = headers.get("x-amz-date")!.replace(/^(....)(..)(..)T(..)(..)(..)Z$/, "$1-$2-$3T$4:$5:$6Z");
  return Math.abs(Date.parse(stamp) - now);
}

Deno.test("listBlocks() corrects a clock that is a day off, says so, and signs again", async () => {
  const dayMs = 86_400_000;
  const script: Script = ({ headers }) => {
    const now = Date.now() + dayMs;
    const date = new Date(now).toUTCString();
    if (signedOffMs(headers, now) < 300_000) return undefined;
    return errorAnswer(403, "InvalidSignatureException", { message: "Signature expired", headers: { date } });
  };
  await withSource(script, async ({ source, server, events }) => {
    await all(source.listBlocks(SNAPSHOT));
    assertEquals(server.seen.length, 2);
    const skew = events.find((event) => event.type === "clock_skew");
    assert(skew !== undefined && Math.abs(skew.skewMs - dayMs) < 5_000, JSON.stringify(skew));
  });
});

Deno.test("listBlocks() ends where the signature stays wrong with a right clock", async () => {
  await withSource(() => errorAnswer(403, "InvalidSignatureException"), async ({ source, server }) => {
    const error = await refusal(() => all(source.listBlocks(SNAPSHOT)));
    assertEquals(error.code, "access");
    assert(server.seen.length <= 4);
  });
});

Deno.test("listBlocks() takes RequestExpired with a right clock for credentials that ended", async () => {
  const script: Script = () =>
    errorAnswer(400, "RequestExpired", { headers: { date: new Date().toUTCString() } });
  await withSource(script, async ({ source, server, events }) => {
    const error = await refusal(() => all(source.listBlocks(SNAPSHOT)));
    assertEquals(error.code, "access");
    assertMatch(error.hints[0]!, /cannot renew themselves/);
    assert(server.seen.length <= 2);
    assertEquals(events.filter((event) => event.type === "clock_skew"), []);
  });
});

Deno.test("listBlocks() names the missing permission as a statement to paste", async () => {
  const message =
    "User: arn:aws:sts::1:assumed-role/r/s is not authorized to perform: ebs:ListSnapshotBlocks";
  await withSource(
    () => errorAnswer(403, "AccessDeniedException", { message }),
    async ({ source, server }) => {
      const error = await refusal(() => all(source.listBlocks(SNAPSHOT)));
      assertEquals([error.code, error.facts.action], ["access", "ebs:ListSnapshotBlocks"]);
      const statement = JSON.parse(error.hints[0]!.replace("Add to the caller's policy: ", ""));
      assertEquals(statement, {
        Effect: "Allow",
        Action: "ebs:ListSnapshotBlocks",
        Resource: `arn:aws:ec2:eu-central-1::snapshot/${SNAPSHOT}`,
      });
      assertEquals(server.seen.length, 1);
    },
  );
});

Deno.test("describe() has failed and callerIdentity() is undefined where the server knows neither", async () => {
  const answers: Response[] = [
    new Response("<html>not found</html>", { status: 404 }),
    new Response("what?"),
    new Response("", { status: 500 }),
    errorAnswer(403, "AccessDeniedException"),
    new Response("<Response><Errors/></Response>", { status: 400 }),
  ];
  for (const answer of answers) {
    await withSource(() => answer.clone(), async ({ source, server, events }) => {
      const { result, description } = await source.describe(SNAPSHOT);
      assertEquals([result, description], ["failed", undefined]);
      assertEquals(await source.callerIdentity(), undefined);
      // Both went to the endpoint, and the failure was told.
      assert(server.seen.length >= 2);
      assert(events.some((event) => event.type === "failed"));
    });
  }
});

Deno.test("describe() does not use up the patience for the first answer of EBS", async () => {
  const script: Script = ({ action, number }) =>
    action === "other" || number < 12 ? new Response("", { status: 500 }) : undefined;
  await withSource(script, async ({ source }) => {
    assertEquals((await source.describe(SNAPSHOT)).result, "failed");
    assertEquals((await all(source.listBlocks(SNAPSHOT))).length, 1);
  }, { firstAnswerWithinMs: 60_000 });
});

Deno.test("openSource() takes Region and endpoint in the order that AWS's tools have", async () => {
  const at = async (variables: Record<string, string>, options = {}) => {
    const source = await openSource({
      clock: { nowMs: () => 0, monotonicMs: () => 0, sleep: () => Promise.resolve() },
      randomness: { bytes: (n) => new Uint8Array(n), fraction: () => 0 },
      environment: (name) => ({ AWS_ACCESS_KEY_ID: "a", AWS_SECRET_ACCESS_KEY: "b", ...variables })[name],
      ...options,
    });
    source.close();
    return [source.region, source.endpoint, source.isAws];
  };
  const region = { AWS_REGION: "eu-west-1" };
  assertEquals(await at(region), ["eu-west-1", "https://ebs.eu-west-1.amazonaws.com", true]);
  assertEquals(await at({ AWS_DEFAULT_REGION: "eu-west-2" }), [
    "eu-west-2",
    "https://ebs.eu-west-2.amazonaws.com",
    true,
  ]);
  assertEquals((await at({ ...region, AWS_DEFAULT_REGION: "eu-west-2" }))[0], "eu-west-1");
  assertEquals((await at(region, { region: "us-gov-west-1" }))[1], "https://ebs.us-gov-west-1.amazonaws.com");
  assertEquals(await at({ AWS_REGION: "cn-north-1" }), [
    "cn-north-1",
    "https://ebs.cn-north-1.amazonaws.com.cn",
    true,
  ]);
  const us = { AWS_REGION: "us-east-1" };
  assertEquals(
    (await at({ ...us, AWS_USE_FIPS_ENDPOINT: "true" }))[1],
    "https://ebs-fips.us-east-1.amazonaws.com",
  );
  assertEquals(await at({ ...us, AWS_USE_DUALSTACK_ENDPOINT: "true" }), [
    "us-east-1",
    "https://ebs.us-east-1.api.aws",
    true,
  ]);
  assertEquals((await at({ ...us, AWS_ENDPOINT_URL: "http://a:1" }))[1], "http://a:1");
  assertEquals(
    (await at({ ...us, AWS_ENDPOINT_URL: "http://a:1", AWS_ENDPOINT_URL_EBS: "http://b:2" }))[1],
    "http://b:2",
  );
  assertEquals(await at({ ...us, AWS_ENDPOINT_URL_EBS: "http://b:2" }, { endpointUrl: "http://c:3/" }), [
    "us-east-1",
    "http://c:3",
    false,
  ]);
  const vpce = "https://vpce-0a.ebs.us-east-1.vpce.amazonaws.com";
  assertEquals(await at({ ...us, AWS_USE_FIPS_ENDPOINT: "true" }, { endpointUrl: vpce }), [
    "us-east-1",
    vpce,
    true,
  ]);
  assertEquals((await at(us, { endpointUrl: "http://ebs.us-east-1.amazonaws.com" }))[2], false);
  assertEquals((await at(us, { endpointUrl: "https://amazonaws.com.evil.example" }))[2], false);
});

Deno.test("openSource() refuses what is no Region, no endpoint, no proxy", async () => {
  const refused = async (variables: Record<string, string>, options = {}) => {
    const error = await assertRejects(
      () => open("http://127.0.0.1:1", { variables: { ...KEYS, ...variables }, ...options }),
      OperatorError,
    );
    assertEquals(error.code, "usage");
    assertNoSecret(error);
    return error.message;
  };
  assertStringIncludes(await refused({}, { region: "evil.example/" }), `Cannot use Region "evil.example/"`);
  assertStringIncludes(await refused({}, { endpointUrl: "ftp://x" }), `Cannot use endpoint "ftp://x"`);
  assertStringIncludes(
    await refused({}, { endpointUrl: "http://me:SECRET@host" }),
    `Cannot use endpoint "host"`,
  );
  assertStringIncludes(
    await refused({}, { endpointUrl: "http://:SECRET@host" }),
    `Cannot use endpoint "host"`,
  );
  for (const endpointUrl of ["http://me:SECRET@[bad", "me:SECRET@[bad", "//me:SECRET@host"]) {
    assertStringIncludes(await refused({}, { endpointUrl }), "Cannot use endpoint");
  }
  assertStringIncludes(await refused({ HTTP_PROXY: "http://me:SECRET@[::bad" }), "HTTP_PROXY");
});

Deno.test("credentials() tells source, end and whether they renew themselves", async () => {
  await withSource(() => undefined, async ({ source }) => {
    assertEquals(await source.credentials(), {
      source: "the environment",
      accessKeyId: "AKIAIOSFODNN7EXAMPLE",
      expiresAt: undefined,
      canRenew: false,
      renewal: "none",
      exchanges: [],
    });
  });
});
