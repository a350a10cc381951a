/**
 * Finds the exhibit that an incremental acquisition builds on, and says why one that was found is not used.
 * It looks at what the store says; whether the service agrees is found out by the walk.
 */
import { OperatorError } from "../errors.ts";
import type { BlockSource, SnapshotDescription, SnapshotId, VolumeShape } from "../model.ts";
import type { Exhibit, Store } from "../store/mod.ts";

/** What is asked for: found by itself, none, or this one. */
export type ParentWish = "auto" | "none" | Exhibit;

export interface ParentChoice {
  readonly parent: Exhibit | undefined;
  /** Why an exhibit that could have been meant is not built on. */
  readonly dropped: string | undefined;
}

export interface ParentInput {
  readonly store: Store;
  readonly source: BlockSource;
  readonly snapshot: SnapshotId;
  readonly shape: VolumeShape;
  readonly description: SnapshotDescription | undefined;
  readonly wish: ParentWish;
}

/**
 * The newest exhibit of the same source whose volume may be the same. Whether the two snapshots are of one
 * lineage only the service knows; the walk finds out.
 */
export async function chooseParent(input: ParentInput): Promise<ParentChoice> {
  const { wish } = input;
  if (wish === "none") return { parent: undefined, dropped: undefined };
  const candidate = wish === "auto" ? await newestCandidate(input) : wish;
  if (!candidate) return { parent: undefined, dropped: undefined };
  const fault = await whyNotParent(input, candidate);
  return fault
    ? { parent: undefined, dropped: `${candidate.id}: ${fault}` }
    : { parent: candidate, dropped: undefined };
}

/** Why nothing can be taken over from `exhibit`; `undefined` where nothing stands against it. */
export async function whyNotParent(
  input: Pick<ParentInput, "store" | "source" | "shape">,
  exhibit: Exhibit,
): Promise<string | undefined> {
  return whyNotComparable(input, exhibit) ?? await input.store.whyNotParent(exhibit);
}

async function newestCandidate(input: ParentInput): Promise<Exhibit | undefined> {
  const volumeId = input.description?.volumeId;
  let newest: Exhibit | undefined;
  for (const exhibit of await usableExhibits(input.store)) {
    const theirs = exhibit.manifest.acquisition.snapshot.volumeId;
    // An earlier exhibit of the same snapshot is no parent: a fresh acquisition would take over all of it.
    if (exhibit.manifest.source.snapshot === input.snapshot) continue;
    if (whyNotComparable(input, exhibit) !== undefined) continue;
    if (volumeId !== undefined && theirs !== null && theirs !== volumeId) continue;
    if (!newest || ageOf(exhibit) >= ageOf(newest)) newest = exhibit;
  }
  return newest;
}

/** A damaged exhibit elsewhere in the store must not stop an acquisition; verify is there to name it. */
async function usableExhibits(store: Store): Promise<Exhibit[]> {
  const usable: Exhibit[] = [];
  for (const id of await store.exhibitIds()) {
    try {
      usable.push(await store.exhibit(id));
    } catch (error) {
      if (!(error instanceof OperatorError) || error.code === "storage") throw error;
    }
  }
  const superseded = new Set(usable.map((exhibit) => exhibit.manifest.supersedes));
  return usable.filter((exhibit) => !superseded.has(exhibit.id));
}

/** When the snapshot was started or, where that is not known, acquired. */
function ageOf({ manifest }: Exhibit): string {
  return manifest.acquisition.snapshot.startedAt ?? manifest.acquisition.startedAt;
}

function whyNotComparable(
  { source, shape }: Pick<ParentInput, "source" | "shape">,
  { manifest }: Exhibit,
): string | undefined {
  if (manifest.source.region !== source.region) return `it is of Region ${manifest.source.region}`;
  if (manifest.source.endpoint !== source.endpoint) return `it is from ${manifest.source.endpoint}`;
  if (manifest.volume.blockSizeBytes !== shape.blockSizeBytes) {
    return `its blocks have ${manifest.volume.blockSizeBytes} bytes`;
  }
  if (manifest.volume.blockCount > shape.blockCount) return "its volume is larger";
  return undefined;
}
