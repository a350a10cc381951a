/**
 * Where an identity lies that a passphrase opens. Only its name is known here: a command makes the file, and the command
 * line's layer opens it like any other identity file.
 *
 * @see store-format.md, "Encryption"
 */
import { sha256 } from "../format/digests.ts";
import type { ObjectName } from "../model.ts";
import { KEYS_FOLDER } from "./_layout.ts";

/** The name of the file of a recipient's identity. */
export function passphraseIdentityName(recipient: string): ObjectName {
  const digest = sha256(new TextEncoder().encode(recipient));
  return `${KEYS_FOLDER}/${digest.slice(0, 16)}.identity.age`;
}
