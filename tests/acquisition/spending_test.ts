/** Spending: every request counts once, from the moment that it is under way, and none goes beyond the budget. */
import { assert, assertEquals, assertInstanceOf, assertThrows } from "@std/assert";
import { Spending } from "../../src/acquisition/mod.ts";
import { OperatorError } from "../../src/errors.ts";
import type { SourceCounts } from "../../src/model.ts";
import type { PriceTable, Requests } from "../../src/plan.ts";
import { GIB } from "../../src/units.ts";
import { assertRefused } from "../format/refusals.ts";

/** A dollar a request of each kind, and ten a block of a GiB: sums that are read at a glance. */
const PRICES: PriceTable = {
  region: "us-east-1",
  asOf: "2026-11",
  listUsdPerThousand: 1000,
  getUsdPerThousand: 1000,
  transferUsdPerGib: 10,
};

/** A source that says what it is told to have done. */
class Counting {
  listRequests = 0;
  getRequests = 0;
  retries = 0;
  receivedBytes = 0;

  counts(): SourceCounts {
    const { listRequests, getRequests, retries, receivedBytes } = this;
    const ids = { firstRequestId: undefined, lastRequestId: undefined };
    return {
      listRequests,
      getRequests,
      retries,
      receivedBytes,
      throttles: 0,
      otherRequests: 0,
      ...ids,
      clockSkewMs: undefined,
    };
  }
}

function spendingOf(budgetUsd: number | undefined, isInRegion = true) {
  const source = new Counting();
  return { source, spending: new Spending({ source, prices: PRICES, isInRegion, budgetUsd }) };
}

const get = (getRequests: number): Requests => ({ listRequests: 0, getRequests, receivedBytes: 0 });

Deno.test("Spending.spent() counts all requests of the source, and those of earlier sessions", () => {
  const { source, spending } = spendingOf(undefined, false);
  assertEquals(spending.spent(), { apiUsd: 0, transferUsd: 0, totalUsd: 0 });
  Object.assign(source, { listRequests: 2, getRequests: 5, retries: 3, receivedBytes: GIB });
  assertEquals(spending.spent(), { apiUsd: 7, transferUsd: 10, totalUsd: 17 });
  spending.addBefore({ listRequests: 1, getRequests: 1, receivedBytes: GIB });
  spending.addBefore(get(1));
  assertEquals(spending.spent(), { apiUsd: 10, transferUsd: 20, totalUsd: 30 });
});

Deno.test("Spending.refuseBeyondBudget() allows the budget itself and refuses a cent more", () => {
  const { source, spending } = spendingOf(10);
  source.getRequests = 4;
  spending.refuseBeyondBudget(get(6));
  assertRefused(
    () => spending.refuseBeyondBudget(get(7)),
    "budget",
    "it would cost $11.00, --budget allows $10.00",
  );
  spending.addBefore({ listRequests: 1, getRequests: 0, receivedBytes: 0 });
  spending.refuseBeyondBudget(get(5));
  assertRefused(() => spending.refuseBeyondBudget(get(6)), "budget");
});

Deno.test("Spending.refuseBeyondBudget() says what it would cost, what was spent, and the budget that is enough", () => {
  const { source, spending } = spendingOf(2.5);
  source.getRequests = 2;
  const error = assertThrows(() => spending.refuseBeyondBudget(get(1)), OperatorError);
  assertInstanceOf(error, OperatorError);
  assertEquals(error.facts, { costUsd: 3, budgetUsd: 2.5, spentUsd: 2 });
  assert(error.hints[0]?.includes("--budget 3 or more"), error.hints[0]);
  assertEquals(error.exitCode, 4);
});

Deno.test("Spending without a budget refuses nothing, with a budget of nothing everything", () => {
  const free = spendingOf(undefined).spending;
  free.refuseBeyondBudget(get(1e12));
  free.askForBlock(512);
  const { spending } = spendingOf(0);
  spending.refuseBeyondBudget(get(0));
  assertRefused(() => spending.askForBlock(512), "budget");
});

Deno.test("Spending.askForBlock() lets exactly as many blocks be asked for as the budget pays", () => {
  for (const isMadeAtOnce of [true, false]) {
    const { source, spending } = spendingOf(8);
    for (let block = 0; block < 8; block++) {
      spending.askForBlock(512);
      if (isMadeAtOnce) source.getRequests++;
    }
    assertRefused(() => spending.askForBlock(512), "budget", "it would cost $9.00");
  }
});

Deno.test("Spending.askForBlock() counts a retry, and lets none hide a request that is still to be made", () => {
  const { source, spending } = spendingOf(8);
  for (let block = 0; block < 4; block++) spending.askForBlock(512);
  // One of the four was made and tried again twice; three wait for their turn.
  Object.assign(source, { getRequests: 3, retries: 2 });
  spending.askForBlock(512);
  spending.askForBlock(512);
  assertRefused(() => spending.askForBlock(512), "budget", "it would cost $9.00");
});

Deno.test("Spending.askForBlock() counts the bytes of a block that is under way, and once they came only once", () => {
  const { source, spending } = spendingOf(35, false);
  const first = spending.askForBlock(GIB);
  const second = spending.askForBlock(GIB);
  source.getRequests = 2; // both made, no byte here yet: 2 requests and 20 dollars of bytes to come
  const third = spending.askForBlock(GIB);
  source.getRequests = 3;
  assertRefused(() => spending.askForBlock(GIB), "budget", "it would cost $44.00");
  for (const isOver of [first, second, third]) {
    source.receivedBytes += GIB;
    isOver();
    isOver();
  }
  assertEquals(spending.spent().totalUsd, 33);
  assertRefused(() => spending.askForBlock(GIB), "budget", "it would cost $44.00");
});

Deno.test("Spending.askForBlock() frees what a request that failed had reserved", () => {
  const { source, spending } = spendingOf(25, false);
  const isOver = spending.askForBlock(GIB);
  spending.askForBlock(GIB);
  assertRefused(() => spending.askForBlock(GIB), "budget", "it would cost $33.00");
  source.getRequests = 1; // made, refused by the service, no byte of it came
  isOver();
  spending.askForBlock(GIB);
  assertRefused(() => spending.askForBlock(GIB), "budget", "it would cost $34.00");
});

Deno.test("Spending.askForBlock() of a source that lists again after failures asks for no more than planned", () => {
  const { source, spending } = spendingOf(10);
  Object.assign(source, { listRequests: 4, retries: 3 });
  for (let block = 0; block < 6; block++) {
    const isOver = spending.askForBlock(512);
    source.getRequests++;
    isOver();
  }
  assertEquals(spending.spent().totalUsd, 10);
  assertRefused(() => spending.askForBlock(512), "budget", "it would cost $11.00");
});
