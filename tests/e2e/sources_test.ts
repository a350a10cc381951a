/**
 * `sources` as its users start it: from an instance, a volume, tags to snapshots; what can't be read and why; what it
 * says where nothing is found, and where EC2 may not be asked. Asked at the simulator, which shares no code with it.
 */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { type Stage, withStage } from "./endpoint.ts";
import {
  assertExit,
  assertRefusal,
  coldcase,
  type Ended,
  eventOf,
  eventsOf,
  type JsonEvent,
} from "./program.ts";
import {
  account,
  DATA,
  DELETED,
  FRESH,
  GONE,
  KEY,
  OTHERS,
  ROOT,
  RUNNING,
  SNAPSHOTS,
  TERMINATED,
  UNSNAPPED,
} from "./sources_stage.ts";

const NOBODYS = "ff0ff0ff0ff0ff0ff";

function sourcesOf(ended: Ended): JsonEvent[] {
  return eventsOf(ended).filter(({ type }) => type === "source");
}

async function idsOf(stage: Stage, ...args: readonly string[]): Promise<unknown[]> {
  const ended = await stage.run(["sources", "--json", ...args]);
  assertExit(ended, 0);
  assertEquals(eventOf(ended, "summary")["snapshots"], sourcesOf(ended).length);
  return sourcesOf(ended).map(({ snapshot }) => snapshot);
}

Deno.test("sources lists own snapshots, newest first, with all that EC2 tells of them", () =>
  withStage(account(), async (stage) => {
    const ended = await stage.run(["sources", "--json"]);
    const found = sourcesOf(ended);
    const { archived, failed, pending, tagged, ofGoneLater, ofGone, rootLater, data, root } = SNAPSHOTS;
    const ids = [archived, failed, pending, tagged, ofGoneLater, ofGone, rootLater, data, root];
    assertEquals(found.map(({ snapshot }) => snapshot), ids);
    assertEquals(found.at(-1), {
      type: "source",
      snapshot: root,
      relation: "own",
      ownerAccount: "123456789012",
      volume: ROOT,
      instance: RUNNING,
      device: "/dev/xvda",
      startedAt: "2026-01-01T12:30:00.000Z",
      completedAt: "2026-01-01T12:30:00.000Z",
      state: "completed",
      storageTier: "standard",
      encrypted: false,
      kmsKeyId: null,
      volumeSizeGib: 1,
      name: "web root",
      description: null,
      foundBy: null,
      hindrance: null,
      caution: null,
      writtenBlocks: null,
      blockSizeBytes: null,
    });
    assertEquals([found.at(-2)?.["device"], found.at(-2)?.["encrypted"]], ["/dev/sdf", true]);
    const summary = eventOf(ended, "summary");
    assertEquals([summary["snapshots"], summary["readable"], summary["leftOut"]], [9, 6, 0]);
    // Reading is another command's.
    assertEquals(stage.simulator.requests.count("GetSnapshotBlock"), 0);
    assertEquals(stage.simulator.requests.count("ListSnapshotBlocks"), 0);
  }));

Deno.test("sources shows a table whose texts can't repaint a terminal, and what can't be read with what to do", () =>
  withStage(account(), async (stage) => {
    const ended = await stage.run(["sources"]);
    assertExit(ended, 0);
    const lines = ended.stdout.split("\n");
    assertEquals(lines[0]!.split(/ +/), [
      ...["SNAPSHOT", "STARTED", "SIZE", "STATE", "TIER", "VOLUME", "DEVICE", "OWNER", "NAME", "ENCRYPTED"],
    ]);
    assertStringIncludes(
      lines.find((line) => line.startsWith(SNAPSHOTS.root))!,
      `2026-01-01 12:30  1 GiB  completed  standard  ${ROOT}  /dev/xvda  123456789012  web root`,
    );
    assertEquals(ended.stdout.includes("\x1b") || ended.stdout.includes("\u202e"), false);
    for (
      const [id, why, todo] of [
        [SNAPSHOTS.pending, "it is pending", `coldcase acquire ${SNAPSHOTS.pending} --wait`],
        [SNAPSHOTS.failed, "its state is error", "take another snapshot"],
        [SNAPSHOTS.archived, "archive tier", "aws ec2 restore-snapshot-tier --region us-east-1"],
      ] as const
    ) {
      const note = lines.find((line) => line.startsWith(`${id}  can't be read: `))!;
      assertStringIncludes(note, why);
      assertStringIncludes(note, todo);
    }
  }));

Deno.test("sources leads from an instance over its volumes to their snapshots", () =>
  withStage(account(), async (stage) => {
    const { root, rootLater, data } = SNAPSHOTS;
    assertEquals(await idsOf(stage, RUNNING), [rootLater, data, root]);
    assertEquals(await idsOf(stage, DATA), [data]);
    // Each once, whatever leads there.
    assertEquals(await idsOf(stage, RUNNING, DATA, root, root), [rootLater, data, root]);
    const [device] = sourcesOf(await stage.run(["sources", "--json", DATA]));
    assertEquals([device?.["instance"], device?.["device"]], [RUNNING, "/dev/sdf"]);
  }));

Deno.test("sources finds what is left of instances and volumes that are gone, and says by what", () =>
  withStage(account(), async (stage) => {
    const { ofGone, ofGoneLater, tagged } = SNAPSHOTS;
    const gone = await stage.run(["sources", GONE, "--json"]);
    assertEquals(sourcesOf(gone).map(({ snapshot, foundBy }) => [snapshot, foundBy]), [
      [ofGoneLater, `it is of the same volume as one that names ${GONE}`],
      [ofGone, `its description names ${GONE}`],
    ]);
    assertStringIncludes(gone.stderr, `EC2 does not know ${GONE}`);
    const terminated = await stage.run(["sources", TERMINATED]);
    assertExit(terminated, 0);
    assertStringIncludes(terminated.stderr, `${TERMINATED} is terminated and has no volumes any more`);
    assertStringIncludes(terminated.stdout, `${tagged}  is listed because its tag instance-id names`);
    assertEquals(await idsOf(stage, DELETED), [ofGoneLater, ofGone]);
    assertStringIncludes((await stage.run(["sources", DELETED])).stderr, "detached or deleted");
    for (const attached of [DATA, UNSNAPPED]) {
      assertEquals((await stage.run(["sources", attached])).stderr.includes("detached"), false);
    }
    assertEquals(await idsOf(stage, UNSNAPPED), [tagged]);
  }));

Deno.test("sources finds by tags: all keys, any value of a key, wildcards", () =>
  withStage(account(), async (stage) => {
    const { root, tagged } = SNAPSHOTS;
    assertEquals(await idsOf(stage, "--tag", "case=42"), [root]);
    assertEquals(await idsOf(stage, "--tag", "case=42", "--tag", "case=43"), [tagged, root]);
    assertEquals(await idsOf(stage, "--tag", "case=4?", "--tag", "Name=web*"), [root]);
    assertEquals(await idsOf(stage, RUNNING, "--tag", "case=*"), [root]);
  }));

Deno.test("sources --shared lists what others let this account restore, without own and public ones", () =>
  withStage(account(), async (stage) => {
    const { shared, sharedDefaultKey } = SNAPSHOTS;
    const ended = await stage.run(["sources", "--shared", "--json"]);
    const [first, second, ...rest] = sourcesOf(ended);
    assertEquals([first?.["snapshot"], second?.["snapshot"], rest], [sharedDefaultKey, shared, []]);
    assertEquals((first?.["hindrance"] as { reason: string }).reason, "aws_managed_key");
    assertEquals([second?.["hindrance"], second?.["kmsKeyId"], second?.["ownerAccount"]], [
      null,
      KEY,
      OTHERS,
    ]);
    assertStringIncludes(String(second?.["caution"]), `kms:Decrypt on the key of ${OTHERS}`);
    assertEquals(await idsOf(stage, "--shared", "vol-0e0e0e0e"), [shared]);
  }));

Deno.test("sources tells of one snapshot by its id whose it is, and that a public one can't be read", () =>
  withStage(account(), async (stage) => {
    const args = [SNAPSHOTS.public, SNAPSHOTS.shared, SNAPSHOTS.root];
    const told = () => stage.run(["sources", "--json", ...args]);
    const relations = ["other", "shared", "own"];
    const found = sourcesOf(await told());
    assertEquals(found.map(({ relation }) => relation), relations);
    assertEquals(found.map(({ hindrance }) => (hindrance as { reason: string } | null)?.reason), [
      "public",
      undefined,
      undefined,
    ]);
    // Also where STS does not say whose account this is.
    stage.simulator.deny("sts:GetCallerIdentity");
    assertEquals(sourcesOf(await told()).map(({ relation }) => relation), relations);
  }));

Deno.test("sources --estimate counts written blocks by listing, says the price, and reads nothing", () =>
  withStage(account({ pageLimit: 5 }), async (stage) => {
    const ended = await stage.run(["sources", RUNNING, SNAPSHOTS.pending, "--estimate", "--json"]);
    assertExit(ended, 0);
    const counts = sourcesOf(ended).map((
      { writtenBlocks, blockSizeBytes },
    ) => [writtenBlocks, blockSizeBytes]);
    assertEquals(counts, [[null, null], [11, 524_288], [11, 524_288], [11, 524_288]]);
    assertStringIncludes(ended.stderr, "counting written blocks by about 3 List requests, <$0.0001; prices:");
    assertStringIncludes(ended.stderr, "counted by 9 List requests");
    assertEquals(eventOf(ended, "summary")["listRequests"], 9);
    assertEquals(stage.simulator.requests.count("GetSnapshotBlock"), 0);
    const shown = await stage.run(["sources", RUNNING, "--estimate"]);
    assertStringIncludes(shown.stdout, "11 blocks (5.5 MiB)");
  }));

Deno.test("sources ends with 10 where nothing is found, says why, and what to do", () =>
  withStage(account(), async (stage) => {
    const cases: readonly (readonly [args: string[], names: string[], hint: string])[] = [
      [[FRESH], [FRESH, "1 volume (vol-0b0b0b0b0b0b0b001)", "without any own snapshot"], "snapshot create"],
      [[`i-${NOBODYS}`], ["knows no such instance", "description or tags"], "CloudTrail"],
      [[`vol-${NOBODYS}`], [`vol-${NOBODYS}`, "no own snapshot"], "Recycle Bin"],
      [[`snap-${NOBODYS}`], [`snap-${NOBODYS}`, "us-east-1"], "--user-ids"],
      [["--tag", "Case=42"], ['no own snapshot has a tag "Case"'], "capital letters"],
      [["--tag", "case=99"], ["case=99", "that value"], "'KEY=*'"],
      [[RUNNING, "--tag", "case=43"], [RUNNING, "case=43"], "without --tag"],
      [["--shared", `i-${NOBODYS}`], ["another account's instances", "no shared snapshot"], "vol-…"],
    ];
    for (const [args, names, hint] of cases) {
      const ended = await stage.run(["sources", ...args]);
      assertRefusal(ended, { exitCode: 10, names, hints: [hint] });
      assertEquals(ended.stdout, "");
    }
    // What is there is shown all the same.
    const partly = await stage.run(["sources", `vol-${NOBODYS}`, DATA, "--json"]);
    assertExit(partly, 10);
    assertEquals(sourcesOf(partly).map(({ snapshot }) => snapshot), [SNAPSHOTS.data]);
    assertEquals(eventOf(partly, "error")["code"], "not_found");
  }));

Deno.test("sources says where an account has no snapshots at all", () =>
  withStage({ snapshots: [] }, async (stage) => {
    const hints = ["--region", "--shared", "whoami"];
    assertRefusal(await stage.run(["sources"]), { exitCode: 10, names: ["us-east-1 has none"], hints });
  }));

Deno.test("sources refuses what is no id and no tag, before anything is asked", () =>
  withStage(account(), async (stage) => {
    const cases: readonly (readonly [args: string[], name: string, hint: string])[] = [
      [["web-1"], '"web-1"', "--tag Name="],
      [["i-0123"], '"i-0123"', "8 or 17 digits"],
      [["vol-0123456789ABCDEF0"], "vol-0123456789ABCDEF0", "lower case"],
      [["--tag", "case"], '"case"', "KEY=*"],
      [["--tag", "=x"], '"=x"', "KEY=*"],
      [[SNAPSHOTS.root, "--tag", "case=42"], SNAPSHOTS.root, ""],
    ];
    for (const [args, name, hint] of cases) {
      const ended = await stage.run(["sources", ...args]);
      assertRefusal(ended, { exitCode: 2, names: [name], hints: hint === "" ? [] : [hint] });
    }
    assertEquals(stage.simulator.requests.count("DescribeSnapshots"), 0);
  }));

Deno.test("sources without ec2:DescribeSnapshots names the statement to paste, and what still works", () =>
  withStage(account({ deny: ["ec2:DescribeSnapshots"] }), async (stage) => {
    const statement = '{"Effect":"Allow","Action":"ec2:DescribeSnapshots","Resource":"*"}';
    for (const args of [[], [RUNNING], [DATA], ["--shared"], ["--tag", "case=42"], [SNAPSHOTS.root]]) {
      const ended = await stage.run(["sources", ...args]);
      assertRefusal(ended, {
        exitCode: 13,
        names: ["ec2:DescribeSnapshots is needed", "state, tier and key"],
        hints: [statement, `coldcase plan ${args[0] === SNAPSHOTS.root ? SNAPSHOTS.root : "SNAPSHOT"}`],
      });
    }
    // It is true: EBS is allowed.
    assertExit(await stage.run(["plan", SNAPSHOTS.root]), 0);
  }));

Deno.test("sources without ec2:DescribeInstances says that volumes and devices are not known", () =>
  withStage(account({ deny: ["ec2:DescribeInstances"] }), async (stage) => {
    const statement = '{"Effect":"Allow","Action":"ec2:DescribeInstances","Resource":"*"}';
    for (const args of [[RUNNING], [RUNNING, "--tag", "case=42"]]) {
      assertRefusal(await stage.run(["sources", ...args]), {
        exitCode: 13,
        names: ["ec2:DescribeInstances", "its volumes are not known"],
        hints: [statement, "coldcase sources vol-…"],
      });
    }
    const gone = await stage.run(["sources", GONE]);
    assertExit(gone, 0);
    assertStringIncludes(gone.stderr, `the volumes of ${GONE} are not known`);
    assertStringIncludes(gone.stderr, statement);
    const all = await stage.run(["sources", "--json"]);
    assertExit(all, 0);
    assert(sourcesOf(all).every(({ device }) => device === null));
    assertStringIncludes(all.stderr, "devices are not known");
  }));

Deno.test("sources --estimate without ebs:ListSnapshotBlocks shows what is there, and ends with 13", () =>
  withStage(account({ deny: ["ebs:ListSnapshotBlocks"] }), async (stage) => {
    const ended = await stage.run(["sources", DATA, "--estimate"]);
    assertRefusal(ended, {
      exitCode: 13,
      names: ["ebs:ListSnapshotBlocks is needed"],
      hints: [SNAPSHOTS.data],
    });
    assertStringIncludes(ended.stdout, "not counted");
  }));

Deno.test("sources ends with 13 for credentials that AWS does not take, and 14 where nothing answers", () =>
  withStage(account(), async (stage) => {
    const env = { AWS_ACCESS_KEY_ID: "AKIAIOSFODNN7EXAMPLE", AWS_SECRET_ACCESS_KEY: "of nobody" };
    assertRefusal(await stage.run(["sources"], { env }), {
      exitCode: 13,
      names: ["Cannot"],
      hints: ["set fresh"],
    });
    const { port } = new URL(stage.env["AWS_ENDPOINT_URL"]!);
    const environment = stage.env;
    await stage.simulator.close();
    const ended = await coldcase(["sources"], { env: environment });
    assertRefusal(ended, { exitCode: 14, names: [`127.0.0.1:${port}`] });
  }));
