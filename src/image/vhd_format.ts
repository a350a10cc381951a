/**
 * The 512 bytes that follow a volume's bytes and make them a fixed VHD: written and read. No dynamic or differencing
 * disks, and no VHDX. It looks at no other byte of the image.
 *
 * @see Microsoft, "Virtual Hard Disk Image Format Specification" 1.0, "Hard Disk Footer Format" and "CHS Calculation"
 */
import { OperatorError } from "../errors.ts";
import { GIB } from "../units.ts";

export const FOOTER_BYTES = 512;
const SECTOR_BYTES = 512;
/** Windows and Azure attach none that is larger; the geometry ends long before. */
export const MAX_VHD_BYTES = 2040 * GIB;

const COOKIE = "conectix";
/** "Reserved", which is always set. */
const FEATURES = 2;
const VERSION = 0x0001_0000;
/** A fixed disk has no further structure. */
const NO_OFFSET = 0xffff_ffff_ffff_ffffn;
const FIXED = 2;
/**
 * Who made it decides whose size a reader takes: for unknown makers QEMU takes the geometry's, which is smaller than the
 * volume. For Windows' own it takes the size that the footer says.
 */
const CREATOR = "win ";
const CREATOR_VERSION = 0x000a_0000;
const HOST_SYSTEM = "Wi2k";
/** 2000-01-01T00:00:00Z, from which a footer counts. */
const EPOCH_MS = Date.UTC(2000, 0, 1);
const CHECKSUM_AT = 64;

export interface VhdFacts {
  readonly sizeBytes: number;
  /** RFC 3339; what is before 2000 becomes its first second. */
  readonly createdAt: string;
  /** Hexadecimal; the disk's id comes from it. */
  readonly imageDigest: string;
}

/** Throws `usage` for a volume that no fixed VHD holds. */
export function requireVhdSize(path: string, sizeBytes: number): void {
  if (sizeBytes > MAX_VHD_BYTES) {
    throw new OperatorError(
      "usage",
      // Both are "2.0 TiB" to formatSize().
      `Cannot export to "${path}": the volume has ${Math.ceil(sizeBytes / GIB)} GiB, a VHD at most ${
        MAX_VHD_BYTES / GIB
      } GiB`,
      { hints: ["Give --format vmdk, or leave --format out."] },
    );
  }
  if (sizeBytes % SECTOR_BYTES === 0) return;
  throw new OperatorError(
    "usage",
    `Cannot export to "${path}": the volume has ${sizeBytes} bytes, a VHD whole sectors of ${SECTOR_BYTES}`,
  );
}

/** Equal for equal images of one exhibit. */
export function vhdFooter(facts: VhdFacts): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(FOOTER_BYTES);
  const fields = new DataView(bytes.buffer);
  const encoder = new TextEncoder();
  const { cylinders, heads, sectors } = vhdGeometry(facts.sizeBytes);
  const seconds = Math.floor((Date.parse(facts.createdAt) - EPOCH_MS) / 1000);
  bytes.set(encoder.encode(COOKIE), 0);
  fields.setUint32(8, FEATURES);
  fields.setUint32(12, VERSION);
  fields.setBigUint64(16, NO_OFFSET);
  fields.setUint32(24, Math.min(2 ** 32 - 1, Math.max(0, seconds)));
  bytes.set(encoder.encode(CREATOR), 28);
  fields.setUint32(32, CREATOR_VERSION);
  bytes.set(encoder.encode(HOST_SYSTEM), 36);
  fields.setBigUint64(40, BigInt(facts.sizeBytes));
  fields.setBigUint64(48, BigInt(facts.sizeBytes));
  fields.setUint16(56, cylinders);
  bytes[58] = heads;
  bytes[59] = sectors;
  fields.setUint32(60, FIXED);
  bytes.set(diskId(facts.imageDigest), 68);
  fields.setUint32(CHECKSUM_AT, vhdChecksum(bytes));
  return bytes;
}

/** A UUID of version 8 (RFC 9562 §5.8: made by rules of one's own). */
function diskId(imageDigest: string): Uint8Array {
  const id = Uint8Array.from(
    { length: 16 },
    (_, i) => Number.parseInt(imageDigest.slice(2 * i, 2 * i + 2), 16),
  );
  id[6] = 0x80 | id[6]! & 0x0f;
  id[8] = 0x80 | id[8]! & 0x3f;
  return id;
}

/** Ones' complement of the sum of all bytes but its own. */
export function vhdChecksum(footer: Uint8Array): number {
  let sum = 0;
  for (let at = 0; at < footer.length; at++) {
    if (at < CHECKSUM_AT || at >= CHECKSUM_AT + 4) sum += footer[at]!;
  }
  return ~sum >>> 0;
}

/** What a PC's BIOS of the time would make of a disk. Its product is at most the size, and often less. */
export function vhdGeometry(
  sizeBytes: number,
): { readonly cylinders: number; readonly heads: number; readonly sectors: number } {
  const total = Math.min(sizeBytes / SECTOR_BYTES, 65_535 * 16 * 255);
  let [heads, sectors] = [16, 255];
  let tracks = Math.floor(total / sectors);
  if (total < 65_535 * 16 * 63) {
    sectors = 17;
    tracks = Math.floor(total / sectors);
    heads = Math.max(4, Math.floor((tracks + 1023) / 1024));
    if (tracks >= heads * 1024 || heads > 16) {
      [heads, sectors] = [16, 31];
      tracks = Math.floor(total / sectors);
    }
    if (tracks >= heads * 1024) {
      [heads, sectors] = [16, 63];
      tracks = Math.floor(total / sectors);
    }
  }
  return { cylinders: Math.floor(tracks / heads), heads, sectors };
}

/** Whether the last bytes of a file say that it is a VHD, sound or not. */
export function isVhdFooter(bytes: Uint8Array): boolean {
  return new TextDecoder("latin1").decode(bytes.subarray(0, COOKIE.length)) === COOKIE;
}

/** Size of the disk before the footer. Throws `format` where it is not a sound one of a fixed disk. */
export function parseVhdFooter(
  bytes: Uint8Array,
  file: { readonly path: string; readonly sizeBytes: number },
): number {
  const refuse = (what: string) =>
    new OperatorError("format", `Cannot read VHD "${file.path}": ${what}`, { facts: { path: file.path } });
  if (bytes.length !== FOOTER_BYTES || !isVhdFooter(bytes)) throw refuse(`no footer at its end`);
  const fields = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const [said, computed] = [fields.getUint32(CHECKSUM_AT), vhdChecksum(bytes)];
  if (said !== computed) {
    throw refuse(`checksum of its footer is ${said.toString(16)}, expected ${computed.toString(16)}`);
  }
  const version = fields.getUint32(12);
  if (version >>> 16 !== 1) throw refuse(`version ${version >>> 16}.${version & 0xffff}, expected 1.0`);
  const type = fields.getUint32(60);
  if (type !== FIXED || fields.getBigUint64(16) !== NO_OFFSET) {
    throw refuse(`disk type ${type}, expected ${FIXED} (fixed) without further structures`);
  }
  const size = fields.getBigUint64(48);
  if (size !== BigInt(file.sizeBytes - FOOTER_BYTES) || size === 0n || size % BigInt(SECTOR_BYTES) !== 0n) {
    throw refuse(`its footer says ${size} bytes, ${file.sizeBytes - FOOTER_BYTES} are before it`);
  }
  return Number(size);
}
