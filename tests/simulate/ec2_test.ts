/**
 * DescribeSnapshots and GetCallerIdentity: what a client sees through the query protocols, as XML.
 */
import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { type Simulator, SimulatorClock, startSimulator } from "../../src/simulate/mod.ts";
import { KEYS, LATER, send, SNAPSHOT } from "./fixtures.ts";

const OTHERS = "snap-0f0f0f0f0f0f0f0f0";

const INSTANCES = [
  { id: "i-0000000a", volumes: { "/dev/xvda": "vol-0a", "/dev/sdf": "vol-0c" } },
  { id: "i-0000000b", volumes: { "/dev/xvda": "vol-0d" }, state: "terminated" },
  { id: "i-0000000c", volumes: { "/dev/xvda": "vol-0e" }, ownerId: "999999999999" },
] as const;

async function withServed(body: (simulator: Simulator) => Promise<void>): Promise<void> {
  const synthetic = { seed: 1, volumeSizeGib: 8 };
  const simulator = await startSimulator({
    credentials: [KEYS],
    snapshots: [
      {
        id: SNAPSHOT,
        volumeId: "vol-0a",
        synthetic,
        tags: { Name: 'a <b> & "c"', case: "42" },
        startTimeMs: 0,
      },
      { id: LATER, volumeId: "vol-0b", synthetic, state: "pending", tier: "archive" },
      { id: OTHERS, volumeId: "vol-0a", synthetic, ownerId: "999999999999", public: true },
      { id: "snap-0e0e0e0e0e0e0e0e0", volumeId: "vol-0a", synthetic, ownerId: "999999999999" },
    ],
    instances: INSTANCES,
  });
  try {
    await body(simulator);
  } finally {
    await simulator.close();
  }
}

async function query(
  simulator: Simulator,
  form: Record<string, string>,
  service = "ec2",
): Promise<[number, string]> {
  const body = new URLSearchParams({ Version: service === "ec2" ? "2016-11-15" : "2011-06-15", ...form })
    .toString();
  const headers = { "content-type": "application/x-www-form-urlencoded" };
  const response = await send(simulator, { method: "POST", path: "/", service, headers, body });
  return [response.status, await response.text()];
}

async function idsOf(simulator: Simulator, form: Record<string, string>): Promise<string[]> {
  const [, xml] = await query(simulator, { Action: "DescribeSnapshots", ...form });
  return [...xml.matchAll(/<snapshotId>(.*?)<\/snapshotId>/g)].map((match) => match[1]!);
}

Deno.test("DescribeSnapshots shows own and public snapshots, and filters them", async () => {
  await withServed(async (simulator) => {
    const filter = (name: string, ...values: string[]) => ({
      "Filter.1.Name": name,
      ...Object.fromEntries(values.map((value, at) => [`Filter.1.Value.${at + 1}`, value])),
    });
    assertEquals(await idsOf(simulator, {}), [SNAPSHOT, LATER, OTHERS]);
    assertEquals(await idsOf(simulator, { "Owner.1": "self" }), [SNAPSHOT, LATER]);
    assertEquals(await idsOf(simulator, { "Owner.1": "999999999999" }), [OTHERS]);
    assertEquals(await idsOf(simulator, { "SnapshotId.1": LATER }), [LATER]);
    assertEquals(await idsOf(simulator, filter("volume-id", "vol-0a")), [SNAPSHOT, OTHERS]);
    assertEquals(await idsOf(simulator, filter("volume-id", "vol-0b", "vol-0c")), [LATER]);
    assertEquals(await idsOf(simulator, filter("tag:case", "4*")), [SNAPSHOT]);
    assertEquals(await idsOf(simulator, filter("status", "pending")), [LATER]);
    assertEquals(await idsOf(simulator, filter("volume-size", "9")), []);
  });
});

Deno.test("DescribeSnapshots writes what was given, escaped", async () => {
  await withServed(async (simulator) => {
    const [status, xml] = await query(simulator, { Action: "DescribeSnapshots", "SnapshotId.1": SNAPSHOT });
    assertEquals(status, 200);
    for (
      const part of [
        "<startTime>1970-01-01T00:00:00.000Z</startTime>",
        "<volumeSize>8</volumeSize>",
        "<status>completed</status><startTime>",
        "<key>Name</key><value>a &#60;b&#62; &#38; &#34;c&#34;</value>",
        "<storageTier>standard</storageTier>",
      ]
    ) assertStringIncludes(xml, part);
  });
});

Deno.test("DescribeSnapshots pages with MaxResults", async () => {
  await withServed(async (simulator) => {
    for (let at = 0; at < 9; at++) {
      await simulator.addSnapshot({ id: `snap-0000000${at}`, synthetic: { seed: at, volumeSizeGib: 1 } });
    }
    const form = { Action: "DescribeSnapshots", MaxResults: "5", "Owner.1": "self" };
    const [, first] = await query(simulator, form);
    const token = /<nextToken>(.*)<\/nextToken>/.exec(first)![1]!;
    const [, second] = await query(simulator, { ...form, NextToken: token });
    const [, third] = await query(simulator, {
      ...form,
      NextToken: /<nextToken>(.*)<\/nextToken>/.exec(second)![1]!,
    });
    assertEquals([first, second, third].map((xml) => xml.match(/<item><snapshotId>/g)!.length), [5, 5, 1]);
    assertEquals(third.includes("nextToken"), false);
  });
});

Deno.test("DescribeSnapshots answers errors in EC2's XML", async () => {
  await withServed(async (simulator) => {
    const code = async (form: Record<string, string>) => {
      const [status, xml] = await query(simulator, { Action: "DescribeSnapshots", ...form });
      assertMatch(xml, /<Response><Errors><Error><Code>.*<RequestID>[0-9a-f-]{36}<\/RequestID><\/Response>$/);
      return `${status} ${/<Code>(.*?)<\/Code>/.exec(xml)![1]}`;
    };
    assertEquals(await code({ "SnapshotId.1": "snap-00000000" }), "400 InvalidSnapshot.NotFound");
    assertEquals(await code({ "SnapshotId.1": "snap-0e0e0e0e0e0e0e0e0" }), "400 InvalidSnapshot.NotFound");
    assertEquals(await code({ "SnapshotId.1": "disk" }), "400 InvalidSnapshotID.Malformed");
    assertEquals(
      await code({ "Filter.1.Name": "colour", "Filter.1.Value.1": "x" }),
      "400 InvalidParameterValue",
    );
    assertEquals(await code({ MaxResults: "4" }), "400 InvalidParameterValue");
    simulator.deny("ec2:DescribeSnapshots");
    assertEquals(await code({}), "403 UnauthorizedOperation");
  });
});

Deno.test("GetCallerIdentity says who signed, unless it is denied", async () => {
  await withServed(async (simulator) => {
    const form = { Action: "GetCallerIdentity" };
    const [status, xml] = await query(simulator, form, "sts");
    assertEquals(status, 200);
    assertStringIncludes(xml, "<Arn>arn:aws:iam::123456789012:user/examiner</Arn>");
    simulator.deny("sts:GetCallerIdentity");
    const [denied, error] = await query(simulator, form, "sts");
    assertEquals(denied, 403);
    assertStringIncludes(error, "<Code>AccessDenied</Code>");
  });
});

Deno.test("DescribeSnapshots tells who may restore: self without public ones, all with those only", async () => {
  await withServed(async (simulator) => {
    assertEquals(await idsOf(simulator, { "RestorableBy.1": "self" }), [SNAPSHOT, LATER]);
    assertEquals(await idsOf(simulator, { "RestorableBy.1": "all" }), [OTHERS]);
    simulator.updateSnapshot(OTHERS, { public: false, sharedWith: [simulator.account] });
    assertEquals(await idsOf(simulator, { "RestorableBy.1": "self" }), [SNAPSHOT, OTHERS, LATER].sort());
    assertEquals(await idsOf(simulator, { "RestorableBy.1": "all" }), []);
  });
});

Deno.test("DescribeInstances tells an account's own instances, their volumes, and nothing of terminated ones' volumes", async () => {
  await withServed(async (simulator) => {
    const ask = (form: Record<string, string>) => query(simulator, { Action: "DescribeInstances", ...form });
    const values = (xml: string, name: string) =>
      [...xml.matchAll(new RegExp(`<${name}>(.*?)</${name}>`, "g"))].map((match) => match[1]!);
    const [, all] = await ask({});
    assertEquals(values(all, "instanceId"), ["i-0000000a", "i-0000000b"]);
    assertEquals(values(all, "volumeId"), ["vol-0a", "vol-0c"]);
    assertEquals(values(all, "deviceName"), ["/dev/xvda", "/dev/sdf"]);
    const [, terminated] = await ask({ "InstanceId.1": "i-0000000b" });
    assertStringIncludes(terminated, "<code>48</code><name>terminated</name>");
    const byVolume = { "Filter.1.Name": "block-device-mapping.volume-id", "Filter.1.Value.1": "vol-0c" };
    assertEquals(values((await ask(byVolume))[1], "instanceId"), ["i-0000000a"]);
    for (
      const [form, code] of [
        [{ "InstanceId.1": "i-0000000c" }, "InvalidInstanceID.NotFound"],
        [{ "InstanceId.1": "i-x" }, "InvalidInstanceID.Malformed"],
        [{ "InstanceId.1": "i-0000000a", MaxResults: "5" }, "InvalidParameterCombination"],
        [{ MaxResults: "4" }, "InvalidParameterValue"],
        [{ "Filter.1.Name": "nonsense", "Filter.1.Value.1": "x" }, "InvalidParameterValue"],
      ] as const
    ) {
      const [status, xml] = await ask(form);
      assertEquals([status, values(xml, "Code")], [400, [code]]);
    }
  });
});

Deno.test("DescribeSnapshots tells how far a pending snapshot is, and that it is completed when its time has come", async () => {
  const clock = new SimulatorClock({ virtual: true, startMs: 0 });
  const pending = { startTimeMs: 0, pendingUntilMs: 1000 };
  const synthetic = { seed: 1, volumeSizeGib: 1 };
  const simulator = await startSimulator({
    clock,
    credentials: [KEYS],
    snapshots: [{ id: SNAPSHOT, synthetic, ...pending }],
  });
  try {
    for (
      const [nowMs, state, percent] of [
        [0, "pending", 0],
        [425, "pending", 42],
        [999, "pending", 99],
        [1000, "completed", 100],
      ] as const
    ) {
      clock.setMs(nowMs);
      const [, xml] = await query(simulator, { Action: "DescribeSnapshots" });
      assertStringIncludes(xml, `<status>${state}</status>`);
      assertStringIncludes(xml, `<progress>${percent}%</progress>`);
      assertEquals(
        xml.includes("<completionTime>1970-01-01T00:00:01.000Z</completionTime>"),
        percent === 100,
      );
    }
  } finally {
    await simulator.close();
  }
});
