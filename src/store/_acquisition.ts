/**
 * One acquisition under way: takes checked blocks, puts them into packs, and records in the journal what is
 * durable, in that order. Whoever feeds it may die at any moment; what was recorded is never fetched again.
 * It knows no source and no listing but the numbers that it is told.
 *
 * @see store-format.md, "Order of writes"
 */
import { OperatorError } from "../errors.ts";
import {
  answerAsJson,
  type SessionCounts,
  type SessionEvent,
  type SessionStart,
} from "../format/documents.ts";
import { zeroDigest } from "../format/digests.ts";
import { type DescriptionEntry, type JournalEntry, type JournalHead, splitFlush } from "../format/journal.ts";
import { checkVolume } from "../format/manifest.ts";
import { plainBlock, type SegmentBlock } from "../format/segment.ts";
import {
  type Clock,
  type Digest,
  type Disk,
  type Randomness,
  type UnreadableBlock,
  type VerifiedBlock,
  type VolumeShape,
} from "../model.ts";
import { formatTime } from "../units.ts";
import { commitExhibit, type CommitFacts, type CommittedExhibit } from "./_commit.ts";
import type { Contents } from "./_contents.ts";
import type { Exhibit } from "./_exhibit.ts";
import { Journal, journalFolder, removeJournal } from "./_journal.ts";
import type { LocalStorage } from "./_local_storage.ts";
import type { PackedBlocks } from "./_packed_blocks.ts";
import type { Packers } from "./_packers.ts";
import { type Batch, OPEN_PACK_NAME, Packing } from "./_packing.ts";
import { NO_COUNTS, Progress } from "./_progress.ts";
import { reconcile } from "./_resume.ts";

/** A pack is closed so long after its first block, however slow the link: what a kill loses at the most. */
const FLUSH_AFTER_MS = 30_000;

/** Everything in a session's counts but what the acquisition counts itself. */
export type SourceSideCounts = Omit<SessionCounts, "fetchedBlocks">;

/** What a session tells of itself whenever something is recorded. */
export interface SessionReport {
  counts(): SourceSideCounts;
  /** Events since the last call. */
  takeEvents(): readonly SessionEvent[];
}

/** Sums over sessions. */
export type SessionTotals = Readonly<
  Record<"fetchedBlocks" | "getRequests" | "listRequests" | "receivedBytes", number>
>;

/** What an acquisition works with; made by the store. */
export interface AcquisitionParts {
  readonly storage: LocalStorage;
  readonly contents: Contents;
  readonly disk: Disk;
  readonly clock: Clock;
  readonly randomness: Randomness;
  readonly blocks: PackedBlocks;
  readonly packers: Packers;
  readonly head: JournalHead;
  /** The exhibit that is built on; its place in the head's `parent`. */
  readonly parent: Exhibit | undefined;
}

export class Acquisition {
  readonly head: JournalHead;
  readonly shape: VolumeShape;
  /** True where an earlier session left a journal. */
  readonly isResumed: boolean;
  readonly #parts: AcquisitionParts;
  readonly #journal: Journal;
  readonly #progress: Progress;
  readonly #zeroDigest: Digest;
  #report: SessionReport = { counts: () => NO_COUNTS, takeEvents: () => [] };
  readonly #before: SessionTotals;
  #fetchedBlocks = 0;
  /** Put, but not recorded yet. */
  readonly #packing: Packing;
  /** Calls that put or end wait for each other. */
  #queue: Promise<unknown> = Promise.resolve();
  /** So do lines of the log. */
  #lastLine: Promise<unknown> = Promise.resolve();
  #failure: unknown;

  private constructor(parts: AcquisitionParts, journal: Journal, progress: Progress, isResumed: boolean) {
    this.#parts = parts;
    this.head = parts.head;
    this.shape = checkVolume(parts.head.volume, "journal");
    this.isResumed = isResumed;
    this.#journal = journal;
    this.#progress = progress;
    this.#zeroDigest = zeroDigest(this.shape.blockSizeBytes);
    const folder = journalFolder(parts.head.exhibit);
    this.#packing = new Packing({ ...parts, folder }, (batches) => this.#record(batches));
    this.#before = {
      fetchedBlocks: progress.total("fetchedBlocks"),
      getRequests: progress.total("getRequests"),
      listRequests: progress.total("listRequests"),
      receivedBytes: progress.total("receivedBytes"),
    };
  }

  /** Starts a new acquisition: from here on the store knows of it. */
  static async begin(parts: AcquisitionParts): Promise<Acquisition> {
    const journal = await Journal.create(parts.storage, parts.disk, parts.head);
    return new Acquisition(parts, journal, new Progress(), false);
  }

  /** Takes up what an earlier session left. */
  static async resume(parts: AcquisitionParts): Promise<Acquisition> {
    removeOpenPacks(parts);
    const progress = new Progress();
    const replay = (entry: JournalEntry) => progress.apply(entry);
    const { journal, cutBytes } = await Journal.open(parts.storage, parts.disk, parts.head, replay);
    try {
      await reconcile({ ...parts, journal, progress, isCut: cutBytes > 0 });
    } catch (error) {
      journal.close();
      throw error;
    }
    return new Acquisition(parts, journal, progress, true);
  }

  /** The exhibit that is built on, unless it was dropped. */
  get parent(): Exhibit | undefined {
    return this.#progress.parentDropped === undefined ? this.#parts.parent : undefined;
  }

  /** Why nothing is built on a parent that was found; `undefined` where there is no such reason. */
  get parentDropped(): string | undefined {
    return this.#progress.parentDropped;
  }

  /** What the sessions before this one did and received: what they have cost. */
  get before(): SessionTotals {
    return this.#before;
  }

  /** Blocks recorded as unreadable, in all sessions. */
  get unreadableBlocks(): number {
    // One that was tried again, in vain, is in both.
    const added = this.#packing.unreadable.filter(({ block }) => !this.#progress.unreadable.has(block));
    return this.#progress.unreadable.size + added.length;
  }

  /** Notes that a session works on it now. `report` is asked whenever something is recorded. */
  async startSession(session: SessionStart, report: SessionReport): Promise<void> {
    this.#report = report;
    await this.#enqueue(() => this.#append({ session, type: "session_started" }));
  }

  /**
   * What is put or recorded of a block; `undefined` for nothing. `absent` only where it was put so: a block
   * of the parent that the snapshot no longer has. Asking in ascending order costs one read a segment.
   */
  recorded(index: number): SegmentBlock | undefined {
    const block = this.#packing.get(index) ?? this.#journal.recorded(index);
    // A partial commit that was cut short leaves blocks marked that were never tried.
    if (block?.state === "unreadable" && !this.#isKnownUnreadable(index)) return undefined;
    return block;
  }

  /** Takes a block, whose bytes are its own from now on; returns when the next may come. */
  put(index: number, block: VerifiedBlock): Promise<void> {
    return this.#enqueue(async () => {
      this.#fetchedBlocks++;
      this.#progress.unreadable.delete(index);
      if (block.digest === this.#zeroDigest) {
        this.#packing.note(index, plainBlock("zero"));
        this.#parts.packers.buffers?.giveBack(block.bytes);
      } else await this.#packing.put(index, block);
      await this.#packing.closeFull();
    });
  }

  putUnreadable(index: number, block: UnreadableBlock): Promise<void> {
    return this.#enqueue(async () => {
      const { attempts, detail, reason, requestIds } = block;
      this.#packing.noteUnreadable({
        attempts,
        block: index,
        detail: detail.slice(0, 1024).toWellFormed(),
        reason,
        requestIds: requestIds.slice(0, 16).map((id) => id.slice(0, 256).toWellFormed()),
      });
      await this.#packing.closeFull();
    });
  }

  /** A block that the parent has and this snapshot does not. */
  putAbsent(index: number): Promise<void> {
    return this.#putPlain(index, "absent");
  }

  /** A listed block that a partial commit leaves out. */
  putNotAcquired(index: number): Promise<void> {
    return this.#putPlain(index, "unreadable");
  }

  #putPlain(index: number, state: "absent" | "unreadable"): Promise<void> {
    return this.#enqueue(async () => {
      this.#packing.note(index, plainBlock(state));
      await this.#packing.closeFull();
    });
  }

  /**
   * Tells of a listing that was read to its end. Throws `source` where an earlier session saw another: the
   * snapshot is not what was being acquired.
   *
   * @param listing Number of blocks; SHA-256 of their ascending indexes as 32-bit little-endian numbers.
   */
  noteListing(listing: { readonly blocks: number; readonly digest: Digest }): Promise<void> {
    return this.#enqueue(async () => {
      const before = this.#progress.listing;
      if (before && (before.blocks !== listing.blocks || before.digest !== listing.digest)) {
        throw listingChanged(
          this.head.source.snapshot,
          `an earlier listing had ${before.blocks} blocks, this one has ${listing.blocks}` +
            (before.blocks === listing.blocks ? " others" : ""),
        );
      }
      if (!before) await this.#append({ ...listing, type: "listing" });
    });
  }

  /** Keeps what the service said of the snapshot, also for sessions that are told nothing any more. */
  noteDescription(description: Omit<DescriptionEntry, "type">): Promise<void> {
    const answer = answerAsJson(description.answer);
    return this.#enqueue(() => this.#append({ ...description, answer, type: "description" }));
  }

  /** Builds on no parent from here on; the record keeps the reason. */
  dropParent(reason: string): Promise<void> {
    return this.#enqueue(() =>
      this.#append({ reason: reason.slice(0, 4096).toWellFormed(), type: "parent_dropped" })
    );
  }

  /** Closes the open packs where they are due. To be called now and then while blocks come slowly. */
  async flushIfDue(): Promise<void> {
    const { sinceMs } = this.#packing;
    if (sinceMs === undefined || this.#parts.clock.monotonicMs() - sinceMs < FLUSH_AFTER_MS) return;
    await this.flush();
  }

  /** Closes the open packs and records everything that was put. Durable when it returns. */
  flush(): Promise<void> {
    return this.#enqueue(() => this.#packing.closeAll());
  }

  /**
   * Ends the session and keeps the journal. What can still be recorded is; where the disk refuses, what was
   * recorded before stays.
   *
   * @param outcome The code of the error that ended it.
   */
  async endSession(outcome: string): Promise<void> {
    try {
      if (!this.#failure) {
        await this.flush();
        await this.#enqueue(() =>
          this.#append({
            counts: this.#allCounts(),
            endedAt: formatTime(this.#parts.clock.nowMs()),
            events: this.#report.takeEvents(),
            outcome,
            type: "session_ended",
          })
        );
      }
    } finally {
      this.#packing.abandon();
      this.#journal.close();
    }
  }

  /**
   * Makes an exhibit of it and removes the journal.
   *
   * @param facts `rest`: what a block that was neither recorded nor taken over is.
   */
  async commit(facts: CommitFacts): Promise<CommittedExhibit> {
    await this.flush();
    return await this.#enqueue(async () => {
      const committed = await commitExhibit({
        ...this.#parts,
        parent: this.parent,
        shape: this.shape,
        progress: this.#progress,
        counts: this.#allCounts(),
        events: this.#report.takeEvents(),
        recorded: (index) => this.#journal.recorded(index),
        forget: (indexes) => this.#journal.eraseSlots(indexes),
        facts,
      });
      this.#journal.close();
      // Only when closed: file systems of the network and of FUSE keep an open file's folder from going.
      await removeJournal(this.#parts.storage, this.#parts.disk, this.head.exhibit);
      return committed;
    });
  }

  #isKnownUnreadable(index: number): boolean {
    return this.#progress.unreadable.has(index) || this.#packing.isUnreadable(index);
  }

  #allCounts(): SessionCounts {
    return { ...this.#report.counts(), fetchedBlocks: this.#fetchedBlocks };
  }

  /** The log first, then slots: each durable before the next. The packs are durable already. */
  async #record(batches: readonly Batch[]): Promise<void> {
    const pending = batches.map((batch) => batch.pending);
    const heldIn = new Map(pending.flatMap((one) => one.heldIn).map((pack) => [pack.name, pack]));
    const flush = {
      counts: this.#allCounts(),
      events: this.#report.takeEvents(),
      packs: batches.map(({ written }) => written).filter((pack) => pack !== undefined),
      packsBefore: this.#progress.packs.length,
      segments: [...new Set(pending.flatMap((one) => one.segments))],
      type: "flush",
      unreadable: pending.flatMap((one) => one.unreadable),
      usedPacks: [...heldIn.values()].filter(({ name }) => !this.#progress.names(name)),
    } as const;
    for (const line of splitFlush(flush)) {
      await this.#append({ ...line, packsBefore: this.#progress.packs.length });
    }
    for (const { written, pending } of batches) {
      // The log names all of them by now.
      const slots = pending.numbered((pack) => this.#progress.numberOf(pack ?? written!.name));
      await this.#journal.writeSlots(slots);
    }
  }

  #append(entry: JournalEntry): Promise<void> {
    const result = this.#lastLine.then(async () => {
      await this.#journal.append(entry);
      this.#progress.apply(entry);
    });
    this.#lastLine = result.then(() => undefined, () => undefined);
    return result;
  }

  /** A failed write poisons the acquisition: nothing more is recorded in this session. */
  #enqueue<T>(action: () => Promise<T>): Promise<T> {
    const result = this.#queue.then(async () => {
      if (this.#failure) throw this.#failure;
      try {
        return await action();
      } catch (error) {
        if (!(error instanceof OperatorError) || error.code !== "source") this.#failure = error;
        throw error;
      }
    });
    this.#queue = result.then(() => undefined, () => undefined);
    return result;
  }
}

/** What a killed session had open: nobody counts on it. */
function removeOpenPacks({ disk, storage, head }: AcquisitionParts): void {
  const folder = storage.pathOf(journalFolder(head.exhibit));
  for (const name of disk.list(folder)) if (OPEN_PACK_NAME.test(name)) disk.remove(`${folder}/${name}`);
}

/** The snapshot's listing is not what an earlier one was: exit 14, journal kept (design: resume). */
export function listingChanged(snapshot: string, how: string): OperatorError {
  return new OperatorError("source", `Cannot go on with "${snapshot}": its listing changed (${how})`, {
    facts: { reason: "LISTING_CHANGED", snapshot },
    hints: ["Nothing that was recorded is lost. --commit-partial commits what is held; --fresh starts anew."],
  });
}
