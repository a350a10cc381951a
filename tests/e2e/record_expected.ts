/**
 * What an acquisition record must say, worked out from the endpoint's log, the image that it served, and the host's
 * own tools, member by member. Times and nonces, which have bounds only, are taken from the record after a look.
 */
import { assert, assertEquals, assertLessOrEqual, assertMatch } from "@std/assert";
import config from "../../deno.json" with { type: "json" };
import type { Description, Session } from "../../src/format/documents.ts";
import type { Manifest } from "../../src/format/manifest.ts";
import type { RequestEntry } from "../../src/simulate/mod.ts";
import { FIRST, type Stage } from "./endpoint.ts";
import { BLOCK_BYTES } from "./images.ts";
import type { Ended } from "./program.ts";
import {
  countsOf,
  failuresOf,
  hasFailed,
  hostByTools,
  knownOf,
  said,
  sha256Of,
  toldFailures,
} from "./record.ts";

/** The endpoint's clock is so far ahead of the host's. */
export const AHEAD_MS = 90_000;
/** A Date header has whole seconds, and its answer was on its way for some time. */
const SKEW_ERROR_MS = 5_000;
export const BLOCK_COUNT = 2048;
const KEY = "arn:aws:kms:us-east-1:123456789012:key/00000000-0000-4000-8000-000000000001";
export const TOOLS = ["findmnt", "uname", "whoami", "ssh-keygen"] as const;

/** The simulator's word for the one user that it has. */
const USER_ID = "AIDASIMULATEDUSER001";
const INSTANCE = "i-0123456789abcdef0";

/** What EC2 knows of the snapshots. */
export const FACTS = {
  volumeId: "vol-0123456789abcdef0",
  startTimeMs: Date.UTC(2026, 0, 2, 3, 4, 5, 678),
  completionTimeMs: Date.UTC(2026, 0, 2, 3, 14, 15, 900),
  kmsKeyId: KEY,
  description: `Created by CreateImage(${INSTANCE}) for ami-0123456789abcdef0`,
  tags: { Name: "web-1 root", "aws:x": "<é>" },
} as const;

/** A span of host time, for what cannot be known to the millisecond. */
export interface Span {
  readonly fromMs: number;
  readonly toMs: number;
}

export interface Run {
  readonly ended: Ended;
  readonly span: Span;
  readonly entries: readonly RequestEntry[];
  /** `AHEAD_MS` where not given. */
  readonly aheadMs?: number;
}

export async function timed(stage: Stage, work: () => Promise<Ended>): Promise<Run> {
  stage.simulator.requests.reset();
  const fromMs = Date.now();
  const ended = await work();
  return { ended, span: { fromMs, toMs: Date.now() }, entries: stage.simulator.requests.recent() };
}

export function assertWithin(time: string | null, { fromMs, toMs }: Span, what: string): void {
  assertMatch(time ?? "null", /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/, what);
  const ms = Date.parse(time!);
  assert(ms >= fromMs && ms <= toMs, `${what}: ${time} is not from ${fromMs} to ${toMs}`);
}

export function assertSkew(skewMs: number | null, aheadMs: number): void {
  assertLessOrEqual(Math.abs((skewMs ?? Infinity) - aheadMs), SKEW_ERROR_MS, `skew ${skewMs} ms`);
}

/** What does not depend on what a session did. */
export async function sessionFacts(stage: Stage, args: readonly string[]) {
  const { account } = stage.simulator;
  return {
    callerAccount: account,
    callerArn: `arn:aws:iam::${account}:user/examiner`,
    callerUserId: USER_ID,
    commandLine: args,
    credentialChanges: 0,
    credentialSource: "the environment",
    destination: await destinationByTools(stage),
    eventsLeftOut: 0,
    host: await hostByTools(),
    proxy: null,
    tool: TOOL,
  };
}

/** What ran: the program from its source. */
const TOOL = {
  digest: null,
  name: "coldcase",
  runtime: `Deno ${Deno.version.deno} (${Deno.build.target})`,
  version: config.version,
};

/** Where the store is, and on what, by the host's own tool. */
async function destinationByTools({ store }: Stage) {
  return { fileSystem: await said("findmnt", "-no", "FSTYPE", "-T", store), path: store };
}

/** Times and events, which have bounds and a test of their own, are taken as they are: no member goes unseen. */
export function assertSession(session: Session, run: Run, expected: Record<string, unknown>): void {
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
  const aheadMs = run.aheadMs ?? AHEAD_MS;
  const firstMs = run.entries[0]!.atMs - aheadMs;
  assertLessOrEqual(Date.parse(startedAt), firstMs + 1, "the session began before its first request");
  const within: Span = { fromMs: Date.parse(startedAt), toMs: run.span.toMs };
  if (endedAt !== null) assertWithin(endedAt, within, "endedAt");
  for (const { at } of events) assertWithin(at, within, "event");
  assertEquals(events.map(({ at }) => at), events.map(({ at }) => at).sort());
  assertSkew(clockSkewMs, aheadMs);
  assertEquals(toldFailures(session), failuresOf(entries));
}

export function credentialsOf({ events }: Session): string[] {
  return events.filter(({ kind }) => kind === "credentials").map(({ detail }) => detail.split(",")[0]!);
}

/** A segment as its definition has it, from the image and the states that the test knows. */
export function segmentOf(
  image: string,
  stateOf: (index: number) => "stored" | "zero" | "absent" | "unreadable",
) {
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

export function blockOf(file: Deno.FsFile, index: number): Uint8Array {
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
export async function manifestFacts(stage: Stage, manifest: Manifest, segment: string) {
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
      descriptionResult: "received",
      destination: await destinationByTools(stage),
      documents: acquisition.documents,
      endedAt: acquisition.endedAt,
      exhibit: acquisition.exhibit,
      host: await hostByTools(),
      nonce: acquisition.nonce,
      parentDropped: null,
      set: null,
      signer: signer!.split(" ")[1],
      snapshot: {
        completedAt: "2026-01-02T03:14:15.900Z",
        description: FACTS.description,
        encrypted: true,
        instance: INSTANCE,
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
      tool: TOOL,
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
export function totalsOf(sessions: readonly Session[]) {
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

/** The document of what EC2 said, against the answer that the endpoint gave in that run; only its time has bounds. */
export function assertDescribed(
  description: Description | undefined,
  { stage, snapshot, run }: { readonly stage: Stage; readonly snapshot: string; readonly run: Run },
): void {
  const given = run.entries.filter((entry) => entry.call === "DescribeSnapshots" && !hasFailed(entry));
  assertEquals(given.length, 1);
  assertEquals(description as unknown, {
    answer: describedAnswer(stage, snapshot),
    receivedAt: description?.receivedAt,
    requestId: given[0]!.requestId,
    type: "coldcase-description",
    version: 1,
  });
  assertWithin(description!.receivedAt, run.span, "receivedAt");
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
