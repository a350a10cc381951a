/**
 * The header of an age file as text: where it ends, and which kinds of recipients it has. Reads no more than
 * is needed for that, opens nothing, and leaves the meaning of a stanza to whoever has an identity.
 *
 * @see https://age-encryption.org/v1, "Header"
 */
import { Buffer } from "node:buffer";
import type { ReadableFile } from "./cipher_age_payload.ts";
import { OperatorError } from "./errors.ts";

/** A longer header is refused. 32 post-quantum recipients have 50 KiB. */
export const MAX_AGE_HEADER_BYTES = 64 * 1024;
/** A header of more stanzas is refused: each may cost an identity a key agreement. */
export const MAX_AGE_STANZAS = 64;

/** Read first: enough for any header but those of several post-quantum recipients. */
const USUAL_HEADER_BYTES = 4096;

const VERSION_LINE = "age-encryption.org/v1";

export interface AgeHeader {
  /** All of it, to the line feed after the MAC. */
  readonly bytes: Uint8Array;
  /** First argument of each stanza, in order: `X25519`, `scrypt`, … Printable ASCII, but anybody's. */
  readonly stanzaTypes: readonly string[];
}

/** Whether bytes begin as an age file does, of whatever version. */
export function looksLikeAge(start: Uint8Array): boolean {
  return Buffer.from(start.subarray(0, 19)).toString("latin1") === "age-encryption.org/";
}

/**
 * The header at the beginning of `start`, which may have more after it.
 * Throws `format` where it is malformed, cut off, too long or of another version.
 */
export function decodeAgeHeader(start: Uint8Array, name: string): AgeHeader {
  const lines = new HeaderLines(start, name);
  const version = lines.next();
  if (version !== VERSION_LINE) {
    const isOther = version.startsWith("age-encryption.org/");
    throw lines.refusal(isOther ? `of version ${version.slice(19, 40)}, expected v1` : "no age file's");
  }
  const stanzaTypes: string[] = [];
  for (let line = lines.next();; line = lines.next()) {
    if (line.startsWith("---")) {
      if (!/^--- [A-Za-z0-9+/]{43}$/.test(line) || !isCanonical(line.slice(4))) {
        throw lines.refusal("malformed in its last line");
      }
      if (stanzaTypes.length === 0) throw lines.refusal("without recipients");
      return { bytes: start.subarray(0, lines.offset), stanzaTypes };
    }
    const [, type] = /^-> ([!-~]+)(?: [!-~]+)*$/.exec(line) ?? [];
    if (type === undefined) throw lines.refusal(`malformed after stanza ${stanzaTypes.length}`);
    if (stanzaTypes.push(type) > MAX_AGE_STANZAS) {
      throw lines.refusal(`of more than ${MAX_AGE_STANZAS} stanzas`);
    }
    skipBody(lines, stanzaTypes.length);
  }
}

/** A body ends with its first line of fewer than 64 characters, which may be empty. */
function skipBody(lines: HeaderLines, stanza: number): void {
  for (let columns = 64; columns === 64;) {
    const line = lines.next();
    if (!/^[A-Za-z0-9+/]{0,64}$/.test(line) || !isCanonical(line)) {
      throw lines.refusal(`malformed in the body of stanza ${stanza}`);
    }
    columns = line.length;
  }
}

/** Base64 without padding that is its own re-encoding: no stray bits, no length that can't be. */
function isCanonical(text: string): boolean {
  return Buffer.from(text, "base64").toString("base64").replace(/=+$/, "") === text;
}

class HeaderLines {
  readonly #bytes: Uint8Array;
  readonly #name: string;
  /** Of the next line. */
  offset = 0;

  constructor(bytes: Uint8Array, name: string) {
    this.#bytes = bytes.subarray(0, MAX_AGE_HEADER_BYTES);
    this.#name = name;
  }

  next(): string {
    const end = this.#bytes.indexOf(0x0a, this.offset);
    if (end < 0) {
      const isTooLong = this.#bytes.length === MAX_AGE_HEADER_BYTES;
      const rest = Buffer.from(this.#bytes.subarray(this.offset)).toString("latin1");
      if (this.offset === 0 && !VERSION_LINE.startsWith(rest)) throw this.refusal("no age file's");
      throw this.refusal(isTooLong ? `longer than ${MAX_AGE_HEADER_BYTES} bytes` : "cut off");
    }
    const line = Buffer.from(this.#bytes.subarray(this.offset, end)).toString("latin1");
    this.offset = end + 1;
    return line;
  }

  /** `state` completes "its header is …". */
  refusal(state: string): OperatorError {
    return new OperatorError("format", `Cannot decrypt "${this.#name}": its header is ${state}`, {
      facts: { file: this.#name },
    });
  }
}

/** The header of an open file. Throws as `decodeAgeHeader()`. */
export function readAgeHeader(file: ReadableFile, name: string): AgeHeader {
  const usual = new Uint8Array(USUAL_HEADER_BYTES);
  const start = usual.subarray(0, file.read(usual, 0));
  const isWhole = start.length < USUAL_HEADER_BYTES ||
    /\n--- [A-Za-z0-9+/]{43}\n/.test(Buffer.from(start).toString("latin1"));
  if (isWhole) return decodeAgeHeader(start, name);
  const longest = new Uint8Array(MAX_AGE_HEADER_BYTES);
  return decodeAgeHeader(longest.subarray(0, file.read(longest, 0)), name);
}
