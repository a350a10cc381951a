/**
 * A raw image on a block device. Holes are written as zeros, so that what the device held before never
 * shows through; bytes beyond the volume's size are left alone and reported. Nothing is resumed: an
 * interrupted one is written again from its first byte. Whether a device may be overwritten at all is asked here.
 */
import { OperatorError } from "../errors.ts";
import type { Disk, DiskFile } from "../model.ts";
import { formatSize } from "../units.ts";
import type { DeviceHost } from "./devices.ts";
import { ZERO_BYTES } from "./digests.ts";
import { diskFailure } from "./failures.ts";
import type { ImageTarget } from "./target.ts";

export interface DeviceTargetOptions {
  readonly disk: Disk;
  readonly devices: DeviceHost;
  readonly volumeSizeBytes: number;
  readonly overwrite: boolean;
  readonly syncEveryBytes: number;
}

/**
 * Opens the block device `path` for a volume.
 * Throws `usage` where it must not be overwritten (no `overwrite`, in use, no block device, missing
 * permission) and `storage` where it is too small, read-only or fails.
 */
export function openDeviceTarget(path: string, options: DeviceTargetOptions): DeviceTarget {
  const { disk, devices, volumeSizeBytes, overwrite } = options;
  if (!overwrite) {
    throw new OperatorError("usage", `Cannot export to "${path}": it is a device, --overwrite is needed`, {
      hints: ["All that the device holds will be lost. If it is the right one, add --overwrite."],
      facts: { path },
    });
  }
  const { sizeBytes, isReadOnly, uses } = devices.inspect(path);
  if (uses.length > 0) {
    throw new OperatorError("usage", `Cannot export to "${path}": ${uses.join(", ")}`, {
      hints: ["Unmount it, or take it out of use, if it is the right device."],
      facts: { path },
    });
  }
  if (isReadOnly) {
    throw new OperatorError("storage", `Cannot export to "${path}": device is read-only`, {
      facts: { path },
    });
  }
  if (sizeBytes < volumeSizeBytes) {
    throw new OperatorError(
      "storage",
      `Cannot export to "${path}": device has ${sizeBytes} bytes (${formatSize(sizeBytes)}), ` +
        `volume has ${volumeSizeBytes} (${formatSize(volumeSizeBytes)})`,
      {
        hints: ["Name a device at least as big as the volume."],
        facts: { path, sizeBytes, volumeSizeBytes },
      },
    );
  }
  try {
    const file = disk.open(path, "update");
    return new DeviceTarget(path, { ...options, file, excessBytes: sizeBytes - volumeSizeBytes });
  } catch (error) {
    throw diskFailure("open device", path, error);
  }
}

export class DeviceTarget implements ImageTarget {
  readonly kind = "device";
  readonly path: string;
  readonly notes: readonly string[];
  readonly excessBytes: number;
  readonly #file: DiskFile;
  readonly #syncEveryBytes: number;
  #unsyncedBytes = 0;
  #syncing: Promise<unknown> = Promise.resolve();

  constructor(
    path: string,
    parts: { readonly file: DiskFile; readonly excessBytes: number; readonly syncEveryBytes: number },
  ) {
    this.path = path;
    this.#file = parts.file;
    this.#syncEveryBytes = parts.syncEveryBytes;
    this.excessBytes = parts.excessBytes;
    this.notes = parts.excessBytes === 0 ? [] : [
      `The device is ${parts.excessBytes} bytes longer than the volume; these were left as they were.`,
    ];
  }

  isHoleFree(): boolean {
    return false;
  }

  announce(): void {}

  async write(bytes: Uint8Array, offset: number): Promise<void> {
    try {
      this.#file.write(bytes, offset);
    } catch (error) {
      throw diskFailure("write device", this.path, error);
    }
    this.#unsyncedBytes += bytes.length;
    if (this.#unsyncedBytes >= this.#syncEveryBytes) await this.#syncBeside();
  }

  async writeHole(lengthBytes: number, offset: number): Promise<void> {
    for (let done = 0; done < lengthBytes; done += ZERO_BYTES.length) {
      await this.write(
        ZERO_BYTES.subarray(0, Math.min(ZERO_BYTES.length, lengthBytes - done)),
        offset + done,
      );
    }
  }

  async save(): Promise<void> {
    await this.#syncBeside();
    await this.#syncEnded();
  }

  close(): void {
    this.#file.close();
  }

  async #syncBeside(): Promise<void> {
    await this.#syncEnded();
    this.#unsyncedBytes = 0;
    this.#syncing = this.#file.sync().then(() => undefined, (error: unknown) => error);
  }

  async #syncEnded(): Promise<void> {
    const error = await this.#syncing;
    // Stays failed: a second sync would be answered as if the lost data were safe.
    if (error !== undefined) throw diskFailure("make durable device", this.path, error);
  }
}
