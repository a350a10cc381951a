/**
 * The import table: which room of the source may use which, lower never higher, and a folder only through its
 * door. Read by `tidy.ts`. Tests and scripts may enter anything.
 *
 * The table is written out in full, not computed from ranks, because the exceptions are the point: a store
 * that can't speak to AWS and an image that can't see a store are what keeps the evidence's paths short.
 */
import type { Finding, Source } from "./tidy.ts";
import { lineAt } from "./tidy_source.ts";

const BASE = ["model", "errors", "units"];
const CODECS = [...BASE, "format"];

/** Room → rooms that it may import beside itself. */
export const IMPORT_TABLE: Readonly<Record<string, readonly string[]>> = {
  model: [],
  errors: ["model"],
  units: ["model", "errors"],
  buffers: [],
  build: [],
  world: ["model", "build"],
  format: BASE,
  plan: CODECS,
  cipher: CODECS,
  cipher_age: [...CODECS, "cipher_age_chunks", "cipher_age_payload", "cipher_age_header", "cipher_age_keys"],
  cipher_age_chunks: BASE,
  cipher_age_payload: [...BASE, "cipher_age_chunks"],
  cipher_age_header: [...BASE, "cipher_age_payload"],
  cipher_age_keys: [...BASE, "cipher_age_chunks", "cipher_age_header"],
  cipher_age_files: [...CODECS, "cipher_age", "keys_file"],
  keys: [...CODECS, "keys_file", "keys_openssh", "keys_agent"],
  keys_file: [...CODECS, "keys_openssh"],
  keys_openssh: CODECS,
  keys_agent: CODECS,
  aws: [...BASE, "buffers"],
  cli: BASE,
  // `world`: as the store.
  image: [...CODECS, "world"],
  simulate: CODECS,
  // `world`: for its worker threads, which build the real one as `main` does.
  store: [...CODECS, "buffers", "plan", "world", "cipher", "cipher_age", "keys"],
  imager: BASE,
  acquisition: [...CODECS, "plan", "store", "imager"],
  commands: [
    ...CODECS,
    "build",
    "buffers",
    "plan",
    "cipher",
    "cipher_age",
    "cipher_age_files",
    "keys",
    "aws",
    "cli",
    "store",
    "image",
    "imager",
    "simulate",
    "acquisition",
    "commands",
  ],
  main: [...BASE, "build", "cli", "commands", "world"],
};

/** Folders without a door: each file is a chapter of its own. */
const OPEN_FOLDERS = ["format", "aws"];

/** `src/store/mod.ts` → `store`, `src/plan.ts` → `plan`, `main.ts` → `main`; undefined outside the source. */
function roomOf(path: string): string | undefined {
  if (path === "main.ts") return "main";
  return /^src\/([a-z0-9_]+)(?:\.ts$|\/)/.exec(path)?.[1];
}

/** `path` of a module that `from` names relatively. */
function resolvePath(from: string, specifier: string): string {
  const parts = from.split("/").slice(0, -1);
  for (const step of specifier.split("/")) {
    if (step === "..") parts.pop();
    else if (step !== ".") parts.push(step);
  }
  return parts.join("/");
}

/** What is wrong with a file's imports. */
export function checkImports(source: Source): Finding[] {
  const { path, code, bare } = source;
  const room = roomOf(path);
  if (room !== undefined && !path.endsWith(".d.ts") && IMPORT_TABLE[room] === undefined) {
    return [{ path, line: 0, message: `"${room}" is not in the import table` }];
  }
  const imports = code.matchAll(/(?:\bfrom|\bimport)\s*\(?\s*"([^"\n]+)"/g);
  return [...imports].filter((match) => bare[match.index] === code[match.index]).flatMap(
    (match): Finding[] => {
      const problem = problemOf(path, match[1] ?? "");
      return problem === undefined ? [] : [{ path, line: lineAt(code, match.index), message: problem }];
    },
  );
}

function problemOf(path: string, specifier: string): string | undefined {
  if (/^(?:npm|jsr|https?):/.test(specifier)) return `imports "${specifier}": name it in deno.json`;
  const room = roomOf(path);
  if (room === undefined || path.endsWith(".d.ts")) return undefined;
  if (!specifier.startsWith(".")) return undefined;
  const target = resolvePath(path, specifier);
  const other = roomOf(target);
  if (other === room || target === "deno.json") return undefined;
  if (other === undefined) return `imports "${target}", which is outside src`;
  if (!IMPORT_TABLE[room]?.includes(other)) return `${room} imports ${other}: not in the import table`;
  const isDoor = !/^src\/[a-z0-9_]+\//.test(target) || target.endsWith("/mod.ts") ||
    OPEN_FOLDERS.includes(other);
  return isDoor ? undefined : `enters ${other} by "${target}", expected its mod.ts`;
}

/** Versions in deno.json are exact. */
export function checkMap(text: string): Finding[] {
  const map: { imports?: Record<string, string> } = JSON.parse(text);
  return Object.entries(map.imports ?? {}).flatMap(([name, target]): Finding[] => {
    const isRemote = /^(?:npm|jsr):/.test(target);
    if (!isRemote || /^(?:npm|jsr):(?:@[^/]+\/)?[^@/]+@\d+\.\d+\.\d+(?:-[\w.]+)?(?:\/|$)/.test(target)) {
      return [];
    }
    return [{ path: "deno.json", line: 0, message: `"${name}" is "${target}", expected an exact version` }];
  });
}
