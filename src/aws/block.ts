/**
 * One block, until it is held, or known to be unreadable. A token that expired is replaced from a new
 * listing; a block that keeps failing is called unreadable only after the service was seen to answer
 * otherwise, twice: an outage must never look like a bad block.
 */
import { OperatorError } from "../errors.ts";
import type {
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
  readonly onEvent: (event: SourceEvent) => void;
}

/** Fetches the blocks of one source; shares fresh tokens among them. */
export class BlockFetcher {
  readonly #client: EbsClient;
  readonly #retry: Retry;
  readonly #onEvent: (event: SourceEvent) => void;
  readonly #freshTokens = new Map<string, string>();
  /** Listings for fresh tokens go one after the other: the first serves many blocks. */
  #turn: Promise<void> = Promise.resolve();

  constructor(options: BlockFetcherOptions) {
    this.#client = options.client;
    this.#retry = options.retry;
    this.#onEvent = options.onEvent;
  }

  /** The block, checked; or why it is unreadable. Throws `OperatorError`. */
  async get(request: BlockRequest, signal: AbortSignal): Promise<VerifiedBlock | UnreadableBlock> {
    const failed = { attempts: 0, requestIds: [] as string[] };
    let token = request.block.token;
    let proofs = 0;
    let isRepeated = false;
    for (let stale = 0;; isRepeated = true) {
      let unanswered: Unanswered;
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
      // The listing had to wait as well: it was the network, and the block starts anew.
      proofs = probe.failures > 0 ? 0 : proofs + 1;
      if (proofs >= 2) return unreadable("service", unanswered, failed);
    }
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
  async #probe(request: BlockRequest, signal: AbortSignal): Promise<{ token: string; failures: number }> {
    return await this.#inTurn(request, signal, () => this.#list(request, { maxResults: 100, signal }));
  }

  async #list(
    { snapshot, block }: BlockRequest,
    options: { readonly maxResults: number; readonly signal: AbortSignal },
  ): Promise<{ token: string; failures: number }> {
    const { maxResults, signal } = options;
    const call = listCall(snapshot);
    let failures = 0;
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
        failures += answer.failures;
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
      if (first?.index === block.index && first.token !== undefined) return { token: first.token, failures };
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
