/**
 * Writes one pack: records one after the other, hashed as they are written, then the footer. A writer that
 * failed once is poisoned: what it wrote is not trusted again.
 *
 * @see store-format.md, "Pack"
 */
import { packBlock } from "../cipher.ts";
import type { AgeWriter } from "../cipher_age.ts";
import { OperatorError } from "../errors.ts";
import { Sha256 } from "../format/digests.ts";
import { encodePackFooter, encodePackHeader, encodeRecordHeader, type FooterEntry } from "../format/pack.ts";
import type { Digest, Disk, DiskFile } from "../model.ts";

/** A pack closes when its records reach this size: what a kill loses at the most. */
export const PACK_TARGET_BYTES = 64 * 1024 * 1024;

/** A closed pack: durable at `path`, to be moved to its name. */
export interface ClosedPack {
  readonly path: string;
  readonly digest: Digest;
  readonly sizeBytes: number;
  readonly entries: readonly FooterEntry[];
}

export class PackWriter {
  readonly #file: DiskFile;
  readonly #path: string;
  readonly #hash = new Sha256();
  readonly #entries = new Map<Digest, FooterEntry>();
  readonly #cipher: AgeWriter | undefined;
  /** Of the pack itself. */
  #packBytes = 0;
  /** Of the file: the same, where nothing is encrypted. */
  #sizeBytes = 0;
  #isOpen = true;
  #failure: unknown;

  /**
   * Takes the place of what is at `path`: the rest of a pack that a killed session left.
   *
   * @param cipher Encrypts the pack as it is written; `undefined` for a plain one.
   */
  constructor(disk: Disk, path: string, cipher: AgeWriter | undefined) {
    if (disk.stat(path)) disk.remove(path);
    this.#path = path;
    this.#cipher = cipher;
    this.#file = disk.open(path, "create");
    this.#append(encodePackHeader());
  }

  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  get blocks(): number {
    return this.#entries.size;
  }

  get isFull(): boolean {
    return this.#sizeBytes >= PACK_TARGET_BYTES;
  }

  has(digest: Digest): boolean {
    return this.#entries.has(digest);
  }

  /** Appends a block; its digest was checked. */
  add(block: { readonly digest: Digest; readonly bytes: Uint8Array; readonly index: number }): void {
    const { codec, stored } = packBlock(block.bytes);
    const entry = { digest: block.digest, offset: this.#packBytes, storedBytes: stored.length };
    this.#append(encodeRecordHeader({
      codec,
      blockBytes: block.bytes.length,
      storedBytes: stored.length,
      blockIndex: block.index,
      digest: block.digest,
    }));
    this.#append(stored);
    this.#entries.set(block.digest, entry);
  }

  /** Writes the footer and makes the file durable. No `add` after it. */
  async close(): Promise<ClosedPack> {
    const entries = [...this.#entries.values()];
    this.#append(encodePackFooter(entries));
    for (const piece of this.#cipher?.finish() ?? []) this.#write(piece);
    try {
      await this.#file.sync();
    } catch (error) {
      this.#failure = error;
      throw error;
    }
    this.#closeFile();
    return { path: this.#path, digest: this.#hash.digest(), sizeBytes: this.#sizeBytes, entries };
  }

  /** Gives the open pack up, after a failure or where nothing is in it. The file is left to the next session. */
  abandon(): void {
    this.#failure ??= new OperatorError("storage", `Cannot write pack "${this.#path}": it was given up`);
    this.#closeFile();
  }

  /** Once only: a pack that was closed may still fail on its way to its name, and is then given up. */
  #closeFile(): void {
    if (this.#isOpen) this.#file.close();
    this.#isOpen = false;
  }

  /** Bytes of the pack. */
  #append(bytes: Uint8Array): void {
    this.#packBytes += bytes.length;
    if (!this.#cipher) this.#write(bytes);
    else for (const piece of this.#cipher.push(bytes)) this.#write(piece);
  }

  /** Bytes of the file. */
  #write(bytes: Uint8Array): void {
    if (this.#failure) throw this.#failure;
    try {
      this.#file.write(bytes, this.#sizeBytes);
    } catch (error) {
      this.#failure = error;
      throw error;
    }
    this.#hash.update(bytes);
    this.#sizeBytes += bytes.length;
  }
}
