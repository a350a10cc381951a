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
import { openImage } from "./open_image.ts";
import { type ByteRange, lastByte, RangeList } from "./ranges.ts";
import { type ImageProgress, Steps } from "./steps.ts";
import { WindowCheck } from "./window_check.ts";

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
  /** `NAME` where windows are to be compared with `NAME.sha256.log` and its like, as far as they are there. */
  readonly windowLogBase?: string;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: ImageProgress) => void;
  readonly devices?: DeviceHost;
}

/** What is not as it should be. */
export type ReadBackFinding =
  | { readonly kind: "size"; readonly expectedBytes: number; readonly actualBytes: number }
  /** Bytes of the image that are not the exhibit's, in whole 512-byte sectors. */
  | { readonly kind: "content"; readonly range: ByteRange }
  /** Whole windows whose digest is not the log's, neighbours in one. */
  | { readonly kind: "windows"; readonly name: DigestName; readonly range: ByteRange }
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
  /** Digests whose windows were compared with their logs. */
  readonly windowDigests: readonly DigestName[];
  /** Size first, then content, then windows, ascending (the first 1,000 ranges each), then digests. Empty: all is well. */
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
  const { disk, devices = realDeviceHost, windowLogBase } = options;
  const image = openImage(path, { disk, devices });
  let windows: WindowCheck | undefined;
  try {
    windows = windowLogBase === undefined ? undefined : new WindowCheck(disk, windowLogBase);
    const expectedBytes = reader ? volumeSizeBytes(reader.shape) : options.volumeSizeBytes ?? image.sizeBytes;
    const expected = options.expectedDigests ?? {};
    const asked = options.digests ?? (options.expectedDigests ? [] : ["sha256"]);
    const held = image.held ?? {};
    const isComputed = (name: DigestName) =>
      asked.includes(name) || windows?.names.includes(name) || expected[name] || held[name];
    const whole = new LinearDigests(DIGEST_NAMES.filter(isComputed));
    const digests: Hashing = {
      update(bytes) {
        whole.update(bytes);
        windows?.update(bytes);
      },
    };
    const readBytes = Math.min(image.sizeBytes, expectedBytes);
    const steps = new Steps(readBytes, { ...options, action: `read back "${path}"` });
    const differing = new RangeList();
    const bytes = new HeldImage(image.file, { path, readBytes });
    if (reader) await compare(reader, { hold: bytes, digests, steps, differing });
    else await hashAll({ hold: bytes, digests, steps, readBytes });
    const isTooLong = image.target === "file" && image.sizeBytes > expectedBytes;
    const hasSize = image.sizeBytes < expectedBytes || isTooLong;
    const found = windows?.finish(!hasSize);
    const records = [expected, held, found?.totals ?? {}];
    const values = whole.finish();
    const wrong = wrongDigests(values, records);
    const inWindows = found?.differing ?? [];
    return {
      target: image.target,
      sizeBytes: image.sizeBytes,
      readBytes,
      excessBytes: image.target === "device" ? Math.max(0, image.sizeBytes - expectedBytes) : 0,
      digests: values,
      isCompared: reader !== undefined,
      windowDigests: windows?.names ?? [],
      findings: [
        ...(hasSize ? [{ kind: "size" as const, expectedBytes, actualBytes: image.sizeBytes }] : []),
        ...differing.listed.map((range) => ({ kind: "content" as const, range })),
        ...inWindows.flatMap(({ name, ranges }) =>
          ranges.map((range) => ({ kind: "windows" as const, name, range }))
        ),
        ...wrong,
      ],
      findingCount: (hasSize ? 1 : 0) + differing.count + wrong.length +
        inWindows.reduce((sum, { rangeCount }) => sum + rangeCount, 0),
    };
  } finally {
    image.file.close();
    windows?.close();
  }
}

/** One finding for each record that says something else, and one where two records say the same. */
function wrongDigests(
  values: LinearDigestValues,
  records: readonly LinearDigestValues[],
): readonly ReadBackFinding[] {
  return DIGEST_NAMES.flatMap((name) =>
    [...new Set(records.flatMap((record) => record[name] ?? []))]
      .filter((expected) => expected !== values[name])
      .map((expected) => ({ kind: "digest" as const, name, expected, actual: values[name]! }))
  );
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

interface Hashing {
  update(bytes: Uint8Array): void;
}

interface Pass {
  readonly hold: HeldImage;
  readonly digests: Hashing;
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
    case "windows":
      return `windows in bytes ${finding.range.offsetBytes} to ${
        lastByte(finding.range)
      }: ${finding.name} is not the digest log's`;
    case "digest":
      return `${finding.name} is ${finding.actual}, expected ${finding.expected}`;
  }
}
