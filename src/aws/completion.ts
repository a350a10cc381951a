/**
 * Waiting for a pending snapshot: EC2 is asked how far it is, or, for whoever may not ask EC2, EBS whether it can be listed.
 * It keeps no time itself: "not yet" is an answer that the one retry loop knows, paces and gives up.
 */
import type { SnapshotId } from "../model.ts";
import { type Call, listCall } from "./calls.ts";
import type { EbsClient } from "./client.ts";
import type { Describer } from "./describe.ts";
import type { Retry } from "./retry.ts";
import { Trouble } from "./trouble.ts";

export interface CompletionParts {
  readonly client: EbsClient;
  readonly describer: Describer;
  readonly retry: Retry;
}

export interface CompletionWish {
  readonly snapshot: SnapshotId;
  readonly signal: AbortSignal;
  /** Told at each "not yet". */
  readonly onPending: (percent: number | undefined) => void;
}

/** Returns when the snapshot is not pending. Throws what `Retry.run` throws but `Unanswered`. */
export async function awaitCompleted(parts: CompletionParts, wish: CompletionWish): Promise<void> {
  const { describer } = parts;
  const { snapshot, signal } = wish;
  const first = await describer.describe(snapshot, signal);
  if (first.result === "not_permitted" || first.result === "failed") return await untilListed(parts, wish);
  // Not found, archived, an error: whoever reads it says so.
  if (first.description?.state === "pending") await untilDescribed(parts, wish);
}

async function untilDescribed(
  { describer }: CompletionParts,
  { snapshot, signal, onPending }: CompletionWish,
): Promise<void> {
  // No snapshot of the call's: that EC2 knows it does not mean that it was read.
  const call: Call = { action: "DescribeSnapshots", what: `wait for "${snapshot}"`, snapshots: [] };
  await describer.ask({
    call,
    signal,
    isAside: false,
    async ask({ sdk, client }, signal) {
      const command = new sdk.DescribeSnapshotsCommand({ SnapshotIds: [snapshot] });
      const { Snapshots } = await client.send(command, { abortSignal: signal });
      const found = Snapshots?.find((one) => one.SnapshotId === snapshot);
      if (found?.State !== "pending") return;
      const percent = percentOf(found.Progress);
      onPending(percent);
      const far = percent === undefined ? "" : ` (${percent} %)`;
      throw new Trouble("pending", `it is still pending${far}`);
    },
  });
}

/** EC2 writes `42%`, and nothing at first. */
function percentOf(progress: unknown): number | undefined {
  const digits = typeof progress === "string" ? /^(\d{1,3})%$/.exec(progress)?.[1] : undefined;
  return digits === undefined ? undefined : Math.min(100, Number(digits));
}

async function untilListed(
  { client, retry }: CompletionParts,
  { snapshot, signal, onPending }: CompletionWish,
): Promise<void> {
  const call = { ...listCall(snapshot), what: `wait for "${snapshot}"`, snapshots: [] };
  const page = { pageToken: undefined, startingBlock: 0, maxResults: 100 };
  await retry.run({
    call,
    signal,
    async send(signal) {
      try {
        await client.listBlocks(snapshot, page, signal);
      } catch (thrown) {
        if (!saysPending(thrown)) throw thrown;
        onPending(undefined);
        throw new Trouble("pending", "it can't be listed yet");
      }
    },
  });
}

/** EBS has no error of its own for it: its words tell a snapshot that is pending from one that failed. */
function saysPending(thrown: unknown): boolean {
  if (!(thrown instanceof Error) || thrown.name !== "ValidationException") return false;
  return /\bpending\b/i.test(thrown.message) ||
    (/\bnot\b.*\bcomplete/i.test(thrown.message) && !/\berror\b|archiv/i.test(thrown.message));
}
