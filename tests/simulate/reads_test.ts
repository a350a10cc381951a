/**
 * Listing, comparing and reading as AWS documents them: pages, tokens and their lives, parameters, access.
 */
import { assert, assertEquals, assertMatch, assertNotEquals } from "@std/assert";
import {
  type Simulator,
  SimulatorClock,
  type SimulatorOptions,
  startSimulator,
} from "../../src/simulate/mod.ts";
import {
  BLOCK,
  errorOf,
  KEYS,
  LATER,
  page,
  pages,
  send,
  sha256Base64,
  SNAPSHOT,
  withFolder,
  writeImage,
} from "./fixtures.ts";

const START_MS = Date.UTC(2026, 0, 2);
const GIB_BLOCKS = 2 ** 30 / BLOCK;
const BLOCKS = `/snapshots/${SNAPSHOT}/blocks`;
const CHANGED = `/snapshots/${LATER}/changedblocks`;

/** Present in the first: 0…249 and 299; in the second 0 is removed, 1 changed, 300 new. */
async function withServed(
  body: (simulator: Simulator) => Promise<void>,
  options: SimulatorOptions = {},
): Promise<void> {
  await withFolder(async (folder) => {
    const first = Object.fromEntries(Array.from({ length: 250 }, (_, index) => [index, index % 255 + 1]));
    writeImage(`${folder}/1.raw`, { blockCount: 400, fills: { ...first, 299: 9 } });
    writeImage(`${folder}/2.raw`, { blockCount: 400, fills: { ...first, 0: 0, 1: 99, 299: 9, 300: 7 } });
    const simulator = await startSimulator({
      credentials: [KEYS],
      blockSizeBytes: BLOCK,
      quotas: "none",
      clock: new SimulatorClock({ startMs: START_MS, virtual: true }),
      snapshots: [
        { id: SNAPSHOT, path: `${folder}/1.raw`, volumeId: "vol-0a" },
        { id: LATER, path: `${folder}/2.raw`, volumeId: "vol-0a" },
      ],
      ...options,
    });
    try {
      await body(simulator);
    } finally {
      await simulator.close();
    }
  });
}

function get(
  simulator: Simulator,
  index: number | string,
  token?: string,
  snapshot = SNAPSHOT,
): Promise<Response> {
  return send(simulator, {
    path: `/snapshots/${snapshot}/blocks/${index}`,
    ...(token === undefined ? {} : { query: { blockToken: token } }),
  });
}

Deno.test("ListSnapshotBlocks gives every present block once, in pages of MaxResults", async () => {
  await withServed(async (simulator) => {
    const all = await pages(simulator, BLOCKS, { maxResults: "100" });
    assertEquals(all.map((one) => one.Blocks!.length), [100, 100, 51]);
    const indexes = all.flatMap((one) => one.Blocks!.map(({ BlockIndex }) => BlockIndex));
    assertEquals(indexes, [...Array.from({ length: 250 }, (_, index) => index), 299]);
    const { VolumeSize, BlockSize, ExpiryTime } = all[0]!;
    assertEquals([VolumeSize, BlockSize, ExpiryTime], [1, BLOCK, START_MS / 1000 + 7 * 86_400]);
    assertEquals("NextToken" in all[2]!, false);
  });
});

Deno.test("ListSnapshotBlocks gives other tokens every time, all of AWS's pattern", async () => {
  await withServed(async (simulator) => {
    const tokens = async () => (await page(simulator, BLOCKS)).Blocks!.map(({ BlockToken }) => BlockToken);
    const [first, second] = [await tokens(), await tokens()];
    assertEquals(new Set([...first, ...second]).size, first.length * 2);
    for (const token of first) assertMatch(token, /^[A-Za-z0-9+/=]{1,256}$/);
  });
});

Deno.test("ListSnapshotBlocks starts at StartingBlockIndex, which a page token overrides", async () => {
  await withServed(async (simulator) => {
    const from = (await page(simulator, BLOCKS, { startingBlockIndex: "249" })).Blocks!;
    assertEquals(from.map(({ BlockIndex }) => BlockIndex), [249, 299]);
    assertEquals((await page(simulator, BLOCKS, { startingBlockIndex: "300" })).Blocks, []);
    const { NextToken } = await page(simulator, BLOCKS, { maxResults: "100" });
    const next = await page(simulator, BLOCKS, { pageToken: NextToken!, startingBlockIndex: "249" });
    assertEquals(next.Blocks![0]!.BlockIndex, 100);
  });
});

Deno.test("startSimulator() never gives more blocks a page than pageLimit", async () => {
  await withServed(async (simulator) => {
    const all = await pages(simulator, BLOCKS, { maxResults: "10000" });
    assertEquals(all.map((one) => one.Blocks!.length), [...Array(35).fill(7), 6]);
  }, { pageLimit: 7 });
});

Deno.test("ListSnapshotBlocks refuses parameters outside the service model", async () => {
  await withServed(async (simulator) => {
    const refused = async (path: string, query: Record<string, string> = {}) =>
      (await errorOf(await send(simulator, { path, query }))).join(" ");
    for (const value of ["99", "10001", "-1", "1e3", "x", ""]) {
      assertEquals(
        await refused(BLOCKS, { maxResults: value }),
        "400 ValidationException INVALID_PARAMETER_VALUE",
        value,
      );
    }
    for (const value of ["abc-_", "A".repeat(257), "AAAA", ""]) {
      assertEquals(
        await refused(BLOCKS, { pageToken: value }),
        "400 ValidationException INVALID_PAGE_TOKEN",
        value,
      );
    }
    assertEquals(
      await refused(BLOCKS, { startingBlockIndex: "-1" }),
      "400 ValidationException INVALID_PARAMETER_VALUE",
    );
    assertEquals(await refused("/snapshots/vol-1/blocks"), "400 ValidationException INVALID_SNAPSHOT_ID");
    assertEquals(
      await refused("/snapshots/snap-00/blocks"),
      "404 ResourceNotFoundException SNAPSHOT_NOT_FOUND",
    );
    assertEquals(await refused("/elsewhere"), "404 UnknownOperationException ");
  });
});

Deno.test("ListSnapshotBlocks forgets a page token after 60 minutes, and knows whose it is", async () => {
  await withServed(async (simulator) => {
    const { NextToken } = await page(simulator, BLOCKS, { maxResults: "100" });
    const query = { pageToken: NextToken! };
    const other = await errorOf(await send(simulator, { path: `/snapshots/${LATER}/blocks`, query }));
    assertEquals(other, [400, "ValidationException", "INVALID_PAGE_TOKEN"]);
    simulator.clock.advanceMs(60 * 60e3 - 1);
    assertEquals((await send(simulator, { path: BLOCKS, query })).status, 200);
    simulator.clock.advanceMs(1);
    const late = await errorOf(await send(simulator, { path: BLOCKS, query }));
    assertEquals(late, [400, "ValidationException", "INVALID_PAGE_TOKEN"]);
  });
});

Deno.test("ListChangedBlocks tells changed, new and removed blocks apart", async () => {
  await withServed(async (simulator) => {
    const { ChangedBlocks } = await page(simulator, CHANGED, { firstSnapshotId: SNAPSHOT });
    assertEquals(
      ChangedBlocks!.map((
        block,
      ) => [block.BlockIndex, "FirstBlockToken" in block, "SecondBlockToken" in block]),
      [[0, true, false], [1, true, true], [300, false, true]],
    );
    const [removed, changed, added] = ChangedBlocks!;
    assertEquals((await get(simulator, 0, removed!.FirstBlockToken)).status, 200);
    const first = new Uint8Array(await (await get(simulator, 1, changed!.FirstBlockToken)).arrayBuffer());
    const second = new Uint8Array(
      await (await get(simulator, 1, changed!.SecondBlockToken, LATER)).arrayBuffer(),
    );
    assertEquals([first[0], second[0]], [2, 99]);
    assertEquals((await get(simulator, 300, added!.SecondBlockToken, LATER)).status, 200);
    const crossed = await errorOf(await get(simulator, 1, changed!.FirstBlockToken, LATER));
    assertEquals(crossed, [400, "ValidationException", "INVALID_BLOCK_TOKEN"]);
  });
});

Deno.test("ListChangedBlocks refuses unrelated snapshots and a missing first one", async () => {
  await withServed(async (simulator) => {
    assertEquals(await errorOf(await send(simulator, { path: CHANGED })), [
      400,
      "ValidationException",
      "INVALID_PARAMETER_VALUE",
    ]);
    simulator.updateSnapshot(LATER, { volumeId: "vol-0b" });
    const query = { firstSnapshotId: SNAPSHOT };
    const unrelated = await errorOf(await send(simulator, { path: CHANGED, query }));
    assertEquals(unrelated, [400, "ValidationException", "UNRELATED_SNAPSHOTS"]);
  });
});

Deno.test("GetSnapshotBlock gives the bytes with their length and checksum", async () => {
  await withServed(async (simulator) => {
    const { Blocks } = await page(simulator, BLOCKS, { startingBlockIndex: "299" });
    const response = await get(simulator, 299, Blocks![0]!.BlockToken);
    const bytes = new Uint8Array(await response.arrayBuffer());
    assertEquals(bytes, new Uint8Array(BLOCK).fill(9));
    assertEquals(response.headers.get("x-amz-Data-Length"), String(BLOCK));
    assertEquals(response.headers.get("x-amz-Checksum"), sha256Base64(bytes));
    assertEquals(response.headers.get("x-amz-Checksum-Algorithm"), "SHA256");
    assertEquals(response.headers.get("Date"), new Date(START_MS).toUTCString());
    assertMatch(response.headers.get("x-amzn-RequestId")!, /^[0-9a-f-]{36}$/);
  });
});

Deno.test("GetSnapshotBlock refuses a token that is missing, forged, of another block, or 7 days old", async () => {
  await withServed(async (simulator) => {
    const { Blocks } = await page(simulator, BLOCKS);
    const token = Blocks![5]!.BlockToken;
    const forged = token[20] === "A" ? "B" : "A";
    const wrong = [
      undefined,
      "",
      "AAAA",
      "a b",
      token.slice(0, 20) + forged + token.slice(21),
      Blocks![6]!.BlockToken,
    ];
    for (const given of wrong) {
      const error = await errorOf(await get(simulator, 5, given));
      assertEquals(error, [400, "ValidationException", "INVALID_BLOCK_TOKEN"], given);
    }
    simulator.clock.advanceMs(7 * 86_400e3 - 1);
    assertEquals((await get(simulator, 5, token)).status, 200);
    simulator.clock.advanceMs(1);
    const late = await errorOf(await get(simulator, 5, token));
    assertEquals(late, [400, "ValidationException", "INVALID_BLOCK_TOKEN"]);
  });
});

Deno.test("GetSnapshotBlock refuses a token with any bit flipped", async () => {
  await withServed(async (simulator) => {
    const bytes = Uint8Array.from(
      atob((await page(simulator, BLOCKS)).Blocks![5]!.BlockToken),
      (c) => c.charCodeAt(0),
    );
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const flipped = bytes.slice();
      flipped[bit >> 3]! ^= 1 << (bit & 7);
      const error = await errorOf(await get(simulator, 5, btoa(String.fromCharCode(...flipped))));
      assertEquals(error, [400, "ValidationException", "INVALID_BLOCK_TOKEN"], `bit ${bit}`);
    }
  });
});

Deno.test("GetSnapshotBlock refuses an index that is no number or beyond the volume", async () => {
  await withServed(async (simulator) => {
    const { Blocks } = await page(simulator, BLOCKS);
    const token = Blocks![0]!.BlockToken;
    for (const index of ["x", "-1", "1.5", "99999999999"]) {
      const error = await errorOf(await get(simulator, index, token));
      assertEquals(error, [400, "ValidationException", "INVALID_PARAMETER_VALUE"], index);
    }
    const beyond = await errorOf(await get(simulator, GIB_BLOCKS, token));
    assertEquals(beyond, [400, "ValidationException", "INVALID_BLOCK"]);
    assertEquals((await errorOf(await get(simulator, GIB_BLOCKS - 1, token)))[2], "INVALID_BLOCK_TOKEN");
  });
});

Deno.test("startSimulator() serves presentZeros, a padded tail, and all blocks where asked", async () => {
  await withFolder(async (folder) => {
    Deno.writeFileSync(`${folder}/tail.raw`, new Uint8Array(BLOCK + 1).fill(1));
    const simulator = await startSimulator({
      credentials: [KEYS],
      blockSizeBytes: BLOCK,
      snapshots: [{ id: SNAPSHOT, path: `${folder}/tail.raw`, presentZeros: [5, GIB_BLOCKS - 1] }],
    });
    try {
      const { Blocks } = await page(simulator, BLOCKS);
      assertEquals(Blocks!.map(({ BlockIndex }) => BlockIndex), [0, 1, 5, GIB_BLOCKS - 1]);
      const tail = new Uint8Array(await (await get(simulator, 1, Blocks![1]!.BlockToken)).arrayBuffer());
      assertEquals([tail.length, tail[0], tail[1]], [BLOCK, 1, 0]);
      const zeros = new Uint8Array(await (await get(simulator, 5, Blocks![2]!.BlockToken)).arrayBuffer());
      assertEquals(zeros, new Uint8Array(BLOCK));
      await simulator.addSnapshot({ id: LATER, path: `${folder}/tail.raw`, present: "all" });
      const last = await page(simulator, `/snapshots/${LATER}/blocks`, {
        startingBlockIndex: String(GIB_BLOCKS - 2),
      });
      assertEquals(last.Blocks!.length, 2);
    } finally {
      await simulator.close();
    }
  });
});

Deno.test("startSimulator() refuses snapshots that cannot be read, as AWS does", async () => {
  await withServed(async (simulator) => {
    const { Blocks } = await page(simulator, BLOCKS);
    const token = Blocks![0]!.BlockToken;
    const list = async () => (await errorOf(await send(simulator, { path: BLOCKS }))).join(" ");
    const read = async () => (await errorOf(await get(simulator, 0, token))).join(" ");
    for (const changes of [{ state: "pending" }, { state: "error" }, { tier: "archive" }] as const) {
      simulator.updateSnapshot(SNAPSHOT, changes);
      for (const call of [list, read]) {
        assertEquals(await call(), "400 ValidationException INVALID_SNAPSHOT_ID");
      }
      simulator.updateSnapshot(SNAPSHOT, { state: "completed", tier: "standard" });
    }
    for (const changes of [{ public: true }, { public: false }]) {
      simulator.updateSnapshot(SNAPSHOT, { ownerId: "999999999999", ...changes });
      for (const call of [list, read]) {
        assertEquals(await call(), "403 AccessDeniedException UNAUTHORIZED_ACCOUNT");
      }
    }
    simulator.updateSnapshot(SNAPSHOT, { sharedWith: [simulator.account] });
    assertEquals((await send(simulator, { path: BLOCKS })).status, 200);
    simulator.updateSnapshot(SNAPSHOT, {
      encrypted: true,
      kmsKeyId: "arn:aws:kms:us-east-1:999999999999:alias/aws/ebs",
    });
    assertEquals((await send(simulator, { path: BLOCKS })).status, 200);
    assertEquals(await read(), "403 AccessDeniedException DEPENDENCY_ACCESS_DENIED");
    simulator.removeSnapshot(SNAPSHOT);
    for (const call of [list, read]) {
      assertEquals(await call(), "404 ResourceNotFoundException SNAPSHOT_NOT_FOUND");
    }
  });
});

Deno.test("Simulator.deny() refuses an IAM action by name, allow() grants it again", async () => {
  await withServed(async (simulator) => {
    simulator.deny("ebs:ListSnapshotBlocks");
    const response = await send(simulator, { path: BLOCKS });
    const body = await response.json() as { Message: string; Reason?: string };
    assertEquals([response.status, response.headers.get("x-amzn-errortype")], [403, "AccessDeniedException"]);
    assertMatch(
      body.Message,
      /not authorized to perform: ebs:ListSnapshotBlocks on resource: .*snapshot\/snap-/,
    );
    assertEquals(body.Reason, undefined);
    simulator.allow("ebs:ListSnapshotBlocks");
    assertEquals((await send(simulator, { path: BLOCKS })).status, 200);
  });
});

Deno.test("startSimulator() throttles at AWS's rates on its own clock", async () => {
  await withServed(async (simulator) => {
    const list = async () => (await send(simulator, { path: BLOCKS })).body?.cancel();
    for (let count = 0; count < 50; count++) await list();
    const refused = await errorOf(await send(simulator, { path: BLOCKS }));
    assertEquals(refused, [400, "ThrottlingException", "ACCOUNT_THROTTLED"]);
    simulator.clock.advanceMs(20);
    const { Blocks } = await page(simulator, BLOCKS);
    for (let count = 0; count < 3; count++) {
      await (await get(simulator, 0, Blocks![0]!.BlockToken)).body?.cancel();
    }
    const tooMany = await errorOf(await get(simulator, 0, Blocks![0]!.BlockToken));
    assertEquals(tooMany, [400, "RequestThrottledException", "RESOURCE_LEVEL_THROTTLE"]);
  }, {
    quotas: {
      ListSnapshotBlocks: { perAccount: 50 },
      GetSnapshotBlock: { perSnapshot: 3, perAccount: 1000 },
    },
  });
});

Deno.test("RequestLog counts requests per call and per block, and keeps a file of them", async () => {
  await withFolder(async (folder) => {
    const logFile = `${folder}/log.jsonl`;
    await withServed(async (simulator) => {
      const { Blocks } = await page(simulator, BLOCKS);
      for (const index of [3, 4, 3]) {
        await (await get(simulator, index, Blocks![index]!.BlockToken)).body?.cancel();
      }
      await (await get(simulator, 3, "AAAA")).body?.cancel();
      const count = simulator.requests.of("GetSnapshotBlock");
      assertEquals([count.requests, count.succeeded, count.byStatus], [4, 3, { 200: 3, 400: 1 }]);
      assertEquals(simulator.requests.count("ListSnapshotBlocks"), 1);
      assertEquals([...simulator.requests.blocks(SNAPSHOT)], [[3, 3], [4, 1]]);
      assertEquals(simulator.requests.recent().at(-1)!.reason, "INVALID_BLOCK_TOKEN");
      const lines = Deno.readTextFileSync(logFile).trim().split("\n").map((line) => JSON.parse(line));
      assertEquals(lines.length, 5);
      assert(lines.every((line) => line.snapshot === SNAPSHOT && line.accessKeyId === KEYS.accessKeyId));
      simulator.requests.reset();
      assertEquals(simulator.requests.total(), 0);
    }, { countBlocks: true, logFile });
  });
});

Deno.test("TokenMint honours tokens of an endpoint with the same secret, and no other", async () => {
  const secret = new Uint8Array(32).fill(1);
  let token = "";
  await withServed(async (simulator) => {
    token = (await page(simulator, BLOCKS)).Blocks![0]!.BlockToken;
  }, { tokenSecret: secret });
  await withServed(async (simulator) => assertEquals((await get(simulator, 0, token)).status, 200), {
    tokenSecret: secret,
  });
  await withServed(async (simulator) => assertNotEquals((await get(simulator, 0, token)).status, 200));
});
