/**
 * No byte of evidence changes unnoticed: one bit of every fourth byte of a store is flipped, of others in each run, one at a
 * time, and verify must find it and name the file. Of every byte: tests/storm; all eight bits: tests/slow.
 */
import { assert, assertEquals } from "@std/assert";
import { flipAll, flippedFiles } from "./flips.ts";

Deno.test("the flipped store has one of everything, in at most 32 KiB", async () => {
  const files = await flippedFiles();
  const sizeBytes = [...files.values()].reduce((sum, bytes) => sum + bytes.length, 0);
  assert(sizeBytes <= 32 * 1024, `${sizeBytes} bytes`);
  const count = (pattern: RegExp) => [...files.keys()].filter((name) => pattern.test(name)).length;
  const counts = {
    packs: count(/^packs\//),
    segments: count(/^segments\//),
    documents: count(/^documents\//),
    manifestSignatures: count(/\/manifest-.*\.(sshsig|ed25519)$/),
    inventorySignatures: count(/\/inventory-.*\.(sshsig|ed25519)$/),
    addenda: count(/\/addendum-.*\.json$/),
    receipts: count(/^receipts\/.*\.json$/),
    custodyEntries: count(/^custody\/.*\.json$/),
    tokens: count(/\.tst$/),
    keyFiles: count(/^keys\//),
    storeFiles: count(/^store\.json$/),
  };
  assertEquals(counts, {
    packs: 2,
    segments: 3,
    documents: 3,
    manifestSignatures: 4,
    inventorySignatures: 4,
    addenda: 2,
    receipts: 1,
    custodyEntries: 4,
    tokens: 1,
    keyFiles: 9,
    storeFiles: 1,
  });
});

Deno.test("verify finds one flipped bit of every fourth byte of a store, and names the file", async () => {
  const { flips, violations } = await flipAll(1, { share: 4 });
  assert(flips > 5000, `${flips} flips`);
  assertEquals(violations.length, 0, violations.slice(0, 40).join("\n"));
});
