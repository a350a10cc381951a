/**
 * `IMAGE.map.json`: which bytes of an image were never written, were written as zeros, or could not be
 * read. An image cannot say so itself, since all three are zeros in it; what the map does not name is
 * stored data. Written as a stream, one range a line, so that memory does not know the volume's size.
 *
 *   { "type": "coldcase-image-map", "version": 1,
 *     "image": …, "imageDigest": …, "volumeSizeBytes": …, "blockSizeBytes": …,
 *     "ranges": [ { "state": "absent"|"zero"|"unreadable", "offsetBytes": …, "lengthBytes": … }, … ],
 *     "totals": { "absentBytes": …, "zeroBytes": …, "storedBytes": …, "unreadableBytes": … } }
 *
 * Ranges ascend, do not overlap, and neighbours differ in state. `totals` comes last: a map without it is
 * not whole.
 */
import type { BlockState, Disk, DiskFile, VolumeShape } from "../model.ts";
import { volumeSizeBytes } from "./blocks.ts";

/** Text is written in pieces of about this many characters. */
const FLUSH_CHARACTERS = 64 * 1024;

/** What a map says of its image, beside the ranges. */
export interface MapHead {
  /** File name of the image, without its folder. */
  readonly image: string;
  readonly imageDigest: string;
  readonly shape: VolumeShape;
}

/** Writes one map. A failed write is the disk's own error; the writer must then not be used again. */
export class MapWriter {
  readonly #file: DiskFile;
  readonly #shape: VolumeShape;
  readonly #encoder = new TextEncoder();
  #text: string;
  #offset = 0;
  #rangeCount = 0;
  #open: { state: BlockState; firstBlock: number; blockCount: number } | undefined;
  readonly #blocks: Record<BlockState, number> = { absent: 0, zero: 0, stored: 0, unreadable: 0 };

  /** Creates the file `path`, which must not exist. */
  constructor(disk: Disk, options: { readonly path: string; readonly head: MapHead }) {
    const { image, imageDigest, shape } = options.head;
    this.#shape = shape;
    this.#file = disk.open(options.path, "create");
    const head = {
      type: "coldcase-image-map",
      version: 1,
      image,
      imageDigest,
      volumeSizeBytes: volumeSizeBytes(shape),
      blockSizeBytes: shape.blockSizeBytes,
    };
    this.#text = JSON.stringify(head, null, 2).slice(0, -2) + ',\n  "ranges": [';
  }

  /** The next run of the volume; every block once, in order. */
  add(run: { readonly state: BlockState; readonly firstBlock: number; readonly blockCount: number }): void {
    this.#blocks[run.state] += run.blockCount;
    if (this.#open?.state === run.state) {
      this.#open.blockCount += run.blockCount;
      return;
    }
    this.#closeRange();
    this.#open = { ...run };
  }

  /** Ends the map and makes it durable under the name that it was created with. */
  async finish(): Promise<void> {
    this.#closeRange();
    const size = this.#shape.blockSizeBytes;
    const totals = {
      absentBytes: this.#blocks.absent * size,
      zeroBytes: this.#blocks.zero * size,
      storedBytes: this.#blocks.stored * size,
      unreadableBytes: this.#blocks.unreadable * size,
    };
    this.#text += `${this.#rangeCount === 0 ? "" : "\n  "}],\n  "totals": ${JSON.stringify(totals)}\n}\n`;
    this.#flush();
    await this.#file.sync();
  }

  close(): void {
    this.#file.close();
  }

  #closeRange(): void {
    const run = this.#open;
    if (!run || run.state === "stored") return;
    const size = this.#shape.blockSizeBytes;
    const range = {
      state: run.state,
      offsetBytes: run.firstBlock * size,
      lengthBytes: run.blockCount * size,
    };
    this.#text += `${this.#rangeCount++ === 0 ? "" : ","}\n    ${JSON.stringify(range)}`;
    if (this.#text.length >= FLUSH_CHARACTERS) this.#flush();
  }

  #flush(): void {
    const bytes = this.#encoder.encode(this.#text);
    this.#file.write(bytes, this.#offset);
    this.#offset += bytes.length;
    this.#text = "";
  }
}
