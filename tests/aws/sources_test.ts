/**
 * Finding snapshots at an endpoint that means harm, or that is merely odd: pages without an end, ids that are none, texts
 * of megabytes, answers of another form. What is taken from it is bounded, and refused by name.
 */
import { assert, assertEquals, assertLess, assertRejects, assertStringIncludes } from "@std/assert";
import { OperatorError } from "../../src/errors.ts";
import type { Call } from "../../src/aws/calls.ts";
import { followEc2Pages, type SnapshotQuery } from "../../src/aws/sources.ts";
import type { AwsSource } from "../../src/aws/source.ts";
import { all, SNAPSHOT, withSource } from "./fakes.ts";

const CALL: Call = { action: "DescribeSnapshots", what: "look for snapshots", snapshots: [] };
const OWN: SnapshotQuery = { among: "own" };
const VOLUME = "vol-0123456789abcdef0";
const INSTANCE = "i-0123456789abcdef0";

async function countPages<T>(pages: AsyncIterable<T>): Promise<number> {
  let count = 0;
  for await (const _ of pages) count++;
  return count;
}

function xml(name: string, inside: string): Response {
  const text = `<?xml version="1.0"?><${name} xmlns="http://ec2.amazonaws.com/doc/2016-11-15/">` +
    `<requestId>r</requestId>${inside}</${name}>`;
  return new Response(text, { headers: { "content-type": "text/xml" } });
}

function snapshots(inside: string, nextToken = ""): Response {
  return xml(
    "DescribeSnapshotsResponse",
    `<snapshotSet>${inside}</snapshotSet><nextToken>${nextToken}</nextToken>`,
  );
}

function item(id: string, inside = ""): string {
  return `<item><snapshotId>${id}</snapshotId><volumeId>${VOLUME}</volumeId><status>completed</status>` +
    `<ownerId>123456789012</ownerId><startTime>2026-01-02T03:04:05.000Z</startTime>${inside}</item>`;
}

/** What `work` finds where every request is answered so. */
async function asked<T>(answer: () => Response, work: (source: AwsSource) => Promise<T>): Promise<T> {
  let result: { readonly value: T } | undefined;
  await withSource(answer, async ({ source }) => void (result = { value: await work(source) }));
  return result!.value;
}

Deno.test("followEc2Pages() ends where no token is left, and passes over empty pages", async () => {
  const tokens = [undefined, "a", "b", "c"];
  const seen: unknown[] = [];
  const pages = followEc2Pages(CALL, (token) => {
    seen.push(token);
    const at = tokens.indexOf(token);
    return Promise.resolve({
      items: at === 1 ? [] : [at],
      nextToken: tokens[at + 1] ?? (at === 3 ? "" : null),
    });
  });
  assertEquals(await all(pages), [[0], [2], [3]]);
  assertEquals(seen, tokens);
});

Deno.test("followEc2Pages() refuses a listing that does not end, in each way", async () => {
  let next = 0;
  const cases: readonly (readonly [readonly number[], () => unknown, string])[] = [
    [[1], () => "same", "names itself"],
    [[], () => `token${next++}`, "1001 pages were empty"],
    [[1], () => `token${next++}`, "10000 pages and still a next one"],
    [[1], () => 7, "page token is not usable"],
    [[1], () => "x".repeat(8193), "page token is not usable"],
  ];
  for (const [items, token, why] of cases) {
    const pages = followEc2Pages(CALL, () => Promise.resolve({ items, nextToken: token() }));
    const error = await assertRejects(() => countPages(pages), OperatorError, why);
    assertEquals([error.code, error.facts["reason"]], ["source", "BAD_LISTING"]);
  }
});

Deno.test("findSnapshots() ends at a server that gives the same page for ever", async () => {
  const error = await asked(
    () => snapshots(item(SNAPSHOT), "again"),
    (source) => assertRejects(() => all(source.findSnapshots(OWN)), OperatorError),
  );
  assertStringIncludes(error.message, "Cannot look for snapshots: a page names itself");
});

Deno.test("findSnapshots() refuses a snapshot whose id is none, and cuts texts", async () => {
  for (const id of ["", "snap-x", "../../etc/passwd", `${SNAPSHOT}\u001b`]) {
    const error = await asked(
      () => snapshots(item(id)),
      (source) => assertRejects(() => all(source.findSnapshots(OWN)), OperatorError),
    );
    assertStringIncludes(error.message, "without a usable id");
  }
  const long = "x".repeat(1_000_000);
  const tags = Array.from(
    { length: 300 },
    (_, at) => `<item><key>k${at}</key><value>${long.slice(0, 5000)}</value></item>`,
  );
  const [page] = await asked(
    () => snapshots(item(SNAPSHOT, `<description>${long}</description><tagSet>${tags.join("")}</tagSet>`)),
    (source) => all(source.findSnapshots(OWN)),
  );
  const [found] = page!;
  assertEquals([found!.description?.length, Object.keys(found!.tags).length], [1024, 100]);
  assert(Object.values(found!.tags).every((value) => value.length === 1024));
});

Deno.test("findSnapshots() shows a state that it does not know as unknown", async () => {
  const [page] = await asked(
    () => snapshots(item(SNAPSHOT).replace("completed", "enchanted")),
    (source) => all(source.findSnapshots(OWN)),
  );
  assertEquals(page!.map(({ id, state, volumeId }) => [id, state, volumeId]), [[
    SNAPSHOT,
    "unknown",
    VOLUME,
  ]]);
});

Deno.test("findSnapshots() gives up an endpoint that speaks something else", async () => {
  for (
    const answer of [() => new Response("<html>hello</html>"), () => new Response("hello", { status: 500 })]
  ) {
    const error = await asked(
      answer,
      (source) => assertRejects(() => all(source.findSnapshots(OWN)), OperatorError),
    );
    assertEquals(error.code, "source");
  }
});

Deno.test("findAttachments() takes volumes of the instance asked for only, and leaves what is no volume", async () => {
  const mapping = (device: string, volume: string) =>
    `<item><deviceName>${device}</deviceName><ebs><volumeId>${volume}</volumeId></ebs></item>`;
  const instance = (id: string, mappings: string) =>
    `<item><instancesSet><item><instanceId>${id}</instanceId><instanceState><name>running</name></instanceState>` +
    `<blockDeviceMapping>${mappings}</blockDeviceMapping></item></instancesSet></item>`;
  const answer = () =>
    xml(
      "DescribeInstancesResponse",
      `<reservationSet>${
        instance(INSTANCE, mapping("/dev/xvda", VOLUME) + mapping("/dev/sdb", "not one") + "<item/>")
      }${instance("i-00000000", mapping("/dev/xvda", "vol-00000000"))}</reservationSet>`,
    );
  const found = await asked(answer, (source) => source.findAttachments({ instance: INSTANCE }));
  assertEquals([found.result, found.instanceState], ["received", "running"]);
  assertEquals(found.attachments, [{ volumeId: VOLUME, instanceId: INSTANCE, device: "/dev/xvda" }]);
});

Deno.test("findAttachments() is an aside: what goes wrong is said, soon, and nothing is thrown", async () => {
  for (const answer of [() => new Response("<html>"), () => new Response("", { status: 500 })]) {
    await withSource(answer, async ({ source, server }) => {
      const found = await source.findAttachments({ volumes: [VOLUME] });
      assertEquals([found.result, found.attachments], ["failed", []]);
      assertLess(server.seen.length, 8);
    });
  }
});
