/**
 * What goes wrong, on request: the text form of a fault plan, and the draw of a fault for one request. A draw
 * depends on (seed, call, snapshot, index, attempt) alone, never on the order in which requests arrive, so a seed
 * gives the same faults to any client at any concurrency.
 *
 * Grammar: items separated by commas.
 *   KIND[@CALL]:CHANCE                    a fault by chance, in [0, 1]; kinds below, CALL e.g. GetSnapshotBlock
 *   bad-block:[SNAPSHOT/]INDEX=KIND       every read of this block ends so
 *   expire-credentials:after=N            the credentials in use at the N-th request expire then
 *   vanish:[SNAPSHOT/]after=N             a snapshot is gone after N requests to it
 *   bandwidth=RATE  latency=DURATION      the link: 1MiB/s, 20ms
 *   drop-every=PERIOD:LENGTH              the link is down for LENGTH every PERIOD: 5m:30s
 */
import { createHash } from "node:crypto";
import { OperatorError } from "../errors.ts";
import { parseDuration, parseRate } from "../units.ts";
import type { CallName } from "./routing.ts";

/** What can happen to one request. */
export const FAULT_KINDS = {
  "error500": "InternalServerException, HTTP 500",
  "error503": "HTTP 503 with no body that a service model knows",
  "throttle": "RequestThrottledException or ThrottlingException",
  "refuse": "the connection is reset before any answer",
  "reset": "headers, half of the body, then a TCP reset",
  "short": "headers, half of the body, then an orderly end",
  "stall": "headers, half of the body, then silence",
  "length": "half of the block, consistent on the HTTP level, x-amz-Data-Length unchanged",
  "checksum": "the declared checksum is of other bytes",
  "flip": "one bit of the block is flipped",
  "empty-page": "a page with no blocks and a NextToken",
  "short-page": "a page with fewer blocks than there are, and a NextToken",
} as const;

export type FaultKind = keyof typeof FAULT_KINDS;

/** Calls that a kind can happen to; those not named here can happen to every call of EBS. */
const APPLIES_TO: Readonly<Partial<Record<FaultKind, readonly CallName[]>>> = {
  length: ["GetSnapshotBlock"],
  checksum: ["GetSnapshotBlock"],
  flip: ["GetSnapshotBlock"],
  "empty-page": ["ListSnapshotBlocks", "ListChangedBlocks"],
  "short-page": ["ListSnapshotBlocks", "ListChangedBlocks"],
};

const CALLS: readonly CallName[] = [
  "ListSnapshotBlocks",
  "ListChangedBlocks",
  "GetSnapshotBlock",
  "StartSnapshot",
  "PutSnapshotBlock",
  "CompleteSnapshot",
];

/** Everything that was asked to go wrong. */
export interface FaultPlan {
  readonly chances: readonly {
    readonly kind: FaultKind;
    readonly call?: CallName;
    readonly chance: number;
  }[];
  readonly badBlocks: readonly {
    readonly snapshot?: string;
    readonly index: number;
    readonly kind: FaultKind;
  }[];
  readonly vanishing: readonly { readonly snapshot?: string; readonly after: number }[];
  readonly expireCredentialsAfter?: number;
  readonly bandwidthBytesPerSecond?: number;
  readonly latencyMs?: number;
  readonly drops?: { readonly everyMs: number; readonly forMs: number };
}

/** A link and a service with no faults. */
export const NO_FAULTS: FaultPlan = { chances: [], badBlocks: [], vanishing: [] };

/** A request as the draw sees it. */
export interface FaultTarget {
  readonly call: CallName;
  readonly snapshot: string;
  /** Of the block, or of the page's start. */
  readonly index: number;
  /** 0 for the first request of this call, snapshot and index. */
  readonly attempt: number;
}

/** Reads a plan. Throws `usage`, naming the item. */
export function parseFaults(text: string): FaultPlan {
  const items = text.split(",").map((item) => item.trim()).filter((item) => item !== "");
  const parts = items.map(parseItem);
  const plan: FaultPlan = Object.assign({}, ...parts, {
    chances: parts.flatMap((part) => part.chances ?? []),
    badBlocks: parts.flatMap((part) => part.badBlocks ?? []),
    vanishing: parts.flatMap((part) => part.vanishing ?? []),
  });
  for (const call of CALLS) {
    const sum = chancesFor(plan, call).reduce((total, { chance }) => total + chance, 0);
    if (sum > 1) {
      throw new OperatorError("usage", `Cannot read faults "${text}": chances for ${call} add up to ${sum}`);
    }
  }
  return plan;
}

function parseItem(item: string): Partial<FaultPlan> {
  const link = /^(bandwidth|latency|drop-every)=(.+)$/.exec(item);
  if (link) return parseLink(item, { name: link[1]!, value: link[2]! });
  const expiry = /^expire-credentials:after=(\d+)$/.exec(item);
  if (expiry) return { expireCredentialsAfter: Number(expiry[1]) };
  const vanish = /^vanish:(?:(snap-[0-9a-f]+)\/)?after=(\d+)$/.exec(item);
  if (vanish) return { vanishing: [{ ...snapshotOf(vanish[1]), after: Number(vanish[2]) }] };
  const bad = /^bad-block:(?:(snap-[0-9a-f]+)\/)?(\d+)=([a-z0-9-]+)$/.exec(item);
  if (bad && isKind(bad[3]!)) {
    return { badBlocks: [{ ...snapshotOf(bad[1]), index: Number(bad[2]), kind: bad[3] }] };
  }
  const chance = /^([a-z0-9-]+)(?:@([A-Za-z]+))?:(\d*\.?\d+)$/.exec(item);
  const call = CALLS.find((name) => name === chance?.[2]);
  const hasCall = chance?.[2] === undefined || call !== undefined;
  if (chance && isKind(chance[1]!) && hasCall && Number(chance[3]) <= 1) {
    return { chances: [{ kind: chance[1], ...(call ? { call } : {}), chance: Number(chance[3]) }] };
  }
  throw refusal(item);
}

function parseLink(
  item: string,
  part: { readonly name: string; readonly value: string },
): Partial<FaultPlan> {
  if (part.name === "latency") return { latencyMs: parseDuration(part.value) };
  if (part.name === "bandwidth") {
    const rate = parseRate(part.value);
    if (!("bytesPerSecond" in rate)) throw refusal(item);
    return { bandwidthBytesPerSecond: rate.bytesPerSecond };
  }
  const [every = "", length = ""] = part.value.split(":");
  const drops = { everyMs: parseDuration(every), forMs: parseDuration(length) };
  if (drops.forMs >= drops.everyMs) throw refusal(item);
  return { drops };
}

function refusal(item: string): OperatorError {
  return new OperatorError("usage", `Cannot read fault "${item}": expected for example error500:0.05`, {
    hints: [
      `kinds with a chance: ${Object.keys(FAULT_KINDS).join(", ")}; KIND@CALL:CHANCE for one call only`,
      "others: bad-block:1204=checksum, expire-credentials:after=500, vanish:after=100, bandwidth=1MiB/s, " +
      "latency=20ms, drop-every=5m:30s",
    ],
  });
}

function isKind(text: string): text is FaultKind {
  return Object.hasOwn(FAULT_KINDS, text);
}

function snapshotOf(text: string | undefined): { snapshot?: string } {
  return text === undefined ? {} : { snapshot: text };
}

function chancesFor(plan: FaultPlan, call: CallName): FaultPlan["chances"] {
  return plan.chances.filter((item) =>
    (item.call === undefined || item.call === call) &&
    (APPLIES_TO[item.kind]?.includes(call) ?? CALLS.includes(call))
  );
}

/** The fault of one request, if it has one. Permanent faults of a block go first. */
export function drawFault(
  plan: FaultPlan,
  facts: { readonly seed: number; readonly target: FaultTarget },
): FaultKind | undefined {
  const { call, snapshot, index, attempt } = facts.target;
  if (call === "GetSnapshotBlock") {
    const bad = plan.badBlocks.find((item) =>
      item.index === index && (item.snapshot ?? snapshot) === snapshot
    );
    if (bad) return bad.kind;
  }
  const chances = chancesFor(plan, call);
  if (chances.length === 0) return undefined;
  const text = `${facts.seed}\n${call}\n${snapshot}\n${index}\n${attempt}`;
  const drawn = createHash("sha256").update(text).digest().readUIntBE(0, 6) / 2 ** 48;
  let upTo = 0;
  return chances.find(({ chance }) => drawn < (upTo += chance))?.kind;
}
