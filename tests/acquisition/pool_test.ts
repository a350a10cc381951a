/** forEachConcurrently(): bounded, and the first failure, wherever it is, ends all of it. */
import { assert, assertEquals, assertRejects, assertStrictEquals } from "@std/assert";
import { forEachConcurrently } from "../../src/acquisition/_pool.ts";

/** Numbers from 0; notes how many were asked for and whether its end was run. */
class Numbers {
  asked = 0;
  isClosed = false;

  async *upTo(count: number): AsyncGenerator<number> {
    try {
      for (let number = 0; number < count; number++) {
        this.asked = number + 1;
        await Promise.resolve();
        yield number;
      }
    } finally {
      this.isClosed = true;
    }
  }
}

function options(limit: number, signal = new AbortController().signal) {
  return { limit, signal };
}

/** Rejects with the signal's reason when that aborts, and otherwise never ends. */
function untilAborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    if (signal.aborted) reject(signal.reason);
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
}

/** Lets everything that can go on go on: as many turns as the deepest chain of promises here needs. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 100; turn++) await Promise.resolve();
}

Deno.test("forEachConcurrently() works on every item once, for limits below, at and above their number", async () => {
  for (const count of [0, 1, 2, 7]) {
    for (const limit of [1, 2, 7, 100]) {
      const numbers = new Numbers();
      const seen: number[] = [];
      await forEachConcurrently(numbers.upTo(count), options(limit), async (item) => {
        await Promise.resolve();
        seen.push(item);
      });
      assertEquals(seen.sort(), Array.from({ length: count }, (_, item) => item));
      assert(numbers.isClosed);
    }
  }
});

Deno.test("forEachConcurrently() never has more than its limit under way, and asks for no item before there is room", async () => {
  const numbers = new Numbers();
  const release: (() => void)[] = [];
  const done = forEachConcurrently(
    numbers.upTo(20),
    options(3),
    () => new Promise((resolve) => release.push(resolve)),
  );
  await settle();
  for (let ended = 0; ended < 20; ended++) {
    assertEquals(release.length, Math.min(20, ended + 3), `${ended} ended`);
    assertEquals(numbers.asked, Math.min(20, ended + 3));
    release[ended]!();
    await settle();
  }
  await done;
});

Deno.test("forEachConcurrently() ends the items in the order in which their work ends", async () => {
  const release: (() => void)[] = [];
  const ended: number[] = [];
  const done = forEachConcurrently(new Numbers().upTo(3), options(3), async (item) => {
    await new Promise<void>((resolve) => release.push(resolve));
    ended.push(item);
  });
  await settle();
  for (const item of [2, 0, 1]) {
    release[item]!();
    await settle();
  }
  await done;
  assertEquals(ended, [2, 0, 1]);
});

Deno.test("forEachConcurrently() throws the first failure itself and aborts the rest with it", async () => {
  const numbers = new Numbers();
  const failure = new Error("disk full");
  const reasons: unknown[] = [];
  const action = () =>
    forEachConcurrently(numbers.upTo(1000), options(4), async (item, signal) => {
      if (item === 2) throw failure;
      await untilAborted(signal).catch((reason: unknown) => {
        reasons.push(reason);
        throw new Error(`aborted ${item}`);
      });
    });
  assertStrictEquals(await assertRejects(action), failure);
  assert(reasons.length >= 2 && reasons.every((reason) => reason === failure));
  assert(numbers.isClosed && numbers.asked < 6, `${numbers.asked} asked`);
});

Deno.test("forEachConcurrently() waits for the work under way before it throws", async () => {
  let isOver = false;
  let finish = () => {};
  const finishing = new Promise<void>((resolve) => finish = resolve);
  let underWay = 0;
  const done = forEachConcurrently(new Numbers().upTo(2), options(2), async (item) => {
    if (item === 0) throw new Error("first");
    underWay++;
    await finishing;
    underWay--;
  }).catch((error: Error) => {
    isOver = true;
    assertEquals([error.message, underWay], ["first", 0]);
  });
  await settle();
  assert(!isOver || underWay === 0);
  finish();
  await done;
  assert(isOver);
});

Deno.test("forEachConcurrently() starts no work on an item that comes after a failure", async () => {
  const started: number[] = [];
  let failFirst = () => {};
  let giveSecond = () => {};
  async function* items(): AsyncGenerator<number> {
    yield 0;
    await new Promise<void>((resolve) => giveSecond = resolve);
    yield 1;
  }
  const done = forEachConcurrently(items(), options(4), (item) => {
    started.push(item);
    return new Promise((_, reject) => failFirst = () => reject(new Error("first")));
  });
  const rejected = assertRejects(() => done, Error, "first");
  await settle();
  failFirst();
  await settle();
  giveSecond();
  await rejected;
  assertEquals(started, [0]);
});

Deno.test("forEachConcurrently() takes an error of the items for a failure, and aborts the work under way", async () => {
  const failure = new Error("listing broke");
  let aborted: unknown;
  async function* items(): AsyncGenerator<number> {
    yield 0;
    await settle();
    throw failure;
  }
  const action = () =>
    forEachConcurrently(items(), options(4), async (_, signal) => {
      await untilAborted(signal).catch((reason: unknown) => aborted = reason);
    });
  assertStrictEquals(await assertRejects(action), failure);
  assertStrictEquals(aborted, failure);
});

Deno.test("forEachConcurrently() takes a throw before the first promise for a failure", async () => {
  const numbers = new Numbers();
  const action = () =>
    forEachConcurrently(numbers.upTo(9), options(2), () => {
      throw new TypeError("at once");
    });
  await assertRejects(action, TypeError, "at once");
  assert(numbers.isClosed);
});

Deno.test("forEachConcurrently() hands the caller's abort to the work, and throws its reason", async () => {
  const controller = new AbortController();
  const numbers = new Numbers();
  let underWay = 0;
  const done = forEachConcurrently(numbers.upTo(1000), options(5, controller.signal), async (_, signal) => {
    underWay++;
    await untilAborted(signal).finally(() => underWay--);
  });
  await settle();
  assertEquals(underWay, 5);
  const reason = new Error("Ctrl-C");
  controller.abort(reason);
  assertStrictEquals(await assertRejects(() => done), reason);
  assertEquals(underWay, 0);
  assert(numbers.isClosed && numbers.asked <= 6);
});

Deno.test("forEachConcurrently() takes a failure that is undefined for one", async () => {
  let isThrown = false;
  await forEachConcurrently(new Numbers().upTo(3), options(1), () => Promise.reject(undefined))
    .catch(() => isThrown = true);
  assert(isThrown);
});
