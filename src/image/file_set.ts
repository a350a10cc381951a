/**
 * Which files an image consists of, by format and size: their names, the largest of them, what is there of an earlier
 * one, and what writes them. It looks and refuses what the formats can't hold; it makes nothing.
 */
import { OperatorError } from "../errors.ts";
import type { BlockReader, Disk } from "../model.ts";
import { volumeSizeBytes } from "./blocks.ts";
import { type ImageContainer, type ImageFormat, WholeFile } from "./container.ts";
import { inspectVolume } from "./contents.ts";
import { ewfStem, segmentPath } from "./ewf_format.ts";
import { cutFields, type EwfFacts } from "./ewf_header.ts";
import { MIN_SEGMENT_BYTES, mostEwfBytes, segmentBytes } from "./ewf_room.ts";
import { inlinePackers, threadPackers } from "./ewf_packers.ts";
import { EwfWriter, segmentsThere } from "./ewf_writer.ts";
import { type ImageNames, imageNames } from "./file_target.ts";
import { isFirstPiece, numberedPieces, requirePieces, SplitFile, splitStem } from "./split_file.ts";
import { vhdPath } from "./vhd_file.ts";
import { isVhdFooter, requireVhdSize, vhdFooter } from "./vhd_format.ts";
import { planVmdk, VmdkFile } from "./vmdk_file.ts";
import { SECTOR_BYTES } from "./vmdk_format.ts";
import { VolumeBytes } from "./volume_bytes.ts";

export interface FileSetOptions {
  readonly disk: Disk;
  readonly reader: BlockReader;
  /** The identity that formats have a place for comes from it. */
  readonly imageDigest: string;
  /** Worker threads that compress; 0 or `undefined`: the calling thread does. */
  readonly threads?: number | undefined;
  /** Bytes of each piece; `undefined`: the image is one file. */
  readonly splitBytes?: number | undefined;
  /** An E01, in segment files of `splitBytes` or of a size that does; `undefined`: raw. */
  readonly ewf?: EwfFacts | undefined;
  /** Instead of a raw image; in pieces a VMDK only. */
  readonly virtualDisk?: VirtualDisk | undefined;
}

/** A raw image with what a hypervisor needs to attach it. */
export interface VirtualDisk {
  readonly format: "vmdk" | "vhd";
  /** When the exhibit was acquired, RFC 3339: what a VHD says of itself, so that two of one exhibit are equal. */
  readonly createdAt: string;
}

/** How the files of one image are told from any others, and made. */
export interface FileSet {
  readonly names: ImageNames;
  readonly format: ImageFormat;
  readonly splitBytes: number | undefined;
  /** For the operator, as soon as it is clear that it is made. */
  readonly notes: readonly string[];
  /** The largest file that it can have. */
  readonly largestFileBytes: number;
  /** Beside the volume's bytes. */
  readonly extraBytes: number;
  /** Finished files of it, or of an earlier image of that name, first first. */
  there(): string[];
  /** `startedAt`: when the first session of it began, RFC 3339 UTC. */
  open(startedAt: string): ImageContainer;
}

function rawSet(path: string, options: FileSetOptions): FileSet {
  const { disk, splitBytes } = options;
  const sizeBytes = volumeSizeBytes(options.reader.shape);
  if (splitBytes === undefined) {
    const names = imageNames(path);
    return {
      names,
      format: "raw",
      splitBytes,
      notes: rawNameNotes(path),
      largestFileBytes: sizeBytes,
      extraBytes: 0,
      // One that is called like a first piece is read with all that are called like later ones.
      there: () => isFirstPiece(path) ? numberedPieces(splitStem(path)).there(disk) : thereOne(disk, path),
      open: () => new WholeFile(disk.open(names.partial, "update"), { partial: names.partial, final: path }),
    };
  }
  const stem = splitStem(path);
  requirePieces(stem, { splitBytes, sizeBytes });
  const names = numberedPieces(stem);
  return {
    names: imageNames(names.path(0)),
    format: "raw",
    splitBytes,
    notes: [],
    largestFileBytes: Math.min(splitBytes, sizeBytes),
    extraBytes: 0,
    there: () => names.there(disk),
    open: () => new SplitFile(disk, { names, splitBytes, sizeBytes, mode: "update" }),
  };
}

function thereOne(disk: Disk, path: string): string[] {
  return disk.stat(path) ? [path] : [];
}

/** Programs go by the name. Throws `usage` for a raw image that not even we would read back as one. */
function rawNameNotes(path: string): readonly string[] {
  const format = /\.(e01|vmdk|vhd)$/i.exec(path)?.[1]?.toLowerCase();
  if (format === undefined) return [];
  if (format !== "e01") {
    return [
      `Its name is a ${format.toUpperCase()}'s, and it is a raw image: --format ${format} was not given.`,
    ];
  }
  throw new OperatorError(
    "usage",
    `Cannot export to "${path}": the name is an E01's, the image would be raw`,
    {
      hints: ["Give --format e01, or another name."],
    },
  );
}

async function ewfSet(
  path: string,
  options: FileSetOptions & { readonly ewf: EwfFacts },
): Promise<FileSet> {
  const { disk, reader, ewf: facts, threads = 0 } = options;
  const stem = ewfStem(path);
  const mostBytes = await mostEwfBytes(reader);
  const splitBytes = segmentBytes(stem, { asked: options.splitBytes, mostBytes });
  const { table } = await inspectVolume(reader);
  const shape = {
    sizeBytes: volumeSizeBytes(reader.shape),
    blockSizeBytes: reader.shape.blockSizeBytes,
    isPhysical: table !== undefined,
  };
  const cut = cutFields(facts);
  return {
    names: imageNames(segmentPath(stem, 1)),
    format: "e01",
    splitBytes,
    notes: cut.length === 0 ? [] : [
      `The E01's fields hold less than the record has: ${cut.join(", ")} cut; this log has all.`,
    ],
    largestFileBytes: Math.min(splitBytes, mostBytes + MIN_SEGMENT_BYTES),
    extraBytes: 0,
    there: () => segmentsThere(disk, stem),
    open(startedAt) {
      const packers = threads > 0 ? threadPackers(threads) : inlinePackers(disk);
      const named = { ...shape, identity: `${options.imageDigest} ${startedAt}` };
      return new EwfWriter(disk, { stem, splitBytes, facts, shape: named, writtenAt: startedAt, packers });
    },
  };
}

function vmdkSet(path: string, options: FileSetOptions): FileSet {
  const { disk, splitBytes, imageDigest } = options;
  const sizeBytes = volumeSizeBytes(options.reader.shape);
  const plan = planVmdk(path, { imageDigest, sizeBytes, splitBytes });
  return {
    names: imageNames(plan.descriptorPath),
    format: "vmdk",
    splitBytes,
    notes: [],
    largestFileBytes: Math.min(plan.extentBytes, sizeBytes),
    extraBytes: plan.descriptor.length,
    there: () => plan.there(disk),
    open: () => new VmdkFile(disk, { plan, sizeBytes }),
  };
}

async function vhdSet(path: string, options: FileSetOptions): Promise<FileSet> {
  const { disk } = options;
  const image = vhdPath(path);
  const offset = volumeSizeBytes(options.reader.shape);
  const trailer = { bytes: trailerBytes(options, image)!, offset };
  const names = imageNames(image);
  return {
    names,
    format: "vhd",
    splitBytes: undefined,
    notes: await trailerNotes(options),
    largestFileBytes: offset + trailer.bytes.length,
    extraBytes: trailer.bytes.length,
    there: () => thereOne(disk, image),
    open: () =>
      new WholeFile(disk.open(names.partial, "update"), { partial: names.partial, final: image, trailer }),
  };
}

/** What follows the volume's bytes in a file or stream of one format; `undefined`: nothing. Throws `usage`. */
export function trailerBytes(
  options: Pick<FileSetOptions, "reader" | "imageDigest" | "virtualDisk">,
  path: string,
): Uint8Array | undefined {
  const { reader, imageDigest, virtualDisk } = options;
  if (virtualDisk?.format !== "vhd") return undefined;
  const sizeBytes = volumeSizeBytes(reader.shape);
  requireVhdSize(path, sizeBytes);
  return vhdFooter({ sizeBytes, createdAt: virtualDisk.createdAt, imageDigest });
}

/** What somebody should know before a file with that trailer is opened; one sentence each. */
export async function trailerNotes(
  { reader, virtualDisk }: Pick<FileSetOptions, "reader" | "virtualDisk">,
): Promise<readonly string[]> {
  if (virtualDisk?.format !== "vhd") return [];
  const start = await new VolumeBytes(reader).read(0, SECTOR_BYTES);
  // QEMU looks at the first sector before it looks at the last one (measured, 7.2).
  return start && isVhdFooter(start)
    ? [
      "The volume itself begins as a dynamic VHD does: programs that look there first, QEMU among them, open another " +
      "disk than this one. A VMDK is read rightly.",
    ]
    : [];
}

export async function fileSet(path: string, options: FileSetOptions): Promise<FileSet> {
  const { ewf, virtualDisk } = options;
  if (ewf) return await ewfSet(path, { ...options, ewf });
  switch (virtualDisk?.format) {
    case "vmdk":
      return vmdkSet(path, options);
    case "vhd":
      return await vhdSet(path, options);
    case undefined:
      return rawSet(path, options);
  }
}
