/**
 * The compiled executable, end to end wherever its runtime is to be had: in Deno's cache, or named by DENORT_BIN. It is
 * on no package registry, so its absence is no failure of the machine, also under .ci/run; what the build makes of the
 * program around any runtime, and what it says where there is none, is tested everywhere.
 */
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import {
  compileProgram,
  executableName,
  runtimeArchive,
  RuntimeMissing,
  TARGETS,
} from "../../scripts/build/compiled.ts";
import { fileDigest } from "../../scripts/build/files.ts";
import { wantedTargets } from "../../scripts/build/executables.ts";
import {
  assertExit,
  copyOrigin,
  doTheMainJob,
  expectedVersion,
  type Origin,
  withExecutable,
} from "./executable.ts";

const TARGET = "x86_64-unknown-linux-gnu";
const OTHERS = { target: TARGET, committedAt: 1_700_000_000, credentialProcess: false } as const;

let origin: Promise<Origin> | undefined;

/** Bundled once for all tests of this file. */
function sharedOrigin(): Promise<Origin> {
  return origin ??= (async () => {
    const folder = await Deno.makeTempDir({ prefix: "coldcase-compiled-" });
    globalThis.addEventListener("unload", () => Deno.removeSync(folder, { recursive: true }));
    return await copyOrigin(folder);
  })();
}

async function withFolder(body: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "coldcase-compile-" });
  try {
    await body(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("executableName() names the target, and is what Windows starts", () => {
  assertEquals(TARGETS.map(executableName), [
    "coldcase-x86_64-unknown-linux-gnu",
    "coldcase-aarch64-unknown-linux-gnu",
    "coldcase-x86_64-apple-darwin",
    "coldcase-aarch64-apple-darwin",
    "coldcase-x86_64-pc-windows-msvc.exe",
  ]);
  assertEquals(wantedTargets([], false), [...TARGETS]);
  assertEquals(wantedTargets([], true), []);
  assertEquals(wantedTargets([TARGET], true), [TARGET]);
});

Deno.test({
  name: "compileProgram() gives the same bytes from another folder at another time",
  // The ordinary Deno stands for the runtime: what is put into it is the same.
  ignore: Deno.build.os !== "linux",
  fn: () =>
    withFolder(async (folder) => {
      const { program } = await sharedOrigin();
      const digests: string[] = [];
      for (const name of ["one", "two"]) {
        const path = `${folder}/${name}`;
        const environment = { ...Deno.env.toObject(), DENO_V8_FLAGS: name === "two" ? "--max-lazy" : "" };
        await compileProgram({ ...OTHERS, program, path, runtime: Deno.execPath(), environment });
        digests.push(await fileDigest(path));
      }
      assertEquals(digests[0], digests[1]);
      assert(Deno.statSync(`${folder}/one`).mode! & 0o111, "it can't be started");
    }),
});

Deno.test("compileProgram() says which file it wants, and where, when it has no runtime", () =>
  withFolder(async (folder) => {
    // Nothing listens on port 9 of this machine: no download leaves it, and none waits.
    const nowhere = "http://127.0.0.1:9";
    const environment = { DENO_DIR: `${folder}/deno-dir`, HTTPS_PROXY: nowhere, https_proxy: nowhere };
    const program = new Map([["main.js", ""]]);
    for (const target of TARGETS) {
      const options = { ...OTHERS, target, program, path: `${folder}/out`, runtime: undefined, environment };
      const { message } = await assertRejects(() => compileProgram(options), RuntimeMissing);
      const archive = await runtimeArchive(target, environment);
      assertEquals(archive, `${folder}/deno-dir/dl/release/v${Deno.version.deno}/denort-${target}.zip`);
      assertStringIncludes(message, `Cannot compile for ${target}: its runtime is not in Deno's cache`);
      assertStringIncludes(message, `hint: put it, as it is, at ${archive}\n`);
      assertStringIncludes(message, "--portable works here without it");
    }
    assertEquals([...Deno.readDirSync(folder)].filter(({ name }) => name === "out"), []);
  }));

async function findRuntime(): Promise<string | undefined> {
  const named = Deno.env.get("DENORT_BIN");
  if (named) return named;
  const archive = await runtimeArchive(TARGET);
  return await Deno.stat(archive).then(() => "cache", (error) => {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  });
}

const runtime = Deno.build.target === TARGET ? await findRuntime() : undefined;
const skipped =
  `skipped: the compiled executable end to end: needs denort-${TARGET}.zip in Deno's cache, or DENORT_BIN`;
// deno-lint-ignore no-console
if (runtime === undefined) console.log(skipped);
Deno.test({
  name: "compiled does the main job, alone and with an empty environment",
  ignore: runtime === undefined,
  fn: () =>
    withFolder(async (folder) => {
      const shared = await sharedOrigin();
      const path = `${folder}/${executableName(TARGET)}`;
      const named = runtime === "cache" ? undefined : runtime;
      await compileProgram({ ...OTHERS, program: shared.program, path, runtime: named });
      await withExecutable(path, async (executable, place) => {
        const version = await executable.run(["--version"]);
        assertEquals([version.exitCode, version.stdout, version.stderr], [
          0,
          await expectedVersion(executable, shared),
          "",
        ]);
        assertExit(await executable.run(["--help"]), 0);
        const demo = await executable.run(["demo"]);
        assertExit(demo, 0);
        assertStringIncludes(demo.stdout, "equal in every byte");
        await doTheMainJob(executable, place, shared);
      });
    }),
});
