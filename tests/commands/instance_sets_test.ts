/** Which of an instance's snapshots belong together, which set is taken, and what numbers its exhibits have. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import type { Device } from "../../src/aws/set_tags.ts";
import { evidenceNumbers } from "../../src/commands/_evidence_numbers.ts";
import { choiceOf } from "../../src/commands/_instance_choice.ts";
import { type Found, isComplete, setFactsOf, setsOf } from "../../src/commands/_instance_sets.ts";
import type { Listed } from "../../src/commands/_sources_search.ts";
import { OperatorError } from "../../src/errors.ts";
import { checkSet, setMember } from "../../src/format/snapshot_set.ts";
import type { SnapshotId } from "../../src/model.ts";

const INSTANCE = "i-0123456789abcdef0";
const ROOT: Device = { device: "/dev/xvda", volumeId: "vol-0000000a" };
const DATA: Device = { device: "/dev/sdf", volumeId: "vol-0000000b" };
const LOGS: Device = { device: "/dev/sdg", volumeId: "vol-0000000c" };
const NIGHT = "2026-01-02T03:00:00.123Z";
const LATER = "2026-01-03T03:00:00.456Z";

let made = 0;

function snapshot(of: Device, startedAt: string | undefined, facts: Partial<Listed> = {}): Listed {
  return {
    id: `snap-${(++made).toString(16).padStart(8, "0")}` as SnapshotId,
    state: "completed",
    ownerAccount: "123456789012",
    volumeId: of.volumeId,
    startedAt,
    completedAt: startedAt,
    storageTier: "standard",
    encrypted: false,
    kmsKeyId: undefined,
    description: undefined,
    volumeSizeGib: 8,
    name: undefined,
    setId: undefined,
    relation: "own",
    foundBy: undefined,
    ...facts,
  };
}

function found(snapshots: readonly Listed[], attached: readonly Device[] | undefined = [ROOT, DATA]): Found {
  return { instance: INSTANCE, region: "us-east-1", snapshots, attached, devicesOfSet: () => [] };
}

const WISH = { instance: INSTANCE, set: undefined, fresh: false, mayWait: false };
const NONE_HELD = new Set<string>();

function ids(set: { readonly members: readonly { readonly snapshot: Listed }[] }): string[] {
  return set.members.map(({ snapshot }) => snapshot.id);
}

Deno.test("setsOf() puts together what has one start to the millisecond, and nothing else", () => {
  const [root, data] = [snapshot(ROOT, NIGHT), snapshot(DATA, NIGHT)];
  const off = snapshot(DATA, NIGHT.replace("123Z", "124Z"));
  const other = snapshot(LOGS, NIGHT, { ownerAccount: "999999999999" });
  const sets = setsOf(found([data, off, root, other]));
  assertEquals(sets.map(ids), [[off.id], [root.id, data.id], [other.id]], "newest first, roots first");
  const [, set] = sets;
  assertEquals([set!.knownBy, set!.startedAt, set!.missing], ["start_time", NIGHT, []]);
  assertEquals(sets.map((one) => isComplete(one)), [false, true, false]);
});

Deno.test("setsOf() takes two snapshots of one volume for two sets, whatever else they have in common", () => {
  const [root, again, data] = [snapshot(ROOT, NIGHT), snapshot(ROOT, NIGHT), snapshot(DATA, NIGHT)];
  assertEquals(setsOf(found([root, again, data])).map((set) => ids(set).length), [1, 1, 1]);
});

Deno.test("setsOf() puts an image's snapshots together by its name, and tells start times apart from it", () => {
  const description = `Created by CreateImage(${INSTANCE}) for ami-0123456789abcdef0`;
  const image = [snapshot(ROOT, NIGHT, { description }), snapshot(DATA, LATER, { description })];
  const [set] = setsOf(found(image));
  assertEquals([set!.knownBy, set!.startedAt, set!.newestAt], ["image", undefined, LATER]);
  const alike = "Created by CreateImage(somebody) for ami-0123456789abcdef0";
  const posing = [
    snapshot(ROOT, NIGHT, { description: alike }),
    snapshot(DATA, LATER, { description: alike }),
  ];
  assertEquals(setsOf(found(posing)).length, 2);
});

Deno.test("setsOf() knows by its tags which volumes a set lacks, when the instance is gone", () => {
  const setId = "0".repeat(32);
  const snapshots = [snapshot(ROOT, NIGHT, { setId }), snapshot(DATA, LATER, { setId })];
  const gone = { ...found(snapshots, []), devicesOfSet: () => [ROOT, DATA, LOGS] };
  const [set] = setsOf(gone);
  assertEquals([set!.knownBy, set!.startedAt, set!.missing], ["tag", undefined, [LOGS]]);
  assertEquals(set!.members.map(({ device }) => device), [ROOT.device, DATA.device]);
  const hiding = { ...found(snapshots, [ROOT, DATA, LOGS]), devicesOfSet: () => [ROOT, DATA] };
  assertEquals(setsOf(hiding)[0]!.missing, [LOGS], "no tag hides a volume that EC2 tells of");
});

Deno.test("setsOf() has no set of copies, whose volume nobody knows, nor of what tells no start", () => {
  const copy = snapshot({ ...ROOT, volumeId: "vol-ffffffff" }, NIGHT);
  assertEquals(setsOf(found([copy, snapshot(ROOT, undefined)])), []);
});

Deno.test("setFactsOf() gives what the record takes, whatever EC2 calls devices", () => {
  const strange = { device: "a device\u001b[2J", volumeId: "vol-0000000d" };
  const snapshots = [snapshot(ROOT, NIGHT), snapshot(strange, NIGHT)];
  const [set] = setsOf(found(snapshots, [ROOT, strange, LOGS, LOGS]));
  for (const { id } of snapshots) {
    const facts = setFactsOf(set!, id);
    assertEquals(setMember(facts, "set"), facts);
    checkSet(facts, id, "set");
    assertEquals(facts.missingVolumes, [LOGS]);
    assertEquals(facts.snapshots.map(({ device }) => device), [ROOT.device, null]);
  }
});

Deno.test("choiceOf() takes the newest complete set, and says why newer ones were passed over", () => {
  const whole = [snapshot(ROOT, NIGHT), snapshot(DATA, NIGHT)];
  const lacking = snapshot(ROOT, LATER);
  const choice = choiceOf(setsOf(found([...whole, lacking])), WISH, NONE_HELD);
  assertEquals(ids(choice.set), whole.map(({ id }) => id));
  assertEquals(choice.passedOver, [
    `a newer set, started ${LATER}, was passed over: it has no snapshot of /dev/sdf (vol-0000000b)`,
  ]);
});

Deno.test("choiceOf() takes a pending set for complete where it may be waited for, and no failed one", () => {
  const whole = [snapshot(ROOT, NIGHT), snapshot(DATA, NIGHT)];
  const pending = [snapshot(ROOT, LATER), snapshot(DATA, LATER, { state: "pending" })];
  const failed = [snapshot(ROOT, LATER), snapshot(DATA, LATER, { state: "error" })];
  const of = (snapshots: readonly Listed[], mayWait: boolean) =>
    choiceOf(setsOf(found(snapshots)), { ...WISH, mayWait }, NONE_HELD).set.startedAt;
  assertEquals(of([...whole, ...pending], true), LATER);
  assertEquals(of([...whole, ...pending], false), NIGHT);
  assertEquals(of([...whole, ...failed], true), NIGHT);
  const refuse = (snapshots: readonly Listed[], mayWait: boolean, hint: string) => {
    const error = assertThrows(() => of(snapshots, mayWait), OperatorError, "there is none");
    assertEquals(error.code, "source");
    assert(error.hints.some((one) => one.includes(hint)), error.hints.join("\n"));
  };
  refuse(pending, false, "--wait");
  refuse(failed, true, "take another snapshot");
});

Deno.test("choiceOf() takes a set that was named by its start or by a snapshot, complete or not", () => {
  const whole = [snapshot(ROOT, NIGHT), snapshot(DATA, NIGHT)];
  const lacking = snapshot(ROOT, LATER);
  const sets = setsOf(found([...whole, lacking]));
  const by = (set: string) => ids(choiceOf(sets, { ...WISH, set }, NONE_HELD).set);
  for (const name of [LATER, "2026-01-03", "2026-01-03 03:00", "2026-01-03T03:00:00Z", lacking.id]) {
    assertEquals(by(name), [lacking.id]);
  }
  for (const name of [NIGHT, whole[1]!.id, "newest"]) assertEquals(by(name), whole.map(({ id }) => id));
  assertEquals(assertThrows(() => by("2026-01"), OperatorError, "2 begin so").code, "usage");
  for (const name of ["2025", "snap-99999999", "root", ""]) {
    const error = assertThrows(() => by(name), OperatorError, "Cannot find set");
    assertEquals(error.code, "not_found");
    assert(error.hints[0]!.startsWith(LATER), error.hints.join("\n"));
  }
});

Deno.test("choiceOf() names what no set has, and how to take one that has it", () => {
  const error = assertThrows(
    () => choiceOf(setsOf(found([snapshot(ROOT, NIGHT)])), WISH, NONE_HELD),
    OperatorError,
    `the newest, started ${NIGHT}, has no snapshot of /dev/sdf (vol-0000000b)`,
  );
  assertEquals(error.code, "not_found");
  assert(error.hints.some((hint) => hint.endsWith(`snapshot create ${INSTANCE}`)));
  assert(error.hints.some((hint) => hint.endsWith(`--set ${NIGHT}`)));
});

Deno.test("choiceOf() without the instance's volumes takes the newest set of all volumes that any snapshot is of", () => {
  const whole = [snapshot(ROOT, NIGHT), snapshot(DATA, NIGHT)];
  const { set } = choiceOf(setsOf(found([...whole, snapshot(ROOT, LATER)], [])), WISH, NONE_HELD);
  assertEquals([ids(set), set.missing], [whole.map(({ id }) => id), undefined]);
  assertEquals(setFactsOf(set, whole[0]!.id).missingVolumes, null);
});

Deno.test("choiceOf() goes on with an older set of which a closed store holds some, unless told otherwise", () => {
  const older = [snapshot(ROOT, NIGHT), snapshot(DATA, NIGHT)];
  const newer = [snapshot(ROOT, LATER), snapshot(DATA, LATER)];
  const sets = setsOf(found([...older, ...newer]));
  const some = new Set([older[1]!.id]);
  const start = (wish: Partial<typeof WISH> & { set?: string }, held: ReadonlySet<string>) =>
    choiceOf(sets, { ...WISH, ...wish } as typeof WISH, held).set.startedAt;
  assertEquals(start({}, some), NIGHT);
  assertEquals(start({ fresh: true }, some), LATER);
  assertEquals(start({ set: "newest" } as never, some), LATER);
  assertEquals(start({}, new Set(older.map(({ id }) => id))), LATER);
});

Deno.test("evidenceNumbers() numbers an instance's exhibits by device, volume, snapshot, or one after the other", () => {
  const snapshots = [snapshot(ROOT, NIGHT), snapshot(DATA, NIGHT)];
  const [set] = setsOf(found(snapshots));
  const targets = set!.members.map(({ snapshot }) => ({
    snapshot: snapshot.id,
    set: setFactsOf(set!, snapshot.id),
  }));
  const [root, data] = targets.map(({ snapshot }) => snapshot) as [SnapshotId, SnapshotId];
  const numbers = (...values: string[]) => Object.fromEntries(evidenceNumbers(values, targets));
  assertEquals(numbers(), {});
  assertEquals(numbers("7"), { [root]: "7-1", [data]: "7-2" });
  assertEquals(numbers("7", "/dev/sdf=D"), { [root]: "7-1", [data]: "D" });
  assertEquals(numbers("vol-0000000a=A", `${data}=B=C`), { [root]: "A", [data]: "B=C" });
  for (const wrong of [["7", "8"], ["/dev/sdz=1"], ["/dev/sdf=1", "vol-0000000b=2"], ["snap-99999999=1"]]) {
    assertThrows(() => numbers(...wrong), OperatorError, "Cannot use evidence number");
  }
  assertEquals(Object.fromEntries(evidenceNumbers(["7"], targets.slice(0, 1))), { [root]: "7" });
});

Deno.test("evidenceNumbers() of snapshots by their ids wants each named, where there are several", () => {
  const [one, two] = ["snap-00000001", "snap-00000002"].map((id) => ({ snapshot: id as SnapshotId })) as [
    { snapshot: SnapshotId },
    { snapshot: SnapshotId },
  ];
  assertEquals([...evidenceNumbers(["7"], [one])], [[one.snapshot, "7"]]);
  assertEquals([...evidenceNumbers(["E=7"], [one])], [[one.snapshot, "E=7"]]);
  assertEquals([...evidenceNumbers(["snap-00000002=8"], [one, two])], [[two.snapshot, "8"]]);
  for (const values of [["7"], ["snap-00000003=7"], ["snap-00000001=7", "snap-00000001=8"]]) {
    assertThrows(() => evidenceNumbers(values, [one, two]), OperatorError, "which snapshot it is for");
  }
});
