/**
 * Verifies one exhibit: side documents, every file that the inventory names, every pack byte by byte and
 * record by record, every segment, and that every stored block is held by a record that was found good. The
 * index is not asked: what the packs hold is learned anew. What none of the identities opens is checked from outside
 * and counted, and so are the blocks that may lie in it. Findings name file, record, and the byte range of the volume. Memory is one record for each thread that reads, one segment, and two of SQLite's page caches.
 *
 * @see store-format.md, "Verification"
 */
import { isFault, messageOf, OperatorError } from "../errors.ts";
import { checkDocument, MAX_DOCUMENT_BYTES } from "../format/documents.ts";
import { type FooterEntry, MAX_PACK_BYTES } from "../format/pack.ts";
import {
  addCounts,
  countStates,
  type Segment,
  segmentCount,
  segmentLength,
  type StateCounts,
} from "../format/segment.ts";
import { type Clock, type ObjectName, SEGMENT_BLOCKS, type StoredObject } from "../model.ts";
import type { Contents } from "./_contents.ts";
import type { Exhibit } from "./_exhibit.ts";
import type { Finding, VerifyOptions, VerifySummary } from "./_findings.ts";
import { parseName } from "./_layout.ts";
import type { LocalStorage } from "./_local_storage.ts";
import { inventoryFaults, neededDocuments } from "./_needed_files.ts";
import type { PackCheck } from "./_pack_check.ts";
import { readFooter } from "./_pack_reader.ts";
import type { PackReaders } from "./_pack_readers.ts";
import type { AgeKey } from "./_pack_reading.ts";
import { BlockCheck } from "./_verify_blocks.ts";
import { isOfSample } from "./_verify_outer.ts";
import { isUnopened, UnopenedFiles } from "./_verify_unopened.ts";
import { UnreadableComparison } from "./_verify_unreadable.ts";

interface Parts {
  readonly storage: LocalStorage;
  readonly contents: Contents;
  readonly readers: PackReaders;
  readonly world: { readonly clock: Clock };
}

/** What came of one pack: nothing where it is missing. */
interface PackOutcome {
  /** As its footer lists them, where data is not read. */
  readonly entries?: readonly FooterEntry[];
  readonly check?: PackCheck;
  /** Why it could not be looked at, or not inside. */
  readonly error?: unknown;
}

export async function verifyExhibit(
  parts: Parts,
  exhibit: Exhibit,
  options: VerifyOptions,
): Promise<VerifySummary> {
  const run = new Verification(parts, exhibit, options);
  try {
    return await run.all();
  } finally {
    run.close();
  }
}

class Verification {
  readonly #storage: LocalStorage;
  readonly #contents: Contents;
  readonly #readers: PackReaders;
  readonly #clock: Clock;
  readonly #exhibit: Exhibit;
  readonly #options: VerifyOptions;
  readonly #blocks: BlockCheck;
  readonly #unopened = new UnopenedFiles();
  readonly #documents: ReturnType<typeof neededDocuments>;
  #findings = 0;
  #packsRead = 0;
  #readBytes = 0;

  constructor(parts: Parts, exhibit: Exhibit, options: VerifyOptions) {
    this.#storage = parts.storage;
    this.#contents = parts.contents;
    this.#readers = parts.readers;
    this.#blocks = new BlockCheck(exhibit, {
      isBlind: parts.contents.isEncrypted,
      report: (finding) => this.#report(finding),
    });
    this.#documents = neededDocuments(exhibit);
    this.#clock = parts.world.clock;
    this.#exhibit = exhibit;
    this.#options = options;
  }

  async all(): Promise<VerifySummary> {
    const { files } = this.#exhibit.inventory;
    const packs = files.filter((file) => parseName(file.name)?.kind === "pack");
    const totalBytes = packs.reduce((sum, pack) => this.#readsData(pack) ? sum + pack.sizeBytes : sum, 0);
    const { inventoryFile: file } = this.#exhibit;
    for (const fault of inventoryFaults(this.#exhibit)) {
      this.#report({ code: "file_missing", file, message: `"${file}": ${fault}` });
    }
    for (const file of files) await this.#checkFile(file);
    await this.#checkPacks(packs, totalBytes);
    await this.#checkSegments();
    const { uncheckedBlocks } = this.#blocks;
    return {
      findings: this.#findings,
      files: files.length,
      packs: packs.length,
      packsRead: this.#packsRead,
      readBytes: this.#readBytes,
      storedBlocks: this.#exhibit.manifest.counts.storedBlocks,
      uncheckedBlocks,
      ...this.#unopened.facts,
    };
  }

  close(): void {
    this.#blocks.close();
  }

  /** There, of the right size; and side documents, which nothing else reads, sound. */
  async #checkFile(file: StoredObject): Promise<void> {
    const named = parseName(file.name);
    if (!named) {
      return this.#report({
        code: "file_damaged",
        file: this.#exhibit.inventoryFile,
        message: `Inventory names "${file.name}", which is no file of a store`,
      });
    }
    await this.#tolerating("file_damaged", file.name, async () => {
      const stat = await this.#storage.stat(file.name);
      if (!stat) {
        this.#report({ code: "file_missing", file: file.name, message: `"${file.name}" is missing` });
      } else if (stat.sizeBytes !== file.sizeBytes) {
        this.#report({
          code: "file_size",
          file: file.name,
          message: `"${file.name}" has ${stat.sizeBytes} bytes, the inventory says ${file.sizeBytes}`,
        });
      } else if (named.kind === "document") {
        const known = this.#documents.get(file.name);
        const bytes = known
          ? await this.#exhibit.documentBytes(known.digest)
          : await this.#contents.read(file.name, MAX_DOCUMENT_BYTES);
        checkDocument(bytes, `"${file.name}"`, known?.type);
      }
    });
  }

  #readsData(pack: StoredObject): boolean {
    return isOfSample(pack.name, this.#options.level);
  }

  /** Several at once; told of in their order. */
  async #checkPacks(packs: readonly StoredObject[], totalBytes: number): Promise<void> {
    const underWay: Promise<PackOutcome>[] = [];
    let next = 0;
    for (let ended = 0; ended < packs.length; ended++) {
      await this.#breathe();
      while (underWay.length < this.#readers.count && next < packs.length) {
        underWay.push(this.#beginPack(packs[next++]!));
      }
      this.#endPack(packs[ended]!, await this.#unlessStopped(underWay.shift()!));
      this.#options.onProgress?.({ readBytes: this.#readBytes, totalBytes });
    }
  }

  /** Never rejects: a failure waits for its turn. */
  async #beginPack(pack: StoredObject): Promise<PackOutcome> {
    const { name } = pack;
    try {
      const stat = await this.#storage.stat(name).catch((error) => {
        if (!isFault(error)) throw error; // a disk that fails says nothing of the evidence
        return undefined; // reported by #checkFile
      });
      if (!stat) return {};
      if (stat.sizeBytes > MAX_PACK_BYTES) {
        throw new OperatorError("format", `"${name}" has ${stat.sizeBytes} bytes, which no pack has`);
      }
      return this.#readsData(pack) ? await this.#checkData(stat) : { entries: await this.#entriesOf(name) };
    } catch (error) {
      return { error };
    }
  }

  async #entriesOf(name: ObjectName): Promise<FooterEntry[]> {
    const file = await this.#contents.openPack(name);
    try {
      return readFooter({ name, file, sizeBytes: file.sizeBytes() });
    } finally {
      file.close();
    }
  }

  /** Identities stay here: whoever checks is given the pack's own key. Where there is none, the file is checked. */
  async #checkData({ name }: StoredObject): Promise<PackOutcome> {
    const { blockSizeBytes: blockBytes } = this.#exhibit.shape;
    const opening: { readonly key?: AgeKey | undefined; readonly error?: unknown } = await this.#contents
      .packKey(name).then((key) => ({ key }), (error) => ({ error }));
    const depth = "error" in opening ? "file" : "records";
    const check = await this.#readers.check({ name, key: opening.key, blockBytes, depth });
    return { ...opening, check };
  }

  #endPack(pack: StoredObject, { entries, check, error }: PackOutcome): void {
    const { name, sizeBytes } = pack;
    if (entries) this.#blocks.addGood({ ...pack, entries });
    if (check) {
      this.#packsRead++;
      this.#readBytes += check.readBytes;
      for (const finding of check.findings) this.#report(finding);
      this.#blocks.addGood({ name, sizeBytes, entries: check.good });
      this.#blocks.addBad({ name, sizeBytes, entries: check.bad });
    }
    if (error === undefined || this.#unopened.take(error, name)) return;
    if (!isFault(error)) throw error;
    this.#report({ code: "file_damaged", file: name, message: error.message });
  }

  async #checkSegments(): Promise<void> {
    const { shape, manifest, manifestFile } = this.#exhibit;
    let counts: StateCounts = { absentBlocks: 0, storedBlocks: 0, unreadableBlocks: 0, zeroBlocks: 0 };
    // Equal neighbours, of which most volumes are made, are the same object: they are looked through once.
    let before: Segment | undefined;
    let own = counts;
    let isComplete = true;
    let hasUnopened = false;
    const comparison = await this.#unreadableComparison();
    let isCompared = comparison === undefined;
    for (let position = 0; position < segmentCount(shape); position++) {
      if (position % 64 === 0) await this.#breathe();
      const firstBlock = position * SEGMENT_BLOCKS;
      const digest = manifest.segments[position]!;
      try {
        const segment = await this.#exhibit.segment(position);
        if (segment !== before) own = countStates(segment);
        before = segment;
        counts = addCounts(counts, own);
        if (own.storedBlocks > 0) {
          this.#blocks.check(segment, firstBlock, { hasUnopenedPacks: this.#unopened.hasPacks });
        }
        const range = { firstBlock, blockCount: segment.length };
        if (isCompared || (own.unreadableBlocks === 0 && comparison?.listsNone(range))) continue;
        const difference = comparison?.differenceIn(segment, firstBlock);
        if (difference === undefined) continue;
        isCompared = true;
        this.#report({ code: "counts_differ", file: this.#unreadableFile, message: difference });
      } catch (error) {
        isComplete = false;
        if (this.#unopened.take(error, this.#exhibit.segmentFile(digest))) {
          hasUnopened = true;
          continue;
        }
        if (!isFault(error)) throw error;
        const file = String(error.facts["file"] ?? `segment ${digest}`);
        const blockCount = segmentLength(shape, position);
        this.#blocks.report({ code: "segment_unusable", file, message: error.message }, {
          firstBlock,
          blockCount,
        });
      }
    }
    if (hasUnopened) {
      this.#blocks.addUnchecked(Math.max(0, manifest.counts.storedBlocks - counts.storedBlocks));
    }
    const differing = (Object.keys(counts) as (keyof StateCounts)[]).find((name) =>
      counts[name] !== manifest.counts[name]
    );
    if (isComplete && differing) {
      this.#report({
        code: "counts_differ",
        file: manifestFile,
        message: `Manifest counts ${manifest.counts[differing]} as ${differing}, its segments have ${
          counts[differing]
        }`,
      });
    }
  }

  get #unreadableFile(): ObjectName {
    const { manifest, manifestFile } = this.#exhibit;
    const digest = manifest.acquisition.documents.unreadable;
    return digest ? this.#exhibit.documentFile(digest) : manifestFile;
  }

  /** `undefined` where the list of unreadable blocks is of no use, which was told with the other files. */
  async #unreadableComparison(): Promise<UnreadableComparison | undefined> {
    try {
      return new UnreadableComparison(await this.#exhibit.unreadable() ?? []);
    } catch (error) {
      if (!isFault(error) && !isUnopened(error)) throw error;
      return undefined;
    }
  }

  #report(finding: Finding): void {
    this.#findings++;
    this.#options.onFinding(finding);
  }

  /** What is wrong with one file is a finding, not the end. A disk that fails is the end. */
  async #tolerating(
    code: Finding["code"],
    file: ObjectName,
    check: () => void | Promise<void>,
  ): Promise<void> {
    try {
      await check();
    } catch (error) {
      if (this.#unopened.take(error, file)) return;
      if (!isFault(error)) throw error;
      this.#report({ code, file, message: messageOf(error) });
    }
  }

  /** Who stops waits for no pack that is being read in another thread. */
  async #unlessStopped<T>(work: Promise<T>): Promise<T> {
    const { signal } = this.#options;
    const stopped = Promise.withResolvers<never>();
    const stop = () => stopped.reject(signal.reason);
    signal.addEventListener("abort", stop, { once: true });
    try {
      return await Promise.race([work, stopped.promise]);
    } finally {
      signal.removeEventListener("abort", stop);
    }
  }

  /** Lets signals and timers in between two packs. */
  async #breathe(): Promise<void> {
    this.#options.signal.throwIfAborted();
    await this.#clock.sleep(0, this.#options.signal);
  }
}
