/**
 * Reads an exhibit as a program would that shows it as a disk: through its `BlockReader`, at random or in order, with
 * each block's digest checked. No command of coldcase does that yet, so the benchmark has this one.
 *
 * reader.ts STORE SNAPSHOT random|sequential: reads 4,096 times 4 KiB at random, or all of the volume in order; prints
 * how many bytes it has read.
 */
import { blocksInOrder } from "../../src/image/blocks.ts";
import { VolumeBytes } from "../../src/image/volume_bytes.ts";
import type { BlockReader } from "../../src/model.ts";
import { openStore } from "../../src/store/mod.ts";
import { realWorld } from "../../src/world.ts";

export const RANDOM_READS = 4096;
export const RANDOM_READ_BYTES = 4096;

async function readAtRandom(reader: BlockReader): Promise<number> {
  const volume = new VolumeBytes(reader);
  const places = Math.floor(volume.sizeBytes / RANDOM_READ_BYTES);
  let read = 0;
  // The same places in each run: a generator of full period (Numerical Recipes' constants).
  for (let count = 0, state = 1; count < RANDOM_READS; count++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    const place = Math.floor((state / 2 ** 32) * places);
    const bytes = await volume.read(place * RANDOM_READ_BYTES, RANDOM_READ_BYTES);
    if (bytes === undefined) throw new Error(`Cannot read at ${place * RANDOM_READ_BYTES}`);
    read += bytes.length;
  }
  return read;
}

async function readInOrder(reader: BlockReader): Promise<number> {
  const { blockSizeBytes } = reader.shape;
  let read = 0;
  for await (const piece of blocksInOrder(reader)) {
    read += piece.state === "stored" ? piece.bytes.length : piece.blockCount * blockSizeBytes;
  }
  return read;
}

if (import.meta.main) {
  const [folder, snapshot, order] = Deno.args;
  if (folder === undefined || snapshot === undefined || (order !== "random" && order !== "sequential")) {
    throw new Error("usage: reader.ts STORE SNAPSHOT random|sequential");
  }
  const world = realWorld();
  const workers = Math.max(1, world.host.cpuCount - 1);
  const store = await openStore(world, folder, { workers });
  try {
    const exhibit = await store.find(snapshot);
    const read = await (order === "random" ? readAtRandom(exhibit) : readInOrder(exhibit));
    // deno-lint-ignore no-console -- the program's result
    console.log(`${read} bytes read`);
  } finally {
    store.close();
  }
}
