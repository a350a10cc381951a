/**
 * Linear digests that a command computed become a signed addendum of the exhibit, so that a report can show
 * the SHA-256 of the image beside the image root, with who computed it and what was filled.
 */
import type { CommandContext } from "../cli/mod.ts";
import { OperatorError } from "../errors.ts";
import type { Addendum } from "../format/addendum.ts";
import type { LinearDigestValues } from "../image/mod.ts";
import type { SigningKey } from "../keys.ts";
import type { Digest, ObjectName } from "../model.ts";
import type { Exhibit, Store } from "../store/mod.ts";
import { formatTime } from "../units.ts";
import { examinerOf } from "./_case.ts";

/** Adds them, unless there are none, no key, or a store that cannot be written to (which is said). */
export async function addDigests(
  { out, world }: CommandContext,
  to: {
    readonly store: Store;
    readonly exhibit: Exhibit;
    readonly key: SigningKey | undefined;
    readonly by: Addendum["by"];
  },
  digests: LinearDigestValues,
): Promise<ObjectName | undefined> {
  const { store, exhibit, key, by } = to;
  if (!key || Object.keys(digests).length === 0) return undefined;
  const { hostname, operatingSystem, user } = world.host;
  const { absentBlocks, unreadableBlocks } = exhibit.manifest.counts;
  try {
    return await store.evidence.addAddendum(exhibit, {
      at: formatTime(world.clock.nowMs()),
      by,
      digests: {
        md5: digests.md5 ?? null,
        sha1: digests.sha1 ?? null,
        sha256: (digests.sha256 as Digest | undefined) ?? null,
      },
      examiner: examinerOf({ world }) ?? null,
      filled: { absentBlocks, unreadableBlocks },
      host: { hostname, operatingSystem, user },
      volumeSizeBytes: exhibit.shape.blockCount * exhibit.shape.blockSizeBytes,
    }, key);
  } catch (error) {
    if (!(error instanceof OperatorError) || error.code !== "storage") throw error;
    out.warn(`the digests were not added to the exhibit: ${error.message}`);
    return undefined;
  }
}
