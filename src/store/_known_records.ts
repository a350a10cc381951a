/**
 * Which blocks the packs of an exhibit were found to hold, while it is verified. In memory for as many as a
 * small exhibit has; beyond that in an index on disk that is gone at the end, so that memory stays bounded.
 */
import type { FooterEntry } from "../format/pack.ts";
import type { Digest, ObjectName } from "../model.ts";
import { Index } from "./_index.ts";

/** 2 to 3 MiB of memory; a volume of 8 GiB in blocks of 512 KiB has 16,384. */
const MAX_IN_MEMORY = 16_384;

export class KnownRecords {
  readonly #packs = new Map<Digest, ObjectName>();
  readonly #options: { readonly isBlind: boolean };
  #rest: Index | undefined;

  /** @param options `isBlind`: for an encrypted store, whose digests must not reach a disk in the clear. */
  constructor(options: { readonly isBlind: boolean }) {
    this.#options = options;
  }

  addPack(
    pack: { readonly name: ObjectName; readonly sizeBytes: number; readonly entries: readonly FooterEntry[] },
  ): void {
    if (pack.entries.length === 0) return;
    if (this.#packs.size + pack.entries.length > MAX_IN_MEMORY) {
      this.#rest ??= Index.temporary(this.#options);
      this.#rest.addPack(pack);
    } else for (const { digest } of pack.entries) this.#packs.set(digest, pack.name);
  }

  /** A pack that holds the block; `undefined` where none does. */
  packOf(digest: Digest): ObjectName | undefined {
    return this.#packs.get(digest) ?? this.#rest?.lookUp(digest)?.pack;
  }

  close(): void {
    this.#rest?.close();
  }
}
