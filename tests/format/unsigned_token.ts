/**
 * Time-stamp tokens that nobody signed, built by hand: enough for a reader that leaves signatures to openssl. And the
 * pieces of DER to build others. No assertions.
 */
import { encodeTimestampRequest, type TimestampRequest } from "../../src/format/timestamp.ts";
import { bytesOf } from "./refusals.ts";

/** A DER value of one-byte tag; `parts` are its contents. */
export function der(tag: number, ...parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  const head = length < 128 ? [tag, length] : [tag, 0x82, length >> 8, length & 0xff];
  return Uint8Array.of(...head, ...parts.flatMap((part) => [...part]));
}

export const sequence = (...parts: readonly Uint8Array[]) => der(0x30, ...parts);
export const integer = (...bytes: readonly number[]) => der(0x02, Uint8Array.from(bytes));
export const SIGNED_DATA = der(0x06, Uint8Array.of(0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x02));
export const TST_INFO = der(
  0x06,
  Uint8Array.of(0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x10, 0x01, 0x04),
);
const SHA256 = der(0x06, Uint8Array.of(0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01));
const POLICY = der(0x06, Uint8Array.of(0x2a, 0x03, 0x04));
export const NULL = der(0x05);

/** For a token over the text "a signature file". */
export const REQUEST = encodeTimestampRequest(bytesOf("a signature file"), new Uint8Array(8).fill(0xff));

export interface TokenParts {
  readonly version: Uint8Array;
  readonly algorithm: Uint8Array;
  readonly digest: Uint8Array;
  readonly time: string;
  readonly optional: readonly Uint8Array[];
  readonly contentType: Uint8Array;
  readonly tokenType: Uint8Array;
}

/** A token over what `request` is over, with `change`. */
export function token(
  change: Partial<TokenParts> = {},
  request: TimestampRequest = REQUEST,
): Uint8Array<ArrayBuffer> {
  const parts: TokenParts = {
    version: integer(1),
    algorithm: SHA256,
    digest: request.digest,
    time: "20260102030405.678Z",
    optional: [der(0x02, request.nonce)],
    contentType: TST_INFO,
    tokenType: SIGNED_DATA,
    ...change,
  };
  const info = sequence(
    parts.version,
    POLICY,
    sequence(sequence(parts.algorithm, NULL), der(0x04, parts.digest)),
    integer(0x12, 0x34),
    der(0x18, bytesOf(parts.time)),
    ...parts.optional,
  );
  const content = sequence(parts.contentType, der(0xa0, der(0x04, info)));
  return sequence(parts.tokenType, der(0xa0, sequence(integer(3), der(0x31), content)));
}
