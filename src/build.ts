/**
 * What the build wrote into this program: nothing where it runs from its source. `deno task compile` replaces `BUILD`
 * in its copy of the sources; nothing here asks git, the disk or the network when the program runs.
 */

/** The source that an executable was built from. */
export interface Build {
  /** Of git, 40 hexadecimal digits; `undefined`: it was built where there is no git. */
  readonly commit: string | undefined;
  /** The sources differed from the commit. */
  readonly isModified: boolean;
}

export const BUILD: Build | undefined = undefined as Build | undefined;

/** `0.1.0` from source; `0.1.0+3f9a2b1c0d4e` and `0.1.0+3f9a2b1c0d4e.modified` are builds (semver.org, §10). */
export function versionOf(release: string, build: Build | undefined = BUILD): string {
  if (build?.commit === undefined) return release;
  return `${release}+${build.commit.slice(0, 12)}${build.isModified ? ".modified" : ""}`;
}

/** The line of `--version` that names the source. */
export function sourceLine(build: Build | undefined = BUILD): string {
  if (build === undefined) return "runs from its source: no build, no SHA-256 of its own";
  if (build.commit === undefined) return "commit not known to the build";
  return `commit ${build.commit}${build.isModified ? ", modified" : ""}`;
}

/** Set by the launcher of a portable executable, to the file that the user started. */
export const EXECUTABLE_VARIABLE = "COLDCASE_EXECUTABLE";

/**
 * The file that was started, where it is one: itself if Deno compiled it; what its launcher says if it is portable.
 * Run from source it has none, whatever the environment says: that a parent process left it there proves nothing.
 */
export function executablePath(build: Build | undefined = BUILD): string | undefined {
  if (Deno.build.standalone) return Deno.execPath();
  return build === undefined ? undefined : Deno.env.get(EXECUTABLE_VARIABLE) || undefined;
}
