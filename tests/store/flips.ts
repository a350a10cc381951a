/**
 * Flips bits of a small store that has one of everything, one at a time, and asks each time whether verification
 * finds it and says where. Shared by three tests: one bit of some bytes, of every byte, and all eight. Works on several threads,
 * and in memory. Left out, with their reasons: `cache/`, which is rebuilt where it is damaged and is no
 * evidence; `lock` and `custody-lock`, which are empty.
 */
import { makeFullStore } from "../../scripts/example_store.ts";
import { readFiles } from "../../scripts/vectors/files.ts";
import { TEST_KEY } from "../signing_key.ts";
import { FACTS, reading, testWorld, withFolder } from "./fixtures.ts";
import { memoryDisk } from "./memory_disk.ts";
import { names, type StoreVerdict, verdictOf } from "./verdict.ts";

/** Where the disk in memory has the store. */
const ROOT = "/store";

/** What a thread is to do: every `stride`-th byte from `first` on. */
export interface FlipOrder {
  readonly files: Map<string, Uint8Array>;
  readonly first: number;
  readonly stride: number;
  /** 1: one bit of each byte, which one goes by the byte's place; 8: all. */
  readonly bits: 1 | 8;
}

export interface FlipCounts {
  readonly flips: number;
  /** Flips that were not found, or not located: a line each. */
  readonly violations: readonly string[];
}

/** The store's files as they are flipped. */
export async function flippedFiles(): Promise<Map<string, Uint8Array>> {
  let files = new Map<string, Uint8Array>();
  await withFolder(async (folder) => {
    await makeFullStore(`${folder}/store`);
    await correctCase(`${folder}/store`);
    files = readFiles(`${folder}/store`) as Map<string, Uint8Array>;
  });
  return files;
}

/** One of everything is a correction, too; the vectors have those of their own. */
async function correctCase(root: string): Promise<void> {
  await reading(root, async (store) => {
    const [exhibit] = await store.exhibits();
    await store.evidence.addCorrection(exhibit!, {
      at: "2026-01-02T03:06:00.000Z",
      correctedBy: "B. Lead",
      host: FACTS.host,
      reason: "Typing error",
      values: { case: "2026-018" },
    }, TEST_KEY);
  });
}

/** Does one thread's share. */
export async function flipShare({ files, first, stride, bits }: FlipOrder): Promise<FlipCounts> {
  const world = testWorld(memoryDisk(ROOT, files));
  const violations: string[] = [];
  let flips = 0;
  let position = 0;
  for (const [name, bytes] of files) {
    for (let offset = 0; offset < bytes.length; offset++) {
      if (position++ % stride !== first) continue;
      for (let count = 0; count < bits; count++) {
        const bit = (offset + count) % 8;
        bytes[offset]! ^= 1 << bit;
        const fault = faultOf(await verdictOf(ROOT, { world }), { name, bytes, offset, bit });
        bytes[offset]! ^= 1 << bit;
        flips++;
        if (fault !== undefined) violations.push(`${name}, byte ${offset}, bit ${bit}: ${fault}`);
      }
    }
  }
  const { exitCode } = await verdictOf(ROOT, { world });
  if (exitCode !== 0) violations.push(`the store is not what it was: ${exitCode}`);
  return { flips, violations };
}

/** What is wrong with what was said of a flip; `undefined`: nothing. */
function faultOf(
  verdict: StoreVerdict,
  flip: {
    readonly name: string;
    readonly bytes: Uint8Array;
    readonly offset: number;
    readonly bit: number;
  },
): string | undefined {
  const { name, bytes, offset, bit } = flip;
  if (verdict.exitCode !== 20 && verdict.exitCode !== 21) return `exit ${verdict.exitCode}`;
  if (!names(verdict, name)) return `not named: ${JSON.stringify(verdict.said)}`;
  if (!name.startsWith("packs/")) return undefined;
  // Both packs have one record: a header of 56 bytes, in which byte 4 is the codec, and what is stored.
  const isInRecord = offset >= 16 && offset < bytes.length - 88;
  const isLocated = verdict.said.some((one) =>
    one.file === name && (one.record !== undefined || one.firstBlock !== undefined)
  );
  // Of a zstd frame (RFC 8878, 3.1.1.1) the descriptor's unused bit and another window of at most 8 MiB leave the block
  // what it was: the record is as good as before, and only the file is damaged.
  const isHarmless = bytes[20] === 1 && (offset === 76 && bit === 4 || offset === 77 && bit < 7);
  return isInRecord && !isLocated && !isHarmless ? "neither record nor blocks are told" : undefined;
}

/**
 * Flips on as many threads as there are cores, and tells the counts.
 *
 * @param options `share`: of so many bytes one is flipped, another one in each run; 1: every byte.
 */
export async function flipAll(bits: 1 | 8, { share = 1 } = {}): Promise<FlipCounts> {
  const files = await flippedFiles();
  const threads = Math.min(4, navigator.hardwareConcurrency);
  const seed = Number(Deno.env.get("COLDCASE_SEED") ?? Date.now() % 2 ** 32);
  const stride = share * threads;
  const counts = await Promise.all(Array.from({ length: threads }, (_, thread) => {
    const first = seed % share + thread * share;
    return inThread({ files, first, stride, bits });
  }));
  const flips = counts.reduce((sum, each) => sum + each.flips, 0);
  const violations = counts.flatMap((each) => each.violations);
  // deno-lint-ignore no-console
  console.log(`${flips} flips, ${violations.length} violations, COLDCASE_SEED=${seed}`);
  return { flips, violations };
}

function inThread(order: FlipOrder): Promise<FlipCounts> {
  const worker = new Worker(new URL("./flips_thread.ts", import.meta.url), { type: "module" });
  return new Promise<FlipCounts>((resolve, reject) => {
    worker.onmessage = ({ data }) => data === "ready" ? worker.postMessage(order) : resolve(data);
    worker.onerror = (event) => {
      event.preventDefault();
      reject(new Error(`Cannot flip on: ${event.message}`));
    };
  }).finally(() => worker.terminate());
}
