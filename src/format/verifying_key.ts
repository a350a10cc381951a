/**
 * Verifying keys: Ed25519 public keys and the texts in which people and tools hand them on: OpenSSH's line, its
 * fingerprint, a line of an allowed_signers file, SPKI in PEM for openssl. Other kinds of keys are refused by
 * name. Checks no signature (`src/keys.ts` does) and trusts nobody.
 *
 * @see RFC 8709, section 4 (the blob); RFC 8410, section 4 (SPKI); ssh-keygen(1), "ALLOWED SIGNERS"
 */
import { decodeBase64, encodeBase64 } from "@std/encoding/base64";
import { Buffer } from "node:buffer";
import { createHash, createPublicKey } from "node:crypto";
import { OperatorError } from "../errors.ts";
import { equalBytes, joinBytes, SshReader, sshString } from "./ssh_wire.ts";

export const ED25519 = "ssh-ed25519";

/** What coldcase signs, one namespace a kind of document, so that no signature counts for another kind. */
export const SIGNATURE_NAMESPACES = [
  "coldcase-manifest@v1",
  "coldcase-inventory@v1",
  "coldcase-custody@v1",
  "coldcase-addendum@v1",
  "coldcase-receipt@v1",
  "coldcase-headers@v1",
] as const;

export type SignatureNamespace = typeof SIGNATURE_NAMESPACES[number];

/** What coldcase's makers sign: sums and parts of the executables. Never in a store, and no key of a store may sign it there. */
export const RELEASE_NAMESPACE = "coldcase-release@v1";

export interface VerifyingKey {
  /** 32 bytes, RFC 8032's encoded point A. */
  readonly publicKey: Uint8Array;
  /** As `ssh-keygen -l` shows it: `SHA256:` and 43 characters of base64 without padding. */
  readonly fingerprint: string;
  /** For file names and principals: the first 8 bytes of the same SHA-256 as 16 lower-case hexadecimal digits. */
  readonly shortFingerprint: string;
}

/**
 * The key of 32 bytes. Throws `format` for another length, for bytes that are no point of the curve, and for
 * the few points with which a signature says nothing about its message: their order is at most 8, anybody can
 * sign for them, and Deno accepts it (measured: with y = 1, R = A and S = 0 every message verifies).
 */
export function verifyingKey(publicKey: Uint8Array): VerifyingKey {
  const name = Buffer.from(publicKey).toString("hex");
  const known = ACCEPTED.get(name) ?? acceptKey(publicKey);
  if (ACCEPTED.size >= MAX_ACCEPTED) ACCEPTED.clear();
  ACCEPTED.set(name, known);
  return known;
}

/** Keys by their bytes in hexadecimal: a store's signatures are by few, and to look at a point takes as long as a check. */
const ACCEPTED = new Map<string, VerifyingKey>();
const MAX_ACCEPTED = 256;

function acceptKey(publicKey: Uint8Array): VerifyingKey {
  if (publicKey.length !== 32) {
    throw new OperatorError(
      "format",
      `Cannot read Ed25519 public key: it has ${publicKey.length} bytes, expected 32`,
    );
  }
  if (isWeak(publicKey)) {
    throw new OperatorError(
      "format",
      "Cannot accept Ed25519 public key: its point is of small order or not canonical, anybody could sign for it",
    );
  }
  requirePoint(publicKey);
  const digest = createHash("sha256").update(encodeKeyBlob(publicKey)).digest();
  return {
    // Not slice(): that of a Buffer shares its memory.
    publicKey: Uint8Array.from(publicKey),
    fingerprint: `SHA256:${digest.toString("base64").replace(/=+$/, "")}`,
    shortFingerprint: digest.subarray(0, 8).toString("hex"),
  };
}

/** y of the points of order 1, 2, 4 and 8, little-endian, without the sign of x (libsodium, `ge25519_has_small_order`). */
const SMALL_ORDER_Y: readonly string[] = [
  "0000000000000000000000000000000000000000000000000000000000000000",
  "0100000000000000000000000000000000000000000000000000000000000000",
  "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
  "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
  "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
];

function isWeak(publicKey: Uint8Array): boolean {
  const y = Buffer.from(publicKey);
  y[31] = y[31]! & 0x7f;
  // y >= p = 2^255 - 19: another encoding of a small y.
  const isCanonical = y[31] !== 0x7f || y[0]! < 0xed || y.subarray(1, 31).some((byte) => byte !== 0xff);
  return !isCanonical || SMALL_ORDER_Y.includes(y.toString("hex"));
}

function requirePoint(publicKey: Uint8Array): void {
  try {
    createPublicKey({ key: Buffer.from(encodeSpki({ publicKey })), format: "der", type: "spki" });
  } catch (error) {
    throw new OperatorError("format", "Cannot read Ed25519 public key: it is no point of the curve", {
      cause: error,
    });
  }
}

/** The SSH public key blob: string "ssh-ed25519", string of 32 bytes. */
export function encodeKeyBlob(publicKey: Uint8Array): Uint8Array<ArrayBuffer> {
  return joinBytes(sshString(ED25519), sshString(publicKey));
}

/**
 * The key of a blob. Throws `format` where it is malformed; for another kind of key, naming it, what
 * `requireEd25519()` throws.
 */
export function decodeKeyBlob(blob: Uint8Array, options: { readonly isGiven?: boolean } = {}): VerifyingKey {
  const reader = new SshReader(blob, "public key");
  requireEd25519(reader.text(), options);
  const publicKey = reader.string();
  reader.end();
  return verifyingKey(publicKey);
}

/**
 * Refuses any kind of key but `ssh-ed25519`: `usage` where a person gave the key (`isGiven`), who can give
 * another; `format` where it stands in a file of a store.
 */
export function requireEd25519(keyType: string, options: { readonly isGiven?: boolean } = {}): void {
  if (keyType === ED25519) return;
  throw new OperatorError(
    options.isGiven ? "usage" : "format",
    `Cannot use a key of type "${keyType.slice(0, 64)}": only ${ED25519} (Ed25519) keys are supported`,
    options.isGiven ? { hints: ["make one with `coldcase keygen --sign` or `ssh-keygen -t ed25519`"] } : {},
  );
}

/** `ssh-ed25519 AAAA… comment`, without a line feed; what is not printable ASCII in the comment becomes "?". */
export function encodePublicKeyLine(key: VerifyingKey, comment = ""): string {
  const line = `${ED25519} ${encodeBase64(encodeKeyBlob(key.publicKey))}`;
  return comment === "" ? line : `${line} ${comment.replace(/[^\x20-\x7e]/g, "?")}`;
}

/** Who the key is to `ssh-keygen -Y verify -I`: a name made from the key, which vouches for nobody. */
export function principalOf(key: VerifyingKey): string {
  return `coldcase-${key.shortFingerprint}`;
}

/** A line for `ssh-keygen -Y verify -f`, without a line feed. */
export function encodeAllowedSigner(key: VerifyingKey): string {
  return `${principalOf(key)} namespaces="${SIGNATURE_NAMESPACES.join(",")}" ${encodePublicKeyLine(key)}`;
}

/** DER of a SubjectPublicKeyInfo with id-Ed25519, up to the key (RFC 8410, section 4). */
const SPKI_PREFIX = Uint8Array.of(0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00);

/** SPKI in DER: 44 bytes. */
export function encodeSpki(key: Pick<VerifyingKey, "publicKey">): Uint8Array<ArrayBuffer> {
  return joinBytes(SPKI_PREFIX, key.publicKey);
}

/** SPKI in PEM, as `openssl pkeyutl -pubin -inkey` reads it, with a final line feed. */
export function encodeSpkiPem(key: VerifyingKey): string {
  return `-----BEGIN PUBLIC KEY-----\n${encodeBase64(encodeSpki(key))}\n-----END PUBLIC KEY-----\n`;
}

/**
 * The keys of a file that a person gives to say whose signatures count: lines as in `id_ed25519.pub` or in an
 * allowed_signers file (principals and options are not read), or one SPKI in PEM. At least one.
 *
 * @param name What it is, for messages.
 * Throws `usage` for another kind of key, `format` where a line is none of these.
 */
export function decodeVerifyingKeys(text: string, name: string): VerifyingKey[] {
  // One class for base64 and blanks alike: two parts of a pattern that may both take blanks try all ways to share them.
  const pem = /^-----BEGIN PUBLIC KEY-----(\s[A-Za-z0-9+/=\s]*)-----END PUBLIC KEY-----\s*$/.exec(text);
  if (pem) return [decodeSpki(base64Of(pem[1]!.replace(/\s/g, ""), name), name)];
  const lines = text.split(/\r?\n/).map((line, index) => ({ line: line.trim(), number: index + 1 }));
  const keys = lines.filter(({ line }) => line !== "" && !line.startsWith("#")).map(({ line, number }) => {
    // Quoted options may hold blanks; what they say is not needed.
    const words = line.replace(/"[^"]*"/g, "").split(/[ \t]+/);
    const at = words.findIndex((word) => /^(?:ssh-|sk-|ecdsa-)/.test(word));
    const blob = words[at + 1];
    if (at < 0 || blob === undefined) {
      throw new OperatorError(
        "format",
        `Cannot read ${name}: line ${number} holds no public key, expected "${ED25519} AAAA…" or PEM`,
      );
    }
    requireEd25519(words[at]!, { isGiven: true });
    return decodeKeyBlob(base64Of(blob, `${name}, line ${number}`), { isGiven: true });
  });
  if (keys.length > 0) return keys;
  throw new OperatorError("format", `Cannot read ${name}: it holds no public key, expected at least one`);
}

function decodeSpki(der: Uint8Array, name: string): VerifyingKey {
  if (
    der.length === SPKI_PREFIX.length + 32 && equalBytes(der.subarray(0, SPKI_PREFIX.length), SPKI_PREFIX)
  ) {
    return verifyingKey(der.subarray(SPKI_PREFIX.length));
  }
  throw new OperatorError("usage", `Cannot read ${name}: its key is not Ed25519, only Ed25519 is supported`);
}

/** Throws `format` for base64 that is not the one text of its bytes. */
export function base64Of(text: string, name: string): Uint8Array<ArrayBuffer> {
  try {
    const bytes = decodeBase64(text);
    if (encodeBase64(bytes) === text) return bytes;
  } catch (error) {
    throw new OperatorError("format", `Cannot read ${name}: not base64`, { cause: error });
  }
  throw new OperatorError("format", `Cannot read ${name}: not canonical base64`);
}
