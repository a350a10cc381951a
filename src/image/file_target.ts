/**
 * An image as a file or a set of files (see container.ts), with its log and its map beside it. Written as
 * `IMAGE.partial`, which gets its final name last (of a set: the first file), so that an image under its final
 * name is whole, durable and has both. An unfinished image
 * is taken up again by comparing it with the exhibit, up to the last byte that is known to be durable;
 * from the first difference on it is written anew. It does not decide what is in an image.
 */
import { Buffer } from "node:buffer";
import { dirname } from "@std/path";
import type { Disk } from "../model.ts";
import type { VolumePiece } from "./blocks.ts";
import { type Checkpoint, writeCheckpoint } from "./checkpoint.ts";
import type { ImageContainer } from "./container.ts";
import { type LinearDigestValues, ZERO_BYTES } from "./digests.ts";
import { diskFailure } from "./failures.ts";
import type { MapWriter } from "./map.ts";
import type { ImageTarget } from "./target.ts";
import type { WindowLogs } from "./window_log.ts";

/** The files of one export. */
export interface ImageNames {
  readonly image: string;
  readonly partial: string;
  readonly checkpoint: string;
  readonly log: string;
  readonly partialLog: string;
  readonly map: string;
  readonly partialMap: string;
}

export function imageNames(image: string): ImageNames {
  const [log, map] = [`${image}.log`, `${image}.map.json`];
  return {
    image,
    partial: `${image}.partial`,
    checkpoint: `${image}.partial.json`,
    log,
    partialLog: `${log}.partial`,
    map,
    partialMap: `${map}.partial`,
  };
}

/** Held while a session writes an image; dies with its process. */
export interface ImageLock {
  release(): void;
}

export interface FileTargetParts {
  readonly disk: Disk;
  readonly container: ImageContainer;
  /** Files of an earlier image that this one replaces, the first of a set first. */
  readonly replaced: readonly string[];
  readonly map: MapWriter;
  /** They get their names with the image. */
  readonly windows: WindowLogs | undefined;
  readonly lock: ImageLock | undefined;
  readonly notes: string[];
  readonly checkpoint: Checkpoint;
  readonly syncEveryBytes: number;
}

export class FileTarget implements ImageTarget {
  readonly kind = "file";
  readonly path: string;
  readonly notes: string[];
  readonly excessBytes = 0;
  readonly names: ImageNames;
  readonly windows: WindowLogs | undefined;
  readonly #disk: Disk;
  readonly #container: ImageContainer;
  readonly #replaced: readonly string[];
  readonly #map: MapWriter;
  readonly #lock: ImageLock | undefined;
  readonly #syncEveryBytes: number;
  #checkpoint: Checkpoint;
  /** Below it, what is there is compared; from it on, written. */
  #compareUntil: number;
  /** All of the image below it is right. */
  #position = 0;
  #unsyncedBytes = 0;
  #checkedBytes: number;
  /** The sync under way; resolves with what went wrong. */
  #syncing: Promise<unknown> = Promise.resolve();
  #buffer = new Uint8Array(0);

  constructor(names: ImageNames, parts: FileTargetParts) {
    this.path = names.image;
    this.names = names;
    this.notes = parts.notes;
    this.#disk = parts.disk;
    this.#container = parts.container;
    this.#replaced = parts.replaced;
    this.#map = parts.map;
    this.windows = parts.windows;
    this.#lock = parts.lock;
    this.#syncEveryBytes = parts.syncEveryBytes;
    this.#checkpoint = parts.checkpoint;
    const { container, checkpoint } = parts;
    this.#compareUntil = container.takeUp ? 0 : checkpoint.durableBytes;
    this.#checkedBytes = container.takeUp ? checkpoint.durableBytes : 0;
  }

  get sessions(): number {
    return this.#checkpoint.sessions;
  }

  /** When the first session began, RFC 3339 UTC. */
  get startedAt(): string {
    return this.#checkpoint.startedAt;
  }

  /** Bytes that an earlier session wrote, compared with the exhibit (of an E01: checked) in this one, and kept. */
  get checkedBytes(): number {
    return this.#checkedBytes;
  }

  isHoleFree(offset: number): boolean {
    // What is made of segment files has no holes: its zeros are written too.
    return offset >= this.#compareUntil && !this.#container.takeUp;
  }

  announce(piece: VolumePiece): void {
    const blockCount = piece.state === "stored" ? 1 : piece.blockCount;
    this.#attempt("write map", this.names.partialMap, () => {
      this.#map.add({ state: piece.state, firstBlock: piece.firstBlock, blockCount });
    });
    if (piece.state !== "unreadable") return;
    const size = this.#checkpoint.blockSizeBytes;
    this.#container.addUnreadable({
      offsetBytes: piece.firstBlock * size,
      lengthBytes: blockCount * size,
    });
  }

  async write(bytes: Uint8Array, offset: number): Promise<void> {
    if (!await this.#isThere(bytes, offset)) {
      await this.#attempted("write image", async () => await this.#container.write(bytes, offset));
      this.#unsyncedBytes += bytes.length;
    }
    this.#position = offset + bytes.length;
    if (this.#unsyncedBytes >= this.#syncEveryBytes) await this.#syncBeside();
  }

  async writeHole(lengthBytes: number, offset: number): Promise<void> {
    for (let done = 0; done < lengthBytes && offset + done < this.#compareUntil;) {
      const count = Math.min(ZERO_BYTES.length, lengthBytes - done, this.#compareUntil - offset - done);
      await this.#isThere(ZERO_BYTES.subarray(0, count), offset + done);
      done += count;
    }
    const zeros = async () => await this.#container.writeZeros(lengthBytes, offset);
    this.#unsyncedBytes += await this.#attempted("write image", zeros);
    this.#position = offset + lengthBytes;
    if (this.#unsyncedBytes >= this.#syncEveryBytes) await this.#syncBeside();
  }

  async save(): Promise<void> {
    await this.#syncBeside();
    await this.#syncEnded();
  }

  /** Writes what the format has at its end; the files of the image, under their final names, in order. */
  async seal(digests: LinearDigestValues): Promise<readonly string[]> {
    await this.#attempted("write image", async () => await this.#container.seal(digests));
    return this.#container.files().map(({ final }) => final);
  }

  /** After `seal`, and that of the windows' logs: everything durable, then the final names, the image's last. `logText` is the whole log. */
  async finish(logText: string): Promise<void> {
    const { names } = this;
    await this.save();
    try {
      await this.#map.finish();
      await this.#writeLog(logText);
      // Replaced, not merely overtaken: an image never has another one's log or pieces beside it.
      if (this.#replaced.length > 0) {
        for (const path of this.#replaced) {
          if (this.#disk.stat(path)) this.#disk.remove(path);
        }
        await this.#disk.syncDirectory(dirname(names.image));
      }
      await this.windows?.publish();
      this.#disk.rename(names.partialMap, names.map);
      this.#disk.rename(names.partialLog, names.log);
      const later = this.#container.files().slice(1);
      // The log first, for certain: without it a file with its final name is somebody else's to the next session.
      if (later.length > 0) await this.#disk.syncDirectory(dirname(names.image));
      for (const { partial, final } of later) this.#disk.rename(partial, final);
      await this.#disk.syncDirectory(dirname(names.image));
      this.#disk.rename(names.partial, names.image);
      await this.#disk.syncDirectory(dirname(names.image));
      this.#disk.remove(names.checkpoint);
    } catch (error) {
      throw diskFailure("finish image", names.image, error);
    }
  }

  close(): void {
    this.#container.close();
    this.#map.close();
    this.windows?.close();
    this.#lock?.release();
  }

  /** Compares where an earlier session wrote. From the first difference on, all is written anew. */
  async #isThere(bytes: Uint8Array, offset: number): Promise<boolean> {
    if (offset + bytes.length > this.#compareUntil) return false;
    if (this.#buffer.length < bytes.length) this.#buffer = new Uint8Array(bytes.length);
    const held = this.#buffer.subarray(0, bytes.length);
    const count = this.#attempt(
      "read back image",
      this.names.partial,
      () => this.#container.read(held, offset),
    );
    if (count === bytes.length && equalBytes(held, bytes)) {
      this.#checkedBytes += bytes.length;
      return true;
    }
    this.notes.push(
      `The unfinished image differed from the exhibit at byte ${offset} or after; from there on it was written anew.`,
    );
    this.#compareUntil = offset;
    try {
      this.#container.truncate(offset);
      this.#container.truncate(this.#checkpoint.volumeSizeBytes);
      this.#checkpoint = { ...this.#checkpoint, durableBytes: offset };
      await writeCheckpoint(this.#disk, this.names.checkpoint, this.#checkpoint);
    } catch (error) {
      throw diskFailure("write image", this.names.partial, error);
    }
    return false;
  }

  /** Starts a sync beside the writing, after the one before has ended. */
  async #syncBeside(): Promise<void> {
    await this.#syncEnded();
    const durableBytes = Math.max(this.#position, this.#checkpoint.durableBytes);
    this.#unsyncedBytes = 0;
    this.#syncing = this.#sync(durableBytes).then(() => undefined, (error: unknown) => error);
  }

  async #sync(durableBytes: number): Promise<void> {
    await this.#container.sync();
    this.#checkpoint = { ...this.#checkpoint, durableBytes, ...this.#container.resumePoint?.() };
    await writeCheckpoint(this.#disk, this.names.checkpoint, this.#checkpoint);
  }

  async #syncEnded(): Promise<void> {
    const error = await this.#syncing;
    // Kept for the next caller: after a failed sync nothing that was written since the last one counts,
    // and asking again would be answered as if all were well.
    if (error !== undefined) throw diskFailure("make durable image", this.names.partial, error);
  }

  async #writeLog(text: string): Promise<void> {
    const file = this.#disk.open(this.names.partialLog, "create");
    try {
      file.write(new TextEncoder().encode(text), 0);
      await file.sync();
    } finally {
      file.close();
    }
  }

  async #attempted<T>(action: string, call: () => Promise<T>): Promise<T> {
    try {
      return await call();
    } catch (error) {
      throw diskFailure(action, this.names.partial, error);
    }
  }

  #attempt<T>(action: string, path: string, call: () => T): T {
    try {
      return call();
    } catch (error) {
      throw diskFailure(action, path, error);
    }
  }
}

function equalBytes(one: Uint8Array, other: Uint8Array): boolean {
  return Buffer.compare(one, other) === 0;
}
