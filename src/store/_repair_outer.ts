/**
 * Repairs what an exhibit can't be opened without: signed inventories, the manifest's file and, of an encrypted one, the
 * map. They come whole from another copy. A damaged inventory that no copy has goes to quarantine with its signatures, where
 * another one says where the exhibit lies, or where one can be made anew: from the manifest, its segments, and what the packs of
 * the store hold. A manifest can't be made anew.
 *
 * @see store-format.md, "Repairing", "Inventory"
 */
import { isFault, OperatorError } from "../errors.ts";
import { commitmentOf, sha256 } from "../format/digests.ts";
import { decodeFileMap, type FileMap, fileOf, MAX_FILE_MAP_BYTES } from "../format/file_map.ts";
import { decodeInventory, encodeInventory, MAX_INVENTORY_BYTES } from "../format/inventory.ts";
import { checkVolume, decodeManifest, type Manifest, MAX_MANIFEST_BYTES } from "../format/manifest.ts";
import { decodeSegment, MAX_SEGMENT_BYTES, segmentLength } from "../format/segment.ts";
import type { SigningKey } from "../keys.ts";
import type { Digest, ExhibitId, ObjectName, StoredObject } from "../model.ts";
import { formatTime } from "../units.ts";
import { readChecked } from "./_checked.ts";
import { Index } from "./_index.ts";
import { EXHIBITS_FOLDER, manifestName, mapName, PACKS_FOLDER, parseName } from "./_layout.ts";
import { type RepairOptions, wrongKey } from "./_repair_exhibit.ts";
import { type RepairParts, type RepairStep, restoreFrom, stateOf, stepFor } from "./_repair_files.ts";
import { checkSignatures, putInventory } from "./_signatures.ts";

/** Inventories of an exhibit, by what they are good for. */
interface Inventories {
  /** Sound and signed, the newest first. */
  readonly usable: readonly { readonly name: ObjectName; readonly manifestFiles: readonly ObjectName[] }[];
  readonly steps: readonly RepairStep[];
}

interface OuterRepair {
  readonly restoredFiles: number;
  /** Files that are damaged still. */
  readonly lacking: readonly RepairStep[];
  /** True: what lies behind what was mended can be looked at now. */
  readonly isChanged: boolean;
}

/**
 * Repairs it, if `options` has a key; gives what could not be. Throws `identity` where something has to be opened for
 * it and nothing opens it, or where another key is needed.
 */
export async function repairOuter(
  parts: RepairParts,
  id: ExhibitId,
  options: Pick<RepairOptions, "copy" | "key" | "onSteps">,
): Promise<OuterRepair> {
  const { storage } = parts;
  const { copy, key } = options;
  const { usable, steps } = await surveyInventories(parts, id, options);
  const newest = usable[0];
  const others: RepairStep[] = [];
  for (const name of newest?.manifestFiles ?? []) {
    const step = await stepFor({ storage, copy }, name);
    if (step) others.push(step);
  }
  const all = [...steps, ...others];
  if (all.length === 0) return { restoredFiles: 0, lacking: [], isChanged: false };
  options.onSteps(all, { lostBlocks: 0, lostBlocksInCopy: 0 });
  const lacking = all.filter(({ remedy }) => remedy === "none");
  if (!key) return { restoredFiles: 0, lacking, isChanged: false };
  let restoredFiles = 0;
  for (const { file, remedy } of all) {
    if (remedy !== "copy") continue;
    await restoreFrom(copy!, storage, file);
    restoredFiles++;
  }
  if (steps.some(({ remedy }) => remedy === "rebuild")) {
    const made = await rebuildInventory(parts, id, { ...options, key });
    restoredFiles += made.restoredFiles;
  }
  for (const { file, state, remedy } of steps) {
    if (remedy === "copy" || remedy === "none") continue;
    await setAsideSigned(parts, file, { isThere: state === "damaged" });
  }
  return { restoredFiles, lacking, isChanged: true };
}

/** Which there are, or were: a signature tells also of one that is gone. */
async function surveyInventories(
  { storage }: RepairParts,
  id: ExhibitId,
  { copy }: Pick<RepairOptions, "copy">,
): Promise<Inventories> {
  const signed = new Set<ObjectName>();
  for await (const { name } of storage.list(`${EXHIBITS_FOLDER}/${id}/`)) {
    const stem = /^(.*\/inventory-[0-9a-f]{64})\.[0-9a-f]{16}\.sshsig$/.exec(name)?.[1];
    if (stem !== undefined) signed.add(`${stem}.txt`);
  }
  const usable: (Inventories["usable"][number] & { readonly committedAt: string })[] = [];
  const damaged: RepairStep[] = [];
  for (const name of signed) {
    try {
      const bytes = await readChecked(storage, name, MAX_INVENTORY_BYTES);
      const { manifest, map, committedAt } = decodeInventory(bytes, `"${name}"`);
      const check = await checkSignatures(storage, { name, bytes, namespace: "coldcase-inventory@v1" });
      if (check.held.length === 0) {
        throw check.faults[0] ?? new OperatorError("integrity", "it has no signature");
      }
      const manifestFile = manifestName(id, manifest, map === null ? "" : ".age");
      const manifestFiles = map === null ? [manifestFile] : [manifestFile, mapName(id, map)];
      usable.push({ name, committedAt, manifestFiles });
    } catch (error) {
      if (!isFault(error)) throw error;
      // Another copy's is of use only where its bytes are what is wrong.
      const step = await stepFor({ storage, copy }, name) ??
        { file: name, state: "damaged", remedy: "none" } as const;
      damaged.push(step);
    }
  }
  usable.sort((a, b) => a.committedAt > b.committedAt ? -1 : 1);
  const hasOther = usable.length > 0 || damaged.some(({ remedy }) => remedy === "copy");
  const steps = damaged
    // One that is gone keeps nobody from another.
    .filter(({ state, remedy }) =>
      state === "damaged" || usable.length === 0 && (remedy === "copy" || !hasOther)
    )
    .map((step) =>
      step.remedy === "none"
        ? { ...step, remedy: hasOther ? "set_aside" as const : "rebuild" as const }
        : step
    );
  return { usable, steps };
}

/** To quarantine with all that is over it, the signature before what it is over: without it that counts no more. */
async function setAsideSigned(
  { storage }: RepairParts,
  inventory: ObjectName,
  { isThere }: { readonly isThere: boolean },
): Promise<void> {
  const stem = inventory.replace(/txt$/, "");
  const beside: ObjectName[] = [];
  for await (const { name } of storage.list(inventory.slice(0, inventory.lastIndexOf("/") + 1))) {
    if (name.startsWith(stem) && name !== inventory) beside.push(name);
  }
  const isToken = (name: ObjectName) => name.endsWith(".tst");
  beside.sort((a, b) => Number(isToken(b)) - Number(isToken(a)));
  for (const name of [...beside, ...(isThere ? [inventory] : [])]) await storage.quarantine(name);
}

interface Rebuilding {
  readonly copy: RepairOptions["copy"];
  readonly key: SigningKey;
}

/** Makes the inventory anew of what there is. Throws `integrity` where a file that it must name is not sound. */
async function rebuildInventory(
  parts: RepairParts,
  id: ExhibitId,
  { copy, key }: Rebuilding,
): Promise<{ readonly restoredFiles: number }> {
  const { storage, world } = parts;
  const { name: manifestFile, manifest, bytes } = await onlyManifest(parts, id, key);
  const map = await mapOf(parts, id, manifest);
  const { sessions, description, unreadable } = manifest.acquisition.documents;
  const documents = [sessions, description, unreadable].filter((digest) => digest !== null);
  const segmentFiles = new Map(
    [...new Set(manifest.segments)].map((digest) =>
      [digest, fileFor(parts, { kind: "segment", digest, map: map?.map, id })] as const
    ),
  );
  const names = [
    manifestFile,
    ...(map ? [map.name] : []),
    ...segmentFiles.values(),
    ...documents.map((digest) => fileFor(parts, { kind: "document", digest, map: map?.map, id })),
  ];
  let restoredFiles = 0;
  const files: StoredObject[] = [];
  for (const name of names) {
    const step = await stepFor({ storage, copy }, name);
    if (step?.remedy === "copy") {
      await restoreFrom(copy!, storage, name);
      restoredFiles++;
    } else if (step) {
      throw cannotRebuild(id, name, `which is ${step.state}`);
    }
    files.push((await storage.stat(name))!);
  }
  const packs = await packsFor(parts, { manifest, segmentFiles });
  const inventory = encodeInventory({
    exhibit: id,
    snapshot: manifest.source.snapshot,
    parent: manifest.parent?.exhibit ?? null,
    commitment: commitmentOf(sha256(bytes)),
    manifest: parseName(manifestFile)!.digest,
    map: map ? parseName(map.name)!.digest : null,
    committedAt: formatTime(world.clock.nowMs()),
    files: [...files, ...packs],
  });
  await putInventory(storage, { exhibit: id, bytes: inventory, key });
  return { restoredFiles };
}

function cannotRebuild(id: ExhibitId, file: ObjectName, why: string): OperatorError {
  return new OperatorError(
    "integrity",
    `Cannot make the inventory of "${id}" anew: it must name "${file}", ${why}`,
    { facts: { exhibit: id, file }, hints: ["Give another copy of the exhibit with --from STORE."] },
  );
}

function fileFor(
  { contents }: RepairParts,
  { kind, digest, map, id }: {
    readonly kind: "segment" | "document";
    readonly digest: Digest;
    readonly map: FileMap | undefined;
    readonly id: ExhibitId;
  },
): ObjectName {
  const file = map ? fileOf(map[`${kind}s`], digest) : digest;
  return contents.nameOf(kind, file!, id);
}

/** The one signed manifest of the folder. Throws `integrity` where there is none, or several. */
async function onlyManifest({ storage, contents }: RepairParts, id: ExhibitId, key: SigningKey) {
  const found: { name: ObjectName; manifest: Manifest; bytes: Uint8Array; signers: string[] }[] = [];
  for (const name of await namesOf(storage, id, "manifest")) {
    try {
      const bytes = await contents.read(name, MAX_MANIFEST_BYTES);
      const manifest = decodeManifest(bytes, `"${name}"`);
      const { held } = await checkSignatures(storage, { name, bytes, namespace: "coldcase-manifest@v1" });
      const signers = held.map((signature) => signature.key.fingerprint);
      const isOwn = manifest.acquisition.exhibit === id && signers.includes(manifest.acquisition.signer);
      if (isOwn) found.push({ name, manifest, bytes, signers });
    } catch (error) {
      if (!isFault(error)) throw error; // one that counts for nothing
    }
  }
  const [only] = found;
  if (!only || found.length > 1) {
    throw new OperatorError(
      "integrity",
      `Cannot make the inventory of "${id}" anew: it has ${found.length} sound manifests, expected one`,
      { facts: { exhibit: id }, hints: ["Give another copy of the exhibit with --from STORE."] },
    );
  }
  if (!only.signers.includes(key.fingerprint)) throw wrongKey(id, key, only.signers);
  return only;
}

/** The map that names all that the manifest needs; `undefined` in a plain store. */
async function mapOf({ storage, contents }: RepairParts, id: ExhibitId, manifest: Manifest) {
  if (!contents.isEncrypted) return undefined;
  const { sessions, description, unreadable } = manifest.acquisition.documents;
  const documents = [sessions, description, unreadable].filter((digest) => digest !== null);
  for (const name of await namesOf(storage, id, "map")) {
    try {
      const map = decodeFileMap(await contents.read(name, MAX_FILE_MAP_BYTES), `"${name}"`);
      const isWhole = manifest.segments.every((digest) => fileOf(map.segments, digest) !== undefined) &&
        documents.every((digest) => fileOf(map.documents, digest) !== undefined);
      if (isWhole) return { name, map };
    } catch (error) {
      if (!isFault(error)) throw error; // one that counts for nothing
    }
  }
  throw new OperatorError("integrity", `Cannot make the inventory of "${id}" anew: it has no sound map`, {
    facts: { exhibit: id },
    hints: ["Give another copy of the exhibit with --from STORE."],
  });
}

async function namesOf(
  storage: RepairParts["storage"],
  id: ExhibitId,
  kind: "manifest" | "map",
): Promise<ObjectName[]> {
  const names: ObjectName[] = [];
  for await (const { name } of storage.list(`${EXHIBITS_FOLDER}/${id}/`)) {
    if (parseName(name)?.kind === kind && await stateOf(storage, name) === "sound") names.push(name);
  }
  return names;
}

/** Packs of the store that hold blocks of the segments, as their footers or headers tell. */
async function packsFor(
  { storage, contents, blocks }: RepairParts,
  { manifest, segmentFiles }: {
    readonly manifest: Manifest;
    readonly segmentFiles: ReadonlyMap<Digest, ObjectName>;
  },
): Promise<StoredObject[]> {
  const held = Index.temporary({ isBlind: contents.isEncrypted });
  try {
    for await (const { name, sizeBytes } of storage.list(`${PACKS_FOLDER}/`)) {
      if (parseName(name)?.kind !== "pack") continue;
      held.addPack({ name, sizeBytes, entries: await blocks().entriesOf(name).catch(nothingIfFault) });
    }
    const packs = new Map<ObjectName, number>();
    const shape = checkVolume(manifest.volume, "manifest");
    for (const [position, digest] of manifest.segments.entries()) {
      const name = segmentFiles.get(digest)!;
      const segment = decodeSegment(await contents.read(name, MAX_SEGMENT_BYTES), {
        name: `"${name}"`,
        blockCount: segmentLength(shape, position),
        blockSizeBytes: shape.blockSizeBytes,
      });
      for (const { digest: block } of segment) {
        const place = block === undefined ? undefined : held.lookUp(block);
        if (place) packs.set(place.pack, place.packBytes);
      }
    }
    return [...packs].map(([name, sizeBytes]) => ({ name, sizeBytes }));
  } finally {
    held.close();
  }
}

/** A pack that does not open holds nothing that could be named. */
function nothingIfFault(error: unknown): [] {
  if (!isFault(error)) throw error;
  return [];
}
