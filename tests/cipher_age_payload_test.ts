/**
 * AgeWriter and AgeReader against each other and against the library's own payload code, at the edges of
 * chunks and at random; and what they refuse: every changed bit, every cut.
 */
import { assert, assertEquals, assertInstanceOf, assertThrows } from "@std/assert";
import { Decrypter, Encrypter, generateX25519Identity, identityToRecipient } from "age-encryption";
import { Buffer } from "node:buffer";
import { agePayloadSizeBytes, agePlaintextSizeBytes } from "../src/cipher_age_chunks.ts";
import { AgeReader, AgeWriter, type ReadableFile } from "../src/cipher_age_payload.ts";
import { OperatorError } from "../src/errors.ts";
import { type Below, forRounds, randomBytes, seededBelow } from "./seeded.ts";
import { assertRefused } from "./format/refusals.ts";

const CHUNK = 65_536;
const SIZES = [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK - 1, 2 * CHUNK, 2 * CHUNK + 1, 20 * CHUNK + 7];
const HEADER = new TextEncoder().encode("any header\n");

/** One buffer repeated: its bytes differ between chunks, and it is quick to make. */
function plaintextOf(below: Below, length: number): Uint8Array<ArrayBuffer> {
  const pattern = randomBytes(below, 10_007);
  const bytes = new Uint8Array(length);
  for (let at = 0; at < length; at += pattern.length) {
    bytes.set(pattern.subarray(0, Math.min(pattern.length, length - at)), at);
  }
  return bytes;
}

interface Written {
  readonly fileKey: Uint8Array;
  readonly file: Uint8Array;
}

/** Pushes parts of at most `partBytes`. */
function write(below: Below, plaintext: Uint8Array, partBytes = plaintext.length + 1): Written {
  const fileKey = randomBytes(below, 16);
  const nonce = randomBytes(below, 16);
  const writer = new AgeWriter({ bytes: HEADER, fileKey }, nonce);
  nonce.fill(0xee);
  const pieces: Uint8Array[] = [];
  for (let at = 0; at < plaintext.length;) {
    const part = plaintext.slice(at, at + 1 + below(partBytes));
    pieces.push(...writer.push(part));
    part.fill(0xee);
    at += part.length;
    assertEquals(writer.plaintextBytes, at);
  }
  pieces.push(...writer.finish());
  return { fileKey, file: Buffer.concat(pieces) };
}

interface WatchedFile extends ReadableFile {
  /** Bytes that were read. */
  readBytes: number;
  isClosed: boolean;
}

function fileOf(bytes: Uint8Array): WatchedFile {
  return {
    readBytes: 0,
    isClosed: false,
    sizeBytes: () => bytes.length,
    read(into, offset) {
      const part = bytes.subarray(offset, offset + into.length);
      into.set(part);
      this.readBytes += part.length;
      return part.length;
    },
    close() {
      this.isClosed = true;
    },
  };
}

function readerOf({ fileKey, file }: Written): AgeReader {
  return new AgeReader(fileOf(file), { fileKey, headerBytes: HEADER.length, name: "file" });
}

function readAll(reader: AgeReader): Uint8Array {
  const bytes = new Uint8Array(reader.sizeBytes());
  assertEquals(reader.read(bytes, 0), bytes.length);
  return bytes;
}

function assertSame(actual: Uint8Array, expected: Uint8Array): void {
  assertEquals(Buffer.compare(actual, expected), 0, "other bytes");
}

Deno.test("agePlaintextSizeBytes() turns agePayloadSizeBytes() around, and knows sizes that can't be", () => {
  for (const size of [...SIZES, 2 ** 40, 2 ** 46 + 1]) {
    assertEquals(agePlaintextSizeBytes(agePayloadSizeBytes(size)), size);
  }
  assertEquals(SIZES.slice(0, 6).map(agePayloadSizeBytes), [32, 33, 65_567, 65_568, 65_585, 131_119]);
  const possible = new Set(Array.from({ length: 2 * CHUNK + 2 }, (_, size) => agePayloadSizeBytes(size)));
  for (let size = 0; size <= agePayloadSizeBytes(2 * CHUNK + 1); size++) {
    assertEquals(agePlaintextSizeBytes(size) !== undefined, possible.has(size), `${size}`);
  }
});

Deno.test("AgeReader gives back what AgeWriter was given, at the edges of chunks and in any parts", () => {
  const below = seededBelow(1);
  for (const size of SIZES) {
    const plaintext = plaintextOf(below, size);
    for (const partBytes of [size + 1, 7 * CHUNK, CHUNK, 9000]) {
      const written = write(below, plaintext, partBytes);
      assertEquals(written.file.length, HEADER.length + agePayloadSizeBytes(size));
      assertSame(written.file.subarray(0, HEADER.length), HEADER);
      assertSame(readAll(readerOf(written)), plaintext);
    }
  }
});

Deno.test("AgeReader reads any range as a slice of the whole", () => {
  forRounds(30, (below) => {
    const size = below(2) === 0 ? below(5 * CHUNK) : Math.max(0, below(4) * CHUNK + below(3) - 1);
    const plaintext = plaintextOf(below, size);
    const reader = readerOf(write(below, plaintext, 1 + below(3 * CHUNK)));
    for (let read = 0; read < 30; read++) {
      const offset = below(size + 10);
      const length = below(3) === 0 ? below(3 * CHUNK) : below(300);
      const into = new Uint8Array(length).fill(0x55);
      const expected = plaintext.subarray(offset, offset + length);
      assertEquals(reader.read(into, offset), expected.length);
      assertSame(into.subarray(0, expected.length), expected);
      assert(into.subarray(expected.length).every((byte) => byte === 0x55), "wrote beyond the end");
    }
  });
});

Deno.test("AgeReader opens no more chunks than a range has, and none twice in a row", () => {
  const below = seededBelow(2);
  const { file: bytes, fileKey } = write(below, plaintextOf(below, 30 * CHUNK));
  const file = fileOf(bytes);
  const reader = new AgeReader(file, { fileKey, headerBytes: HEADER.length, name: "file" });
  const costOf = (offset: number, length: number) => {
    const before = file.readBytes;
    reader.read(new Uint8Array(length), offset);
    return (file.readBytes - before) / (CHUNK + 16);
  };
  assertEquals(file.readBytes, 16 + CHUNK + 16);
  assertEquals(costOf(30 * CHUNK - 100, 100), 0);
  assertEquals(costOf(5 * CHUNK + 10, 20), 1);
  assertEquals(costOf(5 * CHUNK + 30, 20), 0);
  assertEquals(costOf(6 * CHUNK - 1, 2), 1);
  assertEquals(costOf(7 * CHUNK, 8 * CHUNK), 8);
  assertEquals(costOf(15 * CHUNK - 1, 1), 0);
  assertEquals(costOf(0, 30 * CHUNK), 30);
  assertEquals(costOf(30 * CHUNK, 100), 0);
  reader.close();
  assert(file.isClosed);
});

Deno.test("the library's payload code reads what AgeWriter wrote, and the other way round", async () => {
  const below = seededBelow(3);
  const secret = await generateX25519Identity();
  const recipient = await identityToRecipient(secret);
  for (const size of SIZES.slice(0, 7)) {
    const plaintext = plaintextOf(below, size);
    let fileKey = new Uint8Array(0);
    const encrypter = new Encrypter();
    encrypter.addRecipient({
      wrapFileKey: (key) => {
        fileKey = key.slice();
        return [];
      },
    });
    encrypter.addRecipient(recipient);
    const theirs = await encrypter.encrypt(plaintext);
    const headerBytes = theirs.length - agePayloadSizeBytes(size);
    assertSame(readAll(new AgeReader(fileOf(theirs), { fileKey, headerBytes, name: "theirs" })), plaintext);
    const writer = new AgeWriter({ bytes: theirs.subarray(0, headerBytes), fileKey }, randomBytes(below, 16));
    const ours = Buffer.concat([...writer.push(plaintext), ...writer.finish()]);
    const decrypter = new Decrypter();
    decrypter.addIdentity(secret);
    assertSame(await decrypter.decrypt(new Uint8Array(ours)), plaintext);
  }
});

Deno.test("AgeReader refuses every changed bit of a small payload", () => {
  const below = seededBelow(4);
  for (const size of [0, 1, 100]) {
    const { file, fileKey } = write(below, randomBytes(below, size));
    for (let bit = HEADER.length * 8; bit < file.length * 8; bit++) {
      const changed = file.slice();
      changed[bit >> 3]! ^= 1 << (bit & 7);
      assertRefused(() => readerOf({ file: changed, fileKey }), "integrity", `"file"`, "chunk 0");
    }
  }
});

Deno.test("AgeReader refuses a bit changed anywhere, and says which chunk", () => {
  forRounds(40, (below) => {
    const plaintext = plaintextOf(below, 1 + below(4 * CHUNK));
    const { file, fileKey } = write(below, plaintext);
    const changed = file.slice();
    const place = HEADER.length + 16 + below(file.length - HEADER.length - 16);
    changed[place]! ^= 1 << below(8);
    const into = new Uint8Array(plaintext.length);
    const error = assertThrows(() => readerOf({ file: changed, fileKey }).read(into, 0), OperatorError);
    const chunk = Math.floor((place - HEADER.length - 16) / (CHUNK + 16));
    assertEquals(error.code, "integrity");
    assertEquals(error.facts.chunk, chunk);
    assertEquals(error.facts.offsetBytes, chunk * CHUNK);
    assertEquals(error.facts.lengthBytes, Math.min(CHUNK, plaintext.length - chunk * CHUNK));
    assert(into.subarray(chunk * CHUNK).every((byte) => byte === 0), "gave bytes that it did not check");
  });
});

Deno.test("AgeReader refuses a file that was cut off, at every edge of a chunk and beside it", () => {
  const below = seededBelow(5);
  for (const size of [0, 1, CHUNK, CHUNK + 1, 3 * CHUNK, 3 * CHUNK + 5]) {
    const { file, fileKey } = write(below, plaintextOf(below, size));
    const edges = [0, 1, 2, 3].flatMap((chunk) => {
      const edge = HEADER.length + 16 + chunk * (CHUNK + 16);
      return [edge - 17, edge - 16, edge - 1, edge, edge + 1, edge + 15, edge + 16, edge + 17];
    });
    for (const end of [...edges, file.length - 1].filter((edge) => edge < file.length)) {
      const code = end < HEADER.length + 16 ? "format" : "integrity";
      assertRefused(() => readerOf({ file: file.slice(0, end), fileKey }), code, `"file"`);
    }
    for (const more of [1, 16, 17, CHUNK, CHUNK + 16]) {
      const longer = Buffer.concat([file, new Uint8Array(more)]);
      assertRefused(() => readAll(readerOf({ file: longer, fileKey })), "integrity", `"file"`);
    }
  }
});

Deno.test("AgeReader says of a file that ends with a whole chunk that it is not the last", () => {
  const below = seededBelow(6);
  const { file, fileKey } = write(below, plaintextOf(below, 3 * CHUNK));
  const cut = file.slice(0, HEADER.length + 16 + 2 * (CHUNK + 16));
  const parts = ["chunk 1 (bytes 65536 to 131071 of the plaintext) is not the last one"];
  assertRefused(() => readerOf({ file: cut, fileKey }), "integrity", ...parts);
});

Deno.test("AgeReader refuses chunks that changed places, and chunks of another file", () => {
  const below = seededBelow(7);
  const one = write(below, plaintextOf(below, 4 * CHUNK));
  const other = write(below, plaintextOf(below, 4 * CHUNK));
  const start = HEADER.length + 16;
  const chunkOf = ({ file }: Written, index: number) =>
    file.slice(start + index * (CHUNK + 16), start + (index + 1) * (CHUNK + 16));
  for (const source of [chunkOf(one, 1), chunkOf(other, 0)]) {
    const changed = one.file.slice();
    changed.set(source, start);
    const reader = readerOf({ file: changed, fileKey: one.fileKey });
    assertRefused(() => readAll(reader), "integrity", "chunk 0 (bytes 0 to 65535 of the plaintext) fails");
    const sound = new Uint8Array(10);
    assertEquals(reader.read(sound, 2 * CHUNK), 10);
  }
});

Deno.test("AgeReader refuses a file that got shorter after it was opened", () => {
  const below = seededBelow(8);
  const { file: bytes, fileKey } = write(below, plaintextOf(below, 3 * CHUNK));
  const file = fileOf(bytes);
  const reader = new AgeReader(file, { fileKey, headerBytes: HEADER.length, name: "file" });
  const cut = fileOf(bytes.slice(0, 1000));
  file.read = cut.read.bind(cut);
  assertRefused(() => readAll(reader), "integrity", "it ends at byte 1000");
});

Deno.test("AgeReader gives nothing after close()", () => {
  const below = seededBelow(9);
  const reader = readerOf(write(below, plaintextOf(below, 3 * CHUNK)));
  reader.read(new Uint8Array(10), 0);
  reader.close();
  for (const offset of [0, CHUNK]) {
    assertRefused(() => reader.read(new Uint8Array(10), offset), "integrity", "fails authentication");
  }
});

Deno.test("AgeWriter takes nothing after finish(), nor a key or nonce of another length", () => {
  const writer = new AgeWriter({ bytes: HEADER, fileKey: new Uint8Array(16) }, new Uint8Array(16));
  writer.finish();
  assertThrows(() => writer.push(new Uint8Array(1)), Error, "after finish()");
  assertThrows(() => writer.finish(), Error, "after finish()");
  for (const [keyBytes, nonceBytes] of [[15, 16], [16, 12], [32, 16]] as const) {
    const header = { bytes: HEADER, fileKey: new Uint8Array(keyBytes) };
    assertInstanceOf(assertThrows(() => new AgeWriter(header, new Uint8Array(nonceBytes))), Error);
  }
});
