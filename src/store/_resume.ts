/**
 * Brings what a journal's log told into line with its block map and with the packs that there are, before an
 * acquisition goes on. A slot that nothing backs is emptied: better fetched again than missing at the end.
 * Block map and packs are what is held; the log may have lost its last lines, or come without its packs.
 *
 * @see store-format.md, "Order of writes"
 */
import { SEGMENT_BLOCKS } from "../model.ts";
import type { Journal } from "./_journal.ts";
import type { LocalStorage } from "./_local_storage.ts";
import type { Progress } from "./_progress.ts";

/** What is resumed. */
export interface Resumed {
  readonly storage: LocalStorage;
  readonly journal: Journal;
  readonly progress: Progress;
  /** True: the log ended in what a crash, or damage, left of a line. */
  readonly isCut: boolean;
}

export async function reconcile(resumed: Resumed): Promise<void> {
  const { journal, progress } = resumed;
  const { touched, packCount } = journal.scanSlots();
  // A log that lost whole lines at its end, or whose torn tail was cut off by a session that came no further.
  const isLacking = packCount > progress.packs.length ||
    touched.some((segment) => !progress.segments.has(segment));
  // A segment with slots is never taken over whole from a parent, whatever the log says of it.
  for (const segment of touched) progress.segments.add(segment);
  // The log tells of blocks that a later session could read, and of some whose slot was never written.
  for (const index of progress.unreadable.keys()) {
    if (journal.recorded(index)?.state !== "unreadable") progress.unreadable.delete(index);
  }
  const isMissing = await dropMissingPacks(resumed);
  // Where the log is whole and its packs are there, a slot has its pack: that was durable before it.
  if (isMissing || resumed.isCut || isLacking) await emptySlotsWithoutPack(resumed, touched);
}

/** A journal may have come without some of its packs (copied by hand, quarantined). */
async function dropMissingPacks({ storage, progress }: Resumed): Promise<boolean> {
  let isMissing = false;
  for (const [number, { name, sizeBytes }] of progress.packs.entries()) {
    if ((await storage.stat(name))?.sizeBytes === sizeBytes) continue;
    progress.dropPack(number);
    isMissing = true;
  }
  return isMissing;
}

async function emptySlotsWithoutPack(
  { journal, progress }: Resumed,
  touched: readonly number[],
): Promise<void> {
  for (const segment of touched) {
    const first = segment * SEGMENT_BLOCKS;
    const end = Math.min(first + SEGMENT_BLOCKS, journal.head.volume.blockCount);
    const lost: number[] = [];
    for (let index = first; index < end; index++) {
      const block = journal.recorded(index);
      if (block?.state === "stored" && progress.packs[block.packNumber]?.isMissing !== false) {
        lost.push(index);
      }
    }
    if (lost.length > 0) await journal.eraseSlots(lost);
  }
}
