/**
 * Folders of Snapshot-4n6ir-Imager for tests: an image of random blocks and what Python's own modules make of it by
 * the description of that tool's layout. No assertions.
 */
import { fromFileUrl } from "@std/path";
import { randomBytes } from "../e2e/images.ts";
import { type Ended, type JsonEvent, type Running, start } from "../e2e/program.ts";
import { run } from "../image/tools.ts";

export const IMAGER_NEEDS = ["python3", "py:cryptography"];
export const SNAPSHOT = "snap-0123456789abcdef0";
export const BLOCK_BYTES = 512 * 1024;
export const BLOCK_COUNT = 2048;

const MAKER = fromFileUrl(new URL("./imager_folder.py", import.meta.url));
const PASSWORD = "correct horse";
const SALT = "battery staple";

export type Layout = "plain" | "compressed" | "encrypted";
export const LAYOUTS: readonly Layout[] = ["plain", "compressed", "encrypted"];

/** A folder of its own for a test, with a store to import into. */
export class ImagerStage {
  private constructor(readonly folder: string) {}

  static async with(body: (stage: ImagerStage) => Promise<void>): Promise<void> {
    const folder = await Deno.makeTempDir({ prefix: "coldcase-imager-" });
    try {
      Deno.writeTextFileSync(`${folder}/password`, `${PASSWORD}\n`, { mode: 0o600 });
      Deno.writeTextFileSync(`${folder}/salt`, `${SALT}\n`, { mode: 0o600 });
      await body(new ImagerStage(folder));
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  }

  get image(): string {
    return `${this.folder}/disk.img`;
  }

  /** An image of 1 GiB with random bytes in these blocks. */
  makeImage(blocks: readonly number[]): void {
    Deno.writeFileSync(this.image, new Uint8Array());
    Deno.truncateSync(this.image, BLOCK_COUNT * BLOCK_BYTES);
    using file = Deno.openSync(this.image, { write: true });
    for (const block of blocks) {
      file.seekSync(block * BLOCK_BYTES, Deno.SeekMode.Start);
      const bytes = randomBytes(BLOCK_BYTES);
      for (let done = 0; done < bytes.length;) done += file.writeSync(bytes.subarray(done));
    }
  }

  /** Files of `blocks`; gives the folder that holds them. */
  async makeFolder(
    layout: Layout,
    blocks: readonly number[],
    more: {
      readonly into?: string;
      readonly snapshot?: string;
      readonly bombs?: readonly number[];
      readonly indexDigits?: number;
    } = {},
  ): Promise<string> {
    const wish = {
      image: this.image,
      into: `${this.folder}/${more.into ?? layout}`,
      snapshot: more.snapshot ?? SNAPSHOT,
      volumeSizeGib: 1,
      blockSize: BLOCK_BYTES,
      blocks,
      layout,
      password: PASSWORD,
      salt: SALT,
      bombs: more.bombs ?? [],
      indexDigits: more.indexDigits ?? 1,
    };
    return (await run("python3", [MAKER], JSON.stringify(wish))).trim();
  }

  /** Options that open a folder of this layout. */
  secrets(layout: Layout): string[] {
    return layout === "encrypted"
      ? ["--password-file", `${this.folder}/password`, "--salt-file", `${this.folder}/salt`]
      : [];
  }

  store(name: string): string {
    return `${this.folder}/store-${name}`;
  }

  start(args: readonly string[], store = "0"): Running {
    return start(args, { env: { COLDCASE_STORE: this.store(store), COLDCASE_CASE: "2026-114" } });
  }

  run(args: readonly string[], store = "0"): Promise<Ended> {
    return this.start(args, store).ended;
  }

  import(layout: Layout, path: string, more: readonly string[] = []): Promise<Ended> {
    return this.run(["import", path, "--json", ...this.secrets(layout), ...more], layout);
  }
}

/** The file of a block. */
export function fileOf(folder: string, block: number | string): string {
  const name = [...Deno.readDirSync(folder)].find((entry) => entry.name.startsWith(`${block}_`))?.name;
  if (name === undefined) throw new Error(`Cannot find block ${block} in "${folder}"`);
  return `${folder}/${name}`;
}

/** What was found, one text a finding. */
export function findingsOf(events: readonly JsonEvent[]): string[] {
  return events.filter(({ type }) => type === "finding").map(({ message }) => String(message));
}
