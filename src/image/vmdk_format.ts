/**
 * The text file that makes raw files a VMware disk: what it says, written and read. Only disks whose extents are flat
 * (one, or pieces of at most 2 GiB) and that have no parent; compressed and sparse ones are refused by name.
 * It looks at no extent.
 *
 * @see VMware, "Virtual Disk Format 5.0", "The Descriptor File"
 */
import { OperatorError } from "../errors.ts";
import { formatSize } from "../units.ts";

export const SECTOR_BYTES = 512;
/** No descriptor of 999 extents is near it; QEMU reads no more either. */
export const MAX_DESCRIPTOR_BYTES = 1024 * 1024;
/** What "twoGbMaxExtentFlat" allows each. */
export const MAX_EXTENT_BYTES = 2 ** 31;
/** More than `-f001` to `-f999`: other programs name four digits. */
const MAX_EXTENTS = 65_536;
const FIRST_LINE = "# Disk DescriptorFile";
/** Says "no parent", so it is nobody's content id. */
const NO_PARENT = "ffffffff";
/** Binary files of the same name: hosted sparse disks, and ESX's copy-on-write ones. */
const SPARSE_MAGICS = ["KDMV", "COWD"];

/** A raw file of the disk, by its name beside the descriptor. */
export interface VmdkExtent {
  readonly name: string;
  readonly sizeBytes: number;
}

/** Throws `usage` for a name that a descriptor can't hold: it has no way to escape a quotation mark. */
export function requireVmdkName(name: string): void {
  const bad = /["\\/]|\p{Cc}|\p{Cs}|\ufffd/u.exec(name)?.[0];
  if (bad === undefined) return;
  const shown = bad === '"' ? "a quotation mark" : bad === "\\" ? "a backslash" : "a character out of place";
  throw new OperatorError(
    "usage",
    `Cannot name an extent ${JSON.stringify(name)}: it has ${shown}, which a VMDK's descriptor can't hold`,
    { hints: ["Name the image with letters, digits, dots, dashes and blanks."] },
  );
}

/** The descriptor of `extents`. Equal images of equal names have equal descriptors. */
export function formatDescriptor(disk: {
  readonly imageDigest: string;
  readonly isSplit: boolean;
  readonly extents: readonly VmdkExtent[];
}): Uint8Array<ArrayBuffer> {
  const sectors = disk.extents.reduce((sum, { sizeBytes }) => sum + sizeBytes / SECTOR_BYTES, 0);
  const start = disk.imageDigest.slice(0, 8);
  return new TextEncoder().encode([
    FIRST_LINE,
    "version=1",
    'encoding="UTF-8"',
    // VMware draws it by lot and draws anew when the disk is written to; this one can be computed again.
    `CID=${start === NO_PARENT ? "fffffffe" : start}`,
    `parentCID=${NO_PARENT}`,
    'isNativeSnapshot="no"',
    `createType="${disk.isSplit ? "twoGbMaxExtentFlat" : "monolithicFlat"}"`,
    "",
    "# Extent description",
    ...disk.extents.map(({ name, sizeBytes }) => `RW ${sizeBytes / SECTOR_BYTES} FLAT "${name}" 0`),
    "",
    "# The Disk Data Base",
    "#DDB",
    "",
    'ddb.virtualHWVersion = "4"',
    ...geometry(sectors),
    // IDE ends at 128 GiB; LSI Logic's is the adapter that every product of VMware knows.
    'ddb.adapterType = "lsilogic"',
    "",
  ].join("\n"));
}

/** As VMware lays out a SCSI disk. No BIOS boots beyond it; readers take the extents' sizes. */
function geometry(sectors: number): string[] {
  const [heads, perTrack] = [255, 63];
  const cylinders = Math.max(1, Math.floor(sectors / (heads * perTrack)));
  return [
    `ddb.geometry.cylinders = "${cylinders}"`,
    `ddb.geometry.heads = "${heads}"`,
    `ddb.geometry.sectors = "${perTrack}"`,
  ];
}

/** Whether a file that begins like this is a descriptor. Throws `format` for a VMDK of another kind. */
export function isDescriptor(start: Uint8Array, path: string): boolean {
  const text = new TextDecoder("latin1").decode(start.subarray(0, FIRST_LINE.length));
  if (SPARSE_MAGICS.some((magic) => text.startsWith(magic))) {
    throw damaged(path, "it is a sparse VMDK, expected a descriptor of flat extents");
  }
  return text.toLowerCase() === FIRST_LINE.toLowerCase();
}

function damaged(path: string, what: string, cause?: unknown): OperatorError {
  return new OperatorError("format", `Cannot read VMDK "${path}": ${what}`, { facts: { path }, cause });
}

/** The extents that a descriptor names, in order. Throws `format` for what is no disk of flat extents. */
export function parseVmdkDescriptor(bytes: Uint8Array, path: string): readonly VmdkExtent[] {
  if (bytes.length > MAX_DESCRIPTOR_BYTES || !isDescriptor(bytes, path)) {
    throw damaged(
      path,
      `expected "${FIRST_LINE}" and at most ${formatSize(MAX_DESCRIPTOR_BYTES)}`,
    );
  }
  const { members, extents } = readLines(textOf(bytes, path), path);
  requireMember(members, { path, name: "version", values: ["1"] });
  // A disk with a parent holds only what was changed since.
  requireMember(members, { path, name: "parentcid", values: [NO_PARENT] });
  const kind = requireMember(members, {
    path,
    name: "createtype",
    values: ["monolithicflat", "twogbmaxextentflat"],
  });
  if (extents.length === 0 || (kind === "monolithicflat" && extents.length !== 1)) {
    throw damaged(path, `${extents.length} extents, expected ${kind === "monolithicflat" ? "1" : "some"}`);
  }
  return extents;
}

function textOf(bytes: Uint8Array, path: string): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (error) {
    throw damaged(path, "its text is not UTF-8", error);
  }
}

interface Lines {
  /** Names in small letters, values without quotes. */
  readonly members: ReadonlyMap<string, string>;
  readonly extents: readonly VmdkExtent[];
}

function readLines(text: string, path: string): Lines {
  const members = new Map<string, string>();
  const extents: VmdkExtent[] = [];
  const lines = text.split("\n").map((line) => line.trim());
  lines.forEach((line, index) => {
    if (line === "" || line.startsWith("#")) return;
    if (/^(?:RW|RDONLY|NOACCESS)\s/i.test(line)) {
      const extent = extentOf(line);
      if (!extent) {
        throw damaged(path, `line ${index + 1} is no flat extent beside it, from its first sector`);
      }
      if (extents.push(extent) > MAX_EXTENTS) throw damaged(path, `more than ${MAX_EXTENTS} extents`);
      return;
    }
    const at = line.indexOf("=");
    const name = line.slice(0, Math.max(0, at)).trim().toLowerCase();
    if (!/^[a-z][a-z0-9_.]*$/.test(name) || members.has(name)) {
      throw damaged(path, `line ${index + 1} is neither an extent nor a member that is new`);
    }
    members.set(name, line.slice(at + 1).trim().replace(/^"(.*)"$/, "$1"));
  });
  return { members, extents };
}

/** `undefined` for another kind of extent, and for one that does not lie beside the descriptor. */
function extentOf(line: string): VmdkExtent | undefined {
  const match = /^(?:RW|RDONLY) +(\d{1,12}) +FLAT +"([^"\\/\p{Cc}]{1,255})" +0$/iu.exec(line);
  if (!match) return undefined;
  const [, sectors, name] = match;
  const isBeside = name !== "." && name !== "..";
  return isBeside && Number(sectors) > 0
    ? { name: name!, sizeBytes: Number(sectors) * SECTOR_BYTES }
    : undefined;
}

function requireMember(
  members: ReadonlyMap<string, string>,
  member: { readonly path: string; readonly name: string; readonly values: readonly string[] },
): string {
  const value = members.get(member.name)?.toLowerCase();
  if (value !== undefined && member.values.includes(value)) return value;
  throw damaged(
    member.path,
    `"${member.name}" is ${value === undefined ? "missing" : JSON.stringify(value.slice(0, 64))}, ` +
      `expected ${member.values.join(" or ")}`,
  );
}
