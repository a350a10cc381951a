/**
 * A group of exhibits as `ls` lists it: a table for each set, by device, with what of the set is not held; then the
 * exhibits that are of no set.
 */
import { type CommandContext, formatTable } from "../cli/mod.ts";
import { describeSet } from "../format/snapshot_set.ts";
import type { Exhibit } from "../store/mod.ts";
import { formatCount } from "../units.ts";
import { exhibitEvent, outerEvent } from "./_exhibits.ts";
import { type Group, groupText, type HeldSet, notHeld, placesText, setEvent } from "./_groups.ts";

/** How exhibits are listed elsewhere. */
interface Rows {
  readonly columns: Parameters<typeof formatTable>[0];
  rowOf(exhibit: Exhibit): string[];
}

export function showGroup({ out }: CommandContext, group: Group, rows: Rows): void {
  const { exhibits, sets, single, closed, wish } = group;
  for (const exhibit of exhibits) out.event({ type: "exhibit", ...exhibitEvent(exhibit) });
  for (const exhibit of closed) out.event({ type: "exhibit", ...outerEvent(exhibit) });
  for (const [position, set] of sets.entries()) {
    out.event({ type: "set", ...setEvent(set) });
    const table = formatTable([{ title: "DEVICE" }, ...rows.columns], rowsOf(set, rows));
    out.result(`${position === 0 ? "" : "\n"}${setHeading(set)}\n${table}`);
  }
  if (single.length > 0) {
    if (sets.length > 0) out.result("\nof no set\n");
    out.result(formatTable(rows.columns, single.map(rows.rowOf)));
  }
  if (closed.length > 0) {
    const count = closed.length === 1 ? "one exhibit was" : `${formatCount(closed.length)} exhibits were`;
    out.warn(`${count} not opened: whether they are of ${groupText(wish)} is not known`);
  }
}

/** `the set of i-… started …: 11 of 12 snapshots held`, and what it lacks, a line each. */
export function setHeading(set: HeldSet): string {
  const missing = notHeld(set);
  const volumes = (set.facts.missingVolumes ?? []).map(({ device, volumeId }) =>
    device === null ? volumeId : `${volumeId} (${device})`
  );
  return [
    `${describeSet(set.facts)}: ${set.places.length - missing.length} of ${set.places.length} held`,
    ...(missing.length === 0 ? [] : [`  NOT HELD: ${placesText(missing)}`]),
    ...(volumes.length === 0 ? [] : [`  the set has no snapshot of ${volumes.join(", ")}`]),
    ...(set.facts.missingVolumes === null ? ["  which volumes the instance had was not told"] : []),
  ].join("\n");
}

function rowsOf(set: HeldSet, { columns, rowOf }: Rows): string[][] {
  return set.places.flatMap(({ device, snapshot, exhibits, isBegun }) => {
    const state = isBegun ? "not finished: acquire goes on with it" : "NOT HELD";
    const none = ["", snapshot, ...columns.slice(2, -1).map(() => ""), state];
    return (exhibits.length === 0 ? [none] : exhibits.map(rowOf)).map((row) => [device ?? "", ...row]);
  });
}
