/**
 * Which snapshots there are, by EC2: DescribeSnapshots page by page, and DescribeInstances for the devices that volumes
 * are attached as. Nothing of the answers is trusted: ids have their form, texts are cut, pages end. What a search
 * means, and what is done about a snapshot that can't be read, is the command's business.
 *
 * @see https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeSnapshots.html
 */
import { Buffer } from "node:buffer";
import { OperatorError } from "../errors.ts";
import type { SnapshotDescription, SnapshotId } from "../model.ts";
import { isSnapshotId } from "../units.ts";
import type { Call } from "./calls.ts";
import { type Describer, type Ec2, isToleratedForAside, snapshotFacts } from "./describe.ts";

/** EC2 takes no more values in one filter. */
export const MAX_FILTER_VALUES = 200;
/** EC2's own bound for both calls. */
const PAGE_SIZE = 1000;
/** Ten million snapshots. AWS lets an account have 100,000 in a Region. */
const MAX_PAGES = 10_000;
/** A filtered page may be empty and have a next one. */
const MAX_EMPTY_PAGES = 1000;
/** EC2's are a few hundred characters long. */
const MAX_TOKEN_LENGTH = 8192;
/** AWS allows an instance 128 at most. */
const MAX_DEVICES = 1000;
/** Of 200 volumes, each attached to 16 instances at most. */
const MAX_ATTACHMENTS = 10_000;
/** Descriptions and values of tags have 256 at most. */
const MAX_TEXT_LENGTH = 1024;
const MAX_TAGS = 100;

export interface Filter {
  readonly name: string;
  /** At most `MAX_FILTER_VALUES`; `*` and `?` stand for anything. */
  readonly values: readonly string[];
}

/** Which snapshots to tell of. */
export interface SnapshotQuery {
  /** `own`: of the caller's account. `restorable`: those that name it, own ones among them, public ones not. `any`: all that it can see. */
  readonly among: "own" | "restorable" | "any";
  /** This one only; then there are no filters. */
  readonly snapshot?: SnapshotId | undefined;
  readonly filters?: readonly Filter[] | undefined;
}

/** A snapshot as EC2 tells of it; texts are as they came, at most 1,024 characters long. */
export interface FoundSnapshot extends Omit<SnapshotDescription, "state" | "verbatim"> {
  readonly id: SnapshotId;
  /** `unknown`: a state that this program has never heard of. */
  readonly state: SnapshotDescription["state"] | "unknown";
}

/** A volume and the instance that it is attached to. */
export interface Attachment {
  readonly volumeId: string;
  readonly instanceId: string;
  /** `/dev/xvda`. */
  readonly device: string;
}

/** What became of the question for devices. */
export interface AttachmentAnswer {
  readonly result: "received" | "not_permitted" | "not_found" | "failed";
  /** Of the instance asked for: `running`, `terminated`, …. */
  readonly instanceState: string | undefined;
  readonly attachments: readonly Attachment[];
  /** The refusal, with the statement that lifts it. */
  readonly refusal: OperatorError | undefined;
}

/** Of an instance, or of whichever instances these volumes are attached to. */
export type AttachmentQuery = { readonly instance: string } | { readonly volumes: readonly string[] };

/**
 * All pages of a listing, in the order of the service. Bounded against an endpoint that never ends. Throws `source` for
 * one that can't be followed, and what `fetchPage` throws.
 */
export async function* followEc2Pages<T>(
  call: Call,
  fetchPage: (nextToken: string | undefined) => Promise<{ readonly items: readonly T[]; nextToken: unknown }>,
): AsyncGenerator<readonly T[]> {
  let nextToken: string | undefined;
  let emptyPages = 0;
  for (let pages = 1;; pages++) {
    const page = await fetchPage(nextToken);
    if (page.items.length > 0) yield page.items;
    else if (++emptyPages > MAX_EMPTY_PAGES) {
      throw refused(call, `${emptyPages} pages were empty, the listing does not end`);
    }
    const next = page.nextToken ?? "";
    if (next === "") return;
    if (typeof next !== "string" || next.length > MAX_TOKEN_LENGTH) {
      throw refused(call, "the page token is not usable");
    }
    if (next === nextToken) throw refused(call, "a page names itself as the next, it does not end");
    if (pages >= MAX_PAGES) throw refused(call, `${pages} pages and still a next one, it does not end`);
    nextToken = next;
  }
}

/** Asks EC2 for snapshots and devices. */
export class SnapshotFinder {
  readonly #describer: Describer;

  constructor(describer: Describer) {
    this.#describer = describer;
  }

  /** Pages of at most 1,000. Throws `access` where EC2 refuses, `source` where it doesn't answer. */
  async *snapshots(query: SnapshotQuery, signal: AbortSignal): AsyncGenerator<readonly FoundSnapshot[]> {
    const { snapshot, among } = query;
    const what = snapshot === undefined ? "look for snapshots" : `look for "${snapshot}"`;
    // No snapshot of the call's: of one that is not found, this says nothing about whether it was there.
    const call: Call = { action: "DescribeSnapshots", what, snapshots: [] };
    yield* followEc2Pages(call, (nextToken) => {
      const ask = async ({ sdk, client }: Ec2, signal: AbortSignal) => {
        const command = new sdk.DescribeSnapshotsCommand({
          ...(among === "own" ? { OwnerIds: ["self"] } : {}),
          ...(among === "restorable" ? { RestorableByUserIds: ["self"] } : {}),
          ...(snapshot === undefined ? paging(query.filters, nextToken) : { SnapshotIds: [snapshot] }),
        });
        return await client.send(command, { abortSignal: signal });
      };
      return this.#page(call, ask, signal);
    });
  }

  /** An aside: that it was not told is no error. */
  async attachments(query: AttachmentQuery, signal: AbortSignal): Promise<AttachmentAnswer> {
    const call: Call = {
      action: "DescribeInstances",
      what: "instance" in query ? `look for the volumes of "${query.instance}"` : "look for devices",
      snapshots: [],
    };
    const attachments: Attachment[] = [];
    const isAsked = (id: string) => "instance" in query || query.volumes.includes(id);
    let instanceState: string | undefined;
    try {
      const pages = followEc2Pages(call, (nextToken) => this.#instances(call, query, { nextToken, signal }));
      for await (const instances of pages) {
        for (const { state, volumes } of instances) {
          instanceState ??= "instance" in query ? state : undefined;
          attachments.push(...volumes.filter(({ volumeId }) => isAsked(volumeId)));
        }
        if (attachments.length > MAX_ATTACHMENTS) throw refused(call, "more devices than there can be");
      }
    } catch (thrown) {
      if (!isToleratedForAside(thrown)) throw thrown;
      return { ...untold(thrown), instanceState: undefined, attachments: [] };
    }
    return { result: "received", instanceState, attachments, refusal: undefined };
  }

  async #page(
    call: Call,
    ask: (ec2: Ec2, signal: AbortSignal) => Promise<{ Snapshots?: unknown; NextToken?: unknown }>,
    signal: AbortSignal,
  ): Promise<{ readonly items: readonly FoundSnapshot[]; nextToken: unknown }> {
    try {
      const output = await this.#describer.ask({ call, signal, isAside: false, ask });
      return {
        items: listOf(output.Snapshots, call).map((one) => foundSnapshot(one, call)),
        nextToken: output.NextToken,
      };
    } catch (thrown) {
      if (!(thrown instanceof OperatorError)) throw thrown;
      if (thrown.facts["reason"] !== "InvalidSnapshot.NotFound") throw thrown;
      return { items: [], nextToken: undefined };
    }
  }

  async #instances(
    call: Call,
    query: AttachmentQuery,
    page: { readonly nextToken: string | undefined; readonly signal: AbortSignal },
  ) {
    const ask = async ({ sdk, client }: Ec2, signal: AbortSignal) => {
      const filters = "volumes" in query
        ? [{ name: "block-device-mapping.volume-id", values: query.volumes }]
        : [];
      const command = new sdk.DescribeInstancesCommand(
        "instance" in query ? { InstanceIds: [query.instance] } : paging(filters, page.nextToken),
      );
      return await client.send(command, { abortSignal: signal });
    };
    const output = await this.#describer.ask({ call, signal: page.signal, isAside: true, ask });
    const items = listOf(output.Reservations, call)
      .flatMap((reservation) => listOf(reservation["Instances"], call))
      .map((instance) => foundInstance(instance, call))
      .filter(({ id }) => !("instance" in query) || id === query.instance);
    return { items, nextToken: output.NextToken };
  }
}

function paging(filters: readonly Filter[] = [], nextToken: string | undefined) {
  return {
    MaxResults: PAGE_SIZE,
    ...(filters.length === 0
      ? {}
      : { Filters: filters.map(({ name, values }) => ({ Name: name, Values: [...values] })) }),
    ...(nextToken === undefined ? {} : { NextToken: nextToken }),
  };
}

/** The SDK passes on whatever stands where a list should be. */
function listOf(value: unknown, call: Call): Record<string, unknown>[] {
  const list = value ?? [];
  const isList = Array.isArray(list) && list.every((one) => typeof one === "object" && one !== null);
  if (!isList) throw refused(call, "the answer is no list");
  return list as Record<string, unknown>[];
}

function foundSnapshot(one: Record<string, unknown>, call: Call): FoundSnapshot {
  const id = one["SnapshotId"];
  if (typeof id !== "string" || !isSnapshotId(id)) {
    throw refused(call, "the answer has a snapshot without a usable id");
  }
  const { state, tags, ...facts } = snapshotFacts(one);
  const texts = Object.entries(facts).map(([name, value]) => [
    name,
    typeof value === "string" ? cut(value) : value,
  ]);
  const cutTags = Object.entries(tags).slice(0, MAX_TAGS).map(([key, value]) => [cut(key), cut(value)]);
  return {
    ...Object.fromEntries(texts) as typeof facts,
    id: cut(id) as SnapshotId,
    state: state ?? "unknown",
    tags: Object.fromEntries(cutTags),
  };
}

/** A copy of its beginning: a slice would hold in memory what it was cut from, up to a whole answer. */
function cut(text: string): string {
  return Buffer.from(text.slice(0, MAX_TEXT_LENGTH)).toString();
}

function foundInstance(instance: Record<string, unknown>, call: Call) {
  const id = instance["InstanceId"];
  const state = (instance["State"] as Record<string, unknown> | undefined)?.["Name"];
  const mappings = listOf(instance["BlockDeviceMappings"], call).slice(0, MAX_DEVICES);
  const volumes = mappings.flatMap(({ DeviceName: device, Ebs: ebs }): Attachment[] => {
    const volumeId = (ebs as Record<string, unknown> | undefined)?.["VolumeId"];
    // An instance store has no volume.
    if (typeof id !== "string" || typeof device !== "string" || !isVolumeId(volumeId)) return [];
    return [{ volumeId: cut(volumeId), instanceId: cut(id), device: cut(device) }];
  });
  return { id, state: typeof state === "string" ? cut(state) : undefined, volumes };
}

export function isVolumeId(text: unknown): text is string {
  return typeof text === "string" && /^vol-[0-9a-f]{8,17}$/.test(text);
}

export { isInstanceId } from "../units.ts";

function untold(thrown: unknown): Pick<AttachmentAnswer, "result" | "refusal"> {
  if (!(thrown instanceof OperatorError)) return { result: "failed", refusal: undefined };
  if (thrown.facts["action"] === "ec2:DescribeInstances") {
    return { result: "not_permitted", refusal: thrown };
  }
  const isNotFound = thrown.facts["reason"] === "InvalidInstanceID.NotFound";
  return { result: isNotFound ? "not_found" : "failed", refusal: undefined };
}

function refused(call: Call, what: string): OperatorError {
  return new OperatorError("source", `Cannot ${call.what}: ${what}`, {
    hints: ["Check that the endpoint speaks EC2's API."],
    facts: { reason: "BAD_LISTING" },
  });
}
