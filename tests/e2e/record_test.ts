/**
 * The acquisition record of one session on a bad day, field by field, against what really happened: the endpoint's own
 * log of requests, the image that it served, and the host's own tools. Counts must be equal, not plausible.
 */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { createHash } from "node:crypto";
import * as http from "node:http";
import { type FaultHook, type RequestEntry, SimulatorClock } from "../../src/simulate/mod.ts";
import { outside } from "../outside.ts";
import { FIRST, type Stage, withStage } from "./endpoint.ts";
import { BLOCK_BYTES, every, writeRandomBlocks } from "./images.ts";
import { assertExit, summaryOf } from "./program.ts";
import { hasFailed, readRecord } from "./record.ts";
import {
  AHEAD_MS,
  assertDescribed,
  assertSession,
  assertSkew,
  assertWithin,
  BLOCK_COUNT,
  blockOf,
  credentialsOf,
  FACTS,
  manifestFacts,
  segmentOf,
  sessionFacts,
  timed,
  TOOLS,
  totalsOf,
} from "./record_expected.ts";

/** Blocks that never come: wrong checksum, wrong length. */
const [CHECKSUM, LENGTH] = [16, 19];
/** Listed, read, zeros. */
const ZERO = 40;

const badDay: FaultHook = ({ call, index, attempt }) => {
  if (call === "GetSnapshotBlock") {
    if (index === CHECKSUM) return "checksum";
    if (index === LENGTH) return "length";
    if (attempt > 0) return undefined;
    return ({ 1: "error500", 4: "throttle", 7: "short", 10: "refuse", 13: "flip" } as const)[index];
  }
  if (attempt > 0) return undefined;
  // The look-up before there is a journal, and what is asked beside: all of it belongs to the session.
  return ({
    ListSnapshotBlocks: "error503",
    DescribeSnapshots: "error500",
    GetCallerIdentity: "throttle",
  } as const)[call as "ListSnapshotBlocks"];
};

outside("the record of one session says what the endpoint, the image and the host say", TOOLS, async () => {
  const blocks = every(3, { from: 1, count: 10 });
  await withStage(async (folder) => {
    await writeRandomBlocks(`${folder}/disk.img`, blocks);
    return {
      clock: new SimulatorClock({ startMs: Date.now() + AHEAD_MS }),
      faultHook: badDay,
      snapshots: [{ ...FACTS, id: FIRST, path: `${folder}/disk.img`, presentZeros: [ZERO] }],
    };
  }, async (stage) => {
    const facts = {
      authority: "warrant 7 of the court of X",
      case: "2026-114",
      evidence: "114-1",
      examiner: "A. Examiner",
      notes: "a note\nof two lines, with é and \u{1f512}",
      organization: "Unit 4",
    };
    const options = Object.entries(facts).flatMap(([name, value]) => [`--${name}`, value]);
    const args = ["acquire", FIRST, "--concurrency", "1", ...options, "--json"];
    const run = await timed(stage, () => stage.run(args));
    assertExit(run.ended, 3);
    const { exhibit } = summaryOf(run.ended);
    const record = readRecord(stage.store, exhibit);
    const manifest = record.manifest.value;
    const { acquisition } = manifest;

    assertEquals(record.sessions.length, 1);
    const [session] = record.sessions;
    const known = await sessionFacts(stage, args);
    assertSession(session!, run, { ...known, examiner: facts.examiner, outcome: "committed" });
    assertEquals(session!.endedAt, acquisition.endedAt);
    assertEquals(credentialsOf(session!), [stage.simulator.credentials[0]!.accessKeyId]);
    // Nothing of the day went unnoticed by the test itself.
    const faults = new Set(run.entries.map(({ fault }) => fault));
    assertEquals(faults.size, 9, `${[...faults]}`);

    const bad = [CHECKSUM, LENGTH];
    const segment = segmentOf(
      `${stage.folder}/disk.img`,
      (index) =>
        bad.includes(index)
          ? "unreadable"
          : blocks.includes(index)
          ? "stored"
          : index === ZERO
          ? "zero"
          : "absent",
    );
    const expected = await manifestFacts(stage, manifest, segment);
    assertEquals(manifest as unknown, {
      ...expected,
      acquisition: {
        ...expected.acquisition,
        ...totalsOf(record.sessions),
        case: facts,
        listedBlocks: 11,
        verification: { ...expected.acquisition.verification, result: "some_unreadable" },
      },
      counts: { absentBlocks: BLOCK_COUNT - 11, storedBlocks: 8, unreadableBlocks: 2, zeroBlocks: 1 },
    });
    assertEquals([acquisition.exhibit, manifest.imageDigest], [exhibit, summaryOf(run.ended).imageDigest]);
    assertMatch(acquisition.nonce, /^[0-9a-f]{32}$/);
    assertEquals(acquisition.clockSkewMs, session!.clockSkewMs);
    assertWithin(acquisition.startedAt, { ...run.span, fromMs: Date.parse(session!.startedAt) }, "startedAt");

    assertUnreadable(stage, record.unreadable, run.entries);
    assertDescribed(record.description, { stage, snapshot: FIRST, run });
  });
});

function assertUnreadable(
  stage: Stage,
  unreadable: ReturnType<typeof readRecord>["unreadable"],
  entries: readonly RequestEntry[],
): void {
  const file = Deno.openSync(`${stage.folder}/disk.img`);
  const checksum = createHash("sha256").update(blockOf(file, CHECKSUM)).digest("base64");
  file.close();
  const wrong = createHash("sha256").update(checksum).digest("base64");
  const reasons = [
    [CHECKSUM, "checksum", `SHA-256 is ${checksum}, declared ${wrong}`],
    [
      LENGTH,
      "length",
      `body has ${BLOCK_BYTES / 2} bytes, declared ${BLOCK_BYTES}, block has ${BLOCK_BYTES}`,
    ],
  ];
  assertEquals(
    unreadable as unknown,
    reasons.map(([block, reason, detail]) => {
      const asked = entries.filter(({ call, index }) => call === "GetSnapshotBlock" && index === block);
      assert(asked.every(hasFailed));
      const requestIds = asked.map(({ requestId }) => requestId).slice(0, 16);
      return { blocks: 1, first: { attempts: asked.length, block, detail, reason, requestIds } };
    }),
  );
}

outside("the record says by how much the clocks differ, and what was refused for it", TOOLS, async () => {
  const aheadMs = 3_600_000;
  await withStage(async (folder) => {
    await writeRandomBlocks(`${folder}/disk.img`, [1, 2]);
    return {
      clock: new SimulatorClock({ startMs: Date.now() + aheadMs }),
      snapshots: [{ ...FACTS, id: FIRST, path: `${folder}/disk.img` }],
    };
  }, async (stage) => {
    const args = ["acquire", FIRST, "--concurrency", "1", "--json"];
    const run = { ...await timed(stage, () => stage.run(args)), aheadMs };
    assertExit(run.ended, 0);
    const record = readRecord(stage.store, summaryOf(run.ended).exhibit);
    const [session] = record.sessions;
    const known = await sessionFacts(stage, args);
    assertSession(session!, run, { ...known, examiner: null, outcome: "committed" });
    // Each of the three services is asked once by a clock that is wrong.
    const refused = run.entries.filter(({ errorType }) => errorType !== undefined);
    assertEquals(refused.map(({ call }) => call).sort(), [
      "DescribeSnapshots",
      "GetCallerIdentity",
      "ListSnapshotBlocks",
    ]);
    const told = session!.events.filter(({ kind }) => kind === "clock_skew");
    assertEquals(told.length, 1, "told when it was found, and not for each request");
    for (const { detail } of told) assertSkew(Number(/^(\d+) ms$/.exec(detail)?.[1]), aheadMs);
    assertSkew(record.manifest.value.acquisition.clockSkewMs, aheadMs);
  });
});

/** A proxy that forwards plain HTTP for who has the password. */
async function withProxy(body: (address: string, forwarded: () => number) => Promise<void>): Promise<void> {
  let forwarded = 0;
  const server = http.createServer((request, response) => {
    const isKnown = request.headers["proxy-authorization"] === `Basic ${btoa("examiner:proxy-secret")}`;
    if (!isKnown) return response.writeHead(407).end();
    forwarded++;
    const { method, headers } = request;
    const onward = http.request(request.url!, { method: method!, headers }, (answer) => {
      response.writeHead(answer.statusCode!, answer.headers);
      answer.pipe(response);
    });
    onward.on("error", () => response.destroy());
    request.pipe(onward);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  try {
    await body(`127.0.0.1:${port}`, () => forwarded);
  } finally {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
}

outside(
  "the record names the proxy that all requests went through, and not its password",
  TOOLS,
  async () => {
    await withStage(async (folder) => {
      await writeRandomBlocks(`${folder}/disk.img`, [1, 2]);
      return {
        clock: new SimulatorClock({ startMs: Date.now() + AHEAD_MS }),
        snapshots: [{ ...FACTS, id: FIRST, path: `${folder}/disk.img` }],
      };
    }, async (stage) => {
      await withProxy(async (address, forwarded) => {
        const args = ["acquire", FIRST, "--concurrency", "1", "--json"];
        const env = { HTTP_PROXY: `http://examiner:proxy-secret@${address}` };
        const run = await timed(stage, () => stage.run(args, { env }));
        assertExit(run.ended, 0);
        assertEquals(forwarded(), run.entries.length);
        const record = readRecord(stage.store, summaryOf(run.ended).exhibit);
        const known = await sessionFacts(stage, args);
        const proxy = `http://${address}`;
        assertSession(record.sessions[0]!, run, { ...known, examiner: null, outcome: "committed", proxy });
        assertEquals(await search(stage.store, ["proxy-secret"]), []);
      });
    });
  },
);

/** Files below a folder that have one of the words. */
async function search(folder: string, words: readonly string[]): Promise<string[]> {
  const found: string[] = [];
  for await (const { name, isDirectory } of Deno.readDir(folder)) {
    const path = `${folder}/${name}`;
    if (isDirectory) found.push(...await search(path, words));
    else {
      const text = new TextDecoder().decode(await Deno.readFile(path));
      if (words.some((word) => text.includes(word))) found.push(path);
    }
  }
  return found;
}
