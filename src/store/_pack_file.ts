/**
 * One pack on its way to a file: encodes, writes and hashes in whatever thread has it. A pack that failed once is
 * poisoned: what was written is not trusted again.
 *
 * @see store-format.md, "Pack"
 */
import { OperatorError } from "../errors.ts";
import type { Disk, DiskFile } from "../model.ts";
import { type PackBlock, type PackCipher, PackEncoder, type PackEnd } from "./_pack_encoder.ts";

/** What a pack is written to, and how. */
export interface PackPlace {
  readonly path: string;
  /** `undefined`: a plain pack. */
  readonly cipher: PackCipher | undefined;
}

/** A closed pack: durable at `path`, to be moved to its name. */
export interface ClosedPack extends PackEnd {
  readonly path: string;
  readonly sizeBytes: number;
}

export class PackFile {
  readonly #path: string;
  readonly #file: DiskFile;
  readonly #encoder: PackEncoder;
  #sizeBytes = 0;
  #isOpen = true;
  #failure: unknown;

  /** Takes the place of what is at `path`: the rest of a pack that a killed session left. */
  constructor(disk: Disk, { path, cipher }: PackPlace) {
    if (disk.stat(path)) disk.remove(path);
    this.#path = path;
    this.#file = disk.open(path, "create");
    this.#encoder = new PackEncoder(cipher);
  }

  /** Appends a block. Gives the size of the file. */
  add(block: PackBlock): number {
    this.#throwIfFailed();
    return this.#write(this.#encoder.add(block));
  }

  /** Writes the footer and makes the file durable. No `add` after it. */
  async close(): Promise<ClosedPack> {
    this.#throwIfFailed();
    const { pieces, end } = this.#encoder.finish();
    this.#write(pieces);
    try {
      await this.#file.sync();
    } catch (error) {
      this.#failure = error;
      throw error;
    }
    this.#closeFile();
    return { path: this.#path, sizeBytes: this.#sizeBytes, ...end };
  }

  /** Gives it up, once or more. The file is left to the next session. */
  abandon(): void {
    this.#failure ??= new OperatorError("storage", `Cannot write pack "${this.#path}": it was given up`);
    this.#closeFile();
  }

  #throwIfFailed(): void {
    if (this.#failure) throw this.#failure;
  }

  #write(pieces: readonly Uint8Array[]): number {
    try {
      for (const piece of pieces) {
        this.#file.write(piece, this.#sizeBytes);
        this.#sizeBytes += piece.length;
      }
    } catch (error) {
      this.#failure = error;
      throw error;
    }
    return this.#sizeBytes;
  }

  #closeFile(): void {
    if (this.#isOpen) this.#file.close();
    this.#isOpen = false;
  }
}
