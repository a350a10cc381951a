/**
 * `demo`: the main job with no AWS account. A made-up disk behind the simulated endpoint is planned, acquired,
 * interrupted, resumed, acquired again after somebody cleaned up, verified, exported and compared. Every step
 * is the real command with real arguments; only its words are retold shorter.
 */
import { Buffer } from "node:buffer";
import { join, resolve } from "@std/path";
import { type CommandContext, defineCommand, type Program, run, type TextStream } from "../cli/mod.ts";
import { OperatorError } from "../errors.ts";
import { type Simulator, startSimulator, writeDemoDisk } from "../simulate/mod.ts";
import { formatDuration, formatSize, formatUsd } from "../units.ts";
import { COMMANDS } from "./mod.ts";

const BEFORE = "snap-00000000000000001";
const AFTER = "snap-00000000000000002";
/** Blocks served before the demo interrupts itself. */
const INTERRUPT_AFTER = 30;

export const demo = defineCommand({
  usage: "",
  description:
    "Shows the main job with no AWS account, in a few seconds: plan, acquire, an interruption, resume, an incremental acquisition, verify, export, compare.",
  options: {
    keep: { value: "DIR", summary: "keep disks, store and image in this new folder" },
  },
  exitCodes: { storage: true },
  examples: [{ command: "coldcase demo --keep ./demo", says: "and look around afterwards" }],
  async run(context, { options }) {
    const { disk, clock } = context.world;
    const folder = options.keep === undefined
      ? Deno.makeTempDirSync({ prefix: "coldcase-demo-" })
      : resolve(options.keep);
    if (options.keep !== undefined) {
      if (disk.stat(folder)) {
        throw new OperatorError("usage", `Cannot keep the demo in "${folder}": it is there already`);
      }
      disk.makeDirectory(folder);
    }
    const startedMs = clock.monotonicMs();
    try {
      await tell(context, folder);
      context.out.result(
        `That took ${formatDuration(clock.monotonicMs() - startedMs)}.${
          options.keep === undefined ? "" : ` Look around in ${folder}.`
        }\n`,
      );
      return 0;
    } finally {
      if (options.keep === undefined) Deno.removeSync(folder, { recursive: true });
    }
  },
});

async function tell(context: CommandContext, folder: string): Promise<void> {
  const say = (text: string) => context.out.result(`${text}\n`);
  const [found, cleaned] = [join(folder, "found.img"), join(folder, "cleaned.img")];
  writeDemoDisk(found, "found");
  const interruption = new Interruption();
  const simulator = await startSimulator({
    snapshots: [{ id: BEFORE, path: found, volumeId: "vol-0c01dca5e" }],
    onRequest: ({ call }) => interruption.count(call),
  });
  try {
    say("A made-up disk of 1 GiB behind a simulated EBS endpoint; no AWS account is used.");
    const stage = new Stage(context, { folder, simulator, interruption });
    const plan = await stage.run(`plan ${BEFORE}`, 0);
    say(`\n$ coldcase plan ${BEFORE}`);
    say(
      `  ${plan["fetchBlocks"]} blocks to fetch (${formatSize(Number(plan["fetchBytes"]))}), ${
        plan["absentBlocks"]
      } never written; about ${formatUsd(Number(plan["totalUsd"]))}; one block: ${plan["canaryMs"]} ms`,
    );
    interruption.arm(INTERRUPT_AFTER);
    const got = gets(simulator);
    await stage.run(`acquire ${BEFORE} --case DEMO-1 --concurrency 4`, 130);
    say(`\n$ coldcase acquire ${BEFORE} --case DEMO-1`);
    say(`  ^C after ${gets(simulator) - got} blocks: saved, exit code 130`);
    const full = await stage.run(`acquire ${BEFORE} --case DEMO-1`, 0);
    say(`\n$ coldcase acquire ${BEFORE} --case DEMO-1      # the same command again`);
    say(
      `  goes on: ${full["storedBlocks"]} blocks held, ${
        gets(simulator) - got
      } were asked for in both runs together: those on the way at ^C again, nothing else`,
    );
    writeDemoDisk(cleaned, "cleaned");
    await simulator.addSnapshot({ id: AFTER, path: cleaned, volumeId: "vol-0c01dca5e" });
    const before = gets(simulator);
    const later = await stage.run(`acquire ${AFTER} --case DEMO-1`, 0);
    say(`\n$ coldcase acquire ${AFTER} --case DEMO-1      # somebody has cleaned up since`);
    say(
      `  built on the first exhibit: ${gets(simulator) - before} blocks fetched, the rest of ${
        later["storedBlocks"]
      } taken over`,
    );
    const verified = await stage.run("verify", 0);
    say("\n$ coldcase verify");
    say(
      `  every byte of both exhibits matches its SHA-256 (${
        formatSize(Number(verified["readBytes"]))
      } read for the later one)`,
    );
    const image = join(folder, "image.img");
    const exported = await stage.run(`export ${AFTER} -o ${image}`, 0);
    say(`\n$ coldcase export ${AFTER} -o image.img`);
    say(
      `  ${formatSize(Number(exported["volumeSizeBytes"]))}, SHA-256 ${
        (exported["digests"] as { sha256?: string }).sha256
      }`,
    );
    say(
      `  compared with the disk behind the endpoint: ${
        isEqual(image, cleaned) ? "equal in every byte" : refuseDifference()
      }`,
    );
  } finally {
    await simulator.close();
  }
}

function gets(simulator: Simulator): number {
  return simulator.requests.count("GetSnapshotBlock");
}

function refuseDifference(): never {
  throw new OperatorError(
    "integrity",
    "Cannot end the demo: the image differs from the disk that was served",
  );
}

/** Compares two files byte by byte. */
function isEqual(one: string, other: string): boolean {
  const files = [Deno.openSync(one), Deno.openSync(other)] as const;
  try {
    const buffers = [new Uint8Array(4 << 20), new Uint8Array(4 << 20)] as const;
    for (;;) {
      const [a, b] = [files[0].readSync(buffers[0]), files[1].readSync(buffers[1])];
      if (a !== b) return false;
      if (a === null) return true;
      if (Buffer.compare(buffers[0].subarray(0, a), buffers[1].subarray(0, a)) !== 0) return false;
    }
  } finally {
    for (const file of files) file.close();
  }
}

/** Presses Ctrl-C when the endpoint has served so many blocks. */
class Interruption {
  #left = Infinity;
  onDue: () => void = () => {};

  arm(blocks: number): void {
    this.#left = blocks;
  }

  count(call: string | undefined): void {
    if (call === "GetSnapshotBlock" && --this.#left === 0) this.onDue();
  }
}

/** Runs commands as the command line does, against the simulated endpoint, and keeps what they say. */
class Stage {
  readonly #program: Program;
  readonly #store: string;
  #lines: string[] = [];
  #errors = "";

  constructor(
    context: CommandContext,
    setting: { readonly folder: string; readonly simulator: Simulator; readonly interruption: Interruption },
  ) {
    const { world, version } = context;
    const variables = setting.simulator.environment();
    const stream = (take: (text: string) => void): TextStream => ({
      isTerminal: false,
      columns: () => undefined,
      write(text) {
        take(text);
        return undefined;
      },
    });
    this.#store = join(setting.folder, "evidence");
    this.#program = {
      commands: COMMANDS,
      version,
      versionText: () => version,
      world: {
        ...world,
        host: world.host,
        environment: (name) =>
          variables[name] ?? (name === "XDG_CONFIG_HOME" ? join(setting.folder, "configuration") : undefined),
      },
      terminal: {
        stdout: stream((text) => this.#lines.push(text)),
        stderr: stream((text) => this.#errors += text),
        writeBinary: () => Promise.reject(new Error("the demo writes no binary data to stdout")),
      },
      interrupts: {
        listen(onSignal) {
          setting.interruption.onDue = () => onSignal("SIGINT");
          const stop = () => onSignal("SIGINT");
          context.signal.addEventListener("abort", stop);
          return () => context.signal.removeEventListener("abort", stop);
        },
        exitNow: () => context.signal.throwIfAborted(),
      },
    };
  }

  /** Runs `line` and gives the JSON object of its result. Throws where it does not end with `exitCode`. */
  async run(line: string, exitCode: number): Promise<Readonly<Record<string, unknown>>> {
    this.#lines = [];
    this.#errors = "";
    const code = await run(
      [...line.split(" "), "--json", "--no-progress", "--store", this.#store],
      this.#program,
    );
    if (code !== exitCode) {
      throw new OperatorError(
        "internal",
        `Cannot go on with the demo: "coldcase ${line}" ended with ${code}`,
        {
          hints: this.#errors.trimEnd().split("\n"),
        },
      );
    }
    const objects = this.#lines.join("").split("\n").filter((text) => text !== "").map((text) =>
      JSON.parse(text) as Record<string, unknown>
    );
    return objects.findLast(({ type }) => type === "summary" || type === "plan") ?? {};
  }
}
