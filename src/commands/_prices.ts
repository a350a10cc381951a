/**
 * Options of the commands that spend money, and the prices that they name. The arithmetic is in plan.ts;
 * here are the file and the words.
 */
import type { OptionTable } from "../cli/mod.ts";
import { OperatorError } from "../errors.ts";
import type { Disk } from "../model.ts";
import { type Cost, EXAMPLE_PRICES, parsePriceTable, type PriceTable } from "../plan.ts";
import { formatUsd } from "../units.ts";

export const PRICE_OPTIONS = {
  "price-table": {
    value: "FILE",
    summary: "prices of your Region, as JSON",
    details:
      `Where not given: AWS's example figures for ${EXAMPLE_PRICES.region}, as of ${EXAMPLE_PRICES.asOf}.`,
  },
  "in-region": {
    summary: "this host is in the snapshot's Region",
    details: "Transfer is free then. Otherwise it is priced as transfer out to the internet.",
  },
} as const satisfies OptionTable;

const MAX_TABLE_BYTES = 65_536;

/** Throws `not_found` or `usage`. */
export function pricesFrom(disk: Disk, path: string | undefined): PriceTable {
  if (path === undefined) return EXAMPLE_PRICES;
  if (disk.stat(path) === undefined) {
    throw new OperatorError("usage", `Cannot read price table "${path}": there is no such file`);
  }
  const file = disk.open(path, "read");
  try {
    const bytes = new Uint8Array(MAX_TABLE_BYTES);
    return parsePriceTable(new TextDecoder().decode(bytes.subarray(0, file.read(bytes, 0))), path);
  } finally {
    file.close();
  }
}

/** `$1.20 (requests $0.12, transfer $1.08)`. */
export function costText(cost: Cost): string {
  const parts = cost.transferUsd > 0
    ? `requests ${formatUsd(cost.apiUsd)}, transfer ${formatUsd(cost.transferUsd)}`
    : "requests only";
  return `${formatUsd(cost.totalUsd)} (${parts})`;
}

/** Which prices were used. */
export function pricesText({ region, asOf }: PriceTable): string {
  return `prices: ${region} as of ${asOf}`;
}
