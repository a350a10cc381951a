/**
 * Recipients, identities and headers; whole files through `encryptAge()` and `decryptAge()`. That headers are
 * age's own is for the official vectors (cipher_age_vectors_test.ts) and the age program (interop/age_test.ts).
 */
import { assert, assertEquals, assertNotEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { armor } from "age-encryption";
import { Buffer } from "node:buffer";
import {
  decodeAgeHeader,
  decryptAge,
  encryptAge,
  hasMacOf,
  Identities,
  makeIdentity,
  type NewIdentity,
  openAge,
  readAgeHeader,
  Recipients,
} from "../src/cipher_age.ts";
import type { ReadableFile } from "../src/cipher_age_payload.ts";
import { type ErrorCode, OperatorError } from "../src/errors.ts";
import { realRandomness } from "../src/world.ts";
import { assertRefused, bytesOf, textOf } from "./format/refusals.ts";
import { randomBytes, seededBelow } from "./seeded.ts";

const ALICE = await makeIdentity("x25519");
const BOB = await makeIdentity("x25519");
const QUANTUM = await makeIdentity("post-quantum");
const TEXT = bytesOf("what the disk had\n");
/** A hardware key's, P-256: the public half of 32 bytes of 7. */
const TAG = "age1tag1qv0ps5e06365cqhnqswecawwkvac8l7crtruunlgstxtrjvtckykuxc64jj";

const given = (...texts: readonly string[]) =>
  texts.map((text, index) => ({ text, place: `-r ${index + 1}` }));
const recipientsOf = (...identities: readonly NewIdentity[]) =>
  Recipients.of(given(...identities.map(({ recipient }) => recipient)));
const identitiesOf = (...identities: readonly NewIdentity[]) =>
  Identities.of(identities.map(({ secret }, index) => ({ secret, place: `-i ${index + 1}` })));

async function encrypted(...identities: readonly NewIdentity[]): Promise<Uint8Array> {
  return await encryptAge(TEXT, {
    recipients: await recipientsOf(...identities),
    randomness: realRandomness,
  });
}

async function decrypted(
  file: Uint8Array,
  identities: Identities,
  options: { readonly maxBytes?: number; readonly acceptsArmor?: boolean } = {},
): Promise<string> {
  return textOf(await decryptAge(file, { identities, name: "a/b.age", maxBytes: 1000, ...options }));
}

/** The refusal, of which no part is one of the secrets of this file. */
async function refusal(code: ErrorCode, act: () => Promise<unknown>): Promise<OperatorError> {
  const error = await assertRejects(act, OperatorError);
  assertEquals(error.code, code, error.message);
  const said = [error.message, ...error.hints, JSON.stringify(error.facts), String(error.cause)].join("\n");
  for (const { secret } of [ALICE, BOB, QUANTUM]) {
    for (const part of [secret.slice(20, 40), secret.slice(-12)]) {
      assert(!said.toUpperCase().includes(part), `a secret in: ${said}`);
    }
  }
  return error;
}

function fileOf(bytes: Uint8Array): ReadableFile & { isClosed: boolean } {
  return {
    isClosed: false,
    sizeBytes: () => bytes.length,
    read(into, offset) {
      const part = bytes.subarray(offset, offset + into.length);
      into.set(part);
      return part.length;
    },
    close() {
      this.isClosed = true;
    },
  };
}

Deno.test("encryptAge() makes files that each recipient opens alone, and nobody else", async () => {
  const file = await encrypted(ALICE, BOB);
  for (const identity of [ALICE, BOB]) {
    assertEquals(await decrypted(file, await identitiesOf(identity)), textOf(TEXT));
  }
  const quantum = await encrypted(QUANTUM);
  assertEquals(await decrypted(quantum, await identitiesOf(ALICE, QUANTUM)), textOf(TEXT));
  await refusal("identity", async () => await decrypted(quantum, await identitiesOf(ALICE, BOB)));
});

Deno.test("newHeader() has another file key and another header each time", async () => {
  const recipients = await recipientsOf(ALICE);
  const [one, two] = [await recipients.newHeader(), await recipients.newHeader()];
  assertEquals(one.fileKey.length, 16);
  assertNotEquals(one.fileKey, two.fileKey);
  assertNotEquals(one.bytes, two.bytes);
  const identities = await identitiesOf(BOB, ALICE);
  for (const { bytes, fileKey } of [one, two]) {
    assertEquals(await identities.openHeader(decodeAgeHeader(bytes, "x"), "x"), fileKey);
  }
});

Deno.test("openHeader() is for many headers at once", async () => {
  const recipients = await recipientsOf(BOB, ALICE);
  const identities = await identitiesOf(ALICE);
  const headers = await Promise.all(Array.from({ length: 40 }, () => recipients.newHeader()));
  const keys = await Promise.all(
    headers.map(({ bytes }) => identities.openHeader(decodeAgeHeader(bytes, "x"), "x")),
  );
  assertEquals(keys, headers.map(({ fileKey }) => fileKey));
});

Deno.test("openHeader() says how many identities were tried, and what the recipients are", async () => {
  const file = await encrypted(ALICE);
  const stranger = await makeIdentity("x25519");
  const cases = [
    [await identitiesOf(), "no identity was given, it has 1 recipient (X25519)", 0],
    [await identitiesOf(BOB), "the one identity does not fit, it has 1 recipient (X25519)", 1],
    [await identitiesOf(BOB, QUANTUM, stranger), "none of 3 identities fits", 3],
    [await identitiesOf(BOB, BOB), "the one identity does not fit", 1],
  ] as const;
  for (const [identities, says, count] of cases) {
    const error = await refusal("identity", () => decrypted(file, identities));
    assertStringIncludes(error.message, `Cannot decrypt "a/b.age": ${says}`);
    assertEquals(error.facts, {
      file: "a/b.age",
      identities: count,
      recipients: 1,
      recipientKinds: "X25519",
    });
  }
});

Deno.test("openHeader() refuses a header of which any byte was changed", async () => {
  const file = await encrypted(ALICE, BOB);
  const { bytes } = decodeAgeHeader(file, "x");
  const identities = await identitiesOf(ALICE, BOB);
  const seen = new Set<ErrorCode>();
  for (let at = 0; at < bytes.length; at++) {
    const changed = file.slice();
    changed[at]! ^= 1;
    const error = await assertRejects(() => decrypted(changed, identities), OperatorError);
    seen.add(error.code);
  }
  assertEquals([...seen].sort(), ["format", "integrity"]);
});

Deno.test("openHeader() refuses a stanza added to a header, or taken out of it, as a change", async () => {
  const file = textOf(decodeAgeHeader(await encrypted(ALICE, BOB), "x").bytes);
  const [version, alice, aliceBody, bob, bobBody, mac] = file.split("\n");
  const identities = await identitiesOf(ALICE);
  const grease = ["-> grease x y", "AAAA"];
  for (
    const body of [[alice, aliceBody], [alice, aliceBody, bob, bobBody, ...grease], [
      bob,
      bobBody,
      alice,
      aliceBody,
    ]]
  ) {
    const header = decodeAgeHeader(bytesOf([version, ...body, mac, ""].join("\n")), "x");
    const error = await refusal("integrity", () => identities.openHeader(header, "x"));
    assertStringIncludes(error.message, "its header was changed");
  }
});

Deno.test("openHeader() refuses scrypt of more than 2^20 rounds before it takes the memory", async () => {
  const salt = Buffer.alloc(16).toString("base64").replace(/=+$/, "");
  const body = Buffer.alloc(32).toString("base64").replace(/=+$/, "");
  const mac = Buffer.alloc(32).toString("base64").replace(/=+$/, "");
  const identities = await Identities.of([], { passphrases: ["anything"] });
  for (const factor of ["21", "22", "31", "64", "999999999"]) {
    const text = `age-encryption.org/v1\n-> scrypt ${salt} ${factor}\n${body}\n--- ${mac}\n`;
    const header = decodeAgeHeader(bytesOf(text), "x");
    const error = await refusal("format", () => identities.openHeader(header, "x"));
    assertStringIncludes(error.message, "scrypt work factor is too high");
  }
});

Deno.test("decodeAgeHeader() takes a header of 64 stanzas and 64 KiB, and no more", () => {
  const mac = "A".repeat(43);
  const stanzas = (count: number, body = "") => `-> grease\n${body}\n`.repeat(count);
  const read = (text: string) => decodeAgeHeader(bytesOf(text), "x");
  assertEquals(read(`age-encryption.org/v1\n${stanzas(64)}--- ${mac}\nrest`).stanzaTypes.length, 64);
  const tooMany = `age-encryption.org/v1\n${stanzas(65)}--- ${mac}\n`;
  assertRefused(() => read(tooMany), "format", `"x"`, "of more than 64 stanzas");
  const fixed = `age-encryption.org/v1\n-> a\n\n--- ${mac}\n`.length;
  const longest = (spare: number) =>
    `age-encryption.org/v1\n-> a${" b".repeat((65_536 - fixed + spare) / 2)}\n\n`;
  const padded = longest(-(65_536 - fixed) % 2);
  assert(read(`${padded}--- ${mac}\n`).bytes.length >= 65_535);
  assertRefused(() => read(`${longest(2)}--- ${mac}\n`), "format", "longer than 65536 bytes");
  assertRefused(() => read(`${"x".repeat(70_000)}\n`), "format", "no age file's");
});

Deno.test("decodeAgeHeader() refuses what is no header, cut off or of another version", () => {
  const mac = "A".repeat(43);
  const cases: readonly (readonly [string, string])[] = [
    ["", "cut off"],
    ["age-encryption.org/v1", "cut off"],
    ["age-encryption.org/v1\n-> X25519 a\n", "cut off"],
    ["SQLite format 3", "no age file's"],
    ["SQLite\nformat 3", "no age file's"],
    [`age-encryption.org/v2\n-> a\n\n--- ${mac}\n`, "of version v2, expected v1"],
    [`age-encryption.org/v1\n--- ${mac}\n`, "without recipients"],
    [`age-encryption.org/v1\n-> a\n\n---\n`, "malformed in its last line"],
    [`age-encryption.org/v1\n-> a\n\n--- ${mac}=\n`, "malformed in its last line"],
    [`age-encryption.org/v1\n-> a\n\n--- ${"A".repeat(42)}B\n`, "malformed in its last line"],
    [`age-encryption.org/v1\n->\n\n--- ${mac}\n`, "malformed after stanza 0"],
    [`age-encryption.org/v1\n-> a  b\n\n--- ${mac}\n`, "malformed after stanza 0"],
    [`age-encryption.org/v1\n-> a\n\nmore\n--- ${mac}\n`, "malformed after stanza 1"],
    [`age-encryption.org/v1\n-> a\nAAAB=\n--- ${mac}\n`, "malformed in the body of stanza 1"],
    [`age-encryption.org/v1\n-> a\nAB\n--- ${mac}\n`, "malformed in the body of stanza 1"],
    [`age-encryption.org/v1\n-> a\n${"A".repeat(65)}\n--- ${mac}\n`, "malformed in the body of stanza 1"],
  ];
  for (const [text, says] of cases) {
    assertRefused(() => decodeAgeHeader(bytesOf(text), "x"), "format", says);
  }
});

Deno.test("readAgeHeader() finds the end of a long header, whatever follows it", async () => {
  const many = await Promise.all(Array.from({ length: 32 }, () => makeIdentity("post-quantum")));
  const { bytes } = await (await recipientsOf(...many)).newHeader();
  assert(bytes.length > 40_000);
  for (const rest of [new Uint8Array(0), new Uint8Array(100_000), bytesOf(`\n--- ${"A".repeat(43)}\n`)]) {
    const header = readAgeHeader(fileOf(Buffer.concat([bytes, rest])), "x");
    assertEquals(Buffer.compare(header.bytes, bytes), 0);
    assertEquals(header.stanzaTypes, Array.from({ length: 32 }, () => "mlkem768x25519"));
  }
});

Deno.test("openAge() reads an open file anywhere, and leaves it open where nothing fits", async () => {
  const below = seededBelow(1);
  const plaintext = randomBytes(below, 200_000);
  const recipients = await recipientsOf(ALICE);
  const bytes = await encryptAge(plaintext, { recipients, randomness: realRandomness });
  const file = fileOf(bytes);
  await refusal(
    "identity",
    async () => await openAge(file, { identities: await identitiesOf(BOB), name: "x" }),
  );
  assert(!file.isClosed);
  const reader = await openAge(file, { identities: await identitiesOf(ALICE), name: "x" });
  assertEquals(reader.sizeBytes(), plaintext.length);
  const footer = new Uint8Array(1000);
  assertEquals(reader.read(footer, 199_500), 500);
  assertEquals(Buffer.compare(footer.subarray(0, 500), plaintext.subarray(199_500)), 0);
  reader.close();
  assert(file.isClosed);
});

Deno.test("decryptAge() makes no more plaintext than was allowed, and takes armor only where it was", async () => {
  const file = await encrypted(ALICE);
  const identities = await identitiesOf(ALICE);
  assertEquals(await decrypted(file, identities, { maxBytes: TEXT.length }), textOf(TEXT));
  const error = await refusal("format", () => decrypted(file, identities, { maxBytes: TEXT.length - 1 }));
  assertStringIncludes(error.message, `it has ${TEXT.length} bytes, expected at most ${TEXT.length - 1}`);
  const armored = bytesOf(` \r\n${armor.encode(file)}\n`);
  assertEquals(await decrypted(armored, identities, { acceptsArmor: true }), textOf(TEXT));
  await refusal("format", () => decrypted(armored, identities));
  const outlandish = Buffer.concat([armored, Buffer.from([0xa0])]);
  await refusal("format", () => decrypted(outlandish, identities, { acceptsArmor: true }));
});

Deno.test("Recipients.of() keeps their order, each once, and knows a single one", async () => {
  const both = await Recipients.of(given(BOB.recipient, ALICE.recipient, BOB.recipient));
  assertEquals(both.list, [BOB.recipient, ALICE.recipient]);
  assert(!both.isSingle);
  assert(!both.isPostQuantum);
  assert((await Recipients.of(given(BOB.recipient, BOB.recipient))).isSingle);
  assert((await recipientsOf(QUANTUM)).isPostQuantum);
});

Deno.test("newHeader() wraps for hardware keys too, beside X25519 but not beside post-quantum ones", async () => {
  const { bytes, fileKey } = await (await Recipients.of(given(TAG, ALICE.recipient))).newHeader();
  const header = decodeAgeHeader(bytes, "x");
  assertEquals(header.stanzaTypes, ["p256tag", "X25519"]);
  assertEquals(await (await identitiesOf(ALICE)).openHeader(header, "x"), fileKey);
  await refusal("usage", () => Recipients.of(given(TAG, QUANTUM.recipient)));
});

Deno.test("Recipients.of() refuses none, and more than 32", async () => {
  await refusal("usage", () => Recipients.of([]));
  const many = await Promise.all(Array.from({ length: 33 }, () => makeIdentity("x25519")));
  assertEquals((await recipientsOf(...many.slice(1))).list.length, 32);
  const error = await refusal("usage", () => recipientsOf(...many));
  assertStringIncludes(error.message, "33 recipients were given, expected 1 to 32");
});

Deno.test("Recipients.of() never mixes post-quantum recipients with others", async () => {
  for (const pair of [[ALICE, QUANTUM], [QUANTUM, BOB]] as const) {
    const error = await refusal("usage", () => recipientsOf(...pair));
    const [quantum, other] = pair[0] === QUANTUM ? ["-r 1", "-r 2"] : ["-r 2", "-r 1"];
    assertStringIncludes(error.message, `recipients of ${quantum} and ${other}: the first is post-quantum`);
  }
});

Deno.test("Recipients.of() refuses what is no recipient, and says where it was given", async () => {
  const typo = ALICE.recipient.replace(/.$/, (last) => last === "q" ? "p" : "q");
  const cases: readonly (readonly [string, string])[] = [
    ["", "it is no age recipient"],
    ["alice@example.com", "it is no age recipient"],
    [typo, `"${typo}" is malformed`],
    [ALICE.recipient.toUpperCase(), "it is no age recipient"],
    [ALICE.recipient.slice(0, 30), "is malformed"],
    [QUANTUM.recipient.slice(0, 200), "is malformed"],
    [`${TAG}q`, "is malformed"],
    [
      "age1yubikey1q2w7u3vpya839jxxuq8g0sedh3d740d4xvn639sqhr95ejj8vu3hyfumptt",
      `"age1yubikey1…" is for a plugin`,
    ],
    ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIE", "SSH keys are not supported"],
    ["ssh-rsa AAAAB3NzaC1yc2E", "SSH keys are not supported"],
  ];
  for (const [text, says] of cases) {
    const error = await refusal("usage", () => Recipients.of(given(ALICE.recipient, text)));
    assertStringIncludes(error.message, "the recipient of -r 2: ");
    assertStringIncludes(error.message, says);
  }
});

Deno.test("Recipients.of() refuses a point that gives everybody the same secret", async () => {
  // Bech32 of 32 bytes of zeros: well-formed, so that only trying it shows what it is.
  const zero = "age1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqq5cu47z";
  assertStringIncludes((await refusal("usage", () => Recipients.of(given(zero)))).message, "is malformed");
});

Deno.test("Recipients.of() does not repeat a secret key that was given for a recipient", async () => {
  const mistakes = [ALICE.secret, QUANTUM.secret, ALICE.secret.toLowerCase(), `x ${ALICE.secret}`];
  for (const mistake of mistakes) {
    const error = await refusal("usage", () => Recipients.of(given(mistake)));
    assertStringIncludes(error.message, "it is a secret key, expected a recipient");
  }
});

Deno.test("Identities.of() tells their recipients, each once", async () => {
  const identities = await identitiesOf(BOB, QUANTUM, BOB);
  assertEquals(identities.recipients, [BOB.recipient, QUANTUM.recipient]);
  assertEquals(identities.count, 2);
});

Deno.test("Identities.of() refuses a malformed identity without repeating it", async () => {
  const { secret } = ALICE;
  const typo = secret.replace(/.$/, (last) => last === "Q" ? "P" : "Q");
  for (
    const bad of [typo, secret.slice(0, -1), secret.toLowerCase(), `${secret}Q`, QUANTUM.secret.slice(0, -1)]
  ) {
    const error = await refusal("usage", () => Identities.of([{ secret: bad, place: `"k", line 3` }]));
    assertEquals(error.message, `Cannot use the identity of "k", line 3: it is malformed`);
  }
});

Deno.test("Recipients.headerFor() wraps the file key of a file that there is, for others", async () => {
  const file = await encrypted(ALICE);
  const old = decodeAgeHeader(file, "old");
  const fileKey = await (await identitiesOf(ALICE)).openHeader(old, "old");
  for (const others of [[BOB], [QUANTUM], [BOB, ALICE]]) {
    const header = await (await recipientsOf(...others)).headerFor(fileKey);
    assertEquals(decodeAgeHeader(header, "new").stanzaTypes.length, others.length);
    const joined = new Uint8Array(Buffer.concat([header, file.subarray(old.bytes.length)]));
    for (const other of others) {
      assertEquals(await decrypted(joined, await identitiesOf(other)), textOf(TEXT));
    }
  }
  const again = await (await recipientsOf(BOB)).headerFor(fileKey);
  assertNotEquals(
    again,
    await (await recipientsOf(BOB)).headerFor(fileKey),
    "an ephemeral key was used twice",
  );
});

Deno.test("Recipients.headerFor() takes 16 bytes", async () => {
  const recipients = await recipientsOf(BOB);
  for (const length of [0, 15, 17, 32]) {
    await assertRejects(() => recipients.headerFor(new Uint8Array(length)), Error, `${length} bytes`);
  }
});

Deno.test("hasMacOf() tells a header by its file key, and every change of it", async () => {
  const { bytes, fileKey } = await (await recipientsOf(ALICE)).newHeader();
  assert(hasMacOf(bytes, fileKey));
  assert(!hasMacOf(bytes, fileKey.map((byte, at) => at === 15 ? byte ^ 1 : byte)));
  for (let at = 0; at < bytes.length; at++) {
    if ([45, 2, 1].includes(bytes.length - at)) continue; // blank, stray bits, line feed: for decodeAgeHeader()
    assert(!hasMacOf(bytes.map((byte, index) => index === at ? byte ^ 1 : byte), fileKey), `byte ${at}`);
  }
  assert(!hasMacOf(new Uint8Array(3), fileKey));
});
