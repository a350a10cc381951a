/**
 * What the AWS tests share: a clock whose sleeps cost no time, a small scripted EBS server over real HTTP
 * that misbehaves where a test says so, and a source opened on it. No assertions.
 */
import { createHash } from "node:crypto";
import { setImmediate } from "node:timers";
import type { ConnectionOptions } from "../../src/aws/connection.ts";
import { type AwsSource, openSource } from "../../src/aws/source.ts";
import type { Clock, Randomness, SnapshotId, SourceEvent } from "../../src/model.ts";

export const SNAPSHOT = "snap-0123456789abcdef0" as SnapshotId;
export const OTHER = "snap-0123456789abcdef1" as SnapshotId;
export const BLOCK_BYTES = 512;

interface Sleeper {
  readonly atMs: number;
  readonly order: number;
  readonly wake: () => void;
}

/** Time that moves only to the next sleeper, as soon as nothing else runs. */
export class FakeClock implements Clock {
  /** A fixed start, so that no test depends on today. */
  readonly startMs: number;
  #elapsedMs = 0;
  #sleepers: Sleeper[] = [];
  #order = 0;
  #isPumping = false;

  constructor(startMs = Date.now()) {
    this.startMs = startMs;
  }

  nowMs(): number {
    return this.startMs + this.#elapsedMs;
  }

  monotonicMs(): number {
    return this.#elapsedMs;
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason);
      const onAbort = () => {
        this.#sleepers = this.#sleepers.filter((one) => one !== sleeper);
        reject(signal?.reason);
      };
      const sleeper: Sleeper = {
        atMs: this.#elapsedMs + ms,
        order: this.#order++,
        wake: () => {
          signal?.removeEventListener("abort", onAbort);
          resolve();
        },
      };
      signal?.addEventListener("abort", onAbort, { once: true });
      this.#sleepers.push(sleeper);
      this.#pump();
    });
  }

  #pump(): void {
    if (this.#isPumping) return;
    this.#isPumping = true;
    setImmediate(() => {
      this.#isPumping = false;
      const next = this.#sleepers.reduce<Sleeper | undefined>(
        (best, one) =>
          best === undefined || one.atMs < best.atMs || (one.atMs === best.atMs && one.order < best.order)
            ? one
            : best,
        undefined,
      );
      if (next === undefined) return;
      this.#sleepers.splice(this.#sleepers.indexOf(next), 1);
      this.#elapsedMs = Math.max(this.#elapsedMs, next.atMs);
      next.wake();
      if (this.#sleepers.length > 0) this.#pump();
    });
  }
}

/** Jitter that is always half of what it may be. */
export const HALF: Randomness = { bytes: (length) => new Uint8Array(length), fraction: () => 0.5 };

/** One request as the scripted server saw it. */
export interface Seen {
  readonly action: "ListSnapshotBlocks" | "ListChangedBlocks" | "GetSnapshotBlock" | "other";
  readonly index: number | undefined;
  readonly url: URL;
  readonly headers: Headers;
  /** How many requests came before this one. */
  readonly number: number;
}

/** Answers instead of the ordinary one; `undefined` lets it pass. */
export type Script = (seen: Seen) => Response | undefined | Promise<Response | undefined>;

export interface ScriptedServer {
  readonly url: string;
  readonly seen: Seen[];
  count(action: Seen["action"]): number;
  close(): Promise<void>;
}

/** The contents of a block of the scripted volume. */
export function blockBytes(index: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(BLOCK_BYTES).fill(index % 251);
}

/** An answer with a block; `facts` replaces what the headers declare. */
export function blockAnswer(
  bytes: Uint8Array<ArrayBuffer>,
  facts: { checksum?: string; length?: number } = {},
): Response {
  const checksum = facts.checksum ?? createHash("sha256").update(bytes).digest("base64");
  return new Response(bytes, {
    headers: {
      "x-amz-Data-Length": String(facts.length ?? bytes.length),
      "x-amz-Checksum": checksum,
      "x-amz-Checksum-Algorithm": "SHA256",
      "x-amzn-RequestId": crypto.randomUUID(),
    },
  });
}

/** An error as EBS words it. */
export function errorAnswer(
  status: number,
  type: string,
  facts: { reason?: string; message?: string; headers?: Record<string, string> } = {},
): Response {
  const body = { Message: facts.message ?? type, ...(facts.reason ? { Reason: facts.reason } : {}) };
  return Response.json(body, {
    status,
    headers: { "x-amzn-ErrorType": type, "x-amzn-RequestId": crypto.randomUUID(), ...facts.headers },
  });
}

export interface Listing {
  readonly indexes: readonly unknown[];
  readonly nextToken?: string;
  readonly volumeSize?: unknown;
  readonly blockSize?: unknown;
  readonly token?: (index: unknown) => unknown;
}

/** A page of ListSnapshotBlocks. */
export function pageAnswer(listing: Listing): Response {
  const token = listing.token ?? ((index: unknown) => `token${index}`);
  return Response.json({
    Blocks: listing.indexes.map((index) => ({ BlockIndex: index, BlockToken: token(index) })),
    ExpiryTime: 4102444800.5,
    VolumeSize: listing.volumeSize ?? 1,
    BlockSize: listing.blockSize ?? BLOCK_BYTES,
    ...(listing.nextToken === undefined ? {} : { NextToken: listing.nextToken }),
  }, { headers: { "x-amzn-RequestId": crypto.randomUUID() } });
}

/** Serves the blocks `indexes` (ascending) of SNAPSHOT in pages of `pageSize`; `script` comes first. */
export function serve(
  script: Script = () => undefined,
  volume: { indexes?: readonly number[]; pageSize?: number } = {},
): ScriptedServer {
  const indexes = volume.indexes ?? [0, 1, 2, 5];
  const pageSize = volume.pageSize ?? 100;
  const seen: Seen[] = [];
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, async (request) => {
    const one = see(request, seen.length);
    seen.push(one);
    return await script(one) ?? ordinary(one, indexes, pageSize);
  });
  return {
    url: `http://127.0.0.1:${server.addr.port}`,
    seen,
    count: (action) => seen.filter((one) => one.action === action).length,
    close: () => server.shutdown(),
  };
}

function see(request: Request, number: number): Seen {
  const url = new URL(request.url);
  const match = /^\/snapshots\/[^/]+\/(blocks|changedblocks)(?:\/(\d+))?$/.exec(url.pathname);
  const action = match === null
    ? "other"
    : match[1] === "changedblocks"
    ? "ListChangedBlocks"
    : match[2] === undefined
    ? "ListSnapshotBlocks"
    : "GetSnapshotBlock";
  const index = match?.[2] === undefined ? undefined : Number(match[2]);
  return { action, index, url, headers: request.headers, number };
}

function ordinary(seen: Seen, indexes: readonly number[], pageSize: number): Response {
  if (seen.action === "GetSnapshotBlock") return blockAnswer(blockBytes(seen.index!));
  if (seen.action === "other") return errorAnswer(404, "UnknownOperationException");
  const query = seen.url.searchParams;
  const from = Number(query.get("pageToken")?.replace("page", "") ?? query.get("startingBlockIndex") ?? 0);
  const rest = indexes.filter((index) => index >= from);
  const page = rest.slice(0, pageSize);
  const next = rest[pageSize];
  if (seen.action === "ListSnapshotBlocks") {
    return pageAnswer({ indexes: page, ...(next === undefined ? {} : { nextToken: `page${next}` }) });
  }
  return Response.json({
    ChangedBlocks: page.map((index) => ({
      BlockIndex: index,
      FirstBlockToken: `old${index}`,
      // Odd ones are gone in the second snapshot; one way to say so is null.
      ...(index % 2 === 1
        ? (index === 1 ? { SecondBlockToken: null } : {})
        : { SecondBlockToken: `new${index}` }),
    })),
    VolumeSize: 1,
    BlockSize: BLOCK_BYTES,
    ...(next === undefined ? {} : { NextToken: `page${next}` }),
  });
}

/** Keys as AWS writes them in its documentation. */
export const KEYS: Readonly<Record<string, string>> = {
  AWS_ACCESS_KEY_ID: "AKIAIOSFODNN7EXAMPLE",
  AWS_SECRET_ACCESS_KEY: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
  AWS_REGION: "eu-central-1",
};

export interface Opened {
  readonly source: AwsSource;
  readonly events: SourceEvent[];
  readonly clock: FakeClock;
}

/** A source on `url` with fake time. */
export async function open(
  url: string,
  options: Partial<ConnectionOptions> & { variables?: Readonly<Record<string, string>> } = {},
): Promise<Opened> {
  const events: SourceEvent[] = [];
  const clock = new FakeClock();
  const { variables, ...rest } = options;
  const values = variables ?? KEYS;
  const source = await openSource({
    clock,
    randomness: HALF,
    environment: (name) => values[name],
    endpointUrl: url,
    onEvent: (event) => events.push(event),
    ...rest,
  });
  return { source, events, clock };
}

/** Runs `work` on a source on a scripted server; both are closed after it. */
export async function withSource(
  script: Script,
  work: (opened: Opened & { readonly server: ScriptedServer }) => Promise<void>,
  options: Parameters<typeof open>[1] & { volume?: Parameters<typeof serve>[1] } = {},
): Promise<void> {
  const { volume, ...rest } = options;
  const server = serve(script, volume);
  const opened = await open(server.url, rest);
  try {
    await work({ ...opened, server });
  } finally {
    opened.source.close();
    await server.close();
  }
}

/** All of an async iterable. */
export async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = [];
  for await (const item of items) list.push(item);
  return list;
}
