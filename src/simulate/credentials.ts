/**
 * Who may call: sets of credentials, their expiry on the simulator's clock, and the check of a signed request
 * against them, with the answers that AWS gives in each case. What a caller may do with which snapshot is
 * decided elsewhere (access.ts).
 */
import { timingSafeEqual } from "node:crypto";
import { Buffer } from "node:buffer";
import { AwsError, type ServiceName } from "./errors.ts";
import {
  type Authorization,
  canonicalRequest,
  parseAuthorization,
  sha256Hex,
  signatureOf,
  type SignedRequest,
} from "./sigv4.ts";

/** One set of credentials that the endpoint accepts. */
export interface CredentialSet {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  /** Where given, a request must carry exactly this token; where not, none. */
  readonly sessionToken?: string | undefined;
  /** On the simulator's clock; not given: never. */
  readonly expiresAtMs?: number | undefined;
  /** 12 digits. Default: the simulator's account. */
  readonly account?: string | undefined;
  readonly arn?: string | undefined;
  readonly userId?: string | undefined;
  /** IAM actions that this caller may not use, such as `ebs:GetSnapshotBlock` or `kms:Decrypt`. */
  readonly deny?: readonly string[] | undefined;
}

/** The identity behind an accepted request. */
export interface Caller {
  readonly accessKeyId: string;
  readonly account: string;
  readonly arn: string;
  readonly userId: string;
  readonly deny: readonly string[];
}

/** Signatures are good for this long on both sides of the clock. */
const SIGNATURE_LIFE_MS = 5 * 60e3;

type Problem = "missing" | "incomplete" | "unknown" | "expired" | "mismatch" | "late";

/** What each service calls a problem. @see the common errors of each API reference. */
const PROBLEM_TYPES: Readonly<Record<ServiceName, Readonly<Record<Problem, readonly [string, number]>>>> = {
  ebs: {
    missing: ["MissingAuthenticationTokenException", 403],
    incomplete: ["IncompleteSignatureException", 400],
    unknown: ["UnrecognizedClientException", 403],
    expired: ["ExpiredTokenException", 403],
    mismatch: ["InvalidSignatureException", 403],
    late: ["InvalidSignatureException", 403],
  },
  ec2: {
    missing: ["MissingParameter", 400],
    incomplete: ["IncompleteSignature", 400],
    unknown: ["AuthFailure", 401],
    expired: ["RequestExpired", 400],
    mismatch: ["AuthFailure", 401],
    late: ["RequestExpired", 400],
  },
  sts: {
    missing: ["MissingAuthenticationToken", 403],
    incomplete: ["IncompleteSignature", 400],
    unknown: ["InvalidClientTokenId", 403],
    expired: ["ExpiredToken", 403],
    mismatch: ["SignatureDoesNotMatch", 403],
    late: ["SignatureDoesNotMatch", 403],
  },
};

/** What a request is checked for. */
export interface CheckContext {
  readonly service: ServiceName;
  readonly region: string;
  readonly nowMs: number;
  /** PutSnapshotBlock alone may leave its body out of the signature. */
  readonly mayLeaveBodyUnsigned: boolean;
}

/** The credentials that an endpoint knows; may be changed while it runs. */
export class KeyRing {
  readonly #defaultAccount: string;
  #sets: CredentialSet[] = [];

  constructor(sets: readonly CredentialSet[], defaultAccount: string) {
    this.#defaultAccount = defaultAccount;
    this.replace(sets);
  }

  get sets(): readonly CredentialSet[] {
    return this.#sets;
  }

  replace(sets: readonly CredentialSet[]): void {
    this.#sets = [...sets];
  }

  add(set: CredentialSet): void {
    this.#sets = [...this.#sets.filter((held) => !isSameSet(held, set)), set];
  }

  /** All sets of this access key, or all there are, are expired from `nowMs` on. */
  expire(nowMs: number, accessKeyId?: string): void {
    this.#sets = this.#sets.map((set) =>
      accessKeyId === undefined || set.accessKeyId === accessKeyId ? { ...set, expiresAtMs: nowMs } : set
    );
  }

  /** The caller of a properly signed request. Throws `AwsError` with what AWS answers otherwise. */
  check(request: SignedRequest, context: CheckContext): Caller {
    const refuse = (problem: Problem, message: string): AwsError => {
      const [type, status] = PROBLEM_TYPES[context.service][problem];
      return new AwsError(type, { status, message });
    };
    const header = only(request, "authorization");
    if (header === undefined) throw refuse("missing", "Missing Authentication Token");
    const authorization = parseAuthorization(header);
    if (typeof authorization === "string") throw refuse("incomplete", authorization);
    const set = this.#find(authorization.accessKeyId, only(request, "x-amz-security-token"));
    if (!set) throw refuse("unknown", "The security token included in the request is invalid.");
    if (set.expiresAtMs !== undefined && set.expiresAtMs <= context.nowMs) {
      throw refuse("expired", "The security token included in the request is expired");
    }
    const time = only(request, "x-amz-date") ?? "";
    const late = lateness(time, context.nowMs);
    if (late !== undefined) throw refuse(late.startsWith("Signature") ? "late" : "incomplete", late);
    const wrong = scopeProblem(authorization, { ...context, time }) ??
      headerProblem(request, authorization) ??
      signatureProblem(request, { authorization, set, time, context });
    if (wrong !== undefined) throw refuse("mismatch", wrong);
    return this.#callerOf(set);
  }

  #find(accessKeyId: string, token: string | undefined): CredentialSet | undefined {
    return this.#sets.find((set) => set.accessKeyId === accessKeyId && set.sessionToken === token);
  }

  #callerOf(set: CredentialSet): Caller {
    const account = set.account ?? this.#defaultAccount;
    const isTemporary = set.sessionToken !== undefined;
    return {
      accessKeyId: set.accessKeyId,
      account,
      arn: set.arn ??
        (isTemporary
          ? `arn:aws:sts::${account}:assumed-role/examiner/session`
          : `arn:aws:iam::${account}:user/examiner`),
      userId: set.userId ?? (isTemporary ? "AROASIMULATEDROLE001:session" : "AIDASIMULATEDUSER001"),
      deny: set.deny ?? [],
    };
  }
}

function isSameSet(a: CredentialSet, b: CredentialSet): boolean {
  return a.accessKeyId === b.accessKeyId && a.sessionToken === b.sessionToken;
}

/** The value of a header that is there once. */
function only(request: SignedRequest, name: string): string | undefined {
  const values = request.headers.get(name);
  return values?.length === 1 ? values[0] : undefined;
}

function lateness(time: string, nowMs: number): string | undefined {
  const match = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(time);
  if (!match) return "Date must be in ISO-8601 'basic format'. Got '" + time + "'.";
  const [year, month, day, hour, minute, second] = match.slice(1).map(Number);
  const signedMs = Date.UTC(year!, month! - 1, day!, hour!, minute!, second!);
  const now = basicTime(nowMs);
  if (signedMs < nowMs - SIGNATURE_LIFE_MS) {
    return `Signature expired: ${time} is now earlier than ${
      basicTime(nowMs - SIGNATURE_LIFE_MS)
    } (${now} - 5 min.)`;
  }
  if (signedMs > nowMs + SIGNATURE_LIFE_MS) {
    return `Signature not yet current: ${time} is still later than ${basicTime(nowMs + SIGNATURE_LIFE_MS)} ` +
      `(${now} + 5 min.)`;
  }
}

function basicTime(ms: number): string {
  return new Date(ms).toISOString().replace(/[-:]|\.\d+/g, "");
}

function scopeProblem(
  authorization: Authorization,
  wanted: { readonly service: ServiceName; readonly region: string; readonly time: string },
): string | undefined {
  if (authorization.service !== wanted.service) {
    return `Credential should be scoped to correct service: '${wanted.service}'. `;
  }
  if (authorization.region !== wanted.region) {
    return `Credential should be scoped to a valid region, not '${authorization.region}'. `;
  }
  if (authorization.date !== wanted.time.slice(0, 8)) {
    return `Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: ` +
      `'${authorization.date}' != '${wanted.time.slice(0, 8)}', from '${wanted.time}'.`;
  }
}

/** Host and every `x-amz-*` header must be signed, else a man in the middle could change what is asked for. */
function headerProblem(request: SignedRequest, authorization: Authorization): string | undefined {
  const signed = authorization.signedHeaders;
  const isSorted = signed.every((name, position) => position === 0 || signed[position - 1]! < name);
  if (!isSorted || signed.some((name) => name !== name.toLowerCase())) {
    return "SignedHeaders must be lower case, sorted and unique";
  }
  if (!signed.includes("host")) {
    return "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.";
  }
  for (const name of request.headers.keys()) {
    if (name.startsWith("x-amz-") && !signed.includes(name)) {
      return `'${name}' must be a 'SignedHeader' in the AWS Authorization.`;
    }
  }
  const missing = signed.find((name) => !request.headers.has(name));
  if (missing !== undefined) return `Signed header '${missing}' is not in the request`;
}

function signatureProblem(
  request: SignedRequest,
  facts: {
    readonly authorization: Authorization;
    readonly set: CredentialSet;
    readonly time: string;
    readonly context: CheckContext;
  },
): string | undefined {
  const { authorization, set, time, context } = facts;
  const declared = only(request, "x-amz-content-sha256");
  const isUnsigned = declared === "UNSIGNED-PAYLOAD";
  if (isUnsigned && !context.mayLeaveBodyUnsigned) return "This call requires a signed payload";
  const payloadHash = isUnsigned ? declared : sha256Hex(request.body);
  if (declared !== undefined && declared !== payloadHash) {
    return "The provided 'x-amz-content-sha256' header does not match what was computed.";
  }
  const canonical = canonicalRequest(request, { signedHeaders: authorization.signedHeaders, payloadHash });
  const { date, region, service } = authorization;
  const expected = signatureOf(canonical, {
    secretAccessKey: set.secretAccessKey,
    time,
    date,
    region,
    service,
  });
  if (!timingSafeEqual(Buffer.from(expected), Buffer.from(authorization.signature))) {
    return "The request signature we calculated does not match the signature you provided. Check your AWS " +
      "Secret Access Key and signing method. Consult the service documentation for details.";
  }
}
