/**
 * Added headers with stock tools: the recipe of store-format.md, as it stands there, opens every file of a store for who
 * was added, by age; the old identity still opens every file as it lies; OpenSSH accepts the headers' signatures.
 */
import { assert, assertEquals, assertNotEquals, assertStringIncludes } from "@std/assert";
import { Identities, makeIdentity, type NewIdentity, Recipients } from "../../src/cipher_age.ts";
import { sha256 } from "../../src/format/digests.ts";
import { openStoreForWriting } from "../../src/store/mod.ts";
import { outside, toolPath } from "../outside.ts";
import { TEST_KEY } from "../signing_key.ts";
import { acquireAt, filesBelow, noise, pattern, shapeOf, testWorld, withFolder } from "../store/fixtures.ts";

const NEEDS = ["age", "age-keygen", "bash", "base64", "sha256sum", "ssh-keygen"];
const DOCUMENT = new URL("../../store-format.md", import.meta.url);
const BLOCK = 1 << 18;
const ORDER = {
  volume: new Map([[0, noise(1, BLOCK)], [1, pattern(2, BLOCK)], [3, noise(3, BLOCK)], [
    4095,
    noise(4, BLOCK),
  ]]),
  shape: shapeOf(BLOCK),
  flushEvery: 2,
};

function recipe(name: string): string {
  const [, script] = Deno.readTextFileSync(DOCUMENT).split(`<!-- recipe: ${name} -->\n\n\`\`\`sh\n`);
  assert(script, `store-format.md has no recipe "${name}"`);
  return script.slice(0, script.indexOf("```"));
}

async function run(
  command: readonly string[],
  cwd: string,
): Promise<{ readonly code: number; readonly stdout: Uint8Array; readonly stderr: string }> {
  const [program, ...args] = command;
  const { code, stdout, stderr } = await new Deno.Command(toolPath(program!)!, { args, cwd }).output();
  return { code, stdout, stderr: new TextDecoder().decode(stderr) };
}

async function runRecipe(name: string, store: string): Promise<string> {
  const { code, stdout, stderr } = await run(["bash", "-euo", "pipefail", "-c", recipe(name)], store);
  assertEquals(code, 0, stderr);
  return new TextDecoder().decode(stdout);
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
        assertEquals((await runRecipe("added header", path)).trim().split("\n").sort(), expected.sort());
      }
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
      const script = `cd "$1"; ${recipe("signatures")}`;
      const check = async () => {
        const { stdout, stderr } = await run(["bash", "-c", script, "bash", path], path);
        return new TextDecoder().decode(stdout) + stderr;
      };
      const isHeaders = (name: string) => /\/headers-[0-9a-f]{64}\.txt$/.test(name);
      const said = await check();
      assertStringIncludes(said, `Good "coldcase-headers@v1" signature`);
      assertEquals(said.split("\n").filter((line) => /headers-.*FAILED/.test(line)), []);
      const part = `${path}/${filesBelow(path).find(isHeaders)}`;
      Deno.writeTextFileSync(part, Deno.readTextFileSync(part).replace("opens contents", "opens lineage"));
      assert(/headers-.*\.sshsig: FAILED/.test(await check()), "a changed part was accepted");
    }),
);
