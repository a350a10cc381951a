/**
 * What the image tests share: a volume in memory as a `BlockReader`, disks that fail where they are told to,
 * and small seeded contents. No assertions.
 */
import { Buffer } from "node:buffer";
import { setImmediate } from "node:timers/promises";
import type { BlockReader, BlockRun, BlockState, Disk, DiskFile, VolumeShape } from "../../src/model.ts";
import { OperatorError } from "../../src/errors.ts";
import { realDisk } from "../../src/world.ts";
import type { ExportOptions } from "../../src/image/mod.ts";
import { realClock } from "../../src/world.ts";

/** Numbers in [0, 2^32) from a seed (mulberry32): the same on every host. */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)) ^ mixed;
    return (mixed ^ (mixed >>> 14)) >>> 0;
  };
}

/** A shape of any size. The tests' volumes need not be whole GiB: what counts is blocks. */
export function shapeOf(blockCount: number, blockSizeBytes = 512): VolumeShape {
  return { blockSizeBytes, blockCount, volumeSizeGib: Math.ceil(blockCount * blockSizeBytes / 2 ** 30) };
}

/** A volume in memory. `bytes` are its linear bytes: zeros wherever a block is not `stored`. */
export class MemoryReader implements BlockReader {
  readonly shape: VolumeShape;
  readonly states: readonly BlockState[];
  readonly bytes: Uint8Array;
  /** Indexes in the order in which they were asked for. */
  readonly asked: number[] = [];
  inFlight = 0;
  mostInFlight = 0;
  /** Blocks whose bytes no longer match what the store recorded. */
  readonly damaged = new Set<number>();

  constructor(states: readonly BlockState[], options: { blockSizeBytes?: number; seed?: number } = {}) {
    const { blockSizeBytes = 512, seed = 1 } = options;
    this.shape = shapeOf(states.length, blockSizeBytes);
    this.states = states;
    this.bytes = new Uint8Array(states.length * blockSizeBytes);
    const next = seeded(seed);
    states.forEach((state, block) => {
      if (state !== "stored") return;
      for (let at = 0; at < blockSizeBytes; at++) this.bytes[block * blockSizeBytes + at] = next() & 0xff;
    });
  }

  /** A volume with the bytes of an image: all-zero blocks are absent, the others stored. */
  static fromImage(image: Uint8Array, blockSizeBytes = 524_288): MemoryReader {
    const states: BlockState[] = [];
    for (let at = 0; at < image.length; at += blockSizeBytes) {
      const block = image.subarray(at, at + blockSizeBytes);
      states.push(Buffer.compare(block, new Uint8Array(block.length)) === 0 ? "absent" : "stored");
    }
    const reader = new MemoryReader(states.map(() => "absent"), { blockSizeBytes });
    reader.bytes.set(image);
    return Object.assign(reader, { states });
  }

  async *runs(fromBlock = 0): AsyncGenerator<BlockRun> {
    for (let block = fromBlock; block < this.states.length;) {
      const state = this.states[block]!;
      let end = block + 1;
      while (end < this.states.length && this.states[end] === state) end++;
      yield await Promise.resolve({ state, firstBlock: block, blockCount: end - block });
      block = end;
    }
  }

  async readBlock(index: number): Promise<Uint8Array> {
    this.asked.push(index);
    this.inFlight++;
    this.mostInFlight = Math.max(this.mostInFlight, this.inFlight);
    await setImmediate();
    this.inFlight--;
    if (this.states[index] !== "stored" || this.damaged.has(index)) {
      throw new OperatorError("integrity", `Cannot read block ${index}: digest does not match`);
    }
    const size = this.shape.blockSizeBytes;
    return this.bytes.slice(index * size, (index + 1) * size);
  }
}

/** A raw image file as a volume: all-zero blocks are absent, the others are read when asked for. */
export function imageReader(path: string, blockSizeBytes = 524_288): BlockReader {
  const file = realDisk.open(path, "read");
  const block = (index: number): Uint8Array => {
    const bytes = new Uint8Array(blockSizeBytes);
    file.read(bytes, index * blockSizeBytes);
    return bytes;
  };
  const shape = shapeOf(Math.ceil(file.sizeBytes() / blockSizeBytes), blockSizeBytes);
  const zeros = new Uint8Array(blockSizeBytes);
  return {
    shape,
    async *runs(fromBlock = 0) {
      for (let index = fromBlock; index < shape.blockCount; index++) {
        const state: BlockState = Buffer.compare(block(index), zeros) === 0 ? "absent" : "stored";
        yield await Promise.resolve({ state, firstBlock: index, blockCount: 1 });
      }
    },
    readBlock: (index) => Promise.resolve(block(index)),
  };
}

const STATES: readonly BlockState[] = ["stored", "stored", "absent", "zero", "unreadable"];

/** A volume of runs of random states and lengths. */
export function randomReader(seed: number, blockCount: number, blockSizeBytes = 512): MemoryReader {
  const next = seeded(seed);
  const states: BlockState[] = [];
  while (states.length < blockCount) {
    const state = STATES[next() % STATES.length]!;
    for (let left = 1 + next() % 9; left > 0 && states.length < blockCount; left--) states.push(state);
  }
  return new MemoryReader(states, { blockSizeBytes, seed });
}

/** Operations of a disk that change it or make it durable: those at which a run can be cut off. */
export type DiskOperation = "create" | "write" | "truncate" | "sync" | "rename" | "remove" | "syncDirectory";

export interface FailingDisk extends Disk {
  /** All counted operations so far, in order. */
  readonly operations: readonly DiskOperation[];
}

/**
 * The real disk, which counts changing operations and throws `fail(n, operation)` where that gives an error
 * (n counts from 0). As on a real one, a failed sync loses what was written since the last: those bytes
 * are overwritten with noise, though a read may show anything.
 */
export function failingDisk(
  fail: (n: number, operation: DiskOperation) => Error | undefined,
): FailingDisk {
  const operations: DiskOperation[] = [];
  const step = (operation: DiskOperation) => {
    const error = fail(operations.length, operation);
    operations.push(operation);
    if (error) throw error;
  };
  const wrap = (file: DiskFile): DiskFile => {
    let unsynced: { offset: number; length: number }[] = [];
    return {
      read: (into, offset) => file.read(into, offset),
      write(bytes, offset) {
        step("write");
        unsynced.push({ offset, length: bytes.length });
        file.write(bytes, offset);
      },
      async sync() {
        const covered = unsynced;
        unsynced = [];
        await Promise.resolve();
        try {
          step("sync");
        } catch (error) {
          for (const { offset, length } of covered) file.write(new Uint8Array(length).fill(0x99), offset);
          throw error;
        }
        await file.sync();
      },
      truncate(sizeBytes) {
        step("truncate");
        file.truncate(sizeBytes);
      },
      sizeBytes: () => file.sizeBytes(),
      close: () => file.close(),
    };
  };
  return {
    ...realDisk,
    operations,
    open(path, mode) {
      if (mode === "create") step("create");
      return wrap(realDisk.open(path, mode));
    },
    tryLock(path) {
      step("create");
      return realDisk.tryLock(path);
    },
    rename(from, to) {
      step("rename");
      realDisk.rename(from, to);
    },
    remove(path) {
      step("remove");
      realDisk.remove(path);
    },
    async syncDirectory(path) {
      await Promise.resolve();
      step("syncDirectory");
      await realDisk.syncDirectory(path);
    },
  };
}

/** An error as the platform throws it. */
export function platformError(code: string): Error {
  return Object.assign(new Error(`${code}: told to fail`), { code });
}

/** Options of an export that a test does not care about. */
export function exportOptions(more: Partial<ExportOptions> = {}): ExportOptions {
  return {
    disk: realDisk,
    clock: realClock,
    imageDigest: "ab".repeat(32),
    exhibitFacts: [["Snapshot", "snap-0123456789abcdef0"], ["Evidence number", "E-1"]],
    tool: "coldcase 0.1.0",
    ...more,
  };
}

/** Runs `body` with a folder that is gone afterwards. */
export async function withFolder(body: (folder: string) => Promise<void>): Promise<void> {
  const folder = Deno.makeTempDirSync({ prefix: "coldcase-image-" });
  try {
    await body(folder);
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
}

/**
 * Waits for a run on a disk that fails at operation `at`; its error, `undefined` where the run had ended before that: syncs go on
 * beside the writing, and how many there are is not the same each time.
 */
export async function cutOff(
  run: Promise<unknown>,
  { disk, at }: { readonly disk: FailingDisk; readonly at: number },
): Promise<OperatorError | undefined> {
  const error: unknown = await run.then(() => undefined, (error: unknown) => error);
  const isReached = disk.operations.length > at;
  if (error === undefined && !isReached) return undefined;
  if (isReached && error instanceof OperatorError) return error;
  throw new Error(`cut off at ${at} of ${disk.operations.length}: ${error}`, { cause: error });
}
