/**
 * AWS's EBS direct APIs (or an endpoint that speaks them) as a `BlockSource`: the door of this folder.
 * Nothing that can be asked through it changes anything in an account. Opening loads the SDK and asks nobody anything.
 */
import type {
  BlockPage,
  BlockSource,
  CallerIdentity,
  CallOptions,
  ChangedPage,
  DescriptionAnswer,
  SnapshotId,
  SourceCounts,
  UnreadableBlock,
  VerifiedBlock,
} from "../model.ts";
import { BlockFetcher, type BlockRequest } from "./block.ts";
import { type Call, changedCall, listCall } from "./calls.ts";
import { EbsClient, type PageRequest } from "./client.ts";
import { connect, type Connection, type ConnectionOptions } from "./connection.ts";
import { awaitCompleted } from "./completion.ts";
import type { CredentialFacts } from "./credentials.ts";
import { isAwsEndpoint } from "./endpoint.ts";
import { type CheckedPage, followPages, type RawPage, refuseNothing } from "./listing.ts";
import {
  type AttachmentAnswer,
  type AttachmentQuery,
  type FoundSnapshot,
  SnapshotFinder,
  type SnapshotQuery,
} from "./sources.ts";

type ListOptions = CallOptions & { readonly startingBlock?: number };

/** A `BlockSource`, and what the record and `whoami` want to know of it. */
export interface AwsSource extends BlockSource {
  /** URL of the proxy in use, without user and password; `undefined` for a direct connection. */
  readonly proxy: string | undefined;
  /** Where the credentials come from. Reads them if that has not happened. Throws `access`; `source` for no answer. */
  credentials(): Promise<CredentialFacts>;
  /** Whose credentials were had others for. `undefined` where none were, or nobody told. */
  baseIdentity(options?: CallOptions): Promise<CallerIdentity | undefined>;
  /** Pages of snapshots, as EC2 tells of them. Throws `access`, `source`. */
  findSnapshots(query: SnapshotQuery, options?: CallOptions): AsyncIterable<readonly FoundSnapshot[]>;
  /**
   * Returns when the snapshot is no longer pending, whatever it is then. `onPending` is told how far it is, in percent,
   * where EC2 says so. Throws `source` where that takes longer than the patience lasts, `interrupted`.
   */
  awaitCompleted(
    snapshot: SnapshotId,
    options?: CallOptions & { readonly onPending?: (percent: number | undefined) => void },
  ): Promise<void>;
  /** Where volumes are attached. An aside: that it was not told is no error. */
  findAttachments(query: AttachmentQuery, options?: CallOptions): Promise<AttachmentAnswer>;
}

/** Throws `usage` for options or environment variables that cannot be used. */
export async function openSource(options: ConnectionOptions): Promise<AwsSource> {
  const connection = await connect(options);
  const { place } = connection;
  return new EbsSource({ ...connection, client: await EbsClient.make({ ...connection, ...place }) });
}

/** What the source is made of. */
interface Parts extends Connection {
  readonly client: EbsClient;
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

  async baseIdentity(options?: CallOptions): Promise<CallerIdentity | undefined> {
    const { describer, keeper } = this.#parts;
    const { base } = keeper;
    return base && await describer.callerIdentity(this.#stop(options), base);
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

  async awaitCompleted(
    snapshot: SnapshotId,
    options?: CallOptions & { readonly onPending?: (percent: number | undefined) => void },
  ): Promise<void> {
    const onPending = options?.onPending ?? (() => {});
    await awaitCompleted(this.#parts, { snapshot, signal: this.#stop(options), onPending });
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
