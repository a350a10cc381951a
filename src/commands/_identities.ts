/**
 * What encrypted stores need of a command line: identities that open, recipients to encrypt to, a passphrase. Secrets
 * come from files and prompts only; what is wrong with them is told without repeating them.
 */
import { type Identities, makeIdentity, Recipients } from "../cipher_age.ts";
import {
  askNewPassphrase,
  encryptIdentityFile,
  openIdentityFiles,
  readPassphraseFile,
  readRecipientsFile,
} from "../cipher_age_files.ts";
import type { CommandContext, OptionTable } from "../cli/mod.ts";
import { OperatorError } from "../errors.ts";
import type { PassphraseIdentity, RecipientWish } from "../store/mod.ts";

/** For commands that read what is in an encrypted store. */
export const IDENTITY_OPTIONS = {
  identity: {
    short: "i",
    value: "FILE",
    repeatable: true,
    summary: "identity that opens an encrypted store",
    details:
      "An age identity file, as `coldcase keygen` and age-keygen write it; one that a passphrase protects too.",
    section: "Store",
  },
} as const satisfies OptionTable;

/** For commands that encrypt to somebody. */
export const RECIPIENT_OPTIONS = {
  recipient: {
    short: "r",
    value: "RECIPIENT",
    repeatable: true,
    summary: "encrypt to this age recipient, age1…",
    section: "Encryption",
  },
  "recipients-file": {
    short: "R",
    value: "FILE",
    repeatable: true,
    summary: "encrypt to the recipients of a file, one a line",
    section: "Encryption",
  },
} as const satisfies OptionTable;

/** For commands that make an encrypted store. */
export const PASSPHRASE_OPTIONS = {
  passphrase: {
    summary: "a passphrase opens the new store, too",
    details: "Asked for twice, when the store is made. It protects an identity in the store's keys/ folder.",
    section: "Encryption",
  },
  "passphrase-file": {
    value: "FILE",
    summary: "the same, the passphrase being a file's only line",
    section: "Encryption",
  },
} as const satisfies OptionTable;

interface RecipientValues {
  readonly recipient: readonly string[];
  readonly "recipients-file": readonly string[];
}

interface PassphraseValues {
  readonly passphrase: boolean;
  readonly "passphrase-file": string | undefined;
}

/** What the identity files hold; `undefined` where none was given. */
export async function openIdentities(
  { out }: CommandContext,
  files: readonly string[],
): Promise<Identities | undefined> {
  if (files.length === 0) return undefined;
  const { identities, warnings } = await openIdentityFiles(files, { askPassphrase: out.askSecret });
  for (const warning of warnings) out.warn(warning);
  return identities;
}

/** The recipients that were given, checked; `undefined` for none. */
export async function givenRecipients(options: RecipientValues): Promise<Recipients | undefined> {
  const given = [
    ...options.recipient.map((text) => ({ text, place: "-r" })),
    ...options["recipients-file"].flatMap((path) => readRecipientsFile(path)),
  ];
  return given.length === 0 ? undefined : await Recipients.of(given);
}

/**
 * What a command line says of who can open what is written.
 *
 * @param lineage Recipients of identities that shall open digests and no contents.
 */
export async function recipientWish(
  context: CommandContext,
  options: RecipientValues & PassphraseValues,
  lineage: readonly string[] = [],
): Promise<RecipientWish> {
  const recipients = await givenRecipients(options);
  const hasPassphrase = options.passphrase || options["passphrase-file"] !== undefined;
  if (recipients?.isSingle && !hasPassphrase) {
    context.out.warn("one recipient only: who loses that identity loses the evidence");
  }
  if (lineage.length > 0 && !recipients && !hasPassphrase) {
    throw new OperatorError("usage", "Cannot use a lineage key: nobody was named who can open the contents", {
      hints: ["Give the recipients, too: -r age1…"],
    });
  }
  return {
    recipients: recipients || hasPassphrase
      ? { contents: recipients?.list ?? [], lineage: lineage.length > 0 ? lineage : null }
      : null,
    ...(hasPassphrase && { passphraseIdentity: () => newPassphraseIdentity(context, options) }),
  };
}

/** A fresh identity that a passphrase opens: asked for, or a file's. */
async function newPassphraseIdentity(
  { out, world }: CommandContext,
  options: PassphraseValues,
): Promise<PassphraseIdentity> {
  const passphrase = await newPassphrase(out, options["passphrase-file"]);
  const identity = await makeIdentity("x25519");
  const file = await encryptIdentityFile(identity, { passphrase, madeAtMs: world.clock.nowMs() });
  return { recipient: identity.recipient, file };
}

async function newPassphrase(out: CommandContext["out"], path: string | undefined): Promise<string> {
  if (path !== undefined) {
    const { passphrase, warnings } = readPassphraseFile(path);
    for (const warning of warnings) out.warn(warning);
    return passphrase;
  }
  if (out.askSecret) return await askNewPassphrase(out.askSecret, "the new store");
  throw new OperatorError("usage", "Cannot ask for a passphrase: this is no terminal", {
    hints: ["Give --passphrase-file FILE, or run it on a terminal."],
  });
}
