/**
 * What an acquisition will ask for, and what that costs. Pure: counts in, requests, bytes, dollars and hours
 * out. Prices are a table with a name and a date; nothing here asks AWS for one.
 *
 * @see AWS, "Amazon EBS pricing", section "EBS direct APIs for Snapshots"
 */
import { OperatorError } from "./errors.ts";
import type { VolumeShape } from "./model.ts";
import { GIB } from "./units.ts";

/** US dollars for requests and transfer. */
export interface PriceTable {
  /** Region that the prices are of. */
  readonly region: string;
  /** When the table was written down: `2026-11`. */
  readonly asOf: string;
  readonly listUsdPerThousand: number;
  readonly getUsdPerThousand: number;
  /** From AWS to the internet, per GiB. */
  readonly transferUsdPerGib: number;
}

/** AWS's own example figures; they differ by Region, so a plan names them as what they are. */
export const EXAMPLE_PRICES: PriceTable = {
  region: "us-east-1",
  asOf: "2026-11",
  listUsdPerThousand: 0.0006,
  getUsdPerThousand: 0.003,
  transferUsdPerGib: 0.09,
};

/** Reads a price table: a JSON object with exactly the members of `PriceTable`. Throws `usage`. */
export function parsePriceTable(text: string, name: string): PriceTable {
  const refuse = (fault: string): never => {
    throw new OperatorError("usage", `Cannot read price table "${name}": ${fault}`, {
      hints: [`It looks like ${JSON.stringify(EXAMPLE_PRICES)}.`],
    });
  };
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    return refuse("it is not JSON");
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    return refuse("it is not an object");
  }
  const given = value as Record<string, unknown>;
  for (const [member, example] of Object.entries(EXAMPLE_PRICES)) {
    const isGood = typeof example === "string"
      ? typeof given[member] === "string"
      // JSON.parse gives Infinity for 1e999, and with it no budget would ever be compared.
      : Number.isFinite(given[member]) && (given[member] as number) >= 0;
    if (!isGood) refuse(`"${member}" is not a ${typeof example === "string" ? "text" : "number of dollars"}`);
  }
  const surplus = Object.keys(given).find((member) => !Object.hasOwn(EXAMPLE_PRICES, member));
  if (surplus !== undefined) refuse(`"${surplus.slice(0, 40)}" is not a member of a price table`);
  return given as unknown as PriceTable;
}

/** Requests made or to be made, and bytes that leave AWS with them. */
export interface Requests {
  readonly listRequests: number;
  readonly getRequests: number;
  readonly receivedBytes: number;
}

export interface Cost {
  readonly apiUsd: number;
  /** 0 where the host is in the snapshot's Region. */
  readonly transferUsd: number;
  readonly totalUsd: number;
}

/** What requests cost. `isInRegion`: transfer is free. */
export function costOf(requests: Requests, prices: PriceTable, isInRegion: boolean): Cost {
  const apiUsd = requests.listRequests / 1000 * prices.listUsdPerThousand +
    requests.getRequests / 1000 * prices.getUsdPerThousand;
  const transferUsd = isInRegion ? 0 : requests.receivedBytes / GIB * prices.transferUsdPerGib;
  return { apiUsd, transferUsd, totalUsd: apiUsd + transferUsd };
}

/** GetSnapshotBlock calls a second that AWS allows for one snapshot (quota L-028ACFB9). */
export const GET_QUOTA_PER_SECOND = 1000;

/** How long fetching takes, at best and in the range that one measured block suggests. */
export interface Duration {
  readonly atQuotaMs: number;
  /** Undefined without a canary. `bestMs`: requests side by side; `worstMs`: that one request filled the link. */
  readonly range: { readonly bestMs: number; readonly worstMs: number } | undefined;
}

export function durationOf(
  blocks: number,
  canary: { readonly blockMs: number; readonly concurrency: number } | undefined,
): Duration {
  const atQuotaMs = blocks / GET_QUOTA_PER_SECOND * 1000;
  if (!canary) return { atQuotaMs, range: undefined };
  const worstMs = Math.max(atQuotaMs, blocks * canary.blockMs);
  return { atQuotaMs, range: { bestMs: Math.max(atQuotaMs, worstMs / canary.concurrency), worstMs } };
}

/** What a walk over the listings found; every block of the volume is in exactly one of the first four. */
export interface Tally {
  /** To be fetched. */
  fetchBlocks: number;
  /** Recorded by an earlier session of the same acquisition. */
  heldBlocks: number;
  /** Taken over from the parent by digest. */
  takenOverBlocks: number;
  /** Not listed: never written, or no longer there. */
  absentBlocks: number;
  /** List calls that the walk took. */
  listRequests: number;
}

/** The requests that remain after a walk: its listing again, for tokens, and one call a block. */
export function remainingRequests(tally: Tally, shape: VolumeShape): Requests {
  return {
    listRequests: tally.listRequests,
    getRequests: tally.fetchBlocks,
    receivedBytes: tally.fetchBlocks * shape.blockSizeBytes,
  };
}
