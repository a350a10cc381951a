/**
 * What the program says of itself in records: version, the digest of its executable where it is one, and the
 * runtime.
 */
import type { CommandContext } from "../cli/mod.ts";
import { Sha256 } from "../format/digests.ts";
import type { ToolFacts } from "../format/members.ts";
import type { Digest, Disk } from "../model.ts";

let known: Digest | null | undefined;

export function toolFacts({ world, version }: CommandContext): ToolFacts {
  const { programPath, runtime } = world.host;
  known ??= programPath === undefined ? null : digestOf(world.disk, programPath);
  return { digest: known, name: "coldcase", runtime, version };
}

function digestOf(disk: Disk, path: string): Digest {
  const file = disk.open(path, "read");
  try {
    const hash = new Sha256();
    const buffer = new Uint8Array(1024 * 1024);
    for (let offset = 0;;) {
      const length = file.read(buffer, offset);
      if (length === 0) return hash.digest();
      hash.update(buffer.subarray(0, length));
      offset += length;
    }
  } finally {
    file.close();
  }
}
