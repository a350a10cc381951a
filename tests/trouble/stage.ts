/**
 * A stage for acquisitions in trouble: a simulated service with AWS's time, a line to it that fails on request, and the
 * program's own command line in this process, on a clock that makes hours pass at once. What happens, happens after so many
 * blocks were asked for.
 */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { run } from "../../src/cli/mod.ts";
import { COMMANDS } from "../../src/commands/mod.ts";
import { type Simulator, type SimulatorOptions, startSimulator } from "../../src/simulate/mod.ts";
import { realWorld } from "../../src/world.ts";
import { FakeInterrupts, FakeTerminal } from "../cli/fakes.ts";
import { TroubleClock, withHostTime } from "./clock.ts";
import { Line } from "./line.ts";

export const FIRST = "snap-00000001";
export const SECOND = "snap-00000002";

/** 49 blocks of 64 KiB; the second snapshot is of another volume. */
export const FORMULA = { seed: 9, volumeSizeGib: 1, every: 341, bytes: "pattern" } as const;
export const BLOCKS = 49;

/** Blocks under way at most. */
export const CONCURRENCY = 4;

export const MINUTE_MS = 60_000;
export const HOUR_MS = 60 * MINUTE_MS;

/** A run of the program that has ended. */
export interface Told {
  readonly exitCode: number;
  readonly stderr: string;
  /** Of `--json`. */
  readonly events: readonly ({ readonly type: string } & Readonly<Record<string, unknown>>)[];
}

/** None of the environment's. */
export const NO_KEYS = { AWS_ACCESS_KEY_ID: "", AWS_SECRET_ACCESS_KEY: "", AWS_SESSION_TOKEN: "" } as const;

interface Happening {
  readonly afterBlocks: number;
  readonly what: () => void | Promise<void>;
}

export class TroubleStage {
  readonly clock: TroubleClock;
  readonly simulator: Simulator;
  readonly line: Line;
  readonly folder: string;
  /** Added to the environment of each run. */
  readonly variables: Record<string, string> = {};
  /** GetSnapshotBlock requests, as the service saw them. */
  blockRequests = 0;
  isClosed = false;
  #happenings: Happening[] = [];
  #happened: Promise<unknown>[] = [];
  #interruptAt: string | undefined;

  private constructor(facts: { folder: string; clock: TroubleClock; simulator: Simulator; line: Line }) {
    this.folder = facts.folder;
    this.clock = facts.clock;
    this.simulator = facts.simulator;
    this.line = facts.line;
  }

  static async open(
    folder: string,
    options: SimulatorOptions & { hostOffsetMs?: number },
  ): Promise<TroubleStage> {
    const { hostOffsetMs = 0, ...rest } = options;
    const clock = new TroubleClock({ offsetMs: hostOffsetMs });
    const own: { stage?: TroubleStage } = {};
    const simulator = await startSimulator({
      clock: clock.aws,
      quotas: "none",
      countBlocks: true,
      blockSizeBytes: 65_536,
      snapshots: [{ id: FIRST, synthetic: FORMULA }, { id: SECOND, synthetic: { ...FORMULA, seed: 10 } }],
      onRequest: ({ call }) => void (call === "GetSnapshotBlock" && own.stage?.noteBlock()),
      ...rest,
    });
    const line = await Line.to(simulator.port);
    return own.stage = new TroubleStage({ folder, clock, simulator, line });
  }

  private noteBlock(): void {
    this.blockRequests++;
    const now = this.#happenings.filter(({ afterBlocks }) => afterBlocks === this.blockRequests);
    for (const { what } of now) {
      const happening = Promise.resolve(what());
      this.#happened.push(happening);
      happening.catch(() => undefined); // `close` throws it
    }
  }

  /** Once the service has seen so many requests for blocks. */
  after(blocks: number, what: () => void | Promise<void>): void {
    this.#happenings.push({ afterBlocks: blocks, what });
  }

  /** Ctrl-C in the next run, as soon as it says so. */
  interruptAt(text: string): void {
    this.#interruptAt = text;
  }

  /**
   * Credentials of a file, good for so long by AWS's clock. Gives what rewrites the file with the next ones, as whoever
   * logs in again does.
   */
  useCredentialsFile({ minutes }: { readonly minutes: number }): () => void {
    const path = `${this.folder}/credentials`;
    Object.assign(this.variables, NO_KEYS, { AWS_SHARED_CREDENTIALS_FILE: path });
    let number = 0;
    const renew = () => {
      const set = this.freshCredentials(++number, minutes);
      const lines = [
        "[default]",
        `aws_access_key_id = ${set.accessKeyId}`,
        `aws_secret_access_key = ${set.secretAccessKey}`,
        `aws_session_token = ${set.sessionToken}`,
      ];
      Deno.writeTextFileSync(path, `${lines.join("\n")}\n`);
    };
    renew();
    return renew;
  }

  /** Temporary credentials that the service takes from now on, for so long. */
  freshCredentials(number: number, minutes: number) {
    const set = {
      accessKeyId: `ASIATEMPORARY${String(number).padStart(7, "0")}`,
      secretAccessKey: `secret-of-${number}`,
      sessionToken: `session-${number}`,
      expiresAtMs: this.clock.aws.nowMs() + minutes * MINUTE_MS,
    };
    this.simulator.addCredentials(set);
    return set;
  }

  get store(): string {
    return `${this.folder}/evidence`;
  }

  /** The program's environment: credentials of the service, the line as its endpoint. */
  environment(): Record<string, string> {
    const { url } = this.line;
    return {
      ...this.simulator.environment(),
      AWS_ENDPOINT_URL: url,
      AWS_ENDPOINT_URL_EBS: url,
      AWS_ENDPOINT_URL_EC2: url,
      AWS_ENDPOINT_URL_STS: url,
      AWS_CONFIG_FILE: `${this.folder}/none`,
      AWS_SHARED_CREDENTIALS_FILE: `${this.folder}/none`,
      XDG_CONFIG_HOME: `${this.folder}/configuration`,
      COLDCASE_STORE: this.store,
      ...this.variables,
    };
  }

  /** Runs the program in this process, on the stage's clock. */
  async run(...args: string[]): Promise<Told> {
    const terminal = new FakeTerminal({ isTerminal: false });
    const interrupts = new FakeInterrupts();
    const stopAt = this.#interruptAt;
    this.#interruptAt = undefined;
    const write = terminal.stderr.write.bind(terminal.stderr);
    terminal.stderr.write = (text) => {
      if (stopAt !== undefined && text.includes(stopAt)) interrupts.send("SIGINT");
      return write(text);
    };
    const values = this.environment();
    const world = {
      ...realWorld(),
      clock: this.clock,
      environment: (name: string) => values[name] || undefined,
    };
    const exitCode = await withHostTime(this.clock, () =>
      run([...args, "--json"], {
        ...{ commands: COMMANDS, version: "0", versionText: () => "0", world, terminal },
        interrupts,
      }));
    const lines = terminal.stdout.text.split("\n").filter((line) => line !== "");
    return { exitCode, stderr: terminal.stderr.text, events: lines.map((line) => JSON.parse(line)) };
  }

  /** `acquire`, a few blocks at a time, packed in this thread. */
  acquire(snapshot: string, ...args: string[]): Promise<Told> {
    return this.run("acquire", snapshot, "--concurrency", String(CONCURRENCY), "--workers", "0", ...args);
  }

  /** Answers with a block, as the service saw them. */
  get servedBlocks(): number {
    return this.simulator.requests.of("GetSnapshotBlock").byStatus[200] ?? 0;
  }

  /** What may be served at the most where nothing was asked for again but what was lost on the way. */
  get allowedBlocks(): number {
    return BLOCKS + this.line.lostRequests;
  }

  /** Whatever was going on is over. */
  async settled(): Promise<void> {
    this.clock.pass(24 * HOUR_MS);
    await Promise.all(this.#happened);
  }

  async close(): Promise<void> {
    this.isClosed = true;
    this.clock.pass(1000 * HOUR_MS); // for what was to happen later
    await Promise.all(this.#happened).finally(() => this.line.close()).finally(() => this.simulator.close());
  }
}

/** Runs `body` on a stage in a folder of its own, which is removed afterwards. */
export async function withTrouble(
  options: SimulatorOptions & { readonly hostOffsetMs?: number },
  body: (stage: TroubleStage) => Promise<void>,
): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "coldcase-trouble-" });
  try {
    const stage = await TroubleStage.open(folder, options);
    try {
      await body(stage);
    } finally {
      await stage.close();
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

let clean: Promise<string> | undefined;

/** The image digest of FIRST where nothing went wrong. */
export function cleanDigest(): Promise<string> {
  return clean ??= (async () => {
    let digest = "";
    await withTrouble({}, async (stage) => {
      digest = imageDigestOf(await stage.acquire(FIRST));
      assertEquals(stage.servedBlocks, BLOCKS);
    });
    return digest;
  })();
}

/** Of the exhibit that a run committed. Throws where it did not. */
export function imageDigestOf(told: Told): string {
  const summary = told.events.find(({ type }) => type === "summary");
  if (told.exitCode !== 0 || !summary) throw new Error(`exit ${told.exitCode}\n${told.stderr}`);
  return String(summary["imageDigest"]);
}

/** Fails unless the run completed by itself, with the right image, and asked for nothing again but what was lost. */
export async function assertWhole(stage: TroubleStage, told: Told): Promise<void> {
  assertEquals(imageDigestOf(told), await cleanDigest());
  const { servedBlocks, allowedBlocks } = stage;
  assert(
    servedBlocks <= allowedBlocks,
    `${servedBlocks} blocks were served, ${allowedBlocks} with those lost`,
  );
}

/** Fails unless people and programs were told of the wait, and of its end. */
export function assertToldOf(told: Told, waitingFor: string): void {
  assertStringIncludes(told.stderr, `waiting for ${waitingFor}`);
  assertStringIncludes(told.stderr, "going on after");
  const waits = told.events.filter(({ type }) => type === "waiting");
  assert(waits.some((event) => String(event["waitingFor"]).includes(waitingFor)), JSON.stringify(waits));
  const shown = told.events.filter(({ type, waitingFor }) => type === "progress" && waitingFor !== undefined);
  assert(shown.length > 0, "progress says that it waits");
  assert(told.events.some(({ type, waitedMs }) => type === "recovered" && Number(waitedMs) >= 10_000));
}
