/**
 * Repairs an exhibit that can be opened. Sound files take the place of damaged ones; good records of damaged packs, and
 * lost blocks that another pack, another copy or the source still has, go into new packs; then a new inventory is
 * published. The manifest and its signatures stay as they are. A block counts only with the digest that the signed
 * segments tell: what is nowhere found stays lost, and is told by its place.
 *
 * New packs are durable before the inventory, and that before anything is moved out of its place.
 *
 * @see store-format.md, "Repairing", "Order of writes"
 */
import { isFault, OperatorError } from "../errors.ts";
import { sha256 } from "../format/digests.ts";
import { encodeInventory } from "../format/inventory.ts";
import { segmentCount, segmentLength } from "../format/segment.ts";
import type { SigningKey } from "../keys.ts";
import {
  type Digest,
  type ObjectName,
  SEGMENT_BLOCKS,
  type StoredObject,
  type VerifiedBlock,
} from "../model.ts";
import { formatTime } from "../units.ts";
import type { Exhibit } from "./_exhibit.ts";
import type { Finding } from "./_findings.ts";
import { inventoryName, parseName } from "./_layout.ts";
import { OtherPacks } from "./_repair_others.ts";
import { type RepairCopy, type RepairParts, type RepairStep, restoreFrom } from "./_repair_files.ts";
import { blockOf, SalvagePacks } from "./_repair_packs.ts";
import {
  type LostBlock,
  lostBlocks,
  type PackDamage,
  type SalvageSource,
  segmentIfSound,
  type Survey,
  surveyExhibit,
} from "./_repair_survey.ts";
import { putInventory } from "./_signatures.ts";
import { BlockCheck } from "./_verify_blocks.ts";
import { isUnopened } from "./_verify_unopened.ts";

/** Reads lost blocks from their source again. */
export type Refetch = (wanted: {
  readonly exhibit: Exhibit;
  /** In ascending order. May be asked for again. */
  lost(): AsyncIterable<LostBlock>;
  /** False where it is not the block that was acquired: it is not taken. */
  take(index: number, block: VerifiedBlock): Promise<boolean>;
}) => Promise<void>;

export interface RepairOptions {
  readonly copy: RepairCopy | undefined;
  /** Signs new inventories; `undefined`: nothing is changed, only looked at. */
  readonly key: SigningKey | undefined;
  readonly signal: AbortSignal;
  readonly refetch: Refetch | undefined;
  /** Told of what is damaged, and what will be done, before it is. */
  onSteps(steps: readonly RepairStep[], lost: Pick<Survey, "lostBlocks" | "lostBlocksInCopy">): void;
  /** What is damaged still: files, and byte ranges of the volume. */
  onFinding(finding: Finding): void;
  onProgress?(done: { readonly readBytes: number; readonly totalBytes: number }): void;
}

export interface RepairSummary {
  /** Files that a sound one took the place of. */
  readonly restoredFiles: number;
  /** Records that went from damaged packs into new ones. */
  readonly salvagedBlocks: number;
  /** Lost blocks that came from other packs of the store, from the other copy, from the source. */
  readonly foundBlocks: number;
  readonly copiedBlocks: number;
  readonly refetchedBlocks: number;
  readonly newPacks: number;
  /** Name of the new inventory; null: the one that there is counts still. */
  readonly inventory: ObjectName | null;
  /** Blocks and files that are damaged or lost still. */
  readonly findings: number;
  /** Packs that nothing given opens, sound as files or not. */
  readonly closedPacks: number;
}

/** What a source ends with that was asked for lost blocks. */
const OF_SOURCE: readonly string[] = ["access", "budget", "not_found", "source"];

export class ExhibitRepair {
  readonly #parts: RepairParts;
  readonly #exhibit: Exhibit;
  readonly #options: RepairOptions;
  readonly #check: BlockCheck;
  readonly #packs: SalvagePacks;
  readonly #others: OtherPacks;
  readonly #counts = {
    salvagedBlocks: 0,
    foundBlocks: 0,
    copiedBlocks: 0,
    refetchedBlocks: 0,
    restoredFiles: 0,
  };
  #findings = 0;
  #failure: OperatorError | undefined;
  /** Puts are one after the other, whoever brings blocks at the same time. */
  #lastPut: Promise<unknown> = Promise.resolve();

  constructor(parts: RepairParts, exhibit: Exhibit, options: RepairOptions) {
    this.#parts = parts;
    this.#exhibit = exhibit;
    this.#options = options;
    const blockBytes = exhibit.shape.blockSizeBytes;
    this.#check = new BlockCheck(exhibit, {
      isBlind: parts.contents.isEncrypted,
      report: (finding) => this.#report(finding),
    });
    this.#packs = new SalvagePacks(parts, { blockBytes, onPack: (pack) => this.#check.addGood(pack) });
    this.#others = new OtherPacks(parts, exhibit);
  }

  async run(): Promise<RepairSummary> {
    const { signal, onProgress, copy } = this.#options;
    const input = { parts: this.#parts, exhibit: this.#exhibit, copy, check: this.#check, signal };
    const survey = await surveyExhibit({ ...input, ...(onProgress && { onProgress }) });
    const steps = [...survey.files, ...survey.packs];
    if (steps.length > 0 || survey.lostBlocks > 0) this.#options.onSteps(steps, survey);
    const { key } = this.#options;
    if (survey.packs.some(({ remedy }) => remedy !== "copy") || survey.lostBlocks > 0) this.#refuseKey(key);
    if (!key) return this.#summary(survey, null);
    await this.#restore(survey);
    await this.#gather(survey);
    const isWhole = await this.#tellLost(survey);
    const inventory = await this.#publish(survey, { key, isWhole });
    if (this.#failure) throw this.#failure;
    return this.#summary(survey, inventory);
  }

  close(): void {
    this.#packs.abandon();
    this.#others.close();
    this.#check.close();
  }

  #summary({ closedPacks, packs }: Survey, inventory: ObjectName | null): RepairSummary {
    return {
      ...this.#counts,
      newPacks: this.#packs.packs.length,
      inventory,
      findings: this.#findings,
      closedPacks: closedPacks.length + packs.filter((pack) => pack.isClosed && isUnhelped(pack)).length,
    };
  }

  #report(finding: Finding): void {
    this.#findings++;
    this.#options.onFinding(finding);
  }

  /** One key must have signed both: an inventory by another would leave an exhibit that nobody can open. */
  #refuseKey(key: SigningKey | undefined): void {
    const { id, manifestCheck } = this.#exhibit;
    const signers = manifestCheck.held.map((held) => held.key.fingerprint);
    if (!key || signers.includes(key.fingerprint)) return;
    throw wrongKey(id, key, signers);
  }

  async #restore({ files, packs }: Survey): Promise<void> {
    const { storage, contents, readers } = this.#parts;
    const { blockSizeBytes: blockBytes } = this.#exhibit.shape;
    const closed = new Set(packs.filter(({ isClosed }) => isClosed).map(({ file }) => file));
    for (const { file, remedy } of [...files, ...packs]) {
      this.#options.signal.throwIfAborted();
      if (remedy !== "copy") continue;
      const { sizeBytes } = await restoreFrom(this.#options.copy!, storage, file);
      this.#counts.restoredFiles++;
      if (parseName(file)?.kind !== "pack" || closed.has(file)) continue;
      const key = await contents.packKey(file);
      const { good } = await readers.check({ name: file, key, blockBytes, depth: "records" });
      this.#check.addGood({ name: file, sizeBytes, entries: good });
    }
  }

  /** Puts into new packs what damaged ones hold and, of lost blocks, what can be had elsewhere. */
  async #gather({ packs, closedPacks }: Survey): Promise<void> {
    for (const { sources } of packs) for (const source of sources) await this.#salvage(source);
    // What closed packs hold is not known: nothing is called lost, and nothing is asked for.
    if (closedPacks.length > 0) return await this.#packs.finish();
    let isLacking = false;
    for await (const lost of this.#lost()) {
      const isFound = await this.#findInStore(lost) || await this.#findInCopy(lost);
      isLacking ||= !isFound;
    }
    const { refetch } = this.#options;
    if (isLacking && refetch) await this.#refetch(refetch);
    await this.#packs.finish();
  }

  /** Where the source fails, what was had by then is kept, and that it failed is told at the end. */
  async #refetch(refetch: Refetch): Promise<void> {
    try {
      await refetch({
        exhibit: this.#exhibit,
        lost: () => this.#lost(),
        take: (index, block) => this.#take(index, block),
      });
    } catch (error) {
      const isOfSource = error instanceof OperatorError && OF_SOURCE.includes(error.code);
      if (!isOfSource) throw error;
      this.#failure = error;
    }
  }

  async *#lost(): AsyncIterable<LostBlock> {
    const { signal } = this.#options;
    for await (const lost of lostBlocks(this.#exhibit, { check: this.#check, signal })) {
      if (!this.#packs.has(lost.digest)) yield lost;
    }
  }

  async #salvage({ name, contents, isOfCopy, entries }: SalvageSource): Promise<void> {
    const wanted = entries.filter(({ digest }) => !this.#check.holds(digest) && !this.#packs.has(digest));
    if (wanted.length === 0) return;
    const file = await contents.openDamagedPack(name);
    try {
      for (const entry of wanted) {
        this.#options.signal.throwIfAborted();
        if (this.#check.holds(entry.digest) || await this.#findPack(entry.digest)) continue;
        await this.#packs.put(blockOf({ name, file }, entry, this.#exhibit.shape.blockSizeBytes));
        this.#counts[isOfCopy ? "copiedBlocks" : "salvagedBlocks"]++;
      }
    } finally {
      file.close();
    }
  }

  /** A sound pack that has it already: a repair of another exhibit, or one that was cut short, made it. */
  async #findPack(digest: Digest): Promise<boolean> {
    const found = await this.#others.find(digest);
    if (!found || !("pack" in found)) return false;
    this.#check.addGood(found.pack);
    this.#counts.foundBlocks++;
    return true;
  }

  async #findInStore({ digest }: LostBlock): Promise<boolean> {
    const found = await this.#others.find(digest);
    if (!found) return false;
    this.#counts.foundBlocks++;
    if ("block" in found) await this.#packs.put(found.block);
    else this.#check.addGood(found.pack);
    return true;
  }

  async #findInCopy({ index, digest }: LostBlock): Promise<boolean> {
    const { copy } = this.#options;
    if (!copy?.contents.isReadable) return false;
    try {
      const bytes = await copy.blocks().read(digest);
      if (bytes.length !== this.#exhibit.shape.blockSizeBytes) return false;
      await this.#packs.put({ digest, index, bytes });
      this.#counts.copiedBlocks++;
      return true;
    } catch (error) {
      if (!isFault(error) && !isUnopened(error)) throw error;
      return false;
    }
  }

  async #take(index: number, { digest, bytes }: VerifiedBlock): Promise<boolean> {
    const expected = await this.#exhibit.block(index);
    if (expected?.digest !== digest || bytes.length !== this.#exhibit.shape.blockSizeBytes) return false;
    const put = this.#lastPut.then(() => this.#packs.put({ digest, index, bytes }));
    this.#lastPut = put.catch(() => undefined); // whoever brought it is told
    await put;
    this.#counts.refetchedBlocks++;
    return true;
  }

  /** Tells what is damaged still. True where nothing is. */
  async #tellLost({ files, packs, closedPacks }: Survey): Promise<boolean> {
    for (const { file, remedy, state } of files) {
      if (remedy === "copy") continue;
      const message = `"${file}" is ${state}, and no sound copy is known`;
      this.#report({ code: state === "missing" ? "file_missing" : "file_damaged", file, message });
    }
    const { shape, manifest } = this.#exhibit;
    for (let position = 0; position < segmentCount(shape); position++) {
      this.#options.signal.throwIfAborted();
      const firstBlock = position * SEGMENT_BLOCKS;
      const segment = await segmentIfSound(this.#exhibit, position);
      if (segment) this.#check.check(segment, firstBlock, { hasUnopenedPacks: closedPacks.length > 0 });
      else {
        const file = this.#exhibit.segmentFile(manifest.segments[position]!);
        const message = "their states and digests are not known while the segment is damaged or missing";
        const range = { firstBlock, blockCount: segmentLength(shape, position) };
        this.#check.report({ code: "segment_unusable", file, message }, range);
      }
    }
    const isWhole = this.#findings === 0 && closedPacks.length === 0;
    // A pack that is missing, or closed, is left in the list while its blocks may still be in nothing else.
    for (const { file, state } of isWhole ? [] : packs.filter(isUnhelped)) {
      const code = state === "missing" ? "file_missing" : "file_damaged";
      this.#report({ code, file, message: `"${file}" is ${state}` });
    }
    return isWhole;
  }

  /** Publishes where the exhibit lies now, if that is elsewhere than before. */
  async #publish(
    { packs }: Survey,
    { key, isWhole }: { readonly key: SigningKey; readonly isWhole: boolean },
  ): Promise<ObjectName | null> {
    const { storage, world } = this.#parts;
    const { inventory, inventoryFile, id } = this.#exhibit;
    const gone = new Set(
      packs.filter((pack) => pack.remedy !== "copy" && (isWhole || !isUnhelped(pack))).map(({ file }) =>
        file
      ),
    );
    const more: StoredObject[] = [...this.#others.named, ...this.#packs.packs];
    if (gone.size + more.length === 0) return null;
    const files = [...inventory.files.filter(({ name }) => !gone.has(name)), ...more];
    const encode = (committedAt: string) => encodeInventory({ ...inventory, committedAt, files });
    // Where all records were sound the new pack may be the old one, byte for byte: then nothing lies elsewhere.
    if (inventoryName(id, sha256(encode(inventory.committedAt))) === inventoryFile) return null;
    // The newest counts, and the clock of who wrote the one before may have been ahead.
    const committedMs = Math.max(world.clock.nowMs(), Date.parse(inventory.committedAt) + 1);
    const bytes = encode(formatTime(committedMs));
    // Blocks may have turned out to be lost only when their segment was there again.
    this.#refuseKey(key);
    return await putInventory(storage, { exhibit: id, bytes, key });
  }
}

/** Missing, and nothing of it could be had: only its name tells that it was there. Or damaged, and not opened. */
function isUnhelped({ remedy, isClosed }: PackDamage): boolean {
  return remedy === "none" || (isClosed && remedy !== "copy");
}

/** Refuses a key that did not sign the manifest. */
export function wrongKey(id: string, key: SigningKey, signers: readonly string[]): OperatorError {
  return new OperatorError(
    "identity",
    `Cannot repair "${id}": ${key.fingerprint} did not sign its manifest, expected ${signers.join(" or ")}`,
    {
      facts: { exhibit: id, signer: key.fingerprint },
      hints: [
        "The new inventory must be signed by a key that signed the manifest: give that one with --sign-key.",
        `Or add a signature by this one first: "coldcase sign ${id}".`,
      ],
    },
  );
}
