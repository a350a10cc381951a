/**
 * Added headers with stock tools: the recipe of store-format.md, as it stands there, opens every file of a store for who
 * was added, by age; the old identity still opens every file as it lies; OpenSSH accepts the headers' signatures.
 */
import { assert, assertEquals, assertNotEquals, assertStringIncludes } from "@std/assert";
import { Identities, makeIdentity, type NewIdentity, Recipients } from "../../src/cipher_age.ts";
import { sha256 } from "../../src/format/digests.ts";
import { openStoreForWriting } from "../../src/store/mod.ts";
import { outside, toolPath } from "../outside.ts";
import { runRecipe } from "../recipes.ts";
import { TEST_KEY } from "../signing_key.ts";
import { acquireAt, filesBelow, noise, pattern, shapeOf, testWorld, withFolder } from "../store/fixtures.ts";

const NEEDS = ["age", "age-keygen", "bash", "base64", "sha256sum", "ssh-keygen"];
const BLOCK = 1 << 18;
const ORDER = {
  volume: new Map([[0, noise(1, BLOCK)], [1, pattern(2, BLOCK)], [3, noise(3, BLOCK)], [
    4095,
    noise(4, BLOCK),
  ]]),
  shape: shapeOf(BLOCK),
  flushEvery: 2,
};

async function run(
  command: readonly string[],
  cwd: string,
): Promise<{ readonly code: number; readonly stdout: Uint8Array; readonly stderr: string }> {
  const [program, ...args] = command;
  const { code, stdout, stderr } = await new Deno.Command(toolPath(program!)!, { args, cwd }).output();
  return { code, stdout, stderr: new TextDecoder().decode(stderr) };
}

/** A store for the first, to which the others were added one after the other. */
async function makeStore(path: string, [first, ...others]: readonly [NewIdentity, ...NewIdentity[]]) {
  const recipients = { contents: [first.recipient], lineage: null };
  const id = await acquireAt(path, ORDER, { recipients });
  const identities = await Identities.of([{ secret: first.secret, place: "test" }]);
  const store = await openStoreForWriting(testWorld(undefined, 2), path, { identities });
  for (const { recipient } of others) {
    await store.access.add(await store.outerExhibit(id), {
      recipients: await Recipients.of([{ text: recipient, place: "test" }]),
      opens: "contents",
      key: TEST_KEY,
      signal: new AbortController().signal,
      onFault(error) {
        throw error;
      },
    });
  }
  store.close();
}

/** The tests keep their identity in the store's root, where the recipes run. */
const KEY = { "~/key.txt": "key.txt" };

outside(
  "age opens every file of a store by the added headers, and finds the same as by the old ones",
  NEEDS,
  () =>
    withFolder(async (folder) => {
      const path = `${folder}/store`;
      const people = await Promise.all([1, 2, 3].map(() => makeIdentity("x25519")));
      const [alice, bob, carol] = people as [NewIdentity, NewIdentity, NewIdentity];
      await makeStore(path, [alice, carol, bob]);
      const ageFiles = filesBelow(path).filter((name) => name.endsWith(".age"));
      assert(ageFiles.length >= 6, `${ageFiles}`);
      Deno.writeTextFileSync(`${path}/key.txt`, `${alice.secret}\n`);
      const expected: string[] = [];
      for (const name of ageFiles) {
        const { code, stdout, stderr } = await run(["age", "-d", "-i", "key.txt", name], path);
        assertEquals(code, 0, stderr);
        expected.push(`${sha256(stdout)}  ${name}`);
      }
      for (const added of [bob, carol]) {
        Deno.writeTextFileSync(`${path}/key.txt`, `${added.secret}\n`);
        assertNotEquals((await run(["age", "-d", "-i", "key.txt", ageFiles[0]!], path)).code, 0);
        const { code, stdout, stderr } = await runRecipe("added header", path, KEY);
        assertEquals([code, stderr], [0, ""]);
        assertEquals(stdout.trim().split("\n").sort(), expected.sort());
      }
    }),
);

outside(
  "the recipe for added headers says so where there is none for a key, and reads no standard input",
  NEEDS,
  () =>
    withFolder(async (folder) => {
      const path = `${folder}/store`;
      const [alice, bob] = [await makeIdentity("x25519"), await makeIdentity("x25519")];
      const said = async (who: NewIdentity) => {
        Deno.writeTextFileSync(`${path}/key.txt`, `${who.secret}\n`);
        return await runRecipe("added header", path, KEY);
      };
      const none = { code: 0, stdout: "no header was added for key.txt\n", stderr: "" };
      await makeStore(path, [alice]);
      assertEquals(await said(bob), none);
      await makeStore(`${folder}/other`, [alice, await makeIdentity("x25519")]);
      for (const name of filesBelow(`${folder}/other`).filter((one) => one.includes("/headers-"))) {
        Deno.copyFileSync(`${folder}/other/${name}`, `${path}/${name}`);
      }
      assertEquals(await said(bob), none);
    }),
);

outside(
  "the recipe for signatures accepts those of headers, and tells one that was changed",
  NEEDS,
  () =>
    withFolder(async (folder) => {
      const path = `${folder}/store`;
      const [alice, bob] = [await makeIdentity("x25519"), await makeIdentity("x25519")];
      await makeStore(path, [alice, bob]);
      Deno.writeTextFileSync(`${path}/key.txt`, `${alice.secret}\n`);
      const check = async () => {
        const { stdout, stderr } = await runRecipe("signatures", path, KEY);
        return stdout + stderr;
      };
      const isHeaders = (name: string) => /\/headers-[0-9a-f]{64}\.txt$/.test(name);
      const said = await check();
      assertStringIncludes(said, `Good "coldcase-headers@v1" signature`);
      assertStringIncludes(said, `Good "coldcase-manifest@v1" signature`);
      assertEquals(said.split("\n").filter((line) => line.includes("FAILED")), []);
      const part = `${path}/${filesBelow(path).find(isHeaders)}`;
      Deno.writeTextFileSync(part, Deno.readTextFileSync(part).replace("opens contents", "opens lineage"));
      assert(/headers-.*\.sshsig: FAILED/.test(await check()), "a changed part was accepted");
    }),
);
