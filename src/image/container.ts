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

/** A segment file of an unfinished E01 that is whole and durable. */
export interface HeldSegment {
  /** Of the file. */
  readonly sha256: string;
  /** Where in the volume the next one begins. */
  readonly endBytes: number;
}

/** Where an unfinished image of segment files is taken up. */
export interface ResumePoint {
  /** Of the volume. */
  readonly durableBytes: number;
  readonly segments: readonly HeldSegment[];
}

/** A volume's bytes, written in order, never over a place that was written before `truncate`. */
export interface ImageContainer extends DiskFile {
  /** Done with `bytes` when it returns or resolves. */
  write(bytes: Uint8Array, offset: number): void | Promise<void>;
  /** `lengthBytes` zeros at `offset`; how many bytes they take, about. */
  writeZeros(lengthBytes: number, offset: number): number | Promise<number>;
  /** Tells of bytes that could not be read, before their zeros come. */
  addUnreadable(range: ByteRange): void;
  /** What a format has after the last byte. Nothing is written after it; not durable before the next `sync`. */
  seal(digests: LinearDigestValues): void | Promise<void>;
  /** All files, in order; complete after `seal`. */
  files(): readonly ContainerFile[];
  /**
   * Where the image can't be read back as the volume's bytes: takes up what is whole of an earlier session, before
   * anything is written; what comes of the volume before that point is then left out.
   */
  takeUp?(held: readonly HeldSegment[]): Promise<ResumePoint>;
  /** The same: where it could be taken up now, all of it durable. */
  resumePoint?(): ResumePoint;
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

  writeZeros(): number {
    return 0;
  }

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
