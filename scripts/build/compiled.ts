/**
 * One executable for one platform, by `deno compile` around that platform's bare runtime ("denort"). Deno downloads it,
 * or takes the archive that somebody fetched before; where neither works, what is wanted is said by name and place.
 * The same program, target and runtime give the same bytes: the environment is left out, and times of files are fixed.
 */
import { join } from "@std/path";
import { outputOf, ProgramFailure } from "./files.ts";
import { ISOLATION, permissions } from "./permissions.ts";
import { type Program, WORKER_FILES } from "./program.ts";

export const TARGETS = [
  "x86_64-unknown-linux-gnu",
  "aarch64-unknown-linux-gnu",
  "x86_64-apple-darwin",
  "aarch64-apple-darwin",
  "x86_64-pc-windows-msvc",
] as const;
export type Target = typeof TARGETS[number];

/** Nothing of it ends up in the executable. Others would: Deno keeps its own variables' values for later. */
const ENVIRONMENT = /^(?:PATH|HOME|USERPROFILE|LOCALAPPDATA|TMPDIR|TEMP|SystemRoot|DENO_DIR|.*_proxy)$/i;

export interface CompileOptions {
  readonly program: Program;
  readonly target: Target;
  /** The file to write, replaced where there is one. */
  readonly path: string;
  /** Seconds since the Unix epoch: the time that the program's files carry inside. */
  readonly committedAt: number;
  readonly credentialProcess: boolean;
  /** A runtime of this target, unpacked; `undefined`: Deno's cache, or the network. */
  readonly runtime: string | undefined;
  /** For Deno; default: this process's. */
  readonly environment?: Readonly<Record<string, string>>;
}

/** Neither the network nor Deno's cache has the runtime. */
export class RuntimeMissing extends Error {
  override readonly name = "RuntimeMissing";
}

/** `coldcase-TARGET`. */
export function executableName(target: string): string {
  return `coldcase-${target}${target.includes("windows") ? ".exe" : ""}`;
}

/** Where Deno looks for the runtime's archive: a zip file with the one entry `denort` (Windows: `denort.exe`). */
export async function runtimeArchive(
  target: Target,
  env: Readonly<Record<string, string>> = Deno.env.toObject(),
): Promise<string> {
  const info = await outputOf(Deno.execPath(), { args: ["info", "--no-config", "--json"], cwd: ".", env });
  const { denoDir } = JSON.parse(info) as { denoDir: string };
  return join(denoDir, "dl", "release", `v${Deno.version.deno}`, `denort-${target}.zip`);
}

export async function compileProgram(options: CompileOptions): Promise<void> {
  const { program, target, committedAt } = options;
  const stage = await Deno.makeTempDir({ prefix: "coldcase-build-" });
  try {
    for (const [name, text] of program) {
      await Deno.writeTextFile(join(stage, name), text);
      await Deno.utime(join(stage, name), committedAt, committedAt);
    }
    await outputOf(Deno.execPath(), {
      args: compileArguments(options),
      cwd: stage,
      env: environmentOf(options),
    });
  } catch (error) {
    if (!(error instanceof ProgramFailure) || options.runtime !== undefined) throw error;
    const archive = await runtimeArchive(target, options.environment);
    if (await exists(archive)) throw error;
    throw new RuntimeMissing(missingRuntime(target, { archive, reason: error.message }));
  } finally {
    await Deno.remove(stage, { recursive: true });
  }
}

function compileArguments({ target, path, ...rights }: CompileOptions): string[] {
  return [
    "compile",
    "--quiet",
    "--no-check",
    ...ISOLATION,
    // Deno would keep compiled code in the folder for temporary files, under a name that anybody can work out, and
    // run what lies there.
    "--no-code-cache",
    ...permissions(rights),
    // By name: a worker's file is a module that nothing imports.
    ...["--include", "."],
    ...WORKER_FILES.flatMap((file) => ["--include", file]),
    ...["--target", target, "--app-name", "coldcase", "--output", path],
    "main.js",
  ];
}

function environmentOf(
  { runtime, environment = Deno.env.toObject() }: CompileOptions,
): Record<string, string> {
  const kept = Object.entries(environment).filter(([name]) => ENVIRONMENT.test(name));
  return { ...Object.fromEntries(kept), ...(runtime === undefined ? {} : { DENORT_BIN: runtime }) };
}

function missingRuntime(
  target: Target,
  { archive, reason }: { readonly archive: string; readonly reason: string },
): string {
  const cause = /error sending request.*|404 Not Found.*/.exec(reason)?.[0] ?? reason;
  const name = `denort-${target}.zip`;
  return [
    `Cannot compile for ${target}: its runtime is not in Deno's cache and can't be downloaded: ${cause}`,
    `hint: fetch ${name} of Deno ${Deno.version.deno}, from the files of that release, where there is a network`,
    `hint: put it, as it is, at ${archive}`,
    `hint: or unpack it, and name what is in it: DENORT_BIN=FILE deno task compile --target ${target}`,
    `hint: deno task compile --portable works here without it, for ${Deno.build.target}`,
  ].join("\n");
}

async function exists(path: string): Promise<boolean> {
  return await Deno.lstat(path).then(() => true, (error) => {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  });
}
