/**
 * A worker thread that makes, checks and reads packs, started by `_threads.ts` only. It builds its own real disk, as
 * `main.ts` does for the main thread; packs are all that it writes, at the paths that it is given.
 */
/// <reference lib="webworker" />
import { RECORD_HEADER_BYTES } from "../format/pack.ts";
import { realDisk, realRandomness } from "../world.ts";
import { guardedDisk } from "./_guard.ts";
import { LocalStorage } from "./_local_storage.ts";
import { PackFile } from "./_pack_file.ts";
import { PackReading } from "./_pack_reading.ts";
import {
  type FromThread,
  ownedBuffer,
  tellError,
  type ThreadRequest,
  type ThreadResults,
  type ToThread,
} from "./_threads.ts";

class StoreThread {
  readonly #disk;
  readonly #reading;
  readonly #files = new Map<number, PackFile>();

  constructor(root: string) {
    this.#disk = guardedDisk(realDisk, root);
    this.#reading = new PackReading(
      new LocalStorage({ disk: this.#disk, root, randomness: realRandomness }),
    );
  }

  async resultOf(request: ThreadRequest): Promise<ThreadResults[keyof ThreadResults]> {
    switch (request.type) {
      case "start":
        this.#files.set(request.pack, new PackFile(this.#disk, request.place));
        return undefined;
      case "add":
        return { sizeBytes: this.#fileOf(request.pack).add(request.block), bytes: request.block.bytes };
      case "close": {
        const closed = await this.#fileOf(request.pack).close();
        this.#files.delete(request.pack);
        return closed;
      }
      case "abandon":
        this.#files.get(request.pack)?.abandon();
        this.#files.delete(request.pack);
        return undefined;
      case "check":
        return this.#reading.check(request.pack);
      case "read":
        return this.#reading.read(request.record);
    }
  }

  #fileOf(pack: number): PackFile {
    const file = this.#files.get(pack);
    if (!file) throw new Error(`no pack ${pack} was started`);
    return file;
  }
}

let thread: StoreThread | undefined;

self.onmessage = async ({ data }: MessageEvent<ToThread>) => {
  if ("root" in data) {
    thread = new StoreThread(data.root);
    return;
  }
  const { number, request } = data;
  if (!thread) throw new Error("no store was named");
  const answer: FromThread = await thread.resultOf(request).then(
    (result) => ({ number, result }),
    (error) => ({ number, failure: tellError(error) }),
  );
  self.postMessage(answer, "result" in answer ? memoryOf(answer.result) : []);
};

/** What goes back with an answer instead of being copied. */
function memoryOf(result: ThreadResults[keyof ThreadResults]): ArrayBuffer[] {
  if (result instanceof Uint8Array) {
    // A block that lies in its record's memory takes that with it.
    return ownedBuffer(result, result.byteOffset === RECORD_HEADER_BYTES ? RECORD_HEADER_BYTES : 0);
  }
  return result && "bytes" in result ? ownedBuffer(result.bytes) : [];
}
