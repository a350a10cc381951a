/**
 * What enriches the record where the caller may ask: EC2 DescribeSnapshots and STS GetCallerIdentity. Both
 * are asides: refused, unknown to the server or not answered in a few attempts, that is what the record says,
 * and the acquisition goes on. EC2 and STS clients are loaded when first asked for.
 */
import { OperatorError } from "../errors.ts";
import type { CallerIdentity, DescriptionAnswer, SnapshotDescription, SnapshotId } from "../model.ts";
import type { Action, Call } from "./calls.ts";
import { credentialsFor } from "./client.ts";
import type { CredentialFacts, CredentialKeeper, Identity } from "./credentials.ts";
import { customEndpoint } from "./endpoint.ts";
import type { FetchHandler } from "./handler.ts";
import type { Known } from "./permissions.ts";
import { sdkSettings } from "./place.ts";
import type { Environment } from "./proxy.ts";
import { Unanswered } from "./request.ts";
import type { Retry } from "./retry.ts";

export interface DescriberOptions {
  readonly environment: Environment;
  readonly region: string;
  /** Set where nothing may reach AWS itself. */
  readonly elsewhere: string | undefined;
  readonly handler: FetchHandler;
  readonly keeper: CredentialKeeper;
  readonly retry: Retry;
  /** What is told of the caller and of snapshots is noted there. */
  readonly known: Known;
}

/** Attempts of an aside, back-off included about two seconds. */
const ASIDE_LIMITS = { trouble: 4, damaged: 1 } as const;

/** EC2's client, and of the SDK what asks and changes nothing. */
export type Ec2 = {
  readonly sdk: Pick<
    typeof import("@aws-sdk/client-ec2"),
    "DescribeInstancesCommand" | "DescribeSnapshotsCommand"
  >;
  readonly client: import("@aws-sdk/client-ec2").EC2Client;
};

/** One request to EC2. */
export interface Ec2Question<T> {
  readonly call: Call;
  readonly signal: AbortSignal;
  /** Given up after a few attempts, and says nothing of the source. */
  readonly isAside: boolean;
  ask(ec2: Ec2, signal: AbortSignal): Promise<T>;
}

/** What an aside brought, or the failure that was tolerated. */
type Aside<T> = { readonly value: T } | { readonly failure: unknown };

/** Asks EC2 and STS. */
export class Describer {
  readonly #options: DescriberOptions;
  readonly #closers: (() => void)[] = [];
  #requests = 0;
  readonly #ec2 = once(() => this.#loadEc2());
  readonly #sts = once(() => this.#loadSts());

  constructor(options: DescriberOptions) {
    this.#options = options;
  }

  /** Requests that were sent, whatever became of them. */
  get requests(): number {
    return this.#requests;
  }

  async describe(snapshot: SnapshotId, signal: AbortSignal): Promise<DescriptionAnswer> {
    const call = asideCall("DescribeSnapshots", `describe "${snapshot}"`, [snapshot]);
    const answer = await this.#aside(call, signal, async (signal) => {
      const { sdk, client } = await this.#ec2();
      const command = new sdk.DescribeSnapshotsCommand({ SnapshotIds: [snapshot] });
      return await client.send(command, { abortSignal: signal });
    });
    if ("failure" in answer) return untold(resultOf(answer.failure));
    const { Snapshots, $metadata } = answer.value;
    const found = Snapshots?.find((one) => one.SnapshotId === snapshot);
    if (found === undefined) return untold(Snapshots === undefined ? "failed" : "not_found");
    const told = description(found as Record<string, unknown>);
    // A snapshot in a state that nobody knows is no usable answer.
    if (told === undefined) return untold("failed");
    this.#options.known.snapshots.set(snapshot, told);
    return { result: "received", description: told, requestId: $metadata.requestId };
  }

  /** Who calls; with `base` whoever has those credentials. */
  async callerIdentity(signal: AbortSignal, base?: Identity): Promise<CallerIdentity | undefined> {
    const call = asideCall("GetCallerIdentity", "ask who the caller is", []);
    const sts = base === undefined ? this.#sts : once(() => this.#loadSts(base));
    const answer = await this.#aside(call, signal, async (signal) => {
      const { sdk, client } = await sts();
      return await client.send(new sdk.GetCallerIdentityCommand({}), { abortSignal: signal });
    });
    if ("failure" in answer) return undefined;
    const { Account, Arn, UserId } = answer.value;
    const caller = Account && Arn && UserId ? { account: Account, arn: Arn, userId: UserId } : undefined;
    if (base === undefined) this.#options.known.caller = caller;
    return caller;
  }

  /** What is known of the credentials; reads them where that has not happened. Throws `access`; `source` for no answer. */
  async credentials(signal: AbortSignal): Promise<CredentialFacts> {
    const { keeper, retry } = this.#options;
    const call = asideCall("GetCallerIdentity", "get credentials", []);
    try {
      await retry.run({ call, signal, isAside: true, limits: ASIDE_LIMITS, send: () => keeper.current() });
    } catch (thrown) {
      if (!(thrown instanceof Unanswered)) throw thrown;
      throw new OperatorError("source", `Cannot get credentials from ${keeper.source}: ${thrown.message}`, {
        facts: { credentials: keeper.source, canRenew: keeper.canRenew },
      });
    }
    const facts = keeper.facts();
    if (facts === undefined) throw new Error("credentials were read, but none are held");
    return facts;
  }

  /** EC2's answer. Throws what `Retry.run` throws: `Unanswered` for an aside that was given up. */
  async ask<T>({ call, signal, isAside, ask }: Ec2Question<T>): Promise<T> {
    const { keeper, retry } = this.#options;
    const send = async (signal: AbortSignal) => {
      await keeper.current();
      const ec2 = await this.#ec2();
      this.#requests++;
      return await ask(ec2, signal);
    };
    const limits = isAside ? { isAside, limits: ASIDE_LIMITS } : {};
    return (await retry.run({ call, signal, send, ...limits })).value;
  }

  close(): void {
    for (const close of this.#closers) close();
  }

  /** Asks; only what may not be tolerated is thrown. */
  async #aside<T>(
    call: Call,
    signal: AbortSignal,
    ask: (signal: AbortSignal) => Promise<T>,
  ): Promise<Aside<T>> {
    const { keeper, retry } = this.#options;
    const send = async (signal: AbortSignal) => {
      await keeper.current();
      this.#requests++;
      return await ask(signal);
    };
    try {
      return await retry.run({ call, signal, isAside: true, limits: ASIDE_LIMITS, send });
    } catch (thrown) {
      if (!isToleratedForAside(thrown)) throw thrown;
      return { failure: thrown };
    }
  }

  async #loadEc2(): Promise<Ec2> {
    const sdk = await import("@aws-sdk/client-ec2");
    const client = new sdk.EC2Client(queryServiceSettings("EC2", this.#options));
    this.#closers.push(() => client.destroy());
    return { sdk, client };
  }

  async #loadSts(base?: Identity) {
    const sdk = await import("@aws-sdk/client-sts");
    const settings = queryServiceSettings("STS", this.#options);
    const client = new sdk.STSClient({ ...settings, ...(base && { credentials: base }) });
    this.#closers.push(() => client.destroy());
    return { sdk, client };
  }
}

/** What a client of EC2 or STS is made with. */
export function queryServiceSettings(
  service: "EC2" | "STS",
  options: Pick<DescriberOptions, "elsewhere" | "environment" | "handler" | "keeper" | "region">,
) {
  const { environment, region, elsewhere, keeper, handler } = options;
  // The service's own variable, then the endpoint of EBS: never the real AWS behind a drill's back.
  const endpointUrl = customEndpoint(service, { environment }) ?? elsewhere;
  return {
    ...sdkSettings({ environment, region, endpointUrl }),
    credentials: credentialsFor(keeper),
    requestHandler: handler,
  };
}

function asideCall(action: Action, what: string, snapshots: readonly SnapshotId[]): Call {
  return { action, what, snapshots };
}

/** An aside may fail in any way but two: somebody stopped us, or there are no credentials for anything. */
export function isToleratedForAside(thrown: unknown): boolean {
  if (thrown instanceof Unanswered) return true;
  return thrown instanceof OperatorError && thrown.code !== "interrupted" &&
    thrown.facts.credentials === undefined;
}

function untold(result: Exclude<DescriptionAnswer["result"], "received">): DescriptionAnswer {
  return { result, description: undefined, requestId: undefined };
}

/** What a failed question says: EC2's refusal and its "no such snapshot" are answers, all else is none. */
function resultOf(failure: unknown): "not_permitted" | "not_found" | "failed" {
  if (!(failure instanceof OperatorError)) return "failed";
  // A role that may not be assumed is refused by STS, for another action.
  if (failure.facts["action"] === "ec2:DescribeSnapshots") return "not_permitted";
  return failure.facts["reason"] === "InvalidSnapshot.NotFound" ? "not_found" : "failed";
}

/** One attempt at loading; a failed one is not kept. */
function once<T>(load: () => Promise<T>): () => Promise<T> {
  let loaded: Promise<T> | undefined;
  return () => {
    loaded ??= load();
    loaded.catch(() => loaded = undefined);
    return loaded;
  };
}

const STATES = ["pending", "completed", "error", "recoverable", "recovering"] as const;

function description(found: Record<string, unknown>): SnapshotDescription | undefined {
  const { state, ...facts } = snapshotFacts(found);
  // Member names as in the API reference; times become RFC 3339 text.
  return state && { state, ...facts, verbatim: JSON.parse(JSON.stringify(found)) };
}

/** EC2's words in ours; what has an unknown form is left out rather than guessed, an unknown state, too. */
export function snapshotFacts(
  found: Record<string, unknown>,
): Omit<SnapshotDescription, "state" | "verbatim"> & { readonly state: typeof STATES[number] | undefined } {
  const text = (value: unknown) => typeof value === "string" && value !== "" ? value : undefined;
  const time = (value: unknown) => value instanceof Date ? value.toISOString() : undefined;
  const tags: Record<string, string> = {};
  for (const tag of Array.isArray(found.Tags) ? found.Tags : []) {
    if (typeof tag?.Key === "string") tags[tag.Key] = text(tag.Value) ?? "";
  }
  return {
    state: STATES.find((one) => one === found.State),
    ownerAccount: text(found.OwnerId),
    volumeId: text(found.VolumeId),
    startedAt: time(found.StartTime),
    completedAt: time(found.CompletionTime),
    storageTier: found.StorageTier === "archive" || found.StorageTier === "standard"
      ? found.StorageTier
      : undefined,
    encrypted: typeof found.Encrypted === "boolean" ? found.Encrypted : undefined,
    kmsKeyId: text(found.KmsKeyId),
    description: text(found.Description),
    tags,
    volumeSizeGib: typeof found.VolumeSize === "number" ? found.VolumeSize : undefined,
  };
}
