/**
 * New packs of blocks that were salvaged, copied or read again while an exhibit is repaired: each block once, each pack
 * durable under its name and read back before anything relies on it. One pack is open at a time.
 *
 * @see store-format.md, "Repairing"
 */
import { OperatorError } from "../errors.ts";
import { decodeRecordHeader, type FooterEntry, RECORD_HEADER_BYTES } from "../format/pack.ts";
import type { ReadableFile } from "../cipher_age.ts";
import type { Digest, ObjectName, StoredObject } from "../model.ts";
import { packName, TEMPORARY_FOLDER } from "./_layout.ts";
import type { PackBlock } from "./_pack_encoder.ts";
import { openRecord, readExactly } from "./_pack_reader.ts";
import { PackFile } from "./_pack_file.ts";
import { PACK_TARGET_BYTES } from "./_pack_writer.ts";
import type { RepairParts } from "./_repair_files.ts";
import { isUnopened } from "./_verify_unopened.ts";

/** A pack that was written, and what it holds. */
export interface NewPack extends StoredObject {
  readonly entries: readonly FooterEntry[];
}

export class SalvagePacks {
  readonly packs: StoredObject[] = [];
  readonly #parts: RepairParts;
  readonly #blockBytes: number;
  readonly #onPack: (pack: NewPack) => void;
  #open: { readonly file: PackFile; readonly digests: Set<Digest> } | undefined;

  /** @param options `onPack` is told of each pack when it is durable and was read back. */
  constructor(
    parts: RepairParts,
    options: { readonly blockBytes: number; onPack(pack: NewPack): void },
  ) {
    this.#parts = parts;
    this.#blockBytes = options.blockBytes;
    this.#onPack = options.onPack;
  }

  /** Whether the pack that is being written has the block. */
  has(digest: Digest): boolean {
    return this.#open?.digests.has(digest) ?? false;
  }

  /** Takes a block, whose digest was checked. */
  async put(block: PackBlock): Promise<void> {
    if (this.has(block.digest)) return;
    this.#open ??= await this.#begin();
    this.#open.digests.add(block.digest);
    if (this.#open.file.add(block) >= PACK_TARGET_BYTES) await this.finish();
  }

  /** Closes the pack that is open. */
  async finish(): Promise<void> {
    const open = this.#open;
    if (!open) return;
    const { storage, contents, blocks } = this.#parts;
    const closed = await open.file.close();
    this.#open = undefined;
    const name = packName(closed.digest, contents.ending);
    await storage.putFile(name, closed);
    await this.#readBack(name);
    blocks().addPack({ ...closed, name });
    const { sizeBytes, entries } = closed;
    this.packs.push({ name, sizeBytes });
    this.#onPack({ name, sizeBytes, entries });
  }

  /** Gives up what is open: its file is left to the next who opens the store for writing. */
  abandon(): void {
    this.#open?.file.abandon();
    this.#open = undefined;
  }

  async #begin() {
    const { storage, contents, disk } = this.#parts;
    await storage.makeFolder(TEMPORARY_FOLDER);
    const path = storage.pathOf(`${TEMPORARY_FOLDER}/repair.pack`);
    const file = new PackFile(disk, { path, cipher: await contents.packCipher() });
    return { file, digests: new Set<Digest>() };
  }

  /** The only other copy may be a damaged one: what was written must be what can be read. */
  async #readBack(name: ObjectName): Promise<void> {
    const { contents, readers } = this.#parts;
    // Who was let in later can read old packs, and not those for the store's own recipients.
    const opening = await contents.packKey(name).then(
      (key) => ({ key, depth: "records" as const }),
      (error) => {
        if (!isUnopened(error)) throw error;
        return { key: undefined, depth: "file" as const };
      },
    );
    const { findings } = await readers.check({ name, blockBytes: this.#blockBytes, ...opening });
    if (findings.length === 0) return;
    throw new OperatorError("storage", `Cannot use pack "${name}", just written: ${findings[0]!.message}`, {
      facts: { file: name },
    });
  }
}

/** A record's block as a new pack takes it. Throws `integrity` or `format` where it is damaged. */
export function blockOf(
  pack: { readonly name: ObjectName; readonly file: ReadableFile },
  entry: FooterEntry,
  blockBytes: number,
): PackBlock {
  const { digest, offset } = entry;
  const record = readExactly(pack, { offset, length: RECORD_HEADER_BYTES + entry.storedBytes });
  const place = { name: pack.name, offset };
  const { blockIndex } = decodeRecordHeader(record, place);
  return { digest, index: blockIndex, bytes: openRecord(record, { ...place, digest, blockBytes }) };
}
