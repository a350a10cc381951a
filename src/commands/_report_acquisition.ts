/**
 * A report's chapter on the acquisition: the record as a whole, each session, and what went wrong on the way.
 * Counts are the record's own; nothing is computed but the rate.
 */
import { formatCount, formatDuration, formatRate } from "../units.ts";
import { blocksText } from "./_exhibits.ts";
import { code, type Fact, factTable, from, MAX_ROWS, orNone, plain, rest, table } from "./_markdown.ts";
import type { ReportData } from "./_report.ts";

export function acquisitionText(data: ReportData): string {
  return factTable(acquisitionFacts(data)) + sessionsText(data) + eventsText(data);
}

function acquisitionFacts({ manifest, sessions }: ReportData): Fact[] {
  const { acquisition, volume } = manifest;
  const { tool, host, destination, verification } = acquisition;
  const origin = from(manifest.file);
  const sessionOrigin = from(sessions.file);
  const first = sessions.entries[0];
  const durationMs = Date.parse(acquisition.endedAt) - Date.parse(acquisition.startedAt);
  const rate = durationMs > 0 ? formatRate(acquisition.receivedBytes / durationMs * 1000) : "not measurable";
  const blocks = (count: number) => blocksText(count, volume.blockSizeBytes);
  const interruptions = sessions.entries.slice(0, -1).map(({ outcome }) => outcome ?? "killed");
  return [
    ["Tool", toolText(tool), origin],
    ["Its executable's SHA-256", executableText(tool), origin],
    ["Command line", first ? plain(first.commandLine.join(" ")) : "not recorded", sessionOrigin],
    ["Host", `${plain(host.user)} on ${plain(host.hostname)}, ${plain(host.operatingSystem)}`, origin],
    ["Destination", plain(destination.path), origin],
    [
      "Its file system",
      `${plain(destination.fileSystem)}${acquisition.unsafeFileSystem ? ", its promises not proved" : ""}`,
      origin,
    ],
    ["Started", acquisition.startedAt, origin],
    ["Ended", acquisition.endedAt, origin],
    ["Sessions", formatCount(acquisition.sessions), origin],
    [
      "Interruptions",
      interruptions.length === 0
        ? "0"
        : `${interruptions.length}: ${interruptions.slice(0, MAX_ROWS).map(plain).join(", ")}`,
      sessionOrigin,
    ],
    ["Retries", formatCount(acquisition.retries), origin],
    ["Throttles", formatCount(acquisition.throttles), origin],
    ["AWS's clock minus the host's", skewText(acquisition.clockSkewMs), origin],
    ["Blocks fetched", blocks(acquisition.fetchedBlocks), origin],
    [
      "Bytes received",
      `${acquisition.receivedBytes}, ${rate} from start to end, pauses included (${
        formatDuration(durationMs)
      })`,
      origin,
    ],
    [
      "Checked on arrival",
      `${
        verification.result === "all_matched" ? "all fetched blocks" : "all fetched blocks but the unreadable"
      }: ` +
      `SHA-256 against the ${DECLARED[verification.level]}; by ${verification.at}`,
      origin,
    ],
    ["Supersedes", manifest.supersedes === null ? "nothing" : code(manifest.supersedes), origin],
  ];
}

/** What a block's SHA-256 was compared with. */
const DECLARED = {
  on_arrival: "checksum declared with the block",
  on_import: "one in the name of its file; no checksum of AWS was compared",
} as const;

type ReportedSession = ReportData["sessions"]["entries"][number];

/** Why a question was not answered, by the session's own events; `undefined`: they do not say. */
export function failureOf({ events }: ReportedSession, call: string): string | undefined {
  const failure = events.findLast(({ detail }) => detail.startsWith(`${call}: `));
  return failure && plain(failure.detail.slice(call.length + 2));
}

/** Refused is not the same as not asked. */
function whyNotTold(session: ReportedSession, call: string): string {
  const failure = failureOf(session, call);
  return failure === undefined ? "not told, and no failed question recorded" : `not told: ${failure}`;
}

function toolText({ name, version, runtime }: ReportedSession["tool"]): string {
  return `${name} ${plain(version)}, ${plain(runtime)}`;
}

function executableText({ digest }: ReportedSession["tool"]): string {
  return digest === null ? "none: run from its source" : code(digest);
}

function skewText(skewMs: number | null): string {
  return skewMs === null ? "not measured" : `${skewMs} ms`;
}

function sessionsText({ sessions }: ReportData): string {
  const shown = sessions.entries.slice(0, MAX_ROWS).map((session, position) => {
    const origin = from(sessions.file);
    const facts: Fact[] = [
      ["Examiner", orNone(session.examiner), origin],
      ["Started", session.startedAt, origin],
      ["Ended", session.endedAt ?? "killed: counts are those of its last durable write", origin],
      ["Outcome", orNone(session.outcome, "killed"), origin],
      ["Command line", plain(session.commandLine.join(" ")), origin],
      ["Tool", toolText(session.tool), origin],
      ["Its executable's SHA-256", executableText(session.tool), origin],
      ["Host", `${plain(session.host.user)} on ${plain(session.host.hostname)}`, origin],
      [
        "Destination, its file system",
        `${plain(session.destination.path)}, ${plain(session.destination.fileSystem)}`,
        origin,
      ],
      ["Caller", orNone(session.callerArn, whyNotTold(session, "GetCallerIdentity")), origin],
      ["Caller's account", orNone(session.callerAccount, "not told"), origin],
      ["Caller's unique id", orNone(session.callerUserId, "not told"), origin],
      [
        "Credentials",
        `${
          orNone(session.credentialSource, "source not recorded")
        }; changed ${session.credentialChanges} times`,
        origin,
      ],
      ["Proxy", orNone(session.proxy, "none"), origin],
      ["First request id", session.firstRequestId === null ? "none" : code(session.firstRequestId), origin],
      ["Last request id", session.lastRequestId === null ? "none" : code(session.lastRequestId), origin],
      [
        "Requests since its start",
        `${formatCount(session.listRequests)} for lists, ${formatCount(session.getRequests)} for blocks, ` +
        `${formatCount(session.otherRequests)} to EC2 and STS`,
        origin,
      ],
      ["Retries, throttles", `${formatCount(session.retries)}, ${formatCount(session.throttles)}`, origin],
      ["Blocks fetched, bytes", `${formatCount(session.fetchedBlocks)}, ${session.receivedBytes}`, origin],
      ["AWS's clock minus the host's", skewText(session.clockSkewMs), origin],
    ];
    return `### Session ${position + 1}\n\n${factTable(facts)}`;
  });
  return shown.join("") + rest(sessions.entries.length, sessions.file);
}

function eventsText({ sessions }: ReportData): string {
  const events = sessions.entries.flatMap(({ events }, position) =>
    events.map((event) => ({ ...event, session: position + 1 }))
  );
  const leftOut = sessions.entries.reduce((sum, { eventsLeftOut }) => sum + eventsLeftOut, 0);
  const counted = leftOut === 0 ? "" : `${formatCount(leftOut)} further events were counted, not kept.\n\n`;
  const title = "### Failed requests, waits, credentials, clock\n\n";
  if (events.length === 0) return `${title}None recorded.\n\n${counted}`;
  const rows = events.slice(0, MAX_ROWS).map(({ session, at, kind, detail, requestId }) => [
    String(session),
    at,
    plain(kind),
    plain(detail),
    requestId === null ? "none" : code(requestId),
    from(sessions.file),
  ]);
  const titles = ["Session", "At", "What", "Detail", "Request id", "From"];
  return title + table(titles, rows) + rest(events.length, sessions.file) + counted;
}
