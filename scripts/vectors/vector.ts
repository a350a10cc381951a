/**
 * What a test vector is: a small store and what must be said of it, and the file of both: `name: value` lines,
 * an empty line, the store as a compressed archive. The groups of vectors are in the files beside this one.
 *
 * @see store-format.md, "Test vectors"
 */
import { encodeArchive, type Files } from "./files.ts";

/** The stores that vectors are made from. */
export interface Bases {
  /** One exhibit, one signer, two packs, one custody entry. */
  readonly plain: Files;
  /** One of everything. */
  readonly full: Files;
}

/** What must be said of a store. */
export interface Verdict {
  /** `ok`, or the kind of fault by store-format.md's "Conventions". */
  readonly expect: "ok" | "integrity" | "format" | "not_found";
  /** Of `coldcase verify`. */
  readonly exit: 0 | 10 | 20 | 21;
  /** The code that verify must tell; none where the store itself can't be opened. */
  readonly finding?: string;
  /** Of scripts/read_store.py, which stops at the first fault. */
  readonly reader: 0 | 2 | 20 | 21;
  /** Why one of the two accepts what the other refuses. */
  readonly reason?: string;
}

export interface Vector extends Verdict {
  /** Of its file: letters, digits, `_`. */
  readonly name: string;
  readonly about: string;
  /** Heading of store-format.md that it is about. */
  readonly section: string;
  /** Which file must be named; gets the vector's files and those that it was made from. */
  readonly file?: RegExp | ((files: Files, bases: Bases) => string);
  make(bases: Bases): Files | Promise<Files>;
}

export const ACCEPTED: Verdict = { expect: "ok", exit: 0, reader: 0 };

/** The store can't be opened. */
export function closed(expect: "integrity" | "format"): Verdict {
  const code = expect === "format" ? 21 : 20;
  return { expect, exit: code, reader: code };
}

/** The exhibit can't be opened: steps 3 to 10 of "Verification". */
export function unusable(expect: "integrity" | "format"): Verdict {
  return { ...closed(expect), finding: "exhibit_unusable" };
}

/** A finding of the steps from 11 on: verify goes on and ends with 20, the other reader stops. */
export function found(finding: string, expect: "integrity" | "format" = "integrity"): Verdict {
  return { expect, exit: 20, finding, reader: expect === "format" ? 21 : 20 };
}

/** Something malformed that no image rests on. */
export function strict(verdict: Verdict): Verdict {
  return { ...verdict, reader: 0, reason: "read_store.py looks only at members that an image rests on" };
}

/** Something that only verify looks at. */
export function beside(finding: string, what: string, expect: "integrity" | "format" = "integrity"): Verdict {
  return { expect, exit: 20, finding, reader: 0, reason: `read_store.py does not look at ${what}` };
}

/** Finding the one name that matches. */
export function fileOf(vector: Vector, files: Files, bases: Bases): string | undefined {
  const { file } = vector;
  if (file === undefined || typeof file === "function") return file?.(files, bases);
  const names = [...files.keys()].filter((name) => file.test(name));
  if (names.length !== 1) throw new Error(`${vector.name}: ${names.length} files match ${file}`);
  return names[0]!;
}

/** The bytes of a vector's file. */
export async function encodeVector(vector: Vector, bases: Bases): Promise<Uint8Array> {
  const files = await vector.make(bases);
  const file = fileOf(vector, files, bases);
  const { about, section, expect, exit, finding, reader, reason } = vector;
  const members = { about, section, expect, exit, finding, file, reader, reason };
  const lines = Object.entries(members).filter(([, value]) => value !== undefined)
    .map(([name, value]) => `${name}: ${value}\n`);
  const head = new TextEncoder().encode(`${lines.join("")}\n`);
  const archive = encodeArchive(files);
  const bytes = new Uint8Array(head.length + archive.length);
  bytes.set(head);
  bytes.set(archive, head.length);
  return bytes;
}

/** A vector's file taken apart: its header's members, and the archive. */
export interface ReadVector {
  readonly header: ReadonlyMap<string, string>;
  readonly archive: Uint8Array;
}

/** Throws where it is none. */
export function decodeVector(bytes: Uint8Array, name: string): ReadVector {
  const end = bytes.findIndex((byte, at) => byte === 0x0a && bytes[at + 1] === 0x0a);
  if (end < 0) throw new Error(`Cannot read vector "${name}": no empty line ends its header`);
  const lines = new TextDecoder().decode(bytes.subarray(0, end)).split("\n");
  const header = lines.map((line): [string, string] => {
    const match = /^([a-z]+): (.+)$/.exec(line);
    if (!match) throw new Error(`Cannot read vector "${name}": "${line}" is no header line`);
    return [match[1]!, match[2]!];
  });
  return { header: new Map(header), archive: bytes.subarray(end + 2) };
}
