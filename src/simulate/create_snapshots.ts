/**
 * EC2's CreateSnapshots at the same endpoint: a snapshot of each volume of an instance, begun at one moment, pending for
 * as long as the endpoint's completion takes. A volume holds what its newest snapshot holds; one that has none was never
 * written.
 *
 * @see https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateSnapshots.html
 */
import { randomBytes } from "node:crypto";
import type { Contents } from "./contents.ts";
import { refusal } from "./ec2_form.ts";
import type { Answer, ApiRequest, Endpoint } from "./endpoint.ts";
import { AwsError } from "./errors.ts";
import type { HeldSnapshot } from "./snapshots.ts";
import { xmlDocument, type XmlNode } from "./xml.ts";

const NAMESPACE = "http://ec2.amazonaws.com/doc/2016-11-15/";

const MAX_TAGS = 50;
const MAX_DESCRIPTION_LENGTH = 255;

export function createSnapshots(endpoint: Endpoint, request: ApiRequest): Answer {
  const form = request.route.query;
  const description = form.get("Description") ?? "";
  if (description.length > MAX_DESCRIPTION_LENGTH) {
    throw refusal(
      "InvalidParameterValue",
      `Value for parameter description is longer than ${MAX_DESCRIPTION_LENGTH}`,
    );
  }
  const tags = tagsOf(form);
  const volumes = volumesOf(endpoint, request);
  if (form.get("DryRun") === "true") {
    throw new AwsError("DryRunOperation", {
      status: 412,
      message: "Request would have succeeded, but DryRun flag is set.",
    });
  }
  const facts = { description, tags, startTimeMs: endpoint.clock.nowMs(), ownerId: request.caller.account };
  const made = volumes.map((volumeId) => endpoint.shelf.put(begun(endpoint, { volumeId, ...facts })));
  const body = xmlDocument({ name: "CreateSnapshotsResponse", namespace: NAMESPACE }, [
    ["requestId", request.requestId],
    ["snapshotSet", made.map((snapshot): XmlNode => ["item", snapshotNodes(snapshot)])],
  ]);
  return { status: 200, headers: { "Content-Type": "text/xml;charset=UTF-8" }, body };
}

/** Volume ids of the instance that the form names. */
function volumesOf(endpoint: Endpoint, request: ApiRequest): readonly string[] {
  const id = request.route.query.get("InstanceSpecification.InstanceId");
  if (id === undefined) {
    throw refusal("MissingParameter", "The request must contain InstanceSpecification.InstanceId");
  }
  const instance = endpoint.instances.find((one) => one.id === id);
  if (instance === undefined || (instance.ownerId ?? endpoint.account) !== request.caller.account) {
    throw refusal("InvalidInstanceID.NotFound", `The instance ID '${id}' does not exist`);
  }
  const volumes = Object.values(instance.volumes);
  if (instance.state === "terminated" || volumes.length === 0) {
    throw refusal("IncorrectInstanceState", `The instance '${id}' has no volumes`);
  }
  return volumes;
}

/** Of `TagSpecification.1`, which has to be for snapshots. */
function tagsOf(form: ReadonlyMap<string, string>): Record<string, string> {
  const kinds = [...form].filter(([key]) => /^TagSpecification\.\d+\.ResourceType$/.test(key));
  for (const [, kind] of kinds) {
    if (kind !== "snapshot") {
      throw refusal("InvalidParameterValue", `'${kind}' is not a valid taggable resource type`);
    }
  }
  const keys = [...form].filter(([key]) => /^TagSpecification\.\d+\.Tag\.\d+\.Key$/.test(key));
  if (keys.length > MAX_TAGS) throw refusal("TagLimitExceeded", `More than ${MAX_TAGS} tags`);
  return Object.fromEntries(keys.map(([key, name]) => {
    if (name.toLowerCase().startsWith("aws:")) {
      throw refusal("InvalidParameterValue", "Tag keys starting with 'aws:' are reserved for internal use");
    }
    return [name, form.get(`${key.slice(0, -".Key".length)}.Value`) ?? ""];
  }));
}

function begun(
  endpoint: Endpoint,
  facts: HeldSnapshot["facts"] & { readonly volumeId: string },
): HeldSnapshot {
  const { shelf, clock, uploads, blockSizeBytes } = endpoint;
  const newest = shelf.all()
    .filter((one) => one.facts.volumeId === facts.volumeId)
    .sort((a, b) => b.facts.startTimeMs - a.facts.startTimeMs)[0];
  const completionTimeMs = clock.nowMs() + uploads.completionDelayMs;
  const { encrypted = false, kmsKeyId, kmsDenied = false } = newest?.facts ?? {};
  return {
    id: `snap-${randomBytes(9).toString("hex").slice(0, 17)}`,
    facts: { ...facts, completionTimeMs, encrypted, kmsKeyId, kmsDenied, tier: "standard" },
    lineage: newest?.lineage ?? facts.volumeId,
    volumeSizeGib: newest?.volumeSizeGib ?? 1,
    contents: newest === undefined ? neverWritten(blockSizeBytes) : shared(newest.contents),
    stateAt: (nowMs) => nowMs < completionTimeMs ? "pending" : "completed",
  };
}

/** Closed by the snapshot that it belongs to. */
function shared(contents: Contents): Contents {
  return {
    blockSizeBytes: contents.blockSizeBytes,
    blockCount: contents.blockCount,
    has: (index) => contents.has(index),
    next: (from, limit) => contents.next(from, limit),
    read: (index) => contents.read(index),
    close() {},
  };
}

/** 1 GiB of absent blocks. */
function neverWritten(blockSizeBytes: number): Contents {
  return {
    blockSizeBytes,
    blockCount: 2 ** 30 / blockSizeBytes,
    has: () => false,
    next: (_, limit) => limit,
    read(index) {
      throw new RangeError(`block ${index} was never written`);
    },
    close() {},
  };
}

function snapshotNodes({ id, facts, volumeSizeGib }: HeldSnapshot): XmlNode[] {
  return [
    ["snapshotId", id],
    ["volumeId", facts.volumeId],
    ["state", "pending"],
    ["startTime", new Date(facts.startTimeMs).toISOString()],
    ["progress", ""],
    ["ownerId", facts.ownerId],
    ["volumeSize", String(volumeSizeGib)],
    ["description", facts.description],
    ["encrypted", String(facts.encrypted ?? false)],
    [
      "tagSet",
      Object.entries(facts.tags ?? {}).map(([key, value]): XmlNode => {
        return ["item", [["key", key], ["value", value]]];
      }),
    ],
  ];
}
