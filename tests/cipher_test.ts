/** packBlock() and unpackBlock(): what went in comes out, and a hostile frame costs no more than one block. */
import { assert, assertEquals, assertStrictEquals } from "@std/assert";
import { Buffer } from "node:buffer";
import { constants, zstdCompressSync } from "node:zlib";
import { packBlock, unpackBlock } from "../src/cipher.ts";
import { MIB } from "../src/units.ts";
import { assertRefused, bytesOf } from "./format/refusals.ts";
import { forRounds, pick, randomBytes, seededBelow } from "./seeded.ts";

/** One may be a Buffer, which is equal to no plain array for assertEquals(). */
function assertSameBytes(actual: Uint8Array, expected: Uint8Array): void {
  assertEquals(Buffer.compare(actual, expected), 0);
}

Deno.test("unpackBlock() gives back what packBlock() took", () => {
  forRounds(60, (below) => {
    const block = new Uint8Array(512 * 2 ** below(8));
    const noise = below(block.length + 1);
    block.set(randomBytes(below, noise), below(block.length - noise + 1));
    if (below(2) === 0) block.fill(below(256), below(block.length));
    const before = block.slice();
    const { codec, stored } = packBlock(block);
    assertEquals(block, before);
    assertSameBytes(unpackBlock(stored, { codec, blockBytes: block.length }), block);
    assert(codec === "raw" ? stored.length === block.length : stored.length < block.length * 31 / 32);
  });
});

Deno.test("packBlock() compresses what gets smaller, and gives a block of noise back itself", () => {
  const text = bytesOf("The quick brown fox jumps over the lazy dog.\n".repeat(20_000)).slice(0, 524_288);
  const packed = packBlock(text);
  assertEquals(packed.codec, "zstd");
  assert(packed.stored.length < 10_000);
  const noise = randomBytes(seededBelow(7), 524_288);
  const raw = packBlock(noise);
  assertEquals(raw.codec, "raw");
  assertStrictEquals(raw.stored, noise);
  assertStrictEquals(unpackBlock(raw.stored, { codec: "raw", blockBytes: 524_288 }), noise);
});

Deno.test("packBlock() keeps a block raw where zstd saves no more than 1/32 of it", () => {
  const below = seededBelow(11);
  const codecs = [0, 256, 512, 1024, 2048].map((zeros) => {
    const block = randomBytes(below, 32_768);
    block.fill(0, 0, zeros);
    return packBlock(block).codec;
  });
  assertEquals(codecs, ["raw", "raw", "raw", "raw", "zstd"]);
});

Deno.test("packBlock() and unpackBlock() of the smallest and the largest block", () => {
  for (const size of [512, 16 * MIB]) {
    for (const block of [new Uint8Array(size), bytesOf("0123456789abcde\n".repeat(size / 16))]) {
      const { codec, stored } = packBlock(block);
      assertEquals(codec, "zstd");
      assertEquals(unpackBlock(stored, { codec, blockBytes: size }).length, size);
    }
  }
});

Deno.test("unpackBlock() refuses a record that gives another length than a block", () => {
  const { stored } = packBlock(new Uint8Array(4096));
  for (const blockBytes of [512, 2048, 4095]) {
    assertRefused(
      () => unpackBlock(stored, { codec: "zstd", blockBytes }),
      "integrity",
      "Cannot decompress a record",
    );
  }
  for (const blockBytes of [4097, 8192]) {
    const parts = [`gives 4096 bytes, expected ${blockBytes}`];
    assertRefused(() => unpackBlock(stored, { codec: "zstd", blockBytes }), "integrity", ...parts);
  }
  for (const length of [0, 511, 513]) {
    const parts = [`gives ${length} bytes, expected 512`];
    assertRefused(
      () => unpackBlock(new Uint8Array(length), { codec: "raw", blockBytes: 512 }),
      "integrity",
      ...parts,
    );
  }
});

Deno.test("unpackBlock() stops a frame of a GiB of zeros at one block", () => {
  const bomb = zstdCompressSync(new Uint8Array(256 * MIB));
  const bombs = new Uint8Array(4 * bomb.length);
  for (let at = 0; at < bombs.length; at += bomb.length) bombs.set(bomb, at);
  assert(bombs.length < 200_000, `${bombs.length} bytes`);
  const before = Deno.memoryUsage().rss;
  const action = () => unpackBlock(bombs, { codec: "zstd", blockBytes: 524_288 });
  assertRefused(action, "integrity", "Cannot decompress a record");
  const taken = Deno.memoryUsage().rss - before;
  assert(taken < 32 * MIB, `took ${taken} bytes`);
});

Deno.test("unpackBlock() grants no frame a window above 8 MiB", () => {
  const block = randomBytes(seededBelow(3), 4096);
  const frame = (windowLog: number) => {
    const params = { [constants.ZSTD_c_windowLog]: windowLog, [constants.ZSTD_c_contentSizeFlag]: 0 };
    // Without its content's size in it a frame states its window.
    return zstdCompressSync(block, { params });
  };
  assertSameBytes(unpackBlock(frame(23), { codec: "zstd", blockBytes: 4096 }), block);
  // Magic, descriptor without single segment or content size, window descriptor of 2^27, one raw block.
  const wide = new Uint8Array([0x28, 0xb5, 0x2f, 0xfd, 0x00, (27 - 10) << 3, 0x01, 0x80, 0x00, ...block]);
  assertRefused(
    () => unpackBlock(wide, { codec: "zstd", blockBytes: 4096 }),
    "integrity",
    "Cannot decompress a record",
  );
  wide[5] = (23 - 10) << 3;
  assertSameBytes(unpackBlock(wide, { codec: "zstd", blockBytes: 4096 }), block);
});

Deno.test("unpackBlock() refuses what is no frame, and one that is cut off", () => {
  const block = bytesOf("0123456789abcde\n".repeat(256));
  const { stored } = packBlock(block);
  const record = { codec: "zstd", blockBytes: block.length } as const;
  const others = [
    new Uint8Array(0),
    bytesOf("not a frame at all"),
    stored.subarray(1),
    stored.subarray(0, 9),
    block,
  ];
  for (const other of others) assertRefused(() => unpackBlock(other, record), "integrity", "a record");
});

Deno.test("unpackBlock() gives other bytes, or refuses, where any one byte of a frame is another", () => {
  forRounds(300, (below) => {
    const block = bytesOf(pick(below, ["abc", "0123456789", "xyzzy "]).repeat(4096)).slice(0, 4096);
    const { stored } = packBlock(block);
    const damaged = stored.slice();
    damaged[below(damaged.length)]! ^= 1 + below(255);
    try {
      assertEquals(unpackBlock(damaged, { codec: "zstd", blockBytes: 4096 }).length, 4096);
    } catch (error) {
      assert(error instanceof Error && error.message.startsWith("Cannot "), String(error));
    }
  });
});

Deno.test("packBlock() writes exactly one frame, of whatever length", () => {
  const below = seededBelow(13);
  for (const size of [32_768, 65_536, 131_072, 524_288]) {
    for (let share = 0; share < 64; share++) {
      const block = new Uint8Array(size);
      block.set(randomBytes(below, Math.floor(size * share / 64)));
      const { codec, stored } = packBlock(block);
      // Refused where it is two, as Deno's own output is for some lengths.
      assertSameBytes(unpackBlock(stored, { codec, blockBytes: size }), block);
    }
  }
});

Deno.test("packBlock() writes exactly one frame where that just fills a buffer of 16 KiB", () => {
  const below = seededBelow(14);
  const words = Array.from({ length: 400 }, () => String.fromCharCode(...randomLetters(below, 2 + below(8))));
  const text = new TextEncoder().encode(
    Array.from({ length: 90_000 }, () => `${words[Math.min(below(400), below(400))]} `).join(""),
  ).subarray(0, 524_288);
  const noise = randomBytes(below, 100_000);
  const lengths = new Set<number>();
  // A byte of noise more is most of a byte of frame more, so that each length is met near this one.
  const near = lengthOfNoiseFor(11 * 16_384, (length) => withNoise(text, noise.subarray(0, length)));
  for (let length = near - 60; length < near + 60; length++) {
    const block = withNoise(text, noise.subarray(0, length));
    const { codec, stored } = packBlock(block);
    assertSameBytes(unpackBlock(stored, { codec, blockBytes: block.length }), block);
    lengths.add(stored.length);
  }
  assert(lengths.has(11 * 16_384), [...lengths].join());
});

function randomLetters(below: (limit: number) => number, count: number): number[] {
  return Array.from({ length: count }, () => 97 + below(26));
}

function withNoise(text: Uint8Array, noise: Uint8Array): Uint8Array {
  const block = text.slice();
  block.set(noise);
  return block;
}

/** How much noise makes the record as long as `recordBytes`, about. */
function lengthOfNoiseFor(recordBytes: number, blockOf: (length: number) => Uint8Array): number {
  let [low, high] = [0, 100_000];
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    if (packBlock(blockOf(middle)).stored.length < recordBytes) low = middle + 1;
    else high = middle;
  }
  return low;
}

Deno.test("unpackBlock() refuses bytes, frames and dictionaries beside the one frame", () => {
  const block = bytesOf("0123456789abcde\n".repeat(256));
  const { stored } = packBlock(block);
  const record = { codec: "zstd", blockBytes: block.length } as const;
  const emptyFrame = [0x28, 0xb5, 0x2f, 0xfd, 0x20, 0x00, 0x01, 0x00, 0x00];
  const skippable = [0x50, 0x2a, 0x4d, 0x18, 0x01, 0x00, 0x00, 0x00, 0x00];
  assertSameBytes(unpackBlock(stored, record), block);
  const others = [[...stored, 0], [...stored, ...emptyFrame], [...stored, ...skippable], [
    ...skippable,
    ...stored,
  ]];
  for (const other of others) {
    assertRefused(
      () => unpackBlock(new Uint8Array(other), record),
      "integrity",
      "Cannot decompress a record",
    );
  }
  // Without size and checksum: descriptor, window, one raw block.
  const plain = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x58, 0x01, 0x80, 0x00, ...block];
  assertSameBytes(unpackBlock(new Uint8Array(plain), record), block);
  const withDictionary = [...plain.slice(0, 4), 0x01, 0x58, 0x07, ...plain.slice(6)];
  assertRefused(() => unpackBlock(new Uint8Array(withDictionary), record), "integrity", "dictionary");
  assertRefused(
    () => unpackBlock(new Uint8Array([...plain, 0, 0, 0, 0]), record),
    "integrity",
    "ends at byte",
  );
  const withChecksum = zstdCompressSync(block, { params: { [constants.ZSTD_c_checksumFlag]: 1 } });
  assertSameBytes(unpackBlock(withChecksum, record), block);
  assertRefused(() => unpackBlock(withChecksum.subarray(0, -4), record), "integrity", "ends at byte");
});
