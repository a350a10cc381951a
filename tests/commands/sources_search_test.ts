/**
 * The search behind `sources` where there is more than is held: a million snapshots cost no more memory than ten
 * thousand, and those that are held are the newest.
 */
import { assertEquals, assertThrows } from "@std/assert";
import type { FoundSnapshot } from "../../src/aws/sources.ts";
import { MAX_LISTED, Search } from "../../src/commands/_sources_search.ts";
import { parseTag, parseWanted, tagFilters } from "../../src/commands/_sources_wanted.ts";
import { OperatorError } from "../../src/errors.ts";
import type { SnapshotId } from "../../src/model.ts";

const ACCOUNT = "123456789012";

/** The one that started in this minute. */
function snapshot(minute: number): FoundSnapshot {
  return {
    id: `snap-${minute.toString(16).padStart(17, "0")}` as SnapshotId,
    state: "completed",
    ownerAccount: ACCOUNT,
    volumeId: undefined,
    startedAt: new Date(Date.UTC(2020, 0, 1) + minute * 60_000).toISOString(),
    completedAt: undefined,
    storageTier: "standard",
    encrypted: false,
    kmsKeyId: undefined,
    description: undefined,
    tags: { Name: "n" },
    volumeSizeGib: 1,
  };
}

Deno.test("Search holds the newest ten thousand of any number, in order, and counts the others", async () => {
  const count = 60_000;
  // Neither ascending nor descending: 7,919 is prime to the count.
  async function* findSnapshots() {
    for (let at = 0; at < count; at += 1000) {
      yield Array.from({ length: 1000 }, (_, i) => snapshot((at + i) * 7919 % count));
    }
  }
  const looked: number[] = [];
  const search = new Search({
    source: { findSnapshots, findAttachments: () => Promise.reject(new Error("not asked")) },
    signal: new AbortController().signal,
    isShared: false,
    tags: [],
    account: ACCOUNT,
    onLooked: (count) => looked.push(count),
  });
  assertEquals((await search.find({ kind: "all" })).count, count);
  const held = search.snapshots();
  assertEquals(held.length, MAX_LISTED);
  assertEquals(search.leftOut, count - MAX_LISTED);
  assertEquals(looked, [10_000, 20_000, 40_000]);
  const newest = Array.from({ length: MAX_LISTED }, (_, at) => snapshot(count - 1 - at).id);
  assertEquals(held.map(({ id }) => id), newest);
});

Deno.test("parseWanted() tells ids from what is none", () => {
  for (const digits of ["01234567", "0123456789abcdef0"]) {
    assertEquals(parseWanted(`i-${digits}`), { kind: "instance", id: `i-${digits}` });
    assertEquals(parseWanted(`vol-${digits}`), { kind: "volume", id: `vol-${digits}` });
    assertEquals(parseWanted(`snap-${digits}`), { kind: "snapshot", id: `snap-${digits}` });
  }
  for (const text of ["", "i-0123456", "i-0123456789abcdef01", "ami-01234567", "i-0123456g", "I-01234567"]) {
    assertThrows(() => parseWanted(text), OperatorError, "Cannot read id");
  }
});

Deno.test("tagFilters() joins the values of one key, and keeps what stands behind the first =", () => {
  const tags = ["a=1", "b==", "a=2", "c="].map(parseTag);
  assertEquals(tagFilters(tags), [
    { name: "tag:a", values: ["1", "2"] },
    { name: "tag:b", values: ["="] },
    { name: "tag:c", values: [""] },
  ]);
});
