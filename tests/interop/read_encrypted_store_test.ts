/**
 * scripts/read_store.py, which shares no code with coldcase, reads an encrypted store through the `age` command: full
 * exhibits and incremental ones, and refuses what was changed, also where the change was encrypted and signed for.
 */
import { assert, assertEquals } from "@std/assert";
import { fromFileUrl } from "@std/path";
import { encodeIdentityFile } from "../../src/cipher_age_files.ts";
import { Identities, makeIdentity } from "../../src/cipher_age.ts";
import { sha256 } from "../../src/format/digests.ts";
import type { ExhibitId } from "../../src/model.ts";
import { openStoreForWriting } from "../../src/store/mod.ts";
import { outside, toolPath } from "../outside.ts";
import { SecondReader } from "../second_reader.ts";
import {
  acquire,
  filesBelow,
  flipBit,
  LATER,
  noise,
  pattern,
  shapeOf,
  testWorld,
  type Volume,
  withFolder,
} from "../store/fixtures.ts";

const NEEDS = ["python3", "zstd", "ssh-keygen", "age"];
const BLOCK = 1 << 16;

const FIRST: Volume = new Map<number, Uint8Array | "unreadable">([
  [0, noise(1, BLOCK)],
  [1, pattern(2, BLOCK)],
  [5, "unreadable"],
  [7, new Uint8Array(BLOCK)],
  [8, noise(1, BLOCK)],
  [9000, noise(3, BLOCK)],
]);
const SECOND: Volume = new Map([...FIRST, [1, noise(9, BLOCK)], [100, pattern(77, BLOCK)]]);

interface MadeStore {
  readonly path: string;
  readonly identity: string;
  readonly exhibits: readonly [ExhibitId, ExhibitId];
}

/** An encrypted store with an exhibit and one that is built on it, and the file that opens it. */
async function makeStore(folder: string): Promise<MadeStore> {
  const made = await makeIdentity("x25519");
  const identity = `${folder}/key.txt`;
  Deno.writeTextFileSync(identity, encodeIdentityFile(made, { atMs: 0 }), { mode: 0o600 });
  const path = `${folder}/store`;
  const store = await openStoreForWriting(testWorld(), path, {
    identities: await Identities.of([{ secret: made.secret, place: "the test" }]),
    recipients: { contents: [made.recipient], lineage: null },
  });
  try {
    const shape = shapeOf(BLOCK);
    const first = await acquire(store, { volume: FIRST, shape, flushEvery: 2 });
    const parent = await store.exhibit(first);
    const order = { volume: SECOND, parentVolume: FIRST, parent, snapshot: LATER, shape };
    return { path, identity, exhibits: [first, await acquire(store, order)] };
  } finally {
    store.close();
  }
}

function digestOfImage(volume: Volume): string {
  const image = new Uint8Array(1 << 30);
  for (const [index, bytes] of volume) if (bytes instanceof Uint8Array) image.set(bytes, index * BLOCK);
  return sha256(image);
}

outside(
  "read_store.py reads an encrypted store through age, and without an identity says what it lacks",
  NEEDS,
  () =>
    withFolder(async (folder) => {
      const { path, identity, exhibits } = await makeStore(folder);
      const reader = new SecondReader();
      try {
        const output = `${folder}/image`;
        for (const [nth, volume] of [FIRST, SECOND].entries()) {
          const { code, stderr } = await reader.read(
            { store: path, exhibit: exhibits[nth]!, identity },
            output,
          );
          assertEquals(code, 0, stderr);
          assertEquals(sha256(Deno.readFileSync(output)), digestOfImage(volume));
          Deno.removeSync(output);
        }
        const closed = await reader.read({ store: path, exhibit: exhibits[0] }, output);
        assertEquals(closed.code, 2);
        assert(closed.stderr.includes("no IDENTITY was given"), closed.stderr);
      } finally {
        await reader.close();
      }
    }),
);

outside(
  "read_store.py refuses a changed byte in each file of an encrypted exhibit",
  NEEDS,
  () =>
    withFolder(async (folder) => {
      const { path, identity, exhibits: [exhibit] } = await makeStore(folder);
      const reader = new SecondReader();
      try {
        const own = filesBelow(path).filter((name) => name.includes(exhibit));
        const inventory = Deno.readTextFileSync(`${path}/${own.find((name) => name.endsWith(".txt"))}`);
        const listed = inventory.split("\n").slice(9, -1).map((line) => line.split(" ")[1]!);
        assert(listed.length >= 8 && listed.every((name) => name.endsWith(".age")), inventory);
        for (const name of new Set([...listed, ...own.filter((one) => /\.(?:txt|sshsig)$/.test(one))])) {
          const middle = Math.floor(Deno.statSync(`${path}/${name}`).size / 2);
          flipBit(`${path}/${name}`, middle);
          const { code } = await reader.read({ store: path, exhibit, identity }, `${folder}/image`);
          flipBit(`${path}/${name}`, middle);
          assert(code === 20 || code === 21, `${name}: ${code}`);
        }
      } finally {
        await reader.close();
      }
    }),
);

outside(
  "read_pack.py lists the records of a pack that age decrypted",
  NEEDS,
  () =>
    withFolder(async (folder) => {
      const { path, identity } = await makeStore(folder);
      const pack = filesBelow(path).find((name) => name.endsWith(".pack.age"))!;
      const run = async (tool: string, ...args: string[]) => {
        const { code, stdout, stderr } = await new Deno.Command(toolPath(tool)!, { args }).output();
        assertEquals(code, 0, new TextDecoder().decode(stderr));
        return new TextDecoder().decode(stdout);
      };
      await run("age", "-d", "-i", identity, "-o", `${folder}/one.pack`, `${path}/${pack}`);
      const script = fromFileUrl(new URL("../../scripts/read_pack.py", import.meta.url));
      const listed = (await run("python3", script, `${folder}/one.pack`, String(BLOCK))).trim().split("\n");
      const known = new Set(
        [...FIRST.values(), ...SECOND.values()].map((bytes) =>
          bytes instanceof Uint8Array ? sha256(bytes) : ""
        ),
      );
      for (const line of listed) assert(known.has(line.split(" ")[0] as ReturnType<typeof sha256>), line);
      assert(listed.length >= 1);
    }),
);
