/**
 * What `--version` prints: release, commit, runtime, and the SHA-256 of the executable, last, because a hundred
 * megabytes have to be read for it. The same facts go into every record, by `_tool.ts`.
 */
import { sourceLine } from "../build.ts";
import type { World } from "../model.ts";
import { executableDigest } from "./_tool.ts";

/** Lines, without the final line feed. @param release `0.1.0`. */
export function versionText(release: string, world: World): string {
  const digest = executableDigest(world);
  const { runtime, programPath } = world.host;
  return [
    `coldcase ${release}`,
    sourceLine(),
    runtime,
    ...(digest === undefined ? [] : [`SHA-256 ${digest} of ${programPath}`]),
  ].join("\n");
}
