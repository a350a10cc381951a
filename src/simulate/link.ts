/**
 * The link between client and service, as the fault plan has it: so many bytes a second for all connections
 * together, a delay for each answer, and times at which nothing gets through. All on the simulator's clock.
 */
import type { SimulatorClock } from "./clock.ts";
import type { FaultPlan } from "./faults.ts";

/** One link that all connections share. */
export class Link {
  readonly #clock: SimulatorClock;
  #plan: FaultPlan;
  /** When the plan came into force: outages are counted from here. */
  #sinceMs: number;
  /** When the last byte that was accepted will be through. */
  #freeAtMs = 0;
  #isCut = false;

  constructor(clock: SimulatorClock, plan: FaultPlan) {
    this.#clock = clock;
    this.#plan = plan;
    this.#sinceMs = clock.nowMs();
  }

  setPlan(plan: FaultPlan): void {
    this.#plan = plan;
    this.#sinceMs = this.#clock.nowMs();
    this.#freeAtMs = 0;
  }

  /** Cuts or restores the link until told otherwise. */
  setCut(isCut: boolean): void {
    this.#isCut = isCut;
  }

  /** Nothing gets through now. */
  get isDown(): boolean {
    if (this.#isCut) return true;
    const { drops } = this.#plan;
    if (!drops) return false;
    const sinceMs = this.#clock.nowMs() - this.#sinceMs;
    return sinceMs >= drops.everyMs && sinceMs % drops.everyMs < drops.forMs;
  }

  /** Whether bodies must be sent in pieces, so that the link can slow them or fail between two. */
  get isShaped(): boolean {
    return this.#plan.bandwidthBytesPerSecond !== undefined || this.#plan.drops !== undefined;
  }

  /** The delay before an answer. */
  async delay(signal: AbortSignal): Promise<void> {
    if (this.#plan.latencyMs !== undefined) await this.#clock.sleep(this.#plan.latencyMs, signal);
  }

  /** Resolves when the link has carried `bytes` more. */
  async carry(bytes: number, signal: AbortSignal): Promise<void> {
    const rate = this.#plan.bandwidthBytesPerSecond;
    if (rate === undefined) return;
    const nowMs = this.#clock.nowMs();
    this.#freeAtMs = Math.max(nowMs, this.#freeAtMs) + bytes * 1000 / rate;
    await this.#clock.sleep(this.#freeAtMs - nowMs, signal);
  }
}
