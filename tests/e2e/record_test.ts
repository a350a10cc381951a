/**
 * The acquisition record, field by field, against what really happened: the endpoint's own log of requests, the
 * image that it served, and the host's own tools. Counts must be equal, not plausible; of a session that was
 * killed they must be those of its last durable write, which the endpoint's log tells too.
 */
import { assert, assertEquals, assertLessOrEqual, assertMatch, assertNotEquals } from "@std/assert";
import { createHash } from "node:crypto";
import * as http from "node:http";
import config from "../../deno.json" with { type: "json" };
import type { Session } from "../../src/format/documents.ts";
import type { Manifest } from "../../src/format/manifest.ts";
import { type FaultHook, type RequestEntry, SimulatorClock } from "../../src/simulate/mod.ts";
import { outside } from "../outside.ts";
import { FIRST, SECOND, type Stage, withStage } from "./endpoint.ts";
import { BLOCK_BYTES, every, writeRandomBlocks } from "./images.ts";
import { assertExit, type Ended, eventsOf, summaryOf } from "./program.ts";
import {
  countsOf,
  custodyHead,
  failuresOf,
  hasFailed,
  hostByTools,
  knownOf,
  readRecord,
  said,
  sha256Of,
  toldFailures,
} from "./record.ts";

/** The endpoint's clock is so far ahead of the host's. */
const AHEAD_MS = 90_000;
/** A Date header has whole seconds, and its answer was on its way for some time. */
const SKEW_ERROR_MS = 5_000;
const BLOCK_COUNT = 2048;
const KEY = "arn:aws:kms:us-east-1:123456789012:key/00000000-0000-4000-8000-000000000001";
const TOOLS = ["findmnt", "uname", "whoami", "ssh-keygen"] as const;

/** What EC2 knows of the snapshots. */
const FACTS = {
  volumeId: "vol-0123456789abcdef0",
  startTimeMs: Date.UTC(2026, 0, 2, 3, 4, 5, 678),
  completionTimeMs: Date.UTC(2026, 0, 2, 3, 14, 15, 900),
  kmsKeyId: KEY,
  description: "Created by CreateImage(i-0123456789abcdef0) for ami-0123456789abcdef0",
  tags: { Name: "web-1 root", "aws:x": "<é>" },
} as const;

/** A span of host time, for what cannot be known to the millisecond. */
interface Span {
  readonly fromMs: number;
  readonly toMs: number;
}

interface Run {
  readonly ended: Ended;
  readonly span: Span;
  readonly entries: readonly RequestEntry[];
}

async function timed(stage: Stage, work: () => Promise<Ended>): Promise<Run> {
  stage.simulator.requests.reset();
  const fromMs = Date.now();
  const ended = await work();
  return { ended, span: { fromMs, toMs: Date.now() }, entries: stage.simulator.requests.recent() };
}

function assertWithin(time: string | null, { fromMs, toMs }: Span, what: string): void {
  assertMatch(time ?? "null", /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/, what);
  const ms = Date.parse(time!);
  assert(ms >= fromMs && ms <= toMs, `${what}: ${time} is not from ${fromMs} to ${toMs}`);
}

function assertSkew(skewMs: number | null, aheadMs = AHEAD_MS): void {
  assertLessOrEqual(Math.abs((skewMs ?? Infinity) - aheadMs), SKEW_ERROR_MS, `skew ${skewMs} ms`);
}

/** What does not depend on what a session did. */
async function sessionFacts(stage: Stage, args: readonly string[]) {
  const { account } = stage.simulator;
  return {
    callerAccount: account,
    callerArn: `arn:aws:iam::${account}:user/examiner`,
    commandLine: args,
    credentialChanges: 0,
    credentialSource: "the environment",
    eventsLeftOut: 0,
    host: await hostByTools(),
    proxy: null,
    toolVersion: config.version,
  };
}

/** Times and events, which have bounds and a test of their own, are taken as they are: no member goes unseen. */
function assertSession(session: Session, run: Run, expected: Record<string, unknown>): void {
  const entries = knownOf(run.entries, session);
  const { startedAt, endedAt, clockSkewMs, events } = session;
  assertEquals(session as unknown, {
    startedAt,
    endedAt,
    clockSkewMs,
    events,
    ...countsOf(entries),
    ...expected,
  });
  assertWithin(startedAt, run.span, "startedAt");
  const firstMs = run.entries[0]!.atMs - AHEAD_MS;
  assertLessOrEqual(Date.parse(startedAt), firstMs + 1, "the session began before its first request");
  const session_: Span = { fromMs: Date.parse(startedAt), toMs: run.span.toMs };
  if (endedAt !== null) assertWithin(endedAt, session_, "endedAt");
  for (const { at } of events) assertWithin(at, session_, "event");
  assertEquals(events.map(({ at }) => at), events.map(({ at }) => at).sort());
  assertSkew(clockSkewMs);
  assertEquals(toldFailures(session), failuresOf(entries));
}

function credentialsOf({ events }: Session): string[] {
  return events.filter(({ kind }) => kind === "credentials").map(({ detail }) => detail.split(",")[0]!);
}

/** A segment as its definition has it, from the image and the states that the test knows; `wanted` may be "absent". */
function segmentOf(image: string, stateOf: (index: number) => "stored" | "zero" | "absent" | "unreadable") {
  const runs: { blocks?: number; digests?: string[]; state: string }[] = [];
  const file = Deno.openSync(image);
  try {
    for (let index = 0; index < BLOCK_COUNT; index++) {
      const state = stateOf(index);
      const last = runs.at(-1);
      if (state === "stored") {
        const digest = sha256Of(blockOf(file, index));
        if (last?.state === state) last.digests!.push(digest);
        else runs.push({ digests: [digest], state });
      } else if (last?.state === state) last.blocks!++;
      else runs.push({ blocks: 1, state });
    }
  } finally {
    file.close();
  }
  return sha256Of(JSON.stringify({ runs, type: "coldcase-segment", version: 1 }));
}

function blockOf(file: Deno.FsFile, index: number): Uint8Array {
  const bytes = new Uint8Array(BLOCK_BYTES);
  file.seekSync(index * BLOCK_BYTES, Deno.SeekMode.Start);
  for (let done = 0; done < bytes.length;) {
    const count = file.readSync(bytes.subarray(done));
    if (count === null) break;
    done += count;
  }
  return bytes;
}

/** The manifest but for what a run decides. */
async function manifestFacts(stage: Stage, manifest: Manifest, segment: string) {
  const { acquisition } = manifest;
  const [signer] = await Promise.all(
    [...Deno.readDirSync(`${stage.store}/keys`)].filter(({ name }) => name.endsWith(".pub"))
      .map(({ name }) => said("ssh-keygen", "-lf", `${stage.store}/keys/${name}`)),
  );
  const nothing = { authority: null, case: null, evidence: null, examiner: null, notes: null };
  return {
    acquisition: {
      case: { ...nothing, organization: null },
      clockSkewMs: acquisition.clockSkewMs,
      custodyHeads: [] as unknown[],
      destination: {
        fileSystem: await said("findmnt", "-no", "FSTYPE", "-T", stage.store),
        path: stage.store,
      },
      documents: acquisition.documents,
      endedAt: acquisition.endedAt,
      exhibit: acquisition.exhibit,
      host: await hostByTools(),
      nonce: acquisition.nonce,
      parentDropped: null,
      signer: signer!.split(" ")[1],
      snapshot: {
        completedAt: "2026-01-02T03:14:15.900Z",
        description: FACTS.description,
        encrypted: true,
        kmsKeyId: KEY,
        ownerAccount: stage.simulator.account,
        startedAt: "2026-01-02T03:04:05.678Z",
        storageTier: "standard",
        tags: FACTS.tags,
        volumeId: FACTS.volumeId,
      },
      startedAt: acquisition.startedAt,
      takenOverBlocks: 0,
      takenOverReadSince: null as string | null,
      tool: {
        digest: null,
        name: "coldcase",
        runtime: `Deno ${Deno.version.deno} (${Deno.build.target})`,
        version: config.version,
      },
      unsafeFileSystem: false,
      verification: { at: acquisition.endedAt, level: "on_arrival", result: "all_matched" },
    },
    imageDigest: sha256Of(`coldcase-image-v1\n${BLOCK_BYTES} ${BLOCK_COUNT} 16384\n${segment}\n`),
    isPartial: false,
    parent: null as unknown,
    segmentBlocks: 16384,
    segments: [segment],
    source: {
      endpoint: stage.simulator.url,
      isAws: false,
      kind: "aws-ebs",
      region: "us-east-1",
      snapshot: FIRST,
    },
    supersedes: null,
    type: "coldcase-manifest",
    version: 1,
    volume: { blockCount: BLOCK_COUNT, blockSizeBytes: BLOCK_BYTES, volumeSizeGib: 1 },
  };
}

/** Sums of the sessions' counts, as the manifest has them. */
function totalsOf(sessions: readonly Session[]) {
  const total = (name: "fetchedBlocks" | "receivedBytes" | "retries" | "throttles") =>
    sessions.reduce((sum, session) => sum + session[name], 0);
  return {
    fetchedBlocks: total("fetchedBlocks"),
    receivedBytes: total("receivedBytes"),
    retries: total("retries"),
    sessions: sessions.length,
    throttles: total("throttles"),
  };
}

const describedAnswer = (stage: Stage, snapshot: string) => ({
  CompletionTime: "2026-01-02T03:14:15.900Z",
  Description: FACTS.description,
  Encrypted: true,
  KmsKeyId: KEY,
  OwnerId: stage.simulator.account,
  Progress: "100%",
  SnapshotId: snapshot,
  StartTime: "2026-01-02T03:04:05.678Z",
  State: "completed",
  StorageTier: "standard",
  Tags: Object.entries(FACTS.tags).map(([Key, Value]) => ({ Key, Value })),
  VolumeId: FACTS.volumeId,
  VolumeSize: 1,
});

// ------------------------------------------------------------------------------------- one session, a bad day

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
    assertEquals(record.description?.answer, describedAnswer(stage, FIRST));
    assertWithin(record.description!.receivedAt, run.span, "receivedAt");
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

// ------------------------------------------------- interrupted, killed, resumed by others; then incrementally

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

/** What was durable of a session that was killed: it ended with the last block that no later session asked for. */
function durableOf(entries: readonly RequestEntry[], later: readonly RequestEntry[]): RequestEntry[] {
  const again = new Set(later.filter(({ call }) => call === "GetSnapshotBlock").map(({ index }) => index));
  const last = entries.findLastIndex((entry) =>
    entry.call === "GetSnapshotBlock" && !hasFailed(entry) && !again.has(entry.index)
  );
  assert(last > 0, "something was durable");
  return entries.slice(0, last + 1);
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
      const [interrupted, killed, last] = await threeSessions(stage);
      const { exhibit } = summaryOf(last.run.ended);
      const record = readRecord(stage.store, exhibit);
      const durable = { ...killed.run, entries: durableOf(killed.run.entries, last.run.entries) };
      assertEquals(record.sessions.length, 3);
      const [one, two, three] = record.sessions;

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

      assertSession(two!, durable, {
        ...await sessionFacts(stage, killed.args),
        examiner: "B",
        endedAt: null,
        outcome: null,
      });
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
      await assertIncremental(stage, { parent: record.manifest, changed, added, removed, blocks });
    });
  },
);

interface KnownRun {
  readonly args: readonly string[];
  readonly run: Run;
}

/** Interrupted by A, killed under B, ended by C, whose keys expire on the way. */
async function threeSessions(stage: Stage): Promise<[KnownRun, KnownRun, KnownRun]> {
  const argsOf = (
    examiner: string,
  ) => ["acquire", FIRST, "--concurrency", "1", "--examiner", examiner, "--json"];
  const stop = async (
    args: readonly string[],
    how: { signal: Deno.Signal; after: number; exitCode: number },
  ) => {
    const run = await timed(stage, async () => {
      const running = await stage.startHeldAfter(how.after, args);
      running.kill(how.signal);
      return await running.ended;
    });
    assertExit(run.ended, how.exitCode);
    stage.release();
    return { args, run };
  };
  const interrupted = await stop(argsOf("A"), { signal: "SIGINT", after: 5, exitCode: 130 });
  stage.fault = (index, attempt) => attempt === 0 && index % 40 === 20 ? "flip" : undefined;
  const killed = await stop(argsOf("B"), { signal: "SIGKILL", after: 140, exitCode: 137 });
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
  return [interrupted, killed, { args, run }];
}

interface Change {
  readonly parent: { readonly digest: string; readonly value: Manifest };
  readonly blocks: readonly number[];
  readonly changed: readonly number[];
  readonly added: readonly number[];
  readonly removed: readonly number[];
}

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
  assertEquals(record.description?.answer, describedAnswer(stage, SECOND));
}

// --------------------------------------------------------------------- what is not told, and what is not reached

/** What stands in a record in place of answers that were refused. */
const NOT_TOLD = {
  completedAt: null,
  description: null,
  encrypted: null,
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
        const caller = { callerAccount: null, callerArn: null };
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
        listedBlocks: blocks.length,
        snapshot: NOT_TOLD,
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

// --------------------------------------------------------------------------------------------------- by a proxy

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
