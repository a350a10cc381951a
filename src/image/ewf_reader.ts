/**
 * Reads EWF-E01 segment files as the image that is in them, and checks each chunk by its checksum. Memory holds one table,
 * one chunk and a piece of a file.
 *
 * @see Joachim Metz, "Expert Witness Compression Format specification" (libewf)
 */
import { Buffer } from "node:buffer";
import { OperatorError } from "../errors.ts";
import type { Disk, DiskFile } from "../model.ts";
import { MIB } from "../units.ts";
import type { LinearDigestValues } from "./digests.ts";
import { ZERO_CHUNK } from "./ewf_chunks.ts";
import { CHUNK_BYTES, COMPRESSED, DESCRIPTOR_BYTES, isSummed, MAX_SEGMENTS, viewOf } from "./ewf_format.ts";
import { damaged, EwfIndex, inflated, part, type Table, tableBytes } from "./ewf_index.ts";

const ZEROS = new Uint8Array(CHUNK_BYTES);

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

/** The image as a file to read. Offsets in order are fast; any others are right. */
class EwfFile implements DiskFile {
  readonly #disk: Disk;
  readonly #tables: readonly Table[];
  readonly #sizeBytes: number;
  #file: { readonly path: string; readonly handle: DiskFile } | undefined;
  #loaded: { readonly table: Table; readonly entries: DataView } | undefined;
  /** A piece of the file in use: chunks of zeros are hundreds of thousands of reads else. */
  #window: { readonly offset: number; readonly bytes: Uint8Array } | undefined;
  readonly #buffer = new Uint8Array(MIB);
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
    this.#window = undefined;
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
    // It may lie in the piece of the file that is replaced now.
    this.#chunk = undefined;
    const held = this.#part(table.path, { offset, lengthBytes });
    const expected = Math.min(CHUNK_BYTES, this.#sizeBytes - index * CHUNK_BYTES);
    const isCompressed = entries.getUint32(entry * 4, true) >= COMPRESSED;
    const isZeros = isCompressed && Buffer.compare(held, ZERO_CHUNK.bytes) === 0;
    const bytes = isZeros
      ? ZEROS
      : isCompressed
      ? inflated(held, { path: table.path, where, mostBytes: CHUNK_BYTES })
      : held.subarray(0, -4);
    if (bytes.length !== expected || (!isCompressed && !isSummed(held))) {
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

  /** Valid until the next. */
  #part(path: string, { offset, lengthBytes }: { offset: number; lengthBytes: number }): Uint8Array {
    const handle = this.#handle(path);
    const held = this.#window;
    if (!held || offset < held.offset || offset + lengthBytes > held.offset + held.bytes.length) {
      const bytes = this.#buffer.subarray(0, handle.read(this.#buffer, offset));
      this.#window = { offset, bytes };
      if (bytes.length < lengthBytes) return part(handle, { path, offset, lengthBytes });
    }
    const { bytes, offset: start } = this.#window!;
    return bytes.subarray(offset - start, offset - start + lengthBytes);
  }

  #handle(path: string): DiskFile {
    if (this.#file?.path === path) return this.#file.handle;
    this.close();
    this.#file = { path, handle: this.#disk.open(path, "read") };
    return this.#file.handle;
  }
}
