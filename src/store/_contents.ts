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
  type AgeHeader,
  AgeReader,
  type AgeReaderOptions,
  decodeAgeHeader,
  encryptAge,
  type Identities,
  MAX_AGE_HEADER_BYTES,
  type ReadableFile,
  readAgeHeader,
  Recipients,
} from "../cipher_age.ts";
import { isFault, OperatorError } from "../errors.ts";
import { sha256 } from "../format/digests.ts";
import type { RecipientFacts } from "../format/members.ts";
import type { Digest, ExhibitId, ObjectName, Randomness } from "../model.ts";
import { readChecked } from "./_checked.ts";
import { HeadersReader } from "./_headers.ts";
import { addendumName, documentName, type Ending, manifestName, mapName, segmentName } from "./_layout.ts";
import type { PackCipher } from "./_pack_encoder.ts";
import type { LocalStorage } from "./_local_storage.ts";
import { memoryFile } from "./_memory_file.ts";
import type { AgeKey } from "./_pack_reading.ts";
import { passphraseIdentityName } from "./_passphrase_identity.ts";

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

/** An age file that was opened. */
export interface OpenedFile {
  /** What is in it. Closing it closes the file. */
  readonly reader: AgeReader;
  /** A secret, 16 bytes: for a new header. */
  readonly fileKey: Uint8Array;
  /** Length of the file's own header. */
  readonly headerBytes: number;
}

/** How an age file is opened. */
export type OpenAgeOptions = Pick<AgeReaderOptions, "isDamaged">;

export class Contents {
  /** Headers for those who were added later. */
  readonly headers: HeadersReader;
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
    this.headers = new HeadersReader(options.storage);
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

  /** Recipients of the identities that were given; passphrases have none. */
  get openedFor(): readonly string[] {
    return this.#identities?.recipients ?? [];
  }

  /** What to give to open files with: where a passphrase opens an identity of the store, that one is named. */
  async identityHints(): Promise<string[]> {
    const own: ObjectName[] = [];
    for (const recipient of this.#facts?.contents ?? []) {
      const name = passphraseIdentityName(recipient);
      if (!this.openedFor.includes(recipient) && await this.#storage.stat(name)) own.push(name);
    }
    const byPassphrase = own.map((name) => `Give -i ${this.#storage.pathOf(name)}: a passphrase opens it.`);
    const isFirst = own.length + this.openedFor.length === 0;
    return [...byPassphrase, `Give ${isFirst ? "the" : "another"} identity file with -i FILE.`];
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

  /** A pack that was found to be damaged: what of it is sound. The file belongs to the caller. Throws as `openAge`. */
  async openDamagedPack(name: ObjectName): Promise<ReadableFile> {
    if (!this.isEncrypted) return this.#storage.open(name);
    return (await this.openFile(name, { isDamaged: true })).reader;
  }

  /** A pack, for many reads. The file belongs to the caller. */
  async openPack(name: ObjectName): Promise<ReadableFile> {
    return this.isEncrypted ? (await this.openFile(name)).reader : this.#storage.open(name);
  }

  /** What opens a pack, where another thread is to read it; `undefined` in a plain store. Throws as `openAge`. */
  async packKey(name: ObjectName): Promise<AgeKey | undefined> {
    if (!this.isEncrypted) return undefined;
    const { reader, fileKey, headerBytes } = await this.openFile(name);
    reader.close();
    // A copy has its memory to itself: what is sent to a thread takes all of its memory with it.
    return { fileKey: fileKey.slice(), headerBytes };
  }

  /** What is in an age file; closing it closes `file`. Of a plain store it is `file` itself. */
  async decrypted(name: ObjectName, file: ReadableFile): Promise<ReadableFile> {
    return this.isEncrypted ? (await this.openAge(name, file)).reader : file;
  }

  /** An age file of the store, with its file key. Closing its reader closes it. Throws as `openAge`. */
  async openFile(name: ObjectName, options: OpenAgeOptions = {}): Promise<OpenedFile> {
    const file = this.#storage.open(name);
    try {
      return await this.openAge(name, file, options);
    } catch (error) {
      file.close();
      throw error;
    }
  }

  /**
   * Opens an age file by its own header, or by one that was added. Takes the file over; where this throws, it stays
   * open. Throws `identity` where neither opens, `integrity` or `format` where what is there is damaged.
   */
  async openAge(name: ObjectName, file: ReadableFile, options: OpenAgeOptions = {}): Promise<OpenedFile> {
    if (!this.#identities) {
      throw new OperatorError(
        "identity",
        `Cannot open "${name}": it is encrypted, and no identity was given`,
        { hints: await this.identityHints(), facts: { file: name } },
      );
    }
    const header = readAgeHeader(file, name);
    const headerBytes = header.bytes.length;
    try {
      const fileKey = await this.#identities.openHeader(header, name);
      return {
        reader: new AgeReader(file, { ...options, fileKey, headerBytes, name }),
        fileKey,
        headerBytes,
      };
    } catch (error) {
      if (!(error instanceof OperatorError) || error.code !== "identity") throw error;
      const more = { ...options, identities: this.#identities, refusal: error };
      return await this.#openByAddedHeader(name, file, more);
    }
  }

  async #openByAddedHeader(
    name: ObjectName,
    file: ReadableFile,
    { identities, refusal, ...options }: OpenAgeOptions & {
      readonly identities: Identities;
      readonly refusal: OperatorError;
    },
  ): Promise<OpenedFile> {
    const faults: OperatorError[] = [];
    const damaged = new Set<ObjectName>();
    for (const found of await this.headers.of(name)) {
      const place = `${found.headersFile}, header of ${name}`;
      try {
        const fileKey = await identities.openHeader(wholeHeader(found.header, place), place);
        const headerBytes = found.offsetBytes;
        const reader = new AgeReader(file, { ...options, fileKey, headerBytes, name });
        return { reader, fileKey, headerBytes };
      } catch (error) {
        // Another one may be as good.
        if (isFault(error)) faults.push(error);
        else if (!(error instanceof OperatorError) || error.code !== "identity") throw error;
        if (found.isDamaged || isFault(error)) damaged.add(found.headersFile);
      }
    }
    // Of what is malformed nobody knows for whom it was; what fails its MAC was opened by one of these identities.
    const own = faults.find(({ code }) => code === "integrity");
    if (own) throw own;
    const hints = [...damaged].map((file) => `"${file}" is damaged: a header in it may have been yours`);
    throw new OperatorError("identity", refusal.message, {
      hints: [...await this.identityHints(), ...hints],
      facts: refusal.facts,
    });
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

/** Throws `format` where it is not all of a header, and nothing else. */
function wholeHeader(bytes: Uint8Array, place: string): AgeHeader {
  const header = decodeAgeHeader(bytes, place);
  if (header.bytes.length === bytes.length) return header;
  throw new OperatorError(
    "format",
    `Cannot read "${place}": ${bytes.length - header.bytes.length} bytes follow it`,
  );
}
