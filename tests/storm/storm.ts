/**
 * Kills the program again and again with SIGKILL, at random moments, on the real disk, and runs the same command to its
 * end: what comes of it is what comes of an undisturbed run, and no block is asked for again that a closed pack had. The
 * moments are random, so nothing is said of them; which command and how often is the caller's.
 */
import { assert, assertEquals, assertLessOrEqual, assertStringIncludes } from "@std/assert";
import { decryptAge, Identities, makeIdentity } from "../../src/cipher_age.ts";
import { FIRST, SECOND, type Stage, withStage } from "../e2e/endpoint.ts";
import { isSame, writeRandomBlocks } from "../e2e/images.ts";
import { assertExit } from "../e2e/program.ts";
import { exhibitOf, manifestOf } from "../e2e/whole_run.ts";
import { type Below, seededBelow } from "../seeded.ts";

/** Blocks of each snapshot: several packs of 128. */
const BLOCKS = 300;
const CHANGED = 140;
/** Answers under way at most. */
const CONCURRENCY = 16;
/** Blocks of a pack of random bytes; one is open and one is being closed, of the one worker. */
const PACK_BLOCKS = 128;
const OPEN_BLOCKS = 2 * PACK_BLOCKS + CONCURRENCY;
/** In one life of a command, before it may end. */
const MOST_KILLS = 12;

export const COMMANDS = [
  ...["acquire", "acquire encrypted", "incremental", "encrypt", "copy"] as const,
  ...["export", "export as VMDK", "export as VHD"] as const,
] as const;
export type CommandName = typeof COMMANDS[number];

/** A command that is killed, in a folder of its own. */
interface Victim {
  /** Where its store or image goes; removed between two lives. */
  readonly target: string;
  readonly args: readonly string[];
  /** What is there before it. */
  prepare(): Promise<void>;
  /** Fails unless what there is is what it should be. */
  check(): Promise<void>;
  /** GetSnapshotBlock requests of an undisturbed run. */
  readonly requests: number;
  /** The file that gets its name last: a kill after that leaves nothing to go on with. */
  readonly image?: string;
}

async function copyFolder(from: string, to: string): Promise<void> {
  await Deno.mkdir(to, { recursive: true });
  for (const { name, isDirectory } of Deno.readDirSync(from)) {
    if (isDirectory) await copyFolder(`${from}/${name}`, `${to}/${name}`);
    else await Deno.copyFile(`${from}/${name}`, `${to}/${name}`);
  }
}

interface Keys {
  readonly recipient: string;
  /** A file. */
  readonly identity: string;
  /** What is in it. */
  readonly identities: Identities;
}

/** As `manifestOf`, of an encrypted exhibit of FIRST. */
async function encryptedManifest(
  stage: Stage,
  options: readonly string[],
  identities: Identities,
): Promise<unknown> {
  const { manifestFile } = await exhibitOf(stage, FIRST, options);
  const bytes = await decryptAge(await Deno.readFile(String(manifestFile)), {
    identities,
    name: "manifest",
    maxBytes: 1 << 20,
  });
  const { acquisition, ...rest } = JSON.parse(new TextDecoder().decode(bytes));
  assert(acquisition !== undefined);
  return rest;
}

function victimOf(
  stage: Stage,
  name: CommandName,
  { recipient, identity, identities }: Keys,
): Victim {
  const target = `${stage.folder}/target`;
  const into = ["-s", target];
  const pace = ["--workers", "1", "--concurrency", String(CONCURRENCY)];
  const control = (snapshot: string) => manifestOf(stage, snapshot);
  const same = async (snapshot: string, where: readonly string[]) => {
    assertExit(await stage.run(["verify", ...where]), 0);
    assertEquals(await manifestOf(stage, snapshot, where), await control(snapshot));
  };
  const sameOpened = async () => {
    const opened = [...into, "-i", identity];
    assertExit(await stage.run(["verify", ...opened]), 0);
    assertEquals(await encryptedManifest(stage, opened, identities), await control(FIRST));
  };
  const nothing = () => Promise.resolve();
  switch (name) {
    case "acquire":
      return {
        ...{ target, prepare: nothing, requests: BLOCKS, check: () => same(FIRST, into) },
        args: ["acquire", FIRST, ...into, ...pace],
      };
    case "acquire encrypted":
      return {
        ...{ target, prepare: nothing, requests: BLOCKS, check: sameOpened },
        args: ["acquire", FIRST, ...into, ...pace, "-r", recipient],
      };
    case "incremental":
      return {
        ...{ target, requests: CHANGED, check: () => same(SECOND, into) },
        prepare: () => copyFolder(`${stage.folder}/first`, target),
        args: ["acquire", SECOND, ...into, ...pace],
      };
    case "encrypt":
      return {
        ...{ target, prepare: nothing, requests: 0, check: sameOpened },
        args: ["encrypt", FIRST, "--to", target, "-r", recipient],
      };
    case "copy":
      return {
        ...{ target, prepare: nothing, requests: 0, check: () => same(FIRST, into) },
        args: ["copy", FIRST, "--to", target],
      };
    case "export":
      return {
        ...{ target, requests: 0, prepare: () => Deno.mkdir(target) },
        args: ["export", FIRST, "-o", `${target}/out.img`],
        image: `${target}/out.img`,
        // deno-lint-ignore require-await -- others wait
        check: async () => assert(isSame(`${stage.folder}/first.img`, `${target}/out.img`), "another image"),
      };
    case "export as VMDK":
      return {
        ...{ target, requests: 0, prepare: () => Deno.mkdir(target) },
        args: ["export", FIRST, "-o", `${target}/out`, "--format", "vmdk", "--split", "100MiB", ...WINDOWS],
        image: `${target}/out.vmdk`,
        check: () => sameDisk(stage, `${target}/out.vmdk`),
      };
    case "export as VHD":
      return {
        ...{ target, requests: 0, prepare: () => Deno.mkdir(target) },
        args: ["export", FIRST, "-o", `${target}/out`, "--format", "vhd", ...WINDOWS],
        image: `${target}/out.vhd`,
        check: () => sameDisk(stage, `${target}/out.vhd`),
      };
  }
}

const WINDOWS = ["--digest-window", "64KiB"] as const;

/** Every byte, every window, and nothing else beside them. */
async function sameDisk(stage: Stage, image: string): Promise<void> {
  const read = await stage.run(["verify", FIRST, "--read-back", image]);
  assertExit(read, 0);
  assertStringIncludes(read.stdout, `windows compared with ${image}.sha256.log`);
  const folder = image.slice(0, image.lastIndexOf("/"));
  // What tells how far it was may stay, where the kill came after the image's name.
  const left = [...Deno.readDirSync(folder)].filter(({ name }) => name.endsWith(".partial"));
  assertEquals(left, []);
}

/** One life: killed up to twelve times, then left to its end. Gives how often it was killed. */
async function liveOnce(
  stage: Stage,
  victim: Victim,
  life: { wholeMs: number; below: Below },
): Promise<number> {
  await victim.prepare();
  stage.getRequests();
  let kills = 0;
  const isDone = () => victim.image !== undefined && isThere(victim.image);
  for (let most = 1 + life.below(MOST_KILLS); most > 0 && !isDone(); most--) {
    const running = stage.start(victim.args);
    const timer = setTimeout(() => running.kill("SIGKILL"), life.below(life.wholeMs));
    const { exitCode, stderr } = await running.ended;
    clearTimeout(timer);
    assert(exitCode === 137 || exitCode === 0, `exit ${exitCode}\n${stderr}`);
    if (exitCode === 0) break;
    kills++;
  }
  if (!isDone()) assertExit(await stage.run(victim.args), 0);
  const requests = stage.getRequests();
  assertLessOrEqual(
    requests,
    victim.requests + kills * OPEN_BLOCKS,
    `${requests} requests after ${kills} kills`,
  );
  await victim.check();
  await Deno.remove(victim.target, { recursive: true });
  return kills;
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

async function prepareStage(stage: Stage): Promise<Keys> {
  for (const snapshot of [FIRST, SECOND]) {
    assertExit(await stage.run(["acquire", snapshot]), 0);
    if (snapshot === FIRST) await copyFolder(stage.store, `${stage.folder}/first`);
  }
  const { recipient, secret } = await makeIdentity("x25519");
  const identity = `${stage.folder}/identity`;
  await Deno.writeTextFile(identity, `${secret}\n`, { mode: 0o600 });
  return { recipient, identity, identities: await Identities.of([{ secret, place: identity }]) };
}

/** Kills each of the commands `kills` times, at least, and tells the counts. */
export async function storm(names: readonly CommandName[], kills: number): Promise<void> {
  const seed = Number(Deno.env.get("COLDCASE_SEED") ?? Date.now() % 2 ** 32);
  const below = seededBelow(seed);
  await withStage(async (folder) => {
    const indexes = Array.from({ length: BLOCKS }, (_, index) => 3 * index);
    await writeRandomBlocks(`${folder}/first.img`, indexes);
    await copyChanged(folder, indexes.slice(0, CHANGED));
    const of = (id: string, name: string) => ({ id, path: `${folder}/${name}.img`, volumeId: "vol-1" });
    return { snapshots: [of(FIRST, "first"), of(SECOND, "second")] };
  }, async (stage) => {
    const keys = await prepareStage(stage);
    for (const name of names) {
      const victim = victimOf(stage, name, keys);
      await victim.prepare();
      const startMs = performance.now();
      assertExit(await stage.run(victim.args), 0);
      const wholeMs = Math.ceil(performance.now() - startMs);
      await victim.check();
      await Deno.remove(victim.target, { recursive: true });
      let done = 0;
      let lives = 0;
      while (done < kills) {
        done += await liveOnce(stage, victim, { wholeMs, below });
        lives++;
      }
      // deno-lint-ignore no-console
      console.log(`${name}: ${done} kills in ${lives} lives, 0 violations, COLDCASE_SEED=${seed}`);
    }
  });
}

/** The second snapshot's image: the first with some blocks of other bytes. */
async function copyChanged(folder: string, indexes: readonly number[]): Promise<void> {
  await Deno.copyFile(`${folder}/first.img`, `${folder}/second.img`);
  const file = await Deno.open(`${folder}/second.img`, { write: true });
  try {
    for (const index of indexes) {
      await file.seek(index * 512 * 1024, Deno.SeekMode.Start);
      await file.write(crypto.getRandomValues(new Uint8Array(4096)));
    }
  } finally {
    file.close();
  }
}
