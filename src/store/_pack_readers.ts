/**
 * Where packs are read and checked: in this thread, or in worker threads. What is asked of both is the same, and is done
 * by the same code (`_pack_reading.ts`).
 */
import type { LocalStorage } from "./_local_storage.ts";
import type { PackCheck, PackToCheck } from "./_pack_check.ts";
import { PackReading, type RecordToRead } from "./_pack_reading.ts";
import type { Threads } from "./_threads.ts";

export interface PackReaders {
  /** So many packs are worth checking at once. */
  readonly count: number;
  /** The block of a record, its digest checked; the caller owns it. Throws `integrity`, `format`, `storage`. */
  read(record: RecordToRead): Promise<Uint8Array>;
  /** Throws what is no finding: `storage`. */
  check(pack: PackToCheck): Promise<PackCheck>;
  close(): void;
}

/** In this thread, at once. */
export function inlineReaders(storage: LocalStorage): PackReaders {
  const reading = new PackReading(storage);
  return {
    count: 1,
    // deno-lint-ignore require-await -- a failure must reject, not throw
    read: async (record) => reading.read(record),
    // deno-lint-ignore require-await -- as above
    check: async (pack) => reading.check(pack),
    close: () => reading.close(),
  };
}

/** In worker threads, which are closed with it: what is asked goes to whichever has least to do. */
export function workerReaders(threads: Threads): PackReaders {
  return {
    // One more waits for each: a thread that is done with its own has the next at hand.
    count: 2 * threads.count,
    read: (record) => threads.idlest.ask({ type: "read", record }),
    check: (pack) => threads.idlest.ask({ type: "check", pack }),
    close: () => threads.close(),
  };
}
