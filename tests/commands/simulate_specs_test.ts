/** What `simulate` is told of snapshots and instances, as the endpoint gets it. */
import { assertEquals, assertThrows } from "@std/assert";
import { drillSpecs } from "../../src/commands/_simulate_specs.ts";
import { OperatorError } from "../../src/errors.ts";

const NOW_MS = Date.UTC(2026, 0, 2, 3, 4, 5);
const ROOT = "snap-00000001=root.img";
const DATA = "snap-00000002=synthetic:2GiB,volume=vol-0000000b";

Deno.test("drillSpecs() gives an instance the volumes of its snapshots, and them one start", () => {
  const { snapshots, instances } = drillSpecs(
    [ROOT, DATA, "snap-00000003=other.img", `${ROOT.replace("1=", "4=")},started=2026-01-01T00:00:00Z`],
    ["i-00000001=/dev/xvda:snap-00000001,/dev/sdf:snap-00000002,/dev/sdg:vol-0000000c,/dev/sdh:snap-00000004"],
    NOW_MS,
  );
  assertEquals(instances, [{
    id: "i-00000001",
    volumes: {
      "/dev/xvda": "vol-00000001",
      "/dev/sdf": "vol-0000000b",
      "/dev/sdg": "vol-0000000c",
      "/dev/sdh": "vol-00000004",
    },
    state: undefined,
  }]);
  assertEquals(
    snapshots.map(({ startTimeMs }) => startTimeMs),
    [NOW_MS, NOW_MS, undefined, Date.UTC(2026, 0, 1)],
  );
});

Deno.test("drillSpecs() takes states and waits", () => {
  const { snapshots, instances } = drillSpecs(
    [`${ROOT},pending-for=5m,description=of the night`],
    ["i-00000001=/dev/xvda:snap-00000001,state=terminated"],
    NOW_MS,
  );
  assertEquals(snapshots[0]!.pendingUntilMs, NOW_MS + 300_000);
  assertEquals([snapshots[0]!.description, instances[0]!.state], ["of the night", "terminated"]);
});

Deno.test("drillSpecs() refuses what it can't serve, and names it", () => {
  const wrong: readonly (readonly [snapshots: string[], instances: string[], fault: string])[] = [
    [[ROOT], ["web-1=/dev/xvda:snap-00000001"], "an instance's id"],
    [[ROOT], ["i-00000001"], "an instance's id"],
    [[ROOT], ["i-00000001="], "is not DEVICE:VOLUME"],
    [[ROOT], ["i-00000001=snap-00000001"], "is not DEVICE:VOLUME"],
    [[ROOT], ["i-00000001=/dev/xvda:snap-00000009"], "neither a volume's id nor a snapshot"],
    [[ROOT], ["i-00000001=/dev/xvda:vol-1,/dev/sdf:vol-00000001"], "neither a volume's id"],
    [[ROOT], ["i-00000001=/dev/xvda:snap-00000001,/dev/xvda:vol-00000002"], "/dev/xvda is named twice"],
    [[ROOT], ["i-00000001=/dev/xvda:snap-00000001,state=gone"], "state is running or stopped"],
    [[`${ROOT},started=yesterday`], [], "started is a time"],
    [[`${ROOT},pending-for=soon`], [], "soon"],
    [[`${ROOT},colour=red`], [], "is not a setting"],
  ];
  for (const [snapshots, instances, fault] of wrong) {
    const error = assertThrows(() => drillSpecs(snapshots, instances, NOW_MS), OperatorError, fault);
    assertEquals(error.code, "usage");
  }
});
