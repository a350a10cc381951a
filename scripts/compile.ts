/**
 * `deno task compile`: executables in dist/, and their SHA256SUMS. With no flag all targets; what can't be made for want
 * of its runtime is told with what to do, and the exit code says so.
 */
import { parseArgs } from "node:util";
import { makeExecutables, UsageFailure, wantedTargets } from "./build/executables.ts";
import { writeSums } from "./build/sums.ts";

const USAGE = `deno task compile [--target TARGET]... [--portable] [--credential-process] [--out DIR]

  --target TARGET       x86_64-unknown-linux-gnu, aarch64-unknown-linux-gnu, x86_64-apple-darwin,
                        aarch64-apple-darwin or x86_64-pc-windows-msvc; again for another one; default: all
  --portable            a self-extracting executable for this machine's platform; needs no download
  --credential-process  may also start /bin/sh, for AWS profiles with a credential_process
  --out DIR             default: dist
`;

async function compile(args: readonly string[]): Promise<number> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      target: { type: "string", multiple: true, default: [] },
      portable: { type: "boolean", default: false },
      "credential-process": { type: "boolean", default: false },
      out: { type: "string", default: "dist" },
      help: { type: "boolean", short: "h", default: false },
    },
  });
  if (values.help) return say(USAGE, 0);
  const { portable: isPortable, out: folder, "credential-process": credentialProcess } = values;
  const targets = wantedTargets(values.target, isPortable);
  const { names, missing } = await makeExecutables({ targets, isPortable, credentialProcess, folder });
  if (names.length > 0) {
    const lines = await writeSums(folder);
    say(`${folder}/SHA256SUMS\n${lines.map((line) => `${line}\n`).join("")}`, 0);
  }
  for (const message of missing) complain(message);
  return missing.length > 0 ? 1 : 0;
}

function say(text: string, exitCode: number): number {
  Deno.stdout.writeSync(new TextEncoder().encode(text));
  return exitCode;
}

function complain(text: string): void {
  Deno.stderr.writeSync(new TextEncoder().encode(`${text}\n`));
}

if (import.meta.main) {
  try {
    Deno.exit(await compile(Deno.args));
  } catch (error) {
    const isUsage = error instanceof UsageFailure ||
      (error instanceof TypeError && "code" in error && String(error.code).startsWith("ERR_PARSE_ARGS"));
    if (!isUsage) throw error;
    complain(`${(error as Error).message}\n\n${USAGE}`);
    Deno.exit(2);
  }
}
