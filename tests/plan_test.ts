/** What an acquisition costs and takes, against AWS's example figures; and price tables, good and bad. */
import { assert, assertEquals, assertInstanceOf } from "@std/assert";
import { OperatorError } from "../src/errors.ts";
import type { VolumeShape } from "../src/model.ts";
import {
  costOf,
  durationOf,
  EXAMPLE_PRICES,
  parsePriceTable,
  remainingRequests,
  type Requests,
  type Tally,
} from "../src/plan.ts";
import { formatUsd, TIB, volumeShape } from "../src/units.ts";
import { assertRefused } from "./format/refusals.ts";

function shapeOf(volumeSizeGib: number): VolumeShape {
  const shape = volumeShape({ blockSizeBytes: 524_288, volumeSizeGib });
  if (typeof shape === "string") throw new Error(shape);
  return shape;
}

/** Every block of a volume fetched, its listings left out. */
function allBlocks(volumeSizeGib: number): Requests {
  const { blockCount, blockSizeBytes } = shapeOf(volumeSizeGib);
  return { listRequests: 0, getRequests: blockCount, receivedBytes: blockCount * blockSizeBytes };
}

Deno.test("costOf() 1 TiB of blocks of 512 KiB is $6.29 of requests, 64 TiB $402.65", () => {
  const cases: [number, number, string, string][] = [
    // GiB, blocks, requests, transfer
    [1024, 2_097_152, "$6.29", "$92.16"],
    [65_536, 134_217_728, "$402.65", "$5,898.24"],
    [1, 2048, "$0.0061", "$0.0900"],
  ];
  for (const [gib, blocks, api, transfer] of cases) {
    const requests = allBlocks(gib);
    assertEquals(requests.getRequests, blocks);
    const cost = costOf(requests, EXAMPLE_PRICES, false);
    assertEquals([formatUsd(cost.apiUsd), formatUsd(cost.transferUsd)], [api, transfer]);
    assertEquals(cost.totalUsd, cost.apiUsd + cost.transferUsd);
  }
  assertEquals(allBlocks(1024).receivedBytes, TIB);
});

Deno.test("costOf() in the snapshot's Region transfers for nothing", () => {
  const cost = costOf(allBlocks(1024), EXAMPLE_PRICES, true);
  assertEquals([cost.transferUsd, formatUsd(cost.totalUsd)], [0, "$6.29"]);
});

Deno.test("costOf() counts list requests at their own price, and nothing as nothing", () => {
  const none: Requests = { listRequests: 0, getRequests: 0, receivedBytes: 0 };
  assertEquals(costOf(none, EXAMPLE_PRICES, false), { apiUsd: 0, transferUsd: 0, totalUsd: 0 });
  const listing = costOf({ ...none, listRequests: 13_422 }, EXAMPLE_PRICES, false);
  assertEquals(formatUsd(listing.totalUsd), "$0.0081");
  const prices = { ...EXAMPLE_PRICES, listUsdPerThousand: 1, getUsdPerThousand: 10, transferUsdPerGib: 100 };
  const cost = costOf({ listRequests: 1000, getRequests: 1000, receivedBytes: 2 ** 30 }, prices, false);
  assertEquals(cost, { apiUsd: 11, transferUsd: 100, totalUsd: 111 });
});

Deno.test("durationOf() without a measured block tells the quota's time alone", () => {
  assertEquals(durationOf(2_097_152, undefined), { atQuotaMs: 2_097_152, range: undefined });
  assertEquals(durationOf(0, undefined), { atQuotaMs: 0, range: undefined });
});

Deno.test("durationOf() ranges from requests side by side to one that filled the link", () => {
  assertEquals(durationOf(1000, { blockMs: 80, concurrency: 16 }).range, { bestMs: 5000, worstMs: 80_000 });
  assertEquals(durationOf(1000, { blockMs: 80, concurrency: 1 }).range, { bestMs: 80_000, worstMs: 80_000 });
  assertEquals(durationOf(0, { blockMs: 80, concurrency: 64 }).range, { bestMs: 0, worstMs: 0 });
});

Deno.test("durationOf() is never below what the quota allows", () => {
  assertEquals(durationOf(1000, { blockMs: 20, concurrency: 64 }).range, { bestMs: 1000, worstMs: 20_000 });
  assertEquals(durationOf(1000, { blockMs: 0.5, concurrency: 64 }).range, { bestMs: 1000, worstMs: 1000 });
  for (const blockMs of [0, 0.1, 1, 7, 500]) {
    for (const concurrency of [1, 2, 64, 1000]) {
      const { atQuotaMs, range } = durationOf(12_345, { blockMs, concurrency });
      assert(range && atQuotaMs <= range.bestMs && range.bestMs <= range.worstMs);
    }
  }
});

Deno.test("remainingRequests() lists again and asks once a block, not for what is held or taken over", () => {
  const tally: Tally = {
    fetchBlocks: 10,
    heldBlocks: 500,
    takenOverBlocks: 600,
    absentBlocks: 938,
    listRequests: 3,
  };
  const expected = { listRequests: 3, getRequests: 10, receivedBytes: 10 * 524_288 };
  assertEquals(remainingRequests(tally, shapeOf(1)), expected);
  const none = { ...tally, fetchBlocks: 0, listRequests: 0 };
  assertEquals(remainingRequests(none, shapeOf(1)), { listRequests: 0, getRequests: 0, receivedBytes: 0 });
});

Deno.test("parsePriceTable() gives back a table in any order and with any spaces, zeros included", () => {
  const free = { ...EXAMPLE_PRICES, region: "eu-central-1", listUsdPerThousand: 0, transferUsdPerGib: 0 };
  for (const table of [EXAMPLE_PRICES, free]) {
    const reversed = Object.fromEntries(Object.entries(table).reverse());
    assertEquals(parsePriceTable(JSON.stringify(table), "prices.json"), table);
    assertEquals(parsePriceTable(`\n${JSON.stringify(reversed, null, 2)}\n`, "prices.json"), table);
  }
});

Deno.test("parsePriceTable() refuses what is no table, naming the file and showing one", () => {
  const faults: [string, string][] = [
    ["", "it is not JSON"],
    ["{", "it is not JSON"],
    ["region: eu", "it is not JSON"],
    ["\ufeff{}", "it is not JSON"],
    ["[]", "it is not an object"],
    ["null", "it is not an object"],
    ["0.003", "it is not an object"],
    ["{}", '"region" is not a text'],
  ];
  for (const [text, fault] of faults) {
    const parts = [`Cannot read price table "prices.json": ${fault}`];
    assertRefused(() => parsePriceTable(text, "prices.json"), "usage", ...parts);
  }
  try {
    parsePriceTable("{}", "prices.json");
  } catch (error) {
    assertInstanceOf(error, OperatorError);
    assert(error.hints[0]?.includes(JSON.stringify(EXAMPLE_PRICES)));
  }
});

Deno.test("parsePriceTable() refuses members that are missing, unknown, or no price", () => {
  const parse = (table: object, json = JSON.stringify(table)) => () => parsePriceTable(json, "prices.json");
  for (const [member, example] of Object.entries(EXAMPLE_PRICES)) {
    const without: Record<string, unknown> = { ...EXAMPLE_PRICES };
    delete without[member];
    const wanted = typeof example === "string" ? "a text" : "a number of dollars";
    const fault = `"${member}" is not ${wanted}`;
    assertRefused(parse(without), "usage", fault);
    const others = typeof example === "string" ? [1, null, [], true] : ["0.003", null, -0.001, [1], true];
    for (const other of others) assertRefused(parse({ ...EXAMPLE_PRICES, [member]: other }), "usage", fault);
    if (typeof example === "string") continue;
    const infinite = JSON.stringify(EXAMPLE_PRICES).replace(`"${member}":${example}`, `"${member}":1e999`);
    assertRefused(parse({}, infinite), "usage", fault);
  }
  assertRefused(
    parse({ ...EXAMPLE_PRICES, putUsdPerThousand: 1 }),
    "usage",
    '"putUsdPerThousand" is not a member',
  );
  const proto = JSON.stringify(EXAMPLE_PRICES).replace("{", '{"__proto__":{},');
  assertRefused(parse({}, proto), "usage", '"__proto__" is not a member');
});
