/**
 * Readers that share no code with coldcase: scripts/read_store.py, and the shell recipes of store-format.md as
 * they stand there. Both must read what the code writes, and refuse what was changed.
 */
import { createHash } from "node:crypto";
import { assert, assertEquals, assertMatch } from "@std/assert";
import { fromFileUrl } from "@std/path";
import { EXAMPLE_BLOCKS, makeExampleStore } from "../../scripts/format_example.ts";
import { sha256 } from "../../src/format/digests.ts";
import type { Digest, SnapshotId, VerifiedBlock, World } from "../../src/model.ts";
import { type CommitFacts, type Exhibit, openStore, openStoreForWriting } from "../../src/store/mod.ts";
import { volumeShape } from "../../src/units.ts";
import { realWorld } from "../../src/world.ts";
import { outside, toolPath } from "../outside.ts";

const READER = fromFileUrl(new URL("../../scripts/read_store.py", import.meta.url));
const DOCUMENT = fromFileUrl(new URL("../../store-format.md", import.meta.url));
const EXAMPLE = "ex-000000000000002a";
const NEEDS = ["python3", "zstd"];

interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

async function run(program: string, args: readonly string[], cwd?: string): Promise<Ended> {
  const { code, stdout, stderr } = await new Deno.Command(program, {
    args: [...args],
    ...(cwd === undefined ? {} : { cwd }),
  }).output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { code, stdout: text(stdout), stderr: text(stderr) };
}

const read = (store: string, exhibit: string, output: string) =>
  run(toolPath("python3")!, [READER, store, exhibit, output]);

async function withFolder(test: (folder: string) => Promise<void>): Promise<void> {
  const folder = Deno.makeTempDirSync();
  try {
    await test(folder);
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
}

/** Every file of the store that evidence rests on. */
function evidenceFiles(root: string, folder = ""): string[] {
  return [...Deno.readDirSync(`${root}/${folder}`)].flatMap(({ name, isDirectory }) =>
    isDirectory ? evidenceFiles(root, `${folder}${name}/`) : [`${folder}${name}`]
  ).filter((name) => /^(packs|segments|documents|exhibits)\/|^store\.json$/.test(name)).sort();
}

/** Compares an image of mostly zeros with the blocks that it must have. */
async function assertImage(path: string, blocks: ReadonlyMap<number, Uint8Array>, sizes: {
  readonly blockBytes: number;
  readonly volumeBytes: number;
}): Promise<void> {
  assertEquals(Deno.statSync(path).size, sizes.volumeBytes);
  const expected = createHash("sha256");
  const zeros = new Uint8Array(1 << 24);
  let next = 0;
  const zerosUpTo = (offset: number) => {
    for (; next < offset; next += Math.min(zeros.length, offset - next)) {
      expected.update(zeros.subarray(0, Math.min(zeros.length, offset - next)));
    }
  };
  for (const [index, bytes] of [...blocks].sort(([a], [b]) => a - b)) {
    zerosUpTo(index * sizes.blockBytes);
    expected.update(bytes);
    next += bytes.length;
  }
  zerosUpTo(sizes.volumeBytes);
  const actual = createHash("sha256");
  using file = await Deno.open(path);
  const piece = new Uint8Array(1 << 24);
  for (let got = file.readSync(piece); got !== null; got = file.readSync(piece)) {
    actual.update(piece.subarray(0, got));
  }
  assertEquals(actual.digest("hex"), expected.digest("hex"), "the image differs");
}

outside("read_store.py writes the example's image", NEEDS, () =>
  withFolder(async (folder) => {
    await makeExampleStore(`${folder}/store`);
    const { code, stderr } = await read(`${folder}/store`, EXAMPLE, `${folder}/image`);
    assertMatch(stderr, /verified; 2097146 absent, 1 zero, 4 stored, 1 unreadable/);
    assertEquals(code, 0);
    await assertImage(`${folder}/image`, EXAMPLE_BLOCKS, { blockBytes: 512, volumeBytes: 2 ** 30 });
    assert((Deno.statSync(`${folder}/image`).blocks ?? 0) * 512 < 1 << 20, "the image is not sparse");
  }));

outside("read_store.py tells a wrong call from a wrong store", NEEDS, () =>
  withFolder(async (folder) => {
    await makeExampleStore(`${folder}/store`);
    const calls: [string[], number][] = [
      [[], 2],
      [[`${folder}/store`, "snap-0123456789abcdef0", `${folder}/image`], 2],
      [[`${folder}/store`, EXAMPLE, `${folder}/store`], 2],
      [[`${folder}/nothing`, EXAMPLE, `${folder}/image`], 2],
      [[`${folder}/store`, "ex-00000000000000ff", `${folder}/image`], 2],
    ];
    for (const [args, expected] of calls) {
      assertEquals((await run(toolPath("python3")!, [READER, ...args])).code, expected, args.join(" "));
    }
    Deno.writeTextFileSync(
      `${folder}/store/store.json`,
      Deno.readTextFileSync(`${folder}/store/store.json`).replace('"readVersion":0', '"readVersion":1'),
    );
    const { code, stderr } = await read(`${folder}/store`, EXAMPLE, `${folder}/image`);
    assertMatch(stderr, /has version 1/);
    assertEquals(code, 21);
  }));

outside(
  "read_store.py refuses a changed byte and a missing file of each kind",
  NEEDS,
  () =>
    withFolder(async (folder) => {
      const store = `${folder}/store`;
      await makeExampleStore(store);
      for (const name of evidenceFiles(store)) {
        const path = `${store}/${name}`;
        const whole = Deno.readFileSync(path);
        const changed = whole.slice();
        changed[changed.length >> 1]! ^= 1;
        Deno.writeFileSync(path, changed);
        const after = await read(store, EXAMPLE, `${folder}/image`);
        assertEquals(after.code, name === "store.json" ? 21 : 20, `${name}: ${after.stderr}`);
        assert(after.stderr.includes(name), after.stderr);
        Deno.removeSync(path);
        const without = await read(store, EXAMPLE, `${folder}/image`);
        const isEntrance = name === "store.json" || name.includes("/inventory-");
        assertEquals(without.code, isEntrance ? 2 : 20, `${name}: ${without.stderr}`);
        Deno.writeFileSync(path, whole);
      }
      assertEquals((await read(store, EXAMPLE, `${folder}/image`)).code, 0);
    }),
);

// ------------------------------------------------------------------------------------ whole acquisitions

const BLOCK_BYTES = 64 * 1024;
const VOLUME_BYTES = 2 ** 30;

function contents(seed: number): Uint8Array {
  const bytes = new Uint8Array(BLOCK_BYTES);
  if (seed % 3 === 0) return bytes.fill(seed % 251 + 1);
  let state = seed * 2654435761 >>> 0;
  for (let at = 0; at < bytes.length; at++) {
    state = (state * 1664525 + 1013904223) >>> 0;
    bytes[at] = state >>> 24;
  }
  return bytes;
}

function facts(): CommitFacts {
  const { hostname, operatingSystem, user } = { hostname: "h", operatingSystem: "o", user: "u" };
  const nothing = {
    completedAt: null,
    description: null,
    encrypted: null,
    kmsKeyId: null,
    ownerAccount: null,
  };
  return {
    case: {
      authority: null,
      case: null,
      evidence: null,
      examiner: "É. \u{1F50D}\n",
      notes: null,
      organization: null,
    },
    destination: { fileSystem: "test", path: "/test" },
    unsafeFileSystem: false,
    host: { hostname, operatingSystem, user },
    toolVersion: "0",
    snapshot: { ...nothing, startedAt: null, storageTier: null, volumeId: null },
    description: undefined,
    isPartial: false,
    rest: "absent",
  };
}

/** Acquires `blocks` as they are now (`undefined`: gone since the parent) and gives the exhibit's id. */
async function acquire(world: World, root: string, job: {
  readonly snapshot: string;
  readonly parent?: string;
  readonly blocks: ReadonlyMap<number, Uint8Array | undefined>;
  readonly listed: readonly number[];
}): Promise<string> {
  const shape = volumeShape({ blockSizeBytes: BLOCK_BYTES, volumeSizeGib: 1 });
  if (typeof shape === "string") throw new Error(shape);
  const store = await openStoreForWriting(world, root, { unsafeFileSystem: true });
  try {
    const parent = job.parent === undefined ? undefined : await store.exhibit(job.parent as Exhibit["id"]);
    const source = { kind: "aws-ebs", endpoint: "http://test", isAws: false, region: "r" } as const;
    const acquisition = await store.begin({
      source: { ...source, snapshot: job.snapshot as SnapshotId },
      shape,
      parent,
      supersedes: undefined,
    });
    const session = { callerArn: null, commandLine: [], examiner: null, toolVersion: "0" };
    const counts = { clockSkewMs: null, credentialChanges: 0, firstRequestId: null, lastRequestId: null };
    const none = { getRequests: 0, listRequests: 0, receivedBytes: 0, retries: 0, throttles: 0 };
    const startedAt = new Date(world.clock.nowMs()).toISOString();
    await acquisition.startSession(
      { ...session, host: facts().host, startedAt },
      () => ({ ...counts, ...none }),
    );
    for (const [index, bytes] of job.blocks) {
      if (!bytes) await acquisition.putAbsent(index);
      else {
        const block = { kind: "verified", digest: sha256(bytes), bytes: bytes.slice() };
        await acquisition.put(index, block as unknown as VerifiedBlock);
      }
      if (index % 100 === 0) await acquisition.flush();
    }
    await acquisition.noteListing({ blocks: job.listed.length, digest: "0".repeat(64) as Digest });
    await acquisition.commit(facts());
    return acquisition.head.exhibit;
  } finally {
    store.close();
  }
}

outside(
  "read_store.py reads a full exhibit, one built on it, and a copy",
  NEEDS,
  () =>
    withFolder(async (folder) => {
      const world = realWorld();
      const store = `${folder}/store`;
      const blocks = new Map<number, Uint8Array>();
      for (let index = 0; index < 16_384; index += 61) blocks.set(index, contents(index % 130));
      blocks.set(16_383, new Uint8Array(BLOCK_BYTES));
      const first = await acquire(world, store, {
        snapshot: "snap-00000001",
        blocks,
        listed: [...blocks.keys()],
      });
      const changes = new Map<number, Uint8Array | undefined>([[0, contents(1000)], [61, undefined], [
        62,
        contents(1001),
      ]]);
      const after = new Map(blocks);
      for (const [index, bytes] of changes) bytes ? after.set(index, bytes) : after.delete(index);
      const second = await acquire(world, store, {
        snapshot: "snap-00000002",
        parent: first,
        blocks: changes,
        listed: [...after.keys()],
      });
      const copied = `${folder}/copy`;
      const from = await openStore(world, store);
      const to = await openStoreForWriting(world, copied, { unsafeFileSystem: true });
      try {
        const exhibit = await from.exhibit(second as Exhibit["id"]);
        await from.copyTo(to, exhibit, { signal: new AbortController().signal });
      } finally {
        from.close();
        to.close();
      }
      for (
        const [root, id, expected] of [[store, first, blocks], [store, second, after], [
          copied,
          second,
          after,
        ]] as const
      ) {
        const image = `${folder}/image`;
        const { code, stderr } = await read(root, id, image);
        assertEquals(code, 0, stderr);
        await assertImage(image, expected, { blockBytes: BLOCK_BYTES, volumeBytes: VOLUME_BYTES });
        Deno.removeSync(image);
      }
    }),
);

// ------------------------------------------------------------------------------------------- the recipes

/** The shell code below `<!-- recipe: NAME -->`. */
function recipe(name: string): string {
  const text = Deno.readTextFileSync(DOCUMENT);
  const code = text.split(`<!-- recipe: ${name} -->`)[1]?.match(/^\n+```sh\n([\s\S]*?)```\n/)?.[1];
  assert(code !== undefined, `store-format.md has no recipe "${name}"`);
  return code;
}

outside(
  "store-format.md's recipes check and read the example's store",
  ["bash", "jq", "zstd"],
  () =>
    withFolder(async (root) => {
      await makeExampleStore(root);
      const runs = async (name: string) => {
        const { code, stdout, stderr } = await run("bash", ["-euc", recipe(name)], root);
        assertEquals([code, stderr], [0, ""], name);
        return stdout;
      };
      const [computed, stated] = (await runs("image digest")).trim().split("\n");
      assertEquals(computed, `${stated}  -`);
      assertEquals(await runs("inventory"), "");
      assertEquals(await runs("all files"), "");
      const noise = sha256(EXAMPLE_BLOCKS.get(4)!);
      const text = sha256(EXAMPLE_BLOCKS.get(1)!);
      assertEquals(await runs("block"), `block 4: ${noise}\n${noise}  -\n`);
      const other = recipe("block").replace("block=4", "block=16384");
      assertEquals((await run("bash", ["-euc", other], root)).stdout, `block 16384: ${text}\n${text}  -\n`);
      assertEquals(await runs("records"), `16 0 ${noise}\n584 1 ${text}\n`);
      for (const name of evidenceFiles(root).filter((file) => file !== "store.json")) {
        const whole = Deno.readFileSync(`${root}/${name}`);
        Deno.writeFileSync(
          `${root}/${name}`,
          whole.map((byte, at) => at === whole.length - 2 ? byte ^ 1 : byte),
        );
        for (const check of ["inventory", "all files"]) {
          const { stdout } = await run("bash", ["-c", recipe(check)], root);
          assert(stdout.includes(`${name}: FAILED`), `${check}: ${name}`);
        }
        Deno.writeFileSync(`${root}/${name}`, whole);
      }
    }),
);
