/**
 * A small store as a table of its files, and that table as a compressed tar archive that stock tools unpack: no
 * times, no owners, names sorted, so that the same store gives the same archive. Holds regular files and
 * symbolic links; empty folders, locks and caches are left out, for they are no evidence.
 *
 * @see POSIX.1-2017, pax, "ustar Interchange Format" and "pax Extended Header"
 */
import { gunzipSync, gzipSync } from "node:zlib";

/** Contents, or where a symbolic link points. */
export type Entry = Uint8Array | { readonly link: string };

/** Name from the store's root → what is there. */
export type Files = Map<string, Entry>;

const LEFT_OUT = /^(cache\/|lock$|custody-lock$|tmp\/)/;

/** The files of the store in `root`. */
export function readFiles(root: string): Files {
  const names = (folder: string): string[] =>
    [...Deno.readDirSync(`${root}/${folder}`)].flatMap(({ name, isDirectory }) =>
      isDirectory ? names(`${folder}${name}/`) : [`${folder}${name}`]
    );
  const kept = names("").filter((name) => !LEFT_OUT.test(name)).sort();
  return new Map(kept.map((name) => [name, Deno.readFileSync(`${root}/${name}`)]));
}

/** Writes the files into the folder `root`, which is made. */
export function writeFiles(root: string, files: Files): void {
  Deno.mkdirSync(root, { recursive: true });
  for (const [name, entry] of files) {
    const path = `${root}/${name}`;
    Deno.mkdirSync(path.slice(0, path.lastIndexOf("/")), { recursive: true });
    if (entry instanceof Uint8Array) Deno.writeFileSync(path, entry);
    else Deno.symlinkSync(entry.link, path);
  }
}

const BLOCK = 512;
const TEXT_ENCODER = new TextEncoder();

/** The archive, gzip around tar. */
export function encodeArchive(files: Files): Uint8Array {
  const parts: Uint8Array[] = [];
  for (const name of [...files.keys()].sort()) {
    const entry = files.get(name)!;
    const short = splitName(name);
    if (!short) {
      parts.push(header("pax", "", { type: "x", sizeBytes: paxPath(name).length }), padded(paxPath(name)));
    }
    const [prefix, rest] = short ?? ["", name.slice(-100)];
    if (entry instanceof Uint8Array) {
      parts.push(header(rest, prefix, { type: "0", sizeBytes: entry.length }), padded(entry));
    } else parts.push(header(rest, prefix, { type: "2", sizeBytes: 0, link: entry.link }));
  }
  parts.push(new Uint8Array(2 * BLOCK));
  return new Uint8Array(gzipSync(new Uint8Array(joined(parts)), { level: 9 }));
}

/** The tar archive inside: what it was compressed to may differ from one version of zlib to the next. */
export function archiveContents(archive: Uint8Array): Uint8Array {
  return new Uint8Array(gunzipSync(archive));
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    bytes.set(part, offset);
    offset += part.length;
  }
  return bytes;
}

function padded(bytes: Uint8Array): Uint8Array {
  const whole = new Uint8Array(Math.ceil(bytes.length / BLOCK) * BLOCK);
  whole.set(bytes);
  return whole;
}

/** Prefix and name of at most 155 and 100 bytes; undefined where the name can't be divided so. */
function splitName(name: string): [string, string] | undefined {
  if (name.length <= 100) return ["", name];
  const slash = name.indexOf("/", name.length - 101);
  return slash < 0 ? undefined : [name.slice(0, slash), name.slice(slash + 1)];
}

/** `LENGTH path=NAME LF`, whose length counts its own digits. */
function paxPath(name: string): Uint8Array {
  const rest = ` path=${name}\n`;
  const guess = rest.length + 2;
  return TEXT_ENCODER.encode(`${rest.length + String(guess).length}${rest}`);
}

function header(
  name: string,
  prefix: string,
  facts: { readonly type: "0" | "2" | "x"; readonly sizeBytes: number; readonly link?: string },
): Uint8Array {
  const bytes = new Uint8Array(BLOCK);
  const put = (offset: number, text: string) => bytes.set(TEXT_ENCODER.encode(text), offset);
  const octal = (value: number, digits: number) => value.toString(8).padStart(digits, "0") + "\0";
  put(0, name);
  put(100, octal(0o644, 7));
  put(108, octal(0, 7));
  put(116, octal(0, 7));
  put(124, octal(facts.sizeBytes, 11));
  put(136, octal(0, 11));
  put(148, " ".repeat(8));
  put(156, facts.type);
  put(157, facts.link ?? "");
  put(257, "ustar\u000000");
  put(345, prefix);
  put(148, octal(bytes.reduce((sum, byte) => sum + byte, 0), 6) + " ");
  return bytes;
}
