/**
 * The record of an acquisition that was interrupted, killed and resumed, each time by another examiner, and of an
 * incremental one after it, against the endpoint's log. The counts of a session that was killed must be those of its
 * last durable write, which the log of what was asked for again tells.
 */
import { assert, assertEquals, assertGreater, assertLessOrEqual, assertNotEquals } from "@std/assert";
import type { Session } from "../../src/format/documents.ts";
import type { Manifest } from "../../src/format/manifest.ts";
import { SimulatorClock } from "../../src/simulate/mod.ts";
import { outside } from "../outside.ts";
import { FIRST, SECOND, type Stage, withStage } from "./endpoint.ts";
import { BLOCK_BYTES, every, writeRandomBlocks } from "./images.ts";
import { assertExit, summaryOf } from "./program.ts";
import { countsOf, custodyHead, failuresOf, hasFailed, readRecord, said, toldFailures } from "./record.ts";
import {
  AHEAD_MS,
  assertDescribed,
  assertSession,
  assertSkew,
  assertWithin,
  BLOCK_COUNT,
  credentialsOf,
  FACTS,
  manifestFacts,
  type Run,
  segmentOf,
  sessionFacts,
  timed,
  TOOLS,
  totalsOf,
} from "./record_expected.ts";

/** More than a pack holds, so that something is durable when the second session is killed. */
const MANY = 150;
const OLD = { accessKeyId: "AKIAOLDEXAMPLE", secretAccessKey: "old-secret-example" };
const FRESH = { accessKeyId: "AKIAFRESHEXAMPLE", secretAccessKey: "fresh-secret-example" };

/** Keys of a file, which somebody may rewrite. */
function writeKeys(stage: Stage, { accessKeyId, secretAccessKey }: typeof OLD): Record<string, string> {
  const file = `${stage.folder}/credentials`;
  Deno.writeTextFileSync(
    file,
    `[default]\naws_access_key_id = ${accessKeyId}\naws_secret_access_key = ${secretAccessKey}\n`,
  );
  return { AWS_SHARED_CREDENTIALS_FILE: file, AWS_ACCESS_KEY_ID: "", AWS_SECRET_ACCESS_KEY: "" };
}

/**
 * A killed session has the counts of one moment, that of its last durable write: of the requests up to the last one
 * answered by then, and maybe of one more under way. What was recorded by then no later session asked for.
 */
function assertKilled(
  session: Session,
  { run, later }: { readonly run: Run; readonly later: Run },
  expected: Record<string, unknown>,
): void {
  const last = run.entries.findIndex(({ requestId }) => requestId === session.lastRequestId);
  const answered = run.entries.slice(0, last + 1);
  const [before, then, after] = [answered.slice(0, -1), answered, run.entries.slice(0, last + 2)].map(
    countsOf,
  );
  const counts = ["fetchedBlocks", "getRequests", "receivedBytes", "retries", "throttles"] as const;
  for (const name of counts) {
    const value = session[name];
    assert(value >= before![name] && value <= after![name], `${name} is ${value}`);
  }
  const measured = Object.fromEntries(counts.map((name) => [name, session[name]]));
  const { startedAt, clockSkewMs, events } = session;
  assertEquals(session as unknown, {
    ...then,
    ...measured,
    ...expected,
    ...{ startedAt, clockSkewMs, events, endedAt: null, outcome: null },
  });
  assertWithin(startedAt, run.span, "startedAt");
  for (const { at } of events) assertWithin(at, { ...run.span, fromMs: Date.parse(startedAt) }, "event");
  assertSkew(clockSkewMs, AHEAD_MS);
  const told = toldFailures(session);
  assert(
    [failuresOf(answered.slice(0, -1)), failuresOf(answered)].some((failures) =>
      JSON.stringify(told) === JSON.stringify(failures)
    ),
  );
  const again = new Set(
    later.entries.map(({ index, call }) => call === "GetSnapshotBlock" ? index : undefined),
  );
  const kept = run.entries.filter((entry) =>
    entry.call === "GetSnapshotBlock" && !hasFailed(entry) && !again.has(entry.index)
  );
  assertLessOrEqual(kept.length, session.fetchedBlocks);
  assertGreater(session.fetchedBlocks, 120, "a pack was full");
}

outside(
  "the record of several sessions says of each what happened in it, and of all together",
  TOOLS,
  async () => {
    const blocks = every(2, { from: 0, count: MANY });
    const [changed, added, removed] = [[0, 10], [1, 3], [4]];
    await withStage(async (folder) => {
      const [first, second] = [`${folder}/disk.img`, `${folder}/later.img`];
      await writeRandomBlocks(first, blocks);
      await writeRandomBlocks(second, [...changed, ...added], first);
      const file = Deno.openSync(second, { write: true });
      for (const index of removed) {
        file.seekSync(index * BLOCK_BYTES, Deno.SeekMode.Start);
        file.writeSync(new Uint8Array(BLOCK_BYTES));
      }
      file.close();
      return {
        clock: new SimulatorClock({ startMs: Date.now() + AHEAD_MS }),
        credentials: [OLD],
        snapshots: [{ ...FACTS, id: FIRST, path: first }, { ...FACTS, id: SECOND, path: second }],
      };
    }, async (stage) => {
      const [interrupted, early, killed, last] = await fourSessions(stage);
      const { exhibit } = summaryOf(last.run.ended);
      const record = readRecord(stage.store, exhibit);
      assertEquals(record.sessions.length, 4);
      const [one, nothing, two, three] = record.sessions;

      // The answer that was held was on its way: how much of it came, nobody can say.
      const { bytesSent } = interrupted.run.entries.at(-1)!;
      const receivedBytes = one!.receivedBytes;
      const most = countsOf(interrupted.run.entries).receivedBytes;
      assert(receivedBytes <= most && receivedBytes >= most - bytesSent, `${receivedBytes} of ${most}`);
      const stopped = { entries: interrupted.run.entries.slice(0, -1) };
      const { getRequests, ...others } = countsOf(stopped.entries);
      assertSession(one!, { ...interrupted.run, ...stopped }, {
        ...await sessionFacts(stage, interrupted.args),
        ...others,
        getRequests: getRequests + 1,
        receivedBytes,
        lastRequestId: one!.lastRequestId,
        examiner: "A",
        outcome: "interrupted",
      });
      const lastIds = [stopped.entries, interrupted.run.entries].map((entries) => entries.at(-1)!.requestId);
      assert(lastIds.includes(one!.lastRequestId!), "the last answer, or the one whose headers came");

      // Nothing but its start was durable.
      assertWithin(nothing!.startedAt, early.run.span, "startedAt");
      assertEquals(nothing as unknown, {
        ...await sessionFacts(stage, early.args),
        ...countsOf([]),
        clockSkewMs: null,
        endedAt: null,
        events: [],
        examiner: "A2",
        outcome: null,
        startedAt: nothing!.startedAt,
      });
      const facts = { ...await sessionFacts(stage, killed.args), examiner: "B" };
      assertKilled(two!, { run: killed.run, later: last.run }, facts);
      assertSession(three!, last.run, {
        ...await sessionFacts(stage, last.args),
        credentialChanges: 1,
        credentialSource: "the default credential chain",
        examiner: "C",
        outcome: "committed",
      });
      assertEquals(credentialsOf(three!), [OLD.accessKeyId, FRESH.accessKeyId]);

      const manifest = record.manifest.value;
      const segment = segmentOf(
        `${stage.folder}/disk.img`,
        (index) => blocks.includes(index) ? "stored" : "absent",
      );
      const expected = await manifestFacts(stage, manifest, segment);
      const { acquisition } = expected;
      assertEquals(manifest as unknown, {
        ...expected,
        acquisition: {
          ...acquisition,
          ...totalsOf(record.sessions),
          case: { ...acquisition.case, examiner: "C" },
          // The two that did not commit are in the log already.
          custodyHeads: manifest.acquisition.custodyHeads,
          listedBlocks: MANY,
        },
        counts: { absentBlocks: BLOCK_COUNT - MANY, storedBlocks: MANY, unreadableBlocks: 0, zeroBlocks: 0 },
      });
      assertEquals(
        manifest.acquisition.custodyHeads.map(({ sequence }) => sequence),
        [0],
        "of the interruption",
      );
      assertEquals([record.unreadable.length, manifest.acquisition.documents.unreadable], [0, null]);
      // All sessions that came so far were told; the last answer counts.
      assertDescribed(record.description, { stage, snapshot: FIRST, run: last.run });
      await assertIncremental(stage, { parent: record.manifest, changed, added, removed, blocks });
    });
  },
);

/** Resolves when the log of the one journal says that blocks of this session are held. */
async function untilFlushed(stage: Stage): Promise<void> {
  const folder = `${stage.store}/journal`;
  const isFlushed = () =>
    [...Deno.readDirSync(folder)].some(({ name }) => {
      const log = Deno.readTextFileSync(`${folder}/${name}/log`);
      return log.lastIndexOf('"type":"flush"') > log.lastIndexOf('"type":"session_started"');
    });
  const watcher = Deno.watchFs(folder, { recursive: true });
  if (isFlushed()) return watcher.close();
  for await (const _ of watcher) if (isFlushed()) break;
}

interface KnownRun {
  readonly args: readonly string[];
  readonly run: Run;
}

/** Interrupted by A, killed at once and under B later, ended by C, whose keys expire on the way. */
async function fourSessions(stage: Stage): Promise<[KnownRun, KnownRun, KnownRun, KnownRun]> {
  const argsOf = (
    examiner: string,
  ) => ["acquire", FIRST, "--concurrency", "1", "--examiner", examiner, "--json"];
  const stop = async (
    args: readonly string[],
    how: { signal: Deno.Signal; after: number; exitCode: number; isFlushed?: boolean },
  ) => {
    const run = await timed(stage, async () => {
      const running = await stage.startHeldAfter(how.after, args);
      if (how.isFlushed) await untilFlushed(stage);
      running.kill(how.signal);
      return await running.ended;
    });
    assertExit(run.ended, how.exitCode);
    stage.release();
    return { args, run };
  };
  const interrupted = await stop(argsOf("A"), { signal: "SIGINT", after: 5, exitCode: 130 });
  const early = await stop(argsOf("A2"), { signal: "SIGKILL", after: 3, exitCode: 137 });
  stage.fault = (index, attempt) => attempt === 0 && index % 40 === 20 ? "flip" : undefined;
  const killed = await stop(argsOf("B"), { signal: "SIGKILL", after: 140, exitCode: 137, isFlushed: true });
  stage.fault = () => undefined;
  const env = writeKeys(stage, OLD);
  const args = argsOf("C");
  // In the moment in which a block is answered: the next request is signed with keys that just expired.
  const renewed = stage.request(({ call, index }) => {
    if (call !== "GetSnapshotBlock" || index !== 2 * MANY - 4) return false;
    stage.simulator.addCredentials(FRESH);
    writeKeys(stage, FRESH);
    stage.simulator.expireCredentials(OLD.accessKeyId);
    return true;
  });
  const run = await timed(stage, () => stage.run(args, { env }));
  assertExit(run.ended, 0);
  await renewed;
  stage.simulator.setCredentials([FRESH]);
  return [interrupted, early, killed, { args, run }];
}

interface Change {
  readonly parent: { readonly digest: string; readonly value: Manifest };
  readonly blocks: readonly number[];
  readonly changed: readonly number[];
  readonly added: readonly number[];
  readonly removed: readonly number[];
}

outside(
  "the record says of each session where the store was, and as whom it was acquired",
  TOOLS,
  async () => {
    const roles = [
      { ...OLD, sessionToken: "token-1", userId: "AROAEXAMPLEROLE000001:case-42" },
      { ...FRESH, userId: "AIDAEXAMPLEUSER000002" },
    ];
    await withStage(async (folder) => {
      await writeRandomBlocks(`${folder}/disk.img`, every(2, { from: 0, count: 10 }));
      return {
        clock: new SimulatorClock({ startMs: Date.now() + AHEAD_MS }),
        credentials: roles,
        snapshots: [{ ...FACTS, id: FIRST, path: `${folder}/disk.img` }],
      };
    }, async (stage) => {
      const args = ["acquire", FIRST, "--concurrency", "1", "--json"];
      const running = await stage.startHeldAfter(3, args);
      running.kill("SIGINT");
      assertExit(await running.ended, 130);
      stage.release();
      // Handed over: another folder, another person's keys.
      const moved = `${stage.folder}/moved`;
      await Deno.rename(stage.store, moved);
      const env = { COLDCASE_STORE: moved, ...writeKeys(stage, FRESH), AWS_SESSION_TOKEN: "" };
      const ended = await stage.run(args, { env });
      assertExit(ended, 0);
      const record = readRecord(moved, summaryOf(ended).exhibit);
      const fileSystem = await said("findmnt", "-no", "FSTYPE", "-T", moved);
      assertEquals(record.sessions.map(({ destination, callerUserId }) => [destination, callerUserId]), [
        [{ fileSystem, path: stage.store }, roles[0]!.userId],
        [{ fileSystem, path: moved }, roles[1]!.userId],
      ]);
      const { destination, tool } = record.manifest.value.acquisition;
      assertEquals([destination, tool], [record.sessions[1]!.destination, record.sessions[1]!.tool]);
    });
  },
);

async function assertIncremental(stage: Stage, { parent, blocks, changed, added, removed }: Change) {
  const head = custodyHead(stage.store);
  const args = ["acquire", SECOND, "--json"];
  const run = await timed(stage, () => stage.run(args));
  assertExit(run.ended, 0);
  const record = readRecord(stage.store, summaryOf(run.ended).exhibit);
  assertEquals(record.sessions.length, 1);
  const [session] = record.sessions;
  // Several blocks were under way at once: whose answer came last is not in the order of the log.
  const { lastRequestId } = session!;
  assert(
    run.entries.some(({ call, requestId }) => call === "GetSnapshotBlock" && requestId === lastRequestId),
  );
  const known = await sessionFacts(stage, args);
  assertSession(session!, run, { ...known, examiner: null, lastRequestId, outcome: "committed" });

  const present = [...blocks.filter((index) => !removed.includes(index)), ...added];
  const segment = segmentOf(
    `${stage.folder}/later.img`,
    (index) => present.includes(index) ? "stored" : "absent",
  );
  const manifest = record.manifest.value;
  const expected = await manifestFacts(stage, manifest, segment);
  const fetchedBlocks = changed.length + added.length;
  assertEquals(manifest as unknown, {
    ...expected,
    acquisition: {
      ...expected.acquisition,
      ...totalsOf(record.sessions),
      custodyHeads: [head],
      fetchedBlocks,
      listedBlocks: present.length,
      takenOverBlocks: present.length - fetchedBlocks,
      takenOverReadSince: parent.value.acquisition.startedAt,
    },
    counts: {
      absentBlocks: BLOCK_COUNT - present.length,
      storedBlocks: present.length,
      unreadableBlocks: 0,
      zeroBlocks: 0,
    },
    parent: {
      exhibit: parent.value.acquisition.exhibit,
      imageDigest: parent.value.imageDigest,
      manifest: parent.digest,
      snapshot: FIRST,
    },
    source: { ...expected.source, snapshot: SECOND },
  });
  assertNotEquals(manifest.acquisition.nonce, parent.value.acquisition.nonce);
  assertDescribed(record.description, { stage, snapshot: SECOND, run });
}
