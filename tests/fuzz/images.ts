/**
 * What `verify --read-back` reads of an image that anybody may have made: a VMDK's descriptor, a VHD's footer, a log of
 * windows' digests.
 */
import { parseVhdFooter, vhdChecksum, vhdFooter } from "../../src/image/vhd_format.ts";
import { formatDescriptor, parseVmdkDescriptor } from "../../src/image/vmdk_format.ts";
import { WindowLogReader } from "../../src/image/window_check.ts";
import type { DiskFile } from "../../src/model.ts";
import { law, type Target } from "./target.ts";

const text = (value: string) => new TextEncoder().encode(value);

const imageDigest = "3f9a".repeat(16);
const ONE_EXTENT = formatDescriptor({
  imageDigest,
  isSplit: false,
  extents: [{ name: "disk-flat.vmdk", sizeBytes: 2 ** 30 }],
});
const EXTENTS = formatDescriptor({
  imageDigest,
  isSplit: true,
  extents: Array.from({ length: 5 }, (_, i) => ({ name: `Ä b-f00${i + 1}.vmdk`, sizeBytes: 2 ** 31 })),
});
/** As VMware Workstation writes one. */
const OTHER =
  '# Disk DescriptorFile\r\nversion=1\r\nCID=fffffffe\r\nparentCID=ffffffff\r\ncreateType="monolithicFlat"\r\n\r\n' +
  '# Extent description\r\nRW 81920 FLAT "windows.vmdk" 0\r\n\r\n#DDB\r\nddb.adapterType = "ide"\r\n';

/** A disk that has a parent, and one that leads elsewhere: refused. */
const REFUSED = [
  '# Disk DescriptorFile\nversion=1\nCID=12345678\nparentCID=87654321\ncreateType="twoGbMaxExtentSparse"\n' +
  'parentFileNameHint="base.vmdk"\nRW 4192256 SPARSE "x-s001.vmdk"\nRDONLY 4192256 ZERO\n',
  '# Disk DescriptorFile\nversion=1\nparentCID=ffffffff\ncreateType="monolithicFlat"\nRW 1 FLAT "../../etc/shadow" 0\n',
];

const SIZE_BYTES = 3 * 2 ** 30;
const FOOTER = vhdFooter({ sizeBytes: SIZE_BYTES, createdAt: "2026-03-01T10:00:00.000Z", imageDigest });

const digest = "ab".repeat(32);
const LOGS = [
  `0 - 512: ${digest}\n512 - 1024: ${digest}\n1024 - 1500: ${digest}\n\nTotal (sha256): ${digest}\n`,
  `0 - 1500: ${digest}\n\nTotal (sha256): ${digest}\n`,
];

function fileOf(bytes: Uint8Array): DiskFile {
  const refuse = () => {
    throw new Error("a log that is read was changed");
  };
  return {
    read(into, offset) {
      const part = bytes.subarray(offset, offset + into.length);
      into.set(part);
      return part.length;
    },
    write: refuse,
    sync: () => Promise.reject(new Error("a log that is read was synced")),
    truncate: refuse,
    sizeBytes: () => bytes.length,
    close: () => undefined,
  };
}

export const IMAGE_TARGETS: readonly Target[] = [
  {
    name: "VMDK descriptor",
    kind: "text",
    codes: ["format"],
    samples: [ONE_EXTENT, EXTENTS, text(OTHER)],
    regressions: REFUSED.map(text),
    parse(bytes) {
      const extents = parseVmdkDescriptor(bytes, "disk.vmdk");
      law(extents.length > 0, "a disk of nothing");
      for (const { name, sizeBytes } of extents) {
        law(
          !/[/\\\p{Cc}"]/u.test(name) && name !== "." && name !== ".." && name !== "",
          `a way out: ${name}`,
        );
        law(Number.isSafeInteger(sizeBytes) && sizeBytes > 0 && sizeBytes % 512 === 0, `${sizeBytes} bytes`);
      }
    },
  },
  {
    name: "VHD footer",
    kind: "bytes",
    codes: ["format"],
    samples: [FOOTER],
    mend(bytes) {
      if (bytes.length === FOOTER.length) new DataView(bytes.buffer).setUint32(64, vhdChecksum(bytes));
      return bytes;
    },
    parse(bytes) {
      const size = parseVhdFooter(bytes, { path: "disk.vhd", sizeBytes: SIZE_BYTES + FOOTER.length });
      law(size === SIZE_BYTES, `${size} bytes before the footer`);
    },
  },
  {
    name: "digest log of windows",
    kind: "text",
    codes: ["format"],
    samples: LOGS.map(text),
    parse(bytes) {
      const log = new WindowLogReader(fileOf(bytes), { name: "sha256", path: "disk.img.sha256.log" });
      let [end, windows] = [0, 0];
      for (let line = log.next(); line; line = log.next()) {
        law(
          line.endBytes > end && line.endBytes - end <= log.windowBytes,
          "windows that overlap, or leave a gap",
        );
        end = line.endBytes;
        law(++windows <= bytes.length, "more windows than lines");
      }
      law(/^[0-9a-f]{64}$/.test(log.total()), "a total that is no digest");
    },
  },
];
