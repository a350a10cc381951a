/**
 * The errors that the simulated services answer with, as data: type, HTTP status, reason, message. How they
 * look on the wire is decided here too, in the three dialects: rest-json (EBS), EC2's and STS's query XML.
 *
 * An `AwsError` is an answer, not a failure of the simulator; whatever else is thrown inside is a bug and
 * becomes an InternalServerException (server.ts).
 *
 * @see https://docs.aws.amazon.com/ebs/latest/APIReference/CommonErrors.html
 */
import { escapeXml } from "./xml.ts";

/** `Reason` of a ValidationException, as the service model of 2019-11-02 lists them. */
export type ValidationReason =
  | "INVALID_CUSTOMER_KEY"
  | "INVALID_PAGE_TOKEN"
  | "INVALID_BLOCK_TOKEN"
  | "INVALID_SNAPSHOT_ID"
  | "UNRELATED_SNAPSHOTS"
  | "INVALID_BLOCK"
  | "INVALID_CONTENT_ENCODING"
  | "INVALID_TAG"
  | "INVALID_DEPENDENCY_REQUEST"
  | "INVALID_PARAMETER_VALUE"
  | "INVALID_VOLUME_SIZE"
  | "CONFLICTING_BLOCK_UPDATE"
  | "WRITE_REQUEST_TIMEOUT";

/** Services that the endpoint speaks for; each has its own dialect of errors. */
export type ServiceName = "ebs" | "ec2" | "sts";

/** An answer that is an error. */
export class AwsError extends Error {
  override readonly name = "AwsError";
  /** Exception name (rest-json) or error code (query). */
  readonly type: string;
  readonly status: number;
  readonly reason: string | undefined;

  constructor(type: string, facts: { status: number; message: string; reason?: string }) {
    super(facts.message);
    this.type = type;
    this.status = facts.status;
    this.reason = facts.reason;
  }
}

export function validationError(reason: ValidationReason, message: string): AwsError {
  return new AwsError("ValidationException", { status: 400, message, reason });
}

export function snapshotNotFound(id: string): AwsError {
  return new AwsError("ResourceNotFoundException", {
    status: 404,
    message: `The snapshot '${id}' does not exist.`,
    reason: "SNAPSHOT_NOT_FOUND",
  });
}

export function accessDenied(
  reason: "UNAUTHORIZED_ACCOUNT" | "DEPENDENCY_ACCESS_DENIED",
  message: string,
): AwsError {
  return new AwsError("AccessDeniedException", { status: 403, message, reason });
}

/** What IAM itself says; it comes before the service, so it has no `Reason`. */
export function iamDenied(
  service: ServiceName,
  facts: { arn: string; action: string; resource: string; forbiddenBy?: string | undefined },
): AwsError {
  const { arn, action, resource, forbiddenBy } = facts;
  const why = forbiddenBy === undefined
    ? `because no identity-based policy allows the ${action} action`
    : `with an explicit deny in a ${forbiddenBy}`;
  const message = `User: ${arn} is not authorized to perform: ${action} on resource: ${resource} ${why}`;
  const type = service === "ebs"
    ? "AccessDeniedException"
    : service === "ec2"
    ? "UnauthorizedOperation"
    : "AccessDenied";
  return new AwsError(type, { status: 403, message });
}

/** Over the account's rate for a call. */
export function accountThrottled(): AwsError {
  return new AwsError("ThrottlingException", {
    status: 400,
    message: "Rate exceeded",
    reason: "ACCOUNT_THROTTLED",
  });
}

/** Over a snapshot's rate for a call. */
export function snapshotThrottled(id: string): AwsError {
  return new AwsError("RequestThrottledException", {
    status: 400,
    message: `The request rate for snapshot '${id}' has been exceeded.`,
    reason: "RESOURCE_LEVEL_THROTTLE",
  });
}

export function internalError(message = "An internal error has occurred."): AwsError {
  return new AwsError("InternalServerException", { status: 500, message });
}

/** Body and headers of an error, in the dialect of `service`. */
export function errorAnswer(
  error: AwsError,
  context: { readonly service: ServiceName; readonly requestId: string },
): { status: number; headers: Record<string, string>; body: Uint8Array } {
  const { service, requestId } = context;
  if (service === "ebs") {
    const body = { Message: error.message, ...(error.reason === undefined ? {} : { Reason: error.reason }) };
    return {
      status: error.status,
      headers: { "Content-Type": "application/json", "x-amzn-ErrorType": error.type },
      body: new TextEncoder().encode(JSON.stringify(body)),
    };
  }
  const inner = `<Code>${escapeXml(error.type)}</Code><Message>${escapeXml(error.message)}</Message>`;
  const text = service === "ec2"
    ? `<?xml version="1.0" encoding="UTF-8"?>\n<Response><Errors><Error>${inner}</Error></Errors>` +
      `<RequestID>${requestId}</RequestID></Response>`
    : `<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type>${inner}` +
      `</Error><RequestId>${requestId}</RequestId></ErrorResponse>`;
  return {
    status: error.status,
    headers: { "Content-Type": "text/xml;charset=UTF-8" },
    body: new TextEncoder().encode(text),
  };
}
