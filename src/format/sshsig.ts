/**
 * SSHSIG, OpenSSH's format of detached signatures, as `ssh-keygen -Y sign` writes and `-Y verify` reads them:
 * what is signed, the blob, its armor. One signature has one text: an armor that is not its own re-encoding is
 * refused, so that no byte of a signature file can change unnoticed. Only Ed25519. Computes no signature and
 * checks none: `src/keys.ts` does.
 *
 * @see OpenSSH's PROTOCOL.sshsig; store-format.md, "Signatures"
 */
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { OperatorError } from "../errors.ts";
import { encodeSshArmor, equalBytes, joinBytes, SshReader, sshString, sshUint32 } from "./ssh_wire.ts";
import {
  base64Of,
  decodeKeyBlob,
  ED25519,
  encodeKeyBlob,
  requireEd25519,
  type VerifyingKey,
} from "./verifying_key.ts";

/** PROTOCOL.sshsig, section 1: six bytes, no length before them. */
const MAGIC = new TextEncoder().encode("SSHSIG");
const VERSION = 1;
const LABEL = "SSH SIGNATURE";

/** An armor of Ed25519 has about 300 bytes; more than this is none. */
const MAX_ARMOR_BYTES = 4096;

/** Digests that PROTOCOL.sshsig allows. coldcase and ssh-keygen write sha512; both are accepted. */
export type SshsigHash = "sha256" | "sha512";

export interface Sshsig {
  readonly key: VerifyingKey;
  /** Not empty: which kind of document is signed. */
  readonly namespace: string;
  readonly hash: SshsigHash;
  /** 64 bytes, RFC 8032's R and S. */
  readonly signature: Uint8Array;
}

/**
 * The bytes that the key signs for `message`: never the message itself, so an SSHSIG can't be mistaken for a
 * log-in, and an agent, which takes at most 256 KiB, signs messages of any length.
 *
 * @see PROTOCOL.sshsig, section 3
 */
export function sshsigSignedBytes(
  message: Uint8Array,
  facts: { readonly namespace: string; readonly hash: SshsigHash },
): Uint8Array<ArrayBuffer> {
  return joinBytes(
    MAGIC,
    sshString(facts.namespace),
    sshString(""),
    sshString(facts.hash),
    sshString(createHash(facts.hash).update(message).digest()),
  );
}

/** The string of an Ed25519 signature inside an SSHSIG or an agent's answer: its type, then 64 bytes. */
function encodeSignature(signature: Uint8Array): Uint8Array {
  return joinBytes(sshString(ED25519), sshString(signature));
}

/** The 64 bytes of such a string. Throws `format` where it is malformed or of another kind. */
export function decodeSshSignature(bytes: Uint8Array): Uint8Array {
  const reader = new SshReader(bytes, "signature");
  requireEd25519(reader.text());
  const signature = reader.string();
  reader.end();
  if (signature.length === 64) return Uint8Array.from(signature);
  throw new OperatorError(
    "format",
    `Cannot read signature: its ${ED25519} part has ${signature.length} bytes, expected 64`,
  );
}

/** The blob, without armor. */
export function encodeSshsigBlob(sshsig: Sshsig): Uint8Array<ArrayBuffer> {
  return joinBytes(
    MAGIC,
    sshUint32(VERSION),
    sshString(encodeKeyBlob(sshsig.key.publicKey)),
    sshString(sshsig.namespace),
    sshString(""),
    sshString(sshsig.hash),
    sshString(encodeSignature(sshsig.signature)),
  );
}

/** Throws `format` where the blob is malformed, has trailing bytes or is by another kind of key. */
export function decodeSshsigBlob(blob: Uint8Array): Sshsig {
  const reader = new SshReader(blob, "signature");
  if (!equalBytes(reader.bytes(MAGIC.length), MAGIC)) refuse(`it does not begin with "SSHSIG"`);
  const version = reader.uint32();
  if (version !== VERSION) refuse(`its version is ${version}, expected ${VERSION}`);
  const key = decodeKeyBlob(reader.string());
  const namespace = reader.text();
  if (namespace === "") refuse("its namespace is empty");
  const reserved = reader.string();
  if (reserved.length > 0) refuse(`its reserved field has ${reserved.length} bytes, expected none`);
  const hash = reader.text();
  if (hash !== "sha256" && hash !== "sha512") {
    refuse(`its digest is "${hash.slice(0, 32)}", expected sha512 or sha256`);
  }
  const signature = decodeSshSignature(reader.string());
  reader.end();
  return { key, namespace, hash, signature };
}

/** The armor: ASCII with a final line feed, the contents of a signature file. */
export function encodeSshsig(sshsig: Sshsig): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(encodeSshArmor(LABEL, encodeSshsigBlob(sshsig)));
}

/**
 * The signature of an armor; all that `encodeSshsig()` would not write is refused: other line lengths or line
 * ends, blanks, text around it. Throws `format`.
 */
export function decodeSshsig(armor: Uint8Array): Sshsig {
  if (armor.length > MAX_ARMOR_BYTES) {
    refuse(`it has ${armor.length} bytes, at most ${MAX_ARMOR_BYTES} are allowed`);
  }
  // One character a byte, so that the comparison below is one of bytes.
  const text = Buffer.from(armor).toString("latin1");
  const match = /^-----BEGIN SSH SIGNATURE-----\n([A-Za-z0-9+/=\n]+)\n-----END SSH SIGNATURE-----\n$/.exec(
    text,
  );
  if (!match) refuse(`it is not armored as "-----BEGIN ${LABEL}-----", base64, "-----END ${LABEL}-----"`);
  const sshsig = decodeSshsigBlob(base64Of(match[1]!.replaceAll("\n", ""), "signature"));
  if (!equalBytes(encodeSshsig(sshsig), armor)) refuse("its armor differs from how its contents are armored");
  return sshsig;
}

function refuse(reason: string): never {
  throw new OperatorError("format", `Cannot read signature: ${reason}`);
}
