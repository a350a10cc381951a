/**
 * All blocks of a store by their digest: the index says where, the pack's record proves it. An index that
 * lies, lags or breaks is read anew from the packs; only where the packs themselves do not hold a block is
 * that an integrity failure.
 */
import { isFault, messageOf, OperatorError } from "../errors.ts";
import { type FooterEntry, MAX_PACK_BYTES, PACK_HEADER_BYTES, RECORD_HEADER_BYTES } from "../format/pack.ts";
import type { Digest, ObjectName, StoredObject } from "../model.ts";
import { type BlockPlace, Index, type MakeIndex } from "./_index.ts";
import { PACKS_FOLDER, parseName } from "./_layout.ts";
import type { ReadableFile } from "../cipher_age.ts";
import type { Contents } from "./_contents.ts";
import type { LocalStorage } from "./_local_storage.ts";
import type { ClosedPack } from "./_pack_file.ts";
import { type OpenPack, readFooter, walkRecords } from "./_pack_reader.ts";
import type { PackReaders } from "./_pack_readers.ts";
import type { AgeKey } from "./_pack_reading.ts";

/** Packs kept open for their footers: several times as many as are read at once: none is closed under a reader. */
const OPEN_PACKS = 64;
/** Packs whose keys are kept: opening a header costs as much as reading a block. */
const KNOWN_KEYS = 256;
/** Packs known to be there: about 8 MiB. */
const SEEN_PACKS = 65_536;
/** Digests known to have been read back in this run: about 16 MiB. */
const READ_BACK_DIGESTS = 100_000;

/** What the blocks of a store are read from. */
export interface PackedBlocksParts {
  readonly storage: LocalStorage;
  readonly contents: Contents;
  readonly readers: PackReaders;
  readonly makeIndex: MakeIndex;
}

export class PackedBlocks {
  readonly #storage: LocalStorage;
  #openedIndex: Index | undefined;
  readonly #contents: Contents;
  readonly #readers: PackReaders;
  readonly #keys = new Map<ObjectName, Promise<AgeKey | undefined>>();
  readonly #open = new Map<ObjectName, Promise<ReadableFile>>();
  readonly #readBack = new Set<Digest>();
  /** Packs that were found to be there, with their sizes. */
  readonly #seenPacks = new Map<ObjectName, number>();
  /** Under way or done, once for each index: the first that learns what the packs hold learns it for all that wait. */
  #reconciled: Promise<void> | undefined;
  #isRemade = false;
  /** What went wrong with caches and footers and was got over; shown to the operator by whoever asks. */
  readonly tolerated: string[] = [];

  readonly #makeIndex: MakeIndex;
  /** Why a pack was left out of the index. */
  #unopened: OperatorError | undefined;

  constructor(parts: PackedBlocksParts) {
    this.#storage = parts.storage;
    this.#contents = parts.contents;
    this.#readers = parts.readers;
    this.#makeIndex = parts.makeIndex;
  }

  /** Opens the index now, and not for the first that asks where a block lies: for what `tolerated` says of it. */
  openIndex(): void {
    this.#openedIndex ??= this.#makeIndex(undefined, (damage) => this.#noteRebuilt(damage));
  }

  get #index(): Index {
    this.openIndex();
    return this.#openedIndex!;
  }

  /** Where the block lies, in a pack that is there; `undefined` where no pack holds it. */
  async find(digest: Digest): Promise<BlockPlace | undefined> {
    for (;;) {
      const index = this.#index;
      const known = await this.#lookUpHeld(digest);
      if (known) return known;
      await this.reconcile();
      const found = await this.#lookUpHeld(digest);
      if (found) return found;
      // Whoever reads another block at the same time may have had reason to make it anew.
      if (this.#index !== index) continue;
      // It may know a pack and have lost its blocks: only one that was made in this run is believed.
      if (this.#isRemade) return undefined;
      this.#remakeIndex(new Error(`it knows no block ${digest}`));
    }
  }

  async #lookUpHeld(digest: Digest): Promise<BlockPlace | undefined> {
    const place = this.#lookUp(digest);
    if (!place || this.#seenPacks.get(place.pack) === place.packBytes) return place;
    const index = this.#index;
    const stat = await this.#storage.stat(place.pack);
    if (stat?.sizeBytes === place.packBytes) {
      if (this.#seenPacks.size >= SEEN_PACKS) this.#seenPacks.clear();
      this.#seenPacks.set(place.pack, place.packBytes);
      return place;
    }
    if (this.#index === index) {
      this.#remakeIndex(
        new Error(`it tells of "${place.pack}" with ${place.packBytes} bytes, which is not there`),
      );
    }
    await this.reconcile();
    return this.#lookUp(digest);
  }

  /** What a pack holds, by its footer or else by its headers; nothing where it is not there. */
  async entriesOf(name: ObjectName): Promise<FooterEntry[]> {
    const stat = await this.#storage.stat(name);
    return stat ? await this.#fittingEntries(stat) : [];
  }

  /**
   * Like `find`, but only where the pack is there with its size: the index alone is no proof. `present`:
   * packs that were looked at already; it grows.
   */
  async findPresent(digest: Digest, present: Set<ObjectName>): Promise<BlockPlace | undefined> {
    const place = await this.find(digest);
    if (!place || present.has(place.pack)) return place;
    const stat = await this.#storage.stat(place.pack);
    if (stat?.sizeBytes === place.packBytes) {
      present.add(place.pack);
      return place;
    }
    if (this.#isRemade) return undefined;
    this.#remakeIndex(`"${place.pack}" is not there with ${place.packBytes} bytes`);
    return await this.findPresent(digest, present);
  }

  /** Brings the index up to the packs that there are: O(packs), and a footer for each unknown one. */
  async reconcile(): Promise<void> {
    const reconciled = this.#reconciled ??= this.#indexPacks();
    try {
      await reconciled;
    } catch (error) {
      if (this.#reconciled === reconciled) this.#reconciled = undefined;
      throw error;
    }
  }

  async #indexPacks(): Promise<void> {
    for await (const object of this.#storage.list(`${PACKS_FOLDER}/`)) {
      if (parseName(object.name)?.kind !== "pack") continue;
      if (!this.#withIndex((index) => index.hasPack(object))) await this.#indexPack(object);
    }
  }

  addPack(pack: ClosedPack & { readonly name: ObjectName }): void {
    this.#withIndex((index) => index.addPack(pack));
  }

  /** Reads the whole index anew from the packs that there are. */
  async rebuildIndex(reason: string): Promise<void> {
    this.#remakeIndex(reason);
    await this.reconcile();
  }

  /**
   * The bytes of the block with this digest, checked. The caller owns them.
   * Throws `integrity` where no pack holds it, or the one that does is damaged.
   */
  async read(digest: Digest): Promise<Uint8Array> {
    const place = await this.find(digest);
    const index = this.#index;
    if (place) {
      try {
        return await this.#readAt(place, digest);
      } catch (error) {
        if (!isFault(error)) throw error;
        return await this.#readDespite(error, { digest, index });
      }
    }
    const closed = this.#unopened;
    if (closed?.code === "identity") throw closed;
    const state = closed ? `that can be opened holds it: ${closed.message}` : "of the store holds it";
    throw new OperatorError("integrity", `Cannot read block ${digest}: no pack ${state}`, {
      facts: { ...closed?.facts, digest },
    });
  }

  /** Whether a copy is held whose bytes were read back and matched in this run. */
  async isHeld(digest: Digest): Promise<BlockPlace | undefined> {
    const place = this.#lookUp(digest);
    if (!place || this.#readBack.has(digest)) return place;
    try {
      await this.#readAt(place, digest);
      // A pack that was cut holds its first blocks still; what is recorded now relies on all of it.
      const { file } = await this.#openPack(place.pack, place.packBytes);
      const sizeBytes = file.sizeBytes();
      if (sizeBytes !== place.packBytes) {
        throw new OperatorError(
          "integrity",
          `Cannot use pack "${place.pack}": has ${sizeBytes} bytes, expected ${place.packBytes}`,
        );
      }
    } catch (error) {
      if (!(error instanceof OperatorError)) throw error;
      this.tolerated.push(`A held copy was not used again: ${error.message}`);
      return undefined;
    }
    if (this.#readBack.size >= READ_BACK_DIGESTS) this.#readBack.clear();
    this.#readBack.add(digest);
    return place;
  }

  close(): void {
    for (const opening of this.#open.values()) closeOpened(opening);
    this.#open.clear();
    this.#openedIndex?.close();
    this.#openedIndex = undefined;
  }

  async #readAt(place: BlockPlace, digest: Digest): Promise<Uint8Array> {
    const { pack: name, offset, storedBytes } = place;
    const pack = { name, key: await this.#keyOf(name) };
    return await this.#readers.read({ pack, offset, storedBytes, digest });
  }

  #keyOf(name: ObjectName): Promise<AgeKey | undefined> {
    const known = this.#keys.get(name);
    if (known) return known;
    const key = this.#contents.packKey(name);
    if (!this.#contents.isEncrypted) return key;
    if (this.#keys.size >= KNOWN_KEYS) this.#keys.clear();
    this.#keys.set(name, key);
    key.catch(() => this.#keys.delete(name)); // whoever asked is told
    return key;
  }

  /** The index may have lied: once, all of it is read anew. Then another copy may help; then nothing does. */
  async #readDespite(
    fault: OperatorError,
    { digest, index }: { readonly digest: Digest; readonly index: Index },
  ): Promise<Uint8Array> {
    // Where it was made anew since, it may tell of another place.
    if (this.#index !== index) return await this.read(digest);
    if (!this.#isRemade) {
      this.#remakeIndex(fault);
      return await this.read(digest);
    }
    const copy = await this.#readOtherCopy(digest);
    if (copy) return copy;
    throw new OperatorError("integrity", fault.message, { facts: { ...fault.facts, digest } });
  }

  /** Looks through all packs for a good record of the block: O(packs), only where one was found damaged. */
  async #readOtherCopy(digest: Digest): Promise<Uint8Array | undefined> {
    for await (const object of this.#storage.list(`${PACKS_FOLDER}/`)) {
      if (parseName(object.name)?.kind !== "pack") continue;
      const entries = this.#contents.isEncrypted
        ? await this.#entriesIfOpened(object)
        : this.#entries(await this.#openPack(object.name, object.sizeBytes));
      for (const entry of entries) {
        if (entry.digest !== digest) continue;
        try {
          const block = await this.#readAt(
            { ...entry, pack: object.name, packBytes: object.sizeBytes },
            digest,
          );
          this.tolerated.push(`Block ${digest} was read from another copy, in "${object.name}"`);
          return block;
        } catch (error) {
          if (!isFault(error)) throw error;
          this.tolerated.push(error.message);
        }
      }
    }
    return undefined;
  }

  async #openPack(name: ObjectName, sizeBytes: number): Promise<OpenPack> {
    let opening = this.#open.get(name);
    if (opening) this.#open.delete(name); // put back below as the newest
    else {
      opening = this.#contents.openPack(name);
      const oldest = this.#open.size >= OPEN_PACKS ? this.#open.entries().next().value : undefined;
      if (oldest) {
        this.#open.delete(oldest[0]);
        closeOpened(oldest[1]);
      }
    }
    this.#open.set(name, opening);
    let file: ReadableFile;
    try {
      file = await opening;
    } catch (error) {
      if (this.#open.get(name) === opening) this.#open.delete(name);
      throw error;
    }
    return { name, file, sizeBytes: this.#contents.isEncrypted ? file.sizeBytes() : sizeBytes };
  }

  async #indexPack(object: StoredObject): Promise<void> {
    const entries = this.#contents.isEncrypted
      ? await this.#entriesIfOpened(object)
      : await this.#fittingEntries(object);
    this.#withIndex((index) => index.addPack({ ...object, entries }));
  }

  /** A pack that is closed to this reader, or does not decrypt, keeps nobody from the blocks of others. */
  async #entriesIfOpened(object: StoredObject): Promise<FooterEntry[]> {
    try {
      return await this.#fittingEntries(object);
    } catch (error) {
      const isOfPack = isFault(error) || error instanceof OperatorError && error.code === "identity";
      if (!isOfPack || !this.#contents.isReadable) throw error;
      // What does not decrypt is the graver answer to who looks for a block.
      if (isFault(error)) this.tolerated.push(error.message);
      if (!this.#unopened || isFault(error)) this.#unopened = error;
      return [];
    }
  }

  /** Without the record in which a pack was cut off. */
  async #fittingEntries({ name, sizeBytes }: StoredObject): Promise<FooterEntry[]> {
    return this.#entries(await this.#openPack(name, sizeBytes))
      .filter((entry) => isPossible({ ...entry, pack: name, packBytes: sizeBytes }));
  }

  #entries(pack: OpenPack): FooterEntry[] {
    try {
      return readFooter(pack);
    } catch (error) {
      if (!isFault(error)) throw error;
      this.tolerated.push(`${error.message}; its records were found by their headers`);
      return walkRecords(pack);
    }
  }

  #lookUp(digest: Digest): BlockPlace | undefined {
    return this.#withIndex((index) => {
      const place = index.lookUp(digest);
      if (place && !isPossible(place)) {
        throw new Error(`it tells of byte ${place.offset} of "${place.pack}", where no record can be`);
      }
      return place;
    });
  }

  /** SQLite's own errors mean that the cache is damaged or its disk full: another takes over, then a temporary one. */
  #withIndex<T>(use: (index: Index) => T): T {
    try {
      return use(this.#index);
    } catch (error) {
      this.#remakeIndex(error);
    }
    try {
      return use(this.#index);
    } catch (error) {
      this.#remakeIndex(error, () => Index.temporary({ isBlind: this.#contents.isEncrypted }));
      return use(this.#index);
    }
  }

  #remakeIndex(reason: unknown, makeIndex: MakeIndex = this.#makeIndex): void {
    this.#noteRebuilt(reason);
    this.#openedIndex?.close();
    this.#openedIndex = makeIndex(reason, (damage) => this.#noteRebuilt(damage));
    this.#reconciled = undefined;
    this.#isRemade = true;
  }

  #noteRebuilt(reason: unknown): void {
    this.tolerated.push(`The index was rebuilt: ${messageOf(reason)}`);
  }
}

/** Whoever opened it hears of its failure. */
function closeOpened(opening: Promise<ReadableFile>): void {
  opening.then((file) => file.close(), () => undefined);
}

/** Whether a record can lie there: an index is a file like others, and may say anything. */
function isPossible({ pack, packBytes, offset, storedBytes }: BlockPlace): boolean {
  return parseName(pack)?.kind === "pack" &&
    Number.isSafeInteger(packBytes) && packBytes <= MAX_PACK_BYTES &&
    Number.isSafeInteger(offset) && offset >= PACK_HEADER_BYTES &&
    Number.isSafeInteger(storedBytes) && storedBytes > 0 &&
    offset + RECORD_HEADER_BYTES + storedBytes <= packBytes;
}
