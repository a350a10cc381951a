/** One block over real HTTP: what is accepted, what is fetched again, and what makes a block unreadable. */
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { OperatorError } from "../../src/errors.ts";
import type { UnreadableBlock, VerifiedBlock, VolumeShape } from "../../src/model.ts";
import {
  blockAnswer,
  blockBytes,
  errorAnswer,
  type Opened,
  pageAnswer,
  type Script,
  SNAPSHOT,
  withSource,
} from "./fakes.ts";

const SHAPE: VolumeShape = { blockSizeBytes: 512, volumeSizeGib: 1, blockCount: 2_097_152 };
const isGet = (action: string) => action === "GetSnapshotBlock";

function getBlock({ source }: Opened, index: number, options: { token?: string; signal?: AbortSignal } = {}) {
  const { token = `token${index}`, ...rest } = options;
  return source.getBlock({ snapshot: SNAPSHOT, block: { index, token }, shape: SHAPE }, rest);
}

function asVerified(block: VerifiedBlock | UnreadableBlock): VerifiedBlock {
  assert(block.kind === "verified", JSON.stringify(block));
  return block;
}

function asUnreadable(block: VerifiedBlock | UnreadableBlock): UnreadableBlock {
  assert(block.kind === "unreadable", block.kind);
  return block;
}

Deno.test("getBlock() gives exactly one block and its SHA-256", async () => {
  await withSource(() => undefined, async (opened) => {
    const block = asVerified(await getBlock(opened, 5));
    assertEquals(block.bytes, blockBytes(5));
    assertEquals(block.bytes.buffer.byteLength, 512);
    const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", blockBytes(5)));
    assertEquals(block.digest as string, digest.toHex());
    const counts = opened.source.counts();
    assertEquals([counts.getRequests, counts.retries, counts.receivedBytes], [1, 0, 512]);
    assertEquals(opened.server.seen[0]!.url.searchParams.get("blockToken"), "token5");
  });
});

Deno.test("getBlock() percent-encodes tokens as they were signed", async () => {
  await withSource(() => undefined, async (opened) => {
    asVerified(await getBlock(opened, 5, { token: "AB+/x=(!*')~" }));
    assertEquals(opened.server.seen[0]!.url.searchParams.get("blockToken"), "AB+/x=(!*')~");
    assertStringIncludes(opened.server.seen[0]!.url.search, "AB%2B%2Fx%3D%28%21%2A%27%29~");
  });
});

Deno.test("getBlock() fetches a block with a wrong checksum again", async () => {
  const script: Script = ({ number }) =>
    number < 2 ? blockAnswer(blockBytes(5), { checksum: "AAAA" }) : undefined;
  await withSource(script, async (opened) => {
    asVerified(await getBlock(opened, 5));
    assertEquals(opened.source.counts().retries, 2);
    assertEquals(opened.events.filter((event) => event.type === "retry").length, 2);
  });
});

const LONG = new Uint8Array(513);
const DAMAGE: readonly (readonly [string, () => Response, UnreadableBlock["reason"], string])[] = [
  ["a wrong checksum", () => blockAnswer(blockBytes(5), { checksum: "AAAA" }), "checksum", "declared AAAA"],
  ["a body that is too long", () => blockAnswer(LONG), "length", "longer than the block of 512 bytes"],
  ["a body that is too short", () => blockAnswer(blockBytes(5).slice(1)), "length", "body has 511 bytes"],
  ["an empty body", () => blockAnswer(new Uint8Array(0)), "length", "body has 0 bytes"],
  ["a wrong declared length", () => blockAnswer(blockBytes(5), { length: 511 }), "length", "declared 511"],
  [
    "another algorithm",
    () => {
      const answer = blockAnswer(blockBytes(5));
      answer.headers.set("x-amz-Checksum-Algorithm", "MD5");
      return answer;
    },
    "checksum",
    "algorithm is MD5",
  ],
];

for (const [name, answer, reason, detail] of DAMAGE) {
  Deno.test(`getBlock() calls a block unreadable that always has ${name}`, async () => {
    await withSource(({ action }) => isGet(action) ? answer() : undefined, async (opened) => {
      const block = asUnreadable(await getBlock(opened, 5));
      assertEquals([block.reason, block.attempts], [reason, 5]);
      assertStringIncludes(block.detail, detail);
      assertEquals(opened.server.count("GetSnapshotBlock"), 5);
    });
  });
}

Deno.test("getBlock() keeps the request ids of damaged answers", async () => {
  await withSource(() => blockAnswer(blockBytes(5), { checksum: "AAAA" }), async (opened) => {
    const block = asUnreadable(await getBlock(opened, 5));
    assertEquals(block.requestIds.length, 5);
    assertEquals(new Set(block.requestIds).size, 5);
  });
});

Deno.test("getBlock() calls a block unreadable that fails while listings and other blocks work, proven twice", async () => {
  let another: () => Promise<unknown> = () => Promise.resolve();
  const script: Script = async ({ action, index }) => {
    if (!isGet(action) || index !== 5) return undefined;
    await another();
    return errorAnswer(500, "InternalServerException");
  };
  await withSource(script, async (opened) => {
    another = () => getBlock(opened, 1);
    const block = asUnreadable(await getBlock(opened, 5));
    assertEquals([block.reason, block.attempts, block.requestIds.length], ["service", 16, 16]);
    assertStringIncludes(block.detail, "HTTP 500 InternalServerException");
    assertEquals(opened.server.count("ListSnapshotBlocks"), 2);
    const probe = opened.server.seen.find((one) => one.action === "ListSnapshotBlocks")!;
    assertEquals(probe.url.searchParams.get("startingBlockIndex"), "5");
    assertEquals(probe.url.searchParams.get("maxResults"), "100");
  });
});

Deno.test("getBlock() counts an answer without a checksum against the service, not against the block", async () => {
  await withSource(
    ({ action }) => isGet(action) ? new Response(blockBytes(5)) : undefined,
    async (opened) => {
      const block = asUnreadable(await getBlock(opened, 5));
      assertEquals(block.reason, "service");
      assertStringIncludes(block.detail, "not of the API's form");
    },
  );
});

Deno.test("getBlock() waits ten minutes, and says so, where listings come and no block at all", async () => {
  let isDown = true;
  const script: Script = ({ action }) =>
    isGet(action) && isDown ? errorAnswer(500, "InternalServerException") : undefined;
  await withSource(script, async (opened) => {
    const block = asUnreadable(await getBlock(opened, 5));
    assert(opened.clock.monotonicMs() >= 600_000 && opened.clock.monotonicMs() < 900_000);
    assert(block.attempts < 400, `${block.attempts} attempts`);
    const reading = [0, 1, 2, 5].map((index) => getBlock(opened, index));
    opened.clock.sleep(300_000).then(() => isDown = false);
    for (const one of await Promise.all(reading)) asVerified(one);
    const waits = opened.events.flatMap((event) => event.type === "waiting" ? [event.waitingFor] : []);
    assertStringIncludes(waits[0]!, "listings come, blocks do not (HTTP 500 InternalServerException)");
    assertEquals(opened.events.filter(({ type }) => type === "recovered").length, 1);
  });
});

Deno.test("getBlock() never takes an outage for a bad block", async () => {
  // Everything fails for a long time, then all is well.
  const script: Script = ({ number }) => number < 60 ? errorAnswer(503, "ServiceUnavailable") : undefined;
  await withSource(script, async (opened) => {
    asVerified(await getBlock(opened, 5));
    const types = opened.events.map((event) => event.type);
    assert(types.includes("waiting") && types.includes("recovered"));
  }, { firstAnswerWithinMs: 3_600_000 });
});

Deno.test("getBlock() waits through an outage of an hour and says so every ten seconds", async () => {
  let downUntilMs = 0;
  const script: Script = () =>
    opened!.clock.monotonicMs() < downUntilMs ? errorAnswer(500, "Down") : undefined;
  let opened: Opened | undefined;
  await withSource(script, async (given) => {
    opened = given;
    asVerified(await getBlock(given, 5));
    downUntilMs = given.clock.monotonicMs() + 3_600_000;
    asVerified(await getBlock(given, 2));
    const waiting = given.events.filter((event) => event.type === "waiting");
    assert(waiting.length > 200 && waiting.length <= 360, `${waiting.length} events`);
    const recovered = given.events.filter((event) => event.type === "recovered");
    assertEquals(recovered.length, 1);
    assert(recovered[0]!.waitedMs >= 3_600_000 && recovered[0]!.waitedMs < 3_700_000);
  });
});

Deno.test("getBlock() gives up after the time without any answer, not before", async () => {
  let isDown = false;
  await withSource(() => isDown ? errorAnswer(500, "Down") : undefined, async (opened) => {
    asVerified(await getBlock(opened, 5));
    isDown = true;
    const startedMs = opened.clock.monotonicMs();
    const error = await assertRejects(() => getBlock(opened, 2), OperatorError);
    assertEquals([error.code, error.facts.reason], ["source", "GAVE_UP"]);
    assertStringIncludes(error.message, "HTTP 500 Down, after");
    const minutes = (opened.clock.monotonicMs() - startedMs) / 60_000;
    assert(minutes >= 30 && minutes < 31, `${minutes} minutes`);
  }, { giveUpAfterMs: 1_800_000 });
});

Deno.test("getBlock() replaces a refused token from one new listing for all blocks", async () => {
  const indexes = Array.from({ length: 50 }, (_, i) => i);
  const script: Script = ({ action, url }) => {
    if (action === "ListSnapshotBlocks") return pageAnswer({ indexes, token: (index) => `fresh${index}` });
    if (url.searchParams.get("blockToken")!.startsWith("fresh")) return undefined;
    return errorAnswer(400, "ValidationException", { reason: "INVALID_BLOCK_TOKEN" });
  };
  await withSource(script, async (opened) => {
    const blocks = await Promise.all(indexes.map((index) => getBlock(opened, index)));
    assertEquals(blocks.map((block) => block.kind), indexes.map(() => "verified"));
    assertEquals(opened.server.count("ListSnapshotBlocks"), 1);
    assertEquals(opened.events.filter((event) => event.type === "relisted").length, 1);
  });
});

Deno.test("getBlock() says that the listing changed where the block is not listed any more", async () => {
  const script: Script = ({ action }) =>
    isGet(action) ? errorAnswer(400, "ValidationException", { reason: "INVALID_BLOCK_TOKEN" }) : undefined;
  await withSource(script, async (opened) => {
    const error = await assertRejects(() => getBlock(opened, 3), OperatorError);
    assertEquals([error.code, error.facts.reason], ["source", "LISTING_CHANGED"]);
  });
});

Deno.test("getBlock() does not ask for ever where every new token is refused too", async () => {
  const script: Script = ({ action }) =>
    isGet(action) ? errorAnswer(400, "ValidationException", { reason: "INVALID_BLOCK_TOKEN" }) : undefined;
  await withSource(script, async (opened) => {
    const error = await assertRejects(() => getBlock(opened, 5), OperatorError);
    assertEquals(error.facts.reason, "TOKEN_REFUSED");
    assert(opened.server.seen.length <= 8);
  });
});

Deno.test("getBlock() is sent again after a throttle, which is no retry", async () => {
  const script: Script = ({ number }) =>
    number < 3
      ? errorAnswer(400, "RequestThrottledException", { reason: "RESOURCE_LEVEL_THROTTLE" })
      : undefined;
  await withSource(script, async (opened) => {
    asVerified(await getBlock(opened, 5));
    const { throttles, retries } = opened.source.counts();
    assertEquals([throttles, retries], [3, 0]);
    assertEquals(opened.events.filter((event) => event.type === "throttle").length, 3);
  });
});

Deno.test("getBlock() retries a stalled body, a stalled answer and a reset", async () => {
  const stalled: Promise<void>[] = [];
  const script: Script = async ({ number, action }) => {
    if (!isGet(action)) return undefined;
    if (number === 0) {
      const body = new ReadableStream({ start: (controller) => controller.enqueue(new Uint8Array(100)) });
      return new Response(body, { headers: { "x-amz-Data-Length": "512", "x-amz-Checksum": "AAAA" } });
    }
    if (number > 1) return undefined;
    const never = Promise.withResolvers<void>();
    stalled.push(never.promise);
    setTimeout(never.resolve, 400);
    await never.promise;
    return undefined;
  };
  await withSource(script, async (opened) => {
    asVerified(await getBlock(opened, 5));
    const reasons = opened.events.flatMap((event) => event.type === "retry" ? [event.reason] : []);
    assertEquals(reasons, ["no byte for 0.1 s", "no byte for 0.1 s"]);
    await Promise.all(stalled);
  }, { stallMs: 100 });
});

Deno.test("getBlock() ends promptly when it is aborted, also while it waits", async () => {
  await withSource(() => errorAnswer(500, "Down"), async (opened) => {
    const controller = new AbortController();
    let retries = 0;
    const { source } = opened;
    const work = source.getBlock({ snapshot: SNAPSHOT, block: { index: 5, token: "t" }, shape: SHAPE }, {
      signal: controller.signal,
    });
    const timer = setInterval(() => {
      if (source.counts().retries > retries + 3) controller.abort(new Error("Ctrl-C"));
      retries = Math.max(0, source.counts().retries - 4);
    }, 1);
    const error = await assertRejects(() => work, OperatorError);
    clearInterval(timer);
    assertEquals([error.code, error.exitCode], ["interrupted", 130]);
  }, { firstAnswerWithinMs: 1e12, giveUpAfterMs: 1e12 });
});

Deno.test("getBlock() ends promptly when it is aborted during a request", async () => {
  const held = Promise.withResolvers<void>();
  const arrived = Promise.withResolvers<void>();
  const script: Script = async () => {
    arrived.resolve();
    await held.promise;
    return undefined;
  };
  await withSource(script, async (opened) => {
    const controller = new AbortController();
    const work = getBlock(opened, 5, { signal: controller.signal });
    const refused = assertRejects(() => work, OperatorError);
    await arrived.promise;
    controller.abort(new Error("Ctrl-C"));
    assertEquals((await refused).code, "interrupted");
    held.resolve();
  });
});

Deno.test("getBlock() never has more blocks under way than it says", async () => {
  let underWay = 0;
  let most = 0;
  const script: Script = async () => {
    most = Math.max(most, ++underWay);
    await new Promise((resolve) => setTimeout(resolve, 1));
    underWay--;
    return undefined;
  };
  await withSource(script, async (opened) => {
    assertEquals(opened.source.maxConcurrency, 6);
    await Promise.all(Array.from({ length: 100 }, (_, index) => getBlock(opened, index)));
    assert(most <= 6, `${most} were under way`);
  }, { maxConcurrency: 6 });
});
