/**
 * StartSnapshot, PutSnapshotBlock and CompleteSnapshot: what must hold before a snapshot is complete, and that it
 * is then read like any other.
 */
import { assertEquals, assertMatch } from "@std/assert";
import { createHash } from "node:crypto";
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
  page,
  send,
  sha256Base64,
  SNAPSHOT,
  withFolder,
  writeImage,
} from "./fixtures.ts";

async function withServed(
  body: (simulator: Simulator) => Promise<void>,
  options: SimulatorOptions = {},
): Promise<void> {
  await withFolder(async (folder) => {
    writeImage(`${folder}/1.raw`, { blockCount: 4, fills: { 0: 1, 1: 2 } });
    const simulator = await startSimulator({
      credentials: [KEYS],
      blockSizeBytes: BLOCK,
      quotas: "none",
      clock: new SimulatorClock({ virtual: true }),
      snapshots: [{ id: SNAPSHOT, path: `${folder}/1.raw`, volumeId: "vol-0a" }],
      uploadDirectory: folder,
      ...options,
    });
    try {
      await body(simulator);
    } finally {
      await simulator.close();
    }
    assertEquals([...Deno.readDirSync(folder)].map(({ name }) => name), ["1.raw"]);
  });
}

function start(simulator: Simulator, parameters: Record<string, unknown>): Promise<Response> {
  const headers = { "content-type": "application/json" };
  return send(simulator, { method: "POST", path: "/snapshots", headers, body: JSON.stringify(parameters) });
}

async function started(
  simulator: Simulator,
  parameters: Record<string, unknown> = { VolumeSize: 1 },
): Promise<string> {
  const response = await start(simulator, parameters);
  assertEquals(response.status, 201);
  return (await response.json()).SnapshotId;
}

function put(
  simulator: Simulator,
  block: { id: string; index: number; bytes: Uint8Array; headers?: Record<string, string> },
): Promise<Response> {
  return send(simulator, {
    method: "PUT",
    path: `/snapshots/${block.id}/blocks/${block.index}`,
    headers: {
      "x-amz-data-length": String(block.bytes.length),
      "x-amz-checksum": sha256Base64(block.bytes),
      "x-amz-checksum-algorithm": "SHA256",
      ...block.headers,
    },
    body: block.bytes,
  });
}

function complete(simulator: Simulator, id: string, headers: Record<string, string>): Promise<Response> {
  return send(simulator, { method: "POST", path: `/snapshots/completion/${id}`, headers });
}

const filled = (byte: number) => new Uint8Array(BLOCK).fill(byte);

function linear(...blocks: Uint8Array[]): Record<string, string> {
  const hash = createHash("sha256");
  for (const block of blocks) hash.update(createHash("sha256").update(block).digest());
  return {
    "x-amz-changedblockscount": String(blocks.length),
    "x-amz-checksum": hash.digest("base64"),
    "x-amz-checksum-algorithm": "SHA256",
    "x-amz-checksum-aggregation-method": "LINEAR",
  };
}

Deno.test("CompleteSnapshot verifies count and linear checksum, whatever the order of writes", async () => {
  await withServed(async (simulator) => {
    const id = await started(simulator);
    for (const [index, byte] of [[9, 3], [2, 9], [2, 1]] as const) {
      const response = await put(simulator, { id, index, bytes: filled(byte) });
      assertEquals([response.status, response.headers.get("x-amz-checksum")], [
        201,
        sha256Base64(filled(byte)),
      ]);
      await response.body?.cancel();
    }
    const refused = async (headers: Record<string, string>) =>
      (await errorOf(await complete(simulator, id, headers)))[2];
    assertEquals(await refused({}), "INVALID_PARAMETER_VALUE");
    assertEquals(await refused({ "x-amz-changedblockscount": "3" }), "INVALID_PARAMETER_VALUE");
    assertEquals(await refused(linear(filled(3), filled(1))), "INVALID_PARAMETER_VALUE");
    const { "x-amz-checksum-aggregation-method": _, ...unaggregated } = linear(filled(1), filled(3));
    assertEquals(await refused(unaggregated), "INVALID_PARAMETER_VALUE");
    const right = linear(filled(1), filled(3));
    const answer = await complete(simulator, id, right);
    assertEquals([answer.status, await answer.json()], [202, { Status: "pending" }]);
    const again = await complete(simulator, id, right);
    assertEquals(again.status, 202);
    await again.body?.cancel();
    assertEquals(await refused(linear(filled(1))), "INVALID_SNAPSHOT_ID");
    const { Blocks } = await page(simulator, `/snapshots/${id}/blocks`);
    assertEquals(Blocks!.map(({ BlockIndex }) => BlockIndex), [2, 9]);
    const query = { blockToken: Blocks![0]!.BlockToken };
    const read = await send(simulator, { path: `/snapshots/${id}/blocks/2`, query });
    assertEquals(new Uint8Array(await read.arrayBuffer()), filled(1));
    assertEquals(
      (await errorOf(await put(simulator, { id, index: 3, bytes: filled(1) })))[2],
      "INVALID_SNAPSHOT_ID",
    );
  });
});

Deno.test("PutSnapshotBlock refuses a wrong checksum, length, algorithm and index", async () => {
  await withServed(async (simulator) => {
    const id = await started(simulator);
    const refused = async (block: { index?: number; bytes?: Uint8Array; headers?: Record<string, string> }) =>
      (await errorOf(await put(simulator, { id, index: 0, bytes: filled(1), ...block })))[2];
    assertEquals(await refused({ headers: { "x-amz-checksum": sha256Base64(filled(2)) } }), "INVALID_BLOCK");
    assertEquals(await refused({ bytes: new Uint8Array(BLOCK - 1) }), "INVALID_PARAMETER_VALUE");
    assertEquals(await refused({ headers: { "x-amz-data-length": "511" } }), "INVALID_PARAMETER_VALUE");
    assertEquals(
      await refused({ headers: { "x-amz-checksum-algorithm": "MD5" } }),
      "INVALID_PARAMETER_VALUE",
    );
    assertEquals(await refused({ headers: { "x-amz-progress": "101" } }), "INVALID_PARAMETER_VALUE");
    assertEquals(await refused({ index: 2 ** 30 / BLOCK }), "INVALID_BLOCK");
    const elsewhere = await put(simulator, { id: SNAPSHOT, index: 0, bytes: filled(1) });
    assertEquals((await errorOf(elsewhere))[2], "INVALID_SNAPSHOT_ID");
  });
});

Deno.test("PutSnapshotBlock accepts a body that is left out of the signature, as no other call does", async () => {
  await withServed(async (simulator) => {
    const id = await started(simulator);
    const headers = { "x-amz-content-sha256": "UNSIGNED-PAYLOAD" };
    const answer = await put(simulator, { id, index: 0, bytes: filled(1), headers });
    assertEquals(answer.status, 201);
    await answer.body?.cancel();
    const response = await send(simulator, {
      method: "POST",
      path: "/snapshots",
      headers,
      body: '{"VolumeSize":1}',
    });
    assertEquals((await errorOf(response))[1], "InvalidSignatureException");
  });
});

Deno.test("StartSnapshot refuses parameters outside the service model", async () => {
  await withServed(async (simulator) => {
    const cases: [Record<string, unknown>, string][] = [
      [{}, "INVALID_VOLUME_SIZE"],
      [{ VolumeSize: 0 }, "INVALID_VOLUME_SIZE"],
      [{ VolumeSize: 65_537 }, "INVALID_VOLUME_SIZE"],
      [{ VolumeSize: "1" }, "INVALID_VOLUME_SIZE"],
      [{ VolumeSize: 1, Timeout: 9 }, "INVALID_PARAMETER_VALUE"],
      [{ VolumeSize: 1, Timeout: 4321 }, "INVALID_PARAMETER_VALUE"],
      [{ VolumeSize: 1, ParentSnapshotId: SNAPSHOT, Encrypted: true }, "INVALID_PARAMETER_VALUE"],
      [{ VolumeSize: 1, ParentSnapshotId: "vol-1" }, "INVALID_SNAPSHOT_ID"],
      [{ VolumeSize: 1, Encrypted: true, KmsKeyArn: "key" }, "INVALID_CUSTOMER_KEY"],
      [{ VolumeSize: 1, Tags: [{ Key: "aws:x", Value: "" }] }, "INVALID_TAG"],
      [{ VolumeSize: 1, Description: "" }, "INVALID_PARAMETER_VALUE"],
    ];
    for (const [parameters, reason] of cases) {
      const error = await errorOf(await start(simulator, parameters));
      assertEquals(error, [400, "ValidationException", reason], JSON.stringify(parameters));
    }
    const noJson = await send(simulator, { method: "POST", path: "/snapshots", body: "{" });
    assertEquals((await errorOf(noJson))[2], "INVALID_PARAMETER_VALUE");
  });
});

Deno.test("StartSnapshot answers a client token twice alike, and refuses it for another request", async () => {
  await withServed(async (simulator) => {
    const wanted = { VolumeSize: 1, ClientToken: "t1" };
    assertEquals(await started(simulator, wanted), await started(simulator, wanted));
    const other = await errorOf(await start(simulator, { ...wanted, VolumeSize: 2 }));
    assertEquals(other.slice(0, 2), [409, "ConflictException"]);
    assertMatch(await started(simulator, { ...wanted, ClientToken: "t2" }), /^snap-[0-9a-f]{17}$/);
  });
});

Deno.test("StartSnapshot over a parent inherits its blocks and its lineage", async () => {
  await withServed(async (simulator) => {
    const id = await started(simulator, { VolumeSize: 2, ParentSnapshotId: SNAPSHOT });
    await (await put(simulator, { id, index: 1, bytes: filled(9) })).body?.cancel();
    await (await complete(simulator, id, linear(filled(9)))).body?.cancel();
    const { Blocks, VolumeSize } = await page(simulator, `/snapshots/${id}/blocks`);
    assertEquals([Blocks!.map(({ BlockIndex }) => BlockIndex), VolumeSize], [[0, 1], 2]);
    const { ChangedBlocks } = await page(simulator, `/snapshots/${id}/changedblocks`, {
      firstSnapshotId: SNAPSHOT,
    });
    assertEquals(ChangedBlocks!.map(({ BlockIndex }) => BlockIndex), [1]);
  });
});

Deno.test("StartSnapshot's snapshot is pending until the delay is over, and cancelled by its time-out", async () => {
  await withServed(async (simulator) => {
    const id = await started(simulator, { VolumeSize: 1, Timeout: 10 });
    await (await complete(simulator, id, { "x-amz-changedblockscount": "0" })).body?.cancel();
    const list = { path: `/snapshots/${id}/blocks` };
    assertEquals((await errorOf(await send(simulator, list)))[2], "INVALID_SNAPSHOT_ID");
    simulator.clock.advanceMs(5000);
    assertEquals((await page(simulator, list.path)).Blocks, []);
    const late = await started(simulator, { VolumeSize: 1, Timeout: 10 });
    simulator.clock.advanceMs(10 * 60e3);
    const error = await errorOf(await put(simulator, { id: late, index: 0, bytes: filled(1) }));
    assertEquals(error, [400, "ValidationException", "WRITE_REQUEST_TIMEOUT"]);
  }, { completionDelayMs: 5000 });
});
