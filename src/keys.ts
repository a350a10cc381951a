/**
 * Signing keys: coldcase's own, made on first use; an OpenSSH key file; a key that ssh-agent holds. And the
 * checks of what they signed. Says who signed, never whether to trust them: that is the caller's question.
 * A secret leaves this file in no message and no fact.
 *
 * @see store-format.md, "Signatures"
 */
import { encodeHex } from "@std/encoding/hex";
import { resolve } from "@std/path";
import { Buffer } from "node:buffer";
import { createPublicKey, type KeyObject, sign, verify } from "node:crypto";
import { OperatorError } from "./errors.ts";
import { decodeSshsig, encodeSshsig, sshsigSignedBytes } from "./format/sshsig.ts";
import {
  decodeVerifyingKeys,
  encodeSpki,
  type RELEASE_NAMESPACE,
  type SignatureNamespace,
  type VerifyingKey,
} from "./format/verifying_key.ts";
import { agentKeys, signByAgent } from "./keys_agent.ts";
import {
  exists,
  type KeyWorld,
  makeKeyFile,
  OWN_COMMENT,
  ownKeyPath,
  permissionWarnings,
  readKeyFile,
} from "./keys_file.ts";
import { decodeOpensshKey } from "./keys_openssh.ts";
import type { CallOptions } from "./model.ts";

export {
  configurationFolder,
  exists,
  type KeyWorld,
  makeKeyFile,
  ownKeyPath,
  permissionWarnings,
  writeSecretFile,
} from "./keys_file.ts";

/** Where a key comes from. `coldcase`: made by coldcase, for nothing else, and so may sign raw bytes. */
export type KeyOrigin = "coldcase" | "openssh" | "agent";

export interface SigningKey extends VerifyingKey {
  readonly origin: KeyOrigin;
  /** The comment of its file or of the agent. */
  readonly comment: string;
  /**
   * An armored SSHSIG with sha512 over `message`, of any length, checked before it is returned.
   * Throws `identity` where the agent refuses or is gone.
   */
  signSshsig(
    message: Uint8Array,
    namespace: SignatureNamespace | typeof RELEASE_NAMESPACE,
    options?: CallOptions,
  ): Promise<Uint8Array>;
  /**
   * RFC 8032's signature over `message` itself: 64 bytes. Only by a key that coldcase made: to let a login key
   * sign whatever a file says would make an oracle of it, whose answers open servers.
   */
  readonly signRaw?: (message: Uint8Array) => Promise<Uint8Array>;
}

/** Which key to sign with. */
export interface KeyRequest extends CallOptions {
  /**
   * As `--sign-key` gives it: a private key file; a public key file, or a fingerprint `SHA256:…`, of a key that
   * ssh-agent holds. `undefined`: coldcase's own, made where there is none yet.
   */
  readonly source: string | undefined;
  /** Asks the person at the terminal; `undefined`: there is none, or none was given. */
  readonly askPassphrase?: (question: string) => Promise<string | undefined>;
}

/** A key, ready to sign, and what its user must hear. */
export interface OpenedKey {
  readonly key: SigningKey;
  /** Its private key file; `undefined` in an agent. */
  readonly path: string | undefined;
  /** It was made just now: name it to the user. */
  readonly isNew: boolean;
  /** Sentences: a key file that others can read. */
  readonly warnings: readonly string[];
}

/**
 * Opens a key for signing.
 *
 * Throws `usage` for a file that is no Ed25519 key, `not_found` where there is none, `identity` where its
 * passphrase is wrong or missing or the agent does not have it, `format` where it is malformed, `storage`
 * where a new one can't be written.
 */
export async function openSigningKey(world: KeyWorld, request: KeyRequest): Promise<OpenedKey> {
  const { source } = request;
  if (source === undefined) return await openOwnKey(world, request);
  if (source.startsWith("SHA256:")) return await openAgentKey(world, request, { fingerprint: source });
  const path = resolve(source);
  const text = readKeyFile(path);
  if (text.startsWith("-----BEGIN")) return await openKeyFile(path, text, request);
  const [verifying] = decodeVerifyingKeys(text, `key file "${path}"`);
  return await openAgentKey(world, request, { fingerprint: verifying!.fingerprint });
}

async function openOwnKey(world: KeyWorld, request: KeyRequest): Promise<OpenedKey> {
  const path = ownKeyPath(world.environment);
  const isNew = !exists(path) && await makeKeyFile(world, path).then(() => true, (error) => {
    // Another coldcase made it meanwhile: then that is the key.
    if (exists(path)) return false;
    throw error;
  });
  return { ...await openKeyFile(path, readKeyFile(path), request), isNew };
}

async function openKeyFile(path: string, text: string, request: KeyRequest): Promise<OpenedKey> {
  const name = `key file "${path}"`;
  const closed = decodeOpensshKey(text, name);
  const passphrase = closed.needsPassphrase ? await passphraseFor(path, request) : undefined;
  const { verifying, privateKey, comment } = await closed.open(passphrase);
  const origin = comment.startsWith(OWN_COMMENT) ? "coldcase" : "openssh";
  const signBytes = (bytes: Uint8Array) => Promise.resolve(new Uint8Array(sign(null, bytes, privateKey)));
  return {
    key: signingKey(verifying, { origin, comment, signBytes }),
    path,
    isNew: false,
    warnings: permissionWarnings(path),
  };
}

async function passphraseFor(path: string, request: KeyRequest): Promise<string> {
  const passphrase = await request.askPassphrase?.(`Passphrase of the signing key ${path}: `);
  if (passphrase !== undefined) return passphrase;
  throw new OperatorError(
    "identity",
    `Cannot open key file "${path}": it is protected by a passphrase, and there is nobody to ask for it`,
    { hints: ["add it to ssh-agent (`ssh-add`) and name its .pub file, or run coldcase on a terminal"] },
  );
}

async function openAgentKey(
  world: KeyWorld,
  request: KeyRequest,
  wanted: { readonly fingerprint: string },
): Promise<OpenedKey> {
  const socket = world.environment("SSH_AUTH_SOCK");
  if (socket === undefined) {
    throw new OperatorError(
      "identity",
      `Cannot use key ${wanted.fingerprint}: only its public half is given and no ssh-agent is named by SSH_AUTH_SOCK`,
      { hints: ["name the private key file, or start an agent and `ssh-add` the key"] },
    );
  }
  const held = await agentKeys(socket, request);
  const found = held.find(({ verifying }) => verifying.fingerprint === wanted.fingerprint);
  if (found === undefined) {
    throw new OperatorError(
      "identity",
      `Cannot use key ${wanted.fingerprint}: ssh-agent holds ${held.length} Ed25519 keys, but not this one`,
      { hints: ["`ssh-add FILE` gives it the key, `ssh-add -l` lists what it holds"] },
    );
  }
  const { verifying, comment } = found;
  const signBytes = (bytes: Uint8Array, options: CallOptions) =>
    signByAgent(bytes, { ...options, socket, key: verifying });
  return {
    key: signingKey(verifying, { origin: "agent", comment, signBytes }),
    path: undefined,
    isNew: false,
    warnings: [],
  };
}

function signingKey(
  verifying: VerifyingKey,
  facts: {
    readonly origin: KeyOrigin;
    readonly comment: string;
    readonly signBytes: (bytes: Uint8Array, options: CallOptions) => Promise<Uint8Array>;
  },
): SigningKey {
  const { origin, comment, signBytes } = facts;
  return {
    ...verifying,
    origin,
    comment,
    async signSshsig(message, namespace, options = {}) {
      const hash = "sha512";
      const signature = await signBytes(sshsigSignedBytes(message, { namespace, hash }), options);
      const armor = encodeSshsig({ key: verifying, namespace, hash, signature });
      verifySshsig(message, armor, namespace);
      return armor;
    },
    ...(origin === "coldcase" ? { signRaw: (message) => signBytes(message, {}) } : {}),
  };
}

/**
 * Checks an SSHSIG: who signed exactly these bytes, as a document of this kind. Whether that somebody is
 * trusted is the caller's question.
 *
 * @param message The stored bytes, never re-serialized.
 * @param armor The contents of the signature file.
 * Throws `format` for an armor that is not its own re-encoding or is by another kind of key; `integrity`
 * for another namespace, or where the signature is not over these bytes.
 */
export function verifySshsig(
  message: Uint8Array,
  armor: Uint8Array,
  namespace: SignatureNamespace | typeof RELEASE_NAMESPACE,
): VerifyingKey {
  const sshsig = decodeSshsig(armor);
  const { key, hash, signature } = sshsig;
  if (sshsig.namespace !== namespace) {
    throw new OperatorError(
      "integrity",
      `Cannot accept signature by ${key.fingerprint}: it is for "${sshsig.namespace}", expected "${namespace}"`,
    );
  }
  checkSignature(sshsigSignedBytes(message, { namespace, hash }), signature, key);
  return key;
}

/** Checks a raw Ed25519 signature of 64 bytes. Throws `format` for another length, `integrity` where it is wrong. */
export function verifyRaw(message: Uint8Array, signature: Uint8Array, key: VerifyingKey): void {
  if (signature.length !== 64) {
    throw new OperatorError(
      "format",
      `Cannot read Ed25519 signature: it has ${signature.length} bytes, expected 64`,
    );
  }
  checkSignature(message, signature, key);
}

function checkSignature(signed: Uint8Array, signature: Uint8Array, key: VerifyingKey): void {
  if (verify(null, signed, publicKeyObject(key), signature)) return;
  throw new OperatorError(
    "integrity",
    `Cannot accept signature by ${key.fingerprint}: it is not over these bytes`,
    { facts: { fingerprint: key.fingerprint } },
  );
}

/** Keys by their bytes in hexadecimal: a store's signatures are by few, and to make one takes as long as a check. */
const KEY_OBJECTS = new Map<string, KeyObject>();
const MAX_KEY_OBJECTS = 256;

function publicKeyObject(key: VerifyingKey): KeyObject {
  const name = encodeHex(key.publicKey);
  const known = KEY_OBJECTS.get(name);
  if (known) return known;
  const made = createPublicKey({ key: Buffer.from(encodeSpki(key)), format: "der", type: "spki" });
  if (KEY_OBJECTS.size >= MAX_KEY_OBJECTS) KEY_OBJECTS.clear();
  KEY_OBJECTS.set(name, made);
  return made;
}
