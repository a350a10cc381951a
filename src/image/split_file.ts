/**
 * A raw image in pieces of one size, named as dc3dd and FTK Imager name them: `.001` to `.999`. The pieces one
 * after the other are the image. Written as one file is; reading a finished set refuses a gap, and pieces that
 * are not all of one size. It knows nothing of digests.
 */
import { basename } from "@std/path";
import { OperatorError } from "../errors.ts";
import type { Disk, DiskFile } from "../model.ts";
import { formatSize } from "../units.ts";
import { type ContainerFile, type ImageContainer, literally, pathsLike } from "./container.ts";

/** Three digits. What comes after `.999` differs from tool to tool. */
export const MAX_PIECES = 999;
const FIRST_SUFFIX = /\.001$/;

export function isFirstPiece(path: string): boolean {
  return FIRST_SUFFIX.test(path);
}

/** `disk.img` for `disk.img` and for `disk.img.001`. */
export function splitStem(path: string): string {
  return path.replace(FIRST_SUFFIX, "");
}

export function piecePath(stem: string, index: number): string {
  return `${stem}.${String(index + 1).padStart(3, "0")}`;
}

/** Throws `usage` where a volume of `sizeBytes` does not fit into the names, or a piece would end in a sector. */
export function requirePieces(
  stem: string,
  sizes: { readonly splitBytes: number; readonly sizeBytes: number },
) {
  const { splitBytes, sizeBytes } = sizes;
  if (splitBytes % 512 !== 0) {
    throw new OperatorError(
      "usage",
      `Cannot split "${stem}": ${splitBytes} bytes, expected a multiple of 512`,
    );
  }
  if (Math.ceil(sizeBytes / splitBytes) <= MAX_PIECES) return;
  const leastMib = Math.ceil(sizeBytes / MAX_PIECES / 2 ** 20);
  throw new OperatorError(
    "usage",
    `Cannot split "${stem}": ${formatSize(sizeBytes)} are ${Math.ceil(sizeBytes / splitBytes)} pieces of ` +
      `${formatSize(splitBytes)}, names go to .${MAX_PIECES}`,
    { hints: [`Give --split ${leastMib}MiB or more.`] },
  );
}

/** What the pieces of a set are called. */
export interface PieceNames {
  /** Of piece `index`, from 0. */
  path(index: number): string;
  /** Every piece of a set, or what is left of one, ascending; of an unfinished one where `suffix` says so. */
  there(disk: Disk, suffix?: string): string[];
}

/** `disk.img.001`, `disk.img.002`, … */
export function numberedPieces(stem: string): PieceNames {
  return {
    path: (index) => piecePath(stem, index),
    there(disk, suffix = "") {
      const name = new RegExp(`^${literally(basename(stem))}\\.(?!000)\\d{3}${literally(suffix)}$`);
      return pathsLike(disk, { beside: stem, name });
    },
  };
}

interface SplitOptions {
  readonly names: PieceNames;
  readonly splitBytes: number;
  readonly sizeBytes: number;
  /** `update`: the unfinished pieces, for writing. `read`: those of a finished image. */
  readonly mode: "update" | "read";
}

/** The pieces as one file. Holds the piece in use open, and those that were written and are not durable yet. */
export class SplitFile implements ImageContainer {
  readonly #disk: Disk;
  readonly #options: SplitOptions;
  readonly #files: readonly ContainerFile[];
  readonly #open = new Map<number, DiskFile>();
  readonly #written = new Set<number>();
  readonly #resized = new Set<number>();
  #current = 0;

  constructor(disk: Disk, options: SplitOptions) {
    this.#disk = disk;
    this.#options = options;
    this.#files = Array.from({ length: Math.ceil(options.sizeBytes / options.splitBytes) }, (_, index) => {
      const final = options.names.path(index);
      return { partial: `${final}.partial`, final };
    });
  }

  files(): readonly ContainerFile[] {
    return this.#files;
  }

  read(into: Uint8Array, offset: number): number {
    let done = 0;
    this.#across({ bytes: into, offset }, (part, { index, at }) => {
      const count = this.#piece(index).read(part, at);
      done += count;
      return count === part.length;
    });
    return done;
  }

  write(bytes: Uint8Array, offset: number): void {
    this.#across({ bytes, offset }, (part, { index, at }) => {
      this.#piece(index).write(part, at);
      this.#written.add(index);
      return true;
    });
  }

  writeZeros(): number {
    return 0;
  }

  addUnreadable(): void {}

  seal(): void {}

  async sync(): Promise<void> {
    // What is written while this waits is of the next sync.
    const indexes = [...new Set([...this.#resized, ...this.#written])];
    this.#resized.clear();
    this.#written.clear();
    for (const index of indexes) {
      await this.#file(index).sync();
      if (index !== this.#current && !this.#written.has(index)) this.#close(index);
    }
  }

  truncate(sizeBytes: number): void {
    const { names, splitBytes } = this.#options;
    this.close();
    // The first stays, though empty: of a raw image it is the lock.
    const kept = this.#files.slice(0, Math.max(1, Math.ceil(sizeBytes / splitBytes)));
    const there = names.there(this.#disk, ".partial");
    for (const path of there) {
      if (!kept.some(({ partial }) => partial === path)) this.#disk.remove(path);
    }
    kept.forEach(({ partial }, index) => {
      const file = this.#disk.open(partial, there.includes(partial) ? "update" : "create");
      try {
        file.truncate(Math.min(splitBytes, sizeBytes - index * splitBytes));
      } finally {
        file.close();
      }
      this.#resized.add(index);
    });
  }

  /** Up to the first piece that is not whole. */
  sizeBytes(): number {
    let sum = 0;
    for (const { partial, final } of this.#files) {
      const path = this.#options.mode === "update" ? partial : final;
      const size = this.#disk.stat(path)?.sizeBytes ?? 0;
      sum += size;
      if (size !== this.#options.splitBytes) break;
    }
    return sum;
  }

  close(): void {
    for (const index of [...this.#open.keys()]) this.#close(index);
  }

  #across(
    range: { readonly bytes: Uint8Array; readonly offset: number },
    each: (part: Uint8Array, place: { readonly index: number; readonly at: number }) => boolean,
  ): void {
    const { splitBytes } = this.#options;
    for (let done = 0; done < range.bytes.length;) {
      const index = Math.floor((range.offset + done) / splitBytes);
      const at = range.offset + done - index * splitBytes;
      const part = range.bytes.subarray(done, done + splitBytes - at);
      if (!each(part, { index, at })) return;
      done += part.length;
    }
  }

  /** The piece that is written or read now. */
  #piece(index: number): DiskFile {
    const before = this.#current;
    this.#current = index;
    // One that was written stays open: only its own descriptor is sure to be told of a failed write-back.
    if (before !== index && !this.#written.has(before)) this.#close(before);
    return this.#file(index);
  }

  #file(index: number): DiskFile {
    const held = this.#open.get(index);
    if (held) return held;
    const { mode } = this.#options;
    const { partial, final } = this.#files[index]!;
    const file = this.#disk.open(mode === "update" ? partial : final, mode);
    this.#open.set(index, file);
    return file;
  }

  #close(index: number): void {
    this.#open.get(index)?.close();
    this.#open.delete(index);
  }
}

/** A finished set, for reading. Throws `format` where pieces are missing or not of one size. */
export function openPieces(disk: Disk, stem: string): OpenedPieces {
  const names = numberedPieces(stem);
  const sizes = names.there(disk).map((path) => ({ path, size: disk.stat(path)!.sizeBytes }));
  sizes.forEach(({ path }, index) => {
    if (path === names.path(index)) return;
    throw new OperatorError("format", `Cannot read back "${stem}": piece "${names.path(index)}" is missing`);
  });
  return openInOrder(disk, { title: stem, names, sizes });
}

export interface OpenedPieces {
  readonly file: DiskFile;
  readonly sizeBytes: number;
}

/** Files that are an image one after the other. Throws `format` where they are not of one size, but for the last. */
export function openInOrder(
  disk: Disk,
  set: {
    readonly title: string;
    readonly names: PieceNames;
    readonly sizes: readonly { readonly path: string; readonly size: number }[];
  },
): OpenedPieces {
  const { title, names, sizes } = set;
  const splitBytes = sizes[0]?.size ?? 0;
  sizes.forEach(({ path, size }, index) => {
    const isLast = index === sizes.length - 1;
    if (size > 0 && (size === splitBytes || (isLast && size < splitBytes))) return;
    throw new OperatorError(
      "format",
      `Cannot read back "${title}": piece "${path}" has ${size} bytes, the first has ${splitBytes}`,
    );
  });
  const sizeBytes = sizes.reduce((sum, { size }) => sum + size, 0);
  return { file: new SplitFile(disk, { names, splitBytes, sizeBytes, mode: "read" }), sizeBytes };
}
