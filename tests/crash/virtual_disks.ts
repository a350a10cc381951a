/**
 * Virtual disks that are exported while the power fails: a VMDK in pieces and a VHD, each with a log of its windows.
 * Under its name an image is whole, and has its log, its map and its windows beside it.
 */
import { createHash } from "node:crypto";
import { OperatorError } from "../../src/errors.ts";
import { exportRaw } from "../../src/image/mod.ts";
import type { BlockState } from "../../src/model.ts";
import { exportOptions, MemoryReader } from "../image/fakes.ts";
import { testWorld } from "../store/fixtures.ts";
import type { CrashDisk } from "./crash_disk.ts";
import type { Scenario } from "./explore.ts";

const EXTENT_BYTES = 4096;
const STATES: readonly BlockState[] = ["stored", "stored", "absent", "zero", "stored", "unreadable"];
const VOLUME = new MemoryReader(Array.from({ length: 20 }, (_, block) => STATES[block % STATES.length]!));
const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");

interface Kind {
  readonly format: "vmdk" | "vhd";
  /** The file that gets its name last. */
  readonly image: string;
  /** What holds the volume's bytes, one after the other. */
  readonly files: readonly string[];
  readonly splitBytes: number | undefined;
}

const VMDK: Kind = {
  format: "vmdk",
  image: "/case/disk.vmdk",
  files: ["/case/disk-f001.vmdk", "/case/disk-f002.vmdk", "/case/disk-f003.vmdk"],
  splitBytes: EXTENT_BYTES,
};
const VHD: Kind = {
  format: "vhd",
  image: "/case/disk.vhd",
  files: ["/case/disk.vhd"],
  splitBytes: undefined,
};

function requireDisk(disk: CrashDisk, { image, files, format }: Kind): void {
  const names = [image, `${image}.log`, `${image}.map.json`, `${image}.sha256.log`, ...files];
  const missing = names.find((name) => !disk.stat(name));
  if (missing) throw new Error(`${missing} is missing`);
  const bytes = Uint8Array.from(files.flatMap((path) => [...disk.bytes(path)]));
  if (sha256(bytes.subarray(0, VOLUME.bytes.length)) !== sha256(VOLUME.bytes)) {
    throw new Error("the image is not the volume's");
  }
  const framed = format === "vhd" ? bytes.subarray(VOLUME.bytes.length) : disk.bytes(image);
  const start = new TextDecoder().decode(framed.subarray(0, 8));
  if (start !== (format === "vhd" ? "conectix" : "# Disk D")) throw new Error("no descriptor or footer");
  const windows = new TextDecoder().decode(disk.bytes(`${image}.sha256.log`));
  if (!windows.endsWith(`\n\nTotal (sha256): ${sha256(VOLUME.bytes)}\n`)) {
    throw new Error("windows that do not end");
  }
}

function exportingDisk(kind: Kind): Scenario {
  const { format, image, files, splitBytes } = kind;
  return {
    name: `export as ${format}`,
    // deno-lint-ignore require-await -- others have to wait
    async prepare(disk) {
      disk.makeDirectory("/case");
    },
    async run({ disk, promise }) {
      const { clock } = testWorld();
      const virtualDisk = { format, createdAt: "2026-03-01T10:00:00.000Z" };
      const options = exportOptions({
        ...{ disk, clock, virtualDisk, splitBytes },
        windowLog: { windowBytes: 1024 },
        syncEveryBytes: 4 * 512,
      });
      await exportRaw(VOLUME, { kind: "path", path: image }, options).catch((error) => {
        // Done, by the run before.
        if (
          !(error instanceof OperatorError && error.code === "usage" &&
            /it is there already/.test(error.message))
        ) {
          throw error;
        }
      });
      // deno-lint-ignore require-await -- a check may wait
      promise(async (crashed) => requireDisk(crashed, kind));
    },
    // deno-lint-ignore require-await -- a check may wait
    async look(disk) {
      if (disk.stat(image)) requireDisk(disk, kind);
    },
    // deno-lint-ignore require-await -- others have to wait
    async essence(disk) {
      requireDisk(disk, kind);
      return [image, ...files, `${image}.sha256.log`].map((path) => sha256(disk.bytes(path))).join();
    },
  };
}

export const exportingVmdk = exportingDisk(VMDK);
export const exportingVhd = exportingDisk(VHD);
