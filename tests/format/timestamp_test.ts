/**
 * RFC 3161 requests and answers built here by hand: what is refused, and what of an authority's words reaches the
 * operator. Answers of a real authority: tests/interop/timestamp_test.ts.
 */
import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { encodeHex } from "@std/encoding/hex";
import { type ErrorCode, OperatorError } from "../../src/errors.ts";
import {
  decodeTimestampResponse,
  decodeTimestampToken,
  encodeTimestampRequest,
} from "../../src/format/timestamp.ts";
import { forRounds, randomBytes } from "../seeded.ts";
import { bytesOf } from "./refusals.ts";
import {
  der,
  integer,
  NULL,
  REQUEST,
  sequence,
  SIGNED_DATA,
  token,
  type TokenParts,
  TST_INFO,
} from "./unsigned_token.ts";

const answer = (...parts: readonly Uint8Array[]) => sequence(sequence(integer(0)), ...parts);

function refusal(code: ErrorCode, act: () => unknown): string {
  const error = assertThrows(act, OperatorError);
  assertEquals(error.code, code, error.message);
  return error.message;
}

Deno.test("encodeTimestampRequest() is the DER of RFC 3161 with SHA-256, nonce and certReq", () => {
  const { bytes, digest, nonce } = encodeTimestampRequest(bytesOf("abc"), new Uint8Array(8));
  assertEquals(encodeHex(nonce), "4000000000000000");
  assertEquals(
    encodeHex(bytes),
    "3043" + "020101" + "3031" + "300d0609608648016503040201" + "0500" + "0420" + encodeHex(digest) +
      "0208" + "4000000000000000" + "0101ff",
  );
});

Deno.test("encodeTimestampRequest() makes a positive, minimal nonce of any random bytes (property)", () => {
  forRounds(300, (below) => {
    const { bytes, nonce } = encodeTimestampRequest(randomBytes(below, 10), randomBytes(below, 8));
    assertEquals([nonce.length, nonce[0]! >> 6, bytes.length], [8, 1, 69]);
  });
});

Deno.test("decodeTimestampResponse() gives time, accuracy, serial number, policy and the token as received", () => {
  const accuracy = sequence(integer(2), der(0x80, Uint8Array.of(0x01, 0xf4)), der(0x81, Uint8Array.of(100)));
  const made = token({ optional: [accuracy, der(0x01, Uint8Array.of(0xff)), der(0x02, REQUEST.nonce)] });
  assertEquals(decodeTimestampResponse(answer(made), REQUEST), {
    at: "2026-01-02T03:04:05.678Z",
    accuracyMs: 2500.1,
    serialNumber: "1234",
    policy: "1.2.3.4",
    digest: REQUEST.digest,
    nonce: REQUEST.nonce,
    token: made,
  });
  assertEquals(decodeTimestampResponse(answer(token()), REQUEST).accuracyMs, undefined);
  const withMods = sequence(sequence(integer(1)), token());
  assertEquals(decodeTimestampResponse(withMods, REQUEST).at, "2026-01-02T03:04:05.678Z");
});

Deno.test("decodeTimestampToken() reads indefinite lengths, which some authorities send", () => {
  const plain = token({ time: "20260102030405Z" });
  const [head, body] = [4, plain.subarray(4)];
  assertEquals(plain[1], 0x82, `expected a length of ${head - 2} bytes`);
  const indefinite = Uint8Array.of(0x30, 0x80, ...body, 0, 0);
  assertEquals(decodeTimestampToken(indefinite), decodeTimestampToken(plain));
  assertEquals(decodeTimestampToken(plain).at, "2026-01-02T03:04:05Z");
});

Deno.test("decodeTimestampResponse() says why an authority refused, in its own words", () => {
  const text = sequence(der(0x0c, bytesOf("quota is used up")), der(0x0c, bytesOf("come back")));
  const failure = der(0x03, Uint8Array.of(6, 0x00, 0x00, 0x00, 0x40));
  const message = refusal(
    "source",
    () => decodeTimestampResponse(sequence(sequence(integer(2), text, failure)), REQUEST),
  );
  assertEquals(
    message,
    `Cannot get a time-stamp: the authority answers "rejected" (quota is used up; come back; system failure), ` +
      `expected "granted"`,
  );
  for (const [status, name] of [[3, "waiting"], [4, "status 4"], [77, "status 77"]] as const) {
    const refused = sequence(sequence(integer(status)));
    assertStringIncludes(refusal("source", () => decodeTimestampResponse(refused, REQUEST)), name);
  }
});

Deno.test("decodeTimestampResponse() refuses a token over another digest or with another nonce", () => {
  const digest = REQUEST.digest.slice();
  digest[31]! ^= 1;
  const nonce = REQUEST.nonce.slice();
  nonce[7]! ^= 1;
  const refused = (change: Partial<TokenParts>) =>
    refusal("integrity", () => decodeTimestampResponse(answer(token(change)), REQUEST));
  assertStringIncludes(refused({ digest }), "its digest is");
  assertStringIncludes(refused({ digest: REQUEST.digest.subarray(1) }), "its digest is");
  assertStringIncludes(refused({ optional: [der(0x02, nonce)] }), "its nonce is");
  assertStringIncludes(refused({ optional: [] }), "its nonce is missing");
});

Deno.test("decodeTimestampResponse() refuses what is malformed, wherever it ends", () => {
  const sha1 = der(0x06, Uint8Array.of(0x2b, 0x0e, 0x03, 0x02, 0x1a));
  const malformed = (bytes: Uint8Array) => refusal("format", () => decodeTimestampResponse(bytes, REQUEST));
  const whole = answer(token());
  for (let length = 0; length < whole.length; length++) malformed(whole.subarray(0, length));
  malformed(Uint8Array.of(...whole, 0));
  malformed(answer());
  malformed(answer(token(), token()));
  malformed(answer(NULL));
  malformed(bytesOf("<html>not a time-stamp</html>"));
  malformed(new Uint8Array(2_000_000));
  assertStringIncludes(malformed(answer(token({ algorithm: sha1 }))), "expected SHA-256");
  assertStringIncludes(malformed(answer(token({ version: integer(2) }))), "version 1");
  assertStringIncludes(malformed(answer(token({ contentType: SIGNED_DATA }))), "expected a TSTInfo");
  assertStringIncludes(malformed(answer(token({ tokenType: TST_INFO }))), "expected signed data");
  for (const time of ["260102030405Z", "20260102030405", "20260102030405+0100", "20261302030405Z", ""]) {
    malformed(answer(token({ time })));
  }
  assertStringIncludes(malformed(answer(token({ time: "20260102030405+0100" }))), "expected YYYYMMDDhhmmss");
  // Nested as deep as the bytes allow.
  malformed(Uint8Array.from({ length: 1_000_000 }, (_, index) => index % 2 === 0 ? 0x30 : 0x80));
});

Deno.test("decodeTimestampResponse() throws nothing but OperatorErrors, whatever byte is damaged (property)", () => {
  const whole = answer(token());
  forRounds(3000, (below) => {
    const damaged = whole.slice();
    for (let times = 1 + below(3); times > 0; times--) damaged[below(damaged.length)] = below(256);
    try {
      decodeTimestampResponse(damaged, REQUEST);
    } catch (error) {
      if (!(error instanceof OperatorError)) {
        throw new Error(`${encodeHex(damaged)}: ${error}`, { cause: error });
      }
    }
  });
});
