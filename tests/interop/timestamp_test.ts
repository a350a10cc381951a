/**
 * RFC 3161 against openssl: it reads the request, answers it as an authority of the test's own, and verifies the
 * token that coldcase took from the answer.
 */
import { assert, assertEquals, assertMatch, assertStringIncludes, assertThrows } from "@std/assert";
import { join } from "@std/path";
import { OperatorError } from "../../src/errors.ts";
import {
  decodeTimestampResponse,
  decodeTimestampToken,
  encodeTimestampRequest,
  type TimestampRequest,
} from "../../src/format/timestamp.ts";
import { realRandomness } from "../../src/world.ts";
import { outside, toolPath } from "../outside.ts";

const MESSAGE = new TextEncoder().encode("-----BEGIN SSH SIGNATURE-----\n");

const CONFIGURATION = `[tsa]
serial = serial
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = DIGESTS
accuracy = secs:1, millisecs:500
clock_precision_digits = 3
ess_cert_id_alg = sha256
`;

/** An authority in a folder: its own root (ca.pem), its certificate for time-stamps (tsa.pem), `openssl ts`. */
class Authority {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
  }

  async make(): Promise<void> {
    Deno.writeTextFileSync(join(this.#folder, "serial"), "01\n");
    Deno.writeTextFileSync(join(this.#folder, "extensions"), "extendedKeyUsage=critical,timeStamping\n");
    this.configure("sha256");
    const openssl = async (line: string) => {
      const { success, said } = await this.openssl(line);
      assert(success, `${line}: ${said}`);
    };
    const rsa = "-newkey rsa:2048 -nodes";
    await openssl(`req -x509 ${rsa} -keyout ca.key -out ca.pem -days 2 -subj /CN=root`);
    await openssl(`req ${rsa} -keyout tsa.key -out tsa.csr -subj /CN=authority`);
    await openssl(
      "x509 -req -in tsa.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile extensions -out tsa.pem",
    );
  }

  configure(digests: string): void {
    Deno.writeTextFileSync(join(this.#folder, "tsa.cnf"), CONFIGURATION.replace("DIGESTS", digests));
  }

  write(name: string, bytes: Uint8Array): void {
    Deno.writeFileSync(join(this.#folder, name), bytes);
  }

  async openssl(line: string): Promise<{ success: boolean; said: string }> {
    const { success, stdout, stderr } = await new Deno.Command(toolPath("openssl")!, {
      args: line.split(" "),
      cwd: this.#folder,
      stdin: "null",
    }).output();
    return { success, said: new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr) };
  }

  async answer(request: TimestampRequest): Promise<Uint8Array> {
    this.write("request.tsq", request.bytes);
    const files = "-queryfile request.tsq -signer tsa.pem -inkey tsa.key -out answer.tsr";
    const { said } = await this.openssl(`ts -reply -config tsa.cnf -section tsa ${files}`);
    assertStringIncludes(said, "Response");
    return Deno.readFileSync(join(this.#folder, "answer.tsr"));
  }
}

async function withAuthority(act: (authority: Authority) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    const authority = new Authority(folder);
    await authority.make();
    await act(authority);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

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
