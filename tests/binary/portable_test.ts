/**
 * The portable executable end to end: built once, copied alone into an empty folder, started with an empty environment
 * or one of named variables. And its place in the cache: nothing but what it unpacked there is ever run.
 */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { writePortable } from "../../scripts/build/portable.ts";
import { bundleProgram } from "../../scripts/build/program.ts";
import { CHECKOUT } from "../../scripts/build/executables.ts";
import { fileDigest } from "../../scripts/build/files.ts";
import {
  assertExit,
  copyOrigin,
  copySources,
  doTheMainJob,
  Executable,
  expectedVersion,
  withExecutable,
} from "./executable.ts";
import { canMount } from "../outside.ts";

const BUILD_FOLDER = await Deno.makeTempDir({ prefix: "coldcase-portable-" });
globalThis.addEventListener("unload", () => Deno.removeSync(BUILD_FOLDER, { recursive: true }));
const ORIGIN = await copyOrigin(BUILD_FOLDER);
const SHARED = `${BUILD_FOLDER}/shared cache`;
const PORTABLE = `${BUILD_FOLDER}/portable`;
const PARTS = { runtime: Deno.execPath(), credentialProcess: false } as const;
await writePortable({ program: ORIGIN.program, path: PORTABLE, ...PARTS });
const versionOf = (executable: Executable) => expectedVersion(executable, ORIGIN);
/** The name of what it unpacks: the same for the same contents. */
const ID = /^id=([0-9a-f]{32})$/m.exec(await startOf(PORTABLE))![1]!;

async function startOf(path: string): Promise<string> {
  using file = await Deno.open(path);
  const bytes = new Uint8Array(8192);
  await file.read(bytes);
  return new TextDecoder().decode(bytes);
}

function portable(name: string, body: (executable: Executable, folder: string) => Promise<void>): void {
  Deno.test({
    name: `portable ${name}`,
    ignore: Deno.build.os === "windows",
    fn: () => withExecutable(PORTABLE, body),
  });
}

/** Runs `body` with a cache that others have used. */
function withSharedCache(
  name: string,
  body: (executable: Executable, folder: string) => Promise<void>,
): void {
  portable(name, ({ path }, folder) => body(new Executable(path, { COLDCASE_CACHE: SHARED }), folder));
}

/** Runs `body` with a cache of its own. */
function withCache(
  name: string,
  body: (executable: Executable, cache: string, folder: string) => Promise<void>,
): void {
  portable(name, async ({ path }, folder) => {
    await body(new Executable(path, { COLDCASE_CACHE: folder }), `${folder}/coldcase`, folder);
  });
}

/** Says "run" into `mark` when it is started. */
async function plant(path: string, mark: string): Promise<void> {
  await Deno.mkdir(`${path}/program`, { recursive: true });
  await Deno.writeTextFile(`${path}/coldcase`, `#!/bin/sh\necho run >>'${mark}'\n`, { mode: 0o755 });
  await Deno.writeTextFile(`${path}/complete`, "");
}

function isThere(path: string): boolean {
  try {
    Deno.lstatSync(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

portable("needs nothing from the environment", async (executable) => {
  const home = `/tmp/coldcase-${Deno.uid()}/${ID}`;
  try {
    const first = await executable.run(["--version"]);
    assertEquals([first.exitCode, first.stdout], [0, await versionOf(executable)]);
    const again = await executable.run(["-V"]);
    assertEquals([again.exitCode, again.stdout, again.stderr], [0, first.stdout, ""]);
    const help = await executable.run(["--help"]);
    assertEquals([help.exitCode, help.stderr], [0, ""]);
    assertStringIncludes(help.stdout, "acquire");
    const demo = await executable.run(["demo"]);
    assertExit(demo, 0);
    assertStringIncludes(demo.stdout, "equal in every byte");
    assertEquals((await executable.run(["frobnicate"])).exitCode, 2);
    assertEquals([...Deno.readDirSync(executable.path.replace(/\/[^/]*$/, ""))].map(({ name }) => name), [
      "coldcase",
    ]);
  } finally {
    if (isThere(home)) await Deno.remove(home, { recursive: true });
  }
});

withSharedCache(
  "does the main job, in worker threads, and goes on after Ctrl-C",
  (executable, folder) => doTheMainJob(executable, folder, ORIGIN),
);

portable("is one build on every machine", async (_executable, folder) => {
  const elsewhere = `${folder}/some/other/place`;
  await copySources(ORIGIN.sources, elsewhere);
  const program = await bundleProgram(elsewhere, ORIGIN.build);
  const path = `${folder}/again`;
  await writePortable({ program, path, ...PARTS });
  assertEquals(await fileDigest(path), await fileDigest(PORTABLE));
  const places = [CHECKOUT, elsewhere, ORIGIN.sources, "coldcase-build-"];
  for (const [part, text] of program) {
    for (const place of places) assert(!text.includes(place), `${part} names ${place}`);
  }
});

withCache("unpacks once, also where several start at once", async (executable, cache) => {
  await Deno.mkdir(`${cache}/.new.killed/program`, { recursive: true });
  await Deno.utime(`${cache}/.new.killed`, 1_000_000_000, 1_000_000_000);
  await Deno.mkdir(`${cache}/.new.at-work`);
  await Deno.chmod(cache, 0o700);
  const ended = await Promise.all([1, 2, 3, 4].map(() => executable.run(["--version"])));
  for (const each of ended) {
    assertEquals([each.exitCode, each.stdout], [0, await versionOf(executable)]);
  }
  assertEquals([...Deno.readDirSync(cache)].map(({ name }) => name).sort(), [".new.at-work", ID]);
  const { ino } = Deno.statSync(`${cache}/${ID}`);
  const later = await executable.run(["--version"]);
  assertEquals([later.exitCode, later.stderr, Deno.statSync(`${cache}/${ID}`).ino], [0, "", ino]);
  assertEquals(Deno.statSync(cache).mode! & 0o777, 0o700);
});

withCache("notices what was damaged, and unpacks again", async (executable, cache) => {
  const home = `${cache}/${ID}`;
  assertExit(await executable.run(["--version"]), 0);
  const part = `${home}/program/main.js`;
  const damages: Record<string, () => void> = {
    "a part was written": () => Deno.writeTextFileSync(part, "Deno.exit(77)"),
    "a part is gone": () => Deno.removeSync(part),
    "the runtime is cut off": () => {
      Deno.chmodSync(`${home}/coldcase`, 0o700);
      Deno.truncateSync(`${home}/coldcase`, 1000);
    },
    "a part too many": () => Deno.writeTextFileSync(`${home}/program/more.js`, ""),
  };
  for (const [name, damage] of Object.entries(damages)) {
    damage();
    const { exitCode, stdout, stderr } = await executable.run(["--version"]);
    assertEquals([exitCode, stdout], [0, await versionOf(executable)], name);
    assertStringIncludes(stderr, "unpacks itself", name);
    assertEquals([...Deno.readDirSync(cache)].map((entry) => entry.name), [ID], name);
    assertEquals((await executable.run(["--version"])).stderr, "", name);
  }
});

withCache("runs nothing that others could have put into its cache", async (executable, cache, folder) => {
  const mark = `${folder}/mark`;
  const refused = async (why: string) => {
    const ended = await executable.run(["--version"]);
    assertEquals([ended.exitCode, ended.stdout, isThere(mark)], [15, "", false], why);
    assertStringIncludes(
      ended.stderr,
      "coldcase: error: Cannot start: there is no folder to unpack into",
      why,
    );
    assertStringIncludes(ended.stderr, "coldcase: hint: name one: COLDCASE_CACHE=DIR", why);
  };
  await plant(`${cache}/${ID}`, mark);
  for (const mode of [0o777, 0o770, 0o755, 0o701]) {
    await Deno.chmod(cache, mode);
    await refused(`mode ${mode.toString(8)}`);
  }
  await Deno.chmod(cache, 0o700);
  await Deno.rename(cache, `${folder}/theirs`);
  await Deno.symlink(`${folder}/theirs`, cache);
  await refused("a link");
  await Deno.remove(cache);
  await Deno.chmod(folder, 0o777);
  await refused("anybody can exchange it");
  await Deno.chmod(folder, 0o700);
  if (Deno.uid() === 0) {
    await Deno.rename(`${folder}/theirs`, cache);
    await Deno.chown(cache, 12_345, 12_345);
    await refused("another user's");
    await Deno.rename(cache, `${folder}/theirs`);
  }
  const own = `${folder}/own`;
  assertExit(await executable.run(["--version"], { env: { COLDCASE_CACHE: own } }), 0);
  assertEquals(isThere(mark), false);
});

portable("goes past a home that is no use", async (executable, folder) => {
  await Deno.mkdir(`${folder}/tmp`);
  await Deno.writeTextFile(`${folder}/file`, "");
  const env = { XDG_CACHE_HOME: `${folder}/file`, HOME: `${folder}/file`, TMPDIR: `${folder}/tmp` };
  const { exitCode, stdout } = await executable.run(["--version"], { env });
  assertEquals([exitCode, stdout], [0, await versionOf(executable)]);
  assertEquals([...Deno.readDirSync(`${folder}/tmp`)].map(({ name }) => name), [`coldcase-${Deno.uid()}`]);
  const home = { HOME: `${folder}/home`, XDG_CACHE_HOME: "not/absolute", TMPDIR: `${folder}/tmp` };
  assertExit(await executable.run(["--version"], { env: home }), 0);
  assert(isThere(`${folder}/home/.cache/coldcase/${ID}/complete`));
  // Deno asks for this file at each start.
  await Deno.mkdir(`${folder}/home/.npmrc`);
  assertExit(await executable.run(["--version"], { env: home }), 0);
});

withCache("says so where a copy of it is damaged", async (executable, cache) => {
  const { path } = executable;
  const whole = Deno.statSync(path).size;
  const flip = (at: number) => {
    using file = Deno.openSync(path, { read: true, write: true });
    const byte = new Uint8Array(1);
    file.seekSync(at, Deno.SeekMode.Start);
    file.readSync(byte);
    byte[0]! ^= 1;
    file.seekSync(at, Deno.SeekMode.Start);
    file.writeSync(byte);
  };
  const damaged = async (why: string) => {
    const { exitCode, stdout, stderr } = await executable.run(["--version"]);
    assertEquals([exitCode, stdout], [15, ""], why);
    assertStringIncludes(stderr, `coldcase: error: Cannot start: ${path} is damaged`, why);
    assertStringIncludes(stderr, "copy it again", why);
    assertEquals([...Deno.readDirSync(cache)].length, 0, why);
  };
  // In the middle of Deno's strings: it starts, but is not what was built.
  for (const [why, at] of [["program", whole - 10], ["runtime", 40_000_000]] as const) {
    flip(at);
    await damaged(why);
    flip(at);
  }
  await Deno.truncate(path, whole - 1);
  await damaged("cut off");
});

withSharedCache(
  "takes no notice of what lies in the folder that it is started in",
  async (executable, folder) => {
    const hostile = `${folder}/hostile`;
    await Deno.mkdir(hostile);
    for (
      const name of [
        "deno.json",
        "deno.jsonc",
        "package.json",
        "deno.lock",
        ".npmrc",
        ".env",
        "tsconfig.json",
      ]
    ) {
      await Deno.writeTextFile(`${hostile}/${name}`, "{ this is not what anybody wants to read");
    }
    const { exitCode, stdout } = await executable.run(["--version"], { cwd: hostile });
    assertEquals([exitCode, stdout], [0, await versionOf(executable)]);
  },
);

withSharedCache("may start no program", async (executable, folder) => {
  await Deno.writeTextFile(`${folder}/config`, `[profile p]\ncredential_process = touch ${folder}/mark\n`);
  const env = {
    AWS_CONFIG_FILE: `${folder}/config`,
    AWS_REGION: "us-east-1",
    AWS_EC2_METADATA_DISABLED: "true",
  };
  const ended = await executable.run(["plan", "snap-00000000000000001", "--profile", "p"], { env });
  assertExit(ended, 13);
  assertStringIncludes(ended.stderr, "--credential-process");
  assertEquals(isThere(`${folder}/mark`), false);
});

const isMountable = canMount();
const skipped = "skipped: a portable executable where folders may hold no programs: needs the right to mount";
// deno-lint-ignore no-console
if (!isMountable) console.log(skipped);
Deno.test({
  name: "portable goes past folders that may hold no programs, and says so where there is no other",
  ignore: !isMountable,
  fn: () =>
    withExecutable(PORTABLE, async ({ path }, folder) => {
      const run = async (cache: string) => {
        const line =
          `mkdir -p ${folder}/noexec ${folder}/tmp && mount -t tmpfs -o noexec none ${folder}/noexec && ` +
          `exec env -i ${cache} TMPDIR=${folder}/tmp "${path}" --version`;
        const { code, stdout, stderr } = await new Deno.Command("unshare", { args: ["-m", "sh", "-c", line] })
          .output();
        const decoder = new TextDecoder();
        return { code, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
      };
      const past = await run(`HOME=${folder}/noexec`);
      assertEquals(past.code, 0, past.stderr);
      assertStringIncludes(past.stderr, `${folder}/tmp/coldcase-`);
      const refused = await run(`COLDCASE_CACHE=${folder}/noexec`);
      assertEquals([refused.code, refused.stdout], [15, ""]);
      assertStringIncludes(refused.stderr, "may not hold programs (noexec)");
    }),
});
