/**
 * What encrypted stores need of a command line: identities that open, recipients to encrypt to, a passphrase. Secrets
 * come from files and prompts only; what is wrong with them is told without repeating them.
 */
import { resolve } from "@std/path";
import { type Identities, makeIdentity, Recipients } from "../cipher_age.ts";
import {
  askNewPassphrase,
  encryptIdentityFile,
  type OpenedIdentities,
  openIdentityFiles,
  readPassphraseFile,
  readRecipientsFile,
} from "../cipher_age_files.ts";
import type { CommandContext, OptionTable } from "../cli/mod.ts";
import { OperatorError } from "../errors.ts";
import {
  type OpenOptions,
  openStore,
  type PassphraseIdentity,
  type RecipientWish,
  type Store,
} from "../store/mod.ts";

/** For commands that read what is in an encrypted store. */
export const IDENTITY_OPTIONS = {
  identity: {
    short: "i",
    value: "FILE",
    repeatable: true,
    summary: "identity that opens an encrypted store",
    details:
      "An age identity file, as `coldcase keygen` and age-keygen write it; one that a passphrase protects too.",
    section: "Encryption",
  },
  "passphrase-file": {
    value: "FILE",
    summary: "the passphrase, a file's only line, instead of being asked",
    section: "Encryption",
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

/** For commands that make an encrypted store; beside `IDENTITY_OPTIONS`. */
export const ENCRYPTION_OPTIONS = {
  ...RECIPIENT_OPTIONS,
  passphrase: {
    summary: "a passphrase opens the new store, too",
    details: "Asked for twice, when the store is made. It protects an identity in the store's keys/ folder.",
    section: "Encryption",
  },
  "lineage-key": {
    value: "FILE",
    summary: "identity that opens digests, no contents, of this store",
    details:
      "Kept outside of the store, on a host that acquires and must not read. With it the next acquisition of a " +
      "volume is incremental.",
    section: "Encryption",
  },
} as const satisfies OptionTable;

export interface IdentityOptionValues {
  readonly identity: readonly string[];
  readonly "passphrase-file": string | undefined;
}

interface RecipientOptionValues {
  readonly recipient: readonly string[];
  readonly "recipients-file": readonly string[];
}

interface EncryptionOptionValues extends IdentityOptionValues, RecipientOptionValues {
  readonly passphrase: boolean;
  readonly "lineage-key": string | undefined;
}

/** Where questions are asked, and the clock is. */
type Surroundings = Pick<CommandContext, "out" | "world">;

/** What the identity files hold; `undefined` where none was given. */
export async function openIdentities(
  context: CommandContext,
  options: IdentityOptionValues,
): Promise<Identities | undefined> {
  return (await openFiles(context, options, options.identity))?.identities;
}

/** Asks for each passphrase once. */
async function openFiles(
  { out }: Pick<Surroundings, "out">,
  options: Pick<IdentityOptionValues, "passphrase-file">,
  paths: readonly string[],
): Promise<OpenedIdentities | undefined> {
  if (paths.length === 0) return undefined;
  const opened = await openIdentityFiles(paths, {
    askPassphrase: out.askSecret,
    passphrase: options["passphrase-file"] === undefined
      ? undefined
      : passphraseOf(out, options["passphrase-file"]),
  });
  for (const warning of opened.warnings) out.warn(warning);
  return opened;
}

/** Opens the store of a command for reading, with the identities that were given. */
export async function openStoreWith(
  context: CommandContext,
  options: IdentityOptionValues & { readonly store: string },
  more: Omit<OpenOptions, "identities"> = {},
): Promise<Store> {
  const identities = await openIdentities(context, options);
  return await openStore(context.world, resolve(options.store), { ...more, identities });
}

/** The recipients that were given, checked; `undefined` for none. */
export async function givenRecipients(options: RecipientOptionValues): Promise<Recipients | undefined> {
  const given = [
    ...options.recipient.map((text) => ({ text, place: "-r" })),
    ...options["recipients-file"].flatMap((path) => readRecipientsFile(path)),
  ];
  return given.length === 0 ? undefined : await Recipients.of(given);
}

/** What a command line says of who can open what is written, and of what opens what is read. */
export async function encryptionOf(
  context: Surroundings,
  options: EncryptionOptionValues,
): Promise<RecipientWish & OpenOptions> {
  const recipients = await givenRecipients(options);
  const lineageFile = options["lineage-key"];
  const files = [...options.identity, ...(lineageFile === undefined ? [] : [lineageFile])];
  const opened = await openFiles(context, options, files);
  const lineage = lineageFile === undefined ? undefined : opened?.recipientsOf.get(lineageFile);
  if (lineage && !recipients && !options.passphrase) {
    throw new OperatorError("usage", "Cannot use a lineage key: nobody was named who can open the contents", {
      hints: ["Give the recipients, too: -r age1…"],
    });
  }
  const isEncrypted = recipients !== undefined || options.passphrase;
  if (options["passphrase-file"] !== undefined && !options.passphrase && !opened) {
    throw new OperatorError("usage", "Cannot use --passphrase-file: nothing asks for a passphrase", {
      hints: ["--passphrase encrypts to it; -i FILE names an identity file that it opens."],
    });
  }
  await refuseMixture({
    contents: recipients?.list ?? [],
    lineage: lineage ?? [],
    hasPassphrase: options.passphrase,
  });
  return {
    identities: opened?.identities,
    recipients: isEncrypted ? { contents: recipients?.list ?? [], lineage: lineage ?? null } : null,
    ...(options.passphrase && { passphraseIdentity: () => newPassphraseIdentity(context, options) }),
  };
}

/** Manifests and segments are for all of them: found out before a store is made that nothing could be written to. */
async function refuseMixture(
  wish: {
    readonly contents: readonly string[];
    readonly lineage: readonly string[];
    readonly hasPassphrase: boolean;
  },
): Promise<void> {
  const both = wish.lineage.find((one) => wish.contents.includes(one));
  if (both !== undefined) {
    throw new OperatorError(
      "usage",
      `Cannot use a lineage key: ${both} was given with -r, too, and opens contents`,
      {
        hints: ["Make an identity of its own for the lineage: `coldcase keygen -o FILE`."],
      },
    );
  }
  const all = [
    ...wish.contents.map((text) => ({ text, place: "-r" })),
    ...wish.lineage.map((text) => ({ text, place: "--lineage-key" })),
  ];
  if (all.length === 0 || !(await Recipients.of(all)).isPostQuantum || !wish.hasPassphrase) return;
  throw new OperatorError(
    "usage",
    "Cannot use a passphrase with post-quantum recipients: it protects an X25519 identity, and age never mixes them",
    { hints: ["Leave the passphrase out; `age -p` protects the file of a post-quantum identity."] },
  );
}

/** A store may have been opened to more people since: whoever writes to it hears of them. */
export async function tellOtherRecipients(
  { out }: CommandContext,
  store: Store,
  { recipients }: RecipientWish,
): Promise<void> {
  const others = recipients ? await store.access.notGiven(recipients) : [];
  if (others.length === 0) return;
  const names = others.map((one) => one.slice(0, 62)).join(", ");
  out.note(`what is written is also for ${names}: on the store's list, and not given`);
}

/** One key only is a risk of its own. */
export function warnOfSingleRecipient({ out }: CommandContext, { file }: Store): void {
  if (file.recipients?.contents.length === 1) {
    out.warn("one recipient only: who loses that identity loses the evidence");
  }
}

/** A fresh identity that a passphrase opens: asked for, or a file's. */
async function newPassphraseIdentity(
  { out, world }: Surroundings,
  options: Pick<IdentityOptionValues, "passphrase-file">,
): Promise<PassphraseIdentity> {
  const passphrase = await newPassphrase(out, options["passphrase-file"]);
  const identity = await makeIdentity("x25519");
  const file = await encryptIdentityFile(identity, { passphrase, madeAtMs: world.clock.nowMs() });
  return { recipient: identity.recipient, file };
}

async function newPassphrase(out: CommandContext["out"], path: string | undefined): Promise<string> {
  if (path !== undefined) return passphraseOf(out, path);
  if (out.askSecret) return await askNewPassphrase(out.askSecret, "the new store");
  throw new OperatorError("usage", "Cannot ask for a passphrase: this is no terminal", {
    hints: ["Give --passphrase-file FILE beside --passphrase, or run it on a terminal."],
  });
}

function passphraseOf(out: CommandContext["out"], path: string): string {
  const { passphrase, warnings } = readPassphraseFile(path);
  for (const warning of warnings) out.warn(warning);
  return passphrase;
}
