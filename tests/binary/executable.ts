/**
 * An executable as its users have it: one file in a folder that holds nothing else, started with an environment of
 * which every variable is named. And the work that each executable has to do, whichever way it was built.
 */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import config from "../../deno.json" with { type: "json" };
import { bundleProgram, type Program, readBuild } from "../../scripts/build/program.ts";
import { fileDigest } from "../../scripts/build/files.ts";
import { CHECKOUT } from "../../scripts/build/executables.ts";
import { committedIn, readAgain } from "../second_reading.ts";

/** What the executables of a test file are built from: the checkout as it was when the file began. */
export interface Origin {
  readonly sources: string;
  readonly build: Awaited<ReturnType<typeof readBuild>>;
  readonly program: Program;
}

/** The sources change while tests run where somebody works on them: each test file builds from a copy of its own. */
export async function copyOrigin(folder: string): Promise<Origin> {
  const sources = `${folder}/sources`;
  await copySources(CHECKOUT, sources);
  const build = await readBuild(CHECKOUT);
  return { sources, build, program: await bundleProgram(sources, build) };
}

export async function copySources(from: string, to: string): Promise<void> {
  await Deno.mkdir(to, { recursive: true });
  for (const name of ["main.ts", "src", "deno.json", "deno.lock"]) {
    const { success } = await new Deno.Command("cp", { args: ["-R", `${from}/${name}`, to] }).output();
    assert(success, `${from}/${name} could not be copied`);
  }
}

export interface Ended {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Started {
  readonly child: Deno.ChildProcess;
  /** Resolves when stdout or stderr holds `text`; fails where it ends without. */
  says(text: string): Promise<string>;
  readonly ended: Promise<Ended>;
}

export type Environment = Readonly<Record<string, string>>;

export class Executable {
  constructor(readonly path: string, readonly env: Environment = {}) {}

  start(args: readonly string[], { env = {}, cwd }: { env?: Environment; cwd?: string } = {}): Started {
    const child = new Deno.Command(this.path, {
      args: [...args],
      cwd: cwd ?? this.path.slice(0, this.path.lastIndexOf("/")),
      clearEnv: true,
      env: { ...this.env, ...env },
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    return watched(child);
  }

  run(args: readonly string[], options: { env?: Environment; cwd?: string } = {}): Promise<Ended> {
    return this.start(args, options).ended;
  }
}

function watched(child: Deno.ChildProcess): Started {
  const said = { stdout: "", stderr: "" };
  const watchers = new Set<() => void>();
  const read = async (name: "stdout" | "stderr") => {
    for await (const text of child[name].pipeThrough(new TextDecoderStream())) {
      said[name] += text;
      for (const watcher of watchers) watcher();
    }
  };
  const ended = Promise.all([child.status, read("stdout"), read("stderr")]).then(([status]) => ({
    exitCode: status.code,
    ...said,
  }));
  return {
    child,
    ended,
    says: (text) =>
      new Promise((resolve, reject) => {
        const look = () =>
          [said.stdout, said.stderr].some((all) => all.includes(text)) && resolve(said.stdout);
        watchers.add(look);
        look();
        ended.then(
          () => reject(new Error(`it ended without "${text}":\n${said.stdout}${said.stderr}`)),
          reject,
        );
      }),
  };
}

/** Runs `body` with a copy of the executable, alone in a folder that is removed afterwards. */
export async function withExecutable(
  original: string,
  body: (executable: Executable, folder: string) => Promise<void>,
): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "coldcase-alone-" });
  try {
    await Deno.mkdir(`${folder}/all alone`);
    await Deno.copyFile(original, `${folder}/all alone/coldcase`);
    await body(new Executable(`${folder}/all alone/coldcase`), folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

export function assertExit(ended: Ended, exitCode: number): void {
  assertEquals(ended.exitCode, exitCode, `${ended.stdout}\n${ended.stderr}`);
}

/** What `--version` has to say. */
export async function expectedVersion({ path }: Executable, { build }: Origin): Promise<string> {
  const { commit, isModified } = build;
  return [
    `coldcase ${config.version}`,
    commit === undefined
      ? "commit not known to the build"
      : `commit ${commit}${isModified ? ", modified" : ""}`,
    `Deno ${Deno.version.deno} (${Deno.build.target})`,
    `SHA-256 ${await fileDigest(path)} of ${path}`,
    "",
  ].join("\n");
}

const SNAPSHOT = "snap-00000000000000001";

/**
 * The main job against an endpoint that the same file serves: acquire in worker threads, stopped by Ctrl-C and gone on,
 * verify, export; the image is the disk, and the record names the file that made it.
 */
export async function doTheMainJob(executable: Executable, folder: string, { build }: Origin): Promise<void> {
  const block = crypto.getRandomValues(new Uint8Array(64 * 1024));
  const file = await Deno.open(`${folder}/disk.img`, { create: true, write: true });
  for (let at = 0; at < 64; at++) await file.write(block);
  await file.truncate(2 ** 30); // as the volume, which is of whole GiB
  file.close();
  const simulator = executable.start([
    ...["simulate", "--snapshot", `${SNAPSHOT}=${folder}/disk.img`, "--faults", "bandwidth=2MiB/s"],
  ]);
  try {
    await simulator.says("serving");
    const exports = (await simulator.says("AWS_SECRET_ACCESS_KEY")).matchAll(/^export (\w+)=(.*)$/gm);
    const env = Object.fromEntries([...exports].map(([, name, value]) => [name!, value!]));
    const exhibit = await acquireAndExport(executable, { folder, env });
    await assertRecordNames(executable, exhibit, build);
  } finally {
    simulator.child.kill("SIGINT");
    assertExit(await simulator.ended, 0);
  }
}

async function acquireAndExport(
  executable: Executable,
  { folder, env }: { readonly folder: string; readonly env: Environment },
): Promise<string> {
  const store = `${folder}/evidence`;
  const key = `${folder}/key`;
  assertExit(await executable.run(["keygen", "--sign", "-o", key]), 0);
  const acquire = ["acquire", SNAPSHOT, "-s", store, "--sign-key", key, "--workers", "2", "--case", "B-1"];
  const stopped = executable.start(acquire, { env });
  await stopped.says("NEW");
  stopped.child.kill("SIGINT");
  const { exitCode, stderr } = await stopped.ended;
  assertEquals(exitCode, 130, stderr);
  assertStringIncludes(stderr, "stopping on Ctrl-C");
  assertExit(await executable.run(acquire, { env }), 0);
  const verified = await executable.run(["verify", "-s", store, "--sign-key", key, "--workers", "2"]);
  assertExit(verified, 0);
  const image = `${folder}/image.img`;
  assertExit(await executable.run(["export", SNAPSHOT, "-s", store, "-o", image, "--sign-key", key]), 0);
  assertEquals(await fileDigest(image), await fileDigest(`${folder}/disk.img`));
  // Its threads are a module of their own.
  const e01 = ["--format", "e01", "--split", "1MiB", "--workers", "2", "-o", `${folder}/disk.E01`];
  assertExit(await executable.run(["export", SNAPSHOT, "-s", store, "--sign-key", key, ...e01]), 0);
  const readBack = ["verify", SNAPSHOT, "-s", store, "--sign-key", key, "--read-back", `${folder}/disk.E01`];
  assertExit(await executable.run(readBack), 0);
  const [id] = committedIn(store);
  await readAgain(store, id!);
  return `${store}/exhibits/${id}`;
}

async function assertRecordNames(
  executable: Executable,
  exhibit: string,
  { commit, isModified }: Origin["build"],
): Promise<void> {
  const name = [...Deno.readDirSync(exhibit)].map((entry) => entry.name)
    .find((each) => /^manifest-.*\.json$/.test(each));
  assert(name, `${exhibit} has no manifest`);
  const { acquisition } = JSON.parse(await Deno.readTextFile(`${exhibit}/${name}`));
  const source = commit === undefined ? "" : `+${commit.slice(0, 12)}${isModified ? ".modified" : ""}`;
  assertEquals(acquisition.tool, {
    digest: await fileDigest(executable.path),
    name: "coldcase",
    runtime: `Deno ${Deno.version.deno} (${Deno.build.target})`,
    version: config.version + source,
  });
}
