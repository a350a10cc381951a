/**
 * Signatures, addenda and receipts as a store keeps them: what makes an exhibit, who signed it, and that any
 * change of any of these files is found and the file named. The custody log: custody_test.ts.
 */
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { type ErrorCode, OperatorError } from "../../src/errors.ts";
import type { Addendum, Receipt } from "../../src/format/addendum.ts";
import { encodeTimestampRequest } from "../../src/format/timestamp.ts";
import type { SignatureNamespace } from "../../src/format/verifying_key.ts";
import type { SigningKey } from "../../src/keys.ts";
import type { Digest } from "../../src/model.ts";
import type { EvidenceFinding, Exhibit, Store } from "../../src/store/mod.ts";
import { acquireAt, FACTS, filesBelow, flipBit, LATER, reading } from "./fixtures.ts";
import { token } from "../format/unsigned_token.ts";
import { EXHIBIT_ORDER as ORDER, withKeys } from "./evidence.ts";

/** Findings about one exhibit, each a code and a file. */
async function findings(store: Store, exhibit: Exhibit, keys: readonly SigningKey[] = []): Promise<string[]> {
  const found: EvidenceFinding[] = [];
  await store.evidence.check(exhibit, { keys, onFinding: (finding) => found.push(finding) });
  return found.map(({ code, file }) => `${code} ${file}`);
}

async function refusal(root: string, code: ErrorCode): Promise<OperatorError> {
  return await reading(root, async (store) => {
    const [id] = [...Deno.readDirSync(`${root}/exhibits`)].map(({ name }) => name);
    const error = await assertRejects(() => store.find(id!), OperatorError);
    assertEquals(error.code, code, error.message);
    return error;
  });
}

/** The one file of the store that `pattern` matches. */
function fileOf(root: string, pattern: RegExp): string {
  const names = filesBelow(root).filter((name) => pattern.test(name));
  assertEquals(names.length, 1, `${pattern}: ${names}`);
  return names[0]!;
}

/** Flips a bit of each `step`th byte, one at a time; `check` sees each change, and the file is whole again after. */
async function eachFlip(path: string, step: number, check: (offset: number) => Promise<void>): Promise<void> {
  const { size } = Deno.statSync(path);
  for (let offset = 0; offset < size; offset += step) {
    flipBit(path, offset, offset % 8);
    await check(offset);
    flipBit(path, offset, offset % 8);
  }
}

/** Puts a signature file beside `name` by hand, whatever it signs. */
async function signByHand(
  root: string,
  name: string,
  by: { readonly key: SigningKey; readonly namespace: SignatureNamespace; readonly bytes?: Uint8Array },
): Promise<string> {
  const bytes = by.bytes ?? Deno.readFileSync(`${root}/${name}`);
  const file = `${name.replace(/\.(json|txt)$/, "")}.${by.key.shortFingerprint}.sshsig`;
  Deno.writeFileSync(`${root}/${file}`, await by.key.signSshsig(bytes, by.namespace));
  return file;
}

function addendumFacts(): Parameters<Store["evidence"]["addAddendum"]>[1] {
  const digests: Addendum["digests"] = { md5: null, sha1: null, sha256: "01".repeat(32) as Digest };
  return {
    at: "2026-01-02T03:04:05.678Z",
    by: "export",
    digests,
    examiner: null,
    filled: { absentBlocks: 1022, unreadableBlocks: 0 },
    host: FACTS.host,
    volumeSizeBytes: 2 ** 30,
  };
}

Deno.test("Store holds no exhibit whose inventory has no signature", () =>
  withKeys(async (root, { first }) => {
    const id = await acquireAt(root, { ...ORDER, facts: { key: first } });
    await reading(root, async (store) => assertEquals(await store.exhibitIds(), [id]));
    const signature = fileOf(root, /\/inventory-.*\.sshsig$/);
    const bytes = Deno.readFileSync(`${root}/${signature}`);
    Deno.removeSync(`${root}/${signature}`);
    await reading(root, async (store) => assertEquals(await store.exhibitIds(), []));
    await refusal(root, "not_found");
    Deno.writeFileSync(`${root}/${signature}`, bytes);
    await reading(root, async (store) => assertEquals((await store.find(id)).id, id));
  }));

Deno.test("Store.find() refuses an exhibit whose only signature was changed in any byte, naming the file", () =>
  withKeys(async (root, { first }) => {
    await acquireAt(root, { ...ORDER, facts: { key: first } });
    for (const document of ["manifest", "inventory"]) {
      for (const ending of ["sshsig", "ed25519"]) {
        const file = fileOf(root, new RegExp(`/${document}-.*\\.${ending}$`));
        await eachFlip(`${root}/${file}`, ending === "sshsig" ? 11 : 5, async (offset) => {
          const id = file.split("/")[1]!;
          const error = await reading(root, (store) => assertRejects(() => store.find(id), OperatorError));
          assert(error.code === "integrity" || error.code === "format", error.message);
          assertStringIncludes(error.message, file, `byte ${offset}`);
        });
      }
    }
  }));

Deno.test("Store.find() refuses a manifest without a signature, or with one made for something else", () =>
  withKeys(async (root, { first }) => {
    await acquireAt(root, { ...ORDER, facts: { key: first } });
    const manifest = fileOf(root, /\/manifest-.*\.json$/);
    const signature = fileOf(root, /\/manifest-.*\.sshsig$/);
    Deno.removeSync(`${root}/${signature}`);
    assertStringIncludes((await refusal(root, "integrity")).message, manifest);
    await signByHand(root, manifest, { key: first, namespace: "coldcase-custody@v1" });
    assertStringIncludes((await refusal(root, "integrity")).message, "coldcase-custody@v1");
    const bytes = new TextEncoder().encode("{}\n");
    await signByHand(root, manifest, { key: first, namespace: "coldcase-manifest@v1", bytes });
    assertStringIncludes((await refusal(root, "integrity")).message, "not over these bytes");
    await signByHand(root, manifest, { key: first, namespace: "coldcase-manifest@v1" });
    await reading(root, async (store) => assertEquals((await store.exhibits()).length, 1));
  }));

Deno.test("Store.find() refuses an inventory that no signer of the manifest signed", () =>
  withKeys(async (root, { first, second }) => {
    await acquireAt(root, { ...ORDER, facts: { key: first } });
    const inventory = fileOf(root, /\/inventory-.*\.txt$/);
    for (const file of filesBelow(root).filter((name) => /\/inventory-.*\.(sshsig|ed25519)$/.test(name))) {
      Deno.removeSync(`${root}/${file}`);
    }
    await signByHand(root, inventory, { key: second, namespace: "coldcase-inventory@v1" });
    const error = await refusal(root, "integrity");
    assertStringIncludes(error.message, "no key signed both");
    assertEquals(error.facts["file"], inventory);
  }));

Deno.test("StoreEvidence.sign() adds a second signer; either one's damage is a finding, the exhibit stays", () =>
  withKeys(async (root, { first, second }) => {
    const id = await acquireAt(root, { ...ORDER, facts: { key: first } });
    await reading(root, async (store) => {
      await store.evidence.sign(await store.find(id), second);
      await store.evidence.sign(await store.find(id), second);
      const exhibit = await store.find(id);
      const { signers, isAuthenticated } = await store.evidence.check(exhibit, { keys: [], onFinding() {} });
      const fingerprints = signers.map(({ key }) => key.fingerprint).sort();
      assertEquals(fingerprints, [first.fingerprint, second.fingerprint].sort());
      assertEquals([await findings(store, exhibit), isAuthenticated], [[], false]);
    });
    for (const ending of ["sshsig", "ed25519"]) {
      const pattern = new RegExp(`/manifest-.*\\.${second.shortFingerprint}\\.${ending}$`);
      const file = fileOf(root, pattern);
      await eachFlip(`${root}/${file}`, 31, async (offset) => {
        await reading(root, async (store) => {
          const found = await findings(store, await store.find(id));
          assertEquals(found, [`signature_damaged ${file}`], `byte ${offset}`);
        });
      });
    }
  }));

Deno.test("StoreEvidence.check() names each signature by a key that was not given", () =>
  withKeys(async (root, { first, second }) => {
    const id = await acquireAt(root, { ...ORDER, facts: { key: first } });
    await reading(root, async (store) => {
      const check = async (keys: readonly SigningKey[]) => {
        const exhibit = await store.find(id);
        const { isAuthenticated } = await store.evidence.check(exhibit, { keys, onFinding() {} });
        return { isAuthenticated, found: (await findings(store, exhibit, keys)).sort() };
      };
      assertEquals(await check([first]), { isAuthenticated: true, found: [] });
      const { manifestFile, inventoryFile } = await store.find(id);
      const strangers = (key: SigningKey) =>
        [inventoryFile, manifestFile].map((name) =>
          `signer_not_allowed ${name.replace(/\.(json|txt)$/, "")}.${key.shortFingerprint}.sshsig`
        ).sort();
      assertEquals(await check([second]), { isAuthenticated: false, found: strangers(first) });
      await store.evidence.sign(await store.find(id), second);
      assertEquals(await check([first]), { isAuthenticated: false, found: strangers(second) });
      assertEquals(await check([second, first]), { isAuthenticated: true, found: [] });
    });
  }));

Deno.test("StoreEvidence.check() finds an addendum that was changed, is unsigned, or is another exhibit's", () =>
  withKeys(async (root, { first, second }) => {
    const id = await acquireAt(root, { ...ORDER, facts: { key: first } });
    const file = await reading(root, async (store) => {
      const name = await store.evidence.addAddendum(await store.find(id), addendumFacts(), second);
      const exhibit = await store.find(id);
      const { addenda } = await store.evidence.check(exhibit, { keys: [], onFinding() {} });
      assertEquals(addenda.map(({ document }) => document.digests.sha256), ["01".repeat(32) as Digest]);
      assertEquals(await findings(store, exhibit), []);
      return name;
    });
    const found = () => reading(root, async (store) => await findings(store, await store.find(id)));
    const signature = fileOf(root, /\/addendum-.*\.sshsig$/);
    for (const changed of [file, signature]) {
      await eachFlip(`${root}/${changed}`, 29, async (offset) => {
        assertEquals(await found(), [`addendum_damaged ${file}`], `${changed} byte ${offset}`);
      });
    }
    const other = await acquireAt(root, { ...ORDER, snapshot: LATER, facts: { key: first } });
    for (const name of [file, signature]) {
      Deno.copyFileSync(`${root}/${name}`, `${root}/${name.replace(id, other)}`);
    }
    await reading(root, async (store) => {
      const moved = file.replace(id, other);
      assertEquals(await findings(store, await store.find(other)), [`addendum_damaged ${moved}`]);
    });
    Deno.removeSync(`${root}/${signature}`);
    assertEquals(await found(), [`addendum_damaged ${file}`]);
  }));

Deno.test("StoreEvidence.check() finds an addendum whose counts or size are not the manifest's", () =>
  withKeys(async (root, { first }) => {
    const id = await acquireAt(root, { ...ORDER, facts: { key: first } });
    const { filled } = addendumFacts();
    const others = [
      { filled: { ...filled, absentBlocks: filled.absentBlocks - 1 } },
      { filled: { ...filled, unreadableBlocks: 1 } },
      { volumeSizeBytes: 2 ** 31 },
    ];
    await reading(root, async (store) => {
      const exhibit = await store.find(id);
      const named: string[] = [];
      for (const other of others) {
        named.push(await store.evidence.addAddendum(exhibit, { ...addendumFacts(), ...other }, first));
      }
      assertEquals(await findings(store, exhibit), named.sort().map((name) => `addendum_damaged ${name}`));
    });
  }));

Deno.test("StoreEvidence.check() finds a receipt that was changed or is unsigned", () =>
  withKeys(async (root, { first }) => {
    const id = await acquireAt(root, { ...ORDER, facts: { key: first } });
    const file = await reading(root, async (store) => {
      const { inventory } = await store.find(id);
      const receipt: Receipt = {
        at: "2026-01-02T03:04:05.678Z",
        bytes: 1,
        commitment: inventory.commitment,
        custodyHeads: [],
        exhibit: id,
        files: 1,
        from: store.file.id,
        inventory: inventory.manifest,
        reason: null,
        to: "02".repeat(16),
        type: "coldcase-receipt",
        version: 1,
      };
      return await store.evidence.putReceipt(receipt, first);
    });
    const found = () => reading(root, async (store) => await findings(store, await store.find(id)));
    assertEquals(await found(), []);
    const signature = fileOf(root, /^receipts\/.*\.sshsig$/);
    for (const changed of [file, signature]) {
      await eachFlip(`${root}/${changed}`, 29, async (offset) => {
        assertEquals(await found(), [`receipt_damaged ${file}`], `${changed} byte ${offset}`);
      });
    }
    Deno.removeSync(`${root}/${signature}`);
    assertEquals(await found(), [`receipt_damaged ${file}`]);
  }));

Deno.test("StoreEvidence.check() finds a signer's key file that was changed or removed", () =>
  withKeys(async (root, { first }) => {
    const id = await acquireAt(root, { ...ORDER, facts: { key: first } });
    const found = () => reading(root, async (store) => await findings(store, await store.find(id)));
    assertEquals(await found(), []);
    const files = filesBelow(root).filter((name) => name.startsWith("keys/"));
    assertEquals(files.length, 3);
    for (const file of files) {
      await eachFlip(`${root}/${file}`, 7, async (offset) => {
        assertEquals(await found(), [`key_damaged ${file}`], `byte ${offset}`);
      });
    }
    for (const file of files) Deno.removeSync(`${root}/${file}`);
    assertEquals((await found()).toSorted(), files.map((file) => `key_damaged ${file}`));
  }));

Deno.test("StoreEvidence.check() finds a damaged key file of somebody who signed nothing of the exhibit", () =>
  withKeys(async (root, { first, second }) => {
    const id = await acquireAt(root, { ...ORDER, facts: { key: first } });
    await acquireAt(root, { ...ORDER, snapshot: LATER, facts: { key: second } });
    const found = () => reading(root, async (store) => await findings(store, await store.exhibit(id)));
    assertEquals(await found(), []);
    const keyFilesOf = (key: SigningKey) =>
      filesBelow(root).filter((name) => name.startsWith(`keys/${key.shortFingerprint}.`));
    const files = keyFilesOf(second);
    assertEquals(files.length, 3);
    for (const [at, file] of files.entries()) {
      await eachFlip(`${root}/${file}`, 3, async (offset) => {
        assertEquals(await found(), [`key_damaged ${file}`], `byte ${offset}`);
      });
      const original = Deno.readFileSync(`${root}/${file}`);
      const others = Deno.readFileSync(`${root}/${keyFilesOf(first)[at]}`);
      const next = Deno.readFileSync(`${root}/${files[(at + 1) % 3]}`);
      const changes = [
        new Uint8Array(),
        original.subarray(0, -1),
        Uint8Array.of(...original, 0x0a),
        Uint8Array.of(...original, ...original),
        others,
        next,
      ];
      for (const [number, change] of changes.entries()) {
        Deno.writeFileSync(`${root}/${file}`, change);
        assertEquals(await found(), [`key_damaged ${file}`], `${file}, change ${number}`);
      }
      Deno.writeFileSync(`${root}/${file}`, original);
    }
    // What has no name of a key file is none, and what nobody needs may be gone.
    Deno.writeTextFileSync(`${root}/keys/readme.txt`, "not a key");
    Deno.removeSync(`${root}/${files[0]}`);
    assertEquals(await found(), []);
  }));

/** What is wrong with the tokens of an exhibit: each file, and why. */
async function tokenFaults(root: string, id: string): Promise<[string, string][]> {
  return await reading(root, async (store) => {
    const found: EvidenceFinding[] = [];
    await store.evidence.check(await store.find(id), {
      keys: [],
      onFinding: (finding) => found.push(finding),
    });
    assertEquals(found.filter(({ code }) => code !== "token_damaged"), []);
    return found.map(({ file, message }) => [file, message]);
  });
}

/** A token over these bytes. */
const tokenOver = (bytes: Uint8Array) => token({}, encodeTimestampRequest(bytes, new Uint8Array(8).fill(7)));

Deno.test("StoreEvidence.check() finds a time-stamp token that was changed", () =>
  withKeys(async (root, { first }) => {
    const id = await acquireAt(root, { ...ORDER, facts: { key: first } });
    const found = () => reading(root, async (store) => await findings(store, await store.find(id)));
    const file = await reading(root, async (store) => {
      const { signatureFile } = store.evidence.signatureFiles(await store.find(id));
      return await store.evidence.putToken(
        signatureFile,
        tokenOver(Deno.readFileSync(`${root}/${signatureFile}`)),
      );
    });
    assertEquals(await found(), []);
    await eachFlip(`${root}/${file}`, 1, async (offset) => {
      assertEquals(await found(), [`token_damaged ${file}`], `byte ${offset}`);
    });
  }));

Deno.test("StoreEvidence.check() finds a token over another signature, over none, and what is no token", () =>
  withKeys(async (root, { first, second }) => {
    const id = await acquireAt(root, { ...ORDER, facts: { key: first } });
    const signature = await reading(
      root,
      async (store) => store.evidence.signatureFiles(await store.find(id)).signatureFile,
    );
    const signed = Deno.readFileSync(`${root}/${signature}`);
    const other = signed.slice();
    other[40]! ^= 1;
    const absent = signature.replace(first.shortFingerprint, second.shortFingerprint);
    const inventorySignature = fileOf(root, /\/inventory-[^/]*\.sshsig$/);
    const cases: [string, Uint8Array, string][] = [
      [signature, tokenOver(other), "is over another signature"],
      [signature, tokenOver(Deno.readFileSync(`${root}/${inventorySignature}`)), "is over another signature"],
      [inventorySignature, tokenOver(signed), "is over another signature"],
      [absent, tokenOver(signed), "is over a signature that is not there"],
      [signature, new TextEncoder().encode("a token"), "is no token"],
      [signature, tokenOver(signed).subarray(0, -1), "is no token"],
      [signature, Uint8Array.of(...tokenOver(signed), 0), "is no token"],
      [signature, new Uint8Array(), "is no token"],
    ];
    for (const [over, bytes, fault] of cases) {
      const file = await reading(root, (store) => store.evidence.putToken(over, bytes));
      const [[named, message] = [], ...more] = await tokenFaults(root, id);
      assertEquals([named, more], [file, []], fault);
      assertStringIncludes(message!, fault);
      Deno.removeSync(`${root}/${file}`);
    }
    const good = [[signature, signed], [
      inventorySignature,
      Deno.readFileSync(`${root}/${inventorySignature}`),
    ]] as const;
    for (const [over, bytes] of good) {
      await reading(root, (store) => store.evidence.putToken(over, tokenOver(bytes)));
    }
    assertEquals(await tokenFaults(root, id), []);
  }));
