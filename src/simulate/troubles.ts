/**
 * The fault plan at work: which attempt a request is, which fault it draws, and the events that happen after so
 * many requests (credentials expire, a snapshot vanishes).
 *
 * Attempts are counted for the latest million of (call, snapshot, index); beyond that the count starts anew, which
 * bounds memory and leaves every smaller run exactly repeatable.
 */
import { drawFault, type FaultKind, type FaultPlan, type FaultTarget } from "./faults.ts";
import type { CallName } from "./routing.ts";

const MAX_COUNTED = 2 ** 20;

/** What the troubles may do to the endpoint. */
export interface Victims {
  expireCredentials(accessKeyId: string): void;
  removeSnapshot(id: string): void;
}

/** Decides by hand what goes wrong; `undefined` leaves it to the plan. */
export type FaultHook = (target: FaultTarget) => FaultKind | undefined;

export class Troubles {
  readonly #victims: Victims;
  readonly #hook: FaultHook | undefined;
  readonly #seed: number;
  #plan: FaultPlan;
  readonly #attempts = new Map<string, number>();
  #requests = 0;
  readonly #bySnapshot = new Map<string, number>();

  constructor(
    plan: FaultPlan,
    facts: { readonly seed: number; readonly victims: Victims; readonly hook?: FaultHook | undefined },
  ) {
    this.#plan = plan;
    this.#seed = facts.seed;
    this.#victims = facts.victims;
    this.#hook = facts.hook;
  }

  /** Counts of requests and attempts start anew. */
  setPlan(plan: FaultPlan): void {
    this.#plan = plan;
    this.#attempts.clear();
    this.#bySnapshot.clear();
    this.#requests = 0;
  }

  /** A properly signed request has come. The request that reaches a limit is still served. */
  countRequest(facts: { readonly accessKeyId: string; readonly snapshot: string }): void {
    this.#requests++;
    if (this.#requests === this.#plan.expireCredentialsAfter) {
      this.#victims.expireCredentials(facts.accessKeyId);
    }
    const vanishing = this.#plan.vanishing.filter((item) =>
      (item.snapshot ?? facts.snapshot) === facts.snapshot
    );
    if (vanishing.length === 0 || facts.snapshot === "") return;
    const count = (this.#bySnapshot.get(facts.snapshot) ?? 0) + 1;
    this.#bySnapshot.set(facts.snapshot, count);
    if (vanishing.some((item) => count > item.after)) this.#victims.removeSnapshot(facts.snapshot);
  }

  draw(
    request: { readonly call: CallName; readonly snapshot: string; readonly index: number | undefined },
  ): FaultKind | undefined {
    const isQuiet = this.#plan.chances.length === 0 && this.#plan.badBlocks.length === 0 && !this.#hook;
    if (isQuiet) return undefined;
    const index = request.index ?? 0;
    const key = `${request.call} ${request.snapshot} ${index}`;
    const attempt = this.#attempts.get(key) ?? 0;
    this.#attempts.delete(key);
    this.#attempts.set(key, attempt + 1);
    if (this.#attempts.size > MAX_COUNTED) this.#attempts.delete(this.#attempts.keys().next().value!);
    const target: FaultTarget = { call: request.call, snapshot: request.snapshot, index, attempt };
    return this.#hook?.(target) ?? drawFault(this.#plan, { seed: this.#seed, target });
  }
}
