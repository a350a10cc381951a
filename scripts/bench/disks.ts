/**
 * Which disks are measured, and whether they have the room: a benchmark must not fill a disk, nor the memory
 * that a tmpfs is. Makes no files.
 */
import { statfsSync } from "node:fs";
import { BadArguments, type BenchArguments } from "./arguments.ts";
import { type Mount, mountOf } from "./machine.ts";

const GIB = 2 ** 30;

/** Of the size of a set, at most at once: a store, its copy with as much again, an image, another build's store. */
const WORK_SHARES = 5;
/** The first disk also holds the data: image, blocks, and the blocks of later snapshots. */
const DATA_SHARES = 3.2;
/** A tmpfs is memory that the programs under test need, too. */
const MAX_TMPFS_BYTES = 6 * GIB;

/** Where temporary files go, unless the system says otherwise. */
function temporaryFolder(): string {
  return Deno.env.get("TMPDIR") ?? "/tmp";
}

/** The folders to work in, the first with the data. Throws `BadArguments` where one has no room. */
export function disksToMeasure(args: Pick<BenchArguments, "disks" | "sizeGib">): string[] {
  const disks = args.disks ?? defaultDisks(args.sizeGib);
  for (const [position, disk] of disks.entries()) {
    const reason = reasonAgainst(disk, args.sizeGib, position === 0);
    if (reason !== undefined) throw new BadArguments(`Cannot measure on "${disk}": ${reason}`);
  }
  return [...disks];
}

function defaultDisks(sizeGib: number): string[] {
  const first = temporaryFolder();
  const memory = "/dev/shm";
  const isOther = mountFound(memory)?.fileSystem === "tmpfs" && mountOf(first).mountPoint !== memory;
  return isOther && reasonAgainst(memory, sizeGib, false) === undefined ? [first, memory] : [first];
}

function mountFound(folder: string): Mount | undefined {
  try {
    return mountOf(folder);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

/** Undefined: it has room. */
function reasonAgainst(disk: string, sizeGib: number, holdsData: boolean): string | undefined {
  const mount = mountFound(disk);
  if (mount === undefined) return "there is no such folder";
  const needed = sizeGib * GIB * (WORK_SHARES + (holdsData ? DATA_SHARES : 0));
  const { bavail, bsize } = statfsSync(disk);
  if (needed > bavail * bsize) {
    return `it has ${inGib(bavail * bsize)} free, ${inGib(needed)} are needed`;
  }
  if (mount.fileSystem === "tmpfs" && needed > MAX_TMPFS_BYTES) {
    return `it is memory, of which ${inGib(needed)} would be used, at most ${inGib(MAX_TMPFS_BYTES)} are`;
  }
  return undefined;
}

function inGib(bytes: number): string {
  return `${(bytes / GIB).toFixed(1)} GiB`;
}
