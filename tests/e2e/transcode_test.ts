/**
 * `encrypt` and `decrypt` as their users start them: there and back, with custody and receipts in both stores; what
 * they refuse, by exit code; what the custody log tells of contents, which is nothing.
 */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { makeIdentity } from "../../src/cipher_age.ts";
import { sha256 } from "../../src/format/digests.ts";
import type { ExhibitId } from "../../src/model.ts";
import {
  acquireAt,
  evidenceFiles,
  FACTS,
  filesBelow,
  flipBit,
  LATER,
  noise,
  reading,
  shapeOf,
  SNAPSHOT,
  withFolder,
} from "../store/fixtures.ts";
import { assertExit, assertRefusal, coldcase, type Ended, eventsOf } from "./program.ts";

const BLOCK = 1 << 16;
const SHAPE = shapeOf(BLOCK);

interface Stage {
  /** Ids of the two exhibits of the plain store. */
  readonly ids: readonly [ExhibitId, ExhibitId];
  readonly folder: string;
  readonly plain: string;
  readonly secret: string;
  readonly back: string;
  readonly recipient: string;
  /** The identity's file. */
  readonly identity: string;
  run(...args: string[]): Promise<Ended>;
}

/** A plain store with two exhibits of different contents, and an identity's file. */
async function withStage(body: (stage: Stage) => Promise<void>): Promise<void> {
  await withFolder(async (folder) => {
    const [plain, secret, back] = [`${folder}/plain`, `${folder}/secret`, `${folder}/back`];
    const volumes = [1, 3].map((seed) => new Map([[0, noise(seed, BLOCK)], [7, noise(seed + 1, BLOCK)]]));
    const first = await acquireAt(plain, { volume: volumes[0]!, shape: SHAPE });
    const other = { volume: volumes[1]!, shape: SHAPE, snapshot: LATER };
    const facts = { case: { ...FACTS.case, evidence: "2" } };
    const second = await acquireAt(plain, { ...other, facts, flushEvery: 1 });
    const { secret: text, recipient } = await makeIdentity("x25519");
    const identity = `${folder}/key.txt`;
    Deno.writeTextFileSync(identity, `${text}\n`, { mode: 0o600 });
    const run = (...args: string[]) => coldcase(args, { env: { COLDCASE_STORE: plain } });
    await body({ ids: [first, second], folder, plain, secret, back, recipient, identity, run });
  }, { onDisk: true }); // below /dev the program may open nothing
}

/** By name the digest of what both ends of a way there and back must have; but for what is new at the end. */
function evidenceOf(root: string): Record<string, string> {
  const names = evidenceFiles(root).filter((name) => !name.includes("/inventory-"));
  return Object.fromEntries(names.map((name) => [name, sha256(Deno.readFileSync(`${root}/${name}`))]));
}

function entriesOf(root: string): { action: string; commandLine: string[]; result: { facts: object } }[] {
  return filesBelow(`${root}/custody`).filter((name) => name.endsWith(".json"))
    .map((name) => JSON.parse(Deno.readTextFileSync(`${root}/custody/${name}`)));
}

Deno.test("encrypt and decrypt there and back give every evidence file as it was, on the record in both stores", () =>
  withStage(async ({ ids, plain, secret, back, recipient, identity, run }) => {
    const encrypted = await run(
      "encrypt",
      "--to",
      secret,
      "-r",
      recipient,
      "--reason",
      "hand over",
      "--json",
    );
    assertExit(encrypted, 0);
    assertStringIncludes(encrypted.stderr, "one recipient only");
    const summaries = eventsOf(encrypted).filter(({ type }) => type === "summary");
    assertEquals(summaries.map(({ exhibit }) => exhibit).sort(), [...ids].sort());
    assertExit(await run("decrypt", "--store", secret, "--to", back, "-i", identity), 0);
    assertEquals(evidenceOf(back), evidenceOf(plain));
    assertExit(await run("verify", "--store", back), 0);
    for (const root of [plain, back]) assertExit(await run("custody", "--store", root), 0);
    const actions = (root: string) => entriesOf(root).map(({ action }) => action).sort();
    assertEquals(actions(plain), ["encrypt"]);
    // The giving side's own entry is written at the end, and was not there to travel along.
    assertEquals(actions(secret), ["decrypt", "encrypt"]);
    assertEquals(actions(back), ["decrypt", "encrypt", "verify"]);
    const linked = (root: string) => filesBelow(`${root}/receipts`).filter((name) => name.endsWith(".json"));
    assertEquals([linked(plain).length, linked(secret).length, linked(back).length], [2, 4, 4]);
    const files = filesBelow(back).filter((name) => !name.startsWith("custody/"));
    assertExit(await run("decrypt", "--store", secret, "--to", back, "-i", identity), 0);
    assertEquals(filesBelow(back).filter((name) => !name.startsWith("custody/")), files);
  }));

Deno.test("encrypt and decrypt take the exhibits that were named", () =>
  withStage(async ({ ids, secret, back, recipient, identity, run }) => {
    assertExit(await run("encrypt", SNAPSHOT, "--to", secret, "-r", recipient), 0);
    const held = (root: string) => reading(root, (store) => store.exhibitIds());
    assertEquals(await held(secret), [ids[0]]);
    assertExit(await run("encrypt", "2", "--to", secret, "-r", recipient), 0);
    assertExit(await run("decrypt", ids[1], "--store", secret, "--to", back, "-i", identity), 0);
    assertEquals(await held(back), [ids[1]]);
  }));

Deno.test("encrypt to a passphrase makes an identity that decrypts, and that stays in the encrypted store", () =>
  withStage(async ({ folder, secret, back, plain, run }) => {
    const passphrase = `${folder}/passphrase`;
    Deno.writeTextFileSync(passphrase, "correct horse\n", { mode: 0o600 });
    const given = ["--passphrase-file", passphrase];
    assertExit(await run("encrypt", "--to", secret, "--passphrase", ...given), 0);
    const [key] = filesBelow(`${secret}/keys`).filter((name) => name.endsWith(".identity.age"));
    const identity = `${secret}/keys/${key}`;
    assertExit(await run("decrypt", "-s", secret, "--to", back, "-i", identity, ...given), 0);
    assertEquals(evidenceOf(back), evidenceOf(plain));
    assertEquals(filesBelow(`${back}/keys`).filter((name) => name.endsWith(".age")), []);
  }));

Deno.test("encrypt and decrypt refuse what would not be what was meant", () =>
  withStage(async ({ folder, plain, secret, back, recipient, identity, run }) => {
    const other = await makeIdentity("x25519");
    const stranger = `${folder}/stranger.txt`;
    Deno.writeTextFileSync(stranger, `${other.secret}\n`, { mode: 0o600 });
    const refuses = async (exitCode: number, names: string[], ...args: string[]) => {
      assertRefusal(await run(...args), { exitCode, names });
    };
    await refuses(2, ["no target"], "encrypt", "-r", recipient);
    await refuses(2, ["no recipient"], "encrypt", "--to", secret);
    await refuses(2, ["into itself"], "encrypt", "--to", plain, "-r", recipient);
    await refuses(2, ["it is plain already"], "decrypt", "--to", back, "-i", identity);
    await refuses(10, ["snap-00000009"], "encrypt", "snap-00000009", "--to", secret, "-r", recipient);
    assertEquals(
      Deno.statSync(folder).isDirectory && filesBelow(folder).some((name) => name.startsWith("secret")),
      false,
    );
    assertExit(await run("encrypt", "--to", secret, "-r", recipient), 0);
    await refuses(2, [other.recipient], "encrypt", "--to", secret, "-r", other.recipient);
    await refuses(2, ["it is encrypted already"], "encrypt", "-s", secret, "--to", back, "-r", recipient);
    assertExit(await run("decrypt", "-s", secret, "--to", back, "-i", identity), 0);
    await refuses(2, ["store is plain"], "encrypt", "--to", back, "-r", recipient);
    assertExit(await run("encrypt", "-s", back, "--to", `${folder}/third`, "-r", recipient), 0);
    await refuses(
      2,
      ["store is encrypted"],
      "decrypt",
      "-s",
      secret,
      "--to",
      `${folder}/third`,
      "-i",
      identity,
    );
    await refuses(12, ["no identity"], "decrypt", "-s", secret, "--to", back);
    await refuses(12, ["does not fit"], "decrypt", "-s", secret, SNAPSHOT, "--to", back, "-i", stranger);
    await refuses(10, ["no store"], "decrypt", "-s", `${folder}/none`, "--to", back, "-i", identity);
    const lock = Deno.openSync(`${secret}/lock`, { read: true, write: true });
    assert(lock.tryLockSync(true));
    await refuses(11, ["another process"], "encrypt", "--to", secret, "-r", recipient);
    lock.close();
  }));

Deno.test("encrypt and decrypt commit nothing of a damaged exhibit, and do the others", () =>
  withStage(async ({ ids, plain, secret, back, recipient, identity, run }) => {
    const damage = async (root: string) => {
      const { files } = await reading(root, async (store) => (await store.outerExhibit(ids[0])).inventory);
      const { name } = files.find((file) => file.name.startsWith("packs/"))!;
      flipBit(`${root}/${name}`, 16 + 56 + 4000);
      return name;
    };
    const held = (root: string) => reading(root, (store) => store.exhibitIds());
    assertExit(await run("encrypt", "--to", secret, "-r", recipient), 0);
    const closed = await damage(secret);
    const names = [closed, "record 0 at byte 16", "chunk 0", "block 0 (bytes 0 to 65535 of the volume)"];
    assertRefusal(await run("decrypt", "-s", secret, "--to", back, "-i", identity), { exitCode: 20, names });
    assertEquals(await held(back), [ids[1]]);
    const pack = await damage(plain);
    Deno.removeSync(secret, { recursive: true });
    assertRefusal(await run("encrypt", "--to", secret, "-r", recipient), {
      exitCode: 20,
      names: [pack, "record 0 at byte 16", "block 0 (bytes 0 to 65535 of the volume)"],
    });
    assertEquals(await held(secret), [ids[1]]);
  }));

Deno.test("the custody log of an encrypted store has no digest of contents, and what was in it before is named", () =>
  withStage(async ({ ids, plain, secret, recipient, identity, folder, run }) => {
    const image = await reading(plain, async (store) => (await store.exhibit(ids[0])).manifest.imageDigest);
    const start = image.slice(0, 12);
    const quiet = await run("encrypt", start, "--to", secret, "-r", recipient);
    assertExit(quiet, 0);
    assert(!quiet.stderr.includes("tells a digest"), quiet.stderr);
    assertExit(await run("decrypt", start, "-s", secret, "--to", `${folder}/back`, "-i", identity), 0);
    for (const { commandLine } of [...entriesOf(plain), ...entriesOf(secret)]) {
      assertEquals(commandLine[1], `(image digest of ${ids[0]})`);
    }
    const entries = filesBelow(secret).map((name) =>
      new TextDecoder("latin1").decode(Deno.readFileSync(`${secret}/${name}`))
    );
    assertEquals(entries.filter((text) => text.includes(start)), []);
    // The other exhibit is not there: what it could not find is not told either.
    const other = await reading(plain, async (store) => (await store.exhibit(ids[1])).manifest.imageDigest);
    const lost = await run("verify", other.slice(0, 12), "-s", secret, "-i", identity);
    assertRefusal(lost, { exitCode: 10, names: [other.slice(0, 12)] });
    const entry = entriesOf(secret).find(({ action }) => action === "verify");
    assertEquals(entry?.commandLine[1], "(evidence number or image digest)");
    assertExit(await run("custody", "--append", `the image is ${start}`), 0);
    const warned = await run("encrypt", "--to", secret, "-r", recipient);
    assertExit(warned, 0);
    assertStringIncludes(warned.stderr, "tells a digest");
    assertStringIncludes(warned.stderr, `(note) has ${start}`);
  }));
