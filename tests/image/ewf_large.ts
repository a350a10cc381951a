/**
 * A volume that is mostly holes, of any size: few stored blocks by formula, and some that could not be read. For E01 images
 * larger than anybody wants to write in full.
 */
import type { BlockReader, BlockRun } from "../../src/model.ts";
import { seeded, shapeOf } from "./fakes.ts";

const BLOCK_BYTES = 524_288;
const GIB = 2 ** 30;

export interface SparseVolume extends BlockReader {
  /** Its bytes at `offset`, inside one block. */
  bytesAt(offset: number, lengthBytes: number): Uint8Array;
}

/** @param runs Those that are not absent, ascending. */
export function sparseVolume(sizeGib: number, runs: readonly BlockRun[]): SparseVolume {
  const blockCount = sizeGib * GIB / BLOCK_BYTES;
  const stateOf = (block: number) =>
    runs.find(({ firstBlock, blockCount }) => block >= firstBlock && block < firstBlock + blockCount)?.state;
  return {
    shape: shapeOf(blockCount, BLOCK_BYTES),
    async *runs(fromBlock = 0) {
      let next = fromBlock;
      for (const run of runs) {
        const end = run.firstBlock + run.blockCount;
        if (end <= next) continue;
        if (run.firstBlock > next) {
          yield { state: "absent", firstBlock: next, blockCount: run.firstBlock - next };
          next = run.firstBlock;
        }
        yield await Promise.resolve({ state: run.state, firstBlock: next, blockCount: end - next });
        next = end;
      }
      if (next < blockCount) yield { state: "absent", firstBlock: next, blockCount: blockCount - next };
    },
    readBlock: (block) => Promise.resolve(bytesOf(block)),
    bytesAt(offset, lengthBytes) {
      const block = Math.floor(offset / BLOCK_BYTES);
      if (stateOf(block) !== "stored") return new Uint8Array(lengthBytes);
      return bytesOf(block).slice(offset % BLOCK_BYTES, offset % BLOCK_BYTES + lengthBytes);
    },
  };
}

/** Random, but for each second block, which is half of text. */
function bytesOf(block: number): Uint8Array {
  const words = new Uint32Array(BLOCK_BYTES / 4);
  const next = seeded(block + 1);
  for (let at = 0; at < words.length; at++) words[at] = next();
  const bytes = new Uint8Array(words.buffer);
  if (block % 2 === 1) bytes.fill(0x41, 0, BLOCK_BYTES / 2);
  return bytes;
}
