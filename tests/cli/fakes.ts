/**
 * An outside for the command-line layer that remembers what it was given: terminal, clock, signals, world. The clock
 * moves only when a test moves it. Nothing here touches the machine.
 */
import type { Clock, Disk, World } from "../../src/model.ts";
import { type Interrupts, type StopSignal, type Terminal, type TextStream } from "../../src/cli/mod.ts";
import { type CommandEntry, defineCommand, type Program, run } from "../../src/cli/mod.ts";

interface Sleeper {
  readonly dueMs: number;
  readonly wake: () => void;
}

export class FakeClock implements Clock {
  #nowMs = 1_700_000_000_000;
  #sleepers: Sleeper[] = [];

  nowMs(): number {
    return this.#nowMs;
  }

  monotonicMs(): number {
    return this.#nowMs - 1_700_000_000_000;
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason);
      const sleeper = { dueMs: this.#nowMs + ms, wake: resolve };
      this.#sleepers.push(sleeper);
      signal?.addEventListener("abort", () => {
        this.#sleepers = this.#sleepers.filter((other) => other !== sleeper);
        reject(signal.reason);
      }, { once: true });
    });
  }

  /** Lets `ms` pass, waking whoever is due on the way, in order. */
  async pass(ms: number): Promise<void> {
    const untilMs = this.#nowMs + ms;
    for (;;) {
      const [next] = this.#sleepers.filter((sleeper) => sleeper.dueMs <= untilMs)
        .sort((one, other) => one.dueMs - other.dueMs);
      if (!next) break;
      this.#nowMs = next.dueMs;
      this.#sleepers = this.#sleepers.filter((other) => other !== next);
      next.wake();
      await new Promise((resolve) => setTimeout(resolve, 0));
    }
    this.#nowMs = untilMs;
  }

  get sleeperCount(): number {
    return this.#sleepers.length;
  }
}

export class FakeStream implements TextStream {
  text = "";
  /** What every further write meets. */
  failure: Error | undefined;

  constructor(readonly isTerminal: boolean, public width: number | undefined) {}

  columns(): number | undefined {
    return this.width;
  }

  write(text: string): Error | undefined {
    if (!this.failure) this.text += text;
    return this.failure;
  }
}

export class FakeTerminal implements Terminal {
  readonly stdout: FakeStream;
  readonly stderr: FakeStream;
  readonly binary: Uint8Array[] = [];

  constructor(options: { readonly isTerminal: boolean; readonly columns?: number }) {
    const width = options.isTerminal ? options.columns ?? 80 : undefined;
    this.stdout = new FakeStream(options.isTerminal, width);
    this.stderr = new FakeStream(options.isTerminal, width);
  }

  writeBinary(bytes: Uint8Array): Promise<void> {
    if (this.stdout.failure) return Promise.reject(this.stdout.failure);
    this.binary.push(bytes);
    return Promise.resolve();
  }
}

export class FakeInterrupts implements Interrupts {
  readonly exits: number[] = [];
  listenerCount = 0;
  #listener: ((signal: StopSignal) => void) | undefined;

  listen(onSignal: (signal: StopSignal) => void): () => void {
    this.#listener = onSignal;
    this.listenerCount++;
    return () => {
      this.#listener = undefined;
      this.listenerCount--;
    };
  }

  exitNow(exitCode: number): void {
    this.exits.push(exitCode);
  }

  send(signal: StopSignal): void {
    this.#listener?.(signal);
  }
}

/** No file system: the layer has no business with one. */
const noDisk: Disk = new Proxy({} as Disk, {
  get(_, name) {
    throw new Error(`disk.${String(name)} was used`);
  },
});

export interface Stage {
  readonly clock: FakeClock;
  readonly terminal: FakeTerminal;
  readonly interrupts: FakeInterrupts;
  readonly environment: Record<string, string>;
  readonly program: Program;
  /** Runs a command line as a shell would split it at spaces. */
  run(line: string): Promise<number>;
}

/** A program of `commands` on a fake outside. */
export function stage(
  commands: readonly CommandEntry[],
  options: { isTerminal?: boolean; columns?: number; environment?: Record<string, string> } = {},
): Stage {
  const clock = new FakeClock();
  const terminal = new FakeTerminal({ isTerminal: false, ...options });
  const interrupts = new FakeInterrupts();
  const environment = options.environment ?? {};
  const world: World = {
    clock,
    randomness: { bytes: (length) => new Uint8Array(length), fraction: () => 0.5 },
    disk: noDisk,
    host: {
      hostname: "host",
      user: "user",
      operatingSystem: "test",
      cpuCount: 2,
      processId: 1,
      runtime: "test",
      programPath: undefined,
    },
    environment: (name) => environment[name] || undefined,
  };
  const versionText = () => "coldcase 9.8.7\nDeno";
  const program: Program = { commands, version: "9.8.7", versionText, world, terminal, interrupts };
  const runLine = (line: string) => run(line.split(" ").filter((word) => word !== ""), program);
  return { clock, terminal, interrupts, environment, program, run: runLine };
}

/** A command that does what it is told to, and lists nothing but that. */
export function entry(
  name: string,
  act: Parameters<typeof defineCommand>[0]["run"] = () => Promise.resolve(0),
): CommandEntry {
  const command = defineCommand({
    usage: "[WORD…]",
    description: "Acts.",
    options: {},
    examples: [],
    run: act,
  });
  return { name, summary: `does ${name}`, group: "Test", load: () => Promise.resolve(command) };
}
