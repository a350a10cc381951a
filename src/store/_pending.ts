/**
 * What was put into an acquisition and is not recorded yet: blocks, where those are held that needed no room in the
 * open pack, and why some could not be read. In memory only; a kill costs exactly this.
 */
import type { UnreadableEntry } from "../format/documents.ts";
import type { RecordedBlock } from "../format/journal.ts";
import type { SegmentBlock } from "../format/segment.ts";
import { type ObjectName, SEGMENT_BLOCKS, type StoredObject } from "../model.ts";

export class Pending {
  readonly #blocks = new Map<number, SegmentBlock>();
  /** Packs that hold blocks already; one that is not here is in the open pack. */
  readonly #heldIn = new Map<number, StoredObject>();
  readonly #unreadable = new Map<number, UnreadableEntry>();
  /** When the first of them was put. */
  readonly sinceMs: number;

  constructor(sinceMs: number) {
    this.sinceMs = sinceMs;
  }

  get size(): number {
    return this.#blocks.size;
  }

  /** Entries of blocks that could not be read, in the order of their trying. */
  get unreadable(): UnreadableEntry[] {
    return [...this.#unreadable.values()];
  }

  isUnreadable(index: number): boolean {
    return this.#unreadable.has(index);
  }

  /** Packs that hold blocks and were there before. */
  get heldIn(): StoredObject[] {
    return [...new Map([...this.#heldIn.values()].map((pack) => [pack.name, pack])).values()];
  }

  /** Segments with a block, each once. */
  get segments(): number[] {
    return [...new Set([...this.#blocks.keys()].map((index) => Math.floor(index / SEGMENT_BLOCKS)))];
  }

  /** `undefined` where nothing was put of it. */
  get(index: number): SegmentBlock | undefined {
    return this.#blocks.get(index);
  }

  /** @param heldIn The pack that holds a stored block; `undefined`: the open one. */
  note(index: number, block: SegmentBlock, heldIn?: StoredObject): void {
    this.#blocks.set(index, block);
    this.#unreadable.delete(index);
    if (heldIn) this.#heldIn.set(index, heldIn);
    else this.#heldIn.delete(index);
  }

  /** Something else was put of the block, elsewhere. */
  forget(index: number): void {
    this.#blocks.delete(index);
    this.#unreadable.delete(index);
    this.#heldIn.delete(index);
  }

  noteUnreadable(entry: UnreadableEntry): void {
    this.note(entry.block, { state: "unreadable" });
    this.#unreadable.set(entry.block, entry);
  }

  /**
   * The blocks as slots record them.
   *
   * @param numberOf The number of a pack in the journal; `undefined`: of the one that was open.
   */
  numbered(numberOf: (pack: ObjectName | undefined) => number): Map<number, RecordedBlock> {
    const recorded = new Map<number, RecordedBlock>();
    for (const [index, block] of this.#blocks) {
      const slot = block.state === "stored"
        ? { ...block, packNumber: numberOf(this.#heldIn.get(index)?.name) }
        : block;
      recorded.set(index, slot);
    }
    return recorded;
  }
}
