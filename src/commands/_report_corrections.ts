/**
 * A report's word on the case: what counts, and where that is not what the manifest recorded, who corrected it, when,
 * why, and from what. A value that was corrected never stands without the one that was recorded.
 */
import { CORRECTED_MEMBERS } from "../format/addendum.ts";
import type { CaseFacts } from "../format/manifest.ts";
import { CASE_TITLES, FORKED } from "./_corrections.ts";
import { code, type Fact, from, orNone, plain, table } from "./_markdown.ts";
import type { ReportData } from "./_report.ts";

/** Label, value and file of each fact of the case. */
export function caseFacts(data: ReportData): Fact[] {
  const { manifest, caseFacts, correctionDocuments } = data;
  const recorded = manifest.acquisition.case;
  return (Object.entries(CASE_TITLES) as [keyof CaseFacts, string][]).map(([member, title]) => {
    const label = `${title.slice(0, 1).toUpperCase()}${title.slice(1)}`;
    if (caseFacts[member] === recorded[member]) {
      return [label, orNone(recorded[member]), from(manifest.file)];
    }
    const by = correctionDocuments.findLast(({ before, after }) => before[member] !== after[member]);
    return [
      label,
      `${orNone(caseFacts[member], "none")} **CORRECTED**, recorded: ${orNone(recorded[member])}`,
      from(by?.file ?? null, manifest.file),
    ];
  });
}

/** Every correction, each after those that it follows; empty where there is none. */
export function correctionsText(data: ReportData): string {
  const { correctionDocuments, corrections, manifest } = data;
  if (correctionDocuments.length === 0) {
    return `None: the facts of the case stand as ${from(manifest.file)} has them.\n\n`;
  }
  const rows = correctionDocuments.flatMap((correction) => {
    const { at, before, after, correctedBy, host, reason, file, signatures } = correction;
    const who = `${orNone(correctedBy, "name not given")}, ${plain(host.user)} on ${plain(host.hostname)}, ` +
      `signed by ${signatures.map(({ fingerprint }) => code(fingerprint)).join(", ")}`;
    const members = CORRECTED_MEMBERS.filter((member) => before[member] !== after[member]);
    const changes = members.map((member) => [
      CASE_TITLES[member],
      orNone(before[member], "none"),
      orNone(after[member], "none"),
    ]);
    // One that only settles which of several counts may leave all as it was recorded.
    return (changes.length === 0 ? [["nothing", "as recorded", "as recorded"]] : changes).map((change) => [
      at,
      ...change,
      plain(reason),
      who,
      from(file),
    ]);
  });
  const fork = corrections?.isForked === true
    ? `**${FORKED}.** Several follow none of each other, and which of them counts can't be told.\n\n`
    : "";
  return `${fork}The manifest ${
    from(manifest.file)
  } is not changed by them; each is a signed file of its own.\n\n${
    table(["At", "What", "Was", "Is", "Why", "Who", "From"], rows)
  }`;
}
