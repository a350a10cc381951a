/**
 * Blocks of an exhibit that lie in packs which its inventory does not name: those of other exhibits, of an acquisition
 * under way, or of a repair that was cut short before its inventory. A pack that is sound is named from then on; of a
 * damaged one good records are taken.
 */
import { isFault } from "../errors.ts";
import type { Digest, ObjectName, StoredObject } from "../model.ts";
import type { Exhibit } from "./_exhibit.ts";
import { type BlockPlace, Index } from "./_index.ts";
import { PACKS_FOLDER, parseName } from "./_layout.ts";
import type { PackBlock } from "./_pack_encoder.ts";
import type { RepairParts } from "./_repair_files.ts";
import { blockOf, type NewPack } from "./_repair_packs.ts";
import { isUnopened } from "./_verify_unopened.ts";

/** Where a block was found: in a pack that is sound, or in a record that was read. */
export type Found = { readonly pack: NewPack } | { readonly block: PackBlock };

export class OtherPacks {
  /** Sound packs that hold what was looked for. */
  readonly named: StoredObject[] = [];
  readonly #parts: RepairParts;
  readonly #exhibit: Exhibit;
  /** Damaged ones that were looked through. */
  readonly #damaged = new Set<ObjectName>();
  #index: Index | undefined;

  constructor(parts: RepairParts, exhibit: Exhibit) {
    this.#parts = parts;
    this.#exhibit = exhibit;
  }

  async find(digest: Digest): Promise<Found | undefined> {
    const index = this.#index ??= await this.#read();
    const place = index.lookUp(digest);
    if (!place) return undefined;
    try {
      return await this.#soundPack(place) ?? { block: await this.#record(place, digest) };
    } catch (error) {
      if (!isFault(error) && !isUnopened(error)) throw error;
      return undefined;
    }
  }

  close(): void {
    this.#index?.close();
  }

  async #read(): Promise<Index> {
    const { storage, contents, blocks } = this.#parts;
    const own = new Set(this.#exhibit.inventory.files.map(({ name }) => name));
    const index = Index.temporary({ isBlind: contents.isEncrypted });
    for await (const { name, sizeBytes } of storage.list(`${PACKS_FOLDER}/`)) {
      if (own.has(name) || parseName(name)?.kind !== "pack") continue;
      try {
        index.addPack({ name, sizeBytes, entries: await blocks().entriesOf(name) });
      } catch (error) {
        // It is no pack of this exhibit: nothing is lost with it here.
        if (!isFault(error) && !isUnopened(error)) throw error;
      }
    }
    return index;
  }

  async #soundPack({ pack: name, packBytes: sizeBytes }: BlockPlace): Promise<Found | undefined> {
    if (this.#damaged.has(name)) return undefined;
    const { readers, contents } = this.#parts;
    const { blockSizeBytes: blockBytes } = this.#exhibit.shape;
    const key = await contents.packKey(name);
    const check = await readers.check({ name, key, blockBytes, depth: "records" });
    if (check.findings.length > 0) {
      this.#damaged.add(name);
      return undefined;
    }
    this.named.push({ name, sizeBytes });
    return { pack: { name, sizeBytes, entries: check.good } };
  }

  async #record({ pack: name, ...entry }: BlockPlace, digest: Digest): Promise<PackBlock> {
    const file = await this.#parts.contents.openPack(name);
    try {
      return blockOf({ name, file }, { ...entry, digest }, this.#exhibit.shape.blockSizeBytes);
    } finally {
      file.close();
    }
  }
}
