/**
 * A report on several exhibits as one document: on an instance, set by set, with what of a set is not held, or on a case.
 * What is said of each exhibit is its own report, which follows; here stands only what no single one can say.
 */
import { describeSet } from "../format/snapshot_set.ts";
import { formatCount } from "../units.ts";
import { caseOf } from "./_corrections.ts";
import { originText, statusOf } from "./_exhibits.ts";
import { type Group, groupText, type HeldSet, notHeld, setEvent } from "./_groups.ts";
import { code, orNone, plain, table } from "./_markdown.ts";
import type { ReportData } from "./_report.ts";
import { reportMarkdown } from "./_report_markdown.ts";

/** For programs: the group, and a report for each of its exhibits. */
export function groupReport(group: Group, reports: readonly ReportData[]) {
  const { wish, sets, exhibits, closed } = group;
  return {
    type: "report_group",
    case: wish.case ?? null,
    instances: wish.instances,
    sets: sets.map(setEvent),
    exhibits: exhibits.map(({ id }) => id),
    unopenedExhibits: closed.map(({ id }) => id),
    isComplete: sets.every((set) => notHeld(set).length === 0) && group.codes.length === 0,
    reports: reports.map((data) => ({ type: "report", ...data })),
  };
}

/** The whole document. */
export function groupMarkdown(group: Group, reports: readonly ReportData[]): string {
  const { wish, exhibits, sets, single, codes, closed } = group;
  const unknown = codes.length === 0
    ? ""
    : `**${formatCount(codes.length)} exhibits of the store could not be read${
      closed.length === 0 ? "" : `, of which nothing given opens ${formatCount(closed.length)}`
    }: whether they belong here is not known.**\n\n`;
  return [
    `# Report on ${plain(groupText(wish))}\n\n`,
    `${
      formatCount(exhibits.length)
    } exhibits. What is said of each, and from which file, is in its own report below.\n\n`,
    unknown,
    ...sets.map(setSection),
    single.length === 0 ? "" : `## ${sets.length === 0 ? "Exhibits" : "Exhibits of no set"}\n\n${
      table(
        ["Exhibit", "Snapshot", "Volume", "Case", "Evidence number", "Status"],
        single.map((exhibit) => [
          code(exhibit.id),
          code(exhibit.manifest.source.snapshot),
          orNone(exhibit.manifest.acquisition.snapshot.volumeId, "not told"),
          orNone(caseOf(exhibit).case),
          orNone(caseOf(exhibit).evidence),
          statusText(exhibit),
        ]),
      )
    }`,
    ...reports.map((data) => `---\n\n${reportMarkdown(data)}`),
  ].join("");
}

function statusText({ manifest }: Group["exhibits"][number]): string {
  return [statusOf(manifest), originText(manifest.source) ?? []].flat().map(plain).join(", ");
}

const KNOWN_BY = {
  tag: "they have one value of the tag coldcase:set",
  start_time: "EC2 gives them one start time, to the millisecond",
  image: "their descriptions name one image",
} as const;

function setSection(set: HeldSet): string {
  const { instance, knownBy, missingVolumes, startedAt } = set.facts;
  const missing = notHeld(set);
  const held = set.places.length - missing.length;
  const rows = set.places.flatMap(({ device, volumeId, snapshot, exhibits, isBegun }) => {
    const place = [orNone(device, "not told"), orNone(volumeId, "not told"), code(snapshot)];
    if (exhibits.length === 0) {
      return [[...place, isBegun ? "**NOT HELD**, under way" : "**NOT HELD**", "", ""]];
    }
    return exhibits.map((exhibit) => [
      ...place,
      code(exhibit.id),
      orNone(caseOf(exhibit).evidence),
      statusText(exhibit),
    ]);
  });
  const lacking = missing.length === 0
    ? ""
    : `**${formatCount(missing.length)} OF ${
      formatCount(set.places.length)
    } SNAPSHOTS OF THE SET ARE NOT HELD.**\n\n`;
  const volumes = missingVolumes === null
    ? "Which volumes the instance had was not told.\n\n"
    : missingVolumes.length === 0
    ? "By the record the set has a snapshot of every volume that the instance had.\n\n"
    : `**VOLUMES OF THE INSTANCE WITHOUT A SNAPSHOT IN THE SET:** ${
      missingVolumes.map(({ device, volumeId }) => plain(`${volumeId} (${device ?? "device not told"})`))
        .join(", ")
    }.\n\n`;
  return [
    `## ${plain(describeSet(set.facts).replace(/^t/, "T"))}\n\n`,
    lacking,
    `Instance ${code(instance)}${startedAt === null ? "" : `, started ${startedAt}`}: ${
      formatCount(held)
    } of ${formatCount(set.places.length)} held. That they belong together is known because ${
      KNOWN_BY[knownBy]
    }; that one call made them, and so that they are ` +
    "crash-consistent with one another, is not proved by it.\n\n",
    volumes,
    table(["Device", "Volume", "Snapshot", "Exhibit", "Evidence number", "Status"], rows),
  ].join("");
}
