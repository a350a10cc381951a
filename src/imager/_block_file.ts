/**
 * One file as one block: read, opened, decompressed, and held against the SHA-256 in its name. Every length is bounded
 * before memory is taken: by the block's own size, and by what the wrappings can add to it. What is wrong with a file is
 * an answer, not an error: the other blocks are as good.
 */
import { createHash } from "node:crypto";
import { gunzipSync } from "node:zlib";
import { messageOf } from "../errors.ts";
import type { Digest, Disk, UnreadableBlock, VerifiedBlock } from "../model.ts";
import { type FernetKey, tokenBytes } from "./_fernet.ts";
import type { ImagerLayout } from "./_names.ts";

export interface BlockFileInput {
  readonly disk: Disk;
  readonly path: string;
  readonly layout: ImagerLayout;
  /** Of the block, as the file's name has it. */
  readonly digest: Digest;
  readonly blockSizeBytes: number;
  /** For the layout `encrypted`. */
  readonly key: FernetKey | undefined;
}

/** A header with a name in it, a trailer; and what DEFLATE adds to a block that does not compress. */
function mostGzipBytes(blockSizeBytes: number): number {
  return blockSizeBytes + Math.ceil(blockSizeBytes / 100) + 4096;
}

/** The most bytes that a file of a block can have. */
export function mostFileBytes(layout: ImagerLayout, blockSizeBytes: number): number {
  const gzipBytes = mostGzipBytes(blockSizeBytes);
  return { plain: blockSizeBytes, compressed: gzipBytes, encrypted: tokenBytes(gzipBytes) }[layout];
}

function fault(reason: "checksum" | "length" | "file", detail: string): UnreadableBlock {
  return { kind: "unreadable", reason, detail, attempts: 1, requestIds: [] };
}

/** Bytes of a file; an answer where it has none that can be a block; `undefined` where it is not there any more. */
export function readWhole(input: BlockFileInput): Uint8Array | UnreadableBlock | undefined {
  const { disk, path, layout, blockSizeBytes } = input;
  const most = mostFileBytes(layout, blockSizeBytes);
  const stat = disk.stat(path);
  if (!stat) return undefined;
  if (stat.kind !== "file") {
    const what = stat.kind === "symlink"
      ? "a symbolic link"
      : stat.kind === "directory"
      ? "a folder"
      : "no file";
    return fault("file", `is ${what}, expected a regular file`);
  }
  try {
    const file = disk.open(path, "read");
    try {
      const sizeBytes = file.sizeBytes();
      if (sizeBytes === 0) return fault("length", "is empty");
      if (sizeBytes > most || (layout === "plain" && sizeBytes !== blockSizeBytes)) {
        const expected = layout === "plain" ? `${blockSizeBytes}` : `at most ${most}`;
        return fault("length", `has ${sizeBytes} bytes, expected ${expected}`);
      }
      const bytes = new Uint8Array(sizeBytes);
      const got = file.read(bytes, 0);
      return got === sizeBytes ? bytes : fault("length", `ends after ${got} of ${sizeBytes} bytes`);
    } finally {
      file.close();
    }
  } catch (error) {
    // The medium, or a right that is lacking; bounded by how many unreadable blocks are accepted.
    return fault("file", `cannot be read: ${messageOf(error)}`.slice(0, 1024));
  }
}

/** The block in the bytes of a file. */
export function decodeBlock(input: BlockFileInput, file: Uint8Array): VerifiedBlock | UnreadableBlock {
  let bytes = file;
  if (input.layout === "encrypted") {
    const token = input.key!.open(bytes);
    if (token.state === "not_authentic") return fault("checksum", "its HMAC does not match: damaged");
    if (token.state === "malformed") return fault("file", `is no Fernet token: ${token.why}`);
    bytes = token.bytes;
  }
  if (input.layout !== "plain") {
    try {
      bytes = gunzipSync(bytes, { maxOutputLength: input.blockSizeBytes });
    } catch (error) {
      const isBomb = (error as { readonly code?: unknown } | null)?.code === "ERR_BUFFER_TOO_LARGE";
      return isBomb
        ? fault("length", `decompresses to more than ${input.blockSizeBytes} bytes`)
        : fault("file", `is no whole gzip file: ${messageOf(error)}`);
    }
  }
  if (bytes.length !== input.blockSizeBytes) {
    return fault("length", `holds ${bytes.length} bytes, expected ${input.blockSizeBytes}`);
  }
  const digest = createHash("sha256").update(bytes).digest("hex") as Digest;
  if (digest !== input.digest) {
    return fault("checksum", `SHA-256 is ${digest}, its name says ${input.digest}`);
  }
  return { kind: "verified", digest, bytes } as VerifiedBlock;
}
