/**
 * A committed exhibit: its manifest and inventory, its segments one at a time, and its blocks as a
 * `BlockReader`. Whatever it gives was checked against the digest that names it.
 */
import { messageOf, OperatorError } from "../errors.ts";
import {
  decodeDescription,
  decodeSessions,
  decodeUnreadable,
  MAX_DOCUMENT_BYTES,
  type Session,
  type UnreadableDocument,
} from "../format/documents.ts";
import { zeroDigest } from "../format/digests.ts";
import { decodeInventory, type Inventory, MAX_INVENTORY_BYTES } from "../format/inventory.ts";
import { checkVolume, decodeManifest, type Manifest, MAX_MANIFEST_BYTES } from "../format/manifest.ts";
import {
  decodeSegment,
  MAX_SEGMENT_BYTES,
  type Segment,
  type SegmentBlock,
  segmentCount,
  segmentLength,
} from "../format/segment.ts";
import {
  type BlockReader,
  type BlockRun,
  type Digest,
  type ExhibitId,
  type ObjectName,
  type ObjectStorage,
  SEGMENT_BLOCKS,
  type VolumeShape,
} from "../model.ts";
import { readChecked } from "./_checked.ts";
import { documentName, EXHIBITS_FOLDER, manifestName, parseName, segmentName } from "./_layout.ts";
import type { PackedBlocks } from "./_packed_blocks.ts";

export class Exhibit implements BlockReader {
  readonly id: ExhibitId;
  readonly manifest: Manifest;
  readonly inventory: Inventory;
  readonly manifestFile: ObjectName;
  readonly inventoryFile: ObjectName;
  readonly shape: VolumeShape;
  readonly #storage: ObjectStorage;
  readonly #blocks: PackedBlocks;
  /** The two segments read last: a reader goes forward, an incremental acquisition looks back by one. */
  readonly #segments = new Map<number, Segment>();

  private constructor(
    parts: Pick<Exhibit, "manifest" | "inventory" | "manifestFile" | "inventoryFile">,
    storage: ObjectStorage,
    blocks: PackedBlocks,
  ) {
    this.id = parts.inventory.exhibit;
    this.manifest = parts.manifest;
    this.inventory = parts.inventory;
    this.manifestFile = parts.manifestFile;
    this.inventoryFile = parts.inventoryFile;
    this.shape = checkVolume(parts.manifest.volume, parts.manifestFile);
    this.#storage = storage;
    this.#blocks = blocks;
  }

  /** Throws `not_found` where the exhibit was never committed, `integrity` or `format` where it is damaged. */
  static async load(storage: ObjectStorage, blocks: PackedBlocks, id: ExhibitId): Promise<Exhibit> {
    const { name: inventoryFile, inventory } = await newestInventory(storage, id);
    const manifestFile = manifestName(id, inventory.manifest);
    const manifest = decodeManifest(
      await readChecked(storage, manifestFile, MAX_MANIFEST_BYTES),
      `"${manifestFile}"`,
    );
    const mismatch = inventory.exhibit !== id || manifest.acquisition.exhibit !== id
      ? "exhibit"
      : manifest.source.snapshot !== inventory.snapshot
      ? "snapshot"
      : (manifest.parent?.exhibit ?? null) !== inventory.parent
      ? "parent"
      : undefined;
    if (mismatch) {
      throw new OperatorError(
        "integrity",
        `Cannot accept "${inventoryFile}": its ${mismatch} is not that of "${manifestFile}"`,
        {
          facts: { file: inventoryFile },
        },
      );
    }
    return new Exhibit({ manifest, inventory, manifestFile, inventoryFile }, storage, blocks);
  }

  /** Segment `position`, its digest compared with the manifest's. Throws `integrity` or `format`. */
  async segment(position: number): Promise<Segment> {
    const known = this.#segments.get(position);
    if (known) return known;
    const digest = this.manifest.segments[position];
    if (digest === undefined) throw new RangeError(`segment ${position} of ${this.manifest.segments.length}`);
    const name = segmentName(digest);
    const segment = decodeSegment(await readChecked(this.#storage, name, MAX_SEGMENT_BYTES), {
      name: `"${name}"`,
      blockCount: segmentLength(this.shape, position),
      blockSizeBytes: this.shape.blockSizeBytes,
    });
    if (this.#segments.size >= 2) this.#segments.delete(this.#segments.keys().next().value!);
    this.#segments.set(position, segment);
    return segment;
  }

  /** State and digest of one block; a block beyond the volume is `undefined`. */
  async block(index: number): Promise<SegmentBlock | undefined> {
    if (index >= this.shape.blockCount) return undefined;
    return (await this.segment(Math.floor(index / SEGMENT_BLOCKS)))[index % SEGMENT_BLOCKS];
  }

  /** Whether a block of this exhibit is the one with this digest. */
  holds(block: SegmentBlock, digest: Digest): boolean {
    return block.state === "zero"
      ? digest === zeroDigest(this.shape.blockSizeBytes)
      : block.digest === digest;
  }

  async *runs(fromBlock = 0): AsyncIterable<BlockRun> {
    for (
      let position = Math.floor(fromBlock / SEGMENT_BLOCKS);
      position < segmentCount(this.shape);
      position++
    ) {
      const segment = await this.segment(position);
      const base = position * SEGMENT_BLOCKS;
      for (let start = Math.max(0, fromBlock - base); start < segment.length;) {
        const { state } = segment[start]!;
        let end = start + 1;
        while (end < segment.length && segment[end]!.state === state) end++;
        yield { state, firstBlock: base + start, blockCount: end - start };
        start = end;
      }
    }
  }

  async readBlock(index: number): Promise<Uint8Array> {
    const block = await this.block(index);
    const { blockSizeBytes } = this.shape;
    const offset = index * blockSizeBytes;
    const place = `block ${index} of "${this.manifest.source.snapshot}" (bytes ${offset} to ${
      offset + blockSizeBytes - 1
    } of the volume)`;
    const facts = { exhibit: this.id, blockIndex: index, offsetBytes: offset, lengthBytes: blockSizeBytes };
    if (block?.state !== "stored") {
      throw new OperatorError(
        "integrity",
        `Cannot read ${place}: it is ${block?.state ?? "beyond the volume"}, not stored`,
        { facts },
      );
    }
    try {
      const bytes = await this.#blocks.read(block.digest);
      if (bytes.length === blockSizeBytes) return bytes;
      throw new OperatorError("integrity", `the block held has ${bytes.length} bytes`);
    } catch (error) {
      if (!(error instanceof OperatorError) || error.code === "storage") throw error;
      throw new OperatorError("integrity", `Cannot read ${place}: ${messageOf(error)}`, {
        cause: error,
        facts: { ...error.facts, ...facts },
        hints: [`Run "coldcase verify ${this.id}" to learn the whole damage.`],
      });
    }
  }

  /** The unreadable blocks with their reasons; `undefined` where there are none. */
  async unreadable(): Promise<UnreadableDocument["entries"] | undefined> {
    const digest = this.manifest.acquisition.documents.unreadable;
    return digest ? decodeUnreadable(await this.#document(documentName(digest))).entries : undefined;
  }

  async sessions(): Promise<readonly Session[]> {
    return decodeSessions(await this.#document(documentName(this.manifest.acquisition.documents.sessions)));
  }

  /** What the service said of the snapshot; `undefined` where it was not allowed to ask. */
  async description(): Promise<unknown> {
    const digest = this.manifest.acquisition.documents.description;
    return digest ? decodeDescription(await this.#document(documentName(digest))).answer : undefined;
  }

  #document(name: ObjectName): Promise<Uint8Array> {
    return readChecked(this.#storage, name, MAX_DOCUMENT_BYTES);
  }
}

/** Names of the inventories of an exhibit; none: it was never committed. */
export async function inventoryNames(storage: ObjectStorage, id: ExhibitId): Promise<ObjectName[]> {
  const names: ObjectName[] = [];
  for await (const { name } of storage.list(`${EXHIBITS_FOLDER}/${id}/`)) {
    if (parseName(name)?.kind === "inventory") names.push(name);
  }
  return names;
}

/**
 * Copying and repairing write new inventories; the one committed last says where the exhibit lies now.
 * All of them are of one manifest.
 */
async function newestInventory(
  storage: ObjectStorage,
  id: ExhibitId,
): Promise<{ readonly name: ObjectName; readonly inventory: Inventory }> {
  let newest: { readonly name: ObjectName; readonly inventory: Inventory } | undefined;
  for (const name of await inventoryNames(storage, id)) {
    const inventory = decodeInventory(await readChecked(storage, name, MAX_INVENTORY_BYTES), `"${name}"`);
    if (newest && inventory.manifest !== newest.inventory.manifest) {
      throw new OperatorError(
        "integrity",
        `Cannot open exhibit "${id}": "${newest.name}" and "${name}" name different manifests`,
        { facts: { exhibit: id, file: name } },
      );
    }
    if (!newest || inventory.committedAt > newest.inventory.committedAt) newest = { name, inventory };
  }
  if (!newest) {
    throw new OperatorError(
      "not_found",
      `Cannot open exhibit "${id}": the store has no committed exhibit of this id`,
    );
  }
  return newest;
}
