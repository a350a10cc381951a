/**
 * `deno task bench:scale`: what the size of a volume costs, when little of it was written. Volumes by formula, served
 * by `coldcase simulate`: planned, acquired, killed and gone on with, acquired again after a change, listed, verified;
 * each a whole process. Numbers only: nothing here passes or fails by them.
 */
import { formatSize, parseSize } from "../../src/units.ts";
import { machineFacts } from "./machine.ts";
import { measure, type Measured } from "./measure.ts";
import { remove, succeeded } from "./place.ts";
import { CHECKOUT, environmentFor, ownBuild } from "./programs.ts";
import { formatTable } from "./table.ts";

const SIZES = ["1TiB", "8TiB", "64TiB"] as const;
const BLOCK_BYTES = 512 * 1024;
/** Spread evenly over the volume. */
const WRITTEN_BLOCKS = 2048;
/** Of those, from the first snapshot to the second. */
const CHANGED_SHARE = 0.1;
const KILL_AFTER_BLOCKS = WRITTEN_BLOCKS / 2;

const SNAPSHOTS = {
  dense: "snap-00000000000000d0",
  first: "snap-00000000000000a0",
  second: "snap-00000000000000a1",
  killed: "snap-00000000000000b0",
} as const;

interface Step {
  readonly size: string;
  readonly name: string;
  readonly used: Measured;
  /** What the store holds after it; `undefined` for a step that writes nothing. */
  readonly storeBytes?: number;
}

function say(text: string): void {
  const bytes = new TextEncoder().encode(text);
  for (let done = 0; done < bytes.length;) done += Deno.stdout.writeSync(bytes.subarray(done));
}

/** A simulator in a process of its own. */
class Simulator {
  readonly url: string;
  readonly #log: string;
  readonly #child: Deno.ChildProcess;

  private constructor(url: string, log: string, child: Deno.ChildProcess) {
    this.url = url;
    this.#log = log;
    this.#child = child;
  }

  static async start(folder: string, size: string): Promise<Simulator> {
    const log = `${folder}/requests`;
    const every = parseSize(size) / BLOCK_BYTES / WRITTEN_BLOCKS;
    const scattered = `synthetic:${size},seed=1,every=${every},change=${CHANGED_SHARE},volume=vol-00000001`;
    const snapshots = [
      `${SNAPSHOTS.dense}=synthetic:${size},seed=2`,
      `${SNAPSHOTS.first}=${scattered}`,
      `${SNAPSHOTS.second}=${scattered},version=1`,
      `${SNAPSHOTS.killed}=synthetic:${size},seed=3,every=${every}`,
    ];
    const [command, ...words] = ownBuild().argv;
    const child = new Deno.Command(command!, {
      args: [...words, "simulate", "--json", "-q", "--region", "eu-central-1", "--log", log]
        .concat(snapshots.flatMap((snapshot) => ["--snapshot", snapshot])),
      clearEnv: true,
      env: environmentFor({ endpoint: "http://127.0.0.1:9", folder }),
      stdin: "null",
      stdout: "piped",
      stderr: "null",
    }).spawn();
    const { url } = await firstLine(child.stdout);
    return new Simulator(url, log, child);
  }

  /** GetSnapshotBlock requests so far. */
  blockRequests(): number {
    return Deno.readTextFileSync(this.#log).match(/"GetSnapshotBlock"/g)?.length ?? 0;
  }

  async close(): Promise<void> {
    this.#child.kill("SIGTERM");
    await this.#child.status;
  }
}

async function firstLine(stdout: ReadableStream<Uint8Array>): Promise<{ readonly url: string }> {
  const decoder = new TextDecoder();
  let text = "";
  for await (const piece of stdout) {
    text += decoder.decode(piece, { stream: true });
    if (text.includes("\n")) break;
  }
  return JSON.parse(text.split("\n")[0]!);
}

class Scale {
  readonly #folder: string;
  readonly #size: string;
  readonly #simulator: Simulator;
  readonly #store: string;
  readonly steps: Step[] = [];

  constructor(folder: string, size: string, simulator: Simulator) {
    this.#folder = folder;
    this.#size = size;
    this.#simulator = simulator;
    this.#store = `${folder}/store`;
  }

  async run(): Promise<void> {
    const { dense, first, second, killed } = SNAPSHOTS;
    const inStore = ["-s", this.#store, "-q"];
    const acquire = (snapshot: string) => ["acquire", snapshot, ...inStore, "--case", "scale"];
    await this.#step("plan, every block written", ["plan", dense, "-q"]);
    await this.#step(`plan, ${WRITTEN_BLOCKS} blocks written`, ["plan", first, "-q"]);
    await this.#step("acquire", acquire(first), { writes: true });
    await this.#kill(acquire(killed));
    await this.#step("acquire, after a kill at half", acquire(killed), { writes: true });
    await this.#step("acquire, a tenth changed", acquire(second), { writes: true });
    await this.#step("ls", ["ls", ...inStore]);
    await this.#step("verify, all bytes", ["verify", second, ...inStore]);
  }

  async #step(name: string, words: readonly string[], { writes = false } = {}): Promise<void> {
    const argv = [...ownBuild().argv, ...words];
    const used = succeeded(argv, await measure({ argv, env: this.#env(), stdout: "kept" }, this.#folder));
    this.steps.push({ size: this.#size, name, used, ...(writes && { storeBytes: bytesBelow(this.#store) }) });
  }

  /** Starts it, and kills it when half of the blocks were asked for. */
  async #kill(words: readonly string[]): Promise<void> {
    const [command, ...args] = [...ownBuild().argv, ...words];
    const before = this.#simulator.blockRequests();
    const child = new Deno.Command(command!, {
      args,
      clearEnv: true,
      env: this.#env(),
      stdin: "null",
      stdout: "null",
      stderr: "null",
    }).spawn();
    let hasEnded = false;
    const ended = child.status.then(() => hasEnded = true);
    while (!hasEnded && this.#simulator.blockRequests() - before < KILL_AFTER_BLOCKS) {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    if (hasEnded) throw new Error("Cannot kill the acquisition: it has ended");
    child.kill("SIGKILL");
    await ended;
  }

  #env(): Record<string, string> {
    return environmentFor({ endpoint: this.#simulator.url, folder: this.#folder });
  }
}

function bytesBelow(folder: string): number {
  let bytes = 0;
  for (const entry of Deno.readDirSync(folder)) {
    const path = `${folder}/${entry.name}`;
    bytes += entry.isDirectory ? bytesBelow(path) : Deno.statSync(path).size;
  }
  return bytes;
}

function rowOf({ size, name, used, storeBytes }: Step): string[] {
  return [
    size,
    name,
    used.wallSeconds.toFixed(2),
    used.cpuSeconds.toFixed(2),
    (used.peakMemoryBytes / 2 ** 20).toFixed(0),
    storeBytes === undefined ? "" : formatSize(storeBytes),
  ];
}

if (import.meta.main) {
  const sizes = Deno.args.length > 0 ? Deno.args : SIZES;
  const machine = await machineFacts(CHECKOUT);
  say(`${machine.processor}, ${machine.cores} cores, commit ${machine.commit}, Deno ${machine.deno}, `);
  say(`load ${machine.loadAtStart.toFixed(2)}, ${new Date().toISOString()}\n\n`);
  const rows: string[][] = [];
  for (const size of sizes) {
    const folder = Deno.makeTempDirSync({ prefix: "coldcase-scale-" });
    const simulator = await Simulator.start(folder, size);
    try {
      const scale = new Scale(folder, size, simulator);
      await scale.run();
      rows.push(...scale.steps.map(rowOf));
    } finally {
      await simulator.close();
      remove(folder);
    }
  }
  const head = ["volume", "step", "wall s", "CPU s", "peak MiB", "store"];
  say(formatTable([head, ...rows], ["left", "left", "right", "right", "right", "right"]));
}
