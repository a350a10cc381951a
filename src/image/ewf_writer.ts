/**
 * Writes a volume as EWF-E01 segment files, in order, once: chunks of 32 KiB, compressed where that makes them
 * smaller, with tables, and at the end what was unreadable and the digests. One thread; memory holds a chunk, a
 * table and a buffer. It can't be taken up again: `truncate` begins anew.
 *
 * @see Joachim Metz, "Expert Witness Compression Format specification" (libewf)
 */
import { basename } from "@std/path";
import { constants, deflateSync } from "node:zlib";
import { OperatorError } from "../errors.ts";
import type { Disk, DiskFile } from "../model.ts";
import { MIB } from "../units.ts";
import { type ContainerFile, type ImageContainer, literally, pathsLike } from "./container.ts";
import type { LinearDigestValues } from "./digests.ts";
import {
  CHUNK_BYTES,
  COMPRESSED,
  descriptor,
  DESCRIPTOR_BYTES,
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
/** Its fields have 32 bits of sectors. */
const MAX_ERROR_SECTOR = 2 ** 32;
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

/** A chunk as it is stored. */
interface Chunk {
  readonly bytes: Uint8Array;
  readonly isCompressed: boolean;
}

/** Compressed where that is smaller; else with its checksum, which deflate's own end has as well (big-endian). */
function pack(bytes: Uint8Array, level: number = constants.Z_BEST_SPEED): Chunk {
  const deflated = deflateSync(bytes, { level });
  if (deflated.length < bytes.length) return { bytes: deflated, isCompressed: true };
  const plain = new Uint8Array(bytes.length + 4);
  plain.set(bytes);
  plain.set(deflated.subarray(-4).toReversed(), bytes.length);
  return { bytes: plain, isCompressed: false };
}

/** A chunk of zeros: most of many volumes, so as small as it can be. */
export const ZERO_CHUNK: Chunk = pack(new Uint8Array(CHUNK_BYTES), constants.Z_BEST_COMPRESSION);

/** Files of a set, finished or (`.partial`) not, ascending as segments are. */
export function segmentsThere(disk: Disk, stem: string, suffix = ""): string[] {
  const name = new RegExp(`^${literally(basename(stem))}\\.E(?!00)(\\d\\d|[A-Z]{2})${literally(suffix)}$`);
  return pathsLike(disk, { beside: stem, name });
}

export class EwfWriter implements ImageContainer {
  readonly #disk: Disk;
  readonly #options: EwfOptions;
  readonly #errors = new RangeList(MAX_ERRORS);
  readonly #chunk = new Uint8Array(CHUNK_BYTES);
  readonly #buffer = new Uint8Array(BUFFER_BYTES);
  readonly #entries = new Uint32Array(TABLE_ENTRIES);
  readonly #volume: Uint8Array;
  /** Written, not durable; the last is the one in use. */
  #open: DiskFile[] = [];
  #segment = 0;
  #chunkBytes = 0;
  #bufferBytes = 0;
  #fileBytes = 0;
  #sectorsOffset = 0;
  #entryCount = 0;
  /** Bytes of the volume so far. */
  #position = 0;

  constructor(disk: Disk, options: EwfOptions) {
    this.#disk = disk;
    this.#options = options;
    this.#volume = volumeData(options.shape);
  }

  files(): readonly ContainerFile[] {
    return Array.from({ length: Math.max(1, this.#segment) }, (_, index) => {
      const final = segmentPath(this.#options.stem, index + 1);
      return { partial: `${final}.partial`, final };
    });
  }

  /** Nothing can be compared with what is there: a segment file is not taken up. */
  read(): number {
    return 0;
  }

  sizeBytes(): number {
    return 0;
  }

  truncate(sizeBytes: number): void {
    if (sizeBytes > 0) return;
    if (this.#segment > 0) throw new OperatorError("internal", "Cannot begin an E01 anew: it has begun");
    for (const path of segmentsThere(this.#disk, this.#options.stem, ".partial")) {
      if (path !== this.files()[0]!.partial) this.#disk.remove(path);
    }
    const first = this.#disk.open(this.files()[0]!.partial, "update");
    try {
      first.truncate(0);
    } finally {
      first.close();
    }
  }

  addUnreadable(range: ByteRange): void {
    if (range.offsetBytes + range.lengthBytes <= MAX_ERROR_SECTOR * SECTOR_BYTES) this.#errors.add(range);
  }

  write(bytes: Uint8Array, offset: number): void {
    this.#expect(offset);
    for (let done = 0; done < bytes.length;) {
      const part = bytes.subarray(done, done + CHUNK_BYTES - this.#chunkBytes);
      if (part.length === CHUNK_BYTES) this.#add(pack(part));
      else this.#fill(part);
      done += part.length;
    }
    this.#position += bytes.length;
  }

  writeZeros(lengthBytes: number, offset: number): void {
    this.#expect(offset);
    for (let left = lengthBytes; left > 0;) {
      const count = Math.min(left, CHUNK_BYTES - this.#chunkBytes);
      if (count === CHUNK_BYTES) this.#add(ZERO_CHUNK);
      else this.#fill(new Uint8Array(count));
      left -= count;
    }
    this.#position += lengthBytes;
  }

  seal(digests: LinearDigestValues): void {
    if (this.#chunkBytes > 0) this.#add(pack(this.#chunk.subarray(0, this.#chunkBytes)));
    this.#chunkBytes = 0;
    if (this.#segment === 0) this.#beginSegment();
    this.#endSectors();
    if (this.#segment === 1) this.#section("data", this.#volume);
    this.#writeErrors();
    const md5 = bytesOf(digests.md5, 16);
    const digest = new Uint8Array(76);
    digest.set(md5);
    digest.set(bytesOf(digests.sha1, 20), 16);
    this.#section("digest", summed(digest));
    const hash = new Uint8Array(32);
    hash.set(md5);
    this.#section("hash", summed(hash));
    this.#section("done");
    this.#flush();
  }

  async sync(): Promise<void> {
    this.#flush();
    const files = [...this.#open];
    for (const file of files) await file.sync();
    // The one that was in use may have been left since; it is synced and closed the next time.
    for (const file of files.slice(0, -1)) file.close();
    this.#open = this.#open.slice(Math.max(0, files.length - 1));
  }

  close(): void {
    for (const file of this.#open) file.close();
    this.#open = [];
  }

  #expect(offset: number): void {
    if (offset === this.#position) return;
    throw new OperatorError(
      "internal",
      `Cannot write E01 at byte ${offset}: expected byte ${this.#position}`,
    );
  }

  #fill(part: Uint8Array): void {
    this.#chunk.set(part, this.#chunkBytes);
    this.#chunkBytes += part.length;
    if (this.#chunkBytes < CHUNK_BYTES) return;
    this.#chunkBytes = 0;
    this.#add(pack(this.#chunk));
  }

  #add({ bytes, isCompressed }: Chunk): void {
    if (this.#segment === 0) this.#beginSegment();
    const tables = 2 * (TABLE_BYTES + 4 * (this.#entryCount + 1));
    const tail = TAIL_BYTES + 8 * this.#errors.listed.length;
    const start = this.#sectorsOffset === 0 ? DESCRIPTOR_BYTES : 0;
    if (this.#offset + start + bytes.length + tables + tail > this.#options.splitBytes) {
      this.#endSectors();
      this.#section("next");
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
    this.#entries[this.#entryCount++] = isCompressed ? at + COMPRESSED : at;
    this.#append(bytes);
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
    const { partial } = this.files().at(-1)!;
    this.#open.push(this.#disk.open(partial, this.#segment === 1 ? "update" : "create"));
    this.#fileBytes = 0;
    this.#append(fileHeader(this.#segment));
    if (this.#segment > 1) return this.#section("data", this.#volume);
    const { facts, writtenAt } = this.#options;
    const texts = header2(facts, writtenAt);
    this.#section("header2", texts);
    this.#section("header2", texts);
    this.#section("header", header(facts, writtenAt));
    this.#section("volume", this.#volume);
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
    this.#section("table", summed(head), summed(entries));
    this.#section("table2", summed(head), summed(entries));
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

function bytesOf(hex: string | undefined, lengthBytes: number): Uint8Array {
  if (hex?.length !== lengthBytes * 2) {
    throw new OperatorError("internal", `Cannot end an E01: no digest of ${lengthBytes} bytes was computed`);
  }
  return Uint8Array.fromHex(hex);
}
