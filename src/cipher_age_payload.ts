/**
 * The payload of an age file: everything after the header's last line, written as it grows, read anywhere. Synchronous:
 * it runs in whatever thread calls it. Knows no header and no key but the file key, and keeps at most one
 * opened chunk of plaintext.
 *
 * @see https://age-encryption.org/v1, "Payload"
 */
import {
  AGE_CHUNK_BYTES,
  AGE_NONCE_BYTES,
  AGE_SEALED_BYTES,
  AGE_TAG_BYTES,
  AgeChunks,
  agePlaintextSizeBytes,
  type ChunkPlace,
} from "./cipher_age_chunks.ts";
import { OperatorError } from "./errors.ts";
import type { DiskFile } from "./model.ts";

/** Chunks that a large read takes from the file at once: about 1 MiB. */
const BATCH_CHUNKS = 16;

/** What can be read anywhere: a file on disk, or an `AgeReader` that shows what is inside of one. */
export type ReadableFile = Pick<DiskFile, "read" | "sizeBytes" | "close">;

/**
 * Writes one age file from its first byte to its last. What it gives back are pieces of the file in order,
 * which the caller hashes and writes, and owns. A chunk is given when more follows it: until then nobody
 * knows whether it is the last.
 */
export class AgeWriter {
  readonly #chunks: AgeChunks;
  readonly #buffer = new Uint8Array(AGE_CHUNK_BYTES);
  #bufferedBytes = 0;
  #start: Uint8Array[];
  #nextIndex = 0;
  #plaintextBytes = 0;
  #isFinished = false;

  /**
   * @param header The file's header, and the file key that it wraps: `Recipients.newHeader()`.
   * @param nonce 16 random bytes, for this file alone. Not kept.
   */
  constructor(header: { readonly bytes: Uint8Array; readonly fileKey: Uint8Array }, nonce: Uint8Array) {
    this.#chunks = new AgeChunks(header.fileKey, nonce);
    this.#start = [header.bytes, nonce.slice()];
  }

  /** Bytes that were pushed: where the next one will be found by an `AgeReader`. */
  get plaintextBytes(): number {
    return this.#plaintextBytes;
  }

  /** The pieces of the file that can be written now, none where a chunk is not full yet. `bytes` are not kept. */
  push(bytes: Uint8Array): Uint8Array[] {
    if (this.#isFinished) throw new Error("push() after finish()");
    const pieces = this.#takeStart();
    let at = Math.min(AGE_CHUNK_BYTES - this.#bufferedBytes, bytes.length);
    this.#hold(bytes.subarray(0, at));
    while (at < bytes.length) {
      const isHeld = this.#bufferedBytes > 0;
      const chunk = isHeld ? this.#buffer : bytes.subarray(at, at + AGE_CHUNK_BYTES);
      if (!isHeld && at + AGE_CHUNK_BYTES >= bytes.length) {
        this.#hold(chunk);
        break;
      }
      pieces.push(...this.#chunks.seal(chunk, { index: this.#nextIndex++, isLast: false }));
      if (isHeld) this.#bufferedBytes = 0;
      else at += AGE_CHUNK_BYTES;
    }
    this.#plaintextBytes += bytes.length;
    return pieces;
  }

  /** The rest of the file, with its last chunk. Nothing can be pushed any more. */
  finish(): Uint8Array[] {
    if (this.#isFinished) throw new Error("finish() after finish()");
    this.#isFinished = true;
    const chunk = this.#buffer.subarray(0, this.#bufferedBytes);
    const sealed = this.#chunks.seal(chunk, { index: this.#nextIndex, isLast: true });
    this.#buffer.fill(0);
    this.#chunks.close();
    return [...this.#takeStart(), ...sealed];
  }

  #takeStart(): Uint8Array[] {
    const start = this.#start;
    this.#start = [];
    return start;
  }

  #hold(bytes: Uint8Array): void {
    this.#buffer.set(bytes, this.#bufferedBytes);
    this.#bufferedBytes += bytes.length;
  }
}

export interface AgeReaderOptions {
  /** 16 bytes, not kept. */
  readonly fileKey: Uint8Array;
  /** Length of the file's header: where the payload begins. */
  readonly headerBytes: number;
  /** What the file is called in messages. */
  readonly name: string;
  /** It was found to be damaged: read what of it is sound. Where it was cut off, whole chunks before that count. */
  readonly isDamaged?: boolean;
}

const NOTHING = new Uint8Array(0);

/** Plaintext of the chunks that are there whole, of a payload that no age file has; `undefined` where there is none. */
function wholeChunksBytes(payloadBytes: number): number | undefined {
  const chunks = Math.floor((payloadBytes - AGE_NONCE_BYTES) / AGE_SEALED_BYTES);
  return chunks > 0 ? chunks * AGE_CHUNK_BYTES : undefined;
}

/**
 * The plaintext of an age file, to be read anywhere, as if it were a file of its own. Only the chunks that are asked
 * for are opened; the one that was opened last is kept, so that small reads in a row cost one opening. No byte
 * of a chunk is given before its tag matched.
 */
export class AgeReader implements ReadableFile {
  readonly #file: ReadableFile;
  readonly #name: string;
  readonly #chunks: AgeChunks;
  readonly #firstChunkOffset: number;
  readonly #sizeBytes: number;
  readonly #lastIndex: number;
  #sealed = new Uint8Array(0);
  #opened: { readonly index: number; readonly plaintext: Uint8Array } = { index: -1, plaintext: NOTHING };
  readonly #isDamaged: boolean;

  /**
   * Takes the file over: `close()` closes it. Opens the last chunk, which proves that nothing was cut off; not where the
   * file is known to be damaged.
   * Throws `integrity` where that fails or the file has a size that no age file has, `format` where it has not
   * even a nonce; the file is then left open.
   */
  constructor(file: ReadableFile, options: AgeReaderOptions) {
    const payloadBytes = file.sizeBytes() - options.headerBytes;
    this.#isDamaged = options.isDamaged ?? false;
    const sizeBytes = agePlaintextSizeBytes(payloadBytes) ??
      (this.#isDamaged ? wholeChunksBytes(payloadBytes) : undefined);
    if (sizeBytes === undefined) {
      // age's own vectors count the nonce to the header.
      throw new OperatorError(
        payloadBytes < AGE_NONCE_BYTES ? "format" : "integrity",
        `Cannot decrypt "${options.name}": ${payloadBytes} bytes follow its header, which no age file has; it was ` +
          "cut off or added to",
        { facts: { file: options.name, payloadBytes } },
      );
    }
    this.#file = file;
    this.#name = options.name;
    this.#sizeBytes = sizeBytes;
    this.#firstChunkOffset = options.headerBytes + AGE_NONCE_BYTES;
    this.#lastIndex = Math.max(0, Math.ceil(sizeBytes / AGE_CHUNK_BYTES) - 1);
    const nonce = new Uint8Array(AGE_NONCE_BYTES);
    this.#fill(nonce, options.headerBytes);
    this.#chunks = new AgeChunks(options.fileKey, nonce);
    if (this.#isDamaged) return;
    const [plaintext] = this.#openChunks(this.#lastIndex, 1);
    this.#opened = { index: this.#lastIndex, plaintext: plaintext! };
  }

  /** Bytes of the plaintext. */
  sizeBytes(): number {
    return this.#sizeBytes;
  }

  /**
   * Fills `into` with plaintext from `offset`; returns the bytes read, fewer only at the end.
   * Throws `integrity` with facts `chunk` (from 0) and `offsetBytes` (its plaintext's) where one was changed;
   * `into` then holds nothing but bytes of chunks before it.
   */
  read(into: Uint8Array, offset: number): number {
    const end = Math.min(offset + into.length, this.#sizeBytes);
    for (let at = offset; at < end;) {
      const index = Math.floor(at / AGE_CHUNK_BYTES);
      const wanted = Math.ceil(end / AGE_CHUNK_BYTES) - index;
      const plaintexts = this.#opened.index === index
        ? [this.#opened.plaintext]
        : this.#openChunks(index, Math.min(wanted, BATCH_CHUNKS));
      for (const plaintext of plaintexts) {
        const from = at % AGE_CHUNK_BYTES;
        const part = plaintext.subarray(from, from + end - at);
        into.set(part, at - offset);
        at += part.length;
      }
      this.#opened = { index: index + plaintexts.length - 1, plaintext: plaintexts.at(-1)! };
    }
    return Math.max(0, end - offset);
  }

  /** Closes the file, and forgets key and plaintext. */
  close(): void {
    this.#chunks.close();
    this.#opened = { index: -1, plaintext: NOTHING };
    this.#file.close();
  }

  /** `count` chunks from `index` on, all of which there are. */
  #openChunks(index: number, count: number): Uint8Array[] {
    const offset = this.#firstChunkOffset + index * AGE_SEALED_BYTES;
    const untilEnd = this.#sizeBytes + (this.#lastIndex + 1) * AGE_TAG_BYTES - index * AGE_SEALED_BYTES;
    const length = Math.min(count * AGE_SEALED_BYTES, untilEnd);
    if (this.#sealed.length < length) this.#sealed = new Uint8Array(length);
    const sealed = this.#sealed.subarray(0, length);
    this.#fill(sealed, offset);
    return Array.from({ length: count }, (_, nth) => {
      const chunk = sealed.subarray(nth * AGE_SEALED_BYTES, (nth + 1) * AGE_SEALED_BYTES);
      const place = { index: index + nth, isLast: index + nth === this.#lastIndex };
      // In a file that was cut off the last chunk was none.
      const plaintext = this.#chunks.open(chunk, place) ??
        (this.#isDamaged ? this.#chunks.open(chunk, { ...place, isLast: false }) : undefined);
      if (plaintext === undefined) throw this.#refusal(place, chunk);
      return plaintext;
    });
  }

  #fill(into: Uint8Array, offset: number): void {
    const readBytes = this.#file.read(into, offset);
    if (readBytes === into.length) return;
    throw new OperatorError(
      "integrity",
      `Cannot decrypt "${this.#name}": it ends at byte ${offset + readBytes}, was longer when it was opened`,
      { facts: { file: this.#name, offsetBytes: offset + readBytes } },
    );
  }

  #refusal({ index, isLast }: ChunkPlace, sealed: Uint8Array): OperatorError {
    const offsetBytes = index * AGE_CHUNK_BYTES;
    const lengthBytes = sealed.length - AGE_TAG_BYTES;
    const range = lengthBytes === 0
      ? "empty"
      : `bytes ${offsetBytes} to ${offsetBytes + lengthBytes - 1} of the plaintext`;
    // A chunk that would be sound in the middle of a file is a file that ends too early.
    const isCutOff = isLast && this.#chunks.open(sealed, { index, isLast: false }) !== undefined;
    const state = isCutOff ? "is not the last one of the file that was written" : "fails authentication";
    return new OperatorError(
      "integrity",
      `Cannot decrypt "${this.#name}": chunk ${index} (${range}) ${state}`,
      { facts: { file: this.#name, chunk: index, offsetBytes, lengthBytes } },
    );
  }
}
