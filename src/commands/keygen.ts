/**
 * `keygen`: makes an age identity or a signing key, in a file that only its owner may read and that replaces
 * none. Prints the public half: the recipient to encrypt to, or what others need to check signatures.
 */
import { resolve } from "@std/path";
import { makeIdentity } from "../cipher_age.ts";
import { encodeIdentityFile } from "../cipher_age_files.ts";
import { type CommandContext, defineCommand } from "../cli/mod.ts";
import { OperatorError } from "../errors.ts";
import { encodePublicKeyLine } from "../format/verifying_key.ts";
import { makeKeyFile, ownKeyPath, writeSecretFile } from "../keys.ts";

interface IdentityRequest {
  readonly kind: "x25519" | "post-quantum";
  /** As the command line gives it; `undefined`: to stdout. */
  readonly output: string | undefined;
}

export const keygen = defineCommand({
  usage: "",
  description:
    `Makes an age identity: the secret that opens what is encrypted to its recipient. age and age-keygen read it.

With -o it goes to a file for its owner alone (0600), which must not be there yet and not be in a store; its recipient, the public key, goes to stderr. Without -o the identity goes to stdout; a file that a shell makes of that others may be able to read.

--pq makes a post-quantum identity (ML-KEM-768 with X25519), for age 1.3 and later. Such recipients are never mixed with others.

--sign makes an Ed25519 signing key instead and prints its fingerprint and its public key: what others need to check signatures. Give the fingerprint to them on another way than the evidence. Without -o it is coldcase's own key, in the user's configuration folder, which signs where no other key is named. The file is an OpenSSH private key without a passphrase, for its owner alone (0600). \`ssh-keygen -p -f FILE\` gives it a passphrase. Don't use it to log in anywhere: coldcase lets it sign bytes as they are.`,
  options: {
    output: { short: "o", value: "FILE", summary: "the file to make" },
    pq: { summary: "a post-quantum identity" },
    sign: { summary: "a signing key (Ed25519)" },
  },
  exitCodes: { storage: "the file can't be written" },
  examples: [
    { command: "coldcase keygen -o examiner.age", says: "an age identity" },
    { command: "coldcase keygen --pq -o examiner.age", says: "a post-quantum one" },
    { command: "coldcase keygen --sign", says: "the key that coldcase signs with" },
    {
      command: "coldcase keygen --sign -o examiner.key | tail -n 1 > examiner.pub",
      says: "one for --sign-key",
    },
  ],
  environment: { XDG_CONFIG_HOME: "folder of configurations, ~/.config where not set" },
  async run(context, { options }) {
    const { output, pq, sign } = options;
    if (!sign) {
      await makeAgeIdentity(context, { kind: pq ? "post-quantum" : "x25519", output });
      return 0;
    }
    if (pq) {
      throw new OperatorError("usage", "Cannot make a key: --sign and --pq were given, expected one of them");
    }
    await makeSigningKey(context, output);
    return 0;
  },
});

async function makeAgeIdentity({ out, world }: CommandContext, request: IdentityRequest): Promise<void> {
  const { kind, output } = request;
  const isToStdout = output === undefined || output === "-";
  if (isToStdout && out.json) {
    throw new OperatorError("usage", "Cannot print an identity as JSON: it is a secret, expected -o FILE");
  }
  const identity = await makeIdentity(kind);
  const { recipient } = identity;
  const text = encodeIdentityFile(identity, { atMs: world.clock.nowMs() });
  if (isToStdout) {
    out.result(text);
  } else {
    const path = resolve(output);
    await writeSecretFile(path, { text, noun: "identity", randomness: world.randomness });
    out.event({ type: "key", kind: "age", path, recipient });
  }
  out.note(`Public key: ${recipient}`);
}

async function makeSigningKey({ out, world }: CommandContext, output: string | undefined): Promise<void> {
  if (output === "-") {
    throw new OperatorError("usage", "Cannot make a key on stdout: expected a file that only you can read");
  }
  const path = output === undefined ? ownKeyPath(world.environment) : resolve(output);
  const key = await makeKeyFile(world, path);
  const publicKey = encodePublicKeyLine(key);
  out.result(`${key.fingerprint}\n${publicKey}\n`);
  out.event({ type: "key", kind: "signing", path, fingerprint: key.fingerprint, publicKey });
  out.note(`the private key is in ${path}: whoever has it signs as you`);
}
