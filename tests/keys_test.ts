/**
 * Signing keys without outside tools: coldcase's own key file, what its signatures are held to, what a key
 * request is refused for. OpenSSH's own files, its agent and openssl: tests/interop/signatures_test.ts.
 */
import {
  assert,
  assertEquals,
  assertNotMatch,
  assertRejects,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { encodeBase64 } from "@std/encoding/base64";
import { encodeHex } from "@std/encoding/hex";
import { join } from "@std/path";
import { type ErrorCode, OperatorError } from "../src/errors.ts";
import { encodeSshsig, sshsigSignedBytes } from "../src/format/sshsig.ts";
import { verifyingKey } from "../src/format/verifying_key.ts";
import {
  configurationFolder,
  type KeyWorld,
  makeKeyFile,
  openSigningKey,
  ownKeyPath,
  type SigningKey,
  verifyRaw,
  verifySshsig,
} from "../src/keys.ts";
import { decodeOpensshKey, encodeOpensshKey, keyOfSeed } from "../src/keys_openssh.ts";
import { realClock, realRandomness } from "../src/world.ts";
import { forRounds, randomBytes } from "./seeded.ts";

const MANIFEST = "coldcase-manifest@v1";
const bytesOf = (text: string) => new TextEncoder().encode(text);

/** A world whose configuration folder is `folder`, and a folder that is gone afterwards. */
async function inFolder(act: (folder: string, world: KeyWorld) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  const environment = (name: string) => name === "XDG_CONFIG_HOME" ? join(folder, "config") : undefined;
  try {
    await act(folder, { clock: realClock, randomness: realRandomness, environment });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

async function rejection(code: ErrorCode, act: () => Promise<unknown>): Promise<OperatorError> {
  const error = await assertRejects(act, OperatorError);
  assertEquals(error.code, code, error.message);
  return error;
}

function refusal(code: ErrorCode, act: () => unknown): OperatorError {
  const error = assertThrows(act, OperatorError);
  assertEquals(error.code, code, error.message);
  return error;
}

async function ownKey(world: KeyWorld): Promise<SigningKey> {
  return (await openSigningKey(world, { source: undefined })).key;
}

Deno.test("openSigningKey() makes a key of its own once, 0600, and finds it again", async () => {
  await inFolder(async (folder, world) => {
    const first = await openSigningKey(world, { source: undefined });
    assertEquals(first.isNew, true);
    assertEquals(first.path, join(folder, "config", "coldcase", "signing_key"));
    assertEquals(Deno.statSync(first.path!).mode! & 0o777, 0o600);
    assertEquals(Deno.statSync(join(folder, "config", "coldcase")).mode! & 0o777, 0o700);
    assertEquals([...Deno.readDirSync(join(folder, "config", "coldcase"))].length, 1);
    assertEquals(first.key.origin, "coldcase");
    const second = await openSigningKey(world, { source: undefined });
    assertEquals([second.isNew, second.warnings], [false, []]);
    assertEquals(second.key.fingerprint, first.key.fingerprint);
  });
});

Deno.test("openSigningKey() called twice at once makes one key", async () => {
  await inFolder(async (_folder, world) => {
    const keys = await Promise.all(Array.from({ length: 5 }, () => ownKey(world)));
    assertEquals(new Set(keys.map((key) => key.fingerprint)).size, 1);
  });
});

Deno.test("openSigningKey() tells its own keys by their comment, wherever they lie", async () => {
  await inFolder(async (folder, world) => {
    const path = join(folder, "examiner.key");
    await makeKeyFile(world, path);
    assertEquals((await openSigningKey(world, { source: path })).key.origin, "coldcase");
    const login = join(folder, "id_ed25519");
    const text = encodeOpensshKey(new Uint8Array(32).fill(1), { comment: "me@host", check: 1 });
    await Deno.writeTextFile(login, text, { mode: 0o600 });
    const { key } = await openSigningKey(world, { source: login });
    assertEquals([key.origin, key.comment, key.signRaw], ["openssh", "me@host", undefined]);
  });
});

Deno.test("openSigningKey() warns of a key file that others can read", async () => {
  await inFolder(async (_folder, world) => {
    const { path } = await openSigningKey(world, { source: undefined });
    for (const mode of [0o640, 0o604, 0o620]) {
      await Deno.chmod(path!, mode);
      const { warnings } = await openSigningKey(world, { source: undefined });
      assertEquals(warnings.length, 1);
      assertStringIncludes(warnings[0]!, `0${mode.toString(8)}, expected 0600`);
    }
  });
});

Deno.test("makeKeyFile() replaces nothing, leaves nothing behind, and stays out of stores", async () => {
  await inFolder(async (folder, world) => {
    const path = join(folder, "key");
    await Deno.writeTextFile(path, "precious");
    await rejection("usage", () => makeKeyFile(world, path));
    assertEquals(await Deno.readTextFile(path), "precious");
    await Deno.symlink(join(folder, "nowhere"), join(folder, "link"));
    await rejection("usage", () => makeKeyFile(world, join(folder, "link")));
    assertEquals([...Deno.readDirSync(folder)].map(({ name }) => name).sort(), ["key", "link"]);
    await Deno.mkdir(join(folder, "evidence", "keys"), { recursive: true });
    await Deno.writeTextFile(join(folder, "evidence", "store.json"), "{}");
    const error = await rejection("usage", () => makeKeyFile(world, join(folder, "evidence", "keys", "key")));
    assertStringIncludes(error.message, "would lie in the store");
    assertEquals([...Deno.readDirSync(join(folder, "evidence", "keys"))], []);
    await rejection("storage", () => makeKeyFile(world, join(folder, "key", "below")));
  });
});

Deno.test("configurationFolder() follows the platform, and says what is missing", () => {
  const environment = (variables: Record<string, string>) => (name: string) => variables[name];
  const home = { HOME: "/home/me" };
  assertEquals(configurationFolder(environment(home), "linux"), "/home/me/.config/coldcase");
  assertEquals(configurationFolder(environment({ ...home, XDG_CONFIG_HOME: "/x" }), "linux"), "/x/coldcase");
  assertEquals(
    configurationFolder(environment({ ...home, XDG_CONFIG_HOME: "x" }), "linux"),
    "/home/me/.config/coldcase",
  );
  assertEquals(
    configurationFolder(environment(home), "darwin"),
    "/home/me/Library/Application Support/coldcase",
  );
  assertEquals(
    configurationFolder(environment({ ...home, APPDATA: "/appdata" }), "windows"),
    "/appdata/coldcase",
  );
  assertStringIncludes(refusal("usage", () => configurationFolder(environment({}), "linux")).message, "HOME");
  assertStringIncludes(
    refusal("usage", () => configurationFolder(environment(home), "windows")).message,
    "APPDATA",
  );
  assertEquals(ownKeyPath(environment(home)).endsWith("/coldcase/signing_key"), true);
});

Deno.test("openSigningKey() refuses what is no Ed25519 key file, saying why", async () => {
  await inFolder(async (folder, world) => {
    const open = (text: string | Uint8Array<ArrayBuffer>) => {
      const path = join(folder, "key");
      Deno.writeFileSync(path, typeof text === "string" ? bytesOf(text) : text, { mode: 0o600 });
      return openSigningKey(world, { source: path });
    };
    const key = encodeOpensshKey(new Uint8Array(32).fill(1), { comment: "c", check: 1 });
    assertEquals((await open(key.replaceAll("\n", "\r\n"))).key.comment, "c");
    const rsa = await rejection(
      "usage",
      () => open("-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----\n"),
    );
    assertStringIncludes(rsa.message, "ssh-ed25519");
    await rejection("format", () => open(key.slice(0, 200)));
    await rejection("format", () => open(key.replace("b3Blb", "c3Blb")));
    await rejection("format", () => open("-----BEGIN"));
    await rejection("format", () => open("hello"));
    await rejection("format", () => open(""));
    await rejection("usage", () => open("A".repeat(70_000)));
    await rejection("usage", () => openSigningKey(world, { source: folder }));
    await rejection("not_found", () => openSigningKey(world, { source: join(folder, "none") }));
  });
});

Deno.test("openSigningKey() refuses a public key where no agent is named", async () => {
  await inFolder(async (folder, world) => {
    const key = await ownKey(world);
    const error = await rejection("identity", () => openSigningKey(world, { source: key.fingerprint }));
    assertStringIncludes(error.message, "SSH_AUTH_SOCK");
    const withAgent = { ...world, environment: () => join(folder, "no.socket") };
    await rejection("identity", () => openSigningKey(withAgent, { source: key.fingerprint }));
  });
});

Deno.test("signSshsig() signs for one namespace and one message; any flipped byte is refused", async () => {
  await inFolder(async (_folder, world) => {
    const key = await ownKey(world);
    const message = bytesOf(`{"exhibit":"ex-0123456789abcdef"}`);
    const armor = await key.signSshsig(message, MANIFEST);
    assertEquals(verifySshsig(message, armor, MANIFEST).fingerprint, key.fingerprint);
    assertEquals(await key.signSshsig(message, MANIFEST), armor);
    const other = refusal("integrity", () => verifySshsig(message, armor, "coldcase-inventory@v1"));
    assertStringIncludes(other.message, `is for "${MANIFEST}", expected "coldcase-inventory@v1"`);
    for (let at = 0; at < message.length; at++) {
      const changed = message.slice();
      changed[at]! ^= 1;
      refusal("integrity", () => verifySshsig(changed, armor, MANIFEST));
    }
    for (let at = 0; at < armor.length; at++) {
      for (let bit = 0; bit < 8; bit++) {
        const changed = armor.slice();
        changed[at]! ^= 1 << bit;
        const error = assertThrows(
          () => verifySshsig(message, changed, MANIFEST),
          OperatorError,
          undefined,
          `byte ${at}`,
        );
        assert(error.code === "format" || error.code === "integrity", `byte ${at}: ${error.code}`);
      }
    }
  });
});

Deno.test("signRaw() signs the bytes themselves; verifyRaw() holds them to it", async () => {
  await inFolder(async (_folder, world) => {
    const key = await ownKey(world);
    const message = bytesOf("the stored bytes");
    const signature = await key.signRaw!(message);
    assertEquals(signature.length, 64);
    verifyRaw(message, signature, key);
    refusal("integrity", () => verifyRaw(bytesOf("other bytes"), signature, key));
    refusal("format", () => verifyRaw(message, signature.subarray(1), key));
    for (let at = 0; at < 64; at++) {
      const changed = signature.slice();
      changed[at]! ^= 0x80;
      refusal("integrity", () => verifyRaw(message, changed, key));
    }
  });
});

Deno.test("verifyRaw() is RFC 8032's Ed25519: S below L, so that a signature has one text", () => {
  // RFC 8032, section 7.1, test 2.
  const hex = (text: string) => Uint8Array.from(text.match(/../g)!, (digits) => parseInt(digits, 16));
  const key = verifyingKey(hex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"));
  const signature = hex(
    "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da" +
      "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
  );
  verifyRaw(hex("72"), signature, key);
  assertEquals(
    keyOfSeed(hex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb")).verifying,
    key,
  );
  // S + L in place of S: the same equation, another text. RFC 8032, section 5.1.7, has S below L.
  const order = 2n ** 252n + 27742317777372353535851937790883648493n;
  const s = BigInt(`0x${encodeHex(signature.slice(32).reverse())}`) + order;
  const malleated = joinHalves(signature.subarray(0, 32), hex(s.toString(16).padStart(64, "0")).reverse());
  refusal("integrity", () => verifyRaw(hex("72"), malleated, key));
});

function joinHalves(a: Uint8Array, b: Uint8Array): Uint8Array {
  return Uint8Array.of(...a, ...b);
}

Deno.test("verifySshsig() ∘ signSshsig() names the signer (property)", async () => {
  await inFolder(async (_folder, world) => {
    const key = await ownKey(world);
    const messages: Uint8Array[] = [new Uint8Array(0), new Uint8Array(3_000_000)];
    forRounds(50, (below) => messages.push(randomBytes(below, below(2000))));
    for (const message of messages) {
      const armor = await key.signSshsig(message, "coldcase-custody@v1");
      assertEquals(verifySshsig(message, armor, "coldcase-custody@v1").fingerprint, key.fingerprint);
    }
  });
});

Deno.test("decodeOpensshKey() ∘ encodeOpensshKey() is the identity; a damaged file never opens as another key (property)", async () => {
  const cases: [Uint8Array, string, number][] = [];
  const flips: number[] = [];
  forRounds(60, (below) => {
    cases.push([randomBytes(below, 32), "x".repeat(below(40)), below(2 ** 32)]);
    flips.push(below(2 ** 31));
  });
  for (const [index, [seed, comment, check]] of cases.entries()) {
    const text = encodeOpensshKey(seed, { comment, check });
    const opened = await decodeOpensshKey(text, "key").open();
    assertEquals(opened.comment, comment);
    assertEquals(opened.verifying, keyOfSeed(seed).verifying);
    const at = flips[index]! % text.length;
    const damaged = text.slice(0, at) + (text[at] === "A" ? "B" : "A") + text.slice(at + 1);
    try {
      const other = await decodeOpensshKey(damaged, "key").open();
      assertEquals(other.verifying, opened.verifying);
    } catch (error) {
      assert(error instanceof OperatorError, `damaged at ${at}: ${error}`);
    }
  }
});

Deno.test("no message about a damaged key file holds its secret", async () => {
  const seed = Uint8Array.from({ length: 32 }, (_, index) => index + 65);
  const text = encodeOpensshKey(seed, { comment: "c", check: 7 });
  const secrets = [encodeBase64(seed).slice(0, 12), "ABCDEFGH", encodeHex(seed).slice(0, 12)];
  for (let at = 0; at < text.length; at++) {
    const damaged = text.slice(0, at) + (text[at] === "A" ? "B" : "A") + text.slice(at + 1);
    try {
      await decodeOpensshKey(damaged, "key").open();
    } catch (error) {
      assert(error instanceof OperatorError, `damaged at ${at}: ${error}`);
      const said = JSON.stringify([error.message, error.hints, error.facts, String(error.cause)]);
      for (const secret of secrets) assertNotMatch(said, new RegExp(secret.replace(/[+/]/g, "\\$&")));
    }
  }
});

Deno.test("verifySshsig() accepts sha256 inside, which SSHSIG allows, and no claim of another digest", async () => {
  await inFolder(async (_folder, world) => {
    const key = await ownKey(world);
    const message = bytesOf("x");
    const signature = await key.signRaw!(sshsigSignedBytes(message, { namespace: MANIFEST, hash: "sha256" }));
    const armor = encodeSshsig({ key, namespace: MANIFEST, hash: "sha256", signature });
    assertEquals(verifySshsig(message, armor, MANIFEST).fingerprint, key.fingerprint);
    const claimed = encodeSshsig({ key, namespace: MANIFEST, hash: "sha512", signature });
    refusal("integrity", () => verifySshsig(message, claimed, MANIFEST));
  });
});
