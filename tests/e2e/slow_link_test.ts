/**
 * A link of 1 MiB/s that drops every five minutes, on one simulated clock for both sides: the acquisition makes
 * progress between any two drops and finishes, in seconds of real time. In this process, because a clock has to be
 * given in; the command line is the program's own.
 */
import { assertEquals, assertGreater, assertLess, assertMatch } from "@std/assert";
import { run } from "../../src/cli/mod.ts";
import { COMMANDS } from "../../src/commands/mod.ts";
import { SimulatorClock } from "../../src/simulate/mod.ts";
import { realWorld } from "../../src/world.ts";
import { FakeInterrupts, FakeTerminal } from "../cli/fakes.ts";
import { FIRST, withStage } from "./endpoint.ts";

const EVERY_MS = 5 * 60_000;
const BLOCKS = 683;
/** 2 GiB of which every sixth block is there: 342 MiB, six minutes at 1 MiB/s. */
const FORMULA = { seed: 5, volumeSizeGib: 2, every: 6, bytes: "pattern" } as const;

Deno.test("acquire finishes over a link of 1 MiB/s that drops every five minutes", async () => {
  // Blocks are digested and packed in other threads: minutes must not pass meanwhile.
  const clock = new SimulatorClock({ virtual: true, patienceMs: 2 });
  const startMs = clock.nowMs();
  /** Blocks served in each stretch between two drops. */
  const served: number[] = [];
  const onRequest = ({ call, status, atMs }: { call?: string | undefined; status: number; atMs: number }) => {
    const stretch = Math.floor((atMs - startMs) / EVERY_MS);
    if (call === "GetSnapshotBlock" && status === 200) served[stretch] = (served[stretch] ?? 0) + 1;
  };
  await withStage({
    clock,
    onRequest,
    faultHook: undefined,
    faults: "bandwidth=1MiB/s,latency=20ms,drop-every=5m:30s",
    snapshots: [{ id: FIRST, synthetic: FORMULA }],
  }, async (stage) => {
    const environment: Record<string, string> = {
      ...stage.env,
      XDG_CONFIG_HOME: `${stage.folder}/configuration`,
    };
    const terminal = new FakeTerminal({ isTerminal: false });
    const coldcase = (...args: string[]) =>
      run(args, {
        commands: COMMANDS,
        version: "0",
        versionText: () => "0",
        world: { ...realWorld(), clock, environment: (name) => environment[name] },
        terminal,
        interrupts: new FakeInterrupts(),
      });
    assertEquals(await coldcase("acquire", FIRST), 0, terminal.stderr.text);
    assertMatch(terminal.stdout.text, new RegExp(`stored +${BLOCKS} blocks`));
    const minutes = (clock.nowMs() - startMs) / 60_000;
    assertLess(minutes, 8, "six minutes of bytes, half a minute of drop, and what that costs");
    assertEquals(served.length, 2, `stretches in ${minutes} minutes`);
    for (const count of served) assertGreater(count, 0, `blocks by stretch: ${served}`);
    assertEquals(await coldcase("verify"), 0, terminal.stderr.text);
  });
});
