/**
 * OpenSSH's private key files ("openssh-key-v1") of Ed25519 keys: written without a passphrase, read with or
 * without one. Pure: opens no file and asks nobody. Own code, because the libraries that read these files
 * (ssh2, sshpk) either can't be bundled, for their native add-ons, or can't write them; the one part that is
 * a cipher of its own, bcrypt_pbkdf, comes from a library and is loaded only for a protected key.
 *
 * @see OpenSSH's PROTOCOL.key
 */
import { Buffer } from "node:buffer";
import { createDecipheriv, createPrivateKey, createPublicKey, type KeyObject } from "node:crypto";
import { OperatorError } from "./errors.ts";
import { encodeSshArmor, equalBytes, joinBytes, SshReader, sshString, sshUint32 } from "./format/ssh_wire.ts";
import {
  base64Of,
  decodeKeyBlob,
  ED25519,
  encodeKeyBlob,
  requireEd25519,
  type VerifyingKey,
  verifyingKey,
} from "./format/verifying_key.ts";

const MAGIC = new TextEncoder().encode("openssh-key-v1\0");
const LABEL = "OPENSSH PRIVATE KEY";

/** A key as read. The secret is in `privateKey` only, which no message and no log ever shows. */
export interface OpensshKey {
  readonly verifying: VerifyingKey;
  readonly privateKey: KeyObject;
  readonly comment: string;
}

/** DER of a PKCS #8 PrivateKeyInfo with id-Ed25519, up to the 32 bytes of the seed (RFC 8410, section 7). */
const PKCS8_PREFIX = Uint8Array.of(
  ...[0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20],
);

/** The key of a seed of 32 bytes, RFC 8032's private key. */
export function keyOfSeed(seed: Uint8Array): { privateKey: KeyObject; verifying: VerifyingKey } {
  const der = joinBytes(PKCS8_PREFIX, seed);
  const privateKey = createPrivateKey({ key: Buffer.from(der), format: "der", type: "pkcs8" });
  der.fill(0);
  const spki = createPublicKey(privateKey).export({ format: "der", type: "spki" });
  return { privateKey, verifying: verifyingKey(spki.subarray(-32)) };
}

/**
 * A key file without passphrase, as `ssh-keygen -N ''` would write it.
 *
 * @param seed 32 bytes.
 * @param facts `check`: any uint32; by two equal ones a reader knows a right passphrase.
 */
export function encodeOpensshKey(
  seed: Uint8Array,
  facts: { readonly comment: string; readonly check: number },
): string {
  const { publicKey } = keyOfSeed(seed).verifying;
  const content = joinBytes(
    sshUint32(facts.check),
    sshUint32(facts.check),
    sshString(ED25519),
    sshString(publicKey),
    sshString(joinBytes(seed, publicKey)),
    sshString(facts.comment),
  );
  const padding = Uint8Array.from({ length: (8 - content.length % 8) % 8 }, (_, index) => index + 1);
  return encodeSshArmor(
    LABEL,
    joinBytes(
      MAGIC,
      sshString("none"),
      sshString("none"),
      sshString(""),
      sshUint32(1),
      sshString(encodeKeyBlob(publicKey)),
      sshString(joinBytes(content, padding)),
    ),
  );
}

/** A key file whose private part is still closed. */
export interface ClosedKey {
  readonly verifying: VerifyingKey;
  readonly needsPassphrase: boolean;
  /**
   * The key itself. Throws `identity` for a wrong passphrase, `format` where the private part is malformed or
   * is not that of the public key.
   */
  open(passphrase?: string): Promise<OpensshKey>;
}

/** Ciphers of key files by OpenSSH's names; aes256-cbc until OpenSSH 7.5, aes256-ctr since. Key and IV bytes. */
const CIPHERS: Readonly<Record<string, { readonly name: string; readonly blockBytes: number }>> = {
  none: { name: "none", blockBytes: 8 },
  "aes256-ctr": { name: "aes-256-ctr", blockBytes: 16 },
  "aes256-cbc": { name: "aes-256-cbc", blockBytes: 16 },
};

/**
 * Reads a private key file as far as that needs no secret.
 *
 * @param name What it is, for messages.
 * Throws `usage` for another kind of key, container or cipher, naming it; `format` where it is malformed.
 */
export function decodeOpensshKey(text: string, name: string): ClosedKey {
  const reader = new SshReader(dearmor(text, name), name);
  if (!equalBytes(reader.bytes(MAGIC.length), MAGIC)) {
    malformed(name, `it does not begin with "openssh-key-v1"`);
  }
  const cipherName = reader.text();
  const kdfName = reader.text();
  const kdfOptions = reader.string();
  const count = reader.uint32();
  if (count !== 1) malformed(name, `it holds ${count} keys, expected 1`);
  const verifying = decodeKeyBlob(reader.string(), { isGiven: true });
  const content = reader.string();
  const cipher = CIPHERS[cipherName];
  if (cipher === undefined || kdfName !== (cipherName === "none" ? "none" : "bcrypt")) {
    throw new OperatorError(
      "usage",
      `Cannot read ${name}: it is encrypted with ${cipherName} and ${kdfName}, expected aes256-ctr and bcrypt`,
      { hints: ["`ssh-keygen -p -Z aes256-ctr -f FILE` encrypts it anew"] },
    );
  }
  // After the cipher is known: those with a tag put it here.
  reader.end();
  if (content.length % cipher.blockBytes !== 0) {
    malformed(name, "its private part is no whole number of blocks");
  }
  const needsPassphrase = cipherName !== "none";
  return {
    verifying,
    needsPassphrase,
    async open(passphrase = "") {
      const plain = needsPassphrase
        ? await decrypt(content, { cipher: cipher.name, kdfOptions, passphrase, name })
        : content.slice();
      try {
        return openContent(plain, { verifying, needsPassphrase, name });
      } finally {
        plain.fill(0);
      }
    },
  };
}

/** bcrypt rounds: ssh-keygen's default is 16 (24 later), about 10 ms each here; a file can't make us wait for hours. */
const MAX_ROUNDS = 2048;

async function decrypt(
  content: Uint8Array,
  facts: {
    readonly cipher: string;
    readonly kdfOptions: Uint8Array;
    readonly passphrase: string;
    readonly name: string;
  },
): Promise<Uint8Array> {
  const { name, cipher } = facts;
  const reader = new SshReader(facts.kdfOptions, name);
  const salt = reader.string();
  const rounds = reader.uint32();
  reader.end();
  if (rounds < 1 || rounds > MAX_ROUNDS || salt.length === 0) {
    malformed(name, `it asks for ${rounds} bcrypt rounds, expected 1 to ${MAX_ROUNDS}, and a salt`);
  }
  const { pbkdf } = await import("bcrypt-pbkdf");
  const passphrase = new TextEncoder().encode(facts.passphrase);
  const derived = new Uint8Array(48);
  // Non-zero where it did nothing: an empty passphrase, which no encrypted key has.
  const failed = pbkdf(passphrase, passphrase.length, salt, salt.length, derived, derived.length, rounds);
  passphrase.fill(0);
  if (failed !== 0) wrongPassphrase(name);
  const decipher = createDecipheriv(cipher, derived.subarray(0, 32), derived.subarray(32));
  decipher.setAutoPadding(false);
  const plain = joinBytes(decipher.update(content), decipher.final());
  derived.fill(0);
  return plain;
}

function openContent(
  plain: Uint8Array,
  facts: { readonly verifying: VerifyingKey; readonly needsPassphrase: boolean; readonly name: string },
): OpensshKey {
  const { name, needsPassphrase } = facts;
  const reader = new SshReader(plain, name);
  if (reader.uint32() !== reader.uint32()) {
    if (needsPassphrase) wrongPassphrase(name);
    malformed(name, "the two check numbers of its private part differ");
  }
  requireEd25519(reader.text(), { isGiven: true });
  const publicKey = reader.string();
  const secret = reader.string();
  const comment = reader.text();
  const padding = reader.rest();
  if (padding.length >= 16 || padding.some((byte, index) => byte !== index + 1)) {
    malformed(name, "its padding is not 1, 2, 3 and so on");
  }
  if (secret.length !== 64) malformed(name, `its secret has ${secret.length} bytes, expected 64`);
  const { privateKey, verifying } = keyOfSeed(secret.subarray(0, 32));
  const publicCopies = [facts.verifying.publicKey, publicKey, secret.subarray(32)];
  if (!publicCopies.every((copy) => equalBytes(copy, verifying.publicKey))) {
    malformed(name, "its public key is not that of its secret");
  }
  return { verifying, privateKey, comment };
}

function dearmor(text: string, name: string): Uint8Array {
  const label = /^-----BEGIN ([A-Z0-9 ]{1,40})-----/.exec(text)?.[1];
  if (label !== undefined && label !== LABEL) {
    throw new OperatorError(
      "usage",
      `Cannot read ${name}: it is a "${label}", expected an "${LABEL}" of type ${ED25519}`,
      { hints: ["make one with `coldcase keygen --sign` or `ssh-keygen -t ed25519`"] },
    );
  }
  // One class for base64 and blanks alike: two parts of a pattern that may both take blanks try all ways to share them.
  const match =
    /^-----BEGIN OPENSSH PRIVATE KEY-----(\s[A-Za-z0-9+/=\s]*\s)-----END OPENSSH PRIVATE KEY-----\s*$/.exec(
      text,
    );
  if (!match) {
    malformed(name, `it is not armored as "-----BEGIN ${LABEL}-----", base64, "-----END ${LABEL}-----"`);
  }
  return base64Of(match[1]!.replace(/\s/g, ""), name);
}

function malformed(name: string, reason: string): never {
  throw new OperatorError("format", `Cannot read ${name}: ${reason}`);
}

function wrongPassphrase(name: string): never {
  throw new OperatorError("identity", `Cannot open ${name}: the passphrase is wrong, expected the key's own`);
}
