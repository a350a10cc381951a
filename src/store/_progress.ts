/**
 * What a journal's log adds up to. The same fold replays a log on resume and follows the entries that this
 * session appends, so that a resumed acquisition knows exactly what an uninterrupted one knows.
 */
import { OperatorError } from "../errors.ts";
import {
  MAX_SESSION_EVENTS,
  type Session,
  type SessionCounts,
  type SessionEvent,
  type UnreadableEntry,
} from "../format/documents.ts";
import type { DescriptionEntry, JournalEntry } from "../format/journal.ts";
import type { ObjectName, StoredObject } from "../model.ts";

export const NO_COUNTS: SessionCounts = {
  clockSkewMs: null,
  credentialChanges: 0,
  eventsLeftOut: 0,
  fetchedBlocks: 0,
  firstRequestId: null,
  getRequests: 0,
  lastRequestId: null,
  listRequests: 0,
  otherRequests: 0,
  receivedBytes: 0,
  retries: 0,
  throttles: 0,
};

/** A pack that the log names. */
export interface JournalPack extends StoredObject {
  /** True where it was not found when the acquisition was taken up. */
  readonly isMissing: boolean;
}

export class Progress {
  readonly sessions: Session[] = [];
  readonly #packs: JournalPack[] = [];
  readonly #packNumbers = new Map<ObjectName, number>();
  /** Segments with at least one slot. */
  readonly segments = new Set<number>();
  readonly unreadable = new Map<number, UnreadableEntry>();
  listing: { readonly blocks: number; readonly digest: string } | undefined;
  parentDropped: string | undefined;
  /** What the service said of the snapshot when a session was told last. */
  description: DescriptionEntry | undefined;

  apply(entry: JournalEntry): void {
    switch (entry.type) {
      case "session_started":
        this.sessions.push({ ...entry.session, ...NO_COUNTS, endedAt: null, events: [], outcome: null });
        break;
      case "flush":
        if (entry.packsBefore !== this.#packs.length) throw lostLine(entry.packsBefore, this.#packs.length);
        for (const pack of [...entry.packs, ...entry.usedPacks]) this.#notePack(pack);
        for (const segment of entry.segments) this.segments.add(segment);
        for (const block of entry.unreadable) this.unreadable.set(block.block, block);
        this.#updateSession(entry.counts, entry.events);
        break;
      case "session_ended":
        this.#updateSession(entry.counts, entry.events, { endedAt: entry.endedAt, outcome: entry.outcome });
        break;
      case "description":
        this.description = entry;
        break;
      case "listing":
        this.listing = { blocks: entry.blocks, digest: entry.digest };
        break;
      case "parent_dropped":
        this.parentDropped = entry.reason;
        break;
    }
  }

  /** Packs that hold blocks of this acquisition, its own and others', by their number: all that the log names. */
  get packs(): readonly JournalPack[] {
    return this.#packs;
  }

  /** Whether the log names the pack, and it was there. */
  names(pack: ObjectName): boolean {
    const number = this.#packNumbers.get(pack);
    return number !== undefined && !this.#packs[number]!.isMissing;
  }

  /** The number of a pack that the log names. */
  numberOf(pack: ObjectName): number {
    const number = this.#packNumbers.get(pack);
    if (number === undefined) throw new RangeError(`the log does not name "${pack}"`);
    return number;
  }

  /** It is not there: what it held is to be fetched again. It keeps its number. */
  dropPack(number: number): void {
    this.#packs[number] = { ...this.#packs[number]!, isMissing: true };
  }

  /** Sum of one count over all sessions. */
  total(
    count: "fetchedBlocks" | "receivedBytes" | "retries" | "throttles" | "getRequests" | "listRequests",
  ): number {
    return this.sessions.reduce((sum, session) => sum + session[count], 0);
  }

  #notePack({ name, sizeBytes }: StoredObject): void {
    const number = this.#packNumbers.get(name) ?? this.#packs.length;
    this.#packNumbers.set(name, number);
    this.#packs[number] = { name, sizeBytes, isMissing: false };
  }

  #updateSession(
    counts: SessionCounts,
    events: readonly SessionEvent[],
    end?: { readonly endedAt: string; readonly outcome: string },
  ): void {
    const session = this.sessions.pop();
    if (!session) return;
    const all = [...session.events, ...events].slice(0, MAX_SESSION_EVENTS);
    this.sessions.push({ ...session, ...counts, ...end, events: all });
  }
}

/** What the slots say of packs would be of others from here on. */
function lostLine(told: number, known: number): OperatorError {
  return new OperatorError(
    "integrity",
    `Cannot take up the acquisition: a line of its log says that the lines before it name ${told} packs, they name ${known}`,
    {
      facts: { packs: known, packsBefore: told },
      hints: ["The journal is kept as it is. Restore it from a copy, or start anew with --fresh."],
    },
  );
}
