/**
 * The state of snapshots begun by StartSnapshot: what may still be written, until when, and which client token
 * made which. The calls themselves: writes.ts.
 */
import { OperatorError } from "../errors.ts";
import type { WrittenContents } from "./written.ts";

/** One begun snapshot. */
export interface Upload {
  readonly id: string;
  readonly contents: WrittenContents;
  readonly timeoutMs: number;
  /** On the simulator's clock: started, or written to last. */
  lastWriteMs: number;
  /** Undefined until CompleteSnapshot. */
  completed: { readonly count: number; readonly checksum: string | undefined } | undefined;
}

/** An answer kept for a client token: the same request gets it again. */
export interface KeptAnswer {
  /** The request's parameters, to tell an identical request from another. */
  readonly request: string;
  readonly answer: string;
}

/** All begun snapshots of an endpoint. */
export class Uploads {
  /** How long a snapshot stays pending after CompleteSnapshot, on the simulator's clock. */
  readonly completionDelayMs: number;
  readonly #directory: string | undefined;
  readonly #uploads = new Map<string, Upload>();
  readonly #answers = new Map<string, KeptAnswer>();

  constructor(options: { readonly directory?: string | undefined; readonly completionDelayMs: number }) {
    this.#directory = options.directory;
    this.completionDelayMs = options.completionDelayMs;
  }

  /** Where a new snapshot's blocks go. Throws `usage` where the endpoint was given no directory. */
  pathFor(id: string): string {
    if (this.#directory === undefined) {
      throw new OperatorError("usage", "Cannot start a snapshot: the endpoint has no directory for uploads");
    }
    return `${this.#directory}/${id}.raw`;
  }

  get canWrite(): boolean {
    return this.#directory !== undefined;
  }

  get(id: string): Upload | undefined {
    return this.#uploads.get(id);
  }

  put(upload: Upload): void {
    this.#uploads.set(upload.id, upload);
  }

  /** Not completed yet, and not timed out. */
  pendingCount(nowMs: number): number {
    return [...this.#uploads.values()].filter((upload) => !upload.completed && !isTimedOut(upload, nowMs))
      .length;
  }

  keptAnswer(clientToken: string): KeptAnswer | undefined {
    return this.#answers.get(clientToken);
  }

  keepAnswer(clientToken: string, kept: KeptAnswer): void {
    this.#answers.set(clientToken, kept);
  }
}

/** AWS cancels a snapshot that nobody writes to. */
export function isTimedOut(upload: Upload, nowMs: number): boolean {
  return upload.completed === undefined && nowMs >= upload.lastWriteMs + upload.timeoutMs;
}
