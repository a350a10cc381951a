/**
 * Reads an image back from where it was written: its linear digests, whether they are those that were
 * expected, and, with the exhibit at hand, which bytes differ from it. It only reads. What a finding means
 * for the exit code is the caller's.
 */
import { Buffer } from "node:buffer";
import { messageOf, OperatorError } from "../errors.ts";
import type { BlockReader, Disk, DiskFile } from "../model.ts";
import { MIB } from "../units.ts";
import { blocksInOrder, volumeSizeBytes } from "./blocks.ts";
import { type DeviceHost, realDeviceHost } from "./devices.ts";
import {
  DIGEST_NAMES,
  type DigestName,
  LinearDigests,
  type LinearDigestValues,
  ZERO_BYTES,
} from "./digests.ts";
import { openEwf } from "./ewf_reader.ts";
import { diskFailure } from "./failures.ts";
import { type ByteRange, lastByte, RangeList } from "./ranges.ts";
import { openPieces, piecePath, splitStem } from "./split_file.ts";
import { type ImageProgress, Steps } from "./steps.ts";

/** Differences are told in units of this size: one sector of the volume. */
const SECTOR_BYTES = 512;
const PIECE_BYTES = MIB;

export interface ReadBackOptions {
  readonly disk: Disk;
  /** Needed where there is no reader and the image is on a device; else the file's own size counts. */
  readonly volumeSizeBytes?: number;
  /** What to compute, beside those in `expectedDigests`. `["sha256"]` where neither is given. */
  readonly digests?: readonly DigestName[];
  /** From `IMAGE.log` or from the operator; lower-case hexadecimal digits. */
  readonly expectedDigests?: LinearDigestValues;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: ImageProgress) => void;
  readonly devices?: DeviceHost;
}

/** What is not as it should be. */
export type ReadBackFinding =
  | { readonly kind: "size"; readonly expectedBytes: number; readonly actualBytes: number }
  /** Bytes of the image that are not the exhibit's, in whole 512-byte sectors. */
  | { readonly kind: "content"; readonly range: ByteRange }
  | {
    readonly kind: "digest";
    readonly name: DigestName;
    readonly expected: string;
    readonly actual: string;
  };

export interface ReadBackResult {
  readonly target: "file" | "device";
  /** Of the file or device. */
  readonly sizeBytes: number;
  /** Bytes that were read and hashed, from the first on: at most the volume's size. */
  readonly readBytes: number;
  /** Bytes of a device beyond the volume: neither read nor wrong. 0 for a file. */
  readonly excessBytes: number;
  /** Over `readBytes` bytes. */
  readonly digests: LinearDigestValues;
  /** True where every block was compared with a reader. */
  readonly isCompared: boolean;
  /** Size first, then content ascending (the first 1,000 ranges), then digests. Empty: all is well. */
  readonly findings: readonly ReadBackFinding[];
  /** All findings, listed or not. */
  readonly findingCount: number;
}

/**
 * Reads the image at `path`; with `reader`, compares it with that volume.
 * Throws `not_found` where there is no image, `usage` for what is none, `storage` where it can't be read,
 * `interrupted`, and what the reader throws.
 */
export async function readBack(
  reader: BlockReader | undefined,
  path: string,
  options: ReadBackOptions,
): Promise<ReadBackResult> {
  const image = openImage(path, options);
  try {
    const expectedBytes = reader ? volumeSizeBytes(reader.shape) : options.volumeSizeBytes ?? image.sizeBytes;
    const expected = options.expectedDigests ?? {};
    const asked = options.digests ?? (options.expectedDigests ? [] : ["sha256"]);
    const held = image.held ?? {};
    const isComputed = (name: DigestName) => asked.includes(name) || expected[name] || held[name];
    const digests = new LinearDigests(DIGEST_NAMES.filter(isComputed));
    const readBytes = Math.min(image.sizeBytes, expectedBytes);
    const steps = new Steps(readBytes, { ...options, action: `read back "${path}"` });
    const differing = new RangeList();
    const bytes = new HeldImage(image.file, { path, readBytes });
    if (reader) await compare(reader, { hold: bytes, digests, steps, differing });
    else await hashAll({ hold: bytes, digests, steps, readBytes });
    const values = digests.finish();
    const isTooLong = image.target === "file" && image.sizeBytes > expectedBytes;
    const hasSize = image.sizeBytes < expectedBytes || isTooLong;
    const wrong = [expected, held].flatMap((record) =>
      DIGEST_NAMES.filter((name) => record[name] && record[name] !== values[name])
        .map((name) => ({ kind: "digest" as const, name, expected: record[name]!, actual: values[name]! }))
    );
    return {
      target: image.target,
      sizeBytes: image.sizeBytes,
      readBytes,
      excessBytes: image.target === "device" ? Math.max(0, image.sizeBytes - expectedBytes) : 0,
      digests: values,
      isCompared: reader !== undefined,
      findings: [
        ...(hasSize ? [{ kind: "size" as const, expectedBytes, actualBytes: image.sizeBytes }] : []),
        ...differing.listed.map((range) => ({ kind: "content" as const, range })),
        ...wrong,
      ],
      findingCount: (hasSize ? 1 : 0) + differing.count + wrong.length,
    };
  } finally {
    image.file.close();
  }
}

interface OpenedImage {
  /** Digests of itself that its format holds. */
  readonly held?: LinearDigestValues;
  readonly target: "file" | "device";
  readonly file: DiskFile;
  readonly sizeBytes: number;
}

function openImage(path: string, options: ReadBackOptions): OpenedImage {
  const { disk, devices = realDeviceHost } = options;
  try {
    if (/\.e01$/i.test(path) && disk.stat(path)?.kind === "file") {
      const { digests, ...image } = openEwf(disk, path);
      return { target: "file", ...image, held: digests };
    }
    const stem = splitStem(path);
    // The base name stands for its pieces where no file has it.
    if (disk.stat(piecePath(stem, 0))?.kind === "file" && (stem !== path || !disk.stat(path))) {
      return { target: "file", ...openPieces(disk, stem) };
    }
    const stat = disk.stat(path);
    if (!stat) throw new OperatorError("not_found", `Cannot read back "${path}": no such file`);
    const resolved = stat.kind === "symlink" ? devices.resolve(path) : path;
    const kind = disk.stat(resolved)?.kind;
    if (kind === "device") {
      const { sizeBytes } = devices.inspect(resolved);
      return { target: "device", file: disk.open(resolved, "read"), sizeBytes };
    }
    if (kind !== "file") {
      throw new OperatorError(
        "usage",
        `Cannot read back "${path}": it is a ${kind}, expected a file or device`,
      );
    }
    const file = disk.open(resolved, "read");
    return { target: "file", file, sizeBytes: file.sizeBytes() };
  } catch (error) {
    throw diskFailure("read back", path, error);
  }
}

/** The image's bytes in order, through one buffer that each read overwrites. */
class HeldImage {
  readonly #file: DiskFile;
  readonly #path: string;
  readonly #endBytes: number;
  #buffer = new Uint8Array(PIECE_BYTES);

  constructor(file: DiskFile, options: { readonly path: string; readonly readBytes: number }) {
    this.#file = file;
    this.#path = options.path;
    this.#endBytes = options.readBytes;
  }

  /** Bytes `[offset, offset + length)`, fewer only at the image's end. Valid until the next read. */
  read(offset: number, lengthBytes: number): Uint8Array {
    const wanted = Math.max(0, Math.min(lengthBytes, this.#endBytes - offset));
    if (this.#buffer.length < wanted) this.#buffer = new Uint8Array(wanted);
    const bytes = this.#buffer.subarray(0, wanted);
    let count: number;
    try {
      count = wanted === 0 ? 0 : this.#file.read(bytes, offset);
    } catch (error) {
      if (error instanceof OperatorError) throw error;
      throw new OperatorError(
        "storage",
        `Cannot read back "${this.#path}": ${messageOf(error)} at byte ${offset} to ${offset + wanted - 1}`,
        { facts: { path: this.#path, offsetBytes: offset, lengthBytes: wanted }, cause: error },
      );
    }
    if (count === wanted) return bytes;
    throw new OperatorError(
      "storage",
      `Cannot read back "${this.#path}": it ends at byte ${
        offset + count
      }, it had ${this.#endBytes} when opened`,
    );
  }
}

interface Pass {
  readonly hold: HeldImage;
  readonly digests: LinearDigests;
  readonly steps: Steps;
}

async function hashAll(pass: Pass & { readonly readBytes: number }): Promise<void> {
  await pass.steps.done(0);
  for (let offset = 0; offset < pass.readBytes; offset += PIECE_BYTES) {
    const bytes = pass.hold.read(offset, PIECE_BYTES);
    pass.digests.update(bytes);
    await pass.steps.done(bytes.length);
  }
}

async function compare(
  reader: BlockReader,
  pass: Pass & { readonly differing: RangeList },
): Promise<void> {
  const { blockSizeBytes } = reader.shape;
  const step = async (expected: Uint8Array, offset: number) => {
    const held = pass.hold.read(offset, expected.length);
    pass.digests.update(held);
    addDifferences(pass.differing, { held, expected, offset });
    await pass.steps.done(held.length);
  };
  await pass.steps.done(0);
  for await (const piece of blocksInOrder(reader)) {
    const offset = piece.firstBlock * blockSizeBytes;
    if (piece.state === "stored") {
      await step(piece.bytes, offset);
      continue;
    }
    const lengthBytes = piece.blockCount * blockSizeBytes;
    for (let done = 0; done < lengthBytes; done += ZERO_BYTES.length) {
      await step(ZERO_BYTES.subarray(0, Math.min(ZERO_BYTES.length, lengthBytes - done)), offset + done);
    }
  }
}

/** Adds the sectors in which `held` is not `expected`. What `held` lacks at its end is the size's finding. */
function addDifferences(
  differing: RangeList,
  piece: { readonly held: Uint8Array; readonly expected: Uint8Array; readonly offset: number },
): void {
  const { held, expected, offset } = piece;
  if (Buffer.compare(held, expected.subarray(0, held.length)) === 0) return;
  for (let at = 0; at < held.length; at += SECTOR_BYTES) {
    const lengthBytes = Math.min(SECTOR_BYTES, held.length - at);
    const end = at + lengthBytes;
    if (Buffer.compare(held.subarray(at, end), expected.subarray(at, end)) === 0) continue;
    differing.add({ offsetBytes: offset + at, lengthBytes });
  }
}

/** A finding in one line, for people: what, where, expected and actual. */
export function formatReadBackFinding(finding: ReadBackFinding): string {
  switch (finding.kind) {
    case "size":
      return `image has ${finding.actualBytes} bytes, volume has ${finding.expectedBytes}`;
    case "content":
      return `bytes ${finding.range.offsetBytes} to ${lastByte(finding.range)} differ from the exhibit`;
    case "digest":
      return `${finding.name} is ${finding.actual}, expected ${finding.expected}`;
  }
}
