/**
 * What a file target puts the volume's bytes into: one file, pieces of a size, or segment files of a format.
 * Every offset is one of the volume; which file it falls into is the container's business. It decides neither what
 * is in an image nor when it is complete: it only says which files it consists of.
 */
import { basename, dirname } from "@std/path";
import type { Disk, DiskFile } from "../model.ts";
import type { LinearDigestValues } from "./digests.ts";
import type { ByteRange } from "./ranges.ts";

export const IMAGE_FORMATS = ["raw", "e01", "vmdk", "vhd"] as const;

/** What `--format` takes. */
export type ImageFormat = (typeof IMAGE_FORMATS)[number];

export function isImageFormat(value: unknown): value is ImageFormat {
  return IMAGE_FORMATS.some((format) => format === value);
}

/** One file of an image: the name that it is written under, and its own. */
export interface ContainerFile {
  readonly partial: string;
  readonly final: string;
}

/** A volume's bytes, written in order, never over a place that was written before `truncate`. */
export interface ImageContainer extends DiskFile {
  /** `lengthBytes` zeros at `offset`, which need not take room. */
  writeZeros(lengthBytes: number, offset: number): void;
  /** Tells of bytes that could not be read, before their zeros come. */
  addUnreadable(range: ByteRange): void;
  /** What a format has after the last byte. Nothing is written after it; not durable before the next `sync`. */
  seal(digests: LinearDigestValues): void;
  /** All files, in order; complete after `seal`. */
  files(): readonly ContainerFile[];
}

/** What a format has after the volume's bytes. */
export interface Trailer {
  readonly bytes: Uint8Array;
  readonly offset: number;
}

/** An image in one file: holes are holes. */
export class WholeFile implements ImageContainer {
  readonly #file: DiskFile;
  readonly #names: ContainerFile;
  readonly #trailer: Trailer | undefined;

  constructor(file: DiskFile, parts: ContainerFile & { readonly trailer?: Trailer }) {
    this.#file = file;
    this.#names = { partial: parts.partial, final: parts.final };
    this.#trailer = parts.trailer;
  }

  read(into: Uint8Array, offset: number): number {
    return this.#file.read(into, offset);
  }

  write(bytes: Uint8Array, offset: number): void {
    this.#file.write(bytes, offset);
  }

  writeZeros(): void {}

  addUnreadable(): void {}

  seal(): void {
    if (this.#trailer) this.#file.write(this.#trailer.bytes, this.#trailer.offset);
  }

  files(): readonly ContainerFile[] {
    return [this.#names];
  }

  sync(): Promise<void> {
    return this.#file.sync();
  }

  truncate(sizeBytes: number): void {
    this.#file.truncate(sizeBytes);
  }

  sizeBytes(): number {
    return this.#file.sizeBytes();
  }

  close(): void {
    this.#file.close();
  }
}

/** Paths in the folder of `beside` whose names match, ascending. */
export function pathsLike(disk: Disk, search: { readonly beside: string; readonly name: RegExp }): string[] {
  const folder = dirname(search.beside);
  const names = disk.list(folder).filter((name) => search.name.test(name)).sort();
  return names.map((name) =>
    search.beside.slice(0, search.beside.length - basename(search.beside).length) + name
  );
}

/** `text` as a pattern that means itself. */
export function literally(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|/-]/g, "\\$&");
}
