/**
 * The exhibits of an instance and of a case together: listed set by set with what is not held, verified with 3 where one is
 * missing, reported in one document; and no command that is about one exhibit takes an instance for it.
 */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { filesBelow, flipBit } from "../store/fixtures.ts";
import { type Stage, withStage } from "./endpoint.ts";
import { DEVICES, INSTANCE, instance, setOf, snapshotOf } from "./instance_stage.ts";
import { assertExit, assertRefusal, type Ended, eventOf, eventsOf } from "./program.ts";

const THREE = DEVICES.slice(0, 3);
const SNAPSHOTS = THREE.map((device) => snapshotOf(device, 1));

/** An instance with three volumes, acquired as a whole. */
function withInstance(body: (stage: Stage) => Promise<void>): Promise<void> {
  return withStage(instance(setOf(1, THREE), {}, THREE), async (stage) => {
    const ended = await stage.run(["acquire", "--instance", INSTANCE, "--case", "2026-114"]);
    assertExit(ended, 0);
    await body(stage);
  });
}

/** A store that two of the three were copied into. */
async function copyOfTwo(stage: Stage): Promise<string> {
  const copy = `${stage.folder}/copy`;
  assertExit(await stage.run(["copy", SNAPSHOTS[0]!, SNAPSHOTS[2]!, "--to", copy]), 0);
  return copy;
}

interface SetEvent {
  readonly expectedSnapshots: number;
  readonly heldSnapshots: number;
  readonly snapshots: readonly { readonly snapshot: string; readonly exhibits: readonly string[] }[];
}

function setIn(ended: Ended): SetEvent {
  return eventOf(ended, "set") as unknown as SetEvent;
}

/** Devices in the order of the table's rows. */
function devicesIn(stdout: string): string[] {
  return [...stdout.matchAll(/^(\/dev\/\S+) /gm)].map(([, device]) => device!);
}

Deno.test("ls of an instance lists its exhibits by device, and what of the set is not held", () =>
  withInstance(async (stage) => {
    const whole = await stage.run(["ls", INSTANCE]);
    assertExit(whole, 0);
    assertEquals(devicesIn(whole.stdout), THREE);
    assertStringIncludes(whole.stdout, "(3 snapshots): 3 of 3 held");
    assert(!whole.stdout.includes("NOT HELD"), whole.stdout);
    const copy = await copyOfTwo(stage);
    const part = await stage.run(["ls", INSTANCE, "-s", copy]);
    assertExit(part, 0);
    assertStringIncludes(part.stdout, `2 of 3 held\n  NOT HELD: ${SNAPSHOTS[1]} (${THREE[1]})\n`);
    assertMatch(part.stdout, new RegExp(`^${THREE[1]} +${SNAPSHOTS[1]} +NOT HELD$`, "m"));
    const json = await stage.run(["ls", INSTANCE, "-s", copy, "--json"]);
    const set = setIn(json);
    assertEquals([set.expectedSnapshots, set.heldSnapshots], [3, 2]);
    assertEquals(set.snapshots.map(({ exhibits }) => exhibits.length), [1, 0, 1]);
    assertEquals(eventsOf(json).filter(({ type }) => type === "exhibit").length, 2);
  }));

Deno.test("ls of an instance tells a snapshot that is being acquired from one that is not held", () =>
  withStage(instance(setOf(1, THREE), {}, THREE), async (stage) => {
    const acquire = ["acquire", "--instance", INSTANCE, "--case", "2026-114", "--concurrency", "1"];
    const running = await stage.startHeldAfter(8, acquire);
    running.kill("SIGKILL");
    await running.ended;
    stage.release();
    const { stdout } = await stage.run(["ls", INSTANCE]);
    assertStringIncludes(stdout, "1 of 3 held");
    assertMatch(stdout, new RegExp(`${SNAPSHOTS[1]} +not finished: acquire goes on with it$`, "m"));
    assertMatch(stdout, new RegExp(`${SNAPSHOTS[2]} +NOT HELD$`, "m"));
  }));

Deno.test("ls of an instance of which nothing is committed yet says how to go on", () =>
  withStage(instance(setOf(1, THREE), {}, THREE), async (stage) => {
    const running = await stage.startHeldAfter(2, ["acquire", "--instance", INSTANCE, "--concurrency", "1"]);
    running.kill("SIGINT");
    assertExit(await running.ended, 130);
    stage.release();
    const listed = await stage.run(["ls", INSTANCE]);
    assertRefusal(listed, { exitCode: 10, names: ["holds none yet"] });
    assertStringIncludes(listed.stderr, `coldcase acquire --instance ${INSTANCE} goes on with it`);
    assertExit(await stage.run(["acquire", "--instance", INSTANCE]), 0);
    assertStringIncludes((await stage.run(["ls", INSTANCE])).stdout, "3 of 3 held");
  }));

Deno.test("verify of an instance or a case verifies all of it, and ends with 3 where one of a set is missing", () =>
  withInstance(async (stage) => {
    for (const which of [[INSTANCE], ["--case", "2026-114"]]) {
      const ended = await stage.run(["verify", ...which, "--json"]);
      assertExit(ended, 0);
      const verified = eventsOf(ended).filter(({ type }) => type === "summary").map(({ snapshot }) =>
        snapshot
      );
      assertEquals(verified.sort(), SNAPSHOTS);
      assertEquals(setIn(ended).heldSnapshots, 3);
    }
    const copy = await copyOfTwo(stage);
    for (const which of [[INSTANCE], ["--case", "2026-114"]]) {
      const ended = await stage.run(["verify", ...which, "-s", copy, "--quick"]);
      assertRefusal(ended, {
        exitCode: 3,
        names: [`2 are held, lacking ${SNAPSHOTS[1]} (${THREE[1]})`],
        hints: [`coldcase acquire --instance ${INSTANCE} --set ${SNAPSHOTS[1]}`],
      });
      assertEquals(ended.stdout.match(/VERIFIED/g)?.length, 2);
    }
    assertExit(await stage.run(["verify", "-s", copy, "--quick"]), 0);
    const log = eventsOf(await stage.run(["custody", "-s", copy, "--json"]));
    // The log came along with what was copied.
    const facts = log.filter(({ action }) => action === "verify").map(({ result }) =>
      String((result as { facts: Record<string, unknown> }).facts[`set of ${INSTANCE}`])
    );
    const [all, some] = ["3 of 3 held", "2 of 3 held"];
    assertEquals(facts.sort(), [some, some, all, all, "undefined"]);
    const again = ["acquire", "--instance", INSTANCE, "--set", SNAPSHOTS[1]!, "--case", "2026-114"];
    assertExit(await stage.run([...again, "-s", copy]), 0);
    assertExit(await stage.run(["verify", INSTANCE, "-s", copy, "--quick"]), 0);
  }));

Deno.test("report of an instance is one document: the set, what is missing, and a report of each", () =>
  withInstance(async (stage) => {
    const copy = await copyOfTwo(stage);
    const ended = await stage.run(["report", INSTANCE, "-s", copy]);
    assertExit(ended, 3);
    assertMatch(ended.stdout, new RegExp(`^# Report on ${INSTANCE}$`, "m"));
    assertStringIncludes(ended.stdout, "**1 OF 3 SNAPSHOTS OF THE SET ARE NOT HELD.**");
    assertMatch(ended.stdout, new RegExp(`^\\| ${THREE[1]} .*\`${SNAPSHOTS[1]}\` \\| \\*\\*NOT HELD`, "m"));
    assertEquals(ended.stdout.match(/^# Report on exhibit ex-/gm)?.length, 2);
    const json = await stage.run(["report", "--case", "2026-114", "--format", "json"]);
    assertExit(json, 0);
    const group = JSON.parse(json.stdout);
    assertEquals([group.type, group.case, group.isComplete], ["report_group", "2026-114", true]);
    assertEquals(group.reports.map(({ snapshot }: { snapshot: string }) => snapshot).sort(), SNAPSHOTS);
    assertEquals(group.sets[0].instance, INSTANCE);
  }));

Deno.test("a case is the one that counts: corrected exhibits are of the other one", () =>
  withInstance(async (stage) => {
    const corrected = ["correct", SNAPSHOTS[1]!, "--case", "2026-115", "--reason", "Another incident"];
    assertExit(await stage.run(corrected), 0);
    const exhibitsOf = async (name: string) =>
      eventsOf(await stage.run(["ls", "--case", name, "--json"])).filter(({ type }) => type === "exhibit")
        .map(({ snapshot }) => snapshot).sort();
    assertEquals(await exhibitsOf("2026-114"), [SNAPSHOTS[0], SNAPSHOTS[2]]);
    assertEquals(await exhibitsOf("2026-115"), [SNAPSHOTS[1]]);
  }));

Deno.test("correct of an instance corrects all its exhibits, and the store's case with them", () =>
  withInstance(async (stage) => {
    const said = ["--case", "2026-115", "--reason", "Typing error", "--by", "B. Lead"];
    assertRefusal(await stage.run(["correct", INSTANCE, "--evidence", "8", "--reason", "x"]), {
      exitCode: 2,
      names: ["several exhibits"],
    });
    const ended = await stage.run(["correct", INSTANCE, SNAPSHOTS[0]!, ...said, "--json"]);
    assertExit(ended, 0);
    const corrected = eventsOf(ended).filter(({ type }) => type === "summary").map(({ snapshot }) =>
      snapshot
    );
    assertEquals(corrected.sort(), SNAPSHOTS);
    assertEquals(JSON.parse(Deno.readTextFileSync(`${stage.store}/store.json`)).case, "2026-115");
    assertExit(await stage.run(["verify", "--quick", "--case", "2026-115"]), 0);
  }));

Deno.test("--case of ls is not filled from the environment, which would hide what is there", () =>
  withInstance(async (stage) => {
    const ended = await stage.run(["ls", "--json"], { env: { COLDCASE_CASE: "2026-999" } });
    assertEquals(eventsOf(ended).filter(({ type }) => type === "exhibit").length, 3);
  }));

Deno.test("commands about one exhibit take no instance for it, and name the candidates", () =>
  withInstance(async (stage) => {
    const ids = eventsOf(await stage.run(["ls", "--json"])).filter(({ type }) => type === "exhibit")
      .map(({ exhibit }) => String(exhibit));
    for (
      const words of [["info"], ["export", "-o", `${stage.folder}/x`], ["sign"], [
        "copy",
        "--to",
        `${stage.folder}/y`,
      ]]
    ) {
      assertRefusal(await stage.run([words[0]!, INSTANCE, ...words.slice(1)]), {
        exitCode: 2,
        names: [INSTANCE, "it is an instance, 3 of its volumes are held"],
        hints: [...ids, `coldcase ls ${INSTANCE}`],
      });
    }
    assertRefusal(await stage.run(["info", "i-0f0f0f0f"]), { exitCode: 10, names: ["i-0f0f0f0f"] });
    assertRefusal(await stage.run(["ls", "i-0f0f0f0f"]), { exitCode: 10, names: ["i-0f0f0f0f"] });
    assertRefusal(await stage.run(["ls", SNAPSHOTS[0]!]), { exitCode: 2, names: ["no instance's id"] });
    assertRefusal(await stage.run(["verify", INSTANCE, "--case", "1"]), { exitCode: 2, names: ["--case"] });
  }));

Deno.test("info and report tell the set of an exhibit", () =>
  withInstance(async (stage) => {
    const info = (await stage.run(["info", SNAPSHOTS[1]!])).stdout;
    assertMatch(info, new RegExp(`^device +${THREE[1]}$`, "m"));
    assertMatch(info, new RegExp(`^of +the set of ${INSTANCE} started .* \\(3 snapshots\\)$`, "m"));
    const report = (await stage.run(["report", SNAPSHOTS[1]!])).stdout;
    assertMatch(report, new RegExp(`^\\| Device of the volume \\| ${THREE[1]} \\|`, "m"));
    assertMatch(report, /^\| Known to belong together by \| one start time, to the millisecond \|/m);
  }));

Deno.test("which exhibits of an encrypted store are an instance's is not known without an identity", () =>
  withStage(instance(setOf(1, THREE), {}, THREE), async (stage) => {
    const identity = `${stage.folder}/key.age`;
    assertExit(await stage.run(["keygen", "-o", identity]), 0);
    const [recipient] = /age1\S+/.exec(Deno.readTextFileSync(identity))!;
    assertExit(await stage.run(["acquire", "--instance", INSTANCE, "--case", "1", "-r", recipient]), 0);
    for (const command of ["ls", "verify", "report"]) {
      const refused = await stage.run([command, INSTANCE]);
      assertRefusal(refused, {
        exitCode: 12,
        names: ["which exhibits are of", "encrypted"],
        hints: ["-i FILE"],
      });
      const ended = await stage.run([command, INSTANCE, "-i", identity]);
      assertExit(ended, 0);
      assertStringIncludes(ended.stdout, "3 of 3 held");
    }
  }));

Deno.test("an exhibit that is damaged is told where the case is asked for, and nothing else is taken for it", () =>
  withInstance(async (stage) => {
    const [damaged] = filesBelow(stage.store).filter((name) => /\/manifest-.*\.json$/.test(name));
    flipBit(`${stage.store}/${damaged}`, 100);
    const listed = await stage.run(["ls", "--case", "2026-114"]);
    assertRefusal(listed, { exitCode: 20, names: [damaged!] });
    assertEquals(listed.stdout.match(/complete/g)?.length, 2);
    assertRefusal(await stage.run(["verify", "--quick", "--case", "2026-114"]), {
      exitCode: 20,
      names: [damaged!],
    });
    const none = await stage.run(["verify", "--quick", "--case", "2026-115"]);
    assertRefusal(none, { exitCode: 20, names: [damaged!] });
    assertEquals(none.stdout, "");
  }));

Deno.test("two sets of an instance are told apart, and an exhibit that was acquired by its id is of its set", () =>
  withStage(instance([...setOf(1, THREE), ...setOf(2, THREE)], {}, THREE), async (stage) => {
    const later = THREE.map((device) => snapshotOf(device, 2));
    assertExit(await stage.run(["acquire", SNAPSHOTS[0]!, "--case", "1"]), 0);
    const alone = await stage.run(["ls", "--case", "1"]);
    assertEquals([alone.stdout.match(/NOT HELD|the set/g), alone.stdout.match(/complete/g)?.length], [
      null,
      1,
    ]);
    for (const set of [SNAPSHOTS[0]!, later[0]!]) {
      assertExit(await stage.run(["acquire", "--instance", INSTANCE, "--set", set, "--case", "1"]), 0);
    }
    const { stdout } = await stage.run(["ls", INSTANCE]);
    assertEquals(stdout.match(/3 of 3 held/g)?.length, 2);
    assertEquals(devicesIn(stdout), [...THREE, ...THREE]);
    const [newest, older] = stdout.split("\n\n");
    assert(later.every((id) => newest!.includes(id)) && SNAPSHOTS.every((id) => older!.includes(id)), stdout);
    const verified = eventsOf(await stage.run(["verify", INSTANCE, "--quick", "--json"]))
      .filter(({ type }) => type === "summary").map(({ snapshot }) => snapshot);
    assertEquals(verified.sort(), [...SNAPSHOTS, ...later].sort());
    const report = await stage.run(["report", INSTANCE]);
    assertExit(report, 0);
    assertEquals(report.stdout.match(/^# Report on exhibit/gm)?.length, 6);
    assert(!report.stdout.includes("of no set"), "an exhibit of a set is listed as of none");
  }));
