/**
 * The HTTP side: connections that are kept, left, broken or garbage must not cost the server its life, and
 * closing ends whatever is under way.
 */
import { assertEquals, assertMatch, assertRejects } from "@std/assert";
import { type Simulator, type SimulatorOptions, startSimulator } from "../../src/simulate/mod.ts";
import { errorOf, KEYS, page, send, signedHeaders, SNAPSHOT } from "./fixtures.ts";

const BLOCKS = `/snapshots/${SNAPSHOT}/blocks`;

async function withServed(
  options: SimulatorOptions,
  body: (simulator: Simulator) => Promise<void>,
): Promise<void> {
  const simulator = await startSimulator({
    credentials: [KEYS],
    quotas: "none",
    snapshots: [{ id: SNAPSHOT, synthetic: { seed: 1, volumeSizeGib: 1, bytes: "pattern" } }],
    ...options,
  });
  try {
    await body(simulator);
  } finally {
    await simulator.close();
  }
}

/** Sends text on a connection of its own and reads until `isDone`, or until the server ends it. */
async function exchange(port: number, text: string, isDone: (received: string) => boolean): Promise<string> {
  const connection = await Deno.connect({ hostname: "127.0.0.1", port });
  try {
    await connection.write(new TextEncoder().encode(text));
    let received = "";
    const bytes = new Uint8Array(65_536);
    while (!isDone(received)) {
      const count = await connection.read(bytes);
      if (count === null) break;
      received += new TextDecoder().decode(bytes.subarray(0, count));
    }
    return received;
  } finally {
    connection.close();
  }
}

Deno.test("startSimulator() survives garbage, and answers the next request", async () => {
  await withServed({}, async (simulator) => {
    const answer = await exchange(
      simulator.port,
      "EHLO simulator\r\n\r\n",
      (received) => received.length > 0,
    );
    assertMatch(answer, /^(HTTP\/1\.1 400|$)/);
    assertEquals((await page(simulator, BLOCKS)).VolumeSize, 1);
  });
});

Deno.test("startSimulator() keeps a connection for several requests", async () => {
  await withServed({}, async (simulator) => {
    const headers = Object.entries(await signedHeaders(simulator, { path: "/snapshots/snap-00/blocks" }));
    const request = `GET /snapshots/snap-00/blocks HTTP/1.1\r\n${
      headers.map(([name, value]) => `${name}: ${value}\r\n`).join("")
    }\r\n`;
    const answers = await exchange(
      simulator.port,
      request + request,
      (received) => received.split("SNAPSHOT_NOT_FOUND").length > 2,
    );
    assertEquals(answers.match(/HTTP\/1\.1 404/g)?.length, 2);
    assertEquals(simulator.requests.count("ListSnapshotBlocks"), 2);
  });
});

Deno.test("startSimulator() survives clients that leave in the middle of a block", async () => {
  await withServed({}, async (simulator) => {
    const { Blocks } = await page(simulator, BLOCKS);
    for (let count = 0; count < 20; count++) {
      const leaving = new AbortController();
      const response = await send(simulator, {
        path: `${BLOCKS}/0`,
        query: { blockToken: Blocks![0]!.BlockToken },
        signal: leaving.signal,
      });
      const reader = response.body!.getReader();
      await reader.read();
      const rest = reader.read().then(() => reader.read());
      leaving.abort();
      await rest.catch((error: unknown) => assertMatch(String(error), /abort/i));
    }
    assertEquals((await page(simulator, BLOCKS)).VolumeSize, 1);
  });
});

Deno.test("Simulator.close() ends requests that are stalled or wait for the link", async () => {
  for (const faults of ["stall:1", "latency=1h", "bandwidth=1B/s"]) {
    let answer: Promise<unknown> = Promise.resolve("never asked");
    await withServed({ faults }, async (simulator) => {
      answer = send(simulator, { path: BLOCKS })
        .then((response) => response.arrayBuffer())
        .then(() => "answered", () => "broken off");
      // The request is there when its connection is: the kernel's table says so, no clock does.
      await simulatorHasConnection(simulator);
    });
    assertEquals(await answer, "broken off", faults);
  }
});

async function simulatorHasConnection(simulator: Simulator): Promise<void> {
  const port = simulator.port.toString(16).toUpperCase().padStart(4, "0");
  const isEstablished = (line: string) => line.includes(`0100007F:${port} `) && /:[0-9A-F]{4} 01 /.test(line);
  while (!(await Deno.readTextFile("/proc/net/tcp")).split("\n").some(isEstablished)) {
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}

Deno.test("startSimulator() answers a bug of its own as InternalServerException, and close() throws it", async () => {
  const bug = new Error("a bug");
  await assertRejects(
    () =>
      withServed({
        faultHook: () => {
          throw bug;
        },
      }, async (simulator) => {
        const error = await errorOf(await send(simulator, { path: BLOCKS }));
        assertEquals(error.slice(0, 2), [500, "InternalServerException"]);
      }),
    Error,
    "a bug",
  );
});

Deno.test("Simulator.environment() holds all that a client needs", async () => {
  await withServed({}, (simulator) => {
    const { AWS_ENDPOINT_URL_EBS, AWS_REGION, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY } = simulator
      .environment();
    assertEquals([AWS_ENDPOINT_URL_EBS, AWS_REGION, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY], [
      simulator.url,
      "us-east-1",
      KEYS.accessKeyId,
      KEYS.secretAccessKey,
    ]);
    assertEquals("AWS_SESSION_TOKEN" in simulator.environment(), false);
    return Promise.resolve();
  });
});
