/**
 * Signature files: detached, beside what they sign, over exactly its stored bytes. `NAME.FINGERPRINT.sshsig` is
 * what counts; `NAME.FINGERPRINT.ed25519` is the same key's raw signature, where coldcase made the key, for
 * `openssl`. The public halves lie in `keys/`. Nothing is signed here that its writer did not just encode.
 *
 * @see store-format.md, "Signatures"
 */
import { isFault, OperatorError } from "../errors.ts";
import { equalBytes } from "../format/ssh_wire.ts";
import {
  decodeVerifyingKeys,
  encodeAllowedSigner,
  encodePublicKeyLine,
  encodeSpkiPem,
  principalOf,
  type SignatureNamespace,
  type VerifyingKey,
} from "../format/verifying_key.ts";
import { type SigningKey, verifyRaw, verifySshsig } from "../keys.ts";
import { sha256 } from "../format/digests.ts";
import type { ExhibitId, ObjectName, ObjectStorage } from "../model.ts";
import { inventoryName, KEYS_FOLDER } from "./_layout.ts";

const MAX_SIGNATURE_BYTES = 16 * 1024;

/** A document that is signed: its name without the ending is what signature files begin with. */
export interface SignedDocument {
  readonly name: ObjectName;
  readonly bytes: Uint8Array;
  readonly namespace: SignatureNamespace;
}

/** A signature that holds. Whether its signer is to be trusted is another question. */
export interface HeldSignature {
  readonly file: ObjectName;
  /** Null: the key is not one that coldcase made. */
  readonly rawFile: ObjectName | null;
  readonly key: VerifyingKey;
}

/** A document that was added to an exhibit or written at a hand-over, with those who signed it. */
export interface SignedFile<T> {
  readonly file: ObjectName;
  readonly document: T;
  readonly signatures: readonly HeldSignature[];
}

/** What the signature files of a document come to. */
export interface SignatureCheck {
  readonly held: readonly HeldSignature[];
  /** Those that do not hold, each an `integrity` or `format` error with `facts.file`. */
  readonly faults: readonly OperatorError[];
}

/** What names of signatures over a document begin with. */
export function stemOf(name: ObjectName): ObjectName {
  return name.replace(/\.(json\.age|json|txt)$/, "");
}

/** Names that a signature by `key` has. */
export function signatureNames(
  name: ObjectName,
  key: VerifyingKey,
): { readonly sshsig: ObjectName; readonly raw: ObjectName } {
  const stem = `${stemOf(name)}.${key.shortFingerprint}`;
  return { sshsig: `${stem}.sshsig`, raw: `${stem}.ed25519` };
}

/** Names of the public halves of a key. */
export function keyNames(key: VerifyingKey): Record<"pem" | "publicKey" | "allowedSigners", ObjectName> {
  const stem = `keys/${key.shortFingerprint}`;
  return { pem: `${stem}.pem`, publicKey: `${stem}.pub`, allowedSigners: `${stem}.allowed-signers` };
}

/** The files of the public halves of a key, byte for byte. */
function keyFiles(key: VerifyingKey): [ObjectName, Uint8Array][] {
  const encoder = new TextEncoder();
  const names = keyNames(key);
  return [
    [names.publicKey, encoder.encode(`${encodePublicKeyLine(key)}\n`)],
    [names.pem, encoder.encode(encodeSpkiPem(key))],
    [names.allowedSigners, encoder.encode(`${encodeAllowedSigner(key)}\n`)],
  ];
}

/** Those of a key's files in the store that are missing or not what its public halves are. */
export async function damagedKeyFiles(storage: ObjectStorage, key: VerifyingKey): Promise<ObjectName[]> {
  const damaged: ObjectName[] = [];
  for (const [name, bytes] of keyFiles(key)) {
    const isThere = await storage.stat(name) !== undefined;
    if (!isThere || !equalBytes(await readSmall(storage, name), bytes)) damaged.push(name);
  }
  return damaged;
}

/**
 * Files of `keys/` that are not, byte for byte, what the key that they hold and their name give. Those of other
 * names are left alone.
 */
export async function strangeKeyFiles(storage: ObjectStorage): Promise<ObjectName[]> {
  const strange: ObjectName[] = [];
  for await (const { name } of storage.list(`${KEYS_FOLDER}/`)) {
    const fingerprint = /^keys\/([0-9a-f]{16})\.(?:pem|pub|allowed-signers)$/.exec(name)?.[1];
    if (fingerprint === undefined) continue;
    const bytes = await readSmall(storage, name);
    const key = keyIn(bytes, name);
    const expected = key?.shortFingerprint === fingerprint ? new Map(keyFiles(key)).get(name) : undefined;
    if (!expected || !equalBytes(bytes, expected)) strange.push(name);
  }
  return strange;
}

/** The one key of a file in `keys/`; `undefined` where it holds none that counts. */
function keyIn(bytes: Uint8Array, name: ObjectName): VerifyingKey | undefined {
  try {
    return decodeVerifyingKeys(new TextDecoder().decode(bytes), name)[0];
  } catch (error) {
    if (!(error instanceof OperatorError)) throw error;
    return undefined;
  }
}

/** Who `ssh-keygen -Y verify -I` is told. */
export { principalOf };

/** Signs a document: key files first, the SSHSIG last. Durable when it returns. */
export async function putSignature(
  storage: ObjectStorage,
  document: SignedDocument,
  key: SigningKey,
): Promise<void> {
  for (const [name, bytes] of keyFiles(key)) await storage.put(name, bytes);
  const names = signatureNames(document.name, key);
  if (key.signRaw) await storage.put(names.raw, await key.signRaw(document.bytes));
  await storage.put(names.sshsig, await key.signSshsig(document.bytes, document.namespace));
}

/** Puts an inventory and signs it: that signature is what makes an exhibit of the files that it names. */
export async function putInventory(
  storage: ObjectStorage,
  inventory: { readonly exhibit: ExhibitId; readonly bytes: Uint8Array; readonly key: SigningKey },
): Promise<ObjectName> {
  const { exhibit, bytes, key } = inventory;
  const name = inventoryName(exhibit, sha256(bytes));
  await storage.put(name, bytes);
  await putSignature(storage, { name, bytes, namespace: "coldcase-inventory@v1" }, key);
  return name;
}

/** Checks every signature file of a document. */
export async function checkSignatures(
  storage: ObjectStorage,
  document: SignedDocument,
): Promise<SignatureCheck> {
  const held: HeldSignature[] = [];
  const faults: OperatorError[] = [];
  const stem = stemOf(document.name);
  const folder = document.name.slice(0, document.name.lastIndexOf("/") + 1);
  for await (const { name } of storage.list(folder)) {
    const match = /^\.([0-9a-f]{16})\.(sshsig|ed25519)$/.exec(
      name.startsWith(stem) ? name.slice(stem.length) : "",
    );
    if (!match || match[2] !== "sshsig") continue;
    try {
      held.push(await checkOne(storage, document, { file: name, shortFingerprint: match[1]! }));
    } catch (error) {
      if (!(error instanceof OperatorError) || (error.code !== "integrity" && error.code !== "format")) {
        throw error;
      }
      const file = error.facts["file"] ?? name;
      faults.push(
        new OperatorError(error.code, `"${file}": ${error.message}`, { facts: { ...error.facts, file } }),
      );
    }
  }
  return { held, faults };
}

async function checkOne(
  storage: ObjectStorage,
  document: SignedDocument,
  { file, shortFingerprint }: { readonly file: ObjectName; readonly shortFingerprint: string },
): Promise<HeldSignature> {
  const key = verifySshsig(document.bytes, await readSmall(storage, file), document.namespace);
  if (key.shortFingerprint !== shortFingerprint) {
    throw new OperatorError(
      "integrity",
      `Cannot accept signature: it is by ${key.fingerprint}, its name says ${shortFingerprint}`,
    );
  }
  const { raw } = signatureNames(document.name, key);
  const hasRaw = await storage.stat(raw) !== undefined;
  if (hasRaw) {
    try {
      verifyRaw(document.bytes, await readSmall(storage, raw), key);
    } catch (error) {
      // A disk that fails is no fault of the signature, and says itself what to do.
      if (!isFault(error)) throw error;
      throw new OperatorError(error.code, error.message, { facts: { ...error.facts, file: raw } });
    }
  }
  return { file, rawFile: hasRaw ? raw : null, key };
}

async function readSmall(storage: ObjectStorage, name: ObjectName): Promise<Uint8Array> {
  return await storage.read(name, { offset: 0, length: MAX_SIGNATURE_BYTES + 1 });
}
