/** Sessions: the tick that closes packs on a slow link, disks that fail, and budgets that end a session. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { type ErrorCode, OperatorError } from "../../src/errors.ts";
import type { Clock, DiskFile, OpenMode, World } from "../../src/model.ts";
import { EXAMPLE_PRICES } from "../../src/plan.ts";
import type { Store } from "../../src/store/mod.ts";
import { realWorld } from "../../src/world.ts";
import { FakeSource, FIRST, MIB_BLOCKS, type Table, untilAborted } from "./fake_source.ts";
import { acquire, type Changes, inStore, tableOf, withFolder, withStore } from "./runs.ts";

const BLOCKS: Table = { 0: 11, 1: 0, 2: 12, 5: 11, 6: 0, 90: 13, 91: 14, 500: 15, 1023: 16 };
const ALL = Object.keys(BLOCKS).map(Number);

function serial(): FakeSource {
  return Object.assign(new FakeSource({ [FIRST]: { blocks: BLOCKS } }), { maxConcurrency: 1 });
}

async function refused(
  store: Store,
  source: FakeSource,
  changes: Changes,
  code: ErrorCode,
): Promise<OperatorError> {
  const error = await assertRejects(() => acquire(store, source, FIRST, changes), OperatorError);
  assertEquals(error.code, code, error.message);
  return error;
}

/** Time that a test moves; `asleep` resolves as soon as somebody sleeps. */
class HandClock implements Clock {
  #ms = 0;
  #sleepers: { readonly atMs: number; readonly wake: () => void }[] = [];
  #waiting: (() => void)[] = [];

  nowMs(): number {
    return Date.UTC(2026, 0, 2) + this.#ms;
  }

  monotonicMs(): number {
    return this.#ms;
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason);
      signal?.addEventListener("abort", () => reject(signal.reason), { once: true });
      this.#sleepers.push({ atMs: this.#ms + ms, wake: resolve });
      for (const wake of this.#waiting.splice(0)) wake();
    });
  }

  /** Wakes who is due in so many milliseconds, and waits until somebody sleeps again. */
  async advance(ms: number): Promise<void> {
    await this.#asleep();
    this.#ms += ms;
    const due = this.#sleepers.filter(({ atMs }) => atMs <= this.#ms);
    this.#sleepers = this.#sleepers.filter(({ atMs }) => atMs > this.#ms);
    for (const { wake } of due) wake();
    await this.#asleep();
  }

  #asleep(): Promise<void> {
    if (this.#sleepers.length > 0) return Promise.resolve();
    return new Promise((resolve) => this.#waiting.push(resolve));
  }
}

/** A world whose files, where `fails` says so of the path, cannot be written to. */
function worldWith(clock: Clock, fails: (path: string) => boolean = () => false): World {
  const world = realWorld();
  const full = (path: string) => {
    if (fails(path)) throw new Error("No space left on device (os error 28)");
  };
  const guarded = (file: DiskFile, path: string): DiskFile => ({
    read: (into, offset) => file.read(into, offset),
    write: (bytes, offset) => (full(path), file.write(bytes, offset)),
    sync: () => file.sync(),
    truncate: (size) => file.truncate(size),
    sizeBytes: () => file.sizeBytes(),
    close: () => file.close(),
  });
  const disk = {
    ...world.disk,
    open: (path: string, mode: OpenMode) => guarded(world.disk.open(path, mode), path),
  };
  return { ...world, host: world.host, clock, disk };
}

Deno.test("acquireSnapshot() records what came within 30 s of a pack's first block, however slow the link", async () => {
  await withFolder(async (folder) => {
    const clock = new HandClock();
    await inStore(folder, async (store) => {
      const source = serial();
      const recorded: (string | undefined)[] = [];
      source.onGet = async (index) => {
        // Each block takes 10 s; the tick looks once a second.
        for (let second = 0; second < 10; second++) await clock.advance(1000);
        const view = store.view((await store.journals())[0]!);
        recorded.push(
          ALL.slice(0, ALL.indexOf(index)).map((known) => view.recorded(known) ? "y" : "n").join(""),
        );
        view.close();
      };
      await acquire(store, source, FIRST, { clock });
      assertEquals(recorded, ["", "n", "nn", "yyy", "yyyn", "yyynn", "yyyyyy", "yyyyyyn", "yyyyyynn"]);
    }, worldWith(clock));
  });
});

Deno.test("acquireSnapshot() ends with storage as soon as the tick cannot close the pack", async () => {
  for (const stuck of ["block", "listing"] as const) {
    await withFolder(async (folder) => {
      const clock = new HandClock();
      let isFull = false;
      await inStore(folder, async (store) => {
        const source = serial();
        source.maxConcurrency = 4;
        let listings = 0;
        const waitOnFullDisk = async (signal: AbortSignal | undefined) => {
          isFull = true;
          // The link is down: nothing comes before the session is ended by the disk.
          const ended = untilAborted(signal);
          const ticks = (async () => {
            for (let second = 0; second < 31; second++) await clock.advance(1000);
          })();
          await Promise.race([ended, ticks.then(() => ended)]);
        };
        if (stuck === "block") {
          source.onGet = async (index, signal) => {
            if (index === 6) await waitOnFullDisk(signal);
          };
        } else {
          source.onPage = async (_, page, signal) => {
            if (page === 0) listings++;
            if (listings === 3 && page === 1) await waitOnFullDisk(signal);
          };
        }
        const error = await refused(store, source, { clock }, "storage");
        assert(error.hints.join(" ").includes("Free some space"));
      }, worldWith(clock, (path) => isFull && path.includes("journal")));
      // With room again, it goes on.
      await inStore(folder, async (store) => {
        const { exhibit } = await acquire(store, serial(), FIRST);
        assertEquals(await tableOf(exhibit), BLOCKS);
      });
    });
  }
});

Deno.test("acquireSnapshot() does not wait for a listing where a block has ended the session", async () => {
  await withStore(async (store) => {
    const source = serial();
    source.maxConcurrency = 4;
    let listings = 0;
    let failNow: () => void = () => {};
    const failing = new Promise<void>((resolve) => failNow = resolve);
    source.onPage = async (_, page, signal) => {
      if (page === 0) listings++;
      if (listings < 3 || page !== 1) return;
      failNow();
      await untilAborted(signal);
    };
    source.onGet = async (index) => {
      if (index !== 0) return;
      await failing;
      throw new OperatorError("access", "the credentials have expired");
    };
    await refused(store, source, {}, "access");
  });
});

/** The price of `blocks` blocks and of `lists` list calls. */
function priceOf(lists: number, blocks: number): number {
  const { listUsdPerThousand, getUsdPerThousand, transferUsdPerGib } = EXAMPLE_PRICES;
  return lists / 1000 * listUsdPerThousand + blocks / 1000 * getUsdPerThousand +
    blocks * MIB_BLOCKS / 2 ** 30 * transferUsdPerGib;
}

Deno.test("acquireSnapshot() refuses at the start what would cost more than the budget, and keeps the journal", async () => {
  await withStore(async (store) => {
    const source = serial();
    source.pageBlocks = 100;
    // First page, count, listing again for tokens: three calls, and nine blocks.
    const whole = priceOf(3, 9);
    const error = await refused(store, source, { budgetUsd: whole * 0.999 }, "budget");
    assertEquals(source.fetched, []);
    assert(error.hints.join(" ").includes("--budget"));
    assertEquals((await store.journals()).length, 1);
    const { exhibit, prepared } = await acquire(store, source, FIRST, { budgetUsd: whole * 2 });
    assertEquals(prepared.isResumed, true);
    assertEquals(await tableOf(exhibit), BLOCKS);
  });
});

Deno.test("acquireSnapshot() stops at the budget where retries cost more than was planned, and resumes with more", async () => {
  await withStore(async (store) => {
    const source = serial();
    source.pageBlocks = 100;
    source.retriesPerBlock = 99;
    const budgetUsd = priceOf(3, 9) + 450 / 1000 * EXAMPLE_PRICES.getUsdPerThousand;
    await refused(store, source, { budgetUsd }, "budget");
    const before = source.fetched.length;
    assert(before > 0 && before < ALL.length, String(before));
    // What earlier sessions cost counts: the same budget goes no further.
    await refused(store, source, { budgetUsd }, "budget");
    assertEquals(source.fetched.length, before);
    const { exhibit } = await acquire(store, source, FIRST, { budgetUsd: 10 });
    assertEquals(source.fetched, ALL);
    assertEquals(exhibit.manifest.acquisition.retries, 99 * ALL.length);
  });
});
