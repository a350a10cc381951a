/**
 * Whole runs against the strict simulator, which checks every signature and shares no code with the client:
 * faults by seed, tokens and credentials that expire, refusals, a bad link. Request counts are the server's.
 */
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import type { ConnectionOptions } from "../../src/aws/connection.ts";
import { type AwsSource, openSource } from "../../src/aws/source.ts";
import { OperatorError } from "../../src/errors.ts";
import type { BlockPage, SnapshotId, SourceEvent, UnreadableBlock, VerifiedBlock } from "../../src/model.ts";
import {
  type Simulator,
  SimulatorClock,
  type SimulatorOptions,
  startSimulator,
} from "../../src/simulate/mod.ts";
import { all, HALF } from "./fakes.ts";

const FIRST = "snap-0000000000000000a" as SnapshotId;
const SECOND = "snap-0000000000000000b" as SnapshotId;

interface Run {
  readonly simulator: Simulator;
  readonly source: AwsSource;
  readonly events: SourceEvent[];
  readonly clock: SimulatorClock;
}

/** 64 blocks of 512 KiB in a volume of 1 GiB, and its next version. */
function snapshots(): NonNullable<SimulatorOptions["snapshots"]> {
  const formula = {
    seed: 7,
    volumeSizeGib: 1,
    every: 32,
    changeRate: 0.2,
    removedShare: 0.3,
    bytes: "pattern",
  } as const;
  return [
    { id: FIRST, synthetic: { ...formula, version: 0 }, volumeId: "vol-1", tags: { case: "42" } },
    { id: SECOND, synthetic: { ...formula, version: 1 }, volumeId: "vol-1" },
  ];
}

async function withRun(
  options: SimulatorOptions,
  work: (run: Run) => Promise<void>,
  sourceOptions: (simulator: Simulator) => Partial<ConnectionOptions> = () => ({}),
): Promise<void> {
  const clock = new SimulatorClock({ virtual: true });
  const simulator = await startSimulator({ clock, snapshots: snapshots(), ...options });
  const variables = simulator.environment();
  const events: SourceEvent[] = [];
  const source = await openSource({
    clock: options.clock === undefined ? clock : new SimulatorClock({ virtual: true }),
    randomness: HALF,
    environment: (name) => variables[name],
    onEvent: (event) => events.push(event),
    ...sourceOptions(simulator),
  });
  try {
    await work({ simulator, source, events, clock: options.clock ?? clock });
  } finally {
    source.close();
    await simulator.close();
  }
}

/** Lists a snapshot and fetches all of it, as many at once as the source says. */
async function fetchAll(
  source: AwsSource,
  snapshot: SnapshotId,
): Promise<(VerifiedBlock | UnreadableBlock)[]> {
  const got: Promise<VerifiedBlock | UnreadableBlock>[] = [];
  for await (const page of source.listBlocks(snapshot)) {
    for (const block of page.blocks) got.push(source.getBlock({ snapshot, block, shape: page.shape }));
  }
  return await Promise.all(got);
}

function digests(blocks: readonly (VerifiedBlock | UnreadableBlock)[]): string[] {
  return blocks.map((block) => block.kind === "verified" ? block.digest : `unreadable: ${block.reason}`);
}

let clean: string[] | undefined;
/** The digests of FIRST with no fault in the way. */
async function cleanDigests(): Promise<string[]> {
  if (clean === undefined) {
    await withRun({}, async ({ source, simulator }) => {
      clean = digests(await fetchAll(source, FIRST));
      const counts = source.counts();
      assertEquals([counts.listRequests, counts.getRequests, counts.retries], [1, 64, 0]);
      assertEquals(simulator.requests.of("GetSnapshotBlock").requests, 64);
    });
  }
  return clean!;
}

for (const seed of [1, 2, 3]) {
  Deno.test(`getBlock() brings every block through faults of seed ${seed}`, async () => {
    const faults =
      "error500:0.08,error503:0.04,reset:0.05,short:0.05,refuse:0.03,checksum@GetSnapshotBlock:0.05,throttle:0.08," +
      "flip@GetSnapshotBlock:0.04,length@GetSnapshotBlock:0.04";
    const expected = await cleanDigests();
    await withRun({ faults, seed, pageLimit: 100 }, async ({ source, simulator }) => {
      assertEquals(digests(await fetchAll(source, FIRST)), expected);
      const { requests, succeeded } = simulator.requests.of("GetSnapshotBlock");
      assert(succeeded >= 64 && requests > 64);
      // A reset connection may be answered by sending again below us; the server's log is the truth.
      const counts = source.counts();
      assert(counts.getRequests <= requests && counts.retries + counts.throttles > 0);
    });
  });
}

Deno.test("listBlocks() follows the simulator's short and empty pages", async () => {
  await withRun({ faults: "empty-page:0.4,short-page:0.4", seed: 5, pageLimit: 10 }, async ({ source }) => {
    const pages: BlockPage[] = await all(source.listBlocks(FIRST));
    assertEquals(pages.flatMap((page) => page.blocks).length, 64);
    assert(pages.length > 7);
  });
});

Deno.test("getBlock() calls exactly the bad blocks unreadable", async () => {
  const faults = "bad-block:32=checksum,bad-block:64=error500,bad-block:96=reset,bad-block:128=length";
  const expected = await cleanDigests();
  await withRun({ faults }, async ({ source }) => {
    const got = digests(await fetchAll(source, FIRST));
    assertEquals(
      got.slice(1, 5),
      ["checksum", "service", "service", "length"].map((why) => `unreadable: ${why}`),
    );
    assertEquals(got.toSpliced(1, 4), expected.toSpliced(1, 4));
  });
});

Deno.test("listBlocks() and getBlock() outlive page and block tokens", async () => {
  const expected = await cleanDigests();
  await withRun({ pageLimit: 40 }, async ({ source, simulator, clock, events }) => {
    const blocks: { page: BlockPage; index: number }[] = [];
    for await (const page of source.listBlocks(FIRST)) {
      for (const index of page.blocks.keys()) blocks.push({ page, index });
      clock.advanceMs(61 * 60_000);
    }
    clock.advanceMs(8 * 86_400_000);
    const got = await Promise.all(
      blocks.map(({ page, index }) =>
        source.getBlock({ snapshot: FIRST, block: page.blocks[index]!, shape: page.shape })
      ),
    );
    assertEquals(digests(got), expected);
    const relisted = events.flatMap((event) => event.type === "relisted" ? [event.reason] : []);
    assertEquals(relisted.filter((reason) => reason === "page token expired").length, 1);
    const refused = relisted.filter((reason) => reason === "block token refused").length;
    assert(refused >= 1 && refused <= 4, `${refused} listings for fresh tokens`);
    assert(simulator.requests.of("ListSnapshotBlocks").requests <= 8);
  });
});

Deno.test("listChangedBlocks() and a listing of the second snapshot tell the same story", async () => {
  await withRun({ pageLimit: 3 }, async ({ source }) => {
    const first = new Set(
      (await all(source.listBlocks(FIRST))).flatMap((page) => page.blocks.map((b) => b.index)),
    );
    const second = (await all(source.listBlocks(SECOND))).flatMap((page) => page.blocks.map((b) => b.index));
    const changed = (await all(source.listChangedBlocks({ first: FIRST, second: SECOND }))).flatMap((p) =>
      p.blocks
    );
    assert(changed.length > 3 && changed.some(({ token }) => token === undefined));
    for (const { index, token } of changed) token === undefined ? first.delete(index) : first.add(index);
    assertEquals([...first].sort((a, b) => a - b), second);
  });
});

async function refused(run: Run, snapshot = FIRST): Promise<OperatorError> {
  return await assertRejects(() => fetchAll(run.source, snapshot), OperatorError);
}

Deno.test("listBlocks() says what to do about unknown, pending, archived and unrelated snapshots", async () => {
  await withRun({}, async (run) => {
    const unknown = await refused(run, "snap-0000000000000000c" as SnapshotId);
    assertEquals(unknown.code, "not_found");
    run.simulator.updateSnapshot(FIRST, { state: "pending" });
    const pending = await refused(run);
    assertEquals(pending.code, "source");
    assertEquals((await run.source.describe(FIRST)).description?.state, "pending");
    run.simulator.updateSnapshot(FIRST, { state: "completed", tier: "archive" });
    assertEquals((await refused(run)).code, "source");
    assertEquals((await run.source.describe(FIRST)).description?.storageTier, "archive");
  });
});

Deno.test("getBlock() names the missing permission: IAM's and KMS's", async () => {
  await withRun({ deny: ["ebs:GetSnapshotBlock"] }, async (run) => {
    const iam = await refused(run);
    assertEquals([iam.code, iam.facts.action], ["access", "ebs:GetSnapshotBlock"]);
    run.simulator.allow("ebs:GetSnapshotBlock");
    run.simulator.updateSnapshot(FIRST, { encrypted: true, kmsDenied: true });
    const kms = await refused(run);
    assertEquals([kms.code, kms.facts.action], ["access", "kms:Decrypt"]);
  });
});

Deno.test("getBlock() says that a snapshot vanished midway", async () => {
  await withRun({ faults: "vanish:after=20" }, async (run) => {
    const error = await refused(run);
    assertEquals([error.code, error.facts.reason], ["source", "SNAPSHOT_GONE"]);
  });
});

Deno.test("getBlock() ends at once where environment credentials expire midway", async () => {
  await withRun({ faults: "expire-credentials:after=20" }, async (run) => {
    const error = await refused(run);
    assertEquals(error.code, "access");
    assertStringIncludes(error.hints[0]!, "cannot renew themselves");
    assert(run.simulator.requests.of("GetSnapshotBlock").requests < 100);
  });
});

Deno.test("getBlock() waits for a rewritten credentials file, and signs with it", async () => {
  const expected = await cleanDigests();
  const file = await Deno.makeTempFile();
  const write = ({ accessKeyId, secretAccessKey }: { accessKeyId: string; secretAccessKey: string }) =>
    Deno.writeTextFileSync(
      file,
      `[default]\naws_access_key_id=${accessKeyId}\naws_secret_access_key=${secretAccessKey}\n`,
    );
  const [old, fresh] = [1, 2].map((n) => ({ accessKeyId: `AKIA${n}EXAMPLE`, secretAccessKey: `secret${n}` }));
  write(old!);
  const events: SourceEvent[] = [];
  await withRun({ credentials: [old!], faults: "expire-credentials:after=20" }, async (run) => {
    assertEquals(digests(await fetchAll(run.source, FIRST)), expected);
    const keys = events.flatMap((event) => event.type === "credentials" ? [event.accessKeyId] : []);
    assertEquals(keys, ["AKIA1EXAMPLE", "AKIA2EXAMPLE"]);
    assert(events.some((event) => event.type === "recovered"));
  }, (simulator) => ({
    endpointUrl: simulator.url,
    region: simulator.region,
    environment: (name) =>
      name === "AWS_SHARED_CREDENTIALS_FILE" ? file : name === "AWS_CONFIG_FILE" ? `${file}-none` : undefined,
    onEvent(event) {
      events.push(event);
      if (event.type !== "waiting") return;
      // Somebody logs in again.
      simulator.addCredentials(fresh!);
      write(fresh!);
    },
  }));
  await Deno.remove(file);
});

Deno.test("openSource() signs for a service whose clock is a day ahead", async () => {
  const clock = new SimulatorClock({ startMs: Date.now() + 86_400_000 });
  await withRun({ clock }, async ({ source, events, simulator }) => {
    assertEquals((await all(source.listBlocks(FIRST))).length, 1);
    const skew = events.find((event) => event.type === "clock_skew");
    assert(skew !== undefined && Math.abs(skew.skewMs - 86_400_000) < 10_000);
    assertEquals(simulator.requests.of("ListSnapshotBlocks").requests, 2);
    assertEquals((await source.callerIdentity())?.account, simulator.account);
  });
});

Deno.test("describe() and callerIdentity() read the simulator's EC2 and STS", async () => {
  await withRun({}, async ({ source, simulator }) => {
    const { result, description: described, requestId } = await source.describe(FIRST);
    const [entry] = simulator.requests.recent().filter(({ call }) => call === "DescribeSnapshots");
    assertEquals([result, requestId], ["received", entry!.requestId]);
    assertEquals(
      [described?.state, described?.volumeId, described?.tags, described?.volumeSizeGib],
      ["completed", "vol-1", { case: "42" }, 1],
    );
    assertEquals((await source.callerIdentity())?.account, simulator.account);
    simulator.deny("ec2:DescribeSnapshots", "sts:GetCallerIdentity");
    const untold = { description: undefined, requestId: undefined };
    assertEquals(await source.describe(FIRST), { ...untold, result: "not_permitted" });
    simulator.allow("ec2:DescribeSnapshots");
    simulator.removeSnapshot(FIRST);
    assertEquals(await source.describe(FIRST), { ...untold, result: "not_found" });
    assertEquals(source.counts().otherRequests, 4);
  });
});

Deno.test("getBlock() finishes over a link of 1 MiB/s that drops every minute", async () => {
  const expected = await cleanDigests();
  await withRun(
    { faults: "bandwidth=1MiB/s,latency=20ms,drop-every=60s:20s" },
    async ({ source, clock, simulator }) => {
      const startMs = clock.monotonicMs();
      assertEquals(digests(await fetchAll(source, FIRST)), expected);
      const seconds = (clock.monotonicMs() - startMs) / 1000;
      const sent = simulator.requests.of("GetSnapshotBlock").bytesSent / 2 ** 20;
      assert(seconds < 120, `${seconds} s for 32 MiB`);
      assert(sent < 48, `${sent} MiB sent for 32 MiB`);
    },
  );
});

Deno.test("getBlock() is hardly ever throttled at the rate that it is granted", async () => {
  const quotas = {
    ListSnapshotBlocks: { perAccount: 50 },
    ListChangedBlocks: { perAccount: 50 },
    GetSnapshotBlock: { perSnapshot: 50, perAccount: 50 },
    PutSnapshotBlock: { perAccount: 1 },
    StartSnapshot: { perAccount: 1 },
    CompleteSnapshot: { perAccount: 1 },
  };
  const formula = { seed: 3, volumeSizeGib: 1, every: 512, bytes: "pattern" } as const;
  await withRun(
    { quotas, snapshots: [{ id: FIRST, synthetic: formula }], faults: "latency=10ms", blockSizeBytes: 4096 },
    async (run) => {
      const startMs = run.clock.monotonicMs();
      const got = await fetchAll(run.source, FIRST);
      assertEquals(got.filter((block) => block.kind === "verified").length, 512);
      const { requests } = run.simulator.requests.of("GetSnapshotBlock");
      // Most throttles fall into the first second, before anything is known of the limit.
      assert(requests < 512 + 250, `${requests} requests for 512 blocks`);
      const rate = 512 / ((run.clock.monotonicMs() - startMs) / 1000);
      assert(rate > 50 * 0.9, `${rate} blocks a second`);
    },
  );
});
