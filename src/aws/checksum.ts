/**
 * The one place where bytes become a `VerifiedBlock`: their length, algorithm and SHA-256 are compared with
 * what the service declared. Nothing is fetched here, and a mismatch is only reported (retry.ts decides).
 */
import { Buffer } from "node:buffer";
import type { Digest, VerifiedBlock } from "../model.ts";
import { Trouble } from "./trouble.ts";

/** What an answer's headers declare of its body. */
export interface DeclaredBlock {
  /** `x-amz-Data-Length`. */
  readonly dataLength: number | undefined;
  /** `x-amz-Checksum`: Base64 of 32 bytes. */
  readonly checksum: string | undefined;
  /** `x-amz-Checksum-Algorithm`: `SHA256` is the only one that EBS has. */
  readonly checksumAlgorithm: string | undefined;
  readonly requestId: string | undefined;
}

/**
 * A block whose bytes are what was declared. `bytes` then belongs to the block, and must not change before.
 * Throws `Trouble` of kind `length` or `checksum`, saying expected and actual.
 */
export async function verifyBlock(
  bytes: Uint8Array<ArrayBuffer>,
  expected: { readonly declared: DeclaredBlock; readonly blockSizeBytes: number },
): Promise<VerifiedBlock> {
  const { declared, blockSizeBytes } = expected;
  const { requestId } = declared;
  if (bytes.length !== blockSizeBytes || declared.dataLength !== blockSizeBytes) {
    const stated = declared.dataLength ?? "none";
    throw new Trouble(
      "length",
      `body has ${bytes.length} bytes, declared ${stated}, block has ${blockSizeBytes}`,
      { requestId },
    );
  }
  if (declared.checksumAlgorithm?.toUpperCase() !== "SHA256" || declared.checksum === undefined) {
    const stated = declared.checksumAlgorithm ?? "none";
    throw new Trouble("checksum", `checksum algorithm is ${shown(stated)}, expected SHA256`, { requestId });
  }
  // Off this thread: WebCrypto digests run in a pool of threads (measured).
  const digest = Buffer.from(await crypto.subtle.digest("SHA-256", bytes));
  const actual = digest.toString("base64");
  if (actual !== declared.checksum) {
    throw new Trouble("checksum", `SHA-256 is ${actual}, declared ${shown(declared.checksum)}`, {
      requestId,
    });
  }
  // The only cast to the brand: everything above this line is what the brand promises.
  return { kind: "verified", digest: digest.toString("hex") as Digest, bytes } as VerifiedBlock;
}

/** A declared value as it may stand in a message: a hostile one may be long. */
function shown(text: string): string {
  return text.length <= 64 ? text : `${text.slice(0, 64)}…`;
}
