/**
 * STS at the same endpoint: who asks, a role assumed, a session of the asker's own. Forms in, XML out; what may be had is
 * decided in sessions.ts.
 *
 * @see https://docs.aws.amazon.com/STS/latest/APIReference/API_Operations.html
 */
import type { Answer, ApiRequest } from "./endpoint.ts";
import { AwsError } from "./errors.ts";
import type { Session, Sessions } from "./sessions.ts";
import { xmlDocument, type XmlNode } from "./xml.ts";

const NAMESPACE = "https://sts.amazonaws.com/doc/2011-06-15/";

export function getCallerIdentity(request: ApiRequest): Answer {
  const { arn, userId, account } = request.caller;
  return answer("GetCallerIdentity", request, [["Arn", arn], ["UserId", userId], ["Account", account]]);
}

export function assumeRole(sessions: Sessions, request: ApiRequest): Answer {
  const form = request.route.query;
  const session = sessions.assume(request.caller, {
    roleArn: required(form, "RoleArn", /^arn:[a-z-]+:iam::\d{12}:role\/[\w+=,.@/-]+$/),
    sessionName: required(form, "RoleSessionName", /^[\w+=,.@-]{2,64}$/),
    externalId: form.get("ExternalId"),
    ...commonWish(form),
  });
  return answer("AssumeRole", request, [
    ...credentialNodes(session),
    ["AssumedRoleUser", [["AssumedRoleId", session.userId], ["Arn", session.arn]]],
  ]);
}

export function getSessionToken(sessions: Sessions, request: ApiRequest): Answer {
  const session = sessions.own(request.caller, commonWish(request.route.query));
  return answer("GetSessionToken", request, credentialNodes(session));
}

type Form = ReadonlyMap<string, string>;

function commonWish(form: Form) {
  const duration = form.get("DurationSeconds");
  const seconds = Number(duration);
  if (duration !== undefined && !(Number.isInteger(seconds) && seconds >= 900 && seconds <= 129_600)) {
    throw invalid("durationSeconds", "Member must have value between 900 and 129600");
  }
  return {
    serial: optional(form, "SerialNumber", /^[\w+=/:,.@-]{9,256}$/),
    code: optional(form, "TokenCode", /^\d{6}$/),
    durationMs: duration === undefined ? undefined : seconds * 1000,
  };
}

function required(form: Form, name: string, pattern: RegExp): string {
  const value = optional(form, name, pattern);
  if (value === undefined) throw invalid(lowered(name), "Member must not be null");
  return value;
}

function optional(form: Form, name: string, pattern: RegExp): string | undefined {
  const value = form.get(name);
  if (value === undefined || pattern.test(value)) return value;
  throw invalid(lowered(name), `Member must satisfy regular expression pattern: ${pattern.source}`);
}

function lowered(name: string): string {
  return `${name[0]!.toLowerCase()}${name.slice(1)}`;
}

function invalid(name: string, constraint: string): AwsError {
  return new AwsError("ValidationError", {
    status: 400,
    message: `1 validation error detected: Value at '${name}' failed to satisfy constraint: ${constraint}`,
  });
}

function credentialNodes({ set }: Session): XmlNode[] {
  return [["Credentials", [
    ["AccessKeyId", set.accessKeyId],
    ["SecretAccessKey", set.secretAccessKey],
    ["SessionToken", set.sessionToken],
    ["Expiration", new Date(set.expiresAtMs).toISOString()],
  ]]];
}

function answer(call: string, request: ApiRequest, result: readonly XmlNode[]): Answer {
  const body = xmlDocument({ name: `${call}Response`, namespace: NAMESPACE }, [
    [`${call}Result`, result],
    ["ResponseMetadata", [["RequestId", request.requestId]]],
  ]);
  return { status: 200, headers: { "Content-Type": "text/xml" }, body };
}
