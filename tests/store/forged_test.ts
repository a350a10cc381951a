/**
 * Exhibits as a forger or a faulty program would write them: every digest is that of its name, and still the
 * documents do not fit together. Verify finds it, and nobody copies or builds on it. And packs of which not
 * all can be found by their footer.
 */
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { OperatorError } from "../../src/errors.ts";
import { TEST_KEY } from "../signing_key.ts";
import { encodeCanonicalJson } from "../../src/format/canonical_json.ts";
import { commitmentOf, imageDigest, sha256 } from "../../src/format/digests.ts";
import { encodeSessions, encodeUnreadable } from "../../src/format/documents.ts";
import { encodeInventory } from "../../src/format/inventory.ts";
import { encodeManifest, type Manifest } from "../../src/format/manifest.ts";
import { type ExhibitId, SEGMENT_BLOCKS, type StoredObject } from "../../src/model.ts";
import {
  acquireAt,
  evidenceFiles,
  filesBelow,
  findingsOf,
  flipBit,
  noise,
  reading,
  shapeOf,
  type Volume,
  withFolder,
  writing,
} from "./fixtures.ts";

const BLOCK = 16_384;
const SHAPE = shapeOf(BLOCK);
const bytes = (seed: number) => noise(seed, BLOCK);

const EXHIBIT_VOLUME: Volume = new Map<number, Uint8Array | "unreadable">([
  [0, bytes(1)],
  [7, "unreadable"],
  [20_000, "unreadable"],
]);

/** Writes a document under the name that its bytes have, signed as whoever has the key would. */
async function plant(
  root: string,
  kind: "manifest" | "inventory" | "document",
  id: ExhibitId,
  content: Uint8Array,
) {
  const digest = sha256(content);
  const name = kind === "document"
    ? `documents/${digest}.json`
    : `exhibits/${id}/${kind}-${digest}.${kind === "manifest" ? "json" : "txt"}`;
  Deno.writeFileSync(`${root}/${name}`, content);
  if (kind !== "document") {
    const armor = await TEST_KEY.signSshsig(content, `coldcase-${kind}@v1`);
    const stem = name.replace(/\.(json|txt)$/, "");
    Deno.writeFileSync(`${root}/${stem}.${TEST_KEY.shortFingerprint}.sshsig`, armor);
  }
  return { name, sizeBytes: content.length, digest };
}

/** Replaces manifest and inventory by edited ones: an exhibit as a forger, or a faulty program, would write it. */
async function forge(
  root: string,
  id: ExhibitId,
  edit: { manifest?: (manifest: Manifest) => Manifest; files?: (files: StoredObject[]) => StoredObject[] },
): Promise<void> {
  await reading(root, async (store) => {
    const exhibit = await store.exhibit(id);
    const manifest = encodeManifest((edit.manifest ?? ((same) => same))(exhibit.manifest));
    for (const file of filesBelow(`${root}/exhibits/${id}`)) {
      Deno.removeSync(`${root}/exhibits/${id}/${file}`);
    }
    const planted = await plant(root, "manifest", id, manifest);
    const files = exhibit.inventory.files.filter((file) => file.name !== exhibit.manifestFile);
    const all = (edit.files ?? ((same) => same))([...files, planted]);
    const commitment = commitmentOf(planted.digest);
    const inventory = { ...exhibit.inventory, commitment, manifest: planted.digest, files: all };
    await plant(root, "inventory", id, encodeInventory(inventory));
  });
}

Deno.test("Store finds an inventory that lacks or adds files, and neither copies it nor builds on it", async (t) => {
  const edits: [string, (files: StoredObject[]) => StoredObject[]][] = [
    ["manifest", (files) => files.filter((file) => !file.name.includes("manifest"))],
    ["segment", (files) => files.filter((file) => !file.name.startsWith("segments/"))],
    ["document", (files) => files.filter((file) => !file.name.startsWith("documents/"))],
    ["surplus", (files) => [...files, { name: `documents/${"0".repeat(64)}.json`, sizeBytes: 2 }]],
    ["two manifests", (files) => {
      const other = files.find((file) => file.name.includes("manifest"))!.name.replace(
        /[0-9a-f]{64}/,
        "0".repeat(64),
      );
      return [...files, { name: other, sizeBytes: 2 }];
    }],
  ];
  for (const [name, files] of edits) {
    await t.step(name, () =>
      withFolder(async (folder) => {
        const root = `${folder}/store`;
        const id = await acquireAt(root, { volume: EXHIBIT_VOLUME, shape: SHAPE });
        assertEquals(await findingsOf(root, id), []);
        await forge(root, id, { files });
        const findings = await findingsOf(root, id);
        assert(findings.some(({ file }) => file.includes("inventory")), JSON.stringify(findings));
        await writing(`${folder}/copy`, (target) =>
          reading(root, async (store) => {
            const exhibit = await store.exhibit(id);
            assert((await store.whyNotParent(exhibit))?.includes("inventory"));
            const signal = new AbortController().signal;
            const error = await assertRejects(
              () => store.copyTo(target, exhibit, { key: TEST_KEY, signal }),
              OperatorError,
            );
            assertEquals(error.code, "integrity");
          }));
      }));
  }
});

Deno.test("Store.verify() finds side documents of another type, out of order, or of other blocks", async (t) => {
  const entry = (block: number, blocks = 1) => ({
    blocks,
    first: { attempts: 0, block, detail: "x", reason: "not_acquired" as const, requestIds: [] },
  });
  const list = (...entries: unknown[]) =>
    encodeCanonicalJson({ entries, type: "coldcase-unreadable", version: 1 });
  const documents: [string, Uint8Array][] = [
    ["another type", encodeSessions([])],
    ["descending", list(entry(20_000), entry(7))],
    ["twice", list(entry(7), entry(7), entry(20_000))],
    ["overlapping", list(entry(0, 8), entry(7), entry(20_000))],
    ["one too few", list(entry(7))],
    ["one too many", list(entry(7, 2), entry(20_000))],
    ["another block", list(entry(7), entry(20_001))],
    ["none", list()],
  ];
  for (const [name, content] of documents) {
    await t.step(name, () =>
      withFolder(async (root) => {
        const id = await acquireAt(root, { volume: EXHIBIT_VOLUME, shape: SHAPE });
        const planted = await plant(root, "document", id, content);
        await forge(root, id, {
          manifest: (manifest) => {
            const documents = { ...manifest.acquisition.documents, unreadable: planted.digest };
            return { ...manifest, acquisition: { ...manifest.acquisition, documents } };
          },
          files: (files) => [...files, planted],
        });
        const own = (await findingsOf(root, id)).filter(({ file }) => file === planted.name);
        assertEquals(own.length, 1, JSON.stringify(own));
      }));
  }
  assertThrows(() => encodeUnreadable([entry(7), entry(7)]), OperatorError);
});

Deno.test("Exhibit refuses inventories of two manifests, and a copy's inventory is the newest of its store", () =>
  withFolder(async (folder) => {
    const [root, copy] = [`${folder}/store`, `${folder}/copy`];
    const id = await acquireAt(root, { volume: EXHIBIT_VOLUME, shape: SHAPE });
    const copyOver = () =>
      writing(copy, (target) =>
        reading(root, async (store) => {
          await store.copyTo(target, await store.exhibit(id), {
            key: TEST_KEY,
            signal: new AbortController().signal,
          });
        }));
    await copyOver();
    const inventory = await reading(copy, async (store) => (await store.exhibit(id)).inventory);
    const ahead = { ...inventory, committedAt: "2099-01-01T00:00:00.000Z", files: inventory.files.slice(1) };
    await plant(copy, "inventory", id, encodeInventory(ahead));
    for (const { name } of Deno.readDirSync(`${copy}/exhibits/${id}`)) {
      const path = `${copy}/exhibits/${id}/${name}`;
      const isAhead = name.includes(sha256(encodeInventory(ahead)));
      if (name.startsWith("inventory") && !isAhead) {
        Deno.removeSync(path);
      }
    }
    await copyOver();
    const newest = await reading(copy, async (store) => (await store.exhibit(id)).inventory);
    assertEquals([newest.committedAt, newest.files], ["2099-01-01T00:00:00.001Z", inventory.files]);
    const commitment = commitmentOf(sha256(new Uint8Array(1)));
    await plant(copy, "inventory", id, encodeInventory({ ...inventory, commitment }));
    const error = await assertRejects(() => reading(copy, (store) => store.exhibit(id)), OperatorError);
    assertEquals(error.code, "integrity");
    assertEquals((await assertRejects(copyOver, OperatorError)).code, "integrity");
  }));

Deno.test("Store.exhibit() refuses an inventory whose commitment is not that of its manifest, and names both", () =>
  withFolder(async (root) => {
    const id = await acquireAt(root, { volume: EXHIBIT_VOLUME, shape: SHAPE });
    const { inventory, manifestDigest, manifestFile } = await reading(root, (store) => store.exhibit(id));
    assertEquals(inventory.commitment, commitmentOf(manifestDigest));
    for (const { name } of Deno.readDirSync(`${root}/exhibits/${id}`)) {
      if (name.startsWith("inventory-")) Deno.removeSync(`${root}/exhibits/${id}/${name}`);
    }
    // Signed by the right key, and all else is as it was.
    for (const commitment of [commitmentOf(inventory.commitment), manifestDigest]) {
      const other = encodeInventory({ ...inventory, commitment });
      const { name } = await plant(root, "inventory", id, other);
      const error = await assertRejects(() => reading(root, (store) => store.exhibit(id)), OperatorError);
      assertEquals([error.code, error.facts["file"]], ["integrity", name]);
      for (const part of ["commitment", name, manifestFile]) {
        assert(error.message.includes(part), error.message);
      }
      for (const file of filesBelow(`${root}/exhibits/${id}`)) {
        if (file.startsWith("inventory-")) Deno.removeSync(`${root}/exhibits/${id}/${file}`);
      }
    }
    await plant(root, "inventory", id, encodeInventory(inventory));
    assertEquals(await findingsOf(root, id), []);
  }));

Deno.test("Store.exhibit() refuses a manifest that names a signer who did not sign it", () =>
  withFolder(async (root) => {
    const id = await acquireAt(root, { volume: EXHIBIT_VOLUME, shape: SHAPE });
    const signer = "SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU";
    await forge(root, id, {
      manifest: (manifest) => ({ ...manifest, acquisition: { ...manifest.acquisition, signer } }),
    });
    const error = await assertRejects(() => reading(root, (store) => store.exhibit(id)), OperatorError);
    assertEquals(error.code, "integrity");
    assert(error.message.includes(signer), error.message);
  }));

// ---------------------------------------------------------------------------------------------- packs

Deno.test("Store finds the other records of a pack whose footer and one header are damaged", () =>
  withFolder(async (root) => {
    const volume: Volume = new Map([[0, bytes(1)], [1, bytes(2)], [2, bytes(3)], [3, bytes(4)]]);
    const id = await acquireAt(root, { volume, shape: SHAPE });
    const pack = `${root}/${evidenceFiles(root).find((name) => name.endsWith(".pack"))}`;
    flipBit(pack, 16 + 1 * (56 + BLOCK) + 8); // header of the second record
    flipBit(pack, Deno.statSync(pack).size - 1); // trailer
    Deno.removeSync(`${root}/cache/index.sqlite`);
    await reading(root, async (store) => {
      const exhibit = await store.exhibit(id);
      for (const index of [0, 2, 3]) assertEquals(await exhibit.readBlock(index), volume.get(index));
      await assertRejects(() => exhibit.readBlock(1), OperatorError);
    });
    const findings = await findingsOf(root, id);
    assertEquals(
      findings.filter(({ code }) => code === "block_missing").map(({ firstBlock }) => firstBlock),
      [1],
    );
  }));

Deno.test("Store.verify() finds a record of a block of another size", () =>
  withFolder(async (folder) => {
    const small = shapeOf(BLOCK / 2);
    const root = `${folder}/store`;
    const half = noise(1, BLOCK / 2);
    const id = await acquireAt(root, { volume: new Map([[0, half]]), shape: small });
    await forge(root, id, {
      manifest: (manifest) => {
        const shape = { ...manifest.volume, blockSizeBytes: BLOCK, blockCount: SHAPE.blockCount };
        const segments = manifest.segments.slice(0, SHAPE.blockCount / SEGMENT_BLOCKS);
        const absentBlocks = manifest.counts.absentBlocks - (manifest.volume.blockCount - SHAPE.blockCount);
        const counts = { ...manifest.counts, absentBlocks };
        return { ...manifest, volume: shape, segments, counts, imageDigest: imageDigest(shape, segments) };
      },
    });
    const codes = (await findingsOf(root, id)).map(({ code }) => code);
    assertEquals(codes, ["record_damaged", "block_damaged"]);
  }));
