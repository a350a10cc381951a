/**
 * Writes EWF-E01 segment files, in order, once: sections, chunks as they come, their tables; at the end what was
 * unreadable and the digests. A segment file that is whole is never written again, so that an export can go on after
 * it. Memory holds a table and a buffer. It compresses nothing.
 *
 * @see Joachim Metz, "Expert Witness Compression Format specification" (libewf)
 */
import { Buffer } from "node:buffer";
import { OperatorError } from "../errors.ts";
import type { Disk, DiskFile } from "../model.ts";
import { MIB } from "../units.ts";
import type { ContainerFile } from "./container.ts";
import type { LinearDigestValues } from "./digests.ts";
import {
  COMPRESSED,
  descriptor,
  DESCRIPTOR_BYTES,
  FILE_HEADER_BYTES,
  fileHeader,
  MAX_SEGMENTS,
  SECTOR_BYTES,
  segmentPath,
  summed,
  TABLE_ENTRIES,
  viewOf,
  VOLUME_BYTES,
} from "./ewf_format.ts";
import { type EwfFacts, type EwfShape, header, header2, volumeData } from "./ewf_header.ts";
import { type ByteRange, RangeList } from "./ranges.ts";

const BUFFER_BYTES = MIB;
/** Entries of `error2`; the log and the map have all. */
const MAX_ERRORS = 4096;
/** `data`, `digest`, `hash`, `done`, and `error2` without entries. */
const TAIL_BYTES = 5 * DESCRIPTOR_BYTES + VOLUME_BYTES + 80 + 36 + 520 + 4;
/** Header and footer of a table, beside its descriptor. */
const TABLE_BYTES = DESCRIPTOR_BYTES + 24 + 4;
/** From here on a table entry's 31 bits do not reach the end of a segment file. */
const MAX_PLAIN_SEGMENT_BYTES = 2 ** 31;

export interface EwfOptions {
  readonly stem: string;
  readonly splitBytes: number;
  readonly facts: EwfFacts;
  readonly shape: EwfShape;
  /** RFC 3339 UTC. */
  readonly writtenAt: string;
}

/** A segment file that is whole. */
export interface EndedSegment {
  /** 1 and up. */
  readonly number: number;
  /** Where in the volume the next one begins. */
  readonly endBytes: number;
}

export class EwfSegments {
  readonly #disk: Disk;
  readonly #options: EwfOptions;
  readonly #errors = new RangeList(MAX_ERRORS);
  readonly #buffer = new Uint8Array(BUFFER_BYTES);
  readonly #entries = new Uint32Array(TABLE_ENTRIES);
  readonly #volume: Uint8Array;
  /** Written, not durable; the last is the one in use. */
  #open: DiskFile[] = [];
  #ended: EndedSegment[] = [];
  #segment = 0;
  /** The segment file has its end, or there is none yet. */
  #isBetween = true;
  #bufferBytes = 0;
  #fileBytes = 0;
  #sectorsOffset = 0;
  #entryCount = 0;

  constructor(disk: Disk, options: EwfOptions) {
    this.#disk = disk;
    this.#options = options;
    this.#volume = volumeData(options.shape);
  }

  get count(): number {
    return this.#segment;
  }

  /** Of segment `number`. */
  file(number: number): ContainerFile {
    const final = segmentPath(this.#options.stem, number);
    return { partial: `${final}.partial`, final };
  }

  /** Before the first chunk: the first `count` segment files are there and whole. */
  goOnAfter(count: number): void {
    this.#segment = count;
  }

  /** Whether the file at `path` begins as the first segment file does: with these texts, times and sizes. */
  isFirst(path: string): boolean {
    const parts = [fileHeader(1), ...this.#headSections(1)];
    const file = this.#disk.open(path, "read");
    try {
      const expected = Buffer.concat(parts);
      const held = new Uint8Array(expected.length);
      return file.read(held, 0) === held.length && Buffer.compare(held, expected) === 0;
    } finally {
      file.close();
    }
  }

  addError(range: ByteRange): void {
    this.#errors.add(range);
  }

  /** The next chunk of the volume, which begins at `position` there. */
  add(bytes: Uint8Array, chunk: { readonly isCompressed: boolean; readonly position: number }): void {
    if (this.#isBetween) this.#beginSegment();
    const tables = 2 * (TABLE_BYTES + 4 * (this.#entryCount + 1));
    const tail = TAIL_BYTES + 8 * this.#errors.listed.length;
    const start = this.#sectorsOffset === 0 ? DESCRIPTOR_BYTES : 0;
    if (this.#offset + start + bytes.length + tables + tail > this.#options.splitBytes) {
      this.#endSectors();
      this.#section("next");
      this.#ended.push({ number: this.#segment, endBytes: chunk.position });
      this.#beginSegment();
    } else if (this.#entryCount === TABLE_ENTRIES) {
      this.#endSectors();
    }
    if (this.#sectorsOffset === 0) {
      this.#sectorsOffset = this.#offset;
      // Its size is not known yet; overwritten by `#endSectors`.
      this.#append(new Uint8Array(DESCRIPTOR_BYTES));
    }
    const at = this.#offset - this.#baseOffset;
    this.#entries[this.#entryCount++] = chunk.isCompressed ? at + COMPRESSED : at;
    this.#append(bytes);
  }

  /** Ends the last one. Digests that were not computed are left out. */
  end(digests: LinearDigestValues): void {
    if (this.#isBetween) this.#beginSegment();
    this.#endSectors();
    if (this.#segment === 1) this.#section("data", this.#volume);
    this.#writeErrors();
    this.#writeDigests(digests);
    this.#section("done");
    this.#flush();
    this.#isBetween = true;
  }

  /** Makes durable what was written; which segment files are whole and durable since the last time. */
  async sync(): Promise<readonly EndedSegment[]> {
    this.#flush();
    const [files, ended] = [[...this.#open], this.#ended];
    this.#ended = [];
    for (const file of files) await file.sync();
    // The one that was in use may have been left since; it is synced and closed the next time.
    for (const file of files.slice(0, -1)) file.close();
    this.#open = this.#open.slice(Math.max(0, files.length - 1));
    return ended;
  }

  close(): void {
    for (const file of this.#open) file.close();
    this.#open = [];
  }

  get #offset(): number {
    return this.#fileBytes + this.#bufferBytes;
  }

  get #baseOffset(): number {
    return this.#options.splitBytes <= MAX_PLAIN_SEGMENT_BYTES ? 0 : this.#sectorsOffset;
  }

  #beginSegment(): void {
    this.#flush();
    this.#segment++;
    if (this.#segment > MAX_SEGMENTS) {
      throw new OperatorError("internal", `Cannot name segment file ${this.#segment}: names go to .EZZ`);
    }
    this.#open.push(
      this.#disk.open(this.file(this.#segment).partial, this.#segment === 1 ? "update" : "create"),
    );
    this.#fileBytes = 0;
    this.#isBetween = false;
    this.#append(fileHeader(this.#segment));
    for (const part of this.#headSections(this.#segment)) this.#append(part);
  }

  /** What comes before the chunks, after the file's own header. */
  #headSections(segment: number): Uint8Array[] {
    const { facts, writtenAt } = this.#options;
    const texts = header2(facts, writtenAt);
    const sections: [string, Uint8Array][] = segment > 1 ? [["data", this.#volume]] : [
      ["header2", texts],
      ["header2", texts],
      ["header", header(facts, writtenAt)],
      ["volume", this.#volume],
    ];
    let offset = FILE_HEADER_BYTES;
    return sections.flatMap(([type, data]) => {
      const sizeBytes = DESCRIPTOR_BYTES + data.length;
      const parts = [descriptor(type, { offset, sizeBytes }), data];
      offset += sizeBytes;
      return parts;
    });
  }

  #endSectors(): void {
    if (this.#entryCount === 0) return;
    const offset = this.#sectorsOffset;
    const sizeBytes = this.#offset - offset;
    const head = new Uint8Array(20);
    viewOf(head).setUint32(0, this.#entryCount, true);
    viewOf(head).setBigUint64(8, BigInt(this.#baseOffset), true);
    const entries = new Uint8Array(this.#entryCount * 4);
    const view = viewOf(entries);
    for (let index = 0; index < this.#entryCount; index++) {
      view.setUint32(index * 4, this.#entries[index]!, true);
    }
    this.#flush();
    this.#open.at(-1)!.write(descriptor("sectors", { offset, sizeBytes }), offset);
    const parts = [summed(head), summed(entries)];
    this.#section("table", ...parts);
    this.#section("table2", ...parts);
    this.#entryCount = 0;
    this.#sectorsOffset = 0;
  }

  #writeErrors(): void {
    const ranges = this.#errors.listed;
    if (ranges.length === 0) return;
    const head = new Uint8Array(516);
    viewOf(head).setUint32(0, ranges.length, true);
    const entries = new Uint8Array(ranges.length * 8);
    const view = viewOf(entries);
    ranges.forEach(({ offsetBytes, lengthBytes }, index) => {
      view.setUint32(index * 8, offsetBytes / SECTOR_BYTES, true);
      view.setUint32(index * 8 + 4, lengthBytes / SECTOR_BYTES, true);
    });
    this.#section("error2", summed(head), summed(entries));
  }

  #writeDigests({ md5, sha1 }: LinearDigestValues): void {
    if (md5 === undefined || sha1 === undefined) return;
    const digest = new Uint8Array(76);
    digest.set(Uint8Array.fromHex(md5));
    digest.set(Uint8Array.fromHex(sha1), 16);
    this.#section("digest", summed(digest));
    const hash = new Uint8Array(32);
    hash.set(Uint8Array.fromHex(md5));
    this.#section("hash", summed(hash));
  }

  #section(type: string, ...parts: readonly Uint8Array[]): void {
    const sizeBytes = parts.reduce((sum, part) => sum + part.length, DESCRIPTOR_BYTES);
    this.#append(descriptor(type, { offset: this.#offset, sizeBytes }));
    for (const part of parts) this.#append(part);
  }

  #append(bytes: Uint8Array): void {
    if (this.#bufferBytes + bytes.length > BUFFER_BYTES) this.#flush();
    this.#buffer.set(bytes, this.#bufferBytes);
    this.#bufferBytes += bytes.length;
  }

  #flush(): void {
    if (this.#bufferBytes === 0) return;
    this.#open.at(-1)!.write(this.#buffer.subarray(0, this.#bufferBytes), this.#fileBytes);
    this.#fileBytes += this.#bufferBytes;
    this.#bufferBytes = 0;
  }
}
