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
import { commitmentOf, sha256, zeroDigest } from "../format/digests.ts";
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
import { checkSignatures, type SignatureCheck } from "./_signatures.ts";
import type { PackedBlocks } from "./_packed_blocks.ts";

export class Exhibit implements BlockReader {
  readonly id: ExhibitId;
  readonly manifest: Manifest;
  readonly inventory: Inventory;
  /** SHA-256 of the manifest's own bytes. */
  readonly manifestDigest: Digest;
  readonly manifestFile: ObjectName;
  readonly inventoryFile: ObjectName;
  /** Signatures over the manifest: at least one holds. */
  readonly manifestCheck: SignatureCheck;
  /** Signatures over the inventory: at least one holds, by a key that signed the manifest too. */
  readonly inventoryCheck: SignatureCheck;
  readonly shape: VolumeShape;
  readonly #storage: ObjectStorage;
  readonly #blocks: PackedBlocks;
  /** The two segments read last: a reader goes forward, an incremental acquisition looks back by one. */
  readonly #segments = new Map<number, Segment>();

  private constructor(
    parts: Pick<
      Exhibit,
      | "manifest"
      | "manifestDigest"
      | "inventory"
      | "manifestFile"
      | "inventoryFile"
      | "manifestCheck"
      | "inventoryCheck"
    >,
    storage: ObjectStorage,
    blocks: PackedBlocks,
  ) {
    this.id = parts.inventory.exhibit;
    this.manifest = parts.manifest;
    this.inventory = parts.inventory;
    this.manifestDigest = parts.manifestDigest;
    this.manifestFile = parts.manifestFile;
    this.inventoryFile = parts.inventoryFile;
    this.manifestCheck = parts.manifestCheck;
    this.inventoryCheck = parts.inventoryCheck;
    this.shape = checkVolume(parts.manifest.volume, parts.manifestFile);
    this.#storage = storage;
    this.#blocks = blocks;
  }

  /** Throws `not_found` where the exhibit was never committed, `integrity` or `format` where it is damaged. */
  static async load(storage: ObjectStorage, blocks: PackedBlocks, id: ExhibitId): Promise<Exhibit> {
    const { name: inventoryFile, inventory, check: inventoryCheck } = await newestInventory(storage, id);
    const manifestFile = manifestName(id, inventory.manifest);
    const bytes = await readChecked(storage, manifestFile, MAX_MANIFEST_BYTES);
    const manifest = decodeManifest(bytes, `"${manifestFile}"`);
    const manifestCheck = await checkSignatures(storage, {
      name: manifestFile,
      bytes,
      namespace: "coldcase-manifest@v1",
    });
    const refuse = (fault: string, file = inventoryFile): never => {
      throw new OperatorError("integrity", `Cannot accept "${file}": ${fault}`, { facts: { file } });
    };
    const manifestDigest = sha256(bytes);
    if (inventory.commitment !== commitmentOf(manifestDigest)) {
      refuse(`its commitment is not that of "${manifestFile}"`);
    }
    if (inventory.exhibit !== id || manifest.acquisition.exhibit !== id) refuse("it is of another exhibit");
    if (manifest.source.snapshot !== inventory.snapshot) {
      refuse(`its snapshot is not that of "${manifestFile}"`);
    }
    if ((manifest.parent?.exhibit ?? null) !== inventory.parent) {
      refuse(`its parent is not that of "${manifestFile}"`);
    }
    if (manifestCheck.held.length === 0) {
      refuse(manifestCheck.faults[0]?.message ?? "it has no signature", manifestFile);
    }
    const signers = new Set(manifestCheck.held.map(({ key }) => key.fingerprint));
    const { signer } = manifest.acquisition;
    if (!signers.has(signer)) refuse(`it has no signature by ${signer}, who it says signed it`, manifestFile);
    if (!inventoryCheck.held.some(({ key }) => signers.has(key.fingerprint))) {
      refuse(`no key signed both it and "${manifestFile}"`);
    }
    const files = { manifestFile, inventoryFile };
    const parts = { manifest, manifestDigest, inventory, ...files, manifestCheck, inventoryCheck };
    return new Exhibit(parts, storage, blocks);
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

  /** Names of the side documents; null as in the manifest. */
  get documentFiles(): {
    sessions: ObjectName;
    unreadable: ObjectName | null;
    description: ObjectName | null;
  } {
    const { sessions, unreadable, description } = this.manifest.acquisition.documents;
    const nameOf = (digest: Digest | null) => digest && documentName(digest);
    return {
      sessions: documentName(sessions),
      unreadable: nameOf(unreadable),
      description: nameOf(description),
    };
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

/** Names of the signed inventories of an exhibit; none: it was never committed. */
export async function inventoryNames(storage: ObjectStorage, id: ExhibitId): Promise<ObjectName[]> {
  const names: ObjectName[] = [];
  const signed = new Set<string>();
  for await (const { name } of storage.list(`${EXHIBITS_FOLDER}/${id}/`)) {
    if (parseName(name)?.kind === "inventory") names.push(name);
    const stem = /^(.*)\.[0-9a-f]{16}\.sshsig$/.exec(name)?.[1];
    if (stem) signed.add(`${stem}.txt`);
  }
  return names.filter((name) => signed.has(name));
}

interface SignedInventory {
  readonly name: ObjectName;
  readonly inventory: Inventory;
  readonly check: SignatureCheck;
}

/**
 * Copying and repairing write new inventories; the one committed last says where the exhibit lies now. One
 * whose signature does not hold is no inventory, and makes the exhibit unusable: which one is the newest is
 * not known any more. All of them are of one manifest.
 */
async function newestInventory(storage: ObjectStorage, id: ExhibitId): Promise<SignedInventory> {
  let newest: SignedInventory | undefined;
  for (const name of await inventoryNames(storage, id)) {
    const bytes = await readChecked(storage, name, MAX_INVENTORY_BYTES);
    const inventory = decodeInventory(bytes, `"${name}"`);
    const check = await checkSignatures(storage, { name, bytes, namespace: "coldcase-inventory@v1" });
    if (check.held.length === 0) {
      throw new OperatorError(
        "integrity",
        `Cannot accept "${name}": ${check.faults[0]?.message ?? "it has no signature"}`,
        {
          facts: { file: name },
        },
      );
    }
    if (newest && inventory.commitment !== newest.inventory.commitment) {
      throw new OperatorError(
        "integrity",
        `Cannot open exhibit "${id}": "${newest.name}" and "${name}" name different manifests`,
        { facts: { exhibit: id, file: name } },
      );
    }
    if (!newest || inventory.committedAt > newest.inventory.committedAt) newest = { name, inventory, check };
  }
  if (!newest) {
    throw new OperatorError(
      "not_found",
      `Cannot open exhibit "${id}": the store has no committed exhibit of this id`,
    );
  }
  return newest;
}
