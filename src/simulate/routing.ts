/**
 * From a request line to a call: the paths and methods of the EBS direct APIs, and the form posts of EC2 and STS
 * at the same endpoint. Only which call it is and where its parameters lie; whether they are valid: parameters.ts.
 */
import type { ServiceName } from "./errors.ts";
import { decode, parseQuery, type SignedRequest } from "./sigv4.ts";

export type CallName =
  | "ListSnapshotBlocks"
  | "ListChangedBlocks"
  | "GetSnapshotBlock"
  | "StartSnapshot"
  | "PutSnapshotBlock"
  | "CompleteSnapshot"
  | "DescribeSnapshots"
  | "DescribeInstances"
  | "CreateSnapshots"
  | "GetCallerIdentity"
  | "AssumeRole"
  | "GetSessionToken";

/** A recognized call with its raw parameters. */
export interface Route {
  readonly service: ServiceName;
  readonly call: CallName;
  /** From the path, decoded; empty where the call has none. */
  readonly snapshotId: string;
  /** From the path, decoded; empty where the call has none. */
  readonly blockIndex: string;
  /** Query string, or the form of a query service. */
  readonly query: ReadonlyMap<string, string>;
}

const EBS_ROUTES: readonly (readonly [method: string, path: RegExp, call: CallName])[] = [
  ["GET", /^\/snapshots\/([^/]*)\/blocks$/, "ListSnapshotBlocks"],
  ["GET", /^\/snapshots\/([^/]*)\/changedblocks$/, "ListChangedBlocks"],
  ["GET", /^\/snapshots\/([^/]*)\/blocks\/([^/]*)$/, "GetSnapshotBlock"],
  ["PUT", /^\/snapshots\/([^/]*)\/blocks\/([^/]*)$/, "PutSnapshotBlock"],
  ["POST", /^\/snapshots\/completion\/([^/]*)$/, "CompleteSnapshot"],
  ["POST", /^\/snapshots$/, "StartSnapshot"],
];

/** Which query services answer which action. */
const QUERY_CALLS: Readonly<Record<string, readonly [ServiceName, CallName, version: string]>> = {
  DescribeSnapshots: ["ec2", "DescribeSnapshots", "2016-11-15"],
  DescribeInstances: ["ec2", "DescribeInstances", "2016-11-15"],
  CreateSnapshots: ["ec2", "CreateSnapshots", "2016-11-15"],
  GetCallerIdentity: ["sts", "GetCallerIdentity", "2011-06-15"],
  AssumeRole: ["sts", "AssumeRole", "2011-06-15"],
  GetSessionToken: ["sts", "GetSessionToken", "2011-06-15"],
};

/** `undefined`: no call of these services. */
export function routeOf(request: SignedRequest): Route | undefined {
  if (request.method === "POST" && request.path === "/") return queryRoute(request);
  for (const [method, path, call] of EBS_ROUTES) {
    const match = request.method === method ? path.exec(request.path) : null;
    if (!match) continue;
    return {
      service: "ebs",
      call,
      snapshotId: decode(match[1] ?? ""),
      blockIndex: decode(match[2] ?? ""),
      query: new Map(parseQuery(request.query)),
    };
  }
}

function queryRoute(request: SignedRequest): Route | undefined {
  const form = new Map(parseQuery(new TextDecoder().decode(request.body)));
  const known = Object.hasOwn(QUERY_CALLS, form.get("Action") ?? "")
    ? QUERY_CALLS[form.get("Action")!]
    : undefined;
  if (!known || form.get("Version") !== known[2]) return undefined;
  return { service: known[0], call: known[1], snapshotId: "", blockIndex: "", query: form };
}
