/**
 * Compares the blocks that segments call unreadable with the side document that says why, while verify walks
 * over the segments in order. Only the first difference is told: others follow from it.
 */
import type { UnreadableDocument } from "../format/documents.ts";
import type { Segment } from "../format/segment.ts";
import type { BlockState } from "../model.ts";

export class UnreadableComparison {
  readonly #entries: UnreadableDocument["entries"];
  #at = 0;

  /** @param entries Ascending, not overlapping. */
  constructor(entries: UnreadableDocument["entries"]) {
    this.#entries = entries;
  }

  /** How the segment that starts at `firstBlock` differs; `undefined` where it does not. Ascending calls. */
  differenceIn(segment: Segment, firstBlock: number): string | undefined {
    for (let position = 0; position < segment.length; position++) {
      const { state } = segment[position]!;
      const index = firstBlock + position;
      const isListed = this.#lists(index, state);
      if (isListed === (state === "unreadable")) continue;
      return isListed
        ? `Block ${index} is ${state}, the list of unreadable blocks names it`
        : `Block ${index} is unreadable, the list of unreadable blocks does not name it`;
    }
    return undefined;
  }

  /** Whether no block of the range is listed: what has no unreadable block then need not be looked through. */
  listsNone(range: { readonly firstBlock: number; readonly blockCount: number }): boolean {
    let at = this.#at;
    for (let entry = this.#entries[at]; entry; entry = this.#entries[++at]) {
      if (entry.first.block + entry.blocks > range.firstBlock) {
        return entry.first.block >= range.firstBlock + range.blockCount;
      }
    }
    return true;
  }

  #lists(index: number, state: BlockState): boolean {
    for (let entry = this.#entries[this.#at]; entry; entry = this.#entries[++this.#at]) {
      const end = entry.first.block + entry.blocks;
      if (index >= end) continue;
      // Of a range that was left out the first and the last block are unreadable, and in between those that are.
      const isBetween = index > entry.first.block && index < end - 1;
      if (entry.first.reason === "left_out" && isBetween) return state === "unreadable";
      return index >= entry.first.block;
    }
    return false;
  }
}
