/**
 * The packs that an acquisition has open, and what was put and is not recorded yet. As many packs are open as packers
 * are busy: at a low rate one. A full pack is closed while the next one fills; what it held is recorded when it is
 * durable, batch after batch in the order of closing.
 *
 * @see store-format.md, "Order of writes"
 */
import type { UnreadableEntry } from "../format/documents.ts";
import type { SegmentBlock } from "../format/segment.ts";
import type { Clock, StoredObject, VerifiedBlock } from "../model.ts";
import type { Contents } from "./_contents.ts";
import { packName } from "./_layout.ts";
import type { LocalStorage } from "./_local_storage.ts";
import { PackWriter } from "./_pack_writer.ts";
import type { PackedBlocks } from "./_packed_blocks.ts";
import type { Packers } from "./_packers.ts";
import { Pending } from "./_pending.ts";

/** Blocks recorded in one go where they take no room in a pack. */
const MAX_PENDING_BLOCKS = 65_536;

/** Names of open packs in a journal's folder. */
export const OPEN_PACK_NAME = /^open-\d{1,4}\.pack$/;

export interface PackingParts {
  readonly storage: LocalStorage;
  readonly contents: Contents;
  readonly clock: Clock;
  readonly blocks: PackedBlocks;
  readonly packers: Packers;
  /** The journal's, in the store. */
  readonly folder: string;
}

/** What is recorded in one go: a pack that is durable under its name, and the blocks that rely on it; or neither's. */
export interface Batch {
  readonly written: StoredObject | undefined;
  readonly pending: Pending;
}

interface OpenPack {
  readonly number: number;
  readonly writer: PackWriter;
  readonly pending: Pending;
}

export class Packing {
  readonly #parts: PackingParts;
  readonly #record: (batches: readonly Batch[]) => Promise<void>;
  /** By the position of their packer. */
  readonly #open: (OpenPack | undefined)[] = [];
  /** Blocks that take no room in an open pack. */
  #loose: Pending | undefined;
  /** Being closed and recorded, the oldest first. */
  readonly #closing = new Set<
    { readonly packs: readonly OpenPack[]; readonly pending: readonly Pending[] }
  >();
  /** Ends when all that was closed is recorded; never rejects. */
  #recorded: Promise<void> = Promise.resolve();
  #failure: unknown;

  /** @param record Records batches, durably; called for one closing after the other. */
  constructor(parts: PackingParts, record: (batches: readonly Batch[]) => Promise<void>) {
    this.#parts = parts;
    this.#record = record;
  }

  /** What was put of a block; `undefined` for nothing. */
  get(index: number): SegmentBlock | undefined {
    for (const pending of this.#all()) {
      const block = pending.get(index);
      if (block) return block;
    }
    return undefined;
  }

  isUnreadable(index: number): boolean {
    for (const pending of this.#all()) if (pending.get(index)) return pending.isUnreadable(index);
    return false;
  }

  get unreadable(): UnreadableEntry[] {
    return [...this.#all()].flatMap((pending) => pending.unreadable);
  }

  /** When the oldest of what was put was; `undefined` where nothing waits for being recorded. */
  get sinceMs(): number | undefined {
    const times = [...this.#waiting()].map((pending) => pending.sinceMs);
    return times.length === 0 ? undefined : Math.min(...times);
  }

  note(index: number, block: SegmentBlock, heldIn?: StoredObject): void {
    this.#forget(index);
    this.#loosely().note(index, block, heldIn);
  }

  noteUnreadable(entry: UnreadableEntry): void {
    this.#forget(entry.block);
    this.#loosely().noteUnreadable(entry);
  }

  /** Sees to it that a pack holds the block. Its bytes go back to the packers' buffers. */
  async put(index: number, block: VerifiedBlock): Promise<void> {
    const { blocks, contents, packers } = this.#parts;
    const { digest } = block;
    const stored = { state: "stored", digest } as const;
    const open = this.#open.find((pack) => pack?.writer.has(digest));
    if (open) {
      this.#forget(index);
      open.pending.note(index, stored);
      return packers.buffers?.giveBack(block.bytes);
    }
    // A copy counts once it was read back, which needs an identity: in an encrypted store a miss costs space.
    const held = contents.isEncrypted ? undefined : await blocks.isHeld(digest);
    if (held) {
      this.note(index, stored, { name: held.pack, sizeBytes: held.packBytes });
      return packers.buffers?.giveBack(block.bytes);
    }
    const pack = await this.#packForNext();
    this.#forget(index);
    pack.writer.add({ index, digest, bytes: block.bytes });
    pack.pending.note(index, stored);
  }

  /** Starts to close what is full. Waits where the packs before are not recorded yet. */
  async closeFull(): Promise<void> {
    this.#throwIfFailed();
    const isFull = (pack: OpenPack) => pack.writer.isFull || pack.pending.size >= MAX_PENDING_BLOCKS;
    const full = this.#open.filter((pack) => pack !== undefined).filter(isFull);
    if (full.length === 0 && (this.#loose?.size ?? 0) < MAX_PENDING_BLOCKS) return;
    while (this.#closing.size >= this.#parts.packers.count) await this.#oldestClosed();
    this.#close(full);
  }

  /** Closes all and waits until it is recorded. */
  async closeAll(): Promise<void> {
    this.#close(this.#open.filter((pack) => pack !== undefined));
    await this.#recorded;
    this.#throwIfFailed();
  }

  /** Gives up what is open. */
  abandon(): void {
    this.#failure ??= new Error("the acquisition was given up");
    for (const pack of this.#open) pack?.writer.abandon();
    for (const { packs } of this.#closing) for (const { writer } of packs) writer.abandon();
    this.#open.length = 0;
    this.#loose = undefined;
  }

  /** The first packer that has time; the next one is started only where all before it are busy. */
  async #packForNext(): Promise<OpenPack> {
    for (;;) {
      const busy: PackWriter[] = [];
      for (let position = 0; position < this.#parts.packers.count; position++) {
        const open = this.#open[position] ?? await this.#start(position);
        if (!open.writer.isBusy) return open;
        busy.push(open.writer);
      }
      await Promise.race(busy.map((writer) => writer.lessBusy()));
    }
  }

  async #start(position: number): Promise<OpenPack> {
    const { packers, storage, contents, clock, folder } = this.#parts;
    const number = this.#freeNumber();
    const path = storage.pathOf(`${folder}/open-${number}.pack`);
    const writer = new PackWriter(packers.start(position, { path, cipher: await contents.packCipher() }));
    return this.#open[position] = { number, writer, pending: new Pending(clock.monotonicMs()) };
  }

  #freeNumber(): number {
    const closing = [...this.#closing].flatMap(({ packs }) => packs);
    const taken = new Set([...this.#open, ...closing].map((pack) => pack?.number));
    let number = 0;
    while (taken.has(number)) number++;
    return number;
  }

  #close(packs: readonly OpenPack[]): void {
    const loose = this.#loose;
    if (packs.length === 0 && !loose) return;
    this.#loose = undefined;
    for (const [position, pack] of this.#open.entries()) {
      if (pack && packs.includes(pack)) this.#open[position] = undefined;
    }
    const pending = [...packs.map((pack) => pack.pending), ...(loose ? [loose] : [])];
    const closing = { packs, pending };
    this.#closing.add(closing);
    const closed = Promise.all(packs.map((pack) => this.#closePack(pack)));
    // Awaited below; until then nobody listens.
    closed.catch(() => undefined);
    const before = this.#recorded;
    this.#recorded = (async () => {
      await before;
      try {
        const batches: Batch[] = await closed;
        if (loose) batches.push({ written: undefined, pending: loose });
        this.#throwIfFailed();
        await this.#record(batches);
        this.#closing.delete(closing);
      } catch (error) {
        // What was put stays where it is found: it is not recorded, and nothing more will be.
        this.#failure ??= error;
      }
    })();
  }

  /** Durable under its name. */
  async #closePack({ writer, pending }: OpenPack): Promise<Batch> {
    const { storage, contents, blocks } = this.#parts;
    try {
      const closed = await writer.close();
      const name = packName(closed.digest, contents.ending);
      await storage.putFile(name, closed);
      blocks.addPack({ ...closed, name });
      return { written: { name, sizeBytes: closed.sizeBytes }, pending };
    } catch (error) {
      writer.abandon();
      throw error;
    }
  }

  async #oldestClosed(): Promise<void> {
    const before = this.#closing.size;
    await this.#recorded;
    this.#throwIfFailed();
    if (this.#closing.size >= before) throw new Error("a closing ended and is still under way");
  }

  #loosely(): Pending {
    return this.#loose ??= new Pending(this.#parts.clock.monotonicMs());
  }

  /** A later word on a block replaces the earlier one, whatever pack that was put in. */
  #forget(index: number): void {
    for (const pending of this.#waiting()) pending.forget(index);
  }

  /** Not being closed yet. */
  *#waiting(): Iterable<Pending> {
    if (this.#loose) yield this.#loose;
    for (const pack of this.#open) if (pack) yield pack.pending;
  }

  /** The newest word first. */
  *#all(): Iterable<Pending> {
    yield* this.#waiting();
    for (const { pending } of [...this.#closing].reverse()) yield* pending;
  }

  #throwIfFailed(): void {
    if (this.#failure) throw this.#failure;
  }
}
