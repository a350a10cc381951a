/**
 * What has been spent, and the word that stops before it is more than allowed. Counts every request of every
 * session, retries included; a request under way counts as made.
 */
import { OperatorError } from "../errors.ts";
import type { BlockSource } from "../model.ts";
import { type Cost, costOf, type PriceTable, type Requests } from "../plan.ts";
import { formatUsd } from "../units.ts";

export class Spending {
  readonly #source: Pick<BlockSource, "counts">;
  readonly #prices: PriceTable;
  readonly #isInRegion: boolean;
  readonly #budgetUsd: number | undefined;
  #before: Requests = { listRequests: 0, getRequests: 0, receivedBytes: 0 };
  /** Blocks asked for in this run. */
  #asked = 0;
  /** Those of them whose bytes have not come: the source counts none of these bytes yet, maybe no request. */
  #underWay = 0;

  constructor(options: {
    readonly source: Pick<BlockSource, "counts">;
    readonly prices: PriceTable;
    readonly isInRegion: boolean;
    readonly budgetUsd: number | undefined;
  }) {
    this.#source = options.source;
    this.#prices = options.prices;
    this.#isInRegion = options.isInRegion;
    this.#budgetUsd = options.budgetUsd;
  }

  get prices(): PriceTable {
    return this.#prices;
  }

  /** Adds what earlier sessions of an acquisition asked for. */
  addBefore(requests: Requests): void {
    this.#before = addRequests(this.#before, requests);
  }

  /** All requests so far, those of earlier sessions included. */
  spent(): Cost {
    const { listRequests, getRequests, receivedBytes } = this.#source.counts();
    return this.costOf(addRequests(this.#before, { listRequests, getRequests, receivedBytes }));
  }

  costOf(requests: Requests): Cost {
    return costOf(requests, this.#prices, this.#isInRegion);
  }

  /** Throws `budget` where `requests` more than what was spent are not allowed. */
  refuseBeyondBudget(requests: Requests): void {
    if (this.#budgetUsd === undefined) return;
    const total = this.spent().totalUsd + this.costOf(requests).totalUsd;
    if (total <= this.#budgetUsd) return;
    throw new OperatorError(
      "budget",
      `Cannot go on within the budget: it would cost ${formatUsd(total)}, --budget allows ${
        formatUsd(this.#budgetUsd)
      }`,
      {
        facts: { costUsd: total, budgetUsd: this.#budgetUsd, spentUsd: this.spent().totalUsd },
        hints: [
          `Run the same command with --budget ${
            Math.ceil(total * 100) / 100
          } or more: what was recorded is kept.`,
        ],
      },
    );
  }

  /**
   * Asks for one more block. Throws `budget`.
   *
   * Returns what to call when its request is over, whatever came of it.
   */
  askForBlock(blockSizeBytes: number): () => void {
    const { getRequests, retries } = this.#source.counts();
    // A retry is a request beyond those that were asked for: it must not hide one that is still to be made.
    const unmade = Math.min(this.#underWay, Math.max(0, this.#asked - (getRequests - retries)));
    this.refuseBeyondBudget({
      listRequests: 0,
      getRequests: unmade + 1,
      receivedBytes: (this.#underWay + 1) * blockSizeBytes,
    });
    this.#asked++;
    this.#underWay++;
    let isOver = false;
    return () => {
      if (!isOver) this.#underWay--;
      isOver = true;
    };
  }
}

function addRequests(a: Requests, b: Requests): Requests {
  return {
    listRequests: a.listRequests + b.listRequests,
    getRequests: a.getRequests + b.getRequests,
    receivedBytes: a.receivedBytes + b.receivedBytes,
  };
}
