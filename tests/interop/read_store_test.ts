/**
 * A reader that shares no code with coldcase, scripts/read_store.py, must read what the code writes, and refuse what was
 * changed.
 */
import { createHash } from "node:crypto";
import { assert, assertEquals, assertMatch } from "@std/assert";
import { fromFileUrl } from "@std/path";
import { EXAMPLE_BLOCKS, exampleKey, makeExampleStore } from "../../scripts/example_store.ts";
import { sha256 } from "../../src/format/digests.ts";
import type { SigningKey } from "../../src/keys.ts";
import type { Digest, SnapshotId, VerifiedBlock, World } from "../../src/model.ts";
import { type CommitFacts, type Exhibit, openStore, openStoreForWriting } from "../../src/store/mod.ts";
import { volumeShape } from "../../src/units.ts";
import { realWorld } from "../../src/world.ts";
import { outside, toolPath } from "../outside.ts";

const READER = fromFileUrl(new URL("../../scripts/read_store.py", import.meta.url));
const EXAMPLE = "ex-000000000000002a";
const NEEDS = ["python3", "zstd", "ssh-keygen"];
const SIGNER = "SHA256:1Lt0B6m58n9i5yp9hABit7qhCJ/7aR7kRxt8QRziO8k";

interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

async function run(
  program: string,
  args: readonly string[],
  options: { readonly cwd?: string; readonly env?: Record<string, string> } = {},
): Promise<Ended> {
  const { code, stdout, stderr } = await new Deno.Command(program, { args: [...args], ...options }).output();
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

/** Names of all files below a folder. */
function allFiles(root: string, folder = ""): string[] {
  return [...Deno.readDirSync(`${root}/${folder}`)].flatMap(({ name, isDirectory }) =>
    isDirectory ? allFiles(root, `${folder}${name}/`) : [`${folder}${name}`]
  );
}

/** Every file of the store that evidence rests on; raw signatures repeat what the others say. */
function evidenceFiles(root: string): string[] {
  const pattern = /^(packs|segments|documents|exhibits)\/.*(?<!\.ed25519)$|^store\.json$/;
  return allFiles(root).filter((name) => pattern.test(name)).sort();
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
    assert(stderr.includes(`; signed by ${SIGNER}\n`), stderr);
    assertEquals(code, 0);
    await assertImage(`${folder}/image`, EXAMPLE_BLOCKS, { blockBytes: 512, volumeBytes: 2 ** 30 });
    assert((Deno.statSync(`${folder}/image`).blocks ?? 0) * 512 < 1 << 20, "the image is not sparse");
  }));

outside("read_store.py says so where it can't check signatures", NEEDS, () =>
  withFolder(async (folder) => {
    await makeExampleStore(`${folder}/store`);
    Deno.mkdirSync(`${folder}/bin`);
    Deno.symlinkSync(toolPath("zstd")!, `${folder}/bin/zstd`);
    const python = await run(toolPath("python3")!, ["-c", "import sys; print(sys.executable)"]);
    const { code, stderr } = await run(
      python.stdout.trim(),
      [READER, `${folder}/store`, EXAMPLE, `${folder}/image`],
      { env: { PATH: `${folder}/bin` } },
    );
    assertMatch(stderr, /SIGNATURES NOT CHECKED/);
    assertEquals(code, 0);
  }));

outside("read_store.py takes the newest inventory that is signed", NEEDS, () =>
  withFolder(async (folder) => {
    const store = `${folder}/store`;
    await makeExampleStore(store);
    const old = evidenceFiles(store).find((name) => /\/inventory-[0-9a-f]+\.txt$/.test(name))!;
    const text = Deno.readTextFileSync(`${store}/${old}`)
      .replace(/^committed .*$/m, "committed 2027-01-01T00:00:00.000Z")
      .replace(/^831 packs.*\n/m, "").replace("files 8", "files 7");
    const digest = sha256(new TextEncoder().encode(text));
    const name = `exhibits/${EXAMPLE}/inventory-${digest}.txt`;
    Deno.writeTextFileSync(`${store}/${name}`, text);
    assertEquals((await read(store, EXAMPLE, `${folder}/image`)).code, 0, "an unsigned inventory counts");
    Deno.removeSync(`${folder}/image`);
    const signature = evidenceFiles(store).find((file) => /\/inventory-.*\.sshsig$/.test(file))!;
    const other = name.replace(".txt", signature.slice(signature.indexOf(".")));
    Deno.copyFileSync(`${store}/${signature}`, `${store}/${other}`);
    const { code, stderr } = await read(store, EXAMPLE, `${folder}/image`);
    assertEquals(code, 20, stderr);
    assert(stderr.includes(`${other}: does not hold`), stderr);
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
      Deno.readTextFileSync(`${folder}/store/store.json`).replace('"readVersion":1', '"readVersion":2'),
    );
    const { code, stderr } = await read(`${folder}/store`, EXAMPLE, `${folder}/image`);
    assertMatch(stderr, /has version 2/);
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
        // Documents are compared with their names before they are read; store.json and signatures have none.
        const codes = name === "store.json" || name.endsWith(".sshsig") ? [20, 21] : [20];
        assert(codes.includes(after.code), `${name}: ${after.code} ${after.stderr}`);
        assert(after.stderr.includes(name), after.stderr);
        Deno.removeSync(path);
        const without = await read(store, EXAMPLE, `${folder}/image`);
        const isEntrance = name === "store.json" || name.includes("/inventory-"); // or its only signature
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

function facts(key: SigningKey): CommitFacts {
  const { hostname, operatingSystem, user } = { hostname: "h", operatingSystem: "o", user: "u" };
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
    tool: { digest: null, name: "coldcase", runtime: "", version: "0" },
    key,
    descriptionResult: "not_permitted",
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
    const caller = { callerAccount: null, callerArn: null, callerUserId: null, credentialSource: null };
    const session = { ...caller, commandLine: [], examiner: null, proxy: null };
    const counts = { clockSkewMs: null, credentialChanges: 0, firstRequestId: null, lastRequestId: null };
    const none = {
      eventsLeftOut: 0,
      getRequests: 0,
      listRequests: 0,
      otherRequests: 0,
      receivedBytes: 0,
      retries: 0,
      throttles: 0,
    };
    const startedAt = new Date(world.clock.nowMs()).toISOString();
    const known = facts(await exampleKey(world));
    await acquisition.startSession(
      { ...session, destination: known.destination, host: known.host, startedAt, tool: known.tool },
      { counts: () => ({ ...counts, ...none }), takeEvents: () => [] },
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
    await acquisition.commit(known);
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
        const key = await exampleKey(world);
        await from.copyTo(to, exhibit, { key, signal: new AbortController().signal });
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
