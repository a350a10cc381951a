/**
 * Fernet tokens under a key that comes from a password and a salt, as Snapshot-4n6ir-Imager made them. A token is
 * authenticated before anything of it is decrypted. When it was made is not looked at: it has no end here.
 *
 * @see https://github.com/fernet/spec/blob/master/Spec.md
 */
import { createDecipheriv, createHmac, pbkdf2Sync, timingSafeEqual } from "node:crypto";
import { Buffer } from "node:buffer";

/** The tool's own number; more would open nothing that it wrote. */
const ROUNDS = 100_000;

/** Version, time, IV, at least one block of AES, HMAC. */
const VERSION = 0x80;
const IV_AT = 9;
const CIPHERTEXT_AT = 25;
const AES_BLOCK_BYTES = 16;
const HMAC_BYTES = 32;
const LEAST_BYTES = CIPHERTEXT_AT + AES_BLOCK_BYTES + HMAC_BYTES;

/** What is in a token, or why that cannot be told. */
export type OpenedToken =
  | { readonly state: "opened"; readonly bytes: Uint8Array }
  /** Another key's, or damaged: nobody can tell the two apart by one token. */
  | { readonly state: "not_authentic" }
  /** No token at all, whatever the key. */
  | { readonly state: "malformed"; readonly why: string };

/** The most bytes of the token of `contentBytes`. */
export function tokenBytes(contentBytes: number): number {
  const padded = (Math.floor(contentBytes / AES_BLOCK_BYTES) + 1) * AES_BLOCK_BYTES;
  return Math.ceil((CIPHERTEXT_AT + padded + HMAC_BYTES) / 3) * 4;
}

export class FernetKey {
  readonly #signing: Buffer;
  readonly #encryption: Buffer;

  private constructor(key: Buffer) {
    this.#signing = key.subarray(0, 16);
    this.#encryption = key.subarray(16);
  }

  /** PBKDF2-HMAC-SHA256; both as the UTF-8 bytes of what was typed then. */
  static derive({ password, salt }: { readonly password: string; readonly salt: string }): FernetKey {
    return new FernetKey(pbkdf2Sync(password, salt, ROUNDS, 32, "sha256"));
  }

  /** @param text The token as it stands in a file: URL-safe Base64 with padding, no line feed. */
  open(text: Uint8Array): OpenedToken {
    const written = Buffer.from(text.buffer, text.byteOffset, text.length).toString("latin1");
    if (!/^[A-Za-z0-9_-]+={0,2}$/.test(written) || written.length % 4 !== 0) {
      return { state: "malformed", why: "it is not URL-safe Base64" };
    }
    const token = Buffer.from(written, "base64url");
    const ciphertextBytes = token.length - CIPHERTEXT_AT - HMAC_BYTES;
    if (token.length < LEAST_BYTES || ciphertextBytes % AES_BLOCK_BYTES !== 0) {
      return { state: "malformed", why: `it has ${token.length} bytes, which no token has` };
    }
    if (token[0] !== VERSION) {
      return { state: "malformed", why: `it is of version ${token[0]}, expected 128` };
    }
    const signed = token.subarray(0, -HMAC_BYTES);
    const expected = createHmac("sha256", this.#signing).update(signed).digest();
    if (!timingSafeEqual(expected, token.subarray(-HMAC_BYTES))) return { state: "not_authentic" };
    const decipher = createDecipheriv("aes-128-cbc", this.#encryption, token.subarray(IV_AT, CIPHERTEXT_AT));
    try {
      const start = decipher.update(token.subarray(CIPHERTEXT_AT, -HMAC_BYTES));
      return { state: "opened", bytes: Buffer.concat([start, decipher.final()]) };
    } catch (error) {
      // Authentic, so whoever made it had the key; but its padding is none.
      return { state: "malformed", why: `it is authentic, and cannot be decrypted (${String(error)})` };
    }
  }
}
