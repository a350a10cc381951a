/**
 * What the section descriptors of an EWF-E01's segment files tell: where its chunks lie, how large the volume is, the digests that
 * it holds of itself. All of it is checked: descriptors, checksums, both tables. What does not fit together is refused with file and
 * byte; nothing is guessed or repaired. It reads no chunk.
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
  DESCRIPTOR_BYTES,
  ewfStem,
  FILE_HEADER_BYTES,
  fileHeader,
  isSummed,
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
export interface Table {
  readonly path: string;
  readonly section: Section;
  readonly firstChunk: number;
  readonly entryCount: number;
  readonly baseOffset: number;
  /** Where the last chunk ends at the latest. */
  readonly endOffset: number;
}

export function damaged(path: string, what: string, cause?: unknown): OperatorError {
  return new OperatorError("format", `Cannot read E01 file "${path}": ${what}`, { facts: { path }, cause });
}

/** What the descriptors of all segment files tell. */
export class EwfIndex {
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

  addSegment(
    number: number,
    path = number === 1 ? this.#path : segmentPath(ewfStem(this.#path), number),
  ): void {
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

export function tableBytes(entryCount: number): number {
  return DESCRIPTOR_BYTES + 24 + entryCount * 4 + 4;
}

export function part(
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

export function inflated(
  held: Uint8Array,
  at: { readonly path: string; readonly where: string; readonly mostBytes: number },
): Uint8Array {
  try {
    return inflateSync(held, { maxOutputLength: at.mostBytes });
  } catch (error) {
    throw damaged(at.path, `${at.where} can't be decompressed: ${messageOf(error)}`, error);
  }
}
