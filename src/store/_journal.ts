/**
 * The journal's files: head, block map, log. What is in the log is durable before a slot that depends on
 * it is written; a torn tail of the log and torn slots are recognized and count as never written.
 *
 * @see store-format.md, "Journal"
 */
import { Buffer } from "node:buffer";
import { OperatorError } from "../errors.ts";
import {
  decodeJournalHead,
  decodeSlot,
  encodeJournalHead,
  encodeLogLine,
  encodeSlot,
  type JournalEntry,
  type JournalHead,
  MAX_HEAD_BYTES,
  packCountOf,
  type RecordedBlock,
  SLOT_BYTES,
} from "../format/journal.ts";
import { type Disk, type DiskFile, type ExhibitId, SEGMENT_BLOCKS } from "../model.ts";
import { isExhibitId } from "../units.ts";
import { replayLog } from "./_journal_log.ts";
import { JOURNAL_FOLDER } from "./_layout.ts";
import { OPEN_PACK_NAME } from "./_packing.ts";
import type { LocalStorage } from "./_local_storage.ts";

/** The slots of a whole segment, all empty. */
const EMPTY_SLOTS = Buffer.alloc(SEGMENT_BLOCKS * SLOT_BYTES);

export function journalFolder(exhibit: ExhibitId): string {
  return `${JOURNAL_FOLDER}/${exhibit}`;
}

/** The heads of all acquisitions under way in the store. */
export async function journalHeads(storage: LocalStorage, disk: Disk): Promise<JournalHead[]> {
  if (!disk.stat(storage.pathOf(JOURNAL_FOLDER))) return [];
  const heads: JournalHead[] = [];
  for (const name of disk.list(storage.pathOf(JOURNAL_FOLDER)).sort()) {
    if (!isExhibitId(name)) continue;
    const head = await readHead(storage, name);
    if (head) heads.push(head);
  }
  return heads;
}

/** `undefined` where a crash left a folder without a head: nothing was recorded there. */
export async function readHead(storage: LocalStorage, exhibit: ExhibitId): Promise<JournalHead | undefined> {
  const name = `${journalFolder(exhibit)}/head.json`;
  const facts = await storage.stat(name);
  if (!facts) return undefined;
  const length = Math.min(facts.sizeBytes, MAX_HEAD_BYTES + 1);
  const head = decodeJournalHead(await storage.read(name, { offset: 0, length }), `"${name}"`);
  // Else a journal that was put under another name would count as one that nobody needs, and be cleared away.
  if (head.exhibit === exhibit) return head;
  throw new OperatorError("integrity", `Cannot use "${name}": it is the journal of "${head.exhibit}"`, {
    facts: { file: name },
    hints: [`Move "${journalFolder(exhibit)}" back to the name that it had.`],
  });
}

export class Journal {
  readonly head: JournalHead;
  readonly #map: DiskFile;
  readonly #log: DiskFile;
  #logBytes: number;
  #isOpen = true;
  /** Slots of the segment that was read last: listings ask in ascending order. */
  #cached: { readonly segment: number; readonly slots: Uint8Array } | undefined;

  private constructor(
    parts: {
      readonly head: JournalHead;
      readonly map: DiskFile;
      readonly log: DiskFile;
      readonly logBytes: number;
    },
  ) {
    this.head = parts.head;
    this.#map = parts.map;
    this.#log = parts.log;
    this.#logBytes = parts.logBytes;
  }

  /**
   * Starts a journal. The head is written last: without it there is no journal. Of an encrypted exhibit it is the one
   * thing that tells digests: for its owner alone.
   */
  static async create(storage: LocalStorage, disk: Disk, head: JournalHead): Promise<Journal> {
    const folder = journalFolder(head.exhibit);
    const isPrivate = head.mode === "encrypted";
    const mode = isPrivate ? "create_private" : "create";
    await storage.makeFolder(folder, { isPrivate });
    const opened: DiskFile[] = [];
    const open = (name: string) => {
      const file = disk.open(storage.pathOf(`${folder}/${name}`), mode);
      opened.push(file);
      return file;
    };
    try {
      const map = open("blocks");
      map.truncate(head.volume.blockCount * SLOT_BYTES);
      await map.sync();
      const log = open("log");
      await log.sync();
      // Else the head alone could outlive a loss of power, and with nothing to go on from it.
      await disk.syncDirectory(storage.pathOf(folder));
      await storage.replace(`${folder}/head.json`, encodeJournalHead(head), { isPrivate });
      return new Journal({ head, map, log, logBytes: 0 });
    } catch (error) {
      for (const file of opened) file.close();
      throw error;
    }
  }

  /**
   * Opens a journal and replays its log, oldest first; what a crash tore at the log's end is cut away.
   * Throws `integrity` where log or block map are damaged otherwise.
   */
  static async open(
    storage: LocalStorage,
    disk: Disk,
    head: JournalHead,
    replay: (entry: JournalEntry) => void,
  ): Promise<{ readonly journal: Journal; readonly cutBytes: number }> {
    const folder = journalFolder(head.exhibit);
    const map = disk.open(storage.pathOf(`${folder}/blocks`), "update");
    try {
      const expected = head.volume.blockCount * SLOT_BYTES;
      if (map.sizeBytes() !== expected) {
        throw new OperatorError(
          "integrity",
          `Cannot resume from "${folder}/blocks": has ${map.sizeBytes()} bytes, expected ${expected}`,
        );
      }
      const log = disk.open(storage.pathOf(`${folder}/log`), "update");
      try {
        const logBytes = replayLog(log, `"${folder}/log"`, replay);
        const cutBytes = log.sizeBytes() - logBytes;
        if (cutBytes > 0) {
          log.truncate(logBytes);
          await log.sync();
        }
        return { journal: new Journal({ head, map, log, logBytes }), cutBytes };
      } catch (error) {
        log.close();
        throw error;
      }
    } catch (error) {
      map.close();
      throw error;
    }
  }

  /** Opens a journal for looking only: the store need not be open for writing. */
  static view(
    storage: LocalStorage,
    disk: Disk,
    head: JournalHead,
    replay: (entry: JournalEntry) => void,
  ): Journal {
    const folder = journalFolder(head.exhibit);
    const map = disk.open(storage.pathOf(`${folder}/blocks`), "read");
    const log = disk.open(storage.pathOf(`${folder}/log`), "read");
    const journal = new Journal({ head, map, log, logBytes: 0 });
    try {
      replayLog(log, `"${folder}/log"`, replay);
    } catch (error) {
      journal.close();
      throw error;
    }
    return journal;
  }

  /** Durable when it returns. */
  async append(entry: JournalEntry): Promise<void> {
    const line = encodeLogLine(entry);
    this.#log.write(line, this.#logBytes);
    await this.#log.sync();
    this.#logBytes += line.length;
  }

  /** Durable when it returns. */
  async writeSlots(blocks: ReadonlyMap<number, RecordedBlock>): Promise<void> {
    const indexes = [...blocks.keys()].sort((a, b) => a - b);
    for (let start = 0; start < indexes.length;) {
      let end = start + 1;
      while (end < indexes.length && indexes[end] === indexes[end - 1]! + 1) end++;
      const run = new Uint8Array((end - start) * SLOT_BYTES);
      for (let at = start; at < end; at++) {
        run.set(encodeSlot(indexes[at]!, blocks.get(indexes[at]!)!), (at - start) * SLOT_BYTES);
      }
      this.#map.write(run, indexes[start]! * SLOT_BYTES);
      start = end;
    }
    this.#cached = undefined;
    await this.#map.sync();
  }

  /** Makes slots empty again. Durable when it returns. */
  async eraseSlots(indexes: Iterable<number>): Promise<void> {
    const empty = new Uint8Array(SLOT_BYTES);
    for (const index of indexes) this.#map.write(empty, index * SLOT_BYTES);
    this.#cached = undefined;
    await this.#map.sync();
  }

  /** What is recorded of the block; `undefined` for nothing. */
  recorded(blockIndex: number): RecordedBlock | undefined {
    const segment = Math.floor(blockIndex / SEGMENT_BLOCKS);
    if (this.#cached?.segment !== segment) this.#cached = { segment, slots: this.#readSlots(segment) };
    const at = (blockIndex - segment * SEGMENT_BLOCKS) * SLOT_BYTES;
    return decodeSlot(this.#cached.slots.subarray(at, at + SLOT_BYTES), blockIndex);
  }

  /**
   * Segments with a slot that is not empty, in ascending order, and how many packs there must be for the highest
   * number in a slot, torn ones included. Reads the whole map: holes cost little.
   */
  scanSlots(): { readonly touched: readonly number[]; readonly packCount: number } {
    const count = Math.ceil(this.head.volume.blockCount / SEGMENT_BLOCKS);
    const touched: number[] = [];
    let packCount = 0;
    const slots = Buffer.alloc(SEGMENT_BLOCKS * SLOT_BYTES);
    for (let segment = 0; segment < count; segment++) {
      const got = this.#map.read(slots, segment * slots.length);
      if (slots.compare(EMPTY_SLOTS, 0, got, 0, got) === 0) continue;
      touched.push(segment);
      for (let at = 0; at < got; at += SLOT_BYTES) {
        packCount = Math.max(packCount, packCountOf(slots.readUInt32LE(at)));
      }
    }
    return { touched, packCount };
  }

  /** Once or more: after a commit whose last step failed the session is still ended. */
  close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#map.close();
    this.#log.close();
  }

  #readSlots(segment: number): Uint8Array {
    const first = segment * SEGMENT_BLOCKS;
    const count = Math.min(SEGMENT_BLOCKS, this.head.volume.blockCount - first);
    const slots = new Uint8Array(count * SLOT_BYTES);
    this.#map.read(slots, first * SLOT_BYTES);
    return slots;
  }
}

/**
 * Removes a journal whose exhibit is committed (or that has no head). The head goes first: what a crash
 * leaves after it is no journal any more. Removal is not erasure: the disk may keep what was in it. A folder
 * with something else in it is moved to quarantine.
 */
export async function removeJournal(storage: LocalStorage, disk: Disk, exhibit: ExhibitId): Promise<void> {
  const folder = storage.pathOf(journalFolder(exhibit));
  const isFolder = disk.stat(folder)?.kind === "directory";
  const openPacks = isFolder ? disk.list(folder).filter((name) => OPEN_PACK_NAME.test(name)) : [];
  for (const name of isFolder ? ["head.json", ...openPacks, "log", "blocks"] : []) {
    const kind = disk.stat(`${folder}/${name}`)?.kind;
    if (kind === "file" || kind === "symlink") disk.remove(`${folder}/${name}`);
  }
  if (isFolder && disk.list(folder).length === 0) disk.remove(folder);
  else await storage.quarantine(journalFolder(exhibit));
}
