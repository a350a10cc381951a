/**
 * Copies an exhibit into another store: just the files that its blocks need, each verified on the way by the
 * digest in its name, the inventory last. Run again, it goes on: what is there and sound is not copied twice.
 * An encrypted exhibit is copied as it is: its inventory travels along.
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
import { MAX_HEADERS_BYTES } from "../format/headers.ts";
import { segmentCount } from "../format/segment.ts";
import { isFault, OperatorError } from "../errors.ts";
import type { Clock, Digest, ObjectName, StoredObject } from "../model.ts";
import { formatTime } from "../units.ts";
import { DAMAGE_HINT, readChecked } from "./_checked.ts";
import type { Contents } from "./_contents.ts";
import { Exhibit } from "./_exhibit.ts";
import { inventoryNames, type OuterExhibit } from "./_outer.ts";
import {
  CUSTODY_FOLDER,
  EXHIBITS_FOLDER,
  inventoryName,
  KEYS_FOLDER,
  parseName,
  RECEIPTS_FOLDER,
} from "./_layout.ts";
import { putInventory, putSignature, type SignedDocument } from "./_signatures.ts";
import type { SigningKey } from "../keys.ts";
import { MAX_MANIFEST_BYTES } from "../format/manifest.ts";
import { type BlockPlace, Index } from "./_index.ts";
import type { LocalStorage } from "./_local_storage.ts";
import { inventoryFaults } from "./_needed_files.ts";
import type { PackedBlocks } from "./_packed_blocks.ts";

/** Signatures, addenda, custody entries and keys are small; what is larger is none of them. */
const MAX_BESIDE_BYTES = 1024 * 1024;

export interface CopyOptions {
  /** Signs the inventory of the copy. */
  readonly key: SigningKey;
  readonly signal: AbortSignal;
  onProgress?(done: { readonly doneBytes: number; readonly totalBytes: number }): void;
}

export interface CopySummary {
  readonly files: number;
  readonly copiedBytes: number;
  /** Bytes that the target held already. */
  readonly heldBytes: number;
  /** Name of the copy's inventory in the target. */
  readonly inventory: ObjectName;
  readonly inventoryDigest: Digest;
}

export interface CopyParts {
  readonly from: {
    readonly storage: LocalStorage;
    readonly contents: Contents;
    readonly blocks: PackedBlocks;
  };
  readonly to: { readonly storage: LocalStorage; readonly world: { readonly clock: Clock } };
  readonly exhibit: OuterExhibit;
}

/** A plain exhibit, which can be looked into. */
type OpenedParts = CopyParts & { readonly exhibit: Exhibit };

function isOpened(parts: CopyParts): parts is OpenedParts {
  return parts.exhibit instanceof Exhibit && !parts.from.contents.isEncrypted;
}

/** Throws `integrity` where a file of the source is not what its name says; `storage`. */
export async function copyExhibit(parts: CopyParts, options: CopyOptions): Promise<CopySummary> {
  const { from, to } = parts;
  if (parts.exhibit instanceof Exhibit) refuseBrokenInventory(parts.exhibit, "copy");
  const files = isOpened(parts)
    ? await neededFiles({ ...parts, verb: "copy" }, options.signal)
    : parts.exhibit.inventory.files;
  const totalBytes = files.reduce((sum, file) => sum + file.sizeBytes, 0);
  let doneBytes = 0;
  let copiedBytes = 0;
  for (const { name, sizeBytes } of files) {
    options.signal.throwIfAborted();
    if (!await from.storage.stat(name)) {
      throw new OperatorError("integrity", `Cannot copy "${name}": the file is missing`, {
        hints: [DAMAGE_HINT],
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
  await copyBeside(parts);
  const inventory = isOpened(parts)
    ? await settleCopy(parts, files, options.key)
    : await takeOverInventory(parts);
  return {
    files: files.length,
    copiedBytes,
    heldBytes: totalBytes - copiedBytes,
    inventory,
    inventoryDigest: parseName(inventory)!.digest,
  };
}

/** Throws `integrity` where the inventory does not list what the manifest needs. */
export function refuseBrokenInventory(exhibit: Exhibit, verb: string): void {
  const fault = inventoryFaults(exhibit)[0];
  if (fault === undefined) return;
  throw new OperatorError(
    "integrity",
    `Cannot ${verb} "${exhibit.id}": its inventory is not whole: ${fault}`,
    { facts: { file: exhibit.inventoryFile } },
  );
}

/** Signatures over the manifest, addenda and headers with theirs, and the custody log travel along: a union of both stores. */
async function copyBeside(parts: CopyParts): Promise<void> {
  await copyFolder(
    parts,
    `${EXHIBITS_FOLDER}/${parts.exhibit.id}/`,
    (name) => /\/inventory-[^/]*$/.test(name) ? undefined : name,
  );
  for (const folder of SHARED_FOLDERS) await copyFolder(parts, folder, (name) => name);
}

/** What is of the whole store, and lies in the clear in every store. */
export const SHARED_FOLDERS = [CUSTODY_FOLDER, RECEIPTS_FOLDER, KEYS_FOLDER].map((name) => `${name}/`);

/**
 * Copies small files that the target does not have, as they are.
 *
 * @param targetOf A file's name in the target; `undefined`: it stays behind.
 */
export async function copyFolder(
  { from, to }: {
    readonly from: { readonly storage: LocalStorage };
    readonly to: { readonly storage: LocalStorage };
  },
  folder: string,
  targetOf: (name: ObjectName) => ObjectName | undefined,
): Promise<void> {
  for await (const { name, sizeBytes } of from.storage.list(folder)) {
    const target = targetOf(name);
    const maxBytes = parseName(name)?.kind === "headers" ? MAX_HEADERS_BYTES : MAX_BESIDE_BYTES;
    if (target === undefined || sizeBytes > maxBytes || await to.storage.stat(target)) continue;
    await to.storage.put(target, await from.storage.read(name, { offset: 0, length: sizeBytes }));
  }
}

/** The inventory of the copy; what it names is there, so it comes last. Once written and signed it stays. */
async function settleCopy(
  { to, exhibit }: OpenedParts,
  files: readonly StoredObject[],
  key: SigningKey,
): Promise<ObjectName> {
  return await settleInventory(to, {
    exhibit,
    manifest: {
      name: exhibit.manifestFile,
      bytes: await readChecked(to.storage, exhibit.manifestFile, MAX_MANIFEST_BYTES),
      namespace: "coldcase-manifest@v1",
    },
    encode: (committedAt) => encodeInventory({ ...exhibit.inventory, committedAt, files }),
  }, key);
}

/** What an exhibit becomes in another store. */
export interface Settling {
  /** As the other store has it. */
  readonly exhibit: OuterExhibit;
  /** In this one. */
  readonly manifest: SignedDocument;
  encode(committedAt: string): Uint8Array;
}

/** Signs manifest and inventory, unless the inventory is there: what commits an exhibit in another store. */
export async function settleInventory(
  to: CopyParts["to"],
  { exhibit, manifest, encode }: Settling,
  key: SigningKey,
): Promise<ObjectName> {
  let earliestMs = to.world.clock.nowMs();
  let there: ObjectName | undefined;
  for await (const { name, held } of heldInventories(to.storage, exhibit)) {
    // The newest inventory counts, and another host's clock may be ahead.
    earliestMs = Math.max(earliestMs, Date.parse(held.committedAt) + 1);
    if (inventoryName(exhibit.id, sha256(encode(held.committedAt))) === name) there = name;
  }
  if (there) return there;
  // Both signatures are by one key: who says where it lies says what it is, too.
  await putSignature(to.storage, manifest, key);
  return await putInventory(to.storage, { exhibit: exhibit.id, bytes: encode(formatTime(earliestMs)), key });
}

/** The inventory of an encrypted exhibit with its signatures, the SSHSIGs last: they are what commits. */
async function takeOverInventory({ from, to, exhibit }: CopyParts): Promise<ObjectName> {
  const { inventoryFile, inventory } = exhibit;
  for await (const { name, held } of heldInventories(to.storage, exhibit)) {
    if (name !== inventoryFile && held.committedAt >= inventory.committedAt) return name;
  }
  const stem = inventoryFile.replace(/txt$/, "");
  const signatures: ObjectName[] = [];
  for await (const { name } of from.storage.list(`${EXHIBITS_FOLDER}/${exhibit.id}/`)) {
    if (name.startsWith(stem) && name !== inventoryFile) signatures.push(name);
  }
  const isLast = (name: ObjectName) => name.endsWith(".sshsig");
  signatures.sort((a, b) => Number(isLast(a)) - Number(isLast(b)));
  await to.storage.put(inventoryFile, await readChecked(from.storage, inventoryFile, MAX_INVENTORY_BYTES));
  for (const name of signatures) {
    const bytes = await from.storage.read(name, { offset: 0, length: MAX_BESIDE_BYTES });
    await to.storage.put(name, bytes);
  }
  return inventoryFile;
}

/** The sound inventories of the exhibit in the target. Throws `integrity` where one is of another manifest. */
export async function* heldInventories(
  storage: LocalStorage,
  exhibit: OuterExhibit,
): AsyncIterable<{ readonly name: ObjectName; readonly held: Inventory }> {
  for (const name of await inventoryNames(storage, exhibit.id)) {
    const held = await heldInventory(storage, name);
    if (!held) continue;
    if (held.commitment !== exhibit.inventory.commitment) {
      throw new OperatorError(
        "integrity",
        `Cannot copy "${exhibit.id}": the target holds it with another manifest, of commitment ${held.commitment}`,
        { facts: { exhibit: exhibit.id, file: name } },
      );
    }
    yield { name, held };
  }
}

/** An inventory of the target; a damaged one goes to quarantine, as every other damaged file does, and is `undefined`. */
async function heldInventory(storage: LocalStorage, name: ObjectName): Promise<Inventory | undefined> {
  try {
    return decodeInventory(await readChecked(storage, name, MAX_INVENTORY_BYTES), `"${name}"`);
  } catch (error) {
    if (!isFault(error)) throw error;
    await storage.quarantine(name);
    return undefined;
  }
}

/** The inventory's files, but of the packs only those that hold a block of the exhibit. Throws `integrity`. */
export async function neededFiles(
  { from, exhibit, verb }: {
    readonly from: CopyParts["from"];
    readonly exhibit: Exhibit;
    /** What is being done, for messages. */
    readonly verb: string;
  },
  signal: AbortSignal,
): Promise<StoredObject[]> {
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
          await placeElsewhere(from.blocks, block.digest, {
            exhibit,
            file: unfit ?? exhibit.inventoryFile,
            verb,
          });
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
  wanted: { readonly exhibit: Exhibit; readonly file: ObjectName; readonly verb: string },
): Promise<BlockPlace> {
  const { exhibit, file, verb } = wanted;
  await blocks.read(digest).catch((error) => {
    if (!isFault(error)) throw error;
    throw new OperatorError("integrity", `Cannot ${verb} "${exhibit.id}" for "${file}": ${error.message}`, {
      cause: error,
      facts: { digest, file },
      hints: [`Run "coldcase verify ${exhibit.id}" to learn the whole damage.`],
    });
  });
  return (await blocks.find(digest))!;
}
