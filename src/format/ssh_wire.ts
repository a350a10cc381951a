/**
 * The data types of the SSH wire format, of which public keys, signatures, key files and the agent's messages
 * are made: bytes, uint32 (big-endian) and string (a uint32 length, then that many bytes). And base64 in
 * lines, as OpenSSH writes it. Knows no structure; see `verifying_key.ts` and `sshsig.ts`.
 *
 * @see RFC 4251, section 5
 */
import { encodeBase64 } from "@std/encoding/base64";
import { OperatorError } from "../errors.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

export function sshUint32(value: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value);
  return bytes;
}

/** `value`, a text in UTF-8, with its length before it. */
export function sshString(value: Uint8Array | string): Uint8Array<ArrayBuffer> {
  const bytes = typeof value === "string" ? encoder.encode(value) : value;
  return joinBytes(sshUint32(bytes.length), bytes);
}

export function joinBytes(...parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const joined = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    joined.set(part, offset);
    offset += part.length;
  }
  return joined;
}

export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let at = 0; at < a.length; at++) if (a[at] !== b[at]) return false;
  return true;
}

/** Reads a structure from its first byte to its last; each method throws `format` where the bytes end too early. */
export class SshReader {
  readonly #bytes: Uint8Array;
  readonly #name: string;
  #offset = 0;

  /** @param name What it is, for messages: "signature". */
  constructor(bytes: Uint8Array, name: string) {
    this.#bytes = bytes;
    this.#name = name;
  }

  /** A view of the next `length` bytes. */
  bytes(length: number): Uint8Array {
    const end = this.#offset + length;
    if (end > this.#bytes.length) {
      throw new OperatorError(
        "format",
        `Cannot read ${this.#name}: a field ends at byte ${end}, it has ${this.#bytes.length} bytes`,
      );
    }
    const view = this.#bytes.subarray(this.#offset, end);
    this.#offset = end;
    return view;
  }

  uint32(): number {
    const at = this.bytes(4);
    return new DataView(at.buffer, at.byteOffset, 4).getUint32(0);
  }

  /** A view of a string's contents. */
  string(): Uint8Array {
    return this.bytes(this.uint32());
  }

  /** A string that holds UTF-8. */
  text(): string {
    const bytes = this.string();
    try {
      return decoder.decode(bytes);
    } catch (error) {
      throw new OperatorError("format", `Cannot read ${this.#name}: a text in it is not UTF-8`, {
        cause: error,
      });
    }
  }

  /** What is left. */
  rest(): Uint8Array {
    return this.bytes(this.#bytes.length - this.#offset);
  }

  /** Refuses trailing bytes. */
  end(): void {
    const left = this.#bytes.length - this.#offset;
    if (left > 0) {
      throw new OperatorError(
        "format",
        `Cannot read ${this.#name}: ${left} bytes follow its last field, expected none`,
      );
    }
  }
}

/** Line length of OpenSSH's own armor (`sshbuf_dtob64` with wrapping). */
const ARMOR_COLUMNS = 70;

/** `-----BEGIN label-----`, base64 in lines of 70, `-----END label-----`, each line ended by a line feed. */
export function encodeSshArmor(label: string, bytes: Uint8Array): string {
  // Uint8Array.from: encodeBase64() detaches the memory of a Buffer (measured, deno-std 1.4.0).
  const lines = encodeBase64(Uint8Array.from(bytes)).match(new RegExp(`.{1,${ARMOR_COLUMNS}}`, "g")) ?? [];
  return [`-----BEGIN ${label}-----`, ...lines, `-----END ${label}-----`, ""].join("\n");
}
