/**
 * A scripted source in memory: snapshots are tables of block index → number, the number says what the block's
 * bytes are (0: zeros). It pages, compares, counts, and misbehaves where a test says so. No assertions.
 */
import { sha256 } from "../../src/format/digests.ts";
import { OperatorError } from "../../src/errors.ts";
import type {
  BlockPage,
  BlockSource,
  CallerIdentity,
  CallOptions,
  ChangedPage,
  DescriptionAnswer,
  ListedBlock,
  SnapshotDescription,
  SnapshotId,
  SourceCounts,
  UnreadableBlock,
  VerifiedBlock,
  VolumeShape,
} from "../../src/model.ts";
import { volumeShape } from "../../src/units.ts";

export const FIRST = "snap-0000000000000000a" as SnapshotId;
export const SECOND = "snap-0000000000000000b" as SnapshotId;
export const THIRD = "snap-0000000000000000c" as SnapshotId;

/** Block index → what it holds; 0 is a block of zeros. */
export type Table = Readonly<Record<number, number>>;

export interface FakeSnapshot {
  readonly blocks: Table;
  /** 1 where not given. */
  readonly volumeSizeGib?: number;
  /** 1 MiB where not given: 1024 blocks a GiB. */
  readonly blockSizeBytes?: number;
  /** Snapshots of one volume are of one lineage. "vol-1" where not given. */
  readonly volume?: string;
  /** What the service says of it; not given: the caller may not ask. */
  readonly description?: Partial<SnapshotDescription>;
}

export const MIB_BLOCKS = 1024 * 1024;

export function shapeOf(
  { volumeSizeGib = 1, blockSizeBytes = MIB_BLOCKS }: Partial<FakeSnapshot>,
): VolumeShape {
  const shape = volumeShape({ volumeSizeGib, blockSizeBytes });
  if (typeof shape === "string") throw new Error(shape);
  return shape;
}

/** The bytes of a block that holds `content`: repetitive, so that packs stay small. */
export function contentBytes(content: number, blockSizeBytes: number): Uint8Array {
  return new Uint8Array(new Uint32Array(blockSizeBytes / 4).fill(content).buffer);
}

/** A block that counts as checked, as the source of a test may say. */
function verifiedBlock(content: number, blockSizeBytes: number): VerifiedBlock {
  const bytes = contentBytes(content, blockSizeBytes);
  return { kind: "verified", digest: sha256(bytes), bytes } as VerifiedBlock;
}

/** An error as the real source throws it when its signal aborts. */
export function interrupted(): OperatorError {
  return new OperatorError("interrupted", "Cannot go on: interrupted");
}

export class FakeSource implements BlockSource {
  region = "us-east-1";
  endpoint = "http://127.0.0.1:1";
  isAws = false;
  maxConcurrency = 4;
  pageBlocks = 4;
  readonly snapshots = new Map<SnapshotId, FakeSnapshot>();
  /** `undefined`: the caller may not ask. */
  caller: CallerIdentity | undefined;
  /** Indexes in the order in which they were asked for, each as often as it was. */
  readonly fetched: number[] = [];
  /** Which listings were asked for. */
  readonly listed: string[] = [];
  /** Blocks that cannot be read, in any snapshot. */
  readonly unreadable = new Map<number, UnreadableBlock>();
  /** Requests that each block takes beyond the first. */
  retriesPerBlock = 0;
  /** Called before a block is given; may wait, and may throw. */
  onGet: (index: number, signal: AbortSignal | undefined) => Promise<void> | void = () => {};
  /** Called before each page of a listing, with the call and the number of pages given before. */
  onPage: (call: "list" | "changed", page: number, signal: AbortSignal | undefined) => Promise<void> | void =
    () => {};
  /** What the service says of the differences, in place of what they are. */
  differences: ((true_: readonly ChangedPage["blocks"][number][]) => ChangedPage["blocks"]) | undefined;
  /** What the service answers where there is nothing to say of a snapshot. */
  untold: Exclude<DescriptionAnswer["result"], "received"> = "not_permitted";
  #counts = { listRequests: 0, getRequests: 0, otherRequests: 0, retries: 0, throttles: 0, receivedBytes: 0 };

  constructor(snapshots: Readonly<Record<string, FakeSnapshot>>) {
    for (const [id, snapshot] of Object.entries(snapshots)) this.snapshots.set(id as SnapshotId, snapshot);
  }

  counts(): SourceCounts {
    return { ...this.#counts, firstRequestId: "first", lastRequestId: "last", clockSkewMs: 7 };
  }

  forgetRequestIds(): void {
    // Its ids are always the same.
  }

  describe(snapshot: SnapshotId): Promise<DescriptionAnswer> {
    this.#counts.otherRequests++;
    const described = this.#described(snapshot);
    return Promise.resolve(
      described
        ? { result: "received", description: described, requestId: `described-${this.#counts.otherRequests}` }
        : { result: this.untold, description: undefined, requestId: undefined },
    );
  }

  #described(snapshot: SnapshotId): SnapshotDescription | undefined {
    const description = this.snapshots.get(snapshot)?.description;
    return description && {
      state: "completed",
      ownerAccount: "123456789012",
      volumeId: undefined,
      startedAt: undefined,
      completedAt: undefined,
      storageTier: "standard",
      encrypted: false,
      kmsKeyId: undefined,
      description: undefined,
      tags: {},
      volumeSizeGib: undefined,
      verbatim: { SnapshotId: snapshot },
      ...description,
    };
  }

  callerIdentity(): Promise<CallerIdentity | undefined> {
    this.#counts.otherRequests++;
    return Promise.resolve(this.caller);
  }

  async *listBlocks(
    snapshot: SnapshotId,
    options: CallOptions & { readonly startingBlock?: number } = {},
  ): AsyncGenerator<BlockPage> {
    this.listed.push(`list ${snapshot}`);
    const held = this.#held(snapshot);
    const blocks = indexesOf(held.blocks)
      .filter((index) => index >= (options.startingBlock ?? 0))
      .map((index) => ({ index, token: `${snapshot} ${index}` }));
    for await (const page of this.#pages("list", blocks, options.signal)) {
      yield { shape: shapeOf(held), blocks: page };
    }
  }

  async *listChangedBlocks(
    { first, second }: { readonly first: SnapshotId; readonly second: SnapshotId },
    options: CallOptions = {},
  ): AsyncGenerator<ChangedPage> {
    this.listed.push(`changed ${first} ${second}`);
    const [before, after] = [this.#held(first), this.#held(second)];
    if ((before.volume ?? "vol-1") !== (after.volume ?? "vol-1")) {
      throw new OperatorError("source", "Cannot compare: not of one volume's lineage", {
        facts: { reason: "UNRELATED_SNAPSHOTS" },
      });
    }
    const true_ = [...new Set([...indexesOf(before.blocks), ...indexesOf(after.blocks)])]
      .filter((index) => before.blocks[index] !== after.blocks[index])
      .sort((a, b) => a - b)
      .map((index) => ({ index, token: index in after.blocks ? `${second} ${index}` : undefined }));
    const said = this.differences?.(true_) ?? true_;
    for await (const page of this.#pages("changed", said, options.signal)) {
      yield { shape: shapeOf(after), blocks: page };
    }
  }

  async getBlock(
    { snapshot, block, shape }: {
      readonly snapshot: SnapshotId;
      readonly block: ListedBlock;
      readonly shape: VolumeShape;
    },
    options: CallOptions = {},
  ): Promise<VerifiedBlock | UnreadableBlock> {
    if (options.signal?.aborted) throw interrupted();
    if (block.token !== `${snapshot} ${block.index}`) {
      throw new Error(`token "${block.token}" is not of the block`);
    }
    this.fetched.push(block.index);
    this.#counts.getRequests += 1 + this.retriesPerBlock;
    this.#counts.retries += this.retriesPerBlock;
    await this.onGet(block.index, options.signal);
    if (options.signal?.aborted) throw interrupted();
    const unreadable = this.unreadable.get(block.index);
    if (unreadable) return unreadable;
    const content = this.#held(snapshot).blocks[block.index];
    if (content === undefined) throw new Error(`block ${block.index} is not in ${snapshot}`);
    this.#counts.receivedBytes += shape.blockSizeBytes;
    return verifiedBlock(content, shape.blockSizeBytes);
  }

  close(): void {
    // Nothing is held.
  }

  #held(snapshot: SnapshotId): FakeSnapshot {
    const held = this.snapshots.get(snapshot);
    if (held) return held;
    throw new OperatorError("not_found", `Cannot find "${snapshot}": the service does not have it`);
  }

  /** At least one page, with a last one that is empty where the blocks fill the others. */
  async *#pages<T>(call: "list" | "changed", blocks: readonly T[], signal: AbortSignal | undefined) {
    for (let page = 0; page * this.pageBlocks <= blocks.length; page++) {
      this.#counts.listRequests++;
      await this.onPage(call, page, signal);
      if (signal?.aborted) throw interrupted();
      yield blocks.slice(page * this.pageBlocks, (page + 1) * this.pageBlocks);
    }
  }
}

function indexesOf(table: Table): number[] {
  return Object.keys(table).map(Number).sort((a, b) => a - b);
}

/** An unreadable block, as a source tells of it. */
export function failing(detail: string, reason: UnreadableBlock["reason"] = "service"): UnreadableBlock {
  return { kind: "unreadable", reason, detail, attempts: 5, requestIds: ["req-1", "req-2"] };
}

/** Rejects when the signal aborts, and resolves never. */
export function untilAborted(signal: AbortSignal | undefined): Promise<never> {
  return new Promise((_, reject) => {
    if (signal?.aborted) return reject(interrupted());
    signal?.addEventListener("abort", () => reject(interrupted()), { once: true });
  });
}
