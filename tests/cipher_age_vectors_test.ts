/**
 * The official vectors of age's test kit (C2SP/CCTV), all of them: header through the library, payload through
 * the native code, as `decryptAge()` puts them together.
 */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { encodeHex } from "@std/encoding/hex";
import { armor } from "age-encryption";
import * as vectors from "cctv-age";
import { createHash } from "node:crypto";
import { inflateSync } from "node:zlib";
import { decodeAgeHeader, decryptAge, type GivenIdentity, Identities } from "../src/cipher_age.ts";
import { AGE_NONCE_BYTES, AgeChunks } from "../src/cipher_age_chunks.ts";
import { type ErrorCode, OperatorError } from "../src/errors.ts";
import { MIB } from "../src/units.ts";

interface Vector {
  readonly name: string;
  readonly expect: string;
  /** SHA-256 of the plaintext, or of what of it is sound. */
  readonly payload: string | undefined;
  readonly identities: readonly GivenIdentity[];
  readonly passphrases: readonly string[];
  readonly isArmored: boolean;
  readonly file: Uint8Array;
}

const KEYS = ["expect", "payload", "identity", "passphrase", "armored", "compressed", "file key", "comment"];

function decodeVector(name: string, bytes: Uint8Array): Vector {
  const text = new TextDecoder("latin1").decode(bytes);
  const end = text.indexOf("\n\n");
  const fields = text.slice(0, end).split("\n").map((line) => {
    const [key, ...value] = line.split(": ");
    assert(KEYS.includes(key!), `${name} has a field "${key}"`);
    return [key!, value.join(": ")] as const;
  });
  const all = (key: string) => fields.filter((field) => field[0] === key).map((field) => field[1]);
  const rest = bytes.slice(end + 2);
  const file = all("compressed")[0] === "zlib" ? new Uint8Array(inflateSync(rest)) : rest;
  const identities = all("identity").map((secret) => ({ secret, place: name }));
  const [expect, payload] = [all("expect")[0]!, all("payload")[0]];
  const isArmored = all("armored").includes("yes");
  return { name, expect, payload, identities, passphrases: all("passphrase"), isArmored, file };
}

const ALL = Object.entries<Uint8Array>(vectors).map(([name, bytes]) => decodeVector(name, bytes));

const CODES: Readonly<Record<string, readonly ErrorCode[]>> = {
  "no match": ["identity"],
  "HMAC failure": ["integrity"],
  "header failure": ["format"],
  "payload failure": ["integrity"],
  "armor failure": ["format"],
};

async function decrypt(vector: Vector): Promise<Uint8Array> {
  const identities = await Identities.of(vector.identities, { passphrases: vector.passphrases });
  const options = { identities, name: vector.name, maxBytes: 32 * MIB, acceptsArmor: true };
  return await decryptAge(vector.file, options);
}

/** What a program would have seen that reads the payload in order and believes each chunk that is sound. */
async function soundPrefix(vector: Vector): Promise<string> {
  const file = vector.isArmored ? armor.decode(new TextDecoder().decode(vector.file)) : vector.file;
  const header = decodeAgeHeader(file, vector.name);
  const identities = await Identities.of(vector.identities);
  const fileKey = await identities.openHeader(header, vector.name);
  const digest = createHash("sha256");
  const payload = file.subarray(header.bytes.length);
  if (payload.length < AGE_NONCE_BYTES) return digest.digest("hex");
  const chunks = new AgeChunks(fileKey, payload.subarray(0, AGE_NONCE_BYTES));
  for (let index = 0, at = AGE_NONCE_BYTES; at < payload.length; index++, at += 65_552) {
    const sealed = payload.subarray(at, at + 65_552);
    const isWhole = sealed.length === 65_552;
    const middle = isWhole ? chunks.open(sealed, { index, isLast: false }) : undefined;
    const last = middle === undefined ? chunks.open(sealed, { index, isLast: true }) : undefined;
    // An empty last chunk after others gives nothing, whatever its tag says.
    digest.update(middle ?? last ?? new Uint8Array(0));
    if (middle === undefined) break;
  }
  return digest.digest("hex");
}

Deno.test("the 143 vectors are there, of every kind", () => {
  assertEquals(ALL.length, 143);
  const kinds = Object.fromEntries(
    [...new Set(ALL.map(({ expect }) => expect))].sort().map((
      kind,
    ) => [kind, ALL.filter(({ expect }) => expect === kind).length]),
  );
  assertEquals(Object.keys(kinds), [...Object.keys(CODES), "success"].sort());
});

for (const vector of ALL) {
  Deno.test(`decryptAge() takes vector ${vector.name} for: ${vector.expect}`, async () => {
    if (vector.expect === "success") {
      const plaintext = await decrypt(vector);
      assertEquals(encodeHex(createHash("sha256").update(plaintext).digest()), vector.payload);
      return;
    }
    const error = await assertRejects(() => decrypt(vector), OperatorError);
    assert(CODES[vector.expect]!.includes(error.code), `${error.code}: ${error.message}`);
    if (vector.expect === "payload failure") assertEquals(await soundPrefix(vector), vector.payload);
  });
}
