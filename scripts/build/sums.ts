/**
 * SHA256SUMS, as `sha256sum -c` takes it: digest, two spaces, name, a line a file, sorted by name. Signs nothing:
 * that is `release.ts`'s business.
 */
import { join } from "@std/path";
import { fileDigest } from "./files.ts";

export const SUMS = "SHA256SUMS";

/** Writes the sums of all executables in `folder`, and of `others` there. */
export async function writeSums(folder: string, others: readonly string[] = []): Promise<string[]> {
  const executables = [...Deno.readDirSync(folder)].map(({ name }) => name)
    .filter((name) => name.startsWith("coldcase-") && !name.endsWith(".unfinished"));
  const lines: string[] = [];
  for (const name of [...executables, ...others].sort()) {
    lines.push(`${await fileDigest(join(folder, name))}  ${name}`);
  }
  await Deno.writeTextFile(join(folder, SUMS), lines.map((line) => `${line}\n`).join(""));
  return lines;
}
