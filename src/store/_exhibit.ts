/**
 * A committed exhibit: its manifest and inventory, its segments one at a time, and its blocks as a
 * `BlockReader`. Whatever it gives was checked against the digest that names it.
 */
import { isFault, messageOf, OperatorError } from "../errors.ts";
import {
  decodeDescription,
  decodeSessions,
  decodeUnreadable,
  type Description,
  MAX_DOCUMENT_BYTES,
  type Session,
  type UnreadableDocument,
} from "../format/documents.ts";
import { commitmentOf, sha256, zeroDigest } from "../format/digests.ts";
import { decodeFileMap, type FileMap, fileOf, MAX_FILE_MAP_BYTES } from "../format/file_map.ts";
import type { Inventory } from "../format/inventory.ts";
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
import type { Contents } from "./_contents.ts";
import { type Corrections, readCorrections } from "./_corrections.ts";
import { loadOuter, type OuterExhibit } from "./_outer.ts";
import { checkSignatures, type SignatureCheck } from "./_signatures.ts";
import type { PackedBlocks } from "./_packed_blocks.ts";

/** What an exhibit is loaded from. */
export interface ExhibitParts {
  readonly storage: ObjectStorage;
  readonly contents: Contents;
  readonly blocks: PackedBlocks;
}

/** What an exhibit is made of when it is loaded. */
type Parts =
  & OuterExhibit
  & Pick<Exhibit, "corrections" | "manifest" | "manifestDigest" | "manifestCheck" | "map">;

export class Exhibit implements BlockReader, OuterExhibit {
  readonly id: ExhibitId;
  readonly manifest: Manifest;
  readonly inventory: Inventory;
  /** SHA-256 of the manifest's own bytes. */
  readonly manifestDigest: Digest;
  readonly manifestFile: ObjectName;
  readonly inventoryFile: ObjectName;
  readonly mapFile: ObjectName | undefined;
  /** Which file holds which segment and document; `undefined` in a plain store: names say it. */
  readonly map: FileMap | undefined;
  /** Signatures over the manifest: at least one holds. */
  readonly manifestCheck: SignatureCheck;
  /** Signatures over the inventory: at least one holds, by a key that signed the manifest too. */
  readonly inventoryCheck: SignatureCheck;
  /** Its case, as it counts: the manifest's own facts may have been corrected. */
  readonly corrections: Corrections;
  readonly shape: VolumeShape;
  readonly #contents: Contents;
  readonly #blocks: PackedBlocks;
  /**
   * The two segments read last, by digest and length: a reader goes forward, an incremental acquisition looks back
   * by one, and most segments of a volume are equal.
   */
  readonly #segments = new Map<string, Segment>();

  private constructor(parts: Parts, contents: Contents, blocks: PackedBlocks) {
    this.id = parts.id;
    this.manifest = parts.manifest;
    this.inventory = parts.inventory;
    this.manifestDigest = parts.manifestDigest;
    this.manifestFile = parts.manifestFile;
    this.inventoryFile = parts.inventoryFile;
    this.mapFile = parts.mapFile;
    this.map = parts.map;
    this.manifestCheck = parts.manifestCheck;
    this.inventoryCheck = parts.inventoryCheck;
    this.corrections = parts.corrections;
    this.shape = checkVolume(parts.manifest.volume, parts.manifestFile);
    this.#contents = contents;
    this.#blocks = blocks;
  }

  /**
   * Throws `not_found` where the exhibit was never committed, `integrity` or `format` where it is damaged,
   * `identity` where it is encrypted and nothing opens it.
   */
  static async load(from: ExhibitParts, id: ExhibitId): Promise<Exhibit> {
    const { storage, contents } = from;
    const outer = await loadOuter(storage, id);
    const { manifestFile, inventoryFile, inventory, mapFile } = outer;
    const refuse = (fault: string, file = inventoryFile): never => {
      throw new OperatorError("integrity", `Cannot accept "${file}": ${fault}`, { facts: { file } });
    };
    if ((mapFile !== undefined) !== contents.isEncrypted) refuse("it is not of the store's mode");
    const bytes = await contents.read(manifestFile, MAX_MANIFEST_BYTES);
    const manifest = decodeManifest(bytes, `"${manifestFile}"`);
    const manifestDigest = sha256(bytes);
    const manifestCheck = await checkSignatures(storage, {
      name: manifestFile,
      bytes,
      namespace: "coldcase-manifest@v1",
    });
    if (inventory.commitment !== commitmentOf(manifestDigest)) {
      refuse(`its commitment is not that of "${manifestFile}"`);
    }
    if (manifest.acquisition.exhibit !== id) refuse("it is of another exhibit", manifestFile);
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
    if (!signers.has(signer)) {
      const why = manifestCheck.faults.map(({ message }) => `; ${message}`).join("");
      refuse(`it has no signature by ${signer}, who it says signed it${why}`, manifestFile);
    }
    if (!outer.inventoryCheck.held.some(({ key }) => signers.has(key.fingerprint))) {
      refuse(`no key signed both it and "${manifestFile}"`);
    }
    const map = mapFile && decodeFileMap(await contents.read(mapFile, MAX_FILE_MAP_BYTES), `"${mapFile}"`);
    const { sessions, description, unreadable } = manifest.acquisition.documents;
    const documents = [sessions, description, unreadable].filter((digest) => digest !== null);
    const isWhole = !map || manifest.segments.every((digest) => fileOf(map.segments, digest) !== undefined) &&
        documents.every((digest) => fileOf(map.documents, digest) !== undefined);
    if (!isWhole) refuse("it lacks what the manifest names", mapFile);
    const corrections = await readCorrections(from, { id, manifest, manifestDigest });
    const parts = { ...outer, corrections, manifest, manifestDigest, manifestCheck, map: map || undefined };
    return new Exhibit(parts, contents, from.blocks);
  }

  /** The file that holds a segment of this exhibit. */
  segmentFile(digest: Digest): ObjectName {
    return this.#fileOf("segment", digest);
  }

  /** The file that holds a side document of this exhibit. */
  documentFile(digest: Digest): ObjectName {
    return this.#fileOf("document", digest);
  }

  #fileOf(kind: "segment" | "document", digest: Digest): ObjectName {
    const { map } = this;
    const known = map ? fileOf(kind === "segment" ? map.segments : map.documents, digest) : digest;
    if (known !== undefined) return this.#contents.nameOf(kind, known, this.id);
    throw new RangeError(`${kind} ${digest} is none of "${this.id}"`);
  }

  /** What is in a file, whose digest must be this one. */
  async #read(name: ObjectName, digest: Digest, maxBytes: number): Promise<Uint8Array> {
    const bytes = await this.#contents.read(name, maxBytes);
    const computed = this.map ? sha256(bytes) : digest; // a plain file's digest is that of its name, which was checked
    if (computed === digest) return bytes;
    throw new OperatorError(
      "integrity",
      `Cannot accept "${name}": it holds what has SHA-256 ${computed}, expected ${digest}`,
      { facts: { file: name } },
    );
  }

  /**
   * Segment `position`, its digest compared with the manifest's: the same object for equal neighbours. Throws
   * `integrity` or `format`.
   */
  async segment(position: number): Promise<Segment> {
    const digest = this.manifest.segments[position];
    if (digest === undefined) throw new RangeError(`segment ${position} of ${this.manifest.segments.length}`);
    const blockCount = segmentLength(this.shape, position);
    const key = `${digest} ${blockCount}`;
    const known = this.#segments.get(key);
    if (known) return known;
    const name = this.segmentFile(digest);
    const segment = decodeSegment(await this.#read(name, digest, MAX_SEGMENT_BYTES), {
      name: `"${name}"`,
      blockCount,
      blockSizeBytes: this.shape.blockSizeBytes,
    });
    if (this.#segments.size >= 2) this.#segments.delete(this.#segments.keys().next().value!);
    this.#segments.set(key, segment);
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
      if (!isFault(error)) throw error;
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
    const nameOf = (digest: Digest | null) => digest && this.documentFile(digest);
    return {
      sessions: this.documentFile(sessions),
      unreadable: nameOf(unreadable),
      description: nameOf(description),
    };
  }

  /** The unreadable blocks with their reasons; `undefined` where there are none. */
  async unreadable(): Promise<UnreadableDocument["entries"] | undefined> {
    const digest = this.manifest.acquisition.documents.unreadable;
    return digest ? decodeUnreadable(await this.documentBytes(digest)).entries : undefined;
  }

  async sessions(): Promise<readonly Session[]> {
    return decodeSessions(await this.documentBytes(this.manifest.acquisition.documents.sessions));
  }

  /** What the service said of the snapshot; `undefined` where no session was told. */
  async description(): Promise<Description | undefined> {
    const digest = this.manifest.acquisition.documents.description;
    return digest ? decodeDescription(await this.documentBytes(digest)) : undefined;
  }

  /** The bytes of a side document, which are what its digest says. */
  documentBytes(digest: Digest): Promise<Uint8Array> {
    return this.#read(this.documentFile(digest), digest, MAX_DOCUMENT_BYTES);
  }
}
