/** What the custody log has of a command line: everything but digests of contents. */
import { assertEquals } from "@std/assert";
import { withoutDigests } from "../../src/commands/_command_line.ts";

const DIGEST = "3f9a12bc".repeat(8);
const KNOWN = new Map([[DIGEST, "image digest of ex-1"], ["abcdef1", "evidence number or image digest"]]);

Deno.test("withoutDigests() replaces what is the start of a known digest", () => {
  const masked = (word: string) => withoutDigests(["info", word], KNOWN)[1];
  for (const length of [6, 7, 63, 64]) {
    assertEquals(masked(DIGEST.slice(0, length)), "(image digest of ex-1)");
  }
  assertEquals(masked(`--parent=${DIGEST.slice(0, 12)}`), "--parent=(image digest of ex-1)");
  assertEquals(masked("abcdef1"), "(evidence number or image digest)");
});

Deno.test("withoutDigests() leaves everything else as it was typed", () => {
  const words = [
    "3f9a1",
    `${DIGEST}0`,
    DIGEST.toUpperCase(),
    "3f9a13",
    "ex-3f9a12bc3f9a12bc",
    "--parent",
    `/mnt/${DIGEST}`,
    "",
  ];
  assertEquals(withoutDigests(words, KNOWN), words);
});
