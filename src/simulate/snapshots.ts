/**
 * The snapshots that the endpoint serves: whose they are, of which volume, in which state, and their contents.
 * They may be added, changed and removed while the endpoint runs. Who may read them: access.ts.
 */
import { OperatorError } from "../errors.ts";
import { isSnapshotId } from "../units.ts";
import type { Contents } from "./contents.ts";
import { type ImagePresence, openImage } from "./image.ts";
import { SyntheticContents, type SyntheticFormula } from "./synthetic.ts";

export type SnapshotState = "pending" | "completed" | "error";

/** What EC2 knows about a snapshot beside its blocks. */
export interface SnapshotFacts {
  /** Snapshots of one volume are one lineage: ListChangedBlocks compares them. Default `vol-` and the snapshot's own digits. */
  readonly volumeId?: string | undefined;
  /** 12 digits. Default: the simulator's account. */
  readonly ownerId?: string | undefined;
  /** Accounts that it is shared with. */
  readonly sharedWith?: readonly string[] | undefined;
  readonly public?: boolean | undefined;
  /** Default `completed`. Only such a snapshot can be read. */
  readonly state?: SnapshotState | undefined;
  /** On the simulator's clock: pending until then. Default: never. */
  readonly pendingUntilMs?: number | undefined;
  /** On the simulator's clock. Default: when it was added. */
  readonly startTimeMs?: number | undefined;
  readonly completionTimeMs?: number | undefined;
  readonly tier?: "standard" | "archive" | undefined;
  readonly encrypted?: boolean | undefined;
  /** ARN of the KMS key. */
  readonly kmsKeyId?: string | undefined;
  /** The key's policy refuses every caller. */
  readonly kmsDenied?: boolean | undefined;
  readonly description?: string | undefined;
  readonly tags?: Readonly<Record<string, string>> | undefined;
}

/** A snapshot to serve: a raw image file, or a formula. */
export type SnapshotSpec =
  & SnapshotFacts
  & { readonly id: string }
  & (
    | ImagePresence & {
      /** A raw image. */
      readonly path: string;
      /** Default: the file's size, rounded up to whole GiB. */
      readonly volumeSizeGib?: number | undefined;
    }
    | { readonly synthetic: SyntheticFormula }
  );

/** A snapshot as it is served. */
export interface HeldSnapshot {
  readonly id: string;
  readonly facts: SnapshotFacts & {
    readonly volumeId: string;
    readonly ownerId: string;
    readonly startTimeMs: number;
  };
  /** Two snapshots are related where this is equal. */
  readonly lineage: string;
  readonly volumeSizeGib: number;
  readonly contents: Contents;
  /** The state now, for one that is being written; not given: that of `facts`. */
  stateAt?(nowMs: number): SnapshotState;
}

/** The snapshot's state at a time on the simulator's clock. */
export function stateOf(snapshot: HeldSnapshot, nowMs: number): SnapshotState {
  const { pendingUntilMs, state } = snapshot.facts;
  if (pendingUntilMs !== undefined && nowMs < pendingUntilMs) return "pending";
  return snapshot.stateAt?.(nowMs) ?? state ?? "completed";
}

/** How far a snapshot is, in whole percent, as EC2 writes it. */
export function progressOf(snapshot: HeldSnapshot, nowMs: number): string {
  const { startTimeMs, pendingUntilMs, completionTimeMs } = snapshot.facts;
  const untilMs = pendingUntilMs ?? completionTimeMs;
  if (stateOf(snapshot, nowMs) === "completed") return "100%";
  if (untilMs === undefined || untilMs <= startTimeMs) return "0%";
  return `${Math.max(0, Math.min(99, Math.floor((nowMs - startTimeMs) / (untilMs - startTimeMs) * 100)))}%`;
}

/** All snapshots of an endpoint. */
export class SnapshotShelf {
  readonly #held = new Map<string, HeldSnapshot>();
  /** Contents of removed snapshots: others may still build on them. */
  readonly #retired: Contents[] = [];
  readonly #defaults: { readonly account: string; readonly blockSizeBytes: number; nowMs(): number };

  constructor(defaults: { readonly account: string; readonly blockSizeBytes: number; nowMs(): number }) {
    this.#defaults = defaults;
  }

  get(id: string): HeldSnapshot | undefined {
    return this.#held.get(id);
  }

  all(): HeldSnapshot[] {
    return [...this.#held.values()];
  }

  /** Opens what it is made of; an image is read once. Replaces a snapshot of the same id. Throws `usage`. */
  async add(spec: SnapshotSpec): Promise<HeldSnapshot> {
    if (!isSnapshotId(spec.id)) {
      throw new OperatorError(
        "usage",
        `Cannot serve snapshot "${spec.id}": expected snap- and 8 to 17 hexadecimal digits`,
      );
    }
    const { blockSizeBytes } = this.#defaults;
    const contents = "path" in spec
      ? await openImage(spec.path, { ...spec, blockSizeBytes })
      : new SyntheticContents(spec.synthetic, blockSizeBytes);
    const volumeId = spec.volumeId ?? `vol-${spec.id.slice(5)}`;
    return this.put({
      id: spec.id,
      facts: factsOf(spec, { ...this.#defaults, volumeId, nowMs: this.#defaults.nowMs() }),
      lineage: volumeId,
      volumeSizeGib: contents.volumeSizeGib,
      contents,
    });
  }

  put(snapshot: HeldSnapshot): HeldSnapshot {
    this.remove(snapshot.id);
    this.#held.set(snapshot.id, snapshot);
    return snapshot;
  }

  /** Changes what is known of a snapshot; its blocks stay. Throws `not_found`. */
  update(id: string, changes: SnapshotFacts): void {
    const held = this.#held.get(id);
    if (!held) throw new OperatorError("not_found", `Cannot change snapshot "${id}": it is not served`);
    const facts = { ...held.facts, ...changes } as HeldSnapshot["facts"];
    this.#held.set(id, { ...held, facts, lineage: changes.volumeId ?? held.lineage });
  }

  /** Requests for it are answered as for one that never was. */
  remove(id: string): void {
    const held = this.#held.get(id);
    if (!held) return;
    this.#held.delete(id);
    this.#retired.push(held.contents);
  }

  close(): void {
    for (const { contents } of this.#held.values()) contents.close();
    for (const contents of this.#retired) contents.close();
    this.#held.clear();
    this.#retired.length = 0;
  }
}

function factsOf(
  spec: SnapshotFacts,
  defaults: { readonly account: string; readonly volumeId: string; readonly nowMs: number },
): HeldSnapshot["facts"] {
  const startTimeMs = spec.startTimeMs ?? defaults.nowMs;
  return {
    volumeId: defaults.volumeId,
    ownerId: spec.ownerId ?? defaults.account,
    startTimeMs,
    sharedWith: spec.sharedWith ?? [],
    public: spec.public ?? false,
    state: spec.state ?? "completed",
    pendingUntilMs: spec.pendingUntilMs,
    completionTimeMs: spec.completionTimeMs ?? spec.pendingUntilMs ?? startTimeMs,
    tier: spec.tier ?? "standard",
    encrypted: spec.encrypted ?? spec.kmsKeyId !== undefined,
    kmsKeyId: spec.kmsKeyId,
    kmsDenied: spec.kmsDenied ?? false,
    description: spec.description ?? "",
    tags: spec.tags ?? {},
  };
}
