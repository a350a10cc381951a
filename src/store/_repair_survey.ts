/**
 * What is damaged of an exhibit that can be opened: every file by its digest, every pack record by record, and the stored
 * blocks that no good record holds. Changes nothing. Where a pack is missing, what lies of it in quarantine counts as
 * the damaged pack: a repair that was cut short, or another command, may have put it there.
 *
 * @see store-format.md, "Repairing"
 */
import type { ReadableFile } from "../cipher_age.ts";
import { isFault } from "../errors.ts";
import { type FooterEntry, MAX_PACK_BYTES } from "../format/pack.ts";
import { segmentCount } from "../format/segment.ts";
import { type Digest, type ObjectName, SEGMENT_BLOCKS, type StoredObject } from "../model.ts";
import type { Contents } from "./_contents.ts";
import type { Exhibit } from "./_exhibit.ts";
import { KnownRecords } from "./_known_records.ts";
import { parseName, QUARANTINE_FOLDER } from "./_layout.ts";
import type { PackCheck } from "./_pack_check.ts";
import { type RepairCopy, type RepairParts, type RepairStep, stateOf, stepFor } from "./_repair_files.ts";
import { blockOf } from "./_repair_packs.ts";
import { entriesOf } from "./_transcode_pack.ts";
import type { BlockCheck } from "./_verify_blocks.ts";
import { isUnopened } from "./_verify_unopened.ts";

/** Good records of a file that is, or was, a damaged pack, here or in the other copy. */
export interface SalvageSource {
  readonly name: ObjectName;
  readonly contents: Contents;
  readonly isOfCopy: boolean;
  readonly entries: readonly FooterEntry[];
}

/** A pack of the inventory that is not sound. */
export interface PackDamage extends RepairStep {
  /** Nothing given opens what is there: others may have it opened, so it stays where it is. */
  readonly isClosed: boolean;
  readonly sources: readonly SalvageSource[];
}

/** A stored block that no good record of the exhibit holds. */
export interface LostBlock {
  readonly index: number;
  readonly digest: Digest;
}

export interface Survey {
  /** Files other than packs. */
  readonly files: readonly RepairStep[];
  readonly packs: readonly PackDamage[];
  /** Packs that are what their names say, and that none of the identities opens. */
  readonly closedPacks: readonly ObjectName[];
  /** Blocks that are neither in sound packs nor in what can be salvaged or taken whole. */
  readonly lostBlocks: number;
  /** Of these: how many the other copy seems to have. */
  readonly lostBlocksInCopy: number;
}

export interface SurveyInput {
  readonly parts: RepairParts;
  readonly exhibit: Exhibit;
  readonly copy: RepairCopy | undefined;
  /** Is told of the good and the bad records of the packs. */
  readonly check: BlockCheck;
  readonly signal: AbortSignal;
  onProgress?(done: { readonly readBytes: number; readonly totalBytes: number }): void;
}

export async function surveyExhibit(input: SurveyInput): Promise<Survey> {
  const { parts, exhibit, copy } = input;
  const files: RepairStep[] = [];
  const packs: StoredObject[] = [];
  for (const file of exhibit.inventory.files) {
    if (parseName(file.name)?.kind === "pack") packs.push(file);
    else {
      const step = await stepFor({ storage: parts.storage, copy }, file.name);
      if (step) files.push(step);
    }
  }
  // Which records can be had again, beside those of sound packs.
  const coming = new KnownRecords({ isBlind: parts.contents.isEncrypted });
  try {
    const surveyed = await surveyPacks(input, packs, coming);
    const lost = { lostBlocks: 0, lostBlocksInCopy: 0 };
    // While packs are closed what they hold is not known, and nothing is called lost.
    const isKnown = surveyed.closedPacks.length === 0;
    for await (const { digest } of isKnown ? lostBlocks(exhibit, input) : []) {
      if (coming.packOf(digest)) continue;
      lost.lostBlocks++;
      if (copy?.contents.isReadable && await copy.blocks().find(digest)) lost.lostBlocksInCopy++;
    }
    return { files, ...surveyed, ...lost };
  } finally {
    coming.close();
  }
}

async function surveyPacks(
  input: SurveyInput,
  packs: readonly StoredObject[],
  coming: KnownRecords,
): Promise<Pick<Survey, "packs" | "closedPacks">> {
  const { parts, copy, check } = input;
  const damages: PackDamage[] = [];
  const closedPacks: ObjectName[] = [];
  const totalBytes = packs.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  let readBytes = 0;
  for (const { name, sizeBytes } of packs) {
    input.signal.throwIfAborted();
    await parts.world.clock.sleep(0, input.signal);
    const found = await checkOne(input, name);
    if (found === "closed") closedPacks.push(name);
    else if (found?.findings.length === 0) check.addGood({ name, sizeBytes, entries: found.good });
    else damages.push(await damageOf(input, name, found));
    readBytes += sizeBytes;
    input.onProgress?.({ readBytes, totalBytes });
  }
  for (const { file: name, remedy, isClosed, sources } of damages) {
    if (remedy === "copy" && isClosed) {
      closedPacks.push(name);
      continue;
    }
    const entries = remedy === "copy"
      ? await copy!.blocks().entriesOf(name)
      : sources.flatMap((source) => source.entries);
    coming.addPack({ name, sizeBytes: 0, entries });
  }
  return { packs: damages, closedPacks };
}

async function damageOf(
  input: SurveyInput,
  name: ObjectName,
  found: LookedAt | undefined,
): Promise<PackDamage> {
  const { parts: { storage }, copy } = input;
  if (found) input.check.addBad({ name, sizeBytes: 0, entries: found.bad });
  const state = found ? "damaged" : "missing";
  if (copy && await stateOf(copy.storage, name) === "sound") {
    return { file: name, state, remedy: "copy", isClosed: !await isReadable(copy, name), sources: [] };
  }
  const sources: SalvageSource[] = [];
  const { contents } = input.parts;
  if (found && found.good.length > 0) {
    sources.push({ name, contents, isOfCopy: false, entries: found.good });
  }
  for await (const set of storage.list(`${QUARANTINE_FOLDER}/`)) {
    if (!set.name.endsWith(`-${name.replaceAll("/", "-")}`)) continue;
    const check = await checkOne(input, set.name);
    if (check && check !== "closed" && check.good.length > 0) {
      sources.push({ name: set.name, contents, isOfCopy: false, entries: check.good });
    }
  }
  const there = copy && await checkOne({ ...input, parts: copy }, name);
  if (copy && there && there !== "closed" && there.good.length > 0) {
    sources.push({ name, contents: copy.contents, isOfCopy: true, entries: there.good });
  }
  const goodRecords = new Set(sources.flatMap(({ entries }) => entries.map(({ digest }) => digest))).size;
  const isClosed = found?.isClosed ?? false;
  const remedy = goodRecords > 0 ? "salvage" : found && !isClosed ? "set_aside" : "none";
  return { file: name, state, remedy, isClosed, goodRecords, badRecords: found?.bad.length ?? 0, sources };
}

/** Whether it can be looked into there; of a plain store it always can. */
async function isReadable(copy: RepairCopy, name: ObjectName): Promise<boolean> {
  try {
    await copy.contents.packKey(name);
    return true;
  } catch (error) {
    if (!isUnopened(error)) throw error;
    return false;
  }
}

/** What is known of a pack; `isClosed`: nothing given opens it. */
interface LookedAt extends PackCheck {
  readonly isClosed: boolean;
}

/** Where a pack is looked at, and of what exhibit it is. */
interface Looking {
  readonly parts: RepairCopy;
  readonly exhibit: Exhibit;
}

/** `undefined`: there is nothing that could be a pack. `closed`: sound as a file, and nothing opens it. */
async function checkOne(
  input: Looking,
  name: ObjectName,
): Promise<LookedAt | "closed" | undefined> {
  const { parts: { storage, contents, readers }, exhibit } = input;
  const damaged: LookedAt = { readBytes: 0, findings: [], good: [], bad: [], isClosed: false };
  const because = (message: string): LookedAt => ({
    ...damaged,
    findings: [{ code: "file_damaged", file: name, message }],
  });
  try {
    const stat = await storage.stat(name);
    if (!stat) return undefined;
    if (stat.sizeBytes > MAX_PACK_BYTES) return because("larger than any pack");
    const opening = await contents.packKey(name).then((key) => ({ key, error: undefined }), (error) => {
      if (!isFault(error) && !isUnopened(error)) throw error;
      return { key: undefined, error: error as unknown };
    });
    const isOpened = opening.error === undefined;
    const check = await readers.check({
      name,
      key: opening.key,
      blockBytes: exhibit.shape.blockSizeBytes,
      depth: isOpened ? "records" : "file",
    });
    if (!isOpened && check.findings.length === 0) return "closed";
    // What fails at once where a file is read that must be whole may hold sound records nevertheless.
    const records = isFault(opening.error) ? await salvageable(input, name) : {};
    return { ...check, ...records, isClosed: isUnopened(opening.error) };
  } catch (error) {
    if (!isFault(error)) throw error;
    return because(error.message);
  }
}

/** The records of a pack that does not open as a whole one. */
async function salvageable(
  { parts: { contents }, exhibit }: Looking,
  name: ObjectName,
): Promise<Pick<PackCheck, "good" | "bad">> {
  const [good, bad]: [FooterEntry[], FooterEntry[]] = [[], []];
  let file: ReadableFile | undefined;
  try {
    file = await contents.openDamagedPack(name);
    for (const entry of entriesOf({ name, file, sizeBytes: file.sizeBytes() })) {
      (isGood({ name, file }, entry, exhibit.shape.blockSizeBytes) ? good : bad).push(entry);
    }
  } catch (error) {
    if (!isFault(error)) throw error; // its header, or all of it: nothing can be had of it
  } finally {
    file?.close();
  }
  return { good, bad };
}

function isGood(
  pack: { readonly name: ObjectName; readonly file: ReadableFile },
  entry: FooterEntry,
  blockBytes: number,
): boolean {
  try {
    blockOf(pack, entry, blockBytes);
    return true;
  } catch (error) {
    if (!isFault(error)) throw error;
    return false;
  }
}

/** Blocks that no good record holds, in ascending order. Segments that can't be read are passed over. */
export async function* lostBlocks(
  exhibit: Exhibit,
  { check, signal }: Pick<SurveyInput, "check" | "signal">,
): AsyncIterable<LostBlock> {
  for (let position = 0; position < segmentCount(exhibit.shape); position++) {
    signal.throwIfAborted();
    const segment = await segmentIfSound(exhibit, position);
    for (const [at, { digest }] of (segment ?? []).entries()) {
      if (digest === undefined || check.holds(digest)) continue;
      yield { index: position * SEGMENT_BLOCKS + at, digest };
    }
  }
}

/** `undefined` where it is damaged, missing or closed: that is told with the files. */
export async function segmentIfSound(exhibit: Exhibit, position: number) {
  try {
    return await exhibit.segment(position);
  } catch (error) {
    if (!isFault(error) && !isUnopened(error)) throw error;
    return undefined;
  }
}
