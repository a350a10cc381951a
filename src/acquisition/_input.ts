/**
 * What an acquisition is asked to do and what it tells on the way: the types that the loop's files share.
 * No behaviour.
 */
import type { SessionEvent, SessionStart } from "../format/documents.ts";
import type { SetFacts } from "../format/snapshot_set.ts";
import type { BlockSource, Clock, ExhibitId, SnapshotId, VolumeShape } from "../model.ts";
import type { Cost, Tally } from "../plan.ts";
import type { CommitFacts, Exhibit, Store } from "../store/mod.ts";
import type { ParentWish } from "./_parent.ts";
import type { Spending } from "./_spending.ts";

export interface AcquireInput {
  readonly store: Store;
  readonly source: BlockSource;
  readonly snapshot: SnapshotId;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** `undefined`: not said; as the journal has it, or found by itself. */
  readonly parent: ParentWish | undefined;
  /** The set that the snapshot is acquired with; `undefined`: by its own id, and a journal keeps its own. */
  readonly set?: SetFacts | undefined;
  readonly fresh: boolean;
  readonly retryUnreadable: boolean;
  readonly maxUnreadable: number;
  readonly concurrency: number | undefined;
  readonly spending: Spending;
  readonly session: Omit<SessionStart, "callerAccount" | "callerArn" | "callerUserId" | "startedAt">;
  /** Everything that a commit needs beside what the acquisition finds out. */
  readonly commitFacts: Omit<CommitFacts, "descriptionResult" | "isPartial" | "rest">;
  /** Told before the first request for the snapshot: what follows is this session's. */
  beginSession?(): void;
  /** Times that the credentials changed in this session. */
  credentialChanges(): number;
  /** Events for the record since the last call, and how many were left out of this session's. */
  takeEvents(): readonly SessionEvent[];
  eventsLeftOut(): number;
  /** Told once, before the first block is asked for. */
  onPrepared?(facts: PreparedFacts): void;
  onCounting?(done: { readonly throughBlock: number; readonly blockCount: number }): void;
  onProgress?(done: AcquireProgress): void;
}

export interface PreparedFacts {
  readonly exhibit: ExhibitId;
  readonly isResumed: boolean;
  readonly shape: VolumeShape;
  readonly tally: Tally;
  readonly parent: Exhibit | undefined;
  /** Why a parent that was found is not built on. */
  readonly parentDropped: string | undefined;
  /** What the rest costs. */
  readonly remaining: Cost;
}

export interface AcquireProgress {
  readonly fetchedBlocks: number;
  readonly totalBlocks: number;
  readonly unreadableBlocks: number;
}
