/** Memory that is used again: never twice at once, never more than its bound. */
import { assertEquals, assertStrictEquals } from "@std/assert";
import { BlockBuffers } from "../src/buffers.ts";

const SIZE = 1024 * 1024;

Deno.test("BlockBuffers.take() makes no memory while some was given back", () => {
  const buffers = new BlockBuffers();
  const first = buffers.take(SIZE);
  first.fill(7);
  buffers.giveBack(first);
  const again = buffers.take(SIZE);
  assertEquals([again.length, again[0], again.at(-1)], [SIZE, 7, 7], "the same memory, as it was left");
  assertEquals(buffers.take(SIZE)[0], 0, "there was one only");
});

Deno.test("BlockBuffers.giveBack() leaves nothing to whoever gave", () => {
  const buffers = new BlockBuffers();
  const bytes = buffers.take(SIZE);
  const alias = bytes.subarray(10);
  buffers.giveBack(bytes);
  assertEquals([bytes.length, alias.length], [0, 0]);
  const next = buffers.take(SIZE);
  buffers.giveBack(bytes);
  assertEquals(buffers.take(SIZE).buffer === next.buffer, false, "given back twice, taken once");
});

Deno.test("BlockBuffers keep 32 MiB at the most, and no part of a larger piece of memory", () => {
  const buffers = new BlockBuffers();
  const taken = Array.from({ length: 40 }, () => buffers.take(SIZE).fill(1));
  for (const bytes of taken) buffers.giveBack(bytes);
  const marked = Array.from({ length: 40 }, () => buffers.take(SIZE)[0]);
  assertEquals(marked.filter((mark) => mark === 1).length, 32);

  const whole = new Uint8Array(2 * SIZE);
  buffers.giveBack(whole.subarray(0, SIZE));
  assertStrictEquals(whole.length, 2 * SIZE, "others' bytes stay");
});

Deno.test("BlockBuffers.take() of another size gives that size", () => {
  const buffers = new BlockBuffers();
  buffers.giveBack(buffers.take(SIZE));
  assertEquals(buffers.take(512).length, 512);
});
