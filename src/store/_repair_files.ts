/**
 * Files of a store that are mended whole: which of them are damaged or missing, and a sound one of the same name from
 * another copy in their place. Names say what bytes there must be, so nothing has to be opened for it.
 *
 * @see store-format.md, "Repairing"
 */
import { isFault } from "../errors.ts";
import type { Clock, Disk, ObjectName, StoredObject } from "../model.ts";
import type { Contents } from "./_contents.ts";
import { parseName } from "./_layout.ts";
import type { LocalStorage } from "./_local_storage.ts";
import type { PackReaders } from "./_pack_readers.ts";
import type { PackedBlocks } from "./_packed_blocks.ts";

/** What a store is repaired with. */
export interface RepairParts {
  readonly storage: LocalStorage;
  readonly contents: Contents;
  readonly readers: PackReaders;
  readonly disk: Disk;
  readonly world: { readonly clock: Clock };
  /** Opened when first asked for: it makes a damaged index anew. */
  blocks(): PackedBlocks;
}

/** Another copy of the evidence, or of a part of it. Only read. */
export type RepairCopy = Pick<RepairParts, "storage" | "contents" | "readers" | "blocks">;

export type FileState = "sound" | "damaged" | "missing";

/** What is wrong with a file, and what repairing does about it. */
export interface RepairStep {
  readonly file: ObjectName;
  readonly state: Exclude<FileState, "sound">;
  /**
   * `copy`: a sound one is taken from the other copy; `salvage`: its good records go into new packs; `rebuild`: it is
   * made anew; `set_aside`: it goes to quarantine, nothing takes its place; `none`: nothing is known to help.
   */
  readonly remedy: "copy" | "salvage" | "rebuild" | "set_aside" | "none";
  /** Of a pack: records that are sound, and those that are found to be damaged. */
  readonly goodRecords?: number;
  readonly badRecords?: number;
}

/** Whether a file is there with the bytes that its name tells. A disk that fails is no answer: throws `storage`. */
export async function stateOf(storage: LocalStorage, name: ObjectName): Promise<FileState> {
  try {
    if (!await storage.stat(name)) return "missing";
    return storage.digestOf(name) === parseName(name)?.digest ? "sound" : "damaged";
  } catch (error) {
    // A link, or a folder, in its place.
    if (!isFault(error)) throw error;
    return "damaged";
  }
}

/** What is done about a file that another copy may have whole; `undefined`: it is sound. */
export async function stepFor(
  { storage, copy }: { readonly storage: LocalStorage; readonly copy: RepairCopy | undefined },
  name: ObjectName,
): Promise<RepairStep | undefined> {
  const state = await stateOf(storage, name);
  if (state === "sound") return undefined;
  const isInCopy = copy !== undefined && await stateOf(copy.storage, name) === "sound";
  return { file: name, state, remedy: isInCopy ? "copy" : "none" };
}

/** Puts the copy's file in its place. Throws `integrity` where it is damaged by now. */
export async function restoreFrom(
  copy: RepairCopy,
  storage: LocalStorage,
  name: ObjectName,
): Promise<StoredObject> {
  const file = copy.storage.open(name);
  try {
    const sizeBytes = file.sizeBytes();
    await storage.restore(name, { file, sizeBytes, digest: parseName(name)!.digest });
    return { name, sizeBytes };
  } finally {
    file.close();
  }
}
