/**
 * AWS's request rates as token buckets on the simulator's clock: a bucket holds one second's worth and refills
 * steadily. Quotas are a table, so that a test can set its own or none.
 *
 * @see https://docs.aws.amazon.com/general/latest/gr/ebs-service.html (EBS direct APIs quotas)
 */
import { accountThrottled, snapshotThrottled } from "./errors.ts";
import type { CallName } from "./routing.ts";

/** Requests per second; a missing one is unlimited. */
export interface Quota {
  readonly perSnapshot?: number;
  readonly perAccount?: number;
}

export type Quotas = Readonly<Partial<Record<CallName, Quota>>>;

/** As AWS publishes them. */
export const AWS_QUOTAS: Quotas = {
  ListSnapshotBlocks: { perAccount: 50 },
  ListChangedBlocks: { perAccount: 50 },
  GetSnapshotBlock: { perSnapshot: 1000, perAccount: 1000 },
  PutSnapshotBlock: { perSnapshot: 1000, perAccount: 1000 },
  StartSnapshot: { perAccount: 10 },
  CompleteSnapshot: { perAccount: 10 },
};

/** Requests that may wait to be counted at one instant, whatever the rate. */
interface Bucket {
  tokens: number;
  atMs: number;
}

/** The buckets of one endpoint. */
export class Throttle {
  #quotas: Quotas;
  readonly #buckets = new Map<string, Bucket>();

  constructor(quotas: Quotas) {
    this.#quotas = quotas;
  }

  setQuotas(quotas: Quotas): void {
    this.#quotas = quotas;
    this.#buckets.clear();
  }

  /** Takes one request. Throws what AWS answers when it is one too many. `snapshot`: an existing one only. */
  take(
    call: CallName,
    facts: { readonly account: string; readonly snapshot: string | undefined; readonly nowMs: number },
  ): void {
    const quota = this.#quotas[call];
    if (!quota) return;
    if (quota.perSnapshot !== undefined && facts.snapshot !== undefined) {
      const key = `${call} ${facts.snapshot}`;
      if (!this.#takeFrom(key, quota.perSnapshot, facts.nowMs)) throw snapshotThrottled(facts.snapshot);
    }
    if (quota.perAccount !== undefined) {
      if (!this.#takeFrom(`${call} ${facts.account}`, quota.perAccount, facts.nowMs)) {
        throw accountThrottled();
      }
    }
  }

  #takeFrom(key: string, rate: number, nowMs: number): boolean {
    const capacity = Math.max(1, rate);
    const bucket = this.#buckets.get(key) ?? { tokens: capacity, atMs: nowMs };
    const passedMs = Math.max(0, nowMs - bucket.atMs);
    const tokens = Math.min(capacity, bucket.tokens + passedMs * rate / 1000);
    const isGranted = tokens >= 1;
    this.#buckets.set(key, { tokens: isGranted ? tokens - 1 : tokens, atMs: nowMs });
    return isGranted;
  }
}
