/**
 * One pass over a volume: each block to the target and into the digests, holes as holes, and what to do where it ends
 * early. Which target and which digests is raw.ts's business.
 */
import { OperatorError } from "../errors.ts";
import type { BlockReader, BlockState } from "../model.ts";
import { blocksInOrder, volumeSizeBytes } from "./blocks.ts";
import type { DigestName } from "./digests.ts";
import { diskFailure } from "./failures.ts";
import { trailerBytes } from "./file_set.ts";
import { type FinishedDigests, ImageDigests } from "./image_digests.ts";
import { RangeList } from "./ranges.ts";
import type { ExportOptions, ExportResult } from "./raw.ts";
import { Steps } from "./steps.ts";
import { ClosedStream } from "./stream_target.ts";
import { HOLE_PIECE_BYTES, type ImageTarget } from "./target.ts";
import type { WindowLogs } from "./window_log.ts";

export interface WriteOptions extends ExportOptions {
  readonly digests: readonly DigestName[];
  readonly windows: WindowLogs | undefined;
}

/** What a pass gives; of a stream that was closed early no digests. */
export type Written =
  & Pick<
    ExportResult,
    | "storedBlocks"
    | "zeroBlocks"
    | "absentBlocks"
    | "unreadableBlocks"
    | "unreadableRanges"
    | "unreadableRangeCount"
    | "isClosedEarly"
  >
  & FinishedDigests;

/** Writes all of it. Throws what the reader and the target throw, with a hint how to go on; `interrupted`. */
export async function writeVolume(
  reader: BlockReader,
  target: ImageTarget,
  options: WriteOptions,
): Promise<Written> {
  const trailer = trailerBytes({ ...options, reader }, target.path ?? "standard output");
  const digests = new ImageDigests({
    // An E01 holds these two, if any.
    names: options.ewf && options.digests.length > 0 ? [...options.digests, "md5", "sha1"] : options.digests,
    threads: options.threads,
    pieceBytes: options.ewf ? undefined : options.splitBytes,
    windows: options.windows,
    trailer,
  });
  try {
    return await writeAll(reader, target, { ...options, digests, trailer });
  } finally {
    digests.close();
  }
}

async function writeAll(
  reader: BlockReader,
  target: ImageTarget,
  options: Omit<WriteOptions, "digests"> & {
    readonly digests: ImageDigests;
    readonly trailer: Uint8Array | undefined;
  },
): Promise<Written> {
  const { digests, trailer } = options;
  const { blockSizeBytes } = reader.shape;
  const blocks: Record<BlockState, number> = { absent: 0, zero: 0, stored: 0, unreadable: 0 };
  const unreadable = new RangeList();
  const steps = new Steps(volumeSizeBytes(reader.shape), { ...options, action: "finish the image" });
  let isClosedEarly = false;
  try {
    await steps.done(0);
    for await (const piece of blocksInOrder(reader)) {
      const offset = piece.firstBlock * blockSizeBytes;
      target.announce(piece);
      if (piece.state === "stored") {
        blocks.stored++;
        await Promise.all([target.write(piece.bytes, offset), digests.update(piece.bytes)]);
        await steps.done(piece.bytes.length);
        continue;
      }
      const lengthBytes = piece.blockCount * blockSizeBytes;
      blocks[piece.state] += piece.blockCount;
      if (piece.state === "unreadable") unreadable.add({ offsetBytes: offset, lengthBytes });
      await writeHole({ offset, lengthBytes }, { target, digests, steps });
    }
    // A file's is written when it is sealed, a stream has no later.
    if (trailer && target.kind === "stream") await target.write(trailer, volumeSizeBytes(reader.shape));
    await target.save();
  } catch (error) {
    if (error instanceof ClosedStream) isClosedEarly = true;
    else throw await saved(target, error);
  }
  return {
    ...(isClosedEarly ? { digests: {}, wholeFileDigests: {}, pieces: [] } : await digests.finish()),
    storedBlocks: blocks.stored,
    zeroBlocks: blocks.zero,
    absentBlocks: blocks.absent,
    unreadableBlocks: blocks.unreadable,
    unreadableRanges: unreadable.listed,
    unreadableRangeCount: unreadable.count,
    isClosedEarly,
  };
}

async function writeHole(
  hole: { readonly offset: number; readonly lengthBytes: number },
  way: { readonly target: ImageTarget; readonly digests: ImageDigests; readonly steps: Steps },
): Promise<void> {
  const { target, digests, steps } = way;
  for (let done = 0; done < hole.lengthBytes;) {
    const offset = hole.offset + done;
    const isFree = digests.isEmpty && target.isHoleFree(offset);
    const left = hole.lengthBytes - done;
    const lengthBytes = isFree ? left : Math.min(HOLE_PIECE_BYTES, left);
    await Promise.all([target.writeHole(lengthBytes, offset), digests.updateZeros(lengthBytes)]);
    await steps.done(lengthBytes);
    done += lengthBytes;
  }
}

/** Keeps what was written before `error`, and says in its hints how to go on. */
async function saved(target: ImageTarget, error: unknown): Promise<unknown> {
  if (target.kind !== "file") return error;
  const isDamage = error instanceof OperatorError && error.code === "integrity";
  let hint = isDamage
    ? "What was written is kept: once the store is repaired, the same command carries on."
    : "What was written is kept: run the same command again to carry on.";
  try {
    await target.save();
  } catch (failure) {
    const known = diskFailure("save image", target.path ?? "", failure);
    // The disk itself failed, and said so already.
    if (error instanceof OperatorError && known.cause === error.cause) return error;
    hint = `The last part could not be saved (${known.message}): run the same command again to carry on.`;
  }
  if (!(error instanceof OperatorError)) return error;
  return new OperatorError(error.code, error.message, {
    hints: [...error.hints, hint],
    facts: error.facts,
    cause: error.cause,
  });
}
