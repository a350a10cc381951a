/** Each row of AWS's error table, and each way in which a connection fails, gets its one meaning. */
import { assert, assertEquals, assertNotMatch, assertStringIncludes } from "@std/assert";
import { listCall } from "../../src/aws/calls.ts";
import { CredentialsFailure } from "../../src/aws/credentials.ts";
import { classify, type Verdict } from "../../src/aws/errors.ts";
import { Trouble } from "../../src/aws/trouble.ts";
import { SNAPSHOT } from "./fakes.ts";

const PLACE = { call: listCall(SNAPSHOT), region: "eu-central-1", answeredBefore: false };

/** An exception as the SDK makes it. */
function answer(status: number, name: string, facts: { Reason?: string; message?: string } = {}): Error {
  const { message = name, ...rest } = facts;
  return Object.assign(new Error(message), {
    name,
    $metadata: { httpStatusCode: status, requestId: "id-1" },
    ...rest,
  });
}

function errorOf(verdict: Verdict) {
  assert(verdict.kind === "fatal", verdict.kind);
  return verdict.error;
}

const KINDS: readonly (readonly [number, string, string | undefined, Verdict["kind"]])[] = [
  [500, "InternalServerException", undefined, "retry"],
  [502, "BadGateway", undefined, "retry"],
  [503, "ServiceUnavailable", undefined, "retry"],
  [408, "RequestTimeout", undefined, "retry"],
  [400, "ThrottlingException", "ACCOUNT_THROTTLED", "throttle"],
  [400, "RequestThrottledException", "RESOURCE_LEVEL_THROTTLE", "throttle"],
  [400, "RequestThrottleException", "DEPENDENCY_REQUEST_THROTTLED", "throttle"],
  [429, "TooManyRequests", undefined, "throttle"],
  [400, "ValidationException", "INVALID_BLOCK_TOKEN", "stale_block"],
  [400, "ValidationException", "INVALID_PAGE_TOKEN", "stale_page"],
  [400, "ValidationException", "UNRELATED_SNAPSHOTS", "fatal"],
  [400, "ValidationException", "INVALID_SNAPSHOT_ID", "fatal"],
  [400, "ValidationException", "INVALID_PARAMETER_VALUE", "fatal"],
  [400, "ValidationException", "INVALID_BLOCK", "fatal"],
  [403, "AccessDeniedException", "UNAUTHORIZED_ACCOUNT", "fatal"],
  [403, "AccessDeniedException", "DEPENDENCY_ACCESS_DENIED", "fatal"],
  [403, "ExpiredTokenException", undefined, "expired"],
  [400, "ExpiredTokenException", undefined, "expired"],
  [400, "ExpiredToken", undefined, "expired"],
  [403, "InvalidSignatureException", undefined, "skew"],
  [400, "RequestExpired", undefined, "skew"],
  [403, "UnrecognizedClientException", undefined, "rejected"],
  [404, "ResourceNotFoundException", "SNAPSHOT_NOT_FOUND", "fatal"],
  [402, "ServiceQuotaExceededException", "DEPENDENCY_SERVICE_QUOTA_EXCEEDED", "fatal"],
  [418, "SomethingNew", undefined, "fatal"],
];

for (const [status, type, reason, kind] of KINDS) {
  Deno.test(`classify() takes HTTP ${status} ${type} ${reason ?? ""} for ${kind}`, () => {
    const verdict = classify(answer(status, type, reason === undefined ? {} : { Reason: reason }), PLACE);
    assertEquals([verdict.kind, verdict.requestId], [kind, "id-1"]);
  });
}

const CODES: readonly (readonly [number, string, string, string])[] = [
  [400, "ValidationException", "UNRELATED_SNAPSHOTS", "source"],
  [400, "ValidationException", "INVALID_SNAPSHOT_ID", "source"],
  [403, "AccessDeniedException", "UNAUTHORIZED_ACCOUNT", "access"],
  [404, "ResourceNotFoundException", "SNAPSHOT_NOT_FOUND", "not_found"],
  [402, "ServiceQuotaExceededException", "DEPENDENCY_SERVICE_QUOTA_EXCEEDED", "source"],
];

for (const [status, type, reason, code] of CODES) {
  Deno.test(`classify() ends ${reason} with the code ${code} and its reason as a fact`, () => {
    const error = errorOf(classify(answer(status, type, { Reason: reason }), PLACE));
    assertEquals([error.code, error.facts.reason, error.facts.requestId], [code, reason, "id-1"]);
    assertStringIncludes(error.message, `Cannot list blocks of "${SNAPSHOT}": `);
  });
}

Deno.test("classify() hints at archived and pending snapshots", () => {
  const archived = answer(400, "ValidationException", { message: "The snapshot is archived" });
  assertStringIncludes(errorOf(classify(archived, PLACE)).hints[0]!, "restore-snapshot-tier");
  const pending = answer(400, "ValidationException", { message: "The snapshot is in state pending" });
  assertStringIncludes(errorOf(classify(pending, PLACE)).hints[0]!, "acquire --wait");
});

Deno.test("classify() shows the service's words cut short", () => {
  const error = errorOf(
    classify(answer(400, "ValidationException", { message: "x".repeat(100_000) }), PLACE),
  );
  assert(error.message.length < 500);
});

const NETWORK: readonly (readonly [string, string, string])[] = [
  [
    "client error (Connect): tcp connect error: Connection refused (os error 111)",
    "connection refused",
    "network",
  ],
  ["client error (Connect): dns error: failed to lookup address", "its name cannot be resolved", "network"],
  ["Connection reset by peer (os error 104)", "connection reset", "network"],
  ["invalid peer certificate: UnknownIssuer", "the server's certificate is not trusted", "certificate"],
  ["end of file before message length reached", "connection closed early", "network"],
  ["network is unreachable", "network unreachable", "network"],
];

for (const [text, reason, from] of NETWORK) {
  Deno.test(`classify() calls "${text}" ${reason}, without the URL`, () => {
    const url = "http://ebs.example/snapshots/s/blocks/1?blockToken=SECRET";
    const verdict = classify(new TypeError(`error sending request for url (${url}): ${text}`), PLACE);
    assert(verdict.kind === "retry");
    assertEquals([verdict.reason, verdict.from], [reason, from]);
  });
}

Deno.test("classify() never repeats a URL, whatever fetch says", () => {
  const verdict = classify(new TypeError("odd thing at https://x/?blockToken=SECRET happened"), PLACE);
  assertNotMatch(verdict.reason, /SECRET|https/);
  assertStringIncludes(verdict.reason, "odd thing");
});

Deno.test("classify() takes an HTML page for a stranger, one with HTTP 5xx for the service", () => {
  const page = classify(new Trouble("html", "an HTML page (HTTP 403)", { status: 403 }), PLACE);
  assertEquals(page.kind === "retry" && page.from, "stranger");
  const down = classify(new Trouble("html", "an HTML page (HTTP 503)", { status: 503 }), PLACE);
  assertEquals(down.kind === "retry" && down.from, "service");
});

Deno.test("classify() tells a role that may not be assumed from one that could not be asked for", () => {
  const role = "arn:aws:iam::111122223333:role/examiner";
  const roleStatement = `{"Effect":"Allow","Action":"sts:AssumeRole","Resource":"${role}"}`;
  const denied = new CredentialsFailure(`no credentials from role ${role}`, {
    cause: answer(403, "AccessDenied"),
    source: `role ${role}`,
    roleStatement,
  });
  const error = errorOf(classify(denied, PLACE));
  assertEquals([error.code, error.facts.action], ["access", "sts:AssumeRole"]);
  assertEquals(error.facts.credentials, `role ${role}`, "no aside tolerates it");
  assertStringIncludes(error.hints[0]!, roleStatement);
  assertStringIncludes(error.hints[1]!, "trust policy");
  const unreachable = new CredentialsFailure("no credentials", {
    cause: new TypeError("Connection refused"),
    source: "a test",
  });
  assertEquals(classify(unreachable, PLACE).kind, "retry");
  const over = new CredentialsFailure("no credentials", {
    cause: new Error("the SSO session has expired"),
    source: "a test",
  });
  assertEquals(classify(over, PLACE).kind, "expired");
});

Deno.test("classify() ends at once where Deno may not connect, and says which permission is missing", () => {
  const thrown = new Deno.errors.NotCapable('Requires net access to "ebs.example:443", run again');
  const error = errorOf(classify(thrown, PLACE));
  assertEquals(error.code, "usage");
  assertStringIncludes(error.message, 'Requires net access to "ebs.example:443"');
  assertStringIncludes(error.hints.join(), "--allow-net");
});
