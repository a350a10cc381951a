/**
 * The executables of one commit, in one folder: the program is bundled once and put into each of them. What could not
 * be made is told, after all others were.
 */
import { fromFileUrl, resolve } from "@std/path";
import { compileProgram, executableName, RuntimeMissing, type Target, TARGETS } from "./compiled.ts";
import { writePortable } from "./portable.ts";
import { bundleProgram, readBuild } from "./program.ts";

export const CHECKOUT = fromFileUrl(new URL("../..", import.meta.url));

export interface Wanted {
  readonly targets: readonly Target[];
  readonly isPortable: boolean;
  readonly credentialProcess: boolean;
  /** Made where it is not there. */
  readonly folder: string;
}

/** What was made, and why others were not. */
export interface Made {
  readonly build: Awaited<ReturnType<typeof readBuild>>;
  readonly names: readonly string[];
  readonly missing: readonly string[];
}

export async function makeExecutables(wanted: Wanted): Promise<Made> {
  const { targets, isPortable, credentialProcess, folder } = wanted;
  const build = await readBuild(CHECKOUT);
  const program = await bundleProgram(CHECKOUT, build);
  const kind = credentialProcess ? "credential-process-" : "";
  const names: string[] = [];
  const missing: string[] = [];
  await Deno.mkdir(folder, { recursive: true });
  const pathOf = (name: string) => resolve(folder, name);
  if (isPortable) {
    const name = executableName(`${kind}portable-${Deno.build.target}`);
    await writePortable({ program, runtime: Deno.execPath(), path: pathOf(name), credentialProcess });
    names.push(name);
  }
  const named = Deno.env.get("DENORT_BIN") || undefined;
  const runtime = named === undefined ? undefined : resolve(named);
  for (const target of targets) {
    const name = executableName(`${kind}${target}`);
    const { committedAt } = build;
    try {
      await compileProgram({ program, target, path: pathOf(name), committedAt, credentialProcess, runtime });
      names.push(name);
    } catch (error) {
      if (!(error instanceof RuntimeMissing)) throw error;
      missing.push(error.message);
    }
  }
  return { build, names, missing };
}

/** A wrong command line of a build script. */
export class UsageFailure extends Error {
  override readonly name = "UsageFailure";
}

/** `--target` may be given more than once; without it, and without `--portable`, all of them. */
export function wantedTargets(given: readonly string[], isPortable: boolean): Target[] {
  const unknown = given.find((name) => !TARGETS.includes(name as Target));
  if (unknown !== undefined) {
    throw new UsageFailure(`Cannot compile for "${unknown}": expected one of ${TARGETS.join(", ")}`);
  }
  if (given.length === 0 && !isPortable) return [...TARGETS];
  const targets = TARGETS.filter((target) => given.includes(target));
  if (Deno.env.get("DENORT_BIN") && targets.length > 1) {
    throw new UsageFailure(
      "Cannot use DENORT_BIN for several targets: it is the runtime of one, expected one",
    );
  }
  return targets;
}
