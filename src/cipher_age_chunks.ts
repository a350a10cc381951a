/**
 * The payload of an age file, chunk by chunk: a nonce of 16 bytes, then the STREAM of chunks of 64 KiB, each encrypted
 * and authenticated by itself. Sizes and single chunks only; `cipher_age_payload.ts` writes and reads files.
 * Native: 5 to 7 times as fast as the library's JavaScript (measured).
 *
 * @see https://age-encryption.org/v1, "Payload"
 */
import { Buffer } from "node:buffer";
import { createCipheriv, createDecipheriv, hkdfSync } from "node:crypto";

/** Plaintext bytes of each chunk but the last, which has 1 to as many, or none where there is no plaintext. */
export const AGE_CHUNK_BYTES = 64 * 1024;
/** Random bytes before the first chunk. */
export const AGE_NONCE_BYTES = 16;
/** A fresh one for each file. */
export const AGE_FILE_KEY_BYTES = 16;

/** Authentication tag after each chunk. */
export const AGE_TAG_BYTES = 16;
/** A chunk that is not the last, with its tag. */
export const AGE_SEALED_BYTES = AGE_CHUNK_BYTES + AGE_TAG_BYTES;

/** Where a chunk lies: another place, or another answer to "is it the last", is another chunk. */
export interface ChunkPlace {
  /** From 0. */
  readonly index: number;
  readonly isLast: boolean;
}

/** Bytes of the payload, nonce and tags included, of so many bytes of plaintext. */
export function agePayloadSizeBytes(plaintextSizeBytes: number): number {
  const chunkCount = Math.max(1, Math.ceil(plaintextSizeBytes / AGE_CHUNK_BYTES));
  return AGE_NONCE_BYTES + plaintextSizeBytes + chunkCount * AGE_TAG_BYTES;
}

/** Bytes of plaintext in a payload of that size. `undefined` where no payload has it: something was cut off or added. */
export function agePlaintextSizeBytes(payloadSizeBytes: number): number | undefined {
  const sealedBytes = payloadSizeBytes - AGE_NONCE_BYTES;
  const chunkCount = Math.ceil(sealedBytes / AGE_SEALED_BYTES);
  const plaintextBytes = sealedBytes - chunkCount * AGE_TAG_BYTES;
  if (chunkCount < 1 || plaintextBytes < 0) return undefined;
  // The last chunk is empty only where it is the first.
  const isPossible = chunkCount === 1 || plaintextBytes > (chunkCount - 1) * AGE_CHUNK_BYTES;
  return isPossible ? plaintextBytes : undefined;
}

/** The STREAM of one payload: seals and opens single chunks. */
export class AgeChunks {
  readonly #key: Buffer;

  /** `fileKey` and `nonce`: 16 bytes each, not kept. */
  constructor(fileKey: Uint8Array, nonce: Uint8Array) {
    if (fileKey.length !== AGE_FILE_KEY_BYTES || nonce.length !== AGE_NONCE_BYTES) {
      throw new Error(`a file key of ${fileKey.length} bytes, a nonce of ${nonce.length}`);
    }
    this.#key = Buffer.from(hkdfSync("sha256", fileKey, nonce, "payload", 32));
  }

  /** Ciphertext and tag, in this order; the caller owns them. */
  seal(plaintext: Uint8Array, place: ChunkPlace): [Uint8Array, Uint8Array] {
    const cipher = createCipheriv("chacha20-poly1305", this.#key, chunkNonce(place), {
      authTagLength: AGE_TAG_BYTES,
    });
    const sealed = cipher.update(plaintext);
    cipher.final();
    return [sealed, cipher.getAuthTag()];
  }

  /** The plaintext of a chunk, which the caller owns; `undefined` where its tag does not match. */
  open(sealed: Uint8Array, place: ChunkPlace): Uint8Array | undefined {
    if (sealed.length < AGE_TAG_BYTES) return undefined;
    const decipher = createDecipheriv("chacha20-poly1305", this.#key, chunkNonce(place), {
      authTagLength: AGE_TAG_BYTES,
    });
    decipher.setAuthTag(sealed.subarray(-AGE_TAG_BYTES));
    const plaintext = decipher.update(sealed.subarray(0, -AGE_TAG_BYTES));
    try {
      decipher.final();
    } catch {
      // `final()` throws for this reason alone; what `update()` gave must not be seen by anybody.
      plaintext.fill(0);
      return undefined;
    }
    return plaintext;
  }

  /** Forgets the key: nothing can be sealed or opened with it any more. */
  close(): void {
    this.#key.fill(0);
  }
}

/** 11 bytes of counter, big-endian, and the flag of the last chunk. */
function chunkNonce({ index, isLast }: ChunkPlace): Uint8Array {
  const nonce = new Uint8Array(12);
  const fields = new DataView(nonce.buffer);
  fields.setUint32(3, Math.floor(index / 2 ** 32));
  fields.setUint32(7, index % 2 ** 32);
  nonce[11] = isLast ? 1 : 0;
  return nonce;
}
