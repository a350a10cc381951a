/**
 * Encrypts or decrypts an exhibit into a store of the other mode: the same packs, segments, documents and manifest
 * byte for byte, in files of that store's kind. Every block is checked on the way, as `verify` does: a copy must not
 * launder damage. Run again, it goes on; what two exhibits share is one file. Memory is one pack.
 *
 * @see store-format.md, "Order of writes", "Encryption"
 */
import { AgeWriter } from "../cipher_age.ts";
import { isFault, OperatorError } from "../errors.ts";
import { checkDocument } from "../format/documents.ts";
import { sha256 } from "../format/digests.ts";
import { encodeFileMap } from "../format/file_map.ts";
import { encodeInventory } from "../format/inventory.ts";
import { MAX_MANIFEST_BYTES } from "../format/manifest.ts";
import { MAX_PACK_BYTES } from "../format/pack.ts";
import { MAX_SEGMENT_BYTES } from "../format/segment.ts";
import type { Digest, Disk, ExhibitId, ObjectName, StoredObject } from "../model.ts";
import type { Contents } from "./_contents.ts";
import {
  type CopyOptions,
  type CopyParts,
  type CopySummary,
  heldInventories,
  neededFiles,
  refuseBrokenInventory,
  settleInventory,
} from "./_copy.ts";
import type { Exhibit } from "./_exhibit.ts";
import { packName, parseName } from "./_layout.ts";
import { memoryFile } from "./_memory_file.ts";
import { neededDocuments } from "./_needed_files.ts";
import { loadOuter, type OuterExhibit } from "./_outer.ts";
import type { OpenPack } from "./_pack_reader.ts";
import { putSignature } from "./_signatures.ts";
import { transcodeBeside } from "./_transcode_beside.ts";
import { checkedPieces, damageIn } from "./_transcode_pack.ts";
import { transcodedExhibits, TranscodeLog, type TranscodeSource } from "./_transcode_log.ts";

export interface TranscodeParts {
  readonly from: CopyParts["from"] & {
    /** Another exhibit of the same store. */
    exhibit(id: ExhibitId): Promise<Exhibit>;
  };
  readonly to: CopyParts["to"] & { readonly contents: Contents; readonly disk: Disk };
  readonly exhibit: Exhibit;
}

/** What a document is made of, and how. */
type Make = () => Promise<StoredObject & { readonly isNew: boolean }>;

/** Throws `integrity` or `format` where the source is damaged, `identity` where nothing opens it, `storage`. */
export async function transcodeExhibit(parts: TranscodeParts, options: CopyOptions): Promise<CopySummary> {
  const { isEncrypted } = parts.to.contents;
  if (parts.from.contents.isEncrypted === isEncrypted) {
    const [verb, mode] = isEncrypted ? ["encrypt", "encrypted"] : ["decrypt", "plain"];
    throw new OperatorError("usage", `Cannot ${verb} "${parts.exhibit.id}": it is ${mode} already`, {
      hints: ["`coldcase copy` copies it as it is."],
    });
  }
  const run = new Transcoding(parts, options);
  try {
    return await run.all();
  } finally {
    run.close();
  }
}

class Transcoding {
  readonly #from: TranscodeParts["from"];
  readonly #to: TranscodeParts["to"];
  readonly #exhibit: Exhibit;
  readonly #options: CopyOptions;
  readonly #verb: "encrypt" | "decrypt";
  /** The exhibit's own first. */
  readonly #logs: TranscodeLog[] = [];
  #buffer = new Uint8Array(0);
  #doneBytes = 0;
  #totalBytes = 0;
  #copiedBytes = 0;
  #heldBytes = 0;

  constructor({ from, to, exhibit }: TranscodeParts, options: CopyOptions) {
    this.#from = from;
    this.#to = to;
    this.#exhibit = exhibit;
    this.#options = options;
    this.#verb = to.contents.isEncrypted ? "encrypt" : "decrypt";
  }

  async all(): Promise<CopySummary> {
    refuseBrokenInventory(this.#exhibit, this.#verb);
    const held = await this.#heldWhole();
    if (held) return await this.#goOnWith(held);
    const files = await this.#neededFiles();
    this.#doneBytes = 0;
    this.#totalBytes = files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
    await this.#openLogs();
    const made = new Map<ObjectName, StoredObject>();
    for (const file of files.filter(({ name }) => parseName(name)?.kind === "pack")) {
      note(
        made,
        await this.#once({ kind: "pack", digest: parseName(file.name)!.digest }, () => this.#pack(file)),
      );
      await this.#progress(file.sizeBytes);
    }
    const segments = await this.#segments(made);
    const documents = await this.#documents(made);
    const map = this.#to.contents.isEncrypted
      ? note(made, await this.#document("map", encodeFileMap({ segments, documents })))
      : undefined;
    const bytes = await this.#from.contents.read(this.#exhibit.manifestFile, MAX_MANIFEST_BYTES);
    this.#compare(this.#exhibit.manifestFile, bytes, this.#exhibit.manifestDigest);
    const manifest = note(made, await this.#document("manifest", bytes));
    await transcodeBeside(this.#parts, manifest.name);
    const inventory = await this.#settle([...made.values()], { manifest, bytes, map });
    return this.#summary(made.size, inventory);
  }

  close(): void {
    for (const log of this.#logs) log.close();
  }

  get #parts(): TranscodeParts {
    return { from: this.#from, to: this.#to, exhibit: this.#exhibit };
  }

  /** The exhibit as the target has it committed, if all its files are there and whole. Sets damaged ones aside. */
  async #heldWhole(): Promise<OuterExhibit | undefined> {
    const { storage } = this.#to;
    let isCommitted = false;
    for await (const _ of heldInventories(storage, this.#exhibit)) isCommitted = true;
    if (!isCommitted) return undefined;
    const outer = await loadOuter(storage, this.#exhibit.id);
    this.#totalBytes = outer.inventory.files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
    let isWhole = true;
    for (const { name, sizeBytes } of outer.inventory.files) {
      const digest = parseName(name)?.digest;
      isWhole = digest !== undefined && await storage.holds(name, digest) && isWhole;
      await this.#progress(sizeBytes);
    }
    return isWhole ? outer : undefined;
  }

  /** What has come since to an exhibit that is there. */
  async #goOnWith(
    { inventory, inventoryFile, inventoryCheck, manifestFile }: OuterExhibit,
  ): Promise<CopySummary> {
    const { key } = this.#options;
    if (inventoryCheck.held.some((held) => held.key.fingerprint === key.fingerprint)) {
      const bytes = await this.#from.contents.read(this.#exhibit.manifestFile, MAX_MANIFEST_BYTES);
      await putSignature(
        this.#to.storage,
        { name: manifestFile, bytes, namespace: "coldcase-manifest@v1" },
        key,
      );
    }
    await transcodeBeside(this.#parts, manifestFile);
    this.#heldBytes = this.#totalBytes;
    return this.#summary(inventory.files.length, inventoryFile);
  }

  #summary(files: number, inventory: ObjectName): CopySummary {
    const inventoryDigest = parseName(inventory)!.digest;
    return { files, copiedBytes: this.#copiedBytes, heldBytes: this.#heldBytes, inventory, inventoryDigest };
  }

  /** Its own, and those of exhibits that the source has too: they may have written what this one needs. */
  async #openLogs(): Promise<void> {
    const { id, manifest } = this.#exhibit;
    this.#logs.push(await TranscodeLog.open(this.#to, { exhibit: id, nonce: manifest.acquisition.nonce }));
    for (const other of transcodedExhibits(this.#to)) {
      if (other === id) continue;
      try {
        const { acquisition } = (await this.#from.exhibit(other)).manifest;
        this.#logs.push(TranscodeLog.view(this.#to, { exhibit: other, nonce: acquisition.nonce }));
      } catch (error) {
        // Not in this store, or damaged: what it shares with this one is written once more.
        if (!isFault(error)) throw error;
      }
    }
  }

  /** The file that was made of `source`, now or before: there and whole, in either case. */
  async #once(source: TranscodeSource, make: Make): Promise<StoredObject> {
    const { storage } = this.#to;
    for (const [position, log] of this.#logs.entries()) {
      const known = log.find(source);
      const digest = known && parseName(known.name)?.digest;
      if (!known || !digest || !await storage.holds(known.name, digest)) continue;
      this.#heldBytes += known.sizeBytes;
      if (position > 0) await this.#logs[0]!.append(source, known);
      return known;
    }
    const { isNew, ...file } = await make();
    if (isNew) this.#copiedBytes += file.sizeBytes;
    else this.#heldBytes += file.sizeBytes;
    await this.#logs[0]!.append(source, file);
    return file;
  }

  async #document(kind: Exclude<TranscodeSource["kind"], "pack">, bytes: Uint8Array): Promise<StoredObject> {
    const { storage, contents } = this.#to;
    return await this.#once({ kind, digest: sha256(bytes) }, async () => {
      const { name, stored, digest, sizeBytes } = await contents.prepare(kind, bytes, this.#exhibit.id);
      const isNew = !await storage.holds(name, digest);
      if (isNew) await storage.put(name, stored);
      return { name, sizeBytes, isNew };
    });
  }

  /** Throws as the pack does that is damaged, where one is. */
  async #neededFiles(): Promise<StoredObject[]> {
    try {
      return await neededFiles({ ...this.#parts, verb: this.#verb }, this.#options.signal);
    } catch (error) {
      if (!isFault(error)) throw error;
      // It says which block no pack seems to hold: people need to know which file is why.
      for (const file of this.#exhibit.inventory.files) {
        this.#options.signal.throwIfAborted();
        const isPack = parseName(file.name)?.kind === "pack" && await this.#from.storage.stat(file.name);
        if (isPack) await this.#naming(this.#readWhole(file), file.name, () => Promise.resolve());
      }
      throw error;
    }
  }

  /** Does something with a pack's bytes; whatever is found damaged in them is named. */
  async #naming<T>(stored: Uint8Array, name: ObjectName, use: () => Promise<T>): Promise<T> {
    const computed = sha256(stored);
    try {
      if (computed === parseName(name)!.digest) return await use();
      throw new OperatorError("integrity", `its SHA-256 is ${computed}, expected the one in its name`);
    } catch (error) {
      if (!isFault(error)) throw error;
      const [exhibit, { contents }] = [this.#exhibit, this.#from];
      throw await damageIn({ name, stored, verb: this.#verb, exhibit, contents }, error);
    }
  }

  async #pack(source: StoredObject): ReturnType<Make> {
    const { storage, contents } = this.#to;
    const { name } = source;
    const stored = this.#readWhole(source);
    return await this.#naming(stored, name, async () => {
      const file = await this.#from.contents.decrypted(name, memoryFile(stored));
      const pack: OpenPack = { name, file, sizeBytes: file.sizeBytes() };
      const cipher = await contents.packCipher();
      const pieces = checkedPieces(pack, this.#exhibit.shape.blockSizeBytes);
      const writer = cipher && new AgeWriter(cipher.header, cipher.nonce);
      return await storage.putPieces(
        writer ? encrypted(pieces, writer) : pieces,
        (digest) => packName(digest, contents.ending),
      );
    });
  }

  #readWhole({ name, sizeBytes }: StoredObject): Uint8Array {
    if (sizeBytes > MAX_PACK_BYTES) {
      throw new OperatorError(
        "format",
        `Cannot ${this.#verb} "${name}": has ${sizeBytes} bytes, which no pack has`,
        {
          facts: { file: name },
        },
      );
    }
    if (this.#buffer.length < sizeBytes) this.#buffer = new Uint8Array(sizeBytes);
    const file = this.#from.storage.open(name);
    try {
      return this.#buffer.subarray(0, file.read(this.#buffer.subarray(0, sizeBytes), 0));
    } finally {
      file.close();
    }
  }

  /** Of each segment which file holds it now. */
  async #segments(made: Map<ObjectName, StoredObject>): Promise<Record<string, Digest>> {
    const { contents } = this.#from;
    const files: Record<string, Digest> = {};
    for (const digest of new Set(this.#exhibit.manifest.segments)) {
      const name = this.#exhibit.segmentFile(digest);
      const bytes = await contents.read(name, MAX_SEGMENT_BYTES);
      this.#compare(name, bytes, digest);
      const file = note(made, await this.#document("segment", bytes));
      files[digest] = parseName(file.name)!.digest;
      await this.#progress(this.#sizeOf(name));
    }
    return files;
  }

  /** The same of side documents. */
  async #documents(made: Map<ObjectName, StoredObject>): Promise<Record<string, Digest>> {
    const files: Record<string, Digest> = {};
    for (const [name, { digest, type }] of neededDocuments(this.#exhibit)) {
      const bytes = await this.#exhibit.documentBytes(digest);
      checkDocument(bytes, `"${name}"`, type);
      const file = note(made, await this.#document("document", bytes));
      files[digest] = parseName(file.name)!.digest;
      await this.#progress(this.#sizeOf(name));
    }
    return files;
  }

  async #settle(
    files: readonly StoredObject[],
    { manifest, bytes, map }: {
      readonly manifest: StoredObject;
      readonly bytes: Uint8Array;
      readonly map: StoredObject | undefined;
    },
  ): Promise<ObjectName> {
    const { inventory } = this.#exhibit;
    return await settleInventory(this.#to, {
      exhibit: this.#exhibit,
      manifest: { name: manifest.name, bytes, namespace: "coldcase-manifest@v1" },
      encode: (committedAt) =>
        encodeInventory({
          ...inventory,
          manifest: parseName(manifest.name)!.digest,
          map: map ? parseName(map.name)!.digest : null,
          committedAt,
          files,
        }),
    }, this.#options.key);
  }

  #compare(name: ObjectName, bytes: Uint8Array, digest: Digest): void {
    const computed = sha256(bytes);
    if (computed === digest) return;
    throw new OperatorError(
      "integrity",
      `Cannot ${this.#verb} "${name}": what it holds has SHA-256 ${computed}, expected ${digest}`,
      { facts: { file: name } },
    );
  }

  #sizeOf(name: ObjectName): number {
    return this.#exhibit.inventory.files.find((file) => file.name === name)?.sizeBytes ?? 0;
  }

  /** Also lets signals and timers in. */
  async #progress(bytes: number): Promise<void> {
    this.#doneBytes += bytes;
    this.#options.onProgress?.({ doneBytes: this.#doneBytes, totalBytes: this.#totalBytes });
    this.#options.signal.throwIfAborted();
    await this.#to.world.clock.sleep(0, this.#options.signal);
  }
}

function note(made: Map<ObjectName, StoredObject>, file: StoredObject): StoredObject {
  made.set(file.name, file);
  return file;
}

function* encrypted(pieces: Iterable<Uint8Array>, writer: AgeWriter): Iterable<Uint8Array> {
  for (const piece of pieces) yield* writer.push(piece);
  yield* writer.finish();
}
