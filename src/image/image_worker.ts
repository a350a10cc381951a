/**
 * A worker thread of an export, started by `image_threads.ts` only: compresses groups of chunks, computes digests, reads a
 * file again for its digest. It writes to the memory that it shares with that thread, and to no file.
 */
/// <reference lib="webworker" />
import { realDisk } from "../world.ts";
import { LinearDigests } from "./digests.ts";
import { packGroup } from "./ewf_chunks.ts";
import { fileSha256 } from "./file_digest.ts";
import type { FromThread, SharedPart, ThreadRequest, ThreadResults, ToThread } from "./image_threads.ts";

class WorkerThread {
  readonly #memory: SharedArrayBuffer;
  readonly #digests: LinearDigests;

  constructor({ memory, digests }: Extract<ToThread, { memory: unknown }>) {
    this.#memory = memory;
    this.#digests = new LinearDigests(digests);
  }

  resultOf(request: ThreadRequest): ThreadResults[keyof ThreadResults] {
    switch (request.type) {
      case "pack":
        return packGroup(this.#part(request.from), this.#part(request.into));
      case "update":
        return void this.#digests.update(this.#part(request.from));
      case "update_zeros":
        return void this.#digests.updateZeros(request.lengthBytes);
      case "followed_by":
        return this.#digests.followedBy(request.bytes);
      case "finish":
        return this.#digests.finish();
      case "digest_file":
        return fileSha256(realDisk, request.path);
    }
  }

  #part({ offset, lengthBytes }: SharedPart): Uint8Array {
    return new Uint8Array(this.#memory, offset, lengthBytes);
  }
}

let thread: WorkerThread | undefined;

self.onmessage = ({ data }: MessageEvent<ToThread>) => {
  if ("memory" in data) {
    thread = new WorkerThread(data);
    return;
  }
  self.postMessage(answerTo(data.request));
};

function answerTo(request: ThreadRequest): FromThread {
  try {
    if (!thread) throw new Error("no memory was named");
    return { result: thread.resultOf(request) };
  } catch (error) {
    return { failure: error instanceof Error ? error.message : String(error) };
  }
}
