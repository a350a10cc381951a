/**
 * Repairs a store: journals that keep it from being used, exhibits one by one, then damaged packs that nothing names any
 * more, and the index. Nothing is deleted but the index, which is a cache; nothing is overwritten.
 *
 * @see store-format.md, "Repairing"
 */
import { isFault } from "../errors.ts";
import type { ExhibitId, ObjectName } from "../model.ts";
import { isExhibitId } from "../units.ts";
import { Exhibit } from "./_exhibit.ts";
import { Index } from "./_index.ts";
import { journalFolder, readHead } from "./_journal.ts";
import { EXHIBITS_FOLDER, INDEX_FILE, JOURNAL_FOLDER, PACKS_FOLDER, parseName } from "./_layout.ts";
import { inventoryNames, loadOuter, type OuterExhibit } from "./_outer.ts";
import { ExhibitRepair, type RepairOptions, type RepairSummary } from "./_repair_exhibit.ts";
import {
  type RepairCopy,
  type RepairParts,
  type RepairStep,
  restoreFrom,
  stateOf,
  stepFor,
} from "./_repair_files.ts";
import { repairOuter } from "./_repair_outer.ts";
import { isUnopened } from "./_verify_unopened.ts";

export type { Refetch, RepairOptions, RepairSummary } from "./_repair_exhibit.ts";
export type { RepairStep } from "./_repair_files.ts";

/** A journal that keeps the store from being used. */
export interface DamagedJournal {
  readonly exhibit: ExhibitId;
  readonly message: string;
}

/** What came of one exhibit. */
export interface RepairedExhibit {
  /** `undefined`: it can't be opened as it is. */
  readonly exhibit: OuterExhibit | Exhibit | undefined;
  /** `undefined` where it could only be looked at from outside, or not at all. */
  readonly summary: RepairSummary | undefined;
  readonly restoredFiles: number;
  /** Files that are damaged still, of those that were looked at from outside. */
  readonly lacking: readonly RepairStep[];
  /** Damaged packs could be salvaged with an identity that opens them. */
  readonly needsIdentity: boolean;
}

export type ExhibitRepairOptions = Omit<RepairOptions, "copy">;

export class StoreRepair {
  readonly #parts: RepairParts;
  readonly #copy: RepairCopy | undefined;

  constructor(parts: RepairParts, copy: RepairCopy | undefined) {
    this.#parts = parts;
    this.#copy = copy;
  }

  /** Journals whose heads can't be read: no command that writes gets past them. */
  async damagedJournals(): Promise<DamagedJournal[]> {
    const { disk, storage } = this.#parts;
    const path = storage.pathOf(JOURNAL_FOLDER);
    const damaged: DamagedJournal[] = [];
    for (const exhibit of disk.stat(path) ? disk.list(path).sort() : []) {
      if (!isExhibitId(exhibit)) continue;
      try {
        await readHead(storage, exhibit);
      } catch (error) {
        if (!isFault(error)) throw error;
        damaged.push({ exhibit, message: error.message });
      }
    }
    return damaged;
  }

  /** Moves a journal to quarantine, open packs and all. Gives where it is now. */
  setJournalAside({ exhibit }: DamagedJournal): Promise<string> {
    return this.#parts.storage.quarantine(journalFolder(exhibit));
  }

  /** Exhibits that are committed, or were: a signature over an inventory is there, or in the other copy. */
  async exhibitIds(): Promise<ExhibitId[]> {
    const ids = new Set<ExhibitId>();
    for await (const { name } of this.#parts.storage.list(`${EXHIBITS_FOLDER}/`)) {
      const [, id = "", file = ""] = name.split("/");
      if (!isExhibitId(id) || ids.has(id)) continue;
      const isSigned = /^inventory-[0-9a-f]{64}\.[0-9a-f]{16}\.sshsig$/.test(file);
      if (isSigned || await this.#isInCopy(id)) ids.add(id);
    }
    return [...ids];
  }

  async #isInCopy(id: ExhibitId): Promise<boolean> {
    return this.#copy !== undefined && (await inventoryNames(this.#copy.storage, id)).length > 0;
  }

  /** Throws what ends it: `identity`, `storage`, and a fault that nothing here mends. */
  async exhibit(id: ExhibitId, options: ExhibitRepairOptions): Promise<RepairedExhibit> {
    const { storage, contents } = this.#parts;
    const whole = { ...options, copy: this.#copy };
    let restoredFiles = 0;
    let outer: Awaited<ReturnType<typeof repairOuter>>;
    do {
      outer = await repairOuter(this.#parts, id, whole);
      restoredFiles += outer.restoredFiles;
    } while (outer.isChanged && outer.lacking.length === 0);
    const { lacking } = outer;
    const isBlocked = lacking.length > 0;
    const none = { exhibit: undefined, summary: undefined, restoredFiles, lacking, needsIdentity: false };
    if (isBlocked) return none;
    let exhibit: Exhibit;
    try {
      exhibit = await Exhibit.load({ storage, contents, blocks: this.#parts.blocks() }, id);
    } catch (error) {
      if (isUnopened(error)) {
        return await this.#fromOutside(await loadOuter(storage, id), whole, restoredFiles);
      }
      // What would have been mended is damaged still.
      if (outer.isDamaged && !options.key && isFault(error)) return none;
      throw error;
    }
    const repair = new ExhibitRepair(this.#parts, exhibit, whole);
    try {
      const summary = await repair.run();
      const total = restoredFiles + summary.restoredFiles;
      return {
        exhibit,
        summary,
        restoredFiles: total,
        lacking,
        needsIdentity: summary.closedPacks > 0 && summary.findings > 0,
      };
    } finally {
      repair.close();
    }
  }

  /** What nothing opens is mended whole, or not at all. */
  async #fromOutside(
    outer: OuterExhibit,
    options: RepairOptions,
    before: number,
  ): Promise<RepairedExhibit> {
    const { storage } = this.#parts;
    const steps: RepairStep[] = [];
    for (const { name } of outer.inventory.files) {
      options.signal.throwIfAborted();
      const step = await stepFor({ storage, copy: this.#copy }, name);
      if (step) steps.push(step);
    }
    if (steps.length > 0) options.onSteps(steps, { lostBlocks: 0, lostBlocksInCopy: 0 });
    let restoredFiles = before;
    for (const { file, remedy } of options.key ? steps : []) {
      if (remedy !== "copy") continue;
      await restoreFrom(this.#copy!, storage, file);
      restoredFiles++;
    }
    const lacking = steps.filter(({ remedy }) => remedy === "none");
    const needsIdentity = lacking.some(({ file }) => parseName(file)?.kind === "pack");
    return { exhibit: outer, summary: undefined, restoredFiles, lacking, needsIdentity };
  }

  /**
   * Damaged packs that no exhibit names (any more), while no acquisition is under way that may rely on them: all of them,
   * but none while an exhibit is too damaged to tell what it names.
   */
  async unneededPacks(signal: AbortSignal): Promise<ObjectName[]> {
    const { storage, disk } = this.#parts;
    const journals = storage.pathOf(JOURNAL_FOLDER);
    if (disk.stat(journals) && disk.list(journals).some(isExhibitId)) return [];
    const needed = new Set<ObjectName>();
    try {
      for (const id of await this.exhibitIds()) {
        for (const { name } of (await loadOuter(storage, id)).inventory.files) needed.add(name);
      }
    } catch (error) {
      if (!isFault(error)) throw error;
      return [];
    }
    const unneeded: ObjectName[] = [];
    for await (const { name } of storage.list(`${PACKS_FOLDER}/`)) {
      signal.throwIfAborted();
      if (needed.has(name) || parseName(name)?.kind !== "pack") continue;
      if (await stateOf(storage, name) === "damaged") unneeded.push(name);
    }
    return unneeded;
  }

  /** Moves a file to quarantine. Gives where it is now. */
  setAside(name: ObjectName): Promise<string> {
    return this.#parts.storage.quarantine(name);
  }

  /** What is wrong with the index; `undefined`: nothing, or there is none. */
  async indexDamage(): Promise<string | undefined> {
    const { storage, contents } = this.#parts;
    const path = storage.pathOf(INDEX_FILE);
    if (contents.isEncrypted || !await storage.stat(INDEX_FILE)) return undefined;
    let index: Index | undefined;
    try {
      index = new Index(path, { readOnly: true });
      return index.damage() ?? await this.#differenceOf(index);
    } catch (error) {
      // SQLite's own errors: it is no database, or one that breaks where it is read.
      if (!(error instanceof Error)) throw error;
      return error.message;
    } finally {
      index?.close();
    }
  }

  async #differenceOf(index: Index): Promise<string | undefined> {
    const { storage, blocks } = this.#parts;
    for (const { name, sizeBytes } of index.packs()) {
      if ((await storage.stat(name))?.sizeBytes !== sizeBytes) {
        return `it tells of "${name}", which is not there`;
      }
      for (const { digest } of await blocks().entriesOf(name)) {
        if (!index.lookUp(digest)) return `it lacks blocks of "${name}"`;
      }
    }
    return undefined;
  }

  /** Makes the index anew from the packs. */
  async rebuildIndex(): Promise<void> {
    await this.#parts.blocks().rebuildIndex("by repair");
  }
}
