/**
 * A volume's blocks in order, read ahead: while one block is hashed and written, the next ones are already
 * being read, so that a reader which decompresses on other threads keeps them busy. Bounded by
 * `MAX_READ_AHEAD_BYTES`; holes are passed on as runs and never read. It knows nothing of targets.
 */
import { OperatorError } from "../errors.ts";
import type { BlockReader, BlockRun, BlockState, VolumeShape } from "../model.ts";
import { MIB } from "../units.ts";

/** The most blocks under way at once, and the most bytes of them. */
export const MAX_READ_AHEAD_BLOCKS = 16;
export const MAX_READ_AHEAD_BYTES = 32 * MIB;

/** The next piece of a volume: one stored block with its bytes, or a run that has none. */
export type VolumePiece =
  | { readonly state: "stored"; readonly firstBlock: number; readonly bytes: Uint8Array }
  | {
    readonly state: Exclude<BlockState, "stored">;
    readonly firstBlock: number;
    readonly blockCount: number;
  };

/** Bytes of a volume. An EBS volume is `volumeSizeGib` GiB; the blocks are what is counted on. */
export function volumeSizeBytes(shape: VolumeShape): number {
  return shape.blockCount * shape.blockSizeBytes;
}

/** Blocks that may be under way at once: at least one, whatever the block size. */
export function readAheadBlocks(shape: VolumeShape): number {
  return Math.max(
    1,
    Math.min(MAX_READ_AHEAD_BLOCKS, Math.floor(MAX_READ_AHEAD_BYTES / shape.blockSizeBytes)),
  );
}

type Settled = { readonly bytes: Uint8Array } | { readonly error: unknown };

interface Pending {
  readonly piece: BlockRun;
  /** Set where `piece` is one stored block. Never rejects: a failure waits for its turn. */
  readonly bytes: Promise<Settled> | undefined;
}

/**
 * All of the volume, in order, without a gap. What `readBlock` throws is thrown when that block's turn
 * comes. Throws `internal` where the reader breaks its own contract (a gap between runs, a short block).
 */
export async function* blocksInOrder(reader: BlockReader): AsyncGenerator<VolumePiece, void, void> {
  const { shape } = reader;
  const limit = readAheadBlocks(shape);
  const pieces = singleBlocks(reader);
  const pending: Pending[] = [];
  let ended = false;
  try {
    while (true) {
      while (!ended && pending.length < limit) {
        const next = await pieces.next();
        if (next.done) ended = true;
        else pending.push({ piece: next.value, bytes: readStored(reader, next.value) });
      }
      const head = pending.shift();
      if (!head) return;
      const { piece } = head;
      if (piece.state !== "stored") {
        yield { state: piece.state, firstBlock: piece.firstBlock, blockCount: piece.blockCount };
        continue;
      }
      const settled = await head.bytes!;
      if ("error" in settled) throw settled.error;
      yield { state: "stored", firstBlock: piece.firstBlock, bytes: settled.bytes };
    }
  } finally {
    // Reads still under way end before the caller goes on: it may close the reader next.
    await Promise.all(pending.map((entry) => entry.bytes));
    await pieces.return(undefined);
  }
}

function readStored(reader: BlockReader, piece: BlockRun): Promise<Settled> | undefined {
  if (piece.state !== "stored") return undefined;
  return reader.readBlock(piece.firstBlock).then(
    (bytes) => {
      if (bytes.length === reader.shape.blockSizeBytes) return { bytes };
      return {
        error: new OperatorError(
          "internal",
          `Cannot take block ${piece.firstBlock}: reader gave ${bytes.length} bytes, ` +
            `block size is ${reader.shape.blockSizeBytes}`,
        ),
      };
    },
    (error: unknown) => ({ error }),
  );
}

/** The reader's runs, the stored ones cut into single blocks, checked to cover the volume exactly. */
async function* singleBlocks(reader: BlockReader): AsyncGenerator<BlockRun, void, void> {
  const { blockCount } = reader.shape;
  let next = 0;
  for await (const run of reader.runs()) {
    if (run.firstBlock !== next || run.blockCount < 1 || next + run.blockCount > blockCount) {
      throw new OperatorError(
        "internal",
        `Cannot follow the blocks of the volume: run of ${run.blockCount} starts at block ${run.firstBlock}, ` +
          `expected block ${next} of ${blockCount}`,
      );
    }
    next += run.blockCount;
    if (run.state !== "stored") {
      yield run;
      continue;
    }
    for (let block = run.firstBlock; block < next; block++) {
      yield { state: "stored", firstBlock: block, blockCount: 1 };
    }
  }
  if (next !== blockCount) {
    throw new OperatorError(
      "internal",
      `Cannot follow the blocks of the volume: runs end at block ${next}, expected ${blockCount}`,
    );
  }
}
