/**
 * Makes the bytes of one pack: compresses, encrypts and hashes; touches no disk. It runs in whatever thread has it,
 * and gives what is to be written, piece by piece and in order.
 *
 * @see store-format.md, "Pack"
 */
import { AgeWriter, type NewAgeHeader } from "../cipher_age.ts";
import { packBlock } from "../cipher.ts";
import { Sha256 } from "../format/digests.ts";
import { encodePackFooter, encodePackHeader, encodeRecordHeader, type FooterEntry } from "../format/pack.ts";
import type { Digest } from "../model.ts";

/** What encrypts a pack: for this pack alone. */
export interface PackCipher {
  readonly header: NewAgeHeader;
  /** 16 random bytes. */
  readonly nonce: Uint8Array;
}

/** A block to be packed; its digest was checked. */
export interface PackBlock {
  readonly digest: Digest;
  readonly bytes: Uint8Array;
  readonly index: number;
}

/** What is known of a pack when its last byte is made. */
export interface PackEnd {
  /** Of the file. */
  readonly digest: Digest;
  readonly entries: readonly FooterEntry[];
}

export class PackEncoder {
  readonly #hash = new Sha256();
  readonly #entries: FooterEntry[] = [];
  readonly #cipher: AgeWriter | undefined;
  /** Of the pack itself, before encryption. */
  #packBytes = 0;
  /** What is due to be written. */
  #pieces: Uint8Array[] = [];

  /** @param cipher `undefined`: a plain pack. */
  constructor(cipher: PackCipher | undefined) {
    this.#cipher = cipher && new AgeWriter(cipher.header, cipher.nonce);
    this.#append(encodePackHeader());
  }

  /** The pieces of the file that can be written now. `block.bytes` may be one of them. */
  add(block: PackBlock): Uint8Array[] {
    const { codec, stored } = packBlock(block.bytes);
    this.#entries.push({ digest: block.digest, offset: this.#packBytes, storedBytes: stored.length });
    this.#append(encodeRecordHeader({
      codec,
      blockBytes: block.bytes.length,
      storedBytes: stored.length,
      blockIndex: block.index,
      digest: block.digest,
    }));
    this.#append(stored);
    return this.#take();
  }

  /** The rest of the file. Nothing is added any more. */
  finish(): { readonly pieces: Uint8Array[]; readonly end: PackEnd } {
    this.#append(encodePackFooter(this.#entries));
    for (const piece of this.#cipher?.finish() ?? []) this.#give(piece);
    const pieces = this.#take();
    return { pieces, end: { digest: this.#hash.digest(), entries: this.#entries } };
  }

  /** Bytes of the pack. */
  #append(bytes: Uint8Array): void {
    this.#packBytes += bytes.length;
    if (!this.#cipher) this.#give(bytes);
    else for (const piece of this.#cipher.push(bytes)) this.#give(piece);
  }

  /** Bytes of the file. */
  #give(piece: Uint8Array): void {
    this.#hash.update(piece);
    this.#pieces.push(piece);
  }

  #take(): Uint8Array[] {
    const pieces = this.#pieces;
    this.#pieces = [];
    return pieces;
  }
}
