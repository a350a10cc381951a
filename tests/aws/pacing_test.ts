/** Pacing in simulated time: quotas are never exceeded, throttles are converged on, full links are not flooded. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { Pacer, type PacerOptions } from "../../src/aws/pacing.ts";
import { Bucket } from "../../src/aws/rates.ts";
import { FakeClock } from "./fakes.ts";

const BLOCK = 512 * 1024;

/** What a simulated service does with a request that arrives now. */
type Service = (clock: FakeClock) => Promise<"success" | "throttle" | "trouble">;

interface Measured {
  /** When requests were sent, and when blocks arrived, in milliseconds. */
  readonly sentMs: readonly number[];
  readonly doneMs: readonly number[];
  readonly throttles: number;
  readonly pacer: Pacer;
}

/** Keeps `callers` busy for `forMs`. */
async function run(
  service: Service,
  options: { forMs: number; callers?: number } & Partial<Omit<PacerOptions, "clock">>,
): Promise<Measured> {
  const { forMs, callers = 128, maxConcurrency = 64, ...rest } = options;
  const clock = new FakeClock();
  const pacer = new Pacer({ clock, maxConcurrency, ...rest });
  const sentMs: number[] = [];
  const doneMs: number[] = [];
  let throttles = 0;
  const caller = async () => {
    while (clock.monotonicMs() < forMs) {
      const slot = await pacer.blockSlot(BLOCK);
      sentMs.push(clock.monotonicMs());
      const outcome = await service(clock);
      slot.release(outcome);
      if (outcome === "success") doneMs.push(clock.monotonicMs());
      else {
        throttles++;
        await clock.sleep(100);
      }
    }
  };
  await Promise.all(Array.from({ length: callers }, caller));
  return { sentMs, doneMs, throttles, pacer };
}

/** Answers after `latencyMs`, however many ask. */
function ideal(latencyMs: number): Service {
  return async (clock) => {
    await clock.sleep(latencyMs);
    return "success";
  };
}

/** Grants `perSecond` from a bucket of `burst` requests; refuses the rest at once. */
function throttling(perSecond: number, burst: number, latencyMs: number): Service {
  let tokens = burst;
  let atMs = 0;
  return async (clock) => {
    tokens = Math.min(burst, tokens + (clock.monotonicMs() - atMs) * perSecond / 1000);
    atMs = clock.monotonicMs();
    if (tokens < 1) {
      await clock.sleep(5);
      return "throttle";
    }
    tokens--;
    await clock.sleep(latencyMs);
    return "success";
  };
}

/** The most events in any one second. */
function mostPerSecond(timesMs: readonly number[]): number {
  const sorted = timesMs.toSorted((a, b) => a - b);
  let most = 0;
  for (let from = 0, to = 0; to < sorted.length; to++) {
    while (sorted[to]! - sorted[from]! >= 1000) from++;
    most = Math.max(most, to - from + 1);
  }
  return most;
}

function between(timesMs: readonly number[], fromMs: number, toMs: number): number {
  return timesMs.filter((ms) => ms >= fromMs && ms < toMs).length;
}

Deno.test("Pacer stays below the quota of GetSnapshotBlock in every second, and near it", async () => {
  const { sentMs } = await run(ideal(20), { forMs: 10_000 });
  assert(mostPerSecond(sentMs) <= 1000, `${mostPerSecond(sentMs)} in a second`);
  const steady = between(sentMs, 3_000, 10_000) / 7;
  assert(steady > 950, `${steady} a second`);
});

Deno.test("Pacer stays below the quota of List calls in every second", async () => {
  const clock = new FakeClock();
  const pacer = new Pacer({ clock, maxConcurrency: 64 });
  const sentMs: number[] = [];
  await Promise.all(Array.from({ length: 8 }, async () => {
    for (let i = 0; i < 40; i++) {
      await pacer.listSlot();
      sentMs.push(clock.monotonicMs());
    }
  }));
  assert(mostPerSecond(sentMs) <= 50 && mostPerSecond(sentMs) >= 45, `${mostPerSecond(sentMs)} in a second`);
});

for (
  const [perSecond, burst, latencyMs] of [[300, 30, 20], [100, 100, 60], [600, 10, 40], [40, 5, 200]] as const
) {
  Deno.test(`Pacer converges on a service that grants ${perSecond} requests a second`, async () => {
    const { doneMs, sentMs, throttles } = await run(throttling(perSecond, burst, latencyMs), {
      forMs: 60_000,
    });
    const rate = between(doneMs, 20_000, 60_000) / 40;
    assert(rate >= perSecond * 0.95 && rate <= perSecond * 1.01, `${rate} a second`);
    const seconds = Array.from(
      { length: 40 },
      (_, i) => between(doneMs, 20_000 + i * 1000, 21_000 + i * 1000),
    );
    const swing = (Math.max(...seconds) - Math.min(...seconds)) / rate;
    assert(swing <= 0.2, `swings by ${swing}: ${seconds}`);
    assert(throttles < sentMs.length * 0.06, `${throttles} throttles of ${sentMs.length}`);
  });
}

Deno.test("Pacer goes up again when the service grants more", async () => {
  let service = throttling(100, 10, 20);
  let hasChanged = false;
  const { doneMs } = await run((clock) => {
    if (clock.monotonicMs() > 20_000 && !hasChanged) {
      hasChanged = true;
      service = ideal(20);
    }
    return service(clock);
  }, { forMs: 180_000, callers: 64 });
  assert(between(doneMs, 10_000, 20_000) / 10 <= 102);
  const later = between(doneMs, 170_000, 180_000) / 10;
  assert(later > 900, `${later} a second`);
});

Deno.test("Pacer opens the window while that brings more, up to its bound", async () => {
  const { pacer, doneMs } = await run(ideal(100), { forMs: 20_000 });
  assertEquals(pacer.window, 64);
  assert(between(doneMs, 10_000, 20_000) / 10 > 600);
});

Deno.test("Pacer keeps few blocks under way on a link that is full", async () => {
  // Two blocks a second whatever is under way: 1 MiB/s.
  let freeAtMs = 0;
  const { pacer, doneMs } = await run(async (clock) => {
    freeAtMs = Math.max(freeAtMs, clock.monotonicMs()) + 500;
    await clock.sleep(freeAtMs - clock.monotonicMs());
    return "success";
  }, { forMs: 300_000 });
  assert(pacer.window <= 24, `${pacer.window} under way`);
  assert(doneMs.length >= 590, `${doneMs.length} blocks`);
});

Deno.test("Pacer halves the window once when all connections drop together", async () => {
  const clock = new FakeClock();
  const pacer = new Pacer({ clock, maxConcurrency: 64 });
  const slots = await Promise.all(Array.from({ length: 8 }, () => pacer.blockSlot(BLOCK)));
  await clock.sleep(10);
  for (const slot of slots) slot.release("trouble");
  assertEquals(pacer.window, 4);
});

Deno.test("Pacer keeps to a rate in bytes and in requests", async () => {
  const bytes = await run(ideal(5), { forMs: 20_000, rate: { bytesPerSecond: 5 * BLOCK } });
  assert(Math.abs(between(bytes.sentMs, 0, 20_000) - 100) <= 1);
  assert(mostPerSecond(bytes.sentMs) <= 6);
  const requests = await run(ideal(5), { forMs: 20_000, rate: { requestsPerSecond: 30 } });
  assert(mostPerSecond(requests.sentMs) <= 31, `${mostPerSecond(requests.sentMs)}`);
  assert(between(requests.sentMs, 0, 20_000) >= 580);
});

Deno.test("Pacer holds no more than 64 MiB of large blocks", async () => {
  const clock = new FakeClock();
  const pacer = new Pacer({ clock, maxConcurrency: 64 });
  let held = 0;
  let most = 0;
  await Promise.all(Array.from({ length: 20 }, async () => {
    const slot = await pacer.blockSlot(16 * 1024 * 1024);
    most = Math.max(most, ++held);
    await clock.sleep(50);
    held--;
    slot.release("success");
  }));
  assertEquals(most, 4);
});

Deno.test("Pacer lets an aborted caller go, and the next one in", async () => {
  const clock = new FakeClock();
  const pacer = new Pacer({ clock, maxConcurrency: 1 });
  const first = await pacer.blockSlot(BLOCK);
  const controller = new AbortController();
  const second = pacer.blockSlot(BLOCK, controller.signal);
  const third = pacer.blockSlot(BLOCK);
  controller.abort(new Error("stop"));
  await assertRejects(() => second, Error, "stop");
  first.release("success");
  (await third).release("success");
});

Deno.test("Bucket never lets more through than rate × time + burst + 1", async () => {
  const clock = new FakeClock();
  const bucket = new Bucket(clock, { perSecond: 10, burst: 4 });
  const sentMs: number[] = [];
  await Promise.all(Array.from({ length: 60 }, async () => {
    await bucket.take(1);
    sentMs.push(clock.monotonicMs());
  }));
  for (let i = 0; i < sentMs.length; i++) {
    for (let j = i; j < sentMs.length; j++) {
      const allowed = 10 * (sentMs[j]! - sentMs[i]!) / 1000 + 4 + 1;
      assert(j - i + 1 <= allowed + 1e-6, `${j - i + 1} in ${sentMs[j]! - sentMs[i]!} ms`);
    }
  }
});
