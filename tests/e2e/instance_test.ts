/**
 * `acquire --instance` and `plan --instance` from outside: which set is taken, what the record says of it, that an
 * interruption never changes the set, and that a volume that fails leaves the others to be acquired.
 */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { type Stage, withStage } from "./endpoint.ts";
import {
  BLOCKS,
  DEVICES,
  INSTANCE,
  instance,
  setOf,
  snapshotOf,
  startOf,
  volumeOf,
} from "./instance_stage.ts";
import { assertExit, assertRefusal, type Ended, eventOf, eventsOf } from "./program.ts";

const THREE = DEVICES.slice(0, 3);

interface InstanceEvent {
  readonly snapshots: readonly {
    readonly snapshot: string;
    readonly device: string;
    readonly exhibit: string | null;
    readonly exitCode: number;
  }[];
}

function endsOf(ended: Ended): InstanceEvent["snapshots"] {
  return (eventOf(ended, "instance") as unknown as InstanceEvent).snapshots;
}

interface SetRecord {
  readonly device: string;
  readonly instance: string;
  readonly knownBy: string;
  readonly missingVolumes: readonly unknown[] | null;
  readonly snapshots: readonly unknown[];
  readonly startedAt: string | null;
}

/** What the manifest of a snapshot's exhibit says of its set, as it lies in the store. */
function recordOf(
  stage: Stage,
  snapshot: string,
): { set: SetRecord | null; case: { evidence: string | null } } {
  for (const folder of Deno.readDirSync(`${stage.store}/exhibits`)) {
    const path = `${stage.store}/exhibits/${folder.name}`;
    for (const { name } of Deno.readDirSync(path)) {
      if (!/^manifest-[0-9a-f]{64}\.json$/.test(name)) continue;
      const manifest = JSON.parse(Deno.readTextFileSync(`${path}/${name}`));
      if (manifest.source.snapshot === snapshot) return manifest.acquisition;
    }
  }
  throw new Error(`the store has no exhibit of ${snapshot}`);
}

function journals(stage: Stage): number {
  return [...Deno.readDirSync(`${stage.store}/journal`)].length;
}

async function addSet(stage: Stage, set: number): Promise<void> {
  for (const spec of setOf(set)) await stage.simulator.addSnapshot(spec);
}

Deno.test("acquire --instance acquires twelve volumes in one run, each with the set in its record", () =>
  withStage(instance([...setOf(1), ...setOf(2)]), async (stage) => {
    const ended = await stage.run(["acquire", "--instance", INSTANCE, "--evidence", "7", "--json"]);
    assertExit(ended, 0);
    const ends = endsOf(ended);
    assertEquals(
      ends.map(({ device, snapshot }) => [device, snapshot]),
      DEVICES.map((device) => [device, snapshotOf(device, 2)]),
    );
    assertEquals(stage.getRequests(), 12 * BLOCKS);
    const set = eventOf(ended, "set");
    assertEquals([set["startedAt"], set["volumesSizeGib"]], [startOf(2), 12]);
    for (const [position, device] of DEVICES.entries()) {
      const record = recordOf(stage, snapshotOf(device, 2));
      assertEquals(record.set, {
        device,
        instance: INSTANCE,
        knownBy: "start_time",
        missingVolumes: [],
        snapshots: DEVICES
          .map((device) => ({ device, snapshot: snapshotOf(device, 2), volumeId: volumeOf(device) }))
          .sort((a, b) => a.snapshot < b.snapshot ? -1 : 1),
        startedAt: startOf(2),
      });
      assertEquals(record.case.evidence, `7-${position + 1}`);
    }
    const again = await stage.run(["acquire", "--instance", INSTANCE, "--json"]);
    assertExit(again, 0);
    assertEquals([stage.getRequests(), endsOf(again).map(({ exhibit }) => exhibit)], [
      0,
      ends.map(({ exhibit }) => exhibit),
    ]);
    assertExit(await stage.run(["verify", "--quick"]), 0);
  }));

Deno.test("acquire --instance that was killed goes on with its set, though a newer one has appeared", () =>
  withStage(instance(setOf(1)), async (stage) => {
    const running = await stage.startHeldAfter(5 * BLOCKS + 3, [
      "acquire",
      "--instance",
      INSTANCE,
      "--evidence",
      "7",
    ]);
    running.kill("SIGKILL");
    assertExit(await running.ended, 137);
    assertEquals(journals(stage), 1);
    stage.release();
    stage.getRequests();
    await addSet(stage, 2);
    // What was begun is known without EC2.
    stage.simulator.deny("ec2:DescribeSnapshots", "ec2:DescribeInstances");
    const resumed = await stage.run(["acquire", "--instance", INSTANCE, "--evidence", "7", "--json"]);
    assertExit(resumed, 0);
    assertEquals(
      endsOf(resumed).map(({ snapshot }) => snapshot),
      DEVICES.map((device) => snapshotOf(device, 1)),
    );
    const asked = stage.getRequests();
    assert(asked >= 7 * BLOCKS - 3 && asked <= 7 * BLOCKS, `${asked} blocks were asked for`);
    assertStringIncludes(resumed.stderr + resumed.stdout, "--set newest");
    for (const [position, device] of DEVICES.entries()) {
      const { set, case: facts } = recordOf(stage, snapshotOf(device, 1));
      assertEquals([set?.startedAt, set?.snapshots.length, facts.evidence], [
        startOf(1),
        12,
        `7-${position + 1}`,
      ]);
    }
    assertEquals(journals(stage), 0);
    // It is complete: from now on the newer one is the one that is meant.
    stage.simulator.allow("ec2:DescribeSnapshots", "ec2:DescribeInstances");
    const next = await stage.run(["acquire", "--instance", INSTANCE, "--json"]);
    assertExit(next, 0);
    assertEquals(
      endsOf(next).map(({ snapshot }) => snapshot),
      DEVICES.map((device) => snapshotOf(device, 2)),
    );
  }));

Deno.test("acquire --instance commits eleven volumes where one fails, ends by the gravest, and goes on with that one", () => {
  const [denied] = [snapshotOf("/dev/sdf", 1)];
  return withStage(instance(setOf(1)), async (stage) => {
    stage.simulator.updateSnapshot(denied, {
      kmsDenied: true,
      encrypted: true,
      kmsKeyId: "arn:aws:kms:us-east-1:123456789012:key/a",
    });
    const ended = await stage.run(["acquire", "--instance", INSTANCE, "--json"]);
    assertExit(ended, 13);
    const ends = endsOf(ended);
    assertEquals(ends.filter(({ exhibit }) => exhibit !== null).length, 11);
    assertEquals(
      ends.filter(({ exitCode }) => exitCode !== 0).map(({ snapshot, exitCode }) => [snapshot, exitCode]),
      [[denied, 13]],
    );
    assertEquals(eventsOf(ended).filter(({ type }) => type === "error").length, 1);
    stage.simulator.updateSnapshot(denied, { kmsDenied: false });
    await addSet(stage, 2);
    stage.getRequests();
    const again = await stage.run(["acquire", "--instance", INSTANCE, "--json"]);
    assertExit(again, 0);
    assertEquals(stage.getRequests(), BLOCKS);
    assertEquals(
      endsOf(again).map(({ snapshot }) => snapshot),
      DEVICES.map((device) => snapshotOf(device, 1)),
    );
  });
});

Deno.test("acquire --instance --retry-unreadable reads the set again that it is said of, not a newer one", () => {
  const [root] = DEVICES as [string];
  const faults = "bad-block:350=checksum";
  return withStage(instance(setOf(1, [root]), { faults }, [root]), async (stage) => {
    const words = ["acquire", "--instance", INSTANCE, "--json"];
    const ended = await stage.run(words);
    assertExit(ended, 3);
    assertStringIncludes(ended.stderr, "the same command with --retry-unreadable");
    for (const spec of setOf(2, [root])) await stage.simulator.addSnapshot(spec);
    const again = await stage.run([...words, "--retry-unreadable"]);
    assertEquals(endsOf(again).map(({ snapshot }) => snapshot), [snapshotOf(root, 1)]);
    assertExit(again, 3);
    assertEquals(endsOf(await stage.run(words)).map(({ snapshot }) => snapshot), [snapshotOf(root, 2)]);
  });
});

Deno.test("acquire --instance goes on with a set that has no journal left, by what its exhibits say", () =>
  withStage(instance(setOf(1, THREE), {}, THREE), async (stage) => {
    const archived = snapshotOf(THREE[1]!, 1);
    stage.simulator.updateSnapshot(archived, { tier: "archive" });
    assertRefusal(await stage.run(["acquire", "--instance", INSTANCE]), {
      exitCode: 14,
      names: [INSTANCE, archived, "archive tier"],
      hints: ["restore-snapshot-tier", `--set ${startOf(1)}`, `snapshot create ${INSTANCE}`],
    });
    const named = await stage.run(["acquire", "--instance", INSTANCE, "--set", startOf(1), "--json"]);
    assertExit(named, 14);
    assertEquals(endsOf(named).map(({ exitCode }) => exitCode), [0, 14, 0]);
    assertEquals(journals(stage), 0);
    for (const spec of setOf(2, THREE)) await stage.simulator.addSnapshot(spec);
    stage.simulator.updateSnapshot(archived, { tier: "standard" });
    const again = await stage.run(["acquire", "--instance", INSTANCE, "--json"]);
    assertExit(again, 0);
    assertEquals(endsOf(again).map(({ snapshot }) => snapshot), THREE.map((device) => snapshotOf(device, 1)));
    const newest = await stage.run(["acquire", "--instance", INSTANCE, "--set", "newest", "--json"]);
    assertEquals(
      endsOf(newest).map(({ snapshot }) => snapshot),
      THREE.map((device) => snapshotOf(device, 2)),
    );
  }));

Deno.test("acquire --instance takes a newer set where the last one is held, part of it by its own id", () =>
  withStage(instance(setOf(1, THREE), {}, THREE), async (stage) => {
    assertExit(await stage.run(["acquire", snapshotOf(THREE[0]!, 1)]), 0);
    assertExit(await stage.run(["acquire", "--instance", INSTANCE]), 0);
    for (const spec of setOf(2, THREE)) await stage.simulator.addSnapshot(spec);
    const next = await stage.run(["acquire", "--instance", INSTANCE, "--json"]);
    assertExit(next, 0);
    assertEquals(endsOf(next).map(({ snapshot }) => snapshot), THREE.map((device) => snapshotOf(device, 2)));
  }));

Deno.test("acquire --set leaves the set that was begun as it is, says so, and goes on with it by its name", () =>
  withStage(instance([...setOf(1, THREE), ...setOf(2, THREE)], {}, THREE), async (stage) => {
    const words = ["acquire", "--instance", INSTANCE, "--concurrency", "1"];
    const running = await stage.startHeldAfter(2, [...words, "--set", startOf(1)]);
    running.kill("SIGINT");
    assertExit(await running.ended, 130);
    stage.release();
    const newest = await stage.run([...words, "--set", "newest"]);
    assertExit(newest, 0);
    assertStringIncludes(newest.stderr, `stays as far as it is: --set ${startOf(1)} goes on with it`);
    stage.getRequests();
    assertExit(await stage.run([...words, "--set", startOf(1)]), 0);
    assertEquals(journals(stage), 0);
    assert(stage.getRequests() <= 3 * BLOCKS - 2);
  }));

Deno.test("acquire --instance --commit-partial commits what is begun, and leaves what is whole", () =>
  withStage(instance(setOf(1, THREE), {}, THREE), async (stage) => {
    const words = ["acquire", "--instance", INSTANCE, "--concurrency", "1"];
    const running = await stage.startHeldAfter(2 * BLOCKS + 2, words);
    running.kill("SIGINT");
    assertExit(await running.ended, 130);
    stage.release();
    const ended = await stage.run([...words, "--commit-partial", "--json"]);
    assertExit(ended, 3);
    assertEquals(endsOf(ended).map(({ exitCode }) => exitCode), [0, 0, 3]);
    assertEquals(recordOf(stage, snapshotOf(THREE[2]!, 1)).set?.snapshots.length, 3);
  }));

Deno.test("acquire --instance into an encrypted store, without an identity, goes on with the set that it holds some of", () =>
  withStage(instance(setOf(1, THREE), {}, THREE), async (stage) => {
    const identity = await stage.run(["keygen", "-o", `${stage.folder}/key.age`]);
    assertExit(identity, 0);
    const recipient = /age1[0-9a-z]+/.exec(identity.stdout + identity.stderr)![0];
    const archived = snapshotOf(THREE[1]!, 1);
    stage.simulator.updateSnapshot(archived, { tier: "archive" });
    const words = ["acquire", "--instance", INSTANCE, "-r", recipient, "--json"];
    assertExit(await stage.run([...words, "--set", startOf(1)]), 14);
    for (const spec of setOf(2, THREE)) await stage.simulator.addSnapshot(spec);
    stage.simulator.updateSnapshot(archived, { tier: "standard" });
    const again = await stage.run(words);
    assertExit(again, 0);
    assertEquals(endsOf(again).map(({ snapshot }) => snapshot), THREE.map((device) => snapshotOf(device, 1)));
    const next = await stage.run(words);
    assertExit(next, 0);
    assertEquals(endsOf(next).map(({ snapshot }) => snapshot), THREE.map((device) => snapshotOf(device, 2)));
  }));

Deno.test("acquire --instance takes a set that lacks a volume only where it is named, and the record says what it lacks", () =>
  withStage(instance(setOf(1, THREE.slice(0, 2)), {}, THREE), async (stage) => {
    const lacking = `${THREE[2]} (${volumeOf(THREE[2]!)})`;
    assertRefusal(await stage.run(["acquire", "--instance", INSTANCE]), {
      exitCode: 10,
      names: [INSTANCE, lacking],
      hints: [`snapshot create ${INSTANCE}`, `--set ${startOf(1)}`],
    });
    const named = await stage.run(["acquire", "--instance", INSTANCE, "--set", "2026-01-01"]);
    assertExit(named, 0);
    assertStringIncludes(named.stderr, `no snapshot of ${lacking}`);
    assertEquals(recordOf(stage, snapshotOf(THREE[0]!, 1)).set?.missingVolumes, [
      { device: THREE[2], volumeId: volumeOf(THREE[2]!) },
    ]);
  }));

Deno.test("acquire refuses to go on with a snapshot as one of a set where it was begun by its id, and the other way goes on", () =>
  withStage(instance(setOf(1, THREE), {}, THREE), async (stage) => {
    const first = snapshotOf(THREE[0]!, 1);
    const byId = await stage.startHeldAfter(2, ["acquire", first, "--concurrency", "1"]);
    byId.kill("SIGINT");
    assertExit(await byId.ended, 130);
    stage.release();
    assertRefusal(await stage.run(["acquire", "--instance", INSTANCE]), {
      exitCode: 2,
      names: [first, "by its own id", INSTANCE],
      hints: [`acquire ${first}`, "--fresh"],
    });
    assertExit(await stage.run(["acquire", first]), 0);
    assertEquals(recordOf(stage, first).set, null);
    const whole = await stage.startHeldAfter(2, ["acquire", "--instance", INSTANCE, "--concurrency", "1"]);
    whole.kill("SIGINT");
    assertExit(await whole.ended, 130);
    stage.release();
    const second = snapshotOf(THREE[1]!, 1);
    assertExit(await stage.run(["acquire", second]), 0);
    assertEquals(recordOf(stage, second).set?.device, THREE[1]);
  }));

Deno.test("acquire --instance of one that EC2 has forgotten takes what its snapshots say, and records what is not known", () => {
  const description = `Created by CreateImage(${INSTANCE}) for ami-0123456789abcdef0`;
  const options = { snapshots: setOf(1, THREE, { description }), instances: [] };
  return withStage(options, async (stage) => {
    const ended = await stage.run(["acquire", "--instance", INSTANCE]);
    assertExit(ended, 0);
    assertStringIncludes(ended.stderr, `which volumes ${INSTANCE} has, or had, EC2 does not tell`);
    const { set } = recordOf(stage, snapshotOf(THREE[0]!, 1));
    assertEquals([set?.missingVolumes, set?.device, set?.snapshots.length], [null, null, 3]);
  });
});

Deno.test("acquire --instance of another account takes what that account shares, and says so", () => {
  const description = `Created by CreateImage(${INSTANCE}) for ami-0123456789abcdef0`;
  const shared = { description, ownerId: "999999999999", sharedWith: ["123456789012"] };
  const options = { snapshots: setOf(1, THREE, shared), instances: [] };
  return withStage(options, async (stage) => {
    const ended = await stage.run(["acquire", "--instance", INSTANCE]);
    assertExit(ended, 0);
    assertStringIncludes(ended.stderr, `${INSTANCE}: no own snapshots; these are shared by another account`);
    const { set } = recordOf(stage, snapshotOf(THREE[2]!, 1));
    assertEquals([set?.knownBy, set?.snapshots.length, set?.missingVolumes], ["start_time", 3, null]);
  });
});

Deno.test("acquire, plan and sources of an instance show no text of EC2's as a line of their own", () => {
  const hostile = "/dev/sdz\n\u001b[2Jcoldcase: all is well";
  const volumes = { [THREE[0]!]: volumeOf(THREE[0]!), [hostile]: volumeOf(THREE[1]!) };
  const snapshots = [...setOf(1, THREE.slice(0, 2)), ...setOf(2, THREE.slice(0, 1))];
  return withStage({ snapshots, instances: [{ id: INSTANCE, volumes }] }, async (stage) => {
    const commands = [
      ["sources", INSTANCE],
      ["plan", "--instance", INSTANCE],
      ["acquire", "--instance", INSTANCE, "--set", startOf(2)],
      ["acquire", "--instance", INSTANCE],
    ];
    for (const words of commands) {
      const { stdout, stderr } = await stage.run(words);
      assertStringIncludes(stdout + stderr, "all is well");
      assertEquals((stdout + stderr).includes("\u001b"), false, stderr);
      const torn = `${stdout}${stderr}`.split("\n").filter((line) =>
        line.includes("all is well") && !line.includes("/dev/sdz")
      );
      assertEquals(torn, []);
    }
    assertEquals(recordOf(stage, snapshotOf(THREE[1]!, 1)).set?.device, null);
  });
});

Deno.test("acquire --instance says what can't be known where EC2 is denied, and snapshots by their ids still work", () =>
  withStage(instance(setOf(1, THREE), { deny: ["ec2:DescribeSnapshots"] }, THREE), async (stage) => {
    assertRefusal(await stage.run(["acquire", "--instance", INSTANCE]), {
      exitCode: 13,
      names: [INSTANCE, "ec2:DescribeSnapshots"],
      hints: ["coldcase acquire SNAPSHOT"],
    });
    assertExit(await stage.run(["acquire", snapshotOf(THREE[0]!, 1)]), 0);
    const listed = await stage.run(["sources", INSTANCE]);
    assertExit(listed, 13);
    for (const device of THREE) assertStringIncludes(listed.stdout, `${device}`);
  }));

Deno.test("plan --instance shows the set, each snapshot, and what all of them cost", () =>
  withStage(instance([...setOf(1, THREE), ...setOf(2, THREE.slice(0, 1))], {}, THREE), async (stage) => {
    const ended = await stage.run(["plan", "--instance", INSTANCE, "--json"]);
    assertExit(ended, 0);
    assertEquals(
      eventsOf(ended).filter(({ type }) => type === "plan").map((
        event,
      ) => [event["snapshot"], event["fetchBlocks"]]),
      THREE.map((device) => [snapshotOf(device, 1), BLOCKS]),
    );
    const shown = await stage.run(["plan", "--instance", INSTANCE]);
    assertStringIncludes(shown.stdout, "all: $");
    assertStringIncludes(
      shown.stderr,
      `a newer set, started ${startOf(2)}, was passed over: it has no snapshot of`,
    );
  }));

Deno.test("acquire --instance stops at a budget over all of its snapshots, and goes on with more", () =>
  withStage(instance(setOf(1, THREE), {}, THREE), async (stage) => {
    // One snapshot's six blocks are 3 MiB: $0.00026 of transfer, and the requests.
    const words = ["acquire", "--instance", INSTANCE, "--json"];
    const ended = await stage.run([...words, "--budget", "0.0005"]);
    assertExit(ended, 4);
    const held = eventsOf(ended).filter(({ type }) => type === "summary").length;
    assert(held >= 1 && held < 3, `${held} were acquired`);
    assertExit(await stage.run(words), 0);
  }));
