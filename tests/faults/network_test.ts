/**
 * Any request may meet any fault of the network or the service, once or from then on: an acquisition completes or ends with
 * `source`, saved; the store is whole; once the faults are gone the next run completes. Over HTTP from the simulator,
 * on a clock that waits in no time. A share of all faults, another one in each run.
 */
import { assert, assertEquals } from "@std/assert";
import { acquireSnapshot } from "../../src/acquisition/mod.ts";
import { openSource } from "../../src/aws/source.ts";
import { OperatorError } from "../../src/errors.ts";
import type { Clock, SnapshotId } from "../../src/model.ts";
import { type FaultKind, type Simulator, startSimulator } from "../../src/simulate/mod.ts";
import { openStoreForWriting } from "../../src/store/mod.ts";
import { realWorld } from "../../src/world.ts";
import { FIRST, SECOND } from "../acquisition/fake_source.ts";
import { inputFor } from "../acquisition/runs.ts";
import { CrashDisk } from "../crash/crash_disk.ts";
import { requireVisibleWhole, STORE } from "../crash/stores.ts";
import { tableOfExhibit } from "../store/fixtures.ts";

const KINDS = [
  ...["error500", "error503", "throttle", "refuse", "reset", "short", "stall", "length", "checksum", "flip"],
  ...["empty-page", "short-page"],
] as readonly FaultKind[];

/** A dozen blocks each, of which the second shares most with the first. */
const FORMULA = {
  seed: 7,
  volumeSizeGib: 1,
  every: 160,
  density: 1,
  changeRate: 0.3,
  removedShare: 0.2,
  zeroShare: 0.1,
  bytes: "pattern",
} as const;
const SNAPSHOTS = [
  { id: FIRST, volumeId: "vol-1", synthetic: FORMULA },
  { id: SECOND, volumeId: "vol-1", synthetic: { ...FORMULA, version: 1 } },
];

/** Waits in no time, and says that it took as long as was asked for. */
function hastyClock(): Clock {
  const { clock } = realWorld();
  let skippedMs = 0;
  return {
    nowMs: () => clock.nowMs(),
    monotonicMs: () => clock.monotonicMs() + skippedMs,
    sleep(ms, signal) {
      skippedMs += ms;
      return clock.sleep(0, signal);
    },
  };
}

/** What goes wrong: the requests are counted from 1, as the endpoint sees them. */
interface Plan {
  readonly kind: FaultKind;
  readonly at: number;
  readonly isForGood: boolean;
}

/** What is wrong with a block's bytes, a checksum tells; of a page's, TLS. */
function canHappen(kind: FaultKind, call: string): boolean {
  if (kind.endsWith("-page")) return call.startsWith("List");
  return !["length", "checksum", "flip"].includes(kind) || call === "GetSnapshotBlock";
}

class Network {
  #plan: Plan | undefined;
  requests = 0;

  draw(call: string): FaultKind | undefined {
    const at = ++this.requests;
    const plan = this.#plan;
    if (plan && !canHappen(plan.kind, call)) return undefined;
    return plan && (plan.isForGood ? at >= plan.at : at === plan.at) ? plan.kind : undefined;
  }

  set(plan: Plan | undefined): void {
    this.#plan = plan;
    this.requests = 0;
  }
}

/** One run of the program: a source of its own, which has not been told anything yet. */
async function session(simulator: Simulator, disk: CrashDisk): Promise<(readonly [number, string])[][]> {
  const clock = hastyClock();
  const environment = simulator.environment();
  const source = await openSource({
    ...{ clock, randomness: realWorld().randomness, environment: (name) => environment[name] },
    ...{ stallMs: 60, giveUpAfterMs: 120_000, maxConcurrency: 3 },
  });
  const store = await openStoreForWriting({ ...realWorld(), clock, disk }, STORE);
  try {
    const tables = [];
    for (const snapshot of [FIRST, SECOND]) {
      const parent = snapshot === SECOND ? await store.newestOf(FIRST) : undefined;
      const held = await store.newestOf(snapshot as SnapshotId);
      const changes = { clock, parent, retryUnreadable: true };
      if (!held || held.manifest.counts.unreadableBlocks > 0) {
        await acquireSnapshot(inputFor({ store, source, snapshot }, changes));
      }
      tables.push(await tableOfExhibit((await store.newestOf(snapshot))!));
    }
    return tables;
  } finally {
    store.close();
    source.close();
  }
}

Deno.test("an acquisition survives a network that fails at any request, in any way", async () => {
  const seed = Number(Deno.env.get("COLDCASE_SEED") ?? Date.now() % 2 ** 32);
  const network = new Network();
  const simulator = await startSimulator({
    ...{ quotas: "none", pageLimit: 5, snapshots: SNAPSHOTS },
    faultHook: ({ call }) => network.draw(call),
  });
  const violations: string[] = [];
  let faults = 0;
  try {
    const whole = await session(simulator, emptyDisk());
    const { requests } = network;
    assert(requests > 15, `${requests} requests`);
    for (const [number, kind] of KINDS.entries()) {
      for (const isForGood of [false, true]) {
        const stride = isForGood ? 22 : 11;
        for (let at = 1 + (seed + number) % stride; at <= requests; at += stride) {
          faults++;
          const fault = await violationOf({ simulator, network, whole }, { kind, at, isForGood });
          if (fault !== undefined) {
            violations.push(`${kind} at ${at}, ${isForGood ? "for good" : "once"}: ${fault}`);
          }
        }
      }
    }
  } finally {
    await simulator.close();
  }
  // deno-lint-ignore no-console
  console.log(`${faults} network faults, ${violations.length} violations, COLDCASE_SEED=${seed}`);
  assertEquals(violations.length, 0, violations.slice(0, 8).join("\n\n"));
});

function emptyDisk(): CrashDisk {
  const disk = new CrashDisk();
  disk.makeDirectory("/case");
  return disk;
}

/** What is wrong with how the fault was met; `undefined`: nothing. */
async function violationOf(
  stage: { readonly simulator: Simulator; readonly network: Network; readonly whole: unknown },
  plan: Plan,
): Promise<string | undefined> {
  const { simulator, network, whole } = stage;
  const disk = emptyDisk();
  network.set(plan);
  const isWhole = (tables: unknown) => JSON.stringify(tables) === JSON.stringify(whole);
  let outcome: string;
  try {
    const tables = await session(simulator, disk);
    if (!plan.isForGood && !isWhole(tables)) return "it ended with other blocks";
    outcome = "completed";
  } catch (error) {
    if (!(error instanceof OperatorError) || error.code !== "source" || !plan.isForGood) {
      return describe(error);
    }
    outcome = error.message;
  }
  network.set(undefined);
  try {
    await requireVisibleWhole(disk, {});
    return isWhole(await session(simulator, disk)) ? undefined : `${outcome}; the next run has other blocks`;
  } catch (error) {
    return `${outcome}; afterwards ${describe(error)}`;
  }
}

function describe(error: unknown): string {
  return error instanceof Error ? error.stack ?? error.message : String(error);
}
