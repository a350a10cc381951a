/**
 * From a received request to its answer, in the order in which AWS does it: who is it, may he, is it too much,
 * then the call. Faults that were asked for are drawn here; those that happen on the wire are passed on to
 * server.ts, which sends the answer.
 */
import { createHash } from "node:crypto";
import { requireAction } from "./access.ts";
import { createSnapshots } from "./create_snapshots.ts";
import type { Caller, KeyRing } from "./credentials.ts";
import { describeSnapshots } from "./ec2.ts";
import type { Answer, ApiRequest, Endpoint } from "./endpoint.ts";
import {
  accountThrottled,
  AwsError,
  errorAnswer,
  internalError,
  type ServiceName,
  snapshotThrottled,
} from "./errors.ts";
import type { FaultKind } from "./faults.ts";
import { describeInstances } from "./instances.ts";
import { getSnapshotBlock, listChangedBlocks, listSnapshotBlocks, startOf } from "./reads.ts";
import { type CallName, type Route, routeOf } from "./routing.ts";
import type { SignedRequest } from "./sigv4.ts";
import { assumeRole, getCallerIdentity, getSessionToken } from "./sts.ts";
import type { Throttle } from "./throttle.ts";
import type { Troubles } from "./troubles.ts";
import { completeSnapshot, putSnapshotBlock, startSnapshot } from "./writes.ts";

/** Everything that an answer depends on. */
export interface Desk {
  readonly endpoint: Endpoint;
  readonly keys: KeyRing;
  readonly throttle: Throttle;
  readonly troubles: Troubles;
  /** Told of anything thrown that is no answer: a bug of the simulator. */
  onBug(error: unknown): void;
}

/** An answer with what the log wants to know about it. */
export interface Outcome {
  readonly answer: Answer;
  readonly call: CallName | undefined;
  readonly snapshot: string | undefined;
  readonly index: number | undefined;
  readonly accessKeyId: string | undefined;
  readonly errorType: string | undefined;
  readonly reason: string | undefined;
  /** Drawn for this request, whether it is already in the answer or is to happen on the wire. */
  readonly fault: FaultKind | undefined;
}

const CALLS: Readonly<Record<CallName, (endpoint: Endpoint, request: ApiRequest) => Answer>> = {
  ListSnapshotBlocks: listSnapshotBlocks,
  ListChangedBlocks: listChangedBlocks,
  GetSnapshotBlock: getSnapshotBlock,
  StartSnapshot: startSnapshot,
  PutSnapshotBlock: putSnapshotBlock,
  CompleteSnapshot: completeSnapshot,
  DescribeSnapshots: describeSnapshots,
  DescribeInstances: describeInstances,
  CreateSnapshots: createSnapshots,
  GetCallerIdentity: (_, request) => getCallerIdentity(request),
  AssumeRole: ({ sessions }, request) => assumeRole(sessions, request),
  GetSessionToken: ({ sessions }, request) => getSessionToken(sessions, request),
};

/** Answers one request. Never throws: what goes wrong inside is an InternalServerException and `onBug`. */
export function answerTo(desk: Desk, signed: SignedRequest, requestId: string): Outcome {
  const route = routeOf(signed);
  if (!route) return unknownCall(requestId);
  const target = { call: route.call, snapshot: route.snapshotId, index: indexOf(desk.endpoint, route) };
  let caller: Caller | undefined;
  let fault: FaultKind | undefined;
  let answer: Answer;
  let error: AwsError | undefined;
  try {
    caller = checkCaller(desk, { signed, route });
    desk.throttle.take(route.call, {
      account: caller.account,
      snapshot: desk.endpoint.shelf.get(route.snapshotId) ? route.snapshotId : undefined,
      nowMs: desk.endpoint.clock.nowMs(),
    });
    fault = desk.troubles.draw(target);
    failBefore(fault, route);
    answer = spoil(CALLS[route.call](desk.endpoint, { route, signed, caller, requestId, fault }), fault);
  } catch (thrown) {
    if (!(thrown instanceof AwsError)) desk.onBug(thrown);
    error = thrown instanceof AwsError ? thrown : internalError();
    answer = fault === "error503" ? unavailable() : errorAnswer(error, { service: route.service, requestId });
  }
  return {
    answer,
    call: route.call,
    snapshot: route.snapshotId || undefined,
    index: target.index,
    accessKeyId: caller?.accessKeyId,
    errorType: error?.type,
    reason: error?.reason,
    fault,
  };
}

function checkCaller(desk: Desk, request: { readonly signed: SignedRequest; readonly route: Route }): Caller {
  const { endpoint, keys, troubles } = desk;
  const { signed, route } = request;
  const caller = keys.check(signed, {
    service: route.service,
    region: endpoint.region,
    nowMs: endpoint.clock.nowMs(),
    mayLeaveBodyUnsigned: route.call === "PutSnapshotBlock",
  });
  troubles.countRequest({ accessKeyId: caller.accessKeyId, snapshot: route.snapshotId });
  requireAction(endpoint.denied, {
    caller,
    service: route.service,
    action: `${route.service}:${route.call}`,
    resource: resourceOf(endpoint.region, route),
  });
  return caller;
}

function resourceOf(region: string, route: Route): string {
  if (route.service === "sts") return route.query.get("RoleArn") ?? "*";
  return route.service === "ebs" ? `arn:aws:ec2:${region}::snapshot/${route.snapshotId || "*"}` : "*";
}

function indexOf(endpoint: Endpoint, route: Route): number | undefined {
  if (route.call === "ListSnapshotBlocks" || route.call === "ListChangedBlocks") {
    return startOf(endpoint, route);
  }
  return /^\d{1,10}$/.test(route.blockIndex) ? Number(route.blockIndex) : undefined;
}

/** Faults that come instead of the call. */
function failBefore(fault: FaultKind | undefined, route: Route): void {
  if (fault === "error500" || fault === "error503") throw internalError();
  if (fault !== "throttle") return;
  throw route.call === "GetSnapshotBlock" || route.call === "PutSnapshotBlock"
    ? snapshotThrottled(route.snapshotId)
    : accountThrottled();
}

/** Faults of a block's bytes. */
function spoil(answer: Answer, fault: FaultKind | undefined): Answer {
  const { headers, body } = answer;
  if (fault === "checksum") {
    const wrong = createHash("sha256").update(headers["x-amz-Checksum"] ?? "").digest("base64");
    return { ...answer, headers: { ...headers, "x-amz-Checksum": wrong } };
  }
  if (fault === "length") return { ...answer, body: body.subarray(0, body.length >> 1) };
  if (fault !== "flip") return answer;
  const flipped = body.slice();
  flipped[flipped.length >> 1]! ^= 0x10;
  return { ...answer, body: flipped };
}

/** What a load balancer says that found no server behind it. */
function unavailable(): Answer {
  const body = "<html><body><h1>503 Service Unavailable</h1></body></html>\n";
  return { status: 503, headers: { "Content-Type": "text/html" }, body: new TextEncoder().encode(body) };
}

function unknownCall(requestId: string): Outcome {
  const service: ServiceName = "ebs";
  const error = new AwsError("UnknownOperationException", { status: 404, message: "Unknown operation" });
  return {
    answer: errorAnswer(error, { service, requestId }),
    call: undefined,
    snapshot: undefined,
    index: undefined,
    accessKeyId: undefined,
    errorType: error.type,
    reason: undefined,
    fault: undefined,
  };
}
