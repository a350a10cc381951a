/**
 * The program as JavaScript that needs no package any more: what every executable carries. The sources are copied, the
 * facts of the build written into the copy, bundled with `deno bundle`, and the parts given names that follow from what
 * is in them: esbuild's own follow from the folders of the machine, which would make each machine's build another one.
 *
 * Split and not one file: a command then loads what it needs (`--version` 65 ms against 240 ms, measured).
 */
import { encodeHex } from "@std/encoding/hex";
import { createHash } from "node:crypto";
import { join } from "@std/path";
import type { Build } from "../../src/build.ts";
import { gitOutput, outputOf, readTree } from "./files.ts";

/** Name → text, flat and sorted; `main.js` is where it starts. */
export type Program = ReadonlyMap<string, string>;

/** Each worker's name in the sources: `new URL("./_pack_worker.ts", import.meta.url)` has to find it beside each part. */
const WORKERS = [
  { name: "_pack_worker", source: "src/store/_pack_worker.ts" },
  { name: "image_worker", source: "src/image/image_worker.ts" },
];
export const WORKER_FILES: readonly string[] = WORKERS.map(({ name }) => `${name}.ts`);
/** What a build may depend on. */
const SOURCES = ["main.ts", "src", "deno.json", "deno.lock"];
/** A part's name as esbuild gives it: what it is, and eight characters of its folders' making. */
const ESBUILD_NAME = /-[A-Z0-9]{8}\.js$/;
/**
 * Old packages `require()` Node's modules. esbuild's stand-in looks for a `require` where it stands, and with
 * code splitting `deno bundle` puts none there.
 */
const REQUIRE =
  'import{createRequire as coldcaseRequire}from"node:module";const require=coldcaseRequire(import.meta.url);\n';

/** What git says of the checkout; no commit where there is no git. */
export async function readBuild(checkout: string): Promise<Build & { readonly committedAt: number }> {
  const commit = await gitOutput(checkout, ["rev-parse", "HEAD"]);
  if (commit === undefined) return { commit, isModified: false, committedAt: 0 };
  const changes = await gitOutput(checkout, ["status", "--porcelain", "--", ...SOURCES, "scripts/build"]);
  const time = await gitOutput(checkout, ["log", "-1", "--format=%ct"]);
  return { commit, isModified: changes !== "", committedAt: Number(time) };
}

/** Bundles the checkout's sources with `build` written into them. Needs npm's packages in Deno's cache, or the network. */
export async function bundleProgram(checkout: string, { commit, isModified }: Build): Promise<Program> {
  const stage = await Deno.makeTempDir({ prefix: "coldcase-build-" });
  try {
    for (const source of SOURCES) await copy(join(checkout, source), join(stage, source));
    await writeBuild(join(stage, "src/build.ts"), { commit, isModified });
    // An entry of its own at the top: its output then lies beside the parts that start it.
    for (const { name, source } of WORKERS) {
      await Deno.writeTextFile(join(stage, `${name}.ts`), `import "./${source}";\n`);
    }
    const flags = ["--quiet", "--platform", "deno", "--code-splitting", "--minify", "--keep-names"];
    const args = ["bundle", ...flags, "--outdir", "out", "main.ts", ...WORKER_FILES];
    await outputOf(Deno.execPath(), { args, cwd: stage });
    return finished(await readTree(join(stage, "out")));
  } finally {
    await Deno.remove(stage, { recursive: true });
  }
}

async function copy(from: string, to: string): Promise<void> {
  if (!(await Deno.stat(from)).isDirectory) return await Deno.copyFile(from, to);
  await Deno.mkdir(to);
  for await (const { name } of Deno.readDir(from)) await copy(join(from, name), join(to, name));
}

async function writeBuild(path: string, build: Build): Promise<void> {
  const source = await Deno.readTextFile(path);
  const unset = "= undefined as Build | undefined;";
  if (!source.includes(unset)) {
    throw new Error(`Cannot write the build into "${path}": it has no "${unset}"`);
  }
  const value = `{ commit: ${JSON.stringify(build.commit)}, isModified: ${build.isModified} }`;
  await Deno.writeTextFile(path, source.replace(unset, `= ${value};`));
}

function finished(parts: Program): Program {
  const names = namesByContents(parts);
  const renamed = [...parts].map(([name, text]): [string, string] => {
    const body = withNames(text, names);
    return [names.get(name) ?? name, body.includes("Dynamic require of") ? REQUIRE + body : body];
  });
  for (const { name } of WORKERS) renamed.push([`${name}.ts`, `import "./${name}.js";\n`]);
  return new Map(renamed.sort(([a], [b]) => a < b ? -1 : 1));
}

/**
 * A name for each part from its text and, by rounds, from the texts of those that it names and that those name: parts
 * name each other in circles, so that no order of hashing them ends.
 */
function namesByContents(parts: Program): Map<string, string> {
  const own = [...parts.keys()].filter((name) => ESBUILD_NAME.test(name));
  let names = new Map(own.map((name) => [name, name.replace(ESBUILD_NAME, ".js")]));
  for (let round = 0; round < 8; round++) {
    names = new Map(own.map((name) => {
      const digest = sha256(withNames(parts.get(name)!.replaceAll(name, "self"), names));
      return [name, name.replace(ESBUILD_NAME, `-${digest.slice(0, 12)}.js`)];
    }));
  }
  if (new Set(names.values()).size !== own.length) {
    throw new Error("Cannot name the program's parts: two of them have the same contents");
  }
  return names;
}

function withNames(text: string, names: ReadonlyMap<string, string>): string {
  return text.replace(/[\w.-]+-[A-Z0-9]{8}\.js/g, (found) => names.get(found) ?? found);
}

export function sha256(data: string | Uint8Array): string {
  return encodeHex(createHash("sha256").update(data).digest());
}
