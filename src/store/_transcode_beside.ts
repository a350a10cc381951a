/**
 * What stands beside an exhibit, on its way into a store of the other mode: signatures and tokens get the names of what
 * they are over, addenda are encrypted or decrypted, and what lies in the clear everywhere is copied as it is. Nothing is signed anew.
 *
 * @see store-format.md, "Encryption"
 */
import { OperatorError } from "../errors.ts";
import { decodeAnyAddendum, MAX_ADDENDUM_BYTES } from "../format/addendum.ts";
import type { Digest, ObjectName } from "../model.ts";
import type { Contents } from "./_contents.ts";
import { copyFolder, SHARED_FOLDERS } from "./_copy.ts";
import { EXHIBITS_FOLDER, parseName } from "./_layout.ts";
import type { LocalStorage } from "./_local_storage.ts";
import type { OuterExhibit } from "./_outer.ts";
import { checkSignatures, stemOf } from "./_signatures.ts";

interface Side {
  readonly storage: LocalStorage;
  readonly contents: Contents;
}

interface BesideParts {
  readonly from: Side;
  readonly to: Side;
  /** As the source has it. */
  readonly exhibit: OuterExhibit;
}

/**
 * Brings what the target lacks.
 *
 * @param manifestFile Of the target.
 */
export async function transcodeBeside(parts: BesideParts, manifestFile: ObjectName): Promise<void> {
  await takeSignatures(parts, { source: parts.exhibit.manifestFile, target: manifestFile });
  await transcodeAddenda(parts);
  for (const folder of SHARED_FOLDERS) {
    // An identity that a passphrase opens is of the encrypted store alone.
    await copyFolder(parts, folder, (name) => name.endsWith(".age") ? undefined : name);
  }
}

function folderOf({ exhibit }: BesideParts): string {
  return `${EXHIBITS_FOLDER}/${exhibit.id}/`;
}

/** What is signed has the same bytes in both stores: signatures, and tokens over them, change their names only. */
async function takeSignatures(
  parts: BesideParts,
  over: { readonly source: ObjectName; readonly target: ObjectName },
): Promise<void> {
  const stem = `${stemOf(over.source)}.`;
  await copyFolder(parts, folderOf(parts), (name) => {
    const isOverIt = name.startsWith(stem) && /\.(sshsig|ed25519|tst)$/.test(name);
    return isOverIt ? `${stemOf(over.target)}.${name.slice(stem.length)}` : undefined;
  });
}

/**
 * Throws `integrity` or `format` for an addendum that `verify` would not accept: in a new file it could not be told from a
 * good one.
 */
async function transcodeAddenda(parts: BesideParts): Promise<void> {
  const { from, to, exhibit } = parts;
  const there = await addendaBySignature(to.storage, folderOf(parts));
  for await (const { name } of from.storage.list(folderOf(parts))) {
    if (parseName(name)?.kind !== "addendum") continue;
    const bytes = await from.contents.read(name, MAX_ADDENDUM_BYTES);
    decodeAnyAddendum(bytes, `"${name}"`);
    const signed = { name, bytes, namespace: "coldcase-addendum@v1" } as const;
    const { held, faults } = await checkSignatures(from.storage, signed);
    if (held.length === 0) {
      const fault = new OperatorError("integrity", `Cannot accept "${name}": it has no signature`, {
        facts: { file: name },
      });
      throw faults[0] ?? fault;
    }
    const known = await knownAddendum(to, held.map(({ file }) => there.get(from.storage.digestOf(file))));
    const made = known === undefined ? await to.contents.prepare("addendum", bytes, exhibit.id) : undefined;
    await takeSignatures(parts, { source: name, target: known ?? made!.name });
    if (made) await to.storage.put(made.name, made.stored);
  }
}

/** The addendum that has one of these signatures already, if it is there and whole. */
async function knownAddendum(
  { storage, contents }: Side,
  stems: readonly (string | undefined)[],
): Promise<ObjectName | undefined> {
  for (const stem of stems.filter((known) => known !== undefined)) {
    const name = `${stem}.json${contents.ending}`;
    const digest = parseName(name)?.digest;
    if (digest && await storage.holds(name, digest)) return name;
  }
  return undefined;
}

/** By the digest of a signature's file: the name of the addendum that it is over, without the ending. */
async function addendaBySignature(storage: LocalStorage, folder: string): Promise<Map<Digest, string>> {
  const signed = new Map<Digest, string>();
  for await (const { name } of storage.list(folder)) {
    const stem = /^(.*\/addendum-[0-9a-f]{64})\.[0-9a-f]{16}\.sshsig$/.exec(name)?.[1];
    if (stem !== undefined) signed.set(storage.digestOf(name), stem);
  }
  return signed;
}
