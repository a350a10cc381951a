/**
 * A report as Markdown: who, what, from where, how, and what became of it since. What was checked, what is not
 * claimed, and how others check it, is in _report_checks.ts.
 */
import { folderOf, serviceOf } from "../format/manifest.ts";
import { describeSet } from "../format/snapshot_set.ts";
import { formatCount, formatSize } from "../units.ts";
import { blocksText, IMAGE_DIGEST_LABEL, UNKNOWN_OF_IMPORT } from "./_exhibits.ts";
import { code, type Fact, factTable, from, MAX_ROWS, orNone, plain, rest, table } from "./_markdown.ts";
import type { ReportData, ReportSignature } from "./_report.ts";
import { acquisitionText, failureOf } from "./_report_acquisition.ts";
import { checksMarkdown, custodyFacts } from "./_report_checks.ts";
import { caseFacts, correctionsText } from "./_report_corrections.ts";

export function reportMarkdown(data: ReportData): string {
  return [
    ...data.headlines.map((text) => `**${plain(text)}**\n\n`),
    `# Report on exhibit ${data.exhibit}\n\n`,
    "Numbers in brackets name the files of the store that a statement comes from; their list is at the end.\n\n",
    section("Case", factTable(caseSection(data))),
    section("Corrections", correctionsText(data)),
    section("Source", factTable(sourceFacts(data))),
    section("Contents", factTable(contentFacts(data)), unreadableText(data)),
    section("Digests", digestText(data)),
    section("Acquisition", acquisitionText(data)),
    section("Lineage", lineageText(data)),
    section("Signatures", signaturesText(data)),
    section("Custody", custodyText(data)),
    ...checksMarkdown(data),
    section(
      "Files",
      table(
        ["No", "File in the store", "SHA-256"],
        data.files.map(({ number, file, sha256 }) => [`[${number}]`, code(file), code(sha256)]),
      ),
    ),
  ].join("");
}

function section(title: string, ...texts: readonly string[]): string {
  return `## ${title}\n\n${texts.join("")}`;
}

function caseSection(data: ReportData): Fact[] {
  const { headlines, manifest, store } = data;
  const status = headlines.length === 0 ? "complete" : headlines.map(plain).join("; ");
  return [
    ["Status", status, from(manifest.file)],
    ...caseFacts(data),
    ["Store", `${plain(store.path)}, id ${code(store.id)}`, code("store.json")],
  ];
}

/** How DescribeSnapshots ended, in words. */
const UNTOLD = {
  not_permitted: "not permitted",
  not_found: "EC2 answered, without this snapshot",
  failed: "no usable answer",
  not_asked: "not asked",
} as const;

/** What there is of the service's own answer, and what the session that committed was told. */
function describedText({ manifest, description, sessions }: ReportData): string {
  const { descriptionResult: result } = manifest.acquisition;
  const last = sessions.entries.at(-1);
  const why = last && failureOf(last, "DescribeSnapshots");
  const untold = result === "received"
    ? ""
    : `${UNTOLD[result]}${why === undefined || result === "not_asked" ? "" : `: ${why}`}`;
  if (description.file === null) return untold;
  const { receivedAt, requestId } = description;
  const kept = `kept verbatim (DescribeSnapshots), received at ${receivedAt}, request id ${
    requestId === null ? "not told" : code(requestId)
  }`;
  return untold === "" ? kept : `${kept}; in the last session: ${untold}`;
}

function sourceFacts(data: ReportData): Fact[] {
  const { manifest, description, sessions } = data;
  const { source, volume } = manifest;
  const { snapshot } = manifest.acquisition;
  const origin = from(manifest.file);
  const unknown = "not told";
  const tags = Object.entries(snapshot.tags).map(([name, value]) => `${plain(name)} = ${plain(value)}`);
  return [
    ["Snapshot", code(source.snapshot), origin],
    ...originFacts(data),
    ["Owner account", orNone(snapshot.ownerAccount, unknown), origin],
    ["Snapshot started", orNone(snapshot.startedAt, unknown), origin],
    ["Snapshot completed", orNone(snapshot.completedAt, unknown), origin],
    ["Storage tier", orNone(snapshot.storageTier, unknown), origin],
    ["Encrypted", snapshot.encrypted === null ? unknown : snapshot.encrypted ? "yes" : "no", origin],
    ["KMS key", orNone(snapshot.kmsKeyId, "none told"), origin],
    ["Description", orNone(snapshot.description, "none told"), origin],
    ["Tags", tags.length === 0 ? "none told" : tags.join("; "), origin],
    [
      "The service's own answer",
      describedText(data),
      from(manifest.file, description.file ?? sessions.file),
    ],
    ["Instance that the description names", orNone(snapshot.instance, "none"), origin],
    ["Volume", orNone(snapshot.volumeId, unknown), origin],
    ...setFacts(data),
    [
      "Volume size",
      `${volume.volumeSizeGib} GiB, ${
        formatCount(volume.blockCount)
      } blocks of ${volume.blockSizeBytes} bytes`,
      origin,
    ],
  ];
}

/** The instance's set that the snapshot was acquired with. */
function setFacts({ manifest }: ReportData): Fact[] {
  const { set } = manifest.acquisition;
  if (set === null) return [];
  const origin = from(manifest.file);
  const missing = set.missingVolumes?.map(({ device, volumeId }) =>
    `${volumeId} (${device ?? "no device told"})`
  );
  return [
    ["Device of the volume", orNone(set.device, "not told"), origin],
    ["Acquired with", plain(describeSet(set)), origin],
    ["Known to belong together by", SET_KNOWN_BY[set.knownBy], origin],
    ["Snapshots of the set", set.snapshots.map(({ snapshot }) => code(snapshot)).join(", "), origin],
    [
      "Volumes of the instance without a snapshot in the set",
      missing === undefined ? "not told" : missing.length === 0 ? "none" : plain(missing.join(", ")),
      origin,
    ],
  ];
}

const SET_KNOWN_BY = {
  tag: "one value of the tag coldcase:set",
  start_time: "one start time, to the millisecond",
  image: "one image that their descriptions name",
} as const;

/** Service or folder. */
function originFacts({ manifest }: ReportData): Fact[] {
  const origin = from(manifest.file);
  const service = serviceOf(manifest.source);
  const folder = folderOf(manifest.source);
  const serviceFacts: Fact[] = service
    ? [
      ["Region", code(service.region), origin],
      ["Endpoint", `${code(service.endpoint)}, ${service.isAws ? "AWS's own" : "not AWS's"}`, origin],
    ]
    : [];
  const folderFacts: Fact[] = folder
    ? [
      ["Imported from the folder", plain(folder.folder), origin],
      ["Made by", "Snapshot-4n6ir-Imager, as the names in it say", origin],
      ["Its files", folder.layout, origin],
      ["Files of blocks", formatCount(folder.blockFiles), origin],
      ["Files of blocks of other snapshots, left out", formatCount(folder.otherBlockFiles), origin],
      ["Not known", UNKNOWN_OF_IMPORT, origin],
    ]
    : [];
  return [...serviceFacts, ...folderFacts];
}

function contentFacts({ manifest, inventory }: ReportData): Fact[] {
  const { counts, acquisition, volume } = manifest;
  const isImported = folderOf(manifest.source) !== undefined;
  const origin = from(manifest.file);
  const blocks = (count: number) => blocksText(count, volume.blockSizeBytes);
  return [
    [
      "Listed by the source",
      isImported
        ? "not known"
        : acquisition.listedBlocks === null
        ? "no listing was read to its end"
        : blocks(acquisition.listedBlocks),
      origin,
    ],
    ["Stored: listed, read, held", blocks(counts.storedBlocks), origin],
    ["Zero: listed, read, all zeros", blocks(counts.zeroBlocks), origin],
    ["Absent: not listed, never written", blocks(counts.absentBlocks), origin],
    [
      isImported ? "Unreadable: without a sound file, listed or not" : "Unreadable: listed, not read",
      blocks(counts.unreadableBlocks),
      origin,
    ],
    [
      "Files that hold it",
      `${formatCount(inventory.files)}, ${formatSize(inventory.bytes)}`,
      from(inventory.file),
    ],
  ];
}

function unreadableText({ unreadable, manifest }: ReportData): string {
  const all = folderOf(manifest.source) ? "Every block has a sound file" : "Every listed block could be read";
  if (unreadable.file === null) return `${all}.\n\n`;
  const rows = unreadable.ranges.slice(0, MAX_ROWS).map((range) => [
    String(range.firstByte),
    String(range.lastByte),
    `${range.reason}: ${plain(range.detail)}`,
    String(range.attempts),
    range.requestIds.length === 0 ? "none" : range.requestIds.map(code).join(", "),
    from(unreadable.file),
  ]);
  const titles = ["First byte", "Last byte", "Reason", "Attempts", "Request ids", "From"];
  return `Unreadable bytes of the volume:\n\n${table(titles, rows)}${
    rest(unreadable.ranges.length, unreadable.file)
  }`;
}

function digestText({ manifest, addenda, unopenedAddenda }: ReportData): string {
  const root = factTable([[IMAGE_DIGEST_LABEL, code(manifest.imageDigest), from(manifest.file)]]);
  const values = new Set(addenda.flatMap(({ digests }) => digests.sha256 ?? []));
  const none = unopenedAddenda.length === 0
    ? "SHA-256 of the image as a file: **NOT COMPUTED**. An export or a read-back computes it.\n\n"
    : "SHA-256 of the image as a file: **NOT KNOWN**, see the addenda that were not opened.\n\n";
  const closed = unopenedAddenda.length === 0
    ? ""
    : `**ADDENDA THAT NO IDENTITY GIVEN OPENS: ${unopenedAddenda.length}** ${
      from(...unopenedAddenda)
    }. What digests they have is not known.\n\n`;
  const clash = values.size > 1 ? "**THE ADDENDA NAME DIFFERENT SHA-256 VALUES OF ONE IMAGE.**\n\n" : "";
  const rows = addenda.flatMap((
    { digests, at, by, examiner, host, filled, volumeSizeBytes, file, signatures },
  ) =>
    Object.entries(digests).filter(([, value]) => value !== null).map(([name, value]) => [
      DIGEST_TITLES[name] ?? plain(name),
      code(value!),
      `${at}, ${by}`,
      `${orNone(examiner, "examiner not given")}, ${plain(host.user)} on ${plain(host.hostname)}, ` +
      `signed by ${signatures.map(({ fingerprint }) => code(fingerprint)).join(", ")}`,
      `${formatCount(filled.absentBlocks)} absent, ${
        formatCount(filled.unreadableBlocks)
      } unreadable blocks, ` +
      `of ${volumeSizeBytes} bytes in all`,
      from(file),
    ])
  );
  const titles = ["Of the whole volume", "Value", "When, by", "Who", "Filled with zeros", "From"];
  return root + clash + closed + (values.size === 0 ? none : "") +
    (rows.length === 0 ? "" : table(titles, rows));
}

const DIGEST_TITLES: Readonly<Record<string, string>> = { md5: "MD5", sha1: "SHA-1", sha256: "SHA-256" };

function lineageText({ manifest, lineage }: ReportData): string {
  const { acquisition, source, parent, volume } = manifest;
  const dropped = acquisition.parentDropped;
  if (!parent) {
    const why = dropped === null ? "" : ` A parent was found and not built on: ${plain(dropped)}.`;
    const origin = folderOf(source) ? "the folder, whose names say that they are of it" : "this snapshot";
    return `Built on no other exhibit: every block that is held was read from ${origin}.${why} ${
      from(manifest.file)
    }\n\n`;
  }
  const service = serviceOf(source);
  const who = service?.isAws === false ? plain(service.endpoint) : "AWS";
  const blocks = blocksText(acquisition.takenOverBlocks, volume.blockSizeBytes);
  const since = acquisition.takenOverReadSince ?? "at a time that is not known";
  const rows = lineage.map(({ exhibit, snapshot, imageDigest, manifest: digest, file, fault }) => [
    code(exhibit),
    code(snapshot),
    code(imageDigest),
    code(digest),
    file === null ? plain(fault ?? "") : from(file),
  ]);
  return `${blocks} were taken over from ${code(parent.exhibit)} and **not read from this snapshot**: ` +
    `on the statement of ${who} that they had not changed between the two (ListChangedBlocks). ` +
    `Their bytes were read from their own source at the earliest ${since}. ${from(manifest.file)}\n\n` +
    table(["Ancestor", "Snapshot", "Image root", "SHA-256 of its manifest", "From"], rows);
}

function signaturesText(data: ReportData): string {
  const row = ({ file, over, fingerprint, isVouchedFor, principal }: ReportSignature) => [
    from(file),
    from(over),
    code(fingerprint),
    isVouchedFor === null
      ? "not authenticated: compare the fingerprint"
      : isVouchedFor
      ? "one of the keys given"
      : "NONE OF THE KEYS GIVEN",
    code(principal),
  ];
  const rows = data.signatures.map(row);
  const tokens = data.tokens.map(({ file, over }) =>
    `Time-stamp token ${from(file)} over signature ${from(over)}: not checked here.\n\n`
  );
  const none = tokens.length === 0 ? "No time-stamp token.\n\n" : "";
  return table(["Signature", "Over", "Key", "Signer", "Principal"], rows) + tokens.join("") + none;
}

function custodyText({ custody, receipts, exhibit }: ReportData): string {
  const rows = custody.shown.map(({ at, action, host, result, reason, signer, file }) => [
    at,
    action,
    `${plain(result.outcome)} (${result.exitCode})`,
    `${plain(host.user)} on ${plain(host.hostname)}, ${code(signer)}`,
    orNone(reason, "no reason given"),
    custodyFacts(result.facts, exhibit),
    from(file),
  ]);
  const earlier = custody.aboutThis - custody.shown.length;
  const titles = ["At", "Action", "Result", "Who", "Why", "Facts", "From"];
  const heads = custody.heads.map(({ chain, sequence, digest, hostname, file }) => [
    code(chain),
    plain(hostname),
    String(sequence),
    code(digest),
    from(file),
  ]);
  return [
    custody.aboutThis === 0 ? "The custody log has no entry about this exhibit.\n\n" : table(titles, rows),
    earlier > 0 ? `And ${formatCount(earlier)} earlier entries about this exhibit.\n\n` : "",
    "Heads, the newest entry of each chain. Written down elsewhere, they show later whether anything is missing:\n\n",
    table(["Chain", "Host", "Entry", "Head", "From"], heads),
    ...receipts.map(({ at, from: sender, to, files, bytes, reason, file }) =>
      `Handed over at ${at} from store ${code(sender)} to ${code(to)}: ${formatCount(files)} files, ` +
      `${bytes} bytes; ${orNone(reason, "no reason given")}. ${from(file)}\n\n`
    ),
    receipts.length === 0 ? "No receipt of a hand-over.\n\n" : "",
  ].join("");
}
