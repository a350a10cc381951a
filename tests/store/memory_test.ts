/**
 * The largest volume there is, 64 TiB in 134,217,728 blocks, with some hundred scattered blocks: what a store
 * takes of the memory must not depend on the volume's size. In a process of its own, so that its peak is known.
 */
import { assert, assertEquals } from "@std/assert";
import { MAX_BLOCKS } from "../../src/model.ts";
import { withFolder } from "./fixtures.ts";

const MAX_RESIDENT_MIB = 512;

/** Runs in the subprocess; prints one line of JSON. */
function program(root: string): string {
  const module = (name: string) => JSON.stringify(new URL(name, import.meta.url).href);
  return `
    import { acquireAt, pattern, reading, seeded, shapeOf } from ${module("./fixtures.ts")};
    const root = ${JSON.stringify(root)};
    const shape = shapeOf(1 << 19, 65536);
    const next = seeded(64);
    const indexes = [0, shape.blockCount - 1];
    while (indexes.length < 300) indexes.push(next() % shape.blockCount);
    const volume = new Map(indexes.map((index) => [index, pattern(index, 1 << 19)]));
    const started = performance.now();
    const id = await acquireAt(root, { volume, shape, flushEvery: 100 });
    const committed = performance.now();
    const [read, runs] = await reading(root, async (store) => {
      const exhibit = await store.exhibit(id);
      for (const [index, bytes] of volume) {
        if (Buffer.compare(await exhibit.readBlock(index), bytes) !== 0) throw new Error("block " + index);
      }
      let runs = 0;
      for await (const run of exhibit.runs(shape.blockCount - 16384 * 100)) runs += run.blockCount;
      return [exhibit.manifest.counts.storedBlocks, runs];
    });
    // Linux: the most that was ever resident. Other systems: what is now.
    let peak = Deno.memoryUsage().rss;
    try {
      peak = Number(/VmHWM:\\s*(\\d+) kB/.exec(Deno.readTextFileSync("/proc/self/status"))[1]) * 1024;
    } catch { /* no such file */ }
    const heldMib = volume.size / 2;
    console.log(JSON.stringify({ blocks: shape.blockCount, put: volume.size, read, runs, peakMib: peak >> 20, heldMib,
      commitMs: Math.round(committed - started), readMs: Math.round(performance.now() - committed) }));
  `.replace("import {", 'import { Buffer } from "node:buffer"; import {');
}

Deno.test("Store holds a volume of 64 TiB in less than 512 MiB of memory", () =>
  withFolder(async (root) => {
    const child = new Deno.Command(Deno.execPath(), {
      args: ["eval", "--no-check", program(`${root}/store`)],
    });
    const { stdout, stderr } = await child.output();
    const decoder = new TextDecoder();
    const line = decoder.decode(stdout).trim();
    assert(line.startsWith("{"), decoder.decode(stderr));
    // deno-lint-ignore no-console
    console.log(line);
    const result = JSON.parse(line);
    assertEquals(result.blocks, MAX_BLOCKS);
    assertEquals([result.read, result.runs], [result.put, 16_384 * 100]);
    assert(result.peakMib < MAX_RESIDENT_MIB, line);
  }, { onDisk: true }));
