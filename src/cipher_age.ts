/**
 * Age files: the door of the files `cipher_age_*.ts`, and whole files at once. Written are binary files for
 * recipients; read are those, and armored ones where the caller allows them.
 *
 * For files that grow or are read in places: `Recipients.newHeader()` with `AgeWriter`, `Identities.openHeader()`
 * with `AgeReader`.
 *
 * @see https://age-encryption.org/v1; store-format.md
 */
import { Buffer } from "node:buffer";
import { AGE_NONCE_BYTES, agePlaintextSizeBytes } from "./cipher_age_chunks.ts";
import { decodeAgeHeader, readAgeHeader } from "./cipher_age_header.ts";
import type { Identities, NewAgeHeader, Recipients } from "./cipher_age_keys.ts";
import { AgeReader, AgeWriter, type ReadableFile } from "./cipher_age_payload.ts";
import { messageOf, OperatorError } from "./errors.ts";
import type { Randomness } from "./model.ts";

export {
  type AgeHeader,
  decodeAgeHeader,
  looksLikeAge,
  MAX_AGE_HEADER_BYTES,
  readAgeHeader,
} from "./cipher_age_header.ts";
export {
  type GivenIdentity,
  type GivenRecipient,
  hasMacOf,
  Identities,
  makeIdentity,
  MAX_RECIPIENTS,
  type NewAgeHeader,
  type NewIdentity,
  Recipients,
} from "./cipher_age_keys.ts";
export {
  AGE_CHUNK_BYTES,
  AGE_FILE_KEY_BYTES,
  AGE_NONCE_BYTES,
  agePayloadSizeBytes,
  agePlaintextSizeBytes,
} from "./cipher_age_chunks.ts";
export { AgeReader, type AgeReaderOptions, AgeWriter, type ReadableFile } from "./cipher_age_payload.ts";

const ARMOR_START = "-----BEGIN AGE ENCRYPTED FILE-----";

/** A whole age file. Each call makes a file key of its own. */
export async function encryptAge(
  plaintext: Uint8Array,
  options: { readonly recipients: Recipients; readonly randomness: Randomness },
): Promise<Uint8Array> {
  return sealAge(plaintext, await options.recipients.newHeader(), options.randomness);
}

function sealAge(plaintext: Uint8Array, header: NewAgeHeader, randomness: Randomness): Uint8Array {
  const writer = new AgeWriter(header, randomness.bytes(AGE_NONCE_BYTES));
  return new Uint8Array(Buffer.concat([...writer.push(plaintext), ...writer.finish()]));
}

export interface DecryptOptions {
  readonly identities: Identities;
  /** What the file is called in messages. */
  readonly name: string;
  /** More plaintext is refused, before any of it is made. */
  readonly maxBytes: number;
  /** Also takes the ASCII form. */
  readonly acceptsArmor?: boolean;
}

/**
 * The plaintext of a whole age file.
 *
 * Throws `identity` where nothing opens it, `format` where header or armor are malformed or the plaintext is
 * longer than `maxBytes`, `integrity` where header or payload were changed.
 */
export async function decryptAge(file: Uint8Array, options: DecryptOptions): Promise<Uint8Array> {
  const { identities, name, maxBytes } = options;
  const isArmored = options.acceptsArmor === true && looksArmored(file);
  const binary = isArmored ? await decodeArmor(file, name) : file;
  const header = decodeAgeHeader(binary, name);
  const sizeBytes = agePlaintextSizeBytes(binary.length - header.bytes.length) ?? 0;
  if (sizeBytes > maxBytes) {
    throw new OperatorError(
      "format",
      `Cannot decrypt "${name}": it has ${sizeBytes} bytes, expected at most ${maxBytes}`,
    );
  }
  const fileKey = await identities.openHeader(header, name);
  return readAll(new AgeReader(inMemory(binary), { fileKey, headerBytes: header.bytes.length, name }));
}

/**
 * Opens an age file for reading its plaintext anywhere. `close()` of what it gives closes `file`, which stays
 * open where this throws. Throws as `decryptAge()` does.
 */
export async function openAge(
  file: ReadableFile,
  options: { readonly identities: Identities; readonly name: string },
): Promise<AgeReader> {
  const { identities, name } = options;
  const header = readAgeHeader(file, name);
  const fileKey = await identities.openHeader(header, name);
  return new AgeReader(file, { fileKey, headerBytes: header.bytes.length, name });
}

function readAll(reader: AgeReader): Uint8Array {
  try {
    const plaintext = new Uint8Array(reader.sizeBytes());
    reader.read(plaintext, 0);
    return plaintext;
  } finally {
    reader.close();
  }
}

function inMemory(bytes: Uint8Array): ReadableFile {
  return {
    sizeBytes: () => bytes.length,
    read(into, offset) {
      const part = bytes.subarray(offset, offset + into.length);
      into.set(part);
      return part.length;
    },
    close: () => {},
  };
}

/** Whether bytes are armored: white space may come first, as age allows. */
export function looksArmored(bytes: Uint8Array): boolean {
  const start = Buffer.from(bytes.subarray(0, 1024)).toString("latin1");
  return start.replace(/^[ \t\r\n]+/, "").startsWith(ARMOR_START);
}

/** The binary file in an armored one. Throws `format`. */
async function decodeArmor(bytes: Uint8Array, name: string): Promise<Uint8Array> {
  const { armor } = await import("age-encryption");
  try {
    // The library trims all that Unicode calls white space.
    if (bytes.some((byte) => byte > 0x7e)) throw new Error("it is not ASCII");
    return armor.decode(Buffer.from(bytes).toString("latin1"));
  } catch (error) {
    throw new OperatorError(
      "format",
      `Cannot decrypt "${name}": its armor is malformed, ${messageOf(error)}`,
      {
        cause: error,
      },
    );
  }
}
