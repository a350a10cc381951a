/**
 * Two snapshots of one volume with every kind of difference between them, and the second one acquired where
 * nothing may be taken over.
 */
import { assertEquals } from "@std/assert";
import type { Store } from "../../src/store/mod.ts";
import { type FakeSnapshot, FakeSource, FIRST, SECOND, type Table } from "./fake_source.ts";
import { acquire, type Acquired, ascending, type Changes, tableOf } from "./runs.ts";

/** 64 KiB a block: 16,384 blocks, one segment, a GiB. */
export const BLOCK = 64 * 1024;
export const BEFORE: Table = {
  0: 11,
  1: 0,
  2: 12,
  5: 11,
  6: 0,
  20_000: 13,
  20_001: 14,
  40_000: 15,
  65_535: 16,
};
/** 2 changed, 5 removed, 6 no zeros any more, 7 new, 8 new zeros, 20,001 zeros now. */
export const AFTER: Table = {
  0: 11,
  1: 0,
  2: 99,
  6: 98,
  7: 97,
  8: 0,
  20_000: 13,
  20_001: 0,
  40_000: 15,
  65_535: 16,
};
export const CHANGED = [2, 6, 7, 8, 20_001];

export function volume(blocks: Table, rest: Partial<FakeSnapshot> = {}): FakeSnapshot {
  return { blocks, volumeSizeGib: 4, blockSizeBytes: BLOCK, ...rest };
}

export function twoSnapshots(): FakeSource {
  return new FakeSource({ [FIRST]: volume(BEFORE), [SECOND]: volume(AFTER) });
}

/** Acquires the second snapshot where nothing may be taken over; gives what the record says. */
export async function acquireInFull(
  store: Store,
  source: FakeSource,
  changes: Changes = {},
): Promise<Acquired> {
  source.fetched.length = 0;
  const acquired = await acquire(store, source, SECOND, changes);
  const { manifest } = acquired.exhibit;
  assertEquals(ascending(source.fetched), Object.keys(AFTER).map(Number));
  assertEquals(await tableOf(acquired.exhibit), AFTER);
  assertEquals([manifest.parent, manifest.acquisition.takenOverBlocks], [null, 0]);
  return acquired;
}

/** Why the exhibit is built on nothing. */
export function droppedReason({ exhibit }: Acquired): string {
  return exhibit.manifest.acquisition.parentDropped ?? "nothing dropped";
}
