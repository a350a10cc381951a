/**
 * A VMware disk of raw files: the descriptor (vmdk_format.ts) and its extents, `disk-flat.vmdk`, or `disk-f001.vmdk`
 * to `disk-f999.vmdk`. Written as raw pieces are, with the descriptor first; read back by what the descriptor names,
 * which lies beside it or is refused.
 */
import { Buffer } from "node:buffer";
import { basename, dirname, join } from "@std/path";
import { OperatorError } from "../errors.ts";
import type { Disk, DiskFile } from "../model.ts";
import { formatSize } from "../units.ts";
import { type ContainerFile, type ImageContainer, literally, pathsLike } from "./container.ts";
import {
  MAX_PIECES,
  type OpenedPieces,
  openInOrder,
  type PieceNames,
  requirePieces,
  SplitFile,
} from "./split_file.ts";
import {
  formatDescriptor,
  isDescriptor,
  MAX_DESCRIPTOR_BYTES,
  MAX_EXTENT_BYTES,
  parseVmdkDescriptor,
  requireVmdkName,
  SECTOR_BYTES,
} from "./vmdk_format.ts";

/** `disk` for `disk` and for `disk.vmdk`. */
export function vmdkStem(path: string): string {
  return path.replace(/\.vmdk$/i, "");
}

/** What a disk is made of, as far as it can be known before it is written. */
export interface VmdkPlan {
  readonly descriptorPath: string;
  readonly descriptor: Uint8Array<ArrayBuffer>;
  readonly extentBytes: number;
  readonly names: PieceNames;
  /** Its descriptor and all that are called like its extents, of one piece or many. */
  there(disk: Disk): string[];
}

/** Throws `usage` for a name or a size of pieces that the format can't hold. */
export function planVmdk(
  path: string,
  image: {
    readonly imageDigest: string;
    readonly sizeBytes: number;
    readonly splitBytes: number | undefined;
  },
): VmdkPlan {
  const { sizeBytes, splitBytes, imageDigest } = image;
  const stem = vmdkStem(path);
  const descriptorPath = `${stem}.vmdk`;
  if (splitBytes !== undefined) requireExtentSize(descriptorPath, { splitBytes, sizeBytes });
  const extentBytes = splitBytes ?? sizeBytes;
  const names = extentNames(stem, splitBytes !== undefined);
  const extents = Array.from({ length: Math.ceil(sizeBytes / extentBytes) }, (_, index) => ({
    name: basename(names.path(index)),
    sizeBytes: Math.min(extentBytes, sizeBytes - index * extentBytes),
  }));
  for (const { name } of extents) requireVmdkName(name);
  return {
    descriptorPath,
    descriptor: formatDescriptor({ imageDigest, isSplit: splitBytes !== undefined, extents }),
    extentBytes,
    names,
    there: (disk) => [...(disk.stat(descriptorPath) ? [descriptorPath] : []), ...names.there(disk)],
  };
}

function requireExtentSize(
  path: string,
  sizes: { readonly splitBytes: number; readonly sizeBytes: number },
): void {
  const { splitBytes, sizeBytes } = sizes;
  if (splitBytes > MAX_EXTENT_BYTES) {
    throw new OperatorError(
      "usage",
      `Cannot split "${path}": ${formatSize(splitBytes)}, an extent of a VMDK has at most ${
        formatSize(MAX_EXTENT_BYTES)
      }`,
      { hints: ["Give --split 2GiB, or leave it out for one extent of any size."] },
    );
  }
  if (sizeBytes > MAX_PIECES * MAX_EXTENT_BYTES) {
    throw new OperatorError(
      "usage",
      `Cannot split "${path}": ${formatSize(sizeBytes)} are more than ${MAX_PIECES} extents of ${
        formatSize(MAX_EXTENT_BYTES)
      }`,
      { hints: ["Leave --split out: one extent has any size."] },
    );
  }
  requirePieces(path, sizes);
}

function extentNames(stem: string, isSplit: boolean): PieceNames {
  return {
    path: (index) => isSplit ? `${stem}-f${String(index + 1).padStart(3, "0")}.vmdk` : `${stem}-flat.vmdk`,
    there(disk, suffix = "") {
      const name = new RegExp(
        `^${literally(basename(stem))}-(?:flat|f(?!000)\\d{3})\\.vmdk${literally(suffix)}$`,
      );
      return pathsLike(disk, { beside: stem, name });
    },
  };
}

/** A disk in the making. */
export class VmdkFile implements ImageContainer {
  readonly #disk: Disk;
  readonly #plan: VmdkPlan;
  readonly #descriptorNames: ContainerFile;
  readonly #extents: SplitFile;
  #descriptor: DiskFile | undefined;
  #isDescriptorDurable = true;

  /** The unfinished descriptor must be there. */
  constructor(disk: Disk, options: { readonly plan: VmdkPlan; readonly sizeBytes: number }) {
    const { plan, sizeBytes } = options;
    this.#disk = disk;
    this.#plan = plan;
    this.#descriptorNames = { partial: `${plan.descriptorPath}.partial`, final: plan.descriptorPath };
    this.#extents = new SplitFile(disk, {
      names: plan.names,
      splitBytes: plan.extentBytes,
      sizeBytes,
      mode: "update",
    });
  }

  files(): readonly ContainerFile[] {
    return [this.#descriptorNames, ...this.#extents.files()];
  }

  read(into: Uint8Array, offset: number): number {
    return this.#extents.read(into, offset);
  }

  write(bytes: Uint8Array, offset: number): void {
    this.#extents.write(bytes, offset);
  }

  writeZeros(): number {
    return 0;
  }

  addUnreadable(): void {}

  seal(): void {
    this.#describe();
  }

  async sync(): Promise<void> {
    if (!this.#isDescriptorDurable) await this.#descriptor?.sync();
    this.#isDescriptorDurable = true;
    await this.#extents.sync();
  }

  truncate(sizeBytes: number): void {
    this.#extents.truncate(sizeBytes);
    if (sizeBytes > 0) this.#describe();
  }

  sizeBytes(): number {
    return this.#extents.sizeBytes();
  }

  close(): void {
    this.#descriptor?.close();
    this.#descriptor = undefined;
    this.#extents.close();
  }

  #describe(): void {
    this.#descriptor ??= this.#disk.open(this.#descriptorNames.partial, "update");
    // Also one that an earlier session wrote: it may have been killed before its sync.
    this.#isDescriptorDurable = false;
    // Written anew it would be empty for a moment, and an unfinished image whose first file is empty counts as none.
    if (this.#isDescribed(this.#descriptor)) return;
    this.#descriptor.truncate(0);
    this.#descriptor.write(this.#plan.descriptor, 0);
  }

  #isDescribed(file: DiskFile): boolean {
    const held = new Uint8Array(this.#plan.descriptor.length + 1);
    return Buffer.compare(held.subarray(0, file.read(held, 0)), this.#plan.descriptor) === 0;
  }
}

/** The finished disk whose descriptor `path` is; `undefined` where that is no VMDK. Throws `format`. */
export function openVmdk(disk: Disk, path: string): OpenedPieces | undefined {
  const bytes = descriptorAt(disk, path);
  if (!bytes) return undefined;
  const extents = parseVmdkDescriptor(bytes, path);
  const paths = extents.map(({ name }) => join(dirname(path), name));
  const sizes = extents.map(({ sizeBytes }, index) => {
    const there = disk.stat(paths[index]!);
    // A link, a device or a pipe may lead anywhere, whatever its name is.
    if (there?.kind === "file" && there.sizeBytes === sizeBytes) {
      return { path: paths[index]!, size: sizeBytes };
    }
    const state = there === undefined
      ? "is missing"
      : there.kind === "file"
      ? `has ${there.sizeBytes} bytes`
      : `is a ${there.kind}`;
    throw new OperatorError(
      "format",
      `Cannot read VMDK "${path}": extent "${paths[index]}" ${state}, expected a file of ${sizeBytes} bytes`,
      { facts: { path: paths[index]! } },
    );
  });
  const names = { path: (index: number) => paths[index]!, there: () => paths };
  return openInOrder(disk, { title: path, names, sizes });
}

function descriptorAt(disk: Disk, path: string): Uint8Array | undefined {
  const file = disk.open(path, "read");
  try {
    const bytes = new Uint8Array(Math.min(file.sizeBytes(), MAX_DESCRIPTOR_BYTES + 1));
    const length = file.read(bytes.subarray(0, SECTOR_BYTES), 0);
    if (!isDescriptor(bytes.subarray(0, length), path)) return undefined;
    return bytes.subarray(0, file.read(bytes, 0));
  } finally {
    file.close();
  }
}
