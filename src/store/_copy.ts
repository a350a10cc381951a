/**
 * Copies an exhibit into another store: just the files that its blocks need, each verified on the way by the
 * digest in its name, the inventory last. Run again, it goes on: what is there and sound is not copied twice.
 *
 * @see store-format.md, "Order of writes"
 */
import {
  decodeInventory,
  encodeInventory,
  type Inventory,
  MAX_INVENTORY_BYTES,
} from "../format/inventory.ts";
import { sha256 } from "../format/digests.ts";
import { segmentCount } from "../format/segment.ts";
import { OperatorError } from "../errors.ts";
import type { Clock, Digest, ObjectName, StoredObject } from "../model.ts";
import { formatTime } from "../units.ts";
import { readChecked } from "./_checked.ts";
import { type Exhibit, inventoryNames } from "./_exhibit.ts";
import { type BlockPlace, Index } from "./_index.ts";
import { inventoryName, parseName } from "./_layout.ts";
import type { LocalStorage } from "./_local_storage.ts";
import { inventoryFaults } from "./_needed_files.ts";
import type { PackedBlocks } from "./_packed_blocks.ts";

export interface CopyOptions {
  readonly signal: AbortSignal;
  onProgress?(done: { readonly doneBytes: number; readonly totalBytes: number }): void;
}

export interface CopySummary {
  readonly files: number;
  readonly copiedBytes: number;
  /** Bytes that the target held already. */
  readonly heldBytes: number;
}

interface CopyParts {
  readonly from: { readonly storage: LocalStorage; readonly blocks: PackedBlocks };
  readonly to: { readonly storage: LocalStorage; readonly world: { readonly clock: Clock } };
  readonly exhibit: Exhibit;
}

/** Throws `integrity` where a file of the source is not what its name says; `storage`. */
export async function copyExhibit(parts: CopyParts, options: CopyOptions): Promise<CopySummary> {
  const { from, to } = parts;
  const fault = inventoryFaults(parts.exhibit)[0];
  if (fault !== undefined) {
    const { id, inventoryFile } = parts.exhibit;
    throw new OperatorError("integrity", `Cannot copy "${id}": its inventory is not whole: ${fault}`, {
      facts: { file: inventoryFile },
    });
  }
  const files = await neededFiles(parts, options.signal);
  const totalBytes = files.reduce((sum, file) => sum + file.sizeBytes, 0);
  let doneBytes = 0;
  let copiedBytes = 0;
  for (const { name, sizeBytes } of files) {
    options.signal.throwIfAborted();
    if (!await from.storage.stat(name)) {
      throw new OperatorError("integrity", `Cannot copy "${name}": the file is missing`, {
        facts: { file: name },
      });
    }
    const file = from.storage.open(name);
    try {
      copiedBytes += await to.storage.takeOver(name, { file, sizeBytes, digest: parseName(name)!.digest });
    } finally {
      file.close();
    }
    doneBytes += sizeBytes;
    options.onProgress?.({ doneBytes, totalBytes });
    await to.world.clock.sleep(0, options.signal);
  }
  await putInventory(parts, files);
  return { files: files.length, copiedBytes, heldBytes: totalBytes - copiedBytes };
}

/** The inventory of the copy; the manifest is among its files, so it comes last. Once written it stays. */
async function putInventory({ to, exhibit }: CopyParts, files: readonly StoredObject[]): Promise<void> {
  const encode = (committedAt: string) => encodeInventory({ ...exhibit.inventory, committedAt, files });
  let isThere = false;
  let earliestMs = to.world.clock.nowMs();
  for (const name of await inventoryNames(to.storage, exhibit.id)) {
    const held = await heldInventory(to.storage, name);
    if (!held) continue;
    if (held.manifest !== exhibit.inventory.manifest) {
      throw new OperatorError(
        "integrity",
        `Cannot copy "${exhibit.id}": the target holds it with another manifest, ${held.manifest}`,
        { facts: { exhibit: exhibit.id, file: name } },
      );
    }
    // The newest inventory counts, and another host's clock may be ahead.
    earliestMs = Math.max(earliestMs, Date.parse(held.committedAt) + 1);
    isThere ||= inventoryName(exhibit.id, sha256(encode(held.committedAt))) === name;
  }
  if (isThere) return;
  const bytes = encode(formatTime(earliestMs));
  await to.storage.put(inventoryName(exhibit.id, sha256(bytes)), bytes);
}

/** An inventory of the target; a damaged one goes to quarantine, as every other damaged file does, and is `undefined`. */
async function heldInventory(storage: LocalStorage, name: ObjectName): Promise<Inventory | undefined> {
  try {
    return decodeInventory(await readChecked(storage, name, MAX_INVENTORY_BYTES), `"${name}"`);
  } catch (error) {
    if (!(error instanceof OperatorError) || error.code === "storage") throw error;
    await storage.quarantine(name);
    return undefined;
  }
}

/** The inventory's files, but of the packs only those that hold a block of the exhibit. */
async function neededFiles({ from, exhibit }: CopyParts, signal: AbortSignal): Promise<StoredObject[]> {
  const packs = new Map<ObjectName, number>();
  // The store's index is a cache that may lie: what goes into the copy's inventory is learned from the packs.
  const held = Index.temporary();
  let unfit: ObjectName | undefined;
  try {
    for (const file of exhibit.inventory.files) {
      signal.throwIfAborted();
      if (parseName(file.name)?.kind !== "pack") continue;
      if ((await from.storage.stat(file.name))?.sizeBytes !== file.sizeBytes) unfit ??= file.name;
      else held.addPack({ ...file, entries: await from.blocks.entriesOf(file.name) });
    }
    for (let position = 0; position < segmentCount(exhibit.shape); position++) {
      signal.throwIfAborted();
      for (const block of await exhibit.segment(position)) {
        if (block.state !== "stored") continue;
        const place = held.lookUp(block.digest) ??
          await placeElsewhere(from.blocks, block.digest, { exhibit, file: unfit ?? exhibit.inventoryFile });
        packs.set(place.pack, place.packBytes);
      }
    }
  } finally {
    held.close();
  }
  const others = exhibit.inventory.files.filter((file) => parseName(file.name)?.kind !== "pack");
  return [...others, ...[...packs].map(([name, sizeBytes]) => ({ name, sizeBytes }))];
}

/** A block that none of the exhibit's own packs holds may be in another's. Throws `integrity`, naming `file`. */
async function placeElsewhere(
  blocks: PackedBlocks,
  digest: Digest,
  wanted: { readonly exhibit: Exhibit; readonly file: ObjectName },
): Promise<BlockPlace> {
  const { exhibit, file } = wanted;
  await blocks.read(digest).catch((error) => {
    if (!(error instanceof OperatorError) || error.code === "storage") throw error;
    throw new OperatorError("integrity", `Cannot copy "${exhibit.id}" for "${file}": ${error.message}`, {
      cause: error,
      facts: { digest, file },
      hints: [`Run "coldcase verify ${exhibit.id}" to learn the whole damage.`],
    });
  });
  return (await blocks.find(digest))!;
}
