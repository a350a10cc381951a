/**
 * The keys of `--verify-key`: public keys that the operator vouches for, from files in any of the forms in which
 * people hand them on. Which signer is one of them is for the store to say.
 */
import { OperatorError } from "../errors.ts";
import { decodeVerifyingKeys, type VerifyingKey } from "../format/verifying_key.ts";
import type { Disk } from "../model.ts";

const MAX_KEYS_BYTES = 1024 * 1024;

/** The keys that are vouched for, from files of public keys, allowed_signers lines or PEM. Throws `usage`. */
export function verifyingKeys(disk: Disk, paths: readonly string[]): VerifyingKey[] {
  return paths.flatMap((path) => {
    if (disk.stat(path) === undefined) {
      throw new OperatorError("usage", `Cannot read verifying key "${path}": there is no such file`);
    }
    const file = disk.open(path, "read");
    try {
      const bytes = new Uint8Array(MAX_KEYS_BYTES);
      return decodeVerifyingKeys(
        new TextDecoder().decode(bytes.subarray(0, file.read(bytes, 0))),
        `"${path}"`,
      );
    } finally {
      file.close();
    }
  });
}
