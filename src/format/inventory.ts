/**
 * The inventory: where the evidence lies. The stored files that an exhibit needs, with their sizes, as a
 * sorted set of lines, so that it can be read in a stream however many packs there are. Encrypting,
 * repairing and copying write a new one; the manifest stays.
 *
 * @see store-format.md, "Inventory"
 */
import { OperatorError } from "../errors.ts";
import type { Digest, ExhibitId, SnapshotId, StoredObject } from "../model.ts";
import { FORMAT_VERSION } from "./members.ts";
import { digest, exhibitId, nullable, snapshotId, time } from "./schema.ts";

export interface Inventory {
  readonly exhibit: ExhibitId;
  readonly snapshot: SnapshotId;
  readonly parent: ExhibitId | null;
  /** Of the manifest: what it is in every store that holds it. */
  readonly commitment: Digest;
  /** SHA-256 of the manifest's file: of an encrypted one of its ciphertext. */
  readonly manifest: Digest;
  /** The same of the file that says which file holds which segment; null: not encrypted, names say it. */
  readonly map: Digest | null;
  readonly committedAt: string;
  /** Sorted by name, byte by byte; no name twice. */
  readonly files: readonly StoredObject[];
}

/** 1,048,576 packs of 64 MiB hold 64 TiB; this is for three times that. */
export const MAX_INVENTORY_BYTES = 384 * 1024 * 1024;

const FIRST_LINE = `coldcase-inventory ${FORMAT_VERSION}`;
const HEADER_LINES = 9;

/** Sorts and de-duplicates `files`. Throws `format` where one name comes with two sizes. */
export function encodeInventory(inventory: Inventory): Uint8Array<ArrayBuffer> {
  const files = [...inventory.files].sort((a, b) => a.name < b.name ? -1 : a.name > b.name ? 1 : 0);
  const lines: string[] = [];
  for (const [position, file] of files.entries()) {
    const before = files[position - 1];
    if (before?.name !== file.name) lines.push(`${file.sizeBytes} ${file.name}`);
    else if (before.sizeBytes !== file.sizeBytes) {
      throw new OperatorError("format", `Cannot write inventory: "${file.name}" has two sizes`);
    }
  }
  const header = [
    FIRST_LINE,
    `exhibit ${inventory.exhibit}`,
    `snapshot ${inventory.snapshot}`,
    `parent ${inventory.parent ?? "-"}`,
    `commitment ${inventory.commitment}`,
    `manifest ${inventory.manifest}`,
    `map ${inventory.map ?? "-"}`,
    `committed ${inventory.committedAt}`,
    `files ${lines.length}`,
  ];
  return new TextEncoder().encode([...header, ...lines, ""].join("\n"));
}

/**
 * The inventory that `bytes` hold. Throws `format` for anything that `encodeInventory` would not write.
 */
export function decodeInventory(bytes: Uint8Array, name = "inventory"): Inventory {
  const refuse = (fault: string): never => {
    throw new OperatorError("format", `Cannot read ${name}: ${fault}`);
  };
  if (bytes.length > MAX_INVENTORY_BYTES) {
    refuse(`has ${bytes.length} bytes, at most ${MAX_INVENTORY_BYTES} are allowed`);
  }
  for (let at = 0; at < bytes.length; at++) { // a callback a byte takes ten times as long
    const byte = bytes[at]!;
    if (byte > 0x7e || (byte < 0x20 && byte !== 0x0a)) refuse("holds a byte that is not printable ASCII");
  }
  const lines = new TextDecoder().decode(bytes).split("\n");
  if (lines.pop() !== "") refuse("does not end with a newline");
  const version = /^coldcase-inventory (0|[1-9]\d{0,8})$/.exec(lines[0] ?? "")?.[1];
  if (version !== undefined && Number(version) !== FORMAT_VERSION) {
    refuse(`has version ${version}, this program reads version ${FORMAT_VERSION}`);
  }
  if (lines[0] !== FIRST_LINE) refuse(`does not start with the line "${FIRST_LINE}"`);
  const header = (position: number, key: string): string => {
    const line = lines[position] ?? "";
    return line.startsWith(`${key} `)
      ? line.slice(key.length + 1)
      : refuse(`line ${position + 1} is not "${key} …"`);
  };
  const orNull = (value: string) => value === "-" ? null : value;
  const inventory = {
    exhibit: exhibitId(header(1, "exhibit"), `${name}.exhibit`),
    snapshot: snapshotId(header(2, "snapshot"), `${name}.snapshot`),
    parent: nullable(exhibitId)(orNull(header(3, "parent")), `${name}.parent`),
    commitment: digest(header(4, "commitment"), `${name}.commitment`),
    manifest: digest(header(5, "manifest"), `${name}.manifest`),
    map: nullable(digest)(orNull(header(6, "map")), `${name}.map`),
    committedAt: time(header(7, "committed"), `${name}.committed`),
  };
  const files: StoredObject[] = [];
  for (let position = HEADER_LINES; position < lines.length; position++) {
    const match = /^(0|[1-9]\d{0,15}) ([a-z0-9][a-z0-9._-]*(?:\/[a-z0-9][a-z0-9._-]*)*)$/.exec(
      lines[position]!,
    );
    if (!match || !Number.isSafeInteger(Number(match[1]))) {
      return refuse(`line ${position + 1} is not a size and a name`);
    }
    const before = files.at(-1);
    if (before && before.name >= match[2]!) refuse(`line ${position + 1} is not in order`);
    files.push({ sizeBytes: Number(match[1]), name: match[2]! });
  }
  if (header(8, "files") !== String(files.length)) {
    refuse(`says ${header(8, "files").slice(0, 40)} files, lists ${files.length}`);
  }
  return { ...inventory, files };
}
