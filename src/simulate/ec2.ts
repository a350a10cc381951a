/**
 * EC2 at the same endpoint: DescribeSnapshots in the Query protocol, with the filters that a client of snapshots
 * uses. An unknown filter is refused, as EC2 refuses it.
 *
 * @see https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeSnapshots.html
 */
import { Buffer } from "node:buffer";
import { isVisible } from "./access.ts";
import type { Answer, ApiRequest, Endpoint } from "./endpoint.ts";
import { AwsError } from "./errors.ts";
import { type HeldSnapshot, stateOf } from "./snapshots.ts";
import { xmlDocument, type XmlNode } from "./xml.ts";

const NAMESPACE = "http://ec2.amazonaws.com/doc/2016-11-15/";

/** What each filter compares. */
const FILTERS: Readonly<Record<string, (snapshot: HeldSnapshot, nowMs: number) => readonly string[]>> = {
  "snapshot-id": ({ id }) => [id],
  "volume-id": ({ facts }) => [facts.volumeId],
  "owner-id": ({ facts }) => [facts.ownerId],
  "status": (snapshot, nowMs) => [stateOf(snapshot, nowMs)],
  "description": ({ facts }) => [facts.description ?? ""],
  "encrypted": ({ facts }) => [String(facts.encrypted ?? false)],
  "storage-tier": ({ facts }) => [facts.tier ?? "standard"],
  "volume-size": ({ volumeSizeGib }) => [String(volumeSizeGib)],
  "start-time": ({ facts }) => [new Date(facts.startTimeMs).toISOString()],
  "tag-key": ({ facts }) => Object.keys(facts.tags ?? {}),
};

/** Snapshots that the caller can see. */
export function describeSnapshots(endpoint: Endpoint, request: ApiRequest): Answer {
  const form = request.route.query;
  const ids = numbered(form, "SnapshotId");
  const account = request.caller.account;
  const visible = endpoint.shelf.all().filter((snapshot) => isVisible(snapshot, account));
  for (const id of ids) {
    if (!/^snap-[0-9a-f]{8,17}$/.test(id)) {
      throw refusal("InvalidSnapshotID.Malformed", `Invalid id: "${id}"`);
    }
    if (!visible.some((snapshot) => snapshot.id === id)) {
      throw refusal("InvalidSnapshot.NotFound", `The snapshot '${id}' does not exist.`);
    }
  }
  const owners = numbered(form, "Owner").map((owner) => owner === "self" ? account : owner);
  const nowMs = endpoint.clock.nowMs();
  const filters = filtersOf(form, nowMs);
  const found = visible
    .filter((snapshot) => ids.length === 0 || ids.includes(snapshot.id))
    .filter((snapshot) => owners.length === 0 || owners.includes(snapshot.facts.ownerId))
    .filter((snapshot) => filters.every((matches) => matches(snapshot)))
    .sort((a, b) => a.id < b.id ? -1 : 1);
  const { page, nextToken } = pageOf(found, { form, hasIds: ids.length > 0 });
  const body = xmlDocument({ name: "DescribeSnapshotsResponse", namespace: NAMESPACE }, [
    ["requestId", request.requestId],
    ["snapshotSet", page.map((snapshot): XmlNode => ["item", snapshotNodes(snapshot, nowMs)])],
    ["nextToken", nextToken],
  ]);
  return { status: 200, headers: { "Content-Type": "text/xml;charset=UTF-8" }, body };
}

function snapshotNodes(snapshot: HeldSnapshot, nowMs: number): XmlNode[] {
  const { facts } = snapshot;
  const state = stateOf(snapshot, nowMs);
  const isCompleted = state === "completed" && facts.completionTimeMs !== undefined;
  return [
    ["snapshotId", snapshot.id],
    ["volumeId", facts.volumeId],
    ["status", state],
    ["startTime", new Date(facts.startTimeMs).toISOString()],
    ["completionTime", isCompleted ? new Date(facts.completionTimeMs!).toISOString() : undefined],
    ["progress", state === "completed" ? "100%" : "0%"],
    ["ownerId", facts.ownerId],
    ["volumeSize", String(snapshot.volumeSizeGib)],
    ["description", facts.description ?? ""],
    ["encrypted", String(facts.encrypted ?? false)],
    ["kmsKeyId", facts.kmsKeyId],
    ["storageTier", facts.tier ?? "standard"],
    [
      "tagSet",
      Object.entries(facts.tags ?? {}).map((
        [key, value],
      ): XmlNode => ["item", [["key", key], ["value", value]]]),
    ],
  ];
}

/** Values of `Name.1`, `Name.2`, …, in the order of their numbers. */
function numbered(form: ReadonlyMap<string, string>, name: string): string[] {
  return [...form]
    .flatMap(([key, value]) => {
      const match = key.startsWith(`${name}.`) ? /^(\d+)$/.exec(key.slice(name.length + 1)) : null;
      return match ? [{ at: Number(match[1]), value }] : [];
    })
    .sort((a, b) => a.at - b.at)
    .map(({ value }) => value);
}

/** Filters are joined by "and", the values of one by "or"; "*" and "?" are wildcards. */
function filtersOf(
  form: ReadonlyMap<string, string>,
  nowMs: number,
): ((snapshot: HeldSnapshot) => boolean)[] {
  const names = [...form].filter(([key]) => /^Filter\.\d+\.Name$/.test(key));
  return names.map(([key, name]) => {
    const patterns = numbered(form, `${key.slice(0, -".Name".length)}.Value`).map(patternOf);
    const tag = /^tag:(.+)$/.exec(name)?.[1];
    const values = tag !== undefined
      ? ({ facts }: HeldSnapshot) => Object.hasOwn(facts.tags ?? {}, tag) ? [facts.tags![tag]!] : []
      : Object.hasOwn(FILTERS, name)
      ? FILTERS[name]!
      : undefined;
    if (!values) throw refusal("InvalidParameterValue", `The filter '${name}' is invalid`);
    return (snapshot) =>
      values(snapshot, nowMs).some((value) => patterns.some((pattern) => pattern.test(value)));
  });
}

function patternOf(text: string): RegExp {
  const escaped = text.replace(/[.+^${}()|[\]\\]/g, "\\$&").replaceAll("*", ".*").replaceAll("?", ".");
  return new RegExp(`^${escaped}$`, "s");
}

function pageOf(
  found: readonly HeldSnapshot[],
  facts: { readonly form: ReadonlyMap<string, string>; readonly hasIds: boolean },
): { page: readonly HeldSnapshot[]; nextToken: string | undefined } {
  const wanted = facts.form.get("MaxResults");
  if (wanted === undefined) return { page: found, nextToken: undefined };
  if (facts.hasIds) {
    throw refusal(
      "InvalidParameterCombination",
      "The parameter snapshotSet cannot be used with the parameter maxResults",
    );
  }
  const size = Number(wanted);
  if (!Number.isInteger(size) || size < 5) {
    throw refusal(
      "InvalidParameterValue",
      `Value ( ${wanted} ) for parameter maxResults is invalid. Expecting a value greater than 5.`,
    );
  }
  // The token is the id that the page before ended with: a page is right whatever was added or removed since.
  const after = Buffer.from(facts.form.get("NextToken") ?? "", "base64").toString();
  const rest = found.filter((snapshot) => snapshot.id > after);
  const page = rest.slice(0, Math.min(size, 1000));
  const last = page.at(-1);
  const nextToken = last && rest.length > page.length ? Buffer.from(last.id).toString("base64") : undefined;
  return { page, nextToken };
}

function refusal(code: string, message: string): AwsError {
  return new AwsError(code, { status: 400, message });
}
