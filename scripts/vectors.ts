/**
 * Writes the test vectors of store-format.md into tests/vectors (`--update`), or says which of the committed
 * ones are not what it would write. A compressed archive is compared by its contents: versions of zlib
 * differ in how they pack them. What the readers must say of each is in its header; tests/store/vectors_test.ts asks them.
 *
 * @see store-format.md, "Test vectors"
 */
import { fromFileUrl } from "@std/path";
import { makeExampleStore, makeFullStore } from "./example_store.ts";
import { ACCEPTED_VECTORS } from "./vectors/accepted.ts";
import { CONTENT_VECTORS } from "./vectors/contents.ts";
import { CORRECTION_VECTORS } from "./vectors/corrections.ts";
import { DOCUMENT_VECTORS } from "./vectors/documents.ts";
import { EVIDENCE_VECTORS } from "./vectors/evidence.ts";
import { archiveContents, type Files, readFiles } from "./vectors/files.ts";
import { INVENTORY_VECTORS } from "./vectors/inventories.ts";
import { PACK_VECTORS } from "./vectors/packs.ts";
import { type Bases, decodeVector, encodeVector, type Vector } from "./vectors/vector.ts";

/** The committed vectors' folder, ending in a slash. */
export const VECTORS_FOLDER = fromFileUrl(new URL("../tests/vectors/", import.meta.url));

export const VECTORS: readonly Vector[] = [
  ...ACCEPTED_VECTORS,
  ...DOCUMENT_VECTORS,
  ...INVENTORY_VECTORS,
  ...CONTENT_VECTORS,
  ...PACK_VECTORS,
  ...EVIDENCE_VECTORS,
  ...CORRECTION_VECTORS,
];

async function made(make: (root: string) => Promise<void>): Promise<Files> {
  const root = Deno.makeTempDirSync();
  try {
    await make(root);
    return readFiles(root);
  } finally {
    Deno.removeSync(root, { recursive: true });
  }
}

export async function makeBases(): Promise<Bases> {
  return {
    plain: await made((root) => makeExampleStore(root, { flushAfter: [0] })),
    full: await made(makeFullStore),
  };
}

/** Name → bytes of all vectors as they should be. */
export async function makeVectors(): Promise<Map<string, Uint8Array>> {
  const bases = await makeBases();
  const vectors = new Map<string, Uint8Array>();
  for (const vector of VECTORS) {
    if (vectors.has(vector.name)) {
      throw new Error(`Cannot write vector "${vector.name}": there are two of it`);
    }
    vectors.set(vector.name, await encodeVector(vector, bases));
  }
  return vectors;
}

/** Names of committed vectors that are missing, surplus, or not as they should be. */
export async function outdatedVectors(): Promise<string[]> {
  const vectors = await makeVectors();
  const committed = new Set([...Deno.readDirSync(VECTORS_FOLDER)].map(({ name }) => name));
  const surplus = [...committed].filter((name) => !vectors.has(name));
  const changed = [...vectors].filter(([name, bytes]) =>
    !committed.has(name) || textOf(bytes, name) !== textOf(Deno.readFileSync(VECTORS_FOLDER + name), name)
  );
  return [...surplus, ...changed.map(([name]) => name)].sort();
}

/** Header and archive contents as one text that can be compared. */
function textOf(bytes: Uint8Array, name: string): string {
  const { header, archive } = decodeVector(bytes, name);
  return `${JSON.stringify([...header])} ${archiveContents(archive).toHex()}`;
}

if (import.meta.main) {
  if (Deno.args[0] === "--update") {
    const vectors = await makeVectors();
    Deno.mkdirSync(VECTORS_FOLDER, { recursive: true });
    for (const { name } of Deno.readDirSync(VECTORS_FOLDER)) {
      if (!vectors.has(name)) Deno.removeSync(VECTORS_FOLDER + name);
    }
    // One that is right stays as it is, whatever this zlib would make of it.
    const outdated = new Set(await outdatedVectors());
    for (const [name, bytes] of vectors) {
      if (outdated.has(name)) Deno.writeFileSync(VECTORS_FOLDER + name, bytes);
    }
    const sizeBytes = [...vectors.values()].reduce((sum, bytes) => sum + bytes.length, 0);
    await Deno.stdout.write(
      new TextEncoder().encode(`${vectors.size} vectors, ${sizeBytes} bytes, ${outdated.size} written\n`),
    );
  } else {
    const outdated = await outdatedVectors();
    await Deno.stdout.write(
      new TextEncoder().encode(outdated.map((name) => `${name} is not as it should be\n`).join("")),
    );
    Deno.exit(outdated.length === 0 ? 0 : 1);
  }
}
