/**
 * What the calls share: the endpoint's state, a request after routing and authentication, and an answer. Types
 * only, plus the one way to make a JSON answer.
 */
import type { SimulatorClock } from "./clock.ts";
import type { Caller } from "./credentials.ts";
import type { FaultKind } from "./faults.ts";
import type { HeldInstance } from "./instances.ts";
import type { Route } from "./routing.ts";
import type { Sessions } from "./sessions.ts";
import type { SignedRequest } from "./sigv4.ts";
import type { SnapshotShelf } from "./snapshots.ts";
import type { TokenMint } from "./tokens.ts";
import type { Uploads } from "./uploads.ts";

/** The state of one endpoint, as the calls see it. */
export interface Endpoint {
  readonly region: string;
  /** The account that owns what nobody else does. */
  readonly account: string;
  readonly blockSizeBytes: number;
  /** Blocks of a page, whatever MaxResults asks for. */
  readonly pageLimit: number;
  readonly clock: SimulatorClock;
  readonly mint: TokenMint;
  readonly shelf: SnapshotShelf;
  readonly uploads: Uploads;
  readonly instances: readonly HeldInstance[];
  readonly sessions: Sessions;
  /** IAM actions that nobody may use. */
  readonly denied: ReadonlySet<string>;
}

/** A request that may be answered. */
export interface ApiRequest {
  readonly route: Route;
  readonly signed: SignedRequest;
  readonly caller: Caller;
  readonly requestId: string;
  /** What shall go wrong with it, where the call itself must take part (pages). */
  readonly fault: FaultKind | undefined;
}

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array;
}

/** A rest-json answer; `text` is JSON. */
export function jsonAnswer(status: number, text: string): Answer {
  return { status, headers: { "Content-Type": "application/json" }, body: new TextEncoder().encode(text) };
}

/** The value of a header that is there once; an empty one counts as missing. */
export function headerOf(request: ApiRequest, name: string): string | undefined {
  const values = request.signed.headers.get(name.toLowerCase());
  return values?.length === 1 && values[0] !== "" ? values[0] : undefined;
}
