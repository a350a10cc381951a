/**
 * Reads packs that lie in a store, in whatever thread has it: single records, and whole packs to be checked. Keeps files
 * open and memory for the next read. It knows no index and no identity: who asks says where, and gives the file key.
 *
 * @see store-format.md, "Pack"
 */
import { AgeReader, type ReadableFile } from "../cipher_age.ts";
import { RECORD_HEADER_BYTES } from "../format/pack.ts";
import type { Digest, ObjectName } from "../model.ts";
import type { LocalStorage } from "./_local_storage.ts";
import { checkPack, type PackCheck, type PackToCheck } from "./_pack_check.ts";
import { openRecord, readExactly } from "./_pack_reader.ts";

/** Packs kept open for reading. */
const OPEN_PACKS = 16;

/** What opens an age file. */
export interface AgeKey {
  /** A secret, 16 bytes. */
  readonly fileKey: Uint8Array;
  /** Length of the file's own header. */
  readonly headerBytes: number;
}

/** A pack of a store. */
export interface StoredPack {
  readonly name: ObjectName;
  /** `undefined`: it is plain. */
  readonly key: AgeKey | undefined;
}

/** A record, by where it lies and what it must hold. */
export interface RecordToRead {
  readonly pack: StoredPack;
  /** Of its header. */
  readonly offset: number;
  readonly storedBytes: number;
  readonly digest: Digest;
}

export class PackReading {
  readonly #storage: LocalStorage;
  readonly #open = new Map<ObjectName, ReadableFile>();
  /** For the next record, where the one before gave other memory away. */
  #record = new Uint8Array(0);

  constructor(storage: LocalStorage) {
    this.#storage = storage;
  }

  /** The block of a record, its digest checked; the caller owns it. Throws `integrity`, `format`, `storage`. */
  read({ pack, offset, storedBytes, digest }: RecordToRead): Uint8Array {
    const { name } = pack;
    const length = RECORD_HEADER_BYTES + storedBytes;
    const memory = this.#record.length >= length ? this.#record : new Uint8Array(length);
    // A block that is stored as it is goes away with its record's memory.
    this.#record = new Uint8Array(0);
    const file = this.#openPack(pack);
    const record = readExactly({ name, file }, { offset, length }, memory);
    const block = openRecord(record, { name, offset, digest });
    if (block.buffer !== memory.buffer) this.#record = memory;
    return block;
  }

  /** Throws what is no finding: `storage`. */
  check(pack: PackToCheck): PackCheck {
    const file = this.#storage.open(pack.name);
    try {
      return checkPack(pack, file);
    } finally {
      file.close();
    }
  }

  close(): void {
    for (const file of this.#open.values()) file.close();
    this.#open.clear();
  }

  #openPack({ name, key }: StoredPack): ReadableFile {
    let file = this.#open.get(name);
    if (file) this.#open.delete(name); // put back below as the newest
    else {
      const stored = this.#storage.open(name);
      try {
        file = key ? new AgeReader(stored, { ...key, name }) : stored;
      } catch (error) {
        stored.close();
        throw error;
      }
      const [oldest] = this.#open.size >= OPEN_PACKS ? this.#open : [];
      if (oldest) {
        oldest[1].close();
        this.#open.delete(oldest[0]);
      }
    }
    this.#open.set(name, file);
    return file;
  }
}
