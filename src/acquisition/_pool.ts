/**
 * Works on the items of a stream, a bounded number at once. The stream is asked for the next item only when
 * there is room, so whoever makes the items is held back too.
 */

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
