/**
 * The store: a directory that holds exhibits of one case. This is the small door; packs, index, journal,
 * write order and locks are behind it. Nothing outside this folder knows a file of a store.
 *
 * @see store-format.md
 */
import { encodeHex } from "@std/encoding/hex";
import { OperatorError } from "../errors.ts";
import { sha256 } from "../format/digests.ts";
import type { JournalHead } from "../format/journal.ts";
import type { ParentFacts, SourceFacts } from "../format/manifest.ts";
import type { SegmentBlock } from "../format/segment.ts";
import { decodeStoreFile, encodeStoreFile, STORE_VERSION, type StoreFile } from "../format/store_file.ts";
import type { Disk, ExhibitId, SnapshotId, VolumeShape, World } from "../model.ts";
import { formatTime, isExhibitId, isSnapshotId } from "../units.ts";
import { Acquisition } from "./_acquisition.ts";
import { copyExhibit, type CopyOptions, type CopySummary } from "./_copy.ts";
import { Exhibit, inventoryNames } from "./_exhibit.ts";
import { guardedDisk } from "./_guard.ts";
import { indexAt } from "./_index.ts";
import { Journal, journalFolder, journalHeads, removeJournal } from "./_journal.ts";
import {
  CACHE_FOLDER,
  EXHIBITS_FOLDER,
  INDEX_FILE,
  JOURNAL_FOLDER,
  STORE_FILE,
  TEMPORARY_FOLDER,
} from "./_layout.ts";
import { LocalStorage } from "./_local_storage.ts";
import { PackedBlocks } from "./_packed_blocks.ts";
import { lockStore } from "./_probe.ts";
import { verifyExhibit, type VerifyOptions, type VerifySummary } from "./_verify.ts";

export type { Acquisition, SourceSideCounts } from "./_acquisition.ts";
export type { CommitFacts } from "./_commit.ts";
export type { Exhibit } from "./_exhibit.ts";
export type { JournalHead } from "../format/journal.ts";
export { listingChanged } from "./_acquisition.ts";
export type { CopyOptions, CopySummary } from "./_copy.ts";
export type { Finding, VerifyOptions, VerifySummary } from "./_verify.ts";

/** How a store is opened for writing. */
export interface WriteOptions {
  /** The case whose evidence it shall hold; `undefined`: not told. */
  readonly case?: string | undefined;
  readonly mixedCases?: boolean;
  readonly unsafeFileSystem?: boolean;
}

/** What an acquisition is to be of. */
export interface AcquisitionPlan {
  readonly source: SourceFacts;
  readonly shape: VolumeShape;
  readonly parent: Exhibit | undefined;
  readonly supersedes: ExhibitId | undefined;
}

/** Opens an existing store for reading. Throws `not_found` where there is none. */
export async function openStore(world: World, path: string): Promise<Store> {
  const disk = guardedDisk(world.disk);
  const storage = new LocalStorage({ disk, root: path, randomness: world.randomness });
  if (disk.stat(`${path}/${STORE_FILE}`) === undefined) {
    throw new OperatorError("not_found", `Cannot open store "${path}": there is no store`, {
      hints: ["Name the store with --store DIR or COLDCASE_STORE; acquire makes one."],
      facts: { store: path },
    });
  }
  return new Store({
    world,
    disk,
    storage,
    path,
    file: await readStoreFile(storage),
    lock: undefined,
    isUnsafe: false,
  });
}

/**
 * Opens a store for writing, making it where there is none. One process at a time.
 *
 * Throws `locked`; `usage` for a folder of something else and for another case; `storage` for a file system
 * that keeps no promises; `format` for another version.
 */
export async function openStoreForWriting(
  world: World,
  path: string,
  options: WriteOptions = {},
): Promise<Store> {
  const disk = guardedDisk(world.disk);
  const storage = new LocalStorage({ disk, root: path, randomness: world.randomness });
  refuseForeignFolder(disk, path);
  const isNew = disk.stat(`${path}/${STORE_FILE}`) === undefined;
  // An existing store is looked at before its lock: a wrong case or version is the better answer.
  if (!isNew) checkCase(await readStoreFile(storage), path, options);
  else disk.makeDirectory(path);
  const { lock, isUnsafe } = await lockStore(disk, path, { allowUnsafe: options.unsafeFileSystem ?? false });
  try {
    const file = await settleStoreFile(storage, options, formatTime(world.clock.nowMs()));
    const store = new Store({ world, disk, storage, path, file, lock, isUnsafe });
    await store.tidyUp();
    return store;
  } catch (error) {
    lock.release();
    throw error;
  }
}

async function readStoreFile(storage: LocalStorage): Promise<StoreFile> {
  return decodeStoreFile(
    await storage.read(STORE_FILE, { offset: 0, length: 65_537 }),
    `"${storage.pathOf(STORE_FILE)}"`,
  );
}

/** A folder with other things in it is not made a store: it may be another tool's, or a typing error. */
function refuseForeignFolder(disk: Disk, path: string): void {
  const kind = disk.stat(path)?.kind;
  if (kind === undefined) return;
  if (kind !== "directory" && kind !== "symlink") {
    throw new OperatorError("usage", `Cannot use "${path}" as a store: is a ${kind}, expected a folder`);
  }
  const names = disk.list(path);
  if (names.length === 0 || names.includes(STORE_FILE)) return;
  if (names.every((name) => name === "lock" || name === TEMPORARY_FOLDER)) return; // a store that was killed while it was made
  throw new OperatorError(
    "usage",
    `Cannot use "${path}" as a store: it holds other files, and no ${STORE_FILE}`,
    {
      hints: ["Name an existing store, or a folder that is empty or not there yet."],
      facts: { store: path },
    },
  );
}

function checkCase(file: StoreFile, path: string, options: WriteOptions): void {
  if (options.case === undefined || file.case === null || options.case === file.case) return;
  if (file.mixedCases || options.mixedCases) return;
  throw new OperatorError(
    "usage",
    `Cannot use store "${path}" for case "${options.case}": it holds case "${file.case}"`,
    {
      hints: ["Use a store of its own for each case, or --mixed-cases to keep both in this one."],
      facts: { store: path, storeCase: file.case },
    },
  );
}

/** Makes `store.json`, or brings in what the options add to it. */
async function settleStoreFile(
  storage: LocalStorage,
  options: WriteOptions,
  now: string,
): Promise<StoreFile> {
  const known = await storage.stat(STORE_FILE) ? await readStoreFile(storage) : undefined;
  const file: StoreFile = {
    case: known?.case ?? options.case ?? null,
    createdAt: known?.createdAt ?? now,
    features: [],
    mixedCases: (known?.mixedCases ?? false) || (options.mixedCases ?? false),
    mode: "plain",
    readVersion: STORE_VERSION,
    type: "coldcase-store",
    writeVersion: STORE_VERSION,
  };
  const bytes = encodeStoreFile(file);
  if (!known || sha256(bytes) !== sha256(encodeStoreFile(known))) await storage.replace(STORE_FILE, bytes);
  return file;
}

interface StoreParts {
  readonly world: World;
  readonly disk: Disk;
  readonly storage: LocalStorage;
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

  /** Damage in caches that was noticed and got over. */
  get tolerated(): readonly string[] {
    return this.#blocks?.tolerated ?? [];
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
    return Exhibit.load(this.#parts.storage, this.#packedBlocks(), id);
  }

  /** All exhibits, the oldest acquisition first. Throws where one is damaged. */
  async exhibits(): Promise<Exhibit[]> {
    const all: Exhibit[] = [];
    for (const id of await this.exhibitIds()) all.push(await this.exhibit(id));
    const startOf = (exhibit: Exhibit) => exhibit.manifest.acquisition.startedAt;
    return all.sort((a, b) => startOf(a) < startOf(b) ? -1 : startOf(a) > startOf(b) ? 1 : 0);
  }

  /**
   * The exhibit that `reference` names: an exhibit id, an evidence number, the start of an image digest (at
   * least six digits), or a snapshot id (its newest exhibit that no other supersedes).
   *
   * Throws `not_found`, or `usage` with the candidates where it is ambiguous.
   */
  async find(reference: string): Promise<Exhibit> {
    if (isExhibitId(reference)) return await this.exhibit(reference);
    const all = await this.exhibits();
    if (isSnapshotId(reference)) {
      const newest = newestOf(all, reference);
      if (newest) return newest;
    } else {
      const isDigestPrefix = /^[0-9a-f]{6,64}$/.test(reference);
      const matches = all.filter(({ manifest }) =>
        manifest.acquisition.case.evidence === reference ||
        (isDigestPrefix && manifest.imageDigest.startsWith(reference))
      );
      if (matches.length === 1) return matches[0]!;
      if (matches.length > 1) {
        throw new OperatorError(
          "usage",
          `Cannot tell which exhibit "${reference}" is: ${matches.length} match`,
          {
            hints: [`Name one of ${matches.map((match) => match.id).join(", ")}.`],
          },
        );
      }
    }
    throw new OperatorError(
      "not_found",
      `Cannot find exhibit "${reference}": the store "${this.path}" does not hold it`,
      {
        hints: [`Run "coldcase ls" to see what it holds.`],
        facts: { store: this.path, reference },
      },
    );
  }

  /** The newest exhibit of a snapshot that no other supersedes. */
  async newestOf(snapshot: SnapshotId): Promise<Exhibit | undefined> {
    return newestOf(await this.exhibits(), snapshot);
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
      mode: "plain",
      parent: plan.parent ? parentFacts(plan.parent) : null,
      source: plan.source,
      supersedes: plan.supersedes ?? null,
      type: "coldcase-journal",
      version: 0,
      volume: { blockCount, blockSizeBytes, volumeSizeGib },
    };
    return await Acquisition.begin(this.#acquisitionParts(head, plan.parent));
  }

  /** Takes up an acquisition. Throws `integrity` where its parent is not what it was. */
  async resume(head: JournalHead): Promise<Acquisition> {
    const parent = head.parent ? await this.exhibit(head.parent.exhibit) : undefined;
    if (parent && parentFacts(parent).manifest !== head.parent?.manifest) {
      throw new OperatorError(
        "integrity",
        `Cannot resume "${head.exhibit}": its parent "${parent.id}" has another manifest now`,
      );
    }
    return await Acquisition.resume(this.#acquisitionParts(head, parent));
  }

  /** What an acquisition under way has recorded, for a plan: nothing is written. */
  view(head: JournalHead): { recorded(index: number): SegmentBlock | undefined; close(): void } {
    return Journal.view(this.#parts.storage, this.#parts.disk, head);
  }

  /** Moves the journal of an acquisition that is not to be taken up to quarantine. */
  async abandon(head: JournalHead): Promise<void> {
    await this.#parts.storage.quarantine(journalFolder(head.exhibit));
  }

  /**
   * Whether an exhibit can be built on: every file that its inventory names is there with its size.
   * Gives the reason where not.
   */
  async whyNotParent(exhibit: Exhibit): Promise<string | undefined> {
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

  /** Copies an exhibit, and no more than it needs, into a store that is open for writing. */
  copyTo(target: Store, exhibit: Exhibit, options: CopyOptions): Promise<CopySummary> {
    const from = { storage: this.#parts.storage, blocks: this.#packedBlocks() };
    return copyExhibit({ from, to: target.#parts, exhibit }, options);
  }

  /** Clears away what killed sessions left that is no evidence. The store is open for writing. */
  async tidyUp(): Promise<void> {
    const { disk, storage } = this.#parts;
    if (disk.stat(storage.pathOf(TEMPORARY_FOLDER))) {
      for (const name of disk.list(storage.pathOf(TEMPORARY_FOLDER))) {
        disk.remove(storage.pathOf(`${TEMPORARY_FOLDER}/${name}`));
      }
    }
    await storage.makeFolder(CACHE_FOLDER);
    if (!disk.stat(storage.pathOf(JOURNAL_FOLDER))) return;
    const alive = new Set((await this.journals()).map((head) => head.exhibit));
    const committed = new Set(await this.exhibitIds());
    for (const name of disk.list(storage.pathOf(JOURNAL_FOLDER))) {
      if (isExhibitId(name) && (!alive.has(name) || committed.has(name))) removeJournal(storage, disk, name);
    }
  }

  close(): void {
    this.#blocks?.close();
    this.#blocks = undefined;
    this.#parts.lock?.release();
  }

  #packedBlocks(): PackedBlocks {
    const { disk, storage } = this.#parts;
    const path = storage.pathOf(INDEX_FILE);
    return this.#blocks ??= new PackedBlocks(
      storage,
      indexAt(path, () => disk.stat(path) && disk.remove(path)),
    );
  }

  #acquisitionParts(head: JournalHead, parent: Exhibit | undefined) {
    const { world, disk, storage } = this.#parts;
    return { storage, disk, clock: world.clock, blocks: this.#packedBlocks(), head, parent };
  }
}

function newestOf(exhibits: readonly Exhibit[], snapshot: SnapshotId): Exhibit | undefined {
  const superseded = new Set(exhibits.map((exhibit) => exhibit.manifest.supersedes));
  return exhibits.findLast((exhibit) =>
    exhibit.manifest.source.snapshot === snapshot && !superseded.has(exhibit.id)
  );
}

function parentFacts(parent: Exhibit): ParentFacts {
  return {
    exhibit: parent.id,
    imageDigest: parent.manifest.imageDigest,
    manifest: parent.inventory.manifest,
    snapshot: parent.manifest.source.snapshot,
  };
}
