/**
 * The EBS client: AWS's SDK with our request handler, our credentials and no retries of its own, loaded
 * only when it is made. Each method is one request; what it throws is the SDK's or the handler's own
 * (errors.ts gives it a meaning). Also keeps the tally of requests and request ids.
 */
import type { GetSnapshotBlockCommandOutput, GetSnapshotBlockRequest } from "@aws-sdk/client-ebs";
import type { SnapshotId, SourceEvent, VerifiedBlock } from "../model.ts";
import { type DeclaredBlock, verifyBlock } from "./checksum.ts";
import type { CredentialKeeper, Identity } from "./credentials.ts";
import type { FetchHandler } from "./handler.ts";
import type { RawPage } from "./listing.ts";
import { Operation } from "./operation.ts";
import type { Environment } from "./proxy.ts";
import { type Place, sdkSettings } from "./place.ts";
import { BrokenAnswer, Trouble } from "./trouble.ts";

/** Requests so far, and AWS's ids for the first and the last of them that were answered. */
export interface Tally {
  listRequests: number;
  getRequests: number;
  firstRequestId: string | undefined;
  lastRequestId: string | undefined;
}

/** For the SDK: credentials that it must ask for each time, so that a renewal counts at once. */
export function credentialsFor(keeper: CredentialKeeper): () => Promise<Identity> {
  // The SDK keeps what does not expire, and asks again for what does.
  return async () => ({ ...await keeper.current(), expiration: new Date(0) });
}

export interface EbsOptions extends Place {
  readonly environment: Environment;
  readonly endpointUrl: string | undefined;
  readonly handler: FetchHandler;
  readonly keeper: CredentialKeeper;
  readonly onEvent: (event: SourceEvent) => void;
}

/** One page of a listing, and where the next begins. */
export interface PageRequest {
  readonly pageToken?: string | undefined;
  readonly startingBlock?: number | undefined;
  readonly maxResults: number;
}

/** One block of a listing, as it is asked for. */
export interface BlockCall {
  readonly snapshot: SnapshotId;
  readonly index: number;
  readonly token: string;
  readonly blockSizeBytes: number;
}

type Sdk = typeof import("@aws-sdk/client-ebs");

/** The three calls of an acquisition. */
export class EbsClient {
  readonly tally: Tally = {
    listRequests: 0,
    getRequests: 0,
    firstRequestId: undefined,
    lastRequestId: undefined,
  };
  readonly #sdk: Sdk;
  readonly #client: InstanceType<Sdk["EBSClient"]>;
  readonly #blocks: Operation<GetSnapshotBlockRequest, GetSnapshotBlockCommandOutput>;
  readonly #options: EbsOptions;

  constructor(sdk: Sdk, options: EbsOptions) {
    this.#sdk = sdk;
    this.#options = options;
    this.#client = new sdk.EBSClient({
      ...sdkSettings({ ...options, endpointUrl: options.endpointUrl ?? options.endpoint }),
      credentials: credentialsFor(options.keeper),
      requestHandler: options.handler,
    });
    this.#blocks = new Operation({
      client: this.#client,
      handler: options.handler,
      schema: sdk.GetSnapshotBlock$,
    });
  }

  /** Loads the SDK. */
  static async make(options: EbsOptions): Promise<EbsClient> {
    return new EbsClient(await import("@aws-sdk/client-ebs"), options);
  }

  async listBlocks(snapshot: SnapshotId, page: PageRequest, signal: AbortSignal): Promise<RawPage> {
    await this.#options.keeper.current();
    this.tally.listRequests++;
    const command = new this.#sdk.ListSnapshotBlocksCommand({ SnapshotId: snapshot, ...paging(page) });
    const output = await this.#noted(this.#client.send(command, { abortSignal: signal }));
    const blocks = elementsOf(output.Blocks)?.map((block) => ({
      index: block.BlockIndex,
      token: block.BlockToken,
    }));
    return rawPage(output, blocks);
  }

  async listChangedBlocks(
    pair: { readonly first: SnapshotId; readonly second: SnapshotId },
    page: PageRequest,
    signal: AbortSignal,
  ): Promise<RawPage> {
    await this.#options.keeper.current();
    this.tally.listRequests++;
    const command = new this.#sdk.ListChangedBlocksCommand({
      FirstSnapshotId: pair.first,
      SecondSnapshotId: pair.second,
      ...paging(page),
    });
    const output = await this.#noted(this.#client.send(command, { abortSignal: signal }));
    const blocks = elementsOf(output.ChangedBlocks)?.map((block) => ({
      index: block.BlockIndex,
      token: block.SecondBlockToken,
    }));
    return rawPage(output, blocks);
  }

  async getBlock(call: BlockCall, signal: AbortSignal): Promise<VerifiedBlock> {
    const { blockSizeBytes } = call;
    await this.#options.keeper.current();
    this.tally.getRequests++;
    const request = { SnapshotId: call.snapshot, BlockIndex: call.index, BlockToken: call.token };
    const output = await this.#noted(this.#blocks.send(request, signal));
    const { requestId } = output.$metadata;
    const declared: DeclaredBlock = {
      dataLength: output.DataLength,
      checksum: output.Checksum,
      checksumAlgorithm: output.ChecksumAlgorithm,
      requestId,
    };
    const body: unknown = output.BlockData;
    if (!(body instanceof ReadableStream)) {
      throw new Trouble("malformed", "the answer declares no checksum", { requestId });
    }
    const bytes = await this.#options.handler.readBlock(body, blockSizeBytes, requestId);
    return await verifyBlock(bytes, { declared, blockSizeBytes });
  }

  close(): void {
    this.#client.destroy();
  }

  /** Notes the request id of whatever comes back. */
  async #noted<T extends { $metadata: { requestId?: string | undefined } }>(answer: Promise<T>): Promise<T> {
    try {
      const output = await answer;
      this.#noteId(output.$metadata.requestId);
      return output;
    } catch (thrown) {
      const metadata = (thrown as { $metadata?: { requestId?: string } } | undefined)?.$metadata;
      this.#noteId(thrown instanceof BrokenAnswer ? thrown.requestId : metadata?.requestId);
      throw thrown;
    }
  }

  #noteId(requestId: string | undefined): void {
    if (requestId === undefined) return;
    this.tally.lastRequestId = requestId;
    if (this.tally.firstRequestId !== undefined) return;
    this.tally.firstRequestId = requestId;
    this.#options.onEvent({ type: "first_request", requestId });
  }
}

function paging(page: PageRequest) {
  const { pageToken, startingBlock } = page;
  return {
    MaxResults: page.maxResults,
    ...(pageToken === undefined ? {} : { NextToken: pageToken }),
    // AWS ignores it beside a page token; not sending it is clearer.
    ...(pageToken !== undefined || !startingBlock ? {} : { StartingBlockIndex: startingBlock }),
  };
}

/** The SDK passes on whatever stands where a list should be. */
function elementsOf<T>(blocks: T[] | undefined): T[] | undefined {
  const given: unknown = blocks ?? undefined;
  const isList = Array.isArray(given) && given.every((one) => typeof one === "object" && one !== null);
  if (given === undefined || isList) return blocks ?? undefined;
  throw new Trouble("malformed", "a page whose blocks are no list");
}

function rawPage(
  output: {
    NextToken?: string | undefined;
    VolumeSize?: number | undefined;
    BlockSize?: number | undefined;
  },
  blocks: { index: unknown; token: unknown }[] | undefined,
): RawPage {
  return {
    blocks,
    nextToken: output.NextToken,
    volumeSize: output.VolumeSize,
    blockSize: output.BlockSize,
  };
}
