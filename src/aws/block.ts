/**
 * One block, until it is held, or known to be unreadable. A token that expired is replaced from a new
 * listing; a block that keeps failing is called unreadable only after the service was seen to answer
 * otherwise, twice, and to serve other blocks: an outage must never look like a bad block.
 */
import { OperatorError } from "../errors.ts";
import type {
  Clock,
  ListedBlock,
  SnapshotId,
  SourceEvent,
  UnreadableBlock,
  VerifiedBlock,
  VolumeShape,
} from "../model.ts";
import { getCall, listCall } from "./calls.ts";
import type { EbsClient } from "./client.ts";
import { followPages, refuseNothing } from "./listing.ts";
import { interrupted, Unanswered } from "./request.ts";
import type { Retry } from "./retry.ts";

/** How often a block is asked for. */
export const BLOCK_LIMITS = {
  /** With a wrong checksum or length. */
  damaged: 5,
  /** With no answer, before each of the two proofs that the service answers otherwise. */
  trouble: 8,
  /** With a token that AWS refuses although it was just listed. */
  stale: 3,
} as const;

/**
 * Where no other blocks are read between the tries, it may be all blocks that fail, though a listing comes in the end: a backend
 * or a network that is down now and then, a path that loses large packets. After so long it is taken for the block nevertheless.
 */
const UNPROVED_MS = 10 * 60_000;
/** Between two rounds of tries of such a block. */
const UNPROVED_PAUSE_MS = 20_000;

/** Tokens of fresh listings that are kept for other blocks; two pages. */
const MAX_FRESH_TOKENS = 20_000;

export interface BlockRequest {
  readonly snapshot: SnapshotId;
  readonly block: ListedBlock;
  readonly shape: VolumeShape;
}

export interface BlockFetcherOptions {
  readonly client: EbsClient;
  readonly retry: Retry;
  readonly clock: Clock;
  readonly onEvent: (event: SourceEvent) => void;
}

/** Fetches the blocks of one source; shares fresh tokens among them. */
export class BlockFetcher {
  readonly #client: EbsClient;
  readonly #retry: Retry;
  readonly #clock: Clock;
  readonly #onEvent: (event: SourceEvent) => void;
  /** Listings of all blocks' probes that failed. */
  #probeFailures = 0;
  /** Since when no block was had, as people were told. */
  #unservedSinceMs: number | undefined;
  readonly #freshTokens = new Map<string, string>();
  /** Listings for fresh tokens go one after the other: the first serves many blocks. */
  #turn: Promise<void> = Promise.resolve();

  constructor(options: BlockFetcherOptions) {
    this.#client = options.client;
    this.#retry = options.retry;
    this.#clock = options.clock;
    this.#onEvent = options.onEvent;
  }

  /** The block, checked; or why it is unreadable. Throws `OperatorError`. */
  async get(request: BlockRequest, signal: AbortSignal): Promise<VerifiedBlock | UnreadableBlock> {
    const failed = { attempts: 0, requestIds: [] as string[] };
    let token = request.block.token;
    let proofs = 0;
    let isRepeated = false;
    let unprovedSinceMs: number | undefined;
    for (let stale = 0;; isRepeated = true) {
      let unanswered: Unanswered;
      const failuresBefore = this.#probeFailures;
      try {
        const block = { index: request.block.index, token };
        return await this.#fetch({ ...request, block }, { signal, isRepeated });
      } catch (thrown) {
        if (!(thrown instanceof Unanswered)) throw thrown;
        unanswered = thrown;
      }
      failed.attempts += unanswered.attempts;
      failed.requestIds.push(...unanswered.requestIds);
      const { verdict } = unanswered;
      if (verdict.kind === "damaged") return unreadable(verdict.what, unanswered, failed);
      if (verdict.kind === "stale_block") {
        if (++stale > BLOCK_LIMITS.stale) throw tokenRefused(request, verdict.reason);
        token = await this.#replace(request, token, signal);
        continue;
      }
      const probe = await this.#probe(request, signal);
      token = probe.token;
      // A listing had to wait as well, this one or one before it in the queue: it was the network, and the block starts anew.
      const isClean = this.#probeFailures === failuresBefore;
      proofs = isClean ? proofs + 1 : 0;
      const isProved = unanswered.crossedFailures >= BLOCK_LIMITS.trouble / 2;
      const nowMs = this.#clock.monotonicMs();
      unprovedSinceMs = isProved || !isClean ? undefined : unprovedSinceMs ?? nowMs;
      if (proofs < 2) continue;
      if (unprovedSinceMs === undefined || nowMs - unprovedSinceMs >= UNPROVED_MS) {
        return unreadable("service", unanswered, failed);
      }
      await this.#awaitBlocks(request, { unanswered, sinceMs: unprovedSinceMs, signal });
    }
  }

  /** No block comes, though listings do: it is said, and tried again in a while. */
  async #awaitBlocks(
    { snapshot, block }: BlockRequest,
    { unanswered, sinceMs, signal }: {
      readonly unanswered: Unanswered;
      readonly sinceMs: number;
      readonly signal: AbortSignal;
    },
  ): Promise<void> {
    const { reason } = unanswered.verdict;
    this.#unservedSinceMs ??= sinceMs;
    const forMs = this.#clock.monotonicMs() - this.#unservedSinceMs;
    const waitingFor = `blocks of "${snapshot}": listings come, blocks do not (${reason})`;
    this.#onEvent({ type: "waiting", waitingFor, sinceMs: Math.round(this.#clock.nowMs() - forMs) });
    try {
      await this.#clock.sleep(UNPROVED_PAUSE_MS, signal);
    } catch (thrown) {
      if (signal.aborted) throw interrupted(getCall(snapshot, block.index));
      throw thrown;
    }
  }

  #noteRead(): void {
    if (this.#unservedSinceMs === undefined) return;
    const waitedMs = Math.round(this.#clock.monotonicMs() - this.#unservedSinceMs);
    this.#unservedSinceMs = undefined;
    this.#onEvent({ type: "recovered", waitedMs });
  }

  async #fetch(
    { snapshot, block, shape }: BlockRequest,
    how: { readonly signal: AbortSignal; readonly isRepeated: boolean },
  ): Promise<VerifiedBlock> {
    const { blockSizeBytes } = shape;
    const { value } = await this.#retry.run({
      call: getCall(snapshot, block.index),
      blockSizeBytes,
      limits: BLOCK_LIMITS,
      ...how,
      send: (signal) => this.#client.getBlock({ snapshot, ...block, blockSizeBytes }, signal),
    });
    this.#noteRead();
    return value;
  }

  /** Another token for a block whose token is refused. */
  async #replace(request: BlockRequest, refused: string, signal: AbortSignal): Promise<string> {
    const key = keyOf(request);
    return await this.#inTurn(request, signal, async () => {
      const known = this.#freshTokens.get(key);
      if (known !== undefined && known !== refused) return known;
      this.#onEvent({ type: "relisted", fromBlock: request.block.index, reason: "block token refused" });
      return (await this.#list(request, { maxResults: 10_000, signal })).token;
    });
  }

  /** Whether the service answers at all: a small listing, which brings a fresh token too. */
  async #probe(request: BlockRequest, signal: AbortSignal): Promise<{ token: string }> {
    return await this.#inTurn(request, signal, () => this.#list(request, { maxResults: 100, signal }));
  }

  async #list(
    { snapshot, block }: BlockRequest,
    options: { readonly maxResults: number; readonly signal: AbortSignal },
  ): Promise<{ token: string }> {
    const { maxResults, signal } = options;
    const call = listCall(snapshot);
    const pages = followPages({
      call,
      isComparison: false,
      startingBlock: block.index,
      onEvent: this.#onEvent,
      fetchPage: async (page) => {
        const answer = await this.#retry.run({
          call,
          signal,
          send: async (signal) => {
            const raw = await this.#client.listBlocks(snapshot, { ...page, maxResults }, signal);
            refuseNothing(raw);
            return raw;
          },
        });
        this.#probeFailures += answer.failures;
        return answer.value;
      },
    });
    for await (const page of pages) {
      if (page.blocks.length === 0) continue;
      if (this.#freshTokens.size + page.blocks.length > MAX_FRESH_TOKENS) this.#freshTokens.clear();
      for (const { index, token } of page.blocks) {
        if (token !== undefined) this.#freshTokens.set(`${snapshot} ${index}`, token);
      }
      const [first] = page.blocks;
      if (first?.index === block.index && first.token !== undefined) return { token: first.token };
      break;
    }
    throw new OperatorError(
      "source",
      `Cannot read block ${block.index} of "${snapshot}": it was listed, and is not listed any more`,
      {
        hints: ["Run the same command again: it lists anew and compares with what is held."],
        facts: { snapshot, blockIndex: block.index, reason: "LISTING_CHANGED" },
      },
    );
  }

  async #inTurn<T>(request: BlockRequest, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    const before = this.#turn;
    const mine = Promise.withResolvers<void>();
    this.#turn = before.then(() => mine.promise);
    try {
      await unlessAborted(before, signal);
      return await work();
    } catch (thrown) {
      if (signal.aborted) throw interrupted(getCall(request.snapshot, request.block.index));
      throw thrown;
    } finally {
      mine.resolve();
    }
  }
}

function keyOf({ snapshot, block }: BlockRequest): string {
  return `${snapshot} ${block.index}`;
}

/** Waits for `turn`, but not beyond an abort. */
async function unlessAborted(turn: Promise<void>, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  const aborted = Promise.withResolvers<never>();
  const onAbort = () => aborted.reject(signal.reason);
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    await Promise.race([turn, aborted.promise]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

function unreadable(
  reason: UnreadableBlock["reason"],
  last: Unanswered,
  failed: { readonly attempts: number; readonly requestIds: readonly string[] },
): UnreadableBlock {
  return {
    kind: "unreadable",
    reason,
    detail: last.verdict.reason,
    attempts: failed.attempts,
    requestIds: failed.requestIds.slice(0, 16),
  };
}

function tokenRefused({ snapshot, block }: BlockRequest, reason: string): OperatorError {
  return new OperatorError(
    "source",
    `Cannot read block ${block.index} of "${snapshot}": its token is refused although just listed (${reason})`,
    { facts: { snapshot, blockIndex: block.index, reason: "TOKEN_REFUSED" } },
  );
}
