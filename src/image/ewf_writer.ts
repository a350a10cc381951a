/**
 * A volume as an EWF-E01: cuts it into groups of chunks, has them packed beside one another, and gives them to the
 * segment files in their order. An export goes on after the last segment file that is whole, whose bytes are known by
 * their digest; what comes after is written anew, and is the same. Memory holds the groups under way.
 */
import { basename } from "@std/path";
import { OperatorError } from "../errors.ts";
import type { Disk } from "../model.ts";
import {
  type ContainerFile,
  type HeldSegment,
  type ImageContainer,
  literally,
  pathsLike,
  type ResumePoint,
} from "./container.ts";
import type { LinearDigestValues } from "./digests.ts";
import { GROUP_BYTES, ZERO_CHUNK } from "./ewf_chunks.ts";
import { CHUNK_BYTES, COMPRESSED, SECTOR_BYTES } from "./ewf_format.ts";
import type { EwfPackers, PackedGroup } from "./ewf_packers.ts";
import { EwfIndex } from "./ewf_index.ts";
import { type EwfOptions, EwfSegments } from "./ewf_segments.ts";
import type { ByteRange } from "./ranges.ts";

/** The fields of `error2` have 32 bits of sectors. */
const MAX_ERROR_SECTOR = 2 ** 32;
/** Of a chunk in the two tables. */
const ENTRIES_BYTES = 8;

/** What waits for its turn; positions are of the volume. */
type Queued =
  | { readonly kind: "group"; readonly position: number; readonly packed: Promise<PackedGroup> }
  | { readonly kind: "zeros"; readonly position: number; readonly endPosition: number }
  | { readonly kind: "error"; readonly range: ByteRange };

/** Files of a set, finished or (`.partial`) not, ascending as segments are. */
export function segmentsThere(disk: Disk, stem: string, suffix = ""): string[] {
  const name = new RegExp(`^${literally(basename(stem))}\\.E(?!00)(\\d\\d|[A-Z]{2})${literally(suffix)}$`);
  return pathsLike(disk, { beside: stem, name });
}

export class EwfWriter implements ImageContainer {
  readonly #disk: Disk;
  readonly #stem: string;
  readonly #segments: EwfSegments;
  readonly #packers: EwfPackers;
  readonly #queue: Queued[] = [];
  readonly #group = new Uint8Array(GROUP_BYTES);
  #groupBytes = 0;
  #groupCount = 0;
  /** Bytes of the volume so far. */
  #position = 0;
  /** All before is in segment files that are whole. */
  #keptBytes = 0;
  #held: readonly HeldSegment[] = [];

  constructor(disk: Disk, options: EwfOptions & { readonly packers: EwfPackers }) {
    this.#disk = disk;
    this.#stem = options.stem;
    this.#packers = options.packers;
    this.#segments = new EwfSegments(disk, options);
  }

  files(): readonly ContainerFile[] {
    return Array.from({ length: Math.max(1, this.#segments.count) }, (_, at) => this.#segments.file(at + 1));
  }

  async takeUp(held: readonly HeldSegment[]): Promise<ResumePoint> {
    let count = 0;
    const index = new EwfIndex(this.#disk, this.#segments.file(1).final);
    for (const { sha256, endBytes } of held) {
      const path = await this.#heldAt(count + 1, sha256);
      if (path === undefined) break;
      index.addSegment(count + 1, path);
      // Where it ends is not in its digest: taken on the checkpoint's word, chunks could be left out.
      if (index.isEnded || index.chunkCount * CHUNK_BYTES !== endBytes) break;
      count++;
    }
    this.#held = held.slice(0, count);
    this.#keptBytes = this.#held.at(-1)?.endBytes ?? 0;
    this.#segments.goOnAfter(count);
    return this.resumePoint();
  }

  resumePoint(): ResumePoint {
    return { durableBytes: this.#held.at(-1)?.endBytes ?? 0, segments: this.#held };
  }

  /** Nothing can be compared with what is there. */
  read(): number {
    return 0;
  }

  sizeBytes(): number {
    return 0;
  }

  /** To nothing: of an earlier session only those segment files stay that were taken up. */
  truncate(sizeBytes: number): void {
    if (sizeBytes > 0) return;
    if (this.#position > 0) throw new OperatorError("internal", "Cannot begin an E01 anew: it has begun");
    const first = this.#segments.file(1).partial;
    const kept = [first, ...this.#held.map((_, index) => this.#segments.file(index + 1).partial)];
    for (const path of segmentsThere(this.#disk, this.#stem, ".partial")) {
      if (!kept.includes(path)) this.#disk.remove(path);
    }
    if (this.#held.length > 0) return;
    const file = this.#disk.open(first, "update");
    try {
      file.truncate(0);
    } finally {
      file.close();
    }
  }

  addUnreadable(range: ByteRange): void {
    if (range.offsetBytes + range.lengthBytes > MAX_ERROR_SECTOR * SECTOR_BYTES) return;
    // In its turn: how many there are decides where a segment file ends.
    this.#queue.push({ kind: "error", range });
  }

  async write(bytes: Uint8Array, offset: number): Promise<void> {
    this.#expect(offset);
    for (let done = 0; done < bytes.length;) {
      const part = bytes.subarray(done, done + GROUP_BYTES - this.#groupBytes);
      if (part.length === GROUP_BYTES) await this.#addGroup(part, offset + done);
      else await this.#fill(part, offset + done);
      done += part.length;
    }
    this.#position += bytes.length;
  }

  async writeZeros(lengthBytes: number, offset: number): Promise<number> {
    this.#expect(offset);
    for (let done = 0; done < lengthBytes;) {
      const left = lengthBytes - done;
      const [position, whole] = [offset + done, left - left % GROUP_BYTES];
      const count = this.#groupBytes === 0 && whole > 0
        ? whole
        : Math.min(left, GROUP_BYTES - this.#groupBytes);
      if (count === whole) await this.#addZeros(position, position + whole);
      else await this.#fill(new Uint8Array(count), position);
      done += count;
    }
    this.#position += lengthBytes;
    return Math.ceil(lengthBytes / CHUNK_BYTES) * (ZERO_CHUNK.bytes.length + ENTRIES_BYTES);
  }

  async seal(digests: LinearDigestValues): Promise<void> {
    if (this.#groupBytes > 0) await this.#endGroup();
    await this.#advance(0);
    this.#segments.end(digests);
  }

  async sync(): Promise<void> {
    for (const { number, endBytes } of await this.#segments.sync()) {
      const sha256 = await this.#packers.fileSha256(this.#segments.file(number).partial);
      this.#held = [...this.#held, { sha256, endBytes }];
    }
  }

  close(): void {
    this.#segments.close();
    this.#packers.close();
  }

  /** Under its unfinished name. A whole one may have its final name already: the run was cut off while it gave them. */
  async #heldAt(number: number, sha256: string): Promise<string | undefined> {
    const { partial, final } = this.#segments.file(number);
    const isRenamed = number > 1 && !this.#disk.stat(partial);
    const path = isRenamed ? final : partial;
    if (this.#disk.stat(path)?.kind !== "file") return undefined;
    if (number === 1 && !this.#segments.isFirst(path)) return undefined;
    if (await this.#packers.fileSha256(path) !== sha256) return undefined;
    if (isRenamed) this.#disk.rename(final, partial);
    return partial;
  }

  #expect(offset: number): void {
    if (offset === this.#position) return;
    throw new OperatorError(
      "internal",
      `Cannot write E01 at byte ${offset}: expected byte ${this.#position}`,
    );
  }

  async #fill(part: Uint8Array, position: number): Promise<void> {
    this.#group.set(part, this.#groupBytes);
    this.#groupBytes += part.length;
    if (this.#groupBytes === GROUP_BYTES) await this.#endGroup(position + part.length);
  }

  async #endGroup(endPosition = this.#position): Promise<void> {
    const lengthBytes = this.#groupBytes;
    this.#groupBytes = 0;
    await this.#addGroup(this.#group.subarray(0, lengthBytes), endPosition - lengthBytes);
  }

  async #addGroup(bytes: Uint8Array, position: number): Promise<void> {
    if (position + bytes.length <= this.#keptBytes) return;
    await this.#advance(this.#packers.count - 1);
    const packed = this.#packers.pack(bytes);
    // Whoever writes it is told.
    packed.catch(() => undefined);
    this.#groupCount++;
    this.#queue.push({ kind: "group", position, packed });
  }

  async #addZeros(position: number, endPosition: number): Promise<void> {
    if (endPosition <= this.#keptBytes) return;
    this.#queue.push({ kind: "zeros", position, endPosition });
    await this.#advance(this.#groupCount);
  }

  /** Writes what is next in the queue, until at most `groupCount` groups are left. */
  async #advance(groupCount: number): Promise<void> {
    for (let next = this.#queue[0]; next; next = this.#queue[0]) {
      if (next.kind === "group") {
        if (this.#groupCount <= groupCount) return;
        const group = await next.packed;
        this.#writeGroup(group, next.position);
        group.release();
        this.#groupCount--;
      } else if (next.kind === "zeros") {
        for (let at = Math.max(next.position, this.#keptBytes); at < next.endPosition; at += CHUNK_BYTES) {
          this.#segments.add(ZERO_CHUNK.bytes, { isCompressed: true, position: at });
        }
      } else {
        this.#segments.addError(next.range);
      }
      this.#queue.shift();
    }
  }

  #writeGroup({ sizes, bytes }: PackedGroup, start: number): void {
    let from = 0;
    sizes.forEach((size, index) => {
      const isCompressed = size >= COMPRESSED;
      const end = from + size % COMPRESSED;
      const position = start + index * CHUNK_BYTES;
      if (position >= this.#keptBytes) {
        this.#segments.add(bytes.subarray(from, end), { isCompressed, position });
      }
      from = end;
    });
  }
}
