/**
 * The EBS client: AWS's SDK with our request handler, our credentials and no retries of its own, loaded
 * only when it is made. Each method is one request; what it throws is the SDK's or the handler's own
 * (errors.ts gives it a meaning). Also keeps the tally of requests and request ids.
 */
import { OperatorError } from "../errors.ts";
import type { SnapshotId, SourceEvent, VerifiedBlock } from "../model.ts";
import { type DeclaredBlock, verifyBlock } from "./checksum.ts";
import type { CredentialKeeper, Identity } from "./credentials.ts";
import { namedRegion, noRegion } from "./endpoint.ts";
import type { FetchHandler, SdkRequest } from "./handler.ts";
import type { RawPage } from "./listing.ts";
import type { Environment } from "./proxy.ts";
import { Trouble } from "./trouble.ts";

/** Requests so far, and AWS's ids for them. */
export interface Tally {
  listRequests: number;
  getRequests: number;
  firstRequestId: string | undefined;
  lastRequestId: string | undefined;
}

export interface Place {
  readonly region: string;
  /** Scheme, host and port. */
  readonly endpoint: string;
}

export interface PlaceOptions {
  readonly environment: Environment;
  readonly region?: string | undefined;
  readonly profile?: string | undefined;
  /** Custom endpoint of EBS, `undefined` for the SDK's default. */
  readonly endpointUrl: string | undefined;
}

/** The settings that all our SDK clients share. */
export function sdkSettings(options: {
  readonly environment: Environment;
  readonly region: string;
  readonly endpointUrl: string | undefined;
  readonly profile?: string | undefined;
}) {
  const { environment, endpointUrl, profile } = options;
  const flag = (name: string) => environment(name)?.toLowerCase() === "true" ? true : undefined;
  const fips = flag("AWS_USE_FIPS_ENDPOINT");
  const dualStack = flag("AWS_USE_DUALSTACK_ENDPOINT");
  return {
    region: options.region,
    maxAttempts: 1,
    ...(profile === undefined ? {} : { profile }),
    // The SDK refuses these beside a custom endpoint, which already says where to go.
    ...(endpointUrl !== undefined
      ? { endpoint: endpointUrl, useFipsEndpoint: false, useDualstackEndpoint: false }
      : {
        ...(fips === undefined ? {} : { useFipsEndpoint: fips }),
        ...(dualStack === undefined ? {} : { useDualstackEndpoint: dualStack }),
      }),
  };
}

/**
 * The Region and the endpoint that the SDK would use, without sending anything: the profile's Region,
 * `endpoint_url`, FIPS and dual-stack settings are the SDK's to resolve. Throws `usage`.
 */
export async function resolvePlace(options: PlaceOptions): Promise<Place> {
  const { EBSClient, ListSnapshotBlocksCommand } = await import("@aws-sdk/client-ebs");
  const { environment, endpointUrl, profile } = options;
  const region = namedRegion(options) ?? await profileRegion(profile ?? environment("AWS_PROFILE"));
  let endpoint: string | undefined;
  const client = new EBSClient({
    ...sdkSettings({ environment, region, endpointUrl, profile }),
    credentials: { accessKeyId: "none", secretAccessKey: "none" },
    requestHandler: {
      handle(request: SdkRequest) {
        const port = request.port === undefined ? "" : `:${request.port}`;
        endpoint = new URL(`${request.protocol}//${request.hostname}${port}`).origin;
        return Promise.reject(new Trouble("discarded", "the endpoint is known"));
      },
    },
  });
  try {
    await client.send(new ListSnapshotBlocksCommand({ SnapshotId: "snap-00000000" }));
  } catch (thrown) {
    if (endpoint === undefined) {
      const message = thrown instanceof Error ? thrown.message : String(thrown);
      throw new OperatorError("usage", `Cannot choose an endpoint for Region "${region}": ${message}`, {
        cause: thrown,
      });
    }
  } finally {
    client.destroy();
  }
  if (endpoint === undefined) throw new Error("the SDK sent nothing");
  return { region, endpoint };
}

async function profileRegion(profile: string | undefined): Promise<string> {
  const { EBSClient } = await import("@aws-sdk/client-ebs");
  const client = new EBSClient(profile === undefined ? {} : { profile });
  try {
    return await client.config.region();
  } catch (cause) {
    if (cause instanceof Error && /region is missing/i.test(cause.message)) throw noRegion();
    throw cause;
  } finally {
    client.destroy();
  }
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

/** The three calls of an acquisition. */
export interface EbsClient {
  readonly tally: Tally;
  listBlocks(snapshot: SnapshotId, page: PageRequest, signal: AbortSignal): Promise<RawPage>;
  listChangedBlocks(
    pair: { readonly first: SnapshotId; readonly second: SnapshotId },
    page: PageRequest,
    signal: AbortSignal,
  ): Promise<RawPage>;
  getBlock(
    request: {
      readonly snapshot: SnapshotId;
      readonly index: number;
      readonly token: string;
      readonly blockSizeBytes: number;
    },
    signal: AbortSignal,
  ): Promise<VerifiedBlock>;
  close(): void;
}

/** Makes the client; loads the SDK. */
export async function makeEbsClient(options: EbsOptions): Promise<EbsClient> {
  const sdk = await import("@aws-sdk/client-ebs");
  const { handler, keeper, onEvent } = options;
  const client = new sdk.EBSClient({
    ...sdkSettings({ ...options, endpointUrl: options.endpointUrl ?? options.endpoint }),
    credentials: credentialsFor(keeper),
    requestHandler: handler,
  });
  const tally: Tally = {
    listRequests: 0,
    getRequests: 0,
    firstRequestId: undefined,
    lastRequestId: undefined,
  };
  const noteId = (requestId: string | undefined) => {
    if (requestId === undefined) return;
    tally.lastRequestId = requestId;
    if (tally.firstRequestId !== undefined) return;
    tally.firstRequestId = requestId;
    onEvent({ type: "first_request", requestId });
  };
  /** Sends, and notes the request id of whatever comes back. */
  async function noted<T extends { $metadata: { requestId?: string | undefined } }>(
    answer: Promise<T>,
  ): Promise<T> {
    try {
      const output = await answer;
      noteId(output.$metadata.requestId);
      return output;
    } catch (thrown) {
      const metadata = (thrown as { $metadata?: { requestId?: string } } | undefined)?.$metadata;
      noteId(metadata?.requestId);
      throw thrown;
    }
  }
  const paging = (page: PageRequest) => ({
    MaxResults: page.maxResults,
    ...(page.pageToken === undefined ? {} : { NextToken: page.pageToken }),
    // AWS ignores it beside a page token; not sending it is clearer.
    ...(page.pageToken !== undefined || !page.startingBlock
      ? {}
      : { StartingBlockIndex: page.startingBlock }),
  });
  return {
    tally,
    async listBlocks(snapshot, page, signal) {
      await keeper.current();
      tally.listRequests++;
      const command = new sdk.ListSnapshotBlocksCommand({ SnapshotId: snapshot, ...paging(page) });
      const output = await noted(client.send(command, { abortSignal: signal }));
      const blocks = output.Blocks?.map((b) => ({ index: b.BlockIndex, token: b.BlockToken }));
      return rawPage(output, blocks);
    },
    async listChangedBlocks(pair, page, signal) {
      await keeper.current();
      tally.listRequests++;
      const command = new sdk.ListChangedBlocksCommand({
        FirstSnapshotId: pair.first,
        SecondSnapshotId: pair.second,
        ...paging(page),
      });
      const output = await noted(client.send(command, { abortSignal: signal }));
      const blocks = output.ChangedBlocks?.map((b) => ({ index: b.BlockIndex, token: b.SecondBlockToken }));
      return rawPage(output, blocks);
    },
    async getBlock({ snapshot, index, token, blockSizeBytes }, signal) {
      await keeper.current();
      tally.getRequests++;
      const command = new sdk.GetSnapshotBlockCommand({
        SnapshotId: snapshot,
        BlockIndex: index,
        BlockToken: token,
      });
      const output = await noted(client.send(command, { abortSignal: signal }));
      const declared: DeclaredBlock = {
        dataLength: output.DataLength,
        checksum: output.Checksum,
        checksumAlgorithm: output.ChecksumAlgorithm,
        requestId: output.$metadata.requestId,
      };
      const body: unknown = output.BlockData;
      if (!(body instanceof ReadableStream)) {
        throw new Trouble("checksum", "the answer declares no checksum", {
          requestId: output.$metadata.requestId,
        });
      }
      const bytes = await handler.readBlock(body, blockSizeBytes, output.$metadata.requestId);
      return verifyBlock(bytes, { declared, blockSizeBytes });
    },
    close: () => client.destroy(),
  };
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
