/**
 * One self-extracting executable for this machine's platform, made without any download: a launcher (launcher.sh), the
 * Deno that runs this, what unpacks them (unpack.ts), and the program. The same parts give the same bytes.
 */
import { EXECUTABLE_VARIABLE } from "../../src/build.ts";
import { fileDigest } from "./files.ts";
import { ISOLATION, permissions } from "./permissions.ts";
import { type Program, sha256 } from "./program.ts";

/** The launcher fills it up, so that the offsets in it do not depend on its length. A multiple of a page. */
const LAUNCHER_BYTES = 12 * 1024;

export interface PortableOptions {
  readonly program: Program;
  /** Deno's executable. */
  readonly runtime: string;
  /** The file to write, replaced where there is one. */
  readonly path: string;
  readonly credentialProcess: boolean;
}

export async function writePortable({ program, runtime, path, ...rights }: PortableOptions): Promise<void> {
  const unpacker = await encoded("unpack.ts");
  const texts = [...program].map(([name, text]) => [name, withLateImports(text)]);
  const parts = new TextEncoder().encode(JSON.stringify(Object.fromEntries(texts)));
  const runtimeBytes = (await Deno.stat(runtime)).size;
  const runtimeDigest = await fileDigest(runtime);
  const [runtimeAt, unpackerAt] = [LAUNCHER_BYTES + 1, LAUNCHER_BYTES + 1 + runtimeBytes];
  const programAt = unpackerAt + unpacker.length;
  const launcher = await filledLauncher({
    ID: sha256([runtimeDigest, sha256(unpacker), sha256(parts)].join("\n")).slice(0, 32),
    PARTS: 1 + program.size,
    TOTAL_BYTES: programAt - 1 + parts.length,
    RUNTIME_AT: runtimeAt,
    RUNTIME_BYTES: runtimeBytes,
    RUNTIME_SHA256: runtimeDigest,
    UNPACKER_AT: unpackerAt,
    UNPACKER_BYTES: unpacker.length,
    PROGRAM_AT: programAt,
    PROGRAM_BYTES: parts.length,
    PROGRAM_SHA256: sha256(parts),
    EXECUTABLE_VARIABLE,
    ISOLATION: ISOLATION.join(" "),
    PERMISSIONS: permissions(rights).join(" "),
  });
  const unfinished = `${path}.unfinished`;
  const file = await Deno.open(unfinished, { create: true, write: true, truncate: true, mode: 0o755 });
  const source = (await Deno.open(runtime)).readable;
  const writer = file.writable.getWriter();
  await writer.write(launcher);
  for await (const chunk of source) await writer.write(chunk);
  await writer.write(unpacker);
  await writer.write(parts);
  await writer.close();
  await Deno.rename(unfinished, path);
}

/**
 * `deno run` reads at the start also what is only imported later, if it can tell its name: 10 ms of 60, measured. So it
 * can't. `deno compile`, however, has to.
 */
function withLateImports(text: string): string {
  return text.replaceAll(/\bimport\("(?=\.\/)/g, 'import(0||"');
}

function encoded(name: string): Promise<Uint8Array> {
  return Deno.readFile(new URL(name, import.meta.url));
}

async function filledLauncher(facts: Readonly<Record<string, string | number>>): Promise<Uint8Array> {
  const template = new TextDecoder().decode(await encoded("launcher.sh"));
  const text = template.replace(/@([A-Z0-9_]+)@/g, (place, name: string) => {
    const fact = facts[name];
    if (fact === undefined) throw new Error(`Cannot fill the launcher: nothing is known for ${place}`);
    return String(fact);
  });
  const bytes = new TextEncoder().encode(text);
  if (bytes.length > LAUNCHER_BYTES) {
    throw new Error(
      `Cannot fit the launcher: it has ${bytes.length} bytes, expected ${LAUNCHER_BYTES} at most`,
    );
  }
  const filled = new Uint8Array(LAUNCHER_BYTES).fill("\n".charCodeAt(0));
  filled.set(bytes);
  return filled;
}
