/**
 * The import loop: from a folder of block files to a store. It is the acquisition's way with another beginning: the
 * same journal, packs, resume and commit. What it can't know it does not claim: no service was asked, so no block is
 * absent, and a block without a file is unreadable, for want of a file.
 *
 * @see store-format.md, "Imported exhibits"
 */
import { OperatorError } from "../errors.ts";
import type { SessionEvent } from "../format/documents.ts";
import { zeroDigest } from "../format/digests.ts";
import { IMPORTED_KIND } from "../format/manifest.ts";
import type { SegmentBlock } from "../format/segment.ts";
import type { BlockFile, BlockFolder } from "../imager/mod.ts";
import type { Digest, ExhibitId, SourceCounts, VolumeShape } from "../model.ts";
import { type Acquisition, type CommittedExhibit, type JournalHead, listingChanged } from "../store/mod.ts";
import { formatTime } from "../units.ts";
import type { AcquireInput } from "./_input.ts";
import { refuseLongFacts } from "./_record.ts";
import { inSession, whileTicking } from "./_session.ts";

/** So long may the loop run before others get a turn: a Ctrl-C among them. */
const TURN_MS = 50;

/** So many findings of a session are kept in the record, as of events of an acquisition. */
const MAX_FINDINGS = 900;

export interface ImportPrepared {
  readonly exhibit: ExhibitId;
  readonly isResumed: boolean;
  readonly shape: VolumeShape;
  readonly heldBlocks: number;
}

export type ImportInput =
  & Pick<
    AcquireInput,
    "store" | "clock" | "signal" | "fresh" | "maxUnreadable" | "session" | "commitFacts"
  >
  & {
    readonly folder: BlockFolder;
    /** Told once, before the first block is read. */
    onPrepared?(facts: ImportPrepared): void;
    onProgress?(done: { readonly readBlocks: number; readonly unreadableBlocks: number }): void;
    /** What is wrong with a file, or why it is left out. */
    onFinding?(text: string): void;
  };

/** What a session tells of its findings. */
class Findings {
  readonly #input: ImportInput;
  #pending: SessionEvent[] = [];
  #kept = 0;
  #leftOut = 0;

  constructor(input: ImportInput) {
    this.#input = input;
  }

  add(detail: string): void {
    this.#input.onFinding?.(detail);
    if (this.#kept++ >= MAX_FINDINGS) {
      this.#leftOut++;
      return;
    }
    const at = formatTime(this.#input.clock.nowMs());
    this.#pending.push({
      at,
      detail: detail.slice(0, 1024).toWellFormed(),
      kind: "finding",
      requestId: null,
    });
  }

  take(): readonly SessionEvent[] {
    const taken = this.#pending;
    this.#pending = [];
    return taken;
  }

  get leftOut(): number {
    return this.#leftOut;
  }
}

/**
 * Imports one folder: new, or from where the last session stopped.
 *
 * Whatever it throws, what was recorded stays and the same call goes on from there: `storage`, `interrupted`, `source`
 * where the folder changed, `integrity` where too much of it is damaged; `usage`.
 */
export async function importFolder(input: ImportInput): Promise<CommittedExhibit> {
  refuseLongFacts(input.commitFacts.case);
  const { folder } = input;
  const findings = new Findings(input);
  const startedAt = formatTime(input.clock.nowMs());
  const acquisition = await openImport(input);
  const session = {
    ...input,
    spending: undefined,
    source: { counts: () => countsOf(folder) },
    credentialChanges: () => 0,
    takeEvents: () => findings.take(),
    eventsLeftOut: () => findings.leftOut,
  };
  const work = { acquisition, caller: undefined, baseline: { startedAt, counts: countsOf(folder) } };
  return await inSession(session, work, async () => {
    const { blockCount, indexesDigest, told } = folder.facts;
    // On a resume: the same blocks must have files as before.
    await acquisition.noteListing({ blocks: blockCount, digest: indexesDigest });
    for (const text of told) findings.add(text);
    input.onPrepared?.({
      exhibit: acquisition.head.exhibit,
      isResumed: acquisition.isResumed,
      shape: acquisition.shape,
      heldBlocks: acquisition.isResumed ? heldBlocks(acquisition, folder) : 0,
    });
    await whileTicking(
      input,
      acquisition,
      (signal) => readBlocks({ ...input, signal }, acquisition, findings),
    );
    refuseTooMany(input, acquisition);
    return await acquisition.commit({
      ...input.commitFacts,
      descriptionResult: "not_asked",
      isPartial: false,
      rest: "no_file",
    });
  });
}

/** The import of the same snapshot that is under way; `undefined`: there is none. */
async function findImport({ store, folder }: ImportInput): Promise<JournalHead | undefined> {
  return (await store.journals()).findLast(({ source }) =>
    source.kind === IMPORTED_KIND && source.snapshot === folder.snapshot
  );
}

async function openImport(input: ImportInput): Promise<Acquisition> {
  const { store, folder } = input;
  const { shape, blockFiles, otherBlockFiles } = folder.facts;
  const head = await findImport(input);
  if (head && !input.fresh) {
    const { blockSizeBytes, volumeSizeGib } = head.volume;
    if (blockSizeBytes !== shape.blockSizeBytes || volumeSizeGib !== shape.volumeSizeGib) {
      throw listingChanged(folder.snapshot, `it was begun with ${volumeSizeGib} GiB`);
    }
    return await store.resume(head);
  }
  if (head) await store.abandon(head);
  const superseded = store.isReadable ? await store.newestOf(folder.snapshot, IMPORTED_KIND) : undefined;
  return await store.begin({
    source: {
      blockFiles,
      folder: folder.folder.path.slice(0, 4096).toWellFormed(),
      kind: IMPORTED_KIND,
      layout: folder.folder.layout,
      otherBlockFiles,
      snapshot: folder.snapshot,
    },
    shape,
    parent: undefined,
    supersedes: superseded?.id,
  });
}

async function readBlocks(input: ImportInput, acquisition: Acquisition, findings: Findings): Promise<void> {
  const { folder, clock, signal } = input;
  let readBlocks = 0;
  let turnEndsMs = clock.monotonicMs() + TURN_MS;
  for (const file of folder.blocks()) {
    if (clock.monotonicMs() >= turnEndsMs) {
      await new Promise((resolve) => setTimeout(resolve, 0));
      turnEndsMs = clock.monotonicMs() + TURN_MS;
    }
    signal.throwIfAborted();
    if (isHeld(acquisition, folder, file)) continue;
    const block = folder.read(file);
    if (file.names.length > 1 && block.kind === "verified") {
      findings.add(
        `block ${file.index}: several files of one SHA-256, one was taken: ${file.names.join(", ")}`,
      );
    }
    if (block.kind === "verified") await acquisition.put(file.index, block);
    else {
      findings.add(`block ${file.index}: ${block.detail}`);
      await acquisition.putUnreadable(file.index, block);
      refuseTooMany(input, acquisition);
    }
    readBlocks++;
    input.onProgress?.({ readBlocks, unreadableBlocks: acquisition.unreadableBlocks });
  }
}

/**
 * Whether an earlier session recorded the block, and the folder still names the same one. What it could not read is read
 * again: somebody may have found a better copy of the file.
 */
function isHeld(acquisition: Acquisition, folder: BlockFolder, file: BlockFile): boolean {
  const recorded = acquisition.recorded(file.index);
  if (!recorded || recorded.state === "unreadable") return false;
  const held = digestOf(recorded, acquisition.shape);
  if (held === file.digest) return true;
  throw listingChanged(
    folder.snapshot,
    `block ${file.index} was ${held}, its files are ${file.names.join(", ")}`,
  );
}

function digestOf(block: SegmentBlock, { blockSizeBytes }: VolumeShape): Digest | undefined {
  return block.state === "stored" ? block.digest : zeroDigest(blockSizeBytes);
}

function heldBlocks(acquisition: Acquisition, folder: BlockFolder): number {
  let held = 0;
  for (const { index } of folder.blocks()) {
    const state = acquisition.recorded(index)?.state;
    if (state === "stored" || state === "zero") held++;
  }
  return held;
}

function refuseTooMany({ folder, maxUnreadable }: ImportInput, acquisition: Acquisition): void {
  const { unreadableBlocks } = acquisition;
  if (unreadableBlocks <= maxUnreadable) return;
  throw new OperatorError(
    "integrity",
    `Cannot go on with "${folder.snapshot}": files of ${unreadableBlocks} blocks are damaged or doubled, --max-unreadable allows ${maxUnreadable}`,
    {
      facts: { snapshot: folder.snapshot, reason: "TOO_MANY_UNREADABLE", unreadableBlocks },
      hints: [
        "Nothing that was recorded is lost. Run it with a better copy of the folder, or with a higher --max-unreadable.",
      ],
    },
  );
}

/** Nothing was asked of a service; what was received are the bytes of files. */
function countsOf(folder: BlockFolder): SourceCounts {
  return {
    listRequests: 0,
    getRequests: 0,
    otherRequests: 0,
    retries: 0,
    throttles: 0,
    receivedBytes: folder.readBytes,
    firstRequestId: undefined,
    lastRequestId: undefined,
    clockSkewMs: undefined,
  };
}
