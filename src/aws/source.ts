/**
 * AWS's EBS direct APIs (or an endpoint that speaks them) as a `BlockSource`: the door of this folder.
 * It puts client, credentials, pacing and retries together; each of them is a chapter beside this one.
 * Opening loads the SDK and asks nobody anything.
 */
import type { BlockSource, Clock, Randomness, SourceEvent } from "../model.ts";
import type { Rate } from "../units.ts";
import { BlockFetcher } from "./block.ts";
import { changedCall, listCall } from "./calls.ts";
import { makeEbsClient, resolvePlace } from "./client.ts";
import {
  chooseProvider,
  type CredentialFacts,
  CredentialKeeper,
  type CredentialOptions,
} from "./credentials.ts";
import { makeDescriber } from "./describe.ts";
import { customEndpoint, isAwsEndpoint } from "./endpoint.ts";
import { FetchHandler } from "./handler.ts";
import { followPages } from "./listing.ts";
import { Pacer } from "./pacing.ts";
import { type Environment, proxyFor } from "./proxy.ts";
import { Retry } from "./retry.ts";

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
  readonly onEvent?: (event: SourceEvent) => void;
}

/** A `BlockSource`, and what the record and `whoami` want to know of it. */
export interface AwsSource extends BlockSource {
  /** URL of the proxy in use, without user and password; `undefined` for a direct connection. */
  readonly proxy: string | undefined;
  /** Where the credentials come from. Reads them if that has not happened. Throws `access`. */
  credentials(): Promise<CredentialFacts>;
}

const DAY_MS = 86_400_000;

/** Throws `usage` for options or environment variables that cannot be used. */
export async function openSource(options: SourceOptions): Promise<AwsSource> {
  const { clock, environment, profile } = options;
  const onEvent = options.onEvent ?? (() => {});
  const endpointUrl = customEndpoint("EBS", options);
  const place = await resolvePlace({ environment, region: options.region, profile, endpointUrl });
  const isAws = isAwsEndpoint(place.endpoint);
  // An endpoint that is not AWS's is asked for everything; a private one of AWS serves EBS only.
  const elsewhere = isAws ? undefined : endpointUrl ?? place.endpoint;
  const stallMs = options.stallMs;
  const handler = new FetchHandler({ environment, clock, ...(stallMs === undefined ? {} : { stallMs }) });
  const skewMs = () => handler.facts.clockSkewMs;
  const chosen = await chooseProvider(options, {
    environment,
    region: place.region,
    handler,
    endpointUrl: elsewhere,
    skewMs,
  });
  const keeper = new CredentialKeeper({ ...chosen, clock, onEvent, skewMs: () => skewMs() ?? 0 });
  const client = await makeEbsClient({ ...place, environment, endpointUrl, handler, keeper, onEvent });
  const maxConcurrency = Math.max(1, Math.min(128, options.maxConcurrency ?? 64));
  const pacer = new Pacer({ clock, maxConcurrency, rate: options.rate });
  const retry = new Retry({
    clock,
    randomness: options.randomness,
    pacer,
    keeper,
    region: place.region,
    endpoint: place.endpoint,
    profile,
    giveUpAfterMs: options.giveUpAfterMs ?? DAY_MS,
    firstAnswerWithinMs: options.firstAnswerWithinMs ?? 30_000,
    skewMs,
    onEvent,
  });
  const fetcher = new BlockFetcher({ client, retry, onEvent });
  const describer = makeDescriber({
    ...options,
    region: place.region,
    elsewhere,
    handler,
    keeper,
    retry,
    onEvent,
  });
  const closing = new AbortController();
  const stop = (signal: AbortSignal | undefined) =>
    signal === undefined ? closing.signal : AbortSignal.any([signal, closing.signal]);

  return {
    ...place,
    isAws,
    maxConcurrency,
    proxy: proxyFor(new URL(place.endpoint), environment)?.url,
    counts() {
      const { receivedBytes, clockSkewMs } = handler.facts;
      return { ...client.tally, ...retry.counts, receivedBytes, clockSkewMs };
    },
    async credentials() {
      return await describer.credentials(stop(undefined));
    },
    describe: (snapshot, call) => describer.describe(snapshot, stop(call?.signal)),
    callerIdentity: (call) => describer.callerIdentity(stop(call?.signal)),
    async *listBlocks(snapshot, list) {
      const call = listCall(snapshot);
      const signal = stop(list?.signal);
      const pages = followPages({
        call,
        isComparison: false,
        startingBlock: list?.startingBlock ?? 0,
        onEvent,
        fetchPage: async (page) => {
          const send = (signal: AbortSignal) =>
            client.listBlocks(snapshot, { ...page, maxResults: 10_000 }, signal);
          return (await retry.run({ call, signal, send })).value;
        },
      });
      for await (const { shape, blocks } of pages) {
        // `checkPage` refused blocks without a token.
        yield { shape, blocks: blocks.map(({ index, token }) => ({ index, token: token! })) };
      }
    },
    async *listChangedBlocks(pair, list) {
      const call = changedCall(pair);
      const signal = stop(list?.signal);
      const pages = followPages({
        call,
        isComparison: true,
        startingBlock: list?.startingBlock ?? 0,
        onEvent,
        fetchPage: async (page) => {
          const send = (signal: AbortSignal) =>
            client.listChangedBlocks(pair, { ...page, maxResults: 10_000 }, signal);
          return (await retry.run({ call, signal, send })).value;
        },
      });
      for await (const { shape, blocks } of pages) yield { shape, blocks };
    },
    getBlock: (request, call) => fetcher.get(request, stop(call?.signal)),
    close() {
      closing.abort(new Error("the source was closed"));
      client.close();
      describer.close();
      handler.close();
    },
  };
}
