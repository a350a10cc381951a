/**
 * The files of a store as what is in them: plain files as they lie, age files opened. Every digest that a name
 * tells is that of the file as it lies, and is checked first; what an age file decrypts to is checked by whoever
 * asked for it. In an encrypted store each file that is written here has a file key of its own.
 *
 * Who writes needs recipients only. Packs are for the recipients of the store; all else also for those of the
 * lineage, who may learn digests and no contents.
 *
 * @see store-format.md, "Encryption"
 */
import {
  AGE_NONCE_BYTES,
  encryptAge,
  type Identities,
  MAX_AGE_HEADER_BYTES,
  openAge,
  type ReadableFile,
  Recipients,
} from "../cipher_age.ts";
import { OperatorError } from "../errors.ts";
import { sha256 } from "../format/digests.ts";
import type { RecipientFacts } from "../format/members.ts";
import type { Digest, ExhibitId, ObjectName, Randomness } from "../model.ts";
import { readChecked } from "./_checked.ts";
import { addendumName, documentName, type Ending, manifestName, mapName, segmentName } from "./_layout.ts";
import type { PackCipher } from "./_pack_encoder.ts";
import type { LocalStorage } from "./_local_storage.ts";
import { memoryFile } from "./_memory_file.ts";

/** Documents that an encrypted store encrypts. */
export type ContentKind = "segment" | "document" | "manifest" | "map" | "addendum";

/** Who can open what is written. */
export interface StoreRecipients {
  readonly contents: Recipients;
  /** Those of the contents, and of the lineage where there are any. */
  readonly digests: Recipients;
}

/** A document as its file has it. */
export interface PreparedContent {
  readonly name: ObjectName;
  /** Of the file, as in its name. */
  readonly digest: Digest;
  readonly stored: Uint8Array;
  readonly sizeBytes: number;
}

export class Contents {
  readonly #storage: LocalStorage;
  readonly #randomness: Randomness;
  readonly #facts: RecipientFacts | null;
  #recipients: StoreRecipients | undefined;
  readonly #identities: Identities | undefined;
  readonly isEncrypted: boolean;

  constructor(options: {
    readonly storage: LocalStorage;
    readonly randomness: Randomness;
    /** Of an encrypted store; null for a plain one. */
    readonly recipients: RecipientFacts | null;
    /** What the user gave to open files with; `undefined`: nothing. */
    readonly identities: Identities | undefined;
  }) {
    this.#storage = options.storage;
    this.#randomness = options.randomness;
    this.isEncrypted = options.recipients !== null;
    this.#facts = options.recipients;
    this.#identities = options.identities;
  }

  /** What names of files that hold contents end in. */
  get ending(): Ending {
    return this.isEncrypted ? ".age" : "";
  }

  /** False for an encrypted store that nothing was given to open with. */
  get isReadable(): boolean {
    return !this.isEncrypted || this.#identities !== undefined;
  }

  /** Puts a document. Durable when it returns. */
  async put(kind: ContentKind, bytes: Uint8Array, exhibit: ExhibitId): Promise<PreparedContent> {
    const prepared = await this.prepare(kind, bytes, exhibit);
    await this.#storage.put(prepared.name, prepared.stored);
    return prepared;
  }

  /** A document as `put` would write it: for one whose signature is written before it. */
  async prepare(kind: ContentKind, bytes: Uint8Array, exhibit: ExhibitId): Promise<PreparedContent> {
    const stored = this.isEncrypted ? await this.#encrypt(bytes) : bytes;
    const digest = sha256(stored);
    return { name: this.nameOf(kind, digest, exhibit), digest, stored, sizeBytes: stored.length };
  }

  /** The name of a document of this store by the digest of its file. */
  nameOf(kind: ContentKind, digest: Digest, exhibit: ExhibitId): ObjectName {
    switch (kind) {
      case "segment":
        return segmentName(digest, this.ending);
      case "document":
        return documentName(digest, this.ending);
      case "manifest":
        return manifestName(exhibit, digest, this.ending);
      case "addendum":
        return addendumName(exhibit, digest, this.ending);
      case "map":
        return mapName(exhibit, digest);
    }
  }

  /**
   * What is in a document, at most `maxBytes`. Throws as `readChecked` does; `identity` where nothing opens it;
   * `integrity` where it does not decrypt.
   */
  async read(name: ObjectName, maxBytes: number): Promise<Uint8Array> {
    if (!this.isEncrypted) return await readChecked(this.#storage, name, maxBytes);
    const maxAgeBytes = maxBytes + Math.ceil(maxBytes / 65_536) * 16 + MAX_AGE_HEADER_BYTES;
    const stored = await readChecked(this.#storage, name, maxAgeBytes);
    const file = await this.decrypted(name, memoryFile(stored));
    if (file.sizeBytes() > maxBytes) {
      throw new OperatorError(
        "format",
        `Cannot read "${name}": holds ${file.sizeBytes()} bytes, at most ${maxBytes} are allowed`,
        { facts: { file: name } },
      );
    }
    const bytes = new Uint8Array(file.sizeBytes());
    file.read(bytes, 0);
    return bytes;
  }

  /** A pack, for many reads. The file belongs to the caller. */
  async openPack(name: ObjectName): Promise<ReadableFile> {
    const file = this.#storage.open(name);
    try {
      return this.isEncrypted ? await this.decrypted(name, file) : file;
    } catch (error) {
      file.close();
      throw error;
    }
  }

  /** What is in an age file; closing it closes `file`. Of a plain store it is `file` itself. */
  async decrypted(name: ObjectName, file: ReadableFile): Promise<ReadableFile> {
    if (!this.isEncrypted) return file;
    if (!this.#identities) {
      throw new OperatorError(
        "identity",
        `Cannot open "${name}": it is encrypted, and no identity was given`,
        {
          hints: ["Give the identity file with -i FILE."],
          facts: { file: name },
        },
      );
    }
    return await openAge(file, { identities: this.#identities, name });
  }

  /** What encrypts one pack; `undefined` in a plain store. */
  async packCipher(): Promise<PackCipher | undefined> {
    if (!this.isEncrypted) return undefined;
    const header = await (await this.#writers()).contents.newHeader();
    return { header, nonce: this.#randomness.bytes(AGE_NONCE_BYTES) };
  }

  async #encrypt(bytes: Uint8Array): Promise<Uint8Array> {
    const { digests: recipients } = await this.#writers();
    return await encryptAge(bytes, { recipients, randomness: this.#randomness });
  }

  async #writers(): Promise<StoreRecipients> {
    if (this.#facts === null) throw new Error("a plain store has no recipients");
    const { contents, lineage } = this.#facts;
    const of = (list: readonly string[]) =>
      Recipients.of(list.map((text) => ({ text, place: "the store's own list" })));
    return this.#recipients ??= {
      contents: await of(contents),
      digests: await of([...contents, ...lineage ?? []]),
    };
  }
}
