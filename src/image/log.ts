/**
 * `IMAGE.log`: the page about one export that a person can file, print and sign; and the few values that
 * `verify --read-back` takes from it again. Plain UTF-8 text. Facts about the exhibit are the caller's, shown
 * as given but for characters that could deceive a terminal or a reader. It is a record, not evidence
 * of itself: who can change the image can change its log (the manifest's signature is what can't be forged).
 */
import { basename } from "@std/path";
import { OperatorError } from "../errors.ts";
import type { Disk } from "../model.ts";
import { formatCount, formatDuration, formatRate, formatSize } from "../units.ts";
import {
  DIGEST_HEX_LENGTHS,
  DIGEST_NAMES,
  DIGEST_TITLES,
  type DigestName,
  type LinearDigestValues,
} from "./digests.ts";
import { diskFailure } from "./failures.ts";
import { lastByte } from "./ranges.ts";
import type { ExportResult, ImagePiece } from "./raw.ts";

/** The first line of every log; a reader refuses another version. */
const TITLE = "coldcase export log, version 1";
/** A log is a few pages; what is longer is not one. */
const MAX_LOG_BYTES = 1024 * 1024;
const LABEL_WIDTH = 22;

/** Label and value, in the order in which they are to be read. */
export type LabelledFacts = readonly (readonly [label: string, value: string])[];

/** What a log is about, beside the result of the export. */
export interface LogFacts {
  readonly imageDigest: string;
  /** What the caller knows of the exhibit: id, snapshot, case, evidence number, examiner, … */
  readonly exhibitFacts: LabelledFacts;
  /** "coldcase 0.1.0". */
  readonly tool: string;
}

/** The whole text of a log. Ranges beyond those that `result` lists are counted, and are in the map. */
export function formatExportLog(result: ExportResult, facts: LogFacts): string {
  return [
    TITLE,
    "",
    ...section("Image", [
      ["File", result.path ?? "standard output"],
      ["Format", formatText(result)],
      ["Size", bytesText(result.volumeSizeBytes)],
      ["Tool", facts.tool],
    ]),
    ...section("Exhibit", [["Image root (Merkle)", facts.imageDigest], ...facts.exhibitFacts]),
    ...section(`Digests of the image's ${result.volumeSizeBytes} bytes, from the first to the last`, [
      ...DIGEST_NAMES.flatMap((name): [string, string][] => {
        const value = result.digests[name];
        return value === undefined ? [] : [[DIGEST_TITLES[name], value]];
      }),
    ], "none were asked for"),
    ...(result.pieces.length === 0 ? [] : section("Pieces, in order", result.pieces.flatMap(pieceLines))),
    ...(result.windowLogs.length === 0
      ? []
      : section("Digests of each window, one a line", windowLines(result))),
    ...wholeFileSection(result),
    ...section(`Blocks of ${result.blockSizeBytes} bytes`, [
      ["Stored", countText(result.storedBlocks, result)],
      ["Zero", `${countText(result.zeroBlocks, result)}, written as zeros on the source`],
      ["Absent", `${countText(result.absentBlocks, result)}, never written on the source, zeros here`],
      ["Unreadable", `${countText(result.unreadableBlocks, result)}, filled with zeros here`],
    ]),
    ...section("Unreadable ranges, filled with zeros", unreadableLines(result), "none"),
    ...section("Export", [
      ["Started", result.startedAt],
      ["Ended", result.endedAt],
      ["Took", formatDuration(result.durationMs)],
      ["Rate", formatRate(result.volumeSizeBytes * 1000 / Math.max(1, result.durationMs))],
      ["Sessions", sessionsText(result)],
      ...result.notes.map((note): [string, string] => ["Note", note]),
    ]),
    "Absent, zero and unreadable ranges, complete and for programs: the .map.json file beside the image.",
    "",
  ].join("\n");
}

function section(title: string, facts: LabelledFacts, ifEmpty = ""): string[] {
  const lines = facts.map(([label, value]) => `  ${plain(label).padEnd(LABEL_WIDTH)} ${plain(value)}`);
  return [title, ...(lines.length === 0 ? [`  ${ifEmpty}`] : lines), ""];
}

function formatText({ format, files, pieces }: ExportResult): string {
  if (format === "vhd") return "fixed VHD: raw bytes, and a footer of 512 after them; holes are zeros";
  if (format === "vmdk") {
    const extents = files.slice(1).map((path) => basename(path));
    const last = extents.length === 1 ? "" : ` to ${extents.at(-1)}`;
    return `VMDK: a descriptor over raw bytes in ${extents[0]}${last}; holes are zeros`;
  }
  if (format === "e01") {
    const last = files.length === 1 ? "" : `, to ${basename(files.at(-1)!)}`;
    return `EWF-E01, chunks of 32 KiB, ${formatCount(files.length)} segment file(s)${last}; holes are zeros`;
  }
  return pieces.length === 0
    ? "raw (dd), holes are zeros"
    : `raw (dd) in ${pieces.length} pieces, one after the other; holes are zeros`;
}

function pieceLines({ path, offsetBytes, lengthBytes, digests }: ImagePiece): [string, string][] {
  const name = basename(path);
  return [
    [name, `bytes ${offsetBytes} to ${lastByte({ offsetBytes, lengthBytes })}`],
    ...digestLines(name, digests),
  ];
}

function digestLines(name: string, digests: LinearDigestValues): [string, string][] {
  return DIGEST_NAMES.flatMap((digest): [string, string][] => {
    const value = digests[digest];
    return value === undefined ? [] : [[`${name} ${DIGEST_TITLES[digest]}`, value]];
  });
}

/** A VHD's own digests: what `sha256sum` says of the file. */
function wholeFileSection({ path, wholeFileDigests: digests }: ExportResult): string[] {
  const name = path === undefined ? "With the footer" : basename(path);
  const lines = digestLines(name, digests);
  return lines.length === 0 ? [] : section("Digests of the whole file, its footer included", lines);
}

function windowLines({ windowLogs, windowBytes }: ExportResult): [string, string][] {
  return [
    ["Windows of", bytesText(windowBytes!)],
    ...windowLogs.map((path): [string, string] => ["File", path]),
  ];
}

function unreadableLines(result: ExportResult): [string, string][] {
  const lines = result.unreadableRanges.map((range): [string, string] => {
    const first = range.offsetBytes / result.blockSizeBytes;
    const last = Math.floor(lastByte(range) / result.blockSizeBytes);
    return [
      "Bytes",
      `${range.offsetBytes} to ${lastByte(range)} (${range.lengthBytes} bytes, blocks ${first} to ${last})`,
    ];
  });
  const more = result.unreadableRangeCount - lines.length;
  return more > 0 ? [...lines, ["And more", `${formatCount(more)} ranges, see the map`]] : lines;
}

function bytesText(bytes: number): string {
  return `${bytes} bytes (${formatSize(bytes)})`;
}

function countText(blocks: number, result: ExportResult): string {
  return `${formatCount(blocks)} (${formatSize(blocks * result.blockSizeBytes)})`;
}

function sessionsText(result: ExportResult): string {
  if (result.sessions === 1) return "1";
  const { checkedBytes, format } = result;
  if (format === "e01") {
    return `${result.sessions}; the last one kept whole segment files of the earlier ones, with ` +
      `${bytesText(checkedBytes)} of the volume, after checking them`;
  }
  return `${result.sessions}; the last one compared ${bytesText(result.checkedBytes)} of the earlier ` +
    `ones with the exhibit and kept them`;
}

/** Control and format characters (those that reorder or hide text), separators and halves of pairs, shown as `\u{…}`: facts may hold a suspect's tags. */
function plain(text: string): string {
  return text.replace(
    /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu,
    (character) => `\\u{${character.codePointAt(0)!.toString(16)}}`,
  );
}

/** What a log says an image is. */
export interface LoggedExport {
  readonly imageDigest: string | undefined;
  readonly volumeSizeBytes: number;
  readonly digests: LinearDigestValues;
}

/** Reads a log back. `undefined` where there is none. Throws `format` where `path` holds something else. */
export function readExportLog(disk: Disk, path: string): LoggedExport | undefined {
  const text = readText(disk, path);
  if (text === undefined) return undefined;
  const lines = text.split("\n");
  const size = /^Digests of the image's (\d{1,15}) bytes/m.exec(text)?.[1];
  if (lines[0] !== TITLE || size === undefined) {
    throw new OperatorError("format", `Cannot read export log "${path}": expected "${TITLE}" and a size`);
  }
  const digests: Partial<Record<DigestName, string>> = {};
  for (const name of DIGEST_NAMES) {
    const pattern = new RegExp(`^ {2}${DIGEST_TITLES[name]} +([0-9a-f]{${DIGEST_HEX_LENGTHS[name]}})$`, "m");
    // Only the digests' own section counts: a fact of the caller may be labelled "MD5" too.
    const value = pattern.exec(text.slice(text.indexOf("\nDigests of the image's ")))?.[1];
    if (value !== undefined) digests[name] = value;
  }
  const imageDigest = /^ {2}Image root \(Merkle\) +(\S+)$/m.exec(text)?.[1];
  return { imageDigest, volumeSizeBytes: Number(size), digests };
}

function readText(disk: Disk, path: string): string | undefined {
  try {
    const stat = disk.stat(path);
    if (!stat) return undefined;
    if (stat.kind !== "file" || stat.sizeBytes > MAX_LOG_BYTES) {
      throw new OperatorError("format", `Cannot read export log "${path}": expected a file of at most 1 MiB`);
    }
    const file = disk.open(path, "read");
    try {
      const bytes = new Uint8Array(stat.sizeBytes);
      return new TextDecoder().decode(bytes.subarray(0, file.read(bytes, 0)));
    } finally {
      file.close();
    }
  } catch (error) {
    throw diskFailure("read export log", path, error);
  }
}
