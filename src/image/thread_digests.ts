/**
 * Linear digests in worker threads: MD5, which is a third as fast as the others, in one, the others in a second. Bytes
 * are copied once into memory that both see; memory is bounded, and a caller that is faster waits.
 */
import { type DigestName, LinearDigests, type LinearDigestValues } from "./digests.ts";
import { ImageThread, type ThreadRequest } from "./image_threads.ts";

const SLOT_BYTES = 524_288;
const SLOTS = 16;

/** Running digests over bytes given in order, here or elsewhere. */
export interface RunningDigests {
  /** True where nothing was asked for, so that bytes need not be shown at all. */
  readonly isEmpty: boolean;
  /** The bytes are the caller's again when it resolves. */
  update(bytes: Uint8Array): Promise<void>;
  updateZeros(lengthBytes: number): Promise<void>;
  /** What they would be if `bytes` followed; more may still follow what there is. */
  followedBy(bytes: Uint8Array): Promise<LinearDigestValues>;
  /** Ends it: no byte may follow. */
  finish(): Promise<LinearDigestValues>;
  close(): void;
}

export class ThreadDigests implements RunningDigests {
  readonly #threads: readonly ImageThread[];
  readonly #memory = new SharedArrayBuffer(SLOTS * SLOT_BYTES);
  readonly #shared = new Uint8Array(this.#memory);
  /** Slots in the order in which they are used, with what works on each. */
  readonly #busy: Promise<unknown>[] = Array.from({ length: SLOTS }, () => Promise.resolve());
  #next = 0;

  constructor(names: readonly DigestName[]) {
    const [md5, others] = [names.filter((name) => name === "md5"), names.filter((name) => name !== "md5")];
    const groups = [md5, others].filter((group) => group.length > 0);
    this.#threads = groups.map((group) => new ImageThread(this.#memory, group));
  }

  get isEmpty(): boolean {
    return this.#threads.length === 0;
  }

  async update(bytes: Uint8Array): Promise<void> {
    if (this.isEmpty) return;
    for (let done = 0; done < bytes.length; done += SLOT_BYTES) {
      const part = bytes.subarray(done, done + SLOT_BYTES);
      const slot = await this.#slot();
      this.#shared.set(part, slot * SLOT_BYTES);
      const from = { offset: slot * SLOT_BYTES, lengthBytes: part.length };
      this.#ask(slot, (thread) => thread.ask({ type: "update", from }));
    }
  }

  async updateZeros(lengthBytes: number): Promise<void> {
    if (this.isEmpty) return;
    const slot = await this.#slot();
    this.#ask(slot, (thread) => thread.ask({ type: "update_zeros", lengthBytes }));
  }

  followedBy(bytes: Uint8Array): Promise<LinearDigestValues> {
    return this.#values({ type: "followed_by", bytes });
  }

  finish(): Promise<LinearDigestValues> {
    return this.#values({ type: "finish" });
  }

  close(): void {
    for (const thread of this.#threads) thread.close();
  }

  async #values(request: ThreadRequest & { type: "followed_by" | "finish" }): Promise<LinearDigestValues> {
    await Promise.all(this.#busy);
    const values = await Promise.all(this.#threads.map((thread) => thread.ask(request)));
    return Object.fromEntries(values.flatMap((some) => Object.entries(some)));
  }

  async #slot(): Promise<number> {
    const slot = this.#next;
    this.#next = (slot + 1) % SLOTS;
    await this.#busy[slot];
    return slot;
  }

  #ask(slot: number, request: (thread: ImageThread) => Promise<unknown>): void {
    const answers = Promise.all(this.#threads.map(request));
    // Whoever uses the slot next, or ends it, is told.
    answers.catch(() => undefined);
    this.#busy[slot] = answers;
  }
}

/** In this thread, at once. */
export function inlineDigests(names: readonly DigestName[]): RunningDigests {
  const digests = new LinearDigests(names);
  return {
    isEmpty: digests.isEmpty,
    update: (bytes) => Promise.try(() => digests.update(bytes)),
    updateZeros: (lengthBytes) => Promise.try(() => digests.updateZeros(lengthBytes)),
    followedBy: (bytes) => Promise.try(() => digests.followedBy(bytes)),
    finish: () => Promise.try(() => digests.finish()),
    close: () => undefined,
  };
}
