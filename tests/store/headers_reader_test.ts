/**
 * Headers of a very large exhibit are found part by part: what is read and kept stays bounded, whatever the order.
 */
import { assert, assertEquals } from "@std/assert";
import { Buffer } from "node:buffer";
import { sha256 } from "../../src/format/digests.ts";
import { type AddedHeader, encodeHeaders, HeadersPart, MAX_HEADERS_BYTES } from "../../src/format/headers.ts";
import type { ExhibitId, ObjectName } from "../../src/model.ts";
import { HeadersReader } from "../../src/store/_headers.ts";
import { headersName, packName } from "../../src/store/_layout.ts";
import { randomBytes, seededBelow } from "../seeded.ts";

Deno.test("HeadersReader finds each of 100,000 headers and keeps a few parts in memory", async () => {
  const next = seededBelow(5);
  const names = Array.from({ length: 100_000 }, () => packName(sha256(randomBytes(next, 8)), ".age")).sort();
  const files = new Map<ObjectName, Uint8Array>();
  const put = (part: readonly AddedHeader[]) => {
    const headers = {
      exhibit: "ex-000000000000002a" as ExhibitId,
      commitment: sha256(new Uint8Array(0)),
      madeAt: "2026-01-02T03:04:05.000Z",
      opens: "contents" as const,
      recipients: ["age1bob"],
      files: part,
    };
    const bytes = encodeHeaders(headers);
    files.set(headersName(headers.exhibit, sha256(bytes)), bytes);
  };
  const part = new HeadersPart();
  const headerOf = (name: ObjectName) => new TextEncoder().encode(`${name.slice(9, 25)}${"x".repeat(150)}`);
  for (const name of names) {
    const full = part.add({ name, offsetBytes: 168, header: headerOf(name) });
    if (full) put(full);
  }
  put(part.take());
  let readBytes = 0;
  const refuse = () => Promise.reject(new Error("a reader writes"));
  const reader = new HeadersReader({
    put: refuse,
    putFile: refuse,
    read(name, { length }) {
      const bytes = files.get(name)!.subarray(0, length);
      readBytes += bytes.length;
      return Promise.resolve(bytes);
    },
    async *list() {
      for (const [name, bytes] of [...files].sort()) yield { name, sizeBytes: bytes.length };
    },
    stat(name) {
      const bytes = files.get(name);
      return Promise.resolve(bytes && { name, sizeBytes: bytes.length });
    },
  });
  const allBytes = [...files.values()].reduce((sum, bytes) => sum + bytes.length, 0);
  for (const name of names) {
    const [found, ...others] = await reader.of(name);
    assert(found && others.length === 0, name);
    assert(Buffer.compare(found.header, headerOf(name)) === 0, name);
  }
  // In order, each part is read once to learn what it has, and once more when its turn comes.
  assert(
    files.size >= 8 && readBytes <= 2 * allBytes,
    `${files.size} parts, ${readBytes} of ${allBytes} bytes`,
  );
  assertEquals(await reader.of(packName(sha256(new Uint8Array(9)), ".age")), []);
  // In any order, a part at a time.
  for (let round = 0; round < 40; round++) {
    const name = names[next(names.length)]!;
    assertEquals((await reader.of(name)).map((found) => found.name), [name]);
  }
  assert(readBytes <= 2 * allBytes + 41 * MAX_HEADERS_BYTES);
});
