/**
 * The way to AWS that its clients share: place, credentials, HTTP, and the one retry-and-pacing loop, put together from
 * the command line's choice. What is asked on it is its users' business: source.ts reads, and nothing else;
 * snapshot_create.ts has the one call that writes. Connecting loads the SDK and asks nobody anything.
 */
import type { BlockBuffers } from "../buffers.ts";
import type { Clock, Randomness, SourceEvent } from "../model.ts";
import type { Rate } from "../units.ts";
import { chooseProvider, type CredentialOptions } from "./chain.ts";
import { CredentialKeeper } from "./credentials.ts";
import { Describer } from "./describe.ts";
import { customEndpoint, isAwsEndpoint } from "./endpoint.ts";
import { FetchHandler } from "./handler.ts";
import { Pacer } from "./pacing.ts";
import { nothingKnown } from "./permissions.ts";
import { type Place, resolvePlace } from "./place.ts";
import { type Environment, proxyFor } from "./proxy.ts";
import { Retry } from "./retry.ts";

export interface ConnectionOptions extends CredentialOptions {
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

/** An open way. Whoever connected closes describer and handler. */
export interface Connection {
  readonly place: Place;
  /** As the command line or the environment names it for EBS; `undefined`: AWS's own. */
  readonly endpointUrl: string | undefined;
  /** Where EC2 and STS are asked, too: an endpoint that is not AWS's is asked for everything. */
  readonly elsewhere: string | undefined;
  /** URL of the proxy in use, without user and password; `undefined` for a direct connection. */
  readonly proxy: string | undefined;
  readonly environment: Environment;
  readonly maxConcurrency: number;
  readonly handler: FetchHandler;
  readonly keeper: CredentialKeeper;
  readonly retry: Retry;
  readonly describer: Describer;
  readonly clock: Clock;
  readonly onEvent: (event: SourceEvent) => void;
}

const DAY_MS = 86_400_000;

/** Throws `usage` for options or environment variables that cannot be used. */
export async function connect(options: ConnectionOptions): Promise<Connection> {
  const { clock, environment, profile } = options;
  const onEvent = options.onEvent ?? (() => {});
  const endpointUrl = customEndpoint("EBS", options);
  const place = await resolvePlace({ environment, region: options.region, profile, endpointUrl });
  const { region } = place;
  // A private endpoint of AWS serves EBS only.
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
    nowMs: () => clock.nowMs() + (skewMs() ?? 0),
  });
  const keeper = new CredentialKeeper({ ...chosen, clock, onEvent, skewMs: () => skewMs() ?? 0 });
  const maxConcurrency = Math.max(1, Math.min(128, options.maxConcurrency ?? 64));
  const known = nothingKnown();
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
    known,
    onEvent,
  });
  const describer = new Describer({ environment, region, elsewhere, handler, keeper, retry, known });
  const proxy = proxyFor(new URL(place.endpoint), environment)?.url;
  return {
    place,
    endpointUrl,
    elsewhere,
    proxy,
    environment,
    maxConcurrency,
    handler,
    keeper,
    retry,
    describer,
    clock,
    onEvent,
  };
}
