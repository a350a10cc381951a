/**
 * The calls that read: ListSnapshotBlocks, ListChangedBlocks, GetSnapshotBlock. Pages cost what they hold: a
 * listing goes on where its token says, and a page that would have to look at too much ends early, as AWS's may.
 *
 * @see https://docs.aws.amazon.com/ebs/latest/APIReference/API_ListChangedBlocks.html
 */
import { createHash } from "node:crypto";
import { Buffer } from "node:buffer";
import { requireKey, requireReadable } from "./access.ts";
import type { Contents } from "./contents.ts";
import { type Answer, type ApiRequest, type Endpoint, jsonAnswer } from "./endpoint.ts";
import { validationError } from "./errors.ts";
import { integerParameter, required, snapshotIdParameter, tokenParameter } from "./parameters.ts";
import type { Route } from "./routing.ts";
import type { HeldSnapshot } from "./snapshots.ts";
import { BLOCK_TOKEN_LIFE_MS, PAGE_TOKEN_LIFE_MS, type PageScope } from "./tokens.ts";

/** Blocks of a page where MaxResults is not given; AWS documents no number. */
const DEFAULT_MAX_RESULTS = 1000;
/** Block indexes that one page looks at. */
const SCAN_BLOCKS = 2 ** 22;
/** The same for a comparison, which costs more an index: a page stays below 0.2 s (measured). */
const COMPARE_BLOCKS = 2 ** 20;
/** Bytes that one page of a comparison reads from each snapshot. */
const COMPARE_BYTES = 256 * 2 ** 20;

/** The blocks that a snapshot has. */
export function listSnapshotBlocks(endpoint: Endpoint, request: ApiRequest): Answer {
  const { route, caller } = request;
  const id = snapshotIdParameter(route.snapshotId, "snapshotId");
  const paging = pagingOf(endpoint, route, { call: route.call, snapshot: id });
  const snapshot = requireReadable(endpoint.shelf.get(id), { id, caller, nowMs: endpoint.clock.nowMs() });
  const { contents } = snapshot;
  const page = pageOf(paging, {
    end: contents.blockCount,
    scanBlocks: SCAN_BLOCKS,
    next: (from, limit) => contents.next(from, limit),
    take: () => true,
  }, request);
  const expiresAtMs = endpoint.clock.nowMs() + BLOCK_TOKEN_LIFE_MS;
  const tokens = endpoint.mint.blockTokens({ snapshot: id, expiresAtMs }, page.indexes);
  const entries = page.indexes.map((index, at) => `{"BlockIndex":${index},"BlockToken":"${tokens[at]}"}`);
  return pageAnswer(endpoint, {
    name: "Blocks",
    entries,
    expiresAtMs,
    snapshot,
    nextIndex: page.nextIndex,
    paging,
  });
}

/** The blocks that differ between two snapshots of one lineage. */
export function listChangedBlocks(endpoint: Endpoint, request: ApiRequest): Answer {
  const { route, caller } = request;
  const id = snapshotIdParameter(route.snapshotId, "secondSnapshotId");
  // The model calls it optional, its documentation an error where it is missing.
  const given = required(route.query.get("firstSnapshotId"), {
    name: "firstSnapshotId",
    reason: "INVALID_PARAMETER_VALUE",
  });
  const firstId = snapshotIdParameter(given, "firstSnapshotId");
  const paging = pagingOf(endpoint, route, { call: route.call, snapshot: id, firstSnapshot: firstId });
  const first = requireReadable(endpoint.shelf.get(firstId), {
    id: firstId,
    caller,
    nowMs: endpoint.clock.nowMs(),
  });
  const second = requireReadable(endpoint.shelf.get(id), { id, caller, nowMs: endpoint.clock.nowMs() });
  if (first.lineage !== second.lineage) {
    throw validationError("UNRELATED_SNAPSHOTS", `The snapshots '${firstId}' and '${id}' are not related.`);
  }
  const [a, b] = [first.contents, second.contents];
  const page = pageOf(paging, {
    end: Math.max(a.blockCount, b.blockCount),
    scanBlocks: COMPARE_BLOCKS,
    next: (from, limit) => Math.min(a.next(from, limit), b.next(from, limit)),
    take: comparison(a, b),
  }, request);
  const expiresAtMs = endpoint.clock.nowMs() + BLOCK_TOKEN_LIFE_MS;
  const firstTokens = endpoint.mint.blockTokens({ snapshot: firstId, expiresAtMs }, page.indexes);
  const secondTokens = endpoint.mint.blockTokens({ snapshot: id, expiresAtMs }, page.indexes);
  const entries = page.indexes.map((index, at) =>
    `{"BlockIndex":${index}` +
    (a.has(index) ? `,"FirstBlockToken":"${firstTokens[at]}"` : "") +
    (b.has(index) ? `,"SecondBlockToken":"${secondTokens[at]}"}` : "}")
  );
  const nextIndex = page.nextIndex;
  return pageAnswer(endpoint, {
    name: "ChangedBlocks",
    entries,
    expiresAtMs,
    snapshot: second,
    nextIndex,
    paging,
  });
}

/** One block with its checksum. */
export function getSnapshotBlock(endpoint: Endpoint, request: ApiRequest): Answer {
  const { route, caller } = request;
  const id = snapshotIdParameter(route.snapshotId, "snapshotId");
  const index = integerParameter(route.blockIndex, { name: "blockIndex", min: 0 })!;
  const reason = "INVALID_BLOCK_TOKEN";
  const token = required(tokenParameter(route.query.get("blockToken"), { name: "blockToken", reason }), {
    name: "blockToken",
    reason,
  });
  const { contents, ...snapshot } = requireReadable(endpoint.shelf.get(id), {
    id,
    caller,
    nowMs: endpoint.clock.nowMs(),
  });
  requireKey({ contents, ...snapshot }, { caller, denied: endpoint.denied, action: "kms:Decrypt" });
  if (index >= contents.blockCount) {
    throw validationError(
      "INVALID_BLOCK",
      `The block index ${index} is beyond the volume's ${contents.blockCount} blocks.`,
    );
  }
  const problem = endpoint.mint.checkBlockToken(token, {
    snapshot: id,
    index,
    nowMs: endpoint.clock.nowMs(),
  });
  if (problem !== undefined) throw validationError(reason, `The block token is invalid: ${problem}.`);
  if (!contents.has(index)) throw validationError("INVALID_BLOCK", `The snapshot has no block ${index}.`);
  const body = contents.read(index);
  return {
    status: 200,
    headers: {
      "Content-Type": "application/octet-stream",
      "x-amz-Data-Length": String(body.length),
      "x-amz-Checksum": createHash("sha256").update(body).digest("base64"),
      "x-amz-Checksum-Algorithm": "SHA256",
    },
    body,
  };
}

/** The index at which a listing starts, without judging the request: what faults are drawn for. */
export function startOf(endpoint: Endpoint, route: Route): number {
  const scope = {
    call: route.call,
    snapshot: route.snapshotId,
    firstSnapshot: route.query.get("firstSnapshotId"),
  };
  const token = route.query.get("pageToken");
  const opened = token === undefined
    ? Number(route.query.get("startingBlockIndex") ?? 0)
    : endpoint.mint.openPageToken(token, { ...scope, nowMs: endpoint.clock.nowMs() });
  return typeof opened === "number" && Number.isSafeInteger(opened) ? opened : 0;
}

interface Paging {
  readonly scope: PageScope;
  readonly start: number;
  readonly maxResults: number;
}

function pagingOf(endpoint: Endpoint, route: Route, scope: PageScope): Paging {
  const maxResults = integerParameter(route.query.get("maxResults"), {
    name: "maxResults",
    min: 100,
    max: 10_000,
  });
  const reason = "INVALID_PAGE_TOKEN";
  const token = tokenParameter(route.query.get("pageToken"), { name: "pageToken", reason });
  // Where there is a page token, startingBlockIndex is ignored, but a malformed one is still an invalid request.
  const starting = integerParameter(route.query.get("startingBlockIndex"), {
    name: "startingBlockIndex",
    min: 0,
  });
  const opened = token === undefined
    ? starting ?? 0
    : endpoint.mint.openPageToken(token, { ...scope, nowMs: endpoint.clock.nowMs() });
  if (typeof opened === "string") throw validationError(reason, `The page token is invalid: ${opened}.`);
  return {
    scope,
    start: opened,
    maxResults: Math.min(maxResults ?? DEFAULT_MAX_RESULTS, endpoint.pageLimit),
  };
}

/** How a listing walks the volume. */
interface Walk {
  readonly end: number;
  /** Indexes that one page walks at most. */
  readonly scanBlocks: number;
  next(from: number, limit: number): number;
  /** Whether the block is listed; `"stop"`: this page has done enough, go on here next time. */
  take(index: number): boolean | "stop";
}

function pageOf(
  paging: Paging,
  walk: Walk,
  request: ApiRequest,
): { indexes: number[]; nextIndex: number | undefined } {
  if (request.fault === "empty-page") return { indexes: [], nextIndex: paging.start };
  const limit = Math.min(walk.end, paging.start + walk.scanBlocks);
  const wanted = request.fault === "short-page" ? Math.ceil(paging.maxResults / 2) : paging.maxResults;
  const indexes: number[] = [];
  let index = walk.next(paging.start, limit);
  while (index < limit && indexes.length < wanted) {
    const taken = walk.take(index);
    if (taken === "stop") break;
    if (taken) indexes.push(index);
    index = walk.next(index + 1, limit);
  }
  return { indexes, nextIndex: index < walk.end ? index : undefined };
}

/** Decides block by block whether two snapshots differ there, within one page's budget of bytes. */
function comparison(a: Contents, b: Contents): (index: number) => boolean | "stop" {
  let comparedBytes = 0;
  return (index) => {
    if (!a.has(index) || !b.has(index) || b.wasRewritten?.(index)) return true;
    const known = b.differs?.(index, a);
    if (known !== undefined) return known;
    if (comparedBytes >= COMPARE_BYTES) return "stop";
    comparedBytes += b.blockSizeBytes;
    return Buffer.compare(a.read(index), b.read(index)) !== 0;
  };
}

function pageAnswer(
  endpoint: Endpoint,
  page: {
    readonly name: "Blocks" | "ChangedBlocks";
    readonly entries: readonly string[];
    readonly expiresAtMs: number;
    readonly snapshot: HeldSnapshot;
    readonly nextIndex: number | undefined;
    readonly paging: Paging;
  },
): Answer {
  const { snapshot, nextIndex, paging } = page;
  const expiresAtMs = endpoint.clock.nowMs() + PAGE_TOKEN_LIFE_MS;
  const next = nextIndex === undefined
    ? ""
    : `,"NextToken":"${endpoint.mint.pageToken(paging.scope, { nextIndex, expiresAtMs })}"`;
  return jsonAnswer(
    200,
    `{"${page.name}":[${page.entries.join(",")}],"ExpiryTime":${page.expiresAtMs / 1000},` +
      `"VolumeSize":${snapshot.volumeSizeGib},"BlockSize":${snapshot.contents.blockSizeBytes}${next}}`,
  );
}
