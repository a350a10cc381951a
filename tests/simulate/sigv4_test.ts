/**
 * The signature check against AWS's published example, against the SDK's signer, and against everything that a
 * wrong clock, key, scope or man in the middle does to a request.
 */
import { assert, assertEquals, assertMatch } from "@std/assert";
import {
  canonicalQuery,
  canonicalRequest,
  parseAuthorization,
  signatureOf,
} from "../../src/simulate/sigv4.ts";
import { SimulatorClock, type SimulatorOptions, startSimulator } from "../../src/simulate/mod.ts";
import { errorOf, KEYS, send, SNAPSHOT, type TestRequest, withFolder, writeImage } from "./fixtures.ts";

const EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

// The suite that AWS published with its documentation ("get-vanilla-query-order-key-case" and "get-vanilla").
Deno.test("signatureOf() gives the signatures of AWS's test suite", () => {
  const vector = (query: string) =>
    signatureOf(
      canonicalRequest({
        method: "GET",
        path: "/",
        query,
        headers: new Map([["host", ["example.amazonaws.com"]], ["x-amz-date", ["20150830T123600Z"]]]),
        body: new Uint8Array(),
      }, { signedHeaders: ["host", "x-amz-date"], payloadHash: EMPTY }),
      {
        secretAccessKey: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
        time: "20150830T123600Z",
        date: "20150830",
        region: "us-east-1",
        service: "service",
      },
    );
  assertEquals(vector(""), "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31");
  assertEquals(
    vector("Param2=value2&Param1=value1"),
    "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
  );
});

Deno.test("canonicalRequest() encodes each path segment twice and resolves dot segments", () => {
  const path = (text: string) =>
    canonicalRequest({ method: "GET", path: text, query: "", headers: new Map(), body: new Uint8Array() }, {
      signedHeaders: [],
      payloadHash: EMPTY,
    }).split("\n")[1];
  assertEquals(path("/"), "/");
  assertEquals(path("/snapshots/snap-1/blocks"), "/snapshots/snap-1/blocks");
  assertEquals(path("/a%20b/c*"), "/a%2520b/c%2A");
  assertEquals(path("/a/./b/../c//d/"), "/a/c/d/");
});

Deno.test("canonicalQuery() sorts by encoded name and value, and reads a bare + as a space", () => {
  assertEquals(canonicalQuery("b=2&a=%2B%2F%3D&a=+&c"), "a=%20&a=%2B%2F%3D&b=2&c=");
});

Deno.test("parseAuthorization() names what is missing or malformed", () => {
  const scope = "Credential=AKIA/20260101/us-east-1/ebs/aws4_request";
  const signature = `Signature=${"0".repeat(64)}`;
  const good = parseAuthorization(`AWS4-HMAC-SHA256 ${scope}, SignedHeaders=host;x-amz-date, ${signature}`);
  assert(typeof good !== "string");
  assertEquals([good.accessKeyId, good.date, good.region, good.service], [
    "AKIA",
    "20260101",
    "us-east-1",
    "ebs",
  ]);
  assertEquals(good.signedHeaders, ["host", "x-amz-date"]);
  for (
    const bad of [
      "Basic abc",
      `AWS4-HMAC-SHA256 ${scope}, ${signature}`,
      `AWS4-HMAC-SHA256 ${scope}, SignedHeaders=host, Signature=abc`,
      `AWS4-HMAC-SHA256 Credential=AKIA/us-east-1/ebs/aws4_request, SignedHeaders=host, ${signature}`,
    ]
  ) assert(typeof parseAuthorization(bad) === "string", bad);
});

/** What an endpoint on a virtual clock says to one request. */
async function answer(
  request: TestRequest,
  options: SimulatorOptions = {},
): Promise<[number, string | null, string]> {
  let result: [number, string | null, string] | undefined;
  await withFolder(async (folder) => {
    writeImage(`${folder}/1.raw`, { blockCount: 4, fills: { 1: 1 } });
    const simulator = await startSimulator({
      credentials: [KEYS],
      blockSizeBytes: 512,
      snapshots: [{ id: SNAPSHOT, path: `${folder}/1.raw` }],
      clock: new SimulatorClock({ startMs: NOON_MS, virtual: true }),
      ...options,
    });
    try {
      const response = await send(simulator, request);
      const type = response.headers.get("x-amzn-errortype");
      result = [response.status, type, await response.text()];
    } finally {
      await simulator.close();
    }
  });
  return result!;
}

const NOON_MS = Date.UTC(2026, 0, 2, 12, 0, 0);
const LIST: TestRequest = { path: `/snapshots/${SNAPSHOT}/blocks` };

Deno.test("startSimulator() accepts what the SDK's signer signed", async () => {
  assertEquals((await answer(LIST))[0], 200);
  // A query whose values need every kind of encoding.
  const odd = { ...LIST, query: { maxResults: "100", extra: "a+b/c=d *~é&?" } };
  assertEquals((await answer(odd))[0], 200);
});

Deno.test("startSimulator() refuses a wrong secret, an unknown key and an unsigned request", async () => {
  const wrong = await answer({ ...LIST, keys: { ...KEYS, secretAccessKey: "other" } });
  assertEquals(wrong.slice(0, 2), [403, "InvalidSignatureException"]);
  const unknown = await answer({ ...LIST, keys: { ...KEYS, accessKeyId: "AKIAOTHER" } });
  assertEquals(unknown.slice(0, 2), [403, "UnrecognizedClientException"]);
  const unsigned = await answer({ ...LIST, tamper: (headers) => delete headers.authorization });
  assertEquals(unsigned.slice(0, 2), [403, "MissingAuthenticationTokenException"]);
});

Deno.test("startSimulator() refuses what was changed after signing", async () => {
  const changes: ((headers: Record<string, string>) => void)[] = [
    (headers) => headers["x-amz-date"] = "20260102T120001Z",
    (headers) => headers["x-amz-added"] = "1",
    (headers) => headers.authorization = headers.authorization!.replace("host;", ""),
    (headers) => headers["x-amz-content-sha256"] = "UNSIGNED-PAYLOAD",
  ];
  for (const tamper of changes) {
    const [status, type] = await answer({ ...LIST, tamper });
    assertEquals([status, type], [403, "InvalidSignatureException"], String(tamper));
  }
});

Deno.test("startSimulator() refuses another Region and another service in the scope", async () => {
  const region = await answer({ ...LIST, region: "eu-west-1" });
  assertEquals(region.slice(0, 2), [403, "InvalidSignatureException"]);
  assertMatch(region[2], /valid region/);
  assertMatch((await answer({ ...LIST, service: "ec2" }))[2], /correct service: 'ebs'/);
});

Deno.test("startSimulator() accepts a signature up to 5 minutes from its clock, on both sides", async () => {
  const minutes = (count: number) => answer({ ...LIST, signedAtMs: NOON_MS + count * 60e3 });
  for (const fine of [-5, 5]) assertEquals((await minutes(fine))[0], 200, String(fine));
  const late = await answer({ ...LIST, signedAtMs: NOON_MS - 301e3 });
  assertEquals(late.slice(0, 2), [403, "InvalidSignatureException"]);
  assertMatch(late[2], /Signature expired: 20260102T115459Z is now earlier than 20260102T115500Z/);
  assertMatch((await answer({ ...LIST, signedAtMs: NOON_MS + 301e3 }))[2], /Signature not yet current/);
});

Deno.test("startSimulator() checks session tokens and their expiry on its own clock", async () => {
  const set = { ...KEYS, sessionToken: "token+/=", expiresAtMs: NOON_MS + 1000 };
  assertEquals((await answer({ ...LIST, keys: set }, { credentials: [set] }))[0], 200);
  const missing = await answer(LIST, { credentials: [set] });
  assertEquals(missing.slice(0, 2), [403, "UnrecognizedClientException"]);
  const other = await answer({ ...LIST, keys: { ...set, sessionToken: "other" } }, { credentials: [set] });
  assertEquals(other.slice(0, 2), [403, "UnrecognizedClientException"]);
  const clock = new SimulatorClock({ startMs: NOON_MS + 1000, virtual: true });
  const expired = await answer({ ...LIST, keys: set }, { credentials: [set], clock });
  assertEquals(expired.slice(0, 2), [403, "ExpiredTokenException"]);
});

Deno.test("Simulator.setCredentials() rotates keys while it runs", async () => {
  const simulator = await startSimulator({ credentials: [KEYS] });
  const newer = { accessKeyId: "AKIANEWER", secretAccessKey: "newer" };
  const unknown = { path: "/snapshots/snap-00/blocks" };
  try {
    simulator.addCredentials(newer);
    for (const keys of [KEYS, newer]) {
      assertEquals((await errorOf(await send(simulator, { ...unknown, keys })))[0], 404);
    }
    simulator.expireCredentials(KEYS.accessKeyId);
    assertEquals((await errorOf(await send(simulator, unknown)))[1], "ExpiredTokenException");
    simulator.setCredentials([newer]);
    assertEquals((await errorOf(await send(simulator, unknown)))[1], "UnrecognizedClientException");
    assertEquals((await errorOf(await send(simulator, { ...unknown, keys: newer })))[0], 404);
  } finally {
    await simulator.close();
  }
});
