/**
 * SSHSIG and the texts of verifying keys: known answers from OpenSSH, one text for one signature, what is
 * refused. Whether ssh-keygen agrees is the business of tests/interop/signatures_test.ts.
 */
import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { encodeBase64 } from "@std/encoding/base64";
import { decodeHex, encodeHex } from "@std/encoding/hex";
import { OperatorError } from "../../src/errors.ts";
import { joinBytes, sshString, sshUint32 } from "../../src/format/ssh_wire.ts";
import {
  decodeSshsig,
  decodeSshsigBlob,
  encodeSshsig,
  encodeSshsigBlob,
  type Sshsig,
  sshsigSignedBytes,
} from "../../src/format/sshsig.ts";
import {
  decodeKeyBlob,
  decodeVerifyingKeys,
  encodeAllowedSigner,
  encodeKeyBlob,
  encodePublicKeyLine,
  encodeSpkiPem,
  principalOf,
  verifyingKey,
} from "../../src/format/verifying_key.ts";
import { keyOfSeed } from "../../src/keys_openssh.ts";
import { forRounds, pick, randomBytes } from "../seeded.ts";

/** Made by OpenSSH 9.2 with a throw-away key: `echo hi | ssh-keygen -Y sign -f key -n x@v1`. */
const OPENSSH_LINE =
  "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPgbEDieYLaXC7J1zF8xsrGOzqz5rwXt+tALOvOlUBIC a throw-away key";
const OPENSSH_FINGERPRINT = "SHA256:fl/FtIlycFqxf4RbaVyWDD4x51SPY1zuwXq7ackiZhE";
const OPENSSH_ARMOR = `-----BEGIN SSH SIGNATURE-----
U1NIU0lHAAAAAQAAADMAAAALc3NoLWVkMjU1MTkAAAAg+BsQOJ5gtpcLsnXMXzGysY7OrP
mvBe360As686VQEgIAAAAEeEB2MQAAAAAAAAAGc2hhNTEyAAAAUwAAAAtzc2gtZWQyNTUx
OQAAAEDGmGvEPDeD13koEX5zviua3DdMpTPVtLUmYJ7z4CvTHtXvbsa13qd2UnvLp1EAml
Z8V9RkriJnq3m2RULCa5UE
-----END SSH SIGNATURE-----
`;

const bytesOf = (text: string) => new TextEncoder().encode(text);
/** RFC 8032, section 7.1, test 1. */
const KEY = verifyingKey(decodeHex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"));
const SIGNATURE: Sshsig = {
  key: KEY,
  namespace: "coldcase-manifest@v1",
  hash: "sha512",
  signature: new Uint8Array(64).fill(7),
};

function refusal(code: string, act: () => unknown): string {
  const error = assertThrows(act, OperatorError);
  assertEquals(error.code, code, error.message);
  return error.message;
}

const armored = (blob: Uint8Array) =>
  bytesOf(
    `-----BEGIN SSH SIGNATURE-----\n${
      encodeBase64(blob).match(/.{1,70}/g)!.join("\n")
    }\n-----END SSH SIGNATURE-----\n`,
  );

Deno.test("decodeSshsig() reads what ssh-keygen wrote, and encodeSshsig() writes it again", () => {
  const [key] = decodeVerifyingKeys(OPENSSH_LINE, "key");
  const sshsig = decodeSshsig(bytesOf(OPENSSH_ARMOR));
  assertEquals(sshsig.key, key);
  assertEquals(sshsig.key.fingerprint, OPENSSH_FINGERPRINT);
  assertEquals([sshsig.namespace, sshsig.hash, sshsig.signature.length], ["x@v1", "sha512", 64]);
  assertEquals(encodeSshsig(sshsig), bytesOf(OPENSSH_ARMOR));
});

Deno.test("sshsigSignedBytes() is magic, namespace, reserved, hash name, digest", () => {
  const signed = sshsigSignedBytes(bytesOf("abc"), { namespace: "n@v1", hash: "sha256" });
  assertEquals(
    encodeHex(signed),
    "535348534947" + "000000046e407631" + "00000000" + "00000006736861323536" +
      // SHA-256 of "abc", FIPS 180-2.
      "00000020ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
  );
});

Deno.test("decodeSshsig() refuses every armor that encodeSshsig() would not write", () => {
  const armor = new TextDecoder().decode(encodeSshsig(SIGNATURE));
  const lines = armor.trimEnd().split("\n");
  const oneLine = [lines[0], lines.slice(1, -1).join(""), lines.at(-1), ""].join("\n");
  const others: Readonly<Record<string, string>> = {
    "no final line feed": armor.slice(0, -1),
    "CRLF": armor.replaceAll("\n", "\r\n"),
    "a line feed before": `\n${armor}`,
    "a line feed after": `${armor}\n`,
    "a text before": `Comment: x\n${armor}`,
    "one line": oneLine,
    "an empty line": armor.replace("\n", "\n\n"),
    "a blank": armor.replace("\nU", "\n U"),
    "another label": armor.replaceAll("SSH SIGNATURE", "SSH SIGNATURF"),
    "two of them": armor + armor,
    "no padding": armor.replace(/=+\n/, "\n"),
    "nothing": "",
    "a byte-order mark": `\ufeff${armor}`,
    "far too long": armor + "A".repeat(5000),
  };
  for (const [name, text] of Object.entries(others)) {
    assertEquals(text === armor, false, name);
    refusal("format", () => decodeSshsig(bytesOf(text)));
  }
});

Deno.test("decodeSshsigBlob() refuses versions, digests, reserved bytes and keys that it does not know", () => {
  const part = {
    magic: bytesOf("SSHSIG"),
    version: sshUint32(1),
    key: sshString(encodeKeyBlob(KEY.publicKey)),
    namespace: sshString("coldcase-manifest@v1"),
    reserved: sshString(""),
    hash: sshString("sha512"),
    signature: sshString(joinBytes(sshString("ssh-ed25519"), sshString(SIGNATURE.signature))),
  };
  const blob = (change: Partial<typeof part> = {}) => joinBytes(...Object.values({ ...part, ...change }));
  assertEquals(decodeSshsig(armored(blob())), SIGNATURE);
  assertEquals(encodeSshsigBlob(SIGNATURE), blob());
  const refused = (change: Partial<typeof part>, reason: string) =>
    assertStringIncludes(refusal("format", () => decodeSshsig(armored(blob(change)))), reason);
  refused({ magic: bytesOf("SSHSIH") }, "does not begin");
  refused({ version: sshUint32(2) }, "version is 2, expected 1");
  refused({ version: sshUint32(0) }, "version is 0");
  refused({ namespace: sshString("") }, "namespace is empty");
  refused({ namespace: sshString(Uint8Array.of(0xff)) }, "not UTF-8");
  refused({ reserved: sshString("x") }, "reserved field has 1 bytes");
  refused({ hash: sshString("sha384") }, `"sha384", expected sha512 or sha256`);
  refused({ hash: sshString("sha1") }, `"sha1"`);
  for (const kind of ["ssh-rsa", "ecdsa-sha2-nistp256", "sk-ssh-ed25519@openssh.com"]) {
    refused({ key: sshString(joinBytes(sshString(kind), sshString(KEY.publicKey))) }, `"${kind}"`);
    const signature = sshString(joinBytes(sshString(kind), sshString(SIGNATURE.signature)));
    refused({ signature }, `"${kind}"`);
  }
  for (const length of [0, 63, 65]) {
    const signature = sshString(joinBytes(sshString("ssh-ed25519"), sshString(new Uint8Array(length))));
    refused({ signature }, `${length} bytes, expected 64`);
  }
  refused({ signature: joinBytes(part.signature, Uint8Array.of(0)) }, "1 bytes follow");
  for (let length = 0; length < blob().length; length++) {
    refusal("format", () => decodeSshsigBlob(blob().subarray(0, length)));
  }
});

Deno.test("decodeSshsig() ∘ encodeSshsig() is the identity (property)", () => {
  forRounds(200, (below) => {
    const sshsig: Sshsig = {
      key: keyOfSeed(randomBytes(below, 32)).verifying,
      namespace: pick(below, ["a", "coldcase-custody@v1", "ä".repeat(1 + below(200))]),
      hash: pick(below, ["sha256", "sha512"]),
      signature: randomBytes(below, 64),
    };
    assertEquals(decodeSshsig(encodeSshsig(sshsig)), sshsig);
  });
});

Deno.test("verifyingKey() refuses points of small order, other encodings and other lengths", () => {
  const point = (first: number, middle: number, last: number) =>
    Uint8Array.from({ length: 32 }, (_, index) => index === 0 ? first : index === 31 ? last : middle);
  const weak = [
    point(0, 0, 0),
    point(0, 0, 0x80),
    point(1, 0, 0),
    point(1, 0, 0x80),
    point(0xec, 0xff, 0x7f),
    point(0xec, 0xff, 0xff),
    point(0xed, 0xff, 0x7f),
    point(0xee, 0xff, 0xff),
    point(0xff, 0xff, 0x7f),
  ];
  for (const publicKey of weak) refusal("format", () => verifyingKey(publicKey));
  // y = 2 is on no point of the curve; p - 3 is just below the refused ones.
  assertStringIncludes(refusal("format", () => verifyingKey(point(2, 0, 0))), "no point of the curve");
  assertEquals(verifyingKey(point(0xea, 0xff, 0x7f)).publicKey.length, 32);
  for (const length of [0, 31, 33]) refusal("format", () => verifyingKey(new Uint8Array(length)));
});

Deno.test("verifyingKey() keeps a copy, also of a Buffer", () => {
  const given = Uint8Array.from(KEY.publicKey);
  const key = verifyingKey(given);
  given.fill(0);
  assertEquals(key, KEY);
});

Deno.test("decodeVerifyingKeys() reads OpenSSH's lines, allowed_signers and PEM back", () => {
  const other = keyOfSeed(new Uint8Array(32).fill(9)).verifying;
  assertEquals(decodeVerifyingKeys(encodeSpkiPem(KEY), "key"), [KEY]);
  assertEquals(decodeVerifyingKeys(encodePublicKeyLine(KEY, "a comment, ä"), "key"), [KEY]);
  const file = `# who may sign\n\n${encodeAllowedSigner(KEY)}\r\n` +
    `a@b,c@d namespaces="x y,z",valid-before="20300101" ${encodePublicKeyLine(other)} me\n`;
  assertEquals(decodeVerifyingKeys(file, "key"), [KEY, other]);
  assertEquals(decodeKeyBlob(encodeKeyBlob(KEY.publicKey)), KEY);
});

Deno.test("decodeVerifyingKeys() refuses other kinds by name, and what is no key", () => {
  const blob = encodeBase64(joinBytes(sshString("ssh-rsa"), sshString("x")));
  assertStringIncludes(
    refusal("usage", () => decodeVerifyingKeys(`ssh-rsa ${blob} me`, "key")),
    "ssh-ed25519",
  );
  assertStringIncludes(
    refusal("usage", () => decodeVerifyingKeys(`ssh-ed25519 ${blob}`, "key")),
    `"ssh-rsa"`,
  );
  const rsaPem = `-----BEGIN PUBLIC KEY-----\n${
    encodeBase64(new Uint8Array(294))
  }\n-----END PUBLIC KEY-----\n`;
  assertStringIncludes(refusal("usage", () => decodeVerifyingKeys(rsaPem, "key")), "not Ed25519");
  for (const text of ["", "# nothing\n", "hello", "ssh-ed25519", "ssh-ed25519 ???", "ssh-ed25519 AAAA="]) {
    refusal("format", () => decodeVerifyingKeys(text, "key"));
  }
  const trailing = encodeBase64(joinBytes(encodeKeyBlob(KEY.publicKey), Uint8Array.of(0)));
  refusal("format", () => decodeVerifyingKeys(`ssh-ed25519 ${trailing}`, "key"));
});

Deno.test("encodeAllowedSigner() names the key, all namespaces of coldcase, and nothing from outside", () => {
  assertEquals(
    encodeAllowedSigner(KEY),
    `coldcase-${KEY.shortFingerprint} namespaces="coldcase-manifest@v1,coldcase-inventory@v1,` +
      `coldcase-custody@v1,coldcase-addendum@v1,coldcase-receipt@v1,coldcase-headers@v1" ${
        encodePublicKeyLine(KEY)
      }`,
  );
  assertEquals(principalOf(KEY), `coldcase-${KEY.shortFingerprint}`);
  assertEquals(encodePublicKeyLine(KEY, "a\nssh-ed25519 b\x1b[31m").split("\n").length, 1);
});
