/**
 * A folder of block files as what it says of a volume: its shape, which blocks have a file, which have several, and
 * each block on request. Names are read once, and no block before it is asked for.
 *
 * A file system gives all names of a folder at once, or none: they are held, and nothing else is, so memory grows with
 * the number of files (about 1 KB each while they are read).
 */
import { createHash } from "node:crypto";
import { join } from "@std/path";
import { OperatorError } from "../errors.ts";
import type { Digest, Disk, SnapshotId, UnreadableBlock, VerifiedBlock, VolumeShape } from "../model.ts";
import { formatCount, volumeShape } from "../units.ts";
import { type BlockFileInput, decodeBlock, readWhole } from "./_block_file.ts";
import type { FernetKey } from "./_fernet.ts";
import { type ImagerFolder, listOf } from "./_find.ts";
import { type BlockFileName, parseBlockFileName } from "./_names.ts";

/** Positions of names take so many values in a sorting key, beside an index below 2^27. */
const MAX_NAMES = 2 ** 26;

/** Files on which a password is tried: one damaged file must not pass for a wrong password. */
const TRIED_FILES = 16;

/** A name that is no block's of this volume is left out, and told: at most so many, the others are counted. */
const MAX_TOLD = 100;

/** All files of one block, usually one. */
export interface BlockFile {
  readonly index: number;
  /** As its names have it; `undefined` where they differ. */
  readonly digest: Digest | undefined;
  readonly names: readonly string[];
}

/** What the names of a folder say. */
export interface FolderNames {
  readonly shape: VolumeShape;
  /** Blocks with a file. */
  readonly blockCount: number;
  /** Files of blocks of this volume; more than there are blocks where some have several. */
  readonly blockFiles: number;
  /** Named as blocks, but of another snapshot or beyond the volume's end. */
  readonly otherBlockFiles: number;
  /** Named otherwise: what a file manager left, notes. */
  readonly otherNames: number;
  /** The first of both, in words. */
  readonly told: readonly string[];
  /** SHA-256 of the indexes that have a file, ascending, as 32-bit little-endian numbers. */
  readonly indexesDigest: Digest;
}

/** Reads all names. Throws `not_found` where none is a block's, `integrity` where they speak of different volumes. */
export function readNames(
  disk: Disk,
  folder: ImagerFolder,
): { names: string[]; keys: Float64Array } & FolderNames {
  const names = listOf(disk, folder.path);
  if (names.length > MAX_NAMES) {
    throw new OperatorError("usage", `Cannot import "${folder.path}": it holds ${names.length} files`);
  }
  const survey = new Survey(folder);
  const keys = new Float64Array(names.length);
  let blockFiles = 0;
  for (const [position, name] of names.entries()) {
    const index = survey.take(name);
    if (index !== undefined) keys[blockFiles++] = index * MAX_NAMES + position;
  }
  const sorted = keys.subarray(0, blockFiles).sort();
  return { names, keys: sorted, ...survey.result(), ...indexesOf(sorted), blockFiles };
}

/** Goes through names, holds none of them. */
class Survey {
  readonly #folder: ImagerFolder;
  #first: (BlockFileName & { readonly name: string }) | undefined;
  #shape: VolumeShape | undefined;
  #otherBlockFiles = 0;
  #otherNames = 0;
  readonly #told: string[] = [];

  constructor(folder: ImagerFolder) {
    this.#folder = folder;
  }

  /** The block that the file is of; `undefined`: of none of this volume. */
  take(name: string): number | undefined {
    const parsed = parseBlockFileName(name, this.#folder.layout);
    if (!parsed) {
      this.#otherNames++;
      return this.#tell(name, "its name is not that of a block");
    }
    if (parsed.snapshot !== this.#folder.snapshot) {
      this.#otherBlockFiles++;
      return this.#tell(name, `it is of ${parsed.snapshot}`);
    }
    const { blockCount } = this.#shape ??= this.#shapeOf(parsed, name);
    const first = this.#first ??= { ...parsed, name };
    if (
      first.volumeSizeGib !== parsed.volumeSizeGib || first.blockSizeBytes !== parsed.blockSizeBytes
    ) {
      throw new OperatorError(
        "integrity",
        `Cannot import "${this.#folder.path}": its files are of different volumes, "${first.name}" and "${name}"`,
        { hints: ["Copy the files of one volume into a folder of their own, and import that one."] },
      );
    }
    if (parsed.index < blockCount) return parsed.index;
    this.#otherBlockFiles++;
    return this.#tell(name, `the volume has ${blockCount} blocks`);
  }

  result() {
    const { path, snapshot } = this.#folder;
    if (!this.#shape) {
      const held = this.#otherBlockFiles + this.#otherNames;
      throw new OperatorError(
        "not_found",
        `Cannot import "${path}": it holds ${
          formatCount(held)
        } files, none of which is of a block of ${snapshot}`,
        {
          hints: [
            "Expected INDEX_SNAPSHOT_SHA256_VOLUMESIZEGIB_BLOCKSIZE, with .gz in a folder …_compressed, with .gz.encrypted in …_encrypted.",
          ],
        },
      );
    }
    return {
      shape: this.#shape,
      otherBlockFiles: this.#otherBlockFiles,
      otherNames: this.#otherNames,
      told: this.#told,
    };
  }

  #tell(name: string, why: string): undefined {
    if (this.#told.length < MAX_TOLD) this.#told.push(`"${name}" is left out: ${why}`);
  }

  #shapeOf(parsed: BlockFileName, name: string): VolumeShape {
    const shape = volumeShape(parsed);
    if (typeof shape !== "string") return shape;
    throw new OperatorError("format", `Cannot import "${this.#folder.path}": of "${name}" the ${shape}`);
  }
}

/** How many blocks have a file, and which, as a digest. */
function indexesOf(keys: Float64Array): { readonly blockCount: number; readonly indexesDigest: Digest } {
  const hash = createHash("sha256");
  const page = new Uint32Array(16_384);
  let [filled, blockCount, last] = [0, 0, -1];
  const flush = () => {
    const bytes = new Uint8Array(filled * 4);
    const view = new DataView(bytes.buffer);
    for (let at = 0; at < filled; at++) view.setUint32(at * 4, page[at]!, true);
    hash.update(bytes);
    filled = 0;
  };
  for (const key of keys) {
    const index = Math.floor(key / MAX_NAMES);
    if (index === last) continue;
    last = index;
    blockCount++;
    page[filled++] = index;
    if (filled === page.length) flush();
  }
  flush();
  return { blockCount, indexesDigest: hash.digest("hex") as Digest };
}

export class BlockFolder {
  readonly folder: ImagerFolder;
  readonly facts: FolderNames;
  readonly #disk: Disk;
  readonly #names: readonly string[];
  readonly #keys: Float64Array;
  readonly #fernet: FernetKey | undefined;
  #readBytes = 0;

  /** @param how `key`: for the layout `encrypted`. */
  constructor(folder: ImagerFolder, how: { readonly disk: Disk; readonly key: FernetKey | undefined }) {
    const { names, keys, ...facts } = readNames(how.disk, folder);
    this.folder = folder;
    this.facts = facts;
    this.#disk = how.disk;
    this.#fernet = how.key;
    this.#names = names;
    this.#keys = keys;
  }

  get snapshot(): SnapshotId {
    return this.folder.snapshot;
  }

  /** Of all files that were read. */
  get readBytes(): number {
    return this.#readBytes;
  }

  /** Blocks that have a file, ascending. */
  *blocks(): Generator<BlockFile> {
    for (let at = 0; at < this.#keys.length;) {
      const { index, name } = this.#at(at);
      const names = [name];
      for (at++; at < this.#keys.length; at++) {
        const next = this.#at(at);
        if (next.index !== index) break;
        names.push(next.name);
      }
      const digests = new Set(names.map((one) => parseBlockFileName(one, this.folder.layout)!.digest));
      const [digest] = digests;
      yield { index, digest: digests.size === 1 ? digest : undefined, names };
    }
  }

  /**
   * The block that its files hold: of several with one digest the first that is sound. Throws `source` where a file is
   * not there any more.
   */
  read({ index, digest, names }: BlockFile): VerifiedBlock | UnreadableBlock {
    if (digest === undefined) {
      const detail = `${names.length} files are of block ${index}, each with another SHA-256: ${
        names.join(", ")
      }`;
      return {
        kind: "unreadable",
        reason: "doubled",
        detail: detail.slice(0, 1024),
        attempts: 0,
        requestIds: [],
      };
    }
    const tried = names.map((name) => () => this.#readFile(name, digest));
    const [first, ...others] = tried;
    return others.reduce((block, next) => block.kind === "verified" ? block : next(), first!());
  }

  #readFile(name: string, digest: Digest): VerifiedBlock | UnreadableBlock {
    const input = this.#input(name, digest);
    const file = readWhole(input);
    if (!file) throw changed(this.folder.path, `"${name}" is not there any more`);
    if ("kind" in file) return { ...file, detail: `${name} ${file.detail}` };
    this.#readBytes += file.length;
    const block = decodeBlock(input, file);
    return block.kind === "verified" ? block : { ...block, detail: `${name} ${block.detail}` };
  }

  /**
   * Tries the password on files from all over the folder, so that damage and a wrong password are told apart.
   * Throws `identity` where none of them opens and one is whole in form.
   */
  refuseWrongPassword(): void {
    if (this.folder.layout !== "encrypted") return;
    const count = Math.min(TRIED_FILES, this.#keys.length);
    let closed = 0;
    for (let step = 0; step < count; step++) {
      const { name } = this.#at(Math.floor(step * this.#keys.length / count));
      const file = readWhole(this.#input(name, "" as Digest));
      const state = file && !("kind" in file) ? this.#fernet!.open(file).state : "malformed";
      if (state === "opened") return;
      if (state === "not_authentic") closed++;
    }
    if (closed === 0) return; // no token at all: each file says what it is instead
    const files = this.#keys.length === 1 ? "its only file is" : `${closed} files from all over it are`;
    throw new OperatorError(
      "identity",
      `Cannot open "${this.folder.path}": ${files} not opened by this password and salt`,
      {
        hints: [
          "The password or the salt is another one, or all of these files are damaged: nothing was imported.",
          "Both are taken as one line of text without its line feed, as the tool was given them.",
        ],
        facts: { triedFiles: count, closedFiles: closed },
      },
    );
  }

  #at(place: number): { readonly index: number; readonly name: string } {
    const key = this.#keys[place]!;
    return { index: Math.floor(key / MAX_NAMES), name: this.#names[key % MAX_NAMES]! };
  }

  #input(name: string, digest: Digest): BlockFileInput {
    return {
      disk: this.#disk,
      path: join(this.folder.path, name),
      layout: this.folder.layout,
      digest,
      blockSizeBytes: this.facts.shape.blockSizeBytes,
      key: this.#fernet,
    };
  }
}

/** The folder is not what it was when its names were read, or when the import began. */
function changed(path: string, how: string): OperatorError {
  return new OperatorError("source", `Cannot go on with "${path}": the folder changed (${how})`, {
    facts: { reason: "FOLDER_CHANGED" },
    hints: ["Nothing that was recorded is lost: with the folder as it was, run the same command again."],
  });
}
