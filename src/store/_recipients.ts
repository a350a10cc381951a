/**
 * Who can open what a store writes: settled when it is made, and from then on the same for every command. What a
 * command gives must be what the store has; a difference is refused out loud, never merged.
 *
 * @see store-format.md, "Encryption"
 */
import { OperatorError } from "../errors.ts";
import { sha256 } from "../format/digests.ts";
import type { RecipientFacts } from "../format/members.ts";
import type { StoreFile } from "../format/store_file.ts";
import type { ObjectName } from "../model.ts";
import { isExhibitId } from "../units.ts";
import { HeadersReader } from "./_headers.ts";
import { readHead } from "./_journal.ts";
import { JOURNAL_FOLDER, KEYS_FOLDER } from "./_layout.ts";
import type { LocalStorage } from "./_local_storage.ts";

/** A fresh identity that a passphrase opens, for a new store. */
export interface PassphraseIdentity {
  readonly recipient: string;
  /** An age file that holds the identity, encrypted with the passphrase. */
  readonly file: Uint8Array;
}

/** What a command says of who can open what it writes. */
export interface RecipientWish {
  /** Null: none were given. `undefined`: whatever the store has. */
  readonly recipients?: RecipientFacts | null | undefined;
  /** Given: a passphrase opens it too. Asked for a new store only: an existing one has its identity. */
  readonly passphraseIdentity?: (() => Promise<PassphraseIdentity>) | undefined;
}

/** Where the identity of a recipient lies that a passphrase opens. */
export function passphraseIdentityName(recipient: string): ObjectName {
  const digest = sha256(new TextEncoder().encode(recipient));
  return `${KEYS_FOLDER}/${digest.slice(0, 16)}.identity.age`;
}

/** The recipients of a new store; null: it is plain. Puts the passphrase's identity first. */
export async function newRecipients(
  storage: LocalStorage,
  { recipients = null, passphraseIdentity }: RecipientWish,
): Promise<RecipientFacts | null> {
  if (!passphraseIdentity) return recipients;
  const { recipient, file } = await passphraseIdentity();
  await storage.put(passphraseIdentityName(recipient), file);
  return { contents: [...recipients?.contents ?? [], recipient], lineage: recipients?.lineage ?? null };
}

/** Refuses a command that differs from the store. Throws `usage`. */
export async function refuseOtherRecipients(
  storage: LocalStorage,
  file: StoreFile,
  wish: RecipientWish,
): Promise<void> {
  if (wish.recipients === undefined && !wish.passphraseIdentity) return;
  const given = wish.recipients ?? null;
  if (file.recipients === null) {
    if (given === null && !wish.passphraseIdentity) return;
    throw refusal("it is plain, and recipients were given", [
      "Use another --store for encrypted evidence, or encrypt this one into another with `coldcase encrypt`.",
    ]);
  }
  if (given === null && !wish.passphraseIdentity) {
    throw refusal("it is encrypted, and no recipient was given", [hintOf(file.recipients)]);
  }
  const byPassphrase: string[] = [];
  for (const recipient of file.recipients.contents) {
    if (await storage.stat(passphraseIdentityName(recipient))) byPassphrase.push(recipient);
  }
  if (wish.passphraseIdentity && byPassphrase.length === 0) {
    throw refusal("no passphrase opens it, and --passphrase was given", ["Leave --passphrase out."]);
  }
  const isLacking = [...file.recipients.contents, ...file.recipients.lineage ?? []]
    .some((one) => !given?.contents.includes(one) && !given?.lineage?.includes(one));
  const later = isLacking ? await laterRecipients(storage, file.recipients) : [];
  const mayLack = [...byPassphrase, ...later];
  const expected = (list: readonly string[], ofList: readonly string[]) =>
    list.filter((one) => ofList.includes(one) || !mayLack.includes(one));
  const { contents, lineage } = file.recipients;
  refuseDifference("recipients", expected(contents, given?.contents ?? []), given?.contents ?? []);
  refuseDifference(
    "recipients of the lineage",
    expected(lineage ?? [], given?.lineage ?? []),
    given?.lineage ?? [],
  );
}

/**
 * Those whom `recipients add` put on the store's lists. A command may leave them out: what was begun before is gone on
 * with by the command that it was begun with. They are those who have headers of their own, and those whom an
 * acquisition under way did not know when it began.
 */
async function laterRecipients(storage: LocalStorage, file: RecipientFacts): Promise<string[]> {
  const later = (await new HeadersReader(storage).parts()).flatMap(({ recipients }) => recipients);
  for await (const { name } of storage.list(`${JOURNAL_FOLDER}/`)) {
    const [, exhibit] = /^journal\/([^/]+)\/head\.json$/.exec(name) ?? [];
    const head = exhibit !== undefined && isExhibitId(exhibit) ? await readHead(storage, exhibit) : undefined;
    if (!head?.recipients) continue;
    const known = [...head.recipients.contents, ...head.recipients.lineage ?? []];
    later.push(...[...file.contents, ...file.lineage ?? []].filter((one) => !known.includes(one)));
  }
  return later;
}

function refuseDifference(what: string, expected: readonly string[], given: readonly string[]): void {
  const lacking = expected.filter((one) => !given.includes(one));
  const surplus = given.filter((one) => !expected.includes(one));
  if (lacking.length === 0 && surplus.length === 0) return;
  const faults = [
    ...lacking.map((one) => `it has ${one}, which was not given`),
    ...surplus.map((one) => `it does not have ${one}`),
  ];
  throw refusal(`its ${what} differ: ${faults.join("; ")}`, [
    "Give the ones that it has, those of its lineage by --lineage-key FILE.",
    "`coldcase recipients add` lets somebody else open what is there.",
  ]);
}

function hintOf({ contents, lineage }: RecipientFacts): string {
  const given = contents.map((one) => `-r ${one}`).join(" ");
  return `Give the recipients that it has: ${given}${lineage === null ? "" : " --lineage-key FILE"}`;
}

function refusal(reason: string, hints: readonly string[]): OperatorError {
  return new OperatorError("usage", `Cannot write to this store: ${reason}`, { hints: [...hints] });
}
