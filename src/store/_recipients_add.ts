/**
 * Adds recipients to what is written already: a new header for every age file of an exhibit, around the same file key,
 * in signed files beside the exhibit. Nothing that is there changes, and nobody loses what they can open.
 *
 * A file's own header is opened and its last chunk authenticated before its key is wrapped anew: no header is
 * published for what would not open with it. What is published once is not published again, so that a run that was
 * interrupted goes on, and another with the same recipients does nothing.
 *
 * @see store-format.md, "Added recipients"
 */
import { MAX_RECIPIENTS, Recipients } from "../cipher_age.ts";
import { isFault, OperatorError } from "../errors.ts";
import { sha256 } from "../format/digests.ts";
import { type AddedHeader, encodeHeaders, HeadersPart, type Opens } from "../format/headers.ts";
import type { RecipientFacts } from "../format/members.ts";
import { encodeStoreFile, type StoreFile } from "../format/store_file.ts";
import type { SigningKey } from "../keys.ts";
import type { Clock, ObjectName } from "../model.ts";
import { formatTime } from "../units.ts";
import type { Contents } from "./_contents.ts";
import { EXHIBITS_FOLDER, headersName, parseName, STORE_FILE } from "./_layout.ts";
import type { LocalStorage } from "./_local_storage.ts";
import type { OuterExhibit } from "./_outer.ts";
import { putSignature } from "./_signatures.ts";

/** Who is added, and to what. */
export interface NewRecipients {
  readonly recipients: Recipients;
  readonly opens: Opens;
}

export interface AddOptions extends NewRecipients {
  /** Signs the headers. */
  readonly key: SigningKey;
  readonly signal: AbortSignal;
  /** A file that is missing or damaged, and so got no header; the others did. */
  onFault(error: OperatorError): void;
  onProgress?(done: { readonly doneFiles: number; readonly totalFiles: number }): void;
}

export interface AddSummary {
  /** Files that the recipients shall open. */
  readonly files: number;
  /** Headers that were made. */
  readonly addedHeaders: number;
  /** Headers that were there already. */
  readonly heldHeaders: number;
  /** The new files that hold them. */
  readonly headersFiles: readonly ObjectName[];
}

interface AddParts {
  readonly storage: LocalStorage;
  readonly contents: Contents;
  readonly world: { readonly clock: Clock };
}

/** Throws `identity` where the operator's own identities don't open a file, `storage`. */
export async function addHeaders(
  parts: AddParts,
  exhibit: OuterExhibit,
  options: AddOptions,
): Promise<AddSummary> {
  const { contents } = parts;
  const names = await ageFiles(parts.storage, exhibit, options.opens);
  const part = new HeadersPart();
  const headersFiles: ObjectName[] = [];
  const write = async (files: readonly AddedHeader[]) => {
    if (files.length > 0) headersFiles.push(await putPart(parts, { exhibit, files }, options));
  };
  let addedHeaders = 0;
  let heldHeaders = 0;
  for (const [position, name] of names.entries()) {
    options.signal.throwIfAborted();
    // A turn of the event loop, in which signals arrive, takes longer than a look at a header that is there.
    if (position % 64 === 0) await parts.world.clock.sleep(0, options.signal);
    options.onProgress?.({ doneFiles: position, totalFiles: names.length });
    if (await isHeld(contents, name, { exhibit, recipients: options.recipients })) {
      heldHeaders++;
      continue;
    }
    const header = await newHeader(parts, name, options);
    if (!header) continue;
    addedHeaders++;
    await write(part.add(header) ?? []);
  }
  await write(part.take());
  return { files: names.length, addedHeaders, heldHeaders, headersFiles };
}

/** Names of the age files that the recipients shall open, in the order of their bytes. */
async function ageFiles(storage: LocalStorage, exhibit: OuterExhibit, opens: Opens): Promise<ObjectName[]> {
  const names = new Set(exhibit.inventory.files.map(({ name }) => name));
  for await (const { name } of storage.list(`${EXHIBITS_FOLDER}/${exhibit.id}/`)) {
    if (parseName(name)?.kind === "addendum") names.add(name);
  }
  return [...names].filter((name) => {
    const named = parseName(name);
    return named?.isEncrypted && (opens === "contents" || named.kind !== "pack");
  }).sort();
}

/**
 * Whether each of the recipients has a header for the file, in one part or another of this exhibit: those of another
 * one, which shares the file, would not travel with a copy.
 */
async function isHeld(
  contents: Contents,
  name: ObjectName,
  { exhibit, recipients }: { readonly exhibit: OuterExhibit; readonly recipients: Recipients },
): Promise<boolean> {
  const own = (await contents.headers.of(name)).filter(({ headersFile }) =>
    parseName(headersFile)?.exhibit === exhibit.id
  );
  const held = new Set(own.flatMap((header) => header.recipients));
  return recipients.list.every((recipient) => held.has(recipient));
}

/** `undefined`: the file is missing or damaged, which was told. */
async function newHeader(
  { contents }: AddParts,
  name: ObjectName,
  { recipients, onFault }: AddOptions,
): Promise<AddedHeader | undefined> {
  try {
    const { reader, fileKey, headerBytes } = await contents.openFile(name);
    reader.close();
    const header = await recipients.headerFor(fileKey);
    fileKey.fill(0);
    return { name, offsetBytes: headerBytes, header };
  } catch (error) {
    if (!isFault(error)) throw error;
    onFault(error);
    return undefined;
  }
}

async function putPart(
  { storage, world }: AddParts,
  { exhibit, files }: { readonly exhibit: OuterExhibit; readonly files: readonly AddedHeader[] },
  { recipients, opens, key }: AddOptions,
): Promise<ObjectName> {
  const bytes = encodeHeaders({
    exhibit: exhibit.id,
    commitment: exhibit.inventory.commitment,
    madeAt: formatTime(world.clock.nowMs()),
    opens,
    recipients: recipients.list,
    files,
  });
  const name = headersName(exhibit.id, sha256(bytes));
  await putSignature(storage, { name, bytes, namespace: "coldcase-headers@v1" }, key);
  await storage.put(name, bytes);
  return name;
}

/**
 * The store's own lists with the new recipients; `undefined` where they have them. Throws `usage` where a store can't
 * have them all: more than 32, or post-quantum ones with others.
 */
export async function extendedRecipients(
  known: RecipientFacts,
  { recipients, opens }: NewRecipients,
): Promise<RecipientFacts | undefined> {
  const before = known[opens] ?? [];
  const inBoth = opens === "lineage" ? [...before, ...known.contents] : before;
  const lacking = recipients.list.filter((one) => !inBoth.includes(one));
  if (lacking.length === 0) return undefined;
  const extended = { ...known, [opens]: [...before, ...lacking] };
  const all = [...new Set([...extended.contents, ...extended.lineage ?? []])];
  const hints = [
    "Name the exhibits that they shall open: then they get headers for those, and the store's own list stays.",
  ];
  if (all.length > MAX_RECIPIENTS) {
    throw new OperatorError(
      "usage",
      `Cannot add recipients to this store: it would have ${all.length}, expected at most ${MAX_RECIPIENTS}`,
      { hints },
    );
  }
  await Recipients.of(all.map((text) => ({ text, place: before.includes(text) ? "the store" : "-r" }))).catch(
    (error) => {
      if (!(error instanceof OperatorError)) throw error;
      throw new OperatorError("usage", error.message, { cause: error, hints: [...hints, ...error.hints] });
    },
  );
  return extended;
}

/** Writes the store's lists anew: what is written from now on is for these. */
export async function replaceRecipients(
  storage: LocalStorage,
  file: StoreFile,
  recipients: RecipientFacts,
): Promise<void> {
  await storage.replace(STORE_FILE, encodeStoreFile({ ...file, recipients }));
}
