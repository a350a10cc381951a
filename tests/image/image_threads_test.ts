/** Digests and groups of chunks by worker threads: the same as without, and a failure is told to whoever waits. */
import { Buffer } from "node:buffer";
import { assert, assertEquals, assertRejects } from "@std/assert";
import { realDisk } from "../../src/world.ts";
import { DIGEST_NAMES } from "../../src/image/digests.ts";
import { GROUP_BYTES, PACKED_GROUP_BYTES, packGroup } from "../../src/image/ewf_chunks.ts";
import { inlinePackers, threadPackers } from "../../src/image/ewf_packers.ts";
import { inlineDigests, ThreadDigests } from "../../src/image/thread_digests.ts";
import { randomBytes, seededBelow } from "../seeded.ts";

Deno.test("ThreadDigests are those of this thread, however the bytes come", async () => {
  const below = seededBelow(3);
  for (const names of [DIGEST_NAMES, ["md5"], ["sha1", "sha256"], []] as const) {
    const [here, there] = [inlineDigests(names), new ThreadDigests(names)];
    try {
      assertEquals([there.isEmpty, here.isEmpty], [names.length === 0, names.length === 0]);
      for (let round = 0; round < 60; round++) {
        const bytes = randomBytes(below, below(3) === 0 ? 1_200_000 : below(5000));
        const zeros = below(2_000_000);
        await there.update(bytes);
        await here.update(bytes);
        // They are the caller's again.
        bytes.fill(0);
        await there.updateZeros(zeros);
        await here.updateZeros(zeros);
      }
      const end = randomBytes(below, 512);
      assertEquals(await there.followedBy(end), await here.followedBy(end));
      assertEquals(await there.finish(), await here.finish());
    } finally {
      there.close();
    }
  }
});

Deno.test("ThreadDigests that were closed give none", async () => {
  const digests = new ThreadDigests(["md5"]);
  await digests.update(new Uint8Array(100));
  digests.close();
  await assertRejects(() => digests.finish(), Error, "was closed");
});

Deno.test("threadPackers() give the groups of this thread, as many at once as they say", async () => {
  const below = seededBelow(4);
  const packers = threadPackers(2);
  try {
    for (let round = 0; round < 6; round++) {
      const groups = Array.from({ length: packers.count }, () => {
        const bytes = randomBytes(below, below(4) === 0 ? 1 + below(GROUP_BYTES) : GROUP_BYTES);
        // Some chunks of zeros, some that compress.
        return bytes.fill(below(2), below(bytes.length));
      });
      const packed = await Promise.all(groups.map((bytes) => packers.pack(bytes)));
      packed.forEach(({ sizes, bytes, release }, index) => {
        const into = new Uint8Array(PACKED_GROUP_BYTES);
        const expected = packGroup(groups[index]!, into);
        const length = expected.reduce((sum, size) => sum + size % 2 ** 31, 0);
        assertEquals(sizes, expected);
        assertEquals(Buffer.compare(bytes.subarray(0, length), into.subarray(0, length)), 0);
        release();
      });
    }
  } finally {
    packers.close();
  }
});

Deno.test("packers tell a file that can't be read, in this thread and in another", async () => {
  for (const packers of [inlinePackers(realDisk), threadPackers(1)]) {
    try {
      const error = await assertRejects(() => packers.fileSha256("/no/such/file"), Error);
      assert(/no such file/i.test(error.message), error.message);
    } finally {
      packers.close();
    }
  }
});
