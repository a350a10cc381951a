/**
 * Added headers: new headers for age files that there are, for recipients who came later. Neither the files nor their
 * own headers change; whoever has one of these opens the old payload with it. A set may have many parts, each
 * small enough to be read whole. Codec only: no header is opened here.
 *
 * @see store-format.md, "Added recipients"
 */
import { Buffer } from "node:buffer";
import { OperatorError } from "../errors.ts";
import type { Digest, ExhibitId, ObjectName } from "../model.ts";
import { FORMAT_VERSION, MAX_RECIPIENTS } from "./members.ts";
import { digest, exhibitId, literal, time } from "./schema.ts";

/** Some 9,000 files with one recipient each: 64 TiB of evidence have a hundred such parts. */
export const MAX_HEADERS_BYTES = 4 * 1024 * 1024;

/** Writers begin another part where the lines of files have more. The rest is for the lines above them. */
const MAX_LINES_BYTES = 3 * 1024 * 1024;

const MAX_AGE_HEADER_BYTES = 64 * 1024;

/** A header in place of a file's own. */
export interface AddedHeader {
  readonly name: ObjectName;
  /** Length of the file's own header: where its payload begins. */
  readonly offsetBytes: number;
  /** All of the new one. */
  readonly header: Uint8Array;
}

/** What the recipients can open: everything, or everything but packs. */
export type Opens = "contents" | "lineage";

export interface AddedHeaders {
  readonly exhibit: ExhibitId;
  /** Of the exhibit's manifest. */
  readonly commitment: Digest;
  readonly madeAt: string;
  readonly opens: Opens;
  /** `age1…` each, 1 to 32. */
  readonly recipients: readonly string[];
  /** Sorted by name, byte by byte; no name twice; at least one. */
  readonly files: readonly AddedHeader[];
}

const FIRST_LINE = `coldcase-headers ${FORMAT_VERSION}`;
const HEADER_LINES = 7;
const FILE_LINE = /^([1-9]\d{0,4}) ([a-z0-9][a-z0-9._-]*(?:\/[a-z0-9][a-z0-9._-]*)*) ([A-Za-z0-9+/]+={0,2})$/;
const encodeOpens = literal("contents", "lineage");

/** Throws `format` for what `decodeHeaders` would not read. */
export function encodeHeaders(headers: AddedHeaders): Uint8Array<ArrayBuffer> {
  const lines = [
    FIRST_LINE,
    `exhibit ${headers.exhibit}`,
    `commitment ${headers.commitment}`,
    `made ${headers.madeAt}`,
    `opens ${headers.opens}`,
    `recipients ${headers.recipients.join(" ")}`,
    `files ${headers.files.length}`,
    ...headers.files.map(({ offsetBytes, name, header }) => `${offsetBytes} ${name} ${base64(header)}`),
    "",
  ];
  const bytes = new TextEncoder().encode(lines.join("\n"));
  decodeHeaders(bytes, "new headers");
  return bytes;
}

/**
 * Takes files in order for as long as a part has room. Gives what came before once one does not fit, and begins anew
 * with it.
 */
export class HeadersPart {
  #files: AddedHeader[] = [];
  #linesBytes = 0;

  /** The files of a part that is full now; `undefined` where there was room. */
  add(file: AddedHeader): readonly AddedHeader[] | undefined {
    const { offsetBytes, name, header } = file;
    const lineBytes = String(offsetBytes).length + name.length + Math.ceil(header.length / 3) * 4 + 3;
    const full = this.#linesBytes + lineBytes > MAX_LINES_BYTES ? this.take() : undefined;
    this.#files.push(file);
    this.#linesBytes += lineBytes;
    return full;
  }

  /** The files taken since the last part; none: there were none. */
  take(): readonly AddedHeader[] {
    const files = this.#files;
    this.#files = [];
    this.#linesBytes = 0;
    return files;
  }
}

/** Throws `format` for anything that `encodeHeaders` would not write. */
export function decodeHeaders(bytes: Uint8Array, name: string): AddedHeaders {
  const refuse = (fault: string): never => {
    throw new OperatorError("format", `Cannot read ${name}: ${fault}`);
  };
  if (bytes.length > MAX_HEADERS_BYTES) {
    refuse(`has ${bytes.length} bytes, at most ${MAX_HEADERS_BYTES} are allowed`);
  }
  const lines = linesOf(bytes);
  if (lines.pop() !== "") refuse("does not end with a newline");
  const version = /^coldcase-headers (0|[1-9]\d{0,8})$/.exec(lines[0] ?? "")?.[1];
  if (version !== undefined && Number(version) !== FORMAT_VERSION) {
    refuse(`has version ${version}, this program reads version ${FORMAT_VERSION}`);
  }
  if (lines[0] !== FIRST_LINE) refuse(`does not start with the line "${FIRST_LINE}"`);
  const member = (position: number, key: string): string => {
    const line = lines[position] ?? "";
    return line.startsWith(`${key} `)
      ? line.slice(key.length + 1)
      : refuse(`line ${position + 1} is not "${key} …"`);
  };
  const exhibit = exhibitId(member(1, "exhibit"), `${name}.exhibit`);
  const commitment = digest(member(2, "commitment"), `${name}.commitment`);
  const madeAt = time(member(3, "made"), `${name}.made`);
  const opens = encodeOpens(member(4, "opens"), `${name}.opens`);
  const recipients = member(5, "recipients").split(" ");
  if (recipients.length > MAX_RECIPIENTS || new Set(recipients).size !== recipients.length) {
    refuse(`has ${recipients.length} recipients, at most ${MAX_RECIPIENTS} are allowed, each once`);
  }
  if (!recipients.every((text) => /^age1[!-~]{1,4092}$/.test(text))) {
    refuse("line 6 has what is no recipient");
  }
  const files: AddedHeader[] = [];
  for (let position = HEADER_LINES; position < lines.length; position++) {
    const file = decodeFileLine(lines[position]!);
    if (!file) return refuse(`line ${position + 1} is not an offset, a name and a header`);
    const before = files.at(-1);
    if (before && before.name >= file.name) refuse(`line ${position + 1} is not in order`);
    files.push(file);
  }
  if (files.length === 0) refuse("names no file");
  if (member(6, "files") !== String(files.length)) {
    refuse(`says ${member(6, "files").slice(0, 40)} files, lists ${files.length}`);
  }
  return { exhibit, commitment, madeAt, opens, recipients, files };
}

/**
 * The lines of files that are whole in a damaged document, in whatever order, and the numbers of lines that are not. Nothing
 * vouches for them: a header says itself, by its MAC, whether it is one.
 */
export function salvageHeaders(
  bytes: Uint8Array,
): {
  readonly files: readonly (AddedHeader & { readonly line: number })[];
  readonly lostLines: readonly number[];
} {
  const files: (AddedHeader & { readonly line: number })[] = [];
  const lostLines: number[] = [];
  const lines = linesOf(bytes.subarray(0, MAX_HEADERS_BYTES));
  for (const [position, text] of lines.entries()) {
    if (position < HEADER_LINES || (text === "" && position === lines.length - 1)) continue;
    const file = decodeFileLine(text);
    if (file) files.push({ ...file, line: position + 1 });
    else lostLines.push(position + 1);
  }
  return { files, lostLines };
}

/** Bytes outside ASCII become characters that no line has. */
function linesOf(bytes: Uint8Array): string[] {
  return new TextDecoder("latin1").decode(bytes).split("\n");
}

/** Native: a part has nine thousand headers, and whoever looks for one reads all of them. */
function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("base64");
}

function decodeFileLine(line: string): AddedHeader | undefined {
  const [, offset, name, text] = FILE_LINE.exec(line) ?? [];
  if (text === undefined || Number(offset) > MAX_AGE_HEADER_BYTES) return undefined;
  const header = Uint8Array.from(Buffer.from(text, "base64"));
  // Stray bits in the last character, or no padding: another text of the same header.
  if (header.length > MAX_AGE_HEADER_BYTES || base64(header) !== text) return undefined;
  return { offsetBytes: Number(offset), name: name!, header };
}
