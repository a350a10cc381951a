/**
 * The inventory of an exhibit made anew, where no signed one is left: from the manifest, its map, its segments, and what the
 * packs of the store hold. Every other file that it names must be sound, or come from another copy first.
 *
 * @see store-format.md, "Repairing", "Inventory"
 */
import { isFault, OperatorError } from "../errors.ts";
import { commitmentOf, sha256 } from "../format/digests.ts";
import { decodeFileMap, type FileMap, fileOf, MAX_FILE_MAP_BYTES } from "../format/file_map.ts";
import { encodeInventory } from "../format/inventory.ts";
import { checkVolume, decodeManifest, type Manifest, MAX_MANIFEST_BYTES } from "../format/manifest.ts";
import { decodeSegment, MAX_SEGMENT_BYTES, segmentLength } from "../format/segment.ts";
import type { SigningKey } from "../keys.ts";
import type { Digest, ExhibitId, ObjectName, StoredObject } from "../model.ts";
import { formatTime } from "../units.ts";
import { Index } from "./_index.ts";
import { EXHIBITS_FOLDER, PACKS_FOLDER, parseName } from "./_layout.ts";
import { type RepairOptions, wrongKey } from "./_repair_exhibit.ts";
import { type RepairParts, type RepairStep, restoreFrom, stateOf, stepFor } from "./_repair_files.ts";
import { checkSignatures, putInventory } from "./_signatures.ts";

interface Rebuilding {
  readonly copy: RepairOptions["copy"];
  readonly key: SigningKey;
  readonly onSteps: RepairOptions["onSteps"];
}

/** Makes the inventory anew of what there is. Throws `integrity` where a file that it must name is not sound. */
export async function rebuildInventory(
  parts: RepairParts,
  id: ExhibitId,
  { copy, key, onSteps }: Rebuilding,
): Promise<{ readonly restoredFiles: number }> {
  const { storage, world } = parts;
  let restoredFiles = 0;
  const restore = async (step: RepairStep) => {
    onSteps([step], { lostBlocks: 0, lostBlocksInCopy: 0 });
    await restoreFrom(copy!, storage, step.file);
    restoredFiles++;
  };
  for (const name of copy ? await namesOf(copy.storage, id) : []) {
    const step = await stepFor({ storage, copy }, name);
    if (step?.remedy === "copy") await restore(step);
  }
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
  const files: StoredObject[] = [];
  for (const name of names) {
    const step = await stepFor({ storage, copy }, name);
    if (step?.remedy === "copy") await restore(step);
    else if (step) throw cannotRebuild(id, name, `which is ${step.state}`);
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
  for (const name of await namesOf(storage, id, ["manifest"])) {
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
  for (const name of await namesOf(storage, id, ["map"])) {
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

/** Manifests and maps of the exhibit that are sound. */
async function namesOf(
  storage: RepairParts["storage"],
  id: ExhibitId,
  kinds: readonly string[] = ["manifest", "map"],
): Promise<ObjectName[]> {
  const names: ObjectName[] = [];
  for await (const { name } of storage.list(`${EXHIBITS_FOLDER}/${id}/`)) {
    const kind = parseName(name)?.kind;
    if (kind && kinds.includes(kind) && await stateOf(storage, name) === "sound") names.push(name);
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
