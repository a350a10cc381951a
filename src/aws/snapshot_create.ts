/**
 * The one call that writes to an account: EC2 CreateSnapshots, which takes the snapshots of all volumes of an instance at
 * one moment. It has a client of its own. Nothing that acquisitions read with leads here: only the command `snapshot`
 * imports this file (tests/e2e/read_only_test.ts).
 *
 * The call has no client token, so it is never repeated where a first one may have done something. Each set carries a
 * random id as a tag instead, by which it is found where the answer was lost.
 *
 * @see https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateSnapshots.html
 */
import { OperatorError } from "../errors.ts";
import type { CallerIdentity, SnapshotId } from "../model.ts";
import { isSnapshotId } from "../units.ts";
import type { Call } from "./calls.ts";
import { connect, type Connection, type ConnectionOptions } from "./connection.ts";
import { queryServiceSettings } from "./describe.ts";
import { isAwsEndpoint } from "./endpoint.ts";
import { Unanswered } from "./request.ts";
import { SET_TAG } from "./set_tags.ts";
import { type AttachmentAnswer, isVolumeId, SnapshotFinder } from "./sources.ts";

/** What to take snapshots of, and what they are to carry. */
export interface SetRequest {
  readonly instance: string;
  /** 32 hexadecimal digits, used once. */
  readonly setId: string;
  readonly description: string;
  /** Beside `SET_TAG`. */
  readonly tags: Readonly<Record<string, string>>;
}

/** A snapshot that was begun. */
export interface MadeSnapshot {
  readonly snapshot: SnapshotId;
  readonly volumeId: string;
  readonly volumeSizeGib: number | undefined;
  readonly encrypted: boolean | undefined;
  /** RFC 3339. */
  readonly startedAt: string | undefined;
}

export interface MadeSet {
  /** In the order of their volumes' ids. */
  readonly snapshots: readonly MadeSnapshot[];
  /** False: the answer to the request was lost, and the set was found by its tag. */
  readonly wasAnswered: boolean;
  readonly requestId: string | undefined;
}

type Ec2Module = typeof import("@aws-sdk/client-ec2");

/** Takes snapshots of instances. */
export class SnapshotMaker {
  readonly region: string;
  readonly endpoint: string;
  readonly isAws: boolean;
  readonly #connection: Connection;
  readonly #finder: SnapshotFinder;
  readonly #sdk: Ec2Module;
  readonly #client: import("@aws-sdk/client-ec2").EC2Client;

  private constructor(connection: Connection, sdk: Ec2Module) {
    this.region = connection.place.region;
    this.endpoint = connection.place.endpoint;
    this.isAws = isAwsEndpoint(this.endpoint);
    this.#connection = connection;
    this.#finder = new SnapshotFinder(connection.describer);
    this.#sdk = sdk;
    this.#client = new sdk.EC2Client(queryServiceSettings("EC2", { ...connection, region: this.region }));
  }

  /** Loads the SDK and asks nobody anything. Throws `usage`. */
  static async open(options: ConnectionOptions): Promise<SnapshotMaker> {
    return new SnapshotMaker(await connect(options), await import("@aws-sdk/client-ec2"));
  }

  async callerIdentity(signal: AbortSignal): Promise<CallerIdentity | undefined> {
    return await this.#connection.describer.callerIdentity(signal);
  }

  /** The instance's volumes. An aside: that they were not told is no error. */
  async attachments(instance: string, signal: AbortSignal): Promise<AttachmentAnswer> {
    return await this.#finder.attachments({ instance }, signal);
  }

  /** Asks EC2 whether it would do it; nothing is made. Throws `access`, `not_found`, `source`. */
  async rehearse(request: SetRequest, signal: AbortSignal): Promise<void> {
    const call = callOf(request);
    try {
      await this.#connection.retry.run({ call, signal, send: (signal) => this.#send(request, true, signal) });
    } catch (thrown) {
      if (thrown instanceof OperatorError && thrown.facts["reason"] === "DryRunOperation") return;
      throw inWords(thrown, request);
    }
    throw new OperatorError(
      "source",
      `Cannot ${call.what}: asked whether it may, the endpoint says no word`,
      {
        hints: ["Check that the endpoint speaks EC2's API: it must know DryRun."],
        facts: { reason: "BAD_ANSWER" },
      },
    );
  }

  /**
   * Takes the snapshots; they are pending. Throws `access`, `not_found`, `source`: there it is said whether nothing was
   * made, or that this is not known.
   */
  async create(request: SetRequest, signal: AbortSignal): Promise<MadeSet> {
    try {
      const { value } = await this.#connection.retry.run({
        call: callOf(request),
        signal,
        // Sent again only after an answer that says that nothing was done: credentials, clock, a throttle.
        isAside: true,
        limits: { trouble: 1, damaged: 1 },
        send: (signal) => this.#send(request, false, signal),
      });
      const snapshots = madeSnapshots(value.Snapshots, request);
      return { snapshots, wasAnswered: true, requestId: value.$metadata.requestId };
    } catch (thrown) {
      if (thrown instanceof OperatorError && thrown.code === "interrupted") {
        throw unknownEnd(request, "stopped", "interrupted");
      }
      if (!(thrown instanceof Unanswered)) throw inWords(thrown, request);
      if (thrown.verdict.kind === "throttle") {
        throw new OperatorError("source", `Cannot ${callOf(request).what}: AWS throttles, nothing was made`, {
          hints: ["Run the same command again in a minute."],
        });
      }
      return await this.#findMade(request, thrown.message, signal);
    }
  }

  close(): void {
    this.#client.destroy();
    this.#connection.describer.close();
    this.#connection.handler.close();
  }

  /** Whether a request whose answer was lost did its work: by the tag that only its snapshots have. */
  async #findMade(request: SetRequest, reason: string, signal: AbortSignal): Promise<MadeSet> {
    const made: MadeSnapshot[] = [];
    const filters = [{ name: `tag:${SET_TAG}`, values: [request.setId] }];
    try {
      for await (const page of this.#finder.snapshots({ among: "own", filters }, signal)) {
        for (const { id, volumeId, ...facts } of page) {
          if (facts.tags[SET_TAG] !== request.setId || volumeId === undefined) continue;
          made.push({ snapshot: id, volumeId, ...facts });
        }
      }
    } catch (thrown) {
      if (!(thrown instanceof OperatorError)) throw thrown;
      throw unknownEnd(request, `${reason}; then: ${thrown.message}`);
    }
    if (made.length === 0) throw unknownEnd(request, reason);
    return { snapshots: sorted(made), wasAnswered: false, requestId: undefined };
  }

  async #send(request: SetRequest, isRehearsal: boolean, signal: AbortSignal) {
    await this.#connection.keeper.current();
    const tags = Object.entries({ ...request.tags, [SET_TAG]: request.setId });
    const command = new this.#sdk.CreateSnapshotsCommand({
      InstanceSpecification: { InstanceId: request.instance },
      Description: request.description,
      TagSpecifications: [{
        ResourceType: "snapshot",
        Tags: tags.map(([Key, Value]) => ({ Key, Value })),
      }],
      DryRun: isRehearsal,
    });
    return await this.#client.send(command, { abortSignal: signal });
  }
}

function callOf({ instance }: SetRequest): Call {
  return { action: "CreateSnapshots", what: `take snapshots of "${instance}"`, snapshots: [] };
}

function madeSnapshots(answer: unknown, request: SetRequest): readonly MadeSnapshot[] {
  const list: unknown[] = Array.isArray(answer) ? answer : [];
  const made = list.map((one): MadeSnapshot | undefined => {
    const facts = (one ?? {}) as Record<string, unknown>;
    const { SnapshotId: snapshot, VolumeId: volumeId, StartTime: start, VolumeSize: size } = facts;
    if (typeof snapshot !== "string" || !isSnapshotId(snapshot) || !isVolumeId(volumeId)) return undefined;
    return {
      snapshot,
      volumeId,
      volumeSizeGib: typeof size === "number" ? size : undefined,
      encrypted: typeof facts["Encrypted"] === "boolean" ? facts["Encrypted"] : undefined,
      startedAt: start instanceof Date ? start.toISOString() : undefined,
    };
  }).filter((one) => one !== undefined);
  // What can't be read of the answer is in the account none the less.
  if (made.length === 0 || made.length < list.length) throw unknownEnd(request, "the answer can't be read");
  return sorted(made);
}

function sorted(made: readonly MadeSnapshot[]): readonly MadeSnapshot[] {
  return made.toSorted((a, b) => a.volumeId < b.volumeId ? -1 : 1);
}

/** Nobody knows whether snapshots were made: said as that, with the way to find out. */
function unknownEnd(
  request: SetRequest,
  reason: string,
  code: "interrupted" | "source" = "source",
): OperatorError {
  return new OperatorError(
    code,
    `Cannot tell whether snapshots of "${request.instance}" were made: ${reason}`,
    {
      hints: [
        `Look in a minute: coldcase sources --tag ${SET_TAG}=${request.setId}`,
        "Only if that finds none, run the same command again: it would make another set.",
      ],
      facts: { reason: "UNKNOWN_END", set: request.setId },
    },
  );
}

/** EC2's refusals of this call, where a person can do something about them. */
function inWords(thrown: unknown, { instance }: SetRequest): unknown {
  if (!(thrown instanceof OperatorError)) return thrown;
  const reason = String(thrown.facts["reason"]);
  if (reason === "InvalidInstanceID.NotFound" || reason === "InvalidInstanceID.Malformed") {
    return new OperatorError("not_found", `Cannot take snapshots of "${instance}": EC2 does not know it`, {
      hints: [
        "Instances belong to one Region and account: name theirs with --region, --profile or --role-arn.",
        "A terminated instance has no volumes any more; its snapshots: coldcase sources " + instance,
      ],
      facts: thrown.facts,
      cause: thrown,
    });
  }
  if (/SnapshotLimitExceeded|PerVolumeRateExceeded/.test(reason)) {
    return new OperatorError(thrown.code, `${thrown.message}; nothing was made`, {
      hints: [
        "AWS lets an account and a volume have so many pending snapshots: wait until earlier ones are completed.",
      ],
      facts: thrown.facts,
      cause: thrown,
    });
  }
  return thrown;
}
