/**
 * The simulator's small parts on their own: clock, bitmap, and what a wrong option gets.
 */
import { assertEquals, assertRejects } from "@std/assert";
import { OperatorError } from "../../src/errors.ts";
import { Bitmap } from "../../src/simulate/bitmap.ts";
import { SimulatorClock, startSimulator } from "../../src/simulate/mod.ts";

Deno.test("SimulatorClock.sleep() wakes sleepers in order and moves virtual time to each", async () => {
  const clock = new SimulatorClock({ startMs: 1000, virtual: true });
  const woken: string[] = [];
  const sleep = async (ms: number) => {
    await clock.sleep(ms);
    woken.push(`${ms} at ${clock.nowMs()}`);
  };
  await Promise.all([sleep(300), sleep(100), sleep(0), sleep(200)]);
  assertEquals(woken, ["0 at 1000", "100 at 1100", "200 at 1200", "300 at 1300"]);
});

Deno.test("SimulatorClock.sleep() ends with the signal's reason, on either kind of clock", async () => {
  for (const virtual of [true, false]) {
    const leaving = new AbortController();
    const asleep = new SimulatorClock({ virtual }).sleep(3600e3, leaving.signal);
    leaving.abort(new Error("left"));
    await assertRejects(() => asleep, Error, "left");
  }
});

Deno.test("SimulatorClock runs on from the time that it was set to", () => {
  const clock = new SimulatorClock({ startMs: 5e11 });
  assertEquals(Math.round((clock.nowMs() - 5e11) / 10_000), 0);
  clock.advanceMs(86_400e3);
  assertEquals(Math.round((clock.nowMs() - 5e11 - 86_400e3) / 10_000), 0);
});

Deno.test("Bitmap.next() finds every bit at every boundary", () => {
  const set = [0, 1, 31, 32, 63, 64, 95, 999];
  const bitmap = new Bitmap(1000);
  for (const index of [...set, 31, 1000, -1]) bitmap.add(index);
  const found = [];
  for (let index = bitmap.next(0, 1000); index < 1000; index = bitmap.next(index + 1, 1000)) {
    found.push(index);
  }
  assertEquals([found, bitmap.count], [set, set.length]);
  assertEquals([bitmap.next(96, 999), bitmap.next(65, 80), bitmap.next(999, 1000)], [999, 80, 999]);
});

Deno.test("startSimulator() refuses wrong options and leaves nothing open", async () => {
  const synthetic = { seed: 1, volumeSizeGib: 65_536 };
  const usage = async (options: Parameters<typeof startSimulator>[0]) => {
    const error = await assertRejects(() => startSimulator(options), OperatorError);
    assertEquals(error.code, "usage");
  };
  await usage({ faults: "nonsense" });
  await usage({ snapshots: [{ id: "disk", synthetic }] });
  await usage({ snapshots: [{ id: "snap-00000000", synthetic: { ...synthetic, volumeSizeGib: 65_537 } }] });
  await usage({ blockSizeBytes: 512, snapshots: [{ id: "snap-00000000", synthetic }] });
  const simulator = await startSimulator();
  try {
    await usage({ port: simulator.port });
  } finally {
    await simulator.close();
  }
});
