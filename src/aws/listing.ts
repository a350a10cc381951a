/**
 * Listings, page by page: checked, sorted, and followed to their end, whatever the endpoint gives. Nothing
 * here knows HTTP: pages come from a function. A listing that cannot be one is refused with what is wrong.
 */
import { OperatorError } from "../errors.ts";
import type { SourceEvent, VolumeShape } from "../model.ts";
import { volumeShape } from "../units.ts";
import type { Call } from "./calls.ts";
import { Unanswered } from "./request.ts";
import { Trouble } from "./trouble.ts";

/** A page as the SDK read it: nothing of it is trusted yet. */
export interface RawPage {
  readonly blocks: readonly { readonly index: unknown; readonly token: unknown }[] | undefined;
  readonly nextToken: unknown;
  readonly volumeSize: unknown;
  readonly blockSize: unknown;
}

/** A block of a checked page; no token: the (second) snapshot does not have it. */
export interface PageBlock {
  readonly index: number;
  readonly token: string | undefined;
}

export interface CheckedPage {
  readonly shape: VolumeShape;
  /** Ascending, unique, in range. */
  readonly blocks: readonly PageBlock[];
  readonly nextToken: string | undefined;
}

/** Longer than any token of AWS (256), so that 10,000 of them stay small. */
const MAX_TOKEN_LENGTH = 1024;
/** A page has at most 10,000 blocks by the API; a server that sends more than it was asked for is bounded. */
const MAX_PAGE_BLOCKS = 1_000_000;
const MAX_STALE_IN_A_ROW = 3;

/** The page, checked. Throws `source` naming what is wrong. */
export function checkPage(
  raw: RawPage,
  context: { readonly call: Call; readonly isComparison: boolean },
): CheckedPage {
  const { call } = context;
  const shape = volumeShape({
    blockSizeBytes: integer(raw.blockSize),
    volumeSizeGib: integer(raw.volumeSize),
  });
  if (typeof shape === "string") throw refused(call, shape);
  if (raw.blocks !== undefined && raw.blocks.length > MAX_PAGE_BLOCKS) {
    throw refused(call, `a page has ${raw.blocks.length} blocks, 10000 were asked for`);
  }
  const blocks = (raw.blocks ?? []).map(({ index, token }): PageBlock => {
    const number = integer(index);
    if (!(number >= 0 && number < shape.blockCount)) {
      throw refused(
        call,
        `block index ${shown(index)} is out of range, the volume has ${shape.blockCount} blocks`,
      );
    }
    // JSON null is the same as nothing.
    const stated = token ?? undefined;
    const isToken = typeof stated === "string" && stated !== "" && stated.length <= MAX_TOKEN_LENGTH;
    if (!isToken && !(stated === undefined && context.isComparison)) {
      throw refused(call, `block ${number} has no usable token`);
    }
    return { index: number, token: stated as string | undefined };
  });
  blocks.sort((a, b) => a.index - b.index);
  for (let i = 1; i < blocks.length; i++) {
    if (blocks[i]!.index === blocks[i - 1]!.index) {
      throw refused(call, `block index ${blocks[i]!.index} appears twice, indexes must be unique`);
    }
  }
  const nextToken = raw.nextToken ?? undefined;
  if (nextToken !== undefined && (typeof nextToken !== "string" || nextToken.length > MAX_TOKEN_LENGTH)) {
    throw refused(call, "the page token is not usable");
  }
  return { shape, blocks, nextToken: nextToken === "" ? undefined : nextToken };
}

/** A non-negative whole number, also where a server writes it as text (moto does); NaN for the rest. */
function integer(value: unknown): number {
  if (typeof value === "string" && /^\d{1,15}$/.test(value)) return Number(value);
  return typeof value === "number" && Number.isSafeInteger(value) ? value : NaN;
}

export interface FollowOptions {
  readonly call: Call;
  readonly isComparison: boolean;
  readonly startingBlock: number;
  /** One page, retried as needed. Throws `Unanswered` with `stale_page` for an expired page token. */
  fetchPage(
    page: { readonly pageToken: string | undefined; readonly startingBlock: number },
  ): Promise<RawPage>;
  readonly onEvent: (event: SourceEvent) => void;
}

/**
 * All pages from `startingBlock` on. An expired page token is answered by listing again behind the last
 * block seen. Bounded against an endpoint that never ends: each page must bring blocks, or be one of a
 * limited number of empty ones, and no page token may come back at once.
 */
export async function* followPages(options: FollowOptions): AsyncGenerator<CheckedPage> {
  const { call, isComparison } = options;
  let fromBlock = options.startingBlock;
  let pageToken: string | undefined;
  let shape: VolumeShape | undefined;
  let emptyPages = 0;
  let staleInARow = 0;
  for (;;) {
    let page: CheckedPage;
    try {
      const raw = await options.fetchPage({ pageToken, startingBlock: fromBlock });
      if (shape === undefined) refuseNoListing(raw, call);
      page = checkPage(raw, { call, isComparison });
    } catch (thrown) {
      if (!isStalePage(thrown) || pageToken === undefined || ++staleInARow > MAX_STALE_IN_A_ROW) {
        throw operatorErrorOf(thrown, call);
      }
      pageToken = undefined;
      if (shape !== undefined && fromBlock >= shape.blockCount) return;
      options.onEvent({ type: "relisted", fromBlock, reason: "page token expired" });
      continue;
    }
    shape ??= page.shape;
    if (!sameShape(shape, page.shape)) {
      throw refused(call, `the volume changed between two pages, from ${said(shape)} to ${said(page.shape)}`);
    }
    const blocks = newBlocks(page, { fromBlock, isContinued: pageToken !== undefined, call });
    fromBlock = (blocks.at(-1)?.index ?? fromBlock - 1) + 1;
    if (blocks.length > 0) staleInARow = 0;
    if (blocks.length === 0 && ++emptyPages > 1000 + shape.blockCount / 1000) {
      throw refused(call, `${emptyPages} pages were empty, the listing does not end`);
    }
    yield { ...page, blocks };
    if (page.nextToken === undefined) return;
    if (page.nextToken === pageToken) throw refused(call, "a page names itself as the next, it does not end");
    pageToken = page.nextToken;
  }
}

/** Throws `Trouble` of kind `malformed` for an answer with no member of a page. */
export function refuseNothing({ blocks, nextToken, volumeSize, blockSize }: RawPage): void {
  if ([blocks, nextToken, volumeSize, blockSize].every((member) => member === undefined)) {
    throw new Trouble("malformed", "an answer with nothing in it");
  }
}

/**
 * Any JSON can pass for a page with nothing in it. Taken for a listing, it would make an exhibit whose blocks are
 * all absent: so a first page has to say something of its own.
 */
function refuseNoListing(raw: RawPage, call: Call): void {
  const isNothing = raw.blockSize === undefined && raw.volumeSize === undefined;
  const isEnd = raw.nextToken === undefined || raw.nextToken === null;
  if (isNothing) throw refused(call, "the answer names neither BlockSize nor VolumeSize, it is no listing");
  if (raw.blocks === undefined && isEnd) {
    throw refused(call, "the answer has neither blocks nor a next page, it is no listing");
  }
}

/**
 * The page's blocks from `fromBlock` on. A server that ignores the starting index gives earlier ones on the
 * first page of a listing, which are dropped; on a later page they mean that pages go backwards.
 */
function newBlocks(
  page: CheckedPage,
  at: { readonly fromBlock: number; readonly isContinued: boolean; readonly call: Call },
): readonly PageBlock[] {
  const first = page.blocks[0];
  if (first === undefined || first.index >= at.fromBlock) return page.blocks;
  if (at.isContinued) {
    throw refused(at.call, `a page goes back to block ${first.index}, block ${at.fromBlock - 1} was listed`);
  }
  return page.blocks.filter((block) => block.index >= at.fromBlock);
}

function isStalePage(thrown: unknown): boolean {
  return thrown instanceof Unanswered && thrown.verdict.kind === "stale_page";
}

function operatorErrorOf(thrown: unknown, call: Call): unknown {
  if (!(thrown instanceof Unanswered)) return thrown;
  return refused(call, `${thrown.verdict.reason}, also after listing again`);
}

function sameShape(a: VolumeShape, b: VolumeShape): boolean {
  return a.blockSizeBytes === b.blockSizeBytes && a.volumeSizeGib === b.volumeSizeGib;
}

function said(shape: VolumeShape): string {
  return `${shape.volumeSizeGib} GiB in blocks of ${shape.blockSizeBytes} bytes`;
}

/** The error for a listing that cannot be one. */
function refused(call: Call, what: string): OperatorError {
  return new OperatorError("source", `Cannot ${call.what}: ${what}`, {
    hints: ["Check that the endpoint speaks the EBS direct APIs."],
    facts: { snapshot: call.snapshots[0] ?? null, reason: "BAD_LISTING" },
  });
}

function shown(value: unknown): string {
  return (JSON.stringify(value) ?? "missing").slice(0, 40);
}
