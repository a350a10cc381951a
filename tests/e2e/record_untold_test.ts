/**
 * The record where something was not told or not reached, against the endpoint's log: questions that are refused, one of
 * several snapshots that is not there, a snapshot that vanishes midway.
 */
import { assertEquals } from "@std/assert";
import { SimulatorClock } from "../../src/simulate/mod.ts";
import { outside } from "../outside.ts";
import { FIRST, SECOND, type Stage, withStage } from "./endpoint.ts";
import { every, writeRandomBlocks } from "./images.ts";
import { assertExit, eventsOf, summaryOf } from "./program.ts";
import { readRecord, toldFailures } from "./record.ts";
import {
  AHEAD_MS,
  assertDescribed,
  assertSession,
  BLOCK_COUNT,
  credentialsOf,
  FACTS,
  manifestFacts,
  segmentOf,
  sessionFacts,
  timed,
  TOOLS,
  totalsOf,
} from "./record_expected.ts";

/** What stands in a record in place of answers that were refused. */
const NOT_TOLD = {
  completedAt: null,
  description: null,
  encrypted: null,
  instance: null,
  kmsKeyId: null,
  ownerAccount: null,
  startedAt: null,
  storageTier: null,
  tags: {},
  volumeId: null,
};

outside(
  "the records of several snapshots of one command say of each its own, and null what may not be asked",
  TOOLS,
  async () => {
    const missing = "snap-00000009";
    const blocks = every(2, { from: 1, count: 4 });
    await withStage(async (folder) => {
      await writeRandomBlocks(`${folder}/disk.img`, blocks);
      const path = `${folder}/disk.img`;
      return {
        clock: new SimulatorClock({ startMs: Date.now() + AHEAD_MS }),
        deny: ["ec2:DescribeSnapshots", "sts:GetCallerIdentity"],
        snapshots: [{ ...FACTS, id: FIRST, path }, { ...FACTS, id: SECOND, path }],
      };
    }, async (stage) => {
      stage.fault = (index, attempt) => index === 3 && attempt === 0 ? "flip" : undefined;
      const numbers = ["--evidence", `${FIRST}=1`, "--evidence", `${SECOND}=2`];
      const args = [
        "acquire",
        missing,
        FIRST,
        SECOND,
        "--parent",
        "none",
        "--concurrency",
        "1",
        ...numbers,
        "--json",
      ];
      const run = await timed(stage, () => stage.run(args));
      assertExit(run.ended, 10);
      const starts = run.entries.flatMap(({ call }, at) => call === "GetCallerIdentity" ? [at] : []);
      assertEquals(starts.length, 3);
      const exhibits = eventsOf(run.ended).filter(({ type }) => type === "summary");
      for (const [position, snapshot] of [FIRST, SECOND].entries()) {
        const own = { ...run, entries: run.entries.slice(starts[position + 1], starts[position + 2]) };
        assertEquals(exhibits[position]!["snapshot"], snapshot);
        const record = readRecord(stage.store, String(exhibits[position]!["exhibit"]));
        const [session] = record.sessions;
        const known = await sessionFacts(stage, args);
        const caller = { callerAccount: null, callerArn: null, callerUserId: null };
        assertSession(session!, own, { ...known, ...caller, examiner: null, outcome: "committed" });
        assertEquals(toldFailures(session!).map(({ of }) => of), [
          "DescribeSnapshots",
          "GetCallerIdentity",
          "GetSnapshotBlock of block 3",
        ]);
        assertEquals(credentialsOf(session!), [stage.simulator.credentials[0]!.accessKeyId]);
        const { acquisition } = record.manifest.value;
        assertEquals(acquisition.snapshot, NOT_TOLD);
        assertEquals([acquisition.documents.description, record.description], [null, undefined]);
        assertEquals(acquisition.descriptionResult, "not_permitted");
        assertEquals(acquisition.case.evidence, String(position + 1));
        assertEquals([acquisition.fetchedBlocks, acquisition.retries], [blocks.length, 1]);
      }
    });
  },
);

outside("the record of a partial commit says what was never read, and on which listing", TOOLS, async () => {
  const blocks = every(2, { from: 1, count: 10 });
  await withStage(async (folder) => {
    await writeRandomBlocks(`${folder}/disk.img`, blocks);
    return {
      clock: new SimulatorClock({ startMs: Date.now() + AHEAD_MS }),
      snapshots: [{ ...FACTS, id: FIRST, path: `${folder}/disk.img` }],
    };
  }, async (stage) => {
    const args = ["acquire", FIRST, "--concurrency", "1", "--json"];
    const held = 4;
    // Before its last answer has left, so that the next request finds nothing.
    const gone = stage.request(({ call, index }) => {
      if (call !== "GetSnapshotBlock" || index !== blocks[held - 1]) return false;
      stage.simulator.removeSnapshot(FIRST);
      return true;
    });
    const first = await timed(stage, () => stage.run(args));
    await gone;
    assertExit(first.ended, 14);
    const partialArgs = [...args, "--commit-partial"];
    const second = await timed(stage, () => stage.run(partialArgs));
    assertExit(second.ended, 3);
    const record = readRecord(stage.store, summaryOf(second.ended).exhibit);
    const [one, two] = record.sessions;
    assertSession(one!, first, {
      ...await sessionFacts(stage, args),
      examiner: null,
      outcome: "source",
    });
    assertSession(two!, second, {
      ...await sessionFacts(stage, partialArgs),
      // It asks for nothing but the listing.
      callerAccount: null,
      callerArn: null,
      callerUserId: null,
      examiner: null,
      outcome: "committed",
    });
    const stored = blocks.slice(0, held);
    const segment = segmentOf(
      `${stage.folder}/disk.img`,
      (index) => stored.includes(index) ? "stored" : "unreadable",
    );
    const manifest = record.manifest.value;
    const expected = await manifestFacts(stage, manifest, segment);
    assertEquals(manifest as unknown, {
      ...expected,
      acquisition: {
        ...expected.acquisition,
        ...totalsOf(record.sessions),
        custodyHeads: manifest.acquisition.custodyHeads,
        descriptionResult: "not_asked",
        listedBlocks: blocks.length,
        verification: { ...expected.acquisition.verification, result: "some_unreadable" },
      },
      counts: {
        absentBlocks: 0,
        storedBlocks: held,
        unreadableBlocks: BLOCK_COUNT - held,
        zeroBlocks: 0,
      },
      isPartial: true,
    });
    // What the first session was told stays, though the snapshot is gone: that is where it matters.
    assertDescribed(record.description, { stage, snapshot: FIRST, run: first });
    const starts = [0, ...stored.map((index) => index + 1)];
    const ends = [...stored, BLOCK_COUNT];
    assertEquals(
      record.unreadable as unknown,
      starts.map((block, position) => ({
        blocks: ends[position]! - block,
        first: { attempts: 0, block, detail: "never tried", reason: "not_acquired", requestIds: [] },
      })),
    );
  });
});

/** Its one acquisition of this run, which must end well. */
async function acquired(stage: Stage, ...args: string[]) {
  const run = await timed(stage, () => stage.run(["acquire", ...args, "--concurrency", "1", "--json"]));
  assertExit(run.ended, 0);
  return { run, record: readRecord(stage.store, summaryOf(run.ended).exhibit) };
}

outside(
  "the record says that EC2 gave no usable answer, and counts how often it was asked",
  TOOLS,
  async () => {
    await withStage(async (folder) => {
      await writeRandomBlocks(`${folder}/disk.img`, every(2, { from: 0, count: 6 }));
      return {
        clock: new SimulatorClock({ startMs: Date.now() + AHEAD_MS }),
        faultHook: ({ call }) => call === "DescribeSnapshots" ? "error500" : undefined,
        snapshots: [{ ...FACTS, id: FIRST, path: `${folder}/disk.img` }],
      };
    }, async (stage) => {
      const { run, record } = await acquired(stage, FIRST, "--parent", "none");
      const asked = run.entries.filter(({ call }) => call === "DescribeSnapshots");
      assertEquals(asked.map(({ status }) => status), [500, 500, 500, 500]);
      assertEquals(record.sessions[0]!.otherRequests, asked.length + 1);
      const { acquisition } = record.manifest.value;
      assertEquals([acquisition.descriptionResult, acquisition.snapshot], ["failed", NOT_TOLD] as unknown[]);
    });
  },
);

outside("the record keeps what an earlier session was told of the snapshot", TOOLS, async () => {
  await withStage(async (folder) => {
    await writeRandomBlocks(`${folder}/disk.img`, every(2, { from: 0, count: 6 }));
    const path = `${folder}/disk.img`;
    const description = "copied from i-0123456789abcdef0";
    return {
      clock: new SimulatorClock({ startMs: Date.now() + AHEAD_MS }),
      snapshots: [{ ...FACTS, id: FIRST, path }, { ...FACTS, id: SECOND, path, description }],
    };
  }, async (stage) => {
    const first = await timed(stage, async () => {
      const running = await stage.startHeldAfter(2, ["acquire", FIRST, "--concurrency", "1"]);
      running.kill("SIGINT");
      return await running.ended;
    });
    assertExit(first.ended, 130);
    stage.release();
    stage.simulator.deny("ec2:DescribeSnapshots");
    const { record } = await acquired(stage, FIRST);
    assertDescribed(record.description, { stage, snapshot: FIRST, run: first });
    const { acquisition } = record.manifest.value;
    assertEquals(acquisition.descriptionResult, "not_permitted");
    assertEquals(acquisition.snapshot.volumeId, FACTS.volumeId);

    stage.simulator.allow("ec2:DescribeSnapshots");
    const { snapshot } = (await acquired(stage, SECOND)).record.manifest.value.acquisition;
    assertEquals([snapshot.description, snapshot.instance], ["copied from i-0123456789abcdef0", null]);
  });
});
