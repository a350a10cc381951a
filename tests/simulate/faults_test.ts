/**
 * Faults: the text form, the draw that depends on nothing but its target, and each fault as a client sees it on
 * the wire.
 */
import { assert, assertEquals, assertGreater, assertLess, assertRejects, assertThrows } from "@std/assert";
import { OperatorError } from "../../src/errors.ts";
import { drawFault } from "../../src/simulate/faults.ts";
import {
  type FaultKind,
  parseFaults,
  type Simulator,
  SimulatorClock,
  type SimulatorOptions,
  startSimulator,
} from "../../src/simulate/mod.ts";
import {
  errorOf,
  KEYS,
  page,
  pages,
  send,
  sha256Base64,
  SNAPSHOT,
  withFolder,
  writeImage,
} from "./fixtures.ts";

const SIZE = 65_536;
const BLOCKS = `/snapshots/${SNAPSHOT}/blocks`;

async function withServed(
  options: SimulatorOptions,
  body: (simulator: Simulator, tokens: string[]) => Promise<void>,
): Promise<void> {
  await withFolder(async (folder) => {
    writeImage(`${folder}/1.raw`, { blockCount: 4, fills: { 0: 1, 1: 2, 2: 3, 3: 4 }, blockSize: SIZE });
    const simulator = await startSimulator({
      credentials: [KEYS],
      blockSizeBytes: SIZE,
      snapshots: [{ id: SNAPSHOT, path: `${folder}/1.raw` }],
      ...options,
    });
    try {
      const faults = options.faults;
      if (faults !== undefined) simulator.setFaults("");
      const { Blocks } = await page(simulator, BLOCKS);
      if (faults !== undefined) simulator.setFaults(faults);
      await body(simulator, Blocks!.map(({ BlockToken }) => BlockToken));
    } finally {
      await simulator.close();
    }
  });
}

function get(simulator: Simulator, tokens: string[], index: number, signal?: AbortSignal): Promise<Response> {
  const query = { blockToken: tokens[index]! };
  return send(simulator, { path: `${BLOCKS}/${index}`, query, ...(signal ? { signal } : {}) });
}

Deno.test("parseFaults() reads every item of the grammar", () => {
  const plan = parseFaults(
    "error500:0.05, reset@GetSnapshotBlock:.01,bad-block:1204=checksum,bad-block:snap-0a/7=length," +
      "expire-credentials:after=500,vanish:after=100,vanish:snap-0b/after=1,bandwidth=1MiB/s,latency=20ms,drop-every=5m:30s",
  );
  assertEquals(plan, {
    chances: [{ kind: "error500", chance: 0.05 }, { kind: "reset", call: "GetSnapshotBlock", chance: 0.01 }],
    badBlocks: [{ index: 1204, kind: "checksum" }, { snapshot: "snap-0a", index: 7, kind: "length" }],
    vanishing: [{ after: 100 }, { snapshot: "snap-0b", after: 1 }],
    expireCredentialsAfter: 500,
    bandwidthBytesPerSecond: 2 ** 20,
    latencyMs: 20,
    drops: { everyMs: 300e3, forMs: 30e3 },
  });
  assertEquals(parseFaults(""), { chances: [], badBlocks: [], vanishing: [] });
});

Deno.test("parseFaults() refuses what it does not know, naming the item", () => {
  const bad = [
    "error501:0.1",
    "error500",
    "error500:2",
    "error500:0.6,reset:0.6",
    "reset@Get:0.1",
    "bad-block:x=checksum",
    "bad-block:1=nothing",
    "bandwidth=5req/s",
    "drop-every=30s:5m",
    "latency=soon",
    "toString:0.1",
  ];
  for (const text of bad) {
    assertEquals(assertThrows(() => parseFaults(text), OperatorError).code, "usage", text);
  }
});

Deno.test("drawFault() depends on its target alone and keeps to the chances", () => {
  const seed = Math.floor(Math.random() * 2 ** 31);
  const plan = parseFaults("error500:0.1,reset:0.2,empty-page:0.5");
  const draw = (index: number, attempt: number) =>
    drawFault(plan, { seed, target: { call: "GetSnapshotBlock", snapshot: SNAPSHOT, index, attempt } });
  const targets = Array.from({ length: 5000 }, (_, index) => index);
  const once = targets.map((index) => draw(index, 0));
  assertEquals(targets.toReversed().map((index) => draw(index, 0)).toReversed(), once);
  const share = (kind: FaultKind) => once.filter((drawn) => drawn === kind).length / once.length;
  for (const [kind, chance] of [["error500", 0.1], ["reset", 0.2]] as const) {
    assertGreater(share(kind), chance - 0.03, `seed ${seed}`);
    assertLess(share(kind), chance + 0.03, `seed ${seed}`);
  }
  // A page's faults do not happen to blocks.
  assertEquals(share("empty-page"), 0);
  assert(targets.some((index) => draw(index, 0) !== draw(index, 1)), `seed ${seed}`);
});

Deno.test("startSimulator() gives the same faults to any order of requests", async () => {
  const outcomes = async (order: number[]) => {
    const seen: Record<number, string> = {};
    await withServed(
      { faults: "error500:0.3,checksum:0.3,throttle:0.2", seed: 11 },
      async (simulator, tokens) => {
        for (const index of order) {
          const kinds: string[] = [];
          for (let attempt = 0; attempt < 6; attempt++) {
            await (await get(simulator, tokens, index)).body?.cancel();
            kinds.push(simulator.requests.recent().at(-1)!.fault ?? "fine");
          }
          seen[index] = kinds.join();
        }
      },
    );
    return seen;
  };
  assertEquals(await outcomes([0, 1, 2, 3]), await outcomes([3, 1, 0, 2]));
});

Deno.test("faults error500, error503 and throttle answer as AWS does", async () => {
  await withServed({}, async (simulator, tokens) => {
    simulator.setFaults("error500:1");
    assertEquals((await errorOf(await get(simulator, tokens, 0))).slice(0, 2), [
      500,
      "InternalServerException",
    ]);
    simulator.setFaults("throttle:1");
    assertEquals((await errorOf(await get(simulator, tokens, 0)))[1], "RequestThrottledException");
    assertEquals((await errorOf(await send(simulator, { path: BLOCKS })))[1], "ThrottlingException");
    simulator.setFaults("error503:1");
    const unavailable = await get(simulator, tokens, 0);
    assertEquals([unavailable.status, unavailable.headers.get("content-type")], [503, "text/html"]);
    await unavailable.body?.cancel();
  });
});

Deno.test("faults reset and short declare the whole body and break it off", async () => {
  await withServed({}, async (simulator, tokens) => {
    for (const kind of ["reset", "short"]) {
      simulator.setFaults(`${kind}:1`);
      const response = await get(simulator, tokens, 0);
      assertEquals(response.headers.get("content-length"), String(SIZE));
      assertEquals(response.headers.get("x-amz-checksum"), sha256Base64(new Uint8Array(SIZE).fill(1)));
      await assertRejects(() => response.arrayBuffer(), Error, undefined, kind);
    }
    assertEquals(simulator.requests.of("GetSnapshotBlock").byFault, { reset: 1, short: 1 });
  });
});

Deno.test("fault refuse resets the connection before an answer", async () => {
  await withServed({ faults: "refuse:1" }, async (simulator, tokens) => {
    await assertRejects(() => get(simulator, tokens, 0));
    assertEquals(simulator.requests.recent().at(-1)!.status, 0);
  });
});

Deno.test("fault stall falls silent in the body until the client leaves", async () => {
  await withServed({ faults: "stall:1" }, async (simulator, tokens) => {
    const leaving = new AbortController();
    const response = await get(simulator, tokens, 0, leaving.signal);
    const reader = response.body!.getReader();
    let received = 0;
    while (received < SIZE / 2) received += (await reader.read()).value!.length;
    assertEquals(received, SIZE / 2);
    const rest = reader.read();
    leaving.abort();
    await assertRejects(() => rest);
  });
});

Deno.test("faults checksum, flip and length give a block that does not match its headers", async () => {
  await withServed({}, async (simulator, tokens) => {
    for (const kind of ["checksum", "flip", "length"]) {
      simulator.setFaults(`bad-block:2=${kind}`);
      for (let attempt = 0; attempt < 3; attempt++) {
        const response = await get(simulator, tokens, 2);
        const bytes = new Uint8Array(await response.arrayBuffer());
        assertEquals(response.status, 200);
        assert(response.headers.get("x-amz-checksum") !== sha256Base64(bytes), kind);
        assertEquals(response.headers.get("x-amz-data-length"), String(SIZE));
        assertEquals(bytes.length, kind === "length" ? SIZE / 2 : SIZE);
      }
      const other = await get(simulator, tokens, 1);
      assertEquals(
        other.headers.get("x-amz-checksum"),
        sha256Base64(new Uint8Array(await other.arrayBuffer())),
      );
    }
  });
});

Deno.test("faults empty-page and short-page lose no block", async () => {
  await withServed({ faults: "empty-page:0.4,short-page:0.4", seed: 5, pageLimit: 3 }, async (simulator) => {
    const all = await pages(simulator, BLOCKS);
    assertEquals(all.flatMap((one) => one.Blocks!.map(({ BlockIndex }) => BlockIndex)), [0, 1, 2, 3]);
    assertGreater(simulator.requests.of("ListSnapshotBlocks").byFault["empty-page"] ?? 0, 0);
    assertGreater(simulator.requests.of("ListSnapshotBlocks").byFault["short-page"] ?? 0, 0);
  });
});

Deno.test("fault expire-credentials ends the credentials with the n-th request, new ones work", async () => {
  await withServed({ faults: "expire-credentials:after=2" }, async (simulator, tokens) => {
    const statuses = [];
    for (let count = 0; count < 3; count++) {
      const response = await get(simulator, tokens, 0);
      statuses.push(response.status);
      await response.body?.cancel();
    }
    assertEquals(statuses, [200, 200, 403]);
    assertEquals((await errorOf(await get(simulator, tokens, 0)))[1], "ExpiredTokenException");
    simulator.setCredentials([KEYS]);
    const renewed = await get(simulator, tokens, 0);
    assertEquals(renewed.status, 200);
    await renewed.body?.cancel();
  });
});

Deno.test("fault vanish removes a snapshot after n requests to it", async () => {
  await withServed({ faults: "vanish:after=2" }, async (simulator, tokens) => {
    for (let count = 0; count < 2; count++) {
      const response = await get(simulator, tokens, 0);
      assertEquals(response.status, 200);
      await response.body?.cancel();
    }
    assertEquals((await errorOf(await get(simulator, tokens, 0)))[2], "SNAPSHOT_NOT_FOUND");
  });
});

Deno.test("bandwidth and latency take their time on the simulator's clock", async () => {
  const clock = new SimulatorClock({ virtual: true });
  await withServed({ clock, faults: "bandwidth=64KiB/s,latency=250ms" }, async (simulator, tokens) => {
    const startMs = clock.nowMs();
    await Promise.all([0, 1, 2].map(async (index) => (await get(simulator, tokens, index)).arrayBuffer()));
    const tookMs = clock.nowMs() - startMs;
    assertGreater(tookMs, 2990);
    assertLess(tookMs, 3600);
  });
});

Deno.test("drop-every cuts the link in every period, and it comes back", async () => {
  const clock = new SimulatorClock({ virtual: true });
  await withServed({ clock, faults: "drop-every=5m:30s,bandwidth=64KiB/s" }, async (simulator, tokens) => {
    const read = async () => (await (await get(simulator, tokens, 0)).arrayBuffer()).byteLength;
    assertEquals(await read(), SIZE);
    // The answer is on its way when the link goes down.
    clock.advanceMs(300e3 - 1000 - 500);
    await assertRejects(read);
    assertEquals(simulator.requests.recent().at(-1)!.fault, "link-down");
    await assertRejects(read);
    clock.advanceMs(30e3);
    assertEquals(await read(), SIZE);
  });
});

Deno.test("Simulator.setLinkDown() resets connections until the link is restored", async () => {
  await withServed({}, async (simulator, tokens) => {
    simulator.setLinkDown(true);
    await assertRejects(() => get(simulator, tokens, 0));
    simulator.setLinkDown(false);
    assertEquals((await (await get(simulator, tokens, 0)).arrayBuffer()).byteLength, SIZE);
  });
});

Deno.test("faultHook decides by hand, and sees attempts counted", async () => {
  const seen: string[] = [];
  await withServed({
    faultHook: ({ call, index, attempt }) => {
      seen.push(`${call} ${index} ${attempt}`);
      return call === "GetSnapshotBlock" && attempt === 0 ? "error500" : undefined;
    },
  }, async (simulator, tokens) => {
    for (const expected of [500, 200]) {
      const response = await get(simulator, tokens, 3);
      assertEquals(response.status, expected);
      await response.body?.cancel();
    }
    assertEquals(seen, ["ListSnapshotBlocks 0 0", "GetSnapshotBlock 3 0", "GetSnapshotBlock 3 1"]);
  });
});
