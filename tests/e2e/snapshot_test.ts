/**
 * `snapshot create` as its users start it: nothing is made before somebody agreed, nothing is made twice, and what was made
 * is told, also where the answer was lost. Asked at the simulator, which shares no code with it.
 */
import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { outside } from "../outside.ts";
import { withDesks } from "../transcripts/desk.ts";
import { Screen } from "../transcripts/screen.ts";
import { type Stage, withStage } from "./endpoint.ts";
import { assertExit, assertRefusal, type Ended, eventOf, eventsOf, type JsonEvent } from "./program.ts";
import { account, DATA, ROOT, RUNNING, TERMINATED } from "./sources_stage.ts";

const CREATE = ["snapshot", "create", RUNNING, "--case", "2026-114", "--examiner", "A. Holm"];

interface Made extends JsonEvent {
  readonly set: string;
  readonly snapshots: readonly {
    readonly snapshot: string;
    readonly volumeId: string;
    readonly device: string;
    readonly startedAt: string;
  }[];
}

function madeOf(ended: Ended): Made {
  return eventOf(ended, "summary") as Made;
}

/** Snapshots of the account with a tag of sets, as `sources` sees them. */
async function setsOf(stage: Stage, value = "*"): Promise<JsonEvent[]> {
  const ended = await stage.run(["sources", "--json", "--tag", `coldcase:set=${value}`]);
  return eventsOf(ended).filter(({ type }) => type === "source");
}

/** The acquisition records' texts, one after another. */
async function reportOf(stage: Stage): Promise<string> {
  const found = await setsOf(stage);
  const reports = await Promise.all(found.map(({ snapshot }) => stage.run(["report", String(snapshot)])));
  return reports.map(({ stdout }) => stdout).join("");
}

function requests(stage: Stage): number {
  return stage.simulator.requests.count("CreateSnapshots");
}

Deno.test("snapshot create takes one of each volume, at one moment, tagged with the case", () =>
  withStage(account({ completionDelayMs: 3_600_000 }), async (stage) => {
    const ended = await stage.run([...CREATE, "--tag", "Ticket=INC-7", "--yes", "--json"]);
    assertExit(ended, 0);
    const { set, snapshots } = madeOf(ended);
    assertMatch(set, /^[0-9a-f]{32}$/);
    assertEquals(snapshots.map(({ volumeId, device }) => [volumeId, device]), [[ROOT, "/dev/xvda"], [
      DATA,
      "/dev/sdf",
    ]]);
    assertEquals(new Set(snapshots.map(({ startedAt }) => startedAt)).size, 1);
    assertEquals(requests(stage), 2, "one that makes nothing, and one that does");
    const found = await setsOf(stage, set);
    assertEquals(
      found.map(({ snapshot }) => snapshot).sort(),
      snapshots.map(({ snapshot }) => snapshot).sort(),
    );
    for (const one of found) {
      assertEquals(one["description"], `coldcase: case 2026-114, all volumes of ${RUNNING}`);
      assertEquals(one["state"], "pending");
    }
    for (
      const tag of [
        "coldcase:case=2026-114",
        "coldcase:examiner=A. Holm",
        `coldcase:instance=${RUNNING}`,
        `coldcase:devices=/dev/xvda=${ROOT} /dev/sdf=${DATA}`,
        "Ticket=INC-7",
      ]
    ) {
      assertEquals(eventsOf(await stage.run(["sources", "--json", "--tag", tag])).length, 3, tag);
    }
  }));

Deno.test("snapshot create holds what the volumes held, and the set can be acquired", () =>
  withStage(account(), async (stage) => {
    assertExit(await stage.run([...CREATE, "--yes"]), 0);
    assertExit(await stage.run(["acquire", "--instance", RUNNING]), 0);
    assertExit(await stage.run(["verify", "--against-source"]), 0);
    // Each of them as full as the synthetic volumes are: eleven blocks, read once and once more.
    assertEquals(stage.simulator.requests.count("GetSnapshotBlock"), 44);
    assertStringIncludes(await reportOf(stage), "coldcase:set");
  }));

Deno.test("without a terminal nothing is asked of EC2 before --yes; --dry-run makes nothing", () =>
  withStage(account(), async (stage) => {
    assertRefusal(await stage.run(CREATE), { exitCode: 2, names: ["no terminal"], hints: ["--yes"] });
    assertEquals(requests(stage), 0);
    const ended = await stage.run([...CREATE, "--dry-run"]);
    assertExit(ended, 0);
    assertStringIncludes(ended.stderr, "EC2 allows it: it was asked with DryRun, and nothing was made");
    assertEquals([requests(stage), (await setsOf(stage)).length], [1, 0]);
  }));

Deno.test("what can't be taken is refused before anything is made, with the next step", () =>
  withStage(account(), async (stage) => {
    const cases: [readonly string[], number, string, ...string[]][] = [
      [
        ["snapshot", "create", "i-0ff0ff0ff0ff0ff0f"],
        10,
        "EC2 does not know it",
        "coldcase sources i-0ff0ff0ff0ff0ff0f",
      ],
      [["snapshot", "create", TERMINATED], 10, "it is terminated and has no volumes"],
      [["snapshot", "create", "vol-0a0a0a0a"], 2, "expected i-"],
      [["snapshot", "delete", RUNNING], 2, "coldcase only creates them"],
      [[...CREATE, "--tag", "aws:x=1"], 2, "keys that begin with aws:"],
      [[...CREATE, "--tag", "coldcase:set=1"], 2, "keys that begin with coldcase:"],
      [[...CREATE, "--tag", `K=${"v".repeat(257)}`], 2, "257 characters"],
      [[...CREATE, "--description", "d".repeat(256)], 2, "256 characters"],
    ];
    for (const [args, exitCode, name, ...hints] of cases) {
      assertRefusal(await stage.run([...args, "--yes"]), { exitCode, names: [name], hints });
    }
    stage.simulator.deny("ec2:CreateSnapshots");
    const denied = await stage.run([...CREATE, "--yes"]);
    assertRefusal(denied, { exitCode: 13, names: ["ec2:CreateSnapshots"], hints: ['"Effect":"Allow"'] });
    stage.simulator.allow("ec2:CreateSnapshots");
    assertEquals((await setsOf(stage)).length, 0);
  }));

Deno.test("whoever may not list instances may still take snapshots of one", () =>
  withStage(account(), async (stage) => {
    stage.simulator.deny("ec2:DescribeInstances");
    const ended = await stage.run([...CREATE, "--yes", "--json"]);
    assertExit(ended, 0);
    assertStringIncludes(ended.stderr, "which volumes it has was not told");
    assertEquals(madeOf(ended).snapshots.map(({ device }) => device as string | null), [null, null]);
  }));

Deno.test("a set whose answer was lost is found again, and not made twice", () =>
  withStage(
    account({
      faultHook: ({ call, attempt }) => call === "CreateSnapshots" && attempt === 1 ? "reset" : undefined,
    }),
    async (stage) => {
      const ended = await stage.run([...CREATE, "--yes", "--json"]);
      assertExit(ended, 0);
      assertStringIncludes(
        ended.stderr,
        "the answer was lost: the set was found by its tag, and is not made twice",
      );
      const { set, snapshots, wasAnswered } = madeOf(ended);
      assertEquals([snapshots.length, wasAnswered, requests(stage)], [2, false, 2]);
      assertEquals((await setsOf(stage)).length, 2);
      assertEquals((await setsOf(stage, set)).length, 2);
    },
  ));

Deno.test("where nobody knows whether a set was made, that is said, and how to find out", () =>
  withStage(
    account({
      faultHook: ({ call, attempt }) => call === "CreateSnapshots" && attempt === 1 ? "error500" : undefined,
    }),
    async (stage) => {
      const ended = await stage.run([...CREATE, "--yes"]);
      assertRefusal(ended, {
        exitCode: 14,
        names: ["Cannot tell whether snapshots"],
        hints: ["coldcase sources --tag coldcase:set=", "Only if that finds none"],
      });
      assertEquals([requests(stage), (await setsOf(stage)).length], [2, 0]);
    },
  ));

outside(
  "at a terminal it asks, and takes nothing without a yes",
  ["bash", "openssl", "tmux"],
  () =>
    withStage(account(), (stage) =>
      withDesks(async (desks) => {
        const desk = await desks.desk("empty");
        const variables = stage.simulator.environment();
        await Screen.with(desks, { desk, columns: 100, rows: 40, variables }, async (screen) => {
          const question = new RegExp(`^Take 2 snapshots of ${RUNNING} in us-east-1\\? Type yes: $`);
          const answer = async (...keys: readonly string[]) => {
            await screen.begin(`coldcase snapshot create ${RUNNING} --case 2026-114`);
            await screen.until((lines) => question.test(lines.at(-1) ?? ""), "the question");
            await screen.press(...keys);
            return await screen.ended();
          };
          const no = await answer("n", "o", "Enter");
          assertEquals(no.exitCode, 130);
          assertMatch(no.lines.join("\n"), /Type yes: no\n.*the answer was not yes, and nothing was made/s);
          assertEquals((await answer("Enter")).exitCode, 130);
          assertEquals((await answer("C-c")).exitCode, 130);
          assertEquals(requests(stage), 3, "each asked whether it may");
          const yes = await answer("y", "x", "BSpace", "e", "s", "Enter");
          assertEquals(yes.exitCode, 0, yes.lines.join("\n"));
          assertMatch(yes.lines.join("\n"), /Type yes: yes\nSNAPSHOT +VOLUME +DEVICE +SIZE +START\n/);
          assertMatch(yes.lines.join(""), new RegExp(`coldcase acquire --instance ${RUNNING} --wait$`));
        });
        assertEquals((await setsOf(stage)).length, 2);
      })),
);
