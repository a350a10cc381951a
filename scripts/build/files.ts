/**
 * Files and programs that a build uses: a folder read whole, another program's output, the digest of a large file.
 * Knows nothing of what is built.
 */
import { join } from "@std/path";
import { createHash } from "node:crypto";

/** The texts of a flat folder, sorted by name. */
export async function readTree(folder: string): Promise<Map<string, string>> {
  const names = [...Deno.readDirSync(folder)].map(({ name }) => name).sort();
  return new Map(
    await Promise.all(
      names.map(async (name) => [name, await Deno.readTextFile(join(folder, name))] as const),
    ),
  );
}

/** Another program that ended with another code than 0. */
export class ProgramFailure extends Error {
  override readonly name = "ProgramFailure";
}

/** What a program says on stdout. Throws `ProgramFailure` with what it says on stderr. */
export async function outputOf(
  program: string,
  options: {
    readonly args: readonly string[];
    readonly cwd: string;
    readonly env?: Readonly<Record<string, string>>;
  },
): Promise<string> {
  const { args, cwd, env } = options;
  const command = new Deno.Command(program, {
    args: [...args],
    cwd,
    stdin: "null",
    ...(env === undefined ? {} : { env, clearEnv: true }),
  });
  const { success, stdout, stderr } = await command.output();
  const decoder = new TextDecoder();
  if (!success) throw new ProgramFailure(`${program} ${args.join(" ")}:\n${decoder.decode(stderr).trim()}`);
  return decoder.decode(stdout);
}

/** Trimmed; `undefined` where git, or a repository, is not there. */
export async function gitOutput(checkout: string, args: readonly string[]): Promise<string | undefined> {
  try {
    return (await outputOf("git", { args: ["-C", checkout, ...args], cwd: checkout })).trim();
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof ProgramFailure) return undefined;
    throw error;
  }
}

export async function fileDigest(path: string): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of (await Deno.open(path)).readable) hash.update(chunk);
  return hash.digest("hex");
}
