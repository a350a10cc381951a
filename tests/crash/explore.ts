/**
 * Runs a scenario once, undisturbed, then crashes it in memory after each of its operations, again and again, and asks
 * of every state that a crash may leave: does what was promised before still hold, does the same command go on from
 * there, and is the end the same? Some of the runs that go on are crashed, too. A state is its seed: it is printed, and
 * `COLDCASE_SEED=… COLDCASE_STATE=…` runs it alone.
 */
import type { Disk } from "../../src/model.ts";
import type { Below } from "../seeded.ts";
import { seededBelow } from "../seeded.ts";
import { CrashDisk, type FolderNode } from "./crash_disk.ts";
import { digestOf, type Leaves, Timeline } from "./states.ts";

/** Throws where something does not hold. */
export type Check = (disk: CrashDisk) => Promise<void>;

/** One run of the program on a disk. */
export interface Run {
  readonly disk: Disk;
  /** Another one in each run on one disk: no two make up the same names. */
  readonly seed: number;
  /** Tells what holds from here on, whatever crash follows. */
  promise(holds: Check): void;
}

export interface Scenario {
  readonly name: string;
  /** Makes what is there, durably, before the run. */
  prepare(disk: CrashDisk): Promise<void>;
  /** What is crashed, and what goes on after a crash: it sees by itself what is there. */
  run(run: Run): Promise<void>;
  /** Throws where something is visible that is not whole, in any state at all. */
  look: Check;
  /** What there is at the end: the same after any crash. Throws where it is not sound. */
  essence(disk: CrashDisk): Promise<string>;
}

export interface Exploration {
  readonly states: number;
  /** States that were those of other crashes, byte for byte: not counted above. */
  readonly repeated: number;
  readonly operations: number;
  readonly violations: readonly string[];
}

/** What is looked for after an operation, round by round; another one after the next, so that few rounds have all. */
const ROUND: readonly Leaves[] = ["all", "nothing", "all_but_one", "only_one", "any", "any"];
const FIRST_SEED = 1;
/** Every so many states the run that goes on from one is crashed as well. */
const CRASHED_AGAIN_EVERY = 8;
/** After so many rounds that found no state that is new, there are hardly any more. */
const MAX_BARREN_ROUNDS = 60;
/** More are of one cause, mostly. */
const MAX_VIOLATIONS = 5;

export interface Plan {
  /** Distinct states, at the least. */
  readonly states: number;
  readonly seed: number;
  /** Only this one, `POSITION.ROUND`. */
  readonly only: string | undefined;
}

/** A run that was recorded. */
interface Recorded {
  readonly timeline: Timeline;
  readonly disk: CrashDisk;
  readonly promises: readonly { readonly from: number; readonly holds: Check }[];
}

export async function explore(scenario: Scenario, plan: Plan): Promise<Exploration> {
  return await new Explorer(scenario, plan).all();
}

class Explorer {
  readonly #scenario: Scenario;
  readonly #plan: Plan;
  readonly #seen = new Set<string>();
  readonly #violations: string[] = [];
  #repeated = 0;
  #states = 0;
  #essence = "";

  constructor(scenario: Scenario, plan: Plan) {
    this.#scenario = scenario;
    this.#plan = plan;
  }

  async all(): Promise<Exploration> {
    const prepared = new CrashDisk();
    await this.#scenario.prepare(prepared);
    const recorded = await this.#record(prepared.root, FIRST_SEED);
    this.#essence = await this.#scenario.essence(recorded.disk);
    const { operations } = recorded.disk;
    const timelineFrom = recorded.timeline.restart();
    let barrenRounds = 0;
    for (let round = 0; this.#isGoingOn && barrenRounds < MAX_BARREN_ROUNDS; round++) {
      const before = this.#states;
      for (const timeline = timelineFrom();; timeline.advance()) {
        await this.#crashAt({ ...recorded, timeline }, round);
        if (timeline.position === operations.length || this.#violations.length >= MAX_VIOLATIONS) break;
      }
      barrenRounds = this.#states === before ? barrenRounds + 1 : 0;
    }
    return {
      states: this.#states,
      repeated: this.#repeated,
      operations: operations.length,
      violations: this.#violations,
    };
  }

  get #isGoingOn(): boolean {
    return this.#states < this.#plan.states && this.#violations.length < MAX_VIOLATIONS;
  }

  async #crashAt(recorded: Recorded, round: number): Promise<void> {
    const { timeline } = recorded;
    const name = `${timeline.position}.${round}`;
    const below = seededBelow(this.#plan.seed + timeline.position * 7919 + round * 104_729);
    // Where fewer states are wanted than there are operations, other ones each time.
    if (below(recorded.disk.operations.length) >= this.#plan.states) return;
    const leaves = ROUND[(round + 5 * timeline.position) % ROUND.length]!;
    const root = timeline.state(leaves, below);
    if (this.#plan.only !== undefined && this.#plan.only !== name) return;
    const key = `${recorded.promises.filter(({ from }) => from <= timeline.position).length} ${
      digestOf(root)
    }`;
    if (this.#seen.has(key)) {
      this.#repeated++;
      return;
    }
    this.#seen.add(key);
    await this.#check(root, { recorded, name, below, runs: 1, told: [] });
  }

  /** Goes on from a state; some of the runs that do are crashed as well. */
  async #check(
    root: FolderNode,
    state: {
      readonly recorded: Recorded;
      readonly name: string;
      readonly below: Below;
      /** Before this one. */
      readonly runs: number;
      /** What happened in them. */
      readonly told: readonly string[];
    },
  ): Promise<void> {
    const { recorded, name, below } = state;
    this.#states++;
    const { position } = recorded.timeline;
    const told = [
      ...state.told,
      ...recorded.disk.operations.slice(0, position).map(({ text }) => text),
      "--- crash ---",
    ];
    try {
      const crashed = new CrashDisk(root);
      await this.#scenario.look(crashed);
      for (const { from, holds } of recorded.promises) if (from <= position) await holds(crashed);
      const isCrashedAgain = below(CRASHED_AGAIN_EVERY) === 0 && state.runs === 1;
      // The same seed for all: where two crashes leave what comes to the same end, it is looked at once.
      const next = await this.#record(root, FIRST_SEED + state.runs);
      const essence = await this.#scenario.essence(next.disk);
      if (essence !== this.#essence) throw new Error(`${essence}\nis not\n${this.#essence}`);
      if (!isCrashedAgain) return;
      const again = next.timeline.restart()();
      for (let steps = below(next.disk.operations.length); steps > 0; steps--) again.advance();
      const left = again.state(ROUND[below(ROUND.length)]!, below);
      const promises = [
        ...recorded.promises.filter(({ from }) => from <= position).map(({ holds }) => ({ from: 0, holds })),
        ...next.promises,
      ];
      await this.#check(left, {
        recorded: { ...next, timeline: again, promises },
        name,
        below,
        runs: state.runs + 1,
        told,
      });
    } catch (error) {
      const what = error instanceof Error ? error.stack ?? error.message : String(error);
      this.#violations.push(
        `${this.#scenario.name}: COLDCASE_SEED=${this.#plan.seed} COLDCASE_STATE=${name}\n${
          told.map((text, at) => `${at + 1}. ${text}`).join("\n")
        }\n${what}`,
      );
    }
  }

  async #record(root: FolderNode, seed: number): Promise<Recorded> {
    const disk = new CrashDisk(root);
    const timeline = new Timeline(disk);
    const promises: { from: number; holds: Check }[] = [];
    await this.#scenario.run({
      disk,
      seed,
      promise: (holds) => promises.push({ from: disk.operations.length, holds }),
    });
    return { timeline, disk, promises };
  }
}

/**
 * Explores scenarios, each until so many distinct states were checked, and tells the counts. Throws where
 * there was a violation. The seed differs from run to run, unless COLDCASE_SEED tells one.
 */
export async function exploreAll(all: readonly (readonly [Scenario, states: number])[]): Promise<void> {
  const seed = Number(Deno.env.get("COLDCASE_SEED") ?? Date.now() % 2 ** 32);
  const only = Deno.env.get("COLDCASE_STATE");
  const violations: string[] = [];
  for (const [scenario, states] of all) {
    const found = await explore(scenario, { states, seed, only });
    // deno-lint-ignore no-console
    console.log(
      `${scenario.name}: ${found.states} states, ${found.violations.length} violations, after each of ${found.operations} operations, COLDCASE_SEED=${seed}`,
    );
    violations.push(...found.violations);
    if (only === undefined && found.states < states && found.violations.length === 0) {
      violations.push(`${scenario.name}: only ${found.states} states of ${states} were found`);
    }
  }
  if (violations.length > 0) throw new Error(violations.join("\n\n"));
}
