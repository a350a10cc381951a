/**
 * RFC 3161 time-stamps: the request for the SHA-256 of some bytes, and what comes back: status, token, time.
 * That a token answers the request (digest, nonce) is checked here; its signature and whom it trusts are not:
 * `openssl ts -verify` does that, with the authority's certificate, which only a person can choose. Reads BER,
 * because authorities send it.
 *
 * @see RFC 3161, section 2.4; store-format.md, "Time-stamps"
 */
import * as asn1 from "asn1js";
import { createHash } from "node:crypto";
import { messageOf, OperatorError } from "../errors.ts";
import { equalBytes } from "./ssh_wire.ts";

const ID_SHA256 = "2.16.840.1.101.3.4.2.1";
const ID_SIGNED_DATA = "1.2.840.113549.1.7.2";
const ID_TST_INFO = "1.2.840.113549.1.9.16.1.4";

/** Content types of a request and its answer over HTTP (RFC 3161, section 3.4). */
export const TIMESTAMP_QUERY_TYPE = "application/timestamp-query";
export const TIMESTAMP_REPLY_TYPE = "application/timestamp-reply";

/** Tokens carry a chain of certificates: some KiB. More than this is refused. */
export const MAX_TIMESTAMP_BYTES = 1024 * 1024;

/** What was asked for, to hold the answer against. */
export interface TimestampRequest {
  /** DER, to be posted. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** SHA-256 of what is stamped, 32 bytes. */
  readonly digest: Uint8Array;
  /** The INTEGER's content bytes: positive, minimal. */
  readonly nonce: Uint8Array;
}

/** What a token says; nobody has vouched for it yet. */
export interface TimestampFacts {
  /** RFC 3339 UTC, with as many digits of a second as the token has. */
  readonly at: string;
  /** How far the authority says it may be off, `undefined` where it says nothing. */
  readonly accuracyMs: number | undefined;
  /** The authority's number of this token, in hexadecimal. */
  readonly serialNumber: string;
  /** OID of the policy it was issued under. */
  readonly policy: string;
  /** SHA-256 of what was stamped, 32 bytes. */
  readonly digest: Uint8Array;
  /** As in the request, `undefined` where the token has none. */
  readonly nonce: Uint8Array | undefined;
}

export interface Timestamp extends TimestampFacts {
  /** The token (a CMS ContentInfo) as received, for `openssl ts -verify -token_in`. */
  readonly token: Uint8Array<ArrayBuffer>;
}

/**
 * A request for a time-stamp over `message`, asking for the authority's certificate too (certReq).
 *
 * @param random 8 random bytes; 62 bits of them become the nonce. No more, as openssl does: to some
 * authorities a nonce is a number of 64 bits.
 */
export function encodeTimestampRequest(message: Uint8Array, random: Uint8Array): TimestampRequest {
  const digest = new Uint8Array(createHash("sha256").update(message).digest());
  // Its first byte is 0x40 to 0x7f: positive and minimal, whatever the random bytes are.
  const nonce = Uint8Array.from(random, (byte, index) => index === 0 ? byte & 0x3f | 0x40 : byte);
  const algorithm = new asn1.Sequence({
    value: [new asn1.ObjectIdentifier({ value: ID_SHA256 }), new asn1.Null()],
  });
  const request = new asn1.Sequence({
    value: [
      new asn1.Integer({ value: 1 }),
      new asn1.Sequence({ value: [algorithm, new asn1.OctetString({ valueHex: digest })] }),
      new asn1.Integer({ valueHex: nonce }),
      new asn1.Boolean({ value: true }),
    ],
  });
  return { bytes: new Uint8Array(request.toBER()), digest, nonce };
}

/** PKIStatus: 0 and 1 come with a token. */
const STATUS_NAMES = ["granted", "granted with modifications", "rejected", "waiting"];

/** PKIFailureInfo by bit (RFC 3161, section 2.4.2). */
const FAILURE_NAMES: Readonly<Record<number, string>> = {
  0: "bad algorithm",
  2: "bad request",
  5: "bad data format",
  14: "its time source is not available",
  15: "unaccepted policy",
  16: "unaccepted extension",
  17: "additional information not available",
  25: "system failure",
};

/**
 * The token of an answer.
 *
 * Throws `source` where the authority refused, with its words; `format` where the answer is malformed;
 * `integrity` where the token is over another digest or has another nonce: it is not the answer to `request`.
 */
export function decodeTimestampResponse(bytes: Uint8Array, request: TimestampRequest): Timestamp {
  const [statusInfo, token, ...more] = membersOf(parse(bytes), "answer");
  const [status, ...reasons] = membersOf(statusInfo, "status");
  const number = status instanceof asn1.Integer ? status.valueBlock.valueDec : -1;
  if (number !== 0 && number !== 1) {
    const name = STATUS_NAMES[number] ?? `status ${number}`;
    const words = reasons.map(reasonText).filter((text) => text !== "").join("; ");
    throw new OperatorError(
      "source",
      `Cannot get a time-stamp: the authority answers "${name}"${
        words === "" ? "" : ` (${words})`
      }, expected "granted"`,
      { facts: { status: number } },
    );
  }
  if (token === undefined || more.length > 0) malformed("it is granted, but holds no token");
  const raw = new Uint8Array(token.valueBeforeDecodeView);
  const facts = decodeTimestampToken(raw);
  if (!equalBytes(facts.digest, request.digest)) mismatch("digest", facts.digest, request.digest);
  if (facts.nonce === undefined || !equalBytes(facts.nonce, request.nonce)) {
    mismatch("nonce", facts.nonce, request.nonce);
  }
  return { ...facts, token: raw };
}

/** What a stored token says. Throws `format`. */
export function decodeTimestampToken(token: Uint8Array): TimestampFacts {
  const [type, wrapped] = membersOf(parse(token), "token");
  if (oidOf(type) !== ID_SIGNED_DATA) malformed(`its token is ${oidOf(type)}, expected signed data`);
  const [_version, _digests, content] = membersOf(onlyMember(wrapped), "signed data");
  const [contentType, contentWrapped] = membersOf(content, "signed content");
  if (oidOf(contentType) !== ID_TST_INFO) {
    malformed(`its token signs ${oidOf(contentType)}, expected a TSTInfo (${ID_TST_INFO})`);
  }
  const octets = onlyMember(contentWrapped);
  if (!(octets instanceof asn1.OctetString)) malformed("its signed content is no OCTET STRING");
  return factsOf(parse(new Uint8Array(octets.getValue())));
}

function factsOf(info: asn1.AsnType): TimestampFacts {
  const [version, policy, imprint, serial, time, ...optional] = membersOf(info, "TSTInfo");
  if (!(version instanceof asn1.Integer) || version.valueBlock.valueDec !== 1) {
    malformed("its TSTInfo is not of version 1");
  }
  const [algorithm, digest] = membersOf(imprint, "message imprint");
  const digestOid = oidOf(membersOf(algorithm, "digest algorithm")[0]);
  if (digestOid !== ID_SHA256) malformed(`its digest is ${digestOid}, expected SHA-256 (${ID_SHA256})`);
  if (!(digest instanceof asn1.OctetString)) malformed("its message imprint holds no digest");
  if (!(serial instanceof asn1.Integer)) malformed("it has no serial number");
  if (!(time instanceof asn1.GeneralizedTime)) malformed("it has no time");
  const nonce = optional.find((member) => member instanceof asn1.Integer);
  return {
    at: timeOf(new TextDecoder().decode(time.valueBlock.valueHexView)),
    accuracyMs: accuracyMsOf(optional.find((member) => member instanceof asn1.Sequence)),
    serialNumber: hex(serial.valueBlock.valueHexView),
    policy: oidOf(policy),
    digest: new Uint8Array(digest.getValue()),
    nonce: nonce && Uint8Array.from(nonce.valueBlock.valueHexView),
  };
}

/** `20260102030405.678Z` → `2026-01-02T03:04:05.678Z` (RFC 3161 allows this form only). */
function timeOf(text: string): string {
  const match = /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(\.\d{1,9})?Z$/.exec(text);
  if (!match) malformed(`its time is "${text.slice(0, 40)}", expected YYYYMMDDhhmmss[.s…]Z`);
  const [_whole, year, month, day, hour, minute, second, fraction = ""] = match;
  const at = `${year}-${month}-${day}T${hour}:${minute}:${second}${fraction}Z`;
  if (!isOnCalendar(at.slice(0, 19))) malformed(`its time is "${text}", which no calendar has`);
  return at;
}

/** `Date` takes 31 April for 1 May, and 24:00 for the next day: only what it gives back unchanged is a time. */
function isOnCalendar(seconds: string): boolean {
  const ms = Date.parse(`${seconds}Z`);
  return !Number.isNaN(ms) && new Date(ms).toISOString().startsWith(seconds);
}

/** Accuracy ::= SEQUENCE { seconds INTEGER OPTIONAL, millis [0] (1..999) OPTIONAL, micros [1] (1..999) OPTIONAL }. */
function accuracyMsOf(accuracy: asn1.Sequence | undefined): number | undefined {
  if (accuracy === undefined) return undefined;
  const parts = accuracy.valueBlock.value;
  if (parts.length > 3) malformed(`its accuracy has ${parts.length} parts, expected at most 3`);
  return parts.reduce((ms, part) => {
    if (!(part instanceof asn1.Integer || part instanceof asn1.Primitive)) {
      return malformed("its accuracy holds something else than numbers");
    }
    const bytes = part.valueBlock.valueHexView;
    const value = bytes.reduce((number, byte) => number * 256 + byte, 0);
    // The first bit of an INTEGER is its sign; nobody is accurate to a hundred years.
    const isSeconds = part instanceof asn1.Integer;
    if (bytes.length > 4 || bytes[0]! >= 0x80 || (!isSeconds && value > 999)) {
      malformed(`its accuracy has a part of ${hex(bytes.subarray(0, 8))}, expected seconds, or 1 to 999`);
    }
    if (isSeconds) return ms + value * 1000;
    return ms + (part.idBlock.tagNumber === 0 ? value : value / 1000);
  }, 0);
}

/** A PKIFreeText's texts, or the names of a PKIFailureInfo's bits. */
function reasonText(reason: asn1.AsnType): string {
  if (reason instanceof asn1.Sequence) {
    return reason.valueBlock.value.map((text) =>
      text instanceof asn1.Utf8String ? text.getValue().slice(0, 500) : ""
    ).join("; ");
  }
  if (!(reason instanceof asn1.BitString)) return "";
  const bytes = reason.valueBlock.valueHexView;
  return Object.entries(FAILURE_NAMES).filter(([bit]) =>
    ((bytes[Math.floor(Number(bit) / 8)] ?? 0) & (0x80 >> Number(bit) % 8)) !== 0
  ).map(([, name]) => name).join(", ");
}

/** One value that is all of `bytes`. */
function parse(bytes: Uint8Array): asn1.AsnType {
  if (bytes.length > MAX_TIMESTAMP_BYTES) {
    malformed(`it has ${bytes.length} bytes, at most ${MAX_TIMESTAMP_BYTES} are allowed`);
  }
  const { offset, result } = decode(bytes);
  if (offset !== bytes.length) malformed("it is no whole ASN.1 value, or more bytes follow it");
  return result;
}

function decode(bytes: Uint8Array): asn1.FromBerResult {
  try {
    return asn1.fromBER(bytes);
  } catch (error) {
    return malformed(messageOf(error));
  }
}

function membersOf(value: asn1.AsnType | undefined, name: string): asn1.AsnType[] {
  if (value instanceof asn1.Sequence) return value.valueBlock.value;
  return malformed(`its ${name} is no SEQUENCE`);
}

/** What `[0] EXPLICIT` holds. */
function onlyMember(value: asn1.AsnType | undefined): asn1.AsnType | undefined {
  return value instanceof asn1.Constructed && value.valueBlock.value.length === 1
    ? value.valueBlock.value[0]
    : malformed("a content is missing");
}

function oidOf(value: asn1.AsnType | undefined): string {
  return value instanceof asn1.ObjectIdentifier
    ? value.getValue()
    : malformed("an object identifier is missing");
}

function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function malformed(reason: string): never {
  throw new OperatorError("format", `Cannot read time-stamp: ${reason}`);
}

function mismatch(what: string, actual: Uint8Array | undefined, expected: Uint8Array): never {
  throw new OperatorError(
    "integrity",
    `Cannot accept time-stamp: its ${what} is ${actual === undefined ? "missing" : hex(actual)}, ` +
      `expected ${hex(expected)}`,
  );
}
