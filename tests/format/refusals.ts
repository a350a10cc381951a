/** What the tests of the codecs share: texts to bytes, and the assertion that a reader refuses by code and place. */
import { assert, assertEquals, assertInstanceOf } from "@std/assert";
import { encodeHex } from "@std/encoding/hex";
import { type ErrorCode, OperatorError } from "../../src/errors.ts";
import type { Digest } from "../../src/model.ts";
import { type Below, randomBytes } from "../seeded.ts";

export function bytesOf(text: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(text);
}

export function textOf(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}

/** `action` must throw an OperatorError of `code` whose message has all `parts`. */
export function assertRefused(action: () => unknown, code: ErrorCode, ...parts: readonly string[]): void {
  let error: unknown;
  let given: unknown;
  try {
    given = action();
  } catch (thrown) {
    error = thrown;
  }
  assert(error !== undefined, `accepted, gives ${JSON.stringify(given)?.slice(0, 200)}; wanted: ${parts}`);
  if (!(error instanceof OperatorError)) throw error;
  assertInstanceOf(error, OperatorError);
  for (const part of parts) assert(error.message.includes(part), `"${error.message}" does not say "${part}"`);
  assertEquals(error.code, code, error.message);
}

/** A digest of two hexadecimal digits, 32 times. */
export function digestOf(pair: string): Digest {
  return pair.repeat(32) as Digest;
}

export function randomDigest(below: Below): Digest {
  return encodeHex(randomBytes(below, 32)) as Digest;
}
