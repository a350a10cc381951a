/**
 * How `sources` shows which snapshots of an instance belong together: a line for each set, whether it is complete, and
 * what it lacks; the same as objects. What makes a set: _instance_sets.ts.
 */
import type { Device } from "../aws/set_tags.ts";
import { formatTable, type OutputEvent } from "../cli/mod.ts";
import type { SetFacts } from "../format/snapshot_set.ts";
import { formatCount } from "../units.ts";
import { faultOf, setHandle } from "./_instance_choice.ts";
import { isComplete, lacks, setFactsOf, type SnapshotSet } from "./_instance_sets.ts";

/** What makes them a set. */
export const KNOWN_BY: Readonly<Record<SetFacts["knownBy"], string>> = {
  tag: "the tag coldcase:set",
  start_time: "one start time",
  image: "one image",
};

/** Sets of an instance that are shown; as objects all are. */
const MAX_SHOWN = 20;

export function setsText(instance: string, sets: readonly SnapshotSet[]): string {
  const table = formatTable(
    [{ title: "SET" }, { title: "VOLUMES", align: "right" }, { title: "KNOWN BY" }, { title: "STANDING" }],
    sets.slice(0, MAX_SHOWN).map((set) => [
      setHandle(set),
      `${set.members.length} of ${set.members.length + lacks(set).length}`,
      set.members.length === 1 ? "" : KNOWN_BY[set.knownBy],
      standingOf(set),
    ]),
  );
  const rest = sets.length - MAX_SHOWN;
  const more = rest > 0 ? `and ${formatCount(rest)} older sets, which --json shows\n` : "";
  return `\nsets of ${instance}, for acquire --instance ${instance} --set SET\n${table}${more}`;
}

function standingOf(set: SnapshotSet): string {
  const fault = faultOf(set);
  if (fault !== undefined) return fault;
  return set.missing === undefined ? "complete, as far as snapshots tell" : "complete";
}

export function setEvent(set: SnapshotSet): OutputEvent {
  const { device: _, ...facts } = setFactsOf(set, set.members[0]!.snapshot.id);
  return {
    type: "set",
    ...facts,
    set: setHandle(set),
    isComplete: isComplete(set),
    fault: faultOf(set) ?? null,
  };
}

/** An instance's volumes, where of their snapshots nobody may tell. */
export function volumesText(devices: readonly Device[]): string {
  return formatTable(
    [{ title: "DEVICE" }, { title: "VOLUME" }],
    devices.map(({ device, volumeId }) => [device, volumeId]),
  );
}
