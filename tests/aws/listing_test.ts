/** Listings over real HTTP: paging, tokens that expire, and endpoints that do not end or make no sense. */
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { OperatorError } from "../../src/errors.ts";
import { all, errorAnswer, OTHER, pageAnswer, type Script, SNAPSHOT, withSource } from "./fakes.ts";

const isList = (action: string) => action === "ListSnapshotBlocks";

Deno.test("listBlocks() follows pages to the one without a token", async () => {
  const indexes = Array.from({ length: 25 }, (_, i) => i * 3);
  await withSource(() => undefined, async ({ source, server, events }) => {
    const pages = await all(source.listBlocks(SNAPSHOT));
    assertEquals(pages.flatMap((page) => page.blocks.map((block) => block.index)), indexes);
    assertEquals(pages[0]!.shape, { blockSizeBytes: 512, volumeSizeGib: 1, blockCount: 2_097_152 });
    assertEquals(server.count("ListSnapshotBlocks"), 3);
    assertEquals(server.seen[0]!.url.searchParams.get("maxResults"), "10000");
    assertEquals(source.counts().listRequests, 3);
    assertEquals(events.filter((event) => event.type === "first_request").length, 1);
    assert(source.counts().firstRequestId !== source.counts().lastRequestId);
  }, { volume: { indexes, pageSize: 10 } });
});

Deno.test("listBlocks() begins where it is told", async () => {
  await withSource(() => undefined, async ({ source, server }) => {
    const pages = await all(source.listBlocks(SNAPSHOT, { startingBlock: 2 }));
    assertEquals(pages.flatMap((page) => page.blocks), [{ index: 2, token: "token2" }, {
      index: 5,
      token: "token5",
    }]);
    assertEquals(server.seen[0]!.url.searchParams.get("startingBlockIndex"), "2");
  });
});

Deno.test("listBlocks() drops what a server that ignores the starting block lists before it", async () => {
  const script: Script = () => pageAnswer({ indexes: [0, 1, 2, 5] });
  await withSource(script, async ({ source }) => {
    const [page] = await all(source.listBlocks(SNAPSHOT, { startingBlock: 2 }));
    assertEquals(page!.blocks.map((block) => block.index), [2, 5]);
  });
});

Deno.test("listBlocks() follows empty pages and sorts within a page", async () => {
  const script: Script = ({ number }) =>
    [
      pageAnswer({ indexes: [], nextToken: "a" }),
      pageAnswer({ indexes: ["9", 4], nextToken: "b" }),
      pageAnswer({ indexes: [], nextToken: "c" }),
      pageAnswer({ indexes: [12] }),
    ][number];
  await withSource(script, async ({ source }) => {
    const pages = await all(source.listBlocks(SNAPSHOT));
    assertEquals(pages.map((page) => page.blocks.map((block) => block.index)), [[], [4, 9], [], [12]]);
  });
});

Deno.test("listBlocks() of a snapshot without blocks gives one empty page", async () => {
  await withSource(() => undefined, async ({ source }) => {
    assertEquals((await all(source.listBlocks(SNAPSHOT))).map((page) => page.blocks), [[]]);
  }, { volume: { indexes: [] } });
});

Deno.test("listBlocks() lists again behind the last block where the page token expired", async () => {
  let refusals = 0;
  const script: Script = ({ url }) => {
    if (url.searchParams.get("pageToken") !== "page10" || refusals++ > 0) return undefined;
    return errorAnswer(400, "ValidationException", { reason: "INVALID_PAGE_TOKEN" });
  };
  const indexes = Array.from({ length: 25 }, (_, i) => i);
  await withSource(script, async ({ source, events, server }) => {
    const pages = await all(source.listBlocks(SNAPSHOT));
    assertEquals(pages.flatMap((page) => page.blocks.map((block) => block.index)), indexes);
    assertEquals(events.find((event) => event.type === "relisted"), {
      type: "relisted",
      fromBlock: 10,
      reason: "page token expired",
    });
    assertEquals(server.seen[2]!.url.searchParams.get("startingBlockIndex"), "10");
  }, { volume: { indexes, pageSize: 10 } });
});

Deno.test("listBlocks() gives up on a server that refuses every page token", async () => {
  const script: Script = ({ url }) =>
    url.searchParams.has("pageToken")
      ? errorAnswer(400, "ValidationException", { reason: "INVALID_PAGE_TOKEN" })
      : pageAnswer({ indexes: [], nextToken: "a" });
  await withSource(script, async ({ source }) => {
    const error = await assertRejects(() => all(source.listBlocks(SNAPSHOT)), OperatorError);
    assertEquals(error.code, "source");
  });
});

const BAD_LISTINGS: readonly (readonly [string, () => Response, string])[] = [
  ["a block twice", () => pageAnswer({ indexes: [4, 4] }), "block index 4 appears twice"],
  ["an index beyond the volume", () => pageAnswer({ indexes: [2_097_152] }), "out of range"],
  ["a negative index", () => pageAnswer({ indexes: [-1] }), "out of range"],
  ["a block without a token", () => pageAnswer({ indexes: [4], token: () => null }), "no usable token"],
  ["an endless token", () => pageAnswer({ indexes: [4], token: () => "x".repeat(5000) }), "no usable token"],
  [
    "a volume in bytes",
    () => pageAnswer({ indexes: [4], volumeSize: 1073741824 }),
    "volume size is 1073741824",
  ],
  ["a volume of nothing", () => pageAnswer({ indexes: [4], volumeSize: 0 }), "volume size is 0"],
  ["an odd block size", () => pageAnswer({ indexes: [4], blockSize: 1000 }), "block size is 1000"],
  ["a huge block size", () => pageAnswer({ indexes: [4], blockSize: 2 ** 25 }), "block size is 33554432"],
  ["another thing's JSON", () => Response.json({ hello: "world" }), "it is no listing"],
  ["a JSON list", () => Response.json([1, 2]), "it is no listing"],
  ["text", () => new Response("what?"), "not of the API's form"],
  [
    "a page that names itself",
    () => pageAnswer({ indexes: [], nextToken: "again" }),
    "names itself as the next",
  ],
];

for (const [name, answer, message] of BAD_LISTINGS) {
  Deno.test(`listBlocks() refuses ${name}`, async () => {
    await withSource(answer, async ({ source }) => {
      const error = await assertRejects(() => all(source.listBlocks(SNAPSHOT)), OperatorError);
      assertEquals(error.code, "source");
      assertStringIncludes(error.message, message);
      assertStringIncludes(error.message, `Cannot list blocks of "${SNAPSHOT}"`);
    });
  });
}

Deno.test("listBlocks() refuses pages that go backwards", async () => {
  const script: Script = ({ number }) =>
    number === 0 ? pageAnswer({ indexes: [7], nextToken: "a" }) : pageAnswer({ indexes: [7] });
  await withSource(script, async ({ source }) => {
    const error = await assertRejects(() => all(source.listBlocks(SNAPSHOT)), OperatorError);
    assertStringIncludes(error.message, "a page goes back to block 7");
  });
});

Deno.test("listBlocks() refuses a volume that changes between pages", async () => {
  const script: Script = ({ number }) =>
    number === 0 ? pageAnswer({ indexes: [7], nextToken: "a" }) : pageAnswer({ indexes: [8], volumeSize: 2 });
  await withSource(script, async ({ source }) => {
    const error = await assertRejects(() => all(source.listBlocks(SNAPSHOT)), OperatorError);
    assertStringIncludes(error.message, "the volume changed between two pages");
  });
});

Deno.test("listBlocks() ends an endless run of empty pages", async () => {
  const script: Script = ({ number }) =>
    pageAnswer({ indexes: [], nextToken: `t${number}`, blockSize: 524288 });
  await withSource(script, async ({ source, server }) => {
    const error = await assertRejects(() => all(source.listBlocks(SNAPSHOT)), OperatorError);
    assertStringIncludes(error.message, "does not end");
    assert(server.seen.length < 1100);
  });
});

Deno.test("listBlocks() refuses an endless body in bounded memory", async () => {
  let sentBytes = 0;
  const script: Script = () => {
    const chunk = new Uint8Array(1024 * 1024).fill(32);
    return new Response(
      new ReadableStream({
        pull(controller) {
          sentBytes += chunk.length;
          controller.enqueue(chunk);
        },
      }),
    );
  };
  await withSource(script, async ({ source }) => {
    const error = await assertRejects(() => all(source.listBlocks(SNAPSHOT)), OperatorError);
    assertStringIncludes(error.message, "an answer of more than 16777216 bytes");
    // Five attempts of 16 MiB, and what is in the sockets' buffers.
    assert(sentBytes < 5 * 32 * 1024 * 1024, `${sentBytes} bytes were taken`);
  });
});

Deno.test("listChangedBlocks() gives a block that the second snapshot lacks without a token", async () => {
  await withSource(() => undefined, async ({ source, server }) => {
    const pages = await all(source.listChangedBlocks({ first: OTHER, second: SNAPSHOT }));
    assertEquals(pages.flatMap((page) => page.blocks), [
      { index: 0, token: "new0" },
      { index: 1, token: undefined },
      { index: 2, token: "new2" },
      { index: 5, token: undefined },
    ]);
    assertEquals(server.seen[0]!.url.pathname, `/snapshots/${SNAPSHOT}/changedblocks`);
    assertEquals(server.seen[0]!.url.searchParams.get("firstSnapshotId"), OTHER);
  });
});

Deno.test("listChangedBlocks() names snapshots that are not of one lineage", async () => {
  const script: Script = () => errorAnswer(400, "ValidationException", { reason: "UNRELATED_SNAPSHOTS" });
  await withSource(script, async ({ source, server }) => {
    const work = () => all(source.listChangedBlocks({ first: OTHER, second: SNAPSHOT }));
    const error = await assertRejects(work, OperatorError);
    assertEquals([error.code, error.facts.reason], ["source", "UNRELATED_SNAPSHOTS"]);
    assertEquals(server.seen.length, 1);
  });
});

Deno.test("listBlocks() says which Region has no such snapshot", async () => {
  const script: Script = () =>
    errorAnswer(404, "ResourceNotFoundException", { reason: "SNAPSHOT_NOT_FOUND" });
  await withSource(script, async ({ source, server }) => {
    const error = await assertRejects(() => all(source.listBlocks(SNAPSHOT)), OperatorError);
    assertEquals([error.code, error.exitCode], ["not_found", 10]);
    assertStringIncludes(error.message, `eu-central-1 has no snapshot "${SNAPSHOT}"`);
    assertStringIncludes(error.hints[0]!, "--region");
    assertEquals(server.seen.length, 1);
  });
});

Deno.test("listBlocks() says that a snapshot which was readable is gone", async () => {
  const script: Script = ({ action, number }) =>
    isList(action) && number > 0
      ? errorAnswer(404, "ResourceNotFoundException", { reason: "SNAPSHOT_NOT_FOUND" })
      : undefined;
  await withSource(script, async ({ source }) => {
    const error = await assertRejects(() => all(source.listBlocks(SNAPSHOT)), OperatorError);
    assertEquals([error.code, error.facts.reason], ["source", "SNAPSHOT_GONE"]);
  }, { volume: { pageSize: 1 } });
});

for (const Blocks of [{}, "x", 7, [null], [1]]) {
  Deno.test(`listBlocks() takes a page whose blocks are ${JSON.stringify(Blocks)} for an answer, and for a wrong one`, async () => {
    const script: Script = ({ action }) =>
      isList(action) ? Response.json({ Blocks, VolumeSize: 1, BlockSize: 512 }) : undefined;
    await withSource(script, async ({ source, clock }) => {
      const error = await assertRejects(() => all(source.listBlocks(SNAPSHOT)), OperatorError);
      assertEquals([error.code, error.facts.reason], ["source", "MALFORMED_ANSWER"]);
      // Not the day for which a network is waited for.
      assert(clock.monotonicMs() < 120_000, `${clock.monotonicMs()} ms`);
    });
  });
}

Deno.test("listBlocks() keeps no more of a request id than a record holds", async () => {
  const script: Script = () => {
    const page = pageAnswer({ indexes: [1] });
    page.headers.set("x-amzn-RequestId", "i".repeat(4000));
    return page;
  };
  await withSource(script, async ({ source }) => {
    await all(source.listBlocks(SNAPSHOT));
    assertEquals(source.counts().firstRequestId, "i".repeat(256));
  });
});

Deno.test("listBlocks() names no error by a type that nobody can read", async () => {
  await withSource(() => errorAnswer(400, "T".repeat(4000)), async ({ source }) => {
    const error = await assertRejects(() => all(source.listBlocks(SNAPSHOT)), OperatorError);
    assert(error.message.length < 600, error.message);
  });
});
