/**
 * Reads exhibits that tests have just acquired with scripts/read_store.py and compares its image with what coldcase
 * itself reads, so that no test makes a store which only the program understands. Right after the commit: what a test
 * damages later is its own business.
 *
 * Left out are encrypted stores, whose identities only their tests have (interop/read_encrypted_store_test.ts), and
 * exhibits with more stored bytes than the limit, whose images take longer than the tests that made them. Where a tool
 * is missing that is said once; under COLDCASE_CI=1 it is a failure.
 */
import { createHash } from "node:crypto";
import type { ExhibitId } from "../src/model.ts";
import { type Exhibit, openStore } from "../src/store/mod.ts";
import { realWorld } from "../src/world.ts";
import { missingTools } from "./outside.ts";
import { READER_NEEDS, SecondReader } from "./second_reader.ts";

/** Some 0.2 s for both readers together. */
const MAX_STORED_BYTES = 32 * 1024 * 1024;

let missing: string | undefined;
let shared: SecondReader | undefined;

/** One process for all readings of a test file. */
function sharedReader(): SecondReader {
  if (shared) return shared;
  const reader = shared = new SecondReader();
  globalThis.addEventListener("unload", () => reader.kill());
  return reader;
}

function hasTools(): boolean {
  if (missing !== undefined) return missing === "";
  missing = missingTools(READER_NEEDS).join(", ");
  if (missing === "") return true;
  if (Deno.env.get("COLDCASE_CI") === "1") {
    throw new Error(`Cannot read with scripts/read_store.py: ${missing} is missing, expected under .ci/run`);
  }
  // deno-lint-ignore no-console
  console.log(`skipped: scripts/read_store.py on the stores of tests: needs ${missing}`);
  return false;
}

/** Throws where the two readers differ about a committed exhibit of the store at `path`. */
export async function readAgain(path: string, id: ExhibitId): Promise<void> {
  if (!hasTools()) return;
  const store = await openStore(realWorld(), path);
  try {
    if (store.file.mode !== "plain") return;
    const exhibit = await store.exhibit(id);
    const { storedBlocks } = exhibit.manifest.counts;
    if (storedBlocks * exhibit.shape.blockSizeBytes <= MAX_STORED_BYTES) await compare(path, exhibit);
  } finally {
    store.close();
  }
}

async function compare(path: string, exhibit: Exhibit): Promise<void> {
  const folder = Deno.makeTempDirSync({ prefix: "coldcase-image-" });
  try {
    const image = `${folder}/image`;
    const { code, stderr } = await sharedReader().read({ store: path, exhibit: exhibit.id }, image);
    if (code !== 0) throw new Error(`scripts/read_store.py refuses ${exhibit.id}: exit ${code}, ${stderr}`);
    const { blockSizeBytes, blockCount } = exhibit.shape;
    const { size, blocks } = Deno.statSync(image);
    if (size !== blockCount * blockSizeBytes) throw new Error(`${exhibit.id}: its image has ${size} bytes`);
    // What is not stored must be holes. File systems keep track of pages, and of places of pages.
    const mostBytes = exhibit.manifest.counts.storedBlocks * Math.max(blockSizeBytes, 4096) + 2 ** 20;
    if ((blocks ?? 0) * 512 > mostBytes) {
      throw new Error(`${exhibit.id}: its image holds more than is stored`);
    }
    const [own, second] = await digestsOfStored(exhibit, image);
    if (own !== second) {
      throw new Error(
        `${exhibit.id}: stored blocks are ${own} to coldcase, ${second} to scripts/read_store.py`,
      );
    }
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
}

/** SHA-256 of all stored blocks, one after the other: as coldcase reads them, and as they stand in the image. */
async function digestsOfStored(exhibit: Exhibit, image: string): Promise<[string, string]> {
  const [own, second] = [createHash("sha256"), createHash("sha256")];
  const { blockSizeBytes } = exhibit.shape;
  const block = new Uint8Array(blockSizeBytes);
  using file = Deno.openSync(image);
  for await (const { state, firstBlock, blockCount } of exhibit.runs()) {
    if (state !== "stored") continue;
    for (let index = firstBlock; index < firstBlock + blockCount; index++) {
      file.seekSync(index * blockSizeBytes, Deno.SeekMode.Start);
      for (let got = 0; got < block.length;) got += file.readSync(block.subarray(got)) ?? block.length;
      second.update(block);
      own.update(await exhibit.readBlock(index));
    }
  }
  return [own.digest("hex"), second.digest("hex")];
}

/** Ids of the committed exhibits in the store at `path`, as its file names tell them. */
export function committedIn(path: string): ExhibitId[] {
  const isThere = (name: string) => {
    try {
      return Deno.statSync(name).isDirectory;
    } catch (error) {
      if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) return false;
      throw error;
    }
  };
  const exhibits = `${path}/exhibits`;
  if (!isThere(exhibits)) return [];
  const names = [...Deno.readDirSync(exhibits)].map(({ name }) => name as ExhibitId);
  return names.filter((id) =>
    isThere(`${exhibits}/${id}`) &&
    [...Deno.readDirSync(`${exhibits}/${id}`)].some(({ name }) => /^inventory-.*\.sshsig$/.test(name))
  );
}
