/**
 * Where packs are made and written: in this thread, or in worker threads. What is asked of both is the same, so that
 * whoever puts blocks into packs reads the same with no worker or eight.
 */
import type { BlockBuffers } from "../buffers.ts";
import type { Disk } from "../model.ts";
import type { PackBlock } from "./_pack_encoder.ts";
import { type ClosedPack, PackFile, type PackPlace } from "./_pack_file.ts";
import { ownedBuffer, type Thread, type Threads } from "./_threads.ts";

/** Makes and writes one pack. Blocks are written in the order of `add`. */
export interface Packer {
  /** Appends a block, whose bytes belong to the packer from now on. Gives the size of the file when it is written. */
  add(block: PackBlock): Promise<number>;
  /** Writes the rest and makes the file durable. No `add` after it. */
  close(): Promise<ClosedPack>;
  /** Gives an unfinished pack up, once or more; its file is left. */
  abandon(): void;
}

/** Makes packers; `count` of them are worth having at once. */
export interface Packers {
  readonly count: number;
  /** Get the bytes of each block back when they are not needed any more; `undefined`: nobody wants them. */
  readonly buffers: BlockBuffers | undefined;
  /** @param position Below `count`: the thread that it works in. */
  start(position: number, place: PackPlace): Packer;
  close(): void;
}

/** In this thread, at once. */
export function inlinePackers(disk: Disk, buffers?: BlockBuffers): Packers {
  return {
    count: 1,
    buffers,
    start(_, place) {
      const file = new PackFile(disk, place);
      return {
        // deno-lint-ignore require-await -- a failure must reject, not throw
        add: async (block) => {
          const sizeBytes = file.add(block);
          buffers?.giveBack(block.bytes);
          return sizeBytes;
        },
        close: () => file.close(),
        abandon: () => file.abandon(),
      };
    },
    close: () => undefined,
  };
}

/** In worker threads, which are closed with it. */
export function workerPackers(threads: Threads, buffers?: BlockBuffers): Packers {
  let packs = 0;
  return {
    count: threads.count,
    buffers,
    start: (position, place) => startIn(threads.at(position), { pack: packs++, place, buffers }),
    close: () => threads.close(),
  };
}

function startIn(
  thread: Thread,
  { pack, place, buffers }: {
    readonly pack: number;
    readonly place: PackPlace;
    readonly buffers: BlockBuffers | undefined;
  },
): Packer {
  const started = thread.ask({ type: "start", pack, place });
  // Whoever adds or closes is told.
  started.catch(() => undefined);
  return {
    add: async (block) => {
      const added = thread.ask({ type: "add", pack, block }, ownedBuffer(block.bytes));
      // All are waited for at once: one that fails must not leave another unheard.
      const [, { sizeBytes, bytes }] = await Promise.all([started, added]);
      buffers?.giveBack(bytes);
      return sizeBytes;
    },
    close: () => thread.ask({ type: "close", pack }),
    abandon: () => {
      // Only a thread that is lost refuses, and then there is nothing left to give up.
      thread.ask({ type: "abandon", pack }).catch(() => undefined);
    },
  };
}
