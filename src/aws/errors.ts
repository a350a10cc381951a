/**
 * What a failure means: each thing that a request can throw becomes one verdict, by AWS's error table
 * (API reference, "EBS direct APIs: errors"). Pure: it waits for nothing and retries nothing (retry.ts
 * acts on verdicts), and it repeats no URL and no header, for those carry tokens.
 */
import { OperatorError } from "../errors.ts";
import type { Call } from "./calls.ts";
import { CredentialsFailure } from "./credentials.ts";
import { networkReason, shortened } from "./network.ts";
import { accessDenied, type Known, nothingKnown, roleHints } from "./permissions.ts";
import { BrokenAnswer, Trouble } from "./trouble.ts";

/** What to do about a failed request. `reason` is one line without secrets. */
export type Verdict =
  & { readonly reason: string; readonly requestId: string | undefined }
  & (
    /** `network`: no connection. `stranger`: somebody else answered. `service`: HTTP 5xx. */
    | { readonly kind: "retry"; readonly from: "network" | "stranger" | "service" | "certificate" }
    | { readonly kind: "throttle" }
    /** A block that is not what its headers declare. */
    | { readonly kind: "damaged"; readonly what: "checksum" | "length" }
    /** No failure: what is waited for is not there yet. */
    | { readonly kind: "pending" }
    /** An answer that is not of the API's form. */
    | { readonly kind: "malformed" }
    | { readonly kind: "stale_page" | "stale_block" }
    | { readonly kind: "expired" }
    /** AWS does not know the key, or the signature does not fit it. */
    | { readonly kind: "rejected" }
    /** `mayBeExpired`: the same is said of credentials that ended. */
    | { readonly kind: "skew"; readonly mayBeExpired: boolean }
    | { readonly kind: "fatal"; readonly error: OperatorError }
  );

export interface Place {
  readonly call: Call;
  readonly region: string;
  /** Whether this snapshot was read before: then "not found" means that it went away. */
  readonly answeredBefore: boolean;
  /** What earlier answers told. */
  readonly known?: Known;
}

const EXPIRED = new Set([
  "ExpiredTokenException",
  "ExpiredToken",
  "TokenRefreshRequired",
  "ExpiredTokenError",
]);
/** EC2's word for a date too far off, and for credentials that ended: only the clocks tell which. */
const EXPIRED_OR_SKEWED = "RequestExpired";
const SKEWED = new Set([
  "InvalidSignatureException",
  "RequestTimeTooSkewed",
  "SignatureExpired",
  "RequestInTheFuture",
  "SignatureDoesNotMatch",
]);
const REJECTED = new Set([
  "UnrecognizedClientException",
  "InvalidClientTokenId",
  "InvalidAccessKeyId",
  "AuthFailure",
  "MissingAuthenticationToken",
  "MissingAuthenticationTokenException",
  "IncompleteSignature",
  "IncompleteSignatureException",
  "NotAuthorized",
  "MissingAuthTokenException",
]);
const DENIED = new Set([
  "AccessDeniedException",
  "AccessDenied",
  "UnauthorizedOperation",
  "OptInRequired",
]);
const THROTTLED = new Set([
  "ThrottlingException",
  "Throttling",
  "ThrottledException",
  "RequestThrottledException",
  "RequestThrottleException",
  "RequestThrottled",
  "RequestLimitExceeded",
  "TooManyRequestsException",
  "SlowDown",
]);

/** "Credential should be scoped to a valid region, not 'us-east-1'." */
const WRONG_REGION = /should be scoped to (?:a valid|the correct) region/i;

/** What the SDK calls an error that names no type. AWS's services always name one: a proxy or a portal answered. */
const NAMELESS = new Set(["Unknown", "UnknownError", "NotFound"]);

/** AWS's longest has half of that. */
const MAX_TYPE_LENGTH = 100;

/** The members of an SDK exception that are used here. */
interface ServiceAnswer {
  readonly type: string;
  readonly message: string;
  readonly reason: string | undefined;
  readonly status: number;
  readonly requestId: string | undefined;
}

/** The verdict on anything that a request threw. */
export function classify(thrown: unknown, place: Place): Verdict {
  if (thrown instanceof OperatorError) return fatal(thrown, undefined);
  if (thrown instanceof CredentialsFailure) return classifyCredentials(thrown, place);
  if (thrown instanceof Trouble) return classifyTrouble(thrown, place.call);
  if (thrown instanceof Deno.errors.NotCapable) return fatal(notPermitted(thrown, place.call), undefined);
  if (thrown instanceof BrokenAnswer) {
    return { ...classify(thrown.cause, place), requestId: thrown.requestId };
  }
  const answer = serviceAnswer(thrown);
  if (answer !== undefined && answer.status >= 300) {
    return isForeign(thrown) || isNameless(answer) ? foreignAnswer(answer) : classifyAnswer(answer, place);
  }
  if (answer !== undefined || thrown instanceof SyntaxError) {
    return malformed("an answer that is not of the API's form", answer?.requestId, place.call);
  }
  return classifyNetwork(thrown);
}

function fatal(error: OperatorError, requestId: string | undefined): Verdict {
  return { kind: "fatal", error, reason: error.message, requestId };
}

/** Deno has not given the permission to connect: no waiting changes that. */
function notPermitted(error: Error, call: Call): OperatorError {
  return new OperatorError("usage", `Cannot ${call.what}: ${shortened(error.message)}`, {
    hints: ["Start it with --allow-net, as deno task coldcase does."],
    cause: error,
  });
}

/** Whether the SDK could not read the error's body: then it is not the service that speaks. */
function isForeign(thrown: unknown): boolean {
  return thrown instanceof SyntaxError ||
    (thrown instanceof Error && thrown.message.includes("Deserialization error"));
}

/** With 5xx, 408 and 429 the status alone says what to do. */
function isNameless({ type, status }: ServiceAnswer): boolean {
  return NAMELESS.has(type) && status < 500 && status !== 408 && status !== 429;
}

function foreignAnswer({ status, requestId }: ServiceAnswer): Verdict {
  const reason = `HTTP ${status} with a body that is not the service's`;
  return { kind: "retry", from: status >= 500 ? "service" : "stranger", reason, requestId };
}

function malformed(reason: string, requestId: string | undefined, call: Call): Verdict {
  // No checksum, no block: it is not the service that speaks, so it says nothing about the block.
  if (call.action === "GetSnapshotBlock") return { kind: "retry", from: "stranger", reason, requestId };
  return { kind: "malformed", reason, requestId };
}

function classifyTrouble(trouble: Trouble, call: Call): Verdict {
  const { message: reason, requestId } = trouble;
  if (trouble.kind === "checksum" || trouble.kind === "length") {
    return { kind: "damaged", what: trouble.kind, reason, requestId };
  }
  if (trouble.kind === "pending") return { kind: "pending", reason, requestId };
  if (trouble.kind === "malformed" || trouble.kind === "endless") return malformed(reason, requestId, call);
  if (trouble.kind === "html" && (trouble.status ?? 0) >= 500) {
    return { kind: "retry", from: "service", reason, requestId };
  }
  const from = trouble.kind === "html" || trouble.kind === "redirect" ? "stranger" : "network";
  return { kind: "retry", from, reason, requestId };
}

function classifyAnswer(answer: ServiceAnswer, place: Place): Verdict {
  const { type, status, requestId } = answer;
  const reason = describe(answer);
  if (THROTTLED.has(type) || status === 429) return { kind: "throttle", reason, requestId };
  if (status >= 500 || status === 408) return { kind: "retry", from: "service", reason, requestId };
  if (EXPIRED.has(type)) return { kind: "expired", reason, requestId };
  // Under the types of a wrong key and of a wrong clock: only the words tell it apart from those.
  if (WRONG_REGION.test(answer.message)) return fatal(wrongRegion(answer, place), requestId);
  if (SKEWED.has(type)) return { kind: "skew", mayBeExpired: false, reason, requestId };
  if (type === EXPIRED_OR_SKEWED) return { kind: "skew", mayBeExpired: true, reason, requestId };
  if (REJECTED.has(type)) return { kind: "rejected", reason, requestId };
  if (answer.reason === "INVALID_PAGE_TOKEN") return { kind: "stale_page", reason, requestId };
  if (answer.reason === "INVALID_BLOCK_TOKEN") return { kind: "stale_block", reason, requestId };
  return fatal(finalError(answer, place), requestId);
}

/** The error for an answer that no repetition changes. */
function finalError(answer: ServiceAnswer, place: Place): OperatorError {
  const { call, region } = place;
  const facts = {
    snapshot: call.snapshots[0] ?? null,
    region,
    reason: answer.reason ?? answer.type,
    requestId: answer.requestId ?? null,
    httpStatus: answer.status,
  };
  if (DENIED.has(answer.type)) {
    return accessDenied({
      call,
      region,
      message: answer.message,
      reason: answer.reason,
      requestId: answer.requestId,
      known: place.known ?? nothingKnown(),
    });
  }
  if (answer.status === 404 || answer.type === "ResourceNotFoundException") {
    return notFound(answer, place, facts);
  }
  if (answer.reason === "UNRELATED_SNAPSHOTS") {
    return new OperatorError("source", `Cannot ${call.what}: the snapshots are not of one volume's lineage`, {
      facts,
    });
  }
  return new OperatorError("source", `Cannot ${call.what}: ${describe(answer)}`, {
    hints: stateHints(answer, place),
    facts,
  });
}

/** The endpoint was named, and is another Region's: neither key nor clock is to blame. */
function wrongRegion(answer: ServiceAnswer, { call, region }: Place): OperatorError {
  return new OperatorError("usage", `Cannot ${call.what}: the endpoint is of another Region than ${region}`, {
    hints: [
      "Name the endpoint's own Region with --region, or the Region's own endpoint with --endpoint-url.",
    ],
    facts: { region, reason: answer.type, requestId: answer.requestId ?? null, httpStatus: answer.status },
  });
}

function notFound(
  answer: ServiceAnswer,
  place: Place,
  facts: Record<string, string | number | null>,
): OperatorError {
  const { call, region } = place;
  const snapshot = call.snapshots.map((id) => `"${id}"`).join(" or ");
  if (place.answeredBefore) {
    return new OperatorError(
      "source",
      `Cannot ${call.what}: it was readable before, now AWS does not find it`,
      {
        hints: [
          "Find out who deleted, archived or un-shared the snapshot; what was recorded is kept.",
          `A snapshot deleted under a Recycle Bin rule can be restored: aws ec2 restore-snapshot-from-recycle-bin --region ${region} --snapshot-id ${
            call.snapshots[0]
          }`,
        ],
        facts: { ...facts, reason: "SNAPSHOT_GONE" },
      },
    );
  }
  const said = answer.reason === undefined ? ` (${describe(answer)})` : "";
  return new OperatorError("not_found", `Cannot ${call.what}: ${region} has no snapshot ${snapshot}${said}`, {
    hints: [
      `Snapshots belong to one Region: if it is not in ${region}, name its own with --region.`,
      "Check the id and the account; a snapshot in the archive tier or the Recycle Bin must be restored first.",
    ],
    facts,
  });
}

/** What to do where the message points at the state of the snapshot; AWS has no reason code for it. */
function stateHints(answer: ServiceAnswer, place: Place): string[] {
  const { call, region } = place;
  const snapshot = call.snapshots[0] ?? "SNAPSHOT";
  const hints: string[] = [];
  if (/archiv/i.test(answer.message)) {
    hints.push(
      `Restore it from the archive tier first (hours): aws ec2 restore-snapshot-tier --region ${region} --snapshot-id ${snapshot} --temporary-restore-days 14`,
    );
  } else if (/pending|complete/i.test(answer.message)) {
    hints.push(
      "Only a completed snapshot can be read: acquire --wait waits for it, and goes on by itself.",
    );
  } else if (answer.reason === "INVALID_SNAPSHOT_ID") {
    hints.push("Only completed snapshots in the standard tier can be read; public ones cannot.");
  }
  if (answer.type === "ServiceQuotaExceededException") {
    hints.push("Raise the quota that AWS names in Service Quotas, or wait until other work has ended.");
  }
  return hints;
}

/** Failures on the way to credentials: STS, SSO or the files themselves, not EBS. */
function classifyCredentials(failure: CredentialsFailure, place: Place): Verdict {
  const answer = serviceAnswer(failure.cause);
  const reason = failure.message;
  const requestId = answer?.requestId;
  if (answer === undefined || answer.status < 300) {
    if (failure.isConnectionTrouble) return { ...connectionVerdict(failure.cause, place.call), reason };
    if (isForeign(failure.cause)) return { kind: "retry", from: "stranger", reason, requestId };
    return { kind: "expired", reason, requestId };
  }
  if (isForeign(failure.cause) || isNameless(answer)) return { ...foreignAnswer(answer), reason };
  if (THROTTLED.has(answer.type)) return { kind: "throttle", reason, requestId };
  if (answer.status >= 500) return { kind: "retry", from: "service", reason, requestId };
  if (SKEWED.has(answer.type)) return { kind: "skew", mayBeExpired: false, reason, requestId };
  if (DENIED.has(answer.type)) {
    const error = new OperatorError("access", `Cannot ${place.call.what}: ${reason}`, {
      hints: roleHints(answer.message, { statement: failure.roleStatement, hasMfa: failure.hasMfa }),
      facts: {
        denied: "iam",
        action: "sts:AssumeRole",
        credentials: failure.source,
        requestId: requestId ?? null,
        region: place.region,
      },
    });
    return fatal(error, requestId);
  }
  return { kind: "expired", reason, requestId };
}

function connectionVerdict(failure: unknown, call: Call): Verdict {
  const thrown = failure instanceof BrokenAnswer ? failure.cause : failure;
  return thrown instanceof Trouble ? classifyTrouble(thrown, call) : classifyNetwork(thrown);
}

/** What an SDK exception carries; `undefined` where no HTTP answer stands behind it. */
export function serviceAnswer(thrown: unknown): ServiceAnswer | undefined {
  if (!(thrown instanceof Error)) return undefined;
  const facts = thrown as Error & {
    $metadata?: { httpStatusCode?: number; requestId?: string };
    $response?: { statusCode?: number };
    Reason?: unknown;
  };
  const status = facts.$metadata?.httpStatusCode ?? facts.$response?.statusCode;
  if (status === undefined) return undefined;
  return {
    // A hostile answer names a type of megabytes.
    type: thrown.name.slice(0, MAX_TYPE_LENGTH),
    message: thrown.message,
    reason: typeof facts.Reason === "string" ? shortened(facts.Reason) : undefined,
    status,
    requestId: facts.$metadata?.requestId,
  };
}

/** `HTTP 500 InternalServerException` with the service's own words where it has some. */
function describe(answer: ServiceAnswer): string {
  const reason = answer.reason === undefined ? "" : ` ${answer.reason}`;
  const words = answer.message === "" || answer.message === answer.type || answer.message === "UnknownError"
    ? ""
    : `: ${shortened(answer.message)}`;
  const type = /^[\w.]+$/.test(answer.type) ? answer.type : "Error";
  return `HTTP ${answer.status} ${type}${reason}${words}`;
}

function classifyNetwork(thrown: unknown): Verdict {
  const { reason, isCertificate } = networkReason(thrown);
  return { kind: "retry", from: isCertificate ? "certificate" : "network", reason, requestId: undefined };
}
