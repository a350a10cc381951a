/**
 * A time-stamp token that no authority signed: the structure of RFC 3161 around the digest of a signature file, for
 * stores that must have the same bytes in every run. It proves nothing and is good for nothing else.
 */
import { createHash } from "node:crypto";

function der(tag: number, ...parts: readonly Uint8Array[]): Uint8Array {
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  const size = length < 0x80 ? [length] : [0x82, length >> 8, length & 0xff];
  return Uint8Array.from([tag, ...size, ...parts.flatMap((part) => [...part])]);
}

const sequence = (...parts: readonly Uint8Array[]) => der(0x30, ...parts);
const number = (value: number) => der(0x02, Uint8Array.of(value));
/** The arcs' bytes as X.690, 8.19 encodes them. */
const identifier = (...bytes: readonly number[]) => der(0x06, Uint8Array.from(bytes));

const SIGNED_DATA = identifier(0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x02);
const TST_INFO = identifier(0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x10, 0x01, 0x04);
const SHA256 = identifier(0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01);
const POLICY = identifier(0x2a, 0x03, 0x04);

/** A token over the bytes of a signature file. */
export function unsignedToken(signature: Uint8Array): Uint8Array {
  const digest = new Uint8Array(createHash("sha256").update(signature).digest());
  const time = der(0x18, new TextEncoder().encode("20260102030600Z"));
  const imprint = sequence(sequence(SHA256, der(0x05)), der(0x04, digest));
  const info = sequence(number(1), POLICY, imprint, number(7), time);
  const content = sequence(TST_INFO, der(0xa0, der(0x04, info)));
  const signers = der(0x31);
  return sequence(SIGNED_DATA, der(0xa0, sequence(number(3), der(0x31), content, signers)));
}
