/**
 * EC2 at the same endpoint: DescribeSnapshots in the Query protocol, with the filters that a client of snapshots
 * uses, owners, and those who may restore. An unknown filter is refused, as EC2 refuses it. Instances: instances.ts.
 *
 * @see https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeSnapshots.html
 */
import { isVisible } from "./access.ts";
import { filtersOf, numbered, pageOf, refusal } from "./ec2_form.ts";
import type { Answer, ApiRequest, Endpoint } from "./endpoint.ts";
import { type HeldSnapshot, progressOf, stateOf } from "./snapshots.ts";
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
  const restorableBy = numbered(form, "RestorableBy");
  const nowMs = endpoint.clock.nowMs();
  const filters = filtersOf<HeldSnapshot>(form, (name) => valuesOf(name, nowMs));
  const found = visible
    .filter((snapshot) => ids.length === 0 || ids.includes(snapshot.id))
    .filter((snapshot) => owners.length === 0 || owners.includes(snapshot.facts.ownerId))
    .filter((snapshot) =>
      restorableBy.length === 0 || restorableBy.some((who) => isRestorable(snapshot, { who, account }))
    )
    .filter((snapshot) => filters.every((matches) => matches(snapshot)))
    .sort((a, b) => a.id < b.id ? -1 : 1);
  const { page, nextToken } = pageOf(found, { form, hasIds: ids.length > 0, set: "snapshotSet" });
  const body = xmlDocument({ name: "DescribeSnapshotsResponse", namespace: NAMESPACE }, [
    ["requestId", request.requestId],
    ["snapshotSet", page.map((snapshot): XmlNode => ["item", snapshotNodes(snapshot, nowMs)])],
    ["nextToken", nextToken],
  ]);
  return { status: 200, headers: { "Content-Type": "text/xml;charset=UTF-8" }, body };
}

/** The values that a filter compares; `undefined`: no such filter. */
function valuesOf(name: string, nowMs: number): ((snapshot: HeldSnapshot) => readonly string[]) | undefined {
  const tag = /^tag:(.+)$/.exec(name)?.[1];
  if (tag !== undefined) {
    return ({ facts }) => Object.hasOwn(facts.tags ?? {}, tag) ? [facts.tags![tag]!] : [];
  }
  const values = Object.hasOwn(FILTERS, name) ? FILTERS[name] : undefined;
  return values && ((snapshot) => values(snapshot, nowMs));
}

/** `self`: own ones and those that name the account; `all`: public ones; an account: those that name it. */
function isRestorable(
  snapshot: HeldSnapshot,
  { who, account }: { readonly who: string; readonly account: string },
): boolean {
  const { ownerId, sharedWith = [], public: isPublic } = snapshot.facts;
  if (who === "all") return isPublic === true;
  return who === "self" ? ownerId === account || sharedWith.includes(account) : sharedWith.includes(who);
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
    ["progress", progressOf(snapshot, nowMs)],
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
