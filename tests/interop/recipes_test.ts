/**
 * Every shell recipe of store-format.md, as it stands there, on stores that the code made: plain and encrypted, with one
 * pack and with several, with files that a crash left. They must say what is there, and find what was changed.
 */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { fromFileUrl } from "@std/path";
import { EXAMPLE_BLOCKS, makeExampleStore } from "../../scripts/example_store.ts";
import { VECTORS_FOLDER } from "../../scripts/vectors.ts";
import { decodeVector } from "../../scripts/vectors/vector.ts";
import { encodeIdentityFile } from "../../src/cipher_age_files.ts";
import { Identities, makeIdentity } from "../../src/cipher_age.ts";
import { sha256 } from "../../src/format/digests.ts";
import { openStore, openStoreForWriting } from "../../src/store/mod.ts";
import { outside } from "../outside.ts";
import { RECIPES, runRecipe, runScript } from "../recipes.ts";
import {
  acquire,
  filesBelow,
  flipBit,
  noise,
  pattern,
  shapeOf,
  testWorld,
  type Volume,
  withFolder,
} from "../store/fixtures.ts";

const NEEDS = ["bash", "jq", "zstd"];
/** Vectors in which the case was corrected. */
const CORRECTED = [
  "accepted_corrected",
  "accepted_correction_after_fork",
  "correction_forked",
  "correction_gap",
];
const EXAMPLE = "ex-000000000000002a";
const SIGNER = "SHA256:1Lt0B6m58n9i5yp9hABit7qhCJ/7aR7kRxt8QRziO8k";
const NOISE = sha256(EXAMPLE_BLOCKS.get(4)!);
const TEXT = sha256(EXAMPLE_BLOCKS.get(1)!);

/** What a recipe prints; it must succeed and complain of nothing. */
async function printed(
  name: string,
  root: string,
  values: Readonly<Record<string, string>> = {},
): Promise<string> {
  const { code, stdout, stderr } = await runRecipe(name, root, values);
  assertEquals([code, stderr], [0, ""], name);
  return stdout;
}

const evidenceFiles = (root: string) =>
  filesBelow(root).filter((name) => /^(packs|segments|documents|exhibits)\/.*\.(pack|json|txt)$/.test(name));

Deno.test("store-format.md has the recipes that are run here and in headers_age_test.ts, and no others", () => {
  assertEquals([...RECIPES.keys()].sort(), [
    "added header",
    "all files",
    "block",
    "case",
    "exhibit",
    "image digest",
    "inventory",
    "raw signatures",
    "records",
    "segment",
    "signatures",
    "store file",
    "test vector",
    "time-stamp",
  ]);
});

outside("the recipes check and read the example's store", NEEDS, () =>
  withFolder(async (root) => {
    await makeExampleStore(root);
    for (const name of ["store file", "image digest"]) {
      const [computed, stated] = (await printed(name, root)).trim().split("\n");
      assertEquals(computed!.replace(/ +-$/, ""), stated);
      assertMatch(stated!, /^[0-9a-f]{64}$/);
    }
    for (const name of ["inventory", "all files"]) assertEquals(await printed(name, root), "");
    assertEquals(
      await printed("segment", root),
      "stored 2\nzero 1\nabsent 1\nstored 1\nabsent 2\nunreadable 1\nabsent 16376\n",
    );
    assertEquals(await printed("segment", root, { "number=0": "number=127" }), "absent 16384\n");
    const [pack] = filesBelow(root).filter((name) => name.endsWith(".pack"));
    assertEquals(await printed("records", root), `${pack} 16 0 ${NOISE}\n${pack} 584 1 ${TEXT}\n`);
    for (const name of evidenceFiles(root)) {
      const offset = Deno.statSync(`${root}/${name}`).size - 2;
      flipBit(`${root}/${name}`, offset);
      for (const check of ["inventory", "all files"]) {
        const { stdout } = await runRecipe(check, root);
        assert(stdout.includes(`${name}: FAILED`), `${check}: ${name}: ${stdout}`);
      }
      flipBit(`${root}/${name}`, offset);
    }
  }));

outside(
  "the recipe for the case prints what counts, as coldcase reads it",
  NEEDS,
  () =>
    withFolder(async (root) => {
      for (const name of ["accepted_example", ...CORRECTED]) {
        const store = `${root}/${name}`;
        Deno.mkdirSync(store);
        Deno.writeFileSync(
          `${store}.tgz`,
          decodeVector(Deno.readFileSync(VECTORS_FOLDER + name), name).archive,
        );
        const { success } = await new Deno.Command("tar", { args: ["xzf", `${store}.tgz`, "-C", store] })
          .output();
        assert(success, name);
        const opened = await openStore(testWorld(), store);
        const { corrections } = await opened.find(EXAMPLE);
        opened.close();
        const said = JSON.parse(await printed("case", store));
        const { facts, heads, recorded } = corrections;
        const bySaying = (a: object, b: object) => JSON.stringify(a) < JSON.stringify(b) ? -1 : 1;
        if (heads.length < 2) assertEquals(said, facts, name);
        else {
          assertEquals(said.recorded, recorded, name);
          const all = heads.map(({ document }) => document.after);
          assertEquals(said.disagree.sort(bySaying), all.sort(bySaying), name);
        }
      }
    }),
);

outside(
  "the recipe for a block prints its bytes' digest, or the state of one that is not stored",
  NEEDS,
  () =>
    withFolder(async (root) => {
      for (const flushAfter of [[], [0], [0, 1, 4]]) {
        const store = `${root}/${flushAfter.length}`;
        await makeExampleStore(store, { flushAfter });
        const block = (index: number) => printed("block", store, { "block=4": `block=${index}` });
        assertEquals(await printed("block", store), `block 4: ${NOISE}\n${NOISE}  -\n`);
        assertEquals(await block(0), `block 0: ${NOISE}\n${NOISE}  -\n`);
        for (const index of [1, 16_384]) {
          assertEquals(await block(index), `block ${index}: ${TEXT}\n${TEXT}  -\n`);
        }
        const states = { 2: "zero", 3: "absent", 7: "unreadable", 20_000: "absent", 2_097_151: "absent" };
        for (const [index, state] of Object.entries({ ...states, 2_097_152: "null", 99_999_999: "null" })) {
          assertEquals(await block(Number(index)), `block ${index}: ${state}\n`);
        }
      }
    }),
);

outside(
  "the recipe for a block tells a block that no pack has, and one whose bytes were changed",
  NEEDS,
  () =>
    withFolder(async (root) => {
      await makeExampleStore(root);
      const [pack] = filesBelow(root).filter((name) => name.endsWith(".pack"));
      const whole = Deno.readFileSync(`${root}/${pack}`);
      flipBit(`${root}/${pack}`, 100); // of block 0, and so of block 4
      const changed = (await printed("block", root)).split("\n");
      assertEquals(changed[0], `block 4: ${NOISE}`);
      assert(/^[0-9a-f]{64} {2}-$/.test(changed[1]!) && changed[1] !== `${NOISE}  -`, changed[1]);
      // Its entry in the footer.
      Deno.writeFileSync(`${root}/${pack}`, whole.map((byte, at) => at === 0x2bf ? byte ^ 1 : byte));
      assertEquals(
        await printed("block", root),
        `block 4: ${NOISE}\nno pack of the inventory has it in its footer\n`,
      );
    }),
);

outside(
  "the recipes go by the newest signed inventory, whatever a crash or a copy left beside it",
  NEEDS,
  () =>
    withFolder(async (root) => {
      await makeExampleStore(root);
      const folder = `${root}/exhibits/${EXAMPLE}`;
      const said = await printed("image digest", root);
      Deno.writeTextFileSync(`${folder}/manifest-${"0".repeat(64)}.json`, "{}");
      const unsigned = `${folder}/inventory-${"0".repeat(64)}.txt`;
      Deno.writeTextFileSync(unsigned, "committed 2027-01-01T00:00:00.000Z\n");
      Deno.mkdirSync(`${root}/packs/00`);
      Deno.writeTextFileSync(`${root}/packs/00/${"0".repeat(64)}.pack`, "cut off");
      assertEquals(await printed("image digest", root), said);
      assertEquals(await printed("inventory", root), "");
      assertEquals(await printed("block", root), `block 4: ${NOISE}\n${NOISE}  -\n`);
      assertEquals((await printed("records", root)).trim().split("\n").length, 2);
      // An older one that leads elsewhere, signed: the newest counts.
      const [newest] = filesBelow(root).filter((name) => /\/inventory-[1-9a-f].*\.txt$/.test(name));
      const text = Deno.readTextFileSync(`${root}/${newest}`);
      const old = text.replace(/^committed .*$/m, "committed 2025-01-01T00:00:00.000Z").replace(
        /^manifest .*$/m,
        `manifest ${"0".repeat(64)}`,
      );
      Deno.writeTextFileSync(unsigned, old);
      Deno.writeTextFileSync(unsigned.replace(/\.txt$/, ".0123456789abcdef.sshsig"), "");
      assertEquals(await printed("image digest", root), said);
    }),
);

outside("the recipes check the example's signatures, and refuse each that was changed", [
  "bash",
  "ssh-keygen",
  "openssl",
], () =>
  withFolder(async (root) => {
    await makeExampleStore(root);
    const good = (await printed("signatures", root)).trim().split("\n");
    assertEquals(good.length, 3);
    for (const line of good) {
      assertMatch(
        line,
        /^Good "coldcase-[a-z]+@v1" signature for coldcase-d4bb7407a9b9f27f with ED25519 key/,
      );
      assert(line.endsWith(SIGNER), line);
    }
    const raw = await printed("raw signatures", root);
    assertEquals(raw, "Signature Verified Successfully\n".repeat(3));
    for (const [name, ending] of [["signatures", "sshsig"], ["raw signatures", "ed25519"]] as const) {
      const files = filesBelow(root).filter((file) => file.endsWith(ending));
      assertEquals(files.length, 3);
      for (const file of files) {
        flipBit(`${root}/${file}`, 30);
        const { stdout } = await runRecipe(name, root);
        assert(stdout.includes(`${file}: FAILED`), stdout);
        flipBit(`${root}/${file}`, 30);
      }
    }
  }));

outside("the recipe unpacks a test vector", ["bash", "jq", "tar"], () =>
  withFolder(async (root) => {
    const vector = fromFileUrl(new URL("../vectors/accepted_everything", import.meta.url));
    assertEquals(await printed("test vector", root, { VECTOR: vector }), "");
    assert(filesBelow(root).length > 30, `${filesBelow(root)}`);
    assertEquals(await printed("inventory", root), "");
  }));

outside(
  "the recipe checks a time-stamp, and passes by a store without any",
  ["bash", "openssl"],
  () =>
    withFolder(async (root) => {
      await makeExampleStore(root);
      assertEquals(await printed("time-stamp", root), "");
      const signature = filesBelow(root).find((file) => /\/manifest-.*\.sshsig$/.test(file))!;
      const made = await runScript(AUTHORITY.replaceAll("SIGNATURE", signature), root);
      assertEquals(made.code, 0, made.stderr);
      assertMatch(
        await printed("time-stamp", root),
        /^exhibits\/.*\.sshsig\.[0-9a-f]{16}\.tst: Verification: OK\n$/,
      );
      Deno.writeTextFileSync(`${root}/${signature}`, "\n", { append: true });
      const bad = await runRecipe("time-stamp", root);
      assert(bad.code !== 0 && !bad.stdout.includes("OK"), bad.stdout);
    }),
);

/** Makes an authority in the folder, and its token beside SIGNATURE. */
const AUTHORITY = `
openssl req -x509 -newkey ed25519 -nodes -days 2 -subj /CN=root -keyout ca.key -out authority.pem
openssl req -newkey rsa:2048 -nodes -subj /CN=tsa -keyout tsa.key -out tsa.csr
printf 'extendedKeyUsage=critical,timeStamping\\n' > extensions
openssl x509 -req -in tsa.csr -CA authority.pem -CAkey ca.key -CAcreateserial -days 1 -extfile extensions -out tsa.pem
printf '%s\\n' '[tsa]' 'serial=serial' 'crypto_device=builtin' 'signer_digest=sha256' 'default_policy=1.2.3.4.1' \\
  'digests=sha256' > authority.cnf
echo 01 > serial
openssl ts -query -data SIGNATURE -sha256 -cert -out query
openssl ts -reply -config authority.cnf -section tsa -queryfile query -signer tsa.pem -inkey tsa.key -token_out -out token
mv token "SIGNATURE.$(sha256sum token | head -c 16).tst"
`;

const BLOCK_BYTES = 1 << 16;
const VOLUME: Volume = new Map<number, Uint8Array | "unreadable">([
  [0, noise(1, BLOCK_BYTES)],
  [1, pattern(2, BLOCK_BYTES)],
  [5, "unreadable"],
  [7, new Uint8Array(BLOCK_BYTES)],
  [8, noise(1, BLOCK_BYTES)],
  [9000, noise(3, BLOCK_BYTES)],
]);

outside("the same recipes read an encrypted store by its map, with age", [
  ...NEEDS,
  "age",
  "ssh-keygen",
  "openssl",
], () =>
  withFolder(async (root) => {
    const made = await makeIdentity("x25519");
    const identities = await Identities.of([{ secret: made.secret, place: "the test" }]);
    const recipients = { contents: [made.recipient], lineage: null };
    const store = await openStoreForWriting(testWorld(), root, { identities, recipients });
    const exhibit = await acquire(store, { volume: VOLUME, shape: shapeOf(BLOCK_BYTES), flushEvery: 1 });
    const { imageDigest } = (await store.exhibit(exhibit)).manifest;
    store.close();
    Deno.writeTextFileSync(`${root}/key.txt`, encodeIdentityFile(made, { atMs: 0 }));
    const key = { "~/key.txt": `${root}/key.txt` };
    const named = { [EXAMPLE]: exhibit, ...key };
    assertEquals(await printed("image digest", root, named), `${imageDigest}  -\n${imageDigest}\n`);
    assertEquals(await printed("inventory", root, named), "");
    assertEquals(await printed("all files", root), "");
    const runs =
      "stored 2\nabsent 3\nunreadable 1\nabsent 1\nzero 1\nstored 1\nabsent 8991\nstored 1\nabsent 7383\n";
    assertEquals(await printed("segment", root, named), runs);
    for (const [index, bytes] of VOLUME) {
      const digest = bytes instanceof Uint8Array ? sha256(bytes) : "";
      const expected = { 5: "unreadable\n", 7: "zero\n" }[index] ?? `${digest}\n${digest}  -\n`;
      const values = { ...named, "block=4": `block=${index}` };
      assertEquals(await printed("block", root, values), `block ${index}: ${expected}`);
    }
    const records = (await printed("records", root, named)).trim().split("\n").map((line) => line.split(" "));
    const packs = filesBelow(root).filter((name) => name.endsWith(".pack.age"));
    assert(packs.length > 1, `${packs}`);
    assertEquals([...new Set(records.map(([pack]) => pack!))].sort(), packs.sort());
    const digests = [0, 1, 9000].map((index) => sha256(VOLUME.get(index) as Uint8Array));
    // Block 8 is block 0 again: nobody read back what was encrypted, so it may lie there twice.
    assertEquals([...new Set(records.map(([, , , digest]) => digest!))].sort(), [...digests].sort());
    const good = (await printed("signatures", root, key)).trim().split("\n");
    assert(good.some((line) => line.startsWith('Good "coldcase-manifest@v1"')), good.join("\n"));
    assertEquals(good.filter((line) => !line.startsWith("Good ")), []);
    const raw = (await printed("raw signatures", root, key)).trim().split("\n");
    assertEquals(raw, new Array(good.length).fill("Signature Verified Successfully"));
    const manifest = filesBelow(root).find((name) => /\/manifest-.*\.sshsig$/.test(name))!;
    flipBit(`${root}/${manifest}`, 40);
    assert((await runRecipe("signatures", root, key)).stdout.includes(`${manifest}: FAILED`));
    // Nobody's signature looks forged for want of a key.
    const keyless = { "~/key.txt": `${root}/none.txt` };
    for (const [name, ending] of [["signatures", "sshsig"], ["raw signatures", "ed25519"]] as const) {
      const { stdout } = await runRecipe(name, root, keyless);
      const told = stdout.split("\n").filter((line) => /: (FAILED|NOT OPENED)$/.test(line));
      assertEquals(told, [manifest.replace(/sshsig$/, `${ending}: NOT OPENED`)]);
    }
  }));
