/** SHA-256 and the image digest, against texts written by hand and node:crypto. */
import { assertEquals } from "@std/assert";
import { createHash } from "node:crypto";
import { commitmentOf, imageDigest, Sha256, sha256, zeroDigest } from "../../src/format/digests.ts";
import { forRounds, randomBytes } from "../seeded.ts";
import { bytesOf, digestOf } from "./refusals.ts";

Deno.test("sha256() gives the digests of FIPS 180-4's examples", () => {
  const known: [string, string][] = [
    ["", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"],
    ["abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"],
    [
      "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
      "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1",
    ],
  ];
  for (const [text, digest] of known) assertEquals<string>(sha256(bytesOf(text)), digest);
});

Deno.test("Sha256 of pieces is sha256() of the whole, views of a larger buffer included", () => {
  forRounds(50, (below) => {
    const whole = randomBytes(below, below(5000));
    const hash = new Sha256();
    for (let at = 0; at < whole.length;) {
      const end = at + 1 + below(700);
      hash.update(whole.subarray(at, end));
      at = end;
    }
    assertEquals(hash.digest(), sha256(whole));
  });
});

Deno.test("zeroDigest() is the digest of that many zeros, asked once or again", () => {
  // From `head -c 524288 /dev/zero | sha256sum`.
  assertEquals<string>(
    zeroDigest(524_288),
    "07854d2fef297a06ba81685e660c332de36d5d18d546927d30daad6d7fda1541",
  );
  assertEquals(zeroDigest(512), zeroDigest(512));
  for (const size of [512, 4096, 2 ** 24]) assertEquals(zeroDigest(size), sha256(new Uint8Array(size)));
});

Deno.test("imageDigest() is SHA-256 of the text that store-format.md shows", () => {
  const [a, b] = [digestOf("a1"), digestOf("b2")];
  const text = "coldcase-image-v1\n524288 18432 16384\n" +
    "a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1\n" +
    "b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2\n";
  const expected = createHash("sha256").update(text, "ascii").digest("hex");
  const shape = { blockSizeBytes: 524_288, volumeSizeGib: 9, blockCount: 18_432 };
  assertEquals<string>(imageDigest(shape, [a, b]), expected);
  // What `printf 'coldcase-image-v1\n…' | sha256sum` says of that text.
  assertEquals(expected, "aec384a7f8c6fe9d9f4b02b031a65729b12788b3282586f043d0bb17167359e4");
});

Deno.test("imageDigest() is another for each other shape, digest, and order", () => {
  const [a, b] = [digestOf("a1"), digestOf("b2")];
  const shape = { blockSizeBytes: 524_288, volumeSizeGib: 9, blockCount: 18_432 };
  const digests = [
    imageDigest(shape, [a, b]),
    imageDigest(shape, [b, a]),
    imageDigest(shape, [a, a]),
    imageDigest(shape, [a]),
    imageDigest({ ...shape, blockCount: 18_433 }, [a, b]),
    imageDigest({ ...shape, blockSizeBytes: 262_144 }, [a, b]),
  ];
  assertEquals(new Set(digests).size, digests.length);
});

Deno.test("commitmentOf() is the digest of its two lines, and no digest of the manifest", () => {
  const manifest = digestOf("3a");
  const text = `coldcase-commitment-v1\n${manifest}\n`;
  assertEquals<string>(commitmentOf(manifest), createHash("sha256").update(text).digest("hex"));
  assertEquals(new Set([manifest, commitmentOf(manifest), commitmentOf(digestOf("3b"))]).size, 3);
});
