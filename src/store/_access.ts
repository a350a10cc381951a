/**
 * Who can open what a store holds, and letting others open it too. What is told of recipients is what store file and
 * headers say: a header itself names nobody.
 *
 * @see store-format.md, "Added recipients"
 */
import { readAgeHeader } from "../cipher_age.ts";
import { isFault, OperatorError } from "../errors.ts";
import type { RecipientFacts } from "../format/members.ts";
import type { StoreFile } from "../format/store_file.ts";
import type { ObjectName, World } from "../model.ts";
import type { Contents } from "./_contents.ts";
import type { HeadersPartFacts } from "./_headers.ts";
import { parseName } from "./_layout.ts";
import type { LocalStorage } from "./_local_storage.ts";
import type { OuterExhibit } from "./_outer.ts";
import { recipientsNotGiven } from "./_recipients.ts";
import {
  addHeaders,
  type AddOptions,
  type AddSummary,
  extendedRecipients,
  type NewRecipients,
  replaceRecipients,
} from "./_recipients_add.ts";
import { isUnopened } from "./_verify_unopened.ts";

/** A pack that none of the identities opens may lack a header; so many of them are no accident. */
const PROBED_PACKS = 16;

interface AccessParts {
  readonly storage: LocalStorage;
  readonly contents: Contents;
  readonly world: World;
  readonly file: StoreFile;
}

/** Who can open one exhibit. */
export interface ExhibitAccess {
  /** Kinds of the recipients that its manifest's file was written for: whose they are, no header tells. */
  readonly ownKinds: readonly string[];
  /** Sound files of added headers. */
  readonly added: readonly HeadersPartFacts[];
  /** Names of damaged ones. */
  readonly damaged: readonly ObjectName[];
}

export class Access {
  readonly #parts: AccessParts;

  constructor(parts: AccessParts) {
    this.#parts = parts;
  }

  /** For whom is what is written from now on. Throws `usage` for a plain store. */
  get lists(): RecipientFacts {
    const { recipients } = this.#parts.file;
    if (recipients) return recipients;
    throw new OperatorError(
      "usage",
      "Cannot tell recipients of this store: it is plain, anybody can read it",
      {
        hints: ["`coldcase encrypt` makes an encrypted copy."],
      },
    );
  }

  async of({ id, manifestFile }: OuterExhibit): Promise<ExhibitAccess> {
    const { storage, contents } = this.#parts;
    const file = storage.open(manifestFile);
    try {
      const ownKinds = readAgeHeader(file, manifestFile).stanzaTypes;
      const isOwn = (name: ObjectName) => parseName(name)?.exhibit === id;
      const added = (await contents.headers.parts()).filter((part) => isOwn(part.file));
      return { ownKinds, added, damaged: (await contents.headers.damaged()).filter(isOwn) };
    } finally {
      file.close();
    }
  }

  /** Who will open what is written from now on, too, beside those whom a command gave and a passphrase's identity. */
  async notGiven(given: RecipientFacts): Promise<string[]> {
    const { storage, file } = this.#parts;
    return file.recipients ? await recipientsNotGiven(storage, file.recipients, given) : [];
  }

  /** What to give to open the store with, a sentence each. */
  identityHints(): Promise<string[]> {
    return this.#parts.contents.identityHints();
  }

  /**
   * Whether one of the identities that were given is of somebody who shall open the packs of an exhibit: then a pack that
   * does not open lacks a header. Of others it is a lineage's, and nothing is lacking.
   */
  async isForContents({ id }: OuterExhibit): Promise<boolean> {
    const { contents, file } = this.#parts;
    const added = (await contents.headers.parts())
      .filter((part) => part.exhibit === id && part.opens === "contents");
    const known = [...file.recipients?.contents ?? [], ...added.flatMap(({ recipients }) => recipients)];
    return contents.openedFor.some((recipient) => known.includes(recipient));
  }

  /**
   * Why no block of an exhibit can be read, though the exhibit is opened: what was given opens digests only. `undefined`
   * where packs open, as far as a few of them tell; one that is damaged tells nothing.
   */
  async contentsRefusal({ id, inventory }: OuterExhibit): Promise<OperatorError | undefined> {
    const { contents } = this.#parts;
    const packs = inventory.files.filter(({ name }) => parseName(name)?.kind === "pack");
    let closed: OperatorError | undefined;
    for (const { name } of contents.isEncrypted ? packs.slice(0, PROBED_PACKS) : []) {
      try {
        (await contents.openFile(name)).reader.close();
        return undefined;
      } catch (error) {
        if (isUnopened(error)) closed ??= error;
        else if (!isFault(error)) throw error;
      }
    }
    if (!closed) return undefined;
    const given = contents.openedFor.length === 1 ? "this identity opens" : "these identities open";
    return new OperatorError(
      "identity",
      `Cannot read the contents of "${id}": ${given} digests, no contents, expected one of a recipient of the contents`,
      {
        hints: [
          "A lineage key, and who was added with --lineage, opens manifest, segments and documents, but no pack.",
          ...await contents.identityHints(),
        ],
        facts: { ...closed.facts, exhibit: id },
      },
    );
  }

  /** New headers for all of an exhibit. Throws `identity`, `storage`. */
  add(exhibit: OuterExhibit, options: AddOptions): Promise<AddSummary> {
    return addHeaders(this.#parts, exhibit, options);
  }

  /** Whether `extend` would change anything. Throws `usage` where the store can't have them. */
  async isExtendedBy(added: NewRecipients): Promise<boolean> {
    return await extendedRecipients(this.lists, added) !== undefined;
  }

  /**
   * Puts recipients on the store's own lists. The store is open for writing, and what this one writes after that is for
   * the old lists: it is to be opened anew.
   */
  async extend(added: NewRecipients): Promise<void> {
    const { storage, file } = this.#parts;
    const extended = await extendedRecipients(this.lists, added);
    if (extended) await replaceRecipients(storage, file, extended);
  }
}
