/** Segments: equal contents make equal bytes, so every other way to write the same blocks is refused. */
import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { createHash } from "node:crypto";
import { encodeCanonicalJson } from "../../src/format/canonical_json.ts";
import { sha256, zeroDigest } from "../../src/format/digests.ts";
import {
  countStates,
  decodeSegment,
  encodeSegment,
  MAX_SEGMENT_BYTES,
  plainBlock,
  type Segment,
  type SegmentBlock,
  segmentCount,
  segmentLength,
} from "../../src/format/segment.ts";
import { volumeShape } from "../../src/units.ts";
import { type Below, forRounds, pick } from "../seeded.ts";
import { assertRefused, bytesOf, digestOf, randomDigest, textOf } from "./refusals.ts";

const A = digestOf("a1");
const B = digestOf("b2");
const STATES = ["absent", "zero", "unreadable", "stored"] as const;

function decode(bytes: Uint8Array, blockCount: number): Segment {
  return decodeSegment(bytes, { name: "segment 3", blockCount, blockSizeBytes: 524_288 });
}

/** A document with these runs must be refused as segment of `blockCount` blocks. */
function refused(runs: unknown, blockCount: number, ...parts: string[]): void {
  const bytes = encodeCanonicalJson({ type: "coldcase-segment", version: 1, runs });
  assertRefused(() => decode(bytes, blockCount), "format", "Cannot read segment 3", ...parts);
}

/** Runs of random states and lengths, alone and long ones. */
function randomSegment(below: Below, length: number): Segment {
  const blocks: SegmentBlock[] = [];
  while (blocks.length < length) {
    const state = pick(below, STATES);
    const run = Math.min(length - blocks.length, 1 + below(pick(below, [1, 3, 1000])));
    for (let block = 0; block < run; block++) {
      blocks.push(state === "stored" ? { state, digest: randomDigest(below) } : plainBlock(state));
    }
  }
  return blocks;
}

Deno.test("decodeSegment() gives back what encodeSegment() took, and again the same bytes", () => {
  forRounds(60, (below) => {
    const length = pick(below, [1, 2, 63, 1000, 16_383, 16_384]);
    const blocks = randomSegment(below, Math.min(length, 1000 + below(400)));
    const bytes = encodeSegment(blocks);
    assertEquals(decode(bytes, blocks.length), blocks);
    assertEquals(encodeSegment(decode(bytes, blocks.length)), bytes);
    assertRefused(() => decode(bytes, blocks.length + 1), "format", `has ${blocks.length} blocks, expected`);
    if (blocks.length > 1) {
      assertRefused(() => decode(bytes, blocks.length - 1), "format", "ends after block");
    }
  });
});

Deno.test("encodeSegment() and decodeSegment() of 1, 16,383 and 16,384 blocks of each state", () => {
  for (const length of [1, 16_383, 16_384]) {
    for (const state of STATES) {
      const block: SegmentBlock = state === "stored" ? { state, digest: A } : plainBlock(state);
      const blocks = new Array<SegmentBlock>(length).fill(block);
      const decoded = decode(encodeSegment(blocks), length);
      assertEquals(decoded.length, length);
      assert(decoded.every((each) => each.state === state && each.digest === block.digest));
      assertEquals(countStates(decoded)[`${state}Blocks`], length);
    }
  }
});

Deno.test("encodeSegment() writes the text that store-format.md describes", () => {
  const blocks: Segment = [
    { state: "stored", digest: A },
    { state: "stored", digest: B },
    plainBlock("zero"),
    plainBlock("zero"),
    plainBlock("absent"),
    plainBlock("unreadable"),
    { state: "stored", digest: A },
  ];
  assertEquals(
    textOf(encodeSegment(blocks)),
    `{"runs":[{"digests":["${A}","${B}"],"state":"stored"},{"blocks":2,"state":"zero"},` +
      `{"blocks":1,"state":"absent"},{"blocks":1,"state":"unreadable"},{"digests":["${A}"],"state":"stored"}],` +
      '"type":"coldcase-segment","version":1}',
  );
  assertEquals(countStates(blocks), { absentBlocks: 1, zeroBlocks: 2, storedBlocks: 3, unreadableBlocks: 1 });
});

Deno.test("encodeSegment() stays under the limit at its longest, states alternating or all stored", () => {
  const stored: SegmentBlock = { state: "stored", digest: A };
  const alternating = Array.from({ length: 16_384 }, (_, at) => at % 2 ? stored : plainBlock("unreadable"));
  for (const blocks of [alternating, new Array<SegmentBlock>(16_384).fill(stored)]) {
    const bytes = encodeSegment(blocks);
    assert(bytes.length < MAX_SEGMENT_BYTES, `${bytes.length} bytes`);
    assertEquals(decode(bytes, 16_384).length, 16_384);
  }
});

Deno.test("encodeSegment() gives other bytes for each other state, digest or order", () => {
  const stored = (digest: typeof A): SegmentBlock => ({ state: "stored", digest });
  const segments: Segment[] = [
    [stored(A), stored(B)],
    [stored(B), stored(A)],
    [stored(A), plainBlock("zero")],
    [stored(A), plainBlock("absent")],
    [stored(A), plainBlock("unreadable")],
    [plainBlock("zero"), stored(A)],
    [stored(A)],
  ];
  assertEquals(new Set(segments.map((blocks) => sha256(encodeSegment(blocks)))).size, segments.length);
});

Deno.test("decodeSegment() refuses runs that are empty", () => {
  refused(
    [{ blocks: 0, state: "zero" }, { blocks: 2, state: "absent" }],
    2,
    "segment 3.runs[0].blocks: is 0",
  );
  refused([{ digests: [], state: "stored" }, { blocks: 2, state: "absent" }], 2, "run 0 is empty");
  refused([{ blocks: 2, state: "absent" }, { digests: [], state: "stored" }], 2, "run 1 is empty");
  refused([], 1, "has 0 blocks, expected 1");
});

Deno.test("decodeSegment() refuses a run that continues the one before it", () => {
  const one = { blocks: 1, state: "zero" };
  refused([one, one], 2, "run 1 continues the run before it");
  refused([{ digests: [A], state: "stored" }, { digests: [B], state: "stored" }], 2, "run 1 continues");
  refused([one, { blocks: 1, state: "absent" }, one, one], 4, "run 3 continues");
});

Deno.test("decodeSegment() refuses runs that do not add up to the segment's blocks", () => {
  refused([{ blocks: 3, state: "zero" }], 4, "has 3 blocks, expected 4");
  refused([{ blocks: 5, state: "zero" }], 4, "run 0 ends after block 5, the segment has 4");
  refused([{ blocks: 4, state: "zero" }, { blocks: 1, state: "absent" }], 4, "run 1 ends after block 5");
  refused([{ blocks: 16_384, state: "zero" }], 16_383, "ends after block 16384, the segment has 16383");
  refused([{ blocks: 16_385, state: "zero" }], 16_384, "an integer from 1 to 16384");
  refused([{ digests: new Array(16_385).fill(A), state: "stored" }], 16_384, "at most 16384 elements");
});

Deno.test("decodeSegment() refuses a stored block of zeros, of the volume's block size", () => {
  for (const blockSizeBytes of [512, 4096, 524_288]) {
    const zeros = createHash("sha256").update(new Uint8Array(blockSizeBytes)).digest("hex");
    assertEquals<string>(zeroDigest(blockSizeBytes), zeros);
    const runs = [{ digests: [A, zeros], state: "stored" }];
    const bytes = encodeCanonicalJson({ type: "coldcase-segment", version: 1, runs });
    const options = { name: "segment 3", blockCount: 2, blockSizeBytes };
    assertRefused(() => decodeSegment(bytes, options), "format", 'segment 3: block 1 is zeros but "stored"');
    assertEquals(decodeSegment(bytes, { ...options, blockSizeBytes: 1024 }).length, 2);
  }
});

Deno.test("decodeSegment() refuses other states, members, digests, types and versions", () => {
  refused([{ blocks: 1, state: "stored" }], 1, 'runs[0].state: is "stored"');
  refused([{ blocks: 1, state: "damaged" }], 1, "runs[0].state");
  refused([{ digests: [A], state: "zero" }], 1, "runs[0].state");
  refused([{ blocks: 1, digests: [A], state: "stored" }], 1, "runs[0].blocks");
  refused([{ blocks: 1, note: "", state: "zero" }], 1, "runs[0].note");
  refused([{ digests: [A.toUpperCase()], state: "stored" }], 1, "runs[0].digests[0]");
  refused([{ digests: "a", state: "stored" }], 1, "runs[0].digests");
  refused([null], 1, "runs[0]");
  refused({}, 1, "segment 3.runs");
  const runs = '"runs":[{"blocks":1,"state":"zero"}]';
  const documents: [string, string][] = [
    [`{${runs},"type":"coldcase-segment","version":2}`, "segment 3.version: is 2"],
    [`{${runs},"type":"coldcase-manifest","version":1}`, "segment 3.type"],
    [`{${runs},"type":"coldcase-segment"}`, "segment 3.version"],
    ['{"type":"coldcase-segment","version":1}', "segment 3.runs"],
    [`{"at":"now",${runs},"type":"coldcase-segment","version":1}`, "segment 3.at"],
    [`{${runs},"type":"coldcase-segment","version":1}\n`, "canonical JSON"],
  ];
  for (const [document, fault] of documents) {
    assertRefused(() => decode(bytesOf(document), 1), "format", fault);
  }
});

Deno.test("segmentCount() and segmentLength() of volumes that do and do not fill their last segment", () => {
  const cases: [number, number, number, number][] = [
    // GiB, block size, segments, blocks of the last
    [1, 524_288, 1, 2048],
    [8, 524_288, 1, 16_384],
    [9, 524_288, 2, 2048],
    [65_536, 524_288, 8192, 16_384],
    [1, 512, 128, 16_384],
    [1, 16_777_216, 1, 64],
  ];
  for (const [volumeSizeGib, blockSizeBytes, segments, last] of cases) {
    const shape = volumeShape({ blockSizeBytes, volumeSizeGib });
    assert(typeof shape !== "string");
    assertEquals(segmentCount(shape), segments);
    assertEquals(segmentLength(shape, segments - 1), last);
    if (segments > 1) assertEquals(segmentLength(shape, 0), 16_384);
  }
  const odd = { blockSizeBytes: 512, volumeSizeGib: 1, blockCount: 16_385 };
  assertEquals([segmentCount(odd), segmentLength(odd, 0), segmentLength(odd, 1)], [2, 16_384, 1]);
  assertNotEquals(segmentCount({ ...odd, blockCount: 16_384 }), 2);
});
