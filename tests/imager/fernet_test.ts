/**
 * Fernet tokens, and block files on a disk: what a token says when any byte of it is another, and when it is cut. Whether
 * tokens of others are opened is tested on Python's, in tests/interop/.
 */
import { assert, assertEquals } from "@std/assert";
import { createCipheriv, createHash, createHmac, pbkdf2Sync } from "node:crypto";
import { Buffer } from "node:buffer";
import { FernetKey, tokenBytes } from "../../src/imager/_fernet.ts";

const PASSWORD = { password: "correct horse", salt: "battery staple" };

/** A token as the specification has it. */
function tokenOf(contents: Uint8Array, version = 0x80): Uint8Array {
  const key = pbkdf2Sync(PASSWORD.password, PASSWORD.salt, 100_000, 32, "sha256");
  const iv = createHash("md5").update("an IV").digest();
  const cipher = createCipheriv("aes-128-cbc", key.subarray(16), iv);
  const head = Buffer.from([version, 0, 0, 0, 0, 0x5e, 0x66, 0x77, 0x88]);
  const signed = Buffer.concat([head, iv, cipher.update(contents), cipher.final()]);
  const hmac = createHmac("sha256", key.subarray(0, 16)).update(signed).digest();
  const text = Buffer.concat([signed, hmac]).toString("base64").replaceAll("+", "-").replaceAll("/", "_");
  return new TextEncoder().encode(text);
}

const CONTENTS = new TextEncoder().encode("a block, as good as any");

Deno.test("FernetKey.open() gives what is in a token of its key, and nothing of another's", () => {
  const opened = FernetKey.derive(PASSWORD).open(tokenOf(CONTENTS));
  assertEquals(opened, { state: "opened", bytes: Buffer.from(CONTENTS) });
  for (const other of [{ ...PASSWORD, password: "correct horsf" }, { ...PASSWORD, salt: "" }]) {
    assertEquals(FernetKey.derive(other).open(tokenOf(CONTENTS)).state, "not_authentic");
  }
});

Deno.test("FernetKey.open() refuses a token with any character changed, and one cut anywhere", () => {
  const key = FernetKey.derive(PASSWORD);
  const token = tokenOf(CONTENTS);
  for (let at = 0; at < token.length; at++) {
    const changed = token.slice();
    // Another one of the alphabet; the last one before the padding may say the same with other spare bits.
    changed[at] = changed[at] === 0x41 ? 0x42 : 0x41;
    const { state } = key.open(changed);
    const isSpare = Buffer.from(Buffer.from(changed).toString("latin1"), "base64url")
      .equals(Buffer.from(Buffer.from(token).toString("latin1"), "base64url"));
    assert(isSpare || state !== "opened", `character ${at}`);
    assert(key.open(token.subarray(0, at)).state !== "opened", `cut to ${at}`);
  }
  for (const text of ["", "=", "====", "not a token!", "AAAA", "A".repeat(200), "gAAAAA\n"]) {
    assertEquals(key.open(new TextEncoder().encode(text)).state, "malformed", text);
  }
  assertEquals(key.open(tokenOf(CONTENTS, 0x81)).state, "malformed");
});

Deno.test("tokenBytes() is the length of a token of so many bytes", () => {
  for (const length of [0, 1, 15, 16, 17, 31, 32, 1000, 4096]) {
    assertEquals(tokenOf(new Uint8Array(length)).length, tokenBytes(length), `${length}`);
  }
});
