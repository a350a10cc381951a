/**
 * What the program says where the other side is not as it should be: snapshots that are unknown or not readable, a
 * wrong Region, answers that no EBS endpoint gives. Exit code, message and hint; nothing is left behind.
 */
import { assertEquals, assertStringIncludes } from "@std/assert";
import { FIRST, type Stage, withStage } from "./endpoint.ts";
import { every, writeRandomBlocks } from "./images.ts";
import { assertExit, assertRefusal, coldcase, type Ended } from "./program.ts";

function withSnapshot(body: (stage: Stage) => Promise<void>): Promise<void> {
  return withStage(async (folder) => {
    await writeRandomBlocks(`${folder}/disk.img`, every(2, { from: 0, count: 6 }));
    return { snapshots: [{ id: FIRST, path: `${folder}/disk.img`, volumeId: "vol-1" }] };
  }, body);
}

Deno.test("plan and acquire refuse a snapshot that cannot be read, and say why", async () => {
  await withSnapshot(async (stage) => {
    const unknown = "snap-0fffffffffffffff0";
    for (const command of ["plan", "acquire"]) {
      assertRefusal(await stage.run([command, unknown]), {
        exitCode: 10,
        names: [unknown],
        hints: ["Region"],
      });
      assertRefusal(await stage.run([command, "vol-1"]), { exitCode: 2, names: ["vol-1", "snap-"] });
    }
    const states = [
      [{ state: "pending" }, "pending", "Wait until it is completed"],
      [{ state: "error" }, "error", "Only a completed snapshot"],
      [{ state: "completed", tier: "archive" }, "archive", "restore-snapshot-tier"],
    ] as const;
    for (const [facts, name, hint] of states) {
      stage.simulator.updateSnapshot(FIRST, facts);
      assertRefusal(await stage.run(["plan", FIRST]), { exitCode: 14, names: [FIRST, name] });
      assertRefusal(await stage.run(["acquire", FIRST]), {
        exitCode: 14,
        names: [FIRST, name],
        hints: [hint],
      });
      // Who may not describe snapshots learns it from the listing.
      stage.simulator.deny("ec2:DescribeSnapshots");
      assertRefusal(await stage.run(["acquire", FIRST]), { exitCode: 14, names: [FIRST] });
      stage.simulator.allow("ec2:DescribeSnapshots");
    }
    assertEquals(stage.getRequests(), 0);
    assertStringIncludes((await stage.run(["ls"])).stderr, "holds nothing");
  });
});

Deno.test("acquire refuses the wrong Region", async () => {
  await withSnapshot(async (stage) => {
    const elsewhere = await stage.run(["acquire", FIRST, "--region", "eu-west-3"]);
    assertRefusal(elsewhere, { exitCode: 2, names: ["another Region than eu-west-3"], hints: ["--region"] });
    const none = await stage.run(["acquire", FIRST], { env: { AWS_REGION: "", AWS_DEFAULT_REGION: "" } });
    assertRefusal(none, { exitCode: 2, names: ["Region"], hints: ["--region"] });
    assertRefusal(await stage.run(["acquire", FIRST, "--region", "nowhere at all"]), {
      exitCode: 2,
      names: ["nowhere at all"],
    });
  });
});

const BLOCK = { BlockIndex: 0, BlockToken: "AAAA" };
const PAGE = { Blocks: [BLOCK], BlockSize: 524_288, VolumeSize: 1, ExpiryTime: 4_000_000_000 };

/** Listings that no service gives, and what the message must name. */
const LISTINGS: readonly (readonly [string, unknown, readonly string[]])[] = [
  ["a volume of 0 GiB", { ...PAGE, VolumeSize: 0 }, ["volume size is 0"]],
  ["a volume in bytes", { ...PAGE, VolumeSize: 1_073_741_824 }, ["1073741824"]],
  ["a volume of 65,537 GiB", { ...PAGE, VolumeSize: 65_537 }, ["65537"]],
  ["blocks of 0 bytes", { ...PAGE, BlockSize: 0 }, ["block size is 0"]],
  ["blocks of 1,000 bytes", { ...PAGE, BlockSize: 1000 }, ["1000"]],
  ["blocks of 32 MiB", { ...PAGE, BlockSize: 2 ** 25 }, ["33554432"]],
  ["too many blocks", { ...PAGE, BlockSize: 512, VolumeSize: 65_536 }, ["137438953472"]],
  ["a block twice", { ...PAGE, Blocks: [BLOCK, BLOCK] }, ["block index 0"]],
  ["a block beyond the volume", { ...PAGE, Blocks: [{ ...BLOCK, BlockIndex: 2048 }] }, ["2048"]],
  ["a negative block", { ...PAGE, Blocks: [{ ...BLOCK, BlockIndex: -1 }] }, ["-1"]],
  ["a block with no token", { ...PAGE, Blocks: [{ BlockIndex: 3 }] }, ["block 3"]],
  ["a block of no number", { ...PAGE, Blocks: [{ ...BLOCK, BlockIndex: "three" }] }, ["three"]],
  ["no blocks member", { BlockSize: 524_288, VolumeSize: 1 }, ["no listing"]],
  ["an array", [], ["no listing"]],
  ["another service's JSON", { items: [], kind: "storage#objects" }, ["no listing"]],
  ["a page that begins anew", { ...PAGE, NextToken: "again" }, ["block 0"]],
];

/** An endpoint that gives every listing the same answer. */
async function withListing(
  answer: { readonly body: string; readonly type?: string },
  body: (url: string) => Promise<void>,
): Promise<void> {
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, (request) => {
    const isListing = request.method === "GET" && new URL(request.url).pathname.startsWith("/snapshots/");
    if (!isListing) return new Response("<ErrorResponse/>", { status: 403 });
    return new Response(answer.body, { headers: { "content-type": answer.type ?? "application/json" } });
  });
  try {
    await body(`http://127.0.0.1:${server.addr.port}`);
  } finally {
    await server.shutdown();
  }
}

async function acquireFrom(url: string, store: string): Promise<Ended> {
  return await coldcase(["acquire", FIRST, "-s", store, "--give-up-after", "1s"], {
    env: {
      AWS_ENDPOINT_URL: url,
      AWS_REGION: "us-east-1",
      AWS_ACCESS_KEY_ID: "AKIAEXAMPLE",
      AWS_SECRET_ACCESS_KEY: "example",
      AWS_EC2_METADATA_DISABLED: "true",
    },
  });
}

for (const [what, listing, names] of LISTINGS) {
  Deno.test(`acquire refuses a listing with ${what}`, async () => {
    const folder = await Deno.makeTempDir({ prefix: "coldcase-e2e-" });
    try {
      await withListing({ body: JSON.stringify(listing) }, async (url) => {
        const ended = await acquireFrom(url, `${folder}/evidence`);
        assertRefusal(ended, { exitCode: 14, names: [FIRST, ...names], hints: ["endpoint"] });
      });
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  });
}

Deno.test("acquire refuses a web page and broken JSON in place of a listing", async () => {
  const folder = await Deno.makeTempDir({ prefix: "coldcase-e2e-" });
  try {
    const answers = [
      { body: "<html><body>Please log in</body></html>", type: "text/html" },
      { body: '{"Blocks": [', type: "application/json" },
      { body: "", type: "application/json" },
    ];
    for (const answer of answers) {
      await withListing(answer, async (url) => {
        const ended = await acquireFrom(url, `${folder}/evidence`);
        assertRefusal(ended, { exitCode: 14, names: [FIRST], hints: ["endpoint"] });
      });
    }
    assertExit(await coldcase(["ls", "-s", `${folder}/evidence`]), 0);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("acquire gives up on an endpoint that is not there", async () => {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr;
  listener.close();
  const folder = await Deno.makeTempDir({ prefix: "coldcase-e2e-" });
  try {
    const ended = await acquireFrom(`http://127.0.0.1:${port}`, `${folder}/evidence`);
    assertRefusal(ended, { exitCode: 14, names: [FIRST], hints: ["endpoint URL", "HTTPS_PROXY"] });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
