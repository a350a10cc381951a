/**
 * `keygen`: makes a signing key, in a file that only its owner may read and that replaces none. Prints the public
 * half, which others need to check signatures. Age identities are not made here yet.
 */
import { resolve } from "@std/path";
import { defineCommand } from "../cli/mod.ts";
import { OperatorError } from "../errors.ts";
import { encodePublicKeyLine } from "../format/verifying_key.ts";
import { makeKeyFile, ownKeyPath } from "../keys.ts";

export const keygen = defineCommand({
  usage: "",
  description:
    `Makes an Ed25519 signing key and prints its fingerprint and its public key: what others need to check signatures. Give the fingerprint to them on another way than the evidence.

Without -o it is coldcase's own key, in the user's configuration folder, which signs where no other key is named.

The file is an OpenSSH private key without a passphrase, for its owner alone (0600). \`ssh-keygen -p -f FILE\` gives it a passphrase. Don't use it to log in anywhere: coldcase lets it sign bytes as they are.`,
  options: {
    sign: { summary: "a signing key (Ed25519)" },
    output: { short: "o", value: "FILE", summary: "another file than the one in the configuration" },
  },
  exitCodes: { storage: "the key file can't be written" },
  examples: [
    { command: "coldcase keygen --sign", says: "the key that coldcase signs with" },
    { command: "coldcase keygen --sign -o examiner.key", says: "one for --sign-key" },
  ],
  environment: { XDG_CONFIG_HOME: "folder of configurations, ~/.config where not set" },
  async run({ out, world }, { options }) {
    if (!options.sign) {
      throw new OperatorError("usage", "Cannot make a key: its kind was not given, expected --sign", {
        hints: ["run `coldcase keygen --sign` for a signing key; it makes no other"],
      });
    }
    if (options.output === "-") {
      throw new OperatorError("usage", "Cannot make a key on stdout: expected a file that only you can read");
    }
    const path = options.output === undefined ? ownKeyPath(world.environment) : resolve(options.output);
    const key = await makeKeyFile(world, path);
    const publicKey = encodePublicKeyLine(key);
    out.result(`${key.fingerprint}\n${publicKey}\n`);
    out.event({ type: "key", kind: "signing", path, fingerprint: key.fingerprint, publicKey });
    out.note(`the private key is in ${path}: whoever has it signs as you`);
    return 0;
  },
});
