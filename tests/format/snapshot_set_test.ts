/** Sets of an instance: what fits together is taken, in manifests and journals' heads, and nothing else. */
import { assertEquals } from "@std/assert";
import { encodeCanonicalJson } from "../../src/format/canonical_json.ts";
import { decodeJournalHead } from "../../src/format/journal.ts";
import { decodeManifest } from "../../src/format/manifest.ts";
import { describeSet, isSameSet, MAX_SET_SNAPSHOTS, type SetFacts } from "../../src/format/snapshot_set.ts";
import type { SnapshotId } from "../../src/model.ts";
import { assertRefused } from "./refusals.ts";
import { JOURNAL_HEAD, manifestOf, SNAPSHOT } from "./samples.ts";

const MANIFEST = manifestOf(9);
const SET = MANIFEST.acquisition.set!;
const [FIRST, SECOND] = [SET.snapshots[0]!, SET.snapshots[1]!];

/** Both documents that tell of a set, with this one. */
function bothWith(set: unknown): (() => SetFacts | null)[] {
  const manifest = { ...MANIFEST, acquisition: { ...MANIFEST.acquisition, set } };
  return [
    () => decodeManifest(encodeCanonicalJson(manifest), "manifest 1").acquisition.set,
    () => decodeJournalHead(encodeCanonicalJson({ ...JOURNAL_HEAD, set }), "head 1").set,
  ];
}

function refused(set: unknown, code: "format" | "integrity", ...parts: string[]): void {
  for (const decode of bothWith(set)) assertRefused(decode, code, ...parts);
}

Deno.test("decodeManifest() and decodeJournalHead() take a set that has the snapshot", () => {
  const sets: (SetFacts | null)[] = [
    null,
    SET,
    { ...SET, missingVolumes: null },
    { ...SET, missingVolumes: [] },
    { ...SET, snapshots: [FIRST] },
    { ...SET, knownBy: "image", startedAt: null },
    { ...SET, knownBy: "tag" },
    { ...SET, knownBy: "tag", startedAt: null },
    { ...SET, snapshots: [FIRST, { ...SECOND, volumeId: null }] },
    { ...SET, device: null, snapshots: [{ ...FIRST, device: null, volumeId: null }, SECOND] },
  ];
  for (const set of sets) for (const decode of bothWith(set)) assertEquals(decode(), set);
});

Deno.test("decodeManifest() and decodeJournalHead() refuse a set that does not fit together", () => {
  const other = { ...SECOND, snapshot: "snap-0123456789abcdef2" as SnapshotId };
  const wrong: [string, unknown][] = [
    [`has no ${SNAPSHOT}`, { ...SET, snapshots: [SECOND] }],
    [`has no ${SNAPSHOT}`, { ...SET, snapshots: [] }],
    [`tells two devices of ${SNAPSHOT}`, { ...SET, device: "/dev/sdb" }],
    [`tells two devices of ${SNAPSHOT}`, { ...SET, device: null }],
    [`has ${SNAPSHOT} twice or not in its place`, { ...SET, snapshots: [SECOND, FIRST] }],
    [`has ${SNAPSHOT} twice or not in its place`, { ...SET, snapshots: [FIRST, FIRST] }],
    [`has ${SECOND.volumeId} twice`, { ...SET, snapshots: [FIRST, SECOND, other] }],
    [`has ${FIRST.volumeId} twice`, {
      ...SET,
      missingVolumes: [{ device: null, volumeId: FIRST.volumeId }],
    }],
    ["misses vol-00000001 twice or not in its place", {
      ...SET,
      missingVolumes: ["vol-00000002", "vol-00000001"].map((volumeId) => ({ device: null, volumeId })),
    }],
    ["is known by a start time, and has none", { ...SET, startedAt: null }],
  ];
  for (const [fault, set] of wrong) refused(set, "integrity", "1: its set ", fault);
});

Deno.test("decodeManifest() and decodeJournalHead() refuse a set with what is none of its values", () => {
  const many = Array.from({ length: MAX_SET_SNAPSHOTS + 1 }, (_, at) => ({
    ...SECOND,
    snapshot: `snap-${String(at).padStart(8, "0")}`,
  }));
  const wrong: [string, unknown][] = [
    ["set.instance", { ...SET, instance: "web-1" }],
    ["set.knownBy", { ...SET, knownBy: "description" }],
    ["set.startedAt", { ...SET, startedAt: "2026-01-02" }],
    ["set.device", { ...SET, device: "x".repeat(65) }],
    ["set.device", { ...SET, device: "" }],
    ["set.device", { ...SET, device: "/dev/sda\u001b" }],
    ["set.device", { ...SET, device: "/dev/\u00e9" }],
    ["set.snapshots", { ...SET, snapshots: many }],
    ["set.snapshots[0].snapshot", { ...SET, snapshots: [{ ...FIRST, snapshot: "snap-1" }] }],
    ["set.snapshots[0].volumeId", { ...SET, snapshots: [{ ...FIRST, volumeId: "vol-X" }] }],
    ["set.missingVolumes[0].volumeId", { ...SET, missingVolumes: [{ device: null, volumeId: null }] }],
    ["set.complete", { ...SET, complete: true }],
  ];
  for (const [place, set] of wrong) refused(set, "format", place);
});

Deno.test("isSameSet() asks for the same snapshots of the same instance, whatever else is known of them", () => {
  assertEquals(isSameSet(SET, { ...SET, missingVolumes: null, device: null }), true);
  assertEquals(isSameSet(SET, { ...SET, instance: "i-00000001" }), false);
  assertEquals(isSameSet(SET, { ...SET, snapshots: [FIRST] }), false);
  assertEquals(
    isSameSet(SET, {
      ...SET,
      snapshots: [FIRST, { ...SECOND, snapshot: "snap-0123456789abcdef2" as SnapshotId }],
    }),
    false,
  );
});

Deno.test("describeSet() names instance, start and number, or a snapshot where there is no one start", () => {
  assertEquals(
    describeSet(SET),
    "the set of i-0123456789abcdef0 started 2026-01-02T03:04:05.678Z (2 snapshots)",
  );
  assertEquals(
    describeSet({ ...SET, snapshots: [FIRST], startedAt: null, knownBy: "image" }),
    `the set of i-0123456789abcdef0 with ${SNAPSHOT} (1 snapshot)`,
  );
});
