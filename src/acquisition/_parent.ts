/**
 * Finds the exhibit that an incremental acquisition builds on, and says why one that was found is not used.
 * It looks at what the store says; whether the service agrees is found out by the walk.
 */
import { isFault, OperatorError } from "../errors.ts";
import { serviceOf } from "../format/manifest.ts";
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
  readonly signal: AbortSignal;
}

/** Exhibits of other volumes that are tried at the most: a request each. */
const MAX_COMPARED = 32;

/**
 * The newest exhibit of the same source whose volume may be the same. Whether the two snapshots are of one
 * lineage only the service knows; the walk finds out.
 */
export async function chooseParent(input: ParentInput): Promise<ParentChoice> {
  const { wish } = input;
  if (wish === "none") return { parent: undefined, dropped: undefined };
  if (wish === "auto" && !input.store.isReadable && (await input.store.exhibitIds()).length > 0) {
    return {
      parent: undefined,
      dropped: "the store is encrypted, and nothing was given to open its exhibits with",
    };
  }
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

/**
 * The newest exhibit that may be of the same volume. Where the service does not say which volume a snapshot is
 * of (the caller may not ask EC2) and there are several, it is asked which of them it can compare.
 */
async function newestCandidate(input: ParentInput): Promise<Exhibit | undefined> {
  const candidates = (await usableExhibits(input.store)).filter((exhibit) => mayBeOfVolume(input, exhibit));
  candidates.sort((a, b) => ageOf(a) < ageOf(b) ? 1 : ageOf(a) > ageOf(b) ? -1 : 0);
  const [newest, ...others] = candidates;
  if (!newest || others.length === 0) return newest;
  for (const candidate of candidates.slice(0, MAX_COMPARED)) {
    if (isOfKnownVolume(input, candidate) || await canBeCompared(input, candidate)) return candidate;
  }
  return newest; // the walk finds out what the service has against it, and the record says so
}

function mayBeOfVolume(input: ParentInput, exhibit: Exhibit): boolean {
  const ours = input.description?.volumeId;
  const theirs = exhibit.manifest.acquisition.snapshot.volumeId;
  // An earlier exhibit of the same snapshot is no parent: a fresh acquisition would take over all of it.
  return exhibit.manifest.source.snapshot !== input.snapshot &&
    whyNotComparable(input, exhibit) === undefined &&
    (ours === undefined || theirs === null || theirs === ours);
}

function isOfKnownVolume({ description }: ParentInput, { manifest }: Exhibit): boolean {
  return description?.volumeId !== undefined &&
    description.volumeId === manifest.acquisition.snapshot.volumeId;
}

/** One request. A refusal that is about the caller or the network is as good as a yes: the walk will meet it. */
async function canBeCompared({ source, snapshot, signal }: ParentInput, exhibit: Exhibit): Promise<boolean> {
  const first = exhibit.manifest.source.snapshot;
  try {
    for await (const _ of source.listChangedBlocks({ first, second: snapshot }, { signal })) break;
    return true;
  } catch (error) {
    if (!(error instanceof OperatorError)) throw error;
    return error.facts["reason"] !== "UNRELATED_SNAPSHOTS" && error.code !== "not_found";
  }
}

/** A damaged exhibit elsewhere in the store must not stop an acquisition; verify is there to name it. */
async function usableExhibits(store: Store): Promise<Exhibit[]> {
  const usable: Exhibit[] = [];
  for (const id of await store.exhibitIds()) {
    try {
      usable.push(await store.exhibit(id));
    } catch (error) {
      if (!isFault(error)) throw error;
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
  const service = serviceOf(manifest.source);
  // Its blocks would enter an acquired exhibit without a checksum of the service having been compared by anybody here.
  if (!service) return "it was imported, not acquired";
  if (service.region !== source.region) return `it is of Region ${service.region}`;
  if (service.endpoint !== source.endpoint) return `it is from ${service.endpoint}`;
  if (manifest.volume.blockSizeBytes !== shape.blockSizeBytes) {
    return `its blocks have ${manifest.volume.blockSizeBytes} bytes`;
  }
  if (manifest.volume.blockCount > shape.blockCount) return "its volume is larger";
  return undefined;
}
