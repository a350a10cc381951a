/**
 * An endpoint that means harm: answers without an end to every call, pages without an end, redirects. What is taken
 * from it is bounded, and what was signed for it goes nowhere else.
 */
import { assert, assertEquals, assertLess, assertRejects } from "@std/assert";
import { OperatorError } from "../../src/errors.ts";
import { volumeShape } from "../../src/units.ts";
import { all, BLOCK_BYTES, OTHER, pageAnswer, type Script, SNAPSHOT, withSource } from "./fakes.ts";

const MIB = 1024 * 1024;
const SHAPE = volumeShape({ blockSizeBytes: BLOCK_BYTES, volumeSizeGib: 1 });
if (typeof SHAPE === "string") throw new Error(SHAPE);
const BLOCK = { snapshot: SNAPSHOT, block: { index: 0, token: "token0" }, shape: SHAPE };

/** A body that goes on for as long as somebody takes it. */
function endless(headers: Record<string, string>, status: number, onSent: (bytes: number) => void): Response {
  const chunk = new Uint8Array(256 * 1024).fill(32);
  const body = new ReadableStream({
    pull(controller) {
      onSent(chunk.length);
      controller.enqueue(chunk);
    },
  });
  return new Response(body, { status, headers });
}

const BLOCK_HEADERS = {
  "x-amz-Data-Length": String(BLOCK_BYTES),
  "x-amz-Checksum": "AAAA",
  "x-amz-Checksum-Algorithm": "SHA256",
};

Deno.test("no call takes more than its bound of an answer without an end", async () => {
  const sent = new Map<string, number>();
  const script: Script = ({ action }) =>
    endless(
      action === "GetSnapshotBlock" ? BLOCK_HEADERS : { "content-type": "text/xml" },
      action === "ListChangedBlocks" ? 400 : 200,
      (bytes) => sent.set(action, (sent.get(action) ?? 0) + bytes),
    );
  await withSource(script, async ({ source, server }) => {
    assertEquals((await source.describe(SNAPSHOT)).result, "failed");
    assertEquals(await source.callerIdentity(), undefined);
    const list = await assertRejects(() => all(source.listBlocks(SNAPSHOT)), OperatorError);
    assertEquals(list.code, "source");
    await assertRejects(
      () => all(source.listChangedBlocks({ first: OTHER, second: SNAPSHOT })),
      OperatorError,
    );
    const block = await source.getBlock(BLOCK);
    assertEquals(block.kind === "unreadable" && block.reason, "length");
    // 16 MiB an answer, a block's 512 bytes, and what lies in the sockets' buffers.
    for (const action of ["other", "ListSnapshotBlocks", "ListChangedBlocks"] as const) {
      assert(server.count(action) > 0);
      assertLess(sent.get(action)!, server.count(action) * 32 * MIB, action);
    }
    assertLess(sent.get("GetSnapshotBlock")!, server.count("GetSnapshotBlock") * 16 * MIB);
  });
});

Deno.test("no listing goes on for longer than its volume has blocks, whatever pages the server adds", async () => {
  let next = 0;
  const script: Script = () => {
    const index = next++;
    return pageAnswer({ indexes: [index % 3000], nextToken: `page${index}`, blockSize: 1 << 20 });
  };
  await withSource(script, async ({ source, server }) => {
    const error = await assertRejects(() => all(source.listBlocks(SNAPSHOT)), OperatorError);
    assertEquals(error.code, "source");
    // A GiB of blocks of 1 MiB.
    assertLess(server.seen.length, 1200);
  });
});

Deno.test("no call follows a redirect, so what was signed for one host reaches no other", async () => {
  const stolen: string[] = [];
  const other = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, (request) => {
    stolen.push(`${request.url} ${request.headers.get("authorization")}`);
    return new Response("");
  });
  for (const status of [301, 302, 303, 307, 308]) {
    const location = `http://127.0.0.1:${other.addr.port}/elsewhere`;
    await withSource(
      () => new Response(null, { status, headers: { location } }),
      async ({ source, server }) => {
        assertEquals((await source.describe(SNAPSHOT)).result, "failed");
        assertEquals(await source.callerIdentity(), undefined);
        await assertRejects(() => all(source.listBlocks(SNAPSHOT)), OperatorError);
        assert(server.count("ListSnapshotBlocks") > 0 && server.count("other") > 0);
      },
    );
  }
  await other.shutdown();
  assertEquals(stolen, []);
});

Deno.test("describe() keeps a tag whatever it is called", async () => {
  const tag = (key: string) => `<item><key>${key}</key><value>x</value></item>`;
  const names = ["__proto__", "constructor", "Name"];
  const answer = '<?xml version="1.0" encoding="UTF-8"?>' +
    '<DescribeSnapshotsResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><requestId>r</requestId><snapshotSet>' +
    `<item><snapshotId>${SNAPSHOT}</snapshotId><status>completed</status>` +
    `<tagSet>${names.map(tag).join("")}</tagSet></item></snapshotSet></DescribeSnapshotsResponse>`;
  await withSource(
    () => new Response(answer, { headers: { "content-type": "text/xml" } }),
    async ({ source }) => {
      const { description } = await source.describe(SNAPSHOT);
      assertEquals(Object.entries(description!.tags), names.map((name) => [name, "x"]));
    },
  );
});
