/**
 * Checks one pack, every byte: the file against the digest in its name, and each record against its block's. It
 * changes nothing and knows no exhibit; what it found is told at the end, so that whoever asked for several packs at
 * once tells it in their order. Memory is one record's.
 *
 * @see store-format.md, "Verification"
 */
import { AgeReader, type ReadableFile } from "../cipher_age.ts";
import { isFault } from "../errors.ts";
import { Sha256 } from "../format/digests.ts";
import { type FooterEntry, RECORD_HEADER_BYTES } from "../format/pack.ts";
import type { Finding } from "./_findings.ts";
import { parseName } from "./_layout.ts";
import { type OpenPack, openRecord, readExactly, readFooter, walkRecords } from "./_pack_reader.ts";
import type { StoredPack } from "./_pack_reading.ts";

/** Read at once where nothing else says how much. */
const PIECE_BYTES = 1024 * 1024;

export interface PackToCheck extends StoredPack {
  /** Of every block in it. */
  readonly blockBytes: number;
  /** `file`: its digest only, where nothing opens it. */
  readonly depth: "file" | "records";
}

/** What was found, in the order of the pack's bytes. */
export interface PackCheck {
  readonly readBytes: number;
  readonly findings: readonly Finding[];
  /** Records whose blocks are what they should be, and those whose are not. */
  readonly good: readonly FooterEntry[];
  readonly bad: readonly FooterEntry[];
}

/** @param file Belongs to the caller. Throws what is no finding: `storage`. */
export function checkPack(pack: PackToCheck, file: ReadableFile): PackCheck {
  const { name } = pack;
  const hashed = new HashedFile(file);
  const findings: Finding[] = [];
  const good: FooterEntry[] = [];
  const bad: FooterEntry[] = [];
  try {
    if (pack.depth === "records") checkRecords(pack, hashed, { findings, good, bad });
  } catch (error) {
    if (!isFault(error)) throw error;
    findings.push({ code: "file_damaged", file: name, message: error.message });
  }
  const { digest, readBytes } = hashed.finish();
  if (digest !== parseName(name)?.digest) {
    const message = `"${name}" has SHA-256 ${digest}, expected the one in its name`;
    findings.unshift({ code: "file_damaged", file: name, message });
  }
  return { readBytes, findings, good, bad };
}

/**
 * A file whose SHA-256 is computed of the very bytes that are read from it in order, so that each is fetched once and
 * hashed while the processor still has it at hand. What was read in another order, or not at all, is read at the end.
 */
class HashedFile implements ReadableFile {
  readonly #file: ReadableFile;
  readonly #hash = new Sha256();
  #hashedBytes = 0;

  constructor(file: ReadableFile) {
    this.#file = file;
  }

  read(into: Uint8Array, offset: number): number {
    const count = this.#file.read(into, offset);
    if (offset <= this.#hashedBytes && this.#hashedBytes < offset + count) {
      this.#hash.update(into.subarray(this.#hashedBytes - offset, count));
      this.#hashedBytes = offset + count;
    }
    return count;
  }

  sizeBytes(): number {
    return this.#file.sizeBytes();
  }

  close(): void {}

  finish() {
    const rest = Math.max(1, this.sizeBytes() - this.#hashedBytes);
    const piece = new Uint8Array(Math.min(PIECE_BYTES, rest));
    while (this.read(piece, this.#hashedBytes) > 0);
    return { digest: this.#hash.digest(), readBytes: this.#hashedBytes };
  }
}

function checkRecords(
  { name, key, blockBytes }: PackToCheck,
  stored: ReadableFile,
  into: { readonly findings: Finding[]; readonly good: FooterEntry[]; readonly bad: FooterEntry[] },
): void {
  const { findings, good, bad } = into;
  // Nobody else reads the header of an age file here: what follows it is then hashed as it is read.
  if (key) stored.read(new Uint8Array(key.headerBytes), 0);
  const file = key ? new AgeReader(stored, { ...key, name }) : stored;
  const pack = { name, file, sizeBytes: file.sizeBytes() };
  let memory = new Uint8Array(0);
  for (const [record, entry] of entriesOf(pack, findings).entries()) {
    const { offset } = entry;
    const length = RECORD_HEADER_BYTES + entry.storedBytes;
    if (memory.length < length) memory = new Uint8Array(length);
    try {
      openRecord(readExactly(pack, { offset, length }, memory), { ...entry, name, blockBytes });
      good.push(entry);
    } catch (error) {
      if (!isFault(error)) throw error;
      bad.push(entry);
      findings.push({
        code: "record_damaged",
        file: name,
        record,
        recordOffsetBytes: offset,
        message: error.message,
      });
    }
  }
  file.close();
}

/** By the footer, or by the headers where the footer is damaged (which is a finding). */
function entriesOf(pack: OpenPack, findings: Finding[]): FooterEntry[] {
  try {
    return readFooter(pack);
  } catch (error) {
    if (!isFault(error)) throw error;
    findings.push({ code: "file_damaged", file: pack.name, message: error.message });
    return walkRecords(pack);
  }
}
