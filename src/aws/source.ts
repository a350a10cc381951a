/**
 * AWS's EBS direct APIs (or an endpoint that speaks them) as a `BlockSource`: the door of this folder.
 * It puts client, credentials, pacing and retries together; each of them is a chapter beside this one.
 * Opening loads the SDK and asks nobody anything.
 */
import type {
  BlockPage,
  BlockSource,
  CallerIdentity,
  CallOptions,
  ChangedPage,
  Clock,
  DescriptionAnswer,
  Randomness,
  SnapshotId,
  SourceCounts,
  SourceEvent,
  UnreadableBlock,
  VerifiedBlock,
} from "../model.ts";
import type { Rate } from "../units.ts";
import { BlockFetcher, type BlockRequest } from "./block.ts";
import { chooseProvider, type CredentialOptions } from "./chain.ts";
import { type Call, changedCall, listCall } from "./calls.ts";
import type { BlockBuffers } from "../buffers.ts";
import { EbsClient, type PageRequest } from "./client.ts";
import { type CredentialFacts, CredentialKeeper } from "./credentials.ts";
import { Describer } from "./describe.ts";
import { customEndpoint, isAwsEndpoint } from "./endpoint.ts";
import { FetchHandler } from "./handler.ts";
import { type CheckedPage, followPages, type RawPage, refuseNothing } from "./listing.ts";
import { Pacer } from "./pacing.ts";
import { type Place, resolvePlace } from "./place.ts";
import { type Environment, proxyFor } from "./proxy.ts";
import { Retry } from "./retry.ts";
import {
  type AttachmentAnswer,
  type AttachmentQuery,
  type FoundSnapshot,
  SnapshotFinder,
  type SnapshotQuery,
} from "./sources.ts";

export interface SourceOptions extends CredentialOptions {
  readonly clock: Clock;
  readonly randomness: Randomness;
  readonly environment: Environment;
  readonly region?: string;
  readonly endpointUrl?: string;
  readonly rate?: Rate;
  /** Without any answer for so long the source is given up. 24 hours where not given. */
  readonly giveUpAfterMs?: number;
  /** The same before the very first answer. 30 seconds where not given. */
  readonly firstAnswerWithinMs?: number;
  /** Blocks under way at most; 64 where not given, never more than 128. */
  readonly maxConcurrency?: number;
  /** A request that moves no byte for so long is given up and sent again. 20 seconds where not given. */
  readonly stallMs?: number;
  /** Memory for blocks: whoever is done with a block's bytes may give them back there. */
  readonly buffers?: BlockBuffers;
  readonly onEvent?: (event: SourceEvent) => void;
}

type ListOptions = CallOptions & { readonly startingBlock?: number };

/** A `BlockSource`, and what the record and `whoami` want to know of it. */
export interface AwsSource extends BlockSource {
  /** URL of the proxy in use, without user and password; `undefined` for a direct connection. */
  readonly proxy: string | undefined;
  /** Where the credentials come from. Reads them if that has not happened. Throws `access`; `source` for no answer. */
  credentials(): Promise<CredentialFacts>;
  /** Pages of snapshots, as EC2 tells of them. Throws `access`, `source`. */
  findSnapshots(query: SnapshotQuery, options?: CallOptions): AsyncIterable<readonly FoundSnapshot[]>;
  /** Where volumes are attached. An aside: that it was not told is no error. */
  findAttachments(query: AttachmentQuery, options?: CallOptions): Promise<AttachmentAnswer>;
}

const DAY_MS = 86_400_000;

/** Throws `usage` for options or environment variables that cannot be used. */
export async function openSource(options: SourceOptions): Promise<AwsSource> {
  const { clock, environment, profile } = options;
  const onEvent = options.onEvent ?? (() => {});
  const endpointUrl = customEndpoint("EBS", options);
  const place = await resolvePlace({ environment, region: options.region, profile, endpointUrl });
  const { region } = place;
  // An endpoint that is not AWS's is asked for everything; a private one of AWS serves EBS only.
  const elsewhere = isAwsEndpoint(place.endpoint) ? undefined : endpointUrl ?? place.endpoint;
  const { stallMs, buffers } = options;
  const handler = new FetchHandler({
    environment,
    clock,
    ...(stallMs === undefined ? {} : { stallMs }),
    ...(buffers === undefined ? {} : { buffers }),
  });
  const skewMs = () => handler.facts.clockSkewMs;
  const chosen = await chooseProvider(options, {
    environment,
    region,
    handler,
    endpointUrl: elsewhere,
    skewMs,
  });
  const keeper = new CredentialKeeper({ ...chosen, clock, onEvent, skewMs: () => skewMs() ?? 0 });
  const client = await EbsClient.make({ ...place, environment, endpointUrl, handler, keeper, onEvent });
  const maxConcurrency = Math.max(1, Math.min(128, options.maxConcurrency ?? 64));
  const retry = new Retry({
    clock,
    randomness: options.randomness,
    pacer: new Pacer({ clock, maxConcurrency, rate: options.rate }),
    keeper,
    ...place,
    profile,
    giveUpAfterMs: options.giveUpAfterMs ?? DAY_MS,
    firstAnswerWithinMs: options.firstAnswerWithinMs ?? 30_000,
    skewMs,
    onEvent,
  });
  const describer = new Describer({ environment, region, elsewhere, handler, keeper, retry });
  const proxy = proxyFor(new URL(place.endpoint), environment)?.url;
  return new EbsSource({ place, proxy, maxConcurrency, handler, client, retry, describer, clock, onEvent });
}

/** The parts that `openSource` put together. */
interface Parts {
  readonly place: Place;
  readonly proxy: string | undefined;
  readonly maxConcurrency: number;
  readonly handler: FetchHandler;
  readonly client: EbsClient;
  readonly retry: Retry;
  readonly describer: Describer;
  readonly clock: Clock;
  readonly onEvent: (event: SourceEvent) => void;
}

class EbsSource implements AwsSource {
  readonly region: string;
  readonly endpoint: string;
  readonly isAws: boolean;
  readonly proxy: string | undefined;
  readonly maxConcurrency: number;
  readonly #parts: Parts;
  readonly #fetcher: BlockFetcher;
  readonly #finder: SnapshotFinder;
  readonly #closing = new AbortController();
  readonly #stops = new WeakMap<AbortSignal, AbortSignal>();

  constructor(parts: Parts) {
    this.#parts = parts;
    this.region = parts.place.region;
    this.endpoint = parts.place.endpoint;
    this.isAws = isAwsEndpoint(this.endpoint);
    this.proxy = parts.proxy;
    this.maxConcurrency = parts.maxConcurrency;
    this.#fetcher = new BlockFetcher(parts);
    this.#finder = new SnapshotFinder(parts.describer);
  }

  counts(): SourceCounts {
    const { client, retry, handler, describer } = this.#parts;
    const { receivedBytes, clockSkewMs } = handler.facts;
    const otherRequests = describer.requests;
    return { ...client.tally, ...retry.counts, otherRequests, receivedBytes, clockSkewMs };
  }

  forgetRequestIds(): void {
    const { tally } = this.#parts.client;
    tally.firstRequestId = tally.lastRequestId = undefined;
  }

  async credentials(): Promise<CredentialFacts> {
    return await this.#parts.describer.credentials(this.#stop(undefined));
  }

  async describe(snapshot: SnapshotId, options?: CallOptions): Promise<DescriptionAnswer> {
    return await this.#parts.describer.describe(snapshot, this.#stop(options));
  }

  async callerIdentity(options?: CallOptions): Promise<CallerIdentity | undefined> {
    return await this.#parts.describer.callerIdentity(this.#stop(options));
  }

  findSnapshots(query: SnapshotQuery, options?: CallOptions): AsyncIterable<readonly FoundSnapshot[]> {
    return this.#finder.snapshots(query, this.#stop(options));
  }

  async findAttachments(query: AttachmentQuery, options?: CallOptions): Promise<AttachmentAnswer> {
    return await this.#finder.attachments(query, this.#stop(options));
  }

  async *listBlocks(snapshot: SnapshotId, options?: ListOptions): AsyncGenerator<BlockPage> {
    const { client } = this.#parts;
    const pages = this.#pages(
      listCall(snapshot),
      options,
      (page, signal) => client.listBlocks(snapshot, page, signal),
    );
    for await (const { shape, blocks } of pages) {
      // `checkPage` refused blocks without a token.
      yield { shape, blocks: blocks.map(({ index, token }) => ({ index, token: token! })) };
    }
  }

  async *listChangedBlocks(
    pair: { readonly first: SnapshotId; readonly second: SnapshotId },
    options?: ListOptions,
  ): AsyncGenerator<ChangedPage> {
    const { client } = this.#parts;
    const pages = this.#pages(
      changedCall(pair),
      options,
      (page, signal) => client.listChangedBlocks(pair, page, signal),
    );
    for await (const { shape, blocks } of pages) yield { shape, blocks };
  }

  async getBlock(request: BlockRequest, options?: CallOptions): Promise<VerifiedBlock | UnreadableBlock> {
    return await this.#fetcher.get(request, this.#stop(options));
  }

  close(): void {
    this.#closing.abort(new Error("the source was closed"));
    this.#parts.client.close();
    this.#parts.describer.close();
    this.#parts.handler.close();
  }

  #pages(
    call: Call,
    options: ListOptions | undefined,
    fetchOne: (page: PageRequest, signal: AbortSignal) => Promise<RawPage>,
  ): AsyncGenerator<CheckedPage> {
    const { retry, onEvent } = this.#parts;
    const signal = this.#stop(options);
    return followPages({
      call,
      isComparison: call.action === "ListChangedBlocks",
      startingBlock: options?.startingBlock ?? 0,
      onEvent,
      fetchPage: async (page) => {
        const send = async (signal: AbortSignal) => {
          const raw = await fetchOne({ ...page, maxResults: 10_000 }, signal);
          // Where the service has listed this before, an answer with nothing in it is somebody else's.
          if (retry.hasRead(call)) refuseNothing(raw);
          return raw;
        };
        return (await retry.run({ call, signal, send })).value;
      },
    });
  }

  /** Aborts with the caller's signal, and when the source is closed. */
  #stop(options: CallOptions | undefined): AbortSignal {
    const own = this.#closing.signal;
    if (options?.signal === undefined) return own;
    // One for all calls with that signal: a run makes millions of calls, and each would leave a trace in it.
    const known = this.#stops.get(options.signal);
    if (known !== undefined) return known;
    const either = AbortSignal.any([options.signal, own]);
    this.#stops.set(options.signal, either);
    return either;
  }
}
