/**
 * Files of recipients, identities and passphrases: what is taken, what is refused, and that no refusal repeats
 * what might be a secret. With age's own programs: tests/interop/age_test.ts.
 */
import { assert, assertEquals, assertMatch, assertRejects, assertStringIncludes } from "@std/assert";
import { join } from "@std/path";
import { armor, Encrypter } from "age-encryption";
import { makeIdentity, Recipients } from "../src/cipher_age.ts";
import {
  askNewPassphrase,
  encodeIdentityFile,
  encryptIdentityFile,
  openIdentityFiles,
  readPassphraseFile,
  readRecipientsFile,
} from "../src/cipher_age_files.ts";
import { type ErrorCode, OperatorError } from "../src/errors.ts";
import { assertRefused } from "./format/refusals.ts";

const ALICE = await makeIdentity("x25519");
const QUANTUM = await makeIdentity("post-quantum");
const PASSPHRASE = "correct horse";
const MADE_AT_MS = Date.UTC(2026, 1, 3, 4, 5, 6, 789);
const PROTECTED = await encryptIdentityFile(ALICE, {
  passphrase: PASSPHRASE,
  madeAtMs: MADE_AT_MS,
  workFactor: 4,
});

/** Writes files for their owner alone into a folder that is gone afterwards. */
async function inFolder(
  act: (write: (contents: string | Uint8Array, mode?: number) => string, folder: string) => Promise<void>,
): Promise<void> {
  const folder = await Deno.makeTempDir();
  let count = 0;
  try {
    await act((contents, mode = 0o600) => {
      const path = join(folder, `file${count++}`);
      const bytes = typeof contents === "string" ? new TextEncoder().encode(contents) : contents;
      Deno.writeFileSync(path, bytes, { mode });
      Deno.chmodSync(path, mode);
      return path;
    }, folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

async function refusal(code: ErrorCode, act: () => Promise<unknown>): Promise<OperatorError> {
  const error = await assertRejects(act, OperatorError);
  assertEquals(error.code, code, error.message);
  const said = [error.message, ...error.hints, JSON.stringify(error.facts), String(error.cause)].join("\n");
  for (const secret of [ALICE.secret.slice(20, 40), QUANTUM.secret.slice(24, 40), PASSPHRASE]) {
    assert(!said.includes(secret), `a secret in: ${said}`);
  }
  return error;
}

Deno.test("readRecipientsFile() takes one a line, with comments, and says where each is", async () => {
  await inFolder(async (write) => {
    const path = write(`# the team\n\n${ALICE.recipient}\r\n  # more\n ${ALICE.recipient} \n`);
    const given = readRecipientsFile(path);
    assertEquals(given, [
      { text: ALICE.recipient, place: `"${path}", line 3` },
      { text: ALICE.recipient, place: `"${path}", line 5` },
    ]);
    assertEquals((await Recipients.of(given)).list, [ALICE.recipient]);
  });
});

Deno.test("readRecipientsFile() refuses a file without recipients, and a missing one", async () => {
  await inFolder((write, folder) => {
    for (const text of ["", "# nobody\n\n"]) {
      const path = write(text);
      assertRefused(() => readRecipientsFile(path), "usage", `"${path}"`, "it has no recipient");
    }
    assertRefused(() => readRecipientsFile(join(folder, "none")), "not_found", "none");
    assertRefused(() => readRecipientsFile(folder), "usage", "it is a directory");
    const long = write("#".repeat(1_048_577));
    assertRefused(
      () => readRecipientsFile(long),
      "usage",
      "it has 1048577 bytes, expected a file of at most 1048576",
    );
    return Promise.resolve();
  });
});

Deno.test("a secret key in a recipients file is refused by its line, and not printed", async () => {
  await inFolder(async (write) => {
    const path = write(encodeIdentityFile(ALICE, { atMs: MADE_AT_MS }));
    const error = await refusal("usage", () => Recipients.of(readRecipientsFile(path)));
    assertStringIncludes(error.message, `"${path}", line 3: it is a secret key`);
  });
});

Deno.test("openIdentityFiles() takes files as age-keygen writes them, of several identities too", async () => {
  await inFolder(async (write) => {
    const one = write(encodeIdentityFile(ALICE, { atMs: MADE_AT_MS }));
    const two = write(`${QUANTUM.secret}\r\n#x\n\n  ${ALICE.secret}`);
    const { identities, warnings } = await openIdentityFiles([two, one]);
    assertEquals(identities.recipients, [QUANTUM.recipient, ALICE.recipient]);
    assertEquals(warnings, []);
    assertEquals((await openIdentityFiles([])).identities.count, 0);
  });
});

Deno.test("encodeIdentityFile() writes what age-keygen writes", () => {
  assertEquals(
    encodeIdentityFile(ALICE, { atMs: MADE_AT_MS }),
    `# created: 2026-02-03T04:05:06Z\n# public key: ${ALICE.recipient}\n${ALICE.secret}\n`,
  );
});

Deno.test("openIdentityFiles() warns of a file that others may read", async () => {
  await inFolder(async (write) => {
    const wide = write(`${ALICE.secret}\n`, 0o644);
    const shut = write(PROTECTED, 0o644);
    const { identities, warnings } = await openIdentityFiles([wide, shut], { passphrase: PASSPHRASE });
    assertEquals(identities.count, 1);
    assertEquals(warnings, [`others may use the identity file "${wide}": its mode is 0644, expected 0600`]);
  });
});

Deno.test("openIdentityFiles() refuses what is no identity by file and line, without its text", async () => {
  const cases: readonly (readonly [string, string])[] = [
    [`# x\n${ALICE.recipient}\n`, `", line 2: it is a recipient`],
    [`${ALICE.secret}\nhunter2\n`, `", line 2: it is no age identity`],
    [`${ALICE.secret.toLowerCase()}\n`, `", line 1: it is no age identity`],
    ["-----BEGIN OPENSSH PRIVATE KEY-----\nabc\n", `", line 1: it is a private key of another program`],
    ["AGE-PLUGIN-YUBIKEY-1QQQ\n", `", line 1: it is for a plugin`],
    [`${ALICE.secret.slice(0, -3)}\n`, `", line 1: it is malformed`],
    ["# nothing\n", `": it has no identity`],
    ["", `": it has no identity`],
  ];
  await inFolder(async (write, folder) => {
    for (const [text, says] of cases) {
      const path = write(text);
      const error = await refusal("usage", () => openIdentityFiles([path]));
      assertStringIncludes(error.message, `"${path}`);
      assertStringIncludes(error.message, says);
      assert(!error.message.includes("hunter2"));
    }
    await refusal("not_found", () => openIdentityFiles([join(folder, "none")]));
    await refusal("usage", () => openIdentityFiles([folder]));
  });
});

Deno.test("openIdentityFiles() opens what a passphrase protects, binary or armored, asked for or given", async () => {
  await inFolder(async (write) => {
    for (const file of [PROTECTED, armor.encode(PROTECTED), `\n${armor.encode(PROTECTED)}`]) {
      const path = write(file);
      const questions: string[] = [];
      const askPassphrase = (question: string) => {
        questions.push(question);
        return Promise.resolve<string | undefined>(PASSPHRASE);
      };
      const asked = await openIdentityFiles([path], { askPassphrase });
      assertEquals(asked.identities.recipients, [ALICE.recipient]);
      assertEquals(questions, [`Passphrase of the identity file ${path}: `]);
      const given = await openIdentityFiles([path], { passphrase: PASSPHRASE });
      assertEquals(given.identities.recipients, [ALICE.recipient]);
      // Named twice, it is asked for once.
      const twice = await openIdentityFiles([path, path], { askPassphrase });
      assertEquals([questions.length, twice.recipientsOf.get(path)], [2, [ALICE.recipient]]);
    }
  });
});

Deno.test("openIdentityFiles() refuses a wrong passphrase, and none", async () => {
  await inFolder(async (write) => {
    for (const file of [PROTECTED, armor.encode(PROTECTED)]) {
      const path = write(file);
      const wrong = await refusal(
        "identity",
        () => openIdentityFiles([path], { passphrase: `${PASSPHRASE}r` }),
      );
      assertEquals(wrong.message, `Cannot open identity file "${path}": the passphrase is wrong`);
      const nobody = await refusal("identity", () => openIdentityFiles([path]));
      assertStringIncludes(nobody.message, "there is nobody to ask");
      const askPassphrase = () => Promise.resolve(undefined);
      await refusal("identity", () => openIdentityFiles([path], { askPassphrase }));
    }
  });
});

Deno.test("openIdentityFiles() asks where the given passphrase is for another file", async () => {
  await inFolder(async (write) => {
    const options = { passphrase: "another", madeAtMs: MADE_AT_MS, workFactor: 4 };
    const paths = [write(PROTECTED), write(await encryptIdentityFile(QUANTUM, options))];
    const questions: string[] = [];
    const askPassphrase = (question: string) => {
      questions.push(question);
      return Promise.resolve<string | undefined>("another");
    };
    const { identities } = await openIdentityFiles(paths, { passphrase: PASSPHRASE, askPassphrase });
    assertEquals(identities.recipients, [ALICE.recipient, QUANTUM.recipient]);
    assertEquals(questions, [`Passphrase of the identity file ${paths[1]}: `]);
  });
});

Deno.test("openIdentityFiles() refuses a protected file that is damaged, or encrypted to recipients", async () => {
  const toRecipients = new Encrypter();
  toRecipients.addRecipient(ALICE.recipient);
  const file = await toRecipients.encrypt(ALICE.secret);
  await inFolder(async (write) => {
    for (
      const [changed, code] of [[PROTECTED.slice(0, -1), "integrity"], [
        PROTECTED.slice(0, 60),
        "format",
      ]] as const
    ) {
      await refusal(code, () => openIdentityFiles([write(changed)], { passphrase: PASSPHRASE }));
    }
    const unasked = await refusal("usage", () => openIdentityFiles([write(file)]));
    assertStringIncludes(unasked.message, "it is encrypted to recipients");
    for (const other of [file, armor.encode(file)]) {
      const path = write(other);
      const error = await refusal("usage", () => openIdentityFiles([path], { passphrase: PASSPHRASE }));
      assertStringIncludes(error.message, "it is encrypted to recipients, expected a passphrase or none");
    }
  });
});

Deno.test("encryptIdentityFile() has the secret nowhere in the clear, and 2^18 rounds where not told otherwise", async () => {
  const text = new TextDecoder("latin1").decode(PROTECTED);
  assertMatch(text, /^age-encryption\.org\/v1\n-> scrypt [A-Za-z0-9+/]{22} 4\n/);
  assert(!text.includes("AGE-SECRET") && !text.includes(ALICE.recipient));
  const options = { passphrase: PASSPHRASE, madeAtMs: MADE_AT_MS };
  const usual = new TextDecoder("latin1").decode(await encryptIdentityFile(ALICE, options));
  assertMatch(usual, /^age-encryption\.org\/v1\n-> scrypt [A-Za-z0-9+/]{22} 18\n/);
});

Deno.test("readPassphraseFile() takes one line as it is, and warns where others may read it", async () => {
  await inFolder((write, folder) => {
    for (const end of ["", "\n", "\r\n"]) {
      const { passphrase, warnings } = readPassphraseFile(write(` pass phrase ${end}`));
      assertEquals(passphrase, " pass phrase ");
      assertEquals(warnings, []);
    }
    const path = write(PASSPHRASE, 0o640);
    const sentence = `others may use the passphrase file "${path}": its mode is 0640, expected 0600`;
    assertEquals(readPassphraseFile(path).warnings, [sentence]);
    for (const text of ["", "\n", "\nx", "x\ny", "x\n\n"]) {
      assertRefused(() => readPassphraseFile(write(text)), "usage", "expected one line");
    }
    assertRefused(() => readPassphraseFile(join(folder, "none")), "not_found");
    return Promise.resolve();
  });
});

Deno.test("askNewPassphrase() wants the same twice", async () => {
  const answering = (...answers: (string | undefined)[]) => () => Promise.resolve(answers.shift());
  assertEquals(await askNewPassphrase(answering(PASSPHRASE, PASSPHRASE), "x"), PASSPHRASE);
  for (const answers of [[undefined], [""], [PASSPHRASE, "other"], [PASSPHRASE, undefined]]) {
    await refusal("usage", () => askNewPassphrase(answering(...answers), "x"));
  }
});

Deno.test("the places of identities in a protected file are those of its plaintext", async () => {
  await inFolder(async (write) => {
    const bad = { secret: `${ALICE.secret.slice(0, -1)}`, recipient: ALICE.recipient };
    const options = { passphrase: PASSPHRASE, madeAtMs: MADE_AT_MS, workFactor: 4 };
    const path = write(await encryptIdentityFile(bad, options));
    const error = await refusal("usage", () => openIdentityFiles([path], { passphrase: PASSPHRASE }));
    assertStringIncludes(error.message, `"${path}", line 3: it is malformed`);
  });
});
