/**
 * Reads EWF-E01 segment files as the image that is in them, and checks what they say of themselves: descriptors, both
 * tables, each chunk's checksum, the digests at the end. Memory holds one table and one chunk. What does
 * not fit together is refused with file and byte; nothing is guessed or repaired.
 *
 * @see Joachim Metz, "Expert Witness Compression Format specification" (libewf)
 */
import { Buffer } from "node:buffer";
import { inflateSync } from "node:zlib";
import { messageOf, OperatorError } from "../errors.ts";
import type { Disk, DiskFile } from "../model.ts";
import type { LinearDigestValues } from "./digests.ts";
import {
  CHUNK_BYTES,
  COMPRESSED,
  DESCRIPTOR_BYTES,
  ewfStem,
  FILE_HEADER_BYTES,
  fileHeader,
  isSummed,
  MAX_SEGMENTS,
  parseDescriptor,
  type Section,
  SECTOR_BYTES,
  segmentPath,
  viewOf,
  VOLUME_BYTES,
} from "./ewf_format.ts";

/** The largest table that EnCase 6 writes. */
const MAX_ENTRIES = 65_534;

/** The longest text of a header, and the most entries of `error2`: far more than any that is honest. */
const MAX_TEXT_BYTES = 1024 * 1024;

/** Where a run of chunks lies. */
interface Table {
  readonly path: string;
  readonly section: Section;
  readonly firstChunk: number;
  readonly entryCount: number;
  readonly baseOffset: number;
  /** Where the last chunk ends at the latest. */
  readonly endOffset: number;
}

/** An opened image: its bytes by offsets of the volume, and the digests that it holds of itself. */
export interface OpenedEwf {
  readonly file: DiskFile;
  readonly sizeBytes: number;
  readonly digests: LinearDigestValues;
}

/** Opens the set of which `path` is the first file. Throws `format` where it is none, or not whole. */
export function openEwf(disk: Disk, path: string): OpenedEwf {
  const index = new EwfIndex(disk, path);
  for (let number = 1; !index.isEnded; number++) {
    if (number > MAX_SEGMENTS) throw damaged(path, "segment files do not end");
    index.addSegment(number);
  }
  const { tables, digests, sizeBytes } = index;
  if (sizeBytes === undefined || index.chunkCount !== Math.ceil(sizeBytes / CHUNK_BYTES)) {
    throw damaged(path, `tables have ${index.chunkCount} chunks, expected those of ${sizeBytes} bytes`);
  }
  return { file: new EwfFile(disk, { tables, sizeBytes }), sizeBytes, digests };
}

function damaged(path: string, what: string, cause?: unknown): OperatorError {
  return new OperatorError("format", `Cannot read E01 file "${path}": ${what}`, { facts: { path }, cause });
}

/** What the descriptors of all segment files tell. */
class EwfIndex {
  readonly #disk: Disk;
  readonly #path: string;
  readonly tables: Table[] = [];
  digests: LinearDigestValues = {};
  sizeBytes: number | undefined;
  chunkCount = 0;
  isEnded = false;

  constructor(disk: Disk, path: string) {
    this.#disk = disk;
    this.#path = path;
  }

  addSegment(number: number): void {
    const path = number === 1 ? this.#path : segmentPath(ewfStem(this.#path), number);
    if (this.#disk.stat(path)?.kind !== "file") {
      throw damaged(this.#path, `segment file "${path}" is missing`);
    }
    const file = this.#disk.open(path, "read");
    try {
      const head = part(file, { path, offset: 0, lengthBytes: FILE_HEADER_BYTES });
      if (Buffer.compare(head, fileHeader(number)) !== 0) {
        throw damaged(path, `it is no segment file ${number}`);
      }
      this.#addSections(file, path);
    } finally {
      file.close();
    }
  }

  #addSections(file: DiskFile, path: string): void {
    let sectors: Section | undefined;
    for (let offset = FILE_HEADER_BYTES;;) {
      const bytes = part(file, { path, offset, lengthBytes: DESCRIPTOR_BYTES });
      const section = parseDescriptor(bytes, offset);
      if (!section || offset + section.sizeBytes > file.sizeBytes()) {
        throw damaged(path, `no sound section at byte ${offset}`);
      }
      if (section.type === "next" || section.type === "done") {
        this.isEnded = section.type === "done";
        if (offset + DESCRIPTOR_BYTES !== file.sizeBytes()) {
          throw damaged(path, "bytes follow its last section");
        }
        return;
      }
      if (section.type === "sectors") sectors = section;
      else this.#addSection(file, { path, section, sectors });
      offset = section.nextOffset;
    }
  }

  #addSection(file: DiskFile, at: { path: string; section: Section; sectors: Section | undefined }): void {
    const { path, section, sectors } = at;
    const offset = section.offset + DESCRIPTOR_BYTES;
    const read = (lengthBytes: number) => {
      const bytes = part(file, { path, offset, lengthBytes });
      if (!isSummed(bytes)) throw damaged(path, `checksum of section "${section.type}" does not match`);
      return bytes;
    };
    if (section.type === "volume" || section.type === "data") {
      const view = viewOf(read(VOLUME_BYTES));
      const sizeBytes = Number(view.getBigUint64(16, true)) * SECTOR_BYTES;
      const isKnown = view.getUint32(8, true) * SECTOR_BYTES === CHUNK_BYTES &&
        view.getUint32(12, true) === SECTOR_BYTES;
      if (!isKnown || (this.sizeBytes ?? sizeBytes) !== sizeBytes) {
        throw damaged(
          path,
          `section "${section.type}" has another shape than chunks of 32 KiB, or than another file`,
        );
      }
      this.sizeBytes = sizeBytes;
    } else if (section.type === "digest") {
      const bytes = read(80);
      this.digests = {
        ...this.digests,
        md5: bytes.subarray(0, 16).toHex(),
        sha1: bytes.subarray(16, 36).toHex(),
      };
    } else if (section.type === "hash") {
      const md5 = read(36).subarray(0, 16).toHex();
      if ((this.digests.md5 ?? md5) !== md5) throw damaged(path, "its two MD5 are not the same");
      this.digests = { ...this.digests, md5 };
    } else if (section.type === "header" || section.type === "header2") {
      const lengthBytes = Math.min(section.sizeBytes - DESCRIPTOR_BYTES, MAX_TEXT_BYTES);
      inflated(part(file, { path, offset, lengthBytes }), {
        path,
        where: section.type,
        mostBytes: MAX_TEXT_BYTES,
      });
    } else if (section.type === "error2") {
      const count = viewOf(read(520)).getUint32(0, true);
      const lengthBytes = count * 8 + 4;
      if (section.sizeBytes !== DESCRIPTOR_BYTES + 520 + lengthBytes || count > MAX_TEXT_BYTES) {
        throw damaged(path, `error2 has ${count} entries in ${section.sizeBytes} bytes`);
      }
      const entries = part(file, { path, offset: offset + 520, lengthBytes });
      if (!isSummed(entries)) throw damaged(path, "checksum of the entries of error2 does not match");
    } else if (section.type === "table") {
      const head = viewOf(read(24));
      const entryCount = head.getUint32(0, true);
      const baseOffset = Number(head.getBigUint64(8, true));
      if (!sectors || entryCount === 0 || entryCount > MAX_ENTRIES || !Number.isSafeInteger(baseOffset)) {
        throw damaged(
          path,
          `table at byte ${section.offset} has ${entryCount} entries and no sectors before it`,
        );
      }
      const endOffset = sectors.nextOffset;
      this.tables.push({ path, section, firstChunk: this.chunkCount, entryCount, baseOffset, endOffset });
      this.chunkCount += entryCount;
    } else if (section.type === "table2") {
      this.#requireMirror(file, { path, section });
    }
  }

  /** `table2` says what the table before it says. */
  #requireMirror(file: DiskFile, { path, section }: { path: string; section: Section }): void {
    const table = this.tables.at(-1);
    const sizeBytes = (one: Section) => Math.min(one.sizeBytes, tableBytes(MAX_ENTRIES)) - DESCRIPTOR_BYTES;
    const read = (one: Section) =>
      part(file, { path, offset: one.offset + DESCRIPTOR_BYTES, lengthBytes: sizeBytes(one) });
    if (!table || table.path !== path || Buffer.compare(read(table.section), read(section)) !== 0) {
      throw damaged(path, `table2 at byte ${section.offset} is not what the table before it is`);
    }
  }
}

function tableBytes(entryCount: number): number {
  return DESCRIPTOR_BYTES + 24 + entryCount * 4 + 4;
}

function part(
  file: DiskFile,
  range: { readonly path: string; readonly offset: number; readonly lengthBytes: number },
): Uint8Array {
  const bytes = new Uint8Array(range.lengthBytes);
  const count = file.read(bytes, range.offset);
  if (count === bytes.length) return bytes;
  throw damaged(
    range.path,
    `it ends at byte ${range.offset + count}, expected ${range.lengthBytes} bytes more`,
  );
}

/** The image as a file to read. Offsets in order are fast; any others are right. */
class EwfFile implements DiskFile {
  readonly #disk: Disk;
  readonly #tables: readonly Table[];
  readonly #sizeBytes: number;
  #file: { readonly path: string; readonly handle: DiskFile } | undefined;
  #loaded: { readonly table: Table; readonly entries: DataView } | undefined;
  #chunk: { readonly index: number; readonly bytes: Uint8Array } | undefined;

  constructor(disk: Disk, parts: { readonly tables: readonly Table[]; readonly sizeBytes: number }) {
    this.#disk = disk;
    this.#tables = parts.tables;
    this.#sizeBytes = parts.sizeBytes;
  }

  read(into: Uint8Array, offset: number): number {
    const wanted = Math.max(0, Math.min(into.length, this.#sizeBytes - offset));
    for (let done = 0; done < wanted;) {
      const index = Math.floor((offset + done) / CHUNK_BYTES);
      const at = (offset + done) % CHUNK_BYTES;
      const bytes = this.#chunkAt(index).subarray(at, at + wanted - done);
      into.set(bytes, done);
      done += bytes.length;
    }
    return wanted;
  }

  write(): void {
    throw new OperatorError("internal", "Cannot write to an E01 that was opened for reading");
  }

  truncate(): void {
    this.write();
  }

  sync(): Promise<void> {
    return Promise.resolve();
  }

  sizeBytes(): number {
    return this.#sizeBytes;
  }

  close(): void {
    this.#file?.handle.close();
    this.#file = undefined;
  }

  #chunkAt(index: number): Uint8Array {
    if (this.#chunk?.index === index) return this.#chunk.bytes;
    const { table, entries } = this.#tableOf(index);
    const entry = index - table.firstChunk;
    const offsetOf = (at: number) => table.baseOffset + entries.getUint32(at * 4, true) % COMPRESSED;
    const offset = offsetOf(entry);
    const end = entry + 1 < table.entryCount ? offsetOf(entry + 1) : table.endOffset;
    const lengthBytes = end - offset;
    const where = `chunk ${index} (bytes ${index * CHUNK_BYTES} on) at byte ${offset}`;
    if (lengthBytes < 1 || lengthBytes > CHUNK_BYTES + 4) {
      throw damaged(table.path, `${where} has no sound size`);
    }
    const held = part(this.#handle(table.path), { path: table.path, offset, lengthBytes });
    const expected = Math.min(CHUNK_BYTES, this.#sizeBytes - index * CHUNK_BYTES);
    const bytes = entries.getUint32(entry * 4, true) >= COMPRESSED
      ? inflated(held, { path: table.path, where, mostBytes: CHUNK_BYTES })
      : held.subarray(0, -4);
    if (bytes.length !== expected || (bytes.buffer === held.buffer && !isSummed(held))) {
      throw damaged(table.path, `${where} does not match its checksum, or has not ${expected} bytes`);
    }
    this.#chunk = { index, bytes };
    return bytes;
  }

  #tableOf(chunk: number): { readonly table: Table; readonly entries: DataView } {
    const held = this.#loaded;
    if (held && chunk >= held.table.firstChunk && chunk < held.table.firstChunk + held.table.entryCount) {
      return held;
    }
    let [low, high] = [0, this.#tables.length - 1];
    while (low < high) {
      const middle = Math.ceil((low + high) / 2);
      if (this.#tables[middle]!.firstChunk <= chunk) low = middle;
      else high = middle - 1;
    }
    const table = this.#tables[low]!;
    const { path, section, entryCount } = table;
    if (section.sizeBytes < tableBytes(entryCount)) {
      throw damaged(path, `table at byte ${section.offset} is cut`);
    }
    const offset = section.offset + DESCRIPTOR_BYTES + 24;
    const bytes = part(this.#handle(path), { path, offset, lengthBytes: entryCount * 4 + 4 });
    if (!isSummed(bytes)) {
      throw damaged(path, `checksum of the table at byte ${section.offset} does not match`);
    }
    return this.#loaded = { table, entries: viewOf(bytes) };
  }

  #handle(path: string): DiskFile {
    if (this.#file?.path === path) return this.#file.handle;
    this.close();
    this.#file = { path, handle: this.#disk.open(path, "read") };
    return this.#file.handle;
  }
}

function inflated(
  held: Uint8Array,
  at: { readonly path: string; readonly where: string; readonly mostBytes: number },
): Uint8Array {
  try {
    return inflateSync(held, { maxOutputLength: at.mostBytes });
  } catch (error) {
    throw damaged(at.path, `${at.where} can't be decompressed: ${messageOf(error)}`, error);
  }
}
