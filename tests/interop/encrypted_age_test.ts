/**
 * Encrypted stores with stock age: it opens every file, and what comes out is what a plain store has, byte for byte; it
 * opens the identity that a passphrase protects; coldcase reads packs that age encrypted again. And what nobody
 * may find without an identity is searched for in every byte of a store.
 */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { fromFileUrl } from "@std/path";
import { Buffer } from "node:buffer";
import config from "../../deno.json" with { type: "json" };
import { Identities, makeIdentity, type NewIdentity, openAge } from "../../src/cipher_age.ts";
import { encodeIdentityFile } from "../../src/cipher_age_files.ts";
import { sha256 } from "../../src/format/digests.ts";
import { openStore } from "../../src/store/mod.ts";
import { realDisk } from "../../src/world.ts";
import { FIRST, SECOND, type Stage, withStage } from "../e2e/endpoint.ts";
import { BLOCK_BYTES, every, isSame, writeRandomBlocks } from "../e2e/images.ts";
import { assertExit, assertRefusal, eventOf, summaryOf } from "../e2e/program.ts";
import { outside, toolPath } from "../outside.ts";
import { evidenceFiles, filesBelow, flipBit, testWorld } from "../store/fixtures.ts";

const BLOCKS = 12;

interface Pair {
  readonly stage: Stage;
  readonly identity: NewIdentity;
  /** Its file. */
  readonly key: string;
  readonly plain: string;
}

/** One snapshot in a plain and in an encrypted store; packs are closed where blocks were asked for one by one. */
function withPair(body: (pair: Pair) => Promise<void>): Promise<void> {
  return withStage(async (folder) => {
    await writeRandomBlocks(`${folder}/first.img`, every(3, { from: 0, count: BLOCKS }));
    await writeRandomBlocks(`${folder}/second.img`, [3, 7], `${folder}/first.img`);
    return {
      snapshots: [
        { id: FIRST, path: `${folder}/first.img`, volumeId: "vol-1" },
        { id: SECOND, path: `${folder}/second.img`, volumeId: "vol-1" },
      ],
    };
  }, async (stage) => {
    const identity = await makeIdentity("x25519");
    const key = `${stage.folder}/key.txt`;
    Deno.writeTextFileSync(key, encodeIdentityFile(identity, { atMs: 0 }), { mode: 0o600 });
    const plain = `${stage.folder}/plain`;
    for (const options of [["-s", plain], ["-r", identity.recipient]]) {
      const alone = ["--concurrency", "1", "--workers", "0"];
      assertExit(await stage.run(["acquire", FIRST, ...options, ...alone]), 0);
    }
    await body({ stage, identity, key, plain });
  });
}

async function age(...args: readonly string[]): Promise<Uint8Array> {
  const { code, stdout, stderr } = await new Deno.Command(toolPath("age")!, { args: [...args] }).output();
  assertEquals(code, 0, `age ${args.join(" ")}: ${new TextDecoder().decode(stderr)}`);
  return stdout;
}

const digestIn = (name: string) => /[0-9a-f]{64}/.exec(name)![0];

outside(
  "age opens every file of an encrypted store, and packs and segments are the plain store's",
  ["age"],
  () =>
    withPair(async ({ stage, key, plain }) => {
      const names = filesBelow(stage.store).filter((name) => name.endsWith(".age"));
      const opened = new Map<string, string>();
      for (const name of names) {
        assertEquals(sha256(Deno.readFileSync(`${stage.store}/${name}`)), digestIn(name));
        opened.set(name, sha256(await age("-d", "-i", key, `${stage.store}/${name}`)));
      }
      for (const kind of ["packs/", "segments/"]) {
        const expected = evidenceFiles(plain).filter((name) => name.startsWith(kind)).map(digestIn);
        const found = [...opened].filter(([name]) => name.startsWith(kind)).map(([, digest]) => digest);
        assert(expected.length > 0);
        assertEquals(found.sort(), expected.sort(), kind);
      }
      const kinds = ["packs/", "segments/", "documents/", "/manifest-", "/map-"];
      for (const kind of kinds) assert(names.some((name) => name.includes(kind)), `no ${kind} in ${names}`);
      // What the service said is a document of its own, the same in both stores but for when it was said.
      const manifest = names.find((name) => name.includes("/manifest-"))!;
      const said = JSON.parse(
        Buffer.from(await age("-d", "-i", key, `${stage.store}/${manifest}`)).toString(),
      );
      const shown = summaryOf(await stage.run(["info", FIRST, "--json", "-s", plain]));
      assertEquals(said.imageDigest, shown.imageDigest);
    }),
);

outside(
  "coldcase reads packs that age encrypted, anywhere in them",
  ["age"],
  () =>
    withPair(async ({ stage, identity, plain }) => {
      const identities = await Identities.of([{ secret: identity.secret, place: "test" }]);
      for (const name of evidenceFiles(plain).filter((name) => name.startsWith("packs/"))) {
        const path = `${stage.folder}/again.age`;
        await age("-r", identity.recipient, "-o", path, `${plain}/${name}`);
        const expected = Deno.readFileSync(`${plain}/${name}`);
        const reader = await openAge(realDisk.open(path, "read"), { identities, name });
        try {
          assertEquals(reader.sizeBytes(), expected.length);
          for (const offset of [0, 1, 65_535, 65_536, expected.length - 70_000, expected.length - 1]) {
            const into = new Uint8Array(70_000);
            const got = reader.read(into, offset);
            const wanted = expected.subarray(offset, offset + into.length);
            assertEquals(Buffer.compare(into.subarray(0, got), wanted), 0, `${name} at ${offset}`);
          }
        } finally {
          reader.close();
          Deno.removeSync(path);
        }
      }
    }),
);

/** age asks for the passphrase on its terminal, which python makes. */
const ASK = `
import os, pty, sys
passphrase, command = sys.argv[1], sys.argv[2:]
child, terminal = pty.fork()
if child == 0:
    os.execvp(command[0], command)
said = b""
answered = False
while True:
    try:
        part = os.read(terminal, 1024)
    except OSError:
        break
    if not part:
        break
    said += part
    if not answered and b"assphrase" in said:
        answered = True
        os.write(terminal, passphrase.encode() + b"\\n")
status = os.waitpid(child, 0)[1]
sys.stderr.write(said.decode(errors="replace"))
sys.exit(os.waitstatus_to_exitcode(status))
`;

outside(
  "age opens the identity that a passphrase protects, and with it every file",
  ["age", "python3"],
  () =>
    withStage(async (folder) => {
      await writeRandomBlocks(`${folder}/first.img`, every(3, { from: 0, count: 3 }));
      return { snapshots: [{ id: FIRST, path: `${folder}/first.img` }] };
    }, async (stage) => {
      const phrase = "correct horse battery staple";
      Deno.writeTextFileSync(`${stage.folder}/phrase`, `${phrase}\n`, { mode: 0o600 });
      const options = ["--passphrase", "--passphrase-file", `${stage.folder}/phrase`];
      assertExit(await stage.run(["acquire", FIRST, ...options]), 0);
      const protectedFile = filesBelow(stage.store).find((name) => name.endsWith(".identity.age"))!;
      const key = `${stage.folder}/key.txt`;
      const command = [toolPath("age")!, "-d", "-o", key, `${stage.store}/${protectedFile}`];
      const { code, stderr } = await new Deno.Command(toolPath("python3")!, {
        args: ["-c", ASK, phrase, ...command],
      })
        .output();
      assertEquals(code, 0, new TextDecoder().decode(stderr));
      assertStringIncludes(Deno.readTextFileSync(key), "AGE-SECRET-KEY-1");
      for (const name of filesBelow(stage.store)) {
        if (name.endsWith(".age") && name !== protectedFile) {
          await age("-d", "-i", key, `${stage.store}/${name}`);
        }
      }
      Deno.chmodSync(key, 0o600);
      assertExit(await stage.run(["verify", "-i", key, "--content"]), 0);
    }),
);

/** `coldcase` for a shell, as `deno task coldcase` starts it. */
function shellFunction(): string {
  const main = fromFileUrl(new URL("../../main.ts", import.meta.url));
  const words = config.tasks.coldcase.split(" ").slice(1).map((word) => word === "main.ts" ? main : word);
  return `coldcase() { ${[Deno.execPath(), ...words].map((word) => `'${word}'`).join(" ")} "$@"; }\n`;
}

outside(
  "the commands of README on encrypted evidence do what they say",
  ["age", "bash", "grep"],
  () =>
    withStage(async (folder) => {
      await writeRandomBlocks(`${folder}/first.img`, every(3, { from: 0, count: 3 }));
      return { snapshots: [{ id: FIRST, path: `${folder}/first.img` }] };
    }, async (stage) => {
      const readme = Deno.readTextFileSync(new URL("../../README.md", import.meta.url));
      const block = readme.match(/```sh\n(coldcase keygen -o examiner.age [\s\S]*?)```/)?.[1];
      assert(block !== undefined, "README has no such commands");
      const commands = block.replaceAll("snap-0123456789abcdef0", FIRST);
      const { code, stdout, stderr } = await new Deno.Command(toolPath("bash")!, {
        args: ["-euo", "pipefail", "-c", shellFunction() + commands],
        cwd: stage.folder,
        env: { ...stage.env, XDG_CONFIG_HOME: `${stage.folder}/config` },
      }).output();
      assertEquals(code, 0, new TextDecoder().decode(stderr));
      const said = new TextDecoder().decode(stdout);
      for (const text of ["OUTER LEVEL ONLY", "VERIFIED: every byte"]) assertStringIncludes(said, text);
      assert(isSame(`${stage.folder}/first.img`, `${stage.folder}/disk.img`));
      const { imageDigest } = JSON.parse(Deno.readTextFileSync(`${stage.folder}/manifest.json`));
      const shown = await stage.run(["info", FIRST, "-i", `${stage.folder}/deputy.age`, "--json"]);
      assertEquals(summaryOf(shown).imageDigest, imageDigest);
    }),
);

outside(
  "export -r gives one age stream, to a file or stdout, and nothing plain beside it",
  ["age"],
  () =>
    withPair(async ({ stage, key, plain, identity }) => {
      const out = `${stage.folder}/disk.img.age`;
      const args = ["export", FIRST, "-r", identity.recipient, "-o"];
      const first = await stage.run([...args, out, "-s", plain, "--json"]);
      assertExit(first, 0);
      const opened = `${stage.folder}/opened.img`;
      await age("-d", "-i", key, "-o", opened, out);
      assert(isSame(`${stage.folder}/first.img`, opened));
      const { digests, path } = eventOf(first, "summary");
      assertEquals([path, (digests as { sha256: string }).sha256], [out, sha256(Deno.readFileSync(opened))]);
      Deno.removeSync(opened);
      const beside = () =>
        [...Deno.readDirSync(stage.folder)].map(({ name }) => name).filter((name) => /disk/.test(name));
      assertEquals(beside(), ["disk.img.age"], "no log, no map, no part");
      assertRefusal(await stage.run([...args, out, "-s", plain]), {
        exitCode: 2,
        names: ["there is a file of that name"],
        hints: ["--overwrite"],
      });
      const before = Deno.readFileSync(out).slice(0, 400);
      assertExit(await stage.run([...args, out, "--overwrite", "-i", key]), 0);
      assert(Buffer.compare(before, Deno.readFileSync(out).slice(0, 400)) !== 0, "not written anew");
      await age("-d", "-i", key, "-o", opened, out);
      assert(isSame(`${stage.folder}/first.img`, opened));
      // What breaks off leaves nothing of its own, and what was there.
      const pack = filesBelow(plain).find((name) => name.startsWith("packs/"))!;
      flipBit(`${plain}/${pack}`, 300_000);
      const broken = await stage.run([...args, `${stage.folder}/other.age`, "-s", plain]);
      assertExit(broken, 20);
      assertEquals([...Deno.readDirSync(stage.folder)].filter(({ name }) => name.startsWith("other")), []);
    }),
);

/** What is searched for: by what it is, the bytes. */
type Wanted = ReadonlyMap<string, Buffer>;

/** Every form in which the digest could be written. */
function formsOf(what: string, hex: string): [string, Buffer][] {
  const raw = Buffer.from(hex, "hex");
  return [
    [`${what} in hexadecimal`, Buffer.from(hex)],
    [`${what} in base64`, Buffer.from(raw.toString("base64").slice(0, 42))],
    [`${what} in base64url`, Buffer.from(raw.toString("base64url").slice(0, 42))],
    [`${what} raw`, raw],
  ];
}

/** All digests of contents that a plain store tells, and pieces of the image. */
async function secretsOf({ stage, plain }: Pair): Promise<Wanted> {
  const store = await openStore(testWorld(), plain);
  try {
    const exhibit = await store.exhibit((await store.exhibitIds())[0]!);
    const { manifest } = exhibit;
    const digests = new Map<string, string>([["image digest", manifest.imageDigest]]);
    const image = Deno.readFileSync(`${stage.folder}/first.img`);
    const pieces: [string, Buffer][] = [];
    for (let block = 0; block < image.length / BLOCK_BYTES; block++) {
      const bytes = image.subarray(block * BLOCK_BYTES, (block + 1) * BLOCK_BYTES);
      if (bytes.every((byte) => byte === 0)) continue;
      digests.set(`block ${block}`, sha256(bytes));
      for (const offset of [0, 4096, 100_003, BLOCK_BYTES - 64]) {
        pieces.push([`64 bytes of block ${block}`, Buffer.from(bytes.subarray(offset, offset + 64))]);
      }
    }
    for (const [position, digest] of manifest.segments.entries()) digests.set(`segment ${position}`, digest);
    return new Map([...[...digests].flatMap(([what, hex]) => formsOf(what, hex)), ...pieces]);
  } finally {
    store.close();
  }
}

/** Digests that only the encrypted exhibit has: of its own manifest and documents. */
async function ownSecrets({ stage, identity }: Pair): Promise<Wanted> {
  const identities = await Identities.of([{ secret: identity.secret, place: "test" }]);
  const store = await openStore(testWorld(), stage.store, { identities });
  try {
    const wanted: [string, Buffer][] = [];
    for (const id of await store.exhibitIds()) {
      const { manifest, manifestDigest } = await store.exhibit(id);
      wanted.push(...formsOf("manifest", manifestDigest), ...formsOf("image digest", manifest.imageDigest));
      for (const [what, digest] of Object.entries(manifest.acquisition.documents)) {
        if (digest !== null) wanted.push(...formsOf(what, digest));
      }
      for (const digest of manifest.segments) wanted.push(...formsOf("segment", digest));
    }
    return new Map(wanted);
  } finally {
    store.close();
  }
}

/** What of it is in the bytes or the names of files below a folder. */
function found(folder: string, wanted: Wanted): Set<string> {
  const all = new Set<string>();
  for (const name of filesBelow(folder)) {
    const bytes = Buffer.concat([Buffer.from(`${name}\n`), Deno.readFileSync(`${folder}/${name}`)]);
    for (const [what, piece] of wanted) if (bytes.includes(piece)) all.add(`${what}: ${name}`);
  }
  return all;
}

Deno.test("nothing of the contents is in the clear after a commit, neither bytes nor digests", () =>
  withPair(async (pair) => {
    const { stage, identity, key, plain } = pair;
    const wanted = await secretsOf(pair);
    const inPlain = [...found(plain, wanted)];
    for (const what of ["image digest in hex", "block 0 raw", "segment 0 in hex", "64 bytes of block 3"]) {
      assert(
        inPlain.some((place) => place.startsWith(what)),
        `the search does not find ${what} in a plain store`,
      );
    }
    // An addendum, a second exhibit through an interruption, a verification and a copy leave nothing either.
    const out = `${stage.folder}/out.img`;
    assertExit(await stage.run(["export", FIRST, "-i", key, "-o", out, "--digests", "sha256,md5"]), 0);
    const image = sha256(Deno.readFileSync(out));
    const running = await stage.startHeldAfter(6, [
      "acquire",
      SECOND,
      "-r",
      identity.recipient,
      "-i",
      key,
      "--parent",
      "none",
      "--concurrency",
      "1",
    ]);
    running.kill("SIGINT");
    assertExit(await running.ended, 130);
    stage.release();
    const journal = `${stage.store}/journal`;
    const inJournal = [...found(journal, wanted)];
    assert(inJournal.some((place) => /^block \d+ raw: .*\/blocks$/.test(place)), `journal: ${inJournal}`);
    assertEquals(
      inJournal.filter((place) => place.startsWith("64 bytes")),
      [],
      "the journal has no contents",
    );
    const resumed = ["acquire", SECOND, "-r", identity.recipient, "--concurrency", "1"];
    assertExit(await stage.run([...resumed, "--parent", "none"]), 0);
    assertExit(await stage.run(["verify", "-i", key]), 0);
    assertExit(await stage.run(["copy", FIRST, "--to", `${stage.folder}/copied`]), 0);
    const all = new Map([...wanted, ...await ownSecrets(pair), ...formsOf("image's SHA-256", image)]);
    for (const folder of [stage.store, `${stage.folder}/copied`]) {
      assert(filesBelow(folder).length > 15);
      assertEquals([...found(folder, all)], [], folder);
    }
  }));
