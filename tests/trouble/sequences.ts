/**
 * Whole acquisitions by seed: a random sequence of a network's, a clock's and the credentials' troubles over one snapshot.
 * Each run must end with the right image by itself, and ask for nothing again but what was lost; where the sequence has it
 * give up, the same command must.
 */
import { assertEquals } from "@std/assert";
import { acquireSnapshot } from "../../src/acquisition/mod.ts";
import { openSource } from "../../src/aws/source.ts";
import { OperatorError } from "../../src/errors.ts";
import type { SnapshotId, SourceEvent } from "../../src/model.ts";
import { openStoreForWriting } from "../../src/store/mod.ts";
import { realWorld } from "../../src/world.ts";
import { inputFor } from "../acquisition/runs.ts";
import { CrashDisk } from "../crash/crash_disk.ts";
import { type Below, pick, seededBelow } from "../seeded.ts";
import { withHostTime } from "./clock.ts";
import type { Stranger } from "./line.ts";
import { BLOCKS, cleanDigest, FIRST, HOUR_MS, MINUTE_MS, TroubleStage, withTrouble } from "./stage.ts";

/** Real time without a byte, after which a request is given up: a run must not take minutes. */
const STALL_MS = 120;
const CONCURRENCY = 4;

/** A world in which one acquisition runs, and what somebody does in it. */
interface Sequence {
  readonly stage: TroubleStage;
  readonly below: Below;
  renew(): void;
  /** The name of the service is not known. */
  setNameless(isNameless: boolean): void;
}

type Kind = (sequence: Sequence) => void | Promise<void>;

const STRANGERS: readonly Stranger[] = [
  { status: 200, body: "<!DOCTYPE html><html>Log in</html>" },
  { status: 302, headers: { Location: "http://login.example/" } },
  { status: 407, body: "<html>Proxy Authentication Required</html>" },
  { status: 407 },
  { status: 502, body: "<html>Bad Gateway</html>" },
  { status: 503, body: "<html>Unavailable</html>" },
  { status: 404, type: "application/json", body: "{}" },
  { status: 200, type: "application/json", body: "{}" },
];

const KINDS: Readonly<Record<string, Kind>> = {
  async "port closed"({ stage, below }) {
    await stage.line.set("closed");
    await stage.clock.passed(below(20) * MINUTE_MS);
    await stage.line.set("open");
  },
  "connections reset": ({ stage }) => stage.line.drop(),
  "connections dead": ({ stage }) => stage.line.forget(),
  async "nobody answers"({ stage, below }) {
    await stage.line.set({ muteAfterBytes: below(2) * below(5000) });
    await stage.clock.passed(below(60) * 1000);
    await stage.line.set("open");
  },
  async "a stranger answers"({ stage, below }) {
    await stage.line.set({ stranger: pick(below, STRANGERS) });
    await stage.clock.passed(below(20) * MINUTE_MS);
    await stage.line.set("open");
  },
  async "no such name"({ stage, below, setNameless }) {
    setNameless(true);
    stage.line.drop();
    await stage.clock.passed(below(20) * MINUTE_MS);
    setNameless(false);
  },
  async "credentials end"({ stage, below, renew }) {
    stage.clock.pass(16 * MINUTE_MS);
    await stage.clock.passed(below(10) * MINUTE_MS);
    renew();
  },
  "the clock jumps": ({ stage, below }) => stage.clock.setOffset((below(49) - 24) * HOUR_MS),
  async "the host sleeps"({ stage, below, renew }) {
    stage.clock.suspend((1 + below(5)) * HOUR_MS);
    if (below(2) === 0) stage.line.drop();
    else stage.line.forget();
    await stage.clock.passed(below(3) * MINUTE_MS);
    renew();
  },
  async "the service fails"({ stage, below }) {
    const kind = pick(below, ["error500", "error503", "throttle", "refuse", "reset", "short"]);
    stage.simulator.setFaults(`${kind}:1`);
    await stage.clock.passed(below(5) * MINUTE_MS);
    stage.simulator.setFaults("");
  },
};

export interface SequenceCounts {
  readonly runs: number;
  readonly troubles: number;
  /** Runs that gave up on the way, and were begun again. */
  readonly givenUp: number;
  readonly violations: readonly string[];
}

/** Runs sequences of the seeds from `seed` on. */
export async function runSequences(seed: number, runs: number): Promise<SequenceCounts> {
  const expected = await cleanDigest();
  const counts = { runs: 0, troubles: 0, givenUp: 0 };
  const violations: string[] = [];
  for (; counts.runs < runs; counts.runs++) {
    const own = (seed + counts.runs) % 2 ** 32;
    const happened: string[] = [];
    const run = await runSequence(own, expected, happened).catch((error: unknown) => {
      const text = error instanceof Error ? error.stack ?? error.message : String(error);
      violations.push(`COLDCASE_SEED=${own} [${happened.join(", ")}]: ${text}`);
      return { givenUp: 0 };
    });
    counts.troubles += happened.length;
    counts.givenUp += run.givenUp;
  }
  return { ...counts, violations };
}

async function runSequence(seed: number, expected: string, happened: string[]): Promise<{ givenUp: number }> {
  const below = seededBelow(seed);
  let givenUp = 0;
  await withTrouble({ pageLimit: 5 + below(60) }, async (stage) => {
    const renew = stage.useCredentialsFile({ minutes: 15 });
    // Somebody logs in again every twenty minutes: five of them are waited for.
    const keepRenewing = (): Promise<void> =>
      stage.clock.passed(20 * MINUTE_MS).then(() => stage.isClosed ? undefined : (renew(), keepRenewing()));
    void keepRenewing();
    const network = new Resolver();
    const sequence = { stage, below, renew, setNameless: (is: boolean) => network.setNameless(is) };
    for (let at = 1 + below(12); at < BLOCKS; at += 2 + below(12)) {
      const name = pick(below, Object.keys(KINDS));
      stage.after(at, () => {
        happened.push(`${name} at ${at}`);
        return KINDS[name]!(sequence);
      });
    }
    const giveUpAfterMs = below(4) === 0 ? 8 * MINUTE_MS : 24 * HOUR_MS;
    const disk = new CrashDisk();
    disk.makeDirectory("/case");
    const digest = await withHostTime(stage.clock, () =>
      network.during(async () => {
        for (;; givenUp++) {
          const outcome = await session({ stage, disk, giveUpAfterMs });
          if (outcome !== undefined) return outcome;
          // Somebody logs in, waits for a better day and runs it again.
          await stage.settled();
          renew();
        }
      }));
    assertEquals(digest, expected);
    if (stage.servedBlocks > stage.allowedBlocks) {
      throw new Error(`${stage.servedBlocks} blocks were served, ${stage.allowedBlocks} with those lost`);
    }
  });
  return { givenUp };
}

/** One run of the program: the image's digest, or undefined where it gave up, saved. */
async function session(
  { stage, disk, giveUpAfterMs }: {
    readonly stage: TroubleStage;
    readonly disk: CrashDisk;
    readonly giveUpAfterMs: number;
  },
): Promise<string | undefined> {
  const { clock } = stage;
  const environment = stage.environment();
  const waits: SourceEvent[] = [];
  const source = await openSource({
    ...{ clock, randomness: realWorld().randomness, environment: (name) => environment[name] || undefined },
    ...{ stallMs: STALL_MS, giveUpAfterMs, maxConcurrency: CONCURRENCY },
    onEvent: (event) => void (event.type === "waiting" && waits.push(event)),
  });
  const store = await openStoreForWriting({ ...realWorld(), clock, disk }, "/case/store");
  const startedMs = clock.monotonicMs();
  try {
    const { id } = await acquireSnapshot(
      inputFor({ store, source, snapshot: FIRST as SnapshotId }, { clock, concurrency: CONCURRENCY }),
    );
    const exhibit = await store.exhibit(id);
    const unreadable = await exhibit.unreadable();
    if (unreadable?.length) throw new Error(`unreadable: ${JSON.stringify(unreadable.slice(0, 3))}`);
    return exhibit.manifest.imageDigest;
  } catch (error) {
    const isPatient = clock.monotonicMs() - startedMs >= Math.min(giveUpAfterMs, 30_000);
    const isRight = error instanceof OperatorError && ["source", "access"].includes(error.code) && isPatient;
    if (!isRight) throw error;
    if (waits.length === 0) {
      throw new Error(`it told nobody that it waited: ${error.message}`, { cause: error });
    }
    return undefined;
  } finally {
    store.close();
    source.close();
  }
}

/** What a name server does for fetch, as far as a test can take it away. */
class Resolver {
  #isNameless = false;

  setNameless(isNameless: boolean): void {
    this.#isNameless = isNameless;
  }

  async during<T>(body: () => Promise<T>): Promise<T> {
    const real = globalThis.fetch;
    globalThis.fetch = (input, init) => {
      // As Deno 2.9.6 words it.
      const reason =
        "client error (Connect): dns error: failed to lookup address information: Name or service not known";
      return this.#isNameless ? Promise.reject(new TypeError(reason)) : real(input, init);
    };
    try {
      return await body();
    } finally {
      globalThis.fetch = real;
    }
  }
}

/** Tells the counts; throws where there was a violation. */
export async function requireSequences(runs: number): Promise<void> {
  const seed = Number(Deno.env.get("COLDCASE_SEED") ?? Date.now() % 2 ** 32);
  const { troubles, givenUp, violations } = await runSequences(seed, runs);
  // deno-lint-ignore no-console
  console.log(
    `${runs} acquisitions through ${troubles} troubles, ${givenUp} given up and resumed, ${violations.length} violations, ` +
      `COLDCASE_SEED=${seed}`,
  );
  assertEquals(violations.length, 0, violations.slice(0, 5).join("\n\n"));
}
