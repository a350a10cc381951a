/**
 * The set that a snapshot was acquired with: snapshots of an instance's volumes that belong together, each an exhibit of
 * its own. It says how they were found to belong together, and claims nothing beyond that. Checked against itself.
 *
 * @see store-format.md, "Sets of an instance"
 */
import { OperatorError } from "../errors.ts";
import type { SnapshotId } from "../model.ts";
import {
  arrayOf,
  type Check,
  type Checked,
  instanceId,
  literal,
  nullable,
  object,
  snapshotId,
  text,
  time,
  volumeId,
} from "./schema.ts";

/** AWS allows an instance 128 EBS volumes at most. */
export const MAX_SET_SNAPSHOTS = 128;

/** `/dev/sda1`, `xvdba`: EC2's are at most a dozen characters long. Anything else than ASCII is no name of a device. */
const DEVICE_NAME = /^[\x21-\x7e]{1,64}$/;

const deviceName: Check<string> = (value, place) => {
  const name = text(64)(value, place);
  if (isDeviceName(name)) return name;
  throw new OperatorError(
    "format",
    `Cannot read ${place}: is ${JSON.stringify(name)}, expected the name of a device`,
  );
};

const device = nullable(deviceName);

export const setMember = object({
  /** Name under which the instance knew this snapshot's volume; null: not told. */
  device,
  /** The instance whose volumes these are. */
  instance: instanceId,
  /**
   * How they were found to belong together: they have one value of the tag that `snapshot create` gives; EC2 gives them
   * one start time, to the millisecond; or their descriptions, as EC2 writes them, name one image of the instance. That
   * one call made them EC2 does not tell.
   */
  knownBy: literal("tag", "start_time", "image"),
  /** Volumes that the instance had and the set has no snapshot of, by id; null: its volumes were not told. */
  missingVolumes: nullable(arrayOf(object({ device, volumeId }), MAX_SET_SNAPSHOTS)),
  /** All of the set, this one among them, by id. */
  snapshots: arrayOf(
    object({ device, snapshot: snapshotId, volumeId: nullable(volumeId) }),
    MAX_SET_SNAPSHOTS,
  ),
  /** Their start time, where it is one. */
  startedAt: nullable(time),
});

export function isDeviceName(name: string): boolean {
  return DEVICE_NAME.test(name);
}

export type SetFacts = Checked<typeof setMember>;

/** Throws `integrity` where a set is not of this snapshot or does not fit together. */
export function checkSet(set: SetFacts | null, snapshot: SnapshotId, name: string): void {
  const fault = set && faultOf(set, snapshot);
  if (fault) throw new OperatorError("integrity", `Cannot accept ${name}: its set ${fault}`);
}

function faultOf(set: SetFacts, snapshot: SnapshotId): string | undefined {
  const { snapshots, missingVolumes, knownBy, startedAt } = set;
  const own = snapshots.find((one) => one.snapshot === snapshot);
  if (!own) return `has no ${snapshot}`;
  if (own.device !== set.device) return `tells two devices of ${snapshot}`;
  const disorder = notAscending(snapshots.map((one) => one.snapshot));
  if (disorder !== undefined) return `has ${disorder} twice or not in its place`;
  const missing = (missingVolumes ?? []).map(({ volumeId }) => volumeId);
  const lost = notAscending(missing);
  if (lost !== undefined) return `misses ${lost} twice or not in its place`;
  const volumes = [...missing, ...snapshots.flatMap(({ volumeId }) => volumeId ?? [])];
  const twice = volumes.find((id, at) => volumes.indexOf(id) !== at);
  if (twice !== undefined) return `has ${twice} twice`;
  return knownBy === "start_time" && startedAt === null
    ? "is known by a start time, and has none"
    : undefined;
}

/** The first that does not come after the one before it, by UTF-16 code units. */
function notAscending(ids: readonly string[]): string | undefined {
  return ids.find((id, at) => at > 0 && id <= ids[at - 1]!);
}

/** Whether two records are of one set: of the same snapshots of the same instance. What is known of its volumes may grow. */
export function isSameSet(a: SetFacts, b: SetFacts): boolean {
  return a.instance === b.instance && a.snapshots.length === b.snapshots.length &&
    a.snapshots.every(({ snapshot }, at) => snapshot === b.snapshots[at]!.snapshot);
}

/** `the set of i-0123… started 2026-01-02T03:04:05.678Z (3 snapshots)`. */
export function describeSet({ instance, snapshots, startedAt }: SetFacts): string {
  const count = snapshots.length === 1 ? "1 snapshot" : `${snapshots.length} snapshots`;
  const which = startedAt === null ? `with ${snapshots[0]!.snapshot}` : `started ${startedAt}`;
  return `the set of ${instance} ${which} (${count})`;
}
