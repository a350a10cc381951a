/**
 * Works on the items of a stream, a bounded number at once. The stream is asked for the next item only when
 * there is room, so whoever makes the items is held back too.
 */
import type { VolumeShape } from "../model.ts";
import { MIB } from "../units.ts";

/** Bytes of blocks under way at the most (design: memory is bounded). */
const MAX_BYTES_UNDER_WAY = 64 * MIB;

/** How many blocks may be under way at once: at most `wanted`, at least one. */
export function blocksUnderWay(wanted: number, { blockSizeBytes }: VolumeShape): number {
  return Math.max(1, Math.min(wanted, Math.floor(MAX_BYTES_UNDER_WAY / blockSizeBytes)));
}

/**
 * Resolves when all items are done. The first failure aborts the work under way, waits for it to end, and is
 * thrown.
 *
 * @param work Gets a signal that aborts when the caller's does or another item fails.
 */
export async function forEachConcurrently<T>(
  items: AsyncIterable<T>,
  options: { readonly limit: number; readonly signal: AbortSignal },
  work: (item: T, signal: AbortSignal) => Promise<void>,
): Promise<void> {
  const failing = new AbortController();
  const signal = AbortSignal.any([options.signal, failing.signal]);
  const running = new Set<Promise<void>>();
  let failure: { readonly error: unknown } | undefined;
  let wake: () => void = () => {};
  const fail = (error: unknown) => {
    failure ??= { error };
    failing.abort(failure.error);
  };
  try {
    for await (const item of items) {
      // Work may have failed while the next item was made: none is begun after that.
      if (failure) break;
      const task: Promise<void> = work(item, signal).catch(fail).finally(() => {
        running.delete(task);
        wake();
      });
      running.add(task);
      while (running.size >= options.limit && !failure) await new Promise<void>((resolve) => wake = resolve);
      if (failure) break;
    }
  } catch (error) {
    fail(error);
  }
  await Promise.all(running);
  if (failure) throw failure.error;
}
