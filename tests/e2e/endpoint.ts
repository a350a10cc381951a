/**
 * A simulated endpoint in the test's own process, with the program pointed at it: a test sees each request
 * as it is answered, can hold the answers, and so stops the program at a fact and not at a time.
 */
import {
  type FaultKind,
  type RequestEntry,
  type Simulator,
  type SimulatorOptions,
  startSimulator,
} from "../../src/simulate/mod.ts";
import { coldcase, type Ended, type Running, type RunOptions, start } from "./program.ts";

export const FIRST = "snap-00000001";
export const SECOND = "snap-00000002";

/** A stage for whole runs: a folder, an endpoint, and the program with keys for it. */
export class Stage {
  readonly #watchers = new Set<(entry: RequestEntry) => void>();
  /** GetSnapshotBlock requests that are still answered; then they stall. */
  #room = Infinity;
  #onHeld: () => void = () => {};
  fault: (index: number, attempt: number) => FaultKind | undefined = () => undefined;

  private constructor(readonly folder: string, readonly simulator: Simulator) {}

  static async open(folder: string, options: SimulatorOptions): Promise<Stage> {
    const own: { stage?: Stage } = {};
    const simulator = await startSimulator({
      quotas: "none",
      countBlocks: true,
      faultHook: (target) => target.call === "GetSnapshotBlock" ? own.stage?.draw(target) : undefined,
      onRequest: (entry) => own.stage?.noteRequest(entry),
      ...options,
    });
    return own.stage = new Stage(folder, simulator);
  }

  private noteRequest(entry: RequestEntry): void {
    for (const watcher of this.#watchers) watcher(entry);
  }

  private draw(
    { index, attempt }: { readonly index: number; readonly attempt: number },
  ): FaultKind | undefined {
    if (this.#room-- > 0) return this.fault(index, attempt);
    this.#onHeld();
    return "stall";
  }

  get store(): string {
    return `${this.folder}/evidence`;
  }

  get env(): Record<string, string> {
    const none = `${this.folder}/none`;
    return {
      ...this.simulator.environment(),
      AWS_CONFIG_FILE: none,
      AWS_SHARED_CREDENTIALS_FILE: none,
      COLDCASE_STORE: this.store,
    };
  }

  /** Runs the program; `env` adds to the stage's. An empty value is as good as none. */
  run(args: readonly string[], options: RunOptions = {}): Promise<Ended> {
    return coldcase(args, { ...options, env: { ...this.env, ...options.env } });
  }

  start(args: readonly string[], options: RunOptions = {}): Running {
    return start(args, { ...options, env: { ...this.env, ...options.env } });
  }

  /** Starts it, and resolves once `count` blocks were asked for and one more waits for its answer in vain. */
  async startHeldAfter(count: number, args: readonly string[]): Promise<Running> {
    this.#room = count;
    const held = new Promise<void>((resolve) => this.#onHeld = resolve);
    const running = this.start(args);
    const early = running.ended.then((ended) => {
      throw new Error(`Cannot hold it after ${count} blocks: it ended\n${ended.stderr}`);
    });
    await Promise.race([held, early]);
    early.catch(() => undefined); // once it is held, how it ends is the test's business, and maybe the next is held already
    return running;
  }

  /** Answers again. */
  release(): void {
    this.#room = Infinity;
  }

  /** Resolves with the first request from now on that `matches`. */
  request(matches: (entry: RequestEntry) => boolean): Promise<RequestEntry> {
    return new Promise((resolve) => {
      const watcher = (entry: RequestEntry) => {
        if (!matches(entry)) return;
        this.#watchers.delete(watcher);
        resolve(entry);
      };
      this.#watchers.add(watcher);
    });
  }

  /** GetSnapshotBlock requests since the last time that this was asked. */
  getRequests(): number {
    const count = this.simulator.requests.count("GetSnapshotBlock");
    this.simulator.requests.reset();
    return count;
  }
}

/** Runs `body` on a stage in a folder of its own, which is removed afterwards. */
export async function withStage(
  options: SimulatorOptions | ((folder: string) => SimulatorOptions | Promise<SimulatorOptions>),
  body: (stage: Stage) => Promise<void>,
): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "coldcase-e2e-" });
  try {
    const stage = await Stage.open(folder, typeof options === "function" ? await options(folder) : options);
    try {
      await body(stage);
    } finally {
      await stage.simulator.close();
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}
