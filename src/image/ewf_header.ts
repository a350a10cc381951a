/**
 * The texts and the volume data of an EWF-E01 image: case data for people, and the shape of the volume. It knows
 * nothing of files or chunks.
 *
 * @see Joachim Metz, "Expert Witness Compression Format specification" (libewf), "Header2", "Header", "Volume"
 */
import { createHash } from "node:crypto";
import { deflateSync } from "node:zlib";
import { CHUNK_BYTES, SECTOR_BYTES, summed, viewOf, VOLUME_BYTES } from "./ewf_format.ts";

/** What an E01 says of its origin. Texts as the record has them; empty where it has none. */
export interface EwfFacts {
  readonly caseNumber: string;
  readonly evidenceNumber: string;
  readonly description: string;
  readonly examiner: string;
  readonly notes: string;
  /** Of the media: what it is, and its own number. */
  readonly model: string;
  readonly serialNumber: string;
  /** Of the program that acquired, and the system that it ran on. */
  readonly version: string;
  readonly platform: string;
  /** RFC 3339 UTC: when the acquisition began. */
  readonly acquiredAt: string;
}

/** The most characters that EnCase shows of each; the document names them. */
const FIELD_CHARACTERS = 2999;
const LIMITS: Readonly<Partial<Record<keyof EwfFacts, number>>> = { version: 11, platform: 23 };
const TEXTS = [
  "caseNumber",
  "evidenceNumber",
  "description",
  "examiner",
  "notes",
  "model",
  "serialNumber",
  "version",
  "platform",
] as const;

/** Names of the fields that hold less than the record has. */
export function cutFields(facts: EwfFacts): string[] {
  return TEXTS.filter((name) => facts[name].length > limitOf(name));
}

function limitOf(name: keyof EwfFacts): number {
  return LIMITS[name] ?? FIELD_CHARACTERS;
}

/** One line without tabs: both would end a field. Never half a surrogate pair. */
function field(facts: EwfFacts, name: keyof EwfFacts): string {
  return facts[name].replace(/\p{Cc}+/gu, " ").slice(0, limitOf(name)).replace(/[\ud800-\udbff]$/, "");
}

/**
 * Contents of `header2`: UTF-16, seconds since 1970. `writtenAt` is RFC 3339 UTC. The fields are those of EnCase 6, in its
 * order: readers tell the version of the format from them (`l` would be EnCase 7's, which ewfinfo 20140813 calls unknown).
 */
export function header2(facts: EwfFacts, writtenAt: string): Uint8Array {
  const seconds = (at: string) => String(Math.floor(Date.parse(at) / 1000));
  const values: [string, string][] = [
    ["a", field(facts, "description")],
    ["c", field(facts, "caseNumber")],
    ["n", field(facts, "evidenceNumber")],
    ["e", field(facts, "examiner")],
    ["t", field(facts, "notes")],
    ["md", field(facts, "model")],
    ["sn", field(facts, "serialNumber")],
    ["av", field(facts, "version")],
    ["ov", field(facts, "platform")],
    ["m", seconds(facts.acquiredAt)],
    ["u", seconds(writtenAt)],
    ["p", "0"],
    ["dc", ""],
  ];
  const lines = [
    ...["3", "main", ...columns(values), ""],
    ...["srce", "0\t1", "p\tn\tid\tev\ttb\tlo\tpo\tah\tgu\taq", "0\t0", "\t\t\t\t\t-1\t-1\t\t\t", ""],
    ...["sub", "0\t1", "p\tn\tid\tnu\tco\tgu", "0\t0", "\t\t\t\t1\t", ""],
  ];
  const text = `\ufeff${lines.map((line) => `${line}\n`).join("")}`;
  const bytes = new Uint8Array(text.length * 2);
  const view = viewOf(bytes);
  for (let at = 0; at < text.length; at++) view.setUint16(at * 2, text.charCodeAt(at), true);
  return deflateSync(bytes);
}

/** Contents of `header`: ASCII, what is not is a question mark; dates in UTC. */
export function header(facts: EwfFacts, writtenAt: string): Uint8Array {
  const date = (at: string) => {
    const time = new Date(at);
    const day = [time.getUTCFullYear(), time.getUTCMonth() + 1, time.getUTCDate()];
    return [...day, time.getUTCHours(), time.getUTCMinutes(), time.getUTCSeconds()].join(" ");
  };
  const values: [string, string][] = [
    ["c", field(facts, "caseNumber")],
    ["n", field(facts, "evidenceNumber")],
    ["a", field(facts, "description")],
    ["e", field(facts, "examiner")],
    ["t", field(facts, "notes")],
    ["av", field(facts, "version")],
    ["ov", field(facts, "platform")],
    ["m", date(facts.acquiredAt)],
    ["u", date(writtenAt)],
    ["p", "0"],
  ];
  const text = ["1", "main", ...columns(values), ""].map((line) => `${line}\r\n`).join("");
  return deflateSync(new TextEncoder().encode(text.replace(/[^\r\n\t -~]/gu, "?")));
}

function columns(values: readonly (readonly [string, string])[]): [string, string] {
  return [values.map(([name]) => name).join("\t"), values.map(([, value]) => value).join("\t")];
}

/** What the volume section says of the image. */
export interface EwfShape {
  readonly sizeBytes: number;
  readonly blockSizeBytes: number;
  /** EnCase looks for a partition table exactly where this is true. */
  readonly isPhysical: boolean;
  /** Names the set: equal for one exhibit and start, whoever computes it. */
  readonly identity: string;
}

/** Data of the sections `volume` and `data`. */
export function volumeData({ sizeBytes, blockSizeBytes, isPhysical, identity }: EwfShape): Uint8Array {
  const bytes = new Uint8Array(VOLUME_BYTES - 4);
  const view = viewOf(bytes);
  bytes[0] = 1; // fixed media
  view.setUint32(4, Math.ceil(sizeBytes / CHUNK_BYTES), true);
  view.setUint32(8, CHUNK_BYTES / SECTOR_BYTES, true);
  view.setUint32(12, SECTOR_BYTES, true);
  view.setBigUint64(16, BigInt(sizeBytes / SECTOR_BYTES), true);
  bytes[36] = isPhysical ? 3 : 1; // an image file (1), of a physical device (2)
  bytes[52] = 1; // "good" compression
  view.setUint32(56, blockSizeBytes / SECTOR_BYTES, true);
  const guid = createHash("sha256").update(identity).digest().subarray(0, 16);
  guid[7] = guid[7]! & 0x0f | 0x80; // version 8 (RFC 9562), in the byte order of a GUID
  guid[8] = guid[8]! & 0x3f | 0x80;
  bytes.set(guid, 64);
  return summed(bytes);
}
