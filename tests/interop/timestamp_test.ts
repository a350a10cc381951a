/**
 * RFC 3161 against openssl: it reads the request, answers it as an authority of the test's own, and verifies the
 * token that coldcase took from the answer.
 */
import { assert, assertEquals, assertMatch, assertStringIncludes, assertThrows } from "@std/assert";
import { OperatorError } from "../../src/errors.ts";
import {
  decodeTimestampResponse,
  decodeTimestampToken,
  encodeTimestampRequest,
} from "../../src/format/timestamp.ts";
import { realRandomness } from "../../src/world.ts";
import { outside } from "../outside.ts";
import { withAuthority } from "./authority.ts";

const MESSAGE = new TextEncoder().encode("-----BEGIN SSH SIGNATURE-----\n");

const request = () => encodeTimestampRequest(MESSAGE, realRandomness.bytes(8));

outside("openssl ts reads our request, answers it, and verifies the token we took", ["openssl"], async () => {
  await withAuthority(async (authority) => {
    const asked = request();
    const received = await authority.answer(asked);
    const query = (await authority.openssl("ts -query -in request.tsq -text")).said;
    assertStringIncludes(query, "Hash Algorithm: sha256");
    assertStringIncludes(query, "Certificate required: yes");
    const before = Date.now();
    const stamp = decodeTimestampResponse(received, asked);
    assert(Math.abs(Date.parse(stamp.at) - before) < 60_000, stamp.at);
    assertMatch(stamp.at, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,3})?Z$/);
    assertEquals([stamp.policy, stamp.serialNumber, stamp.accuracyMs], ["1.2.3.4.1", "02", 1500]);
    const { token, ...facts } = stamp;
    assertEquals(decodeTimestampToken(token), facts);
    authority.write("token", token);
    authority.write("message", MESSAGE);
    const verify = () => authority.openssl("ts -verify -data message -in token -token_in -CAfile ca.pem");
    const good = await verify();
    assert(good.success, good.said);
    authority.write("message", MESSAGE.subarray(1));
    assert(!(await verify()).success);
  });
});

outside("decodeTimestampResponse() refuses openssl's answer to another request", ["openssl"], async () => {
  await withAuthority(async (authority) => {
    const received = await authority.answer(request());
    const error = assertThrows(() => decodeTimestampResponse(received, request()), OperatorError);
    assertEquals(error.code, "integrity");
    assertStringIncludes(error.message, "nonce");
    const other = encodeTimestampRequest(MESSAGE.subarray(1), realRandomness.bytes(8));
    assertEquals(
      assertThrows(() => decodeTimestampResponse(received, other), OperatorError).code,
      "integrity",
    );
  });
});

outside("decodeTimestampResponse() says why openssl refused", ["openssl"], async () => {
  await withAuthority(async (authority) => {
    authority.configure("sha512");
    const asked = request();
    const received = await authority.answer(asked);
    const error = assertThrows(() => decodeTimestampResponse(received, asked), OperatorError);
    assertEquals(error.code, "source");
    assertMatch(error.message, /"rejected" \(.*bad algorithm\)/);
  });
});
