/**
 * An open store: its exhibits, its acquisitions under way, and what can be done with them. How it is opened,
 * locked and made is in _open.ts.
 */
import { encodeHex } from "@std/encoding/hex";
import { isFault, OperatorError } from "../errors.ts";
import type { JournalHead } from "../format/journal.ts";
import { FORMAT_VERSION } from "../format/members.ts";
import type { ParentFacts, SourceFacts } from "../format/manifest.ts";
import type { SegmentBlock } from "../format/segment.ts";
import type { SetFacts } from "../format/snapshot_set.ts";
import { encodeStoreFile, type StoreFile } from "../format/store_file.ts";
import type { Disk, ExhibitId, SnapshotId, VolumeShape, World } from "../model.ts";
import { formatTime, isExhibitId } from "../units.ts";
import { Access } from "./_access.ts";
import { Acquisition } from "./_acquisition.ts";
import { copyExhibit, type CopyOptions, type CopySummary } from "./_copy.ts";
import type { Contents } from "./_contents.ts";
import { Exhibit } from "./_exhibit.ts";
import { byStart, ExhibitList } from "./_exhibit_list.ts";
import { Index, indexAt, indexForReading } from "./_index.ts";
import { Journal, journalFolder, journalHeads } from "./_journal.ts";
import { EXHIBITS_FOLDER, INDEX_FILE, INDEX_FILES, STORE_FILE } from "./_layout.ts";
import type { PackReaders } from "./_pack_readers.ts";
import type { Packers } from "./_packers.ts";
import type { LocalStorage } from "./_local_storage.ts";
import { inventoryFaults } from "./_needed_files.ts";
import { inventoryNames, loadOuter, type OuterExhibit } from "./_outer.ts";
import { PackedBlocks } from "./_packed_blocks.ts";
import { StoreRepair } from "./_repair.ts";
import { StoreEvidence } from "./_store_evidence.ts";
import { Progress } from "./_progress.ts";
import { tidyUp } from "./_tidy_up.ts";
import { transcodeExhibit } from "./_transcode.ts";
import { verifyOuter } from "./_verify_outer.ts";
import type { VerifyOptions, VerifySummary } from "./_findings.ts";
import { verifyExhibit } from "./_verify.ts";

/** What an acquisition is to be of. */
export interface AcquisitionPlan {
  readonly source: SourceFacts;
  readonly shape: VolumeShape;
  readonly parent: Exhibit | undefined;
  readonly supersedes: ExhibitId | undefined;
  /** Not given: it is of no set. */
  readonly set?: SetFacts | undefined;
}

/** What an acquisition under way has recorded. */
export interface JournalView {
  /** Why it builds on no parent any more; `undefined` where it does, or never did. */
  readonly parentDropped: string | undefined;
  recorded(index: number): SegmentBlock | undefined;
  close(): void;
}

/** What a store is made of when it is opened. */
export interface StoreParts {
  readonly world: World;
  readonly disk: Disk;
  readonly storage: LocalStorage;
  readonly contents: Contents;
  /** Where packs are made, in a store that is open for writing. */
  readonly packers: Packers;
  /** Where packs are read and checked. */
  readonly readers: PackReaders;
  readonly path: string;
  readonly file: StoreFile;
  readonly lock: { release(): void } | undefined;
  readonly isUnsafe: boolean;
}

export class Store {
  /** As it was given. */
  readonly path: string;
  readonly file: StoreFile;
  /** True where the file system's promises could not be proved and that was accepted. */
  readonly isUnsafe: boolean;
  readonly #parts: StoreParts;
  readonly #passedOver = new Set<string>();
  #blocks: PackedBlocks | undefined;

  constructor(parts: StoreParts) {
    this.#parts = parts;
    this.path = parts.path;
    this.file = parts.file;
    this.isUnsafe = parts.isUnsafe;
  }

  /** The type of the file system that the store is on. */
  get fileSystem(): string {
    return this.#parts.disk.fileSystemType(this.path);
  }

  get freeBytes(): number {
    return this.#parts.disk.freeBytes(this.path);
  }

  /** Damage that was noticed and got over: in caches, and in exhibits that were not asked for. */
  get tolerated(): readonly string[] {
    return [...this.#passedOver, ...this.#blocks?.tolerated ?? []];
  }

  /** Ids of all committed exhibits, in no meaningful order. */
  async exhibitIds(): Promise<ExhibitId[]> {
    const { disk, storage } = this.#parts;
    if (!disk.stat(storage.pathOf(EXHIBITS_FOLDER))) return [];
    const ids: ExhibitId[] = [];
    for (const name of disk.list(storage.pathOf(EXHIBITS_FOLDER)).sort()) {
      if (isExhibitId(name) && (await inventoryNames(storage, name)).length > 0) ids.push(name);
    }
    return ids;
  }

  /** Throws `not_found`, `integrity` or `format`. */
  exhibit(id: ExhibitId): Promise<Exhibit> {
    const { storage, contents } = this.#parts;
    return Exhibit.load({ storage, contents, blocks: this.#packedBlocks() }, id);
  }

  /** What is known of an exhibit without opening it. Throws `not_found`, `integrity` or `format`. */
  outerExhibit(id: ExhibitId): Promise<OuterExhibit> {
    return loadOuter(this.#parts.storage, id);
  }

  /** False for an encrypted store without an identity: of its exhibits only the outer level is known. */
  get isReadable(): boolean {
    return this.#parts.contents.isReadable;
  }

  /** All exhibits, the oldest acquisition first. Throws where one is damaged. */
  async exhibits(): Promise<Exhibit[]> {
    const all: Exhibit[] = [];
    for (const id of await this.exhibitIds()) all.push(await this.exhibit(id));
    return all.sort(byStart);
  }

  /** Finds exhibits by what people call them. */
  get #list(): ExhibitList {
    return new ExhibitList({
      path: this.path,
      ids: () => this.exhibitIds(),
      open: (id) => this.exhibit(id),
      outer: (id) => this.outerExhibit(id),
      passOver: (text) => this.#passedOver.add(text),
    });
  }

  /** The exhibit that `reference` names; see `ExhibitList`. */
  find(reference: string): Promise<Exhibit> {
    return this.#list.find(reference);
  }

  /** Exhibits whose evidence number is one of these; see `ExhibitList`. */
  numbered(numbers: ReadonlySet<string>): Promise<Exhibit[]> {
    return this.#list.numbered(numbers);
  }

  /** What can be known of it without opening it; see `ExhibitList`. */
  findOuter(reference: string): Promise<OuterExhibit> {
    return this.#list.findOuter(reference);
  }

  /** The newest exhibit of a snapshot that no other supersedes: one that was acquired, or `kind`. See `ExhibitList`. */
  newestOf(snapshot: SnapshotId, kind?: SourceFacts["kind"]): Promise<Exhibit | undefined> {
    return this.#list.newestOf(snapshot, kind);
  }

  /** The exhibit of a snapshot that was committed last, unopened. */
  newestOuterOf(snapshot: SnapshotId): Promise<OuterExhibit | undefined> {
    return this.#list.newestOuterOf(snapshot);
  }

  /** Acquisitions under way. */
  journals(): Promise<JournalHead[]> {
    return journalHeads(this.#parts.storage, this.#parts.disk);
  }

  /** Starts an acquisition. Throws `storage`. */
  async begin(plan: AcquisitionPlan): Promise<Acquisition> {
    const { world } = this.#parts;
    const { blockCount, blockSizeBytes, volumeSizeGib } = plan.shape;
    const head: JournalHead = {
      createdAt: formatTime(world.clock.nowMs()),
      exhibit: `ex-${encodeHex(world.randomness.bytes(8))}` as ExhibitId,
      mode: this.file.mode,
      parent: plan.parent ? parentFacts(plan.parent) : null,
      recipients: this.file.recipients,
      set: plan.set ?? null,
      source: plan.source,
      supersedes: plan.supersedes ?? null,
      type: "coldcase-journal",
      version: FORMAT_VERSION,
      volume: { blockCount, blockSizeBytes, volumeSizeGib },
    };
    return await Acquisition.begin(this.#acquisitionParts(head, plan.parent));
  }

  /** Takes up an acquisition; without its parent where that is damaged, gone, or not what it was. */
  async resume(head: JournalHead): Promise<Acquisition> {
    const { parent, fault } = await this.parentOf(head);
    const acquisition = await Acquisition.resume(this.#acquisitionParts(head, parent));
    if (fault !== undefined && acquisition.parentDropped === undefined) await acquisition.dropParent(fault);
    return acquisition;
  }

  /** The exhibit that an acquisition builds on, or why it cannot. */
  async parentOf(
    head: JournalHead,
  ): Promise<{ readonly parent: Exhibit | undefined; readonly fault: string | undefined }> {
    if (!head.parent) return { parent: undefined, fault: undefined };
    const { exhibit: id, manifest } = head.parent;
    try {
      const parent = await this.exhibit(id);
      return parent.manifestDigest === manifest
        ? { parent, fault: undefined }
        : { parent: undefined, fault: `${id}: it has another manifest than when this was begun` };
    } catch (error) {
      if (!isFault(error)) throw error;
      return { parent: undefined, fault: `${id}: ${error.message}` };
    }
  }

  /** What an acquisition under way has recorded, for a plan: nothing is written. */
  view(head: JournalHead): JournalView {
    const progress = new Progress();
    const { storage, disk } = this.#parts;
    const journal = Journal.view(storage, disk, head, (entry) => progress.apply(entry));
    return {
      parentDropped: progress.parentDropped,
      recorded(index) {
        const block = journal.recorded(index);
        // As a resumed acquisition has it: marked, but never tried.
        return block?.state === "unreadable" && !progress.unreadable.has(index) ? undefined : block;
      },
      close: () => journal.close(),
    };
  }

  /** Moves the journal of an acquisition that is not to be taken up to quarantine. */
  async abandon(head: JournalHead): Promise<void> {
    await this.#parts.storage.quarantine(journalFolder(head.exhibit));
  }

  /**
   * Whether an exhibit can be built on: its inventory names all that it needs, and each file is there with
   * its size. Gives the reason where not.
   */
  async whyNotParent(exhibit: Exhibit): Promise<string | undefined> {
    const fault = inventoryFaults(exhibit)[0];
    if (fault !== undefined) return `its inventory is not whole: ${fault}`;
    for (const file of exhibit.inventory.files) {
      const stat = await this.#parts.storage.stat(file.name);
      if (stat?.sizeBytes !== file.sizeBytes) {
        return stat
          ? `"${file.name}" has ${stat.sizeBytes} bytes, expected ${file.sizeBytes}`
          : `"${file.name}" is missing`;
      }
    }
    return undefined;
  }

  /** Checks everything that an exhibit needs; findings come one by one, nothing is changed. */
  verify(exhibit: Exhibit, options: VerifyOptions): Promise<VerifySummary> {
    return verifyExhibit(this.#parts, exhibit, options);
  }

  /** Checks an encrypted exhibit without opening it. */
  verifyOuter(exhibit: OuterExhibit, options: VerifyOptions): Promise<VerifySummary> {
    return verifyOuter(this.#parts.storage, exhibit, options);
  }

  /** Signatures, addenda, receipts, tokens and the custody log. */
  get evidence(): StoreEvidence {
    return new StoreEvidence(this.#parts, () => this.exhibits());
  }

  /** Who can open the exhibits of an encrypted store. */
  get access(): Access {
    return new Access(this.#parts);
  }

  /** Mends what is damaged, with the help of another copy where there is one. */
  repair(copy: Store | undefined): StoreRepair {
    const partsOf = (store: Store) => ({ ...store.#parts, blocks: () => store.#packedBlocks() });
    return new StoreRepair(partsOf(this), copy && partsOf(copy));
  }

  /** Copies an exhibit, and no more than it needs, into a store that is open for writing. */
  copyTo(target: Store, exhibit: OuterExhibit, options: CopyOptions): Promise<CopySummary> {
    if (target.file.mode !== this.file.mode) {
      throw new OperatorError("usage", `Cannot copy into "${target.path}": it is ${target.file.mode}`, {
        hints: ["`coldcase encrypt` and `coldcase decrypt` make an encrypted and a plain copy."],
      });
    }
    const { storage, contents } = this.#parts;
    const from = { storage, contents, blocks: this.#packedBlocks() };
    return copyExhibit({ from, to: target.#parts, exhibit }, options);
  }

  /** The same into a store of the other mode: an encrypted copy of a plain exhibit, or a plain one of an encrypted. */
  transcodeTo(target: Store, exhibit: Exhibit, options: CopyOptions): Promise<CopySummary> {
    const { storage, contents } = this.#parts;
    const blocks = this.#packedBlocks();
    const from = { storage, contents, blocks, exhibit: (id: ExhibitId) => this.exhibit(id) };
    return transcodeExhibit({ from, to: target.#parts, exhibit }, options);
  }

  /** Says of another case that its evidence is in here: the label only. The store is open for writing. */
  async relabel(caseName: string): Promise<void> {
    await this.#parts.storage.replace(STORE_FILE, encodeStoreFile({ ...this.file, case: caseName }));
  }

  /** Clears away what killed sessions left that is no evidence. The store is open for writing. */
  tidyUp(): Promise<void> {
    return tidyUp(this.#parts, this);
  }

  close(): void {
    this.#blocks?.close();
    this.#blocks = undefined;
    this.#parts.packers.close();
    this.#parts.readers.close();
    this.#parts.lock?.release();
  }

  #packedBlocks(): PackedBlocks {
    if (this.#blocks) return this.#blocks;
    const { disk, storage, contents, readers, lock } = this.#parts;
    const path = storage.pathOf(INDEX_FILE);
    const remove = () => {
      for (const file of INDEX_FILES.map((name) => storage.pathOf(name))) {
        if (disk.stat(file)) disk.remove(file);
      }
    };
    if (contents.isEncrypted) {
      const makeIndex = () => Index.temporary({ isBlind: true });
      return this.#blocks = new PackedBlocks({ storage, contents, readers, makeIndex });
    }
    // Without the lock somebody else may be writing: nothing is made, repaired or removed then.
    const isThere = () => (disk.stat(path)?.sizeBytes ?? 0) > 0;
    const makeIndex = lock ? indexAt(path, remove) : indexForReading(path, isThere);
    this.#blocks = new PackedBlocks({ storage, contents, readers, makeIndex });
    // A damaged cache is told of by every command, also by one that looks no block up.
    if (isThere()) this.#blocks.openIndex();
    return this.#blocks;
  }

  #acquisitionParts(head: JournalHead, parent: Exhibit | undefined) {
    const { world, disk, storage, contents, packers } = this.#parts;
    const { clock, randomness } = world;
    return {
      storage,
      contents,
      packers,
      disk,
      clock,
      randomness,
      blocks: this.#packedBlocks(),
      head,
      parent,
    };
  }
}

function parentFacts(parent: Exhibit): ParentFacts {
  return {
    exhibit: parent.id,
    imageDigest: parent.manifest.imageDigest,
    manifest: parent.manifestDigest,
    snapshot: parent.manifest.source.snapshot,
  };
}
