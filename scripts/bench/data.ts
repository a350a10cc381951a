/**
 * Makes the disks to acquire: random, half zero and text-like ones by formula, so that each machine has the same
 * bytes, and a real ext4 of the machine's own files. Then lays them out as blocks, a file each, for a server of
 * static files. Knows nothing of that server.
 */
import { Buffer } from "node:buffer";
import { createCipheriv, createHash } from "node:crypto";
import { toolPath } from "./programs.ts";

export const BLOCK_BYTES = 512 * 1024;
const BLOCKS_PER_GIB = 2048;

export const SET_NAMES = ["random", "half-zero", "text", "ext4"] as const;
export type SetName = (typeof SET_NAMES)[number];

/** Shares of the random set's blocks that differ in a later snapshot, in percent. */
export const CHANGE_PERCENTS = [0, 1, 10, 100] as const;

/** A block of a snapshot. */
export interface LaidOutBlock {
  readonly index: number;
  /** Base64, as the service declares it. */
  readonly checksum: string;
}

/** A later snapshot of the same volume. */
export interface Change {
  readonly percent: number;
  readonly snapshot: string;
  /** Those that differ. */
  readonly blocks: readonly LaidOutBlock[];
}

/** A disk, as an image and as files of blocks: `folder`/`snapshot`/blocks/INDEX. */
export interface DataSet {
  readonly name: SetName;
  readonly snapshot: string;
  readonly folder: string;
  readonly sizeGib: number;
  /** Sparse where it has holes. */
  readonly image: string;
  /** Hex. */
  readonly imageSha256: string;
  /** Ascending; blocks of zeros alone are not among them: they were never written. */
  readonly blocks: readonly LaidOutBlock[];
  readonly changes: readonly Change[];
}

/** Endless bytes that no compression makes smaller, always the same for a seed. */
export class RandomBytes {
  readonly #cipher;

  constructor(seed: string) {
    const key = createHash("sha256").update(`coldcase bench ${seed}`).digest();
    this.#cipher = createCipheriv("aes-256-ctr", key, Buffer.alloc(16));
  }

  next(length: number): Buffer {
    return this.#cipher.update(Buffer.alloc(length));
  }
}

/**
 * Text as far as a compressor can tell: 4,096 made-up words, as frequent as words are (Zipf), in lines of some 12.
 */
export class TextBytes {
  readonly #random: RandomBytes;
  readonly #words: readonly Buffer[];
  /** Word by 16 random bits. */
  readonly #byChance: Uint16Array;

  constructor(seed: string) {
    this.#random = new RandomBytes(seed);
    const letters = "etaoinshrdlcumwfgypbvk";
    this.#words = Array.from({ length: 4096 }, (_, rank) => {
      // Frequent words are short.
      const length = 2 + Math.floor(Math.log2(rank + 1) / 2) + this.#random.next(1)[0]! % 4;
      const picked = [...this.#random.next(length)].map((byte) => letters[byte % letters.length]!);
      return Buffer.from(`${picked.join("")} `);
    });
    this.#byChance = zipf(this.#words.length);
  }

  next(length: number): Buffer {
    const text = Buffer.allocUnsafe(length);
    const chance = new Uint16Array(new Uint8Array(this.#random.next(length)).buffer);
    let at = 0;
    for (let word = 0; at < length; word++) {
      const bytes = this.#words[this.#byChance[chance[word]!]!]!;
      for (let i = 0; i < bytes.length && at < length; i++) text[at++] = bytes[i]!;
      if (word % 12 === 11) text[at - 1] = 0x0a;
    }
    return text;
  }
}

/** 65,536 chances for `count` words: the n-th as frequent as 1/n. */
function zipf(count: number): Uint16Array {
  const weights = Array.from({ length: count }, (_, rank) => 1 / (rank + 1));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  const table = new Uint16Array(65_536);
  let sum = 0;
  let from = 0;
  for (const [rank, weight] of weights.entries()) {
    sum += weight;
    const to = rank === count - 1 ? table.length : Math.round(sum / total * table.length);
    table.fill(rank, from, to);
    from = to;
  }
  return table;
}

/** Gives one block's bytes after the other. */
function blockMaker(name: Exclude<SetName, "ext4">): () => Uint8Array {
  const random = new RandomBytes(name);
  if (name === "random") return () => random.next(BLOCK_BYTES);
  if (name === "half-zero") {
    return () => Buffer.concat([random.next(BLOCK_BYTES / 2), Buffer.alloc(BLOCK_BYTES / 2)]);
  }
  const text = new TextBytes(name);
  return () => text.next(BLOCK_BYTES);
}

/** Why a set can't be made on this machine; undefined: it can. */
export function reasonAgainst(name: SetName): string | undefined {
  return name === "ext4" && toolPath("mkfs.ext4") === undefined ? "needs mkfs.ext4 (e2fsprogs)" : undefined;
}

/** Makes a set in `folder`, with its later snapshots where they are wanted. */
export async function makeSet(
  name: SetName,
  place: { readonly folder: string; readonly sizeGib: number; readonly withChanges: boolean },
): Promise<DataSet> {
  const { folder, sizeGib } = place;
  const snapshot = `snap-0000000000000be${SET_NAMES.indexOf(name)}0`;
  const image = `${folder}/${name}.img`;
  Deno.mkdirSync(folder, { recursive: true });
  if (name === "ext4") await makeExt4(image, folder, sizeGib);
  else makeImage(image, sizeGib * BLOCKS_PER_GIB, blockMaker(name));
  const { blocks, imageSha256 } = layOutImage(image, `${folder}/${snapshot}/blocks`);
  const set = { name, snapshot, folder, sizeGib, image, imageSha256, blocks };
  const changes = place.withChanges ? CHANGE_PERCENTS.map((percent) => layOutChange(set, percent)) : [];
  return { ...set, changes };
}

function makeImage(image: string, blockCount: number, next: () => Uint8Array): void {
  using file = Deno.openSync(image, { write: true, createNew: true });
  for (let index = 0; index < blockCount; index++) writeAll(file, next());
}

function writeAll(file: Deno.FsFile, bytes: Uint8Array): void {
  for (let done = 0; done < bytes.length;) done += file.writeSync(bytes.subarray(done));
}

/** Cuts an image into files of blocks. */
function layOutImage(image: string, folder: string): { blocks: LaidOutBlock[]; imageSha256: string } {
  Deno.mkdirSync(folder, { recursive: true });
  const whole = createHash("sha256");
  const zeros = Buffer.alloc(BLOCK_BYTES);
  const block = Buffer.alloc(BLOCK_BYTES);
  const blocks: LaidOutBlock[] = [];
  using file = Deno.openSync(image);
  const blockCount = Deno.statSync(image).size / BLOCK_BYTES;
  for (let index = 0; index < blockCount; index++) {
    for (let done = 0; done < BLOCK_BYTES;) done += file.readSync(block.subarray(done)) ?? BLOCK_BYTES;
    whole.update(block);
    if (Buffer.compare(block, zeros) !== 0) blocks.push(layOutBlock(folder, index, block));
  }
  return { blocks, imageSha256: whole.digest("hex") };
}

function layOutBlock(folder: string, index: number, bytes: Uint8Array): LaidOutBlock {
  Deno.writeFileSync(`${folder}/${index}`, bytes);
  return { index, checksum: createHash("sha256").update(bytes).digest("base64") };
}

/** A later snapshot in which every so-many-th block has other random bytes. */
function layOutChange(set: Omit<DataSet, "changes">, percent: number): Change {
  const snapshot = `snap-0000000000000c${String(percent).padStart(3, "0")}`;
  const folder = `${set.folder}/${snapshot}/blocks`;
  Deno.mkdirSync(folder, { recursive: true });
  const random = new RandomBytes(`change ${percent}`);
  const blocks = changedIndexes(set.blocks.map(({ index }) => index), percent).map((index) =>
    layOutBlock(folder, index, random.next(BLOCK_BYTES))
  );
  return { percent, snapshot, blocks };
}

/** `percent` of the indexes, rounded down, spread evenly. */
export function changedIndexes(indexes: readonly number[], percent: number): number[] {
  const count = Math.floor(indexes.length * percent / 100);
  return Array.from(
    { length: count },
    (_, position) => indexes[Math.floor(position * indexes.length / count)]!,
  );
}

/** Where files of one's own are on any Linux; a share of the image each. */
const FILE_FOLDERS = ["/usr/bin", "/usr/share", "/usr/lib"] as const;
/** Of the image: the rest is ext4's own and stays free, as on a disk in use. */
const FILLED_SHARE = 0.75;

/** An ext4 with copies of the machine's files. */
async function makeExt4(image: string, folder: string, sizeGib: number): Promise<void> {
  const files = `${folder}/files`;
  const budgetBytes = sizeGib * 2 ** 30 * FILLED_SHARE / FILE_FOLDERS.length;
  for (const from of FILE_FOLDERS) copySome(from, `${files}${from}`, budgetBytes);
  using file = Deno.openSync(image, { write: true, createNew: true });
  file.truncateSync(sizeGib * 2 ** 30);
  const output = await new Deno.Command(toolPath("mkfs.ext4")!, {
    args: ["-q", "-F", "-d", files, image],
    stdin: "null",
  }).output();
  if (!output.success) throw new Error(`Cannot make an ext4: ${new TextDecoder().decode(output.stderr)}`);
  Deno.removeSync(files, { recursive: true });
}

/** Copies the first files of a folder, by name, until they come to `budgetBytes`; gives what is left. */
function copySome(from: string, to: string, budgetBytes: number): number {
  Deno.mkdirSync(to, { recursive: true });
  let left = budgetBytes;
  for (const entry of [...Deno.readDirSync(from)].sort((a, b) => a.name < b.name ? -1 : 1)) {
    const path = `${from}/${entry.name}`;
    if (entry.isDirectory) left = copySome(path, `${to}/${entry.name}`, left);
    if (!entry.isFile) continue;
    const { size } = Deno.statSync(path);
    if (size > left) continue;
    Deno.copyFileSync(path, `${to}/${entry.name}`);
    left -= size;
  }
  return left;
}
