/**
 * Who can open what a store writes: settled when it is made, and from then on the same for every command. What a
 * command gives must be what the store has; a difference is refused out loud, never merged.
 *
 * @see store-format.md, "Encryption"
 */
import { EXIT_CODES, OperatorError } from "../errors.ts";
import type { RecipientFacts } from "../format/members.ts";
import type { StoreFile } from "../format/store_file.ts";
import { isExhibitId } from "../units.ts";
import { checkCustody } from "./_custody.ts";
import { HeadersReader } from "./_headers.ts";
import { readHead } from "./_journal.ts";
import { JOURNAL_FOLDER } from "./_layout.ts";
import type { LocalStorage } from "./_local_storage.ts";
import { passphraseIdentityName } from "./_passphrase_identity.ts";

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
    const hint = hintOf(file.recipients, await byPassphraseOf(storage, file.recipients));
    throw refusal("it is encrypted, and no recipient was given", [hint]);
  }
  const byPassphrase = await byPassphraseOf(storage, file.recipients);
  if (wish.passphraseIdentity && byPassphrase.length === 0) {
    throw refusal("no passphrase opens it, and --passphrase was given", ["Leave --passphrase out."]);
  }
  const isLacking = [...file.recipients.contents, ...file.recipients.lineage ?? []]
    .some((one) => !given?.contents.includes(one) && !given?.lineage?.includes(one));
  const later = isLacking ? await laterRecipients(storage, file.id, file.recipients) : [];
  const mayLack = [...byPassphrase, ...later];
  const expected = (list: readonly string[], ofList: readonly string[]) =>
    list.filter((one) => ofList.includes(one) || !mayLack.includes(one));
  const { contents, lineage } = file.recipients;
  const refuse = (what: string, list: readonly string[], givenOf: readonly string[]) =>
    refuseDifference(what, { expected: expected(list, givenOf), given: givenOf }, [
      hintOf(file.recipients!, byPassphrase),
      "`coldcase recipients add` lets somebody else open what is there.",
    ]);
  refuse("recipients", contents, given?.contents ?? []);
  refuse("recipients of the lineage", lineage ?? [], given?.lineage ?? []);
}

/**
 * Those whom `recipients add` put on the store's lists. A command may leave them out: what was begun before is gone on
 * with by the command that it was begun with. They are those who have headers of their own, those whom an acquisition
 * under way did not know when it began, and, since a store that holds nothing has neither, those whom the custody log
 * says were added.
 */
async function laterRecipients(
  storage: LocalStorage,
  storeId: string,
  file: RecipientFacts,
): Promise<string[]> {
  const later = (await new HeadersReader(storage).parts()).flatMap(({ recipients }) => recipients);
  for await (const { name } of storage.list(`${JOURNAL_FOLDER}/`)) {
    const [, exhibit] = /^journal\/([^/]+)\/head\.json$/.exec(name) ?? [];
    const head = exhibit !== undefined && isExhibitId(exhibit) ? await readHead(storage, exhibit) : undefined;
    if (!head?.recipients) continue;
    const known = [...head.recipients.contents, ...head.recipients.lineage ?? []];
    later.push(...[...file.contents, ...file.lineage ?? []].filter((one) => !known.includes(one)));
  }
  return [...later, ...await addedByLog(storage, storeId, [...file.contents, ...file.lineage ?? []])];
}

/** Of `list` those whom an entry of this store's log names as added to all of it. It names the first signs of a long one. */
async function addedByLog(
  storage: LocalStorage,
  storeId: string,
  list: readonly string[],
): Promise<string[]> {
  const named: string[] = [];
  await checkCustody(storage, [], ({ action, store, result }) => {
    const { wholeStore, recipients } = result.facts;
    const isDone = result.exitCode === EXIT_CODES.integrity || result.exitCode === 0;
    if (action !== "recipients" || store !== storeId || wholeStore !== true || !isDone) return;
    named.push(...String(recipients).split(" "));
  });
  return list.filter((one) =>
    named.some((name) => name.endsWith("…") ? one.startsWith(name.slice(0, -1)) : one === name)
  );
}

/** Of the recipients of a store those whom a command did not give, and no passphrase stands for. */
export async function recipientsNotGiven(
  storage: LocalStorage,
  { contents, lineage }: RecipientFacts,
  given: RecipientFacts,
): Promise<string[]> {
  const byPassphrase = await byPassphraseOf(storage, { contents, lineage });
  const known = [...given.contents, ...given.lineage ?? [], ...byPassphrase];
  return [...contents, ...lineage ?? []].filter((one) => !known.includes(one));
}

function refuseDifference(
  what: string,
  { expected, given }: { readonly expected: readonly string[]; readonly given: readonly string[] },
  hints: readonly string[],
): void {
  const lacking = expected.filter((one) => !given.includes(one));
  const surplus = given.filter((one) => !expected.includes(one));
  if (lacking.length === 0 && surplus.length === 0) return;
  const faults = [
    ...lacking.map((one) => `it has ${one}, which was not given`),
    ...surplus.map((one) => `it does not have ${one}`),
  ];
  throw refusal(`its ${what} differ: ${faults.join("; ")}`, hints);
}

/** Of the recipients of a store those whose identities a passphrase opens. */
async function byPassphraseOf(storage: LocalStorage, { contents }: RecipientFacts): Promise<string[]> {
  const found: string[] = [];
  for (const recipient of contents) {
    if (await storage.stat(passphraseIdentityName(recipient))) found.push(recipient);
  }
  return found;
}

function hintOf({ contents, lineage }: RecipientFacts, byPassphrase: readonly string[]): string {
  const given = [
    ...contents.filter((one) => !byPassphrase.includes(one)).map((one) => `-r ${one}`),
    ...(byPassphrase.length > 0 ? ["--passphrase"] : []),
    ...(lineage === null ? [] : ["--lineage-key FILE"]),
  ];
  return `Give the recipients that it has: ${given.join(" ")}`;
}

function refusal(reason: string, hints: readonly string[]): OperatorError {
  return new OperatorError("usage", `Cannot write to this store: ${reason}`, { hints: [...hints] });
}
