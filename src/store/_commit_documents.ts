/**
 * The side documents of a commit, held to what a document takes. A commit must not fail because there is too much
 * to tell: which blocks are unreadable is in the segments, so what has no room here are reasons and events, and
 * each list says how much it leaves out.
 *
 * @see store-format.md, "Side documents"
 */
import { Buffer } from "node:buffer";
import {
  MAX_DOCUMENT_BYTES,
  MAX_SESSIONS,
  MAX_UNREADABLE_ENTRIES,
  type Session,
  type UnreadableDocument,
  type UnreadableEntry,
} from "../format/documents.ts";

type ListedEntry = UnreadableDocument["entries"][number];

/** Type, version and brackets of a document, the commas between its elements left out. */
const AROUND_BYTES = 128;

/** What a list may have; smaller in tests. */
export interface DocumentLimits {
  readonly bytes: number;
  readonly elements: number;
}

/** The bytes of an element and the comma after it. Canonical JSON is as long: only the order of members differs. */
function bytesOf(element: unknown): number {
  return Buffer.byteLength(JSON.stringify(element)) + 1;
}

function fits(elements: readonly unknown[], limits: DocumentLimits): boolean {
  if (elements.length > limits.elements) return false;
  let bytes = AROUND_BYTES;
  return elements.every((element) => (bytes += bytesOf(element)) <= limits.bytes);
}

/** The unreadable blocks of a volume with their reasons, noted in ascending order. */
export class UnreadableList {
  readonly #limits: DocumentLimits;
  readonly #untried: Untried;
  readonly #entries: { blocks: number; readonly first: ListedEntry["first"] }[] = [];
  /** First and last of the blocks that came when the list was full. */
  #leftOut: { readonly first: number; last: number } | undefined;

  /** @param untried Why nothing was tried of a block without an entry. */
  constructor(
    limits: DocumentLimits = { bytes: MAX_DOCUMENT_BYTES, elements: MAX_UNREADABLE_ENTRIES },
    untried: Untried = "not_acquired",
  ) {
    this.#limits = limits;
    this.#untried = untried;
  }

  /** @param entry `undefined`: the block was never tried; consecutive ones are one entry. */
  note(index: number, entry: UnreadableEntry | undefined): void {
    const last = this.#entries.at(-1);
    const isNext = last?.first.reason === this.#untried && last.first.block + last.blocks === index;
    if (this.#leftOut) this.#leftOut.last = index;
    else if (!entry && last && isNext) last.blocks++;
    else if (this.#entries.length === this.#limits.elements - 1) {
      this.#leftOut = { first: index, last: index };
    } else this.#entries.push({ blocks: 1, first: entry ?? neverTried(index, this.#untried) });
  }

  /**
   * All of them where they fit. Else shorter ones; and where those do not fit either, what comes last is one entry
   * without reasons.
   */
  entries(): ListedEntry[] {
    const rest = this.#leftOut ? [leftOut(this.#leftOut.first, this.#leftOut.last)] : [];
    if (fits([...this.#entries, ...rest], this.#limits)) return [...this.#entries, ...rest];
    const short = [...this.#entries.map(shortened), ...rest];
    return fits(short, this.#limits) ? short : this.#beginning(short);
  }

  #beginning(entries: readonly ListedEntry[]): ListedEntry[] {
    const kept: ListedEntry[] = [];
    const { first, blocks } = entries.at(-1)!;
    const lastBlock = first.block + blocks - 1;
    let bytes = AROUND_BYTES + bytesOf(leftOut(lastBlock, lastBlock));
    for (const entry of entries) {
      bytes += bytesOf(entry);
      if (bytes > this.#limits.bytes) return [...kept, leftOut(entry.first.block, lastBlock)];
      kept.push(entry);
    }
    return kept;
  }
}

/** Nothing tried, by its reason. */
type Untried = keyof typeof UNTRIED;
const UNTRIED = {
  not_acquired: "never tried",
  no_file: "the folder has no file of it; whether the snapshot had the block is not known",
} as const;

function neverTried(block: number, reason: Untried): ListedEntry["first"] {
  return { attempts: 0, block, detail: UNTRIED[reason], reason, requestIds: [] };
}

function leftOut(firstBlock: number, lastBlock: number): ListedEntry {
  const detail = "no room for more reasons: segments tell which blocks of this range are unreadable";
  const first = { attempts: 0, block: firstBlock, detail, reason: "left_out", requestIds: [] } as const;
  return { blocks: lastBlock - firstBlock + 1, first };
}

function shortened({ blocks, first }: ListedEntry): ListedEntry {
  const detail = first.detail.slice(0, 64).toWellFormed();
  return { blocks, first: { ...first, detail, requestIds: first.requestIds.slice(0, 1) } };
}

/**
 * All sessions where they fit. Else the first one and the newest where there are too many; and where they are too long,
 * with fewer events of each, then with shorter command lines, then fewer of them. The manifest counts all sessions, and
 * sums over all.
 */
export function fittingSessions(
  sessions: readonly Session[],
  limits: DocumentLimits = { bytes: MAX_DOCUMENT_BYTES, elements: MAX_SESSIONS },
): readonly Session[] {
  const some = firstAndNewest(sessions, limits.elements);
  if (fits(some, limits)) return some;
  for (const events of [512, 256, 128, 64, 32, 16, 8, 4, 2, 1, 0]) {
    const shorter = some.map((session) => withEvents(session, events));
    if (fits(shorter, limits)) return shorter;
  }
  const shortest = some.map((session) => withShortCommand(withEvents(session, 0)));
  let bytes = AROUND_BYTES + bytesOf(shortest[0]);
  let count = 1;
  while (count < shortest.length) {
    bytes += bytesOf(shortest[shortest.length - count]);
    if (bytes > limits.bytes) break;
    count++;
  }
  return firstAndNewest(shortest, count);
}

function firstAndNewest(sessions: readonly Session[], count: number): readonly Session[] {
  const newest = count - 1;
  return sessions.length <= count
    ? sessions
    : [...sessions.slice(0, 1), ...sessions.slice(sessions.length - newest)];
}

function withEvents(session: Session, count: number): Session {
  const events = session.events.slice(0, count);
  return { ...session, events, eventsLeftOut: session.eventsLeftOut + session.events.length - events.length };
}

function withShortCommand(session: Session): Session {
  const words = session.commandLine.slice(0, 16).map((word) => word.slice(0, 256).toWellFormed());
  const left = session.commandLine.length - words.length;
  return { ...session, commandLine: left > 0 ? [...words, `… and ${left} more arguments`] : words };
}
