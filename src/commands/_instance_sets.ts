/**
 * Which snapshots of an instance belong together: pure, from what EC2 tells of each. A set is known by the tag that
 * `snapshot create` gives, by one start time, or by one image; what only looks alike is none. It asks nobody, chooses, and
 * never says that a set is crash-consistent: EC2 does not tell which call made a snapshot.
 *
 * @see store-format.md, "Sets of an instance"
 */
import { type Device } from "../aws/set_tags.ts";
import { isDeviceName, MAX_SET_SNAPSHOTS, type SetFacts } from "../format/snapshot_set.ts";
import type { SnapshotId } from "../model.ts";
import { isVolumeId } from "../aws/sources.ts";
import { type Listed, NO_VOLUME } from "./_sources_search.ts";
import { type Hindrance, hindranceOf } from "./_sources_shown.ts";

/** A snapshot of a set. */
export interface SetMember {
  readonly snapshot: Listed;
  readonly device: string | undefined;
  /** What keeps it from being read. */
  readonly hindrance: Hindrance | undefined;
}

export interface SnapshotSet {
  readonly instance: string;
  readonly knownBy: SetFacts["knownBy"];
  /** Where all of them have one. */
  readonly startedAt: string | undefined;
  /** When the last of them was begun. */
  readonly newestAt: string;
  /** By device, then by id. */
  readonly members: readonly SetMember[];
  /** Volumes of the instance without a snapshot in the set; `undefined`: nobody told which volumes it has. */
  readonly missing: readonly Device[] | undefined;
  /** The same as far as the instance's other snapshots tell: empty where they are of these volumes, too. */
  readonly missingByOthers: readonly Device[];
}

/** What was found of an instance. */
export interface Found {
  readonly instance: string;
  readonly region: string;
  readonly snapshots: readonly Listed[];
  /** Its volumes now; `undefined` or none: nobody told, or it has none any more. */
  readonly attached: readonly Device[] | undefined;
  /** Devices and volumes when a set was made, by the set's tag. */
  readonly devicesOfSet: (setId: string) => readonly Device[];
}

/** All sets, the newest first; a snapshot that belongs to no other is a set of its own. */
export function setsOf(found: Found): SnapshotSet[] {
  const ofInstance = found.snapshots.filter(({ volumeId }) => isVolumeId(volumeId) && volumeId !== NO_VOLUME);
  const known = ofInstance.filter((one) =>
    [one.setId, imageOf(one), one.startedAt].some((fact) => fact !== undefined)
  );
  const groups = [...Map.groupBy(known, keyOf).values()].flatMap(withoutRivals);
  return groups
    .map((snapshots) => setOf(snapshots, found, ofInstance))
    .sort((a, b) =>
      a.newestAt !== b.newestAt ? (a.newestAt < b.newestAt ? 1 : -1) : firstId(a) < firstId(b) ? -1 : 1
    );
}

function firstId({ members }: SnapshotSet): string {
  return members[0]!.snapshot.id;
}

/** Snapshots with one key belong together. Only those of one account do. */
function keyOf(snapshot: Listed): string {
  const { ownerAccount = "", setId, startedAt } = snapshot;
  if (setId !== undefined) return `${ownerAccount} tag ${setId}`;
  // An image's snapshots often have one start time, too: the image is what they have in common in any case.
  const image = imageOf(snapshot);
  if (image !== undefined) return `${ownerAccount} image ${image}`;
  return `${ownerAccount} start ${startedAt}`;
}

/** The image of which EC2 made the snapshot, by EC2's own words. */
function imageOf({ description }: Listed): string | undefined {
  return /^Created by CreateImage\(i-[0-9a-f]{8,17}\) for (ami-[0-9a-f]{8,17})/.exec(description ?? "")?.[1];
}

/** Two snapshots of one volume are of two sets: then nothing tells which belong together, and each stands alone. */
function withoutRivals(group: readonly Listed[]): (readonly Listed[])[] {
  const volumes = new Set(group.map(({ volumeId }) => volumeId));
  const isOne = volumes.size === group.length && group.length <= MAX_SET_SNAPSHOTS;
  return isOne ? [group] : group.map((one) => [one]);
}

function setOf(snapshots: readonly Listed[], found: Found, all: readonly Listed[]): SnapshotSet {
  const { instance, region, attached = [] } = found;
  const setId = snapshots[0]!.setId;
  const tagged = setId === undefined ? [] : found.devicesOfSet(setId);
  const devices = new Map([...attached, ...tagged].map(({ device, volumeId }) => [volumeId, device]));
  // Tags alone could be made to hide a volume that the instance has.
  const expected = [...devices].map(([volumeId, device]): Device => ({ volumeId, device }));
  const volumes = new Set(snapshots.map(({ volumeId }) => volumeId));
  const others = all.filter(({ volumeId }) => !volumes.has(volumeId)).map(({ volumeId }) => volumeId!);
  const starts = new Set(snapshots.map(({ startedAt }) => startedAt));
  const startedAt = starts.size === 1 ? snapshots[0]!.startedAt : undefined;
  return {
    instance,
    knownBy: setId !== undefined ? "tag" : startedAt !== undefined ? "start_time" : "image",
    startedAt,
    newestAt: snapshots.map(({ startedAt }) => startedAt ?? "").sort().at(-1)!,
    members: snapshots
      .map((snapshot) => ({
        snapshot,
        device: devices.get(snapshot.volumeId ?? ""),
        hindrance: hindranceOf(snapshot, region),
      }))
      .sort(byDevice),
    missing: expected.length === 0 ? undefined : expected.filter(({ volumeId }) => !volumes.has(volumeId)),
    missingByOthers: [...new Set(others)].sort().map((volumeId) => ({
      volumeId,
      device: devices.get(volumeId) ?? "",
    })),
  };
}

/** `/dev/sda1` and `/dev/xvda`, the roots, before `/dev/sdf`; what has no device comes last. */
export function orderOf(device: string | null | undefined, snapshot: string): string {
  return `${device?.replace(/^\/dev\//, "").replace(/^(?:xv|s|h)d/, "") ?? "~"} ${snapshot}`;
}

function byDevice(a: SetMember, b: SetMember): number {
  const [first, second] = [a, b].map(({ device, snapshot }) => orderOf(device, snapshot.id)) as [
    string,
    string,
  ];
  return first < second ? -1 : 1;
}

/** Volumes that the set should have, as far as anybody tells. */
export function lacks(set: SnapshotSet): readonly Device[] {
  return set.missing ?? set.missingByOthers;
}

/** Whether each volume has a snapshot that can be read; `mayWait`: or that will be, when it is completed. */
export function isComplete(set: SnapshotSet, mayWait = false): boolean {
  return lacks(set).length === 0 &&
    set.members.every(({ hindrance }) =>
      hindrance === undefined || (mayWait && hindrance.reason === "pending")
    );
}

/** What an exhibit's record says of the set. */
export function setFactsOf(set: SnapshotSet, snapshot: SnapshotId): SetFacts {
  const own = set.members.find((member) => member.snapshot.id === snapshot);
  const snapshots = set.members
    .map(({ snapshot, device }) => ({
      device: deviceFact(device),
      snapshot: snapshot.id,
      volumeId: snapshot.volumeId ?? null,
    }))
    .sort((a, b) => a.snapshot < b.snapshot ? -1 : 1);
  const missing = set.missing?.slice(0, MAX_SET_SNAPSHOTS);
  return {
    device: deviceFact(own?.device),
    instance: set.instance,
    knownBy: set.knownBy,
    missingVolumes: missing === undefined ? null : uniqueVolumes(missing),
    snapshots,
    startedAt: set.startedAt ?? null,
  };
}

/** Ascending, each once: what EC2 or a tag says may name a volume twice. */
function uniqueVolumes(devices: readonly Device[]): NonNullable<SetFacts["missingVolumes"]> {
  const byVolume = new Map(
    devices.map(({ device, volumeId }) => [volumeId, { device: deviceFact(device), volumeId }]),
  );
  return [...byVolume.values()].sort((a, b) => a.volumeId < b.volumeId ? -1 : 1);
}

function deviceFact(device: string | undefined): string | null {
  return device !== undefined && isDeviceName(device) ? device : null;
}
