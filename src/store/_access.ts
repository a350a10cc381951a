/**
 * Who can open what a store holds, and letting others open it too. What is told of recipients is what store file and
 * headers say: a header itself names nobody.
 *
 * @see store-format.md, "Added recipients"
 */
import { readAgeHeader } from "../cipher_age.ts";
import { OperatorError } from "../errors.ts";
import type { RecipientFacts } from "../format/members.ts";
import type { StoreFile } from "../format/store_file.ts";
import type { ObjectName, World } from "../model.ts";
import type { Contents } from "./_contents.ts";
import type { HeadersPartFacts } from "./_headers.ts";
import { parseName } from "./_layout.ts";
import type { LocalStorage } from "./_local_storage.ts";
import type { OuterExhibit } from "./_outer.ts";
import {
  addHeaders,
  type AddOptions,
  type AddSummary,
  extendedRecipients,
  type NewRecipients,
  replaceRecipients,
} from "./_recipients_add.ts";

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
