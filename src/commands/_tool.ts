/**
 * What the program says of itself in records: version, the digest of its executable where it is one, and the
 * runtime.
 */
import type { CommandContext } from "../cli/mod.ts";
import { messageOf, OperatorError } from "../errors.ts";
import { Sha256 } from "../format/digests.ts";
import type { ToolFacts } from "../format/members.ts";
import type { Digest, DiskFile, World } from "../model.ts";

let known: Digest | null | undefined;

export function toolFacts({ world, version }: CommandContext): ToolFacts {
  known ??= executableDigest(world) ?? null;
  return { digest: known, name: "coldcase", runtime: world.host.runtime, version };
}

/**
 * The SHA-256 of the file that was started; `undefined`: the program runs from its source.
 *
 * Throws `storage` where it can't be read: a record with no digest would say that there was no executable.
 */
export function executableDigest({ host, disk }: Pick<World, "host" | "disk">): Digest | undefined {
  const path = host.programPath;
  if (path === undefined) return undefined;
  try {
    const file = disk.open(path, "read");
    try {
      return digestOf(file);
    } finally {
      file.close();
    }
  } catch (error) {
    throw new OperatorError("storage", `Cannot read the executable "${path}": ${messageOf(error)}`, {
      hints: ["it was started from there and has to stay there until it ends"],
      cause: error,
    });
  }
}

function digestOf(file: DiskFile): Digest {
  const hash = new Sha256();
  const buffer = new Uint8Array(1024 * 1024);
  for (let offset = 0;;) {
    const length = file.read(buffer, offset);
    if (length === 0) return hash.digest();
    hash.update(buffer.subarray(0, length));
    offset += length;
  }
}
