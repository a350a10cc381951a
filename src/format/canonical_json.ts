/**
 * Canonical JSON documents (RFC 8785): one value has one text. A document that is not the canonical text of
 * what it parses to (duplicate members, other spacing, `1.0`, trailing bytes, a byte-order mark, bad UTF-8)
 * is refused, so that a signature over bytes is a signature over one meaning.
 *
 * @see store-format.md, "Conventions"
 */
import { canonicalize } from "@std/json/canonicalize";
import { messageOf, OperatorError } from "../errors.ts";
import type { Check } from "./schema.ts";

/**
 * Objects and arrays that may lie in one another. A fixed number: how deep the language can go differs from host to
 * host, and what one reader takes another must not crash at.
 */
export const MAX_JSON_DEPTH = 64;

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** The canonical bytes of `value`, without a final newline. Throws `format` for a text that is no Unicode. */
export function encodeCanonicalJson(value: unknown): Uint8Array<ArrayBuffer> {
  const text = canonicalize(value);
  // A lone surrogate is written as an escape, and nothing else is that starts so (but for a backslash before "ud").
  if (text.includes("\\ud") && !isUnicode(value)) {
    throw new OperatorError("format", "Cannot write canonical JSON: a text holds a lone surrogate");
  }
  return encoder.encode(text);
}

/** Whether no text in `value`, names of members included, holds half of a surrogate pair. */
function isUnicode(value: unknown): boolean {
  if (typeof value === "string") return value.isWellFormed();
  if (typeof value !== "object" || value === null) return true;
  if (Array.isArray(value)) return value.every(isUnicode);
  return Object.entries(value).every(([name, member]) => name.isWellFormed() && isUnicode(member));
}

/**
 * The value of a canonical document.
 *
 * @param bytes The whole document.
 * @param options `name`: what it is, for messages ("manifest"); `maxBytes`: refused before it is parsed.
 * Throws `format`.
 */
export function decodeCanonicalJson<T>(
  bytes: Uint8Array,
  options: { readonly name: string; readonly maxBytes: number; readonly check: Check<T> },
): T {
  const { name, maxBytes, check } = options;
  if (bytes.length > maxBytes) {
    throw new OperatorError(
      "format",
      `Cannot read ${name}: has ${bytes.length} bytes, at most ${maxBytes} are allowed`,
    );
  }
  let value: unknown;
  let canonical: Uint8Array;
  try {
    value = JSON.parse(decoder.decode(bytes));
    if (isDeeper(value, MAX_JSON_DEPTH)) throw new Error(`nested deeper than ${MAX_JSON_DEPTH} levels`);
    canonical = encodeCanonicalJson(value);
  } catch (error) {
    throw new OperatorError("format", `Cannot read ${name}: not JSON in UTF-8 (${messageOf(error)})`);
  }
  const difference = firstDifference(bytes, canonical);
  if (difference !== undefined) {
    throw new OperatorError(
      "format",
      `Cannot read ${name}: differs from its canonical JSON (RFC 8785) at byte ${difference}`,
    );
  }
  return check(value, name);
}

/** Whether objects and arrays lie in more than `levels` of one another. Looks no deeper than that. */
function isDeeper(value: unknown, levels: number): boolean {
  if (typeof value !== "object" || value === null) return false;
  if (levels === 0) return true;
  const members: readonly unknown[] = Array.isArray(value) ? value : Object.values(value);
  return members.some((member) => isDeeper(member, levels - 1));
}

/** Offset of the first byte in which the two differ, `undefined` where they are equal. */
function firstDifference(a: Uint8Array, b: Uint8Array): number | undefined {
  const shared = Math.min(a.length, b.length);
  for (let offset = 0; offset < shared; offset++) if (a[offset] !== b[offset]) return offset;
  return a.length === b.length ? undefined : shared;
}
